//! What a client wants done, which decision does it, whether that is what was sent, and whether an answer is that decision's.
//!
//! **Invariants**: an intent is made from what its client sends and by the client's own hand: a field that the server reads
//! otherwise, or forgets, is a difference between the two.

use std::fmt::Debug;

use engine::core::auth::digest;
use engine::core::command::{Command, Refusal, Reply};
use engine::core::event::Latch;
use engine::core::fixed::Money;
use engine::core::ids::{SourceId, UserId};
use engine::core::instrument::Symbol;
use engine::core::key::{KeyKind, NewKey};
use engine::core::rules::Settings;
use engine::core::user::VenueKind;
use engine::core::venue_account::VenuePlace;
use serde_json::{Value, json};

use super::client::{Lost, Response};
use super::judge::{Asked, Index};
use super::people::{PASSWORD, Sent, ZONE};
use super::unavailable::Queue;
use super::world::World;

/// A subscription as it was sent.
#[derive(Clone, Debug)]
pub(super) struct Subscription {
    pub(super) source: SourceId,
    pub(super) account: u8,
    pub(super) settings: Settings,
}

/// A change that a client asks for.
#[derive(Clone, Debug)]
pub(super) enum Intent {
    /// With this address.
    SignUp(String),
    LogIn(UserId),
    /// A log-in that must fail, and count.
    WrongPassword(UserId),
    LogOut(UserId),
    Account(UserId, Money),
    /// An account on an exchange.
    Connect(UserId, VenueKind),
    /// Another key for an account on an exchange.
    SetKey(UserId, u8),
    RemoveKey(UserId, u8),
    Source(UserId, String),
    /// Recognised by its unique largest trade.
    Subscribe(UserId, Box<Subscription>),
    Unsubscribe(UserId, SourceId),
    Halt(UserId, Latch, bool),
    Close(UserId, u8, Symbol),
    /// Recognised by its unique tag in the body.
    Signal(Box<Sent>),
}

/// What is known after an answer.
#[derive(Clone, Debug)]
pub(super) enum Known {
    /// It was done.
    Done(Reply, Index),
    /// It was refused, or is not allowed.
    Refused(String),
    /// Nothing is known, or nothing happened: ask again.
    Again,
}

impl Intent {
    fn is_of(&self, command: &Command) -> bool {
        match (self, command) {
            (Self::SignUp(mine), Command::SignUp { email, .. }) => {
                UserId::from_email(email) == UserId::from_email(mine)
            }
            (Self::LogIn(mine), Command::OpenSession { user, .. })
            | (Self::WrongPassword(mine), Command::FailLogin { user })
            | (Self::LogOut(mine), Command::CloseSession { user, .. }) => user == mine,
            (Self::Account(mine, amount), Command::OpenAccount { user, wallet, .. }) => {
                user == mine && *wallet == Some(*amount)
            }
            (Self::Connect(mine, venue), Command::ConnectAccount { user, place, .. }) => {
                user == mine && place.venue == *venue
            }
            (Self::SetKey(mine, place), Command::SetKey { user, account, .. })
            | (Self::RemoveKey(mine, place), Command::RemoveKey { user, account }) => {
                user == mine && account == place
            }
            (Self::Source(mine, wanted), Command::CreateSource { user, name, .. }) => {
                user == mine && name == wanted
            }
            (Self::Subscribe(mine, wanted), Command::Subscribe { user, settings, .. }) => {
                user == mine && settings.trade_max == wanted.settings.trade_max
            }
            (Self::Unsubscribe(mine, from), Command::Unsubscribe { user, source }) => {
                user == mine && source == from
            }
            (Self::Halt(mine, which, wanted), Command::SetHalt { user, latch, on }) => {
                user == mine && latch == which && on == wanted
            }
            (Self::Close(mine, place, what), Command::ClosePosition { user, account, symbol }) => {
                user == mine && account == place && symbol == what
            }
            (Self::Signal(sent), command) => sent.is_in(command),
            _ => false,
        }
    }

    /// Whether it is about the session that was asked in, or that the answer gives: another log-in or log-out of this user, whose
    /// answer was lost, may be decided meanwhile.
    fn is_of_session(&self, command: &Command, asked: &Asked, body: &Value) -> bool {
        let wanted = match self {
            Self::LogIn(_) => hidden(body, "token"),
            Self::LogOut(_) => asked.session.map(|session| session.token),
            _ => None,
        };
        match command {
            Command::OpenSession { token, .. } | Command::CloseSession { token, .. } => {
                wanted.is_none_or(|wanted| wanted == *token)
            }
            _ => true,
        }
    }

