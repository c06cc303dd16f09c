//! What a venue tells: booked once, in order, whatever is repeated, missing, early or impossible.

mod desk;

use desk::{Desk, LONG, NOON, money, price, quantity};
use engine::core::codec;
use engine::core::command::{Command, Reply};
use engine::core::fixed::{Money, Price, Quantity};
use engine::core::ids::{AccountId, ClientOrderId, Leg, UserId};
use engine::core::ledger::{Currency, EntryKey, LedgerAccount};
use engine::core::order::{Fill, Liquidity, OrderState, VenueReason, VenueReport};
use engine::core::position::{CloseReason, PositionState};
use engine::core::rules::SECOND;
use engine::core::rules::Settings;
use engine::core::signal::SignalKind;
use engine::core::user::{OutcomeKind, Skip, VenueKind};
use proptest::prelude::*;

fn fill(number: u32, at: &str, size: &str) -> Fill {
    Fill {
        number,
        price: price(at),
        quantity: quantity(size),
        fee: money("0.1"),
        liquidity: Liquidity::Taker,
        venue_at: NOON,
    }
}

fn entering() -> (Desk, UserId, ClientOrderId) {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    desk.send(LONG, "BTCUSDT");
    let entry = desk.order(user, Leg::Entry).new.id;
    (desk, user, entry)
}

/// A life of a position, each report told `times` times.
fn life(times: usize) -> [u8; 32] {
    let (mut desk, user, entry) = entering();
    let tell = |desk: &mut Desk, report: VenueReport| {
        for time in 0..times {
            let reply = desk.report(report);
            assert_eq!(reply == Reply::Ignored, time > 0, "{report:?}");
        }
    };
    tell(&mut desk, VenueReport::Accepted { id: entry, venue_at: NOON });
    tell(&mut desk, VenueReport::Filled { id: entry, fill: fill(1, "20000", "0.3"), last: false });
    let stop = desk.order(user, Leg::Stop).new.id;
    let target = desk.order(user, Leg::TakeProfit).new.id;
    tell(&mut desk, VenueReport::Rejected { id: stop, reason: VenueReason::TooManyOrders });
    let stop = desk.order(user, Leg::Stop).new.id;
    tell(&mut desk, VenueReport::Accepted { id: stop, venue_at: NOON });
    tell(&mut desk, VenueReport::Filled { id: entry, fill: fill(2, "20001", "0.2"), last: false });
    let state = OrderState::Expired;
    tell(&mut desk, VenueReport::Ended { id: entry, state, reason: VenueReason::Liquidity });
    let account = entry.account;
    let symbol = desk::symbol("BTCUSDT");
    tell(
        &mut desk,
        VenueReport::Funding {
            account,
            symbol,
            venue_at: NOON,
            rate: desk::rate("0.0001"),
            mark: price("20000"),
            amount: money("-1"),
        },
    );
    tell(&mut desk, VenueReport::Liquidated { account, symbol, fill: fill(1, "19000", "0.1") });
    desk.send(SignalKind::CloseAll, "BTCUSDT");
    let close = desk.close_order(user).id;
    tell(&mut desk, VenueReport::Filled { id: close, fill: fill(1, "20100", "0.4"), last: true });
    for id in [stop, target] {
        let state = OrderState::Cancelled;
        tell(&mut desk, VenueReport::Ended { id, state, reason: VenueReason::PositionClosed });
    }
    assert!(desk.is_flat(user) && desk.user(user).orders.is_empty());
    desk.digest()
}

#[test]
fn each_report_told_again_changes_nothing() {
    assert_eq!(life(1), life(2));
    assert_eq!(life(1), life(3));
}

#[test]
fn a_fill_may_come_before_the_acceptance() {
    let (mut desk, user, entry) = entering();
    desk.venue_fills(entry, "20000", "0.3", false);
    assert_eq!(desk.order(user, Leg::Entry).state, OrderState::PartiallyFilled);
    assert_eq!(desk.venue_accepts(entry), Reply::Ignored);
    assert_eq!(desk.order(user, Leg::Entry).state, OrderState::PartiallyFilled);
    desk.venue_fills(entry, "20000", "0.45", true);
    assert_eq!(desk.venue_accepts(entry), Reply::Ignored);
    assert_eq!(desk.position(user).state, PositionState::Open);
}

