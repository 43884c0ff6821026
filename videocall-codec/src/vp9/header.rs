//! As much of the frame headers of VP8 and VP9 as tells keyframes and sizes.
//!
//! Sources: RFC 6386 section 9.1; VP9 bitstream specification 0.6, sections 6.2, 7.2 and annex B.

use crate::VideoCodec;

/// Whether a frame can be decoded without any earlier one. `false` for bytes that are no frame.
pub fn is_keyframe(codec: VideoCodec, frame: &[u8]) -> bool {
    keyframe_size(codec, frame).is_some()
}

/// Width and height in pixels if the frame is a keyframe.
pub fn keyframe_size(codec: VideoCodec, frame: &[u8]) -> Option<(u32, u32)> {
    match codec {
        VideoCodec::Vp8 => vp8_keyframe_size(frame),
        VideoCodec::Vp9 => match vp9_frame(superframe(frame).next()?)? {
            Vp9Frame {
                keyframe: true,
                size,
            } => size,
            _ => None,
        },
    }
}

/// Profile of a VP9 frame, 0 to 3; only 0 is of 8 bits in 4:2:0. `None` for bytes that are no frame.
pub fn vp9_profile(frame: &[u8]) -> Option<u8> {
    let head = *frame.first()?;
    (head >> 6 == 2).then_some((head >> 5 & 1) | (head >> 4 & 1) << 1)
}

/// Largest width and height that decoding these bytes can ask memory for, as far as headers tell.
pub(super) fn largest_size(codec: VideoCodec, data: &[u8]) -> Option<(u32, u32)> {
    match codec {
        VideoCodec::Vp8 => vp8_keyframe_size(data),
        VideoCodec::Vp9 => superframe(data)
            .filter_map(|frame| vp9_frame(frame)?.size)
            .reduce(|a, b| (a.0.max(b.0), a.1.max(b.1))),
    }
}

fn vp8_keyframe_size(frame: &[u8]) -> Option<(u32, u32)> {
    let head: &[u8; 10] = frame.first_chunk()?;
    let keyframe = head[0] & 1 == 0;
    if !keyframe || head[3..6] != [0x9d, 0x01, 0x2a] {
        return None;
    }
    let side = |at: usize| u32::from(u16::from_le_bytes([head[at], head[at + 1]]) & 0x3fff);
    Some((side(6), side(8)))
}

/// What the uncompressed header of a VP9 frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Vp9Frame {
    keyframe: bool,
    /// Set where the header spells it out.
    size: Option<(u32, u32)>,
}

/// The frames of a superframe, or the one frame.
fn superframe(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let sizes = superframe_sizes(data);
    let count = sizes.as_ref().map_or(1, Vec::len);
    let mut rest = data;
    (0..count).filter_map(move |index| {
        let length = sizes.as_ref().map_or(rest.len(), |sizes| sizes[index]);
        let (frame, after) = rest.split_at_checked(length)?;
        rest = after;
        Some(frame)
    })
}

/// The index at the end of a superframe; at most eight sizes.
fn superframe_sizes(data: &[u8]) -> Option<Vec<usize>> {
    let marker = *data.last()?;
    if marker >> 5 != 0b110 {
        return None;
    }
    let count = usize::from(marker & 7) + 1;
    let width = usize::from(marker >> 3 & 3) + 1;
    let index = data.get(data.len().checked_sub(2 + count * width)?..)?;
    if index[0] != marker {
        return None;
    }
    Some(
        index[1..=count * width]
            .chunks_exact(width)
            .map(|size| {
                size.iter()
                    .rev()
                    .fold(0, |all, byte| all << 8 | usize::from(*byte))
            })
            .collect(),
    )
}

