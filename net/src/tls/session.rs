//! One TLS connection over one connection of the inner wire: buffers, rules and times, without I/O.
//!
//! **Invariants**: plaintext is delivered as a wire delivers bytes: unconsumed bytes again with what follows them, not
//! below what the consumer waits for, not while paused, the end once. After [`Session::fail`] nothing is delivered.
//! **Bounds**: the inbox by `input_bytes_max`; ciphertext that is not a whole record by [`CARRY_BYTES_MAX`].

use rustls::{CommonState, Error, HandshakeKind};

use super::ledger::Ledger;
use super::record::{Side, Step, Work};
use crate::wire::inbox::Inbox;
use crate::wire::timing::Timing;
use crate::wire::{CloseReason, ConnId, Patience, Stream, WireConfig, WireEvents};

/// Incomplete input of rustls. A record has 18 KiB at most, a handshake message in many records 64 KiB (rustls' own
/// bound) and as much again for their headers; who needs more plays games.
const CARRY_BYTES_MAX: usize = 128 << 10;

/// Where a session is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// An outgoing connection that the inner wire is making.
    Dialling,
    /// Until this moment, in nanoseconds.
    Handshaking { until_ns: u64 },
    /// The peer is known and bytes flow.
    Open,
    /// Nothing more is read or written; the inner wire is about to deliver `closed`.
    Over,
}

/// What became of arrived ciphertext.
#[derive(Default)]
pub(super) struct Intake {
    /// The handshake was completed with it.
    pub(super) established: Option<HandshakeKind>,
    /// It broke the connection.
    pub(super) failure: Option<Error>,
}

/// A TLS connection.
pub(super) struct Session {
    pub(super) conn: ConnId,
    pub(super) side: Side,
    pub(super) stage: Stage,
    /// The consumer wants it closed once what is queued was encrypted; nothing is delivered any more.
    pub(super) closing: bool,
    pub(super) paused: bool,
    pub(super) in_dirty: bool,
    pub(super) in_ready: bool,
    /// The peer's close_notify has arrived.
    pub(super) peer_closed: bool,
    /// The peer sends no more, with or without notice.
    pub(super) ended: bool,
    ended_told: bool,
    body: bool,
    wait_for: usize,
    /// Ciphertext of a record, or of a handshake message, that is not complete.
    carry: Vec<u8>,
    /// Unconsumed plaintext.
    inbox: Inbox,
    /// Plaintext to be encrypted at the next poll.
    pub(super) pending: Vec<u8>,
    pub(super) ledger: Ledger,
    timing: Timing,
    /// What the inner wire had queued when output was last handed to it.
    pub(super) queued_behind_bytes: usize,
    /// A patience that the inner wire is yet to be told of.
    pub(super) patience_wish: Option<Patience>,
    /// Why we ended it, if we did.
    pub(super) reason: Option<CloseReason>,
}

impl Session {
    pub(super) fn new(conn: ConnId, side: Side, stage: Stage, now_ns: u64, config: &WireConfig) -> Self {
        let mut session = Self {
            conn,
            side,
            stage,
            closing: false,
            paused: false,
            in_dirty: false,
            in_ready: false,
            peer_closed: false,
            ended: false,
            ended_told: false,
            body: false,
            wait_for: 0,
            carry: Vec::new(),
            inbox: Inbox::default(),
            pending: Vec::new(),
            ledger: Ledger::default(),
            timing: Timing::begin(now_ns, config),
            queued_behind_bytes: 0,
            patience_wish: None,
            reason: None,
        };
        session.set_patience(session.timing.patience);
        session
    }

    pub(super) fn is_handshaking(&self) -> bool {
        matches!(self.stage, Stage::Handshaking { .. })
    }

    /// Whether output may be queued: by the server's side before the handshake too, as on a plain connection.
    pub(super) fn is_writable(&self) -> bool {
        let begun = match self.stage {
            Stage::Handshaking { .. } => !self.side.is_client(),
            Stage::Open => true,
            Stage::Dialling | Stage::Over => false,
        };
        begun && !self.closing
    }

