//! Reading Y4M never panics, and gives pictures of the announced size.
#![no_main]

use libfuzzer_sys::fuzz_target;
use videocall_codec::{y4m, yuv::I420};

fuzz_target!(|bytes: &[u8]| {
    // Words that guessing would not find.
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (header, pictures) = bytes.split_at(end.unwrap_or(0));
    let file = [b"YUV4MPEG2 W6 H4 ", header, b"\nFRAME", pictures].concat();
    let Ok(mut reader) = y4m::Reader::new(&file[..]) else {
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
