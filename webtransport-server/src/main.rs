//! WebTransport ingress as a process of its own.

use std::{process::ExitCode, time::Duration};

use anyhow::Result;
use clap::Parser;
use tracing::info;
use videocall_config::{Certificates, Settings, exit_code, init_logs, shutdown_signal, start_node};
use webtransport_server::WebTransportServer;

/// WebTransport ingress of videocall: takes participants over UDP and connects them with those of
/// other nodes through NATS.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
}

#[tokio::main]
async fn main() -> ExitCode {
    exit_code(run(Cli::parse().settings).await)
}

async fn run(settings: Settings) -> Result<()> {
    let config = settings.resolve()?;
    init_logs(&config)?;
    let certificates = Certificates::new(&config)?;
    let node = start_node(&config).await?;
    let server =
        WebTransportServer::bind(&config.webtransport_listen, &certificates, node.clone())?;
    info!(addresses = ?server.local_addresses(), "listening for WebTransport");
    tokio::spawn(certificates.keep_fresh());
    let running = tokio::spawn(server.run());
    shutdown_signal().await?;
    node.drain(config.drain).await;
    // The last datagrams of the close leave with the endpoint.
    tokio::time::sleep(Duration::from_millis(100)).await;
    running.abort();
    Ok(())
}
