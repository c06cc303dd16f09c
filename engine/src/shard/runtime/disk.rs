//! Files and directories by direct I/O.
//!
//! **Runs on**: the tasks of one executor. Reads, writes and flushes are entries of its ring; what the kernel only does
//! synchronously (listing, making directories, renaming, removing, flushing a directory) runs on its helper thread.
//! **Invariants**: a buffer is the kernel's until its write ends, also when nobody waits for the write any more.
//! **Never**: waits for the disk on the shard's thread. (An open asks for the file system's type and, once per device,
//! reads its limits from `/sys`: memory, not disk. A length is read from the open inode.)

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use glommio::io::{DmaBuffer, DmaFile, OpenOptions};

use super::{GlommioRuntime, sys};
use crate::seam::{DISK_ALIGNMENT, Disk, DiskFile};

/// Who may read what is created: its owner. The log holds what users keep secret.
const MODE: u32 = 0o600;

/// Directories that are remembered as probed; a shard uses a handful, and more are only probed again.
const PROBED_MAX: usize = 64;

/// The host's disk, for tasks of one executor.
#[derive(Clone, Debug)]
pub struct GlommioDisk {
    runtime: GlommioRuntime,
    /// Directories whose device glommio knows; see [`GlommioDisk::probe`].
    probed: Rc<RefCell<Vec<PathBuf>>>,
    /// Opens existing files for reading only; see [`GlommioDisk::reading`].
    reads_only: bool,
    /// Files that are held open, with the names of their directory at that moment; see [`GlommioDisk::hold`].
    held: Rc<RefCell<BTreeMap<PathBuf, Held>>>,
}

/// A directory as it was at one moment.
#[derive(Debug)]
struct Held {
    names: Vec<String>,
    files: BTreeMap<PathBuf, fs::File>,
}

impl GlommioDisk {
    /// The disk for tasks of this executor.
    #[must_use]
    pub fn new(runtime: &GlommioRuntime) -> Self {
        Self { runtime: runtime.clone(), probed: Rc::default(), reads_only: false, held: Rc::default() }
    }

    /// The disk for looking at files that another process is writing to: existing ones are opened for reading only, and
    /// nothing waits for that process's writes or makes it wait. Reads are direct as always: through the page cache, a
    /// reader can make the kernel report the writer's next sync as failed.
    #[must_use]
    pub fn reading(runtime: &GlommioRuntime) -> Self {
        Self { reads_only: true, ..Self::new(runtime) }
    }

    /// Holds files of `dir` open: those that `choose` names, in its order, of the names that are there. From then on, until
    /// [`GlommioDisk::let_go`], [`Disk::list`] gives the names of this moment, and [`Disk::open`] the held files, also when
    /// their owner has removed them. A look at a busy server's directory then takes as long as it takes.
    ///
    /// # Errors
    /// `NotFound` when a file went before it could be held: try again. Whatever else the system answers.
    pub async fn hold(&self, dir: &Path, choose: fn(&[String]) -> Vec<String>) -> io::Result<()> {
        let from = dir.to_owned();
        let work = move || {
            let names = names_in(&from)?;
            let open = |name: &String| {
                let path = from.join(name);
                fs::File::open(&path).map(|file| (path, file))
            };
            let files = choose(&names).iter().map(open).collect::<io::Result<_>>()?;
            Ok::<_, io::Error>(Held { names, files })
        };
        let held = self.runtime.offload(work).await?;
        self.held.borrow_mut().insert(dir.to_owned(), held);
        Ok(())
    }

    /// Ends every [`GlommioDisk::hold`].
    pub fn let_go(&self) {
        self.held.borrow_mut().clear();
    }

    /// A descriptor of its own for a held file.
    fn held_file(&self, path: &Path) -> io::Result<Option<fs::File>> {
        let held = self.held.borrow();
        let found = held.get(&directory_of(path)).and_then(|dir| dir.files.get(path));
        found.map(fs::File::try_clone).transpose()
    }

