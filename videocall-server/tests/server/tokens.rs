//! Who is let in by a token, and who is not.

use std::{
    io::Write,
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tempfile::NamedTempFile;
use tokio::time::timeout;
use videocall_client::{
    core::session::Event,
    native::{Client as Native, JoinOptions},
};
use videocall_node::TokenKey;
use videocall_types::{
    close::CloseReason,
    limits::MAX_TOKEN_BYTES,
    token::{JoinClaims, Token},
};

use crate::{
    bad_input::refused_over_websocket,
    clients::{BOTH_WAYS, Client, refused},
    process::{Server, command},
    resume::{joined, options},
};

const PATIENCE: Duration = Duration::from_secs(20);
const SECRET: &str = "thirty-two bytes and some more for tests";
const OTHER_SECRET: &str = "thirty-two bytes and some more of others";

fn key_file(secret: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    // As an editor leaves it.
    writeln!(file, "{secret}").unwrap();
    file
}

/// A server that lets in by token alone.
fn locked(key: &Path) -> Server {
    let key = key.to_str().unwrap();
    Server::start(&["--guests=false", "--token-key-file", key])
}

/// What the operator's command prints.
fn printed(key: &Path, more: &[&str]) -> String {
    let mut program = command(&["token", "--token-key-file", key.to_str().unwrap()]);
    let output = program.args(more).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A token that ended an hour ago.
fn expired() -> Token {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let claims = JoinClaims::new("demo", "pi", None, now.as_secs() - 3600).unwrap();
    let key = TokenKey::new(SECRET.as_bytes()).unwrap();
    key.sign(&claims).unwrap()
}

fn door(token: &str) -> String {
    format!("/lobby?token={token}")
}

/// What is told over both transports, which must be the same.
async fn not_let_in(server: &Server, token: &str) -> String {
    let (reason, text) = refused_over_websocket(server, &door(token)).await;
    assert_eq!(reason, Some(CloseReason::Unauthorized));
    let told = refused(server, &door(token)).await;
    assert_eq!(told, (CloseReason::Unauthorized.code(), text.clone()));
    text
}

#[tokio::test]
async fn a_token_says_who_comes_in_and_where() {
    let key = key_file(SECRET);
    let server = locked(key.path());
    let pi = printed(
        key.path(),
        &["--meeting", "d\u{e9}mo 1", "--user", "pi", "--valid", "2d"],
    );
    let eye = printed(key.path(), &["--meeting", "d\u{e9}mo 1", "--user", "eye"]);
    for way in BOTH_WAYS {
        let mut eye = Client::join(&server, way, &door(&eye)).await;
        assert_eq!(&eye.welcome.user_id[..], b"eye");
        for other in BOTH_WAYS {
            let pi = Client::join(&server, other, &door(&pi)).await;
            assert_eq!(&pi.welcome.user_id[..], b"pi");
            eye.sees(pi.session).await;
            let roster = pi.welcome.roster.clone().unwrap().participants;
            assert!(
                roster.iter().any(|one| one.display_name == "eye"),
                "{roster:?}"
            );
        }
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_token_is_told_and_not_the_token() {
    let key = key_file(SECRET);
    let server = locked(key.path());
    let text = not_let_in(&server, expired().as_str()).await;
    assert!(text.contains("expired"), "{text}");
    let other = key_file(OTHER_SECRET);
    let forged = printed(other.path(), &["--meeting", "demo", "--user", "pi"]);
    let long = "x".repeat(MAX_TOKEN_BYTES + 1);
    for wrong in [&*forged, "", "garbage", "a.b.c", "%00%ff", &long] {
        let text = not_let_in(&server, wrong).await;
        assert!(text.contains("not valid"), "{text}");
        assert!(wrong.is_empty() || !text.contains(wrong), "{text}");
    }
    let text = refused(&server, "/lobby/ann/demo").await.1;
    assert!(text.contains("guests"), "{text}");
}

#[tokio::test]
async fn beside_the_door_for_tokens_the_one_for_guests_stays_open() {
    let key = key_file(SECRET);
    let server = Server::start(&["--token-key-file", key.path().to_str().unwrap()]);
    let pi = printed(key.path(), &["--meeting", "demo", "--user", "pi"]);
    for way in BOTH_WAYS {
        // What is said besides at the door for guests does not count.
        let mut ann = Client::join(&server, way, "/lobby/ann/demo?token=garbage").await;
        let pi = Client::join(&server, way, &door(&pi)).await;
        ann.sees(pi.session).await;
        assert_eq!(&ann.welcome.user_id[..], b"ann");
    }
    let text = not_let_in(&server, "garbage").await;
    assert!(text.contains("not valid"), "{text}");
}

#[tokio::test]
async fn without_a_key_no_token_is_good() {
    let key = key_file(SECRET);
    let token = printed(key.path(), &["--meeting", "demo", "--user", "pi"]);
    let text = not_let_in(&Server::start(&[]), &token).await;
    assert!(text.contains("takes no tokens") && text.contains("/lobby/{user}/{meeting}"));
    let text = not_let_in(&Server::start(&["--guests=false"]), &token).await;
    assert!(text.contains("neither tokens nor guests"), "{text}");
}

#[tokio::test]
async fn the_client_joins_by_token_alone() {
    let key = key_file(SECRET);
    let server = locked(key.path());
    let token = printed(
        key.path(),
        &["--meeting", "demo", "--user", "pi", "--name", "Gate"],
    );
    for way in BOTH_WAYS {
        let by = |token| JoinOptions {
            meeting: String::new(),
            display_name: String::new(),
            token: Some(token),
            ..options(&server, way, "")
        };
        let mut first = Native::join(by(Token::new(&token)));
        joined(&mut first).await;
        let mut second = Native::join(by(Token::new(&token)));
        let second_session = joined(&mut second).await;
        let named = async {
            loop {
                let roster = first.handle().roster();
                if let Some(other) = roster
                    .iter()
                    .find(|it| it.session_id == second_session.get())
                {
                    return other.display_name.clone();
                }
                first.next_event().await.expect("the session goes on");
            }
        };
        let name = timeout(PATIENCE, named).await;
        assert_eq!(name.expect("seen"), "Gate");
        let mut late = Native::join(by(expired()));
        let end = async {
            loop {
                match late.next_event().await.expect("an end is told") {
                    Event::Closed { reason, text } => return (reason, text),
                    event => assert!(!matches!(event, Event::Joined(_)), "{event:?}"),
                }
            }
        };
        let end = timeout(PATIENCE, end).await;
        let (reason, text) = end.expect("refused");
        assert_eq!(reason, Some(CloseReason::Unauthorized));
        assert!(text.contains("expired"), "{text}");
    }
}

#[tokio::test]
async fn a_token_is_in_no_log_whatever_is_logged() {
    let key = key_file(SECRET);
    let file = key.path().to_str().unwrap();
    let server = Server::start(&["--token-key-file", file, "--log=trace,wtransport=trace"]);
    let good = printed(key.path(), &["--meeting", "demo", "--user", "pi"]);
    for way in BOTH_WAYS {
        Client::join(&server, way, &door(&good)).await;
    }
    let bad = expired();
    not_let_in(&server, bad.as_str()).await;
    let deadline = Instant::now() + PATIENCE;
    while server.log().matches("refused").count() < 2 {
        assert!(Instant::now() < deadline, "{}", server.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let log = server.log();
    assert!(log.contains("TRACE"), "{log}");
    for token in [&*good, bad.as_str()] {
        let (_, claims_and_tag) = token.split_once('.').unwrap();
        assert!(!log.contains(claims_and_tag), "{log}");
    }
    assert!(!log.contains("?token="), "{log}");
}

#[test]
fn a_key_that_cannot_be_used_is_named_with_its_setting() {
    let short = key_file("short");
    let missing = Path::new("/nonexistent/token.key");
    for (path, word) in [(short.path(), "5 bytes"), (missing, "cannot be read")] {
        let path = path.to_str().unwrap();
        for more in [&[][..], &["token", "--meeting", "m", "--user", "u"]] {
            let mut program = command(&["--token-key-file", path]);
            let output = program.args(more).output().unwrap();
            let text = String::from_utf8(output.stderr).unwrap();
            assert!(
                !output.status.success() && text.lines().count() == 1,
                "{text}"
            );
            for word in ["error: --token-key-file", path, word] {
                assert!(text.contains(word), "{text}");
            }
        }
    }
}

#[test]
fn no_token_is_made_of_what_makes_no_sense() {
    let key = key_file(SECRET);
    let file = ["--token-key-file", key.path().to_str().unwrap()];
    let failure = |more: &[&str]| {
        let output = command(&["token"]).args(more).output().unwrap();
        assert!(!output.status.success() && output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    };
    let text = failure(&["--meeting", "m", "--user", "u"]);
    assert!(text.contains("--token-key-file is needed"), "{text}");
    let text = failure(&[&file[..], &["--meeting", " ", "--user", "u"]].concat());
    assert!(text.contains("the meeting's name"), "{text}");
    let text = failure(
        &[
            &file[..],
            &["--meeting", "m", "--user", "u", "--valid", "1"],
        ]
        .concat(),
    );
    assert!(text.contains("24h"), "{text}");
}
