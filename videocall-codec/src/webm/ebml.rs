//! EBML: elements of an id, a length and contents (RFC 8794).

use std::io::Read;

use crate::input::{self, ReadError};

/// Ids with their length marker, as they lie in the file.
pub(super) mod id {
    pub(in super::super) const EBML: u32 = 0x1a45_dfa3;
    pub(in super::super) const EBML_VERSION: u32 = 0x4286;
    pub(in super::super) const EBML_READ_VERSION: u32 = 0x42f7;
    pub(in super::super) const EBML_MAX_ID_LENGTH: u32 = 0x42f2;
    pub(in super::super) const EBML_MAX_SIZE_LENGTH: u32 = 0x42f3;
    pub(in super::super) const DOC_TYPE: u32 = 0x4282;
    pub(in super::super) const DOC_TYPE_VERSION: u32 = 0x4287;
    pub(in super::super) const DOC_TYPE_READ_VERSION: u32 = 0x4285;
    pub(in super::super) const VOID: u32 = 0xec;
    pub(in super::super) const SEGMENT: u32 = 0x1853_8067;
    pub(in super::super) const SEEK_HEAD: u32 = 0x114d_9b74;
    pub(in super::super) const SEEK: u32 = 0x4dbb;
    pub(in super::super) const SEEK_ID: u32 = 0x53ab;
    pub(in super::super) const SEEK_POSITION: u32 = 0x53ac;
    pub(in super::super) const INFO: u32 = 0x1549_a966;
    pub(in super::super) const TIMESTAMP_SCALE: u32 = 0x2a_d7b1;
    pub(in super::super) const DURATION: u32 = 0x4489;
    pub(in super::super) const MUXING_APP: u32 = 0x4d80;
    pub(in super::super) const WRITING_APP: u32 = 0x5741;
    pub(in super::super) const TRACKS: u32 = 0x1654_ae6b;
    pub(in super::super) const TRACK_ENTRY: u32 = 0xae;
    pub(in super::super) const TRACK_NUMBER: u32 = 0xd7;
    pub(in super::super) const TRACK_UID: u32 = 0x73c5;
    pub(in super::super) const TRACK_TYPE: u32 = 0x83;
    pub(in super::super) const FLAG_LACING: u32 = 0x9c;
    pub(in super::super) const CODEC_ID: u32 = 0x86;
    pub(in super::super) const CODEC_PRIVATE: u32 = 0x63a2;
    pub(in super::super) const CODEC_DELAY: u32 = 0x56aa;
    pub(in super::super) const SEEK_PRE_ROLL: u32 = 0x56bb;
    pub(in super::super) const DEFAULT_DURATION: u32 = 0x23_e383;
    pub(in super::super) const CONTENT_ENCODINGS: u32 = 0x6d80;
    pub(in super::super) const VIDEO: u32 = 0xe0;
    pub(in super::super) const PIXEL_WIDTH: u32 = 0xb0;
    pub(in super::super) const PIXEL_HEIGHT: u32 = 0xba;
    pub(in super::super) const AUDIO: u32 = 0xe1;
    pub(in super::super) const SAMPLING_FREQUENCY: u32 = 0xb5;
    pub(in super::super) const CHANNELS: u32 = 0x9f;
    pub(in super::super) const CLUSTER: u32 = 0x1f43_b675;
    pub(in super::super) const TIMESTAMP: u32 = 0xe7;
    pub(in super::super) const SIMPLE_BLOCK: u32 = 0xa3;
    pub(in super::super) const BLOCK_GROUP: u32 = 0xa0;
    pub(in super::super) const BLOCK: u32 = 0xa1;
    pub(in super::super) const CUES: u32 = 0x1c53_bb6b;
    pub(in super::super) const CUE_POINT: u32 = 0xbb;
    pub(in super::super) const CUE_TIME: u32 = 0xb3;
    pub(in super::super) const CUE_TRACK_POSITIONS: u32 = 0xb7;
    pub(in super::super) const CUE_TRACK: u32 = 0xf7;
    pub(in super::super) const CUE_CLUSTER_POSITION: u32 = 0xf1;
}

/// What a damaged file is.
pub(super) fn malformed(why: &'static str) -> ReadError {
    ReadError::Malformed {
        format: "a WebM file",
        why,
    }
}

/// Id and length of an element; no length is one that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) id: u32,
    pub(super) length: Option<u64>,
}

