//! The parts of the browser's interface that are used here and that web-sys has not, or has behind
//! conversions: WebCodecs, WebTransport and streams.

use js_sys::{Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use wasm_bindgen_futures::JsFuture;

/// An object literal.
pub(crate) fn object<const N: usize>(entries: [(&str, JsValue); N]) -> Object {
    let object = Object::new();
    for (key, value) in entries {
        // Setting a property of a fresh object does not fail.
        let _ = Reflect::set(&object, &key.into(), &value);
    }
    object
}

/// A property; `undefined` if there is none.
pub(crate) fn get(value: &JsValue, key: &str) -> JsValue {
    Reflect::get(value, &key.into()).unwrap_or(JsValue::UNDEFINED)
}

/// What an exception says.
pub(crate) fn message(error: &JsValue) -> String {
    get(error, "message")
        .as_string()
        .unwrap_or_else(|| format!("{error:?}"))
}

#[wasm_bindgen]
extern "C" {
    /// `VideoFrame` of WebCodecs.
    #[derive(Clone)]
    pub(crate) type VideoFrame;
    #[wasm_bindgen(method, getter)]
    pub(crate) fn timestamp(this: &VideoFrame) -> f64;
    #[wasm_bindgen(method, getter, js_name = displayWidth)]
    pub(crate) fn display_width(this: &VideoFrame) -> u32;
    #[wasm_bindgen(method, getter, js_name = displayHeight)]
    pub(crate) fn display_height(this: &VideoFrame) -> u32;
    #[wasm_bindgen(method)]
    pub(crate) fn close(this: &VideoFrame);

    /// `AudioData` of WebCodecs.
    pub(crate) type AudioData;
    #[wasm_bindgen(method, getter)]
    pub(crate) fn timestamp(this: &AudioData) -> f64;
    #[wasm_bindgen(method, getter)]
    pub(crate) fn duration(this: &AudioData) -> f64;
    #[wasm_bindgen(method, getter, js_name = numberOfFrames)]
    pub(crate) fn number_of_frames(this: &AudioData) -> u32;
    #[wasm_bindgen(method, getter, js_name = numberOfChannels)]
    pub(crate) fn number_of_channels(this: &AudioData) -> u32;
    #[wasm_bindgen(method, getter, js_name = sampleRate)]
    pub(crate) fn sample_rate(this: &AudioData) -> f64;
    #[wasm_bindgen(method, catch, js_name = copyTo)]
    pub(crate) fn copy_to(
        this: &AudioData,
        to: &js_sys::Float32Array,
        options: &Object,
    ) -> Result<(), JsValue>;
    #[wasm_bindgen(method)]
    pub(crate) fn close(this: &AudioData);

    /// `EncodedVideoChunk` and `EncodedAudioChunk`, which have the same members.
    pub(crate) type Chunk;
    #[wasm_bindgen(method, getter, js_name = type)]
    pub(crate) fn chunk_type(this: &Chunk) -> String;
    #[wasm_bindgen(method, getter)]
    pub(crate) fn timestamp(this: &Chunk) -> f64;
    #[wasm_bindgen(method, getter, js_name = byteLength)]
    pub(crate) fn byte_length(this: &Chunk) -> u32;
    #[wasm_bindgen(method, catch, js_name = copyTo)]
    pub(crate) fn copy_to(this: &Chunk, to: &Uint8Array) -> Result<(), JsValue>;

    #[wasm_bindgen(js_name = EncodedVideoChunk)]
    pub(crate) type EncodedVideoChunk;
    #[wasm_bindgen(constructor, catch, js_class = "EncodedVideoChunk")]
    pub(crate) fn new(init: &Object) -> Result<EncodedVideoChunk, JsValue>;
    #[wasm_bindgen(js_name = EncodedAudioChunk)]
    pub(crate) type EncodedAudioChunk;
    #[wasm_bindgen(constructor, catch, js_class = "EncodedAudioChunk")]
    pub(crate) fn new(init: &Object) -> Result<EncodedAudioChunk, JsValue>;

    #[wasm_bindgen(js_name = VideoEncoder)]
    pub(crate) type VideoEncoder;
    #[wasm_bindgen(constructor, catch, js_class = "VideoEncoder")]
    pub(crate) fn new(init: &Object) -> Result<VideoEncoder, JsValue>;
    #[wasm_bindgen(static_method_of = VideoEncoder, js_class = "VideoEncoder", catch, js_name = isConfigSupported)]
    pub(crate) fn is_config_supported(config: &Object) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) fn configure(this: &VideoEncoder, config: &Object) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) fn encode(
        this: &VideoEncoder,
        frame: &VideoFrame,
        options: &Object,
    ) -> Result<(), JsValue>;
    #[wasm_bindgen(method, getter, js_name = encodeQueueSize)]
    pub(crate) fn encode_queue_size(this: &VideoEncoder) -> u32;
    #[wasm_bindgen(method, catch)]
    pub(crate) fn close(this: &VideoEncoder) -> Result<(), JsValue>;

    #[wasm_bindgen(js_name = AudioEncoder)]
    pub(crate) type AudioEncoder;
    #[wasm_bindgen(constructor, catch, js_class = "AudioEncoder")]
    pub(crate) fn new(init: &Object) -> Result<AudioEncoder, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) fn configure(this: &AudioEncoder, config: &Object) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) fn encode(this: &AudioEncoder, data: &AudioData) -> Result<(), JsValue>;
    #[wasm_bindgen(method, getter, js_name = encodeQueueSize)]
    pub(crate) fn encode_queue_size(this: &AudioEncoder) -> u32;
    #[wasm_bindgen(method, catch)]
    pub(crate) fn close(this: &AudioEncoder) -> Result<(), JsValue>;

    #[wasm_bindgen(js_name = VideoDecoder)]
    pub(crate) type VideoDecoder;
    #[wasm_bindgen(constructor, catch, js_class = "VideoDecoder")]
    pub(crate) fn new(init: &Object) -> Result<VideoDecoder, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) fn configure(this: &VideoDecoder, config: &Object) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) fn decode(this: &VideoDecoder, chunk: &EncodedVideoChunk) -> Result<(), JsValue>;
    #[wasm_bindgen(method, getter, js_name = decodeQueueSize)]
    pub(crate) fn decode_queue_size(this: &VideoDecoder) -> u32;
    #[wasm_bindgen(method, catch)]
    pub(crate) fn close(this: &VideoDecoder) -> Result<(), JsValue>;

    #[wasm_bindgen(js_name = AudioDecoder)]
    pub(crate) type AudioDecoder;
    #[wasm_bindgen(constructor, catch, js_class = "AudioDecoder")]
    pub(crate) fn new(init: &Object) -> Result<AudioDecoder, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) fn configure(this: &AudioDecoder, config: &Object) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) fn decode(this: &AudioDecoder, chunk: &EncodedAudioChunk) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(crate) fn close(this: &AudioDecoder) -> Result<(), JsValue>;

    #[wasm_bindgen(js_name = WebTransport)]
    #[derive(Clone)]
    pub(crate) type WebTransport;
    #[wasm_bindgen(constructor, catch, js_class = "WebTransport")]
    pub(crate) fn new(url: &str, options: &Object) -> Result<WebTransport, JsValue>;
    #[wasm_bindgen(method, getter)]
    pub(crate) fn ready(this: &WebTransport) -> Promise;
    #[wasm_bindgen(method, getter)]
    pub(crate) fn closed(this: &WebTransport) -> Promise;
    #[wasm_bindgen(method, getter)]
    pub(crate) fn datagrams(this: &WebTransport) -> Duplex;
    #[wasm_bindgen(method, getter, js_name = incomingUnidirectionalStreams)]
    pub(crate) fn incoming_unidirectional_streams(this: &WebTransport) -> Readable;
    #[wasm_bindgen(method, js_name = createBidirectionalStream)]
    pub(crate) fn create_bidirectional_stream(this: &WebTransport) -> Promise;
    #[wasm_bindgen(method, js_name = createUnidirectionalStream)]
    pub(crate) fn create_unidirectional_stream(this: &WebTransport, options: &Object) -> Promise;
    #[wasm_bindgen(method, catch)]
    pub(crate) fn close(this: &WebTransport, info: &Object) -> Result<(), JsValue>;

    /// A bidirectional stream, or the datagrams of a WebTransport.
    pub(crate) type Duplex;
    #[wasm_bindgen(method, getter)]
    pub(crate) fn readable(this: &Duplex) -> Readable;
    #[wasm_bindgen(method, getter)]
    pub(crate) fn writable(this: &Duplex) -> Writable;

    /// `ReadableStream`
    #[derive(Clone)]
    pub(crate) type Readable;
    #[wasm_bindgen(method, catch, js_name = getReader)]
    pub(crate) fn reader(this: &Readable) -> Result<Reader, JsValue>;

    /// `ReadableStreamDefaultReader`
    #[derive(Clone)]
    pub(crate) type Reader;
    #[wasm_bindgen(method)]
    pub(crate) fn read(this: &Reader) -> Promise;
    #[wasm_bindgen(method)]
    pub(crate) fn cancel(this: &Reader) -> Promise;

    /// `WritableStream`
    #[derive(Clone)]
    pub(crate) type Writable;
    #[wasm_bindgen(method, catch, js_name = getWriter)]
    pub(crate) fn writer(this: &Writable) -> Result<Writer, JsValue>;

    /// `WritableStreamDefaultWriter`
    #[derive(Clone)]
    pub(crate) type Writer;
    #[wasm_bindgen(method)]
    pub(crate) fn write(this: &Writer, chunk: &JsValue) -> Promise;
    #[wasm_bindgen(method)]
    pub(crate) fn close(this: &Writer) -> Promise;
    #[wasm_bindgen(method)]
    pub(crate) fn abort(this: &Writer) -> Promise;
    #[wasm_bindgen(method, getter, js_name = desiredSize)]
    pub(crate) fn desired_size(this: &Writer) -> Option<f64>;

    #[wasm_bindgen(js_name = MediaStreamTrackProcessor)]
    pub(crate) type MediaStreamTrackProcessor;
    #[wasm_bindgen(constructor, catch, js_class = "MediaStreamTrackProcessor")]
    pub(crate) fn new(init: &Object) -> Result<MediaStreamTrackProcessor, JsValue>;
    #[wasm_bindgen(method, getter)]
    pub(crate) fn readable(this: &MediaStreamTrackProcessor) -> Readable;

    #[wasm_bindgen(js_name = MediaStreamTrackGenerator, extends = web_sys::MediaStreamTrack)]
    pub(crate) type MediaStreamTrackGenerator;
    #[wasm_bindgen(constructor, catch, js_class = "MediaStreamTrackGenerator")]
    pub(crate) fn new(init: &Object) -> Result<MediaStreamTrackGenerator, JsValue>;
    #[wasm_bindgen(method, getter)]
    pub(crate) fn writable(this: &MediaStreamTrackGenerator) -> Writable;
}

