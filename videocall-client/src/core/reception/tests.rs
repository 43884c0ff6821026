use proptest::prelude::*;

use super::*;

const FRAME: Duration = Duration::from_millis(40);

fn publisher() -> SessionId {
    SessionId::new(7).unwrap()
}

fn picture(spatial: u8, number: u64, back: u8) -> Routing {
    Routing {
        kind: MediaKind::Video,
        stream_id: 1,
        spatial,
        temporal: 0,
        keyframe: back == 0,
        depends_back: back,
        frame_number: number,
        capture_us: number * 40_000,
        audio_level: 0,
        encrypted: false,
    }
}

fn sound(number: u64) -> Routing {
    Routing {
        kind: MediaKind::Audio,
        keyframe: false,
        ..picture(0, number, 0)
    }
}

/// Two temporal layers: even frames are of the base.
fn layered(number: u64) -> Routing {
    let temporal = (number % 2) as u8;
    let back = 2 - temporal;
    Routing {
        temporal,
        ..picture(0, number, if number == 2 { 0 } else { back })
    }
}

fn at(number: u64) -> Duration {
    FRAME * number as u32
}

/// What is told after these have come, each at its time, and a second has passed.
fn told(frames: impl IntoIterator<Item = Routing>) -> StreamReport {
    let mut reception = Reception::default();
    let mut last = Duration::ZERO;
    for routing in frames {
        last = last.max(at(routing.frame_number));
        reception.arrived(last, publisher(), &routing);
    }
    let report = reception.report(last + INTERVAL, None);
    assert!(report.streams.len() <= 1);
    report.streams.into_iter().next().unwrap_or_default()
}

#[test]
fn a_voice_loses_what_never_comes() {
    let report = told((1..30).filter(|n| ![5, 6, 20].contains(n)).map(sound));
    assert_eq!((report.received, report.lost), (26, 3));
}

#[test]
fn what_is_overtaken_or_comes_twice_is_not_lost() {
    let report = told([1, 3, 2, 2, 5, 4, 5].map(sound));
    assert_eq!((report.received, report.lost), (5, 0));
}

#[test]
fn a_voice_that_was_not_among_the_loudest_lost_nothing() {
    assert_eq!(told((1..10).chain(60..70).map(sound)).lost, 0);
}

#[test]
fn a_camera_loses_what_later_frames_need() {
    let one = |number| picture(0, number, u8::from(number != 1));
    let report = told((1..30).filter(|n| !(10..13).contains(n)).map(one));
    assert_eq!((report.received, report.lost), (26, 3));
}

#[test]
fn a_temporal_layer_that_is_left_out_is_not_lost() {
    let base = (2..60).filter(|n| n % 2 == 0);
    assert_eq!(told(base.clone().map(layered)).lost, 0);
    // And of the base itself only what is missing of it.
    assert_eq!(
        told(base.filter(|n| ![20, 22].contains(n)).map(layered)).lost,
        2
    );
}

#[test]
fn a_keyframe_does_not_hide_what_was_lost_before_it() {
    let frame = |number| picture(0, number, u8::from(number != 1 && number != 20));
    let report = told((1..30).filter(|n| !(15..20).contains(n)).map(frame));
    assert_eq!(report.lost, 5);
}

#[test]
fn a_switch_of_layers_is_no_loss() {
    let low = (1..=5).map(|n| picture(0, n, u8::from(n != 1)));
    let high = (30..=35).map(|n| picture(1, n, u8::from(n != 30)));
    // A delta overtakes the keyframe of its layer, and a late one of the old layer comes between.
    let turn = [picture(0, 6, 1), picture(1, 31, 1), picture(1, 30, 0)];
    let back = (50..=55).map(|n| picture(0, n, u8::from(n != 50)));
    let report = told(
        low.chain(turn)
            .chain([picture(0, 8, 1)])
            .chain(high)
            .chain(back),
    );
    assert_eq!(report.lost, 0);
    assert_eq!(report.spatial, 0);
}

#[test]
fn a_pause_is_no_loss_and_no_freeze() {
    let mut reception = Reception::default();
    let show = |reception: &mut Reception, routing: Routing| {
        let now = at(routing.frame_number);
        reception.arrived(now, publisher(), &routing);
        reception.shown(now, publisher(), &routing);
    };
    show(&mut reception, picture(0, 1, 0));
    show(&mut reception, picture(0, 2, 1));
    reception.paused(publisher(), MediaKind::Video);
    show(&mut reception, picture(0, 40, 0));
    reception.report(at(80), None);
    let figures = reception.figures(publisher(), MediaKind::Video).unwrap();
    assert_eq!((figures.lost, figures.freezes), (0, 0));
}

