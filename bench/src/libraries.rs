//! The same as the bare loop over TCP, as one would write it with the two libraries that bring
//! WebSocket to actix-web: what each of them adds to a delivery (`docs/decisions/websocket-egress.md`).

use std::{net::TcpListener, sync::Arc};

use actix::{Actor, ActorContext, AsyncContext, StreamHandler};
use actix_web::{App, Error, HttpRequest, HttpResponse, HttpServer, web};
use actix_web_actors::ws;
use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::StreamExt;
use parking_lot::Mutex;
use videocall_types::limits::MAX_PACKET_BYTES;

use crate::{
    crowd::{self, Load},
    peer::{Server, Transport},
    report::Report,
};

/// `library.<name>.<receivers>.<kind>.cpu_us`
pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    for library in ["actix-ws", "actix-web-actors"] {
        for (receivers, audio) in [(50, true), (50, false), (200, true), (200, false)] {
            let load = Load::usual(receivers, audio);
            let name = format!("library.{library}.{receivers}.{}.cpu_us", load.kind());
            if report.wants(&name) {
                let server = Server::library(library)?;
                let floor = Server::floor(Transport::WebSocket)?;
                let (value, floor) = crowd::compare([&server, &floor], &load)
                    .await
                    .with_context(|| name.clone())?;
                report.add(&name, "µs", value, Some(floor));
            }
        }
    }
    Ok(())
}

/// Copies the packets of the first connection to all others, by `actix-ws` or `actix-web-actors`.
pub(crate) async fn serve(library: &str) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let with_actors = library == "actix-web-actors";
    let sessions = web::Data::new(Sessions::default());
    let actors = web::Data::new(Actors::default());
    let server = HttpServer::new(move || {
        let app = App::new()
            .app_data(sessions.clone())
            .app_data(actors.clone());
        if with_actors {
            app.default_service(web::to(by_actors))
        } else {
            app.default_service(web::to(by_sessions))
        }
    })
    .workers(2)
    .disable_signals()
    .tcp_nodelay(true)
    .listen(listener)?
    .run();
    println!("ready {port}");
    server.await.context("the server")
}

#[derive(Default)]
struct Sessions(tokio::sync::Mutex<Vec<actix_ws::Session>>);

async fn by_sessions(
    request: HttpRequest,
    body: web::Payload,
    sessions: web::Data<Sessions>,
) -> Result<HttpResponse, Error> {
    let (response, mut session, stream) = actix_ws::handle(&request, body)?;
    let mut stream = stream.max_frame_size(MAX_PACKET_BYTES);
    let is_publisher = request.path().ends_with("publisher");
    actix_web::rt::spawn(async move {
        let _ = session.binary(Bytes::new()).await;
        if !is_publisher {
            sessions.0.lock().await.push(session);
        }
        while let Some(Ok(message)) = stream.next().await {
            if let actix_ws::Message::Binary(packet) = message {
                for session in sessions.0.lock().await.iter_mut() {
                    let _ = session.binary(packet.clone()).await;
                }
            }
        }
    });
    Ok(response)
}

#[derive(Default)]
struct Actors(Mutex<Vec<actix::Addr<Connection>>>);

struct Connection {
    others: Arc<Actors>,
    is_publisher: bool,
}

#[derive(actix::Message)]
#[rtype(result = "()")]
struct Packet(Bytes);

impl Actor for Connection {
    type Context = ws::WebsocketContext<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.binary(Bytes::new());
        if !self.is_publisher {
            self.others.0.lock().push(context.address());
        }
    }
}

impl actix::Handler<Packet> for Connection {
    type Result = ();

    fn handle(&mut self, packet: Packet, context: &mut Self::Context) {
        context.binary(packet.0);
    }
}

impl StreamHandler<Result<ws::Message, ws::ProtocolError>> for Connection {
    fn handle(
        &mut self,
        message: Result<ws::Message, ws::ProtocolError>,
        context: &mut Self::Context,
    ) {
        match message {
            Ok(ws::Message::Binary(packet)) => {
                for other in self.others.0.lock().iter() {
                    other.do_send(Packet(packet.clone()));
                }
            }
            Ok(_) => {}
            Err(_) => context.stop(),
        }
    }
}

async fn by_actors(
    request: HttpRequest,
    body: web::Payload,
    actors: web::Data<Actors>,
) -> Result<HttpResponse, Error> {
    let connection = Connection {
        others: actors.into_inner(),
        is_publisher: request.path().ends_with("publisher"),
    };
    ws::WsResponseBuilder::new(connection, &request, body)
        .frame_size(MAX_PACKET_BYTES)
        .start()
}
