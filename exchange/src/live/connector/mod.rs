//! A connector: the accounts of one shard on one exchange, kept true to what the exchange holds.
//!
//! **Runs on**: the shard that owns the accounts. **Owns**: their orders on the way, what was told of their fills, the
//! comparison of positions and wallets, sockets' states, budgets. Sans-I/O: [`Outgoing`] says what is to be done on the
//! network, and what came of it is told back; time is handed in.
//! **Invariants**: one client id makes at most one order: an order is sent again only when nothing of it can have reached the
//! exchange; an ambiguous one is asked about until the exchange has said what became of it. Fills are told once, in order.
//! What others did to a position (liquidation, the user by hand) is told as theirs. An error of the exchange closes nothing.
//! **Bounds**: [`limits`]. **Never**: guesses a price, a size or an outcome; logs a key or a signature.
//!
//! * [`order`]: an order and its fills. [`account`]: an account. [`queue`]: what is to be asked, by purpose and budget.
//! * `placing`: orders and what became of them. `filling`: their fills. `late`: those after an end. `protecting`: triggers that are a position's own.
//!   `fired`: triggers that are orders of their own, once they have fired. `copies`: exits that are sent a second time.
//!   `preparing`: leverage and margin type ahead of a signal. `comparing`: positions and wallets against the exchange's.
//!   `others`: what is not ours. `streams`: sockets. `listening`: listen keys. `watching`: whether they live and tell. `public`: instruments, clock.
//!   `feed`: prices. `keys`: what a key may do. `mending`: what only users can mend. `answers`: who gets which answer. [`census`]: what there is now, for status.

mod account;
mod answers;
mod brackets;
pub mod census;
mod comparing;
mod copies;
mod feed;
mod filling;
mod fired;
mod keys;
mod late;
pub mod limits;
mod listening;
mod mending;
mod order;
mod others;
mod outgoing;
mod placing;
mod preparing;
mod protecting;
mod public;
mod queue;
pub mod shape;
mod streams;
mod views;
mod watching;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use engine::core::fixed::Quantity;
use engine::core::ids::{AccountId, ClientOrderId, Timestamp};
use engine::core::instrument::{Brackets, Instrument, Symbol};
use engine::core::key::KeyFinding;
use engine::core::order::{NewOrder, OrderState, Told, VenueReason, VenueReport};
use engine::core::user::User;
use engine::core::venue_account::VenuePlace;

use self::account::Account;
pub use self::account::{Slot, Suspension};
pub use self::census::Census;
use self::census::Counting;
use self::feed::Feed;
pub use self::feed::MarkFigures;
use self::limits::{ACCOUNTS_MAX, CLOCKS_APART, ENTRY_SPAN, ORDERS_MAX};
use self::order::{Cancel, LiveOrder, Phase};
pub use self::outgoing::{CallEnd, Outgoing, Server, SocketId, Tag};
use self::queue::{InFlight, Queue, Timer};
pub use self::shape::Shape;
use self::streams::Socket;
use crate::live::credential::Credential;
use crate::live::marks::MarkBoard;
use crate::live::pacing::{Pacer, Purpose};
use crate::live::protocol::{InstrumentView, Millis, Protection};
use crate::venue::Busy;

/// An order as the engine knows it after a restart.
#[derive(Clone, Copy, Debug)]
pub struct KnownOrder {
    /// The order.
    pub order: NewOrder,
    /// Where it stands in the engine's eyes.
    pub state: OrderState,
    /// Number of its last fill.
    pub fills: u32,
    /// When it was decided, and what is filled so far, in the engine's eyes.
    pub told: Told,
}

/// A position as the engine knows it after a restart.
#[derive(Clone, Copy, Debug)]
pub struct KnownPosition {
    /// Symbol.
    pub symbol: Symbol,
    /// Its size; negative is short.
    pub size: i64,
    /// The exchange's time of its first fill: what was executed since then may have changed it while nobody listened.
    pub opened_at: Timestamp,
    /// The exchange's time of the last funding that was booked.
    pub funded_at: Timestamp,
}

/// An account as the engine knows it.
#[derive(Debug)]
pub struct KnownAccount {
    /// Which.
    pub id: AccountId,
    /// Where it is.
    pub place: VenuePlace,
    /// Its key; without one nothing is sent.
    pub credential: Option<Credential>,
    /// Which of its keys this is.
    pub key_number: u32,
    /// Open positions.
    pub positions: Vec<KnownPosition>,
    /// Orders that have not ended, and entries that have, not all filled, oldest first.
    pub orders: Vec<KnownOrder>,
    /// Executions by others that were booked so far.
    pub others_fills: u32,
    /// What it will probably trade, and with which leverage; see [`Connector::expect`].
    pub expects: Vec<(Symbol, u8)>,
}