    /// Whether the decision that an answer speaks of is about what was sent, in each field that it has.
    fn check_as_sent(&self, world: &World, command: &Command, body: &Value) -> Result<(), String> {
        match (self, command) {
            (Self::SignUp(mine), Command::SignUp { email, password, zone }) => {
                same("email", email, mine)?;
                same("password", password, &format!("hash of {PASSWORD}"))?;
                same("zone", zone.as_str(), ZONE)
            }
            (Self::Account(..), Command::OpenAccount { venue, .. }) => {
                same("venue", venue, &VenueKind::Paper)
            }
            (Self::Connect(_, venue), Command::ConnectAccount { place, key, .. }) => {
                let environment = world.plan.environment;
                same("place", place, &VenuePlace { venue: *venue, environment, ..VenuePlace::PAPER })?;
                check_key(key)
            }
            (Self::SetKey(..), Command::SetKey { key, .. }) => check_key(key),
            (Self::Source(..), Command::CreateSource { secret, .. }) => {
                hidden(body, "secret").map_or(Ok(()), |told| same("secret", secret, &told))
            }
            (Self::Subscribe(_, wanted), Command::Subscribe { source, account, settings, .. }) => {
                same("source", source, &wanted.source)?;
                same("account", account, &wanted.account)?;
                same("settings", settings, &wanted.settings)
            }
            (Self::Signal(sent), Command::Signal { source, draft }) => {
                sent.check(*source, draft)?;
                let mut known = world.signal_keys.borrow_mut();
                let first = known.entry(draft.key).or_insert_with(|| sent.tag().to_owned());
                if first == sent.tag() { Ok(()) } else { Err(format!("it counts as a repeat of {first}")) }
            }
            // Recognised by all that was sent.
            _ => Ok(()),
        }
    }

    /// Whether passwords' workers have to do with it.
    pub(super) fn hashes(&self) -> bool {
        self.queue() == Queue::Passwords
    }

    /// Whether clients send it again while the first is under way, and what then happens is of two.
    pub(super) const fn may_be_resent(&self) -> bool {
        matches!(self, Self::Account(..) | Self::Subscribe(..) | Self::Halt(..) | Self::Close(..))
    }

    /// Where it waits.
    fn queue(&self) -> Queue {
        match self {
            Self::Close(..) => Queue::Closes,
            Self::Signal(sent) if sent.closes() => Queue::Closes,
            Self::SignUp(_)
            | Self::LogIn(_)
            | Self::WrongPassword(_)
            | Self::Connect(..)
            | Self::SetKey(..) => Queue::Passwords,
            _ => Queue::Lanes,
        }
    }

    /// It may be decided for a request that nobody waits for any more, or for another that asks for the same.
    pub(super) fn doubt(&self, world: &World) {
        world.unavailable.lost(world.executor.now(), self.name());
    }

    /// Whether it is asked for in a session.
    pub(super) const fn needs_session(&self) -> bool {
        !matches!(self, Self::SignUp(_) | Self::LogIn(_) | Self::WrongPassword(_) | Self::Signal(_))
    }

