//! An answer about a history, as JSON or CSV.

use super::columns::{Column, Form};
use crate::web::render::push_json_string;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRows {
    pub(super) columns: &'static [Column],
    pub(super) rows: Vec<Vec<Option<String>>>,
    pub(super) next: Option<String>,
    pub(super) source: String,
}

impl HistoryRows {
    /// As JSON: `{"source":…,"rows":[{…}],"next":…}`.
    #[must_use]
    pub fn json(&self) -> Vec<u8> {
        let mut out = b"{\"source\":".to_vec();
        push_json_string(&mut out, &self.source);
        out.extend_from_slice(b",\"rows\":[");
        for (place, row) in self.rows.iter().enumerate() {
            out.extend_from_slice(if place == 0 { b"{" } else { b",{" });
            for (place, (column, value)) in self.columns.iter().zip(row).enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                push_json_string(&mut out, column.name);
                out.push(b':');
                match (value, column.form) {
                    (None, _) => out.extend_from_slice(b"null"),
                    (Some(value), Form::Text) => push_json_string(&mut out, value),
                    (Some(value), Form::Plain) => out.extend_from_slice(value.as_bytes()),
                }
            }
            out.push(b'}');
        }
        out.extend_from_slice(b"],\"next\":");
        match &self.next {
            Some(next) => push_json_string(&mut out, next),
            None => out.extend_from_slice(b"null"),
        }
        out.push(b'}');
        out
    }

    /// As CSV (RFC 4180), with headings.
    #[must_use]
    pub fn csv(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let names: Vec<&str> = self.columns.iter().map(|column| column.name).collect();
        out.extend_from_slice(names.join(",").as_bytes());
        out.extend_from_slice(b"\r\n");
        for row in &self.rows {
            for (place, value) in row.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                push_csv(&mut out, value.as_deref().unwrap_or_default());
            }
            out.extend_from_slice(b"\r\n");
        }
        out
    }

    /// The cursor of the next page.
    #[must_use]
    pub fn next(&self) -> Option<&str> {
        self.next.as_deref()
    }

    /// Who answered.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }
}

/// A field; what a spreadsheet would take for a formula is told as text.
fn push_csv(out: &mut Vec<u8>, value: &str) {
    let formula = value.starts_with(['=', '@', '\t', '\r'])
        || (value.starts_with(['+', '-']) && value[1..].contains(|c: char| !c.is_ascii_digit() && c != '.'));
    let quoted = formula || value.contains([',', '"', '\r', '\n']);
    if !quoted {
        return out.extend_from_slice(value.as_bytes());
    }
    out.push(b'"');
    if formula {
        out.push(b'\'');
    }
    for byte in value.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use engine::core::ids::UserId;

    use crate::web::history::HistoryQuestion;

    #[test]
    fn pages_and_forms() {
        let question = HistoryQuestion::parse("fees", Some("limit=1"), UserId(7)).unwrap().unwrap();
        let row = |at: &str| {
            let values = [at, "a,b", "0", "USDT", "=1+1", "-2.5", "1", "0", "0", at, "id"];
            values.iter().map(|value| Some((*value).to_owned())).collect::<Vec<_>>()
        };
        let answer = question.answer(vec![row("9"), row("8")], "replica-2".to_owned());
        assert_eq!(answer.next(), Some("9-id"));
        let json: serde_json::Value = serde_json::from_slice(&answer.json()).unwrap();
        assert_eq!(json["source"], "replica-2");
        assert_eq!(json["rows"][0]["at"], 9);
        assert_eq!(json["rows"][0]["from_credit"], "-2.5");
        let csv = String::from_utf8(answer.csv()).unwrap();
        assert_eq!(csv.lines().nth(1), Some("9,\"a,b\",0,USDT,\"'=1+1\",-2.5,1,0,0"));
        assert_eq!(question.answer(vec![row("9")], String::new()).next(), None);
    }
}
