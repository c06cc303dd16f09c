//! The builds that hold the bugs, and where their test programs are.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::{Check, all};
use crate::repository;
use crate::run::WHOLE_BUILDS;

/// The packages that hold bugs or the tests that catch them.
const PACKAGES: [&str; 6] = [
    "coinbitclub-ringbuf",
    "coinbitclub-net",
    "coinbitclub-engine",
    "coinbitclub-storage",
    "coinbitclub-exchange",
    "coinbitclub",
];

/// A test program.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Program {
    /// As in [`super::Check::Test`].
    pub(super) package: String,
    /// A file of `tests/`, or `lib`.
    pub(super) test: String,
    /// Where it runs: its package's directory.
    pub(super) directory: PathBuf,
    /// The file.
    pub(super) path: PathBuf,
}

/// Builds the whole product with its bugs.
pub(super) fn product() -> Result<Vec<Program>, String> {
    let packages = PACKAGES.iter().flat_map(|package| ["--package", package]);
    let mut words: Vec<&str> = packages.chain(["--lib"]).collect();
    // Those of all bugs, whichever are chosen, so that it is one build; an integration test of `api` brings the server.
    for mutant in all() {
        if let Check::Test { test, .. } = mutant.check
            && test != "lib"
            && !words.contains(&test)
        {
            words.extend(["--test", test]);
        }
    }
    cargo(&words, "target/planted", "--cfg planted")
}

/// Builds the rings with their bugs for model checking.
pub(super) fn loom() -> Result<Vec<Program>, String> {
    let words = ["--package", "coinbitclub-ringbuf", "--release", "--test", "loom_*"];
    cargo(&words, "target/planted/loom", "--cfg loom --cfg planted")
}

fn cargo(words: &[&str], target: &str, flags: &str) -> Result<Vec<Program>, String> {
    println!("$ RUSTFLAGS='{flags}' cargo test --no-run --locked {} --target-dir {target}", words.join(" "));
    let output = Command::new("cargo")
        .args(["test", "--no-run", "--locked", "--message-format=json-render-diagnostics"])
        .args(words)
        .args(["--target-dir", target])
        .env("RUSTFLAGS", flags)
        .envs(WHOLE_BUILDS)
        .current_dir(repository::root())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!("the build with {flags} failed: {}", output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(program).collect())
}

/// The test program that a line of cargo's messages tells of.
fn program(line: &str) -> Option<Program> {
    let path = text(line, "\"executable\":\"")?;
    let manifest = PathBuf::from(text(line, "\"manifest_path\":\"")?);
    let directory = manifest.parent()?.to_owned();
    let target = &line[line.find("\"target\":{")?..];
    let kind = text(target, "\"kind\":[\"")?;
    let profile = &line[line.find("\"profile\":{")?..];
    if !profile[..profile.find('}')?].contains("\"test\":true") {
        return None;
    }
    Some(Program {
        package: directory.file_name()?.to_string_lossy().into_owned(),
        test: match kind {
            "test" => text(target, "\"name\":\"")?.to_owned(),
            other => other.to_owned(),
        },
        directory,
        path: PathBuf::from(path),
    })
}

/// What stands between `before` and the next quotation mark.
fn text<'a>(line: &'a str, before: &str) -> Option<&'a str> {
    let rest = &line[line.find(before)? + before.len()..];
    rest.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(kind: &str, test: bool, executable: &str) -> String {
        format!(
            "{{\"reason\":\"compiler-artifact\",\"package_id\":\"x\",\"manifest_path\":\"/a/engine/Cargo.toml\",\
             \"target\":{{\"kind\":[\"{kind}\"],\"crate_types\":[\"bin\"],\"name\":\"core_money\",\"test\":true}},\
             \"profile\":{{\"opt_level\":\"1\",\"test\":{test}}},\"executable\":{executable},\"fresh\":true}}"
        )
    }

    #[test]
    fn test_programs_are_found_and_nothing_else() {
        let of = |test: &str| Program {
            package: "engine".to_owned(),
            test: test.to_owned(),
            directory: PathBuf::from("/a/engine"),
            path: PathBuf::from("/t/x"),
        };
        assert_eq!(program(&line("test", true, "\"/t/x\"")), Some(of("core_money")));
        assert_eq!(program(&line("lib", true, "\"/t/x\"")), Some(of("lib")));
        assert_eq!(program(&line("bin", false, "\"/t/x\"")), None);
        assert_eq!(program(&line("lib", true, "null")), None);
    }
}
