//! IVF: frames of VP8 or VP9 with a time each, as libvpx's tools write them.
//!
//! A header of 32 bytes, then for each frame 12 bytes and its data; all numbers little-endian. Up
//! to a frame that is cut off everything is read, and the cut frame is the end.

use std::io::{Read, Seek, SeekFrom, Write};

use bytes::Bytes;

use crate::{
    VideoCodec,
    input::{self, ReadError},
};

/// Largest frame that is read, in bytes.
pub const MAX_FRAME_BYTES: u32 = 16 << 20;

const FORMAT: &str = "an IVF file";
const HEADER_BYTES: usize = 32;

/// What the file says of its frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Codec of all frames.
    pub codec: VideoCodec,
    /// Pixels.
    pub width: u16,
    /// Pixels.
    pub height: u16,
    /// Times are counted in `timebase_num / timebase_den` seconds. Neither is 0.
    pub timebase_num: u32,
    /// See `timebase_num`.
    pub timebase_den: u32,
}

impl Header {
    /// A header with times in microseconds.
    pub fn new(codec: VideoCodec, width: u16, height: u16) -> Self {
        Self {
            codec,
            width,
            height,
            timebase_num: 1,
            timebase_den: 1_000_000,
        }
    }

    /// A frame's time in microseconds, at most `u64::MAX`.
    pub fn microseconds(&self, pts: u64) -> u64 {
        let time = u128::from(pts) * u128::from(self.timebase_num) * 1_000_000
            / u128::from(self.timebase_den.max(1));
        u64::try_from(time).unwrap_or(u64::MAX)
    }
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Time in units of the header's timebase.
    pub pts: u64,
    /// The encoded frame.
    pub data: Bytes,
}

/// Reads a file or pipe from its beginning.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    header: Header,
    truncated: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    pub fn new(mut source: R) -> Result<Self, ReadError> {
        let malformed = |why| ReadError::Malformed {
            format: FORMAT,
            why,
        };
        let mut bytes = [0; HEADER_BYTES];
        if !input::fill(&mut source, &mut bytes)? {
            return Err(malformed("its header is cut off"));
        }
        let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let u32_at = |at: usize| u32::from(u16_at(at)) | u32::from(u16_at(at + 2)) << 16;
        if &bytes[..4] != b"DKIF" {
            return Err(malformed("it does not begin with DKIF"));
        }
        let codec = match &bytes[8..12] {
            b"VP80" => VideoCodec::Vp8,
            b"VP90" => VideoCodec::Vp9,
            other => {
                return Err(ReadError::Unsupported {
                    format: "IVF",
                    what: String::from_utf8_lossy(other).into_owned(),
                });
            }
        };
        let header = Header {
            codec,
            width: u16_at(12),
            height: u16_at(14),
            timebase_den: u32_at(16),
            timebase_num: u32_at(20),
        };
        if header.timebase_den == 0 || header.timebase_num == 0 {
            return Err(malformed("its timebase is 0"));
        }
        let length = u64::from(u16_at(6));
        let rest = length
            .checked_sub(HEADER_BYTES as u64)
            .ok_or_else(|| malformed("its header is too short"))?;
        if !input::skip(&mut source, rest)? {
            return Err(malformed("its header is cut off"));
        }
        Ok(Self {
            source,
            header,
            truncated: false,
        })
    }

    /// What the header said.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// After the end: whether it came in the middle of a frame.
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// The next frame, `None` at the end. Of at most [`MAX_FRAME_BYTES`].
    pub fn next_frame(&mut self) -> Result<Option<Frame>, ReadError> {
        let mut head = [0; 12];
        if !input::fill(&mut self.source, &mut head[..1])? {
            return Ok(None);
        }
        if !input::fill(&mut self.source, &mut head[1..])? {
            self.truncated = true;
            return Ok(None);
        }
        let [a, b, c, d, time @ ..] = head;
        let length = u32::from_le_bytes([a, b, c, d]);
        if length > MAX_FRAME_BYTES {
            return Err(ReadError::TooLarge {
                part: "frame",
                bytes: length.into(),
            });
        }
        let data = input::take(&mut self.source, length.into())?;
        self.truncated = data.is_none();
        Ok(data.map(|data| Frame {
            pts: u64::from_le_bytes(time),
            data,
        }))
    }
}

/// Writes a file or pipe.
#[derive(Debug)]
pub struct Writer<W> {
    sink: W,
    frames: u32,
}

