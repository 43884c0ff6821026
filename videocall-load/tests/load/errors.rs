//! Each class of errors, from a server that makes it happen.

use std::{net::TcpListener, time::Duration};

use videocall_load::{
    behaviour::meeting::MeetingOptions,
    measure::ErrorClass,
    plan::{BehaviourOptions, Plan},
};

use crate::{
    server::{Mischief, Server},
    support::{RealServer, Run, plan},
};

/// Runs until an error of that class is there, and gives its text.
async fn provoke(plan: Plan, class: ErrorClass) -> String {
    let run = Run::start(plan);
    run.until(&format!("{class:?}"), |seen| seen.errors_of(class) > 0)
        .await;
    let seen = run.end().await;
    // Nothing else than what the server does may be found.
    assert!(
        seen.errors.iter().all(|(of, _, _)| *of == class),
        "{:?}",
        seen.errors
    );
    let error = seen.errors.into_iter().next();
    error.expect("the error").2
}

async fn silent(mischief: Mischief, class: ErrorClass) -> String {
    let server = Server::start(mischief).await;
    let mut plan = plan(&server.url(), 3, BehaviourOptions::Silent);
    plan.transport.connect_timeout = Duration::from_millis(300);
    provoke(plan, class).await
}

#[tokio::test]
async fn a_name_that_does_not_exist() {
    let plan = plan("ws://nobody.invalid:80", 1, BehaviourOptions::Silent);
    let text = provoke(plan, ErrorClass::Dns).await;
    assert!(text.contains("nobody.invalid"), "{text}");
}

#[tokio::test]
async fn a_port_that_refuses() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let plan = plan(&format!("ws://{address}"), 2, BehaviourOptions::Silent);
    let text = provoke(plan, ErrorClass::Connect).await;
    assert!(text.contains("refused"), "{text}");
}

#[tokio::test]
async fn a_server_without_tls() {
    let server = Server::start(Mischief::Answer("HTTP/1.1 400 Bad Request\r\n\r\n")).await;
    let url = format!("wss://{}", server.address);
    provoke(plan(&url, 1, BehaviourOptions::Silent), ErrorClass::Tls).await;
}

#[tokio::test]
async fn a_server_that_never_answers() {
    let text = silent(Mischief::Mute, ErrorClass::Timeout).await;
    assert!(text.contains("handshake"), "{text}");
}

#[tokio::test]
async fn a_handshake_that_is_refused() {
    let answer = "HTTP/1.1 403 Forbidden\r\ncontent-length: 9\r\n\r\nnot today";
    let text = silent(Mischief::Answer(answer), ErrorClass::Handshake).await;
    assert!(text.contains("403"), "{text}");
}

#[tokio::test]
async fn a_handshake_of_garbage() {
    silent(
        Mischief::Answer("\u{1}\u{2}garbage\r\n\r\n"),
        ErrorClass::Handshake,
    )
    .await;
}

#[tokio::test]
async fn a_frame_with_a_reserved_opcode() {
    silent(Mischief::Raw(&[0x83, 0x00]), ErrorClass::Protocol).await;
}

#[tokio::test]
async fn a_masked_frame_of_the_server() {
    let frame = &[0x82, 0x81, 1, 2, 3, 4, 5];
    silent(Mischief::Raw(frame), ErrorClass::Protocol).await;
}

#[tokio::test]
async fn a_close_code() {
    let text = silent(Mischief::Close(4004), ErrorClass::CloseCode(4004)).await;
    assert!(text.contains("because"), "{text}");
}

#[tokio::test]
async fn a_regular_close_is_no_error() {
    let server = Server::start(Mischief::Close(1000)).await;
    let run = Run::start(plan(&server.url(), 2, BehaviourOptions::Silent));
    run.until("replaced connections", |seen| seen.connected > 6)
        .await;
    assert_eq!(run.end().await.errors, []);
}

#[tokio::test]
async fn a_reset() {
    silent(Mischief::Reset, ErrorClass::Reset).await;
}

#[tokio::test]
async fn a_reset_before_the_handshake() {
    silent(Mischief::ResetAtOnce, ErrorClass::Reset).await;
}

#[tokio::test]
async fn a_server_that_takes_nothing() {
    let server = Server::start(Mischief::Deaf).await;
    let behaviour = BehaviourOptions::Scenario(
        videocall_load::scenario::Scenario::parse(
            "[[step]]\nsend = \"x\"\n[[step]]\nwait = \"0s\"\n",
        )
        .unwrap(),
    );
    let mut plan = plan(&server.url(), 1, behaviour);
    // So that the kernel's buffers are full soon.
    if let BehaviourOptions::Scenario(scenario) = &mut plan.behaviour {
        scenario.steps[0] = videocall_load::scenario::Step::SendBytes(vec![0; 100_000]);
    }
    provoke(plan, ErrorClass::Channel).await;
}

#[tokio::test]
async fn no_room_for_a_source_address() {
    let server = Server::start(Mischief::Echo).await;
    let mut plan = plan(&server.url(), 1, BehaviourOptions::Silent);
    // TEST-NET-1 of RFC 5737 is nobody's.
    plan.transport.source_addresses = vec!["192.0.2.1".parse().unwrap()];
    provoke(plan, ErrorClass::Limit).await;
}

#[tokio::test]
async fn a_meeting_that_never_welcomes() {
    let server = Server::start(Mischief::Echo).await;
    let options = MeetingOptions {
        join_timeout: Duration::from_millis(200),
        ..MeetingOptions::default()
    };
    let plan = plan(&server.url(), 1, BehaviourOptions::Meeting(options));
    let text = provoke(plan, ErrorClass::Timeout).await;
    assert!(text.contains("Welcome"), "{text}");
}

#[tokio::test]
async fn webtransport_to_a_port_where_nobody_is() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", socket.local_addr().unwrap());
    let mut plan = plan(&url, 1, BehaviourOptions::Silent);
    plan.transport.insecure = true;
    plan.transport.connect_timeout = Duration::from_millis(300);
    provoke(plan, ErrorClass::Timeout).await;
}

#[tokio::test]
async fn a_certificate_that_is_not_the_pinned_one() {
    let server = RealServer::start().await;
    let mut plan = plan(&server.webtransport_url(), 1, BehaviourOptions::Silent);
    plan.transport.certificate_hashes = vec!["00".repeat(32)];
    provoke(plan, ErrorClass::Tls).await;
}

#[tokio::test]
async fn a_self_signed_certificate() {
    let server = RealServer::start().await;
    let plan = plan(&server.webtransport_url(), 1, BehaviourOptions::Silent);
    provoke(plan, ErrorClass::Tls).await;
}
