//! Accounts on exchanges and their keys: who may open one, what a key has to be, and what is done about one that is not.

mod desk;

use desk::{Desk, LONG, money};
use engine::core::command::{Command, Refusal, Reply};
use engine::core::event::Event;
use engine::core::fixed::Money;
use engine::core::ids::{AccountId, Leg, Timestamp, UserId};
use engine::core::key::{KeyFault, KeyFinding, KeyHint, KeyKind, KeyState, NewKey, SEALED_BYTES_MAX, Sealed};
use engine::core::ledger::{Currency, EntryKey, LedgerAccount};
use engine::core::rules::{MINUTE, Settings};
use engine::core::user::{ACCOUNTS_MAX, ExchangeAccount, OutcomeKind, Skip, VenueKind};
use engine::core::venue_account::{Egress, Environment, LiveVenues, VenuePlace, VenueSite};

const PLACE: VenuePlace = VenuePlace {
    venue: VenueKind::Bybit,
    environment: Environment::Mainnet,
    site: VenueSite::Europe,
    egress: Egress::V4([203, 0, 113, 7]),
};

fn key(byte: u8) -> NewKey {
    NewKey { kind: KeyKind::Hmac, hint: KeyHint::of("a-key-of-bybit"), sealed: Sealed([byte; 80].into()) }
}

fn all_live() -> LiveVenues {
    let venues = [VenueKind::Binance, VenueKind::Bybit];
    venues.into_iter().fold(LiveVenues::default(), |live, venue| {
        Environment::ALL.into_iter().fold(live, |live, environment| live.with(venue, environment))
    })
}

fn good() -> KeyFinding {
    KeyFinding { verdict: Ok(()), expires_at: Timestamp(0), identity: Some([1; 16]) }
}

fn bad(fault: KeyFault) -> KeyFinding {
    KeyFinding { verdict: Err(fault), expires_at: Timestamp(0), identity: None }
}

fn connect(desk: &mut Desk, user: UserId, place: VenuePlace) -> Result<Reply, Refusal> {
    let index = u8::try_from(desk.user(user).accounts.len()).expect("few");
    desk.run(Command::ConnectAccount { user, index, place, key: key(index) })
}

fn report(desk: &mut Desk, user: UserId, index: u8, number: u32, finding: KeyFinding) -> Reply {
    let account = AccountId { user, index };
    desk.run(Command::ReportKey { account, number, finding }).expect("a fact is not refused")
}

fn account(desk: &Desk, user: UserId, index: u8) -> &ExchangeAccount {
    &desk.user(user).accounts[usize::from(index)]
}

/// A user with a connected account 0 that has 10000 in it and trades the source.
fn connected() -> (Desk, UserId) {
    let mut desk = Desk::new();
    desk.rules.live = all_live();
    let user = desk.sign_up("ana@example.com", "UTC");
    assert_eq!(connect(&mut desk, user, PLACE), Ok(Reply::Account(AccountId { user, index: 0 })));
    desk.edit(user, |u| {
        let lines =
            [(LedgerAccount::Wallet(0), money("10000")), (LedgerAccount::Outside, money("10000").negated())];
        u.ledger.post(Timestamp(1), EntryKey::Recharge(0), Currency::Usdt, &lines);
    });
    desk.subscribe(user, 0, Settings::default());
    (desk, user)
}

fn skipped(desk: &mut Desk, user: UserId) -> Option<Skip> {
    let signal = desk.send(LONG, "BTCUSDT");
    match desk.outcome(user, signal).kind {
        OutcomeKind::Skipped(skip) => Some(skip),
        _ => None,
    }
}

