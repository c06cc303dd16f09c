//! The one place where atomics, cells and reference counts are imported: std's, or the model checker's.
//!
//! `--cfg loom` and `--cfg shuttle` replace every primitive that the protocols of this crate lean on, so that what is
//! checked is the code that runs.

#[cfg(all(loom, shuttle))]
compile_error!("loom and shuttle are two model checkers: set one of the two cfgs");

#[cfg(loom)]
pub(crate) use loom::{
    cell::UnsafeCell,
    sync::Arc,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence},
};

#[cfg(shuttle)]
pub(crate) use shuttle::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering, fence},
};

#[cfg(not(any(loom, shuttle)))]
pub(crate) use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering, fence},
};

/// The model's stand-ins for a blocking descriptor; see `doorbell::bell`.
#[cfg(loom)]
pub(crate) use loom::sync::{Condvar, Mutex};
#[cfg(shuttle)]
pub(crate) use shuttle::sync::{Condvar, Mutex};

/// `std::cell::UnsafeCell` with loom's closure interface, which lets loom see when an access begins and ends.
#[cfg(not(loom))]
#[repr(transparent)]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    /// Hands out the pointer for reading.
    #[inline(always)]
    pub(crate) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
        read(self.0.get().cast_const())
    }

    /// Hands out the pointer for writing.
    #[inline(always)]
    pub(crate) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
        write(self.0.get())
    }
}
