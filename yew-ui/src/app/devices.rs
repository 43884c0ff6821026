//! The person's own tracks, before and during a call.

use js_sys::Array;
use videocall_client::web::devices::{Device, DeviceError, DeviceKind};
use web_sys::{HtmlVideoElement, MediaStream, MediaStreamTrack};
use yew::prelude::*;
use yew_ui::i18n::Texts;

use super::chrome::value_of;

/// Tracks that are open now.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LocalTracks {
    pub(crate) camera: Option<MediaStreamTrack>,
    pub(crate) microphone: Option<MediaStreamTrack>,
    /// Wanted, but still being opened.
    pub(crate) camera_awaited: bool,
    /// Likewise.
    pub(crate) microphone_awaited: bool,
}

impl LocalTracks {
    pub(crate) fn stop(&self) {
        for track in [&self.camera, &self.microphone].into_iter().flatten() {
            track.stop();
        }
    }
}

/// Shows a track in an element; none takes the picture away.
pub(crate) fn show(element: &HtmlVideoElement, track: Option<&MediaStreamTrack>) {
    let stream = track.and_then(|track| MediaStream::new_with_tracks(&Array::of1(track)).ok());
    element.set_src_object(stream.as_ref());
}

/// What went wrong, and what to do.
pub(crate) fn explain(
    error: &DeviceError,
    kind: DeviceKind,
    texts: &'static Texts,
) -> &'static str {
    match (error, kind) {
        (DeviceError::PermissionDenied, DeviceKind::Camera) => texts.camera_denied,
        (DeviceError::PermissionDenied, _) => texts.microphone_denied,
        (DeviceError::NotFound, _) => texts.device_missing,
        (DeviceError::InUse, _) => texts.device_in_use,
        (DeviceError::InsecureContext, _) => texts.insecure,
        (DeviceError::Other(_), _) => texts.device_failed,
    }
}

#[derive(Properties, PartialEq)]
pub(crate) struct PickerProps {
    pub(crate) label: &'static str,
    pub(crate) none: &'static str,
    pub(crate) kind: DeviceKind,
    pub(crate) devices: Vec<Device>,
    pub(crate) chosen: Option<String>,
    pub(crate) choose: Callback<String>,
}

/// A list of devices of one kind. Where none was chosen, or it is not there, the first is used.
#[component]
pub(crate) fn Picker(props: &PickerProps) -> Html {
    let devices: Vec<&Device> = props
        .devices
        .iter()
        .filter(|device| device.kind == props.kind)
        .collect();
    let used = devices
        .iter()
        .position(|device| props.chosen.as_ref() == Some(&device.id))
        .unwrap_or(0);
    let onchange = props.choose.reform(|event: Event| value_of(&event));
    html! {
        <label class="picker">
            <span>{ props.label }</span>
            <select {onchange} disabled={devices.is_empty()}>
                if devices.is_empty() {
                    <option>{ props.none }</option>
                }
                { for devices.iter().enumerate().map(|(n, device)| {
                    let label = if device.label.is_empty() {
                        format!("{} {}", props.label, n + 1)
                    } else {
                        device.label.clone()
                    };
                    html! {
                        <option value={device.id.clone()} selected={n == used}>{ label }</option>
                    }
                }) }
            </select>
        </label>
    }
}