#[cfg(test)]
impl KnownAccount {
    /// One on the paper exchange, without a key.
    fn on_paper(id: AccountId, positions: Vec<KnownPosition>, orders: Vec<KnownOrder>) -> Self {
        let (place, credential, expects) = (VenuePlace::PAPER, None, Vec::new());
        Self { id, place, credential, key_number: 1, positions, orders, others_fills: 0, expects }
    }
}

/// A user's account as a connector has to know it after a restart; `None` when there is no such account.
#[must_use]
pub fn known_account(user: &User, index: u8, credential: Option<Credential>) -> Option<KnownAccount> {
    let account = user.accounts.get(usize::from(index))?;
    let positions = user
        .positions
        .iter()
        .filter(|p| p.account == index && !p.quantity.is_zero())
        .map(|p| KnownPosition {
            symbol: p.symbol,
            size: p.side.sign().saturating_mul(p.quantity.units()),
            opened_at: p.opened_venue_at,
            funded_at: p.funded_at,
        })
        .collect();
    let over = user.final_orders.iter().filter(|o| late::may_fill(o));
    let orders = over
        .chain(&user.orders)
        .filter(|o| o.new.id.account.index == index)
        .map(|o| KnownOrder {
            order: o.new,
            state: o.state,
            fills: o.fills,
            told: Told { decided_at: o.decided_at, filled: o.filled, notional: o.notional, fees: o.fees },
        })
        .collect();
    Some(KnownAccount {
        id: AccountId { user: user.id, index },
        place: account.place(),
        credential,
        key_number: account.key.as_ref().map_or(0, |key| key.number),
        positions,
        orders,
        others_fills: account.venue_fills,
        expects: Vec::new(),
    })
}

/// What happened besides orders: for the log, status and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The account takes no orders until the user has acted.
    Suspended(AccountId, Suspension),
    /// A position or part of one is not ours.
    Foreign(AccountId, Symbol, i64),
    /// A position changed and the exchange's executions do not say why: booked at the mark price.
    Unexplained(AccountId, Symbol, i64),
    /// A socket of an account was refused to it, in these words; its questions by HTTP are another matter.
    SocketRefused(AccountId, String),
    /// Funding could not be read for many minutes: what was settled is seen as money that moved.
    FundingUnread(AccountId),
    /// The key ends in so many days or fewer.
    KeyEnds(AccountId, u64),
    /// So much of an entry was filled after its end was told.
    Late(ClientOrderId, Symbol, Quantity),
    /// A mistake of ours: the exchange's words.
    Bug(AccountId, String),
    /// A message or answer that cannot be read.
    Unreadable(String),
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectorMetrics {
    /// Requests sent.
    pub calls: u64,
    /// Orders sent: each at most once per client id, but for those that surely had not arrived.
    pub orders_sent: u64,
    /// Orders whose outcome was not known at first.
    pub unknown: u64,
    /// Of these, found out.
    pub resolved: u64,
    /// Executions told.
    pub fills: u64,
    /// Gaps in streams that the lists had to fill.
    pub gaps: u64,
    /// Sockets that were ended because nothing came over them.
    pub silent: u64,
    /// Orders that the exchange acknowledged and the private stream did not tell of.
    pub untold: u64,
    /// Comparisons finished.
    pub comparisons: u64,
    /// Differences found.
    pub differences: u64,
    /// Requests refused for a limit.
    pub limited: u64,
    /// Messages that could not be read.
    pub unreadable: u64,
    /// Mark prices that a public stream told.
    pub marks_streamed: u64,
    /// Mark prices that the exchange's list told.
    pub marks_listed: u64,
    /// Mark prices of a stream that were not taken: of an older event, ahead of the exchange's clock, or one symbol too many.
    pub marks_refused: u64,
}

