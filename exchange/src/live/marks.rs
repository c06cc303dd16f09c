//! The mark prices of one exchange, shared by the whole process: one connector feeds them, the shards read them, without locks.
//!
//! **Runs on**: any shard. **Owns**: the newest mark of each symbol, and whose turn it is to feed.
//! **Invariants**: the exchange's own time decides: a mark never gives way to one of an older event, unless it is too old to
//! be used itself. Who reads sees price and time of one mark, never of two, and never waits for whoever writes. One seat feeds
//! at a time; the turn of one that falls silent is over after [`TURN_SPAN`].
//! **Bounds**: [`SYMBOLS_MAX`] symbols; one that finds no place has no price, which keeps entries away from it.
//! **Never**: a lock, an allocation after the start, a clock.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU16, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, OnceLock};

use engine::core::fixed::Price;
use engine::core::ids::Timestamp;
use engine::core::instrument::Symbol;

use super::protocol::{MarkView, Millis};

/// Symbols of one exchange: three times what either lists today.
pub const SYMBOLS_MAX: usize = 2_048;
/// Places of the table: half of them stay empty, so that a look-up ends after a place or two.
const PLACES: usize = 2 * SYMBOLS_MAX;
/// For how long a turn to feed lasts unless it is renewed, in microseconds: six looks of the feeder.
pub const TURN_SPAN: u64 = 3_000_000;
/// A mark price that is older is not used, in microseconds.
pub const MARK_AGE_MAX: u64 = 15_000_000;
/// How often a reader looks again when marks were written while it read: each needs two writes within a few nanoseconds.
const READS_MAX: usize = 64;

const _: () = assert!(PLACES.is_power_of_two(), "a place is found by a mask");
const _: () =
    assert!(TURN_SPAN * 4 < MARK_AGE_MAX, "a feeder that is gone is replaced before its marks are stale");

/// Whoever takes part in a board; never used twice by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat(u16);

/// A mark price as it is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The price.
    pub price: Price,
    /// The exchange's time of it.
    pub at: Millis,
    /// That time on this host's clock: what its age is counted from.
    pub told_at: Timestamp,
}

impl Mark {
    /// Whether it may still be used.
    #[must_use]
    pub const fn is_usable(&self, now: Timestamp) -> bool {
        now.0.saturating_sub(self.told_at.0) <= MARK_AGE_MAX
    }
}

/// What became of a mark that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is held now.
    Yes,
    /// One of a newer event is held.
    Older,
    /// There is no place for another symbol, or another writer was at this one.
    NoPlace,
}

/// One of the two copies of a place: while one is written, the other is read.
#[derive(Debug, Default)]
struct Copy2 {
    price: AtomicI64,
    at: AtomicU64,
    told_at: AtomicU64,
}

#[derive(Debug, Default)]
struct Place {
    symbol: OnceLock<Symbol>,
    /// How many marks were written; the last bit names the copy that holds. Zero: none yet.
    written: AtomicU64,
    is_being_written: AtomicBool,
    copies: [Copy2; 2],
}

impl Place {
    fn copy(&self, written: u64) -> &Copy2 {
        &self.copies[usize::from(written % 2 == 1)]
    }

    fn read(&self) -> Option<Mark> {
        for _ in 0..READS_MAX {
            let written = self.written.load(Ordering::Acquire);
            if written == 0 {
                return None;
            }
            let copy = self.copy(written);
            let mark = Mark {
                price: Price::from_units(copy.price.load(Ordering::Relaxed)),
                at: Millis(copy.at.load(Ordering::Relaxed)),
                told_at: Timestamp(copy.told_at.load(Ordering::Relaxed)),
            };
            fence(Ordering::Acquire);
            // The copy is written again only after another mark was told.
            if self.written.load(Ordering::Relaxed) == written {
                return Some(mark);
            }
        }
        None
    }

    /// Writes what `decide` makes of the mark that is held.
    fn write(&self, decide: impl FnOnce(Option<Mark>) -> Option<Mark>) -> Taken {
        if self.is_being_written.swap(true, Ordering::Acquire) {
            return Taken::NoPlace;
        }
        let taken = match decide(self.read()) {
            None => Taken::Older,
            Some(mark) => {
                let next = self.written.load(Ordering::Relaxed) + 1;
                let copy = self.copy(next);
                // Whoever sees a value of this copy sees that the other one holds.
                fence(Ordering::Release);
                copy.price.store(mark.price.units(), Ordering::Relaxed);
                copy.at.store(mark.at.0, Ordering::Relaxed);
                copy.told_at.store(mark.told_at.0, Ordering::Relaxed);
                self.written.store(next, Ordering::Release);
                Taken::Yes
            }
        };
        self.is_being_written.store(false, Ordering::Release);
        taken
    }
}

