//! Taking a snapshot and pruning behind it, with power failing at each single operation of it: recovery always gives
//! everything acknowledged, from one snapshot or another, and the log goes on.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::rig::{append_blocks, flush, payloads, recovered, segment_path, shard, start, try_snapshot};
use storage::sim_disk::{SimDisk, block_on};
use storage::{Lsn, ShardHome, StorageError, prune};

/// The records before `start`, one per section.
fn sections(start: Lsn) -> Vec<Vec<u8>> {
    payloads(200)[..usize::try_from(start.0).unwrap() - 1].to_vec()
}

/// Two snapshots with records between and after them, and a pruning after each: everything under test.
fn run(disk: &SimDisk, home: &ShardHome, log: &mut crate::rig::SimLog) -> Result<(), StorageError> {
    for start in [Lsn(101), Lsn(181)] {
        let first = usize::try_from(log.next_lsn().0).unwrap() - 1;
        for payload in &payloads(200)[first..usize::try_from(start.0).unwrap() + 9] {
            log.append(payload).unwrap();
            if flush(log).is_err() {
                return Ok(());
            }
        }
        let snapshot = try_snapshot(disk, home, log, start, &sections(start))?;
        block_on(prune(disk, home, &snapshot))?;
    }
    Ok(())
}

/// What recovery gives, snapshot and log together, must be the first records, no fewer than acknowledged.
fn check(disk: &SimDisk, home: &ShardHome, acknowledged: Lsn, context: &str) {
    let replay = recovered(disk, home);
    let mut all = replay.sections.clone();
    if let Some(snapshot) = &replay.recovered.snapshot {
        assert_eq!(replay.sections, sections(snapshot.start()), "{context}");
    }
    if let Some((first, _)) = replay.records.first() {
        assert_eq!(first.0, all.len() as u64 + 1, "{context}");
    }
    all.extend(replay.payloads());
    assert!(all.len() as u64 >= acknowledged.0, "{context}: {} of {acknowledged}", all.len());
    assert_eq!(all, payloads(200)[..all.len()], "{context}");
}

#[test]
fn every_crash_point() {
    let (disk, home) = shard(0);
    let (mut log, _) = start(&disk, &home);
    let begin = disk.operations();
    run(&disk, &home, &mut log).unwrap();
    let steps = disk.operations() - begin;
    assert!(disk.read(&segment_path(1)).is_none(), "pruning removed something");
    assert!(disk.read(&segment_path(4)).is_some() || disk.read(&segment_path(3)).is_some());
    for step in 0..steps {
        for seed in 0..3 {
            let context = format!("crash at step {step} of {steps}, seed {seed}");
            let (disk, home) = shard(seed * 1_000 + step);
            let (mut log, _) = start(&disk, &home);
            disk.crash_at(disk.operations() + step);
            let ended = run(&disk, &home, &mut log);
            assert!(disk.is_down(), "{context}: {ended:?}");
            disk.power_cycle();
            check(&disk, &home, log.durable(), &context);
            let (mut log, replay) = start(&disk, &home);
            let tmp = disk.contents().into_keys().find(|path| path.to_string_lossy().ends_with(".tmp"));
            assert_eq!(tmp, None, "{context}: interrupted files are removed");
            let next = replay.recovered.tail.next_lsn();
            append_blocks(&mut log, payloads(200)[usize::try_from(next.0).unwrap() - 1..].to_vec());
            disk.power_cycle();
            check(&disk, &home, Lsn(200), &context);
        }
    }
}

#[test]
fn pruning_keeps_exactly_what_the_given_snapshot_needs() {
    let (disk, home) = shard(1);
    let (mut log, _) = start(&disk, &home);
    append_blocks(&mut log, payloads(100));
    let first = try_snapshot(&disk, &home, &log, Lsn(101), &sections(Lsn(101))).unwrap();
    append_blocks(&mut log, payloads(200)[100..].to_vec());
    let second = try_snapshot(&disk, &home, &log, Lsn(201), &sections(Lsn(201))).unwrap();
    let kept = block_on(prune(&disk, &home, &first)).unwrap();
    assert_eq!((kept.segments, kept.snapshots), (1, 0), "the last but one: both snapshots stay usable");
    disk.flip_bit(second.path(), 5_000, 0);
    check(&disk, &home, Lsn(200), "the newer one is damaged");
    disk.flip_bit(second.path(), 5_000, 0);
    let kept = block_on(prune(&disk, &home, &second)).unwrap();
    assert_eq!((kept.segments, kept.snapshots), (2, 1));
    assert!(disk.read(&segment_path(4)).is_some(), "the segment being written stays");
    check(&disk, &home, Lsn(200), "all that is left");
    assert_eq!(block_on(prune(&disk, &home, &second)).unwrap(), storage::Pruned::default());
}

#[test]
fn a_finished_snapshot_stays_whatever_power_does() {
    for seed in 0..64 {
        let (disk, home) = shard(seed);
        let (mut log, _) = start(&disk, &home);
        append_blocks(&mut log, payloads(100));
        let snapshot = try_snapshot(&disk, &home, &log, Lsn(101), &sections(Lsn(101))).unwrap();
        disk.power_cycle();
        let found = recovered(&disk, &home).recovered.snapshot.map(|found| found.start());
        assert_eq!(found, Some(Lsn(101)), "seed {seed}: {} is gone", snapshot.path().display());
    }
}