/// See the module's head.
pub struct Connector<P: Shape> {
    accounts: Vec<Account>,
    slots: BTreeMap<AccountId, Slot>,
    queue: Queue,
    in_flight: BTreeMap<Tag, InFlight>,
    calls_under_way: usize,
    /// Of these, those for entries.
    opens_under_way: usize,
    pacer: Pacer,
    sockets: BTreeMap<SocketId, Socket>,
    shared_trade: Option<SocketId>,
    /// The socket whose network has as much as it takes: what opens waits unsigned, so that closes overtake it.
    crowded: Option<SocketId>,
    /// The pause before it is opened again; above zero while one is waited for or was not over yet.
    trade_pause: u64,
    /// Whether such a pause is on.
    trade_waits: bool,
    /// Sockets that wait to be opened: exchanges count new connections.
    unopened: VecDeque<SocketId>,
    /// Accounts that have something to prepare.
    preparing: VecDeque<Slot>,
    /// Requests of that, queued or under way.
    preparing_now: usize,
    /// Listen keys that wait for a stream.
    collected: Vec<(String, Slot)>,
    /// When sockets were opened, within the span that counts.
    opened_at: VecDeque<Timestamp>,
    /// This shard's part of the sockets that the address may open.
    opens_max: usize,
    outgoing: VecDeque<Outgoing>,
    reports: VecDeque<VenueReport>,
    notices: VecDeque<Notice>,
    findings: VecDeque<(AccountId, u32, KeyFinding)>,
    instruments: Vec<Instrument>,
    listed: BTreeMap<Symbol, InstrumentView>,
    pages: Vec<InstrumentView>,
    brackets: BTreeMap<Symbol, Brackets>,
    bracket_reading: brackets::BracketReading,
    /// The market's prices, perhaps shared with other shards.
    marks: Arc<MarkBoard>,
    feed: Feed,
    gated: BTreeMap<Symbol, Timestamp>,
    metrics: ConnectorMetrics,
    counting: Counting,
    next_number: u64,
    clock_question: public::ClockQuestion,
    started_at: Option<Timestamp>,
    language: std::marker::PhantomData<P>,
}

impl<P: Shape> Connector<P> {
    /// A connector without accounts; `shards` is how many share the exchange's limits.
    #[must_use]
    pub fn new(pacer: Pacer, shards: u16) -> Self {
        let marks = MarkBoard::new();
        Self {
            accounts: Vec::new(),
            slots: BTreeMap::new(),
            queue: Queue::default(),
            in_flight: BTreeMap::new(),
            calls_under_way: 0,
            opens_under_way: 0,
            pacer,
            sockets: BTreeMap::new(),
            shared_trade: None,
            crowded: None,
            trade_pause: 0,
            trade_waits: false,
            unopened: VecDeque::new(),
            preparing: VecDeque::new(),
            preparing_now: 0,
            collected: Vec::new(),
            opened_at: VecDeque::new(),
            opens_max: (P::SOCKET_OPENS.0 / u32::from(shards.max(1)) * 4 / 5).max(1) as usize,
            outgoing: VecDeque::new(),
            reports: VecDeque::new(),
            notices: VecDeque::new(),
            findings: VecDeque::new(),
            instruments: Vec::new(),
            listed: BTreeMap::new(),
            pages: Vec::new(),
            brackets: BTreeMap::new(),
            bracket_reading: brackets::BracketReading::default(),
            feed: Feed::new(marks.join()),
            marks,
            gated: BTreeMap::new(),
            metrics: ConnectorMetrics::default(),
            counting: Counting::default(),
            next_number: 1,
            clock_question: public::ClockQuestion::default(),
            started_at: None,
            language: std::marker::PhantomData,
        }
    }

