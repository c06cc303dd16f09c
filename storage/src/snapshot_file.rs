//! The snapshot file: its layout and reading it back.
//!
//! After the head page come sections, each at a multiple of 16, then one footer, then zeros to the end of its page, which
//! is the end of the file. Integers are little-endian.
//!
//! | section | |
//! |---|---|
//! | 0..4, 4..8, 8..16 | `SECT`, length of the bytes, index from 0 |
//! | 16..20, 20..32 | CRC-32C of the first 16 bytes and the bytes; zero |
//! | 32.. | the bytes, zeros up to a multiple of 16 |
//!
//! | footer | |
//! |---|---|
//! | 0..4, 4..8 | `DONE`, zero |
//! | 8..16, 16..24 | number of sections, bytes in them |
//! | 24..32, 32..40 | last record reflected, segment written to at the time (0: none is needed) |
//! | 40..44, 44..60 | CRC-32C of all section checksums in order; zero |
//! | 60..64 | CRC-32C of the first 60 bytes |
//!
//! **Bounds**: reading gives way to other work of its thread after each [`TURN_BYTES`]: a shard reads beside its orders.
//! **Never**: hands a section out of a file that has not been checked to its end; see [`read`].

use crate::block::{is_zero, u32_at, u64_at};
use crate::error::{RecoverError, StorageError};
use crate::head::{FileKind, Head};
use crate::identity::{LogIdentity, Lsn, SegmentNumber};
use crate::limits::{LSN_BOUND, PAGE_BYTES, SECTION_BYTES_MAX};
use crate::snapshot::DurableSnapshot;
use crate::window::Window;
use engine::seam::{Disk, DiskFile};
use futures_lite::future::yield_now;
use std::path::Path;

pub(crate) const SECTION_HEADER_BYTES: usize = 32;
pub(crate) const FOOTER_BYTES: usize = 64;
pub(crate) const SECTION_ALIGNMENT: usize = 16;
/// Bytes of sections that are checked in one turn: some ten microseconds.
const TURN_BYTES: usize = 64 << 10;
const SECTION_MAGIC: [u8; 4] = *b"SECT";
const FOOTER_MAGIC: [u8; 4] = *b"DONE";

/// The header of a section, and its checksum for the footer's.
pub(crate) fn section_header(index: u64, bytes: &[u8]) -> ([u8; SECTION_HEADER_BYTES], u32) {
    let mut header = [0; SECTION_HEADER_BYTES];
    let length = u32::try_from(bytes.len()).expect("a section is at most SECTION_BYTES_MAX");
    header[..4].copy_from_slice(&SECTION_MAGIC);
    header[4..8].copy_from_slice(&length.to_le_bytes());
    header[8..16].copy_from_slice(&index.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&header[..16]), bytes);
    header[16..20].copy_from_slice(&crc.to_le_bytes());
    (header, crc)
}

/// What a footer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) sections: u64,
    pub(crate) bytes: u64,
    pub(crate) reflects: Lsn,
    pub(crate) segment: SegmentNumber,
    pub(crate) sections_crc: u32,
}

impl Footer {
    pub(crate) fn encode(&self) -> [u8; FOOTER_BYTES] {
        let mut footer = [0; FOOTER_BYTES];
        footer[..4].copy_from_slice(&FOOTER_MAGIC);
        footer[8..16].copy_from_slice(&self.sections.to_le_bytes());
        footer[16..24].copy_from_slice(&self.bytes.to_le_bytes());
        footer[24..32].copy_from_slice(&self.reflects.0.to_le_bytes());
        footer[32..40].copy_from_slice(&self.segment.0.to_le_bytes());
        footer[40..44].copy_from_slice(&self.sections_crc.to_le_bytes());
        let crc = crc32c::crc32c(&footer[..60]);
        footer[60..].copy_from_slice(&crc.to_le_bytes());
        footer
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let footer = bytes.first_chunk::<FOOTER_BYTES>()?;
        let good = footer[..4] == FOOTER_MAGIC && crc32c::crc32c(&footer[..60]) == u32_at(footer, 60);
        good.then(|| Self {
            sections: u64_at(footer, 8),
            bytes: u64_at(footer, 16),
            reflects: Lsn(u64_at(footer, 24)),
            segment: SegmentNumber(u64_at(footer, 32)),
            sections_crc: u32_at(footer, 40),
        })
    }
}

/// Extends the checksum over all sections by the next one's.
pub(crate) fn extend_sections_crc(all: u32, section: u32) -> u32 {
    crc32c::crc32c_append(all, &section.to_le_bytes())
}

