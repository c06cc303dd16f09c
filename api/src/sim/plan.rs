//! What a seed decides before anything runs: sizes, speeds, rules and the mix of faults.

use engine::core::rules::{Rules, SECOND};
use engine::core::user::VenueKind;
use engine::core::venue_account::{Environment, LiveVenues};
use engine::seam::Nanos;
use storage::limits::SEGMENT_BYTES_MIN;
use storage::sim_disk::SimRandom;

use super::faults::{Fault, Mix};

/// What the command line may change about a run, so that a failing one can be made smaller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Faults that are left out.
    pub without: Vec<Fault>,
    /// Traders at most.
    pub traders_max: Option<u32>,
    /// Virtual seconds of load at most.
    pub load_seconds_max: Option<u32>,
    /// Every seed has accounts on exchanges.
    pub live: bool,
}

/// One in so many seeds has accounts on exchanges.
const LIVE_ONE_IN: u64 = 3;

/// In one of so many of those the money is real.
const REAL_MONEY_ONE_IN: u64 = 2;

/// One in so many of those has a single life until the load is over.
const LASTING_ONE_IN: u64 = 3;
/// The faults that end a life.
const ENDS: [Fault; 5] = [Fault::Kill, Fault::PowerLoss, Fault::Stop, Fault::SyncFails, Fault::WriteFails];
/// How much longer it may be until the next fault of an exchange there.
const FAIR_WEATHER: u64 = 16;

/// Load of a seed with accounts on exchanges, at least.
const LIVE_LOAD_MIN: Nanos = Nanos::from_millis(10_000);
/// Longest pause of its clients.
const LIVE_THINK_MAX: Nanos = Nanos::from_millis(500);

/// Where each trader's first account is. What is drawn of a stream of its own moves nothing of the seeds without exchanges.
fn homes(random: &mut SimRandom, traders: u32, forced: bool) -> Vec<VenueKind> {
    if !(random.one_in(LIVE_ONE_IN) || forced) {
        return Vec::new();
    }
    let of = [VenueKind::Binance, VenueKind::Bybit, VenueKind::Binance, VenueKind::Bybit, VenueKind::Paper];
    // The first trader is on an exchange in any case.
    let kinds = |n: u32| if n == 0 { 4 } else { 5 };
    (0..traders).map(|n| of[usize::try_from(random.below(kinds(n))).expect("below a length")]).collect()
}

/// The plan of a run.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) shards: u16,
    pub(super) traders: u32,
    pub(super) publishers: u32,
    /// For how long clients work and faults strike.
    pub(super) load: Nanos,
    pub(super) mix: Mix,
    /// Mean time between two faults.
    pub(super) between_faults: Nanos,
    /// Mean time between two faults of an exchange or the way there.
    pub(super) between_exchange_faults: Nanos,
    /// Longest pause of a client between two requests.
    pub(super) think: Nanos,
    pub(super) poll_ns_max: u64,
    pub(super) disk_ns_max: u64,
    pub(super) segment_bytes: u64,
    pub(super) snapshot_log_bytes: u64,
    /// Symbols that are traded.
    pub(super) symbols: usize,
    /// Notional that one order can take from the market in a tick, in USDT; more is filled in parts.
    pub(super) depth_usdt: Option<i64>,
    pub(super) rules: Rules,
    /// The exchange of each trader's first account; empty where the seed has none.
    pub(super) homes: Vec<VenueKind>,
    /// Whether the money there is real: another currency, a plan that has to be paid, and fees that become debt.
    pub(super) environment: Environment,
}

