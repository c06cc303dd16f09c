//! Spans in which the exchange takes nothing from us: bans, and limits that were reached.
//!
//! **Checks**, at every turn: who was told of one sends nothing that it is about until it ends; what was on its way when the answer
//! came is no fault.

use engine::core::ids::Timestamp;

use super::{SECOND, Spoken, World};
use exchange::paper_exchange::FaceKind;

/// What was on its way when the first answer left has arrived by then, and the answer with us, in microseconds.
const TOLD: u64 = SECOND;
/// Who is told an end goes on by so much later at most: whole seconds, and clocks that differ.
const LATE: u64 = SECOND + SECOND / 4;
/// How long Bybit shuts an address out, which it does not tell (EXCHANGES.md §3.3).
const BAN_BYBIT: u64 = 600 * SECOND;

/// See the module's head.
#[derive(Default)]
pub struct Shut {
    /// Nothing is taken before.
    ends: Timestamp,
    /// Nobody can protect or close anything before: who is not told the end, waits longer.
    until: Timestamp,
    /// How long somebody waits who is not told the end.
    waits: u64,
    told_at: Option<Timestamp>,
    /// It is about everything of our address, and not of one account.
    of_address: bool,
    /// Rules of faults say that a limit of so long a span was reached, in microseconds; zero: none do.
    by_rule: u64,
    refused: u64,
    sent: u64,
}

impl Shut {
    pub const fn until(&self) -> Timestamp {
        self.until
    }

    fn begin(&mut self, ends: Timestamp, of_address: bool, waits: u64) {
        *self = Self { ends, until: ends.plus_micros(LATE), waits, of_address, told_at: None, ..*self };
    }
}

impl<P: Spoken> World<P> {
    /// The exchange shuts our address out for so long. Binance tells the end; Bybit does not, and it is ten minutes there.
    pub fn ban(&mut self, span: u64) {
        let now = self.now;
        self.exchange.ban(now, P::FACE, super::network::HERE, span);
        let waits = if P::FACE == FaceKind::Bybit { BAN_BYBIT } else { 0 };
        self.shut.begin(now.plus_micros(span), true, waits);
    }

    /// Another program of the first trader has placed all orders that the account may place now.
    pub fn exhaust(&mut self) {
        let no = self.traders[0].no;
        let ends = self.exchange.exhaust(self.now, P::FACE, no);
        self.shut.begin(ends, false, 0);
    }

    /// What rules of faults answer from now on are limits of our address, whose end is not told: Binance's minute, and Bybit's five
    /// seconds, or the one of its trade sockets (EXCHANGES.md §2.3, §3.3).
    pub fn limits_by_rule(&mut self, over_socket: bool) {
        self.exchange.faults.take_struck().for_each(drop);
        self.shut.by_rule = match (P::FACE, over_socket) {
            (FaceKind::Binance, _) => 60 * SECOND,
            (FaceKind::Bybit, true) => SECOND,
            (FaceKind::Bybit, false) => 5 * SECOND,
        };
    }

    /// No rule is about limits any more.
    pub fn no_limits_by_rule(&mut self) {
        self.shut.by_rule = 0;
    }

    /// The exchange takes everything again, as far as anybody on our side can know.
    pub fn is_admitted(&self) -> bool {
        self.now >= self.shut.until
    }

    /// See the module's head.
    pub(super) fn watch_limits(&mut self) {
        let (now, counted) = (self.now, self.exchange.breaches(P::FACE));
        let span = self.shut.by_rule;
        let by_rule = span > 0 && self.exchange.faults.take_struck().count() > 0;
        if by_rule {
            let ends = match P::FACE {
                FaceKind::Binance => Timestamp((now.0 / span + 1) * span),
                FaceKind::Bybit => now.plus_micros(span),
            };
            let (ends, told_at) = (ends.max(self.shut.ends), self.shut.told_at);
            self.shut.begin(ends, true, 0);
            self.shut.told_at = told_at;
        }
        let (refused, sent) = (counted.while_banned + counted.of_accounts, self.network.sent);
        let told = by_rule || refused > self.shut.refused;
        let asked = told || self.shut.of_address && sent > self.shut.sent;
        (self.shut.refused, self.shut.sent) = (refused, sent);
        if now >= self.shut.ends {
            self.shut.told_at = None;
        } else if let Some(at) = self.shut.told_at {
            let since = now.micros_since(at);
            assert!(
                !asked || since <= TOLD,
                "sent {} ms after the exchange had said no; {}",
                since / 1_000,
                self.picture()
            );
        } else if told {
            self.shut.told_at = Some(now);
            if self.shut.waits > 0 {
                self.shut.until = now.plus_micros(self.shut.waits + LATE).max(self.shut.until);
            }
        }
    }
}
