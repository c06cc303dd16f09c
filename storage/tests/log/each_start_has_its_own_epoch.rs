//! Every start is a new epoch, durable before the first record, whatever the runs before left behind.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::rig::{append_blocks, payloads, recovered, shard, start, try_start};
use storage::{Epoch, Lsn};

#[test]
fn it_grows_by_one_and_never_repeats() {
    let (disk, home) = shard(9);
    for run in 1..=5 {
        let (log, replay) = start(&disk, &home);
        assert_eq!(log.epoch(), Epoch(run));
        assert_eq!((log.durable(), log.next_lsn()), (Lsn(0), Lsn(1)));
        assert_eq!(replay.recovered.blocks, run - 1, "a run without a record is one block");
        disk.power_cycle();
    }
    let (mut log, _) = start(&disk, &home);
    append_blocks(&mut log, payloads(2));
    disk.power_cycle();
    let (log, replay) = start(&disk, &home);
    assert_eq!((log.epoch(), log.durable()), (Epoch(7), Lsn(2)));
    assert_eq!(replay.payloads(), payloads(2));
}

#[test]
fn a_start_that_crashes_anywhere_is_no_start_or_a_whole_one() {
    let (disk, home) = shard(9);
    let mut last = 0;
    for step in 0..60 {
        disk.crash_at(disk.operations() + step % 8);
        let started = try_start(&disk, &home).map(|(log, _)| log.epoch());
        disk.power_cycle();
        if let Ok(Epoch(epoch)) = started {
            assert!(epoch > last, "epoch {epoch} after {last}");
            last = epoch;
        }
        assert!(recovered(&disk, &home).records.is_empty());
    }
    assert!(last > 0);
}
