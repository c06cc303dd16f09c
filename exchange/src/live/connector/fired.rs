//! Triggers that are orders of their own (Binance) and have fired: what they became is an order by itself, and that one tells how
//! much was filled. One that fires and becomes nothing protects nothing.
//!
//! **Invariants**: a trigger that has fired ends by what its order was filled, never by what the trigger leaves out: the answer to
//! a question about it names a price and no quantity (CASES.md P8). One that is firing for [`FIRING_SPAN`] is told as a stop whose
//! price was passed, for the engine to close the position within its 5 s (CASES.md O9). **Bounds**: [`FIRING_DOUBT_SPAN`],
//! [`UNSEEN_MAX`].

use engine::core::fixed::Quantity;
use engine::core::ids::{ClientOrderId, Timestamp};
use engine::core::order::{OrderState, VenueReason, VenueReport};
use planted::planted;

use super::account::{Comparing, Slot};
use super::limits::{FIRING_DOUBT_SPAN, FIRING_SPAN, NEVER_ARRIVED_SPAN, STREAM_PATIENCE, UNSEEN_MAX};
use super::order::{End, LiveOrder};
use super::placing::Ended;
use super::queue::{Timer, Why};
use super::{Connector, Shape};
use crate::live::pacing::Purpose;
use crate::live::protocol::{Answer, Ask, ExecutionView, FailureKind, OrderRef, OrderView, ViewState};

/// What is known of a trigger that has fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fired {
    /// Since when it is known here.
    since: Timestamp,
    /// What it became is over; how much of it was filled is not told with that.
    is_over: bool,
    /// How often the exchange did not know the order that it became.
    unseen: u32,
}

impl LiveOrder {
    /// Notes that a trigger has fired. True when that is new.
    pub(super) fn note_fired(&mut self, now: Timestamp, view: &OrderView) -> bool {
        let is_over = view.state == ViewState::Finished;
        if self.attached || !(is_over || view.state == ViewState::Triggered) {
            return false;
        }
        let is_new = self.fired.is_none();
        let fired = self.fired.get_or_insert(Fired { since: now, is_over, unseen: 0 });
        fired.is_over |= is_over;
        is_new
    }

    /// What the exchange is asked about it by: the id of ours, or its own once that alone says which order is meant.
    pub(super) fn question(&self, asked: OrderRef, ids_come_back: bool) -> Ask {
        let symbol = self.new.symbol;
        let is_seen = self.fired.is_some_and(|fired| fired.is_over || fired.unseen % 2 == 0);
        if is_seen && !self.became.is_empty() {
            Ask::QueryById { symbol, venue_id: self.became.clone() }
        } else if ids_come_back && self.has_copies() {
            // Two copies of it may have the id.
            Ask::QueryById { symbol, venue_id: self.venue_id.clone() }
        } else {
            Ask::Query(asked)
        }
    }

    /// What a question about it is for. Of an entry or an exit that is not known to be over, to protect or close what it has opened or
    /// left open; a trigger that is asked about is one that has ended, most often with its position.
    pub(super) fn asked_for(&self) -> Purpose {
        if self.new.kind.is_trigger() || !self.is_open() { Purpose::Reconcile } else { Purpose::Ascertain }
    }

    /// Whether it is over and how much of it was filled is still to be found out.
    pub(super) fn awaits_its_end(&self) -> bool {
        self.end.is_none() && self.fired.is_some_and(|fired| fired.is_over)
    }

    /// The exchange does not know what the trigger became: its executions, if there are any, tell how it ended.
    pub(super) fn end_by_list(&mut self, rows: &[ExecutionView]) {
        let Some(fired) = self.fired.filter(|fired| fired.is_over && fired.unseen >= 2) else { return };
        let sum = rows.iter().try_fold(Quantity::ZERO, |sum, row| sum.checked_add(row.quantity));
        let Some(filled) = sum.filter(|_| self.end.is_none()) else { return };
        if filled >= self.booked && filled.is_positive() {
            self.end = Some(End { state: ViewState::Filled, filled, reason: VenueReason::Liquidity });
        } else if fired.unseen >= UNSEEN_MAX {
            let filled = self.booked;
            self.end = Some(End { state: ViewState::Expired, filled, reason: VenueReason::Liquidity });
        }
    }
}

