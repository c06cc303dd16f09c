//! Fills of orders whose end was told. They happened all the same: of an exit they are booked as a close from outside, of an entry
//! told as what they are, for the engine to book and to close what they opened.
//!
//! **Invariants**: a late fill is told once, by whatever stream or list, before a restart or after it. Nothing that an entry which is
//! remembered may have done is taken for somebody else's before its list of fills was read. What makes a position of the other
//! side smaller is told apart from what opens one. **Bounds**: as many orders are remembered as [`super::limits::ENDED_KEPT`];
//! [`LATE_LOOKS`], [`LATE_LOOKS_SURE`].

use engine::core::fixed::{Money, Quantity, Rounding};
use engine::core::ids::{ClientOrderId, Leg, Timestamp};
use engine::core::instrument::Symbol;
use engine::core::order::{NewOrder, OrderState, VenueReason, VenueReport};
use engine::core::position::Order;

use super::account::Slot;
use super::limits::{
    LATE_DOUBTED_MAX, LATE_LOOKS, LATE_LOOKS_SURE, NEVER_ARRIVED_SPAN, QUERY_PAUSES, UNEXPLAINED_PAUSE,
};
use super::order::{LiveOrder, Phase};
use super::placing::Ended;
use super::queue::{Timer, Why};
use super::{Connector, Notice, Shape};
use crate::live::pacing::Purpose;
use crate::live::protocol::{Answer, Ask, ExecutionView, FailureKind, Millis};

/// Whether an order that ended in the engine's eyes may be filled all the same: an entry of which something is left, and which
/// left this server. Not one that the engine had forgotten when it filled late, for its record lacks what was filled before.
pub(super) fn may_fill(order: &Order) -> bool {
    let stayed = matches!(order.reason, Some(VenueReason::NotSent | VenueReason::ForeignPosition));
    let is_a_part = order.reason == Some(VenueReason::NotReceived) && order.fills > 1;
    order.new.id.leg == Leg::Entry
        && order.state != OrderState::Filled
        && order.filled < order.new.quantity
        && !stayed
        && (!is_a_part || planted::planted!("record_of_a_forgotten_entry_taken_for_whole"))
}

impl<P: Shape> Connector<P> {
    /// A stream tells an execution of an order whose end was told.
    pub(super) fn late_fill_told(
        &mut self,
        now: Timestamp,
        slot: Slot,
        id: ClientOrderId,
        execution: &ExecutionView,
    ) {
        let Some(order) = self.account(slot).orders.get(&id) else { return };
        let after = execution.filled;
        if after.is_some_and(|after| after <= order.booked) {
            return;
        }
        let before = after.and_then(|after| after.checked_sub(execution.quantity));
        match after.filter(|_| before == Some(order.booked)) {
            Some(after) => {
                self.late_fill(now, slot, id, execution, after);
            }
            // The list tells which of its executions were booked.
            None if order.new.reduce_only => self.want_fills(now, slot, id, 0),
            None => self.doubt(now, slot, id, LATE_LOOKS_SURE),
        }
    }

    /// An entry that is over may have been filled since: its list is read until it shows that, or so often that it did not.
    pub(super) fn doubt(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId, looks: u8) {
        let account = self.account_mut(slot);
        let Some(order) = account.orders.get_mut(&id).filter(|o| o.may_fill_late()) else { return };
        if order.doubt == 0 {
            order.asked = 0;
        }
        order.doubt = order.doubt.max(looks);
        self.look(now, slot, id);
    }

    /// Has the fills of an entry read that is over. One that the exchange had refused has no id of the exchange's yet, by which
    /// alone Binance's list knows it: that is asked for first.
    pub(super) fn look(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId) {
        let Some(order) = self.account_mut(slot).orders.get_mut(&id) else { return };
        if !order.venue_id.is_empty() {
            self.want_fills(now, slot, id, 0);
        } else if !order.asking {
            order.asking = true;
            let asked = Self::order_ref(order);
            self.ask(Some(slot), Ask::Query(asked), Why::Late(id), Purpose::Reconcile);
        }
    }

