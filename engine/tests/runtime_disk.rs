//! The disk of the adapter: create, write, flush, reopen, read, rename, list, remove.
#![cfg(feature = "shard")]

use std::io::ErrorKind;
use std::path::PathBuf;

use engine::seam::{DISK_ALIGNMENT, Disk, DiskFile, Runtime};
use engine::shard::runtime::{ExecutorOptions, GlommioDisk, GlommioRuntime, run_pinned};

/// Runs `body` on an executor of its own, with a disk and an empty directory.
fn check<F: Future<Output = ()> + 'static>(
    body: impl FnOnce(GlommioRuntime, GlommioDisk, PathBuf) -> F + Send + 'static,
) {
    let root = tempfile::tempdir().expect("there is a place for temporary files");
    let path = root.path().to_owned();
    let options = ExecutorOptions { name: "disk-test".to_owned(), ..ExecutorOptions::default() };
    run_pinned(options, move |runtime| body(runtime.clone(), GlommioDisk::new(&runtime), path))
        .expect("an executor starts")
        .join()
        .expect("its body does not panic");
}

/// `len` bytes that differ by place and `seed`.
fn pattern(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|i| u8::try_from((i / 7 + i / 4096 + seed) % 251).expect("below 251")).collect()
}

#[test]
fn a_file_keeps_what_was_written_through_close_rename_and_reopen() {
    check(|_, disk, root| async move {
        let dir = root.join("a/b");
        disk.create_dir_all(&dir).await.unwrap();
        disk.create_dir_all(&dir).await.expect("fine when it exists");
        let (old, new) = (dir.join("old"), dir.join("new"));

        let file = disk.create_new(&old).await.unwrap();
        let data = pattern(5 * DISK_ALIGNMENT, 1);
        let mut buffer = file.buffer(8 * DISK_ALIGNMENT);
        assert!(buffer.as_ref().iter().all(|&byte| byte == 0), "zeroed");
        buffer.as_mut()[..data.len()].copy_from_slice(&data);
        // Only the first part goes out, and the whole buffer comes back.
        let mut buffer = file.write_at(buffer, data.len(), 0).await.unwrap();
        assert_eq!(buffer.as_ref().len(), 8 * DISK_ALIGNMENT);
        assert_eq!(&buffer.as_ref()[..data.len()], data);
        assert_eq!(file.len().await.unwrap(), data.len() as u64);
        let more = pattern(8 * DISK_ALIGNMENT, 2);
        buffer.as_mut().copy_from_slice(&more);
        let at = 3 * DISK_ALIGNMENT as u64;
        drop(file.write_at(buffer, more.len(), at).await.unwrap());
        file.sync_data().await.unwrap();
        disk.sync_dir(&dir).await.unwrap();

        disk.rename(&old, &new).await.unwrap();
        disk.sync_dir(&dir).await.unwrap();
        assert_eq!(
            file.len().await.expect("a file has its length under any name"),
            11 * DISK_ALIGNMENT as u64
        );
        file.close().await.unwrap();

        let file = disk.open(&new).await.unwrap();
        let mut whole = data;
        whole.truncate(3 * DISK_ALIGNMENT);
        whole.extend(more);
        assert_eq!(file.len().await.unwrap(), whole.len() as u64);
        assert!(
            file.read_at(0, 1 << 20).await.unwrap() == whole,
            "the whole, shorter at the end of the file"
        );
        let part = file.read_at(at, 2 * DISK_ALIGNMENT).await.unwrap();
        assert!(part == whole[3 * DISK_ALIGNMENT..5 * DISK_ALIGNMENT]);
        assert_eq!(file.read_at(1 << 20, DISK_ALIGNMENT).await.unwrap(), b"", "beyond the end");
        file.close().await.unwrap();
    });
}

