//! The comparison with the product: of a decision with what was expected, and of a whole user, field by field.
//!
//! **Invariants**: every figure of a user is compared; the first difference is told in words with both values.

use std::fmt::Debug;

use engine::core::command::{Refusal, Reply};
use engine::core::event::Event;
use engine::core::fixed::Money;
use engine::core::ids::Timestamp;
use engine::core::ledger::Ledger;
use engine::core::position;
use engine::core::user;

use super::numbers::Units;
use super::user::{
    Account, AccountKey, Books, Closing, ENTRIES, ModelUser, Order, Position, Receipt, Source, Subscription,
};
use super::{Expected, Model};

type Same = Result<(), String>;

fn same<T: PartialEq + Debug>(what: &str, model: T, product: T) -> Same {
    if model == product {
        Ok(())
    } else {
        Err(format!("{what}: the model has {model:?}, the product {product:?}"))
    }
}

/// An amount, a price or a quantity in counts of 1e-8.
fn same_units(what: &str, model: Units, product: i64) -> Same {
    if model == Units::from(product) {
        return Ok(());
    }
    let text =
        i64::try_from(model).map_or_else(|_| format!("{model}e-8"), |m| Money::from_units(m).to_string());
    Err(format!("{what}: the model has {text}, the product {}", Money::from_units(product)))
}

fn same_time(what: &str, model: u64, product: Timestamp) -> Same {
    same(what, model, product.0)
}

/// Two lists, pair by pair.
fn same_lists<'a, M: Debug, P: Debug + 'a>(
    what: &str,
    model: &[M],
    product: impl ExactSizeIterator<Item = &'a P>,
    pair: impl Fn(&M, &P) -> Same,
) -> Same {
    if model.len() != product.len() {
        let product: Vec<&P> = product.collect();
        return Err(format!("{what}: the model has {model:#?}, the product {product:#?}"));
    }
    let pairs = model.iter().zip(product).enumerate();
    pairs.into_iter().try_for_each(|(at, (m, p))| {
        pair(m, p).map_err(|difference| {
            format!("{what} {at}: {difference}\nthe model's is {m:#?}\nthe product's is {p:#?}")
        })
    })
}

impl Model {
    /// Whether a decision is the expected one: the answer, the new orders and cancels in their order, new accounts, and
    /// whether anything is put on record.
    ///
    /// # Errors
    /// The first difference, in words.
    pub fn matches(
        expected: &Expected,
        events: &[Event],
        outcome: &Result<Reply, Refusal>,
    ) -> Result<(), String> {
        if planted::planted!("judge_agrees_with_every_decision") {
            return Ok(());
        }
        same("the answer", &expected.outcome, outcome)?;
        let (mut submits, mut cancels, mut accounts) = (Vec::new(), Vec::new(), Vec::new());
        for event in events {
            match event {
                Event::EntryIntended { order, .. }
                | Event::ProtectionIntended { order, .. }
                | Event::ExitIntended { order, .. } => submits.push(*order),
                Event::CancelIntended { id } => cancels.push(*id),
                Event::AccountOpened { index, wallet, .. } => accounts.push((*index, *wallet)),
                _ => {}
            }
        }
        same("new orders", &expected.submits, &submits)?;
        same("cancels", &expected.cancels, &cancels)?;
        let opened: Vec<_> =
            expected.accounts_opened.iter().map(|(id, wallet)| (id.index, *wallet)).collect();
        same("new accounts", opened, accounts)?;
        same("whether anything changed", expected.changed, !events.is_empty())
    }

    /// The first difference between the product's user and the model's, in words.
    #[must_use]
    pub fn differs(&self, actual: &user::User) -> Option<String> {
        let Some(model) = self.user(actual.id) else {
            return Some(format!("user {}: the model does not know them", actual.id));
        };
        if planted::planted!("judge_agrees_with_every_state") {
            return None;
        }
        same_user(model, actual)
            .err()
            .map(|difference| format!("user {} {}: {difference}", actual.id, actual.email))
    }
}

