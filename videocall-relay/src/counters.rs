//! What a node counts, as plain atomics that its metrics read.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use videocall_types::{ids::MediaKind, view::PacketError};

use crate::delays::{Delays, Histogram};

/// Labels of the kinds by which packets are counted, in the order of their arrays.
pub const KINDS: [&str; 6] = [
    "other",
    "audio",
    "video",
    "screen",
    "screen_audio",
    "control",
];

const CONTROL: usize = 5;

/// Why a packet was not put into, or was taken out of, a receiver's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// It waited too long.
    Stale,
    /// The receiver's queue was full.
    QueueFull,
    /// A frame that it depends on was not forwarded.
    Undecodable,
    /// A temporal layer above what the receiver's path carries.
    TemporalLayer,
    /// Not among the loudest speakers.
    NotLoudest,
    /// It came after the frame that it depends on had been given up, or twice.
    TooLate,
}

impl DropReason {
    /// Every reason, in the order of their counters.
    pub const ALL: [DropReason; 6] = [
        Self::Stale,
        Self::QueueFull,
        Self::Undecodable,
        Self::TemporalLayer,
        Self::NotLoudest,
        Self::TooLate,
    ];

    /// A word for metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::QueueFull => "queue_full",
            Self::Undecodable => "undecodable",
            Self::TemporalLayer => "temporal_layer",
            Self::NotLoudest => "not_loudest",
            Self::TooLate => "too_late",
        }
    }
}

/// What a peer did that the protocol does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Bytes that are no packet.
    Malformed,
    /// A session or user id that is not the sender's.
    Identity,
    /// A control message that cannot be read, or that only a server may send.
    Control,
    /// More streams, wants or layers than allowed.
    Limit,
    /// A packet type that clients may not send.
    Type,
}

impl Violation {
    /// Every kind, in the order of their counters.
    pub const ALL: [Violation; 5] = [
        Self::Malformed,
        Self::Identity,
        Self::Control,
        Self::Limit,
        Self::Type,
    ];

    /// A word for metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Identity => "identity",
            Self::Control => "control",
            Self::Limit => "limit",
            Self::Type => "type",
        }
    }
}

impl From<PacketError> for Violation {
    fn from(_: PacketError) -> Self {
        Self::Malformed
    }
}

/// Counts since the node started; shared by its meetings. Every count only grows.
#[derive(Debug, Default)]
pub struct Counters {
    packets_in: [AtomicU64; 6],
    bytes_in: [AtomicU64; 6],
    packets_out: [AtomicU64; 6],
    bytes_out: [AtomicU64; 6],
    drops: [AtomicU64; 6],
    violations: [AtomicU64; 5],
    keyframe_requests: AtomicU64,
    layer_switches: AtomicU64,
    pauses: AtomicU64,
    resumes: AtomicU64,
    pub(crate) delays: Delays,
}

impl Counters {
    pub(crate) fn received(&self, kind: Option<MediaKind>, bytes: usize) {
        let index = kind.map_or(CONTROL, |kind| kind as usize);
        self.packets_in[index].fetch_add(1, Relaxed);
        self.bytes_in[index].fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn sent(&self, kind: Option<MediaKind>, packets: u64, bytes: u64) {
        let index = kind.map_or(CONTROL, |kind| kind as usize);
        self.packets_out[index].fetch_add(packets, Relaxed);
        self.bytes_out[index].fetch_add(bytes, Relaxed);
    }

    pub(crate) fn dropped(&self, reason: DropReason, packets: u64) {
        self.drops[reason as usize].fetch_add(packets, Relaxed);
    }

    pub(crate) fn violated(&self, violation: Violation) {
        self.violations[violation as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn keyframe_requested(&self) {
        self.keyframe_requests.fetch_add(1, Relaxed);
    }

    pub(crate) fn layer_switched(&self) {
        self.layer_switches.fetch_add(1, Relaxed);
    }

    /// Packets and bytes taken in from local participants and from the bus, by the labels of
    /// [`KINDS`].
    pub fn incoming(&self) -> [(u64, u64); 6] {
        std::array::from_fn(|i| {
            (
                self.packets_in[i].load(Relaxed),
                self.bytes_in[i].load(Relaxed),
            )
        })
    }

    /// Packets and bytes handed to local receivers, by the labels of [`KINDS`].
    pub fn outgoing(&self) -> [(u64, u64); 6] {
        std::array::from_fn(|i| {
            (
                self.packets_out[i].load(Relaxed),
                self.bytes_out[i].load(Relaxed),
            )
        })
    }

    /// Packets not forwarded, for that reason.
    pub fn drops(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize].load(Relaxed)
    }

    /// What peers did against the protocol.
    pub fn violations(&self, violation: Violation) -> u64 {
        self.violations[violation as usize].load(Relaxed)
    }

    /// Keyframe requests sent to publishers.
    pub fn keyframe_requests(&self) -> u64 {
        self.keyframe_requests.load(Relaxed)
    }

    pub(crate) fn picture_paused(&self) {
        self.pauses.fetch_add(1, Relaxed);
    }

    /// How often a picture was paused because the path to its receiver did not carry it.
    pub fn pauses(&self) -> u64 {
        self.pauses.load(Relaxed)
    }

    pub(crate) fn resumed(&self) {
        self.resumes.fetch_add(1, Relaxed);
    }

    /// How often a client came back in the place of its earlier session.
    pub fn resumes(&self) -> u64 {
        self.resumes.load(Relaxed)
    }

    /// How long audio, and pictures, had waited in the queues of their receivers.
    pub fn queue_delays(&self) -> [Histogram; 2] {
        self.delays.histograms()
    }

    /// How often a receiver was moved to another simulcast layer.
    pub fn layer_switches(&self) -> u64 {
        self.layer_switches.load(Relaxed)
    }
}
