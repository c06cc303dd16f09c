//! Rows about Content-Length and Transfer-Encoding: where the body ends.

use net::http::{HttpError, Method};

use super::{Row, Served, incomplete, posted, refused, served};

const LENGTH: HttpError = HttpError::ContentLength;
const BOTH: HttpError = HttpError::ConflictingLengths;
const CODING: HttpError = HttpError::TransferEncoding;

/// What a refused row would like to have served behind it.
const NEXT: &str = "GET /next HTTP/1.1\r\nHost: x\r\n\r\n";

pub(super) fn rows() -> Vec<Row> {
    [lengths(), both(), codings()].into_iter().flatten().collect()
}

fn post(headers: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: x\r\n{headers}\r\n{body}")
}

fn lengths() -> Vec<Row> {
    let wrong = |name, source, value: &str| {
        refused(name, source, post(&format!("Content-Length: {value}\r\n"), "hello"), LENGTH)
    };
    let twice = |name, source, first: &str, second: &str| {
        let headers = format!("Content-Length: {first}\r\nContent-Length: {second}\r\n");
        refused(name, source, post(&headers, "hello"), LENGTH)
    };
    vec![
        posted("length", "§6.2", post("Content-Length: 5\r\n", "hello"), b"hello", 0),
        posted("length_zero", "§6.2", post("Content-Length: 0\r\n", NEXT), b"", NEXT.len()),
        posted("length_missing_is_zero", "§6.3 rule 7", post("", NEXT), b"", NEXT.len()),
        posted("length_in_blanks", "§5.1: OWS", post("Content-Length:\t 5 \t\r\n", "hello"), b"hello", 0),
        posted(
            "length_with_zeros",
            "RFC 9110 §8.6: digits",
            post("Content-Length: 005\r\n", "hello"),
            b"hello",
            0,
        ),
        posted("length_of_any_case", "RFC 9110 §5.1", post("cOnTeNt-LeNgTh: 5\r\n", "hello"), b"hello", 0),
        posted(
            "length_then_pipelined",
            "§9.3.2",
            post("Content-Length: 5\r\n", &format!("hello{NEXT}")),
            b"hello",
            NEXT.len(),
        ),
        served(
            "get_with_body",
            "CL.0: the body of a GET is not the next request",
            format!("GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{NEXT}", NEXT.len()),
            Served::new(Method::Get, "/a", NEXT.as_bytes()),
        ),
        served(
            "head_with_body",
            "CL.0",
            "HEAD /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
            Served::new(Method::Head, "/a", b"hello"),
        ),
        served(
            "http_1_0_with_length",
            "§6.3",
            "POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello",
            Served::new(Method::Post, "/", b"hello").closing(),
        ),
        incomplete("length_not_reached", "§8", post("Content-Length: 5\r\n", "hell")),
        incomplete("length_without_body", "§8", post("Content-Length: 5\r\n", "")),
        twice("lengths_equal", "§6.3 rule 5: stricter", "5", "5"),
        twice("lengths_differ", "§6.3 rule 5; CL.CL", "5", "6"),
        twice("lengths_differ_by_zero", "CL.CL", "0", "5"),
        wrong("length_list_equal", "§6.3 rule 5: stricter", "5, 5"),
        wrong("length_list_differs", "CL.CL", "5, 6"),
        wrong("length_list_without_blank", "CL.CL", "5,5"),
        wrong("length_trailing_comma", "RFC 9110 §5.6.1", "5,"),
        wrong("length_plus", "RFC 9110 §8.6: digits", "+5"),
        wrong("length_minus", "RFC 9110 §8.6: digits", "-1"),
        wrong("length_minus_zero", "RFC 9110 §8.6: digits", "-0"),
        wrong("length_hexadecimal", "RFC 9110 §8.6: digits", "0x5"),
        wrong("length_octal_prefix", "RFC 9110 §8.6: digits", "0o5"),
        wrong("length_fraction", "RFC 9110 §8.6: digits", "5.0"),
        wrong("length_exponent", "RFC 9110 §8.6: digits", "5e0"),
        wrong("length_underscore", "RFC 9110 §8.6: digits", "5_0"),
        wrong("length_two_words", "RFC 9110 §8.6: digits", "5 5"),
        wrong("length_empty", "RFC 9110 §8.6: digits", ""),
        wrong("length_in_quotes", "RFC 9110 §8.6: digits", "\"5\""),
        wrong("length_other_digits", "RFC 9110 §8.6: Unicode digits", "\u{665}"),
        wrong("length_no_break_space", "RFC 9110 §8.6: digits", "\u{a0}5"),
        wrong("length_of_19_digits", "RFC 9110 §8.6: overflow", "9223372036854775808"),
        wrong("length_of_20_digits", "RFC 9110 §8.6: overflow", "18446744073709551621"),
        wrong("length_of_30_digits", "RFC 9110 §8.6: overflow", "000000000000000000000000000005"),
        refused(
            "length_form_feed",
            "RFC 9110 §5.5",
            post("Content-Length: \x0c5\r\n", "hello"),
            HttpError::Malformed,
        ),
        refused(
            "length_too_large",
            "RFC 9110 §15.5.14",
            post("Content-Length: 65537\r\n", ""),
            HttpError::BodyTooLarge,
        ),
        refused(
            "length_of_18_digits",
            "RFC 9110 §15.5.14",
            post("Content-Length: 999999999999999999\r\n", ""),
            HttpError::BodyTooLarge,
        ),
    ]
}

