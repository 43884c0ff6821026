//! HTTP and WebSocket ingress as a process of its own.

use std::process::ExitCode;

use actix_api::ApiServer;
use anyhow::Result;
use clap::Parser;
use tracing::info;
use videocall_config::{Certificates, Settings, exit_code, init_logs, shutdown_signal, start_node};

/// HTTP and WebSocket ingress of videocall: serves the page and takes participants, and connects
/// them with those of other nodes through NATS.
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
    // WebTransport runs elsewhere; --webtransport-url says where.
    let server = ApiServer::bind(&config, &certificates, node.clone(), None)?;
    info!(addresses = ?server.local_addresses(), "listening for HTTP");
    tokio::spawn(certificates.keep_fresh());
    let handle = server.handle();
    let running = tokio::spawn(server.run());
    shutdown_signal().await?;
    node.drain(config.drain).await;
    handle.stop(true).await;
    running.await??;
    Ok(())
}