#[test]
fn a_fill_after_a_gap_waits_until_all_are_told_again() {
    let (mut desk, user, entry) = entering();
    let (first, second) = (fill(1, "20000", "0.3"), fill(2, "20010", "0.45"));
    let tell = |desk: &mut Desk, fill, last| desk.report(VenueReport::Filled { id: entry, fill, last });
    assert_eq!(tell(&mut desk, second, true), Reply::Ignored);
    assert_eq!(tell(&mut desk, first, false), Reply::Done);
    assert_eq!(tell(&mut desk, second, true), Reply::Done);
    assert_eq!(desk.position(user).quantity, quantity("0.75"), "no fill is lost");
}

#[test]
fn reports_about_nothing_known_are_ignored() {
    let (mut desk, user, entry) = entering();
    let stranger = AccountId { user: UserId(42), index: 0 };
    let elsewhere = AccountId { user, index: 7 };
    for id in [
        ClientOrderId { round: 3, ..entry },
        ClientOrderId { leg: Leg::Stop, ..entry },
        ClientOrderId { account: stranger, ..entry },
        ClientOrderId { account: elsewhere, ..entry },
    ] {
        let state = OrderState::Cancelled;
        for report in [
            VenueReport::Accepted { id, venue_at: NOON },
            VenueReport::Rejected { id, reason: VenueReason::Margin },
            VenueReport::Filled { id, fill: fill(1, "20000", "0.1"), last: true },
            VenueReport::Ended { id, state, reason: VenueReason::Requested },
            VenueReport::NotFound { id },
        ] {
            assert_eq!(desk.report(report), Reply::Ignored, "{report:?}");
        }
    }
    let symbol = desk::symbol("BTCUSDT");
    for account in [stranger, elsewhere, entry.account] {
        let liquidated = VenueReport::Liquidated { account, symbol, fill: fill(1, "20000", "0.1") };
        assert_eq!(desk.report(liquidated), Reply::Ignored, "nothing is open");
    }
}

#[test]
fn impossible_fills_are_ignored() {
    let (mut desk, user, entry) = entering();
    let good = fill(1, "20000", "0.3");
    let big = i64::MAX;
    for bad in [
        Fill { number: 0, ..good },
        Fill { price: Price::ZERO, ..good },
        Fill { price: Price::from_units(-1), ..good },
        Fill { price: Price::MAX, ..good },
        Fill { quantity: Quantity::ZERO, ..good },
        Fill { quantity: Quantity::from_units(-1), ..good },
        Fill { quantity: Quantity::MAX, ..good },
        Fill { quantity: Quantity::MAX, price: Price::from_units(1), ..good },
        Fill { quantity: quantity("0.751"), ..good },
        Fill { fee: Money::MAX, ..good },
        Fill { fee: Money::from_units(-big), ..good },
        Fill { price: Price::from_units(1), quantity: Quantity::from_units(1), fee: Money::ZERO, ..good },
    ] {
        let report = VenueReport::Filled { id: entry, fill: bad, last: false };
        assert_eq!(desk.report(report), Reply::Ignored, "{bad:?}");
        let liquidated =
            VenueReport::Liquidated { account: entry.account, symbol: desk::symbol("BTCUSDT"), fill: bad };
        assert_eq!(desk.report(liquidated), Reply::Ignored);
    }
    assert_eq!(desk.report(VenueReport::Filled { id: entry, fill: good, last: false }), Reply::Done);
    let symbol = desk::symbol("BTCUSDT");
    for amount in [Money::MAX, Money::from_units(i64::MIN)] {
        let (rate, mark) = (desk::rate("1"), price("1"));
        let funding =
            VenueReport::Funding { account: entry.account, symbol, venue_at: NOON, rate, mark, amount };
        desk.report(funding);
        desk.report(funding);
    }
    assert_eq!(desk.position(user).quantity, quantity("0.3"));
}

