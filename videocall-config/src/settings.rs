//! The settings, as given and as used.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use videocall_node::{Limits, NodeConfig, Rate, RelayConfig, TokenKey};

const HTTP_PORT: u16 = 8080;
const WEBTRANSPORT_PORT: u16 = 4433;
/// What a WebTransport session needs before it publishes.
const LEAST_STREAMS: u32 = 16;
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
    /// The key of tokens cannot be used.
    #[error("--token-key-file: {path}: {error}")]
    TokenKey {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: String,
    },
    /// Settings contradict each other.
    #[error("{0}")]
    Contradiction(&'static str),
    /// Not the address of a server.
    #[error("{0}: `{1}` is not an address like https://b.example.org or https://10.0.0.2:8443")]
    Origin(&'static str, String),
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

/// Which of the servers of an installation people join at, among those about equally near.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Placement {
    /// All people of a meeting at the same one.
    #[default]
    Meeting,
    /// Each at the one that the page came from.
    Anywhere,
}

/// Settings as given; whatever is absent comes from the file or is the default.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// File with settings, TOML, named like the flags: `http-listen = ["127.0.0.1:8080"]`
    #[arg(long, env = "VIDEOCALL_CONFIG", value_name = "FILE", global = true)]
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

    /// Public address of this server, by which --peer-urls of the others name it, e.g.
    /// https://a.example.org [default: the address that the page was loaded from]
    #[arg(long, env = "VIDEOCALL_PUBLIC_URL", value_name = "URL")]
    public_url: Option<String>,

    /// Public addresses of the other servers of this installation, comma-separated, e.g.
    /// https://b.example.org: people join at one of the nearest, and move when theirs goes away
    #[arg(
        long,
        env = "VIDEOCALL_PEER_URLS",
        value_name = "URLS",
        value_delimiter = ','
    )]
    peer_urls: Option<Vec<String>>,

    /// Which of the servers that are about equally near people join at: `meeting`, all of a meeting
    /// at the same, or `anywhere`, each at the one that the page came from [default: meeting]
    #[arg(long, env = "VIDEOCALL_PLACEMENT", value_name = "PLACEMENT")]
    placement: Option<Placement>,

    /// Whether people may join without an account [default: true]
    #[arg(long, env = "VIDEOCALL_GUESTS", value_name = "BOOL")]
    guests: Option<bool>,

    /// File with the secret of at least 32 bytes that join tokens are signed with, alike on all
    /// servers [default: none, no token is taken]
    #[arg(
        long,
        env = "VIDEOCALL_TOKEN_KEY_FILE",
        value_name = "FILE",
        global = true
    )]
    token_key_file: Option<PathBuf>,

    /// Participants on this node at most [default: 20000]
    #[arg(long, env = "VIDEOCALL_MAX_SESSIONS", value_name = "NUMBER")]
    max_sessions: Option<usize>,

    /// Meetings on this node at most [default: 10000]
    #[arg(long, env = "VIDEOCALL_MAX_MEETINGS", value_name = "NUMBER")]
    max_meetings: Option<usize>,

    /// Memory of the process, in MiB, over which nobody more is let in
    /// [default: 85 % of the machine's or the container's]
    #[arg(long, env = "VIDEOCALL_MAX_MEMORY_MIB", value_name = "MIB")]
    max_memory_mib: Option<u64>,

    /// Part of all processors, in percent, over which nobody more is let in [default: 95]
    #[arg(long, env = "VIDEOCALL_MAX_CPU_PERCENT", value_name = "PERCENT",
        value_parser = clap::value_parser!(u8).range(1..=100))]
    max_cpu_percent: Option<u8>,

    /// Megabits a second to participants over which nobody more is let in [default: none]
    #[arg(long, env = "VIDEOCALL_MAX_EGRESS_MBPS", value_name = "MBPS")]
    max_egress_mbps: Option<u64>,

    /// Seconds of silence after which a session ends [default: 30]
    #[arg(
        long,
        env = "VIDEOCALL_SESSION_TIMEOUT_SECONDS",
        value_name = "SECONDS"
    )]
    session_timeout_seconds: Option<u64>,

    /// Seconds between two pings [default: 5]
    #[arg(long, env = "VIDEOCALL_HEARTBEAT_SECONDS", value_name = "SECONDS")]
    heartbeat_seconds: Option<u64>,

    /// Pings without an answer after which a session ends [default: 3]
    #[arg(long, env = "VIDEOCALL_HEARTBEAT_MISSED", value_name = "NUMBER")]
    heartbeat_missed: Option<u32>,

    /// Seconds for which a ticket to resume a session is good; alike on all servers
    /// [default: 3600]
    #[arg(long, env = "VIDEOCALL_TICKET_SECONDS", value_name = "SECONDS")]
    ticket_seconds: Option<u64>,

    /// Streams that a WebTransport client may have open at once [default: 100]
    #[arg(long, env = "VIDEOCALL_STREAMS_PER_SESSION", value_name = "NUMBER")]
    streams_per_session: Option<u32>,

    /// Bytes that a WebTransport client may send on a stream before any are read
    /// [default: 1048576]
    #[arg(long, env = "VIDEOCALL_STREAM_WINDOW_BYTES", value_name = "BYTES")]
    stream_window_bytes: Option<u32>,

    /// Size from which control messages, such as the roster of a large meeting, are compressed for
    /// clients who can read that; 0 for never [default: 1024]
    #[arg(long, env = "VIDEOCALL_COMPRESS_FROM_BYTES", value_name = "BYTES")]
    compress_from_bytes: Option<usize>,

    /// Packets that one connection may send each second; 0 for no limit [default: 1000]
    #[arg(long, env = "VIDEOCALL_MAX_MESSAGES_PER_SECOND", value_name = "NUMBER")]
    max_messages_per_second: Option<u64>,

    /// Bytes that one connection may send each second; 0 for no limit [default: 5000000]
    #[arg(long, env = "VIDEOCALL_MAX_BYTES_PER_SECOND", value_name = "BYTES")]
    max_bytes_per_second: Option<u64>,

    /// Packets that all connections together may send each second; 0 for no limit
    /// [default: 200000]
    #[arg(
        long,
        env = "VIDEOCALL_NODE_MESSAGES_PER_SECOND",
        value_name = "NUMBER"
    )]
    node_messages_per_second: Option<u64>,

    /// Bytes that all connections together may send each second; 0 for no limit
    /// [default: 500000000]
    #[arg(long, env = "VIDEOCALL_NODE_BYTES_PER_SECOND", value_name = "BYTES")]
    node_bytes_per_second: Option<u64>,

    /// Seconds of these four that are saved up while less is sent [default: 2]
    #[arg(long, env = "VIDEOCALL_BURST_SECONDS", value_name = "SECONDS")]
    burst_seconds: Option<u64>,

    /// Connections that one address may begin each second, ten times as many at once; 0 for no
    /// limit, as behind a proxy [default: 200]
    #[arg(long, env = "VIDEOCALL_HANDSHAKES_PER_SECOND", value_name = "NUMBER")]
    handshakes_per_second: Option<u64>,

    /// WebTransport handshakes that may be unfinished at once [default: 2048]
    #[arg(long, env = "VIDEOCALL_MAX_HANDSHAKES", value_name = "NUMBER")]
    max_handshakes: Option<usize>,

    /// Seconds that a client gets from connecting to its request to join [default: 10]
    #[arg(long, env = "VIDEOCALL_HANDSHAKE_SECONDS", value_name = "SECONDS")]
    handshake_seconds: Option<u64>,

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
    /// Origin of this server, as browsers reach it.
    pub public_url: Option<String>,
    /// Origins of the other servers of this installation, as browsers reach them.
    pub peer_urls: Vec<String>,
    /// Which of them people join at.
    pub placement: Placement,
    /// Whether guests may join.
    pub guests: bool,
    /// What join tokens are signed with; `None`: none is taken.
    pub token_key: Option<TokenKey>,
    /// Limits.
    pub node: NodeConfig,
    /// How long a ticket to resume a session is good.
    pub ticket_lifetime: Duration,
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
                tls_certificate tls_key ui_dir nats_url public_url peer_urls
                placement guests token_key_file max_sessions max_meetings max_memory_mib max_cpu_percent
                max_egress_mbps session_timeout_seconds heartbeat_seconds heartbeat_missed
                ticket_seconds streams_per_session stream_window_bytes
                compress_from_bytes max_messages_per_second
                max_bytes_per_second node_messages_per_second node_bytes_per_second burst_seconds
                handshakes_per_second max_handshakes handshake_seconds drain_seconds log_format
                log);
        }
        self.with_defaults()
    }

    fn with_defaults(self) -> Result<Config, SettingsError> {
        let (relay, limits) = (self.relay(), self.limits());
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
        let peer_urls: Vec<_> = peer_urls
            .into_iter()
            .map(|url| origin("--peer-urls", url))
            .collect::<Result<_, _>>()?;
        let public_url = self.public_url.map(|url| origin("--public-url", url));
        let ticket_lifetime = seconds(self.ticket_seconds, Duration::from_secs(3600));
        let relay = RelayConfig {
            ticket_renewal: ticket_lifetime / 2,
            others_serve: self.nats_url.is_some() || !peer_urls.is_empty(),
            other_servers: peer_urls.clone(),
            ..relay
        };
        refuse_impossible(&relay, &limits, ticket_lifetime)?;
        let token_key = self.token_key_file.map(token_key).transpose()?;
        let defaults = NodeConfig::default();
        let mut budgets = defaults.budgets;
        if let Some(mib) = self.max_memory_mib {
            budgets.memory_bytes = mib.saturating_mul(1 << 20).max(1);
        }
        if let Some(percent) = self.max_cpu_percent {
            budgets.cpu_share = f64::from(percent.clamp(1, 100)) / 100.0;
        }
        if let Some(mbps) = self.max_egress_mbps {
            budgets.egress_bps = mbps.saturating_mul(1_000_000).max(1);
        }
        Ok(Config {
            public_url: public_url.transpose()?,
            peer_urls,
            placement: self.placement.unwrap_or_default(),
            ticket_lifetime,
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
            token_key,
            node: NodeConfig {
                relay,
                limits,
                max_sessions: self.max_sessions.unwrap_or(defaults.max_sessions),
                max_meetings: self.max_meetings.unwrap_or(defaults.max_meetings),
                budgets,
                ..defaults
            },
            drain: Duration::from_secs(self.drain_seconds.unwrap_or(10)),
            log_format: self.log_format.unwrap_or_default(),
            log: self.log.unwrap_or_else(|| LOG.to_owned()),
        })
    }
}

