//! Rules for any text: length, leftovers, places, titles.

use super::File;
use crate::source::{line_of, whole_words};

/// Longest source or document, in lines. The habit is 500; beyond this it is split.
const LINES_MAX: usize = 700;

/// Files that were longer when the rule came, with the length they may not exceed. May only shrink; a new entry needs a
/// reason in the review.
const LONGER: &[(&str, usize)] = &[];

/// Marks of work left undone.
const LEFTOVERS: &[&str] = &["TODO", "FIXME", "XXX", "HACK", "todo!", "unimplemented!", "dbg!"];

/// Paths of one machine.
const PLACES: &[&str] = &["/work/main", "/work/shared", "/tmp/brief", "/root/"];

fn is_source(path: &str) -> bool {
    [".rs", ".md", ".py", ".sh", ".toml", ".service", ".conf", ".yml", ".yaml"]
        .iter()
        .any(|end| path.ends_with(end))
}

/// No source or document is longer than a reader's patience.
pub(super) fn length(file: &File) -> Vec<String> {
    let most = LONGER.iter().find(|(path, _)| *path == file.path).map_or(LINES_MAX, |(_, most)| *most);
    let lines = file.text.lines().count();
    if !is_source(&file.path) || lines <= most {
        return Vec::new();
    }
    vec![file.finding(lines, format_args!("{lines} lines, {most} at most: split it by what its parts own"))]
}

/// The list of longer files shrinks with them.
pub(super) fn ratchet(files: &[File]) -> Vec<String> {
    ratchet_of(LONGER, files)
}

fn ratchet_of(longer: &[(&str, usize)], files: &[File]) -> Vec<String> {
    longer
        .iter()
        .filter_map(|&(path, most)| {
            let lines = files.iter().find(|file| file.path == path).map_or(0, |file| file.text.lines().count());
            (lines < most).then(|| {
                format!("xtask/src/tidy/text.rs:1: {path} has {lines} lines now: lower its entry in LONGER, or remove it")
            })
        })
        .collect()
}

/// Nothing is left undone. In Rust, strings may contain the marks.
pub(super) fn leftovers(file: &File) -> Vec<String> {
    if !is_source(&file.path) {
        return Vec::new();
    }
    let texts = match &file.rust {
        Some(source) => vec![source.code.as_str(), source.comments.as_str()],
        None => vec![file.text.as_str()],
    };
    let mut found = Vec::new();
    for text in texts {
        for mark in LEFTOVERS {
            found.extend(
                whole_words(text, mark).map(|at| {
                    file.finding(line_of(text, at), format_args!("{mark}: do it, or file an issue"))
                }),
            );
        }
    }
    found
}

/// No path of one machine. In Rust, strings are looked at as well, except in the lint itself, which must name them.
pub(super) fn places(file: &File) -> Vec<String> {
    if !is_source(&file.path) || file.path.starts_with("xtask/src/tidy/") {
        return Vec::new();
    }
    PLACES
        .iter()
        .flat_map(|place| file.text.match_indices(place))
        .map(|(at, place)| {
            file.finding(line_of(&file.text, at), format_args!("{place} exists on one machine only"))
        })
        .collect()
}

/// A document begins with its only title.
pub(super) fn title(file: &File) -> Vec<String> {
    if !file.path.ends_with(".md") {
        return Vec::new();
    }
    let mut found = Vec::new();
    if !file.text.starts_with("# ") {
        found.push(file.finding(1, "a document begins with its title, `# …`"));
    }
    let mut in_code = false;
    for (index, line) in file.text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if index > 0 && !in_code && line.starts_with("# ") {
            found.push(file.finding(index + 1, "a second title: one topic a page"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::expect;
    use super::*;

    #[test]
    fn long_files_are_found() {
        expect(length, "a.rs", &"x\n".repeat(700), &[]);
        expect(length, "a.rs", &"x\n".repeat(701), &["a.rs:701: 701 lines"]);
        expect(length, "Cargo.lock", &"x\n".repeat(7000), &[]);
    }

    #[test]
    fn the_ratchet_turns_one_way() {
        let files = [File::new("old.rs", &"x\n".repeat(800))];
        assert!(ratchet_of(&[("old.rs", 800)], &files).is_empty());
        assert_eq!(ratchet_of(&[("old.rs", 900), ("gone.rs", 800)], &files).len(), 2);
    }

    #[test]
    fn leftovers_are_found_in_code_comments_and_documents_but_not_in_strings() {
        expect(
            leftovers,
            "a.rs",
            "fn a() { todo!() }\n// FIXME later\n",
            &["a.rs:1: todo!", "a.rs:2: FIXME"],
        );
        expect(leftovers, "a.rs", "let s = \"TODO\"; let todo = 1; // HACKED\n", &[]);
        expect(leftovers, "a.md", "x\nTODO: write\n", &["a.md:2: TODO"]);
        expect(leftovers, "a.csv", "XXX\n", &[]);
    }

    #[test]
    fn machine_paths_are_found_even_in_strings() {
        expect(places, "a.rs", "\nlet p = \"/root/x\";", &["a.rs:2: /root/"]);
        expect(places, "a.md", "see /work/main/x", &["/work/main"]);
        expect(places, "a.md", "/var/lib/coinbitclub", &[]);
    }

    #[test]
    fn a_document_has_one_title_at_its_head() {
        expect(title, "a.md", "# A\n\n```sh\n# comment\n```\n## B\n", &[]);
        expect(title, "a.md", "A\n# B\n", &["a.md:1", "a.md:2: a second"]);
        expect(title, "a.rs", "A\n", &[]);
    }
}
