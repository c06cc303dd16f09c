//! Rows about the request line and what stands before it.

use net::http::{HttpError, Method};

use super::{Row, Served, got, incomplete, refused, served};

const MALFORMED: HttpError = HttpError::Malformed;
const TARGET: HttpError = HttpError::RequestTarget;
const VERSION: HttpError = HttpError::Version;

pub(super) fn rows() -> Vec<Row> {
    [before(), methods(), targets(), versions()].into_iter().flatten().collect()
}

fn before() -> Vec<Row> {
    const REST: &str = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
    vec![
        got("plain_get", "§3", REST, "/a"),
        incomplete("nothing", "§3", ""),
        incomplete("one_empty_line", "§2.2", "\r\n"),
        incomplete("half_an_empty_line", "§2.2", "\r"),
        got("empty_line_before", "§2.2: at least one is ignored", format!("\r\n{REST}"), "/a"),
        got("four_empty_lines_before", "§2.2", format!("{}{REST}", "\r\n".repeat(4)), "/a"),
        refused("five_empty_lines_before", "§2.2, bounded", format!("{}{REST}", "\r\n".repeat(5)), MALFORMED),
        refused("bare_lf_before", "§2.2", format!("\n{REST}"), HttpError::BareLineFeed),
        refused("bare_lf_after_empty_line", "§2.2", format!("\r\n\n{REST}"), HttpError::BareLineFeed),
        refused("bare_cr_before", "§2.2", format!("\r{REST}"), MALFORMED),
        refused("blank_before", "§3", format!(" {REST}"), MALFORMED),
        refused("tab_before", "§3", format!("\t{REST}"), MALFORMED),
        refused("nul_before", "§3", format!("\0{REST}"), MALFORMED),
        refused("byte_order_mark_before", "§3", format!("\u{feff}{REST}"), MALFORMED),
        refused(
            "tls_client_hello",
            "TLS on a plain port",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            MALFORMED,
        ),
        refused(
            "sslv2_client_hello",
            "TLS on a plain port",
            b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10",
            MALFORMED,
        ),
        refused("proxy_protocol_v2", "PROXY protocol", b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c", MALFORMED),
        refused(
            "proxy_protocol_v1",
            "PROXY protocol",
            format!("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n{REST}"),
            MALFORMED,
        ),
    ]
}

fn methods() -> Vec<Row> {
    let line = |method: &str| format!("{method} / HTTP/1.1\r\nHost: x\r\n\r\n");
    let known =
        |name, method: &str, parsed| served(name, "RFC 9110 §9", line(method), Served::new(parsed, "/", b""));
    vec![
        known("head", "HEAD", Method::Head),
        known("post_without_body", "POST", Method::Post),
        known("put", "PUT", Method::Put),
        known("patch", "PATCH", Method::Patch),
        known("delete", "DELETE", Method::Delete),
        known("options", "OPTIONS", Method::Options),
        refused("unknown_method", "RFC 9110 §9.1: 501", line("BREW"), HttpError::NotImplemented),
        refused("trace", "RFC 9110 §9.3.8", line("TRACE"), HttpError::NotImplemented),
        refused("method_is_case_sensitive", "RFC 9110 §9.1", line("get"), HttpError::NotImplemented),
        refused("method_with_suffix", "RFC 9110 §9.1", line("GETX"), HttpError::NotImplemented),
        refused("method_with_bracket", "§3.1: a token", line("GE(T"), MALFORMED),
        refused("method_with_nul", "§3.1: a token", line("GE\0T"), MALFORMED),
        refused("method_not_ascii", "§3.1: a token", line("G\u{c9}T"), MALFORMED),
        refused("method_missing", "§3", " / HTTP/1.1\r\nHost: x\r\n\r\n", MALFORMED),
        incomplete("method_only", "§3", "POST"),
    ]
}

fn targets() -> Vec<Row> {
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    let path = |name, target: &str| got(name, "§3.2.1", get(target), target);
    let wrong = |name, source, target: &str| refused(name, source, get(target), TARGET);
    let connect = "CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n";
    vec![
        path("path_with_query", "/a/b%20c;d=e?f=g&h?i/j"),
        path("path_of_two_slashes", "//x/y"),
        path("path_with_dots", "/a/../b"),
        path("query_with_what_browsers_leave", "/a?[b]|{c}^`\\"),
        served(
            "options_asterisk",
            "§3.2.4",
            "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
            Served::new(Method::Options, "*", b""),
        ),
        wrong("get_asterisk", "§3.2.4: OPTIONS only", "*"),
        wrong("absolute_form", "§3.2.2: stricter, no proxy", "http://x/a"),
        wrong("absolute_form_https", "§3.2.2: stricter, no proxy", "HTTPS://x/a"),
        wrong(
            "absolute_form_other_host",
            "§3.2.2: routed by one host, served by the other",
            "http://y/admin",
        ),
        wrong("authority_form_get", "§3.2.3: CONNECT only", "x:80"),
        refused("connect", "RFC 9110 §9.3.6, §9.1: not implemented", connect, HttpError::NotImplemented),
        wrong("target_without_slash", "§3.2.1", "a"),
        wrong("target_of_query_only", "§3.2.1", "?a"),
        wrong("at_sign_target", "§3.2: @host tricks of reverse proxies", "@y/a"),
        wrong("fragment", "§3.2: targets have none", "/a#b"),
        wrong("fragment_in_query", "§3.2: targets have none", "/a?b#c"),
        wrong("backslash_in_path", "read as a slash by some", "/a\\..\\b"),
        wrong("quote_in_target", "RFC 3986 §2", "/a\"b"),
        wrong("angle_brackets_in_target", "RFC 3986 §2", "/<a>"),
        wrong("target_not_ascii", "RFC 3986 §2", "/caf\u{e9}"),
        refused("target_not_utf8", "RFC 3986 §2", b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", MALFORMED),
        refused("target_with_nul", "RFC 3986 §2", get("/a\0b"), MALFORMED),
        refused("target_with_delete", "RFC 3986 §2", get("/a\x7fb"), MALFORMED),
        refused("target_with_bare_cr", "§2.2", get("/a\rb"), MALFORMED),
        refused("target_with_bare_lf", "§2.2", get("/a\nb"), MALFORMED),
        refused("blank_in_target", "§3.2: no autocorrection", get("/a b"), MALFORMED),
        refused("target_missing", "§3", "GET HTTP/1.1\r\nHost: x\r\n\r\n", MALFORMED),
        refused(
            "target_too_long",
            "§3: 414",
            get(&format!("/{}", "a".repeat(8 << 10))),
            HttpError::TargetTooLong,
        ),
        got(
            "target_of_full_length",
            "§3",
            get(&format!("/{}", "a".repeat((8 << 10) - 1))),
            &format!("/{}", "a".repeat((8 << 10) - 1)),
        ),
    ]
}

fn versions() -> Vec<Row> {
    let line = |end: &str| format!("GET / {end}\r\nHost: x\r\n\r\n");
    vec![
        served("http_1_0", "§2.3", "GET / HTTP/1.0\r\n\r\n", Served::new(Method::Get, "/", b"").closing()),
        refused("http_0_9", "HTTP/0.9", "GET /\r\n", MALFORMED),
        refused("http_0_9_with_blank", "HTTP/0.9", "GET / \r\n", MALFORMED),
        refused("http2_preface", "RFC 9113 §3.4: H2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", VERSION),
        refused("http_1_2", "RFC 9110 §15.6.6", line("HTTP/1.2"), VERSION),
        refused("http_2_0", "RFC 9110 §15.6.6", line("HTTP/2.0"), VERSION),
        refused("http_0_9_named", "RFC 9110 §15.6.6", line("HTTP/0.9"), VERSION),
        refused("lower_case_version", "§2.3: case-sensitive", line("http/1.1"), MALFORMED),
        refused("version_not_http", "§2.3", line("ICAP/1.0"), MALFORMED),
        refused("version_of_two_digits", "§2.3: one digit each", line("HTTP/11"), MALFORMED),
        refused("version_1_10", "§2.3: one digit each", line("HTTP/1.10"), MALFORMED),
        refused("version_1_01", "§2.3: one digit each", line("HTTP/1.01"), MALFORMED),
        refused("version_with_letter", "§2.3", line("HTTP/1.x"), MALFORMED),
        refused("version_cut_short", "§2.3", line("HTTP/1"), MALFORMED),
        refused("version_then_blank", "§3: no white space at the end", line("HTTP/1.1 "), MALFORMED),
        refused("version_then_tab", "§3: no white space at the end", line("HTTP/1.1\t"), MALFORMED),
        refused("version_then_words", "request line injection", line("HTTP/1.1 /x HTTP/1.1"), MALFORMED),
        refused("two_blanks_before_target", "§3: one SP", "GET  / HTTP/1.1\r\nHost: x\r\n\r\n", MALFORMED),
        refused("two_blanks_before_version", "§3: one SP", "GET /  HTTP/1.1\r\nHost: x\r\n\r\n", MALFORMED),
        refused("tab_before_target", "§3: one SP", "GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n", MALFORMED),
        refused("tab_before_version", "§3: one SP", "GET /\tHTTP/1.1\r\nHost: x\r\n\r\n", MALFORMED),
        refused(
            "vertical_tab_before_version",
            "§3: one SP",
            "GET /\x0bHTTP/1.1\r\nHost: x\r\n\r\n",
            MALFORMED,
        ),
        refused("bare_cr_after_version", "§2.2", "GET / HTTP/1.1\rHost: x\r\n\r\n", MALFORMED),
        refused("bare_lf_after_version", "§2.2", "GET / HTTP/1.1\nHost: x\r\n\r\n", HttpError::BareLineFeed),
        refused("bare_lf_everywhere", "§2.2", "GET / HTTP/1.1\nHost: x\n\n", HttpError::BareLineFeed),
        incomplete("version_half", "§2.3", "GET / HTTP/1."),
        incomplete("line_without_its_lf", "§2.2", "GET / HTTP/1.1\r"),
    ]
}
