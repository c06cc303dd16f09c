//! CASES.md, groups R and T, as far as pacing and the clock are theirs.

use proptest::prelude::*;

use super::super::Refusal;
use super::super::circuit::{CircuitReason, CircuitState};
use super::super::clock::{AHEAD_MICROS, BadSample, ClockSample, VenueClock};
use super::super::limits::SECOND;
use super::super::retry::retry_at;
use super::*;
use crate::live::protocol::{LimitScope, Millis};

const EVERY_VENUE: [VenueLimits; 2] = [VenueLimits::BINANCE, VenueLimits::BYBIT];

fn limited(scope: LimitScope, until: u64) -> FailureKind {
    FailureKind::Limited { scope, until: Millis(until) }
}

/// Everything that can be asked for.
fn everything(account: AccountSlot) -> Vec<Request> {
    let groups = [Group::Place, Group::Cancel, Group::Configure, Group::Read];
    let requests = |purpose| {
        let of_account = groups.into_iter().flat_map(move |group| {
            [false, true].map(|is_socket| Request { is_socket, ..ask(account, group, 1, 1, purpose) })
        });
        of_account.chain([public(1, purpose), weightless_order(account, purpose)])
    };
    Purpose::ALL.into_iter().flat_map(requests).collect()
}

#[test]
fn case_r1_all_users_share_one_budget_per_address() {
    let mut pacers = pacers(VenueLimits::BINANCE, 4);
    let mut sent = 0;
    for n in 0..4_000 {
        let pacer = &mut pacers[n % 4];
        if let Admission::Go(pass) = pacer.admit(after(n as u64), &public(1, Purpose::Close)) {
            pacer.answered(after(n as u64), pass, Used::default(), None);
            sent += 1;
        }
    }
    assert!((2_300..=2_400).contains(&sent), "{sent}: one budget, nearly all of it");
}

#[test]
fn case_r1_a_429_is_obeyed_for_exactly_as_long_as_told() {
    for limits in EVERY_VENUE {
        let mut pacers = pacers(limits, 2);
        let pass = go(&mut pacers[0], after(0), &public(1, Purpose::Reconcile));
        fails(&mut pacers[0], after(50), pass, limited(LimitScope::Address, after(7_000).millis()));
        // On the other shard too; the exchange's clock may be a quarter of a second behind what we think.
        let until = waits(&mut pacers[1], after(60), &public(1, Purpose::Close));
        assert_eq!(until, after(7_250));
        let _ = go(&mut pacers[1], until, &public(1, Purpose::Open));
    }
}

#[test]
fn case_r1_a_429_without_a_time_lasts_to_the_end_of_the_window() {
    let (mut binance, _) = single(VenueLimits::BINANCE);
    let pass = go(&mut binance, after(0), &public(1, Purpose::Open));
    fails(&mut binance, after(50), pass, limited(LimitScope::Address, 0));
    let until = waits(&mut binance, after(60), &public(1, Purpose::Close));
    assert_eq!(until.0 % 60_000_000, 250_000, "the next minute has begun for sure");
    let (mut bybit, _) = single(VenueLimits::BYBIT);
    let pass = go(&mut bybit, after(0), &public(1, Purpose::Open));
    fails(&mut bybit, after(50), pass, limited(LimitScope::Address, 0));
    assert_eq!(waits(&mut bybit, after(60), &public(1, Purpose::Close)), after(5_050));
}

#[test]
fn case_r2_nothing_is_sent_while_the_address_is_stopped() {
    let until = after(30_000);
    let stops =
        [limited(LimitScope::Address, until.millis()), FailureKind::Banned { until: Millis(until.millis()) }];
    for limits in EVERY_VENUE {
        for stop in stops {
            let mut pacers = pacers(limits, 3);
            let accounts: Vec<_> = pacers.iter_mut().map(|pacer| pacer.open_account().unwrap()).collect();
            let late = go(&mut pacers[1], after(0), &public(1, Purpose::Open));
            let pass = go(&mut pacers[0], after(0), &public(1, Purpose::Open));
            fails(&mut pacers[0], after(20), pass, stop);
            for (n, now) in (21..30_000).step_by(333).map(after).enumerate() {
                // An answer to what was under way changes nothing.
                if n == 5 {
                    pacers[1].answered(now, late, Used::default(), None);
                }
                let shard = n % 3;
                for request in everything(accounts[shard]) {
                    let admission = pacers[shard].admit(now, &request);
                    assert!(!matches!(admission, Admission::Go(_)), "{request:?} at {now:?}");
                }
            }
        }
    }
}

