//! Data directories of every format version that was ever released are read by this program, as they were meant.
//!
//! `tests/golden/v<version>/data.hex` holds all files of a directory (their non-zero bytes, 64 to a line), `expected.txt` what
//! recovery gives. A change of the format raises `FORMAT_VERSION` and adds a folder, never changes one:
//!
//! ```text
//! STORAGE_GOLDEN=write cargo test -p coinbitclub-storage --test log golden_logs_stay_readable
//! ```
//!
//! writes the folder of the current version if there is none yet.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::rig::{OPTIONS, flush, recovered};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use storage::sim_disk::{SimDisk, block_on};
use storage::{DataDirectory, FORMAT_VERSION, Log, Lsn, Salt, ShardHome, SnapshotWriter};

const ROOT: &str = "/data";
const LINE: usize = 64;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn run(disk: &SimDisk, home: &ShardHome, work: impl FnOnce(&mut crate::rig::SimLog)) {
    let tail = recovered(disk, home).recovered.tail;
    work(&mut block_on(Log::start(disk.clone(), home.clone(), tail, OPTIONS)).unwrap());
    disk.kill_process();
}

fn append(log: &mut crate::rig::SimLog, range: std::ops::Range<usize>) {
    for i in range {
        log.append(format!("record {i:03} {}", "*".repeat(i * 7 % 90)).as_bytes()).unwrap();
        flush(log).unwrap();
    }
}

fn damage_last_block(disk: &SimDisk, home: &ShardHome) {
    let path = home.dir().join("seg-0000000000000001.log");
    let file = disk.read(&path).unwrap();
    let page = file.chunks(4_096).rposition(|page| page.iter().any(|byte| *byte != 0)).unwrap();
    disk.flip_bit(&path, page as u64 * 4_096 + 100, 0);
}

/// Everything the format has: two generations, seeds, a later snapshot, two segments, several records in a block, an
/// empty record, a torn write stepped over in shard 0 and one at the end of shard 1.
fn make() -> SimDisk {
    let disk = SimDisk::new(0);
    let root = Path::new(ROOT);
    let homes = block_on(async {
        let first = DataDirectory::open(disk.clone(), root, 1, Salt(0x0123_4567_89ab_cdef)).await.unwrap();
        let next = first.begin_generation(2, Salt(0xfedc_ba98_7654_3210)).await.unwrap();
        for home in next.shards() {
            let mut writer = SnapshotWriter::begin(disk.clone(), home, Lsn(41)).await.unwrap();
            writer.add(b"seed").unwrap();
            writer.add(b"").unwrap();
            writer.finish_seed().await.unwrap();
        }
        next.switch().await.unwrap().shards()
    });
    run(&disk, &homes[0], |log| {
        append(log, 0..30);
        log.append(b"").unwrap();
        log.append(&[0xff; 5_000]).unwrap();
        log.append(b"third of a block").unwrap();
        flush(log).unwrap();
        append(log, 33..35);
    });
    damage_last_block(&disk, &homes[0]);
    run(&disk, &homes[0], |log| {
        append(log, 34..50);
        block_on(async {
            let mut writer = SnapshotWriter::begin(disk.clone(), homes[0].clone(), Lsn(61)).await.unwrap();
            writer.add(b"the state before record 61").unwrap();
            writer.finish(log.durable(), log.position()).await.unwrap();
        });
        append(log, 50..80);
    });
    run(&disk, &homes[1], |log| append(log, 0..4));
    damage_last_block(&disk, &homes[1]);
    disk
}

/// All files as text.
fn dump(disk: &SimDisk) -> String {
    let mut text = String::new();
    for (path, bytes) in disk.contents() {
        writeln!(text, "file {} {}", bytes.len(), path.display()).unwrap();
        for (index, line) in
            bytes.chunks(LINE).enumerate().filter(|(_, line)| line.iter().any(|byte| *byte != 0))
        {
            write!(text, "{:x} ", index * LINE).unwrap();
            line.iter().for_each(|byte| write!(text, "{byte:02x}").unwrap());
            text.push('\n');
        }
    }
    text
}

