//! What is not ours: liquidations, auto-deleveraging, settlements, and what the user or another program did by hand.
//!
//! **Invariants**: an execution by others counts once. It is taken for ours to book only as far as it makes a position of ours
//! smaller; the rest is foreign and left alone. A change that no execution explains is booked at the mark price after several
//! looks, and said (CASES.md F6, P6–P9, X14).

use std::collections::BTreeMap;

use engine::core::fixed::{Money, Quantity, Rounding};
use engine::core::ids::{ClientOrderId, Leg, Timestamp};
use engine::core::instrument::Symbol;
use engine::core::order::{Fill, VenueReport};

use super::account::Slot;
use super::limits::{
    LOOK_BACK_MIN_MS, LOOK_BACK_MS, ORPHAN_SPAN, ORPHANS_MAX, PAGES_MAX, UNEXPLAINED_FAILURES,
    UNEXPLAINED_LOOKS, UNEXPLAINED_PAUSE,
};
use super::order::{Phase, made_up_fill};
use super::placing::Ended;
use super::queue::{Reading, Timer, Why};
use super::{Connector, Notice, Shape};
use crate::live::pacing::Purpose;
use crate::live::protocol::{Answer, Ask, ExecutionView, FundingView, Maker, Millis};

/// Funding is settled on the hour, once in an hour at most, in microseconds.
const FUNDING_HOUR: u64 = 3_600_000_000;
/// Fundings of a stream that wait for older ones, per account: each exchange lists some 500 symbols.
const FUNDING_HELD_MAX: usize = 512;
/// An order is older than its executions: by a second at most, where the exchange itself makes it.
const FORCED_BEFORE_MS: u64 = 60_000;

impl<P: Shape> Connector<P> {
    /// An execution that a stream tells.
    pub(super) fn execution_told(&mut self, now: Timestamp, slot: Slot, execution: ExecutionView) {
        if let Some(id) = self.account(slot).find(&execution.client_id, &execution.venue_id) {
            self.streamed(slot, id);
            self.executed(now, slot, id, &execution);
            return;
        }
        if !matches!(execution.maker, Maker::Client | Maker::Stop | Maker::TakeProfit) {
            self.by_others(now, slot, &execution);
            return;
        }
        let account = self.account_mut(slot);
        if account.orphans.len() >= ORPHANS_MAX {
            // More than a trigger can explain: what is held decides.
            account.orphans.pop_front();
            self.want_comparison(now, slot);
        }
        let account = self.account_mut(slot);
        account.orphans.push_back((now, execution));
        self.queue.set(now.plus_micros(ORPHAN_SPAN), Timer::Orphans(slot));
    }

    /// Executions whose order has become known are its own; those that have waited long enough are somebody else's.
    pub(super) fn look_at_orphans(&mut self, now: Timestamp, slot: Slot) {
        let orphans = std::mem::take(&mut self.account_mut(slot).orphans);
        for (since, execution) in orphans {
            if let Some(id) = self.account(slot).find(&execution.client_id, &execution.venue_id) {
                self.executed(now, slot, id, &execution);
            } else if now.micros_since(since) < ORPHAN_SPAN {
                self.account_mut(slot).orphans.push_back((since, execution));
            } else if self.has_silent_trigger(slot, execution.symbol) {
                // A trigger of ours may have fired: it is asked before anybody else is blamed.
                self.queue.set(now.plus_micros(UNEXPLAINED_PAUSE), Timer::Explain(slot, execution.symbol));
            } else {
                self.by_others(now, slot, &execution);
            }
        }
    }

    /// Whether a trigger of ours on this symbol is live as far as we know.
    fn has_silent_trigger(&self, slot: Slot, symbol: Symbol) -> bool {
        let live = |o: &super::LiveOrder| {
            o.new.symbol == symbol && o.new.kind.is_trigger() && o.phase == Phase::Live && o.became.is_empty()
        };
        self.account(slot).orders.values().any(live)
    }

