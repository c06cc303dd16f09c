//! The system calls that the standard library does not offer. All `unsafe` of this crate is here.
//!
//! **Invariants**: every pointer handed to the kernel is to a live local of exactly the type the call writes.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// A limit this crate reads or raises.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Resource {
    /// RLIMIT_MEMLOCK, bytes.
    LockedMemory,
    /// RLIMIT_NOFILE, descriptors.
    OpenFiles,
}

impl Resource {
    fn number(self) -> libc::__rlimit_resource_t {
        match self {
            Self::LockedMemory => libc::RLIMIT_MEMLOCK,
            Self::OpenFiles => libc::RLIMIT_NOFILE,
        }
    }
}

/// A soft and a hard limit; `u64::MAX` is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) soft: u64,
    pub(crate) hard: u64,
}

/// Reads a limit of this process.
pub(crate) fn limit(resource: Resource) -> io::Result<Limit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a live `rlimit`, which is what getrlimit writes.
    let result = unsafe { libc::getrlimit(resource.number(), &raw mut limit) };
    if result == 0 {
        Ok(Limit { soft: limit.rlim_cur, hard: limit.rlim_max })
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Sets a limit of this process.
pub(crate) fn set_limit(resource: Resource, limit: Limit) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: limit.soft, rlim_max: limit.hard };
    // SAFETY: `limit` is a live, initialised `rlimit`; setrlimit only reads it.
    let result = unsafe { libc::setrlimit(resource.number(), &raw const limit) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What `statfs` says about the file system that holds a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileSystem {
    /// The kernel's magic number of its type.
    pub(crate) magic: i64,
    /// Size in bytes.
    pub(crate) size: u64,
    /// Bytes that an unprivileged process may still use.
    pub(crate) free: u64,
}

/// Asks for the file system of `path`.
pub(crate) fn file_system(path: &Path) -> io::Result<FileSystem> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut answer = MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: `path` ends in NUL and outlives the call; `answer` is room for one `statfs`, which is what it writes.
    let result = unsafe { libc::statfs(path.as_ptr(), answer.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: statfs is plain integers, valid for the zeroes it was made with and for what the kernel wrote.
    let answer = unsafe { answer.assume_init() };
    let block = u64::try_from(answer.f_bsize).unwrap_or(0);
    Ok(FileSystem {
        magic: answer.f_type,
        size: answer.f_blocks.saturating_mul(block),
        free: answer.f_bavail.saturating_mul(block),
    })
}
