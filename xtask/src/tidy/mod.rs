//! The repository's own lint: rules of the house that no other tool knows.
//!
//! **Invariants**: each rule is a function from files to findings, with tests of its own; a finding names file, line, rule
//! and what to do instead.

mod cases;
mod layers;
mod links;
mod names;
mod planted;
mod rust;
mod text;

use crate::repository::{self, TextFile};
use crate::source::Source;

/// A file, and its split when it is Rust.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) rust: Option<Source>,
}

impl File {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let rust = path.ends_with(".rs").then(|| Source::split(text));
        Self { path: path.to_owned(), text: text.to_owned(), rust }
    }

    /// A finding at a line of this file.
    fn finding(&self, line: usize, what: impl std::fmt::Display) -> String {
        format!("{}:{line}: {what}", self.path)
    }
}

type FileRule = fn(&File) -> Vec<String>;
type RepositoryRule = fn(&[File]) -> Vec<String>;

/// Rules that look at one file.
const FILE_RULES: &[FileRule] = &[
    names::file_names,
    text::length,
    text::leftovers,
    text::places,
    text::title,
    rust::header,
    rust::unsafe_code,
    rust::allow_reasons,
    rust::glommio,
    rust::ignored_tests,
];

/// Rules that look at all files together.
const REPOSITORY_RULES: &[RepositoryRule] =
    &[links::links, layers::layers, text::ratchet, rust::unsafe_list, planted::names, cases::table];

/// Checks the whole repository. The note says how much was looked at.
///
/// # Errors
///
/// All findings, one a line.
pub(crate) fn check() -> Result<String, String> {
    let files: Vec<File> = repository::text_files(&repository::root(), "")?
        .into_iter()
        .map(|TextFile { path, text }| File::new(&path, &text))
        .collect();
    let findings = findings(&files);
    if findings.is_empty() {
        return Ok(format!("{} files", files.len()));
    }
    Err(format!("{}\n{} findings", findings.join("\n"), findings.len()))
}

fn findings(files: &[File]) -> Vec<String> {
    let mut found: Vec<String> =
        files.iter().flat_map(|file| FILE_RULES.iter().flat_map(move |rule| rule(file))).collect();
    found.extend(REPOSITORY_RULES.iter().flat_map(|rule| rule(files)));
    found.sort();
    found
}

/// Asserts the findings of one rule on one made-up file: as many as `expected`, each containing its part.
#[cfg(test)]
pub(crate) fn expect(rule: FileRule, path: &str, text: &str, expected: &[&str]) {
    let found = rule(&File::new(path, text));
    assert_eq!(found.len(), expected.len(), "{path} with {text:?} gave {found:?}");
    for (finding, part) in found.iter().zip(expected) {
        assert!(finding.contains(part), "{finding:?} lacks {part:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_of_all_rules_come_sorted() {
        let files = [
            File::new("b/utils.rs", "//! Purpose.\nfn a() { unsafe {} }\n"),
            File::new("a.md", "# T\n\n[x](missing.md)\n"),
        ];
        // The listed exceptions are about the real tree, whose files are not among these.
        let found: Vec<_> = findings(&files)
            .into_iter()
            .filter(|f| !f.contains("UNSAFE_ELSEWHERE") && !f.contains("xtask/src/mutants"))
            .collect();
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("a.md:3: ") && found[1].starts_with("b/utils.rs:1: "), "{found:?}");
        assert!(found[2].starts_with("b/utils.rs:2: "), "{found:?}");
    }
}