#[test]
fn an_exchange_that_the_configuration_does_not_name_takes_no_account_and_no_open() {
    let mut desk = Desk::new();
    let user = desk.sign_up("ana@example.com", "UTC");
    assert_eq!(connect(&mut desk, user, PLACE), Err(Refusal::VenueUnavailable));
    desk.rules.live = LiveVenues::default().with(PLACE.venue, Environment::Testnet);
    assert_eq!(connect(&mut desk, user, PLACE), Err(Refusal::VenueUnavailable), "of another environment");
    desk.rules.live = all_live();
    // Paper is no exchange: it has its own command, and that takes nothing else.
    assert_eq!(connect(&mut desk, user, VenuePlace::PAPER), Err(Refusal::VenueUnavailable));
    let open = Command::OpenAccount { user, venue: VenueKind::Bybit, wallet: None };
    assert_eq!(desk.run(open), Err(Refusal::VenueUnavailable));

    let (mut desk, user) = connected();
    report(&mut desk, user, 0, 1, good());
    desk.rules.live = LiveVenues::default();
    assert_eq!(skipped(&mut desk, user), Some(Skip::VenueUnavailable));
    let again = Command::SetKey { user, account: 0, key: key(9) };
    assert_eq!(desk.run(again), Err(Refusal::VenueUnavailable));
    assert_eq!(
        desk.run(Command::RemoveKey { user, account: 0 }),
        Ok(Reply::Done),
        "removed it may always be"
    );
}

#[test]
fn opens_wait_until_the_key_was_checked_and_stop_when_it_is_not_good() {
    let (mut desk, user) = connected();
    assert_eq!(account(&desk, user, 0).key_state, KeyState::Pending);
    assert_eq!(skipped(&mut desk, user), Some(Skip::KeyUnhealthy));
    for fault in KeyFault::ALL.into_iter().filter(|fault| *fault != KeyFault::WithdrawalRight) {
        assert_eq!(report(&mut desk, user, 0, 1, bad(fault)), Reply::Done);
        assert_eq!(account(&desk, user, 0).key_state, KeyState::Unhealthy(fault));
        assert_eq!(skipped(&mut desk, user), Some(Skip::KeyUnhealthy), "{fault:?}");
    }
    assert_eq!(report(&mut desk, user, 0, 1, good()), Reply::Done);
    assert_eq!(skipped(&mut desk, user), None);
}

/// The server has another master key: the key stays the one it is, and is as good as it was.
#[test]
fn a_key_that_is_sealed_anew_stays_the_key_that_it_is() {
    let (mut desk, user) = connected();
    let reseal = |desk: &mut Desk, index: u8, number: u32, bytes: Vec<u8>| {
        let (account, sealed) = (AccountId { user, index }, Sealed(bytes.into()));
        desk.run(Command::ResealKey { account, number, sealed }).expect("a fact is not refused")
    };
    assert_eq!(report(&mut desk, user, 0, 1, good()), Reply::Done);
    let before = account(&desk, user, 0).clone();
    let set_at = desk.now;
    desk.wait(MINUTE);
    let records = desk.log.len();
    for (index, number, bytes) in [
        (1, 1, vec![7; 80]),
        (0, 0, vec![7; 80]),
        (0, 2, vec![7; 80]),
        (0, 1, vec![0; 80]),
        (0, 1, vec![]),
        (0, 1, vec![7; SEALED_BYTES_MAX + 1]),
    ] {
        assert_eq!(reseal(&mut desk, index, number, bytes), Reply::Ignored, "{index} {number}");
    }
    assert_eq!(desk.log.len(), records, "and nothing is on record of it");
    assert_eq!(reseal(&mut desk, 0, 1, vec![7; SEALED_BYTES_MAX]), Reply::Done);
    let mut expected = before;
    expected.key.as_mut().expect("it has one").sealed = Sealed(vec![7; SEALED_BYTES_MAX].into());
    assert_eq!(*account(&desk, user, 0), expected);
    assert_eq!(expected.key.as_ref().map(|key| key.set_at), Some(set_at));
    desk.restart();
    assert_eq!(*account(&desk, user, 0), expected);
    assert_eq!(skipped(&mut desk, user), None, "it is as healthy as before");
    // Another key came meanwhile: it is not overwritten.
    desk.run(Command::SetKey { user, account: 0, key: key(9) }).expect("entered");
    assert_eq!(reseal(&mut desk, 0, 1, vec![7; 80]), Reply::Ignored);
    assert_eq!(account(&desk, user, 0).key.as_ref().map(|k| k.sealed.clone()), Some(key(9).sealed));
}

