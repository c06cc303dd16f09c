//! Reading and checking the host, and placing shards on its CPUs.
//!
//! **Purpose**: `coinbitclub tune --check` ([`check`]) and the server's choice of CPUs ([`plan`], [`plan_for_host`]).
//! **Runs on**: housekeeping threads, before the shards start or in a process of its own.
//! **Owns**: nothing that outlives a call; one file in the data directory while the flush cost is measured.
//! **Invariants**: every figure in a [`Report`] was read or measured in the call that made it; what cannot be read is
//! reported as unreadable, never guessed. Nothing on the host is changed, except by [`raise_soft_limits`].
//! **Bounds**: each source is read up to 1 MiB; samples and durations are clamped to the limits in [`CheckOptions`].
//! **Never**: runs on a shard's thread ([`check`] sleeps and flushes).

mod cgroup;
mod cpus;
mod disk;
mod host;
mod kernel;
mod limits;
mod placement;
mod report;
mod sys;
mod uring;

use std::path::PathBuf;
use std::time::{Duration, Instant};

pub use disk::{FLUSH_SAMPLES_MAX, FlushError, FlushFigures, measure_flush};
pub use host::{HostError, format_cpu_list, parse_cpu_list};
pub use limits::{
    MEMLOCK_PER_SHARD, MEMLOCK_WANTED_MIN, NOFILE_WANTED, SoftLimit, SoftLimits, raise_soft_limits,
};
pub use placement::{Plan, SHARDS_MAX, allowed_cpus, plan, plan_for_host};
pub use report::{Item, Report, Verdict};

/// Longest steal-time sample; a longer wish is clamped to it.
pub const STEAL_SAMPLE_MAX: Duration = Duration::from_secs(60);

/// What [`check`] looks at.
#[derive(Clone, Debug)]
pub struct CheckOptions {
    /// Directory under which `proc` and `sys` are read: `/`, or a fixture in tests. The io_uring probe and the flush
    /// measurement always use the running kernel.
    pub root: PathBuf,
    /// Process whose limits, CPU mask and control group are judged; `None`: this one. A login shell's limits are not
    /// the service's, so give the server's process id to judge the running service.
    pub pid: Option<u32>,
    /// The data directory whose flush cost and free space are measured. When it does not exist yet, its nearest
    /// existing parent is measured and the report says so.
    pub data_dir: PathBuf,
    /// Number of shards the server will be started with; `None`: its own choice.
    pub shards: Option<usize>,
    /// Flushes to measure, 1 to [`FLUSH_SAMPLES_MAX`].
    pub flush_samples: u32,
    /// Span over which steal time is measured, up to [`STEAL_SAMPLE_MAX`].
    pub steal_sample: Duration,
}

impl Default for CheckOptions {
    fn default() -> Self {
        Self {
            root: PathBuf::from("/"),
            pid: None,
            data_dir: PathBuf::from("data"),
            shards: None,
            flush_samples: 200,
            steal_sample: Duration::from_millis(500),
        }
    }
}

/// Reads and measures the host and judges each figure. Takes `steal_sample` plus the time of `flush_samples` flushes.
/// Never fails as a whole: a source that cannot be read becomes an item that says so.
#[must_use]
pub fn check(options: &CheckOptions) -> Report {
    let host = host::Host::new(&options.root, options.pid);
    let steal_before = cpus::read_steal(&host);
    let started = Instant::now();
    let disk = disk::Found::look(&options.data_dir, options.flush_samples);
    let uring = uring::Probe::of_running_kernel();
    std::thread::sleep(options.steal_sample.min(STEAL_SAMPLE_MAX).saturating_sub(started.elapsed()));
    let steal_after = cpus::read_steal(&host);

    let plan = placement::plan_on(&host, options.shards);
    let shards = plan.as_ref().map_or(1, |plan| plan.shard_cpus.len());
    let mut items = vec![kernel::version(&host)];
    items.extend(cpus::items(&host, plan.as_ref()));
    items.push(cpus::steal(steal_before, steal_after));
    items.extend(limits::items(&host, shards));
    items.push(uring::item(&host, &uring));
    items.extend(kernel::items(&host));
    items.extend(disk.items());
    Report { items }
}
