//! The single-producer, single-consumer ring.
//!
//! **Runs on**: one thread at each end. **Owns**: its slots.
//! **Invariants**: `head <= tail <= head + capacity` in wrapping arithmetic; the slots of `head..tail` hold items, all
//! others hold none; only the producer moves `tail`, only the consumer moves `head`.
//! **Bounds**: a power of two of slots, fixed at construction; a full ring gives the item back.
//! **Never**: allocates after construction, spins, or reads the other end's index while its cached copy still tells
//! enough: that cache line travels between cores only when an end runs out of what it knows.

use std::cell::Cell;
use std::fmt;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr::NonNull;

use crossbeam_utils::CachePadded;

use crate::sync::{Arc, AtomicBool, AtomicUsize, Ordering, UnsafeCell};

/// The ring was full: here is the item back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Full<T>(pub T);

impl<T> fmt::Debug for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Full(..)")
    }
}

impl<T> fmt::Display for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the ring is full: refuse or keep the item, or give the ring more capacity")
    }
}

impl<T> std::error::Error for Full<T> {}

type Slot<T> = UnsafeCell<MaybeUninit<T>>;

/// Writes slot `index`.
///
/// # Safety
/// `slots` must point at more than `index` slots of a living ring, and this one must be free and the caller's.
#[inline(always)]
unsafe fn write<T>(slots: NonNull<Slot<T>>, index: usize, item: T) {
    // SAFETY: the caller says that the slot exists.
    let slot = unsafe { slots.add(index).as_ref() };
    // SAFETY: the caller says that the slot is free: the consumer does not read it, and no item is overwritten.
    slot.with_mut(|slot| unsafe { (*slot).write(item) });
}

/// Moves the item out of slot `index`.
///
/// # Safety
/// `slots` must point at more than `index` slots of a living ring, and this one must hold an item that is the caller's
/// and that nobody reads again.
#[inline(always)]
unsafe fn read<T>(slots: NonNull<Slot<T>>, index: usize) -> T {
    // SAFETY: the caller says that the slot exists.
    let slot = unsafe { slots.add(index).as_ref() };
    // SAFETY: the caller says that the slot holds an item; the producer does not write it before `head` passes.
    slot.with(|slot| unsafe { (*slot).assume_init_read() })
}

struct Shared<T> {
    /// The next slot to read; stored by the consumer only.
    head: CachePadded<AtomicUsize>,
    /// The next slot to write; stored by the producer only.
    tail: CachePadded<AtomicUsize>,
    producer_gone: CachePadded<AtomicBool>,
    consumer_gone: AtomicBool,
    slots: Box<[Slot<T>]>,
}

// SAFETY: the slots are reached only through the two ends. A slot belongs to the producer while it is outside
// `head..tail` and to the consumer while it is inside, and ownership changes hands by a release store of an index
// that the other side loads with acquire. An item moves from one thread to the other, hence `T: Send`.
unsafe impl<T: Send> Sync for Shared<T> {}
// SAFETY: whoever drops the last reference drops the items that are left, on its thread: again `T: Send`.
unsafe impl<T: Send> Send for Shared<T> {}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // Both ends are gone, and the reference count has ordered their last stores before this.
        let tail = self.tail.load(Ordering::Relaxed);
        let mut head = self.head.load(Ordering::Relaxed);
        let mask = self.slots.len() - 1;
        if !std::mem::needs_drop::<T>() {
            return;
        }
        while head != tail {
            // SAFETY: the slots of `head..tail` hold items and nobody else can reach them any more.
            self.slots[head & mask].with_mut(|slot| unsafe { (*slot).assume_init_drop() });
            head = head.wrapping_add(1);
        }
    }
}

/// Makes a ring of at least `capacity` slots (rounded up to a power of two) and returns its two ends.
///
/// # Panics
/// When `capacity` is zero, or so large that its power of two does not fit.
#[must_use]
pub fn ring<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    assert!(capacity > 0, "a ring needs at least one slot");
    let capacity = capacity
        .checked_next_power_of_two()
        .filter(|&slots| slots <= usize::MAX / 2)
        .expect("a ring's capacity, rounded up to a power of two, fits half the address space");
    let shared = Arc::new(Shared {
        head: CachePadded::new(AtomicUsize::new(0)),
        tail: CachePadded::new(AtomicUsize::new(0)),
        producer_gone: CachePadded::new(AtomicBool::new(false)),
        consumer_gone: AtomicBool::new(false),
        slots: (0..capacity).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect(),
    });
    let slots = NonNull::from(&*shared.slots).cast();
    let mask = capacity - 1;
    let (one, other) = (ManuallyDrop::new(Arc::clone(&shared)), ManuallyDrop::new(shared));
    (
        Producer { tail: 0, head_cached: Cell::new(0), mask, slots, shared: one },
        Consumer { head: 0, tail_cached: Cell::new(0), mask, slots, shared: other },
    )
}