#[test]
fn fills_add_up_to_what_was_asked_and_not_beyond() {
    let (mut desk, user, entry) = entering();
    let asked = desk.order(user, Leg::Entry).new.quantity;
    assert_eq!(asked, quantity("0.75"));
    for (number, size, sum) in [(1, "0.3", "0.3"), (2, "0.3", "0.6")] {
        let report = VenueReport::Filled { id: entry, fill: fill(number, "20000", size), last: false };
        assert_eq!(desk.report(report), Reply::Done);
        assert_eq!(desk.order(user, Leg::Entry).filled, quantity(sum));
    }
    for (size, reply) in [("0.3", Reply::Ignored), ("0.15", Reply::Done)] {
        let report = VenueReport::Filled { id: entry, fill: fill(3, "20000", size), last: false };
        assert_eq!(desk.report(report), reply, "{size}");
    }
    assert_eq!(desk.position(user).quantity, asked);
}

#[test]
fn an_exit_beyond_what_is_open_flattens_and_no_more() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    desk.open(user, LONG, "BTCUSDT", "20000");
    let stop = desk.order(user, Leg::Stop).new.id;
    desk.report(VenueReport::Filled { id: stop, fill: fill(1, "19600", "5"), last: true });
    assert!(desk.is_flat(user));
    assert_eq!(desk.closed(user).realised, money("-300"), "0.75 · 400");
}

#[test]
fn an_end_that_is_none_is_ignored() {
    let (mut desk, user, entry) = entering();
    for state in [
        OrderState::Pending,
        OrderState::Submitted,
        OrderState::PartiallyFilled,
        OrderState::Filled,
        OrderState::Unknown,
    ] {
        let report = VenueReport::Ended { id: entry, state, reason: VenueReason::Requested };
        assert_eq!(desk.report(report), Reply::Ignored, "{state:?}");
    }
    assert_eq!(desk.order(user, Leg::Entry).state, OrderState::Pending);
}

// Entries that end.

#[test]
fn an_entry_without_a_fill_leaves_no_position() {
    for end in [OrderState::Rejected, OrderState::Cancelled, OrderState::Expired] {
        let (mut desk, user, entry) = entering();
        let signal = entry.signal;
        desk.venue_accepts(entry);
        let reason = VenueReason::Liquidity;
        if end == OrderState::Rejected {
            desk.venue_rejects(entry, reason);
        } else {
            desk.report(VenueReport::Ended { id: entry, state: end, reason });
        }
        assert!(desk.is_flat(user) && desk.user(user).closed_positions.is_empty());
        assert_eq!(desk.outcome(user, signal).kind, OutcomeKind::Failed(reason));
        assert_eq!(desk.outcome(user, signal).done_at, desk.now, "a terminal state with its time");
        assert_eq!(desk.user(user).available(0), money("10000"));
    }
}

#[test]
fn case_p1_an_entry_filled_in_part_and_ended_is_a_position_of_that_part() {
    // P1, P3.
    for end in [OrderState::Cancelled, OrderState::Expired] {
        let (mut desk, user, entry) = entering();
        desk.venue_fills(entry, "20000", "0.3", false);
        desk.report(VenueReport::Ended { id: entry, state: end, reason: VenueReason::Liquidity });
        let position = desk.position(user);
        assert_eq!((position.quantity, position.state), (quantity("0.3"), PositionState::Open));
        assert_eq!(position.reserved, Money::ZERO, "the margin of the rest is free");
        assert_eq!(position.margin(), money("1200"));
        assert!(desk.find_order(user, Leg::Stop).is_some());
        assert_eq!(desk.outcome(user, entry.signal).kind, OutcomeKind::FilledInPart);
        desk.close_by_hand(user, "BTCUSDT").unwrap();
        assert_eq!(desk.close_order(user).quantity, quantity("0.3"));
        desk.exit(user, "20000");
    }
}

#[test]
fn an_order_and_its_receipt_tell_the_time_of_the_first_fill() {
    let (mut desk, user, entry) = entering();
    desk.wait(SECOND);
    let first = desk.now;
    desk.venue_fills(entry, "20000", "0.3", false);
    desk.wait(SECOND);
    desk.venue_fills(entry, "20000", "0.2", false);
    assert_eq!(desk.order(user, Leg::Entry).filled_at, first);
    assert_eq!(desk.outcome(user, entry.signal).filled_at, first);
}

