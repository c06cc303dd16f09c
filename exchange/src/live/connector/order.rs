//! One order at the exchange: where it stands, and which of its fills the engine was told.
//!
//! **Invariants**: fills are told in the order of their cumulative quantity, each once, numbered from 1; a gap is filled from
//! the exchange's list before anything after it is told. An order is sent again only while nothing of it can have reached the
//! exchange. Its end is told after the last of its fills (CASES.md P1–P3, P10, P11, U13).

use engine::core::fixed::{Money, Quantity};
use engine::core::ids::Timestamp;
use engine::core::order::{Fill, Liquidity, NewOrder, OrderState, Side, Told, VenueReason};
use planted::planted;

use super::fired::Fired;
use super::limits::{NEVER_ARRIVED_SPAN, QUERY_PAUSES};
use crate::live::protocol::{ExecutionView, OrderView, Protection, ViewState};

/// Where an order stands on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It may have been sent by a process that is gone: asked about before anything else (CASES.md U10).
    Recovered,
    /// It waits for the account to be ready or for leverage and margin type.
    Waiting,
    /// It is in the queue; nothing of it has left.
    Queued,
    /// Its request is under way.
    InFlight,
    /// Whether it arrived is not known.
    Unknown,
    /// The exchange has taken it.
    Live,
    /// Its end was told.
    Ended,
}

/// Whether it is to be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cancel {
    No,
    /// Asked for; sent as soon as the order is known to be live.
    Wanted,
    /// The request is under way or was taken; its end comes by stream or query.
    Sent,
}

/// The end that the exchange told, which waits for the fills before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) state: ViewState,
    pub(super) filled: Quantity,
    pub(super) reason: VenueReason,
}

/// See the module's head.
#[derive(Debug)]
pub(super) struct LiveOrder {
    pub(super) new: NewOrder,
    pub(super) phase: Phase,
    pub(super) told_live: bool,
    pub(super) booked: Quantity,
    pub(super) fills: u32,
    /// What the engine was told of it: without what was booked by another name.
    pub(super) told: Told,
    /// A fill was told as its last one, which is how the engine learns that it is filled.
    pub(super) told_last: bool,
    pub(super) venue_id: String,
    /// The exchange's id of the order that came of a trigger.
    pub(super) became: String,
    /// Its trigger was reached (Binance).
    pub(super) fired: Option<Fired>,
    /// When bytes of its last request may have left.
    pub(super) sent_at: Option<Timestamp>,
    /// It is not sent after this.
    pub(super) expires_at: Timestamp,
    /// How often it was sent again after a sure failure.
    pub(super) retries: usize,
    pub(super) end: Option<End>,
    pub(super) cancel: Cancel,
    /// A cancel was not taken: another one goes at this time at the soonest, after such a pause.
    pub(super) cancel_from: Timestamp,
    pub(super) cancel_pause: u64,
    /// A question about it is queued or under way.
    pub(super) asking: bool,
    /// How often it was asked about since the last sure word.
    pub(super) asked: usize,
    /// How often the exchange did not know it since then.
    pub(super) not_found: u32,
    /// Bybit: it stands for the position's own trigger; nothing with its id exists at the exchange.
    pub(super) attached: bool,
    /// When the exchange first acknowledged it, other than by stream.
    pub(super) acknowledged_at: Option<Timestamp>,
    /// The private stream has told of it.
    pub(super) streamed: bool,
    /// Triggers that may be sent along with it.
    pub(super) planned: Option<Protection>,
    /// Nothing of it can have happened before this, by our clock.
    pub(super) since: Timestamp,
    /// Bybit: since when it is known to be gone from its position, until it is set again.
    pub(super) gone_since: Option<Timestamp>,
    /// An exit that was sent more than once was refused as nothing to reduce: what was sent before may have closed the position.
    pub(super) refused_again: bool,
    /// It is over, and its list of fills is read at most so often until it shows one more; zero: nothing says that there is one.
    pub(super) doubt: u8,
    /// What was held when its list showed none.
    pub(super) cleared_at: Option<i64>,
    /// It was over when this process began: what it did before the last list that fitted is in the books, by whatever name.
    pub(super) over_before: bool,
}

