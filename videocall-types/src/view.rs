//! A borrowed look at a packet: everything a relay needs, without decoding or copying the payload.
//!
//! The encoding is that of protocol buffers (<https://protobuf.dev/programming-guides/encoding/>).
//! Fields may come in any order; of a repeated scalar the last one counts, as the specification
//! asks, so that a peer cannot show one identity to the relay and another to the receivers.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

use crate::{
    ids::SessionId,
    limits::{MAX_DEPENDS_BACK, MAX_PACKET_BYTES, MAX_SPATIAL_LAYERS, MAX_TEMPORAL_LAYERS},
    wire::{MediaKind, packet_wrapper::PacketType},
};

/// Why bytes are not a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PacketError {
    /// Longer than [`MAX_PACKET_BYTES`].
    #[error("the packet is longer than {MAX_PACKET_BYTES} bytes")]
    TooLong,
    /// The bytes end within a field.
    #[error("the packet ends within a field")]
    Truncated,
    /// A number of more than 64 bits, or a field number of 0.
    #[error("the packet holds a malformed number")]
    Varint,
    /// A field with an encoding that its number does not have, or one that does not exist.
    #[error("field {0} has the wrong encoding")]
    WireType(u32),
    /// A routing header that contradicts itself or its limits.
    #[error("the routing header's {0} is out of range")]
    Routing(&'static str),
    /// The same length-delimited field twice, which receivers would merge.
    #[error("field {0} comes twice")]
    Duplicate(u32),
}

impl PacketError {
    /// A word for metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Truncated => "truncated",
            Self::Varint => "varint",
            Self::WireType(_) => "wire_type",
            Self::Routing(_) => "routing",
            Self::Duplicate(_) => "duplicate",
        }
    }
}

/// The routing header of a media packet, checked. Fields as in `packet.proto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Routing {
    /// What the packet holds; never unspecified.
    pub kind: MediaKind,
    /// Which stream of that kind.
    pub stream_id: u32,
    /// Simulcast layer, 0 the smallest.
    pub spatial: u8,
    /// Temporal layer, 0 the base.
    pub temporal: u8,
    /// Decodable by itself.
    pub keyframe: bool,
    /// Distance in frames to the frame that this one needs; 0 if it needs none.
    pub depends_back: u8,
    /// Counts from 1 within stream and spatial layer.
    pub frame_number: u64,
    /// Capture time on the publisher's clock in microseconds.
    pub capture_us: u64,
    /// −dBov: 0 loudest, 127 silence.
    pub audio_level: u8,
    /// The payload is end-to-end encrypted.
    pub encrypted: bool,
}

impl Routing {
    /// Whether the packet is part of an audio stream.
    pub const fn is_audio(&self) -> bool {
        matches!(self.kind, MediaKind::Audio | MediaKind::ScreenAudio)
    }

    /// The frame that this one needs, by number; `None` if it needs none.
    pub const fn depends_on(&self) -> Option<u64> {
        if self.depends_back == 0 {
            None
        } else {
            Some(self.frame_number - self.depends_back as u64)
        }
    }
}

/// A packet as the relay sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketView<'a> {
    /// The number of the packet type, also one that this version does not know.
    pub packet_type: i32,
    /// Who the sender claims to be; empty if it claims nothing.
    pub user_id: &'a [u8],
    /// Where the payload lies in the packet.
    pub data: Range<usize>,
    /// The session the sender claims; 0 if it claims none.
    pub session_id: u64,
    /// The routing header, if there is one.
    pub routing: Option<Routing>,
    /// Where the control message lies in the packet, if there is one.
    pub control: Option<Range<usize>>,
}

