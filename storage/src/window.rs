//! Reading a file front to back in large chunks, with every byte range of bounded size contiguous in memory.

use crate::limits::{PAGE_BYTES, READ_CHUNK_BYTES, in_memory, whole_pages};
use engine::seam::DiskFile;
use std::io;

const ALIGNMENT: usize = 16;
/// What is read at once where the file was read to its end a moment ago: whoever follows a log that grows finds little there, and
/// comes often.
const TAIL_BYTES: usize = 64 << 10;

/// A file, its length, and the chunk of it that is in memory.
///
/// **Invariants**: a range that starts at a multiple of 16 in the file is 16-byte aligned in memory.
pub(crate) struct Window<F> {
    file: F,
    len: u64,
    chunk: Vec<u8>,
    /// Bytes before the data in `chunk`, there for alignment only.
    lead: usize,
    chunk_at: u64,
    /// How much is read at once: doubled with each read that follows another, up to [`READ_CHUNK_BYTES`].
    reach: usize,
}

impl<F: DiskFile> Window<F> {
    pub(crate) async fn new(file: F) -> io::Result<Self> {
        let len = file.len().await?;
        Ok(Self { file, len, chunk: Vec::new(), lead: 0, chunk_at: 0, reach: READ_CHUNK_BYTES })
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The next range is read again, whatever is in memory, and little beyond it.
    pub(crate) fn forget(&mut self) {
        self.reach = TAIL_BYTES;
        self.chunk.clear();
        self.lead = 0;
    }

    pub(crate) async fn close(self) -> io::Result<()> {
        self.file.close().await
    }

    /// The bytes from `offset` on that are in memory now: at least `want`, unless the file ends before.
    pub(crate) async fn at(&mut self, offset: u64, want: usize) -> io::Result<&[u8]> {
        let end = self.len.min(offset + want as u64);
        let loaded_end = self.chunk_at + (self.chunk.len() - self.lead) as u64;
        if offset < self.chunk_at || end > loaded_end {
            let page = offset - offset % PAGE_BYTES as u64;
            self.load(page, whole_pages(in_memory(end.saturating_sub(page)))).await?;
        }
        let from = self.lead + in_memory(offset - self.chunk_at);
        Ok(self.chunk.get(from..).unwrap_or_default())
    }

    async fn load(&mut self, page: u64, at_least: usize) -> io::Result<()> {
        self.chunk = self.file.read_at(page, at_least.max(self.reach)).await?;
        self.reach = (2 * self.reach).min(READ_CHUNK_BYTES);
        self.chunk_at = page;
        self.lead = 0;
        let short = self.chunk.len() < at_least && page + (self.chunk.len() as u64) < self.len;
        if short {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file became shorter while it was read",
            ));
        }
        if self.chunk.as_ptr().align_offset(ALIGNMENT) != 0 {
            self.realign();
        }
        Ok(())
    }

    /// Allocators align large vectors to 16 anyway; this is for those that do not.
    fn realign(&mut self) {
        let mut moved = Vec::<u8>::with_capacity(self.chunk.len() + ALIGNMENT);
        self.lead = moved.as_ptr().align_offset(ALIGNMENT);
        moved.resize(self.lead, 0);
        moved.extend_from_slice(&self.chunk);
        self.chunk = moved;
    }
}
