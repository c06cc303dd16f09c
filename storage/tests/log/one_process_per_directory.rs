//! Two servers on one data directory: the second is refused and told who has it; the lock ends with its holder.
#![allow(clippy::unwrap_used, reason = "tests")]

use storage::{DirectoryLock, StorageError};

#[test]
fn the_second_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    let lock = DirectoryLock::acquire(&data).unwrap();
    let error = DirectoryLock::acquire(&data).unwrap_err();
    let pid = std::process::id();
    assert!(matches!(error, StorageError::Locked { holder: Some(holder), .. } if holder == pid));
    let text = error.to_string();
    assert!(text.contains(&format!("process {pid}")) && text.contains("another data directory"), "{text}");
    drop(lock);
    DirectoryLock::acquire(&data).unwrap();
}

#[test]
fn a_stale_file_locks_nothing() {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("LOCK"), "99999999 and more than a new process id\n").unwrap();
    let _lock = DirectoryLock::acquire(root.path()).unwrap();
    let text = std::fs::read_to_string(root.path().join("LOCK")).unwrap();
    assert_eq!(text.trim(), std::process::id().to_string());
}

#[test]
fn empty_directories_of_other_generations_go() {
    let root = tempfile::tempdir().unwrap();
    let lines = "coinbitclub-data 1\ngeneration 2\nshards 1\nsalt 0000000000000001\n";
    let current = format!("{lines}crc32c {:08x}\n", crc32c::crc32c(lines.as_bytes()));
    std::fs::write(root.path().join("CURRENT"), current).unwrap();
    for generation in ["gen-00000001", "gen-00000002", "gen-00000003", "gen-00000004"] {
        std::fs::create_dir_all(root.path().join(generation).join("shard-000")).unwrap();
    }
    std::fs::write(root.path().join("gen-00000004/shard-000/kept"), "x").unwrap();
    let lock = DirectoryLock::acquire(root.path()).unwrap();
    lock.remove_empty_directories().unwrap();
    let exists = |generation| root.path().join(generation).exists();
    assert!(!exists("gen-00000001") && !exists("gen-00000003"));
    assert!(exists("gen-00000002/shard-000"), "the current one stays although it is empty");
    assert!(exists("gen-00000004/shard-000/kept"), "nothing but empty directories goes");
}
