//! What a user's pages must show, worked out from the model: every field of every row.
//!
//! **Not compared**, for it is of the moment and not of the user: the mark price of an open position (what it makes of the
//! position is, from the mark that is shown). Where a key ends by the exchange's word, its health and its days left are compared with what
//! the shards' calendars may have shown. What the secret of a source or the token of a session is, no page shows.

use engine::core::ids::{AccountId, ClientOrderId, SignalId, SourceId};
use engine::core::key::{KeyFault, KeyState};
use engine::core::ledger::EntryKey;
use engine::core::order::{OrderKind, Side};
use engine::core::user::VenueKind;
use engine::core::venue_account::Egress;
use serde_json::Value;

use super::money::unrealised;
use super::numbers::{ONE, Units, even, margin};
use super::user::{Accepted, Account, AccountKey, Booked, ModelUser, Order, Position, STATEMENT};

/// Signals that the page of sources shows of each.
const SIGNALS_SHOWN: usize = 16;
/// Microseconds in a day.
const DAY: u64 = 86_400_000_000;

/// A page of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// `/api/me`.
    Profile,
    /// `/api/accounts`.
    Accounts,
    /// `/api/orders`.
    Orders,
    /// `/api/positions`.
    Positions,
    /// `/api/balances`.
    Balances,
    /// `/api/ledger`.
    Ledger,
    /// `/api/sources`.
    Sources,
    /// `/api/subscriptions`.
    Subscriptions,
}

impl Page {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Profile,
        Self::Accounts,
        Self::Orders,
        Self::Positions,
        Self::Balances,
        Self::Ledger,
        Self::Sources,
        Self::Subscriptions,
    ];

    /// Where it is.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Profile => "/api/me",
            Self::Accounts => "/api/accounts",
            Self::Orders => "/api/orders",
            Self::Positions => "/api/positions",
            Self::Balances => "/api/balances",
            Self::Ledger => "/api/ledger",
            Self::Sources => "/api/sources",
            Self::Subscriptions => "/api/subscriptions",
        }
    }

    /// A text of it, or of each of its rows, that the model knows.
    #[must_use]
    pub const fn telling(self) -> &'static str {
        match self {
            Self::Profile => "email",
            Self::Accounts => "venue",
            Self::Orders | Self::Positions => "state",
            Self::Balances => "balance",
            Self::Ledger => "amount",
            Self::Sources => "name",
            Self::Subscriptions => "source",
        }
    }
}

pub(super) type Agrees = Result<(), String>;

pub(super) fn same<T: PartialEq + std::fmt::Debug>(
    what: impl std::fmt::Display,
    shown: &T,
    model: &T,
) -> Agrees {
    if shown == model { Ok(()) } else { Err(format!("{what}: shown {shown:?}, must be {model:?}")) }
}

/// A decimal text in units of 1e-8, read without the product's parser.
fn units(value: &Value) -> Option<Units> {
    let text = value.as_str()?;
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{whole}{part:0<8}");
    let magnitude: Units = if part.len() > 8 { return None } else { digits.parse().ok()? };
    Some(if negative { -magnitude } else { magnitude })
}

fn same_units(what: impl std::fmt::Display, shown: &Value, model: Units) -> Agrees {
    match units(shown) {
        Some(found) => same(what, &found, &model),
        None => Err(format!("{what}: shown {shown}, must be {model} units")),
    }
}

/// An amount that may not be there.
fn same_amount(what: impl std::fmt::Display, shown: &Value, model: Option<Units>) -> Agrees {
    match model {
        Some(model) => same_units(what, shown, model),
        None => same(what, shown, &Value::Null),
    }
}

/// Fields of one thing.
pub(super) fn same_facts(of: impl std::fmt::Display, shown: &Value, facts: &[(&str, Value)]) -> Agrees {
    facts.iter().try_for_each(|(name, value)| same(format_args!("{name} of {of}"), &shown[name], value))
}

fn rows<'a>(page: &'a Value, list: &str) -> Result<&'a Vec<Value>, String> {
    page[list].as_array().ok_or_else(|| format!("no list {list}"))
}

