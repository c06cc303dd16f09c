//! The exchange behind both faces: one paper venue, its accounts, their keys, orders and settings.
//!
//! **Runs on**: whoever owns it; it is told the time. **Owns**: the venue, accounts, keys, orders, events.
//! **Invariants**: what happens is a function of the market, the settings and the calls, in their order. Requests are
//! worked off at once, never between two halves of a tick. An order's internal id at the venue is its number, and its
//! generation after an amendment; the client's text never reaches the venue.
//! **Bounds**: [`ACCOUNTS_MAX`], [`KEYS_PER_ACCOUNT_MAX`], [`EVENTS_MAX`]; per account those of [`super::accounts`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use engine::core::fixed::{Money, Price};
use engine::core::ids::{ClientOrderId, Leg, SignalId, SourceId, Timestamp, UserId};
use engine::core::instrument::{Instrument, InstrumentStatus, Symbol};
use engine::core::order::{NewOrder, OrderKind, VenueReason};

use super::accounts::{Account, AccountNo, FINISHED_MAX, FaceKind, Income, IncomeKind};
use super::candles::Candles;
use super::events::{Change, Event, What};
use super::keys::{ApiKey, KeySpec};
use super::orders::{Order, OrderNo, OrderSpec, State};
use super::refusal::Refusal;
use super::triggers::Waiting;
use crate::market::{Generator, Market, Pace, RealTime, Speed};
use crate::paper::{Listing, PaperLimits, PaperSettings, PaperVenue, SetupError};
use crate::venue::{AccountOpening, Venue};

/// Accounts of an exchange: a fan-out's test has a thousand.
pub const ACCOUNTS_MAX: usize = 20_000;
/// Keys of an account, as Binance.
pub const KEYS_PER_ACCOUNT_MAX: usize = 30;
/// Events that wait to be told. They are taken after every call; one price moves at most all accounts, each with a few.
pub const EVENTS_MAX: usize = 262_144;
/// The first number of an order, so that numbers look like an exchange's.
const FIRST_NO: u64 = 8_000_000_001;

/// What an exchange is made of.
#[derive(Clone, Debug)]
pub struct CoreSettings {
    /// The venue's settings; its pace is not looked at.
    pub venue: PaperSettings,
    /// The market.
    pub market: Market,
    /// The market's time at the beginning ...
    pub market_from: Timestamp,
    /// ... and the clock's at that moment; above zero.
    pub now: Timestamp,
    /// How fast the market goes.
    pub speed: Speed,
}

/// The exchange's clock, apart from the caller's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// By how much it is ahead (negative: behind), in milliseconds.
    pub skew_ms: i64,
    /// Where it stands; `None`: it follows the caller's.
    pub standing: Option<Timestamp>,
}

/// See the module's contract.
#[derive(Debug)]
pub struct Core {
    pub(super) venue: PaperVenue,
    real_time: RealTime,
    /// The clock.
    pub clock: Clock,
    /// The exchange's time of the call that is worked off.
    now: Timestamp,
    pub(super) accounts: Vec<Account>,
    keys: BTreeMap<String, ApiKey>,
    pub(super) orders: BTreeMap<OrderNo, Order>,
    /// How often an order was sent to the venue; only for those that went there more than once.
    pub(super) generations: BTreeMap<OrderNo, u32>,
    /// Triggers that the venue does not hold.
    pub(super) waiting: Waiting,
    /// Triggers that stay where they are when they fire.
    pub(super) stuck: BTreeSet<OrderNo>,
    /// What is odd about the request that is worked off.
    pub(super) oddity: Option<Oddity>,
    /// The orders of fired triggers by the number under which the market has them.
    pub(super) fired: BTreeMap<OrderNo, OrderNo>,
    /// Orders with a last moment.
    pub(super) lifetimes: BTreeSet<(Timestamp, OrderNo)>,
    events: VecDeque<Event>,
    events_lost: u64,
    last_seq: u64,
    last_no: u64,
    candles: Candles,
    moved: BTreeSet<Symbol>,
    /// The venue's refusal of the order that is being submitted.
    pub(super) refused: Option<VenueReason>,
    /// The order that is being amended: its end at the venue is not its end.
    pub(super) amending: Option<OrderNo>,
    /// What is to be done when the reports of the moment are taken in: never while one is.
    pub(super) follow_ups: VecDeque<FollowUp>,
}

