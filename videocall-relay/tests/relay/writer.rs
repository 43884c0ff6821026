//! What the writer of a connection sees: it is woken when there is something, and told of the end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Wake, Waker},
};

use videocall_relay::{Batch, BatchLimits, RelayConfig};
use videocall_types::wire::control::Message;

use crate::world::{Client, World, key, millis};

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

fn poll(world: &World, client: &Client, waker: &Arc<Count>) -> Poll<Batch> {
    let waker = Waker::from(waker.clone());
    let mut out = Vec::new();
    let mut context = Context::from_waker(&waker);
    client
        .egress
        .poll_batch(&mut context, world.now, BatchLimits::NONE, &mut out)
}

#[test]
fn it_is_woken_once_for_all_that_comes_until_it_looks() {
    let mut world = World::new(1, RelayConfig::default());
    let publisher = world.join_with_camera(0, 1);
    let receiver = world.join(0, 2);
    world.advance(millis(100));
    let count = Arc::new(Count::default());
    while poll(&world, &receiver, &count).is_ready() {}
    assert_eq!(count.0.load(Relaxed), 0);
    world.frame(&publisher, key(2, 1), 100);
    world.audio(&publisher, 20);
    assert_eq!(count.0.load(Relaxed), 1);
    while poll(&world, &receiver, &count).is_ready() {}
    // Nothing for this receiver: no reason to wake.
    world.frame(&publisher, crate::world::delta(0, 9, 1), 100);
    assert_eq!(count.0.load(Relaxed), 1);
}

#[test]
fn a_session_that_ends_wakes_and_gives_what_was_to_be_told() {
    let mut world = World::new(1, RelayConfig::default());
    let (stays, leaves) = (world.join(0, 1), world.join(0, 2));
    world.advance(millis(100));
    let count = Arc::new(Count::default());
    while poll(&world, &leaves, &count).is_ready() {}
    let fatal = world.send(&leaves, Message::Close(Default::default()));
    let now = world.now;
    world.nodes[0]
        .meeting
        .close(leaves.session, fatal.unwrap_err());
    world.pump();
    assert!(count.0.load(Relaxed) > 0);
    assert_eq!(poll(&world, &leaves, &count), Poll::Ready(Batch::More));
    assert_eq!(poll(&world, &leaves, &count), Poll::Ready(Batch::Closed));
    assert!(
        world.nodes[0]
            .meeting
            .receive(now, leaves.session, Default::default())
            .is_err()
    );
    world.audio(&stays, 20);
    assert_eq!(leaves.egress.waiting(), (0, 0));
}

#[test]
fn a_batch_is_bounded_by_packets_and_bytes() {
    let mut world = World::new(1, RelayConfig::default());
    let publisher = world.join_with_camera(0, 1);
    let receiver = world.join(0, 2);
    world.drain(&receiver);
    world.frame(&publisher, key(2, 1), 5_000);
    for number in 2..20 {
        world.frame(&publisher, crate::world::delta(2, number, 1), 5_000);
    }
    world.drain(&publisher);
    let sizes: Vec<usize> = std::iter::from_fn(|| {
        let batch = receiver.egress.take_batch(
            world.now,
            BatchLimits {
                packets: 4,
                bytes: 12_000,
                ..BatchLimits::NONE
            },
        );
        (!batch.is_empty()).then_some(batch.len())
    })
    .collect();
    // The first holds the change of layer besides.
    assert_eq!(sizes, [4, 3, 3, 3, 3, 3, 1]);
}
