//! The core of the meeting relay as state and decisions only: no I/O, no clock.
