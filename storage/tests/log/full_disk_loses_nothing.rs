//! A full disk shows when the next segment is made: a typed error, everything acknowledged stays, the log goes on in the
//! rest of its segment and then waits, and goes on for good once there is space.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::rig::{OPTIONS, append_blocks, flush, payloads, recovered, segment_path, shard, start, try_start};
use storage::sim_disk::block_on;
use storage::{AppendError, Lsn, PrepareError, StorageError};

#[test]
fn the_next_segment_does_not_fit() {
    let (disk, home) = shard(5);
    disk.set_capacity(2 * OPTIONS.segment_bytes - 1);
    let (mut log, _) = start(&disk, &home);
    let work = log.take_preparation().unwrap();
    match log.prepared(block_on(work.run_at_once())) {
        Err(PrepareError::NoSpace { path, needed }) => {
            assert_eq!((path, needed), (segment_path(2), OPTIONS.segment_bytes));
        }
        other => panic!("{other:?}"),
    }
    assert!(disk.read(&segment_path(2)).is_none());
    assert_eq!(disk.contents().len(), 1, "what was begun is removed");

    let mut taken = 0;
    while !log.is_stalled() {
        log.append(&payloads(80)[taken]).unwrap();
        taken += 1;
        if let Some(batch) = log.take_batch().unwrap() {
            log.committed(block_on(batch.write())).unwrap();
        }
    }
    assert_eq!(taken, 64, "the rest of the segment is used: its blocks less the epoch's, and one waits");
    assert_eq!(log.durable(), Lsn(63));
    assert_eq!(log.stats().stalls, 1);
    let refused = loop {
        if let Err(refused) = log.append(&[0; 200_000]) {
            break refused;
        }
    };
    assert!(matches!(refused, AppendError::Full { .. }), "what waits is bounded");

    disk.set_capacity(u64::MAX);
    let last = Lsn(log.next_lsn().0 - 1);
    assert_eq!(flush(&mut log).unwrap(), last);
    let replay = recovered(&disk, &home);
    assert_eq!(replay.payloads()[..64], payloads(64));
    assert_eq!(replay.records.len() as u64, last.0);
}

#[test]
fn a_start_on_a_full_disk_says_so() {
    let (disk, home) = shard(5);
    disk.set_capacity(OPTIONS.segment_bytes / 2);
    match try_start(&disk, &home).map(drop) {
        Err(error @ StorageError::NoSpace { needed, .. }) => {
            assert_eq!(needed, OPTIONS.segment_bytes);
            assert!(error.to_string().contains("nothing acknowledged is lost"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_restart_goes_on_in_the_old_segment_without_more_space() {
    let (disk, home) = shard(5);
    let (mut log, _) = start(&disk, &home);
    disk.set_capacity(OPTIONS.segment_bytes);
    log.append(b"one").unwrap();
    let batch = log.take_batch().unwrap().unwrap();
    log.committed(block_on(batch.write())).unwrap();
    disk.kill_process();
    disk.set_capacity(u64::MAX);
    let (mut log, replay) = start(&disk, &home);
    assert_eq!(replay.payloads(), [b"one".to_vec()]);
    append_blocks(&mut log, [b"two".to_vec()]);
    assert_eq!(recovered(&disk, &home).payloads(), [b"one".to_vec(), b"two".to_vec()]);
}
