//! What the participants of other nodes want of one publisher here.

use rustc_hash::FxHashMap;
use videocall_types::ids::{MediaKind, NodeId};

/// One more than the largest number of a [`MediaKind`].
const KINDS: usize = MediaKind::ScreenAudio as usize + 1;

/// Kept apart from the streams, which come and go while what is wanted stays the same.
#[derive(Debug, Default)]
pub(crate) struct RemoteDemand(FxHashMap<NodeId, [u8; KINDS]>);

impl RemoteDemand {
    /// Notes the layers that a node wants, one bit each, and returns those that it wanted before.
    pub(crate) fn set(&mut self, node: &NodeId, kind: MediaKind, mask: u8) -> u8 {
        let kinds = self.0.entry(node.clone()).or_default();
        std::mem::replace(&mut kinds[kind as usize], mask)
    }

    pub(crate) fn forget(&mut self, node: &NodeId) {
        self.0.remove(node);
    }

    /// Layers that any node wants.
    pub(crate) fn mask(&self, kind: MediaKind) -> u8 {
        self.0
            .values()
            .fold(0, |mask, kinds| mask | kinds[kind as usize])
    }
}
