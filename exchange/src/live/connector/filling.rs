//! Fills: those that a stream tells, those that a list has to tell, and the end of an order after the last of them.
//!
//! **Invariants**: a fill is told once. One of an order whose end was told happened all the same: see `late`.

use std::collections::BTreeMap;

use engine::core::fixed::Money;
use engine::core::ids::{ClientOrderId, Timestamp};
use engine::core::order::{Fill, NewOrder, OrderState, VenueReason, VenueReport};

use planted::planted;

use super::account::Slot;
use super::limits::{LOOK_BACK_MS, ORDER_AGE_MARGIN_MS, PAGES_MAX, UNEXPLAINED_PAUSE};
use super::order::{Booking, Phase};
use super::placing::Ended;
use super::queue::{Reading, Timer, Why};
use super::{Connector, Shape};
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
        let purpose = match planted::planted!("fills_asked_for_behind_comparisons") {
            true => Purpose::Reconcile,
            false => order.asked_for(),
        };
        self.ask(Some(slot), ask, Why::Fills(id, Reading::default()), purpose);
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
            let purpose = account.orders.get(&id).map_or(Purpose::Reconcile, |o| o.asked_for());
            self.ask(Some(slot), ask, Why::Fills(id, read), purpose);
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
        order.end_by_list(&read.rows);
        let mut told = Vec::new();
        let fee_of = |e: &ExecutionView| fees.get(&e.trade_id).copied().unwrap_or(Money::ZERO);
        let fits = order.book_list(&read.rows, fee_of, |fill, last| told.push((fill, last)));
        let still_missing = order.end.is_some_and(|end| end.filled > order.booked) || order.awaits_its_end();
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
            self.late_fills_unread(now, slot, id);
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
        if P::IDS_COME_BACK && order.is_another_copy(&execution.venue_id) {
            self.by_others(now, slot, execution);
            return;
        }
        if !order.is_open() {
            self.late_fill_told(now, slot, id, execution);
            return;
        }
        let new = order.new;
        if order.venue_id.is_empty() && !new.kind.is_trigger() {
            order.venue_id.clone_from(&execution.venue_id);
        }
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

    fn tell_fill(&mut self, now: Timestamp, slot: Slot, new: &NewOrder, fill: Fill, last: bool) {
        self.metrics.fills += 1;
        let account = self.account_mut(slot);
        if let Some(order) = account.orders.get_mut(&new.id) {
            order.told_last |= last;
        }
        if new.reduce_only {
            account.exited(new, fill.quantity);
        } else {
            if account.expected(new.symbol) == 0 {
                account.views.begin(new.symbol, Millis(fill.venue_at.millis()));
                account.opened.insert(new.symbol, fill.venue_at);
            }
            account.moved(new.symbol, new.side, fill.quantity);
        }
        if !account.is_explained(new.symbol) && !planted!("lost_position_event_not_missed") {
            // The event that tells the position comes at any moment, or was lost: then nothing would open on the symbol.
            self.queue.set(now.plus_micros(UNEXPLAINED_PAUSE), Timer::Explain(slot, new.symbol));
        }
        self.reports.push_back(VenueReport::Filled { id: new.id, fill, last });
    }

    /// Tells the end of an order once all before it was told.
    pub(super) fn finish(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId) {
        let account = self.account_mut(slot);
        let Some(order) = account.orders.get_mut(&id) else { return };
        let is_filled = order.end.is_some_and(|end| end.state == ViewState::Filled);
        let (exit, symbol, told_last) = (order.new.reduce_only, order.new.symbol, order.told_last);
        let Some((state, mut reason)) = order.finish() else { return };
        if reason == VenueReason::PositionClosed
            && account.held(symbol) != 0
            && !planted::planted!("expired_stop_taken_for_a_closed_position")
        {
            // Its position is there: the exchange took the trigger back by itself, and for the engine it is missing.
            reason = VenueReason::NothingToReduce;
        }
        account.put_away(id);
        match state {
            OrderState::Rejected => self.reports.push_back(VenueReport::Rejected { id, reason }),
            // Its last fill has said so.
            OrderState::Filled if told_last => {}
            // That it was the last was not known when it was told.
            OrderState::Filled if planted!("filled_order_without_a_last_fill_not_ended") => {}
            OrderState::Filled => {
                let state = OrderState::Expired;
                self.reports.push_back(VenueReport::Ended { id, state, reason });
            }
            _ => self.reports.push_back(VenueReport::Ended { id, state, reason }),
        }
        if exit && !is_filled && reason == VenueReason::NothingToReduce {
            self.want_comparison(now, slot);
        }
    }
}
