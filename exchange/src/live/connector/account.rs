//! One account as a connector follows it.
//!
//! **Owns**: its orders on their way, what the engine was told of its positions and what the exchange says of them, its
//! sockets, and how far a comparison of both has come.

use std::collections::{BTreeMap, VecDeque};

use engine::core::fixed::{Money, Price, Quantity};
use engine::core::ids::{AccountId, ClientOrderId, Leg, Timestamp};
use engine::core::instrument::Symbol;
use engine::core::key::KeyFault;
use engine::core::order::{NewOrder, Side};
use engine::core::venue_account::VenuePlace;

use super::comparing::FUNDING_TRIES;
use super::limits::{ENDED_KEPT, OTHERS_KEPT};
use super::mending::Mending;
use super::order::{Cancel, LiveOrder};
use super::outgoing::SocketId;
use super::views::Views;
use crate::live::credential::Credential;
use crate::live::pacing::{AccountSlot, Purpose};
use crate::live::protocol::{
    AccountView, ExecutionView, FundingView, PositionMode, PositionView, Protection,
};

/// Place of an account in its connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub(super) u32);

/// What is known of leverage and margin type of a symbol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Setup {
    /// Zero: not known.
    pub(super) leverage: u8,
    pub(super) isolated: bool,
    /// A request that changes it is queued or under way.
    pub(super) asking: bool,
}

/// How far the comparison with the exchange has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparing {
    /// None is under way.
    No,
    /// Position mode and rights.
    Account,
    /// The position mode of a symbol of which an order was refused for it, where it is not the account's.
    Mode,
    /// Which account it is.
    Name,
    /// Leverage and margin types.
    Settings,
    /// Positions.
    Positions,
    /// Orders are asked about one by one.
    Orders,
    /// Balances, before the positions: what moves the wallet later than it was told is seen in them.
    Balances,
    /// Balances of an account that was compared for the first time and holds nothing that could move them.
    FirstBalances,
}

/// Why an account takes no orders that open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspension {
    /// What its user has to do something about.
    pub fault: KeyFault,
    /// The exchange's code; zero without.
    pub code: i64,
    /// The exchange's words, or ours.
    pub text: String,
}

/// A position that differs from what the engine was told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unexplained {
    /// Lists of executions that were read.
    pub(super) looks: u8,
    /// Those that could not be.
    pub(super) failures: u8,
    pub(super) asking: bool,
}

