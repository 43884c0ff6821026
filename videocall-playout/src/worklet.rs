//! The module that an AudioWorklet loads: plain functions on one mixer, without generated glue,
//! which an AudioWorklet's scope could not run.
#![allow(unsafe_code, reason = "exporting a symbol is an unsafe attribute")]

use std::cell::RefCell;

use crate::{Mixer, layout::CHUNK_SAMPLES};

/// Samples of a quantum at most.
const QUANTUM: usize = 4096;

struct State {
    mixer: Mixer,
    input: Vec<f32>,
    output: Vec<f32>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::new(State {
        mixer: Mixer::default(),
        input: vec![0.0; CHUNK_SAMPLES as usize],
        output: vec![0.0; QUANTUM],
    });
}

/// Where to put the samples of a chunk before `push`.
#[unsafe(no_mangle)]
pub extern "C" fn input() -> *const f32 {
    STATE.with_borrow(|state| state.input.as_ptr())
}

/// Takes `samples` samples from the input for a voice.
#[unsafe(no_mangle)]
pub extern "C" fn push(slot: u32, samples: u32, capture_us: f64, now_us: f64) {
    STATE.with_borrow_mut(|State { mixer, input, .. }| {
        let samples = (samples as usize).min(input.len());
        mixer.push(slot as usize, capture_us, now_us, &input[..samples]);
    });
}

/// Makes a voice as new.
#[unsafe(no_mangle)]
pub extern "C" fn reset(slot: u32) {
    STATE.with_borrow_mut(|state| state.mixer.reset(slot as usize));
}

/// Plays the next `samples` samples; returns where they are.
#[unsafe(no_mangle)]
pub extern "C" fn process(samples: u32) -> *const f32 {
    STATE.with_borrow_mut(|State { mixer, output, .. }| {
        let samples = (samples as usize).min(output.len());
        mixer.process(&mut output[..samples]);
        output.as_ptr()
    })
}

/// Capture time that a voice plays, in microseconds; negative while it plays nothing.
#[unsafe(no_mangle)]
pub extern "C" fn heard_us(slot: u32) -> f64 {
    STATE.with_borrow(|state| state.mixer.status(slot as usize).heard_us.unwrap_or(-1.0))
}

/// Sound that waits, in milliseconds.
#[unsafe(no_mangle)]
pub extern "C" fn buffered_ms(slot: u32) -> f32 {
    STATE.with_borrow(|state| state.mixer.status(slot as usize).buffered_ms)
}

/// Sound that should wait, in milliseconds.
#[unsafe(no_mangle)]
pub extern "C" fn target_ms(slot: u32) -> f32 {
    STATE.with_borrow(|state| state.mixer.status(slot as usize).target_ms)
}

/// Samples that were made up.
#[unsafe(no_mangle)]
pub extern "C" fn concealed(slot: u32) -> f64 {
    STATE.with_borrow(|state| state.mixer.status(slot as usize).concealed as f64)
}

/// Loudness, 0 to 1.
#[unsafe(no_mangle)]
pub extern "C" fn level(slot: u32) -> f32 {
    STATE.with_borrow(|state| state.mixer.status(slot as usize).level)
}
