//! The real server, on ports of its own.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;
use videocall_client::native::{Servers, Trust};

use crate::receiver::Transport;

pub(crate) struct Server {
    child: Child,
    http: u16,
    media: u16,
    hashes: Vec<[u8; 32]>,
}

fn free_port() -> u16 {
    loop {
        let port = TcpListener::bind("0.0.0.0:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        if UdpSocket::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}

impl Server {
    pub(crate) fn start(address: &str) -> Self {
        let (http, media) = (free_port(), free_port());
        let mut child = Command::new(env!("CARGO_BIN_EXE_videocall-server"))
            .args(["--http-listen", &format!("{address}:{http}")])
            .args(["--webtransport-listen", &format!("{address}:{media}")])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let (opened, open) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if line.starts_with("Open http") {
                    let _ = opened.send(());
                }
            }
        });
        open.recv_timeout(Duration::from_secs(60))
            .expect("the server says where it is");
        let mut server = Self {
            child,
            http,
            media,
            hashes: Vec::new(),
        };
        let config: Value = serde_json::from_str(&server.get("/config.json")).unwrap();
        let hashes = config["webtransport"][0]["certificateHashes"].as_array();
        let decoded = hashes.unwrap().iter().map(|hash| {
            let bytes = BASE64_STANDARD.decode(hash.as_str().unwrap()).unwrap();
            bytes.try_into().unwrap()
        });
        server.hashes = decoded.collect();
        server
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.http)).unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        response.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    /// How to reach it at an address.
    pub(crate) fn at(&self, address: &str, transport: Transport) -> Servers {
        match transport {
            Transport::WebSocket => Servers {
                websocket: Some(format!("ws://{address}:{}", self.http)),
                ..Servers::default()
            },
            Transport::WebTransport => Servers {
                webtransport: Some(format!("https://{address}:{}", self.media)),
                trust: Trust::Hashes(self.hashes.clone()),
                ..Servers::default()
            },
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
