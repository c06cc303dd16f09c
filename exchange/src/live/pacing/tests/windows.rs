//! No window is exceeded, whatever the order of calls, the skew of the clock and the time under way; what is kept for closes is there;
//! nobody waits for what nobody uses.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use proptest::prelude::*;

use super::super::limits::{AccountLimits, SECOND};
use super::super::window::{SKEW_MICROS, TRANSIT_MICROS};
use super::*;

const FIXED: Span = Span::Fixed { micros: 10 * SECOND };
const SHORT: Span = Span::Fixed { micros: 4 * SECOND };
const ROLLING: Span = Span::Rolling { micros: SECOND };

/// Small budgets, which are used up all the time.
fn small_fixed() -> VenueLimits {
    VenueLimits {
        http: Limit { units: 120, span: FIXED },
        accounts: AccountLimits::Fixed {
            short: 20,
            short_micros: SHORT.micros(),
            long: 40,
            long_micros: FIXED.micros(),
        },
        ..VenueLimits::BINANCE
    }
}

fn small_rolling() -> VenueLimits {
    VenueLimits {
        http: Limit { units: 60, span: ROLLING },
        socket: Some(Limit { units: 90, span: ROLLING }),
        accounts: AccountLimits::Rolling { place: 10, cancel: 5, configure: 3, read: 20 },
        ..VenueLimits::BYBIT
    }
}

#[derive(Clone, Copy, Debug)]
enum End {
    Answered,
    Refused,
    Unreachable,
    Withdrawn,
    Never,
}

#[derive(Clone, Debug)]
struct Step {
    ahead_millis: u64,
    shard: usize,
    account: usize,
    group: Group,
    purpose: Purpose,
    address: u32,
    units: u32,
    is_socket: bool,
    times: usize,
    /// Share of the longest time under way, in percent.
    transit: u64,
    end: End,
}

fn step() -> impl Strategy<Value = Step> {
    let when = (prop_oneof![3 => 0_u64..30, 2 => 0_u64..700, 1 => 0_u64..9_000], 0_usize..4, 0_usize..2);
    let what = (
        prop::sample::select(vec![Group::Place, Group::Cancel, Group::Configure, Group::Read]),
        prop::sample::select(Purpose::ALL.to_vec()),
        prop_oneof![4 => 0_u32..4, 1 => 0_u32..30],
        0_u32..3,
        any::<bool>(),
        1_usize..40,
    );
    let end = prop_oneof![
        4 => Just(End::Answered),
        1 => Just(End::Refused),
        1 => Just(End::Unreachable),
        1 => Just(End::Withdrawn),
        1 => Just(End::Never),
    ];
    (when, what, 0_u64..100, end).prop_map(|(when, what, transit, end)| Step {
        ahead_millis: when.0,
        shard: when.1,
        account: when.2,
        group: what.0,
        purpose: what.1,
        address: what.2,
        units: what.3,
        is_socket: what.4,
        times: what.5,
        transit,
        end,
    })
}

