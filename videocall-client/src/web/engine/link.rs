//! A connection to a server: WebTransport, or WebSocket where that does not open.

use std::{cell::RefCell, rc::Rc, time::Duration};

use bytes::Bytes;
use futures_util::future::{Either, select};
use js_sys::Uint8Array;
use serde::Deserialize;
use videocall_types::{close::CloseReason, limits::MAX_DATAGRAM_BYTES};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::Response;

use super::{websocket::WebSocketLink, webtransport::WebTransportLink};
use crate::{
    core::{
        outbox::Waits,
        select::Placement,
        session::{Delivery, Transmit},
    },
    web::{
        js,
        protocol::{Transport, TransportPreference},
    },
};

/// How long WebTransport has until WebSocket is tried beside it.
const HEAD_START_MS: f64 = 500.0;

/// What `/config.json` says.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServerConfig {
    pub(super) websocket_url: Option<String>,
    #[serde(default)]
    pub(super) webtransport: Vec<WebTransportAddress>,
    /// Origin by which all know this server.
    #[serde(default)]
    pub(super) origin: Option<String>,
    /// Origins of the installation's other servers.
    #[serde(default)]
    pub(super) servers: Vec<String>,
    /// Which of them.
    #[serde(default)]
    pub(super) placement: Placement,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WebTransportAddress {
    pub(super) url: String,
    #[serde(default)]
    pub(super) certificate_hashes: Vec<String>,
}

/// Where packets and the end of a link are told. Nothing more is told after the end.
#[derive(Clone)]
pub(super) struct Sink(Rc<SinkInner>);

struct SinkInner {
    packet: Box<dyn Fn(Bytes)>,
    lost: RefCell<Option<LostCallback>>,
}

type LostCallback = Box<dyn FnOnce(Option<CloseReason>, String)>;

impl Sink {
    pub(super) fn new(
        packet: impl Fn(Bytes) + 'static,
        lost: impl FnOnce(Option<CloseReason>, String) + 'static,
    ) -> Self {
        Self(Rc::new(SinkInner {
            packet: Box::new(packet),
            lost: RefCell::new(Some(Box::new(lost))),
        }))
    }

    pub(super) fn packet(&self, array: &Uint8Array) {
        if self.0.lost.borrow().is_some() {
            (self.0.packet)(array.to_vec().into());
        }
    }

    pub(super) fn bytes(&self, bytes: Bytes) {
        if self.0.lost.borrow().is_some() {
            (self.0.packet)(bytes);
        }
    }

    pub(super) fn lost(&self, close: Option<CloseReason>, reason: String) {
        let callback = self.0.lost.borrow_mut().take();
        if let Some(callback) = callback {
            callback(close, reason);
        }
    }

    fn silence(&self) {
        self.0.lost.borrow_mut().take();
    }
}

/// An open connection.
pub(super) enum Link {
    WebTransport(WebTransportLink, Sink),
    WebSocket(WebSocketLink, Sink),
}

impl Link {
    pub(super) fn transport(&self) -> Transport {
        match self {
            Self::WebTransport(..) => Transport::WebTransport,
            Self::WebSocket(..) => Transport::WebSocket,
        }
    }

    /// Whether it can take more now.
    pub(super) fn is_ready(&self) -> bool {
        match self {
            Self::WebTransport(link, _) => link.is_ready(),
            Self::WebSocket(link, _) => link.is_ready(),
        }
    }

    /// How it shows that packets wait on the path.
    pub(super) fn waits(&self) -> Waits {
        match self {
            Self::WebTransport(..) => Waits::Acknowledged,
            Self::WebSocket(..) => Waits::RoundTrips,
        }
    }

    /// Sends a packet. Of one on a stream of its own `finished` is told whether it arrived, but
    /// never before this returns.
    pub(super) fn send(&self, transmit: &Transmit, finished: impl FnOnce(bool) + 'static) {
        match self {
            Self::WebSocket(link, _) => {
                let taken = link.send(&transmit.bytes);
                spawn_local(async move { finished(taken) });
            }
            Self::WebTransport(link, _) => match transmit.delivery {
                Delivery::Control => link.send_control(&transmit.bytes),
                Delivery::Datagram if transmit.bytes.len() <= MAX_DATAGRAM_BYTES => {
                    link.send_datagram(&transmit.bytes);
                }
                Delivery::Datagram => link.send_stream(&transmit.bytes, 0, finished),
                Delivery::Stream { priority } => {
                    link.send_stream(&transmit.bytes, priority, finished);
                }
            },
        }
    }

