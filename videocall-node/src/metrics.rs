//! What is measured, under which names: `docs/operations.md` tells of each. No label grows with
//! people.

use std::{fmt::Write, sync::atomic::Ordering::Relaxed};

use metrics::{
    Unit::{Bytes, Seconds},
    counter, describe_counter, describe_gauge, gauge,
};
use videocall_relay::{DropReason, Histogram, KINDS, Violation};
use videocall_types::close::CloseReason;

use crate::{Node, Transport, tickets::TicketError};

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
        "videocall_rate_limited_total",
        "Packets dropped because one connection, or all of the node, sent too much"
    );
    describe_counter!(
        "videocall_handshakes_refused_total",
        "Connections refused because one address began too many"
    );
    describe_counter!(
        "videocall_tickets_total",
        "Tickets for resuming a session, by what became of them and why"
    );
    describe_counter!(
        "videocall_bus_dropped_total",
        "Messages the bus could not take"
    );
    describe_gauge!(
        "videocall_bus_healthy",
        "1 if other nodes can be reached, otherwise 0"
    );
    describe_gauge!(
        "videocall_bus_lag_seconds",
        Seconds,
        "Time that a message took last from here through NATS and back, or waits for NATS now; 0 \
         without NATS"
    );
    describe_counter!("videocall_closes_total", "Sessions that ended, by reason");
    describe_counter!(
        "videocall_resumes_total",
        "Clients that came back in the place of their earlier session"
    );
    describe_counter!(
        "videocall_picture_pauses_total",
        "Pictures paused because the path to their receiver did not carry the lowest layer"
    );
    describe_gauge!(
        "videocall_load_ratio",
        "Use as part of its budget; over 1 nobody more is let in"
    );
    describe_gauge!(
        "videocall_ready",
        "1 if new participants are let in, otherwise 0"
    );
    describe_gauge!(
        "process_resident_memory_bytes",
        Bytes,
        "Resident memory of the process"
    );
}

/// Name in metrics of the end of a session whose connection was lost without a word.
const LOST: &str = "lost";

const fn reason_label(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Normal => "normal",
        CloseReason::GoingAway => "going_away",
        CloseReason::ProtocolError => "protocol_error",
        CloseReason::Timeout => "timeout",
        CloseReason::RateLimitExceeded => "rate_limit_exceeded",
        CloseReason::InternalError => "internal_error",
        CloseReason::Unauthorized => "unauthorized",
        CloseReason::Removed => "removed",
        CloseReason::MeetingEnded => "meeting_ended",
        CloseReason::Replaced => "replaced",
        CloseReason::Full => "full",
        CloseReason::Unsupported => "unsupported",
        CloseReason::SlowConsumer => "slow_consumer",
        CloseReason::TicketRefused => "ticket_refused",
    }
}

/// Appends a histogram in the text format of Prometheus. The library's own would have to be told of
/// each value.
fn append(out: &mut String, name: &str, class: &str, histogram: &Histogram) {
    // Writing to a string cannot fail.
    for (bound, count) in &histogram.buckets {
        let _ = writeln!(
            out,
            "{name}_bucket{{class=\"{class}\",le=\"{bound}\"}} {count}"
        );
    }
    let Histogram { count, sum, .. } = histogram;
    let _ = writeln!(
        out,
        "{name}_bucket{{class=\"{class}\",le=\"+Inf\"}} {count}"
    );
    let _ = writeln!(out, "{name}_sum{{class=\"{class}\"}} {sum}");
    let _ = writeln!(out, "{name}_count{{class=\"{class}\"}} {count}");
}

impl Node {
    /// Histograms and what is counted in fractions, in the text format of Prometheus, to be appended
    /// to what the library renders, which has neither.
    pub fn more_metrics(&self) -> String {
        let name = "videocall_queue_delay_seconds";
        let mut out = format!(
            "# HELP {name} Time that packets waited in the queue of their receiver\n\
             # TYPE {name} histogram\n"
        );
        let delays = self.shared.environment.counters.queue_delays();
        for (class, histogram) in ["audio", "picture"].iter().zip(&delays) {
            append(&mut out, name, class, histogram);
        }
        let name = "process_cpu_seconds_total";
        let seconds = self.shared.overload.usage().cpu.as_secs_f64();
        let _ = write!(
            out,
            "# HELP {name} User and system time of the process\n# TYPE {name} counter\n\
             {name} {seconds}\n"
        );
        out
    }

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
        let overloaded = shared.refused_overloaded.load(Relaxed);
        counter!("videocall_joins_total", "result" => "refused")
            .absolute(shared.refused.load(Relaxed).saturating_sub(overloaded));
        counter!("videocall_joins_total", "result" => "overloaded").absolute(overloaded);
        let labels = CloseReason::ALL.map(reason_label).into_iter().chain([LOST]);
        for (reason, count) in labels.zip(&shared.environment.ended) {
            counter!("videocall_closes_total", "reason" => reason).absolute(count.load(Relaxed));
        }
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
        counter!("videocall_picture_pauses_total").absolute(counters.pauses());
        counter!("videocall_resumes_total").absolute(counters.resumes());
        for (resource, load) in shared.overload.loads() {
            gauge!("videocall_load_ratio", "resource" => resource.label()).set(load);
        }
        let ready = self.health().ready;
        gauge!("videocall_ready").set(if ready { 1.0 } else { 0.0 });
        let usage = shared.overload.usage();
        gauge!("process_resident_memory_bytes").set(usage.memory_bytes as f64);
        self.update_limit_metrics();
        let bus = shared.environment.bus.health();
        gauge!("videocall_bus_lag_seconds").set(bus.lag.as_secs_f64());
        counter!("videocall_bus_dropped_total").absolute(bus.dropped);
        gauge!("videocall_bus_healthy").set(if bus.problems.is_empty() { 1.0 } else { 0.0 });
    }

    fn update_limit_metrics(&self) {
        let (by_connection, by_node) = self.shared.guard.dropped();
        for (scope, dropped) in [("connection", by_connection), ("node", by_node)] {
            counter!("videocall_rate_limited_total", "scope" => scope).absolute(dropped);
        }
        counter!("videocall_handshakes_refused_total")
            .absolute(self.shared.guard.handshakes_refused());
        let tickets = &self.shared.environment.tickets;
        for (result, count) in [("issued", &tickets.issued), ("taken", &tickets.taken)] {
            counter!("videocall_tickets_total", "result" => result).absolute(count.load(Relaxed));
        }
        for (error, count) in TicketError::ALL.into_iter().zip(&tickets.refused) {
            let reason = error.label();
            counter!("videocall_tickets_total", "result" => "refused", "reason" => reason)
                .absolute(count.load(Relaxed));
        }
    }
}