fn same_user(model: &ModelUser, product: &user::User) -> Same {
    same("e-mail", &model.email, &product.email)?;
    same("password", &model.password, &product.password)?;
    same("zone", &model.zone, &product.zone)?;
    same("active", true, product.active)?;
    same("halted", model.halted, product.halted)?;
    same_time("created_at", model.created_at, product.created_at)?;
    same_time("trial_ends_at", model.trial_ends_at, product.trial_ends_at)?;
    same_time("plan_ends_at", 0, product.plan_ends_at)?;
    same("failed log-ins", model.failures, product.login_failures)?;
    same_time("locked_until", model.locked_until, product.locked_until)?;
    same_lists("session", &model.sessions, product.sessions.iter(), |m, p| {
        same("token and end", *m, (p.token, p.expires_at.0))
    })?;
    same_lists("account", &model.accounts, product.accounts.iter(), same_account)?;
    same_lists("source", &model.sources, product.sources.iter(), same_source)?;
    same_lists("subscription", &model.subscriptions, product.subscriptions.iter(), same_subscription)?;
    same_lists("position", &model.positions, product.positions.iter(), same_position)?;
    same_lists("closed position", &model.closed, product.closed_positions.iter(), same_position)?;
    same_lists("live order", &model.orders, product.orders.iter(), same_order)?;
    same_lists("final order", &model.final_orders, product.final_orders.iter(), same_order)?;
    same_lists("receipt line", &model.receipts, product.outcomes.iter(), same_receipt)?;
    same_lists("cool-down", &model.cooldowns, product.cooldowns.iter(), |m, (account, symbol, until)| {
        same("account, symbol, end", *m, (*account, *symbol, until.0))
    })?;
    same_lists("waiting open", &model.waiting, product.reversals.iter(), |m, p| same("signal", m, p))?;
    for (currency, carried) in &model.carried {
        let product = product.carried_losses.iter().find(|(c, _)| c == currency);
        same_units("carried loss", *carried, product.map_or(0, |(_, loss)| loss.units()))?;
    }
    for (currency, loss) in &product.carried_losses {
        same_units("carried loss", model.carried.get(currency).copied().unwrap_or(0), loss.units())?;
    }
    same("recharges", model.recharges, product.recharges)?;
    same_books(&model.books, &product.ledger)
}

fn same_account(model: &Account, product: &user::ExchangeAccount) -> Same {
    same("place", model.place, product.place())?;
    same("enabled", true, product.enabled)?;
    same("key_state", model.key_state, product.key_state)?;
    same("keys", model.keys, product.keys)?;
    same("identity", model.identity, product.identity)?;
    let key = product.key.as_ref().map(|key| AccountKey {
        number: key.number,
        kind: key.kind,
        hint: key.hint,
        sealed: key.sealed.clone(),
        set_at: key.set_at.0,
        expires_at: key.expires_at.0,
    });
    same("key", &model.key, &key)?;
    same_time("day_ends_at", model.day_ends_at, product.day_ends_at)?;
    same_units("day_equity", model.day_equity, product.day_equity.units())?;
    same_time("loss_latch_until", model.latched_until, product.loss_latch_until)?;
    same("venue_fills", model.liquidations, product.venue_fills)
}

fn same_source(model: &Source, product: &user::Source) -> Same {
    same("name", &model.name, &product.name)?;
    same("secret", model.secret, product.secret)?;
    same("halted", model.halted, product.halted)?;
    same("accepted", model.accepted, product.accepted)?;
    same_time("window_start", model.window_start, product.window_start)?;
    same("window_opens", model.window_opens, product.window_opens)?;
    let at_work = model.signals.iter().filter(|s| s.finished.is_none());
    same("working", at_work.map(|s| s.signal.id.number).collect(), product.working.clone())?;
    same_lists("signal", &model.signals, product.signals.iter(), |m, p| {
        same("signal", m.signal, p.signal)?;
        same("body", &m.body, &p.body)?;
        same("superseded_by", m.covered_by, p.superseded_by)?;
        same("finished", m.finished.map(|(counts, _)| counts), p.finished)?;
        same_time("finished_at", m.finished.map_or(0, |(_, at)| at), p.finished_at)
    })?;
    same("number of keys", model.keys.len(), product.seen.len())?;
    same_lists("key", &model.keys, product.seen_order.iter(), |m, key| {
        let seen = product.seen.get(key);
        let seen = seen.map(|s| (*key, s.number, s.at.0, s.until.0));
        same("key, number, time and end", Some((m.key, m.number, m.at, m.until)), seen)
    })
}

fn same_subscription(model: &Subscription, product: &user::Subscription) -> Same {
    same("source", model.source, product.source)?;
    same("account", model.account, product.account)?;
    same("active", model.active, product.active)?;
    same("settings", &model.settings, &product.settings)?;
    same("last_open", model.last_open, product.last_open)?;
    same("last_close", model.last_close, product.last_close)
}

