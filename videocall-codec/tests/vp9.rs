//! Encoding and decoding VP9 with the real libvpx: quality, layers, keyframes, bitrate, damage.

use std::collections::HashSet;

use proptest::prelude::*;
use videocall_codec::{
    VideoCodec,
    pattern::{TestPicture, read_clock},
    vp9::{
        Content, DecodeError, Decoder, DecoderConfig, EncodeError, EncodedFrame, Encoder,
        EncoderConfig, is_keyframe, keyframe_size,
    },
    yuv::{I420, psnr},
};

/// 30 frames a second of the test picture.
struct Source {
    pattern: TestPicture,
    number: u64,
    picture: I420,
}

impl Source {
    fn new(width: u32, height: u32) -> Self {
        Self {
            pattern: TestPicture::new(width, height).expect("valid settings and pictures"),
            number: 0,
            picture: I420::black(width, height).expect("valid settings and pictures"),
        }
    }

    fn next(&mut self) -> &I420 {
        let time = 1_795_000_000_500 + self.number * 100 / 3;
        self.pattern.draw(time, self.number, &mut self.picture);
        self.number += 1;
        &self.picture
    }

    /// With the noise of a camera in the dark, so that there is always more to encode.
    fn next_noisy(&mut self) -> &I420 {
        self.next();
        let mut state = self.number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        for value in self.picture.planes_mut()[0].iter_mut() {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *value = value.saturating_add((state & 15) as u8);
        }
        &self.picture
    }
}

fn decoder() -> Decoder {
    Decoder::new(DecoderConfig::new(VideoCodec::Vp9)).expect("valid settings and pictures")
}

/// Encodes pictures without dropping any.
fn encode(config: EncoderConfig, count: usize) -> (Vec<I420>, Vec<EncodedFrame>) {
    let mut source = Source::new(config.width, config.height);
    let mut encoder = Encoder::new(EncoderConfig {
        drop_frames: false,
        ..config
    })
    .expect("valid settings and pictures");
    (0..count)
        .map(|index| {
            let picture = source.next().clone();
            let frame = encoder
                .encode(&picture, index as u64 * 33_333)
                .expect("valid settings and pictures");
            (picture, frame.expect("frames are not dropped"))
        })
        .unzip()
}

#[test]
fn pictures_come_back() {
    for (width, height) in [(320, 180), (640, 360), (322, 182), (65, 49)] {
        for content in [Content::Camera, Content::Screen] {
            let config = EncoderConfig {
                content,
                ..EncoderConfig::new(width, height, 30, 1_000_000)
            };
            let (pictures, frames) = encode(config, 20);
            let mut decoder = decoder();
            for (picture, frame) in pictures.iter().zip(&frames) {
                let shown = decoder.decode(&frame.data).unwrap().unwrap();
                let found = psnr(picture, &shown).unwrap();
                assert!(found > 28.0, "{found} dB at {width}×{height}, {content:?}");
            }
            let last = decoder.decode(&frames[0].data).unwrap().unwrap();
            assert_eq!((last.width(), last.height()), (width, height));
        }
    }
}

#[test]
fn the_clock_survives_a_low_bitrate() {
    let (_, frames) = encode(EncoderConfig::new(320, 180, 30, 80_000), 60);
    let mut decoder = decoder();
    for (index, frame) in frames.iter().enumerate() {
        let shown = decoder.decode(&frame.data).unwrap().unwrap();
        let time = 1_795_000_000_500 + index as u64 * 100 / 3;
        assert_eq!(read_clock(&shown), Some(time), "frame {index}");
    }
}

#[test]
fn every_set_of_layers_decodes_to_the_same_pictures() {
    for layers in 1..=3 {
        let config = EncoderConfig {
            temporal_layers: layers,
            ..EncoderConfig::new(320, 180, 30, 300_000)
        };
        let (_, frames) = encode(config, 40);
        assert_eq!(
            frames.iter().map(|frame| frame.temporal).max(),
            Some(layers - 1)
        );
        let mut whole = decoder();
        let full: Vec<I420> = frames
            .iter()
            .map(|frame| whole.decode(&frame.data).unwrap().unwrap())
            .collect();
        for highest in 0..layers {
            let mut decoder = decoder();
            let mut shown = 0;
            for (frame, expected) in frames.iter().zip(&full) {
                if frame.temporal <= highest {
                    let picture = decoder.decode(&frame.data).unwrap().unwrap();
                    assert!(picture == *expected, "frame {}", frame.frame_number);
                    shown += 1;
                }
            }
            assert_eq!(shown, frames.len() >> (layers - 1 - highest));
        }
    }
}

