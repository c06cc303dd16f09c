//! Following a log that is written to: every durable record once and in order, whatever crashes leave between, and nothing else;
//! and finding where a history begins when the first write of a log was torn.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};

use crate::rig::{IDENTITY, OPTIONS, SimLog, flush, flush_one, payloads, shard, start};
use proptest::prelude::*;
use storage::follow::{Base, Follower, seed_base};
use storage::sim_disk::{SimDisk, block_on};
use storage::{Generation, Log, LogIdentity, Lsn, ShardHome, SnapshotWriter, StorageError};

type Records = Vec<(Lsn, Vec<u8>)>;

fn follow(follower: &mut Follower<SimDisk>, durable: Lsn, most: usize) -> Result<Records, StorageError> {
    let mut records = Vec::new();
    let visit = &mut |lsn: Lsn, bytes: &[u8]| {
        assert_eq!(bytes.as_ptr().align_offset(16), 0);
        records.push((lsn, bytes.to_vec()));
    };
    block_on(follower.next(durable, most, usize::MAX, visit))?;
    Ok(records)
}

#[derive(Clone, Debug)]
enum Action {
    Append(usize),
    FlushOne,
    /// Power fails after so many more operations of a flush; the log starts again.
    Crash(u64),
    Follow(usize),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        5 => prop_oneof![0..600_usize, 60_000..240_000_usize].prop_map(Action::Append),
        4 => Just(Action::FlushOne),
        1 => (0..6_u64).prop_map(Action::Crash),
        4 => (1..40_usize).prop_map(Action::Follow),
    ]
}

/// Power fails in the middle of a flush; gives the log as it starts again, and what it came back with.
fn crash(disk: &SimDisk, home: &ShardHome, mut log: SimLog, after: u64) -> SimLog {
    disk.crash_at(disk.operations() + after);
    while !disk.is_down() {
        if log.append(&[7; 900]).is_err() || flush_one(&mut log).is_err() {
            break;
        }
    }
    disk.power_cycle();
    start(disk, home).0
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn each_once_and_in_order(seed: u64, actions in prop::collection::vec(action(), 1..60)) {
        let (disk, home) = shard(seed);
        let (mut log, _) = start(&disk, &home);
        let mut seen: Records = Vec::new();
        let mut follower = block_on(Follower::open(disk.clone(), &home, Lsn(1))).unwrap();
        for action in actions {
            match action {
                Action::Append(length) => drop(log.append(&vec![3; length])),
                Action::FlushOne => drop(flush_one(&mut log).unwrap()),
                Action::Crash(after) => {
                    log = crash(&disk, &home, log, after);
                    // A file is opened by one life of the machine.
                    let next = Lsn(seen.len() as u64 + 1);
                    follower = block_on(Follower::open(disk.clone(), &home, next)).unwrap();
                }
                Action::Follow(most) => seen.extend(follow(&mut follower, log.durable(), most).unwrap()),
            }
        }
        flush(&mut log).unwrap();
        seen.extend(follow(&mut follower, log.durable(), usize::MAX).unwrap());
        prop_assert_eq!(seen, crate::rig::recovered(&disk, &home).records);
    }
}

#[test]
fn what_the_log_no_longer_holds_is_an_error_that_says_what_it_does() {
    let (disk, home) = shard(1);
    let (mut log, _) = start(&disk, &home);
    crate::rig::append_blocks(&mut log, payloads(200));
    disk.delete(&crate::rig::segment_path(1));
    match block_on(Follower::open(disk, &home, Lsn(1))) {
        Err(StorageError::NoBase { first, .. }) => assert!(first > Lsn(1)),
        other => panic!("{:?}", other.map(|_| "it opens")),
    }
}

#[test]
fn damage_is_an_error_and_not_stepped_over() {
    let (disk, home) = shard(1);
    let (mut log, _) = start(&disk, &home);
    crate::rig::append_blocks(&mut log, payloads(20));
    let blocks = crate::rig::block_offsets(&disk, 1);
    disk.flip_bit(&crate::rig::segment_path(1), blocks[9] + 100, 3);
    let mut follower = block_on(Follower::open(disk, &home, Lsn(1))).unwrap();
    let error = follow(&mut follower, log.durable(), usize::MAX).unwrap_err().to_string();
    assert!(error.contains("seg-0000000000000001.log"), "{error}");
}

/// A generation that goes on from another, whose very first write is torn: the history begins with its seed all the same.
#[test]
fn a_generation_whose_first_write_was_torn_has_a_beginning() {
    let disk = SimDisk::new(3);
    let dir = PathBuf::from("/data/second");
    disk.put(&dir.join("marker"), &[]);
    disk.delete(&dir.join("marker"));
    let home = ShardHome::new(dir.clone(), LogIdentity { generation: Generation(2), ..IDENTITY });
    block_on(async {
        let mut seed = SnapshotWriter::begin(disk.clone(), home.clone(), Lsn(50)).await.unwrap();
        seed.add(b"a user").unwrap();
        seed.finish_seed().await.unwrap();
    });
    let replay = crate::rig::recovered(&disk, &home);
    let log = block_on(Log::start(disk.clone(), home.clone(), replay.recovered.tail, OPTIONS)).unwrap();
    drop(log);
    // What a power failure in the middle of that first block leaves.
    let first = dir.join(Path::new("seg-0000000000000001.log"));
    disk.flip_bit(&first, 4_096 + 40, 0);
    let (mut log, _) = start(&disk, &home);
    log.append(b"later").unwrap();
    flush(&mut log).unwrap();

    let base = block_on(seed_base(&disk, &home)).unwrap();
    assert!(matches!(&base, Base::Snapshot(snapshot) if snapshot.start() == Lsn(50)), "{base:?}");
    let mut follower = block_on(Follower::open(disk, &home, Lsn(50))).unwrap();
    assert_eq!(follow(&mut follower, log.durable(), 9).unwrap(), [(Lsn(50), b"later".to_vec())]);
}
