//! What the network of a shard counted, for the metrics page.
//!
//! **Runs on**: written by its shard's loop, a few times a second; read by any. **Never**: a figure nobody measured.

use std::sync::atomic::{AtomicU64, Ordering};

use net::server::ServerMetrics;
use net::tls::TlsMetrics;
use net::wire::{CloseReason, WireMetrics};

/// A counter: its name, and its label where it has one.
struct Figure {
    name: &'static str,
    label: Option<(&'static str, &'static str)>,
}

const fn plain(name: &'static str) -> Figure {
    Figure { name, label: None }
}

const fn closed(reason: CloseReason) -> Figure {
    Figure { name: "connections_closed_total", label: Some(("reason", reason.name())) }
}

const fn handshakes(outcome: &'static str) -> Figure {
    Figure { name: "tls_handshakes_total", label: Some(("outcome", outcome)) }
}

const fn refused(bound: &'static str) -> Figure {
    Figure { name: "connections_refused_total", label: Some(("bound", bound)) }
}

const COUNT: usize = 30;

/// Those of one name stand together.
const FIGURES: [Figure; COUNT] = [
    plain("connections_accepted_total"),
    refused("all"),
    refused("address"),
    closed(CloseReason::ALL[0]),
    closed(CloseReason::ALL[1]),
    closed(CloseReason::ALL[2]),
    closed(CloseReason::ALL[3]),
    closed(CloseReason::ALL[4]),
    closed(CloseReason::ALL[5]),
    closed(CloseReason::ALL[6]),
    closed(CloseReason::ALL[7]),
    closed(CloseReason::ALL[8]),
    plain("accept_failures_total"),
    plain("network_received_bytes_total"),
    plain("network_sent_bytes_total"),
    plain("network_sends_total"),
    plain("network_partial_sends_total"),
    plain("network_receive_buffers_exhausted_total"),
    plain("network_system_calls_total"),
    plain("http_malformed_total"),
    plain("websockets_opened_total"),
    plain("websockets_closed_total"),
    plain("websocket_faults_total"),
    plain("websockets_silent_total"),
    plain("websocket_messages_received_total"),
    plain("websocket_messages_sent_total"),
    plain("websocket_messages_missed_total"),
    handshakes("full"),
    handshakes("resumed"),
    handshakes("failed"),
];

const _: () = assert!(CloseReason::ALL.len() == 9, "each reason has its figure");

/// The counters of one shard.
#[derive(Debug)]
pub struct NetworkGauges {
    values: [AtomicU64; COUNT],
}

impl Default for NetworkGauges {
    fn default() -> Self {
        Self { values: [const { AtomicU64::new(0) }; COUNT] }
    }
}

impl NetworkGauges {
    /// Takes what was counted so far.
    pub fn publish(&self, wire: &WireMetrics, server: &ServerMetrics, tls: &TlsMetrics) {
        let before = [wire.accepted, wire.refused_full, wire.refused_address];
        let after = [
            wire.accept_failures,
            wire.bytes_in,
            wire.bytes_out,
            wire.sends,
            wire.partial_sends,
            wire.receive_exhaustions,
            wire.enters,
            server.malformed,
            server.sockets_opened,
            server.sockets_closed,
            server.socket_faults,
            server.sockets_silent,
            server.messages_in,
            server.messages_out,
            server.messages_missed,
            tls.handshakes_full,
            tls.handshakes_resumed,
            tls.handshakes_failed,
        ];
        let all = before.into_iter().chain(wire.closed).chain(after);
        for (place, value) in self.values.iter().zip(all) {
            place.store(value, Ordering::Relaxed);
        }
    }

    fn at(&self, place: usize) -> u64 {
        self.values[place].load(Ordering::Relaxed)
    }
}

/// Writes the counters of all shards in the text format of Prometheus.
///
/// # Errors
/// The writer's.
pub fn write_text<'a>(
    out: &mut impl std::io::Write,
    shards: impl Iterator<Item = &'a NetworkGauges> + Clone,
) -> std::io::Result<()> {
    let mut named = "";
    for (place, figure) in FIGURES.iter().enumerate() {
        if figure.name != named {
            named = figure.name;
            writeln!(out, "# TYPE coinbitclub_{named} counter")?;
        }
        for (shard, gauges) in shards.clone().enumerate() {
            let value = gauges.at(place);
            match figure.label {
                Some((label, of)) => {
                    writeln!(out, "coinbitclub_{named}{{shard=\"{shard}\",{label}=\"{of}\"}} {value}")?;
                }
                None => writeln!(out, "coinbitclub_{named}{{shard=\"{shard}\"}} {value}")?,
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_is_under_its_own_name() {
        let mut wire =
            WireMetrics { accepted: 1, refused_full: 2, refused_address: 3, ..WireMetrics::default() };
        for (value, reason) in (10..).zip(&mut wire.closed) {
            *reason = value;
        }
        wire.enters = 20;
        let server = ServerMetrics { malformed: 30, messages_missed: 31, ..ServerMetrics::default() };
        let tls = TlsMetrics { handshakes_full: 40, handshakes_failed: 42, ..TlsMetrics::default() };
        let gauges = NetworkGauges::default();
        gauges.publish(&wire, &server, &tls);
        let mut text = Vec::new();
        write_text(&mut text, [&gauges].into_iter()).unwrap();
        let text = String::from_utf8(text).unwrap();
        for line in [
            "coinbitclub_connections_accepted_total{shard=\"0\"} 1",
            "coinbitclub_connections_refused_total{shard=\"0\",bound=\"address\"} 3",
            "coinbitclub_connections_closed_total{shard=\"0\",reason=\"local\"} 10",
            "coinbitclub_connections_closed_total{shard=\"0\",reason=\"protocol\"} 18",
            "coinbitclub_network_system_calls_total{shard=\"0\"} 20",
            "coinbitclub_http_malformed_total{shard=\"0\"} 30",
            "coinbitclub_websocket_messages_missed_total{shard=\"0\"} 31",
            "coinbitclub_tls_handshakes_total{shard=\"0\",outcome=\"full\"} 40",
            "coinbitclub_tls_handshakes_total{shard=\"0\",outcome=\"failed\"} 42",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert_eq!(text.matches("# TYPE coinbitclub_connections_closed_total").count(), 1);
    }
}
