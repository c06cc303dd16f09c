//! What the tests of this crate share: a shard on a simulated disk, and driving its log as a shard does.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "tests")]

pub(crate) mod refusing;

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use storage::limits::SEGMENT_BYTES_MIN;
use storage::sim_disk::{SimDisk, block_on};
use storage::{
    DurableSnapshot, Generation, Log, LogFailed, LogIdentity, LogOptions, Lsn, PrepareError, RecoverError,
    Recovered, Replayed, Salt, SegmentNumber, ShardHome, ShardNumber, SnapshotWriter, StorageError, recover,
};

pub(crate) const DIR: &str = "/data/shard";
pub(crate) const IDENTITY: LogIdentity =
    LogIdentity { generation: Generation(1), shard: ShardNumber(0), salt: Salt(0x5eed_5a17_5eed_5a17) };
/// Small segments: a header page and 64 more.
pub(crate) const OPTIONS: LogOptions = LogOptions { segment_bytes: SEGMENT_BYTES_MIN };

pub(crate) type SimLog = Log<SimDisk>;

/// A fresh disk with an empty shard directory.
pub(crate) fn shard(seed: u64) -> (SimDisk, ShardHome) {
    let disk = SimDisk::new(seed);
    let marker = Path::new(DIR).join("marker");
    disk.put(&marker, &[]);
    disk.delete(&marker);
    (disk, ShardHome::new(PathBuf::from(DIR), IDENTITY))
}

pub(crate) fn segment_path(number: u64) -> PathBuf {
    Path::new(DIR).join(format!("seg-{number:016}.log"))
}

pub(crate) fn snapshot_path(start: u64) -> PathBuf {
    Path::new(DIR).join(format!("snap-{start:020}.snap"))
}

/// Everything recovery hands out.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(crate) sections: Vec<Vec<u8>>,
    pub(crate) records: Vec<(Lsn, Vec<u8>)>,
    pub(crate) recovered: Recovered,
}

impl Replay {
    pub(crate) fn payloads(&self) -> Vec<Vec<u8>> {
        self.records.iter().map(|(_, bytes)| bytes.clone()).collect()
    }
}

pub(crate) fn try_recover(disk: &SimDisk, home: &ShardHome) -> Result<Replay, StorageError> {
    let (mut sections, mut records) = (Vec::new(), Vec::new());
    let recovered = block_on(recover(disk, home, |replayed| {
        match replayed {
            Replayed::Section { bytes, .. } => {
                assert!(records.is_empty(), "sections come first");
                assert_eq!(bytes.as_ptr().align_offset(16), 0);
                sections.push(bytes.to_vec());
            }
            Replayed::Record { lsn, bytes } => {
                assert_eq!(bytes.as_ptr().align_offset(16), 0);
                records.push((lsn, bytes.to_vec()));
            }
        }
        Ok::<_, Infallible>(())
    }));
    match recovered {
        Ok(recovered) => {
            assert_eq!(recovered.records, records.len() as u64);
            Ok(Replay { sections, records, recovered })
        }
        Err(RecoverError::Storage(error)) => Err(error),
        Err(RecoverError::Visitor { source, .. }) => match source {},
    }
}

pub(crate) fn recovered(disk: &SimDisk, home: &ShardHome) -> Replay {
    try_recover(disk, home).unwrap()
}

pub(crate) fn try_start(disk: &SimDisk, home: &ShardHome) -> Result<(SimLog, Replay), StorageError> {
    let replay = try_recover(disk, home)?;
    let tail = replay.recovered.tail.clone();
    Ok((block_on(Log::start(disk.clone(), home.clone(), tail, OPTIONS))?, replay))
}

pub(crate) fn start(disk: &SimDisk, home: &ShardHome) -> (SimLog, Replay) {
    try_start(disk, home).unwrap()
}

#[derive(Debug)]
pub(crate) enum FlushError {
    Failed(LogFailed),
    NoSpace,
}

/// One turn of a shard's flushing: prepares a segment if one is due, then writes one batch if there is one.
pub(crate) fn flush_one(log: &mut SimLog) -> Result<bool, FlushError> {
    if let Some(work) = log.take_preparation() {
        match log.prepared(block_on(work.run_at_once())) {
            Ok(()) => {}
            Err(PrepareError::NoSpace { .. }) if !log.is_stalled() => {}
            Err(PrepareError::NoSpace { .. }) => return Err(FlushError::NoSpace),
            Err(PrepareError::Failed(failure)) => return Err(FlushError::Failed(failure)),
        }
    }
    let Some(batch) = log.take_batch().map_err(FlushError::Failed)? else { return Ok(log.is_stalled()) };
    let flushed = block_on(batch.write());
    log.committed(flushed).map_err(FlushError::Failed)?;
    Ok(true)
}

/// Flushes until nothing waits.
pub(crate) fn flush(log: &mut SimLog) -> Result<Lsn, FlushError> {
    while flush_one(log)? {}
    assert_eq!(log.pending_bytes(), 0);
    Ok(log.durable())
}

/// Appends each payload and flushes it by itself: one block each.
pub(crate) fn append_blocks(log: &mut SimLog, payloads: impl IntoIterator<Item = Vec<u8>>) {
    for payload in payloads {
        log.append(&payload).unwrap();
        flush(log).unwrap();
    }
}

/// `n` payloads that differ in content and length.
pub(crate) fn payloads(n: usize) -> Vec<Vec<u8>> {
    (0..n).map(|i| format!("record {i} {}", "x".repeat(i * 37 % 900)).into_bytes()).collect()
}

pub(crate) fn try_snapshot(
    disk: &SimDisk,
    home: &ShardHome,
    log: &SimLog,
    start: Lsn,
    sections: &[Vec<u8>],
) -> Result<DurableSnapshot, StorageError> {
    block_on(async {
        let mut writer = SnapshotWriter::begin(disk.clone(), home.clone(), start).await?;
        for section in sections {
            if writer.needs_drain() {
                writer.drain().await?;
            }
            writer.add(section).unwrap();
        }
        writer.finish(log.durable(), log.position()).await
    })
}

/// Offsets of the blocks of a segment, by looking at the pages.
pub(crate) fn block_offsets(disk: &SimDisk, number: u64) -> Vec<u64> {
    let bytes = disk.read(&segment_path(number)).unwrap();
    (4096..bytes.len())
        .step_by(4096)
        .filter(|at| {
            storage::peek_block(&bytes[*at..], &IDENTITY, SegmentNumber(number))
                .is_ok_and(|header| storage::check_block(&bytes[*at..], &header).is_ok())
        })
        .map(|at| at as u64)
        .collect()
}
