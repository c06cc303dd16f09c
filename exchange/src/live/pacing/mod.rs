//! Egress pacing: what may be sent to an exchange, when, and by whom first. Without I/O.
//!
//! * [`limits`]: the exchanges' numbers. [`purpose`]: what a request is for, and how much of every budget
//!   that may use.
//! * [`address`]: the budget of (venue, egress address) that all shards share; `lease`: a shard's part of it.
//! * `account`: the budgets of (venue, account, group). `window`, `ring`: counting in fixed and in rolling
//!   windows.
//! * [`circuit`]: whether anything may be sent to (venue, address) at all. [`clock`]: the exchange's clock.
//! * [`retry`]: when to try again. [`shuffle`]: in which order a fan-out leaves.
//!
//! **Runs on**: a [`Pacer`] per (shard, venue, egress address); it shares an [`AddressBudget`] with those of
//! other shards.
//! **Invariants**: no window of the exchange is exceeded by what is admitted, whatever the order of calls
//! (CASES.md, R1); nothing is admitted while the address is stopped (R2); a fifth of every budget is out of
//! reach for opens. Budgets of the address and of accounts are two things: a request needs both, and a breach
//! of one stops nothing of the other (R4).
//! **Bounds**: no allocation per request. A request that costs the address nothing, or is paid from the
//! stock, writes no memory that other shards read.
//! **Never**: waits, reads a clock or keeps a queue: whoever asks keeps what has to wait, and asks for closes
//! first.

pub mod address;
pub mod circuit;
pub mod clock;
pub mod limits;
pub mod purpose;
pub mod retry;
pub mod shuffle;

mod account;
mod lease;
mod ring;
mod window;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use engine::core::ids::Timestamp;
use planted::planted;

use super::protocol::{AccountUse, Cost, FailureKind, LimitScope, Used};
pub use account::AccountSlot;
use account::{Accounts, Booking, Heard};
pub use address::AddressBudget;
use circuit::{CircuitReason, Look};
use clock::VenueClock;
pub use lease::{IDLE_MICROS, LOOK_MICROS};
use lease::{Lease, Moment, Short};
use limits::Span;
pub use purpose::Purpose;
use window::{Place, SKEW_MICROS};

/// By so much the clocks of hosts and exchanges usually differ at most, in microseconds.
const UNMEASURED_MICROS: u64 = 20_000_000;

/// Something that is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Whose; `None` for public questions.
    pub account: Option<AccountSlot>,
    /// What it costs.
    pub cost: Cost,
    /// What it is for.
    pub purpose: Purpose,
    /// Whether it goes over a trade socket rather than by HTTP.
    pub is_socket: bool,
}

/// What is said to a [`Request`].
#[derive(Clone, Copy, Debug)]
pub enum Admission {
    /// Sign it and send it, now. The pass is handed back when it ended: to [`Pacer::answered`],
    /// [`Pacer::unreachable`] or [`Pacer::withdrawn`], exactly once.
    Go(Pass),
    /// Not now: ask again then.
    Wait(Timestamp),
    /// Not at all; asking again helps only where a time is named.
    Refused(Refusal),
}

/// Why a request is not admitted and should not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The exchange banned the address. Only opens are told so; everything else waits.
    #[error("the exchange banned this server's address until {} ms", until.millis())]
    Banned {
        /// Until when, on the shard's clock.
        until: Timestamp,
    },
    /// The exchange does not answer. Only opens are told so; everything else waits.
    #[error("the exchange does not answer ({reason:?}); next attempt at {} ms", until.millis())]
    CircuitOpen {
        /// Until when at least, on the shard's clock.
        until: Timestamp,
        /// What was seen.
        reason: CircuitReason,
    },
    /// It needs an account, and the slot is not that of an open one.
    #[error("no such account at this pacer")]
    UnknownAccount,
    /// It costs more than its purpose may ever use: a mistake of ours.
    #[error("the request costs more than a whole window allows")]
    TooLarge,
}

/// The right to send one request, and what has to be booked when it ended.
#[derive(Clone, Copy, Debug)]
#[must_use = "the budgets and the circuit have to learn how it ended"]
pub struct Pass {
    sent: Moment,
    booking: Option<Booking>,
    address: u32,
    is_socket: bool,
    probe: u64,
}

impl Pass {
    /// Whether it is the one request that finds out whether the exchange is there again.
    #[must_use]
    pub const fn is_probe(&self) -> bool {
        self.probe != 0
    }
}

/// Says what a shard may send from an address to a venue. See the file's head.
#[derive(Debug)]
pub struct Pacer {
    shared: Arc<AddressBudget>,
    http: Lease,
    socket: Lease,
    accounts: Accounts,
    clock: VenueClock,
}

impl Pacer {
    /// A pacer without accounts.
    #[must_use]
    pub fn new(shared: Arc<AddressBudget>) -> Self {
        let accounts = Accounts::new(shared.limits().accounts);
        Self { shared, http: Lease::new(), socket: Lease::new(), accounts, clock: VenueClock::default() }
    }