    /// Holds the answer to a request against what was decided since it left, and against its session.
    pub(super) fn check(&self, world: &World, asked: &Asked, answer: &Result<Response, Lost>) -> Known {
        let calendar = world.calendar_since(asked.at);
        let mut judge = world.judge.borrow_mut();
        judge.over(asked);
        let Ok(response) = answer else {
            self.doubt(world);
            return Known::Again;
        };
        let (status, body) = (response.status, response.json());
        let code = response.code();
        judge.note(|| format!("answer {status} {code} to {}", self.word()));
        match (status, code.as_str(), self) {
            (503, ..) if code != Refusal::ListsIncomplete.code() => {
                let what = self.name();
                let may_be = world.may_be_unavailable(asked, judge.under_way(), self.queue(), &code);
                if let Err(why) = may_be {
                    judge.violate(format!("{what} was answered {code}: {why}"));
                }
                if code == "shard_stopped" {
                    // Also what was decided and not durable when the log failed is told so: it may be there after the restart.
                    self.doubt(world);
                    return Known::Again;
                }
                let alone = !world.unavailable.is_in_doubt(asked.at, &what);
                if alone && judge.was_decided(asked, |command| self.is_of(command)) {
                    let what = format!("{what} was answered {code}, nothing happened, and it was decided");
                    judge.violate(what);
                }
                return Known::Again;
            }
            // Not decided by a command: a session that has ended, a log-in. Of a signal it is the secret; its publisher knows.
            (401, "unauthorized", Self::Signal(_)) => return Known::Refused(code),
            (401, "unauthorized", _) => {
                world.compared();
                judge.check_turned_away(asked, calendar, &format!("{self:?}"));
                return Known::Refused(code);
            }
            // Told before the key is looked at: there is no such account on an exchange.
            (404, "unknown_account", Self::SetKey(user, account))
            | (400, "invalid", Self::SetKey(user, account)) => {
                world.compared();
                judge.check_not_on_exchange(asked, *user, *account);
                return Known::Refused(code);
            }
            (401, "wrong_credentials", Self::LogIn(user)) => {
                world.compared();
                judge.check_unknown(asked, *user);
                return Known::Refused(code);
            }
            (429, "locked", Self::LogIn(user) | Self::WrongPassword(user)) => {
                world.compared();
                judge.check_locked(asked, calendar, *user);
                return Known::Refused(code);
            }
            _ => {}
        }
        world.compared();
        let claimed = judge.claim(
            asked,
            &format!("{status} was answered to {self:?}"),
            |command| self.is_of(command) && self.is_of_session(command, asked, &body),
            |outcome| match self {
                Self::WrongPassword(_) => {
                    (status, code.as_str(), *outcome) == (401, "wrong_credentials", Ok(Reply::Done))
                }
                _ => agrees(outcome, status, &code, &body),
            },
        );
        let index = match claimed {
            Ok(index) => index,
            Err(found) => {
                judge.violate(format!("{self:?} was answered {status} {body}; {found}"));
                return Known::Again;
            }
        };
        judge.check_served(asked, calendar, &format!("{self:?}"));
        let Some(decision) = judge.decision_at(index) else { return Known::Again };
        let outcome = decision.outcome;
        if let Err(difference) = self.check_as_sent(world, &decision.command, &body) {
            judge.violate(format!("{self:?} was decided otherwise than it was sent: {difference}"));
        }
        match outcome {
            Ok(reply) => Known::Done(reply, index),
            Err(Refusal::ListsIncomplete) => Known::Again,
            Err(refusal) => Known::Refused(refusal.code().to_owned()),
        }
    }

    /// The same for all that ask for the same.
    fn name(&self) -> String {
        match self {
            Self::Signal(sent) => format!("signal {}", sent.tag()),
            _ => format!("{self:?}"),
        }
    }

    fn word(&self) -> String {
        let text = format!("{self:?}");
        text.split(['(', ' ']).next().unwrap_or_default().to_owned()
    }
}

/// The digest of a token or secret that an answer shows.
fn hidden(body: &Value, field: &str) -> Option<[u8; 32]> {
    body[field].as_str().map(|text| digest(text.as_bytes()))
}

/// Of a key, what was said of it, and that so short a name shows nothing.
fn check_key(key: &NewKey) -> Result<(), String> {
    same("kind of the key", &key.kind, &KeyKind::Hmac)?;
    same("what is shown of the key", key.hint.text().as_str(), "****")
}

fn same<T: PartialEq + Debug + ?Sized>(what: &str, decided: &T, sent: &T) -> Result<(), String> {
    if decided == sent { Ok(()) } else { Err(format!("{what}: decided {decided:?}, sent {sent:?}")) }
}

/// Whether an answer is what this outcome is answered with.
fn agrees(outcome: &Result<Reply, Refusal>, status: u16, code: &str, body: &Value) -> bool {
    let reply = match outcome {
        Err(refusal) => return status == refusal.status() && code == refusal.code(),
        Ok(reply) => reply,
    };
    match reply {
        Reply::User(id) => status == 201 && body["id"] == json!(id.to_string()),
        Reply::Account(id) => status == 201 && body["account"] == json!(id.index),
        Reply::Source(id) => status == 201 && body["id"] == json!(id.to_string()),
        Reply::Session(until) => status == 200 && body["expires_at"] == json!(until.0),
        Reply::Closing => status == 202,
        Reply::Signal { id, repeat } => {
            status == 200 && body["id"] == json!(id.to_string()) && body["duplicate"] == json!(repeat)
        }
        Reply::SignalExpired { .. } => status == 422 && code == "signal_expired",
        Reply::Done | Reply::Ignored => status == 200 && code.is_empty(),
        Reply::Intended | Reply::Skipped => false,
    }
}
