//! Which CPU each shard runs on, and where everything else runs.
//!
//! **Invariants**: a CPU with a shard of its own has no housekeeping thread; shards are parked, never spinning, as soon as
//! one of them shares its CPU with another shard or with housekeeping, or when a quota could run out under spinners.
//! **Bounds**: 1 to [`SHARDS_MAX`] shards.

use crate::cgroup;
use crate::host::{Host, HostError};

/// Most shards a plan has. The mesh holds a ring for each ordered pair of shards, so memory grows with the square: 64
/// shards are 4,032 rings.
pub const SHARDS_MAX: usize = 64;

/// Where threads run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The CPU of each shard, by shard number. CPUs repeat only when there are more shards than CPUs.
    pub shard_cpus: Vec<usize>,
    /// The CPU of the housekeeping threads (and, by the operator's setting, of the device interrupts); `None`: they
    /// share all allowed CPUs with the shards.
    pub housekeeping: Option<usize>,
    /// Whether idle shards must park at once because their CPU has other work.
    pub parked: bool,
}

/// Places `shards` shards (its own choice when `None`) on the allowed CPUs.
///
/// One CPU: one parked shard. Two: two parked shards. Three or more: housekeeping on the lowest CPU and one shard on each
/// other, up to [`SHARDS_MAX`]. A given number of shards that leaves the lowest CPU free is placed the same way; a larger
/// one goes round-robin over all CPUs, parked. Numbers outside 1 to [`SHARDS_MAX`] are clamped. The order and the
/// repetitions of `allowed_cpus` do not matter.
///
/// # Panics
///
/// When `allowed_cpus` is empty: a running thread is always allowed on some CPU.
#[must_use]
pub fn plan(allowed_cpus: &[usize], shards: Option<usize>) -> Plan {
    let mut cpus = allowed_cpus.to_vec();
    cpus.sort_unstable();
    cpus.dedup();
    assert!(!cpus.is_empty(), "a running thread is always allowed on some CPU");
    let own_choice = if cpus.len() <= 2 { cpus.len() } else { cpus.len() - 1 };
    let count = shards.unwrap_or(own_choice).clamp(1, SHARDS_MAX);
    if count < cpus.len() {
        return Plan { shard_cpus: cpus[1..=count].to_vec(), housekeeping: Some(cpus[0]), parked: false };
    }
    Plan { shard_cpus: cpus.iter().copied().cycle().take(count).collect(), housekeeping: None, parked: true }
}

/// The CPUs the calling thread may run on, sorted. Call before any pinning.
///
/// # Errors
///
/// [`HostError::NoCpus`] when the kernel refuses the question.
pub fn allowed_cpus() -> Result<Vec<usize>, HostError> {
    let ids = core_affinity::get_core_ids().ok_or(HostError::NoCpus)?;
    if ids.is_empty() {
        return Err(HostError::NoCpus);
    }
    Ok(ids.into_iter().map(|core| core.id).collect())
}

/// [`plan`] for the calling thread's CPU mask and its control group's CPU quota: with a quota of 2.5 CPUs the plan uses
/// two CPUs, parked, since spinning would spend the quota and the kernel would then stop every shard for the rest of the
/// period.
///
/// # Errors
///
/// [`HostError::NoCpus`] as [`allowed_cpus`]. An unreadable control group counts as no quota.
pub fn plan_for_host(shards: Option<usize>) -> Result<Plan, HostError> {
    let host = Host::new(std::path::Path::new("/"), None);
    Ok(plan_under_quota(&allowed_cpus()?, cgroup::cpu_quota_milli(&host).unwrap_or(None), shards))
}

/// The plan for the judged process of `host`, from its recorded CPU mask.
pub(crate) fn plan_on(host: &Host, shards: Option<usize>) -> Option<Plan> {
    let list = host.process_field("status", "Cpus_allowed_list").ok()?;
    let cpus = crate::host::parse_cpu_list(&list).filter(|cpus| !cpus.is_empty())?;
    Some(plan_under_quota(&cpus, cgroup::cpu_quota_milli(host).unwrap_or(None), shards))
}

