//! The paper venue: an exchange made of a market, its rules and the accounts of one shard.
//!
//! **Runs on**: the shard that owns its accounts; each shard has its own, and all play the same market. Accounts do
//! not meet each other, so what happens to one does not depend on the others or on the number of shards.
//! **Owns**: wallets, positions and orders as the exchange sees them, since the last restore.
//! **Invariants**: wallet = start + realised − fees + funding, to the last unit, by the rules of
//! `docs/paper-venue.md` ([`rules`]); a reduce-only order never flips a position; one id makes one order; the market
//! does not advance while a request or a report waits. **Bounds**: [`PaperLimits`]; reports waiting are at most
//! those of one event on one account. A tick costs O(log n) and what it fires.
//! **Never**: reads a clock or a file, uses a float, or iterates over accounts that a tick does not concern.

mod account;
mod admission;
mod book;
mod execution;
mod funding;
mod leverage;
mod listing;
mod restore;
pub mod rules;
mod tick;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use engine::core::fixed::{Money, Price, Quantity, Rate};
use engine::core::ids::{AccountId, ClientOrderId, Timestamp};
use engine::core::instrument::{Instrument, Symbol};
use engine::core::order::{NewOrder, VenueReport};

use crate::market::{Market, Pace};
use crate::venue::{AccountError, AccountOpening, AccountSnapshot, Busy, Mark, Venue};
use account::{Account, InstrumentIndex, closes_only};
use book::{Book, Slot};
use tick::Running;

pub use funding::FundingTable;
pub use listing::{Listing, listings};

/// Largest notional of a position with all orders that may add to it, and largest wallet to open an account with. With [`crate::market::file::PRICE_SPREAD_MAX`] it
/// keeps every product within the range of `Money` (9.2e10).
pub const NOTIONAL_MAX: Money = Money::from_whole(1_000_000_000);
/// Fills after which a market order (or a fired trigger) that is still not complete ends with reason `liquidity`:
/// one per tick, so about two seconds of a generated market.
pub const MARKET_FILLS_MAX: u32 = 10;
/// Funding boundaries that are made up for at once after a gap in the prices: one week. Older ones are dropped.
pub const FUNDING_CATCH_UP_MAX: u64 = 21;

const _: () = assert!(
    NOTIONAL_MAX.units() <= i64::MAX / crate::market::file::PRICE_SPREAD_MAX,
    "a position within the notional limit must have a notional at every price of a file"
);

/// The bounds of a paper venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaperLimits {
    /// Accounts; more are refused with `TooMany`.
    pub accounts_max: u32,
    /// Live orders per account; more are refused with reason `too_many_orders`. Binance has 200 (EXCHANGES.md §2.3).
    pub orders_max: usize,
    /// Of these, how many are kept for orders that only make a position smaller.
    pub orders_reserved: usize,
    /// Requests waiting for a poll; more are refused with [`Busy`].
    pub requests_max: usize,
    /// Of these, how many are kept for everything but opening orders.
    pub requests_reserved: usize,
    /// Finished orders per account whose id is still answered with their state. An id older than that is taken for a
    /// new one, or not found: the engine never submits an order again that it knows to be finished.
    pub finished_kept: usize,
}

impl Default for PaperLimits {
    fn default() -> Self {
        Self {
            accounts_max: 100_000,
            orders_max: 200,
            orders_reserved: 50,
            requests_max: 65_536,
            requests_reserved: 16_384,
            finished_kept: 32,
        }
    }
}

/// How a paper venue is set up. The same on every shard, except for the seat at the gate.
#[derive(Clone, Debug)]
pub struct PaperSettings {
    /// What it lists.
    pub listings: Vec<Listing>,
    /// The funding rate where no table says otherwise.
    pub funding_rate: Rate,
    /// Funding rates over time, per symbol.
    pub funding: Vec<(Symbol, Arc<FundingTable>)>,
    /// How fast the market plays.
    pub pace: Pace,
    /// Its bounds.
    pub limits: PaperLimits,
}

impl Default for PaperSettings {
    fn default() -> Self {
        Self {
            listings: listings(),
            funding_rate: Rate::from_units(10_000),
            funding: Vec::new(),
            pace: Pace::default(),
            limits: PaperLimits::default(),
        }
    }
}

