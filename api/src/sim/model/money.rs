//! The books: balanced entries, the day's equity, and the final account of a position.

use std::rc::Rc;

use engine::core::instrument::{Instrument, Symbol};
use engine::core::ledger::{Currency, EntryKey, LedgerAccount};
use engine::core::order::Side;
use engine::core::position::{CloseReason, PositionState};
use jiff::tz::TimeZoneDatabase;

use super::Turn;
use super::numbers::{ONE, Units, even, margin, notional};
use super::user::{Account, Booked, Books, HISTORY, ModelUser, Position, STATEMENT, keep};

impl Books {
    /// Books an entry: lines of zero are left out, and without lines there is no entry.
    pub(super) fn book(
        &mut self,
        at: u64,
        key: EntryKey,
        currency: Currency,
        lines: &[(LedgerAccount, Units)],
    ) {
        let lines: Vec<_> = lines.iter().copied().filter(|(_, amount)| *amount != 0).collect();
        if lines.is_empty() {
            return;
        }
        for (account, amount) in &lines {
            *self.balances.entry((currency, *account)).or_insert(0) += amount;
        }
        self.entries += 1;
        let booked = Booked { number: self.entries, at, key, currency, lines };
        keep(&mut self.newest, STATEMENT, Rc::new(booked));
    }
}

/// The end of the day that `now` falls in, in an IANA zone: the first instant of the next date there.
pub(super) fn day_end(zone: &str, now: u64) -> Option<u64> {
    let zone = TimeZoneDatabase::bundled().get(zone).ok()?;
    let instant = jiff::Timestamp::from_microsecond(i64::try_from(now).ok()?).ok()?;
    let next =
        instant.to_zoned_datetime(zone.clone()).date().tomorrow().ok()?.to_zoned_datetime(zone).ok()?;
    u64::try_from(next.timestamp().as_microsecond()).ok()
}

/// Profit at a mark of what is open, before fees.
pub(super) fn unrealised(position: &Position, mark: Units) -> Units {
    let worth = notional(mark, position.open);
    match position.side {
        Side::Buy => worth - position.cost,
        Side::Sell => position.cost - worth,
    }
}

impl ModelUser {
    /// Wallet less the margin that positions and entries under way bind.
    pub(super) fn available(&self, account: u8) -> Units {
        let of_account = self.positions.iter().filter(|p| p.account == account);
        let bound: Units = of_account.map(|p| margin(p.cost, p.leverage) + p.reserved).sum();
        self.wallet(account) - bound
    }
}

impl Turn<'_> {
    /// The instrument on the venue of an account.
    pub(super) fn instrument_on(&self, account: u8, symbol: Symbol) -> Option<Instrument> {
        let place = self.user.accounts.get(usize::from(account))?.place;
        self.market.instrument_at(place, symbol)
    }

    /// The mark price on the venue of an account.
    pub(super) fn mark(&self, account: u8, symbol: Symbol) -> Option<Units> {
        let place = self.user.accounts.get(usize::from(account))?.place;
        self.market.mark_at(place, symbol).map(|mark| Units::from(mark.units()))
    }

    /// What the user owes, zero or above.
    pub(super) fn owed(&self, currency: Currency) -> Units {
        -self.user.balance(currency, LedgerAccount::Debt)
    }

    /// Wallet and unrealised profit of an account; what has no mark counts as entered.
    pub(super) fn equity(&self, account: u8) -> Units {
        let mut sum = self.user.wallet(account);
        for position in self.user.positions.iter().filter(|p| p.account == account && p.open != 0) {
            if let Some(mark) = self.mark(account, position.symbol) {
                sum += unrealised(position, mark);
            }
        }
        sum
    }

    /// The first look at an account in a day of the user's zone notes the equity, before anything moves it.
    pub(super) fn look_at_the_day(&mut self, account: u8) {
        let now = self.now;
        let ended = |record: &&Account| record.day_ends_at <= now;
        let Some(_) = self.user.accounts.get(usize::from(account)).filter(ended) else { return };
        let equity = self.equity(account);
        let ends = day_end(&self.user.zone, now).or_else(|| day_end("UTC", now));
        let record = &mut self.user.accounts[usize::from(account)];
        record.day_ends_at = ends.unwrap_or(now + 86_400_000_000);
        record.day_equity = equity;
        self.changed = true;
    }

    /// Money between a wallet and the venue.
    pub(super) fn move_wallet(
        &mut self,
        account: u8,
        amount: Units,
        other_side: LedgerAccount,
        key: EntryKey,
    ) {
        let currency = self.user.currency(account);
        let lines = [(LedgerAccount::Wallet(account), amount), (other_side, -amount)];
        self.user.books.book(self.now, key, currency, &lines);
    }

    /// The final account of a flat position: profit share, loss carried forward, cool-down.
    pub(super) fn settle(&mut self, place: usize, reason: CloseReason) {
        let mut position = self.user.positions.remove(place);
        let currency = self.user.currency(position.account);
        let net = position.realised - position.fees + position.funding;
        let carried = self.user.carried.get(&currency).copied().unwrap_or(0);
        let share = even((net - carried).max(0) * position.share, ONE);
        let still_carried = (carried - net).max(0);
        if still_carried != carried {
            self.user.carried.insert(currency, still_carried);
        }
        // From credit, then real, as far as there is any; the rest is owed.
        let credit = self.user.balance(currency, LedgerAccount::Credit).clamp(0, share);
        let real = self.user.balance(currency, LedgerAccount::Real).clamp(0, share - credit);
        let owed = share - credit - real;
        let lines = [
            (LedgerAccount::Credit, -credit),
            (LedgerAccount::Real, -real),
            (LedgerAccount::Debt, -owed),
            (LedgerAccount::Revenue, share),
        ];
        let key = EntryKey::ProfitShare(position.signal, position.account);
        self.user.books.book(self.now, key, currency, &lines);
        position.net_then = net;
        position.charged = [credit, real, owed];

        let (account, symbol, now) = (position.account, position.symbol, self.now);
        self.user.cooldowns.retain(|(a, s, until)| *until > now && !(*a == account && *s == symbol));
        let until = now.saturating_add(self.rules.cooldown);
        if until > now {
            self.user.cooldowns.push((account, symbol, until));
        }
        position.state = match reason {
            CloseReason::Liquidation => PositionState::Liquidated,
            _ => PositionState::Closed,
        };
        position.closed = Some(reason);
        position.closed_at = now;
        position.reserved = 0;
        keep(&mut self.user.closed, HISTORY, position);
        self.changed = true;
    }
}
