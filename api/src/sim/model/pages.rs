//! What a user's pages must show, worked out from the model: every figure that does not depend on the moment's market.
//!
//! Only the newest of histories are compared where a page shows them all; amounts are compared as numbers.

use engine::core::ids::{ClientOrderId, SignalId};
use engine::core::user::OutcomeKind;
use serde_json::Value;

use super::numbers::Units;
use super::user::{Accepted, ModelUser, Order, Position, STATEMENT};

/// A page of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// `/api/me`.
    Profile,
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
            Self::Orders => "/api/orders",
            Self::Positions => "/api/positions",
            Self::Balances => "/api/balances",
            Self::Ledger => "/api/ledger",
            Self::Sources => "/api/sources",
            Self::Subscriptions => "/api/subscriptions",
        }
    }
}

type Agrees = Result<(), String>;

fn same<T: PartialEq + std::fmt::Debug>(what: impl std::fmt::Display, shown: &T, model: &T) -> Agrees {
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

fn rows<'a>(page: &'a Value, list: &str) -> Result<&'a Vec<Value>, String> {
    page[list].as_array().ok_or_else(|| format!("no list {list}"))
}

fn same_rows<T>(page: &Value, list: &str, model: &[T], row: impl Fn(&Value, &T) -> Agrees) -> Agrees {
    let shown = rows(page, list)?;
    same(format!("rows of {list}"), &shown.len(), &model.len())?;
    shown.iter().zip(model).try_for_each(|(shown, model)| row(shown, model))
}

/// A moment as a page writes it, in microseconds; one that has not come is left out.
fn time(at: u64) -> Value {
    if at == 0 { Value::Null } else { Value::from(at) }
}

fn order(shown: &Value, model: &Order) -> Agrees {
    let id = model.new.id;
    same("order", &shown["id"], &Value::from(id.to_string()))?;
    same(format!("state of {id}"), &shown["state"], &Value::from(model.state.as_str()))?;
    same_units(format!("quantity of {id}"), &shown["quantity"], Units::from(model.new.quantity.units()))?;
    same_units(format!("filled of {id}"), &shown["filled"], model.filled)?;
    same_units(format!("fees of {id}"), &shown["fees"], model.fees)
}

