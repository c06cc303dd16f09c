//! Applying events: the only code that changes a user. It decides nothing and refuses nothing.
//!
//! **Invariants**: total over every event of a well-formed log; the ledger is balanced after each.

mod late;
mod sources;

use std::collections::VecDeque;

use super::event::{Charge, Event, Latch, Record};
use super::fixed::{Money, Quantity};
use super::ids::{ClientOrderId, Leg, SignalId, Timestamp};
use super::key::{KeyState, StoredKey};
use super::ledger::{Currency, EntryKey, LedgerAccount};
use super::order::{Fill, OrderState, VenueReason};
use super::position::{CloseReason, Order, Position, PositionState};
use super::state::{State, UserIndex};
use super::user::{
    ExchangeAccount, ORDER_HISTORY_MAX, OUTCOMES_MAX, Outcome, OutcomeKind, POSITION_HISTORY_MAX,
    SESSIONS_MAX, Session, Skip, Source, Subscription, User, VenueKind,
};
use super::venue_account::VenuePlace;

/// Applies a record; creates the user when its first event says so. Gives the user's place.
pub fn apply_record(state: &mut State, record: &Record) -> UserIndex {
    let at = match state.find(record.user) {
        Some(at) => at,
        None => state.put(User::new(record.user, record.at)),
    };
    for event in &record.events {
        apply(state, at, record.at, event);
    }
    at
}

/// Applies one event to the user at `at`.
///
/// # Panics
/// When a balance overflows or an entry is unbalanced: that would corrupt money.
pub fn apply(state: &mut State, at: UserIndex, when: Timestamp, event: &Event) {
    if let Event::Subscribed { source, .. } = event
        && state.user(at).subscription(*source).is_none()
    {
        state.index_subscription(at, *source);
    }
    state.user_mut(at).apply(when, event);
}

fn push_bounded<T>(list: &mut VecDeque<T>, max: usize, item: T) {
    if list.len() == max {
        list.pop_front();
    }
    list.push_back(item);
}

