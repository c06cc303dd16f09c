//! What can be read: questions against the state of one shard, each bounded in work, and their answers.
//!
//! **Runs on**: the shard that owns what is asked for. **Bounds**: [`PAGE_USERS_MAX`] users per question; more is asked
//! for in pages. **Never**: floating point; amounts are decimal strings.

use engine::core::fixed::{Money, Quantity};
use engine::core::ids::{SignalId, SourceId, Timestamp, UserId};
use engine::core::instrument::MarketView;
use engine::core::ledger::{Currency, EntryKey, LedgerAccount};
use engine::core::position::{CloseReason, Order, Position};
use engine::core::rules::Rules;
use engine::core::signal::{FanOutCounts, Signal};
use engine::core::state::{State, user_digest};
use engine::core::user::{Outcome, User};
use engine::shard::ports::Reads;
use serde::Serialize;

use crate::web::accounts::accounts;
use crate::web::fill_prices::{LineFill, fills_of};
use crate::web::history::{HistoryQuestion, HistoryRows};
use crate::web::keys::{KeyPlace, find_place};

/// Users one question looks at.
pub const PAGE_USERS_MAX: u32 = 512;

/// A question.
#[derive(Debug)]
pub enum Question {
    /// The password hash, for a log-in that is verified off the shard.
    Password(UserId),
    /// A page about the user, as JSON.
    Page(UserId, Page),
    /// Where the key of this account is, or, without one, of the next account.
    KeyPlace(UserId, Option<u8>),
    /// The head of a signal's receipt.
    SignalHead(SignalId),
    /// Receipt lines of subscribers from a place on.
    Receipt {
        /// Which signal.
        signal: SignalId,
        /// First place among the source's subscribers on this shard.
        from: u32,
        /// Only this user's line.
        only: Option<UserId>,
    },
    /// Digests of users from a place on.
    Digests(u32),
    /// Sums of the books of users from a place on.
    Audit(u32),
    /// Whether there is this user: with a session, whether it is valid.
    Known(UserId),
    /// What the state keeps of a user's history.
    History {
        /// What is asked.
        question: Box<HistoryQuestion>,
        /// There is a database that has everything, and does not answer now.
        database: bool,
    },
}

/// A page about one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// Who they are.
    Profile,
    /// Exchange accounts and how their keys stand.
    Accounts,
    /// Live and recent orders.
    Orders,
    /// Open and recent positions.
    Positions,
    /// Wallets and balances.
    Balances,
    /// The ledger's statement.
    Ledger,
    /// Published sources.
    Sources,
    /// Subscriptions.
    Subscriptions,
}

/// An answer.
#[derive(Debug)]
pub enum Found {
    /// No such thing.
    Nothing,
    /// The PHC string, and until when log-ins are locked.
    Password(String, Timestamp),
    /// A JSON document.
    Json(Vec<u8>),
    /// Where the key of an account is.
    KeyPlace(KeyPlace),
    /// The head of a receipt.
    SignalHead(Box<SignalHead>),
    /// Receipt lines, and the next place.
    Receipt(Vec<ReceiptLine>, Option<u32>),
    /// Digests, and the next place.
    Digests(Vec<(UserId, [u8; 32])>, Option<u32>),
    /// Sums, and the next place.
    Audit(Box<Audit>, Option<u32>),
    /// There is such a user, in this time zone.
    Known(Box<str>),
    /// A part of a history, where the state keeps what is asked for.
    History(Option<Box<HistoryRows>>),
}

/// What the source's shard knows of a signal.
#[derive(Clone, Debug)]
pub struct SignalHead {
    /// The signal.
    pub signal: Signal,
    /// The body without its secret.
    pub body: String,
    /// A later close that covers it.
    pub superseded_by: Option<u32>,
    /// Set when every subscriber was decided on.
    pub finished: Option<FanOutCounts>,
    /// When.
    pub finished_at: Timestamp,
}