impl<'a> PacketView<'a> {
    /// Reads the outermost fields and the routing header. Takes time by the number of fields, not
    /// by the length of the payload.
    pub fn parse(packet: &'a [u8]) -> Result<Self, PacketError> {
        if packet.len() > MAX_PACKET_BYTES {
            return Err(PacketError::TooLong);
        }
        let mut view = PacketView {
            packet_type: 0,
            user_id: &[],
            data: 0..0,
            session_id: 0,
            routing: None,
            control: None,
        };
        let mut seen = 0u32;
        let mut reader = Reader {
            bytes: packet,
            at: 0,
        };
        while let Some((field, wire_type)) = reader.tag()? {
            match field {
                // An enum is an int32: prost keeps its lower 32 bits.
                1 => view.packet_type = reader.varint_of(field, wire_type)? as i32,
                2 => view.user_id = &packet[reader.slice_of(field, wire_type)?],
                3 => view.data = reader.slice_of(field, wire_type)?,
                4 => view.session_id = reader.varint_of(field, wire_type)?,
                16 => {
                    // A receiver merges repeated messages; a relay that took the last one would
                    // see another header than they do.
                    once(&mut seen, 1, field)?;
                    let range = reader.slice_of(field, wire_type)?;
                    view.routing = Some(parse_routing(&packet[range])?);
                }
                17 => {
                    once(&mut seen, 2, field)?;
                    view.control = Some(reader.slice_of(field, wire_type)?);
                }
                _ => reader.skip(field, wire_type)?,
            }
        }
        Ok(view)
    }

    /// Whether the packet is of that type.
    pub fn is(&self, packet_type: PacketType) -> bool {
        self.packet_type == packet_type as i32
    }
}

fn once(seen: &mut u32, bit: u32, field: u32) -> Result<(), PacketError> {
    if *seen & bit != 0 {
        return Err(PacketError::Duplicate(field));
    }
    *seen |= bit;
    Ok(())
}

fn parse_routing(bytes: &[u8]) -> Result<Routing, PacketError> {
    let mut kind = 0u64;
    let mut spatial = 0u64;
    let mut temporal = 0u64;
    let mut stream_id = 0u64;
    let mut depends_back = 0u64;
    let mut audio_level = 0u64;
    let mut routing = Routing {
        kind: MediaKind::Unspecified,
        stream_id: 0,
        spatial: 0,
        temporal: 0,
        keyframe: false,
        depends_back: 0,
        frame_number: 0,
        capture_us: 0,
        audio_level: 0,
        encrypted: false,
    };
    let mut reader = Reader { bytes, at: 0 };
    while let Some((field, wire_type)) = reader.tag()? {
        match field {
            1 => kind = reader.varint_of(field, wire_type)?,
            2 => stream_id = reader.varint_of(field, wire_type)?,
            3 => spatial = reader.varint_of(field, wire_type)?,
            4 => temporal = reader.varint_of(field, wire_type)?,
            5 => routing.keyframe = reader.varint_of(field, wire_type)? != 0,
            6 => depends_back = reader.varint_of(field, wire_type)?,
            7 => routing.frame_number = reader.varint_of(field, wire_type)?,
            8 => routing.capture_us = reader.varint_of(field, wire_type)?,
            9 => audio_level = reader.varint_of(field, wire_type)?,
            10 => routing.encrypted = reader.varint_of(field, wire_type)? != 0,
            _ => reader.skip(field, wire_type)?,
        }
    }
    routing.kind = match kind {
        1 => MediaKind::Audio,
        2 => MediaKind::Video,
        3 => MediaKind::Screen,
        4 => MediaKind::ScreenAudio,
        _ => return Err(PacketError::Routing("kind")),
    };
    routing.stream_id = u32::try_from(stream_id).map_err(|_| PacketError::Routing("stream_id"))?;
    routing.spatial = below(spatial, MAX_SPATIAL_LAYERS, "spatial layer")?;
    routing.temporal = below(temporal, MAX_TEMPORAL_LAYERS, "temporal layer")?;
    routing.depends_back = below(depends_back, MAX_DEPENDS_BACK + 1, "dependency")?;
    routing.audio_level = below(audio_level, 128, "audio level")?;
    check(&routing)?;
    Ok(routing)
}

