//! WAV: uncompressed sound.
//!
//! Read are 8, 16, 24 and 32 bits and 32-bit floats, of up to eight channels, also from pipes that
//! promise no length. Samples are `f32` from −1 to 1, interleaved. Written are 16 bits.

use std::io::{Read, Seek, SeekFrom, Write};

use crate::input::{self, ReadError};

/// Most channels that are read.
pub const MAX_CHANNELS: u16 = 8;
/// Highest rate that is read, in Hz.
pub const MAX_RATE: u32 = 384_000;

const FORMAT: &str = "a WAV file";
/// A length that says "to the end".
const UNKNOWN: u32 = u32::MAX;

fn malformed(why: &'static str) -> ReadError {
    ReadError::Malformed {
        format: FORMAT,
        why,
    }
}

/// How a sample lies in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sample {
    U8,
    I16,
    I24,
    I32,
    F32,
}

impl Sample {
    const fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::I16 => 2,
            Self::I24 => 3,
            Self::I32 | Self::F32 => 4,
        }
    }

    /// `bytes` is as long as the sample.
    fn value(self, bytes: &[u8]) -> f32 {
        match (self, bytes) {
            (Self::U8, &[a]) => (f32::from(a) - 128.0) / 128.0,
            (Self::I16, &[a, b]) => f32::from(i16::from_le_bytes([a, b])) / 32_768.0,
            (Self::I24, &[a, b, c]) => i32::from_le_bytes([0, a, b, c]) as f32 / 2_147_483_648.0,
            (Self::I32, &[a, b, c, d]) => i32::from_le_bytes([a, b, c, d]) as f32 / 2_147_483_648.0,
            (Self::F32, &[a, b, c, d]) => {
                let value = f32::from_le_bytes([a, b, c, d]);
                if value.is_finite() {
                    value.clamp(-1.0, 1.0)
                } else {
                    0.0
                }
            }
            _ => 0.0,
        }
    }
}

/// What the file says of its sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Samples a second and channel, 1 to [`MAX_RATE`].
    pub rate: u32,
    /// 1 to [`MAX_CHANNELS`].
    pub channels: u16,
}

/// Reads a file or pipe from its beginning.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    header: Header,
    sample: Sample,
    /// Bytes of sound left.
    left: u64,
    /// Whether the file says how many there are.
    promised: bool,
    buffer: Vec<u8>,
}

impl<R: Read> Reader<R> {
    /// Reads up to the sound.
    pub fn new(mut source: R) -> Result<Self, ReadError> {
        let mut head = [0; 12];
        if !input::fill(&mut source, &mut head)? || &head[..4] != b"RIFF" || &head[8..] != b"WAVE" {
            return Err(malformed("it does not begin with RIFF and WAVE"));
        }
        let mut format = None;
        loop {
            let mut head = [0; 8];
            if !input::fill(&mut source, &mut head)? {
                return Err(malformed("it holds no sound"));
            }
            let [a, b, c, d, length @ ..] = head;
            let length = u32::from_le_bytes(length);
            // Chunks begin at even bytes.
            let padded = u64::from(length) + u64::from(length & 1);
            match &[a, b, c, d] {
                b"fmt " => {
                    let data = input::take(&mut source, padded.min(1024))?
                        .ok_or_else(|| malformed("its header is cut off"))?;
                    input::skip(&mut source, padded.saturating_sub(1024))?;
                    format = Some(format_of(&data)?);
                }
                b"data" => {
                    let (header, sample) =
                        format.ok_or_else(|| malformed("its sound comes before its format"))?;
                    // Writers to pipes cannot come back to fill the length in.
                    let promised = length != UNKNOWN && length != 0;
                    let left = if promised { length.into() } else { u64::MAX };
                    return Ok(Self {
                        source,
                        header,
                        sample,
                        left,
                        promised,
                        buffer: Vec::new(),
                    });
                }
                _ => {
                    if !input::skip(&mut source, padded)? {
                        return Err(malformed("it holds no sound"));
                    }
                }
            }
        }
    }

    /// What the header said.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// After the end: whether there should be more, by the file's own words.
    pub fn is_truncated(&self) -> bool {
        self.promised && self.left > 0
    }

