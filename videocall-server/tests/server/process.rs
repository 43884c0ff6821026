//! Starts the server on ports of its own.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use base64::Engine;
use parking_lot::Mutex;

pub(crate) struct Server {
    child: Child,
    pub(crate) http: u16,
    pub(crate) media: u16,
    log: Arc<Mutex<String>>,
}

/// A free port for TCP and UDP. Another process may take it before the server does: such a start is
/// repeated.
fn free_port() -> u16 {
    loop {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        if std::net::UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_videocall-server"));
    command
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

impl Server {
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_on((free_port(), free_port()), args)
    }

    /// With one thread for all that is asynchronous: a task that never yields holds up everything.
    pub(crate) fn start_on_one_thread(args: &[&str]) -> Self {
        let mut command = command(args);
        command.env("TOKIO_WORKER_THREADS", "1");
        Self::start_by(command, (free_port(), free_port()))
    }

    /// On the ports of one that ended.
    pub(crate) fn start_on(ports: (u16, u16), args: &[&str]) -> Self {
        Self::start_by(command(args), ports)
    }

    fn start_by(mut command: Command, (http, media): (u16, u16)) -> Self {
        let listen = [format!("127.0.0.1:{http}"), format!("127.0.0.1:{media}")];
        let mut child = command
            .args(["--http-listen", &listen[0]])
            .args(["--webtransport-listen", &listen[1]])
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let stderr = child.stderr.take().unwrap();
        let (opened, open) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if line.starts_with("Open http") {
                    let _ = opened.send(());
                }
            }
        });
        let log = Arc::new(Mutex::new(String::new()));
        let lines = log.clone();
        std::thread::spawn(move || {
            // Read to its end, so that the server never waits for room in the pipe.
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut log = lines.lock();
                log.push_str(&line);
                log.push('\n');
            }
        });
        open.recv_timeout(Duration::from_secs(30))
            .expect("the server says where it is");
        Self {
            child,
            http,
            media,
            log,
        }
    }

    /// Asks it to end, as an operator would.
    pub(crate) fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// What it logged until now.
    pub(crate) fn log(&self) -> String {
        self.log.lock().clone()
    }

    /// Ends it without warning.
    pub(crate) fn kill(mut self) {
        self.kill_now();
    }

    /// The same, of one whose place another takes.
    pub(crate) fn kill_now(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Whether it ended well.
    pub(crate) fn wait(mut self) -> bool {
        self.child.wait().unwrap().success()
    }

    /// The body of a page.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.http)).unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        let status = response[9..12].parse().unwrap();
        (
            status,
            response.split_once("\r\n\r\n").unwrap().1.to_owned(),
        )
    }

    /// Waits until nothing is wrong with it.
    pub(crate) async fn is_well(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let (status, body) = self.get("/readyz");
            if status == 200 && body.contains("\"status\":\"ok\"") {
                return;
            }
            assert!(Instant::now() < deadline, "{body}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a metric is at least that.
    pub(crate) async fn counts(&self, metric: &str, least: f64) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.metric(metric) < least {
            assert!(
                Instant::now() < deadline,
                "{metric} {}",
                self.metric(metric)
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// SHA-256 of its certificate.
    pub(crate) fn certificate(&self) -> [u8; 32] {
        let (_, body) = self.get("/config.json");
        let config: serde_json::Value = serde_json::from_str(&body).unwrap();
        let hash = config["webtransport"][0]["certificateHashes"][0].as_str();
        let hash = base64::engine::general_purpose::STANDARD.decode(hash.unwrap());
        hash.unwrap().try_into().unwrap()
    }

    /// The value of a metric.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let (_, body) = self.get("/metrics");
        let line = body.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
            .unwrap_or(0.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
