//! What one receiver is given of one stream of one publisher.

use std::time::{Duration, Instant};

use videocall_types::{
    ids::{MediaKind, SessionId},
    limits::MAX_TEMPORAL_LAYERS,
    view::Routing,
};

use crate::{counters::DropReason, window::Window};

/// A simulcast layer that sent nothing for so long, while a lower one did, has been given up by
/// its publisher.
const LAYER_SILENCE: Duration = Duration::from_millis(700);

/// How much of a stream a receiver wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Highest simulcast layer.
    pub(crate) spatial: u8,
    /// Highest temporal layer.
    pub(crate) temporal: u8,
    /// Higher is degraded later.
    pub(crate) priority: u32,
}

/// What to do with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accept,
    /// The frame is of a layer that this receiver does not get now.
    Skip,
    Drop(DropReason),
}

/// Verdict on a frame, and the layer of which a keyframe would help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub(crate) verdict: Verdict,
    pub(crate) keyframe_of: Option<u8>,
    pub(crate) switched: bool,
}

impl Judgement {
    const ACCEPT: Self = Self {
        verdict: Verdict::Accept,
        keyframe_of: None,
        switched: false,
    };

    const SKIP: Self = Self {
        verdict: Verdict::Skip,
        keyframe_of: None,
        switched: false,
    };

    fn drop(reason: DropReason, keyframe_of: Option<u8>) -> Self {
        Self {
            verdict: Verdict::Drop(reason),
            keyframe_of,
            switched: false,
        }
    }
}

/// State of one (receiver, publisher, kind). Guarantees that a delta frame is accepted only if the
/// frame it depends on was, and has not been dropped from the queue since.
#[derive(Debug)]
pub(crate) struct Forward {
    pub(crate) publisher: SessionId,
    pub(crate) kind: MediaKind,
    wanted: Wanted,
    /// Highest layers that the path to the receiver has been found to carry.
    spatial_cap: u8,
    temporal_cap: u8,
    /// The path does not carry even the lowest layer: nothing is given.
    paused: bool,
    /// And the receiver knows.
    told_paused: bool,
    stream_id: u32,
    current: Option<u8>,
    window: Window,
    /// When a frame last came of the current layer or, before there is one, of the target.
    heard: Option<Instant>,
}

fn is_silence(now: Instant, heard: Instant) -> bool {
    now.saturating_duration_since(heard) > LAYER_SILENCE
}

impl Forward {
    pub(crate) fn new(publisher: SessionId, kind: MediaKind, wanted: Wanted) -> Self {
        Self {
            publisher,
            kind,
            wanted,
            spatial_cap: u8::MAX,
            temporal_cap: MAX_TEMPORAL_LAYERS,
            paused: false,
            told_paused: false,
            stream_id: 0,
            current: None,
            window: Window::default(),
            heard: None,
        }
    }

    pub(crate) fn set_wanted(&mut self, wanted: Wanted) {
        self.wanted = wanted;
    }

    /// The simulcast layer to aim for.
    pub(crate) fn target(&self) -> u8 {
        self.wanted.spatial.min(self.spatial_cap)
    }

    /// The simulcast layer that is being forwarded.
    pub(crate) fn current(&self) -> Option<u8> {
        self.current
    }

    pub(crate) fn priority(&self) -> u32 {
        self.wanted.priority
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused
    }

    /// Gives nothing more of the stream, until a step up.
    pub(crate) fn pause(&mut self) {
        self.paused = true;
        self.told_paused = false;
        (self.spatial_cap, self.temporal_cap) = (0, 0);
        self.leave_layer();
    }

    /// Whether the receiver had been told of the pause; it is now.
    pub(crate) fn note_told(&mut self) -> bool {
        std::mem::replace(&mut self.told_paused, true)
    }

    /// The layer of which a keyframe would lead to what is wanted.
    pub(crate) fn awaited(&self) -> Option<u8> {
        let target = self.target();
        (!self.paused && self.current != Some(target)).then_some(target)
    }

    /// One bit for each layer that the publisher must encode for this receiver: the target, and
    /// the current one until the target has come.
    pub(crate) fn demand(&self) -> u8 {
        if self.paused {
            return 0;
        }
        1 << self.target() | self.current.map_or(0, |layer| 1 << layer)
    }

    /// Whether a picture is shown, though of a layer higher than the target: a keyframe of the
    /// target then relieves the path.
    pub(crate) fn descends(&self) -> bool {
        !self.window.is_empty() && self.current > Some(self.target())
    }

    /// Whether [`judge`](Self::judge) may accept a frame.
    pub(crate) fn expects(&self, now: Instant, frame: &Routing) -> bool {
        if self.paused || frame.stream_id < self.stream_id {
            return false;
        }
        let leaves_layer = frame.stream_id > self.stream_id
            || (self.current.is_some_and(|layer| frame.spatial < layer)
                && self.heard.is_some_and(|heard| is_silence(now, heard)));
        if leaves_layer {
            return frame.keyframe && frame.spatial <= self.target();
        }
        self.current == Some(frame.spatial) || frame.keyframe && self.is_closer(frame.spatial)
    }

