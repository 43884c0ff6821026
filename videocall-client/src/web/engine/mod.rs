//! The engine: transport, codecs and buffers, in a worker of its own.

mod events;
mod link;
mod publish_audio;
mod publish_video;
mod receive_audio;
mod receive_video;
mod roster;
mod servers;
mod statistics;
mod track;
mod views;
mod voices;
mod websocket;
mod webtransport;

use std::{
    cell::RefCell,
    collections::HashMap,
    rc::{Rc, Weak},
    time::Duration,
};

use js_sys::SharedArrayBuffer;
use videocall_types::{
    ids::{MediaKind, SessionId},
    wire::{ForwardState, PublishState, Subscribe},
};
use wasm_bindgen::{JsCast, JsValue, prelude::Closure};
use wasm_bindgen_futures::spawn_local;
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent};

use self::{
    link::{Link, Sink},
    publish_audio::AudioPublisher,
    publish_video::VideoPublisher,
    receive_audio::AudioReceiver,
    receive_video::VideoReceiver,
    roster::RosterTeller,
    statistics::Meter,
    views::Views,
    voices::Voices,
};
use super::{
    js,
    protocol::{Command, Connection, Event, Report, Source, TransportPreference},
};
use crate::core::{
    budget::{Machine, divide},
    outbox::{Outbox, Outgoing, Waits},
    reception::Reception,
    select::Selection,
    session::Session,
};

/// How often buffers are looked at.
const TICK_MS: f64 = 10.0;
/// Pictures that are decoded at once.
const RECEIVERS: usize = 64;

/// What all parts share.
type Shared = Rc<RefCell<Engine>>;

struct Engine {
    this: Weak<RefCell<Engine>>,
    servers: Selection,
    /// The one that is joined, or tried.
    server: String,
    path: String,
    preference: TransportPreference,
    session: Session,
    outbox: Outbox,
    machine: Machine,
    link: Option<Link>,
    /// Counts attempts, so that one that was given up cannot speak for its successor.
    attempt: u32,
    cameras: HashMap<Source, VideoPublisher>,
    sounds: HashMap<Source, AudioPublisher>,
    reception: Reception,
    pictures: HashMap<(u64, MediaKind), VideoReceiver>,
    heard: HashMap<(u64, MediaKind), AudioReceiver>,
    views: Views,
    roster: RosterTeller,
    voices: Voices,
    output_latency: Duration,
    meter: Meter,
    next_stream_id: u32,
    detail: bool,
    left: bool,
}

thread_local! {
    static ENGINE: RefCell<Option<Shared>> = const { RefCell::new(None) };
}

/// Entry of the worker: waits for the page's commands.
pub fn run() {
    console_error_panic_hook::set_once();
    let scope: DedicatedWorkerGlobalScope = js_sys::global().unchecked_into();
    let on_message = Closure::<dyn FnMut(MessageEvent)>::new(|event: MessageEvent| {
        let data = event.data();
        let Ok(command) = serde_wasm_bindgen::from_value(js::get(&data, "command")) else {
            return;
        };
        take(command, &data);
    });
    scope.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    on_message.forget();
    // The page sends its first command when it knows that somebody listens.
    let _ = scope.post_message(&"ready".into());
}

/// Tells the page.
fn report(report: &Report) {
    let scope: DedicatedWorkerGlobalScope = js_sys::global().unchecked_into();
    if let Ok(value) = serde_wasm_bindgen::to_value(report) {
        let _ = scope.post_message(&value);
    }
}

fn tell(event: Event) {
    report(&Report::Event(event));
}

fn take(command: Command, data: &JsValue) {
    if let Command::Start { .. } = &command {
        return start(command, data);
    }
    let Some(engine) = ENGINE.with_borrow(Option::clone) else {
        return;
    };
    engine
        .borrow_mut()
        .command(command, &js::get(data, "stream"));
    pump(&engine);
}

