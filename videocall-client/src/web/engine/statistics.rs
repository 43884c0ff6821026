//! Figures of the last second, for the page, for the server, and for the person.

use std::time::Duration;

use videocall_types::ids::{MediaKind, SessionId};

use super::{Engine, Link, receive_video::share, tell};
use crate::web::protocol::{Event, Quality, Statistics};

/// What goes over the link.
pub(super) struct Meter {
    started: Duration,
    joined: Option<Duration>,
    second: Duration,
    sent: usize,
    received: usize,
    shown: (f64, f64),
    concealed: u32,
    quality: Quality,
}

impl Meter {
    pub(super) fn new(now: Duration) -> Self {
        Self {
            started: now,
            joined: None,
            second: now,
            sent: 0,
            received: 0,
            shown: (0.0, 0.0),
            concealed: 0,
            quality: Quality::Unknown,
        }
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent += bytes;
    }

    pub(super) fn received(&mut self, bytes: usize) {
        self.received += bytes;
    }

    pub(super) fn joined(&mut self, now: Duration) {
        self.joined.get_or_insert(now);
    }
}

impl Engine {
    pub(super) fn each_second(&mut self, now: Duration) {
        let seconds = now.saturating_sub(self.meter.second).as_secs_f64();
        if seconds < 1.0 {
            return;
        }
        let meter = &mut self.meter;
        meter.second = now;
        meter.shown = (
            meter.sent as f64 * 8.0 / seconds,
            meter.received as f64 * 8.0 / seconds,
        );
        (meter.sent, meter.received) = (0, 0);
        self.report_reception(now, seconds);
        self.tell_quality();
        self.cameras
            .values_mut()
            .for_each(|camera| camera.each_second(seconds));
        self.sounds
            .values_mut()
            .for_each(|sound| sound.each_second(seconds));
    }

    fn tell_quality(&mut self) {
        let concealed: u32 = self
            .heard
            .values()
            .map(|sound| self.voices.concealed(sound.slot()))
            .sum();
        let made_up_ms = concealed.saturating_sub(self.meter.concealed) / 48;
        self.meter.concealed = concealed;
        let pictures = self
            .pictures
            .values()
            .map(|picture| match picture.quality() {
                Quality::Unknown => 0,
                Quality::Good => 1,
                Quality::Fair => 2,
                Quality::Poor => 3,
            });
        let worst = pictures.chain([match made_up_ms {
            0..=60 => 0,
            61..=200 => 2,
            _ => 3,
        }]);
        let quality = match worst.max() {
            Some(3) => Quality::Poor,
            Some(2) => Quality::Fair,
            // A picture that is left out is not frozen, but a path that carries all is better.
            _ if self.views.any_paused() => Quality::Poor,
            _ if self.session.is_joined() => Quality::Good,
            _ => Quality::Unknown,
        };
        if quality != self.meter.quality {
            self.meter.quality = quality;
            tell(Event::OwnQuality(quality));
        }
        // How well each picture comes is told with the roster.
        self.roster.changed();
    }

    /// Tells the server how everything came in, and notes it for the person.
    fn report_reception(&mut self, now: Duration, seconds: f64) {
        let reception = &mut self.reception;
        for (&(session, kind), sound) in &mut self.heard {
            let length = sound.newly_concealed(self.voices.concealed(sound.slot()));
            if let Some(session) = SessionId::new(session).filter(|_| !length.is_zero()) {
                reception.concealed(session, kind, length);
            }
        }
        let report = reception.report(now, self.session.rtt());
        self.session.report(report);
        let received = |&(session, kind): &(u64, MediaKind)| {
            let session = SessionId::new(session);
            let figures = session.and_then(|session| reception.figures(session, kind));
            figures.unwrap_or_default()
        };
        for (key, picture) in &mut self.pictures {
            picture.each_second(seconds, received(key));
        }
        for (key, sound) in &mut self.heard {
            sound.each_second(seconds, received(key));
        }
    }

    pub(super) fn statistics(&self) -> Statistics {
        let milliseconds = |later: Option<Duration>, earlier: Option<Duration>| {
            Some(later?.saturating_sub(earlier?).as_secs_f64() * 1000.0)
        };
        let first = self
            .pictures
            .values()
            .filter_map(|picture| picture.first_shown())
            .min();
        let publish = self
            .cameras
            .values()
            .flat_map(|camera| camera.statistics())
            .chain(self.sounds.values().map(|sound| sound.statistics()))
            .collect();
        let heard = self.heard.values().map(|sound| {
            let delay = self.voices.buffered_ms(sound.slot());
            sound.statistics(delay, self.voices.concealed(sound.slot()))
        });
        let receive = self
            .pictures
            .values()
            .map(|picture| picture.statistics())
            .chain(heard)
            .collect();
        let sum = |parts: &mut dyn Iterator<Item = (Duration, Duration)>| {
            let (whole, part) = parts.fold(<(Duration, Duration)>::default(), |sum, of| {
                (sum.0 + of.0, sum.1 + of.1)
            });
            (!whole.is_zero()).then(|| share(part, whole))
        };
        let voices = &self.voices;
        Statistics {
            frozen_share: sum(&mut self.pictures.values().map(|it| it.watched_and_frozen())),
            concealed_share: sum(&mut self
                .heard
                .values()
                .map(|it| it.played_and_concealed(voices.concealed(it.slot())))),
            transport: self.link.as_ref().map(Link::transport),
            session_id: self.session.id().map(|id| id.get()),
            rtt_ms: self.session.rtt().map(|rtt| rtt.as_secs_f64() * 1000.0),
            join_ms: milliseconds(self.meter.joined, Some(self.meter.started)),
            first_frame_ms: milliseconds(first, self.meter.joined),
            sent_bps: self.meter.shown.0,
            received_bps: self.meter.shown.1,
            uplink_bps: self.outbox.uplink_bps() as f64,
            left_out: self.machine.left_out(),
            publish,
            receive,
        }
    }
}