    /// What the exchange says about an entry that is over.
    pub(super) fn late_queried(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId, end: Ended) {
        let account = self.account_mut(slot);
        let Some(order) = account.orders.get_mut(&id) else { return };
        order.asking = false;
        match end {
            Ended::Answered(Ok(Answer::Order(view))) => {
                if view.filled > order.booked {
                    order.doubt = order.doubt.max(LATE_LOOKS_SURE);
                }
                order.venue_id.clone_from(&view.venue_id);
                account.name(&view.venue_id, id);
                self.want_fills(now, slot, id, 0);
            }
            // What is long over may be in the list alone.
            Ended::Answered(Err(failure)) if failure.kind == FailureKind::NotFound => {
                self.want_fills(now, slot, id, 0);
            }
            Ended::Answered(Err(failure)) if failure.kind == FailureKind::UserMustAct => {
                self.user_must_act(slot, &failure);
                self.late_fills_unread(now, slot, id);
            }
            _ => self.late_fills_unread(now, slot, id),
        }
    }

    /// Whether what is held beyond what is explained may be the work of entries that are over; then their fills are asked for.
    pub(super) fn doubts_an_entry(&mut self, now: Timestamp, slot: Slot, symbol: Symbol) -> bool {
        if planted::planted!("late_entry_taken_for_foreign") {
            return false;
        }
        let account = self.account(slot);
        let held = account.held(symbol);
        let foreign = account.foreign.get(&symbol).copied().unwrap_or(0);
        let change = held.saturating_sub(account.expected(symbol)).saturating_sub(foreign);
        let may_be_its = |o: &&LiveOrder| {
            o.may_fill_late() && o.new.symbol == symbol && o.new.side.sign() == change.signum()
        };
        let mut newest: Vec<&LiveOrder> = account.orders.values().filter(may_be_its).collect();
        newest.sort_by_key(|o| std::cmp::Reverse(o.sent_at));
        newest.truncate(LATE_DOUBTED_MAX);
        let fresh = newest.iter().filter(|o| o.cleared_at != Some(held));
        let entries: Vec<ClientOrderId> = fresh.map(|o| o.new.id).collect();
        for id in &entries {
            self.doubt(now, slot, *id, LATE_LOOKS);
        }
        !entries.is_empty()
    }

    /// All executions of an order whose end was told: those beyond what was booked are booked by what they did.
    pub(super) fn late_fills(
        &mut self,
        now: Timestamp,
        slot: Slot,
        id: ClientOrderId,
        rows: &[ExecutionView],
    ) {
        let mut after = Quantity::ZERO;
        let mut is_found = false;
        for execution in rows {
            let Some(sum) = after.checked_add(execution.quantity) else { break };
            after = sum;
            let account = self.account_mut(slot);
            let Some(order) = account.orders.get_mut(&id) else { return };
            if after <= order.booked || planted::planted!("fill_after_its_orders_end_dropped") {
                continue;
            }
            let is_settled = order.over_before && execution.at < account.views.settled(order.new.symbol);
            if is_settled && !planted::planted!("fill_that_was_made_up_booked_after_a_restart") {
                // It was booked without its name, as somebody else's trade, before a restart.
                order.booked = after;
                continue;
            }
            if !self.late_fill(now, slot, id, execution, after) {
                return;
            }
            is_found = true;
        }
        let Some(order) = self.account_mut(slot).orders.get_mut(&id).filter(|o| o.doubt > 0) else { return };
        order.doubt = if is_found { 0 } else { order.doubt - 1 };
        self.look_again(now, slot, id, is_found);
    }

    /// The list of an order whose end was told could not be read.
    pub(super) fn late_fills_unread(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId) {
        let Some(order) = self.account_mut(slot).orders.get_mut(&id).filter(|o| o.doubt > 0) else {
            // Whoever finds a difference asks again.
            return;
        };
        if order.asked >= usize::from(LATE_LOOKS_SURE) {
            order.doubt = 0;
        }
        self.look_again(now, slot, id, false);
    }

    /// Reads the list of an entry that is over once more, or has what is held looked at without it.
    fn look_again(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId, is_found: bool) {
        let account = self.account_mut(slot);
        let Some(symbol) = account.orders.get(&id).map(|o| o.new.symbol) else { return };
        let held = account.held(symbol);
        let Some(order) = account.orders.get_mut(&id) else { return };
        if !order.may_fill_late() {
            order.doubt = 0;
        }
        if order.doubt > 0 {
            order.asked += 1;
            let pause = order.query_pause();
            self.queue.set(now.plus_micros(pause), Timer::AskAbout(slot, id));
            return;
        }
        order.cleared_at = Some(held).filter(|_| !is_found);
        self.queue.set(now, Timer::Explain(slot, symbol));
    }

