//! Small valid shards for the fuzzer to damage, and what is known about each: what was written, where, and what the
//! snapshots hold. Made by the log itself, once; their segments are then shortened, so that a run is quick.

use super::rig::{
    DIR, IDENTITY, append_blocks, flush, payloads, segment_path, shard, snapshot_path, start, try_snapshot,
};
use super::script::Files;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use storage::sim_disk::{SimDisk, block_on};
use storage::{
    BlockHeader, Generation, LogIdentity, Lsn, SegmentNumber, ShardHome, SnapshotWriter, check_block,
    peek_block, prune,
};

const PAGE: usize = 4_096;

/// A block that was acknowledged.
pub(super) struct Block {
    pub(super) file: PathBuf,
    pub(super) offset: usize,
    pub(super) bytes: Vec<u8>,
    pub(super) header: BlockHeader,
}

/// A snapshot that was finished.
pub(super) struct Snapshot {
    pub(super) file: PathBuf,
    pub(super) sections: Vec<Vec<u8>>,
    pub(super) reflects: u64,
}

/// A shard and what is known about it.
pub(super) struct Scene {
    pub(super) home: ShardHome,
    pub(super) files: Files,
    /// LSN of the first record ever.
    pub(super) first: u64,
    /// Every acknowledged record.
    pub(super) written: Vec<Vec<u8>>,
    /// A record that was written and never acknowledged, and its LSN.
    pub(super) torn: Option<(u64, Vec<u8>)>,
    pub(super) blocks: Vec<Block>,
    /// By the LSN they start at.
    pub(super) snapshots: BTreeMap<u64, Snapshot>,
}

/// Shortens a segment to so many pages.
fn shorten(disk: &SimDisk, number: u64, pages: usize) {
    let mut file = disk.read(&segment_path(number)).unwrap();
    file.truncate(pages * PAGE);
    let length = file.len() as u64;
    file[32..40].copy_from_slice(&length.to_le_bytes());
    let crc = crc32c::crc32c(&file[..PAGE - 4]);
    file[PAGE - 4..PAGE].copy_from_slice(&crc.to_le_bytes());
    disk.put(&segment_path(number), &file);
}

fn finish(
    disk: &SimDisk,
    home: ShardHome,
    first: u64,
    written: Vec<Vec<u8>>,
    snapshots: BTreeMap<u64, Snapshot>,
) -> Scene {
    let files = disk.contents();
    let mut blocks = Vec::new();
    for (file, bytes) in &files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let Some(number) = name.strip_prefix("seg-").and_then(|name| name.strip_suffix(".log")) else {
            continue;
        };
        let number = SegmentNumber(number.parse().unwrap());
        for offset in (PAGE..bytes.len()).step_by(PAGE) {
            let here = &bytes[offset..];
            let Ok(header) = peek_block(here, home.identity(), number) else { continue };
            if check_block(here, &header).is_ok() {
                let bytes = here[..header.padded_bytes()].to_vec();
                blocks.push(Block { file: file.clone(), offset, bytes, header });
            }
        }
    }
    Scene { home, files, first, written, torn: None, blocks, snapshots }
}

/// Two segments and a spare one; blocks of one record, of three, of two pages; a torn write that a later run stepped over.
pub(super) fn log() -> Scene {
    let (disk, home) = shard(1);
    let mut written = payloads(18);
    written[6] = vec![0xA5; 6_000];
    let (mut log, _) = start(&disk, &home);
    append_blocks(&mut log, written[..3].to_vec());
    for payload in &written[3..6] {
        log.append(payload).unwrap();
    }
    flush(&mut log).unwrap();
    append_blocks(&mut log, written[6..9].to_vec());
    let torn = b"a record that nobody was told of".to_vec();
    append_blocks(&mut log, [torn.clone()]);
    disk.kill_process();
    let last = super::rig::block_offsets(&disk, 1).pop().unwrap();
    disk.flip_bit(&segment_path(1), last + 100, 3);
    shorten(&disk, 1, 14);
    shorten(&disk, 2, 12);
    let (mut log, _) = start(&disk, &home);
    append_blocks(&mut log, written[9..].to_vec());
    disk.kill_process();
    shorten(&disk, 3, 3);
    let scene = finish(&disk, home, 1, written, BTreeMap::new());
    assert!(scene.blocks.iter().any(|block| block.file == segment_path(2)), "two segments are in use");
    Scene { torn: Some((10, torn)), ..scene }
}