/// What a rule makes the exchange do with a request, besides what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Oddity {
    /// The trigger that it places never becomes an order.
    StayTriggering,
    /// Orders that have ended are in the history alone.
    ForgetEnded,
}

/// What follows from a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FollowUp {
    /// The order was filled: its position gets its triggers.
    Attach(OrderNo),
    /// The position is gone: what could only close it ends.
    Flat(AccountNo, Symbol),
}

impl CoreSettings {
    /// All listed symbols with generated prices that follow the caller's clock, and the room for orders that exchanges
    /// give.
    #[must_use]
    pub fn generated(seed: u64, now: Timestamp) -> Self {
        let venue = Self::venue();
        let symbols: Vec<_> = venue.listings.iter().map(Listing::generated).collect();
        let market = Market::generated(Generator::new(seed, &symbols, 250_000, now));
        Self { venue, market, market_from: now, now, speed: Speed::REAL }
    }

    /// The settings of a venue with room for 200 orders on each symbol.
    #[must_use]
    pub fn venue() -> PaperSettings {
        let limits = PaperLimits { orders_max: 2_000, orders_reserved: 400, ..PaperLimits::default() };
        PaperSettings { limits, ..PaperSettings::default() }
    }
}

impl Core {
    /// An exchange without accounts.
    ///
    /// # Errors
    /// See [`SetupError`].
    ///
    /// # Panics
    /// When `now` is zero.
    pub fn new(settings: CoreSettings) -> Result<Self, SetupError> {
        let CoreSettings { mut venue, market, market_from, now, speed } = settings;
        assert!(
            now > Timestamp(0),
            "the clock must be above zero: zero is the time at which no price is due"
        );
        let real_time = RealTime { market_from, real_from: now, speed };
        venue.pace = Pace { real_time: Some(real_time), gate: None };
        let mut core = Self {
            venue: PaperVenue::new(venue, market)?,
            real_time,
            clock: Clock::default(),
            now,
            accounts: Vec::new(),
            keys: BTreeMap::new(),
            orders: BTreeMap::new(),
            generations: BTreeMap::new(),
            waiting: Waiting::default(),
            stuck: BTreeSet::new(),
            oddity: None,
            fired: BTreeMap::new(),
            lifetimes: BTreeSet::new(),
            events: VecDeque::new(),
            events_lost: 0,
            last_seq: 0,
            last_no: FIRST_NO - 1,
            candles: Candles::default(),
            moved: BTreeSet::new(),
            refused: None,
            amending: None,
            follow_ups: VecDeque::new(),
        };
        core.see_prices();
        Ok(core)
    }

    // --- time -------------------------------------------------------------------------------------------------

    /// Sets the time and returns the exchange's. Every call of a face happens at this time.
    pub fn set_time(&mut self, now: Timestamp) -> Timestamp {
        self.oddity = None;
        self.set_time_off(now, 0)
    }

    /// The same by a clock that is off by so many milliseconds more, until the time is set again.
    pub(super) fn set_time_off(&mut self, now: Timestamp, ms: i64) -> Timestamp {
        let real = self.clock.standing.unwrap_or(now);
        let skew = (i128::from(self.clock.skew_ms) + i128::from(ms)) * 1_000;
        let told = i128::from(real.0).saturating_add(skew).max(1);
        self.now = Timestamp(u64::try_from(told).unwrap_or(u64::MAX));
        self.now
    }

    /// The exchange's time of the call that is worked off.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// The caller's clock's time of a moment of the market.
    #[must_use]
    pub fn time_of_market(&self, venue_at: Timestamp) -> Timestamp {
        self.real_time.due(venue_at)
    }

