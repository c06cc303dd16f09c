//! The way in: a signal reaches a subscriber, and the checks of DOMAIN §2 are made in their order.

use engine::core::command::Reply;
use engine::core::ids::{ClientOrderId, Leg, SignalId};
use engine::core::instrument::InstrumentStatus;
use engine::core::ledger::Currency;
use engine::core::order::{NewOrder, OrderKind, Side};
use engine::core::signal::Signal;
use engine::core::user::{OutcomeKind, Skip, VenueKind};

use super::Turn;
use super::numbers::{ONE, Units, down, quantity};
use super::signals::{covers, side_opened};
use super::user::{HISTORY, Position, Receipt, Subscription, keep};

/// Why not, and for the daily loss until when.
type No = (Skip, u64);

fn no(skip: Skip) -> No {
    (skip, 0)
}

impl Turn<'_> {
    /// Each signal is decided once per subscription, opens and closes each in the order of their numbers.
    pub(super) fn offer(&mut self, signal: &Signal, superseded: bool, source_halted: bool) -> Reply {
        let subscribed = self.user.subscriptions.iter().find(|s| s.source == signal.id.source);
        let Some(subscription) = subscribed.cloned() else { return Reply::Ignored };
        let side = side_opened(signal.kind);
        let last = if side.is_some() { subscription.last_open } else { subscription.last_close };
        if signal.id.number <= last {
            return Reply::Ignored;
        }
        // A close also covers opens before it that still wait for flat.
        let covered = |waiting: &&Signal| {
            waiting.id.source == signal.id.source
                && waiting.id.number < signal.id.number
                && waiting.symbol == signal.symbol
                && covers(signal.kind, waiting.kind)
        };
        let covered: Vec<SignalId> = self.user.waiting.iter().filter(covered).map(|w| w.id).collect();
        for waiting in covered {
            self.skip(waiting, subscription.account, true, no(Skip::Superseded));
        }
        let result = match side {
            Some(_) if superseded => Err(no(Skip::Superseded)),
            Some(side) => self.open(&subscription, signal, side, source_halted, false),
            None => self.close_by_signal(signal).map_err(no),
        };
        self.concluded(signal.id, subscription.account, side.is_some(), result)
    }

    /// The opposite position may be flat now.
    pub(super) fn reconsider(&mut self, id: SignalId) -> Reply {
        let Some(signal) = self.user.waiting.iter().find(|w| w.id == id).copied() else {
            return Reply::Ignored;
        };
        let subscribed = self.user.subscriptions.iter().find(|s| s.source == id.source);
        let Some(subscription) = subscribed.cloned() else { return Reply::Ignored };
        let place = self.user.place_on_symbol(subscription.account, signal.symbol);
        if place.is_some_and(|place| self.user.positions[place].closing.is_some()) {
            return Reply::Ignored;
        }
        let side = side_opened(signal.kind).expect("only opens wait");
        let result = self.open(&subscription, &signal, side, false, true);
        self.concluded(id, subscription.account, true, result)
    }

    fn concluded(&mut self, id: SignalId, account: u8, open: bool, result: Result<(), No>) -> Reply {
        match result {
            Ok(()) => Reply::Intended,
            Err(why) => {
                self.skip(id, account, open, why);
                Reply::Skipped
            }
        }
    }

    fn skip(&mut self, id: SignalId, account: u8, open: bool, (why, until): No) {
        self.decided_on(id, open);
        self.user.waiting.retain(|waiting| waiting.id != id);
        if why == Skip::DailyLoss
            && let Some(account) = self.user.accounts.get_mut(usize::from(account))
        {
            account.latched_until = until;
        }
        self.receipt(id, account, OutcomeKind::Skipped(why));
        self.changed = true;
    }

    /// The subscription will not decide on this signal, or an earlier one of its kind, again.
    pub(super) fn decided_on(&mut self, id: SignalId, open: bool) {
        for subscription in self.user.subscriptions.iter_mut().filter(|s| s.source == id.source) {
            let last = if open { &mut subscription.last_open } else { &mut subscription.last_close };
            *last = (*last).max(id.number);
        }
    }

    /// Writes what came of a signal: into its line while that is remembered, else into a new one.
    pub(super) fn receipt(&mut self, signal: SignalId, account: u8, kind: OutcomeKind) {
        let decided_at = self.now;
        let done_at = if matches!(kind, OutcomeKind::Skipped(_)) { decided_at } else { 0 };
        match self.user.receipts.iter_mut().find(|line| line.signal == signal) {
            Some(line) => {
                line.kind = kind;
                line.done_at = done_at;
            }
            None => {
                let line = Receipt { signal, account, kind, decided_at, sent_at: 0, filled_at: 0, done_at };
                keep(&mut self.user.receipts, HISTORY, line);
            }
        }
    }

    fn open(
        &mut self,
        subscription: &Subscription,
        signal: &Signal,
        side: Side,
        source_halted: bool,
        flat_at_last: bool,
    ) -> Result<(), No> {
        let (account, symbol) = (subscription.account, signal.symbol);
        if self.now > signal.expires_at.0 {
            return Err(no(Skip::Expired));
        }
        self.check_standing(subscription, source_halted).map_err(no)?;
        let listed = &subscription.settings.symbols;
        if !listed.is_empty() && !listed.contains(&symbol) {
            return Err(no(Skip::SymbolNotAllowed));
        }
        let Some(instrument) = self.instrument_on(account, symbol) else {
            return Err(no(Skip::SymbolNotTrading));
        };
        if instrument.status != InstrumentStatus::Trading {
            return Err(no(Skip::SymbolNotTrading));
        }
        if let Some(place) = self.user.place_on_symbol(account, symbol) {
            let position = &self.user.positions[place];
            let reverses = subscription.settings.reverse && position.side != side;
            if reverses && position.closing.is_none() && !flat_at_last {
                self.close_to_reverse(place, signal);
                return Ok(());
            }
            return Err(no(Skip::PositionOpen));
        }
        if self.user.positions.iter().filter(|p| p.account == account).count() >= self.rules.positions_max {
            return Err(no(Skip::PositionsMax));
        }
        let cools = self
            .user
            .cooldowns
            .iter()
            .any(|(a, s, until)| *a == account && *s == symbol && *until > self.now);
        if cools && !flat_at_last {
            return Err(no(Skip::Cooldown));
        }
        self.check_day(account)?;
        if self.user.available(account) <= 0 {
            return Err(no(Skip::InsufficientMargin));
        }
        let mark = self.mark(account, symbol).ok_or(no(Skip::MarketReadingStale))?;
        let size = self.size(&subscription.settings, signal, side, account, &instrument, mark).map_err(no)?;
        self.enter(account, signal, side, &size);
        Ok(())
    }

    fn check_standing(&self, subscription: &Subscription, source_halted: bool) -> Result<(), Skip> {
        // No command switches users or accounts off yet, so those checks of DOMAIN always pass.
        if !subscription.active {
            return Err(Skip::NotSubscribed);
        }
        let account =
            self.user.accounts.get(usize::from(subscription.account)).ok_or(Skip::AccountDisabled)?;
        let place = account.place;
        if place.venue != VenueKind::Paper && !self.rules.live.has(place.venue, place.environment) {
            return Err(Skip::VenueUnavailable);
        }
        if !account.may_be_used(self.now) {
            return Err(Skip::KeyUnhealthy);
        }
        let latches = [
            (self.user.halted, Skip::HaltedUser),
            (source_halted, Skip::HaltedSource),
            (self.rules.halted, Skip::HaltedGlobal),
        ];
        if let Some((_, skip)) = latches.into_iter().find(|(on, _)| *on) {
            return Err(skip);
        }
        if self.owed(self.user.currency(subscription.account)) > 0 {
            return Err(Skip::Debt);
        }
        // What is worth nothing is free; plans cannot be bought yet, so elsewhere there is the trial.
        if self.user.currency(subscription.account) == Currency::Usdt && self.now > self.user.trial_ends_at {
            return Err(Skip::Plan);
        }
        Ok(())
    }

    /// The daily loss limit: measured against the equity of the first look in the day, latched until its end.
    fn check_day(&mut self, account: u8) -> Result<(), No> {
        let of_account = self.user.positions.iter().filter(|p| p.account == account && p.open > 0);
        for position in of_account {
            // A loss that cannot be measured counts as too large.
            self.mark(account, position.symbol).ok_or(no(Skip::MarketReadingStale))?;
        }
        self.look_at_the_day(account);
        let record = &self.user.accounts[usize::from(account)];
        if record.latched_until > self.now {
            return Err((Skip::DailyLoss, record.latched_until));
        }
        let loss = record.day_equity - self.equity(account);
        let limit = down(record.day_equity * Units::from(self.rules.daily_loss_max.units()), ONE);
        if loss > 0 && loss >= limit {
            return Err((Skip::DailyLoss, record.day_ends_at));
        }
        Ok(())
    }

    fn enter(&mut self, account: u8, signal: &Signal, side: Side, size: &super::sizing::Size) {
        // Without plans everybody is prepaid.
        let share = Units::from(self.rules.share_prepaid.units());
        self.decided_on(signal.id, true);
        self.user.waiting.retain(|waiting| waiting.id != signal.id);
        let id = ClientOrderId {
            signal: signal.id,
            account: self.user.account_id(account),
            leg: Leg::Entry,
            round: 0,
        };
        let order = NewOrder {
            id,
            symbol: signal.symbol,
            side,
            kind: OrderKind::Market,
            quantity: quantity(size.quantity),
            reduce_only: false,
            leverage: size.leverage,
        };
        self.order(order, signal.id, 0);
        self.user.positions.push(Position {
            reserved: size.margin,
            stop: size.levels.stop,
            target: size.levels.target,
            liquidation: size.levels.liquidation,
            stop_percent: size.levels.stop_percent,
            target_percent: size.levels.target_percent,
            share,
            ..Position::of(&order, self.now)
        });
        self.receipt(signal.id, account, OutcomeKind::Sent);
    }
}
