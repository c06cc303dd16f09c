//! A venue around the paper venue that answers late, twice or not at all, refuses and is busy.
//!
//! **Runs on**: the simulator's thread, one per shard and life. **Owns**: reports on their way.
//! **Invariants**: what it tells about an account keeps its order; an order whose answers are lost is told whole again to
//! who queries it; a report is never made up, but for refusals of orders that the inner venue never saw.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use engine::core::ids::{AccountId, ClientOrderId, Timestamp};
use engine::core::instrument::{Instrument, Symbol};
use engine::core::order::{NewOrder, VenueReason, VenueReport};
use exchange::paper::PaperVenue;
use exchange::venue::{AccountError, AccountOpening, AccountSnapshot, Busy, Mark, Venue};
use storage::sim_disk::SimRandom;

use super::disk::OnStrike;
use super::faults::Fault;

/// What the venues are to do; shared by all shards' and outliving them.
pub(super) struct Controls {
    random: RefCell<SimRandom>,
    /// So many of the next orders are taken and their answers lost.
    pub(super) answers_lost: Cell<u32>,
    /// So many of the next orders are lost on the way.
    pub(super) orders_lost: Cell<u32>,
    /// So many of the next orders are refused.
    pub(super) refused: Cell<u32>,
    /// Reports take up to this long, in microseconds.
    pub(super) late_micros_max: Cell<u64>,
    /// One in so many reports is told twice; zero for none.
    pub(super) twice_one_in: Cell<u64>,
    /// Nothing is taken before this moment of the calendar.
    pub(super) busy_until: Cell<Timestamp>,
    /// Of these, nobody has felt what is in force: late reports, reports told twice, requests that are not taken.
    late_unfelt: Cell<bool>,
    twice_unfelt: Cell<bool>,
    busy_unfelt: Cell<bool>,
    /// Is told of a fault when it strikes.
    pub(super) on_strike: RefCell<Option<OnStrike>>,
}

impl Controls {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: RefCell::new(SimRandom::new(seed)),
            answers_lost: Cell::new(0),
            orders_lost: Cell::new(0),
            refused: Cell::new(0),
            late_micros_max: Cell::new(0),
            twice_one_in: Cell::new(0),
            busy_until: Cell::new(Timestamp(0)),
            late_unfelt: Cell::new(false),
            twice_unfelt: Cell::new(false),
            busy_unfelt: Cell::new(false),
            on_strike: RefCell::new(None),
        }
    }

    /// No fault from now on; what was lost is lost.
    pub(super) fn heal(&self) {
        self.answers_lost.set(0);
        self.orders_lost.set(0);
        self.refused.set(0);
        self.late_micros_max.set(0);
        self.twice_one_in.set(0);
        self.busy_until.set(Timestamp(0));
    }

    /// Reports take up to this long from now on.
    pub(super) fn answer_late(&self, micros_max: u64) {
        self.late_micros_max.set(micros_max);
        self.late_unfelt.set(true);
    }

    /// One in so many reports is told twice from now on.
    pub(super) fn answer_twice(&self, one_in: u64) {
        self.twice_one_in.set(one_in);
        self.twice_unfelt.set(true);
    }

    /// Nothing is taken before this moment.
    pub(super) fn be_busy(&self, until: Timestamp) {
        self.busy_until.set(until);
        self.busy_unfelt.set(true);
    }

    fn strikes(&self, fault: Fault, count: &Cell<u32>) -> bool {
        let left = count.get();
        count.set(left.saturating_sub(1));
        if left > 0 {
            self.strike(fault);
        }
        left > 0
    }

    fn strike(&self, fault: Fault) {
        if let Some(told) = self.on_strike.borrow().clone() {
            told(fault);
        }
    }

    /// What is in force for a while counts when somebody feels it first.
    fn feel(&self, fault: Fault, unfelt: &Cell<bool>) {
        if unfelt.replace(false) {
            self.strike(fault);
        }
    }

    fn is_busy(&self, now: Timestamp) -> bool {
        let busy = now < self.busy_until.get();
        if busy {
            self.feel(Fault::VenueBusy, &self.busy_unfelt);
        }
        busy
    }
}

/// Why a venue refuses without a reason in the order.
const REASONS: [VenueReason; 3] = [VenueReason::TooManyOrders, VenueReason::Margin, VenueReason::Liquidity];

/// See the module's head.
pub(super) struct FaultyVenue {
    pub(super) inner: PaperVenue,
    controls: Rc<Controls>,
    /// Reports on their way, with the moment they arrive; in order per account.
    under_way: VecDeque<(Timestamp, VenueReport)>,
    /// The newest arrival of each account's reports.
    newest: BTreeMap<AccountId, Timestamp>,
    /// Orders whose answers are lost until somebody asks.
    silent: BTreeSet<ClientOrderId>,
    /// Orders that never came here, to be refused.
    refusals: VecDeque<(ClientOrderId, VenueReason)>,
}