    /// The market's time at a moment of the caller's clock.
    fn market_time(&self, real: Timestamp) -> Timestamp {
        let (from, speed) = (self.real_time, self.real_time.speed);
        let span = u128::from(real.micros_since(from.real_from)) * u128::from(speed.market)
            / u128::from(speed.real.max(1));
        from.market_from.plus_micros(u64::try_from(span).unwrap_or(u64::MAX))
    }

    // --- the market -------------------------------------------------------------------------------------------

    /// All instruments, sorted by symbol.
    #[must_use]
    pub fn instruments(&self) -> &[Instrument] {
        self.venue.instruments()
    }

    /// The instrument of exactly this symbol.
    #[must_use]
    pub fn instrument(&self, symbol: Symbol) -> Option<&Instrument> {
        self.venue.instrument(symbol)
    }

    /// The newest price of a symbol.
    #[must_use]
    pub fn mark(&self, symbol: Symbol) -> Option<Price> {
        self.venue.mark(symbol).map(|mark| mark.price)
    }

    /// One-minute candles of a symbol, the newest last.
    #[must_use]
    pub const fn candles(&self) -> &Candles {
        &self.candles
    }

    /// Puts a price into the market, as the newest; it is played at the next [`Core::advance`].
    ///
    /// # Errors
    /// [`SetupError::NotListed`], [`SetupError::Listing`] for a price below half a tick.
    pub fn hand_price(
        &mut self,
        now: Timestamp,
        symbol: Symbol,
        price: Price,
        continuous: bool,
    ) -> Result<(), SetupError> {
        let real = self.clock.standing.unwrap_or(now);
        let newest = self.venue.mark(symbol).map_or(Timestamp(0), |mark| mark.venue_at);
        let at = self.market_time(real).max(newest);
        self.venue.hand_price(symbol, price, at, continuous)
    }

    /// Plays what is due, at most `budget` pieces of work; true when more is due.
    pub fn advance(&mut self, now: Timestamp, budget: usize) -> bool {
        let real = self.clock.standing.unwrap_or(now);
        self.set_time(now);
        for _ in 0..budget {
            let played = self.venue.played();
            let mut told = None;
            let done = self.venue.poll(real, 1, &mut |report| told = Some(report));
            if let Some(report) = told {
                self.absorb(report);
                self.follow_up();
            }
            if self.venue.played() != played {
                self.see_prices();
                self.fire_waiting();
                self.follow_up();
            }
            if done == 0 {
                self.end_lifetimes();
                self.follow_up();
                return false;
            }
        }
        true
    }

