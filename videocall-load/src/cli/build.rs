//! Makes a plan of the flags, and refuses flags that do nothing.

use std::{path::PathBuf, time::Duration};

use super::{BehaviourName as B, PlanArguments, RunnerName as R, curve};
use crate::{
    behaviour::{
        meeting::{LAYERS, Layout, MeetingOptions},
        wamp::WampOptions,
    },
    plan::{BehaviourOptions, ConnectionOptions, Plan, PlanError, Share},
    scenario::{Scenario, ScenarioError},
    transport::{Connector, TransportOptions},
};

/// Flags that nothing can be run with.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// A flag is missing.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A flag that would do nothing.
    #[error("{flag} belongs to {owner}, and would do nothing here")]
    Idle {
        /// The flag.
        flag: &'static str,
        /// What it belongs to.
        owner: &'static str,
    },
    /// Flags that contradict each other.
    #[error("{0}")]
    Contradiction(String),
    /// The plan that results makes no sense.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A file cannot be read.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A file says something that makes no sense.
    #[error("{path}: {error}")]
    Text {
        /// Which.
        path: PathBuf,
        /// What, and where.
        error: ScenarioError,
    },
}

/// Something that a plan can be made of.
pub trait PlanRequest {
    /// The plan.
    ///
    /// # Errors
    /// When flags are missing, do nothing or contradict each other.
    fn plan(&self) -> Result<Plan, UsageError>;
}

impl PlanRequest for PlanArguments {
    fn plan(&self) -> Result<Plan, UsageError> {
        refuse_idle(self)?;
        let url = self.url.clone().ok_or(UsageError::Missing("--url"))?;
        let (runner, duration) = curve::whole(self)?;
        let plan = Plan {
            runner,
            duration,
            connection: ConnectionOptions {
                duration: self.connection.connection_duration,
                pause: self
                    .connection
                    .connection_pause
                    .unwrap_or(Duration::from_secs(1)),
                limit: self.curve.connection_limit,
            },
            transport: transport(self),
            behaviour: behaviour(self)?,
            share: Share::default(),
            url,
        };
        plan.check()?;
        // Says now what is wrong with the address, and not when the run has begun.
        Connector::new(&plan.url, plan.transport.clone(), 1).map_err(PlanError::from)?;
        check_transport(self, &plan)?;
        Ok(plan)
    }
}

