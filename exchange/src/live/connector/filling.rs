//! Fills: those that a stream tells, those that a list has to tell, and the end of an order after the last of them.
//!
//! **Invariants**: a fill is told once. One of an order whose end was told happened all the same: it is booked to the position
//! as a close from outside, or said to be one that nobody follows.

use std::collections::BTreeMap;

use engine::core::fixed::{Money, Quantity};
use engine::core::ids::{ClientOrderId, Timestamp};
use engine::core::order::{Fill, NewOrder, OrderState, VenueReason, VenueReport};

use super::account::Slot;
use super::limits::{LOOK_BACK_MS, ORDER_AGE_MARGIN_MS, PAGES_MAX, UNEXPLAINED_PAUSE};
use super::order::{Booking, Phase};
use super::placing::Ended;
use super::queue::{Reading, Timer, Why};
use super::{Connector, Notice, Shape};
use crate::live::pacing::Purpose;
use crate::live::protocol::{Answer, Ask, ExecutionView, Millis, ViewState};

impl<P: Shape> Connector<P> {
    /// Asks for the fills of an order.
    pub(super) fn want_fills(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId, pause: u64) {
        if pause > 0 {
            self.queue.set(now.plus_micros(pause), Timer::AskAbout(slot, id));
            return;
        }
        let clock = self.pacer.clock().now(now);
        let Some(order) = self.account_mut(slot).orders.get_mut(&id).filter(|o| !o.asking) else { return };
        order.asking = true;
        let venue_id = if order.became.is_empty() { &order.venue_id } else { &order.became };
        let ask = Ask::Executions {
            symbol: order.new.symbol,
            order: (!venue_id.is_empty()).then(|| venue_id.clone()),
            since: Millis(
                (order.since.millis().saturating_sub(ORDER_AGE_MARGIN_MS))
                    .max(clock.0.saturating_sub(LOOK_BACK_MS)),
            ),
            cursor: String::new(),
        };
        self.ask(Some(slot), ask, Why::Fills(id, Reading::default()), Purpose::Reconcile);
    }

    /// The list of an order's fills, or a page of it.
    pub(super) fn fills_read(
        &mut self,
        now: Timestamp,
        slot: Slot,
        id: ClientOrderId,
        mut read: Reading,
        ask: &Ask,
        end: Ended,
    ) {
        let Ended::Answered(Ok(Answer::Executions(rows, next))) = end else {
            self.fills_unread(now, slot, id);
            return;
        };
        let account = self.account(slot);
        let mine = rows.into_iter().filter(|e| account.find(&e.client_id, &e.venue_id) == Some(id));
        read.rows.extend(mine);
        if let (Some(cursor), Ask::Executions { symbol, order, since, .. }) = (next, ask)
            && read.pages < PAGES_MAX
        {
            read.pages += 1;
            let ask = Ask::Executions { symbol: *symbol, order: order.clone(), since: *since, cursor };
            self.ask(Some(slot), ask, Why::Fills(id, read), Purpose::Reconcile);
            return;
        }
        read.rows.sort_by_key(|e| e.sequence);
        read.rows.dedup_by(|a, b| a.trade_id == b.trade_id);
        let fees: BTreeMap<String, Money> =
            read.rows.iter().map(|e| (e.trade_id.clone(), self.fee_in_settlement(e))).collect();
        let account = self.account_mut(slot);
        let Some(order) = account.orders.get_mut(&id) else { return };
        order.asking = false;
        if !order.is_open() {
            self.late_fills(now, slot, id, &read.rows);
            return;
        }
        let new = order.new;
        let mut told = Vec::new();
        let fee_of = |e: &ExecutionView| fees.get(&e.trade_id).copied().unwrap_or(Money::ZERO);
        let fits = order.book_list(&read.rows, fee_of, |fill, last| told.push((fill, last)));
        let still_missing = order.end.is_some_and(|end| end.filled > order.booked);
        for (fill, last) in told {
            self.tell_fill(now, slot, &new, fill, last);
        }
        if !fits || still_missing {
            // The list lags behind, or belongs to something else: asked again, nothing is guessed.
            self.fills_unread(now, slot, id);
        }
        self.finish(now, slot, id);
    }

    fn fills_unread(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId) {
        let Some(order) = self.account_mut(slot).orders.get_mut(&id) else { return };
        order.asking = false;
        if !order.is_open() {
            // Whoever finds a difference asks again.
            return;
        }
        order.asked += 1;
        let pause = order.query_pause();
        self.queue.set(now.plus_micros(pause), Timer::AskAbout(slot, id));
    }

