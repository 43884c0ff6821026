//! The settings, as given and as used.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::{Args, ValueEnum};
use serde::Deserialize;
use videocall_node::NodeConfig;

const HTTP_PORT: u16 = 8080;
const WEBTRANSPORT_PORT: u16 = 4433;
/// What the HTTP library says of its threads is of no use to an operator.
const LOG: &str = "info,actix_server=warn";

/// A setting cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("--config: cannot read {path}: {error}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file says something that makes no sense.
    #[error("--config: {path}: {error}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What, and where.
        error: Box<toml::de::Error>,
    },
    /// Settings contradict each other.
    #[error("{0}")]
    Contradiction(&'static str),
    /// Not the address of a server.
    #[error(
        "--peer-urls: `{0}` is not an address like https://b.example.org or https://10.0.0.2:8443"
    )]
    Peer(String),
}

/// Form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// Settings as given; whatever is absent comes from the file or is the default.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// File with settings, TOML, named like the flags: `http-listen = ["127.0.0.1:8080"]`
    #[arg(long, env = "VIDEOCALL_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    config: Option<PathBuf>,

    /// Addresses of HTTP and WebSocket, comma-separated [default: 127.0.0.1:8080,[::1]:8080]
    #[arg(
        long,
        env = "VIDEOCALL_HTTP_LISTEN",
        value_name = "ADDRESSES",
        value_delimiter = ','
    )]
    http_listen: Option<Vec<SocketAddr>>,

    /// Addresses of WebTransport (UDP), comma-separated [default: 127.0.0.1:4433,[::1]:4433]
    #[arg(
        long,
        env = "VIDEOCALL_WEBTRANSPORT_LISTEN",
        value_name = "ADDRESSES",
        value_delimiter = ','
    )]
    webtransport_listen: Option<Vec<SocketAddr>>,

    /// Address of WebTransport as browsers reach it, e.g. https://media.example.org:4433
    /// [default: the page's own host, with the port of --webtransport-listen]
    #[arg(long, env = "VIDEOCALL_WEBTRANSPORT_URL", value_name = "URL")]
    webtransport_url: Option<String>,

    /// Serve the local network: HTTPS on every address of this machine, with a certificate of its
    /// own unless --tls-certificate gives one
    #[arg(long, env = "VIDEOCALL_LAN", num_args = 0..=1, default_missing_value = "true")]
    lan: Option<bool>,

    /// Certificate chain, PEM; read again when it changes. Also makes HTTP into HTTPS
    #[arg(long, env = "VIDEOCALL_TLS_CERTIFICATE", value_name = "FILE")]
    tls_certificate: Option<PathBuf>,

    /// Private key of the certificate, PEM
    #[arg(long, env = "VIDEOCALL_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,

    /// Folder of the built user interface [default: dist]
    #[arg(long, env = "VIDEOCALL_UI_DIR", value_name = "FOLDER")]
    ui_dir: Option<PathBuf>,

    /// NATS server that connects this node with others, e.g. nats://localhost:4222
    /// [default: none, this node is alone]
    #[arg(
        long,
        env = "VIDEOCALL_NATS_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    nats_url: Option<String>,

    /// Public addresses of the other servers of this installation, comma-separated, e.g.
    /// https://b.example.org: people join at the nearest, and move when theirs goes away
    #[arg(
        long,
        env = "VIDEOCALL_PEER_URLS",
        value_name = "URLS",
        value_delimiter = ','
    )]
    peer_urls: Option<Vec<String>>,

    /// Whether people may join without an account [default: true]
    #[arg(long, env = "VIDEOCALL_GUESTS", value_name = "BOOL")]
    guests: Option<bool>,

    /// Participants on this node at most [default: 20000]
    #[arg(long, env = "VIDEOCALL_MAX_SESSIONS", value_name = "NUMBER")]
    max_sessions: Option<usize>,

    /// Meetings on this node at most [default: 10000]
    #[arg(long, env = "VIDEOCALL_MAX_MEETINGS", value_name = "NUMBER")]
    max_meetings: Option<usize>,

    /// Seconds that participants get to move elsewhere at shutdown [default: 10]
    #[arg(long, env = "VIDEOCALL_DRAIN_SECONDS", value_name = "SECONDS")]
    drain_seconds: Option<u64>,

    /// Form of the log [default: human]
    #[arg(long, env = "VIDEOCALL_LOG_FORMAT", value_name = "FORMAT")]
    log_format: Option<LogFormat>,

    /// What is logged, e.g. debug or videocall_node=debug [default: info,actix_server=warn]
    #[arg(long, env = "VIDEOCALL_LOG", value_name = "FILTER")]
    log: Option<String>,
}

