//! Bounds of the protocol that both ends must hold to.

/// Version that [`Hello`](crate::wire::Hello) and [`Welcome`](crate::wire::Welcome) carry.
pub const PROTOCOL_VERSION: u32 = 1;

/// Largest packet, in bytes. Below the 1 MiB that a NATS server accepts by default, so that
/// whatever one node takes in can reach the others.
pub const MAX_PACKET_BYTES: usize = 1_000_000;

/// Largest datagram, in bytes: what Chromium reports for a path of usual MTU is 1211.
pub const MAX_DATAGRAM_BYTES: usize = 1_200;

/// Largest name of a meeting or a person, in bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 256;

/// Largest join token, in bytes: names of the largest size fit in it, and it into the 4 KiB that
/// WebTransport libraries take of a request.
pub const MAX_TOKEN_BYTES: usize = 3072;

/// Simulcast layers of one stream at most.
pub const MAX_SPATIAL_LAYERS: u8 = 4;

/// Temporal layers of one simulcast layer at most.
pub const MAX_TEMPORAL_LAYERS: u8 = 4;

/// Largest distance, in frames, from a frame to the one that it depends on.
pub const MAX_DEPENDS_BACK: u8 = 63;

/// Wants of one [`Subscribe`](crate::wire::Subscribe) at most.
pub const MAX_WANTS: usize = 512;

/// Streams of one publisher at most.
pub const MAX_STREAMS: usize = 8;
