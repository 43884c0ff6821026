//! Reading WebM never panics, and cutting the file never changes the frames before the cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use videocall_codec::{
    VideoCodec, opus,
    webm::{AudioTrack, Frame, Reader, VideoTrack, Writer, WriterConfig},
};

/// A beginning that guessing would not find: one track each.
fn beginning() -> Vec<u8> {
    let config = WriterConfig {
        video: Some(VideoTrack {
            codec: VideoCodec::Vp9,
            width: 2,
            height: 2,
        }),
        audio: Some(AudioTrack {
            channels: opus::Channels::Mono,
            pre_skip: 312,
        }),
        application: String::new(),
    };
    let writer = Writer::streaming(Vec::new(), config).unwrap();
    writer.finish().unwrap()
}

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

    let start = beginning();
    let whole = read(&[&start[..], bytes].concat());
    let half = read(&[&start[..], &bytes[..bytes.len() / 2]].concat());
    assert_eq!(half[..], whole[..half.len()]);
});