/// One subscriber's line of a receipt.
#[derive(Clone, Copy, Debug)]
pub struct ReceiptLine {
    /// Who.
    pub user: UserId,
    /// What came of it.
    pub outcome: Outcome,
    /// At what price, bought and sold.
    pub fills: [Option<LineFill>; 2],
}

/// Sums over the books of some users, in units of 1e-8 per currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Users.
    pub users: u64,
    /// Positions that are not flat.
    pub positions_open: u64,
    /// Sum over all balances: zero, always.
    pub ledger: [i128; 4],
    /// Realised profit that users have, before fees and funding.
    pub profit: [i128; 4],
    /// Trading fees that users paid.
    pub fees: [i128; 4],
    /// Funding that users received.
    pub funding: [i128; 4],
    /// What the company earned.
    pub revenue: [i128; 4],
    /// What users owe the company.
    pub debt: [i128; 4],
    /// Positions that closed, among the newest of each user, in the order of [`CLOSE_REASONS`].
    pub closed: [u64; CLOSE_REASONS.len()],
}

/// Every reason of a close.
pub const CLOSE_REASONS: [CloseReason; 9] = [
    CloseReason::TakeProfit,
    CloseReason::StopLoss,
    CloseReason::Signal,
    CloseReason::Manual,
    CloseReason::Reversal,
    CloseReason::Liquidation,
    CloseReason::External,
    CloseReason::Halt,
    CloseReason::Unprotected,
];

impl Audit {
    /// Adds another part.
    pub fn add(&mut self, other: &Self) {
        self.users += other.users;
        self.positions_open += other.positions_open;
        for (mine, theirs) in self.closed.iter_mut().zip(other.closed) {
            *mine += theirs;
        }
        for place in 0..Currency::ALL.len() {
            self.ledger[place] += other.ledger[place];
            self.profit[place] += other.profit[place];
            self.fees[place] += other.fees[place];
            self.funding[place] += other.funding[place];
            self.revenue[place] += other.revenue[place];
            self.debt[place] += other.debt[place];
        }
    }

    fn add_user(&mut self, user: &User) {
        self.users += 1;
        self.positions_open += user.positions.len() as u64;
        for reason in user.closed_positions.iter().filter_map(|p| p.closed) {
            if let Some(place) = CLOSE_REASONS.iter().position(|r| *r == reason) {
                self.closed[place] += 1;
            }
        }
        for (place, currency) in Currency::ALL.into_iter().enumerate() {
            let of = |account| i128::from(user.ledger.balance(currency, account).units());
            self.ledger[place] += user.ledger.sum_units(currency);
            self.profit[place] -= of(LedgerAccount::VenueProfit);
            self.fees[place] += of(LedgerAccount::VenueFee);
            self.funding[place] -= of(LedgerAccount::VenueFunding);
            self.revenue[place] += of(LedgerAccount::Revenue);
            self.debt[place] -= of(LedgerAccount::Debt);
        }
    }
}

/// A sum of units of 1e-8 as a decimal text. Wider than [`Money`]: sums over many users.
#[must_use]
pub fn decimal(units: i128) -> String {
    let magnitude = units.unsigned_abs();
    let (whole, part) = (magnitude / 100_000_000, magnitude % 100_000_000);
    let sign = if units < 0 { "-" } else { "" };
    if part == 0 {
        return format!("{sign}{whole}");
    }
    format!("{sign}{whole}.{}", format!("{part:08}").trim_end_matches('0'))
}

/// The reads of this server.
#[derive(Debug)]
pub struct ServerReads;

impl Reads for ServerReads {
    type Question = Question;
    type Answer = Found;

