//! A golden log: the records and the state that version 1 of the layout wrote must be readable for ever.
//!
//! `engine/tests/golden/v1.records` holds length-prefixed records, at least one of each kind of event; `v1.users` the users they
//! lead to, as a snapshot holds them; `v1.digest` the digest of that state. A new version of the layout keeps these files, reads them, and adds its own: run
//! `COINBITCLUB_GOLDEN=write cargo test -p coinbitclub-engine --test core_golden` after raising `codec::SCHEMA`.

mod desk;

use std::collections::BTreeSet;
use std::path::PathBuf;

use desk::{Desk, LONG, SHORT, money, price};
use engine::core::apply::apply_record;
use engine::core::codec::{CodecError, Encoder, SCHEMA, decode_record, decode_user};
use engine::core::command::Command;
use engine::core::event::{Event, Latch};
use engine::core::ids::{AccountId, Leg, Timestamp};
use engine::core::key::{KeyFault, KeyFinding, KeyHint, KeyKind, NewKey, Sealed};
use engine::core::ledger::Currency;
use engine::core::order::{Fill, Liquidity, Told, VenueReason, VenueReport};
use engine::core::rules::{MINUTE, Settings};
use engine::core::signal::SignalKind;
use engine::core::state::State;
use engine::core::user::VenueKind;
use engine::core::venue_account::{Egress, Environment, LiveVenues, VenuePlace, VenueSite};

/// The number of kinds of events in each version.
const KINDS: [usize; 5] = [28, 34, 35, 35, 36];