fn vp9_frame(data: &[u8]) -> Option<Vp9Frame> {
    let mut bits = Bits { data, at: 0 };
    if bits.take(2)? != 2 {
        return None;
    }
    let profile = bits.take(1)? | bits.take(1)? << 1;
    if profile == 3 {
        bits.take(1)?;
    }
    let none = Vp9Frame {
        keyframe: false,
        size: None,
    };
    if bits.take(1)? == 1 {
        return Some(none); // shows an earlier frame
    }
    let keyframe = bits.take(1)? == 0;
    let shown = bits.take(1)? == 1;
    let resilient = bits.take(1)? == 1;
    if keyframe {
        return sync_code(&mut bits).and_then(|()| {
            colours(&mut bits, profile)?;
            Some(Vp9Frame {
                keyframe: true,
                size: Some(size(&mut bits)?),
            })
        });
    }
    let intra_only = !shown && bits.take(1)? == 1;
    if !resilient {
        bits.take(2)?; // which contexts are reset
    }
    if intra_only {
        sync_code(&mut bits)?;
        if profile > 0 {
            colours(&mut bits, profile)?;
        }
        bits.take(8)?; // which references are replaced
        return Some(Vp9Frame {
            keyframe: false,
            size: Some(size(&mut bits)?),
        });
    }
    bits.take(8)?;
    bits.take(3 * 4)?; // three references and their signs
    for _ in 0..3 {
        if bits.take(1)? == 1 {
            return Some(none); // as large as a reference
        }
    }
    Some(Vp9Frame {
        keyframe: false,
        size: Some(size(&mut bits)?),
    })
}

fn sync_code(bits: &mut Bits<'_>) -> Option<()> {
    (bits.take(24)? == 0x49_83_42).then_some(())
}

fn colours(bits: &mut Bits<'_>, profile: u32) -> Option<()> {
    if profile >= 2 {
        bits.take(1)?;
    }
    let space = bits.take(3)?;
    const RGB: u32 = 7;
    if space != RGB {
        bits.take(1)?;
        if profile == 1 || profile == 3 {
            bits.take(3)?;
        }
    } else if profile == 1 || profile == 3 {
        bits.take(1)?;
    }
    Some(())
}

fn size(bits: &mut Bits<'_>) -> Option<(u32, u32)> {
    Some((bits.take(16)? + 1, bits.take(16)? + 1))
}

/// Bits, highest first.
struct Bits<'a> {
    data: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// At most 32.
    fn take(&mut self, count: usize) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = *self.data.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_vp8_keyframe() {
        let frame = [0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xb4, 0x40, 0];
        assert_eq!(keyframe_size(VideoCodec::Vp8, &frame), Some((320, 180)));
        assert_eq!(keyframe_size(VideoCodec::Vp8, &frame[..9]), None);
        let mut delta = frame;
        delta[0] |= 1;
        assert!(!is_keyframe(VideoCodec::Vp8, &delta));
    }

    #[test]
    fn the_profile_is_in_the_first_byte() {
        let profiles = [0x82, 0xa2, 0x92, 0xb2, 0x42].map(|head| vp9_profile(&[head]));
        assert_eq!(profiles, [Some(0), Some(1), Some(2), Some(3), None]);
        assert_eq!(vp9_profile(&[]), None);
    }

    #[test]
    fn a_superframe_is_taken_apart() {
        let data = [1, 2, 3, 4, 5, 0b1100_0001, 2, 3, 0b1100_0001];
        let parts: Vec<&[u8]> = superframe(&data).collect();
        assert_eq!(parts, [&[1, 2][..], &[3, 4, 5]]);
    }

    /// A delta may bring a size of its own, where it is as large as none of its references.
    #[test]
    fn the_size_of_a_delta() {
        // Marker, profile 0, not an earlier frame, a delta, shown, resilient; references to replace;
        // three references and signs; no size taken over; 4096 by 2160.
        let bits = [
            "10",
            "00",
            "0",
            "1",
            "1",
            "1",
            "00000001",
            "000000000000",
            "000",
            "0000111111111111",
            "0000100001101111",
            "000",
        ]
        .concat();
        let frame: Vec<u8> = bits
            .as_bytes()
            .chunks(8)
            .map(|byte| byte.iter().fold(0, |all, bit| all << 1 | (bit - b'0')))
            .collect();
        assert_eq!(largest_size(VideoCodec::Vp9, &frame), Some((4096, 2160)));
        assert_eq!(keyframe_size(VideoCodec::Vp9, &frame), None);
    }

    proptest! {
        #[test]
        fn never_panics(data in proptest::collection::vec(any::<u8>(), 0..64)) {
            for codec in [VideoCodec::Vp8, VideoCodec::Vp9] {
                let _ = keyframe_size(codec, &data);
                let _ = largest_size(codec, &data);
            }
        }
    }
}