/// What became of an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Booking {
    /// To be told.
    Fill(Fill, bool),
    /// Told before.
    Repeat,
    /// Others before it are missing, or whether it is the last is not known: the list has to be read.
    Gap,
}

impl LiveOrder {
    pub(super) fn new(new: NewOrder, phase: Phase, since: Timestamp, expires_at: Timestamp) -> Self {
        Self {
            new,
            phase,
            told_live: false,
            booked: Quantity::ZERO,
            fills: 0,
            told: Told { decided_at: since, ..Told::default() },
            told_last: false,
            venue_id: String::new(),
            became: String::new(),
            fired: None,
            sent_at: None,
            expires_at,
            retries: 0,
            end: None,
            cancel: Cancel::No,
            cancel_from: Timestamp(0),
            cancel_pause: 0,
            asking: false,
            asked: 0,
            not_found: 0,
            attached: false,
            acknowledged_at: None,
            streamed: false,
            planned: None,
            since,
            gone_since: None,
            refused_again: false,
            doubt: 0,
            cleared_at: None,
            over_before: false,
        }
    }

    /// Whether it may move the position or the wallet at any moment, or has and not all of it was told. A trigger that waits
    /// for its price is not: what it does is seen in the positions.
    pub(super) fn is_busy(&self) -> bool {
        match self.phase {
            Phase::InFlight | Phase::Unknown | Phase::Recovered => true,
            Phase::Live => {
                self.asking || self.end.is_some() || self.fired.is_some() || !self.new.kind.is_trigger()
            }
            Phase::Ended => self.doubt > 0,
            Phase::Waiting | Phase::Queued => false,
        }
    }

    /// Whether something can still happen to it.
    pub(super) fn is_open(&self) -> bool {
        self.phase != Phase::Ended
    }

    /// Whether it is an entry that is over, and may have been filled since.
    pub(super) fn may_fill_late(&self) -> bool {
        !self.is_open() && !self.new.reduce_only && self.sent_at.is_some() && self.booked < self.new.quantity
    }

    /// What was bought or sold on its symbol was booked without fills. If it is over and did that, none that is told later counts.
    pub(super) fn made_up(&mut self, side: Side) {
        if !self.is_open() && self.new.side == side {
            self.booked = Quantity::MAX;
        }
    }

    /// The next fill of it, as it is told.
    pub(super) fn next_fill(&mut self, execution: &ExecutionView, fee: Money) -> Fill {
        self.fills += 1;
        let fill = fill_of(execution, self.fills, fee);
        self.told = self.told.with(&fill);
        fill
    }

    /// An execution as a stream tells it.
    pub(super) fn book(&mut self, execution: &ExecutionView, fee: Money) -> Booking {
        let Some(after) = execution.filled else { return Booking::Gap };
        if after <= self.booked {
            if planted!("fill_told_twice") {
                return Booking::Fill(self.next_fill(execution, fee), false);
            }
            return Booking::Repeat;
        }
        let last = match (execution.is_last, self.end) {
            (Some(last), _) => last,
            (None, Some(end)) => end.state == ViewState::Filled && end.filled == after,
            (None, None) => return Booking::Gap,
        };
        if after.checked_sub(execution.quantity) != Some(self.booked) {
            return Booking::Gap;
        }
        self.booked = after;
        Booking::Fill(self.next_fill(execution, fee), last)
    }

    /// All executions of it, oldest first, as the exchange's list gives them. Tells those that were not told, through
    /// `tell`; false when the list does not fit what was told before.
    pub(super) fn book_list(
        &mut self,
        executions: &[ExecutionView],
        mut fee: impl FnMut(&ExecutionView) -> Money,
        mut tell: impl FnMut(Fill, bool),
    ) -> bool {
        let mut after = Quantity::ZERO;
        for execution in executions {
            let before = after;
            let Some(sum) = after.checked_add(execution.quantity) else { return false };
            after = sum;
            if after <= self.booked {
                continue;
            }
            if before != self.booked {
                return false;
            }
            self.booked = after;
            let last = self.end.is_some_and(|end| end.state == ViewState::Filled && end.filled == after);
            tell(self.next_fill(execution, fee(execution)), last);
        }
        true
    }

