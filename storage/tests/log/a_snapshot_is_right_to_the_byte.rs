//! The bounds of a snapshot at their last byte, and what its end may say: a number that no writer writes is damage.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::rig::{
    DIR, append_blocks, payloads, recovered, shard, snapshot_path, start, try_recover, try_snapshot,
};
use std::path::Path;
use storage::limits::{
    LSN_BOUND, PAGE_BYTES, SECTION_BYTES_MAX, SNAPSHOT_CHUNK_BYTES, SNAPSHOT_PENDING_BYTES_MAX,
};
use storage::sim_disk::{SimDisk, block_on};
use storage::{Lsn, RecoverError, SectionError, ShardHome, SnapshotWriter, StorageError, prune, recover};

const SECTION_HEADER_BYTES: usize = 32;
const FOOTER_BYTES: usize = 64;

#[test]
fn one_that_ends_with_a_chunk() {
    for more in [0, 16] {
        let (disk, home) = shard(34);
        let (mut log, _) = start(&disk, &home);
        append_blocks(&mut log, payloads(2));
        let section = vec![5; SNAPSHOT_CHUNK_BYTES - PAGE_BYTES - SECTION_HEADER_BYTES - FOOTER_BYTES + more];
        let snapshot = try_snapshot(&disk, &home, &log, Lsn(3), std::slice::from_ref(&section)).unwrap();
        assert_eq!((snapshot.sections(), snapshot.bytes()), (1, section.len() as u64));
        assert_eq!(snapshot.path(), snapshot_path(3));
        let bytes = SNAPSHOT_CHUNK_BYTES + if more == 0 { 0 } else { PAGE_BYTES };
        assert_eq!(disk.read(&snapshot_path(3)).unwrap().len(), bytes);
        assert_eq!(recovered(&disk, &home).sections, [section]);
    }
}

#[test]
fn what_may_wait_for_the_disk() {
    let (disk, home) = shard(34);
    block_on(async {
        let mut writer = SnapshotWriter::begin(disk.clone(), home, Lsn(1)).await.unwrap();
        assert_eq!((writer.pending_bytes(), writer.needs_drain()), (PAGE_BYTES, false));
        writer.add(&vec![1; SECTION_BYTES_MAX]).unwrap();
        // Up to where exactly one more of the largest fits.
        let edge = SNAPSHOT_PENDING_BYTES_MAX - SECTION_BYTES_MAX;
        writer.add(&vec![2; edge - writer.pending_bytes() - SECTION_HEADER_BYTES]).unwrap();
        assert_eq!((writer.pending_bytes(), writer.needs_drain()), (edge, false));
        writer.add(b"").unwrap();
        let pending = edge + SECTION_HEADER_BYTES;
        assert_eq!((writer.pending_bytes(), writer.needs_drain()), (pending, true));
        let largest = vec![3; SECTION_BYTES_MAX];
        assert_eq!(writer.add(&largest), Err(SectionError::Full { pending }));
        assert_eq!(writer.pending_bytes(), pending, "nothing changed");
        writer.add(&largest[SECTION_HEADER_BYTES..]).unwrap();
        let all = SNAPSHOT_PENDING_BYTES_MAX + SECTION_HEADER_BYTES;
        assert_eq!(writer.pending_bytes(), all);
        writer.drain().await.unwrap();
        assert_eq!((writer.pending_bytes(), writer.needs_drain()), (all % SNAPSHOT_CHUNK_BYTES, false));
        let buffers = disk.buffers();
        writer.add(&largest).unwrap();
        writer.drain().await.unwrap();
        assert_eq!(disk.buffers(), buffers, "those of the chunks that are written are used again");
    });
}

