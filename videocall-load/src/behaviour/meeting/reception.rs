//! Judges the delivery of what the other participants send.

use std::time::{Duration, Instant};

use videocall_types::{
    ids::MediaKind as Kind,
    view::Routing,
    wire::{KeyframeRequest, MediaKind, ReceiverReport, StreamReport},
};

use super::{
    playout::{Jitter, Playout},
    stamp::{Stamp, TEMPORAL_LAYERS},
    window::{Findings, Window},
};
use crate::{
    clock,
    measure::{MessageKind, Metric, Recorder},
};

/// A longer gap between frames that can be shown, or heard, is a freeze.
const FREEZE: Duration = Duration::from_millis(200);
/// A stream that is this long overdue at the end of a connection is frozen; a shorter time may be
/// the end of the run.
const FROZEN_AT_END: Duration = Duration::from_secs(1);
/// Streams that are followed at most.
const MAX_STREAMS: usize = 4096;

/// All streams that one participant receives.
#[derive(Debug)]
pub(super) struct Reception {
    streams: Vec<Stream>,
    /// The place in the counts of the stamp that has no gap for this receiver.
    count: usize,
    /// Whether every packet of sound must come.
    audio_counts: bool,
    /// Pictures that were asked for, by session and kind; none: all. Others that come, as the server
    /// gives them to one who has not said yet what it shows, come as long as it likes.
    shown: Option<Vec<(u64, MessageKind)>>,
    last_report: Option<Instant>,
}

#[derive(Debug)]
struct Stream {
    publisher: u64,
    session: u64,
    kind: MessageKind,
    /// The layer that is being received.
    spatial: u8,
    windows: [Window; 4],
    /// Of pictures of this project's clients; others do not say what a frame needs.
    playout: Option<Box<Playout>>,
    jitter: Jitter,
    /// When something could last be shown or heard.
    last: Instant,
    /// The server has said that it forwards nothing of this.
    paused: bool,
    received: u32,
    lost: u32,
    frozen: Duration,
}

/// A packet's arrival.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    /// Which session the packet is from; 0 if it does not say.
    pub(super) session: u64,
    /// When it came.
    pub(super) at: Instant,
    /// Its routing header, if it has one.
    pub(super) routing: Option<Routing>,
}

impl Reception {
    /// Of pictures, none is expected until [`only`](Self::only) says so,
    /// unless `everything` comes anyway.
    pub(super) fn new(max_temporal: Option<u32>, audio_counts: bool, everything: bool) -> Self {
        let highest = TEMPORAL_LAYERS - 1;
        Self {
            streams: Vec::new(),
            count: max_temporal.map_or(highest, |max| (max as usize).min(highest)),
            audio_counts,
            shown: (!everything).then(Vec::new),
            last_report: None,
        }
    }

    /// Takes note of a frame. Returns a request for a keyframe if one is needed.
    pub(super) fn note(
        &mut self,
        stamp: &Stamp,
        arrival: Arrival,
        recorder: &Recorder,
    ) -> Option<KeyframeRequest> {
        let corrected = clock::since(stamp.planned_us, arrival.at);
        let raw = clock::since(stamp.sent_us, arrival.at);
        recorder.latency(Metric::OneWay, corrected, raw);
        recorder.one_way(stamp.kind, stamp.spatial, corrected);
        let judged = stamp.kind != MessageKind::Audio || self.audio_counts;
        let asked_for = match &self.shown {
            Some(shown) => {
                let picture = (arrival.session, stamp.kind);
                stamp.kind == MessageKind::Audio || shown.contains(&picture)
            }
            None => true,
        };
        if !asked_for {
            return None;
        }
        let count = self.count;
        let stream = self.stream(stamp, arrival)?;
        stream.received += 1;
        let arrived_us = clock::micros(arrival.at);
        stream.jitter.note(stamp.planned_us, arrived_us);
        if judged {
            stream.judge(stamp, arrival, count, recorder);
        }
        stream.keyframe_request(arrival.at)
    }

    /// Requests for keyframes of streams of which nothing more comes that would tell.
    pub(super) fn keyframe_requests(&mut self, now: Instant) -> Vec<KeyframeRequest> {
        let streams = self.streams.iter_mut();
        streams
            .filter_map(|stream| stream.keyframe_request(now))
            .collect()
    }

