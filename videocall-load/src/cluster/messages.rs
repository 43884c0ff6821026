//! What coordinator and workers say to each other, as JSON.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    measure::{Snapshot, TesterState},
    plan::Plan,
};

/// Subjects of a group of workers.
#[derive(Clone, Debug)]
pub(super) struct Subjects(pub(super) String);

impl Subjects {
    /// Workers offer themselves.
    pub(super) fn offers(&self) -> String {
        format!("videocall-load.{}.offers", self.0)
    }

    /// One worker is given its share, by request.
    pub(super) fn tasks(&self, worker: &str) -> String {
        format!("videocall-load.{}.tasks.{worker}", self.0)
    }

    /// The coordinator tells its time, by request.
    pub(super) fn clock(&self, run: &str) -> String {
        format!("videocall-load.{}.runs.{run}.clock", self.0)
    }

    /// The coordinator's orders to all.
    pub(super) fn orders(&self, run: &str) -> String {
        format!("videocall-load.{}.runs.{run}.orders", self.0)
    }

    /// Workers tell what they have recorded.
    pub(super) fn reports(&self, run: &str) -> String {
        format!("videocall-load.{}.runs.{run}.reports", self.0)
    }
}

/// A worker offers itself.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Offer {
    pub(super) name: String,
    /// Versions must be the same: plans are data of the version.
    pub(super) version: String,
}

/// A worker's share.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) run: String,
    pub(super) plan: Plan,
}

/// The answer to it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// The clock is aligned: correction and uncertainty in microseconds.
    Ready { offset_us: i64, error_us: u64 },
    /// Why not.
    Refused(String),
}

/// From the coordinator to all workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Order {
    /// Begin at that moment of the coordinator's clock, in microseconds.
    Begin(u64),
    /// The run is to be stopped.
    Stop,
    /// The coordinator lives.
    Beat,
}

/// From a worker to the coordinator.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) name: String,
    pub(super) snapshot: Snapshot,
    pub(super) tester: TesterState,
    /// Attempts and connections, once the run has ended; or why it could not be run.
    pub(super) ended: Option<Result<(u64, u64), String>>,
}

pub(super) fn encode(message: &impl Serialize) -> bytes::Bytes {
    // These types have no maps with other keys than texts, and their numbers are finite.
    serde_json::to_vec(message).unwrap_or_default().into()
}

pub(super) fn decode<T: DeserializeOwned>(message: &[u8]) -> Option<T> {
    serde_json::from_slice(message).ok()
}
