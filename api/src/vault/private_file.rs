//! A file with a secret in it: read only when nobody but its owner can read it.
//!
//! **Runs on**: start-up, commands. **Invariants**: what is looked at is the file that was opened, not whatever has its name by
//! then; the text is wiped when it is dropped. **Bounds**: the caller's, and a byte more so that too much is seen.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system's answer.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Others could read it.
    #[error(
        "{} is open to others (mode {mode:04o}): chmod 600 it, and end what it holds if somebody may have read it",
        path.display()
    )]
    Open {
        /// Which.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
}

/// Reads a file; with `private`, only when nobody else can. What is longer than `bytes_max` comes cut to one byte more, for the
/// caller to refuse.
///
/// # Errors
/// [`FileError`].
pub fn read(path: &Path, bytes_max: usize, private: bool) -> Result<Zeroizing<String>, FileError> {
    let unreadable = |source| FileError::Unreadable { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.mode() & 0o7777;
    if private && mode & 0o077 != 0 {
        return Err(FileError::Open { path: path.to_owned(), mode });
    }
    whole(file, bytes_max).map_err(unreadable)
}

/// The text of an open file, into memory that does not move while it grows: a copy left behind would not be wiped.
///
/// # Errors
/// The system's, or that it is not UTF-8.
pub fn whole(file: std::fs::File, bytes_max: usize) -> std::io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(bytes_max + 2));
    // One that grows is not followed: a byte more than the bound is enough to refuse it.
    file.take(bytes_max as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}
