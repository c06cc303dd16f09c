//! Bounded reads of `/proc` and `/sys` under a root that tests replace, and the kernel's CPU list format.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Longest source read; `/proc/interrupts` of a 256-CPU host stays below it.
const SOURCE_BYTES_MAX: u64 = 1 << 20;

/// One above the largest CPU number accepted; the kernel's own limit (NR_CPUS) is 8192 on the largest builds.
const CPU_NUMBERS: usize = 8192;

/// Why a source gave no figure.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The file is missing or may not be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The file says something this version does not understand.
    #[error("{path}: not understood: {text:?}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// The start of what it says.
        text: String,
    },
    /// The kernel gave no CPU mask for this thread.
    #[error("sched_getaffinity gave no CPU: is it forbidden by a seccomp filter?")]
    NoCpus,
}

/// Where sources are read.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    root: PathBuf,
    process: String,
}

impl Host {
    /// Sources under `root`; process sources of `pid`, or of this process.
    pub(crate) fn new(root: &Path, pid: Option<u32>) -> Self {
        let process = pid.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
        Self { root: root.to_owned(), process }
    }

    /// The full path of a source.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Reads a file such as `proc/stat`, up to [`SOURCE_BYTES_MAX`], without trailing white space.
    pub(crate) fn read(&self, path: &str) -> Result<String, HostError> {
        let path = self.path(path);
        let failed = |source| HostError::Read { path: path.clone(), source };
        let mut bytes = Vec::new();
        File::open(&path).map_err(failed)?.take(SOURCE_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
        Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    }

    /// Reads a file of the judged process, such as `limits`.
    pub(crate) fn read_process(&self, name: &str) -> Result<String, HostError> {
        self.read(&self.process_path(name))
    }

    /// The path, below the root, of a file of the judged process.
    pub(crate) fn process_path(&self, name: &str) -> String {
        format!("proc/{}/{name}", self.process)
    }

    /// Reads a file that holds one number.
    pub(crate) fn read_number(&self, path: &str) -> Result<u64, HostError> {
        let text = self.read(path)?;
        text.trim().parse().map_err(|_| self.not_understood(path, &text))
    }

    /// Reads a file that holds one CPU list such as `0-3,8`.
    pub(crate) fn read_cpu_list(&self, path: &str) -> Result<Vec<usize>, HostError> {
        let text = self.read(path)?;
        parse_cpu_list(&text).ok_or_else(|| self.not_understood(path, &text))
    }

    /// The value of `key:` in a file of the judged process, such as `status`.
    pub(crate) fn process_field(&self, name: &str, key: &str) -> Result<String, HostError> {
        let text = self.read_process(name)?;
        text.lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
            .map(|value| value.trim().to_owned())
            .ok_or_else(|| self.not_understood(&self.process_path(name), &text))
    }

    /// The error for a source whose text makes no sense.
    pub(crate) fn not_understood(&self, path: &str, text: &str) -> HostError {
        HostError::Parse { path: self.path(path), text: text.chars().take(80).collect() }
    }
}

/// Parses the kernel's CPU list format, `0-3,8,10-11`. Sorted, without duplicates; an empty text is no CPU.
/// `None` when malformed or when a number is 8192 or more.
#[must_use]
pub fn parse_cpu_list(text: &str) -> Option<Vec<usize>> {
    let mut cpus = Vec::new();
    for part in text.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (first.trim().parse().ok()?, last.trim().parse().ok()?),
            None => {
                let cpu: usize = part.trim().parse().ok()?;
                (cpu, cpu)
            }
        };
        if first > last || last >= CPU_NUMBERS {
            return None;
        }
        cpus.extend(first..=last);
    }
    cpus.sort_unstable();
    cpus.dedup();
    Some(cpus)
}

/// Writes CPUs in the kernel's list format. Expects them sorted.
#[must_use]
pub fn format_cpu_list(cpus: &[usize]) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut rest = cpus;
    while let Some((&first, _)) = rest.split_first() {
        let run = rest.iter().enumerate().take_while(|&(offset, &cpu)| cpu == first + offset).count();
        parts.push(match run {
            1 => first.to_string(),
            _ => format!("{first}-{}", first + run - 1),
        });
        rest = &rest[run..];
    }
    parts.join(",")
}

/// A directory that stands for a host in tests.
#[cfg(test)]
pub(crate) mod fixture {
    use super::Host;

    /// Files of a made-up host, removed on drop.
    pub(crate) struct Fixture(tempfile::TempDir);

    impl Fixture {
        /// A host with these files, given as path and content.
        pub(crate) fn new(files: &[(&str, &str)]) -> Self {
            let fixture = Self(tempfile::tempdir().unwrap());
            for (path, text) in files {
                fixture.write(path, text);
            }
            fixture
        }

        /// Writes or replaces one file.
        pub(crate) fn write(&self, path: &str, text: &str) {
            let path = self.0.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }

        /// The host.
        pub(crate) fn host(&self) -> Host {
            Host::new(self.0.path(), None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_lists_round_trip() {
        for text in ["", "0", "0-3", "0-3,8", "1,3,5,7", "0-1,4-5,8191"] {
            assert_eq!(format_cpu_list(&parse_cpu_list(text).unwrap()), text);
        }
        assert_eq!(parse_cpu_list("3,1,1-2\n").unwrap(), [1, 2, 3]);
        for bad in ["x", "3-1", "0-8192", "0-18446744073709551615", "-1", "1-"] {
            assert_eq!(parse_cpu_list(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_missing_and_a_senseless_source_name_the_file() {
        let fixture = fixture::Fixture::new(&[("proc/sys/vm/swappiness", "lots\n")]);
        let host = fixture.host();
        let error = host.read_number("proc/sys/vm/swappiness").unwrap_err().to_string();
        assert!(error.contains("vm/swappiness") && error.contains("lots"), "{error}");
        assert!(host.read("proc/stat").unwrap_err().to_string().contains("proc/stat"));
    }

    #[test]
    fn another_process_is_read_by_its_id() {
        let fixture = fixture::Fixture::new(&[("proc/42/status", "Name:\tx\nSeccomp:\t2\n")]);
        let host = Host::new(&fixture.host().root, Some(42));
        assert_eq!(host.process_field("status", "Seccomp").unwrap(), "2");
        assert!(host.process_field("status", "Absent").is_err());
    }
}
