//! The page's side: starts the engine, gives it tracks, shows what it makes.

pub mod devices;
pub(super) mod meter;
mod output;
mod view;

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, HashSet},
    rc::Rc,
};

use futures_channel::oneshot;
use js_sys::{Array, Atomics, Int32Array, SharedArrayBuffer};
use videocall_playout::layout::{HEADER, LEVEL, OWN_LEVEL, SLOT, WORDS};
use videocall_types::ids::MediaKind;
use wasm_bindgen::{JsCast, JsValue, prelude::Closure};
use wasm_bindgen_futures::spawn_local;
use web_sys::{
    ErrorEvent, HtmlVideoElement, MediaStreamTrack, MessageEvent, Worker, WorkerOptions, WorkerType,
};

pub use view::View;

use self::output::Output;
use super::{
    js,
    protocol::{
        Command, ContentHint, Event, Participants, Report, RosterChange, Source, Statistics,
        TransportPreference, Warning,
    },
};

/// Whom to be, and where.
#[derive(Clone, Debug)]
pub struct JoinOptions {
    /// The meeting's name.
    pub meeting: String,
    /// The name that others see.
    pub display_name: String,
    /// Which transport to use.
    pub transport: TransportPreference,
}

/// The engine cannot be started in this browser.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// The page is not cross-origin isolated, or was not loaded securely.
    #[error("the page must be loaded over HTTPS, or from localhost")]
    InsecureContext,
    /// Something that every recent Chromium has is missing.
    #[error("this browser cannot do this: {0}")]
    Unsupported(String),
}

struct Inner {
    worker: Worker,
    output: Output,
    words: Int32Array,
    voices: RefCell<HashMap<u64, u32>>,
    own_session: Cell<u64>,
    next_id: Cell<u32>,
    statistics: RefCell<HashMap<u32, oneshot::Sender<Statistics>>>,
    participants: RefCell<Participants>,
    on_event: Box<dyn Fn(Event)>,
    left: Cell<bool>,
}

/// A meeting that one takes part in. Cloning shares it.
#[derive(Clone)]
pub struct Call {
    inner: Rc<Inner>,
}

impl PartialEq for Call {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Call {
    /// Joins; what happens is told to `on_event`. Call it from a click, so that the browser lets
    /// sound be played.
    ///
    /// # Errors
    /// The engine cannot run here.
    pub async fn join(
        options: JoinOptions,
        on_event: impl Fn(Event) + 'static,
    ) -> Result<Self, JoinError> {
        if js::get(&js_sys::global(), "SharedArrayBuffer").is_undefined() {
            return Err(JoinError::InsecureContext);
        }
        let memory = SharedArrayBuffer::new(WORDS * 4);
        let output = Output::start(&memory).await?;
        let worker_options = WorkerOptions::new();
        worker_options.set_type(WorkerType::Module);
        let worker = Worker::new_with_options(&output::asset("engineWorker"), &worker_options)
            .map_err(|error| JoinError::Unsupported(js::message(&error)))?;
        let inner = Rc::new(Inner {
            worker,
            output,
            words: Int32Array::new(&memory),
            voices: RefCell::default(),
            own_session: Cell::new(0),
            next_id: Cell::new(1),
            statistics: RefCell::default(),
            participants: RefCell::default(),
            on_event: Box::new(on_event),
            left: Cell::new(false),
        });
        let call = Self { inner };
        call.listen().await?;
        let window = web_sys::window();
        let origin = window
            .and_then(|window| window.location().origin().ok())
            .unwrap_or_default();
        let command = Command::Start {
            origin,
            meeting: options.meeting,
            display_name: options.display_name,
            transport: options.transport,
            seed: js_sys::Math::random() + js_sys::Date::now(),
        };
        call.inner.post(&command, Some(("memory", &memory)), false);
        call.follow_network();
        call.follow_latency();
        Ok(call)
    }

