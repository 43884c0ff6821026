//! CPU time and memory of the server: of a process of this machine, or as the server tells itself.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use url::Url;

/// A page of metrics is not read beyond this many bytes.
const MAX_METRICS: u64 = 8 << 20;
/// A page of metrics that takes longer does not come.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the server used.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerSample {
    /// CPU time per time since the sample before; 1 is one core.
    pub cpu: f64,
    /// Resident memory in bytes.
    pub memory: u64,
}

/// A server that cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum ServerSourceError {
    /// There is no such process.
    #[error("there is no process {0} to watch")]
    Process(u32),
    /// Only plain HTTP is spoken.
    #[error("`{0}` is no http: address of metrics")]
    Url(String),
}

#[derive(Debug)]
enum From {
    Pid(u32),
    Metrics(Url),
}

/// Where samples of the server come from.
#[derive(Debug)]
pub struct ServerSource {
    from: From,
    last: Option<(Instant, f64)>,
}

impl ServerSource {
    /// A process of this machine.
    ///
    /// # Errors
    /// When there is none.
    pub fn process(pid: u32) -> Result<Self, ServerSourceError> {
        process_sample(pid).ok_or(ServerSourceError::Process(pid))?;
        Ok(Self {
            from: From::Pid(pid),
            last: None,
        })
    }

    /// Metrics in Prometheus' text form: `process_cpu_seconds_total` and
    /// `process_resident_memory_bytes`.
    ///
    /// # Errors
    /// When the address is not of plain HTTP.
    pub fn metrics(url: &str) -> Result<Self, ServerSourceError> {
        let parsed = Url::parse(url).ok();
        let parsed = parsed.filter(|url| url.scheme() == "http" && url.has_host());
        Ok(Self {
            from: From::Metrics(parsed.ok_or_else(|| ServerSourceError::Url(url.to_owned()))?),
            last: None,
        })
    }

    /// The use since the last sample; `None` for the first, and when the server does not tell.
    pub async fn sample(&mut self) -> Option<ServerSample> {
        let (seconds, memory) = match &self.from {
            From::Pid(pid) => process_sample(*pid)?,
            From::Metrics(url) => timeout(PATIENCE, fetch(url)).await.ok().flatten()?,
        };
        let now = Instant::now();
        let (at, before) = self.last.replace((now, seconds))?;
        let passed = now.duration_since(at).as_secs_f64();
        (passed > 0.0).then_some(ServerSample {
            cpu: ((seconds - before) / passed).max(0.0),
            memory,
        })
    }
}

/// Seconds of CPU time and bytes of resident memory of a process. Linux: proc(5).
pub(super) fn process_sample(pid: u32) -> Option<(f64, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may contain anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    let pages: u64 = fields.get(21)?.parse().ok()?;
    let memory = pages * rustix::param::page_size() as u64;
    Some((
        ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
        memory,
    ))
}

async fn fetch(url: &Url) -> Option<(f64, u64)> {
    let host = url.host_str()?;
    let port = url.port_or_known_default()?;
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let mut stream = TcpStream::connect((name, port)).await.ok()?;
    // HTTP/1.0, so that the answer is not chunked and ends with the connection.
    let request = format!("GET {} HTTP/1.0\r\nhost: {host}:{port}\r\n\r\n", url.path());
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    let mut limited = stream.take(MAX_METRICS);
    limited.read_to_end(&mut answer).await.ok()?;
    parse(&String::from_utf8_lossy(&answer))
}

/// The two metrics that Prometheus' client libraries agree on.
fn parse(text: &str) -> Option<(f64, u64)> {
    let value = |name: &str| {
        let line = text.lines().find(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with([' ', '{']))
        })?;
        line.rsplit(' ').next()?.trim().parse::<f64>().ok()
    };
    let memory = value("process_resident_memory_bytes").unwrap_or(0.0);
    Some((value("process_cpu_seconds_total")?, memory as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_found_among_others() {
        let text = "HTTP/1.0 200 OK\r\n\r\n# HELP process_cpu_seconds_total x\n\
                    process_cpu_seconds_total_more 9\nprocess_cpu_seconds_total 1.5\n\
                    process_resident_memory_bytes{a=\"b c\"} 2048\n";
        assert_eq!(parse(text), Some((1.5, 2048)));
        assert_eq!(parse("nothing"), None);
    }

    #[test]
    fn this_process_can_be_watched() {
        let (seconds, memory) = process_sample(std::process::id()).unwrap();
        assert!(seconds >= 0.0);
        assert!(memory > 1 << 20, "{memory}");
        assert!(ServerSource::process(u32::MAX).is_err());
        assert!(ServerSource::metrics("https://a/metrics").is_err());
    }
}
