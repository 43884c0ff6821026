//! One run over several workers, which a coordinator leads over NATS.
//!
//! A worker offers itself until a coordinator takes it. The coordinator gives each its share of the
//! plan, they align their clocks with the coordinator's, begin at the same moment, and tell each
//! second all that they have recorded so far: a message that is lost costs nothing. A worker that is
//! not heard of is given up, by name and time; what it had told still counts, and every report says
//! so. A worker whose coordinator is not heard of stops.
//!
//! Whoever may publish to the NATS server may command the workers: give it credentials.

mod coordinator;
mod messages;
mod worker;

use std::time::Duration;

pub use coordinator::{Cluster, CoordinateOptions, coordinate};
pub use worker::{WorkOptions, work};

/// Between signs of life.
const BEAT: Duration = Duration::from_secs(1);
/// A worker or coordinator of which nothing is heard for so long is lost.
pub const LOST_AFTER: Duration = Duration::from_secs(5);

/// A distributed run that does not come about.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// NATS cannot be reached.
    #[error("NATS: {0}")]
    Nats(String),
    /// Names become parts of subjects.
    #[error("`{0}` is no name: letters, digits, - and _ only, at most 64")]
    Name(String),
    /// Not enough workers.
    #[error("only {found} of {wanted} workers are there: {names}")]
    Workers {
        /// How many there were.
        found: usize,
        /// How many should be.
        wanted: usize,
        /// Which.
        names: String,
    },
    /// A worker that cannot take part.
    #[error("worker {0}: {1}")]
    Refused(String, String),
    /// The coordinator was not heard of any more.
    #[error("the coordinator is not heard of any more")]
    CoordinatorLost,
    /// The worker's own run.
    #[error(transparent)]
    Plan(#[from] crate::plan::PlanError),
}

fn nats(error: impl std::fmt::Display) -> ClusterError {
    ClusterError::Nats(error.to_string())
}

fn check_name(name: &str) -> Result<(), ClusterError> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if (1..=64).contains(&name.len()) && name.chars().all(good) {
        Ok(())
    } else {
        Err(ClusterError::Name(name.to_owned()))
    }
}
