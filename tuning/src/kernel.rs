//! Kernel settings: version, clock source, huge pages, swapping, listening sockets.

use crate::host::Host;
use crate::report::{Item, Verdict};

const WHY_VERSION: &str = "io_uring multishot receive needs 6.0, deferred task work 6.1";
const WHY_CLOCK: &str = "the clock is read for each command: with these from user space, otherwise by a system call and a slow device";
const WHY_HUGE: &str =
    "with always, the kernel joins pages behind the program's back: stalls of milliseconds and more memory";
const WHY_SWAP: &str = "a shard that touches a swapped page stands still for a disk read";
const WHY_BACKLOG: &str =
    "connections that arrive in a burst wait here; what does not fit is dropped and retried after 1 s";
const WHY_COOKIES: &str = "keeps accepting during a flood of half-open connections";
const WHY_IDLE: &str =
    "an idle connection would start slowly again, exactly when a burst of pushes or orders comes";

/// Where the sysctl remedies go.
const SYSCTL_FILE: &str = "/etc/sysctl.d/90-coinbitclub.conf, then sysctl --system";

/// The running kernel's version.
pub(crate) fn version(host: &Host) -> Item {
    const NAME: &str = "kernel";
    const WANTED: &str = "6.1 or newer";
    let release = match host.read("proc/sys/kernel/osrelease") {
        Ok(release) => release,
        Err(error) => return Item::unreadable(NAME, &error, WANTED, WHY_VERSION),
    };
    let remedy = "install a newer kernel: Debian 12 and Ubuntu 24.04 have one, Ubuntu 22.04 as linux-generic-hwe-22.04";
    let mut numbers = release.split(|character: char| !character.is_ascii_digit()).map(str::parse::<u32>);
    let item = |verdict| {
        let item = Item::ok(NAME, release.clone(), WANTED, WHY_VERSION);
        if verdict == Verdict::Ok { item } else { item.but(verdict, remedy) }
    };
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= (6, 1) => item(Verdict::Ok),
        (Some(Ok(6)), Some(Ok(0))) => item(Verdict::Warn),
        (Some(Ok(_)), Some(Ok(_))) => item(Verdict::Bad),
        _ => Item::unreadable(
            NAME,
            &host.not_understood("proc/sys/kernel/osrelease", &release),
            WANTED,
            WHY_VERSION,
        ),
    }
}

/// The other items about the kernel, in the report's order.
pub(crate) fn items(host: &Host) -> Vec<Item> {
    vec![
        clock_source(host),
        huge_pages(host),
        swapping(host),
        at_least(host, "somaxconn", "net.core.somaxconn", 4096, WHY_BACKLOG),
        at_least(host, "syn_backlog", "net.ipv4.tcp_max_syn_backlog", 4096, WHY_BACKLOG),
        exactly(host, "syncookies", "net.ipv4.tcp_syncookies", 1, WHY_COOKIES),
        exactly(host, "slow_start_after_idle", "net.ipv4.tcp_slow_start_after_idle", 0, WHY_IDLE),
    ]
}

fn clock_source(host: &Host) -> Item {
    const NAME: &str = "clock_source";
    const WANTED: &str = "tsc, kvm-clock, or another read without a system call";
    const DIRECTORY: &str = "sys/devices/system/clocksource/clocksource0";
    match host.read(&format!("{DIRECTORY}/current_clocksource")) {
        Err(error) => Item::unreadable(NAME, &error, WANTED, WHY_CLOCK),
        Ok(current) => {
            let item = Item::ok(NAME, current.clone(), WANTED, WHY_CLOCK);
            match current.as_str() {
                "tsc" | "kvm-clock" | "hyperv_clocksource_tsc_page" | "arch_sys_counter" => item,
                // Xen's clock is read from user space only in some guests.
                "xen" => item.but(Verdict::Warn, format!("echo tsc > /{DIRECTORY}/current_clocksource")),
                _ => item.but(
                    Verdict::Bad,
                    format!("echo tsc > /{DIRECTORY}/current_clocksource, and clocksource=tsc on the kernel command line"),
                ),
            }
        }
    }
}

fn huge_pages(host: &Host) -> Item {
    const NAME: &str = "transparent_huge_pages";
    const WANTED: &str = "madvise or never";
    const FILE: &str = "sys/kernel/mm/transparent_hugepage/enabled";
    let text = match host.read(FILE) {
        Ok(text) => text,
        Err(error) => return Item::unreadable(NAME, &error, WANTED, WHY_HUGE),
    };
    let chosen = text.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(chosen, _)| chosen);
    match chosen {
        Some(chosen @ ("madvise" | "never")) => Item::ok(NAME, chosen, WANTED, WHY_HUGE),
        Some(chosen) => Item::ok(NAME, chosen, WANTED, WHY_HUGE).but(
            Verdict::Warn,
            format!("echo madvise > /{FILE}, and transparent_hugepage=madvise on the kernel command line"),
        ),
        None => Item::unreadable(NAME, &host.not_understood(FILE, &text), WANTED, WHY_HUGE),
    }
}

