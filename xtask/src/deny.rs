//! Licences, sources and duplicates of everything that is built in: `cargo deny` over each workspace of the repository.
//!
//! **Owns**: the pinned program under `target/tools`, built once without what it is not asked for.
//! **Never**: asks an advisory database: that needs a network that a build machine need not have.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::repository;
use crate::steps::Outcome;

/// The program's version. It judges licences, so it changes on purpose only.
const VERSION: &str = "0.18.9";

/// Every workspace of the repository; the fuzzers are their own.
const MANIFESTS: [&str; 3] = ["Cargo.toml", "fuzz/Cargo.toml", "net/fuzz/Cargo.toml"];

/// The check behind the step.
pub(crate) fn check() -> Result<Outcome, String> {
    let (program, root) = (program()?, repository::root());
    for manifest in MANIFESTS {
        let status = Command::new(&program)
            .args(["--locked", "--manifest-path", manifest, "check", "--config"])
            .arg(root.join("deny.toml"))
            .args([
                "--hide-inclusion-graph",
                "--allow",
                "unmatched-skip",
                "--allow",
                "license-not-encountered",
            ])
            .args(["licenses", "bans", "sources"])
            .current_dir(&root)
            .stdin(Stdio::null())
            .status()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        if !status.success() {
            return Err(format!("{manifest} has what deny.toml does not allow"));
        }
    }
    Ok(Outcome::Passed(format!("{} workspaces", MANIFESTS.len())))
}

/// The pinned program, built when it is not there yet.
fn program() -> Result<PathBuf, String> {
    let root = repository::root().join("target/tools");
    let program = root.join("bin/cargo-deny");
    let told = Command::new(&program).arg("--version").stdin(Stdio::null()).output();
    if told.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(VERSION)) {
        return Ok(program);
    }
    // It runs for a second: building it fast matters more than its speed.
    let status = Command::new("cargo")
        .args(["install", "--locked", "--quiet", "--no-default-features", "--version", VERSION, "--root"])
        .arg(&root)
        .arg("cargo-deny")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
        .env("CARGO_PROFILE_RELEASE_LTO", "false")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
        .env_remove("RUSTFLAGS")
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("cargo: {error}"))?;
    if status.success() { Ok(program) } else { Err(format!("cargo install cargo-deny {VERSION} failed")) }
}
