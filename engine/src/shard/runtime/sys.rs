//! The unsafe corner of the adapter: clocks, randomness, a second descriptor for a watch, the length of an open file, the
//! beginning of a buffer.

use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{BorrowedFd, FromRawFd, IntoRawFd, RawFd};
use std::rc::Rc;

use glommio::io::DmaBuffer;
use glommio::net::TcpStream;

/// A clock in nanoseconds.
pub(super) fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for one timespec; both clocks exist on every Linux.
    let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
    assert!(result == 0, "the host has no clock {clock}");
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
    seconds.unwrap_or(0).saturating_mul(1_000_000_000).saturating_add(nanos.unwrap_or(0))
}

/// Fills `out` from the kernel's generator.
pub(super) fn random(out: &mut [u8]) {
    let mut filled = 0;
    while filled < out.len() {
        let rest = &mut out[filled..];
        // SAFETY: pointer and length describe `rest`, which is writable.
        let got = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(got) {
            Ok(got) => filled += got,
            Err(_) => {
                let error = io::Error::last_os_error();
                assert!(error.kind() == io::ErrorKind::Interrupted, "getrandom: {error}");
            }
        }
    }
}

/// A stream object over a second descriptor of `fd`'s file. Making it arms a poll on this executor's ring; a read of it
/// returns (with an error, for it is no socket) once the file is readable. Dropping it closes the second descriptor only.
///
/// glommio has no public way to await a descriptor; see DESIGN.md, Runtime choices.
pub(super) fn armed_stream(fd: RawFd) -> io::Result<TcpStream> {
    // SAFETY: the caller of `watch` keeps the descriptor open while it is watched.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    let second = borrowed.try_clone_to_owned()?.into_raw_fd();
    // SAFETY: `second` is ours alone and open; the stream owns it from here on.
    Ok(unsafe { TcpStream::from_raw_fd(second) })
}

/// Length in bytes of the file that `fd` is open on. Does not touch the disk: the inode is in memory.
pub(super) fn file_len(fd: RawFd) -> io::Result<u64> {
    // SAFETY: the caller's file is open for the time of this call, and `ManuallyDrop` keeps this one from closing it.
    let file = ManuallyDrop::new(unsafe { File::from_raw_fd(fd) });
    Ok(file.metadata()?.len())
}

/// A buffer whose beginning is lent to a write.
///
/// glommio writes whole buffers, and can shorten one but not lengthen it again. So the shortened one here is a second
/// description of the same memory, and the first is kept as it was.
///
/// **Invariant**: of the two descriptions only one ever frees the memory or gives access to it: `beginning` (for as long
/// as any reference to it lives, which with a write under way is until the kernel is done), unless [`Lent::take_back`] has
/// forgotten it.
pub(super) struct Lent {
    beginning: Rc<DmaBuffer>,
    whole: ManuallyDrop<DmaBuffer>,
}

impl Lent {
    /// Lends the first `len` bytes of `buffer`.
    pub(super) fn new(buffer: DmaBuffer, len: usize) -> Self {
        let whole = ManuallyDrop::new(buffer);
        // SAFETY: `whole` is a valid buffer. It is not used again before `take_back` has forgotten this copy, and never
        // dropped while the copy can be.
        let mut beginning = unsafe { std::ptr::from_ref::<DmaBuffer>(&whole).read() };
        beginning.trim_to_size(len);
        Self { beginning: Rc::new(beginning), whole }
    }

    /// The first bytes, for the write.
    pub(super) fn beginning(&self) -> Rc<DmaBuffer> {
        Rc::clone(&self.beginning)
    }

    /// The whole buffer, once the write has ended.
    pub(super) fn take_back(self) -> DmaBuffer {
        let beginning = Rc::try_unwrap(self.beginning);
        std::mem::forget(beginning.expect("a write that has ended holds no buffer"));
        ManuallyDrop::into_inner(self.whole)
    }
}
