//! Chooses the server to join at, by the time that a connection to each takes.

use std::time::Duration;

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    net::TcpStream,
    time::{self, Instant},
};
use tokio_tungstenite::tungstenite::http::Uri;

use super::link::Servers;
use crate::core::select::{Placement, Selection};

/// How long all servers together may take to answer at all, and the others after the first.
const FIRST_ANSWER: Duration = Duration::from_millis(500);
const OTHER_ANSWERS: Duration = Duration::from_millis(150);

/// The doors of each server of an installation.
pub(super) struct Choice {
    servers: Vec<Servers>,
    selection: Selection,
    /// The one that is joined, or tried.
    current: usize,
}

impl Default for Choice {
    /// Of nothing.
    fn default() -> Self {
        Self::new(Vec::new(), "", Placement::default())
    }
}

impl Choice {
    /// The first is home.
    pub(super) fn new(servers: Vec<Servers>, meeting: &str, placement: Placement) -> Self {
        let mut selection = Selection::of(servers.iter().map(name), meeting);
        selection.set_placement(placement);
        Self {
            selection,
            servers,
            current: 0,
        }
    }

    /// The server to go to now; measures first where that is due.
    pub(super) async fn choose(&mut self, now: Duration) -> Servers {
        let due = self.selection.to_measure(now);
        let mut asked: FuturesUnordered<_> = self
            .servers
            .iter()
            .filter(|servers| due.contains(&name(servers)))
            .map(|servers| async move { (name(servers), round_trip(servers).await) })
            .collect();
        let mut limit = Instant::now() + FIRST_ANSWER;
        let mut answers = Vec::new();
        while let Ok(Some((name, rtt))) = time::timeout_at(limit, asked.next()).await {
            if rtt.is_some() && answers.iter().all(|(_, rtt)| Option::is_none(rtt)) {
                limit = Instant::now() + OTHER_ANSWERS;
            }
            answers.push((name, rtt));
        }
        drop(asked);
        for name in due {
            let answer = answers.iter().find(|(answered, _)| *answered == name);
            let rtt = answer.and_then(|(_, rtt)| *rtt);
            self.selection.measured(now, &name, rtt);
        }
        let chosen = self.selection.choose(now);
        let found = self
            .servers
            .iter()
            .position(|servers| name(servers) == chosen);
        self.current = found.unwrap_or(0);
        self.servers.get(self.current).cloned().unwrap_or_default()
    }

    pub(super) fn joined(&mut self) {
        let name = self.current();
        self.selection.joined(&name);
    }

    pub(super) fn failed(&mut self, now: Duration, retry_after: Duration) {
        let name = self.current();
        self.selection.failed(now, &name, retry_after);
    }

    /// A server names others by their origins; here they are known by their doors.
    pub(super) fn recommended(&mut self, origins: &[String]) {
        let doors: Vec<String> = origins
            .iter()
            .map(|origin| origin.replacen("http", "ws", 1))
            .collect();
        self.selection.recommended(&doors);
        self.selection.recommended(origins);
    }

    /// When any of them may be asked again, of those that asked for a pause.
    pub(super) fn open_at(&self) -> Duration {
        self.selection.open_at()
    }

    fn current(&self) -> String {
        self.servers.get(self.current).map(name).unwrap_or_default()
    }
}

/// Servers are told apart by their origin, or the first address that they have.
fn name(servers: &Servers) -> String {
    let Servers {
        origin,
        websocket,
        webtransport,
        ..
    } = servers;
    let first = origin.as_ref().or(websocket.as_ref());
    first.or(webtransport.as_ref()).cloned().unwrap_or_default()
}

/// How long a TCP connection takes; `None` where there is no door for one, or nobody behind it.
async fn round_trip(servers: &Servers) -> Option<Duration> {
    let uri: Uri = servers.websocket.as_ref()?.parse().ok()?;
    let port = match (uri.port_u16(), uri.scheme_str()) {
        (Some(port), _) => port,
        (None, Some("wss")) => 443,
        (None, _) => 80,
    };
    let host = uri.host()?.trim_matches(['[', ']']);
    let mut addresses = tokio::net::lookup_host((host, port)).await.ok()?;
    let address = addresses.next()?;
    let start = Instant::now();
    TcpStream::connect(address).await.ok()?;
    Some(start.elapsed())
}
