//! Requests to the JSON API. The bytes are a request without what frames it: a line `METHOD target`, lines
//! `name:value`, an empty line, the body.

use api::web::history::ROWS_MAX;
use api::web::keys::KeySetup;
use api::web::routes::{Proof, Routed, route};
use api::web::token::parse_secret;
use engine::core::command::Command;
use engine::core::ids::{ClientOrderId, SignalId, SourceId, UserId};
use engine::core::user::VenueKind;
use engine::core::venue_account::{Environment, LiveVenues};
use engine::seam::Entropy;
use engine::shard::ask::Op;
use net::http::{Limits, Parsed, Parser, Request};

use super::{CREDENTIAL, check_code, check_message};

/// Headers that the check writes itself.
const FRAMING: [&[u8]; 4] = [b"host", b"content-length", b"transfer-encoding", b"expect"];

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// The same numbers each time.
struct Counting(u8);

impl Entropy for Counting {
    fn fill(&mut self, out: &mut [u8]) {
        for byte in out {
            *byte = self.0;
            self.0 = self.0.wrapping_add(37);
        }
    }
}

/// A request is routed, or refused with a status below 500; the same twice; a refusal for its method names methods that
/// are not refused; ids are those of the path; and no message repeats a credential.
pub(crate) fn check(bytes: &[u8]) {
    let (first, rest) = split(bytes, b"\n");
    let (headers, body) = split(rest, b"\n\n");
    let (method, target) = split(first, b" ");
    let Ok(method) = std::str::from_utf8(method) else { return };
    let look = |method: &str| with_request(method, target, headers, body, look);
    let Some(seen) = look(method) else { return };
    assert_eq!(Some(&seen), look(method).as_ref(), "another answer");
    if method == "HEAD" {
        assert_eq!(Some(&seen), look("GET").as_ref(), "HEAD is as GET");
    }
    if let Seen::NotAllowed(allow) = &seen {
        for other in METHODS {
            let listed = allow.split(", ").any(|name| name == other);
            let refused = matches!(look(other), Some(Seen::NotAllowed(_)));
            let as_get = other == "HEAD" && allow.contains("GET");
            assert!(listed || as_get || refused, "{other} is not in {allow:?}, and not refused");
            assert!(!(listed && refused), "{other} is in {allow:?}, and refused");
        }
    }
    for part in target.split(|byte| matches!(byte, b'/' | b'?' | b'&' | b'=')) {
        if let Ok(text) = std::str::from_utf8(part) {
            check_ids(text);
        }
    }
}

/// All that a request can be routed to, by the name that [`reached`] gives it.
pub(crate) const KINDS: [&str; 13] = [
    "ask",
    "create source",
    "key",
    "sign up",
    "log in",
    "receipt",
    "history",
    "gather",
    "live stats",
    "health",
    "ready",
    "error",
    "other methods",
];

/// What a request is routed to; `None` for what is no request.
pub(crate) fn reached(bytes: &[u8]) -> Option<&'static str> {
    let (first, rest) = split(bytes, b"\n");
    let (headers, body) = split(rest, b"\n\n");
    let (method, target) = split(first, b" ");
    let kind = |request: &Request<'_>| match route(request, &mut Counting(3)) {
        Routed::Ask(_) => "ask",
        Routed::CreateSource(..) => "create source",
        Routed::Key(_) => "key",
        Routed::SignUp(_) => "sign up",
        Routed::LogIn(_) => "log in",
        Routed::Receipt { .. } => "receipt",
        Routed::History(..) => "history",
        Routed::Gather(_) => "gather",
        Routed::LiveStats => "live stats",
        Routed::Health => "health",
        Routed::Ready => "ready",
        Routed::Error { .. } => "error",
        Routed::MethodNotAllowed(_) => "other methods",
    };
    with_request(std::str::from_utf8(method).ok()?, target, headers, body, kind)
}

/// What an answer comes to.
#[derive(Debug, PartialEq)]
enum Seen {
    NotAllowed(&'static str),
    Other(String),
}

/// Before and after the first `mark`.
fn split<'a>(bytes: &'a [u8], mark: &[u8]) -> (&'a [u8], &'a [u8]) {
    match bytes.windows(mark.len()).position(|part| part == mark) {
        Some(at) => (&bytes[..at], &bytes[at + mark.len()..]),
        None => (bytes, b""),
    }
}

