//! Who may ask a shard for what: sessions end with their time and with the log-out, a secret opens its own source only.

mod hand;

use engine::core::command::Command;
use engine::core::ids::SourceId;
use engine::core::rules::Rules;
use engine::seam::Nanos;
use engine::shard::ask::{Answer, Ask, Auth, Op, ReplyTo};
use engine::shard::ports::Moment;

use hand::{Desk, Hand, Still, answered, ask, flush, house, later, now};

/// Whether a read with this proof is let through.
fn may(desk: &mut Desk, hand: &Hand, at: Moment, auth: Auth) -> bool {
    let user = match auth {
        Auth::Session(user, _) | Auth::Secret(user, _) => user,
        Auth::SourceSecret(source, _) => source.owner,
        Auth::Open => unreachable!("nothing to prove"),
    };
    desk.ask(at, Ask { auth, op: Op::Question(()), user }, ReplyTo(5));
    desk.turn(at, &Still);
    flush(desk, hand);
    match answered(desk, 5).expect("answered") {
        Answer::Unauthorized => false,
        Answer::Read(_) => true,
        other => panic!("{other:?}"),
    }
}

fn decide(desk: &mut Desk, hand: &Hand, command: Command) {
    let user = command.user().expect("about a user");
    desk.ask(now(), ask(user, command), ReplyTo(6));
    desk.turn(now(), &Still);
    flush(desk, hand);
    assert!(matches!(answered(desk, 6), Some(Answer::Decided(Ok(_)))));
}

#[test]
fn a_session_ends_with_its_time_and_with_the_log_out() {
    let (mut desk, hand, source) = house(0);
    let user = source.owner;
    let (one, other) = ([3; 32], [4; 32]);
    decide(&mut desk, &hand, Command::OpenSession { user, token: one });
    decide(&mut desk, &hand, Command::OpenSession { user, token: other });
    assert!(may(&mut desk, &hand, now(), Auth::Session(user, one)));
    assert!(!may(&mut desk, &hand, now(), Auth::Session(user, [5; 32])));
    decide(&mut desk, &hand, Command::CloseSession { user, token: one });
    assert!(!may(&mut desk, &hand, now(), Auth::Session(user, one)));
    let span = Rules::default().session_span;
    for (micros, alive) in [(span - 1, true), (span, false)] {
        assert_eq!(
            may(&mut desk, &hand, later(Nanos::from_micros(micros)), Auth::Session(user, other)),
            alive
        );
    }
}

#[test]
fn a_secret_opens_its_own_source_only() {
    let (mut desk, hand, source) = house(0);
    let user = source.owner;
    decide(&mut desk, &hand, Command::CreateSource { user, name: "t".into(), secret: [2; 32] });
    let second = SourceId { index: 1, ..source };
    for (source, secret, right) in
        [(source, [1; 32], true), (source, [2; 32], false), (second, [2; 32], true), (second, [1; 32], false)]
    {
        assert_eq!(may(&mut desk, &hand, now(), Auth::SourceSecret(source, secret)), right);
    }
    assert!(may(&mut desk, &hand, now(), Auth::Secret(user, [2; 32])));
    assert!(!may(&mut desk, &hand, now(), Auth::Secret(user, [9; 32])));
}
