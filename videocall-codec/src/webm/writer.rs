//! Writes WebM so that it is readable whenever it ends.
//!
//! Every frame goes out in one write as it comes. Until they are finished, segment and clusters
//! have no length, as in a live stream: a file that is cut off anywhere plays up to its last whole
//! frame. Where the output can seek, each finished cluster gets its length, and the finished file
//! also a duration, an index for seeking (`Cues`), and a table of contents.

use std::io::{self, Seek, SeekFrom, Write};

use super::{
    ebml::{
        UNKNOWN_LENGTH, id, long_length, put, put_float, put_id, put_length, put_unsigned, put_void,
    },
    tracks::{AudioTrack, VideoTrack, audio_entry, video_entry},
};
use crate::opus;

/// A cluster ends when it is that long, in milliseconds.
const CLUSTER_MS: u64 = 5_000;
/// A cluster ends when it is that large.
const CLUSTER_BYTES: u64 = 8 << 20;
/// Furthest a frame may lie before the beginning of its cluster, in milliseconds.
const MAX_BACK_MS: u64 = 30_000;
/// Entries of the index at most; where there would be more, every second one goes.
const MAX_CUES: usize = 20_000;
/// Room for the table of contents.
const SEEK_HEAD_BYTES: usize = 96;

const VIDEO: u64 = 1;
const AUDIO: u64 = 2;

/// What is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriterConfig {
    /// The track of [`Writer::write_video`].
    pub video: Option<VideoTrack>,
    /// The track of [`Writer::write_audio`].
    pub audio: Option<AudioTrack>,
    /// Name and version of the program that writes.
    pub application: String,
}

/// Why a frame was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The output failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The file has no such track.
    #[error("the file has no {0} track")]
    NoTrack(&'static str),
    /// Far before the frames that were written already.
    #[error("a frame of {pts_us} µs comes after one of {last_us} µs")]
    TooLate {
        /// Its time.
        pts_us: u64,
        /// Time of the cluster being written.
        last_us: u64,
    },
}

/// The cluster that frames go into.
#[derive(Clone, Copy, Debug)]
struct Cluster {
    /// Where its length lies in the file.
    length_at: u64,
    timestamp_ms: u64,
}

#[derive(Clone, Copy, Debug)]
struct Cue {
    timestamp_ms: u64,
    /// From the start of the segment's contents.
    position: u64,
}

/// Overwrites bytes at a place and comes back to the end.
type Patch<W> = fn(&mut W, u64, &[u8]) -> io::Result<()>;

fn patch<W: Write + Seek>(output: &mut W, at: u64, bytes: &[u8]) -> io::Result<()> {
    output.seek(SeekFrom::Start(at))?;
    output.write_all(bytes)?;
    output.seek(SeekFrom::End(0))?;
    Ok(())
}

/// Writes one file or stream.
pub struct Writer<W> {
    output: W,
    patch: Option<Patch<W>>,
    config: WriterConfig,
    /// Bytes written.
    position: u64,
    segment_length_at: u64,
    /// Start of the segment's contents, where the room for the table of contents is.
    contents_at: u64,
    info_at: u64,
    duration_at: u64,
    tracks_at: u64,
    cluster: Option<Cluster>,
    cues: Vec<Cue>,
    /// One seekable cluster in so many gets a cue.
    cue_every: u64,
    seekable_clusters: u64,
    end_us: u64,
    last_video_us: Option<u64>,
    buffer: Vec<u8>,
}

impl<W> std::fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("config", &self.config)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl<W: Write + Seek> Writer<W> {
    /// Begins a file, at the start of an output that can seek. The output must not buffer, so that
    /// what was written survives the end of the process: give the file itself.
    pub fn seekable(output: W, config: WriterConfig) -> Result<Self, WriteError> {
        Self::begin(output, Some(patch), config)
    }
}

impl<W: Write> Writer<W> {
    /// Begins a stream, such as a pipe.
    pub fn streaming(output: W, config: WriterConfig) -> Result<Self, WriteError> {
        Self::begin(output, None, config)
    }

