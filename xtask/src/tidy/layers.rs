//! Imports only point down: which room may depend on which.

use super::File;

/// Each room and the rooms it may name in its dependencies. The pure core's own limits are the step `core-purity`.
const ROOMS: &[(&str, &[&str])] = &[
    ("ringbuf", &[]),
    ("net", &[]),
    // The fuzzers: workspaces of their own.
    ("net/fuzz", &["net"]),
    ("fuzz", &["api", "engine", "net", "storage"]),
    ("engine", &["ringbuf"]),
    ("storage", &["engine", "ringbuf"]),
    ("exchange", &["engine", "net"]),
    ("tuning", &[]),
    ("api", &["engine", "exchange", "net", "ringbuf", "storage", "tuning"]),
    ("bench", &["api", "engine", "exchange", "net", "ringbuf", "storage", "tuning"]),
    ("xtask", &[]),
    // Known bugs, off in every normal build; anybody may hold one. Its name in a dependency is `planted`.
    ("xtask/planted", &[]),
];

/// Dependencies (not those of tests) stay within the table above.
pub(super) fn layers(files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        let Some(room) = file.path.strip_suffix("/Cargo.toml") else { continue };
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
            found.push(
                file.finding(1, "a room that xtask/src/tidy/layers.rs does not know: say what it may import"),
            );
            continue;
        };
        for (line, dependency) in dependencies(&file.text) {
            let is_room = ROOMS.iter().any(|(name, _)| *name == dependency);
            if is_room && !allowed.contains(&dependency) {
                found.push(
                    file.finding(
                        line,
                        format_args!("{room} may not import {dependency}: imports point down"),
                    ),
                );
            }
        }
    }
    found
}

/// Names in the tables of normal and build dependencies, with their lines.
fn dependencies(manifest: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut counts = false;
    for (index, line) in manifest.lines().enumerate() {
        if let Some(table) = line.trim().strip_prefix('[') {
            let table = table.trim_end_matches(']');
            counts = table == "dependencies"
                || table == "build-dependencies"
                || (table.starts_with("target.") && table.ends_with(".dependencies"));
            continue;
        }
        let name = line.split(['=', '.', ' ']).next().unwrap_or_default();
        if counts && !name.is_empty() && !name.starts_with('#') {
            found.push((index + 1, name));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, manifest: &str, expected: &[&str]) {
        let found = layers(&[File::new(path, manifest)]);
        assert_eq!(found.len(), expected.len(), "{manifest:?} gave {found:?}");
        for (finding, part) in found.iter().zip(expected) {
            assert!(finding.contains(part), "{finding:?} lacks {part:?}");
        }
    }

    #[test]
    fn an_import_that_points_up_is_found() {
        check(
            "net/Cargo.toml",
            "[dependencies]\nlibc.workspace = true\nengine = { path = \"x\" }\n",
            &["net/Cargo.toml:3"],
        );
        check(
            "engine/Cargo.toml",
            "[target.'cfg(x)'.dependencies]\nnet.workspace = true\n",
            &["engine may not"],
        );
    }

    #[test]
    fn an_import_that_points_down_and_those_of_tests_are_fine() {
        check("api/Cargo.toml", "[dependencies]\nengine = { workspace = true }\n# bench\n", &[]);
        check("net/Cargo.toml", "[dev-dependencies]\nengine.workspace = true\n", &[]);
    }

    #[test]
    fn a_new_room_must_be_entered() {
        check("cache/Cargo.toml", "[dependencies]\n", &["does not know"]);
        check("Cargo.toml", "[workspace.dependencies]\nengine = { path = \"engine\" }\n", &[]);
    }
}
