//! The server within the test, around a bus of the test's own.

use std::{sync::Arc, time::Duration};

use actix_api::ApiServer;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time,
};
use videocall_config::{Certificates, Settings};
use videocall_node::{GuestAdmission, Node, bus::Bus};
use webtransport_server::WebTransportServer;

pub(crate) struct Server {
    pub(crate) http: u16,
    pub(crate) media: u16,
}

impl Server {
    pub(crate) async fn start(bus: Arc<dyn Bus>) -> Self {
        let mut config = Settings::default().resolve().unwrap();
        config.http_listen = vec![([127, 0, 0, 1], 0).into()];
        config.webtransport_listen = config.http_listen.clone();
        let certificates = Certificates::new(&config).unwrap();
        let admission = Arc::new(GuestAdmission { allowed: true });
        let node = Node::new(config.node.clone(), bus, admission);
        let listen = &config.webtransport_listen;
        let media = WebTransportServer::bind(listen, &certificates, node.clone()).unwrap();
        let media_port = media.local_addresses()[0].port();
        let api = ApiServer::bind(&config, &certificates, node, Some(media_port)).unwrap();
        let http = api.local_addresses()[0].port();
        tokio::spawn(media.run());
        tokio::spawn(api.run());
        Self {
            http,
            media: media_port,
        }
    }

    /// Waits until its metrics hold a line.
    pub(crate) async fn comes_to_say(&self, line: &str) {
        let said = async {
            while !self.metrics().await.lines().any(|it| it == line) {
                time::sleep(Duration::from_millis(20)).await;
            }
        };
        let result = time::timeout(Duration::from_secs(30), said).await;
        assert!(result.is_ok(), "{line}: {}", self.metrics().await);
    }

    async fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.http)).await.unwrap();
        let request = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        response
    }
}