impl<W: Write> Writer<W> {
    /// Writes the header, with a number of frames of 0: unknown.
    pub fn new(mut sink: W, header: &Header) -> std::io::Result<Self> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend(b"DKIF\0\0");
        bytes.extend((HEADER_BYTES as u16).to_le_bytes());
        bytes.extend(match header.codec {
            VideoCodec::Vp8 => b"VP80",
            VideoCodec::Vp9 => b"VP90",
        });
        bytes.extend(header.width.to_le_bytes());
        bytes.extend(header.height.to_le_bytes());
        bytes.extend(header.timebase_den.to_le_bytes());
        bytes.extend(header.timebase_num.to_le_bytes());
        bytes.resize(HEADER_BYTES, 0);
        sink.write_all(&bytes)?;
        Ok(Self { sink, frames: 0 })
    }

    /// Writes one frame; `pts` in units of the header's timebase.
    pub fn write(&mut self, pts: u64, frame: &[u8]) -> std::io::Result<()> {
        let length = u32::try_from(frame.len()).map_err(std::io::Error::other)?;
        self.sink.write_all(&length.to_le_bytes())?;
        self.sink.write_all(&pts.to_le_bytes())?;
        self.sink.write_all(frame)?;
        self.frames = self.frames.saturating_add(1);
        Ok(())
    }

    /// Flushes, and gives back what was written to.
    pub fn finish(mut self) -> std::io::Result<W> {
        self.sink.flush()?;
        Ok(self.sink)
    }
}

impl<W: Write + Seek> Writer<W> {
    /// As [`finish`](Self::finish), with the number of frames in the header.
    pub fn finish_counted(mut self) -> std::io::Result<W> {
        self.sink.seek(SeekFrom::Start(24))?;
        self.sink.write_all(&self.frames.to_le_bytes())?;
        self.sink.seek(SeekFrom::End(0))?;
        self.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn read_all(data: &[u8]) -> Result<Vec<Frame>, ReadError> {
        let mut reader = Reader::new(data)?;
        let mut frames = Vec::new();
        while let Some(frame) = reader.next_frame()? {
            frames.push(frame);
        }
        Ok(frames)
    }

    fn file(frames: &[Vec<u8>]) -> Vec<u8> {
        let header = Header::new(VideoCodec::Vp9, 320, 180);
        let mut writer = Writer::new(Cursor::new(Vec::new()), &header).unwrap();
        for (index, frame) in frames.iter().enumerate() {
            writer.write(index as u64 * 33, frame).unwrap();
        }
        writer.finish_counted().unwrap().into_inner()
    }

    #[test]
    fn an_end_within_a_frame_is_told() {
        let file = file(&[vec![1; 10], vec![3; 7]]);
        let ends_well = HEADER_BYTES + 12 + 10;
        for cut in HEADER_BYTES..=file.len() {
            let mut reader = Reader::new(&file[..cut]).unwrap();
            while reader.next_frame().unwrap().is_some() {}
            let whole = [HEADER_BYTES, ends_well, file.len()].contains(&cut);
            assert_eq!(reader.is_truncated(), !whole, "{cut}");
        }
    }

    #[test]
    fn cut_anywhere_gives_the_whole_frames_before() {
        let file = file(&[vec![1; 10], vec![], vec![3; 7]]);
        let whole = read_all(&file).unwrap();
        assert_eq!(whole.len(), 3);
        assert_eq!(whole[2].pts, 66);
        for cut in 0..file.len() {
            match read_all(&file[..cut]) {
                Ok(frames) => assert_eq!(frames[..], whole[..frames.len()]),
                Err(_) => assert!(cut < HEADER_BYTES),
            }
        }
    }

    #[test]
    fn a_promise_of_much_is_refused() {
        let mut file = file(&[vec![1; 10]]);
        file[32..36].fill(0xff);
        assert!(matches!(read_all(&file), Err(ReadError::TooLarge { .. })));
    }

    #[test]
    fn times_do_not_overflow() {
        let mut header = Header::new(VideoCodec::Vp8, 1, 1);
        assert_eq!(header.microseconds(5), 5);
        (header.timebase_num, header.timebase_den) = (u32::MAX, 1);
        assert_eq!(header.microseconds(u64::MAX), u64::MAX);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(frames in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 0..50), 0..10)) {
            let read = read_all(&file(&frames)).unwrap();
            prop_assert_eq!(read.iter().map(|frame| frame.data.to_vec()).collect::<Vec<_>>(), frames);
        }

        #[test]
        fn garbage_never_panics(mut data in proptest::collection::vec(any::<u8>(), 0..200), known: bool) {
            if known && data.len() > 12 {
                data[..8].copy_from_slice(b"DKIF\0\0\x20\0");
                data[8..12].copy_from_slice(b"VP90");
            }
            let _ = read_all(&data);
        }
    }
}
