//! Reading WebM never panics, and cutting the file never changes the frames before the cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use videocall_codec::webm::{Frame, Reader};

fn read(bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    if let Ok(mut reader) = Reader::new(bytes) {
        while let Ok(Some(frame)) = reader.next_frame() {
            frames.push(frame);
        }
    }
    frames
}

fuzz_target!(|bytes: &[u8]| {
    let whole = read(bytes);
    let half = read(&bytes[..bytes.len() / 2]);
    assert_eq!(half[..], whole[..half.len()]);
});
