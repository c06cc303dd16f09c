//! What recovery and inspection make of the files, and what must hold for it.

use super::rig::{self, DIR, OPTIONS};
use super::scene::Scene;
use super::script::{self, Files};
use super::watched::Watched;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use storage::inspect::{Found, Summary, inspect};
use storage::sim_disk::{SimDisk, block_on};
use storage::{Log, RecoverError, Recovered, Replayed, StorageError, recover};

/// Records with their LSN.
type Records = Vec<(u64, Vec<u8>)>;

/// All that recovery hands out.
#[derive(Debug)]
struct Reading {
    sections: Vec<Vec<u8>>,
    records: Records,
    recovered: Recovered,
}

/// One in so many shards that recover goes on: that costs as much as a hundred recoveries.
const GOES_ON_ONE_IN: usize = 16;

/// Edits a scene and reads it: recovery gives what was written, from a whole snapshot or from the first record on, without
/// a hole and up to the first damage that nothing whole comes after; or it says which file is damaged and where. It changes
/// nothing, is the same twice, and inspection sees the same.
pub(super) fn check(scene: &Scene, edits: &[u8]) {
    let mut files = scene.files.clone();
    let done = script::run(edits, &mut files);
    let disk = SimDisk::new(0);
    let marker = Path::new(DIR).join("marker");
    disk.put(&marker, &[]);
    disk.delete(&marker);
    files.iter().for_each(|(path, bytes)| disk.put(path, bytes));

    let reading = read(scene, &disk);
    assert_eq!(format!("{reading:?}"), format!("{:?}", read(scene, &disk)), "another reading");
    let look = look(&disk);
    assert!(disk.contents() == files, "reading changed the files");
    match reading {
        Err(error) => {
            check_error(&error, &files, done.forged);
            if let (Some((summary, _)), StorageError::Corruption(_), false) = (look, &error, done.forged) {
                assert!(summary.damaged > 0, "inspection does not see: {error}");
            }
        }
        Ok(reading) => {
            check_order(&reading);
            check_look(&reading, look.as_ref(), done.forged);
            if !done.forged {
                check_content(scene, &files, &reading);
                check_snapshot(scene, &files, &reading);
            }
            if edits.iter().map(|byte| usize::from(*byte)).sum::<usize>() % GOES_ON_ONE_IN == 0 {
                goes_on(scene, &disk, reading);
            }
        }
    }
}

fn read(scene: &Scene, disk: &SimDisk) -> Result<Reading, StorageError> {
    let (mut sections, mut records) = (Vec::new(), Vec::new());
    let recovered = block_on(recover(&Watched(disk.clone()), &scene.home, |replayed| {
        match replayed {
            Replayed::Section { index, bytes } => {
                assert!(
                    records.is_empty() && index == sections.len() as u64,
                    "sections come first, in order"
                );
                assert_eq!(bytes.as_ptr().align_offset(16), 0);
                sections.push(bytes.to_vec());
            }
            Replayed::Record { lsn, bytes } => {
                assert_eq!(bytes.as_ptr().align_offset(16), 0);
                records.push((lsn.0, bytes.to_vec()));
            }
        }
        Ok::<_, Infallible>(())
    }));
    match recovered {
        Ok(recovered) => Ok(Reading { sections, records, recovered }),
        Err(RecoverError::Storage(error)) => Err(error),
        Err(RecoverError::Visitor { source, .. }) => match source {},
    }
}

/// What inspection finds: the sum and the records. `None` where there is nothing to inspect.
fn look(disk: &SimDisk) -> Option<(Summary, Records)> {
    let mut records = Vec::new();
    let summary = block_on(inspect(&Watched(disk.clone()), Path::new(DIR), |found| {
        if let Found::Record { lsn, bytes, .. } = found {
            records.push((lsn.0, bytes.to_vec()));
        }
        Ok::<_, Infallible>(())
    }));
    summary.ok().map(|summary| (summary, records))
}

/// An error names a file that there is, or that is missing, and a place in it.
fn check_error(error: &StorageError, files: &Files, forged: bool) {
    match error {
        StorageError::Corruption(corruption) => {
            assert!(!corruption.reason.is_empty() && corruption.file.starts_with(DIR));
            let length = files.get(&corruption.file).map_or(0, Vec::len) as u64;
            assert!(corruption.offset <= length, "byte {} of {length}: {error}", corruption.offset);
        }
        StorageError::NewerVersion { file, .. } => {
            assert!(forged && files.contains_key(file), "{error}");
        }
        StorageError::NoBase { dir, detail, .. } => {
            assert!(dir == Path::new(DIR) && !detail.is_empty(), "{error}");
        }
        StorageError::LogTooShort { snapshot, .. } => assert!(files.contains_key(snapshot), "{error}"),
        other => panic!("not about damage: {other}"),
    }
}

