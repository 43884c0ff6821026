//! Cameras, microphones, speakers and screens.

use js_sys::{Array, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{MediaDeviceInfo, MediaDeviceKind, MediaDevices, MediaStream, MediaStreamTrack};

use crate::web::js;

/// What a device is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// Pictures.
    Camera,
    /// Sound in.
    Microphone,
    /// Sound out.
    Speaker,
}

/// A device as the browser lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Stable for this site; empty before the person gave permission.
    pub id: String,
    /// Name to show; empty before the person gave permission.
    pub label: String,
    /// What it is for.
    pub kind: DeviceKind,
}

/// A device cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The person, or the system, forbids it.
    #[error("permission was denied")]
    PermissionDenied,
    /// There is none.
    #[error("no device was found")]
    NotFound,
    /// Another program has it.
    #[error("the device is in use")]
    InUse,
    /// Browsers give devices only to pages that were loaded securely.
    #[error("the page must be loaded over HTTPS, or from localhost")]
    InsecureContext,
    /// Something else, as the browser says.
    #[error("{0}")]
    Other(String),
}

impl From<JsValue> for DeviceError {
    fn from(error: JsValue) -> Self {
        match js::get(&error, "name").as_string().as_deref() {
            Some("NotAllowedError" | "SecurityError") => Self::PermissionDenied,
            Some("NotFoundError" | "OverconstrainedError") => Self::NotFound,
            Some("NotReadableError" | "AbortError") => Self::InUse,
            _ => Self::Other(js::message(&error)),
        }
    }
}

fn media_devices() -> Result<MediaDevices, DeviceError> {
    let window = web_sys::window().ok_or(DeviceError::InsecureContext)?;
    // Not there at all in an insecure context.
    let devices = js::get(&window.navigator(), "mediaDevices");
    devices.dyn_into().map_err(|_| DeviceError::InsecureContext)
}

/// All devices.
///
/// # Errors
/// The page may not use any.
pub async fn enumerate() -> Result<Vec<Device>, DeviceError> {
    let list: Array = JsFuture::from(media_devices()?.enumerate_devices()?)
        .await?
        .unchecked_into();
    let device = |info: JsValue| {
        let info: MediaDeviceInfo = info.unchecked_into();
        let kind = match info.kind() {
            MediaDeviceKind::Videoinput => DeviceKind::Camera,
            MediaDeviceKind::Audioinput => DeviceKind::Microphone,
            MediaDeviceKind::Audiooutput => DeviceKind::Speaker,
            _ => return None,
        };
        Some(Device {
            id: info.device_id(),
            label: info.label(),
            kind,
        })
    };
    Ok(list.iter().filter_map(device).collect())
}

async fn open(constraints: &js_sys::Object) -> Result<MediaStream, DeviceError> {
    let devices = media_devices()?;
    let promise = devices.get_user_media_with_constraints(constraints.unchecked_ref())?;
    Ok(JsFuture::from(promise).await?.unchecked_into())
}

fn first_track(tracks: &Array) -> Result<MediaStreamTrack, DeviceError> {
    tracks.get(0).dyn_into().map_err(|_| DeviceError::NotFound)
}

fn ideal(value: JsValue) -> JsValue {
    js::object([("ideal", value)]).into()
}

/// Opens that device if it is there, otherwise any, with what is wished of it. `kind` is `video` or
/// `audio`.
async fn open_device(
    kind: &str,
    device_id: Option<&str>,
    wishes: js_sys::Object,
) -> Result<MediaStream, DeviceError> {
    // Of one that is merely preferred Chromium takes no notice.
    if let Some(id) = device_id {
        let exact = js::object([("exact", id.into())]);
        let _ = Reflect::set(&wishes, &"deviceId".into(), &exact);
        match open(&js::object([(kind, wishes.clone().into())])).await {
            Err(DeviceError::NotFound) => {}
            opened => return opened,
        }
        let _ = Reflect::set(&wishes, &"deviceId".into(), &JsValue::UNDEFINED);
    }
    open(&js::object([(kind, wishes.into())])).await
}

/// Opens a camera: that one if it is there, otherwise any. Up to 1280×720 at 30 frames a second.
///
/// # Errors
/// It cannot be used.
pub async fn open_camera(device_id: Option<&str>) -> Result<MediaStreamTrack, DeviceError> {
    let wishes = js::object([
        ("width", ideal(1280.into())),
        ("height", ideal(720.into())),
        ("frameRate", ideal(30.into())),
    ]);
    let stream = open_device("video", device_id, wishes).await?;
    first_track(&stream.get_video_tracks())
}

/// Opens a microphone: that one if it is there, otherwise any. With echo cancellation, noise
/// suppression and gain control.
///
/// # Errors
/// It cannot be used.
pub async fn open_microphone(device_id: Option<&str>) -> Result<MediaStreamTrack, DeviceError> {
    let wishes = js::object([
        ("echoCancellation", ideal(true.into())),
        ("noiseSuppression", ideal(true.into())),
        ("autoGainControl", ideal(true.into())),
        ("channelCount", ideal(1.into())),
    ]);
    let stream = open_device("audio", device_id, wishes).await?;
    first_track(&stream.get_audio_tracks())
}

/// Lets the person choose a screen, window or tab; its sound comes with it where the browser offers
/// that.
///
/// # Errors
/// The person chose nothing, or may not.
pub async fn open_screen() -> Result<(MediaStreamTrack, Option<MediaStreamTrack>), DeviceError> {
    let video = js::object([("frameRate", ideal(15.into()))]);
    let constraints = js::object([
        ("video", video.into()),
        ("audio", true.into()),
        ("systemAudio", "include".into()),
        ("surfaceSwitching", "include".into()),
    ]);
    let promise =
        media_devices()?.get_display_media_with_constraints(constraints.unchecked_ref())?;
    let stream: MediaStream = JsFuture::from(promise).await?.unchecked_into();
    let video = first_track(&stream.get_video_tracks())?;
    Ok((video, first_track(&stream.get_audio_tracks()).ok()))
}