    /// Books an execution by somebody else as far as it concerns a position of ours.
    pub(super) fn by_others(&mut self, now: Timestamp, slot: Slot, execution: &ExecutionView) {
        let fee = self.fee_in_settlement(execution);
        let account = self.account_mut(slot);
        if !account.is_new_of_others(execution) {
            return;
        }
        let open = account.expected(execution.symbol);
        let closes = open != 0 && open.signum() == -execution.side.sign();
        let ours = if closes { execution.quantity.units().min(open.abs()) } else { 0 };
        if ours > 0 {
            let quantity = Quantity::from_units(ours);
            // Of an execution that is ours in part, the fee is too.
            let fee = fee.scaled(ours, execution.quantity.units(), Rounding::HalfEven).unwrap_or(Money::ZERO);
            account.others_fills += 1;
            let fill = Fill {
                number: account.others_fills,
                price: execution.price,
                quantity,
                fee,
                liquidity: execution.liquidity,
                venue_at: Timestamp::from_millis(execution.at.0),
            };
            account.moved(execution.symbol, execution.side, quantity);
            let (account, symbol) = (account.id, execution.symbol);
            self.reports.push_back(match execution.maker {
                Maker::Liquidation | Maker::Adl => VenueReport::Liquidated { account, symbol, fill },
                Maker::Client | Maker::Stop | Maker::TakeProfit | Maker::Settlement => {
                    VenueReport::ClosedOutside { account, symbol, fill }
                }
            });
        } else {
            account.moves += 1;
            account.views.touch(execution.symbol);
        }
        self.queue.set(now.plus_micros(UNEXPLAINED_PAUSE), Timer::Explain(slot, execution.symbol));
    }

    /// A difference that has stayed: compares, which asks about our orders too, then reads the executions, then believes it.
    pub(super) fn explain(&mut self, now: Timestamp, slot: Slot, symbol: Symbol) {
        let account = self.account_mut(slot);
        if account.is_explained(symbol) {
            account.unexplained.remove(&symbol);
            return;
        }
        if account.credential.is_none() || account.unexplained.get(&symbol).is_some_and(|look| look.asking) {
            return;
        }
        self.queue.set(now.plus_micros(UNEXPLAINED_PAUSE), Timer::Explain(slot, symbol));
        let account = self.account_mut(slot);
        if account.is_refused() {
            // That nothing is answered explains nothing: not looked at, and not believed, before it can be seen again.
            return;
        }
        if !account.is_quiet(symbol) {
            // Our own orders first: what they did may be all of it.
            return;
        }
        let is_theirs = account.expected(symbol) == 0 || account.foreign.contains_key(&symbol);
        // Where we have traded nothing lately, nothing of ours can be missed: the word of the stream will do.
        let never_ours =
            account.expected(symbol) == 0 && !account.orders.values().any(|o| o.new.symbol == symbol);
        if !account.views.is_listed(symbol) && !never_ours {
            self.want_comparison(now, slot);
            return;
        }
        if is_theirs {
            self.note_foreign(now, slot, symbol);
            return;
        }
        // An entry of the other side that is over may have made the position smaller: its own list tells, and nobody else's word.
        if self.doubts_an_entry(now, slot, symbol) {
            return;
        }
        let account = self.account_mut(slot);
        let look = account.unexplained.entry(symbol).or_default();
        look.looks = look.looks.saturating_add(1);
        if look.looks > UNEXPLAINED_LOOKS || look.failures > UNEXPLAINED_FAILURES {
            self.believe(now, slot, symbol);
            return;
        }
        look.asking = true;
        // As far back as it can have come about: to the last list that fitted, by whichever process, or to the beginning of the
        // position. After a downtime that is before this process began.
        let settled = account.views.settled(symbol).0;
        let clock = self.pacer.clock().now(now).0;
        let since =
            settled.min(clock.saturating_sub(LOOK_BACK_MIN_MS)).max(clock.saturating_sub(LOOK_BACK_MS));
        let since = if planted::planted!("executions_of_a_downtime_not_read") {
            Millis(clock.saturating_sub(LOOK_BACK_MIN_MS))
        } else {
            Millis(since)
        };
        let ask = Ask::Executions { symbol, order: None, since, cursor: String::new() };
        self.ask(Some(slot), ask, Why::Explain(symbol, Reading::default()), Purpose::Reconcile);
    }

