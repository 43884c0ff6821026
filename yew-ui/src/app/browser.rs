//! The few things of the browser that several components use.

use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Element, HtmlElement, Window};
use yew_ui::i18n::Language;

pub(super) fn window() -> Window {
    web_sys::window().expect("a page has a window")
}

/// Milliseconds since the page was loaded.
pub(super) fn now() -> f64 {
    window().performance().map_or(0.0, |clock| clock.now())
}

pub(super) fn element(id: &str) -> Option<Element> {
    window().document()?.get_element_by_id(id)
}

/// What has the focus.
pub(super) fn focused() -> Option<HtmlElement> {
    window().document()?.active_element()?.dyn_into().ok()
}

pub(super) fn set_root_attribute(name: &str, value: &str) {
    if let Some(root) = window()
        .document()
        .and_then(|document| document.document_element())
    {
        let _ = root.set_attribute(name, value);
    }
}

pub(super) fn on_window(event: &str, listener: &JsValue) {
    let _ = window().add_event_listener_with_callback(event, listener.unchecked_ref());
}

pub(super) fn off_window(event: &str, listener: &JsValue) {
    let _ = window().remove_event_listener_with_callback(event, listener.unchecked_ref());
}

/// The path's segments, decoded.
pub(super) fn path_segments() -> Vec<String> {
    let path = window().location().pathname().unwrap_or_default();
    path.trim_start_matches('/')
        .split('/')
        .map(decode)
        .collect()
}

/// Undoes percent-encoding where that is valid.
pub(super) fn decode(text: &str) -> String {
    js_sys::decode_uri_component(text).map_or_else(|_| text.to_owned(), String::from)
}

pub(super) fn meeting_path(meeting: &str) -> String {
    format!(
        "/meeting/{}",
        String::from(js_sys::encode_uri_component(meeting))
    )
}

/// The link by which others come.
pub(super) fn meeting_link(meeting: &str) -> String {
    window().location().origin().unwrap_or_default() + &meeting_path(meeting)
}

pub(super) fn push_path(path: &str) {
    if window().location().pathname().as_deref() == Ok(path) {
        return;
    }
    // What was asked for by the address, such as a transport, goes on to be.
    let path = path.to_owned() + &window().location().search().unwrap_or_default();
    if let Ok(history) = window().history() {
        let _ = history.push_state_with_url(&JsValue::NULL, "", Some(&path));
    }
}

/// The first of the person's languages that is spoken here.
pub(super) fn language() -> Language {
    let languages = window().navigator().languages();
    languages
        .iter()
        .filter_map(|tag| Language::from_tag(&tag.as_string()?))
        .next()
        .unwrap_or_default()
}

pub(super) fn read(key: &str) -> Option<String> {
    window().local_storage().ok()??.get_item(key).ok()?
}

pub(super) fn write(key: &str, value: &str) {
    // Without storage settings last as long as the page.
    if let Ok(Some(storage)) = window().local_storage() {
        let _ = storage.set_item(key, value);
    }
}

pub(super) fn copy(text: &str) {
    let navigator = window().navigator();
    // Not there in an insecure context.
    if js_sys::Reflect::has(&navigator, &"clipboard".into()).unwrap_or(false) {
        let promise = navigator.clipboard().write_text(text);
        wasm_bindgen_futures::spawn_local(async move {
            let _ = wasm_bindgen_futures::JsFuture::from(promise).await;
        });
    }
}

/// Calls back after some milliseconds unless dropped before.
pub(super) struct Timer {
    id: i32,
    _callback: wasm_bindgen::prelude::Closure<dyn FnMut()>,
}

impl Timer {
    pub(super) fn every(milliseconds: i32, act: impl FnMut() + 'static) -> Self {
        let callback = wasm_bindgen::prelude::Closure::<dyn FnMut()>::new(act);
        let id = window()
            .set_interval_with_callback_and_timeout_and_arguments_0(
                callback.as_ref().unchecked_ref(),
                milliseconds,
            )
            .unwrap_or(0);
        Self {
            id,
            _callback: callback,
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        window().clear_interval_with_handle(self.id);
    }
}
