//! Loudness of a microphone before one joins.

use js_sys::{Array, Float32Array};
use wasm_bindgen::JsValue;
use web_sys::{AnalyserNode, AudioContext, MediaStream, MediaStreamTrack};

use crate::web::js;

/// Samples looked at: 43 ms at 48 kHz.
const WINDOW: u32 = 2048;

/// Loudness of a track.
pub struct Meter {
    context: AudioContext,
    analyser: AnalyserNode,
    window: Float32Array,
}

impl Meter {
    /// Starts measuring.
    ///
    /// # Errors
    /// The browser has no sound.
    pub fn new(track: &MediaStreamTrack) -> Result<Self, JsValue> {
        let context = AudioContext::new()?;
        let analyser = context.create_analyser()?;
        analyser.set_fft_size(WINDOW);
        let stream = MediaStream::new_with_tracks(&Array::of1(track))?;
        context
            .create_media_stream_source(&stream)?
            .connect_with_audio_node(&analyser)?;
        Ok(Self {
            context,
            analyser,
            window: Float32Array::new_with_length(WINDOW),
        })
    }

    /// Loudness now, 0 to 1.
    pub fn level(&self) -> f32 {
        let get = js::get(&self.analyser, "getFloatTimeDomainData");
        if let Some(get) = wasm_bindgen::JsCast::dyn_ref::<js_sys::Function>(&get) {
            let _ = get.call1(&self.analyser, &self.window);
        }
        let sum: f32 = self
            .window
            .to_vec()
            .iter()
            .map(|sample| sample * sample)
            .sum();
        (sum / WINDOW as f32).sqrt()
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Ok(promise) = self.context.close() {
            js::ignore(promise);
        }
    }
}