#[test]
fn case_r3_each_account_and_group_has_a_budget_of_its_own() {
    let (mut pacer, first) = single(VenueLimits::BYBIT);
    let second = pacer.open_account().unwrap();
    let count = |pacer: &mut Pacer, account, group| {
        let request = Request { is_socket: true, ..ask(account, group, 1, 1, Purpose::Close) };
        (0..100).take_while(|_| matches!(pacer.admit(after(0), &request), Admission::Go(_))).count()
    };
    for account in [first, second] {
        for (group, units) in
            [(Group::Place, 10), (Group::Cancel, 10), (Group::Configure, 10), (Group::Read, 50)]
        {
            assert_eq!(count(&mut pacer, account, group), units, "{group:?}");
        }
    }
}

#[test]
fn case_r4_a_limit_of_an_account_stops_only_its_group() {
    for limits in EVERY_VENUE {
        let (mut pacer, first) = single(limits);
        let second = pacer.open_account().unwrap();
        let pass = go(&mut pacer, after(0), &ask(first, Group::Place, 1, 1, Purpose::Open));
        fails(&mut pacer, after(20), pass, limited(LimitScope::Account, after(800).millis()));
        // For closes too: the exchange would refuse them.
        let until = waits(&mut pacer, after(30), &ask(first, Group::Place, 1, 1, Purpose::Close));
        assert_eq!(until, after(1_050));
        for group in [Group::Cancel, Group::Configure, Group::Read] {
            let _ = go(&mut pacer, after(30), &ask(first, group, 1, 1, Purpose::Open));
        }
        let _ = go(&mut pacer, after(30), &ask(second, Group::Place, 1, 1, Purpose::Open));
        let _ = go(&mut pacer, until, &ask(first, Group::Place, 1, 1, Purpose::Open));
        assert_eq!(pacer.view(after(40)).circuit.state, CircuitState::Closed);
    }
}

#[test]
fn case_r4_orders_that_left_together_are_one_refusal() {
    let (mut pacer, account) = single(VenueLimits::BINANCE);
    let order = weightless_order(account, Purpose::Close);
    // A stop and its target, refused without a time, one after the other.
    let passes = [0, 0].map(|ms| go(&mut pacer, after(ms), &order));
    for (pass, ms) in passes.into_iter().zip([20, 21]) {
        fails(&mut pacer, after(ms), pass, limited(LimitScope::Account, 0));
    }
    let until = waits(&mut pacer, after(30), &order);
    assert_eq!(until, after(5_250), "the ten seconds that may be used up");
    // What left after that and is refused too: it is the minute.
    let pass = go(&mut pacer, until, &order);
    let later = until.plus_micros(20_000);
    fails(&mut pacer, later, pass, limited(LimitScope::Account, 0));
    assert_eq!(waits(&mut pacer, later, &order), after(55_250));
}

#[test]
fn case_r4_sockets_http_and_accounts_are_three_budgets() {
    let (mut pacer, account) = single(VenueLimits::BYBIT);
    while let Admission::Go(_) = pacer.admit(after(0), &public(1, Purpose::Close)) {}
    let _ = go(&mut pacer, after(1), &socket_order(account, Purpose::Open));
    // What waits for the address costs the account nothing.
    for _ in 0..100 {
        waits(&mut pacer, after(1), &ask(account, Group::Place, 1, 1, Purpose::Close));
    }
    assert_eq!(
        (0..20)
            .filter(|_| matches!(
                pacer.admit(after(2), &socket_order(account, Purpose::Close)),
                Admission::Go(_)
            ))
            .count(),
        9
    );
    // What waits for the account costs the address nothing.
    let before = pacer.view(after(2)).socket.unwrap().used;
    for _ in 0..1_000 {
        waits(&mut pacer, after(2), &socket_order(account, Purpose::Close));
    }
    assert_eq!(pacer.view(after(2)).socket.unwrap().used, before);
}

