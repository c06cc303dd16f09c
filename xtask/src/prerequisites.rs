//! The programs the steps need; what is missing is installed when this is root on a Debian or Ubuntu.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::steps::Outcome;

/// A program, the Debian package that brings it, and who needs it.
const PROGRAMS: &[(&str, &str, &str)] = &[
    ("cc", "build-essential", "glommio and mimalloc compile C"),
    ("git", "git", "glommio's build script calls it"),
    ("python3", "python3", "the independent recomputation of fills and profit"),
    ("openssl", "openssl", "a TLS peer, and certificates for tests"),
    ("curl", "curl", "a client of the served pages over TLS"),
    ("systemd-analyze", "systemd", "the check of the unit file"),
    ("psql", "postgresql-client", "the tests of history ask the database with it"),
    ("initdb", "postgresql", "the tests of history start a primary and replicas of their own"),
];

/// Where Debian keeps programs that are not on the path: one directory for each version of PostgreSQL.
const POSTGRES_VERSIONS: &str = "/usr/lib/postgresql";

/// Rust components, by the command that shows them to be there.
const COMPONENTS: &[(&str, &str)] = &[("fmt", "rustfmt"), ("clippy", "clippy")];

/// Looks for every program and component, installs what is missing where possible, and looks again.
pub(crate) fn check() -> Result<Outcome, String> {
    let mut installed = Vec::new();
    let packages = missing_packages();
    if !packages.is_empty() {
        install(&packages)?;
        let still = missing_packages();
        if !still.is_empty() {
            return Err(format!("still missing after the installation: {}", still.join(" ")));
        }
        installed.extend(packages);
    }
    for (command, component) in COMPONENTS {
        if quiet("cargo", &[command, "--version"]) {
            continue;
        }
        if !loud("rustup", &["component", "add", component]) || !quiet("cargo", &[command, "--version"]) {
            return Err(format!("cargo {command} is missing: rustup component add {component}"));
        }
        installed.push(component);
    }
    Ok(Outcome::Passed(if installed.is_empty() {
        "all there".to_owned()
    } else {
        format!("installed {}", installed.join(" "))
    }))
}

/// Programs that only some commands need.
const ON_DEMAND: &[(&str, &str, &str)] = &[
    ("python3", "python3-venv", "a WebSocket peer"),
    ("npm", "npm", "a WebSocket peer"),
    ("nginx", "nginx-light", "the peer of the HTTP benchmark"),
    ("wrk", "wrk", "load over HTTP"),
    ("taskset", "util-linux", "keeping server and load on CPUs of their own"),
];

/// Looks for programs of [`ON_DEMAND`] and installs what is missing where possible.
pub(crate) fn need(programs: &[&str]) -> Result<(), String> {
    let wanted = ON_DEMAND.iter().filter(|(program, ..)| programs.contains(program));
    let missing: Vec<&str> =
        wanted.filter(|(program, ..)| !on_path(program)).map(|&(_, package, _)| package).collect();
    if missing.is_empty() { Ok(()) } else { install(&missing) }
}

/// Whether rustup has a nightly toolchain.
pub(crate) fn has_nightly() -> bool {
    quiet("rustup", &["run", "nightly", "cargo", "--version"])
}

fn missing_packages() -> Vec<&'static str> {
    PROGRAMS.iter().filter(|(program, ..)| !is_there(program)).map(|&(_, package, _)| package).collect()
}

/// Whether a program can be run, on the path or as a server's program of PostgreSQL.
fn is_there(program: &str) -> bool {
    on_path(program) || in_a_version(Path::new(POSTGRES_VERSIONS), program)
}

fn in_a_version(versions: &Path, program: &str) -> bool {
    let Ok(entries) = versions.read_dir() else { return false };
    let mut places = entries.flatten().map(|entry| -> PathBuf { entry.path().join("bin").join(program) });
    places.any(|place| place.is_file())
}

fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|directory| directory.join(program).is_file()))
}

fn install(packages: &[&str]) -> Result<(), String> {
    let needs: Vec<String> = PROGRAMS
        .iter()
        .chain(ON_DEMAND)
        .filter(|(_, package, _)| packages.contains(package))
        .map(|(program, _, why)| format!("{program} ({why})"))
        .collect();
    let line = format!("missing: {}\ninstall with: apt-get install {}", needs.join(", "), packages.join(" "));
    if !is_root() || !on_path("apt-get") {
        return Err(line);
    }
    eprintln!("{line}");
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(packages);
    // A fresh image has no package lists, or old ones that name files long gone.
    if loud("apt-get", &arguments) || (loud("apt-get", &["update"]) && loud("apt-get", &arguments)) {
        Ok(())
    } else {
        Err(format!("apt-get failed\n{line}"))
    }
}

/// Whether this process is root: the owner of its own directory in `/proc`.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    Path::new("/proc/self").metadata().is_ok_and(|data| data.uid() == 0)
}

fn quiet(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn loud(program: &str, arguments: &[&str]) -> bool {
    // On standard error: standard output is the calling command's.
    eprintln!("$ {program} {}", arguments.join(" "));
    Command::new(program)
        .args(arguments)
        .stdout(std::io::stderr())
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_by_its_name_alone() {
        assert!(on_path("sh"));
        assert!(!on_path("no-such-program-here"));
        assert!(!on_path(""));
    }

    #[test]
    fn a_program_of_any_version_of_postgresql_is_found() {
        let versions = std::env::temp_dir().join(format!("coinbitclub-versions-{}", std::process::id()));
        std::fs::create_dir_all(versions.join("15/bin")).unwrap();
        std::fs::create_dir_all(versions.join("17")).unwrap();
        assert!(!in_a_version(&versions, "initdb"));
        std::fs::write(versions.join("15/bin/initdb"), "").unwrap();
        assert!(in_a_version(&versions, "initdb"));
        assert!(!in_a_version(&versions.join("nonexistent"), "initdb"));
        std::fs::remove_dir_all(versions).unwrap();
    }

    #[test]
    fn failing_and_missing_programs_are_told_apart_from_good_ones() {
        assert!(quiet("true", &[]));
        assert!(!quiet("false", &[]));
        assert!(!quiet("/nonexistent/program", &[]));
    }
}