/// See the module's head.
#[derive(Debug)]
pub struct MarkBoard {
    places: Box<[Place]>,
    used: AtomicUsize,
    seats: AtomicU16,
    /// Whose turn it is (the lower 16 bits) and until which millisecond.
    turn: AtomicU64,
    /// The newest `told_at` of all, in microseconds.
    newest: AtomicU64,
}

impl MarkBoard {
    /// A board without marks.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            places: (0..PLACES).map(|_| Place::default()).collect(),
            used: AtomicUsize::new(0),
            seats: AtomicU16::new(0),
            turn: AtomicU64::new(0),
            newest: AtomicU64::new(0),
        })
    }

    /// A seat at the board. There are 65,535 of them: a process has one for each shard and egress address.
    #[must_use]
    pub fn join(&self) -> Seat {
        Seat(self.seats.fetch_add(1, Ordering::Relaxed).wrapping_add(1))
    }

    /// How many have joined.
    #[must_use]
    pub fn seats(&self) -> u16 {
        self.seats.load(Ordering::Relaxed)
    }

    /// Takes the turn to feed, or renews it; whether it is this seat's now.
    pub fn take_turn(&self, seat: Seat, now: Timestamp) -> bool {
        let turn = self.turn.load(Ordering::Relaxed);
        let is_free = turn & 0xFFFF == u64::from(seat.0) || turn >> 16 <= now.millis();
        let mine = (now.plus_micros(TURN_SPAN).millis() << 16) | u64::from(seat.0);
        // Acquire and release: what the one before has written is seen by whoever follows it.
        is_free && self.turn.compare_exchange(turn, mine, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Gives the turn back, if it is this seat's.
    pub fn leave(&self, seat: Seat) {
        let turn = self.turn.load(Ordering::Relaxed);
        if turn & 0xFFFF == u64::from(seat.0) {
            // One that was taken over in between stays.
            let _ = self.turn.compare_exchange(turn, 0, Ordering::AcqRel, Ordering::Relaxed);
        }
    }

    /// Takes a mark, if it is of an event at least `newer_by` milliseconds newer than the one that is held, or that one is
    /// not usable any more. `told_at` is its time on this host's clock.
    pub fn offer(&self, now: Timestamp, view: &MarkView, told_at: Timestamp, newer_by: u64) -> Taken {
        if !view.mark.is_positive() {
            return Taken::Older;
        }
        let Some(place) = self.place_for(view.symbol) else { return Taken::NoPlace };
        let mark = Mark { price: view.mark, at: view.at, told_at };
        let taken = place.write(|held| {
            let gives_way = |held: Mark| {
                let is_newer = view.at.0 >= held.at.0.saturating_add(newer_by);
                is_newer || !held.is_usable(now)
            };
            held.is_none_or(gives_way).then_some(mark)
        });
        if taken == Taken::Yes {
            self.newest.fetch_max(told_at.0, Ordering::Relaxed);
        }
        taken
    }

    /// The newest mark of a symbol, however old; O(1).
    #[must_use]
    pub fn get(&self, symbol: Symbol) -> Option<Mark> {
        let start = start_of(symbol);
        for step in 0..PLACES {
            let place = &self.places[(start + step) % PLACES];
            match place.symbol.get() {
                Some(held) if *held == symbol => return place.read(),
                Some(_) => {}
                None => return None,
            }
        }
        None
    }

    /// When the newest of all marks was told, on this host's clock; `None` before the first.
    #[must_use]
    pub fn newest(&self) -> Option<Timestamp> {
        let newest = self.newest.load(Ordering::Relaxed);
        (newest > 0).then_some(Timestamp(newest))
    }

    fn place_for(&self, symbol: Symbol) -> Option<&Place> {
        let start = start_of(symbol);
        for step in 0..PLACES {
            let place = &self.places[(start + step) % PLACES];
            match place.symbol.get() {
                Some(held) if *held == symbol => return Some(place),
                Some(_) => {}
                None => {
                    if self.used.load(Ordering::Relaxed) >= SYMBOLS_MAX {
                        return None;
                    }
                    if place.symbol.set(symbol).is_ok() {
                        self.used.fetch_add(1, Ordering::Relaxed);
                        return Some(place);
                    }
                    if place.symbol.get() == Some(&symbol) {
                        return Some(place);
                    }
                }
            }
        }
        None
    }
}

/// Where the look-up of a symbol begins: FNV-1a over its bytes.
fn start_of(symbol: Symbol) -> usize {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in symbol.as_str().bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    usize::try_from((hash ^ (hash >> 32)) & (PLACES as u64 - 1)).expect("below the number of places")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000_000);

    fn symbol(text: &str) -> Symbol {
        Symbol::new(text).expect("a symbol")
    }

    fn view(name: &str, units: i64, at: u64) -> MarkView {
        MarkView { symbol: symbol(name), mark: Price::from_units(units), at: Millis(at) }
    }

    #[test]
    fn the_exchanges_own_time_decides_which_mark_is_held() {
        let board = MarkBoard::new();
        let offer = |units, at| board.offer(NOW, &view("BTCUSDT", units, at), NOW, 0);
        let held = || board.get(symbol("BTCUSDT")).map(|mark| (mark.price.units(), mark.at.0));
        assert_eq!(held(), None);
        assert_eq!((offer(5, 1_000), held()), (Taken::Yes, Some((5, 1_000))));
        assert_eq!((offer(6, 999), held()), (Taken::Older, Some((5, 1_000))), "an older event came later");
        assert_eq!(
            (offer(7, 1_000), held()),
            (Taken::Yes, Some((7, 1_000))),
            "told again within a millisecond"
        );
        assert_eq!((offer(0, 2_000), offer(-1, 2_000)), (Taken::Older, Taken::Older), "no prices (F9)");
        // A list's time is that of its answer, so it has to be newer by more than its prices may be older.
        let listed = |units, at| board.offer(NOW, &view("BTCUSDT", units, at), NOW, 1_000);
        assert_eq!((listed(8, 1_999), held()), (Taken::Older, Some((7, 1_000))));
        assert_eq!((listed(8, 2_000), held()), (Taken::Yes, Some((8, 2_000))));
    }

    #[test]
    fn a_mark_that_cannot_be_used_any_more_gives_way_to_any() {
        let board = MarkBoard::new();
        board.offer(NOW, &view("BTCUSDT", 5, 9_000_000_000_000), NOW, 0);
        let later = NOW.plus_micros(MARK_AGE_MAX);
        assert_eq!(board.offer(later, &view("BTCUSDT", 6, 7), later, 0), Taken::Older);
        let later = later.plus_micros(1);
        assert!(!board.get(symbol("BTCUSDT")).expect("held").is_usable(later));
        assert_eq!(board.offer(later, &view("BTCUSDT", 6, 7), later, 0), Taken::Yes);
    }

    #[test]
    fn one_seat_feeds_and_one_that_falls_silent_is_followed() {
        let board = MarkBoard::new();
        let (a, b) = (board.join(), board.join());
        assert_ne!(a, b);
        assert!(board.take_turn(a, NOW) && !board.take_turn(b, NOW));
        let later = NOW.plus_micros(TURN_SPAN - 1_000);
        assert!(!board.take_turn(b, later) && board.take_turn(a, later), "renewed");
        assert!(!board.take_turn(b, NOW.plus_micros(TURN_SPAN)));
        board.leave(b);
        assert!(!board.take_turn(b, later), "nobody leaves for another");
        assert!(board.take_turn(b, later.plus_micros(TURN_SPAN)), "it fell silent");
        assert!(!board.take_turn(a, later.plus_micros(TURN_SPAN)));
        board.leave(b);
        assert!(board.take_turn(a, later.plus_micros(TURN_SPAN)));
    }

    #[test]
    fn a_full_board_keeps_what_it_has_and_has_no_price_for_others() {
        let board = MarkBoard::new();
        for n in 0..SYMBOLS_MAX as u64 {
            assert_eq!(board.offer(NOW, &view(&format!("S{n}USDT"), 1, n), NOW, 0), Taken::Yes);
        }
        assert_eq!(board.offer(NOW, &view("MOREUSDT", 1, 1), NOW, 0), Taken::NoPlace);
        assert_eq!(board.get(symbol("MOREUSDT")), None);
        assert_eq!(board.offer(NOW, &view("S7USDT", 2, 8), NOW, 0), Taken::Yes);
        for n in (0..SYMBOLS_MAX as u64).filter(|n| *n != 7) {
            assert_eq!(board.get(symbol(&format!("S{n}USDT"))).map(|mark| mark.at), Some(Millis(n)));
        }
    }

    #[test]
    fn price_and_time_are_always_of_one_mark() {
        let board = MarkBoard::new();
        let name = symbol("BTCUSDT");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 1..200_000_u64 {
                    let units = i64::try_from(n).expect("small");
                    let _ = board.offer(NOW, &view("BTCUSDT", units, n), Timestamp(n), 0);
                }
            });
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut last = 0;
                    while last < 199_999 {
                        let Some(mark) = board.get(name) else { continue };
                        assert_eq!(
                            (mark.price.units().unsigned_abs(), mark.told_at.0),
                            (mark.at.0, mark.at.0)
                        );
                        assert!(mark.at.0 >= last, "never back");
                        last = mark.at.0;
                    }
                });
            }
        });
    }
}