    fn read(
        state: &State,
        _rules: &Rules,
        market: &impl MarketView,
        now: Timestamp,
        question: Question,
    ) -> Found {
        match question {
            Question::Password(id) => match state.by_id(id) {
                Some(user) => Found::Password(user.password.clone(), user.locked_until),
                None => Found::Nothing,
            },
            Question::Page(id, page) => match state.by_id(id) {
                Some(user) => Found::Json(render(user, page, market, now)),
                None => Found::Nothing,
            },
            Question::KeyPlace(id, account) => match state.by_id(id) {
                Some(user) => Found::KeyPlace(find_place(user, account)),
                None => Found::Nothing,
            },
            Question::SignalHead(id) => signal_head(state, id),
            Question::Receipt { signal, from, only } => receipt(state, signal, from, only),
            Question::Digests(from) => {
                let (users, next) = page(state.users(), from);
                Found::Digests(users.iter().map(|u| (u.id, user_digest(u))).collect(), next)
            }
            Question::Audit(from) => {
                let (users, next) = page(state.users(), from);
                let mut audit = Audit::default();
                users.iter().for_each(|user| audit.add_user(user));
                Found::Audit(Box::new(audit), next)
            }
            Question::Known(user) => match state.by_id(user) {
                Some(user) => Found::Known(user.zone.as_str().into()),
                None => Found::Nothing,
            },
            Question::History { question, database } => match state.by_id(question.user) {
                Some(user) => Found::History(question.from_memory(user, database).map(Box::new)),
                None => Found::Nothing,
            },
        }
    }
}

fn page<T>(list: &[T], from: u32) -> (&[T], Option<u32>) {
    let rest = list.get(from as usize..).unwrap_or(&[]);
    if rest.len() > PAGE_USERS_MAX as usize {
        (&rest[..PAGE_USERS_MAX as usize], Some(from + PAGE_USERS_MAX))
    } else {
        (rest, None)
    }
}

fn signal_head(state: &State, id: SignalId) -> Found {
    let kept = state.source(id.source).and_then(|source| source.signal(id.number));
    let kept =
        kept.filter(|found| found.finished.is_none() || !planted::planted!("finished_receipt_not_found"));
    let Some(found) = kept else { return Found::Nothing };
    Found::SignalHead(Box::new(SignalHead {
        signal: found.signal,
        body: found.body.clone(),
        superseded_by: found.superseded_by,
        finished: found.finished,
        finished_at: found.finished_at,
    }))
}

fn receipt(state: &State, signal: SignalId, from: u32, only: Option<UserId>) -> Found {
    let line = |user: &User| {
        let line = |outcome: &Outcome| ReceiptLine {
            user: user.id,
            outcome: *outcome,
            fills: fills_of(user, signal),
        };
        user.outcome(signal).map(line)
    };
    if let Some(only) = only.filter(|_| !planted::planted!("follower_sees_every_line")) {
        return Found::Receipt(state.by_id(only).and_then(line).into_iter().collect(), None);
    }
    let from = from + u32::from(planted::planted!("receipt_row_forgotten"));
    let (places, next) = page(state.subscribers(signal.source), from);
    Found::Receipt(places.iter().filter_map(|at| line(state.user(*at))).collect(), next)
}

#[derive(Serialize)]
struct OrderView {
    id: String,
    account: u8,
    symbol: String,
    side: &'static str,
    kind: &'static str,
    price: Option<String>,
    quantity: String,
    filled: String,
    average_price: Option<String>,
    fees: String,
    fills: u32,
    reduce_only: bool,
    state: &'static str,
    reason: Option<&'static str>,
    position: String,
    decided_at: u64,
    sent_at: Option<u64>,
    filled_at: Option<u64>,
    done_at: Option<u64>,
}

fn at(time: Timestamp) -> Option<u64> {
    (time.0 != 0).then_some(time.0)
}

impl From<&Order> for OrderView {
    fn from(order: &Order) -> Self {
        let (kind, price) = order.new.kind.words();
        Self {
            id: order.new.id.to_string(),
            account: order.new.id.account.index,
            symbol: order.new.symbol.to_string(),
            side: order.new.side.as_str(),
            kind,
            price: price.map(|p| p.to_string()),
            quantity: order.new.quantity.to_string(),
            filled: order.filled.to_string(),
            average_price: order.average_price().map(|p| p.to_string()),
            fees: order.fees.to_string(),
            fills: order.fills,
            reduce_only: order.new.reduce_only,
            state: order.state.as_str(),
            reason: order.reason.map(|r| r.as_str()),
            position: order.position.to_string(),
            decided_at: order.decided_at.0,
            sent_at: at(order.sent_at),
            filled_at: at(order.filled_at),
            done_at: at(order.done_at),
        }
    }
}

