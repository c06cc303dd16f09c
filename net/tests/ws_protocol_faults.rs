//! Each way to break the protocol ends the session with its close code, at the first byte that shows it.

mod ws_support;

use net::ws::{CloseCode, Fault, Limits};
use ws_support::{
    BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, RSV1, Seen, TEXT, client, close_payload, feed, masked,
    plain, server,
};

const LIMITS: Limits = Limits { message_bytes_max: 1000, fragments_max: 3 };

/// What a client sends, the fault it is, and the code the server closes with.
fn check(bytes: &[u8], fault: Fault, code: u16) {
    let (seen, out) = feed(&mut server(LIMITS), [bytes]);
    assert_eq!(seen.last(), Some(&Seen::Fault(fault)), "{bytes:x?}");
    assert!(
        !seen.iter().any(|seen| matches!(seen, Seen::Text(_) | Seen::Binary(_))),
        "{bytes:x?} delivered {seen:?}"
    );
    assert_eq!(out, plain(FIN | CLOSE, &code.to_be_bytes()), "{bytes:x?}");
    assert_eq!(fault.close_code().get(), code);
    // The last byte matters: without it there is no fault yet, so none is reported early or by chance.
    let (seen, _) = feed(&mut server(LIMITS), [&bytes[..bytes.len() - 1]]);
    assert_eq!(seen.iter().find(|seen| matches!(seen, Seen::Fault(_))), None, "{bytes:x?}");
}

/// The first two bytes of a masked frame.
fn start(first: u8, length: u8) -> [u8; 2] {
    [first, 0x80 | length]
}

#[test]
fn frames_break_the_framing() {
    check(&[FIN | TEXT, 5], Fault::Masking, 1002);
    check(&[FIN | PING, 0], Fault::Masking, 1002);
    for rsv in [0x40, 0x20, 0x10, 0x70] {
        for opcode in [CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG] {
            check(&[FIN | rsv | opcode], Fault::ReservedBit, 1002);
        }
    }
    for opcode in (3..8).chain(11..16) {
        check(&[FIN | opcode], Fault::Opcode, 1002);
        check(&[opcode], Fault::Opcode, 1002);
    }
    for opcode in [CLOSE, PING, PONG] {
        check(&[opcode], Fault::Control, 1002);
        check(&start(FIN | opcode, 126), Fault::Control, 1002);
        check(&start(FIN | opcode, 127), Fault::Control, 1002);
    }
    check(&[&start(FIN | TEXT, 126)[..], &[0, 125]].concat(), Fault::Length, 1002);
    check(&[&start(FIN | TEXT, 127)[..], &65_535_u64.to_be_bytes()].concat(), Fault::Length, 1002);
    check(&[&start(FIN | TEXT, 127)[..], &(1_u64 << 63).to_be_bytes()].concat(), Fault::Length, 1002);
}

#[test]
fn fragments_are_out_of_order() {
    // The fault is seen when the header is complete; these have no payload.
    check(&masked(FIN | CONTINUATION, b""), Fault::Fragment, 1002);
    check(&masked(CONTINUATION, b""), Fault::Fragment, 1002);
    check(&[masked(TEXT, b"a"), masked(FIN | TEXT, b"")].concat(), Fault::Fragment, 1002);
    check(&[masked(TEXT, b"a"), masked(BINARY, b"")].concat(), Fault::Fragment, 1002);
    let (seen, _) =
        feed(
            &mut server(LIMITS),
            [&[masked(TEXT, b"a"), masked(FIN | CONTINUATION, b"b"), masked(FIN | CONTINUATION, b"")]
                .concat()[..]],
        );
    assert_eq!(seen, [Seen::Text("ab".into()), Seen::Fault(Fault::Fragment)]);
}

#[test]
fn text_is_not_utf8() {
    // Whole frames, where only the end of the frame shows it, or the last byte is the wrong one.
    check(&masked(FIN | TEXT, b"ab\xFF"), Fault::Utf8, 1007);
    check(&masked(FIN | TEXT, b"\xED\xA0"), Fault::Utf8, 1007);
    check(&masked(FIN | TEXT, "é".as_bytes().get(..1).unwrap()), Fault::Utf8, 1007);
    // Across fragments.
    check(&[masked(TEXT, b"\xE2\x82"), masked(FIN | CONTINUATION, b"a")].concat(), Fault::Utf8, 1007);
    check(&[masked(TEXT, b"\xE2\x82"), masked(FIN | CONTINUATION, b"")].concat(), Fault::Utf8, 1007);
}

