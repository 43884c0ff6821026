//! Which of the last frames of one layer a receiver was given.

/// Remembers the newest frame and 63 before it: as far back as a dependency may reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Window {
    newest: u64,
    /// Bit `i`: frame `newest - i` is there.
    bits: u64,
    /// Bit `i`: it is of the base layer, on which alone the base layer depends.
    base: u64,
}

impl Window {
    /// Starts anew with a keyframe: nothing before it counts.
    pub(crate) fn restart(&mut self, keyframe: u64) {
        *self = Self {
            newest: keyframe,
            bits: 1,
            base: 1,
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
    pub(crate) fn insert(&mut self, frame: u64, temporal: u8) {
        if frame > self.newest {
            let ahead = frame - self.newest;
            let shift = |bits: u64| if ahead < 64 { bits << ahead } else { 0 };
            self.bits = shift(self.bits);
            self.base = shift(self.base);
            self.newest = frame;
        }
        if let back @ 0..64 = self.newest - frame {
            self.bits |= 1 << back;
            self.base &= !(1 << back);
            self.base |= u64::from(temporal == 0) << back;
        }
    }

    /// Forgets a frame and what may depend on it: all newer ones, or if it is of a higher temporal
    /// layer, those of higher temporal layers.
    pub(crate) fn remove_with_dependents(&mut self, frame: u64, temporal: u8) {
        if let Some(back @ 0..64) = self.newest.checked_sub(frame) {
            let from_frame_on = u64::MAX >> (63 - back);
            let spared = if temporal == 0 { 0 } else { self.base };
            self.bits &= !from_frame_on | spared;
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
                        window.insert(frame, 0);
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
