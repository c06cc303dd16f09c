//! The data directory: what a durable write costs there, direct I/O, file system, free space.
//!
//! **Owns**: one file of `flush_samples` × 4 KiB while [`measure_flush`] runs, removed whatever happens but a kill.
//! **Bounds**: at most [`FLUSH_SAMPLES_MAX`] writes.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::report::{Item, Verdict};
use crate::sys::{self, FileSystem};

/// Most flushes measured: 40 MiB of file, and a minute on a disk of 6 ms.
pub const FLUSH_SAMPLES_MAX: u32 = 10_000;

/// Size and alignment of a direct write.
const BLOCK: usize = 4096;

/// Median flush on the machine of DESIGN.md is 60–117 µs; three times that is still a local disk.
const FLUSH_P50_WANTED: Duration = Duration::from_micros(350);
const FLUSH_P99_WANTED: Duration = Duration::from_millis(2);
/// Beyond this the lanes' queues fill during one flush under load.
const FLUSH_P99_TOLERATED: Duration = Duration::from_millis(20);

const SPACE_WANTED: u64 = 10 << 30;
const SPACE_NEEDED: u64 = 1 << 30;

const WHY_FLUSH: &str = "every answer waits for one flush of the log: this is the floor of each order's time";
const WHY_DIRECT: &str =
    "the log is written past the page cache, so that a flush is one device write and a failed one is known";
const WHY_KIND: &str = "the log needs writes in place that survive a power cut";
const WHY_SPACE: &str =
    "a full disk stops the shard: segments are written ahead of time, so space is needed early";

/// Why the flush cost is not known.
#[derive(Debug, thiserror::Error)]
pub enum FlushError {
    /// The file system refuses O_DIRECT.
    #[error("no direct I/O on this file system: move the data directory to ext4 or xfs on a local disk")]
    NoDirectIo,
    /// The test file could not be made, written or flushed.
    #[error("{path}: {source}")]
    Io {
        /// The test file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// The measured cost of 4 KiB written with O_DIRECT and flushed with fdatasync, on a file that was written before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushFigures {
    /// Number of flushes measured.
    pub samples: u32,
    /// Median.
    pub p50: Duration,
    /// 99th percentile (nearest rank).
    pub p99: Duration,
    /// The slowest.
    pub max: Duration,
}

/// Measures `samples` flushes (clamped to 1..=[`FLUSH_SAMPLES_MAX`]) in `directory`, which must exist. Blocks for as long
/// as they take.
///
/// # Errors
///
/// [`FlushError::NoDirectIo`] when the file system cannot do it, [`FlushError::Io`] for anything else.
pub fn measure_flush(directory: &Path, samples: u32) -> Result<FlushFigures, FlushError> {
    let samples = samples.clamp(1, FLUSH_SAMPLES_MAX);
    let test_file = TestFile(directory.join(format!(".tune-flush-{}", std::process::id())));
    let path = &test_file.0;
    let failed = |source| FlushError::Io { path: path.clone(), source };
    let offsets = (0..u64::from(samples)).map(|index| index * BLOCK as u64);

    // Written once before, as the log's segments are: blocks are allocated and their extents known to the device.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    for offset in offsets.clone() {
        file.write_all_at(&[0; BLOCK], offset).map_err(failed)?;
    }
    file.sync_all().map_err(failed)?;
    drop(file);
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)?;

    let refused = |source: io::Error| match source.raw_os_error() {
        Some(libc::EINVAL | libc::EOPNOTSUPP) => FlushError::NoDirectIo,
        _ => failed(source),
    };
    let file = OpenOptions::new().write(true).custom_flags(libc::O_DIRECT).open(path).map_err(refused)?;
    let block = Box::new(AlignedBlock([0x5a; BLOCK]));
    let mut spans = Vec::with_capacity(samples as usize);
    for offset in offsets {
        let started = Instant::now();
        file.write_all_at(&block.0, offset).map_err(refused)?;
        file.sync_data().map_err(failed)?;
        spans.push(started.elapsed());
    }
    spans.sort_unstable();
    Ok(FlushFigures {
        samples,
        p50: nearest_rank(&spans, 50),
        p99: nearest_rank(&spans, 99),
        max: nearest_rank(&spans, 100),
    })
}

/// The smallest value with at least `percent` % of the sorted, non-empty `spans` at or below it.
fn nearest_rank(spans: &[Duration], percent: usize) -> Duration {
    spans[(spans.len() * percent).div_ceil(100).max(1) - 1]
}

/// A block that direct I/O accepts.
#[repr(align(4096))]
struct AlignedBlock([u8; BLOCK]);