    /// Traffic and with it idleness is the inner wire's business; only unconsumed input is timed here.
    pub(super) fn set_patience(&mut self, patience: Patience) {
        self.timing.patience = Patience { idle_ns: u64::MAX, ..patience };
    }

    /// Ends it: nothing is delivered or sent any more.
    pub(super) fn fail(&mut self, reason: CloseReason) {
        self.stage = Stage::Over;
        self.reason = Some(reason);
        self.drop_buffers();
    }

    /// All is given to the inner wire, which closes.
    pub(super) fn finish(&mut self) {
        self.stage = Stage::Over;
        self.drop_buffers();
    }

    fn drop_buffers(&mut self) {
        self.inbox.clear();
        self.carry = Vec::new();
        self.pending = Vec::new();
    }

    /// The reason to end it now, if its time is over.
    pub(super) fn due(&self, now_ns: u64, config: &WireConfig) -> Option<CloseReason> {
        match self.stage {
            Stage::Handshaking { until_ns } if now_ns > until_ns => Some(if self.side.is_client() {
                CloseReason::ConnectTimeout
            } else {
                CloseReason::SlowRequest
            }),
            Stage::Open => self.timing.due(now_ns, config),
            Stage::Dialling | Stage::Handshaking { .. } | Stage::Over => None,
        }
    }

