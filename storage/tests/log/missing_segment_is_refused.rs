//! A segment that is gone is noticed, wherever it was in the log, and named.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::rig::{
    append_blocks, payloads, segment_path, shard, snapshot_path, start, try_recover, try_snapshot,
};
use storage::sim_disk::SimDisk;
use storage::{Lsn, SegmentNumber, ShardHome, StorageError};

fn three_segments() -> (SimDisk, ShardHome) {
    let (disk, home) = shard(3);
    let (mut log, _) = start(&disk, &home);
    append_blocks(&mut log, payloads(140));
    try_snapshot(&disk, &home, &log, Lsn(141), &[]).unwrap();
    (disk, home)
}

#[test]
fn in_the_middle() {
    let (disk, home) = three_segments();
    disk.delete(&snapshot_path(141));
    disk.delete(&segment_path(2));
    match try_recover(&disk, &home) {
        Err(StorageError::Corruption(corruption)) => assert_eq!(corruption.file, segment_path(2)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_without_a_snapshot_that_covers_it() {
    let (disk, home) = three_segments();
    disk.delete(&snapshot_path(141));
    disk.delete(&segment_path(1));
    match try_recover(&disk, &home) {
        Err(StorageError::NoBase { first, .. }) => assert!(first > Lsn(1)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_with_a_snapshot_that_covers_it_is_not_needed() {
    let (disk, home) = three_segments();
    disk.delete(&segment_path(1));
    disk.delete(&segment_path(2));
    assert!(try_recover(&disk, &home).unwrap().records.is_empty());
}

#[test]
fn the_last_which_a_snapshot_was_taken_in() {
    let (disk, home) = three_segments();
    disk.delete(&segment_path(4));
    disk.delete(&segment_path(3));
    match try_recover(&disk, &home) {
        Err(StorageError::LogTooShort { needed, segment, last, .. }) => {
            assert_eq!((needed, segment), (SegmentNumber(3), SegmentNumber(2)));
            assert_eq!(last, Lsn(140), "what the snapshot begins behind");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn all_of_them() {
    let (disk, home) = three_segments();
    (1..=4).for_each(|number| disk.delete(&segment_path(number)));
    assert!(matches!(try_recover(&disk, &home), Err(StorageError::LogTooShort { .. })));
}
