//! What opens beside the stage: people, statistics, settings, help.

use videocall_client::web::{
    ContentHint, Quality,
    devices::{self, Device, DeviceKind},
};
use wasm_bindgen_futures::spawn_local;
use web_sys::HtmlElement;
use yew::prelude::*;

use super::{
    browser,
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
