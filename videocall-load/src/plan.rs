//! What a run is to do: everything that a worker needs, as data.

use std::{num::NonZeroU64, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    behaviour::{
        Behaviour, Factory, Flood, Fuzzer, PingPong, ReconnectStorm, Scripted, Silent,
        SlowConsumer,
        meeting::{Meeting, MeetingOptions},
        wamp::{Wamp, WampOptions},
    },
    runner::{InvalidRunner, Runner},
    scenario::Scenario,
    transport::{TargetError, TransportOptions},
};

/// A whole run, or one worker's part of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// `ws:`, `wss:`, or `https:` for WebTransport.
    pub url: String,
    /// How connections come and go.
    pub runner: Runner,
    /// How long, all in all.
    pub duration: Duration,
    /// How long each connection stays, and what follows.
    pub connection: ConnectionOptions,
    /// How connections are made.
    pub transport: TransportOptions,
    /// What connections do.
    pub behaviour: BehaviourOptions,
    /// Which part of the run this process has.
    pub share: Share,
}

/// The life of one connection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConnectionOptions {
    /// How long it stays; none: as long as the runner wants it.
    pub duration: Option<Duration>,
    /// How long after its end it is replaced.
    pub pause: Duration,
    /// Open model: how many may be open at once. What arrives beyond it waits and is late.
    pub limit: Option<NonZeroU64>,
}

/// One of several workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Which, from 0.
    pub index: u64,
    /// How many.
    pub workers: u64,
}

impl Default for Share {
    fn default() -> Self {
        Self {
            index: 0,
            workers: 1,
        }
    }
}

/// What connections do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BehaviourOptions {
    /// [`Silent`].
    Silent,
    /// [`PingPong`].
    PingPong {
        /// Between messages.
        pause: Duration,
        /// Of a message.
        bytes: usize,
        /// For an echo.
        timeout: Duration,
    },
    /// [`Flood`].
    Flood {
        /// Between messages.
        pause: Duration,
        /// Of a message.
        bytes: usize,
    },
    /// [`SlowConsumer`].
    SlowConsumer {
        /// After each message.
        pause: Duration,
        /// Of the kernel's receive buffer.
        receive_buffer: u32,
    },
    /// [`ReconnectStorm`].
    ReconnectStorm {
        /// From one storm to the next.
        period: Duration,
    },
    /// [`Fuzzer`].
    Fuzzer {
        /// Between frames.
        pause: Duration,
        /// Makes the run repeatable.
        seed: u64,
    },
    /// [`Wamp`].
    Wamp(WampOptions),
    /// [`Scripted`].
    Scenario(Scenario),
    /// [`Meeting`].
    Meeting(MeetingOptions),
}

/// A plan that cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The runner.
    #[error("the runner: {0}")]
    Runner(#[from] InvalidRunner),
    /// The server's address, or the options for connecting.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl Plan {
    /// Refuses what makes no sense.
    pub fn check(&self) -> Result<(), PlanError> {
        self.runner.check()?;
        let other = |holds: bool, what: &str| {
            if holds {
                Ok(())
            } else {
                Err(PlanError::Other(what.to_owned()))
            }
        };
        other(!self.duration.is_zero(), "the run has no duration")?;
        other(self.share.index < self.share.workers, "no such worker")?;
        if let BehaviourOptions::Meeting(options) = &self.behaviour {
            options.check().map_err(PlanError::Other)?;
        }
        Ok(())
    }

    /// The runner of this process.
    pub fn shared_runner(&self) -> Runner {
        if self.share.workers <= 1 {
            return self.runner.clone();
        }
        Runner::Share {
            of: Box::new(self.runner.clone()),
            index: self.share.index,
            workers: self.share.workers,
        }
    }

    /// The number of a place among those of all workers.
    pub fn global_number(&self, number: u64) -> u64 {
        number * self.share.workers + self.share.index
    }

    /// The most connections that this process has at once; an estimate in the open model.
    pub fn peak(&self) -> u64 {
        if let Some(limit) = self.connection.limit {
            return limit.get();
        }
        let runner = self.shared_runner();
        if !runner.is_open_model() {
            return runner.peak();
        }
        let stay = self.connection.duration.unwrap_or(self.duration);
        runner.demand(stay.min(self.duration)).count()
    }

    /// The most sockets that this process has open at once.
    pub fn sockets(&self) -> u64 {
        if self.url.starts_with("https:") {
            // One for each group, of each source address.
            let sources = self.transport.source_addresses.len().max(1) as u64;
            let groups = self
                .peak()
                .div_ceil(self.transport.connections_per_endpoint.max(1));
            (sources * (groups + 1)).min(self.peak())
        } else {
            self.peak()
        }
    }

    /// The factory of the behaviour.
    pub fn factory(&self) -> Arc<dyn Factory> {
        match self.behaviour.clone() {
            BehaviourOptions::Silent => each(|_| Silent),
            BehaviourOptions::PingPong {
                pause,
                bytes,
                timeout,
            } => each(move |_| PingPong::new(pause, bytes, timeout)),
            BehaviourOptions::Flood { pause, bytes } => each(move |_| Flood::new(pause, bytes)),
            BehaviourOptions::SlowConsumer {
                pause,
                receive_buffer,
            } => Arc::new(SlowConsumer::factory(pause, receive_buffer)),
            BehaviourOptions::ReconnectStorm { period } => {
                each(move |_| ReconnectStorm::new(period))
            }
            BehaviourOptions::Fuzzer { pause, seed } => {
                each(move |number| Fuzzer::new(pause, seed ^ number))
            }
            BehaviourOptions::Wamp(options) => Arc::new(Wamp::factory(options)),
            BehaviourOptions::Scenario(scenario) => {
                let scenario = Arc::new(scenario);
                each(move |_| Scripted::new(scenario.clone()))
            }
            BehaviourOptions::Meeting(options) => Arc::new(Meeting::new(options)),
        }
    }
}

fn each<B: Behaviour + 'static>(
    make: impl Fn(u64) -> B + Send + Sync + 'static,
) -> Arc<dyn Factory> {
    Arc::new(move |number| -> Box<dyn Behaviour> { Box::new(make(number)) })
}