    /// Closes it; its end is not told.
    pub(super) fn close(self) {
        match &self {
            Self::WebTransport(link, sink) => {
                sink.silence();
                link.close();
            }
            Self::WebSocket(link, sink) => {
                sink.silence();
                link.close();
            }
        }
        // This may be called by one of its own callbacks.
        js::drop_later(self);
    }
}

/// Asks the server where it is.
pub(super) async fn fetch_config(origin: &str) -> Result<ServerConfig, String> {
    let scope: web_sys::WorkerGlobalScope = js_sys::global().unchecked_into();
    let response = JsFuture::from(scope.fetch_with_str(&format!("{origin}/config.json")))
        .await
        .map_err(|_| "the server does not answer".to_owned())?;
    let response: Response = response.unchecked_into();
    if !response.ok() {
        return Err(format!(
            "the server answers with status {}",
            response.status()
        ));
    }
    let json = async { JsFuture::from(response.json()?).await }.await;
    let json = json.map_err(|error| js::message(&error))?;
    serde_wasm_bindgen::from_value(json).map_err(|error| error.to_string())
}

/// The round trip to a server; `None` if it does not answer.
pub(super) async fn measure(origin: &str) -> Option<Duration> {
    let scope: web_sys::WorkerGlobalScope = js_sys::global().unchecked_into();
    let url = format!("{origin}/healthz");
    let ask = || async {
        let response: Response = JsFuture::from(scope.fetch_with_str(&url))
            .await
            .ok()?
            .unchecked_into();
        response.ok().then_some(())
    };
    // The first request makes the connection; the second tells how far it is.
    ask().await?;
    let start = js::now();
    ask().await?;
    Some(js::now().saturating_sub(start))
}

/// Opens a link to a server: WebTransport, and WebSocket a little later or as soon as WebTransport
/// failed.
pub(super) async fn open(
    origin: &str,
    config: &ServerConfig,
    path: &str,
    preference: TransportPreference,
    sink: impl Fn() -> Sink,
) -> Result<Link, String> {
    let websocket_url = format!(
        "{}{path}",
        config
            .websocket_url
            .clone()
            .unwrap_or_else(|| origin.replacen("http", "ws", 1))
    );
    let websocket = || async {
        let sink = sink();
        let link = WebSocketLink::open(&websocket_url, &sink).await?;
        Ok(Link::WebSocket(link, sink))
    };
    let address = config.webtransport.first().cloned();
    let has_webtransport = !js::get(&js_sys::global(), "WebTransport").is_undefined();
    let (Some(address), true) = (address, has_webtransport) else {
        return match preference {
            TransportPreference::WebTransport => {
                Err("this browser or server has no WebTransport".to_owned())
            }
            _ => websocket().await,
        };
    };
    let webtransport = || async {
        let sink = sink();
        let url = format!("{}{path}", address.url.trim_end_matches('/'));
        let link = WebTransportLink::open(&url, &address.certificate_hashes, &sink).await?;
        Ok::<_, String>(Link::WebTransport(link, sink))
    };
    match preference {
        TransportPreference::WebSocket => websocket().await,
        TransportPreference::WebTransport => webtransport().await,
        TransportPreference::Auto => race(webtransport(), websocket()).await,
    }
}

/// The first with a head start, the second if that is not enough or in vain. A link that opens
/// after the other was taken is closed.
async fn race(
    first: impl Future<Output = Result<Link, String>>,
    second: impl Future<Output = Result<Link, String>>,
) -> Result<Link, String> {
    let first = Box::pin(first);
    let second = Box::pin(second);
    let first = match select(first, Box::pin(js::sleep(HEAD_START_MS))).await {
        Either::Left((Ok(link), _)) => return Ok(link),
        Either::Left((Err(_), _)) => return second.await,
        Either::Right(((), first)) => first,
    };
    match select(first, second).await {
        Either::Left((Ok(link), _)) | Either::Right((Ok(link), _)) => Ok(link),
        Either::Left((Err(_), second)) => second.await,
        Either::Right((Err(_), first)) => first.await,
    }
}

/// Runs a reader until its stream ends.
pub(super) fn pump(reader: js::Reader, take: impl Fn(JsValue) + 'static) {
    spawn_local(async move {
        while let Some(value) = js::next(&reader).await {
            take(value);
        }
    });
}