#[test]
fn a_frame_needs_no_more_than_it_says() {
    // Whatever is lost: frames whose named reference was decoded come out exactly.
    for layers in 1..=3 {
        let config = EncoderConfig {
            temporal_layers: layers,
            ..EncoderConfig::new(320, 180, 30, 300_000)
        };
        let (_, frames) = encode(config, 40);
        let mut whole = decoder();
        let full: Vec<I420> = frames
            .iter()
            .map(|frame| whole.decode(&frame.data).unwrap().unwrap())
            .collect();
        for lost in 1..20u64 {
            let mut decoder = decoder();
            let mut given = HashSet::new();
            for (frame, expected) in frames.iter().zip(&full) {
                let routing = frame.routing(videocall_types::wire::MediaKind::Video, 1, 0);
                let needs = routing.depends_on();
                if frame.frame_number == lost + 1 || needs.is_some_and(|n| !given.contains(&n)) {
                    continue;
                }
                given.insert(frame.frame_number);
                let picture = decoder.decode(&frame.data).unwrap().unwrap();
                assert!(
                    picture == *expected,
                    "L1T{layers}, frame {} after the loss of {}",
                    frame.frame_number,
                    lost + 1
                );
            }
            assert!(given.len() >= lost as usize);
        }
    }
}

#[test]
fn keyframes_come_when_asked_and_only_then() {
    for layers in 1..=3 {
        let mut source = Source::new(320, 180);
        let mut encoder = Encoder::new(EncoderConfig {
            temporal_layers: layers,
            drop_frames: false,
            ..EncoderConfig::new(320, 180, 30, 300_000)
        })
        .unwrap();
        for index in 0..200u64 {
            if index == 57 {
                encoder.force_keyframe();
            }
            let frame = encoder.encode(source.next(), index).unwrap().unwrap();
            let expected = index == 0 || index == 57;
            assert_eq!(frame.keyframe, expected, "frame {index}, L1T{layers}");
            assert_eq!(is_keyframe(VideoCodec::Vp9, &frame.data), expected);
            assert_eq!(frame.depends_back == 0, expected);
            assert_eq!(frame.frame_number, index + 1);
            assert_eq!(frame.capture_us, index);
            if expected {
                assert_eq!(
                    keyframe_size(VideoCodec::Vp9, &frame.data),
                    Some((320, 180))
                );
                // It can be decoded by somebody who comes now.
                assert!(decoder().decode(&frame.data).unwrap().is_some());
            }
        }
    }
}

#[test]
fn keyframes_come_at_an_interval() {
    let config = EncoderConfig {
        keyframe_interval: Some(10),
        ..EncoderConfig::new(160, 90, 30, 300_000)
    };
    let (_, frames) = encode(config, 31);
    let at: Vec<usize> = (0..31).filter(|index| frames[*index].keyframe).collect();
    assert_eq!(at, [0, 10, 20, 30]);
}

/// Bits a second of four seconds, the first second left out.
fn bitrate_after(encoder: &mut Encoder, source: &mut Source, fps: u64) -> f64 {
    let mut bytes = 0;
    for index in 0..5 * fps {
        let frame = encoder
            .encode(source.next_noisy(), index)
            .expect("pictures of the right size");
        if index >= fps {
            bytes += frame.map_or(0, |frame| frame.data.len());
        }
    }
    bytes as f64 * 8.0 / 4.0
}

#[test]
fn the_bitrate_is_kept_and_follows() {
    for layers in 1..=3 {
        let mut source = Source::new(640, 360);
        let mut encoder = Encoder::new(EncoderConfig {
            temporal_layers: layers,
            ..EncoderConfig::new(640, 360, 30, 500_000)
        })
        .unwrap();
        let mut check = |encoder: &mut Encoder, expected: f64, fps| {
            let found = bitrate_after(encoder, &mut source, fps) / expected;
            assert!(
                (0.5..1.25).contains(&found),
                "{found} of {expected} bit/s, L1T{layers}"
            );
        };
        check(&mut encoder, 500_000.0, 30);
        encoder.set_bitrate(200_000).unwrap();
        check(&mut encoder, 200_000.0, 30);
        encoder.set_bitrate(800_000).unwrap();
        encoder.set_fps(15).unwrap();
        check(&mut encoder, 800_000.0, 15);
    }
}

#[test]
fn dropped_frames_harm_nothing() {
    for layers in 1..=3 {
        let mut source = Source::new(640, 360);
        let mut encoder = Encoder::new(EncoderConfig {
            temporal_layers: layers,
            max_quantizer: 40,
            ..EncoderConfig::new(640, 360, 30, 60_000)
        })
        .unwrap();
        let mut decoder = decoder();
        let (mut dropped, mut number) = (0, 0);
        for index in 0..150 {
            let picture = source.next().clone();
            let Some(frame) = encoder.encode(&picture, index).unwrap() else {
                dropped += 1;
                continue;
            };
            number += 1;
            assert_eq!(frame.frame_number, number);
            let shown = decoder.decode(&frame.data).unwrap().unwrap();
            assert!(psnr(&picture, &shown).unwrap() > 25.0);
        }
        assert!(dropped > 10, "{dropped} dropped with L1T{layers}");
    }
}

