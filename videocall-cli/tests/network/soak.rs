//! Weeks in short: connections break again and again, and nothing grows.

use std::{
    env, fs,
    io::Write,
    time::{Duration, Instant},
};

use crate::{
    net::Net,
    programs::{Program, seen_and_heard, server, streamer, watcher},
};

/// What a process holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    threads: usize,
    files: usize,
    kib: usize,
}

impl Held {
    fn by(program: &Program) -> Self {
        let folder = format!("/proc/{}", program.id());
        let count = |what: &str| fs::read_dir(format!("{folder}/{what}")).unwrap().count();
        let status = fs::read_to_string(format!("{folder}/status")).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = resident.unwrap().trim().trim_end_matches(" kB");
        Self {
            threads: count("task"),
            files: count("fd"),
            kib: kib.parse().unwrap(),
        }
    }

    fn most(of: &[Self]) -> Self {
        let most = |part: fn(&Self) -> usize| of.iter().map(part).max().unwrap_or(0);
        Self {
            threads: most(|held| held.threads),
            files: most(|held| held.files),
            kib: most(|held| held.kib),
        }
    }
}

/// Differs from run to run no more than it must: the same seed breaks the same things.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// For `VIDEOCALL_SOAK_MINUTES`, a part of one by default.
#[test]
fn what_a_streamer_holds_stays_flat_however_often_it_reconnects() {
    let Some(net) = Net::make("the soak") else {
        return;
    };
    let minutes = env::var("VIDEOCALL_SOAK_MINUTES").ok();
    let minutes: f64 = minutes.map_or(0.6, |text| text.parse().expect("a number of minutes"));
    let end = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
    let mut dice = Dice(0x5eed);
    let mut far = server(&net);
    let mut pi = streamer(&net, &["--resolution", "320x180", "--fps", "10"]);
    let mut held: Vec<Held> = Vec::new();
    // Each round is one break; there are enough of them to compare, however slow the machine.
    while Instant::now() < end || held.len() < 9 {
        match dice.roll(6) {
            // That a cable is out shows only after some heartbeats: seldom, to save time.
            0 => {
                net.plug(false);
                pi.event("reconnecting");
                net.plug(true);
            }
            1..=3 => {
                far.kill();
                pi.event("reconnecting");
                far = server(&net);
            }
            _ => {
                let (_, well) = far.end();
                assert!(well, "a server that is asked to end does");
                far = server(&net);
            }
        }
        pi.event("joined");
        if dice.roll(4) == 0 {
            seen_and_heard(&mut watcher(&net), 1);
        } else {
            // It streams again, as far as it knows.
            pi.event("sent");
        }
        held.push(Held::by(&pi));
    }
    let third = held.len() / 3;
    let before = Held::most(&held[third..2 * third]);
    let after = Held::most(&held[2 * third..]);
    let told = format!(
        "soak: {} breaks, before {before:?}, after {after:?}, first {:?}\n",
        held.len(),
        held[0],
    );
    let _ = std::io::stdout().lock().write_all(told.as_bytes());
    assert!(after.threads <= before.threads + 2, "{told}");
    assert!(after.files <= before.files + 4, "{told}");
    // Memory that was given back is used again in other pieces: that moves some.
    assert!(after.kib <= before.kib + before.kib / 10 + 2048, "{told}");
    let (told, well) = pi.end();
    assert!(well && !told.contains("panicked"), "{told}");
}
