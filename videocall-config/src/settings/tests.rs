//! Where settings come from, and what is refused.

use std::io::Write;

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
}

fn resolve(args: &[&str]) -> Result<Config, SettingsError> {
    Cli::parse_from(["server"].iter().chain(args))
        .settings
        .resolve()
}

#[test]
fn a_flag_beats_the_file_and_the_file_the_default() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(
        file,
        "max-sessions = 7\nmax-meetings = 8\nlog-format = \"json\""
    )
    .unwrap();
    let path = file.path().to_str().unwrap();
    let config = resolve(&["--config", path, "--max-meetings", "9"]).unwrap();
    assert_eq!((config.node.max_sessions, config.node.max_meetings), (7, 9));
    assert_eq!(config.log_format, LogFormat::Json);
    assert!(config.guests);
}

#[test]
fn a_wrong_name_in_the_file_is_told_with_its_place() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "guests = true\nmax-sesions = 7").unwrap();
    let error = resolve(&["--config", file.path().to_str().unwrap()])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("line 2") && error.contains("max-sesions"),
        "{error}"
    );
}

#[test]
fn half_a_certificate_is_refused() {
    let error = resolve(&["--tls-key", "key.pem"]).unwrap_err().to_string();
    assert!(error.contains("--tls-certificate"), "{error}");
    let error = resolve(&["--config", "/nonexistent.toml"])
        .unwrap_err()
        .to_string();
    assert!(error.contains("/nonexistent.toml"), "{error}");
}

#[test]
fn peers_are_origins() {
    let given = "https://b.example.org/,http://[::1]:8080";
    let config = resolve(&["--peer-urls", given]).unwrap();
    assert_eq!(
        config.peer_urls,
        ["https://b.example.org", "http://[::1]:8080"]
    );
    for wrong in ["b.example.org", "https://b/path", "https://", "https://b;c"] {
        for flag in ["--peer-urls", "--public-url"] {
            let error = resolve(&[flag, wrong]).unwrap_err().to_string();
            assert!(error.contains(wrong) && error.contains(flag), "{error}");
        }
    }
}

#[test]
fn only_the_lan_setting_opens_the_machine_to_others() {
    let all_loopback = |config: &Config| {
        config
            .http_listen
            .iter()
            .chain(&config.webtransport_listen)
            .all(|a| a.ip().is_loopback())
    };
    assert!(all_loopback(&resolve(&[]).unwrap()));
    let lan = resolve(&["--lan"]).unwrap();
    assert!(!all_loopback(&lan) && lan.https);
}

#[test]
fn every_row_of_the_session_table_can_be_set() {
    let config = resolve(&[
        "--session-timeout-seconds=60",
        "--heartbeat-seconds=7",
        "--heartbeat-missed=4",
        "--ticket-seconds=600",
        "--streams-per-session=50",
        "--stream-window-bytes=65536",
        "--max-messages-per-second=11",
        "--max-bytes-per-second=12",
        "--node-messages-per-second=13",
        "--node-bytes-per-second=14",
        "--burst-seconds=3",
        "--handshakes-per-second=15",
        "--max-handshakes=16",
        "--handshake-seconds=17",
        "--peer-urls=https://b.example.org",
    ])
    .unwrap();
    let seconds = Duration::from_secs;
    let relay = &config.node.relay;
    assert_eq!(relay.session_timeout, seconds(60));
    assert_eq!(relay.heartbeat_interval, seconds(7));
    assert_eq!(relay.heartbeat_missed, 4);
    assert_eq!(config.ticket_lifetime, seconds(600));
    assert_eq!(relay.ticket_renewal, seconds(300));
    assert!(relay.others_serve);
    assert_eq!(relay.other_servers, ["https://b.example.org"]);
    let limits = &config.node.limits;
    let rates = [
        limits.messages,
        limits.bytes,
        limits.node_messages,
        limits.node_bytes,
    ];
    assert_eq!(rates.map(|rate| rate.per_second), [11, 12, 13, 14]);
    assert!(rates.iter().all(|rate| rate.burst == seconds(3)));
    assert_eq!(limits.handshakes.per_second, 15);
    assert_eq!(limits.max_handshakes, 16);
    assert_eq!(limits.handshake_timeout, seconds(17));
    assert_eq!((limits.max_streams, limits.stream_window), (50, 65536));
}

#[test]
fn times_that_would_end_every_session_are_refused() {
    for wrong in [
        "--heartbeat-seconds=0",
        "--heartbeat-missed=0",
        "--session-timeout-seconds=4",
        "--ticket-seconds=0",
        "--streams-per-session=3",
        "--handshake-seconds=0",
        "--max-handshakes=0",
        "--burst-seconds=0",
    ] {
        let error = resolve(&[wrong]).unwrap_err().to_string();
        let flag = wrong.split('=').next().unwrap();
        assert!(error.contains(flag), "{wrong}: {error}");
    }
}

#[test]
fn the_key_of_tokens_is_a_file_and_long_enough() {
    let file_of = |secret: &[u8]| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(secret).unwrap();
        file
    };
    assert!(resolve(&[]).unwrap().token_key.is_none());
    let claims = videocall_types::token::JoinClaims::new("m", "u", None, u64::MAX >> 12).unwrap();
    let key = |secret: &[u8]| {
        let file = file_of(secret);
        let flag = ["--token-key-file", file.path().to_str().unwrap()];
        resolve(&flag).map(|config| config.token_key.unwrap())
    };
    // What an editor puts at the end of a line is not part of it.
    let secret = [b'k'; 32];
    let token = key(&secret).unwrap().sign(&claims).unwrap();
    for end in [&b"\n"[..], b"\r\n"] {
        let other = key(&[&secret, end].concat()).unwrap();
        assert!(other.check(&token).is_ok());
    }
    let another = key(&[&secret[..], b" "].concat()).unwrap();
    assert!(another.check(&token).is_err());
    let mut config = tempfile::NamedTempFile::new().unwrap();
    let long = file_of(&secret);
    writeln!(config, "token-key-file = {:?}", long.path()).unwrap();
    let config = resolve(&["--config", config.path().to_str().unwrap()]).unwrap();
    assert!(config.token_key.unwrap().check(&token).is_ok());

    let error = key(&[&secret[1..], b"\n"].concat())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("--token-key-file") && error.contains("31 bytes"),
        "{error}"
    );
    let error = resolve(&["--token-key-file", "/nonexistent.key"]).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("--token-key-file: /nonexistent.key"),
        "{error}"
    );
}
