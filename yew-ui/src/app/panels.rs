//! What opens beside the stage: people, statistics, settings, help.

use videocall_client::web::{
    Call, ContentHint, Participant, Quality, Statistics, StreamState, Transport,
    devices::{self, Device, DeviceKind},
};
use wasm_bindgen_futures::spawn_local;
use web_sys::HtmlElement;
use yew::prelude::*;

use super::{
    browser::{self, Timer},
    chrome::{Preferences, value_of},
    controls::Action,
    devices::Picker,
    icons::{Icon, icon},
    use_app,
};

#[derive(Properties, PartialEq)]
pub(crate) struct PanelProps {
    pub(crate) title: &'static str,
    pub(crate) test_id: &'static str,
    pub(crate) close: Callback<Action>,
    pub(crate) children: Html,
}

#[component]
pub(crate) fn Panel(props: &PanelProps) -> Html {
    let texts = use_app().texts();
    let panel = use_node_ref();
    {
        let panel = panel.clone();
        use_effect_with(props.test_id, move |_| {
            let before = browser::focused();
            if let Some(panel) = panel.cast::<HtmlElement>() {
                let _ = panel.focus();
            }
            move || {
                // Back to the control that opened it, unless that is gone.
                if let Some(before) = before.filter(|element| element.is_connected()) {
                    let _ = before.focus();
                }
            }
        });
    }
    html! {
        <aside class="panel" data-testid={props.test_id} aria-label={props.title} ref={panel} tabindex="-1">
            <header>
                <h2>{ props.title }</h2>
                <button class="round small" aria-label={texts.close} onclick={props.close.reform(|_: MouseEvent| Action::ClosePanel)}>{ icon(Icon::Close) }</button>
            </header>
            <div class="panel-body">{ props.children.clone() }</div>
        </aside>
    }
}

#[derive(Properties, PartialEq)]
pub(crate) struct PeopleProps {
    pub(crate) own_name: String,
    pub(crate) own_session: u64,
    pub(crate) muted: bool,
    pub(crate) camera_on: bool,
    pub(crate) participants: Vec<Participant>,
    pub(crate) speakers: Vec<u64>,
}

#[component]
pub(crate) fn People(props: &PeopleProps) -> Html {
    let app = use_app();
    let texts = app.texts();
    let row = |name: String,
               muted: bool,
               camera: bool,
               speaking: bool,
               away: bool,
               quality: Option<Quality>| {
        let states = [
            speaking.then_some(texts.speaking),
            muted.then_some(texts.muted),
            (!camera).then_some(texts.camera_is_off),
            away.then_some(texts.away),
        ];
        let states: Vec<&str> = states.into_iter().flatten().collect();
        html! {
            <li class={classes!("person", speaking.then_some("speaking"))}>
                <span class="person-name">{ name }</span>
                <span class="quiet">{ states.join(" · ") }</span>
                if let Some(quality) = quality {
                    <QualitySign {quality} />
                }
            </li>
        }
    };
    html! {
        <>
            <p class="quiet">{ app.language.people_count(props.participants.len() + 1) }</p>
            <ul class="people" data-testid="participants-list">
                { row(format!("{} ({})", props.own_name, texts.you), props.muted, props.camera_on, props.speakers.contains(&props.own_session), false, None) }
                { for props.participants.iter().map(|p| row(
                    p.display_name.clone(),
                    p.microphone != StreamState::Live,
                    p.camera == StreamState::Live,
                    props.speakers.contains(&p.session_id),
                    p.away,
                    Some(p.quality),
                )) }
            </ul>
        </>
    }
}

#[derive(Properties, PartialEq)]
pub(crate) struct QualityProps {
    pub(crate) quality: Quality,
}

/// Bars like those of a telephone, and the same in words.
#[component]
pub(crate) fn QualitySign(props: &QualityProps) -> Html {
    let texts = use_app().texts();
    let (class, words) = match props.quality {
        Quality::Good => ("good", texts.quality_good),
        Quality::Fair => ("fair", texts.quality_fair),
        Quality::Poor => ("poor", texts.quality_poor),
        Quality::Unknown => ("unknown", texts.quality_unknown),
    };
    html! {
        <span class={classes!("quality", class)} role="img" aria-label={words} title={words}><i></i><i></i><i></i></span>
    }
}

#[derive(Properties, PartialEq)]
pub(crate) struct StatisticsProps {
    pub(crate) call: Call,
}