fn load(text: &str) -> SimDisk {
    let mut files = BTreeMap::<PathBuf, Vec<u8>>::new();
    let mut current = PathBuf::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("file ") {
            let (length, path) = rest.split_once(' ').unwrap();
            current = PathBuf::from(path);
            files.insert(current.clone(), vec![0; length.parse().unwrap()]);
            continue;
        }
        let (at, hex) = line.split_once(' ').unwrap();
        let at = usize::from_str_radix(at, 16).unwrap();
        for (index, pair) in hex.as_bytes().chunks(2).enumerate() {
            let byte = u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
            files.get_mut(&current).unwrap()[at + index] = byte;
        }
    }
    let disk = SimDisk::new(0);
    files.iter().for_each(|(path, bytes)| disk.put(path, bytes));
    disk
}

/// What recovery of all shards gives, as text.
fn meaning(disk: &SimDisk) -> String {
    let mut text = String::new();
    let directory = block_on(DataDirectory::open(disk.clone(), Path::new(ROOT), 1, Salt(1))).unwrap();
    writeln!(text, "generation {}", directory.generation()).unwrap();
    for home in directory.shards() {
        let replay = recovered(disk, &home);
        let found = &replay.recovered;
        writeln!(text, "shard {}", home.identity().shard).unwrap();
        let snapshot = found.snapshot.as_ref().map(|snapshot| (snapshot.start().0, snapshot.reflects().0));
        writeln!(text, "snapshot {snapshot:?}").unwrap();
        for section in &replay.sections {
            writeln!(text, "section {}", section.escape_ascii()).unwrap();
        }
        for (lsn, record) in &replay.records {
            let crc = crc32c::crc32c(record);
            let start = record[..record.len().min(20)].escape_ascii();
            writeln!(text, "record {lsn} of {} bytes, crc32c {crc:08x}: {start}", record.len()).unwrap();
        }
        let torn = found.torn.as_ref().map(|torn| (torn.offset, torn.bytes));
        writeln!(
            text,
            "blocks {} gaps {} torn {torn:?} next {}",
            found.blocks,
            found.gaps,
            found.tail.next_lsn()
        )
        .unwrap();
    }
    text
}

#[test]
fn every_version_is_read_and_goes_on() {
    let mut versions = 0;
    for folder in std::fs::read_dir(golden()).unwrap() {
        let folder = folder.unwrap().path();
        let disk = load(&std::fs::read_to_string(folder.join("data.hex")).unwrap());
        let expected = std::fs::read_to_string(folder.join("expected.txt")).unwrap();
        assert_eq!(meaning(&disk), expected, "{}", folder.display());
        let directory = block_on(DataDirectory::open(disk.clone(), Path::new(ROOT), 1, Salt(1))).unwrap();
        for home in directory.shards() {
            let before = recovered(&disk, &home).payloads();
            run(&disk, &home, |log| append(log, 900..903));
            let after = recovered(&disk, &home).payloads();
            assert_eq!((after.len(), &after[..before.len()]), (before.len() + 3, &before[..]));
        }
        versions += 1;
    }
    assert!(versions >= 1);
}

#[test]
fn this_version_writes_what_its_golden_log_holds() {
    let folder = golden().join(format!("v{FORMAT_VERSION}"));
    let disk = make();
    if std::env::var("STORAGE_GOLDEN").is_ok_and(|value| value == "write") && !folder.exists() {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("data.hex"), dump(&disk)).unwrap();
        std::fs::write(folder.join("expected.txt"), meaning(&disk)).unwrap();
    }
    let golden = std::fs::read_to_string(folder.join("data.hex")).expect("see the head of this file");
    assert!(dump(&disk) == golden, "the format changed without a new FORMAT_VERSION");
}