#[test]
fn the_average_price_of_an_order_is_that_of_its_fills() {
    let (mut desk, user, entry) = entering();
    assert_eq!(desk.order(user, Leg::Entry).average_price(), None);
    desk.venue_fills(entry, "20000", "0.3", false);
    desk.venue_fills(entry, "20001", "0.1", false);
    assert_eq!(desk.order(user, Leg::Entry).average_price(), Some(price("20000.25")));
}

#[test]
fn an_entry_filled_without_a_fee_and_closed_is_a_position_that_was() {
    let (mut desk, user, entry) = entering();
    desk.venue_fills_at(entry, price("20000"), quantity("0.3"), Money::ZERO, false);
    let stop = desk.order(user, Leg::Stop).new.id;
    desk.venue_fills_at(stop, price("19600"), quantity("0.3"), Money::ZERO, true);
    desk.venue_cancels(entry, VenueReason::Requested);
    assert_eq!(desk.closed(user).net(), money("-120"), "settled, not voided");
    let signal = desk.send(LONG, "BTCUSDT");
    assert_eq!(desk.skip(user, signal), Skip::Cooldown);
}

// Orders whose fate is not known.

#[test]
fn an_unanswered_order_is_unknown_until_there_is_proof() {
    let (mut desk, user, entry) = entering();
    let unanswered = |desk: &mut Desk| desk.run(Command::OrderUnanswered { id: entry }).unwrap();
    assert_eq!(unanswered(&mut desk), Reply::Done);
    assert_eq!(unanswered(&mut desk), Reply::Ignored);
    assert_eq!(desk.report(VenueReport::NotFound { id: entry }), Reply::Ignored, "U8: no proof");
    desk.restart();
    assert_eq!(desk.order(user, Leg::Entry).state, OrderState::Unknown);
    let signal = desk.send(LONG, "BTCUSDT");
    assert_eq!(desk.skip(user, signal), Skip::PositionOpen, "it blocks opens");
    assert_eq!(desk.venue_accepts(entry), Reply::Done);
    assert_eq!(desk.order(user, Leg::Entry).state, OrderState::Submitted);
    assert_eq!(unanswered(&mut desk), Reply::Ignored, "it was answered");
    assert_eq!(desk.sent.iter().filter(|o| o.id.leg == Leg::Entry).count(), 1, "never sent blindly again");
}

#[test]
fn an_order_that_the_venue_does_not_know_was_never_received_once_it_is_old() {
    let (mut desk, user, entry) = entering();
    desk.run(Command::OrderUnanswered { id: entry }).unwrap();
    desk.wait(19 * SECOND);
    assert_eq!(desk.report(VenueReport::NotFound { id: entry }), Reply::Ignored, "U8: no proof");
    desk.wait(SECOND);
    assert_eq!(desk.report(VenueReport::NotFound { id: entry }), Reply::Done);
    assert!(desk.user(user).positions.is_empty(), "there is nothing to protect or close");
    assert_eq!(desk.outcome(user, entry.signal).kind, OutcomeKind::Failed(VenueReason::NotReceived));
    assert_eq!(desk.report(VenueReport::NotFound { id: entry }), Reply::Ignored, "told again");
    let signal = desk.send(LONG, "BTCUSDT");
    assert!(matches!(desk.outcome(user, signal).kind, OutcomeKind::Sent), "opens are free again");
}

#[test]
fn a_close_that_never_arrived_is_followed_by_another() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    let position = desk.open(user, LONG, "BTCUSDT", "20000");
    desk.close_by_hand(user, "BTCUSDT").unwrap();
    let close = desk.close_order(user).id;
    desk.run(Command::OrderUnanswered { id: close }).unwrap();
    desk.wait(20 * SECOND);
    assert_eq!(desk.report(VenueReport::NotFound { id: close }), Reply::Done);
    assert_eq!(desk.drive_close(user, &position), Reply::Closing);
    assert_eq!(desk.close_order(user).id.round, 1);
}

