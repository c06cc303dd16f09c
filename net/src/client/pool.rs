//! The calls of a shard, and the connections they share.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use super::connection::Connection;
use super::{
    CallId, Finished, NotSent, Origin, OriginError, OriginId, OriginMetrics, Outcome, Refused, Request,
    Urgency, origin,
};
use crate::http::answer::{ANSWER_HEADERS_MAX, AnswerLimits};
use crate::wire::ConnId;

/// Bounds of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// Calls accepted whose outcome has not been taken; one more is refused. 4096: more than all origins of a shard
    /// hold with their usual limits.
    pub calls_max: usize,
    /// One request, in bytes; less than the wire's `output_bytes_max`. 256 KiB: a batch of orders is a few KiB.
    pub request_bytes_max: usize,
    /// One answer; a call may set its own `body_bytes_max`.
    pub answer: AnswerLimits,
    /// Origins. 256: each exchange from each source address.
    pub origins_max: usize,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self {
            calls_max: 4096,
            request_bytes_max: 256 << 10,
            answer: AnswerLimits::default(),
            origins_max: 256,
        }
    }
}

/// A call without an outcome.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) origin: OriginId,
    pub(super) urgency: Urgency,
    pub(super) bytes: Vec<u8>,
    pub(super) to_head: bool,
    pub(super) answer_bytes_max: usize,
    pub(super) deadline_ns: u64,
    /// The address its first connection was begun to.
    pub(super) first_address: Option<usize>,
    /// Addresses that failed for it.
    pub(super) failures: usize,
    /// A connection is on its way for it.
    pub(super) dialling: bool,
    /// A kept connection failed it: only a new one will do.
    pub(super) wants_new: bool,
}

/// An origin and its queue.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) origin: Origin,
    /// By urgency, and within one in the order of their ids.
    pub(super) waiting: VecDeque<CallId>,
    /// All its connections, and those of them that are on their way.
    pub(super) connections: usize,
    pub(super) opening: usize,
    /// The address that worked last.
    pub(super) preferred: usize,
    pub(super) metrics: OriginMetrics,
}

impl Server {
    /// How many connections may carry usual calls.
    pub(super) const fn usual_max(&self) -> usize {
        self.origin.limits.connections_max - self.origin.limits.connections_kept
    }
}

/// Calls and connections. See the module's contract.
///
/// The owner of the wire routes the events of connections that the pool [owns](Pool::owns) to it, calls
/// [`Pool::tick`] after each poll of the wire (and after its calls), and takes what is finished.
#[derive(Debug)]
pub struct Pool {
    pub(super) limits: PoolLimits,
    pub(super) servers: Vec<Server>,
    pub(super) connections: BTreeMap<ConnId, Connection>,
    pub(super) calls: BTreeMap<CallId, Call>,
    pub(super) finished: VecDeque<Finished>,
    next_call: u64,
    /// Something happened since the last tick.
    pub(super) changed: bool,
    /// When something is due although nothing happens.
    pub(super) due_ns: Option<u64>,
    /// Memory of the tick.
    pub(super) turn: Vec<ConnId>,
}

impl Pool {
    /// A pool without origins.
    ///
    /// # Panics
    /// When `limits` admit more headers than [`ANSWER_HEADERS_MAX`].
    #[must_use]
    pub fn new(limits: PoolLimits) -> Self {
        assert!(limits.answer.headers_max <= ANSWER_HEADERS_MAX, "headers_max is at most ANSWER_HEADERS_MAX");
        Self {
            limits,
            servers: Vec::new(),
            connections: BTreeMap::new(),
            calls: BTreeMap::new(),
            finished: VecDeque::new(),
            next_call: 0,
            changed: false,
            due_ns: None,
            turn: Vec::new(),
        }
    }

    /// Adds a server.
    ///
    /// # Errors
    /// [`OriginError`].
    pub fn register(&mut self, origin: Origin) -> Result<OriginId, OriginError> {
        origin.check()?;
        let id = u32::try_from(self.servers.len()).map_err(|_| OriginError::Full)?;
        if self.servers.len() >= self.limits.origins_max {
            return Err(OriginError::Full);
        }
        self.servers.push(Server {
            origin,
            waiting: VecDeque::new(),
            connections: 0,
            opening: 0,
            preferred: 0,
            metrics: OriginMetrics::default(),
        });
        Ok(OriginId(id))
    }

    /// Replaces the addresses of a server. Connections to others end with the call they carry.
    ///
    /// # Errors
    /// [`OriginError::Addresses`]; the old ones stay.
    pub fn set_addresses(&mut self, id: OriginId, addresses: Vec<SocketAddr>) -> Result<(), OriginError> {
        origin::check_addresses(&addresses)?;
        let server = self.server(id);
        server.origin.addresses = addresses;
        server.preferred = 0;
        for call in self.calls.values_mut().filter(|call| call.origin == id) {
            call.first_address = None;
            call.failures = 0;
        }
        self.changed = true;
        Ok(())
    }

