//! What the page and the worker say to each other. Streams and memory travel beside a message.

use std::rc::Rc;

use serde::{Deserialize, Serialize};
use videocall_types::ids::MediaKind;

/// Something of the page that is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Source {
    /// The microphone.
    Microphone,
    /// The camera.
    Camera,
    /// A screen, window or tab.
    Screen,
    /// The sound of it.
    ScreenAudio,
}

impl Source {
    /// Every source.
    pub const ALL: [Source; 4] = [
        Self::Microphone,
        Self::Camera,
        Self::Screen,
        Self::ScreenAudio,
    ];

    /// Its kind on the wire.
    pub const fn kind(self) -> MediaKind {
        match self {
            Self::Microphone => MediaKind::Audio,
            Self::Camera => MediaKind::Video,
            Self::Screen => MediaKind::Screen,
            Self::ScreenAudio => MediaKind::ScreenAudio,
        }
    }

    /// Whether it is sound.
    pub const fn is_audio(self) -> bool {
        matches!(self, Self::Microphone | Self::ScreenAudio)
    }
}

/// What matters of a shared screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContentHint {
    /// Text: sharp rather than smooth.
    #[default]
    Detail,
    /// Film: smooth rather than sharp.
    Motion,
}

/// Which transport to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransportPreference {
    /// WebTransport, and WebSocket where that does not open in time.
    #[default]
    Auto,
    /// WebTransport only.
    WebTransport,
    /// WebSocket only.
    WebSocket,
}

/// The transport in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Transport {
    /// Over UDP.
    WebTransport,
    /// Over TCP.
    WebSocket,
}

/// Page to worker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    /// The first one. Beside it: `memory`, laid out as `videocall_playout::layout` says.
    Start {
        origin: String,
        meeting: String,
        display_name: String,
        transport: TransportPreference,
        seed: f64,
    },
    /// Beside it: `stream`, a `ReadableStream` of `VideoFrame` or `AudioData`.
    Publish {
        source: Source,
    },
    Unpublish {
        source: Source,
    },
    Mute {
        source: Source,
        muted: bool,
    },
    Hint {
        hint: ContentHint,
    },
    /// Beside it: `stream`, a `WritableStream` of `VideoFrame`.
    Attach {
        view: u32,
        session: u64,
        kind: i32,
    },
    Resize {
        view: u32,
        width: u32,
        height: u32,
        visible: bool,
    },
    Detach {
        view: u32,
    },
    /// Time from leaving the AudioWorklet to being heard.
    OutputLatency {
        ms: f64,
    },
    Statistics {
        request: u32,
    },
    /// The network is said to be back, or the person does not want to wait.
    TryNow,
    Leave,
}

/// Worker to page.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    Event(Event),
    Roster(RosterChange),
    Statistics {
        request: u32,
        statistics: Statistics,
    },
    /// Which voice of the shared memory belongs to whom: (session, slot).
    Voices(Vec<(u64, u32)>),
}

/// What changed of those who are here.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct RosterChange {
    /// Who came, or is not as before.
    pub(crate) changed: Vec<Participant>,
    /// Sessions that are gone.
    pub(crate) left: Vec<u64>,
}

/// How the connection is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Connection {
    /// For the first time.
    Connecting,
    /// In the meeting.
    Connected {
        /// Over which transport.
        transport: Transport,
        /// As which session.
        session_id: u64,
    },
    /// Lost, and being sought again.
    Reconnecting {
        /// Failures in a row.
        attempt: u32,
        /// Until the next try.
        wait_ms: u32,
        /// Number of the close reason, if the server gave one.
        code: Option<u32>,
        /// Why, in English.
        reason: String,
    },
    /// Over.
    Closed {
        /// Number of the close reason; `None` if the server gave none that we know.
        code: Option<u32>,
        /// Why, in English.
        text: String,
    },
}

/// State of one thing that a participant may publish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum StreamState {
    /// Not published.
    #[default]
    Absent,
    /// Published and silenced by its owner.
    Muted,
    /// Published.
    Live,
}

/// How well something arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Quality {
    /// Not known yet.
    #[default]
    Unknown,
    /// As it should.
    Good,
    /// With disturbances that one notices.
    Fair,
    /// With disturbances that hinder.
    Poor,
}

