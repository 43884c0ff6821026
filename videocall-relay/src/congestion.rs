//! What the growth of a receiver's queue, its reports and its transport tell of the path to it, and
//! the aim that follows.
//!
//! Down at once, up slowly: a queue that grows, sound that is lost and round trips that get longer
//! each lower the aim by a step; only quiet raises it, and the pause until then doubles with each
//! attempt that failed. A path that does not carry even the lowest layers gets fewer pictures, or
//! none. Loss alone never does that: what is lost by chance stays lost, however little is sent.

use std::{
    cmp::Reverse,
    time::{Duration, Instant},
};

use crate::{config::RelayConfig, egress::PathEstimate, forward::Forward, queue::Forwards};

/// Longest pause until a higher layer is tried again.
const MAX_STEP_UP: Duration = Duration::from_secs(60);
/// Quiet time after which one failure is forgiven.
const FORGIVE_AFTER: Duration = Duration::from_secs(15);
/// First and longest pause until a keyframe may be asked for on account of a congested receiver.
const KEYFRAME_PAUSE: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(1));
/// For so long the lowest layers may be too much until pictures are paused, and a quiet time in
/// between that ends it.
const FLOOR_PATIENCE: Duration = Duration::from_millis(1500);
const FLOOR_GAP: Duration = Duration::from_secs(5);
/// More loss than this calls for less, and less than this for more. As in Google's congestion
/// control for WebRTC (draft-ietf-rmcat-gcc-02, section 6).
const HIGH_LOSS: f32 = 0.10;
const LOW_LOSS: f32 = 0.02;
/// Pictures that stand still for more of the time are too large.
const LONG_FREEZE: f32 = 0.3;
/// A round trip that is longer by this than at its best has a queue in it.
const LONG_QUEUE: Duration = Duration::from_millis(400);
/// Attempts at more are put off so often because the transport does not think that there is room.
const DOUBTS: u8 = 2;

/// Something learned of a receiver's path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Finding {
    /// This part of the sound was lost, 0 to 1.
    Loss(f32),
    /// For this part of the time pictures stood still, 0 to 1.
    Frozen(f32),
    /// Bits a second that the receiver thinks it can get.
    Available(u64),
    /// The round trip is longer by this than at its best.
    Delay(Duration),
}

/// Why to aim lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// Packets are lost, perhaps by chance.
    Loss,
    /// The path carries less than is sent.
    Rate,
}

#[derive(Debug, Default)]
pub(crate) struct Congestion {
    /// Nothing higher before this time; `None`: nothing is held down.
    step_up_at: Option<Instant>,
    /// Attempts at a higher layer that ended in congestion, and the first congestion.
    failures: u32,
    /// A higher layer was tried since the last step down.
    tried: bool,
    stepped_down_at: Option<Instant>,
    /// No keyframe on account of this receiver before this time: others pay for it.
    keyframe_after: Option<Instant>,
    /// Nothing was taken out of the queue since the last step down: a keyframe would only wait.
    stuck: bool,
    /// To be acted upon with the next push or tick.
    signal: Option<Cause>,
    /// First and last time that the lowest layers were too much.
    floor: Option<(Instant, Instant)>,
    /// Pictures were paused since this was last asked.
    paused: bool,
    /// Pictures were paused, or go on, since this was last asked.
    changed: bool,
    path: Option<PathEstimate>,
    available_bps: Option<u64>,
    doubts: u8,
    rate: Rate,
}

/// What the receiver is given of pictures.
#[derive(Debug, Default)]
struct Rate {
    counted: Option<(Instant, u64)>,
    bps: u64,
}

impl Congestion {
    pub(crate) fn is_active(&self) -> bool {
        self.step_up_at.is_some() || self.signal.is_some()
    }

    /// The transport gave up a frame; acted upon with the next push.
    pub(crate) fn note_loss(&mut self) {
        self.signal = Some(Cause::Rate);
    }

    pub(crate) fn note_path(&mut self, path: PathEstimate) {
        self.path = Some(path);
    }

    /// Bytes of pictures that were taken until now.
    pub(crate) fn note_rate(&mut self, now: Instant, bytes: u64) {
        if let Some((at, before)) = self.rate.counted {
            let elapsed = now.saturating_duration_since(at).as_secs_f64();
            if elapsed < 0.1 {
                return;
            }
            self.rate.bps = ((bytes - before) as f64 * 8.0 / elapsed) as u64;
        }
        self.rate.counted = Some((now, bytes));
    }

    pub(crate) fn note_finding(&mut self, config: &RelayConfig, now: Instant, finding: Finding) {
        match finding {
            Finding::Loss(loss) if loss > HIGH_LOSS => self.signal_once(Cause::Loss),
            Finding::Loss(loss) if loss > LOW_LOSS => {
                // Enough as it is.
                let later = now + config.step_up_after;
                self.step_up_at = self.step_up_at.map(|at| at.max(later));
            }
            // Over TCP losses do not show otherwise; smaller pictures are held up less.
            Finding::Frozen(part) if part > LONG_FREEZE => self.signal_once(Cause::Loss),
            Finding::Loss(_) | Finding::Frozen(_) => {}
            Finding::Available(bps) => {
                self.available_bps = Some(bps);
                if bps < self.rate.bps / 5 * 4 {
                    self.signal_once(Cause::Rate);
                }
            }
            Finding::Delay(delay) if delay > LONG_QUEUE => self.signal_once(Cause::Rate),
            Finding::Delay(_) => {}
        }
    }

    fn signal_once(&mut self, cause: Cause) {
        self.signal.get_or_insert(cause);
    }

