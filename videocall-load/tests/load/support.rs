//! What the tests share: servers that misbehave, the real server, and a look at what was recorded.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::watch;
use videocall_load::{
    engine::{self, Outcomes},
    measure::{ErrorClass, MessageKind, Metric, Recorder},
    plan::{BehaviourOptions, ConnectionOptions, Plan, Share},
    runner::Runner,
    transport::TransportOptions,
};

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A plan with so many connections at once and short pauses.
pub(crate) fn plan(url: &str, connections: u64, behaviour: BehaviourOptions) -> Plan {
    Plan {
        url: url.to_owned(),
        runner: Runner::Flat { connections },
        duration: Duration::from_secs(60),
        connection: ConnectionOptions {
            pause: Duration::from_millis(20),
            ..ConnectionOptions::default()
        },
        transport: TransportOptions::default(),
        behaviour,
        share: Share::default(),
    }
}

/// A run that a test watches and ends.
pub(crate) struct Run {
    pub(crate) recorder: Recorder,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<Outcomes>,
}

impl Run {
    pub(crate) fn start(plan: Plan) -> Self {
        let factory = plan.factory();
        Self::with_factory(plan, factory)
    }

    pub(crate) fn with_factory(
        plan: Plan,
        factory: Arc<dyn videocall_load::behaviour::Factory>,
    ) -> Self {
        let recorder = Recorder::default();
        let (stop, stopped) = watch::channel(false);
        let for_run = recorder.clone();
        let task = tokio::spawn(async move {
            engine::run(plan, factory, for_run, stopped)
                .await
                .expect("a plan that can be run")
        });
        Self {
            recorder,
            stop,
            task,
        }
    }

    /// Waits until what is recorded is as wanted.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Seen) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(&seen(&self.recorder)) {
            assert!(
                Instant::now() < deadline,
                "no {what}: {:#?}",
                seen(&self.recorder)
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Stops the run and says what was recorded in all.
    pub(crate) async fn end(self) -> Seen {
        let _ = self.stop.send(true);
        self.task.await.expect("the run ends");
        seen(&self.recorder)
    }

    /// Waits for the end of the plan.
    pub(crate) async fn finish(self) -> (Outcomes, Seen) {
        let outcomes = tokio::time::timeout(PATIENCE, self.task)
            .await
            .expect("the run ends in time")
            .expect("the run ends");
        (outcomes, seen(&self.recorder))
    }
}

/// What was recorded, in the form that tests ask about.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) planned: u64,
    pub(crate) late: u64,
    pub(crate) connected: u64,
    pub(crate) open: u64,
    pub(crate) errors: Vec<(ErrorClass, u64, String)>,
    pub(crate) sent: Vec<(MessageKind, u8, u64)>,
    pub(crate) received: Vec<(MessageKind, u8, u64)>,
    pub(crate) lost: u64,
    pub(crate) reordered: u64,
    pub(crate) duplicated: u64,
    pub(crate) freezes: u64,
    /// Count, largest corrected, largest raw.
    pub(crate) latencies: Vec<(Metric, u64, Duration, Duration)>,
}

impl Seen {
    pub(crate) fn errors_of(&self, class: ErrorClass) -> u64 {
        let found = self.errors.iter().find(|(of, _, _)| *of == class);
        found.map_or(0, |(_, count, _)| *count)
    }

    pub(crate) fn received_of(&self, kind: MessageKind) -> u64 {
        let of = self.received.iter().filter(|(of, _, _)| *of == kind);
        of.map(|(_, _, count)| count).sum()
    }

    pub(crate) fn sent_of(&self, kind: MessageKind) -> u64 {
        let of = self.sent.iter().filter(|(of, _, _)| *of == kind);
        of.map(|(_, _, count)| count).sum()
    }

    pub(crate) fn layers_received(&self, kind: MessageKind) -> Vec<u8> {
        let of = self.received.iter().filter(|(of, _, _)| *of == kind);
        of.map(|(_, layer, _)| *layer).collect()
    }

