//! Until when Telegram wants nothing sent, over a restart: whoever goes on sending is shut out for longer (CASES.md R8).
//!
//! **Runs on**: the thread of the alerts. **Owns**: a small file in the data directory. **Invariants**: a pause that is kept ends
//! no later than a day after it began, whatever the file says or the clock does.

use std::path::PathBuf;

use engine::seam::{Clock, Nanos};
use engine::shard::runtime::HostClock;

/// The longest pause that is kept over a restart, in seconds.
const KEPT_MAX_S: u64 = 86_400;

/// See the module's head.
#[derive(Debug)]
pub struct Quiet {
    file: PathBuf,
}

impl Quiet {
    /// Of the server with this data directory.
    #[must_use]
    pub fn of(data: &std::path::Path) -> Self {
        Self { file: data.join("telegram-quiet-until") }
    }

    /// How long it still is; zero when nothing was asked for, or what is written cannot be read.
    #[must_use]
    pub fn left(&self) -> Nanos {
        let written = std::fs::read_to_string(&self.file).unwrap_or_default();
        let until_s: u64 = written.trim().parse().unwrap_or_default();
        let left_s = until_s.saturating_sub(now_s()).min(KEPT_MAX_S);
        Nanos::from_millis(left_s * 1_000)
    }

    /// Keeps it, for so long from now on. That it cannot be written is logged: the next start may then send too early.
    pub fn keep(&self, left: Nanos) {
        let until_s = now_s().saturating_add(left.as_micros().div_ceil(1_000_000));
        if let Err(error) = std::fs::write(&self.file, format!("{until_s}\n")) {
            tracing::warn!(%error, file = %self.file.display(), "a pause that Telegram asked for is not kept over a restart");
        }
    }
}

fn now_s() -> u64 {
    HostClock.wall_micros() / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_r8_a_pause_is_known_after_a_restart_and_what_is_no_pause_is_none() {
        let dir = tempfile::tempdir().expect("a directory");
        let quiet = Quiet::of(dir.path());
        assert_eq!(quiet.left(), Nanos::default(), "nothing was asked for");
        quiet.keep(Nanos::from_millis(10_000_000));
        let left_s = Quiet::of(dir.path()).left().as_micros() / 1_000_000;
        assert!((9_000..=10_000).contains(&left_s), "{left_s}");
        for (written, most_s) in [("", 0), ("x", 0), ("-5", 0), ("12", 0), ("99999999999999", KEPT_MAX_S)] {
            std::fs::write(&quiet.file, written).expect("room");
            assert_eq!(quiet.left(), Nanos::from_millis(most_s * 1_000), "{written}");
        }
        std::fs::remove_dir_all(dir.path()).expect("it is there");
        quiet.keep(Nanos::from_millis(1_000));
    }
}
