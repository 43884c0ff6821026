//! Receivers on paths that are slow or lose packets, in network namespaces of their own, beside one
//! on a good path: what they still see and hear, and that nobody else notices.
//!
//! Needs root, for the namespaces. Figures are printed: `cargo test -p videocall-server --test
//! receivers -- --nocapture`.
#![allow(clippy::unwrap_used)]
#![allow(clippy::print_stdout)] // figures

mod network;
mod publisher;
mod receiver;
mod server;

use std::{
    io::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    network::{Namespace, Path},
    publisher::Publisher,
    receiver::{Figures, Receiver, Transport},
    server::Server,
};

/// Until layers have settled.
const SETTLING: Duration = Duration::from_secs(10);
/// What is judged then.
const JUDGED: Duration = Duration::from_secs(8);

/// Runs a meeting of one publisher, receivers on these paths over both transports, and one on a
/// good path over each. Returns the figures in that order.
fn meeting(server: &Server, address: &str, paths: &[Path]) -> Vec<(String, Figures)> {
    let start = Arc::new(Instant::now());
    let publisher = Publisher::start(server, address, start.clone());
    let mut receivers = Vec::new();
    for transport in [Transport::WebSocket, Transport::WebTransport] {
        let good = Receiver::start(server, address, transport, None, start.clone());
        receivers.push((format!("{transport:?} good"), good));
    }
    for path in paths {
        for transport in [Transport::WebSocket, Transport::WebTransport] {
            let namespace = Namespace::new(address, *path);
            let name = format!("{transport:?} {path}");
            let address = namespace.server_address().to_owned();
            let receiver =
                Receiver::start(server, &address, transport, Some(namespace), start.clone());
            receivers.push((name, receiver));
        }
    }
    let running: Vec<_> = receivers
        .into_iter()
        .map(|(name, receiver)| (name, receiver.measure(SETTLING, JUDGED)))
        .collect();
    let figures: Vec<(String, Figures)> = running
        .into_iter()
        .map(|(name, figures)| (name, figures.join().unwrap()))
        .collect();
    drop(publisher);
    for (name, figures) in &figures {
        println!("{name:32} {figures}");
    }
    figures
}

/// The figures of a receiver, beside those on a good path over the same transport.
fn beside<'a>(figures: &'a [(String, Figures)], name: &str) -> (&'a Figures, &'a Figures) {
    let of = |name: &str| &figures.iter().find(|(it, _)| it == name).unwrap().1;
    let transport = name.split(' ').next().unwrap();
    (of(name), of(&format!("{transport} good")))
}

#[test]
fn pictures_and_sound_stay_usable_on_slow_and_lossy_paths() {
    if let Some(reason) = network::unavailable() {
        // Past the test harness, which shows what failed only.
        let told = format!("\nSKIPPED: slow and lossy paths: {reason}\n");
        let _ = std::io::stdout().lock().write_all(told.as_bytes());
        return;
    }
    let server = Server::start("0.0.0.0");
    let paths = [
        Path {
            kbps: Some(300),
            loss_percent: 0,
        },
        Path {
            kbps: None,
            loss_percent: 5,
        },
        Path {
            kbps: None,
            loss_percent: 20,
        },
    ];
    let figures = meeting(&server, "127.0.0.1", &paths);

    for transport in ["WebSocket", "WebTransport"] {
        let (_, good) = beside(&figures, &format!("{transport} good"));
        assert!(
            good.heard_share() >= 0.98,
            "{transport}: the good path suffers"
        );
        assert_eq!(
            good.highest_layer,
            Some(2),
            "{transport}: the good path suffers"
        );

        let (slow, good) = beside(&figures, &format!("{transport} 300 kbit/s"));
        assert!(
            f64::from(slow.sound) >= 0.9 * f64::from(good.sound),
            "{transport}: 45 of 50 packets of sound a second come"
        );
        assert!(
            slow.picture_late_ms <= good.picture_late_ms + 1_500,
            "{transport}: pictures are not seconds late"
        );
        assert!(slow.pictures > 0, "{transport}: there is a picture");

        let (lossy, good) = beside(&figures, &format!("{transport} 5 % loss"));
        assert!(
            lossy.heard_share() >= 0.8 * good.heard_share(),
            "{transport}: sound is usable at 5 % loss"
        );
        assert!(lossy.pictures > 0, "{transport}: there is a picture");
    }
    // Over TCP, where what is lost holds up everything behind it, a fifth is too much to promise.
    let (lossy, good) = beside(&figures, "WebTransport 20 % loss");
    assert!(
        lossy.heard_share() >= 0.7 * good.heard_share(),
        "sound is usable at 20 % loss"
    );
    assert!(lossy.pictures > 0, "there is a picture at 20 % loss");
}