fn swapping(host: &Host) -> Item {
    const NAME: &str = "swappiness";
    const WANTED: &str = "10 or less, or no swap";
    // The first line is the header.
    let no_swap = host.read("proc/swaps").is_ok_and(|swaps| swaps.lines().count() <= 1);
    match host.read_number("proc/sys/vm/swappiness") {
        Err(error) => Item::unreadable(NAME, &error, WANTED, WHY_SWAP),
        Ok(value) if no_swap => Item::ok(NAME, format!("{value}, no swap"), WANTED, WHY_SWAP),
        Ok(value) if value <= 10 => Item::ok(NAME, value.to_string(), WANTED, WHY_SWAP),
        Ok(value) => Item::ok(NAME, value.to_string(), WANTED, WHY_SWAP)
            .but(Verdict::Warn, format!("vm.swappiness = 1 ({SYSCTL_FILE})")),
    }
}

fn at_least(host: &Host, name: &'static str, key: &str, least: u64, why: &'static str) -> Item {
    sysctl(host, name, key, least, why, format!("{least} or more"), |value| value >= least)
}

fn exactly(host: &Host, name: &'static str, key: &str, wanted: u64, why: &'static str) -> Item {
    sysctl(host, name, key, wanted, why, wanted.to_string(), |value| value == wanted)
}

fn sysctl(
    host: &Host,
    name: &'static str,
    key: &str,
    set: u64,
    why: &'static str,
    wanted: String,
    fine: impl Fn(u64) -> bool,
) -> Item {
    match host.read_number(&format!("proc/sys/{}", key.replace('.', "/"))) {
        Err(error) => Item::unreadable(name, &error, wanted, why),
        Ok(value) if fine(value) => Item::ok(name, value.to_string(), wanted, why),
        Ok(value) => Item::ok(name, value.to_string(), wanted, why)
            .but(Verdict::Warn, format!("{key} = {set} ({SYSCTL_FILE})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fixture::Fixture;

    fn check(item: fn(&Host) -> Item, path: &str, cases: &[(&str, Verdict)]) {
        for (text, verdict) in cases {
            let item = item(&Fixture::new(&[(path, text)]).host());
            assert_eq!(item.verdict, *verdict, "{text:?} gave {item:?}");
            assert_eq!(item.remedy.is_some(), *verdict != Verdict::Ok);
        }
        let missing = item(&Fixture::new(&[]).host());
        assert!(missing.now.starts_with("unknown: "), "{missing:?}");
        assert_eq!(missing.verdict, Verdict::Warn);
    }

    #[test]
    fn versions() {
        use Verdict::{Bad, Ok, Warn};
        check(
            version,
            "proc/sys/kernel/osrelease",
            &[
                ("6.18.44-fc-v669\n", Ok),
                ("6.1.0-13-amd64\n", Ok),
                ("7.0\n", Ok),
                ("6.0.9\n", Warn),
                ("5.15.0-91-generic\n", Bad),
                ("4.19.0\n", Bad),
                ("banana\n", Warn),
            ],
        );
    }

    #[test]
    fn clock_sources() {
        use Verdict::{Bad, Ok, Warn};
        check(
            clock_source,
            "sys/devices/system/clocksource/clocksource0/current_clocksource",
            &[
                ("tsc\n", Ok),
                ("kvm-clock\n", Ok),
                ("xen\n", Warn),
                ("hpet\n", Bad),
                ("acpi_pm\n", Bad),
                ("jiffies\n", Bad),
            ],
        );
    }

    #[test]
    fn transparent_huge_pages() {
        use Verdict::{Ok, Warn};
        check(
            huge_pages,
            "sys/kernel/mm/transparent_hugepage/enabled",
            &[
                ("always [madvise] never\n", Ok),
                ("always madvise [never]\n", Ok),
                ("[always] madvise never\n", Warn),
                ("?\n", Warn),
            ],
        );
    }

    #[test]
    fn swapping_matters_only_with_swap() {
        check(swapping, "proc/sys/vm/swappiness", &[("1\n", Verdict::Ok), ("60\n", Verdict::Warn)]);
        let header = "Filename\t\t\t\tType\t\tSize\n";
        let fixture = Fixture::new(&[("proc/sys/vm/swappiness", "60\n"), ("proc/swaps", header)]);
        assert_eq!(swapping(&fixture.host()).verdict, Verdict::Ok);
        fixture.write("proc/swaps", &format!("{header}/dev/sda2 partition 99\n"));
        assert_eq!(swapping(&fixture.host()).remedy.unwrap(), format!("vm.swappiness = 1 ({SYSCTL_FILE})"));
    }

    #[test]
    fn network_settings_name_their_line() {
        let fixture = Fixture::new(&[
            ("proc/sys/net/core/somaxconn", "128\n"),
            ("proc/sys/net/ipv4/tcp_max_syn_backlog", "8192\n"),
            ("proc/sys/net/ipv4/tcp_syncookies", "0\n"),
            ("proc/sys/net/ipv4/tcp_slow_start_after_idle", "1\n"),
        ]);
        let remedies: Vec<String> =
            items(&fixture.host()).into_iter().skip(3).filter_map(|item| item.remedy).collect();
        let expected: Vec<String> = [
            "net.core.somaxconn = 4096",
            "net.ipv4.tcp_syncookies = 1",
            "net.ipv4.tcp_slow_start_after_idle = 0",
        ]
        .iter()
        .map(|line| format!("{line} ({SYSCTL_FILE})"))
        .collect();
        assert_eq!(remedies, expected);
    }
}
