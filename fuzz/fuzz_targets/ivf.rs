//! Reading IVF never panics, and what was read is read again after writing it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use videocall_codec::{ivf, vp9};

fn read(bytes: &[u8]) -> Option<(ivf::Header, Vec<ivf::Frame>)> {
    let mut reader = ivf::Reader::new(bytes).ok()?;
    let mut frames = Vec::new();
    while let Ok(Some(frame)) = reader.next_frame() {
        frames.push(frame);
    }
    Some((*reader.header(), frames))
}

fuzz_target!(|bytes: &[u8]| {
    let _ = read(bytes);
    // Behind a beginning that guessing would not find.
    let bytes = [b"DKIF\0\0\x20\0VP90", bytes].concat();
    let Some((header, frames)) = read(&bytes) else {
        return;
    };
    let mut writer = ivf::Writer::new(Vec::new(), &header).unwrap();
    for frame in &frames {
        let _ = header.microseconds(frame.pts);
        let _ = vp9::keyframe_size(header.codec, &frame.data);
        writer.write(frame.pts, &frame.data).unwrap();
    }
    assert_eq!(read(&writer.finish().unwrap()), Some((header, frames)));
});
