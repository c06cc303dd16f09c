//! The files of the repository, as the checks see them.

use std::fs;
use std::path::{Path, PathBuf};

/// Directories that hold no source: the version control's, build results, a run's data.
const NOT_SOURCE: &[&str] = &[".git", "target", "data", "__pycache__"];

/// Longest file read as text; a longer one is a finding of the lint by its number of lines anyway.
const TEXT_BYTES_MAX: u64 = 4 << 20;

/// One text file.
pub(crate) struct TextFile {
    /// Path below the root, with `/`.
    pub(crate) path: String,
    /// Content.
    pub(crate) text: String,
}

/// The repository's root: the parent of this package.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace").to_owned()
}

/// All text files below `directory` (relative to `root`), sorted by path. Files that are not UTF-8 are left out.
pub(crate) fn text_files(root: &Path, directory: &str) -> Result<Vec<TextFile>, String> {
    let mut files = Vec::new();
    let mut pending = vec![root.join(directory)];
    while let Some(directory) = pending.pop() {
        let say = |error| format!("{}: {error}", directory.display());
        for entry in fs::read_dir(&directory).map_err(say)? {
            let entry = entry.map_err(say)?;
            let kind = entry.file_type().map_err(say)?;
            let name = entry.file_name();
            if kind.is_dir() && !NOT_SOURCE.iter().any(|skipped| name == *skipped) {
                pending.push(entry.path());
            } else if kind.is_file() && entry.metadata().is_ok_and(|data| data.len() <= TEXT_BYTES_MAX) {
                // A file of another program may vanish between the listing and the reading.
                let Ok(bytes) = fs::read(entry.path()) else { continue };
                let Ok(text) = String::from_utf8(bytes) else { continue };
                let path = entry.path().strip_prefix(root).map_err(|error| error.to_string())?.to_owned();
                files.push(TextFile { path: path.to_string_lossy().replace('\\', "/"), text });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listing_is_sorted_and_has_no_build_results() {
        let files = text_files(&root(), "").expect("the repository is readable");
        assert!(files.is_sorted_by(|a, b| a.path < b.path));
        assert!(files.iter().any(|file| file.path == "xtask/src/repository.rs"));
        assert!(
            files.iter().all(|file| !file.path.starts_with("target/") && !file.path.starts_with(".git/"))
        );
    }
}
