//! "There is none" is an ordinary answer to opening `CURRENT` or removing a leftover; any other error is not, and ends what
//! asked with what was refused. Taken for an absence, a `CURRENT` that cannot be opened would begin a new data directory.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::rig::refusing::Refusing;
use crate::rig::{DIR, OPTIONS, append_blocks, recovered, segment_path, shard, start};
use std::io::ErrorKind;
use std::path::Path;
use storage::sim_disk::{SimDisk, block_on};
use storage::{
    DataDirectory, Log, Lsn, PrepareError, Salt, ShardHome, SnapshotWriter, StorageError, recover,
};

const ROOT: &str = "/srv/data";

fn refusing(disk: &SimDisk, call: &'static str, name: &'static str, kind: ErrorKind) -> Refusing {
    Refusing { disk: disk.clone(), call, name, kind }
}

fn open(disk: Refusing) -> Result<DataDirectory<Refusing>, StorageError> {
    block_on(DataDirectory::open(disk, Path::new(ROOT), 2, Salt(1)))
}

/// What was refused, in the words of the error.
fn refused<T>(result: Result<T, StorageError>) -> (&'static str, String, ErrorKind) {
    match result.map(drop) {
        Err(StorageError::Io { operation, path, source }) => {
            (operation, path.display().to_string(), source.kind())
        }
        other => panic!("not an error of the disk: {other:?}"),
    }
}

#[test]
fn a_current_that_cannot_be_opened() {
    let disk = SimDisk::new(31);
    block_on(DataDirectory::open(disk.clone(), Path::new(ROOT), 2, Salt(1))).unwrap();
    let before = disk.contents();
    let denied = refused(open(refusing(&disk, "open", "CURRENT", ErrorKind::PermissionDenied)));
    assert_eq!(denied, ("open", format!("{ROOT}/CURRENT"), ErrorKind::PermissionDenied));
    assert!(disk.contents() == before, "nothing was begun");
}

#[test]
fn a_leftover_that_cannot_be_removed() {
    let denied = ErrorKind::PermissionDenied;
    let disk = SimDisk::new(31);
    let found = refused(open(refusing(&disk, "remove", "CURRENT.tmp", denied)));
    assert_eq!(found, ("remove", format!("{ROOT}/CURRENT.tmp"), denied));
    assert!(disk.contents().is_empty(), "nothing was written");

    let (disk, home) = shard(31);
    let tmp = "snap-00000000000000000001.snap.tmp";
    let begun = block_on(SnapshotWriter::begin(refusing(&disk, "remove", tmp, denied), home.clone(), Lsn(1)));
    assert_eq!(refused(begun), ("remove", format!("{DIR}/{tmp}"), denied));
    assert!(disk.contents().is_empty(), "nothing was written");

    let tmp = "seg-0000000000000001.log.tmp";
    let found = refused(start_log(refusing(&disk, "remove", tmp, denied), &home));
    assert_eq!(found, ("prepare a segment", format!("{DIR}/seg-0000000000000001.log"), denied));
    assert!(disk.contents().is_empty(), "nothing was written");

    disk.put(&Path::new(DIR).join("anything.tmp"), b"");
    let found = refused(start_log(refusing(&disk, "remove", "anything.tmp", denied), &home));
    assert_eq!(found, ("remove", format!("{DIR}/anything.tmp"), denied));
    // One that another has removed meanwhile is gone as it should be.
    start_log(refusing(&disk, "remove", "anything.tmp", ErrorKind::NotFound), &home).map(drop).unwrap();
}

fn start_log(disk: Refusing, home: &ShardHome) -> Result<Log<Refusing>, StorageError> {
    let tail = recovered(&disk.disk, home).recovered.tail;
    block_on(Log::start(disk, home.clone(), tail, OPTIONS))
}