#[test]
fn a_nightly_check_that_finds_nothing_new_puts_nothing_on_record() {
    let (mut desk, user) = connected();
    assert_eq!(report(&mut desk, user, 0, 1, good()), Reply::Done);
    let records = desk.log.len();
    assert_eq!(report(&mut desk, user, 0, 1, good()), Reply::Ignored);
    let unknown = KeyFinding { identity: None, ..good() };
    assert_eq!(
        report(&mut desk, user, 0, 1, unknown),
        Reply::Ignored,
        "an id that is not told is not forgotten"
    );
    assert_eq!(desk.log.len(), records);
    let later = KeyFinding { expires_at: desk.now.plus_micros(MINUTE), ..good() };
    assert_eq!(report(&mut desk, user, 0, 1, later), Reply::Done, "another end is news");
}

#[test]
fn a_key_ends_by_the_clock() {
    let (mut desk, user) = connected();
    let finding = KeyFinding { expires_at: desk.now.plus_micros(MINUTE), ..good() };
    report(&mut desk, user, 0, 1, finding);
    desk.wait(MINUTE - 1);
    assert!(account(&desk, user, 0).key_state_at(desk.now).is_good());
    desk.wait(1);
    assert_eq!(account(&desk, user, 0).key_state_at(desk.now), KeyState::Unhealthy(KeyFault::Expired));
    assert_eq!(skipped(&mut desk, user), Some(Skip::KeyUnhealthy));
    // A later finding that tells of an end in the past says the same.
    report(&mut desk, user, 0, 1, finding);
    assert_eq!(account(&desk, user, 0).key_state, KeyState::Unhealthy(KeyFault::Expired));
}

#[test]
fn a_finding_counts_for_its_own_key_only() {
    let (mut desk, user) = connected();
    assert_eq!(desk.run(Command::SetKey { user, account: 0, key: key(2) }), Ok(Reply::Done));
    // The check of the first key comes back after the second was entered.
    assert_eq!(report(&mut desk, user, 0, 1, good()), Reply::Ignored);
    assert_eq!(account(&desk, user, 0).key_state, KeyState::Pending);
    assert_eq!(report(&mut desk, user, 0, 3, good()), Reply::Ignored);
    assert_eq!(report(&mut desk, user, 7, 1, good()), Reply::Ignored);
    assert_eq!(report(&mut desk, user, 0, 2, good()), Reply::Done);
    // A number is not used twice, also not after a removal.
    desk.run(Command::RemoveKey { user, account: 0 }).expect("nothing is open");
    assert_eq!(report(&mut desk, user, 0, 2, good()), Reply::Ignored);
    desk.run(Command::SetKey { user, account: 0, key: key(3) }).expect("a key again");
    let stored = account(&desk, user, 0).key.clone().expect("set");
    assert_eq!((stored.number, stored.sealed), (3, Sealed([3; 80].into())));
}

#[test]
fn case_n12_a_key_that_may_withdraw_is_not_kept() {
    let (mut desk, user) = connected();
    assert_eq!(report(&mut desk, user, 0, 1, bad(KeyFault::WithdrawalRight)), Reply::Done);
    let found = account(&desk, user, 0);
    assert_eq!((found.key_state, &found.key), (KeyState::Unhealthy(KeyFault::WithdrawalRight), &None));
    assert_eq!(skipped(&mut desk, user), Some(Skip::KeyUnhealthy));
    // With a position it stays, for nobody else could close that; opens stop all the same.
    let (mut desk, user) = connected();
    report(&mut desk, user, 0, 1, good());
    desk.open(user, LONG, "BTCUSDT", "20000");
    report(&mut desk, user, 0, 1, bad(KeyFault::WithdrawalRight));
    assert!(account(&desk, user, 0).key.is_some() && !account(&desk, user, 0).key_state.is_good());
    desk.close_by_hand(user, "BTCUSDT").expect("a close needs no healthy key");
    desk.exit(user, "20000");
    desk.sweep(user);
    // The next check finds nothing open, and gives it up.
    assert_eq!(report(&mut desk, user, 0, 1, bad(KeyFault::WithdrawalRight)), Reply::Done);
    assert_eq!(account(&desk, user, 0).key, None);
}