    pub(crate) fn latency(&self, metric: Metric) -> (u64, Duration, Duration) {
        let found = self.latencies.iter().find(|(of, ..)| *of == metric);
        found.map_or((0, Duration::ZERO, Duration::ZERO), |(_, count, c, r)| {
            (*count, *c, *r)
        })
    }
}

/// The only place that knows the form of a snapshot.
pub(crate) fn seen(recorder: &Recorder) -> Seen {
    let snapshot = recorder.snapshot();
    Seen {
        planned: snapshot.planned,
        late: snapshot.late,
        connected: snapshot.connected,
        open: snapshot.open(),
        errors: (snapshot.errors.iter())
            .map(|(class, (count, text))| (*class, *count, text.clone()))
            .collect(),
        sent: (snapshot.sent.iter())
            .map(|((kind, layer), (count, _))| (*kind, *layer, *count))
            .collect(),
        received: (snapshot.received.iter())
            .map(|((kind, layer), (count, _))| (*kind, *layer, *count))
            .collect(),
        lost: snapshot.delivery_in_all().lost,
        reordered: snapshot.delivery_in_all().reordered,
        duplicated: snapshot.delivery_in_all().duplicated,
        freezes: snapshot.freezes_in_all().0,
        latencies: (snapshot.latencies.iter())
            .map(|(metric, times)| {
                let corrected = Duration::from_micros(times.corrected.max());
                let raw = Duration::from_micros(times.raw.max());
                (*metric, times.raw.len(), corrected, raw)
            })
            .collect(),
    }
}

/// The real server, ended when dropped.
pub(crate) struct RealServer {
    child: Child,
    pub(crate) http: u16,
    pub(crate) webtransport: u16,
}

impl RealServer {
    /// Starts `videocall-server` of the same build.
    pub(crate) async fn start() -> Self {
        let test = std::env::current_exe().expect("this test's path");
        let folder = test.ancestors().nth(2).expect("the build's folder");
        let program = folder.join("videocall-server");
        if !program.exists() {
            let hint = "build it first: cargo build -p videocall-server";
            panic!("{} is missing: {hint}", program.display());
        }
        let mut child = Command::new(program)
            .args(["--http-listen", "127.0.0.1:0"])
            .args(["--webtransport-listen", "127.0.0.1:0", "--log", "off"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut http = None;
        for line in lines {
            let line = line.expect("a line");
            if let Some(rest) = line.split("http://localhost:").nth(1) {
                let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                http = digits.parse().ok();
                break;
            }
        }
        let http: u16 = http.expect("the server tells its port");
        let webtransport = webtransport_port(http).await;
        Self {
            child,
            http,
            webtransport,
        }
    }

    /// By which the system knows its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The values of a metric, all labels together.
    pub(crate) async fn metric_sum(&self, name: &str) -> f64 {
        let body = get(self.http, "/metrics").await;
        let lines = body.lines().filter(|line| line.starts_with(name));
        lines
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    pub(crate) fn websocket_url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.http)
    }

    pub(crate) fn webtransport_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.webtransport)
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn webtransport_port(http: u16) -> u16 {
    let body = get(http, "/config.json").await;
    let config: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let url = config["webtransport"][0]["url"]
        .as_str()
        .expect("an address");
    url.rsplit(':')
        .next()
        .expect("a port")
        .parse()
        .expect("a number")
}

/// The body of a page.
async fn get(http: u16, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", http))
        .await
        .expect("HTTP");
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    body.to_owned()
}

/// Round trips longer than a time, by corrected and by raw times.
pub(crate) fn round_trips_over(recorder: &Recorder, limit: Duration) -> (u64, u64) {
    let snapshot = recorder.snapshot();
    let times = &snapshot.latencies[&Metric::RoundTrip];
    let over = |times: &hdrhistogram::Histogram<u64>| {
        times.len() - times.count_between(0, limit.as_micros() as u64)
    };
    (over(&times.corrected), over(&times.raw))
}