    /// A server as it was registered.
    #[must_use]
    pub fn origin(&self, id: OriginId) -> &Origin {
        &self.servers[id.0 as usize].origin
    }

    /// Counters of a server.
    #[must_use]
    pub fn metrics(&self, id: OriginId) -> OriginMetrics {
        self.servers[id.0 as usize].metrics
    }

    /// Accepts a call. Its bytes are given to a connection at a tick before `deadline_ns`, or not at all; when it has
    /// no complete answer at a tick from then on, it ends. One [`Outcome`] follows.
    ///
    /// # Errors
    /// [`Refused`]; nothing follows.
    pub fn call(&mut self, id: OriginId, request: &Request<'_>, deadline_ns: u64) -> Result<CallId, Refused> {
        let accepted = self.accept(id, request, deadline_ns);
        let metrics = &mut self.server(id).metrics;
        match accepted {
            Ok(_) => metrics.calls += 1,
            Err(_) => metrics.refused += 1,
        }
        accepted
    }

    fn accept(&mut self, id: OriginId, request: &Request<'_>, deadline_ns: u64) -> Result<CallId, Refused> {
        let PoolLimits { calls_max, request_bytes_max: bytes_max, answer, .. } = self.limits;
        if self.calls.len() + self.finished.len() >= calls_max {
            return Err(Refused::PoolFull(calls_max));
        }
        let urgency = request.urgency;
        let server = &self.servers[id.0 as usize];
        let waiting_max = server.origin.limits.waiting_max;
        let waiting = server.waiting.iter().filter(|call| self.calls[call].urgency == urgency).count();
        if waiting >= waiting_max {
            return Err(Refused::QueueFull(waiting_max));
        }
        let bytes = request.encode(&server.origin.host)?;
        if bytes.len() > bytes_max {
            return Err(Refused::TooLarge { bytes: bytes.len(), bytes_max });
        }
        let call = CallId(self.next_call);
        self.next_call += 1;
        self.calls.insert(
            call,
            Call {
                origin: id,
                urgency,
                bytes,
                to_head: request.method == "HEAD",
                answer_bytes_max: request.answer_bytes_max.unwrap_or(answer.body_bytes_max),
                deadline_ns,
                first_address: None,
                failures: 0,
                dialling: false,
                wants_new: false,
            },
        );
        self.let_wait(call);
        self.changed = true;
        Ok(call)
    }

    /// Takes back the calls of an origin that wait for a connection: nothing of them has left. Their outcome is
    /// [`NotSent::Withdrawn`].
    pub fn withdraw_waiting(&mut self, id: OriginId) {
        for call in std::mem::take(&mut self.server(id).waiting) {
            self.finish(call, Outcome::NotSent(NotSent::Withdrawn));
        }
    }

    /// The next call that has its outcome.
    pub fn take_finished(&mut self) -> Option<Finished> {
        self.finished.pop_front()
    }

    /// When the next tick is due even if nothing happens, in nanoseconds; zero when it is due now.
    #[must_use]
    pub fn next_deadline_ns(&self) -> Option<u64> {
        if self.changed { Some(0) } else { self.due_ns }
    }

    /// Calls without an outcome.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    /// Connections of all origins, those being opened or closed included.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    pub(super) fn server(&mut self, id: OriginId) -> &mut Server {
        &mut self.servers[id.0 as usize]
    }

    /// Puts a call among those that wait, at its place.
    pub(super) fn let_wait(&mut self, id: CallId) {
        let place_of = |call: &CallId| (self.calls[call].urgency, *call);
        let wanted = place_of(&id);
        let origin = self.calls[&id].origin;
        let waiting = &self.servers[origin.0 as usize].waiting;
        let place = waiting.partition_point(|call| place_of(call) < wanted);
        self.server(origin).waiting.insert(place, id);
    }

    /// Gives a call its one outcome.
    pub(super) fn finish(&mut self, id: CallId, outcome: Outcome) {
        let call = self.calls.remove(&id).expect("a call is finished once");
        let metrics = &mut self.server(call.origin).metrics;
        match outcome {
            Outcome::NotSent(_) => metrics.not_sent += 1,
            Outcome::NoAnswer(_) => metrics.no_answer += 1,
            Outcome::Answered(_) => metrics.answered += 1,
        }
        self.finished.push_back(Finished { call: id, origin: call.origin, outcome });
    }

    /// An address failed a call: when the call waits and that was the last one, it ends.
    pub(super) fn count_failure(&mut self, id: CallId, why: NotSent) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let server = &mut self.servers[call.origin.0 as usize];
        let Some(place) = server.waiting.iter().position(|waiting| *waiting == id) else { return };
        call.failures += 1;
        if call.failures >= server.origin.addresses.len() {
            server.waiting.remove(place);
            self.finish(id, Outcome::NotSent(why));
        }
    }
}