    /// Takes in ciphertext: `plain` receives what was decrypted, `out` what the handshake answers. `scratch` is lent.
    pub(super) fn take_in(
        &mut self,
        input: &[u8],
        scratch: &mut Vec<u8>,
        plain: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Intake {
        let was_handshaking = self.is_handshaking();
        // Whole records, the usual case, are decrypted in memory that all connections share.
        let lent = self.carry.is_empty();
        let mut incoming = if lent { std::mem::take(scratch) } else { std::mem::take(&mut self.carry) };
        incoming.extend_from_slice(input);
        let mut work = Work { out, plain, pending: &[], notify: false, ledger: &mut self.ledger };
        let mut start = 0;
        let mut failure = None;
        loop {
            let (discard, step) = self.side.step(&mut incoming[start..], &mut work);
            start += discard;
            match step {
                Step::Again => {}
                Step::Done => break,
                Step::PeerClosed => self.peer_closed = true,
                Step::Failed(error) => {
                    failure.get_or_insert(error);
                }
            }
            // A broken connection only has to say so: its input must not be looked at again.
            if failure.is_some() && !self.side.common().is_some_and(CommonState::wants_write) {
                break;
            }
        }
        let rest = incoming.len() - start;
        if rest > CARRY_BYTES_MAX {
            failure.get_or_insert_with(|| Error::General("an endless handshake message".to_owned()));
        }
        if lent {
            if rest > 0 {
                self.carry.extend_from_slice(&incoming[start..]);
            }
            incoming.clear();
            *scratch = incoming;
        } else if rest > 0 {
            incoming.drain(..start);
            self.carry = incoming;
        }
        let mut intake = Intake { failure, ..Intake::default() };
        if was_handshaking
            && let Some(common) = self.side.common()
            && !common.is_handshaking()
        {
            intake.established = common.handshake_kind();
        }
        intake
    }

    /// Begins a client's handshake, or encrypts what is queued and, when closing, says goodbye.
    pub(super) fn put_out(&mut self, plain: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<(), Error> {
        let open = self.stage == Stage::Open;
        let pending = if open { std::mem::take(&mut self.pending) } else { Vec::new() };
        let mut work =
            Work { out, plain, pending: &pending, notify: open && self.closing, ledger: &mut self.ledger };
        let mut carry = std::mem::take(&mut self.carry);
        let mut start = 0;
        let result = loop {
            let (discard, step) = self.side.step(&mut carry[start..], &mut work);
            start += discard;
            match step {
                Step::Again => {}
                Step::PeerClosed => self.peer_closed = true,
                Step::Done => break Ok(()),
                Step::Failed(error) => break Err(error),
            }
        };
        if start < carry.len() {
            carry.drain(..start);
            self.carry = carry;
        }
        if open {
            self.pending = pending;
            self.pending.clear();
        }
        result
    }

    /// Plaintext flows from now on.
    pub(super) fn open(&mut self, now_ns: u64, config: &WireConfig) {
        let patience = self.timing.patience;
        self.timing = Timing { patience, ..Timing::begin(now_ns, config) };
        self.stage = Stage::Open;
    }

    /// Delivers what was decrypted, as far as the consumer wants it.
    pub(super) fn deliver(
        &mut self,
        plain: &[u8],
        now_ns: u64,
        config: &WireConfig,
        events: &mut impl WireEvents,
    ) {
        let ends = self.ended && !self.ended_told;
        if self.paused || self.in_ready {
            self.inbox.append(plain);
            return;
        }
        if plain.is_empty() && !ends || self.inbox.len() + plain.len() < self.wait_for && !self.ended {
            self.inbox.append(plain);
            return self.note(now_ns, 0);
        }
        self.ended_told |= self.ended;
        let waiting = !self.inbox.is_empty();
        if waiting {
            self.inbox.append(plain);
        }
        let input = if waiting { self.inbox.as_slice() } else { plain };
        let mut stream = Stream::new(input, &mut self.pending, self.ended)
            .behind(self.queued_behind_bytes)
            .ended_in(self.peer_closed);
        events.received(self.conn, &mut stream);
        let wishes = stream.into_wishes();
        if waiting {
            self.inbox.consume(wishes.consumed);
        } else if wishes.consumed < plain.len() {
            self.inbox.append(&plain[wishes.consumed..]);
        }
        let rest = self.inbox.len();
        self.wait_for = wishes.wait_for.min(config.input_bytes_max);
        self.body = wishes.body;
        self.paused = wishes.pause;
        if wishes.pause && rest > 0 {
            // What is left must be offered again after the pause although nothing new will arrive.
            self.ended_told = false;
        }
        if let Some(patience) = wishes.patience {
            self.set_patience(patience);
            self.patience_wish = Some(patience);
        }
        self.note(now_ns, wishes.consumed);
        if wishes.close {
            self.begin_close();
        } else if rest >= config.input_bytes_max && !wishes.pause {
            self.fail(CloseReason::InputOverflow);
        }
    }

    /// The consumer wants no more of it.
    pub(super) fn begin_close(&mut self) {
        self.closing = true;
        self.inbox.clear();
        self.timing.partial_since_ns = None;
    }

    /// Keeps the times of unconsumed input: plaintext, and records that are not complete.
    fn note(&mut self, now_ns: u64, consumed: usize) {
        let rest = self.inbox.len() + self.carry.len();
        self.timing.delivered(now_ns, consumed, rest, self.paused, self.body);
    }

    pub(super) fn pause(&mut self) {
        self.paused = true;
        self.timing.partial_since_ns = None;
    }

    /// Ends a pause. What waits is delivered by [`Session::deliver_again`].
    pub(super) fn resume(&mut self, now_ns: u64) {
        self.paused = false;
        self.wait_for = 0;
        if !self.inbox.is_empty() || !self.carry.is_empty() {
            self.timing.partial_since_ns = Some(now_ns);
        }
    }

    /// Delivers what waited for the end of a pause.
    pub(super) fn deliver_again(&mut self, now_ns: u64, config: &WireConfig, events: &mut impl WireEvents) {
        self.in_ready = false;
        let waits = !self.inbox.is_empty() || self.ended && !self.ended_told;
        if self.stage != Stage::Open || self.closing || self.paused || !waits {
            return;
        }
        let waiting = std::mem::take(&mut self.inbox);
        self.deliver(waiting.as_slice(), now_ns, config, events);
    }
}
