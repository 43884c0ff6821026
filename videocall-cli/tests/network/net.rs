//! Two network namespaces with a cable between them.

use std::{
    io::Write,
    process::Command,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

/// The server's address; each test has a network to itself.
pub(crate) const SERVER: &str = "10.77.0.2";
const STREAMER: &str = "10.77.0.1";

/// The network of one test, gone with it.
pub(crate) struct Net {
    /// Of the streamer and of the server.
    pub(crate) near: String,
    pub(crate) far: String,
}

impl Net {
    /// `None`, with a word about it, where this user may not make namespaces.
    pub(crate) fn make(test: &str) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Relaxed);
        let name = |end| format!("videocall-{}-{number}-{end}", std::process::id());
        let net = Self {
            near: name("a"),
            far: name("b"),
        };
        if !Command::new("ip")
            .args(["netns", "add", &net.near])
            .output()
            .is_ok_and(|output| output.status.success())
        {
            // Past the test harness, which shows what failed only.
            let told = format!("\nSKIPPED: {test}: network namespaces need root\n");
            let _ = std::io::stdout().lock().write_all(told.as_bytes());
            return None;
        }
        run("ip", &["netns", "add", &net.far]);
        let (near, far) = (net.near.as_str(), net.far.as_str());
        for end in [near, far] {
            run("ip", &["-n", end, "link", "set", "lo", "up"]);
        }
        let cable = ["-n", near, "link", "add", "cable", "type", "veth"];
        let peer = ["peer", "name", "cable", "netns", far];
        run("ip", &[&cable[..], &peer].concat());
        for (end, address) in [(near, STREAMER), (far, SERVER)] {
            let address = format!("{address}/24");
            run("ip", &["-n", end, "addr", "add", &address, "dev", "cable"]);
            run("ip", &["-n", end, "link", "set", "cable", "up"]);
        }
        Some(net)
    }

    /// The streamer's uplink carries so much, behind a queue as home routers have it.
    pub(crate) fn limit_uplink(&self, kbps: u32) {
        let rate = format!("{kbps}kbit");
        let near = ["-n", &self.near, "qdisc", "add", "dev", "cable", "root"];
        let bucket = ["tbf", "rate", &rate, "burst", "4kb", "latency", "400ms"];
        run("tc", &[&near[..], &bucket].concat());
    }

    /// So many percent of all packets are lost, both ways.
    pub(crate) fn lose(&self, percent: u32) {
        let rule = format!("numgen random mod 100 < {percent} counter drop");
        for end in [&self.near, &self.far] {
            for command in [
                "add table inet test".to_owned(),
                "add chain inet test input { type filter hook input priority 0; }".to_owned(),
                format!("add rule inet test input iifname cable {rule}"),
            ] {
                run("ip", &["netns", "exec", end, "nft", &command]);
            }
        }
    }

    /// How many packets were lost on their way to the server.
    pub(crate) fn lost(&self) -> u64 {
        let list = [
            "netns", "exec", &self.far, "nft", "list", "table", "inet", "test",
        ];
        let text = run("ip", &list);
        let count = text
            .split("packets ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next());
        count.unwrap().parse().unwrap()
    }

    /// Pulls the cable, or puts it back.
    pub(crate) fn plug(&self, is_in: bool) {
        let state = if is_in { "up" } else { "down" };
        run("ip", &["-n", &self.far, "link", "set", "cable", state]);
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for end in [&self.near, &self.far] {
            let _ = Command::new("ip").args(["netns", "delete", end]).output();
        }
    }
}

fn run(program: &str, words: &[&str]) -> String {
    let path = format!(
        "{}:/usr/sbin:/sbin",
        std::env::var("PATH").unwrap_or_default()
    );
    let output = Command::new(program).args(words).env("PATH", path).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {words:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}
