//! Blocks that have just become durable, from the log to whoever follows it, through memory: a follower that keeps up reads nothing
//! from the disk, which the log needs for itself.
//!
//! **Runs on**: the shard at one end, the follower's thread at the other. **Owns**: two rings, one with blocks and one with buffers
//! on their way back.
//! **Invariants**: a block is handed over after it was synced and before anybody is told that it is durable; blocks come in
//! order, and some may be missing: the log's files have all of them. What comes is a copy, byte for byte.
//! **Bounds**: as many buffers as it was made with, of a block each; a page of one costs memory once a block has reached it.
//! **Never**: makes the log wait or allocate. With no buffer left the block is left out.

use ringbuf::{Consumer, Producer, ring};

use crate::block::{BlockHeader, peek_block};
use crate::identity::{LogIdentity, Lsn, SegmentNumber};
use crate::limits::BLOCK_BYTES_MAX;

/// Where records must stand to be read in place.
const ALIGNMENT: usize = 16;
/// Blocks on the way of a shard: at 1 ms a flush, what comes while a batch of the history is sent for 30 ms.
pub const BLOCKS: usize = 32;

/// A durable block.
struct Handed {
    segment: SegmentNumber,
    offset: u64,
    /// The block behind `lead` bytes, which are there for alignment only.
    bytes: Vec<u8>,
    lead: usize,
}

impl Handed {
    fn block(&self) -> &[u8] {
        &self.bytes[self.lead..]
    }
}

/// The log's end.
pub struct RelayWriter {
    blocks: Producer<Handed>,
    buffers: Consumer<Vec<u8>>,
}

/// The follower's end.
pub struct RelayReader {
    blocks: Consumer<Handed>,
    buffers: Producer<Vec<u8>>,
    /// The oldest block that is not done with.
    held: Option<(BlockHeader, Handed)>,
    records: u64,
}

/// A relay with so many buffers.
///
/// # Panics
/// When it is to have none.
#[must_use]
pub fn relay(blocks: usize) -> (RelayWriter, RelayReader) {
    let (block_in, block_out) = ring(blocks.next_power_of_two());
    let (mut buffer_in, buffer_out) = ring(blocks.next_power_of_two());
    for _ in 0..blocks {
        let buffer = Vec::with_capacity(BLOCK_BYTES_MAX + ALIGNMENT);
        buffer_in.push(buffer).expect("a ring has room for what it was made for");
    }
    let reader = RelayReader { blocks: block_out, buffers: buffer_in, held: None, records: 0 };
    (RelayWriter { blocks: block_in, buffers: buffer_out }, reader)
}

impl RelayWriter {
    /// Hands over the block that is durable at this place.
    pub(crate) fn give(&mut self, segment: SegmentNumber, offset: u64, block: &[u8]) {
        let Some(mut bytes) = self.buffers.pop() else { return };
        bytes.clear();
        let lead = bytes.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        bytes.resize(lead, 0);
        bytes.extend_from_slice(block);
        // There are no more blocks on the way than buffers.
        drop(self.blocks.push(Handed { segment, offset, bytes, lead }));
    }
}

/// A block that a follower may take records from.
pub(crate) struct Relayed<'a> {
    pub(crate) header: BlockHeader,
    pub(crate) segment: SegmentNumber,
    pub(crate) offset: u64,
    pub(crate) block: &'a [u8],
}

impl RelayReader {
    /// Records that were read here and not from files.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Notes records that were read.
    pub(crate) fn count(&mut self, records: usize) {
        self.records += records as u64;
    }

    /// The block that holds record `next`, if it is here. Blocks before it are let go; when one is missing, those after it stay.
    pub(crate) fn at(&mut self, next: Lsn, identity: &LogIdentity) -> Option<Relayed<'_>> {
        while self.held.as_ref().is_none_or(|(header, _)| header.next_lsn() <= next) {
            self.let_go();
            let handed = self.blocks.pop()?;
            match peek_block(handed.block(), identity, handed.segment) {
                Ok(header) => self.held = Some((header, handed)),
                // Of another log: a relay belongs to one.
                Err(_) => self.give_back(handed),
            }
        }
        let (header, handed) = self.held.as_ref()?;
        let is_here = header.first_lsn <= next || planted::planted!("missing_block_not_seen");
        is_here.then(|| Relayed {
            header: *header,
            segment: handed.segment,
            offset: handed.offset,
            block: handed.block(),
        })
    }

    /// The block that is held is done with.
    pub(crate) fn let_go(&mut self) {
        if let Some((_, handed)) = self.held.take() {
            self.give_back(handed);
        }
    }

    fn give_back(&mut self, handed: Handed) {
        // There are no more buffers than it has room for.
        drop(self.buffers.push(handed.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::{BlockBuilder, seal};
    use crate::identity::{BlockSequence, Epoch, Generation, Salt, ShardNumber};

    const IDENTITY: LogIdentity =
        LogIdentity { generation: Generation(1), shard: ShardNumber(0), salt: Salt(9) };

    /// A block of three records, the first of them `first`.
    fn block(first: u64) -> Vec<u8> {
        let mut builder = BlockBuilder::new(vec![0; BLOCK_BYTES_MAX], Lsn(first));
        (0..3).for_each(|_| builder.push_with(40, |bytes| bytes.fill(7)));
        let used = builder.used_bytes();
        let mut bytes =
            builder.close(&IDENTITY, Epoch(1), SegmentNumber(1), BlockSequence(first.div_ceil(3)));
        bytes.truncate(used);
        seal(&mut bytes);
        bytes
    }

    #[test]
    fn a_block_is_left_out_when_no_buffer_is_left_and_that_is_seen() {
        let (mut writer, mut reader) = relay(2);
        let give = |writer: &mut RelayWriter, first| writer.give(SegmentNumber(1), first, &block(first));
        [1, 4, 7].into_iter().for_each(|first| give(&mut writer, first));
        let at = |reader: &mut RelayReader, next| {
            reader.at(Lsn(next), &IDENTITY).map(|found| found.header.first_lsn.0)
        };
        assert_eq!(at(&mut reader, 2), Some(1));
        assert_eq!(at(&mut reader, 4), Some(4), "the first is let go");
        give(&mut writer, 10);
        assert_eq!(at(&mut reader, 7), None, "7 was left out");
        assert_eq!(at(&mut reader, 9), None, "and 10 waits");
        assert_eq!(at(&mut reader, 10), Some(10), "once the files have told the rest");
        assert_eq!(at(&mut reader, 13), None);
        let relayed = {
            give(&mut writer, 13);
            reader.at(Lsn(13), &IDENTITY).unwrap()
        };
        assert_eq!(relayed.block, block(13));
        assert_eq!(relayed.block.as_ptr().align_offset(ALIGNMENT), 0);
        assert_eq!((relayed.segment, relayed.offset), (SegmentNumber(1), 13));
    }

    #[test]
    fn a_block_of_another_log_is_not_given() {
        let (mut writer, mut reader) = relay(1);
        writer.give(SegmentNumber(1), 0, &block(1));
        assert!(reader.at(Lsn(1), &LogIdentity { salt: Salt(8), ..IDENTITY }).is_none());
        writer.give(SegmentNumber(1), 0, &block(1));
        assert!(reader.at(Lsn(1), &IDENTITY).is_some(), "its buffer came back");
    }

    #[test]
    fn a_log_whose_follower_is_gone_goes_on() {
        let (mut writer, reader) = relay(1);
        drop(reader);
        (0..3).for_each(|n| writer.give(SegmentNumber(1), n, &block(1)));
    }
}