    /// Books an execution of an order whose end was told; `after` is what is filled of it with that. False: not yet.
    fn late_fill(
        &mut self,
        now: Timestamp,
        slot: Slot,
        id: ClientOrderId,
        execution: &ExecutionView,
        after: Quantity,
    ) -> bool {
        let Some(order) = self.account_mut(slot).orders.get_mut(&id) else { return true };
        let new = order.new;
        if new.reduce_only {
            order.booked = after;
            self.by_others(now, slot, execution);
            return true;
        }
        if self.waits_for_another(now, slot, &new) {
            if let Some(order) = self.account_mut(slot).orders.get_mut(&id) {
                order.doubt = order.doubt.max(LATE_LOOKS);
            }
            self.queue.set(now.plus_micros(QUERY_PAUSES[0]), Timer::AskAbout(slot, id));
            return false;
        }
        let fee = self.fee_in_settlement(execution);
        self.tell_late(slot, &new, execution, after, fee);
        if let Some(order) = self.account_mut(slot).orders.get_mut(&id) {
            // That is what was looked for. Whatever else is held and not explained has it doubted again.
            order.doubt = 0;
        }
        self.queue.set(now.plus_micros(UNEXPLAINED_PAUSE), Timer::Explain(slot, new.symbol));
        true
    }

    /// Whether another entry on the symbol has to end first: what it opens and this fill may cancel each other out at the exchange.
    /// One of which nothing has left is given up.
    fn waits_for_another(&mut self, now: Timestamp, slot: Slot, new: &NewOrder) -> bool {
        let is_another = |o: &&LiveOrder| {
            o.is_open()
                && !o.new.reduce_only
                && o.new.symbol == new.symbol
                && (o.booked.is_zero() || o.new.side != new.side)
        };
        let others = self.account(slot).orders.values().filter(is_another);
        let others: Vec<(ClientOrderId, Phase, Option<Timestamp>)> =
            others.map(|o| (o.new.id, o.phase, o.sent_at)).collect();
        let mut waits = false;
        for (id, phase, sent_at) in others {
            if matches!(phase, Phase::Waiting | Phase::Queued) {
                self.give_up(slot, id, VenueReason::ForeignPosition);
            } else {
                // One that is asked about for longer has most likely never arrived, and waits for this to be explained.
                waits |= sent_at.is_none_or(|at| now.micros_since(at) < NEVER_ARRIVED_SPAN);
            }
        }
        waits
    }

    /// Tells what of an entry was filled late, in two parts where it closes a position of the other side and opens one.
    fn tell_late(
        &mut self,
        slot: Slot,
        new: &NewOrder,
        execution: &ExecutionView,
        after: Quantity,
        fee: Money,
    ) {
        let account = self.account_mut(slot);
        let booked = account.orders.get(&new.id).map_or(after, |o| o.booked);
        let mut rest = after.checked_sub(booked).unwrap_or(Quantity::ZERO);
        let share = |fee: Money, part: Quantity, of: Quantity| {
            fee.scaled(part.units(), of.units(), Rounding::HalfEven).unwrap_or(Money::ZERO)
        };
        let mut fee = share(fee, rest, execution.quantity);
        let all = rest;
        while !rest.is_zero() {
            let account = self.account_mut(slot);
            let open = account.expected(new.symbol);
            let closes = open.signum() == -new.side.sign();
            let part = if closes { rest.min(Quantity::from_units(open).abs()) } else { rest };
            let Some(order) = account.orders.get_mut(&new.id) else { return };
            let Some(booked) = order.booked.checked_add(part) else { return };
            order.booked = booked;
            let (before, paid) = (order.told, share(fee, part, rest));
            let fill = order.next_fill(&ExecutionView { quantity: part, ..execution.clone() }, paid);
            if open == 0 {
                account.views.begin(new.symbol, Millis(fill.venue_at.millis()));
                account.opened.insert(new.symbol, fill.venue_at);
            }
            account.moved(new.symbol, new.side, part);
            self.metrics.fills += 1;
            self.reports.push_back(VenueReport::LateEntry { order: *new, before, fill });
            fee = fee.checked_sub(paid).unwrap_or(Money::ZERO);
            rest = rest.checked_sub(part).unwrap_or(Quantity::ZERO);
        }
        self.notice(Notice::Late(new.id, new.symbol, all));
    }
}