fn path(version: u16, extension: &str) -> PathBuf {
    let name = format!("v{version}.{extension}");
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn kind(event: &Event) -> String {
    let text = format!("{event:?}");
    text.split([' ', '{', '(']).next().unwrap_or_default().to_owned()
}

/// A small life with every kind of event in it.
fn life() -> Desk {
    let (mut desk, user) = Desk::with_trader(Settings { reverse: true, ..Settings::default() });
    desk.rules.cooldown = MINUTE;
    let go = |desk: &mut Desk, command| {
        desk.run(command).expect("as the test wants it");
    };
    go(&mut desk, Command::FailLogin { user });
    go(&mut desk, Command::OpenSession { user, token: [1; 32] });
    go(&mut desk, Command::CloseSession { user, token: [1; 32] });
    go(&mut desk, Command::SetHalt { user, latch: Latch::User, on: true });
    desk.send(LONG, "BTCUSDT");
    go(&mut desk, Command::SetHalt { user, latch: Latch::User, on: false });
    go(
        &mut desk,
        Command::Recharge { user, number: 1, currency: Currency::PaperUsdt, amount: money("25.5") },
    );
    // A take-profit, a reversal with its entry, funding, a liquidation.
    desk.open(user, LONG, "BTCUSDT", "20000");
    desk.funding(user, "BTCUSDT", desk.now, "0.0001", "-1.5");
    let signal = desk.send(SHORT, "BTCUSDT");
    desk.exit(user, "20400");
    go(&mut desk, Command::Reconsider { user, signal });
    desk.enter(user, "20400");
    let size = desk.position(user).quantity.to_string();
    desk.liquidation(user, "BTCUSDT", 1, "24000", &size, "10");
    desk.sweep(user);
    // The day after: the loss limit of the day is over.
    desk.wait(48 * 60 * MINUTE);
    // An entry without an answer, then voided; a close by hand whose first order is refused.
    desk.send(LONG, "ETHUSDT");
    let entry = desk.order(user, Leg::Entry).new.id;
    go(&mut desk, Command::OrderUnanswered { id: entry });
    desk.venue_accepts(entry);
    desk.venue_cancels(entry, VenueReason::Liquidity);
    desk.open(user, LONG, "ETHUSDT", "1500");
    desk.close_by_hand(user, "ETHUSDT").expect("as the test wants it");
    let close = desk.close_order(user).id;
    desk.venue_rejects(close, VenueReason::Margin);
    let position = desk.position(user);
    desk.drive_close(user, &position);
    desk.exit(user, "1510");
    desk.sweep(user);
    // A close that overtakes an open that is still being worked.
    desk.accepted(LONG, "BTCUSDT");
    desk.accepted(SignalKind::CloseAll, "BTCUSDT");
    desk.accept(desk::draft(SignalKind::CloseAll, "BTCUSDT", 999)).expect("as the test wants it");
    let source = desk.source;
    go(&mut desk, Command::Unsubscribe { user, source });
    // Keys: one is judged, replaced, judged again and removed; another stays.
    let place = VenuePlace {
        venue: VenueKind::Bybit,
        environment: Environment::Mainnet,
        site: VenueSite::Europe,
        egress: Egress::V4([203, 0, 113, 7]),
    };
    desk.rules.live = LiveVenues::default().with(place.venue, place.environment);
    for index in [1, 2] {
        go(&mut desk, Command::ConnectAccount { user, index, place, key: key(KeyKind::Hmac, 60) });
    }
    let account = AccountId { user, index: 1 };
    let (expires_at, identity) = (desk.now.plus_micros(MINUTE), Some([9; 16]));
    let finding = KeyFinding { verdict: Ok(()), expires_at, identity };
    go(&mut desk, Command::ReportKey { account, number: 1, finding });
    go(&mut desk, Command::SetKey { user, account: 1, key: key(KeyKind::Ed25519, 90) });
    let finding = KeyFinding { verdict: Err(KeyFault::Rejected), ..finding };
    go(&mut desk, Command::ReportKey { account, number: 2, finding });
    go(&mut desk, Command::RemoveKey { user, account: 1 });
    // What a real venue tells of its wallet, and of somebody else who closes there.
    let real = AccountId { user, index: 2 };
    let sealed = key(KeyKind::Hmac, 61).sealed;
    go(&mut desk, Command::ResealKey { account: real, number: 1, sealed });
    let finding = KeyFinding { verdict: Ok(()), expires_at: Timestamp(0), identity: Some([8; 16]) };
    go(&mut desk, Command::ReportKey { account: real, number: 1, finding });
    let report = VenueReport::Wallet { account: real, wallet: money("10000") };
    go(&mut desk, Command::Report { report, sent_at: Timestamp(0) });
    desk.subscribe(user, 2, Settings::default());
    // An entry that is refused there and fills all the same.
    desk.send(LONG, "BTCUSDT");
    let order = desk.order(user, Leg::Entry).new;
    desk.venue_rejects(order.id, VenueReason::Margin);
    let fill = Fill {
        number: 1,
        price: price("20000"),
        quantity: order.quantity,
        fee: money("1"),
        liquidity: Liquidity::Taker,
        venue_at: desk.now,
    };
    let before = Told::default();
    let report = VenueReport::LateEntry { order, before, fill };
    go(&mut desk, Command::Report { report, sent_at: Timestamp(0) });
    desk.exit(user, "20000");
    // And one that nobody remembers.
    let mut forgotten = order;
    forgotten.id.signal.number += 1_000;
    let before = Told { decided_at: Timestamp(77), ..Told::default() };
    let report = VenueReport::LateEntry { order: forgotten, before, fill };
    go(&mut desk, Command::Report { report, sent_at: Timestamp(0) });
    desk.exit(user, "20000");
    let position = desk.open(user, LONG, "SOLUSDT", "25");
    let fill = Fill { price: price("26"), quantity: position.quantity, venue_at: desk.now, ..fill };
    let report = VenueReport::ClosedOutside { account: real, symbol: position.symbol, fill };
    go(&mut desk, Command::Report { report, sent_at: Timestamp(0) });
    desk.sweep(user);
    desk
}

fn key(kind: KeyKind, bytes: usize) -> NewKey {
    let sealed = Sealed((0..=u8::MAX).cycle().take(bytes).collect());
    NewKey { kind, hint: KeyHint::of("a-key-of-an-exchange"), sealed }
}

fn push(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend_from_slice(&u32::try_from(part.len()).expect("small").to_le_bytes());
    bytes.extend_from_slice(part);
}

fn records_of(desk: &Desk) -> Vec<u8> {
    let mut bytes = Vec::new();
    desk.log.iter().for_each(|record| push(&mut bytes, record));
    bytes
}

fn users_of(desk: &Desk) -> Vec<u8> {
    let (mut bytes, mut encoder) = (Vec::new(), Encoder::default());
    for user in desk.states.iter().flat_map(State::users) {
        push(&mut bytes, encoder.user(user, 7));
    }
    bytes
}

/// The parts, each aligned as a reader of a log aligns them.
fn parts(mut rest: &[u8]) -> Vec<rkyv::util::AlignedVec<16>> {
    let mut parts = Vec::new();
    while let Some((length, tail)) = rest.split_first_chunk::<4>() {
        let (part, tail) = tail.split_at(usize::try_from(u32::from_le_bytes(*length)).expect("fits"));
        let mut aligned = rkyv::util::AlignedVec::<16>::new();
        aligned.extend_from_slice(part);
        parts.push(aligned);
        rest = tail;
    }
    parts
}

fn read(bytes: &[u8]) -> (State, BTreeSet<String>) {
    let (mut state, mut kinds) = (State::default(), BTreeSet::new());
    for part in parts(bytes) {
        let record = decode_record(&part).expect("a golden record is readable");
        kinds.extend(record.events.iter().map(kind));
        apply_record(&mut state, &record);
    }
    (state, kinds)
}

fn read_users(bytes: &[u8]) -> State {
    State::from_users(parts(bytes).iter().map(|part| {
        let (user, as_of) = decode_user(part).expect("a golden user is readable");
        assert_eq!(as_of, 7);
        user
    }))
}

fn hex(digest: [u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_golden_log_is_read_as_when_it_was_written() {
    if std::env::var("COINBITCLUB_GOLDEN").is_ok_and(|wish| wish == "write") {
        let desk = life();
        std::fs::write(path(SCHEMA, "records"), records_of(&desk)).expect("written");
        std::fs::write(path(SCHEMA, "users"), users_of(&desk)).expect("written");
        std::fs::write(path(SCHEMA, "digest"), hex(desk.digest()) + "\n").expect("written");
    }
    for version in 1..=SCHEMA {
        let bytes = std::fs::read(path(version, "records")).expect("each version has its golden log");
        let (state, kinds) = read(&bytes);
        assert_eq!(kinds.len(), KINDS[usize::from(version) - 1], "version {version}: {kinds:?}");
        let users = std::fs::read(path(version, "users")).expect("each version has its users");
        assert_eq!(hex(read_users(&users).digest()), hex(state.digest()), "users of version {version}");
        // The digest is over the state's layout of this binary; it is compared for the layout it was written with.
        if version == SCHEMA {
            let digest =
                std::fs::read_to_string(path(version, "digest")).expect("each version has its digest");
            assert_eq!(hex(state.digest()), digest.trim(), "version {version} leads to another state");
        }
        assert!(Currency::ALL.iter().all(|currency| state.ledger_sum_units(*currency) == 0));
    }
}

#[test]
fn a_newer_layout_is_named_and_not_read() {
    let mut bytes = life().log[0].clone();
    bytes[..2].copy_from_slice(&(SCHEMA + 1).to_le_bytes());
    assert_eq!(decode_record(&bytes), Err(CodecError::Newer { found: SCHEMA + 1 }));
}
