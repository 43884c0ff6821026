//! Whatever a client sends, and however it is cut, frames are read or refused, messages keep their
//! bound, and both ways of cutting give the same.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The file alone, without the server around it.
#[path = "../../actix-api/src/websocket/frames.rs"]
mod frames;

use frames::{Event, FrameError, Frames};

const MAX: usize = 4096;

fn read(bytes: &[u8], step: usize) -> (Vec<Event>, Option<FrameError>) {
    let mut frames = Frames::new(MAX);
    let mut events = Vec::new();
    for mut part in bytes.chunks(step) {
        loop {
            match frames.next(&mut part) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Some(error)),
            }
        }
        assert!(part.is_empty(), "bytes were left");
    }
    (events, None)
}

fuzz_target!(|input: (u8, &[u8])| {
    let (step, bytes) = input;
    let whole = read(bytes, bytes.len().max(1));
    assert_eq!(whole, read(bytes, usize::from(step).max(1)));
    for event in &whole.0 {
        match event {
            Event::Message(message) => assert!(message.len() <= MAX),
            Event::Ping(payload) => assert!(payload.len() <= 125),
            Event::Nothing | Event::Close => {}
        }
    }
});
