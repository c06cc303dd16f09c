//! Housekeeping: about once a second it collects the shards' histograms, measures the process, watches the shards' turns and
//! writes dumps when asked.
//!
//! **Runs on**: a thread of its own on the housekeeping CPU. **Owns**: the archive of histograms.
//! **Never**: blocks a shard; a shard that does not answer is left out of this second's figures.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use engine::shard::ask::{Answer, Ask, Auth, Op};
use engine::shard::metrics::{Histograms, Stage, Track};
use engine::shard::ports::ShardId;

use super::dump::Archive;
use super::inside::{Lines, nobody};
use super::shard_loop::Inside;
use crate::web::gauges::{Gauges, Latencies, LatencyRow, QUANTILES};

/// How often it looks for a wish to stop or dump.
const LOOK: Duration = Duration::from_millis(50);
/// How often it measures.
const MEASURE: Duration = Duration::from_secs(1);
/// How full the disk is, in percent, from which on something holds, and below which it does not any more.
#[derive(Clone, Copy)]
struct Threshold {
    from_percent: u64,
    until_percent: u64,
}

/// An operator is told (DOMAIN.md: WAL disk 70/90 %).
const ALARM: Threshold = Threshold { from_percent: 70, until_percent: 65 };
/// Opens are stopped.
const FULL: Threshold = Threshold { from_percent: 90, until_percent: 85 };
/// How long it waits for a shard's histograms.
const ANSWER_MAX: Duration = Duration::from_millis(500);

/// What housekeeping works with.
pub struct Housekeeping {
    /// The shards.
    pub lines: Lines,
    /// Shared figures.
    pub gauges: Arc<Gauges>,
    /// Where the data is.
    pub data: PathBuf,
    /// Set when the server is to end.
    pub stop: Arc<AtomicBool>,
    /// Set when the histograms are to be written (SIGUSR1).
    pub dump: Arc<AtomicBool>,
    /// Gives the longest time since a shard's last turn, and how many shards are over the limit.
    pub watchdog: Box<dyn FnMut() -> (Duration, u64) + Send>,
}

fn now_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Runs until told to stop.
pub fn run(mut housekeeping: Housekeeping) {
    let mut archive = Archive::new(now_micros());
    let mut measured = Instant::now().checked_sub(MEASURE).unwrap_or_else(Instant::now);
    while !housekeeping.stop.load(Ordering::Relaxed) {
        let dump = housekeeping.dump.swap(false, Ordering::Relaxed);
        if dump || measured.elapsed() >= MEASURE {
            measured = Instant::now();
            housekeeping.measure(&mut archive);
        }
        if dump {
            let dir = housekeeping.data.join("metrics");
            match archive.write(&dir, now_micros()) {
                Ok(files) => tracing::info!(dir = %dir.display(), files = files.len(), "histograms written"),
                Err(error) => tracing::error!(dir = %dir.display(), %error, "histograms not written"),
            }
            // The mark by which `metrics dump` knows that everything is there.
            if let Err(error) = std::fs::write(dir.join("DONE"), format!("{}\n", now_micros())) {
                tracing::error!(%error, "the end of the dump was not marked");
            }
        }
        std::thread::sleep(LOOK);
    }
}

impl Housekeeping {
    fn measure(&mut self, archive: &mut Archive) {
        for shard in 0..self.lines.shards() {
            let ask = Ask { auth: Auth::Open, op: Op::TakeHistograms, user: nobody() };
            if let Ok(Answer::Histograms(part)) = self.lines.ask_at(ShardId(shard), ask, ANSWER_MAX) {
                archive.add(&part);
            }
        }
        if let Err(error) = archive.tick(now_micros()) {
            tracing::error!(%error, "an interval of histograms was lost");
        }
        let latencies = Arc::new(Latencies { at_micros: now_micros(), rows: rows(archive.total()) });
        for shard in 0..self.lines.shards() {
            // A full line means that the shard is far behind: the next second's figures will do.
            let _ = self.lines.tell(ShardId(shard), Inside::Latencies(Arc::clone(&latencies)));
        }
        self.measure_process();
        self.watch_backlog();
        let (longest, stalled) = (self.watchdog)();
        let longest = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
        self.gauges.process.stall_max_micros.fetch_max(longest, Ordering::Relaxed);
        if self.gauges.process.stalled_shards.swap(stalled, Ordering::Relaxed) == 0 && stalled > 0 {
            tracing::error!(shards = stalled, micros = longest, "a shard takes no turns");
        }
    }

