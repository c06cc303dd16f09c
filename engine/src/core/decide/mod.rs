//! Decisions: a command against the state gives events or a refusal. Nothing here changes anything.
//!
//! **Invariants**: a function of its arguments alone; a refusal leaves no event; closes and venue reports are never
//! refused for a limit, a filter or a missing reading.

mod close;
mod day;
mod desk;
mod keys;
mod late;
mod open;
mod report;
mod signal;

use super::command::{Command, Refusal, Reply};
use super::event::Event;
use super::ids::{Timestamp, UserId};
use super::instrument::{Instrument, MarketView, Quote, Symbol};
use super::rules::Rules;
use super::state::{State, UserIndex};
use super::user::User;

/// Days of time zones. A look-up in tables, never a call.
pub trait Calendar {
    /// The end of the day that `now` falls in, in an IANA zone; `None` for an unknown zone.
    fn day_end(&self, zone: &str, now: Timestamp) -> Option<Timestamp>;
}

/// What a decision may look at besides the state.
pub struct Context<'a, M, C> {
    /// The time of the decision.
    pub now: Timestamp,
    /// The rules in force.
    pub rules: &'a Rules,
    /// Instruments and prices.
    pub market: &'a M,
    /// Days.
    pub calendar: &'a C,
}

impl<M: MarketView, C> Context<'_, M, C> {
    /// The instrument of exactly this symbol on the venue of a user's account.
    fn instrument(&self, user: &User, account: u8, symbol: Symbol) -> Option<&Instrument> {
        self.market.instrument_for(user.accounts.get(usize::from(account))?, symbol)
    }

    /// The newest usable price on the venue of a user's account.
    fn quote(&self, user: &User, account: u8, symbol: Symbol) -> Option<Quote> {
        self.market.quote_for(user.accounts.get(usize::from(account))?, symbol)
    }
}

/// Decides on a command: pushes events about one user to `out` and says whom they are about and what to answer. With a
/// refusal, `out` is as it was.
///
/// # Errors
/// The refusal; see [`Refusal`].
pub fn decide<M: MarketView, C: Calendar>(
    state: &State,
    cx: &Context<'_, M, C>,
    command: &Command,
    out: &mut Vec<Event>,
) -> Result<(UserId, Reply), Refusal> {
    debug_assert!(out.is_empty(), "a decision starts with an empty list");
    if let Command::SignUp { email, password, zone } = command {
        return desk::sign_up(state, cx, email, password, zone, out);
    }
    let at = match command {
        Command::Offer { at, .. } => *at,
        other => {
            let unknown = match command {
                Command::Signal { .. } | Command::FinishSignal { .. } => Refusal::UnknownSource,
                _ => Refusal::UnknownUser,
            };
            other.user().and_then(|id| state.find(id)).ok_or(unknown)?
        }
    };
    let user = state.user(at);
    decide_for(state, at, cx, command, out).map(|reply| (user.id, reply))
}

fn decide_for<M: MarketView, C: Calendar>(
    state: &State,
    at: UserIndex,
    cx: &Context<'_, M, C>,
    command: &Command,
    out: &mut Vec<Event>,
) -> Result<Reply, Refusal> {
    let user = state.user(at);
    match command {
        Command::SignUp { .. } => Err(Refusal::EmailTaken),
        Command::OpenSession { token, .. } => desk::open_session(user, cx, token, out),
        Command::FailLogin { .. } => desk::fail_login(user, cx, out),
        Command::CloseSession { token, .. } => {
            out.push(Event::SessionClosed { token: *token });
            Ok(Reply::Done)
        }
        Command::OpenAccount { venue, wallet, .. } => desk::open_account(user, cx, *venue, *wallet, out),
        Command::ConnectAccount { index, place, key, .. } => {
            keys::connect(user, cx, *index, *place, key, out)
        }
        Command::SetKey { account, key, .. } => keys::set(user, cx, *account, key, out),
        Command::RemoveKey { account, .. } => keys::remove(user, *account, out),
        Command::ReportKey { account, number, finding } => {
            Ok(keys::report(user, cx, account.index, *number, finding, out))
        }
        Command::ResealKey { account, number, sealed } => {
            Ok(keys::reseal(user, account.index, *number, sealed, out))
        }
        Command::CreateSource { name, secret, .. } => desk::create_source(user, name, secret, out),
        Command::Subscribe { source, account, settings, .. } => {
            desk::subscribe(user, cx, *source, *account, settings, out)
        }
        Command::Unsubscribe { source, .. } => desk::unsubscribe(user, *source, out),
        Command::SetHalt { latch, on, .. } => desk::set_halt(user, *latch, *on, out),
        Command::Recharge { number, currency, amount, .. } => {
            desk::recharge(user, *number, *currency, *amount, out)
        }
        Command::Signal { source, draft } => signal::accept(user, cx, *source, draft, out),
        Command::FinishSignal { signal, counts } => signal::finish(user, *signal, *counts, out),
        Command::Offer { signal, superseded, source_halted, .. } => {
            Ok(open::offer(user, cx, signal, *superseded, *source_halted, out))
        }
        Command::Reconsider { signal, .. } => Ok(open::reconsider(user, cx, *signal, out)),
        Command::ClosePosition { account, symbol, .. } => close::manual(user, cx, *account, *symbol, out),
        Command::CheckProtection { account, position } => {
            Ok(close::check_protection(user, cx, account.index, *position, out))
        }
        Command::DriveClose { account, position } => {
            Ok(close::retry(user, cx, account.index, *position, out))
        }
        Command::OrderUnanswered { id } => Ok(report::unanswered(user, *id, out)),
        Command::Report { report, sent_at } => Ok(report::book(user, cx, report, *sent_at, out)),
    }
}
