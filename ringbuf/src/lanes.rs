//! Priority lanes between one producer and one consumer: `N` rings, drained by weight.
//!
//! **Runs on**: one thread at each end. **Owns**: its rings.
//! **Invariants**: each lane is first in, first out; saturated lanes are served in the ratio of their weights; no
//! lane starves; an empty lane costs the others nothing.
//! **Bounds**: each lane has its own capacity; a full one gives the item back and names itself ([`LaneFull`]), and the
//! others still take theirs.
//! **Never**: allocates after construction, waits.

use std::fmt;

use crate::spsc::{Consumer, Full, Producer, ring};
use crate::turns::Turns;

/// A lane was full: which one, and the item back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LaneFull<T> {
    /// The lane, from zero.
    pub lane: usize,
    /// The item that found no slot.
    pub item: T,
}

impl<T> fmt::Debug for LaneFull<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LaneFull").field("lane", &self.lane).finish_non_exhaustive()
    }
}

impl<T> fmt::Display for LaneFull<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lane {} is full: refuse or keep the item, or give the lane more capacity", self.lane)
    }
}

impl<T> std::error::Error for LaneFull<T> {}

/// Makes `N` lanes with `capacities` (each rounded up to a power of two) that are drained by `weights`. Lane 0 comes
/// first within a round.
///
/// # Panics
/// When there is no lane, or a capacity or a weight is zero.
#[must_use]
pub fn lanes<T, const N: usize>(
    capacities: [usize; N],
    weights: [u32; N],
) -> (LaneProducer<T, N>, LaneConsumer<T, N>) {
    let turns = Turns::new(weights);
    let mut consumers = Vec::with_capacity(N);
    let producers = capacities.map(|capacity| {
        let (producer, consumer) = ring(capacity);
        consumers.push(consumer);
        producer
    });
    let mut consumers = consumers.into_iter();
    let consumers = std::array::from_fn(|_| consumers.next().expect("one consumer was made per lane"));
    (LaneProducer { lanes: producers }, LaneConsumer { lanes: consumers, turns })
}

/// The writing end of the lanes.
pub struct LaneProducer<T, const N: usize> {
    lanes: [Producer<T>; N],
}

impl<T, const N: usize> LaneProducer<T, N> {
    /// Appends `item` to `lane`.
    ///
    /// # Errors
    /// [`LaneFull`], with the lane and the item, when that lane has no free slot.
    ///
    /// # Panics
    /// When there is no such lane.
    #[inline]
    pub fn push(&mut self, lane: usize, item: T) -> Result<(), LaneFull<T>> {
        self.lanes[lane].push(item).map_err(|Full(item)| LaneFull { lane, item })
    }

    /// Appends items to `lane` while it has room and returns how many; takes none that has no slot.
    #[inline]
    pub fn push_batch(&mut self, lane: usize, items: &mut impl Iterator<Item = T>) -> usize {
        self.lanes[lane].push_batch(items)
    }

    /// Free slots of `lane`; they stay free until this end uses them.
    #[inline]
    #[must_use]
    pub fn free(&self, lane: usize) -> usize {
        self.lanes[lane].free()
    }

    /// Whether `n` slots of `lane` are free; looks at the consumer only when it must.
    #[inline]
    #[must_use]
    pub fn has_room(&self, lane: usize, n: usize) -> bool {
        self.lanes[lane].has_room(n)
    }

    /// Slots of `lane`.
    #[inline]
    #[must_use]
    pub fn capacity(&self, lane: usize) -> usize {
        self.lanes[lane].capacity()
    }

    /// Whether the consumer is gone.
    #[inline]
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        // All lanes of one end are dropped together, the last one last.
        self.lanes[N - 1].is_abandoned()
    }
}

impl<T, const N: usize> fmt::Debug for LaneProducer<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LaneProducer").field("lanes", &self.lanes).finish()
    }
}

/// The reading end of the lanes.
pub struct LaneConsumer<T, const N: usize> {
    lanes: [Consumer<T>; N],
    turns: Turns<N>,
}

impl<T, const N: usize> LaneConsumer<T, N> {
    /// Takes up to `max` items by weight, as `take(lane, item)`, and returns how many. The credit of a round lasts
    /// over calls.
    #[inline]
    pub fn pop_batch(&mut self, max: usize, mut take: impl FnMut(usize, T)) -> usize {
        let lanes = &mut self.lanes;
        self.turns.take(max, |lane, want| lanes[lane].pop_batch(want, |item| take(lane, item)))
    }

    /// Takes the next item by weight.
    #[inline]
    pub fn pop(&mut self) -> Option<(usize, T)> {
        let mut next = None;
        self.pop_batch(1, |lane, item| next = Some((lane, item)));
        next
    }

    /// Items in `lane`, by a fresh look at the producer.
    #[inline]
    #[must_use]
    pub fn len(&self, lane: usize) -> usize {
        self.lanes[lane].len()
    }

    /// Whether all lanes are empty, by a fresh look at each: the question to ask after
    /// [`crate::Doorbell::announce`].
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lanes.iter().all(Consumer::is_empty)
    }

    /// Whether the producer is gone. Ask before finding the lanes empty: what it pushed is still there.
    #[inline]
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.lanes[N - 1].is_abandoned()
    }
}

impl<T, const N: usize> fmt::Debug for LaneConsumer<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LaneConsumer").field("lanes", &self.lanes).finish()
    }
}
