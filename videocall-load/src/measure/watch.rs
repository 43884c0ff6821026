//! The tester watches itself: whoever measures with a tool that is itself too slow measures the tool.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::{task::AbortHandle, time::sleep_until};

use super::{Recorder, Snapshot, millis, server::process_sample};

/// The tester is the bottleneck when it uses more of the cores than this, over some seconds.
const CPU_LIMIT: f64 = 0.85;
/// Or when this much of its timers' delay is exceeded by one timer in a hundred.
pub const DELAY_LIMIT: Duration = Duration::from_millis(10);
/// Seconds over which the CPU time is judged.
const WINDOW: usize = 3;
/// Between ticks that measure the delay of timers.
const TICK: Duration = Duration::from_millis(10);

/// How the tester itself is doing, or one worker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TesterState {
    /// CPU time per time in the last second; 1 is one core.
    pub cpu: f64,
    /// The highest over three seconds in a row.
    pub cpu_highest: f64,
    /// Cores that the process may use.
    pub cores: usize,
    /// Resident memory in bytes.
    pub memory: u64,
    /// Timers' delay, 99th percentile, in milliseconds.
    pub delay_p99_ms: f64,
    /// Why the figures cannot be trusted; empty if they can.
    pub bottleneck: Vec<String>,
}

impl TesterState {
    /// Says what is the bottleneck, from the other fields.
    pub fn judge(mut self) -> Self {
        self.bottleneck.clear();
        let share = self.cpu_highest / self.cores.max(1) as f64;
        if share > CPU_LIMIT {
            let text = format!(
                "the tester used {:.0} % of its {} cores (limit {:.0} %)",
                100.0 * share,
                self.cores,
                100.0 * CPU_LIMIT
            );
            self.bottleneck.push(text);
        }
        let limit = DELAY_LIMIT.as_secs_f64() * 1e3;
        if self.delay_p99_ms > limit {
            let text = format!(
                "one in a hundred of the tester's timers was over {:.1} ms late (limit {limit:.0} ms)",
                self.delay_p99_ms
            );
            self.bottleneck.push(text);
        }
        self
    }
}

#[derive(Debug, Default)]
struct State {
    last: Option<(Instant, f64)>,
    window: VecDeque<f64>,
    state: TesterState,
}

/// Watches this process until dropped.
#[derive(Debug)]
pub struct Watch {
    state: Arc<Mutex<State>>,
    ticker: AbortHandle,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.ticker.abort();
    }
}

/// Begins to watch. Delays of timers are recorded with those of the connections.
pub fn watch(recorder: Recorder) -> Watch {
    let ticker = tokio::spawn(async move {
        loop {
            let due = Instant::now() + TICK;
            sleep_until(due.into()).await;
            // The timer's own resolution of a millisecond is no delay.
            let late = due.elapsed().saturating_sub(Duration::from_millis(1));
            recorder.scheduling_delay(late);
        }
    });
    let watch = Watch {
        state: Arc::default(),
        ticker: ticker.abort_handle(),
    };
    watch.sample(&Snapshot::default());
    watch
}

impl Watch {
    /// Takes a sample: to be called about once a second.
    pub fn sample(&self, recorded: &Snapshot) -> TesterState {
        let mut this = self.state.lock();
        let now = Instant::now();
        if let Some((seconds, memory)) = process_sample(std::process::id()) {
            if let Some((at, before)) = this.last {
                let passed = now.duration_since(at).as_secs_f64();
                // Shorter ones would show the granularity of the kernel's clock.
                if passed > 0.2 {
                    this.state.cpu = (seconds - before) / passed;
                    this.last = Some((now, seconds));
                    let cpu = this.state.cpu;
                    this.window.push_back(cpu);
                    if this.window.len() > WINDOW {
                        this.window.pop_front();
                    }
                    if this.window.len() == WINDOW {
                        let mean = this.window.iter().sum::<f64>() / WINDOW as f64;
                        this.state.cpu_highest = this.state.cpu_highest.max(mean);
                    }
                }
            } else {
                this.last = Some((now, seconds));
            }
            this.state.memory = memory;
        }
        this.state.cores = std::thread::available_parallelism().map_or(1, usize::from);
        this.state.delay_p99_ms = millis(recorded.scheduling_delay.value_at_quantile(0.99));
        this.state.clone().judge()
    }
}
