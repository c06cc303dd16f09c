//! The io_uring, as operations that are safe to call.
//!
//! **Owns**: the ring, the receive buffers, and the bytes of every send the kernel has not finished (`flights`).
//! **Invariants**: memory an operation uses is freed or changed only after that operation's last completion was read
//! here; dropping cancels everything, waits for those completions, and leaks the memory rather than free it early.
//! One thread makes, uses and drops it (the ring is single-issuer; the type is not `Send`).
//! **Bounds**: one receive, one send and one connect per slot, one accept per listener; cancellations complete at
//! submission.

use std::collections::HashMap;
use std::io;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

use io_uring::types::{CancelBuilder, Fd, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use super::buffers::BufferRing;
pub(crate) use super::buffers::Lease;
use super::socket::{self, RawAddress};

/// What to build a ring with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RingSetup {
    /// Submission entries; a power of two.
    pub(crate) submissions: u32,
    /// Completion entries; a power of two, more than `submissions`.
    pub(crate) completions: u32,
    /// Receive buffers; a power of two, at most 32,768.
    pub(crate) buffer_count: u16,
    /// Bytes of each receive buffer.
    pub(crate) buffer_bytes: u32,
    /// Use only what Linux 5.8 has: see [`Generation`].
    pub(crate) single_shot: bool,
}

/// What the kernel offers, as far as the driver does things differently for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Generation {
    /// Linux 6.0: single-issuer rings with cooperative task running, multishot accept and receive, a provided-buffer ring.
    Multishot,
    /// Linux 5.8: each accept is an operation of its own, and a receive is a poll of the socket followed by `recv`, so
    /// that an idle connection needs no buffer. One more system call per delivery.
    SingleShot,
}

/// What the kernel reports.
#[derive(Debug)]
pub(crate) enum Completion {
    /// A connection, or the error number that ended the accept; `more` is false when it must be started again.
    Accepted { listener: u32, result: Result<OwnedFd, i32>, more: bool },
    /// An outgoing connection is established, or the error number.
    Connected { index: u32, generation: u32, result: Result<(), i32> },
    /// Bytes, the end of the stream (`None`), or an error number; `more` is false when it must be started again.
    Received { index: u32, generation: u32, result: Result<Option<Lease>, i32>, more: bool },
    /// How many bytes of the flight were taken.
    Sent { index: u32, generation: u32, result: Result<usize, i32> },
    /// A cancellation was carried out; the operation it ended reports separately.
    Cancelled,
}

/// Bytes on their way to one connection.
#[derive(Default)]
struct Flight {
    bytes: Vec<u8>,
    /// Sent instead of `bytes` when present.
    shared: Option<Rc<[u8]>>,
    /// The kernel may read the bytes.
    busy: bool,
}

impl Flight {
    fn bytes(&self) -> &[u8] {
        self.shared.as_deref().unwrap_or(&self.bytes)
    }
}

/// The ring and the memory its operations use.
pub(crate) struct Ring {
    ring: ManuallyDrop<IoUring>,
    buffers: ManuallyDrop<BufferRing>,
    flights: ManuallyDrop<Vec<Flight>>,
    /// Where connects under way lead to, by slot.
    destinations: ManuallyDrop<HashMap<u32, Box<RawAddress>>>,
    /// Sockets of polls under way, by slot: the receive that follows needs them. Single-shot only.
    polled: HashMap<u32, RawFd>,
    kernel: Generation,
    /// Operations whose last completion has not been read.
    outstanding: u32,
    enters: u64,
    /// A single-issuer ring is tied to the thread that made it.
    _not_send: PhantomData<*const ()>,
}

const BUFFER_GROUP: u16 = 0;
const KIND_SHIFT: u32 = 56;
const GENERATION_SHIFT: u32 = 32;
/// How much of a slot's generation travels with an operation: enough to prove that it is the slot's own.
pub(crate) const GENERATION_MASK: u32 = 0x00FF_FFFF;
const KIND_ACCEPT: u64 = 1;
const KIND_RECEIVE: u64 = 2;
const KIND_SEND: u64 = 3;
const KIND_CANCEL: u64 = 4;
const KIND_CONNECT: u64 = 5;
const KIND_POLL: u64 = 6;

