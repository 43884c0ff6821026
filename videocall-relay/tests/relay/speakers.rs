//! The loudest few are forwarded, and everybody is told who speaks.

use videocall_relay::RelayConfig;
use videocall_types::wire::control::Message;

use crate::world::{Client, World, millis};

/// Everybody sends one packet of its level every 20 ms. Returns how many packets the listener got
/// in all, and what it was told last.
fn talk(
    world: &mut World,
    voices: &[(&Client, u8)],
    listener: &Client,
    ticks: usize,
) -> (usize, Option<Vec<u64>>) {
    let (mut packets, mut told) = (0, None);
    for _ in 0..ticks {
        for (client, level) in voices {
            world.audio(client, *level);
        }
        world.advance(millis(20));
        let got = world.drain(listener);
        packets += got.frames().len();
        for message in got.messages() {
            if let Message::ActiveSpeakers(speakers) = message {
                told = Some(speakers.session_ids);
            }
        }
    }
    (packets, told)
}

#[test]
fn few_speakers_are_all_forwarded() {
    let mut world = World::new(1, RelayConfig::default());
    let clients: Vec<Client> = (1..=5).map(|number| world.join(0, number)).collect();
    let listener = world.join(0, 9);
    let voices: Vec<(&Client, u8)> = clients.iter().zip([30, 50, 70, 90, 127]).collect();
    assert_eq!(talk(&mut world, &voices, &listener, 100).0, 500);
}

#[test]
fn of_many_the_loudest_are_forwarded_and_told() {
    let mut world = World::new(2, RelayConfig::default());
    let clients: Vec<Client> = (1..=20)
        .map(|number| world.join(number as usize % 2, number))
        .collect();
    let listener = world.join(0, 99);
    let level = |number: u64| if number <= 3 { 20 + number as u8 } else { 100 };
    let voices: Vec<(&Client, u8)> = clients
        .iter()
        .map(|client| (client, level(client.session.get())))
        .collect();
    let (_, told) = talk(&mut world, &voices, &listener, 50);
    assert_eq!(told, Some(vec![1, 2, 3]));
    let (packets, _) = talk(&mut world, &voices, &listener, 50);
    assert_eq!(packets, 5 * 50);
}

#[test]
fn whoever_begins_to_speak_is_heard_within_three_packets() {
    let mut world = World::new(1, RelayConfig::default());
    let clients: Vec<Client> = (1..=20).map(|number| world.join(0, number)).collect();
    let listener = world.join(0, 99);
    let quiet: Vec<(&Client, u8)> = clients.iter().map(|client| (client, 90)).collect();
    talk(&mut world, &quiet, &listener, 50);
    let speaker = &clients[19];
    let mut heard = 0;
    for _ in 0..3 {
        world.audio(speaker, 20);
        heard += world.drain(&listener).frames().len();
    }
    assert!(heard >= 1);
}

#[test]
fn whoever_joins_is_told_who_speaks() {
    let mut world = World::new(1, RelayConfig::default());
    let (speaker, listener) = (world.join(0, 1), world.join(0, 2));
    talk(&mut world, &[(&speaker, 20)], &listener, 50);
    let late = world.join(0, 3);
    let told = world.drain(&late).messages().into_iter().any(|message| {
        matches!(message, Message::ActiveSpeakers(speakers) if speakers.session_ids == [1])
    });
    assert!(told);
}
