//! Leverage and margin type ahead of a signal: the first entry of a symbol costs one or two requests more, which for 1,000 accounts
//! of one address take many seconds (EXCHANGES.md §4). They are sent before, for what accounts will probably trade.
//!
//! **Invariants**: least urgent of all, within the budgets of the background. Nothing is set on a symbol of which something is
//! open or under way: it would change a position. An entry never waits for what is only queued here.
//! **Bounds**: [`PREPARING_MAX`] requests queued or under way, one for each account.

use engine::core::ids::{AccountId, Timestamp};
use engine::core::instrument::{InstrumentStatus, Symbol};

use super::account::Slot;
use super::limits::{PREPARE_AGAIN, PREPARING_LOOKS, PREPARING_MAX};
use super::placing::{Ended, SetUp};
use super::queue::{Job, Timer, Why};
use super::{Connector, Shape};
use crate::live::pacing::Purpose;
use crate::live::protocol::Ask;

impl<P: Shape> Connector<P> {
    /// Is told what an account will probably trade, and with which leverage; replaces what was told before. It is prepared
    /// when nothing else is to be done.
    pub fn expect(&mut self, id: AccountId, symbols: &[(Symbol, u8)]) {
        let Some(slot) = self.slots.get(&id).copied() else { return };
        let account = self.account_mut(slot);
        account.expects = symbols.to_vec();
        self.prepare(slot);
    }

    /// Whether nothing is left to be prepared. For checks.
    #[must_use]
    pub fn is_prepared(&self) -> bool {
        self.accounts.iter().all(|account| !account.is_preparing && account.to_prepare.is_empty())
    }

    /// Begins with what an account expects, once it has been compared: what is set already costs nothing.
    pub(super) fn prepare(&mut self, slot: Slot) {
        let account = self.account_mut(slot);
        if account.is_ready {
            account.to_prepare = account.expects.iter().copied().collect();
            if !account.is_preparing && !account.to_prepare.is_empty() {
                account.is_preparing = true;
                self.stand_in_line(slot);
            }
        }
    }

    /// An account goes on when those before it had their turn.
    pub(super) fn stand_in_line(&mut self, slot: Slot) {
        self.preparing.push_back(slot);
    }

    /// Whether [`Connector::prepare_more`] has something to do.
    pub(super) fn has_to_prepare(&self) -> bool {
        !self.preparing.is_empty() && self.preparing_now < PREPARING_MAX && !self.instruments.is_empty()
    }

    /// Queues what is to be prepared next, a request for each account in turn.
    pub(super) fn prepare_more(&mut self) {
        for _ in 0..PREPARING_LOOKS {
            if !self.has_to_prepare() {
                return;
            }
            let Some(slot) = self.preparing.pop_front() else { return };
            if let Some((symbol, ask)) = self.next_to_prepare(slot) {
                self.preparing_now += 1;
                self.ask(Some(slot), ask, Why::Prepare(symbol), Purpose::Background);
            } else {
                let account = self.account_mut(slot);
                account.is_preparing = false;
                account.to_prepare.clear();
            }
        }
    }

    fn next_to_prepare(&mut self, slot: Slot) -> Option<(Symbol, Ask)> {
        while self.account(slot).may_open()
            && let Some((symbol, leverage)) = self.account(slot).to_prepare.front().copied()
        {
            let trading = |i: &&engine::core::instrument::Instrument| i.status == InstrumentStatus::Trading;
            let allowed = self.instrument(symbol).filter(trading).map(|i| i.leverage_max);
            let account = self.account_mut(slot);
            let setup = account.setups.get(&symbol).copied().unwrap_or_default();
            let isolated = account.isolated.unwrap_or(setup.isolated);
            let leverage = leverage.min(allowed.unwrap_or(0));
            if leverage > 0 && !account.is_in_use(symbol) {
                if isolated && setup.leverage != leverage {
                    return Some((symbol, Ask::SetLeverage { symbol, leverage }));
                }
                // The margin type of a whole account is left alone while its user holds something.
                if !isolated && (account.isolated.is_none() || account.symbols().is_empty()) {
                    return Some((symbol, Ask::SetIsolated(symbol)));
                }
            }
            account.to_prepare.pop_front();
        }
        None
    }

    /// What came of preparing something; entries that came meanwhile go on with it.
    pub(super) fn prepared(&mut self, now: Timestamp, slot: Slot, symbol: Symbol, ask: &Ask, end: &Ended) {
        self.preparing_now = self.preparing_now.saturating_sub(1);
        match self.set_up_done(now, slot, symbol, ask, end) {
            SetUp::Done => self.stand_in_line(slot),
            SetUp::Again => self.queue.set(now.plus_micros(PREPARE_AGAIN), Timer::Prepare(slot)),
            SetUp::Refused => {
                // The entry that wants it will say why.
                self.account_mut(slot).to_prepare.retain(|(other, _)| *other != symbol);
                self.stand_in_line(slot);
            }
        }
    }

    /// What was queued has become pointless: an entry is at it, or the account opens nothing.
    pub(super) fn not_prepared(&mut self, job: &Job) {
        if let (Why::Prepare(_), Some(slot)) = (&job.why, job.slot) {
            self.preparing_now = self.preparing_now.saturating_sub(1);
            self.stand_in_line(slot);
        }
    }
}
