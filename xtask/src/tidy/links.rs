//! Links between documents, and from documents to files and headings.

use std::collections::BTreeSet;

use super::File;

/// A link inside the repository leads to a file or folder that is there and, with `#…`, to a heading of it.
pub(super) fn links(files: &[File]) -> Vec<String> {
    let mut places: BTreeSet<&str> = BTreeSet::from([""]);
    for file in files {
        places.insert(&file.path);
        places.extend(file.path.match_indices('/').map(|(at, _)| &file.path[..at]));
    }
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with(".md")) {
        for (line, target) in targets(&file.text) {
            if let Some(what) = broken(&file.path, target, files, &places) {
                found.push(file.finding(line, format_args!("link to {target:?}: {what}")));
            }
        }
    }
    found
}

/// What is wrong with a link from `from`, if anything.
fn broken(from: &str, target: &str, files: &[File], places: &BTreeSet<&str>) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, heading) =
        target.split_once('#').map_or((target, None), |(path, heading)| (path, Some(heading)));
    let path = if path.is_empty() { from.to_owned() } else { resolve(from, path)? };
    let Some(heading) = heading else {
        return (!places.contains(path.as_str())).then(|| format!("there is no {path}"));
    };
    let Some(document) = files.iter().find(|file| file.path == path) else {
        return Some(format!("there is no {path}"));
    };
    (path.ends_with(".md") && !headings(&document.text).iter().any(|slug| slug == heading))
        .then(|| format!("{path} has no heading for #{heading}"))
}

/// The path from the root that `path` means in a document at `from`. A link that leaves the repository has a first part
/// that no file has, so that it is reported as missing.
fn resolve(from: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Link targets with their lines, outside code blocks and code spans.
fn targets(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for (at, _) in line.match_indices("](") {
            if line[..at].matches('`').count() % 2 == 1 {
                continue;
            }
            let rest = &line[at + 2..];
            if let Some(end) = rest.find(')') {
                // A title may follow the target: [text](target "title").
                found.push((index + 1, rest[..end].split_whitespace().next().unwrap_or_default()));
            }
        }
    }
    found
}

/// The headings' anchors, made as GitHub makes them: lower case, punctuation dropped, spaces to hyphens.
fn headings(text: &str) -> Vec<String> {
    let mut in_code = false;
    text.lines()
        .filter_map(|line| {
            if line.trim_start().starts_with("```") {
                in_code = !in_code;
            }
            (!in_code).then(|| line.trim_start_matches('#')).filter(|rest| rest.len() < line.len())
        })
        .map(|heading| {
            heading
                .trim()
                .to_lowercase()
                .chars()
                .filter_map(|character| match character {
                    ' ' => Some('-'),
                    '-' | '_' => Some(character),
                    other => other.is_alphanumeric().then_some(other),
                })
                .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str, expected: &[&str]) {
        let files = [
            File::new(path, text),
            File::new("docs/tuning.md", "# Tuning the host\n\n## What `tune --check` says\n"),
            File::new("net/src/lib.rs", "//! x"),
        ];
        let found = links(&files);
        assert_eq!(found.len(), expected.len(), "{text:?} gave {found:?}");
        for (finding, part) in found.iter().zip(expected) {
            assert!(finding.contains(part), "{finding:?} lacks {part:?}");
        }
    }

    #[test]
    fn links_to_files_folders_and_headings() {
        check(
            "README.md",
            "[a](docs/tuning.md) [b](net/src) [c](docs/tuning.md#what-tune---check-says)",
            &[],
        );
        check("deploy/README.md", "[a](../docs/tuning.md \"title\") [b](./../net/src/lib.rs)", &[]);
        check(
            "README.md",
            "\n[a](docs/gone.md) [b](docs/tuning.md#gone)",
            &["README.md:2", "no heading for #gone"],
        );
        check("README.md", "[a](../shared/x.md)", &["there is no ../shared/x.md"]);
    }

    #[test]
    fn own_headings_and_other_sites() {
        check("README.md", "# A b\n[a](#a-b) [b](https://example.com/x) [c](mailto:a@b.c)", &[]);
        check("README.md", "# A b\n[a](#b)", &["#b"]);
    }

    #[test]
    fn code_is_not_looked_at() {
        check("README.md", "`[a](gone)`\n```\n[a](gone)\n```\n", &[]);
    }
}