#[test]
fn an_order_that_was_accepted_is_not_ended_by_a_venue_that_does_not_know_it() {
    let (mut desk, user, entry) = entering();
    desk.venue_accepts(entry);
    desk.wait(60 * SECOND);
    assert_eq!(desk.report(VenueReport::NotFound { id: entry }), Reply::Ignored);
    assert_eq!(desk.order(user, Leg::Entry).state, OrderState::Submitted);
}

#[test]
fn an_unknown_order_that_filled_is_filled() {
    let (mut desk, user, entry) = entering();
    desk.run(Command::OrderUnanswered { id: entry }).unwrap();
    desk.venue_fills(entry, "20000", "0.75", true);
    assert_eq!(desk.position(user).state, PositionState::Open);
    assert_eq!(desk.outcome(user, entry.signal).kind, OutcomeKind::Filled);
}

#[test]
fn an_unknown_close_is_not_sent_again_until_it_is_known_to_be_dead() {
    let (mut desk, user) = Desk::with_trader(Settings::default());
    let position = desk.open(user, LONG, "BTCUSDT", "20000");
    desk.close_by_hand(user, "BTCUSDT").unwrap();
    let close = desk.close_order(user).id;
    desk.run(Command::OrderUnanswered { id: close }).unwrap();
    assert_eq!(desk.drive_close(user, &position), Reply::Ignored);
    desk.report(VenueReport::NotFound { id: close });
    assert_eq!(desk.drive_close(user, &position), Reply::Ignored);
    desk.venue_rejects(close, VenueReason::Margin);
    assert_eq!(desk.drive_close(user, &position), Reply::Closing);
    assert_eq!(desk.close_order(user).id.round, 1);
}

// Bytes.

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_bytes_are_an_error_and_never_a_panic(
        at: prop::sample::Index, mask in 1_u8..=255, cut: prop::sample::Index, noise in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let (mut desk, user) = Desk::with_trader(Settings::default());
        desk.open(user, LONG, "BTCUSDT", "20000");
        let mut aligned = rkyv::util::AlignedVec::<16>::new();
        aligned.extend_from_slice(&noise);
        prop_assert!(codec::decode_record(&aligned).is_err() && codec::decode_user(&aligned).is_err());
        let mut encoder = codec::Encoder::default();
        let mut damaged = rkyv::util::AlignedVec::<16>::new();
        damaged.extend_from_slice(encoder.user(desk.user(user), 1));
        let mut texts = desk.log.clone();
        texts.push(damaged);
        for mut bytes in texts {
            let length = bytes.len();
            bytes[at.index(length)] ^= mask;
            let _ = (codec::decode_record(&bytes), codec::decode_user(&bytes));
            let short = &bytes[..cut.index(length)];
            let _ = (codec::decode_record(short), codec::decode_user(short));
        }
    }
}

// What the order and its receipt tell.

#[test]
fn an_order_tells_when_it_left_as_the_first_report_says() {
    for accepted_first in [true, false] {
        let (mut desk, user, entry) = entering();
        let (first, second) = (desk.now.plus_micros(7), desk.now.plus_micros(9));
        let accepted = VenueReport::Accepted { id: entry, venue_at: NOON };
        let filled = VenueReport::Filled { id: entry, fill: fill(1, "20000", "0.3"), last: false };
        let reports = if accepted_first { [accepted, filled] } else { [filled, accepted] };
        for (report, sent_at) in reports.into_iter().zip([first, second]) {
            desk.run(Command::Report { report, sent_at }).unwrap();
            assert_eq!(desk.order(user, Leg::Entry).sent_at, first, "{report:?}");
        }
        assert_eq!(desk.outcome(user, entry.signal).sent_at, first);
    }
}

#[test]
fn the_receipt_of_an_entry_follows_its_order() {
    let (mut desk, user, entry) = entering();
    desk.venue_accepts(entry);
    assert_eq!(desk.outcome(user, entry.signal).kind, OutcomeKind::Sent);
    desk.venue_fills(entry, "20000", "0.3", false);
    assert_eq!(desk.outcome(user, entry.signal).kind, OutcomeKind::Sent, "more can fill");
    desk.venue_cancels(entry, VenueReason::Requested);
    assert_eq!(desk.outcome(user, entry.signal).kind, OutcomeKind::FilledInPart);

    let (mut desk, user, entry) = entering();
    desk.venue_cancels(entry, VenueReason::Requested);
    assert_eq!(desk.outcome(user, entry.signal).kind, OutcomeKind::Failed(VenueReason::Requested));
}

