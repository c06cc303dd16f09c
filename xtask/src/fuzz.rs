//! `cargo xtask fuzz`: every fuzzer, from its kept corpus.
//!
//! **Invariants**: the kept corpus does not change; new seeds are under `target/fuzz/corpus`, what is found is under
//! `artifacts` of the fuzzer's folder.
//! **Bounds**: no input is longer, and no single allocation larger, than the fuzzer's line says: that is what finds a
//! length that is believed before it is checked.

use std::fs;
use std::process::ExitCode;

use crate::prerequisites;
use crate::run::command;

/// One fuzzer.
struct Fuzzer {
    /// Its target, and the name of its corpus.
    name: &'static str,
    /// The workspace it is in.
    folder: &'static str,
    /// Longest input in bytes.
    input_bytes_max: u32,
    /// Largest single allocation in MiB.
    allocation_mib_max: u32,
    /// Words of the format, in the folder.
    dictionary: Option<&'static str>,
}

const fn net(name: &'static str) -> Fuzzer {
    Fuzzer { name, folder: "net/fuzz", input_bytes_max: 2048, allocation_mib_max: 64, dictionary: None }
}

const FUZZERS: &[Fuzzer] = &[
    net("http_request"),
    net("http_response"),
    net("ws_session"),
    // A body is at most 64 KiB; short ones reach everything but that bound.
    Fuzzer {
        name: "signal_body",
        folder: "fuzz",
        input_bytes_max: 2048,
        allocation_mib_max: 1,
        dictionary: Some("signal_body.dict"),
    },
    Fuzzer {
        name: "json_api",
        folder: "fuzz",
        input_bytes_max: 2048,
        allocation_mib_max: 1,
        dictionary: Some("json_api.dict"),
    },
    // Scripts of edits. The largest buffer is that of the log itself.
    Fuzzer {
        name: "log_file",
        folder: "fuzz",
        input_bytes_max: 256,
        allocation_mib_max: 1,
        dictionary: None,
    },
    Fuzzer {
        name: "snapshot_file",
        folder: "fuzz",
        input_bytes_max: 256,
        allocation_mib_max: 1,
        dictionary: None,
    },
    Fuzzer { name: "codec", folder: "fuzz", input_bytes_max: 8192, allocation_mib_max: 1, dictionary: None },
];

const TOOL: &str = "target/fuzz/tool/bin/cargo-fuzz";

/// Runs one fuzzer, or all, each for so many seconds; `rest` is what follows `fuzz` on the command line.
pub(crate) fn run(rest: &[&str]) -> ExitCode {
    let Some((fuzzers, seconds)) = selection(rest) else {
        let names: Vec<_> = FUZZERS.iter().map(|fuzzer| fuzzer.name).collect();
        eprintln!("usage: cargo xtask fuzz [TARGET] [SECONDS]; targets: {}", names.join(" "));
        return ExitCode::FAILURE;
    };
    if !prerequisites::has_nightly() {
        eprintln!("the fuzzers need a nightly toolchain: rustup toolchain install nightly");
        return ExitCode::FAILURE;
    }
    if !std::path::Path::new(TOOL).is_file() {
        let words = ["cargo", "install", "cargo-fuzz", "--locked", "--quiet", "--root", "target/fuzz/tool"];
        if command(&words) != ExitCode::SUCCESS {
            return ExitCode::FAILURE;
        }
    }
    for fuzzer in fuzzers {
        let ended = one(fuzzer, seconds);
        if ended != ExitCode::SUCCESS {
            return ended;
        }
    }
    ExitCode::SUCCESS
}

/// The fuzzers and the seconds that the words ask for.
fn selection(words: &[&str]) -> Option<(Vec<&'static Fuzzer>, u32)> {
    let (name, seconds) = match words {
        [] => return Some((FUZZERS.iter().collect(), 600)),
        [name] => (name, 600),
        [name, seconds] => (name, seconds.parse().ok()?),
        _ => return None,
    };
    FUZZERS.iter().find(|fuzzer| fuzzer.name == *name).map(|fuzzer| (vec![fuzzer], seconds))
}

fn one(fuzzer: &Fuzzer, seconds: u32) -> ExitCode {
    let Fuzzer { name, folder, .. } = fuzzer;
    let fresh = format!("target/fuzz/corpus/{name}");
    if let Err(error) = fs::create_dir_all(&fresh) {
        eprintln!("{fresh}: {error}");
        return ExitCode::FAILURE;
    }
    let kept = format!("{folder}/corpus/{name}");
    // A backtrace is made in large pieces, which would hide the panic it is of; the sanitizer prints the stack anyway.
    let mut words =
        vec!["env", "RUST_BACKTRACE=0", "rustup", "run", "nightly", TOOL, "run", "--fuzz-dir", folder];
    words.extend(["--target-dir", "target/fuzz/build", name, &fresh, &kept, "--"]);
    let mut options = vec![
        format!("-max_total_time={seconds}"),
        format!("-max_len={}", fuzzer.input_bytes_max),
        format!("-malloc_limit_mb={}", fuzzer.allocation_mib_max),
        "-detect_leaks=1".to_owned(),
    ];
    options.extend(fuzzer.dictionary.map(|file| format!("-dict={folder}/{file}")));
    words.extend(options.iter().map(String::as_str));
    command(&words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::root;

    #[test]
    fn a_target_and_its_time_can_be_chosen() {
        let names = |words: &[&str]| {
            selection(words).map(|(fuzzers, seconds)| {
                (fuzzers.iter().map(|fuzzer| fuzzer.name).collect::<Vec<_>>(), seconds)
            })
        };
        assert_eq!(names(&["codec", "5"]), Some((vec!["codec"], 5)));
        assert_eq!(names(&["codec"]), Some((vec!["codec"], 600)));
        assert!(names(&[]).is_some_and(|(all, _)| all.len() == FUZZERS.len()));
        assert_eq!((names(&["nothing"]), names(&["codec", "x"])), (None, None));
    }

    #[test]
    fn every_target_of_both_workspaces_is_known_and_has_a_corpus() {
        for folder in ["net/fuzz", "fuzz"] {
            let targets = fs::read_dir(root().join(folder).join("fuzz_targets")).unwrap();
            let found = targets.map(|entry| entry.unwrap().path().file_stem().unwrap().to_owned());
            let mut found: Vec<_> = found.collect();
            let mut known: Vec<_> =
                FUZZERS.iter().filter(|fuzzer| fuzzer.folder == folder).map(|fuzzer| fuzzer.name).collect();
            found.sort();
            known.sort_unstable();
            assert!(found.iter().eq(known.iter()), "{found:?}, but known are {known:?}");
        }
        for fuzzer in FUZZERS {
            let folder = root().join(fuzzer.folder);
            assert!(folder.join("corpus").join(fuzzer.name).is_dir(), "{} has no corpus", fuzzer.name);
            assert!(fuzzer.dictionary.is_none_or(|file| folder.join(file).is_file()), "{}", fuzzer.name);
        }
    }
}