#[test]
fn a_full_disk_says_how_much_was_needed() {
    let (disk, home) = shard(34);
    block_on(async {
        let mut writer = SnapshotWriter::begin(disk.clone(), home.clone(), Lsn(1)).await.unwrap();
        writer.add(&vec![1; 4 * SNAPSHOT_CHUNK_BYTES]).unwrap();
        disk.set_capacity(3 * SNAPSHOT_CHUNK_BYTES as u64 - 1);
        match writer.drain().await {
            Err(StorageError::NoSpace { needed, .. }) => assert_eq!(needed, 3 * SNAPSHOT_CHUNK_BYTES as u64),
            other => panic!("{other:?}"),
        }
        writer.abandon().await.unwrap();
    });
    assert!(disk.contents().is_empty());
}

/// Two records and a snapshot of the state after them, with one section of 20 bytes.
fn with_snapshot() -> (SimDisk, ShardHome) {
    let (disk, home) = shard(34);
    let (mut log, _) = start(&disk, &home);
    append_blocks(&mut log, payloads(2));
    try_snapshot(&disk, &home, &log, Lsn(3), &[vec![1; 20]]).unwrap();
    (disk, home)
}

/// Where the footer of that one is.
const FOOTER: usize = PAGE_BYTES + SECTION_HEADER_BYTES + 32;

/// Puts the bytes there and makes the checksum that `range` has behind it match.
fn change(disk: &SimDisk, path: &Path, at: usize, bytes: &[u8], range: std::ops::Range<usize>) {
    let mut file = disk.read(path).unwrap();
    file[at..at + bytes.len()].copy_from_slice(bytes);
    let crc = crc32c::crc32c(&file[range.clone()]);
    file[range.end..range.end + 4].copy_from_slice(&crc.to_le_bytes());
    disk.put(path, &file);
}

