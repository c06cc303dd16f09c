//! Parsing, ordering and answering a request allocates nothing once buffers have grown.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use net::http::{HttpDate, Limits, Parsed, Parser, Pipeline, response};

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

#[test]
fn in_the_steady_state() {
    let mut parser = Parser::new(Limits::default());
    let mut pipeline = Pipeline::new(8);
    let mut out = Vec::with_capacity(4096);
    let date = HttpDate::from_unix(0);
    let requests =
        b"POST /a?b=c HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}\
        POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    let mut serve = |rounds: u32| {
        for _ in 0..rounds {
            let mut input = &requests[..];
            while !input.is_empty() {
                let Ok(Parsed::Complete(request)) = parser.parse(input) else { unreachable!() };
                let ticket = pipeline.reserve((&request.head).into()).unwrap();
                pipeline.complete(ticket, &mut out, |out, mode| {
                    response::begin(out, 200, mode, &date)
                        .header_number("X-Number", 17)
                        .body_with("application/json", |out| out.extend_from_slice(request.body));
                });
                input = &input[request.input_bytes..];
            }
            out.clear();
        }
    };
    serve(1);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    serve(1000);
    // The test runner's own thread may allocate a little meanwhile, but not once per request.
    assert!(ALLOCATIONS.load(Ordering::Relaxed) - before < 100);
}
