//! What the desk takes and refuses: addresses, names, amounts and settings, each at the edge of its range; and who is
//! listed where.

mod desk;

use desk::{Desk, LONG, money, rate, symbol};
use engine::core::command::{Command, Refusal, Reply};
use engine::core::fixed::Money;
use engine::core::ids::{SourceId, UserId};
use engine::core::ledger::Currency;
use engine::core::rules::{Rules, SYMBOLS_MAX, Settings, Sizing};
use engine::core::state::State;
use engine::core::user::VenueKind;

/// An address of this many bytes.
fn address(bytes: usize) -> String {
    format!("{}@example.com", "a".repeat(bytes - "@example.com".len()))
}

#[test]
fn an_address_has_one_name_and_one_host_with_a_dot_inside() {
    let mut desk = Desk::new();
    let (longest, too_long) = (address(254), address(255));
    for (email, taken) in [
        ("a@b.c", true),
        (" o'neil+x@mail.example.com ", true),
        (&longest, true),
        (&too_long, false),
        ("", false),
        ("example.com", false),
        ("@example.com", false),
        ("a@", false),
        ("a@localhost", false),
        ("a@.example.com", false),
        ("a@example.com.", false),
        ("a@b@example.com", false),
        ("a b@example.com", false),
        ("a\u{7}b@example.com", false),
    ] {
        let up = Command::SignUp { email: email.into(), password: String::new(), zone: String::new() };
        let expected =
            if taken { Ok(Reply::User(UserId::from_email(email))) } else { Err(Refusal::EmailInvalid) };
        assert_eq!(desk.run(up), expected, "{email:?}");
    }
}

#[test]
fn a_paper_wallet_and_a_recharge_are_above_zero_and_at_most_a_billion() {
    for (amount, taken) in [
        ("-1", false),
        ("0", false),
        ("0.00000001", true),
        ("1000000000", true),
        ("1000000000.00000001", false),
        ("2000000000", false),
    ] {
        let mut desk = Desk::new();
        let (user, amount) = (desk.sign_up("ana@example.com", "UTC"), money(amount));
        let open = Command::OpenAccount { user, venue: VenueKind::Paper, wallet: Some(amount) };
        let recharge = Command::Recharge { user, number: 1, currency: Currency::Brl, amount };
        for command in [open, recharge] {
            let reply = desk.run(command.clone());
            assert_eq!(reply.is_ok(), taken, "{command:?}");
            assert!(matches!(reply, Ok(_) | Err(Refusal::Invalid(_))), "{reply:?}");
        }
    }
}

#[test]
fn a_sources_name_is_1_to_100_bytes_without_control_characters() {
    let (longest, too_long) = ("n".repeat(100), "n".repeat(101));
    for (name, taken) in
        [("n", true), (&longest, true), (&too_long, false), ("", false), ("  ", false), ("a\nb", false)]
    {
        let mut desk = Desk::new();
        let create = Command::CreateSource { user: desk.publisher, name: name.into(), secret: [1; 32] };
        let reply = desk.run(create);
        assert_eq!(reply.is_ok(), taken, "{name:?}");
        assert!(matches!(reply, Ok(_) | Err(Refusal::Invalid(_))), "{reply:?}");
    }
}

fn settings(change: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = Settings::default();
    change(&mut settings);
    settings
}

#[test]
fn each_setting_is_taken_within_its_range_and_refused_beyond() {
    let rules = Rules::default();
    let unit = Some(Money::from_units(1));
    let percent = |share| settings(|s| s.sizing = Sizing::PercentOfBalance(rate(share)));
    let amounts = [Sizing::FixedMargin, Sizing::FixedNotional, Sizing::RiskToStop];
    let symbols = |count| settings(|s| s.symbols = vec![symbol("BTCUSDT"); count]);
    let mut cases = vec![
        ("sizing", percent("0.1"), true),
        ("sizing", percent("0.09999999"), false),
        ("sizing", percent("0.5"), true),
        ("sizing", percent("0.50000001"), false),
        ("leverage", settings(|s| s.leverage = 0), false),
        ("leverage", settings(|s| s.leverage = 1), true),
        ("leverage", settings(|s| s.leverage = 10), true),
        ("leverage", settings(|s| s.leverage = 11), false),
        ("trade_max", settings(|s| s.trade_max = unit), true),
        ("trade_max", settings(|s| s.trade_max = Some(Money::ZERO)), false),
        ("trade_max", settings(|s| s.exposure_max = unit), true),
        ("trade_max", settings(|s| s.exposure_max = Some(Money::ZERO)), false),
        ("symbols", symbols(SYMBOLS_MAX), true),
        ("symbols", symbols(SYMBOLS_MAX + 1), false),
    ];
    for sizing in amounts {
        cases.push(("sizing", settings(|s| s.sizing = sizing(Money::from_units(1))), true));
        cases.push(("sizing", settings(|s| s.sizing = sizing(Money::ZERO)), false));
    }
    for (factor, taken) in [("1.99999999", false), ("2", true), ("4", true), ("4.00000001", false)] {
        cases.push(("stop_multiplier", settings(|s| s.stop_multiplier = rate(factor)), taken));
    }
    for (factor, taken) in [("2.99999999", false), ("3", true), ("6", true), ("6.00000001", false)] {
        cases.push(("take_profit_multiplier", settings(|s| s.take_profit_multiplier = rate(factor)), taken));
    }
    for (field, settings, taken) in cases {
        match settings.validate(&rules) {
            Ok(()) => assert!(taken, "{settings:?}"),
            Err(text) => assert!(!taken && text.starts_with(field), "{text}: {settings:?}"),
        }
    }
}

#[test]
fn a_user_who_is_put_again_is_listed_once_and_the_others_stay() {
    let (mut desk, first) = Desk::with_trader(Settings::default());
    let second = desk.trader("bia@example.com", "10000", Settings::default());
    let (source, mut state) = (desk.source, State::from_users(desk.states[0].clone().into_users()));
    assert_eq!(state.digest(), desk.digest(), "nobody is lost on the way");
    let listed = |state: &State| -> Vec<UserId> {
        state.subscribers(source).iter().map(|at| state.user(*at).id).collect()
    };
    assert_eq!(listed(&state), [first, second]);
    state.put(desk.user(first).clone());
    assert_eq!(listed(&state), [second, first]);
    let mut gone = desk.user(second).clone();
    gone.subscriptions.clear();
    state.put(gone);
    assert_eq!(listed(&state), [first]);
}

#[test]
fn a_signal_is_found_by_its_number_where_an_earlier_one_is_no_longer_kept() {
    let mut desk = Desk::new();
    for name in ["BTCUSDT", "ETHUSDT", "SOLUSDT"] {
        desk.accepted(LONG, name);
    }
    desk.edit(desk.publisher, |user| drop(user.sources[0].signals.remove(1)));
    let SourceId { owner, index } = desk.source;
    let source = &desk.user(owner).sources[usize::from(index)];
    let found = [1, 2, 3, 4].map(|number| source.signal(number).map(|kept| kept.signal.id.number));
    assert_eq!(found, [Some(1), None, Some(3), None]);
}
