//! HdrHistogram files: a percentile distribution (`.hgrm`) and an interval log (`.hlog`) per stage and lane, in the forms
//! that the usual HdrHistogram plotters read. Values are in microseconds.
//!
//! **Runs on**: the housekeeping thread. **Bounds**: [`INTERVALS_MAX`] intervals are kept in memory, about an hour.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::shard::metrics::{Histograms, Stage, Track};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

/// Length of an interval.
pub const INTERVAL: Duration = Duration::from_secs(10);
/// Intervals kept.
pub const INTERVALS_MAX: usize = 360;
/// Nanoseconds in the unit of the files.
const UNIT_NS: f64 = 1_000.0;
/// Lines per halving of the distance to 100 %, as the reference implementation has it.
const TICKS_PER_HALF: u32 = 5;

/// The histograms of all shards together since the start, and the newest intervals.
pub struct Archive {
    total: Histograms,
    interval: Histograms,
    intervals: VecDeque<Vec<(usize, String)>>,
    /// Microseconds since the epoch.
    started_micros: u64,
    interval_start_micros: u64,
}

/// Every stage and track, in a fixed order.
fn cells() -> impl Iterator<Item = (usize, Stage, Track)> {
    Stage::ALL
        .into_iter()
        .flat_map(|stage| Track::ALL.into_iter().map(move |track| (stage, track)))
        .enumerate()
        .map(|(place, (stage, track))| (place, stage, track))
}

fn since(later: u64, earlier: u64) -> Duration {
    Duration::from_micros(later.saturating_sub(earlier))
}

impl Archive {
    /// An empty archive of a server that started at `now_micros`.
    #[must_use]
    pub fn new(now_micros: u64) -> Self {
        Self {
            total: Histograms::default(),
            interval: Histograms::default(),
            intervals: VecDeque::new(),
            started_micros: now_micros,
            interval_start_micros: now_micros,
        }
    }

    /// Everything since the start.
    #[must_use]
    pub fn total(&self) -> &Histograms {
        &self.total
    }

    /// Adds what a shard has measured.
    pub fn add(&mut self, part: &Histograms) {
        self.total.add(part);
        self.interval.add(part);
    }

    /// Ends the interval when it is long enough.
    ///
    /// # Errors
    /// When a histogram cannot be encoded.
    pub fn tick(&mut self, now_micros: u64) -> io::Result<()> {
        if since(now_micros, self.interval_start_micros) >= INTERVAL {
            self.end_interval(now_micros)?;
        }
        Ok(())
    }

    fn end_interval(&mut self, now_micros: u64) -> io::Result<()> {
        let start = since(self.interval_start_micros, self.started_micros);
        let length = since(now_micros, self.interval_start_micros);
        let mut lines = Vec::new();
        for (place, stage, track) in cells() {
            let histogram = self.interval.get(stage, track);
            if !histogram.is_empty() {
                lines.push((place, interval_line(histogram, start, length, stage, track)?));
            }
        }
        if self.intervals.len() == INTERVALS_MAX {
            self.intervals.pop_front();
        }
        self.intervals.push_back(lines);
        self.interval = Histograms::default();
        self.interval_start_micros = now_micros;
        Ok(())
    }

    /// Writes the files of every stage and lane that has values to `dir`, replacing older ones. Gives their paths.
    ///
    /// # Errors
    /// The file system's.
    pub fn write(&mut self, dir: &Path, now_micros: u64) -> io::Result<Vec<PathBuf>> {
        self.end_interval(now_micros)?;
        std::fs::create_dir_all(dir)?;
        let mut written = Vec::new();
        for (place, stage, track) in cells() {
            let histogram = self.total.get(stage, track);
            if histogram.is_empty() {
                continue;
            }
            let name = format!("{}-{}", stage.name(), track.name());
            let distribution = percentile_distribution(histogram);
            let mut log = format!(
                "#[Histogram log format version 1.3]\n#[StartTime: {}.{:03} (seconds since epoch)]\n\
                 \"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n",
                self.started_micros / 1_000_000,
                self.started_micros / 1_000 % 1_000,
            );
            for (_, line) in self.intervals.iter().flatten().filter(|(at, _)| *at == place) {
                log.push_str(line);
                log.push('\n');
            }
            for (extension, text) in [("hgrm", distribution), ("hlog", log)] {
                let path = dir.join(format!("{name}.{extension}"));
                let temporary = dir.join(format!("{name}.{extension}.tmp"));
                std::fs::write(&temporary, text)?;
                std::fs::rename(&temporary, &path)?;
                written.push(path);
            }
        }
        Ok(written)
    }
}