#[test]
fn a_key_that_watches_over_something_is_not_removed() {
    let (mut desk, user) = connected();
    report(&mut desk, user, 0, 1, good());
    let remove = Command::RemoveKey { user, account: 0 };
    let signal = desk.send(LONG, "BTCUSDT");
    assert_eq!(desk.outcome(user, signal).kind, OutcomeKind::Sent);
    assert_eq!(desk.run(remove.clone()), Err(Refusal::KeyInUse), "an entry is at work");
    desk.enter(user, "20000");
    assert_eq!(desk.run(remove.clone()), Err(Refusal::KeyInUse), "a position is open");
    // It may be replaced: a key that ends must not leave the position alone.
    assert_eq!(desk.run(Command::SetKey { user, account: 0, key: key(2) }), Ok(Reply::Done));
    desk.close_by_hand(user, "BTCUSDT").expect("open");
    let close = desk.close_order(user);
    desk.venue_fills(close.id, "20000", &close.quantity.to_string(), true);
    assert!(desk.user(user).positions.is_empty() && desk.find_order(user, Leg::Stop).is_some());
    assert_eq!(desk.run(remove.clone()), Err(Refusal::KeyInUse), "an order is live");
    desk.sweep(user);
    assert_eq!(desk.run(remove.clone()), Ok(Reply::Done));
    assert!(matches!(desk.last[..], [Event::CredentialRemoved { account: 0 }]));
    assert_eq!(account(&desk, user, 0).key_state, KeyState::Missing);
    let records = desk.log.len();
    assert_eq!((desk.run(remove), desk.log.len()), (Ok(Reply::Done), records), "once is enough");
}

/// A position by itself is enough, and so is an order by itself; another account's are no reason.
#[test]
fn either_a_position_or_an_order_of_the_account_keeps_its_key() {
    for orders in [false, true] {
        let (mut desk, user) = connected();
        report(&mut desk, user, 0, 1, good());
        connect(&mut desk, user, VenuePlace { environment: Environment::Testnet, ..PLACE }).expect("named");
        desk.open(user, LONG, "BTCUSDT", "20000");
        desk.edit(user, |user| {
            if orders {
                user.positions.clear();
                user.orders.iter_mut().for_each(|order| order.cancelling = true);
            } else {
                user.orders.clear();
            }
        });
        let remove = |account| Command::RemoveKey { user, account };
        assert_eq!(desk.run(remove(0)), Err(Refusal::KeyInUse), "{orders}");
        assert_eq!(desk.run(remove(1)), Ok(Reply::Done), "{orders}");
        // What is left of it is no world that could be: nothing more is asked of it.
        desk.edit(user, |user| {
            user.positions.clear();
            user.orders.clear();
        });
    }
}

#[test]
fn the_end_of_a_key_is_what_the_exchange_told_last() {
    let (mut desk, user) = connected();
    let end = |desk: &Desk| account(desk, user, 0).key.as_ref().expect("kept").expires_at;
    let (early, late) = (desk.now.plus_micros(MINUTE), desk.now.plus_micros(2 * MINUTE));
    let rejected = |expires_at| KeyFinding { expires_at, ..bad(KeyFault::Rejected) };
    for (finding, expected) in [
        (KeyFinding { expires_at: early, ..good() }, early),
        // A check that failed and tells none takes none away; one that tells one does.
        (rejected(Timestamp(0)), early),
        (rejected(late), late),
        (rejected(Timestamp(0)), late),
        (good(), Timestamp(0)),
        (rejected(late), late),
    ] {
        report(&mut desk, user, 0, 1, finding);
        assert_eq!(end(&desk), expected, "{finding:?}");
    }
}

#[test]
fn a_key_of_another_exchange_account_is_named_and_one_account_is_connected_once() {
    let (mut desk, user) = connected();
    report(&mut desk, user, 0, 1, good());
    desk.run(Command::SetKey { user, account: 0, key: key(2) }).expect("replaced");
    let other = KeyFinding { identity: Some([2; 16]), ..good() };
    report(&mut desk, user, 0, 2, other);
    assert_eq!(account(&desk, user, 0).key_state, KeyState::Unhealthy(KeyFault::OtherAccount));
    assert_eq!(account(&desk, user, 0).identity, Some([1; 16]), "it stays the account it was");
    desk.run(Command::SetKey { user, account: 0, key: key(3) }).expect("replaced");
    report(&mut desk, user, 0, 3, good());
    assert_eq!(account(&desk, user, 0).key_state, KeyState::Healthy);
    // The same exchange account a second time: two would trade one position.
    connect(&mut desk, user, PLACE).expect("another place");
    report(&mut desk, user, 1, 1, good());
    assert_eq!(account(&desk, user, 1).key_state, KeyState::Unhealthy(KeyFault::AlreadyConnected));
    // Ids of another environment are other ids.
    connect(&mut desk, user, VenuePlace { environment: Environment::Testnet, ..PLACE }).expect("named");
    report(&mut desk, user, 2, 1, good());
    assert_eq!(account(&desk, user, 2).key_state, KeyState::Healthy);
}

