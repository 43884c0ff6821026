//! What delivering costs, and how long it takes.

use anyhow::{Context, Result};

use crate::{
    crowd::{Crowd, Load},
    peer::{Server, Transport},
    report::Report,
};

const RECEIVERS: [usize; 4] = [2, 10, 50, 200];
/// Measured this often, in turn with the floor; the round with the median ratio counts.
const ROUNDS: usize = 5;
/// Deliveries a second that leave a processor idle for most of the time: thirty pictures a second
/// for two hundred.
const DELIVERIES: u32 = 6000;
/// Packets a second, at most.
const PACKETS: u32 = 250;

fn load(receivers: usize, audio: bool) -> Load {
    let per_second = (DELIVERIES / receivers as u32).min(PACKETS);
    Load {
        receivers,
        audio,
        per_second,
        packets: per_second,
    }
}

/// `relay.<transport>.<receivers>.<kind>.cpu_us`
pub(crate) async fn cpu(report: &mut Report, transport: Transport) -> Result<()> {
    for audio in [true, false] {
        for receivers in RECEIVERS {
            let load = load(receivers, audio);
            let name = format!(
                "relay.{}.{receivers}.{}.cpu_us",
                transport.label(),
                load.kind()
            );
            if report.wants(&name) {
                let (value, floor) = cpu_of(transport, &load)
                    .await
                    .with_context(|| name.clone())?;
                report.add(&name, "µs", value, Some(floor));
            }
        }
    }
    Ok(())
}

async fn cpu_of(transport: Transport, load: &Load) -> Result<(f64, f64)> {
    let product = Server::product(transport, &[]).await?;
    let floor = Server::floor(transport)?;
    let mut crowds = Vec::new();
    for server in [&product, &floor] {
        crowds.push(Crowd::gather(server.address, server.address, load).await?);
    }
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let mut costs = [0.0; 2];
        for ((cost, server), crowd) in costs.iter_mut().zip([&product, &floor]).zip(&mut crowds) {
            let before = server.process.cpu_seconds()?;
            let outcome = crowd.carry(load).await?;
            let used = server.process.cpu_seconds()? - before;
            *cost = used * 1e6 / outcome.delivered as f64;
        }
        rounds.push((costs[0], costs[1]));
    }
    rounds.sort_by(|a, b| (a.0 / a.1).total_cmp(&(b.0 / b.1)));
    Ok(rounds[ROUNDS / 2])
}

/// `relay.<transport>.delay_p50_ms` and `…p99_ms`: fifty receivers of audio, at half the rate at
/// which server and receivers together would take all the time of two processors.
pub(crate) async fn delay(report: &mut Report, transport: Transport) -> Result<()> {
    let names = ["50", "99"].map(|p| format!("relay.{}.delay_p{p}_ms", transport.label()));
    if !names.iter().any(|name| report.wants(name)) {
        return Ok(());
    }
    let product = Server::product(transport, &[]).await?;
    let floor = Server::floor(transport)?;
    let mut load = load(50, true);
    let mut crowds = Vec::new();
    for server in [&product, &floor] {
        crowds.push(Crowd::gather(server.address, server.address, &load).await?);
    }
    let before = product.process.cpu_seconds()?;
    let outcome = crowds[0].carry(&load).await?;
    let server_seconds = product.process.cpu_seconds()? - before;
    let each = (server_seconds + outcome.client_seconds) / outcome.delivered as f64;
    load.per_second = (1.0 / each / load.receivers as f64) as u32;
    load.packets = load.per_second * 4;
    let mut delays = Vec::new();
    for crowd in &mut crowds {
        let (outcome, histogram) = crowd.carry_timed(&load).await?;
        let lost = outcome.sent - outcome.delivered.min(outcome.sent);
        delays.push((histogram, lost));
    }
    for (name, quantile) in names.iter().zip([0.5, 0.99]) {
        let at = |n: usize| delays[n].0.value_at_quantile(quantile) as f64 / 1e3;
        report.add(name, "ms", at(0), Some(at(1)));
    }
    let name = format!("relay.{}.delay_rate", transport.label());
    let rate = load.per_second as f64 * load.receivers as f64;
    report.add(&name, "packets/s", rate, None);
    let name = format!("relay.{}.delay_lost", transport.label());
    report.add(
        &name,
        "packets",
        delays[0].1 as f64,
        Some(delays[1].1 as f64),
    );
    Ok(())
}