#[test]
fn text_that_cannot_become_utf8_is_refused_before_its_frame_ends() {
    let frame = masked(FIN | TEXT, b"abc\xF4\x90 and much more");
    let header_bytes = 6;
    let (seen, _) = feed(&mut server(LIMITS), [&frame[..header_bytes + 4]]);
    assert_eq!(seen, []);
    let (seen, out) = feed(&mut server(LIMITS), [&frame[..header_bytes + 5]]);
    assert_eq!(seen, [Seen::Fault(Fault::Utf8)]);
    assert_eq!(out, plain(FIN | CLOSE, &1007_u16.to_be_bytes()));
}

#[test]
fn close_frames_are_malformed() {
    check(&masked(FIN | CLOSE, b"\x03"), Fault::Close, 1002);
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        check(&masked(FIN | CLOSE, &close_payload(code, b"")), Fault::Close, 1002);
    }
    check(&masked(FIN | CLOSE, &close_payload(1000, b"\xFF")), Fault::Utf8, 1007);
    check(&masked(FIN | CLOSE, &close_payload(1000, b"\xE2\x82")), Fault::Utf8, 1007);
}

#[test]
fn messages_are_too_large() {
    let announced = [&start(FIN | BINARY, 126)[..], &1001_u16.to_be_bytes(), &[0; 4]].concat();
    check(&announced, Fault::MessageTooLarge, 1009);
    let largest = [&start(FIN | BINARY, 127)[..], &(u64::MAX >> 1).to_be_bytes(), &[0; 4]].concat();
    check(&largest, Fault::MessageTooLarge, 1009);
    let second = [masked(BINARY, &[0; 999]), start(FIN | CONTINUATION, 2).to_vec(), vec![0; 4]].concat();
    check(&second, Fault::MessageTooLarge, 1009);
    let (seen, _) = feed(&mut server(LIMITS), [&masked(FIN | BINARY, &[7; 1000])[..]]);
    assert_eq!(seen, [Seen::Binary(vec![7; 1000])], "the limit itself is allowed");
}

#[test]
fn empty_fragments_do_not_go_on_for_ever() {
    let fragments = [masked(TEXT, b""), masked(CONTINUATION, b""), masked(CONTINUATION, b"")].concat();
    check(&[&fragments[..], &masked(CONTINUATION, b"")].concat(), Fault::TooManyFragments, 1009);
}

#[test]
fn a_client_refuses_masked_frames() {
    let (seen, out) = feed(&mut client(LIMITS), [&masked(FIN | TEXT, b"hello")[..]]);
    assert_eq!(seen, [Seen::Fault(Fault::Masking)]);
    assert_eq!(out, masked(FIN | CLOSE, &1002_u16.to_be_bytes()));
}

#[test]
fn after_a_fault_nothing_is_read_or_sent() {
    let mut session = server(LIMITS);
    feed(&mut session, [&[FIN | RSV1 | TEXT][..]]);
    let (seen, out) = feed(&mut session, [&masked(FIN | TEXT, b"hello")[..], &masked(FIN | PING, b"")[..]]);
    assert_eq!((seen, out), (vec![], vec![]));
    let mut out = Vec::new();
    assert!(session.send_text("x", &mut out).is_err());
    assert!(session.close(CloseCode::NORMAL, "", &mut out).is_err());
    assert!(out.is_empty());
}

#[test]
fn a_fault_after_our_close_sends_no_second_one() {
    let mut session = server(LIMITS);
    let mut out = Vec::new();
    session.close(CloseCode::GOING_AWAY, "", &mut out).unwrap();
    let (seen, out) = feed(&mut session, [&[FIN | RSV1 | TEXT][..]]);
    assert_eq!((seen, out), (vec![Seen::Fault(Fault::ReservedBit)], vec![]));
}
