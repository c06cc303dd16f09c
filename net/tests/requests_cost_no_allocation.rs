//! Parsing, ordering and answering a request allocates nothing once buffers have grown.

#[path = "support/counting.rs"]
mod counting;

use net::http::{HttpDate, Limits, Parsed, Parser, Pipeline, response};

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
    let before = counting::allocations();
    serve(1000);
    // The test runner's own thread may allocate a little meanwhile, but not once per request.
    assert!(counting::allocations() - before < 100);
}
