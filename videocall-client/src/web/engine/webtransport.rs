//! WebTransport: control on one bidirectional stream, sound as datagrams, each frame on a stream of
//! its own.

use std::{cell::Cell, rc::Rc};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::future::{Either, select};
use js_sys::{Array, Uint8Array};
use videocall_types::{close::CloseReason, limits::MAX_PACKET_BYTES};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};

use super::link::{Sink, pump};
use crate::web::js::{self, Duplex, Reader, WebTransport, Writer};

/// Streams being written, and being read, at once; what goes beyond is dropped.
const STREAMS: u32 = 96;
/// Bytes of pictures not yet taken by the browser.
const PICTURES_WAIT: usize = 512 * 1024;
/// A picture that is not through by then is of no use.
const STALE_MS: f64 = 1000.0;

pub(super) struct WebTransportLink {
    transport: WebTransport,
    control: Writer,
    datagrams: Writer,
    writing: Rc<Cell<(u32, usize)>>,
}

/// Closes the transport unless it was taken over.
struct Opening(Option<WebTransport>);

impl Drop for Opening {
    fn drop(&mut self) {
        if let Some(transport) = &self.0 {
            let _ = transport.close(&js::object([]));
        }
    }
}

fn failed(error: JsValue) -> String {
    js::message(&error)
}

impl WebTransportLink {
    pub(super) async fn open(url: &str, hashes: &[String], sink: &Sink) -> Result<Self, String> {
        let options = js::object([("congestionControl", "low-latency".into())]);
        if !hashes.is_empty() {
            let list: Array = hashes
                .iter()
                .filter_map(|hash| certificate_hash(hash))
                .collect();
            let _ = js_sys::Reflect::set(&options, &"serverCertificateHashes".into(), &list);
        }
        let transport = WebTransport::new(url, &options).map_err(failed)?;
        let mut opening = Opening(Some(transport.clone()));
        // Until it is open, its end is the failure to open.
        js::ignore(transport.closed());
        JsFuture::from(transport.ready()).await.map_err(failed)?;
        watch_end(&transport, sink);
        // First of all: a refusal comes so, and its end soon after.
        let incoming = transport.incoming_unidirectional_streams();
        read_streams(incoming.reader().map_err(failed)?, sink.clone());
        let control: Duplex = JsFuture::from(transport.create_bidirectional_stream())
            .await
            .map_err(failed)?
            .unchecked_into();
        let link = Self {
            control: control.writable().writer().map_err(failed)?,
            datagrams: transport.datagrams().writable().writer().map_err(failed)?,
            transport: transport.clone(),
            writing: Rc::default(),
        };
        read_control(control.readable().reader().map_err(failed)?, sink.clone());
        read_datagrams(
            transport.datagrams().readable().reader().map_err(failed)?,
            sink.clone(),
        );
        opening.0 = None;
        Ok(link)
    }

    pub(super) fn is_ready(&self) -> bool {
        let (streams, waiting) = self.writing.get();
        streams < STREAMS && waiting < PICTURES_WAIT
    }

    pub(super) fn send_control(&self, bytes: &Bytes) {
        let framed = Uint8Array::new_with_length(bytes.len() as u32 + 4);
        framed
            .subarray(0, 4)
            .copy_from(&(bytes.len() as u32).to_be_bytes());
        framed.subarray(4, framed.length()).copy_from(bytes);
        js::ignore(self.control.write(&framed));
    }

    pub(super) fn send_datagram(&self, bytes: &Bytes) {
        js::ignore(self.datagrams.write(&Uint8Array::from(&bytes[..])));
    }

    /// Tells whether all of it was acknowledged.
    pub(super) fn send_stream(
        &self,
        bytes: &Bytes,
        priority: i32,
        finished: impl FnOnce(bool) + 'static,
    ) {
        let (streams, waiting) = self.writing.get();
        let length = bytes.len();
        self.writing.set((streams + 1, waiting + length));
        let (transport, writing) = (self.transport.clone(), self.writing.clone());
        let chunk = Uint8Array::from(&bytes[..]);
        spawn_local(async move {
            // A stream that fails is a lost frame, or the end, which shows elsewhere.
            let written = write_stream(&transport, &chunk, priority).await;
            let (streams, waiting) = writing.get();
            writing.set((streams - 1, waiting - length));
            finished(written.is_ok());
        });
    }

