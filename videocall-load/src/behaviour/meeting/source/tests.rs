//! What the sources make.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use videocall_types::wire::StreamDemand;

use super::camera::MAKE_UP;
use super::{
    super::{
        options::{LAYERS, MeetingOptions},
        speech::{Speech, Voice},
        stamp::TEMPORAL_LAYERS,
    },
    *,
};

fn run(camera: &mut Camera, seconds: u64) -> Vec<Frame> {
    let mut frames = Vec::new();
    for _ in 0..seconds * 30 {
        camera.poll(camera.next_due(), &mut frames);
    }
    frames
}

#[test]
fn a_camera_has_the_rate_and_the_bits_of_each_layer() {
    let mut camera = Camera::new(&MeetingOptions::default(), Instant::now(), 7);
    let frames = run(&mut camera, 60);
    for (layer, spatial) in LAYERS.iter().zip(0..) {
        let of_layer: Vec<_> = frames.iter().filter(|f| f.spatial == spatial).collect();
        assert_eq!(of_layer.len(), 60 * 30);
        let bits: usize = of_layer.iter().map(|frame| frame.content.bytes() * 8).sum();
        let rate = bits as f64 / 60.0 / f64::from(layer.bitrate);
        assert!((0.95..1.1).contains(&rate), "{rate}");
        assert_eq!(of_layer.iter().filter(|frame| frame.keyframe).count(), 6);
        let numbers: Vec<u64> = of_layer.iter().map(|frame| frame.number).collect();
        assert_eq!(numbers, (1..=1800).collect::<Vec<_>>());
    }
}

#[test]
fn no_frame_needs_one_of_a_higher_temporal_layer() {
    let mut camera = Camera::new(&MeetingOptions::default(), Instant::now(), 7);
    camera.request_keyframe(1);
    let frames = run(&mut camera, 15);
    let layer: Vec<_> = frames.iter().filter(|frame| frame.spatial == 1).collect();
    for frame in &layer {
        if frame.keyframe {
            assert_eq!(frame.depends_back, 0);
            continue;
        }
        let needed = layer[(frame.number - u64::from(frame.depends_back)) as usize - 1];
        assert!(needed.temporal < frame.temporal || needed.temporal == 0);
    }
    // What a receiver of the lower temporal layers sees has no gap in its own count.
    for max in 0..TEMPORAL_LAYERS {
        let seen = layer.iter().filter(|f| usize::from(f.temporal) <= max);
        let counts: Vec<u32> = seen.map(|frame| frame.counts[max]).collect();
        assert!(counts.windows(2).all(|pair| pair[1] == pair[0] + 1));
    }
}

#[test]
fn a_layer_that_nobody_wants_is_not_encoded_and_returns_with_a_keyframe() {
    let mut camera = Camera::new(&MeetingOptions::default(), Instant::now(), 7);
    let demand = |mask| StreamDemand {
        spatial_mask: mask,
        ..StreamDemand::default()
    };
    camera.demand(&demand(0b001));
    assert!(run(&mut camera, 1).iter().all(|frame| frame.spatial == 0));
    camera.demand(&demand(0b101));
    let frames = run(&mut camera, 1);
    let first = frames.iter().find(|frame| frame.spatial == 2).unwrap();
    assert!(first.keyframe && first.number == 1);
    assert!(frames.iter().all(|frame| frame.spatial != 1));
}

#[test]
fn a_late_camera_skips_pictures_and_counts_on() {
    let mut camera = Camera::new(&MeetingOptions::default(), Instant::now(), 7);
    run(&mut camera, 1);
    let late = camera.next_due() + Duration::from_secs(5);
    let mut frames = Vec::new();
    camera.poll(late, &mut frames);
    assert!(frames.len() <= 3 * (MAKE_UP as usize + 1));
    assert_eq!(frames[0].number, 31);
}

#[test]
fn a_microphone_makes_fifty_packets_a_second_and_few_in_silence() {
    let options = MeetingOptions::default();
    let count = |speech| {
        let voice = Voice::new(speech, 0, 4, 1);
        let mut microphone = Microphone::new(&options, voice, Instant::now(), 1);
        let mut frames = Vec::new();
        for _ in 0..60 * 50 {
            microphone.poll(microphone.next_due(), &mut frames);
        }
        frames
    };
    assert_eq!(count(Speech::Steady).len(), 60 * 50);
    let turns = count(Speech::Turns);
    let (talk, silence): (Vec<Frame>, Vec<Frame>) =
        turns.into_iter().partition(|frame| frame.level < 127);
    assert_eq!(talk.len(), 15 * 50);
    assert!((45 * 5 / 2..=45 * 5 / 2 + 20).contains(&silence.len()));
    let mut spurts: Vec<_> = talk.iter().filter_map(|frame| frame.since).collect();
    spurts.dedup();
    assert!((2..=4).contains(&spurts.len()));
}

fn run_source(source: &mut dyn Source, seconds: u64) -> Vec<Frame> {
    let end = source.next_due() + Duration::from_secs(seconds);
    let mut frames = Vec::new();
    while source.next_due() < end {
        source.poll(source.next_due(), &mut frames);
    }
    frames
}