    /// Makes an account known, new or after a restart. One that is known gets the new key and is looked at anew.
    ///
    /// # Errors
    /// [`Busy`] when there is no place for another account.
    pub fn add_account(&mut self, now: Timestamp, known: KnownAccount) -> Result<(), Busy> {
        if let Some(slot) = self.slots.get(&known.id).copied() {
            self.disconnect(slot);
            let account = self.account_mut(slot);
            if account.credential.is_none() && !planted::planted!("questions_without_a_key_wait_for_ever") {
                account.forget_questions();
            }
            account.credential = known.credential;
            account.key_number = known.key_number;
            (account.suspended, account.mending) = (None, mending::Mending::default());
            (account.clashed, account.refused_pause) = (None, 0);
            account.key_checked_at = None;
            account.is_judged = false;
            account.views.forget();
            account.mode_is_known = false;
            account.name_is_known = false;
            (account.reopen_pause, account.trade_pause) = (0, 0);
            (account.stream_refused, account.trade_refused) = (false, false);
            (account.funding_failures, account.funding_from) = (0, Timestamp(0));
            self.connect(now, slot);
            return Ok(());
        }
        if self.accounts.len() >= ACCOUNTS_MAX {
            return Err(Busy);
        }
        let slot = Slot(u32::try_from(self.accounts.len()).map_err(|_| Busy)?);
        let pacing = self.pacer.open_account().ok_or(Busy)?;
        let mut account = Account::new(known.id, known.place, known.key_number, known.credential, pacing);
        account.others_fills = known.others_fills;
        account.expects = known.expects;
        account.funding_since = now;
        for position in &known.positions {
            let side = if position.size < 0 {
                engine::core::order::Side::Sell
            } else {
                engine::core::order::Side::Buy
            };
            account.moved(position.symbol, side, Quantity::from_units(position.size).abs());
            // What was settled before it was another position's: the user's own, if it was of this symbol.
            let before = position.opened_at.0.saturating_sub(CLOCKS_APART);
            let before = if planted::planted!("funding_from_before_a_position_is_its") { 0 } else { before };
            account.funded.insert(position.symbol, position.funded_at.max(Timestamp(before)));
            account.opened.insert(position.symbol, position.opened_at);
            account.views.begin(position.symbol, Millis(position.opened_at.millis()));
            account.funding_since = account.funding_since.min(position.funded_at.max(position.opened_at));
        }
        for known in &known.orders {
            let was_taken = matches!(known.state, OrderState::Submitted | OrderState::PartiallyFilled);
            let is_sent_anew = planted::planted!("recovered_order_sent_without_asking");
            let unsure = if is_sent_anew { Phase::Waiting } else { Phase::Recovered };
            let phase = match known.state {
                _ if was_taken => Phase::Live,
                state if state.is_final() => Phase::Ended,
                _ => unsure,
            };
            let mut order = LiveOrder::new(
                known.order,
                phase,
                known.told.decided_at,
                entry_deadline(&known.order, known.told.decided_at),
            );
            if !known.order.reduce_only && phase != Phase::Ended {
                // It may have been filled while nobody listened.
                account.funding_since = account.funding_since.min(known.told.decided_at);
            }
            (order.booked, order.fills, order.told) = (known.told.filled, known.fills, known.told);
            order.told_live = was_taken;
            order.attached = P::ATTACHES && known.order.kind.is_trigger() && was_taken;
            // Whether and when it was sent is not known: at the latest just before this process began. A trigger that was
            // live is as old as its decision.
            let is_old = (was_taken && known.order.kind.is_trigger()) || phase == Phase::Ended;
            order.sent_at = Some(if is_old { known.told.decided_at } else { now });
            order.over_before = phase == Phase::Ended;
            account.orders.insert(known.order.id, order);
            if phase == Phase::Ended {
                account.put_away(known.order.id);
            }
        }
        self.slots.insert(known.id, slot);
        self.accounts.push(account);
        self.connect(now, slot);
        let recovered: Vec<ClientOrderId> = self.accounts[slot.0 as usize]
            .orders
            .values()
            .filter(|o| o.phase == Phase::Recovered)
            .map(|o| o.new.id)
            .collect();
        for id in recovered {
            self.ask_about(now, slot, id, 0);
        }
        Ok(())
    }

    /// Takes an account's key away: nothing more is sent for it.
    pub fn remove_credential(&mut self, id: AccountId) {
        if let Some(slot) = self.slots.get(&id).copied() {
            let account = self.account_mut(slot);
            account.credential = None;
            account.mending = mending::Mending::default();
            account.forget_questions();
            // What was not sent never will be: nothing is left that could sign it.
            let unsent = |o: &&LiveOrder| matches!(o.phase, Phase::Waiting | Phase::Queued);
            let unsent: Vec<ClientOrderId> =
                account.orders.values().filter(unsent).map(|o| o.new.id).collect();
            for id in unsent {
                self.give_up(slot, id, VenueReason::Account);
            }
            self.disconnect(slot);
        }
    }

