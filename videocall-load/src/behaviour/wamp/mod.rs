//! WAMP version 2, basic profile (<https://wamp-proto.org>): sessions that subscribe and publish,
//! or register and call, in JSON or MessagePack.

mod codec;
mod session;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use codec::{CodecError, Serializer, decode, encode};
pub use session::Wamp;

/// What sessions do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum WampMode {
    /// Open a session and stay.
    Session,
    /// Everybody subscribes to the topic; publishers publish to it.
    #[default]
    Pubsub,
    /// Each registers a procedure and calls it through the router.
    Rpc,
}

/// How WAMP is spoken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WampOptions {
    /// The realm to join.
    pub realm: String,
    /// What sessions do.
    pub mode: WampMode,
    /// JSON or MessagePack.
    pub serializer: Serializer,
    /// The topic, or the beginning of the names of procedures.
    pub uri: String,
    /// How many of the sessions publish; none: all.
    pub publishers: Option<u64>,
    /// Between publications or calls.
    pub pause: Duration,
    /// Of the text in a publication or call.
    pub bytes: usize,
    /// For an answer of the router.
    pub timeout: Duration,
}
