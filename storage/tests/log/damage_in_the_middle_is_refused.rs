//! A damaged block with valid ones after it stops recovery with the right file and offset, and nothing is written.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::rig::{
    append_blocks, block_offsets, payloads, segment_path, shard, start, try_recover, try_start,
};
use storage::limits::PAGE_BYTES;
use storage::sim_disk::SimDisk;
use storage::{Corruption, ShardHome, StorageError};

/// Two full segments and a third begun, one record of about a page per block.
fn three_segments() -> (SimDisk, ShardHome) {
    let (disk, home) = shard(2);
    let (mut log, _) = start(&disk, &home);
    append_blocks(&mut log, payloads(140));
    assert_eq!(log.position().segment.0, 3);
    (disk, home)
}

/// Recovery and start refuse, and leave every byte as it was.
fn check_refused(disk: &SimDisk, home: &ShardHome) -> Corruption {
    let before = disk.contents();
    let operations = disk.operations();
    let refused = |result: Result<(), StorageError>| match result {
        Err(StorageError::Corruption(corruption)) => corruption,
        other => panic!("not refused as corrupt: {other:?}"),
    };
    let corruption = refused(try_recover(disk, home).map(drop));
    assert_eq!(refused(try_start(disk, home).map(drop)), corruption);
    assert!(disk.contents() == before, "nothing was written");
    let synced = disk.operations() - operations;
    assert!(synced <= 2 * 4, "only syncs happened");
    corruption
}

#[test]
fn any_byte_of_any_block_but_the_last() {
    let (disk, home) = three_segments();
    for segment in 1..=2 {
        for offset in block_offsets(&disk, segment) {
            for byte in (0..80).chain([95, 100]) {
                // The first block of the log has a header only: what follows is padding.
                if byte >= 80 && (segment, offset) == (1, PAGE_BYTES as u64) {
                    continue;
                }
                disk.flip_bit(&segment_path(segment), offset + byte, 3);
                if byte % 16 == 9 || byte >= 80 {
                    let found = check_refused(&disk, &home);
                    assert_eq!((found.file, found.offset), (segment_path(segment), offset), "byte {byte}");
                }
                disk.flip_bit(&segment_path(segment), offset + byte, 3);
            }
        }
    }
    assert!(try_recover(&disk, &home).is_ok(), "all bits are back");
}

#[test]
fn every_header_byte_is_covered() {
    let (disk, home) = three_segments();
    let offset = block_offsets(&disk, 2)[20];
    for byte in 0..80 {
        disk.flip_bit(&segment_path(2), offset + byte, 7);
        assert_eq!(check_refused(&disk, &home).offset, offset, "byte {byte}");
        disk.flip_bit(&segment_path(2), offset + byte, 7);
    }
}

#[test]
fn padding_after_a_block_means_nothing() {
    let (disk, home) = three_segments();
    let whole = try_recover(&disk, &home).unwrap().payloads();
    disk.flip_bit(&segment_path(1), block_offsets(&disk, 1)[5] + PAGE_BYTES as u64 - 1, 0);
    assert_eq!(try_recover(&disk, &home).unwrap().payloads(), whole);
}

#[test]
fn a_block_that_was_never_written() {
    let (disk, home) = three_segments();
    let offset = block_offsets(&disk, 1)[7];
    let mut file = disk.read(&segment_path(1)).unwrap();
    let at = usize::try_from(offset).unwrap();
    file[at..at + PAGE_BYTES].fill(0);
    disk.put(&segment_path(1), &file);
    let found = check_refused(&disk, &home);
    assert_eq!((found.file, found.offset), (segment_path(1), offset));
}

#[test]
fn the_first_damage_is_named_and_without_any_the_first_blank_page() {
    for (pages, named) in [("BB", 0), ("BD", 1), ("DB", 0), ("DD", 0), ("BBD", 2), ("BDB", 1), ("BDD", 1)] {
        let (disk, home) = three_segments();
        let offsets = block_offsets(&disk, 1)[7..].to_vec();
        for (offset, page) in offsets.iter().zip(pages.chars()) {
            let bytes: &[u8] = if page == 'B' { &[0; PAGE_BYTES] } else { b"damage" };
            disk.overwrite(&segment_path(1), *offset, bytes);
        }
        let found = check_refused(&disk, &home);
        assert_eq!((found.file, found.offset), (segment_path(1), offsets[named]), "{pages}");
    }
}

#[test]
fn a_block_in_the_place_of_another() {
    let (disk, home) = three_segments();
    let offsets = block_offsets(&disk, 1);
    let mut file = disk.read(&segment_path(1)).unwrap();
    let (from, to) = (usize::try_from(offsets[4]).unwrap(), usize::try_from(offsets[9]).unwrap());
    file.copy_within(from..from + PAGE_BYTES, to);
    disk.put(&segment_path(1), &file);
    let found = check_refused(&disk, &home);
    assert_eq!((found.file, found.offset), (segment_path(1), offsets[9]));
}

