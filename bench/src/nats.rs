//! A NATS server of the benchmark's own.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{net::TcpListener, time};

use crate::{
    peer::{PATIENCE, get},
    process,
};

pub(crate) struct Nats {
    child: Child,
    port: u16,
    monitor: u16,
    _folder: tempfile::TempDir,
}

impl Nats {
    pub(crate) async fn start() -> Result<Self> {
        let (port, monitor) = (free_port().await?, free_port().await?);
        let folder = tempfile::tempdir()?;
        let child = Command::new("nats-server")
            .args(["--addr", "127.0.0.1", "--jetstream"])
            .args(["--port", &port.to_string()])
            .args(["--http_port", &monitor.to_string()])
            .arg("--store_dir")
            .arg(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("nats-server cannot be started: scripts/setup test installs it")?;
        let nats = Self {
            child,
            port,
            monitor,
            _folder: folder,
        };
        let up = async {
            while nats.messages_out().await.is_err() {
                time::sleep(Duration::from_millis(20)).await;
            }
        };
        time::timeout(PATIENCE, up)
            .await
            .context("nats-server did not start")?;
        Ok(nats)
    }

    /// Where nodes find it.
    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// By which the system knows its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        process::cpu_seconds(&self.child.id().to_string())
    }

    /// Messages that it has handed out.
    pub(crate) async fn messages_out(&self) -> Result<f64> {
        let body = get(self.monitor, "/varz").await?;
        let figures: serde_json::Value = serde_json::from_str(&body)?;
        figures["out_msgs"].as_f64().context("out_msgs")
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port())
}
