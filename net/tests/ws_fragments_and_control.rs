//! Control frames are handled at once, also between fragments; the close handshake has its order.

mod ws_support;

use net::ws::{CloseCode, Limits, Message, Session, encode_shared};
use ws_support::{
    BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, Seen, TEXT, client, close_payload, feed, masked, plain,
    server,
};

fn serve(frames: &[Vec<u8>]) -> (Vec<Seen>, Vec<u8>) {
    feed(&mut server(Limits::default()), [&frames.concat()[..]])
}

#[test]
fn fragments_are_joined() {
    let (seen, _) = serve(&[
        masked(TEXT, "κό".as_bytes()),
        masked(CONTINUATION, &"σμε".as_bytes()[..1]),
        masked(CONTINUATION, b""),
        masked(FIN | CONTINUATION, &"σμε".as_bytes()[1..]),
        masked(FIN | BINARY, b"\xFF"),
    ]);
    assert_eq!(seen, [Seen::Text("κόσμε".into()), Seen::Binary(vec![0xFF])]);
}

#[test]
fn case_s6_pings_between_fragments_are_answered_before_the_message_is_complete() {
    let mut session = server(Limits::default());
    let (seen, out) = feed(
        &mut session,
        [&[masked(TEXT, b"a"), masked(FIN | PING, b"1"), masked(FIN | PONG, b"2")].concat()[..]],
    );
    assert_eq!(seen, [Seen::Ping(b"1".to_vec()), Seen::Pong(b"2".to_vec())]);
    assert_eq!(out, plain(FIN | PONG, b"1"));
    assert!(session.is_receiving());
    let (seen, _) = feed(&mut session, [&masked(FIN | CONTINUATION, b"b")[..]]);
    assert_eq!(seen, [Seen::Text("ab".into())]);
    assert!(!session.is_receiving());
}

#[test]
fn the_largest_ping_is_answered() {
    let payload = [0xAB; 125];
    let (seen, out) = serve(&[masked(FIN | PING, &payload)]);
    assert_eq!(seen, [Seen::Ping(payload.to_vec())]);
    assert_eq!(out, plain(FIN | PONG, &payload));
}

#[test]
fn a_close_is_echoed_and_ends_the_session() {
    for (payload, code, reason, echo) in [
        (vec![], None, "", vec![]),
        (close_payload(1000, b""), Some(1000), "", close_payload(1000, b"")),
        (close_payload(3999, "até já".as_bytes()), Some(3999), "até já", close_payload(3999, b"")),
    ] {
        // What follows a close, valid or not, is ignored.
        let (seen, out) =
            serve(&[masked(FIN | CLOSE, &payload), masked(FIN | TEXT, b"late"), vec![0xFF; 20]]);
        assert_eq!(seen, [Seen::Closed(code, reason.into())]);
        assert_eq!(out, plain(FIN | CLOSE, &echo));
    }
}

#[test]
fn a_close_interrupts_a_message() {
    let (seen, _) = serve(&[masked(TEXT, b"unfinished"), masked(FIN | CLOSE, &close_payload(1001, b""))]);
    assert_eq!(seen, [Seen::Closed(Some(1001), String::new())]);
}

#[test]
fn after_our_close_messages_still_arrive_but_none_are_sent() {
    let mut session = server(Limits::default());
    let mut out = Vec::new();
    session.close(CloseCode::GOING_AWAY, "restart", &mut out).unwrap();
    assert_eq!(out, plain(FIN | CLOSE, &close_payload(1001, b"restart")));
    assert!(!session.is_open() && !session.is_ended());
    out.clear();
    assert!(session.send_text("x", &mut out).is_err());
    assert!(session.send_shared(&encode_shared(Message::Text("x")), &mut out).is_err());
    assert!(session.ping(b"", &mut out).is_err());
    assert!(session.close(CloseCode::NORMAL, "", &mut out).is_err());
    assert!(out.is_empty());
    let frames = [
        masked(FIN | TEXT, b"late"),
        masked(FIN | PING, b""),
        masked(FIN | CLOSE, &close_payload(1001, b"")),
    ];
    let (seen, out) = feed(&mut session, [&frames.concat()[..]]);
    assert_eq!(
        seen,
        [Seen::Text("late".into()), Seen::Ping(vec![]), Seen::Closed(Some(1001), String::new())]
    );
    assert!(out.is_empty(), "neither a pong nor a second close");
    assert!(session.is_ended());
}

#[test]
fn a_long_reason_is_cut() {
    let mut out = Vec::new();
    client(Limits::default()).close(CloseCode::POLICY, &"ã".repeat(90), &mut out).unwrap();
    assert_eq!(out, masked(FIN | CLOSE, &close_payload(1008, "ã".repeat(61).as_bytes())));
}

/// What one side sends, the other receives.
#[test]
fn both_sides_understand_each_other() {
    let (mut server, mut client) = (server(Limits::default()), client(Limits::default()));
    let large = vec![b'z'; 65_536];
    let send = |session: &mut Session| {
        let mut out = Vec::new();
        session.send_text("olá", &mut out).unwrap();
        session.send_binary(&[0; 126], &mut out).unwrap();
        session.send_binary(&large, &mut out).unwrap();
        session.ping(b"?", &mut out).unwrap();
        out
    };
    let expected = [
        Seen::Text("olá".into()),
        Seen::Binary(vec![0; 126]),
        Seen::Binary(large.clone()),
        Seen::Ping(b"?".to_vec()),
    ];
    let (sent, mut shared) = (send(&mut server), Vec::new());
    let (seen, out) = feed(&mut client, [&sent[..]]);
    assert_eq!(seen, expected);
    assert_eq!(feed(&mut server, [&out[..]]).0, [Seen::Pong(b"?".to_vec())]);
    let sent = send(&mut client);
    assert_eq!(feed(&mut server, [&sent[..]]).0, expected);
    let frame = encode_shared(Message::Text("to all"));
    server.send_shared(&frame, &mut shared).unwrap();
    assert_eq!(feed(&mut client, [&shared[..]]).0, [Seen::Text("to all".into())]);
}

#[test]
#[should_panic = "cannot be shared"]
fn a_client_shares_no_frames() {
    let _ = client(Limits::default()).send_shared(&encode_shared(Message::Text("x")), &mut Vec::new());
}
