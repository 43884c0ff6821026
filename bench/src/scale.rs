//! Meetings over one, two and three nodes with a NATS server between them: a table to read.

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::{
    meeting::Meetings,
    nats::Nats,
    peer::{Server, Transport},
};

/// More nodes than that are no test on one machine.
const NODES: u32 = 8;

/// `videocall-bench scale`
#[derive(Args)]
pub(crate) struct Scale {
    /// People of the one meeting, five with cameras, three who speak
    #[arg(long, default_value_t = 1000)]
    people: u32,
    /// Meetings of five instead, in each of which all have cameras and two speak
    #[arg(long)]
    meetings: Option<u32>,
    /// All of a meeting at one node, instead of each at the next one
    #[arg(long)]
    together: bool,
    /// websocket or webtransport
    #[arg(long, default_value = "websocket")]
    transport: String,
    /// How many nodes, one after the other
    #[arg(long, value_delimiter = ',', default_value = "1,2,3")]
    nodes: Vec<u32>,
    /// Seconds that count, behind those in which people come
    #[arg(long, default_value_t = 12)]
    seconds: u64,
}

impl Scale {
    pub(crate) async fn run(&self) -> Result<()> {
        let transport = match self.transport.as_str() {
            "websocket" => Transport::WebSocket,
            "webtransport" => Transport::WebTransport,
            other => anyhow::bail!("--transport: `{other}` is neither websocket nor webtransport"),
        };
        let allowed = self.nodes.iter().all(|nodes| (1..=NODES).contains(nodes));
        ensure!(allowed, "--nodes: 1 to {NODES}");
        println!(
            "{:>5} {:>10} {:>11} {:>11} {:>7} {:>7} {:>8} {:>8} {:>8} {:>9} {:>8}",
            "nodes",
            "packets/s",
            "audio lost",
            "video lost",
            "p50",
            "p99",
            "node µs",
            "NATS µs",
            "tester",
            "NATS/s",
            "RSS"
        );
        for nodes in &self.nodes {
            self.on(*nodes, transport).await?;
        }
        Ok(())
    }

    fn of(&self, urls: Vec<String>) -> Meetings {
        let meetings = match self.meetings {
            None => Meetings::one(urls, self.people),
            Some(meetings) => Meetings::of_five(urls, meetings),
        };
        Meetings {
            together: self.together,
            counted: self.seconds.max(1),
            ..meetings
        }
    }

    async fn on(&self, count: u32, transport: Transport) -> Result<()> {
        let nats = Nats::start().await?;
        let url = nats.url();
        let mut nodes = Vec::new();
        for _ in 0..count {
            nodes.push(Server::product(transport, &["--nats-url", &url]).await?);
        }
        let meetings = self.of(nodes.iter().map(|node| node.address.url()).collect());
        let watched: Vec<u32> = nodes.iter().map(|node| node.process.id()).collect();
        let watched: Vec<u32> = watched.into_iter().chain([nats.id()]).collect();
        let outcome = meetings.run(&watched, Some(&nats)).await?;
        let rate = outcome.figure("received.rate");
        let counted = meetings.counted as f64;
        let each = |seconds: f64| seconds * 1e6 / (rate * counted);
        let (of_nats, of_nodes) = outcome.cpu_seconds.split_last().context("processes")?;
        let memory: Result<Vec<f64>> = nodes.iter().map(|node| node.process.memory_kib()).collect();
        println!(
            "{count:>5} {rate:>10.0} {:>9.3} % {:>9.3} % {:>7.1} {:>7.1} {:>8.2} {:>8.2} {:>8.2} \
             {:>9.0} {:>8.0}",
            outcome.figure("lost.audio.percent"),
            outcome.figure("lost.video.percent"),
            outcome.figure("one_way.p50"),
            outcome.figure("one_way.p99"),
            each(of_nodes.iter().sum()),
            each(*of_nats),
            each(outcome.tester_cpu_seconds),
            outcome.nats_messages / counted,
            memory?.iter().sum::<f64>() / 1024.0,
        );
        for doubt in outcome.doubts() {
            println!("      {doubt}");
        }
        Ok(())
    }
}
