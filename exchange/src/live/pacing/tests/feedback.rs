//! The exchange's headers win over our counts, in both directions.

use super::super::limits::SECOND;
use super::*;
use crate::live::protocol::{AccountUse, Millis};

fn used(account: AccountUse) -> Used {
    Used { address: None, account: Some(account) }
}

/// How many requests go at one moment.
fn room(pacer: &mut Pacer, now: Timestamp, request: &Request) -> usize {
    (0..10_000).take_while(|_| matches!(pacer.admit(now, request), Admission::Go(_))).count()
}

/// The same, and nothing is sent.
fn room_left(pacer: &mut Pacer, now: Timestamp, request: &Request) -> usize {
    let mut passes = Vec::new();
    while let Admission::Go(pass) = pacer.admit(now, request) {
        passes.push(pass);
    }
    passes.iter().for_each(|pass| pacer.withdrawn(now, *pass));
    passes.len()
}

#[test]
fn others_on_the_address_use_its_budget_too() {
    let mut pacers = pacers(VenueLimits::BINANCE, 2);
    let pass = go(&mut pacers[0], after(0), &public(1, Purpose::Close));
    pacers[0].answered(after(50), pass, Used { address: Some(2_000), account: None }, None);
    assert!(pacers[0].view(after(50)).http.used >= 2_000);
    let until = waits(&mut pacers[1], after(60), &public(1, Purpose::Open));
    assert!(until <= after(60_000));
    let left = room(&mut pacers[1], after(60), &public(1, Purpose::Close));
    assert!((300..=400).contains(&left), "{left}");
    // A smaller number does not give back what others may have under way.
    let Admission::Wait(_) = pacers[1].admit(after(70), &public(1, Purpose::Close)) else {
        panic!("used up")
    };
    assert_eq!(pacers[0].view(after(60_500)).http.used, 0, "the next minute is another");
}

#[test]
fn what_other_shards_hold_in_advance_comes_on_top_of_what_the_exchange_counted() {
    let mut pacers = pacers(VenueLimits::BINANCE, 2);
    let _ = go(&mut pacers[1], after(0), &public(1, Purpose::Close));
    let pass = go(&mut pacers[0], after(0), &public(1, Purpose::Close));
    pacers[0].answered(after(5), pass, Used { address: Some(2_000), account: None }, None);
    let sent: usize = pacers.iter_mut().map(|pacer| room(pacer, after(10), &public(1, Purpose::Close))).sum();
    assert!((330..=400).contains(&sent), "{sent}");
}

#[test]
fn an_address_header_of_the_last_minute_says_nothing_about_this_one() {
    let (mut pacer, _) = single(VenueLimits::BINANCE);
    // 500 ms into our minute 1: the request left in minute 0.
    let end = 60_000 - START / 1_000 % 60_000;
    let pass = go(&mut pacer, after(end - 2_000), &public(1, Purpose::Close));
    pacer.answered(after(end + 500), pass, Used { address: Some(2_300), account: None }, None);
    assert!(pacer.view(after(end + 500)).http.used < 100);
}

#[test]
fn a_vip_level_is_learnt_and_unlearnt() {
    let (mut pacer, account) = single(VenueLimits::BYBIT);
    let request = socket_order(account, Purpose::Close);
    let pass = go(&mut pacer, after(0), &request);
    assert_eq!(room(&mut pacer, after(0), &request), 9);
    let left = |left, limit| used(AccountUse::Left { left, limit, resets_at: Millis(0) });
    pacer.answered(after(20), pass, left(190, 200), None);
    assert_eq!(room(&mut pacer, after(20), &request), 190);
    let pass = go(&mut pacer, after(1_200), &request);
    pacer.answered(after(1_220), pass, left(19, 20), None);
    assert_eq!(room(&mut pacer, after(1_220), &request), 19);
    // A level of zero would stop the account for good: it is not believed.
    let pass = go(&mut pacer, after(3_000), &request);
    pacer.answered(after(3_010), pass, left(0, 0), None);
    assert_eq!(room(&mut pacer, after(3_010), &request), 19);
}

