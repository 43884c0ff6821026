//! What the growth of a receiver's queue tells of the path to it, and the aim that follows.

use std::{
    cmp::Reverse,
    time::{Duration, Instant},
};

use crate::{config::RelayConfig, forward::Forward, queue::Forwards};

/// Longest pause until a higher layer is tried again.
const MAX_STEP_UP: Duration = Duration::from_secs(60);
/// Quiet time after which one failure is forgiven.
const FORGIVE_AFTER: Duration = Duration::from_secs(15);
/// First and longest pause until a keyframe may be asked for on account of a congested receiver.
const KEYFRAME_PAUSE: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(1));

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
    /// The transport gave up frames.
    lossy: bool,
}

impl Congestion {
    pub(crate) fn is_active(&self) -> bool {
        self.step_up_at.is_some() || self.lossy
    }

    /// The transport gave up a frame; acted upon with the next push.
    pub(crate) fn note_loss(&mut self) {
        self.lossy = true;
    }

    /// The queue begins to grow: aims lower, unless that was done just now.
    pub(crate) fn warn(&mut self, config: &RelayConfig, now: Instant, forwards: &mut Forwards) {
        let recently = self
            .stepped_down_at
            .is_some_and(|at| now.saturating_duration_since(at) < config.video_max_age);
        if !recently {
            self.step_down(config, now, forwards);
        }
    }

    /// The path carries less than is sent: aims lower, for the least important stream first.
    pub(crate) fn step_down(
        &mut self,
        config: &RelayConfig,
        now: Instant,
        forwards: &mut Forwards,
    ) {
        if self.failures == 0 || std::mem::take(&mut self.tried) {
            self.failures = self.failures.saturating_add(1);
        }
        let doublings = (self.failures - 1).min(5);
        let pause = config.step_up_after * (1 << doublings);
        self.step_up_at = Some(now + pause.min(MAX_STEP_UP));
        let (first, longest) = KEYFRAME_PAUSE;
        self.keyframe_after = Some(now + (first * (1 << doublings)).min(longest));
        self.stepped_down_at = Some(now);
        self.lossy = false;
        self.stuck = true;
        let mut order: Vec<&mut Forward> = forwards.iter_mut().collect();
        order.sort_by_key(|forward| (forward.current().unwrap_or(0) == 0, forward.priority()));
        for forward in order {
            if forward.step_down() {
                break;
            }
        }
    }

    /// After a quiet time, aims one step higher, for the most important stream first.
    pub(crate) fn try_step_up(
        &mut self,
        config: &RelayConfig,
        now: Instant,
        drained: bool,
        forwards: &mut Forwards,
    ) {
        if self.lossy {
            self.lossy = false;
            self.warn(config, now, forwards);
        }
        if self.step_up_at.is_none_or(|at| now < at) || !drained || self.stuck {
            return;
        }
        let mut order: Vec<&mut Forward> = forwards.iter_mut().collect();
        order.sort_by_key(|forward| Reverse(forward.priority()));
        if order.into_iter().any(Forward::step_up) {
            self.step_up_at = Some(now + config.step_up_after);
            self.tried = true;
        } else if self.failures > 1 {
            // A path that failed before is trusted again only slowly.
            self.failures -= 1;
            self.tried = false;
            self.step_up_at = Some(now + FORGIVE_AFTER);
        } else {
            *self = Self::default();
        }
    }

    /// The receiver's writer asked for more.
    pub(crate) fn note_taken(&mut self) {
        self.stuck = false;
    }

    /// A receiver that does not drain, or was just congested, must not cost the publisher and all
    /// other receivers a keyframe.
    pub(crate) fn may_ask_for_keyframe(&self, now: Instant, empty: bool) -> bool {
        self.keyframe_after
            .is_none_or(|after| now >= after && empty && !self.stuck)
    }
}