/// What is told of the snapshot when its footer says `number` at `at`; `None` when it was used.
fn damage(at: usize, number: u64) -> Option<String> {
    let (disk, home) = with_snapshot();
    change(&disk, &snapshot_path(3), FOOTER + at, &number.to_le_bytes(), FOOTER..FOOTER + 60);
    match try_recover(&disk, &home) {
        Ok(replay) => replay.recovered.damaged_snapshots.into_iter().next().map(|(_, reason)| reason),
        Err(StorageError::LogTooShort { .. }) => None,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn what_its_end_says() {
    let (sections, bytes, reflects) = (8, 16, 24);
    for (at, right) in [(sections, 1), (bytes, 20), (reflects, 2)] {
        assert_eq!(damage(at, right), None, "byte {at}");
    }
    let wrong = "the end does not match what comes before or after it";
    for (at, number) in [
        (sections, 0),
        (sections, 2),
        (bytes, 19),
        (bytes, 21),
        (reflects, 0),
        (reflects, 1),
        (reflects, LSN_BOUND),
        (reflects, u64::MAX),
    ] {
        assert_eq!(damage(at, number).as_deref(), Some(wrong), "{number} at byte {at}");
    }
    // Later records than the log has: the log is too short.
    assert_eq!(damage(reflects, LSN_BOUND - 1), None);
}

#[test]
fn one_that_starts_before_the_first_record() {
    let (disk, home) = with_snapshot();
    let path = snapshot_path(0);
    disk.put(&path, &disk.read(&snapshot_path(3)).unwrap());
    disk.delete(&snapshot_path(3));
    change(&disk, &path, 24, &0_u64.to_le_bytes(), 0..PAGE_BYTES - 4);
    let replay = recovered(&disk, &home);
    assert_eq!(replay.recovered.damaged_snapshots.len(), 1);
    assert_eq!(replay.payloads(), payloads(2));
}

#[test]
fn what_a_section_says() {
    let reason = |at: usize, bytes: &[u8]| {
        let (disk, home) = with_snapshot();
        disk.overwrite(&snapshot_path(3), (PAGE_BYTES + at) as u64, bytes);
        recovered(&disk, &home).recovered.damaged_snapshots.remove(0).1
    };
    let header = "the section's header is wrong";
    assert_eq!(reason(0, b"SACT"), "neither a section nor the end is here");
    assert_eq!(reason(8, &[1]), header, "the index");
    let most = u32::try_from(SECTION_BYTES_MAX).unwrap();
    assert_eq!(reason(4, &(most + 1).to_le_bytes()), header, "the length");
    assert_eq!(reason(4, &most.to_le_bytes()), "the section is cut off");
    for at in [4, 16, 20, 31, 32, 51, 52, 63] {
        assert_eq!(reason(at, &[9]), "the section's checksum does not match", "byte {at}");
    }
}

#[test]
fn one_that_starts_with_a_segment_needs_none_before() {
    let (disk, home) = shard(34);
    let (mut log, _) = start(&disk, &home);
    append_blocks(&mut log, payloads(100));
    // The epoch's block and 63 records fill the first segment.
    assert_eq!(log.position().segment.0, 2);
    let snapshot = try_snapshot(&disk, &home, &log, Lsn(64), &[b"state".to_vec()]).unwrap();
    let pruned = block_on(prune(&disk, &home, &snapshot)).unwrap();
    assert_eq!((pruned.segments, pruned.snapshots), (1, 0));
    let replay = recovered(&disk, &home);
    assert_eq!((replay.sections, replay.records[0].0), (vec![b"state".to_vec()], Lsn(64)));
    assert_eq!(replay.records.len(), 37);
    let operations = disk.operations();
    block_on(prune(&disk, &home, &snapshot)).unwrap();
    assert_eq!(disk.operations(), operations, "with nothing to remove nothing is synced");
}

#[test]
fn what_is_pruned_is_gone_for_good() {
    for seed in 0..32 {
        let (disk, home) = shard(seed);
        let (mut log, _) = start(&disk, &home);
        append_blocks(&mut log, payloads(100));
        try_snapshot(&disk, &home, &log, Lsn(2), &[]).unwrap();
        let snapshot = try_snapshot(&disk, &home, &log, Lsn(101), &[]).unwrap();
        block_on(prune(&disk, &home, &snapshot)).unwrap();
        let names = disk.names(Path::new(DIR));
        disk.power_cycle();
        assert_eq!(disk.names(Path::new(DIR)), names, "seed {seed}");
    }
}

/// What is told of the snapshot when its file is this.
fn told_of(change: impl FnOnce(&mut Vec<u8>)) -> String {
    let (disk, home) = with_snapshot();
    let mut file = disk.read(&snapshot_path(3)).unwrap();
    change(&mut file);
    disk.put(&snapshot_path(3), &file);
    let replay = recovered(&disk, &home);
    replay.recovered.damaged_snapshots.into_iter().next().expect("it is damaged").1
}

#[test]
fn an_end_needs_both_its_mark_and_its_checksum() {
    let nothing = "neither a section nor the end is here";
    assert_eq!(told_of(|file| file[FOOTER + 60] ^= 1), nothing);
    let unmarked = told_of(|file| {
        file[FOOTER] ^= 1;
        let crc = crc32c::crc32c(&file[FOOTER..FOOTER + 60]);
        file[FOOTER + 60..FOOTER + 64].copy_from_slice(&crc.to_le_bytes());
    });
    assert_eq!(unmarked, nothing);
}

#[test]
fn a_section_that_is_cut_within_its_header_is_told_from_one_behind_it() {
    for kept in 4..SECTION_HEADER_BYTES {
        let told = told_of(|file| file.truncate(PAGE_BYTES + kept));
        assert_eq!(told, "neither a section nor the end is here", "{kept} bytes");
    }
    let told = told_of(|file| file.truncate(PAGE_BYTES + SECTION_HEADER_BYTES));
    assert_eq!(told, "the section is cut off");
}

#[test]
fn what_a_visitor_does_not_take_is_named_by_its_place() {
    let (disk, home) = with_snapshot();
    let stopped = block_on(recover(&disk, &home, |_| Err("enough")));
    match stopped {
        Err(RecoverError::Visitor { file, offset, source: "enough" }) => {
            assert_eq!((file, offset), (snapshot_path(3), (PAGE_BYTES + SECTION_HEADER_BYTES) as u64));
        }
        other => panic!("{other:?}"),
    }
}
