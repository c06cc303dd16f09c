//! The static route: the bare driver and the whole server against nginx's `return 200`, with wrk.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bench_support::{sys, wrk};
use net::http::{HttpDate, Limits, Parsed, Parser, Pipeline, response};
use net::wire::uring::UringWire;
use net::wire::{Arrival, ConnId, Ending, ListenOptions, Stream, Wire, WireConfig, WireEvents, listen};

use crate::Cpus;
use crate::nginx::Nginx;
use crate::report::{Line, Report};
use crate::server::{self, Server};

const CONNECTIONS: [u32; 3] = [1, 64, 512];

/// Measures all three servers in turn at each number of connections.
pub(crate) fn measure(report: &mut Report, nginx: &Nginx, cpus: Cpus, span: Duration) -> Result<(), String> {
    let bare = Server::start("net", cpus.server)?;
    let whole = Server::start("durable", cpus.server)?;
    for connections in CONNECTIONS {
        let runs = [
            ("nginx", nginx.worker, format!("http://{}/", nginx.address)),
            ("net", bare.process(), format!("http://{}/", bare.address)),
            ("coinbitclub /health", whole.process(), format!("http://{}/health", whole.address)),
        ];
        for (name, process, url) in runs {
            report.add(one(name, process, &url, connections, cpus, span)?);
        }
    }
    Ok(())
}

/// Measures nginx alone, for the ratios of other parts.
pub(crate) fn baseline(report: &mut Report, nginx: &Nginx, cpus: Cpus, span: Duration) -> Result<(), String> {
    let url = format!("http://{}/", nginx.address);
    report.add(one("nginx", nginx.worker, &url, 512, cpus, span)?);
    Ok(())
}

fn one(
    name: &str,
    process: u32,
    url: &str,
    connections: u32,
    cpus: Cpus,
    span: Duration,
) -> Result<Line, String> {
    let before = sys::cpu_ns(process);
    let run = wrk::get(url, connections, u32::try_from(span.as_secs()).unwrap_or(4), cpus.load)?;
    let cpu_ns = sys::cpu_ns(process) - before;
    if run.refused > 0 || run.errors.is_some() {
        return Err(format!("{name}: {} answers were no 200; {:?}", run.refused, run.errors));
    }
    #[expect(clippy::cast_precision_loss, reason = "figures for a table")]
    let cpu_us_per_request = cpu_ns as f64 / 1e3 / run.requests.max(1) as f64;
    Ok(Line {
        server: name.to_owned(),
        connections,
        requests: run.requests,
        cpu_us_per_request,
        more: vec![("p50", run.p50), ("p99", run.p99)],
    })
}

struct Answers {
    parser: Parser,
    date: HttpDate,
    pipelines: Vec<Pipeline>,
}

impl WireEvents for Answers {
    fn accepted(&mut self, conn: ConnId, _arrival: Arrival) {
        if conn.index() >= self.pipelines.len() {
            self.pipelines.resize_with(conn.index() + 1, || Pipeline::new(16));
        }
    }

    fn received(&mut self, conn: ConnId, stream: &mut Stream<'_>) {
        let pipeline = &mut self.pipelines[conn.index()];
        while let Ok(Parsed::Complete(request)) = self.parser.parse(stream.input()) {
            let Some(ticket) = pipeline.reserve((&request.head).into()) else { break };
            pipeline.complete(ticket, stream.output(), |out, mode| {
                response::write(out, 200, mode, &self.date, "text/plain", b"hello world\n");
            });
            stream.consume(request.input_bytes);
        }
        if stream.ended() {
            stream.close();
        }
    }

    fn closed(&mut self, conn: ConnId, _ending: Ending) {
        self.pipelines[conn.index()].reset();
    }
}

/// The bare driver, parser and response writer.
pub(crate) fn serve() -> Result<(), String> {
    let address = ([127, 0, 0, 1], 0).into();
    let listener = listen(address, &ListenOptions::default()).map_err(|error| error.to_string())?;
    let address = listener.address();
    let mut wire = UringWire::new(listener, WireConfig::default()).map_err(|error| error.to_string())?;
    let mut answers = Answers {
        parser: Parser::new(Limits::default()),
        date: HttpDate::from_unix(0),
        pipelines: Vec::new(),
    };
    server::say_ready(address)?;
    std::thread::spawn(|| {
        server::wait_for_the_end();
        std::process::exit(0);
    });
    let start = std::time::Instant::now();
    loop {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        answers.date.update(wall);
        let now_ns = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        wire.poll(now_ns, &mut answers).map_err(|error| error.to_string())?;
        if !wire.has_work() {
            sys::wait_readable(wire.descriptor(), Duration::from_millis(200));
        }
    }
}