#[cfg(test)]
mod tests {
    use engine::core::fixed::Price;
    use engine::core::ids::{AccountId, Leg, SignalId, SourceId, UserId};
    use engine::core::instrument::Symbol;
    use engine::core::order::{Liquidity, OrderKind, Side, Told};

    use super::*;
    use crate::live::bybit::Bybit;
    use crate::live::connector::queue::Reading;
    use crate::live::connector::{KnownAccount, KnownOrder, KnownPosition};
    use crate::live::credential::{Credential, KeyKind};
    use crate::live::pacing::limits::VenueLimits;
    use crate::live::pacing::{AddressBudget, Pacer};
    use crate::live::protocol::{Failure, Maker};

    const NOW: Timestamp = Timestamp(1_700_000_000_000_000);
    const ACCOUNT: AccountId = AccountId { user: UserId(1), index: 0 };
    /// What the engine knows of the order of these tests.
    const TOLD: Told = Told {
        decided_at: NOW,
        filled: Quantity::from_whole(4),
        notional: Money::from_whole(80),
        fees: Money::from_whole(1),
    };

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
        let known = KnownOrder { order: new, state: OrderState::PartiallyFilled, fills: 1, told: TOLD };
        let account = KnownAccount::on_paper(ACCOUNT, vec![position], vec![known]);
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

    /// The stream tells these, with what is filled in all or without, and the list that is asked for then has them.
    fn told(connector: &mut Connector<Bybit>, new: &NewOrder, rows: &[ExecutionView], in_all: bool) -> usize {
        let mut asked = 0;
        for row in rows {
            let filled = row.filled.filter(|_| in_all);
            connector.execution_told(NOW, Slot(0), ExecutionView { filled, ..row.clone() });
            asked += usize::from(listed(connector, new, rows));
        }
        asked
    }

    /// The list is read if it was asked for.
    fn listed(connector: &mut Connector<Bybit>, new: &NewOrder, rows: &[ExecutionView]) -> bool {
        let order = connector.accounts[0].orders.get_mut(&new.id).unwrap();
        if !std::mem::take(&mut order.asking) {
            return false;
        }
        let ask =
            Ask::Executions { symbol: new.symbol, order: None, since: Millis(0), cursor: String::new() };
        let answer = Ended::Answered(Ok(Answer::Executions(rows.to_vec(), None)));
        connector.fills_read(NOW, Slot(0), new.id, Reading::default(), &ask, answer);
        true
    }

    #[test]
    fn case_p10_a_fill_after_its_orders_end_is_told_once_as_what_it_is() {
        for in_all in [true, false] {
            // An exit: the position became smaller. What was booked before is not booked again, however often it is told.
            let exit = order(Leg::SignalClose, Side::Sell);
            let mut connector = ended(exit, 6);
            let rows = [execution(&exit, 1, 4, 4), execution(&exit, 2, 5, 9)];
            assert_eq!(told(&mut connector, &exit, &rows[..1], true), 0, "nothing is new");
            for _ in 0..3 {
                told(&mut connector, &exit, &rows, in_all);
            }
            let reports: Vec<VenueReport> = connector.reports.drain(..).collect();
            let [VenueReport::ClosedOutside { fill, .. }] = reports[..] else { panic!("{reports:?}") };
            assert_eq!((fill.quantity, fill.price), (Quantity::from_whole(5), Price::from_whole(100)));
            assert_eq!(fill.fee, Money::from_whole(1));
            assert_eq!(connector.told_position(ACCOUNT, exit.symbol), Quantity::from_whole(1).units());
            // An entry: the next fill of it, for the engine to do something about.
            let entry = order(Leg::Entry, Side::Buy);
            let mut connector = ended(entry, 4);
            let rows = [execution(&entry, 1, 4, 4), execution(&entry, 2, 6, 10)];
            for _ in 0..3 {
                told(&mut connector, &entry, &rows, in_all);
            }
            let reports: Vec<VenueReport> = connector.reports.drain(..).collect();
            let [VenueReport::LateEntry { order, before, fill }] = reports[..] else { panic!("{reports:?}") };
            assert_eq!((order, fill.number, fill.quantity), (entry, 2, Quantity::from_whole(6)));
            assert_eq!(before, TOLD, "as the engine knew it");
            assert_eq!(fill.fee, Money::from_whole(1));
            assert_eq!(connector.told_position(ACCOUNT, entry.symbol), Quantity::from_whole(10).units());
            let notices: Vec<Notice> = connector.notices.drain(..).collect();
            assert_eq!(notices, [Notice::Late(entry.id, entry.symbol, Quantity::from_whole(6))]);
        }
    }