impl User {
    fn apply(&mut self, at: Timestamp, event: &Event) {
        match event {
            Event::SignedUp { email, password, zone, trial_ends_at } => {
                self.email.clone_from(email);
                self.password.clone_from(password);
                self.zone.clone_from(zone);
                self.trial_ends_at = *trial_ends_at;
            }
            Event::SessionOpened { token, expires_at } => {
                self.sessions.retain(|s| s.expires_at > at);
                if self.sessions.len() == SESSIONS_MAX {
                    self.sessions.remove(0);
                }
                self.sessions.push(Session { token: *token, expires_at: *expires_at });
                self.login_failures = 0;
                self.locked_until = Timestamp(0);
            }
            Event::SessionClosed { .. } if planted::planted!("session_outlives_log_out") => {}
            Event::SessionClosed { token } => self.sessions.retain(|s| s.token != *token),
            Event::LoginFailed { locked_until } => {
                self.login_failures =
                    if *locked_until > Timestamp(0) { 0 } else { self.login_failures.saturating_add(1) };
                self.locked_until = *locked_until;
            }
            Event::AccountOpened { index, venue, wallet, prepaid } => {
                self.open_account(at, *index, *venue, *wallet, *prepaid);
            }
            Event::VenueAccountOpened { index, place, prepaid } => {
                self.connect_account(at, *index, *place, *prepaid);
            }
            Event::CredentialSet { account, number, kind, hint, sealed } => {
                if let Some(account) = self.accounts.get_mut(usize::from(*account)) {
                    account.keys = *number;
                    account.key_state = KeyState::Pending;
                    account.key = Some(Box::new(StoredKey {
                        number: *number,
                        kind: *kind,
                        hint: *hint,
                        sealed: sealed.clone(),
                        set_at: at,
                        expires_at: Timestamp(0),
                    }));
                }
            }
            Event::CredentialRemoved { account } => {
                if let Some(account) = self.accounts.get_mut(usize::from(*account)) {
                    account.key_state = KeyState::Missing;
                    account.key = None;
                }
            }
            Event::CredentialResealed { account, sealed, .. } => {
                let account = self.accounts.get_mut(usize::from(*account));
                if let Some(key) = account.and_then(|account| account.key.as_mut()) {
                    key.sealed = sealed.clone();
                }
            }
            Event::KeyHealth { account, fault, expires_at, identity } => {
                if let Some(account) = self.accounts.get_mut(usize::from(*account)) {
                    account.key_state = fault.map_or(KeyState::Healthy, KeyState::Unhealthy);
                    account.identity = *identity;
                    if let Some(key) = &mut account.key {
                        key.expires_at = *expires_at;
                    }
                }
            }
            Event::SourceCreated { name, secret, .. } => self.sources.push(Source {
                name: name.clone(),
                secret: *secret,
                halted: false,
                accepted: 0,
                signals: VecDeque::new(),
                working: Vec::new(),
                seen: std::collections::BTreeMap::new(),
                seen_order: VecDeque::new(),
                window_start: Timestamp(0),
                window_opens: 0,
            }),
            Event::Subscribed { source, account, settings } => {
                match self.subscriptions.iter_mut().find(|s| s.source == *source) {
                    Some(subscription) => {
                        subscription.account = *account;
                        subscription.active = true;
                        subscription.settings = (**settings).clone();
                    }
                    None => self.subscriptions.push(Subscription {
                        source: *source,
                        account: *account,
                        active: true,
                        settings: (**settings).clone(),
                        last_open: 0,
                        last_close: 0,
                    }),
                }
            }
            Event::Unsubscribed { source } => {
                if let Some(subscription) = self.subscriptions.iter_mut().find(|s| s.source == *source) {
                    subscription.active = false;
                }
            }
            Event::HaltSet { latch: Latch::User, on } => self.halted = *on,
            Event::HaltSet { latch: Latch::Source(index), on } => {
                if let Some(source) = self.sources.get_mut(usize::from(*index)) {
                    source.halted = *on;
                }
            }
            Event::Recharged { number, currency, amount, debt_paid } => {
                self.recharges = self.recharges.max(*number);
                let lines = [(LedgerAccount::Real, *amount), (LedgerAccount::Outside, amount.negated())];
                self.ledger.post(at, EntryKey::Recharge(*number), *currency, &lines);
                let lines = [(LedgerAccount::Real, debt_paid.negated()), (LedgerAccount::Debt, *debt_paid)];
                self.ledger.post(at, EntryKey::DebtOffset(*number), *currency, &lines);
            }
            Event::SignalAccepted { signal, key, key_until, window_start, body } => {
                if let Some(source) = self.sources.get_mut(usize::from(signal.id.source.index)) {
                    source.accept(at, signal, (*key, *key_until), *window_start, body);
                }
            }
            Event::SignalMerged { source, number, key, key_until } => {
                if let Some(source) = self.sources.get_mut(usize::from(*source)) {
                    source.remember(at, *number, *key, *key_until);
                }
            }
            Event::SignalFinished { source, number, counts } => {
                if let Some(source) = self.sources.get_mut(usize::from(*source)) {
                    source.working.retain(|n| n != number);
                    if let Some(place) = source.signal_place(*number) {
                        let signal = &mut source.signals[place];
                        signal.finished = Some(*counts);
                        signal.finished_at = at;
                    }
                }
            }
            Event::Skipped { signal, account, open, reason, until } => {
                let first = self.note_decided(*signal, *open);
                self.reversals.retain(|s| s.id != *signal);
                if *reason == Skip::DailyLoss
                    && let Some(account) = self.accounts.get_mut(usize::from(*account))
                {
                    account.loss_latch_until = *until;
                }
                self.set_outcome(*signal, *account, OutcomeKind::Skipped(*reason), at, first);
            }
            Event::DayOpened { account, ends_at, equity } => {
                if let Some(account) = self.accounts.get_mut(usize::from(*account)) {
                    account.day_ends_at = *ends_at;
                    account.day_equity = *equity;
                }
            }
            Event::EntryIntended { .. } => self.intend_entry(at, event),
            Event::ProtectionIntended { order, position, liquidation } => {
                self.orders.push(Order::pending(*order, *position, at));
                if let Some(p) = self.position_mut(*position, order.id.account.index) {
                    p.liquidation = *liquidation;
                    match order.kind {
                        super::order::OrderKind::StopMarket(trigger) => p.stop = trigger,
                        super::order::OrderKind::TakeProfitMarket(trigger) => p.take_profit = trigger,
                        _ => {}
                    }
                }
            }
            Event::CloseRequested { position, account, closing, reversal } => {
                if let Some(p) = self.position_mut(*position, *account) {
                    p.state = PositionState::Closing;
                    p.closing = Some(*closing);
                }
                let first = match closing.leg {
                    Leg::SignalClose => self.note_decided(closing.signal, false),
                    Leg::ReversalClose => self.note_decided(closing.signal, true),
                    _ => return,
                };
                if let Some(signal) = reversal {
                    self.reversals.push(**signal);
                }
                self.set_outcome(closing.signal, *account, OutcomeKind::Sent, at, first);
            }
            Event::ExitIntended { order, position } => {
                self.orders.push(Order::pending(*order, *position, at));
                if let Some(p) = self.position_mut(*position, order.id.account.index)
                    && let Some(closing) = &mut p.closing
                {
                    // Whose ids are used up goes on with those of another leg.
                    (closing.leg, closing.signal) = (order.id.leg, order.id.signal);
                    closing.round = order.id.round.saturating_add(1);
                }
            }
            Event::CancelIntended { id } => {
                if let Some(order) = self.order_mut(*id) {
                    order.cancelling = true;
                }
            }
            Event::OrderAccepted { id, sent_at } => {
                if let Some(order) = self.order_mut(*id) {
                    if matches!(order.state, OrderState::Pending | OrderState::Unknown) {
                        order.state = OrderState::Submitted;
                    }
                    if order.sent_at == Timestamp(0) {
                        order.sent_at = *sent_at;
                    }
                }
                self.touch_outcome(*id);
            }
            Event::OrderEnded { id, state, reason, sent_at } => {
                self.end_order(at, *id, *state, *reason, *sent_at)
            }
            Event::OrderUnknown { id } => {
                if let Some(order) = self.order_mut(*id) {
                    order.state = OrderState::Unknown;
                }
            }
            Event::Filled { id, fill, last, realised, sent_at } => {
                self.fill_order(at, *id, fill, *last, *realised, *sent_at);
            }
            Event::Liquidated { position, account, fill, realised } => {
                let profit = EntryKey::LiquidationProfit(*account, fill.number);
                let fee = EntryKey::LiquidationFee(*account, fill.number);
                self.exit_by_others(at, *position, *account, fill, *realised, profit, fee);
            }
            Event::ClosedOutside { position, account, fill, realised } => {
                let profit = EntryKey::OutsideProfit(*account, fill.number);
                let fee = EntryKey::OutsideFee(*account, fill.number);
                self.exit_by_others(at, *position, *account, fill, *realised, profit, fee);
            }
            Event::LateEntry { order, fill, position, opens, realised, before } => {
                self.enter_late(at, order, fill, (*position, *opens, *realised), before.as_deref());
            }
            Event::WalletMoved { account, amount } => {
                let currency = self.currency(*account);
                if let Some(account) = self.accounts.get_mut(usize::from(*account)) {
                    // Neither profit nor loss of the day: its limit moves along.
                    account.day_equity =
                        account.day_equity.checked_add(*amount).unwrap_or(account.day_equity);
                }
                let lines =
                    [(LedgerAccount::Wallet(*account), *amount), (LedgerAccount::Outside, amount.negated())];
                let key = EntryKey::Transfer(*account, self.ledger.entries() + 1);
                self.ledger.post(at, key, currency, &lines);
            }
            Event::FundingSettled { position, account, symbol, venue_at, amount, .. } => {
                let currency = self.currency(*account);
                self.fund(currency, *position, *account, *venue_at, *amount);
                let lines = [
                    (LedgerAccount::Wallet(*account), *amount),
                    (LedgerAccount::VenueFunding, amount.negated()),
                ];
                self.ledger.post(at, EntryKey::Funding(*account, *symbol, *venue_at), currency, &lines);
            }
            Event::PositionClosed {
                position, account, reason, charge, carried_loss, cooldown_until, ..
            } => {
                self.close_position(at, *position, *account, *reason, charge, *carried_loss, *cooldown_until);
            }
            Event::EntryVoided { position, account } => {
                // A signal that was to close it found, in the end, nothing to close.
                let closing = self.position(*position, *account).and_then(|p| p.closing);
                if let Some(closing) = closing.filter(|c| c.leg == Leg::SignalClose) {
                    let kind = OutcomeKind::Skipped(Skip::NoPosition);
                    self.set_outcome(closing.signal, *account, kind, at, false);
                }
                self.positions.retain(|p| p.signal != *position || p.account != *account);
            }
        }
    }