fn same_rows<T>(page: &Value, list: &str, model: &[T], row: impl Fn(&Value, &T) -> Agrees) -> Agrees {
    let shown = rows(page, list)?;
    same(format_args!("rows of {list}"), &shown.len(), &model.len())?;
    shown.iter().zip(model).try_for_each(|(shown, model)| row(shown, model))
}

/// A moment as a page writes it, in microseconds; one that has not come is left out.
pub(super) fn time(at: u64) -> Value {
    if at == 0 { Value::Null } else { Value::from(at) }
}

/// The word of an order's side.
pub(super) const fn side_word(side: Side) -> &'static str {
    match side {
        Side::Buy => "buy",
        Side::Sell => "sell",
    }
}

/// The word of an order's kind, and its price.
pub(super) fn kind_word(kind: OrderKind) -> (&'static str, Option<Units>) {
    match kind {
        OrderKind::Market => ("market", None),
        OrderKind::Limit(price) => ("limit", Some(price.units().into())),
        OrderKind::StopMarket(price) => ("stop_market", Some(price.units().into())),
        OrderKind::TakeProfitMarket(price) => ("take_profit_market", Some(price.units().into())),
    }
}

fn order(shown: &Value, model: &Order) -> Agrees {
    let id = model.new.id;
    let (kind, price) = kind_word(model.new.kind);
    let average = (model.filled != 0).then(|| even(model.notional * ONE, model.filled));
    same_facts(
        id,
        shown,
        &[
            ("id", Value::from(id.to_string())),
            ("account", Value::from(id.account.index)),
            ("symbol", Value::from(model.new.symbol.to_string())),
            ("side", Value::from(side_word(model.new.side))),
            ("kind", Value::from(kind)),
            ("fills", Value::from(model.fills)),
            ("reduce_only", Value::from(model.new.reduce_only)),
            ("state", Value::from(model.state.as_str())),
            ("reason", Value::from(model.reason.map(|reason| reason.as_str()))),
            ("position", Value::from(model.position.to_string())),
            ("decided_at", Value::from(model.decided_at)),
            ("sent_at", time(model.sent_at)),
            ("filled_at", time(model.filled_at)),
            ("done_at", time(model.done_at)),
        ],
    )?;
    let amounts = [
        ("price", price),
        ("quantity", Some(model.new.quantity.units().into())),
        ("filled", Some(model.filled)),
        ("average_price", average),
        ("fees", Some(model.fees)),
    ];
    amounts
        .into_iter()
        .try_for_each(|(name, value)| same_amount(format_args!("{name} of {id}"), &shown[name], value))
}

fn position(shown: &Value, model: &Position) -> Agrees {
    let id = model.signal;
    let open = model.open > 0;
    same_facts(
        id,
        shown,
        &[
            ("id", Value::from(id.to_string())),
            ("account", Value::from(model.account)),
            ("symbol", Value::from(model.symbol.to_string())),
            ("side", Value::from(if model.side == Side::Buy { "long" } else { "short" })),
            ("state", Value::from(model.state.as_str())),
            ("leverage", Value::from(model.leverage)),
            ("close_reason", Value::from(model.closed.map(|reason| reason.as_str()))),
            ("opened_at", time(model.opened_at)),
            ("opened_venue_at", time(model.opened_venue_at)),
            ("closed_at", time(model.closed_at)),
        ],
    )?;
    // Whether there is a mark, and which, is the market's affair; what is made of it is not.
    let mark = &shown["mark"];
    if !open {
        same("the mark of what is flat", mark, &Value::Null)?;
    }
    let worth = units(mark).map(|mark| unrealised(model, mark));
    let bound = if open { margin(model.cost, model.leverage) + model.reserved } else { 0 };
    let amounts = [
        ("quantity", Some(model.open)),
        ("entry_quantity", Some(model.entered)),
        ("entry_price", open.then(|| even(model.cost * ONE, model.open))),
        ("margin", Some(bound)),
        ("stop", Some(model.stop)),
        ("take_profit", Some(model.target)),
        ("liquidation", Some(model.liquidation)),
        ("unrealised", worth),
        ("realised", Some(model.realised)),
        ("fees", Some(model.fees)),
        ("funding", Some(model.funding)),
        ("net", Some(model.realised - model.fees + model.funding)),
        ("profit_share_rate", Some(model.share)),
    ];
    amounts
        .into_iter()
        .try_for_each(|(name, value)| same_amount(format_args!("{name} of {id}"), &shown[name], value))
}