/// The end that writes. `Send` when `T` is, never `Sync`.
pub struct Producer<T> {
    /// Where the next item goes; ahead of the shared `tail` only inside [`Producer::push_batch`].
    tail: usize,
    /// The consumer's index when it was last looked at: never ahead of it.
    head_cached: Cell<usize>,
    mask: usize,
    /// The slots of `shared`: one pointer less to follow on every push.
    slots: NonNull<Slot<T>>,
    /// Dropped by `drop` alone.
    shared: ManuallyDrop<Arc<Shared<T>>>,
}

// SAFETY: there is one producer per ring and its methods that write take `&mut self`, so that moving it moves the
// whole writing side. Items cross threads, hence `T: Send`. `NonNull` and `Cell` keep it from being `Sync`.
unsafe impl<T: Send> Send for Producer<T> {}

impl<T> Producer<T> {
    /// Number of slots: a power of two.
    #[inline]
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.mask + 1
    }

    #[inline(always)]
    fn free_known(&self) -> usize {
        self.capacity() - self.tail.wrapping_sub(self.head_cached.get())
    }

    /// Free slots, by a fresh look at the consumer. Only this end uses them up, so they stay free until it does.
    #[inline]
    #[must_use]
    pub fn free(&self) -> usize {
        self.head_cached.set(self.shared.head.load(Ordering::Acquire));
        self.free_known()
    }

    /// Whether `n` slots are free. Looks at the consumer only when what is known does not suffice.
    #[inline]
    #[must_use]
    pub fn has_room(&self, n: usize) -> bool {
        self.free_known() >= n || self.free() >= n
    }

    /// Items that the consumer has not taken, by a fresh look at it.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.capacity() - self.free()
    }

    /// Whether the consumer has taken everything, by a fresh look at it.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the consumer is gone: nothing that is pushed will ever be taken.
    #[inline]
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.shared.consumer_gone.load(Ordering::Acquire)
    }

    /// Appends `item`.
    ///
    /// # Errors
    /// [`Full`], with the item, when every slot is taken.
    #[inline]
    pub fn push(&mut self, item: T) -> Result<(), Full<T>> {
        let tail = self.tail;
        if tail.wrapping_sub(self.head_cached.get()) > self.mask {
            let head = self.shared.head.load(Ordering::Acquire);
            self.head_cached.set(head);
            if tail.wrapping_sub(head) > self.mask {
                return Err(Full(item));
            }
        }
        // SAFETY: there was a free slot, so `tail` is outside `head..tail` and belongs to the producer.
        unsafe { write(self.slots, tail & self.mask, item) };
        let tail = tail.wrapping_add(1);
        let order =
            if planted::planted!("item_published_relaxed") { Ordering::Relaxed } else { Ordering::Release };
        self.shared.tail.store(tail, order);
        self.tail = tail;
        Ok(())
    }

    /// Appends items while there is room, publishes them at once, and returns how many. Takes no item from the
    /// iterator that has no slot.
    #[inline]
    pub fn push_batch(&mut self, items: &mut impl Iterator<Item = T>) -> usize {
        // The iterator may panic. What it gave before is published all the same: this guard does it. The index is the
        // guard's own, so that it can stay in a register.
        struct Publish<'a, T> {
            ring: &'a mut Producer<T>,
            tail: usize,
        }
        impl<T> Drop for Publish<'_, T> {
            #[inline(always)]
            fn drop(&mut self) {
                // Not for an empty batch: the store would take the consumer's cache line away for nothing.
                if self.ring.tail != self.tail {
                    self.ring.tail = self.tail;
                    self.ring.shared.tail.store(self.tail, Ordering::Release);
                }
            }
        }

        let from = self.tail;
        let slots = self.slots;
        let mut batch = Publish { tail: from, ring: self };
        'fill: loop {
            let head = batch.ring.head_cached.get();
            let mut room = batch.ring.capacity() - batch.tail.wrapping_sub(head);
            if room == 0 {
                batch.ring.head_cached.set(batch.ring.shared.head.load(Ordering::Acquire));
                room = batch.ring.capacity() - batch.tail.wrapping_sub(batch.ring.head_cached.get());
                if room == 0 {
                    break;
                }
            }
            // One run of slots without a seam: the inner loop neither wraps nor looks at the room.
            let start = batch.tail & batch.ring.mask;
            let run = room.min(batch.ring.capacity() - start);
            for index in start..start + run {
                let Some(item) = items.next() else { break 'fill };
                // SAFETY: the `run` slots from `tail` on are free and belong to the producer.
                unsafe { write(slots, index, item) };
                batch.tail = batch.tail.wrapping_add(1);
            }
        }
        batch.tail.wrapping_sub(from)
    }
}

