//! Files and directories by direct I/O.
//!
//! What the kernel can only do synchronously (listing and making directories) runs on the executor's helper thread.

use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use glommio::io::{Directory, DmaFile, OpenOptions};

use super::GlommioRuntime;
use crate::seam::{DISK_ALIGNMENT, Disk, DiskFile};

/// The host's disk, for tasks of one executor.
#[derive(Clone, Debug)]
pub struct GlommioDisk {
    _runtime: GlommioRuntime,
}

impl GlommioDisk {
    /// The disk for tasks of this executor.
    #[must_use]
    pub fn new(runtime: &GlommioRuntime) -> Self {
        Self { _runtime: runtime.clone() }
    }
}

/// An open file.
#[derive(Debug)]
pub struct GlommioFile {
    file: Rc<DmaFile>,
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    glommio::executor().spawn_blocking(work).await
}

impl Disk for GlommioDisk {
    type File = GlommioFile;

    async fn open(&self, path: &Path) -> io::Result<GlommioFile> {
        let file = OpenOptions::new().read(true).write(true).dma_open(path).await?;
        Ok(GlommioFile { file: Rc::new(file) })
    }

    async fn create_new(&self, path: &Path) -> io::Result<GlommioFile> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).dma_open(path).await?;
        Ok(GlommioFile { file: Rc::new(file) })
    }

    async fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let dir: PathBuf = dir.to_owned();
        blocking(move || {
            let mut names = Vec::new();
            for entry in std::fs::read_dir(dir)? {
                names.push(entry?.file_name().to_string_lossy().into_owned());
            }
            names.sort_unstable();
            Ok(names)
        })
        .await
    }

    async fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let dir: PathBuf = dir.to_owned();
        blocking(move || std::fs::create_dir_all(dir)).await
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Ok(glommio::io::rename(from, to).await?)
    }

    async fn remove(&self, path: &Path) -> io::Result<()> {
        Ok(glommio::io::remove(path).await?)
    }

    async fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let dir = Directory::open(dir).await?;
        dir.sync().await?;
        Ok(dir.close().await?)
    }
}

/// Plain memory, copied into the executor's registered or aligned memory for a write.
pub(super) type FileBuffer = Vec<u8>;

impl DiskFile for GlommioFile {
    type Buffer = FileBuffer;

    fn buffer(&self, len: usize) -> FileBuffer {
        vec![0; len]
    }

    async fn len(&self) -> io::Result<u64> {
        Ok(self.file.file_size().await?)
    }

    async fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut all = Vec::with_capacity(len);
        // The kernel may read less than was asked for; only nothing means the end.
        while all.len() < len {
            let part = self.file.read_at_aligned(offset + all.len() as u64, len - all.len()).await?;
            if part.is_empty() {
                break;
            }
            all.extend_from_slice(&part);
            if !part.len().is_multiple_of(DISK_ALIGNMENT) {
                break;
            }
        }
        Ok(all)
    }

    async fn write_at(&self, buffer: FileBuffer, len: usize, offset: u64) -> io::Result<FileBuffer> {
        assert!(len <= buffer.len() && len.is_multiple_of(DISK_ALIGNMENT), "whole pages of the buffer");
        let mut written = 0;
        while written < len {
            // glommio's buffers can be shortened but not lengthened again, so ours are copied into one of the right size.
            let mut direct = self.file.alloc_dma_buffer(len - written);
            direct.as_bytes_mut().copy_from_slice(&buffer[written..len]);
            let count = self.file.write_at(direct, offset + written as u64).await?;
            if count == 0 || !count.is_multiple_of(DISK_ALIGNMENT) {
                return Err(io::Error::new(io::ErrorKind::WriteZero, "the disk took a part of a page"));
            }
            written += count;
        }
        Ok(buffer)
    }

    async fn sync_data(&self) -> io::Result<()> {
        Ok(self.file.fdatasync().await?)
    }

    async fn close(self) -> io::Result<()> {
        match Rc::try_unwrap(self.file) {
            Ok(file) => Ok(file.close().await?),
            Err(_) => Ok(()),
        }
    }
}
