//! What is encoded now: by what receivers want, what the network carries, and what the machine can
//! do.

use std::{
    path::Path,
    sync::atomic::{AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use videocall_client::core::{
    budget::Machine,
    simulcast::{LayerPlan, Simulcast},
    uplink::FIRST_PICTURES_BPS,
};
use videocall_types::wire::LayerInfo;

/// Where Linux tells temperatures.
const THERMAL: &str = "/sys/class/thermal";

/// What the task of the session tells the encoding thread, and the other way round.
pub(super) struct Demand {
    layers: AtomicU32,
    keyframes: AtomicU32,
    pictures_bps: AtomicU64,
    /// Of the hottest part of the machine, in degrees Celsius.
    degrees: AtomicI32,
    /// How many layers are on offer, from the smallest.
    offered: AtomicUsize,
    encoded: AtomicU32,
}

impl Default for Demand {
    fn default() -> Self {
        Self {
            layers: AtomicU32::new(0),
            keyframes: AtomicU32::new(0),
            pictures_bps: AtomicU64::new(FIRST_PICTURES_BPS),
            degrees: AtomicI32::new(0),
            offered: AtomicUsize::new(usize::MAX),
            encoded: AtomicU32::new(0),
        }
    }
}

impl Demand {
    /// One bit for each layer that is encoded.
    pub(super) fn encoded(&self) -> u32 {
        self.encoded.load(Relaxed)
    }

    /// The same of what is encoded already.
    pub(super) fn set_encoded(&self, mask: u32) {
        self.encoded.store(mask, Relaxed);
    }

    /// One bit for each layer that somebody wants.
    pub(super) fn layers(&self) -> u32 {
        self.layers.load(Relaxed)
    }

    pub(super) fn set_layers(&self, mask: u32) {
        self.layers.store(mask, Relaxed);
    }

    pub(super) fn want_keyframes(&self, mask: u32) {
        self.keyframes.fetch_or(mask, Relaxed);
    }

    pub(super) fn take_keyframes(&self) -> u32 {
        self.keyframes.swap(0, Relaxed)
    }

    /// Bits a second that pictures may take.
    pub(super) fn set_budget(&self, bps: u64) {
        self.pictures_bps.store(bps, Relaxed);
    }

    /// What pictures may take.
    pub(super) fn budget(&self) -> u64 {
        self.pictures_bps.load(Relaxed)
    }

    /// Looks how hot the machine is.
    pub(super) fn feel_temperature(&self) {
        if let Some(degrees) = hottest(Path::new(THERMAL)) {
            self.degrees.store(degrees, Relaxed);
        }
    }

    /// How many of so many layers are on offer.
    pub(super) fn offered(&self, of: usize) -> usize {
        self.offered.load(Relaxed).min(of)
    }
}

/// Degrees Celsius of the hottest zone; `None` where nothing tells.
fn hottest(folder: &Path) -> Option<i32> {
    let zones = std::fs::read_dir(folder).ok()?.flatten();
    let degrees = zones
        .filter(|zone| {
            zone.file_name()
                .as_encoded_bytes()
                .starts_with(b"thermal_zone")
        })
        .filter_map(|zone| std::fs::read_to_string(zone.path().join("temp")).ok())
        .filter_map(|text| text.trim().parse::<i32>().ok())
        .map(|thousandths| thousandths / 1000)
        // A sensor that is broken says anything.
        .filter(|degrees| (1..=150).contains(degrees));
    degrees.max()
}

/// The encoding thread's side.
pub(super) struct Adaptation {
    simulcast: Simulcast,
    machine: Machine,
}

impl Adaptation {
    pub(super) fn new(layers: &[LayerInfo]) -> Self {
        Self {
            simulcast: Simulcast::new(layers.to_vec()),
            machine: Machine::default(),
        }
    }

    /// How to encode the next picture.
    pub(super) fn plan(&mut self, now: Duration, demand: &Demand) -> &[LayerPlan] {
        self.machine
            .temperature(now, demand.degrees.load(Relaxed).into());
        self.simulcast.set_demand(demand.layers.load(Relaxed));
        let (bps, left_out) = (demand.pictures_bps.load(Relaxed), self.machine.left_out());
        self.simulcast.plan(now, bps, left_out);
        let offered = self.simulcast.offered().len();
        demand.offered.store(offered, Relaxed);
        let plan = self.simulcast.planned();
        let mask = plan.iter().fold(0, |mask, layer| mask | 1 << layer.spatial);
        demand.encoded.store(mask, Relaxed);
        plan
    }

    /// Encoding the picture took a part of the time until the next.
    pub(super) fn encoded(&mut self, now: Duration, part: f64) {
        self.machine.encoded(now, part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use videocall_client::core::ladder;

    #[test]
    fn the_hottest_zone_that_makes_sense_counts() {
        let folder = tempfile::tempdir().unwrap();
        let zones = [
            ("thermal_zone0", "54000\n"),
            ("thermal_zone1", "61500\n"),
            ("thermal_zone2", "999000\n"),
            ("thermal_zone3", "-274000\n"),
            ("cooling_device0", "99000\n"),
        ];
        for (name, text) in zones {
            let zone = folder.path().join(name);
            std::fs::create_dir(&zone).unwrap();
            std::fs::write(zone.join("temp"), text).unwrap();
        }
        assert_eq!(hottest(folder.path()), Some(61));
        assert_eq!(hottest(Path::new("/nonexistent")), None);
    }

    #[test]
    fn what_the_session_tells_is_heeded() {
        let mut adaptation = Adaptation::new(&ladder::camera(1280, 720));
        let demand = Demand::default();
        demand.set_layers(0b111);
        demand.set_budget(3_000_000);
        let at = Duration::from_secs;
        assert_eq!(adaptation.plan(at(0), &demand).len(), 3);
        demand.degrees.store(90, Relaxed);
        assert_eq!(adaptation.plan(at(1), &demand).len(), 2);
        demand.degrees.store(20, Relaxed);
        assert_eq!(adaptation.plan(at(60), &demand).len(), 3);
        demand.set_budget(100_000);
        assert_eq!(adaptation.plan(at(61), &demand).len(), 1);
        assert_eq!(demand.offered(3), 3, "not withdrawn for a moment");
        assert_eq!(adaptation.plan(at(70), &demand).len(), 1);
        assert_eq!((demand.offered(3), demand.encoded()), (1, 1));
    }
}
