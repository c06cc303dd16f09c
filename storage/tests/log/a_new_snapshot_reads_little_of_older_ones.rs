//! What may be removed is found by the ends of snapshots: only the one that is to stay is read, once, however many are kept for a
//! database that is behind.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::rig::{append_blocks, shard, snapshot_path, start, try_snapshot};
use storage::follow::{Base, base_for, removable_behind};
use storage::sim_disk::{SimDisk, block_on};
use storage::{DurableSnapshot, Lsn, ShardHome, prune};

const SECTION: usize = 100_000;
/// A snapshot's bytes, or more.
const WHOLE: u64 = 30 * 100_000;
/// Enough for the ends of two snapshots and a window of the log, and less than another snapshot.
const LITTLE: u64 = WHOLE / 2;

/// A log with so many snapshots, each taken while ten records came: the n-th begins at record 20 n + 1 and reflects 20 n + 10.
fn with_snapshots(many: usize) -> (SimDisk, ShardHome, Vec<DurableSnapshot>) {
    let (disk, home) = shard(11);
    let (mut log, _) = start(&disk, &home);
    let mut snapshots = Vec::new();
    for n in 0..many {
        let first = log.next_lsn();
        append_blocks(&mut log, (0..10).map(|_| vec![1; 40]));
        let sections: Vec<Vec<u8>> =
            (0..30).map(|s| vec![u8::try_from(n * 30 + s).unwrap_or(9); SECTION]).collect();
        snapshots.push(try_snapshot(&disk, &home, &log, first, &sections).unwrap());
        append_blocks(&mut log, (0..10).map(|_| vec![2; 40]));
    }
    (disk, home, snapshots)
}

fn read_by<T>(disk: &SimDisk, work: impl Future<Output = T>) -> (T, u64) {
    let before = disk.bytes_read();
    let result = block_on(work);
    (result, disk.bytes_read() - before)
}

#[test]
fn a_database_far_behind_costs_the_same_as_one_that_is_near() {
    let (disk, home, snapshots) = with_snapshots(40);
    let (last, previous) = (&snapshots[39], &snapshots[38]);
    let find = |hold, done| read_by(&disk, removable_behind(&disk, &home, previous, hold, done));
    for (place, hold) in [(0, 10), (0, 29), (3, 70), (3, 71), (3, 80), (3, 89), (4, 90), (37, 769)] {
        let (base, read) = find(Lsn(hold), None);
        assert_eq!(base.unwrap().as_ref(), Some(&snapshots[place]), "{hold}");
        assert!((WHOLE..WHOLE + LITTLE).contains(&read), "{read} bytes for the one at {place}");
    }
    let (base, read) = find(Lsn(9), None);
    assert!(base.unwrap().is_none() && read < LITTLE, "nothing yet: {read}");
    let (base, read) = find(last.start(), None);
    assert!(base.unwrap().as_ref() == Some(previous) && read == 0, "{read}");
    // What was removed behind is not read again while the database stands.
    let (base, read) = find(Lsn(89), Some(&snapshots[3]));
    assert!(base.unwrap().is_none() && read < LITTLE, "{read}");
    let (base, _) = find(Lsn(90), Some(&snapshots[3]));
    assert_eq!(base.unwrap().as_ref(), Some(&snapshots[4]));
    // And where a copy of the state begins is found with the same care.
    let (base, read) = read_by(&disk, base_for(&disk, &home, Lsn(89)));
    assert_eq!(base.unwrap(), Base::Snapshot(snapshots[3].clone()));
    assert!((WHOLE..WHOLE + LITTLE).contains(&read), "{read}");
}

#[test]
fn what_is_damaged_is_no_reason_to_remove_what_is_before_it() {
    let (disk, home, snapshots) = with_snapshots(8);
    let find = |hold| block_on(removable_behind(&disk, &home, &snapshots[6], Lsn(hold), None)).unwrap();
    // One in its middle, which only reading it shows; one at its end.
    disk.flip_bit(&snapshot_path(snapshots[4].start().0), WHOLE / 2, 1);
    let end = disk.read(&snapshot_path(snapshots[3].start().0)).unwrap().len() as u64;
    for byte in (end - 4_096 - 64..end).step_by(16) {
        disk.flip_bit(&snapshot_path(snapshots[3].start().0), byte, 1);
    }
    assert_eq!(find(95).as_ref(), Some(&snapshots[2]));
    let base = find(110).unwrap();
    assert_eq!(base, snapshots[5]);
    let pruned = block_on(prune(&disk, &home, &base)).unwrap();
    assert_eq!(pruned.snapshots, 5);
    assert_eq!(block_on(base_for(&disk, &home, Lsn(110))).unwrap(), Base::Snapshot(base));
}
