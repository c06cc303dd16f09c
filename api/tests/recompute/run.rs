//! Plays a market in the demo binary and has the run recomputed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// The workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// A file of `bench/testdata`, by its name without the ending.
pub(crate) fn testdata(name: &str) -> PathBuf {
    root().join("bench/testdata").join(format!("{name}.csv"))
}

/// What a run left.
pub(crate) struct Run {
    /// For messages.
    pub(crate) name: String,
    /// The object that `--json` prints.
    pub(crate) report: Value,
    /// The same as a file.
    pub(crate) report_path: PathBuf,
    /// What `log inspect` prints about its data.
    pub(crate) log: PathBuf,
    /// The prices it played, kept with it.
    pub(crate) prices: PathBuf,
    funding: Option<PathBuf>,
    audit: PathBuf,
    dir: TempDir,
}

/// What the recomputation says.
pub(crate) struct Verdict {
    /// No differences.
    pub(crate) agrees: bool,
    /// Everything it printed.
    pub(crate) text: String,
}

impl Verdict {
    /// It came to an end and found differences, which is not the same as a failure of its own.
    pub(crate) fn differs(&self) -> bool {
        !self.agrees && self.text.lines().any(|l| l.ends_with(" differences") && l != "0 differences")
    }
}

fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_coinbitclub"))
}

fn text(output: &Output) -> String {
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    text
}

/// Plays a file with so many users and shards.
pub(crate) fn play(prices: &Path, funding: Option<&Path>, users: u32, shards: u32) -> Run {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name);
    let (audit, data, log, report_path) = (at("audit.jsonl"), at("data"), at("log.txt"), at("report.json"));
    let kept = at(&prices.file_name().expect("a file").to_string_lossy());
    std::fs::copy(prices, &kept).expect("copied");
    let mut demo = binary();
    demo.args(["demo", "--once", "--json", "--listen", "127.0.0.1:0", "--no-pin", "--segment-mib", "4"])
        .args(["--users", &users.to_string(), "--shards", &shards.to_string()])
        .arg("--data")
        .arg(&data)
        .arg("--market")
        .arg(prices)
        .arg("--audit")
        .arg(&audit);
    if let Some(funding) = funding {
        demo.arg("--funding").arg(funding);
    }
    let played = demo.output().expect("the demo runs");
    let name = format!("{} on {shards} shards", prices.file_name().unwrap_or_default().display());
    let report = serde_json::from_slice(&played.stdout)
        .unwrap_or_else(|error| panic!("{name}: no report ({error}): {}", text(&played)));
    std::fs::write(&report_path, &played.stdout).expect("written");
    let inspected = binary().args(["log", "inspect"]).arg(&data).output().expect("it is inspected");
    assert!(inspected.status.success(), "{name}: {}", String::from_utf8_lossy(&inspected.stderr));
    std::fs::write(&log, &inspected.stdout).expect("written");
    std::fs::remove_dir_all(&data).expect("the data was read");
    Run { name, report, report_path, log, prices: kept, funding: funding.map(Path::to_owned), audit, dir }
}

impl Run {
    /// The audit, a value for each user.
    pub(crate) fn users(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.audit).expect("the demo wrote it");
        text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
    }

    /// Recomputes with the programs under `root`.
    pub(crate) fn recompute(&self, root: &Path) -> Verdict {
        self.recompute_with(root, &self.audit)
    }

    /// Recomputes against another audit.
    pub(crate) fn recompute_audit(&self, users: &[Value]) -> Verdict {
        let path = self.dir.path().join("changed.jsonl");
        let lines: Vec<String> = users.iter().map(Value::to_string).collect();
        std::fs::write(&path, lines.join("\n")).expect("written");
        self.recompute_with(&root(), &path)
    }

    fn recompute_with(&self, root: &Path, audit: &Path) -> Verdict {
        let mut python = Command::new("python3");
        // No compiled files beside the sources.
        python.arg("-B").arg(root.join("bench/recompute/recompute.py"));
        python
            .arg(&self.prices)
            .arg(audit)
            .arg("--report")
            .arg(&self.report_path)
            .arg("--log")
            .arg(&self.log);
        if let Some(funding) = &self.funding {
            python.arg("--funding").arg(funding);
        }
        let output = python.output().expect("python3 runs");
        Verdict { agrees: output.status.success(), text: text(&output) }
    }
}

/// Copies the recomputation and the page it reads.
pub(crate) fn copy_recomputation(to: &Path) {
    let folders = ["bench/recompute", "docs"];
    for folder in folders {
        std::fs::create_dir_all(to.join(folder)).expect("a directory");
    }
    let mut copied = 0;
    for entry in std::fs::read_dir(root().join(folders[0])).expect("the recomputation") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|ending| ending == "py") {
            std::fs::copy(&path, to.join(folders[0]).join(path.file_name().expect("a name")))
                .expect("copied");
            copied += 1;
        }
    }
    assert!(copied > 1, "the recomputation was found");
    let page = "docs/paper-venue.md";
    std::fs::copy(root().join(page), to.join(page)).expect("copied");
}
