//! Sound output: the AudioContext and the AudioWorklet in it.

use js_sys::{Array, SharedArrayBuffer, WebAssembly};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AudioContext, AudioContextOptions, AudioWorkletNode, AudioWorkletNodeOptions};

use super::JoinError;
use crate::web::js;

pub(super) struct Output {
    context: AudioContext,
    _node: AudioWorkletNode,
}

/// Where a file of the build is, by the list in the page: names may hold a hash.
pub(super) fn asset(name: &str) -> String {
    let listed = || {
        let element = web_sys::window()?.document()?.get_element_by_id("assets")?;
        let list = js_sys::JSON::parse(&element.text_content()?).ok()?;
        js::get(&list, name).as_string()
    };
    listed().unwrap_or_else(|| {
        match name {
            "engineWorker" => "/engine-worker.js",
            "worklet" => "/playout-worklet.js",
            _ => "/playout.wasm",
        }
        .to_owned()
    })
}

impl Output {
    pub(super) async fn start(memory: &SharedArrayBuffer) -> Result<Self, JoinError> {
        Self::try_start(memory)
            .await
            .map_err(|error| JoinError::Unsupported(js::message(&error)))
    }

    async fn try_start(memory: &SharedArrayBuffer) -> Result<Self, JsValue> {
        let options = AudioContextOptions::new();
        // What decoders give and the worklet plays.
        options.set_sample_rate(48_000.0);
        let context = AudioContext::new_with_context_options(&options)?;
        // Without a click it stays suspended until there is one; that is no reason not to join.
        js::ignore(context.resume()?);
        JsFuture::from(context.audio_worklet()?.add_module(&asset("worklet"))?).await?;
        let window = web_sys::window().ok_or("no window")?;
        let response = JsFuture::from(window.fetch_with_str(&asset("playout"))).await?;
        let buffer = response
            .unchecked_into::<web_sys::Response>()
            .array_buffer()?;
        let module = JsFuture::from(WebAssembly::compile(&JsFuture::from(buffer).await?)).await?;
        let options = AudioWorkletNodeOptions::new();
        options.set_number_of_inputs(0);
        options.set_output_channel_count(&Array::of1(&2.into()));
        options.set_processor_options(Some(&js::object([
            ("module", module),
            ("memory", memory.into()),
        ])));
        let node = AudioWorkletNode::new_with_options(&context, "playout", &options)?;
        node.connect_with_audio_node(&context.destination())?;
        Ok(Self {
            context,
            _node: node,
        })
    }

    pub(super) fn set_device(&self, device_id: &str) {
        let set_sink = js::get(&self.context, "setSinkId");
        if let Some(set_sink) = set_sink.dyn_ref::<js_sys::Function>()
            && let Ok(promise) = set_sink.call1(&self.context, &device_id.into())
        {
            js::ignore(promise.unchecked_into());
        }
    }

    /// From leaving the worklet to being heard.
    pub(super) fn latency_ms(&self) -> f64 {
        let seconds = js::get(&self.context, "outputLatency")
            .as_f64()
            .unwrap_or(0.0)
            + js::get(&self.context, "baseLatency")
                .as_f64()
                .unwrap_or(0.0);
        seconds * 1000.0
    }

    pub(super) fn stop(&self) {
        if let Ok(promise) = self.context.close() {
            js::ignore(promise);
        }
    }
}
