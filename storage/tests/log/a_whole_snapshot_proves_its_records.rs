//! A snapshot is finished only when every record it reflects is durable. So a log that ends before them is damaged, and is
//! refused, whether recovery could begin at the snapshot or not: else the log would go on at numbers that do not follow
//! its last block, or begin anew as if there had been nothing.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::rig::{
    append_blocks, block_offsets, payloads, segment_path, shard, start, try_recover, try_snapshot,
};
use storage::sim_disk::SimDisk;
use storage::{Lsn, ShardHome, StorageError};

/// Twelve records and a snapshot of the state before the tenth, taken at once.
fn with_snapshot() -> (SimDisk, ShardHome) {
    let (disk, home) = shard(21);
    let (mut log, _) = start(&disk, &home);
    append_blocks(&mut log, payloads(12)[..9].to_vec());
    try_snapshot(&disk, &home, &log, Lsn(10), &[b"state".to_vec()]).unwrap();
    append_blocks(&mut log, payloads(12)[9..].to_vec());
    disk.kill_process();
    (disk, home)
}

/// Zeros from a block of the first segment on.
fn lose_from_block(disk: &SimDisk, index: usize) {
    let from = usize::try_from(block_offsets(disk, 1)[index]).unwrap();
    let mut file = disk.read(&segment_path(1)).unwrap();
    file[from..].fill(0);
    disk.put(&segment_path(1), &file);
}

fn refused_after(disk: &SimDisk, home: &ShardHome, record: u64) {
    match try_recover(disk, home) {
        Err(StorageError::LogTooShort { last, reflects, .. }) => {
            assert_eq!((last, reflects), (Lsn(record), Lsn(9)));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_log_without_a_block_is_refused() {
    let (disk, home) = with_snapshot();
    lose_from_block(&disk, 0);
    refused_after(&disk, &home, 0);
}

#[test]
fn a_log_that_ends_before_the_snapshot_is_refused() {
    let (disk, home) = with_snapshot();
    // Block 0 begins the epoch, block 9 is the last before the snapshot.
    lose_from_block(&disk, 9);
    refused_after(&disk, &home, 8);
}

#[test]
fn a_log_that_ends_with_the_snapshot_goes_on() {
    let (disk, home) = with_snapshot();
    lose_from_block(&disk, 10);
    let (mut log, replay) = start(&disk, &home);
    assert!(replay.records.is_empty() && log.next_lsn() == Lsn(10));
    append_blocks(&mut log, [b"and so on".to_vec()]);
    disk.kill_process();
    assert_eq!(try_recover(&disk, &home).unwrap().payloads(), [b"and so on".to_vec()]);
}

#[test]
fn a_log_without_a_block_is_refused_beside_a_damaged_snapshot_too() {
    let (disk, home) = with_snapshot();
    lose_from_block(&disk, 0);
    let name = disk.names(home.dir()).into_iter().find(|name| name.ends_with(".snap")).unwrap();
    disk.flip_bit(&home.dir().join(name), 4_100, 3);
    match try_recover(&disk, &home) {
        Err(StorageError::NoBase { detail, .. }) => assert!(detail.contains(".snap is damaged"), "{detail}"),
        other => panic!("it begins with nothing: {other:?}"),
    }
}
