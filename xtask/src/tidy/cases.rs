//! The table of cases names every test that is called after one, and no other.

use super::File;
use crate::source::line_of;

const TABLE: &str = "docs/cases.md";
const TEST: &str = "fn case_";

/// Tests and table name the same, both ways.
pub(super) fn table(files: &[File]) -> Vec<String> {
    let Some(table) = files.iter().find(|file| file.path == TABLE) else { return Vec::new() };
    let mut found = Vec::new();
    let mut tests: Vec<String> = Vec::new();
    for file in files.iter().filter(|file| file.rust.is_some() && !file.path.starts_with("xtask/")) {
        for (at, _) in file.text.match_indices(TEST) {
            let name = file.text[at + "fn ".len()..].split('(').next().unwrap_or_default();
            let test = format!("{}::{name}", file.path);
            if !table.text.contains(&format!("`{test}`")) {
                found.push(file.finding(
                    line_of(&file.text, at),
                    format_args!("{name} is not in {TABLE}: add it to the rows it keeps"),
                ));
            }
            tests.push(test);
        }
    }
    for (at, _) in table.text.match_indices("::case_") {
        let begin = table.text[..at].rfind('`').map_or(0, |tick| tick + 1);
        let named = table.text[begin..].split('`').next().unwrap_or_default();
        if !tests.iter().any(|test| test == named) {
            found.push(table.finding(line_of(&table.text, at), format_args!("there is no test {named}")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_and_the_tests_name_the_same() {
        let code = "#[test]\nfn case_u1_a() {}\n#[test]\nfn case_u2_b() {}\n";
        let row = "# Cases\n\n| U1 | a | `a/b.rs::case_u1_a`<br>`a/b.rs::case_u3_c` |\n";
        let files = [File::new("a/b.rs", code), File::new(TABLE, row)];
        assert_eq!(
            table(&files),
            [
                "a/b.rs:4: case_u2_b is not in docs/cases.md: add it to the rows it keeps",
                "docs/cases.md:3: there is no test a/b.rs::case_u3_c"
            ]
        );
        assert!(table(&[File::new("a/b.rs", code)]).is_empty());
    }
}