impl Plan {
    pub(super) fn draw(seed: u64, overrides: &Overrides) -> Self {
        let random = &mut SimRandom::new(seed ^ 0x5eed_0f1a_9e37_79b9);
        let mut pick =
            |of: &[u64]| of[usize::try_from(random.below(of.len() as u64)).expect("below a length")];
        let shards = u16::try_from(pick(&[1, 2, 2, 3, 4])).expect("small");
        let traders = u32::try_from(pick(&[1, 2, 3, 4, 6])).expect("small");
        let publishers = u32::try_from(pick(&[1, 1, 2])).expect("small");
        let load = Nanos::from_millis(1_000 * pick(&[2, 5, 10, 20, 40]));
        let between_faults = Nanos::from_millis(pick(&[150, 400, 1_000, 3_000]));
        let think = Nanos::from_millis(pick(&[20, 200, 1_000, 2_000]));
        let poll_ns_max = pick(&[2_000, 20_000, 100_000]);
        let disk_ns_max = pick(&[50_000, 200_000, 3_000_000]);
        let segment_bytes = SEGMENT_BYTES_MIN.next_multiple_of(4_096) + pick(&[0, 65_536, 262_144]);
        let snapshot_log_bytes = pick(&[32_768, 131_072, 1 << 20]);
        let symbols = usize::try_from(pick(&[1, 2, 4])).expect("small");
        let depth_usdt = i64::try_from(pick(&[0, 0, 300, 2_000])).ok().filter(|depth| *depth > 0);
        let traders = overrides.traders_max.map_or(traders, |max| traders.min(max.max(1)));
        let of_exchanges = &mut SimRandom::new(seed ^ 0x11fe_0a11_ce55_77b3);
        let homes = homes(of_exchanges, traders, overrides.live);
        let between_exchange_faults = Nanos::from_millis(100 + of_exchanges.below(1_500));
        // Of a stream of its own, too: it came later.
        let real_money = SimRandom::new(seed ^ 0x3a1b_7e55_90c4_d20f).one_in(REAL_MONEY_ONE_IN);
        let environment = if real_money { Environment::Mainnet } else { Environment::Testnet };
        let live = [VenueKind::Binance, VenueKind::Bybit].into_iter().filter(|venue| homes.contains(venue));
        let rules = Rules {
            live: live.fold(LiveVenues::default(), |live, venue| live.with(venue, environment)),
            cooldown: pick(&[0, 1, 10, 7_200]) * SECOND,
            positions_max: usize::try_from(pick(&[1, 2, 2, 3])).expect("small"),
            source_opens_max: u32::try_from(pick(&[5, 600, 600])).expect("small"),
            fan_out_span: pick(&[2, 120, 120]) * SECOND,
            login_lock_span: pick(&[2, 5, 20]) * SECOND,
            session_span: pick(&[10, 43_200, 43_200]) * SECOND,
            ..Rules::default()
        };
        // Accounts on exchanges take a second until they may trade, and are to be busy then.
        let live = !homes.is_empty();
        let cooldown = if live { rules.cooldown % (60 * SECOND) } else { rules.cooldown };
        let rules = Rules { cooldown, ..rules };
        let load = if live { load.max(LIVE_LOAD_MIN) } else { load };
        let think = if live { think.min(LIVE_THINK_MAX) } else { think };
        let mut mix = Mix::draw(random, live.then_some(&mut *of_exchanges));
        // Nothing is held against who forgets in a restart what was spent, for as long as it counts; so some do not restart.
        let mut between_exchange_faults = between_exchange_faults;
        if live && of_exchanges.one_in(LASTING_ONE_IN) {
            ENDS.iter().for_each(|fault| mix.without(*fault));
            if of_exchanges.one_in(2) {
                // And in some of them the weather is fair between two faults.
                between_exchange_faults = Nanos(between_exchange_faults.0 * FAIR_WEATHER);
            }
        }
        for fault in &overrides.without {
            mix.without(*fault);
        }
        let seconds = |max: u32| Nanos::from_millis(u64::from(max) * 1_000);
        Self {
            seed,
            shards,
            traders,
            publishers,
            load: overrides.load_seconds_max.map_or(load, |max| load.min(seconds(max))),
            mix,
            between_faults,
            between_exchange_faults,
            think,
            poll_ns_max,
            disk_ns_max,
            segment_bytes,
            snapshot_log_bytes,
            symbols,
            depth_usdt,
            rules,
            homes,
            environment,
        }
    }

    /// A stream of random numbers for one purpose: what one draws does not move another.
    pub(super) fn random(&self, purpose: u64) -> SimRandom {
        SimRandom::new(
            self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ purpose.wrapping_mul(0xd6e8_feb8_6659_fd93),
        )
    }
}