/// A key as its owner may see it, between two times of the shards' calendars.
fn key(shown: &Value, model: &AccountKey, (earliest, latest): (u64, u64)) -> Agrees {
    same_facts(
        "a key",
        shown,
        &[
            ("type", Value::from(model.kind.as_str())),
            ("last4", Value::from(model.hint.text())),
            ("set_at", Value::from(model.set_at)),
            ("expires_at", time(model.expires_at)),
        ],
    )?;
    let left = |now: u64| model.expires_at.saturating_sub(now) / DAY;
    match shown["days_left"].as_u64() {
        None => same("the end of a key without days left", &model.expires_at, &0),
        Some(days) if model.expires_at != 0 && (left(latest)..=left(earliest)).contains(&days) => Ok(()),
        Some(days) => Err(format!("a key that ends at {} has {days} days left", model.expires_at)),
    }
}

fn account(shown: &Value, of: &ModelUser, index: u8, model: &Account, calendar: (u64, u64)) -> Agrees {
    let on_exchange = model.place.venue != VenueKind::Paper;
    let host = model.place.site.host();
    let egress = match model.place.egress {
        Egress::Any => Value::Null,
        Egress::V4(octets) => Value::from(std::net::IpAddr::from(octets).to_string()),
        Egress::V6(octets) => Value::from(std::net::IpAddr::from(octets).to_string()),
    };
    same_facts(
        format_args!("account {index}"),
        shown,
        &[
            ("index", Value::from(index)),
            ("id", Value::from(AccountId { user: of.id, index }.to_string())),
            ("venue", Value::from(model.place.venue.as_str())),
            ("environment", Value::from(on_exchange.then(|| model.place.environment.as_str()))),
            ("host", Value::from(Some(host).filter(|host| !host.is_empty()))),
            ("egress", egress),
            ("currency", Value::from(of.currency(index).as_str())),
            ("enabled", Value::from(true)),
        ],
    )?;
    let ends = model.key.as_ref().map_or(0, |key| key.expires_at);
    let may_have_ended = ends != 0 && ends <= calendar.1 && model.key_state == KeyState::Healthy;
    let must_have_ended = may_have_ended && ends <= calendar.0;
    let ended = KeyState::Unhealthy(KeyFault::Expired);
    let health = |state: KeyState| {
        let remedy = match state {
            KeyState::Unhealthy(fault) => Some(fault.remedy()),
            _ => None,
        };
        let facts = [("key_health", Value::from(state.as_str())), ("key_remedy", Value::from(remedy))];
        same_facts(format_args!("account {index}"), shown, &facts)
    };
    match (may_have_ended, must_have_ended) {
        (_, true) => health(ended)?,
        (true, false) => health(ended).or_else(|_| health(model.key_state))?,
        (false, false) => health(model.key_state)?,
    }
    match &model.key {
        Some(model) => key(&shown["key"], model, calendar),
        None => same("the key of an account without one", &shown["key"], &Value::Null),
    }
}

