//! What a block's header may say, at the ends of each range, and how a page that begins no block is told from one that was
//! never written. The checksum is not looked at here: a header is judged before its block is read.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::rig::{IDENTITY, block_offsets, flush, segment_path, shard, start};
use storage::limits::{BLOCK_BYTES_MAX, LSN_BOUND, PAGE_BYTES};
use storage::{BlockFault, Lsn, SegmentNumber, check_block, peek_block, records};

/// A block of three records and its padding.
fn block() -> Vec<u8> {
    let (disk, home) = shard(32);
    let (mut log, _) = start(&disk, &home);
    for payload in [&b"one"[..], b"", &[7; 4_000]] {
        log.append(payload).unwrap();
    }
    flush(&mut log).unwrap();
    let at = usize::try_from(block_offsets(&disk, 1)[1]).unwrap();
    disk.read(&segment_path(1)).unwrap()[at..at + 2 * PAGE_BYTES].to_vec()
}

/// The header with these bytes at `at`.
fn peek(at: usize, bytes: &[u8]) -> Result<(), BlockFault> {
    let mut block = block();
    block[at..at + bytes.len()].copy_from_slice(bytes);
    peek_block(&block, &IDENTITY, SegmentNumber(1)).map(drop)
}

#[test]
fn the_ends_of_each_range() {
    let numbers = [
        (24, "epoch", vec![1, u64::MAX - 1], vec![0, u64::MAX]),
        (32, "segment number", vec![1], vec![0, 2, u64::MAX]),
        (40, "sequence", vec![1, u64::MAX - 1], vec![0, u64::MAX]),
        (48, "first record", vec![1, LSN_BOUND - 1], vec![0, LSN_BOUND, u64::MAX]),
    ];
    for (at, what, good, bad) in numbers {
        for number in good {
            assert_eq!(peek(at, &number.to_le_bytes()), Ok(()), "{what} {number}");
        }
        for number in bad {
            assert_eq!(peek(at, &number.to_le_bytes()), Err(BlockFault::Header(what)), "{what} {number}");
        }
    }
    let most = u32::try_from(BLOCK_BYTES_MAX - 80).unwrap();
    for (bytes, found) in [
        (0, Ok(())),
        (most, Ok(())),
        (most + 1, Err(BlockFault::Header("length"))),
        (u32::MAX, Err(BlockFault::Header("length"))),
    ] {
        assert_eq!(peek(60, &bytes.to_le_bytes()), found, "{bytes} bytes of payload");
    }
    for version in [0_u16, 2] {
        assert_eq!(peek(8, &version.to_le_bytes()), Err(BlockFault::Header("version")));
    }
    for at in [10, 12, 16] {
        assert_eq!(peek(at, &[0xee; 2]), Err(BlockFault::Header("identity")), "byte {at}");
    }
    assert_eq!(peek_block(&block()[..79], &IDENTITY, SegmentNumber(1)), Err(BlockFault::CutOff));
}

#[test]
fn what_a_block_says_of_itself() {
    let block = block();
    let header = peek_block(&block, &IDENTITY, SegmentNumber(1)).unwrap();
    // Each record: its length field up to a multiple of 16, its bytes up to a multiple of 4.
    let bytes = (80 + 16 + 4) + 12 + (16 + 4_000);
    assert_eq!((header.bytes(), header.padded_bytes()), (bytes, 2 * PAGE_BYTES));
    assert_eq!((header.first_lsn, header.records, header.next_lsn()), (Lsn(1), 3, Lsn(4)));
    assert_eq!(check_block(&block[..bytes], &header), Ok(()), "the padding is not needed");
    assert_eq!(check_block(&block[..bytes - 1], &header), Err(BlockFault::CutOff));
    let found: Vec<_> = records(&block, &header).map(|(at, record)| (at, record.len())).collect();
    assert_eq!(found, [(96, 3), (112, 0), (128, 4_000)]);
}

#[test]
fn a_page_is_blank_only_without_a_single_bit() {
    let at = |bytes: &[usize]| {
        let mut page = vec![0; 2 * PAGE_BYTES];
        bytes.iter().for_each(|at| page[*at] = 1);
        peek_block(&page, &IDENTITY, SegmentNumber(1)).unwrap_err()
    };
    for byte in 0..PAGE_BYTES {
        assert_eq!(at(&[byte]), BlockFault::Magic, "byte {byte}");
        assert_eq!(at(&[byte, byte ^ 1]), BlockFault::Magic, "byte {byte} and its neighbour");
    }
    assert_eq!(at(&[]), BlockFault::Blank);
    assert_eq!(at(&[PAGE_BYTES]), BlockFault::Blank, "the next page is another matter");
}