    /// Funding of the position that was open when it was settled: a signal may have had two on an account, one after the other, if
    /// its entry was filled late.
    fn fund(
        &mut self,
        currency: Currency,
        signal: SignalId,
        account: u8,
        venue_at: Timestamp,
        amount: Money,
    ) {
        let is_it = |p: &Position| p.signal == signal && p.account == account;
        let was_it = |p: &Position| is_it(p) && p.was_open_at(venue_at);
        let open = self.positions.iter().position(is_it);
        let closed = || self.closed_positions.iter();
        let over = match open {
            Some(place) if was_it(&self.positions[place]) => None,
            Some(_) => closed().rposition(was_it),
            None => closed().rposition(was_it).or_else(|| closed().rposition(is_it)),
        };
        if over.is_some() || open.is_none() {
            // Its final account is made: what was paid since is a loss carried forward, what was received makes it smaller.
            let carried = self.carried_loss(currency).checked_sub(amount).unwrap_or(Money::MAX);
            self.set_carried_loss(currency, carried.max(Money::ZERO));
        }
        let funded = match over {
            Some(place) => self.closed_positions.get_mut(place),
            None => open.and_then(|place| self.positions.get_mut(place)),
        };
        if let Some(p) = funded {
            p.funding = p.funding.checked_add(amount).expect("funding fits");
            p.funded_at = venue_at;
        }
    }