/// Each flag of a behaviour, whether it was given, and what it belongs to.
fn refuse_idle(a: &PlanArguments) -> Result<(), UsageError> {
    if a.connection.connection_pause.is_some() && a.runner == R::Open {
        return Err(UsageError::Idle {
            flag: "--connection-pause",
            owner: "runners that replace connections; --runner open does not",
        });
    }
    let (m, w, g) = (&a.message, &a.wamp, &a.meeting);
    let spamming: &[B] = &[B::PingPong, B::Flood, B::SlowConsumer, B::Fuzzer, B::Wamp];
    let meeting: &[B] = &[B::Meeting];
    let wamp: &[B] = &[B::Wamp];
    let behaviour_flags: [(bool, &'static str, &[B], &'static str); 25] = [
        (
            m.spam_pause.is_some(),
            "--spam-pause",
            spamming,
            "--behaviour ping-pong, flood, slow-consumer, fuzzer or wamp",
        ),
        (
            m.message_bytes.is_some(),
            "--message-bytes",
            &[B::PingPong, B::Flood, B::Wamp],
            "--behaviour ping-pong, flood or wamp",
        ),
        (
            m.reply_timeout.is_some(),
            "--reply-timeout",
            &[B::PingPong, B::Wamp, B::Meeting],
            "--behaviour ping-pong, wamp or meeting",
        ),
        (
            m.receive_buffer.is_some(),
            "--receive-buffer",
            &[B::SlowConsumer],
            "--behaviour slow-consumer",
        ),
        (
            m.storm_period.is_some(),
            "--storm-period",
            &[B::ReconnectStorm],
            "--behaviour reconnect-storm",
        ),
        (
            m.scenario.is_some(),
            "--scenario",
            &[B::Scenario],
            "--behaviour scenario",
        ),
        (
            w.wamp_realm.is_some(),
            "--wamp-realm",
            wamp,
            "--behaviour wamp",
        ),
        (
            w.wamp_mode.is_some(),
            "--wamp-mode",
            wamp,
            "--behaviour wamp",
        ),
        (
            w.wamp_serializer.is_some(),
            "--wamp-serializer",
            wamp,
            "--behaviour wamp",
        ),
        (w.wamp_uri.is_some(), "--wamp-uri", wamp, "--behaviour wamp"),
        (
            w.wamp_publishers.is_some(),
            "--wamp-publishers",
            wamp,
            "--behaviour wamp",
        ),
        (
            g.participants_per_meeting.is_some(),
            "--participants-per-meeting",
            meeting,
            "--behaviour meeting",
        ),
        (
            g.cameras.is_some(),
            "--cameras",
            meeting,
            "--behaviour meeting",
        ),
        (
            g.speakers.is_some(),
            "--speakers",
            meeting,
            "--behaviour meeting",
        ),
        (
            g.screens.is_some(),
            "--screens",
            meeting,
            "--behaviour meeting",
        ),
        (g.media.is_some(), "--media", meeting, "--behaviour meeting"),
        (
            g.speech.is_some(),
            "--speech",
            meeting,
            "--behaviour meeting",
        ),
        (
            g.layout.is_some(),
            "--layout",
            meeting,
            "--behaviour meeting",
        ),
        (
            g.max_temporal.is_some(),
            "--max-temporal",
            meeting,
            "--behaviour meeting",
        ),
        (g.legacy, "--legacy", meeting, "--behaviour meeting"),
        (
            g.layers.is_some(),
            "--layers",
            meeting,
            "--behaviour meeting",
        ),
        (g.fps.is_some(), "--fps", meeting, "--behaviour meeting"),
        (
            g.keyframe_interval.is_some(),
            "--keyframe-interval",
            meeting,
            "--behaviour meeting",
        ),
        (
            g.loudest.is_some(),
            "--loudest",
            meeting,
            "--behaviour meeting",
        ),
        (
            g.meeting_name.is_some(),
            "--meeting-name",
            meeting,
            "--behaviour meeting",
        ),
    ];
    for (given, flag, owners, owner) in behaviour_flags {
        if given && !owners.contains(&a.behaviour) {
            return Err(UsageError::Idle { flag, owner });
        }
    }
    Ok(())
}

fn transport(a: &PlanArguments) -> TransportOptions {
    let (t, defaults) = (&a.transport, TransportOptions::default());
    TransportOptions {
        other_urls: t.other_url.clone(),
        turn: t.turn.map_or(defaults.turn, u64::from),
        insecure: t.insecure,
        certificate_hashes: t.certificate_hash.clone(),
        ca_file: t.ca.clone(),
        source_addresses: t.source_address.clone(),
        connections_per_endpoint: t
            .connections_per_endpoint
            .map_or(defaults.connections_per_endpoint, u64::from),
        connect_timeout: t.connect_timeout.unwrap_or(defaults.connect_timeout),
        read_buffer: t.read_buffer.unwrap_or(defaults.read_buffer),
    }
}

/// Flags of the one transport given for the other.
fn check_transport(a: &PlanArguments, plan: &Plan) -> Result<(), UsageError> {
    let t = &a.transport;
    let is = |scheme: &str| plan.url.starts_with(scheme);
    let trust = t.insecure || !t.certificate_hash.is_empty() || t.ca.is_some();
    let idle = |flag, owner| Err(UsageError::Idle { flag, owner });
    if trust && is("ws:") {
        return idle(
            "--insecure, --certificate-hash or --ca",
            "wss: and https: addresses",
        );
    }
    if t.connections_per_endpoint.is_some() && !is("https:") {
        return idle("--connections-per-endpoint", "https: addresses");
    }
    if t.read_buffer.is_some() && is("https:") {
        return idle("--read-buffer", "ws: and wss: addresses");
    }
    if a.behaviour == B::Wamp && is("https:") {
        return Err(UsageError::Contradiction(
            "--behaviour wamp needs a WebSocket: give a ws: or wss: address".to_owned(),
        ));
    }
    Ok(())
}

