//! Which of the last frames of one layer a receiver was given.

/// Remembers the newest frame and 63 before it: as far back as a dependency may reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Window {
    newest: u64,
    /// Bit `i`: frame `newest - i` is there.
    bits: u64,
}

impl Window {
    /// Starts anew with a keyframe: nothing before it counts.
    pub(crate) fn restart(&mut self, keyframe: u64) {
        *self = Self {
            newest: keyframe,
            bits: 1,
        };
    }

    pub(crate) fn clear(&mut self) {
        self.bits = 0;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bits == 0
    }

    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    pub(crate) fn contains(&self, frame: u64) -> bool {
        match self.newest.checked_sub(frame) {
            Some(back @ 0..64) => self.bits >> back & 1 == 1,
            _ => false,
        }
    }

    /// Notes a frame. One over 63 frames older than the newest is forgotten at once.
    pub(crate) fn insert(&mut self, frame: u64) {
        if frame > self.newest {
            let ahead = frame - self.newest;
            self.bits = if ahead < 64 { self.bits << ahead } else { 0 };
            self.newest = frame;
            self.bits |= 1;
        } else if let back @ 0..64 = self.newest - frame {
            self.bits |= 1 << back;
        }
    }

    pub(crate) fn remove(&mut self, frame: u64) {
        if let Some(back @ 0..64) = self.newest.checked_sub(frame) {
            self.bits &= !(1 << back);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::Window;

    proptest! {
        #[test]
        fn a_window_is_the_set_of_the_last_64(ops in prop::collection::vec((0..3u8, 1..200u64), 1..80)) {
            let mut window = Window::default();
            let mut model = BTreeSet::new();
            let mut newest = 0;
            for (op, frame) in ops {
                match op {
                    0 => {
                        window.restart(frame);
                        model = BTreeSet::from([frame]);
                        newest = frame;
                    }
                    1 => {
                        window.insert(frame);
                        newest = newest.max(frame);
                        model.insert(frame);
                    }
                    _ => {
                        window.remove(frame);
                        model.remove(&frame);
                    }
                }
                model.retain(|&frame| newest - frame < 64);
                for frame in 0..200 {
                    prop_assert_eq!(window.contains(frame), model.contains(&frame));
                }
            }
        }
    }
}