fn position(shown: &Value, model: &Position) -> Agrees {
    let id = model.signal;
    same("position", &shown["id"], &Value::from(id.to_string()))?;
    same(format!("state of {id}"), &shown["state"], &Value::from(model.state.as_str()))?;
    let figures = [
        ("quantity", model.open),
        ("entry_quantity", model.entered),
        ("realised", model.realised),
        ("fees", model.fees),
        ("funding", model.funding),
        ("stop", model.stop),
        ("take_profit", model.target),
        ("net", model.realised - model.fees + model.funding),
    ];
    figures
        .into_iter()
        .try_for_each(|(name, value)| same_units(format!("{name} of {id}"), &shown[name], value))
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

    /// Whether a page shows this user as they are.
    ///
    /// # Errors
    /// The first difference.
    pub fn page_agrees(&self, page: Page, shown: &Value) -> Agrees {
        if planted::planted!("judge_agrees_with_every_page") {
            return Ok(());
        }
        match page {
            Page::Profile => {
                same("email", &shown["email"], &Value::from(self.email.as_str()))?;
                same("halted", &shown["halted"], &Value::from(self.halted))
            }
            Page::Orders => {
                let recent: Vec<Order> = self.final_orders.iter().rev().cloned().collect();
                same_rows(shown, "live", &self.orders, order)?;
                same_rows(shown, "recent", &recent, order)
            }
            Page::Positions => {
                let recent: Vec<Position> = self.closed.iter().rev().cloned().collect();
                same_rows(shown, "open", &self.positions, position)?;
                same_rows(shown, "recent", &recent, position)
            }
            Page::Balances => {
                let model: Vec<_> = self.books.balances.iter().collect();
                same_rows(shown, "balances", &model, |shown, ((currency, account), balance)| {
                    same("currency", &shown["currency"], &Value::from(currency.as_str()))?;
                    same("account", &shown["account"], &Value::from(account.name()))?;
                    same_units(account.name(), &shown["balance"], **balance)
                })
            }
            Page::Ledger => {
                same("entries booked", &shown["booked"], &Value::from(self.books.entries))?;
                let shown = rows(shown, "entries")?;
                let kept = usize::try_from(self.books.entries).map_or(STATEMENT, |all| all.min(STATEMENT));
                same("entries shown", &shown.len(), &kept)?;
                for (shown, number) in shown.iter().zip((1..=self.books.entries).rev()) {
                    same("entry", &shown["number"], &Value::from(number))?;
                }
                for (shown, model) in shown.iter().zip(self.books.newest.iter().rev()) {
                    same("time of an entry", &shown["at"], &Value::from(model.at))?;
                    same("currency of an entry", &shown["currency"], &Value::from(model.currency.as_str()))?;
                    same_rows(shown, "postings", &model.lines, |shown, (account, amount)| {
                        same("posting", &shown["account"], &Value::from(account.name()))?;
                        same_units(account.name(), &shown["amount"], *amount)
                    })?;
                }
                Ok(())
            }
            Page::Sources => same_rows(shown, "sources", &self.sources, |shown, model| {
                same("name", &shown["name"], &Value::from(model.name.as_str()))?;
                same("halted", &shown["halted"], &Value::from(model.halted))?;
                same("signals", &shown["signals"], &Value::from(model.accepted))
            }),
            Page::Subscriptions => same_rows(shown, "subscriptions", &self.subscriptions, |shown, model| {
                same("source", &shown["source"], &Value::from(model.source.to_string()))?;
                same("active", &shown["active"], &Value::from(model.active))?;
                same("leverage", &shown["leverage"], &Value::from(model.settings.leverage))?;
                same("account", &shown["account"], &Value::from(model.account))
            }),
        }
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

    fn signal_kept(&self, signal: SignalId) -> Option<&Accepted> {
        let source =
            self.sources.get(usize::from(signal.source.index)).filter(|_| signal.source.owner == self.id)?;
        source.signals.iter().find(|kept| kept.signal.id == signal)
    }

    /// Whether this publisher's source still keeps a signal.
    #[must_use]
    pub fn keeps_signal(&self, signal: SignalId) -> bool {
        self.signal_kept(signal).is_some()
    }

    /// Whether this user has a line in the receipt of a signal.
    #[must_use]
    pub fn has_receipt(&self, signal: SignalId) -> bool {
        self.receipts.iter().any(|line| line.signal == signal)
    }

    /// Whether the head of a receipt shows what this publisher's source knows; the body is shown to the publisher alone.
    ///
    /// # Errors
    /// The first difference.
    pub fn receipt_head_agrees(&self, signal: SignalId, shown: &Value, with_body: bool) -> Agrees {
        let kept = self.signal_kept(signal).ok_or("the signal is not kept")?;
        let covered = kept.covered_by.map(|number| SignalId { source: signal.source, number }.to_string());
        let facts = [
            ("id", Value::from(signal.to_string())),
            ("kind", Value::from(kept.signal.kind.as_str())),
            ("symbol", Value::from(kept.signal.symbol.to_string())),
            ("body", if with_body { Value::from(kept.body.as_str()) } else { Value::Null }),
            ("signal_at", Value::from(kept.signal.signal_at.map(|at| at.0))),
            ("accepted_at", Value::from(kept.signal.accepted_at.0)),
            ("expires_at", Value::from(kept.signal.expires_at.0)),
            ("superseded_by", Value::from(covered)),
            ("state", Value::from(if kept.finished.is_some() { "finished" } else { "working" })),
            ("finished_at", time(kept.finished.map_or(0, |(_, at)| at))),
        ];
        facts.into_iter().try_for_each(|(name, value)| same(name, &shown[name], &value))
    }

    /// Whether a line of the receipt of a signal is this user's.
    ///
    /// # Errors
    /// The first difference.
    pub fn receipt_line_agrees(&self, signal: SignalId, shown: &Value) -> Agrees {
        let line = self.receipts.iter().find(|line| line.signal == signal).ok_or("there is no such line")?;
        let (outcome, reason) = match &line.kind {
            OutcomeKind::Sent => ("sent", None),
            OutcomeKind::Filled => ("filled", None),
            OutcomeKind::FilledInPart => ("filled_in_part", None),
            OutcomeKind::Skipped(reason) => ("skipped", Some(reason.as_str())),
            OutcomeKind::Failed(reason) => ("failed", Some(reason.as_str())),
        };
        let facts = [
            ("outcome", Value::from(outcome)),
            ("reason", Value::from(reason)),
            ("account", Value::from(line.account)),
            ("decided_at", Value::from(line.decided_at)),
            ("sent_at", time(line.sent_at)),
            ("filled_at", time(line.filled_at)),
            ("done_at", time(line.done_at)),
        ];
        facts.into_iter().try_for_each(|(name, value)| same(name, &shown[name], &value))
    }
}
