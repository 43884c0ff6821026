//! The stamp that each frame carries, by which a receiver judges its delivery: in a field of its own in
//! front of the `MediaPacket`, which clients that do not know it leave out.

use bytes::{Buf, BufMut};

use crate::measure::MessageKind;

/// Number of the field, far from those of the protocol; its type is `bytes`.
const FIELD: u64 = 2047;
/// Begins each stamp.
const MAGIC: u64 = u64::from_be_bytes(*b"VCLOAD02");
/// Temporal layers that are counted.
pub const TEMPORAL_LAYERS: usize = 3;
/// Length of a stamp in bytes.
pub const STAMP_BYTES: usize = 8 + 8 + 8 + 8 + 8 + 4 * TEMPORAL_LAYERS + 4;

/// What a publisher says of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// When it should have been sent, in microseconds of the shared clock.
    pub planned_us: u64,
    /// When it was sent.
    pub sent_us: u64,
    /// Planned time of the first frame behind the last silence of the stream; 0 if there was none.
    /// What was before is no freeze.
    pub since_us: u64,
    /// Which publisher, by its number in the run.
    pub publisher: u64,
    /// How many frames of this layer up to and with this one have temporal layer 0, at most 1, at
    /// most 2. A receiver that gets temporal layers up to n finds no gap in the n-th.
    pub counts: [u32; TEMPORAL_LAYERS],
    /// Audio, video or screen.
    pub kind: MessageKind,
    /// Simulcast layer.
    pub spatial: u8,
    /// Temporal layer.
    pub temporal: u8,
    /// Decodable by itself.
    pub keyframe: bool,
}

impl Stamp {
    /// Appends the stamp as a field of a `MediaPacket`.
    pub fn write_field(&self, out: &mut impl BufMut) {
        put_varint(FIELD << 3 | 2, out);
        put_varint(STAMP_BYTES as u64, out);
        self.write(out);
    }

    fn write(&self, out: &mut impl BufMut) {
        out.put_u64(MAGIC);
        out.put_u64(self.planned_us);
        out.put_u64(self.sent_us);
        out.put_u64(self.since_us);
        out.put_u64(self.publisher);
        for count in self.counts {
            out.put_u32(count);
        }
        out.put_u8(match self.kind {
            MessageKind::Audio => 1,
            MessageKind::Video => 2,
            MessageKind::Screen => 3,
            _ => 0,
        });
        out.put_u8(self.spatial);
        out.put_u8(self.temporal);
        out.put_u8(self.keyframe.into());
    }

    fn read(mut frame: &[u8]) -> Option<Self> {
        if frame.len() < STAMP_BYTES || frame.get_u64() != MAGIC {
            return None;
        }
        let (planned_us, sent_us) = (frame.get_u64(), frame.get_u64());
        let (since_us, publisher) = (frame.get_u64(), frame.get_u64());
        let counts = std::array::from_fn(|_| frame.get_u32());
        let kind = match frame.get_u8() {
            1 => MessageKind::Audio,
            2 => MessageKind::Video,
            3 => MessageKind::Screen,
            _ => return None,
        };
        let (spatial, temporal, keyframe) = (frame.get_u8(), frame.get_u8(), frame.get_u8());
        Some(Self {
            planned_us,
            sent_us,
            since_us,
            publisher,
            counts,
            kind,
            spatial,
            temporal,
            keyframe: keyframe != 0,
        })
    }
}

/// The stamp in an encoded `MediaPacket`. Reading just that costs a fraction of decoding the message,
/// which counts when one process receives for a thousand.
pub fn stamp_of(media: &[u8]) -> Option<Stamp> {
    let mut rest = media;
    while !rest.is_empty() {
        let tag = varint(&mut rest)?;
        match tag & 7 {
            0 => {
                varint(&mut rest)?;
            }
            1 => rest = rest.get(8..)?,
            2 => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                let (value, after) = rest.split_at_checked(length)?;
                if tag >> 3 == FIELD {
                    return Stamp::read(value);
                }
                rest = after;
            }
            5 => rest = rest.get(4..)?,
            _ => return None,
        }
    }
    None
}

fn put_varint(mut value: u64, out: &mut impl BufMut) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for (place, &byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * place as u32);
        if byte & 0x80 == 0 {
            *bytes = &bytes[place + 1..];
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use videocall_types::wire::{MediaPacket, Message, media_packet::MediaType};

    use super::*;

    #[test]
    fn a_stamp_is_found_in_a_media_packet() {
        let stamp = Stamp {
            planned_us: 1,
            sent_us: 2,
            since_us: 7,
            publisher: 3,
            counts: [4, 5, 6],
            kind: MessageKind::Video,
            spatial: 2,
            temporal: 1,
            keyframe: true,
        };
        let media = MediaPacket {
            media_type: MediaType::Video.into(),
            user_id: "somebody".into(),
            data: vec![0; 100].into(),
            frame_type: "key".to_owned(),
            timestamp: 7.0,
            ..MediaPacket::default()
        };
        let mut packet = Vec::new();
        stamp.write_field(&mut packet);
        media.encode(&mut packet).unwrap();
        assert_eq!(stamp_of(&packet), Some(stamp));
        // Whoever does not know the field sees the packet without it.
        assert_eq!(MediaPacket::decode(&packet[..]).unwrap(), media);
        // And the place of the field does not count.
        let mut packet = media.encode_to_vec();
        stamp.write_field(&mut packet);
        assert_eq!(stamp_of(&packet), Some(stamp));
    }

    proptest! {
        #[test]
        fn any_bytes_are_borne(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = stamp_of(&bytes);
        }
    }
}
