//! A picture of somebody in an element of the page.

use std::{cell::Cell, rc::Rc};

use js_sys::Array;
use videocall_types::ids::MediaKind;
use wasm_bindgen::JsValue;
use web_sys::{HtmlVideoElement, MediaStream};

use super::Inner;
use crate::web::{js, protocol::Command};

/// A picture of somebody in an element of the page; dropping it ends it.
pub struct View {
    inner: Rc<Inner>,
    id: u32,
    element: HtmlVideoElement,
    told: Cell<(u32, u32, bool)>,
}

impl View {
    pub(super) fn new(
        inner: Rc<Inner>,
        id: u32,
        session_id: u64,
        kind: MediaKind,
        element: &HtmlVideoElement,
    ) -> Option<Self> {
        let generator =
            js::MediaStreamTrackGenerator::new(&js::object([("kind", "video".into())])).ok()?;
        let stream: JsValue = generator.writable().into();
        let tracks = Array::of1(&generator);
        element.set_src_object(Some(&MediaStream::new_with_tracks(&tracks).ok()?));
        let command = Command::Attach {
            view: id,
            session: session_id,
            kind: kind.into(),
        };
        inner.post(&command, Some(("stream", &stream)), true);
        Some(Self {
            inner,
            id,
            element: element.clone(),
            told: Cell::new((0, 0, true)),
        })
    }

    /// Tells at what size it is shown, in CSS pixels; the sender is asked for no more than that.
    pub fn set_size(&self, width: f64, height: f64, device_pixel_ratio: f64, visible: bool) {
        let pixels = |size: f64| (size * device_pixel_ratio).round().clamp(1.0, 8192.0) as u32;
        let size = (pixels(width), pixels(height), visible);
        if self.told.replace(size) != size {
            let (width, height, visible) = size;
            let command = Command::Resize {
                view: self.id,
                width,
                height,
                visible,
            };
            self.inner.post(&command, None, false);
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.element.set_src_object(None);
        self.inner
            .post(&Command::Detach { view: self.id }, None, false);
    }
}