/// Why a paper venue cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// A symbol is listed twice.
    #[error("{0} is listed twice: remove one of the listings")]
    ListedTwice(Symbol),
    /// More instruments than a venue can hold.
    #[error("more than 65535 instruments: list fewer")]
    TooManyInstruments,
    /// A listing that cannot work.
    #[error("the listing of {symbol} cannot work: {what}")]
    Listing {
        /// Which.
        symbol: Symbol,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The market or the funding has a symbol that is not listed.
    #[error("{0} has prices or funding but is not listed: add a listing or choose another symbol")]
    NotListed(Symbol),
    /// Limits that leave no room.
    #[error("a reserved part must be smaller than its whole: lower orders_reserved or requests_reserved")]
    Limits,
}

#[derive(Clone, Copy, Debug)]
enum Request {
    Submit(NewOrder),
    Cancel(ClientOrderId),
    Query(ClientOrderId),
}

/// The paper venue. See the file's header for the contract.
#[derive(Debug)]
pub struct PaperVenue {
    instruments: Vec<Instrument>,
    depths: Vec<Quantity>,
    books: Vec<Book>,
    funding_rate: Rate,
    limits: PaperLimits,
    pace: Pace,
    market: Market,
    accounts: Vec<Account>,
    slots: BTreeMap<AccountId, Slot>,
    requests: VecDeque<Request>,
    reports: VecDeque<VenueReport>,
    running: Option<Running>,
    /// What the gate was told last: ticks played, market over.
    published: (u64, bool),
}

impl PaperVenue {
    /// A venue with no accounts, on a market at its beginning. The prices of the market's first instant are shown at
    /// once, whatever the pace says.
    ///
    /// # Errors
    /// See [`SetupError`].
    pub fn new(settings: PaperSettings, market: Market) -> Result<Self, SetupError> {
        let PaperSettings { mut listings, funding_rate, funding, pace, limits } = settings;
        if limits.orders_reserved >= limits.orders_max || limits.requests_reserved >= limits.requests_max {
            return Err(SetupError::Limits);
        }
        if listings.len() > usize::from(InstrumentIndex::MAX) {
            return Err(SetupError::TooManyInstruments);
        }
        listings.sort_by_key(|listing| listing.instrument.symbol);
        for pair in listings.windows(2) {
            if pair[0].instrument.symbol == pair[1].instrument.symbol {
                return Err(SetupError::ListedTwice(pair[0].instrument.symbol));
            }
        }
        for listing in &listings {
            if let Some(what) = flaw(listing) {
                return Err(SetupError::Listing { symbol: listing.instrument.symbol, what });
            }
        }
        let mut venue = Self {
            instruments: listings.iter().map(|listing| listing.instrument).collect(),
            depths: listings.iter().map(|listing| listing.depth).collect(),
            books: vec![Book::default(); listings.len()],
            funding_rate,
            limits,
            pace,
            market,
            accounts: Vec::new(),
            slots: BTreeMap::new(),
            requests: VecDeque::new(),
            reports: VecDeque::new(),
            running: None,
            published: (0, false),
        };
        for symbol in venue.market.symbols() {
            venue.index_of(symbol).ok_or(SetupError::NotListed(symbol))?;
        }
        for (symbol, table) in funding {
            let index = venue.index_of(symbol).ok_or(SetupError::NotListed(symbol))?;
            venue.books[usize::from(index)].rates = Some(table);
        }
        if let Some(first) = venue.market.peek() {
            venue.skip_through(first.venue_at);
        }
        Ok(venue)
    }

    /// Moves the market on to just after `through` without playing it to anyone; only prices are seen. For a restart,
    /// before accounts are restored: `through` is the newest venue time in the engine's durable state.
    pub fn skip_through(&mut self, through: Timestamp) {
        let (books, instruments) = (&mut self.books, &self.instruments);
        self.market.skip_through(through, &mut |tick| {
            if let Ok(index) = instruments.binary_search_by_key(&tick.symbol, |instrument| instrument.symbol)
            {
                books[index].mark = Some(Mark { price: tick.price, venue_at: tick.venue_at });
            }
        });
    }