#[test]
fn a_directory_above_that_this_user_may_not_read() {
    for dir in ["/", "/srv"] {
        let disk = SimDisk::new(31);
        let other = refused(open(refusing(&disk, "sync_dir", dir, ErrorKind::Other)));
        assert_eq!(other, ("sync", dir.to_owned(), ErrorKind::Other));
        // It was there before: nothing of it has to be made durable.
        assert_eq!(
            open(refusing(&SimDisk::new(31), "sync_dir", dir, ErrorKind::PermissionDenied))
                .unwrap()
                .shards()
                .len(),
            2
        );
    }
}

#[test]
fn a_shard_of_another_generation_that_cannot_be_listed() {
    let disk = SimDisk::new(31);
    let opened = block_on(DataDirectory::open(disk.clone(), Path::new(ROOT), 2, Salt(1))).unwrap();
    // An interrupted switch, and something that is not a shard's.
    let stranger = Path::new(ROOT).join("gen-00000002/notes");
    disk.put(&stranger.join("kept"), b"x");
    let left = Path::new(ROOT).join("gen-00000002/shard-007");
    disk.put(&left.join("seg-0000000000000001.log"), b"x");
    let denied = refused(open(refusing(&disk, "list", "shard-007", ErrorKind::PermissionDenied)));
    assert_eq!(denied, ("list", left.display().to_string(), ErrorKind::PermissionDenied));
    open(refusing(&disk, "list", "shard-007", ErrorKind::NotFound)).unwrap();
    assert!(disk.read(&left.join("seg-0000000000000001.log")).is_some(), "it was not seen");
    let again = open(refusing(&disk, "list", "nothing", ErrorKind::NotFound)).unwrap();
    assert_eq!((again.generation(), again.shards()), (opened.generation(), opened.shards()));
    assert!(disk.read(&left.join("seg-0000000000000001.log")).is_none(), "what a switch left is removed");
    assert!(disk.read(&stranger.join("kept")).is_some(), "a stranger is not");
}

#[test]
fn a_quota_is_a_full_disk() {
    for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded] {
        let (disk, home) = shard(31);
        let (mut log, _) = start(&disk, &home);
        append_blocks(&mut log, [b"one".to_vec()]);
        drop(log);
        let disk = refusing(&disk, "create", "seg-0000000000000003.log.tmp", kind);
        let mut log = start_log(disk.clone(), &home).unwrap();
        while log.take_preparation().is_none() {
            log.append(&[1; 200_000]).unwrap();
            let batch = log.take_batch().unwrap().unwrap();
            log.committed(block_on(batch.write())).unwrap();
        }
        drop(log);
        let mut log = start_log(disk, &home).unwrap();
        let work = log.take_preparation().unwrap();
        match log.prepared(block_on(work.run_at_once())) {
            Err(PrepareError::NoSpace { path, needed }) => {
                assert_eq!((path, needed), (segment_path(3), OPTIONS.segment_bytes));
            }
            other => panic!("{kind}: {other:?}"),
        }
        assert!(log.failure().is_none(), "{kind}: the log goes on");

        let (disk, home) = shard(31);
        let tmp = "snap-00000000000000000001.snap.tmp";
        let begun = block_on(SnapshotWriter::begin(refusing(&disk, "create", tmp, kind), home, Lsn(1)));
        assert!(matches!(begun.map(drop), Err(StorageError::NoSpace { .. })), "{kind}");
    }
}

#[test]
fn a_segment_that_cannot_be_opened_is_not_left_out() {
    let (disk, home) = shard(31);
    let (mut log, _) = start(&disk, &home);
    append_blocks(&mut log, [b"one".to_vec()]);
    let disk = refusing(&disk, "open", "seg-0000000000000001.log", ErrorKind::NotFound);
    let found = block_on(recover(&disk, &home, |_| Ok::<_, StorageError>(())));
    assert!(matches!(found, Err(storage::RecoverError::Storage(StorageError::Io { operation: "open", .. }))));
}
