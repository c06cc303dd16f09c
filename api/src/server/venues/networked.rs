//! A gateway that has connections of its own on the shard's wire: what the loop has to tell it, and the wire's events, each to
//! whom its connection belongs.

use std::marker::PhantomData;
use std::sync::Arc;

use engine::core::ids::Timestamp;
use engine::seam::Entropy;
use engine::shard::ports::Moment;
use exchange::venue::Venue;
use net::tls::TlsWire;
use net::wire::{Arrival, ConnId, Ending, Stream, Wire, WireEvents};

use super::Venues;
use super::hosts::AddressBook;
use crate::server::gateway::VenueGateway;
use crate::web::desk::Desk;
use crate::web::venues::VenueGauges;

/// See the module's head. Without a word of its own a gateway has no connections.
pub trait Networked<W: Wire> {
    /// Whether a connection is its own.
    fn owns(&self, conn: ConnId) -> bool {
        let _ = conn;
        false
    }
    /// A connection of its own is established.
    fn connected(&mut self, conn: ConnId) {
        let _ = conn;
    }
    /// Bytes came on a connection of its own.
    fn received(&mut self, conn: ConnId, stream: &mut Stream<'_>) {
        let _ = (conn, stream);
    }
    /// A connection of its own is gone.
    fn closed(&mut self, conn: ConnId, ending: Ending) {
        let _ = (conn, ending);
    }
    /// Moves bytes; true when there may be more at once.
    fn tick(&mut self, now: Moment, wire: &mut W) -> bool {
        let _ = (now, wire);
        false
    }
    /// When `tick` has something to do even if nothing arrives.
    fn next_deadline_ns(&self) -> Option<u64> {
        None
    }
    /// Tells status and metrics how it stands; called about once a second.
    fn publish(&mut self, now: Timestamp, gauges: &VenueGauges) {
        let _ = (now, gauges);
    }
    /// Names resolve to something else now.
    fn readdress(&mut self, book: &Arc<AddressBook>) {
        let _ = book;
    }
}

impl<V: Venue, W: Wire> Networked<W> for VenueGateway<V> {}

impl<V: Venue, W: Wire, E: Entropy + Clone> Networked<TlsWire<W>> for Venues<V, E> {
    fn owns(&self, conn: ConnId) -> bool {
        self.live.as_ref().is_some_and(|live| live.lines.iter().any(|line| line.owns(conn)))
    }

    fn connected(&mut self, conn: ConnId) {
        let lines = self.live.iter_mut().flat_map(|live| &mut live.lines);
        if let Some(line) = lines.into_iter().find(|line| line.owns(conn)) {
            line.connected(conn);
        }
    }

    fn received(&mut self, conn: ConnId, stream: &mut Stream<'_>) {
        let lines = self.live.iter_mut().flat_map(|live| &mut live.lines);
        if let Some(line) = lines.into_iter().find(|line| line.owns(conn)) {
            line.received(conn, stream);
        }
    }

    fn closed(&mut self, conn: ConnId, ending: Ending) {
        let lines = self.live.iter_mut().flat_map(|live| &mut live.lines);
        if let Some(line) = lines.into_iter().find(|line| line.owns(conn)) {
            line.closed(conn, ending);
        }
    }

    fn tick(&mut self, now: Moment, wire: &mut TlsWire<W>) -> bool {
        let Some(live) = &mut self.live else { return false };
        let mut busy = false;
        for line in &mut live.lines {
            busy |= line.tick(now, wire, &mut live.dial);
        }
        busy
    }

    fn next_deadline_ns(&self) -> Option<u64> {
        let lines = self.live.iter().flat_map(|live| &live.lines);
        lines.filter_map(super::line::Line::<E>::next_deadline_ns).min()
    }

    fn publish(&mut self, now: Timestamp, gauges: &VenueGauges) {
        if let Some(live) = &mut self.live {
            live.publish(now, gauges);
        }
    }

    fn readdress(&mut self, book: &Arc<AddressBook>) {
        let now = self.now;
        if let Some(live) = &mut self.live {
            live.readdress(now, book);
        }
    }
}

/// Hands the wire's events to the desk or the gateway. `W` is the wire's kind.
pub struct Routed<'a, E, G, W> {
    desk: &'a mut Desk<E>,
    gateway: &'a mut G,
    wire: PhantomData<W>,
}

impl<'a, E, G, W> Routed<'a, E, G, W> {
    /// Events for these two.
    pub fn new(desk: &'a mut Desk<E>, gateway: &'a mut G) -> Self {
        Self { desk, gateway, wire: PhantomData }
    }
}

impl<E: Entropy, G: Networked<W>, W: Wire> WireEvents for Routed<'_, E, G, W> {
    fn accepted(&mut self, conn: ConnId, arrival: Arrival) {
        self.desk.accepted(conn, arrival);
    }

    fn connected(&mut self, conn: ConnId) {
        self.gateway.connected(conn);
    }

    fn received(&mut self, conn: ConnId, stream: &mut Stream<'_>) {
        if self.gateway.owns(conn) {
            self.gateway.received(conn, stream);
        } else {
            self.desk.received(conn, stream);
        }
    }

    fn closed(&mut self, conn: ConnId, ending: Ending) {
        if self.gateway.owns(conn) {
            self.gateway.closed(conn, ending);
        } else {
            self.desk.closed(conn, ending);
        }
    }
}
