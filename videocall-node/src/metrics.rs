//! What is measured, under which names. No label grows with people.
//!
//! | metric | kind | labels |
//! | --- | --- | --- |
//! | `videocall_sessions` | gauge | `transport` |
//! | `videocall_meetings` | gauge | |
//! | `videocall_joins_total` | counter | `result`: admitted, refused |
//! | `videocall_packets_total` | counter | `direction`: in, out; `kind` |
//! | `videocall_bytes_total` | counter | `direction`: in, out; `kind` |
//! | `videocall_drops_total` | counter | `reason` |
//! | `videocall_violations_total` | counter | `kind` |
//! | `videocall_keyframe_requests_total` | counter | |
//! | `videocall_layer_switches_total` | counter | |
//! | `videocall_bus_dropped_total` | counter | |
//! | `videocall_bus_healthy` | gauge | |

use std::sync::atomic::Ordering::Relaxed;

use metrics::{counter, describe_counter, describe_gauge, gauge};
use videocall_relay::{DropReason, KINDS, Violation};

use crate::{Node, Transport};

pub(crate) fn describe() {
    describe_gauge!("videocall_sessions", "Participants connected to this node");
    describe_gauge!(
        "videocall_meetings",
        "Meetings with participants on this node"
    );
    describe_counter!(
        "videocall_joins_total",
        "Requests to join a meeting, by result"
    );
    describe_counter!("videocall_packets_total", "Packets by direction and kind");
    describe_counter!(
        "videocall_bytes_total",
        "Bytes of packets by direction and kind"
    );
    describe_counter!(
        "videocall_drops_total",
        "Packets not delivered to a receiver, by reason"
    );
    describe_counter!(
        "videocall_violations_total",
        "Packets that broke the protocol, by kind"
    );
    describe_counter!(
        "videocall_keyframe_requests_total",
        "Keyframe requests sent to publishers"
    );
    describe_counter!(
        "videocall_layer_switches_total",
        "Receivers moved to another layer"
    );
    describe_counter!(
        "videocall_bus_dropped_total",
        "Messages the bus could not take"
    );
    describe_gauge!(
        "videocall_bus_healthy",
        "1 if other nodes can be reached, otherwise 0"
    );
}

impl Node {
    /// Brings the metrics up to date; call before they are read.
    pub fn update_metrics(&self) {
        let shared = &self.shared;
        for transport in [Transport::WebSocket, Transport::WebTransport] {
            let sessions = shared.sessions[transport as usize].load(Relaxed);
            gauge!("videocall_sessions", "transport" => transport.label()).set(sessions as f64);
        }
        gauge!("videocall_meetings").set(self.meetings() as f64);
        counter!("videocall_joins_total", "result" => "admitted")
            .absolute(shared.joined.load(Relaxed));
        counter!("videocall_joins_total", "result" => "refused")
            .absolute(shared.refused.load(Relaxed));
        let counters = &shared.environment.counters;
        let directions = [("in", counters.incoming()), ("out", counters.outgoing())];
        for (direction, counts) in directions {
            for (kind, (packets, bytes)) in KINDS.into_iter().zip(counts) {
                counter!("videocall_packets_total", "direction" => direction, "kind" => kind)
                    .absolute(packets);
                counter!("videocall_bytes_total", "direction" => direction, "kind" => kind)
                    .absolute(bytes);
            }
        }
        for reason in DropReason::ALL {
            counter!("videocall_drops_total", "reason" => reason.label())
                .absolute(counters.drops(reason));
        }
        for violation in Violation::ALL {
            counter!("videocall_violations_total", "kind" => violation.label())
                .absolute(counters.violations(violation));
        }
        counter!("videocall_keyframe_requests_total").absolute(counters.keyframe_requests());
        counter!("videocall_layer_switches_total").absolute(counters.layer_switches());
        let bus = shared.environment.bus.health();
        counter!("videocall_bus_dropped_total").absolute(bus.dropped);
        gauge!("videocall_bus_healthy").set(if bus.problems.is_empty() { 1.0 } else { 0.0 });
    }
}
