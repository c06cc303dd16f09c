//! Group commit without a timer: one block in flight, everything appended meanwhile is the next.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::rig::{payloads, recovered, shard, start};
use storage::Lsn;
use storage::limits::BLOCK_BYTES_MAX;
use storage::sim_disk::block_on;

#[test]
fn one_in_flight_the_rest_in_one() {
    let (disk, home) = shard(7);
    let (mut log, _) = start(&disk, &home);
    assert!(log.take_batch().unwrap().is_none(), "nothing waits");
    log.append(&payloads(40)[0]).unwrap();
    let first = log.take_batch().unwrap().unwrap();
    assert_eq!(first.last_lsn(), Lsn(1));
    for payload in &payloads(40)[1..] {
        log.append(payload).unwrap();
        assert!(log.take_batch().unwrap().is_none(), "one at a time");
    }
    assert_eq!(log.durable(), Lsn(0));
    assert_eq!(log.committed(block_on(first.write())).unwrap(), Lsn(1));
    let second = log.take_batch().unwrap().unwrap();
    assert_eq!(second.last_lsn(), Lsn(40));
    assert!(second.write_bytes() <= BLOCK_BYTES_MAX);
    assert_eq!(log.committed(block_on(second.write())).unwrap(), Lsn(40));
    assert_eq!((log.stats().flushes, log.stats().records, log.stats().refused), (2, 40, 0));
    assert_eq!(recovered(&disk, &home).payloads(), payloads(40));
}

#[test]
fn buffers_are_used_again() {
    let (disk, home) = shard(7);
    let (mut log, _) = start(&disk, &home);
    let turn = |log: &mut crate::rig::SimLog| {
        log.append(b"a").unwrap();
        let batch = log.take_batch().unwrap().unwrap();
        log.append(b"b").unwrap();
        log.committed(block_on(batch.write())).unwrap();
        let batch = log.take_batch().unwrap().unwrap();
        log.committed(block_on(batch.write())).unwrap();
    };
    turn(&mut log);
    let warm = disk.buffers();
    (0..20).for_each(|_| turn(&mut log));
    assert_eq!(disk.buffers(), warm, "no buffer is allocated after warm-up");
}
