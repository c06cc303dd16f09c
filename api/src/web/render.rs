//! Answers as HTTP responses: statuses, bodies, and the one form of an error.

use engine::core::command::{Refusal, Reply};
use engine::shard::ask::Answer;
use net::http::{HttpDate, ReplyMode, response};

use crate::reads::Found;

const JSON: &str = "application/json";

/// Appends `text` as a JSON string, quotes included.
pub fn push_json_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0..=0x1F => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// Writes `{"error":{"code":…,"message":…}}`.
pub fn error(
    out: &mut Vec<u8>,
    mode: ReplyMode,
    date: &HttpDate,
    status: u16,
    code: &str,
    message: &str,
    retry_after: Option<u32>,
) {
    let mut head = response::begin(out, status, mode, date);
    if let Some(seconds) = retry_after {
        head = head.header_number("Retry-After", u64::from(seconds));
    }
    if status == 401 {
        head = head.header("WWW-Authenticate", "Bearer");
    }
    head.body_with(JSON, |out| {
        out.extend_from_slice(b"{\"error\":{\"code\":");
        push_json_string(out, code);
        out.extend_from_slice(b",\"message\":");
        push_json_string(out, message);
        out.extend_from_slice(b"}}");
    });
}

/// Writes a JSON document.
pub fn json(out: &mut Vec<u8>, mode: ReplyMode, date: &HttpDate, status: u16, body: &[u8]) {
    response::write(out, status, mode, date, JSON, body);
}

/// The same, with the position in the log that a reader of the history has to wait for to see what was done.
pub fn json_at(
    out: &mut Vec<u8>,
    mode: ReplyMode,
    date: &HttpDate,
    status: u16,
    body: &[u8],
    position: Option<&str>,
) {
    let mut head = response::begin(out, status, mode, date);
    if let Some(position) = position {
        head = head.header("X-Position", position);
    }
    head.body(JSON, body);
}

/// Writes what a command's answer says.
pub fn answer(out: &mut Vec<u8>, mode: ReplyMode, date: &HttpDate, answer: &Answer<Found>) {
    answer_at(out, mode, date, answer, None);
}

/// The same, with the position of [`json_at`].
pub fn answer_at(
    out: &mut Vec<u8>,
    mode: ReplyMode,
    date: &HttpDate,
    answer: &Answer<Found>,
    position: Option<&str>,
) {
    match answer {
        Answer::Decided(Ok(reply)) => decided(out, mode, date, *reply, position),
        Answer::Decided(Err(refusal)) => refused(out, mode, date, *refusal),
        Answer::Read(Found::Json(body)) => json(out, mode, date, 200, body),
        Answer::Read(_) => error(out, mode, date, 404, "not_found", "no such thing", None),
        Answer::Unauthorized => {
            error(out, mode, date, 401, "unauthorized", "the session or secret is not valid", None);
        }
        Answer::Busy { retry_after } => {
            error(out, mode, date, 503, "busy", "a queue is full; nothing happened", Some(*retry_after));
        }
        Answer::DeadlineExceeded => {
            let message = "waited too long in the queue; nothing happened";
            error(out, mode, date, 503, "deadline_exceeded", message, Some(1));
        }
        Answer::Stopped => {
            let message = "this part of the server has stopped; it needs a restart";
            error(out, mode, date, 503, "shard_stopped", message, Some(30));
        }
        Answer::Status(_) | Answer::Histograms(_) => {
            error(out, mode, date, 500, "internal", "an answer of another kind", None);
        }
    }
}

fn refused(out: &mut Vec<u8>, mode: ReplyMode, date: &HttpDate, refusal: Refusal) {
    let retry_after = match refusal {
        Refusal::RateLimited { retry_after } => Some(retry_after),
        Refusal::ListsIncomplete => Some(2),
        Refusal::Locked => Some(900),
        _ => None,
    };
    error(out, mode, date, refusal.status(), refusal.code(), &refusal.to_string(), retry_after);
}

fn decided(out: &mut Vec<u8>, mode: ReplyMode, date: &HttpDate, reply: Reply, position: Option<&str>) {
    use std::io::Write;
    let status = match reply {
        Reply::User(_) | Reply::Account(_) | Reply::Source(_) => 201,
        Reply::Closing => 202,
        Reply::SignalExpired { .. } => 422,
        _ => 200,
    };
    if let Reply::SignalExpired { id } = reply {
        let message = format!("the signal was older than it may be when it came; recorded as {id}");
        return error(out, mode, date, status, "signal_expired", &message, None);
    }
    let mut head = response::begin(out, status, mode, date);
    if let Some(position) = position {
        head = head.header("X-Position", position);
    }
    head.body_with(JSON, |out| {
        let written = match reply {
            Reply::Signal { id, repeat } => write!(out, "{{\"id\":\"{id}\",\"duplicate\":{repeat}}}"),
            Reply::User(id) => write!(out, "{{\"id\":\"{id}\"}}"),
            Reply::Account(id) => write!(out, "{{\"account\":{},\"id\":\"{id}\"}}", id.index),
            Reply::Source(id) => write!(out, "{{\"id\":\"{id}\"}}"),
            Reply::Session(expires_at) => write!(out, "{{\"expires_at\":{}}}", expires_at.0),
            Reply::Closing => write!(out, "{{\"closing\":true}}"),
            Reply::SignalExpired { .. } | Reply::Done | Reply::Intended | Reply::Skipped | Reply::Ignored => {
                write!(out, "{{\"ok\":true}}")
            }
        };
        written.expect("writing into memory does not fail");
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_strings_are_escaped() {
        let mut out = Vec::new();
        push_json_string(&mut out, "a\"b\\c\nd é");
        assert_eq!(out, "\"a\\\"b\\\\c\\u000ad é\"".as_bytes());
    }
}
