//! What crosses between nodes.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{net::TcpListener, time};

use crate::{
    crowd::{Crowd, Load},
    peer::{PATIENCE, Server, Transport, get},
    report::Report,
};

const RECEIVERS: usize = 10;

/// `bus.nats_per_remote_delivery`: messages that NATS hands out for each packet delivered on
/// another node; the floor is one for all of that node's receivers. `bus.remote_cpu_us`: time of
/// both nodes for each of these deliveries; the floor is what one node takes.
pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    let names = ["bus.nats_per_remote_delivery", "bus.remote_cpu_us"];
    if !names.iter().any(|name| report.wants(name)) {
        return Ok(());
    }
    let nats = Nats::start().await?;
    let url = format!("nats://127.0.0.1:{}", nats.port);
    let mut nodes = Vec::new();
    for _ in 0..2 {
        nodes.push(Server::product(Transport::WebSocket, &["--nats-url", &url]).await?);
    }
    let alone = Server::product(Transport::WebSocket, &[]).await?;
    let load = Load {
        receivers: RECEIVERS,
        audio: true,
        per_second: 250,
        packets: 500,
    };
    let mut crowd = Crowd::gather(nodes[0].address, nodes[1].address, &load).await?;
    let cpu = |servers: &[Server]| -> Result<f64> {
        servers.iter().map(|it| it.process.cpu_seconds()).sum()
    };
    let (before, messages) = (cpu(&nodes)?, nats.messages_out().await?);
    let outcome = crowd.carry(&load).await?;
    let messages = nats.messages_out().await? - messages;
    let used = cpu(&nodes)? - before;
    let delivered = outcome.delivered as f64;
    let floor = 1.0 / crowd.len() as f64;
    report.add(names[0], "messages", messages / delivered, Some(floor));

    let mut crowd = Crowd::gather(alone.address, alone.address, &load).await?;
    let before = alone.process.cpu_seconds()?;
    let outcome = crowd.carry(&load).await?;
    let alone = alone.process.cpu_seconds()? - before;
    let floor = alone * 1e6 / outcome.delivered as f64;
    report.add(names[1], "µs", used * 1e6 / delivered, Some(floor));
    Ok(())
}

struct Nats {
    child: Child,
    port: u16,
    monitor: u16,
    _folder: tempfile::TempDir,
}

impl Nats {
    async fn start() -> Result<Self> {
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

    async fn messages_out(&self) -> Result<f64> {
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
