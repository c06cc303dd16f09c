//! What `deploy/` sets is what the check wants: the unit's limits and the sysctl file satisfy every item about them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tuning::{CheckOptions, MEMLOCK_PER_SHARD, NOFILE_WANTED, Report, SHARDS_MAX, Verdict, check};

fn deployed(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The value of a setting of the unit, in bytes or pieces.
fn unit_limit(setting: &str) -> u64 {
    let unit = deployed("systemd/coinbitclub.service");
    let value = unit
        .lines()
        .find_map(|line| line.strip_prefix(setting)?.strip_prefix('='))
        .unwrap_or_else(|| panic!("the unit has no {setting}="));
    let (digits, factor) = match value.strip_suffix('G') {
        Some(digits) => (digits, 1 << 30),
        None => (value, 1),
    };
    digits.parse::<u64>().unwrap_or_else(|_| panic!("{setting}={value} is not a number")) * factor
}

/// The sysctl file's settings, without the mark that lets older kernels ignore one.
fn sysctls() -> Vec<(String, String)> {
    deployed("sysctl/90-coinbitclub.conf")
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| {
            let (key, value) =
                line.split_once(" = ").unwrap_or_else(|| panic!("{line:?} is not KEY = VALUE"));
            (key.trim_start_matches('-').to_owned(), value.to_owned())
        })
        .collect()
}

/// A host with swap on which exactly these settings are in force.
fn report_with(settings: &[(String, String)]) -> Report {
    let root = tempfile::tempdir().expect("a directory for the made-up host");
    let write = |path: String, text: &str| {
        let path: PathBuf = root.path().join(path);
        std::fs::create_dir_all(path.parent().expect("joined to a root"))
            .expect("making a fixture directory");
        std::fs::write(path, text).expect("writing a fixture");
    };
    write("proc/swaps".to_owned(), "Filename Type\n/swapfile file\n");
    for (key, value) in settings {
        write(format!("proc/sys/{}", key.replace('.', "/")), value);
    }
    check(&CheckOptions {
        root: root.path().to_owned(),
        data_dir: PathBuf::from(env!("CARGO_TARGET_TMPDIR")),
        flush_samples: 1,
        steal_sample: Duration::ZERO,
        ..CheckOptions::default()
    })
}

const SYSCTL_ITEMS: [&str; 5] =
    ["swappiness", "somaxconn", "syn_backlog", "syncookies", "slow_start_after_idle"];

#[test]
fn the_unit_has_the_limits_of_the_largest_server() {
    let shards = u64::try_from(SHARDS_MAX).expect("a small number");
    assert!(unit_limit("LimitMEMLOCK") >= shards * MEMLOCK_PER_SHARD);
    assert!(unit_limit("LimitNOFILE") >= NOFILE_WANTED);
}

#[test]
fn with_the_sysctl_file_in_force_nothing_is_left_to_set() {
    let report = report_with(&sysctls());
    for name in SYSCTL_ITEMS {
        let item = report.item(name).expect("the check has this item");
        assert_eq!(item.verdict, Verdict::Ok, "{item:?}");
    }
    assert!(sysctls().contains(&("kernel.io_uring_disabled".to_owned(), "0".to_owned())));
}

#[test]
fn the_sysctl_file_sets_nothing_that_the_check_does_not_read() {
    let settings = sysctls();
    for (key, _) in &settings {
        let others: Vec<_> = settings.iter().filter(|(other, _)| other != key).cloned().collect();
        let misses_it = report_with(&others)
            .items
            .iter()
            .any(|item| item.now.contains(&format!("proc/sys/{}", key.replace('.', "/"))));
        // The absence of this one is fine: kernels before 6.6 do not have it.
        assert!(misses_it || key == "kernel.io_uring_disabled", "{key} is not read by the check");
    }
}

#[test]
fn each_sysctl_has_its_reason_above_it() {
    let text = deployed("sysctl/90-coinbitclub.conf");
    let lines: Vec<&str> = text.lines().collect();
    for (index, line) in lines.iter().enumerate().filter(|(_, line)| line.contains(" = ")) {
        assert!(index > 0 && lines[index - 1].starts_with("# "), "{line} has no reason");
    }
}
