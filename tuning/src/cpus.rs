//! CPUs: mask, quota, cores and nodes, frequency governor, interrupts, steal time.

use crate::cgroup;
use crate::host::{Host, HostError, format_cpu_list, parse_cpu_list};
use crate::placement::Plan;
use crate::report::{Item, Verdict};

const WHY_MASK: &str =
    "each shard is pinned to one CPU; with three or more, CPU time for housekeeping is kept apart";
const WHY_QUOTA: &str =
    "when the quota is spent the kernel stops every shard until the period ends, up to 100 ms";
const WHY_CORES: &str =
    "two shards on the threads of one core share its caches and units, and slow each other down";
const WHY_NODES: &str = "each message between shards on different memory nodes crosses the link between them";
const WHY_GOVERNOR: &str = "a core that slept or slowed down answers the next request late";
const WHY_INTERRUPTS: &str = "a device interrupt on a shard's CPU stops that shard for its handler's time";
const WHY_STEAL: &str = "time the hypervisor gave to others: a shard stands still without knowing it";

/// The items about CPUs, in the report's order. `plan` is `None` when the mask cannot be read.
pub(crate) fn items(host: &Host, plan: Option<&Plan>) -> Vec<Item> {
    let mut items = vec![affinity(host, plan), quota(host, plan)];
    if let Some(plan) = plan {
        items.push(cores(host, plan));
        items.push(nodes(host, plan));
        items.push(governor(host, plan));
        items.push(interrupts(host, plan));
    }
    items
}

/// The CPUs the process may run on, against those that are online.
fn affinity(host: &Host, plan: Option<&Plan>) -> Item {
    const NAME: &str = "cpus_allowed";
    const WANTED: &str = "2 or more; 3 keep housekeeping apart";
    let allowed = host.process_field("status", "Cpus_allowed_list").and_then(|list| {
        parse_cpu_list(&list).ok_or_else(|| host.not_understood(&host.process_path("status"), &list))
    });
    let (allowed, plan) = match (allowed, plan) {
        (Ok(allowed), Some(plan)) => (allowed, plan),
        (Err(error), _) => return Item::unreadable(NAME, &error, WANTED, WHY_MASK),
        (Ok(_), None) => return Item::unreadable(NAME, &HostError::NoCpus, WANTED, WHY_MASK),
    };
    let online = host.read("sys/devices/system/cpu/online").unwrap_or_else(|_| "?".to_owned());
    let housekeeping = plan.housekeeping.map_or_else(|| "shared".to_owned(), |cpu| format!("on {cpu}"));
    let now = format!(
        "{} of {online}: shards on {}{}, housekeeping {housekeeping}",
        format_cpu_list(&allowed),
        plan.shard_cpus.iter().map(usize::to_string).collect::<Vec<_>>().join(","),
        if plan.parked { ", parked" } else { "" },
    );
    let item = Item::ok(NAME, now, WANTED, WHY_MASK);
    match (allowed.len(), parse_cpu_list(&online)) {
        (1, _) => item.but(Verdict::Warn, "AllowedCPUs=0-2 (unit file), or a host with 3 CPUs or more"),
        (2, Some(online)) if online.len() > 2 => {
            item.but(Verdict::Warn, "AllowedCPUs=0-2 (unit file): more CPUs are online than are allowed")
        }
        // Two CPUs are a supported size: two parked shards.
        _ => item,
    }
}

/// The control group's CPU quota against what the plan uses.
fn quota(host: &Host, plan: Option<&Plan>) -> Item {
    const NAME: &str = "cpu_quota";
    const WANTED: &str = "none";
    match cgroup::cpu_quota_milli(host) {
        Err(error) => Item::unreadable(NAME, &error, WANTED, WHY_QUOTA),
        Ok(None) => Item::ok(NAME, "none", WANTED, WHY_QUOTA),
        Ok(Some(milli)) => {
            let now = format!("{}.{:02} CPUs", milli / 1000, milli % 1000 / 10);
            let busy =
                plan.map_or(1, |plan| plan.shard_cpus.len() + usize::from(plan.housekeeping.is_some()));
            let enough = milli / 1000 >= u64::try_from(busy).unwrap_or(u64::MAX);
            Item::ok(NAME, now, WANTED, WHY_QUOTA).but(
                if enough { Verdict::Warn } else { Verdict::Bad },
                "CPUQuota= (unit file, empty: none) and limit by AllowedCPUs=; in Kubernetes whole CPUs, \
                 request = limit, with the static CPU manager",
            )
        }
    }
}