fn same_position(model: &Position, product: &position::Position) -> Same {
    same("signal", model.signal, product.signal)?;
    same("account", model.account, product.account)?;
    same("symbol", model.symbol, product.symbol)?;
    same("side", model.side, product.side)?;
    same("state", model.state, product.state)?;
    same("leverage", model.leverage, product.leverage)?;
    same_units("quantity", model.open, product.quantity.units())?;
    same_units("entry_cost", model.cost, product.entry_cost.units())?;
    same_units("entry_quantity", model.entered, product.entry_quantity.units())?;
    same_units("reserved", model.reserved, product.reserved.units())?;
    same_units("realised", model.realised, product.realised.units())?;
    same_units("fees", model.fees, product.fees.units())?;
    same_units("funding", model.funding, product.funding.units())?;
    same_units("stop", model.stop, product.stop.units())?;
    same_units("take_profit", model.target, product.take_profit.units())?;
    same_units("liquidation", model.liquidation, product.liquidation.units())?;
    same_units("stop_multiplier", model.stop_percent, product.stop_multiplier.units())?;
    same_units("take_profit_multiplier", model.target_percent, product.take_profit_multiplier.units())?;
    same_units("share", model.share, product.share.units())?;
    same_time("opened_venue_at", model.opened_venue_at, product.opened_venue_at)?;
    same_time("funded_at", model.funded_at, product.funded_at)?;
    same_time("decided_at", model.decided_at, product.decided_at)?;
    same_time("opened_at", model.opened_at, product.opened_at)?;
    same_time("closed_at", model.closed_at, product.closed_at)?;
    let closing =
        product.closing.map(|c| Closing { reason: c.reason, leg: c.leg, signal: c.signal, round: c.round });
    same("closing", model.closing, closing)?;
    same("closed", model.closed, product.closed)
}

fn same_order(model: &Order, product: &position::Order) -> Same {
    same("as it was decided", model.new, product.new)?;
    same("position", model.position, product.position)?;
    same("state", model.state, product.state)?;
    same_units("filled", model.filled, product.filled.units())?;
    same_units("notional", model.notional, product.notional.units())?;
    same_units("fees", model.fees, product.fees.units())?;
    same("fills", model.fills, product.fills)?;
    same("reason", model.reason, product.reason)?;
    same("cancelling", model.cancelling, product.cancelling)?;
    same_time("decided_at", model.decided_at, product.decided_at)?;
    same_time("sent_at", model.sent_at, product.sent_at)?;
    same_time("filled_at", model.filled_at, product.filled_at)?;
    same_time("done_at", model.done_at, product.done_at)
}

fn same_receipt(model: &Receipt, product: &user::Outcome) -> Same {
    same("signal", model.signal, product.signal)?;
    same("account", model.account, product.account)?;
    same("kind", model.kind, product.kind)?;
    same_time("decided_at", model.decided_at, product.decided_at)?;
    same_time("sent_at", model.sent_at, product.sent_at)?;
    same_time("filled_at", model.filled_at, product.filled_at)?;
    same_time("done_at", model.done_at, product.done_at)
}

fn same_books(model: &Books, product: &Ledger) -> Same {
    let name = |currency: engine::core::ledger::Currency, account: engine::core::ledger::LedgerAccount| {
        format!("balance {} {}", currency.as_str(), account.name())
    };
    for (currency, account, balance) in product.balances() {
        let model = model.balances.get(&(*currency, *account)).copied().unwrap_or(0);
        if model != Units::from(balance.units()) {
            same_units(&name(*currency, *account), model, balance.units())?;
        }
    }
    for ((currency, account), balance) in &model.balances {
        let product = product.balance(*currency, *account).units();
        if *balance != Units::from(product) {
            same_units(&name(*currency, *account), *balance, product)?;
        }
    }
    same("number of entries", model.entries, product.entries())?;
    let newest = product.statement().len().saturating_sub(ENTRIES);
    let newest: Vec<_> = product.statement().iter().skip(newest).collect();
    let kept = &model.newest[model.newest.len().saturating_sub(ENTRIES)..];
    same_lists("newest entry", kept, newest.iter(), |m, p| {
        same("number", m.number, p.number)?;
        same("key", m.key, p.key)?;
        same_time("time", m.at, p.at)?;
        same("currency", m.currency, p.currency)?;
        let lines = p.postings.iter().map(|line| (line.account, Units::from(line.amount.units()))).collect();
        same("lines", &m.lines, &lines)
    })
}
