//! Joining, with the first connection being one that must come about.

use videocall_client::{
    core::session::Event,
    native::{Client, JoinOptions},
};
use videocall_types::{
    close::CloseReason,
    wire::{PublishState, Subscribe},
};

use crate::{args::JoinArgs, exit::Failure, identity::Identity, server};

/// Attempts until a server that never answered is given up.
const FIRST_ATTEMPTS: u32 = 5;

/// A participant, and whether it has been in the meeting.
pub(crate) struct Participant {
    pub(crate) client: Client,
    joined: bool,
    url: String,
}

/// What follows from an event.
pub(crate) enum Next {
    /// To be handled.
    Event(Event),
    /// The session ended as it was asked to.
    Over,
}

impl Participant {
    pub(crate) async fn join(
        args: &JoinArgs,
        identity: Identity,
        publish: PublishState,
        subscribe: Subscribe,
    ) -> Result<Self, Failure> {
        let (servers, placement) = server::find(args).await?;
        let client = Client::join(JoinOptions {
            servers,
            placement,
            meeting: identity.meeting,
            user: identity.user,
            token: identity.token,
            display_name: identity.display_name,
            program: concat!("videocall-cli/", env!("CARGO_PKG_VERSION")).to_owned(),
            publish,
            subscribe,
        });
        Ok(Self {
            client,
            joined: false,
            url: args.server.clone(),
        })
    }

    /// The next event. Once in, lost connections are tried again for ever.
    pub(crate) async fn next(&mut self) -> Result<Next, Failure> {
        let Some(event) = self.client.next_event().await else {
            return Ok(Next::Over);
        };
        match &event {
            Event::Joined(_) => self.joined = true,
            Event::Reconnecting {
                attempt, reason, ..
            } if !self.joined && *attempt + 1 >= FIRST_ATTEMPTS => {
                return Err(Failure::unreachable(&self.url, reason));
            }
            Event::Closed { reason, text } if *reason != Some(CloseReason::Normal) => {
                return Err(Failure::refused(*reason, text));
            }
            Event::Closed { .. } => return Ok(Next::Over),
            _ => {}
        }
        Ok(Next::Event(event))
    }
}