impl<P: Shape> Connector<P> {
    /// What is told of a trigger of ours that has fired, by stream or answer.
    pub(super) fn fired(
        &mut self,
        now: Timestamp,
        slot: Slot,
        id: ClientOrderId,
        state: ViewState,
        asked: bool,
    ) {
        let account = self.account_mut(slot);
        let Some(order) = account.orders.get_mut(&id).filter(|o| o.is_open()) else { return };
        let Some(fired) = &mut order.fired else { return };
        let mut pause = STREAM_PATIENCE;
        if state == ViewState::Untriggered {
            // Older than what was told before, unless it stays so.
            if asked && order.became.is_empty() && now.micros_since(fired.since) >= STREAM_PATIENCE {
                order.fired = None;
                return;
            }
        } else if order.became.is_empty() {
            if self.is_stuck(now, slot, id, asked) {
                return;
            }
        } else if asked && fired.unseen % 2 == 0 {
            if account.comparing == Comparing::Orders {
                // The comparison waits for this answer, too.
                account.questions += 1;
            }
            pause = 0;
        } else if asked {
            fired.unseen += 1;
        }
        self.ask_about(now, slot, id, pause);
    }

    /// Tells the end of a trigger that fires and becomes nothing; true when it did. `asked`: the exchange has just said that it
    /// still fires.
    pub(super) fn is_stuck(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId, asked: bool) -> bool {
        let account = self.account(slot);
        let firing = |o: &&LiveOrder| o.is_open() && o.became.is_empty();
        let Some(order) = account.orders.get(&id).filter(firing) else { return false };
        let Some(fired) = order.fired else { return false };
        let waited = now.micros_since(fired.since);
        let is_held = account.held(order.new.symbol).signum() == -order.new.side.sign();
        let reason = if is_held {
            let is_over = waited >= FIRING_DOUBT_SPAN || (asked && waited >= FIRING_SPAN);
            is_over.then_some(VenueReason::WouldTrigger)
        } else {
            // Most likely it has closed what it protected, and will say so.
            (waited >= NEVER_ARRIVED_SPAN).then_some(VenueReason::PositionClosed)
        };
        let Some(reason) = reason.filter(|_| !planted!("trigger_that_never_ends_firing_counts_as_live"))
        else {
            return false;
        };
        let asked = Self::order_ref(order);
        self.end(slot, id, VenueReport::Ended { id, state: OrderState::Cancelled, reason });
        // Should it wake up later: by then it may meet a position that is not its own.
        self.ask(Some(slot), Ask::Cancel(asked), Why::Cancel(id), Purpose::Close);
        self.want_comparison(now, slot);
        true
    }

    /// What the exchange says about the order that a trigger became.
    pub(super) fn became_told(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId, end: Ended) {
        let Some(order) = self.account_mut(slot).orders.get_mut(&id) else { return };
        match end {
            Ended::Answered(Ok(Answer::Order(view))) => {
                if let Some(fired) = &mut order.fired {
                    fired.unseen = 0;
                }
                let is_over = view.state.is_final();
                // Its ids stay those of the trigger.
                let view = OrderView { venue_id: String::new(), became: String::new(), ..*view };
                self.absorb(now, slot, id, &view, true);
                if is_over {
                    return;
                }
            }
            Ended::Answered(Err(failure)) if failure.kind == FailureKind::NotFound => {
                if let Some(fired) = &mut order.fired {
                    fired.unseen += 1;
                    if fired.is_over && fired.unseen >= 2 {
                        self.want_fills(now, slot, id, 0);
                        return;
                    }
                }
            }
            Ended::Answered(Err(failure)) if failure.kind == FailureKind::UserMustAct => {
                self.user_must_act(slot, &failure);
            }
            _ => {}
        }
        let Some(order) = self.account(slot).orders.get(&id).filter(|o| o.is_open()) else { return };
        let pause = order.query_pause();
        self.queue.set(now.plus_micros(pause), Timer::AskAbout(slot, id));
    }

    /// How long the engine is left with a trigger that fires, whatever is answered.
    pub(super) fn firing_ends(&mut self, now: Timestamp, slot: Slot, id: ClientOrderId) {
        self.queue.set(now.plus_micros(FIRING_DOUBT_SPAN), Timer::Expire(slot, id));
    }
}

