//! Test pictures and tones from which a receiver can tell when they were made.
//!
//! The picture carries a clock that survives coding at low bitrates and scaling, and flashes for
//! the first [`FLASH_MS`] of every second. The tone doubles its frequency at the same times. So
//! what is seen and heard at the far end gives delay, and how far sound and picture are apart.

mod clock;
mod digits;
mod picture;
mod tone;

pub use self::{
    clock::read_clock,
    picture::{TestPicture, is_flash},
    tone::{Tone, find_marks, measure_tone, sine},
};

/// How long picture and tone are different at the beginning of each second, in milliseconds.
pub const FLASH_MS: u64 = 100;
