//! Rows about headers in general, Host, Connection and Expect.

use net::http::{HttpError, Method};

use super::{Row, Served, got, incomplete, posted, refused, served};

const MALFORMED: HttpError = HttpError::Malformed;
const HOST: HttpError = HttpError::Host;

pub(super) fn rows() -> Vec<Row> {
    [grammar(), hosts(), options()].into_iter().flatten().collect()
}

fn get(headers: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: x\r\n{headers}\r\n")
}

fn grammar() -> Vec<Row> {
    let fine = |name, source, headers: &str| got(name, source, get(headers), "/");
    let wrong = |name, source, headers: &str| refused(name, source, get(headers), MALFORMED);
    let lf = |name, headers: &str| refused(name, "§2.2: bare LF", get(headers), HttpError::BareLineFeed);
    vec![
        fine("header_without_blank", "§5.1: OWS", "X:a\r\n"),
        fine("header_in_blanks", "§5.1: OWS", "X: \t a b \t\r\n"),
        fine("header_empty", "§5.1", "X:\r\n"),
        fine("header_value_not_ascii", "RFC 9110 §5.5: obs-text", "X: caf\u{e9}\r\n"),
        fine("header_with_colons", "§5.1", "X: a:b: c\r\n"),
        fine("header_name_of_odd_tokens", "RFC 9110 §5.6.2", "!#$%&'*+-.^_`|~: a\r\n"),
        fine("underscore_length", "CGI spelling: not Content-Length", "Content_Length: 5\r\n"),
        fine("a_hundred_headers", "§3.2.2 of RFC 7230: limits", &"X: a\r\n".repeat(99)),
        refused(
            "a_hundred_and_one_headers",
            "RFC 6585 §5",
            get(&"X: a\r\n".repeat(100)),
            HttpError::HeadTooLarge,
        ),
        refused(
            "head_too_large",
            "RFC 6585 §5",
            get(&format!("X: {}\r\n", "a".repeat(16 << 10))),
            HttpError::HeadTooLarge,
        ),
        wrong("folded_header", "§5.2: obs-fold", "X: a\r\n b\r\n"),
        wrong("folded_header_with_tab", "§5.2: obs-fold", "X: a\r\n\tb\r\n"),
        wrong("folded_transfer_encoding", "TE.TE by obs-fold", "Transfer-Encoding:\r\n chunked\r\n"),
        wrong("folded_length", "CL by obs-fold", "Content-Length:\r\n 5\r\n"),
        wrong("empty_fold", "§5.2: obs-fold", "X: a\r\n \r\n"),
        refused(
            "blank_before_first_header",
            "§2.2: white space before the first header",
            "GET / HTTP/1.1\r\n Host: x\r\n\r\n",
            MALFORMED,
        ),
        refused(
            "tab_before_first_header",
            "§2.2: white space before the first header",
            "GET / HTTP/1.1\r\n\tX: a\r\nHost: x\r\n\r\n",
            MALFORMED,
        ),
        wrong("blank_before_colon", "§5.1: refused with 400", "X : a\r\n"),
        wrong("tab_before_colon", "§5.1: refused with 400", "X\t: a\r\n"),
        wrong("blank_before_colon_of_length", "CL.0 by name", "Content-Length : 5\r\n"),
        wrong("blank_before_colon_of_coding", "TE.TE by name", "Transfer-Encoding : chunked\r\n"),
        wrong("no_colon", "§5", "X\r\n"),
        wrong("empty_name", "§5", ": a\r\n"),
        wrong("blank_in_name", "§5", "X Y: a\r\n"),
        wrong("nul_in_name", "§5", "X\0: a\r\n"),
        wrong("name_not_ascii", "§5", "\u{e9}: a\r\n"),
        wrong("name_in_quotes", "§5", "\"X\": a\r\n"),
        wrong("nul_in_value", "RFC 9110 §5.5", "X: a\0b\r\n"),
        wrong("escape_in_value", "RFC 9110 §5.5", "X: a\x1bb\r\n"),
        wrong("delete_in_value", "RFC 9110 §5.5", "X: a\x7fb\r\n"),
        wrong("vertical_tab_in_value", "RFC 9110 §5.5", "X: a\x0bb\r\n"),
        wrong("bare_cr_in_value", "§2.2", "X: a\rContent-Length: 5\r\n"),
        wrong("bare_cr_in_name", "§2.2", "X\rY: a\r\n"),
        wrong("bare_cr_before_line_end", "§2.2", "X: a\r\r\n"),
        lf("bare_lf_after_value", "X: a\nContent-Length: 5\r\n"),
        lf("bare_lf_smuggles_coding", "X: a\nTransfer-Encoding: chunked\r\n"),
        lf("bare_lf_ends_head", "X: a\r\n\n"),
        refused("bare_cr_ends_head", "§2.2", "GET / HTTP/1.1\r\nHost: x\r\n\rX", MALFORMED),
        incomplete("head_without_end", "§2.1", "GET / HTTP/1.1\r\nHost: x\r\n"),
        incomplete("head_without_its_lf", "§2.1", "GET / HTTP/1.1\r\nHost: x\r\n\r"),
    ]
}