    /// The executions of a symbol, or a page of them.
    pub(super) fn explained(
        &mut self,
        now: Timestamp,
        slot: Slot,
        symbol: Symbol,
        mut read: Reading,
        ask: &Ask,
        end: Ended,
    ) {
        if let Some(look) = self.account_mut(slot).unexplained.get_mut(&symbol) {
            look.asking = false;
        }
        self.queue.set(now.plus_micros(UNEXPLAINED_PAUSE), Timer::Explain(slot, symbol));
        let Ended::Answered(Ok(Answer::Executions(rows, next))) = end else {
            self.look_failed(slot, symbol);
            return;
        };
        read.rows.extend(rows);
        if let (Some(cursor), Ask::Executions { since, .. }) = (next, ask) {
            if read.pages >= PAGES_MAX {
                // A part of it explains nothing: what is missing may be in the rest.
                self.look_failed(slot, symbol);
                return;
            }
            read.pages += 1;
            self.account_mut(slot).unexplained.entry(symbol).or_default().asking = true;
            let ask = Ask::Executions { symbol, order: None, since: *since, cursor };
            self.ask(Some(slot), ask, Why::Explain(symbol, read), Purpose::Reconcile);
            return;
        }
        read.rows.sort_by_key(|e| e.sequence);
        let mut named: BTreeMap<ClientOrderId, i64> = BTreeMap::new();
        for execution in &read.rows {
            self.note_own_trigger(slot, execution);
            if let Some(id) = self.account(slot).find(&execution.client_id, &execution.venue_id) {
                // Its own list tells it in order.
                self.want_fills(now, slot, id, 0);
                let sum = named.entry(id).or_default();
                *sum = sum.saturating_add(execution.quantity.units());
            }
        }
        let account = self.account(slot);
        let is_late = |(id, sum): (&ClientOrderId, &i64)| {
            account.orders.get(id).is_some_and(|o| !o.is_open() && *sum > o.booked.units())
        };
        if account.is_explained(symbol) || !account.is_quiet(symbol) || named.iter().any(is_late) {
            return;
        }
        if !account.views.is_listed(symbol) {
            self.look_failed(slot, symbol);
            return;
        }
        let settled = account.views.settled(symbol);
        // Only as much as is missing, newest first: what is older may have been booked before a restart.
        let foreign = account.foreign.get(&symbol).copied().unwrap_or(0);
        let mut missing =
            account.held(symbol).saturating_sub(account.expected(symbol)).saturating_sub(foreign);
        let mut theirs = Vec::new();
        for execution in read.rows.iter().rev() {
            let ours = self.account(slot).find(&execution.client_id, &execution.venue_id).is_some();
            let is_ours_by_name = ClientOrderId::parse(&execution.client_id).is_some();
            let is_old = execution.at < settled;
            let fits = execution.side.sign() == missing.signum();
            if missing == 0 || ours || is_ours_by_name || is_old || !fits {
                continue;
            }
            let taken = execution.quantity.units().min(missing.abs());
            missing -= missing.signum() * taken;
            theirs.push(execution.clone());
        }
        theirs.reverse();
        if let (false, Some(oldest)) = (P::LISTS_TELL_MAKERS, theirs.first()) {
            let since = Millis(oldest.at.0.saturating_sub(FORCED_BEFORE_MS));
            self.account_mut(slot).unexplained.entry(symbol).or_default().asking = true;
            let ask = Ask::ForcedOrders { symbol, since };
            self.ask(Some(slot), ask, Why::Forced(symbol, theirs), Purpose::Reconcile);
            return;
        }
        for execution in &theirs {
            self.by_others(now, slot, execution);
        }
    }

