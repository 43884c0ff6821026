//! Whose certificates are believed.

use std::sync::Arc;

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use sha2::{Digest, Sha256};

use super::{TargetError, TransportOptions};

/// Settings of TLS with the application protocols.
pub(super) fn config(
    options: &TransportOptions,
    protocols: &[&[u8]],
) -> Result<ClientConfig, TargetError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| TargetError::Tls(error.to_string()))?;
    let pinned = options
        .certificate_hashes
        .iter()
        .map(|text| parse_hash(text))
        .collect::<Result<Vec<_>, _>>()?;
    let mut config = if options.insecure || !pinned.is_empty() {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pinned {
                hashes: if options.insecure { Vec::new() } else { pinned },
                provider,
            }))
            .with_no_client_auth()
    } else {
        builder
            .with_root_certificates(roots(options)?)
            .with_no_client_auth()
    };
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}

fn roots(options: &TransportOptions) -> Result<RootCertStore, TargetError> {
    let mut roots = RootCertStore::empty();
    let Some(file) = &options.ca_file else {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        return Ok(roots);
    };
    let failed = |what: String| TargetError::Tls(format!("{}: {what}", file.display()));
    let certificates =
        CertificateDer::pem_file_iter(file).map_err(|error| failed(error.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| failed(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| failed(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(failed("holds no certificate".to_owned()));
    }
    Ok(roots)
}

/// SHA-256 in hexadecimal, with or without colons, or in base64.
fn parse_hash(text: &str) -> Result<[u8; 32], TargetError> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let digits: String = text.chars().filter(|c| *c != ':').collect();
    let bytes = if digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        (0..32)
            .filter_map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok())
            .collect()
    } else {
        STANDARD.decode(text).unwrap_or_default()
    };
    bytes.try_into().map_err(|_| {
        TargetError::Tls(format!(
            "`{text}` is no SHA-256 hash: give 64 hexadecimal digits or base64 of 32 bytes"
        ))
    })
}

/// Believes certificates by their hash, or any if there is no hash.
#[derive(Debug)]
struct Pinned {
    hashes: Vec<[u8; 32]>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let hash: [u8; 32] = Sha256::digest(end_entity.as_ref()).into();
        if self.hashes.is_empty() || self.hashes.contains(&hash) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::InvalidCertificate(
                rustls::CertificateError::ApplicationVerificationFailure,
            ))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::parse_hash;

    #[test]
    fn hashes_are_read_in_each_notation() {
        let hex = "0f".repeat(32);
        assert_eq!(parse_hash(&hex), Ok([15; 32]));
        assert_eq!(parse_hash(&["0F"; 32].join(":")), Ok([15; 32]));
        let base64 = format!("{}8=", "Dw8P".repeat(10) + "Dw");
        assert_eq!(parse_hash(&base64), Ok([15; 32]));
        assert!(parse_hash("0f0f").is_err());
    }
}
