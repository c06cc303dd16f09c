//! The block: the unit of one flush, and the only thing in a segment after its header page.
//!
//! A block starts at a page boundary. All integers are little-endian.
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | magic `CBCBLOCK` |
//! | 8..10, 10..12, 12..16 | format version, shard, generation |
//! | 16..24, 24..32, 32..40 | salt, epoch, segment |
//! | 40..48, 48..56 | block sequence, LSN of the first record |
//! | 56..60, 60..64 | number of records, payload length |
//! | 64..68 | CRC-32C of header and payload without these four bytes |
//! | 68..80 | zero |
//! | 80.. | payload: per record its length (u32), zeros up to the next multiple of 16, its bytes, zeros up to the next multiple of 4 |
//!
//! What follows the payload up to the page's end is zero and not part of the block's meaning.
//!
//! **Invariants**: parsing never panics, whatever the bytes; a block that passes [`check_block`] has exactly its number
//! of records, each inside the payload and at a multiple of 16 from the block's start.

use crate::identity::{BlockSequence, Epoch, Generation, LogIdentity, Lsn, Salt, SegmentNumber, ShardNumber};
use crate::limits::{BLOCK_BYTES_MAX, LSN_BOUND, PAGE_BYTES, RECORD_BYTES_MAX, whole_pages};

/// The format this program writes. It reads every lower one.
pub const FORMAT_VERSION: u16 = 1;

pub(crate) const HEADER_BYTES: usize = 80;
const MAGIC: [u8; 8] = *b"CBCBLOCK";
const CRC_AT: usize = 64;
const LENGTH_BYTES: usize = 4;
const PAYLOAD_ALIGNMENT: usize = 16;

/// A block's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockHeader {
    /// Which log it belongs to.
    pub identity: LogIdentity,
    /// Which start of it wrote the block.
    pub epoch: Epoch,
    /// Which segment it was written to.
    pub segment: SegmentNumber,
    /// Its place among the blocks of the log.
    pub sequence: BlockSequence,
    /// LSN of its first record; of the next record to come when it has none.
    pub first_lsn: Lsn,
    /// How many records it holds. A block without any is the first of its epoch.
    pub records: u32,
    /// Bytes after the header.
    pub payload_bytes: u32,
}

impl BlockHeader {
    /// Header and payload, in bytes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        HEADER_BYTES + self.payload_bytes as usize
    }
    /// What the block takes in its segment, in bytes.
    #[must_use]
    pub const fn padded_bytes(&self) -> usize {
        whole_pages(self.bytes())
    }
    /// LSN of the first record after this block.
    #[must_use]
    pub const fn next_lsn(&self) -> Lsn {
        Lsn(self.first_lsn.0.saturating_add(self.records as u64))
    }
}

/// Why bytes are not a block of the log they were read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockFault {
    /// The page is all zeros: never written, or its write was lost.
    #[error("nothing was written here")]
    Blank,
    /// No block starts here.
    #[error("no block starts here")]
    Magic,
    /// The header contradicts the segment's or itself.
    #[error("the block header's {0} is wrong")]
    Header(&'static str),
    /// The block does not end within the segment.
    #[error("the block is cut off")]
    CutOff,
    /// The checksum does not match.
    #[error("the block's checksum does not match")]
    Checksum,
    /// The checksum matches but the records do not fill the payload: written wrongly.
    #[error("the block's records do not fill its payload")]
    Records,
}

/// Reads a header, checking it against the log and segment it must belong to, but not its checksum.
///
/// # Errors
/// The first thing wrong.
pub fn peek_block(
    bytes: &[u8],
    identity: &LogIdentity,
    segment: SegmentNumber,
) -> Result<BlockHeader, BlockFault> {
    let Some(head) = bytes.first_chunk::<HEADER_BYTES>() else { return Err(BlockFault::CutOff) };
    if head[..8] != MAGIC {
        let page = &bytes[..bytes.len().min(PAGE_BYTES)];
        return Err(if is_zero(page) { BlockFault::Blank } else { BlockFault::Magic });
    }
    let header = BlockHeader {
        identity: LogIdentity {
            shard: ShardNumber(u16_at(head, 10)),
            generation: Generation(u32_at(head, 12)),
            salt: Salt(u64_at(head, 16)),
        },
        epoch: Epoch(u64_at(head, 24)),
        segment: SegmentNumber(u64_at(head, 32)),
        sequence: BlockSequence(u64_at(head, 40)),
        first_lsn: Lsn(u64_at(head, 48)),
        records: u32_at(head, 56),
        payload_bytes: u32_at(head, 60),
    };
    let checks = [
        (u16_at(head, 8) == FORMAT_VERSION, "version"),
        (header.identity == *identity || planted::planted!("block_of_another_log"), "identity"),
        (header.segment == segment || planted::planted!("block_of_a_recycled_segment"), "segment number"),
        (header.payload_bytes as usize <= BLOCK_BYTES_MAX - HEADER_BYTES, "length"),
        (header.sequence.0 != 0 && header.sequence.0 != u64::MAX, "sequence"),
        (header.first_lsn.0 != 0 && header.first_lsn.0 < LSN_BOUND, "first record"),
        (header.epoch.0 != 0 && header.epoch.0 != u64::MAX, "epoch"),
    ];
    match checks.iter().find(|(good, _)| !good) {
        Some((_, what)) => Err(BlockFault::Header(what)),
        None => Ok(header),
    }
}