    /// A look at executions that showed nothing, or nothing that still counts: it is taken again, within bounds.
    fn look_failed(&mut self, slot: Slot, symbol: Symbol) {
        if let Some(look) = self.account_mut(slot).unexplained.get_mut(&symbol) {
            look.looks = look.looks.saturating_sub(1);
            look.failures = look.failures.saturating_add(1);
        }
    }

    /// The exchange's own orders on a symbol: executions of theirs are liquidations or the like (CASES.md F6).
    pub(super) fn forced_read(
        &mut self,
        now: Timestamp,
        slot: Slot,
        symbol: Symbol,
        theirs: Vec<ExecutionView>,
        end: Ended,
    ) {
        self.queue.set(now.plus_micros(UNEXPLAINED_PAUSE), Timer::Explain(slot, symbol));
        let account = self.account_mut(slot);
        let looks = account.unexplained.get_mut(&symbol).map_or(0, |look| {
            look.asking = false;
            look.looks
        });
        if account.is_explained(symbol) || !account.is_quiet(symbol) {
            return;
        }
        if !account.views.is_listed(symbol) {
            self.look_failed(slot, symbol);
            return;
        }
        let forced = match end {
            Ended::Answered(Ok(Answer::Orders(forced, _))) => forced,
            // Another look asks again; after the last one it is better booked as somebody's than not at all.
            _ if looks < UNEXPLAINED_LOOKS => return,
            _ => Vec::new(),
        };
        for mut execution in theirs {
            if let Some(order) = forced.iter().find(|order| order.venue_id == execution.venue_id) {
                execution.maker = order.maker;
            }
            self.by_others(now, slot, &execution);
        }
    }

    /// Bybit: what a position's own trigger did while nobody listened is the work of the order that stands for it, as far
    /// as it is not older than that order (CASES.md P8).
    fn note_own_trigger(&mut self, slot: Slot, execution: &ExecutionView) {
        let leg = match execution.maker {
            Maker::Stop => Leg::Stop,
            Maker::TakeProfit => Leg::TakeProfit,
            _ => return,
        };
        let account = self.account_mut(slot);
        if account.find(&execution.client_id, &execution.venue_id).is_some() {
            return;
        }
        let Some(id) = account.attached_leg(execution.symbol, leg) else { return };
        let Some(order) = account.orders.get_mut(&id).filter(|o| o.new.side == execution.side) else {
            return;
        };
        let began = order.sent_at.map_or(u64::MAX, Timestamp::millis);
        if execution.at.0 >= began {
            order.venue_id.clone_from(&execution.venue_id);
            account.name(&execution.venue_id, id);
        }
    }

    /// No execution explains it: the exchange is right all the same.
    fn believe(&mut self, now: Timestamp, slot: Slot, symbol: Symbol) {
        let account = self.account(slot);
        let (id, expected) = (account.id, account.expected(symbol));
        let foreign = account.foreign.get(&symbol).copied().unwrap_or(0);
        let delta = account.held(symbol).saturating_sub(expected).saturating_sub(foreign);
        let shrinks = delta.signum() == -expected.signum();
        let mark = self.mark(now, symbol);
        if !shrinks || delta == 0 {
            self.note_foreign(now, slot, symbol);
            return;
        }
        let Some(price) = mark else {
            // Without a price nothing can be booked; with the next one it is.
            self.queue.set(now.plus_micros(UNEXPLAINED_PAUSE), Timer::Explain(slot, symbol));
            return;
        };
        let quantity = Quantity::from_units(delta.abs().min(expected.abs()));
        let side = if delta > 0 { engine::core::order::Side::Buy } else { engine::core::order::Side::Sell };
        let account = self.account_mut(slot);
        account.unexplained.remove(&symbol);
        // What exits that are over did is in it, whenever a list tells their fills.
        for order in account.orders.values_mut().filter(|o| o.new.symbol == symbol) {
            order.made_up(side);
        }
        account.others_fills += 1;
        let fill = made_up_fill(account.others_fills, price, quantity, now);
        account.moved(symbol, side, quantity);
        self.reports.push_back(VenueReport::ClosedOutside { account: id, symbol, fill });
        self.notice(Notice::Unexplained(id, symbol, delta));
        self.difference(now, slot, symbol);
    }