    /// Reads up to `count` samples per channel behind what `out` holds, and gives how many came:
    /// fewer only at the end. Samples that are cut off are left out.
    pub fn read(&mut self, count: usize, out: &mut Vec<f32>) -> Result<usize, ReadError> {
        let each = self.sample.bytes() * usize::from(self.header.channels);
        let wanted = (count as u64).saturating_mul(each as u64).min(self.left);
        self.buffer.clear();
        let got = (&mut self.source)
            .take(wanted)
            .read_to_end(&mut self.buffer)?;
        self.left -= got as u64;
        let whole = got / each;
        let samples = self.buffer[..whole * each].chunks_exact(self.sample.bytes());
        out.extend(samples.map(|bytes| self.sample.value(bytes)));
        Ok(whole)
    }
}

/// The contents of a `fmt ` chunk.
fn format_of(data: &[u8]) -> Result<(Header, Sample), ReadError> {
    let u16_at = |at: usize| match data.get(at..at + 2) {
        Some(&[a, b]) => Ok(u16::from_le_bytes([a, b])),
        _ => Err(malformed("its format is cut off")),
    };
    const PCM: u16 = 1;
    const FLOAT: u16 = 3;
    const EXTENSIBLE: u16 = 0xfffe;
    let mut kind = u16_at(0)?;
    let channels = u16_at(2)?;
    let rate = u32::from(u16_at(4)?) | u32::from(u16_at(6)?) << 16;
    let bits = u16_at(14)?;
    if kind == EXTENSIBLE {
        // The first two bytes of the identifier are the kind.
        kind = u16_at(24)?;
    }
    let sample = match (kind, bits) {
        (PCM, 8) => Sample::U8,
        (PCM, 16) => Sample::I16,
        (PCM, 24) => Sample::I24,
        (PCM, 32) => Sample::I32,
        (FLOAT, 32) => Sample::F32,
        _ => {
            return Err(ReadError::Unsupported {
                format: "WAV",
                what: format!("format {kind} of {bits} bits"),
            });
        }
    };
    if !(1..=MAX_CHANNELS).contains(&channels) || !(1..=MAX_RATE).contains(&rate) {
        return Err(ReadError::Unsupported {
            format: "WAV",
            what: format!("{channels} channels at {rate} Hz"),
        });
    }
    Ok((Header { rate, channels }, sample))
}

/// Writes a file or pipe.
#[derive(Debug)]
pub struct Writer<W> {
    sink: W,
    bytes: u64,
    buffer: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Writes the header, with lengths unknown: the file is readable however it ends.
    pub fn new(mut sink: W, header: Header) -> std::io::Result<Self> {
        let frame = u32::from(header.channels) * 2;
        let mut bytes = Vec::with_capacity(44);
        bytes.extend(b"RIFF");
        bytes.extend(UNKNOWN.to_le_bytes());
        bytes.extend(b"WAVEfmt ");
        bytes.extend(16u32.to_le_bytes());
        bytes.extend(1u16.to_le_bytes());
        bytes.extend(header.channels.to_le_bytes());
        bytes.extend(header.rate.to_le_bytes());
        bytes.extend(header.rate.saturating_mul(frame).to_le_bytes());
        bytes.extend((frame as u16).to_le_bytes());
        bytes.extend(16u16.to_le_bytes());
        bytes.extend(b"data");
        bytes.extend(UNKNOWN.to_le_bytes());
        sink.write_all(&bytes)?;
        Ok(Self {
            sink,
            bytes: 0,
            buffer: Vec::new(),
        })
    }

    /// Writes samples, interleaved; what is above 1 or below −1 is clipped.
    pub fn write(&mut self, samples: &[f32]) -> std::io::Result<()> {
        self.buffer.clear();
        for sample in samples {
            let value = (sample * 32_768.0).round() as i16;
            self.buffer.extend(value.to_le_bytes());
        }
        self.sink.write_all(&self.buffer)?;
        self.bytes += self.buffer.len() as u64;
        Ok(())
    }

    /// Flushes, and gives back what was written to.
    pub fn finish(mut self) -> std::io::Result<W> {
        self.sink.flush()?;
        Ok(self.sink)
    }
}

