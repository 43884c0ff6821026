//! How the program ends, and what it tells of it.

use std::{
    io::Read,
    process::{Command, Output, Stdio},
};

use crate::support::{Joined, PATIENCE, Running, SMALL, Server};

#[test]
fn what_cannot_be_is_said_with_its_own_code() {
    let server = Server::start();
    let code = |output: &Output| output.status.code();
    let text = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let missing = server.run("stream", "pi", &["--input", "/nonexistent/a.y4m"]);
    assert_eq!(code(&missing), Some(3));
    assert!(text(&missing).contains("/nonexistent/a.y4m"));
    let folder = tempfile::tempdir().unwrap();
    let garbage = folder.path().join("a.y4m");
    std::fs::write(&garbage, b"not a video").unwrap();
    let garbage = server.run("stream", "pi", &["--input", garbage.to_str().unwrap()]);
    assert_eq!(code(&garbage), Some(3), "{}", text(&garbage));
    let unwritable = server.run("watch", "eye", &["--y4m", "/nonexistent/o.y4m"]);
    assert_eq!(code(&unwritable), Some(4));
    let name = server.run("stream", "a\nb", &[]);
    assert_eq!(code(&name), Some(6), "{}", text(&name));
    let usage = server.run("stream", "pi", &["--resolution", "3x3"]);
    assert_eq!(code(&usage), Some(2));
    let nobody = Command::new(env!("CARGO_BIN_EXE_videocall-cli"))
        .args(["watch", "--server", "http://127.0.0.1:9"])
        .args(["--meeting-id", "m", "--user-id", "u"])
        .output()
        .unwrap();
    assert_eq!(code(&nobody), Some(5), "{}", text(&nobody));
    assert!(text(&nobody).contains("is the server running"));
}

#[test]
fn systemd_is_told() {
    use std::os::unix::net::UnixDatagram;
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut streaming = server.cli("stream", "pi", &SMALL);
    let streaming = streaming.env("NOTIFY_SOCKET", &path).spawn().unwrap();
    let mut streaming = Running(streaming);
    let heard = |wanted: &str| {
        let mut buffer = [0; 256];
        loop {
            let length = socket.recv(&mut buffer).expect("a message comes");
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if text.lines().any(|line| line == wanted) {
                return;
            }
        }
    };
    heard("READY=1");
    heard("WATCHDOG=1");
    let pid = streaming.0.id().to_string();
    let ended = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
    assert!(ended.success());
    heard("STOPPING=1");
    assert!(streaming.0.wait().unwrap().success());
}

#[test]
fn a_reader_that_has_enough_is_a_good_end() {
    let server = Server::start();
    let _streaming = server.stream(&SMALL);
    for (option, magic) in [("--y4m", &b"YUV4"[..]), ("--wav", b"RIFF")] {
        let mut watching = server
            .cli("watch", "eye", &[option, "-"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = watching.stdout.take().unwrap();
        let mut watching = Joined::new(watching);
        let mut read = vec![0; 40_000];
        pipe.read_exact(&mut read).unwrap();
        assert_eq!(&read[..4], magic);
        drop(pipe);
        assert!(
            watching.process.0.wait().unwrap().success(),
            "{}",
            watching.rest()
        );
    }
    let twice = server.run("watch", "eye", &["--y4m", "-", "--wav", "-"]);
    assert_eq!(twice.status.code(), Some(2));
}

#[test]
fn every_command_ends_well_when_asked_to() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let directory = ["--directory", folder.path().to_str().unwrap()];
    for (command, more) in [
        ("stream", &SMALL[..]),
        ("watch", &[]),
        ("record", &directory),
    ] {
        let mut running = server.joined(command, "one", more);
        assert_eq!(running.terminate().code(), Some(0), "{command}");
    }
}

#[test]
fn a_full_output_is_said() {
    let server = Server::start();
    let _streaming = server.stream(&SMALL);
    let output = server.run("watch", "eye", &["--y4m", "/dev/full"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(4), "{text}");
    assert!(
        text.contains("/dev/full") && text.contains("No space left"),
        "{text}"
    );
}

#[test]
fn a_watcher_tells_how_each_stream_comes() {
    let server = Server::start();
    let _streaming = server.stream(&SMALL);
    let watching = server.joined("watch", "eye", &[]);
    for kind in ["video", "audio"] {
        let line = watching.line(&format!("\"kind\":\"{kind}\""));
        for figure in ["lost", "jitter_ms", "impaired_ms", "kbps"] {
            assert!(line.contains(&format!("\"{figure}\":")), "{line}");
        }
    }
}
