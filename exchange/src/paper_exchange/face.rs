//! What a face (a protocol) is to the paper exchange, and what it is given to work with.

use std::collections::BTreeMap;
use std::net::IpAddr;

use engine::core::ids::Timestamp;
use engine::core::instrument::Symbol;

use super::accounts::AccountNo;
use super::core::Core;
use super::events::Event;
use super::faults::{Faults, StreamFault, Whose};
use super::limits::Breaches;
use super::transport::{HttpAnswer, HttpIn, SocketOut};

/// A WebSocket connection, as the transport numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnNo(pub u64);

/// Messages that wait to be sent on one connection; beyond it the connection is closed (1008), as exchanges do with slow
/// readers.
pub const WAITING_MAX: usize = 20_000;
/// How long an event that is to be reordered is held back: those that follow within it overtake it.
const REORDER_MICROS: u64 = 50_000;

/// What is to be sent over WebSockets, and when.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: BTreeMap<(Timestamp, u64), (ConnNo, SocketOut)>,
    counts: BTreeMap<ConnNo, usize>,
    next: u64,
    /// The caller's time.
    now: Timestamp,
    /// Answers on this connection are swallowed: a fault answers instead.
    pub(super) muted: Option<ConnNo>,
    /// Answers are sent so much later.
    pub(super) delay_micros: u64,
}

impl Outbox {
    pub(super) fn set_time(&mut self, now: Timestamp) {
        self.now = now;
    }

    fn put(&mut self, conn: ConnNo, after_micros: u64, out: SocketOut) {
        let count = self.counts.entry(conn).or_default();
        if *count > WAITING_MAX {
            return;
        }
        *count += 1;
        let full = *count > WAITING_MAX;
        let out = if full { SocketOut::Close(1008) } else { out };
        self.next += 1;
        self.waiting.insert((self.now.plus_micros(after_micros), self.next), (conn, out));
    }

    /// Answers a request that came over a WebSocket.
    pub fn answer(&mut self, conn: ConnNo, text: String) {
        if self.muted != Some(conn) {
            self.put(conn, self.delay_micros, SocketOut::Text(text));
        }
    }

    /// Closes a connection, after what waits on it.
    pub fn close(&mut self, conn: ConnNo, code: u16) {
        self.put(conn, 0, SocketOut::Close(code));
    }

    /// Sends a ping of the protocol.
    pub fn ping(&mut self, conn: ConnNo) {
        self.put(conn, 0, SocketOut::Ping);
    }

    pub(super) fn break_off(&mut self, conn: ConnNo) {
        self.put(conn, 0, SocketOut::Drop);
    }

    fn event(&mut self, conn: ConnNo, text: String, fault: Option<StreamFault>) {
        match fault {
            None => self.put(conn, 0, SocketOut::Text(text)),
            // The end of the key is told instead.
            Some(StreamFault::Lose | StreamFault::ExpireListenKey) => {}
            Some(StreamFault::Duplicate) => {
                self.put(conn, 0, SocketOut::Text(text.clone()));
                self.put(conn, 0, SocketOut::Text(text));
            }
            Some(StreamFault::Reorder) => self.put(conn, REORDER_MICROS, SocketOut::Text(text)),
            Some(StreamFault::Withhold { ms }) => {
                self.put(conn, ms.saturating_mul(1_000), SocketOut::Text(text));
            }
            Some(StreamFault::Drop) => self.break_off(conn),
        }
    }

    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<(ConnNo, SocketOut)> {
        let first = self.waiting.first_entry().filter(|first| first.key().0 <= now)?;
        let (conn, out) = first.remove();
        if let Some(count) = self.counts.get_mut(&conn) {
            *count = count.saturating_sub(1);
        }
        Some((conn, out))
    }

    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.waiting.first_key_value().map(|(key, _)| key.0)
    }

    pub(super) fn forget(&mut self, conn: ConnNo) {
        self.counts.remove(&conn);
        self.waiting.retain(|_, (to, _)| *to != conn);
    }
}

