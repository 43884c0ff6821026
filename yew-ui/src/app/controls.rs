//! The bar of controls in a call.

use yew::prelude::*;

use super::{
    icons::{Icon, icon},
    stage::Layout,
    use_app,
};

/// What a control, or its key, does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Microphone,
    Camera,
    Screen,
    Layout,
    People,
    Statistics,
    Settings,
    Help,
    ClosePanel,
    Leave,
}

impl Action {
    /// Keys that do the same as a control.
    pub(crate) const KEYS: [(&'static str, Action); 7] = [
        ("m", Self::Microphone),
        ("v", Self::Camera),
        ("s", Self::Screen),
        ("g", Self::Layout),
        ("p", Self::People),
        ("i", Self::Statistics),
        ("?", Self::Help),
    ];

    pub(crate) fn of_key(key: &str) -> Option<Self> {
        if key == "Escape" {
            return Some(Self::ClosePanel);
        }
        let key = key.to_lowercase();
        Self::KEYS
            .iter()
            .find(|(of, _)| *of == key)
            .map(|(_, action)| *action)
    }
}

#[derive(Properties, PartialEq)]
pub(crate) struct ControlsProps {
    pub(crate) muted: bool,
    pub(crate) camera_on: bool,
    pub(crate) sharing: bool,
    pub(crate) layout: Layout,
    pub(crate) panel: Option<Action>,
    pub(crate) act: Callback<Action>,
}

#[component]
pub(crate) fn Controls(props: &ControlsProps) -> Html {
    let texts = use_app().texts();
    let button = |action: Action,
                  test_id: &'static str,
                  label: &'static str,
                  sign: Icon,
                  class: Option<&'static str>,
                  expanded: Option<bool>| {
        let onclick = props.act.reform(move |_: MouseEvent| action);
        let key = Action::KEYS
            .iter()
            .find(|(_, of)| *of == action)
            .map(|(key, _)| *key);
        let title = key.map_or(label.to_owned(), |key| format!("{label} ({key})"));
        html! {
            <button class={classes!("round", class)} data-testid={test_id} aria-label={label} {title} {onclick}
                aria-expanded={expanded.map(|open| open.to_string())} aria-keyshortcuts={key}>
                { icon(sign) }
            </button>
        }
    };
    let (microphone, microphone_icon) = if props.muted {
        (texts.unmute, Icon::MicrophoneOff)
    } else {
        (texts.mute, Icon::Microphone)
    };
    let (camera, camera_icon) = if props.camera_on {
        (texts.camera_off, Icon::Camera)
    } else {
        (texts.camera_on, Icon::CameraOff)
    };
    let (layout, layout_icon) = match props.layout {
        Layout::Grid => (texts.layout_speaker, Icon::Speaker),
        Layout::Speaker => (texts.layout_grid, Icon::Grid),
    };
    let screen = if props.sharing {
        texts.stop_sharing
    } else {
        texts.share
    };
    // A control says what it does now, so it has no pressed state beside that.
    let open = |panel| Some(props.panel == Some(panel));
    html! {
        <div class="controls" role="toolbar" aria-label={texts.meeting}>
            { button(Action::Microphone, "mic-toggle", microphone, microphone_icon, props.muted.then_some("off"), None) }
            { button(Action::Camera, "camera-toggle", camera, camera_icon, (!props.camera_on).then_some("off"), None) }
            { button(Action::Screen, "screen-toggle", screen, Icon::Screen, props.sharing.then_some("on"), None) }
            <span class="divider" aria-hidden="true"></span>
            { button(Action::Layout, "layout-toggle", layout, layout_icon, None, None) }
            { button(Action::People, "participants-toggle", texts.people, Icon::People, None, open(Action::People)) }
            { button(Action::Statistics, "stats-toggle", texts.statistics, Icon::Statistics, Some("wide-only"), open(Action::Statistics)) }
            { button(Action::Settings, "settings-toggle", texts.settings, Icon::Settings, None, open(Action::Settings)) }
            <span class="divider" aria-hidden="true"></span>
            { button(Action::Leave, "leave-button", texts.leave, Icon::Leave, Some("danger"), None) }
        </div>
    }
}
