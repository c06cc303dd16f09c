//! A disk whose process dies at an operation of one's choice: for `api/tests/failpoints.rs`, and in no normal build.
//!
//! `COINBITCLUB_KILL_AT` says where: `17:before` is the 17th operation that changes something, over all shards;
//! `write seg-.log 3:torn` the third one of its kind, the file named without its digits. The moments are `before` and
//! `after` the operation, `torn` (a write of which only the first sectors were made), and `power`: before it, and whatever
//! was not synced by then is undone, names as well as bytes. `COINBITCLUB_DISK_TRACE` names a file that gets a line per operation.
//!
//! **Runs on**: every executor of the process; what is counted is common to them. **Owns**: what is needed to undo what was
//! not synced.
//! **Invariants**: from the moment of death on no operation of any shard begins or ends, so nobody is told of one that is undone.
//! **Never**: part of a normal build; careful about the shard's time.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use engine::seam::{DISK_ALIGNMENT, Disk, DiskFile};
use engine::shard::runtime::{GlommioBuffer, GlommioDisk, GlommioFile, GlommioRuntime};

/// Bytes that a device writes as one.
const SECTOR_BYTES: usize = 512;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Moment {
    Before,
    After,
    Torn,
    Power,
}

/// Where the process dies.
struct Plan {
    /// Which operations count; all when empty.
    which: String,
    at: u64,
    moment: Moment,
}

impl Plan {
    fn parse(text: &str) -> Option<Self> {
        let (place, moment) = text.rsplit_once(':')?;
        let (which, at) = place.rsplit_once(' ').unwrap_or(("", place));
        let moment = match moment {
            "before" => Moment::Before,
            "after" => Moment::After,
            "torn" => Moment::Torn,
            "power" => Moment::Power,
            _ => return None,
        };
        Some(Self { which: which.to_owned(), at: at.parse().ok()?, moment })
    }
}

/// The inode of a file.
type Inode = (u64, u64);

/// How to take an operation back.
enum Undo {
    Write { file: Arc<File>, inode: Inode, offset: u64, before: Vec<u8>, length: u64, ended: bool },
    Made(PathBuf),
    Renamed { from: PathBuf, to: PathBuf, replaced: Option<File> },
    Removed { path: PathBuf, file: File },
}

impl Undo {
    fn is_name_in(&self, dir: &Path) -> bool {
        match self {
            Self::Write { .. } => false,
            Self::Made(path) | Self::Renamed { to: path, .. } | Self::Removed { path, .. } => {
                path.parent() == Some(dir)
            }
        }
    }

    fn take_back(self) -> io::Result<()> {
        match self {
            Self::Write { file, offset, before, length, .. } => {
                write(&file, &before, offset)?;
                file.set_len(length)
            }
            // What is below a lost directory is lost.
            Self::Made(path) if path.is_dir() => fs::remove_dir_all(path),
            Self::Made(path) => fs::remove_file(path),
            Self::Renamed { from, to, replaced } => {
                fs::rename(&to, from)?;
                replaced.map_or(Ok(()), |file| restore(&to, &file))
            }
            Self::Removed { path, file } => restore(&path, &file),
        }
    }
}

/// A slice of so many bytes of `memory` that direct I/O accepts.
fn aligned(memory: &mut Vec<u8>, len: usize) -> &mut [u8] {
    memory.resize(len + DISK_ALIGNMENT, 0);
    let from = memory.as_ptr().align_offset(DISK_ALIGNMENT);
    &mut memory[from..from + len]
}

/// Writes directly, as the disk does: a write through the page cache beside direct ones makes a later sync fail.
fn write(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    let mut memory = Vec::new();
    let place = aligned(&mut memory, bytes.len());
    place.copy_from_slice(bytes);
    file.write_all_at(place, offset)
}

/// Makes a file again that has lost its name.
fn restore(path: &Path, file: &File) -> io::Result<()> {
    let mut bytes = vec![0; usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, 0)?;
    fs::write(path, bytes)
}

/// What the process has done.
struct Process {
    plan: Option<Plan>,
    trace: Option<File>,
    counted: u64,
    undo: Vec<(u64, Undo)>,
    next: u64,
}