/// The last record that a snapshot says it reflects, by its end alone; `None` when that is no end of a snapshot. Two pages are
/// read: enough to pass over it, never to rely on it.
pub(crate) async fn claims<D: Disk>(disk: &D, path: &Path) -> Result<Option<Lsn>, StorageError> {
    let file = disk.open(path).await.map_err(StorageError::io("open", path))?;
    let mut window = Window::new(file).await.map_err(StorageError::io("measure", path))?;
    window.forget();
    let page = PAGE_BYTES as u64;
    // The footer may begin on the last page but one.
    let from = (window.len().div_ceil(page) * page).saturating_sub(2 * page);
    let end = window.at(from, 2 * PAGE_BYTES).await.map_err(StorageError::io("read", path))?;
    let footer = (0..end.len()).step_by(SECTION_ALIGNMENT).rev().find_map(|at| Footer::decode(&end[at..]));
    let reflects = footer.map(|footer| footer.reflects);
    window.close().await.map_err(StorageError::io("close", path))?;
    Ok(reflects)
}

/// Checks a snapshot from head to end, calling `visit` with index, offset and bytes of each section as it goes: so the
/// caller of this function reads twice and acts on the second pass only.
pub(crate) async fn read<D: Disk, E>(
    disk: &D,
    path: &Path,
    start: Lsn,
    identity: Option<&LogIdentity>,
    visit: &mut impl FnMut(u64, u64, &[u8]) -> Result<(), E>,
) -> Result<DurableSnapshot, RecoverError<E>> {
    let io = |operation| StorageError::io(operation, path);
    let file = disk.open(path).await.map_err(io("open"))?;
    let mut window = Window::new(file).await.map_err(io("measure"))?;
    let result = check(&mut window, path, start, identity, visit).await;
    window.close().await.map_err(io("close"))?;
    result
}

async fn check<F: DiskFile, E>(
    window: &mut Window<F>,
    path: &Path,
    start: Lsn,
    identity: Option<&LogIdentity>,
    visit: &mut impl FnMut(u64, u64, &[u8]) -> Result<(), E>,
) -> Result<DurableSnapshot, RecoverError<E>> {
    let corrupt = |offset, reason: &str| RecoverError::Storage(StorageError::corrupt(path, offset, reason));
    let page = window.at(0, PAGE_BYTES).await.map_err(StorageError::io("read", path))?;
    let head = Head::decode(page, FileKind::Snapshot, start.0, path)?;
    if let Some(identity) = identity {
        head.of(identity, path)?;
    }
    let (mut offset, mut sections, mut bytes, mut all) = (PAGE_BYTES as u64, 0_u64, 0_u64, 0_u32);
    let mut turn = 0;
    let footer = loop {
        let here = window.at(offset, FOOTER_BYTES).await.map_err(StorageError::io("read", path))?;
        if let Some(footer) = Footer::decode(here) {
            break footer;
        }
        if !here.starts_with(&SECTION_MAGIC) || here.len() < SECTION_HEADER_BYTES {
            return Err(corrupt(offset, "neither a section nor the end is here"));
        }
        let length = u32_at(here, 4) as usize;
        if length > SECTION_BYTES_MAX || u64_at(here, 8) != sections {
            return Err(corrupt(offset, "the section's header is wrong"));
        }
        let whole = SECTION_HEADER_BYTES + length;
        let padded = whole.next_multiple_of(SECTION_ALIGNMENT);
        let here = window.at(offset, padded).await.map_err(StorageError::io("read", path))?;
        let (Some(payload), Some(padding)) = (here.get(SECTION_HEADER_BYTES..whole), here.get(whole..padded))
        else {
            return Err(corrupt(offset, "the section is cut off"));
        };
        let (header, crc) = section_header(sections, payload);
        if !here.starts_with(&header) || !is_zero(padding) {
            return Err(corrupt(offset, "the section's checksum does not match"));
        }
        let at = offset + SECTION_HEADER_BYTES as u64;
        visit(sections, at, payload).map_err(|source| RecoverError::Visitor {
            file: path.to_owned(),
            offset: at,
            source,
        })?;
        all = extend_sections_crc(all, crc);
        (sections, bytes) = (sections + 1, bytes + length as u64);
        offset += padded as u64;
        turn += padded;
        if turn >= TURN_BYTES {
            turn = 0;
            yield_now().await;
        }
    };
    let end = offset + FOOTER_BYTES as u64;
    let rest = window.at(end, PAGE_BYTES).await.map_err(StorageError::io("read", path))?;
    let whole = (footer.sections, footer.bytes, footer.sections_crc) == (sections, bytes, all);
    // What every writer of a snapshot asserts, so that nobody counts below zero or beyond the end after it.
    let in_order = start.0 > 0 && footer.reflects.0 >= start.0 - 1 && footer.reflects.0 < LSN_BOUND;
    if !whole || !in_order || rest.len() >= PAGE_BYTES || !is_zero(rest) {
        return Err(corrupt(offset, "the end does not match what comes before or after it"));
    }
    Ok(DurableSnapshot {
        path: path.to_owned(),
        start,
        reflects: footer.reflects,
        segment: footer.segment,
        sections,
        bytes,
    })
}