/// Settings as used.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where HTTP listens.
    pub http_listen: Vec<SocketAddr>,
    /// Where WebTransport listens.
    pub webtransport_listen: Vec<SocketAddr>,
    /// What browsers are told, if not derived from their own request.
    pub webtransport_url: Option<String>,
    /// Whether HTTP is HTTPS.
    pub https: bool,
    /// Whether this serves a local network.
    pub lan: bool,
    /// Certificate chain and key; `None`: self-signed.
    pub tls_files: Option<(PathBuf, PathBuf)>,
    /// The built user interface.
    pub ui_dir: PathBuf,
    /// Where other nodes are.
    pub nats_url: Option<String>,
    /// Origins of the other servers of this installation, as browsers reach them.
    pub peer_urls: Vec<String>,
    /// Whether guests may join.
    pub guests: bool,
    /// Limits.
    pub node: NodeConfig,
    /// How long a shutdown waits.
    pub drain: Duration,
    /// Form of the log.
    pub log_format: LogFormat,
    /// Filter of the log.
    pub log: String,
}

macro_rules! or_file {
    ($given:ident, $file:ident: $($field:ident)*) => {
        $($given.$field = $given.$field.take().or($file.$field);)*
    };
}

impl Settings {
    /// Reads the file, if one is given, and fills in the defaults.
    ///
    /// # Errors
    /// The file cannot be read or makes no sense, or settings contradict each other.
    pub fn resolve(mut self) -> Result<Config, SettingsError> {
        if let Some(path) = self.config.clone() {
            let text = fs::read_to_string(&path).map_err(|error| SettingsError::Unreadable {
                path: path.clone(),
                error,
            })?;
            let file: Settings = toml::from_str(&text).map_err(|error| SettingsError::File {
                path,
                error: Box::new(error),
            })?;
            let given = &mut self;
            or_file!(given, file: http_listen webtransport_listen webtransport_url lan
                tls_certificate tls_key ui_dir nats_url peer_urls guests max_sessions max_meetings
                drain_seconds log_format log);
        }
        self.with_defaults()
    }

    fn with_defaults(self) -> Result<Config, SettingsError> {
        let lan = self.lan.unwrap_or(false);
        let tls_files = match (self.tls_certificate, self.tls_key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => {
                return Err(SettingsError::Contradiction(
                    "--tls-certificate needs --tls-key beside it",
                ));
            }
            (None, Some(_)) => {
                return Err(SettingsError::Contradiction(
                    "--tls-key needs --tls-certificate beside it",
                ));
            }
        };
        if self.http_listen.as_ref().is_some_and(Vec::is_empty)
            || self.webtransport_listen.as_ref().is_some_and(Vec::is_empty)
        {
            return Err(SettingsError::Contradiction(
                "--http-listen and --webtransport-listen need at least one address each",
            ));
        }
        let peer_urls = self.peer_urls.unwrap_or_default();
        let peer_urls: Result<_, _> = peer_urls.into_iter().map(origin).collect();
        let defaults = NodeConfig::default();
        Ok(Config {
            peer_urls: peer_urls?,
            http_listen: self
                .http_listen
                .unwrap_or_else(|| addresses(lan, HTTP_PORT)),
            webtransport_listen: self
                .webtransport_listen
                .unwrap_or_else(|| addresses(lan, WEBTRANSPORT_PORT)),
            webtransport_url: self.webtransport_url,
            https: lan || tls_files.is_some(),
            lan,
            tls_files,
            ui_dir: self.ui_dir.unwrap_or_else(|| "dist".into()),
            nats_url: self.nats_url,
            guests: self.guests.unwrap_or(true),
            node: NodeConfig {
                max_sessions: self.max_sessions.unwrap_or(defaults.max_sessions),
                max_meetings: self.max_meetings.unwrap_or(defaults.max_meetings),
                ..defaults
            },
            drain: Duration::from_secs(self.drain_seconds.unwrap_or(10)),
            log_format: self.log_format.unwrap_or_default(),
            log: self.log.unwrap_or_else(|| LOG.to_owned()),
        })
    }
}

/// Scheme, host and port and nothing else: browsers are told it in a header, too.
fn origin(url: String) -> Result<String, SettingsError> {
    let trimmed = url.trim_end_matches('/');
    let rest = trimmed
        .strip_prefix("https://")
        .or(trimmed.strip_prefix("http://"));
    let is_part = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    match rest {
        Some(rest) if !rest.is_empty() && rest.chars().all(is_part) => Ok(trimmed.to_owned()),
        _ => Err(SettingsError::Peer(url)),
    }
}

/// Both families: a browser may try either for `localhost`.
fn addresses(lan: bool, port: u16) -> Vec<SocketAddr> {
    let (v4, v6): (IpAddr, IpAddr) = if lan {
        (Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into())
    } else {
        (Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into())
    };
    vec![SocketAddr::new(v4, port), SocketAddr::new(v6, port)]
}

#[cfg(test)]
mod tests {
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
            let error = resolve(&["--peer-urls", wrong]).unwrap_err().to_string();
            assert!(error.contains(wrong), "{error}");
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
}