fn tag(kind: u64, index: u32, generation: u32) -> u64 {
    kind << KIND_SHIFT | u64::from(generation & GENERATION_MASK) << GENERATION_SHIFT | u64::from(index)
}

impl Ring {
    /// Sets the ring up on the calling thread: with all that Linux 6.0 has, or, when the kernel does not know one of
    /// these, with what 5.8 has.
    pub(crate) fn new(setup: &RingSetup) -> io::Result<Self> {
        if setup.single_shot {
            return Self::with(setup, Generation::SingleShot);
        }
        match Self::with(setup, Generation::Multishot) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                Self::with(setup, Generation::SingleShot)
            }
            result => result,
        }
    }

    fn with(setup: &RingSetup, kernel: Generation) -> io::Result<Self> {
        let mut builder = IoUring::builder();
        builder.setup_cqsize(setup.completions);
        if kernel == Generation::Multishot {
            // Cooperative, not deferred, task running: with the latter the kernel holds completions back until `enter`
            // and does not wake whoever waits on the ring's descriptor, which is how a shard sleeps (tried on 6.18).
            builder.setup_single_issuer().setup_submit_all().setup_coop_taskrun().setup_taskrun_flag();
        }
        let ring = builder.build(setup.submissions)?;
        let buffers = BufferRing::new(setup.buffer_count, setup.buffer_bytes)?;
        if kernel == Generation::Multishot {
            // SAFETY: the mapping outlives the ring: `Drop` closes the ring first, and when operations might still run
            // it leaks the mapping.
            unsafe {
                ring.submitter().register_buf_ring_with_flags(
                    buffers.ring_address(),
                    buffers.count(),
                    BUFFER_GROUP,
                    0,
                )?;
            }
        }
        Ok(Self {
            ring: ManuallyDrop::new(ring),
            buffers: ManuallyDrop::new(buffers),
            flights: ManuallyDrop::new(Vec::new()),
            destinations: ManuallyDrop::new(HashMap::new()),
            polled: HashMap::new(),
            kernel,
            outstanding: 0,
            enters: 0,
            _not_send: PhantomData,
        })
    }

    /// Which operations are in use.
    pub(crate) fn kernel(&self) -> Generation {
        self.kernel
    }

    /// The ring's descriptor: readable while completions wait.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.ring.as_raw_fd()
    }

    /// Calls of `io_uring_enter` so far.
    pub(crate) fn enters(&self) -> u64 {
        self.enters
    }

    /// Makes place for one more entry, submitting what is queued when the queue is full.
    pub(crate) fn make_room(&mut self) -> bool {
        if !self.ring.submission().is_full() {
            return true;
        }
        // An error means the kernel takes nothing now (its own queue is full); the caller keeps the operation.
        self.enters += 1;
        self.ring.submit().is_ok() && !self.ring.submission().is_full()
    }

    /// Starts an accept. False when the queue is full.
    pub(crate) fn accept(&mut self, listener: u32, socket: RawFd) -> bool {
        let entry = match self.kernel {
            Generation::Multishot => opcode::AcceptMulti::new(Fd(socket)).flags(libc::SOCK_CLOEXEC).build(),
            Generation::SingleShot => {
                let (no_address, no_length) = (std::ptr::null_mut(), std::ptr::null_mut());
                opcode::Accept::new(Fd(socket), no_address, no_length).flags(libc::SOCK_CLOEXEC).build()
            }
        };
        // SAFETY: the accept uses no memory of ours.
        unsafe { self.push(entry.user_data(tag(KIND_ACCEPT, listener, 0))) }
    }

    /// Starts connecting a slot's socket. False when the queue is full.
    pub(crate) fn connect(&mut self, index: u32, generation: u32, socket: RawFd, to: SocketAddr) -> bool {
        let address = Box::new(RawAddress::new(to));
        let entry = opcode::Connect::new(Fd(socket), address.as_ptr(), address.len()).build();
        let before = self.destinations.insert(index, address);
        assert!(before.is_none(), "one connect per slot");
        // SAFETY: the address is boxed and stays in `destinations` until the completion is read in `complete`.
        let pushed = unsafe { self.push(entry.user_data(tag(KIND_CONNECT, index, generation))) };
        if !pushed {
            self.destinations.remove(&index);
        }
        pushed
    }

    /// Starts a receive for a slot. False when the queue is full.
    pub(crate) fn receive(&mut self, index: u32, generation: u32, socket: RawFd) -> bool {
        match self.kernel {
            Generation::Multishot => {
                let entry = opcode::RecvMulti::new(Fd(socket), BUFFER_GROUP).build();
                // SAFETY: the receive uses only registered buffers, which outlive the ring.
                unsafe { self.push(entry.user_data(tag(KIND_RECEIVE, index, generation))) }
            }
            Generation::SingleShot => {
                let events = libc::POLLIN | libc::POLLRDHUP;
                let events = u32::from(events.cast_unsigned());
                let entry = opcode::PollAdd::new(Fd(socket), events).build();
                // SAFETY: a poll uses no memory of ours.
                let pushed = unsafe { self.push(entry.user_data(tag(KIND_POLL, index, generation))) };
                if pushed {
                    self.polled.insert(index, socket);
                }
                pushed
            }
        }
    }

    /// Exchanges `bytes` with the slot's flight. Panics while the kernel may read the flight.
    pub(crate) fn swap_flight(&mut self, index: u32, bytes: &mut Vec<u8>) {
        let flight = self.flight(index);
        assert!(!flight.busy, "a flight changes only when its send has completed");
        flight.shared = None;
        std::mem::swap(&mut flight.bytes, bytes);
    }

    /// Makes bytes that others send too the slot's flight. Panics while the kernel may read the flight.
    pub(crate) fn share_flight(&mut self, index: u32, bytes: Rc<[u8]>) {
        let flight = self.flight(index);
        assert!(!flight.busy, "a flight changes only when its send has completed");
        flight.shared = Some(bytes);
    }

    /// Sends the slot's flight from `offset`. False when the queue is full. Panics when a send is under way.
    pub(crate) fn send(&mut self, index: u32, generation: u32, socket: RawFd, offset: usize) -> bool {
        let flight = self.flight(index);
        assert!(!flight.busy, "one send per slot");
        let rest = &flight.bytes()[offset..];
        let len = u32::try_from(rest.len()).unwrap_or(u32::MAX);
        let entry = opcode::Send::new(Fd(socket), rest.as_ptr(), len).flags(libc::MSG_NOSIGNAL).build();
        // SAFETY: `busy` keeps the flight's vector (or its share of a reference-counted slice) from being changed or
        // freed until the send's completion is read in `complete` (the heap block does not move when `flights` grows),
        // and `Drop` waits for that completion.
        let pushed = unsafe { self.push(entry.user_data(tag(KIND_SEND, index, generation))) };
        self.flight(index).busy = pushed;
        pushed
    }

    /// Asks for the end of a slot's receive. False when the queue is full.
    pub(crate) fn cancel_receive(&mut self, index: u32, generation: u32) -> bool {
        let kind = match self.kernel {
            Generation::Multishot => KIND_RECEIVE,
            Generation::SingleShot => KIND_POLL,
        };
        self.cancel(tag(kind, index, generation))
    }

    /// Asks for the end of a slot's connect. False when the queue is full.
    pub(crate) fn cancel_connect(&mut self, index: u32, generation: u32) -> bool {
        self.cancel(tag(KIND_CONNECT, index, generation))
    }

    /// Asks for the end of a slot's send. False when the queue is full.
    pub(crate) fn cancel_send(&mut self, index: u32, generation: u32) -> bool {
        self.cancel(tag(KIND_SEND, index, generation))
    }

    /// Asks for the end of a listener's accept. False when the queue is full.
    pub(crate) fn cancel_accept(&mut self, listener: u32) -> bool {
        self.cancel(tag(KIND_ACCEPT, listener, 0))
    }

    fn cancel(&mut self, target: u64) -> bool {
        let entry = opcode::AsyncCancel::new(target).build().user_data(KIND_CANCEL << KIND_SHIFT);
        // SAFETY: a cancellation uses no memory of ours.
        unsafe { self.push(entry) }
    }

    /// Whether `enter` has something to do: entries to submit, or completions the kernel holds back.
    pub(crate) fn wants_enter(&mut self) -> bool {
        let submission = self.ring.submission();
        !submission.is_empty() || submission.taskrun() || submission.cq_overflow()
    }

    /// Whether completions can be read.
    pub(crate) fn has_completions(&mut self) -> bool {
        !self.ring.completion().is_empty()
    }

    /// Submits what is queued and lets the kernel post what it held back. Does not wait.
    pub(crate) fn enter(&mut self) -> io::Result<()> {
        self.enters += 1;
        match self.ring.submit_and_wait(0) {
            Ok(_) => Ok(()),
            // Interrupted, or the kernel's completion queue is full: nothing is lost, the next call goes on.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY)) => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Submits what is queued and waits for a completion, at most so long.
    pub(crate) fn wait(&mut self, at_most: Duration) -> io::Result<()> {
        self.enters += 1;
        let span = Timespec::from(at_most);
        let arguments = io_uring::types::SubmitArgs::new().timespec(&span);
        match self.ring.submitter().submit_with_args(1, &arguments) {
            Ok(_) => Ok(()),
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::ETIME | libc::EINTR | libc::EAGAIN | libc::EBUSY)
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// The next completion, oldest first.
    pub(crate) fn complete(&mut self) -> Option<Completion> {
        let entry = self.ring.completion().next()?;
        let (data, result, flags) = (entry.user_data(), entry.result(), entry.flags());
        let more = cqueue::more(flags);
        if !more {
            self.outstanding -= 1;
        }
        let value = u32::try_from(result);
        #[expect(clippy::cast_possible_truncation, reason = "the tag's lower half is the index")]
        let index = data as u32;
        let generation = (data >> GENERATION_SHIFT) as u32 & GENERATION_MASK;
        Some(match data >> KIND_SHIFT {
            KIND_ACCEPT => {
                let result = value.map_err(|_| -result).map(|_| {
                    // SAFETY: a non-negative accept result is a new descriptor that only this completion names.
                    unsafe { OwnedFd::from_raw_fd(result) }
                });
                Completion::Accepted { listener: index, result, more }
            }
            KIND_CONNECT => {
                self.destinations.remove(&index);
                Completion::Connected { index, generation, result: value.map(drop).map_err(|_| -result) }
            }
            KIND_POLL => {
                let socket = self.polled.remove(&index);
                let result = match (value, socket) {
                    (Ok(_), Some(socket)) => self.receive_now(socket),
                    (Ok(_), None) => Err(libc::EBADF),
                    (Err(_), _) => Err(-result),
                };
                Completion::Received { index, generation, result, more: false }
            }
            KIND_RECEIVE => {
                let lease = cqueue::buffer_select(flags).map(|id| {
                    // SAFETY: buffer and length of this one completion, which is read once.
                    unsafe { self.buffers.lease(id, value.unwrap_or(0)) }
                });
                let result = match (value, lease) {
                    (Ok(1..), Some(lease)) => Ok(Some(lease)),
                    (Ok(_), lease) => {
                        lease.into_iter().for_each(|unused| self.buffers.recycle(unused));
                        Ok(None)
                    }
                    (Err(_), lease) => {
                        lease.into_iter().for_each(|unused| self.buffers.recycle(unused));
                        Err(-result)
                    }
                };
                Completion::Received { index, generation, result, more }
            }
            KIND_SEND => {
                self.flight(index).busy = false;
                let result = value.map(|sent| sent as usize).map_err(|_| -result);
                Completion::Sent { index, generation, result }
            }
            _ => Completion::Cancelled,
        })
    }

    /// Receives what is there into the first buffer, which nobody else uses without a provided-buffer ring.
    fn receive_now(&mut self, socket: RawFd) -> Result<Option<Lease>, i32> {
        match socket::receive_now(socket, self.buffers.scratch()) {
            Ok(0) => Ok(None),
            // SAFETY: the kernel has just filled the first `count` bytes of buffer 0, and without a registered ring no
            // other receive can; the driver reads and returns each lease before it takes the next completion.
            Ok(count) => Ok(Some(unsafe { self.buffers.lease(0, count) })),
            Err(error) => Err(error.raw_os_error().unwrap_or(libc::EIO)),
        }
    }

    /// The bytes of a lease.
    pub(crate) fn bytes(&self, lease: &Lease) -> &[u8] {
        self.buffers.bytes(lease)
    }

    /// Gives a buffer back.
    pub(crate) fn recycle(&mut self, lease: Lease) {
        match self.kernel {
            Generation::Multishot => self.buffers.recycle(lease),
            // The one scratch buffer is free again as soon as its lease is gone.
            Generation::SingleShot => {}
        }
    }

    fn flight(&mut self, index: u32) -> &mut Flight {
        let index = index as usize;
        if index >= self.flights.len() {
            self.flights.resize_with(index + 1, Flight::default);
        }
        &mut self.flights[index]
    }

    /// # Safety
    /// Memory that `entry` names stays valid and unchanged until its last completion has been read.
    unsafe fn push(&mut self, entry: squeue::Entry) -> bool {
        if !self.make_room() {
            return false;
        }
        // SAFETY: the caller's promise.
        let pushed = unsafe { self.ring.submission().push(&entry) }.is_ok();
        self.outstanding += u32::from(pushed);
        pushed
    }

    /// Ends every operation and reads its completion. False when the kernel did not report within the bound.
    fn quiesce(&mut self) -> bool {
        /// Cancelled socket operations report within microseconds; a second means that something is broken.
        const PATIENCE: Timespec = Timespec::new().sec(1);
        if self.kernel == Generation::SingleShot {
            // Cancelling everything at once needs Linux 6.0. The memory is given up: a driver ends with its process.
            return self.outstanding == 0;
        }
        if self.outstanding > 0 && self.enter().is_err() {
            return false;
        }
        while self.outstanding > 0 {
            let cancelled =
                self.ring.submitter().register_sync_cancel(Some(PATIENCE), CancelBuilder::any().all());
            let before = self.outstanding;
            if self.enter().is_err() {
                return false;
            }
            while let Some(completion) = self.complete() {
                // An accepted socket closes here; a receive's buffer goes with the mapping.
                drop(completion);
            }
            let timed_out = cancelled.is_err_and(|error| error.raw_os_error() == Some(libc::ETIME));
            if timed_out || self.outstanding == before && !self.wait_for_one() {
                return false;
            }
        }
        true
    }

    /// Waits up to a second for a completion.
    fn wait_for_one(&mut self) -> bool {
        let second = Timespec::new().sec(1);
        let arguments = io_uring::types::SubmitArgs::new().timespec(&second);
        self.ring.submitter().submit_with_args(1, &arguments).is_ok()
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        let quiet = self.quiesce();
        // SAFETY: dropped once, here. The ring closes first.
        unsafe { ManuallyDrop::drop(&mut self.ring) };
        if quiet {
            // SAFETY: dropped once, here. `outstanding` is zero, so no operation of the closed ring uses this memory.
            unsafe {
                ManuallyDrop::drop(&mut self.buffers);
                ManuallyDrop::drop(&mut self.flights);
                ManuallyDrop::drop(&mut self.destinations);
            }
        }
        // Otherwise operations may still run in the kernel after the close: their memory is given up.
    }
}