#[cfg(test)]
mod tests {
    use engine::core::fixed::{Money, Price};
    use engine::core::ids::{AccountId, Leg, SignalId, SourceId, UserId};
    use engine::core::instrument::Symbol;
    use engine::core::order::{Liquidity, NewOrder, OrderKind, Side, Told};

    use super::*;
    use crate::live::binance::Binance;
    use crate::live::connector::queue::Reading;
    use crate::live::connector::{KnownAccount, KnownOrder, KnownPosition};
    use crate::live::pacing::limits::VenueLimits;
    use crate::live::pacing::{AddressBudget, Pacer};
    use crate::live::protocol::{Failure, Maker, Millis, ViewKind};

    const NOW: Timestamp = Timestamp(1_700_000_000_000_000);
    const ACCOUNT: AccountId = AccountId { user: UserId(1), index: 0 };

    fn stop() -> NewOrder {
        let signal = SignalId { source: SourceId { owner: UserId(2), index: 0 }, number: 1 };
        NewOrder {
            id: ClientOrderId::first(signal, ACCOUNT, Leg::Stop),
            symbol: Symbol::new("BTCUSDT").unwrap(),
            side: Side::Sell,
            kind: OrderKind::StopMarket(Price::from_whole(100)),
            quantity: Quantity::from_whole(10),
            reduce_only: true,
            leverage: 5,
        }
    }

    /// A connector whose account holds a position with a live stop, as after a restart.
    fn protected() -> Connector<Binance> {
        let (new, budget) = (stop(), AddressBudget::new(VenueLimits::BINANCE, 1).unwrap());
        let mut connector = Connector::new(Pacer::new(budget), 1);
        let position = KnownPosition {
            symbol: new.symbol,
            size: new.quantity.units(),
            opened_at: NOW,
            funded_at: Timestamp(0),
        };
        let known = KnownOrder {
            order: new,
            state: OrderState::Submitted,
            told: Told { decided_at: NOW, ..Told::default() },
            fills: 0,
        };
        let account = KnownAccount::on_paper(ACCOUNT, vec![position], vec![known]);
        connector.add_account(NOW, account).unwrap();
        connector
    }

    fn view(state: ViewState, became: &str, filled: i64) -> OrderView {
        OrderView {
            client_id: stop().id.to_string(),
            venue_id: "5".to_owned(),
            parent: String::new(),
            became: became.to_owned(),
            symbol: stop().symbol,
            side: Side::Sell,
            kind: ViewKind::Stop,
            state,
            reason: None,
            quantity: Quantity::ZERO,
            filled: Quantity::from_whole(filled),
            average: None,
            trigger: None,
            reduce_only: true,
            maker: Maker::Client,
            updated_at: Millis(NOW.millis()),
        }
    }

    fn rows(sizes: &[i64]) -> Vec<ExecutionView> {
        let row = |(sequence, size): (u64, &i64)| ExecutionView {
            trade_id: sequence.to_string(),
            sequence,
            client_id: String::new(),
            venue_id: "77".to_owned(),
            symbol: stop().symbol,
            side: Side::Sell,
            price: Price::from_whole(99),
            quantity: Quantity::from_whole(*size),
            filled: None,
            is_last: None,
            fee: Money::ZERO,
            fee_asset: String::new(),
            liquidity: Liquidity::Taker,
            maker: Maker::Client,
            at: Millis(NOW.millis()),
        };
        (1..).zip(sizes).map(row).collect()
    }

    /// The stop is asked about, and this is answered.
    fn asked(connector: &mut Connector<Binance>, result: Result<OrderView, FailureKind>) {
        let order = connector.accounts[0].orders.get_mut(&stop().id).unwrap();
        let ask = order.question(Connector::<Binance>::order_ref(order), true);
        order.asking = true;
        let answer = match result {
            Ok(view) => Ok(Answer::Order(Box::new(view))),
            Err(kind) => Err(Failure::new(kind, 0, "")),
        };
        connector.queried(NOW, Slot(0), stop().id, &ask, Ended::Answered(answer));
    }

    fn question(connector: &Connector<Binance>) -> Ask {
        let order = &connector.accounts[0].orders[&stop().id];
        order.question(Connector::<Binance>::order_ref(order), true)
    }

