//! Cameras (V4L2) and microphones (ALSA) of a Linux machine: what there is, pictures and sound.
//!
//! - [`camera`]: opens a camera and gives its pictures as I420.
//! - [`offers`]: which cameras there are, their formats, sizes and rates, and which of them suits.
//! - [`microphone`]: which microphones there are, and their sound in one channel at 48 kHz.
//! - [`error`]: what can be wrong, in words that say what to do about it.
//!
//! Nothing here waits for longer than the caller says, starts a thread, or opens a device again:
//! a device that is unplugged is [`CaptureError::Gone`], and the caller's to look for.
#![forbid(unsafe_code)]

pub mod camera;
pub mod error;
pub mod microphone;
pub mod offers;

pub use self::{
    camera::{Camera, Wanted},
    error::CaptureError,
    microphone::Microphone,
    offers::PixelFormat,
};
