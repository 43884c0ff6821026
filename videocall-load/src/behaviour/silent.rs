//! Reads, and answers pings; says nothing.

use super::{Behaviour, Context};
use crate::transport::Received;

/// A connection that is only there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Behaviour for Silent {
    fn on_open(&mut self, context: &mut Context<'_>) {
        context.joined();
    }

    fn on_message(&mut self, _context: &mut Context<'_>, _message: Received) {}
}
