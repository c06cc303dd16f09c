//! A snapshot gives back its sections, of any number and size, and only one whose records are durable can be finished.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::rig::{append_blocks, payloads, recovered, shard, start, try_recover, try_snapshot};
use storage::limits::SECTION_BYTES_MAX;
use storage::sim_disk::{SimRandom, block_on};
use storage::{Lsn, SnapshotWriter, StorageError};

fn check(sections: &[Vec<u8>]) {
    let (disk, home) = shard(13);
    let (mut log, _) = start(&disk, &home);
    append_blocks(&mut log, payloads(10));
    let snapshot = try_snapshot(&disk, &home, &log, Lsn(6), sections).unwrap();
    assert_eq!((snapshot.start(), snapshot.reflects()), (Lsn(6), Lsn(10)));
    assert_eq!(snapshot.sections(), sections.len() as u64);
    disk.power_cycle();
    let replay = recovered(&disk, &home);
    assert_eq!(replay.sections, sections);
    assert_eq!(replay.payloads(), payloads(10)[5..]);
    assert_eq!(replay.recovered.snapshot, Some(snapshot));
}

#[test]
fn none_one_and_empty() {
    check(&[]);
    check(&[Vec::new()]);
    check(&[Vec::new(), b"x".to_vec(), Vec::new()]);
}

#[test]
fn the_largest_and_every_alignment() {
    check(&[vec![1; SECTION_BYTES_MAX], vec![2; SECTION_BYTES_MAX], vec![3; SECTION_BYTES_MAX]]);
    check(&(0..40).map(|n| vec![9; n]).collect::<Vec<_>>());
    let mut random = SimRandom::new(13);
    let sizes = std::iter::repeat_with(|| usize::try_from(random.below(300_000)).unwrap());
    check(&sizes.take(60).map(|n| vec![u8::try_from(n % 256).unwrap(); n]).collect::<Vec<_>>());
}

#[test]
fn a_footer_that_fills_the_last_page_exactly() {
    for rest in 3_800..4_096 {
        if rest % 16 == 0 {
            check(&[vec![5; rest]]);
        }
    }
}

#[test]
#[should_panic(expected = "only durable records")]
fn what_is_not_durable_cannot_be_reflected() {
    let (disk, home) = shard(13);
    let (mut log, _) = start(&disk, &home);
    append_blocks(&mut log, payloads(3));
    let pending = log.append(b"not yet durable").unwrap();
    let writer = block_on(SnapshotWriter::begin(disk, home, Lsn(2))).unwrap();
    drop(block_on(writer.finish(pending, log.position())));
}

#[test]
fn a_log_that_ends_before_what_it_reflects_is_refused() {
    let (disk, home) = shard(13);
    let (mut log, _) = start(&disk, &home);
    append_blocks(&mut log, payloads(10));
    try_snapshot(&disk, &home, &log, Lsn(6), &[]).unwrap();
    // The last two blocks vanish as if they had never been written.
    let path = crate::rig::segment_path(1);
    let mut file = disk.read(&path).unwrap();
    for at in crate::rig::block_offsets(&disk, 1).into_iter().rev().take(2) {
        let at = usize::try_from(at).unwrap();
        file[at..at + 4_096].fill(0);
    }
    disk.put(&path, &file);
    match try_recover(&disk, &home) {
        Err(StorageError::LogTooShort { last, reflects, .. }) => {
            assert_eq!((last, reflects), (Lsn(8), Lsn(10)))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn abandoning_removes_the_file() {
    let (disk, home) = shard(13);
    let before = disk.contents();
    let writer = block_on(SnapshotWriter::begin(disk.clone(), home, Lsn(1))).unwrap();
    assert_ne!(disk.contents(), before);
    block_on(writer.abandon()).unwrap();
    assert_eq!(disk.contents(), before);
}