fn below(value: u64, end: u8, name: &'static str) -> Result<u8, PacketError> {
    if value < u64::from(end) {
        Ok(value as u8)
    } else {
        Err(PacketError::Routing(name))
    }
}

/// The rules that make every later subtraction and lookup safe.
fn check(routing: &Routing) -> Result<(), PacketError> {
    // A bound far beyond any meeting keeps sums with it free of overflow.
    if routing.frame_number == 0 || routing.frame_number >= 1 << 48 {
        return Err(PacketError::Routing("frame number"));
    }
    if routing.capture_us >= 1 << 60 {
        return Err(PacketError::Routing("capture time"));
    }
    let dependency_ok = if routing.keyframe || routing.is_audio() {
        routing.depends_back == 0
    } else {
        routing.depends_back > 0 && u64::from(routing.depends_back) < routing.frame_number
    };
    if !dependency_ok {
        return Err(PacketError::Routing("dependency"));
    }
    if routing.is_audio() && (routing.spatial > 0 || routing.temporal > 0) {
        return Err(PacketError::Routing("layer of an audio stream"));
    }
    Ok(())
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    /// Field number and wire type of the next field; `None` at the end.
    #[inline]
    fn tag(&mut self) -> Result<Option<(u32, u8)>, PacketError> {
        if self.at == self.bytes.len() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let field = u32::try_from(tag >> 3).map_err(|_| PacketError::Varint)?;
        if field == 0 || tag > u64::from(u32::MAX) {
            return Err(PacketError::Varint);
        }
        Ok(Some((field, (tag & 7) as u8)))
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, PacketError> {
        let mut value = 0u64;
        let mut shift = 0u32;
        loop {
            let &byte = self.bytes.get(self.at).ok_or(PacketError::Truncated)?;
            self.at += 1;
            // The tenth byte has room for one bit only.
            if shift == 63 && byte > 1 {
                return Err(PacketError::Varint);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
            shift += 7;
        }
    }

    #[inline]
    fn varint_of(&mut self, field: u32, wire_type: u8) -> Result<u64, PacketError> {
        if wire_type == 0 {
            self.varint()
        } else {
            Err(PacketError::WireType(field))
        }
    }

    #[inline]
    fn slice_of(&mut self, field: u32, wire_type: u8) -> Result<Range<usize>, PacketError> {
        if wire_type != 2 {
            return Err(PacketError::WireType(field));
        }
        let length = usize::try_from(self.varint()?).map_err(|_| PacketError::Truncated)?;
        self.take(length)
    }

    fn take(&mut self, length: usize) -> Result<Range<usize>, PacketError> {
        if length > self.bytes.len() - self.at {
            return Err(PacketError::Truncated);
        }
        let start = self.at;
        self.at += length;
        Ok(start..self.at)
    }

    /// Passes over a field that this version does not know. Groups (wire types 3 and 4) are not
    /// used by any version of the protocol, and refused.
    fn skip(&mut self, field: u32, wire_type: u8) -> Result<(), PacketError> {
        match wire_type {
            0 => self.varint().map(drop),
            1 => self.take(8).map(drop),
            2 => self.slice_of(field, wire_type).map(drop),
            5 => self.take(4).map(drop),
            _ => Err(PacketError::WireType(field)),
        }
    }
}

/// The same packet with its session id set, for older clients that leave it out. Copies the
/// packet once; those of our own clients never come here.
pub fn append_session_id(packet: &[u8], session: SessionId) -> Bytes {
    let mut out = BytesMut::with_capacity(packet.len() + 9);
    out.extend_from_slice(packet);
    out.put_u8(4 << 3);
    let mut rest = session.get();
    while rest >= 0x80 {
        out.put_u8((rest as u8) | 0x80);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
    out.freeze()
}
