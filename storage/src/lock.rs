//! One process per data directory.
//!
//! **Runs on**: the main thread at start-up, before anything else touches the directory; it calls the file system
//! directly, because advisory locks are the host's matter and the simulator has only one process.
//!
//! **Invariants**: the lock is the kernel's, on the open file: it ends with the process, however that ends, so a stale
//! `LOCK` file locks nothing. The process id in it is only there for the message.

use crate::current::Current;
use crate::error::StorageError;
use crate::path;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a lock that is held is waited for: a process that is just ending, or one that is between fork and exec and holds
/// copies of our descriptors, lets go within milliseconds.
const PATIENCE: Duration = Duration::from_millis(500);

fn lock_soon(file: &File) -> Result<(), TryLockError> {
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if began.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(10));
            }
            result => return result,
        }
    }
}

/// The held lock; dropping it gives the directory free.
#[derive(Debug)]
pub struct DirectoryLock {
    root: PathBuf,
    _file: File,
}

impl DirectoryLock {
    /// Makes `root` if needed and locks it.
    ///
    /// # Errors
    /// [`StorageError::Locked`] when another process has it, or [`StorageError::Io`].
    pub fn acquire(root: &Path) -> Result<Self, StorageError> {
        std::fs::create_dir_all(root).map_err(StorageError::io("create", root))?;
        let path = root.join(path::LOCK);
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = open.map_err(StorageError::io("open", &path))?;
        match lock_soon(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let holder = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
                return Err(StorageError::Locked { path, holder });
            }
            Err(TryLockError::Error(error)) => return Err(StorageError::io("lock", &path)(error)),
        }
        let named = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        named.map_err(StorageError::io("write", &path))?;
        Ok(Self { root: root.to_owned(), _file: file })
    }

    /// Removes the empty directories that other generations than the current one left. Safe at any time: a directory
    /// with anything in it stays.
    ///
    /// # Errors
    /// [`StorageError::Io`], or what is wrong with `CURRENT`.
    pub fn remove_empty_directories(&self) -> Result<(), StorageError> {
        let list = |dir: &Path| -> Result<Vec<PathBuf>, StorageError> {
            let entries = std::fs::read_dir(dir).map_err(StorageError::io("list", dir))?;
            entries.map(|entry| Ok(entry.map_err(StorageError::io("list", dir))?.path())).collect()
        };
        let file = self.root.join(path::CURRENT);
        let current =
            Current::decode(&std::fs::read(&file).map_err(StorageError::io("read", &file))?, &file)?;
        let number = |dir: &Path| dir.file_name()?.to_str().and_then(path::parse_generation);
        for generation in list(&self.root)? {
            if number(&generation).is_none_or(|number| number == current.generation) {
                continue;
            }
            for shard in list(&generation)? {
                std::fs::remove_dir(&shard).ok();
            }
            // Refused while anything is left in it, which is what is wanted.
            std::fs::remove_dir(&generation).ok();
        }
        Ok(())
    }
}