    /// Notes what the exchange says about it. True when fills are missing that the exchange has.
    pub(super) fn note(&mut self, view: &OrderView) -> bool {
        self.asked = 0;
        self.not_found = 0;
        if !view.venue_id.is_empty() {
            self.venue_id.clone_from(&view.venue_id);
        }
        if !view.became.is_empty() {
            self.became.clone_from(&view.became);
        }
        if view.state.is_final() && self.end.is_none_or(|end| end.filled <= view.filled) {
            let reason = view.reason.unwrap_or(match view.state {
                ViewState::Cancelled if self.cancel != Cancel::No => VenueReason::Requested,
                ViewState::Cancelled if self.new.kind.is_trigger() => VenueReason::PositionClosed,
                ViewState::Cancelled => VenueReason::Requested,
                _ => VenueReason::Liquidity,
            });
            self.end = Some(End { state: view.state, filled: view.filled, reason });
        }
        view.filled > self.booked
    }

    /// Its end, once every fill before it was told. `None`: not yet.
    pub(super) fn finish(&mut self) -> Option<(OrderState, VenueReason)> {
        let is_told = |end: &End| self.booked >= end.filled || planted!("end_told_before_the_last_fills");
        let end = self.end.filter(|end| self.phase != Phase::Ended && is_told(end))?;
        self.phase = Phase::Ended;
        Some(match end.state {
            ViewState::Rejected if self.booked.is_zero() => (OrderState::Rejected, end.reason),
            ViewState::Cancelled => (OrderState::Cancelled, end.reason),
            ViewState::Filled => (OrderState::Filled, end.reason),
            _ => (OrderState::Expired, end.reason),
        })
    }

    /// The pause before the next question about it.
    pub(super) fn query_pause(&self) -> u64 {
        QUERY_PAUSES[self.asked.min(QUERY_PAUSES.len() - 1)]
    }

    /// Whether the exchange's not knowing it proves that it never arrived.
    pub(super) fn never_arrived(&self, now: Timestamp) -> bool {
        let settled = self.sent_at.is_some_and(|at| now.micros_since(at) >= NEVER_ARRIVED_SPAN);
        settled && self.not_found >= 2 && self.booked.is_zero() && self.end.is_none() && !self.told_live
    }
}

fn fill_of(execution: &ExecutionView, number: u32, fee: Money) -> Fill {
    Fill {
        number,
        price: execution.price,
        quantity: execution.quantity,
        fee,
        liquidity: execution.liquidity,
        venue_at: Timestamp::from_millis(execution.at.0),
    }
}

