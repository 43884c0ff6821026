//! The certificate of an HTTPS server: whether it is believed, and for how long.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustls::{
    DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::report::Finding;

const CHECK: &str = "certificate";
const PATIENCE: Duration = Duration::from_secs(10);
/// Renewed by then, even of those that last for days only, as a server's own does.
const SOON: Duration = Duration::from_secs(2 * 24 * 3600);

/// Looks at the certificate of a server that is reached by HTTPS. `believed` is what a connection
/// that checks it came to.
pub(super) async fn check(host: &str, port: u16, believed: Result<(), String>) -> Finding {
    let shown = timeout(PATIENCE, shown(host, port)).await;
    let certificate = match shown.unwrap_or_else(|_| Err("no answer".to_owned())) {
        Ok(certificate) => certificate,
        Err(error) => {
            let found = format!("{host}:{port} shows none: {error}");
            return Finding::fail(CHECK, found, "is this the port for HTTPS?");
        }
    };
    let Ok((_, parsed)) = X509Certificate::from_der(&certificate) else {
        return Finding::fail(CHECK, "it cannot be read", "give the server another one");
    };
    let (from, until) = (parsed.validity().not_before, parsed.validity().not_after);
    judge(
        (from.timestamp(), until.timestamp()),
        &until.to_string(),
        believed,
    )
}

/// `valid` is in seconds since the Unix epoch.
fn judge(valid: (i64, i64), until: &str, believed: Result<(), String>) -> Finding {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let soon = i64::try_from(SOON.as_secs()).unwrap_or(i64::MAX);
    if now < valid.0 {
        let advice = "it is not valid yet: is the clock of this machine right?";
        return Finding::fail(CHECK, format!("valid until {until}"), advice);
    }
    if now > valid.1 {
        let advice = "it is over: renew it at the server; or is the clock of this machine wrong?";
        return Finding::fail(CHECK, format!("valid until {until}"), advice);
    }
    if let Err(error) = believed {
        let advice = "its issuer is unknown here, or it is for another name: use the name that is \
                      in it; with --insecure, it is believed when the addresses are asked for";
        return Finding::fail(CHECK, error, advice);
    }
    if valid.1 - now < soon {
        let advice = "it ends within two days: see that it is renewed";
        return Finding::warn(CHECK, format!("valid until {until}"), advice);
    }
    Finding::ok(CHECK, format!("valid until {until}"))
}

/// What the server shows, believed or not.
async fn shown(host: &str, port: u16) -> Result<CertificateDer<'static>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Onlooker(provider)))
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    let socket = TcpStream::connect((host, port))
        .await
        .map_err(|error| error.to_string())?;
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector
        .connect(name, socket)
        .await
        .map_err(|error| error.to_string())?;
    let (_, connection) = stream.get_ref();
    let certificates = connection.peer_certificates().unwrap_or_default();
    let first = certificates.first().ok_or("no certificate")?;
    Ok(first.clone().into_owned())
}

/// Believes any certificate: it is only looked at, and nothing is sent.
#[derive(Debug)]
struct Onlooker(Arc<CryptoProvider>);

impl ServerCertVerifier for Onlooker {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::report::Verdict, *};

    #[test]
    fn its_time_and_its_issuer_count() {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs() as i64;
        let day = 24 * 3600;
        let verdict = |from: i64, until: i64, believed: Result<(), String>| {
            judge((now + from * day, now + until * day), "then", believed).verdict
        };
        assert_eq!(verdict(-1, 90, Ok(())), Verdict::Ok);
        assert_eq!(verdict(-80, 1, Ok(())), Verdict::Warn);
        assert_eq!(verdict(-90, -1, Ok(())), Verdict::Fail);
        assert_eq!(verdict(1, 90, Ok(())), Verdict::Fail);
        assert_eq!(
            verdict(-1, 90, Err("unknown issuer".to_owned())),
            Verdict::Fail
        );
    }
}
