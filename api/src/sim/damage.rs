//! Damage to files at rest: a flipped bit, a block in another's place. Put there while the server is down, and mended after
//! the start that met it.
//!
//! **Where never**: the last intact block of a shard's log. A damaged block with nothing intact after it is a torn write to
//! every recovery (DESIGN.md, the log), and whether it was acknowledged cannot be known from the disk.

use std::path::PathBuf;

use storage::sim_disk::{SimDisk, SimRandom};
use storage::{SegmentNumber, ShardHome, check_block, peek_block};

use super::faults::Fault;

/// Bytes of a page: blocks start at them.
const PAGE: usize = 4_096;

/// What was done to a file, and what was there.
pub(super) struct Damage {
    pub(super) path: PathBuf,
    offset: u64,
    before: Vec<u8>,
    after: Vec<u8>,
    pub(super) what: &'static str,
}

impl Damage {
    /// Damages a file of these shards, if there is a place for it.
    pub(super) fn make(
        fault: Fault,
        disk: &SimDisk,
        homes: &[ShardHome],
        random: &mut SimRandom,
    ) -> Option<Self> {
        let pick = |random: &mut SimRandom, of: usize| {
            usize::try_from(random.below(of as u64)).expect("below a length")
        };
        let home = &homes[pick(random, homes.len())];
        if fault == Fault::SnapshotBit {
            let files = disk.names(home.dir());
            let newest = files.iter().rfind(|name| name.starts_with("snap-") && name.ends_with(".snap"))?;
            let path = home.dir().join(newest);
            let bytes = disk.read(&path)?;
            let at = pick(random, bytes.len());
            return Some(Self::put(
                disk,
                path,
                at,
                vec![bytes[at] ^ (1 << random.below(8))],
                "a flipped bit",
            ));
        }
        let blocks = blocks(disk, home);
        let last = blocks.len().checked_sub(1)?;
        if last == 0 {
            return None;
        }
        let (path, at, length) = &blocks[pick(random, last)];
        let bytes = disk.read(path)?;
        if fault == Fault::LogBit {
            let byte = at + pick(random, *length);
            let flipped = vec![bytes[byte] ^ (1 << random.below(8))];
            return Some(Self::put(disk, path.clone(), byte, flipped, "a flipped bit"));
        }
        // Another block of the same size stands where this one belongs.
        let other = &blocks[pick(random, blocks.len())];
        if (&other.0, other.1) == (path, *at) || other.2.div_ceil(PAGE) != length.div_ceil(PAGE) {
            return None;
        }
        let theirs = disk.read(&other.0)?[other.1..].get(..length.div_ceil(PAGE) * PAGE)?.to_vec();
        Some(Self::put(disk, path.clone(), *at, theirs, "a misdirected block"))
    }

    fn put(disk: &SimDisk, path: PathBuf, at: usize, bytes: Vec<u8>, what: &'static str) -> Self {
        let before = disk.read(&path).expect("it was just read")[at..at + bytes.len()].to_vec();
        let offset = at as u64;
        disk.overwrite(&path, offset, &bytes);
        Self { path, offset, before, after: bytes, what }
    }

    /// Puts back what was there; what was pruned, lost or written anew meanwhile needs nothing.
    pub(super) fn mend(self, disk: &SimDisk) {
        let from = usize::try_from(self.offset).expect("a place in memory");
        let now = disk.read(&self.path);
        if now.is_some_and(|bytes| bytes.get(from..from + self.after.len()) == Some(&self.after[..])) {
            disk.overwrite(&self.path, self.offset, &self.before);
        }
    }
}

/// The intact blocks of a shard's log, in order: file, offset, bytes without padding.
fn blocks(disk: &SimDisk, home: &ShardHome) -> Vec<(PathBuf, usize, usize)> {
    let mut found = Vec::new();
    for name in disk.names(home.dir()) {
        let digits = name.strip_prefix("seg-").and_then(|rest| rest.strip_suffix(".log"));
        let Some(number) = digits.and_then(|digits| digits.parse().ok()) else { continue };
        let path = home.dir().join(&name);
        let Some(bytes) = disk.read(&path) else { continue };
        let mut at = PAGE;
        while at < bytes.len() {
            let header = peek_block(&bytes[at..], home.identity(), SegmentNumber(number));
            match header {
                Ok(header) if check_block(&bytes[at..], &header).is_ok() => {
                    found.push((path.clone(), at, header.bytes()));
                    at += header.padded_bytes();
                }
                _ => at += PAGE,
            }
        }
    }
    found
}