    /// Lets glommio find out whether the device under `path` can be polled, before the first file is opened there.
    ///
    /// It asks by reading the beginning of whatever file comes first, and takes an empty read for a yes. A file that is new or
    /// empty would make it poll a device that cannot be polled, and every read of any file there would fail from then on
    /// ("Operation not supported"), in the whole process. So the first one is a file with something in it: the one to
    /// open, if it has (`len` says so when it is open already), else one without a name.
    async fn probe(&self, path: &Path, len: Option<u64>) -> io::Result<()> {
        let dir = directory_of(path);
        if self.probed.borrow().contains(&dir) {
            return Ok(());
        }
        let path = path.to_owned();
        let nameless = move || match len.or_else(|| fs::metadata(path).ok().map(|found| found.len())) {
            Some(len) if len >= DISK_ALIGNMENT as u64 => Ok(None),
            _ => filled_file(&dir).map(Some),
        };
        if let Some(file) = self.runtime.offload(nameless).await? {
            let path = format!("/proc/self/fd/{}", file.as_raw_fd());
            OpenOptions::new().read(true).dma_open(path).await?.close().await?;
        }
        Ok(())
    }

    async fn open_as(&self, path: &Path, options: &OpenOptions) -> io::Result<GlommioFile> {
        // glommio panics over it.
        if path.as_os_str().as_bytes().contains(&0) {
            let text = format!("the path {} has a NUL byte: no file can have that name", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        self.probe(path, None).await?;
        let file = options.dma_open(path).await?;
        self.note_probed(path);
        Ok(GlommioFile { file })
    }

    /// Opens a file that another process may rename or remove at any moment.
    ///
    /// glommio opens a path and then asks by the same path what kind of file system it is on, and panics when the name is
    /// gone by then. So the file is held open first, and glommio gets the name of that: it lasts as long as it is held.
    async fn open_elsewheres(&self, path: &Path) -> io::Result<GlommioFile> {
        let held = match self.held_file(path)? {
            Some(held) => held,
            None => {
                let name = path.to_owned();
                self.runtime.offload(move || fs::File::open(name)).await?
            }
        };
        self.probe(path, Some(held.metadata()?.len())).await?;
        let by_descriptor = format!("/proc/self/fd/{}", held.as_raw_fd());
        let file = OpenOptions::new().read(true).dma_open(by_descriptor).await?;
        self.note_probed(path);
        Ok(GlommioFile { file })
    }

    /// Remembers that glommio knows the device of this file's directory.
    fn note_probed(&self, path: &Path) {
        // Only now: before, another task could have taken the probe for done while it was under way.
        let (mut probed, dir) = (self.probed.borrow_mut(), directory_of(path));
        if !probed.contains(&dir) {
            if probed.len() >= PROBED_MAX {
                probed.clear();
            }
            probed.push(dir);
        }
    }
}

/// Where the file at `path` is.
fn directory_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The names in a directory, in order.
fn names_in(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        names.push(entry?.file_name().into_string().map_err(|name| {
            let text = format!("{} holds {name:?}, which is not UTF-8: move it elsewhere", dir.display());
            io::Error::new(io::ErrorKind::InvalidData, text)
        })?);
    }
    names.sort_unstable();
    Ok(names)
}

/// A file in `dir` with a page in it and without a name, so that nothing of it stays.
fn filled_file(dir: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).mode(MODE);
    let mut file = match options.clone().custom_flags(libc::O_TMPFILE).open(dir) {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            // A file system without nameless files: with a name for a moment.
            let path = dir.join(format!(".probe-{}-{:?}", std::process::id(), std::thread::current().id()));
            let file = options.create_new(true).open(&path)?;
            fs::remove_file(path)?;
            file
        }
        other => other?,
    };
    file.write_all(&[0; DISK_ALIGNMENT])?;
    Ok(file)
}

/// An open file.
#[derive(Debug)]
pub struct GlommioFile {
    file: DmaFile,
}

impl GlommioFile {
    /// Waits for writes to this file that a process left behind. The kernel does not: the direct writes of one that was killed
    /// go on after it is gone and its locks are free, and would land on what is written here (measured: 1 or 2 of 120 writes
    /// of 256 KiB landed after the next process had opened the file). Allocating what is allocated changes nothing, and has
    /// ext4, XFS and others wait for all direct I/O on the file.
    async fn await_earlier_writes(&self) {
        let Ok(bytes) = self.file.file_size().await else { return };
        if let Err(error) = self.file.pre_allocate(bytes, true).await {
            // A file system without it. Nothing depends on it but the wait.
            tracing::debug!(%error, "writes of an earlier process were not waited for");
        }
    }
}

/// Memory that direct I/O accepts: registered with the ring when small and there is some, else from the heap.
#[derive(Debug)]
pub struct GlommioBuffer(DmaBuffer);

