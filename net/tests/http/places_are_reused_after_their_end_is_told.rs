//! The end of a connection is delivered before its place is given to another, so that a consumer may keep a table by place.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::net::TcpStream;

use crate::support::{Clock, connect, drive, reset_on_close, wire};
use net::wire::memory::{Pieces, network};
use net::wire::uring::UringWire;
use net::wire::{Arrival, ConnId, Ending, ListenOptions, Stream, Wire, WireConfig, WireEvents};

/// Whose place each is.
#[derive(Default)]
struct Table {
    places: BTreeMap<usize, ConnId>,
    accepted: u64,
    reused: u64,
}

impl WireEvents for Table {
    fn accepted(&mut self, conn: ConnId, _arrival: Arrival) {
        assert_eq!(self.places.insert(conn.index(), conn), None, "the place was free");
        self.accepted += 1;
        self.reused += u64::from(conn.generation() > 0);
    }

    fn received(&mut self, _conn: ConnId, stream: &mut Stream<'_>) {
        stream.consume(stream.input().len());
    }

    fn closed(&mut self, conn: ConnId, _ending: Ending) {
        assert_eq!(self.places.remove(&conn.index()), Some(conn), "the place was its own");
    }
}

#[test]
fn with_resets_and_accepts_in_one_poll() {
    for single_shot in [false, true] {
        let config = WireConfig { single_shot, ..WireConfig::default() };
        let (mut wire, address) = wire(config, &ListenOptions::default());
        let (mut table, clock) = (Table::default(), Clock::new());
        let mut sockets: Vec<TcpStream> = Vec::new();
        for round in 1..=50_u64 {
            // All of these reach the wire in one poll: ends of the last round's connections, and new ones.
            let mut fresh = Vec::new();
            for socket in sockets.drain(..) {
                reset_on_close(&socket);
                drop(socket);
                fresh.push(connect(address));
            }
            fresh.resize_with(8, || connect(address));
            sockets = fresh;
            // With and without a send under way, whose end is waited for.
            for conn in table.places.values().filter(|_| round % 2 == 0) {
                let _may_be_closed = wire.send(*conn, b"never read");
            }
            drive(&mut wire, &mut table, &clock, |_, table| table.accepted == round * 8);
        }
        assert!(table.reused > 100, "{}", table.reused);
    }
}

/// Dials, gives up and dials again between two polls: the second one must not be in the place of the first.
fn dials_behind_an_abort(wire: &mut impl Wire) {
    let (mut table, clock) = (Table::default(), Clock::new());
    for _ in 0..20 {
        for _ in 0..3 {
            let conn = wire.connect(([127, 0, 0, 1], 9).into(), None).unwrap();
            assert_eq!(table.places.insert(conn.index(), conn), None, "the place was free");
            wire.abort(conn);
        }
        drive(wire, &mut table, &clock, |_, table| table.places.is_empty());
    }
    assert!(wire.connections() <= 3);
}

#[test]
fn with_dials_right_behind_an_abort() {
    dials_behind_an_abort(&mut UringWire::with_listeners(Vec::new(), WireConfig::default()).unwrap());
    dials_behind_an_abort(&mut network(WireConfig::default(), Pieces::Whole).0);
}
