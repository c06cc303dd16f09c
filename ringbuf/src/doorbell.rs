//! The doorbell: wakes a shard that has announced that it parks, and costs one fence when it has not.
//!
//! The sleeper: `announce()`, look at **every** ring again; something there: `cancel()`; nothing: wait until `fd()` is
//! readable, then `drain()`. The ringer: push, then `ring()`, once per batch.
//!
//! **Runs on**: [`Doorbell`] on the sleeper's thread; a [`Ringer`] on any. **Owns**: one eventfd, non-blocking.
//! **Invariants**: no wake-up is lost. A ringer pushes, fences, reads `announced`; the sleeper stores `announced`,
//! fences, reads the rings. Both fences are sequentially consistent, so one of them is first: if the ringer's, the
//! sleeper's look finds the item; if the sleeper's, the ringer finds the announcement (or finds that another ringer
//! took it and writes the eventfd for both). `tests/loom_doorbell.rs` runs every interleaving of it.
//! **Bounds**: one system call per announcement, however many ring. A stale ring may wake the sleeper for nothing.
//! **Never**: blocks, except [`Doorbell::park`].
//!
//! Under a model checker the eventfd is a modelled flag (`bell`), and the protocol is the code that runs.

use std::io;

use crossbeam_utils::CachePadded;

use crate::sync::{Arc, AtomicBool, Ordering, fence};

struct Shared {
    /// The sleeper is going to park and nobody has taken it upon himself to wake it.
    announced: CachePadded<AtomicBool>,
    bell: bell::Bell,
}

/// Makes a doorbell and its first ringer.
///
/// # Errors
/// When the process is out of descriptors.
pub fn doorbell() -> io::Result<(Doorbell, Ringer)> {
    let shared =
        Arc::new(Shared { announced: CachePadded::new(AtomicBool::new(false)), bell: bell::Bell::new()? });
    let ringer = Ringer { shared: Arc::clone(&shared) };
    Ok((Doorbell { shared, _not_sync: std::marker::PhantomData }, ringer))
}

/// The sleeper's side. `Send`, not `Sync`: one thread parks by it.
pub struct Doorbell {
    shared: Arc<Shared>,
    _not_sync: std::marker::PhantomData<std::cell::Cell<()>>,
}

impl Doorbell {
    /// The eventfd: readable once somebody has rung. It belongs to the doorbell and its ringers.
    #[cfg(not(any(loom, shuttle)))]
    #[must_use]
    pub fn fd(&self) -> std::os::fd::RawFd {
        self.shared.bell.fd()
    }

    /// Says that this thread is going to park. **Must** be followed by a fresh look at every ring that the doorbell
    /// stands for, and by [`Doorbell::cancel`] when one of them has something.
    #[inline]
    pub fn announce(&self) {
        self.shared.announced.store(true, Ordering::Relaxed);
        // Before the look at the rings, and paired with the fence of `ring`: the argument is at the module's head.
        if !planted::planted!("announce_without_a_fence") {
            fence(Ordering::SeqCst);
        }
    }

    /// Takes the announcement back: the look found something.
    #[inline]
    pub fn cancel(&self) {
        self.shared.announced.store(false, Ordering::Relaxed);
    }

    /// Ends the announcement and makes the eventfd unreadable again. Call it after every wake, before looking at the
    /// rings; never between [`Doorbell::announce`] and the wait.
    pub fn drain(&self) {
        self.cancel();
        self.shared.bell.take();
    }

    /// Blocks this thread until somebody rings, for threads without a reactor. Only after [`Doorbell::announce`] and
    /// the look, and before [`Doorbell::drain`]; may return for nothing.
    pub fn park(&self) {
        self.shared.bell.wait(None);
    }

    /// As [`Doorbell::park`], for at most `limit` (in whole milliseconds, rounded up).
    #[cfg(not(any(loom, shuttle)))]
    pub fn park_for(&self, limit: std::time::Duration) {
        self.shared.bell.wait(Some(limit));
    }
}

impl std::fmt::Debug for Doorbell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Doorbell").finish_non_exhaustive()
    }
}

/// The waking side: as many as needed, on any thread. Outlives the sleeper without harm.
#[derive(Clone)]
pub struct Ringer {
    shared: Arc<Shared>,
}