impl Settings {
    fn relay(&self) -> RelayConfig {
        let defaults = RelayConfig::default();
        RelayConfig {
            session_timeout: seconds(self.session_timeout_seconds, defaults.session_timeout),
            heartbeat_interval: seconds(self.heartbeat_seconds, defaults.heartbeat_interval),
            heartbeat_missed: self.heartbeat_missed.unwrap_or(defaults.heartbeat_missed),
            compress_from: match self.compress_from_bytes {
                Some(0) => usize::MAX,
                given => given.unwrap_or(defaults.compress_from),
            },
            ..defaults
        }
    }

    fn limits(&self) -> Limits {
        let defaults = Limits::default();
        let rate = |given: Option<u64>, default: Rate| Rate {
            per_second: given.unwrap_or(default.per_second),
            burst: seconds(self.burst_seconds, default.burst),
        };
        Limits {
            messages: rate(self.max_messages_per_second, defaults.messages),
            bytes: rate(self.max_bytes_per_second, defaults.bytes),
            node_messages: rate(self.node_messages_per_second, defaults.node_messages),
            node_bytes: rate(self.node_bytes_per_second, defaults.node_bytes),
            handshakes: Rate {
                per_second: self
                    .handshakes_per_second
                    .unwrap_or(defaults.handshakes.per_second),
                ..defaults.handshakes
            },
            max_handshakes: self.max_handshakes.unwrap_or(defaults.max_handshakes),
            handshake_timeout: seconds(self.handshake_seconds, defaults.handshake_timeout),
            max_streams: self.streams_per_session.unwrap_or(defaults.max_streams),
            stream_window: self.stream_window_bytes.unwrap_or(defaults.stream_window),
        }
    }
}

