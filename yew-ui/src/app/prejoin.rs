//! The page before a meeting: how one looks and sounds, and with which devices.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use videocall_client::web::{
    Meter,
    devices::{self, Device, DeviceError, DeviceKind},
};
use wasm_bindgen_futures::spawn_local;
use web_sys::{HtmlElement, HtmlInputElement, HtmlVideoElement, MediaStreamTrack, SubmitEvent};
use yew::prelude::*;

use super::{
    browser::Timer,
    chrome::Frame,
    devices::{LocalTracks, Picker, explain, show},
    icons::{Icon, icon},
    use_app,
};

#[derive(Properties, PartialEq)]
pub(crate) struct PreJoinProps {
    pub(crate) meeting: String,
    pub(crate) join: Callback<(String, LocalTracks)>,
    pub(crate) back: Callback<()>,
}

/// A device that is being opened, is open, is off, or failed.
#[derive(Clone, Debug, PartialEq)]
enum Opening<T> {
    Off,
    Asking,
    Open(T),
    Failed(DeviceError),
}

impl<T: Clone> Opening<T> {
    fn open(&self) -> Option<T> {
        match self {
            Self::Open(track) => Some(track.clone()),
            _ => None,
        }
    }
}

type Track = Opening<MediaStreamTrack>;

/// Opens a device whenever it is wanted, or another one is chosen, and closes the one before. Once
/// `kept` is set, the track belongs to somebody else.
#[hook]
fn use_track(
    kind: DeviceKind,
    wanted: bool,
    device: Option<String>,
    turn: u32,
    kept: Rc<Cell<bool>>,
) -> Track {
    let track = use_state(|| {
        if wanted {
            Opening::Asking
        } else {
            Opening::Off
        }
    });
    {
        let track = track.clone();
        use_effect_with((wanted, device, turn), move |(wanted, device, _)| {
            let open = Rc::new(RefCell::new(Some(None::<MediaStreamTrack>)));
            if *wanted {
                let (device, open) = (device.clone(), open.clone());
                spawn_local(async move {
                    let opened = match kind {
                        DeviceKind::Camera => devices::open_camera(device.as_deref()).await,
                        _ => devices::open_microphone(device.as_deref()).await,
                    };
                    match (opened, open.borrow_mut().as_mut()) {
                        (Ok(opened), Some(place)) => {
                            *place = Some(opened.clone());
                            track.set(Opening::Open(opened));
                        }
                        // No longer wanted.
                        (Ok(opened), None) => opened.stop(),
                        (Err(error), Some(_)) => track.set(Opening::Failed(error)),
                        (Err(_), None) => {}
                    }
                });
            } else {
                track.set(Opening::Off);
            }
            move || {
                let opened = open.borrow_mut().take().flatten();
                if let Some(opened) = opened.filter(|_| !kept.get()) {
                    opened.stop();
                }
            }
        });
    }
    (*track).clone()
}

