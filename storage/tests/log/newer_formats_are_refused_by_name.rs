//! A file of a later format version is refused as that, not as damage.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::rig::{
    append_blocks, payloads, segment_path, shard, snapshot_path, start, try_recover, try_snapshot,
};
use std::path::Path;
use storage::sim_disk::SimDisk;
use storage::{FORMAT_VERSION, Lsn, StorageError};

fn raise_version(disk: &SimDisk, path: &Path) {
    let mut file = disk.read(path).unwrap();
    file[8..10].copy_from_slice(&(FORMAT_VERSION + 1).to_le_bytes());
    let crc = crc32c::crc32c(&file[..4092]);
    file[4092..4096].copy_from_slice(&crc.to_le_bytes());
    disk.put(path, &file);
}

fn check(path: &Path) {
    let (disk, home) = shard(11);
    let (mut log, _) = start(&disk, &home);
    append_blocks(&mut log, payloads(3));
    try_snapshot(&disk, &home, &log, Lsn(4), &payloads(1)).unwrap();
    raise_version(&disk, path);
    match try_recover(&disk, &home) {
        Err(error @ StorageError::NewerVersion { .. }) => {
            let text = error.to_string();
            assert!(text.contains(&*path.to_string_lossy()) && text.contains("newer program"), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_segment() {
    check(&segment_path(1));
}

#[test]
fn a_snapshot() {
    check(&snapshot_path(4));
}
