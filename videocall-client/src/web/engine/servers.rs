//! Asks the servers of the installation which of them to join at.

use std::time::Duration;

use futures_util::{
    StreamExt,
    future::{Either, select},
    stream::FuturesUnordered,
};

use super::{
    Shared, js,
    link::{self, ServerConfig},
};

/// How long a server may take to say where it is.
const CONFIG_MS: f64 = 3000.0;
/// How long all servers together may take to answer at all, and the others after the first.
const FIRST_ANSWER_MS: f64 = 500.0;
const OTHER_ANSWERS_MS: f64 = 150.0;

/// The server to join at now, and where its doors are. It is the engine's current server from here
/// on, also if it does not answer.
pub(super) async fn choose(shared: &Shared) -> Result<(String, ServerConfig), String> {
    let mut first = pick(shared);
    let config = config_of(&first).await?;
    let to_measure = {
        let engine = &mut *shared.borrow_mut();
        let servers = &mut engine.servers;
        servers.set_placement(config.placement);
        servers.learn(&config.servers);
        if let Some(origin) = &config.origin
            && servers.name(&first, origin)
        {
            first.clone_from(origin);
        }
        engine.session.set_has_others(servers.has_others());
        servers.to_measure(js::now())
    };
    measure(shared, to_measure).await;
    let chosen = pick(shared);
    if chosen == first {
        return Ok((first, config));
    }
    let config = config_of(&chosen).await?;
    Ok((chosen, config))
}

fn pick(shared: &Shared) -> String {
    let engine = &mut *shared.borrow_mut();
    engine.server = engine.servers.choose(js::now()).to_owned();
    engine.server.clone()
}

async fn config_of(origin: &str) -> Result<ServerConfig, String> {
    let fetch = Box::pin(link::fetch_config(origin));
    match select(fetch, Box::pin(js::sleep(CONFIG_MS))).await {
        Either::Left((config, _)) => config,
        Either::Right(_) => Err("the server does not answer".to_owned()),
    }
}

/// Measures all at once. Waiting for one that is far would cost more than it could ever save.
async fn measure(shared: &Shared, origins: Vec<String>) {
    if origins.is_empty() {
        return;
    }
    let mut asked: FuturesUnordered<_> = origins
        .iter()
        .map(|origin| async move { (origin, link::measure(origin).await) })
        .collect();
    let mut answers: Vec<(&String, Option<Duration>)> = Vec::new();
    let mut limit = Box::pin(js::sleep(FIRST_ANSWER_MS));
    while let Either::Left((Some((origin, rtt)), _)) = select(asked.next(), &mut limit).await {
        if rtt.is_some() && answers.iter().all(|(_, rtt)| rtt.is_none()) {
            limit = Box::pin(js::sleep(OTHER_ANSWERS_MS));
        }
        answers.push((origin, rtt));
    }
    let servers = &mut shared.borrow_mut().servers;
    for origin in &origins {
        let answer = answers.iter().find(|(answered, _)| *answered == origin);
        servers.measured(js::now(), origin, answer.and_then(|(_, rtt)| *rtt));
    }
}
