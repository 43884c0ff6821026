//! Sends what no client should: broken frames, broken packets, and sound ones with broken parts.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use videocall_types::{
    packet,
    wire::{Hello, MediaPacket, Message, PacketWrapper, RoutingHeader, control, packet_wrapper},
};

use super::{Behaviour, Context};
use crate::{
    measure::MessageKind,
    transport::{Delivery, Outgoing, Received},
};

/// Largest payload of garbage in bytes.
const MAX_GARBAGE: usize = 2000;

/// A client gone mad, the same way for the same seed.
#[derive(Debug)]
pub struct Fuzzer {
    pause: Duration,
    random: SmallRng,
}

impl Fuzzer {
    /// One broken thing after each pause.
    pub fn new(pause: Duration, seed: u64) -> Self {
        Self {
            pause: pause.max(Duration::from_micros(100)),
            random: SmallRng::seed_from_u64(seed),
        }
    }

    fn next(&mut self) -> (Delivery, Bytes) {
        let garbage = self.garbage();
        match self.random.random_range(0..10) {
            0 => (Delivery::Raw, self.broken_frame()),
            1 => (Delivery::Raw, garbage),
            2 => (Delivery::Message, garbage),
            3 => (Delivery::Datagram, garbage),
            4 => (Delivery::Stream { priority: 0 }, garbage),
            5 => (Delivery::Message, Bytes::new()),
            6 => (Delivery::Message, self.damage(hello())),
            7 => (Delivery::Datagram, self.damage(self::media())),
            8 => (Delivery::Message, self.cut(hello())),
            _ => (Delivery::Stream { priority: 0 }, self.cut(media())),
        }
    }

    fn garbage(&mut self) -> Bytes {
        let length = self.random.random_range(1..MAX_GARBAGE);
        let mut bytes = BytesMut::zeroed(length);
        self.random.fill(&mut bytes[..]);
        bytes.freeze()
    }

    /// Frames that RFC 6455, section 5, forbids.
    fn broken_frame(&mut self) -> Bytes {
        let frames: [&[u8]; 7] = [
            // Not masked.
            &[0x82, 0x01, 0x00],
            // Reserved opcode.
            &[0x83, 0x80, 0, 0, 0, 0],
            // Reserved bit.
            &[0xc2, 0x80, 0, 0, 0, 0],
            // A ping of more than 125 bytes.
            &[0x89, 0xfe, 0x10, 0x00, 0, 0, 0, 0],
            // A ping in fragments.
            &[0x09, 0x80, 0, 0, 0, 0],
            // A continuation of nothing.
            &[0x80, 0x80, 0, 0, 0, 0],
            // A length of 2^63.
            &[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ];
        Bytes::from_static(frames[self.random.random_range(0..frames.len())])
    }

    fn damage(&mut self, packet: Bytes) -> Bytes {
        let mut bytes = BytesMut::from(&packet[..]);
        for _ in 0..self.random.random_range(1..6) {
            let at = self.random.random_range(0..bytes.len());
            bytes[at] = self.random.random();
        }
        bytes.freeze()
    }

    fn cut(&mut self, packet: Bytes) -> Bytes {
        let length = self.random.random_range(0..packet.len());
        packet.slice(..length)
    }
}

fn hello() -> Bytes {
    packet::control(control::Message::Hello(Hello {
        protocol_version: 1,
        client: "fuzzer".to_owned(),
        display_name: "Fuzzer".to_owned(),
        ..Hello::default()
    }))
}

fn media() -> Bytes {
    PacketWrapper {
        packet_type: packet_wrapper::PacketType::Media.into(),
        data: MediaPacket::default().encode_to_vec().into(),
        routing: Some(RoutingHeader {
            kind: 2,
            keyframe: true,
            frame_number: 1,
            ..RoutingHeader::default()
        }),
        ..PacketWrapper::default()
    }
    .encode_to_vec()
    .into()
}

impl Behaviour for Fuzzer {
    fn on_open(&mut self, context: &mut Context<'_>) {
        context.joined();
        context.wake_in(self.pause);
    }

    fn on_message(&mut self, _context: &mut Context<'_>, _message: Received) {}

    fn on_wake(&mut self, context: &mut Context<'_>, _planned: Instant) {
        let (delivery, payload) = self.next();
        context.send(Outgoing {
            payload,
            delivery,
            kind: MessageKind::Other,
            layer: 0,
        });
        context.wake_in(self.pause);
    }
}
