//! Rows about chunked bodies: sizes, extensions, data, trailers.

use net::http::HttpError;

use super::{Row, incomplete, posted, refused};

const CHUNK: HttpError = HttpError::Chunk;
const TRAILER: HttpError = HttpError::Trailer;
const NEXT: &str = "GET /next HTTP/1.1\r\nHost: x\r\n\r\n";

pub(super) fn rows() -> Vec<Row> {
    [sizes(), extensions(), data(), trailers()].into_iter().flatten().collect()
}

fn coded(body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
}

/// A body of one chunk with this size line (line end included).
fn sized(line: &str) -> String {
    coded(&format!("{line}hello\r\n0\r\n\r\n"))
}

fn sizes() -> Vec<Row> {
    let fine = |name, line: &str| posted(name, "§7.1", sized(line), b"hello", 0);
    let wrong = |name, source, line: &str| refused(name, source, sized(line), CHUNK);
    vec![
        fine("size", "5\r\n"),
        fine("size_with_zeros", "0005\r\n"),
        fine("size_of_16_digits", "0000000000000005\r\n"),
        posted(
            "size_of_both_cases",
            "§7.1",
            coded(&format!("1a\r\n{0}\r\n1A\r\n{0}\r\n0\r\n\r\n", "b".repeat(26))),
            &[b'b'; 52],
            0,
        ),
        posted("last_size_of_zeros", "§7.1", coded("5\r\nhello\r\n000\r\n\r\n"), b"hello", 0),
        wrong("size_empty", "§7.1", "\r\n"),
        wrong("size_hexadecimal_prefix", "TE.TE by size", "0x5\r\n"),
        wrong("size_plus", "TE.TE by size", "+5\r\n"),
        wrong("size_minus", "TE.TE by size", "-5\r\n"),
        wrong("size_underscore", "TE.TE by size", "0_5\r\n"),
        wrong("size_fraction", "§7.1", "5.0\r\n"),
        wrong("size_not_hexadecimal", "§7.1", "g\r\n"),
        wrong("size_after_blank", "§7.1", " 5\r\n"),
        wrong("size_before_blank", "§7.1", "5 \r\n"),
        wrong("size_before_tab", "§7.1", "5\t\r\n"),
        wrong("size_of_two_words", "§7.1", "5 5\r\n"),
        wrong("size_with_nul", "§7.1", "5\0\r\n"),
        wrong("size_of_17_digits", "§7.1: overflow", "00000000000000005\r\n"),
        wrong("size_beyond_64_bits", "§7.1: overflow", "10000000000000005\r\n"),
        refused("size_of_all_bits", "§7.1: overflow", sized("ffffffffffffffff\r\n"), HttpError::BodyTooLarge),
        refused("size_too_large", "RFC 9110 §15.5.14", sized("10001\r\n"), HttpError::BodyTooLarge),
        refused(
            "sizes_too_large_together",
            "RFC 9110 §15.5.14",
            coded(&format!("5\r\nhello\r\nffff\r\n{}\r\n0\r\n\r\n", "b".repeat(300))),
            HttpError::BodyTooLarge,
        ),
        wrong("bare_lf_after_size", "§2.2; TERM.EXT", "5\n"),
        wrong("bare_cr_after_size", "§2.2", "5\r"),
        wrong("cr_cr_lf_after_size", "§2.2", "5\r\r\n"),
        refused("bare_lf_after_last_size", "§2.2", coded("5\r\nhello\r\n0\n\r\n"), CHUNK),
        incomplete("size_missing", "§7.1", coded("")),
        incomplete("size_half", "§7.1", coded("5")),
        incomplete("size_without_its_lf", "§7.1", coded("5\r")),
    ]
}

fn extensions() -> Vec<Row> {
    let fine = |name, extension: &str| {
        posted(name, "§7.1.1: ignored", sized(&format!("5{extension}\r\n")), b"hello", 0)
    };
    let wrong = |name, source, line: &str| refused(name, source, sized(line), CHUNK);
    let total = format!("1;{}\r\na\r\n", "e".repeat(100)).repeat(165) + "0\r\n\r\n";
    vec![
        fine("extension", ";a"),
        fine("extension_with_value", ";a=b;c=d"),
        fine("extension_in_quotes", ";a=\"b;c \\\" d\""),
        fine("extension_of_full_length", &format!(";{}", "e".repeat(124))),
        wrong("extension_too_long", "§7.1.1: limited", &format!("5;{}\r\n", "e".repeat(125))),
        refused("extensions_too_long_together", "§7.1.1: limited", coded(&total), CHUNK),
        wrong("extension_empty", "§7.1.1", "5;\r\n"),
        wrong("extension_value_empty", "§7.1.1", "5;a=\r\n"),
        wrong("extension_quote_open", "§7.1.1", "5;a=\"b\r\n"),
        wrong("extension_after_blank", "§7.1.1: stricter on BWS", "5 ;a\r\n"),
        wrong("extension_before_blank", "§7.1.1: stricter on BWS", "5; a\r\n"),
        wrong("extension_without_semicolon", "§7.1.1", "5a=b\r\n"),
        wrong("extension_with_bare_lf", "EXT.TERM", "5;a\nb\r\n"),
        wrong("extension_ends_in_bare_lf", "EXT.TERM", "5;a\n"),
        wrong("extension_with_bare_cr", "EXT.TERM", "5;a\rb\r\n"),
        wrong("extension_with_quoted_lf", "EXT.TERM", "5;a=\"\n\"\r\n"),
        wrong("extension_with_nul", "§7.1.1", "5;a\0\r\n"),
        incomplete("extension_half", "§7.1.1", coded("5;a=")),
    ]
}