/// Writes the request, and calls `then` with it when it is one.
fn with_request<T>(
    method: &str,
    target: &[u8],
    headers: &[u8],
    body: &[u8],
    then: impl FnOnce(&Request<'_>) -> T,
) -> Option<T> {
    let mut bytes = [method.as_bytes(), b" ", target, b" HTTP/1.1\r\nhost:x\r\n"].concat();
    for line in headers.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let (name, _) = split(line, b":");
        if !FRAMING.iter().any(|framing| name.trim_ascii().eq_ignore_ascii_case(framing)) {
            bytes.extend_from_slice(line);
            bytes.extend_from_slice(b"\r\n");
        }
    }
    bytes.extend_from_slice(format!("content-length:{}\r\n\r\n", body.len()).as_bytes());
    bytes.extend_from_slice(body);
    match Parser::new(Limits::default()).parse(&bytes) {
        Ok(Parsed::Complete(request)) if request.input_bytes == bytes.len() => Some(then(&request)),
        _ => None,
    }
}

fn look(request: &Request<'_>) -> Seen {
    let routed = route(request, &mut Counting(3));
    let last = request.head.path.rsplit('/').next().unwrap_or_default();
    let text = match routed {
        Routed::MethodNotAllowed(allow) => return Seen::NotAllowed(allow),
        Routed::Error { status, code, message } => {
            assert!((400..500).contains(&status), "{status} {message}");
            check_code(code);
            let carries = |part: &[u8]| part.windows(CREDENTIAL.len()).any(|w| w == CREDENTIAL.as_bytes());
            // A signal's error names the field it is about, and so may any name that was sent.
            let names_fields = request.head.path.contains("signal") || request.head.path.contains("webhook");
            if carries(request.head.path.as_bytes()) || !names_fields {
                check_message(&message);
            }
            format!("{status} {code} {message}")
        }
        Routed::Ask(ask) => {
            if let Op::Command(Command::Unsubscribe { source, .. }) = &ask.op {
                assert_eq!(source.to_string(), last);
            }
            check_ids(&ask.user.to_string());
            format!("{ask:?}")
        }
        Routed::History(session, question) => {
            check_ids(&question.user.to_string());
            // What was asked goes into the statement's parameters, never into its text.
            assert!(question.statement().len() < 4_000 && !question.statement().contains(CREDENTIAL));
            assert!((1..=ROWS_MAX).contains(&question.page_rows()) && question.from >= 0 && question.to >= 0);
            format!("{session:?} {question:?}")
        }
        Routed::CreateSource(ask, secret) => {
            let (owner, digest) = parse_secret(&secret).expect("a new secret is one");
            assert_eq!(owner, ask.user);
            assert!(
                matches!(&ask.op, Op::Command(Command::CreateSource { secret, .. }) if *secret == digest)
            );
            format!("{ask:?} {secret}")
        }
        Routed::Key(request) => {
            check_ids(&request.user.to_string());
            // Whole or not, nothing that is said about it repeats the secret.
            let of = |text: &Option<api::vault::secret::Secret>| {
                text.as_ref().map(|text| text.expose().to_owned())
            };
            let key = (of(&request.key.api_key), of(&request.key.secret), request.key.key_type.clone());
            match request.begin(&KeySetup { live: everything(), ..KeySetup::default() }) {
                Ok(entry) => format!("key {key:?} {:?}", entry.ask()),
                Err(error) => {
                    check_code(error.code);
                    check_message(&error.message);
                    format!("key {key:?} {} {}", error.code, error.message)
                }
            }
        }
        Routed::SignUp(body) => format!("sign up {} {} {}", body.email, body.password, body.zone),
        Routed::LogIn(body) => format!("log in {} {}", body.email, body.password),
        Routed::Receipt { signal, proof, limit, offset } => {
            assert_eq!(signal.to_string(), last);
            let proof = match proof {
                Proof::Session(user, digest) => format!("session of {user} {digest:?}"),
                Proof::Secret(digest) => format!("secret {digest:?}"),
            };
            format!("{signal} {proof} {limit} {offset}")
        }
        Routed::Gather(figures) => format!("{figures:?}"),
        Routed::LiveStats => "live stats".to_owned(),
        Routed::Health => "health".to_owned(),
        Routed::Ready => "ready".to_owned(),
    };
    Seen::Other(text)
}

/// A configuration that names every exchange.
fn everything() -> LiveVenues {
    [VenueKind::Binance, VenueKind::Bybit].into_iter().fold(LiveVenues::default(), |live, venue| {
        Environment::ALL.into_iter().fold(live, |live, environment| live.with(venue, environment))
    })
}

/// What is read as an id is written as it was.
fn check_ids(text: &str) {
    assert!(UserId::parse(text).is_none_or(|id| id.to_string() == text), "{text}");
    assert!(SourceId::parse(text).is_none_or(|id| id.to_string() == text), "{text}");
    assert!(SignalId::parse(text).is_none_or(|id| id.to_string() == text), "{text}");
    assert!(ClientOrderId::parse(text).is_none_or(|id| id.to_string() == text), "{text}");
}