/// What a face works with during a call.
pub struct Desk<'a> {
    /// The exchange. Its time ([`Core::now`]) is set.
    pub core: &'a mut Core,
    /// Where WebSocket messages go.
    pub out: &'a mut Outbox,
    pub(super) faults: &'a mut Faults,
    /// The caller's time: limits and connections live by it, and never by the skewed clock.
    pub now: Timestamp,
}

impl Desk<'_> {
    /// Sends an event of a stream; `name` is what a rule of faults knows it by (`ORDER_TRADE_UPDATE`, `order`). Faults of
    /// streams apply to it, and strike `whose` it is.
    pub fn push(&mut self, conn: ConnNo, whose: Whose, name: &str, text: String) {
        let fault = self.faults.of_event(name, whose);
        self.out.event(conn, text, fault);
    }
}

/// How a request is to fail; the face has the words for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultAnswer {
    /// HTTP 503, outcome not known (EXCHANGES.md §2.8).
    Unknown,
    /// HTTP 503, certainly not executed.
    Unavailable,
    /// HTTP 503, overload: certainly not executed.
    Overload,
    /// An error of the exchange with this code (-1007, 10000, 10016 …).
    Code(i64),
}

/// A protocol.
pub trait Face {
    /// What a rule of faults knows a request by: `POST /fapi/v1/order`.
    fn kind(&self, call: &HttpIn) -> String {
        format!("{} {}", call.method, call.path())
    }
    /// The same for a message over a WebSocket: `order.place`, `order.create`; empty when it has none.
    fn kind_of_message(&self, text: &str) -> String;
    /// Whose request this is, as far as it says so itself: nothing of it has been checked.
    fn account_of(&self, core: &Core, call: &HttpIn) -> Option<AccountNo>;
    /// The same for a message over a WebSocket.
    fn account_of_message(&self, core: &Core, conn: ConnNo, text: &str) -> Option<AccountNo>;
    /// How often its limits were exceeded so far.
    fn breaches(&self) -> Breaches;
    /// Shuts an address out for so long, in microseconds, as if it had gone on beyond a limit.
    fn ban(&mut self, now: Timestamp, from: IpAddr, micros: u64);
    /// Until when it is shut out; `None`: it is not.
    fn banned_until(&self, now: Timestamp, from: IpAddr) -> Option<Timestamp>;
    /// Answers a request.
    fn http(&mut self, desk: &mut Desk<'_>, from: IpAddr, call: &HttpIn) -> HttpAnswer;
    /// What a failing request is answered with.
    fn fault(&self, call: &HttpIn, fault: &FaultAnswer) -> HttpAnswer;
    /// What a failing request over a WebSocket is answered with; `None`: nothing is.
    fn fault_of_message(&self, text: &str, fault: &FaultAnswer) -> Option<String>;
    /// A WebSocket is to be opened on this path (with its query).
    ///
    /// # Errors
    /// What is answered instead.
    fn socket_open(
        &mut self,
        desk: &mut Desk<'_>,
        from: IpAddr,
        conn: ConnNo,
        target: &str,
    ) -> Result<(), HttpAnswer>;
    /// A text message came over a WebSocket.
    fn socket_message(&mut self, desk: &mut Desk<'_>, from: IpAddr, conn: ConnNo, text: &str);
    /// A WebSocket has ended.
    fn socket_closed(&mut self, conn: ConnNo);
    /// Something happened to an account of this face.
    fn event(&mut self, desk: &mut Desk<'_>, event: &Event);
    /// The price of a symbol changed.
    fn moved(&mut self, desk: &mut Desk<'_>, symbol: Symbol);
    /// What time brings: keys that end, pings, connections that have lived too long.
    fn tick(&mut self, desk: &mut Desk<'_>);
    /// When [`Face::tick`] has something to do, by the caller's clock.
    fn next_due(&self) -> Option<Timestamp>;
}