#[test]
fn case_r5_the_time_of_a_ban_is_read_shown_and_kept() {
    for limits in EVERY_VENUE {
        let mut pacers = pacers(limits, 2);
        let account = pacers[1].open_account().unwrap();
        let told = after(3_600_000);
        let pass = go(&mut pacers[0], after(0), &public(1, Purpose::Open));
        fails(&mut pacers[0], after(10), pass, FailureKind::Banned { until: Millis(told.millis()) });
        let end = after(3_600_250);
        let state = CircuitState::Open { until: end, reason: CircuitReason::Banned };
        assert_eq!(pacers[1].view(after(20)).circuit.state, state);
        // Opens fail by name with the time, everything else waits.
        let open = weightless_order(account, Purpose::Open);
        let Admission::Refused(why) = pacers[1].admit(after(20), &open) else { panic!("an open is refused") };
        assert_eq!(why, Refusal::Banned { until: end });
        assert!(why.to_string().contains(&end.millis().to_string()), "{why}");
        for purpose in [Purpose::Close, Purpose::Reconcile, Purpose::Background] {
            assert_eq!(waits(&mut pacers[1], after(20), &weightless_order(account, purpose)), end);
        }
        // At its end a close goes first, alone; when it was answered, everybody.
        waits(&mut pacers[0], end, &public(1, Purpose::Background));
        let probe = go(&mut pacers[1], end, &weightless_order(account, Purpose::Close));
        assert!(probe.is_probe());
        waits(&mut pacers[0], end.plus_micros(300_000), &public(1, Purpose::Open));
        pacers[1].answered(end.plus_micros(310_000), probe, Used::default(), None);
        let _ = go(&mut pacers[0], end.plus_micros(320_000), &public(1, Purpose::Open));
        assert_eq!(pacers[0].view(end.plus_micros(320_000)).circuit.bans, 1);
    }
}

#[test]
fn case_r5_bans_without_a_time_grow_at_binance_and_last_ten_minutes_at_bybit() {
    let banned = FailureKind::Banned { until: Millis(0) };
    let (mut pacer, _) = single(VenueLimits::BINANCE);
    let mut now = after(0);
    for minutes in [2, 4, 8, 16] {
        let pass = go(&mut pacer, now, &public(1, Purpose::Close));
        fails(&mut pacer, now.plus_micros(10_000), pass, banned);
        let end = waits(&mut pacer, now.plus_micros(20_000), &public(1, Purpose::Close));
        assert_eq!(end, now.plus_micros(10_000 + minutes * 60 * SECOND));
        now = end;
    }
    // By a clock that was never measured, what is over for long says nothing; what has just ended ends soon.
    for (until, end) in [(30_000, 60_010 + 120_000), (50_000, 60_010 + 1_000)] {
        let (mut pacer, _) = single(VenueLimits::BINANCE);
        let pass = go(&mut pacer, after(60_000), &public(1, Purpose::Close));
        let told = FailureKind::Banned { until: Millis(after(until).millis()) };
        fails(&mut pacer, after(60_010), pass, told);
        assert_eq!(waits(&mut pacer, after(60_020), &public(1, Purpose::Close)), after(end));
    }
    let (mut pacer, _) = single(VenueLimits::BYBIT);
    let pass = go(&mut pacer, after(0), &public(1, Purpose::Close));
    // A time that is too short to be true at Bybit.
    fails(&mut pacer, after(10), pass, FailureKind::Banned { until: Millis(after(1_000).millis()) });
    assert_eq!(waits(&mut pacer, after(20), &public(1, Purpose::Close)), after(10 + 600_000));
}

