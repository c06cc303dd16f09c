//! A damaged snapshot is never used in part. An older one is, or the whole log; and when neither reaches, the error says
//! what there is.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::rig::{
    append_blocks, payloads, recovered, shard, snapshot_path, start, try_recover, try_snapshot,
};
use storage::sim_disk::{SimDisk, block_on};
use storage::{Lsn, ShardHome, StorageError, prune};

fn with_snapshots(starts: &[u64], prune_to_first: bool) -> (SimDisk, ShardHome) {
    let (disk, home) = shard(12);
    let (mut log, _) = start(&disk, &home);
    for &begin in starts {
        let next = usize::try_from(log.next_lsn().0).unwrap() - 1;
        append_blocks(&mut log, payloads(200)[next..usize::try_from(begin).unwrap() - 1].to_vec());
        let snapshot =
            try_snapshot(&disk, &home, &log, Lsn(begin), &[begin.to_le_bytes().to_vec(), vec![7; 9_000]])
                .unwrap();
        if prune_to_first && begin == starts[0] {
            block_on(prune(&disk, &home, &snapshot)).unwrap();
        }
    }
    let next = usize::try_from(log.next_lsn().0).unwrap() - 1;
    append_blocks(&mut log, payloads(200)[next..].to_vec());
    (disk, home)
}

#[test]
fn every_byte_of_it_counts() {
    let (disk, home) = with_snapshots(&[101, 151], true);
    let path = snapshot_path(151);
    let bytes = disk.read(&path).unwrap().len() as u64;
    for at in (0..bytes).step_by(7).chain(4_096..4_200).chain(bytes - 4_096..bytes) {
        disk.flip_bit(&path, at, 5);
        let replay = recovered(&disk, &home);
        assert_eq!(replay.recovered.damaged_snapshots.len(), 1, "byte {at} was not noticed");
        assert_eq!(replay.recovered.damaged_snapshots[0].0, path);
        assert_eq!(replay.sections[0], 101_u64.to_le_bytes());
        assert_eq!(replay.payloads(), payloads(200)[100..]);
        disk.flip_bit(&path, at, 5);
    }
    assert_eq!(recovered(&disk, &home).sections[0], 151_u64.to_le_bytes());
}

#[test]
fn without_any_left_the_whole_log_does() {
    let (disk, home) = with_snapshots(&[101], false);
    disk.flip_bit(&snapshot_path(101), 4_100, 0);
    let replay = recovered(&disk, &home);
    assert!(replay.sections.is_empty());
    assert_eq!(replay.payloads(), payloads(200));
}

#[test]
fn without_any_left_and_a_pruned_log_it_is_refused() {
    let (disk, home) = with_snapshots(&[101], true);
    disk.flip_bit(&snapshot_path(101), 4_100, 0);
    match try_recover(&disk, &home) {
        Err(error @ StorageError::NoBase { first, .. }) => {
            assert!(first > Lsn(1) && first <= Lsn(101));
            let text = error.to_string();
            assert!(
                text.contains("snap-00000000000000000101.snap is damaged at byte 4096")
                    && text.contains("restore"),
                "{text}"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn cut_off_or_longer() {
    let (disk, home) = with_snapshots(&[101, 151], true);
    let whole = disk.read(&snapshot_path(151)).unwrap();
    for bytes in [0, 4_096, 8_192, whole.len() - 4_096, whole.len() + 4_096] {
        let mut file = whole.clone();
        file.resize(bytes, 0);
        disk.put(&snapshot_path(151), &file);
        assert_eq!(recovered(&disk, &home).sections[0], 101_u64.to_le_bytes(), "{bytes} bytes");
    }
}