/// Whether two shards share a physical core.
fn cores(host: &Host, plan: &Plan) -> Item {
    const NAME: &str = "cores";
    const WANTED: &str = "one shard on a core";
    let mut seen: Vec<Vec<usize>> = Vec::new();
    let mut first_threads = Vec::new();
    let mut shared = 0_usize;
    let mut shard_cpus = plan.shard_cpus.clone();
    shard_cpus.sort_unstable();
    shard_cpus.dedup();
    for &cpu in &shard_cpus {
        let topology = format!("sys/devices/system/cpu/cpu{cpu}/topology");
        let siblings = host
            .read_cpu_list(&format!("{topology}/core_cpus_list"))
            .or_else(|_| host.read_cpu_list(&format!("{topology}/thread_siblings_list")));
        match siblings {
            Err(error) => return Item::unreadable(NAME, &error, WANTED, WHY_CORES),
            Ok(siblings) if seen.contains(&siblings) => shared += 1,
            Ok(siblings) => {
                seen.push(siblings);
                first_threads.push(cpu);
            }
        }
    }
    let smt = match host.read("sys/devices/system/cpu/smt/active").as_deref() {
        Ok("1") => "SMT on",
        Ok("0") => "SMT off",
        _ => "SMT unknown",
    };
    let now = format!("{smt}, shards beside another on its core: {shared}");
    let item = Item::ok(NAME, now, WANTED, WHY_CORES);
    if shared == 0 {
        return item;
    }
    let mut wanted: Vec<usize> = plan.housekeeping.into_iter().chain(first_threads).collect();
    wanted.sort_unstable();
    item.but(
        Verdict::Warn,
        format!("AllowedCPUs={} (unit file): one thread of each core", format_cpu_list(&wanted)),
    )
}