impl Ringer {
    /// Wakes the sleeper if it has announced that it parks. Call it after the push (once per batch). One fence and one
    /// load when the sleeper is awake; the first ringer after an announcement makes the system call.
    #[inline]
    pub fn ring(&self) {
        // After the push, and paired with the fence of `announce`: the argument is at the module's head.
        if !planted::planted!("ring_without_a_fence") {
            fence(Ordering::SeqCst);
        }
        if self.shared.announced.load(Ordering::Relaxed) {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        // Of all who see the announcement one takes it, and makes the system call for all. Who comes too late writes
        // nothing, so that every store of `false` either answers an announcement or is the sleeper's own.
        let taken =
            self.shared.announced.compare_exchange(true, false, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if taken && !planted::planted!("ring_without_a_strike") {
            self.shared.bell.strike();
        }
    }
}

impl std::fmt::Debug for Ringer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ringer").finish_non_exhaustive()
    }
}

/// The real bell: an eventfd.
#[cfg(not(any(loom, shuttle)))]
mod bell {
    use std::fs::File;
    use std::io::{self, Read, Write};
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
    use std::time::{Duration, Instant};

    pub(super) struct Bell(File);

    impl Bell {
        pub(super) fn new() -> io::Result<Self> {
            // SAFETY: `eventfd` takes no pointers.
            let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
            if fd < 0 {
                let error = io::Error::last_os_error();
                return Err(io::Error::new(
                    error.kind(),
                    format!("eventfd for a doorbell: {error} (raise LimitNOFILE when out of descriptors)"),
                ));
            }
            // SAFETY: the kernel has just given this descriptor to us alone.
            Ok(Self(File::from(unsafe { OwnedFd::from_raw_fd(fd) })))
        }

        pub(super) fn fd(&self) -> RawFd {
            self.0.as_raw_fd()
        }

        pub(super) fn strike(&self) {
            loop {
                match (&self.0).write(&1u64.to_ne_bytes()) {
                    Ok(_) => return,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    // The counter is at its maximum: the eventfd is readable, which is all that was wanted.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                    Err(error) => panic!("a doorbell's own eventfd cannot be written: {error}"),
                }
            }
        }

        pub(super) fn take(&self) {
            loop {
                match (&self.0).read(&mut [0; 8]) {
                    Ok(_) => return,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    // Nobody has rung since the last time.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                    Err(error) => panic!("a doorbell's own eventfd cannot be read: {error}"),
                }
            }
        }

        pub(super) fn wait(&self, limit: Option<Duration>) {
            let end = limit.map(|limit| Instant::now() + limit);
            loop {
                let left = match end {
                    None => -1,
                    Some(end) => {
                        let nanos = end.saturating_duration_since(Instant::now()).as_nanos();
                        i32::try_from(nanos.div_ceil(1_000_000)).unwrap_or(i32::MAX)
                    }
                };
                let mut poll = libc::pollfd { fd: self.fd(), events: libc::POLLIN, revents: 0 };
                // SAFETY: `poll` points at one pollfd that lives through the call.
                if unsafe { libc::poll(&raw mut poll, 1, left) } >= 0 {
                    return;
                }
                let error = io::Error::last_os_error();
                assert!(
                    error.kind() == io::ErrorKind::Interrupted,
                    "a doorbell's own eventfd cannot be polled: {error}"
                );
            }
        }
    }
}

/// The modelled bell: readable or not, and a wait that the checker sees. A sleeper that nobody wakes is a deadlock,
/// which both checkers report.
#[cfg(any(loom, shuttle))]
mod bell {
    use std::io;
    use std::time::Duration;

    use crate::sync::{Condvar, Mutex};

    pub(super) struct Bell {
        readable: Mutex<bool>,
        struck: Condvar,
    }

    impl Bell {
        pub(super) fn new() -> io::Result<Self> {
            Ok(Self { readable: Mutex::new(false), struck: Condvar::new() })
        }

        pub(super) fn strike(&self) {
            *self.readable.lock().expect("no holder panics") = true;
            self.struck.notify_one();
        }

        pub(super) fn take(&self) {
            *self.readable.lock().expect("no holder panics") = false;
        }

        pub(super) fn wait(&self, _limit: Option<Duration>) {
            let mut readable = self.readable.lock().expect("no holder panics");
            while !*readable {
                readable = self.struck.wait(readable).expect("no holder panics");
            }
        }
    }
}
