//! Everything that happens by time.

use std::time::Instant;

use videocall_types::{
    close::CloseReason,
    ids::{MediaKind, SessionId},
    packet,
    wire::{ActiveSpeakers, Ping, control::Message},
};

use super::{Fatal, Meeting, Output, Participant, Place};
use crate::{packet::Packet, subscription::Subscription};

impl Meeting {
    fn next_timeout(&self) -> Option<Instant> {
        let streams = self
            .participants
            .values()
            .flat_map(|participant| &participant.streams);
        let by_stream =
            streams.flat_map(|stream| [stream.removal_at(), stream.next_expiry(&self.config)]);
        let ungreeted = self.ungreeted.front().map(|(at, _)| *at);
        [
            self.roster.due,
            self.next_scan,
            self.speakers.next_choice(),
            ungreeted,
        ]
        .into_iter()
        .chain(by_stream)
        .flatten()
        .min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.flush_roster(now);
        self.expire_frames(now);
        self.update_removals(now);
        if let Some(speakers) = self.speakers.choose(now) {
            let session_ids = speakers.into_iter().map(SessionId::get).collect();
            let message = Message::ActiveSpeakers(ActiveSpeakers { session_ids });
            self.send_to_greeted(&Packet::control(packet::control(message)));
        }
        self.give_up_greetings(now);
        self.scan_sessions(now);
        self.flush_remote_demand();
        self.deadline = self.next_timeout();
    }

    fn expire_frames(&mut self, now: Instant) {
        let mut lost = Vec::new();
        for (session, participant) in &mut self.participants {
            for stream in &mut participant.streams {
                let mask = stream.expire(&self.config, &self.counters, now);
                if mask != 0 {
                    lost.push((*session, stream.kind, mask));
                }
            }
        }
        for (session, kind, layers) in lost {
            self.request_keyframes(now, session, kind, layers);
        }
    }

    /// Who has sent no `Hello` by now is an older client, which wants everything.
    fn give_up_greetings(&mut self, now: Instant) {
        while let Some(&(at, session)) = self.ungreeted.front()
            && at <= now
        {
            self.ungreeted.pop_front();
            let greeted = self
                .participants
                .get(&session)
                .and_then(Participant::local)
                .is_none_or(|local| local.greeted);
            if !greeted {
                self.subscribe(now, session, Subscription::default());
            }
        }
    }

    fn update_removals(&mut self, now: Instant) {
        let due: Vec<(SessionId, MediaKind)> = self
            .participants
            .iter()
            .flat_map(|(session, participant)| {
                participant
                    .streams
                    .iter()
                    .map(move |stream| (*session, stream))
            })
            .filter(|(_, stream)| stream.removal_at().is_some_and(|at| at <= now))
            .map(|(session, stream)| (session, stream.kind))
            .collect();
        for (session, kind) in due {
            self.update_demand(now, session, kind);
        }
    }

    /// Pings everybody, and ends sessions that were not heard of for too long or do not read.
    fn scan_sessions(&mut self, now: Instant) {
        if self.next_scan.is_none_or(|at| now < at) {
            return;
        }
        let config = self.config.clone();
        let (mut ended, mut changed) = (Vec::new(), Vec::new());
        self.scans += 1;
        let token = self.scans;
        let ping = Packet::control(packet::control(Message::Ping(Ping { token })));
        for (session, participant) in &mut self.participants {
            let Place::Local(local) = &mut participant.place else {
                continue;
            };
            if local.greeted && now >= local.ticket_due {
                // Asked again at the next scan, unless there is one by then.
                self.outputs.push_back(Output::IssueTicket {
                    session: *session,
                    user_id: participant.info.user_id.clone(),
                });
            }
            local.violations = local.violations.saturating_sub(1);
            let tick = local.egress.tick(now);
            if tick.changed {
                changed.push(*session);
            }
            let silent = now.saturating_duration_since(local.heard);
            if local.egress.has_overflowed() {
                ended.push((*session, CloseReason::SlowConsumer));
            } else if silent >= config.session_timeout
                || (local.greeted && local.unanswered >= config.heartbeat_missed)
            {
                ended.push((*session, CloseReason::Timeout));
            } else if now >= local.pinged + config.heartbeat_interval {
                local.pinged = now;
                local.unanswered += 1;
                local.trips.ask(now, token);
                local.egress.push_control(&ping);
            } else if tick.congested && local.greeted && !local.trips.waits() {
                // Where the path is under suspicion its round trip tells more, and sooner.
                local.trips.ask(now, token);
                local.egress.push_control(&ping);
            }
        }
        for session in changed {
            self.refresh_demand_of(now, session);
        }
        for (session, reason) in ended {
            self.close(session, Fatal::new(reason));
        }
        // Often enough that what a scan finds late is late by a fifth of the interval at most; with
        // the default interval a second, in which one violation is forgiven.
        self.next_scan = (!self.is_empty()).then_some(now + config.heartbeat_interval / 5);
    }
}