/// Plays the steps; gives what arrived at the address by HTTP, by socket, and per shard, account and group.
fn play(
    limits: VenueLimits,
    shards: u32,
    steps: &[Step],
    skew: i64,
    transit_micros: u64,
) -> (Vec<Arrival>, Vec<Arrival>, Vec<Vec<Arrival>>) {
    let mut pacers = pacers(limits, shards);
    let accounts: Vec<Vec<_>> =
        pacers.iter_mut().map(|pacer| (0..2).map(|_| pacer.open_account().unwrap()).collect()).collect();
    let (mut http, mut socket) = (Vec::new(), Vec::new());
    let mut per_group = vec![Vec::new(); pacers.len() * 8];
    let mut now = Timestamp(START);
    let mut open: Vec<(Timestamp, usize, Pass, End)> = Vec::new();
    for step in steps {
        now = now.plus_micros(step.ahead_millis * 1_000 + step.transit);
        open.retain(|(at, shard, pass, end)| {
            if *at > now {
                return true;
            }
            match end {
                End::Answered => pacers[*shard].answered(now, *pass, Used::default(), None),
                End::Refused => fails(&mut pacers[*shard], now, *pass, FailureKind::SymbolGate),
                End::Unreachable => pacers[*shard].unreachable(now, *pass),
                End::Withdrawn => pacers[*shard].withdrawn(now, *pass),
                End::Never => {}
            }
            false
        });
        let shard = step.shard % pacers.len();
        let request = Request {
            is_socket: step.is_socket,
            ..ask(accounts[shard][step.account], step.group, step.address, step.units, step.purpose)
        };
        for _ in 0..step.times {
            let Admission::Go(pass) = pacers[shard].admit(now, &request) else { break };
            let under_way = transit_micros * step.transit / 100;
            open.push((now.plus_micros(under_way + 50_000), shard, pass, step.end));
            // What was not sent after all does not arrive.
            if !matches!(step.end, End::Unreachable | End::Withdrawn) {
                let at = now.0.saturating_add_signed(skew) + under_way;
                let arrival = |units| Arrival { at, units, purpose: step.purpose };
                let all = if step.is_socket { &mut socket } else { &mut http };
                all.push(arrival(step.address));
                let group = super::super::account::place_of(step.group).unwrap();
                per_group[shard * 8 + step.account * 4 + group].push(arrival(step.units));
            }
        }
        if step.transit % 3 == 0 {
            pacers[shard].settle(now);
        }
    }
    (http, socket, per_group)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_fixed_window_is_exceeded(
        steps in prop::collection::vec(step(), 1..250),
        shards in 1_u32..5,
        skew in -250_000_i64..250_000,
    ) {
        prop_assert!(skew.unsigned_abs() <= SKEW_MICROS);
        let (mut http, socket, groups) = play(small_fixed(), shards, &steps, skew, TRANSIT_MICROS);
        // Binance counts both together.
        http.extend(socket);
        assert_within(&http, small_fixed().http);
        for account in groups.chunks(4).map(<[_]>::concat) {
            assert_within(&account, Limit { units: 20, span: SHORT });
            assert_within(&account, Limit { units: 40, span: FIXED });
        }
    }

    #[test]
    fn no_rolling_window_is_exceeded(
        steps in prop::collection::vec(step(), 1..250),
        shards in 1_u32..5,
        skew in -250_000_i64..250_000,
    ) {
        // 3 % of a second: how much one request may overtake another.
        let (http, socket, groups) = play(small_rolling(), shards, &steps, skew, 29_000);
        assert_within(&http, small_rolling().http);
        assert_within(&socket, small_rolling().socket.unwrap());
        for account in groups.chunks(4) {
            for (group, units) in account.iter().zip([10, 5, 3, 20]) {
                assert_within(group, Limit { units, span: ROLLING });
            }
        }
    }

    #[test]
    fn what_is_kept_for_closes_is_there_whatever_others_did(
        steps in prop::collection::vec(step(), 1..120),
        shards in 1_u32..5,
        is_fixed: bool,
    ) {
        let limits = if is_fixed { small_fixed() } else { small_rolling() };
        let mut pacers = pacers(limits, shards);
        let slots: Vec<_> = pacers.iter_mut().map(|pacer| pacer.open_account().unwrap()).collect();
        let mut now = Timestamp(START);
        for step in &steps {
            now = now.plus_micros(step.ahead_millis * 1_000);
            let shard = step.shard % pacers.len();
            let purpose = step.purpose.min(Purpose::Open);
            let request = ask(slots[shard], step.group, step.address, 0, purpose);
            for _ in 0..step.times {
                if let Admission::Go(pass) = pacers[shard].admit(now, &request) {
                    pacers[shard].answered(now, pass, Used::default(), None);
                }
            }
        }
        // At any moment a fifth is free for closes, of one shard or of all in turn. A fixed window's tail counts twice:
        // there too, for the carried part is at most what opens may use of the next.
        let kept = limits.http.units / 5;
        for n in 0..kept {
            let shard = n as usize % if is_fixed { 1 } else { pacers.len() };
            let admission = pacers[shard].admit(now, &ask(slots[shard], Group::Cancel, 1, 0, Purpose::Close));
            // Closes of other shards may hold a part of it in advance.
            let held = limits.http.units / 8;
            prop_assert!(matches!(admission, Admission::Go(_)) || (shards > 1 && n >= kept - held), "{n}: {admission:?}");
        }
    }

    #[test]
    fn who_waits_gets_a_turn_when_others_only_hold(
        takers in prop::collection::vec((0_usize..4, 1_usize..60), 1..12),
        is_fixed: bool,
        cost in 1_u32..20,
    ) {
        let limits = if is_fixed { small_fixed() } else { small_rolling() };
        let mut pacers = pacers(limits, 4);
        let mut now = Timestamp(START);
        for (shard, times) in takers {
            for _ in 0..times {
                let _ = pacers[shard].admit(now, &public(1, Purpose::Open));
            }
        }
        // From here on only shard 0 asks; the others do what is due.
        let deadline = now.plus_micros(limits.http.span.micros() * 12 / 10 + SECOND);
        loop {
            for pacer in &mut pacers[1..] {
                if pacer.next_due().is_some_and(|due| due <= now) {
                    pacer.settle(now);
                    prop_assert!(pacer.next_due().is_none_or(|due| due > now), "what is due is done");
                }
            }
            match pacers[0].admit(now, &public(cost, Purpose::Open)) {
                Admission::Go(_) => break,
                Admission::Wait(until) => {
                    prop_assert!(until > now);
                    now = until;
                }
                Admission::Refused(why) => prop_assert!(false, "{why}"),
            }
            prop_assert!(now < deadline, "nobody uses it");
        }
    }
}

