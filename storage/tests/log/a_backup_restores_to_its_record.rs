//! A copy of a data directory recovers to exactly the records up to its cut, whatever was appended, flushed, snapshotted and
//! pruned before, and also when the log is written to while it is copied. A cut that nothing reaches is refused.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::rig::{OPTIONS, Replay, SimLog, flush, flush_one, try_recover, try_snapshot};
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::{Context, Waker};
use storage::backup::{Survey, remove_copy, went_on};
use storage::sim_disk::{SimDisk, block_on};
use storage::{DataDirectory, DurableSnapshot, Log, Lsn, Salt, ShardHome, StorageError, prune};

const ROOT: &str = "/data";

struct World {
    disk: SimDisk,
    home: ShardHome,
    log: SimLog,
    appended: Vec<Vec<u8>>,
    snapshots: Vec<DurableSnapshot>,
}

impl World {
    fn new(seed: u64) -> Self {
        let disk = SimDisk::new(seed);
        let directory =
            block_on(DataDirectory::open(disk.clone(), Path::new(ROOT), 1, Salt(0x5eed))).unwrap();
        let home = directory.shards().remove(0);
        let tail = try_recover(&disk, &home).unwrap().recovered.tail;
        let log = block_on(Log::start(disk.clone(), home.clone(), tail, OPTIONS)).unwrap();
        Self { disk, home, log, appended: Vec::new(), snapshots: Vec::new() }
    }

    fn append(&mut self, length: usize) {
        let number = self.appended.len() as u64 + 1;
        let payload: Vec<u8> = number.to_le_bytes().into_iter().cycle().take(length).collect();
        if self.log.append(&payload).is_ok() {
            self.appended.push(payload);
        }
    }

    /// What a server does: two snapshots are kept, the last but one prunes.
    fn snapshot(&mut self) {
        let start = self.log.durable().next();
        let snapshot = try_snapshot(&self.disk, &self.home, &self.log, start, &[vec![1; 40]]).unwrap();
        if self.snapshots.last().is_some_and(|last| last.start() == start) {
            return;
        }
        if let Some(last) = self.snapshots.last() {
            block_on(prune(&self.disk, &self.home, last)).unwrap();
        }
        self.snapshots.push(snapshot);
    }

    fn restart(&mut self) {
        self.disk.kill_process();
        let tail = try_recover(&self.disk, &self.home).unwrap().recovered.tail;
        let end = usize::try_from(tail.next_lsn().0 - 1).unwrap();
        self.log = block_on(Log::start(self.disk.clone(), self.home.clone(), tail, OPTIONS)).unwrap();
        self.appended.truncate(end);
    }

    fn step(&mut self, action: &Action) {
        match action {
            Action::Append(length, times) => (0..*times).for_each(|_| self.append(*length)),
            Action::FlushOne => drop(flush_one(&mut self.log).unwrap()),
            Action::Flush => drop(flush(&mut self.log).unwrap()),
            Action::Snapshot => self.snapshot(),
            Action::Restart => self.restart(),
        }
    }

    /// Checks that `target` holds the records up to `last`, byte for byte.
    fn check(&self, target: &str, last: u64) {
        let home = home_of(&self.disk, target);
        let Replay { records, recovered, .. } = try_recover(&self.disk, &home).unwrap();
        assert_eq!(recovered.tail.next_lsn(), Lsn(last + 1), "in {target}");
        assert!(recovered.torn.is_none(), "behind the cut are zeros: {:?}", recovered.torn);
        let start = recovered.snapshot.as_ref().map_or(1, |snapshot| snapshot.start().0);
        assert!(start <= last + 1);
        for (lsn, bytes) in &records {
            assert_eq!(bytes, &self.appended[usize::try_from(lsn.0).unwrap() - 1], "record {lsn}");
        }
        assert_eq!(records.len() as u64, last + 1 - start);
        // And it goes on: the chain of sequences is one that a server continues.
        let mut log = block_on(Log::start(self.disk.clone(), home.clone(), recovered.tail, OPTIONS)).unwrap();
        log.append(b"more").unwrap();
        flush(&mut log).unwrap();
        let again = try_recover(&self.disk, &home).unwrap();
        assert_eq!(again.recovered.tail.next_lsn(), Lsn(last + 2));
    }
}

fn home_of(disk: &SimDisk, root: &str) -> ShardHome {
    block_on(DataDirectory::look(disk, Path::new(root))).unwrap().unwrap().remove(0)
}

/// Copies and restores are the same act.
fn copy(disk: &SimDisk, from: &str, to: &str, last: u64) -> Result<Survey, StorageError> {
    block_on(copying(disk.clone(), PathBuf::from(from), PathBuf::from(to), last))
}

