//! What one recovery hands out every later one does: it is synced first, even if the run that wrote it was killed before
//! its sync.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::rig::{append_blocks, payloads, recovered, shard, start};
use std::pin::pin;
use std::task::{Context, Waker};

#[test]
fn a_block_written_but_not_synced() {
    let mut seen_unsynced = 0;
    for seed in 0..100 {
        let (disk, home) = shard(seed);
        let (mut log, _) = start(&disk, &home);
        append_blocks(&mut log, payloads(2));
        log.append(&[9; 9_000]).unwrap();
        let batch = log.take_batch().unwrap().unwrap();
        {
            let mut writing = pin!(batch.write());
            let mut context = Context::from_waker(Waker::noop());
            // The write suspends once, then the sync does: killed between the two.
            assert!(writing.as_mut().poll(&mut context).is_pending());
            assert!(writing.as_mut().poll(&mut context).is_pending());
        }
        disk.kill_process();
        let first = recovered(&disk, &home).payloads();
        seen_unsynced += u32::from(first.len() == 3);
        disk.power_cycle();
        assert_eq!(recovered(&disk, &home).payloads(), first, "seed {seed}");
    }
    assert_eq!(seen_unsynced, 100, "the block was there to be read");
}
