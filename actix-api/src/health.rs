//! Whether the process lives, whether it takes participants, and what it counts.

use actix_web::{HttpResponse, http::header, web};
use serde_json::json;

use crate::server::Shared;

/// The process answers.
pub(crate) async fn alive() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // Pages of other servers measure how far this one is.
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .json(json!({ "status": "ok" }))
}

/// The node takes participants; tells also what is wrong while it does.
pub(crate) async fn ready(shared: web::Data<Shared>) -> HttpResponse {
    let health = shared.node.health();
    let status = match (health.ready, health.problems.is_empty()) {
        (false, _) => "unavailable",
        (true, true) => "ok",
        (true, false) => "degraded",
    };
    let mut response = if health.ready {
        HttpResponse::Ok()
    } else {
        HttpResponse::ServiceUnavailable()
    };
    response.json(json!({ "status": status, "problems": health.problems }))
}

/// The metrics in the text format of Prometheus.
pub(crate) async fn metrics(shared: web::Data<Shared>) -> HttpResponse {
    shared.node.update_metrics();
    let mut text = shared.metrics.render();
    text.push_str(&shared.node.more_metrics());
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(text)
}