impl<T> Drop for Producer<T> {
    #[inline]
    fn drop(&mut self) {
        // Release: who sees the flag sees every item that was pushed before.
        self.shared.producer_gone.store(true, Ordering::Release);
        // Moved out first: a drop in place would take the address of this end, and a loop over an end of its own could then
        // not keep the indices in registers.
        // SAFETY: nothing uses `shared` after this.
        drop(unsafe { ManuallyDrop::take(&mut self.shared) });
    }
}

impl<T> fmt::Debug for Producer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("capacity", &self.capacity()).finish_non_exhaustive()
    }
}

/// The end that reads. `Send` when `T` is, never `Sync`.
pub struct Consumer<T> {
    /// The next item; ahead of the shared `head` only inside [`Consumer::pop_batch`].
    head: usize,
    /// The producer's index when it was last looked at: never ahead of it.
    tail_cached: Cell<usize>,
    mask: usize,
    /// The slots of `shared`: one pointer less to follow on every pop.
    slots: NonNull<Slot<T>>,
    /// Dropped by `drop` alone.
    shared: ManuallyDrop<Arc<Shared<T>>>,
}

// SAFETY: as for the producer: one consumer per ring, methods that read take `&mut self`, items are `Send`.
unsafe impl<T: Send> Send for Consumer<T> {}

impl<T> Consumer<T> {
    /// Number of slots: a power of two.
    #[inline]
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.mask + 1
    }

    #[inline(always)]
    fn len_known(&self) -> usize {
        self.tail_cached.get().wrapping_sub(self.head)
    }

    /// Items to take, by a fresh look at the producer. Only this end takes them, so they stay until it does.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.tail_cached.set(self.shared.tail.load(Ordering::Acquire));
        self.len_known()
    }

    /// Whether there is nothing to take. Looks at the producer when nothing is known to be there, so that it is the
    /// right question after [`crate::Doorbell::announce`].
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len_known() == 0 && self.len() == 0
    }

    /// Whether the producer is gone. Ask **before** finding the ring empty: what was pushed before it went is still
    /// there, and once this is true nothing more will come.
    #[inline]
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.shared.producer_gone.load(Ordering::Acquire)
    }

    /// Takes the oldest item.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        let head = self.head;
        if head == self.tail_cached.get() {
            let tail = self.shared.tail.load(Ordering::Acquire);
            self.tail_cached.set(tail);
            if head == tail {
                return None;
            }
        }
        // SAFETY: the ring is not empty, so the slot of `head` holds an item that belongs to the consumer.
        let item = unsafe { read(self.slots, head & self.mask) };
        let head = head.wrapping_add(1);
        self.shared.head.store(head, Ordering::Release);
        self.head = head;
        Some(item)
    }

    /// Takes up to `max` items, oldest first, gives their slots back at once, and returns how many it took. One look
    /// at the producer at most: what comes meanwhile is for the next call.
    #[inline]
    pub fn pop_batch(&mut self, max: usize, mut take: impl FnMut(T)) -> usize {
        // `take` may panic. The items it was given are no longer in the ring all the same: this guard says so.
        struct Release<'a, T> {
            ring: &'a mut Consumer<T>,
            head: usize,
        }
        impl<T> Drop for Release<'_, T> {
            #[inline(always)]
            fn drop(&mut self) {
                self.ring.head = self.head;
                self.ring.shared.head.store(self.head, Ordering::Release);
            }
        }

        let mut count = self.len_known();
        if count < max {
            count = self.len();
        }
        count = count.min(max);
        if count == 0 {
            return 0;
        }
        let slots = self.slots;
        let mut batch = Release { head: self.head, ring: self };
        let mut left = count;
        while left > 0 {
            // One run of slots without a seam, as in `push_batch`.
            let start = batch.head & batch.ring.mask;
            let run = left.min(batch.ring.capacity() - start);
            for index in start..start + run {
                // SAFETY: `count` items from `head` on belong to the consumer, and each is read once: `head` moves
                // before `take` can panic.
                let item = unsafe { read(slots, index) };
                batch.head = batch.head.wrapping_add(1);
                take(item);
            }
            left -= run;
        }
        count
    }
}

impl<T> Drop for Consumer<T> {
    #[inline]
    fn drop(&mut self) {
        self.shared.consumer_gone.store(true, Ordering::Release);
        // SAFETY: nothing uses `shared` after this. Moved out first for the reason given at the producer.
        drop(unsafe { ManuallyDrop::take(&mut self.shared) });
    }
}

impl<T> fmt::Debug for Consumer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("capacity", &self.capacity()).finish_non_exhaustive()
    }
}
