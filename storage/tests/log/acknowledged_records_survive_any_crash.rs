//! Whatever is appended, flushed, snapshotted, pruned, killed or crashed in whatever order: recovery gives a prefix of what
//! was appended that contains all that was acknowledged, in order, nothing twice; also when the recovery itself crashes.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::rig::{SimLog, flush, flush_one, shard, try_snapshot, try_start};
use proptest::prelude::*;
use storage::sim_disk::{SimDisk, block_on};
use storage::{Lsn, ShardHome, prune};

#[derive(Clone, Debug)]
enum Action {
    Append {
        length: usize,
        times: usize,
    },
    FlushOne,
    Flush,
    Snapshot {
        prune: bool,
    },
    Kill,
    /// Power fails after so many more operations, in the middle of whatever flushes then.
    Crash {
        after: u64,
    },
    /// Power fails in the middle of the start after the last crash.
    CrashTwice {
        after: u64,
        again: u64,
    },
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => (prop_oneof![0..600_usize, 3_900..4_200_usize, 100_000..245_760_usize], 1..4_usize)
            .prop_map(|(length, times)| Action::Append { length, times }),
        4 => Just(Action::FlushOne),
        3 => Just(Action::Flush),
        1 => any::<bool>().prop_map(|prune| Action::Snapshot { prune }),
        1 => Just(Action::Kill),
        2 => (0..12_u64).prop_map(|after| Action::Crash { after }),
        1 => (0..12_u64, 0..12_u64).prop_map(|(after, again)| Action::CrashTwice { after, again }),
    ]
}

struct World {
    disk: SimDisk,
    home: ShardHome,
    log: SimLog,
    /// Every payload that may still exist, by LSN - 1.
    appended: Vec<Vec<u8>>,
    acknowledged: usize,
    made: u64,
}

/// What a snapshot at `start` holds: a digest of every record before it.
fn digest(records: &[Vec<u8>]) -> Vec<u8> {
    records.iter().fold(Vec::new(), |before: Vec<u8>, record| {
        crc32c::crc32c_append(crc32c::crc32c(&before), record).to_le_bytes().to_vec()
    })
}

impl World {
    fn new(seed: u64) -> Self {
        let (disk, home) = shard(seed);
        let (log, _) = try_start(&disk, &home).unwrap();
        Self { disk, home, log, appended: Vec::new(), acknowledged: 0, made: 0 }
    }

    fn append(&mut self, length: usize) {
        self.made += 1;
        let payload: Vec<u8> = self.made.to_le_bytes().into_iter().cycle().take(length).collect();
        if let Ok(lsn) = self.log.append(&payload) {
            self.appended.push(payload);
            assert_eq!(lsn, Lsn(self.appended.len() as u64));
        }
    }

    fn acknowledge(&mut self) {
        self.acknowledged = usize::try_from(self.log.durable().0).unwrap();
    }

    fn snapshot(&mut self, prune_after: bool) {
        let before = &self.appended[..self.acknowledged];
        let start = Lsn(self.acknowledged as u64 + 1);
        let Ok(snapshot) = try_snapshot(&self.disk, &self.home, &self.log, start, &[digest(before)]) else {
            return;
        };
        if prune_after {
            block_on(prune(&self.disk, &self.home, &snapshot)).ok();
        }
    }

    /// Recovers and starts, checking what comes back.
    fn restart(&mut self, crash_again: Option<u64>) {
        let mut crash_again = crash_again;
        loop {
            if let Some(after) = crash_again.take() {
                self.disk.crash_at(self.disk.operations() + after);
            }
            match try_start(&self.disk, &self.home) {
                Ok((log, replay)) => {
                    self.disk.cancel_crash();
                    let start = replay.recovered.snapshot.as_ref().map_or(1, |snapshot| snapshot.start().0);
                    let base = usize::try_from(start).unwrap() - 1;
                    if replay.recovered.snapshot.is_some() {
                        assert_eq!(replay.sections, [digest(&self.appended[..base])]);
                    }
                    let end = base + replay.records.len();
                    assert!(
                        end >= self.acknowledged,
                        "lost acknowledged records: {end} of {}",
                        self.acknowledged
                    );
                    for (index, (lsn, payload)) in replay.records.iter().enumerate() {
                        assert_eq!(lsn.0, start + index as u64);
                        assert_eq!(payload, &self.appended[base + index]);
                    }
                    self.appended.truncate(end);
                    self.acknowledged = end;
                    assert_eq!(log.next_lsn().0, end as u64 + 1);
                    self.log = log;
                    return;
                }
                Err(error) => {
                    assert!(self.disk.is_down(), "{error}");
                    self.disk.power_cycle();
                }
            }
        }
    }

    fn step(&mut self, action: Action) {
        match action {
            Action::Append { length, times } => (0..times).for_each(|_| self.append(length)),
            Action::FlushOne => drop(flush_one(&mut self.log).unwrap()),
            Action::Flush => drop(flush(&mut self.log).unwrap()),
            Action::Snapshot { prune } => self.snapshot(prune),
            Action::Kill => {
                self.disk.kill_process();
                self.restart(None);
            }
            Action::Crash { after } => self.crash(after, None),
            Action::CrashTwice { after, again } => self.crash(after, Some(again)),
        }
        self.acknowledge();
    }

    fn crash(&mut self, after: u64, again: Option<u64>) {
        self.disk.crash_at(self.disk.operations() + after);
        for round in 0.. {
            self.append(300 + round);
            let flushed = flush_one(&mut self.log);
            self.acknowledge();
            if round == 2 {
                self.snapshot(true);
            }
            if self.disk.is_down() {
                assert!(flushed.is_err() || round == 2);
                break;
            }
        }
        self.disk.power_cycle();
        self.restart(again);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn acknowledged_records_survive_any_crash(seed: u64, actions in prop::collection::vec(action(), 1..40)) {
        let mut world = World::new(seed);
        for action in actions {
            world.step(action);
        }
        world.disk.power_cycle();
        world.restart(None);
    }
}
