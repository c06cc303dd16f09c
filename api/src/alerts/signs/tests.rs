//! Each sign shows while its figure says so, where it says so, and with what to do.

use engine::core::user::VenueKind;
use engine::core::venue_account::{Environment, VenuePlace};
use exchange::live::connector::{Census, ConnectorMetrics, MarkFigures};
use exchange::live::pacing::circuit::{CircuitState, CircuitView};
use exchange::live::pacing::limits::VenueLimits;
use exchange::live::pacing::{AddressBudget, Pacer};
use storage::Generation;

use super::*;
use crate::web::venues::LineFigures;

const BINANCE: VenuePlace =
    VenuePlace { venue: VenueKind::Binance, environment: Environment::Testnet, ..VenuePlace::PAPER };
/// 2023-11-14T22:13:20Z.
const NOW: Timestamp = Timestamp(1_700_000_000_000_000);

fn at(seconds: u64) -> Nanos {
    Nanos::from_millis(seconds * 1_000)
}

fn publish(gauges: &Gauges, state: CircuitState, clock_off_micros: i64, accounts: u64, suspended: u64) {
    let pacer = Pacer::new(AddressBudget::new(VenueLimits::BINANCE, 1).expect("usable"));
    let mut address = pacer.view(NOW);
    address.circuit = CircuitView { state, ..address.circuit };
    let mut clock = pacer.clock().view();
    (clock.offset_micros, clock.is_alarm) = (clock_off_micros, clock_off_micros != 0);
    let figures = LineFigures {
        address,
        clock,
        metrics: ConnectorMetrics::default(),
        census: Census { accounts, suspended, ..Census::default() },
        marks: MarkFigures { streams: 0, newest_age_ms: 0, oldest_age_ms: 0, unusable: 0 },
    };
    gauges.shards[0].venues.publish(0, BINANCE, NOW, &figures);
}

fn kinds(signs: &[Sign]) -> Vec<Kind> {
    signs.iter().map(|sign| sign.kind).collect()
}

/// The only sign.
fn one(signs: Vec<Sign>) -> Sign {
    assert_eq!(signs.len(), 1, "{signs:?}");
    signs.into_iter().next().expect("one")
}

#[test]
fn a_server_that_is_well_shows_nothing_also_at_its_start() {
    let gauges = Gauges::with_history(3, Generation(1));
    let machine = Machine { cpus: NonZeroU64::new(4), memory_bytes: NonZeroU64::new(16 << 30) };
    let mut observer = Observer::new(machine);
    for second in 0..600 {
        gauges.process.cpu_micros.store(second * 500_000, Ordering::Relaxed);
        gauges.process.resident_bytes.store(4 << 30, Ordering::Relaxed);
        gauges.process.disk_bytes.store(100 << 30, Ordering::Relaxed);
        gauges.process.disk_free_bytes.store(50 << 30, Ordering::Relaxed);
        publish(&gauges, CircuitState::Closed, 0, 500, second.min(9));
        assert_eq!(observer.look(at(second), &gauges), Vec::new(), "second {second}");
    }
}

#[test]
fn flags_of_shards_name_them() {
    let gauges = Gauges::new(4);
    let mut observer = Observer::default();
    gauges.shards[2].no_space.store(true, Ordering::Relaxed);
    let full = one(observer.look(at(0), &gauges));
    assert_eq!((full.kind, full.severity), (Kind::NoSpace, Severity::Critical));
    assert!(full.what.ends_with("the log of shard 2 cannot go on"), "{}", full.what);
    for shard in [0, 3] {
        gauges.shards[shard].failed.store(true, Ordering::Relaxed);
    }
    gauges.process.stalled_shards.store(2, Ordering::Relaxed);
    let signs = observer.look(at(1), &gauges);
    assert_eq!(kinds(&signs), [Kind::LogFailed, Kind::NoSpace, Kind::NoTurns]);
    assert!(signs[0].what.contains("shards 0, 3") && signs[2].what.starts_with("2 of 4 shards"), "{signs:?}");
    assert_eq!(failed_logs(&gauges), Some(signs[0].clone()));
}

#[test]
fn what_the_history_stops_and_fails_by_is_shown() {
    let gauges = Gauges::with_history(2, Generation(1));
    let history = gauges.history.as_ref().expect("set up");
    history.disk_alarm.store(true, Ordering::Relaxed);
    history.opens_stopped.store(true, Ordering::Relaxed);
    history.shards[1].failed(Fault::Unreachable, "host db.example.com is down");
    let signs = Observer::default().look(at(0), &gauges);
    assert_eq!(kinds(&signs), [Kind::OpensStopped, Kind::Backlog, Kind::HistoryFails]);
    assert_eq!(signs[2].what, "the database of the history fails: unreachable", "no host");
}

#[test]
fn a_ban_says_until_when_and_other_circuits_why() {
    let gauges = Gauges::new(1);
    let mut observer = Observer::default();
    let until = NOW.plus_micros(90_400_000);
    publish(&gauges, CircuitState::Open { until, reason: CircuitReason::Banned }, 0, 5, 0);
    let ban = one(observer.look(at(0), &gauges));
    assert_eq!(
        (ban.kind, ban.severity, ban.place.as_str()),
        (Kind::Ban, Severity::Critical, "binance testnet from any")
    );
    assert_eq!(ban.what, "binance testnet from any is banned until 2023-11-14T22:14:50Z");
    assert!(ban.remedy.contains("Do not restart"));
    for reason in [CircuitReason::Limited, CircuitReason::Unreachable, CircuitReason::Unknown] {
        publish(&gauges, CircuitState::HalfOpen { reason }, 0, 5, 0);
        let open = one(observer.look(at(1), &gauges));
        assert_eq!((open.kind, open.severity), (Kind::Circuit, Severity::Warning));
        assert!(!open.what.contains("until") && open.what.starts_with(&ban.place), "{}", open.what);
    }
    publish(&gauges, CircuitState::Closed, -750_000, 5, 0);
    let clock = one(observer.look(at(2), &gauges));
    assert_eq!(clock.what, "this host's clock is 750 ms off by the clock of binance testnet from any");
}

