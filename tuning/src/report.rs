//! The findings and their two forms: a table for people, JSON for programs.
//!
//! **Invariants**: the exit code is the worst verdict; an item that is not `ok` carries a remedy.

use std::fmt::Write as _;

/// How a figure compares with what the server needs. Ordered from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As wanted.
    Ok,
    /// The server runs, but slower, with worse tails or with less headroom.
    Warn,
    /// The server does not start, stalls, or cannot keep its promises.
    Bad,
}

impl Verdict {
    /// The word in the table and in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }
}

/// One judged figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Stable name, `snake_case`.
    pub name: &'static str,
    /// What was read or measured.
    pub now: String,
    /// What the server wants.
    pub wanted: String,
    /// What it changes for the server.
    pub why: &'static str,
    /// The judgement.
    pub verdict: Verdict,
    /// The exact line to set, and where. Present when the verdict is not `ok`.
    pub remedy: Option<String>,
}

impl Item {
    /// An item as wanted.
    pub(crate) fn ok(
        name: &'static str,
        now: impl Into<String>,
        wanted: impl Into<String>,
        why: &'static str,
    ) -> Self {
        Self { name, now: now.into(), wanted: wanted.into(), why, verdict: Verdict::Ok, remedy: None }
    }

    /// The same item judged otherwise, with what to set.
    pub(crate) fn but(mut self, verdict: Verdict, remedy: impl Into<String>) -> Self {
        self.verdict = verdict;
        self.remedy = Some(remedy.into());
        self
    }

    /// An item whose source could not be read: a warning, since nothing is known.
    pub(crate) fn unreadable(
        name: &'static str,
        error: &dyn std::fmt::Display,
        wanted: impl Into<String>,
        why: &'static str,
    ) -> Self {
        Self::ok(name, format!("unknown: {error}"), wanted, why)
            .but(Verdict::Warn, "run the check as root, on the host and not in a container")
    }
}

/// All items of one check, in a fixed order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The judged figures.
    pub items: Vec<Item>,
}

impl Report {
    /// The worst verdict; `ok` for an empty report.
    #[must_use]
    pub fn worst(&self) -> Verdict {
        self.items.iter().map(|item| item.verdict).max().unwrap_or(Verdict::Ok)
    }

    /// Exit status of `tune --check`: 0 ok, 1 warn, 2 bad.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.worst() {
            Verdict::Ok => 0,
            Verdict::Warn => 1,
            Verdict::Bad => 2,
        }
    }

    /// The item of that name.
    #[must_use]
    pub fn item(&self, name: &str) -> Option<&Item> {
        self.items.iter().find(|item| item.name == name)
    }

    /// A table: a line for each item, and below an item that is not `ok` why it matters and what to set.
    /// Ends with a line of counts and a newline.
    #[must_use]
    pub fn render_table(&self) -> String {
        let width = |header: &str, cell: fn(&Item) -> &str| {
            self.items.iter().map(|item| cell(item).chars().count()).chain([header.len()]).max().unwrap_or(0)
        };
        let name_width = width("item", |item| item.name);
        // A long figure does not push the other rows' columns to the right edge.
        let now_width = width("now", |item| &item.now).min(44);
        let mut out = String::new();
        let mut line = |verdict: &str, name: &str, now: &str, wanted: &str| {
            writeln!(out, "{verdict:<7}  {name:<name_width$}  {now:<now_width$}  {wanted}")
                .expect("writing to a String cannot fail");
        };
        line("verdict", "item", "now", "wanted");
        for item in &self.items {
            line(item.verdict.word(), item.name, &item.now, &item.wanted);
            if item.verdict != Verdict::Ok {
                line("", "", &format!("why: {}", item.why), "");
                if let Some(remedy) = &item.remedy {
                    line("", "", &format!("set: {remedy}"), "");
                }
            }
        }
        let count = |verdict| self.items.iter().filter(|item| item.verdict == verdict).count();
        let counts =
            format!("{} ok, {} warn, {} bad", count(Verdict::Ok), count(Verdict::Warn), count(Verdict::Bad));
        out = out.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        out.push_str("\n\n");
        out.push_str(&counts);
        out.push('\n');
        out
    }

    /// One JSON object: `{"verdict":…,"items":[{"name","now","wanted","why","verdict","remedy"}…]}`; `remedy` is null
    /// when nothing is to be set.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = String::from("{\"verdict\":");
        push_json_string(&mut out, self.worst().word());
        out.push_str(",\"items\":[");
        for (index, item) in self.items.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            let fields: [(&str, &str); 5] = [
                ("name", item.name),
                ("now", &item.now),
                ("wanted", &item.wanted),
                ("why", item.why),
                ("verdict", item.verdict.word()),
            ];
            out.push('{');
            for (key, value) in fields {
                push_json_string(&mut out, key);
                out.push(':');
                push_json_string(&mut out, value);
                out.push(',');
            }
            out.push_str("\"remedy\":");
            match &item.remedy {
                Some(remedy) => push_json_string(&mut out, remedy),
                None => out.push_str("null"),
            }
            out.push('}');
        }
        out.push_str("]}");
        out
    }
}

/// Appends `text` as a JSON string (RFC 8259 §7).
fn push_json_string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            control if u32::from(control) < 0x20 => {
                write!(out, "\\u{:04x}", u32::from(control)).expect("writing to a String cannot fail");
            }
            plain => out.push(plain),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Report {
        Report {
            items: vec![
                Item::ok("kernel", "6.18.44", "6.1 or newer", "features"),
                Item::ok("memlock", "8 MiB", "64 MiB", "ring \"buffers\"")
                    .but(Verdict::Warn, "LimitMEMLOCK=64M\tin C:\\x"),
            ],
        }
    }

    #[test]
    fn the_exit_code_is_the_worst_finding() {
        let mut report = Report { items: vec![] };
        assert_eq!(report.exit_code(), 0);
        report = sample();
        assert_eq!(report.exit_code(), 1);
        report.items.push(Item::ok("clock", "hpet", "tsc", "cost").but(Verdict::Bad, "x"));
        report.items.push(Item::ok("last", "", "", ""));
        assert_eq!(report.exit_code(), 2);
    }

    #[test]
    fn the_table_explains_only_what_is_not_ok() {
        let expected = "\
verdict  item     now                               wanted
ok       kernel   6.18.44                           6.1 or newer
warn     memlock  8 MiB                             64 MiB
                  why: ring \"buffers\"
                  set: LimitMEMLOCK=64M\tin C:\\x

1 ok, 1 warn, 0 bad
";
        let squeeze = |text: &str| {
            text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
        };
        assert_eq!(squeeze(&sample().render_table()), squeeze(expected));
    }

    #[test]
    fn json_escapes_and_marks_a_missing_remedy() {
        assert_eq!(
            sample().to_json(),
            r#"{"verdict":"warn","items":[{"name":"kernel","now":"6.18.44","wanted":"6.1 or newer","why":"features","verdict":"ok","remedy":null},{"name":"memlock","now":"8 MiB","wanted":"64 MiB","why":"ring \"buffers\"","verdict":"warn","remedy":"LimitMEMLOCK=64M\u0009in C:\\x"}]}"#
        );
    }
}