#[test]
fn a_block_of_a_copy_that_went_its_own_way() {
    let (disk, home) = three_segments();
    let (other, other_home) = shard(2);
    let (mut log, _) = start(&other, &other_home);
    for _ in 0..20 {
        log.append(b"two").unwrap();
        append_blocks(&mut log, [b"in a block".to_vec()]);
    }
    let offset = block_offsets(&disk, 1)[12];
    assert_eq!(block_offsets(&other, 1)[12], offset);
    let at = usize::try_from(offset).unwrap();
    let mut file = disk.read(&segment_path(1)).unwrap();
    file[at..at + PAGE_BYTES].copy_from_slice(&other.read(&segment_path(1)).unwrap()[at..at + PAGE_BYTES]);
    disk.put(&segment_path(1), &file);
    let found = check_refused(&disk, &home);
    assert_eq!((found.file, found.offset), (segment_path(1), offset));
}

/// Puts the page of `other` at `from` of its segment into ours at `to` of its own, which is refused.
fn check_transplant(ours: (&SimDisk, &ShardHome, u64, u64), other: (&SimDisk, u64, u64)) {
    let (disk, home, segment, to) = ours;
    let page = |at: u64| usize::try_from(at).unwrap()..usize::try_from(at).unwrap() + PAGE_BYTES;
    let mut file = disk.read(&segment_path(segment)).unwrap();
    file[page(to)].copy_from_slice(&other.0.read(&segment_path(other.1)).unwrap()[page(other.2)]);
    disk.put(&segment_path(segment), &file);
    let found = check_refused(disk, home);
    assert_eq!((found.file, found.offset), (segment_path(segment), to));
}

#[test]
fn a_block_of_an_earlier_epoch() {
    // Both write the same number of records up to their fourth block, the one in its second epoch, the other in its first:
    // only the epoch tells that the block comes from elsewhere.
    let (disk, home) = shard(2);
    let (mut log, _) = start(&disk, &home);
    append_blocks(&mut log, payloads(1));
    drop(log);
    let (mut log, _) = start(&disk, &home);
    log.append(b"two").unwrap();
    append_blocks(&mut log, [b"in a block".to_vec()]);
    append_blocks(&mut log, payloads(3));
    let (other, other_home) = shard(2);
    let (mut log, _) = start(&other, &other_home);
    append_blocks(&mut log, payloads(8));
    let place = 4;
    let (to, from) = (block_offsets(&disk, 1)[place], block_offsets(&other, 1)[place]);
    check_transplant((&disk, &home, 1, to), (&other, 1, from));
}

#[test]
fn a_block_written_for_another_segment() {
    // The other's blocks are larger, so that the same block, with the same record, is in its second segment.
    let (disk, home) = three_segments();
    let (other, other_home) = shard(2);
    let (mut log, _) = start(&other, &other_home);
    append_blocks(&mut log, (0..20).map(|_| vec![7; 2 * PAGE_BYTES]));
    append_blocks(&mut log, payloads(60));
    let before = block_offsets(&other, 1).len();
    let place = block_offsets(&disk, 1).len() - 3;
    let from = block_offsets(&other, 2)[place - before];
    check_transplant((&disk, &home, 1, block_offsets(&disk, 1)[place]), (&other, 2, from));
}

#[test]
fn the_first_page_of_a_segment() {
    let (disk, home) = three_segments();
    for byte in [0, 9, 30, 2000, 4095] {
        disk.flip_bit(&segment_path(2), byte, 1);
        let found = check_refused(&disk, &home);
        assert_eq!((found.file, found.offset), (segment_path(2), 0));
        disk.flip_bit(&segment_path(2), byte, 1);
    }
}

#[test]
fn a_segment_that_became_shorter() {
    let (disk, home) = three_segments();
    let file = disk.read(&segment_path(2)).unwrap();
    disk.put(&segment_path(2), &file[..8 * PAGE_BYTES]);
    let found = check_refused(&disk, &home);
    assert_eq!((found.file, found.offset), (segment_path(2), 8 * PAGE_BYTES as u64));
}

#[test]
fn the_message_says_where_and_what_to_do() {
    let (disk, home) = three_segments();
    let offset = block_offsets(&disk, 2)[3];
    disk.flip_bit(&segment_path(2), offset + 100, 0);
    let text = try_recover(&disk, &home).unwrap_err().to_string();
    for part in
        ["seg-0000000000000002.log", &format!("byte {offset}"), "checksum", "Nothing was changed", "restore"]
    {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}