/// What is granted by shards on real threads, whose clocks are a little apart, in so many windows.
fn on_threads(limits: VenueLimits, windows: usize, millis: u64) {
    const SHARDS: usize = 4;
    let shared = AddressBudget::new(limits, 4).unwrap();
    let Span::Fixed { micros } = limits.http.span else { panic!("fixed windows are counted here") };
    let granted: Vec<AtomicU32> = (0..windows + 2).map(|_| AtomicU32::new(0)).collect();
    let clock = AtomicU64::new(START);
    let end = START + micros * windows as u64;
    std::thread::scope(|scope| {
        for shard in 0..SHARDS {
            let (shared, granted, clock) = (Arc::clone(&shared), &granted, &clock);
            scope.spawn(move || {
                let mut pacer = Pacer::new(shared);
                loop {
                    let now = clock.fetch_add(millis * 1_000 / 64, Ordering::Relaxed);
                    if now >= end {
                        break;
                    }
                    // Each shard is up to 6 ms behind the newest.
                    let now = Timestamp(now - 2_000 * shard as u64);
                    let units = 1 + (now.0 / 64 % 3) as u32;
                    if let Admission::Go(pass) = pacer.admit(now, &public(units, Purpose::Close)) {
                        let window = (now.0 - SKEW_MICROS) / micros - (START - SKEW_MICROS) / micros;
                        granted[window as usize].fetch_add(units, Ordering::Relaxed);
                        pacer.answered(now, pass, Used::default(), None);
                    }
                }
            });
        }
    });
    let granted: Vec<_> = granted.iter().map(|window| window.load(Ordering::Relaxed)).collect();
    assert!(granted.iter().all(|units| *units <= limits.http.units), "{granted:?}");
    // And it is not for want of asking: nearly all of each window but the cut ones was used.
    assert!(granted[1..windows].iter().all(|units| *units >= limits.http.units * 3 / 4), "{granted:?}");
}

#[test]
fn no_fixed_window_is_exceeded_on_threads() {
    on_threads(small_fixed(), 40, 10);
    on_threads(VenueLimits::BINANCE, 6, 20);
}

#[test]
fn no_rolling_window_is_exceeded_on_threads() {
    let limits = small_rolling();
    let shared = AddressBudget::new(limits, 4).unwrap();
    let clock = AtomicU64::new(START);
    let arrivals: Vec<Vec<Arrival>> = std::thread::scope(|scope| {
        let shard = || {
            let mut pacer = Pacer::new(Arc::clone(&shared));
            let mut sent = Vec::new();
            loop {
                let now = Timestamp(clock.fetch_add(100, Ordering::SeqCst));
                if now >= after(8_000) {
                    return sent;
                }
                if let Admission::Go(pass) = pacer.admit(now, &public(1, Purpose::Close)) {
                    sent.push(Arrival { at: now.0, units: 1, purpose: Purpose::Close });
                    pacer.answered(now, pass, Used::default(), None);
                }
            }
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(shard)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let arrivals = arrivals.concat();
    assert_within(&arrivals, limits.http);
    assert!(arrivals.len() >= 60 * 6, "{} of about 460", arrivals.len());
}