/// A number whose first byte says how long it is: value with the marker, and length in bytes.
fn marked(source: &mut impl Read, longest: usize) -> Result<Option<(u64, usize)>, ReadError> {
    let mut first = [0];
    if !input::fill(source, &mut first)? {
        return Ok(None);
    }
    let length = first[0].leading_zeros() as usize + 1;
    if length > longest {
        return Err(malformed("an element has no id or length"));
    }
    let mut rest = [0; 7];
    let rest = &mut rest[..length - 1];
    if !input::fill(source, rest)? {
        return Ok(None);
    }
    let value = rest
        .iter()
        .fold(u64::from(first[0]), |all, byte| all << 8 | u64::from(*byte));
    Ok(Some((value, length)))
}

/// The number without its marker; `None` inside for the one that says "unknown".
fn unmarked((value, length): (u64, usize)) -> Option<u64> {
    let mask = (1u64 << (7 * length)) - 1;
    let value = value & mask;
    (value != mask).then_some(value)
}

/// The next element's head; `None` if the source ends before it is whole.
pub(super) fn head(source: &mut impl Read) -> Result<Option<Head>, ReadError> {
    let Some((id, _)) = marked(source, 4)? else {
        return Ok(None);
    };
    let Some(length) = marked(source, 8)? else {
        return Ok(None);
    };
    Ok(Some(Head {
        id: id as u32,
        length: unmarked(length),
    }))
}

/// A number as track numbers and laces have it.
pub(super) fn number(source: &mut &[u8]) -> Result<u64, ReadError> {
    marked(source, 8)?
        .and_then(unmarked)
        .ok_or_else(|| malformed("a number is cut off"))
}

/// A signed number as EBML laces have it: the middle of its range is 0.
pub(super) fn signed(source: &mut &[u8]) -> Result<i64, ReadError> {
    let (value, length) = marked(source, 8)?.ok_or_else(|| malformed("a number is cut off"))?;
    let bits = 7 * length;
    let value = (value & ((1 << bits) - 1)) as i64;
    Ok(value - ((1 << (bits - 1)) - 1))
}

/// The elements in contents that are in memory. One that is cut off is an error.
pub(super) fn children(mut data: &[u8]) -> impl Iterator<Item = Result<(u32, &[u8]), ReadError>> {
    std::iter::from_fn(move || {
        if data.is_empty() {
            return None;
        }
        let element = (|| {
            let head = head(&mut data)?.ok_or_else(|| malformed("an element is cut off"))?;
            let length = head
                .length
                .and_then(|length| usize::try_from(length).ok())
                .ok_or_else(|| malformed("an element has no length"))?;
            let (contents, rest) = data
                .split_at_checked(length)
                .ok_or_else(|| malformed("an element is cut off"))?;
            data = rest;
            Ok((head.id, contents))
        })();
        if element.is_err() {
            data = &[];
        }
        Some(element)
    })
}

/// An unsigned number as contents.
pub(super) fn unsigned(contents: &[u8]) -> Result<u64, ReadError> {
    if contents.len() > 8 {
        return Err(malformed("a number is too long"));
    }
    Ok(contents
        .iter()
        .fold(0, |all, byte| all << 8 | u64::from(*byte)))
}

/// A fraction as contents.
pub(super) fn float(contents: &[u8]) -> Result<f64, ReadError> {
    match *contents {
        [] => Ok(0.0),
        [a, b, c, d] => Ok(f32::from_be_bytes([a, b, c, d]).into()),
        [a, b, c, d, e, f, g, h] => Ok(f64::from_be_bytes([a, b, c, d, e, f, g, h])),
        _ => Err(malformed("a fraction is of no known length")),
    }
}

/// Length of 8 bytes that says "unknown".
pub(super) const UNKNOWN_LENGTH: [u8; 8] = [1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];

/// A length of 8 bytes; `length` must be below 2^56.
pub(super) fn long_length(length: u64) -> [u8; 8] {
    (1 << 56 | length).to_be_bytes()
}

/// Appends an id.
pub(super) fn put_id(to: &mut Vec<u8>, id: u32) {
    let bytes = id.to_be_bytes();
    to.extend(&bytes[id.leading_zeros() as usize / 8..]);
}

