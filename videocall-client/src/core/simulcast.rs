//! Which simulcast layers of a stream are encoded now, and how.

use std::time::Duration;

use videocall_types::wire::LayerInfo;

use super::budget::{Claim, MOST_LEFT_OUT, divide};

/// Part of its bit rate below which a layer looks worse than the next smaller one.
const LEAST: f64 = 0.5;
/// The smallest layer goes lower: with half of the pictures, as long as they show something.
const LEAST_BPS: u64 = 50_000;
/// Below this part of its bit rate the smallest layer leaves out every second picture.
const HALVED: f64 = 0.75;
/// Room that there must be for a layer that was left out, before it is tried again.
const ROOM: f64 = 1.2;
/// A layer that could not be afforded for so long is not offered any more.
const WITHDRAW_AFTER: Duration = Duration::from_secs(2);

/// How a layer is to be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerPlan {
    /// Which.
    pub spatial: u32,
    /// Bits a second.
    pub bitrate_bps: u32,
    /// Only every second picture.
    pub half_rate: bool,
}

/// The layers of one stream, in order of size.
#[derive(Clone, Debug, Default)]
pub struct Simulcast {
    layers: Vec<LayerInfo>,
    demand: u32,
    /// Layers that are affordable now, from the smallest.
    affordable: usize,
    /// Since when fewer have been affordable than are offered.
    short_since: Option<Duration>,
    offered: usize,
    plan: Vec<LayerPlan>,
}

impl Simulcast {
    /// For layers in order of size, all of which are offered.
    pub fn new(layers: Vec<LayerInfo>) -> Self {
        Self {
            affordable: layers.len(),
            offered: layers.len(),
            layers,
            ..Self::default()
        }
    }

    /// All layers.
    pub fn layers(&self) -> &[LayerInfo] {
        &self.layers
    }

    /// Those to tell the server of. One that cannot be afforded for long is not among them, so
    /// that receivers on other nodes choose another as well.
    pub fn offered(&self) -> &[LayerInfo] {
        &self.layers[..self.offered]
    }

    /// What receivers want: bit n for layer n.
    pub fn set_demand(&mut self, mask: u32) {
        self.demand = mask;
    }

    /// What receivers want.
    pub fn demand(&self) -> u32 {
        self.demand
    }

    /// What the stream needs at least, and can use.
    pub fn claim(&self) -> Claim {
        let wanted = self.wanted(self.layers.len());
        let most: u64 = wanted.iter().map(|&at| self.most(at)).sum();
        let least = if wanted.is_empty() { 0 } else { self.least(0) };
        // A layer that is not offered cannot be wanted: room for it must be seen all the same.
        let larger = self.affordable + 1..=self.layers.len();
        let to_try = larger.map(|affordable| self.needed(affordable)).max();
        Claim {
            least,
            most: most.max(to_try.unwrap_or(0)),
        }
    }

    /// Plans for the time until it is asked again. `left_out` are the steps of
    /// [`Machine`](super::budget::Machine).
    pub fn plan(&mut self, now: Duration, bps: u64, left_out: u8) -> &[LayerPlan] {
        let all = self.layers.len();
        let by_machine = all.saturating_sub(usize::from(left_out)).max(1).min(all);
        let halve = left_out >= MOST_LEFT_OUT || usize::from(left_out) >= all.max(1);
        self.affordable = self.affordable_with(bps).min(by_machine);
        self.offer(now);
        let wanted = self.wanted(self.affordable);
        let claims: Vec<Claim> = wanted
            .iter()
            .map(|&at| Claim {
                least: self.least(at),
                most: self.most(at),
            })
            .collect();
        let shares = divide(bps, &claims);
        self.plan = wanted
            .iter()
            .zip(shares)
            .filter(|(_, share)| *share > 0)
            .map(|(&at, share)| LayerPlan {
                spatial: self.layers[at].spatial,
                bitrate_bps: share as u32,
                half_rate: halve || at == 0 && (share as f64) < self.most(at) as f64 * HALVED,
            })
            .collect();
        &self.plan
    }

    /// What was planned last.
    pub fn planned(&self) -> &[LayerPlan] {
        &self.plan
    }

    /// The layers to encode if only so many can be, as places in the list: a larger one that is
    /// wanted becomes the largest that there is.
    fn wanted(&self, affordable: usize) -> Vec<usize> {
        let Some(largest) = affordable.checked_sub(1) else {
            return Vec::new();
        };
        let demanded = |at: usize| self.demand >> self.layers[at].spatial.min(31) & 1 == 1;
        let mut wanted: Vec<usize> = (0..self.layers.len())
            .filter(|&at| demanded(at))
            .map(|at| at.min(largest))
            .collect();
        wanted.dedup();
        wanted
    }

    fn affordable_with(&self, bps: u64) -> usize {
        (2..=self.layers.len())
            .rev()
            .find(|&affordable| self.needed(affordable) <= bps)
            .unwrap_or(1)
            .min(self.layers.len())
    }

    /// Bits a second that there must be for so many layers to be affordable.
    fn needed(&self, affordable: usize) -> u64 {
        let wanted = self.wanted(affordable);
        let mut needed: u64 = wanted.iter().map(|&at| self.least(at)).sum();
        if affordable > self.affordable {
            // Those who get a smaller one meanwhile go on to get it until the larger comes.
            if affordable > self.offered
                && !wanted.is_empty()
                && !wanted.contains(&(affordable - 1))
            {
                needed += self.least(affordable - 1);
            }
            needed = (needed as f64 * ROOM) as u64;
        }
        needed
    }

