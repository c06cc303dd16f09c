//! The files of a data directory from outside: to compare them, and to damage them.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The paths of all files below a directory.
fn paths(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).expect("a directory is listed") {
            let path = entry.expect("an entry").path();
            if path.is_dir() { dirs.push(path) } else { all.push(path) }
        }
    }
    all.sort();
    all
}

/// Everything below a directory, by path. `LOCK` is left out: it holds the process id of whoever tried last. For
/// directories that nobody writes to any more: direct writes and a reader through the page cache get in each other's way.
pub fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let all = paths(dir).into_iter().filter(|path| path.file_name().is_some_and(|name| name != "LOCK"));
    all.map(|path| (path.clone(), std::fs::read(&path).expect("a file is read"))).collect()
}

/// The segments of every shard, sorted.
pub fn segments(data: &Path) -> Vec<PathBuf> {
    let is_segment = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "log");
    paths(data).into_iter().filter(is_segment).collect()
}

/// Overwrites bytes of a file.
pub fn overwrite(path: &Path, offset: usize, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(path).expect("a segment opens");
    file.write_all_at(bytes, offset as u64).expect("a segment is written");
}

/// Flips one bit of a file.
pub fn flip(path: &Path, offset: usize) {
    let mut byte = [0];
    let file = std::fs::File::open(path).expect("a segment opens");
    file.read_exact_at(&mut byte, offset as u64).expect("a segment is read");
    overwrite(path, offset, &[byte[0] ^ 1]);
}

/// What the shards' directories say about what a server has done besides writing records.
#[derive(Clone, Copy, Debug, Default)]
pub struct Housework {
    /// Shards whose log has gone on in a further segment (a spare one is always ahead).
    pub rotated: usize,
    /// Shards with a snapshot beside the one that their generation began with.
    pub snapshots: usize,
    /// Shards whose first segments were removed, being covered by snapshots.
    pub pruned: usize,
}

impl Housework {
    /// Adds what is to be seen in a data directory.
    pub fn look(&mut self, data: &Path) {
        let mut shards: BTreeMap<PathBuf, (Vec<u64>, Vec<u64>)> = BTreeMap::new();
        for path in paths(data) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            let Some(dir) = path.parent() else { continue };
            let number =
                |start: &str, end: &str| name.strip_prefix(start)?.strip_suffix(end)?.parse::<u64>().ok();
            let (segments, snapshots) = shards.entry(dir.to_owned()).or_default();
            segments.extend(number("seg-", ".log"));
            snapshots.extend(number("snap-", ".snap"));
        }
        for (segments, snapshots) in shards.into_values() {
            self.rotated += usize::from(segments.iter().max().is_some_and(|last| *last > 2));
            self.snapshots += usize::from(snapshots.len() > 1);
            self.pruned += usize::from(segments.iter().min().is_some_and(|first| *first > 1));
        }
    }
}
