//! When a market's next tick may be played: by the clock, and within a gate that all shards share.
//!
//! **Runs on**: the pace on its shard; the [`Gate`] is shared by all of them and whoever opens it.
//! **Invariants**: lock-free; every shard that has played all it may holds at the very same tick.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use engine::core::ids::Timestamp;

use super::Tick;

/// A market's speed as a ratio: 2/1 plays two market seconds in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speed {
    /// Market time, 1 or more.
    pub market: u32,
    /// Real time, 1 or more.
    pub real: u32,
}

impl Speed {
    /// As fast as reality.
    pub const REAL: Self = Self { market: 1, real: 1 };
}

/// Ticks are due when the shard's clock says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RealTime {
    /// The market's time ...
    pub market_from: Timestamp,
    /// ... that is due at this time of the shard's clock. The same on every shard.
    pub real_from: Timestamp,
    /// How fast it goes on from there.
    pub speed: Speed,
}

impl RealTime {
    /// When a tick of this market time is due by the shard's clock.
    #[must_use]
    pub fn due(&self, venue_at: Timestamp) -> Timestamp {
        let span = u128::from(venue_at.micros_since(self.market_from)) * u128::from(self.speed.real)
            / u128::from(self.speed.market.max(1));
        self.real_from.plus_micros(u64::try_from(span).unwrap_or(u64::MAX))
    }
}

/// How fast a market plays. Without a clock: as fast as it is polled. Without a gate: without a stop.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    /// By the shard's clock.
    pub real_time: Option<RealTime>,
    /// Within a gate. The ticks of the market's very first instant are always played.
    pub gate: Option<GateSeat>,
}

impl Pace {
    /// How long a held gate may go unnoticed, in microseconds: opening it wakes nobody.
    pub const GATE_LOOK_MICROS: u64 = 1_000;

    /// When `tick` may be played, seen at `now`: at or before `now` means at once.
    pub(crate) fn due(&self, now: Timestamp, tick: &Tick) -> Timestamp {
        let by_clock = self.real_time.map_or(Timestamp(0), |clock| clock.due(tick.venue_at));
        match &self.gate {
            Some(seat) if !seat.gate.admits(tick.number) => {
                by_clock.max(now.plus_micros(Self::GATE_LOOK_MICROS))
            }
            _ => by_clock,
        }
    }
}

/// One shard's own cache line of progress.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Progress {
    played: AtomicU64,
    finished: AtomicBool,
}

/// Holds the markets of all shards at one tick until it is opened. Starts closed.
#[derive(Debug)]
pub struct Gate {
    allowed: AtomicU64,
    shards: Box<[Progress]>,
}

impl Gate {
    /// A closed gate for this many shards.
    #[must_use]
    pub fn new(shards: usize) -> Arc<Self> {
        Arc::new(Self {
            allowed: AtomicU64::new(0),
            shards: (0..shards).map(|_| Progress::default()).collect(),
        })
    }

    /// The place of one shard, for its [`Pace`].
    ///
    /// # Panics
    /// When there is no such shard.
    #[must_use]
    pub fn seat(self: &Arc<Self>, shard: usize) -> GateSeat {
        assert!(shard < self.shards.len(), "shard {shard} of a gate for {}", self.shards.len());
        GateSeat { gate: Arc::clone(self), shard }
    }

    /// Lets every shard play up to tick number `number`; never takes back.
    pub fn allow_through(&self, number: u64) {
        self.allowed.fetch_max(number, Ordering::Release);
    }

    /// Lets every shard play `ticks` more than it may now.
    pub fn allow(&self, ticks: u64) {
        let more = |allowed: u64| Some(allowed.saturating_add(ticks));
        // The closure never declines, so there is no error to handle.
        let _ = self.allowed.fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
    }

    /// Opens the gate for good.
    pub fn release_all(&self) {
        self.allow_through(u64::MAX);
    }

    fn admits(&self, number: u64) -> bool {
        number <= self.allowed.load(Ordering::Acquire)
    }

    /// The number of the last tick that this shard played and whose reports it handed out; 0 for no such shard.
    #[must_use]
    pub fn played(&self, shard: usize) -> u64 {
        self.shards.get(shard).map_or(0, |progress| progress.played.load(Ordering::Acquire))
    }

    /// Whether every shard has played its market to the end and handed out the reports.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.shards.iter().all(|progress| progress.finished.load(Ordering::Acquire))
    }
}

/// One shard's place at a [`Gate`].
#[derive(Clone, Debug)]
pub struct GateSeat {
    gate: Arc<Gate>,
    shard: usize,
}

impl GateSeat {
    pub(crate) fn publish(&self, played: u64, finished: bool) {
        let progress = &self.gate.shards[self.shard];
        progress.played.store(played, Ordering::Release);
        progress.finished.store(finished, Ordering::Release);
    }
}