#[derive(Serialize)]
struct PositionView {
    id: String,
    account: u8,
    symbol: String,
    side: &'static str,
    state: &'static str,
    leverage: u8,
    quantity: String,
    entry_quantity: String,
    entry_price: Option<String>,
    margin: String,
    stop: String,
    take_profit: String,
    liquidation: String,
    mark: Option<String>,
    unrealised: Option<String>,
    realised: String,
    fees: String,
    funding: String,
    net: String,
    profit_share_rate: String,
    close_reason: Option<&'static str>,
    opened_at: Option<u64>,
    opened_venue_at: Option<u64>,
    closed_at: Option<u64>,
}

fn position_view(user: &User, position: &Position, market: &impl MarketView) -> PositionView {
    let open = position.quantity > Quantity::ZERO;
    let venue = user.accounts.get(usize::from(position.account)).filter(|_| open);
    let mark = venue.and_then(|venue| market.quote_for(venue, position.symbol)).map(|q| q.mark);
    PositionView {
        id: position.signal.to_string(),
        account: position.account,
        symbol: position.symbol.to_string(),
        side: if position.side == engine::core::order::Side::Buy { "long" } else { "short" },
        state: position.state.as_str(),
        leverage: position.leverage,
        quantity: position.quantity.to_string(),
        entry_quantity: position.entry_quantity.to_string(),
        entry_price: position.entry_price().map(|p| p.to_string()),
        margin: if open { position.margin().to_string() } else { Money::ZERO.to_string() },
        stop: position.stop.to_string(),
        take_profit: position.take_profit.to_string(),
        liquidation: position.liquidation.to_string(),
        mark: mark.map(|p| p.to_string()),
        unrealised: mark.map(|p| position.unrealised(p).to_string()),
        realised: position.realised.to_string(),
        fees: position.fees.to_string(),
        funding: position.funding.to_string(),
        net: position.net().to_string(),
        profit_share_rate: position.share.to_string(),
        close_reason: position.closed.map(|r| r.as_str()),
        opened_at: at(position.opened_at),
        opened_venue_at: at(position.opened_venue_at),
        closed_at: at(position.closed_at),
    }
}

#[derive(Serialize)]
struct BalanceView {
    currency: &'static str,
    account: String,
    balance: String,
}

#[derive(Serialize)]
struct AccountView {
    index: u8,
    venue: &'static str,
    currency: &'static str,
    wallet: String,
    available: String,
    enabled: bool,
    day_ends_at: Option<u64>,
    day_equity: String,
}

#[derive(Serialize)]
struct EntryView {
    number: u64,
    at: u64,
    key: String,
    /// What fills and funding belong to, spelled out for programs.
    about: Option<String>,
    currency: &'static str,
    postings: Vec<PostingView>,
}

#[derive(Serialize)]
struct PostingView {
    account: String,
    amount: String,
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("these views are plain data")
}