/// The next chunk of a stream; `None` at its end, also one by an error.
pub(crate) async fn next(reader: &Reader) -> Option<JsValue> {
    let result = JsFuture::from(reader.read()).await.ok()?;
    let done = get(&result, "done").is_truthy();
    (!done).then(|| get(&result, "value"))
}

/// Waits for a promise whose failure shows elsewhere.
pub(crate) fn ignore(promise: Promise) {
    wasm_bindgen_futures::spawn_local(async move {
        let _ = JsFuture::from(promise).await;
    });
}

/// Drops something after the current callback: a closure must not be dropped while it runs.
pub(crate) fn drop_later<T: 'static>(value: T) {
    wasm_bindgen_futures::spawn_local(async move { drop(value) });
}

/// Something that is dropped after the current callback, such as the closures of an encoder, which
/// one of them may give up.
pub(crate) struct Later<T: 'static>(Option<T>);

impl<T: 'static> Later<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Some(value))
    }
}

impl<T: 'static> Drop for Later<T> {
    fn drop(&mut self) {
        if let Some(value) = self.0.take() {
            drop_later(value);
        }
    }
}

/// The bytes of an encoded chunk.
pub(crate) fn chunk_bytes(chunk: &Chunk) -> Option<Vec<u8>> {
    let array = Uint8Array::new_with_length(chunk.byte_length());
    chunk.copy_to(&array).ok()?;
    Some(array.to_vec())
}

/// Waits.
pub(crate) async fn sleep(milliseconds: f64) {
    let promise = Promise::new(&mut |resolve, _| {
        let set_timeout = get(&js_sys::global(), "setTimeout");
        if let Some(set_timeout) = set_timeout.dyn_ref::<js_sys::Function>() {
            let _ = set_timeout.call2(&JsValue::UNDEFINED, &resolve, &milliseconds.into());
        }
    });
    let _ = JsFuture::from(promise).await;
}

/// Time on a clock that the page and its workers, and other pages of the machine, share.
pub(crate) fn now() -> std::time::Duration {
    let performance = get(&js_sys::global(), "performance");
    let origin = get(&performance, "timeOrigin").as_f64().unwrap_or(0.0);
    let now = performance
        .dyn_into::<web_sys::Performance>()
        .map(|performance| performance.now())
        .unwrap_or(0.0);
    std::time::Duration::from_micros(((origin + now) * 1000.0).max(0.0) as u64)
}
