//! Reading a message that arrived whole or in pieces, and answering it, allocates nothing once buffers have grown.

#[path = "support/counting.rs"]
mod counting;

use net::ws::{Event, Inbox, Limits};
use ws_support::{BINARY, CONTINUATION, FIN, PING, TEXT, masked, server};

mod ws_support;

/// Echoes `rounds` times what a client sent, in pieces of `piece_bytes`; returns the number of messages.
fn echo(rounds: u32, piece_bytes: usize) -> u32 {
    let mut sent = Vec::new();
    for payload in [&[b'a'; 64][..], &[b'b'; 1024], &[b'c'; 30_000]] {
        sent.extend(masked(FIN | TEXT, payload));
        sent.extend(masked(FIN | PING, b"?"));
        sent.extend([masked(BINARY, payload), masked(FIN | CONTINUATION, payload)].concat());
    }
    let mut session = server(Limits::default());
    let mut inbox = Inbox::new();
    let mut out = Vec::with_capacity(1 << 20);
    let mut serve = |rounds| {
        let mut messages = 0;
        for _ in 0..rounds {
            let (mut start, mut end) = (0, 0);
            while end < sent.len() {
                end = (end + piece_bytes).min(sent.len());
                loop {
                    let step = session.step(&sent[start..end], &mut inbox, &mut out).expect("valid frames");
                    start += step.consumed_bytes;
                    match step.event {
                        Some(Event::Message(message)) => {
                            session.send(message, &mut out).expect("the session is open");
                            messages += 1;
                        }
                        Some(_) => {}
                        None => break,
                    }
                }
            }
            out.clear();
        }
        messages
    };
    serve(2);
    let before = counting::allocations();
    let messages = serve(rounds);
    // The test runner's own thread may allocate a little meanwhile, but not once per message.
    let allocations = counting::allocations() - before;
    assert!(allocations < 100, "{allocations} allocations in pieces of {piece_bytes} bytes");
    messages
}

#[test]
fn in_the_steady_state() {
    for piece_bytes in [usize::MAX, 4096, 100] {
        assert_eq!(echo(500, piece_bytes.min(1 << 20)), 3000);
    }
}
