//! A server of the test's own.
#![allow(clippy::unwrap_used)]

use std::{
    io::{BufRead, BufReader},
    net::{TcpListener, UdpSocket},
    path::Path,
    process::{Child, Command, Stdio},
};

/// A process that ends with its test.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) struct Server {
    _process: Running,
    /// Of HTTP.
    pub(crate) port: u16,
}

impl Server {
    /// Starts one on this machine, with more arguments.
    pub(crate) fn start(more: &[&str]) -> Self {
        let (port, media) = (free_port(), free_port());
        let program = Path::new(env!("CARGO_BIN_EXE_videocall-cli"));
        let program = program.with_file_name("videocall-server");
        assert!(
            program.exists(),
            "build it first: cargo build -p videocall-server"
        );
        let mut process = Command::new(program)
            .args(["--http-listen", &format!("127.0.0.1:{port}")])
            .args(["--webtransport-listen", &format!("127.0.0.1:{media}")])
            .args(["--log", "off"])
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let process = Running(process);
        let mut lines = output.lines().map_while(Result::ok);
        assert!(
            lines.any(|line| line.starts_with("Open http")),
            "the server starts"
        );
        // Nobody reads on: what it prints from here on is small.
        Self {
            _process: process,
            port,
        }
    }
}

/// A port that neither TCP nor UDP uses.
fn free_port() -> u16 {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