#[component]
pub(crate) fn PreJoin(props: &PreJoinProps) -> Html {
    let app = use_app();
    let texts = app.texts();
    let settings = app.settings.clone();
    let turn = use_state(|| 0u32);
    let kept = (*use_memo((), |()| Rc::new(Cell::new(false)))).clone();
    let camera = use_track(
        DeviceKind::Camera,
        !settings.camera_off,
        settings.camera.clone(),
        *turn,
        kept.clone(),
    );
    let microphone = use_track(
        DeviceKind::Microphone,
        !settings.microphone_off,
        settings.microphone.clone(),
        *turn,
        kept.clone(),
    );
    let listed = use_state(Vec::<Device>::new);
    {
        let listed = listed.clone();
        // Names of devices are told once one of them is open.
        use_effect_with((camera.clone(), microphone.clone()), move |_| {
            spawn_local(async move {
                if let Ok(devices) = devices::enumerate().await {
                    listed.set(devices);
                }
            });
        });
    }
    let preview = use_node_ref();
    {
        let (preview, track) = (preview.clone(), camera.open());
        use_effect_with(track, move |track| {
            if let Some(element) = preview.cast::<HtmlVideoElement>() {
                show(&element, track.as_ref());
            }
        });
    }
    let join_button = use_node_ref();
    {
        let join_button = join_button.clone();
        use_effect_with((), move |()| {
            if let Some(button) = join_button.cast::<HtmlElement>() {
                let _ = button.focus();
            }
        });
    }
    let name = use_node_ref();
    let name_missing = use_state(|| false);
    let on_join = {
        let (app, name, name_missing) = (app.clone(), name.clone(), name_missing.clone());
        let (camera, microphone, join) = (camera.clone(), microphone.clone(), props.join.clone());
        Callback::from(move |event: SubmitEvent| {
            event.prevent_default();
            let Some(input) = name.cast::<HtmlInputElement>() else {
                return;
            };
            let typed = input.value().trim().to_owned();
            if typed.is_empty() {
                name_missing.set(true);
                let _ = input.focus();
                return;
            }
            let mut settings = (*app.settings).clone();
            settings.name.clone_from(&typed);
            app.change.emit(settings);
            kept.set(true);
            let tracks = LocalTracks {
                camera: camera.open(),
                microphone: microphone.open(),
                camera_awaited: camera == Opening::Asking,
                microphone_awaited: microphone == Opening::Asking,
            };
            join.emit((typed, tracks));
        })
    };
    let toggle = |change: fn(&mut super::settings::Settings)| {
        let app = app.clone();
        Callback::from(move |_: MouseEvent| {
            let mut settings = (*app.settings).clone();
            change(&mut settings);
            app.change.emit(settings);
        })
    };
    let choose = |change: fn(&mut super::settings::Settings, String)| {
        let app = app.clone();
        Callback::from(move |id: String| {
            let mut settings = (*app.settings).clone();
            change(&mut settings, id);
            app.change.emit(settings);
        })
    };
    let retry = {
        let turn = turn.clone();
        Callback::from(move |_: MouseEvent| turn.set(*turn + 1))
    };
    let problem = |track: &Track, kind| match track {
        Opening::Failed(error) => html! {
            <div class="notice" role="alert">
                <p>{ explain(error, kind, texts) }</p>
                <button type="button" class="button small" onclick={retry.clone()}>{ texts.try_again }</button>
            </div>
        },
        _ => Html::default(),
    };
    let camera_on = camera.open().is_some();
    let microphone_on = microphone.open().is_some();
    html! {
        <Frame>
            <div class="prejoin">
                <section class="preview" aria-label={texts.camera}>
                    <video ref={preview} data-testid="preview-video" autoplay=true muted=true playsinline=true
                        class={classes!("mirrored", (!camera_on).then_some("hidden"))} />
                    if !camera_on {
                        <p class="preview-off">{ if camera == Opening::Asking { texts.connecting } else { texts.no_camera } }</p>
                    }
                    <div class="preview-controls">
                        <button type="button" class={classes!("round", settings.microphone_off.then_some("off"))} data-testid="mic-toggle"
                            aria-pressed={(!settings.microphone_off).to_string()}
                            aria-label={if settings.microphone_off { texts.unmute } else { texts.mute }}
                            title={if settings.microphone_off { texts.unmute } else { texts.mute }}
                            onclick={toggle(|s| s.microphone_off = !s.microphone_off)}>
                            { icon(if microphone_on { Icon::Microphone } else { Icon::MicrophoneOff }) }
                        </button>
                        <button type="button" class={classes!("round", settings.camera_off.then_some("off"))} data-testid="camera-toggle"
                            aria-pressed={(!settings.camera_off).to_string()}
                            aria-label={if settings.camera_off { texts.camera_on } else { texts.camera_off }}
                            title={if settings.camera_off { texts.camera_on } else { texts.camera_off }}
                            onclick={toggle(|s| s.camera_off = !s.camera_off)}>
                            { icon(if camera_on { Icon::Camera } else { Icon::CameraOff }) }
                        </button>
                    </div>
                    if let Some(track) = microphone.open() {
                        <LevelMeter {track} label={texts.microphone} />
                    }
                </section>
                <form class="prejoin-form" onsubmit={on_join} novalidate=true>
                    <p class="quiet meeting-name">{ texts.meeting }{ " " }<b>{ &props.meeting }</b></p>
                    <h1>{ texts.ready }</h1>
                    { problem(&camera, DeviceKind::Camera) }
                    { problem(&microphone, DeviceKind::Microphone) }
                    <label class="picker"><span>{ texts.your_name }</span>
                        <input ref={name} data-testid="name-input" value={settings.name.clone()} maxlength="80"
                            autocomplete="name" aria-invalid={(*name_missing).to_string()} aria-describedby="name-error" />
                    </label>
                    <p id="name-error" class="error" role="alert">{ if *name_missing { texts.name_missing } else { "" } }</p>
                    <Picker label={texts.camera} none={texts.no_devices} kind={DeviceKind::Camera} devices={(*listed).clone()}
                        chosen={settings.camera.clone()} choose={choose(|s, id| s.camera = Some(id))} />
                    <Picker label={texts.microphone} none={texts.no_devices} kind={DeviceKind::Microphone} devices={(*listed).clone()}
                        chosen={settings.microphone.clone()} choose={choose(|s, id| s.microphone = Some(id))} />
                    <Picker label={texts.speaker} none={texts.no_devices} kind={DeviceKind::Speaker} devices={(*listed).clone()}
                        chosen={settings.speaker.clone()} choose={choose(|s, id| s.speaker = Some(id))} />
                    <div class="row">
                        <button ref={join_button} class="button primary large" data-testid="prejoin-join">{ texts.join_now }</button>
                        <button type="button" class="button large" onclick={props.back.reform(|_: MouseEvent| ())}>{ texts.back }</button>
                    </div>
                </form>
            </div>
        </Frame>
    }
}

#[derive(Properties, PartialEq)]
struct LevelProps {
    track: MediaStreamTrack,
    label: &'static str,
}

/// Shows that the microphone hears something.
#[component]
fn LevelMeter(props: &LevelProps) -> Html {
    let level = use_state(|| 0u32);
    {
        let level = level.clone();
        use_effect_with(props.track.clone(), move |track| {
            let timer = Meter::new(track).ok().map(|meter| {
                Timer::every(100, move || {
                    // Speech lies between -50 and -10 dB.
                    let decibel = 20.0 * meter.level().max(1e-6).log10();
                    level.set(((decibel + 55.0) / 45.0 * 100.0).clamp(0.0, 100.0) as u32);
                })
            });
            move || drop(timer)
        });
    }
    html! {
        <div class="level" role="meter" aria-label={props.label} aria-valuemin="0" aria-valuemax="100" aria-valuenow={level.to_string()}>
            <span style={format!("width:{}%", *level)}></span>
        </div>
    }
}