/// A fill made up for a change of a position that no execution explains: at a price, without a fee.
pub(super) fn made_up_fill(
    number: u32,
    price: engine::core::fixed::Price,
    quantity: Quantity,
    at: Timestamp,
) -> Fill {
    Fill { number, price, quantity, fee: Money::ZERO, liquidity: Liquidity::Taker, venue_at: at }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::protocol::{Maker, Millis, ViewKind};
    use engine::core::ids::{AccountId, ClientOrderId, Leg, SignalId, SourceId, UserId};
    use engine::core::instrument::Symbol;
    use engine::core::order::OrderKind;
    use proptest::prelude::*;

    fn order() -> LiveOrder {
        let source = SourceId { owner: UserId(1), index: 0 };
        let id = ClientOrderId::first(
            SignalId { source, number: 1 },
            AccountId { user: UserId(2), index: 0 },
            Leg::Entry,
        );
        let new = NewOrder {
            id,
            symbol: Symbol::new("BTCUSDT").unwrap(),
            side: Side::Buy,
            kind: OrderKind::Market,
            quantity: Quantity::from_whole(10),
            reduce_only: false,
            leverage: 5,
        };
        LiveOrder::new(new, Phase::Live, Timestamp(0), Timestamp(u64::MAX))
    }

    fn execution(sequence: u64, size: i64, after: Option<i64>, last: Option<bool>) -> ExecutionView {
        ExecutionView {
            trade_id: sequence.to_string(),
            sequence,
            client_id: String::new(),
            venue_id: "1".into(),
            symbol: Symbol::new("BTCUSDT").unwrap(),
            side: Side::Buy,
            price: engine::core::fixed::Price::from_whole(100),
            quantity: Quantity::from_whole(size),
            filled: after.map(Quantity::from_whole),
            is_last: last,
            fee: Money::ZERO,
            fee_asset: String::new(),
            liquidity: Liquidity::Taker,
            maker: Maker::Client,
            at: Millis(1_000),
        }
    }

    fn view(state: ViewState, filled: i64) -> OrderView {
        OrderView {
            client_id: order().new.id.to_string(),
            venue_id: "1".into(),
            parent: String::new(),
            became: String::new(),
            symbol: Symbol::new("BTCUSDT").unwrap(),
            side: Side::Buy,
            kind: ViewKind::Market,
            state,
            reason: None,
            quantity: Quantity::from_whole(10),
            filled: Quantity::from_whole(filled),
            average: None,
            trigger: None,
            reduce_only: false,
            maker: Maker::Client,
            updated_at: Millis(1_000),
        }
    }

    #[test]
    fn case_p3_a_cancelled_order_may_hold_fills_and_ends_after_them() {
        let mut order = order();
        assert!(order.note(&view(ViewState::Cancelled, 4)), "fills are missing");
        assert_eq!(order.finish(), None);
        let mut told = Vec::new();
        let list = [execution(1, 1, None, None), execution(2, 3, None, None)];
        assert!(order.book_list(&list, |_| Money::ZERO, |fill, last| told.push((fill.number, last))));
        assert_eq!(told, [(1, false), (2, false)]);
        assert_eq!(order.finish(), Some((OrderState::Cancelled, VenueReason::Requested)));
        assert_eq!(order.finish(), None, "an end is told once");
    }

    #[test]
    fn case_u8_not_found_in_the_first_seconds_proves_nothing() {
        let mut order = order();
        order.phase = Phase::Unknown;
        order.sent_at = Some(Timestamp(1_000_000));
        order.not_found = 50;
        assert!(!order.never_arrived(Timestamp(1_000_000 + NEVER_ARRIVED_SPAN - 1)));
        assert!(order.never_arrived(Timestamp(1_000_000 + NEVER_ARRIVED_SPAN)));
        order.told_live = true;
        assert!(!order.never_arrived(Timestamp(u64::MAX)), "what was seen did arrive");
    }

    proptest! {
        /// Whatever is repeated, missing or out of order on the stream: with the list in the end, each fill once, in order.
        #[test]
        fn each_fill_is_told_once_and_in_order(
            sizes in proptest::collection::vec(1_i64..4, 1..6),
            told_at in proptest::collection::vec((0_usize..6, any::<bool>()), 0..24),
        ) {
            let total: i64 = sizes.iter().sum();
            let mut sum = 0;
            let all: Vec<ExecutionView> = sizes.iter().zip(1_u64..).map(|(size, n)| {
                sum += size;
                execution(n, *size, Some(sum), Some(sum == total))
            }).collect();
            let mut order = order();
            let mut told: Vec<(u32, Quantity, bool)> = Vec::new();
            for (place, list) in told_at {
                if list {
                    let known = order.booked;
                    prop_assert!(order.book_list(&all[..all.len() - 1], |_| Money::ZERO, |f, l| told.push((f.number, f.quantity, l))));
                    prop_assert!(order.booked >= known);
                } else if let Some(one) = all.get(place) && let Booking::Fill(fill, last) = order.book(one, Money::ZERO) {
                    told.push((fill.number, fill.quantity, last));
                }
            }
            order.note(&view(ViewState::Filled, total));
            prop_assert!(order.book_list(&all, |_| Money::ZERO, |f, l| told.push((f.number, f.quantity, l))));
            let numbers: Vec<u32> = told.iter().map(|(n, ..)| *n).collect();
            prop_assert_eq!(numbers, (1..=u32::try_from(all.len()).unwrap()).collect::<Vec<_>>());
            let expected: Vec<Quantity> = all.iter().map(|e| e.quantity).collect();
            prop_assert_eq!(told.iter().map(|(_, q, _)| *q).collect::<Vec<_>>(), expected);
            prop_assert!(told.iter().rev().skip(1).all(|(.., last)| !last) && told.last().unwrap().2);
            prop_assert_eq!(order.finish().map(|(state, _)| state), Some(OrderState::Filled));
        }
    }
}
