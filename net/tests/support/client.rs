//! A pool with its wire, driven turn by turn, and a server that the test plays by hand.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use net::client::{
    CallId, Origin, OriginId, OriginLimits, Outcome, PlainDial, Pool, PoolLimits, Request, Security,
};
use net::http::answer::Answer;
use net::wire::memory::{self, MemoryNetwork, MemoryWire, PeerId, Pieces};
use net::wire::{Arrival, ConnId, Ending, Stream, Wire, WireConfig, WireEvents};

use super::SECOND_NS;

/// Routes events to the pool that owns all connections.
struct Router<'a>(&'a mut Pool);

impl WireEvents for Router<'_> {
    fn accepted(&mut self, _conn: ConnId, _arrival: Arrival) {
        unreachable!("nothing listens");
    }

    fn connected(&mut self, conn: ConnId) {
        assert!(self.0.owns(conn));
        self.0.connected(conn);
    }

    fn received(&mut self, conn: ConnId, stream: &mut Stream<'_>) {
        assert!(self.0.owns(conn));
        self.0.received(conn, stream);
        assert!(stream.input().is_empty(), "the pool consumes everything");
    }

    fn closed(&mut self, conn: ConnId, ending: Ending) {
        assert!(self.0.owns(conn));
        self.0.closed(conn, ending);
        assert!(!self.0.owns(conn));
    }
}

/// A pool, its wire and its clock.
pub struct Caller<W> {
    pub pool: Pool,
    pub wire: W,
    pub now_ns: u64,
    pub outcomes: BTreeMap<CallId, Outcome>,
}

impl<W: Wire> Caller<W> {
    pub fn new(wire: W, limits: PoolLimits) -> Self {
        Self { pool: Pool::new(limits), wire, now_ns: 1, outcomes: BTreeMap::new() }
    }

    /// One turn of a shard's loop.
    pub fn turn(&mut self) {
        self.wire.poll(self.now_ns, &mut Router(&mut self.pool)).unwrap();
        self.pool.tick(self.now_ns, &mut self.wire, &mut PlainDial);
        while let Some(finished) = self.pool.take_finished() {
            let before = self.outcomes.insert(finished.call, finished.outcome);
            assert!(before.is_none(), "one outcome per call");
        }
    }

    pub fn turns(&mut self, count: usize) {
        (0..count).for_each(|_| self.turn());
    }

    /// Moves the clock on, and takes a turn.
    pub fn advance(&mut self, span_ns: u64) {
        self.now_ns += span_ns;
        self.turn();
    }

    /// Calls with a deadline a second away.
    pub fn call(&mut self, origin: OriginId, request: &Request<'_>) -> CallId {
        self.pool.call(origin, request, self.now_ns + SECOND_NS).unwrap()
    }

    pub fn get(&mut self, origin: OriginId, target: &str) -> CallId {
        self.call(origin, &Request::get(target))
    }

    pub fn answer(&self, call: CallId) -> &Answer {
        match self.outcomes.get(&call) {
            Some(Outcome::Answered(answer)) => answer,
            other => panic!("no answer: {other:?}"),
        }
    }
}

/// A pool on a network in memory, whose far ends the test plays.
pub struct Stage {
    pub caller: Caller<MemoryWire>,
    pub network: MemoryNetwork,
    pub origin: OriginId,
}

/// Where the servers of a [`Stage`] are.
pub fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], 80))
}

impl Stage {
    pub fn new(limits: OriginLimits) -> Self {
        Self::with(limits, PoolLimits::default(), WireConfig::default(), Pieces::Whole, 1)
    }

    /// With so many addresses of the origin.
    pub fn with(
        limits: OriginLimits,
        pool: PoolLimits,
        wire: WireConfig,
        pieces: Pieces,
        addresses: u8,
    ) -> Self {
        let (wire, network) = memory::network(wire, pieces);
        let mut caller = Caller::new(wire, pool);
        let addresses = (1..=addresses).map(address).collect();
        let origin = Origin { limits, ..Origin::new("server", addresses, Security::Plain) };
        let origin = caller.pool.register(origin).unwrap();
        Self { caller, network, origin }
    }

    /// A call with a deadline a second away.
    pub fn get(&mut self, target: &str) -> CallId {
        self.caller.get(self.origin, target)
    }

    /// Takes the connection that the pool opens next; `None` when it opens none within a few turns.
    pub fn take(&mut self) -> Option<PeerId> {
        let peer = self.dialled()?.0;
        self.network.take(peer);
        self.caller.turns(3);
        Some(peer)
    }

    /// The connection that the pool opens next, not yet taken.
    pub fn dialled(&mut self) -> Option<(PeerId, SocketAddr)> {
        self.caller.turns(3);
        self.network.dialled()
    }

    /// Writes to the pool and lets it act.
    pub fn write(&mut self, peer: PeerId, bytes: &[u8]) {
        self.network.write(peer, bytes);
        self.caller.turns(3);
    }

    /// What the pool sent on a connection since the last look.
    pub fn read(&self, peer: PeerId) -> String {
        String::from_utf8(self.network.read(peer)).unwrap()
    }

    /// Answers with this body.
    pub fn answer(&mut self, peer: PeerId, body: &str) {
        self.write(peer, answer(body).as_bytes());
    }

    /// A connection that has carried a call and is kept.
    pub fn kept(&mut self) -> PeerId {
        let call = self.get("/first");
        let peer = self.take().unwrap();
        assert!(self.read(peer).starts_with("GET /first "));
        self.answer(peer, "first");
        assert_eq!(self.caller.answer(call).body, b"first");
        peer
    }
}

/// A complete answer.
pub fn answer(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}
