//! The opening handshake: what a server refuses and with which status, what a client refuses, and what both accept.

use net::http::{HttpDate, Limits, Parsed, Parser, ReplyMode};
use net::ws::handshake::DeflatePolicy;
use net::ws::handshake::client::{ClientRequest, Established, HandshakeError};
use net::ws::handshake::server::{Refusal, Upgrade};

const KEY: &[u8; 16] = b"the sample nonce";
const ACCEPT: &str = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
const WELL_FORMED: &str = "GET /chat HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Parses a request (without its last line end) and hands its upgrade to `check`.
fn with_upgrade<T>(request: &str, check: impl FnOnce(Result<Upgrade<'_>, Refusal>) -> T) -> T {
    let input = format!("{request}\r\n");
    let mut parser = Parser::new(Limits::default());
    let Ok(Parsed::Complete(request)) = parser.parse(input.as_bytes()) else { panic!("{request}") };
    check(Upgrade::check(request.head))
}

fn refusal(request: &str) -> Option<Refusal> {
    with_upgrade(request, |upgrade| upgrade.err())
}

#[test]
fn a_server_refuses_with_the_right_status() {
    assert_eq!(refusal(WELL_FORMED), None);
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (from, to, expected, status) in [
        ("GET", "POST", Refusal::Method, 405),
        ("HTTP/1.1", "HTTP/1.0", Refusal::HttpVersion, 400),
        ("Upgrade: websocket\r\n", "", Refusal::NotAnUpgrade, 426),
        ("Upgrade: websocket", "Upgrade: websockets", Refusal::NotAnUpgrade, 426),
        ("Connection: Upgrade", "Connection: keep-alive", Refusal::NotAnUpgrade, 426),
        ("Sec-WebSocket-Version: 13\r\n", "", Refusal::WebSocketVersion, 426),
        ("Version: 13", "Version: 8", Refusal::WebSocketVersion, 426),
        ("Version: 13", "Version: 13, 8", Refusal::WebSocketVersion, 426),
        (key, "", Refusal::Key, 400),
        (key, &key.repeat(2), Refusal::Key, 400),
        ("ZQ==", "ZQ", Refusal::Key, 400),
        ("ZQ==", "ZSE=", Refusal::Key, 400),
        ("ZQ==", "Z!==", Refusal::Key, 400),
        ("Host: x", "Host: x\r\nSec-WebSocket-Protocol: a, b c", Refusal::Malformed, 400),
        ("Host: x", "Host: x\r\nOrigin: https://a\r\nOrigin: https://b", Refusal::Malformed, 400),
    ] {
        let request = WELL_FORMED.replacen(from, to, 1);
        assert_ne!(request, WELL_FORMED, "{from}");
        assert_eq!(refusal(&request), Some(expected), "{request}");
        assert_eq!(expected.status(), status);
    }
}

#[test]
fn a_server_takes_tokens_in_any_case_and_within_lists() {
    for (from, to) in [
        ("Upgrade: websocket", "uPGRADE: h2c, WebSocket"),
        ("Upgrade: websocket", "Upgrade: h2c\r\nUpgrade: WEBSOCKET"),
        ("Connection: Upgrade", "Connection: keep-alive, uPGRADE"),
    ] {
        assert_eq!(refusal(&WELL_FORMED.replacen(from, to, 1)), None, "{to}");
    }
}

#[test]
fn refusals_carry_the_headers_their_status_demands() {
    let date = HttpDate::from_unix(0);
    let written = |refusal: Refusal, keep_alive| {
        let mut out = Vec::new();
        refusal.write(&mut out, ReplyMode { keep_alive, ..ReplyMode::default() }, &date);
        String::from_utf8(out).unwrap()
    };
    let text = written(Refusal::WebSocketVersion, true);
    assert!(text.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{text}");
    for part in
        ["\r\nUpgrade: websocket\r\n", "\r\nConnection: Upgrade\r\n", "\r\nSec-WebSocket-Version: 13\r\n"]
    {
        assert!(text.contains(part), "{text}");
    }
    assert!(text.ends_with(
        "{\"error\":{\"code\":\"websocket_version\",\"message\":\"only version 13 of the WebSocket protocol is spoken here\"}}"
    ));
    let text = written(Refusal::NotAnUpgrade, false);
    assert_eq!(text.matches("Connection:").count(), 1, "{text}");
    assert!(written(Refusal::Method, true).contains("\r\nAllow: GET\r\n"));
    assert!(written(Refusal::Origin, true).starts_with("HTTP/1.1 403 Forbidden\r\n"));
}

#[test]
fn a_server_answers_with_what_it_chose() {
    let request = WELL_FORMED.to_owned()
        + "Origin: https://example.org\r\nSec-WebSocket-Protocol: v1, v2\r\nSec-WebSocket-Protocol: v3\r\n\
           Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    with_upgrade(&request, |upgrade| {
        let upgrade = upgrade.unwrap();
        assert_eq!(upgrade.origin(), Some("https://example.org"));
        assert_eq!(upgrade.head().path, "/chat");
        assert_eq!(upgrade.protocols().collect::<Vec<_>>(), ["v1", "v2", "v3"]);
        assert_eq!(upgrade.choose(&["v9", "v3", "v1"]), Some("v3"));
        assert_eq!(upgrade.choose(&["V1"]), None);
        let start = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{ACCEPT}"
        );
        let mut out = Vec::new();
        assert_eq!(upgrade.accept(None, None, &mut out), None);
        assert_eq!(String::from_utf8(out).unwrap(), format!("{start}\r\n"));
        let mut out = Vec::new();
        assert!(upgrade.accept(Some("v3"), Some(&DeflatePolicy::default()), &mut out).is_some());
        assert_eq!(
            String::from_utf8(out).unwrap(),
            format!(
                "{start}Sec-WebSocket-Protocol: v3\r\nSec-WebSocket-Extensions: permessage-deflate; \
                 server_no_context_takeover; client_no_context_takeover; client_max_window_bits=15\r\n\r\n"
            )
        );
    });
}

