//! Process limits: locked memory and open files; reading, judging and raising them.

use std::io;

use crate::host::{Host, HostError};
use crate::report::{Item, Verdict};
use crate::sys;

/// Locked memory one shard may need, in bytes. glommio 0.9 registers its default 10 MiB of I/O memory with each of its
/// three rings and the kernel counts each registration; 2 MiB are left for the socket ring's buffers.
pub const MEMLOCK_PER_SHARD: u64 = 32 << 20;

/// Locked memory wanted at least, in bytes: a host of two shards.
pub const MEMLOCK_WANTED_MIN: u64 = 2 * MEMLOCK_PER_SHARD;

/// glommio 0.9 refuses to start an executor below this many bytes.
const MEMLOCK_NEEDED: u64 = 512 << 10;

/// Open files wanted: one for each connection, and some tens for rings, log segments and venues.
pub const NOFILE_WANTED: u64 = 65_536;

/// Below this even a small installation refuses connections.
const NOFILE_NEEDED: u64 = 1_024;

const WHY_MEMLOCK: &str =
    "io_uring buffers are locked; without enough each direct read and write pins its pages again";
const WHY_NOFILE: &str =
    "one descriptor for each connection; at the limit accept fails and clients are refused";

/// A soft limit before and after [`raise_soft_limits`]. `u64::MAX` is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoftLimit {
    /// What it was.
    pub before: u64,
    /// What it is.
    pub after: u64,
}

/// What [`raise_soft_limits`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoftLimits {
    /// RLIMIT_MEMLOCK, in bytes.
    pub memlock: SoftLimit,
    /// RLIMIT_NOFILE, in descriptors.
    pub nofile: SoftLimit,
}

/// Raises this process's soft limits for locked memory and open files to their hard limits, which needs no privilege.
/// Call once at start, before the shards are started.
///
/// # Errors
///
/// The system's answer when a limit cannot be read or set.
pub fn raise_soft_limits() -> io::Result<SoftLimits> {
    let raise = |resource| {
        let sys::Limit { soft, hard } = sys::limit(resource)?;
        if soft < hard {
            sys::set_limit(resource, sys::Limit { soft: hard, hard })?;
        }
        Ok::<_, io::Error>(SoftLimit { before: soft, after: sys::limit(resource)?.soft })
    };
    Ok(SoftLimits { memlock: raise(sys::Resource::LockedMemory)?, nofile: raise(sys::Resource::OpenFiles)? })
}

/// The items about limits for a server of `shards` shards.
pub(crate) fn items(host: &Host, shards: usize) -> Vec<Item> {
    vec![memlock(host, shards), nofile(host)]
}

fn memlock(host: &Host, shards: usize) -> Item {
    const NAME: &str = "memlock";
    let wanted =
        u64::try_from(shards).unwrap_or(u64::MAX).saturating_mul(MEMLOCK_PER_SHARD).max(MEMLOCK_WANTED_MIN);
    let wanted_text = format!("{} MiB ({} for each shard)", wanted >> 20, MEMLOCK_PER_SHARD >> 20);
    let limit = match hard_limit(host, "Max locked memory") {
        Ok(limit) => limit,
        Err(error) => return Item::unreadable(NAME, &error, wanted_text, WHY_MEMLOCK),
    };
    let now = match limit {
        u64::MAX => "unlimited".to_owned(),
        bytes => format!("{} KiB", bytes >> 10),
    };
    let item = Item::ok(NAME, now, wanted_text, WHY_MEMLOCK);
    if limit >= wanted {
        return item;
    }
    let verdict = if limit < MEMLOCK_NEEDED { Verdict::Bad } else { Verdict::Warn };
    item.but(verdict, format!("LimitMEMLOCK={}M (unit file), or ulimit -l {}", wanted >> 20, wanted >> 10))
}

