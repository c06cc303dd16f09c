//! An answer about a history, as JSON or CSV.
//!
//! **Runs on**: the readers' thread for what comes from Postgres, a shard for the few rows that the state keeps.
//! **Bounds**: [`super::PAGE_BYTES_MAX`] bytes a page: what does not fit is another page.

use std::collections::VecDeque;

use super::columns::{Column, Form};
use super::{PAGE_BYTES_MAX, PIECE_BYTES, cursor_text};
use crate::web::render::push_json_string;

/// A row, and its place in the order of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The time that decides, in microseconds since 1970.
    pub at: i64,
    /// What tells rows of one time apart.
    pub id: String,
    /// By column.
    pub fields: Vec<Option<String>>,
}

impl Row {
    fn cursor(&self) -> String {
        cursor_text(self.at, &self.id)
    }
}

/// How far what the state keeps goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// From then on it has every row of this kind, in microseconds since 1970; zero: it has all that ever were.
    pub complete_from: i64,
    /// Rows that were asked for may be missing because they are older.
    pub truncated: bool,
    /// They are in the database, which does not answer now: the last row's cursor goes on there.
    pub elsewhere: bool,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRows {
    pub(super) columns: &'static [Column],
    pub(super) rows: Vec<Row>,
    /// There are more after the last one.
    pub(super) more: bool,
    pub(super) source: String,
    /// Of an answer from the state.
    pub(super) kept: Option<Kept>,
}

/// An answer as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryPage {
    /// The body.
    pub body: Vec<u8>,
    /// It is CSV, not JSON.
    pub csv: bool,
    /// Who answered.
    pub source: String,
    /// The cursor of the next page.
    pub next: Option<String>,
    /// Of an answer from the state: see [`Kept::truncated`].
    pub truncated: bool,
}

/// A page of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamPage {
    /// Pieces of about [`PIECE_BYTES`].
    pub pieces: VecDeque<Vec<u8>>,
    /// After which row the next page goes on; none after the last.
    pub next: Option<(i64, String)>,
    /// Who answered.
    pub source: String,
}

impl HistoryRows {
    /// As one answer: as many rows as fit, and where the rest is.
    #[must_use]
    pub fn page(&self, csv: bool) -> HistoryPage {
        let mut body = Vec::new();
        if csv {
            self.heading(&mut body);
        } else {
            body.extend_from_slice(b"{\"source\":");
            push_json_string(&mut body, &self.source);
            if let Some(kept) = &self.kept {
                let (truncated, from) = (kept.truncated, kept.complete_from);
                body.extend_from_slice(
                    format!(",\"truncated\":{truncated},\"complete_from\":{from}").as_bytes(),
                );
            }
            body.extend_from_slice(b",\"rows\":[");
        }
        let (mut last, mut more) = (None, self.more);
        for row in &self.rows {
            let end = body.len();
            if csv {
                push_csv_row(&mut body, row);
            } else {
                if last.is_some() {
                    body.push(b',');
                }
                self.push_json_row(&mut body, row);
            }
            let full =
                body.len() > PAGE_BYTES_MAX && !planted::planted!("page_beyond_what_a_connection_queues");
            if full && last.is_some() {
                body.truncate(end);
                more = true;
                break;
            }
            last = Some(row);
        }
        let goes_on = more || self.kept.is_some_and(|kept| kept.truncated && kept.elsewhere);
        let next = last.filter(|_| goes_on).map(Row::cursor);
        if !csv {
            body.extend_from_slice(b"],\"next\":");
            match &next {
                Some(next) => push_json_string(&mut body, next),
                None => body.extend_from_slice(b"null"),
            }
            body.push(b'}');
        }
        let truncated = self.kept.is_some_and(|kept| kept.truncated);
        HistoryPage { body, csv, source: self.source.clone(), next, truncated }
    }

    /// As a page of a stream, whose `first` has the headings.
    #[must_use]
    pub fn stream(self, first: bool) -> StreamPage {
        let (mut pieces, mut piece) = (VecDeque::new(), Vec::new());
        if first {
            self.heading(&mut piece);
        }
        for row in &self.rows {
            push_csv_row(&mut piece, row);
            if piece.len() >= PIECE_BYTES {
                pieces.push_back(std::mem::take(&mut piece));
            }
        }
        if !piece.is_empty() {
            pieces.push_back(piece);
        }
        let last = self.rows.into_iter().next_back().filter(|_| self.more);
        StreamPage { pieces, next: last.map(|row| (row.at, row.id)), source: self.source }
    }

    fn push_json_row(&self, out: &mut Vec<u8>, row: &Row) {
        out.push(b'{');
        for (place, (column, value)) in self.columns.iter().zip(&row.fields).enumerate() {
            if place > 0 {
                out.push(b',');
            }
            push_json_string(out, column.name);
            out.push(b':');
            match (value, column.form) {
                (None, _) => out.extend_from_slice(b"null"),
                (Some(value), Form::Text) => push_json_string(out, value),
                (Some(value), Form::Plain) => out.extend_from_slice(value.as_bytes()),
            }
        }
        out.push(b'}');
    }