    fn stream(&mut self, stamp: &Stamp, arrival: Arrival) -> Option<&mut Stream> {
        let known = self
            .streams
            .iter()
            .position(|stream| stream.publisher == stamp.publisher && stream.kind == stamp.kind);
        if let Some(place) = known {
            return self.streams.get_mut(place);
        }
        if self.streams.len() >= MAX_STREAMS {
            return None;
        }
        self.streams.push(Stream {
            publisher: stamp.publisher,
            session: arrival.session,
            kind: stamp.kind,
            spatial: stamp.spatial,
            windows: Default::default(),
            playout: arrival.routing.and_then(|routing| {
                let pictures = matches!(routing.kind, Kind::Video | Kind::Screen);
                pictures.then(Box::default)
            }),
            jitter: Jitter::default(),
            last: arrival.at,
            paused: false,
            received: 0,
            lost: 0,
            frozen: Duration::ZERO,
        });
        self.streams.last_mut()
    }

    /// A participant has left: nothing more is expected.
    pub(super) fn left(&mut self, session: u64, recorder: &Recorder) {
        self.forget(recorder, |stream| stream.session == session);
    }

    /// Pictures of these sessions and kinds are wanted, and others not any more.
    pub(super) fn only(&mut self, shown: Vec<(u64, MessageKind)>, recorder: &Recorder) {
        self.forget(recorder, |stream| {
            stream.kind != MessageKind::Audio && !shown.contains(&(stream.session, stream.kind))
        });
        self.shown = Some(shown);
    }

    fn forget(&mut self, recorder: &Recorder, gone: impl Fn(&Stream) -> bool) {
        self.streams.retain_mut(|stream| {
            let gone = gone(stream);
            if gone {
                stream.finish(recorder);
            }
            !gone
        });
    }

    /// The server forwards nothing of a stream, or again.
    pub(super) fn forwarded(
        &mut self,
        session: u64,
        kind: MediaKind,
        anything: bool,
        context: (Instant, &Recorder),
    ) {
        let (now, recorder) = context;
        for stream in &mut self.streams {
            if stream.session == session && media_kind(stream.kind) == kind {
                if stream.paused && anything {
                    stream.last = now;
                }
                stream.paused = !anything;
                if stream.paused {
                    stream.finish(recorder);
                }
            }
        }
    }

    /// The connection has ended. `orderly`: because the run wanted it so.
    pub(super) fn end(&mut self, now: Instant, orderly: bool, recorder: &Recorder) {
        for stream in &mut self.streams {
            let judged = stream.kind != MessageKind::Audio || self.audio_counts;
            let overdue = now.saturating_duration_since(stream.last);
            // Of a voice in silence, and of a screen that does not change, little comes.
            let rests = matches!(stream.kind, MessageKind::Audio | MessageKind::Screen);
            let silent = rests && overdue < 2 * FROZEN_AT_END;
            if orderly && judged && !stream.paused && !silent && overdue > FROZEN_AT_END {
                recorder.freeze(stream.kind, overdue);
            }
            stream.finish(recorder);
        }
        self.streams.clear();
    }

    /// What a client tells its server about once a second.
    pub(super) fn report(&mut self, now: Instant) -> Option<ReceiverReport> {
        let last = self.last_report.replace(now)?;
        let streams = self.streams.iter_mut().filter(|stream| !stream.paused);
        let streams = streams
            .map(|stream| StreamReport {
                session_id: stream.session,
                kind: media_kind(stream.kind).into(),
                spatial: stream.spatial.into(),
                received: std::mem::take(&mut stream.received),
                lost: std::mem::take(&mut stream.lost),
                jitter_us: stream.jitter.micros(),
                impaired_ms: std::mem::take(&mut stream.frozen).as_millis() as u32,
            })
            .collect();
        Some(ReceiverReport {
            interval_ms: now.saturating_duration_since(last).as_millis() as u32,
            streams,
            available_bps: 0,
            rtt_ms: 0,
        })
    }
}

