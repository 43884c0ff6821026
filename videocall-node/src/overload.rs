//! Whether there is room for more people: admission control before collapse.
//!
//! A server that takes everybody serves nobody: calls that go on are worth more than one more that
//! begins. So memory, processor time and outgoing bits have budgets. Over one of them new people
//! are refused, with the time after which to ask again; whoever is there stays.

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rustix::param::{clock_ticks_per_second, page_size};

/// How often use is looked at.
pub(crate) const INTERVAL: Duration = Duration::from_millis(500);
/// Weight of the newest look in processor time and bit rate: about three seconds are averaged.
const WEIGHT: f64 = 0.15;
/// Room again below this part of the budget.
const ENOUGH: f64 = 0.9;
/// Part of the machine's, or the container's, memory that is used at most by default.
const DEFAULT_MEMORY: f64 = 0.85;
/// Part of all processors that is used at most by default.
const DEFAULT_CPU: f64 = 0.95;

/// How much a node may use before it refuses new people.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budgets {
    /// Resident memory of the process in bytes.
    pub memory_bytes: u64,
    /// Part of all processors, 0 to 1.
    pub cpu_share: f64,
    /// Bits a second to participants.
    pub egress_bps: u64,
}

impl Default for Budgets {
    /// Most of the memory and the processors that the process may use; any bit rate.
    fn default() -> Self {
        let memory = memory_limit().map(|bytes| (bytes as f64 * DEFAULT_MEMORY) as u64);
        Self {
            memory_bytes: memory.unwrap_or(u64::MAX),
            cpu_share: DEFAULT_CPU,
            egress_bps: u64::MAX,
        }
    }
}

/// Something that has a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Resident memory.
    Memory,
    /// Processor time.
    Cpu,
    /// Bits to participants.
    Egress,
}

impl Resource {
    /// All of them.
    pub const ALL: [Resource; 3] = [Self::Memory, Self::Cpu, Self::Egress];

    /// A word for metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Egress => "egress",
        }
    }

    /// For people.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "processor time",
            Self::Egress => "bandwidth",
        }
    }
}

/// What a process has used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) memory_bytes: u64,
    /// Of all its threads, ever.
    pub(crate) cpu: Duration,
    /// To participants, ever.
    pub(crate) egress_bytes: u64,
}

#[derive(Debug, Default)]
struct State {
    last: Option<(Instant, Usage)>,
    /// Use as part of the budget, by [`Resource`].
    load: [f64; 3],
    exceeded: [bool; 3],
}

/// Compares use with the budgets.
#[derive(Debug)]
pub(crate) struct Overload {
    budgets: Budgets,
    processors: f64,
    state: Mutex<State>,
}

impl Overload {
    pub(crate) fn new(budgets: Budgets) -> Arc<Self> {
        let processors = std::thread::available_parallelism().map_or(1, |it| it.get());
        Arc::new(Self {
            budgets,
            processors: processors as f64,
            state: Mutex::default(),
        })
    }

    /// What is used up, if anything.
    pub(crate) fn exceeded(&self) -> Option<Resource> {
        let state = self.state.lock();
        Resource::ALL
            .into_iter()
            .find(|resource| state.exceeded[*resource as usize])
    }

    /// Use as part of each budget.
    pub(crate) fn loads(&self) -> [(Resource, f64); 3] {
        let state = self.state.lock();
        Resource::ALL.map(|resource| (resource, state.load[resource as usize]))
    }

    /// What was used until the last look.
    pub(crate) fn usage(&self) -> Usage {
        self.state
            .lock()
            .last
            .map_or_else(Usage::default, |(_, usage)| usage)
    }

