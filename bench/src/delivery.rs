//! What delivering costs, and how long it takes.

use anyhow::{Context, Result};

use crate::{
    crowd::{self, Crowd, Load},
    peer::{Server, Transport},
    report::Report,
};

const RECEIVERS: [usize; 4] = [2, 10, 50, 200];
/// `relay.<transport>.<receivers>.<kind>.cpu_us`
pub(crate) async fn cpu(report: &mut Report, transport: Transport) -> Result<()> {
    for audio in [true, false] {
        for receivers in RECEIVERS {
            let load = Load::usual(receivers, audio);
            let name = format!(
                "relay.{}.{receivers}.{}.cpu_us",
                transport.label(),
                load.kind()
            );
            if report.wants(&name) {
                let product = Server::product(transport, &[]).await?;
                let floor = Server::floor(transport)?;
                let (value, floor) = crowd::compare([&product, &floor], &load)
                    .await
                    .with_context(|| name.clone())?;
                report.add(&name, "µs", value, Some(floor));
            }
        }
    }
    Ok(())
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
    let mut load = Load::usual(50, true);
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