    /// When [`Core::advance`] has work again, by the caller's clock; `None`: when the clock is moved.
    #[must_use]
    pub fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        let real = self.clock.standing.unwrap_or(now);
        let due = self.venue.next_due(real);
        let due = due.into_iter().chain(self.lifetimes.first().map(|(at, _)| *at)).min()?;
        match self.clock.standing {
            None => Some(due.max(now)),
            Some(standing) => (due <= standing).then_some(now),
        }
    }

    /// When the market's next price is due: where to put a standing clock for one step.
    #[must_use]
    pub fn next_price_at(&self) -> Option<Timestamp> {
        self.venue.next_due(Timestamp(0))
    }

    /// Symbols whose price changed since this was asked last.
    pub fn take_moved(&mut self) -> BTreeSet<Symbol> {
        std::mem::take(&mut self.moved)
    }

    fn see_prices(&mut self) {
        for instrument in self.venue.instruments() {
            let Some(mark) = self.venue.mark(instrument.symbol) else { continue };
            let (size, at) = (instrument.quantity_min, self.real_time.due(mark.venue_at));
            if self.candles.see(instrument.symbol, mark.price, size, at) {
                self.moved.insert(instrument.symbol);
            }
        }
    }

    // --- accounts and keys ------------------------------------------------------------------------------------

    /// Opens an account.
    ///
    /// # Errors
    /// [`Refusal::Full`]: too many. [`Refusal::Margin`]: a wallet below zero or too large.
    pub fn open_account(&mut self, face: FaceKind, wallet: Money) -> Result<AccountNo, Refusal> {
        let no = u32::try_from(self.accounts.len()).ok().filter(|_| self.accounts.len() < ACCOUNTS_MAX);
        let no = AccountNo(no.ok_or(Refusal::Full)?);
        let opening = AccountOpening { id: no.venue_id(), wallet };
        self.venue.open_account(opening).map_err(|_| Refusal::Margin)?;
        let mut account = Account::new(no, face, self.now);
        account.pay(wallet);
        let (income, at) = (self.next_no(), self.now);
        account.remember_income(Income {
            no: income,
            kind: IncomeKind::Transfer,
            symbol: None,
            amount: wallet,
            balance: wallet,
            execution: None,
            at,
        });
        self.accounts.push(account);
        Ok(no)
    }

    /// Gives an account a key.
    ///
    /// # Errors
    /// [`Refusal::Account`], [`Refusal::Key`]: the text is taken, or the secret is none of its kind; [`Refusal::Full`].
    pub fn add_key(&mut self, account: AccountNo, spec: &KeySpec) -> Result<(), Refusal> {
        self.account(account).ok_or(Refusal::Account)?;
        if self.keys.values().filter(|key| key.account == account).count() >= KEYS_PER_ACCOUNT_MAX {
            return Err(Refusal::Full);
        }
        if spec.api_key.is_empty() || spec.api_key.len() > 256 || self.keys.contains_key(&spec.api_key) {
            return Err(Refusal::Key);
        }
        let key = ApiKey::new(account, spec, self.now).ok_or(Refusal::Key)?;
        self.keys.insert(spec.api_key.clone(), key);
        Ok(())
    }

    /// Takes a key away; true when it was there.
    pub fn remove_key(&mut self, api_key: &str) -> bool {
        self.keys.remove(api_key).is_some()
    }

    /// A key by its text.
    #[must_use]
    pub fn key(&self, api_key: &str) -> Option<&ApiKey> {
        self.keys.get(api_key)
    }

    /// An account.
    #[must_use]
    pub fn account(&self, no: AccountNo) -> Option<&Account> {
        self.accounts.get(no.0 as usize)
    }

    /// An account, to change what is only told and not traded on (`may_trade`).
    #[must_use]
    pub fn account_mut(&mut self, no: AccountNo) -> Option<&mut Account> {
        self.accounts.get_mut(no.0 as usize)
    }

    /// An account that is known to exist: orders, keys and events name no other.
    pub(super) fn of(&mut self, no: AccountNo) -> &mut Account {
        &mut self.accounts[no.0 as usize]
    }

    // --- events -----------------------------------------------------------------------------------------------

    /// The oldest event that nobody has taken.
    pub fn take_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// How many events were lost because nobody took them.
    #[must_use]
    pub const fn events_lost(&self) -> u64 {
        self.events_lost
    }

    pub(super) fn tell(&mut self, account: AccountNo, what: What) {
        if self.events.len() >= EVENTS_MAX {
            self.events.pop_front();
            self.events_lost += 1;
        }
        self.last_seq += 1;
        self.events.push_back(Event { account, seq: self.last_seq, at: self.now, what });
    }

    pub(super) fn tell_order(&mut self, no: OrderNo, change: Change) {
        let now = self.now;
        let Some(order) = self.orders.get_mut(&no) else { return };
        order.updated_at = now;
        let order = order.clone();
        self.tell(order.account, What::Order(Box::new(order), change));
    }

    // --- numbers ----------------------------------------------------------------------------------------------

    pub(super) fn next_no(&mut self) -> OrderNo {
        self.last_no += 1;
        OrderNo(self.last_no)
    }

    /// The order's id at the venue.
    pub(super) fn venue_id(&self, no: OrderNo, account: AccountNo) -> ClientOrderId {
        let number = self.generations.get(&no).copied().unwrap_or(1);
        let source = SourceId { owner: UserId(no.0), index: 0 };
        ClientOrderId::first(SignalId { source, number }, account.venue_id(), Leg::Entry)
    }

    /// What the venue is asked for.
    pub(super) fn venue_order(&self, order: &Order, kind: OrderKind) -> Option<NewOrder> {
        let account = self.account(order.account)?;
        let instrument = self.instrument(order.spec.symbol)?;
        Some(NewOrder {
            id: self.venue_id(order.no, order.account),
            symbol: order.spec.symbol,
            side: order.spec.side,
            kind,
            quantity: order.remaining(),
            reduce_only: order.spec.closes_only(),
            leverage: account.settings_of(instrument).leverage,
        })
    }

    /// Has the venue work off what was asked, without a price going by.
    pub(super) fn settle_requests(&mut self) {
        loop {
            let mut told = None;
            // Nothing of the market is due at time zero.
            if self.venue.poll(Timestamp(0), 1, &mut |report| told = Some(report)) == 0 {
                return;
            }
            if let Some(report) = told {
                self.absorb(report);
            }
        }
    }

    /// Does what follows from the reports that were taken in.
    pub(super) fn follow_up(&mut self) {
        while let Some(next) = self.follow_ups.pop_front() {
            match next {
                FollowUp::Attach(no) => self.attach_triggers(no),
                FollowUp::Flat(account, symbol) => self.end_closing_triggers(account, symbol),
            }
        }
    }

    /// Files a new order.
    pub(super) fn file(&mut self, no: OrderNo, account: AccountNo, spec: OrderSpec, state: State) {
        let client_id = spec.client_id.clone().unwrap_or_default();
        let order = Order {
            no,
            account,
            spec,
            state,
            end: None,
            filled: Default::default(),
            cost: Money::ZERO,
            fees: Money::ZERO,
            closed_net: Money::ZERO,
            fired_as: None,
            created_at: self.now,
            fired_at: None,
            went_live: false,
            updated_at: self.now,
            amendments: 0,
        };
        self.orders.insert(no, order);
        let account = self.of(account);
        account.open.insert(no);
        account.by_client.insert(client_id, no);
    }

    /// Takes an order out again that the venue refused.
    pub(super) fn unfile(&mut self, no: OrderNo) {
        let Some(order) = self.orders.remove(&no) else { return };
        let account = self.of(order.account);
        account.open.remove(&no);
        if account.by_client.get(order.client_id()) == Some(&no) {
            account.by_client.remove(order.client_id());
        }
    }

    /// Moves an order among the finished ones.
    pub(super) fn close_file(&mut self, no: OrderNo) {
        let Some(order) = self.orders.get(&no) else { return };
        let account = &mut self.accounts[order.account.0 as usize];
        if !account.open.remove(&no) {
            return;
        }
        self.generations.remove(&no);
        self.stuck.remove(&no);
        account.finished.push_back(no);
        if account.finished.len() > FINISHED_MAX
            && let Some(oldest) = account.finished.pop_front()
            && let Some(gone) = self.orders.remove(&oldest)
        {
            if let Some(fired) = gone.fired_as {
                self.fired.remove(&fired);
            }
            if account.by_client.get(gone.client_id()) == Some(&oldest) {
                account.by_client.remove(gone.client_id());
            }
        }
    }

    /// Whether a symbol takes orders (of this kind).
    pub(super) fn check_status(instrument: &Instrument, closes: bool) -> Result<(), Refusal> {
        match instrument.status {
            InstrumentStatus::Trading => Ok(()),
            InstrumentStatus::CloseOnly if closes => Ok(()),
            InstrumentStatus::CloseOnly => Err(Refusal::SymbolOnlyReduces),
            InstrumentStatus::Halted => Err(Refusal::SymbolClosed),
        }
    }
}