    #[test]
    fn a_late_fill_that_closes_and_opens_is_told_in_two_parts() {
        let entry = order(Leg::Entry, Side::Buy);
        let mut connector = ended(entry, -2);
        let rows = [execution(&entry, 1, 4, 4), execution(&entry, 2, 6, 10)];
        told(&mut connector, &entry, &rows, false);
        let reports: Vec<VenueReport> = connector.reports.drain(..).collect();
        let [VenueReport::LateEntry { fill: closes, .. }, VenueReport::LateEntry { fill: opens, .. }] =
            reports[..]
        else {
            panic!("{reports:?}")
        };
        assert_eq!((closes.number, closes.quantity), (2, Quantity::from_whole(2)));
        assert_eq!((opens.number, opens.quantity), (3, Quantity::from_whole(4)));
        assert_eq!(
            closes.fee.checked_add(opens.fee),
            Some(Money::from_whole(1)),
            "no part of the fee is lost"
        );
        assert_eq!(connector.told_position(ACCOUNT, entry.symbol), Quantity::from_whole(4).units());
    }

    #[test]
    fn a_late_fill_waits_for_an_entry_that_is_on_its_way_and_for_none_that_has_not_left() {
        for (phase, waits) in [(Phase::InFlight, true), (Phase::Waiting, false)] {
            let entry = order(Leg::Entry, Side::Buy);
            let mut connector = ended(entry, 0);
            let mut other = order(Leg::Entry, Side::Sell);
            other.id.signal.number = 2;
            let mut live = LiveOrder::new(other, phase, NOW, NOW.plus_micros(1_000_000));
            live.sent_at = waits.then_some(NOW);
            connector.accounts[0].orders.get_mut(&entry.id).unwrap().venue_id = "1".to_owned();
            connector.accounts[0].orders.insert(other.id, live);
            let rows = [execution(&entry, 1, 4, 4), execution(&entry, 2, 6, 10)];
            told(&mut connector, &entry, &rows, true);
            let late = |connector: &Connector<Bybit>| {
                connector.reports.iter().filter(|r| matches!(r, VenueReport::LateEntry { .. })).count()
            };
            assert_eq!(late(&connector), usize::from(!waits));
            assert_eq!(connector.accounts[0].is_quiet(entry.symbol), !waits);
            assert_eq!(connector.accounts[0].orders[&other.id].is_open(), waits);
            if waits {
                connector.give_up(Slot(0), other.id, VenueReason::Margin);
                connector.ask_about_if_open(NOW, Slot(0), entry.id);
                assert!(listed(&mut connector, &entry, &rows), "it is come back to");
                assert_eq!(late(&connector), 1);
            }
        }
    }

    #[test]
    fn what_no_list_shows_is_looked_for_a_while_and_then_nobodys() {
        let entry = order(Leg::Entry, Side::Buy);
        let mut connector = ended(entry, 4);
        connector.accounts[0].orders.get_mut(&entry.id).unwrap().venue_id = "1".to_owned();
        let rows = [execution(&entry, 1, 4, 4)];
        connector.doubt(NOW, Slot(0), entry.id, LATE_LOOKS);
        let mut looks = 0;
        while listed(&mut connector, &entry, &rows) {
            looks += 1;
            assert_eq!(connector.accounts[0].is_quiet(entry.symbol), looks == LATE_LOOKS);
            connector.ask_about_if_open(NOW, Slot(0), entry.id);
        }
        assert_eq!(looks, LATE_LOOKS);
        assert!(connector.reports.is_empty() && connector.notices.is_empty());
        assert_eq!(connector.accounts[0].orders[&entry.id].cleared_at, Some(0));
    }

