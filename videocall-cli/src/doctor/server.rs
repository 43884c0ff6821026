//! Whether the server is there, agrees about the time, and lets people in by each way.

use std::time::{Duration, Instant, SystemTime};

use tokio::time::timeout;
use ureq::tls::TlsConfig;
use videocall_client::{
    core::session::Event,
    native::{Client, JoinOptions, Placement, Servers},
};
use videocall_types::wire::{PublishState, Subscribe};

use super::{
    DoctorArgs, certificate,
    report::{Finding, Report},
};
use crate::{args::TransportChoice, exit::Failure, identity::Identity, server};

/// As long may a way take to open.
const PATIENCE: Duration = Duration::from_secs(10);
/// An answer that takes longer makes people talk over each other.
const FAR: Duration = Duration::from_millis(300);
/// `Date` counts in seconds: less than this cannot be told from none.
const CLOCKS_AGREE: Duration = Duration::from_secs(2);
/// Certificates and tickets are refused by machines that are so far apart.
const CLOCKS_DISAGREE: Duration = Duration::from_secs(300);

/// What the server answered.
struct Answer {
    took: Duration,
    /// How far this machine's clock is ahead (`Ok`) or behind (`Err`), if the server tells the time.
    ahead: Option<Result<Duration, Duration>>,
}

/// Tells what it finds. What depends on something that failed is left out.
pub(super) async fn check(
    args: &DoctorArgs,
    identity: &Identity,
    report: &mut Report,
) -> Result<(), Failure> {
    let origin = args.server.trim_end_matches('/').to_owned();
    let answer = {
        let (origin, insecure) = (origin.clone(), args.insecure);
        let asking = tokio::task::spawn_blocking(move || ask(&origin, insecure));
        asking.await.map_err(Failure::other)?
    };
    if let Some((host, port)) = https(&origin) {
        let believed = match &answer {
            Err(error) if error.contains("ertificate") => Err(error.clone()),
            _ => Ok(()),
        };
        report.tell(&certificate::check(&host, port, believed).await)?;
    }
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return report.tell(&unreachable(&origin, &error)),
    };
    report.tell(&reached(&origin, &answer))?;
    report.tell(&clock(answer.ahead))?;
    for (check, transport) in [
        ("websocket", TransportChoice::Websocket),
        ("webtransport", TransportChoice::Webtransport),
    ] {
        let doors = server::at(&origin, transport, args.insecure).await;
        let finding = match doors.map(|(doors, _)| doors.into_iter().next()) {
            Ok(Some(door)) => enter(check, door, identity).await,
            Ok(None) => Finding::fail(check, "the server tells no address", "update the server"),
            Err(error) => closed(check, &error.to_string()),
        };
        report.tell(&finding)?;
    }
    Ok(())
}

/// Asks as `stream` does, and looks at the clock.
fn ask(origin: &str, insecure: bool) -> Result<Answer, String> {
    let tls = TlsConfig::builder().disable_verification(insecure).build();
    let agent = ureq::Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(PATIENCE))
        .build()
        .new_agent();
    let get = || agent.get(format!("{origin}/config.json")).call();
    // The first one opens the connection.
    let first = get().map_err(|error| error.to_string())?;
    drop(first);
    let (start, before) = (Instant::now(), SystemTime::now());
    let response = get().map_err(|error| error.to_string())?;
    let took = start.elapsed();
    let date = response
        .headers()
        .get("date")
        .and_then(|date| date.to_str().ok());
    let date = date.and_then(|date| httpdate::parse_http_date(date).ok());
    let ahead = date.map(|date| {
        // The date is cut off to seconds.
        let theirs = date + Duration::from_millis(500);
        let ours = before + took / 2;
        ours.duration_since(theirs)
            .map_err(|error| error.duration())
    });
    Ok(Answer { took, ahead })
}

/// Host and port of an HTTPS address.
fn https(origin: &str) -> Option<(String, u16)> {
    let rest = origin.strip_prefix("https://")?.split('/').next()?;
    match rest.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => {
            let host = host.trim_matches(['[', ']']);
            Some((host.to_owned(), port.parse().ok()?))
        }
        _ => Some((rest.trim_matches(['[', ']']).to_owned(), 443)),
    }
}

fn unreachable(origin: &str, error: &str) -> Finding {
    let advice = if error.contains("ertificate") {
        "see what is said of the certificate"
    } else if error.contains("resolve") || error.contains("lookup") || error.contains("not found") {
        "is the name right, and does this machine have a DNS server (`getent hosts NAME`)?"
    } else if error.contains("refused") {
        "nothing listens there: is the server running, and the port right?"
    } else {
        "is the address right, and does a firewall let TCP through?"
    };
    Finding::fail("server", format!("{origin}: {error}"), advice)
}

