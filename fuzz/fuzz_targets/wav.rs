//! Reading WAV never panics, and gives samples from −1 to 1 only.
#![no_main]

use libfuzzer_sys::fuzz_target;
use videocall_codec::wav;

fuzz_target!(|bytes: &[u8]| {
    // Beginnings that guessing would not find.
    let (head, sound) = bytes.split_at(bytes.len().min(40));
    let file = [b"RIFF\0\0\0\0WAVEfmt ", head, b"data\0\0\0\0", sound].concat();
    let Ok(mut reader) = wav::Reader::new(&file[..]) else {
        return;
    };
    let channels = usize::from(reader.header().channels);
    let mut samples = Vec::new();
    while let Ok(count) = reader.read(100, &mut samples) {
        assert_eq!(samples.len(), count * channels);
        assert!(samples.iter().all(|sample| (-1.0..=1.0).contains(sample)));
        samples.clear();
        if count == 0 {
            break;
        }
    }
});
