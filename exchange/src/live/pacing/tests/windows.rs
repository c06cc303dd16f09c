//! No window is exceeded, whatever the order of calls, the skew of the clock and the time under way; what is
//! kept for closes is there; nobody waits for what nobody uses.

use std::sync::atomic::{AtomicU64, Ordering};

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
        pacers[shard].assert_within_lease();
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
        // At any moment a fifth is free for closes, of one shard or of all in turn. A fixed window's tail
        // counts twice: there too, for the carried part is at most what opens may use of the next.
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

/// The clocks of shards on real threads. None runs ahead of the slowest by more than the slack, so that the
/// time a shard comes with is as fresh as it would be outside of a test.
struct Clocks {
    shards: [AtomicU64; 4],
    slack: u64,
}

impl Clocks {
    fn new(slack: u64) -> Self {
        Self { shards: std::array::from_fn(|_| AtomicU64::new(START)), slack }
    }

    /// Steps on until `end`, and says that it is over.
    fn run(&self, shard: usize, step: u64, end: u64, mut each: impl FnMut(Timestamp)) {
        let mut now = START + shard as u64;
        while now < end {
            self.shards[shard].store(now, Ordering::SeqCst);
            let slowest = || self.shards.iter().map(|clock| clock.load(Ordering::SeqCst)).min().unwrap();
            while slowest() + self.slack < now {
                std::thread::yield_now();
            }
            each(Timestamp(now));
            now += step;
        }
        self.shards[shard].store(u64::MAX - self.slack, Ordering::SeqCst);
    }
}

/// Closes as many as go, on four threads; what was sent.
fn on_threads(limits: VenueLimits, slack: u64, step: u64, end: u64) -> Vec<Arrival> {
    let shared = AddressBudget::new(limits, 4).unwrap();
    let clocks = Clocks::new(slack);
    let shard = |shard: usize| {
        let mut pacer = Pacer::new(Arc::clone(&shared));
        let mut sent = Vec::new();
        clocks.run(shard, step, end, |now| {
            let units = 1 + u32::try_from(now.0 / 64 % 3).unwrap();
            pacer.settle(now);
            if let Admission::Go(pass) = pacer.admit(now, &public(units, Purpose::Close)) {
                sent.push(Arrival { at: now.0, units, purpose: Purpose::Close });
                pacer.answered(now, pass, Used::default(), None);
            }
        });
        sent
    };
    let shard = &shard;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|n| scope.spawn(move || shard(n))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn no_fixed_window_is_exceeded_on_threads() {
    for limits in [small_fixed(), VenueLimits { http: Limit { units: 2_400, span: FIXED }, ..small_fixed() }]
    {
        let arrivals = on_threads(limits, SECOND / 2, 7_001, START + 100 * SECOND);
        assert_within(&arrivals, limits.http);
        // And it is not for want of asking: nearly all of nine whole windows was used.
        let sent: u32 = arrivals.iter().map(|arrival| arrival.units).sum();
        assert!(sent >= 9 * limits.http.units * 8 / 10, "{sent}");
    }
}

#[test]
fn no_rolling_window_is_exceeded_on_threads() {
    let limits = VenueLimits { http: Limit { units: 600, span: ROLLING }, ..small_rolling() };
    let arrivals = on_threads(limits, 20_000, 1_003, START + 10 * SECOND);
    assert_within(&arrivals, limits.http);
    let sent: u32 = arrivals.iter().map(|arrival| arrival.units).sum();
    assert!(sent >= 9 * 600 * 8 / 10, "{sent}");
}
