//! Judges the delivery of what the other participants send.

use std::time::{Duration, Instant};

use videocall_types::wire::{MediaKind, ReceiverReport, StreamReport};

use super::{
    stamp::{Stamp, TEMPORAL_LAYERS},
    window::{Findings, Window},
};
use crate::{
    clock,
    measure::{MessageKind, Metric, Recorder},
};

/// A longer gap between frames is a freeze.
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
    last: Instant,
    /// The server has said that it forwards nothing of this.
    paused: bool,
    received: u32,
    lost: u32,
    frozen: Duration,
}

/// The routing header's view of a packet, where it has one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    /// Which session the packet is from; 0 if it does not say.
    pub(super) session: u64,
    /// When it came.
    pub(super) at: Instant,
}

impl Reception {
    pub(super) fn new(max_temporal: Option<u32>, audio_counts: bool) -> Self {
        let highest = TEMPORAL_LAYERS - 1;
        Self {
            streams: Vec::new(),
            count: max_temporal.map_or(highest, |max| (max as usize).min(highest)),
            audio_counts,
            last_report: None,
        }
    }

    /// Takes note of a frame.
    pub(super) fn note(&mut self, stamp: &Stamp, arrival: Arrival, recorder: &Recorder) {
        let corrected = clock::since(stamp.planned_us, arrival.at);
        let raw = clock::since(stamp.sent_us, arrival.at);
        recorder.latency(Metric::OneWay, corrected, raw);
        recorder.one_way(stamp.kind, stamp.spatial, corrected);
        let judged = stamp.kind != MessageKind::Audio || self.audio_counts;
        let count = self.count;
        let Some(stream) = self.stream(stamp, arrival) else {
            return;
        };
        stream.received += 1;
        if !judged {
            return;
        }
        if !stamp.resumes && !stream.paused {
            let gap = arrival.at.saturating_duration_since(stream.last);
            if gap > FREEZE {
                recorder.freeze(stream.kind, gap);
                stream.frozen += gap;
            }
        }
        stream.paused = false;
        stream.last = stream.last.max(arrival.at);
        // More than was asked for tells nothing of what is missing.
        if usize::from(stamp.temporal) > count {
            return;
        }
        let spatial = usize::from(stamp.spatial) % stream.windows.len();
        if stamp.spatial != stream.spatial {
            if !stamp.keyframe {
                // A frame of the layer before, overtaken by the keyframe of this one.
                let found = stream.windows[spatial].note(stamp.counts[count].into());
                return stream.tell(found, recorder);
            }
            // The layer begins anew: what was between is not for this receiver.
            let found = stream.windows[spatial].finish();
            stream.tell(found, recorder);
            stream.spatial = stamp.spatial;
        }
        let found = stream.windows[spatial].note(stamp.counts[count].into());
        stream.tell(found, recorder);
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

    /// Pictures of others than these are not wanted any more.
    pub(super) fn only_pictures_of(&mut self, sessions: &[u64], recorder: &Recorder) {
        self.forget(recorder, |stream| {
            stream.kind == MessageKind::Video && !sessions.contains(&stream.session)
        });
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
        r: &Recorder,
    ) {
        for stream in &mut self.streams {
            if stream.session == session && media_kind(stream.kind) == kind {
                stream.paused = !anything;
                if stream.paused {
                    stream.finish(r);
                }
            }
        }
    }

    /// The connection has ended. `orderly`: because the run wanted it so.
    pub(super) fn end(&mut self, now: Instant, orderly: bool, recorder: &Recorder) {
        for stream in &mut self.streams {
            let judged = stream.kind != MessageKind::Audio || self.audio_counts;
            let overdue = now.saturating_duration_since(stream.last);
            let silent = stream.kind == MessageKind::Audio && overdue < 2 * FROZEN_AT_END;
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
                jitter_us: 0,
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
    fn tell(&mut self, found: Findings, recorder: &Recorder) {
        if found.lost > 0 {
            self.lost += found.lost as u32;
            tracing::debug!(
                publisher = self.session,
                kind = ?self.kind,
                layer = self.spatial,
                lost = found.lost,
                "packets are lost"
            );
            recorder.lost(self.kind, self.spatial, found.lost);
        }
        if found.reordered > 0 {
            recorder.reordered(self.kind, self.spatial, found.reordered);
        }
        if found.duplicated > 0 {
            recorder.duplicated(self.kind, self.spatial, found.duplicated);
        }
    }

    fn finish(&mut self, recorder: &Recorder) {
        if self.kind == MessageKind::Audio && self.received == 0 {
            return;
        }
        for place in 0..self.windows.len() {
            let found = self.windows[place].finish();
            self.tell(found, recorder);
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