#[test]
fn directories_list_their_names_in_order() {
    check(|_, disk, root| async move {
        for name in ["b", "a", "c"] {
            disk.create_new(&root.join(name)).await.unwrap().close().await.unwrap();
        }
        disk.create_dir_all(&root.join("d")).await.unwrap();
        assert_eq!(disk.list(&root).await.unwrap(), ["a", "b", "c", "d"]);
        disk.remove(&root.join("b")).await.unwrap();
        disk.rename(&root.join("a"), &root.join("c")).await.unwrap();
        disk.sync_dir(&root).await.unwrap();
        assert_eq!(disk.list(&root).await.unwrap(), ["c", "d"]);
    });
}

#[test]
fn errors_say_what_kind_they_are() {
    check(|_, disk, root| async move {
        let missing = root.join("missing");
        assert_eq!(disk.open(&missing).await.err().map(|e| e.kind()), Some(ErrorKind::NotFound));
        assert_eq!(disk.list(&missing).await.err().map(|e| e.kind()), Some(ErrorKind::NotFound));
        assert_eq!(disk.remove(&missing).await.err().map(|e| e.kind()), Some(ErrorKind::NotFound));
        assert_eq!(
            disk.rename(&missing, &root.join("x")).await.err().map(|e| e.kind()),
            Some(ErrorKind::NotFound)
        );
        assert_eq!(disk.sync_dir(&missing).await.err().map(|e| e.kind()), Some(ErrorKind::NotFound));
        let file = disk.create_new(&root.join("once")).await.unwrap();
        assert_eq!(
            disk.create_new(&root.join("once")).await.err().map(|e| e.kind()),
            Some(ErrorKind::AlreadyExists)
        );
        file.close().await.unwrap();
        let strange = PathBuf::from("a\0b");
        assert_eq!(disk.open(&strange).await.err().map(|e| e.kind()), Some(ErrorKind::InvalidInput));
    });
}

#[test]
fn many_writes_of_many_sizes_are_under_way_at_once() {
    check(|runtime, disk, root| async move {
        let file = std::rc::Rc::new(disk.create_new(&root.join("many")).await.unwrap());
        // 256 KiB is the log's largest write: more than the registered memory holds, so both kinds of buffer are used.
        let sizes: Vec<usize> = (0..24).map(|i| [1, 2, 16, 64][i % 4] * DISK_ALIGNMENT).collect();
        let mut offset = 0;
        let mut writes = Vec::new();
        for (i, &size) in sizes.iter().enumerate() {
            let (file, at) = (std::rc::Rc::clone(&file), offset);
            writes.push(runtime.spawn("write", async move {
                let mut buffer = file.buffer(64 * DISK_ALIGNMENT);
                buffer.as_mut()[..size].copy_from_slice(&pattern(size, i));
                drop(file.write_at(buffer, size, at as u64).await.expect("the disk takes it"));
            }));
            offset += size;
        }
        for write in writes {
            write.await;
        }
        file.sync_data().await.unwrap();
        let mut offset = 0;
        for (i, &size) in sizes.iter().enumerate() {
            assert!(file.read_at(offset as u64, size).await.unwrap() == pattern(size, i), "write {i}");
            offset += size;
        }
    });
}

#[test]
fn a_write_that_nobody_waits_for_harms_nothing() {
    use futures_lite::future::poll_once;
    check(|_, disk, root| async move {
        let file = disk.create_new(&root.join("dropped")).await.unwrap();
        for round in 0..200 {
            let mut buffer = file.buffer(4 * DISK_ALIGNMENT);
            buffer.as_mut().fill(7);
            let mut write = Box::pin(file.write_at(buffer, DISK_ALIGNMENT, 0));
            assert!(poll_once(write.as_mut()).await.is_none(), "a write takes a turn of the reactor");
            drop(write);
            if round % 10 == 0 {
                // Something else uses the memory that would be free too early.
                let mut buffer = file.buffer(4 * DISK_ALIGNMENT);
                buffer.as_mut().fill(9);
                drop(file.write_at(buffer, 4 * DISK_ALIGNMENT, 1 << 16).await.unwrap());
            }
        }
        let data = file.read_at(1 << 16, 4 * DISK_ALIGNMENT).await.unwrap();
        assert!(data.iter().all(|&byte| byte == 9));
        file.close().await.unwrap();
    });
}

