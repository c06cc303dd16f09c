//! Records flow over segment ends without a gap; the next segment is made while the current one is written to, and its
//! name appears only when it is whole.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::rig::{OPTIONS, flush, payloads, recovered, segment_path, shard, start};
use std::pin::Pin;
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

/// Polls `work` as often as it makes progress by itself.
fn settle<F: Future + Unpin>(work: &mut F) -> Option<F::Output> {
    let mut context = Context::from_waker(Waker::noop());
    (0..20).find_map(|_| match Pin::new(&mut *work).poll(&mut context) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    })
}

fn write_one(log: &mut crate::rig::SimLog, payload: &[u8]) {
    log.append(payload).unwrap();
    let batch = log.take_batch().unwrap().unwrap();
    log.committed(block_on(batch.write())).unwrap();
}

#[test]
fn the_next_one_is_made_as_the_current_one_fills() {
    let (disk, home) = shard(6);
    let (mut log, _) = start(&disk, &home);
    let mut work = Box::pin(log.take_preparation().expect("the next segment is due from the start").run());
    assert!(log.take_preparation().is_none(), "only once");
    assert!(settle(&mut work).is_none(), "nothing is written yet, so nothing is due");
    let tmp = segment_path(2).with_extension("log.tmp");
    assert_eq!(disk.read(&tmp).unwrap().len(), 0);
    let mut flushed = 0;
    let prepared = loop {
        write_one(&mut log, &payloads(60)[flushed]);
        flushed += 1;
        if let Some(prepared) = settle(&mut work) {
            break prepared;
        }
        assert!(disk.read(&segment_path(2)).is_none(), "it has its name only when it is whole");
    };
    assert_eq!(flushed, 32, "it is whole when half the rest of the current one is used");
    assert_eq!(disk.read(&segment_path(2)).unwrap().len() as u64, OPTIONS.segment_bytes);
    log.prepared(prepared).unwrap();
    assert!(log.take_preparation().is_none(), "one ahead is enough");
    assert_eq!(recovered(&disk, &home).payloads(), payloads(flushed));
}

#[test]
fn the_next_one_is_made_at_once_when_the_log_waits_for_it() {
    let (disk, home) = shard(6);
    let (mut log, _) = start(&disk, &home);
    let mut work = Box::pin(log.take_preparation().unwrap().run());
    write_one(&mut log, &[1; 100_000]);
    assert!(settle(&mut work).is_none());
    log.append(&[2; 200_000]).unwrap();
    assert!(log.take_batch().unwrap().is_none() && log.is_stalled(), "it does not fit");
    log.prepared(settle(&mut work).expect("no more waiting")).unwrap();
    flush(&mut log).unwrap();
    assert_eq!(recovered(&disk, &home).payloads(), [vec![1; 100_000], vec![2; 200_000]]);
}

#[test]
fn making_the_next_one_ends_with_its_log() {
    let (disk, home) = shard(6);
    let (mut log, _) = start(&disk, &home);
    let mut work = Box::pin(log.take_preparation().unwrap().run());
    assert!(settle(&mut work).is_none());
    drop(log);
    assert!(settle(&mut work).is_some());
    assert_eq!(disk.contents().len(), 1, "and leaves nothing");
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