    /// An execution of one of our orders, as a stream tells it.
    pub(super) fn executed(
        &mut self,
        now: Timestamp,
        slot: Slot,
        id: ClientOrderId,
        execution: &ExecutionView,
    ) {
        let fee = self.fee_in_settlement(execution);
        let account = self.account_mut(slot);
        account.name(&execution.venue_id, id);
        let Some(order) = account.orders.get_mut(&id) else { return };
        if !order.is_open() {
            if order.booked < execution.filled.unwrap_or(Quantity::MAX) {
                // The list tells which of its executions were booked.
                self.want_fills(now, slot, id, 0);
            }
            return;
        }
        let new = order.new;
        order.phase = Phase::Live;
        match order.book(execution, fee) {
            Booking::Fill(fill, last) => {
                if last {
                    order.end = Some(super::order::End {
                        state: ViewState::Filled,
                        filled: order.booked,
                        reason: VenueReason::Liquidity,
                    });
                }
                self.tell_live(now, slot, id);
                self.tell_fill(now, slot, &new, fill, last);
                self.finish(now, slot, id);
            }
            Booking::Repeat => {}
            Booking::Gap => {
                self.metrics.gaps += 1;
                self.ask_about(now, slot, id, 0);
            }
        }
        self.take_back(now, slot, id);
    }

    /// All executions of an order whose end was told: those beyond what was booked are booked by what they did.
    fn late_fills(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId, rows: &[ExecutionView]) {
        if planted::planted!("fill_after_its_orders_end_dropped") {
            return;
        }
        let Some(order) = self.account(slot).orders.get(&id) else { return };
        let (new, booked) = (order.new, order.booked);
        let mut after = Quantity::ZERO;
        for execution in rows {
            let Some(sum) = after.checked_add(execution.quantity) else { return };
            after = sum;
            if after <= booked {
                continue;
            }
            if let Some(order) = self.account_mut(slot).orders.get_mut(&id) {
                order.booked = after;
            }
            if new.reduce_only {
                self.by_others(now, slot, execution);
            } else {
                // The engine has no position for it, and what is held is seen to be nobody's.
                self.account_mut(slot).views.touch(new.symbol);
                self.notice(Notice::Late(id, new.symbol, execution.quantity));
                self.want_comparison(now, slot);
            }
        }
    }

    fn tell_fill(&mut self, now: Timestamp, slot: Slot, new: &NewOrder, fill: Fill, last: bool) {
        self.metrics.fills += 1;
        let account = self.account_mut(slot);
        if new.reduce_only {
            account.exited(new, fill.quantity);
        } else {
            if account.expected(new.symbol) == 0 {
                account.views.begin(new.symbol, Millis(fill.venue_at.millis()));
                account.opened.insert(new.symbol, fill.venue_at);
            }
            account.moved(new.symbol, new.side, fill.quantity);
        }
        if !account.is_explained(new.symbol) && !planted::planted!("lost_position_event_not_missed") {
            // The event that tells the position comes at any moment, or was lost: then nothing would open on the symbol.
            self.queue.set(now.plus_micros(UNEXPLAINED_PAUSE), Timer::Explain(slot, new.symbol));
        }
        self.reports.push_back(VenueReport::Filled { id: new.id, fill, last });
    }