fn start(command: Command, data: &JsValue) {
    let Command::Start {
        origin,
        meeting,
        display_name,
        transport,
        seed,
    } = command
    else {
        return;
    };
    let memory: SharedArrayBuffer = js::get(data, "memory").unchecked_into();
    let encode = |text: &str| String::from(js_sys::encode_uri_component(text));
    let path = format!("/lobby/{}/{}", encode(&display_name), encode(&meeting));
    let client = concat!("videocall-web/", env!("CARGO_PKG_VERSION")).to_owned();
    let engine = Rc::new_cyclic(|this| {
        RefCell::new(Engine {
            this: this.clone(),
            servers: Selection::new(origin.clone(), &meeting),
            server: origin,
            path,
            preference: transport,
            session: Session::new(display_name, client, seed.to_bits()),
            outbox: Outbox::new(Waits::Acknowledged),
            machine: Machine::default(),
            link: None,
            attempt: 0,
            cameras: HashMap::new(),
            sounds: HashMap::new(),
            reception: Reception::default(),
            pictures: HashMap::new(),
            heard: HashMap::new(),
            views: Views::default(),
            roster: RosterTeller::default(),
            voices: Voices::new(&memory),
            output_latency: Duration::ZERO,
            meter: Meter::new(js::now()),
            next_stream_id: 1,
            detail: true,
            left: false,
        })
    });
    engine
        .borrow_mut()
        .session
        .set_subscribe(Subscribe::default());
    ENGINE.set(Some(engine.clone()));
    tell(Event::Connection(Connection::Connecting));
    pump(&engine);
    spawn_local(async move {
        loop {
            js::sleep(TICK_MS).await;
            if engine.borrow().left {
                return;
            }
            engine.borrow_mut().tick();
            pump(&engine);
        }
    });
}

/// Sends what is to be sent and handles what happened.
fn pump(shared: &Shared) {
    loop {
        let event = {
            let engine = &mut *shared.borrow_mut();
            engine.flush();
            engine.session.poll_event()
        };
        let Some(event) = event else { return };
        events::handle(shared, event);
    }
}

/// What a link calls when it is done with a picture.
fn finished(
    engine: Weak<RefCell<Engine>>,
    attempt: u32,
    picture: Option<u64>,
) -> impl FnOnce(bool) + 'static {
    move |arrived| {
        let (Some(shared), Some(picture)) = (engine.upgrade(), picture) else {
            return;
        };
        {
            let mut engine = shared.borrow_mut();
            if engine.attempt != attempt {
                return;
            }
            engine.outbox.finished(js::now(), picture, arrived);
        }
        pump(&shared);
    }
}

/// Opens a link; its packets and its end go to the engine as long as it is the current one.
fn connect(shared: &Shared) {
    let (attempt, path, preference) = {
        let mut engine = shared.borrow_mut();
        engine.attempt += 1;
        if let Some(link) = engine.link.take() {
            link.close();
        }
        (engine.attempt, engine.path.clone(), engine.preference)
    };
    let shared = shared.clone();
    spawn_local(async move {
        let opened = match servers::choose(&shared).await {
            Ok((origin, config)) => {
                let sink = || sink(&shared, attempt);
                link::open(&origin, &config, &path, preference, sink).await
            }
            Err(reason) => Err(reason),
        };
        {
            let mut engine = shared.borrow_mut();
            if engine.attempt != attempt || engine.left {
                if let Ok(link) = opened {
                    link.close();
                }
                return;
            }
            match opened {
                Ok(link) if !engine.session.is_connecting() => link.close(),
                Ok(link) => {
                    engine.outbox.reconnected(js::now(), link.waits());
                    engine.link = Some(link);
                    // The server begins to say what it wants before it says Welcome.
                    for camera in engine.cameras.values_mut() {
                        camera.restart();
                    }
                    engine.session.opened(js::now());
                }
                Err(reason) => engine.session.lost(js::now(), None, &reason),
            }
        }
        pump(&shared);
    });
}