#[test]
fn a_screen_is_still_between_bursts() {
    let options = MeetingOptions {
        keyframe_interval: Duration::from_secs(3600),
        ..MeetingOptions::default()
    };
    let mut screen = Screen::new(&options, Instant::now(), 3);
    let frames = run_source(&mut screen, 300);
    assert!(frames[0].keyframe && frames[0].content.bytes() > 80_000);
    assert_eq!(frames.iter().filter(|frame| frame.keyframe).count(), 1);
    let numbers: Vec<u64> = frames.iter().map(|frame| frame.number).collect();
    assert_eq!(numbers, (1..=frames.len() as u64).collect::<Vec<_>>());
    // Less than a tenth of what a camera of 30 pictures a second sends, though some of it large.
    assert!(frames.len() > 300 && frames.len() < 300 * 8);
    let large = frames.iter().filter(|f| f.content.bytes() > 30_000);
    assert!((30..120).contains(&large.count()));
    // A burst is no silence, and what is between bursts is.
    for pair in frames.windows(2) {
        let rest = pair[1].planned - pair[0].planned;
        assert!(rest <= Duration::from_secs(1));
        let resumed = pair[1].since == Some(pair[1].planned);
        assert_eq!(resumed, rest > Duration::from_millis(132), "{rest:?}");
    }
}

#[test]
fn a_still_screen_is_sent_at_once_to_those_who_wait() {
    let mut screen = Screen::new(&MeetingOptions::default(), Instant::now(), 3);
    let mut frames = run_source(&mut screen, 5);
    let last = frames.pop().unwrap();
    screen.request_keyframe(0);
    assert!(screen.next_due() <= last.planned + Duration::from_millis(366));
    let next = run_source(&mut screen, 1).swap_remove(0);
    assert!(next.keyframe && next.depends_back == 0);
}

/// An IVF file with a keyframe every ten pictures, 25 a second.
fn ivf_file(frames: u64) -> (tempfile::TempDir, Arc<Media>) {
    use videocall_codec::{VideoCodec, ivf, vp9};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clip.ivf");
    let mut header = ivf::Header::new(VideoCodec::Vp9, 64, 48);
    (header.timebase_num, header.timebase_den) = (1, 25);
    let mut writer = ivf::Writer::new(std::fs::File::create(&path).unwrap(), &header).unwrap();
    let mut encoder = vp9::Encoder::new(vp9::EncoderConfig::new(64, 48, 25, 100_000)).unwrap();
    let picture = videocall_codec::yuv::I420::black(64, 48).unwrap();
    for number in 0..frames {
        if number % 10 == 0 {
            encoder.force_keyframe();
        }
        let frame = encoder.encode(&picture, number * 40_000).unwrap();
        writer.write(number, &frame.unwrap().data).unwrap();
    }
    writer.finish().unwrap();
    let media = Media::load(&path).unwrap();
    (folder, Arc::new(media))
}

#[test]
fn a_file_is_played_at_its_own_pace_again_and_again() {
    let (_folder, media) = ivf_file(25);
    let (width, height, bitrate) = media.video().unwrap();
    assert_eq!((width, height), (64, 48));
    assert!(bitrate > 0 && !media.has_sound());
    let mut source = RecordedPictures::new(media.clone(), Instant::now()).unwrap();
    let start = source.next_due();
    let frames = run_source(&mut source, 2);
    assert!((49..=52).contains(&frames.len()), "{}", frames.len());
    for (frame, at) in frames[..25].iter().zip(0..) {
        assert_eq!(frame.planned - start, Duration::from_millis(40 * at));
        assert_eq!(frame.keyframe, at % 10 == 0);
        assert_eq!(frame.depends_back == 0, frame.keyframe);
    }
    assert!(frames[25].keyframe && frames[25].number == 26);
    assert_eq!(frames[25].content, frames[0].content);
}

#[test]
fn a_file_goes_on_at_a_keyframe_when_one_is_needed() {
    let (_folder, media) = ivf_file(25);
    let mut source = RecordedPictures::new(media, Instant::now()).unwrap();
    let mut frames = Vec::new();
    for _ in 0..3 {
        source.poll(source.next_due(), &mut frames);
    }
    source.request_keyframe(0);
    source.poll(source.next_due(), &mut frames);
    assert!(frames[3].keyframe && frames[3].number == 4);
    // A publisher that was late goes on with what can be decoded.
    source.poll(source.next_due() + Duration::from_secs(1), &mut frames);
    source.poll(source.next_due(), &mut frames);
    assert!(frames[4].keyframe);
}

#[test]
fn what_is_no_media_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str, bytes: &[u8], word: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let text = Media::load(&path).unwrap_err();
        assert!(text.contains(name) && text.contains(word), "{text}");
    };
    refused("clip.mp4", b"\0\0\0\x20ftypisom", "neither IVF nor WebM");
    refused("short.ivf", b"DKIF\0\0\x20\0", "cut off");
    refused("empty.webm", b"\x1a\x45\xdf\xa3", "empty.webm");
    let text = Media::load(&folder.path().join("nowhere")).unwrap_err();
    assert!(text.contains("nowhere"), "{text}");
}
