//! Joining by a token instead of names.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::support::{Joined, SMALL, Server};

const SECRET: &str = "thirty-two bytes and some more for tests";
/// Signed with it, for the meeting `demo` and the user `pi`, until 1970.
const EXPIRED: &str = "eyJhbGciOiJIUzI1NiJ9.eyJtZWV0aW5nIjoiZGVtbyIsInN1YiI6InBpIiwiZXhwIjoxfQ.\
                       HcjpbgQ3HS8Hi0bT3uS6llI6LDaI5Xy0PGGbqgXpyRg";

/// An operator who lets in by token alone.
struct Operator {
    folder: TempDir,
    server: Server,
}

impl Operator {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("token.key");
        fs::write(&key, SECRET).unwrap();
        let key = ["--token-key-file", key.to_str().unwrap()];
        let server = Server::with(&[&["--guests=false"][..], &key].concat());
        Self { folder, server }
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path: PathBuf = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// What the server's command prints, signed with that secret.
    fn token(&self, secret: &str, user: &str) -> String {
        let key = self.file("another.key", secret);
        let program = Path::new(env!("CARGO_BIN_EXE_videocall-cli"));
        let output = Command::new(program.with_file_name("videocall-server"))
            .args(["token", "--token-key-file", &key])
            .args(["--meeting", "demo", "--user", user, "--valid", "1h"])
            .output()
            .unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    }

    /// Streams with a token from a file.
    fn run(&self, token: &str, more: &[&str]) -> Output {
        let file = self.file("token", token);
        let flags = [&["--token-file", &file, "--duration", "1"][..], more].concat();
        self.server.nameless("stream", &flags).output().unwrap()
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_token_is_all_that_is_needed() {
    let operator = Operator::new();
    let file = operator.file("pi", &operator.token(SECRET, "pi"));
    let flags = [&["--token-file", &file][..], &SMALL].concat();
    let streaming = operator.server.nameless("stream", &flags).spawn().unwrap();
    let _streaming = Joined::new(streaming);
    // The same by the environment.
    let mut watching = operator.server.nameless("watch", &[]);
    let token = operator.token(SECRET, "eye");
    let watching = watching.env("VIDEOCALL_TOKEN", token).spawn().unwrap();
    Joined::new(watching).line("\"kind\":\"video\"");
}

#[test]
fn a_token_that_lets_nobody_in_is_told_with_its_own_code() {
    let operator = Operator::new();
    for (token, word) in [
        (EXPIRED.to_owned(), "expired"),
        (operator.token(&SECRET.to_uppercase(), "pi"), "not valid"),
    ] {
        let output = operator.run(&token, &SMALL);
        let text = text(&output);
        assert_eq!(output.status.code(), Some(6), "{text}");
        assert!(
            text.contains(word) && !text.contains(token.trim()),
            "{text}"
        );
    }
}

#[test]
fn what_is_no_token_or_for_somebody_else_is_not_tried() {
    let operator = Operator::new();
    let good = operator.token(SECRET, "pi");
    for (token, more, word) in [
        (&*good, &["--meeting-id", "other"][..], "\"demo\""),
        (&*good, &["--user-id", "other"], "\"pi\""),
        ("-----BEGIN PRIVATE KEY-----", &[], "no token"),
        ("", &[], "no token"),
    ] {
        let output = operator.run(token, more);
        let text = text(&output);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(word) && !text.contains("PRIVATE"), "{text}");
    }
    let missing = ["--token-file", "/nonexistent/token"];
    let missing = operator
        .server
        .nameless("watch", &missing)
        .output()
        .unwrap();
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(&missing).contains("--token-file: /nonexistent/token"));
    let nothing = operator.server.nameless("watch", &[]).output().unwrap();
    assert_eq!(nothing.status.code(), Some(2));
    assert!(text(&nothing).contains("--meeting-id and --user-id"));
    // The same names are no contradiction.
    let same = [&["--meeting-id", " demo", "--user-id", "pi"][..], &SMALL].concat();
    let same = operator.run(&good, &same);
    assert!(same.status.success(), "{}", text(&same));
}

#[test]
fn a_profile_names_the_file_and_the_environment_wins() {
    let operator = Operator::new();
    let good = operator.token(SECRET, "pi");
    let file = operator.file("pi", EXPIRED);
    let profile = format!("token-file = '{file}'\nduration = 1\nresolution = '320x180'\nfps = 10");
    let profile = operator.file("gate.toml", &profile);
    let mut streaming = operator.server.nameless("stream", &["--profile", &profile]);
    let expired = streaming.output().unwrap();
    assert_eq!(expired.status.code(), Some(6), "{}", text(&expired));
    let fresh = streaming.env("VIDEOCALL_TOKEN", &good).output().unwrap();
    assert!(fresh.status.success(), "{}", text(&fresh));
}

#[test]
fn the_doctor_enters_by_a_token_too() {
    let operator = Operator::new();
    for (token, code) in [
        (operator.token(SECRET, "pi"), "ok"),
        (EXPIRED.to_owned(), "fail"),
    ] {
        let file = operator.file("token", &token);
        let little = ["--resolution", "160x90", "--fps", "5", "--speed", "9"];
        let flags = [&["--token-file", &file][..], &little].concat();
        let output = operator.server.nameless("doctor", &flags).output().unwrap();
        let findings = String::from_utf8(output.stdout).unwrap();
        for check in ["websocket", "webtransport"] {
            let name = format!("\"check\":\"{check}\"");
            let line = findings.lines().find(|line| line.contains(&name)).unwrap();
            assert!(line.contains(&format!("\"verdict\":\"{code}\"")), "{line}");
        }
    }
}
