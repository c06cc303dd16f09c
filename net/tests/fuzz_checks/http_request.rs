//! HTTP/1.1 requests.

use net::http::{HttpError, Limits, Parsed, Parser, Request, Version};

use super::{BYTEWISE_MAX, cuts};

/// Bounds that short inputs reach.
const NARROW: Limits = Limits {
    head_bytes_max: 256,
    headers_max: 6,
    target_bytes_max: 40,
    body_bytes_max: 48,
    chunks_max: 6,
    trailer_bytes_max: 40,
};

/// Requests and the fault behind them are the same however the bytes are cut; what is served is within its limits; and a
/// request that is written anew is read as the same request.
pub(crate) fn check(bytes: &[u8]) {
    for limits in [Limits::default(), NARROW] {
        let mut parser = Parser::new(limits);
        let whole = feed(&mut parser, bytes, std::iter::once(bytes.len()));
        let mut cuts = cuts(bytes);
        cuts.push(bytes.len());
        assert_eq!(feed(&mut parser, bytes, cuts.into_iter()), whole, "cut by chance");
        if bytes.len() <= BYTEWISE_MAX {
            assert_eq!(feed(&mut parser, bytes, 1..=bytes.len()), whole, "byte by byte");
        }
    }
}

/// A request as a consumer sees it.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    head: String,
    keep_alive: bool,
    upgrade: bool,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    body: Vec<u8>,
    input_bytes: usize,
}

impl Seen {
    fn of(request: &Request<'_>) -> Self {
        let head = &request.head;
        Self {
            head: format!("{:?} {} {} {:?}", head.method, head.path, head.query, head.version),
            keep_alive: head.keep_alive,
            upgrade: head.upgrade,
            headers: head.headers().map(|(name, value)| (name.to_vec(), value.to_vec())).collect(),
            body: request.body.to_vec(),
            input_bytes: request.input_bytes,
        }
    }
}

/// Feeds the bytes up to each of `ends`, as a wire does that heeds `bytes_min`, and collects requests until the end or the
/// first fault.
fn feed(
    parser: &mut Parser,
    bytes: &[u8],
    ends: impl Iterator<Item = usize>,
) -> (Vec<Seen>, Option<HttpError>) {
    let limits = *parser.limits();
    let mut seen = Vec::new();
    let mut start = 0;
    let mut bytes_min = 1;
    for end in ends {
        while end - start >= bytes_min {
            let input = &bytes[start..end];
            let again = match parser.parse(input) {
                Ok(Parsed::Complete(request)) => {
                    check_limits(&request, input, &limits);
                    seen.push(Seen::of(&request));
                    start += request.input_bytes;
                    bytes_min = 1;
                    write_anew(&request)
                }
                Ok(Parsed::Incomplete { bytes_min: more, .. }) => {
                    assert!(more > input.len(), "waiting for what is there would never end");
                    bytes_min = more;
                    break;
                }
                Err(error) => return (seen, Some(error)),
            };
            if let Some(seen) = seen.last() {
                check_again(parser, seen, &again);
            }
        }
    }
    (seen, None)
}

fn check_limits(request: &Request<'_>, input: &[u8], limits: &Limits) {
    let head = &request.head;
    assert!(request.input_bytes > 0 && request.input_bytes <= input.len());
    assert!(request.body.len() <= limits.body_bytes_max && request.body.len() < request.input_bytes);
    assert!(head.headers().count() <= limits.headers_max);
    assert!(head.path.len() + head.query.len() <= limits.target_bytes_max);
    assert!(head.path.starts_with('/') || head.path == "*");
    assert!(head.path.bytes().chain(head.query.bytes()).all(|byte| byte.is_ascii_graphic() && byte != b'#'));
    for (name, value) in head.headers() {
        assert!(!name.is_empty() && name.iter().all(u8::is_ascii_graphic));
        assert!(!value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
    }
    let lengths = head.headers().filter(|(name, _)| name.eq_ignore_ascii_case(b"content-length")).count();
    let codings = head.headers().filter(|(name, _)| name.eq_ignore_ascii_case(b"transfer-encoding")).count();
    assert!(lengths + codings <= 1, "one framing");
    let hosts = head.headers().filter(|(name, _)| name.eq_ignore_ascii_case(b"host")).count();
    assert!(hosts == 1 || hosts == 0 && head.version == Version::Http10);
}

/// The request as a proxy would pass it on that knows the body's length.
fn write_anew(request: &Request<'_>) -> Vec<u8> {
    let head = &request.head;
    let mut anew = format!("{:?} ", head.method).to_uppercase().into_bytes();
    anew.extend_from_slice(head.path.as_bytes());
    if !head.query.is_empty() {
        anew.push(b'?');
        anew.extend_from_slice(head.query.as_bytes());
    }
    anew.extend_from_slice(if head.version == Version::Http11 { b" HTTP/1.1\r\n" } else { b" HTTP/1.0\r\n" });
    for (name, value) in head.headers() {
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            anew.extend_from_slice(format!("content-length:{}\r\n", request.body.len()).as_bytes());
        } else {
            anew.extend_from_slice(&[name, b":", value, b"\r\n"].concat());
        }
    }
    anew.extend_from_slice(b"\r\n");
    anew.extend_from_slice(request.body);
    anew
}

fn check_again(parser: &mut Parser, seen: &Seen, anew: &[u8]) {
    let Ok(Parsed::Complete(request)) = parser.parse(anew) else {
        panic!("not read again: {}", String::from_utf8_lossy(anew));
    };
    let again = Seen::of(&request);
    assert_eq!(again.input_bytes, anew.len());
    assert_eq!((&again.head, again.keep_alive, again.upgrade), (&seen.head, seen.keep_alive, seen.upgrade));
    assert_eq!(again.body, seen.body);
    assert_eq!(again.headers.len(), seen.headers.len());
}