/// See the module's head.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) id: AccountId,
    /// Where it is.
    pub(super) place: VenuePlace,
    /// Which of its keys this is.
    pub(super) key_number: u32,
    /// Its place in the budgets.
    pub(super) pacing: AccountSlot,
    pub(super) credential: Option<Credential>,
    pub(super) suspended: Option<Suspension>,
    pub(super) mending: Mending,
    /// A comparison was made since the start: what is held is known.
    pub(super) is_ready: bool,
    /// What the exchange last said about the account.
    pub(super) view: Option<AccountView>,
    /// The exchange's own name of it, once it was asked for; see [`super::Shape::BALANCES_NAME`].
    pub(super) name: Option<String>,
    pub(super) name_is_known: bool,
    pub(super) mode: PositionMode,
    pub(super) mode_is_known: bool,
    /// The symbol of which an order was refused for its position mode, until the exchange says that it is another one.
    pub(super) clashed: Option<Symbol>,
    /// Bybit: margin type of the account as a whole.
    pub(super) isolated: Option<bool>,
    pub(super) settings_known: bool,
    pub(super) setups: BTreeMap<Symbol, Setup>,
    /// What it will probably trade, and with which leverage.
    pub(super) expects: Vec<(Symbol, u8)>,
    /// What of that is to be prepared.
    pub(super) to_prepare: VecDeque<(Symbol, u8)>,
    /// It stands in the line of those to be prepared, or a request of that is under way.
    pub(super) is_preparing: bool,
    pub(super) orders: BTreeMap<ClientOrderId, LiveOrder>,
    ended: VecDeque<ClientOrderId>,
    by_venue: BTreeMap<String, ClientOrderId>,
    /// What the engine was told is open; negative is short.
    expected: BTreeMap<Symbol, i64>,
    /// What the exchange says is open.
    pub(super) positions: BTreeMap<Symbol, PositionView>,
    /// What of it is not ours.
    pub(super) foreign: BTreeMap<Symbol, i64>,
    /// Triggers that were sent with an entry.
    pub(super) attached: BTreeMap<Symbol, Protection>,
    /// Executions whose order is not known (yet).
    pub(super) orphans: VecDeque<(Timestamp, ExecutionView)>,
    others_seen: VecDeque<(Symbol, String)>,
    pub(super) others_fills: u32,
    pub(super) unexplained: BTreeMap<Symbol, Unexplained>,
    pub(super) comparing: Comparing,
    /// What the comparison that is under way is for.
    pub(super) comparing_for: Purpose,
    /// Positions of the pages read so far.
    pub(super) pages: Vec<PositionView>,
    pub(super) page_count: u32,
    /// Questions about orders that the comparison waits for.
    pub(super) questions: u32,
    /// Another comparison is wanted after this one.
    pub(super) compare_again: bool,
    pub(super) compared_at: Option<Timestamp>,
    pub(super) compared: u64,
    /// The pause after a comparison that was refused; zero: the last one was not.
    pub(super) refused_pause: u64,
    /// Grows with everything that moves money or positions: a balance that was asked for before is not believed after.
    pub(super) moves: u64,
    pub(super) moves_asked: u64,
    /// Which word about its positions is the newest.
    pub(super) views: Views,
    /// The wallet that the comparison under way has read.
    pub(super) wallet_read: Option<Money>,
    /// The wallet as the engine was last told it.
    pub(super) wallet_told: Option<Money>,
    /// Funding that was told, newest per symbol.
    pub(super) funded: BTreeMap<Symbol, Timestamp>,
    /// The exchange's time of the first fill of the position that is open, or was last.
    pub(super) opened: BTreeMap<Symbol, Timestamp>,
    /// All funding that was settled until then was read, or concerned no position of ours.
    pub(super) funding_since: Timestamp,
    /// When the reading that is under way began, and what it has read.
    pub(super) funding_reading: (Timestamp, Vec<FundingView>, u32),
    /// Funding that a stream told while older settlements were not read: told after those.
    pub(super) funding_held: Vec<FundingView>,
    pub(super) private: Option<SocketId>,
    pub(super) private_is_ready: bool,
    /// When its private stream began to tell.
    pub(super) stream_since: Timestamp,
    /// When its private stream last told something of it.
    pub(super) told_at: Timestamp,
    /// The stream did not tell what it should have: the account is compared often until it tells something.
    pub(super) is_suspect: bool,
    /// When it was last opened anew for that.
    pub(super) renewed_at: Option<Timestamp>,
    pub(super) listen_key: String,
    pub(super) trade: Option<SocketId>,
    /// The pause before its stream is opened again; zero: none is on.
    pub(super) reopen_pause: u64,
    pub(super) stream_from: Timestamp,
    /// The same for its order entry: one that does not come up must not hold up the stream.
    pub(super) trade_pause: u64,
    pub(super) trade_from: Timestamp,
    /// Its stream was refused to it, and none was opened since.
    pub(super) stream_refused: bool,
    /// The same for its order entry.
    pub(super) trade_refused: bool,
    pub(super) key_checked_at: Option<Timestamp>,
    /// Of how few days left its end was told last.
    pub(super) days_told: Option<u64>,
    /// The exchange has said what the key is. One that takes the place of another may be of another account.
    pub(super) is_judged: bool,
    pub(super) funding_checked_at: Option<Timestamp>,
    /// Readings of it that failed in a row, and until when it is not asked for again.
    pub(super) funding_failures: u8,
    pub(super) funding_from: Timestamp,
    /// Something was open since funding was last read: it may have been settled although nothing is open now.
    pub(super) held_since_funding: bool,
    /// A question about funding is queued or under way: a balance may hold what it will tell.
    pub(super) funding_asking: bool,
    /// The balance waits for it.
    pub(super) balance_waits: bool,
}

impl Account {
    pub(super) fn new(
        id: AccountId,
        place: VenuePlace,
        key_number: u32,
        credential: Option<Credential>,
        pacing: AccountSlot,
    ) -> Self {
        Self {
            id,
            place,
            key_number,
            pacing,
            credential,
            suspended: None,
            mending: Mending::default(),
            is_ready: false,
            view: None,
            name: None,
            name_is_known: false,
            mode: PositionMode::OneWay,
            mode_is_known: false,
            clashed: None,
            isolated: None,
            settings_known: false,
            setups: BTreeMap::new(),
            expects: Vec::new(),
            to_prepare: VecDeque::new(),
            is_preparing: false,
            orders: BTreeMap::new(),
            ended: VecDeque::new(),
            by_venue: BTreeMap::new(),
            expected: BTreeMap::new(),
            positions: BTreeMap::new(),
            foreign: BTreeMap::new(),
            attached: BTreeMap::new(),
            orphans: VecDeque::new(),
            others_seen: VecDeque::new(),
            others_fills: 0,
            unexplained: BTreeMap::new(),
            comparing: Comparing::No,
            comparing_for: Purpose::Reconcile,
            pages: Vec::new(),
            page_count: 0,
            questions: 0,
            compare_again: false,
            compared_at: None,
            compared: 0,
            refused_pause: 0,
            moves: 0,
            moves_asked: 0,
            views: Views::default(),
            wallet_read: None,
            wallet_told: None,
            funded: BTreeMap::new(),
            opened: BTreeMap::new(),
            funding_since: Timestamp(0),
            funding_reading: (Timestamp(0), Vec::new(), 0),
            funding_held: Vec::new(),
            private: None,
            private_is_ready: false,
            stream_since: Timestamp(0),
            told_at: Timestamp(0),
            is_suspect: false,
            renewed_at: None,
            listen_key: String::new(),
            trade: None,
            reopen_pause: 0,
            stream_from: Timestamp(0),
            trade_pause: 0,
            trade_from: Timestamp(0),
            stream_refused: false,
            trade_refused: false,
            key_checked_at: None,
            days_told: None,
            is_judged: true,
            funding_checked_at: None,
            funding_failures: 0,
            funding_from: Timestamp(0),
            held_since_funding: false,
            funding_asking: false,
            balance_waits: false,
        }
    }