/// Records without a hole or a repetition, counted rightly.
fn check_order(reading: &Reading) {
    let found = &reading.recovered;
    let start = found.snapshot.as_ref().map_or(1, |snapshot| snapshot.start().0);
    let numbers = reading.records.iter().map(|(lsn, _)| *lsn);
    assert!(numbers.eq(start..start + reading.records.len() as u64), "a hole or a repetition");
    assert_eq!(found.records, reading.records.len() as u64);
    assert_eq!(found.tail.next_lsn().0, start + found.records);
    let sections = found.snapshot.as_ref().map_or(0, |snapshot| snapshot.sections());
    assert_eq!(sections, reading.sections.len() as u64);
}

/// Inspection saw the same.
fn check_look(reading: &Reading, look: Option<&(Summary, Records)>, forged: bool) {
    let Some((summary, records)) = look else {
        return assert!(reading.records.is_empty() && reading.sections.is_empty());
    };
    let found = &reading.recovered;
    let start = found.snapshot.as_ref().map_or(1, |snapshot| snapshot.start().0);
    // Inspection looks at everything; damage in what recovery does not need keeps it from the rest.
    let log_is_whole = summary.damaged == 0;
    if found.snapshot.is_none() || log_is_whole {
        let same = records.iter().filter(|(lsn, _)| *lsn >= start).eq(&reading.records);
        assert!(same, "inspection reads other records");
    }
    if found.snapshot.is_none() {
        assert_eq!(summary.torn, found.gaps + u64::from(found.torn.is_some()));
        // Which log a snapshot belongs to, inspection of one shard does not know.
        let damaged = found.damaged_snapshots.len() as u64;
        assert!(summary.damaged == damaged || forged && summary.damaged < damaged);
    }
}

/// Nothing but what was written, and all of it that is still whole.
fn check_content(scene: &Scene, files: &Files, reading: &Reading) {
    let start = reading.recovered.snapshot.as_ref().map_or(scene.first, |snapshot| snapshot.start().0);
    assert!(start >= scene.first);
    for (place, (lsn, bytes)) in reading.records.iter().enumerate() {
        let written = usize::try_from(lsn - scene.first).ok().and_then(|index| scene.written.get(index));
        let is_last = place + 1 == reading.records.len();
        let torn = scene.torn.as_ref().filter(|(at, torn)| is_last && at == lsn && torn == bytes);
        assert!(written == Some(bytes) || torn.is_some(), "record {lsn} was not written so");
    }
    let next = start + reading.records.len() as u64;
    for block in &scene.blocks {
        let place = files.get(&block.file).and_then(|file| file.get(block.offset..));
        let whole = place.is_some_and(|place| place.starts_with(&block.bytes));
        let first = block.header.first_lsn.0;
        let lost = if block.header.records > 0 { first >= next } else { first > next };
        assert!(
            !(whole && lost),
            "the log ends at {next}, but block {} is whole in {} at {}",
            block.header.sequence,
            block.file.display(),
            block.offset
        );
    }
}

/// A snapshot is used whole, and one that is whole is never contradicted.
fn check_snapshot(scene: &Scene, files: &Files, reading: &Reading) {
    if let Some(snapshot) = &reading.recovered.snapshot {
        // A later state under an earlier head page is as good: sections may be ahead of where replaying starts, and say so.
        let start = snapshot.start().0;
        let known = scene.snapshots.range(start..).any(|(_, known)| known.sections == reading.sections);
        assert!(known, "other sections");
    }
    let is_whole = |path: &PathBuf| files.get(path).is_some_and(|file| scene.files.get(path) == Some(file));
    for (path, reason) in &reading.recovered.damaged_snapshots {
        assert!(!is_whole(path), "{} is whole, not damaged: {reason}", path.display());
    }
    for snapshot in scene.snapshots.values().filter(|snapshot| is_whole(&snapshot.file)) {
        assert!(
            reading.recovered.tail.next_lsn().0 > snapshot.reflects,
            "{} proves that there were more records",
            snapshot.file.display()
        );
    }
}

/// The log goes on where it ended: what is appended comes after what was recovered.
fn goes_on(scene: &Scene, disk: &SimDisk, before: Reading) {
    let tail = before.recovered.tail.clone();
    let mut log = block_on(Log::start(disk.clone(), scene.home.clone(), tail, OPTIONS)).unwrap();
    let last = log.append(b"and so on").unwrap();
    rig::flush(&mut log).unwrap();
    disk.kill_process();
    let after = read(scene, disk).expect("a log that went on is read");
    let (new, old) = after.records.split_last().expect("there is a new record");
    assert!(*new == (last.0, b"and so on".to_vec()) && old == before.records, "other records after a start");
}
