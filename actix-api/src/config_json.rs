//! Where a browser finds WebTransport and the other servers, and what is open to it.

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use serde_json::json;

use crate::server::Shared;

pub(crate) async fn get(request: HttpRequest, shared: web::Data<Shared>) -> HttpResponse {
    let url = shared.config.webtransport_url.clone().or_else(|| {
        let port = shared.webtransport_port?;
        let connection = request.connection_info();
        Some(format!(
            "https://{}:{port}",
            without_port(connection.host())
        ))
    });
    let webtransport: Vec<_> = url
        .into_iter()
        .map(|url| json!({ "url": url, "certificateHashes": shared.certificates.hashes() }))
        .collect();
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // Pages of the other servers of the installation ask as well; nothing here is secret.
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .json(json!({
            "websocketUrl": null,
            "webtransport": webtransport,
            "origin": shared.config.public_url,
            "servers": shared.config.peer_urls,
            "placement": shared.config.placement,
            "guests": shared.config.guests,
            "version": env!("CARGO_PKG_VERSION"),
        }))
}

/// `host`, `host:port`, `[::1]` and `[::1]:port` without the port.
fn without_port(host: &str) -> &str {
    match host.rfind(':') {
        Some(colon) if !host[colon..].contains(']') => &host[..colon],
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::without_port;

    #[test]
    fn hosts_lose_their_port_and_nothing_else() {
        assert_eq!(without_port("localhost:8080"), "localhost");
        assert_eq!(without_port("192.168.1.5"), "192.168.1.5");
        assert_eq!(without_port("[::1]:8080"), "[::1]");
        assert_eq!(without_port("[::1]"), "[::1]");
    }
}
