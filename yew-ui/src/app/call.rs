//! The page of a call: holds its state and gives each part what it shows.

use videocall_client::web::{
    Call, Connection, ContentHint, Event, JoinOptions, Participants, Quality, Source,
    TransportPreference, Warning,
    devices::{self, DeviceKind},
};
use videocall_types::ids::MediaKind;
use wasm_bindgen::{JsCast, prelude::Closure};
use web_sys::{HtmlElement, KeyboardEvent, MediaStreamTrack, VisibilityState};
use yew::prelude::*;
use yew_ui::announce;

use super::{
    Context,
    banner::Banner,
    browser,
    controls::{Action, Controls},
    devices::LocalTracks,
    icons::{Icon, icon},
    left::Why,
    panels::{Help, Panel, QualitySign, SettingsPanel},
    people::People,
    stage::{Layout, Stage},
    statistics::StatisticsPanel,
    support,
};

#[derive(Properties, PartialEq)]
pub(crate) struct CallProps {
    pub(crate) meeting: String,
    pub(crate) name: String,
    pub(crate) tracks: LocalTracks,
    pub(crate) leave: Callback<Why>,
}

pub(crate) enum Msg {
    Started(Result<Call, String>),
    Event(Event),
    Act(Action),
    Opened(Source, MediaStreamTrack),
    Failed(Source, devices::DeviceError),
    ScreenEnded,
    Pin((u64, MediaKind)),
    Device(DeviceKind, String),
    Hint(ContentHint),
    Measure,
    Copy,
    Context(Context),
    DismissNotice,
}

