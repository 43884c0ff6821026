//! WebM: VP8 or VP9 with Opus, read and written without seeking.
//!
//! Sources: RFC 8794 (EBML), RFC 9559 (Matroska), the WebM container guidelines, and the mapping
//! of Opus to Matroska.

mod ebml;
mod reader;
mod tracks;
mod writer;

pub use self::{
    reader::{Frame, MAX_FRAME_BYTES, Reader},
    tracks::{AudioTrack, Track, TrackKind, VideoTrack},
    writer::{WriteError, Writer, WriterConfig},
};