impl Process {
    fn get() -> MutexGuard<'static, Self> {
        static PROCESS: OnceLock<Mutex<Process>> = OnceLock::new();
        let process = PROCESS.get_or_init(|| {
            let plan = std::env::var("COINBITCLUB_KILL_AT").ok().map(|text| {
                Plan::parse(&text).unwrap_or_else(|| panic!("COINBITCLUB_KILL_AT={text}: not understood"))
            });
            let trace = std::env::var_os("COINBITCLUB_DISK_TRACE").map(|path| {
                let opened = fs::OpenOptions::new().create(true).append(true).open(path);
                opened.expect("the trace's file opens")
            });
            Mutex::new(Self { plan, trace, counted: 0, undo: Vec::new(), next: 0 })
        });
        process.lock().expect("nobody panicked with it")
    }

    fn keeps_undo(&self) -> bool {
        self.plan.as_ref().is_some_and(|plan| plan.moment == Moment::Power)
    }

    fn remember(&mut self, undo: Undo) -> u64 {
        self.next += 1;
        self.undo.push((self.next, undo));
        self.next
    }
}

/// An operation begins: the process dies here, or it is said whether to die at its end.
fn begin(kind: &str, name: &str, tear: impl FnOnce()) -> bool {
    let mut process = Process::get();
    let what = format!("{kind} {name}");
    if let Some(trace) = &mut process.trace {
        trace.write_all(format!("{what}\n").as_bytes()).expect("the trace is written");
    }
    let Some(plan) = &process.plan else { return false };
    if !plan.which.is_empty() && plan.which != what {
        return false;
    }
    let (at, moment) = (plan.at, plan.moment);
    process.counted += 1;
    if process.counted != at {
        return false;
    }
    match moment {
        Moment::After => return true,
        Moment::Before => {}
        Moment::Torn => tear(),
        Moment::Power => {
            for (_, undo) in process.undo.drain(..).rev() {
                match undo.take_back() {
                    // Another shard's operation has begun and not happened: there is nothing to take back.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    done => done.expect("what was not synced is undone"),
                }
            }
        }
    }
    die(process)
}

/// Ends the process; nobody else gets hold of what is common meanwhile.
fn die(_process: MutexGuard<'_, Process>) -> ! {
    signal_hook::low_level::raise(signal_hook::consts::SIGKILL).expect("a process can kill itself");
    unreachable!("nothing is executed after SIGKILL")
}

/// An operation has ended; `dies` is what its beginning said.
fn end(dies: bool) -> MutexGuard<'static, Process> {
    let process = Process::get();
    if dies {
        die(process)
    }
    process
}

/// The name of a file without its digits, or what kind of directory it is.
fn name(path: &Path, is_dir: bool) -> String {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let name: String = name.chars().filter(|letter| !letter.is_ascii_digit()).collect();
    if is_dir && name != "gen-" && name != "shard-" { "directory".to_owned() } else { name }
}

/// The disk of this process's shards.
#[derive(Clone, Debug)]
pub struct FailingDisk {
    inner: GlommioDisk,
}

impl FailingDisk {
    /// The disk for tasks of this executor.
    #[must_use]
    pub fn new(runtime: &GlommioRuntime) -> Self {
        Self { inner: GlommioDisk::new(runtime) }
    }
}

/// An open file of it.
pub struct FailingFile {
    inner: GlommioFile,
    /// The same file, for what the dying process does to it.
    file: Arc<File>,
    inode: Inode,
}

impl FailingFile {
    fn new(inner: GlommioFile, path: &Path) -> io::Result<Self> {
        let file = fs::OpenOptions::new().read(true).write(true).custom_flags(libc::O_DIRECT).open(path)?;
        let found = file.metadata()?;
        Ok(Self { inner, file: Arc::new(file), inode: (found.dev(), found.ino()) })
    }

    /// The name it has now.
    fn name(&self) -> String {
        let link = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        name(&fs::read_link(link).expect("an open file has a path"), false)
    }