fn order_of(report: &VenueReport) -> Option<ClientOrderId> {
    match report {
        VenueReport::Accepted { id, .. }
        | VenueReport::Rejected { id, .. }
        | VenueReport::Filled { id, .. }
        | VenueReport::Ended { id, .. }
        | VenueReport::NotFound { id } => Some(*id),
        VenueReport::LateEntry { order, .. } => Some(order.id),
        VenueReport::Funding { .. }
        | VenueReport::Liquidated { .. }
        | VenueReport::ClosedOutside { .. }
        | VenueReport::Wallet { .. } => None,
    }
}

impl FaultyVenue {
    pub(super) fn new(inner: PaperVenue, controls: &Rc<Controls>) -> Self {
        Self {
            inner,
            controls: Rc::clone(controls),
            under_way: VecDeque::new(),
            newest: BTreeMap::new(),
            silent: BTreeSet::new(),
            refusals: VecDeque::new(),
        }
    }

    fn send(&mut self, now: Timestamp, report: VenueReport) {
        let mut random = self.controls.random.borrow_mut();
        let late = match self.controls.late_micros_max.get() {
            0 => 0,
            max => random.below(max),
        };
        let times = match self.controls.twice_one_in.get() {
            0 => 1,
            n => 1 + u64::from(random.one_in(n)),
        };
        drop(random);
        if late > 0 {
            self.controls.feel(Fault::AnswerLate, &self.controls.late_unfelt);
        }
        if times > 1 {
            self.controls.feel(Fault::AnswerTwice, &self.controls.twice_unfelt);
        }
        let newest = self.newest.entry(report.account()).or_default();
        let at = now.plus_micros(late).max(*newest);
        *newest = at;
        for _ in 0..times {
            self.under_way.push_back((at, report));
        }
    }
}

impl Venue for FaultyVenue {
    fn instruments(&self) -> &[Instrument] {
        self.inner.instruments()
    }
    fn instrument(&self, symbol: Symbol) -> Option<&Instrument> {
        self.inner.instrument(symbol)
    }
    fn mark(&self, symbol: Symbol) -> Option<Mark> {
        self.inner.mark(symbol)
    }
    fn open_account(&mut self, opening: AccountOpening) -> Result<(), AccountError> {
        self.inner.open_account(opening)
    }
    fn restore(&mut self, snapshot: &AccountSnapshot) -> Result<(), AccountError> {
        self.inner.restore(snapshot)
    }

    fn submit(&mut self, now: Timestamp, order: &NewOrder) -> Result<(), Busy> {
        if self.controls.is_busy(now) {
            return Err(Busy);
        }
        if self.controls.strikes(Fault::OrderLost, &self.controls.orders_lost) {
            return Ok(());
        }
        if self.controls.strikes(Fault::Refused, &self.controls.refused) {
            let pick = self.controls.random.borrow_mut().below(REASONS.len() as u64);
            let reason = REASONS[usize::try_from(pick).expect("below a length")];
            self.refusals.push_back((order.id, reason));
            return Ok(());
        }
        self.inner.submit(now, order)?;
        if self.controls.strikes(Fault::AnswerLost, &self.controls.answers_lost) {
            self.silent.insert(order.id);
        }
        Ok(())
    }

    fn cancel(&mut self, now: Timestamp, id: ClientOrderId) -> Result<(), Busy> {
        if self.controls.is_busy(now) {
            return Err(Busy);
        }
        self.inner.cancel(now, id)
    }

    fn query(&mut self, now: Timestamp, id: ClientOrderId) -> Result<(), Busy> {
        if self.controls.is_busy(now) {
            return Err(Busy);
        }
        self.inner.query(now, id)?;
        self.silent.remove(&id);
        Ok(())
    }

    fn poll(&mut self, now: Timestamp, budget: usize, sink: &mut impl FnMut(VenueReport)) -> usize {
        let mut reports = Vec::new();
        let mut units = self.inner.poll(now, budget, &mut |report| reports.push(report));
        for report in reports {
            if order_of(&report).is_none_or(|id| !self.silent.contains(&id)) {
                self.send(now, report);
            }
        }
        while let Some((id, reason)) = self.refusals.pop_front() {
            self.send(now, VenueReport::Rejected { id, reason });
        }
        // Arrivals of different accounts overtake each other; of one account they do not, for their moments do not.
        let mut at = 0;
        while at < self.under_way.len() && units < budget {
            if self.under_way[at].0 <= now
                && let Some((_, report)) = self.under_way.remove(at)
            {
                units += 1;
                sink(report);
            } else {
                at += 1;
            }
        }
        units
    }

    fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        let refusal = (!self.refusals.is_empty()).then_some(now);
        let arrival = self.under_way.iter().map(|(at, _)| *at).min();
        [self.inner.next_due(now), arrival, refusal].into_iter().flatten().min()
    }
}
