//! Copying one shard's surveyed files.
//!
//! **Invariants**: every file has its full length and is synced before its directory is; what is behind the cut is zeros, so a
//! server that goes on in a restored segment finds it prepared as always.

use super::survey::{Cut, ShardSurvey};
use crate::block::{self, BlockBuilder, BlockHeader};
use crate::error::StorageError;
use crate::generation::ShardHome;
use crate::identity::SegmentNumber;
use crate::limits::{BLOCK_BYTES_MAX, PAGE_BYTES, ZERO_CHUNK_BYTES, in_memory, whole_pages};
use crate::path;
use engine::seam::{Disk, DiskFile};
use std::path::PathBuf;

/// Copies a shard to `home`, whose directory is there and empty.
pub(super) async fn shard<D: Disk>(
    from: &D,
    survey: &ShardSurvey,
    to: &D,
    home: &ShardHome,
) -> Result<(), StorageError> {
    for snapshot in &survey.snapshots {
        let name = path::snapshot_name(snapshot.start);
        let pair = Pair::open(from, survey.home.dir().join(&name), to, home.dir().join(&name)).await?;
        let len = pair.source_len().await?;
        pair.bytes(0, len).await?;
        pair.finish().await?;
    }
    for &number in &survey.segments {
        let name = path::segment_name(number);
        let pair = Pair::open(from, survey.home.dir().join(&name), to, home.dir().join(&name)).await?;
        segment(&pair, number, survey.cut.as_ref(), home).await?;
        pair.finish().await?;
    }
    to.sync_dir(home.dir()).await.map_err(StorageError::io("sync", home.dir()))
}

async fn segment<F: DiskFile>(
    pair: &Pair<F>,
    number: SegmentNumber,
    cut: Option<&Cut>,
    home: &ShardHome,
) -> Result<(), StorageError> {
    let len = pair.source_len().await?;
    let mut end = match cut {
        Some(cut) if number < cut.segment => len,
        Some(cut) if number == cut.segment => cut.bytes,
        _ => PAGE_BYTES as u64,
    };
    pair.bytes(0, end).await?;
    if let Some(Cut { segment, part: Some((header, kept)), .. }) = cut
        && *segment == number
    {
        end += pair.part(end, header, *kept, home).await?;
    }
    pair.zeros(end, len).await
}

/// A file and the copy that is made of it.
struct Pair<F> {
    source: F,
    source_path: PathBuf,
    target: F,
    target_path: PathBuf,
}

impl<F: DiskFile> Pair<F> {
    async fn open<D: Disk<File = F>>(
        from: &D,
        source_path: PathBuf,
        to: &D,
        target_path: PathBuf,
    ) -> Result<Self, StorageError> {
        let source = from.open(&source_path).await.map_err(StorageError::io("open", &source_path))?;
        let target = to.create_new(&target_path).await.map_err(StorageError::io("create", &target_path))?;
        Ok(Self { source, source_path, target, target_path })
    }

    async fn source_len(&self) -> Result<u64, StorageError> {
        self.source.len().await.map_err(StorageError::io("measure", &self.source_path))
    }

    async fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, StorageError> {
        let bytes = self.source.read_at(offset, len).await;
        let bytes = bytes.map_err(StorageError::io("read", &self.source_path))?;
        if bytes.len() == len {
            return Ok(bytes);
        }
        let short = offset + bytes.len() as u64;
        Err(StorageError::corrupt(&self.source_path, short, "the file became shorter while it was copied"))
    }

    /// Copies from `offset` to `end`.
    async fn bytes(&self, mut offset: u64, end: u64) -> Result<(), StorageError> {
        let mut buffer = self.target.buffer(ZERO_CHUNK_BYTES);
        while offset < end {
            let len = in_memory(end - offset).min(ZERO_CHUNK_BYTES);
            let bytes = self.read(offset, len).await?;
            buffer.as_mut()[..len].copy_from_slice(&bytes);
            buffer = self.write(buffer, len, offset).await?;
            offset += len as u64;
        }
        Ok(())
    }

    async fn zeros(&self, mut offset: u64, end: u64) -> Result<(), StorageError> {
        let mut buffer = self.target.buffer(ZERO_CHUNK_BYTES);
        while offset < end {
            let len = in_memory(end - offset).min(ZERO_CHUNK_BYTES);
            buffer = self.write(buffer, len, offset).await?;
            offset += len as u64;
        }
        Ok(())
    }

    /// Writes the block at `offset` again with its first `kept` records only; gives what it takes.
    async fn part(
        &self,
        offset: u64,
        header: &BlockHeader,
        kept: u32,
        home: &ShardHome,
    ) -> Result<u64, StorageError> {
        let bytes = self.read(offset, header.padded_bytes()).await?;
        // It was checked by the survey; a disk that gives other bytes now must not get past this.
        block::check_block(&bytes, header)
            .map_err(|fault| StorageError::corrupt(&self.source_path, offset, fault.to_string()))?;
        let mut builder = BlockBuilder::new(self.target.buffer(BLOCK_BYTES_MAX), header.first_lsn);
        for (_, record) in block::records(&bytes, header).take(in_memory(u64::from(kept))) {
            builder.push_with(record.len(), |place| place.copy_from_slice(record));
        }
        let used = builder.used_bytes();
        let mut buffer = builder.close(home.identity(), header.epoch, header.segment, header.sequence);
        block::seal(&mut buffer.as_mut()[..used]);
        self.write(buffer, whole_pages(used), offset).await?;
        Ok(whole_pages(used) as u64)
    }

    async fn write(&self, buffer: F::Buffer, len: usize, offset: u64) -> Result<F::Buffer, StorageError> {
        let written = self.target.write_at(buffer, len, offset).await;
        written.map_err(StorageError::io("write", &self.target_path))
    }

    async fn finish(self) -> Result<(), StorageError> {
        self.target.sync_data().await.map_err(StorageError::io("sync", &self.target_path))?;
        self.target.close().await.map_err(StorageError::io("close", &self.target_path))?;
        self.source.close().await.map_err(StorageError::io("close", &self.source_path))
    }
}
