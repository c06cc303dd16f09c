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

#[cfg(test)]
mod tests {
    use engine::core::command::Command;
    use engine::core::fixed::Price;
    use engine::core::ids::Timestamp;
    use engine::core::instrument::{Instrument, Symbol};
    use engine::core::rules::Rules;
    use engine::core::venue_account::VenuePlace;
    use engine::seam::Nanos;

    use super::*;
    use crate::sim::judge::versions::Lost;
    use crate::sim::judge::{Place, Version};
    use crate::sim::model::{Market, Seen};

    struct Nowhere;

    impl Market for Nowhere {
        fn instrument(&self, _: Symbol) -> Option<Instrument> {
            None
        }
        fn is_complete(&self) -> bool {
            true
        }
        fn instrument_at(&self, _: VenuePlace, _: Symbol) -> Option<Instrument> {
            None
        }
        fn mark_at(&self, _: VenuePlace, _: Symbol) -> Option<Price> {
            None
        }
    }

    const TOKEN: [u8; 32] = [7; 32];

    fn decide(judge: &mut Judge, user: UserId, command: &Command) {
        judge.index += 1;
        judge.model.step(&Seen { now: Timestamp(100), command, user_of_offer: None, market: &Nowhere });
        let place = Place { life: 0, shard: 0, lsn: judge.index };
        let now = judge.model.user(user).cloned().map(std::rc::Rc::new);
        let version = Version { from: judge.index, place, user: now };
        judge.versions.entry(user).or_default().push_back(version);
    }

    /// Somebody whose session lasts from 100 to 150.
    fn logged_in() -> (Judge, Session) {
        let mut judge = Judge::new(Rules { session_span: 50, ..Rules::default() }, false);
        let (email, password, zone) = ("a@example.com".to_owned(), "x".to_owned(), String::new());
        let user = UserId::from_email(&email);
        decide(&mut judge, user, &Command::SignUp { email, password, zone });
        decide(&mut judge, user, &Command::OpenSession { user, token: TOKEN });
        (judge, Session { user, token: TOKEN })
    }

    fn calendar(earliest: u64, latest: u64) -> Calendar {
        Calendar { earliest, latest }
    }

    #[test]
    fn a_session_ends_between_the_earliest_and_the_latest_calendar() {
        for (earliest, latest, may_be_served, may_be_turned_away) in
            [(100, 149, true, false), (100, 150, true, true), (149, 300, true, true), (150, 300, false, true)]
        {
            let (mut judge, session) = logged_in();
            let asked = judge.sent(Nanos(0), Some(session));
            judge.check_served(&asked, calendar(earliest, latest), "it");
            assert_eq!(judge.violation().is_none(), may_be_served, "{earliest} {latest}");
            let (mut judge, session) = logged_in();
            let asked = judge.sent(Nanos(0), Some(session));
            judge.check_turned_away(&asked, calendar(earliest, latest), "it");
            assert_eq!(judge.violation().is_none(), may_be_turned_away, "{earliest} {latest}");
        }
    }

    #[test]
    fn a_token_of_nobody_is_never_served() {
        let (mut judge, session) = logged_in();
        let asked = judge.sent(Nanos(0), Some(Session { token: [8; 32], ..session }));
        judge.check_turned_away(&asked, calendar(100, 100), "it");
        assert_eq!(judge.violation(), None);
        judge.check_served(&asked, calendar(100, 100), "it");
        assert!(judge.violation().is_some());
    }

    #[test]
    fn who_asked_before_a_crash_may_be_told_of_a_log_out_that_it_took_back() {
        for asked_before in [true, false] {
            let (mut judge, session) = logged_in();
            let before = judge.sent(Nanos(0), Some(session));
            let user = session.user;
            decide(&mut judge, user, &Command::CloseSession { user, token: TOKEN });
            let version = judge.versions.get_mut(&user).and_then(|all| all.pop_back()).expect("just decided");
            judge.lost.push(Lost { user, version, until: judge.index });
            judge.recovered(1, 1, &[]);
            let after = judge.sent(Nanos(0), Some(session));
            judge.violation = None;
            let asked = if asked_before { before } else { after };
            judge.check_turned_away(&asked, calendar(100, 100), "it");
            assert_eq!(judge.violation().is_none(), asked_before);
        }
    }
}
