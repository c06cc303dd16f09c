//! The CPU quota of the judged process's control group, version 2 or 1.
//!
//! **Invariants**: a quota on any ancestor counts, because the kernel enforces each level.

use crate::host::{Host, HostError};

/// The tightest CPU quota over the group and its ancestors, in thousandths of a CPU; `None` when there is none.
///
/// # Errors
///
/// When `/proc/<pid>/cgroup` cannot be read, or a quota is not understood.
pub(crate) fn cpu_quota_milli(host: &Host) -> Result<Option<u64>, HostError> {
    let memberships = host.read_process("cgroup")?;
    let mut tightest = None;
    for line in memberships.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(group)) = (fields.next(), fields.next(), fields.next()) else {
            return Err(host.not_understood(&host.process_path("cgroup"), line));
        };
        let (mount, quota_of): (&str, QuotaOf) = if controllers.is_empty() {
            ("sys/fs/cgroup", unified_quota)
        } else if controllers.split(',').any(|controller| controller == "cpu") {
            ("sys/fs/cgroup/cpu", legacy_quota)
        } else {
            continue;
        };
        for directory in lineage(mount, group) {
            if let Some(milli) = quota_of(host, &directory)? {
                tightest = Some(tightest.map_or(milli, |other: u64| other.min(milli)));
            }
        }
    }
    Ok(tightest)
}

type QuotaOf = fn(&Host, &str) -> Result<Option<u64>, HostError>;

/// The group's directory and those of its ancestors, up to the mount. In a container whose view of the tree starts at its
/// own group, the mount itself is that group.
fn lineage(mount: &str, group: &str) -> Vec<String> {
    let mut directories = vec![mount.to_owned()];
    let mut path = mount.to_owned();
    for part in group.split('/').filter(|part| !part.is_empty() && *part != "..") {
        path = format!("{path}/{part}");
        directories.push(path.clone());
    }
    directories
}

/// Version 2: `cpu.max` is `QUOTA PERIOD` or `max PERIOD`. The root group has no such file.
fn unified_quota(host: &Host, directory: &str) -> Result<Option<u64>, HostError> {
    let path = format!("{directory}/cpu.max");
    let Ok(text) = host.read(&path) else { return Ok(None) };
    let mut words = text.split_whitespace();
    match (words.next(), words.next().and_then(|period| period.parse::<u64>().ok())) {
        (Some("max"), _) => Ok(None),
        (Some(quota), Some(period)) if period > 0 => match quota.parse::<u64>() {
            Ok(quota) => Ok(Some(quota.saturating_mul(1000) / period)),
            Err(_) => Err(host.not_understood(&path, &text)),
        },
        _ => Err(host.not_understood(&path, &text)),
    }
}

/// Version 1: `cpu.cfs_quota_us` is -1 for none.
fn legacy_quota(host: &Host, directory: &str) -> Result<Option<u64>, HostError> {
    let path = format!("{directory}/cpu.cfs_quota_us");
    let Ok(text) = host.read(&path) else { return Ok(None) };
    let quota: i64 = text.parse().map_err(|_| host.not_understood(&path, &text))?;
    let Ok(quota) = u64::try_from(quota) else { return Ok(None) };
    let period = host.read_number(&format!("{directory}/cpu.cfs_period_us"))?;
    Ok(Some(quota.saturating_mul(1000) / period.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fixture::Fixture;

    #[test]
    fn the_tightest_ancestor_counts() {
        let fixture = Fixture::new(&[
            ("proc/self/cgroup", "0::/kubepods/pod1/c1\n"),
            ("sys/fs/cgroup/kubepods/cpu.max", "800000 100000\n"),
            ("sys/fs/cgroup/kubepods/pod1/cpu.max", "150000 100000\n"),
            ("sys/fs/cgroup/kubepods/pod1/c1/cpu.max", "max 100000\n"),
        ]);
        assert_eq!(cpu_quota_milli(&fixture.host()).unwrap(), Some(1500));
    }

    #[test]
    fn version_one_and_no_quota() {
        let fixture = Fixture::new(&[
            ("proc/self/cgroup", "4:memory:/x\n3:cpu,cpuacct:/x\n0::/\n"),
            ("sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "50000\n"),
            ("sys/fs/cgroup/cpu/x/cpu.cfs_period_us", "100000\n"),
        ]);
        assert_eq!(cpu_quota_milli(&fixture.host()).unwrap(), Some(500));
        fixture.write("sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "-1\n");
        assert_eq!(cpu_quota_milli(&fixture.host()).unwrap(), None);
    }

    #[test]
    fn a_container_sees_its_own_group_at_the_mount() {
        let fixture = Fixture::new(&[
            ("proc/self/cgroup", "0::/../../c1\n"),
            ("sys/fs/cgroup/cpu.max", "250000 100000\n"),
        ]);
        assert_eq!(cpu_quota_milli(&fixture.host()).unwrap(), Some(2500));
    }

    #[test]
    fn nonsense_is_an_error() {
        let fixture =
            Fixture::new(&[("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/cpu.max", "lots 100000\n")]);
        assert!(cpu_quota_milli(&fixture.host()).is_err());
    }
}