/// Looking at the directory of a running server: what it removes meanwhile is there or is not, and never a panic.
#[test]
fn a_file_that_goes_while_it_is_opened_for_reading_is_whole_or_not_found() {
    check(|runtime, _, root| async move {
        let looking = GlommioDisk::reading(&runtime);
        let (name, other) = (root.join("segment"), root.join("removed"));
        let data = pattern(DISK_ALIGNMENT, 3);
        std::fs::write(root.join("stays"), &data).unwrap();
        looking.open(&root.join("stays")).await.expect("a file that stays").close().await.unwrap();
        let ended = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let server = std::thread::spawn({
            let (ended, data, name) = (std::sync::Arc::clone(&ended), data.clone(), name.clone());
            move || {
                while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                    std::fs::write(&other, &data).unwrap();
                    std::fs::rename(&other, &name).unwrap();
                    std::fs::remove_file(&name).unwrap();
                }
            }
        });
        let (mut found, mut missed) = (0, 0);
        // Until enough of both was seen: a machine with one processor takes longer for it.
        let deadline = std::time::Instant::now() + std::time::Duration::from_mins(2);
        while found < 200 || missed < 200 {
            assert!(std::time::Instant::now() < deadline, "{found} were found, and {missed} were not");
            match looking.open(&name).await {
                Ok(file) => {
                    assert!(file.read_at(0, DISK_ALIGNMENT).await.unwrap() == data);
                    file.close().await.unwrap();
                    found += 1;
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
                    missed += 1;
                }
            }
        }
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
        server.join().unwrap();
    });
}

#[test]
fn what_is_held_stays_as_it_was_though_its_owner_removes_it() {
    check(|runtime, _, root| async move {
        let looking = GlommioDisk::reading(&runtime);
        let (old, new) = (root.join("1-old"), root.join("2-new"));
        std::fs::write(&old, pattern(DISK_ALIGNMENT, 1)).unwrap();
        std::fs::write(root.join("3-not-chosen"), pattern(DISK_ALIGNMENT, 3)).unwrap();
        let chosen = |names: &[String]| names.iter().filter(|name| !name.contains("not")).cloned().collect();
        looking.hold(&root, chosen).await.unwrap();
        for name in ["1-old", "3-not-chosen"] {
            std::fs::remove_file(root.join(name)).unwrap();
        }
        std::fs::write(&new, pattern(DISK_ALIGNMENT, 2)).unwrap();

        assert_eq!(looking.list(&root).await.unwrap(), ["1-old", "3-not-chosen"], "the names of that moment");
        for _ in 0..2 {
            let file = looking.open(&old).await.expect("a held file opens as often as it is asked for");
            assert!(file.read_at(0, DISK_ALIGNMENT).await.unwrap() == pattern(DISK_ALIGNMENT, 1));
            file.close().await.unwrap();
        }
        let gone = looking.open(&root.join("3-not-chosen")).await;
        assert_eq!(gone.err().map(|error| error.kind()), Some(ErrorKind::NotFound));
        looking.open(&new).await.expect("what came later is there all the same").close().await.unwrap();

        looking.let_go();
        assert_eq!(looking.list(&root).await.unwrap(), ["2-new"]);
        assert_eq!(looking.open(&old).await.err().map(|error| error.kind()), Some(ErrorKind::NotFound));
        let gone = looking.hold(&root, |_| vec!["1-old".to_owned()]).await;
        assert_eq!(
            gone.err().map(|error| error.kind()),
            Some(ErrorKind::NotFound),
            "it went before it was held"
        );
    });
}
