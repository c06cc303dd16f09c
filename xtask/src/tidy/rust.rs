//! Rules for Rust sources.

use super::File;
use crate::source::{line_of, whole_words};

/// Files outside `ringbuf` and the `sys` modules that contain `unsafe`, each with the reason.
const UNSAFE_ELSEWHERE: &[(&str, &str)] = &[
    ("bench/examples/zero_copy_send.rs", "sends through a ring of its own and reads its CPU time"),
    ("net/examples/echo.rs", "reads its CPU time"),
    ("net/tests/out_of_descriptors.rs", "lowers its own limit of descriptors"),
    ("net/tests/support/counting.rs", "a counting allocator"),
    ("net/tests/support/mod.rs", "waits on a descriptor as a shard's executor would"),
];

/// The one place that may name the runtime: changing it is a change there only.
const RUNTIME_ADAPTER: &str = "engine/src/shard/runtime";

/// A source opens with its contract.
pub(super) fn header(file: &File) -> Vec<String> {
    if file.rust.is_none() || file.text.starts_with("//!") {
        return Vec::new();
    }
    vec![
        file.finding(
            1,
            "a source begins with `//!` and its contract: purpose, what it owns, invariants, bounds",
        ),
    ]
}

fn may_be_unsafe(path: &str) -> bool {
    path.starts_with("ringbuf/")
        || path.ends_with("/sys.rs")
        || path.contains("/sys/")
        || UNSAFE_ELSEWHERE.iter().any(|(listed, _)| *listed == path)
}

/// `unsafe` stays in `ringbuf` and in the `sys` modules.
pub(super) fn unsafe_code(file: &File) -> Vec<String> {
    let Some(source) = file.rust.as_ref().filter(|_| !may_be_unsafe(&file.path)) else { return Vec::new() };
    whole_words(&source.code, "unsafe")
        .map(|at| {
            file.finding(line_of(&source.code, at), "unsafe belongs in ringbuf or in the crate's sys module")
        })
        .collect()
}

/// The list of exceptions names files that are there and need it.
pub(super) fn unsafe_list(files: &[File]) -> Vec<String> {
    unsafe_list_of(UNSAFE_ELSEWHERE, files)
}

fn unsafe_list_of(listed: &[(&str, &str)], files: &[File]) -> Vec<String> {
    listed
        .iter()
        .filter(|(path, _)| {
            !files.iter().any(|file| {
                file.path == *path
                    && file
                        .rust
                        .as_ref()
                        .is_some_and(|source| whole_words(&source.code, "unsafe").next().is_some())
            })
        })
        .map(|(path, _)| {
            format!("xtask/src/tidy/rust.rs:1: {path} has no unsafe: remove it from UNSAFE_ELSEWHERE")
        })
        .collect()
}

/// A lint is switched off only with a reason.
pub(super) fn allow_reasons(file: &File) -> Vec<String> {
    let Some(source) = &file.rust else { return Vec::new() };
    let code = &source.code;
    let mut found = Vec::new();
    for opening in ["[allow(", "[expect("] {
        for (at, _) in code.match_indices(opening) {
            if !code[..at].ends_with('#') && !code[..at].ends_with("#!") {
                continue;
            }
            let attribute = code[at..].split(']').next().unwrap_or_default();
            if !attribute.contains("reason") {
                found.push(file.finding(line_of(code, at), "say why: expect(LINT, reason = \"…\")"));
            }
        }
    }
    found
}

/// Only the adapter names the runtime.
pub(super) fn glommio(file: &File) -> Vec<String> {
    let Some(source) = file.rust.as_ref().filter(|_| !file.path.starts_with(RUNTIME_ADAPTER)) else {
        return Vec::new();
    };
    whole_words(&source.code, "glommio")
        // A rule of this lint is named for it, and its own tests are strings.
        .filter(|_| !file.path.starts_with("xtask/src/"))
        .map(|at| {
            file.finding(line_of(&source.code, at), format_args!("only {RUNTIME_ADAPTER} names glommio"))
        })
        .collect()
}

/// A test is mended or removed, never switched off.
pub(super) fn ignored_tests(file: &File) -> Vec<String> {
    let Some(source) = &file.rust else { return Vec::new() };
    source
        .code
        .match_indices("#[ignore")
        .map(|(at, _)| {
            file.finding(line_of(&source.code, at), "a switched-off test protects nothing: mend it")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::expect;
    use super::*;

    #[test]
    fn a_source_without_a_header_is_found() {
        expect(header, "a.rs", "use x;\n", &["a.rs:1"]);
        expect(header, "a.rs", "//! Purpose.\n", &[]);
        expect(header, "a.md", "text\n", &[]);
    }

    #[test]
    fn unsafe_is_found_outside_its_rooms() {
        let text = "//! x\n#![deny(unsafe_op_in_unsafe_fn)] // unsafe\nunsafe fn a() {}\n";
        expect(unsafe_code, "net/src/http/parse.rs", text, &["parse.rs:3"]);
        for path in ["ringbuf/src/spsc.rs", "net/src/sys.rs", "net/src/sys/ring.rs"] {
            expect(unsafe_code, path, text, &[]);
        }
        expect(unsafe_code, "net/src/system/a.rs", "unsafe fn a() {}", &["a.rs:1"]);
        expect(unsafe_code, "net/src/a.rs", "let s = \"unsafe\";", &[]);
    }

    #[test]
    fn the_list_of_exceptions_stays_true() {
        let files = [File::new("a.rs", "unsafe {}"), File::new("b.rs", "// unsafe")];
        assert!(unsafe_list_of(&[("a.rs", "x")], &files).is_empty());
        assert_eq!(unsafe_list_of(&[("b.rs", "x"), ("c.rs", "x")], &files).len(), 2);
    }

    #[test]
    fn a_lint_switched_off_without_a_reason_is_found() {
        expect(allow_reasons, "a.rs", "#[allow(dead_code)]\nfn a() {}", &["a.rs:1"]);
        expect(allow_reasons, "a.rs", "#![expect(\n  dead_code,\n)]", &["a.rs:1"]);
        expect(allow_reasons, "a.rs", "#[expect(\n  dead_code,\n  reason = \"x\"\n)]", &[]);
        expect(allow_reasons, "a.rs", "let a = b[allow(1)]; // #[allow(x)]", &[]);
    }

    #[test]
    fn the_runtime_is_named_in_its_adapter_only() {
        expect(glommio, "engine/src/shard/turn.rs", "\nuse glommio::spawn;", &["turn.rs:2"]);
        expect(glommio, "engine/src/shard/runtime.rs", "use glommio::spawn;", &[]);
        expect(glommio, "engine/src/shard/runtime/disk.rs", "use glommio::spawn;", &[]);
        expect(glommio, "net/src/lib.rs", "//! Not glommio.\n", &[]);
    }

    #[test]
    fn switched_off_tests_are_found() {
        expect(ignored_tests, "a.rs", "#[test]\n#[ignore = \"slow\"]\nfn a() {}", &["a.rs:2"]);
    }
}