    fn offer(&mut self, now: Duration) {
        if self.affordable >= self.offered {
            self.offered = self.affordable;
            self.short_since = None;
        } else if now >= *self.short_since.get_or_insert(now) + WITHDRAW_AFTER {
            self.offered = self.affordable;
        }
    }

    fn most(&self, at: usize) -> u64 {
        self.layers[at].bitrate_bps.into()
    }

    fn least(&self, at: usize) -> u64 {
        let most = self.most(at);
        if at == 0 {
            most.min(LEAST_BPS)
        } else {
            (most as f64 * LEAST) as u64
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::ladder;

    fn camera() -> Simulcast {
        let mut simulcast = Simulcast::new(ladder::camera(1280, 720));
        simulcast.set_demand(0b111);
        simulcast
    }

    fn spatials(plan: &[LayerPlan]) -> Vec<u32> {
        plan.iter().map(|layer| layer.spatial).collect()
    }

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn layers_go_from_the_top_then_pictures_then_all() {
        let mut simulcast = camera();
        let mut plan = |bps| simulcast.plan(at(0), bps, 0).to_vec();
        assert_eq!(spatials(&plan(3_000_000)), [0, 1, 2]);
        assert_eq!(spatials(&plan(800_000)), [0, 1]);
        assert_eq!(spatials(&plan(250_000)), [0]);
        assert!(!plan(250_000)[0].half_rate);
        let least = plan(90_000);
        assert!(least[0].half_rate && least[0].bitrate_bps == 90_000);
        assert_eq!(plan(40_000), []);
    }

    #[test]
    fn nothing_that_nobody_wants_is_encoded_and_a_smaller_one_stands_in() {
        let mut simulcast = camera();
        simulcast.set_demand(0b100);
        assert_eq!(spatials(simulcast.plan(at(0), 3_000_000, 0)), [2]);
        assert_eq!(spatials(simulcast.plan(at(0), 500_000, 0)), [1]);
        simulcast.set_demand(0);
        assert_eq!(simulcast.plan(at(0), 3_000_000, 0), []);
    }

    #[test]
    fn a_layer_comes_back_only_with_room() {
        let mut simulcast = camera();
        let needed: u64 = 50_000 + 237_500 + 750_000;
        let near = |wanted: u64| wanted.next_multiple_of(20_000);
        assert_eq!(simulcast.plan(at(0), near(needed), 0).len(), 3);
        assert_eq!(simulcast.plan(at(0), needed - 40_000, 0).len(), 2);
        assert_eq!(simulcast.plan(at(0), near(needed), 0).len(), 2);
        assert_eq!(simulcast.plan(at(0), needed * 5 / 4, 0).len(), 3);
    }

    #[test]
    fn a_layer_is_withdrawn_after_a_while_and_offered_at_once() {
        let mut simulcast = camera();
        simulcast.plan(at(0), 300_000, 0);
        assert_eq!(simulcast.offered().len(), 3);
        simulcast.plan(at(1000), 3_000_000, 0);
        simulcast.plan(at(2000), 300_000, 0);
        assert_eq!(simulcast.offered().len(), 3);
        simulcast.plan(at(4000), 300_000, 0);
        assert_eq!(simulcast.offered().len(), 2);
        simulcast.plan(at(4100), 3_000_000, 0);
        assert_eq!(simulcast.offered().len(), 3);
    }

    #[test]
    fn what_is_not_offered_and_so_not_wanted_comes_back() {
        let mut simulcast = camera();
        let mut second = 0;
        let mut offered = |bps| {
            for _ in 0..8 {
                second += 1;
                // A receiver wants the largest that it is offered.
                simulcast.set_demand(1 << (simulcast.offered().len() - 1));
                let share = divide(bps, &[simulcast.claim()])[0];
                simulcast.plan(at(second * 1000), share, 0);
            }
            simulcast.offered().len()
        };
        assert_eq!(offered(3_000_000), 3);
        assert_eq!(offered(100_000), 1);
        assert_eq!(offered(500_000), 2);
        assert_eq!(offered(3_000_000), 3);
    }

    #[test]
    fn a_machine_that_leaves_things_out_is_heard() {
        let mut simulcast = camera();
        let mut plan = |left_out| simulcast.plan(at(0), 3_000_000, left_out).to_vec();
        assert_eq!(spatials(&plan(1)), [0, 1]);
        assert_eq!(spatials(&plan(2)), [0]);
        assert!(!plan(2)[0].half_rate);
        assert!(plan(3)[0].half_rate);
        let mut single = Simulcast::new(ladder::screen(1280, 720));
        single.set_demand(1);
        assert!(single.plan(at(0), 9_000_000, 1)[0].half_rate);
    }

    proptest! {
        #[test]
        fn a_plan_keeps_within_its_budget_and_demand(
            steps in prop::collection::vec((0..4_000_000u64, 0..8u32, 0..4u8), 1..50),
        ) {
            let mut simulcast = camera();
            for (n, (bps, demand, left_out)) in steps.into_iter().enumerate() {
                simulcast.set_demand(demand);
                let plan = simulcast.plan(at(n as u64 * 250), bps, left_out).to_vec();
                let sum: u64 = plan.iter().map(|layer| u64::from(layer.bitrate_bps)).sum();
                prop_assert!(sum <= bps);
                prop_assert!(plan.len() <= demand.count_ones() as usize);
                prop_assert!(plan.windows(2).all(|two| two[0].spatial < two[1].spatial));
                prop_assert!(!simulcast.offered().is_empty());
                if demand != 0 && bps >= 50_000 {
                    prop_assert!(!plan.is_empty());
                }
            }
        }
    }
}
