//! Reading bytes of unknown worth from anything that reads, without trusting lengths.

use std::io::{self, ErrorKind, Read};

use bytes::Bytes;

/// Why a file or pipe cannot be read further.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The source itself failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Not the format, or damaged.
    #[error("not {format}: {why}")]
    Malformed {
        /// The format expected, with its article.
        format: &'static str,
        /// What is wrong.
        why: &'static str,
    },
    /// A form of the format that this crate does not read.
    #[error("{format} with {what} is not supported")]
    Unsupported {
        /// The format.
        format: &'static str,
        /// What it has.
        what: String,
    },
    /// A part is longer than anything that makes sense.
    #[error("a {part} of {bytes} bytes is too large")]
    TooLarge {
        /// Which part.
        part: &'static str,
        /// Its length.
        bytes: u64,
    },
}

/// A kind of file or stream that this crate reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Container {
    /// Uncompressed pictures: [`y4m`](crate::y4m).
    Y4m,
    /// Encoded pictures: [`ivf`](crate::ivf).
    Ivf,
    /// Encoded pictures and sound: [`webm`](crate::webm).
    Webm,
    /// Uncompressed sound: [`wav`](crate::wav).
    Wav,
}

impl Container {
    /// Bytes by which any of them is recognised.
    pub const HEAD_BYTES: usize = 12;

    /// What begins with these bytes, of which there should be [`HEAD_BYTES`](Self::HEAD_BYTES).
    pub fn recognise(head: &[u8]) -> Option<Self> {
        match head {
            [b'Y', b'U', b'V', b'4', b'M', b'P', b'E', b'G', ..] => Some(Self::Y4m),
            [b'D', b'K', b'I', b'F', ..] => Some(Self::Ivf),
            [0x1a, 0x45, 0xdf, 0xa3, ..] => Some(Self::Webm),
            [
                b'R',
                b'I',
                b'F',
                b'F',
                _,
                _,
                _,
                _,
                b'W',
                b'A',
                b'V',
                b'E',
                ..,
            ] => Some(Self::Wav),
            _ => None,
        }
    }
}

/// Fills the buffer; `false` if the source ended before.
pub(crate) fn fill(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match source.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Reads exactly that many bytes; `None` if the source ended before. Memory grows with what comes,
/// not with what was promised.
pub(crate) fn take(source: &mut impl Read, length: u64) -> io::Result<Option<Bytes>> {
    let mut data = Vec::with_capacity(length.min(64 * 1024) as usize);
    source.take(length).read_to_end(&mut data)?;
    Ok((data.len() as u64 == length).then(|| data.into()))
}

/// Reads past that many bytes; `false` if the source ended before.
pub(crate) fn skip(source: &mut impl Read, length: u64) -> io::Result<bool> {
    Ok(io::copy(&mut source.take(length), &mut io::sink())? == length)
}
