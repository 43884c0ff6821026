//! Builds packets.

use bytes::Bytes;
use prost::Message;

use crate::{
    ids::SessionId,
    view::{PacketError, PacketView, Routing},
    wire::{
        Control, MediaKind, MediaPacket, PacketWrapper, RoutingHeader, control, media_packet,
        packet_wrapper::PacketType,
    },
};

/// Why the payload of a packet cannot be read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PayloadError {
    /// The packet around it is malformed.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// The payload is not the message that the packet type says.
    #[error("the payload is malformed: {0}")]
    Decode(#[from] prost::DecodeError),
    /// The packet holds no such payload.
    #[error("the packet holds no {0}")]
    Absent(&'static str),
}

impl From<Routing> for RoutingHeader {
    fn from(routing: Routing) -> Self {
        Self {
            kind: routing.kind.into(),
            stream_id: routing.stream_id,
            spatial: routing.spatial.into(),
            temporal: routing.temporal.into(),
            keyframe: routing.keyframe,
            depends_back: routing.depends_back.into(),
            frame_number: routing.frame_number,
            capture_us: routing.capture_us,
            audio_level: routing.audio_level.into(),
            encrypted: routing.encrypted,
        }
    }
}

/// A media packet with a routing header.
pub fn media(session: SessionId, user_id: &Bytes, routing: Routing, media: &MediaPacket) -> Bytes {
    sealed_media(session, user_id, routing, media.encode_to_vec().into())
}

/// A media packet of one who does not know yet under which id: the server appends it.
pub fn media_without_identity(routing: Routing, media: &MediaPacket) -> Bytes {
    PacketWrapper {
        packet_type: PacketType::Media.into(),
        data: media.encode_to_vec().into(),
        routing: Some(routing.into()),
        ..PacketWrapper::default()
    }
    .encode_to_vec()
    .into()
}

/// A media packet whose payload is already encoded, and perhaps encrypted.
pub fn sealed_media(
    session: SessionId,
    user_id: &Bytes,
    routing: Routing,
    payload: Bytes,
) -> Bytes {
    PacketWrapper {
        packet_type: PacketType::Media.into(),
        user_id: user_id.clone(),
        data: payload,
        session_id: session.get(),
        routing: Some(routing.into()),
        control: None,
    }
    .encode_to_vec()
    .into()
}

/// A packet that holds a control message.
pub fn control(message: control::Message) -> Bytes {
    from_control(Control {
        message: Some(message),
    })
}

/// A packet that holds a control message, already wrapped.
pub fn from_control(control: Control) -> Bytes {
    PacketWrapper {
        packet_type: PacketType::Control.into(),
        control: Some(control),
        ..PacketWrapper::default()
    }
    .encode_to_vec()
    .into()
}

/// Tells older clients their session id; ours learn it from `Welcome` as well.
pub fn session_assigned(session: SessionId) -> Bytes {
    PacketWrapper {
        packet_type: PacketType::SessionAssigned.into(),
        session_id: session.get(),
        ..PacketWrapper::default()
    }
    .encode_to_vec()
    .into()
}

/// The control message in a packet. `Ok(None)` if it is one that this version does not know.
pub fn read_control(
    packet: &Bytes,
    view: &PacketView<'_>,
) -> Result<Option<control::Message>, PayloadError> {
    let range = view
        .control
        .clone()
        .ok_or(PayloadError::Absent("control message"))?;
    Ok(Control::decode(packet.slice(range))?.message)
}

/// The media in a packet, not encrypted. Its frame shares the packet's memory.
pub fn read_media(packet: &Bytes, view: &PacketView<'_>) -> Result<MediaPacket, PayloadError> {
    if !view.is(PacketType::Media) {
        return Err(PayloadError::Absent("media"));
    }
    Ok(MediaPacket::decode(packet.slice(view.data.clone()))?)
}

/// Whether a packet is the round-trip probe of an older client, to be echoed to its sender alone.
pub fn is_rtt_probe(packet: &Bytes, view: &PacketView<'_>) -> bool {
    // A probe is small; a payload that could be a frame is not worth a decoding.
    view.routing.is_none()
        && view.data.len() <= 512
        && read_media(packet, view)
            .is_ok_and(|media| media.media_type() == media_packet::MediaType::Rtt)
}

impl MediaKind {
    /// The media type by which older clients know this kind. They have none for the sound of a
    /// screen, and play it as audio.
    pub const fn media_type(self) -> media_packet::MediaType {
        match self {
            Self::Unspecified => media_packet::MediaType::Unknown,
            Self::Audio | Self::ScreenAudio => media_packet::MediaType::Audio,
            Self::Video => media_packet::MediaType::Video,
            Self::Screen => media_packet::MediaType::Screen,
        }
    }

    /// A word for subjects, metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unspecified => "other",
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Screen => "screen",
            Self::ScreenAudio => "screen_audio",
        }
    }
}
