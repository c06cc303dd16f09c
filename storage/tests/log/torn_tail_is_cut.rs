//! What the last write of a crashed run left half done is cut: reported, never read, never overwritten; the log goes on
//! after it, and every later recovery steps over it.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::rig::{append_blocks, block_offsets, payloads, recovered, segment_path, shard, start};
use storage::BlockFault;
use storage::limits::PAGE_BYTES;
use storage::sim_disk::SimDisk;

/// Writes four records in four blocks, lets `tear` damage the last, and follows the log through two more runs.
fn check(fault: BlockFault, torn_bytes: u64, tear: impl Fn(&SimDisk, u64)) {
    let (disk, home) = shard(1);
    let (mut log, _) = start(&disk, &home);
    let all: Vec<_> = payloads(4)
        .into_iter()
        .map(|mut payload| {
            payload.resize(payload.len() + 2 * PAGE_BYTES, b'.');
            payload
        })
        .collect();
    append_blocks(&mut log, all.clone());
    let last = *block_offsets(&disk, 1).last().unwrap();
    tear(&disk, last);
    disk.kill_process();
    let torn_file = disk.read(&segment_path(1)).unwrap();

    let (mut log, replay) = start(&disk, &home);
    assert_eq!(replay.payloads(), all[..3]);
    let torn = replay.recovered.torn.expect("it is reported");
    assert_eq!((torn.file, torn.offset, torn.fault), (segment_path(1), last, fault));
    assert_eq!(torn.bytes, torn_bytes);
    append_blocks(&mut log, [b"after the tear".to_vec()]);
    let end = usize::try_from(last + torn_bytes).unwrap();
    assert_eq!(disk.read(&segment_path(1)).unwrap()[..end], torn_file[..end], "nothing was overwritten");
    disk.kill_process();

    let replay = recovered(&disk, &home);
    assert_eq!(replay.payloads(), [&all[..3], &[b"after the tear".to_vec()]].concat());
    assert_eq!((replay.recovered.torn, replay.recovered.gaps), (None, 1));
}

#[test]
fn a_changed_byte_in_the_payload() {
    check(BlockFault::Checksum, 3 * PAGE_BYTES as u64, |disk, at| {
        disk.flip_bit(&segment_path(1), at + 200, 0)
    });
}

#[test]
fn a_lost_first_page() {
    let (page, bytes) = (PAGE_BYTES as u64, 2 * PAGE_BYTES as u64);
    // The hole begins at the lost page; what is there to step over begins one page later.
    let (disk, home) = shard(1);
    let (mut log, _) = start(&disk, &home);
    append_blocks(&mut log, [vec![7; 100], vec![8; 3 * PAGE_BYTES - 200]]);
    let last = *block_offsets(&disk, 1).last().unwrap();
    zero(&disk, last, PAGE_BYTES);
    let (mut log, replay) = start(&disk, &home);
    let torn = replay.recovered.torn.unwrap();
    assert_eq!((torn.offset, torn.bytes, torn.fault), (last + page, bytes, BlockFault::Magic));
    append_blocks(&mut log, [b"after".to_vec()]);
    assert_eq!(recovered(&disk, &home).payloads(), [vec![7; 100], b"after".to_vec()]);
}

#[test]
fn a_lost_last_page() {
    check(BlockFault::Checksum, 2 * PAGE_BYTES as u64, |disk, at| {
        zero(disk, at + 2 * PAGE_BYTES as u64, PAGE_BYTES)
    });
}

#[test]
fn a_wholly_lost_write_leaves_no_trace() {
    let (disk, home) = shard(1);
    let (mut log, _) = start(&disk, &home);
    append_blocks(&mut log, payloads(3));
    zero(&disk, *block_offsets(&disk, 1).last().unwrap(), PAGE_BYTES);
    let replay = recovered(&disk, &home);
    assert_eq!(replay.payloads(), payloads(2));
    assert_eq!(replay.recovered.torn, None);
}

#[test]
fn it_reaches_from_its_first_page_to_its_last() {
    // Pages of junk after the last block, each as its segment and its number; what is said of them; where the log goes on.
    type Range = (u64, u64);
    let cases: [(&[Range], Range, Range); 4] = [
        (&[(1, 4)], (4, 1), (1, 5)),
        (&[(1, 4), (1, 7)], (4, 4), (1, 8)),
        (&[(1, 60), (2, 1), (2, 3)], (60, 3), (2, 4)),
        (&[(1, 63), (1, 64)], (63, 2), (2, 1)),
    ];
    let page = PAGE_BYTES as u64;
    for (junk, (first, pages), (segment, next)) in cases {
        let (disk, home) = shard(1);
        let (mut log, _) = start(&disk, &home);
        append_blocks(&mut log, payloads(2));
        disk.kill_process();
        for (number, at) in junk {
            assert!(disk.overwrite(&segment_path(*number), at * page + 9, b"junk"));
        }
        let (mut log, replay) = start(&disk, &home);
        let torn = replay.recovered.torn.unwrap();
        assert_eq!((torn.file, torn.offset), (segment_path(1), first * page), "{junk:?}");
        assert_eq!((torn.bytes, torn.fault), (pages * page, BlockFault::Magic), "{junk:?}");
        assert_eq!(log.position().segment.0, segment, "{junk:?}");
        append_blocks(&mut log, [b"after".to_vec()]);
        let mut blocks = block_offsets(&disk, segment);
        blocks.retain(|at| *at >= next * page);
        assert_eq!(blocks, [next * page, (next + 1) * page], "{junk:?}: the epoch's and one more");
        let replay = recovered(&disk, &home);
        assert_eq!(replay.payloads(), [payloads(2), vec![b"after".to_vec()]].concat());
        assert_eq!((replay.recovered.torn, replay.recovered.gaps), (None, 1), "{junk:?}");
        assert_eq!((replay.recovered.blocks, replay.recovered.bytes), (5, 5 * page), "{junk:?}");
    }
}

fn zero(disk: &SimDisk, from: u64, bytes: usize) {
    let mut file = disk.read(&segment_path(1)).unwrap();
    let from = usize::try_from(from).unwrap();
    file[from..from + bytes].fill(0);
    disk.put(&segment_path(1), &file);
}