/// What an entry is called, and the order or position that it is about.
pub(super) fn entry_name(key: &EntryKey) -> (String, Option<String>) {
    match key {
        EntryKey::AccountOpened(account) => (format!("account_opened:{account}"), None),
        EntryKey::Prepaid(account) => (format!("prepaid:{account}"), None),
        EntryKey::FillFee(id, number) => (format!("fill_fee:{id}:{number}"), Some(id.to_string())),
        EntryKey::FillProfit(id, number) => (format!("fill_profit:{id}:{number}"), Some(id.to_string())),
        EntryKey::Funding(account, symbol, at) => {
            (format!("funding:{account}:{symbol}:{}", at.0 / 1_000), None)
        }
        EntryKey::LiquidationFee(account, number) => (format!("liquidation_fee:{account}:{number}"), None),
        EntryKey::LiquidationProfit(account, number) => {
            (format!("liquidation_profit:{account}:{number}"), None)
        }
        EntryKey::ProfitShare(signal, account) => {
            (format!("profit_share:{signal}:{account}"), Some(signal.to_string()))
        }
        EntryKey::Recharge(number) => (format!("recharge:{number}"), None),
        EntryKey::DebtOffset(number) => (format!("debt_offset:{number}"), None),
        EntryKey::OutsideFee(account, number) => (format!("outside_fee:{account}:{number}"), None),
        EntryKey::OutsideProfit(account, number) => (format!("outside_profit:{account}:{number}"), None),
        EntryKey::Transfer(account, number) => (format!("transfer:{account}:{number}"), None),
    }
}

fn entry(shown: &Value, model: &Booked) -> Agrees {
    let (name, about) = entry_name(&model.key);
    same_facts(
        format_args!("entry {}", model.number),
        shown,
        &[
            ("number", Value::from(model.number)),
            ("at", Value::from(model.at)),
            ("key", Value::from(name)),
            ("about", Value::from(about)),
            ("currency", Value::from(model.currency.as_str())),
        ],
    )?;
    same_rows(shown, "postings", &model.lines, |shown, (account, amount)| {
        same("posting", &shown["account"], &Value::from(account.name()))?;
        same_units("the amount of a posting", &shown["amount"], *amount)
    })
}

impl ModelUser {
    /// Whether an order of this id was ever decided.
    #[must_use]
    pub fn knows_order(&self, id: ClientOrderId) -> bool {
        self.ever_ordered.contains(&id)
    }

    /// Whether a signal was decided on for this user, who has (or had) a subscription to its source; `None` without one.
    #[must_use]
    pub fn has_decided(&self, signal: SignalId, opens: bool) -> Option<bool> {
        let subscription = self.subscriptions.iter().find(|one| one.source == signal.source)?;
        let mark = if opens { subscription.last_open } else { subscription.last_close };
        Some(mark >= signal.number)
    }

    /// Whether a signal of this publisher has ended; `None` when there is none of that number.
    #[must_use]
    pub fn has_finished(&self, signal: SignalId) -> Option<bool> {
        let source = self.sources.get(usize::from(signal.source.index))?;
        if source.accepted < signal.number {
            return None;
        }
        let kept = source.signals.iter().find(|kept| kept.signal.id == signal);
        // Only ended ones are forgotten.
        Some(kept.is_none_or(|kept| kept.finished.is_some()))
    }

    /// Whether a page shows this user as they are, between two times of the shards' calendars (in microseconds).
    ///
    /// # Errors
    /// The first difference.
    pub fn page_agrees(&self, page: Page, shown: &Value, calendar: (u64, u64)) -> Agrees {
        if planted::planted!("judge_agrees_with_every_page") {
            return Ok(());
        }
        match page {
            Page::Profile => same_facts(
                "the user",
                shown,
                &[
                    ("id", Value::from(self.id.to_string())),
                    ("email", Value::from(self.email.as_str())),
                    ("zone", Value::from(self.zone.as_str())),
                    ("active", Value::from(true)),
                    ("halted", Value::from(self.halted)),
                    ("created_at", Value::from(self.created_at)),
                    ("trial_ends_at", Value::from(self.trial_ends_at)),
                ],
            ),
            Page::Accounts => {
                let model: Vec<_> = (0_u8..).zip(&self.accounts).collect();
                same_rows(shown, "accounts", &model, |shown, (index, model)| {
                    account(shown, self, *index, model, calendar)
                })
            }
            Page::Orders => {
                let recent: Vec<&Order> = self.final_orders.iter().rev().collect();
                same_rows(shown, "live", &self.orders, order)?;
                same_rows(shown, "recent", &recent, |shown, model| order(shown, model))
            }
            Page::Positions => {
                let recent: Vec<&Position> = self.closed.iter().rev().collect();
                same_rows(shown, "open", &self.positions, position)?;
                same_rows(shown, "recent", &recent, |shown, model| position(shown, model))
            }
            Page::Balances => self.balances_agree(shown),
            Page::Ledger => {
                same("entries booked", &shown["booked"], &Value::from(self.books.entries))?;
                let all = usize::try_from(self.books.entries).unwrap_or(usize::MAX);
                same("entries shown", &rows(shown, "entries")?.len(), &all.min(STATEMENT))?;
                let newest: Vec<_> = self.books.newest.iter().rev().collect();
                same_rows(shown, "entries", &newest, |shown, model| entry(shown, model))
            }
            Page::Sources => self.sources_agree(shown),
            Page::Subscriptions => same_rows(shown, "subscriptions", &self.subscriptions, |shown, model| {
                let source = model.source;
                same_facts(
                    format_args!("the subscription to {source}"),
                    shown,
                    &[
                        ("source", Value::from(source.to_string())),
                        ("active", Value::from(model.active)),
                        ("leverage", Value::from(model.settings.leverage)),
                        ("reverse", Value::from(model.settings.reverse)),
                        ("account", Value::from(model.account)),
                    ],
                )?;
                let (stop, target) = (model.settings.stop_multiplier, model.settings.take_profit_multiplier);
                same_units("stop_multiplier", &shown["stop_multiplier"], stop.units().into())?;
                same_units("take_profit_multiplier", &shown["take_profit_multiplier"], target.units().into())
            }),
        }
    }