/// Checks the checksum and the records of the block that starts `bytes` and whose header was read from there.
///
/// # Errors
/// The first thing wrong.
pub fn check_block(bytes: &[u8], header: &BlockHeader) -> Result<(), BlockFault> {
    let block = bytes.get(..header.bytes()).ok_or(BlockFault::CutOff)?;
    if checksum(block) != u32_at(block, CRC_AT) && !planted::planted!("checksum_not_looked_at") {
        return Err(BlockFault::Checksum);
    }
    let (mut at, mut left) = (HEADER_BYTES, header.records);
    while left > 0 {
        let length = block.get(at..at + LENGTH_BYTES).ok_or(BlockFault::Records)?;
        let place = Place::of(at, u32_at(length, 0) as usize);
        if place.end > block.len() {
            return Err(BlockFault::Records);
        }
        (at, left) = (place.end, left - 1);
    }
    if at == block.len() { Ok(()) } else { Err(BlockFault::Records) }
}

/// The records of a block that passed [`check_block`]: offset from the block's start, and bytes.
pub fn records<'a>(bytes: &'a [u8], header: &BlockHeader) -> impl Iterator<Item = (usize, &'a [u8])> {
    let block = &bytes[..header.bytes()];
    let mut at = HEADER_BYTES;
    (0..header.records).map(move |_| {
        let length = u32_at(block, at) as usize;
        let place = Place::of(at, length);
        at = place.end;
        (place.payload, &block[place.payload..place.payload + length])
    })
}

/// Where a record goes whose length field is at `at`.
struct Place {
    payload: usize,
    end: usize,
}

impl Place {
    const fn of(at: usize, length: usize) -> Self {
        let payload = (at + LENGTH_BYTES).next_multiple_of(PAYLOAD_ALIGNMENT);
        Self { payload, end: (payload + length).next_multiple_of(LENGTH_BYTES) }
    }
}

/// A block being filled in the buffer it will be written from.
pub(crate) struct BlockBuilder<B> {
    buffer: B,
    used: usize,
    records: u32,
    first_lsn: Lsn,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> BlockBuilder<B> {
    /// `buffer` has [`BLOCK_BYTES_MAX`] bytes; what it holds is overwritten as far as the block reaches.
    pub(crate) fn new(buffer: B, first_lsn: Lsn) -> Self {
        assert!(buffer.as_ref().len() >= BLOCK_BYTES_MAX, "a block buffer holds the largest block");
        Self { buffer, used: HEADER_BYTES, records: 0, first_lsn }
    }

    pub(crate) fn has_room(&self, length: usize) -> bool {
        Place::of(self.used, length).end <= BLOCK_BYTES_MAX
    }

    /// Adds a record of `length` bytes that `fill` writes; counts it only when `fill` returned. There must be room.
    pub(crate) fn push_with(&mut self, length: usize, fill: impl FnOnce(&mut [u8])) {
        debug_assert!(length <= RECORD_BYTES_MAX && self.has_room(length));
        let place = Place::of(self.used, length);
        let bytes = self.buffer.as_mut();
        let length_field = u32::try_from(length).expect("a record is shorter than a block");
        bytes[self.used..self.used + LENGTH_BYTES].copy_from_slice(&length_field.to_le_bytes());
        bytes[self.used + LENGTH_BYTES..place.payload].fill(0);
        fill(&mut bytes[place.payload..place.payload + length]);
        bytes[place.payload + length..place.end].fill(0);
        self.used = place.end;
        self.records += 1;
    }

    pub(crate) fn used_bytes(&self) -> usize {
        self.used
    }

    pub(crate) fn padded_bytes(&self) -> usize {
        whole_pages(self.used)
    }

    pub(crate) fn records(&self) -> u32 {
        self.records
    }

    pub(crate) fn next_lsn(&self) -> Lsn {
        Lsn(self.first_lsn.0 + u64::from(self.records))
    }

    /// Writes the header without its checksum and gives back the buffer: ready for [`seal`].
    pub(crate) fn close(
        mut self,
        identity: &LogIdentity,
        epoch: Epoch,
        segment: SegmentNumber,
        sequence: BlockSequence,
    ) -> B {
        let payload_bytes = u32::try_from(self.used - HEADER_BYTES).expect("a block is shorter than 4 GiB");
        let padded = self.padded_bytes();
        let bytes = self.buffer.as_mut();
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[10..12].copy_from_slice(&identity.shard.0.to_le_bytes());
        bytes[12..16].copy_from_slice(&identity.generation.0.to_le_bytes());
        bytes[16..24].copy_from_slice(&identity.salt.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&epoch.0.to_le_bytes());
        bytes[32..40].copy_from_slice(&segment.0.to_le_bytes());
        bytes[40..48].copy_from_slice(&sequence.0.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.first_lsn.0.to_le_bytes());
        bytes[56..60].copy_from_slice(&self.records.to_le_bytes());
        bytes[60..64].copy_from_slice(&payload_bytes.to_le_bytes());
        bytes[CRC_AT..HEADER_BYTES].fill(0);
        bytes[self.used..padded].fill(0);
        self.buffer
    }
}

/// Puts the checksum into a closed block of `bytes` length, padding not counted.
pub(crate) fn seal(block: &mut [u8]) {
    let crc = checksum(block);
    block[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
}

fn checksum(block: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&block[..CRC_AT]), &block[CRC_AT + 4..])
}

pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<64>();
    words.iter().all(|word| word.iter().fold(0, |all, byte| all | byte) == 0)
        && rest.iter().all(|byte| *byte == 0)
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(*bytes[at..].first_chunk().expect("the caller has checked the length"))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("the caller has checked the length"))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("the caller has checked the length"))
}
