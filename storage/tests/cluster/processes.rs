//! Signals to a server and all its children, as `/proc` shows them.
//!
//! **Runs on**: the thread of a test.
//! **Invariants**: only descendants of a process that the caller names are ever signalled.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// A process as `/proc` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    parent: u32,
    zombie: bool,
    /// Ticks after boot: together with the number, this names a process for good.
    pub(crate) started_ticks: u64,
}

/// What `/proc` says of a process; `None` when there is none.
pub(crate) fn seen(process: u32) -> Option<Seen> {
    let line = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in parentheses may contain anything.
    let fields: Vec<&str> = line.rsplit_once(") ")?.1.split(' ').collect();
    Some(Seen {
        zombie: fields.first()? == &"Z",
        parent: fields.get(1)?.parse().ok()?,
        started_ticks: fields.get(19)?.parse().ok()?,
    })
}

/// Whether a process still does something.
pub(crate) fn lives(process: u32) -> bool {
    seen(process).is_some_and(|seen| !seen.zombie)
}

/// A server's children: each backend and helper is one, and none has children of its own.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&process| seen(process).is_some_and(|seen| seen.parent == parent))
        .collect()
}

/// Sends a signal; a process that is gone already is no error.
pub(crate) fn signal(process: u32, signal: Signal) {
    let number = i32::try_from(process).ok().and_then(Pid::from_raw).expect("the number of a process");
    let _gone_already = kill_process(number, signal);
}

/// Stops a server and then its children: a server that is stopped first cannot bear more of them.
pub(crate) fn freeze(server: u32) -> Vec<u32> {
    signal(server, Signal::STOP);
    let mut all = children(server);
    for &child in &all {
        signal(child, Signal::STOP);
    }
    all.push(server);
    all
}

/// Kills a server with all its children, at one moment for whoever talks to it.
pub(crate) fn kill_all(server: u32) -> Vec<u32> {
    let all = freeze(server);
    for &process in &all {
        signal(process, Signal::KILL);
    }
    all
}

/// Whether a process is a server of this data directory.
pub(crate) fn serves(process: u32, directory: &Path) -> bool {
    fs::read(format!("/proc/{process}/cmdline")).is_ok_and(|line| {
        line.split(|&byte| byte == 0).any(|part| part == directory.as_os_str().as_encoded_bytes())
    })
}