    /// Whether a layer lies between the current one and the target, or is the target.
    fn is_closer(&self, layer: u8) -> bool {
        let target = self.target();
        match self.current {
            None => layer <= target,
            Some(current) if current > target => (target..current).contains(&layer),
            Some(current) => layer > current && layer <= target,
        }
    }

    /// Decides on a frame and notes it if accepted.
    pub(crate) fn judge(&mut self, now: Instant, frame: &Routing) -> Judgement {
        if self.paused {
            return Judgement::SKIP;
        }
        if frame.stream_id != self.stream_id {
            if frame.stream_id < self.stream_id {
                return Judgement::drop(DropReason::TooLate, None);
            }
            self.stream_id = frame.stream_id;
            self.heard = Some(now);
            self.leave_layer();
        }
        if self.current == Some(frame.spatial) {
            self.heard = Some(now);
            return self.judge_current(frame);
        }
        let target = self.target();
        let silent = is_silence(now, *self.heard.get_or_insert(now));
        if silent && self.current.is_some_and(|layer| frame.spatial < layer) {
            self.leave_layer();
        }
        if frame.keyframe && self.is_closer(frame.spatial) {
            self.current = Some(frame.spatial);
            self.heard = Some(now);
            self.window.restart(frame.frame_number);
            return Judgement {
                verdict: Verdict::Accept,
                keyframe_of: (frame.spatial != target).then_some(target),
                switched: true,
            };
        }
        if self.current.is_none() && frame.spatial == target {
            self.heard = Some(now);
        }
        // A frame that cannot be entered: only a keyframe helps. Of a layer below the target only
        // if nothing better comes.
        let helps = frame.spatial == target || (silent && self.is_closer(frame.spatial));
        Judgement {
            verdict: Verdict::Skip,
            keyframe_of: helps.then_some(frame.spatial),
            switched: false,
        }
    }

    fn judge_current(&mut self, frame: &Routing) -> Judgement {
        if frame.keyframe {
            if !self.window.is_empty() && frame.frame_number <= self.window.newest() {
                return Judgement::drop(DropReason::TooLate, None);
            }
            self.window.restart(frame.frame_number);
            return Judgement::ACCEPT;
        }
        if frame.temporal > self.wanted.temporal.min(self.temporal_cap) {
            return Judgement::drop(DropReason::TemporalLayer, None);
        }
        if self.window.contains(frame.frame_number) {
            return Judgement::drop(DropReason::TooLate, None);
        }
        if frame
            .depends_on()
            .is_some_and(|needed| self.window.contains(needed))
        {
            self.window.insert(frame.frame_number, frame.temporal);
            return Judgement::ACCEPT;
        }
        // Without a frame of a higher temporal layer the base goes on.
        let keyframe_of = (frame.temporal == 0).then_some(self.target());
        Judgement::drop(DropReason::Undecodable, keyframe_of)
    }

    fn leave_layer(&mut self) {
        self.current = None;
        self.window.clear();
    }

    /// A frame that was already taken out of the queue did not reach the receiver, nor does what
    /// depends on it help.
    pub(crate) fn lost_with_dependents(&mut self, frame: &Routing) {
        if frame.stream_id == self.stream_id && self.current == Some(frame.spatial) {
            self.window
                .remove_with_dependents(frame.frame_number, frame.temporal);
        }
    }

    /// A frame that was accepted is not waiting any more.
    pub(crate) fn lost(&mut self, frame: &Routing) {
        if frame.stream_id == self.stream_id && self.current == Some(frame.spatial) {
            self.window.remove(frame.frame_number);
        }
    }

    /// All accepted frames are gone: only a keyframe helps.
    pub(crate) fn lost_all(&mut self) {
        self.window.clear();
    }

    /// Aims at the next lower simulcast layer; `false` if there is none.
    pub(crate) fn step_down_spatial(&mut self) -> bool {
        let from = self.current.unwrap_or(u8::MAX).min(self.target());
        if self.paused || from == 0 {
            return false;
        }
        self.spatial_cap = from - 1;
        true
    }

    /// Aims at the base of the layer alone; `false` if that is so already.
    pub(crate) fn leave_out_temporal_layers(&mut self) -> bool {
        !self.paused && std::mem::take(&mut self.temporal_cap) > 0
    }

    /// Aims one step higher; `false` if nothing held it down.
    pub(crate) fn step_up(&mut self) -> bool {
        if std::mem::take(&mut self.paused) {
            // The frames of the lowest layer that others need come first.
            self.heard = None;
            true
        } else if self.temporal_cap == 0 {
            self.temporal_cap = MAX_TEMPORAL_LAYERS;
            true
        } else if self.spatial_cap < self.wanted.spatial {
            self.spatial_cap += 1;
            true
        } else {
            // What is wanted later must not meet an old bound.
            self.spatial_cap = u8::MAX;
            false
        }
    }
}