fn sink(shared: &Shared, attempt: u32) -> Sink {
    let current = move |shared: &Weak<RefCell<Engine>>| {
        shared
            .upgrade()
            .filter(|shared| shared.borrow().attempt == attempt)
    };
    let (packets, ends) = (Rc::downgrade(shared), Rc::downgrade(shared));
    Sink::new(
        move |bytes| {
            if let Some(shared) = current(&packets) {
                {
                    let mut engine = shared.borrow_mut();
                    engine.meter.received(bytes.len());
                    engine.session.receive(js::now(), bytes);
                }
                pump(&shared);
            }
        },
        move |close, reason| {
            if let Some(shared) = current(&ends) {
                {
                    let mut engine = shared.borrow_mut();
                    if let Some(link) = engine.link.take() {
                        link.close();
                    }
                    engine.session.lost(js::now(), close, &reason);
                }
                pump(&shared);
            }
        },
    )
}

impl Engine {
    /// Gives the link what it can take now; the rest waits where it can be overtaken.
    fn flush(&mut self) {
        let now = js::now();
        if let Some(round_trip) = self.session.take_round_trip() {
            self.outbox.round_trip(now, round_trip);
        }
        while let Some(transmit) = self.session.poll_transmit() {
            // With too much control waiting the server is as good as gone; it says so itself.
            self.outbox.push(now, transmit);
        }
        while let Some(link) = self.link.as_ref().filter(|link| link.is_ready()) {
            let Some(Outgoing { transmit, picture }) = self.outbox.pop(now) else {
                return;
            };
            self.meter.sent(transmit.bytes.len());
            link.send(
                &transmit,
                finished(self.this.clone(), self.attempt, picture),
            );
        }
    }

    /// Looks how the path is, and divides what it carries among pictures: a screen is read, and
    /// goes first.
    fn judge(&mut self, now: Duration) {
        if self.outbox.deadline(now).is_none_or(|at| now < at) {
            return;
        }
        self.outbox.tick(now, self.session.unanswered(now));
        if self.outbox.wants_round_trips() {
            self.session.probe(now);
        }
        while let Some(request) = self.outbox.poll_keyframe(now) {
            for camera in self.cameras.values_mut() {
                if camera.kind() == request.kind() {
                    camera.request_keyframe(request.spatial);
                }
            }
        }
        let bps = self.outbox.pictures_bps(now);
        let order = [Source::Screen, Source::Camera];
        let claims = order.map(|source| {
            let claim = self.cameras.get(&source).map(VideoPublisher::claim);
            claim.unwrap_or_default()
        });
        for (source, bps) in order.iter().zip(divide(bps, &claims)) {
            if let Some(camera) = self.cameras.get_mut(source) {
                camera.set_budget(bps);
            }
        }
        // Layers that cannot be sent for long are not offered.
        self.publish_changed();
    }

    fn command(&mut self, command: Command, stream: &JsValue) {
        match command {
            Command::Start { .. } => {}
            Command::Publish { source, .. } => self.publish(source, stream),
            Command::Unpublish { source } => {
                self.cameras.remove(&source);
                self.sounds.remove(&source);
                if source == Source::Microphone {
                    self.voices.set_own_level(0.0);
                }
                self.publish_changed();
            }
            Command::Mute { source, muted } => {
                if let Some(sound) = self.sounds.get_mut(&source) {
                    sound.set_muted(muted);
                    self.voices.set_own_level(0.0);
                    self.publish_changed();
                }
            }
            Command::Hint { hint } => {
                self.detail = hint == super::protocol::ContentHint::Detail;
                if let Some(screen) = self.cameras.get_mut(&Source::Screen) {
                    screen.set_detail(self.detail);
                }
            }
            Command::Attach {
                view,
                session,
                kind,
            } => self.views.attach(view, session, kind, stream),
            Command::Resize {
                view,
                width,
                height,
                visible,
            } => self.views.resize(view, width, height, visible),
            Command::Detach { view } => self.views.detach(view),
            Command::OutputLatency { ms } => {
                self.output_latency = Duration::from_secs_f64(ms.clamp(0.0, 1000.0) / 1000.0);
            }
            Command::Statistics { request } => {
                let statistics = self.statistics();
                report(&Report::Statistics {
                    request,
                    statistics,
                });
            }
            Command::TryNow => self.session.try_now(),
            Command::Leave => self.leave(),
        }
    }

