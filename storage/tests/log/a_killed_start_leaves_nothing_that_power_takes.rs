//! A process that is killed while it starts leaves names that no sync has made durable. The next start goes on with them, and
//! what it then acknowledges must survive a power failure all the same. (Found by the simulator, seed 65788: a segment's name.)
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use crate::rig::{OPTIONS, SimLog};
use storage::sim_disk::{SimDisk, block_on};
use storage::{DataDirectory, Log, Replayed, Salt, StorageError, recover};

const ROOT: &str = "/srv/data";

/// Opens the directory, recovers its only shard and starts its log; the records that came back.
async fn start(disk: &SimDisk) -> Result<(SimLog, Vec<Vec<u8>>), StorageError> {
    let directory = DataDirectory::open(disk.clone(), Path::new(ROOT), 1, Salt(7)).await?;
    let home = directory.shards().remove(0);
    let mut records = Vec::new();
    let found = recover(disk, &home, |replayed| {
        if let Replayed::Record { bytes, .. } = replayed {
            records.push(bytes.to_vec());
        }
        Ok::<_, std::convert::Infallible>(())
    })
    .await;
    let found = found.map_err(|error| match error {
        storage::RecoverError::Storage(error) => error,
        storage::RecoverError::Visitor { source, .. } => match source {},
    })?;
    Ok((Log::start(disk.clone(), home, found.tail, OPTIONS).await?, records))
}

/// Lets a start make so many steps, then kills the process. False when it was done before.
fn killed_after(disk: &SimDisk, steps: u32) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    let done = {
        let mut starting = pin!(start(disk));
        (0..steps).any(|_| matches!(starting.as_mut().poll(&mut context), Poll::Ready(_)))
    };
    disk.kill_process();
    !done
}

#[test]
fn whatever_step_the_kill_came_at() {
    let mut steps = 0;
    let mut unfinished = true;
    while unfinished {
        for seed in 0..16 {
            let disk = SimDisk::new(seed);
            unfinished = killed_after(&disk, steps);
            // A second kill, somewhere in the next start: it must not take what the first one left for granted either.
            killed_after(&disk, steps / 2);
            let context = format!("killed after {steps} steps, seed {seed}");
            let (mut log, before) =
                block_on(start(&disk)).unwrap_or_else(|error| panic!("{context}: {error}"));
            assert!(before.is_empty(), "{context}");
            log.append(b"acknowledged").unwrap();
            // Not `flush`: it would prepare the next segment, and so sync the directory.
            let batch = log.take_batch().unwrap().unwrap();
            log.committed(block_on(batch.write())).unwrap();
            disk.power_cycle();
            let (_, found) = block_on(start(&disk)).unwrap_or_else(|error| panic!("{context}: {error}"));
            assert_eq!(found, [b"acknowledged".to_vec()], "{context}");
        }
        steps += 1;
    }
    assert!(steps > 10, "a start takes more steps than {steps}");
}