    /// Tells the end of an order once all before it was told.
    pub(super) fn finish(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId) {
        let account = self.account_mut(slot);
        let Some(order) = account.orders.get_mut(&id) else { return };
        let told_last = order.end.is_some_and(|end| end.state == ViewState::Filled);
        let exit = order.new.reduce_only;
        let Some((state, reason)) = order.finish() else { return };
        account.put_away(id);
        match state {
            OrderState::Rejected => self.reports.push_back(VenueReport::Rejected { id, reason }),
            // Its last fill has said so.
            OrderState::Filled => {}
            _ => self.reports.push_back(VenueReport::Ended { id, state, reason }),
        }
        if exit && !told_last && reason == VenueReason::NothingToReduce {
            self.want_comparison(now, slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use engine::core::fixed::Price;
    use engine::core::ids::{AccountId, Leg, SignalId, SourceId, UserId};
    use engine::core::instrument::Symbol;
    use engine::core::order::{Liquidity, OrderKind, Side};
    use engine::core::venue_account::VenuePlace;

    use super::*;
    use crate::live::bybit::Bybit;
    use crate::live::connector::{KnownAccount, KnownOrder, KnownPosition};
    use crate::live::pacing::limits::VenueLimits;
    use crate::live::pacing::{AddressBudget, Pacer};
    use crate::live::protocol::Maker;

    const NOW: Timestamp = Timestamp(1_700_000_000_000_000);
    const ACCOUNT: AccountId = AccountId { user: UserId(1), index: 0 };

    fn order(leg: Leg, side: Side) -> NewOrder {
        let signal = SignalId { source: SourceId { owner: UserId(2), index: 0 }, number: 1 };
        NewOrder {
            id: ClientOrderId::first(signal, ACCOUNT, leg),
            symbol: Symbol::new("BTCUSDT").unwrap(),
            side,
            kind: OrderKind::Market,
            quantity: Quantity::from_whole(10),
            reduce_only: leg != Leg::Entry,
            leverage: 5,
        }
    }

    /// A connector that has told the end of this order after a fill of 4; the account holds so much.
    fn ended(new: NewOrder, size: i64) -> Connector<Bybit> {
        let budget = AddressBudget::new(VenueLimits::BYBIT, 1).unwrap();
        let mut connector = Connector::new(Pacer::new(budget), 1);
        let position = KnownPosition {
            symbol: new.symbol,
            size: Quantity::from_whole(size).units(),
            opened_at: NOW,
            funded_at: Timestamp(0),
        };
        let known = KnownOrder {
            order: new,
            state: OrderState::PartiallyFilled,
            filled: Quantity::from_whole(4),
            fills: 1,
            decided_at: NOW,
        };
        let account = KnownAccount {
            id: ACCOUNT,
            place: VenuePlace::PAPER,
            credential: None,
            key_number: 1,
            positions: vec![position],
            orders: vec![known],
            others_fills: 0,
            expects: Vec::new(),
        };
        connector.add_account(NOW, account).unwrap();
        let (id, state, reason) = (new.id, OrderState::Expired, VenueReason::NotReceived);
        connector.end(Slot(0), id, VenueReport::Ended { id, state, reason });
        connector.reports.clear();
        connector
    }

    fn execution(new: &NewOrder, sequence: u64, size: i64, after: i64) -> ExecutionView {
        ExecutionView {
            trade_id: sequence.to_string(),
            sequence,
            client_id: new.id.to_string(),
            venue_id: "1".to_owned(),
            symbol: new.symbol,
            side: new.side,
            price: Price::from_whole(100),
            quantity: Quantity::from_whole(size),
            filled: Some(Quantity::from_whole(after)),
            is_last: Some(false),
            fee: Money::from_whole(1),
            fee_asset: String::new(),
            liquidity: Liquidity::Taker,
            maker: Maker::Client,
            at: Millis(NOW.millis()),
        }
    }

    /// The stream tells these, and the list that is asked for then has them.
    fn told(connector: &mut Connector<Bybit>, new: &NewOrder, rows: &[ExecutionView]) -> usize {
        let mut asked = 0;
        for row in rows {
            connector.execution_told(NOW, Slot(0), row.clone());
            let order = connector.accounts[0].orders.get_mut(&new.id).unwrap();
            if std::mem::take(&mut order.asking) {
                asked += 1;
                let ask = Ask::Executions {
                    symbol: new.symbol,
                    order: None,
                    since: Millis(0),
                    cursor: String::new(),
                };
                let answer = Ended::Answered(Ok(Answer::Executions(rows.to_vec(), None)));
                connector.fills_read(NOW, Slot(0), new.id, Reading::default(), &ask, answer);
            }
        }
        asked
    }

    #[test]
    fn case_p10_a_fill_after_its_orders_end_is_booked_or_said() {
        // An exit: the position became smaller. What was booked before is not booked again, however often it is told.
        let exit = order(Leg::SignalClose, Side::Sell);
        let mut connector = ended(exit, 6);
        let rows = [execution(&exit, 1, 4, 4), execution(&exit, 2, 5, 9)];
        assert_eq!(told(&mut connector, &exit, &rows[..1]), 0, "nothing is new");
        for _ in 0..3 {
            told(&mut connector, &exit, &rows);
        }
        let reports: Vec<VenueReport> = connector.reports.drain(..).collect();
        let [VenueReport::ClosedOutside { fill, .. }] = reports[..] else { panic!("{reports:?}") };
        assert_eq!((fill.quantity, fill.price), (Quantity::from_whole(5), Price::from_whole(100)));
        assert_eq!(fill.fee, Money::from_whole(1));
        assert_eq!(connector.told_position(ACCOUNT, exit.symbol), Quantity::from_whole(1).units());
        // An entry: the engine has no position for it, so people are told, once.
        let entry = order(Leg::Entry, Side::Buy);
        let mut connector = ended(entry, 4);
        let rows = [execution(&entry, 1, 4, 4), execution(&entry, 2, 6, 10)];
        for _ in 0..3 {
            told(&mut connector, &entry, &rows);
        }
        assert!(connector.reports.is_empty(), "{:?}", connector.reports);
        let notices: Vec<Notice> = connector.notices.drain(..).collect();
        assert_eq!(notices, [Notice::Late(entry.id, entry.symbol, Quantity::from_whole(6))]);
    }
}
