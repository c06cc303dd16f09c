//! The mesh: a ring per lane from every shard to every other.
//!
//! **Runs on**: one [`Port`] per shard. **Owns**: `shards × (shards − 1) × LANES` rings.
//! **Invariants**: first in, first out per (from, to, lane); lanes are served by weight over all senders together;
//! within a lane the senders take turns, each turn at most the lane's weight, so that no sender starves another.
//! **Bounds**: `capacities[lane]` slots per ring, each rounded up to a power of two: the memory of the mesh is
//! `shards × (shards − 1) × Σ capacities × size_of::<T>()`. A full ring gives the item back.
//! **Never**: allocates after construction, waits, or carries anything from a shard to itself.

use std::fmt;

use crate::spsc::{Consumer, Full, Producer, ring};
use crate::turns::Turns;

/// Lanes between two shards: high, medium, low, background.
pub const LANES: usize = 4;

/// How the lanes share a port under contention, until [`Port::set_weights`] says otherwise.
pub const WEIGHTS: [u32; LANES] = [4, 3, 2, 1];

/// Makes the ports of `shards` shards. Port `i` of the result belongs to shard `i`.
///
/// # Panics
/// When there is no shard or a capacity is zero.
#[must_use]
pub fn mesh<T: Send>(shards: usize, capacities: [usize; LANES]) -> Vec<Port<T>> {
    assert!(shards > 0, "a mesh needs at least one shard");
    let mut ports: Vec<Port<T>> = (0..shards)
        .map(|shard| Port {
            outbox: Outbox { shard, rings: (0..shards).map(|_| None).collect() },
            inbox: Inbox {
                shard,
                senders: Vec::with_capacity(shards - 1),
                next: [0; LANES],
                turns: Turns::new(WEIGHTS),
            },
        })
        .collect();
    for from in 0..shards {
        for to in (0..shards).filter(|&to| to != from) {
            let pairs = capacities.map(ring);
            let mut consumers = Vec::with_capacity(LANES);
            ports[from].outbox.rings[to] = Some(pairs.map(|(producer, consumer)| {
                consumers.push(consumer);
                producer
            }));
            let mut consumers = consumers.into_iter();
            let rings = std::array::from_fn(|_| consumers.next().expect("one consumer was made per lane"));
            ports[to].inbox.senders.push(Sender { from, rings });
        }
    }
    ports
}

/// One shard's access to the mesh: an [`Outbox`] and an [`Inbox`].
#[derive(Debug)]
pub struct Port<T> {
    outbox: Outbox<T>,
    inbox: Inbox<T>,
}

impl<T> Port<T> {
    /// The two halves, for a shard that sends while it receives.
    #[must_use]
    pub fn split(self) -> (Outbox<T>, Inbox<T>) {
        (self.outbox, self.inbox)
    }

    /// The shard that this port belongs to.
    #[inline]
    #[must_use]
    pub fn shard(&self) -> usize {
        self.outbox.shard
    }

    /// See [`Outbox::send`].
    ///
    /// # Errors
    /// [`Full`], with the item, when that ring has no free slot.
    #[inline]
    pub fn send(&mut self, to: usize, lane: usize, item: T) -> Result<(), Full<T>> {
        self.outbox.send(to, lane, item)
    }

    /// See [`Outbox::free`].
    #[inline]
    #[must_use]
    pub fn free(&self, to: usize, lane: usize) -> usize {
        self.outbox.free(to, lane)
    }

    /// See [`Inbox::receive`].
    #[inline]
    pub fn receive(&mut self, max: usize, take: impl FnMut(usize, usize, T)) -> usize {
        self.inbox.receive(max, take)
    }

    /// See [`Inbox::is_empty`].
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inbox.is_empty()
    }

    /// See [`Inbox::set_weights`].
    pub fn set_weights(&mut self, weights: [u32; LANES]) {
        self.inbox.set_weights(weights);
    }
}

/// The sending half of a port.
pub struct Outbox<T> {
    shard: usize,
    /// By receiver; `None` at the shard's own place.
    rings: Box<[Option<[Producer<T>; LANES]>]>,
}

impl<T> Outbox<T> {
    #[inline(always)]
    fn producer(&self, to: usize, lane: usize) -> &Producer<T> {
        &self.rings[to].as_ref().expect(SELF_SEND)[lane]
    }

    #[inline(always)]
    fn producer_mut(&mut self, to: usize, lane: usize) -> &mut Producer<T> {
        &mut self.rings[to].as_mut().expect(SELF_SEND)[lane]
    }

