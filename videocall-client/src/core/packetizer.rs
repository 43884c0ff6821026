//! Numbers the frames of one layer and says which frame each depends on.

use videocall_types::limits::{MAX_DEPENDS_BACK, MAX_TEMPORAL_LAYERS};

/// Number and dependency of a frame, as in the routing header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// From 1.
    pub frame_number: u64,
    /// Distance to the frame that this one needs; 0 for a keyframe.
    pub depends_back: u8,
}

/// The frames of one layer of one stream.
#[derive(Clone, Debug, Default)]
pub struct Packetizer {
    number: u64,
    /// The last frame of each temporal layer since the keyframe; 0 if there was none.
    last: [u64; MAX_TEMPORAL_LAYERS as usize],
}

impl Packetizer {
    /// Numbers the next frame. A frame of the base layer needs the one before it in the base; one
    /// of a higher temporal layer needs the latest of a lower one, as the L1T2 and L1T3 patterns of
    /// WebRTC-SVC have it (W3C Scalable Video Coding, section 6).
    ///
    /// `None` for a delta before the first keyframe, or so far from what it needs that nobody could
    /// tell: ask the encoder for a keyframe.
    pub fn next(&mut self, keyframe: bool, temporal: u8) -> Option<Numbered> {
        let temporal = usize::from(temporal.min(MAX_TEMPORAL_LAYERS - 1));
        let needed = if keyframe {
            0
        } else if temporal == 0 {
            self.last[0]
        } else {
            self.last[..temporal].iter().copied().max().unwrap_or(0)
        };
        let frame_number = self.number + 1;
        if !keyframe && (needed == 0 || frame_number - needed > u64::from(MAX_DEPENDS_BACK)) {
            return None;
        }
        if keyframe {
            self.last = Default::default();
        }
        self.number = frame_number;
        self.last[temporal] = frame_number;
        let depends_back = if keyframe {
            0
        } else {
            (frame_number - needed) as u8
        };
        Some(Numbered {
            frame_number,
            depends_back,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back(pattern: &[u8], frames: usize) -> Vec<u8> {
        let mut packetizer = Packetizer::default();
        (0..frames)
            .map(|i| {
                packetizer
                    .next(i == 0, pattern[i % pattern.len()])
                    .unwrap()
                    .depends_back
            })
            .collect()
    }

    #[test]
    fn dependencies_follow_the_pattern() {
        assert_eq!(back(&[0], 4), [0, 1, 1, 1]);
        assert_eq!(back(&[0, 1], 6), [0, 1, 2, 1, 2, 1]);
        assert_eq!(back(&[0, 2, 1, 2], 9), [0, 1, 2, 1, 4, 1, 2, 1, 4]);
    }

    #[test]
    fn nothing_goes_before_a_keyframe() {
        let mut packetizer = Packetizer::default();
        assert_eq!(packetizer.next(false, 0), None);
        assert_eq!(
            packetizer.next(true, 0),
            Some(Numbered {
                frame_number: 1,
                depends_back: 0
            })
        );
        assert_eq!(
            packetizer.next(true, 0),
            Some(Numbered {
                frame_number: 2,
                depends_back: 0
            })
        );
    }
}