impl AsRef<[u8]> for GlommioBuffer {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl AsMut<[u8]> for GlommioBuffer {
    fn as_mut(&mut self) -> &mut [u8] {
        self.0.as_bytes_mut()
    }
}

impl Disk for GlommioDisk {
    type File = GlommioFile;

    async fn open(&self, path: &Path) -> io::Result<GlommioFile> {
        if self.reads_only {
            return self.open_elsewheres(path).await;
        }
        let opened = self.open_as(path, OpenOptions::new().read(true).write(true)).await?;
        opened.await_earlier_writes().await;
        Ok(opened)
    }

    async fn create_new(&self, path: &Path) -> io::Result<GlommioFile> {
        self.open_as(path, OpenOptions::new().read(true).write(true).create_new(true).mode(MODE)).await
    }

    async fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let dir: PathBuf = dir.to_owned();
        if let Some(held) = self.held.borrow().get(&dir) {
            return Ok(held.names.clone());
        }
        let list = move || names_in(&dir);
        self.runtime.offload(list).await
    }

    async fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let dir: PathBuf = dir.to_owned();
        self.runtime.offload(move || fs::create_dir_all(dir)).await
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to): (PathBuf, PathBuf) = (from.to_owned(), to.to_owned());
        self.runtime.offload(move || fs::rename(from, to)).await
    }

    async fn remove(&self, path: &Path) -> io::Result<()> {
        let path: PathBuf = path.to_owned();
        self.runtime.offload(move || fs::remove_file(path)).await
    }

    async fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        // glommio's `Directory::sync` is an fdatasync, and that need not flush a directory whose size is the same.
        let dir: PathBuf = dir.to_owned();
        self.runtime.offload(move || fs::File::open(dir)?.sync_all()).await
    }
}

impl GlommioFile {
    /// Writes `data`, of whole pages, from memory of its own: for what a short write has left.
    async fn write_copy(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let mut written = 0;
        while written < data.len() {
            let mut rest = self.file.alloc_dma_buffer(data.len() - written);
            rest.as_bytes_mut().copy_from_slice(&data[written..]);
            let count = self.file.write_at(rest, offset + written as u64).await?;
            written += whole_pages(count)?;
        }
        Ok(())
    }
}

/// The whole pages of `count` written bytes: a page that was begun is written again, for direct I/O begins at pages.
fn whole_pages(count: usize) -> io::Result<usize> {
    match count - count % DISK_ALIGNMENT {
        0 => Err(io::Error::new(io::ErrorKind::WriteZero, "the disk took less than a page: is it full?")),
        whole => Ok(whole),
    }
}

impl DiskFile for GlommioFile {
    type Buffer = GlommioBuffer;

    fn buffer(&self, len: usize) -> GlommioBuffer {
        assert!(len > 0, "a buffer has at least one byte");
        let mut buffer = self.file.alloc_dma_buffer(len);
        buffer.as_bytes_mut().fill(0);
        GlommioBuffer(buffer)
    }

    async fn len(&self) -> io::Result<u64> {
        // glommio's own asks by the path that the file was opened by, which may be another file's by now.
        sys::file_len(self.file.as_raw_fd())
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

    async fn write_at(&self, buffer: GlommioBuffer, len: usize, offset: u64) -> io::Result<GlommioBuffer> {
        let whole = buffer.0.len();
        assert!(len > 0 && len <= whole && len.is_multiple_of(DISK_ALIGNMENT), "whole pages of the buffer");
        let lent = sys::Lent::new(buffer.0, len);
        let count = self.file.write_rc_at(lent.beginning(), offset).await?;
        let buffer = lent.take_back();
        if count < len {
            let done = whole_pages(count)?;
            self.write_copy(&buffer.as_bytes()[done..len], offset + done as u64).await?;
        }
        Ok(GlommioBuffer(buffer))
    }

    async fn sync_data(&self) -> io::Result<()> {
        Ok(self.file.fdatasync().await?)
    }

    async fn close(self) -> io::Result<()> {
        Ok(self.file.close().await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_write_goes_on_at_a_page() {
        assert_eq!(whole_pages(2 * DISK_ALIGNMENT).unwrap(), 2 * DISK_ALIGNMENT);
        assert_eq!(whole_pages(2 * DISK_ALIGNMENT + 512).unwrap(), 2 * DISK_ALIGNMENT);
        assert_eq!(whole_pages(512).map_err(|error| error.kind()), Err(io::ErrorKind::WriteZero));
        assert_eq!(whole_pages(0).map_err(|error| error.kind()), Err(io::ErrorKind::WriteZero));
    }
}
