//! One packet, shared by all its receivers.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use videocall_types::{ids::MediaKind, view::Routing};

use crate::compression;

/// How urgent a packet is. Cameras and screens wait in one queue, in the order they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Never dropped, always first.
    Control,
    /// Second; dropped only when too old to be played.
    Audio,
    /// Cameras, and packets that say nothing of what they are.
    Video,
    /// Screens.
    Screen,
}

#[derive(Debug)]
struct Inner {
    bytes: Bytes,
    routing: Option<Routing>,
    class: Class,
    websocket_head: WebSocketHead,
    /// The same for receivers who can decompress; `None` where that is no smaller.
    compressed: OnceLock<Option<Packet>>,
}

/// A packet as it came in, never copied. Cloning counts a reference.
#[derive(Clone, Debug)]
pub struct Packet(Arc<Inner>);

impl Packet {
    /// A control packet, or one of another type that must arrive.
    pub fn control(bytes: Bytes) -> Self {
        Self::new(bytes, None, Class::Control)
    }

    /// A media packet; without routing header it counts as video.
    pub fn media(bytes: Bytes, routing: Option<Routing>) -> Self {
        let class = match routing.map(|routing| routing.kind) {
            Some(MediaKind::Audio | MediaKind::ScreenAudio) => Class::Audio,
            Some(MediaKind::Screen) => Class::Screen,
            _ => Class::Video,
        };
        Self::new(bytes, routing, class)
    }

    fn new(bytes: Bytes, routing: Option<Routing>, class: Class) -> Self {
        Self(Arc::new(Inner {
            websocket_head: WebSocketHead::new(bytes.len()),
            bytes,
            routing,
            class,
            compressed: OnceLock::new(),
        }))
    }

    /// The encoded `PacketWrapper`.
    pub fn bytes(&self) -> &Bytes {
        &self.0.bytes
    }

    /// The routing header, if the packet has one.
    pub fn routing(&self) -> Option<&Routing> {
        self.0.routing.as_ref()
    }

    /// Whether it must arrive and goes before everything else.
    pub fn is_control(&self) -> bool {
        self.0.class == Class::Control
    }

    /// Whether it is sound.
    pub fn is_audio(&self) -> bool {
        self.0.class == Class::Audio
    }

    /// How urgent the packet is.
    pub fn class(&self) -> Class {
        self.0.class
    }

    /// The same control message compressed, once for all receivers; itself if that is no smaller.
    pub(crate) fn compressed(&self) -> &Self {
        let compress = || compression::compress(&self.0.bytes).map(Self::control);
        self.0
            .compressed
            .get_or_init(compress)
            .as_ref()
            .unwrap_or(self)
    }

    /// Head of the server's WebSocket frame around this packet, shared by all receivers.
    pub fn websocket_head(&self) -> &[u8] {
        let head = &self.0.websocket_head;
        &head.bytes[..usize::from(head.length)]
    }
}

/// Final, binary, not masked: RFC 6455, section 5.2.
#[derive(Debug)]
struct WebSocketHead {
    bytes: [u8; 10],
    length: u8,
}

impl WebSocketHead {
    fn new(payload: usize) -> Self {
        let mut bytes = [0; 10];
        bytes[0] = 0x82;
        let length = match payload {
            0..=125 => {
                bytes[1] = payload as u8;
                2
            }
            126..=0xffff => {
                bytes[1] = 126;
                bytes[2..4].copy_from_slice(&(payload as u16).to_be_bytes());
                4
            }
            _ => {
                bytes[1] = 127;
                bytes[2..].copy_from_slice(&(payload as u64).to_be_bytes());
                10
            }
        };
        Self { bytes, length }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn websocket_heads_have_the_three_lengths_of_the_rfc() {
        let head = |length| {
            Packet::control(vec![0; length].into())
                .websocket_head()
                .to_vec()
        };
        assert_eq!(head(0), [0x82, 0]);
        assert_eq!(head(125), [0x82, 125]);
        assert_eq!(head(126), [0x82, 126, 0, 126]);
        assert_eq!(head(0xffff), [0x82, 126, 0xff, 0xff]);
        assert_eq!(head(0x1_0000), [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }
}
