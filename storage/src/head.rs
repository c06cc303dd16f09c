//! The first page of every segment and snapshot: what the file is and which log it belongs to.
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | magic: `CBCSEGMT` or `CBCSNAPS` |
//! | 8..10, 10..12, 12..16 | format version, shard, generation |
//! | 16..24 | salt |
//! | 24..32 | segment: its number; snapshot: its start LSN |
//! | 32..40 | segment: length of the file; snapshot: zero |
//! | 40..4092 | zero |
//! | 4092..4096 | CRC-32C of all before it |
//!
//! Magic, version and checksum keep their places in every later version, so that an older program can tell a newer
//! file from a damaged one.

use crate::block::{FORMAT_VERSION, u16_at, u32_at, u64_at};
use crate::error::StorageError;
use crate::identity::{Generation, LogIdentity, Salt, ShardNumber};
use crate::limits::PAGE_BYTES;
use std::path::Path;

const CRC_AT: usize = PAGE_BYTES - 4;

/// Which kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Segment,
    Snapshot,
}

impl FileKind {
    const fn magic(self) -> [u8; 8] {
        match self {
            Self::Segment => *b"CBCSEGMT",
            Self::Snapshot => *b"CBCSNAPS",
        }
    }
}

/// The content of a head page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: FileKind,
    pub(crate) identity: LogIdentity,
    /// Segment number or start LSN.
    pub(crate) number: u64,
    /// Length of a segment's file; 0 for a snapshot.
    pub(crate) file_bytes: u64,
}

impl Head {
    /// Fills the first page of `page`.
    pub(crate) fn encode(&self, page: &mut [u8]) {
        let page = &mut page[..PAGE_BYTES];
        page.fill(0);
        page[..8].copy_from_slice(&self.kind.magic());
        page[8..10].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        page[10..12].copy_from_slice(&self.identity.shard.0.to_le_bytes());
        page[12..16].copy_from_slice(&self.identity.generation.0.to_le_bytes());
        page[16..24].copy_from_slice(&self.identity.salt.0.to_le_bytes());
        page[24..32].copy_from_slice(&self.number.to_le_bytes());
        page[32..40].copy_from_slice(&self.file_bytes.to_le_bytes());
        let crc = crc32c::crc32c(&page[..CRC_AT]);
        page[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
    }

    /// Reads the head of `file`, which must be of `kind` and carry `number` in its name.
    pub(crate) fn decode(
        page: &[u8],
        kind: FileKind,
        number: u64,
        file: &Path,
    ) -> Result<Self, StorageError> {
        let Some(page) = page.get(..PAGE_BYTES) else {
            return Err(StorageError::corrupt(file, 0, "the file is shorter than its first page"));
        };
        if page[..8] != kind.magic() {
            return Err(StorageError::corrupt(file, 0, "the file does not begin as one of its kind"));
        }
        if crc32c::crc32c(&page[..CRC_AT]) != u32_at(page, CRC_AT) {
            return Err(StorageError::corrupt(file, 0, "the checksum of the first page does not match"));
        }
        let version = u16_at(page, 8);
        if version > FORMAT_VERSION {
            return Err(StorageError::NewerVersion {
                file: file.to_owned(),
                found: version,
                known: FORMAT_VERSION,
            });
        }
        let head = Self {
            kind,
            identity: LogIdentity {
                shard: ShardNumber(u16_at(page, 10)),
                generation: Generation(u32_at(page, 12)),
                salt: Salt(u64_at(page, 16)),
            },
            number: u64_at(page, 24),
            file_bytes: u64_at(page, 32),
        };
        if head.number != number {
            let reason = format!("the file's name says {number}, its first page {}", head.number);
            return Err(StorageError::corrupt(file, 0, reason));
        }
        Ok(head)
    }

    /// The head again, if it belongs to `identity`.
    pub(crate) fn of(self, identity: &LogIdentity, file: &Path) -> Result<Self, StorageError> {
        if self.identity == *identity {
            return Ok(self);
        }
        Err(StorageError::corrupt(file, 0, "the file belongs to another shard, generation or data directory"))
    }
}