/// An event of the window, and what is called for it.
type Listener = (&'static str, Closure<dyn FnMut(web_sys::Event)>);

pub(crate) struct CallPage {
    context: Context,
    _context: ContextHandle<Context>,
    call: Option<Call>,
    connection: Connection,
    own_session: u64,
    tracks: LocalTracks,
    screen: Option<MediaStreamTrack>,
    muted: bool,
    participants: Participants,
    /// Who came and went last, for those who do not see it.
    told: String,
    speakers: Vec<u64>,
    quality: Quality,
    layout: Layout,
    pinned: Option<(u64, MediaKind)>,
    panel: Option<Action>,
    notice: Option<&'static str>,
    copied: bool,
    stage: NodeRef,
    size: (f64, f64),
    visible: bool,
    listeners: Vec<Listener>,
    screen_ended: Option<Closure<dyn FnMut()>>,
}

impl Component for CallPage {
    type Message = Msg;
    type Properties = CallProps;

    fn create(ctx: &yew::Context<Self>) -> Self {
        let on_context = ctx.link().callback(Msg::Context);
        let (context, handle) = ctx
            .link()
            .context(on_context)
            .expect("every component is within App");
        let tracks = ctx.props().tracks.clone();
        start(ctx);
        Self {
            muted: tracks.microphone.is_none(),
            context,
            _context: handle,
            call: None,
            connection: Connection::Connecting,
            own_session: 0,
            tracks,
            screen: None,
            participants: Participants::default(),
            told: String::new(),
            speakers: Vec::new(),
            quality: Quality::Unknown,
            layout: Layout::Grid,
            pinned: None,
            panel: None,
            notice: None,
            copied: false,
            stage: NodeRef::default(),
            size: (0.0, 0.0),
            visible: true,
            listeners: listen(ctx),
            screen_ended: None,
        }
    }

    fn update(&mut self, ctx: &yew::Context<Self>, msg: Msg) -> bool {
        match msg {
            Msg::Started(Ok(call)) => self.started(ctx, call),
            Msg::Started(Err(text)) => {
                ctx.props().leave.emit(Why::Failed(text));
                return false;
            }
            Msg::Event(event) => return self.happened(ctx, event),
            Msg::Act(action) => self.act(ctx, action),
            Msg::Opened(source, track) => self.opened(ctx, source, track),
            Msg::Failed(source, error) => self.failed(source, &error),
            Msg::ScreenEnded => self.stop_screen(),
            Msg::Pin(of) => {
                self.pinned = if self.pinned == Some(of) {
                    None
                } else {
                    Some(of)
                }
            }
            Msg::Device(kind, id) => self.choose(ctx, kind, id),
            Msg::Hint(hint) => self.with_call(|call| call.set_content_hint(hint)),
            Msg::Measure => return self.measure(),
            Msg::Copy => {
                browser::copy(&browser::meeting_link(&ctx.props().meeting));
                self.copied = true;
            }
            Msg::Context(context) => self.context = context,
            Msg::DismissNotice => self.notice = None,
        }
        true
    }

    fn rendered(&mut self, ctx: &yew::Context<Self>, _first: bool) {
        // A panel that opened, or a bar that wrapped, leaves another stage.
        if self.measured() != self.size {
            ctx.link().send_message(Msg::Measure);
        }
    }

    fn view(&self, ctx: &yew::Context<Self>) -> Html {
        let texts = self.context.texts();
        let act = ctx.link().callback(Msg::Act);
        html! {
            <div class="call">
                <header class="call-header">
                    <h1 title={ctx.props().meeting.clone()}>{ &ctx.props().meeting }</h1>
                    <QualitySign quality={self.quality} />
                </header>
                <Banner call={self.call.clone()} connection={self.connection.clone()} joined={self.own_session != 0} />
                <p class="sr-only" role="status" data-testid="announcement">{ &self.told }</p>
                <div class="call-body">
                    <main class="stage" ref={self.stage.clone()}>
                        <Stage call={self.call.clone()} own_session={self.own_session} own_name={ctx.props().name.clone()}
                            camera={self.tracks.camera.clone()} screen={self.screen.clone()} muted={self.muted}
                            participants={self.participants.clone()} speakers={self.speakers.clone()} layout={self.layout}
                            pinned={self.pinned} pin={ctx.link().callback(Msg::Pin)} size={self.size} visible={self.visible} {texts} />
                        { self.alone(ctx) }
                    </main>
                    { self.panel(ctx) }
                </div>
                if let Some(notice) = self.notice {
                    <div class="toast" role="status">
                        <span>{ notice }</span>
                        <button class="round small" aria-label={texts.close} onclick={ctx.link().callback(|_: MouseEvent| Msg::DismissNotice)}>{ icon(Icon::Close) }</button>
                    </div>
                }
                <Controls muted={self.muted} camera_on={self.tracks.camera.is_some()} sharing={self.screen.is_some()}
                    layout={self.layout} panel={self.panel} {act} />
            </div>
        }
    }

    fn destroy(&mut self, _ctx: &yew::Context<Self>) {
        for (event, listener) in &self.listeners {
            browser::off_window(event, listener.as_ref());
        }
        self.stop_screen();
        self.tracks.stop();
        if let Some(call) = self.call.take() {
            call.leave();
        }
        support::tell_call(None);
        support::tell_connection(None);
    }
}

fn start(ctx: &yew::Context<CallPage>) {
    let on_event = ctx.link().callback(Msg::Event);
    let options = JoinOptions {
        meeting: ctx.props().meeting.clone(),
        display_name: ctx.props().name.clone(),
        transport: match query("transport").as_deref() {
            Some("websocket") => TransportPreference::WebSocket,
            Some("webtransport") => TransportPreference::WebTransport,
            _ => TransportPreference::Auto,
        },
    };
    ctx.link().send_future(async move {
        let call = Call::join(options, move |event| on_event.emit(event)).await;
        Msg::Started(call.map_err(|error| error.to_string()))
    });
}

/// A value of the address, for those who look for the cause of a problem.
fn query(key: &str) -> Option<String> {
    let search = browser::window().location().search().ok()?;
    let pairs = search
        .trim_start_matches('?')
        .split('&')
        .filter_map(|pair| pair.split_once('='));
    pairs
        .filter(|(name, _)| *name == key)
        .map(|(_, value)| value.to_owned())
        .next()
}

fn listen(ctx: &yew::Context<CallPage>) -> Vec<Listener> {
    let measure = || {
        let link = ctx.link().clone();
        Closure::<dyn FnMut(web_sys::Event)>::new(move |_| link.send_message(Msg::Measure))
    };
    let link = ctx.link().clone();
    let keys = Closure::<dyn FnMut(web_sys::Event)>::new(move |event: web_sys::Event| {
        let Some(event) = event.dyn_ref::<KeyboardEvent>() else {
            return;
        };
        let typing = event
            .target()
            .and_then(|target| target.dyn_into::<HtmlElement>().ok())
            .is_some_and(|element| {
                matches!(element.tag_name().as_str(), "INPUT" | "SELECT" | "TEXTAREA")
            });
        if typing || event.ctrl_key() || event.meta_key() || event.alt_key() || event.repeat() {
            return;
        }
        if let Some(action) = Action::of_key(&event.key()) {
            event.prevent_default();
            link.send_message(Msg::Act(action));
        }
    });
    let listeners = vec![
        ("resize", measure()),
        ("visibilitychange", measure()),
        ("keydown", keys),
    ];
    for (event, listener) in &listeners {
        browser::on_window(event, listener.as_ref());
    }
    listeners
}

impl CallPage {
    fn with_call(&self, act: impl FnOnce(&Call)) {
        if let Some(call) = &self.call {
            act(call);
        }
    }

    fn started(&mut self, ctx: &yew::Context<Self>, call: Call) {
        if let Some(speaker) = &self.context.settings.speaker {
            call.set_speaker(speaker);
        }
        if let Some(track) = &self.tracks.camera {
            call.publish(Source::Camera, track);
        }
        if let Some(track) = &self.tracks.microphone {
            call.publish(Source::Microphone, track);
        }
        support::tell_call(Some(call.clone()));
        self.call = Some(call);
        if self.tracks.camera_awaited && self.tracks.camera.is_none() {
            self.open(ctx, Source::Camera);
        }
        if self.tracks.microphone_awaited && self.tracks.microphone.is_none() {
            self.open(ctx, Source::Microphone);
        }
    }

    fn happened(&mut self, ctx: &yew::Context<Self>, event: Event) -> bool {
        match event {
            Event::Connection(connection) => {
                support::tell_connection(Some(connection.clone()));
                match &connection {
                    Connection::Connected { session_id, .. } => self.own_session = *session_id,
                    Connection::Closed { code, text } => {
                        let why = Why::Closed {
                            admitted: self.own_session != 0,
                            code: *code,
                            text: text.clone(),
                        };
                        ctx.props().leave.emit(why);
                        return false;
                    }
                    _ => {}
                }
                self.connection = connection;
            }
            Event::Roster(participants) => {
                support::tell_participants(participants.len());
                self.tell(&participants);
                self.participants = participants;
            }
            Event::Speakers(speakers) => self.speakers = speakers,
            Event::OwnQuality(quality) => self.quality = quality,
            Event::Warning(warning) => self.warn(warning),
        }
        true
    }

    fn warn(&mut self, warning: Warning) {
        let texts = self.context.texts();
        self.notice = Some(match warning {
            Warning::NoVideoEncoder => texts.warning_encoder,
            Warning::Overloaded => texts.warning_overloaded,
            Warning::NoSound => texts.warning_sound,
            Warning::Ended(Source::Camera) => {
                self.stop_camera();
                texts.warning_camera_ended
            }
            Warning::Ended(Source::Microphone) => {
                self.tracks.microphone = None;
                self.muted = true;
                self.with_call(|call| call.unpublish(Source::Microphone));
                texts.warning_microphone_ended
            }
            Warning::Ended(Source::Screen | Source::ScreenAudio) => return self.stop_screen(),
        });
    }

    fn act(&mut self, ctx: &yew::Context<Self>, action: Action) {
        match action {
            Action::Microphone => match &self.tracks.microphone {
                Some(track) => {
                    self.muted = !self.muted;
                    track.set_enabled(!self.muted);
                    self.with_call(|call| call.set_muted(Source::Microphone, self.muted));
                }
                None => self.open(ctx, Source::Microphone),
            },
            Action::Camera if self.tracks.camera.is_some() => self.stop_camera(),
            Action::Camera => self.open(ctx, Source::Camera),
            Action::Screen if self.screen.is_some() => self.stop_screen(),
            Action::Screen => self.open(ctx, Source::Screen),
            Action::Layout => {
                self.layout = match self.layout {
                    Layout::Grid => Layout::Speaker,
                    Layout::Speaker => Layout::Grid,
                };
            }
            Action::People | Action::Statistics | Action::Settings | Action::Help => {
                self.panel = if self.panel == Some(action) {
                    None
                } else {
                    Some(action)
                };
            }
            Action::ClosePanel => self.panel = None,
            Action::Leave => ctx.props().leave.emit(Why::Left),
        }
    }

    fn open(&self, ctx: &yew::Context<Self>, source: Source) {
        let settings = self.context.settings.clone();
        let link = ctx.link().clone();
        wasm_bindgen_futures::spawn_local(async move {
            let opened = match source {
                Source::Camera => devices::open_camera(settings.camera.as_deref()).await,
                Source::Microphone => {
                    devices::open_microphone(settings.microphone.as_deref()).await
                }
                Source::Screen | Source::ScreenAudio => match devices::open_screen().await {
                    Ok((video, audio)) => {
                        if let Some(audio) = audio {
                            link.send_message(Msg::Opened(Source::ScreenAudio, audio));
                        }
                        Ok(video)
                    }
                    Err(error) => Err(error),
                },
            };
            link.send_message(match opened {
                Ok(track) => Msg::Opened(source, track),
                Err(error) => Msg::Failed(source, error),
            });
        });
    }

    fn opened(&mut self, ctx: &yew::Context<Self>, source: Source, track: MediaStreamTrack) {
        self.with_call(|call| call.publish(source, &track));
        match source {
            Source::Camera => {
                if let Some(before) = self.tracks.camera.replace(track) {
                    before.stop();
                }
            }
            Source::Microphone => {
                self.muted = false;
                self.with_call(|call| call.set_muted(Source::Microphone, false));
                if let Some(before) = self.tracks.microphone.replace(track) {
                    before.stop();
                }
            }
            Source::Screen => {
                // The browser has a button of its own to stop it.
                let ended = ctx.link().callback(|()| Msg::ScreenEnded);
                let on_ended = Closure::<dyn FnMut()>::new(move || ended.emit(()));
                track.set_onended(Some(on_ended.as_ref().unchecked_ref()));
                self.screen_ended = Some(on_ended);
                self.screen = Some(track);
            }
            Source::ScreenAudio => {}
        }
    }

    fn failed(&mut self, source: Source, error: &devices::DeviceError) {
        // Who closes the chooser of screens knows it.
        if source == Source::Screen && *error == devices::DeviceError::PermissionDenied {
            return;
        }
        let kind = if source == Source::Camera {
            DeviceKind::Camera
        } else {
            DeviceKind::Microphone
        };
        self.notice = Some(super::devices::explain(error, kind, self.context.texts()));
    }

    fn stop_camera(&mut self) {
        if let Some(track) = self.tracks.camera.take() {
            track.stop();
        }
        self.with_call(|call| call.unpublish(Source::Camera));
    }

    fn stop_screen(&mut self) {
        if let Some(track) = self.screen.take() {
            track.set_onended(None);
            track.stop();
            self.with_call(|call| {
                call.unpublish(Source::Screen);
                call.unpublish(Source::ScreenAudio);
            });
        }
    }

    fn choose(&mut self, ctx: &yew::Context<Self>, kind: DeviceKind, id: String) {
        let mut settings = (*self.context.settings).clone();
        match kind {
            DeviceKind::Camera => settings.camera = Some(id),
            DeviceKind::Microphone => settings.microphone = Some(id),
            DeviceKind::Speaker => {
                self.with_call(|call| call.set_speaker(&id));
                settings.speaker = Some(id);
            }
        }
        self.context.change.emit(settings.clone());
        self.context.settings = settings.into();
        match kind {
            DeviceKind::Camera if self.tracks.camera.is_some() => self.open(ctx, Source::Camera),
            DeviceKind::Microphone if self.tracks.microphone.is_some() => {
                self.open(ctx, Source::Microphone);
            }
            _ => {}
        }
    }

    fn measured(&self) -> (f64, f64) {
        self.stage
            .cast::<HtmlElement>()
            .map_or((0.0, 0.0), |stage| {
                (
                    f64::from(stage.client_width()),
                    f64::from(stage.client_height()),
                )
            })
    }

    fn measure(&mut self) -> bool {
        let hidden = browser::window()
            .document()
            .is_some_and(|document| document.visibility_state() == VisibilityState::Hidden);
        let (size, visible) = (self.measured(), !hidden);
        let changed = (size, visible) != (self.size, self.visible);
        (self.size, self.visible) = (size, visible);
        changed
    }

    fn tell(&mut self, participants: &Participants) {
        fn people(of: &Participants) -> Vec<(u64, &str)> {
            of.iter()
                .map(|it| (it.session_id, &*it.display_name))
                .collect()
        }
        let (before, after) = (people(&self.participants), people(participants));
        if let Some(told) = announce::changes(self.context.language, &before, &after) {
            self.told = told;
        }
    }

    fn alone(&self, ctx: &yew::Context<Self>) -> Html {
        let texts = self.context.texts();
        let joined = matches!(self.connection, Connection::Connected { .. });
        if !joined || !self.participants.is_empty() {
            return Html::default();
        }
        let copy = if self.copied {
            texts.copied
        } else {
            texts.copy_link
        };
        html! {
            <div class="alone" data-testid="alone-state" role="status">
                <p><b>{ texts.alone }</b></p>
                <p class="quiet">{ texts.alone_hint }</p>
                <p class="invite"><code>{ browser::meeting_link(&ctx.props().meeting) }</code></p>
                <button class="button primary" onclick={ctx.link().callback(|_: MouseEvent| Msg::Copy)}>{ icon(Icon::Copy) }{ copy }</button>
            </div>
        }
    }

    fn panel(&self, ctx: &yew::Context<Self>) -> Html {
        let texts = self.context.texts();
        let close = ctx.link().callback(Msg::Act);
        match self.panel {
            Some(Action::People) => html! {
                <Panel title={texts.people} test_id="participants-panel" {close}>
                    <People own_name={ctx.props().name.clone()} own_session={self.own_session} muted={self.muted}
                        camera_on={self.tracks.camera.is_some()} participants={self.participants.clone()} speakers={self.speakers.clone()} />
                </Panel>
            },
            Some(Action::Statistics) => html! {
                <Panel title={texts.statistics} test_id="stats-panel" {close}>
                    if let Some(call) = self.call.clone() {
                        <StatisticsPanel {call} />
                    }
                </Panel>
            },
            Some(Action::Settings) => html! {
                <Panel title={texts.settings} test_id="settings-panel" {close}>
                    <SettingsPanel choose={ctx.link().callback(|(kind, id)| Msg::Device(kind, id))} hint={ctx.link().callback(Msg::Hint)} />
                </Panel>
            },
            Some(Action::Help) => html! {
                <Panel title={texts.shortcuts} test_id="help-panel" {close}><Help /></Panel>
            },
            _ => Html::default(),
        }
    }
}