fn nofile(host: &Host) -> Item {
    const NAME: &str = "nofile";
    let wanted = format!("{NOFILE_WANTED}");
    let limit = match hard_limit(host, "Max open files") {
        Ok(limit) => limit,
        Err(error) => return Item::unreadable(NAME, &error, wanted, WHY_NOFILE),
    };
    let now = if limit == u64::MAX { "unlimited".to_owned() } else { limit.to_string() };
    let item = Item::ok(NAME, now, wanted, WHY_NOFILE);
    if limit >= NOFILE_WANTED {
        return item;
    }
    let verdict = if limit < NOFILE_NEEDED { Verdict::Bad } else { Verdict::Warn };
    item.but(verdict, format!("LimitNOFILE={NOFILE_WANTED} (unit file), or ulimit -n {NOFILE_WANTED}"))
}

/// The hard limit: the server raises its soft limits to it at start. `u64::MAX` is unlimited.
fn hard_limit(host: &Host, row: &str) -> Result<u64, HostError> {
    let text = host.read_process("limits")?;
    text.lines()
        .find_map(|line| line.strip_prefix(row))
        .and_then(|values| match values.split_whitespace().nth(1)? {
            "unlimited" => Some(u64::MAX),
            number => number.parse().ok(),
        })
        .ok_or_else(|| host.not_understood(&host.process_path("limits"), &text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fixture::Fixture;

    fn limits(memlock: &str, nofile: &str) -> Fixture {
        Fixture::new(&[(
            "proc/self/limits",
            &format!(
                "Limit                     Soft Limit           Hard Limit           Units     \n\
                 Max open files            1024                 {nofile}              files     \n\
                 Max locked memory         65536                {memlock}              bytes     \n"
            ),
        )])
    }

    #[test]
    fn memlock_grows_with_the_shards_and_the_remedy_is_the_line_to_set() {
        let fixture = limits("67108864", "524288");
        assert_eq!(memlock(&fixture.host(), 1).verdict, Verdict::Ok);
        assert_eq!(memlock(&fixture.host(), 2).verdict, Verdict::Ok);
        let item = memlock(&fixture.host(), 3);
        assert_eq!((item.verdict, item.now.as_str()), (Verdict::Warn, "65536 KiB"));
        assert_eq!(item.remedy.unwrap(), "LimitMEMLOCK=96M (unit file), or ulimit -l 98304");
        assert_eq!(memlock(&limits("unlimited", "1").host(), 64).verdict, Verdict::Ok);
    }

    #[test]
    fn memlock_below_what_an_executor_needs_is_bad() {
        let item = memlock(&limits("65536", "524288").host(), 2);
        assert_eq!(item.verdict, Verdict::Bad);
        assert!(item.remedy.unwrap().starts_with("LimitMEMLOCK=64M "));
    }

    #[test]
    fn the_hard_limit_of_open_files_counts() {
        assert_eq!(nofile(&limits("1", "524288").host()).verdict, Verdict::Ok);
        let item = nofile(&limits("1", "4096").host());
        assert_eq!((item.verdict, item.now.as_str()), (Verdict::Warn, "4096"));
        assert!(item.remedy.unwrap().starts_with("LimitNOFILE=65536 "));
        assert_eq!(nofile(&limits("1", "256").host()).verdict, Verdict::Bad);
    }

    #[test]
    fn a_missing_row_is_unknown_not_fine() {
        let fixture = Fixture::new(&[("proc/self/limits", "Limit Soft Hard\n")]);
        for item in items(&fixture.host(), 1) {
            assert_eq!(item.verdict, Verdict::Warn);
            assert!(item.now.starts_with("unknown: "), "{}", item.now);
        }
    }

    #[test]
    fn soft_limits_reach_the_hard_ones() {
        let raised = raise_soft_limits().unwrap();
        assert_eq!(raised.nofile.after, sys::limit(sys::Resource::OpenFiles).unwrap().hard);
        assert_eq!(raised.memlock.after, sys::limit(sys::Resource::LockedMemory).unwrap().hard);
    }
}