const _: () = assert!(align_of::<AlignedBlock>() == BLOCK && size_of::<AlignedBlock>() == BLOCK);

/// Removes its file on drop.
struct TestFile(PathBuf);

impl Drop for TestFile {
    fn drop(&mut self) {
        // Nothing can be done about a failure here, and the file is small and named for what it is.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What was found about the data directory.
pub(crate) struct Found {
    /// The directory that was measured, when it is not the data directory itself.
    stand_in: Option<PathBuf>,
    file_system: io::Result<FileSystem>,
    flush: Result<FlushFigures, FlushError>,
}

impl Found {
    /// Measures the data directory, or its nearest existing parent.
    pub(crate) fn look(data_dir: &Path, samples: u32) -> Self {
        let absolute = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
        let measured = absolute.ancestors().find(|path| path.is_dir()).unwrap_or(&absolute);
        Self {
            stand_in: (measured != absolute).then(|| measured.to_owned()),
            file_system: sys::file_system(measured),
            flush: measure_flush(measured, samples),
        }
    }

    /// The items about the data directory, in the report's order.
    pub(crate) fn items(&self) -> Vec<Item> {
        let mut items = match &self.file_system {
            Ok(file_system) => vec![kind(file_system), space(file_system)],
            Err(error) => vec![
                Item::unreadable("data_file_system", error, "ext4 or xfs", WHY_KIND),
                Item::unreadable("data_free_space", error, "10 GiB or more", WHY_SPACE),
            ],
        };
        items.extend(flush(&self.flush));
        if let Some(directory) = &self.stand_in {
            for item in &mut items {
                item.now = format!("{} (measured in {})", item.now, directory.display());
            }
        }
        items
    }
}

/// The file system's type. Magic numbers: linux/magic.h and the file systems' own headers.
fn kind(file_system: &FileSystem) -> Item {
    const RAM: &str = "move the data directory to ext4 or xfs on a local disk: this one is memory, and gone after a restart";
    const REMOTE: &str = "move the data directory to ext4 or xfs on a local disk";
    let (name, verdict, remedy) = match file_system.magic {
        0xef53 => ("ext4", Verdict::Ok, ""),
        0x5846_5342 => ("xfs", Verdict::Ok, ""),
        0x0102_1994 => ("tmpfs", Verdict::Bad, RAM),
        0x8584_58f6 => ("ramfs", Verdict::Bad, RAM),
        0x9123_683e => {
            ("btrfs", Verdict::Warn, "chattr +C on the empty data directory: no copy on write for the log")
        }
        0x2fc1_2fc1 => ("zfs", Verdict::Warn, REMOTE),
        0x794c_7630 => (
            "overlayfs",
            Verdict::Warn,
            "mount a volume at the data directory: this is the container's own layer",
        ),
        0x6969 => ("nfs", Verdict::Bad, REMOTE),
        0x6573_5546 => ("fuse", Verdict::Warn, REMOTE),
        _ => ("", Verdict::Warn, REMOTE),
    };
    let now = match name {
        "" => format!("type {:#x}", file_system.magic),
        name => name.to_owned(),
    };
    let item = Item::ok("data_file_system", now, "ext4 or xfs", WHY_KIND);
    if verdict == Verdict::Ok { item } else { item.but(verdict, remedy) }
}

fn space(file_system: &FileSystem) -> Item {
    let now = format!("{} MiB of {} MiB", file_system.free >> 20, file_system.size >> 20);
    let item = Item::ok("data_free_space", now, "10 GiB or more", WHY_SPACE);
    let verdict = match file_system.free {
        SPACE_WANTED.. => return item,
        SPACE_NEEDED.. => Verdict::Warn,
        _ => Verdict::Bad,
    };
    item.but(verdict, "free or add space: df -h, du -sh on the data directory's file system")
}

/// Whether direct I/O works, and what a flush costs.
fn flush(flush: &Result<FlushFigures, FlushError>) -> [Item; 2] {
    const DIRECT: &str = "data_direct_io";
    const COST: &str = "data_flush";
    let wanted =
        format!("p50 {} µs, p99 {} ms or less", FLUSH_P50_WANTED.as_micros(), FLUSH_P99_WANTED.as_millis());
    let figures = match flush {
        Ok(figures) => figures,
        Err(error) => {
            let remedy = "move the data directory to ext4 or xfs on a local disk";
            let direct = match error {
                FlushError::NoDirectIo => {
                    Item::ok(DIRECT, "refused", "supported", WHY_DIRECT).but(Verdict::Bad, remedy)
                }
                FlushError::Io { .. } => Item::unreadable(DIRECT, error, "supported", WHY_DIRECT),
            };
            return [direct, Item::unreadable(COST, error, wanted, WHY_FLUSH)];
        }
    };
    let now = format!(
        "p50 {} µs, p99 {} µs, max {} µs of {}",
        figures.p50.as_micros(),
        figures.p99.as_micros(),
        figures.max.as_micros(),
        figures.samples
    );
    let cost = Item::ok(COST, now, wanted, WHY_FLUSH);
    let remedy = "a local NVMe disk, or a cloud volume of a faster class; nothing else writing to it";
    let cost = if figures.p99 > FLUSH_P99_TOLERATED {
        cost.but(Verdict::Bad, remedy)
    } else if figures.p50 > FLUSH_P50_WANTED || figures.p99 > FLUSH_P99_WANTED {
        cost.but(Verdict::Warn, remedy)
    } else {
        cost
    };
    [Item::ok(DIRECT, "supported", "supported", WHY_DIRECT), cost]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beside the test program, not in /tmp: that may be memory, which refuses direct I/O on older kernels.
    fn directory_on_disk() -> tempfile::TempDir {
        let program = std::env::current_exe().expect("the test program has a path");
        tempfile::tempdir_in(program.parent().expect("a file has a parent"))
            .expect("a writable build directory")
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let spans: Vec<Duration> = (1..=200).map(Duration::from_micros).collect();
        let rank = |percent| nearest_rank(&spans, percent).as_micros();
        assert_eq!((rank(50), rank(99), rank(100)), (100, 198, 200));
        assert_eq!(nearest_rank(&spans[..1], 50).as_micros(), 1);
    }

    #[test]
    fn a_measurement_leaves_no_file_and_its_figures_are_ordered() {
        let directory = directory_on_disk();
        let figures = measure_flush(directory.path(), 8).unwrap();
        assert_eq!(figures.samples, 8);
        assert!(figures.p50 > Duration::ZERO && figures.p50 <= figures.p99 && figures.p99 <= figures.max);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_unknown_not_fine() {
        let missing = Path::new("/nonexistent/data");
        let error = measure_flush(missing, 1).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/data/.tune-flush-"), "{error}");
        assert!(flush(&Err(error)).iter().all(|item| item.verdict == Verdict::Warn));
    }

    #[test]
    fn a_data_directory_to_come_is_measured_in_its_parent() {
        let directory = directory_on_disk();
        let found = Found::look(&directory.path().join("a/b"), 2);
        assert_eq!(found.stand_in.as_deref(), Some(directory.path()));
        let items = found.items();
        assert_eq!(items.len(), 4);
        assert!(items.iter().all(|item| item.now.contains("(measured in ")), "{items:?}");
    }

    #[test]
    fn refused_direct_io_is_bad() {
        let [direct, cost] = flush(&Err(FlushError::NoDirectIo));
        assert_eq!((direct.verdict, cost.verdict), (Verdict::Bad, Verdict::Warn));
    }

    #[test]
    fn flush_cost_is_judged_by_median_and_tail() {
        let judge = |p50, p99| {
            let [_, cost] = flush(&Ok(FlushFigures {
                samples: 200,
                p50: Duration::from_micros(p50),
                p99: Duration::from_micros(p99),
                max: Duration::from_micros(p99),
            }));
            cost.verdict
        };
        assert_eq!(judge(90, 200), Verdict::Ok);
        assert_eq!(judge(800, 1_500), Verdict::Warn);
        assert_eq!(judge(90, 5_000), Verdict::Warn);
        assert_eq!(judge(90, 50_000), Verdict::Bad);
    }

    #[test]
    fn memory_and_remote_file_systems_are_refused() {
        let judge = |magic| kind(&FileSystem { magic, size: 0, free: 0 }).verdict;
        assert_eq!(judge(0xef53), Verdict::Ok);
        assert_eq!(judge(0x5846_5342), Verdict::Ok);
        assert_eq!(judge(0x0102_1994), Verdict::Bad);
        assert_eq!(judge(0x6969), Verdict::Bad);
        assert_eq!(judge(0x794c_7630), Verdict::Warn);
        assert_eq!(judge(0x1234), Verdict::Warn);
    }

    #[test]
    fn free_space_has_two_steps() {
        let judge = |free| space(&FileSystem { magic: 0, size: 1 << 40, free }).verdict;
        assert_eq!(judge(10 << 30), Verdict::Ok);
        assert_eq!(judge((10 << 30) - 1), Verdict::Warn);
        assert_eq!(judge((1 << 30) - 1), Verdict::Bad);
    }
}