    /// Raises the alarm when logs that wait for the database begin to fill the disk, and stops opens when it is nearly full: closes and
    /// what they need go on. Shards are told again each time: one whose line was full hears it a second later.
    fn watch_backlog(&self) {
        let (process, Some(history)) = (&self.gauges.process, &self.gauges.history) else { return };
        let (free, all) =
            (process.disk_free_bytes.load(Ordering::Relaxed), process.disk_bytes.load(Ordering::Relaxed));
        if all == 0 {
            return;
        }
        let behind = history.shards.iter().any(|shard| shard.is_left_behind());
        let used_percent = (all - free.min(all)).saturating_mul(100) / all;
        let alarm = is_over(history.disk_alarm.load(Ordering::Relaxed), behind, used_percent, ALARM);
        if history.disk_alarm.swap(alarm, Ordering::Relaxed) != alarm {
            if alarm {
                let full = FULL.from_percent;
                tracing::error!(
                    used_percent,
                    "logs that wait for the database fill the disk: at {full} % opens will be stopped. Bring the database back, or make room"
                );
            } else {
                tracing::info!(used_percent, "logs that wait for the database no longer fill the disk");
            }
        }
        let before = history.opens_stopped.load(Ordering::Relaxed);
        let stop = is_over(before, behind, used_percent, FULL);
        if stop != before {
            history.opens_stopped.store(stop, Ordering::Relaxed);
            if stop {
                tracing::error!(
                    used_percent,
                    "opens are stopped: logs that wait for the database fill the disk. Bring the database back, or make room"
                );
            } else {
                tracing::info!(used_percent, "opens go on");
            }
        }
        for shard in 0..self.lines.shards() {
            let _ = self.lines.tell(ShardId(shard), Inside::StopOpens(stop));
        }
    }

    fn measure_process(&self) {
        let process = &self.gauges.process;
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        if let Some(pages) = statm.split_whitespace().nth(1).and_then(|text| text.parse::<u64>().ok()) {
            process.resident_bytes.store(pages * crate::sys::page_bytes(), Ordering::Relaxed);
        }
        process.cpu_micros.store(crate::sys::cpu_micros(), Ordering::Relaxed);
        if let Some((free, all)) = crate::sys::disk_space(&self.data) {
            process.disk_free_bytes.store(free, Ordering::Relaxed);
            process.disk_bytes.store(all, Ordering::Relaxed);
        }
    }
}

/// Whether a threshold is passed: from its first number on while the database is behind, until there is some room or it is not.
fn is_over(before: bool, behind: bool, used_percent: u64, threshold: Threshold) -> bool {
    behind && used_percent >= if before { threshold.until_percent } else { threshold.from_percent }
}

fn rows(histograms: &Histograms) -> Vec<LatencyRow> {
    let mut rows = Vec::new();
    for stage in Stage::ALL {
        for track in Track::ALL {
            let histogram = histograms.get(stage, track);
            if histogram.is_empty() {
                continue;
            }
            let sum_ns = histogram
                .iter_recorded()
                .map(|step| step.value_iterated_to().saturating_mul(step.count_at_value()))
                .fold(0_u64, u64::saturating_add);
            rows.push(LatencyRow {
                stage: stage.name(),
                track: track.name(),
                count: histogram.len(),
                sum_ns,
                quantiles_ns: QUANTILES.map(|q| histogram.value_at_quantile(q)),
                max_ns: histogram.max(),
            });
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_stop_only_for_a_backlog_on_a_full_disk() {
        let opens_stop = |before, behind, percent| is_over(before, behind, percent, FULL);
        assert!(!opens_stop(false, true, 89) && opens_stop(false, true, 90));
        assert!(!opens_stop(false, false, 99), "a disk that others fill is no reason");
        assert!(opens_stop(true, true, 86) && !opens_stop(true, true, 84), "not to and fro");
        assert!(!opens_stop(true, false, 99), "the database has everything");
        assert!(
            is_over(false, true, 70, ALARM) && !is_over(false, true, 69, ALARM),
            "an operator hears before"
        );
        assert!(is_over(true, true, 65, ALARM) && !is_over(true, true, 64, ALARM));
    }
}