impl Stream {
    /// Freezes, and what is missing.
    fn judge(&mut self, stamp: &Stamp, arrival: Arrival, count: usize, recorder: &Recorder) {
        // Taken out while it tells what could be shown.
        match (self.playout.take(), arrival.routing) {
            (Some(mut playout), Some(routing)) => {
                playout.take(arrival.at, routing, |at| self.show(stamp, at, recorder));
                self.playout = Some(playout);
            }
            (playout, _) => {
                self.playout = playout;
                self.show(stamp, arrival.at, recorder);
            }
        }
        // More than was asked for tells nothing of what is missing.
        if usize::from(stamp.temporal) > count {
            return;
        }
        let spatial = usize::from(stamp.spatial) % self.windows.len();
        if stamp.spatial != self.spatial {
            if !stamp.keyframe {
                // A frame of the layer before, overtaken by the keyframe of this one.
                let found = self.windows[spatial].note(stamp.counts[count].into());
                return self.tell(spatial, found, recorder);
            }
            // The layer begins anew: what was between is not for this receiver.
            let found = self.windows[spatial].finish();
            self.tell(spatial, found, recorder);
            self.spatial = stamp.spatial;
        }
        let found = self.windows[spatial].note(stamp.counts[count].into());
        self.tell(spatial, found, recorder);
    }

    /// Something could be shown or heard, after a freeze or none. `stamp`: of the latest frame.
    fn show(&mut self, stamp: &Stamp, at: Instant, recorder: &Recorder) {
        let gap = at.saturating_duration_since(self.last);
        // Silence before is no gap, but the end of the silence may come late.
        let gap = gap.min(clock::since(stamp.since_us, at));
        if gap > FREEZE && !self.paused {
            recorder.freeze(self.kind, gap);
            self.frozen += gap;
            tracing::debug!(
                publisher = self.session,
                kind = ?self.kind,
                from_layer = self.spatial,
                to_layer = stamp.spatial,
                keyframe = stamp.keyframe,
                gap_ms = gap.as_millis() as u64,
                "nothing could be shown"
            );
        }
        self.paused = false;
        self.last = self.last.max(at);
    }

    fn keyframe_request(&mut self, now: Instant) -> Option<KeyframeRequest> {
        let playout = self.playout.as_mut()?;
        (!self.paused && playout.wants_keyframe(now)).then(|| KeyframeRequest {
            session_id: self.session,
            kind: media_kind(self.kind).into(),
            stream_id: 1,
            spatial: self.spatial.into(),
        })
    }

    /// Records what was found in the window of a layer.
    fn tell(&mut self, layer: usize, found: Findings, recorder: &Recorder) {
        let layer = layer as u8;
        if found.lost > 0 {
            self.lost += found.lost as u32;
            tracing::debug!(
                publisher = self.session,
                kind = ?self.kind,
                layer,
                lost = found.lost,
                "packets are lost"
            );
            recorder.lost(self.kind, layer, found.lost);
        }
        if found.reordered > 0 {
            recorder.reordered(self.kind, layer, found.reordered);
        }
        if found.duplicated > 0 {
            recorder.duplicated(self.kind, layer, found.duplicated);
        }
    }

    fn finish(&mut self, recorder: &Recorder) {
        if self.kind == MessageKind::Audio && self.received == 0 {
            return;
        }
        for place in 0..self.windows.len() {
            let found = self.windows[place].finish();
            self.tell(place, found, recorder);
        }
    }
}

