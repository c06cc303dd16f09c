//! Parsing never panics, whatever the bytes; nor does recovery, whatever the files.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::rig::{
    IDENTITY, append_blocks, block_offsets, payloads, segment_path, shard, snapshot_path, start, try_recover,
    try_snapshot,
};
use proptest::prelude::*;
use storage::{BlockHeader, Lsn, SegmentNumber, check_block, peek_block, records};

/// Reads `bytes` as a block; when it passes, its records must lie inside.
fn parse(bytes: &[u8]) -> Option<BlockHeader> {
    let header = peek_block(bytes, &IDENTITY, SegmentNumber(1)).ok()?;
    check_block(bytes, &header).ok()?;
    let found: Vec<_> = records(bytes, &header).collect();
    assert_eq!(found.len(), header.records as usize);
    assert!(found.iter().all(|(at, record)| at % 16 == 0 && at + record.len() <= header.bytes()));
    Some(header)
}

/// A real block of three records.
fn block() -> Vec<u8> {
    let (disk, home) = shard(14);
    let (mut log, _) = start(&disk, &home);
    for payload in payloads(3) {
        log.append(&payload).unwrap();
    }
    crate::rig::flush(&mut log).unwrap();
    let at = usize::try_from(block_offsets(&disk, 1)[1]).unwrap();
    let block = disk.read(&segment_path(1)).unwrap()[at..at + 4_096].to_vec();
    assert_eq!(parse(&block).unwrap().records, 3);
    block
}

/// Makes the checksum match again, so that what comes after it is reached.
fn reseal(block: &mut [u8]) {
    let length = u32::from_le_bytes(block[60..64].try_into().unwrap()) as usize;
    if let Some(end) = block.len().checked_sub(80).map(|rest| 80 + length.min(rest)) {
        let crc = crc32c::crc32c_append(crc32c::crc32c(&block[..64]), &block[68..end]);
        block[64..68].copy_from_slice(&crc.to_le_bytes());
    }
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(2_000))]

    #[test]
    fn arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..6_000)) {
        prop_assert_eq!(parse(&bytes), None);
    }

    #[test]
    fn a_block_with_changes_and_a_matching_checksum(
        changes in prop::collection::vec((8..400_usize, any::<u8>()), 1..6),
        numbers in prop::collection::vec((prop::sample::select(vec![40_usize, 48, 56, 60, 80]), any::<u32>()), 0..2),
        cut in 0..4_097_usize,
    ) {
        let mut block = block();
        for (at, value) in changes {
            block[at] = value;
        }
        for (at, value) in numbers {
            block[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        reseal(&mut block);
        parse(&block);
        parse(&block[..cut]);
    }
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn recovery_of_arbitrary_damage(
        damage in prop::collection::vec((any::<bool>(), any::<u32>(), prop::collection::vec(any::<u8>(), 1..300)), 1..5),
        cut in prop::option::of((any::<bool>(), any::<u32>())),
    ) {
        let (disk, home) = shard(14);
        let (mut log, _) = start(&disk, &home);
        append_blocks(&mut log, payloads(6));
        try_snapshot(&disk, &home, &log, Lsn(4), &payloads(3)).unwrap();
        let path = |snapshot| if snapshot { snapshot_path(4) } else { segment_path(1) };
        for (snapshot, at, bytes) in damage {
            let mut file = disk.read(&path(snapshot)).unwrap();
            let at = at as usize % file.len().min(40_000);
            let end = file.len().min(at + bytes.len());
            file[at..end].copy_from_slice(&bytes[..end - at]);
            disk.put(&path(snapshot), &file);
        }
        if let Some((snapshot, at)) = cut {
            let file = disk.read(&path(snapshot)).unwrap();
            disk.put(&path(snapshot), &file[..at as usize % file.len()]);
        }
        if let Ok(replay) = try_recover(&disk, &home) {
            let start = replay.recovered.snapshot.as_ref().map_or(1, |snapshot| snapshot.start().0);
            let first = usize::try_from(start).unwrap() - 1;
            prop_assert_eq!(replay.payloads(), &payloads(6)[first..first + replay.records.len()]);
        }
    }
}

/// Its checksum is right; it is refused for its number, and the next start counts on from the block before it.
#[test]
fn an_epoch_that_none_can_follow_is_damage() {
    for epoch in [0, u64::MAX] {
        let (disk, home) = shard(14);
        let (mut log, _) = start(&disk, &home);
        append_blocks(&mut log, payloads(2));
        disk.kill_process();
        let at = usize::try_from(*block_offsets(&disk, 1).last().unwrap()).unwrap();
        let mut file = disk.read(&segment_path(1)).unwrap();
        file[at + 24..at + 32].copy_from_slice(&epoch.to_le_bytes());
        reseal(&mut file[at..]);
        disk.put(&segment_path(1), &file);
        let (log, replay) = start(&disk, &home);
        assert_eq!((replay.records.len(), log.next_lsn()), (1, Lsn(2)), "epoch {epoch}");
    }
}
