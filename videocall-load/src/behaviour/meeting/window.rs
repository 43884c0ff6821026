//! Finds loss, reordering and duplicates in a sequence of numbers that has no gap at its source.

/// Numbers below the highest that may still come. A number is lost when it has not come while this
/// many later ones were sent: over a second of sound, or two of video.
const WIDTH: u64 = 64;

/// What one number, or the end, brought to light.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Numbers that did not come.
    pub lost: u64,
    /// Numbers that came after higher ones.
    pub reordered: u64,
    /// Numbers that came again.
    pub duplicated: u64,
}

/// The last numbers of one sequence.
#[derive(Clone, Copy, Debug, Default)]
pub struct Window {
    highest: Option<u64>,
    /// Nothing is known of what was before.
    first: u64,
    /// Bit n: `highest` − n has come. Before the first number everything counts as come.
    seen: u64,
}

impl Window {
    /// Takes note of a number.
    pub fn note(&mut self, number: u64) -> Findings {
        let mut findings = Findings::default();
        let Some(highest) = self.highest else {
            self.highest = Some(number);
            self.first = number;
            self.seen = u64::MAX;
            return findings;
        };
        if number < self.first {
            findings.reordered = 1;
            return findings;
        }
        if number > highest {
            let step = number - highest;
            if step >= WIDTH {
                // All that were missing, and those that were jumped over and fall out at once.
                findings.lost = u64::from(self.seen.count_zeros()) + (step - WIDTH);
                self.seen = 1;
            } else {
                let leaving = self.seen >> (WIDTH - step);
                findings.lost = step - u64::from(leaving.count_ones());
                self.seen = self.seen << step | 1;
            }
            self.highest = Some(number);
            return findings;
        }
        let back = highest - number;
        if back >= WIDTH {
            // Long counted as lost, or come before: too old to tell.
            findings.reordered = 1;
        } else if self.seen >> back & 1 == 1 {
            findings.duplicated = 1;
        } else {
            self.seen |= 1 << back;
            findings.reordered = 1;
        }
        findings
    }

    /// Ends the sequence: what has not come is lost. The next number begins another one.
    pub fn finish(&mut self) -> Findings {
        let lost = match self.highest.take() {
            Some(_) => u64::from(self.seen.count_zeros()),
            None => 0,
        };
        Findings {
            lost,
            ..Findings::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(numbers: impl IntoIterator<Item = u64>) -> Findings {
        let mut window = Window::default();
        let mut sum = Findings::default();
        let mut add = |found: Findings| {
            sum.lost += found.lost;
            sum.reordered += found.reordered;
            sum.duplicated += found.duplicated;
        };
        for number in numbers {
            add(window.note(number));
        }
        add(window.finish());
        sum
    }

    fn findings(lost: u64, reordered: u64, duplicated: u64) -> Findings {
        Findings {
            lost,
            reordered,
            duplicated,
        }
    }

    #[test]
    fn each_fault_is_told_apart() {
        assert_eq!(all(5..200), findings(0, 0, 0));
        assert_eq!(all([1, 2, 4, 5]), findings(1, 0, 0));
        assert_eq!(all([1, 3, 2, 4]), findings(0, 1, 0));
        assert_eq!(all([1, 2, 2, 3, 1]), findings(0, 0, 2));
        assert_eq!(all((1..50).chain(150..160)), findings(100, 0, 0));
        assert_eq!(all((1..50).chain(100..300)), findings(50, 0, 0));
    }

    proptest! {
        #[test]
        fn what_is_dropped_is_counted(dropped in prop::collection::btree_set(1u64..499, 0..300)) {
            let came = (0..500).filter(|number| !dropped.contains(number));
            prop_assert_eq!(all(came), findings(dropped.len() as u64, 0, 0));
        }

        #[test]
        fn what_is_sent_twice_is_counted(twice in prop::collection::btree_set(0u64..500, 0..300)) {
            let came = (0..500).flat_map(|number| vec![number; 1 + usize::from(twice.contains(&number))]);
            prop_assert_eq!(all(came), findings(0, 0, twice.len() as u64));
        }

        #[test]
        fn neighbours_that_change_places_are_counted_and_not_lost(swapped in prop::collection::btree_set(1u64..200, 0..100)) {
            let mut came: Vec<u64> = (0..500).collect();
            for place in &swapped {
                came.swap(2 * *place as usize, 2 * *place as usize + 1);
            }
            prop_assert_eq!(all(came), findings(0, swapped.len() as u64, 0));
        }
    }
}
