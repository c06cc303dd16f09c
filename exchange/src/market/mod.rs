//! Where the paper venue's prices come from: tracks of ticks, merged by time.
//!
//! **Runs on**: any shard; each shard plays its own [`Market`], a clone, whose file data is shared.
//! **Owns**: the place in each track. **Invariants**: the same tracks give the same ticks with the same numbers to
//! every clone; time never goes back; ties go to the track added first. **Bounds**: [`ROWS_MAX`] rows per file.
//! **Never**: reads a file (text goes in), asks for the time.

pub(crate) mod decimal;
pub mod file;
mod generator;
mod pace;

use std::collections::VecDeque;

use engine::core::fixed::Price;
use engine::core::ids::Timestamp;
use engine::core::instrument::Symbol;

pub use file::{CsvError, MarketFile, Problem, ROWS_MAX, symbol_from_file_name};
pub use generator::{GeneratedSymbol, Generator};
pub use pace::{Gate, GateSeat, Pace, RealTime, Speed};

/// One price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// Number of this tick within the whole market, from 1.
    pub number: u64,
    /// Of which symbol.
    pub symbol: Symbol,
    /// The market's time of it.
    pub venue_at: Timestamp,
    /// The price, on the instrument's tick.
    pub price: Price,
    /// Whether the price moved here through everything in between. Otherwise it jumped.
    pub continuous: bool,
}

/// A tick before it has its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TrackTick {
    symbol: Symbol,
    venue_at: Timestamp,
    price: Price,
    continuous: bool,
}

#[derive(Clone, Debug)]
enum Source {
    File { file: MarketFile, symbol: Symbol, grid: Price, next: usize },
    Generated { generator: Generator, next: u64 },
    Handed(VecDeque<TrackTick>),
}

#[derive(Clone, Debug)]
struct Track {
    source: Source,
    head: Option<TrackTick>,
}

impl Track {
    fn new(source: Source) -> Self {
        let mut track = Self { source, head: None };
        track.load();
        track
    }

    /// Reads the tick at `next` into `head`.
    fn load(&mut self) {
        self.head = match &self.source {
            Source::File { file, symbol, grid, next } => file.tick(*next, *symbol, *grid),
            Source::Generated { generator, next } => Some(generator.tick(*next)),
            Source::Handed(queue) => queue.front().copied(),
        };
    }

    fn advance(&mut self) {
        match &mut self.source {
            Source::File { next, .. } => *next += 1,
            Source::Generated { next, .. } => *next += 1,
            Source::Handed(queue) => drop(queue.pop_front()),
        }
        self.load();
    }
}

/// Tracks of prices, merged by time, with the place up to which they are played.
#[derive(Clone, Debug, Default)]
pub struct Market {
    tracks: Vec<Track>,
    played: u64,
}

impl Market {
    /// A market without prices.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A market of generated prices, which never ends.
    #[must_use]
    pub fn generated(generator: Generator) -> Self {
        Self { tracks: vec![Track::new(Source::Generated { generator, next: 0 })], played: 0 }
    }

    /// Adds the prices of a file, rounded to the nearest multiple of `tick` (half a tick up).
    ///
    /// # Errors
    /// [`Problem::BelowTick`] when a price rounds to zero, with the file and the line.
    pub fn add_file(&mut self, file: &MarketFile, symbol: Symbol, tick: Price) -> Result<(), CsvError> {
        file.check_grid(tick)?;
        self.tracks.push(Track::new(Source::File { file: file.clone(), symbol, grid: tick, next: 0 }));
        Ok(())
    }

    /// The symbols that have prices here, in the order of their tracks.
    #[must_use]
    pub fn symbols(&self) -> Vec<Symbol> {
        self.tracks
            .iter()
            .flat_map(|track| match &track.source {
                Source::File { symbol, .. } => vec![*symbol],
                Source::Generated { generator, .. } => generator.symbols().collect(),
                // Only symbols that are listed are handed in.
                Source::Handed(_) => Vec::new(),
            })
            .collect()
    }

    /// Puts a price in by hand. Those handed in play in their order, before what the other tracks have at the same time.
    pub(crate) fn hand(&mut self, symbol: Symbol, price: Price, at: Timestamp, continuous: bool) {
        let tick = TrackTick { symbol, venue_at: at, price, continuous };
        match self.tracks.first_mut() {
            Some(Track { source: Source::Handed(queue), head }) => {
                queue.push_back(tick);
                *head = queue.front().copied();
            }
            _ => self.tracks.insert(0, Track::new(Source::Handed(VecDeque::from([tick])))),
        }
    }

    fn earliest(&self) -> Option<usize> {
        let mut best: Option<(usize, Timestamp)> = None;
        for (index, track) in self.tracks.iter().enumerate() {
            if let Some(head) = track.head
                && best.is_none_or(|(_, at)| head.venue_at < at)
            {
                best = Some((index, head.venue_at));
            }
        }
        best.map(|(index, _)| index)
    }

    /// The next tick, without playing it; `None` at the end.
    #[must_use]
    pub fn peek(&self) -> Option<Tick> {
        let head = self.tracks[self.earliest()?].head?;
        Some(Tick {
            number: self.played + 1,
            symbol: head.symbol,
            venue_at: head.venue_at,
            price: head.price,
            continuous: head.continuous,
        })
    }

    /// Plays and returns the next tick; `None` at the end.
    pub fn advance(&mut self) -> Option<Tick> {
        let index = self.earliest()?;
        let tick = self.peek()?;
        self.tracks[index].advance();
        self.played += 1;
        Some(tick)
    }

    /// How many ticks have been played.
    #[must_use]
    pub const fn played(&self) -> u64 {
        self.played
    }

    /// Plays every tick up to and including `through`, telling `seen` at least the last one of each symbol. Generated
    /// tracks are skipped in one step, file tracks tick by tick.
    pub fn skip_through(&mut self, through: Timestamp, seen: &mut impl FnMut(Tick)) {
        for track in &mut self.tracks {
            if let Source::Generated { generator, next } = &mut track.source {
                // Leaves the last step at or before `through` to the loop below, so that its prices are seen.
                let target = generator.first_of_last_step(through);
                if target > *next {
                    self.played += target - *next;
                    *next = target;
                    track.load();
                }
            }
        }
        while self.peek().is_some_and(|tick| tick.venue_at <= through) {
            if let Some(tick) = self.advance() {
                seen(tick);
            }
        }
    }

    /// Plays the next `ticks` ticks (or all there are), telling `seen` each.
    pub fn skip_ticks(&mut self, ticks: u64, seen: &mut impl FnMut(Tick)) {
        for _ in 0..ticks {
            let Some(tick) = self.advance() else { break };
            seen(tick);
        }
    }
}