fn hosts() -> Vec<Row> {
    let with = |value: &str| format!("GET / HTTP/1.1\r\nHost: {value}\r\n\r\n");
    let fine = |name, value: &str| got(name, "RFC 9110 §7.2", with(value), "/");
    let wrong = |name, value: &str| refused(name, "§3.2: invalid Host", with(value), HOST);
    let old = |name, headers: &str| {
        let bytes = format!("GET / HTTP/1.0\r\n{headers}\r\n");
        served(name, "§3.2", bytes, Served::new(Method::Get, "/", b"").closing())
    };
    vec![
        fine("host_with_port", "example.org:8080"),
        fine("host_address", "127.0.0.1"),
        fine("host_address_of_16_bytes", "[2001:db8::1]:80"),
        fine("host_port_empty", "x:"),
        refused("host_missing", "§3.2", "GET / HTTP/1.1\r\n\r\n", HOST),
        refused("host_repeated", "§3.2", get("Host: x\r\n"), HOST),
        refused("host_repeated_differently", "§3.2: two routes", get("host: y\r\n"), HOST),
        wrong("host_empty", ""),
        wrong("host_of_blanks", " \t "),
        wrong("host_list", "x, y"),
        wrong("host_of_two_words", "x y"),
        wrong("host_with_path", "x/y"),
        wrong("host_with_user", "u@x"),
        wrong("host_with_scheme", "http://x"),
        wrong("host_not_ascii", "\u{e9}"),
        wrong("host_port_not_a_number", "x:80a"),
        wrong("host_two_ports", "x:80:81"),
        wrong("host_bracket_open", "[::1"),
        old("http_1_0_without_host", ""),
        old("http_1_0_with_host", "Host: x\r\n"),
        refused("http_1_0_host_repeated", "§3.2", "GET / HTTP/1.0\r\nHost: x\r\nHost: x\r\n\r\n", HOST),
    ]
}

fn options() -> Vec<Row> {
    let body = |headers: &str| format!("POST / HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
    let closing = |name, headers: &str| {
        served(name, "§9.3", get(headers), Served::new(Method::Get, "/", b"").closing())
    };
    let expectation = |name, value: &str| {
        let bytes = get(&format!("Expect: {value}\r\n"));
        refused(name, "RFC 9110 §10.1.1", bytes, HttpError::Expectation)
    };
    vec![
        closing("connection_close", "Connection: close\r\n"),
        closing("connection_list", "Connection: x, CLOSE ,y\r\n"),
        closing("connection_close_wins", "Connection: close\r\nConnection: keep-alive\r\n"),
        got("connection_names_a_header", "§9.6 hop-by-hop tricks", get("Connection: Host, Cookie\r\n"), "/"),
        got("upgrade_is_ignored", "RFC 9110 §7.8", get("Connection: upgrade\r\nUpgrade: h2c\r\n"), "/"),
        served(
            "http_1_0_keep_alive",
            "§9.3",
            "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            Served::new(Method::Get, "/", b""),
        ),
        incomplete(
            "expect_continue",
            "RFC 9110 §10.1.1",
            body("Content-Length: 5\r\nExpect: 100-continue\r\n"),
        ),
        posted(
            "expect_continue_with_body",
            "RFC 9110 §10.1.1",
            body("Content-Length: 5\r\nExpect: 100-Continue\r\n") + "hello",
            b"hello",
            0,
        ),
        got(
            "expect_continue_without_body",
            "RFC 9110 §10.1.1; 0.CL by Expect",
            get("Expect: 100-continue\r\n"),
            "/",
        ),
        expectation("expect_other", "200-ok"),
        expectation("expect_list", "100-continue, x"),
        expectation("expect_obfuscated", "y 100-continue"),
        expectation("expect_empty", ""),
    ]
}
