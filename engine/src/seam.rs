//! The seams: clock, disk, tasks and randomness as narrow traits.
//!
//! Everything below `api` is generic over these, so that the same code runs on the real machine (where they
//! compile to direct calls) and in the deterministic simulator. The network's seam is `net::wire::Wire`; the
//! exchange's is `exchange::Venue`.
//!
//! **Invariants**: no implementation blocks the calling thread, except where a method says so.

use std::future::Future;
use std::io;
use std::path::Path;

/// A monotonic instant or a span, in nanoseconds. Has no relation to the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Nanos(pub u64);

impl Nanos {
    /// A span of `n` milliseconds.
    #[must_use]
    pub const fn from_millis(n: u64) -> Self {
        Self(n * 1_000_000)
    }
    /// A span of `n` microseconds.
    #[must_use]
    pub const fn from_micros(n: u64) -> Self {
        Self(n * 1_000)
    }
    /// `self - earlier`, or zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }
    /// `self + span`, saturating.
    #[must_use]
    pub const fn plus(self, span: Self) -> Self {
        Self(self.0.saturating_add(span.0))
    }
    /// Whole microseconds, rounded down.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0 / 1_000
    }
}

/// Time. `monotonic` never goes back; `wall_micros` may, when the host's clock is set.
pub trait Clock: Clone + 'static {
    /// The monotonic clock.
    fn monotonic(&self) -> Nanos;
    /// Microseconds since the Unix epoch, UTC.
    fn wall_micros(&self) -> u64;
}

/// Randomness for ids and tokens. The real one is the kernel's; the simulator's is seeded.
pub trait Entropy: 'static {
    /// Fills `out` with random bytes.
    fn fill(&mut self, out: &mut [u8]);
}

/// Tasks on the current shard. Nothing here is `Send`: a task never leaves its shard.
pub trait Runtime: Clone + 'static {
    /// A running task; dropping it does **not** cancel it, awaiting it waits for its end.
    type Task: Future<Output = ()> + 'static;
    /// A watched descriptor.
    type Watch: Watch;

    /// Starts a named task on this shard.
    fn spawn(&self, name: &'static str, future: impl Future<Output = ()> + 'static) -> Self::Task;
    /// Returns after at least `span`.
    fn sleep(&self, span: Nanos) -> impl Future<Output = ()>;
    /// Lets the other tasks and the I/O reactor of this shard have one turn, then returns.
    fn turn(&self) -> impl Future<Output = ()>;
    /// Begins to watch a descriptor that is no socket (an eventfd, a ring). It must stay open while it is watched; it is
    /// not read, owned or closed.
    fn watch(&self, fd: std::os::fd::RawFd) -> Self::Watch;
}

/// A watched descriptor.
pub trait Watch: 'static {
    /// Returns once the descriptor is readable (at once when it already is). May be dropped and called again.
    fn ready(&mut self) -> impl Future<Output = ()>;
}

/// Size and alignment of every direct read, write and offset, in bytes.
pub const DISK_ALIGNMENT: usize = 4096;

/// A disk: directories and files for direct, aligned I/O.
pub trait Disk: Clone + 'static {
    /// An open file.
    type File: DiskFile;

    /// Opens an existing file read-write for direct I/O.
    fn open(&self, path: &Path) -> impl Future<Output = io::Result<Self::File>>;
    /// Creates a file that must not exist, read-write for direct I/O. Durable only after [`Disk::sync_dir`].
    fn create_new(&self, path: &Path) -> impl Future<Output = io::Result<Self::File>>;
    /// Names (not paths) of the entries of `dir`, sorted. `NotFound` when there is no such directory.
    fn list(&self, dir: &Path) -> impl Future<Output = io::Result<Vec<String>>>;
    /// Creates `dir` and its parents; fine when it exists.
    fn create_dir_all(&self, dir: &Path) -> impl Future<Output = io::Result<()>>;
    /// Renames within one directory, replacing the target. Durable only after [`Disk::sync_dir`].
    fn rename(&self, from: &Path, to: &Path) -> impl Future<Output = io::Result<()>>;
    /// Removes a file. Durable only after [`Disk::sync_dir`].
    fn remove(&self, path: &Path) -> impl Future<Output = io::Result<()>>;
    /// Makes creations, renames and removals in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> impl Future<Output = io::Result<()>>;
}

/// An open file of a [`Disk`]. Offsets and lengths are multiples of [`DISK_ALIGNMENT`].
#[expect(clippy::len_without_is_empty, reason = "the length of a file, a question to the disk")]
pub trait DiskFile: 'static {
    /// An aligned buffer that direct I/O accepts. Zeroed when allocated.
    type Buffer: AsRef<[u8]> + AsMut<[u8]> + 'static;

    /// Allocates a zeroed, aligned buffer of `len` bytes.
    fn buffer(&self, len: usize) -> Self::Buffer;
    /// Length of the file in bytes.
    fn len(&self) -> impl Future<Output = io::Result<u64>>;
    /// Reads up to `len` bytes at `offset`; shorter only at the end of the file.
    fn read_at(&self, offset: u64, len: usize) -> impl Future<Output = io::Result<Vec<u8>>>;
    /// Writes the first `len` bytes of `buffer` at `offset`, all of them or an error, and gives the buffer back.
    /// Not durable until [`DiskFile::sync_data`].
    fn write_at(
        &self,
        buffer: Self::Buffer,
        len: usize,
        offset: u64,
    ) -> impl Future<Output = io::Result<Self::Buffer>>;
    /// Flushes the file's data (fdatasync). After an error the file's content is not known: stop.
    fn sync_data(&self) -> impl Future<Output = io::Result<()>>;
    /// Closes the file.
    fn close(self) -> impl Future<Output = io::Result<()>>;
}
