//! Which frame of a temporal pattern comes next, and which earlier one it refers to.
//!
//! The patterns are L1T1 to L1T3 of WebRTC-SVC. Every frame refers to exactly one: in the base
//! layer to the base frame before it, higher up to the latest frame of any lower layer. So one
//! distance in the routing header says all that a relay must know.

/// Temporal layers of four frames in a row, by number of layers.
const PATTERNS: [&[u8]; 3] = [&[0], &[0, 1], &[0, 2, 1, 2]];

/// What the next frame is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Next {
    /// Layer, 0 the base.
    pub(super) temporal: u8,
    /// The reference buffer that it reads; each layer but the highest has one.
    pub(super) reference_slot: u8,
    /// The reference buffer that it replaces.
    pub(super) update_slot: Option<u8>,
    /// Distance to the frame that it refers to; 0 for a keyframe.
    pub(super) depends_back: u8,
}

/// The pattern of one encoder.
#[derive(Clone, Debug)]
pub(super) struct Layers {
    count: u8,
    position: usize,
    /// Frames made so far.
    frames: u64,
    /// Number of the frame in each reference buffer, 0 for none.
    slots: [u64; 3],
}

impl Layers {
    /// `count` is 1 to 3.
    pub(super) fn new(count: u8) -> Self {
        Self {
            count,
            position: 0,
            frames: 0,
            slots: [0; 3],
        }
    }

    /// The next frame, which counts only when [`made`](Self::made) says so.
    pub(super) fn next(&self, keyframe: bool) -> Next {
        if keyframe || self.frames == 0 {
            return Next {
                temporal: 0,
                reference_slot: 0,
                update_slot: Some(0),
                depends_back: 0,
            };
        }
        let pattern = PATTERNS[usize::from(self.count) - 1];
        let temporal = pattern[self.position % pattern.len()];
        let below = usize::from(temporal.max(1));
        let reference = (0..below).max_by_key(|slot| self.slots[*slot]).unwrap_or(0);
        let number = self.frames + 1;
        Next {
            temporal,
            reference_slot: reference as u8,
            update_slot: (temporal + 1 < self.count || temporal == 0).then_some(temporal),
            depends_back: (number - self.slots[reference]) as u8,
        }
    }

    /// The frame came out of the encoder; gives its number, from 1. The pattern begins anew at a
    /// keyframe. A frame that was dropped is left out as if it had never been asked for.
    pub(super) fn made(&mut self, next: Next, keyframe: bool) -> u64 {
        self.frames += 1;
        if keyframe {
            // A keyframe replaces all buffers, and the base frame is the newest of them.
            self.slots = [self.frames, 0, 0];
            self.position = 1;
        } else {
            if let Some(slot) = next.update_slot {
                self.slots[usize::from(slot)] = self.frames;
            }
            self.position += 1;
        }
        self.frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Temporal layer and distance of the frames after a keyframe.
    fn run(count: u8, frames: usize) -> Vec<(u8, u8)> {
        let mut layers = Layers::new(count);
        (0..frames)
            .map(|index| {
                let next = layers.next(index == 0);
                layers.made(next, index == 0);
                (next.temporal, next.depends_back)
            })
            .collect()
    }

    #[test]
    fn patterns_are_those_of_webrtc_svc() {
        assert_eq!(run(1, 4), [(0, 0), (0, 1), (0, 1), (0, 1)]);
        assert_eq!(run(2, 5), [(0, 0), (1, 1), (0, 2), (1, 1), (0, 2)]);
        assert_eq!(
            run(3, 9),
            [
                (0, 0),
                (2, 1),
                (1, 2),
                (2, 1),
                (0, 4),
                (2, 1),
                (1, 2),
                (2, 1),
                (0, 4)
            ]
        );
    }

    #[test]
    fn a_keyframe_begins_the_pattern_anew() {
        let mut layers = Layers::new(3);
        for keyframe in [true, false, true] {
            let next = layers.next(keyframe);
            layers.made(next, keyframe);
        }
        let next = layers.next(false);
        assert_eq!((next.temporal, next.depends_back), (2, 1));
    }

    #[test]
    fn dropped_frames_leave_no_trace() {
        let mut layers = Layers::new(3);
        for keyframe in [true, false] {
            let next = layers.next(keyframe);
            layers.made(next, keyframe);
        }
        // Asked for and dropped.
        assert_eq!(layers.next(false), layers.next(false));
        let next = layers.next(false);
        assert_eq!((next.temporal, next.depends_back), (1, 2));
        assert_eq!(layers.made(next, false), 3);
    }
}