#[test]
fn a_fee_is_at_most_what_was_traded() {
    for (fee, reply) in
        [("6000.00000001", Reply::Ignored), ("-6000.00000001", Reply::Ignored), ("6000", Reply::Done)]
    {
        let (mut desk, _, entry) = entering();
        let fill = Fill { fee: money(fee), ..fill(1, "20000", "0.3") };
        assert_eq!(desk.report(VenueReport::Filled { id: entry, fill, last: false }), reply, "{fee}");
    }
}

#[test]
fn a_fill_that_profit_fees_or_wallet_have_no_room_for_is_ignored() {
    for (at, full) in ["profit", "fees", "wallet"].into_iter().enumerate() {
        let (mut desk, user, entry) = entering();
        desk.edit(user, |user| match at {
            0 => user.positions[0].realised = Money::MAX,
            1 => user.positions[0].fees = Money::MAX,
            _ => {
                let rest = Money::MAX.checked_sub(user.wallet(0)).unwrap();
                let lines = [(LedgerAccount::Wallet(0), rest), (LedgerAccount::VenueProfit, rest.negated())];
                user.ledger.post(NOON, EntryKey::Recharge(1), Currency::PaperUsdt, &lines);
            }
        });
        let report = VenueReport::Filled { id: entry, fill: fill(1, "20000", "0.3"), last: false };
        assert_eq!(desk.report(report), Reply::Ignored, "{full}");
    }
}

#[test]
fn case_p6_a_position_closed_by_somebody_else_is_booked_once_and_says_so() {
    let (mut desk, user, entry) = entering();
    let (account, symbol) = (entry.account, desk::symbol("BTCUSDT"));
    desk.venue_fills(entry, "20000", "0.75", true);
    let part = VenueReport::ClosedOutside { account, symbol, fill: fill(1, "20100", "0.25") };
    assert_eq!(desk.report(part), Reply::Done);
    assert_eq!(desk.position(user).quantity, quantity("0.5"));
    let told_again = desk.report(part);
    assert_eq!((told_again, desk.position(user).quantity), (Reply::Ignored, quantity("0.5")));
    desk.report(VenueReport::ClosedOutside { account, symbol, fill: fill(2, "20200", "0.5") });
    let closed = desk.user(user).closed_positions.back().expect("a closed position");
    assert_eq!(closed.closed, Some(CloseReason::External));
    assert_eq!(closed.realised, money("125"));
    let keys: Vec<String> = desk.user(user).ledger.statement().iter().map(|e| e.key.text()).collect();
    assert!(keys.contains(&"outside_profit:0:2".to_owned()), "{keys:?}");
}

#[test]
fn a_paper_wallet_is_nobody_elses_to_say() {
    let (mut desk, user, entry) = entering();
    let before = desk.user(user).wallet(0);
    let told = desk.report(VenueReport::Wallet { account: entry.account, wallet: money("1") });
    assert_eq!((told, desk.user(user).wallet(0)), (Reply::Ignored, before));
}

#[test]
fn the_books_follow_a_wallet_up_to_what_they_have_room_for() {
    let (mut desk, user, entry) = entering();
    desk.edit(user, |user| user.accounts[0].venue = VenueKind::Bybit);
    // Ten times what the largest account of an exchange holds: beyond it sums could grow out of their numbers.
    let most = money("10000000000");
    let above = most.checked_add(Money::from_units(1)).unwrap();
    for (wallet, taken) in [
        (above, false),
        (most, true),
        (most, false),
        (above.negated(), false),
        (most.negated(), true),
        (Money::MAX, false),
        (Money::ZERO, true),
    ] {
        let before = desk.user(user).wallet(0);
        let told = desk.report(VenueReport::Wallet { account: entry.account, wallet });
        let expected = if taken { (Reply::Done, wallet) } else { (Reply::Ignored, before) };
        assert_eq!((told, desk.user(user).wallet(0)), expected, "{wallet}");
    }
}