    fn set_carried_loss(&mut self, currency: Currency, carried: Money) {
        match self.carried_losses.iter_mut().find(|(c, _)| *c == currency) {
            Some((_, before)) => *before = carried,
            None if carried.is_zero() => {}
            None => self.carried_losses.push((currency, carried)),
        }
    }

    fn currency(&self, account: u8) -> Currency {
        self.accounts.get(usize::from(account)).map_or(Currency::Usdt, ExchangeAccount::currency)
    }

    fn order_mut(&mut self, id: ClientOrderId) -> Option<&mut Order> {
        self.orders.iter_mut().find(|o| o.new.id == id)
    }

    fn position_mut(&mut self, signal: SignalId, account: u8) -> Option<&mut Position> {
        self.positions.iter_mut().find(|p| p.signal == signal && p.account == account)
    }

    fn open_account(&mut self, at: Timestamp, index: u8, venue: VenueKind, wallet: Money, prepaid: Money) {
        let account = ExchangeAccount::new(VenuePlace { venue, ..VenuePlace::PAPER });
        let currency = account.currency();
        self.accounts.push(account);
        let lines = [(LedgerAccount::Wallet(index), wallet), (LedgerAccount::Outside, wallet.negated())];
        self.ledger.post(at, EntryKey::AccountOpened(index), currency, &lines);
        let lines = [(LedgerAccount::Real, prepaid), (LedgerAccount::Outside, prepaid.negated())];
        self.ledger.post(at, EntryKey::Prepaid(index), currency, &lines);
    }

    fn connect_account(&mut self, at: Timestamp, index: u8, place: VenuePlace, prepaid: Money) {
        let account = ExchangeAccount::new(place);
        let currency = account.currency();
        self.accounts.push(account);
        let lines = [(LedgerAccount::Real, prepaid), (LedgerAccount::Outside, prepaid.negated())];
        self.ledger.post(at, EntryKey::Prepaid(index), currency, &lines);
    }

    /// Moves the subscription's mark: this signal is decided, once and for all. Whether it is the first word about it.
    fn note_decided(&mut self, signal: SignalId, open: bool) -> bool {
        let Some(subscription) = self.subscriptions.iter_mut().find(|s| s.source == signal.source) else {
            return false;
        };
        let mark = if open { &mut subscription.last_open } else { &mut subscription.last_close };
        let first = signal.number > *mark;
        *mark = (*mark).max(signal.number);
        first
    }

    /// Writes the receipt line of a signal. With `first` there is none yet, and the list is not searched for it: that
    /// search was 40 % of an open's time.
    fn set_outcome(&mut self, signal: SignalId, account: u8, kind: OutcomeKind, at: Timestamp, first: bool) {
        let done_at = if matches!(kind, OutcomeKind::Skipped(_)) { at } else { Timestamp(0) };
        if !first && let Some(outcome) = self.outcomes.iter_mut().rev().find(|o| o.signal == signal) {
            outcome.kind = kind;
            outcome.done_at = done_at;
            return;
        }
        let outcome = Outcome {
            signal,
            account,
            kind,
            decided_at: at,
            sent_at: Timestamp(0),
            filled_at: Timestamp(0),
            done_at,
        };
        push_bounded(&mut self.outcomes, OUTCOMES_MAX, outcome);
    }

