//! Reads compressed control messages.
//!
//! Zstandard is RFC 8878. What a message claims is checked before memory is taken for it, and again
//! while it is written: neither a false size nor a large window makes a receiver take more than
//! [`MAX_PACKET_BYTES`] for either.

use prost::Message as _;
use ruzstd::decoding::FrameDecoder;

use crate::{
    limits::MAX_PACKET_BYTES,
    wire::{Compressed, Compression, Control},
};

/// Largest window, in bytes: section 3.1.1.1.2. None larger is of use for a packet.
const MAX_WINDOW_BYTES: u64 = (MAX_PACKET_BYTES as u64).next_power_of_two();

/// Why a compressed message cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DecompressError {
    /// Not a compression that this version knows.
    #[error("compression {0} is not known")]
    Unknown(i32),
    /// It says that it is larger than any packet may be.
    #[error("it claims {0} bytes, more than a packet may have")]
    TooLarge(u32),
    /// The frame is malformed, needs too large a window, or holds more than was said.
    #[error("the frame cannot be decompressed: {0}")]
    Frame(String),
    /// The frame holds less than was said.
    #[error("{0} bytes were announced and {1} came")]
    TooShort(u32, usize),
    /// What was compressed is no control message.
    #[error("the message is malformed: {0}")]
    Decode(#[from] prost::DecodeError),
}

/// The control message within.
///
/// # Errors
/// See [`DecompressError`].
pub fn decompress(compressed: &Compressed) -> Result<Control, DecompressError> {
    if compressed.compression() != Compression::Zstd {
        return Err(DecompressError::Unknown(compressed.compression));
    }
    let size = usize::try_from(compressed.size).unwrap_or(usize::MAX);
    if size > MAX_PACKET_BYTES {
        return Err(DecompressError::TooLarge(compressed.size));
    }
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(MAX_WINDOW_BYTES);
    // The decoder writes no more than there is room for.
    let mut message = Vec::with_capacity(size);
    decoder
        .decode_all_to_vec(&compressed.data, &mut message)
        .map_err(|error| DecompressError::Frame(error.to_string()))?;
    if message.len() != size {
        return Err(DecompressError::TooShort(compressed.size, message.len()));
    }
    Ok(Control::decode(message.as_slice())?)
}

#[cfg(test)]
mod tests {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;
    use crate::wire::{Ping, control::Message};

    fn ping() -> Control {
        let message = Some(Message::Ping(Ping { token: u64::MAX }));
        Control { message }
    }

    fn of(bytes: &[u8]) -> Compressed {
        Compressed {
            compression: Compression::Zstd.into(),
            size: bytes.len() as u32,
            data: compress_to_vec(bytes, CompressionLevel::Fastest).into(),
        }
    }

    #[test]
    fn gives_what_was_compressed() {
        let compressed = of(&ping().encode_to_vec());
        assert_eq!(decompress(&compressed).unwrap(), ping());
    }

    #[test]
    fn takes_no_more_than_announced() {
        let mut bomb = of(&vec![0; MAX_PACKET_BYTES]);
        assert!(bomb.data.len() < 10_000, "{}", bomb.data.len());
        bomb.size = 100;
        assert!(matches!(decompress(&bomb), Err(DecompressError::Frame(_))));
        bomb.size = u32::MAX;
        assert!(matches!(
            decompress(&bomb),
            Err(DecompressError::TooLarge(u32::MAX))
        ));
    }

    #[test]
    fn takes_no_larger_window_than_a_packet_may_need() {
        // Not a single segment, a window of 2 GiB, and one empty last block.
        let data = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00];
        let compressed = Compressed {
            compression: Compression::Zstd.into(),
            size: 4,
            data: data.to_vec().into(),
        };
        let error = decompress(&compressed).unwrap_err();
        assert!(
            error.to_string().to_lowercase().contains("window"),
            "{error}"
        );
    }

    #[test]
    fn announces_what_is_wrong() {
        let mut short = of(&ping().encode_to_vec());
        short.size += 1;
        assert!(matches!(
            decompress(&short),
            Err(DecompressError::TooShort(..))
        ));
        let mut unknown = of(&[]);
        unknown.compression = 7;
        assert!(matches!(
            decompress(&unknown),
            Err(DecompressError::Unknown(7))
        ));
        let garbage = Compressed {
            data: b"garbage".to_vec().into(),
            ..of(&[0; 9])
        };
        assert!(matches!(
            decompress(&garbage),
            Err(DecompressError::Frame(_))
        ));
        assert!(matches!(
            decompress(&of(&[0xff; 40])),
            Err(DecompressError::Decode(_))
        ));
    }
}