fn behaviour(a: &PlanArguments) -> Result<BehaviourOptions, UsageError> {
    let m = &a.message;
    let second = Duration::from_secs(1);
    let pause = m.spam_pause.unwrap_or(second);
    let bytes = m.message_bytes.unwrap_or(64);
    let timeout = m.reply_timeout.unwrap_or(10 * second);
    Ok(match a.behaviour {
        B::Silent => BehaviourOptions::Silent,
        B::PingPong => BehaviourOptions::PingPong {
            pause,
            bytes,
            timeout,
        },
        B::Flood => BehaviourOptions::Flood {
            pause: m.spam_pause.unwrap_or_default(),
            bytes,
        },
        B::SlowConsumer => BehaviourOptions::SlowConsumer {
            pause,
            receive_buffer: m.receive_buffer.unwrap_or(4096),
        },
        B::ReconnectStorm => BehaviourOptions::ReconnectStorm {
            period: m.storm_period.unwrap_or(5 * second),
        },
        B::Fuzzer => BehaviourOptions::Fuzzer {
            pause,
            seed: a.seed,
        },
        B::Wamp => BehaviourOptions::Wamp(WampOptions {
            realm: a.wamp.wamp_realm.clone().unwrap_or("realm1".to_owned()),
            mode: a.wamp.wamp_mode.unwrap_or_default(),
            serializer: a.wamp.wamp_serializer.unwrap_or_default(),
            uri: a.wamp.wamp_uri.clone().unwrap_or("load.test".to_owned()),
            publishers: a.wamp.wamp_publishers,
            pause,
            bytes,
            timeout,
        }),
        B::Scenario => BehaviourOptions::Scenario(scenario(a)?),
        B::Meeting => BehaviourOptions::Meeting(meeting(a, timeout)?),
    })
}

fn scenario(a: &PlanArguments) -> Result<Scenario, UsageError> {
    let path = a.message.scenario.as_ref();
    let path = path.ok_or(UsageError::Missing("--scenario"))?;
    let text = std::fs::read_to_string(path).map_err(|error| UsageError::File {
        path: path.clone(),
        error,
    })?;
    Scenario::parse(&text).map_err(|error| UsageError::Text {
        path: path.clone(),
        error,
    })
}

fn meeting(a: &PlanArguments, timeout: Duration) -> Result<MeetingOptions, UsageError> {
    let (m, defaults) = (&a.meeting, MeetingOptions::default());
    if m.legacy && (m.layout.is_some() || m.layers.is_some() || m.max_temporal.is_some()) {
        return Err(UsageError::Contradiction(
            "--legacy clients can neither ask for a --layout or --max-temporal nor send --layers"
                .to_owned(),
        ));
    }
    if m.max_temporal.is_some() && m.layout == Some(Layout::Audio) {
        return Err(UsageError::Contradiction(
            "--layout audio shows no pictures that --max-temporal could limit".to_owned(),
        ));
    }
    if m.media.is_some() && (m.layers.is_some() || m.fps.is_some() || m.keyframe_interval.is_some())
    {
        return Err(UsageError::Contradiction(
            "--media has the --layers, --fps and --keyframe-interval of the file".to_owned(),
        ));
    }
    let participants = m.participants_per_meeting.unwrap_or(defaults.participants);
    let layers = usize::from(m.layers.unwrap_or(3)).min(LAYERS.len());
    Ok(MeetingOptions {
        participants,
        cameras: m.cameras.unwrap_or(defaults.cameras.min(participants)),
        speakers: m.speakers.unwrap_or(defaults.speakers.min(participants)),
        screens: m.screens.unwrap_or(0),
        media: m.media.clone(),
        speech: m.speech.unwrap_or_default(),
        layout: m.layout.unwrap_or_default(),
        max_temporal: m.max_temporal,
        legacy: m.legacy,
        layers: LAYERS[..layers].to_vec(),
        fps: m.fps.unwrap_or(defaults.fps),
        keyframe_interval: m.keyframe_interval.unwrap_or(defaults.keyframe_interval),
        loudest: m.loudest.unwrap_or(defaults.loudest),
        name: m.meeting_name.clone().unwrap_or(defaults.name),
        join_timeout: timeout,
        seed: a.seed,
        audio_bitrate: defaults.audio_bitrate,
    })
}