const fn media_kind(kind: MessageKind) -> MediaKind {
    match kind {
        MessageKind::Audio => MediaKind::Audio,
        MessageKind::Video => MediaKind::Video,
        MessageKind::Screen => MediaKind::Screen,
        _ => MediaKind::Unspecified,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(33);

    /// A receiver of one camera without temporal layers: each frame needs the one before.
    struct Watch {
        reception: Reception,
        recorder: Recorder,
        start: Instant,
        requests: Vec<u32>,
    }

    impl Watch {
        fn new() -> Self {
            Self {
                reception: Reception::new(None, true, true),
                recorder: Recorder::default(),
                start: Instant::now(),
                requests: Vec::new(),
            }
        }

        /// Frame `number` comes, as many milliseconds behind its time.
        fn frame(&mut self, number: u32, keyframe: bool, late_ms: u64) {
            self.frame_that_needs(number, u8::from(!keyframe), late_ms);
        }

        /// One that needs the frame so many before it; none: a keyframe.
        fn frame_that_needs(&mut self, number: u32, depends_back: u8, late_ms: u64) {
            let keyframe = depends_back == 0;
            let planned = self.start + STEP * number;
            let at = planned + Duration::from_millis(late_ms);
            let stamp = Stamp {
                planned_us: clock::micros(planned),
                sent_us: clock::micros(planned),
                since_us: 0,
                publisher: 7,
                counts: [number; TEMPORAL_LAYERS],
                kind: MessageKind::Video,
                spatial: 0,
                temporal: 0,
                keyframe,
            };
            let routing = Routing {
                kind: Kind::Video,
                stream_id: 1,
                spatial: 0,
                temporal: 0,
                keyframe,
                depends_back,
                frame_number: number.into(),
                capture_us: stamp.planned_us,
                audio_level: 0,
                encrypted: false,
            };
            let arrival = Arrival {
                session: 3,
                at,
                routing: Some(routing),
            };
            let request = self.reception.note(&stamp, arrival, &self.recorder);
            if let Some(request) = request {
                assert_eq!(
                    (request.session_id, request.kind()),
                    (3, MediaKind::Video),
                    "{request:?}"
                );
                self.requests.push(number);
            }
        }

        fn freezes(&self) -> (u64, Duration) {
            self.recorder.snapshot().freezes_in_all()
        }
    }

    #[test]
    fn frames_that_come_without_what_they_need_are_a_freeze_and_lead_to_a_request() {
        let mut watch = Watch::new();
        for number in (1..100).filter(|number| *number != 20) {
            watch.frame(number, number == 1 || number == 40, 5);
        }
        // Frames came all the time; pictures did not, from the 19th to the 40th.
        let frozen = STEP * 21;
        assert_eq!(watch.freezes(), (1, frozen));
        // The client's 250 ms behind the first frame that cannot be shown, and not again at once.
        assert_eq!(watch.requests, [29]);
        let end = watch.start + STEP * 100;
        assert_eq!(watch.reception.report(end), None);
        let report = watch.reception.report(end + STEP).unwrap();
        let stream = &report.streams[0];
        assert_eq!((stream.received, stream.lost), (98, 1));
        assert_eq!(stream.impaired_ms, frozen.as_millis() as u32);
    }

    #[test]
    fn frames_that_overtake_each_other_are_shown_in_order() {
        let mut watch = Watch::new();
        for pair in 0..50 {
            watch.frame(2 * pair + 2, false, 0);
            watch.frame(2 * pair + 1, pair == 0, 34);
        }
        assert_eq!(watch.freezes().0, 0);
        assert_eq!(watch.requests, [] as [u32; 0]);
        assert_eq!(watch.recorder.snapshot().delivery_in_all().lost, 0);
        // Every second frame is 34 ms later than the one before: RFC 3550 tends to that.
        watch.reception.report(watch.start);
        let report = watch.reception.report(watch.start + STEP).unwrap();
        assert!((33_000..=34_000).contains(&report.streams[0].jitter_us));
    }

    #[test]
    fn a_server_that_leaves_out_temporal_layers_causes_no_freeze() {
        let mut watch = Watch::new();
        watch.frame(1, true, 0);
        for number in (5..100).step_by(4) {
            watch.frame_that_needs(number, 4, 0);
        }
        assert_eq!(watch.freezes().0, 0);
        assert_eq!(watch.requests, [] as [u32; 0]);
    }

    #[test]
    fn what_comes_before_it_is_asked_for_is_not_judged() {
        let mut watch = Watch::new();
        watch.reception = Reception::new(None, true, false);
        watch.frame(1, true, 0);
        let wants = |watch: &mut Watch, sessions: &[u64]| {
            let reception = &mut watch.reception;
            let shown = sessions
                .iter()
                .map(|session| (*session, MessageKind::Video));
            reception.only(shown.collect(), &watch.recorder);
        };
        wants(&mut watch, &[3]);
        watch.frame(11, true, 0);
        assert_eq!(watch.freezes().0, 0);
        watch.frame(21, true, 0);
        assert_eq!(watch.freezes().0, 1);
        wants(&mut watch, &[]);
        watch.frame(22, false, 0);
        wants(&mut watch, &[3]);
        watch.frame(41, true, 0);
        assert_eq!(watch.freezes().0, 1);
        assert_eq!(watch.recorder.snapshot().delivery_in_all().lost, 9);
    }

    #[test]
    fn what_the_server_does_not_forward_is_no_freeze() {
        let mut watch = Watch::new();
        for number in 1..20 {
            watch.frame(number, number == 1, 0);
        }
        let state = |watch: &mut Watch, number: u32, anything| {
            let known = (watch.start + STEP * number, &watch.recorder);
            let reception = &mut watch.reception;
            reception.forwarded(3, MediaKind::Video, anything, known);
        };
        state(&mut watch, 20, false);
        state(&mut watch, 60, true);
        watch.frame(61, true, 0);
        assert_eq!(watch.freezes().0, 0);
        watch.frame(80, true, 0);
        assert_eq!(watch.freezes().0, 1);
    }
}
