//! Audio playout: jitter estimation, time stretching, concealment and mixing; no I/O, no clock.
//!
//! A [`Voice`] takes decoded chunks of one remote stream as they arrive and gives samples as they
//! are played. In between it keeps as much sound as the network's jitter asks for, and moves
//! towards that amount by leaving out or repeating single periods of the sound, which keeps its
//! pitch. A [`Mixer`] adds voices up. All sound is mono, 48 kHz, `f32` in −1 to 1.
//!
//! On wasm this is also a bare module for an AudioWorklet, see [`worklet`]; [`layout`] is the
//! memory through which a worker feeds it.

pub mod layout;
mod mixer;
mod stretch;
mod voice;
#[cfg(target_arch = "wasm32")]
pub mod worklet;

pub use mixer::Mixer;
pub use voice::{Voice, VoiceStatus};

/// Samples per second of everything here.
pub const SAMPLE_RATE: u32 = 48_000;
