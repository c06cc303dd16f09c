//! The systemd unit: hardened, and still able to pin shards and to use io_uring.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Command, Stdio};

use crate::repository;
use crate::steps::Outcome;

const UNIT: &str = "deploy/systemd/coinbitclub.service";
const BACKUP_UNIT: &str = "deploy/systemd/coinbitclub-backup.service";

/// Highest exposure that passes, in tenths.
const EXPOSURE_MAX_TENTHS: u32 = 20;

/// Calls the server makes that hardening might take away, each with its user.
const NEEDED_CALLS: &[(&str, &str)] = &[
    ("io_uring_setup", "every socket and the log"),
    ("io_uring_enter", "every socket and the log"),
    ("io_uring_register", "registered buffers and rings"),
    ("sched_setaffinity", "pinning a shard"),
    ("sched_getaffinity", "the plan of the shards"),
    ("sched_setattr", "the short slice of threads beside spinners"),
    ("membarrier", "glommio's sleep and wake"),
    ("mlock", "glommio's barrier where membarrier is missing"),
    ("eventfd2", "the doorbell"),
    ("timerfd_create", "glommio's timers"),
    ("fallocate", "segments of the log"),
    ("fdatasync", "the log"),
    ("statfs", "free space"),
    ("socket", "listening"),
    ("bind", "listening"),
    ("listen", "listening"),
    ("setsockopt", "SO_REUSEPORT"),
    ("prlimit64", "raising soft limits"),
    ("setrlimit", "raising soft limits"),
    ("clone3", "threads"),
    ("madvise", "mimalloc"),
    ("getrandom", "ids and tokens"),
    ("rename", "snapshots"),
    ("unlink", "old segments"),
];

/// Calls that must stay forbidden: a filter that lets one through has a hole.
const FORBIDDEN_CALLS: &[&str] =
    &["mount", "ptrace", "init_module", "kexec_load", "reboot", "setuid", "chown", "bpf"];

/// The step: exposure by systemd's own analysis, then the system calls.
pub(crate) fn check() -> Result<Outcome, String> {
    let tenths = exposure(UNIT)?.max(exposure(BACKUP_UNIT)?);
    let unit =
        fs::read_to_string(repository::root().join(UNIT)).map_err(|error| format!("{UNIT}: {error}"))?;
    let groups = parse_groups(&analyze(&["syscall-filter", "--no-pager"])?);
    let allowed = allowed_calls(&unit, &groups)?;
    let mut findings: Vec<String> = NEEDED_CALLS
        .iter()
        .filter(|(call, _)| !allowed.contains(*call))
        .map(|(call, user)| format!("{UNIT}: SystemCallFilter forbids {call}, needed for {user}"))
        .collect();
    findings.extend(
        FORBIDDEN_CALLS
            .iter()
            .filter(|call| allowed.contains(**call))
            .map(|call| format!("{UNIT}: SystemCallFilter lets {call} through")),
    );
    if findings.is_empty() {
        Ok(Outcome::Passed(format!("exposure {}.{}", tenths / 10, tenths % 10)))
    } else {
        Err(findings.join("\n"))
    }
}

/// The exposure of a unit, in tenths; too high a one is an error.
fn exposure(unit: &str) -> Result<u32, String> {
    let security = analyze(&["security", "--offline=true", "--no-pager", unit])?;
    let tenths = exposure_tenths(&security).ok_or_else(|| {
        format!("no overall exposure in the answer (systemd 250 or newer is needed):\n{security}")
    })?;
    if tenths > EXPOSURE_MAX_TENTHS {
        return Err(format!("{security}\n{unit}: exposure {}.{} is over 2.0", tenths / 10, tenths % 10));
    }
    Ok(tenths)
}

