//! Reads WebM from a file or pipe.
//!
//! Segments and clusters of unknown length are read like those of known length: by their children,
//! until something of a higher level comes. So live streams, files of `MediaRecorder` and files
//! that were cut off are all the same to it.

use std::{collections::VecDeque, io::Read};

use bytes::Bytes;

use super::{
    ebml::{self, children, id, malformed, unsigned},
    tracks::{Track, TrackKind, parse_tracks},
};
use crate::{
    input::{self, ReadError},
    opus, vp9,
};

/// Largest frame, or block of frames, that is read, in bytes.
pub const MAX_FRAME_BYTES: u64 = 16 << 20;

/// Largest description of the file or its tracks.
const MAX_HEADER_BYTES: u64 = 1 << 20;

/// One frame of one track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// [`Track::number`].
    pub track: u64,
    /// Time from the beginning, in microseconds.
    pub pts_us: u64,
    /// Decodable without an earlier frame of its track; read from the frame itself.
    pub keyframe: bool,
    /// The encoded frame.
    pub data: Bytes,
}

/// Reads from the beginning on.
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    tracks: Vec<Track>,
    /// Nanoseconds of one tick.
    scale: u64,
    duration_us: Option<u64>,
    /// Ticks.
    cluster: u64,
    /// Further frames of a block; at most 256.
    waiting: VecDeque<Frame>,
    ended: bool,
    truncated: bool,
}

impl<R: Read> Reader<R> {
    /// Reads up to the description of the tracks, which must come before any frame. The source is
    /// read in small pieces: give a [`BufReader`](std::io::BufReader).
    pub fn new(mut source: R) -> Result<Self, ReadError> {
        let cut = || malformed("it ends before its tracks are described");
        match ebml::head(&mut source)? {
            Some(ebml::Head {
                id: id::EBML,
                length: Some(length),
            }) if length <= MAX_HEADER_BYTES => {
                let header = input::take(&mut source, length)?.ok_or_else(cut)?;
                check_type(&header)?;
            }
            _ => return Err(malformed("it does not begin with an EBML header")),
        }
        let mut reader = Self {
            source,
            tracks: Vec::new(),
            scale: 1_000_000,
            duration_us: None,
            cluster: 0,
            waiting: VecDeque::new(),
            ended: false,
            truncated: false,
        };
        while reader.tracks.is_empty() {
            let head = ebml::head(&mut reader.source)?.ok_or_else(cut)?;
            match head.id {
                id::CLUSTER => return Err(malformed("its frames come before its tracks")),
                _ => {
                    if !reader.element(head)? {
                        return Err(cut());
                    }
                }
            }
        }
        Ok(reader)
    }

    /// All tracks.
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// Duration in microseconds; live streams and files that were cut off do not say it.
    pub fn duration_us(&self) -> Option<u64> {
        self.duration_us
    }

