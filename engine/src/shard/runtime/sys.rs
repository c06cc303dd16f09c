//! The unsafe corner of the adapter: clocks, randomness, a second descriptor for a watch.

use std::io;
use std::os::fd::{BorrowedFd, IntoRawFd, RawFd};

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
    use std::os::fd::FromRawFd;
    // SAFETY: the caller of `watch` keeps the descriptor open while it is watched.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    let second = borrowed.try_clone_to_owned()?.into_raw_fd();
    // SAFETY: `second` is ours alone and open; the stream owns it from here on.
    Ok(unsafe { TcpStream::from_raw_fd(second) })
}