#[test]
fn settings_and_pictures_out_of_range_are_errors() {
    let config = EncoderConfig::new(320, 180, 30, 300_000);
    for wrong in [
        EncoderConfig {
            width: 0,
            ..config.clone()
        },
        EncoderConfig {
            fps: 0,
            ..config.clone()
        },
        EncoderConfig {
            temporal_layers: 4,
            ..config.clone()
        },
        EncoderConfig {
            speed: 10,
            ..config.clone()
        },
        EncoderConfig {
            min_quantizer: 60,
            ..config.clone()
        },
        EncoderConfig {
            bitrate_bps: 0,
            ..config.clone()
        },
    ] {
        assert!(Encoder::new(wrong).is_err());
    }
    let mut encoder = Encoder::new(config).unwrap();
    assert!(encoder.set_fps(0).is_err());
    let other = I420::black(180, 320).unwrap();
    assert!(matches!(
        encoder.encode(&other, 0),
        Err(EncodeError::Size { .. })
    ));
    // And it still works.
    let right = I420::black(320, 180).unwrap();
    assert!(encoder.encode(&right, 0).unwrap().unwrap().keyframe);
}

#[test]
fn frames_above_the_limit_are_refused() {
    let (_, frames) = encode(EncoderConfig::new(640, 360, 30, 300_000), 1);
    let mut decoder = Decoder::new(DecoderConfig {
        max_width: 639,
        ..DecoderConfig::new(VideoCodec::Vp9)
    })
    .unwrap();
    let refused = decoder.decode(&frames[0].data);
    assert!(matches!(refused, Err(DecodeError::TooLarge { .. })));
    // A small frame with the header of a huge one behind it, which no index announces.
    let (_, small) = encode(EncoderConfig::new(64, 64, 30, 300_000), 1);
    let mut huge = frames[0].data.to_vec();
    // Width and height, 16 bits each, begin at bit 36 of a keyframe of profile 0.
    huge[4] |= 0x0f;
    huge[5..8].fill(0xff);
    assert!(keyframe_size(VideoCodec::Vp9, &huge).unwrap().0 > 60_000);
    let mut joined = small[0].data.to_vec();
    joined.extend_from_slice(&huge);
    assert!(decoder.decode(&huge).is_err());
    let _ = decoder.decode(&joined);
    assert!(decoder.decode(&small[0].data).unwrap().is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Damage gives errors or wrong pictures, and the decoder recovers with a keyframe.
    #[test]
    fn damaged_frames_do_no_harm(
        damage in proptest::collection::vec((0usize..6, any::<prop::sample::Index>(), any::<u8>()), 1..20),
        cut in any::<prop::sample::Index>(),
        threads in 1u8..4,
    ) {
        static FRAMES: std::sync::OnceLock<Vec<EncodedFrame>> = std::sync::OnceLock::new();
        let frames = FRAMES.get_or_init(|| {
            let config = EncoderConfig {
                temporal_layers: 2,
                ..EncoderConfig::new(320, 180, 30, 300_000)
            };
            encode(config, 6).1
        });
        let mut bytes: Vec<Vec<u8>> = frames.iter().map(|frame| frame.data.to_vec()).collect();
        for (frame, at, value) in damage {
            let at = at.index(bytes[frame].len());
            bytes[frame][at] = value;
        }
        let length = cut.index(bytes[3].len());
        bytes[3].truncate(length);
        let mut decoder = Decoder::new(DecoderConfig {
            threads,
            max_width: 640,
            max_height: 640,
            ..DecoderConfig::new(VideoCodec::Vp9)
        }).unwrap();
        for frame in &bytes {
            if let Ok(Some(picture)) = decoder.decode(frame) {
                prop_assert!(picture.width() <= 640 && picture.height() <= 640);
            }
        }
        let mut shown = None;
        // A damaged frame with an invisible part may cost the first one after it.
        for _ in 0..2 {
            if let Ok(picture) = decoder.decode(&frames[0].data) {
                shown = picture;
            }
        }
        prop_assert!(shown.is_some());
    }

    #[test]
    fn garbage_does_no_harm(data in proptest::collection::vec(any::<u8>(), 0..400), vp8 in any::<bool>()) {
        let codec = if vp8 { VideoCodec::Vp8 } else { VideoCodec::Vp9 };
        let mut decoder = Decoder::new(DecoderConfig { max_width: 640, max_height: 640, ..DecoderConfig::new(codec) }).unwrap();
        let _ = decoder.decode(&data);
    }
}
