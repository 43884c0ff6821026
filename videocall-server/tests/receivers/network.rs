//! Network namespaces with a path to this machine that is slow or loses packets.

use std::{
    fmt, fs,
    os::fd::AsFd,
    process::{Command, Stdio, id},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// What a path is like, towards the namespace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    pub(crate) kbps: Option<u32>,
    pub(crate) loss_percent: u32,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kbps {
            Some(kbps) => write!(f, "{kbps} kbit/s"),
            None => write!(f, "{} % loss", self.loss_percent),
        }
    }
}

/// A namespace, removed when dropped.
pub(crate) struct Namespace {
    name: String,
    server: String,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

fn run(program: &str, line: &str) -> Result<(), String> {
    let output = Command::new(program)
        .args(line.split_whitespace())
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let error = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program} {line}: {}", error.trim()))
}

/// Why there can be no namespaces here.
pub(crate) fn unavailable() -> Option<String> {
    let name = format!("vcr{}-try", id());
    let made = run("ip", &format!("netns add {name}"));
    let tried = made
        .and_then(|()| run("ip", &format!("netns exec {name} nft list ruleset")))
        .and_then(|()| {
            let line = format!("-n {name} qdisc add dev lo root tbf rate 1mbit burst 9k limit 9k");
            run("tc", &line)
        });
    let _ = run("ip", &format!("netns del {name}"));
    tried.err()
}

impl Namespace {
    pub(crate) fn new(_server: &str, path: Path) -> Self {
        let number = NEXT.fetch_add(1, Relaxed);
        let name = format!("vcr{}-{number}", id());
        let inside = format!("vcr{}i{number}", id() % 100_000);
        let outside = format!("vcr{}o{number}", id() % 100_000);
        // A network of four addresses for each.
        let subnet = format!("10.{}.{}", 210 + number % 40, id() % 256);
        let namespace = Self {
            name: name.clone(),
            server: format!("{subnet}.1"),
        };
        let ip = |line: String| run("ip", &line).unwrap();
        ip(format!("netns add {name}"));
        ip(format!(
            "link add {outside} type veth peer name {inside} netns {name}"
        ));
        ip(format!("addr add {subnet}.1/30 dev {outside}"));
        ip(format!("-n {name} addr add {subnet}.2/30 dev {inside}"));
        // Packets as large as on a real path: one that is lost must not be worth forty.
        ip(format!("link set {outside} gso_max_segs 1 up"));
        ip(format!("-n {name} link set {inside} gso_max_segs 1 up"));
        ip(format!("-n {name} link set lo up"));
        if let Some(kbps) = path.kbps {
            // As much in front of the narrow place as a cheap router has: 0.4 s.
            let limit = kbps * 1000 / 8 * 4 / 10;
            let line = format!(
                "qdisc add dev {outside} root tbf rate {kbps}kbit burst 3000 limit {limit}"
            );
            run("tc", &line).unwrap();
        }
        if path.loss_percent > 0 {
            let nft = |line: &str| run("ip", &format!("netns exec {name} nft {line}")).unwrap();
            nft("add table inet loss");
            nft("add chain inet loss in { type filter hook input priority 0 ; }");
            let lost = path.loss_percent;
            nft(&format!(
                "add rule inet loss in iif {inside} numgen random mod 100 < {lost} drop"
            ));
        }
        namespace
    }

    /// Where the server is for those inside.
    pub(crate) fn server_address(&self) -> &str {
        &self.server
    }

    /// Moves the calling thread into it: sockets that it opens from then on are inside.
    pub(crate) fn enter(&self) {
        let file = fs::File::open(format!("/run/netns/{}", self.name)).unwrap();
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The link goes with it.
        let _ = run("ip", &format!("netns del {}", self.name));
    }
}
