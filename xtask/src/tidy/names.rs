//! Names of files and folders.

use super::File;

/// Names that say nothing about what a file owns.
const EMPTY_NAMES: &[&str] = &["common", "helper", "helpers", "manager", "misc", "util", "utils"];

/// A file or folder is named for what it owns.
pub(super) fn file_names(file: &File) -> Vec<String> {
    file.path
        .split('/')
        .map(|part| part.split('.').next().unwrap_or(part))
        .filter(|stem| EMPTY_NAMES.contains(stem))
        .map(|stem| file.finding(1, format_args!("{stem:?} says nothing: name it for what it owns")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::expect;
    use super::*;

    #[test]
    fn empty_names_are_found_for_files_and_folders() {
        expect(file_names, "net/src/utils.rs", "", &["utils"]);
        expect(file_names, "net/tests/common/mod.rs", "", &["common"]);
        expect(file_names, "net/src/helpers.test.py", "", &["helpers"]);
        expect(file_names, "net/src/commonwealth.rs", "", &[]);
        expect(file_names, "net/src/wire/ring.rs", "", &[]);
    }
}