    #[test]
    fn an_answer_to_a_question_of_before_the_end_is_what_a_doubt_waits_for() {
        let entry = order(Leg::Entry, Side::Buy);
        let mut connector = ended(entry, 4);
        // It was asked about while it was open, and has ended since.
        connector.accounts[0].orders.get_mut(&entry.id).unwrap().asking = true;
        connector.doubt(NOW, Slot(0), entry.id, LATE_LOOKS);
        let not_there = Failure::new(FailureKind::NotFound, -2013, "");
        let ask = Ask::Query(Connector::<Bybit>::order_ref(&connector.accounts[0].orders[&entry.id]));
        connector.queried(NOW, Slot(0), entry.id, &ask, Ended::Answered(Err(not_there)));
        assert!(connector.accounts[0].orders[&entry.id].asking, "its list is asked for");
        listed(&mut connector, &entry, &[execution(&entry, 1, 4, 4), execution(&entry, 2, 6, 10)]);
        assert_eq!(connector.reports.len(), 1);
        assert!(connector.accounts[0].is_quiet(entry.symbol), "nothing is looked for any more");
    }

    #[test]
    fn an_entry_that_made_a_position_smaller_is_asked_about_before_others_are() {
        let entry = order(Leg::Entry, Side::Sell);
        let mut connector = ended(entry, 10);
        let account = &mut connector.accounts[0];
        account.credential = Some(Credential::new(KeyKind::Hmac, "key", "secret").unwrap());
        account.orders.get_mut(&entry.id).unwrap().venue_id = "1".to_owned();
        account.views.ask(Millis(NOW.millis()));
        account.views.read();
        connector.explain(NOW, Slot(0), entry.symbol);
        assert!(connector.accounts[0].unexplained.is_empty(), "no list of others' trades");
        listed(&mut connector, &entry, &[execution(&entry, 1, 4, 4), execution(&entry, 2, 6, 10)]);
        let reports: Vec<VenueReport> = connector.reports.drain(..).collect();
        assert!(matches!(reports[..], [VenueReport::LateEntry { .. }]), "{reports:?}");
        assert_eq!(connector.told_position(ACCOUNT, entry.symbol), Quantity::from_whole(4).units());
    }

    #[test]
    fn what_was_booked_without_its_name_is_not_booked_again_after_a_restart() {
        for is_settled in [true, false] {
            let entry = order(Leg::Entry, Side::Buy);
            let mut connector = ended(entry, 0);
            let account = &mut connector.accounts[0];
            let known = account.orders.get_mut(&entry.id).unwrap();
            (known.over_before, known.venue_id) = (true, "1".to_owned());
            let fitted = if is_settled { NOW.millis() + 60_000 } else { NOW.millis() - 60_000 };
            account.views.begin(entry.symbol, Millis(fitted));
            connector.doubt(NOW, Slot(0), entry.id, LATE_LOOKS);
            listed(&mut connector, &entry, &[execution(&entry, 1, 4, 4), execution(&entry, 2, 6, 10)]);
            assert_eq!(connector.reports.len(), usize::from(!is_settled));
            assert_eq!(connector.accounts[0].orders[&entry.id].booked, entry.quantity);
        }
    }

    #[test]
    fn entries_that_never_left_and_records_that_lack_fills_are_not_handed_on() {
        let of = |state, reason, fills, filled| {
            let record =
                Order::pending(order(Leg::Entry, Side::Buy), order(Leg::Entry, Side::Buy).id.signal, NOW);
            may_fill(&Order { state, reason, fills, filled: Quantity::from_whole(filled), ..record })
        };
        let (expired, rejected) = (OrderState::Expired, OrderState::Rejected);
        assert!(of(expired, Some(VenueReason::NotReceived), 0, 0));
        assert!(of(expired, Some(VenueReason::NotReceived), 1, 6));
        assert!(of(rejected, Some(VenueReason::Margin), 0, 0));
        assert!(of(OrderState::Cancelled, Some(VenueReason::Requested), 2, 6));
        // The engine had forgotten it when its second fill came: its first is in the books, and not in this record.
        assert!(!of(expired, Some(VenueReason::NotReceived), 2, 6));
        assert!(!of(rejected, Some(VenueReason::NotSent), 0, 0));
        assert!(!of(rejected, Some(VenueReason::ForeignPosition), 0, 0));
        assert!(!of(OrderState::Filled, None, 1, 10));
    }
}