impl<W: Write + Seek> Writer<W> {
    /// As [`finish`](Self::finish), with the lengths in the header as far as 32 bits hold them.
    pub fn finish_sized(mut self) -> std::io::Result<W> {
        if let Ok(length) = u32::try_from(self.bytes + 36) {
            self.sink.seek(SeekFrom::Start(4))?;
            self.sink.write_all(&length.to_le_bytes())?;
            self.sink.seek(SeekFrom::Start(40))?;
            self.sink.write_all(&(length - 36).to_le_bytes())?;
            self.sink.seek(SeekFrom::End(0))?;
        }
        self.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn read_all(data: &[u8]) -> Result<(Header, Vec<f32>), ReadError> {
        let mut reader = Reader::new(data)?;
        let mut out = Vec::new();
        while reader.read(7, &mut out)? > 0 {}
        Ok((*reader.header(), out))
    }

    fn file(channels: u16, samples: &[f32]) -> Vec<u8> {
        let header = Header {
            rate: 48_000,
            channels,
        };
        let mut writer = Writer::new(Cursor::new(Vec::new()), header).unwrap();
        writer.write(samples).unwrap();
        writer.finish_sized().unwrap().into_inner()
    }

    fn with_format(kind: u16, bits: u16, sound: &[u8]) -> Vec<u8> {
        let mut file = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0".to_vec();
        file.extend(kind.to_le_bytes());
        file.extend([1, 0, 0x80, 0xbb, 0, 0, 0, 0, 0, 0, 0, 0]);
        file.extend(bits.to_le_bytes());
        // A chunk of odd length that nobody knows.
        file.extend(b"LIST\x03\0\0\0abc\0data\xff\xff\xff\xff");
        file.extend(sound);
        file
    }

    #[test]
    fn every_format_is_read() {
        for (kind, bits, sound) in [
            (1, 8, &[192, 64][..]),
            (1, 16, &[0, 64, 0, 192]),
            (1, 24, &[0, 0, 64, 0, 0, 192]),
            (1, 32, &[0, 0, 0, 64, 0, 0, 0, 192]),
            (3, 32, &[0, 0, 0, 63, 0, 0, 0, 191]),
        ] {
            let (_, samples) = read_all(&with_format(kind, bits, sound)).unwrap();
            assert_eq!(samples, [0.5, -0.5], "{kind} {bits}");
        }
        assert!(read_all(&with_format(2, 4, &[])).is_err());
        let odd = with_format(3, 32, &f32::NAN.to_le_bytes());
        assert_eq!(read_all(&odd).unwrap().1, [0.0]);
    }

    #[test]
    fn cut_anywhere_gives_the_whole_samples_before() {
        let file = file(2, &[0.5, -0.5, 0.25, -0.25, 1.0, -1.0]);
        let (header, whole) = read_all(&file).unwrap();
        assert_eq!(
            header,
            Header {
                rate: 48_000,
                channels: 2
            }
        );
        assert_eq!(whole.len(), 6);
        for cut in 0..file.len() {
            match read_all(&file[..cut]) {
                Ok((_, samples)) => assert_eq!(samples[..], whole[..samples.len()]),
                Err(_) => assert!(cut < 44),
            }
        }
    }

    #[test]
    fn bytes_behind_the_sound_are_not_played() {
        let mut file = file(1, &[0.5]);
        file.extend(b"LIST\x04\0\0\0abcd");
        assert_eq!(read_all(&file).unwrap().1, [0.5]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(samples in proptest::collection::vec(-1.0f32..1.0, 0..50)) {
            let (_, read) = read_all(&file(1, &samples)).unwrap();
            prop_assert_eq!(read.len(), samples.len());
            for (read, written) in read.iter().zip(&samples) {
                prop_assert!((read - written).abs() < 1.0 / 32_000.0);
            }
        }

        #[test]
        fn garbage_never_panics(mut data in proptest::collection::vec(any::<u8>(), 0..200), known: bool) {
            if known && data.len() > 40 {
                data[..4].copy_from_slice(b"RIFF");
                data[8..24].copy_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x02\0");
            }
            let _ = read_all(&data);
        }
    }
}
