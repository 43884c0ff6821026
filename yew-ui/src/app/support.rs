//! `window.videocall`: what support and tests may ask of the page.

use std::cell::RefCell;

use js_sys::{Object, Reflect};
use serde::Serialize;
use videocall_client::web::{Call, Connection};
use wasm_bindgen::{JsValue, prelude::Closure};
use wasm_bindgen_futures::future_to_promise;

#[derive(Clone, Default, Serialize)]
struct State {
    page: &'static str,
    connection: Option<Connection>,
    participants: usize,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
    static CALL: RefCell<Option<Call>> = const { RefCell::new(None) };
}

pub(super) fn tell_page(page: &'static str) {
    STATE.with_borrow_mut(|state| state.page = page);
    publish();
}

pub(super) fn tell_connection(connection: Option<Connection>) {
    STATE.with_borrow_mut(|state| state.connection = connection);
}

pub(super) fn tell_participants(count: usize) {
    STATE.with_borrow_mut(|state| state.participants = count);
}

pub(super) fn tell_call(call: Option<Call>) {
    CALL.set(call);
}

fn plain(value: &impl Serialize) -> JsValue {
    let serializer = serde_wasm_bindgen::Serializer::json_compatible();
    value.serialize(&serializer).unwrap_or(JsValue::NULL)
}

/// Puts the object into the page, once.
fn publish() {
    let global = js_sys::global();
    if Reflect::has(&global, &"videocall".into()).unwrap_or(true) {
        return;
    }
    let state = Closure::<dyn Fn() -> JsValue>::new(|| STATE.with_borrow(plain));
    let statistics = Closure::<dyn Fn() -> js_sys::Promise>::new(|| {
        let call = CALL.with_borrow(Clone::clone);
        future_to_promise(async move {
            match call {
                Some(call) => Ok(plain(&call.statistics().await)),
                None => Ok(JsValue::NULL),
            }
        })
    });
    let object = Object::new();
    let _ = Reflect::set(&object, &"state".into(), &state.into_js_value());
    let _ = Reflect::set(&object, &"statistics".into(), &statistics.into_js_value());
    let _ = Reflect::set(&global, &"videocall".into(), &object);
}
