//! `coinbitclub metrics dump`.

use std::path::Path;
use std::time::{Duration, Instant};

/// How long the server may take to write its files.
const LIMIT: Duration = Duration::from_secs(10);

/// Has the server that holds `data` write its histograms, and prints the files.
///
/// # Errors
/// No server, or it did not write in time.
pub fn dump(data: &Path) -> Result<(), String> {
    let lock = data.join("LOCK");
    let text = std::fs::read_to_string(&lock)
        .map_err(|error| format!("{}: {error}; is the server running with this --data?", lock.display()))?;
    let pid: i32 = text.trim().parse().map_err(|_| format!("{}: holds no process id", lock.display()))?;
    let done = data.join("metrics").join("DONE");
    let before = std::fs::read_to_string(&done).ok();
    crate::sys::ask_for_dump(pid)
        .map_err(|error| format!("process {pid}: {error}; is the server still running?"))?;
    let asked = Instant::now();
    while std::fs::read_to_string(&done).ok() == before {
        if asked.elapsed() > LIMIT {
            return Err(format!("process {pid} wrote nothing within {} s; see its log", LIMIT.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let dir = data.join("metrics");
    let mut files: Vec<_> = std::fs::read_dir(&dir)
        .map_err(|error| format!("{}: {error}", dir.display()))?
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "hgrm" || e == "hlog"))
        .collect();
    files.sort();
    for file in files {
        println!("{}", file.display());
    }
    Ok(())
}
