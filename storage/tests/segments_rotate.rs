//! Records flow over segment ends without a gap; the next segment is made while the current one is written to, and its
//! name appears only when it is whole.
#![allow(clippy::unwrap_used, reason = "tests")]

mod rig;

use rig::{OPTIONS, flush, payloads, recovered, segment_path, shard, start};
use std::cell::Cell;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use storage::sim_disk::block_on;

#[test]
fn in_order_over_many_segments() {
    let (disk, home) = shard(6);
    let (mut log, _) = start(&disk, &home);
    let all: Vec<_> = (0..60_usize).map(|i| vec![u8::try_from(i).unwrap(); i * 4_001 % 100_000]).collect();
    for payload in &all {
        log.append(payload).unwrap();
        if payload.len() % 3 == 0 {
            flush(&mut log).unwrap();
        }
    }
    flush(&mut log).unwrap();
    assert!(log.stats().segments > 5);
    assert_eq!(log.stats().stalls, 0);
    assert_eq!(recovered(&disk, &home).payloads(), all);
}

#[test]
fn preparing_and_flushing_interleave() {
    let (disk, home) = shard(6);
    let (mut log, _) = start(&disk, &home);
    let work = log.take_preparation().expect("the next segment is due from the start");
    assert!(log.take_preparation().is_none(), "only once");
    let pauses = Cell::new(0);
    let mut preparing = pin!(work.run_paced(async || pauses.set(pauses.get() + 1)));
    let mut context = Context::from_waker(Waker::noop());
    let mut flushed = 0;
    let prepared = loop {
        if let Poll::Ready(prepared) = preparing.as_mut().poll(&mut context) {
            break prepared;
        }
        assert!(disk.read(&segment_path(2)).is_none_or(|file| file.len() as u64 == OPTIONS.segment_bytes));
        log.append(&payloads(60)[flushed]).unwrap();
        let batch = log.take_batch().unwrap().unwrap();
        log.committed(block_on(batch.write())).unwrap();
        flushed += 1;
    };
    log.prepared(prepared).unwrap();
    assert!(flushed >= 5, "flushes went on meanwhile");
    assert_eq!(pauses.get(), 2, "one per chunk");
    assert!(log.take_preparation().is_none(), "one ahead is enough");
    assert_eq!(recovered(&disk, &home).payloads(), payloads(flushed));
}

#[test]
fn a_blank_next_segment_is_used_after_a_restart() {
    let (disk, home) = shard(6);
    let (mut log, _) = start(&disk, &home);
    log.append(b"one").unwrap();
    flush(&mut log).unwrap();
    assert!(disk.read(&segment_path(2)).is_some());
    disk.kill_process();
    let (mut log, _) = start(&disk, &home);
    assert!(log.take_preparation().is_none(), "segment 2 is there");
    assert_eq!(log.position().segment.0, 1, "segment 1 has room");
    let mut wanted = vec![b"one".to_vec()];
    for payload in payloads(80) {
        log.append(&payload).unwrap();
        wanted.push(payload);
        flush(&mut log).unwrap();
    }
    assert_eq!(log.position().segment.0, 2);
    assert_eq!(recovered(&disk, &home).payloads(), wanted);
}
