//! Profiles, completions and manual pages.

use std::process::{Command, Output};

use crate::support::Server;

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_videocall-cli"))
        .args(args)
        .env_remove("VIDEOCALL_PROFILE")
        .output()
        .unwrap()
}

#[test]
fn a_profile_gives_what_flags_do_not() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gate.toml");
    let url = server.url();
    let text = format!(
        "server = '{url}'\nmeeting-id = 'yard'\nuser-id = 'gate'\nduration = 1\n\
         resolution = '320x180'\nfps = 10\ndirectory = '/nonexistent'\n"
    );
    std::fs::write(&path, text).unwrap();
    let profile = ["stream", "--profile", path.to_str().unwrap()];
    let output = run(&profile);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && text.contains("joined"), "{text}");
    // A flag wins.
    let output = run(&[&profile[..], &["--server", "http://127.0.0.1:9"]].concat());
    assert_eq!(output.status.code(), Some(5));
    std::fs::write(&path, "user = 'gate'").unwrap();
    let output = run(&profile);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("no setting `user`"), "{text}");
}

#[test]
fn each_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("man1");
    let output = run(&["man", "--directory", directory.to_str().unwrap()]);
    assert!(output.status.success());
    let page = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap();
    assert!(page("videocall-cli.1").contains("Exit codes"));
    for command in ["stream", "watch", "record", "devices", "completions", "man"] {
        let page = page(&format!("videocall-cli-{command}.1"));
        assert!(
            page.contains(&format!("videocall\\-cli\\-{command}")),
            "{page}"
        );
    }
    assert!(page("videocall-cli-record.1").contains("composed"));
    assert!(run(&["man"]).stdout.starts_with(b"."));
    for shell in ["bash", "zsh", "fish"] {
        let script = String::from_utf8(run(&["completions", shell]).stdout).unwrap();
        assert!(script.contains("screen-only"), "{shell}");
    }
}