    fn listed(connector: &mut Connector<Binance>, rows: Vec<ExecutionView>) {
        let since = Millis(0);
        let ask = Ask::Executions { symbol: stop().symbol, order: None, since, cursor: String::new() };
        let answer = Ended::Answered(Ok(Answer::Executions(rows, None)));
        connector.fills_read(NOW, Slot(0), stop().id, Reading::default(), &ask, answer);
    }

    /// What the engine was told of the stop: the sizes of its fills, which of them was said to be the last, and its end.
    fn told(connector: &mut Connector<Binance>) -> (Vec<(i64, bool)>, Option<OrderState>) {
        let (mut fills, mut end) = (Vec::new(), None);
        for report in connector.reports.drain(..) {
            match report {
                VenueReport::Filled { fill, last, .. } => {
                    fills.push((fill.quantity.units() / Quantity::from_whole(1).units(), last));
                }
                VenueReport::Ended { state, .. } => end = Some(state),
                other => panic!("{other:?}"),
            }
        }
        (fills, end)
    }

    #[test]
    fn case_p8_a_stop_that_fired_ends_by_what_its_order_was_filled() {
        let by_id = Ask::QueryById { symbol: stop().symbol, venue_id: "77".to_owned() };
        let mut connector = protected();
        asked(&mut connector, Ok(view(ViewState::Finished, "77", 0)));
        assert_eq!(told(&mut connector), (vec![], None), "how much is not told with that");
        assert_eq!(question(&connector), by_id);
        asked(&mut connector, Ok(view(ViewState::Filled, "", 10)));
        listed(&mut connector, rows(&[4, 6]));
        assert_eq!(told(&mut connector), (vec![(4, false), (6, true)], None));
        // Ended with nothing.
        let mut connector = protected();
        asked(&mut connector, Ok(view(ViewState::Finished, "77", 0)));
        asked(&mut connector, Ok(view(ViewState::Expired, "", 0)));
        assert_eq!(told(&mut connector), (vec![], Some(OrderState::Expired)));
    }

    #[test]
    fn case_p8_a_stop_whose_order_is_not_known_any_more_ends_by_its_executions() {
        for sizes in [&[4, 6][..], &[]] {
            let mut connector = protected();
            asked(&mut connector, Ok(view(ViewState::Finished, "77", 0)));
            let mut looks = 0;
            let (fills, end) = loop {
                asked(&mut connector, Err(FailureKind::NotFound));
                let wants_list = connector.accounts[0].orders[&stop().id].asking;
                looks += 1;
                assert_eq!(wants_list, looks >= 2, "one answer proves nothing");
                if wants_list {
                    listed(&mut connector, rows(sizes));
                }
                let told = told(&mut connector);
                if told != (vec![], None) {
                    break told;
                }
                assert!(looks < 20);
            };
            if sizes.is_empty() {
                assert_eq!((fills, end, looks), (vec![], Some(OrderState::Expired), UNSEEN_MAX));
            } else {
                assert_eq!((fills, end, looks), (vec![(4, false), (6, true)], None, 2));
            }
        }
    }

    /// An order that fired and is not visible yet is not asked about in circles.
    #[test]
    fn case_u8_what_a_trigger_became_may_be_visible_later() {
        let mut connector = protected();
        asked(&mut connector, Ok(view(ViewState::Triggered, "77", 0)));
        asked(&mut connector, Err(FailureKind::NotFound));
        assert!(matches!(question(&connector), Ask::Query(_)), "the trigger itself is asked again");
        asked(&mut connector, Ok(view(ViewState::Triggered, "77", 0)));
        assert!(matches!(question(&connector), Ask::QueryById { .. }));
        assert!(!connector.accounts[0].orders[&stop().id].asking, "not at once");
        assert_eq!(told(&mut connector), (vec![], None));
    }

    /// Its fills were told before it was known that they are all: then its end is told.
    #[test]
    fn case_p8_a_filled_stop_whose_last_fill_was_not_said_to_be_the_last_ends() {
        let mut connector = protected();
        asked(&mut connector, Ok(view(ViewState::Triggered, "77", 0)));
        listed(&mut connector, rows(&[4, 6]));
        assert_eq!(told(&mut connector), (vec![(4, false), (6, false)], None));
        asked(&mut connector, Ok(view(ViewState::Filled, "", 10)));
        assert_eq!(told(&mut connector), (vec![], Some(OrderState::Expired)));
        assert!(!connector.accounts[0].orders[&stop().id].is_open());
    }
}