    /// Waits until the worker listens, and takes what it says from then on.
    async fn listen(&self) -> Result<(), JoinError> {
        let (ready, is_ready) = oneshot::channel::<Result<(), String>>();
        let ready = Rc::new(RefCell::new(Some(ready)));
        let weak = Rc::downgrade(&self.inner);
        let on_message = {
            let ready = ready.clone();
            Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
                if let Some(ready) = ready.borrow_mut().take() {
                    let _ = ready.send(Ok(()));
                    return;
                }
                let Some(inner) = weak.upgrade() else { return };
                if let Ok(report) = serde_wasm_bindgen::from_value(event.data()) {
                    inner.take(report);
                }
            })
        };
        let on_error = Closure::<dyn FnMut(ErrorEvent)>::new(move |event: ErrorEvent| {
            if let Some(ready) = ready.borrow_mut().take() {
                let _ = ready.send(Err(event.message()));
            }
        });
        let worker = &self.inner.worker;
        worker.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        worker.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        // They live as long as the worker, which is terminated on leaving.
        on_message.forget();
        on_error.forget();
        match is_ready.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(JoinError::Unsupported(error)),
            Err(_) => Err(JoinError::Unsupported(
                "the engine did not start".to_owned(),
            )),
        }
    }

    /// Publishes a track, or another one in its place.
    pub fn publish(&self, source: Source, track: &MediaStreamTrack) {
        let Ok(processor) =
            js::MediaStreamTrackProcessor::new(&js::object([("track", track.into())]))
        else {
            (self.inner.on_event)(Event::Warning(Warning::Ended(source)));
            return;
        };
        let stream: JsValue = processor.readable().into();
        self.inner.post(
            &Command::Publish { source },
            Some(("stream", &stream)),
            true,
        );
    }

    /// Stops publishing.
    pub fn unpublish(&self, source: Source) {
        self.inner.post(&Command::Unpublish { source }, None, false);
    }

    /// Silences the microphone, or the sound of a screen.
    pub fn set_muted(&self, source: Source, muted: bool) {
        self.inner
            .post(&Command::Mute { source, muted }, None, false);
    }

    /// What matters of the shared screen.
    pub fn set_content_hint(&self, hint: ContentHint) {
        self.inner.post(&Command::Hint { hint }, None, false);
    }

    /// Shows somebody's picture in an element, as long as the view lives.
    pub fn attach(
        &self,
        session_id: u64,
        kind: MediaKind,
        element: &HtmlVideoElement,
    ) -> Option<View> {
        let id = self.inner.id();
        View::new(self.inner.clone(), id, session_id, kind, element)
    }

    /// Plays through that device; empty for the default.
    pub fn set_speaker(&self, device_id: &str) {
        self.inner.output.set_device(device_id);
    }

    /// Loudness of a participant's voice, or one's own, 0 to 1. Cheap: reads shared memory.
    pub fn level(&self, session_id: u64) -> f32 {
        let at = if session_id == self.inner.own_session.get() {
            OWN_LEVEL
        } else {
            match self.inner.voices.borrow().get(&session_id) {
                Some(slot) => HEADER + slot * SLOT + LEVEL,
                None => return 0.0,
            }
        };
        Atomics::load(&self.inner.words, at).unwrap_or(0) as f32 / 1e6
    }

    /// Figures of the last second.
    pub async fn statistics(&self) -> Option<Statistics> {
        let (sender, receiver) = oneshot::channel();
        let request = self.inner.id();
        self.inner.statistics.borrow_mut().insert(request, sender);
        self.inner
            .post(&Command::Statistics { request }, None, false);
        receiver.await.ok()
    }

    /// Tries again at once to come back, without waiting for the time that was told.
    pub fn try_now(&self) {
        self.inner.post(&Command::TryNow, None, false);
    }

    /// Leaves. The last thing that is told is that the connection is closed.
    pub fn leave(&self) {
        if self.inner.left.replace(true) {
            return;
        }
        self.inner.post(&Command::Leave, None, false);
        self.inner.output.stop();
        let inner = self.inner.clone();
        spawn_local(async move {
            // The last words leave with it.
            js::sleep(300.0).await;
            inner.worker.terminate();
        });
    }

    /// The browser often knows before a timeout that the network is back.
    fn follow_network(&self) {
        let weak = Rc::downgrade(&self.inner);
        let on_online = Closure::<dyn FnMut()>::new(move || {
            if let Some(inner) = weak.upgrade() {
                inner.post(&Command::TryNow, None, false);
            }
        });
        if let Some(window) = web_sys::window() {
            let callback = on_online.as_ref().unchecked_ref();
            let _ = window.add_event_listener_with_callback("online", callback);
        }
        on_online.forget();
    }

    fn follow_latency(&self) {
        let weak = Rc::downgrade(&self.inner);
        spawn_local(async move {
            while let Some(inner) = weak.upgrade().filter(|inner| !inner.left.get()) {
                let ms = inner.output.latency_ms();
                inner.post(&Command::OutputLatency { ms }, None, false);
                drop(inner);
                js::sleep(2000.0).await;
            }
        });
    }
}

impl Inner {
    fn id(&self) -> u32 {
        self.next_id.replace(self.next_id.get() + 1)
    }

    /// Sends a command with something beside it, which moves to the worker if `transfer`.
    fn post(&self, command: &Command, beside: Option<(&str, &JsValue)>, transfer: bool) {
        let Ok(command) = serde_wasm_bindgen::to_value(command) else {
            return;
        };
        let message = js::object([("command", command)]);
        let transferred = Array::new();
        if let Some((name, value)) = beside {
            let _ = js_sys::Reflect::set(&message, &name.into(), value);
            if transfer {
                transferred.push(value);
            }
        }
        let _ = self
            .worker
            .post_message_with_transfer(&message, &transferred);
    }

    fn take(&self, report: Report) {
        match report {
            Report::Event(event) => {
                if let Event::Connection(super::Connection::Connected { session_id, .. }) = &event {
                    self.own_session.set(*session_id);
                }
                (self.on_event)(event);
            }
            Report::Roster(change) => {
                let participants = changed(&self.participants.borrow(), change);
                *self.participants.borrow_mut() = participants.clone();
                (self.on_event)(Event::Roster(participants));
            }
            Report::Statistics {
                request,
                statistics,
            } => {
                if let Some(waiting) = self.statistics.borrow_mut().remove(&request) {
                    let _ = waiting.send(statistics);
                }
            }
            Report::Voices(voices) => *self.voices.borrow_mut() = voices.into_iter().collect(),
        }
    }
}

/// The participants after a change; who did not change is shared.
fn changed(before: &Participants, change: RosterChange) -> Participants {
    let mut changed: HashMap<u64, _> = change
        .changed
        .iter()
        .map(|participant| (participant.session_id, Rc::new(participant.clone())))
        .collect();
    let left: HashSet<u64> = change.left.into_iter().collect();
    let stay = before.iter().filter(|it| !left.contains(&it.session_id));
    let mut after: Vec<_> = stay
        .map(|it| changed.remove(&it.session_id).unwrap_or_else(|| it.clone()))
        .collect();
    let came = change.changed.iter();
    after.extend(came.filter_map(|it| changed.remove(&it.session_id)));
    Rc::new(after)
}