    fn publish(&mut self, source: Source, stream: &JsValue) {
        let Ok(reader) = stream.clone().unchecked_into::<js::Readable>().reader() else {
            return;
        };
        if source.is_audio() {
            if let Some(sound) = self.sounds.get_mut(&source) {
                // Another device: the others hear the same stream go on.
                sound.read(reader);
                return;
            }
            let id = self.stream_id();
            let mut sound = AudioPublisher::new(self.this.clone(), source, id);
            sound.read(reader);
            self.sounds.insert(source, sound);
        } else {
            if let Some(camera) = self.cameras.get_mut(&source) {
                camera.read(reader);
                return;
            }
            let mut camera = VideoPublisher::new(self.this.clone(), source, self.detail);
            camera.read(reader);
            self.cameras.insert(source, camera);
        }
        self.publish_changed();
    }

    /// Rises with every stream, also over reconnections: receivers tell old from new by it.
    fn stream_id(&mut self) -> u32 {
        let id = self.next_stream_id;
        self.next_stream_id += 1;
        id
    }

    fn publish_changed(&mut self) {
        let sounds = self.sounds.values().map(AudioPublisher::info);
        let cameras = self.cameras.values().filter_map(VideoPublisher::info);
        let streams = sounds.chain(cameras).collect();
        self.session.set_publish(PublishState { streams });
    }

    /// Tells the server what is shown and how large, if that changed.
    fn subscribe(&mut self) {
        let Some(wants) = self.views.changed_wants() else {
            return;
        };
        let reception = &mut self.reception;
        self.pictures.retain(|&(session, kind), _| {
            let wanted = views::is_wanted(&wants, session, kind);
            if let Some(session) = SessionId::new(session).filter(|_| !wanted) {
                reception.paused(session, kind);
            }
            wanted
        });
        self.session.set_subscribe(Subscribe { all: false, wants });
    }

    /// The server told what it sends of a picture.
    fn forwarding(&mut self, state: &ForwardState) {
        self.views.forwarding(state);
        if state.spatial.is_some() {
            return;
        }
        if let Some(session) = SessionId::new(state.session_id) {
            self.reception.paused(session, state.kind());
        }
        if let Some(picture) = self.pictures.get_mut(&(state.session_id, state.kind())) {
            picture.pause();
        }
    }

    fn tick(&mut self) {
        let now = js::now();
        if self.session.deadline().is_some_and(|at| at <= now) {
            self.session.handle_timeout(now);
        }
        self.subscribe();
        for (&(session, kind), picture) in &mut self.pictures {
            let heard = self.heard.get(&(session, sound_of(kind)));
            picture.hear(
                heard.and_then(|sound| self.voices.heard(sound.slot(), now + self.output_latency)),
            );
            let ticked = picture.tick(now, &mut self.views);
            let Some(session) = SessionId::new(session) else {
                continue;
            };
            if let Some(routing) = ticked.shown {
                self.reception.shown(now, session, &routing);
            }
            if ticked.wants_keyframe {
                self.session.request_keyframe(session, kind);
            }
        }
        self.judge(now);
        self.each_second(now);
        self.tell_roster(now);
    }

    fn leave(&mut self) {
        self.session.leave();
        self.flush();
        self.left = true;
        self.cameras.clear();
        self.sounds.clear();
        self.pictures.clear();
        self.heard.clear();
        if let Some(link) = self.link.take() {
            link.close();
        }
    }
}

/// The sound that belongs to a picture.
fn sound_of(kind: MediaKind) -> MediaKind {
    if kind == MediaKind::Screen {
        MediaKind::ScreenAudio
    } else {
        MediaKind::Audio
    }
}
