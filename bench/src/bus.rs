//! What crosses between nodes.

use anyhow::Result;

use crate::{
    crowd::{Crowd, Load},
    nats::Nats,
    peer::{Server, Transport},
    report::Report,
};

const RECEIVERS: usize = 10;
const TRANSPORT: Transport = Transport::WebSocket;
const CROSSING: &str = "bus.nats_per_remote_delivery";
const REMOTE: &str = "bus.remote_cpu_us";
const PARTS: [&str; 3] = [
    "bus.publisher_node_cpu_us",
    "bus.nats_cpu_us",
    "bus.receiver_node_cpu_us",
];

/// Four seconds of sound.
fn sound(receivers: usize) -> Load {
    Load {
        receivers,
        audio: true,
        per_second: 250,
        packets: 1000,
    }
}

/// `bus.nats_per_remote_delivery`: messages that NATS hands out for each packet delivered on
/// another node; the floor is one for all of that node's receivers. `bus.remote_cpu_us`: time of
/// both nodes for each of these deliveries; the floor is what one node takes.
///
/// `bus.publisher_node_cpu_us`, `bus.nats_cpu_us`, `bus.receiver_node_cpu_us`: what a packet that
/// crosses costs each of the three, beside taking it in from its publisher and giving it to its
/// receivers.
pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    let mut names = [CROSSING, REMOTE].into_iter().chain(PARTS);
    if !names.any(|name| report.wants(name)) {
        return Ok(());
    }
    let crossing = Crossing::start().await?;
    let many = crossing.carry(RECEIVERS).await?;
    let alone = Server::product(TRANSPORT, &[]).await?;
    let at_home = on_one_node(&alone, RECEIVERS).await?;
    let floor = 1.0 / RECEIVERS as f64;
    report.add(CROSSING, "messages", many.messages * floor, Some(floor));
    let both = (many.publisher + many.receiver) / RECEIVERS as f64;
    report.add(REMOTE, "µs", both, Some(at_home / RECEIVERS as f64));

    // What one more receiver costs is what giving costs.
    let one = crossing.carry(1).await?;
    let giving = (many.receiver - one.receiver) / (RECEIVERS - 1) as f64;
    let taking_in = on_one_node(&alone, 0).await?;
    report.add(PARTS[0], "µs", one.publisher - taking_in, None);
    report.add(PARTS[1], "µs", one.nats, None);
    report.add(PARTS[2], "µs", one.receiver - giving, None);
    Ok(())
}

/// CPU microseconds of a node for each packet of somebody with so many receivers.
async fn on_one_node(server: &Server, receivers: usize) -> Result<f64> {
    let load = sound(receivers);
    let mut crowd = Crowd::gather(server.address, server.address, &load).await?;
    let before = server.process.cpu_seconds()?;
    crowd.carry(&load).await?;
    let used = server.process.cpu_seconds()? - before;
    Ok(used * 1e6 / f64::from(load.packets))
}

/// The publisher on one node, everybody else on another.
struct Crossing {
    nats: Nats,
    nodes: [Server; 2],
}

/// For each packet: CPU microseconds, and messages that NATS hands out.
struct Cost {
    publisher: f64,
    nats: f64,
    receiver: f64,
    messages: f64,
}

impl Crossing {
    async fn start() -> Result<Self> {
        let nats = Nats::start().await?;
        let url = nats.url();
        let args = ["--nats-url", url.as_str()];
        let nodes = [
            Server::product(TRANSPORT, &args).await?,
            Server::product(TRANSPORT, &args).await?,
        ];
        Ok(Self { nats, nodes })
    }

    async fn carry(&self, receivers: usize) -> Result<Cost> {
        let load = sound(receivers);
        let [from, to] = &self.nodes;
        let mut crowd = Crowd::gather(from.address, to.address, &load).await?;
        let cpu = || -> Result<[f64; 3]> {
            Ok([
                from.process.cpu_seconds()?,
                self.nats.cpu_seconds()?,
                to.process.cpu_seconds()?,
            ])
        };
        let (before, messages) = (cpu()?, self.nats.messages_out().await?);
        crowd.carry(&load).await?;
        let (after, messages) = (cpu()?, self.nats.messages_out().await? - messages);
        let each = |part: usize| (after[part] - before[part]) * 1e6 / f64::from(load.packets);
        Ok(Cost {
            publisher: each(0),
            nats: each(1),
            receiver: each(2),
            messages: messages / f64::from(load.packets),
        })
    }
}
