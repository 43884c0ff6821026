//! Everything in one process: both ingress servers around one node.
#![forbid(unsafe_code)]

mod token;

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use actix_api::ApiServer;
use anyhow::Result;
use clap::{Parser, Subcommand};
use tracing::info;
use videocall_config::{
    Certificates, Config, Settings, exit_code, init_logs, shutdown_signal, start_node,
};
use webtransport_server::WebTransportServer;

/// Video meetings on one machine: the page, WebSocket and WebTransport in one process.
///
/// Every setting can also be given in the environment or in a file (--config). Without --lan only
/// this machine can join. With --nats-url, several servers make one system.
#[derive(Parser)]
#[command(name = "videocall-server", version)]
struct Cli {
    #[command(flatten)]
    settings: Settings,

    #[command(subcommand)]
    command: Option<Command>,
}

/// What to do instead of serving.
#[derive(Subcommand)]
enum Command {
    /// Print a token with which somebody joins a meeting
    Token(token::TokenArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    exit_code(match cli.command {
        Some(Command::Token(args)) => token::print(cli.settings, &args),
        None => run(cli.settings).await,
    })
}

async fn run(settings: Settings) -> Result<()> {
    let config = settings.resolve()?;
    init_logs(&config)?;
    let certificates = Certificates::new(&config)?;
    let node = start_node(&config).await?;
    let media = WebTransportServer::bind(&config.webtransport_listen, &certificates, node.clone())?;
    let port = media.local_addresses().first().map(SocketAddr::port);
    let api = ApiServer::bind(&config, &certificates, node.clone(), port)?;
    info!(http = ?api.local_addresses(), webtransport = ?media.local_addresses(), "listening");
    announce(&config, api.local_addresses());
    tokio::spawn(certificates.keep_fresh());
    let handle = api.handle();
    let media = tokio::spawn(media.run());
    let api = tokio::spawn(api.run());
    shutdown_signal().await?;
    node.drain(config.drain).await;
    handle.stop(true).await;
    api.await??;
    // The last datagrams of closed sessions leave with the endpoint.
    tokio::time::sleep(Duration::from_millis(100)).await;
    media.abort();
    Ok(())
}

/// Prints where to go: the last line of a successful start.
#[allow(clippy::print_stdout)]
fn announce(config: &Config, addresses: &[SocketAddr]) {
    let scheme = if config.https { "https" } else { "http" };
    let Some(port) = addresses.first().map(SocketAddr::port) else {
        return;
    };
    for address in config.lan_addresses().iter().filter(|_| config.lan) {
        println!(
            "On this network: {scheme}://{}",
            SocketAddr::new(*address, port)
        );
    }
    if config.lan && config.tls_files.is_none() {
        println!(
            "The certificate is this server's own: each browser asks once whether to trust it."
        );
    }
    println!("Open {scheme}://localhost:{port}");
}