fn seconds(given: Option<u64>, default: Duration) -> Duration {
    given.map_or(default, Duration::from_secs)
}

/// What would end every session, or let none begin.
fn refuse_impossible(
    relay: &RelayConfig,
    limits: &Limits,
    ticket_lifetime: Duration,
) -> Result<(), SettingsError> {
    let impossible = [
        (
            relay.heartbeat_interval.is_zero() || relay.heartbeat_missed == 0,
            "--heartbeat-seconds and --heartbeat-missed must be at least 1",
        ),
        (
            relay.session_timeout <= relay.heartbeat_interval,
            "--session-timeout-seconds must be more than --heartbeat-seconds",
        ),
        (
            ticket_lifetime.is_zero(),
            "--ticket-seconds must be at least 1",
        ),
        (
            limits.messages.burst.is_zero(),
            "--burst-seconds must be at least 1",
        ),
        (
            limits.handshake_timeout.is_zero() || limits.max_handshakes == 0,
            "--handshake-seconds and --max-handshakes must be at least 1",
        ),
        (
            limits.max_streams < LEAST_STREAMS,
            "--streams-per-session must be at least 16: HTTP/3 needs some for itself",
        ),
    ];
    match impossible.iter().find(|(is_so, _)| *is_so) {
        Some((_, text)) => Err(SettingsError::Contradiction(text)),
        None => Ok(()),
    }
}

/// The secret in a file, without the line feed that an editor puts behind it.
fn token_key(path: PathBuf) -> Result<TokenKey, SettingsError> {
    let secret = match fs::read(&path) {
        Ok(secret) => secret,
        Err(error) => {
            let error = format!("cannot be read: {error}");
            return Err(SettingsError::TokenKey { path, error });
        }
    };
    let secret = secret.strip_suffix(b"\n").unwrap_or(&secret);
    let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
    TokenKey::new(secret).map_err(|error| SettingsError::TokenKey {
        path,
        error: error.to_string(),
    })
}

/// Scheme, host and port and nothing else: browsers are told it in a header, too.
fn origin(flag: &'static str, url: String) -> Result<String, SettingsError> {
    let trimmed = url.trim_end_matches('/');
    let rest = trimmed
        .strip_prefix("https://")
        .or(trimmed.strip_prefix("http://"));
    let is_part = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    match rest {
        Some(rest) if !rest.is_empty() && rest.chars().all(is_part) => Ok(trimmed.to_owned()),
        _ => Err(SettingsError::Origin(flag, url)),
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
mod tests;
