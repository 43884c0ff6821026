//! Reading the frames of one of the page's tracks.

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
    time::Duration,
};

use wasm_bindgen::JsValue;
use wasm_bindgen_futures::spawn_local;

use super::{Engine, js, pump, tell};
use crate::web::protocol::{Event, Source, Warning};

/// The track that is being read; dropping it, or reading another, stops the reading.
#[derive(Default)]
pub(super) struct Track {
    reader: Option<js::Reader>,
    current: Rc<Cell<u32>>,
}

impl Track {
    /// Gives each frame to `take` until the track ends or another is read.
    pub(super) fn read(
        &mut self,
        engine: Weak<RefCell<Engine>>,
        source: Source,
        reader: js::Reader,
        take: impl Fn(&mut Engine, JsValue) + 'static,
    ) {
        self.stop();
        self.reader = Some(reader.clone());
        let current = self.current.clone();
        let turn = current.get();
        spawn_local(async move {
            while let Some(frame) = js::next(&reader).await {
                let Some(shared) = engine.upgrade().filter(|_| current.get() == turn) else {
                    // Frames are closed by hand, or the camera stands still.
                    close(&frame);
                    return;
                };
                take(&mut shared.borrow_mut(), frame);
                pump(&shared);
            }
            if current.get() == turn {
                tell(Event::Warning(Warning::Ended(source)));
            }
        });
    }

    fn stop(&mut self) {
        self.current.set(self.current.get() + 1);
        if let Some(reader) = self.reader.take() {
            js::ignore(reader.cancel());
        }
    }
}

impl Drop for Track {
    fn drop(&mut self) {
        self.stop();
    }
}

fn close(frame: &JsValue) {
    let frame: &js::VideoFrame = wasm_bindgen::JsCast::unchecked_ref(frame);
    frame.close();
}

/// Maps the timestamps of a track, which count from anywhere, to the clock that all tracks share:
/// the frame that came quickest after its capture says how far the two are apart.
#[derive(Debug, Default)]
pub(super) struct CaptureClock {
    offset_us: Option<f64>,
    last_us: u64,
}

impl CaptureClock {
    /// Capture time of a frame that just came, in microseconds of the shared clock; always rises.
    pub(super) fn capture_us(&mut self, now: Duration, timestamp_us: f64, duration_us: f64) -> u64 {
        let offset = now.as_micros() as f64 - timestamp_us - duration_us;
        let kept = match self.offset_us {
            // Slowly up, for clocks that drift apart; at once for a track that began anew.
            Some(kept) if offset - kept < 500_000.0 => offset.min(kept + 20.0),
            _ => offset,
        };
        self.offset_us = Some(kept);
        self.last_us = ((timestamp_us + kept) as u64).max(self.last_us + 1);
        self.last_us
    }
}
