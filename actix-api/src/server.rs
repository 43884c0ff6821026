//! The HTTP server and its routes.

use std::{
    future::ready,
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use actix_http::{HttpService, TlsAcceptorConfig};
use actix_server::{Server, ServerBuilder, ServerHandle};
use actix_service::{
    IntoServiceFactory, ServiceFactory, ServiceFactoryExt, fn_service, map_config,
};
use actix_web::{
    App, Error,
    dev::AppConfig,
    http::header,
    middleware::DefaultHeaders,
    rt::net::TcpStream,
    web::{self, Data},
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use socket2::{Domain, Socket, Type};
use tracing::debug;
use videocall_config::{Certificates, Config};
use videocall_node::Node;

use crate::{assets::Assets, config_json, health, websocket};

/// The server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// An address cannot be used.
    #[error("--http-listen: cannot listen on {address}: {error}")]
    Address {
        /// Where.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// Metrics are set up already.
    #[error("metrics: {0}")]
    Metrics(String),
}

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// Shared by all routes.
pub(crate) struct Shared {
    pub(crate) node: Node,
    pub(crate) config: Config,
    pub(crate) certificates: Arc<Certificates>,
    pub(crate) metrics: PrometheusHandle,
    pub(crate) assets: Assets,
    /// Port that browsers are told if the address is derived from their request.
    pub(crate) webtransport_port: Option<u16>,
}

/// A server that listens, and answers once it [`run`](Self::run)s.
pub struct ApiServer {
    server: Server,
    addresses: Vec<SocketAddr>,
}

impl ApiServer {
    /// Opens the sockets. `webtransport_port` is where browsers find WebTransport, if it runs.
    ///
    /// # Errors
    /// An address cannot be used.
    pub fn bind(
        config: &Config,
        certificates: &Arc<Certificates>,
        node: Node,
        webtransport_port: Option<u16>,
    ) -> Result<Self, BindError> {
        let metrics = PrometheusBuilder::new()
            .install_recorder()
            .map_err(|error| BindError::Metrics(error.to_string()))?;
        let shared = Data::new(Shared {
            node,
            config: config.clone(),
            certificates: certificates.clone(),
            metrics,
            assets: Assets::load(&config.ui_dir),
            webtransport_port,
        });
        let mut server = Server::build().disable_signals().shutdown_timeout(2);
        let mut addresses = Vec::new();
        for &address in &config.http_listen {
            let listener = open(address).map_err(|error| BindError::Address { address, error })?;
            let bound = listener.local_addr();
            addresses.push(bound.map_err(|error| BindError::Address { address, error })?);
            server = listen(server, listener, shared.clone())
                .map_err(|error| BindError::Address { address, error })?;
        }
        Ok(Self {
            server: server.run(),
            addresses,
        })
    }

    /// Where the sockets are.
    pub fn local_addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Stops the server.
    pub fn handle(&self) -> ServerHandle {
        self.server.handle()
    }

    /// Answers until stopped.
    ///
    /// # Errors
    /// The runtime failed.
    pub async fn run(self) -> std::io::Result<()> {
        self.server.await
    }
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A server that starts again must not wait for the last one's connections to be forgotten.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Routes for requests, and the ingress for those that become WebSockets.
fn listen(
    server: ServerBuilder,
    listener: TcpListener,
    shared: Data<Shared>,
) -> io::Result<ServerBuilder> {
    let data = shared.clone();
    let application = move || {
        let app = App::new()
            .app_data(data.clone())
            .wrap(security_headers(&data.config))
            .configure(routes)
            .into_factory()
            .map_err(|error: Error| error.error_response());
        map_config(app, |()| AppConfig::default())
    };
    let limit = shared.node.limits().handshake_timeout;
    if shared.config.https {
        let tls = shared.certificates.server_config(&[b"http/1.1"]);
        server.listen("https", listener, move || {
            let ingress = shared.clone();
            let service = HttpService::build()
                .tcp_nodelay(true)
                .client_request_timeout(limit)
                .upgrade(fn_service(move |it| {
                    websocket::upgrade(it, ingress.clone())
                }))
                .finish(application())
                .rustls_0_23_with_config(
                    tls.clone(),
                    TlsAcceptorConfig::default().handshake_timeout(limit),
                );
            at_the_door(shared.node.clone()).and_then(service.map_err(|_| Failed))
        })
    } else {
        server.listen("http", listener, move || {
            let ingress = shared.clone();
            let service = HttpService::build()
                .tcp_nodelay(true)
                .client_request_timeout(limit)
                .upgrade(fn_service(move |it| {
                    websocket::upgrade(it, ingress.clone())
                }))
                .finish(application())
                .tcp();
            at_the_door(shared.node.clone()).and_then(service.map_err(|_| Failed))
        })
    }
}

/// A connection came to nothing. Nobody reads why: what there is to say was said to the peer.
#[derive(Debug)]
struct Failed;

/// Lets through whose address does not come too often, before TLS costs anything.
fn at_the_door(
    node: Node,
) -> impl ServiceFactory<TcpStream, Config = (), Response = TcpStream, Error = Failed, InitError = ()>
{
    fn_service(move |stream: TcpStream| {
        let address = stream.peer_addr().ok().map(|address| address.ip());
        let may_enter = address.is_some_and(|address| node.may_connect(address));
        if !may_enter {
            debug!(?address, "too many connections from there");
        }
        ready(if may_enter { Ok(stream) } else { Err(Failed) })
    })
}

fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/config.json", web::get().to(config_json::get))
        .route("/healthz", web::get().to(health::alive))
        .route("/readyz", web::get().to(health::ready))
        .route("/metrics", web::get().to(health::metrics))
        .default_service(web::get().to(crate::assets::get));
}

/// Cross-origin isolation gives the page the shared memory through which sound reaches the
/// speakers; the rest keeps others out of the page and the page among its own.
fn security_headers(config: &Config) -> DefaultHeaders {
    let all = config.peer_urls.iter().chain(&config.public_url);
    let all: Vec<&str> = all.map(String::as_str).collect();
    let servers = all.join(" ");
    DefaultHeaders::new()
        .add(("cross-origin-opener-policy", "same-origin"))
        .add(("cross-origin-embedder-policy", "require-corp"))
        .add(("cross-origin-resource-policy", "same-origin"))
        .add((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .add((header::REFERRER_POLICY, "no-referrer"))
        .add((
            "permissions-policy",
            "camera=(self), microphone=(self), display-capture=(self), speaker-selection=(self)",
        ))
        .add((
            header::CONTENT_SECURITY_POLICY,
            format!(
                "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' \
                 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' blob: mediastream:; \
                 connect-src 'self' ws: wss: https: {servers}; worker-src 'self' blob:; \
                 object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
            ),
        ))
}
