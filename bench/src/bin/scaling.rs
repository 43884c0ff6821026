//! What breaks first at 100 nodes and 100,000 people: a model that multiplies measured costs of one
//! packet by how many packets there are. `docs/scaling.md` says what follows.
//!
//! Costs come from `bench/results/latest.json` where `make bench` has measured them, or else are
//! those measured on the machine that `docs/performance.md` describes.
#![allow(clippy::print_stdout)]

use std::collections::HashMap;

use anyhow::Result;
use rand::{Rng, SeedableRng, rngs::SmallRng};

const NODES: usize = 100;
const PEOPLE: usize = 100_000;
/// Nodes that are near each other, where people of a meeting can choose the same.
const REGIONS: usize = 5;

/// Of a node, and of a NATS server: four cores, of which a fifth stays free, and 10 Gbit/s.
const CORES: f64 = 4.0 * 0.8;
const NIC_BYTES: f64 = 10e9 / 8.0 * 0.8;
const MEMORY_BYTES: f64 = 16e9 * 0.8;
/// NATS servers of the installation. A message reaches a node by the server that the node is
/// connected to: of three servers, two in three messages cross from one server to another.
const NATS_SERVERS: f64 = 3.0;
const HOPS: f64 = 1.0 + (NATS_SERVERS - 1.0) / NATS_SERVERS;

/// Packets of sound in a second, and their size: 20 ms of Opus at 32 kbit/s.
const SOUND: (f64, f64) = (50.0, 150.0);
/// Pictures of a camera in a second, and their size in the layer of a tile of nine (`grid:9`).
const PICTURES: (f64, f64) = (30.0, 2600.0);
/// Pictures on a screen.
const TILES: usize = 9;
/// A participant in a roster, and how often nodes repeat theirs.
const ROSTER_BYTES: f64 = 120.0;
const ROSTER_SECONDS: f64 = 5.0;

/// Microseconds of a processor, or bytes, each with the row of `make bench` that measures it.
struct Costs(HashMap<String, f64>);

impl Costs {
    /// Those of the bus at some hundred packets a second, where waking up is most of the cost: more
    /// than a busy bus takes for each.
    const MEASURED: [(&'static str, f64); 5] = [
        ("meeting.1000.websocket.cpu_us", 2.3),
        ("bus.publisher_node_cpu_us", 45.0),
        ("bus.nats_cpu_us", 48.0),
        ("bus.receiver_node_cpu_us", 45.0),
        ("relay.websocket.idle_kib", 5.8),
    ];

    fn read() -> Self {
        let mut costs: HashMap<String, f64> = Self::MEASURED
            .iter()
            .map(|(name, value)| ((*name).to_owned(), *value))
            .collect();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/results/latest.json");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let rows: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap_or_default();
        for row in rows {
            if let (Some(name), Some(value)) = (row["name"].as_str(), row["value"].as_f64())
                && let Some(cost) = costs.get_mut(name)
            {
                *cost = value;
            }
        }
        Self(costs)
    }

    fn of(&self, name: &str) -> f64 {
        self.0[name]
    }
}

/// Meetings of one size.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    people: usize,
    cameras: usize,
    speakers: usize,
}

const KINDS: [Kind; 3] = [
    Kind {
        name: "meetings of 5",
        people: 5,
        cameras: 5,
        speakers: 2,
    },
    Kind {
        name: "meetings of 50",
        people: 50,
        cameras: 9,
        speakers: 3,
    },
    Kind {
        name: "meetings of 1,000",
        people: 1000,
        cameras: 5,
        speakers: 3,
    },
];

/// Who takes which node.
#[derive(Clone, Copy, PartialEq)]
enum Placement {
    /// Any, whoever else is in the meeting: a load balancer that knows nothing of meetings.
    Spread,
    /// People come from all regions; those of one region and meeting take the same node.
    TogetherByRegion,
    /// All people of a meeting are near each other, and take the same node.
    Together,
}

