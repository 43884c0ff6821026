//! The HTTP server and its routes.

use std::{net::SocketAddr, sync::Arc};

use actix_web::{
    App, HttpServer,
    dev::{Server, ServerHandle},
    http::header,
    middleware::DefaultHeaders,
    web,
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
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
        let shared = web::Data::new(Shared {
            node,
            config: config.clone(),
            certificates: certificates.clone(),
            metrics,
            assets: Assets::load(&config.ui_dir),
            webtransport_port,
        });
        let mut server = HttpServer::new(move || {
            App::new()
                .app_data(shared.clone())
                .wrap(security_headers())
                .configure(routes)
        })
        .disable_signals()
        // A packet must not wait until the one before it is acknowledged.
        .tcp_nodelay(true)
        .shutdown_timeout(2);
        for &address in &config.http_listen {
            server = if config.https {
                server.bind_rustls_0_23(address, certificates.server_config(&[b"http/1.1"]))
            } else {
                server.bind(address)
            }
            .map_err(|error| BindError::Address { address, error })?;
        }
        let addresses = server.addrs();
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

fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/lobby/{user}/{meeting}", web::get().to(websocket::guest))
        .route("/lobby", web::get().to(websocket::with_token))
        .route("/config.json", web::get().to(config_json::get))
        .route("/healthz", web::get().to(health::alive))
        .route("/readyz", web::get().to(health::ready))
        .route("/metrics", web::get().to(health::metrics))
        .default_service(web::get().to(crate::assets::get));
}

/// Cross-origin isolation gives the page the shared memory through which sound reaches the
/// speakers; the rest keeps others out of the page and the page among its own.
fn security_headers() -> DefaultHeaders {
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
            "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' \
             'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' blob: mediastream:; \
             connect-src 'self' ws: wss: https:; worker-src 'self' blob:; object-src 'none'; \
             base-uri 'none'; frame-ancestors 'none'; form-action 'self'",
        ))
}