fn both() -> Vec<Row> {
    let row = |name, source, headers: &str| refused(name, source, post(headers, "0\r\n\r\n"), BOTH);
    vec![
        row("cl_te", "§6.1; CL.TE", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        row("te_cl", "§6.1; TE.CL", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
        row("te_and_zero_length", "§6.1; TE.0", "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"),
        row("cl_te_layered", "§6.1", "Content-Length: 5\r\nTransfer-Encoding: gzip, chunked\r\n"),
        refused(
            "cl_te_obfuscated",
            "TE.TE: one side takes the length",
            post("Content-Length: 5\r\nTransfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
            CODING,
        ),
        refused(
            "http_1_0_cl_te",
            "§6.1",
            "POST / HTTP/1.0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            BOTH,
        ),
    ]
}

fn codings() -> Vec<Row> {
    const BODY: &str = "5\r\nhello\r\n0\r\n\r\n";
    let fine =
        |name, source, header: &str| posted(name, source, post(&format!("{header}\r\n"), BODY), b"hello", 0);
    let row = |name, source, value: &str, error| {
        refused(name, source, post(&format!("Transfer-Encoding: {value}\r\n"), BODY), error)
    };
    let wrong = |name, source, value: &str| row(name, source, value, CODING);
    vec![
        fine("chunked", "§7.1", "Transfer-Encoding: chunked"),
        fine("chunked_any_case", "§7", "TRANSFER-encoding: ChUnKeD"),
        fine("chunked_after_tab", "§5.1: OWS", "Transfer-Encoding:\tchunked"),
        fine("chunked_before_blanks", "§5.1: OWS", "Transfer-Encoding: chunked \t"),
        wrong("chunked_twice_in_list", "§6.1; TE.TE", "chunked, chunked"),
        row("gzip_chunked", "§6.1: 501", "gzip, chunked", HttpError::NotImplemented),
        row("identity_chunked", "§6.1: 501", "identity, chunked", HttpError::NotImplemented),
        wrong("gzip", "§6.3 rule 4: 400", "gzip"),
        wrong("chunked_not_last", "§6.3 rule 4: 400", "chunked, gzip"),
        wrong("chunked_then_identity", "§6.3 rule 4; TE.TE", "chunked, identity"),
        wrong("identity", "§6.3 rule 4; TE.TE", "identity"),
        wrong("xchunked", "TE.TE", "xchunked"),
        wrong("chunkedx", "TE.TE", "chunkedx"),
        wrong("chunked_with_parameter", "§7: parameters are an error", "chunked;q=1"),
        wrong("chunked_with_semicolon", "TE.TE", "chunked;"),
        wrong("chunked_in_quotes", "TE.TE", "\"chunked\""),
        wrong("chunked_in_single_quotes", "TE.TE", "'chunked'"),
        wrong("chunked_after_comma", "RFC 9110 §5.6.1: stricter", ", chunked"),
        wrong("chunked_before_comma", "RFC 9110 §5.6.1: stricter", "chunked,"),
        wrong("coding_empty", "TE.TE", ""),
        wrong("coding_of_two_words", "TE.TE", "x chunked"),
        wrong("chunked_no_break_space", "TE.TE", "\u{a0}chunked"),
        wrong("chunked_long_s", "TE.TE by Unicode case", "chun\u{212a}ed"),
        row("chunked_vertical_tab", "TE.TE", "\x0bchunked", HttpError::Malformed),
        row("chunked_form_feed", "TE.TE", "chunked\x0c", HttpError::Malformed),
        row("chunked_nul", "TE.TE", "chunked\0", HttpError::Malformed),
        row("chunked_bare_cr", "TE.TE", "chunked\r\r", HttpError::Malformed),
        row("coding_repeated", "§6.1; TE.TE", "chunked\r\nTransfer-Encoding: chunked", CODING),
        row("coding_repeated_identity", "TE.TE", "chunked\r\nTransfer-encoding: identity", CODING),
        row("coding_repeated_other_first", "TE.TE", "x\r\nTransfer-Encoding: chunked", CODING),
        row("coding_repeated_gzip_first", "§6.1", "gzip, chunked\r\nTransfer-Encoding: chunked", CODING),
        refused(
            "http_1_0_chunked",
            "§6.1",
            format!("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n{BODY}"),
            CODING,
        ),
        posted(
            "underscore_coding",
            "CGI spelling: not Transfer-Encoding",
            post("Transfer_Encoding: chunked\r\n", ""),
            b"",
            0,
        ),
        refused(
            "coding_name_with_nul",
            "TE.TE by name",
            post("Transfer-Encoding\0: chunked\r\n", BODY),
            HttpError::Malformed,
        ),
        refused(
            "coding_in_http_1_1_after_bare_cr",
            "TE.TE by bare CR",
            post("X: a\rTransfer-Encoding: chunked\r\n", BODY),
            HttpError::Malformed,
        ),
    ]
}
