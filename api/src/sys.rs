//! The few questions to the operating system that std does not ask.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Bytes of a page.
#[must_use]
pub fn page_bytes() -> u64 {
    // SAFETY: sysconf takes no pointer and touches no memory of ours.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(bytes).unwrap_or(4096)
}

/// Memory of this machine, in bytes.
#[must_use]
pub fn memory_bytes() -> Option<u64> {
    // SAFETY: sysconf takes no pointer and touches no memory of ours.
    let pages = unsafe { libc::sysconf(libc::_SC_PHYS_PAGES) };
    u64::try_from(pages).ok().filter(|pages| *pages > 0).map(|pages| pages.saturating_mul(page_bytes()))
}

/// CPU time this process has used, in microseconds.
#[must_use]
pub fn cpu_micros() -> u64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `usage` is a valid place for one rusage, and an all-zero one is a valid value should the call fail.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let micros = |time: libc::timeval| {
        u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(time.tv_usec).unwrap_or(0)
    };
    micros(usage.ru_utime) + micros(usage.ru_stime)
}

/// Free and all bytes of the file system that `path` is on.
#[must_use]
pub fn disk_space(path: &Path) -> Option<(u64, u64)> {
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    let mut stats = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: `path` ends in a zero byte and `stats` is a valid place for one statvfs, all zero being a valid value.
    let stats = unsafe {
        if libc::statvfs(path.as_ptr(), stats.as_mut_ptr()) != 0 {
            return None;
        }
        stats.assume_init()
    };
    let unit = stats.f_frsize;
    Some((stats.f_bavail * unit, stats.f_blocks * unit))
}

/// Sends SIGUSR1 to a process.
///
/// # Errors
/// The system's: no such process, or not ours.
pub fn ask_for_dump(pid: i32) -> std::io::Result<()> {
    // SAFETY: kill takes no pointer.
    if unsafe { libc::kill(pid, libc::SIGUSR1) } == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Which of these descriptors can be read without waiting, in their order.
#[must_use]
pub fn readable(fds: &[std::os::fd::RawFd]) -> Vec<bool> {
    let mut watched: Vec<libc::pollfd> =
        fds.iter().map(|fd| libc::pollfd { fd: *fd, events: libc::POLLIN, revents: 0 }).collect();
    let count = libc::nfds_t::try_from(watched.len()).unwrap_or(0);
    // SAFETY: `watched` is a valid array of `count` entries for the whole call, which does not wait.
    let found = unsafe { libc::poll(watched.as_mut_ptr(), count, 0) };
    watched.iter().map(|entry| found > 0 && entry.revents != 0).collect()
}
