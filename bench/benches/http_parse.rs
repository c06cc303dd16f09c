//! Question: what does HTTP cost per request, apart from the kernel? Parsing in place, the pipeline's slot, and writing
//! the answer, for the requests this server sees most.
//!
//! `cargo bench -p coinbitclub-bench --bench http_parse`
//!
//! Does not show: the system calls, cache misses of a busy server (the input is always warm), or the work behind it.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use net::http::{HttpDate, Limits, Parsed, Parser, Pipeline, response};

/// What `wrk` sends.
const SHORT: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:3000\r\n\r\n";

/// A TradingView alert through a proxy.
const ALERT: &[u8] = b"POST /api/webhooks/signal?token=0123456789abcdef0123456789abcdef HTTP/1.1\r\n\
    Host: example.org\r\nContent-Length: 87\r\nContent-Type: application/json; charset=utf-8\r\n\
    User-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\nX-Forwarded-For: 203.0.113.7\r\n\
    X-Forwarded-Proto: https\r\nX-Request-Id: 5f0c6bd27e2f4a3d\r\n\r\n\
    {\"signal\":\"SINAL LONG FORTE\",\"ticker\":\"BTCUSDT\",\"close\":\"43210.5\",\"time\":\"2026-01-01\"}\n";

/// The same body, chunked.
const CHUNKED: &[u8] = b"POST /api/webhooks/signal HTTP/1.1\r\nHost: example.org\r\n\
    Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n\
    20\r\n{\"signal\":\"SINAL LONG FORTE\",\"ti\r\n10\r\ncker\":\"BTCUSDT\"}\r\n0\r\n\r\n";

fn requests(criterion: &mut Criterion) {
    let date = HttpDate::from_unix(1_767_225_600);
    for (name, input) in [("short", SHORT), ("alert", ALERT), ("chunked", CHUNKED)] {
        let mut group = criterion.benchmark_group(format!("http/{name}"));
        group.throughput(Throughput::Bytes(input.len() as u64));
        let mut parser = Parser::new(Limits::default());
        assert!(
            matches!(parser.parse(input), Ok(Parsed::Complete(request)) if request.input_bytes == input.len())
        );
        group.bench_function("parse", |bencher| {
            bencher.iter(|| black_box(parser.parse(black_box(input)).is_ok()));
        });
        let mut pipeline = Pipeline::new(16);
        let mut out = Vec::with_capacity(4096);
        group.bench_function("parse_order_answer", |bencher| {
            bencher.iter(|| {
                out.clear();
                if let Ok(Parsed::Complete(request)) = parser.parse(black_box(input))
                    && let Some(ticket) = pipeline.reserve((&request.head).into())
                {
                    pipeline.complete(ticket, &mut out, |out, mode| {
                        response::write(out, 200, mode, &date, "application/json", b"{\"ok\":true}");
                    });
                }
                black_box(out.len())
            });
        });
        group.finish();
    }
}

criterion_group!(benches, requests);
criterion_main!(benches);