    /// How much one order can take from the market of a symbol in one tick.
    #[must_use]
    pub fn depth(&self, symbol: Symbol) -> Option<Quantity> {
        self.index_of(symbol).map(|index| self.depths[usize::from(index)])
    }

    /// Puts a price into the market that it would not have had: it is played when its time is due, before the market's own
    /// at that time. Earlier than one that was handed in before, it is played together with that one.
    ///
    /// # Errors
    /// [`SetupError::NotListed`]: no such symbol. [`SetupError::Listing`]: the price is below half a tick.
    pub fn hand_price(
        &mut self,
        symbol: Symbol,
        price: Price,
        at: Timestamp,
        continuous: bool,
    ) -> Result<(), SetupError> {
        let index = self.index_of(symbol).ok_or(SetupError::NotListed(symbol))?;
        let tick = self.instrument_at(index).tick;
        let price = rules::nearest_tick(price, tick)
            .ok_or(SetupError::Listing { symbol, what: "a price below half a tick" })?;
        self.market.hand(symbol, price, at, continuous);
        Ok(())
    }

    /// How many ticks of the market have been played.
    #[must_use]
    pub fn played(&self) -> u64 {
        self.market.played()
    }

    /// What the venue holds of an account, for reconciliation. `None` when it is not open.
    #[must_use]
    pub fn account(&self, id: AccountId) -> Option<AccountSnapshot> {
        let slot = *self.slots.get(&id)?;
        Some(self.snapshot_of(slot))
    }

    fn index_of(&self, symbol: Symbol) -> Option<InstrumentIndex> {
        let index = self.instruments.binary_search_by_key(&symbol, |instrument| instrument.symbol).ok()?;
        Some(InstrumentIndex::try_from(index).expect("checked when the venue was made"))
    }

    fn instrument_at(&self, index: InstrumentIndex) -> &Instrument {
        &self.instruments[usize::from(index)]
    }

    fn book(&self, index: InstrumentIndex) -> &Book {
        &self.books[usize::from(index)]
    }

    fn book_mut(&mut self, index: InstrumentIndex) -> &mut Book {
        &mut self.books[usize::from(index)]
    }

    fn account_at(&self, slot: Slot) -> &Account {
        &self.accounts[slot as usize]
    }

    fn account_at_mut(&mut self, slot: Slot) -> &mut Account {
        &mut self.accounts[slot as usize]
    }

    fn enroll(&mut self, account: Account) -> Result<Slot, AccountError> {
        let slot = Slot::try_from(self.accounts.len()).unwrap_or(Slot::MAX);
        if slot >= self.limits.accounts_max {
            return Err(AccountError::TooMany(self.limits.accounts_max));
        }
        if self.slots.contains_key(&account.id) {
            return Err(AccountError::AlreadyOpen(account.id));
        }
        self.slots.insert(account.id, slot);
        self.accounts.push(account);
        Ok(slot)
    }

    fn enqueue(&mut self, request: Request) -> Result<(), Busy> {
        let opens = matches!(&request, Request::Submit(order) if !closes_only(order));
        let reserved = if opens { self.limits.requests_reserved } else { 0 };
        if self.requests.len() >= self.limits.requests_max - reserved {
            return Err(Busy);
        }
        self.requests.push_back(request);
        Ok(())
    }

    fn answer(&mut self, request: Request) {
        match request {
            Request::Submit(order) => self.admit(&order),
            Request::Cancel(id) => self.take_back(id),
            Request::Query(id) => self.tell(id),
        }
    }

    fn tell(&mut self, id: ClientOrderId) {
        let known = self
            .slots
            .get(&id.account)
            .is_some_and(|slot| self.accounts[*slot as usize].tell_state(id, &mut self.reports));
        if !known {
            self.reports.push_back(VenueReport::NotFound { id });
        }
    }

    /// Tells the gate how far this shard is, once the reports of a tick are handed out.
    fn publish(&mut self) {
        let Some(seat) = &self.pace.gate else { return };
        let now = (self.market.played(), self.market.peek().is_none());
        if now != self.published {
            self.published = now;
            seat.publish(now.0, now.1);
        }
    }
}