    /// Takes a look.
    pub(crate) fn note(&self, now: Instant, usage: Usage) {
        let mut state = self.state.lock();
        let budgets = &self.budgets;
        state.load[0] = usage.memory_bytes as f64 / budgets.memory_bytes as f64;
        if let Some((at, before)) = state.last {
            let seconds = now.saturating_duration_since(at).as_secs_f64();
            if seconds < 0.01 {
                return;
            }
            let cpu = usage.cpu.saturating_sub(before.cpu).as_secs_f64() / seconds;
            let bytes = usage.egress_bytes.saturating_sub(before.egress_bytes);
            let bps = bytes as f64 * 8.0 / seconds;
            let now = [
                cpu / self.processors / budgets.cpu_share,
                bps / budgets.egress_bps as f64,
            ];
            for (load, now) in state.load[1..].iter_mut().zip(now) {
                *load += (now - *load) * WEIGHT;
            }
        }
        state.last = Some((now, usage));
        let State { load, exceeded, .. } = &mut *state;
        for (load, exceeded) in load.iter().zip(exceeded) {
            *exceeded = *load >= if *exceeded { ENOUGH } else { 1.0 };
        }
    }
}

impl Usage {
    /// Of this process; what cannot be read counts as nothing.
    pub(crate) fn of_this_process(egress_bytes: u64) -> Self {
        Self {
            memory_bytes: resident_bytes().unwrap_or(0),
            cpu: cpu_time().unwrap_or_default(),
            egress_bytes,
        }
    }
}

/// Second field of `/proc/self/statm`: proc_pid_statm(5).
fn resident_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * page_size() as u64)
}

/// User and system time, fields 14 and 15 of `/proc/self/stat`: proc_pid_stat(5).
fn cpu_time() -> Option<Duration> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program, in parentheses, may hold anything.
    let (_, fields) = text.rsplit_once(") ")?;
    let ticks: u64 = fields
        .split(' ')
        .skip(11)
        .take(2)
        .map_while(|field| field.parse::<u64>().ok())
        .sum();
    Some(Duration::from_secs_f64(
        ticks as f64 / clock_ticks_per_second() as f64,
    ))
}

/// Memory that the process may use: its control group's limit, or the machine's memory.
fn memory_limit() -> Option<u64> {
    let limits = [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ];
    let limit = limits
        .iter()
        .find_map(|path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok());
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kib * 1024)
    });
    limit.into_iter().chain(machine).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    #[test]
    fn over_the_budget_there_is_no_room_until_it_is_well_below() {
        let budgets = Budgets {
            memory_bytes: 1000,
            cpu_share: 1.0,
            egress_bps: u64::MAX,
        };
        let overload = Overload::new(budgets);
        let start = Instant::now();
        let look = |at: u64, memory_bytes: u64| {
            let usage = Usage {
                memory_bytes,
                ..Usage::default()
            };
            overload.note(start + second(at), usage);
            overload.exceeded()
        };
        assert_eq!(look(0, 999), None);
        assert_eq!(look(1, 1000), Some(Resource::Memory));
        assert_eq!(look(2, 950), Some(Resource::Memory), "not at once again");
        assert_eq!(look(3, 899), None);
    }

    #[test]
    fn a_short_burst_is_no_overload_and_a_long_one_is() {
        let budgets = Budgets {
            memory_bytes: u64::MAX,
            cpu_share: 1.0,
            egress_bps: 8_000,
        };
        let overload = Overload::new(budgets);
        let start = Instant::now();
        let mut sent = 0;
        let mut looks = Vec::new();
        for at in 0..40 {
            // Twice the budget from the tenth look on.
            sent += if at < 10 { 500 } else { 2_000 };
            let usage = Usage {
                egress_bytes: sent,
                ..Usage::default()
            };
            overload.note(start + second(at), usage);
            looks.push(overload.exceeded());
        }
        assert_eq!(looks[11], None);
        assert_eq!(looks[39], Some(Resource::Egress));
    }

    #[test]
    fn a_process_knows_what_it_uses() {
        let usage = Usage::of_this_process(7);
        assert!(usage.memory_bytes > 100_000, "{usage:?}");
        assert!(memory_limit().is_some_and(|limit| limit > usage.memory_bytes));
    }
}