    fn begin(output: W, patch: Option<Patch<W>>, config: WriterConfig) -> Result<Self, WriteError> {
        if config.video.is_none() && config.audio.is_none() {
            return Err(WriteError::NoTrack("video or audio"));
        }
        let mut out = Vec::new();
        let mut header = Vec::new();
        put_unsigned(&mut header, id::EBML_VERSION, 1);
        put_unsigned(&mut header, id::EBML_READ_VERSION, 1);
        put_unsigned(&mut header, id::EBML_MAX_ID_LENGTH, 4);
        put_unsigned(&mut header, id::EBML_MAX_SIZE_LENGTH, 8);
        put(&mut header, id::DOC_TYPE, b"webm");
        put_unsigned(&mut header, id::DOC_TYPE_VERSION, 4);
        put_unsigned(&mut header, id::DOC_TYPE_READ_VERSION, 2);
        put(&mut out, id::EBML, &header);

        put_id(&mut out, id::SEGMENT);
        let segment_length_at = out.len() as u64;
        out.extend(UNKNOWN_LENGTH);
        let contents_at = out.len() as u64;
        put_void(&mut out, SEEK_HEAD_BYTES);

        let info_at = out.len() as u64;
        let mut info = Vec::new();
        put_unsigned(&mut info, id::TIMESTAMP_SCALE, 1_000_000);
        put(&mut info, id::MUXING_APP, b"videocall-codec");
        put(&mut info, id::WRITING_APP, config.application.as_bytes());
        // As long as the duration that may replace it.
        let duration_back = 11;
        put_void(&mut info, duration_back);
        put(&mut out, id::INFO, &info);
        let duration_at = (out.len() - duration_back) as u64;

        let tracks_at = out.len() as u64;
        let mut tracks = Vec::new();
        if let Some(video) = &config.video {
            tracks.extend(video_entry(VIDEO, video));
        }
        if let Some(audio) = &config.audio {
            tracks.extend(audio_entry(AUDIO, audio));
        }
        put(&mut out, id::TRACKS, &tracks);

        let mut writer = Self {
            output,
            patch,
            config,
            position: 0,
            segment_length_at,
            contents_at,
            info_at,
            duration_at,
            tracks_at,
            cluster: None,
            cues: Vec::new(),
            cue_every: 1,
            seekable_clusters: 0,
            end_us: 0,
            last_video_us: None,
            buffer: Vec::new(),
        };
        writer.put(&out)?;
        Ok(writer)
    }

    /// Writes a video frame. Times are microseconds from the beginning of the recording; frames of
    /// both tracks may come in any order within some seconds, and those of one track in their own.
    pub fn write_video(
        &mut self,
        pts_us: u64,
        keyframe: bool,
        frame: &[u8],
    ) -> Result<(), WriteError> {
        if self.config.video.is_none() {
            return Err(WriteError::NoTrack("video"));
        }
        self.write(VIDEO, pts_us, keyframe, frame)?;
        // The last frame lasts as long as the one before it.
        let lasts = self
            .last_video_us
            .map_or(0, |last| pts_us.saturating_sub(last).min(1_000_000));
        self.last_video_us = Some(pts_us);
        self.end_us = self.end_us.max(pts_us + lasts);
        Ok(())
    }

    /// Writes an Opus packet; times as in [`write_video`](Self::write_video).
    pub fn write_audio(&mut self, pts_us: u64, packet: &[u8]) -> Result<(), WriteError> {
        if self.config.audio.is_none() {
            return Err(WriteError::NoTrack("audio"));
        }
        self.write(AUDIO, pts_us, true, packet)?;
        let samples = opus::packet_samples(packet).unwrap_or(0) as u64;
        let lasts = samples * 1_000_000 / u64::from(opus::SAMPLE_RATE);
        self.end_us = self.end_us.max(pts_us + lasts);
        Ok(())
    }

    /// Finishes the file and gives back the output. Dropping the writer instead leaves a file as
    /// readable as one that was cut off.
    pub fn finish(mut self) -> Result<W, WriteError> {
        self.close_cluster()?;
        if let Some(patch) = self.patch {
            let cues_at = self.position;
            let cues = self.cues_element();
            self.put(&cues)?;

            let mut duration = Vec::new();
            put_float(&mut duration, id::DURATION, self.end_us as f64 / 1000.0);
            patch(&mut self.output, self.duration_at, &duration)?;

            let table = self.seek_head(cues_at);
            patch(&mut self.output, self.contents_at, &table)?;

            let length = long_length(self.position - self.contents_at);
            patch(&mut self.output, self.segment_length_at, &length)?;
        }
        self.output.flush()?;
        Ok(self.output)
    }

