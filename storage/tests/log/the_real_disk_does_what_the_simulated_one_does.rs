//! The whole life of a data directory on the host's disk, through the adapter that the server uses: rotation, snapshot,
//! pruning, a killed run, inspection, another number of shards.
#![allow(clippy::unwrap_used, reason = "tests")]

use engine::seam::Runtime;
use engine::shard::runtime::{ExecutorOptions, GlommioDisk, GlommioFile, GlommioRuntime, run_pinned};
use std::cell::RefCell;
use std::convert::Infallible;
use std::path::Path;
use std::rc::Rc;
use storage::inspect::inspect;
use storage::limits::SEGMENT_BYTES_MIN;
use storage::{
    DataDirectory, DirectoryLock, Log, LogOptions, Lsn, Prepared, Recovered, Replayed, Salt, ShardHome,
    SnapshotWriter, prune, recover,
};

const RECORDS: usize = 300;

fn payload(index: usize) -> Vec<u8> {
    format!("record {index} ").into_bytes().into_iter().cycle().take(index * 131 % 9_000).collect()
}

async fn replay(disk: &GlommioDisk, home: &ShardHome) -> (Vec<Vec<u8>>, Recovered) {
    let mut all = Vec::new();
    let recovered = recover(disk, home, |replayed| {
        let (Replayed::Section { bytes, .. } | Replayed::Record { bytes, .. }) = replayed;
        assert_eq!(bytes.as_ptr().align_offset(16), 0);
        all.push(bytes.to_vec());
        Ok::<_, Infallible>(())
    });
    let recovered = recovered.await.unwrap();
    (all, recovered)
}

/// A log and the next segment on its way back to it.
struct Shard {
    log: Log<GlommioDisk>,
    returned: Rc<RefCell<Option<Prepared<GlommioFile>>>>,
}

impl Shard {
    async fn open(disk: &GlommioDisk, home: &ShardHome) -> Self {
        let tail = replay(disk, home).await.1.tail;
        let options = LogOptions { segment_bytes: SEGMENT_BYTES_MIN };
        let log = Log::start(disk.clone(), home.clone(), tail, options).await.unwrap();
        Self { log, returned: Rc::default() }
    }

    /// Appends the records of `range`, flushing as a shard does: the next segment is a task of its own.
    async fn append(&mut self, runtime: &GlommioRuntime, range: std::ops::Range<usize>) {
        let log = &mut self.log;
        let mut next = range.start;
        let last = Lsn(log.next_lsn().0 - 1 + range.len() as u64);
        while log.durable() < last {
            let until = range.end.min(next + 3);
            for index in next..until {
                log.append(&payload(index)).unwrap();
            }
            next = until;
            if let Some(prepared) = self.returned.borrow_mut().take() {
                log.prepared(prepared).unwrap();
            }
            if let Some(work) = log.take_preparation() {
                let returned = Rc::clone(&self.returned);
                drop(runtime.spawn("segment", async move {
                    let prepared = work.run().await;
                    *returned.borrow_mut() = Some(prepared);
                }));
            }
            match log.take_batch().unwrap() {
                Some(batch) => drop(log.committed(batch.write().await).unwrap()),
                None => runtime.turn().await,
            }
        }
    }
}

async fn life(runtime: GlommioRuntime, root: &Path) {
    let disk = GlommioDisk::new(&runtime);
    let home = DataDirectory::open(disk.clone(), root, 1, Salt(1)).await.unwrap().shards().remove(0);
    let mut shard = Shard::open(&disk, &home).await;
    shard.append(&runtime, 0..RECORDS / 2).await;
    let log = &shard.log;
    assert!(log.position().segment.0 > 2);
    let mut writer = SnapshotWriter::begin(disk.clone(), home.clone(), log.next_lsn()).await.unwrap();
    for index in 0..RECORDS / 2 {
        if writer.needs_drain() {
            writer.drain().await.unwrap();
        }
        writer.add(&payload(index)).unwrap();
    }
    let snapshot = writer.finish(log.durable(), log.position()).await.unwrap();
    assert!(prune(&disk, &home, &snapshot).await.unwrap().segments > 0);
    shard.append(&runtime, RECORDS / 2..RECORDS).await;
    drop(shard);

    let wanted: Vec<_> = (0..RECORDS).map(payload).collect();
    let (all, recovered) = replay(&disk, &home).await;
    assert_eq!(all, wanted);
    assert_eq!((recovered.torn, recovered.gaps), (None, 0));
    let summary = inspect(&disk, root, |_| Ok::<_, Infallible>(())).await.unwrap();
    assert_eq!((summary.damaged, summary.snapshots), (0, 1));
    Shard::open(&disk, &home).await.log.close().await.unwrap();

    let next = DataDirectory::open(disk.clone(), root, 1, Salt(1)).await.unwrap();
    let next = next.begin_generation(3, Salt(2)).await.unwrap();
    for (index, home) in next.shards().into_iter().enumerate() {
        let mut writer = SnapshotWriter::begin(disk.clone(), home, recovered.tail.next_lsn()).await.unwrap();
        for payload in wanted.iter().skip(index).step_by(3) {
            writer.add(payload).unwrap();
        }
        writer.finish_seed().await.unwrap();
    }
    next.switch().await.unwrap();
    let mut found = Vec::new();
    for home in DataDirectory::open(disk.clone(), root, 9, Salt(3)).await.unwrap().shards() {
        let mut shard = Shard::open(&disk, &home).await;
        assert_eq!(shard.log.next_lsn(), recovered.tail.next_lsn());
        shard.append(&runtime, 0..1).await;
        shard.log.close().await.unwrap();
        found.extend(replay(&disk, &home).await.0);
    }
    assert_eq!(found.len(), RECORDS + 3);
}

#[test]
fn the_whole_life_of_a_data_directory() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let root = dir.path().join("data");
    let lock = DirectoryLock::acquire(&root).unwrap();
    let options = ExecutorOptions { name: "real-disk".to_owned(), ..ExecutorOptions::default() };
    let path = root.clone();
    run_pinned(options, move |runtime| async move { life(runtime, &path).await }).unwrap().join().unwrap();
    lock.remove_empty_directories().unwrap();
    assert!(!root.join("gen-00000001").exists());
    assert!(root.join("gen-00000002/shard-002").exists());
}