#[test]
fn a_server_that_finds_no_extension_names_none() {
    let request = WELL_FORMED.to_owned() + "Sec-WebSocket-Extensions: permessage-deflate; unknown\r\n";
    with_upgrade(&request, |upgrade| {
        let mut out = Vec::new();
        assert_eq!(upgrade.unwrap().accept(None, Some(&DeflatePolicy::default()), &mut out), None);
        assert!(!String::from_utf8(out).unwrap().contains("Extensions"));
    });
}

fn request() -> ClientRequest<'static> {
    ClientRequest { host: "x", target: "/chat", ..ClientRequest::default() }
}

#[test]
fn both_sides_reach_the_same_agreement() {
    let policy = DeflatePolicy { server_window_bits_max: 12, ..DeflatePolicy::default() };
    let headers = [("X-Key", "secret"), ("User-Agent", "tests")];
    let asked =
        ClientRequest { headers: &headers, protocols: &["a", "b"], deflate: Some(policy), ..request() };
    let mut sent = Vec::new();
    let handshake = asked.write(*KEY, &mut sent).unwrap();
    let mut parser = Parser::new(Limits::default());
    let Ok(Parsed::Complete(parsed)) = parser.parse(&sent) else { panic!("not a request") };
    assert_eq!(parsed.head.header_str("x-key"), Some("secret"));
    let upgrade = Upgrade::check(parsed.head).unwrap();
    let mut answer = Vec::new();
    let deflate = upgrade.accept(upgrade.choose(&["b"]), Some(&DeflatePolicy::default()), &mut answer);
    assert!(deflate.is_some());
    let consumed_bytes = answer.len();
    answer.extend_from_slice(b"\x81\x00 the first frame");
    for end in 0..consumed_bytes {
        assert_eq!(handshake.read(&answer[..end], false), Ok(None));
        assert_eq!(handshake.read(&answer[..end], true), Err(HandshakeError::Closed));
    }
    let established = Established { consumed_bytes, protocol: Some("b".to_owned()), deflate };
    assert_eq!(handshake.read(&answer, false), Ok(Some(established)));
}

