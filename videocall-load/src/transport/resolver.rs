//! Names of servers, looked up once for all connections that start together.

use std::{
    collections::HashMap,
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Mutex;
use url::{Host, Url};
use wtransport::config::{DnsLookupFuture, DnsResolver};

use crate::{errors::Failure, measure::ErrorClass};

/// How long an answer, or its absence, is good.
const KEEP: Duration = Duration::from_secs(5);

type Found = Result<Vec<SocketAddr>, String>;

/// The addresses of the servers of a run.
#[derive(Clone, Default)]
pub(super) struct Resolver {
    /// Held while looking up, so that thousands of connections ask once.
    known: Arc<Mutex<HashMap<String, (Instant, Found)>>>,
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

impl Resolver {
    /// The addresses of a URL's host.
    pub(super) async fn resolve(&self, url: &Url) -> Result<Vec<SocketAddr>, Failure> {
        let port = url.port_or_known_default().unwrap_or(80);
        match url.host() {
            Some(Host::Ipv4(address)) => Ok(vec![(address, port).into()]),
            Some(Host::Ipv6(address)) => Ok(vec![(address, port).into()]),
            Some(Host::Domain(name)) => self
                .look_up(&format!("{name}:{port}"))
                .await
                .map_err(|text| Failure::new(ErrorClass::Dns, format!("{name}: {text}"))),
            None => Err(Failure::new(ErrorClass::Dns, "the URL names no host")),
        }
    }

    async fn look_up(&self, name: &str) -> Found {
        let mut known = self.known.lock().await;
        if let Some((at, found)) = known.get(name)
            && at.elapsed() < KEEP
        {
            return found.clone();
        }
        let found = match tokio::net::lookup_host(name).await {
            Ok(addresses) => Ok(addresses.collect()),
            Err(error) => Err(error.to_string()),
        };
        known.insert(name.to_owned(), (Instant::now(), found.clone()));
        found
    }
}

impl DnsResolver for Resolver {
    fn resolve(&self, host: &str) -> Pin<Box<dyn DnsLookupFuture>> {
        let (resolver, host) = (self.clone(), host.to_owned());
        Box::pin(async move {
            let found = resolver.look_up(&host).await.map_err(io::Error::other)?;
            Ok(found.first().copied())
        })
    }
}