    /// The first line (RFC 4180).
    fn heading(&self, out: &mut Vec<u8>) {
        let names: Vec<&str> = self.columns.iter().map(|column| column.name).collect();
        out.extend_from_slice(names.join(",").as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

fn push_csv_row(out: &mut Vec<u8>, row: &Row) {
    for (place, value) in row.fields.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        push_csv(out, value.as_deref().unwrap_or_default());
    }
    out.extend_from_slice(b"\r\n");
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

    use super::*;
    use crate::web::history::HistoryQuestion;

    fn fees(at: u64, reason: &str) -> Vec<Option<String>> {
        let at = at.to_string();
        let values = [&at, reason, "0", "USDT", "=1+1", "-2.5", "1", "0", "0", &at, "id"];
        values.iter().map(|value| Some((*value).to_owned())).collect()
    }

    fn json(page: &HistoryPage) -> serde_json::Value {
        serde_json::from_slice(&page.body).unwrap()
    }

    #[test]
    fn pages_and_forms() {
        let question = HistoryQuestion::parse("fees", Some("limit=1"), UserId(7)).unwrap().unwrap();
        let rows = question.answer(vec![fees(9, "a,b"), fees(8, "a,b")], 1, "replica-2".to_owned()).unwrap();
        let page = rows.page(false);
        assert_eq!(page.next.as_deref(), Some("9-id"));
        let document = json(&page);
        assert_eq!(document["source"], "replica-2");
        assert_eq!(document["rows"][0]["at"], 9);
        assert_eq!(document["rows"][0]["from_credit"], "-2.5");
        assert_eq!(document["next"], "9-id");
        assert_eq!(document.get("truncated"), None, "the database has everything");
        let csv = String::from_utf8(rows.page(true).body).unwrap();
        assert_eq!(csv.lines().nth(1), Some("9,\"a,b\",0,USDT,\"'=1+1\",-2.5,1,0,0"));
        let last = question.answer(vec![fees(9, "a,b")], 1, String::new()).unwrap();
        assert_eq!(last.page(false).next, None);
        assert!(question.answer(vec![vec![None, None]], 1, String::new()).is_err());
    }

    /// What a connection may have queued bounds an answer, whatever is asked for; the cursor goes on after what fitted.
    #[test]
    fn a_page_ends_at_its_bytes_and_says_where_the_rest_is() {
        let question = HistoryQuestion::parse("fees", Some("limit=10000"), UserId(7)).unwrap().unwrap();
        for csv in [false, true] {
            let (mut left, mut pages, mut seen) = ((1..=10_000_u64).rev().collect::<Vec<_>>(), 0, Vec::new());
            while !left.is_empty() {
                let texts = left.iter().map(|at| fees(*at, &"r".repeat(60))).collect();
                let page = question.answer(texts, 10_000, String::new()).unwrap().page(csv);
                assert!(page.body.len() <= PAGE_BYTES_MAX + 64, "{}", page.body.len());
                let ats: Vec<u64> = if csv {
                    let text = String::from_utf8(page.body.clone()).unwrap();
                    text.lines()
                        .skip(1)
                        .map(|line| line.split(',').next().unwrap().parse().unwrap())
                        .collect()
                } else {
                    let rows = json(&page)["rows"].as_array().unwrap().clone();
                    rows.iter().map(|row| row["at"].as_u64().unwrap()).collect()
                };
                let last = *ats.last().unwrap();
                assert_eq!(page.next, (last > 1).then(|| format!("{last}-id")));
                seen.extend(ats);
                left.retain(|at| *at < last);
                pages += 1;
            }
            assert!(pages > 1, "more than one page is needed");
            assert!(seen.iter().copied().eq((1..=10_000).rev()), "each row once, in order");
        }
    }

    #[test]
    fn a_stream_is_the_same_rows_in_pieces() {
        let question = HistoryQuestion::parse("fees", Some("format=csv"), UserId(7)).unwrap().unwrap();
        let texts = |ats: std::ops::Range<u64>| ats.rev().map(|at| fees(at, "a reason")).collect::<Vec<_>>();
        let whole = question.answer(texts(0..2_000), 9_999, String::new()).unwrap().page(true).body;
        let first = question.answer(texts(999..2_000), 1_000, String::new()).unwrap().stream(true);
        assert_eq!(first.next, Some((1_000, "id".to_owned())));
        let second = question.answer(texts(0..1_000), 1_000, String::new()).unwrap().stream(false);
        assert_eq!(second.next, None);
        let pieces: Vec<Vec<u8>> = first.pieces.into_iter().chain(second.pieces).collect();
        assert!(pieces.iter().all(|piece| piece.len() < PIECE_BYTES + 1_024));
        assert_eq!(pieces.concat(), whole);
        let nothing = question.answer(Vec::new(), 1_000, String::new()).unwrap().stream(true);
        assert_eq!(nothing.pieces.len(), 1, "headings without rows");
    }
}
