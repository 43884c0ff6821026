//! WebSocket ingress.
//!
//! actix-http reads the request; the connection is then ours (`docs/decisions/websocket-egress.md`).

mod connection;
mod frames;
mod tcp;
mod wakes;

use std::{convert::Infallible, fmt::Display, io, time::Duration};

use actix_codec::{Framed, FramedParts};
use actix_http::{
    Request, Response, StatusCode,
    body::BodySize,
    h1::{Codec, Message},
    header,
};
use actix_web::web::Data;
use bytes::Bytes;
use futures_util::SinkExt;
use percent_encoding::percent_decode_str;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time,
};

use tracing::{Instrument, debug};
use videocall_node::{JoinRequest, Refusal, Session, Transport};
use videocall_types::token::Token;

use self::tcp::Socket;
use crate::server::Shared;

/// How long a peer may take to receive the answer to its request.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Takes over a connection whose request asks for another protocol. `Ok` in any case: what there is
/// to say has been said to the peer.
pub(crate) async fn upgrade<T>(
    (request, framed): (Request, Framed<T, Codec>),
    shared: Data<Shared>,
) -> Result<(), Infallible>
where
    T: Socket + 'static,
{
    // A task of its own is much smaller than the one in which actix-http reads requests.
    actix_web::rt::spawn(async move {
        if let Err(error) = serve(request, framed, shared).await {
            debug!(%error, "the connection broke while it was upgraded");
        }
    });
    Ok(())
}

async fn serve<T>(
    request: Request,
    mut framed: Framed<T, Codec>,
    shared: Data<Shared>,
) -> io::Result<()>
where
    T: Socket + 'static,
{
    let (accepted, session) = match join(&request, &shared).await {
        Ok(joined) => joined,
        Err(Refused::ByStatus(status, text)) => {
            let response = Response::with_body(status, ());
            let refuse = send_refusal(&mut framed, response, text);
            return time::timeout(ANSWER_TIMEOUT, refuse).await?;
        }
        Err(Refused::InWords(accepted, refusal)) => {
            debug!(reason = %refusal.text, "refused");
            drop((request, shared));
            let refuse = async {
                let message = Message::Item((accepted, BodySize::None));
                framed.send(message).await.map_err(io::Error::other)?;
                connection::refuse(framed.into_parts().io, &refusal).await
            };
            return time::timeout(ANSWER_TIMEOUT, refuse).await?;
        }
    };
    // From here on only what the session needs takes memory.
    drop((request, shared));
    let span = session.span();
    let message = Message::Item((accepted, BodySize::None));
    time::timeout(ANSWER_TIMEOUT, framed.send(message)).await??;
    let FramedParts { io, read_buf, .. } = framed.into_parts();
    // Boxed, since it lives long and what surrounds it does not.
    Box::pin(connection::run(io, read_buf.freeze(), session))
        .instrument(span)
        .await;
    Ok(())
}

/// How somebody is not let in.
enum Refused {
    /// By the status of the answer and the text of its body: asked for no WebSocket.
    ByStatus(StatusCode, String),
    /// Accepted by this response, to be told why, since a page is not shown the status of a
    /// handshake that fails and would try again for ever.
    InWords(Response<()>, Refusal),
}

async fn join(request: &Request, shared: &Shared) -> Result<(Response<()>, Session), Refused> {
    let by_status = |status, error: &dyn Display| Refused::ByStatus(status, error.to_string());
    let target = Target::parse(request.uri().path(), request.uri().query());
    let mut accepted = actix_http::ws::handshake(request.head()).map_err(|error| match target {
        Some(_) => by_status(StatusCode::BAD_REQUEST, &error),
        None => by_status(StatusCode::NOT_FOUND, &"nothing to upgrade here"),
    })?;
    let failed = |error: &dyn Display| by_status(StatusCode::INTERNAL_SERVER_ERROR, error);
    let accepted = accepted.message_body(()).map_err(|error| failed(&error))?;
    let remote = request
        .peer_addr()
        .ok_or_else(|| failed(&"the peer has no address"))?;
    let Some(target) = target else {
        return Err(Refused::InWords(accepted, Refusal::no_such_door()));
    };
    let join = JoinRequest {
        meeting: target.meeting,
        user: target.user,
        token: target.token,
        transport: Transport::WebSocket,
        remote,
    };
    match shared.node.join(join).await {
        Ok(session) => Ok((accepted, session)),
        Err(refusal) => Err(Refused::InWords(accepted, refusal)),
    }
}

/// What a path asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Target {
    meeting: String,
    user: String,
    token: Option<Token>,
}

impl Target {
    /// `/lobby/{user}/{meeting}`, or `/lobby?token=…`.
    fn parse(path: &str, query: Option<&str>) -> Option<Self> {
        // From the path as it was sent: a name may hold an encoded slash.
        let mut segments = path.strip_prefix('/')?.split('/');
        let decoded = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let found = (segments.next(), segments.next(), segments.next());
        match (found, segments.next()) {
            ((Some("lobby"), Some(user), Some(meeting)), None) => Some(Self {
                meeting: decoded(meeting),
                user: decoded(user),
                token: None,
            }),
            ((Some("lobby"), None, None), None) => {
                let mut pairs = query.unwrap_or_default().split('&');
                let token = pairs.find_map(|pair| pair.strip_prefix("token="));
                Some(Self {
                    token: Some(Token::new(token.map(decoded).unwrap_or_default())),
                    ..Self::default()
                })
            }
            _ => None,
        }
    }
}

async fn send_refusal<T>(
    framed: &mut Framed<T, Codec>,
    mut response: Response<()>,
    text: String,
) -> io::Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let plain = header::HeaderValue::from_static("text/plain; charset=utf-8");
    let close = header::HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response.headers_mut().insert(header::CONNECTION, close);
    let text = Bytes::from(text);
    let size = BodySize::Sized(text.len() as u64);
    framed.feed(Message::Item((response, size))).await?;
    framed.feed(Message::Chunk(Some(text))).await?;
    framed.feed(Message::Chunk(None)).await?;
    framed.flush().await?;
    framed.close().await
}

#[cfg(test)]
mod tests {
    use super::{Target, Token};

    #[test]
    fn paths_name_a_user_and_a_meeting_or_bring_a_token() {
        let parse = |path, query| Target::parse(path, query);
        let guest = Target {
            meeting: String::from("team/a"),
            user: String::from("Zoë"),
            token: None,
        };
        assert_eq!(parse("/lobby/Zo%C3%AB/team%2Fa", None), Some(guest));
        let token = |text: &str| Target {
            token: Some(Token::new(text)),
            ..Target::default()
        };
        assert_eq!(parse("/lobby", Some("a=b&token=x%2By")), Some(token("x+y")));
        assert_eq!(parse("/lobby", None), Some(token("")));
        for other in ["/", "", "/lobby/a", "/lobby/a/b/c", "/else"] {
            assert_eq!(parse(other, None), None, "{other}");
        }
    }
}