    /// Brings the receipt line of an order's signal up to date with the order.
    fn touch_outcome(&mut self, id: ClientOrderId) {
        if matches!(id.leg, Leg::Stop | Leg::TakeProfit | Leg::ManualClose | Leg::UnprotectedClose) {
            return;
        }
        let Some(order) = self.order(id).copied() else { return };
        let Some(outcome) = self.outcomes.iter_mut().rev().find(|o| o.signal == id.signal) else { return };
        if outcome.sent_at == Timestamp(0) {
            outcome.sent_at = order.sent_at;
        }
        // A reversal's close is only its first half: fills are those of the entry that follows.
        if id.leg == Leg::ReversalClose {
            return;
        }
        if outcome.filled_at == Timestamp(0) {
            outcome.filled_at = order.filled_at;
        }
        // A close that found the position flat (its stop was faster) has done its work: CASES.md O5.
        let already_flat = id.leg == Leg::SignalClose
            && order.filled.is_zero()
            && matches!(
                order.reason,
                Some(VenueReason::NothingToReduce | VenueReason::PositionClosed | VenueReason::Requested)
            );
        outcome.kind = match order.state {
            OrderState::Filled => OutcomeKind::Filled,
            state if state.is_final() && already_flat => OutcomeKind::Skipped(Skip::NoPosition),
            state if state.is_final() && !order.filled.is_zero() => OutcomeKind::FilledInPart,
            state if state.is_final() => OutcomeKind::Failed(order.reason.unwrap_or(VenueReason::Requested)),
            _ => OutcomeKind::Sent,
        };
        outcome.done_at = order.done_at;
    }

    fn intend_entry(&mut self, at: Timestamp, event: &Event) {
        let Event::EntryIntended {
            order,
            stop,
            take_profit,
            stop_multiplier,
            take_profit_multiplier,
            liquidation,
            reserved,
            share,
            ..
        } = event
        else {
            return;
        };
        let id = order.id;
        let first = self.note_decided(id.signal, true);
        self.reversals.retain(|s| s.id != id.signal);
        self.orders.push(Order::pending(*order, id.signal, at));
        self.positions.push(Position {
            reserved: *reserved,
            stop: *stop,
            take_profit: *take_profit,
            liquidation: *liquidation,
            stop_multiplier: *stop_multiplier,
            take_profit_multiplier: *take_profit_multiplier,
            share: *share,
            ..Position::of_entry(order, at)
        });
        self.set_outcome(id.signal, id.account.index, OutcomeKind::Sent, at, first);
    }

