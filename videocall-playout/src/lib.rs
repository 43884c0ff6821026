//! Audio playout: jitter estimation, time stretching, concealment and mixing; no I/O, no clock.