/// Takes a snapshot that starts at `lsn` and adds it to the list.
fn take(
    disk: &SimDisk,
    home: &ShardHome,
    log: &super::rig::SimLog,
    lsn: u64,
    snapshots: &mut BTreeMap<u64, Snapshot>,
) -> storage::DurableSnapshot {
    let sections = vec![format!("the state before {lsn}").into_bytes(), vec![7; 5_000], Vec::new()];
    let taken = try_snapshot(disk, home, log, Lsn(lsn), &sections).unwrap();
    let file = snapshot_path(lsn);
    snapshots.insert(lsn, Snapshot { file, sections, reflects: taken.reflects().0 });
    taken
}

/// One segment from the first record on; a snapshot that was taken while records came in, and one between two of them.
pub(super) fn whole_log_and_snapshots() -> Scene {
    let (disk, home) = shard(2);
    let (written, mut snapshots) = (payloads(16), BTreeMap::new());
    let (mut log, _) = start(&disk, &home);
    append_blocks(&mut log, written[..9].to_vec());
    take(&disk, &home, &log, 8, &mut snapshots);
    append_blocks(&mut log, written[9..10].to_vec());
    take(&disk, &home, &log, 11, &mut snapshots);
    append_blocks(&mut log, written[10..].to_vec());
    disk.kill_process();
    shorten(&disk, 1, 22);
    shorten(&disk, 2, 2);
    finish(&disk, home, 1, written, snapshots)
}

/// Two segments, the first of which is gone since the older of two snapshots.
pub(super) fn pruned_log_and_snapshots() -> Scene {
    let (disk, home) = shard(3);
    let (written, mut snapshots) = (payloads(16), BTreeMap::new());
    let (mut log, _) = start(&disk, &home);
    append_blocks(&mut log, written[..4].to_vec());
    disk.kill_process();
    shorten(&disk, 1, 6);
    shorten(&disk, 2, 10);
    let (mut log, _) = start(&disk, &home);
    append_blocks(&mut log, written[4..9].to_vec());
    let older = take(&disk, &home, &log, 8, &mut snapshots);
    append_blocks(&mut log, written[9..13].to_vec());
    take(&disk, &home, &log, 11, &mut snapshots);
    append_blocks(&mut log, written[13..].to_vec());
    assert!(block_on(prune(&disk, &home, &older)).unwrap().segments > 0);
    disk.kill_process();
    shorten(&disk, 3, 10);
    if disk.read(&segment_path(4)).is_some() {
        disk.delete(&segment_path(4));
    }
    finish(&disk, home, 1, written, snapshots)
}

/// A later generation: it begins with a snapshot that needs no log before it.
pub(super) fn seeded_log() -> Scene {
    let (disk, _) = shard(4);
    let identity = LogIdentity { generation: Generation(2), ..IDENTITY };
    let home = ShardHome::new(Path::new(DIR).to_owned(), identity);
    let (written, mut snapshots) = (payloads(9), BTreeMap::new());
    let sections = vec![b"a seed".to_vec(), vec![9; 4_500]];
    block_on(async {
        let mut writer = SnapshotWriter::begin(disk.clone(), home.clone(), Lsn(8)).await.unwrap();
        for section in &sections {
            writer.add(section).unwrap();
        }
        writer.finish_seed().await.unwrap();
    });
    snapshots.insert(8, Snapshot { file: snapshot_path(8), sections, reflects: 7 });
    let (mut log, _) = start(&disk, &home);
    append_blocks(&mut log, written[..4].to_vec());
    take(&disk, &home, &log, 11, &mut snapshots);
    append_blocks(&mut log, written[4..].to_vec());
    disk.kill_process();
    shorten(&disk, 1, 14);
    shorten(&disk, 2, 2);
    finish(&disk, home, 8, written, snapshots)
}