    fn fill_order(
        &mut self,
        at: Timestamp,
        id: ClientOrderId,
        fill: &Fill,
        last: bool,
        realised: Money,
        sent_at: Timestamp,
    ) {
        let account = id.account.index;
        let currency = self.currency(account);
        let Some(order) = self.order_mut(id) else { return };
        order.fills = fill.number;
        let before =
            if planted::planted!("fill_overwrites_the_last") { Quantity::ZERO } else { order.filled };
        order.filled = before.checked_add(fill.quantity).expect("fills fit");
        let notional = fill.price.notional(fill.quantity).expect("the notional of a fill fits");
        order.notional = order.notional.checked_add(notional).expect("fills fit");
        order.fees = order.fees.checked_add(fill.fee).expect("fees fit");
        order.state = if last { OrderState::Filled } else { OrderState::PartiallyFilled };
        if order.filled_at == Timestamp(0) {
            order.filled_at = at;
        }
        if order.sent_at == Timestamp(0) {
            order.sent_at = sent_at;
        }
        if last {
            order.done_at = at;
        }
        let position = order.position;
        if let Some(p) = self.position_mut(position, account) {
            if id.leg == Leg::Entry {
                p.enter(fill, last, at);
            } else {
                p.exit(fill.quantity.min(p.quantity), fill.fee, realised);
                p.state = PositionState::Closing;
            }
        }
        self.book_profit(at, EntryKey::FillProfit(id, fill.number), currency, account, realised);
        self.book_fee(at, EntryKey::FillFee(id, fill.number), currency, account, fill.fee);
        self.touch_outcome(id);
        if last {
            self.archive_order(id);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one event, each of its own type")]
    fn exit_by_others(
        &mut self,
        at: Timestamp,
        position: SignalId,
        account: u8,
        fill: &Fill,
        realised: Money,
        profit: EntryKey,
        fee: EntryKey,
    ) {
        let currency = self.currency(account);
        if let Some(account) = self.accounts.get_mut(usize::from(account)) {
            account.venue_fills = fill.number;
        }
        if let Some(p) = self.position_mut(position, account) {
            let quantity = fill.quantity.min(p.quantity);
            p.exit(quantity, fill.fee, realised);
            p.state = PositionState::Closing;
        }
        self.book_profit(at, profit, currency, account, realised);
        self.book_fee(at, fee, currency, account, fill.fee);
    }

    fn book_profit(&mut self, at: Timestamp, key: EntryKey, currency: Currency, account: u8, profit: Money) {
        let lines =
            [(LedgerAccount::Wallet(account), profit), (LedgerAccount::VenueProfit, profit.negated())];
        self.ledger.post(at, key, currency, &lines);
    }

    fn book_fee(&mut self, at: Timestamp, key: EntryKey, currency: Currency, account: u8, fee: Money) {
        if planted::planted!("fee_not_booked") {
            return;
        }
        let fee = if planted::planted!("fee_with_the_wrong_sign") { fee.negated() } else { fee };
        let lines = [(LedgerAccount::Wallet(account), fee.negated()), (LedgerAccount::VenueFee, fee)];
        self.ledger.post(at, key, currency, &lines);
    }

    fn end_order(
        &mut self,
        at: Timestamp,
        id: ClientOrderId,
        state: OrderState,
        reason: VenueReason,
        sent_at: Timestamp,
    ) {
        let Some(order) = self.order_mut(id) else { return };
        order.state = state;
        order.reason = Some(reason);
        order.done_at = at;
        if order.sent_at == Timestamp(0) {
            order.sent_at = sent_at;
        }
        let position = order.position;
        self.touch_outcome(id);
        self.archive_order(id);
        if id.leg == Leg::Entry
            && let Some(p) = self.position_mut(position, id.account.index)
        {
            if !planted::planted!("reserved_margin_not_released") {
                p.reserved = Money::ZERO;
            }
            if p.state == PositionState::Opening && !p.quantity.is_zero() {
                p.state = PositionState::Open;
            }
        }
    }

    fn archive_order(&mut self, id: ClientOrderId) {
        if let Some(place) = self.orders.iter().position(|o| o.new.id == id) {
            let order = self.orders.remove(place);
            push_bounded(&mut self.final_orders, ORDER_HISTORY_MAX, order);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one event, each of its own type")]
    fn close_position(
        &mut self,
        at: Timestamp,
        position: SignalId,
        account: u8,
        reason: CloseReason,
        charge: &Charge,
        carried_loss: Money,
        cooldown_until: Timestamp,
    ) {
        let currency = self.currency(account);
        let Some(place) = self.positions.iter().position(|p| p.signal == position && p.account == account)
        else {
            return;
        };
        let mut closed = self.positions.remove(place);
        closed.state = if reason == CloseReason::Liquidation {
            PositionState::Liquidated
        } else {
            PositionState::Closed
        };
        closed.closed_at = at;
        closed.closed = Some(reason);
        closed.reserved = Money::ZERO;
        push_bounded(&mut self.closed_positions, POSITION_HISTORY_MAX, closed);
        let total = charge.credit.checked_add(charge.real).and_then(|sum| sum.checked_add(charge.debt));
        let lines = [
            (LedgerAccount::Credit, charge.credit.negated()),
            (LedgerAccount::Real, charge.real.negated()),
            (LedgerAccount::Debt, charge.debt.negated()),
            (LedgerAccount::Revenue, total.expect("a charge fits")),
        ];
        self.ledger.post(at, EntryKey::ProfitShare(position, account), currency, &lines);
        if planted::planted!("share_charged_twice") {
            self.ledger.post(at, EntryKey::ProfitShare(position, account), currency, &lines);
        }
        self.set_carried_loss(currency, carried_loss);
        self.cooldowns.retain(|(a, s, until)| *until > at && (*a != account || *s != closed.symbol));
        if cooldown_until > at {
            self.cooldowns.push((account, closed.symbol, cooldown_until));
        }
    }
}