fn reached(origin: &str, answer: &Answer) -> Finding {
    let found = format!("{origin} answers in {} ms", answer.took.as_millis());
    if answer.took > FAR {
        let advice = "people will talk over each other: use a server that is nearer, or a cable";
        return Finding::warn("server", found, advice);
    }
    Finding::ok("server", found)
}

fn clock(ahead: Option<Result<Duration, Duration>>) -> Finding {
    const CHECK: &str = "clock";
    let (apart, way) = match ahead {
        None => return Finding::ok(CHECK, "the server tells no time to compare with"),
        Some(Ok(apart)) => (apart, "ahead of"),
        Some(Err(apart)) => (apart, "behind"),
    };
    if apart <= CLOCKS_AGREE {
        return Finding::ok(CHECK, "within 2 s of the server's");
    }
    let found = format!("{:.0} s {way} the server's", apart.as_secs_f64());
    let advice = "keep time by the network: `sudo timedatectl set-ntp true`";
    if apart < CLOCKS_DISAGREE {
        Finding::warn(CHECK, found, advice)
    } else {
        Finding::fail(CHECK, found, advice)
    }
}

/// Enters a meeting by one way, and leaves again.
async fn enter(check: &'static str, door: Servers, identity: &Identity) -> Finding {
    let address = door
        .webtransport
        .clone()
        .or(door.websocket.clone())
        .unwrap_or_default();
    let start = Instant::now();
    let mut client = Client::join(JoinOptions {
        servers: vec![door],
        placement: Placement::Anywhere,
        meeting: identity.meeting.clone(),
        user: identity.user.clone(),
        token: identity.token.clone(),
        display_name: identity.display_name.clone(),
        program: concat!("videocall-cli/", env!("CARGO_PKG_VERSION")).to_owned(),
        publish: PublishState::default(),
        subscribe: Subscribe {
            all: false,
            wants: Vec::new(),
        },
    });
    let handle = client.handle();
    let entered = timeout(PATIENCE, async {
        while let Some(event) = client.next_event().await {
            match event {
                Event::Joined(_) => return Ok(start.elapsed()),
                Event::Reconnecting { reason, .. } => return Err((false, reason)),
                Event::Closed { text, .. } => return Err((true, text)),
                _ => {}
            }
        }
        Err((false, "it ends at once".to_owned()))
    });
    let entered = entered
        .await
        .unwrap_or_else(|_| Err((false, "no answer".to_owned())));
    let _ = handle.leave().await;
    match entered {
        Ok(took) => {
            let found = format!("{address}: in the meeting after {} ms", took.as_millis());
            Finding::ok(check, found)
        }
        Err((true, text)) => {
            let advice = if identity.token.is_some() {
                "the way is open, but the server lets nobody in by this token: ask its operator \
                 for another"
            } else {
                "the way is open, but the server lets nobody in by this name: ask its operator \
                 for a token"
            };
            Finding::fail(check, format!("{address}: {text}"), advice)
        }
        Err((false, reason)) => closed(check, &format!("{address}: {reason}")),
    }
}

/// A way that does not open. Without UDP calls still work; without TCP they would as well, but
/// nobody has that by intent.
fn closed(check: &'static str, found: &str) -> Finding {
    if check == "webtransport" {
        let advice = "calls go over WebSocket instead, and suffer more from lost packets: let UDP \
                      through to that port, in the firewalls of this network and of the server";
        Finding::warn(check, found, advice)
    } else if found.contains("ertificate") {
        let advice = "WebSocket needs a certificate that this machine believes, whatever \
                      --insecure says; WebTransport goes by the certificate's hash";
        Finding::warn(check, found, advice)
    } else {
        let advice = "does a proxy before the server pass WebSockets on?";
        Finding::fail(check, found, advice)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::report::Verdict, *};

    #[test]
    fn addresses_are_taken_apart() {
        let https = |origin| https(origin);
        assert_eq!(
            https("https://a.example"),
            Some(("a.example".to_owned(), 443))
        );
        assert_eq!(
            https("https://a.example:8443"),
            Some(("a.example".to_owned(), 8443))
        );
        assert_eq!(https("https://[::1]:8443"), Some(("::1".to_owned(), 8443)));
        assert_eq!(https("https://[::1]"), Some(("::1".to_owned(), 443)));
        assert_eq!(https("http://a.example"), None);
    }

    #[test]
    fn clocks_may_be_a_little_apart() {
        let seconds = Duration::from_secs;
        assert_eq!(clock(Some(Ok(seconds(1)))).verdict, Verdict::Ok);
        assert_eq!(clock(Some(Err(seconds(30)))).verdict, Verdict::Warn);
        assert!(clock(Some(Err(seconds(30)))).found.contains("30 s behind"));
        assert_eq!(clock(Some(Ok(seconds(86_400)))).verdict, Verdict::Fail);
    }
}