#[test]
fn refused_closes_show_from_a_refusal_on_until_no_more_came_for_longer_than_an_hour() {
    let gauges = Gauges::new(2);
    let mut observer = Observer::default();
    let refused = |count| gauges.shards[1].closes_refused_long.store(count, Ordering::Relaxed);
    refused(7);
    assert_eq!(observer.look(at(0), &gauges), Vec::new(), "that was before");
    refused(8);
    assert_eq!(one(observer.look(at(1), &gauges)).kind, Kind::ClosesRefused);
    assert_eq!(one(observer.look(at(3_600), &gauges)).severity, Severity::Critical);
    refused(9);
    observer.look(at(3_601), &gauges);
    assert_eq!(observer.look(at(3_601 + 75 * 60 - 1), &gauges).len(), 1);
    assert_eq!(observer.look(at(3_601 + 75 * 60), &gauges), Vec::new());
}

#[test]
fn many_suspended_accounts_show_and_the_few_of_every_day_do_not() {
    let gauges = Gauges::new(1);
    let mut observer = Observer::default();
    let mut look = |second, accounts, suspended| {
        publish(&gauges, CircuitState::Closed, 0, accounts, suspended);
        observer.look(at(second), &gauges)
    };
    assert_eq!(look(0, 1_000, 0), Vec::new());
    assert_eq!(look(299, 1_000, 80), Vec::new(), "those that were suspended before the start");
    assert_eq!(look(300, 1_000, 80), Vec::new());
    assert_eq!(look(400, 1_000, 89), Vec::new(), "nine of a thousand");
    let grows = one(look(401, 1_000, 90));
    assert_eq!((grows.kind, grows.severity), (Kind::Suspended, Severity::Warning));
    assert!(grows.what.ends_with("their users act: 90 of 1000"), "{}", grows.what);
    assert_eq!(one(look(959, 1_000, 90)).kind, Kind::Suspended);
    assert_eq!(look(1_200, 1_000, 90), Vec::new(), "ten minutes later they are no news");
    let most = one(look(1_201, 1_000, 500));
    assert_eq!(most.severity, Severity::Critical, "half of all");
    assert_eq!(one(look(3_000, 1_000, 500)).severity, Severity::Critical, "which stays one");
    assert_eq!(look(3_001, 3, 1), Vec::new());
    assert_eq!(one(look(3_002, 3, 2)).severity, Severity::Warning, "with three accounts each counts");
    let mut anew = Observer::default();
    assert_eq!(one(anew.look(at(0), &gauges_with_most_suspended())).severity, Severity::Critical, "at once");
}

fn gauges_with_most_suspended() -> Gauges {
    let gauges = Gauges::new(1);
    publish(&gauges, CircuitState::Closed, 0, 6, 4);
    gauges
}

#[test]
fn thresholds_are_passed_one_way_and_left_another() {
    let gauges = Gauges::new(1);
    let machine = Machine { memory_bytes: NonZeroU64::new(1_000), cpus: None };
    let mut observer = Observer::new(machine);
    gauges.process.disk_bytes.store(1_000, Ordering::Relaxed);
    let mut disk = |free: u64| {
        gauges.process.disk_free_bytes.store(free, Ordering::Relaxed);
        observer.look(at(0), &gauges).first().map(|sign| sign.severity)
    };
    let (warning, critical) = (Some(Severity::Warning), Some(Severity::Critical));
    let ways = [(301, None), (300, warning), (349, warning), (351, None), (340, None), (299, warning)];
    let ways = ways.into_iter().chain([(100, critical), (149, critical), (151, warning), (101, warning)]);
    for (free, wanted) in ways.chain([(0, critical), (2_000, None)]) {
        assert_eq!(disk(free), wanted, "{free} of 1000 free");
    }
    gauges.process.resident_bytes.store(800, Ordering::Relaxed);
    let memory = one(observer.look(at(1), &gauges));
    assert_eq!(
        (memory.kind, memory.what.as_str()),
        (Kind::Memory, "80 % of this machine's memory is used by the server")
    );
}

#[test]
fn cpu_time_counts_over_a_minute() {
    let gauges = Gauges::new(1);
    let mut observer = Observer::new(Machine { cpus: NonZeroU64::new(2), memory_bytes: None });
    let mut used = 1;
    let mut look = |second, micros| {
        used += micros;
        gauges.process.cpu_micros.store(used, Ordering::Relaxed);
        observer.look(at(second), &gauges).first().map(|sign| (sign.kind, sign.severity))
    };
    for second in 0..60 {
        assert_eq!(look(second, 1_500_000), None, "not before a minute is over");
    }
    assert_eq!(look(60, 1_500_000), Some((Kind::Cpu, Severity::Warning)), "75 %");
    // One busy second is none of a minute.
    let mut idle: Vec<_> = (61..300).map(|second| look(second, 900_000)).collect();
    assert_eq!(idle.pop(), Some(None));
    assert_eq!(look(300, 2_000_000), None);
    let mut busy: Vec<_> = (301..400).map(|second| look(second, 2_000_000)).collect();
    assert_eq!(busy.pop(), Some(Some((Kind::Cpu, Severity::Critical))));
}
