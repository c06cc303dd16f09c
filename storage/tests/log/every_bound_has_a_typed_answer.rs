//! Each limit answers with its own error and changes nothing.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::rig::{OPTIONS, flush, recovered, shard, start, try_recover};
use storage::limits::{
    BLOCK_BYTES_MAX, PENDING_BLOCKS_MAX, RECORD_BYTES_MAX, RECORD_OVERHEAD_BYTES, SECTION_BYTES_MAX,
    SEGMENT_BYTES_MAX, SHARDS_MAX, SNAPSHOT_PENDING_BYTES_MAX,
};
use storage::sim_disk::{SimDisk, SimRandom, block_on};
use storage::{
    AppendError, DataDirectory, Log, LogOptions, Lsn, Salt, SectionError, SnapshotWriter, StorageError,
};

#[test]
fn records() {
    let (disk, home) = shard(8);
    let (mut log, _) = start(&disk, &home);
    let too_large = log.append_with(RECORD_BYTES_MAX + 1, |_| panic!("it is not asked for"));
    assert!(
        matches!(too_large, Err(AppendError::TooLarge { bytes, max: RECORD_BYTES_MAX }) if bytes == RECORD_BYTES_MAX + 1)
    );
    let mut taken = Vec::new();
    let full = loop {
        let payload = vec![u8::try_from(taken.len()).unwrap(); RECORD_BYTES_MAX - taken.len()];
        match log.append(&payload) {
            Ok(_) => taken.push(payload),
            Err(error) => break error,
        }
    };
    assert_eq!(taken.len(), PENDING_BLOCKS_MAX);
    assert!(matches!(full, AppendError::Full { pending } if pending == log.pending_bytes()));
    assert!(matches!(
        log.append_with(RECORD_BYTES_MAX, |_| panic!("it is not asked for")),
        Err(AppendError::Full { .. })
    ));
    assert_eq!((log.room_bytes(), log.stats().refused), (0, 2));
    flush(&mut log).unwrap();
    let lsn = log.append(b"").unwrap();
    assert_eq!(lsn, Lsn(PENDING_BLOCKS_MAX as u64 + 1), "what was refused took no number");
    taken.push(Vec::new());
    flush(&mut log).unwrap();
    assert_eq!(recovered(&disk, &home).payloads(), taken);
}

#[test]
fn the_promised_room_is_there_whatever_the_sizes() {
    let (disk, home) = shard(8);
    for seed in 0..60_usize {
        let mut random = SimRandom::new(seed as u64);
        // Sizes that waste the most are among them: half a block, and the largest after a small one.
        let sizes = [1, 17, 3_000, RECORD_BYTES_MAX as u64, BLOCK_BYTES_MAX as u64 / 2];
        let (small, large) = (sizes[seed % 5], sizes[seed / 5 % 5]);
        let (mut log, _) = start(&disk, &home);
        for _ in 0..random.below(30) {
            log.append(&vec![1; 200_000]).unwrap();
        }
        let mut room = log.room_bytes();
        for turn in 0.. {
            let bound = if turn % 2 == 0 { small } else { large };
            let length = usize::try_from(bound - random.below(1 + bound / 10_000)).unwrap();
            let Some(left) = room.checked_sub(length + RECORD_OVERHEAD_BYTES) else { break };
            log.append_with(length, |_| {})
                .unwrap_or_else(|error| panic!("seed {seed}: {room} bytes left: {error}"));
            room = left;
        }
        disk.kill_process();
    }
}

#[test]
fn sections() {
    let (disk, home) = shard(8);
    block_on(async {
        let mut writer = SnapshotWriter::begin(disk, home, Lsn(1)).await.unwrap();
        let too_large = vec![0; SECTION_BYTES_MAX + 1];
        assert_eq!(writer.add(&too_large), Err(SectionError::TooLarge { bytes: SECTION_BYTES_MAX + 1 }));
        let mut taken = 0;
        while writer.add(&too_large[1..]).is_ok() {
            taken += 1;
        }
        assert!(taken >= 2 && writer.needs_drain());
        assert!(writer.pending_bytes() <= SNAPSHOT_PENDING_BYTES_MAX + 4096);
        writer.drain().await.unwrap();
        writer.add(&too_large[1..]).unwrap();
    });
}

#[test]
fn settings() {
    let (disk, home) = shard(8);
    for segment_bytes in
        [0, OPTIONS.segment_bytes - 4096, OPTIONS.segment_bytes + 1, SEGMENT_BYTES_MAX + 4096]
    {
        let tail = try_recover(&disk, &home).unwrap().recovered.tail;
        let started = block_on(Log::start(disk.clone(), home.clone(), tail, LogOptions { segment_bytes }));
        assert!(
            matches!(started.map(drop), Err(StorageError::Setting { value, .. }) if value == segment_bytes)
        );
    }
    for shards in [0, SHARDS_MAX + 1] {
        let opened = block_on(DataDirectory::open(SimDisk::new(8), "/data".as_ref(), shards, Salt(1)));
        assert!(matches!(opened.map(drop), Err(StorageError::Setting { .. })));
    }
}