#[test]
fn case_t10_an_account_stays_in_its_environment_whatever_an_exchange_says() {
    let (mut desk, user) = connected();
    report(&mut desk, user, 0, 1, bad(KeyFault::WrongEnvironment));
    desk.run(Command::SetKey { user, account: 0, key: key(2) }).expect("replaced");
    report(&mut desk, user, 0, 2, bad(KeyFault::WrongEnvironment));
    assert_eq!(account(&desk, user, 0).place(), PLACE);
    assert_eq!(account(&desk, user, 0).key_state, KeyState::Unhealthy(KeyFault::WrongEnvironment));
}

#[test]
fn what_a_test_network_pays_is_no_money() {
    let mut desk = Desk::new();
    desk.rules.live = all_live();
    let user = desk.sign_up("ana@example.com", "UTC");
    for (index, environment) in (0_u8..).zip(Environment::ALL) {
        connect(&mut desk, user, VenuePlace { environment, site: VenueSite::Main, ..PLACE }).expect("named");
        let real = environment == Environment::Mainnet;
        let wanted = if real { Currency::Usdt } else { Currency::PaperUsdt };
        assert_eq!(account(&desk, user, index).currency(), wanted);
        assert_eq!(desk.user(user).wallet(index), Money::ZERO, "the exchange will say what is in it");
    }
    let prepaid = |currency| desk.user(user).ledger.balance(currency, LedgerAccount::Real);
    assert_eq!(prepaid(Currency::Usdt), Money::ZERO);
    let twice = desk.rules.paper_prepaid.checked_add(desk.rules.paper_prepaid).expect("fits");
    assert_eq!(prepaid(Currency::PaperUsdt), twice);
}

#[test]
fn places_and_bounds() {
    let mut desk = Desk::new();
    desk.rules.live = all_live();
    let user = desk.sign_up("ana@example.com", "UTC");
    let at = |index, bytes: usize| Command::ConnectAccount {
        user,
        index,
        place: PLACE,
        key: NewKey { sealed: Sealed(vec![1; bytes].into()), ..key(1) },
    };
    // Sealed for a place that another account has taken meanwhile.
    assert_eq!(desk.run(at(1, 80)), Err(Refusal::AccountsChanged));
    for bytes in [0, SEALED_BYTES_MAX + 1] {
        assert_eq!(desk.run(at(0, bytes)), Err(Refusal::Invalid("secret: too long")), "{bytes}");
    }
    for index in 0..ACCOUNTS_MAX {
        desk.run(at(u8::try_from(index).expect("few"), SEALED_BYTES_MAX)).expect("fits");
    }
    let index = u8::try_from(ACCOUNTS_MAX).expect("few");
    assert_eq!(desk.run(at(index, 80)), Err(Refusal::LimitReached("accounts")));
    assert_eq!(desk.run(Command::SetKey { user, account: index, key: key(1) }), Err(Refusal::UnknownAccount));
    assert_eq!(desk.run(Command::RemoveKey { user, account: index }), Err(Refusal::UnknownAccount));
    // Another user has none of them, and paper has no key.
    let other = desk.sign_up("bob@example.com", "UTC");
    assert_eq!(desk.run(Command::RemoveKey { user: other, account: 0 }), Err(Refusal::UnknownAccount));
    desk.open_account(other, "100");
    let paper = Err(Refusal::Invalid("account: paper accounts have no key"));
    assert_eq!(desk.run(Command::SetKey { user: other, account: 0, key: key(1) }), paper);
    assert_eq!(desk.run(Command::RemoveKey { user: other, account: 0 }), paper);
    assert_eq!(report(&mut desk, other, 0, 1, good()), Reply::Ignored);
}
