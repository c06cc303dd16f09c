//! `engine::core` is pure: what it depends on, and what its source names.

use std::process::{Command, Stdio};

use crate::repository::{self, TextFile};
use crate::source::{Source, line_of, whole_words};
use crate::steps::Outcome;

/// The folder whose source is scanned.
const CORE: &str = "engine/src/core";

/// Packages that bring a runtime, a system call, a clock, a thread or randomness.
const IMPURE_PACKAGES: &[&str] = &[
    "async-io",
    "coinbitclub-ringbuf",
    "crossbeam-channel",
    "crossbeam-queue",
    "crossbeam-utils",
    "futures-lite",
    "getrandom",
    "glommio",
    "hdrhistogram",
    "io-uring",
    "jiff",
    "libc",
    "mio",
    "nix",
    "polling",
    "rand",
    "rand_core",
    "ringbuf",
    "rustix",
    "smol",
    "socket2",
    "tokio",
    "tracing",
    "windows-sys",
];

/// Words that the source must not contain, each with what it would let in.
const IMPURE_WORDS: &[(&str, &str)] = &[
    ("f32", "a float"),
    ("f64", "a float"),
    ("Instant", "a clock"),
    ("SystemTime", "a clock"),
    ("RandomState", "an order that differs from run to run"),
    ("thread_local!", "state outside the state"),
    ("HashMap::new", "an order that differs from run to run"),
    ("HashMap::with_capacity", "an order that differs from run to run"),
    ("HashSet::new", "an order that differs from run to run"),
    ("HashSet::with_capacity", "an order that differs from run to run"),
];

/// Modules of `std` that the source must not name.
const IMPURE_MODULES: &[&str] = &["time", "fs", "net", "thread", "env", "process", "os"];

/// The step: dependencies, then source.
pub(crate) fn check() -> Result<Outcome, String> {
    let output = Command::new("cargo")
        .args(["tree", "--package", "coinbitclub-engine", "--no-default-features", "--edges", "normal"])
        .args(["--prefix", "none", "--locked"])
        .current_dir(repository::root())
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cargo tree: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo tree: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let tree = String::from_utf8_lossy(&output.stdout);
    let packages = impure_packages(&tree);
    if !packages.is_empty() {
        return Err(format!("engine without default features depends on {}", packages.join(", ")));
    }
    let files: Vec<TextFile> = repository::text_files(&repository::root(), CORE)?
        .into_iter()
        .filter(|file| file.path.ends_with(".rs"))
        .collect();
    if files.is_empty() {
        return Err(format!("{CORE} has no source: was it moved?"));
    }
    let findings: Vec<String> = files.iter().flat_map(impurities).collect();
    if findings.is_empty() {
        Ok(Outcome::Passed(format!("{} files", files.len())))
    } else {
        Err(findings.join("\n"))
    }
}

fn impure_packages(tree: &str) -> Vec<&str> {
    let mut found: Vec<&str> = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| IMPURE_PACKAGES.contains(name))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Findings in one file, outside its test module.
fn impurities(file: &TextFile) -> Vec<String> {
    if file.path.ends_with("/tests.rs") || file.path.contains("/tests/") {
        return Vec::new();
    }
    let source = Source::split(&file.text);
    let code = source.code_without_tests();
    let mut found: Vec<(usize, String)> = Vec::new();
    for (word, brings) in IMPURE_WORDS {
        found.extend(whole_words(code, word).map(|at| (at, format!("{word} brings {brings}"))));
    }
    for (at, module) in std_modules(code) {
        if IMPURE_MODULES.contains(&module) {
            found.push((at, format!("std::{module} reaches outside")));
        }
    }
    for (collection, arguments) in [("HashMap", 2), ("HashSet", 1)] {
        for at in whole_words(code, collection) {
            if generic_arguments(&code[at + collection.len()..]) == Some(arguments) {
                found.push((
                    at,
                    format!("{collection} with the default hasher: its order differs from run to run"),
                ));
            }
        }
    }
    found.sort();
    found.dedup();
    found.into_iter().map(|(at, what)| format!("{}:{}: {what}", file.path, line_of(code, at))).collect()
}

