//! Certificates.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use videocall_load::{measure::ErrorClass, plan::BehaviourOptions};

use crate::support::{Run, plan};

struct Secured {
    url: String,
    hash: String,
    pem: String,
}

/// A server with a certificate for localhost, perhaps expired.
async fn secured(expired: bool) -> Secured {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    if expired {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    }
    let certificate = params.self_signed(&key).unwrap();
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let stream = acceptor.accept(stream).await.ok()?;
                let mut socket = tokio_tungstenite::accept_async(stream).await.ok()?;
                while let Some(Ok(_)) = socket.next().await {}
                Some(())
            });
        }
    });
    Secured {
        url: format!("wss://localhost:{port}"),
        hash: Sha256::digest(certificate.der())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
        pem: certificate.pem(),
    }
}

async fn connects(prepare: impl Fn(&mut videocall_load::plan::Plan, &Secured)) {
    let server = secured(false).await;
    let mut plan = plan(&server.url, 2, BehaviourOptions::Silent);
    prepare(&mut plan, &server);
    let run = Run::start(plan);
    run.until("connections", |seen| seen.connected == 2).await;
    assert_eq!(run.end().await.errors, []);
}

#[tokio::test]
async fn any_certificate_is_believed_if_so_asked() {
    connects(|plan, _| plan.transport.insecure = true).await;
}

#[tokio::test]
async fn a_certificate_is_believed_by_its_hash() {
    connects(|plan, server| plan.transport.certificate_hashes = vec![server.hash.clone()]).await;
}

#[tokio::test]
async fn a_certificate_is_believed_by_its_issuer() {
    let file = tempfile::NamedTempFile::new().unwrap();
    connects(|plan, server| {
        std::fs::write(file.path(), &server.pem).unwrap();
        plan.transport.ca_file = Some(file.path().to_owned());
    })
    .await;
}

#[tokio::test]
async fn an_expired_certificate_is_told() {
    let server = secured(true).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &server.pem).unwrap();
    let mut plan = plan(&server.url, 1, BehaviourOptions::Silent);
    plan.transport.ca_file = Some(file.path().to_owned());
    plan.transport.connect_timeout = Duration::from_secs(5);
    let run = Run::start(plan);
    run.until("error", |seen| seen.errors_of(ErrorClass::Tls) > 0)
        .await;
    let seen = run.end().await;
    assert!(
        seen.errors[0].2.to_lowercase().contains("expired"),
        "{:?}",
        seen.errors
    );
}