impl Placement {
    const ALL: [(Self, &'static str); 3] = [
        (Self::Spread, "spread over all nodes"),
        (Self::TogetherByRegion, "together in each of 5 regions"),
        (Self::Together, "together on one node"),
    ];

    /// The node of somebody in a meeting.
    fn node(self, meeting: usize, random: &mut SmallRng) -> usize {
        let of_meeting = mix(meeting as u64) as usize;
        match self {
            Self::Spread => random.random_range(0..NODES),
            Self::TogetherByRegion => {
                let region = random.random_range(0..REGIONS);
                let in_region = NODES / REGIONS;
                region * in_region + (mix(of_meeting as u64 ^ region as u64) as usize) % in_region
            }
            Self::Together => of_meeting % NODES,
        }
    }
}

/// As the weight of rendezvous hashing spreads meetings: evenly, and without memory.
fn mix(number: u64) -> u64 {
    let hash = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// What one node has to do each second.
#[derive(Clone, Copy, Default)]
struct Node {
    people: f64,
    delivered: f64,
    delivered_bytes: f64,
    to_bus: f64,
    to_bus_bytes: f64,
    from_bus: f64,
    from_bus_bytes: f64,
}

/// What the installation has to do each second.
struct Load {
    nodes: Vec<Node>,
    roster_bytes: f64,
}

fn load(kind: Kind, placement: Placement) -> Load {
    let mut random = SmallRng::seed_from_u64(1);
    let mut nodes = vec![Node::default(); NODES];
    let mut roster_bytes = 0.0;
    for meeting in 0..PEOPLE / kind.people {
        let at: Vec<usize> = (0..kind.people)
            .map(|_| placement.node(meeting, &mut random))
            .collect();
        let mut taking_part = at.clone();
        taking_part.sort_unstable();
        taking_part.dedup();
        let others = (taking_part.len() - 1) as f64;
        roster_bytes += kind.people as f64 * ROSTER_BYTES / ROSTER_SECONDS * others;
        for (person, &node) in at.iter().enumerate() {
            let mine = &mut nodes[node];
            mine.people += 1.0;
            let heard = kind.speakers - usize::from(person < kind.speakers);
            let seen = (kind.cameras - usize::from(person < kind.cameras)).min(TILES);
            for (count, (rate, bytes)) in [(heard, SOUND), (seen, PICTURES)] {
                mine.delivered += count as f64 * rate;
                mine.delivered_bytes += count as f64 * rate * bytes;
            }
            if others == 0.0 {
                continue;
            }
            // Each node takes part with people who see and hear all that is shown of a meeting.
            let publishes = [(kind.speakers, SOUND), (kind.cameras.min(TILES), PICTURES)];
            for (_, (rate, bytes)) in publishes.into_iter().filter(|(count, _)| person < *count) {
                let sender = &mut nodes[node];
                sender.to_bus += rate;
                sender.to_bus_bytes += rate * bytes;
                for other in taking_part.iter().filter(|other| **other != node) {
                    nodes[*other].from_bus += rate;
                    nodes[*other].from_bus_bytes += rate * bytes;
                }
            }
        }
    }
    Load {
        nodes,
        roster_bytes,
    }
}

/// A resource and how much of it is needed, for each that there is. Above 1 it breaks.
struct Need {
    resource: &'static str,
    factor: f64,
}

fn needs(load: &Load, costs: &Costs) -> Vec<Need> {
    let cpu = |node: &Node| {
        node.delivered * costs.of("meeting.1000.websocket.cpu_us")
            + node.to_bus * costs.of("bus.publisher_node_cpu_us")
            + node.from_bus * costs.of("bus.receiver_node_cpu_us")
    };
    let network = |node: &Node| node.delivered_bytes + node.to_bus_bytes;
    let memory = |node: &Node| node.people * costs.of("relay.websocket.idle_kib") * 1024.0;
    let highest = |of: &dyn Fn(&Node) -> f64| load.nodes.iter().map(of).fold(0.0, f64::max);
    let sum = |of: &dyn Fn(&Node) -> f64| load.nodes.iter().map(of).sum::<f64>();
    let messages = sum(&|node| node.from_bus) * HOPS / NATS_SERVERS;
    let bytes = sum(&|node| node.from_bus_bytes) * HOPS / NATS_SERVERS;
    let factor = |resource, need: f64, capacity: f64| Need {
        resource,
        factor: need / capacity,
    };
    let mut needs = vec![
        factor("processors of the busiest node", highest(&cpu) / 1e6, CORES),
        factor("network of the busiest node", highest(&network), NIC_BYTES),
        factor("memory of the fullest node", highest(&memory), MEMORY_BYTES),
        factor(
            "processors of a NATS server",
            messages * costs.of("bus.nats_cpu_us") / 1e6,
            CORES,
        ),
        factor("network of a NATS server", bytes, NIC_BYTES),
        factor(
            "rosters over NATS",
            load.roster_bytes * HOPS / NATS_SERVERS,
            NIC_BYTES,
        ),
    ];
    needs.sort_by(|a, b| b.factor.total_cmp(&a.factor));
    needs
}

fn main() -> Result<()> {
    let costs = Costs::read();
    println!("{PEOPLE} people on {NODES} nodes, {NATS_SERVERS} NATS servers; measured costs:");
    for (name, _) in Costs::MEASURED {
        println!("  {name:<32} {:.2}", costs.of(name));
    }
    for kind in KINDS {
        for (placement, how) in Placement::ALL {
            let load = load(kind, placement);
            let sum = |of: &dyn Fn(&Node) -> f64| load.nodes.iter().map(of).sum::<f64>() / 1e6;
            println!(
                "\n{}, {how}: {:.1} million deliveries a second, {:.1} million over NATS",
                kind.name,
                sum(&|node| node.delivered),
                sum(&|node| node.from_bus)
            );
            for need in needs(&load, &costs) {
                let verdict = if need.factor > 1.0 { "  BREAKS" } else { "" };
                println!("  {:<32} {:>8.3}{verdict}", need.resource, need.factor);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(load: &Load, of: impl Fn(&Node) -> f64) -> f64 {
        load.nodes.iter().map(of).sum()
    }

    #[test]
    fn a_meeting_on_one_node_costs_nothing_between_nodes() {
        for kind in KINDS {
            let load = load(kind, Placement::Together);
            assert_eq!(total(&load, |node| node.to_bus + node.from_bus), 0.0);
            assert_eq!(load.roster_bytes, 0.0);
            assert_eq!(total(&load, |node| node.people), PEOPLE as f64);
        }
    }

    #[test]
    fn what_people_receive_does_not_depend_on_where_they_are() {
        let delivered = Placement::ALL.map(|(placement, _)| {
            let load = load(KINDS[1], placement);
            total(&load, |node| node.delivered)
        });
        assert_eq!(delivered, [delivered[0]; 3]);
        // 2,000 meetings: nine with a camera see eight, 41 see nine; three of them speak.
        let pictures = 2000.0 * (9.0 * 8.0 + 41.0 * 9.0) * PICTURES.0;
        let sound = 2000.0 * (3.0 * 2.0 + 47.0 * 3.0) * SOUND.0;
        assert_eq!(delivered[0], pictures + sound);
    }

    #[test]
    fn a_node_is_sent_each_packet_once_however_many_people_it_has() {
        // All hundred nodes have people of each of the hundred meetings.
        let load = load(KINDS[2], Placement::Spread);
        let published = 100.0 * (5.0 * PICTURES.0 + 3.0 * SOUND.0);
        assert_eq!(total(&load, |node| node.to_bus), published);
        let received = total(&load, |node| node.from_bus);
        assert!((98.0..=99.0).contains(&(received / published)));
    }
}
