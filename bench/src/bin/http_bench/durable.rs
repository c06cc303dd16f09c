//! Durable orders: 1,000 users post market orders over 1,000 connections to one shard on one CPU.
//!
//! Each request is parsed, authenticated, decided on, logged and flushed before it is answered; it leads to an order on the
//! user's paper account with its stop and target, or to its close, in turn.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use bench_support::load::{self, Load};
use bench_support::orders::{self, Requests};
use bench_support::sys;
use net::http::client::{Client, ClientOptions};

use crate::Cpus;
use crate::report::{Line, Report};
use crate::server::Server;

/// Users, each with a source and a subscription to it.
const USERS: u32 = 1_000;
/// Sources without subscribers, for the signal alone. A source works on at most 128 signals at once.
const ALONE: u32 = 1_000;
const CONNECTIONS: [u32; 4] = [1, 64, 512, 1_000];

/// Measures signals without a subscriber, then orders.
pub(crate) fn measure(report: &mut Report, cpus: Cpus, span: Duration) -> Result<(), String> {
    for (name, first) in [("durable signal", USERS as usize), ("durable order", 0)] {
        for connections in CONNECTIONS {
            // A fresh server for each run, so that its stages are this run's.
            let server = Server::start(&["durable"], cpus.server)?;
            let secrets = &server.lines[first..first + USERS as usize];
            let mut templates: HashMap<u32, Requests> = HashMap::new();
            let mut request = |number: u32, out: &mut Vec<u8>| {
                let secret = &secrets[number as usize % secrets.len()];
                templates.entry(number).or_insert_with(|| Requests::new(secret, connections)).next(out);
            };
            let mut load = Load { address: server.address, connections, span, request: &mut request };
            let (mut cpu_ns, process) = (0, server.process());
            let run = load::run(&mut load, |begins| {
                cpu_ns = if begins { sys::cpu_ns(process) } else { sys::cpu_ns(process) - cpu_ns };
            })
            .map_err(|error| error.to_string())?;
            if let Some(refusal) = &run.refusal {
                eprintln!("{} answers were refusals, the first: {refusal}", run.refused);
            }
            #[expect(clippy::cast_precision_loss, reason = "figures for a table")]
            let cpu_us_per_request = cpu_ns as f64 / 1e3 / (run.answers + run.refused).max(1) as f64;
            report.add(Line {
                server: name.to_owned(),
                connections,
                requests: run.answers,
                cpu_us_per_request,
                more: vec![
                    ("per_second", format!("{:.0}", run.rate())),
                    ("p50_us", run.micros(0.5).to_string()),
                    ("p99_us", run.micros(0.99).to_string()),
                    ("p999_us", run.micros(0.999).to_string()),
                    ("refused", run.refused.to_string()),
                    ("lost", run.lost.to_string()),
                ],
            });
            if connections == USERS {
                eprintln!("{}", stages(&server)?);
            }
        }
    }
    Ok(())
}

/// How long each stage took, from the server's own histograms.
fn stages(server: &Server) -> Result<String, String> {
    // The figures are published once a second.
    std::thread::sleep(Duration::from_millis(1_200));
    let mut client =
        Client::connect(server.address, ClientOptions::default()).map_err(|error| error.to_string())?;
    let answer = client.get("/api/enterprise/metrics").map_err(|error| error.to_string())?;
    let metrics: serde_json::Value =
        serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
    let mut text = "| stage | of | count | p50 | p99 |\n|---|---|---|---|---|\n".to_owned();
    for row in metrics["latencies"].as_array().into_iter().flatten() {
        let micros = |name: &str| row[name].as_f64().unwrap_or_default() / 1e3;
        let (stage, lane) =
            (row["stage"].as_str().unwrap_or_default(), row["lane"].as_str().unwrap_or_default());
        let (p50, p99) = (micros("p50_ns"), micros("p99_ns"));
        let _ = writeln!(text, "| {stage} | {lane} | {} | {p50:.1} µs | {p99:.1} µs |", row["count"]);
    }
    let shard = &metrics["shards"][0]["log"];
    let _ = write!(
        text,
        "{} records in {} flushes, {} bytes",
        shard["records"], shard["flushes"], shard["bytes"]
    );
    Ok(text)
}

/// The whole server: one shard, its log under the current directory.
pub(crate) fn serve() -> Result<(), String> {
    let dir = std::env::current_dir().map_err(|error| error.to_string())?.join("target/http-bench");
    std::fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
    let dir = tempfile::tempdir_in(dir).map_err(|error| error.to_string())?;
    orders::serve(dir.path().join("data"), None, USERS..USERS + ALONE)
}
