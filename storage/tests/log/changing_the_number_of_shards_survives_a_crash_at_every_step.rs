//! A restart with another number of shards, with power failing at each single operation of it: the data is in the old
//! generation or the new one, whole either way, and the next start completes the change.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::rig::{OPTIONS, flush, recovered};
use std::path::Path;
use storage::sim_disk::{SimDisk, block_on};
use storage::{DataDirectory, Generation, Log, Lsn, Salt, ShardHome, SnapshotWriter, StorageError};

const ROOT: &str = "/srv/data";

fn open(disk: &SimDisk, shards: u16) -> Result<DataDirectory<SimDisk>, StorageError> {
    block_on(DataDirectory::open(disk.clone(), Path::new(ROOT), shards, Salt(1)))
}

/// Everything all shards hold, sorted, and the first LSN above all of theirs.
fn everything(homes: &[ShardHome], disk: &SimDisk) -> (Vec<Vec<u8>>, Lsn) {
    let replays: Vec<_> = homes.iter().map(|home| recovered(disk, home)).collect();
    let mut all: Vec<_> =
        replays.iter().flat_map(|replay| [replay.sections.clone(), replay.payloads()].concat()).collect();
    all.sort();
    (all, replays.iter().map(|replay| replay.recovered.tail.next_lsn()).max().unwrap())
}

/// A start with `shards` shards: as the server does it.
fn start(disk: &SimDisk, shards: u16) -> Result<Vec<ShardHome>, StorageError> {
    let directory = open(disk, shards)?;
    let old = directory.shards();
    if old.len() == usize::from(shards) {
        return Ok(old);
    }
    let mut all = Vec::new();
    let mut next = Lsn(1);
    for home in &old {
        let replay = crate::rig::try_recover(disk, home)?;
        next = next.max(replay.recovered.tail.next_lsn());
        all.extend(replay.sections.clone());
        all.extend(replay.payloads());
    }
    block_on(async {
        let new = directory.begin_generation(shards, Salt(2)).await?;
        for (index, home) in new.shards().into_iter().enumerate() {
            let mut writer = SnapshotWriter::begin(disk.clone(), home, next).await?;
            for item in all.iter().skip(index).step_by(usize::from(shards)) {
                writer.add(item).unwrap();
            }
            writer.finish_seed().await?;
        }
        Ok(new.switch().await?.shards())
    })
}

fn append(disk: &SimDisk, home: &ShardHome, payloads: &[String]) {
    let tail = recovered(disk, home).recovered.tail;
    let mut log = block_on(Log::start(disk.clone(), home.clone(), tail, OPTIONS)).unwrap();
    for payload in payloads {
        log.append(payload.as_bytes()).unwrap();
    }
    flush(&mut log).unwrap();
}

/// Two shards with records in each.
fn two_shards(seed: u64) -> (SimDisk, Vec<Vec<u8>>) {
    let disk = SimDisk::new(seed);
    let homes = start(&disk, 2).unwrap();
    for (index, home) in homes.iter().enumerate() {
        append(
            &disk,
            home,
            &(0..=index * 3 + 2).map(|i| format!("shard {index} record {i}")).collect::<Vec<_>>(),
        );
    }
    let all = everything(&homes, &disk).0;
    assert_eq!(all.len(), 9);
    (disk, all)
}

#[test]
fn every_crash_point() {
    let steps = {
        let (disk, _) = two_shards(0);
        let begin = disk.operations();
        start(&disk, 3).unwrap();
        disk.operations() - begin
    };
    assert!(steps > 20);
    for step in 0..steps {
        for seed in 0..8 {
            let context = format!("crash at step {step} of {steps}, seed {seed}");
            let (disk, all) = two_shards(seed * 1_000 + step);
            disk.crash_at(disk.operations() + step);
            start(&disk, 3).expect_err(&context);
            disk.power_cycle();
            let homes = open(&disk, 9).expect(&context).shards();
            assert!([2, 3].contains(&homes.len()), "{context}");
            assert_eq!(everything(&homes, &disk).0, all, "{context}");
            let homes = start(&disk, 3).expect(&context);
            append(&disk, &homes[2], &["after".to_owned()]);
            disk.power_cycle();
            let homes = start(&disk, 3).expect(&context);
            let mut wanted = [all, vec![b"after".to_vec()]].concat();
            wanted.sort();
            assert_eq!(everything(&homes, &disk).0, wanted, "{context}");
            let old =
                disk.contents().into_keys().find(|path| path.to_string_lossy().contains("gen-00000001"));
            assert_eq!(old, None, "{context}: the old generation is removed");
        }
    }
}

#[test]
fn lsns_go_on_above_the_old_generation() {
    let (disk, _) = two_shards(1);
    for (round, shards) in [3, 1, 4].into_iter().enumerate() {
        let before = everything(&open(&disk, 1).unwrap().shards(), &disk);
        let homes = start(&disk, shards).unwrap();
        assert_eq!(homes[0].identity().generation, Generation(u32::try_from(round).unwrap() + 2));
        for home in &homes {
            append(&disk, home, &[format!("generation {round}")]);
            assert_eq!(recovered(&disk, home).records[0].0, before.1);
        }
        assert_eq!(everything(&homes, &disk).0.len(), before.0.len() + usize::from(shards));
    }
}

#[test]
fn a_first_start_that_crashes_anywhere_can_be_repeated() {
    for step in 0..20 {
        for seed in 0..8 {
            let disk = SimDisk::new(seed);
            disk.crash_at(step);
            let first = open(&disk, 2).map(drop);
            disk.power_cycle();
            let homes =
                open(&disk, 2).unwrap_or_else(|error| panic!("step {step}, {first:?}: {error}")).shards();
            append(&disk, &homes[1], &["one".to_owned()]);
            disk.power_cycle();
            assert_eq!(everything(&open(&disk, 2).unwrap().shards(), &disk).0, [b"one".to_vec()]);
        }
    }
}

#[test]
fn files_without_a_current_are_not_touched() {
    let (disk, _) = two_shards(1);
    disk.delete(&Path::new(ROOT).join("CURRENT"));
    let before = disk.contents();
    let error = open(&disk, 2).map(drop).unwrap_err();
    assert!(
        matches!(error, StorageError::Current { .. }) && error.to_string().contains("restore it"),
        "{error}"
    );
    assert!(disk.contents() == before);
}

#[test]
fn a_new_shard_without_its_snapshot_is_refused_and_so_is_a_lost_one() {
    let (disk, _) = two_shards(1);
    let homes = start(&disk, 3).unwrap();
    let seed = disk.contents().into_keys().find(|path| path.starts_with(homes[1].dir())).unwrap();
    disk.delete(&seed);
    assert!(matches!(crate::rig::try_recover(&disk, &homes[1]), Err(StorageError::NoBase { .. })));
}

#[test]
#[should_panic(expected = "begins with a complete snapshot")]
fn switching_without_all_snapshots() {
    let (disk, _) = two_shards(1);
    block_on(async {
        open(&disk, 2).unwrap().begin_generation(3, Salt(2)).await.unwrap().switch().await.unwrap()
    });
}
