//! What the log says of itself, to the byte: what waits, what is being written, what has room, and what it has done.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::rig::{OPTIONS, flush, flush_one, recovered, segment_path, shard, start};
use storage::limits::{BLOCK_BYTES_MAX, PAGE_BYTES, PENDING_BLOCKS_MAX};
use storage::sim_disk::block_on;
use storage::{Epoch, LogPosition, LogStats, Lsn, SegmentNumber};

/// Of a block.
const HEADER_BYTES: usize = 80;

#[test]
fn from_the_start_to_a_durable_record() {
    let (disk, home) = shard(33);
    let (mut log, _) = start(&disk, &home);
    let room = usize::try_from(OPTIONS.segment_bytes).unwrap() - 2 * PAGE_BYTES;
    let fresh = LogStats { segments: 1, ..LogStats::default() };
    assert_eq!(log.stats(), fresh, "the block of the epoch does not count");
    assert_eq!((log.pending_bytes(), log.segment_room_bytes()), (0, room));
    assert_eq!(log.room_bytes(), (PENDING_BLOCKS_MAX - 1) * (BLOCK_BYTES_MAX - HEADER_BYTES) / 2);
    assert!(!log.is_flushing() && !log.is_stalled() && log.failure().is_none());

    log.append(b"one").unwrap();
    log.append(&[2; 5_000]).unwrap();
    assert_eq!(log.pending_bytes(), (HEADER_BYTES + 16 + 4) + (12 + 5_000));
    assert_eq!(log.room_bytes(), (PENDING_BLOCKS_MAX - 2) * (BLOCK_BYTES_MAX - HEADER_BYTES) / 2);
    let batch = log.take_batch().unwrap().unwrap();
    assert_eq!((batch.last_lsn(), batch.write_bytes()), (Lsn(2), 2 * PAGE_BYTES));
    assert_eq!((log.pending_bytes(), log.segment_room_bytes()), (0, room - 2 * PAGE_BYTES));
    assert!(log.is_flushing());
    assert_eq!(log.stats(), fresh, "nothing is done yet");
    log.committed(block_on(batch.write())).unwrap();
    assert!(!log.is_flushing());
    log.append(b"three").unwrap();
    let batch = log.take_batch().unwrap().unwrap();
    log.committed(block_on(batch.write())).unwrap();
    let bytes = 3 * PAGE_BYTES as u64;
    assert_eq!(log.stats(), LogStats { records: 3, flushes: 2, bytes, ..fresh });
    assert_eq!(log.position(), LogPosition { durable: Lsn(3), segment: SegmentNumber(1) });
    assert_eq!((log.epoch(), log.next_lsn()), (Epoch(1), Lsn(4)));
}

#[test]
fn a_start_knows_what_was_durable_before_it() {
    let (disk, home) = shard(33);
    let (mut log, _) = start(&disk, &home);
    assert_eq!(log.durable(), Lsn(0));
    for record in [b"one".as_slice(), b"two"] {
        log.append(record).unwrap();
        assert!(flush_one(&mut log).unwrap());
    }
    drop(log);
    let (log, _) = start(&disk, &home);
    assert_eq!((log.durable(), log.position().durable, log.next_lsn()), (Lsn(2), Lsn(2), Lsn(3)));
}

#[test]
fn records_that_fill_a_block_to_the_byte_are_one() {
    let second = BLOCK_BYTES_MAX / 2 - 16;
    for (more, last) in [(0, Lsn(2)), (1, Lsn(1))] {
        let (disk, home) = shard(33);
        let (mut log, _) = start(&disk, &home);
        let records = [vec![1; BLOCK_BYTES_MAX / 2 - HEADER_BYTES - 16], vec![2; second + more]];
        for record in &records {
            log.append(record).unwrap();
        }
        let work = log.take_preparation().unwrap();
        log.prepared(block_on(work.run_at_once())).unwrap();
        let batch = log.take_batch().unwrap().unwrap();
        assert_eq!(batch.last_lsn(), last, "{more} bytes more than fit");
        if more == 0 {
            assert_eq!(batch.write_bytes(), BLOCK_BYTES_MAX);
            assert_eq!(log.position().segment, SegmentNumber(2), "it takes the whole of one");
            assert_eq!(log.segment_room_bytes(), 0);
        }
        log.committed(block_on(batch.write())).unwrap();
        flush(&mut log).unwrap();
        assert_eq!(recovered(&disk, &home).payloads(), records);
    }
}

/// A start in a log whose last block ends so many pages before its segment, with the next segment there or not.
fn started_near_the_end(pages_left: usize, next_is_there: bool) {
    let context = format!("{pages_left} pages left, the next segment is there: {next_is_there}");
    let (disk, home) = shard(33);
    let (mut log, _) = start(&disk, &home);
    if next_is_there {
        let work = log.take_preparation().unwrap();
        log.prepared(block_on(work.run_at_once())).unwrap();
    }
    let mut records = Vec::new();
    while log.segment_room_bytes() > pages_left * PAGE_BYTES {
        records.push(format!("record {}", records.len()).into_bytes());
        log.append(records.last().unwrap()).unwrap();
        let batch = log.take_batch().unwrap().unwrap();
        log.committed(block_on(batch.write())).unwrap();
    }
    disk.kill_process();
    let first = disk.read(&segment_path(1)).unwrap();
    let (mut log, replay) = start(&disk, &home);
    assert_eq!(replay.payloads(), records, "{context}");
    let (segment, room) = match pages_left {
        0 => (2, usize::try_from(OPTIONS.segment_bytes).unwrap() - 2 * PAGE_BYTES),
        pages => (1, (pages - 1) * PAGE_BYTES),
    };
    assert_eq!((log.position().segment.0, log.segment_room_bytes()), (segment, room), "{context}");
    assert_eq!(log.take_preparation().is_none(), segment == 1 && next_is_there, "{context}");
    if segment == 2 {
        assert!(disk.read(&segment_path(1)).unwrap() == first, "{context}: the full one is as it was");
    }
    disk.kill_process();
    let (mut log, _) = start(&disk, &home);
    for _ in 0..3 {
        records.push(format!("record {}", records.len()).into_bytes());
        log.append(records.last().unwrap()).unwrap();
        while flush_one(&mut log).unwrap() {}
    }
    disk.power_cycle();
    assert_eq!(recovered(&disk, &home).payloads(), records, "{context}");
}

#[test]
fn a_start_takes_the_last_page_of_a_segment_and_none_beyond_it() {
    for pages_left in 0..3 {
        for next_is_there in [false, true] {
            started_near_the_end(pages_left, next_is_there);
        }
    }
}
