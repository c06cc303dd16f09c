//! Log-ins: wrong passwords lock an account for a while, sessions are few and end.

mod desk;

use desk::Desk;
use engine::core::command::{Command, Refusal, Reply};
use engine::core::ids::{Timestamp, UserId};
use engine::core::user::SESSIONS_MAX;

fn signed_up() -> (Desk, UserId) {
    let mut desk = Desk::new();
    let user = desk.sign_up("ana@example.com", "UTC");
    (desk, user)
}

fn log_in(desk: &mut Desk, user: UserId, token: u8) -> Timestamp {
    match desk.run(Command::OpenSession { user, token: [token; 32] }) {
        Ok(Reply::Session(ends_at)) => ends_at,
        other => panic!("{other:?}"),
    }
}

/// Wrong passwords until the account is locked. Gives how many it took.
fn lock(desk: &mut Desk, user: UserId) -> u32 {
    for failures in 1..=u32::from(u8::MAX) {
        assert_eq!(desk.run(Command::FailLogin { user }), Ok(Reply::Done));
        if desk.user(user).locked_until > desk.now {
            return failures;
        }
    }
    panic!("never locked");
}

#[test]
fn after_a_lock_wrong_passwords_are_counted_from_nothing() {
    let (mut desk, user) = signed_up();
    let failures = u32::from(desk.rules.login_failures_max);
    assert_eq!(lock(&mut desk, user), failures);
    assert_eq!(desk.run(Command::FailLogin { user }), Err(Refusal::Locked));
    desk.now = desk.user(user).locked_until;
    assert_eq!(lock(&mut desk, user), failures, "not one more and locked again");
}

#[test]
fn a_session_that_ends_now_takes_no_place() {
    let (mut desk, user) = signed_up();
    let ends_at = log_in(&mut desk, user, 0);
    desk.now = ends_at;
    log_in(&mut desk, user, 1);
    assert_eq!(desk.user(user).sessions.len(), 1);
}

#[test]
fn one_session_too_many_ends_the_oldest() {
    let (mut desk, user) = signed_up();
    for token in 0..=u8::try_from(SESSIONS_MAX).unwrap() {
        log_in(&mut desk, user, token);
    }
    let tokens: Vec<u8> = desk.user(user).sessions.iter().map(|session| session.token[0]).collect();
    assert_eq!(tokens, [1, 2, 3]);
}
