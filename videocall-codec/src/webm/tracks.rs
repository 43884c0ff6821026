//! What a WebM file says of its tracks.

use super::ebml::{
    children, float, id, malformed, put, put_float, put_length, put_unsigned, unsigned,
};
use crate::{
    VideoCodec,
    input::ReadError,
    opus::{Channels, SAMPLE_RATE},
};

/// Most tracks that are read.
const MAX_TRACKS: usize = 64;

/// A track with pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoTrack {
    /// Its codec.
    pub codec: VideoCodec,
    /// Pixels; the frames may differ.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

/// A track with Opus at 48 kHz.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioTrack {
    /// Channels to decode to.
    pub channels: Channels,
    /// Samples per channel at 48 kHz at the beginning that are not to be heard.
    pub pre_skip: u16,
}

/// What a track holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrackKind {
    /// VP8 or VP9.
    Video(VideoTrack),
    /// Opus.
    Audio(AudioTrack),
    /// Something that this crate does not read: the codec's name.
    Other(String),
}

/// One track of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// What [`Frame::track`](super::Frame::track) refers to.
    pub number: u64,
    /// What it holds.
    pub kind: TrackKind,
    /// Time from frame to frame in nanoseconds, where the file says it.
    pub frame_ns: Option<u64>,
}

/// The contents of `Tracks`.
pub(super) fn parse_tracks(contents: &[u8]) -> Result<Vec<Track>, ReadError> {
    let mut tracks = Vec::new();
    for element in children(contents) {
        if let (id::TRACK_ENTRY, entry) = element? {
            if tracks.len() == MAX_TRACKS {
                return Err(malformed("it has too many tracks"));
            }
            tracks.push(parse_track(entry)?);
        }
    }
    Ok(tracks)
}

fn parse_track(contents: &[u8]) -> Result<Track, ReadError> {
    let (mut number, mut codec, mut frame_ns) = (0, String::new(), None);
    let (mut width, mut height, mut channels) = (0, 0, 1);
    let (mut delay_ns, mut private, mut encoded) = (0, &[][..], false);
    for element in children(contents) {
        let (id, contents) = element?;
        match id {
            id::TRACK_NUMBER => number = unsigned(contents)?,
            id::CODEC_ID => {
                let name = &contents[..contents.len().min(64)];
                codec = String::from_utf8_lossy(name)
                    .trim_end_matches('\0')
                    .to_owned();
            }
            id::CODEC_PRIVATE => private = contents,
            id::CODEC_DELAY => delay_ns = unsigned(contents)?,
            id::DEFAULT_DURATION => frame_ns = Some(unsigned(contents)?).filter(|ns| *ns > 0),
            id::CONTENT_ENCODINGS => encoded = true,
            id::VIDEO => {
                for element in children(contents) {
                    let (id, contents) = element?;
                    let side = |contents| {
                        Ok::<_, ReadError>(unsigned(contents)?.min(u32::MAX.into()) as u32)
                    };
                    match id {
                        id::PIXEL_WIDTH => width = side(contents)?,
                        id::PIXEL_HEIGHT => height = side(contents)?,
                        _ => {}
                    }
                }
            }
            id::AUDIO => {
                for element in children(contents) {
                    match element? {
                        (id::CHANNELS, contents) => channels = unsigned(contents)?,
                        (id::SAMPLING_FREQUENCY, contents) => {
                            float(contents)?;
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    if number == 0 {
        return Err(malformed("a track has no number"));
    }
    let video = |codec| {
        TrackKind::Video(VideoTrack {
            codec,
            width,
            height,
        })
    };
    let kind = match codec.as_str() {
        _ if encoded => TrackKind::Other(format!("{codec}, compressed or encrypted")),
        "V_VP8" => video(VideoCodec::Vp8),
        "V_VP9" => video(VideoCodec::Vp9),
        "A_OPUS" if channels <= 2 => TrackKind::Audio(AudioTrack {
            channels: if channels == 2 {
                Channels::Stereo
            } else {
                Channels::Mono
            },
            // Old files have it only in Opus's own header.
            pre_skip: match private {
                [
                    b'O',
                    b'p',
                    b'u',
                    b's',
                    b'H',
                    b'e',
                    b'a',
                    b'd',
                    _,
                    _,
                    low,
                    high,
                    ..,
                ] => u16::from_le_bytes([*low, *high]),
                _ => (delay_ns.min(1_000_000_000) * 48 / 1_000_000).min(u16::MAX.into()) as u16,
            },
        }),
        _ => TrackKind::Other(codec),
    };
    Ok(Track {
        number,
        kind,
        frame_ns,
    })
}

/// A `TrackEntry` with pictures.
pub(super) fn video_entry(number: u64, track: &VideoTrack) -> Vec<u8> {
    let mut sizes = Vec::new();
    put_unsigned(&mut sizes, id::PIXEL_WIDTH, track.width.into());
    put_unsigned(&mut sizes, id::PIXEL_HEIGHT, track.height.into());
    let codec = match track.codec {
        VideoCodec::Vp8 => "V_VP8",
        VideoCodec::Vp9 => "V_VP9",
    };
    entry(number, 1, codec, |entry| put(entry, id::VIDEO, &sizes))
}

/// A `TrackEntry` with Opus.
pub(super) fn audio_entry(number: u64, track: &AudioTrack) -> Vec<u8> {
    let mut head = b"OpusHead\x01".to_vec();
    head.push(track.channels.count() as u8);
    head.extend(track.pre_skip.to_le_bytes());
    head.extend(SAMPLE_RATE.to_le_bytes());
    head.extend([0, 0, 0]); // gain, and the mapping of one or two channels
    let mut audio = Vec::new();
    put_float(&mut audio, id::SAMPLING_FREQUENCY, SAMPLE_RATE.into());
    put_unsigned(&mut audio, id::CHANNELS, track.channels.count() as u64);
    entry(number, 2, "A_OPUS", |entry| {
        put(entry, id::CODEC_PRIVATE, &head);
        let delay = u64::from(track.pre_skip) * 1_000_000_000 / u64::from(SAMPLE_RATE);
        put_unsigned(entry, id::CODEC_DELAY, delay);
        // 80 ms, as the mapping asks.
        put_unsigned(entry, id::SEEK_PRE_ROLL, 80_000_000);
        put(entry, id::AUDIO, &audio);
    })
}

fn entry(number: u64, kind: u64, codec: &str, more: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut contents = Vec::new();
    put_unsigned(&mut contents, id::TRACK_NUMBER, number);
    put_unsigned(&mut contents, id::TRACK_UID, number);
    put_unsigned(&mut contents, id::TRACK_TYPE, kind);
    put_unsigned(&mut contents, id::FLAG_LACING, 0);
    put(&mut contents, id::CODEC_ID, codec.as_bytes());
    more(&mut contents);
    let mut out = vec![id::TRACK_ENTRY as u8];
    put_length(&mut out, contents.len() as u64);
    out.extend(contents);
    out
}
