//! A host with everything wrong: each finding is named, judged and given its line to set.

use std::path::PathBuf;
use std::time::Duration;

use tuning::{CheckOptions, Report, Verdict, check};

fn report(files: &[(&str, &str)]) -> Report {
    let root = tempfile::tempdir().expect("a directory for the made-up host");
    for (path, text) in files {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().expect("joined to a root"))
            .expect("making a fixture directory");
        std::fs::write(path, text).expect("writing a fixture");
    }
    let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a data directory on disk");
    check(&CheckOptions {
        root: root.path().to_owned(),
        data_dir: data.path().to_owned(),
        flush_samples: 2,
        steal_sample: Duration::ZERO,
        ..CheckOptions::default()
    })
}

const BAD_HOST: &[(&str, &str)] = &[
    ("proc/sys/kernel/osrelease", "5.10.0-8-amd64\n"),
    ("proc/sys/kernel/io_uring_disabled", "1\n"),
    ("proc/self/status", "Name:\tx\nSeccomp:\t0\nCpus_allowed_list:\t0-3\n"),
    ("proc/self/cgroup", "0::/slice/x\n"),
    ("sys/fs/cgroup/slice/cpu.max", "50000 100000\n"),
    (
        "proc/self/limits",
        "Limit Soft Hard Units\nMax open files 256 256 files\nMax locked memory 65536 65536 bytes\n",
    ),
    ("proc/stat", "cpu  100 0 100 700 0 0 0 100 0 0\n"),
    ("proc/swaps", "Filename Type\n/swapfile file\n"),
    ("proc/sys/vm/swappiness", "60\n"),
    ("proc/interrupts", "      CPU0 CPU1\n 1: 1 1 x\n"),
    ("proc/sys/net/core/somaxconn", "128\n"),
    ("proc/sys/net/ipv4/tcp_max_syn_backlog", "256\n"),
    ("proc/sys/net/ipv4/tcp_syncookies", "0\n"),
    ("proc/sys/net/ipv4/tcp_slow_start_after_idle", "1\n"),
    ("sys/devices/system/cpu/online", "0-3\n"),
    ("sys/devices/system/cpu/cpu0/topology/core_cpus_list", "0-1\n"),
    ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n"),
    ("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet\n"),
    ("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n"),
];

#[test]
fn every_wrong_setting_is_found_with_its_remedy() {
    let report = report(BAD_HOST);
    let expected = [
        ("kernel", Verdict::Bad, "newer kernel"),
        ("cpu_quota", Verdict::Bad, "CPUQuota="),
        ("cpu_governor", Verdict::Warn, "cpupower frequency-set -g performance"),
        ("steal_time", Verdict::Bad, "dedicated CPUs"),
        ("memlock", Verdict::Bad, "LimitMEMLOCK=64M"),
        ("nofile", Verdict::Bad, "LimitNOFILE=65536"),
        ("clock_source", Verdict::Bad, "clocksource=tsc"),
        ("transparent_huge_pages", Verdict::Warn, "transparent_hugepage=madvise"),
        ("swappiness", Verdict::Warn, "vm.swappiness = 1"),
        ("somaxconn", Verdict::Warn, "net.core.somaxconn = 4096"),
        ("syn_backlog", Verdict::Warn, "net.ipv4.tcp_max_syn_backlog = 4096"),
        ("syncookies", Verdict::Warn, "net.ipv4.tcp_syncookies = 1"),
        ("slow_start_after_idle", Verdict::Warn, "net.ipv4.tcp_slow_start_after_idle = 0"),
    ];
    for (name, verdict, remedy) in expected {
        let item = report.item(name).unwrap_or_else(|| panic!("no item {name}"));
        assert_eq!(item.verdict, verdict, "{item:?}");
        assert!(item.remedy.as_deref().unwrap().contains(remedy), "{item:?}");
        assert!(report.render_table().contains(remedy), "the table lacks {remedy}");
    }
    // Half a CPU pays for one parked shard on the first CPU.
    assert!(report.item("cpus_allowed").unwrap().now.contains("shards on 0, parked"));
    assert_eq!(report.exit_code(), 2);
}

#[test]
fn a_host_that_shows_nothing_is_never_fine() {
    let report = report(&[]);
    assert_ne!(report.worst(), Verdict::Ok);
    for name in ["kernel", "cpus_allowed", "cpu_quota", "steal_time", "memlock", "nofile", "clock_source"] {
        let item = report.item(name).unwrap();
        assert_eq!(item.verdict, Verdict::Warn, "{item:?}");
        assert!(item.now.starts_with("unknown: "), "{item:?}");
    }
}

#[test]
fn each_name_occurs_once_and_whatever_is_not_ok_has_a_remedy() {
    let report = report(BAD_HOST);
    for (index, item) in report.items.iter().enumerate() {
        assert!(report.items[..index].iter().all(|other| other.name != item.name), "{} twice", item.name);
        assert_eq!(item.remedy.is_some(), item.verdict != Verdict::Ok, "{item:?}");
        assert!(!item.why.is_empty() && !item.wanted.is_empty() && !item.now.is_empty(), "{item:?}");
    }
}

#[test]
fn this_host_can_be_read() {
    let report = check(&CheckOptions {
        data_dir: PathBuf::from(env!("CARGO_TARGET_TMPDIR")),
        flush_samples: 4,
        steal_sample: Duration::from_millis(20),
        ..CheckOptions::default()
    });
    for name in ["kernel", "cpus_allowed", "memlock", "nofile", "steal_time", "data_flush"] {
        let item = report.item(name).unwrap();
        assert!(!item.now.starts_with("unknown"), "{item:?}");
    }
}