    fn balances_agree(&self, shown: &Value) -> Agrees {
        let accounts: Vec<_> = (0_u8..).zip(&self.accounts).collect();
        same_rows(shown, "accounts", &accounts, |shown, (index, model)| {
            same_facts(
                format_args!("account {index}"),
                shown,
                &[
                    ("index", Value::from(*index)),
                    ("venue", Value::from(model.place.venue.as_str())),
                    ("currency", Value::from(self.currency(*index).as_str())),
                    ("enabled", Value::from(true)),
                    ("day_ends_at", time(model.day_ends_at)),
                ],
            )?;
            same_units("wallet", &shown["wallet"], self.wallet(*index))?;
            same_units("available", &shown["available"], self.available(*index))?;
            same_units("day_equity", &shown["day_equity"], model.day_equity)
        })?;
        let model: Vec<_> = self.books.balances.iter().collect();
        same_rows(shown, "balances", &model, |shown, ((currency, account), balance)| {
            same("currency", &shown["currency"], &Value::from(currency.as_str()))?;
            same("account", &shown["account"], &Value::from(account.name()))?;
            same_units(account.name(), &shown["balance"], **balance)
        })
    }

    fn sources_agree(&self, shown: &Value) -> Agrees {
        let model: Vec<_> = (0_u8..).zip(&self.sources).collect();
        same_rows(shown, "sources", &model, |shown, (index, model)| {
            same_facts(
                format_args!("source {index}"),
                shown,
                &[
                    ("id", Value::from(SourceId { owner: self.id, index: *index }.to_string())),
                    ("name", Value::from(model.name.as_str())),
                    ("halted", Value::from(model.halted)),
                    ("signals", Value::from(model.accepted)),
                ],
            )?;
            let newest: Vec<&Accepted> = model.signals.iter().rev().take(SIGNALS_SHOWN).collect();
            same_rows(shown, "recent", &newest, |shown, model| {
                same_facts(
                    "a recent signal",
                    shown,
                    &[
                        ("id", Value::from(model.signal.id.to_string())),
                        ("kind", Value::from(model.signal.kind.as_str())),
                        ("symbol", Value::from(model.signal.symbol.to_string())),
                        ("accepted_at", Value::from(model.signal.accepted_at.0)),
                    ],
                )
            })
        })
    }

    /// When the session with this token ends, if there is one; in microseconds.
    #[must_use]
    pub fn session_ends_at(&self, token: &[u8; 32]) -> Option<u64> {
        self.sessions.iter().find(|(known, _)| known == token).map(|(_, ends)| *ends)
    }

    /// Until when log-ins are locked, in microseconds; zero when they never were.
    #[must_use]
    pub const fn log_in_locked_until(&self) -> u64 {
        self.locked_until
    }
}