/// [`plan`] on no more CPUs than the quota (in thousandths of a CPU) pays for.
fn plan_under_quota(allowed: &[usize], quota_milli: Option<u64>, shards: Option<usize>) -> Plan {
    let affordable = quota_milli
        .map_or(allowed.len(), |milli| usize::try_from(milli / 1000).unwrap_or(usize::MAX))
        .clamp(1, allowed.len().max(1));
    if affordable == allowed.len() {
        return plan(allowed, shards);
    }
    Plan { parked: true, ..plan(&allowed[..affordable], shards) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cpus: &[usize], shards: Option<usize>, shard_cpus: &[usize], housekeeping: Option<usize>) {
        let plan = plan(cpus, shards);
        assert_eq!(plan.shard_cpus, shard_cpus, "shards on {cpus:?}");
        assert_eq!(plan.housekeeping, housekeeping, "housekeeping on {cpus:?}");
        assert_eq!(plan.parked, housekeeping.is_none(), "parking on {cpus:?}");
    }

    #[test]
    fn the_own_choice_for_each_size_of_host() {
        check(&[0], None, &[0], None);
        check(&[0, 1], None, &[0, 1], None);
        check(&[0, 1, 2], None, &[1, 2], Some(0));
        check(&[0, 1, 2, 3], None, &[1, 2, 3], Some(0));
        check(&[0, 1, 2, 3, 4, 5, 6, 7], None, &[1, 2, 3, 4, 5, 6, 7], Some(0));
        let all: Vec<usize> = (0..64).collect();
        check(&all, None, &all[1..], Some(0));
    }

    #[test]
    fn a_huge_host_stops_at_the_bound() {
        let all: Vec<usize> = (0..256).collect();
        check(&all, None, &all[1..=SHARDS_MAX], Some(0));
        assert_eq!(plan(&all, Some(10_000)).shard_cpus.len(), SHARDS_MAX);
        assert_eq!(plan(&all, Some(0)).shard_cpus, [1]);
    }

    #[test]
    fn odd_masks() {
        check(&[5], None, &[5], None);
        check(&[3, 9], None, &[3, 9], None);
        check(&[1, 3, 5, 7], None, &[3, 5, 7], Some(1));
        check(&[7, 2, 2, 63, 7, 130], None, &[7, 63, 130], Some(2));
    }

    #[test]
    fn a_given_number_of_shards() {
        check(&[0, 1], Some(1), &[1], Some(0));
        check(&[0, 1, 2, 3], Some(2), &[1, 2], Some(0));
        check(&[0, 1, 2, 3], Some(4), &[0, 1, 2, 3], None);
        check(&[0, 1], Some(3), &[0, 1, 0], None);
        check(&[4], Some(3), &[4, 4, 4], None);
    }

    #[test]
    #[should_panic(expected = "always allowed on some CPU")]
    fn no_cpu_is_refused() {
        let _ = plan(&[], None);
    }

    #[test]
    fn a_quota_limits_the_cpus_and_forbids_spinning() {
        let cpus = [0, 1, 2, 3, 4, 5, 6, 7];
        let under = |milli| plan_under_quota(&cpus, Some(milli), None);
        assert_eq!(under(4500), Plan { shard_cpus: vec![1, 2, 3], housekeeping: Some(0), parked: true });
        assert_eq!(under(2500), plan(&[0, 1], None));
        assert_eq!(under(500), plan(&[0], None));
        assert_eq!(under(8000), plan(&cpus, None));
        assert_eq!(under(64_000), plan(&cpus, None));
    }

    #[test]
    fn the_running_thread_has_a_plan() {
        let allowed = allowed_cpus().unwrap();
        let plan = plan_for_host(None).unwrap();
        assert!(plan.shard_cpus.iter().all(|cpu| allowed.contains(cpu)));
        assert!(plan.housekeeping.is_none_or(|cpu| !plan.shard_cpus.contains(&cpu)));
    }
}
