//! Reading a message that arrived whole or in pieces, and answering it, allocates nothing once buffers have grown.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use net::ws::{Event, Inbox, Limits};
use ws_support::{BINARY, CONTINUATION, FIN, PING, TEXT, masked, server};

mod ws_support;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

/// The system's allocator, counting.
struct Counting;

// SAFETY: hands every call on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

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
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let messages = serve(rounds);
    // The test runner's own thread may allocate a little meanwhile, but not once per message.
    let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
    assert!(allocations < 100, "{allocations} allocations in pieces of {piece_bytes} bytes");
    messages
}

#[test]
fn in_the_steady_state() {
    for piece_bytes in [usize::MAX, 4096, 100] {
        assert_eq!(echo(500, piece_bytes.min(1 << 20)), 3000);
    }
}
