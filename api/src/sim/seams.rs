//! The simulated side of the seams: tasks, clocks, randomness and the network of a shard.
//!
//! **Runs on**: the simulator's thread. **Invariants**: nothing here reads the host's clock or randomness.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;
use std::rc::Rc;

use engine::seam::{Clock, Entropy, Nanos, Runtime, Watch};
use net::wire::memory::{MemoryNetwork, MemoryWire, PeerId};
use net::wire::{ConnId, ConnectError, Patience, SendError, Wire, WireEvents, WireMetrics};
use storage::sim_disk::SimRandom;

use super::executor::{Ended, Executor, Owner};

/// The descriptor that stands for a shard's simulated network.
const NETWORK: RawFd = -2;

/// The tasks of a shard in one life of the server.
#[derive(Clone)]
pub(super) struct SimRuntime {
    pub(super) executor: Rc<Executor>,
    pub(super) owner: Owner,
    /// Set when the shard's network has something.
    pub(super) network: Rc<Cell<bool>>,
}

impl Runtime for SimRuntime {
    type Task = Ended;
    type Watch = SimWatch;

    fn spawn(&self, _name: &'static str, future: impl Future<Output = ()> + 'static) -> Ended {
        self.executor.spawn(self.owner, future)
    }
    fn sleep(&self, span: Nanos) -> impl Future<Output = ()> {
        self.executor.sleep(span)
    }
    fn turn(&self) -> impl Future<Output = ()> {
        self.executor.turn()
    }
    fn watch(&self, fd: RawFd) -> SimWatch {
        SimWatch { runtime: self.clone(), fd }
    }
}

/// A watched descriptor: the network's flag, or a real one (a doorbell's).
pub(super) struct SimWatch {
    runtime: SimRuntime,
    fd: RawFd,
}

impl Watch for SimWatch {
    async fn ready(&mut self) {
        if self.fd == NETWORK {
            let flag = Rc::clone(&self.runtime.network);
            self.runtime.executor.until(move || flag.get()).await;
        } else {
            self.runtime.executor.readable(self.fd).await;
        }
    }
}

/// A shard's clocks: virtual time, and a calendar that may be wrong and be set.
#[derive(Clone)]
pub(super) struct SimClock {
    pub(super) executor: Rc<Executor>,
    /// How far this shard's calendar is ahead of true time, in microseconds.
    pub(super) skew_micros: Rc<Cell<i64>>,
    /// How much faster it goes than true time, in parts per million.
    pub(super) drift_ppm: i64,
}

/// True calendar time at the start of virtual time: the 1st of March 2026.
pub(super) const EPOCH_MICROS: u64 = 1_772_323_200_000_000;

impl Clock for SimClock {
    fn monotonic(&self) -> Nanos {
        self.executor.now()
    }
    fn wall_micros(&self) -> u64 {
        let now = self.executor.now().as_micros();
        let drift = i64::try_from(now / 1_000).map_or(0, |millis| millis * self.drift_ppm / 1_000);
        (EPOCH_MICROS + now).saturating_add_signed(self.skew_micros.get() + drift)
    }
}

/// Seeded randomness for tokens and ids. A clone goes on from the same place.
#[derive(Clone)]
pub(super) struct SimEntropy(pub(super) SimRandom);

impl Entropy for SimEntropy {
    fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let bytes = self.0.next_u64().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }
}

/// A shard's end of the network in memory, which says when it has something.
pub(super) struct SimWire {
    pub(super) inner: MemoryWire,
    pub(super) ready: Rc<Cell<bool>>,
    /// Set when connections to the exchange may have something for it.
    pub(super) outgoing: Rc<Cell<bool>>,
    /// It has opened connections of its own.
    pub(super) dials: bool,
}

impl Wire for SimWire {
    fn poll(&mut self, now_ns: u64, events: &mut impl WireEvents) -> io::Result<usize> {
        self.ready.set(false);
        if self.dials {
            self.outgoing.set(true);
        }
        self.inner.poll(now_ns, events)
    }
    fn send(&mut self, conn: ConnId, bytes: &[u8]) -> Result<(), SendError> {
        self.inner.send(conn, bytes)
    }
    fn send_shared(&mut self, conn: ConnId, bytes: &Rc<[u8]>) -> Result<(), SendError> {
        self.inner.send_shared(conn, bytes)
    }
    fn connect(&mut self, to: SocketAddr, from: Option<IpAddr>) -> Result<ConnId, ConnectError> {
        self.dials = true;
        self.outgoing.set(true);
        self.inner.connect(to, from)
    }
    fn set_patience(&mut self, conn: ConnId, patience: Patience) {
        self.inner.set_patience(conn, patience);
    }
    fn output(&mut self, conn: ConnId) -> Option<&mut Vec<u8>> {
        self.inner.output(conn)
    }
    fn queued_bytes(&self, conn: ConnId) -> usize {
        self.inner.queued_bytes(conn)
    }
    fn close(&mut self, conn: ConnId) {
        self.inner.close(conn);
    }
    fn abort(&mut self, conn: ConnId) {
        self.inner.abort(conn);
    }
    fn pause(&mut self, conn: ConnId) {
        self.inner.pause(conn);
    }
    fn resume(&mut self, conn: ConnId) {
        self.inner.resume(conn);
    }
    fn stop_accepting(&mut self) {
        self.inner.stop_accepting();
    }
    fn connections(&self) -> usize {
        self.inner.connections()
    }
    fn descriptor(&self) -> RawFd {
        NETWORK
    }
    fn has_work(&mut self) -> bool {
        self.inner.has_work()
    }
    fn next_deadline_ns(&self) -> Option<u64> {
        self.inner.next_deadline_ns()
    }
    fn metrics(&self) -> WireMetrics {
        self.inner.metrics()
    }
}

/// The clients' end of a shard's network in one life of the server.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) network: MemoryNetwork,
    /// Set when the shard has something to look at.
    pub(super) ready: Rc<Cell<bool>>,
}

impl Line {
    pub(super) fn connect(&self, address: SocketAddr) -> PeerId {
        self.ready.set(true);
        self.network.connect(address)
    }
    pub(super) fn write(&self, peer: PeerId, bytes: &[u8]) {
        self.network.write(peer, bytes);
        self.ready.set(true);
    }
    pub(super) fn read(&self, peer: PeerId) -> Vec<u8> {
        let bytes = self.network.read(peer);
        if !bytes.is_empty() {
            self.ready.set(true);
        }
        bytes
    }
    pub(super) fn reset(&self, peer: PeerId) {
        self.network.reset(peer);
        self.ready.set(true);
    }
    pub(super) fn set_window(&self, peer: PeerId, bytes: usize) {
        self.network.set_window(peer, bytes);
        self.ready.set(true);
    }
    /// The next connection that the shard opens.
    pub(super) fn dialled(&self) -> Option<PeerId> {
        self.network.dialled().map(|(peer, _)| peer)
    }
    pub(super) fn take(&self, peer: PeerId) {
        self.network.take(peer);
        self.ready.set(true);
    }
    pub(super) fn end(&self, peer: PeerId) {
        self.network.end(peer);
        self.ready.set(true);
    }
    pub(super) fn forget(&self, peer: PeerId) {
        self.network.forget(peer);
        self.ready.set(true);
    }
    pub(super) fn has_news(&self, peer: PeerId) -> bool {
        self.network.unread_bytes(peer) > 0 || self.network.is_closed(peer)
    }
}