    /// Sends `item` to shard `to` on `lane`. Wake the receiver afterwards ([`crate::Ringer::ring`]), once per batch.
    ///
    /// # Errors
    /// [`Full`], with the item, when that ring has no free slot.
    ///
    /// # Panics
    /// When `to` is this shard or no shard, or there is no such lane.
    #[inline]
    pub fn send(&mut self, to: usize, lane: usize, item: T) -> Result<(), Full<T>> {
        self.producer_mut(to, lane).push(item)
    }

    /// Sends items while there is room, publishes them at once and returns how many; takes none that has no slot.
    ///
    /// # Panics
    /// As [`Outbox::send`].
    #[inline]
    pub fn send_batch(&mut self, to: usize, lane: usize, items: &mut impl Iterator<Item = T>) -> usize {
        self.producer_mut(to, lane).push_batch(items)
    }

    /// Free slots towards `to` on `lane`: that many sends cannot fail.
    ///
    /// # Panics
    /// As [`Outbox::send`].
    #[inline]
    #[must_use]
    pub fn free(&self, to: usize, lane: usize) -> usize {
        self.producer(to, lane).free()
    }

    /// Whether `n` slots towards `to` on `lane` are free; looks at the receiver only when it must.
    ///
    /// # Panics
    /// As [`Outbox::send`].
    #[inline]
    #[must_use]
    pub fn has_room(&self, to: usize, lane: usize, n: usize) -> bool {
        self.producer(to, lane).has_room(n)
    }

    /// Slots towards `to` on `lane`.
    ///
    /// # Panics
    /// As [`Outbox::send`].
    #[inline]
    #[must_use]
    pub fn capacity(&self, to: usize, lane: usize) -> usize {
        self.producer(to, lane).capacity()
    }

    /// Whether the receiver is gone.
    ///
    /// # Panics
    /// As [`Outbox::send`].
    #[inline]
    #[must_use]
    pub fn is_abandoned(&self, to: usize) -> bool {
        self.producer(to, LANES - 1).is_abandoned()
    }
}

const SELF_SEND: &str = "a shard does not send to itself: its own work never leaves it";

impl<T> fmt::Debug for Outbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("shard", &self.shard).finish_non_exhaustive()
    }
}

struct Sender<T> {
    from: usize,
    rings: [Consumer<T>; LANES],
}

/// The receiving half of a port.
pub struct Inbox<T> {
    shard: usize,
    senders: Vec<Sender<T>>,
    /// By lane: the place in `senders` whose turn is next.
    next: [usize; LANES],
    turns: Turns<LANES>,
}

impl<T> Inbox<T> {
    /// Takes up to `max` items, as `take(from, lane, item)`, and returns how many: lanes by weight, senders of a lane
    /// in turn. Fewer than `max` means that every ring was empty when it was looked at.
    #[inline]
    pub fn receive(&mut self, max: usize, mut take: impl FnMut(usize, usize, T)) -> usize {
        let (senders, next) = (&mut self.senders[..], &mut self.next);
        self.turns.take(max, |lane, want| {
            let mut got = 0;
            // Each sender is looked at once at most; the turn ends with the lane's credit.
            for _ in 0..senders.len() {
                let place = next[lane];
                next[lane] = if place + 1 == senders.len() { 0 } else { place + 1 };
                let sender = &mut senders[place];
                let from = sender.from;
                got += sender.rings[lane].pop_batch(want - got, |item| take(from, lane, item));
                if got == want {
                    break;
                }
            }
            got
        })
    }

    /// Whether every ring is empty, by a fresh look at each: the question to ask after
    /// [`crate::Doorbell::announce`].
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.senders.iter().all(|sender| sender.rings.iter().all(Consumer::is_empty))
    }

    /// Items that wait on `lane`, over all senders.
    #[must_use]
    pub fn len(&self, lane: usize) -> usize {
        self.senders.iter().map(|sender| sender.rings[lane].len()).sum()
    }

    /// Whether shard `from` is gone. Ask before finding the inbox empty: what it sent is still there. `false` for a
    /// shard that never was.
    #[must_use]
    pub fn is_abandoned(&self, from: usize) -> bool {
        self.senders.iter().any(|sender| sender.from == from && sender.rings[LANES - 1].is_abandoned())
    }

    /// Shares the lanes by `weights` from now on and begins a new round.
    ///
    /// # Panics
    /// When a weight is zero.
    pub fn set_weights(&mut self, weights: [u32; LANES]) {
        self.turns = Turns::new(weights);
    }
}

impl<T> fmt::Debug for Inbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("shard", &self.shard).finish_non_exhaustive()
    }
}
