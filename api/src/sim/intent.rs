//! What a client wants done, which decision does it, and whether an answer is that decision's.

use engine::core::command::{Command, Refusal, Reply};
use engine::core::event::Latch;
use engine::core::fixed::Money;
use engine::core::ids::{SourceId, UserId};
use engine::core::instrument::Symbol;
use engine::core::user::VenueKind;
use serde_json::{Value, json};

use super::client::{Lost, Response};
use super::judge::{Asked, Index};
use super::world::World;

/// A change that a client asks for.
#[derive(Clone, Debug)]
pub(super) enum Intent {
    SignUp(UserId),
    LogIn(UserId),
    LogOut(UserId),
    Account(UserId, Money),
    /// An account on an exchange.
    Connect(UserId, VenueKind),
    Source(UserId, String),
    /// Recognised by its unique largest trade.
    Subscribe(UserId, SourceId, Money),
    Unsubscribe(UserId, SourceId),
    Halt(UserId, Latch, bool),
    Close(UserId, u8, Symbol),
    /// Recognised by its unique tag in the body.
    Signal(UserId, String),
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
            (Self::SignUp(user), Command::SignUp { email, .. }) => UserId::from_email(email) == *user,
            (Self::LogIn(mine), Command::OpenSession { user, .. })
            | (Self::LogOut(mine), Command::CloseSession { user, .. }) => user == mine,
            (Self::Account(mine, amount), Command::OpenAccount { user, wallet, .. }) => {
                user == mine && *wallet == Some(*amount)
            }
            (Self::Connect(mine, venue), Command::ConnectAccount { user, place, .. }) => {
                user == mine && place.venue == *venue
            }
            (Self::Source(mine, wanted), Command::CreateSource { user, name, .. }) => {
                user == mine && name == wanted
            }
            (Self::Subscribe(mine, from, most), Command::Subscribe { user, source, settings, .. }) => {
                user == mine && source == from && settings.trade_max == Some(*most)
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
            (Self::Signal(owner, tag), Command::Signal { source, draft }) => {
                source.owner == *owner && draft.body.contains(tag.as_str())
            }
            _ => false,
        }
    }

    /// Whether every request of this kind differs from every other, so that "nothing happened" can be checked.
    const fn is_unique(&self) -> bool {
        matches!(self, Self::Account(..) | Self::Source(..) | Self::Subscribe(..))
    }

    /// Whether it is asked for in a session.
    pub(super) const fn needs_session(&self) -> bool {
        !matches!(self, Self::SignUp(_) | Self::LogIn(_) | Self::Signal(..))
    }

    /// Holds the answer to a request against what was decided since it left, and against its session.
    pub(super) fn check(&self, world: &World, asked: &Asked, answer: &Result<Response, Lost>) -> Known {
        let calendar = world.calendar_since(asked.at);
        let mut judge = world.judge.borrow_mut();
        judge.over(asked);
        let Ok(response) = answer else { return Known::Again };
        let (status, body) = (response.status, response.json());
        let code = response.code();
        judge.note(|| format!("answer {status} {code} to {}", self.word()));
        match (status, code.as_str(), self) {
            (503, "shard_stopped", _) => return Known::Again,
            (503, ..) => {
                if self.is_unique() && judge.was_decided(asked, |command| self.is_of(command)) {
                    judge.violate(format!(
                        "{self:?} was answered {code}, nothing happened, and it was decided"
                    ));
                }
                return Known::Again;
            }
            // Not decided by a command: a session that has ended, a log-in. Of a signal it is the secret; its publisher knows.
            (401, "unauthorized", Self::Signal(..)) => return Known::Refused(code),
            (401, "unauthorized", _) => {
                world.compared();
                judge.check_turned_away(asked, calendar, &format!("{self:?}"));
                return Known::Refused(code);
            }
            (401, "wrong_credentials", Self::LogIn(user)) => {
                world.compared();
                judge.check_unknown(asked, *user);
                return Known::Refused(code);
            }
            (429, "locked", Self::LogIn(user)) => {
                world.compared();
                judge.check_locked(asked, calendar, *user);
                return Known::Refused(code);
            }
            _ => {}
        }
        world.compared();
        let mut done = None;
        let claimed = judge.claim(
            asked,
            &format!("{status} was answered to {self:?}"),
            |command| self.is_of(command),
            |outcome| agrees(outcome, status, &code, &body),
        );
        match claimed {
            Ok(index) => {
                judge.check_served(asked, calendar, &format!("{self:?}"));
                done = judge.outcome_at(index).map(|outcome| (outcome, index));
            }
            Err(found) => judge.violate(format!("{self:?} was answered {status} {body}; {found}")),
        }
        match done {
            Some((Ok(reply), index)) => Known::Done(reply, index),
            Some((Err(refusal), _)) => Known::Refused(refusal.code().to_owned()),
            None => Known::Again,
        }
    }

    fn word(&self) -> String {
        let text = format!("{self:?}");
        text.split(['(', ' ']).next().unwrap_or_default().to_owned()
    }
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