/// Another participant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Participant {
    /// Session of the participant.
    pub session_id: u64,
    /// The name to show.
    pub display_name: String,
    /// Away for a moment, perhaps to come back.
    pub away: bool,
    /// The microphone.
    pub microphone: StreamState,
    /// The camera.
    pub camera: StreamState,
    /// A shared screen.
    pub screen: StreamState,
    /// Whether our path is too slow for the camera's picture, so that none comes now.
    pub camera_paused: bool,
    /// The same of the screen's.
    pub screen_paused: bool,
    /// How well what we get of it arrives.
    pub quality: Quality,
}

/// Participants that are shared, and cheap to compare.
pub type Participants = Rc<Vec<Rc<Participant>>>;

/// Something the person should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Warning {
    /// The browser encodes no video that we know.
    NoVideoEncoder,
    /// Encoding cannot keep up.
    Overloaded,
    /// A device or a shared screen ended by itself.
    Ended(Source),
    /// The sound output failed.
    NoSound,
}

/// Something happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The connection changed.
    Connection(Connection),
    /// The others, all of them, by the order in which they came. Who did not change is the same
    /// `Rc` as before.
    #[serde(skip)]
    Roster(Participants),
    /// Sessions that speak, loudest first.
    Speakers(Vec<u64>),
    /// How well everything arrives.
    OwnQuality(Quality),
    /// Something the person should know.
    Warning(Warning),
}

/// Figures of the last second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statistics {
    /// In use.
    pub transport: Option<Transport>,
    /// Own session.
    pub session_id: Option<u64>,
    /// Round trip to the server.
    pub rtt_ms: Option<f64>,
    /// From click to being joined.
    pub join_ms: Option<f64>,
    /// From joining to the first frame of somebody else on the screen.
    pub first_frame_ms: Option<f64>,
    /// Bits per second sent.
    pub sent_bps: f64,
    /// Bits per second received.
    pub received_bps: f64,
    /// Bits per second that the way to the server is thought to carry.
    pub uplink_bps: f64,
    /// Steps that are left out because the machine encodes no more: a layer each, then every second
    /// picture.
    pub left_out: u8,
    /// Share of the time in which pictures stood still, of all since joining; `None` before any.
    pub frozen_share: Option<f64>,
    /// Share of the sound that was made up, of all since joining; `None` before any.
    pub concealed_share: Option<f64>,
    /// What is published.
    pub publish: Vec<PublishStatistics>,
    /// What is received.
    pub receive: Vec<ReceiveStatistics>,
}

/// One published simulcast layer, or an audio stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishStatistics {
    /// audio, video, screen, screen_audio.
    pub kind: String,
    /// Simulcast layer.
    pub spatial: u32,
    /// WebCodecs codec string.
    pub codec: String,
    /// Size in pixels.
    pub width: u32,
    /// Size in pixels.
    pub height: u32,
    /// Whether anybody wants it.
    pub wanted: bool,
    /// Frames or packets in the last second.
    pub fps: f64,
    /// Bits in the last second.
    pub bitrate_bps: f64,
    /// Keyframes since the start.
    pub keyframes: u32,
}

/// One received stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReceiveStatistics {
    /// Its publisher.
    pub session_id: u64,
    /// audio, video, screen, screen_audio.
    pub kind: String,
    /// WebCodecs codec string.
    pub codec: String,
    /// Size in pixels.
    pub width: u32,
    /// Size in pixels.
    pub height: u32,
    /// Simulcast layer.
    pub spatial: u32,
    /// Frames shown, or packets played, in the last second.
    pub fps: f64,
    /// Bits in the last second.
    pub bitrate_bps: f64,
    /// Delay kept against jitter.
    pub jitter_ms: f64,
    /// Interarrival jitter (RFC 3550, section 6.4.1).
    pub interarrival_jitter_ms: f64,
    /// Packets or frames that were needed and never came, since the start.
    pub lost: u64,
    /// Times that the picture stood still for over 200 ms.
    pub freezes: u64,
    /// Share of the time since the start in which the picture stood still, or sound was made up.
    pub impaired_share: f64,
    /// How much later than its sound the picture is.
    pub av_offset_ms: Option<f64>,
    /// From capture to display, where publisher and receiver share a clock.
    pub capture_to_display_ms: Option<f64>,
}
