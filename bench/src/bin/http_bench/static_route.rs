//! The static route: the bare driver and the whole server against nginx's `return 200`, with wrk.

use std::time::Duration;

use bench_support::{sys, wrk};

use crate::Cpus;
use crate::nginx::Nginx;
use crate::report::{Line, Report};
use crate::server::Server;

const CONNECTIONS: [u32; 3] = [1, 64, 512];

/// Measures all three servers in turn at each number of connections.
pub(crate) fn measure(report: &mut Report, nginx: &Nginx, cpus: Cpus, span: Duration) -> Result<(), String> {
    let bare = Server::start(&["net"], cpus.server)?;
    let whole = Server::start(&["durable"], cpus.server)?;
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