/// Whether the plan's CPUs lie on one memory node.
fn nodes(host: &Host, plan: &Plan) -> Item {
    const NAME: &str = "memory_nodes";
    const WANTED: &str = "all shards on one node";
    let online = match host.read_cpu_list("sys/devices/system/node/online") {
        Ok(online) => online,
        // A kernel without NUMA has no such directory: one node.
        Err(HostError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => vec![0],
        Err(error) => return Item::unreadable(NAME, &error, WANTED, WHY_NODES),
    };
    if online.len() <= 1 {
        return Item::ok(NAME, "1 node", WANTED, WHY_NODES);
    }
    let mut used = Vec::new();
    for &node in &online {
        match host.read_cpu_list(&format!("sys/devices/system/node/node{node}/cpulist")) {
            Ok(cpus) if plan.shard_cpus.iter().any(|cpu| cpus.contains(cpu)) => used.push((node, cpus)),
            Ok(_) => {}
            Err(error) => return Item::unreadable(NAME, &error, WANTED, WHY_NODES),
        }
    }
    let now = format!("{} nodes, shards on {} of them", online.len(), used.len());
    let item = Item::ok(NAME, now, WANTED, WHY_NODES);
    match used.first() {
        Some((node, cpus)) if used.len() > 1 => item.but(
            Verdict::Warn,
            format!("AllowedCPUs={} and NUMAPolicy=bind, NUMAMask={node} (unit file)", format_cpu_list(cpus)),
        ),
        _ => item,
    }
}

/// The frequency governor of the shards' CPUs.
fn governor(host: &Host, plan: &Plan) -> Item {
    const NAME: &str = "cpu_governor";
    const WANTED: &str = "performance";
    let mut found: Vec<String> = plan
        .shard_cpus
        .iter()
        .filter_map(|cpu| {
            host.read(&format!("sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor")).ok()
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    if found.is_empty() {
        return Item::ok(NAME, "set by the hypervisor or firmware", WANTED, WHY_GOVERNOR);
    }
    let item = Item::ok(NAME, found.join(","), WANTED, WHY_GOVERNOR);
    if found == ["performance"] {
        item
    } else {
        item.but(Verdict::Warn, "cpupower frequency-set -g performance")
    }
}

/// The share of device interrupts since boot that hit the shards' CPUs.
fn interrupts(host: &Host, plan: &Plan) -> Item {
    const NAME: &str = "interrupts";
    const WANTED: &str = "at most 10 % on shard CPUs";
    let Some(housekeeping) = plan.housekeeping else {
        return Item::ok(NAME, "shards share all CPUs", "any", WHY_INTERRUPTS);
    };
    let counted = host.read("proc/interrupts").and_then(|text| {
        device_interrupts(&text, &plan.shard_cpus)
            .ok_or_else(|| host.not_understood("proc/interrupts", &text))
    });
    match counted {
        Err(error) => Item::unreadable(NAME, &error, WANTED, WHY_INTERRUPTS),
        Ok((on_shards, all)) => {
            let percent = on_shards.saturating_mul(100) / all.max(1);
            let item = Item::ok(NAME, format!("{percent} % since boot"), WANTED, WHY_INTERRUPTS);
            if percent <= 10 {
                return item;
            }
            item.but(
                Verdict::Warn,
                format!(
                    "systemctl disable --now irqbalance; for each N of the network card and disk in \
                     /proc/interrupts: echo {housekeeping} > /proc/irq/N/smp_affinity_list"
                ),
            )
        }
    }
}

/// Numbered (device) interrupts on `cpus`, and on all CPUs. `None` when the text is not a table of interrupts.
fn device_interrupts(text: &str, cpus: &[usize]) -> Option<(u64, u64)> {
    let mut lines = text.lines();
    let columns: Vec<usize> = lines
        .next()?
        .split_whitespace()
        .map(|name| name.strip_prefix("CPU")?.parse().ok())
        .collect::<Option<_>>()?;
    let (mut on_cpus, mut all) = (0_u64, 0_u64);
    for line in lines {
        let Some((label, counts)) = line.split_once(':') else { continue };
        if label.trim().parse::<u32>().is_err() {
            continue;
        }
        for (count, cpu) in counts.split_whitespace().zip(&columns) {
            // A short row ends in the device's name.
            let Ok(count) = count.parse::<u64>() else { break };
            all = all.saturating_add(count);
            if cpus.contains(cpu) {
                on_cpus = on_cpus.saturating_add(count);
            }
        }
    }
    Some((on_cpus, all))
}

/// Clock ticks since boot over all CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticks {
    stolen: u64,
    all: u64,
}

/// Reads the first line of `/proc/stat`.
pub(crate) fn read_steal(host: &Host) -> Result<Ticks, HostError> {
    let text = host.read("proc/stat")?;
    let line = text.lines().next().unwrap_or_default();
    let ticks: Option<Vec<u64>> = line
        .strip_prefix("cpu ")
        .map(|fields| fields.split_whitespace().map_while(|field| field.parse().ok()).collect());
    match ticks {
        // user nice system idle iowait irq softirq steal; what follows (guest) is contained in user.
        Some(ticks) if ticks.len() >= 8 => Ok(Ticks { stolen: ticks[7], all: ticks[..8].iter().sum() }),
        _ => Err(host.not_understood("proc/stat", line)),
    }
}

/// Judges the steal time between two readings.
pub(crate) fn steal(before: Result<Ticks, HostError>, after: Result<Ticks, HostError>) -> Item {
    const NAME: &str = "steal_time";
    const WANTED: &str = "under 1 %";
    let (before, after) = match (before, after) {
        (Ok(before), Ok(after)) => (before, after),
        (Err(error), _) | (_, Err(error)) => return Item::unreadable(NAME, &error, WANTED, WHY_STEAL),
    };
    let per_mille = |stolen: u64, all: u64| stolen.saturating_mul(1000) / all.max(1);
    let sample = Ticks {
        stolen: after.stolen.saturating_sub(before.stolen),
        all: after.all.saturating_sub(before.all),
    };
    let (sampled, since_boot) = (per_mille(sample.stolen, sample.all), per_mille(after.stolen, after.all));
    let now = format!(
        "{}.{} % over {} ticks, {}.{} % since boot",
        sampled / 10,
        sampled % 10,
        sample.all,
        since_boot / 10,
        since_boot % 10
    );
    let item = Item::ok(NAME, now, WANTED, WHY_STEAL);
    let remedy = "move to dedicated CPUs (an instance type without CPU credits or overcommit)";
    // One stolen tick of a short sample is already over 1 %, so a sample counts from the second on.
    let sampled = if sample.stolen > 1 { sampled } else { 0 };
    match sampled.max(since_boot) {
        50.. => item.but(Verdict::Bad, remedy),
        10.. => item.but(Verdict::Warn, remedy),
        _ => item,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fixture::Fixture;
    use crate::placement::plan;

    #[test]
    fn siblings_on_one_core_are_seen_and_the_remedy_names_one_thread_each() {
        let fixture = Fixture::new(&[("sys/devices/system/cpu/smt/active", "1\n")]);
        for (cpu, list) in [(1, "0-1"), (2, "2-3"), (3, "2-3")] {
            fixture.write(&format!("sys/devices/system/cpu/cpu{cpu}/topology/core_cpus_list"), list);
        }
        let item = cores(&fixture.host(), &plan(&[0, 1, 2, 3], None));
        assert_eq!(item.verdict, Verdict::Warn);
        assert_eq!(item.now, "SMT on, shards beside another on its core: 1");
        assert!(item.remedy.unwrap().starts_with("AllowedCPUs=0-2 "));
    }

    #[test]
    fn an_old_kernel_names_siblings_otherwise() {
        let fixture = Fixture::new(&[("sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "0")]);
        assert_eq!(cores(&fixture.host(), &plan(&[0], None)).verdict, Verdict::Ok);
        assert_eq!(cores(&fixture.host(), &plan(&[1], None)).verdict, Verdict::Warn, "unknown");
    }

    #[test]
    fn shards_over_two_memory_nodes() {
        let fixture = Fixture::new(&[
            ("sys/devices/system/node/online", "0-1\n"),
            ("sys/devices/system/node/node0/cpulist", "0-3\n"),
            ("sys/devices/system/node/node1/cpulist", "4-7\n"),
        ]);
        let cpus: Vec<usize> = (0..8).collect();
        let item = nodes(&fixture.host(), &plan(&cpus, None));
        assert_eq!((item.verdict, item.now.as_str()), (Verdict::Warn, "2 nodes, shards on 2 of them"));
        assert!(item.remedy.unwrap().starts_with("AllowedCPUs=0-3 and NUMAPolicy=bind, NUMAMask=0"));
        assert_eq!(nodes(&fixture.host(), &plan(&cpus[..4], None)).verdict, Verdict::Ok);
        assert_eq!(nodes(&Fixture::new(&[]).host(), &plan(&cpus, None)).now, "1 node");
    }

    #[test]
    fn a_quota_below_the_plan_is_bad() {
        let fixture = Fixture::new(&[
            ("proc/self/status", "Cpus_allowed_list:\t0-3\n"),
            ("proc/self/cgroup", "0::/x\n"),
            ("sys/fs/cgroup/x/cpu.max", "350000 100000\n"),
        ]);
        let item = quota(&fixture.host(), Some(&plan(&[0, 1, 2, 3], None)));
        assert_eq!((item.verdict, item.now.as_str()), (Verdict::Bad, "3.50 CPUs"));
        fixture.write("sys/fs/cgroup/x/cpu.max", "400000 100000\n");
        assert_eq!(quota(&fixture.host(), Some(&plan(&[0, 1, 2, 3], None))).verdict, Verdict::Warn);
        fixture.write("sys/fs/cgroup/x/cpu.max", "max 100000\n");
        assert_eq!(quota(&fixture.host(), None).verdict, Verdict::Ok);
    }

    #[test]
    fn a_narrow_mask_on_a_wide_host_warns() {
        let fixture = Fixture::new(&[
            ("proc/self/status", "Cpus_allowed_list:\t2,5\n"),
            ("sys/devices/system/cpu/online", "0-7\n"),
        ]);
        let item = affinity(&fixture.host(), Some(&plan(&[2, 5], None)));
        assert_eq!(item.verdict, Verdict::Warn);
        assert_eq!(item.now, "2,5 of 0-7: shards on 2,5, parked, housekeeping shared");
        fixture.write("sys/devices/system/cpu/online", "2,5\n");
        assert_eq!(affinity(&fixture.host(), Some(&plan(&[2, 5], None))).verdict, Verdict::Ok);
        fixture.write("proc/self/status", "Cpus_allowed_list:\t5\n");
        assert_eq!(affinity(&fixture.host(), Some(&plan(&[5], None))).verdict, Verdict::Warn);
    }

    #[test]
    fn only_a_saving_governor_warns() {
        let path = "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor";
        let fixture = Fixture::new(&[(path, "powersave\n")]);
        assert_eq!(governor(&fixture.host(), &plan(&[0], None)).verdict, Verdict::Warn);
        fixture.write(path, "performance\n");
        assert_eq!(governor(&fixture.host(), &plan(&[0], None)).verdict, Verdict::Ok);
        assert_eq!(governor(&Fixture::new(&[]).host(), &plan(&[0], None)).verdict, Verdict::Ok);
    }

    #[test]
    fn device_interrupts_are_counted_by_cpu() {
        let text = "           CPU0       CPU1       CPU2
  1:         70          0         20  IO-APIC   1-edge      i8042
 24:         10          0          0  PCI-MSI 512-edge      virtio0-input.0
LOC:     999999     999999     999999  Local timer interrupts
ERR:          0";
        assert_eq!(device_interrupts(text, &[1, 2]), Some((20, 100)));
        assert_eq!(device_interrupts("junk", &[1]), None);
        let fixture = Fixture::new(&[("proc/interrupts", text)]);
        let item = interrupts(&fixture.host(), &plan(&[0, 1, 2], None));
        assert_eq!((item.verdict, item.now.as_str()), (Verdict::Warn, "20 % since boot"));
        assert!(item.remedy.unwrap().contains("echo 0 > /proc/irq/N/smp_affinity_list"));
        assert_eq!(interrupts(&fixture.host(), &plan(&[0, 1], None)).verdict, Verdict::Ok, "parked");
    }

    #[test]
    fn steal_is_the_eighth_field_and_guest_is_not_counted_twice() {
        let fixture = Fixture::new(&[("proc/stat", "cpu  10 0 10 70 0 0 0 10 5 0\ncpu0 1 1\n")]);
        assert_eq!(read_steal(&fixture.host()).unwrap(), Ticks { stolen: 10, all: 100 });
        fixture.write("proc/stat", "cpu  10 0\n");
        assert!(read_steal(&fixture.host()).is_err());
    }

    #[test]
    fn steal_is_judged_over_the_sample_and_since_boot() {
        let judge = |before: (u64, u64), after: (u64, u64)| {
            let ticks = |(stolen, all)| Ok(Ticks { stolen, all });
            steal(ticks(before), ticks(after)).verdict
        };
        assert_eq!(judge((0, 100_000), (0, 100_100)), Verdict::Ok);
        assert_eq!(judge((0, 100_000), (1, 100_040)), Verdict::Ok, "a single tick is no finding");
        assert_eq!(judge((0, 100_000), (3, 100_100)), Verdict::Warn);
        assert_eq!(judge((0, 100_000), (10, 100_100)), Verdict::Bad);
        assert_eq!(judge((2_000, 100_000), (2_000, 100_100)), Verdict::Warn, "since boot");
        assert_eq!(judge((9_000, 100_000), (9_000, 100_100)), Verdict::Bad, "since boot");
    }
}