/// Modules named after `std::`, singly or in a group `std::{a, b::c}`, each with its place.
fn std_modules(code: &str) -> Vec<(usize, &str)> {
    let name_at = |at: usize| {
        let rest = &code[at..];
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        (at, &rest[..end])
    };
    let mut modules = Vec::new();
    for start in whole_words(code, "std::") {
        let at = start + "std::".len();
        if !code[at..].starts_with('{') {
            modules.push(name_at(at));
            continue;
        }
        let mut depth = 0_usize;
        let mut expects_name = false;
        for (offset, character) in code[at..].char_indices() {
            match character {
                '{' => {
                    depth += 1;
                    expects_name = depth == 1;
                }
                '}' => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                }
                ',' if depth == 1 => expects_name = true,
                name if expects_name && !name.is_whitespace() => {
                    modules.push(name_at(at + offset));
                    expects_name = false;
                }
                _ => {}
            }
        }
    }
    modules
}

/// The number of generic arguments in `<…>` at the start of `rest`; `None` when there are none.
fn generic_arguments(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix("::").unwrap_or(rest).strip_prefix('<')?;
    let (mut depth, mut count) = (0_i32, 1);
    let mut previous = ' ';
    let mut last_was_comma = false;
    for character in inside.chars() {
        match character {
            '<' | '(' | '[' => depth += 1,
            // The arrow of a function type closes nothing.
            '>' if previous == '-' => {}
            '>' if depth == 0 => return Some(if last_was_comma { count - 1 } else { count }),
            '>' | ')' | ']' => depth -= 1,
            ',' if depth == 0 => count += 1,
            _ => {}
        }
        if !character.is_whitespace() {
            last_was_comma = character == ',' && depth == 0;
        }
        previous = character;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let file = TextFile { path: "engine/src/core/x.rs".to_owned(), text: text.to_owned() };
        let found = impurities(&file);
        assert_eq!(found.len(), expected.len(), "{text:?} gave {found:?}");
        for (finding, part) in found.iter().zip(expected) {
            assert!(finding.contains(part), "{finding:?} lacks {part:?}");
        }
    }

    #[test]
    fn clocks_files_threads_sockets_and_floats_are_found() {
        check("use std::time::Duration;", &["x.rs:1: std::time"]);
        check("\nuse std::{fmt, fs::File, collections::{BTreeMap, time}};", &["x.rs:2: std::fs"]);
        check("fn f(x: f64) {}\nfn g() -> f32 { 0. }", &["f64", "x.rs:2: f32"]);
        check("::std::thread::spawn(|| {})", &["std::thread"]);
    }

    #[test]
    fn default_hashers_are_found_and_fixed_ones_are_not() {
        check("let m: HashMap<u64, Vec<(u8, u8)>> = x;", &["HashMap with the default"]);
        check("HashMap<u64, u8, Fixed> HashSet<u64, Fixed>", &[]);
        check("HashSet::<u64,>::new()", &["default hasher"]);
        check("HashSet::new(); HashMap::with_capacity(1)", &["HashSet::new", "HashMap::with_capacity"]);
        check("HashMap<u8, fn(u8) -> u8, Fixed>", &[]);
    }

    #[test]
    fn comments_strings_tests_and_longer_names_are_fine() {
        check("// f64 and std::fs\nlet s = \"std::fs\"; let xf64 = my_std::fs; use std::fmt;", &[]);
        check("fn a() {}\n#[cfg(test)]\nmod tests { use std::fs; }", &[]);
    }

    #[test]
    fn impure_packages_are_found_by_whole_name() {
        assert_eq!(
            impure_packages("engine v0.1.0 (x)\nlibc v0.2.0\nlibc v0.2.0 (*)\nlibcx v1\ntokio v1\n"),
            ["libc", "tokio"]
        );
        assert!(impure_packages("rkyv v0.8\nsha2 v0.11\n").is_empty());
    }
}
