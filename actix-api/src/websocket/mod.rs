//! WebSocket ingress.
//!
//! Frames to the client are not encoded here: the body of the upgraded response is the shared head
//! of each packet followed by the packet's own bytes, which actix-http copies once into its write
//! buffer (`docs/decisions/websocket-egress.md`). Frames from the client are read by actix-http's
//! codec, which unmasks them in place.

mod body;
mod ingest;

use std::sync::Arc;

use actix_web::{Error, HttpRequest, HttpResponse, http::StatusCode, http::header, web};
use percent_encoding::percent_decode_str;
use tracing::{Instrument, debug, info_span};
use videocall_node::{JoinRequest, Refusal, Transport};

use self::body::EgressBody;
use crate::server::Shared;

/// `/lobby/{user}/{meeting}`
pub(crate) async fn guest(
    request: HttpRequest,
    payload: web::Payload,
    shared: web::Data<Shared>,
) -> Result<HttpResponse, Error> {
    // From the path as it was sent: a name may hold an encoded slash.
    let mut segments = request
        .uri()
        .path()
        .split('/')
        .skip(2)
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned());
    let user = segments.next().unwrap_or_default();
    let meeting = segments.next().unwrap_or_default();
    join(&request, payload, &shared, user, meeting, None).await
}

/// `/lobby?token=…`
pub(crate) async fn with_token(
    request: HttpRequest,
    payload: web::Payload,
    shared: web::Data<Shared>,
) -> Result<HttpResponse, Error> {
    let token = request
        .query_string()
        .split('&')
        .find_map(|pair| pair.strip_prefix("token="))
        .map(|token| percent_decode_str(token).decode_utf8_lossy().into_owned());
    let token = Some(token.unwrap_or_default());
    join(
        &request,
        payload,
        &shared,
        String::new(),
        String::new(),
        token,
    )
    .await
}

async fn join(
    request: &HttpRequest,
    payload: web::Payload,
    shared: &Shared,
    user: String,
    meeting: String,
    token: Option<String>,
) -> Result<HttpResponse, Error> {
    let mut upgrade = actix_http::ws::handshake(request.head())?;
    let Some(remote) = request.peer_addr() else {
        return Ok(HttpResponse::InternalServerError().finish());
    };
    let join = JoinRequest {
        meeting,
        user,
        token,
        transport: Transport::WebSocket,
        remote,
    };
    let session = match shared.node.join(join).await {
        Ok(session) => Arc::new(session),
        Err(refusal) => return Ok(refuse(&refusal)),
    };
    let span = info_span!("session", id = %session.id(), transport = "websocket");
    let (body, answers) = EgressBody::new(session.clone());
    actix_web::rt::spawn(ingest::run(payload, session, answers).instrument(span));
    Ok(upgrade.message_body(body)?.map_into_boxed_body().into())
}

fn refuse(refusal: &Refusal) -> HttpResponse {
    debug!(reason = %refusal.text, "refused");
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = HttpResponse::build(status);
    if let Some(seconds) = refusal.retry_after {
        response.insert_header((header::RETRY_AFTER, seconds.to_string()));
    }
    response
        .content_type("text/plain; charset=utf-8")
        .body(refusal.text.clone())
}
