//! WebSocket: one binary message per packet.

use bytes::Bytes;
use futures_channel::oneshot;
use js_sys::{ArrayBuffer, Uint8Array};
use std::{cell::RefCell, rc::Rc};
use videocall_types::close::CloseReason;
use wasm_bindgen::{JsCast, prelude::Closure};
use web_sys::{BinaryType, CloseEvent, MessageEvent, WebSocket};

use super::link::Sink;

/// Bytes that may wait in the browser: they cannot be overtaken any more.
const UNSENT: u32 = 8 * 1024;

pub(super) struct WebSocketLink {
    socket: WebSocket,
    _callbacks: Callbacks,
}

/// What the socket calls; kept as long as it may.
struct Callbacks {
    _open: Closure<dyn FnMut()>,
    _message: Closure<dyn FnMut(MessageEvent)>,
    _close: Closure<dyn FnMut(CloseEvent)>,
}

/// Closes the socket unless it was taken over.
struct Opening(Option<WebSocketLink>);

impl Drop for Opening {
    fn drop(&mut self) {
        if let Some(link) = &self.0 {
            link.close();
        }
    }
}

impl WebSocketLink {
    pub(super) async fn open(url: &str, sink: &Sink) -> Result<Self, String> {
        let socket =
            WebSocket::new(url).map_err(|_| format!("{url} is no address of a WebSocket"))?;
        socket.set_binary_type(BinaryType::Arraybuffer);
        let (opened, open) = oneshot::channel();
        let opened = Rc::new(RefCell::new(Some(opened)));

        let on_open = {
            let opened = opened.clone();
            Closure::<dyn FnMut()>::new(move || {
                if let Some(opened) = opened.borrow_mut().take() {
                    let _ = opened.send(Ok(()));
                }
            })
        };
        let on_message = {
            let sink = sink.clone();
            Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
                if let Ok(buffer) = event.data().dyn_into::<ArrayBuffer>() {
                    sink.packet(&Uint8Array::new(&buffer));
                }
            })
        };
        let on_close = {
            let sink = sink.clone();
            Closure::<dyn FnMut(CloseEvent)>::new(move |event: CloseEvent| {
                if let Some(opened) = opened.borrow_mut().take() {
                    let _ = opened.send(Err("the server does not answer".to_owned()));
                    return;
                }
                let close = CloseReason::from_websocket_code(event.code());
                sink.lost(close, end_text(&event));
            })
        };
        socket.set_onopen(Some(on_open.as_ref().unchecked_ref()));
        socket.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        socket.set_onclose(Some(on_close.as_ref().unchecked_ref()));
        let link = Self {
            socket,
            _callbacks: Callbacks {
                _open: on_open,
                _message: on_message,
                _close: on_close,
            },
        };
        let mut opening = Opening(Some(link));
        open.await
            .map_err(|_| "the connection was given up".to_owned())??;
        opening
            .0
            .take()
            .ok_or_else(|| "the connection was given up".to_owned())
    }

    pub(super) fn is_ready(&self) -> bool {
        self.socket.buffered_amount() < UNSENT
    }

    /// Whether the browser took it.
    pub(super) fn send(&self, bytes: &Bytes) -> bool {
        self.socket.send_with_u8_array(bytes).is_ok()
    }

    pub(super) fn close(&self) {
        self.socket.set_onopen(None);
        self.socket.set_onmessage(None);
        self.socket.set_onclose(None);
        let _ = self.socket.close();
    }
}

fn end_text(event: &CloseEvent) -> String {
    if event.reason().is_empty() {
        "the connection broke".to_owned()
    } else {
        event.reason()
    }
}
