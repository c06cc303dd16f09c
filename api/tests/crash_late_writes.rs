//! Writes of a killed process may still be on their way to the device when it is gone, and land later. A file that is opened
//! waits for them: what recovery reads stays as it was read, and nothing lands on what is written afterwards.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use engine::seam::{DISK_ALIGNMENT, Disk, DiskFile, Runtime};
use engine::shard::runtime::{ExecutorOptions, GlommioDisk, GlommioRuntime, run_pinned};

/// Writes that are under way when the process is killed, and bytes of each.
const WRITES: u64 = 120;
const BYTES: usize = 256 << 10;
/// Without the wait some round finds late writes; how many rounds it takes is the device's.
const ROUNDS: usize = 8;
/// Set for the process that writes: the file.
const WRITER: &str = "COINBITCLUB_LATE_WRITER";

fn on_executor<F>(body: impl FnOnce(GlommioRuntime) -> F + Send + 'static) -> F::Output
where
    F: Future + 'static,
    F::Output: Send + 'static,
{
    let options = ExecutorOptions { name: "late".to_owned(), cpu: None, heartbeat: None };
    run_pinned(options, body).expect("an executor starts").join().expect("it ends in order")
}

fn place(n: u64) -> u64 {
    n * BYTES as u64
}

/// Begins writes that fill the file with one byte.
async fn fill(runtime: &GlommioRuntime, file: &Path, byte: u8, create: bool) -> Vec<impl Future + use<>> {
    let disk = GlommioDisk::new(runtime);
    let opened = if create { disk.create_new(file).await } else { disk.open(file).await };
    let opened = std::rc::Rc::new(opened.expect("the file opens"));
    let mut writes = Vec::new();
    for n in 0..WRITES {
        let file = std::rc::Rc::clone(&opened);
        let mut buffer = file.buffer(BYTES);
        buffer.as_mut().fill(byte);
        writes.push(runtime.spawn("write", async move {
            drop(file.write_at(buffer, BYTES, place(n)).await.expect("it is written"));
        }));
    }
    writes
}

/// The process that is killed: it has many writes under way when it says so, and waits for none.
#[test]
fn writer() {
    let Some(file) = std::env::var_os(WRITER).map(PathBuf::from) else { return };
    on_executor(move |runtime| async move {
        let writes = fill(&runtime, &file, 1, false).await;
        // One turn submits them.
        runtime.turn().await;
        println!("under way");
        for write in writes {
            write.await;
        }
        std::thread::sleep(Duration::from_secs(60));
    });
}

/// The first byte of each write's last page.
async fn look(file: &impl DiskFile) -> Vec<u8> {
    let mut found = Vec::new();
    for n in (0..WRITES).rev() {
        let page = place(n + 1) - DISK_ALIGNMENT as u64;
        found.push(file.read_at(page, DISK_ALIGNMENT).await.expect("it is read")[0]);
    }
    found
}

#[test]
fn nothing_of_a_killed_process_lands_after_its_file_was_opened_again() {
    let dir = tempfile::tempdir().expect("a directory");
    for round in 0..ROUNDS {
        let file = dir.path().join(format!("file{round}"));
        let zeroed = file.clone();
        on_executor(move |runtime| async move {
            for write in fill(&runtime, &zeroed, 0, true).await {
                write.await;
            }
        });
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "writer", "--nocapture"])
            .env(WRITER, &file)
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts again");
        let mut out = child.stdout.take().expect("its standard output is a pipe");
        let mut said = Vec::new();
        while !said.ends_with(b"under way") {
            let mut byte = [0];
            assert_eq!(out.read(&mut byte).expect("a pipe is readable"), 1, "it ended: {said:?}");
            said.push(byte[0]);
        }
        child.kill().expect("SIGKILL");
        child.wait().expect("it is gone");
        let (first, later) = on_executor(move |runtime| async move {
            let disk = GlommioDisk::new(&runtime);
            let opened = disk.open(&file).await.expect("it opens");
            let first = look(&opened).await;
            std::thread::sleep(Duration::from_millis(300));
            (first, look(&opened).await)
        });
        let late = first.iter().zip(&later).filter(|(first, later)| first != later).count();
        assert_eq!(late, 0, "round {round}: {late} of {WRITES} writes landed after the file was opened");
    }
}
