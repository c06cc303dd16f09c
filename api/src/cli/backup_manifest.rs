//! `MANIFEST.json` of a backup: what it holds, and a checksum of everything, itself included.
//!
//! **Invariants**: it is written last, so a directory without one is no backup; a manifest whose bytes are not exactly what this
//! program would write for its content is damaged. A path in it stays below the backup.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The file's name.
pub const MANIFEST: &str = "MANIFEST.json";
/// The format this program writes. It reads every lower one.
///
/// Version 2: [`Manifest::keys`].
pub const FORMAT: u32 = 2;
/// Bytes read at once for a checksum.
const CHUNK_BYTES: usize = 1 << 20;

/// A file of the backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Below the backup, with `/`.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

/// The log of a shard, as the backup holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestLog {
    /// The shard.
    pub shard: u16,
    /// The earliest record it can be restored to.
    pub first_lsn: u64,
    /// Its last record.
    pub last_lsn: u64,
    /// When that one was decided (RFC 3339); `null` when the backup's log holds no record.
    pub last_at: Option<String>,
    /// Users, and the digest of their state; `null` when the backup was not verified.
    pub state: Option<ManifestState>,
}

/// A shard's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestState {
    /// How many users.
    pub users: u64,
    /// The digest of their state, in hexadecimal.
    pub digest: String,
}

/// The users' exchange keys that are sealed under a master key. The master key itself is never in a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestKeys {
    /// The master key's id: the beginning of a digest, in hexadecimal, as `keys new-master` and error messages tell it.
    pub master_key: String,
    /// How many keys.
    pub sealed: u64,
}

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// Version of the program that made it.
    pub program: String,
    /// When (RFC 3339): everything that was acknowledged before is in it.
    pub taken_at: String,
    /// The generation.
    pub generation: u32,
    /// Its number of shards.
    pub shards: u16,
    /// Its salt, in hexadecimal.
    pub salt: String,
    /// Each shard's log.
    pub logs: Vec<ManifestLog>,
    /// Every file of the data directory.
    pub files: Vec<ManifestFile>,
    /// Files beyond the data directory. They are checked and restored like the others.
    pub extra: Vec<ManifestFile>,
    /// Which master keys the exchange keys in it need; nothing when the backup was not verified, or is of format 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<ManifestKeys>>,
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    manifest: Manifest,
    sha256: String,
}

/// The part that every later format keeps.
#[derive(Deserialize)]
struct Version {
    manifest: VersionOnly,
}

#[derive(Deserialize)]
struct VersionOnly {
    format: u32,
}

/// Bytes as hexadecimal text.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Manifest {
    fn encode(&self) -> Result<Vec<u8>, String> {
        let body = serde_json::to_vec_pretty(self).map_err(|error| error.to_string())?;
        let sealed = Sealed { manifest: self.clone(), sha256: hex(&Sha256::digest(&body)) };
        let mut bytes = serde_json::to_vec_pretty(&sealed).map_err(|error| error.to_string())?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Writes it into `dir`, durably, as one step.
    ///
    /// # Errors
    /// The file, and what the disk answered.
    pub fn write(&self, dir: &Path) -> Result<(), String> {
        let (path, tmp) = (dir.join(MANIFEST), dir.join("MANIFEST.json.tmp"));
        let bytes = self.encode()?;
        let write = || -> std::io::Result<()> {
            let mut file = File::create_new(&tmp)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            std::fs::rename(&tmp, &path)?;
            File::open(dir)?.sync_all()
        };
        write().map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Reads the one in `dir` and checks it, but not the files it names.
    ///
    /// # Errors
    /// The file, and what is wrong with it.
    pub fn read(dir: &Path) -> Result<Self, String> {
        let path = dir.join(MANIFEST);
        let wrong = |what: &str| format!("{}: {what}", path.display());
        let bytes = std::fs::read(&path)
            .map_err(|error| wrong(&format!("{error}: without it this is no finished backup")))?;
        if let Ok(Version { manifest: VersionOnly { format } }) = serde_json::from_slice(&bytes)
            && format > FORMAT
        {
            return Err(wrong(&format!(
                "has format {format}, this program reads up to {FORMAT}: use the newer program"
            )));
        }
        let sealed: Sealed =
            serde_json::from_slice(&bytes).map_err(|error| wrong(&format!("damaged: {error}")))?;
        if sealed.manifest.encode()? != bytes {
            return Err(wrong("damaged: its checksum does not match"));
        }
        for file in sealed.manifest.every_file() {
            let inside = Path::new(&file.path).components().all(|part| matches!(part, Component::Normal(_)));
            if !inside || file.path.is_empty() {
                return Err(wrong(&format!("names {:?}, which is not below it", file.path)));
            }
        }
        Ok(sealed.manifest)
    }

    /// All files it names.
    pub fn every_file(&self) -> impl Iterator<Item = &ManifestFile> {
        self.files.iter().chain(&self.extra)
    }

    /// Compares every file below `dir` with what was noted of it.
    ///
    /// # Errors
    /// The first file that is another one, or is not there.
    pub fn check_files(&self, dir: &Path) -> Result<(), String> {
        for file in self.every_file() {
            let found = describe(dir, &file.path)?;
            if found != *file {
                return Err(format!(
                    "{}: not what was backed up: {} bytes with SHA-256 {}, the manifest says {} and {}",
                    dir.join(&file.path).display(),
                    found.bytes,
                    found.sha256,
                    file.bytes,
                    file.sha256
                ));
            }
        }
        Ok(())
    }
}

/// Length and checksum of a file below `dir`.
///
/// # Errors
/// The file, and what the disk answered.
pub fn describe(dir: &Path, path: &str) -> Result<ManifestFile, String> {
    let place = dir.join(path);
    let measure = || -> std::io::Result<ManifestFile> {
        let (mut file, mut hash, mut bytes) = (File::open(&place)?, Sha256::new(), 0);
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match file.read(&mut chunk)? {
                0 => break,
                count => {
                    hash.update(&chunk[..count]);
                    bytes += count as u64;
                }
            }
        }
        Ok(ManifestFile { path: path.to_owned(), bytes, sha256: hex(&hash.finalize()) })
    };
    measure().map_err(|error| format!("{}: {error}", place.display()))
}

/// Every file below `dir`, with length and checksum, sorted by path.
///
/// # Errors
/// The file or directory, and what the disk answered.
pub fn describe_all(dir: &Path) -> Result<Vec<ManifestFile>, String> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(here) = open.pop() {
        let wrong = |error: std::io::Error| format!("{}: {error}", here.display());
        for entry in std::fs::read_dir(&here).map_err(wrong)? {
            let path = entry.map_err(wrong)?.path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let below = path.strip_prefix(dir).expect("it was found below it");
            let text = below.to_str().ok_or_else(|| format!("{}: not UTF-8", path.display()))?;
            found.push(describe(dir, text)?);
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}
