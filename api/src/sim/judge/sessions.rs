//! Who may: somebody is served, or turned away, only as a version of them allowed that was current while they waited.
//!
//! A session ends by a shard's calendar, so what is known is between which times that calendar was.

use engine::core::ids::UserId;

use super::Judge;
use super::answers::Asked;

/// A session: whose, and the digest of its token.
#[derive(Clone, Copy, Debug)]
pub(in crate::sim) struct Session {
    pub(in crate::sim) user: UserId,
    pub(in crate::sim) token: [u8; 32],
}

/// Between which times every shard's calendar was while a request was under way, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(in crate::sim) struct Calendar {
    pub(in crate::sim) earliest: u64,
    pub(in crate::sim) latest: u64,
}

impl Judge {
    /// The request was served: its session was alive at some moment since it left.
    pub(in crate::sim) fn check_served(&mut self, asked: &Asked, calendar: Calendar, what: &str) {
        let Some(Session { user, token }) = asked.session else { return };
        let alive = self.during(asked, user).flatten().filter_map(|then| then.session_ends_at(&token));
        if !alive.into_iter().any(|ends| ends > calendar.earliest) {
            self.violate(format!("{what} was answered in a session of {user} that had ended"));
        }
    }

    /// The request was turned away: its session was not alive at some moment since it left.
    pub(in crate::sim) fn check_turned_away(&mut self, asked: &Asked, calendar: Calendar, what: &str) {
        let Some(Session { user, token }) = asked.session else {
            return self.violate(format!("{what} needs no session and was answered that it is not valid"));
        };
        let ended = self.during(asked, user).any(|then| {
            let ends = then.and_then(|then| then.session_ends_at(&token));
            ends.is_none_or(|ends| ends <= calendar.latest)
        });
        if !ended {
            self.violate(format!("{what} was turned away, and the session of {user} was alive"));
        }
    }

    /// A log-in with the right password was told that it is wrong: there was no such user at some moment.
    pub(in crate::sim) fn check_unknown(&mut self, asked: &Asked, user: UserId) {
        if self.during(asked, user).all(|then| then.is_some()) {
            self.violate(format!("the password of {user} was called wrong and is right"));
        }
    }

    /// A log-in was told that it is locked: it was at some moment.
    pub(in crate::sim) fn check_locked(&mut self, asked: &Asked, calendar: Calendar, user: UserId) {
        let mut locked = self.during(asked, user).flatten().map(|then| then.log_in_locked_until());
        if !locked.any(|until| until > calendar.earliest) {
            drop(locked);
            self.violate(format!("the log-in of {user} was called locked and is not"));
        }
    }
}
