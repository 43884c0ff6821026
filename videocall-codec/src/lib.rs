//! Native codecs, pictures and media containers of the headless streamer.
//!
//! | module | its one job |
//! | --- | --- |
//! | [`yuv`] | pictures in I420, conversion from what cameras give, scaling |
//! | [`vp9`] | encodes VP9 with temporal layers, decodes VP9 and VP8 |
//! | [`opus`] | encodes and decodes Opus |
//! | [`pcm`] | rates, channels and loudness of uncompressed sound |
//! | [`y4m`], [`ivf`], [`wav`], [`webm`] | read and write files and pipes |
//! | [`pattern`] | test pictures that carry a clock, and tones that mark each second |
//!
//! What it does not do: no threads of its own, no async, no clock, no network. Every call blocks
//! for as long as it computes; run it where that is allowed, such as `spawn_blocking`.
//!
//! # Errors and panics
//! Everything that reads bytes from outside gives an error for what it cannot read, never panics,
//! and never allocates more than its documented bound.

mod ffi;
mod input;
pub mod ivf;
pub mod opus;
pub mod pattern;
pub mod pcm;
pub mod vp9;
pub mod wav;
pub mod webm;
pub mod y4m;
pub mod yuv;

pub use input::{Container, ReadError};

/// A video codec that files and meetings carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VideoCodec {
    /// VP8 (RFC 6386).
    Vp8,
    /// VP9 profile 0: 8 bits, 4:2:0.
    Vp9,
}

/// Longest side of any picture that is read, scaled, encoded or decoded, in pixels.
pub const MAX_SIDE: u32 = 8192;