#[test]
fn case_r6_overload_is_tried_again_while_the_signal_is_valid_and_exits_sooner() {
    let valid_until = after(1_000);
    let wait = |attempt, purpose, now| retry_at(now, attempt, purpose, valid_until);
    assert_eq!(wait(0, Purpose::Open, after(0)), Some(after(200)));
    assert_eq!(wait(1, Purpose::Open, after(200)), Some(after(600)));
    assert_eq!(wait(2, Purpose::Open, after(600)), None, "that would be after the signal's time");
    assert_eq!(wait(9, Purpose::Open, after(0)), Some(after(800)));
    assert_eq!(wait(9, Purpose::Close, after(5_000)), Some(after(5_400)), "an exit is always valid");
    for purpose in [Purpose::Background, Purpose::Open, Purpose::Reconcile] {
        assert!(wait(0, Purpose::Close, after(0)) < wait(0, purpose, after(0)));
    }
    // It says nothing against the address: nobody else waits.
    let (mut pacer, account) = single(VenueLimits::BINANCE);
    for n in 0..100 {
        let pass = go(&mut pacer, after(n), &weightless_order(account, Purpose::Open));
        fails(&mut pacer, after(n), pass, FailureKind::Retry);
    }
    assert_eq!(pacer.view(after(100)).circuit.state, CircuitState::Closed);
}

#[test]
fn unknown_outcomes_in_a_row_open_one_circuit_and_not_the_other_venues() {
    let (mut binance, _) = single(VenueLimits::BINANCE);
    let (mut bybit, _) = single(VenueLimits::BYBIT);
    for n in 0..super::super::circuit::UNKNOWN_IN_A_ROW_MAX {
        let pass = go(&mut binance, after(n * 10), &public(1, Purpose::Open));
        fails(&mut binance, after(n * 10 + 5), pass, FailureKind::Unknown);
    }
    let Admission::Refused(Refusal::CircuitOpen { reason, .. }) =
        binance.admit(after(100), &public(1, Purpose::Open))
    else {
        panic!("it is open")
    };
    assert_eq!(reason, CircuitReason::Unknown);
    let _ = go(&mut bybit, after(100), &public(1, Purpose::Open));
    assert_eq!(bybit.view(after(100)).circuit.opened, 0);
    // The probe goes when its time has come, and a failed connection opens it again.
    let probe = go(&mut binance, after(1_075), &public(1, Purpose::Close));
    binance.unreachable(after(1_080), probe);
    assert_eq!(waits(&mut binance, after(1_090), &public(1, Purpose::Close)), after(3_080));
    assert_eq!(binance.view(after(1_090)).circuit.opened, 2);
}

/// A measurement: the way there, the way back, and by how much the exchange's clock is ahead of the host's,
/// in microseconds.
fn sample(sent: Timestamp, there: u64, back: u64, ahead: i64) -> ClockSample {
    let venue = sent.0.saturating_add_signed(ahead) + there;
    ClockSample { sent, received: sent.plus_micros(there + back), venue: Millis(venue / 1_000) }
}

#[test]
fn case_t1_a_refused_time_makes_it_measure_again() {
    let (mut pacer, account) = single(VenueLimits::BINANCE);
    assert!(pacer.clock().wants_sample(after(0)), "before the first request");
    pacer.clock_mut().measured(sample(after(0), 20_000, 20_000, 0)).unwrap();
    assert!(!pacer.clock().wants_sample(after(1_000)));
    let pass = go(&mut pacer, after(5_000), &weightless_order(account, Purpose::Open));
    fails(&mut pacer, after(5_040), pass, FailureKind::Clock);
    assert!(pacer.clock().wants_sample(after(5_041)));
    // A measurement that began before it was refuted proves nothing; neither does one without meaning.
    pacer.clock_mut().measured(sample(after(5_020), 20_000, 20_000, 0)).unwrap();
    assert!(pacer.clock().wants_sample(after(5_061)));
    // The host's clock was put ahead by 7 s: the old measurements are thrown away although their way was
    // shorter.
    pacer.clock_mut().measured(sample(after(5_100), 60_000, 60_000, -7_000_000)).unwrap();
    assert!(!pacer.clock().wants_sample(after(5_221)));
    assert_eq!(pacer.clock().now(after(10_000)), Millis(after(3_000).millis()));
    // The same order may go again: it was not accepted.
    let _ = go(&mut pacer, after(5_230), &weightless_order(account, Purpose::Open));
}

