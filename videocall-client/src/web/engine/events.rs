//! What the session tells.

use videocall_types::{
    ids::MediaKind,
    packet::PayloadError,
    wire::{LayerDemand, MediaPacket, Message},
};

use super::{
    AudioReceiver, Connection, RECEIVERS, Shared, VideoReceiver, connect, js, report, tell,
};
use crate::{
    core::session::{Event as SessionEvent, MediaIn},
    web::protocol::{Event, Participant, Quality, Report, StreamState},
};

pub(super) fn handle(shared: &Shared, event: SessionEvent) {
    match event {
        SessionEvent::Connect => connect(shared),
        SessionEvent::Joined(session) => {
            let engine = &mut *shared.borrow_mut();
            engine.meter.joined(js::now());
            engine.servers.joined(&engine.server);
            let Some(link) = &engine.link else { return };
            let transport = link.transport();
            let session_id = session.get();
            tell(Event::Connection(Connection::Connected {
                transport,
                session_id,
            }));
        }
        SessionEvent::Reconnecting {
            attempt,
            wait,
            reason,
            retry_after,
        } => {
            let engine = &mut *shared.borrow_mut();
            engine
                .servers
                .failed(js::now(), &engine.server, retry_after);
            if let Some(link) = engine.link.take() {
                link.close();
            }
            engine.attempt += 1;
            let wait_ms = wait.as_millis() as u32;
            tell(Event::Connection(Connection::Reconnecting {
                attempt,
                wait_ms,
                reason,
            }));
        }
        SessionEvent::Closed { reason, text } => {
            let mut engine = shared.borrow_mut();
            engine.leave();
            let code = reason.map(|reason| reason.code());
            tell(Event::Connection(Connection::Closed { code, text }));
        }
        SessionEvent::Roster => roster(shared),
        SessionEvent::Speakers(sessions) => tell(Event::Speakers(sessions)),
        SessionEvent::Media(media) => receive(shared, media),
        SessionEvent::Demand(demand) => apply_demand(shared, &demand),
        SessionEvent::KeyframeWanted(request) => {
            let kind = request.kind();
            let mut engine = shared.borrow_mut();
            for camera in engine
                .cameras
                .values_mut()
                .filter(|camera| camera.kind() == kind)
            {
                camera.request_keyframe(request.spatial);
            }
        }
    }
}

fn apply_demand(shared: &Shared, demand: &LayerDemand) {
    let mut engine = shared.borrow_mut();
    for stream in &demand.streams {
        for camera in engine.cameras.values_mut() {
            if camera.kind() == stream.kind() {
                camera.set_demand(stream.stream_id, stream.spatial_mask);
            }
        }
    }
}

fn receive(shared: &Shared, media: MediaIn) {
    let MediaIn {
        session,
        routing,
        payload,
    } = media;
    let mut engine = shared.borrow_mut();
    let key = (session.get(), routing.kind);
    let now = js::now();
    if routing.is_audio() {
        let engine = &mut *engine;
        if !engine.heard.contains_key(&key) {
            let Some(slot) = engine.voices.take(key) else {
                return;
            };
            engine
                .heard
                .insert(key, AudioReceiver::new(engine.this.clone(), key, slot));
            report(&Report::Voices(engine.voices.list()));
        }
        if let (Some(sound), Ok(packet)) = (engine.heard.get_mut(&key), decode(payload)) {
            sound.push(&routing, packet.data);
        }
        return;
    }
    // What nobody shows any more may still be on its way.
    let shown = engine
        .views
        .values()
        .any(|view| (view.session, view.kind) == key);
    if !shown {
        return;
    }
    let engine = &mut *engine;
    if !engine.pictures.contains_key(&key) && engine.pictures.len() >= RECEIVERS {
        return;
    }
    let this = engine.this.clone();
    let picture = engine
        .pictures
        .entry(key)
        .or_insert_with(|| VideoReceiver::new(this, key));
    picture.push(now, routing, payload);
    picture.decode_ready(now);
}

pub(super) fn decode(payload: bytes::Bytes) -> Result<MediaPacket, PayloadError> {
    Ok(MediaPacket::decode(payload)?)
}

fn roster(shared: &Shared) {
    let mut engine = shared.borrow_mut();
    let engine = &mut *engine;
    let present = |session: u64, kind: MediaKind| {
        engine
            .session
            .roster()
            .iter()
            .any(|p| p.session_id == session && p.streams.iter().any(|s| s.kind() == kind))
    };
    engine
        .pictures
        .retain(|&(session, kind), _| present(session, kind));
    let gone: Vec<_> = engine
        .heard
        .keys()
        .filter(|&&(session, kind)| !present(session, kind))
        .copied()
        .collect();
    for key in &gone {
        engine.heard.remove(key);
        engine.voices.release(*key);
    }
    if !gone.is_empty() {
        report(&Report::Voices(engine.voices.list()));
    }
    tell_roster(engine);
}

pub(super) fn tell_roster(engine: &super::Engine) {
    let participants = engine.session.roster().iter().map(|participant| {
        let state = |kind: MediaKind| match participant
            .streams
            .iter()
            .find(|stream| stream.kind() == kind)
        {
            None => StreamState::Absent,
            Some(stream) if stream.muted => StreamState::Muted,
            Some(_) => StreamState::Live,
        };
        Participant {
            session_id: participant.session_id,
            display_name: participant.display_name.clone(),
            away: participant.away,
            microphone: state(MediaKind::Audio),
            camera: state(MediaKind::Video),
            screen: state(MediaKind::Screen),
            quality: engine
                .pictures
                .get(&(participant.session_id, MediaKind::Video))
                .map_or(Quality::Unknown, VideoReceiver::quality),
        }
    });
    tell(Event::Roster(participants.collect()));
}