fn render(user: &User, page: Page, market: &impl MarketView, now: Timestamp) -> Vec<u8> {
    match page {
        Page::Profile => to_json(&serde_json::json!({
            "id": user.id.to_string(),
            "email": user.email,
            "zone": user.zone,
            "active": user.active,
            "halted": user.halted,
            "created_at": user.created_at.0,
            "trial_ends_at": user.trial_ends_at.0,
        })),
        Page::Accounts => accounts(user, now),
        Page::Orders => {
            let live: Vec<OrderView> = user.orders.iter().map(OrderView::from).collect();
            let recent: Vec<OrderView> = user.final_orders.iter().rev().map(OrderView::from).collect();
            to_json(&serde_json::json!({ "live": live, "recent": recent }))
        }
        Page::Positions => {
            let open: Vec<_> = user.positions.iter().map(|p| position_view(user, p, market)).collect();
            let recent: Vec<_> =
                user.closed_positions.iter().rev().map(|p| position_view(user, p, market)).collect();
            to_json(&serde_json::json!({ "open": open, "recent": recent }))
        }
        Page::Balances => balances(user),
        Page::Ledger => {
            let entries: Vec<EntryView> = user
                .ledger
                .statement()
                .iter()
                .skip(usize::from(planted::planted!("statement_without_its_oldest")))
                .rev()
                .map(|entry| EntryView {
                    number: entry.number,
                    at: entry.at.0,
                    key: entry.key.text(),
                    about: match entry.key {
                        EntryKey::FillFee(id, _) | EntryKey::FillProfit(id, _) => Some(id.to_string()),
                        EntryKey::ProfitShare(signal, _) => Some(signal.to_string()),
                        _ => None,
                    },
                    currency: entry.currency.as_str(),
                    postings: entry
                        .postings
                        .iter()
                        .map(|p| PostingView { account: p.account.name(), amount: p.amount.to_string() })
                        .collect(),
                })
                .collect();
            to_json(&serde_json::json!({ "entries": entries, "booked": user.ledger.entries() }))
        }
        Page::Sources => {
            let sources: Vec<_> = user
                .sources
                .iter()
                .zip(0_u8..)
                .map(|(source, index)| {
                    serde_json::json!({
                        "id": SourceId { owner: user.id, index }.to_string(),
                        "name": source.name,
                        "halted": source.halted,
                        "signals": source.accepted,
                        "recent": source.signals.iter().rev().take(16).map(|s| serde_json::json!({
                            "id": s.signal.id.to_string(),
                            "kind": s.signal.kind.as_str(),
                            "symbol": s.signal.symbol.to_string(),
                            "accepted_at": s.signal.accepted_at.0,
                        })).collect::<Vec<_>>(),
                    })
                })
                .collect();
            to_json(&serde_json::json!({ "sources": sources }))
        }
        Page::Subscriptions => {
            let list: Vec<_> = user
                .subscriptions
                .iter()
                .map(|s| {
                    serde_json::json!({
                        "source": s.source.to_string(),
                        "account": s.account,
                        "active": s.active,
                        "leverage": s.settings.leverage,
                        "stop_multiplier": s.settings.stop_multiplier.to_string(),
                        "take_profit_multiplier": s.settings.take_profit_multiplier.to_string(),
                        "reverse": s.settings.reverse,
                    })
                })
                .collect();
            to_json(&serde_json::json!({ "subscriptions": list }))
        }
    }
}

fn balances(user: &User) -> Vec<u8> {
    let accounts: Vec<AccountView> = user
        .accounts
        .iter()
        .zip(0_u8..)
        .map(|(account, index)| AccountView {
            index,
            venue: account.venue.as_str(),
            currency: account.currency().as_str(),
            wallet: user.wallet(index).to_string(),
            available: if planted::planted!("available_with_what_is_bound") {
                user.wallet(index).to_string()
            } else {
                user.available(index).to_string()
            },
            enabled: account.enabled,
            day_ends_at: at(account.day_ends_at),
            day_equity: account.day_equity.to_string(),
        })
        .collect();
    let balances: Vec<BalanceView> = user
        .ledger
        .balances()
        .iter()
        .map(|(currency, account, balance)| BalanceView {
            currency: currency.as_str(),
            account: account.name(),
            balance: balance.to_string(),
        })
        .collect();
    to_json(&serde_json::json!({ "accounts": accounts, "balances": balances }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_print_as_plain_decimals() {
        for (units, text) in [
            (0, "0"),
            (1, "0.00000001"),
            (-150_000_000, "-1.5"),
            (i128::from(i64::MAX) * 1000, "92233720368547.75807"),
        ] {
            assert_eq!(decimal(units), text);
        }
    }
}
