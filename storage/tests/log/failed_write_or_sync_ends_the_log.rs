//! After a write or a sync that failed nothing is ever reported durable, every call says why, and a restart has all that
//! was acknowledged.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::rig::{
    FlushError, SimLog, append_blocks, flush, flush_one, payloads, recovered, segment_path, shard, start,
};
use storage::sim_disk::{SimDisk, block_on};
use storage::{AppendError, LogFailed, Lsn, PrepareError, ShardHome};

fn running() -> (SimDisk, ShardHome, SimLog) {
    let (disk, home) = shard(4);
    let (mut log, _) = start(&disk, &home);
    append_blocks(&mut log, payloads(3));
    assert_eq!(log.durable(), Lsn(3));
    (disk, home, log)
}

fn check_ended(log: &mut SimLog, failure: &LogFailed, operation: &str) {
    assert_eq!(failure.operation, operation);
    assert_eq!(log.durable(), Lsn(3));
    assert!(matches!(log.append(b"later"), Err(AppendError::Failed(_))));
    assert_eq!(log.take_batch().err().unwrap().to_string(), failure.to_string());
    assert!(log.take_preparation().is_none());
    assert!(matches!(flush(log), Err(FlushError::Failed(_))));
    assert!(log.failure().is_some());
    let text = failure.to_string();
    assert!(
        text.contains(operation) && text.contains("simulated I/O error") && text.contains("restart"),
        "{text}"
    );
}

fn check_block(operation: &str, fail: impl Fn(&SimDisk)) {
    let (disk, home, mut log) = running();
    log.append(b"lost").unwrap();
    let batch = log.take_batch().unwrap().unwrap();
    log.append(b"lost too").unwrap();
    fail(&disk);
    let failure = log.committed(block_on(batch.write())).unwrap_err();
    assert_eq!(failure.path, segment_path(1));
    assert_eq!(failure.offset, 5 * 4096, "the head page, the epoch's block and three more come before");
    check_ended(&mut log, &failure, operation);
    for _ in 0..20 {
        disk.power_cycle();
        let replay = recovered(&disk, &home).payloads();
        assert_eq!(replay[..3], payloads(3));
    }
}

#[test]
fn a_failed_sync() {
    check_block("sync", |disk| disk.fail_sync_at(disk.operations() + 1));
}

#[test]
fn a_failed_write() {
    check_block("write", |disk| disk.fail_write_at(disk.operations()));
}

#[test]
fn a_failed_sync_of_the_next_segment() {
    let (disk, home, mut log) = running();
    // Already one ahead: fill it and the current one until the next is due.
    while log.position().segment.0 == 1 {
        log.append(&[1; 200_000]).unwrap();
        let batch = log.take_batch().unwrap().unwrap();
        log.committed(block_on(batch.write())).unwrap();
    }
    let durable = log.durable();
    let work = log.take_preparation().expect("the next segment is due");
    // remove the leftover, create, two writes, then the sync.
    disk.fail_sync_at(disk.operations() + 4);
    let Err(PrepareError::Failed(failure)) = log.prepared(block_on(work.run_at_once())) else {
        panic!("it failed")
    };
    assert_eq!((failure.operation, &failure.path), ("prepare", &segment_path(3)));
    assert!(matches!(flush_one(&mut log), Err(FlushError::Failed(_))));
    assert_eq!(log.durable(), durable);
    assert_eq!(recovered(&disk, &home).records.len() as u64, durable.0);
}

#[test]
fn a_batch_that_is_dropped_is_never_durable() {
    let (_, _, mut log) = running();
    log.append(b"dropped").unwrap();
    drop(log.take_batch().unwrap().unwrap());
    log.append(b"after").unwrap();
    assert!(log.take_batch().unwrap().is_none());
    assert_eq!(log.durable(), Lsn(3));
}
