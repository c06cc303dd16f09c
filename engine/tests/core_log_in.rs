//! Log-ins: wrong passwords lock an account for a while, sessions are few and end.

mod desk;

use desk::Desk;
use engine::core::auth::{digest, session_is_alive, source_of_secret};
use engine::core::command::{Command, Refusal, Reply};
use engine::core::ids::{SourceId, Timestamp, UserId};
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

#[test]
fn a_lock_keeps_the_right_password_out_until_its_last_microsecond() {
    let (mut desk, user) = signed_up();
    lock(&mut desk, user);
    let until = desk.user(user).locked_until;
    desk.now = Timestamp(until.0 - 1);
    assert_eq!(desk.run(Command::OpenSession { user, token: [1; 32] }), Err(Refusal::Locked));
    desk.now = until;
    log_in(&mut desk, user, 1);
}

#[test]
fn a_session_is_alive_for_its_token_and_its_user_until_it_ends() {
    let (mut desk, user) = signed_up();
    let ends_at = log_in(&mut desk, user, 1);
    assert_eq!(log_in(&mut desk, user, 2), ends_at);
    let just = Timestamp(ends_at.0 - 1);
    for (whose, token, now, alive) in [
        (user, 1, just, true),
        (user, 2, just, true),
        (user, 1, ends_at, false),
        (user, 3, just, false),
        (desk.publisher, 1, just, false),
        (UserId(1), 1, just, false),
    ] {
        let found = session_is_alive(&desk.states[0], whose, &[token; 32], now);
        assert_eq!(found, alive, "{whose:?} {token} {now:?}");
    }
    log_in(&mut desk, user, 1);
    assert!(session_is_alive(&desk.states[0], user, &[1; 32], just), "two log-ins with one token are alive");
}

#[test]
fn a_secret_belongs_to_its_own_source_of_its_own_publisher() {
    let (mut desk, user) = signed_up();
    let owner = desk.publisher;
    desk.run(Command::CreateSource { user: owner, name: "second".into(), secret: [8; 32] }).unwrap();
    for (whose, secret, index) in
        [(owner, 7, Some(0)), (owner, 8, Some(1)), (owner, 9, None), (user, 7, None), (UserId(1), 7, None)]
    {
        let found = source_of_secret(&desk.states[0], whose, &[secret; 32]);
        assert_eq!(found, index.map(|index| SourceId { owner, index }), "{whose:?} {secret}");
    }
}

#[test]
fn a_token_is_kept_as_its_sha_256() {
    // The standard's own example, FIPS 180-4.
    let text: String = digest(b"abc").iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}
