//! A small ext4 file system of a test's own, on a file: to fill it up, and to let its device fail.
//!
//! **Invariants**: unmounted and removed when its value goes, also when the test fails; what a killed test left is removed by
//! the next one. Needs root and loop devices: [`LoopDisk::new`] says so when it has not got them.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{files, wait_until};

const NAME: &str = "coinbitclub-loop-";
/// A block of the file system.
const BLOCK_BYTES: u64 = 4096;

/// The file system. Declare it before the servers on it: they have to end first.
pub struct LoopDisk {
    /// Where the test's other files can be.
    pub root: PathBuf,
    image: PathBuf,
    mounted: PathBuf,
    /// What [`LoopDisk::fail_segments`] took away: from which byte on.
    taken: Option<(u64, Vec<u8>)>,
}

/// Runs a program.
///
/// # Errors
/// What it says.
fn run(words: &[&str]) -> Result<String, String> {
    let output = Command::new(words[0]).args(&words[1..]).output();
    let output = output.map_err(|error| format!("{}: {error}", words[0]))?;
    if !output.status.success() {
        return Err(format!("{words:?}: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the path is UTF-8")
}

/// Says that a test is left out, also to `cargo xtask test`, which shows it in its summary.
fn left_out(why: &str) {
    println!("LEFT OUT: {why}");
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("left-out-crash_real_disk.txt");
    fs::write(path, why).expect("cargo's directory for tests is there");
}

/// Removes what tests left whose process is gone.
fn sweep() {
    for entry in fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(NAME)) else { continue };
        let pid = rest.split('-').next().unwrap_or_default();
        if !pid.is_empty() && !Path::new("/proc").join(pid).exists() {
            let _ = run(&["umount", "-l", text(&entry.path().join("data"))]);
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}

impl LoopDisk {
    /// A file system of so many bytes at `root/data`; `None`, with a line that says why, where it cannot be had.
    pub fn new(bytes: u64) -> Option<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let root_user = fs::metadata("/proc/self").expect("/proc is there").uid() == 0;
        if !root_user {
            left_out("a file system of the test's own can only be mounted by root");
            return None;
        }
        sweep();
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("{NAME}{}-{n}", std::process::id()));
        let (image, mounted) = (root.join("image"), root.join("data"));
        fs::create_dir_all(&mounted).expect("a directory is made");
        File::create(&image).and_then(|file| file.set_len(bytes)).expect("an image is made");
        let disk = Self { root, image, mounted, taken: None };
        let made =
            run(&["mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0", "-O", "^has_journal", text(&disk.image)]);
        match made.and_then(|_| disk.mount()) {
            Ok(()) => {
                fs::remove_dir(disk.mounted.join("lost+found")).expect("it is empty");
                Some(disk)
            }
            Err(why) => {
                left_out(&format!("no loop device or no ext4 here: {why}"));
                None
            }
        }
    }

    fn mount(&self) -> Result<(), String> {
        run(&["mount", "-o", "loop,noatime", text(&self.image), text(&self.mounted)]).map(drop)
    }

    /// Leaves no room.
    pub fn fill(&self) {
        let mut filler = File::create(self.mounted.join("filler")).expect("a file is made");
        for chunk in [1 << 20, 4096] {
            // Until the file system refuses it, which is what is wanted.
            while filler.write_all(&vec![1; chunk]).is_ok() {}
        }
        // What was taken and not yet given a place would be refused only now.
        filler.sync_all().ok();
    }

    /// Makes room again.
    pub fn make_room(&self) {
        fs::remove_file(self.mounted.join("filler")).expect("the filler is there");
    }

    /// From now on the device fails where the segments of the log are, and beyond: reads and writes alike.
    pub fn fail_segments(&mut self) {
        let segments = files::segments(&self.mounted);
        let first =
            segments.iter().flat_map(|segment| extents(segment)).min().expect("a segment has a place");
        let mut image = File::options().read(true).write(true).open(&self.image).expect("it opens");
        let mut rest = Vec::new();
        image.seek(SeekFrom::Start(first)).and_then(|_| image.read_to_end(&mut rest)).expect("it is read");
        self.taken = Some((first, rest));
        let device = self.device();
        // A write that was under way makes the image longer again, until the device is seen to be shorter.
        wait_until("the device is shorter", || {
            image.set_len(first).expect("the image is cut");
            run(&["losetup", "-c", &device]).expect("the device is measured again");
            let bytes = run(&["blockdev", "--getsize64", &device]).expect("it tells its size");
            (bytes.trim() != first.to_string()).then_some(bytes)
        });
    }

    /// Repairs what [`LoopDisk::fail_segments`] broke. Nothing may use it.
    pub fn repair(&mut self) {
        let (first, rest) = self.taken.take().expect("it was broken");
        run(&["umount", text(&self.mounted)]).expect("nothing uses it");
        let mut image = File::options().write(true).open(&self.image).expect("it opens");
        image.seek(SeekFrom::Start(first)).and_then(|_| image.write_all(&rest)).expect("it is written back");
        image.sync_all().expect("it is written back");
        self.mount().expect("it can be mounted again");
    }

    fn device(&self) -> String {
        let mounts = fs::read_to_string("/proc/mounts").expect("it is read");
        let line = mounts.lines().find(|line| line.split(' ').nth(1) == Some(text(&self.mounted)));
        line.and_then(|line| line.split(' ').next()).expect("it is mounted").to_owned()
    }
}

/// Where the pieces of a file begin on the device, in bytes.
fn extents(file: &Path) -> Vec<u64> {
    let printed = run(&["filefrag", "-v", "-b4096", text(file)]).expect("the file system tells");
    let physical = |line: &str| line.split(':').nth(2)?.trim().split("..").next()?.parse::<u64>().ok();
    printed.lines().filter_map(physical).map(|block| block * BLOCK_BYTES).collect()
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        // A lazy one detaches as soon as nothing uses it any more.
        if let Err(why) = run(&["umount", text(&self.mounted)]) {
            eprintln!("{why}");
            let _ = run(&["umount", "-l", text(&self.mounted)]);
        }
        fs::remove_dir_all(&self.root).ok();
    }
}
