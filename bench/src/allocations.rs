//! How often the server allocates.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use actix_api::ApiServer;
use anyhow::{Context, Result};
use clap::Parser;
use tokio::io::{AsyncBufReadExt, BufReader};
use videocall_config::{Certificates, Settings, init_logs, start_node};
use webtransport_server::WebTransportServer;

use crate::{
    crowd::{Crowd, Load},
    peer::{Server, Transport},
    report::Report,
};

static COUNT: AtomicU64 = AtomicU64::new(0);

/// The system's allocator, counting.
pub(crate) struct Counting;

// SAFETY: every call is passed on unchanged to the system's allocator, which keeps the contract.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.fetch_add(1, Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
}

/// What `videocall-server` does, answering each line with the number of allocations so far.
pub(crate) async fn serve(args: Vec<String>) -> Result<()> {
    let args = std::iter::once(String::from("videocall-server")).chain(args);
    let config = Cli::parse_from(args).settings.resolve()?;
    init_logs(&config)?;
    let certificates = Certificates::new(&config)?;
    let node = start_node(&config).await?;
    let media = WebTransportServer::bind(&config.webtransport_listen, &certificates, node.clone())?;
    let port = media.local_addresses().first().map(SocketAddr::port);
    let api = ApiServer::bind(&config, &certificates, node, port)?;
    let http = api.local_addresses().first().context("an address")?.port();
    println!("Open http://localhost:{http}");
    tokio::spawn(media.run());
    tokio::spawn(api.run());
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while lines.next_line().await?.is_some() {
        println!("{}", COUNT.load(Relaxed));
    }
    Ok(())
}

/// `relay.<transport>.10.<kind>.allocations`
pub(crate) async fn measure(report: &mut Report, transport: Transport) -> Result<()> {
    for audio in [true, false] {
        let load = Load {
            receivers: 10,
            audio,
            per_second: 250,
            packets: 500,
        };
        let name = format!("relay.{}.10.{}.allocations", transport.label(), load.kind());
        if !report.wants(&name) {
            continue;
        }
        let mut server = Server::counted(transport).await?;
        let mut crowd = Crowd::gather(server.address, server.address, &load).await?;
        let before = server.process.ask()?;
        let outcome = crowd.carry(&load).await?;
        let allocations = (server.process.ask()? - before) as f64;
        report.add(
            &name,
            "allocations",
            allocations / outcome.delivered as f64,
            None,
        );
    }
    Ok(())
}
