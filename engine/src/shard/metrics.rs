//! What a shard measures of itself: counters, and a histogram per stage and lane.
//!
//! **Runs on**: its shard, which alone writes. A reader asks the shard for a copy of the counters or takes the histograms
//! (the shard goes on with empty ones), so nothing is shared and nobody waits.
//! **Bounds**: histograms from 1 ns to 60 s at two significant digits; longer is counted as 60 s.

use hdrhistogram::Histogram;

use super::lanes::Lane;
use super::limits::LANES;
use crate::seam::Nanos;

/// A stage on a command's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Waiting in its lane.
    Queue,
    /// Decide, apply and encode.
    Decide,
    /// From the record's append to its flush.
    Commit,
    /// From the arrival on the owner's shard to the durable answer.
    Total,
}

impl Stage {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Queue, Self::Decide, Self::Commit, Self::Total];

    /// Its name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Decide => "decide",
            Self::Commit => "commit",
            Self::Total => "total",
        }
    }

    const fn place(self) -> usize {
        match self {
            Self::Queue => 0,
            Self::Decide => 1,
            Self::Commit => 2,
            Self::Total => 3,
        }
    }
}

/// Where a command came from, for measuring: the lanes, and what is worked outside of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Track {
    /// A queued close.
    Close,
    /// A lane.
    Lane(Lane),
    /// A subscriber's part of a fan-out.
    FanOut,
    /// A venue report.
    Report,
}

/// Number of tracks.
pub const TRACKS: usize = LANES + 3;

impl Track {
    /// All of them.
    pub const ALL: [Self; TRACKS] = [
        Self::Close,
        Self::Lane(Lane::High),
        Self::Lane(Lane::Medium),
        Self::Lane(Lane::Low),
        Self::Lane(Lane::Background),
        Self::FanOut,
        Self::Report,
    ];

    /// Its name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Close => "close",
            Self::Lane(lane) => lane.name(),
            Self::FanOut => "fan_out",
            Self::Report => "report",
        }
    }

    const fn place(self) -> usize {
        match self {
            Self::Close => 0,
            Self::Lane(lane) => 1 + lane.place(),
            Self::FanOut => 1 + LANES,
            Self::Report => 2 + LANES,
        }
    }
}

/// The longest time that is told apart, in nanoseconds.
const HIGHEST_NANOS: u64 = 60_000_000_000;

/// A histogram of nanoseconds as the shards use it.
#[must_use]
pub fn nanos_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, HIGHEST_NANOS, 2).expect("constant bounds are valid")
}

/// One histogram per stage and track.
#[derive(Clone, Debug)]
pub struct Histograms {
    cells: Vec<Histogram<u64>>,
}

impl Default for Histograms {
    fn default() -> Self {
        Self { cells: (0..Stage::ALL.len() * TRACKS).map(|_| nanos_histogram()).collect() }
    }
}

impl Histograms {
    /// Records a duration.
    pub fn record(&mut self, stage: Stage, track: Track, span: Nanos) {
        self.cells[stage.place() * TRACKS + track.place()].saturating_record(span.0.max(1));
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, stage: Stage, track: Track) -> &Histogram<u64> {
        &self.cells[stage.place() * TRACKS + track.place()]
    }

    /// Adds another shard's.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.cells.iter_mut().zip(&other.cells) {
            mine.add(theirs).expect("all histograms have the same bounds");
        }
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// Counts since the start.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)+
        }

        impl Counters {
            /// Name and value of each.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name)),+].into_iter()
            }

            /// Adds another shard's.
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)+
            }
        }
    };
}

counters! {
    /// Commands decided.
    commands,
    /// Commands refused by the core.
    refused,
    /// Questions answered.
    reads,
    /// Records appended to the log.
    records,
    /// Events in them.
    events,
    /// Signals accepted.
    signals,
    /// Signals answered as repeats.
    signals_repeated,
    /// Subscribers decided on.
    offers,
    /// Orders intended for them.
    intents,
    /// Subscribers skipped with a reason.
    skipped,
    /// Orders handed to a venue, protective and closing ones included.
    orders_sent,
    /// Fills booked.
    fills,
    /// Positions closed.
    positions_closed,
    /// Venue reports taken.
    reports,
    /// Venue reports that told nothing new.
    reports_ignored,
    /// Asks refused because a lane was full.
    lane_full,
    /// Asks refused because too many were under way to another shard.
    mesh_full,
    /// Asks refused because they waited too long.
    deadline_exceeded,
    /// Asks refused for a wrong session or secret.
    unauthorized,
    /// Closes that joined one already queued.
    closes_merged,
    /// Asks that came from another shard.
    remote_asks,
    /// Turns of the loop.
    turns,
    /// Times the loop parked.
    parks,
    /// Times the venue's queue was full.
    venue_busy,
    /// Orders without an answer in time.
    orders_unanswered,
    /// Closes that a venue has refused for an hour or longer, counted again at each further refusal.
    closes_refused_long,
    /// Snapshots completed.
    snapshots,
}

/// A shard's state of affairs.
#[derive(Clone, Debug, Default)]
pub struct ShardStatus {
    /// Which shard.
    pub shard: u16,
    /// Counts since the start.
    pub counters: Counters,
    /// Tasks waiting, by lane.
    pub lanes: [usize; LANES],
    /// Closes waiting.
    pub closes: usize,
    /// Fan-outs at work or waiting.
    pub fan_outs: usize,
    /// Answers and effects that wait for a flush.
    pub uncommitted: usize,
    /// Orders sent and not answered.
    pub orders_in_flight: usize,
    /// Effects that wait for the venue's queue.
    pub effects_waiting: usize,
    /// Users.
    pub users: usize,
    /// Positions that are not flat.
    pub positions_open: usize,
    /// Last record taken.
    pub lsn: u64,
    /// Last record durable.
    pub durable_lsn: u64,
}
