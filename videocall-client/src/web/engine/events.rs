//! What the session tells.

use videocall_types::{
    close::CloseReason,
    ids::MediaKind,
    packet::PayloadError,
    wire::{LayerDemand, MediaPacket, Message},
};

use super::{
    AudioReceiver, Connection, RECEIVERS, Shared, VideoReceiver, connect, js, report, tell,
};
use crate::{
    core::session::{Event as SessionEvent, MediaIn},
    web::protocol::{Event, Report},
};

pub(super) fn handle(shared: &Shared, event: SessionEvent) {
    match event {
        SessionEvent::Connect => connect(shared),
        SessionEvent::Joined(session) => {
            let engine = &mut *shared.borrow_mut();
            engine.meter.joined(js::now());
            engine.views.forget_pauses();
            engine.roster.restart();
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
            close,
            reason,
            retry_after,
            servers,
        } => {
            let engine = &mut *shared.borrow_mut();
            let now = js::now();
            engine.servers.failed(now, &engine.server, retry_after);
            engine.servers.learn(&servers);
            engine.servers.recommended(&servers);
            engine.session.set_has_others(engine.servers.has_others());
            let open_at = engine.servers.open_at();
            engine.session.wait_until(open_at);
            let wait = wait.max(open_at.saturating_sub(now));
            if let Some(link) = engine.link.take() {
                link.close();
            }
            engine.attempt += 1;
            let wait_ms = wait.as_millis() as u32;
            tell(Event::Connection(Connection::Reconnecting {
                attempt,
                wait_ms,
                code: close.map(CloseReason::code),
                reason,
            }));
        }
        // Sessions of programs without a browser tell it.
        SessionEvent::Budget(_) => {}
        SessionEvent::Closed { reason, text } => {
            let mut engine = shared.borrow_mut();
            engine.leave();
            let code = reason.map(|reason| reason.code());
            tell(Event::Connection(Connection::Closed { code, text }));
        }
        // What is sent here is what people publish; there is nothing for them to do about it.
        SessionEvent::Warned { text, .. } => web_sys::console::warn_1(&text.into()),
        SessionEvent::Roster => roster(shared),
        SessionEvent::Speakers(sessions) => {
            shared.borrow_mut().views.set_speakers(&sessions);
            tell(Event::Speakers(sessions));
        }
        SessionEvent::Media(media) => receive(shared, media),
        SessionEvent::Forwarding(state) => shared.borrow_mut().forwarding(&state),
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
    if routing.is_audio() || engine.views.is_shown(key) {
        engine.reception.arrived(now, session, &routing);
    }
    if routing.is_audio() {
        let engine = &mut *engine;
        if !engine.heard.contains_key(&key) {
            let Some(slot) = engine.voices.take(key) else {
                return;
            };
            let concealed = engine.voices.concealed(slot);
            let receiver = AudioReceiver::new(engine.this.clone(), key, slot, concealed);
            engine.heard.insert(key, receiver);
            report(&Report::Voices(engine.voices.list()));
        }
        if let (Some(sound), Ok(packet)) = (engine.heard.get_mut(&key), decode(payload)) {
            sound.push(&routing, packet.data);
        }
        return;
    }
    // What nobody shows any more may still be on its way.
    if !engine.views.is_shown(key) {
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
    let engine = &mut *shared.borrow_mut();
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
    engine.roster.changed();
    // At once if that may be: until then one seems to be alone.
    engine.tell_roster(js::now());
}
