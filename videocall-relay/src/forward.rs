//! What one receiver is given of one stream of one publisher.

use videocall_types::{
    ids::{MediaKind, SessionId},
    limits::MAX_TEMPORAL_LAYERS,
    view::Routing,
};

use crate::{counters::DropReason, window::Window};

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
    stream_id: u32,
    current: Option<u8>,
    window: Window,
}

impl Forward {
    pub(crate) fn new(publisher: SessionId, kind: MediaKind, wanted: Wanted) -> Self {
        Self {
            publisher,
            kind,
            wanted,
            spatial_cap: u8::MAX,
            temporal_cap: MAX_TEMPORAL_LAYERS,
            stream_id: 0,
            current: None,
            window: Window::default(),
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

    /// One bit for each layer that the publisher must encode for this receiver: the target, and
    /// the current one until the target has come.
    pub(crate) fn demand(&self) -> u8 {
        1 << self.target() | self.current.map_or(0, |layer| 1 << layer)
    }

    /// Whether a frame of that layer may be for this receiver now.
    pub(crate) fn expects(&self, frame: &Routing) -> bool {
        self.current == Some(frame.spatial)
            || frame.keyframe && (frame.spatial == self.target() || self.current.is_none())
    }

    /// Decides on a frame and notes it if accepted.
    pub(crate) fn judge(&mut self, frame: &Routing) -> Judgement {
        let target = self.target();
        if frame.stream_id != self.stream_id {
            if frame.stream_id < self.stream_id && self.current.is_some() {
                return drop_for(DropReason::TooLate, None);
            }
            self.stream_id = frame.stream_id;
            self.current = None;
            self.window.clear();
        }
        if self.current == Some(frame.spatial) {
            return self.judge_current(frame, target);
        }
        let enters = frame.spatial == target || (self.current.is_none() && frame.spatial < target);
        if enters && frame.keyframe {
            self.current = Some(frame.spatial);
            self.window.restart(frame.frame_number);
            return Judgement {
                verdict: Verdict::Accept,
                keyframe_of: (frame.spatial != target).then_some(target),
                switched: true,
            };
        }
        Judgement {
            verdict: Verdict::Skip,
            // A frame of the target that cannot be entered: only a keyframe helps.
            keyframe_of: (frame.spatial == target).then_some(target),
            switched: false,
        }
    }

    fn judge_current(&mut self, frame: &Routing, target: u8) -> Judgement {
        if frame.keyframe {
            if !self.window.is_empty() && frame.frame_number <= self.window.newest() {
                return drop_for(DropReason::TooLate, None);
            }
            self.window.restart(frame.frame_number);
            return accept();
        }
        if frame.temporal > self.wanted.temporal.min(self.temporal_cap) {
            return drop_for(DropReason::TemporalLayer, None);
        }
        if self.window.contains(frame.frame_number) {
            return drop_for(DropReason::TooLate, None);
        }
        if frame
            .depends_on()
            .is_some_and(|needed| self.window.contains(needed))
        {
            self.window.insert(frame.frame_number);
            return accept();
        }
        // Without a frame of a higher temporal layer the base goes on.
        drop_for(
            DropReason::Undecodable,
            (frame.temporal == 0).then_some(target),
        )
    }

    /// A frame that was accepted did not reach the receiver.
    pub(crate) fn lost(&mut self, frame: &Routing) {
        if frame.stream_id == self.stream_id && self.current == Some(frame.spatial) {
            self.window.remove(frame.frame_number);
        }
    }

    /// All accepted frames are gone: only a keyframe helps.
    pub(crate) fn lost_all(&mut self) {
        self.window.clear();
    }

    /// Aims one step lower; `false` if there is no lower one.
    pub(crate) fn step_down(&mut self) -> bool {
        let from = self.current.unwrap_or(u8::MAX).min(self.target());
        if from > 0 {
            self.spatial_cap = from - 1;
            true
        } else if self.temporal_cap > 0 {
            self.temporal_cap = 0;
            true
        } else {
            false
        }
    }

    /// Aims one step higher; `false` if nothing held it down.
    pub(crate) fn step_up(&mut self) -> bool {
        if self.temporal_cap == 0 {
            self.temporal_cap = MAX_TEMPORAL_LAYERS;
            true
        } else if self.spatial_cap < self.wanted.spatial {
            self.spatial_cap += 1;
            true
        } else {
            false
        }
    }
}

fn accept() -> Judgement {
    Judgement {
        verdict: Verdict::Accept,
        keyframe_of: None,
        switched: false,
    }
}

fn drop_for(reason: DropReason, keyframe_of: Option<u8>) -> Judgement {
    Judgement {
        verdict: Verdict::Drop(reason),
        keyframe_of,
        switched: false,
    }
}