    fn write(
        &mut self,
        track: u64,
        pts_us: u64,
        keyframe: bool,
        frame: &[u8],
    ) -> Result<(), WriteError> {
        let time_ms = pts_us / 1000;
        // A player that seeks begins at a cluster: those with a cue begin with a keyframe.
        let begin = keyframe && track == VIDEO;
        let seekable = begin || self.config.video.is_none();
        let fits = self.cluster.is_some_and(|cluster| {
            !begin
                && time_ms < cluster.timestamp_ms + CLUSTER_MS
                && self.position - cluster.length_at < CLUSTER_BYTES
        });
        if let Some(cluster) = self.cluster
            && time_ms + MAX_BACK_MS < cluster.timestamp_ms
        {
            return Err(WriteError::TooLate {
                pts_us,
                last_us: cluster.timestamp_ms * 1000,
            });
        }
        let mut out = std::mem::take(&mut self.buffer);
        out.clear();
        let timestamp_ms = match self.cluster {
            Some(cluster) if fits => cluster.timestamp_ms,
            _ => self.begin_cluster(time_ms, seekable, &mut out)?,
        };
        let relative = (time_ms as i64 - timestamp_ms as i64) as i16;
        put_id(&mut out, id::SIMPLE_BLOCK);
        put_length(&mut out, 4 + frame.len() as u64);
        put_length(&mut out, track);
        out.extend(relative.to_be_bytes());
        out.push(if keyframe { 0x80 } else { 0 });
        out.extend(frame);
        let written = self.put(&out);
        self.buffer = out;
        Ok(written?)
    }

    /// Ends the cluster, and puts the head of the next into `out`. Gives its time.
    fn begin_cluster(
        &mut self,
        time_ms: u64,
        seekable: bool,
        out: &mut Vec<u8>,
    ) -> io::Result<u64> {
        // A cluster may not begin before the one before it.
        let timestamp_ms = self
            .cluster
            .map_or(time_ms, |cluster| time_ms.max(cluster.timestamp_ms));
        self.close_cluster()?;
        if self.patch.is_some() && seekable {
            self.add_cue(timestamp_ms);
        }
        put_id(out, id::CLUSTER);
        self.cluster = Some(Cluster {
            length_at: self.position + out.len() as u64,
            timestamp_ms,
        });
        out.extend(UNKNOWN_LENGTH);
        put_unsigned(out, id::TIMESTAMP, timestamp_ms);
        Ok(timestamp_ms)
    }

    /// Notes that a cluster for seeking begins here.
    fn add_cue(&mut self, timestamp_ms: u64) {
        let wanted = self.seekable_clusters.is_multiple_of(self.cue_every);
        self.seekable_clusters += 1;
        if !wanted {
            return;
        }
        if self.cues.len() >= MAX_CUES {
            let mut keep = false;
            self.cues.retain(|_| {
                keep = !keep;
                keep
            });
            self.cue_every *= 2;
        }
        self.cues.push(Cue {
            timestamp_ms,
            position: self.position - self.contents_at,
        });
    }

    fn close_cluster(&mut self) -> io::Result<()> {
        if let (Some(cluster), Some(patch)) = (self.cluster.take(), self.patch) {
            let length = self.position - cluster.length_at - 8;
            patch(&mut self.output, cluster.length_at, &long_length(length))?;
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.write_all(bytes)?;
        self.output.flush()?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    fn cues_element(&self) -> Vec<u8> {
        let track = if self.config.video.is_some() {
            VIDEO
        } else {
            AUDIO
        };
        let mut points = Vec::new();
        for cue in &self.cues {
            let mut place = Vec::new();
            put_unsigned(&mut place, id::CUE_TRACK, track);
            put_unsigned(&mut place, id::CUE_CLUSTER_POSITION, cue.position);
            let mut point = Vec::new();
            put_unsigned(&mut point, id::CUE_TIME, cue.timestamp_ms);
            put(&mut point, id::CUE_TRACK_POSITIONS, &place);
            put(&mut points, id::CUE_POINT, &point);
        }
        let mut out = Vec::new();
        put(&mut out, id::CUES, &points);
        out
    }

    /// The table of contents, as long as the room left for it.
    fn seek_head(&self, cues_at: u64) -> Vec<u8> {
        let mut seeks = Vec::new();
        let places = [
            (id::INFO, self.info_at),
            (id::TRACKS, self.tracks_at),
            (id::CUES, cues_at),
        ];
        for (id, at) in places {
            let mut seek = Vec::new();
            put(&mut seek, id::SEEK_ID, &id.to_be_bytes());
            put_unsigned(&mut seek, id::SEEK_POSITION, at - self.contents_at);
            put(&mut seeks, id::SEEK, &seek);
        }
        let mut out = Vec::new();
        put(&mut out, id::SEEK_HEAD, &seeks);
        let room = SEEK_HEAD_BYTES - out.len();
        put_void(&mut out, room);
        out
    }
}
