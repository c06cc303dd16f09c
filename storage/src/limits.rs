//! Every bound of this crate, with the reason for its number.

use engine::seam::DISK_ALIGNMENT;

/// Unit of all placement in a file: the direct I/O alignment, in bytes.
pub const PAGE_BYTES: usize = DISK_ALIGNMENT;

/// Largest block, and so the largest single write, in bytes. Measured: a flush of 256 KiB takes about as long as one
/// of 64 KiB, and beyond it device and kernel split the request.
pub const BLOCK_BYTES_MAX: usize = 256 * 1024;

/// Largest payload of one record, in bytes. What a block holds, less room for headers and for later header growth.
pub const RECORD_BYTES_MAX: usize = 240 * 1024;

/// What a record takes in a block beyond its own bytes, at most: its length field and its alignment before and after.
pub const RECORD_OVERHEAD_BYTES: usize = 20;

/// Blocks that may wait for their flush. When all are full, [`crate::AppendError::Full`] is the answer.
pub const PENDING_BLOCKS_MAX: usize = 32;

/// Bytes that may wait for their flush: about 3 ms of a disk that takes 256 KiB in 100 µs.
pub const PENDING_BYTES_MAX: usize = PENDING_BLOCKS_MAX * BLOCK_BYTES_MAX;

/// Default length of a segment, in bytes: seconds of full load, and zeroed in well under one.
pub const SEGMENT_BYTES_DEFAULT: u64 = 64 * 1024 * 1024;

/// Shortest segment: its header page and one largest block.
pub const SEGMENT_BYTES_MIN: u64 = (PAGE_BYTES + BLOCK_BYTES_MAX) as u64;

/// Longest segment, in bytes. Recovery reads the unused rest of the last one, so a longer one only costs time.
pub const SEGMENT_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// Bytes written at once while a segment is filled with zeros: short enough that a flush never waits behind more.
pub const ZERO_CHUNK_BYTES: usize = 256 * 1024;

/// Bytes read at once by recovery and inspection: several of the largest blocks, so that little is read twice. A larger
/// section is read in a piece of its own.
pub const READ_CHUNK_BYTES: usize = 2 * 1024 * 1024;

/// Largest section of a snapshot, in bytes: a user with everything at its bound (engine::core::user) is below 7 MiB.
pub const SECTION_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Sections that may wait in a snapshot writer before it must be drained, in bytes: two of the largest and change.
pub const SNAPSHOT_PENDING_BYTES_MAX: usize = 2 * SECTION_BYTES_MAX + 1024 * 1024;

/// Bytes a snapshot writer writes at once.
pub const SNAPSHOT_CHUNK_BYTES: usize = 256 * 1024;

/// No record has this number or a higher one: half of what the type holds, so that nothing added to a number that was read
/// from a file reaches the type's end.
pub const LSN_BOUND: u64 = u64::MAX / 2;

/// Shards of one generation: three digits in a directory name, and far more than a machine has cores.
pub const SHARDS_MAX: u16 = 512;

const _: () = {
    assert!(usize::BITS == 64, "offsets in files are used as lengths in memory");
    assert!(crate::block::HEADER_BYTES + RECORD_BYTES_MAX + RECORD_OVERHEAD_BYTES <= BLOCK_BYTES_MAX);
    assert!(BLOCK_BYTES_MAX.is_multiple_of(PAGE_BYTES));
    assert!(ZERO_CHUNK_BYTES.is_multiple_of(PAGE_BYTES) && SNAPSHOT_CHUNK_BYTES.is_multiple_of(PAGE_BYTES));
    assert!(READ_CHUNK_BYTES >= 4 * BLOCK_BYTES_MAX && READ_CHUNK_BYTES.is_multiple_of(PAGE_BYTES));
    assert!(SNAPSHOT_PENDING_BYTES_MAX >= 2 * SECTION_BYTES_MAX);
    assert!(SEGMENT_BYTES_DEFAULT >= SEGMENT_BYTES_MIN && SEGMENT_BYTES_DEFAULT <= SEGMENT_BYTES_MAX);
};

/// A file length or offset as a length in memory.
pub(crate) fn in_memory(bytes: u64) -> usize {
    usize::try_from(bytes).expect("usize has 64 bits, asserted above")
}

/// `bytes` rounded up to whole pages.
pub(crate) const fn whole_pages(bytes: usize) -> usize {
    bytes.next_multiple_of(PAGE_BYTES)
}