#[test]
fn each_report_tells_of_its_own_time() {
    let mut reception = Reception::default();
    for number in (1..=50).filter(|n| *n != 10) {
        reception.arrived(at(number), publisher(), &sound(number));
        if number == 25 {
            let report = reception.report(at(25), Some(Duration::from_millis(31)));
            assert_eq!((report.interval_ms, report.rtt_ms), (1000, 31));
            assert_eq!(
                (report.streams[0].received, report.streams[0].lost),
                (24, 1)
            );
        }
    }
    let report = reception.report(at(50), None);
    assert_eq!(
        (report.streams[0].received, report.streams[0].lost),
        (25, 0)
    );
    assert_eq!(report.streams[0].session_id, 7);
    assert!(reception.report(at(75), None).streams.is_empty());
}

#[test]
fn jitter_tends_to_the_difference_of_neighbours() {
    let mut reception = Reception::default();
    for number in 1..=200 {
        // Every second packet is 8 ms late.
        let late = Duration::from_millis(number % 2 * 8);
        reception.arrived(at(number) + late, publisher(), &sound(number));
    }
    let jitter = reception.report(at(201), None).streams[0].jitter_us;
    assert!((7_900..=8_000).contains(&jitter), "{jitter}");
}

#[test]
fn a_freeze_is_told_while_it_lasts_and_once() {
    let mut reception = Reception::default();
    for number in 1..=10 {
        let routing = picture(0, number, u8::from(number != 1));
        reception.arrived(at(number), publisher(), &routing);
        reception.shown(at(number), publisher(), &routing);
    }
    // The eleventh is lost; what comes needs it, until a keyframe.
    for number in 12..60 {
        reception.arrived(at(number), publisher(), &picture(0, number, 1));
        if number == 50 {
            let report = reception.report(at(50), None);
            assert_eq!(report.streams[0].impaired_ms, 38 * 40);
        }
    }
    let key = picture(0, 60, 0);
    reception.arrived(at(60), publisher(), &key);
    reception.shown(at(60), publisher(), &key);
    assert_eq!(
        reception.report(at(75), None).streams[0].impaired_ms,
        10 * 40
    );
    let figures = reception.figures(publisher(), MediaKind::Video).unwrap();
    assert_eq!((figures.freezes, figures.lost), (1, 1));
}

#[test]
fn a_publisher_that_makes_no_pictures_does_not_freeze() {
    let mut reception = Reception::default();
    let first = picture(0, 1, 0);
    reception.arrived(at(1), publisher(), &first);
    reception.shown(at(1), publisher(), &first);
    assert_eq!(reception.report(at(50), None).streams[0].impaired_ms, 0);
    let next = Routing {
        capture_us: 100 * 40_000,
        ..picture(0, 2, 1)
    };
    reception.arrived(at(101), publisher(), &next);
    reception.shown(at(102), publisher(), &next);
    assert_eq!(
        reception
            .figures(publisher(), MediaKind::Video)
            .unwrap()
            .freezes,
        0
    );
}

#[test]
fn sound_that_is_made_up_is_told() {
    let mut reception = Reception::default();
    reception.arrived(at(1), publisher(), &sound(1));
    reception.concealed(publisher(), MediaKind::Audio, FRAME);
    assert_eq!(reception.report(at(25), None).streams[0].impaired_ms, 40);
}

proptest! {
    #[test]
    fn whatever_comes_is_bounded(
        packets in prop::collection::vec((1..2000u64, 0..4u8, 0..64u8, 1..4u32, 0..50u64), 0..400)
    ) {
        let mut reception = Reception::default();
        let mut now = Duration::ZERO;
        for (number, spatial, back, stream_id, passes) in packets {
            now += Duration::from_millis(passes);
            let back = back.min(number.saturating_sub(1).min(63) as u8);
            let routing = Routing { stream_id, ..picture(spatial, number, back) };
            reception.arrived(now, publisher(), &routing);
            let stream = &reception.streams[&(publisher(), MediaKind::Video)];
            prop_assert!(stream.missing.len() <= MISSING);
            if passes == 0 {
                reception.shown(now, publisher(), &routing);
                let interval = now.saturating_sub(reception.reported);
                for told in reception.report(now, None).streams {
                    prop_assert!(Duration::from_millis(told.impaired_ms.into()) <= interval);
                }
            }
        }
    }
}
