//! The certificate that both ingress servers use: given as files, or made here.
//!
//! A certificate that a browser is to accept by its hash must be ECDSA and valid for less than two
//! weeks (W3C WebTransport, section 6.10), so one is made for 13 days and replaced after half of
//! them.

use std::{
    collections::BTreeSet,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use parking_lot::RwLock;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::{
    ServerConfig,
    crypto::ring,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use sha2::{Digest, Sha256};
use tracing::{info, warn};

use crate::Config;

const VALID_DAYS: i64 = 13;
const RENEW_AFTER: Duration = Duration::from_secs(13 * 24 * 3600 / 2);
/// How often files are looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// The certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("{setting}: cannot read {path}: {error}")]
    File {
        /// Which flag named it.
        setting: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        error: String,
    },
    /// Certificate and key do not belong together, or are of no known kind.
    #[error("--tls-certificate and --tls-key: {0}")]
    Unusable(String),
    /// None could be made.
    #[error("cannot make a certificate: {0}")]
    Make(String),
}

#[derive(Debug)]
struct Current {
    key: Arc<CertifiedKey>,
    /// Of certificates that clients should accept by hash; empty if an authority signed it.
    hashes: Vec<[u8; 32]>,
    made: SystemTime,
}

#[derive(Debug)]
enum Source {
    SelfSigned { names: Vec<String> },
    Files { certificate: PathBuf, key: PathBuf },
}

/// The certificate in use. Servers that hold it follow its renewals.
#[derive(Debug)]
pub struct Certificates {
    source: Source,
    current: RwLock<Current>,
}

impl Certificates {
    /// Reads or makes the certificate.
    ///
    /// # Errors
    /// The files cannot be used.
    pub fn new(config: &Config) -> Result<Arc<Self>, CertificateError> {
        let source = match &config.tls_files {
            Some((certificate, key)) => Source::Files {
                certificate: certificate.clone(),
                key: key.clone(),
            },
            None => Source::SelfSigned {
                names: host_names(config.lan),
            },
        };
        let current = RwLock::new(source.load()?);
        Ok(Arc::new(Self { source, current }))
    }

    /// SHA-256 of the certificates that clients should accept, in base64, newest first.
    pub fn hashes(&self) -> Vec<String> {
        self.current
            .read()
            .hashes
            .iter()
            .map(|hash| BASE64_STANDARD.encode(hash))
            .collect()
    }

    /// TLS for a server that speaks these protocols.
    pub fn server_config(self: &Arc<Self>, protocols: &[&[u8]]) -> ServerConfig {
        let provider = Arc::new(ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has the default versions")
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        config
    }

    /// Renews the certificate, or reads its files again, whenever that is due; runs for ever.
    pub async fn keep_fresh(self: Arc<Self>) {
        loop {
            tokio::time::sleep(CHECK_INTERVAL).await;
            let age = self.current.read().made.elapsed().unwrap_or_default();
            let due = match &self.source {
                Source::SelfSigned { .. } => age >= RENEW_AFTER,
                Source::Files { certificate, .. } => {
                    modified(certificate).is_some_and(|at| at > self.current.read().made)
                }
            };
            if due {
                self.renew();
            }
        }
    }

    fn renew(&self) {
        match self.source.load() {
            Ok(mut fresh) => {
                let mut current = self.current.write();
                // Who just fetched the old hash must still get in.
                fresh.hashes.extend(current.hashes.first());
                *current = fresh;
                info!("the TLS certificate was renewed");
            }
            Err(error) => warn!(%error, "the TLS certificate was not renewed"),
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().key.clone())
    }
}

impl Source {
    fn load(&self) -> Result<Current, CertificateError> {
        match self {
            Self::SelfSigned { names } => self_signed(names),
            Self::Files { certificate, key } => from_files(certificate, key),
        }
    }
}

fn self_signed(names: &[String]) -> Result<Current, CertificateError> {
    let make = |error: rcgen::Error| CertificateError::Make(error.to_string());
    let key_pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(make)?;
    let mut params = CertificateParams::new(names.to_vec()).map_err(make)?;
    // An hour back, for clients whose clock is a little behind.
    params.not_before = time::OffsetDateTime::now_utc() - time::Duration::hours(1);
    params.not_after = params.not_before + time::Duration::days(VALID_DAYS);
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "videocall");
    let certificate = params.self_signed(&key_pair).map_err(make)?;
    let hash = Sha256::digest(certificate.der()).into();
    let key = PrivateKeyDer::try_from(key_pair.serialize_der())
        .map_err(|error| CertificateError::Make(error.to_string()))?;
    let key = certified(vec![certificate.der().clone()], key)
        .map_err(|error| CertificateError::Make(error.to_string()))?;
    Ok(Current {
        key,
        hashes: vec![hash],
        made: SystemTime::now(),
    })
}

fn from_files(certificate: &Path, key: &Path) -> Result<Current, CertificateError> {
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable("--tls-certificate", certificate, &error))?;
    if chain.is_empty() {
        return Err(unreadable(
            "--tls-certificate",
            certificate,
            &"it holds no certificate",
        ));
    }
    let key_der =
        PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable("--tls-key", key, &error))?;
    let key =
        certified(chain, key_der).map_err(|error| CertificateError::Unusable(error.to_string()))?;
    Ok(Current {
        key,
        hashes: Vec::new(),
        made: SystemTime::now(),
    })
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<CertifiedKey>, rustls::Error> {
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map(Arc::new)
}

fn unreadable(
    setting: &'static str,
    path: &Path,
    error: &dyn std::fmt::Display,
) -> CertificateError {
    CertificateError::File {
        setting,
        path: path.to_owned(),
        error: error.to_string(),
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}

/// Names under which this machine is reached: always as itself, on a network by its addresses too.
fn host_names(lan: bool) -> Vec<String> {
    let mut names: BTreeSet<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    if lan {
        names.extend(lan_addresses().iter().map(IpAddr::to_string));
    }
    names.into_iter().collect()
}

/// Addresses of this machine that others can reach.
pub(crate) fn lan_addresses() -> Vec<IpAddr> {
    if_addrs::get_if_addrs()
        .unwrap_or_default()
        .into_iter()
        .filter(|interface| !interface.is_loopback() && !interface.is_link_local())
        .map(|interface| interface.ip())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewed_certificate_has_a_new_hash_and_the_old_one_still_counts() {
        let source = Source::SelfSigned {
            names: host_names(false),
        };
        let current = RwLock::new(source.load().unwrap());
        let certificates = Certificates { source, current };
        let before = certificates.hashes();
        certificates.renew();
        let after = certificates.hashes();
        assert_eq!(after.len(), 2);
        assert_eq!(after[1], before[0]);
        certificates.renew();
        assert_eq!(certificates.hashes().len(), 2);
    }

    #[test]
    fn unreadable_files_are_named_with_their_setting() {
        let error = from_files(Path::new("/none.pem"), Path::new("/none.key")).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("--tls-certificate") && text.contains("/none.pem"),
            "{text}"
        );
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty.pem");
        fs::write(&empty, "nothing here").unwrap();
        let text = from_files(&empty, &empty).unwrap_err().to_string();
        assert!(text.contains("no certificate"), "{text}");
    }
}