    fn remember(&self, len: usize, offset: u64) -> io::Result<Option<u64>> {
        let mut process = Process::get();
        if !process.keeps_undo() {
            return Ok(None);
        }
        let length = self.file.metadata()?.len();
        let kept = usize::try_from(length.saturating_sub(offset)).map_err(io::Error::other)?.min(len);
        let mut memory = Vec::new();
        let place = aligned(&mut memory, kept);
        self.file.read_exact_at(place, offset)?;
        let before = place.to_vec();
        let (file, inode) = (Arc::clone(&self.file), self.inode);
        Ok(Some(process.remember(Undo::Write { file, inode, offset, before, length, ended: false })))
    }
}

impl Disk for FailingDisk {
    type File = FailingFile;

    async fn open(&self, path: &Path) -> io::Result<FailingFile> {
        FailingFile::new(self.inner.open(path).await?, path)
    }

    async fn create_new(&self, path: &Path) -> io::Result<FailingFile> {
        let dies = begin("create", &name(path, false), || ());
        let made = self.inner.create_new(path).await;
        let mut process = end(dies);
        let made = FailingFile::new(made?, path)?;
        process.remember(Undo::Made(path.to_owned()));
        Ok(made)
    }

    async fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.inner.list(dir).await
    }

    async fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let dies = begin("create_dir", &name(dir, true), || ());
        let missing: Vec<_> = dir.ancestors().filter(|dir| !dir.exists()).map(Path::to_owned).collect();
        let made = self.inner.create_dir_all(dir).await;
        let mut process = end(dies);
        for dir in missing.into_iter().rev().filter(|_| made.is_ok()) {
            process.remember(Undo::Made(dir));
        }
        made
    }

    async fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let dies = begin("rename", &name(from, false), || ());
        let replaced = File::open(to).ok();
        let renamed = self.inner.rename(from, to).await;
        let mut process = end(dies);
        if renamed.is_ok() {
            process.remember(Undo::Renamed { from: from.to_owned(), to: to.to_owned(), replaced });
        }
        renamed
    }

    async fn remove(&self, path: &Path) -> io::Result<()> {
        let dies = begin("remove", &name(path, false), || ());
        let file = File::open(path);
        let removed = self.inner.remove(path).await;
        let mut process = end(dies);
        if let (Ok(file), Ok(())) = (file, &removed) {
            process.remember(Undo::Removed { path: path.to_owned(), file });
        }
        removed
    }

    async fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let dies = begin("sync_dir", &name(dir, true), || ());
        let before = Process::get().next;
        let synced = self.inner.sync_dir(dir).await;
        let mut process = end(dies);
        if synced.is_ok() {
            process.undo.retain(|(number, undo)| *number > before || !undo.is_name_in(dir));
        }
        synced
    }
}

impl DiskFile for FailingFile {
    type Buffer = GlommioBuffer;

    fn buffer(&self, len: usize) -> GlommioBuffer {
        self.inner.buffer(len)
    }

    async fn len(&self) -> io::Result<u64> {
        self.inner.len().await
    }

    async fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.inner.read_at(offset, len).await
    }

    async fn write_at(&self, buffer: GlommioBuffer, len: usize, offset: u64) -> io::Result<GlommioBuffer> {
        let dies = begin("write", &self.name(), || {
            let torn = if len == DISK_ALIGNMENT { SECTOR_BYTES } else { len / 2 };
            write(&self.file, &buffer.as_ref()[..torn], offset).expect("the first sectors are written");
        });
        let remembered = self.remember(len, offset)?;
        let written = self.inner.write_at(buffer, len, offset).await;
        let mut process = end(dies);
        for (number, undo) in &mut process.undo {
            if let (Some(remembered), Undo::Write { ended, .. }) = (remembered, undo) {
                *ended |= *number == remembered;
            }
        }
        written
    }

    async fn sync_data(&self) -> io::Result<()> {
        let dies = begin("sync_data", &self.name(), || ());
        let is_synced =
            |undo: &Undo| matches!(undo, Undo::Write { inode, ended: true, .. } if *inode == self.inode);
        let written: Vec<u64> = Process::get()
            .undo
            .iter()
            .filter(|(_, undo)| is_synced(undo))
            .map(|(number, _)| *number)
            .collect();
        let synced = self.inner.sync_data().await;
        let mut process = end(dies);
        if synced.is_ok() {
            process.undo.retain(|(number, _)| !written.contains(number));
        }
        synced
    }

    async fn close(self) -> io::Result<()> {
        self.inner.close().await
    }
}