#[test]
fn others_on_the_account_are_seen_and_forgotten() {
    let (mut pacer, account) = single(VenueLimits::BYBIT);
    let request = socket_order(account, Purpose::Close);
    let left = |left| used(AccountUse::Left { left, limit: 10, resets_at: Millis(0) });
    let pass = go(&mut pacer, after(0), &request);
    pacer.answered(after(20), pass, left(3), None);
    assert_eq!(room(&mut pacer, after(20), &request), 3);
    // The next header says that nobody else is there any more.
    let (mut pacer, account) = single(VenueLimits::BYBIT);
    let request = socket_order(account, Purpose::Close);
    let (first, second) = (go(&mut pacer, after(0), &request), go(&mut pacer, after(1), &request));
    pacer.answered(after(20), first, left(1), None);
    pacer.answered(after(30), second, left(8), None);
    assert_eq!(room(&mut pacer, after(30), &request), 8);
}

#[test]
fn nothing_left_until_a_time_stops_the_group_until_then() {
    let (mut pacer, account) = single(VenueLimits::BYBIT);
    let request = socket_order(account, Purpose::Close);
    let pass = go(&mut pacer, after(0), &request);
    let resets_at = Millis(after(700).millis());
    pacer.answered(after(20), pass, used(AccountUse::Left { left: 0, limit: 10, resets_at }), None);
    assert_eq!(waits(&mut pacer, after(30), &request), after(700));
}

#[test]
fn orders_that_the_exchange_did_not_count_come_back_when_nothing_is_under_way() {
    let (mut pacer, account) = single(VenueLimits::BINANCE);
    let request = weightless_order(account, Purpose::Close);
    let passes: Vec<_> = (0..100).map(|_| go(&mut pacer, after(0), &request)).collect();
    // All but the last: they may be counted or not, so nothing comes back.
    for pass in &passes[1..] {
        pacer.answered(after(30), *pass, used(AccountUse::Used(60)), None);
    }
    assert_eq!(room_left(&mut pacer, after(40), &request), 200);
    pacer.answered(after(50), passes[0], used(AccountUse::Used(61)), None);
    assert_eq!(room_left(&mut pacer, after(60), &request), 239);
    // And upwards: somebody trades by hand.
    let pass = go(&mut pacer, after(70), &request);
    pacer.answered(after(90), pass, used(AccountUse::Used(290)), None);
    assert_eq!(room(&mut pacer, after(100), &request), 10);
}

#[test]
fn an_answer_without_a_count_keeps_ours() {
    let (mut pacer, account) = single(VenueLimits::BINANCE);
    let request = weightless_order(account, Purpose::Close);
    let (first, second) = (go(&mut pacer, after(0), &request), go(&mut pacer, after(0), &request));
    pacer.answered(after(30), first, used(AccountUse::Used(1)), None);
    pacer.answered(after(40), second, Used::default(), None);
    assert_eq!(room(&mut pacer, after(50), &request), 298);
}

#[test]
fn a_slot_that_was_given_away_hears_nothing_of_its_past() {
    let (mut pacer, account) = single(VenueLimits::BYBIT);
    let pass = go(&mut pacer, after(0), &socket_order(account, Purpose::Close));
    pacer.close_account(account);
    let Admission::Refused(_) = pacer.admit(after(1), &socket_order(account, Purpose::Close)) else {
        panic!("it is closed")
    };
    let next = pacer.open_account().unwrap();
    assert_eq!((next.index, next == account), (account.index, false));
    let left = used(AccountUse::Left { left: 0, limit: 10, resets_at: Millis(after(SECOND).millis()) });
    pacer.answered(after(20), pass, left, None);
    assert_eq!(room(&mut pacer, after(20), &socket_order(next, Purpose::Close)), 10);
}

#[test]
fn what_was_not_sent_comes_back() {
    for limits in [VenueLimits::BINANCE, VenueLimits::BYBIT] {
        let (mut pacer, account) = single(limits);
        let request = ask(account, Group::Place, 1, 1, Purpose::Close);
        let all = room_left(&mut pacer, after(0), &request);
        assert!(all >= 10);
        let before = pacer.view(after(500)).http.used;
        for n in 0..3 {
            assert_eq!(room_left(&mut pacer, after(n * 10), &request), all, "of the account");
        }
        for n in 0..3 {
            let pass = go(&mut pacer, after(100 + n), &request);
            pacer.unreachable(after(100 + n), pass);
        }
        pacer.settle(after(500));
        assert_eq!(
            pacer.view(after(500)).http.used,
            0,
            "of the address, where it was {before} with the stock"
        );
        // What ended without an answer was sent, as far as we know.
        let pass = go(&mut pacer, after(600), &request);
        fails(&mut pacer, after(610), pass, FailureKind::Unknown);
        pacer.settle(after(700));
        assert_eq!(pacer.view(after(700)).http.used, 1);
    }
}
