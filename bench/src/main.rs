//! Prints what server and streamer cost, beside its floor: the least work that could do the same, on the
//! same runtime, measured in the same run.
//!
//! Server and floor are processes of their own, so that the time and the memory they take are
//! theirs alone. Everything stays on the loopback interface, bounded in time and count. Results go
//! to `bench/results/latest.json` as well; `docs/performance.md` says what each figure means.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod allocations;
mod bus;
mod crowd;
mod delivery;
mod floor;
mod idle;
mod instructions;
mod joins;
mod libraries;
mod meeting;
mod micro;
mod nats;
mod peer;
mod process;
mod report;
mod scale;
mod streamer;

use anyhow::Result;
use clap::{Parser, Subcommand};
use tokio::runtime::Builder;

use crate::{peer::Transport, report::Report};

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

const TRANSPORTS: [Transport; 2] = [Transport::WebSocket, Transport::WebTransport];

/// Prints the numbers with their floors.
#[derive(Parser)]
#[command(name = "videocall-bench", version)]
struct Cli {
    /// Only figures whose names begin with this: `relay.websocket`, `bus`, …
    #[arg(long, default_value = "")]
    only: String,
    #[command(subcommand)]
    part: Option<Part>,
}

/// Processes that a run starts.
#[derive(Subcommand)]
enum Part {
    /// Meetings over several nodes, as a table
    Scale(scale::Scale),
    /// The bare loop over TCP.
    #[command(hide = true)]
    FloorWebsocket,
    /// The bare loop over QUIC.
    #[command(hide = true)]
    FloorWebtransport,
    /// The bare loop behind a WebSocket library.
    #[command(hide = true)]
    Library { name: String },
    /// The server, telling how often it allocated for each line on its standard input.
    #[command(hide = true)]
    CountedServer {
        #[arg(allow_hyphen_values = true, trailing_var_arg = true)]
        args: Vec<String>,
    },
    /// Joins this many idle participants at a WebTransport port, and holds them for some seconds.
    #[command(hide = true)]
    Hold {
        port: u16,
        participants: usize,
        seconds: u64,
    },
    /// What the figures of the streamer are compared with.
    #[command(hide = true)]
    StreamerFloor {
        #[command(subcommand)]
        floor: streamer::Floor,
    },
    /// The relay's core alone: this many packets to a hundred receivers.
    #[command(hide = true)]
    Core { kind: String, packets: u64 },
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    // One thread measures; what is measured has as many as it would have anywhere.
    let mut runtime = match cli.part {
        None => Builder::new_current_thread(),
        Some(_) => Builder::new_multi_thread(),
    };
    runtime.enable_all().build()?.block_on(start(cli))
}

async fn start(cli: Cli) -> Result<()> {
    match cli.part {
        None => run(cli.only).await,
        Some(Part::Scale(scale)) => scale.run().await,
        Some(Part::FloorWebsocket) => floor::tcp().await,
        Some(Part::FloorWebtransport) => floor::quic().await,
        Some(Part::Library { name }) => libraries::serve(&name).await,
        Some(Part::CountedServer { args }) => allocations::serve(args).await,
        Some(Part::Hold {
            port,
            participants,
            seconds,
        }) => idle::hold(port, participants, seconds).await,
        Some(Part::StreamerFloor { floor }) => floor.run().await,
        Some(Part::Core { kind, packets }) => instructions::core(&kind, packets),
    }
}

async fn run(only: String) -> Result<()> {
    let mut report = Report::new(only);
    report.section("CPU time for each delivered packet, user and system");
    for transport in TRANSPORTS {
        delivery::cpu(&mut report, transport).await?;
    }
    report.section("The same loop by WebSocket libraries that were not chosen");
    libraries::measure(&mut report).await?;
    report.section("Delay through the server at half of what this machine carries");
    for transport in TRANSPORTS {
        delivery::delay(&mut report, transport).await?;
    }
    report.section("One meeting, five cameras, three who speak, nine pictures on each screen");
    for transport in TRANSPORTS {
        meeting::measure(&mut report, transport).await?;
    }
    report.section("Joining, and being there");
    for transport in TRANSPORTS {
        joins::measure(&mut report, transport).await?;
        idle::measure(&mut report, transport).await?;
    }
    report.section("Allocations for each delivered packet, client not counted");
    for transport in TRANSPORTS {
        allocations::measure(&mut report, transport).await?;
    }
    report.section("Between nodes");
    bus::measure(&mut report).await?;
    report.section("The program without a browser");
    streamer::measure(&mut report).await?;
    report.section("The relay's core alone");
    instructions::measure(&mut report)?;
    micro::measure(&mut report)?;
    report.save()
}
