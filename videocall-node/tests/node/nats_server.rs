//! A real NATS server on ports of its own, ended when it is dropped.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub(crate) struct NatsServer {
    child: Option<Child>,
    jetstream: bool,
    port: u16,
    monitor: u16,
    store: TempDir,
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// On the path, or where Debian puts it, which is not on everybody's path.
fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .map(|folder| folder.join("nats-server"))
        .find(|file| file.is_file())
        .expect("nats-server is installed: apt-get install nats-server")
}

impl NatsServer {
    pub(crate) fn start() -> Self {
        Self::starting(true)
    }

    pub(crate) fn without_jetstream() -> Self {
        Self::starting(false)
    }

    fn starting(jetstream: bool) -> Self {
        // Another process may take a port between the choice and the start: choose anew.
        for _ in 0..5 {
            let mut server = Self::absent();
            server.jetstream = jetstream;
            if server.try_start() {
                return server;
            }
        }
        panic!("nats-server does not start");
    }

    /// Not yet running.
    pub(crate) fn absent() -> Self {
        Self {
            child: None,
            jetstream: true,
            port: free_port(),
            monitor: free_port(),
            store: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn restart(&mut self) {
        assert!(self.try_start(), "nats-server starts");
    }

    fn try_start(&mut self) -> bool {
        let mut command = Command::new(program());
        command
            .args(["-a", "127.0.0.1"])
            .args(["-p", &self.port.to_string()])
            .args(["-m", &self.monitor.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if self.jetstream {
            command.arg("-js").arg("-sd").arg(self.store.path());
        }
        let mut child = command.spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        self.child = Some(child);
        let (said, ready) = mpsc::channel();
        std::thread::spawn(move || {
            // Read to its end, so that the server never waits for room in the pipe.
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if line.contains("Server is ready") {
                    let _ = said.send(());
                }
            }
        });
        ready.recv_timeout(Duration::from_secs(20)).is_ok()
    }

    /// Without warning.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// What each connection is subscribed to, by the server's own account.
    pub(crate) async fn subscriptions(&self) -> Vec<Vec<String>> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.monitor))
            .await
            .unwrap();
        let request = b"GET /connz?subs=1 HTTP/1.0\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        let (_, body) = response.split_once("\r\n\r\n").unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        let subjects = |connection: &Value| {
            let list = connection["subscriptions_list"].as_array();
            let subject = |subject: &Value| subject.as_str().unwrap().to_owned();
            list.into_iter().flatten().map(subject).collect()
        };
        let connections = body["connections"].as_array().unwrap();
        connections.iter().map(subjects).collect()
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}