    /// Asks for an order that was decided at this time; see `Venue::submit`. An id that is known is never sent a second time.
    /// `planned` are the triggers that an entry takes along where the exchange attaches them.
    ///
    /// # Errors
    /// [`Busy`]: not taken.
    pub fn submit(
        &mut self,
        now: Timestamp,
        new: &NewOrder,
        planned: Option<Protection>,
        decided_at: Timestamp,
    ) -> Result<(), Busy> {
        let Some(slot) = self.slots.get(&new.id.account).copied() else {
            self.reports.push_back(VenueReport::Rejected { id: new.id, reason: VenueReason::Account });
            return Ok(());
        };
        if self.accounts[slot.0 as usize].orders.contains_key(&new.id) {
            // Recovered, or told before: what becomes of it is told when it is known.
            return Ok(());
        }
        let opens = !new.reduce_only;
        if self.accounts[slot.0 as usize].orders.len() >= ORDERS_MAX || !self.queue.has_room(opens) {
            return Err(Busy);
        }
        let mut order = LiveOrder::new(*new, Phase::Waiting, decided_at, entry_deadline(new, now));
        order.planned = planned;
        self.account_mut(slot).orders.insert(new.id, order);
        self.go_on(now, slot, new.id);
        Ok(())
    }

    /// Asks to take an order back.
    ///
    /// # Errors
    /// [`Busy`]: not taken.
    pub fn cancel(&mut self, now: Timestamp, id: ClientOrderId) -> Result<(), Busy> {
        let Some(slot) = self.slots.get(&id.account).copied() else { return Ok(()) };
        if !self.queue.has_room(false) {
            return Err(Busy);
        }
        if let Some(order) = self.account_mut(slot).orders.get_mut(&id).filter(|o| o.is_open()) {
            if order.cancel == Cancel::No {
                order.cancel = Cancel::Wanted;
            }
            self.take_back(now, slot, id);
        } else {
            self.reports.push_back(VenueReport::NotFound { id });
        }
        Ok(())
    }

    /// Asks for the state of an order.
    ///
    /// # Errors
    /// [`Busy`]: not taken.
    pub fn query(&mut self, now: Timestamp, id: ClientOrderId) -> Result<(), Busy> {
        let Some(slot) = self.slots.get(&id.account).copied() else { return Ok(()) };
        if !self.queue.has_room(false) {
            return Err(Busy);
        }
        match self.accounts[slot.0 as usize].orders.get(&id).map(|o| o.phase) {
            // It waits here; it will be told when it has left.
            Some(Phase::Waiting | Phase::Queued | Phase::InFlight | Phase::Ended) => {}
            Some(Phase::Recovered | Phase::Unknown | Phase::Live) => self.ask_about(now, slot, id, 0),
            None => self.reports.push_back(VenueReport::NotFound { id }),
        }
        Ok(())
    }

    /// Hands at most `budget` reports to `sink`; see `Venue::poll`.
    pub fn poll(&mut self, now: Timestamp, budget: usize, sink: &mut impl FnMut(VenueReport)) -> usize {
        self.advance(now);
        let mut done = 0;
        while done < budget
            && let Some(report) = self.reports.pop_front()
        {
            sink(report);
            done += 1;
        }
        done
    }