fn analyze(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("systemd-analyze")
        .args(arguments)
        .current_dir(repository::root())
        // Colours and a pager would be in the way of parsing.
        .env("SYSTEMD_COLORS", "0")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("systemd-analyze: {error}: apt-get install systemd"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("systemd-analyze {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr)))
    }
}

/// Reads `… Overall exposure level for NAME: 1.4 OK …`.
fn exposure_tenths(text: &str) -> Option<u32> {
    let line = text.lines().find(|line| line.contains("Overall exposure level for "))?;
    let figure = line.rsplit_once(": ")?.1.split_whitespace().next()?;
    let (whole, tenth) = figure.split_once('.')?;
    Some(whole.parse::<u32>().ok()? * 10 + tenth.parse::<u32>().ok()?)
}

type Groups = BTreeMap<String, Vec<String>>;

/// Reads the answer of `systemd-analyze syscall-filter`: a group at the margin, its members indented.
fn parse_groups(text: &str) -> Groups {
    let mut groups = Groups::new();
    let mut current = None;
    for line in text.lines() {
        let word = line.trim();
        if word.is_empty() || word.starts_with('#') {
            continue;
        }
        if !line.starts_with(char::is_whitespace) {
            current = Some(word.to_owned());
            groups.entry(word.to_owned()).or_default();
        } else if let Some(members) = current.as_ref().and_then(|group| groups.get_mut(group)) {
            members.push(word.to_owned());
        }
    }
    groups
}

/// What the unit's `SystemCallFilter=` lines let through, by systemd.exec(5): the first line decides whether it is an
/// allow list, and allow lists hold `@default` without naming it; `~` takes away; an empty value starts afresh.
fn allowed_calls(unit: &str, groups: &Groups) -> Result<BTreeSet<String>, String> {
    let mut allowed = BTreeSet::new();
    let mut first = true;
    for value in unit.lines().filter_map(|line| line.trim().strip_prefix("SystemCallFilter=")) {
        if value.trim().is_empty() {
            allowed.clear();
            first = true;
            continue;
        }
        let (takes_away, words) = match value.trim().strip_prefix('~') {
            Some(words) => (true, words),
            None => (false, value.trim()),
        };
        if first && takes_away {
            return Err(format!("{UNIT}: the first SystemCallFilter= must be an allow list"));
        }
        if first {
            expand("@default", groups, &mut allowed)?;
            first = false;
        }
        let mut named = BTreeSet::new();
        for word in words.split_whitespace() {
            expand(word.split(':').next().unwrap_or(word), groups, &mut named)?;
        }
        if takes_away {
            allowed.retain(|call| !named.contains(call));
        } else {
            allowed.extend(named);
        }
    }
    if first {
        return Err(format!("{UNIT}: no SystemCallFilter="));
    }
    Ok(allowed)
}

fn expand(word: &str, groups: &Groups, into: &mut BTreeSet<String>) -> Result<(), String> {
    if !word.starts_with('@') {
        into.insert(word.to_owned());
        return Ok(());
    }
    let members = groups.get(word).ok_or_else(|| format!("{UNIT}: this systemd knows no group {word}"))?;
    // Groups nest but never in a circle; systemd itself would not start otherwise.
    members.iter().try_for_each(|member| expand(member, groups, into))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "\
@default
    # System calls that are always permitted
    futex
    membarrier

@aio
    io_uring_setup

@resources
    sched_setaffinity

@system-service
    # General system service operations
    @aio
    @resources
    openat
# Not listed
#   quotactl
";

    fn check(filter: &str, allowed: &[&str]) {
        let calls = allowed_calls(filter, &parse_groups(ANSWER)).unwrap();
        assert_eq!(calls.iter().map(String::as_str).collect::<Vec<_>>(), allowed, "{filter}");
    }

    #[test]
    fn filters_are_read_as_systemd_reads_them() {
        check(
            "SystemCallFilter=@system-service\n",
            &["futex", "io_uring_setup", "membarrier", "openat", "sched_setaffinity"],
        );
        check(
            "[Service]\nSystemCallFilter=@system-service\nSystemCallFilter=~@resources membarrier:EPERM\n",
            &["futex", "io_uring_setup", "openat"],
        );
        check(
            "SystemCallFilter=openat\nSystemCallFilter=\nSystemCallFilter=close\n",
            &["close", "futex", "membarrier"],
        );
    }

    #[test]
    fn a_missing_filter_a_deny_list_and_an_unknown_group_are_errors() {
        let groups = parse_groups(ANSWER);
        assert!(allowed_calls("[Service]\n#SystemCallFilter=openat\n", &groups).is_err());
        assert!(allowed_calls("SystemCallFilter=~openat\n", &groups).is_err());
        assert!(allowed_calls("SystemCallFilter=@nothing\n", &groups).unwrap_err().contains("@nothing"));
    }

    #[test]
    fn the_exposure_is_read_from_the_last_line() {
        assert_eq!(exposure_tenths("x\n→ Overall exposure level for a.service: 1.4 OK 🙂\n"), Some(14));
        assert_eq!(exposure_tenths("→ Overall exposure level for a.service: 10.0 DANGEROUS\n"), Some(100));
        assert_eq!(exposure_tenths("nothing"), None);
    }
}
