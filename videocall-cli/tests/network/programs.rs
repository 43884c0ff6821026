//! The server, streamers and watchers, and what they tell.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::net::{Net, SERVER};

/// For everything, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(100);
const HTTP: u16 = 8080;

/// A program that ends with its test, and the lines that it writes.
pub(crate) struct Program {
    child: Child,
    lines: Receiver<String>,
    /// The last ones, for when it goes wrong.
    last: VecDeque<String>,
}

impl Program {
    fn start(namespace: &str, program: &str, args: &[&str]) -> Self {
        let cli = Path::new(env!("CARGO_BIN_EXE_videocall-cli"));
        let path = cli.with_file_name(program);
        assert!(path.exists(), "build it first: cargo build -p {program}");
        // `ip netns exec` becomes the program itself: its process id is the program's.
        let mut child = Command::new("ip")
            .args(["netns", "exec", namespace])
            .arg(path)
            .args(args)
            .env_remove("RUST_BACKTRACE")
            .envs(unit_environment())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let outputs: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().unwrap()),
            Box::new(child.stderr.take().unwrap()),
        ];
        for output in outputs {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    // Read on in any case, or the program would wait for room in the pipe.
                    let _ = sender.send(line);
                }
            });
        }
        Self {
            child,
            lines,
            last: VecDeque::new(),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The first line of which `choose` makes something.
    pub(crate) fn wait_for<T>(&mut self, what: &str, choose: impl FnMut(&str) -> Option<T>) -> T {
        let found = self.wait_until(Instant::now() + PATIENCE, choose);
        found.unwrap_or_else(|| panic!("waited in vain: {what}\n{}", self.told()))
    }

    /// The same, or `None` at `end`.
    pub(crate) fn wait_until<T>(
        &mut self,
        end: Instant,
        mut choose: impl FnMut(&str) -> Option<T>,
    ) -> Option<T> {
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = match self.lines.recv_timeout(left) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            };
            let chosen = choose(&line);
            self.last.push_back(line);
            if self.last.len() > 60 {
                self.last.pop_front();
            }
            if chosen.is_some() {
                return chosen;
            }
        }
    }

    pub(crate) fn told(&self) -> String {
        let lines: Vec<&str> = self.last.iter().map(String::as_str).collect();
        lines.join("\n")
    }

    /// Waits for an event of the program's own.
    pub(crate) fn event(&mut self, name: &str) {
        self.wait_for(name, |line| (event(line)?["event"] == name).then_some(()));
    }

    /// Ends it as a user does; gives all that it still told, and whether it ended well.
    pub(crate) fn end(mut self) -> (String, bool) {
        let id = self.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(asked.success());
        let well = self.child.wait().unwrap().success();
        self.wait_until(Instant::now() + PATIENCE, |_| None::<()>);
        (self.told(), well)
    }

    /// Ends it at once, without a word.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn event(line: &str) -> Option<Value> {
    serde_json::from_str(line).ok()
}

/// A server at the far end.
pub(crate) fn server(net: &Net) -> Program {
    let http = format!("{SERVER}:{HTTP}");
    let media = format!("{SERVER}:4433");
    let listen = ["--http-listen", &http, "--webtransport-listen", &media];
    let args = [&listen[..], &["--log", "off"]].concat();
    let mut server = Program::start(&net.far, "videocall-server", &args);
    server.wait_for("the server", |line| {
        line.starts_with("Open http").then_some(())
    });
    server
}

fn participant(namespace: &str, command: &str, user: &str, more: &[&str]) -> Program {
    let url = format!("http://{SERVER}:{HTTP}");
    let join = [
        command,
        "--server",
        &url,
        "--meeting-id",
        "m",
        "--user-id",
        user,
    ];
    let mut program = Program::start(namespace, "videocall-cli", &[&join[..], more].concat());
    program.event("joined");
    program
}

/// What the unit sets for the program that runs for weeks.
fn unit_environment() -> impl Iterator<Item = (&'static str, &'static str)> {
    include_str!("../../../packaging/videocall-streamer.service")
        .lines()
        .filter_map(|line| line.strip_prefix("Environment=")?.split_once('='))
}

/// A streamer at the near end, in the meeting.
pub(crate) fn streamer(net: &Net, more: &[&str]) -> Program {
    participant(&net.near, "stream", "pi", more)
}

/// Somebody beside the server who sees and hears everything.
pub(crate) fn watcher(net: &Net) -> Program {
    participant(&net.far, "watch", "eye", &["--clock"])
}

/// Waits until the watcher has seen and heard somebody without a break for some seconds: a picture
/// that moves and whose clock can be read, and sound that is neither lost nor silent.
pub(crate) fn seen_and_heard(watcher: &mut Program, seconds: u32) {
    let mut steady = Steady::default();
    watcher.wait_for("somebody is seen and heard steadily", |line| {
        steady.note(&event(line)?);
        (steady.seen >= seconds && steady.heard >= seconds).then_some(())
    });
}

/// Seconds in a row that were good.
#[derive(Default)]
struct Steady {
    session: Value,
    seen: u32,
    heard: u32,
    lost: Option<u64>,
}

impl Steady {
    fn note(&mut self, figures: &Value) {
        // Of a session that has been replaced nothing comes any more.
        if figures["event"] != "received" || figures["packets"] == 0 {
            return;
        }
        if figures["session"] != self.session {
            *self = Self {
                session: figures["session"].clone(),
                ..Self::default()
            };
        }
        if figures["kind"] == "video" {
            let moves = figures["fps"].as_u64() >= Some(5) && figures["delay_ms"].is_i64();
            self.seen = if moves { self.seen + 1 } else { 0 };
        } else if figures["kind"] == "audio" {
            let lost = figures["lost"].as_u64();
            let none_lost = self.lost.is_none_or(|before| Some(before) == lost);
            self.lost = lost;
            let loud = figures["level_dbov"].as_i64() >= Some(-30);
            // 50 come each second; a second of the watcher is not quite that of the streamer.
            let all = figures["packets"].as_u64() >= Some(40);
            self.heard = if none_lost && loud && all {
                self.heard + 1
            } else {
                0
            };
        }
    }
}
