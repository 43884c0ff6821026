//! Reading Y4M never panics, and gives pictures of the announced size.
#![no_main]

use libfuzzer_sys::fuzz_target;
use videocall_codec::{y4m, yuv::I420};

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut reader) = y4m::Reader::new(bytes) else {
        return;
    };
    let header = *reader.header();
    if header.width * header.height > 1 << 20 {
        return; // only slow
    }
    let mut picture = I420::black(2, 2).unwrap();
    while let Ok(true) = reader.next_picture(&mut picture) {
        assert_eq!(
            (picture.width(), picture.height()),
            (header.width, header.height)
        );
    }
});
