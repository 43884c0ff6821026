//! The shared memory between the worker that decodes and the AudioWorklet that plays.
//!
//! It is an array of 32-bit words: [`HEADER`] words, then [`SLOTS`] slots of [`SLOT`] words. Each
//! slot is one voice: [`CONTROL`] words, then a ring of [`CHUNKS`] chunks of [`CHUNK`] words. Every
//! word has one writer. The worker fills the chunk at its write count modulo `CHUNKS`, then raises
//! the count; the worklet takes chunks up to it and raises the read count.

/// Words before the first slot.
pub const HEADER: u32 = 16;
/// Header word: level of the own microphone, 0 to 1 in millionths. Written by the worker.
pub const OWN_LEVEL: u32 = 0;

/// Voices.
pub const SLOTS: u32 = 16;
/// Control words of a slot.
pub const CONTROL: u32 = 16;
/// Chunks in a ring.
pub const CHUNKS: u32 = 32;
/// Samples in a chunk at most: 20 ms.
pub const CHUNK_SAMPLES: u32 = 960;
/// Words before the samples of a chunk: number of samples, then the capture time in microseconds
/// as lower and upper half.
pub const CHUNK_HEAD: u32 = 4;
/// Words of a chunk.
pub const CHUNK: u32 = CHUNK_HEAD + CHUNK_SAMPLES;
/// Words of a slot.
pub const SLOT: u32 = CONTROL + CHUNKS * CHUNK;
/// Words in all.
pub const WORDS: u32 = HEADER + SLOTS * SLOT;

/// Counts the uses of a slot; a change makes the worklet begin anew. Written by the worker.
pub const GENERATION: u32 = 0;
/// Chunks written. By the worker.
pub const WRITTEN: u32 = 1;
/// Chunks read. By the worklet.
pub const READ: u32 = 2;
/// Capture time being played, lower half. By the worklet.
pub const HEARD_LOW: u32 = 3;
/// Upper half; −1 while nothing is played. By the worklet.
pub const HEARD_HIGH: u32 = 4;
/// Sound that waits, in milliseconds. By the worklet.
pub const BUFFERED_MS: u32 = 5;
/// Sound that should wait, in milliseconds. By the worklet.
pub const TARGET_MS: u32 = 6;
/// Samples that were made up because none came. By the worklet.
pub const CONCEALED: u32 = 7;
/// Level, 0 to 1 in millionths. By the worklet.
pub const LEVEL: u32 = 8;
