//! `CURRENT`: which generation a data directory is in.
//!
//! One page: four lines of text and a checksum of them, then zeros, so that `cat` shows it and direct I/O takes it:
//! ```text
//! coinbitclub-data 1
//! generation 1
//! shards 2
//! salt 0123456789abcdef
//! crc32c 89abcdef
//! ```

use crate::error::StorageError;
use crate::identity::{Generation, Salt};
use crate::limits::{PAGE_BYTES, SHARDS_MAX};
use crate::path;
use engine::seam::{Disk, DiskFile};
use std::io;
use std::path::Path;

const VERSION: u16 = 1;

/// The content of `CURRENT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Current {
    pub(crate) generation: Generation,
    pub(crate) shards: u16,
    pub(crate) salt: Salt,
}

impl Current {
    fn encode(&self) -> String {
        let lines = format!(
            "coinbitclub-data {VERSION}\ngeneration {}\nshards {}\nsalt {:016x}\n",
            self.generation, self.shards, self.salt.0
        );
        let crc = crc32c::crc32c(lines.as_bytes());
        format!("{lines}crc32c {crc:08x}\n")
    }

    pub(crate) fn decode(page: &[u8], file: &Path) -> Result<Self, StorageError> {
        let damaged = |reason: &str| StorageError::Current {
            file: file.to_owned(),
            reason: format!("{reason}: restore it from a copy; the data itself is not affected"),
        };
        let text = page.split(|byte| *byte == 0).next().unwrap_or_default();
        let text = std::str::from_utf8(text).map_err(|_| damaged("not text"))?;
        let (lines, crc) = text.split_once("crc32c ").ok_or_else(|| damaged("has no checksum"))?;
        if u32::from_str_radix(crc.trim_end(), 16).ok() != Some(crc32c::crc32c(lines.as_bytes())) {
            return Err(damaged("its checksum does not match"));
        }
        let field = |name: &str| {
            let line = lines.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.ok_or_else(|| damaged("a line is missing"))
        };
        let version: u16 =
            field("coinbitclub-data")?.parse().map_err(|_| damaged("the version is no number"))?;
        if version > VERSION {
            return Err(StorageError::NewerVersion { file: file.to_owned(), found: version, known: VERSION });
        }
        let current = Self {
            generation: Generation(
                field("generation")?.parse().map_err(|_| damaged("the generation is no number"))?,
            ),
            shards: field("shards")?.parse().map_err(|_| damaged("the number of shards is no number"))?,
            salt: Salt(
                u64::from_str_radix(field("salt")?, 16).map_err(|_| damaged("the salt is no number"))?,
            ),
        };
        if current.generation == Generation(0) || !(1..=SHARDS_MAX).contains(&current.shards) {
            return Err(damaged("a number is out of range"));
        }
        Ok(current)
    }

    /// Reads it; `None` when there is none.
    pub(crate) async fn read<D: Disk>(disk: &D, root: &Path) -> Result<Option<Self>, StorageError> {
        let path = root.join(path::CURRENT);
        let file = match disk.open(&path).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(StorageError::io("open", &path))?,
        };
        let page = file.read_at(0, PAGE_BYTES).await;
        file.close().await.map_err(StorageError::io("close", &path))?;
        Self::decode(&page.map_err(StorageError::io("read", &path))?, &path).map(Some)
    }

    /// Replaces it, durably, as one step.
    pub(crate) async fn write<D: Disk>(&self, disk: &D, root: &Path) -> Result<(), StorageError> {
        let tmp = root.join(path::CURRENT_TMP);
        match disk.remove(&tmp).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StorageError::io("remove", &tmp)(error));
            }
            _ => {}
        }
        let file = disk.create_new(&tmp).await.map_err(StorageError::io("create", &tmp))?;
        let text = self.encode();
        let mut buffer = file.buffer(PAGE_BYTES);
        buffer.as_mut()[..PAGE_BYTES].fill(0);
        buffer.as_mut()[..text.len()].copy_from_slice(text.as_bytes());
        file.write_at(buffer, PAGE_BYTES, 0).await.map_err(StorageError::io("write", &tmp))?;
        file.sync_data().await.map_err(StorageError::io("sync", &tmp))?;
        file.close().await.map_err(StorageError::io("close", &tmp))?;
        disk.rename(&tmp, &root.join(path::CURRENT)).await.map_err(StorageError::io("rename", &tmp))?;
        if planted::planted!("switch_not_synced") {
            return Ok(());
        }
        disk.sync_dir(root).await.map_err(StorageError::io("sync", root))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_and_refuses_damage_and_the_future() {
        let current = Current { generation: Generation(3), shards: 2, salt: Salt(0xfeed) };
        let file = Path::new("CURRENT");
        let mut page = current.encode().into_bytes();
        page.resize(PAGE_BYTES, 0);
        assert_eq!(Current::decode(&page, file).unwrap(), current);
        for at in 0..current.encode().len() {
            let mut damaged = page.clone();
            damaged[at] ^= 4;
            assert!(Current::decode(&damaged, file).is_err(), "byte {at}");
        }
        let newer = "coinbitclub-data 2\nanything\n";
        let newer = format!("{newer}crc32c {:08x}\n", crc32c::crc32c(newer.as_bytes()));
        assert!(matches!(
            Current::decode(newer.as_bytes(), file),
            Err(StorageError::NewerVersion { found: 2, known: 1, .. })
        ));
    }

    #[test]
    fn each_number_has_its_range() {
        let read = |generation, shards| {
            let current = Current { generation: Generation(generation), shards, salt: Salt(1) };
            Current::decode(current.encode().as_bytes(), Path::new("CURRENT"))
                .map(|read| assert_eq!(read, current))
        };
        for (generation, shards) in [(1, 1), (1, SHARDS_MAX), (u32::MAX, 1)] {
            read(generation, shards).unwrap();
        }
        for (generation, shards) in [(0, 1), (1, 0), (1, SHARDS_MAX + 1), (0, 0)] {
            let error = read(generation, shards).unwrap_err().to_string();
            assert!(error.contains("a number is out of range"), "{error}");
        }
    }
}
