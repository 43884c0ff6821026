//! Puts the Opus packets of one publisher in order and counts what is missing.

use std::collections::BTreeMap;

use bytes::Bytes;
use videocall_types::view::Routing;

/// Packets that may wait for one that is missing: 100 ms of sound.
const WAITING: usize = 5;

/// A packet in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioPacket {
    /// Capture time in microseconds.
    pub capture_us: u64,
    /// The Opus packet.
    pub data: Bytes,
}

/// One audio stream.
#[derive(Debug, Default)]
pub struct AudioBuffer {
    stream_id: u32,
    next: u64,
    waiting: BTreeMap<u64, AudioPacket>,
    /// Packets that were played.
    pub received: u64,
    /// Packets that never came, or too late.
    pub lost: u64,
}

impl AudioBuffer {
    /// Takes a packet and appends what can be played now, in order.
    pub fn push(&mut self, frame: &Routing, data: Bytes, ready: &mut Vec<AudioPacket>) {
        if frame.stream_id != self.stream_id || self.next == 0 {
            if self.next != 0 && frame.stream_id < self.stream_id {
                return;
            }
            self.stream_id = frame.stream_id;
            self.next = frame.frame_number;
            self.waiting.clear();
        }
        if frame.frame_number < self.next {
            return;
        }
        let packet = AudioPacket {
            capture_us: frame.capture_us,
            data,
        };
        self.waiting.insert(frame.frame_number, packet);
        while self.waiting.len() > WAITING {
            let Some((&first, _)) = self.waiting.first_key_value() else {
                break;
            };
            self.lost += first - self.next;
            self.next = first;
            self.release(ready);
        }
        self.release(ready);
    }

    fn release(&mut self, ready: &mut Vec<AudioPacket>) {
        while let Some(packet) = self.waiting.remove(&self.next) {
            self.next += 1;
            self.received += 1;
            ready.push(packet);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use videocall_types::ids::MediaKind;

    fn routing(frame_number: u64) -> Routing {
        Routing {
            kind: MediaKind::Audio,
            stream_id: 1,
            spatial: 0,
            temporal: 0,
            keyframe: false,
            depends_back: 0,
            frame_number,
            capture_us: frame_number * 20_000,
            audio_level: 30,
            encrypted: false,
        }
    }

    #[test]
    fn a_gap_is_waited_for_and_then_given_up() {
        let mut buffer = AudioBuffer::default();
        let mut ready = Vec::new();
        for number in [1, 3, 4, 5, 6] {
            buffer.push(&routing(number), Bytes::new(), &mut ready);
        }
        assert_eq!(ready.len(), 1);
        buffer.push(&routing(2), Bytes::new(), &mut ready);
        assert_eq!((ready.len(), buffer.lost), (6, 0));
        for number in 8..14 {
            buffer.push(&routing(number), Bytes::new(), &mut ready);
        }
        assert_eq!((ready.len(), buffer.lost), (12, 1));
    }

    proptest! {
        #[test]
        fn output_is_in_order_and_counted(mut numbers in prop::collection::vec(1..60u64, 1..120)) {
            numbers.insert(0, 1);
            let mut buffer = AudioBuffer::default();
            let mut ready = Vec::new();
            for number in numbers {
                buffer.push(&routing(number), Bytes::new(), &mut ready);
                prop_assert!(buffer.waiting.len() <= WAITING);
            }
            prop_assert!(ready.windows(2).all(|pair| pair[0].capture_us < pair[1].capture_us));
            prop_assert_eq!(ready.len() as u64, buffer.received);
        }
    }
}