    /// Funding that a stream tells. What was settled before it and not read yet is told first: the engine takes funding in its
    /// order (CASES.md F1).
    pub(super) fn funding_told(&mut self, slot: Slot, funding: &FundingView) {
        let account = self.account_mut(slot);
        let Some(symbol) = funding.symbol.or_else(|| account.only_symbol()) else { return };
        let told = account.funded.get(&symbol).copied().unwrap_or_default();
        let opened = account.opened.get(&symbol).copied().unwrap_or_default();
        let known_since = account.funding_since.max(told).max(opened);
        let is_next = Timestamp::from_millis(funding.at.0).micros_since(known_since) < FUNDING_HOUR;
        let funding = FundingView { symbol: Some(symbol), ..funding.clone() };
        if is_next || !account.lacks_funding() || planted::planted!("funding_told_before_older_is_read") {
            self.book_funding(slot, &funding);
        } else if account.funding_held.len() < FUNDING_HELD_MAX {
            account.funding_held.push(funding);
        } else {
            // The list tells it.
            account.held_since_funding = true;
            account.funding_checked_at = None;
        }
    }

    /// Funding that the exchange settled: once per symbol and hour, whoever tells it (CASES.md F1).
    pub(super) fn book_funding(&mut self, slot: Slot, funding: &FundingView) {
        let at = Timestamp::from_millis(funding.at.0);
        let venue_at = if planted::planted!("funding_known_by_its_exact_time") {
            at
        } else {
            Timestamp(at.0 - at.0 % FUNDING_HOUR)
        };
        let Some(symbol) = funding.symbol.or_else(|| self.account(slot).only_symbol()) else { return };
        let mark_of = |symbol: Symbol| self.mark_held(symbol).map(|mark| mark.price);
        let mark = funding.mark.or_else(|| mark_of(symbol)).unwrap_or(engine::core::fixed::Price::ZERO);
        let account = self.account_mut(slot);
        if account.funded.get(&symbol).is_some_and(|told| *told >= venue_at) {
            return;
        }
        account.funded.insert(symbol, venue_at);
        account.moves += 1;
        let (account, rate) = (account.id, funding.rate.unwrap_or(engine::core::fixed::Rate::ZERO));
        let amount = funding.amount;
        self.reports.push_back(VenueReport::Funding { account, symbol, venue_at, rate, mark, amount });
    }

