//! The live page and the metrics, over HTTP: `/`, `/events` (server-sent events) and `/metrics`.
//!
//! It is for the operator's own machine or network: no passwords, nothing can be changed by it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::AbortHandle,
    time::timeout,
};

use super::{
    frame::{Frame, warnings},
    prometheus,
};

const PAGE: &str = include_str!("page.html");
/// Longest head of a request.
const MAX_HEAD: usize = 8192;
/// Connections at once; further ones wait.
const MAX_CONNECTIONS: usize = 64;
/// A request, or a reader, that takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// Serves until dropped.
#[derive(Debug)]
pub struct Web {
    /// Where it listens.
    pub address: SocketAddr,
    task: AbortHandle,
}

impl Drop for Web {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves the states of a run.
///
/// # Errors
/// When it cannot listen there.
pub async fn serve(
    address: SocketAddr,
    frames: watch::Receiver<Arc<Frame>>,
) -> std::io::Result<Web> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let task = tokio::spawn(async move {
        loop {
            let Ok(place) = places.clone().acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let frames = frames.clone();
                    tokio::spawn(async move {
                        // A reader that goes away is no concern of the run.
                        let _ = answer(stream, frames).await;
                        drop(place);
                    });
                }
                // Out of file descriptors, for instance: the run goes on.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    });
    Ok(Web {
        address,
        task: task.abort_handle(),
    })
}

async fn answer(
    mut stream: TcpStream,
    mut frames: watch::Receiver<Arc<Frame>>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    let read = timeout(PATIENCE, async {
        while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < MAX_HEAD {
            if stream.read_buf(&mut head).await? == 0 {
                break;
            }
        }
        std::io::Result::Ok(())
    });
    read.await??;
    let text = String::from_utf8_lossy(&head);
    let mut words = text.split_whitespace();
    let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let path = path.split('?').next().unwrap_or("");
    match (method, path) {
        ("GET", "/") => {
            // Nothing is loaded from elsewhere.
            let policy = "content-security-policy: default-src 'none'; connect-src 'self'; \
                          style-src 'unsafe-inline'; script-src 'unsafe-inline'\r\n";
            reply(
                &mut stream,
                "200 OK",
                "text/html; charset=utf-8",
                policy,
                PAGE,
            )
            .await
        }
        ("GET", "/metrics") => {
            let page = prometheus::page(&frames.borrow().clone());
            reply(&mut stream, "200 OK", prometheus::CONTENT_TYPE, "", &page).await
        }
        ("GET", "/events") => {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                        cache-control: no-store\r\nconnection: close\r\n\r\n";
            stream.write_all(head.as_bytes()).await?;
            loop {
                let frame = frames.borrow_and_update().clone();
                let event = format!("data: {}\n\n", event(&frame));
                timeout(PATIENCE, stream.write_all(event.as_bytes())).await??;
                if frame.last || frames.changed().await.is_err() {
                    return Ok(());
                }
            }
        }
        ("GET", _) => {
            reply(
                &mut stream,
                "404 Not Found",
                "text/plain",
                "",
                "not found\n",
            )
            .await
        }
        _ => reply(&mut stream, "405 Method Not Allowed", "text/plain", "", "").await,
    }
}

async fn reply(
    stream: &mut TcpStream,
    status: &str,
    kind: &str,
    more: &str,
    body: &str,
) -> std::io::Result<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n{more}\
         connection: close\r\n\r\n"
    );
    let whole = head + body;
    timeout(PATIENCE, stream.write_all(whole.as_bytes())).await??;
    stream.shutdown().await
}

/// What the page is told.
pub(super) fn event(frame: &Frame) -> Value {
    let all = frame.figures.iter();
    let figures: serde_json::Map<String, Value> = all
        .map(|(name, figure)| (name.clone(), json!(super::text::figure(figure))))
        .collect();
    let errors = frame.collected.snapshot.errors.iter();
    let errors: Vec<Value> = errors
        .map(|(class, (count, example))| json!([class.to_string(), count, example]))
        .collect();
    json!({
        "elapsed": frame.elapsed.as_secs_f64(),
        "planned": frame.planned.as_secs_f64(),
        "last": frame.last,
        "point": frame.point,
        "figures": figures,
        "errors": errors,
        "warnings": warnings(&frame.collected.workers),
        "thresholds": frame.verdicts,
    })
}