    /// Without a key no question is answered any more: what waits for answers begins anew with the next key. What is queued is
    /// dropped, also what a timer asked since the key was taken away (CASES.md U3).
    pub(super) fn forget_questions(&mut self) {
        self.comparing = Comparing::No;
        self.questions = 0;
        self.views.forget();
        self.wallet_read = None;
        self.funding_asking = false;
        self.balance_waits = false;
        self.unexplained.clear();
        for setup in self.setups.values_mut() {
            setup.asking = false;
        }
        for order in self.orders.values_mut() {
            order.asking = false;
            // What it was for is found again by what is held.
            order.doubt = 0;
            if order.cancel == Cancel::Sent {
                order.cancel = Cancel::Wanted;
            }
        }
    }

    /// What the engine was told is open; negative is short.
    pub(super) fn expected(&self, symbol: Symbol) -> i64 {
        self.expected.get(&symbol).copied().unwrap_or(0)
    }

    /// What the exchange says is open; negative is short.
    pub(super) fn held(&self, symbol: Symbol) -> i64 {
        self.positions.get(&symbol).map_or(0, signed)
    }

    /// Symbols of which something is open, in the engine's eyes or the exchange's, or somebody else's was.
    pub(super) fn symbols(&self) -> Vec<Symbol> {
        let open = self.expected.keys().chain(self.positions.keys());
        let mut all: Vec<Symbol> = open.chain(self.foreign.keys()).copied().collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// What funding without a name is for: only if there is one position it can be for.
    pub(super) fn only_symbol(&self) -> Option<Symbol> {
        let open = self.symbols();
        (open.len() == 1).then(|| open[0])
    }

    /// The engine was told that `quantity` was bought or sold.
    pub(super) fn moved(&mut self, symbol: Symbol, side: Side, quantity: Quantity) {
        self.moves += 1;
        self.views.touch(symbol);
        let now = self.expected(symbol).saturating_add(side.sign().saturating_mul(quantity.units()));
        if now == 0 {
            self.expected.remove(&symbol);
        } else {
            self.expected.insert(symbol, now);
            self.held_since_funding = true;
        }
    }

    /// An exit that fills beyond what is open in the engine's eyes: the rest is not ours.
    pub(super) fn exited(&mut self, order: &NewOrder, quantity: Quantity) {
        let open = self.expected(order.symbol);
        let ours = open.signum() == -order.side.sign();
        let taken = if ours { quantity.units().min(open.abs()) } else { 0 };
        self.moved(order.symbol, order.side, Quantity::from_units(taken));
    }

    /// The order that the exchange means by this client id or its own id.
    pub(super) fn find(&self, client_id: &str, venue_id: &str) -> Option<ClientOrderId> {
        let ours = ClientOrderId::parse(client_id).filter(|id| self.orders.contains_key(id));
        ours.or_else(|| self.by_venue.get(venue_id).copied().filter(|id| self.orders.contains_key(id)))
    }

    /// Remembers the exchange's id of an order.
    pub(super) fn name(&mut self, venue_id: &str, id: ClientOrderId) {
        if !venue_id.is_empty() {
            self.by_venue.insert(venue_id.to_owned(), id);
        }
    }

    /// The order that stands for a trigger of the position on this symbol.
    pub(super) fn attached_leg(&self, symbol: Symbol, leg: Leg) -> Option<ClientOrderId> {
        let stands =
            |o: &&LiveOrder| o.is_open() && o.attached && o.new.symbol == symbol && o.new.id.leg == leg;
        self.orders.values().find(stands).map(|o| o.new.id)
    }

    /// An order has ended: it is recognised for a while, so that what comes late finds it.
    pub(super) fn put_away(&mut self, id: ClientOrderId) {
        self.ended.push_back(id);
        while self.ended.len() > ENDED_KEPT {
            if let Some(oldest) = self.ended.pop_front() {
                self.orders.remove(&oldest);
                self.by_venue.retain(|_, of| *of != oldest);
            }
        }
    }

    /// Whether nothing is under way on a symbol that could explain a difference by itself.
    pub(super) fn is_quiet(&self, symbol: Symbol) -> bool {
        let busy = |o: &LiveOrder| o.new.symbol == symbol && o.is_busy();
        !self.orders.values().any(busy) && !self.orphans.iter().any(|(_, e)| e.symbol == symbol)
    }

    /// Whether nothing is under way at all, also of symbols of which nothing is known to be open yet.
    pub(super) fn is_all_quiet(&self) -> bool {
        self.symbols().into_iter().all(|symbol| self.is_explained(symbol))
            && self.orphans.is_empty()
            && !self.orders.values().any(LiveOrder::is_busy)
    }

    /// Whether the exchange holds what the engine was told, apart from what is known to be foreign.
    pub(super) fn is_explained(&self, symbol: Symbol) -> bool {
        let foreign = self.foreign.get(&symbol).copied().unwrap_or(0);
        self.held(symbol) == self.expected(symbol).saturating_add(foreign)
    }

    /// The price of a position's own trigger that this order stands for, as the exchange last told it.
    pub(super) fn trigger_there(&self, new: &NewOrder) -> Option<Price> {
        let position = self.positions.get(&new.symbol)?;
        match new.id.leg {
            Leg::Stop => position.stop,
            _ if planted::planted!("target_of_a_position_taken_for_set") => new.kind.words().1,
            _ => position.take_profit,
        }
    }

    /// Whether funding may have been settled that was not read yet: until it is, the balance shows money that comes from nowhere.
    /// Not for ever, where it cannot be read.
    pub(super) fn lacks_funding(&self) -> bool {
        self.funding_asking || (self.funding_failures < FUNDING_TRIES && self.wants_funding())
    }

    /// Whether funding is to be read, and nobody has asked yet.
    pub(super) fn wants_funding(&self) -> bool {
        let held = self.held_since_funding || !self.symbols().is_empty();
        held && !self.funding_asking && self.funding_checked_at.is_none()
    }

    /// Whether the balance that was asked for is what the engine's books should say: what moved since then, is under way or was
    /// not told yet may or may not be in it.
    pub(super) fn balance_counts(&self) -> bool {
        self.moves == self.moves_asked && self.is_all_quiet() && !self.lacks_funding()
    }

    /// Whether something of a symbol is open, or an order is under way that may make it so: its leverage is left as it is.
    pub(super) fn is_in_use(&self, symbol: Symbol) -> bool {
        self.held(symbol) != 0
            || self.expected(symbol) != 0
            || self.foreign.contains_key(&symbol)
            || self.setups.get(&symbol).is_some_and(|setup| setup.asking)
            || self.orders.values().any(|o| o.new.symbol == symbol && o.is_open())
    }

    /// Whether this execution by somebody else is new.
    pub(super) fn is_new_of_others(&mut self, execution: &ExecutionView) -> bool {
        let key = (execution.symbol, execution.trade_id.clone());
        if self.others_seen.contains(&key) && !planted::planted!("trade_of_others_booked_twice") {
            return false;
        }
        self.others_seen.push_back(key);
        if self.others_seen.len() > OTHERS_KEPT {
            self.others_seen.pop_front();
        }
        true
    }

    /// Whether something is open, or an order is under way that may make it so.
    pub(super) fn holds(&self) -> bool {
        !self.symbols().is_empty() || self.orders.values().any(LiveOrder::is_open)
    }

    /// Whether its user has something to do at the exchange.
    pub(super) const fn has_to_be_mended(&self) -> bool {
        self.suspended.is_some() || self.mending.is_mute
    }

    /// Whether its questions are refused for its key: what is not answered then proves nothing.
    pub(super) const fn is_refused(&self) -> bool {
        let of_key = match &self.suspended {
            Some(why) => {
                matches!(why.fault, KeyFault::Rejected | KeyFault::AddressNotAllowed | KeyFault::Expired)
            }
            None => false,
        };
        self.mending.is_mute || of_key
    }

    /// Whether it holds a long and a short beside each other, or may.
    pub(super) fn is_hedged(&self) -> bool {
        self.mode == PositionMode::Hedge || self.clashed.is_some()
    }

    /// Whether orders may open positions.
    pub(super) fn may_open(&self) -> bool {
        self.is_ready && self.suspended.is_none() && self.credential.is_some()
    }
}

/// Size of a position with its sign.
pub(super) fn signed(position: &PositionView) -> i64 {
    position.side.sign().saturating_mul(position.quantity.units())
}
