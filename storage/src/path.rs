//! Names below the data directory: making and reading them.

use crate::identity::{Generation, Lsn, SegmentNumber, ShardNumber};
use std::path::{Path, PathBuf};

pub(crate) const CURRENT: &str = "CURRENT";
pub(crate) const CURRENT_TMP: &str = "CURRENT.tmp";
pub(crate) const LOCK: &str = "LOCK";
const TMP: &str = ".tmp";

pub(crate) fn generation_name(generation: Generation) -> String {
    format!("gen-{:08}", generation.0)
}

pub(crate) fn shard_dir(root: &Path, generation: Generation, shard: ShardNumber) -> PathBuf {
    root.join(generation_name(generation)).join(format!("shard-{:03}", shard.0))
}

pub(crate) fn segment_name(number: SegmentNumber) -> String {
    format!("seg-{:016}.log", number.0)
}

pub(crate) fn snapshot_name(start: Lsn) -> String {
    format!("snap-{:020}.snap", start.0)
}

pub(crate) fn tmp(name: &str) -> String {
    format!("{name}{TMP}")
}

/// True for a file whose making was interrupted. No reader ever looks into one.
pub(crate) fn is_tmp(name: &str) -> bool {
    name.ends_with(TMP)
}

pub(crate) fn parse_generation(name: &str) -> Option<Generation> {
    digits(name.strip_prefix("gen-")?, 8).and_then(|n| u32::try_from(n).ok()).map(Generation)
}

pub(crate) fn parse_shard(name: &str) -> Option<ShardNumber> {
    digits(name.strip_prefix("shard-")?, 3).and_then(|n| u16::try_from(n).ok()).map(ShardNumber)
}

pub(crate) fn parse_segment(name: &str) -> Option<SegmentNumber> {
    digits(name.strip_prefix("seg-")?.strip_suffix(".log")?, 16).map(SegmentNumber)
}

pub(crate) fn parse_snapshot(name: &str) -> Option<Lsn> {
    digits(name.strip_prefix("snap-")?.strip_suffix(".snap")?, 20).map(Lsn)
}

/// At least `width` digits and nothing else; longer only without leading zeros, so that each number has one name.
fn digits(text: &str, width: usize) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit());
    let one_name = text.len() == width || (text.len() > width && !text.starts_with('0'));
    (plain && one_name).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_strangers_do_not() {
        assert_eq!(parse_segment(&segment_name(SegmentNumber(42))), Some(SegmentNumber(42)));
        assert_eq!(parse_snapshot(&snapshot_name(Lsn(u64::MAX))), Some(Lsn(u64::MAX)));
        assert_eq!(parse_generation(&generation_name(Generation(7))), Some(Generation(7)));
        assert_eq!(parse_shard("shard-012"), Some(ShardNumber(12)));
        for stranger in
            ["seg-1.log", "seg-0000000000000001.log.tmp", "seg-+000000000000001.log", "seg-.log", "x"]
        {
            assert_eq!(parse_segment(stranger), None, "{stranger}");
        }
        assert!(is_tmp(&tmp(&segment_name(SegmentNumber(1)))));
    }
}