/// Appends a length, as short as it can be.
pub(super) fn put_length(to: &mut Vec<u8>, length: u64) {
    let bytes = (1..8usize)
        .find(|bytes| length < (1 << (7 * bytes)) - 1)
        .unwrap_or(8);
    let marked = 1u64 << (7 * bytes) | length;
    to.extend(&marked.to_be_bytes()[8 - bytes..]);
}

/// Appends an element.
pub(super) fn put(to: &mut Vec<u8>, id: u32, contents: &[u8]) {
    put_id(to, id);
    put_length(to, contents.len() as u64);
    to.extend(contents);
}

/// Appends an element with a number, as short as it can be.
pub(super) fn put_unsigned(to: &mut Vec<u8>, id: u32, value: u64) {
    let bytes = value.to_be_bytes();
    let zeros = (value.leading_zeros() as usize / 8).min(7);
    put(to, id, &bytes[zeros..]);
}

/// Appends an element with a fraction.
pub(super) fn put_float(to: &mut Vec<u8>, id: u32, value: f64) {
    put(to, id, &value.to_be_bytes());
}

/// Appends an element that is ignored, of `bytes` bytes in all, 9 or more.
pub(super) fn put_void(to: &mut Vec<u8>, bytes: usize) {
    put_id(to, id::VOID);
    to.extend(long_length(bytes.saturating_sub(9) as u64));
    to.resize(to.len() + bytes.saturating_sub(9), 0);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn heads_of_known_files() {
        let read = |mut bytes: &[u8]| head(&mut bytes).unwrap();
        let expected = Head {
            id: id::EBML,
            length: Some(0x23),
        };
        assert_eq!(read(&[0x1a, 0x45, 0xdf, 0xa3, 0xa3]), Some(expected));
        let expected = Head {
            id: id::CLUSTER,
            length: None,
        };
        assert_eq!(read(&[0x1f, 0x43, 0xb6, 0x75, 0xff]), Some(expected));
        assert_eq!(read(&[0x1f, 0x43, 0xb6]), None);
        assert!(head(&mut &[0u8; 12][..]).is_err());
    }

    #[test]
    fn signed_numbers_of_laces() {
        assert_eq!(signed(&mut &[0x80u8][..]).unwrap(), -63);
        assert_eq!(signed(&mut &[0xbfu8][..]).unwrap(), 0);
        assert_eq!(signed(&mut &[0x40u8, 0x00][..]).unwrap(), -8191);
    }

    #[test]
    fn a_void_is_as_long_as_asked() {
        for bytes in [9, 20, 200] {
            let mut out = Vec::new();
            put_void(&mut out, bytes);
            assert_eq!(out.len(), bytes);
            let mut elements = children(&out);
            assert_eq!(elements.next().unwrap().unwrap().0, id::VOID);
            assert!(elements.next().is_none());
        }
    }

    proptest! {
        #[test]
        fn what_is_put_is_read(value: u64, contents in proptest::collection::vec(any::<u8>(), 0..300), float_value: f64) {
            let mut out = Vec::new();
            put_unsigned(&mut out, id::CUE_TIME, value);
            put(&mut out, id::CODEC_PRIVATE, &contents);
            put_float(&mut out, id::DURATION, float_value);
            let read: Vec<(u32, &[u8])> = children(&out).map(|element| element.unwrap()).collect();
            prop_assert_eq!(read[0].0, id::CUE_TIME);
            prop_assert_eq!(unsigned(read[0].1).unwrap(), value);
            prop_assert_eq!(read[1], (id::CODEC_PRIVATE, &contents[..]));
            prop_assert_eq!(float(read[2].1).unwrap().to_bits(), float_value.to_bits());
        }

        #[test]
        fn lengths_are_read_back(length in 0u64..1 << 56) {
            let mut out = vec![0xec];
            put_length(&mut out, length);
            prop_assert_eq!(head(&mut &out[..]).unwrap().unwrap().length, if length == (1 << 56) - 1 { None } else { Some(length) });
            let mut long = vec![0xec];
            long.extend(long_length(length));
            prop_assert_eq!(head(&mut &long[..]).unwrap().unwrap().length, if length == (1 << 56) - 1 { None } else { Some(length) });
        }

        #[test]
        fn garbage_never_panics(data in proptest::collection::vec(any::<u8>(), 0..100)) {
            for _ in children(&data).take(200) {}
            let _ = number(&mut &data[..]);
            let _ = signed(&mut &data[..]);
        }
    }
}