/// One line of an interval log, by the library's own writer.
fn interval_line(
    histogram: &Histogram<u64>,
    start: Duration,
    length: Duration,
    stage: Stage,
    track: Track,
) -> io::Result<String> {
    let name = format!("{}-{}", stage.name(), track.name());
    let tag = Tag::new(&name);
    let mut text = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let mut writer = IntervalLogWriterBuilder::new()
        .begin_log_with(&mut text, &mut serializer)
        .map_err(|error| io::Error::other(format!("{error:?}")))?;
    writer
        .write_histogram(histogram, start, length, tag)
        .map_err(|error| io::Error::other(format!("{error:?}")))?;
    let text = String::from_utf8(text).map_err(io::Error::other)?;
    Ok(text.lines().last().unwrap_or_default().to_owned())
}

/// The percentile distribution of a histogram, as `HistogramLogProcessor` prints it.
#[must_use]
pub fn percentile_distribution(histogram: &Histogram<u64>) -> String {
    let mut out = String::from("       Value     Percentile TotalCount 1/(1-Percentile)\n\n");
    let mut seen = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF) {
        seen += step.count_since_last_iteration();
        let value = to_float(step.value_iterated_to()) / UNIT_NS;
        let quantile = step.quantile_iterated_to();
        if quantile < 1.0 {
            let inverse = 1.0 / (1.0 - quantile);
            let _ = writeln!(out, "{value:12.3} {quantile:2.12} {seen:10} {inverse:14.2}");
        } else {
            let _ = writeln!(out, "{value:12.3} {quantile:2.12} {seen:10}");
        }
    }
    let (mean, deviation) = (histogram.mean() / UNIT_NS, histogram.stdev() / UNIT_NS);
    let (max, count) = (to_float(histogram.max()) / UNIT_NS, histogram.len());
    let _ = writeln!(out, "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]");
    let _ = writeln!(out, "#[Max     = {max:12.3}, Total count    = {count:12}]");
    let _ = writeln!(
        out,
        "#[Buckets = {:12}, SubBuckets     = {:12}]",
        histogram.buckets(),
        histogram.distinct_values() / usize::from(histogram.buckets()).max(1)
    );
    out
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people, in microseconds")]
const fn to_float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::seam::Nanos;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    #[test]
    fn files_can_be_read_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut archive = Archive::new(1_000_000);
        let mut part = Histograms::default();
        for n in 1..=1000 {
            part.record(Stage::Commit, Track::FanOut, Nanos(n * 1_000));
        }
        archive.add(&part);
        let written = archive.write(dir.path(), 11_000_000).expect("written");
        assert_eq!(written.len(), 2, "{written:?}");
        let text = std::fs::read_to_string(dir.path().join("commit-fan_out.hgrm")).expect("readable");
        assert!(text.contains("#[Max     =") && text.lines().count() > 20, "{text}");
        let log = std::fs::read(dir.path().join("commit-fan_out.hlog")).expect("readable");
        let entries: Vec<_> = IntervalLogIterator::new(&log).collect::<Result<_, _>>().expect("well formed");
        let histograms: Vec<_> = entries
            .iter()
            .filter_map(|entry| match entry {
                LogEntry::Interval(interval) => Some(interval),
                _ => None,
            })
            .collect();
        assert_eq!(histograms.len(), 1);
        let encoded = histograms[0].encoded_histogram();
        let bytes = decode_base64(encoded);
        let histogram: Histogram<u64> =
            Deserializer::new().deserialize(&mut bytes.as_slice()).expect("decodes");
        assert_eq!(histogram.len(), 1000);
    }

    fn decode_base64(text: &str) -> Vec<u8> {
        let value = |byte: u8| match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            _ => 63,
        };
        let mut out = Vec::new();
        let (mut bits, mut held) = (0_u32, 0);
        for byte in text.bytes().filter(|b| *b != b'=') {
            bits = bits << 6 | u32::from(value(byte));
            held += 6;
            if held >= 8 {
                held -= 8;
                out.push(u8::try_from(bits >> held & 0xFF).expect("a byte"));
            }
        }
        out
    }
}