    /// After the end: whether it came in the middle of something.
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// The next frame of any track, in the order of the file; `None` at the end. Frames of tracks
    /// that this crate does not read come too.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, ReadError> {
        loop {
            if let Some(frame) = self.waiting.pop_front() {
                return Ok(Some(frame));
            }
            if self.ended {
                return Ok(None);
            }
            // An end between two elements is an end; `head` cannot tell it from one within an id.
            let Some(head) = ebml::head(&mut self.source)? else {
                self.ended = true;
                continue;
            };
            match self.element(head) {
                Ok(true) => {}
                Ok(false) => (self.ended, self.truncated) = (true, true),
                Err(error) => {
                    self.ended = true;
                    return Err(error);
                }
            }
        }
    }

    /// Reads one element, or enters it; `false` if the source ended in it.
    fn element(&mut self, head: ebml::Head) -> Result<bool, ReadError> {
        match (head.id, head.length) {
            (id::SEGMENT | id::CLUSTER, _) => Ok(true),
            (_, None) => Err(malformed("an element has no length")),
            (id::EBML, _) => Err(ReadError::Unsupported {
                format: "WebM",
                what: "several files in one".to_owned(),
            }),
            (id::INFO | id::TRACKS, Some(length)) if length > MAX_HEADER_BYTES => {
                Err(ReadError::TooLarge {
                    part: "description",
                    bytes: length,
                })
            }
            (id::INFO, Some(length)) => self.with(length, Self::info),
            (id::TRACKS, Some(length)) => self.with(length, |reader, contents| {
                // Live streams may repeat it.
                if reader.tracks.is_empty() {
                    reader.tracks = parse_tracks(&contents)?;
                }
                Ok(())
            }),
            (id::TIMESTAMP, Some(length)) if length <= 8 => {
                self.with(length, |reader, contents| {
                    reader.cluster = unsigned(&contents)?;
                    Ok(())
                })
            }
            (id::SIMPLE_BLOCK | id::BLOCK_GROUP, Some(length)) if length > MAX_FRAME_BYTES => {
                Err(ReadError::TooLarge {
                    part: "block",
                    bytes: length,
                })
            }
            (id::SIMPLE_BLOCK, Some(length)) => {
                self.with(length, |reader, contents| reader.block(contents))
            }
            (id::BLOCK_GROUP, Some(length)) => self.with(length, |reader, contents| {
                for element in children(&contents) {
                    if let (id::BLOCK, block) = element? {
                        reader.block(contents.slice_ref(block))?;
                    }
                }
                Ok(())
            }),
            (_, Some(length)) => Ok(input::skip(&mut self.source, length)?),
        }
    }

    fn with(
        &mut self,
        length: u64,
        read: impl FnOnce(&mut Self, Bytes) -> Result<(), ReadError>,
    ) -> Result<bool, ReadError> {
        match input::take(&mut self.source, length)? {
            Some(contents) => read(self, contents).map(|()| true),
            None => Ok(false),
        }
    }

    fn info(&mut self, contents: Bytes) -> Result<(), ReadError> {
        let mut duration = None;
        for element in children(&contents) {
            match element? {
                (id::TIMESTAMP_SCALE, contents) => self.scale = unsigned(contents)?.max(1),
                (id::DURATION, contents) => duration = Some(ebml::float(contents)?),
                _ => {}
            }
        }
        self.duration_us = duration
            .filter(|ticks| *ticks > 0.0)
            .map(|ticks| (ticks * self.scale as f64 / 1000.0) as u64);
        Ok(())
    }

    /// Takes a block apart: track, time, flags, and one frame or several.
    fn block(&mut self, block: Bytes) -> Result<(), ReadError> {
        let mut rest = &block[..];
        let number = ebml::number(&mut rest)?;
        let (&[high, low, flags], mut rest) = rest
            .split_first_chunk::<3>()
            .ok_or_else(|| malformed("a block is cut off"))?;
        let relative = i16::from_be_bytes([high, low]);
        let ticks = self.cluster.saturating_add_signed(relative.into());
        let mut time_ns = ticks.saturating_mul(self.scale);
        let Some(track) = self.tracks.iter().find(|track| track.number == number) else {
            return Ok(()); // a track that was never described
        };
        let sizes = lace_sizes(flags >> 1 & 3, &mut rest)?;
        for size in sizes {
            let (frame, after) = rest
                .split_at_checked(size)
                .ok_or_else(|| malformed("a lace is longer than its block"))?;
            rest = after;
            self.waiting.push_back(Frame {
                track: number,
                pts_us: time_ns / 1_000,
                keyframe: match track.kind {
                    TrackKind::Video(video) => vp9::is_keyframe(video.codec, frame),
                    TrackKind::Audio(_) => true,
                    TrackKind::Other(_) => flags & 0x80 != 0,
                },
                data: block.slice_ref(frame),
            });
            time_ns = time_ns.saturating_add(frame_ns(track, frame));
        }
        Ok(())
    }
}