    /// A slot for another account, or `None` when there are [`limits::ACCOUNTS_MAX`]. An account that gets
    /// another key keeps its slot: the exchange counts the account.
    pub fn open_account(&mut self) -> Option<AccountSlot> {
        self.accounts.open()
    }

    /// Gives a slot back.
    pub fn close_account(&mut self, slot: AccountSlot) {
        self.accounts.close(slot);
    }

    /// The exchange's clock.
    #[must_use]
    pub const fn clock(&self) -> &VenueClock {
        &self.clock
    }

    /// The exchange's clock, for measurements.
    pub const fn clock_mut(&mut self) -> &mut VenueClock {
        &mut self.clock
    }

    /// The address for people and metrics.
    #[must_use]
    pub fn view(&self, now: Timestamp) -> address::AddressView {
        self.shared.view(now, self.clock.venue_micros(now))
    }

    /// Until when the exchange wants nothing from this address: it is banned, or its budget is used up. `None`: it is not so.
    #[must_use]
    pub fn stopped_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.shared.circuit().stopped_until(now)
    }

    /// Whether nothing at all may be sent: the address is banned or its budget is used up, and nobody is finding out whether that is
    /// over.
    #[must_use]
    pub fn is_shut_out(&self, now: Timestamp) -> bool {
        self.shared.circuit().is_shut(now)
    }

    /// Whether a request may be sent now. `now` is the shard's clock.
    pub fn admit(&mut self, now: Timestamp, request: &Request) -> Admission {
        let at = self.moment(now);
        let purpose = request.purpose;
        let look = self.shared.circuit().look(now, purpose);
        match look {
            Look::Clear | Look::HalfOpen(_) => {}
            Look::Wait(until) => return Admission::Wait(until),
            Look::Refused(until, CircuitReason::Banned) => {
                return Admission::Refused(Refusal::Banned { until });
            }
            Look::Refused(until, reason) => {
                return Admission::Refused(Refusal::CircuitOpen { until, reason });
            }
        }
        let mut booking = None;
        let mut index = 0;
        if let Some(group) = account::place_of(request.cost.group) {
            let Some((slot, found)) =
                request.account.and_then(|slot| Some((slot, self.accounts.index(slot)?)))
            else {
                return Admission::Refused(Refusal::UnknownAccount);
            };
            index = found;
            let units = request.cost.account;
            if let Err(short) = self.accounts.may(index, at, group, units, purpose)
                && !planted!("limits_of_accounts_not_counted")
            {
                return short.into();
            }
            booking = Some(Booking { slot, group, units });
        }
        let mut probe = 0;
        if let Look::HalfOpen(seen) = look {
            match self.shared.circuit().claim(now, seen) {
                Some(word) => probe = word,
                None => return Admission::Wait(now.plus_micros(circuit::PROBE_LOOK_MICROS)),
            }
        }
        let shards = self.shared.shards();
        let pool = self.shared.pool(request.is_socket);
        let lease = if self.has_own_socket(request.is_socket) { &mut self.socket } else { &mut self.http };
        if let Err(short) = lease.spend(pool, shards, at, purpose, request.cost.address) {
            if probe != 0 {
                self.shared.circuit().release(now, probe);
            }
            return short.into();
        }
        if let Some(booking) = booking {
            self.accounts.sends(index, at, booking.group, booking.units);
        }
        Admission::Go(Pass {
            sent: at,
            booking,
            address: request.cost.address,
            is_socket: request.is_socket,
            probe,
        })
    }

    /// A request ended: what the answer says about budgets, and the failure, if it is one. No answer is a
    /// failure too: [`FailureKind::Unknown`].
    pub fn answered(&mut self, now: Timestamp, pass: Pass, used: Used, failure: Option<&FailureKind>) {
        let at = self.moment(now);
        if let Some(booking) = pass.booking {
            let heard = used.account.map(|usage| Heard { usage, resets_at: self.resets_at(usage) });
            self.accounts.answered(booking, pass.sent, at, heard);
        }
        if let Some(total) = used.address {
            self.heard_address(pass, at, total);
        }
        let circuit = self.shared.circuit();
        match failure {
            Some(FailureKind::Unknown) => {
                circuit.failed(now, pass.sent.now, pass.probe, CircuitReason::Unknown);
            }
            Some(FailureKind::Unreadable) if pass.is_probe() => {
                circuit.failed(now, pass.sent.now, pass.probe, CircuitReason::Unknown);
            }
            // Something came, but not from what we know as the exchange: it proves neither.
            Some(FailureKind::Unreadable) => {}
            Some(FailureKind::Banned { until }) => {
                let rule = self.shared.limits().ban;
                // By a clock that was never measured nobody knows what has been over for long: then no end was told.
                let is_measured = self.clock.view().uncertain_micros.is_some();
                let is_near = |told: &Timestamp| now.micros_since(*told) <= UNMEASURED_MICROS;
                let told = self.told(*until).filter(|told| is_measured || is_near(told));
                circuit.banned(now, pass.sent.now, told, rule, pass.probe);
                if told.is_some_and(|told| told <= now) {
                    // A ban that is over by what we take for the exchange's clock.
                    self.clock.refuted(now);
                }
            }
            Some(FailureKind::Limited { scope: LimitScope::Address, until }) => {
                let span = self.shared.pool(pass.is_socket).limit().span;
                let guess = match span {
                    Span::Fixed { micros } => Place::ends_in(at.venue_micros, micros),
                    Span::Rolling { micros } => micros,
                };
                let most = now.plus_micros(self.shared.limits().ban.most_micros);
                let until = match self.told(*until) {
                    Some(told) if told > now => told.plus_micros(SKEW_MICROS).min(most),
                    _ => now.plus_micros(guess),
                };
                if planted!("sending_goes_on_after_a_429") {
                    return circuit.answered(pass.probe);
                }
                circuit.limited(now, until, pass.probe);
            }
            Some(FailureKind::Limited { scope: LimitScope::Account, until }) => {
                circuit.answered(pass.probe);
                let told = self.told(*until);
                if let Some(booking) = pass.booking.filter(|_| !planted!("limit_of_an_account_not_obeyed")) {
                    self.accounts.stopped(booking, pass.sent.now, at, told);
                }
            }
            Some(FailureKind::Clock) => {
                circuit.answered(pass.probe);
                self.clock.refuted(now);
            }
            _ => circuit.answered(pass.probe),
        }
    }

    /// A socket that was dialled then was refused: a ban or a limit of the address stops everything, as if a request had been told.
    /// What else is said is the socket's own affair.
    pub fn told_at_a_dial(&mut self, now: Timestamp, dialled_at: Timestamp, failure: &FailureKind) {
        let of_the_address = matches!(
            failure,
            FailureKind::Banned { .. } | FailureKind::Limited { scope: LimitScope::Address, .. }
        );
        if of_the_address {
            let sent = self.moment(dialled_at);
            let pass = Pass { sent, booking: None, address: 0, is_socket: false, probe: 0 };
            self.answered(now, pass, Used::default(), Some(failure));
        }
    }

    /// No connection could be made for a request, so nothing was sent: its units come back, and the circuit
    /// learns of it.
    pub fn unreachable(&mut self, now: Timestamp, pass: Pass) {
        self.give_back(pass);
        self.shared.circuit().failed(now, pass.sent.now, pass.probe, CircuitReason::Unreachable);
    }

    /// A request was not sent, for a reason of ours: its units come back.
    pub fn withdrawn(&mut self, now: Timestamp, pass: Pass) {
        self.give_back(pass);
        if pass.is_probe() {
            self.shared.circuit().release(now, pass.probe);
        }
    }

    /// Gives back what this shard holds and does not need. To be called when [`Pacer::next_due`] is over.
    pub fn settle(&mut self, now: Timestamp) {
        let at = self.moment(now);
        self.http.settle(self.shared.pool(false), at);
        if self.has_own_socket(true) {
            self.socket.settle(self.shared.pool(true), at);
        }
    }

    /// When [`Pacer::settle`] has something to do; `None`: not before the next request.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        let http = self.http.next_due(self.shared.pool(false));
        let socket = self.socket.next_due(self.shared.pool(true));
        [http, socket].into_iter().flatten().min()
    }

    /// The exchange's count of the address says how much others use it. What shards hold in advance may still
    /// come on top.
    fn heard_address(&self, pass: Pass, at: Moment, total: u32) {
        let pool = self.shared.pool(pass.is_socket);
        let Span::Fixed { .. } = pool.limit().span else { return };
        let place = pool.place(at.venue_micros);
        if pool.place(pass.sent.venue_micros).window == place.window {
            let others = (self.shared.shards() - 1) * pool.lease();
            pool.raise(place, total.saturating_add(self.http.held() + others));
        }
    }

    fn give_back(&mut self, pass: Pass) {
        if let Some(booking) = pass.booking {
            self.accounts.withdrawn(booking, pass.sent);
        }
        let pool = self.shared.pool(pass.is_socket);
        let lease = if self.has_own_socket(pass.is_socket) { &mut self.socket } else { &mut self.http };
        lease.unspend(pool, pass.sent, pass.address);
    }

    fn has_own_socket(&self, is_socket: bool) -> bool {
        is_socket && self.shared.limits().socket.is_some()
    }

    fn moment(&self, now: Timestamp) -> Moment {
        Moment { now, venue_micros: self.clock.venue_micros(now) }
    }

    /// A time that the exchange told, on the shard's clock: rather later than it is, as far as that is not known.
    fn told(&self, until: super::protocol::Millis) -> Option<Timestamp> {
        let unsure = self.clock.view().uncertain_micros.unwrap_or(0);
        (until.0 > 0).then(|| self.clock.local(until).plus_micros(unsure))
    }

    fn resets_at(&self, usage: AccountUse) -> Timestamp {
        match usage {
            AccountUse::Left { resets_at, .. } => self.clock.local(resets_at),
            AccountUse::Used(_) => Timestamp(0),
        }
    }
}

impl From<Short> for Admission {
    fn from(short: Short) -> Self {
        match short {
            Short::Until(at) => Self::Wait(at),
            Short::ForEver => Self::Refused(Refusal::TooLarge),
        }
    }
}
