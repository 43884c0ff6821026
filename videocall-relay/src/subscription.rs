//! What one receiver wants, from what it shows and how large.

use videocall_types::{
    ids::{MediaKind, SessionId},
    limits::{MAX_SPATIAL_LAYERS, MAX_TEMPORAL_LAYERS, MAX_WANTS},
    wire::{LayerInfo, Subscribe, Want},
};

use crate::forward::Wanted;

/// A layer this much smaller than the tile is still good enough: one step of scaling is less
/// visible than four times the bits.
const TOLERANCE: f32 = 0.8;

#[derive(Debug)]
pub(crate) struct Subscription {
    all: bool,
    /// Of what has no want of its own, the smallest layer only.
    smallest: bool,
    /// Sorted by session and kind.
    wants: Vec<Want>,
}

impl Default for Subscription {
    /// Everything: what a client that says nothing gets.
    fn default() -> Self {
        Self {
            all: true,
            smallest: false,
            wants: Vec::new(),
        }
    }
}

impl Subscription {
    /// The smallest layer of everything: what is given to one who has not said anything yet.
    pub(crate) fn preliminary() -> Self {
        Self {
            smallest: true,
            ..Self::default()
        }
    }

    /// `None` if there are more wants than allowed.
    pub(crate) fn new(subscribe: Subscribe) -> Option<Self> {
        let mut wants = subscribe.wants;
        if wants.len() > MAX_WANTS {
            return None;
        }
        wants.sort_by_key(key);
        Some(Self {
            all: subscribe.all,
            smallest: false,
            wants,
        })
    }

    /// How much of a video or screen stream with these layers; `None` for nothing.
    pub(crate) fn wanted(
        &self,
        publisher: SessionId,
        kind: MediaKind,
        layers: &[LayerInfo],
    ) -> Option<Wanted> {
        let found = self
            .wants
            .binary_search_by_key(&(publisher.get(), i32::from(kind)), key)
            .ok()
            .map(|at| &self.wants[at]);
        let want = match found {
            Some(want) if want.paused => return None,
            Some(want) => want,
            None if self.all => &Want {
                width: self.smallest.into(),
                height: self.smallest.into(),
                ..Want::default()
            },
            None => return None,
        };
        Some(Wanted {
            spatial: smallest_covering(layers, want.width, want.height),
            temporal: want.max_temporal.map_or(MAX_TEMPORAL_LAYERS, |layer| {
                layer.min(MAX_TEMPORAL_LAYERS.into()) as u8
            }),
            priority: want.priority,
        })
    }
}

fn key(want: &Want) -> (u64, i32) {
    (want.session_id, want.kind)
}

/// The smallest layer that covers the size; the largest if none does or no size is given.
fn smallest_covering(layers: &[LayerInfo], width: u32, height: u32) -> u8 {
    let highest = layers.iter().map(|layer| layer.spatial).max().unwrap_or(0);
    let covers = |layer: &&LayerInfo| {
        layer.width as f32 >= width as f32 * TOLERANCE
            && layer.height as f32 >= height as f32 * TOLERANCE
    };
    let chosen = if width == 0 || height == 0 {
        highest
    } else {
        layers
            .iter()
            .filter(covers)
            .map(|layer| layer.spatial)
            .min()
            .unwrap_or(highest)
    };
    chosen.min(u32::from(MAX_SPATIAL_LAYERS) - 1) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers() -> Vec<LayerInfo> {
        [(0, 320, 180), (1, 640, 360), (2, 1280, 720)]
            .map(|(spatial, width, height)| LayerInfo {
                spatial,
                width,
                height,
                ..Default::default()
            })
            .to_vec()
    }

    #[test]
    fn the_smallest_layer_that_covers_the_tile_is_chosen() {
        assert_eq!(smallest_covering(&layers(), 200, 112), 0);
        assert_eq!(smallest_covering(&layers(), 320, 180), 0);
        assert_eq!(smallest_covering(&layers(), 390, 219), 0);
        assert_eq!(smallest_covering(&layers(), 480, 270), 1);
        assert_eq!(smallest_covering(&layers(), 1920, 1080), 2);
        assert_eq!(smallest_covering(&layers(), 0, 0), 2);
        assert_eq!(smallest_covering(&[], 640, 360), 0);
    }

    #[test]
    fn wants_apply_to_their_stream_only() {
        let want = |session_id, paused| Want {
            session_id,
            kind: MediaKind::Video.into(),
            width: 100,
            height: 100,
            paused,
            ..Default::default()
        };
        let session = |id| SessionId::new(id).unwrap();
        let listed = Subscription::new(Subscribe {
            all: false,
            wants: vec![want(9, true), want(3, false)],
        })
        .unwrap();
        let spatial = |s: &Subscription, id| {
            s.wanted(session(id), MediaKind::Video, &layers())
                .map(|wanted| wanted.spatial)
        };
        assert_eq!(spatial(&listed, 3), Some(0));
        assert_eq!(spatial(&listed, 9), None);
        assert_eq!(spatial(&listed, 4), None);
        assert_eq!(spatial(&Subscription::default(), 4), Some(2));
        assert!(
            listed
                .wanted(session(3), MediaKind::Screen, &layers())
                .is_none()
        );
        assert!(
            Subscription::new(Subscribe {
                all: true,
                wants: vec![want(1, false); 513]
            })
            .is_none()
        );
    }
}
