//! The planted bugs in the code and those in the list of `cargo xtask mutants` are the same, each once.

use super::File;
use crate::mutants;
use crate::source::line_of;

const MARK: &str = "planted!(\"";

/// Every name in the code is in the list and every name in the list is in the code, once.
pub(super) fn names(files: &[File]) -> Vec<String> {
    names_of(&mutants::all().map(|mutant| mutant.name).collect::<Vec<_>>(), files)
}

fn names_of(list: &[&str], files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    let mut planted: Vec<&str> = Vec::new();
    for file in files.iter().filter(|file| !file.path.starts_with("xtask/")) {
        let Some(source) = &file.rust else { continue };
        // Names are inside strings, which the split blanks; comments are told by their own text.
        for (at, _) in file.text.match_indices(MARK) {
            let line = line_of(&file.text, at);
            let comment = source.comments.lines().nth(line - 1).unwrap_or_default();
            let Some(name) = file.text[at + MARK.len()..].split('"').next() else { continue };
            if comment.contains(&format!("{MARK}{name}")) {
                continue;
            }
            if planted.contains(&name) {
                found.push(
                    file.finding(
                        line,
                        format_args!("the bug {name} is planted a second time: one place each"),
                    ),
                );
            } else if !list.contains(&name) {
                found.push(file.finding(
                    line,
                    format_args!(
                        "the bug {name} is not in xtask/src/mutants/: say what it does and what catches it"
                    ),
                ));
            }
            planted.push(name);
        }
    }
    for (place, name) in list.iter().enumerate() {
        if list[..place].contains(name) {
            found.push(format!("xtask/src/mutants/mod.rs:1: the bug {name} is listed twice"));
        } else if !planted.contains(name) {
            found.push(format!("xtask/src/mutants/mod.rs:1: the bug {name} is listed and nowhere planted"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_both_places_once() {
        let code = "fn a() { if planted::planted!(\"x\") {} } // planted!(\"in a comment\")\n";
        let files = [File::new("a.rs", code), File::new("xtask/src/b.rs", "fn b() { planted!(\"z\") }")];
        assert_eq!(names_of(&["x"], &files).len(), 0);
        assert_eq!(
            names_of(&[], &files),
            ["a.rs:1: the bug x is not in xtask/src/mutants/: say what it does and what catches it"]
        );
        assert!(names_of(&["x", "y"], &files).iter().any(|f| f.contains("y is listed and nowhere")));
        assert!(names_of(&["x", "x"], &files).iter().any(|f| f.contains("x is listed twice")));
        let twice = [File::new("a.rs", "fn a() { planted!(\"x\"); }\nfn b() { planted!(\"x\"); }\n")];
        assert_eq!(names_of(&["x"], &twice), ["a.rs:2: the bug x is planted a second time: one place each"]);
    }
}