#[test]
fn case_t2_a_host_clock_that_is_wrong_is_told() {
    let alarm = |ahead| {
        let mut clock = VenueClock::default();
        clock.measured(sample(after(0), 10_000, 10_000, ahead)).unwrap();
        (clock.view().is_alarm, clock.view().offset_micros)
    };
    assert_eq!(alarm(499_000), (false, 499_000));
    assert_eq!(alarm(-499_000), (false, -499_000));
    assert_eq!(alarm(502_000), (true, 502_000));
    assert_eq!(alarm(-3_000_000), (true, -3_000_000));
    let mut clock = VenueClock::default();
    let far = ClockSample { sent: after(0), received: after(10), venue: Millis(5) };
    assert_eq!(clock.measured(far), Err(BadSample::TooFar));
    let back = ClockSample { sent: after(10), received: after(0), venue: Millis(after(5).millis()) };
    assert_eq!(clock.measured(back), Err(BadSample::Backwards));
    assert_eq!(clock.measured(sample(after(0), 4_000_000, 2_000_000, 0)), Err(BadSample::TooSlow(6_000_000)));
    assert_eq!(clock.view(), VenueClock::default().view(), "they say nothing, and change nothing");
}

#[test]
fn the_best_of_the_last_measurements_counts_and_drift_is_seen() {
    let mut clock = VenueClock::default();
    clock.measured(sample(after(0), 10_000, 400_000, 100_000)).unwrap();
    assert_eq!(clock.view().offset_micros, 100_000 - 195_000);
    clock.measured(sample(after(1_000), 11_000, 11_000, 100_000)).unwrap();
    clock.measured(sample(after(2_000), 10_000, 400_000, 100_000)).unwrap();
    assert_eq!((clock.view().offset_micros, clock.view().uncertain_micros), (100_000, Some(11_000)));
    // 50 ppm for five minutes: 15 ms.
    for n in 1..=5 {
        clock.measured(sample(after(n * 60_000), 10_000, 10_000, 100_000 + n as i64 * 3_000)).unwrap();
    }
    let mut steady = VenueClock::default();
    for n in 0..6 {
        steady.measured(sample(after(n * 60_000), 10_000, 10_000, n as i64 * 3_000)).unwrap();
    }
    assert_eq!(steady.view().drift_ppm, Some(50));
    assert!(steady.wants_sample(after(400_000)), "and it is measured again in time");
}

proptest! {
    #[test]
    fn case_t3_never_a_second_ahead_however_slow_and_lopsided_the_way(
        ways in prop::collection::vec((0_u64..2_500_000, 0_u64..2_500_000), 1..12),
        ahead in -20_000_000_i64..20_000_000,
    ) {
        let mut clock = VenueClock::default();
        let mut now = after(0);
        for (there, back) in ways {
            clock.measured(sample(now, there, back, ahead)).unwrap();
            now = now.plus_micros(there + back + 1_000);
            let truth = now.0.saturating_add_signed(ahead);
            let given = clock.now(now).0 * 1_000;
            prop_assert!(given < truth + AHEAD_MICROS + 1_000, "{} ahead", given - truth);
            // And not so late that the exchange's five seconds would not suffice.
            prop_assert!(given + 3_500_000 > truth, "{} behind", truth - given);
        }
    }
}

#[test]
fn case_t4_the_time_of_a_signature_is_that_of_sending() {
    let (mut pacer, account) = single(VenueLimits::BYBIT);
    pacer.clock_mut().measured(sample(after(0), 10_000, 10_000, 40_000)).unwrap();
    let request = socket_order(account, Purpose::Open);
    while let Admission::Go(_) = pacer.admit(after(1), &request) {}
    // Whatever waited, the pass comes at the moment of sending and holds no time to sign with.
    let until = waits(&mut pacer, after(1), &request);
    let _ = go(&mut pacer, until, &request);
    assert_eq!(pacer.clock().now(until), Millis(until.plus_micros(40_000).millis()));
}

#[test]
fn case_t5_times_are_milliseconds_by_type() {
    let mut clock = VenueClock::default();
    assert_eq!(clock.now(Timestamp(1_800_000_000_123_456)), Millis(1_800_000_000_123));
    assert_eq!(clock.local(Millis(1_800_000_000_123)), Timestamp(1_800_000_000_123_000));
    // A server that answers in seconds is half a century off, and not believed.
    let seconds =
        ClockSample { sent: after(0), received: after(10), venue: Millis(after(5).millis() / 1_000) };
    assert_eq!(clock.measured(seconds), Err(BadSample::TooFar));
}
