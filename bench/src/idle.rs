//! What a participant costs who does nothing.

use anyhow::Result;

use crate::{
    peer::{Address, Peer, Server, Transport},
    report::Report,
};

/// Participants, in meetings of five.
const PARTICIPANTS: usize = 500;

/// `relay.<transport>.idle_kib`: growth of resident memory for each participant.
pub(crate) async fn measure(report: &mut Report, transport: Transport) -> Result<()> {
    let name = format!("relay.{}.idle_kib", transport.label());
    if !report.wants(&name) {
        return Ok(());
    }
    let value = of(&Server::product(transport, &[]).await?).await?;
    let floor = of(&Server::floor(transport)?).await?;
    report.add(&name, "KiB", value, Some(floor));
    Ok(())
}

async fn of(server: &Server) -> Result<f64> {
    let mut peers = Vec::new();
    // What is made once belongs to nobody.
    for n in 0..20 {
        peers.push(Peer::join(server.address, "first", &format!("f{n}")).await?);
    }
    let before = server.process.memory_kib()?;
    for n in 0..PARTICIPANTS {
        let meeting = format!("m{}", n / 5);
        peers.push(Peer::join(server.address, &meeting, &format!("p{n}")).await?);
    }
    Ok((server.process.memory_kib()? - before) / PARTICIPANTS as f64)
}

/// For a server under a profiler.
pub(crate) async fn hold(port: u16, participants: usize, seconds: u64) -> Result<()> {
    let address = Address::of_product(Transport::WebTransport, port);
    let mut peers = Vec::new();
    for n in 0..participants {
        peers.push(Peer::join(address, &format!("m{}", n / 5), &format!("p{n}")).await?);
    }
    println!("all there");
    tokio::time::sleep(std::time::Duration::from_secs(seconds)).await;
    Ok(())
}
