//! A disk that is only read, with ordinary blocking calls: for threads that are no shard's, such as the projectors'.
//!
//! **Invariants**: reads go past the page cache where the file system can (O_DIRECT), as the shards' writes do, so that a page
//! read while it is being written is never kept and given out again.
//! **Never**: creates, changes or removes anything: such calls are errors.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use engine::seam::{DISK_ALIGNMENT, Disk, DiskFile};

/// See the module's head.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadOnlyDisk;

/// An open file of it.
#[derive(Debug)]
pub struct ReadOnlyFile(File);

fn refused<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "this side only reads"))
}

impl Disk for ReadOnlyDisk {
    type File = ReadOnlyFile;

    async fn open(&self, path: &Path) -> io::Result<ReadOnlyFile> {
        match OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path) {
            // A file system that knows no direct I/O has no pages beside its files either.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => File::open(path),
            opened => opened,
        }
        .map(ReadOnlyFile)
    }

    async fn create_new(&self, _: &Path) -> io::Result<ReadOnlyFile> {
        refused()
    }

    async fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        Ok(names)
    }

    async fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    async fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused()
    }

    async fn remove(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    async fn sync_dir(&self, _: &Path) -> io::Result<()> {
        refused()
    }
}

impl DiskFile for ReadOnlyFile {
    type Buffer = Vec<u8>;

    fn buffer(&self, len: usize) -> Vec<u8> {
        vec![0; len]
    }

    async fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    async fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut memory = vec![0; len + DISK_ALIGNMENT];
        let lead = memory.as_ptr().align_offset(DISK_ALIGNMENT);
        let mut filled = 0;
        while filled < len {
            match self.0.read_at(&mut memory[lead + filled..lead + len], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            // What is not whole pages is the end of the file.
            if filled % DISK_ALIGNMENT != 0 {
                break;
            }
        }
        memory.copy_within(lead..lead + filled, 0);
        memory.truncate(filled);
        Ok(memory)
    }

    async fn write_at(&self, _: Vec<u8>, _: usize, _: u64) -> io::Result<Vec<u8>> {
        refused()
    }

    async fn sync_data(&self) -> io::Result<()> {
        refused()
    }

    async fn close(self) -> io::Result<()> {
        Ok(())
    }
}