fn check_type(header: &[u8]) -> Result<(), ReadError> {
    for element in children(header) {
        if let (id::DOC_TYPE, name) = element?
            && !matches!(name, b"webm" | b"matroska")
        {
            return Err(malformed("its type is neither webm nor matroska"));
        }
    }
    Ok(())
}

/// How long a laced frame lasts.
fn frame_ns(track: &Track, frame: &[u8]) -> u64 {
    match (track.frame_ns, &track.kind) {
        (Some(ns), _) => ns,
        (None, TrackKind::Audio(_)) => {
            let samples = opus::packet_samples(frame).unwrap_or(0) as u64;
            samples * 1_000_000_000 / u64::from(opus::SAMPLE_RATE)
        }
        (None, _) => 0,
    }
}

/// Sizes of the frames of a block, of which `rest` then begins with the first.
fn lace_sizes(lacing: u8, rest: &mut &[u8]) -> Result<Vec<usize>, ReadError> {
    const NONE: u8 = 0;
    const XIPH: u8 = 1;
    const FIXED: u8 = 2;
    if lacing == NONE {
        return Ok(vec![rest.len()]);
    }
    let cut = || malformed("a lace is cut off");
    let (more, after) = rest.split_first().ok_or_else(cut)?;
    *rest = after;
    let count = usize::from(*more) + 1;
    if lacing == FIXED {
        if !rest.len().is_multiple_of(count) {
            return Err(malformed("laces of one size do not fill their block"));
        }
        return Ok(vec![rest.len() / count; count]);
    }
    let mut sizes: Vec<usize> = Vec::with_capacity(count);
    while sizes.len() + 1 < count {
        let size = if lacing == XIPH {
            let mut size = 0;
            loop {
                let (byte, after) = rest.split_first().ok_or_else(cut)?;
                *rest = after;
                size += usize::from(*byte);
                if *byte != 255 {
                    break size;
                }
            }
        } else if let Some(last) = sizes.last() {
            let difference = ebml::signed(rest)?;
            usize::try_from(*last as i64 + difference)
                .map_err(|_| malformed("a lace has a negative size"))?
        } else {
            usize::try_from(ebml::number(rest)?).map_err(|_| cut())?
        };
        if size > rest.len() {
            return Err(malformed("a lace is longer than its block"));
        }
        sizes.push(size);
    }
    let sum: usize = sizes.iter().sum();
    sizes.push(rest.len().checked_sub(sum).ok_or_else(cut)?);
    Ok(sizes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn laces_of_every_kind() {
        let sizes = |lacing, bytes: &[u8]| {
            let mut rest = bytes;
            lace_sizes(lacing, &mut rest).map(|sizes| (sizes, rest.len()))
        };
        assert_eq!(sizes(0, &[9; 5]).unwrap(), (vec![5], 5));
        assert_eq!(sizes(2, &[1, 9, 9, 9, 9]).unwrap(), (vec![2, 2], 4));
        assert!(sizes(2, &[1, 9, 9, 9]).is_err());
        let mut xiph = vec![2, 255, 1, 3];
        xiph.extend([9; 256 + 3 + 4]);
        assert_eq!(sizes(1, &xiph).unwrap(), (vec![256, 3, 4], 263));
        // 5, then 2 fewer, then the rest.
        let ebml = [2, 0x85, 0xbf - 2, 9, 9, 9, 9, 9, 9, 9, 9, 9];
        assert_eq!(sizes(3, &ebml).unwrap(), (vec![5, 3, 1], 9));
        assert!(sizes(3, &[2, 0x81, 0x80, 9]).is_err());
        assert!(sizes(1, &[]).is_err());
    }

    proptest! {
        #[test]
        fn garbage_laces_never_panic(lacing in 0u8..4, data in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut rest = &data[..];
            if let Ok(sizes) = lace_sizes(lacing, &mut rest) {
                prop_assert_eq!(sizes.iter().sum::<usize>(), rest.len());
            }
        }
    }
}