    /// When `poll` has work again at the latest.
    #[must_use]
    pub fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        if !self.reports.is_empty() || !self.outgoing.is_empty() {
            return Some(now);
        }
        if self.has_to_prepare() {
            return Some(now.plus_micros(1_000));
        }
        self.queue.next_due(now)
    }

    /// What is to be done on the network next.
    pub fn take_outgoing(&mut self) -> Option<Outgoing> {
        self.outgoing.pop_front()
    }

    /// The socket that all accounts' orders go over, where there is one: whoever owns the network tells when it is crowded.
    #[must_use]
    pub const fn order_socket(&self) -> Option<SocketId> {
        self.shared_trade
    }

    /// The network has as much of this socket's messages as it takes for now, or has room again.
    pub fn set_crowded(&mut self, socket: SocketId, is_crowded: bool) {
        if is_crowded {
            self.crowded = Some(socket);
        } else if self.crowded == Some(socket) {
            self.crowded = None;
        }
    }

    /// What was found out about an account's key, and which of its keys it was.
    pub fn take_finding(&mut self) -> Option<(AccountId, u32, KeyFinding)> {
        self.findings.pop_front()
    }

    /// What happened besides orders.
    pub fn take_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// Counters.
    #[must_use]
    pub const fn metrics(&self) -> ConnectorMetrics {
        self.metrics
    }

    /// The budgets and circuits, for status.
    #[must_use]
    pub const fn pacer(&self) -> &Pacer {
        &self.pacer
    }

    /// Whether an account may open positions now, and why not if its user must act.
    #[must_use]
    pub fn standing(&self, id: AccountId) -> (bool, Option<&Suspension>) {
        self.slots.get(&id).map_or((false, None), |slot| {
            let account = &self.accounts[slot.0 as usize];
            (account.may_open(), account.suspended.as_ref())
        })
    }

    /// What the engine was told is open on a symbol; negative is short. For checks.
    #[must_use]
    pub fn told_position(&self, id: AccountId, symbol: Symbol) -> i64 {
        self.slots.get(&id).map_or(0, |slot| self.accounts[slot.0 as usize].expected(symbol))
    }

    /// Whether every account that has a key has its stream and its order entry open. For checks.
    #[must_use]
    pub fn is_warm(&self) -> bool {
        let ready = |socket: Option<SocketId>| {
            socket.and_then(|id| self.sockets.get(&id)).is_some_and(Socket::is_ready)
        };
        self.accounts.iter().filter(|a| a.credential.is_some()).all(|account| {
            let trade = if P::SHARED { self.shared_trade } else { account.trade };
            account.private_is_ready && (ready(trade) || !Self::trades_by_socket(account))
        })
    }

    /// Whether nothing is on its way: every order has ended or rests, and the exchange holds what was told. For checks.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.reports.is_empty()
            && self.in_flight.is_empty()
            && self.accounts.iter().all(Account::is_all_quiet)
    }

    /// Requests that wait for their answer now. For checks and measurements.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.in_flight.len()
    }

    fn account_mut(&mut self, slot: Slot) -> &mut Account {
        &mut self.accounts[slot.0 as usize]
    }

    fn account(&self, slot: Slot) -> &Account {
        &self.accounts[slot.0 as usize]
    }

    fn notice(&mut self, notice: Notice) {
        // Notices are for people: the newest are kept when nobody reads them.
        if self.notices.len() >= 1_024 {
            self.notices.pop_front();
        }
        self.notices.push_back(notice);
    }

    fn number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }

    /// Does what is due, then sends what the budgets allow.
    fn advance(&mut self, now: Timestamp) {
        if self.started_at.is_none() {
            self.started_at = Some(now);
            self.start_public(now);
        }
        while let Some(timer) = self.queue.take_due(now) {
            self.due(now, timer);
        }
        if self.pacer.next_due().is_some_and(|at| at <= now) {
            self.pacer.settle(now);
        }
        self.open_sockets(now);
        self.prepare_more();
        self.pump(now);
    }

    fn due(&mut self, now: Timestamp, timer: Timer) {
        match timer {
            Timer::AskAbout(slot, id) => match self.account(slot).mending.waits_until() {
                Some(at) if now < at => self.queue.set(at, timer),
                _ => self.ask_about_if_open(now, slot, id),
            },
            Timer::TakeBack(slot, id) => self.take_back(now, slot, id),
            Timer::Mend(slot) => self.mend(now, slot),
            Timer::GoOn(slot, id) => self.go_on(now, slot, id),
            Timer::Unanswered(tag) => self.unanswered(now, tag),
            Timer::Expire(slot, id) => self.expire(now, slot, id),
            Timer::Explain(slot, symbol) => self.explain(now, slot, symbol),
            Timer::Orphans(slot) => self.look_at_orphans(now, slot),
            Timer::Compare(slot) => {
                // In rotation, unless it is wanted: what it is wanted for does not wait behind those of others.
                let wanted = self.account(slot).compare_again;
                self.compare_for(now, slot, if wanted { Purpose::Reconcile } else { Purpose::Background });
            }
            Timer::Prepare(slot) => self.stand_in_line(slot),
            Timer::KeepKey(slot) => self.keep_key(now, slot),
            Timer::Reopen(slot) => self.connect(now, slot),
            Timer::ReopenTrade => {
                self.trade_waits = false;
                self.open_shared_trade();
            }
            Timer::Heartbeat(socket) => self.heartbeat(now, socket),
            Timer::Replace(socket) => self.replace(now, socket),
            Timer::Watch(socket) => self.watch(now, socket),
            Timer::StreamTells(slot, id) => self.stream_should_have_told(now, slot, id),
            Timer::Public(step) => self.ask_public(now, step),
            Timer::Feed => self.feed_due(now),
            // `advance` opens what may be opened by now.
            Timer::OpenSockets => {}
            Timer::OpenStreams => self.open_streams(),
        }
    }
}

/// Until when an order may be sent: an entry as long as its signal is valid, an exit always.
fn entry_deadline(order: &NewOrder, decided_at: Timestamp) -> Timestamp {
    if order.reduce_only { Timestamp(u64::MAX) } else { decided_at.plus_micros(ENTRY_SPAN) }
}