#[component]
pub(crate) fn StatisticsPanel(props: &StatisticsProps) -> Html {
    let texts = use_app().texts();
    let figures = use_state(Statistics::default);
    {
        let figures = figures.clone();
        use_effect_with(props.call.clone(), move |call| {
            let call = call.clone();
            let ask = move || {
                let (call, figures) = (call.clone(), figures.clone());
                spawn_local(async move {
                    if let Some(fresh) = call.statistics().await {
                        figures.set(fresh);
                    }
                });
            };
            ask();
            let timer = Timer::every(1000, ask);
            move || drop(timer)
        });
    }
    let rate = |bps: f64| {
        if bps >= 1e6 {
            format!("{:.1} Mbit/s", bps / 1e6)
        } else {
            format!("{:.0} kbit/s", bps / 1e3)
        }
    };
    let transport = match figures.transport {
        Some(Transport::WebTransport) => "WebTransport",
        Some(Transport::WebSocket) => "WebSocket",
        None => "–",
    };
    let milliseconds =
        |value: Option<f64>| value.map_or("–".to_owned(), |ms| format!("{ms:.0} ms"));
    html! {
        <>
            <dl class="figures">
                <dt>{ texts.transport }</dt><dd>{ transport }</dd>
                <dt>{ texts.round_trip }</dt><dd>{ milliseconds(figures.rtt_ms) }</dd>
                <dt>{ texts.sent }</dt><dd>{ rate(figures.sent_bps) }</dd>
                <dt>{ texts.received }</dt><dd>{ rate(figures.received_bps) }</dd>
            </dl>
            <h3>{ texts.sent }</h3>
            <div class="table-scroll"><table>
                { for figures.publish.iter().map(|p| html! {
                    <tr class={(!p.wanted).then_some("quiet")}>
                        <td>{ &p.kind }</td>
                        <td>{ if p.width > 0 { format!("{}×{}", p.width, p.height) } else { String::new() } }</td>
                        <td>{ format!("{:.0}/s", p.fps) }</td><td>{ rate(p.bitrate_bps) }</td><td>{ &p.codec }</td>
                    </tr>
                }) }
            </table></div>
            <h3>{ texts.received }</h3>
            <div class="table-scroll"><table>
                { for figures.receive.iter().map(|r| html! {
                    <tr>
                        <td>{ &r.kind }</td>
                        <td>{ if r.width > 0 { format!("{}×{}", r.width, r.height) } else { String::new() } }</td>
                        <td>{ format!("{:.0}/s", r.fps) }</td><td>{ rate(r.bitrate_bps) }</td>
                        <td>{ milliseconds(Some(r.jitter_ms)) }</td><td>{ milliseconds(r.capture_to_display_ms) }</td>
                    </tr>
                }) }
            </table></div>
        </>
    }
}

#[derive(Properties, PartialEq)]
pub(crate) struct SettingsProps {
    pub(crate) choose: Callback<(DeviceKind, String)>,
    pub(crate) hint: Callback<ContentHint>,
}

#[component]
pub(crate) fn SettingsPanel(props: &SettingsProps) -> Html {
    let app = use_app();
    let texts = app.texts();
    let listed = use_state(Vec::<Device>::new);
    {
        let listed = listed.clone();
        use_effect_with((), move |()| {
            spawn_local(async move {
                if let Ok(devices) = devices::enumerate().await {
                    listed.set(devices);
                }
            });
        });
    }
    let picker = |label, kind, chosen: &Option<String>| {
        let choose = props.choose.reform(move |id| (kind, id));
        html! { <Picker {label} none={texts.no_devices} {kind} devices={(*listed).clone()} chosen={chosen.clone()} {choose} /> }
    };
    let onchange = props
        .hint
        .reform(|event: Event| match value_of(&event).as_str() {
            "motion" => ContentHint::Motion,
            _ => ContentHint::Detail,
        });
    html! {
        <div class="stack">
            { picker(texts.microphone, DeviceKind::Microphone, &app.settings.microphone) }
            { picker(texts.camera, DeviceKind::Camera, &app.settings.camera) }
            { picker(texts.speaker, DeviceKind::Speaker, &app.settings.speaker) }
            <label class="picker"><span>{ texts.content }</span>
                <select {onchange}>
                    <option value="detail">{ texts.content_detail }</option>
                    <option value="motion">{ texts.content_motion }</option>
                </select>
            </label>
            <Preferences />
        </div>
    }
}

/// Which key does what.
#[component]
pub(crate) fn Help() -> Html {
    let texts = use_app().texts();
    let words = |action| match action {
        Action::Microphone => texts.mute,
        Action::Camera => texts.camera_off,
        Action::Screen => texts.share,
        Action::Layout => texts.layout_speaker,
        Action::People => texts.people,
        Action::Statistics => texts.statistics,
        _ => texts.shortcuts,
    };
    html! {
        <dl class="figures keys">
            { for Action::KEYS.into_iter().map(|(key, action)| html! { <><dt><kbd>{ key }</kbd></dt><dd>{ words(action) }</dd></> }) }
        </dl>
    }
}
