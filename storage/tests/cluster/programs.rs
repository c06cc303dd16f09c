//! Finding PostgreSQL's server programs and running them as a user they accept.
//!
//! **Runs on**: the thread of a test.
//! **Invariants**: no program is started with the caller's `PG*` variables; as root, everything that touches a data
//! directory runs as the system user `postgres`, because the server refuses root.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where the programs are, and as whom they run.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    directory: PathBuf,
    /// User and group, when this process is root.
    identity: Option<(u32, u32)>,
}

impl Programs {
    /// Looks for `initdb` where `pg_config` says, where Debian puts versions, and on the path.
    pub(crate) fn find() -> Self {
        let mut places = Vec::new();
        if let Ok(output) = Command::new("pg_config").arg("--bindir").stdin(Stdio::null()).output() {
            places.push(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
        }
        let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
            .map(|entries| entries.flatten().map(|entry| entry.path().join("bin")).collect())
            .unwrap_or_default();
        versions.sort();
        places.extend(versions.into_iter().rev());
        if let Some(path) = std::env::var_os("PATH") {
            places.extend(std::env::split_paths(&path));
        }
        let directory = places
            .into_iter()
            .find(|place| place.join("initdb").is_file() && place.join("postgres").is_file())
            .expect("PostgreSQL's server programs are needed: apt-get install postgresql");
        let root = Path::new("/proc/self").metadata().unwrap().uid() == 0;
        Self { directory, identity: root.then(postgres_user) }
    }

    /// A command that runs as this process's user; for clients.
    pub(crate) fn client(&self, name: &str) -> Command {
        let mut command = Command::new(self.directory.join(name));
        command
            .env_clear()
            .env("LC_ALL", "C")
            .env("PATH", &self.directory)
            .current_dir("/")
            .stdin(Stdio::null());
        command
    }

    /// A command that runs as the owner of the data directories.
    pub(crate) fn server(&self, name: &str) -> Command {
        let mut command = self.client(name);
        if let Some((user, group)) = self.identity {
            command.uid(user).gid(group);
        }
        command
    }

    /// Gives a file or directory to the owner of the data directories.
    pub(crate) fn give(&self, path: &Path) {
        if let Some((user, group)) = self.identity {
            chown(path, Some(user), Some(group)).unwrap();
        }
    }
}

/// Runs to the end; the standard output, or what went wrong.
pub(crate) fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!(
            "{} ended with {}: {}",
            command.get_program().display(),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        ))
    }
}

fn postgres_user() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let line = users
        .lines()
        .find(|line| line.starts_with("postgres:"))
        .expect("as root, the servers of a test run as the system user postgres, and there is none");
    let fields: Vec<&str> = line.split(':').collect();
    (fields[2].parse().unwrap(), fields[3].parse().unwrap())
}
