//! A server that says nothing.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A WebSocket server that answers the handshake and then stays silent. (Connections are all that
/// these tests count.)
pub(crate) async fn silent_server() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                let text = String::from_utf8(head).unwrap();
                let key = text
                    .lines()
                    .find_map(|line| {
                        let (name, value) = line.split_once(": ")?;
                        name.eq_ignore_ascii_case("sec-websocket-key")
                            .then_some(value)
                    })
                    .unwrap();
                let answer = format!(
                    "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\
                     \r\nsec-websocket-accept: {}\r\n\r\n",
                    tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes())
                );
                let _ = stream.write_all(answer.as_bytes()).await;
                let mut rest = [0; 1024];
                while stream.read(&mut rest).await.unwrap_or(0) > 0 {}
            });
        }
    });
    format!("ws://{address}")
}