#[test]
fn a_client_refuses_an_answer_that_does_not_fit() {
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{ACCEPT}\r\n"
    );
    let handshake = ClientRequest { protocols: &["a"], ..request() }.write(*KEY, &mut Vec::new()).unwrap();
    assert!(handshake.read(answer.as_bytes(), false).unwrap().is_some());
    let mismatch = HandshakeError::Mismatch;
    for (from, to, expected) in [
        ("HTTP/1.1", "HTTP/1.0", HandshakeError::Malformed),
        ("HTTP/1.1", "ICY", HandshakeError::Malformed),
        ("Upgrade: websocket", "Upgrade: h2c", mismatch("Upgrade")),
        ("Upgrade: websocket\r\n", "", mismatch("Upgrade")),
        ("Connection: Upgrade", "Connection: close", mismatch("Connection")),
        ("s3pPLMBi", "S3pPLMBi", mismatch("Sec-WebSocket-Accept")),
        (ACCEPT, "", mismatch("Sec-WebSocket-Accept")),
        (ACCEPT, &ACCEPT.repeat(2), mismatch("Sec-WebSocket-Accept")),
        ("\r\n\r\n", "\r\nSec-WebSocket-Protocol: b\r\n\r\n", mismatch("Sec-WebSocket-Protocol")),
        (
            "\r\n\r\n",
            "\r\nSec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: a\r\n\r\n",
            mismatch("Sec-WebSocket-Protocol"),
        ),
        (
            "\r\n\r\n",
            "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
            mismatch("Sec-WebSocket-Extensions"),
        ),
    ] {
        let spoilt = answer.replacen(from, to, 1);
        assert_ne!(spoilt, answer);
        assert_eq!(handshake.read(spoilt.as_bytes(), false), Err(expected), "{spoilt}");
    }
    let endless = format!("HTTP/1.1 101 Switching Protocols\r\nX: {}", "x".repeat(16 << 10));
    assert_eq!(handshake.read(endless.as_bytes(), false), Err(HandshakeError::Malformed));
}

#[test]
fn a_client_reports_other_answers() {
    let handshake = request().write(*KEY, &mut Vec::new()).unwrap();
    let answer = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 8\r\n\r\ntoo many";
    let refused = |status, location: Option<&str>, retry_after: Option<&str>, body_start: &str| {
        Err(HandshakeError::Refused {
            status,
            location: location.map(str::to_owned),
            retry_after: retry_after.map(str::to_owned),
            body_start: body_start.to_owned(),
        })
    };
    assert_eq!(handshake.read(answer, false), refused(429, None, Some("7"), "too many"));
    assert_eq!(handshake.read(&answer[..answer.len() - 1], false), Ok(None), "the body is on its way");
    assert_eq!(handshake.read(&answer[..answer.len() - 1], true), refused(429, None, Some("7"), "too man"));
    let redirect = b"HTTP/1.1 302 Found\r\nLocation: wss://other/\r\n\r\n";
    assert_eq!(handshake.read(redirect, false), refused(302, Some("wss://other/"), None, ""));
    let long = format!("HTTP/1.1 403 Forbidden\r\nContent-Length: 5000\r\n\r\n{}", "x".repeat(2000));
    assert_eq!(handshake.read(long.as_bytes(), false), refused(403, None, None, &"x".repeat(1024)));
}

#[test]
fn a_client_writes_no_request_that_would_be_read_otherwise() {
    for (spoilt, what) in [
        (ClientRequest { host: "", ..request() }, "host"),
        (ClientRequest { host: "x\r\ny", ..request() }, "host"),
        (ClientRequest { target: "chat", ..request() }, "target"),
        (ClientRequest { target: "/a b", ..request() }, "target"),
        (ClientRequest { target: "/a#b", ..request() }, "target"),
        (ClientRequest { headers: &[("A", "b\r\nC: d")], ..request() }, "headers"),
        (ClientRequest { headers: &[("A b", "c")], ..request() }, "headers"),
        (ClientRequest { protocols: &["a b"], ..request() }, "sub-protocols"),
    ] {
        let mut out = Vec::new();
        let error = spoilt.write(*KEY, &mut out).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
        assert!(out.is_empty());
    }
}