    pub(super) fn close(&self) {
        let _ = self.transport.close(&js::object([]));
    }
}

async fn write_stream(
    transport: &WebTransport,
    chunk: &Uint8Array,
    priority: i32,
) -> Result<(), JsValue> {
    let options = js::object([("sendOrder", priority.into())]);
    let stream = JsFuture::from(transport.create_unidirectional_stream(&options)).await?;
    let writer = stream.unchecked_into::<js::Writable>().writer()?;
    // Closing waits for the writing.
    js::ignore(writer.write(chunk));
    let closing = JsFuture::from(writer.close());
    match select(Box::pin(closing), Box::pin(js::sleep(STALE_MS))).await {
        Either::Left((closed, _)) => closed.map(drop),
        Either::Right(_) => {
            // Nobody would show it any more.
            js::ignore(writer.abort());
            Err("stale".into())
        }
    }
}

fn certificate_hash(base64: &str) -> Option<JsValue> {
    let scope: web_sys::WorkerGlobalScope = js_sys::global().unchecked_into();
    let binary = scope.atob(base64).ok()?;
    let bytes: Vec<u8> = binary.chars().map(|c| c as u8).collect();
    let value = Uint8Array::from(&bytes[..]);
    Some(js::object([("algorithm", "sha-256".into()), ("value", value.into())]).into())
}

fn watch_end(transport: &WebTransport, sink: &Sink) {
    let (closed, sink) = (transport.closed(), sink.clone());
    spawn_local(async move {
        match JsFuture::from(closed).await {
            Ok(info) => {
                let code = js::get(&info, "closeCode").as_f64().unwrap_or(0.0) as u32;
                let reason = js::get(&info, "reason").as_string().unwrap_or_default();
                // Code 0 without a word is what a transport that just ends has, too.
                let close = CloseReason::from_code(code).filter(|_| code > 0 || !reason.is_empty());
                sink.lost(close, reason);
            }
            Err(error) => sink.lost(None, js::message(&error)),
        }
    });
}

fn read_datagrams(reader: Reader, sink: Sink) {
    pump(reader, move |datagram| {
        sink.packet(datagram.unchecked_ref())
    });
}

fn read_control(reader: Reader, sink: Sink) {
    let mut buffer = BytesMut::new();
    spawn_local(async move {
        while let Some(chunk) = js::next(&reader).await {
            buffer.extend_from_slice(&chunk.unchecked_into::<Uint8Array>().to_vec());
            while buffer.len() >= 4 {
                let length =
                    u32::from_be_bytes([buffer[0], buffer[1], buffer[2], buffer[3]]) as usize;
                if length > MAX_PACKET_BYTES {
                    return;
                }
                if buffer.len() < 4 + length {
                    break;
                }
                buffer.advance(4);
                sink.bytes(buffer.split_to(length).freeze());
            }
        }
    });
}

fn read_streams(reader: Reader, sink: Sink) {
    let reading = Rc::new(Cell::new(0u32));
    pump(reader, move |stream| {
        let Ok(reader) = stream.unchecked_into::<js::Readable>().reader() else {
            return;
        };
        if reading.get() >= STREAMS {
            js::ignore(reader.cancel());
            return;
        }
        reading.set(reading.get() + 1);
        let (reading, sink) = (reading.clone(), sink.clone());
        spawn_local(async move {
            if let Some(packet) = read_packet(&reader).await {
                sink.bytes(packet);
            }
            reading.set(reading.get() - 1);
        });
    });
}

/// All of a stream; `None` if it was reset or is too long.
async fn read_packet(reader: &Reader) -> Option<Bytes> {
    let mut packet = BytesMut::new();
    loop {
        let result = JsFuture::from(reader.read()).await.ok()?;
        if js::get(&result, "done").is_truthy() {
            return Some(packet.freeze());
        }
        let chunk: Uint8Array = js::get(&result, "value").unchecked_into();
        if packet.len() + chunk.length() as usize > MAX_PACKET_BYTES {
            js::ignore(reader.cancel());
            return None;
        }
        packet.extend_from_slice(&chunk.to_vec());
    }
}
