//! Settings, certificates and logs that the server binaries share.
//!
//! A setting comes from a flag, else the environment (`VIDEOCALL_…`), else the file given by
//! `--config`, else its default. Errors name the setting.
#![forbid(unsafe_code)]

mod certificates;
mod logs;
mod settings;
mod shutdown;

pub use certificates::{CertificateError, Certificates};
pub use logs::init_logs;
pub use settings::{Config, LogFormat, Settings, SettingsError};
pub use shutdown::shutdown_signal;

use std::{process::ExitCode, sync::Arc};

use videocall_node::{
    Doors, GuestAdmission, Node,
    bus::{Bus, BusError, EmbeddedHub, NatsBus, NatsConfig},
};

/// The node that these settings describe.
///
/// # Errors
/// The NATS address makes no sense; a server that does not answer is no error.
pub async fn start_node(config: &Config) -> Result<Node, BusError> {
    let bus: Arc<dyn Bus> = match &config.nats_url {
        Some(url) => {
            let config = NatsConfig {
                ticket_lifetime: config.ticket_lifetime,
                ..NatsConfig::new(url.as_str())
            };
            Arc::new(NatsBus::connect(config).await?)
        }
        None => Arc::new(EmbeddedHub::new(config.ticket_lifetime).connect()),
    };
    let admission = Arc::new(Doors {
        guests: GuestAdmission {
            allowed: config.guests,
        },
        tokens: config.token_key.clone(),
    });
    Ok(Node::new(config.node.clone(), bus, admission))
}

/// The end of a server program: an error is told in one line, with its causes, whatever the
/// environment says of backtraces.
#[allow(clippy::print_stderr)]
pub fn exit_code(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Config {
    /// Addresses of this machine that others on the network can reach.
    pub fn lan_addresses(&self) -> Vec<std::net::IpAddr> {
        certificates::lan_addresses()
    }
}