    /// A fee in the settlement currency: one paid in another asset is converted at its price now (CASES.md F5).
    pub(super) fn fee_in_settlement(&self, execution: &ExecutionView) -> Money {
        let asset = execution.fee_asset.as_str();
        if asset.is_empty() || P::SETTLEMENT.contains(&asset) || execution.fee.is_zero() {
            return execution.fee;
        }
        let price =
            Symbol::new(&format!("{asset}USDT")).and_then(|s| self.mark_held(s)).map(|mark| mark.price);
        price
            .and_then(|p| execution.fee.scaled(p.units(), engine::core::fixed::UNIT, Rounding::HalfEven))
            .unwrap_or(Money::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use engine::core::fixed::Price;
    use engine::core::ids::{AccountId, UserId};
    use engine::core::order::{Liquidity, Side};

    use super::super::account::Unexplained;
    use super::*;
    use crate::live::binance::Binance;
    use crate::live::connector::{KnownAccount, KnownPosition};
    use crate::live::credential::{Credential, KeyKind};
    use crate::live::pacing::limits::VenueLimits;
    use crate::live::pacing::{AddressBudget, Pacer};

    const NOW: Timestamp = Timestamp(1_700_000_000_000_000);

    /// A connector with an account that holds a long position of 10.
    fn holding(symbol: Symbol) -> Connector<Binance> {
        holding_since(symbol, Timestamp(0))
    }

    /// The same with the time of its first fill.
    fn holding_since(symbol: Symbol, opened_at: Timestamp) -> Connector<Binance> {
        let budget = AddressBudget::new(VenueLimits::BINANCE, 1).unwrap();
        let mut connector = Connector::new(Pacer::new(budget), 1);
        let size = Quantity::from_whole(10).units();
        let position = KnownPosition { symbol, size, opened_at, funded_at: Timestamp(0) };
        let id = AccountId { user: UserId(1), index: 0 };
        let known = KnownAccount::on_paper(id, vec![position], Vec::new());
        connector.add_account(NOW, known).unwrap();
        connector
    }

    #[test]
    fn case_f1_funding_that_stream_and_list_time_differently_counts_once() {
        const HOUR: u64 = 3_600_000;
        let symbol = Symbol::new("BTCUSDT").unwrap();
        let mut connector = holding(symbol);
        let settled = NOW.millis() / HOUR * HOUR;
        // The list has the settlement's time, the stream the moment of telling.
        for at in [settled, settled + 4_217, settled, settled + 8 * HOUR + 12, settled + 8 * HOUR] {
            let amount = Money::from_whole(1);
            let (asset, at) = ("USDT".to_owned(), Millis(at));
            let funding = FundingView { symbol: Some(symbol), amount, asset, rate: None, mark: None, at };
            connector.book_funding(Slot(0), &funding);
        }
        let told: Vec<VenueReport> = connector.reports.drain(..).collect();
        let times: Vec<Timestamp> = told
            .iter()
            .map(|report| match report {
                VenueReport::Funding { venue_at, .. } => *venue_at,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(times, [Timestamp::from_millis(settled), Timestamp::from_millis(settled + 8 * HOUR)]);
    }

    fn funding(symbol: Symbol, at: u64) -> FundingView {
        let (amount, asset) = (Money::from_whole(1), "USDT".to_owned());
        FundingView { symbol: Some(symbol), amount, asset, rate: None, mark: None, at: Millis(at) }
    }

    #[test]
    fn funding_from_before_a_position_is_somebody_elses() {
        const HOUR: u64 = 3_600_000;
        let symbol = Symbol::new("BTCUSDT").unwrap();
        let hour = NOW.millis() / HOUR * HOUR;
        // It began some minutes after that hour, or some seconds before it by a clock that is not the settlement's.
        for (opened, counts) in [(hour + 300_000, false), (hour - 4_000, true), (hour + 4_000, true)] {
            let mut connector = holding_since(symbol, Timestamp::from_millis(opened));
            connector.book_funding(Slot(0), &funding(symbol, hour - 8 * HOUR));
            assert!(connector.reports.is_empty(), "{:?}", connector.reports);
            connector.book_funding(Slot(0), &funding(symbol, hour));
            assert_eq!(connector.reports.len(), usize::from(counts), "opened at {opened}");
            connector.book_funding(Slot(0), &funding(symbol, hour + HOUR));
            assert_eq!(connector.reports.len(), usize::from(counts) + 1);
        }
    }

    #[test]
    fn funding_whose_list_does_not_end_is_read_on_where_it_was_cut() {
        const HOUR: u64 = 3_600_000;
        let symbol = Symbol::new("BTCUSDT").unwrap();
        let mut connector = holding(symbol);
        let hour = NOW.millis() / HOUR * HOUR;
        let ask = Ask::Funding { since: Millis(hour - 100 * HOUR), cursor: "64".to_owned() };
        let rows = |hours: std::ops::Range<u64>| hours.map(|n| funding(symbol, hour - n * HOUR)).collect();
        let cut = |rows| Ended::Answered(Ok(Answer::Funding(rows, Some("65".to_owned()))));
        let account = connector.account_mut(Slot(0));
        account.funding_asking = true;
        account.funding_reading = (NOW, rows(60..90), PAGES_MAX);
        connector.funding_read(NOW, Slot(0), &ask, cut(rows(40..60)));
        assert_eq!(connector.reports.len(), 50);
        let account = connector.account(Slot(0));
        assert_eq!(account.funding_since.millis(), hour - 40 * HOUR);
        assert!(account.lacks_funding(), "the rest of it is still to be read");
        // One that comes no further is none.
        let ask = Ask::Funding { since: Millis(hour - 41 * HOUR), cursor: "64".to_owned() };
        connector.account_mut(Slot(0)).funding_reading = (NOW, Vec::new(), PAGES_MAX);
        connector.funding_read(NOW, Slot(0), &ask, cut(rows(40..41)));
        let account = connector.account(Slot(0));
        assert_eq!((account.funding_since.millis(), account.funding_failures), (hour - 40 * HOUR, 1));
    }

    #[test]
    fn a_part_of_a_list_of_executions_explains_nothing() {
        let symbol = Symbol::new("BTCUSDT").unwrap();
        let mut connector = holding(symbol);
        let look = Unexplained { looks: 1, failures: 0, asking: true };
        connector.account_mut(Slot(0)).unexplained.insert(symbol, look);
        let ask = Ask::Executions { symbol, order: None, since: Millis(0), cursor: "64".to_owned() };
        let read = Reading { rows: Vec::new(), pages: PAGES_MAX };
        let cut = Ended::Answered(Ok(Answer::Executions(Vec::new(), Some("65".to_owned()))));
        connector.explained(NOW, Slot(0), symbol, read, &ask, cut);
        let look = connector.account(Slot(0)).unexplained[&symbol];
        assert_eq!((look.looks, look.failures, look.asking), (0, 1, false));
    }

    #[test]
    fn what_is_refused_explains_nothing() {
        let symbol = Symbol::new("BTCUSDT").unwrap();
        for is_refused in [true, false] {
            let mut connector = holding(symbol);
            let account = connector.account_mut(Slot(0));
            account.credential = Some(Credential::new(KeyKind::Hmac, "key", "secret").unwrap());
            account.views.ask(Millis(0));
            account.views.read();
            if is_refused {
                account.mending.mute();
            }
            for _ in 0..40 {
                connector.explain(NOW, Slot(0), symbol);
            }
            let has_looked = connector.account(Slot(0)).unexplained.contains_key(&symbol)
                || connector.account(Slot(0)).comparing != crate::live::connector::account::Comparing::No;
            assert_eq!(has_looked, !is_refused);
            assert!(connector.queue.next_due(NOW).is_some(), "it is come back to");
        }
    }

    #[test]
    fn an_execution_by_the_exchange_that_is_told_twice_counts_once() {
        let symbol = Symbol::new("BTCUSDT").unwrap();
        let mut connector = holding(symbol);
        for trade in [7, 7, 8, 7, 8] {
            let execution = ExecutionView {
                trade_id: trade.to_string(),
                sequence: trade,
                client_id: "adl_autoclose".to_owned(),
                venue_id: "1".to_owned(),
                symbol,
                side: Side::Sell,
                price: Price::from_whole(100),
                quantity: Quantity::from_whole(2),
                filled: None,
                is_last: None,
                fee: Money::ZERO,
                fee_asset: String::new(),
                liquidity: Liquidity::Taker,
                maker: Maker::Adl,
                at: Millis(NOW.millis()),
            };
            connector.execution_told(NOW, Slot(0), execution);
        }
        assert_eq!(connector.reports.len(), 2, "{:?}", connector.reports);
        let left = connector.told_position(AccountId { user: UserId(1), index: 0 }, symbol);
        assert_eq!(left, Quantity::from_whole(6).units());
    }
}