/// What makes a listing unusable, if anything.
fn flaw(listing: &Listing) -> Option<&'static str> {
    let i = &listing.instrument;
    let on_step = |quantity: Quantity| quantity.floor_to(i.step) == quantity;
    if !i.tick.is_positive() || !i.step.is_positive() {
        return Some("tick and step must be above zero");
    }
    if listing.depth < i.step || !on_step(listing.depth) {
        return Some("the depth must be a multiple of the step, at least one");
    }
    if i.leverage_max == 0 {
        return Some("the highest leverage must be 1 or more");
    }
    let rates = [i.fee_taker, i.fee_maker, i.fee_liquidation, i.maintenance];
    if rates.iter().any(|rate| rate.is_negative() || *rate >= Rate::from_whole(1)) {
        return Some("fees and maintenance must be at least 0 and below 1");
    }
    let used_up = |maintenance: Rate, leverage: u8| {
        maintenance.units().saturating_mul(leverage.into()) >= Rate::from_whole(1).units()
    };
    if used_up(i.maintenance, i.leverage_max) {
        return Some("maintenance must be below 1 / highest leverage");
    }
    let rows = i.brackets.rows();
    if rows.first().is_some_and(|row| (row.leverage_max, row.maintenance) != (i.leverage_max, i.maintenance))
    {
        return Some("the first bracket must have the instrument's leverage and maintenance");
    }
    let in_order = rows.windows(2).all(|pair| {
        pair[0].notional_max < pair[1].notional_max
            && pair[0].leverage_max > pair[1].leverage_max
            && pair[0].maintenance < pair[1].maintenance
    });
    if !in_order {
        return Some("from bracket to bracket notional and maintenance must rise and leverage fall");
    }
    if rows.iter().any(|row| row.leverage_max == 0 || used_up(row.maintenance, row.leverage_max)) {
        return Some("a bracket's leverage must be 1 or more, and its maintenance below 1 / leverage");
    }
    None
}

impl Venue for PaperVenue {
    fn instruments(&self) -> &[Instrument] {
        &self.instruments
    }

    fn instrument(&self, symbol: Symbol) -> Option<&Instrument> {
        self.index_of(symbol).map(|index| self.instrument_at(index))
    }

    fn mark(&self, symbol: Symbol) -> Option<Mark> {
        self.book(self.index_of(symbol)?).mark
    }

    fn open_account(&mut self, opening: AccountOpening) -> Result<(), AccountError> {
        if opening.wallet.is_negative() || opening.wallet > NOTIONAL_MAX {
            let what = "a wallet below zero or above 1000000000";
            return Err(AccountError::Inconsistent { account: opening.id, what });
        }
        self.enroll(Account::new(opening.id, opening.wallet)).map(|_| ())
    }

    fn restore(&mut self, snapshot: &AccountSnapshot) -> Result<(), AccountError> {
        self.restore_account(snapshot)
    }

    fn submit(&mut self, _now: Timestamp, order: &NewOrder) -> Result<(), Busy> {
        self.enqueue(Request::Submit(*order))
    }

    fn cancel(&mut self, _now: Timestamp, id: ClientOrderId) -> Result<(), Busy> {
        self.enqueue(Request::Cancel(id))
    }

    fn query(&mut self, _now: Timestamp, id: ClientOrderId) -> Result<(), Busy> {
        self.enqueue(Request::Query(id))
    }

    fn poll(&mut self, now: Timestamp, budget: usize, sink: &mut impl FnMut(VenueReport)) -> usize {
        let mut done = 0;
        while done < budget {
            if let Some(report) = self.reports.pop_front() {
                sink(report);
            } else if let Some(running) = self.running.take() {
                self.running = self.go_on(running);
            } else if let Some(request) = self.requests.pop_front() {
                self.answer(request);
            } else {
                self.publish();
                let due = self.market.peek().is_some_and(|tick| self.pace.due(now, &tick) <= now);
                let Some(tick) = due.then(|| self.market.advance()).flatten() else { break };
                self.running = self.begin(tick);
            }
            done += 1;
        }
        done
    }

    fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        if !self.reports.is_empty() || self.running.is_some() || !self.requests.is_empty() {
            return Some(now);
        }
        self.market.peek().map(|tick| self.pace.due(now, &tick).max(now))
    }
}
