//! What an operator may set.

use std::time::Duration;

/// Limits and times of a meeting. The defaults fit three simulcast layers, audio and a screen.
#[derive(Clone, Debug)]
pub struct RelayConfig {
    /// Video and screen bytes that may wait for one receiver.
    pub video_queue_bytes: usize,
    /// Video and screen packets that may wait for one receiver.
    pub video_queue_packets: usize,
    /// Age at which waiting video is dropped; at half of it a lower layer is aimed for.
    pub video_max_age: Duration,
    /// Audio packets that may wait for one receiver.
    pub audio_queue_packets: usize,
    /// Age at which waiting audio is dropped: later than any jitter buffer would wait.
    pub audio_max_age: Duration,
    /// Bytes of control messages that may wait; more, and the session ends as a slow consumer.
    pub control_queue_bytes: usize,
    /// Size in bytes from which control messages are compressed for clients who can read that.
    pub compress_from: usize,
    /// Least time between two keyframe requests to a publisher for one layer.
    pub keyframe_interval: Duration,
    /// How long a frame may wait for one that it depends on and that was overtaken on its way in.
    pub reorder_max_age: Duration,
    /// Frames of one layer that may wait so.
    pub reorder_frames: usize,
    /// How many speakers are forwarded at once.
    pub loudest: usize,
    /// After congestion, how long until a higher layer is tried; doubles with each failure.
    pub step_up_after: Duration,
    /// How long a layer must be unwanted until its publisher is told.
    pub demand_removal_delay: Duration,
    /// How long changes of the roster are gathered before they are told.
    pub roster_delay: Duration,
    /// Least time between two tellings of what one participant offers.
    pub offer_interval: Duration,
    /// Time between two pings.
    pub heartbeat_interval: Duration,
    /// Pings without any packet in return until a session is given up.
    pub heartbeat_missed: u32,
    /// Silence after which a session ends, also one that answers no ping.
    pub session_timeout: Duration,
    /// How long until a client gets another ticket for coming back: well below its lifetime.
    pub ticket_renewal: Duration,
    /// How long to wait for a client's `Hello` before it is given all that an older client gets;
    /// until then it is given the smallest layers.
    pub hello_grace: Duration,
    /// Protocol violations after which a session ends; one a second is forgiven.
    pub max_violations: u32,
    /// Whether other servers take the sessions of this one when it goes away.
    pub others_serve: bool,
    /// Their origins, as far as they are known.
    pub other_servers: Vec<String>,
    /// How long clients are to leave a server alone that goes away or failed, if no other takes
    /// them.
    pub retry_after: Duration,
    /// Local participants at most; refused by who admits them.
    pub max_sessions: usize,
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self {
            video_queue_bytes: 1 << 20,
            video_queue_packets: 1024,
            video_max_age: Duration::from_millis(500),
            audio_queue_packets: 256,
            audio_max_age: Duration::from_millis(400),
            control_queue_bytes: 1 << 20,
            compress_from: 1024,
            keyframe_interval: Duration::from_millis(300),
            reorder_max_age: Duration::from_millis(100),
            reorder_frames: 16,
            loudest: 5,
            step_up_after: Duration::from_secs(3),
            demand_removal_delay: Duration::from_secs(1),
            roster_delay: Duration::from_millis(20),
            offer_interval: Duration::from_millis(500),
            heartbeat_interval: Duration::from_secs(5),
            heartbeat_missed: 3,
            session_timeout: Duration::from_secs(30),
            ticket_renewal: Duration::from_secs(1800),
            hello_grace: Duration::from_millis(300),
            max_violations: 50,
            others_serve: false,
            other_servers: Vec::new(),
            retry_after: Duration::from_secs(1),
            max_sessions: 2_000,
        }
    }
}
