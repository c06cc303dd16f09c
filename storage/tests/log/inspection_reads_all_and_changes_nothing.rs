//! Inspection shows every block, record, section and damage with file and offset, and never writes or syncs.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::rig::{append_blocks, block_offsets, flush, payloads, segment_path, shard, start, try_snapshot};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use storage::inspect::{Found, Summary, inspect};
use storage::sim_disk::{SimDisk, block_on};
use storage::{DataDirectory, Epoch, Log, Lsn, RecoverError, Salt, StorageError};

#[derive(Default)]
struct Seen {
    records: Vec<(PathBuf, u64, Lsn, Vec<u8>)>,
    blocks: Vec<(u64, Epoch)>,
    sections: Vec<Vec<u8>>,
    lines: Vec<String>,
}

fn look(disk: &SimDisk, dir: &Path) -> (Seen, Summary) {
    let (before, operations) = (disk.contents(), disk.operations());
    let mut seen = Seen::default();
    let summary = block_on(inspect(disk, dir, |found| {
        match found {
            Found::Record { file, offset, lsn, bytes } => {
                seen.records.push((file.to_owned(), offset, lsn, bytes.to_vec()));
            }
            Found::Block { offset, header, .. } => seen.blocks.push((offset, header.epoch)),
            Found::Section { bytes, .. } => seen.sections.push(bytes.to_vec()),
            Found::Damage(error) => seen.lines.push(error.to_string()),
            Found::Torn(torn) => seen.lines.push(format!("torn at {}", torn.offset)),
            Found::Gap(gap) => seen.lines.push(format!("gap at {}", gap.offset)),
            Found::Shard { .. } | Found::Segment { .. } | Found::Snapshot(_) => {}
        }
        Ok::<_, Infallible>(())
    }))
    .unwrap();
    assert_eq!(disk.operations(), operations, "no operation that changes or syncs anything");
    assert!(disk.contents() == before);
    (seen, summary)
}

#[test]
fn a_shard_with_everything_in_it() {
    let (disk, home) = shard(15);
    let (mut log, _) = start(&disk, &home);
    append_blocks(&mut log, payloads(3));
    try_snapshot(&disk, &home, &log, Lsn(3), &payloads(2)).unwrap();
    append_blocks(&mut log, [vec![1; 500]]);
    let torn = *block_offsets(&disk, 1).last().unwrap();
    disk.flip_bit(&segment_path(1), torn + 99, 0);
    let (mut log, _) = start(&disk, &home);
    append_blocks(&mut log, [b"four".to_vec(), b"five".to_vec()]);
    let last = *block_offsets(&disk, 1).last().unwrap();
    disk.flip_bit(&segment_path(1), last + 99, 0);

    let (seen, summary) = look(&disk, home.dir());
    let wanted = [&payloads(3)[..], &[b"four".to_vec()]].concat();
    assert_eq!(seen.records.iter().map(|record| record.3.clone()).collect::<Vec<_>>(), wanted);
    let file = disk.read(&segment_path(1)).unwrap();
    for (index, (path, offset, lsn, bytes)) in seen.records.iter().enumerate() {
        assert_eq!((path, lsn.0), (&segment_path(1), index as u64 + 1));
        assert!(
            file[usize::try_from(*offset).unwrap()..].starts_with(bytes),
            "the offset is the record's own"
        );
    }
    assert_eq!(seen.sections, payloads(2));
    assert_eq!(seen.blocks.iter().map(|block| block.1.0).collect::<Vec<_>>(), [1, 1, 1, 1, 2, 2]);
    assert_eq!(seen.lines, [format!("gap at {torn}"), format!("torn at {last}")]);
    let bytes = wanted.iter().map(Vec::len).sum::<usize>() as u64;
    let expected = Summary {
        shards: 1,
        snapshots: 1,
        segments: 2,
        blocks: 6,
        records: 4,
        payload_bytes: bytes,
        torn: 2,
        damaged: 0,
    };
    assert_eq!(summary, expected);
}

#[test]
fn damage_is_told_with_file_and_offset_and_the_other_shards_are_still_read() {
    let disk = SimDisk::new(15);
    let root = Path::new("/data");
    let homes = block_on(DataDirectory::open(disk.clone(), root, 3, Salt(15))).unwrap().shards();
    for home in &homes {
        let tail = crate::rig::recovered(&disk, home).recovered.tail;
        let mut log = block_on(Log::start(disk.clone(), home.clone(), tail, crate::rig::OPTIONS)).unwrap();
        for payload in payloads(5) {
            log.append(&payload).unwrap();
            flush(&mut log).unwrap();
        }
    }
    let damaged = homes[1].dir().join("seg-0000000000000001.log");
    disk.flip_bit(&damaged, 3 * 4_096 + 100, 0);
    let (seen, summary) = look(&disk, root);
    assert_eq!((summary.shards, summary.damaged, summary.records), (3, 1, 5 + 1 + 5));
    assert!(
        seen.lines[0].contains(&format!("{}: corrupt at byte {}", damaged.display(), 3 * 4_096)),
        "{:?}",
        seen.lines
    );
}

#[test]
fn a_directory_of_something_else_is_an_error() {
    let disk = SimDisk::new(15);
    disk.put(Path::new("/etc/passwd"), b"x");
    let error = block_on(inspect(&disk, Path::new("/etc"), |_| Ok::<_, Infallible>(()))).unwrap_err();
    assert!(matches!(error, RecoverError::Storage(StorageError::Io { .. })));
    assert!(error.to_string().contains("neither a data directory"), "{error}");
}

#[test]
fn the_visitor_can_stop_it() {
    let (disk, home) = shard(15);
    let (mut log, _) = start(&disk, &home);
    append_blocks(&mut log, payloads(2));
    let stopped = block_on(inspect(&disk, home.dir(), |found| match found {
        Found::Record { .. } => Err("enough"),
        _ => Ok(()),
    }));
    assert!(matches!(stopped, Err(RecoverError::Visitor { source: "enough", offset, .. }) if offset > 8_192));
}
