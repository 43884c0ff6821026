//! Tells the page who is here: only what changed, and not for every packet that changes something.

use std::{collections::HashMap, time::Duration};

use videocall_types::ids::MediaKind;

use super::{Engine, receive_video::VideoReceiver, report};
use crate::web::protocol::{Participant, Quality, Report, RosterChange, StreamState};

/// Least time between two messages to the page: nobody reads faster, and of a thousand people
/// somebody changes all the time.
const INTERVAL: Duration = Duration::from_millis(100);

/// What the page knows.
#[derive(Default)]
pub(super) struct RosterTeller {
    told: HashMap<u64, Participant>,
    /// Something may have changed.
    due: bool,
    at: Option<Duration>,
}

impl RosterTeller {
    /// Something may have changed.
    pub(super) fn changed(&mut self) {
        self.due = true;
    }

    /// What comes next is told at once.
    pub(super) fn restart(&mut self) {
        self.at = None;
    }

    /// What changed since the last call, in the order of those who are here.
    fn change(&mut self, here: impl Iterator<Item = Participant>) -> RosterChange {
        let mut before = std::mem::take(&mut self.told);
        let mut change = RosterChange::default();
        for participant in here {
            if before.remove(&participant.session_id).as_ref() != Some(&participant) {
                change.changed.push(participant.clone());
            }
            self.told.insert(participant.session_id, participant);
        }
        change.left = before.into_keys().collect();
        change
    }
}

impl Engine {
    /// Tells the page what changed, if it is time.
    pub(super) fn tell_roster(&mut self, now: Duration) {
        self.roster.due |= self.views.take_pauses_changed();
        let early = |at: Duration| now.saturating_sub(at) < INTERVAL;
        if !self.roster.due || self.roster.at.is_some_and(early) {
            return;
        }
        self.roster.due = false;
        self.roster.at = Some(now);
        let (session, pictures, views) = (&self.session, &self.pictures, &self.views);
        let mut here: Vec<_> = session.roster().iter().collect();
        // The same order for everybody.
        here.sort_by_key(|participant| (participant.joined_ms, participant.session_id));
        let here = here.into_iter().map(|participant| {
            let id = participant.session_id;
            let state = |kind: MediaKind| {
                let mut streams = participant.streams.iter();
                match streams.find(|stream| stream.kind() == kind) {
                    None => StreamState::Absent,
                    Some(stream) if stream.muted => StreamState::Muted,
                    Some(_) => StreamState::Live,
                }
            };
            let quality = pictures.get(&(id, MediaKind::Video));
            Participant {
                session_id: id,
                display_name: participant.display_name.clone(),
                away: participant.away,
                microphone: state(MediaKind::Audio),
                camera: state(MediaKind::Video),
                screen: state(MediaKind::Screen),
                camera_paused: views.is_paused((id, MediaKind::Video)),
                screen_paused: views.is_paused((id, MediaKind::Screen)),
                quality: quality.map_or(Quality::Unknown, VideoReceiver::quality),
            }
        });
        let change = self.roster.change(here);
        if change != RosterChange::default() {
            report(&Report::Roster(change));
        }
    }
}