fn data() -> Vec<Row> {
    let wrong = |name, source, body: &str| refused(name, source, coded(body), CHUNK);
    vec![
        posted("no_chunks", "§7.1", coded(&format!("0\r\n\r\n{NEXT}")), b"", NEXT.len()),
        posted(
            "two_chunks",
            "§7.1",
            coded(&format!("3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n{NEXT}")),
            b"hello",
            NEXT.len(),
        ),
        posted("data_looks_like_chunks", "§7.1", coded("7\r\n0\r\n\r\nGE\r\n0\r\n\r\n"), b"0\r\n\r\nGE", 0),
        wrong("data_without_line_end", "§7.1", "5\r\nhello0\r\n\r\n"),
        wrong("data_longer_than_size", "§7.1", "4\r\nhello\r\n0\r\n\r\n"),
        wrong("data_shorter_than_size", "§7.1", "6\r\nhello\r\n0\r\n\r\n"),
        wrong("bare_lf_after_data", "§2.2", "5\r\nhello\n0\r\n\r\n"),
        wrong("bare_cr_after_data", "§2.2", "5\r\nhello\r0\r\n\r\n"),
        wrong("two_bytes_after_data", "SPILL: any two bytes taken for CR LF", "5\r\nhelloXX0\r\n\r\n"),
        wrong("empty_line_after_data", "§7.1", "5\r\nhello\r\n\r\n0\r\n\r\n"),
        refused(
            "too_many_chunks",
            "chunks of one byte",
            coded(&"1\r\na\r\n".repeat(1025)),
            HttpError::BodyTooLarge,
        ),
        incomplete("data_half", "§8", coded("5\r\nhel")),
        incomplete("data_without_its_lf", "§8", coded("5\r\nhello\r")),
        incomplete("last_chunk_missing", "§8", coded("5\r\nhello\r\n")),
        incomplete("last_line_missing", "§8", coded("5\r\nhello\r\n0\r\n")),
        incomplete("last_lf_missing", "§8", coded("5\r\nhello\r\n0\r\n\r")),
    ]
}

fn trailers() -> Vec<Row> {
    let with = |trailers: &str| coded(&format!("5\r\nhello\r\n0\r\n{trailers}\r\n"));
    let wrong = |name, source, trailers: &str| refused(name, source, with(trailers), TRAILER);
    let chunk = |name, trailers: &str| refused(name, "§2.2", with(trailers), CHUNK);
    vec![
        posted("trailer", "§7.1.2: dropped", with("X-Checksum: abc\r\nY:\r\n"), b"hello", 0),
        wrong("trailer_length", "RFC 9110 §6.5.1", "Content-Length: 5\r\n"),
        wrong("trailer_coding", "RFC 9110 §6.5.1", "transfer-encoding: chunked\r\n"),
        wrong("trailer_host", "RFC 9110 §6.5.1", "X: a\r\nHost: y\r\n"),
        wrong("trailer_connection", "RFC 9110 §6.5.1", "Connection: close\r\n"),
        wrong("trailer_authorization", "RFC 9110 §6.5.1", "Authorization: Bearer x\r\n"),
        wrong("trailer_without_colon", "§7.1.2; a request taken for a trailer", "GET /x HTTP/1.1\r\n"),
        wrong("trailer_blank_before_colon", "§5.1", "X : a\r\n"),
        wrong("trailer_folded", "§5.2", "X: a\r\n b\r\n"),
        wrong("trailer_empty_name", "§5", ": a\r\n"),
        wrong("trailer_with_nul", "RFC 9110 §5.5", "X: \0\r\n"),
        chunk("trailer_bare_lf", "X: a\n\r\n"),
        chunk("trailer_bare_cr", "X: a\rb\r\n"),
        refused("trailers_end_in_bare_lf", "§2.2; TRAIL.LF", coded("5\r\nhello\r\n0\r\n\n"), CHUNK),
        refused(
            "trailers_too_long",
            "RFC 6585 §5",
            with(&format!("X: {}\r\n", "a".repeat(4096))),
            HttpError::HeadTooLarge,
        ),
        incomplete("trailer_half", "§7.1.2", coded("0\r\nX: a")),
    ]
}
