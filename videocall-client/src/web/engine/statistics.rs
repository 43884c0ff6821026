//! Figures of the last second, for the page, for the server, and for the person.

use std::time::Duration;

use videocall_types::wire::{ReceiverReport, StreamReport};

use super::{Engine, Link, events, tell};
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
        self.tell_quality();
        self.report_reception(seconds);
        self.cameras
            .values_mut()
            .for_each(|camera| camera.each_second(seconds));
        self.sounds
            .values_mut()
            .for_each(|sound| sound.each_second(seconds));
        self.pictures
            .values_mut()
            .for_each(|picture| picture.each_second(seconds));
        self.heard
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
            _ if self.session.is_joined() => Quality::Good,
            _ => Quality::Unknown,
        };
        if quality != self.meter.quality {
            self.meter.quality = quality;
            tell(Event::OwnQuality(quality));
            events::tell_roster(self);
        }
    }

    fn report_reception(&mut self, seconds: f64) {
        let pictures = self.pictures.values().map(|picture| picture.statistics());
        let sounds = self.heard.values().map(|sound| sound.statistics(0.0));
        let streams = pictures
            .chain(sounds)
            .map(|of| StreamReport {
                session_id: of.session_id,
                spatial: of.spatial,
                received: (of.fps * seconds) as u32,
                lost: of.lost.min(u32::MAX.into()) as u32,
                jitter_us: (of.jitter_ms * 1000.0) as u32,
                ..StreamReport::default()
            })
            .collect();
        self.session.report(ReceiverReport {
            interval_ms: (seconds * 1000.0) as u32,
            streams,
            available_bps: 0,
            rtt_ms: self.session.rtt().map_or(0, |rtt| rtt.as_millis() as u32),
        });
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
            let mut figures = sound.statistics(delay);
            figures.lost = sound.lost();
            figures
        });
        let receive = self
            .pictures
            .values()
            .map(|picture| picture.statistics())
            .chain(heard)
            .collect();
        Statistics {
            transport: self.link.as_ref().map(Link::transport),
            session_id: self.session.id().map(|id| id.get()),
            rtt_ms: self.session.rtt().map(|rtt| rtt.as_secs_f64() * 1000.0),
            join_ms: milliseconds(self.meter.joined, Some(self.meter.started)),
            first_frame_ms: milliseconds(first, self.meter.joined),
            sent_bps: self.meter.shown.0,
            received_bps: self.meter.shown.1,
            publish,
            receive,
        }
    }
}
