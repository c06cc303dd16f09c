//! Following a log that is written to: every durable record once and in order, whatever crashes leave between, and nothing else;
//! and finding where a history begins when the first write of a log was torn.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};

use crate::rig::{IDENTITY, OPTIONS, SimLog, flush, flush_one, payloads, shard, start};
use proptest::prelude::*;
use storage::follow::{Base, Follower, seed_base};
use storage::relay::{RelayReader, relay};
use storage::sim_disk::{SimDisk, block_on};
use storage::{Generation, Log, LogIdentity, Lsn, ShardHome, SnapshotWriter, StorageError};

type Records = Vec<(Lsn, Vec<u8>)>;

fn follow(follower: &mut Follower<SimDisk>, durable: Lsn, most: usize) -> Result<Records, StorageError> {
    follow_with(follower, None, durable, most)
}

fn follow_with(
    follower: &mut Follower<SimDisk>,
    relay: Option<&mut RelayReader>,
    durable: Lsn,
    most: usize,
) -> Result<Records, StorageError> {
    let mut records = Vec::new();
    let visit = &mut |lsn: Lsn, bytes: &[u8]| {
        assert_eq!(bytes.as_ptr().align_offset(16), 0);
        records.push((lsn, bytes.to_vec()));
    };
    block_on(follower.next(relay, durable, (most, usize::MAX), visit))?;
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
    fn each_once_and_in_order(
        seed: u64,
        actions in prop::collection::vec(action(), 1..60),
        blocks in prop::option::of(1..5_usize),
    ) {
        let (disk, home) = shard(seed);
        let (mut log, _) = start(&disk, &home);
        // Through memory as far as there are buffers, from the files what is missing there, or all of it.
        let with_relay = |log: &mut SimLog| blocks.map(|blocks| {
            let (writer, reader) = relay(blocks);
            log.set_relay(writer);
            reader
        });
        let mut relayed = with_relay(&mut log);
        let mut seen: Records = Vec::new();
        let mut follower = block_on(Follower::open(disk.clone(), &home, Lsn(1))).unwrap();
        for action in actions {
            match action {
                Action::Append(length) => drop(log.append(&vec![3; length])),
                Action::FlushOne => drop(flush_one(&mut log).unwrap()),
                Action::Crash(after) => {
                    log = crash(&disk, &home, log, after);
                    relayed = with_relay(&mut log);
                    // A file is opened by one life of the machine.
                    let next = Lsn(seen.len() as u64 + 1);
                    follower = block_on(Follower::open(disk.clone(), &home, next)).unwrap();
                }
                Action::Follow(most) => {
                    seen.extend(follow_with(&mut follower, relayed.as_mut(), log.durable(), most).unwrap());
                }
            }
        }
        flush(&mut log).unwrap();
        seen.extend(follow_with(&mut follower, relayed.as_mut(), log.durable(), usize::MAX).unwrap());
        prop_assert_eq!(seen, crate::rig::recovered(&disk, &home).records);
    }
}

/// A follower that keeps up reads nothing from the files, into the next segments too; one that does not reads what was left out.
#[test]
fn a_follower_that_keeps_up_needs_no_files() {
    let (disk, home) = shard(1);
    let (mut log, _) = start(&disk, &home);
    let (writer, mut reader) = relay(4);
    log.set_relay(writer);
    let mut follower = block_on(Follower::open(disk.clone(), &home, Lsn(1))).unwrap();
    let mut seen = 0;
    let mut add = |log: &mut SimLog, reader: &mut RelayReader, blocks: usize| {
        for _ in 0..blocks {
            log.append(&[5; 30_000]).unwrap();
            flush(log).unwrap();
        }
        seen += blocks;
        let records = follow_with(&mut follower, Some(reader), log.durable(), usize::MAX).unwrap();
        assert_eq!((records.len(), records.last().unwrap().0), (blocks, Lsn(seen as u64)));
        reader.records()
    };
    for _ in 0..40 {
        add(&mut log, &mut reader, 3);
    }
    assert!(log.position().segment.0 > 1, "over several segments");
    assert_eq!(add(&mut log, &mut reader, 1), 121, "all of it came through memory");
    let with_files = add(&mut log, &mut reader, 10);
    assert!((122..=125).contains(&with_files), "the first of ten: {with_files}");
    assert_eq!(add(&mut log, &mut reader, 4), with_files + 4, "and again");
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