async fn copying(disk: SimDisk, from: PathBuf, to: PathBuf, last: u64) -> Result<Survey, StorageError> {
    let mut attempts = 0;
    loop {
        let error = match Survey::take(&disk, &from, &mut |_, lsn: Lsn, _: Option<&[u8]>| lsn.0 <= last).await
        {
            Ok(survey) => match survey.copy(&disk, &from, &disk, &to).await {
                Ok(()) => return Ok(survey),
                Err(error) => {
                    remove_copy(&disk, &to, &survey).await.unwrap();
                    error
                }
            },
            Err(error) => error,
        };
        attempts += 1;
        if attempts == 100 || !went_on(&error) {
            return Err(error);
        }
    }
}

#[derive(Clone, Debug)]
enum Action {
    Append(usize, usize),
    FlushOne,
    Flush,
    Snapshot,
    Restart,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => (prop_oneof![0..600_usize, 3_900..4_200_usize, 30_000..90_000_usize], 1..5_usize)
            .prop_map(|(length, times)| Action::Append(length, times)),
        4 => Just(Action::FlushOne),
        3 => Just(Action::Flush),
        2 => Just(Action::Snapshot),
        1 => Just(Action::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_cut_gives_exactly_its_prefix(seed: u64, actions in prop::collection::vec(action(), 1..40)) {
        let mut world = World::new(seed);
        for action in &actions {
            world.step(action);
        }
        let durable = world.log.durable().0;
        let survey = copy(&world.disk, ROOT, "/backup", u64::MAX).unwrap();
        let range = survey.shards()[0].range();
        prop_assert_eq!(range.last, Lsn(durable));
        let before = world.disk.contents();
        // Of all cuts the ends, those around them, and every seventh.
        let earliest = range.earliest.0;
        for last in (earliest..=durable).filter(|n| n % 7 == 0 || *n < earliest + 3 || *n + 3 > durable) {
            let target = format!("/restored-{last}");
            copy(&world.disk, "/backup", &target, last).unwrap();
            world.check(&target, last);
        }
        if earliest > 0 {
            let refused = copy(&world.disk, "/backup", "/refused", earliest - 1).unwrap_err();
            prop_assert!(matches!(refused, StorageError::Setting { .. }), "{}", refused);
            prop_assert!(refused.to_string().contains(&format!("at least {earliest}")), "{}", refused);
        }
        let after = world.disk.contents();
        let untouched = before.iter().all(|(path, bytes)| after.get(path) == Some(bytes));
        prop_assert!(untouched, "a copy only reads its source");
        world.check("/backup", durable);
    }

    #[test]
    fn a_log_that_is_written_to_meanwhile_gives_all_that_was_acknowledged_before(
        seed: u64,
        before in prop::collection::vec(action(), 1..20),
        meanwhile in prop::collection::vec((0..6_usize, action()), 1..60),
    ) {
        let mut world = World::new(seed);
        for action in &before {
            world.step(action);
        }
        let acknowledged = world.log.durable().0;
        let copying = copying(world.disk.clone(), PathBuf::from(ROOT), PathBuf::from("/backup"), u64::MAX);
        let mut copying = pin!(copying);
        let mut context = Context::from_waker(Waker::noop());
        let mut done = None;
        // The copy makes a few steps of its own between each two of the server's.
        for (polls, action) in &meanwhile {
            for _ in 0..*polls {
                if done.is_none() && let std::task::Poll::Ready(result) = copying.as_mut().poll(&mut context) {
                    done = Some(result);
                }
            }
            // A restart kills the files that the copy has open on this disk, which no other process could do.
            if !matches!(action, Action::Restart) {
                world.step(action);
            }
        }
        let survey = match done {
            Some(result) => result.unwrap(),
            None => block_on(copying).unwrap(),
        };
        let last = survey.shards()[0].range().last.0;
        prop_assert!(last >= acknowledged, "{} of {} acknowledged records", last, acknowledged);
        prop_assert!(last <= world.log.durable().0);
        world.check("/backup", last);
    }
}

/// Steps that a copy makes in the next test, at most.
const STEPS_MAX: usize = 400;

#[test]
fn the_server_may_rotate_snapshot_and_prune_after_any_step_of_the_copy() {
    for snapshots in [false, true] {
        for steps in 0..STEPS_MAX {
            let mut world = World::new(7);
            world.append(80_000);
            flush(&mut world.log).unwrap();
            world.snapshot();
            world.append(80_000);
            flush(&mut world.log).unwrap();
            let acknowledged = world.log.durable().0;
            let copying =
                copying(world.disk.clone(), PathBuf::from(ROOT), PathBuf::from("/backup"), u64::MAX);
            let mut copying = pin!(copying);
            let mut context = Context::from_waker(Waker::noop());
            if (0..steps).any(|_| copying.as_mut().poll(&mut context).is_ready()) {
                assert!(steps > 20, "a copy takes steps");
                break;
            }
            // Fills the segment, so that what follows is in one that had been prepared and listed before.
            for _ in 0..6 {
                world.append(80_000);
                flush(&mut world.log).unwrap();
                if snapshots {
                    world.snapshot();
                }
            }
            let survey = block_on(copying).unwrap();
            let last = survey.shards()[0].range().last.0;
            assert!(last >= acknowledged, "after {steps} steps: {last} of {acknowledged}");
            world.check("/backup", last);
        }
    }
}