    /// Whether pictures were paused since the last call.
    pub(crate) fn take_paused(&mut self) -> bool {
        std::mem::take(&mut self.paused)
    }

    /// Whether pictures were paused, or go on, since the last call.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// The queue begins to grow: aims lower, unless that was done just now.
    pub(crate) fn warn(&mut self, config: &RelayConfig, now: Instant, forwards: &mut Forwards) {
        self.heed(Cause::Rate, config, now, forwards);
    }

    fn heed(&mut self, cause: Cause, config: &RelayConfig, now: Instant, forwards: &mut Forwards) {
        let recently = self
            .stepped_down_at
            .is_some_and(|at| now.saturating_duration_since(at) < config.video_max_age);
        if !recently {
            self.lower(cause, config, now, forwards);
        }
    }

    /// The path carries less than is sent: aims lower, for the least important stream first.
    pub(crate) fn step_down(
        &mut self,
        config: &RelayConfig,
        now: Instant,
        forwards: &mut Forwards,
    ) {
        self.lower(Cause::Rate, config, now, forwards);
    }

    fn lower(&mut self, cause: Cause, config: &RelayConfig, now: Instant, forwards: &mut Forwards) {
        if self.failures == 0 || std::mem::take(&mut self.tried) {
            self.failures = self.failures.saturating_add(1);
        }
        let doublings = (self.failures - 1).min(5);
        let pause = config.step_up_after * (1 << doublings);
        self.step_up_at = Some(now + pause.min(MAX_STEP_UP));
        self.doubts = 0;
        self.stepped_down_at = Some(now);
        self.signal = None;
        if cause == Cause::Rate {
            let (first, longest) = KEYFRAME_PAUSE;
            self.keyframe_after = Some(now + (first * (1 << doublings)).min(longest));
            self.stuck = true;
        }
        let mut order: Vec<&mut Forward> = forwards.iter_mut().collect();
        order.sort_by_key(|forward| (forward.current().unwrap_or(0) == 0, forward.priority()));
        let smaller = order.iter_mut().any(|forward| forward.step_down_spatial());
        // Fewer pictures a second would make a loss by chance more visible.
        if !smaller && cause == Cause::Rate {
            order
                .iter_mut()
                .any(|forward| forward.leave_out_temporal_layers());
            self.at_floor(now, forwards);
        }
    }

    /// Even the lowest layers are too much. After a while half of the pictures are paused, the
    /// least important ones; of one, that one.
    fn at_floor(&mut self, now: Instant, forwards: &mut Forwards) {
        let first = match self.floor {
            Some((first, last)) if now.saturating_duration_since(last) <= FLOOR_GAP => first,
            _ => now,
        };
        self.floor = Some((first, now));
        if now.saturating_duration_since(first) < FLOOR_PATIENCE {
            return;
        }
        self.floor = None;
        let mut order: Vec<&mut Forward> = forwards
            .iter_mut()
            .filter(|forward| !forward.is_paused())
            .collect();
        order.sort_by_key(|forward| forward.priority());
        let paused = (order.len() / 2).max(1);
        for forward in order.into_iter().take(paused) {
            forward.pause();
            self.paused = true;
            self.changed = true;
        }
    }

    /// Heeds what was signalled; after a quiet time, aims one step higher.
    pub(crate) fn adapt(
        &mut self,
        config: &RelayConfig,
        now: Instant,
        drained: bool,
        forwards: &mut Forwards,
    ) {
        if let Some(cause) = self.signal.take() {
            self.heed(cause, config, now, forwards);
        }
        if self.step_up_at.is_none_or(|at| now < at) || !drained || self.stuck {
            return;
        }
        if self.doubts < DOUBTS && !self.has_room() {
            self.doubts += 1;
            self.step_up_at = Some(now + config.step_up_after);
            return;
        }
        self.doubts = 0;
        self.step_up(config, now, forwards);
    }

    /// Whether as much again by a third may be thought to find room.
    fn has_room(&self) -> bool {
        let more = self.rate.bps / 3 * 4;
        let by_path = self.path.is_none_or(|path| path.bps >= more);
        by_path && self.available_bps.is_none_or(|bps| bps >= more)
    }

    /// First what is paused, then the most important stream.
    fn step_up(&mut self, config: &RelayConfig, now: Instant, forwards: &mut Forwards) {
        let mut order: Vec<&mut Forward> = forwards.iter_mut().collect();
        order.sort_by_key(|forward| (!forward.is_paused(), Reverse(forward.priority())));
        let raised = order.into_iter().find_map(|forward| {
            let was_paused = forward.is_paused();
            forward.step_up().then_some(was_paused)
        });
        if let Some(was_paused) = raised {
            self.step_up_at = Some(now + config.step_up_after);
            self.tried = true;
            self.changed |= was_paused;
        } else if self.failures > 1 {
            // A path that failed before is trusted again only slowly.
            self.failures -= 1;
            self.tried = false;
            self.step_up_at = Some(now + FORGIVE_AFTER);
        } else {
            *self = Self {
                path: self.path,
                available_bps: self.available_bps,
                changed: self.changed,
                rate: std::mem::take(&mut self.rate),
                ..Self::default()
            };
        }
    }

    /// The receiver's writer asked for more.
    pub(crate) fn note_taken(&mut self) {
        self.stuck = false;
    }

    /// A receiver that does not drain, or was just congested, must not cost the publisher and all
    /// other receivers a keyframe.
    pub(crate) fn may_ask_for_keyframe(&self, now: Instant, fresh: bool) -> bool {
        self.keyframe_after
            .is_none_or(|after| now >= after && fresh && !self.stuck)
    }
}
