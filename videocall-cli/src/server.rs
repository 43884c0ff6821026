//! Finds the doors of a server.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use ureq::tls::TlsConfig;
use videocall_client::native::{Placement, Servers, Trust};

use crate::{
    args::{JoinArgs, TransportChoice},
    exit::Failure,
};

/// What `/config.json` says.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServerConfig {
    websocket_url: Option<String>,
    #[serde(default)]
    webtransport: Vec<Door>,
    #[serde(default)]
    origin: Option<String>,
    #[serde(default)]
    servers: Vec<String>,
    #[serde(default)]
    placement: Placement,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Door {
    url: String,
    #[serde(default)]
    certificate_hashes: Vec<String>,
}

/// The server, and the others of its installation that answer.
pub(crate) async fn find(args: &JoinArgs) -> Result<(Vec<Servers>, Placement), Failure> {
    at(&args.server, args.transport, args.insecure).await
}

/// The same for a server that is named by its address alone.
pub(crate) async fn at(
    server: &str,
    transport: TransportChoice,
    insecure: bool,
) -> Result<(Vec<Servers>, Placement), Failure> {
    let origin = server.trim_end_matches('/').to_owned();
    if !origin.starts_with("http://") && !origin.starts_with("https://") {
        let text = format!("--server: `{origin}` must begin with http:// or https://");
        return Err(Failure::usage(text));
    }
    let asking = tokio::task::spawn_blocking(move || {
        let config = ask(&origin, insecure)?;
        let (others, placement) = (config.servers.clone(), config.placement);
        let mut servers = vec![doors(&origin, config, transport)?];
        let known = servers[0].origin.clone();
        for other in others
            .into_iter()
            .filter(|other| known.as_ref() != Some(other))
        {
            // One that is down now may be up when it is needed; then it is asked by its own.
            if let Ok(config) = ask(&other, insecure) {
                servers.extend(doors(&other, config, transport));
            }
        }
        Ok((servers, placement))
    });
    asking.await.map_err(Failure::other)?
}

fn ask(origin: &str, insecure: bool) -> Result<ServerConfig, Failure> {
    let tls = TlsConfig::builder().disable_verification(insecure).build();
    let agent = ureq::Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(std::time::Duration::from_secs(10)))
        .build()
        .new_agent();
    let response = agent.get(format!("{origin}/config.json")).call();
    let mut response = response.map_err(|error| Failure::unreachable(origin, error))?;
    let body = response
        .body_mut()
        .with_config()
        .limit(1 << 20)
        .read_to_string();
    let body = body.map_err(|error| Failure::unreachable(origin, error))?;
    serde_json::from_str(&body)
        .map_err(|error| Failure::unreachable(origin, format!("not a videocall server: {error}")))
}

fn doors(
    origin: &str,
    config: ServerConfig,
    transport: TransportChoice,
) -> Result<Servers, Failure> {
    let websocket = config
        .websocket_url
        .unwrap_or_else(|| origin.replacen("http", "ws", 1));
    let door = config.webtransport.into_iter().next();
    let trust = match &door {
        Some(door) if !door.certificate_hashes.is_empty() => {
            Trust::Hashes(door.certificate_hashes.iter().filter_map(hash).collect())
        }
        _ => Trust::System,
    };
    let webtransport = door.map(|door| door.url);
    if transport == TransportChoice::Webtransport && webtransport.is_none() {
        return Err(Failure::unreachable(origin, "it has no WebTransport"));
    }
    Ok(Servers {
        origin: Some(config.origin.unwrap_or_else(|| origin.to_owned())),
        webtransport: webtransport.filter(|_| transport != TransportChoice::Websocket),
        websocket: Some(websocket).filter(|_| transport != TransportChoice::Webtransport),
        trust,
    })
}

fn hash(text: &String) -> Option<[u8; 32]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}
