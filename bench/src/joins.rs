//! How fast people come in.

use std::time::Instant;

use anyhow::Result;
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::{
    peer::{Peer, Server, Transport},
    report::Report,
};

const JOINS: usize = 400;
/// Joins under way at the same time.
const AT_ONCE: usize = 16;

/// `relay.<transport>.join_cpu_us` and `relay.<transport>.joins_per_second`, into meetings of five;
/// the floor accepts a connection and no more.
pub(crate) async fn measure(report: &mut Report, transport: Transport) -> Result<()> {
    let cpu = format!("relay.{}.join_cpu_us", transport.label());
    let rate = format!("relay.{}.joins_per_second", transport.label());
    if !report.wants(&cpu) && !report.wants(&rate) {
        return Ok(());
    }
    let (value_cpu, value_rate) = of(&Server::product(transport, &[]).await?).await?;
    let (floor_cpu, floor_rate) = of(&Server::floor(transport)?).await?;
    report.add(&cpu, "µs", value_cpu, Some(floor_cpu));
    report.add(&rate, "1/s", value_rate, Some(floor_rate));
    Ok(())
}

async fn of(server: &Server) -> Result<(f64, f64)> {
    let first = Peer::join(server.address, "first", "first").await?;
    let (start, before) = (Instant::now(), server.process.cpu_seconds()?);
    let peers: Vec<Peer> = stream::iter(0..JOINS)
        .map(|n| async move {
            let meeting = format!("m{}", n / 5);
            Peer::join(server.address, &meeting, &format!("p{n}")).await
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    let seconds = start.elapsed().as_secs_f64();
    let cpu = server.process.cpu_seconds()? - before;
    drop((peers, first));
    Ok((cpu * 1e6 / JOINS as f64, JOINS as f64 / seconds))
}
