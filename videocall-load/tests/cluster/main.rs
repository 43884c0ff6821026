//! A coordinator and two workers over a real NATS server.
#![allow(clippy::unwrap_used)]

#[path = "../common/silent.rs"]
mod silent;

use std::{
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use silent::silent_server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PATIENCE: Duration = Duration::from_secs(60);

/// Ended when dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A NATS server on a port of its own.
fn nats() -> (Process, String) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let program = std::env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .map(|folder| folder.join("nats-server"))
        .find(|file| file.is_file())
        .expect("nats-server is installed: apt-get install nats-server");
    // It chooses a free port itself, and says which.
    let mut server = Command::new(&program)
        .args(["-a", "127.0.0.1", "-p", "-1"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(server.stderr.take().unwrap()).lines();
    let server = Process(server);
    let mut address = None;
    for line in said.by_ref().map_while(Result::ok) {
        if let Some((_, listening)) = line.split_once("Listening for client connections on ") {
            address = Some(listening.trim().to_owned());
        }
        if line.contains("Server is ready") {
            break;
        }
    }
    // What it says later fills no pipe.
    std::thread::spawn(move || said.for_each(drop));
    let address = address.expect("nats-server starts");
    (server, format!("nats://{address}"))
}

fn worker(nats: &str, name: &str) -> Process {
    let worker = Command::new(env!("CARGO_BIN_EXE_videocall-load"))
        .args(["work", "--nats-url", nats, "--name", name])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Process(worker.unwrap())
}

fn coordinator(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_videocall-load"))
        .arg("coordinate")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

async fn output(child: Child) -> Output {
    let wait = tokio::task::spawn_blocking(move || child.wait_with_output());
    let output = tokio::time::timeout(PATIENCE, wait).await;
    output.expect("the program ends").unwrap().unwrap()
}

fn result(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_share_one_run() {
    let ((_nats, nats), url, files) = (nats(), silent_server().await, Files::new());
    let mut workers = [worker(&nats, "one"), worker(&nats, "two")];
    let json = files.path("result.json");
    let run = coordinator(&[
        "--nats-url",
        &nats,
        "--workers",
        "2",
        "--url",
        &url,
        "--connection-number",
        "9",
        "--duration",
        "2s",
        "--json",
        json.to_str().unwrap(),
    ]);
    let ended = output(run).await;
    let text = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(0), "{text}");
    let result = result(&json);
    assert_eq!(result["snapshot"]["connected"], 9, "neither more nor fewer");
    assert_eq!(result["figures"]["connect.count"]["value"], 9.0);
    assert_eq!(result["workers"].as_array().unwrap().len(), 2);
    for worker in result["workers"].as_array().unwrap() {
        assert!(worker["lost_at"].is_null());
        let (offset, error) = (&worker["clock"][0], &worker["clock"][1]);
        // The same machine has the same clock.
        let (offset, error) = (offset.as_i64().unwrap(), error.as_i64().unwrap());
        assert!(offset.abs() <= error + 100_000, "{offset} ± {error}");
    }
    for worker in &mut workers {
        assert!(worker.0.wait().unwrap().success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_lost_is_told_in_every_report() {
    let ((_nats, nats), url, files) = (nats(), silent_server().await, Files::new());
    let (_stays, mut dies) = (worker(&nats, "stays"), worker(&nats, "dies"));
    let (json, html) = (files.path("result.json"), files.path("report.html"));
    let web = format!("127.0.0.1:{}", free_port());
    let mut run = coordinator(&[
        "--nats-url",
        &nats,
        "--workers",
        "2",
        "--url",
        &url,
        "--connection-number",
        "4",
        "--duration",
        "120s",
        "--json",
        json.to_str().unwrap(),
        "--html",
        html.to_str().unwrap(),
        "--web-listen",
        &web,
    ]);
    // All four are open before one of the workers dies.
    until_metrics(&web, &mut run, "videocall_load_connections_open 4\n").await;
    dies.0.kill().unwrap();
    until_metrics(&web, &mut run, "worker_lost{worker=\"dies\"} 1").await;
    let process = rustix::process::Pid::from_child(&run);
    rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
    let ended = output(run).await;
    let (out, err) = (
        String::from_utf8_lossy(&ended.stdout),
        String::from_utf8_lossy(&ended.stderr),
    );
    assert_eq!(ended.status.code(), Some(0), "{err}");
    assert!(out.contains("WORKER LOST: dies"), "{out}");
    assert!(
        err.contains("WORKER LOST: dies"),
        "also while it runs: {err}"
    );
    let result = result(&json);
    assert!(result["warnings"][0].as_str().unwrap().contains("dies"));
    let workers = result["workers"].as_array().unwrap();
    let lost = workers
        .iter()
        .find(|worker| worker["name"] == "dies")
        .unwrap();
    assert!(lost["lost_at"].as_f64().unwrap() < 120.0);
    assert_eq!(
        result["snapshot"]["connected"], 4,
        "what it had done counts"
    );
    let html = std::fs::read_to_string(html).unwrap();
    assert!(html.contains("WORKER LOST: dies") && html.contains("LOST after"));
}

/// Waits for a line of the coordinator's metrics; if it does not come, shows what was said instead.
async fn until_metrics(address: &str, run: &mut Child, line: &str) {
    let deadline = Instant::now() + PATIENCE;
    let mut seen = String::new();
    while !seen.contains(line) {
        if Instant::now() > deadline || run.try_wait().unwrap().is_some() {
            let _ = run.kill();
            let mut said = String::new();
            for pipe in [
                run.stdout
                    .take()
                    .map(|pipe| Box::new(pipe) as Box<dyn Read>),
                run.stderr
                    .take()
                    .map(|pipe| Box::new(pipe) as Box<dyn Read>),
            ] {
                let _ = pipe.unwrap().read_to_string(&mut said);
            }
            panic!("no `{line}` at {address}, but {seen}\nthe coordinator said {said}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        seen = metrics(address).await;
    }
}

async fn metrics(address: &str) -> String {
    let Ok(mut stream) = tokio::net::TcpStream::connect(address).await else {
        return String::new();
    };
    let request = b"GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut answer = String::new();
    if stream.write_all(request).await.is_ok() {
        let _ = stream.read_to_string(&mut answer).await;
    }
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn too_few_workers_are_named() {
    let (_nats, nats) = nats();
    let _worker = worker(&nats, "alone");
    let run = coordinator(&[
        "--nats-url",
        &nats,
        "--workers",
        "2",
        "--workers-timeout",
        "3s",
        "--url",
        "ws://127.0.0.1:9",
    ]);
    let ended = output(run).await;
    let text = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(4), "{text}");
    assert!(
        text.contains("only 1 of 2 workers are there: alone"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_coordinator_is_gone_stops() {
    let ((_nats, nats), url) = (nats(), silent_server().await);
    let mut worker = worker(&nats, "left");
    let web = format!("127.0.0.1:{}", free_port());
    let mut run = Process(coordinator(&[
        "--nats-url",
        &nats,
        "--workers",
        "1",
        "--url",
        &url,
        "--duration",
        "1h",
        "--web-listen",
        &web,
    ]));
    until_metrics(&web, &mut run.0, "videocall_load_connections_open 10\n").await;
    drop(run);
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = worker.0.try_wait().unwrap() {
            break status;
        }
        assert!(Instant::now() < deadline, "the worker goes on alone");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(status.code(), Some(4));
}
