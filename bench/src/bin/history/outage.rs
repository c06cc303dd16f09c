//! Durable orders before the database is killed, while it is away, and after it came back.

use std::time::Duration;

use bench_support::load::Run;

use crate::{database, logged};

/// Orders at once: fewer than make the server's queues the larger part of the latency.
const CONNECTIONS: u32 = 64;

/// Measures each part for so long.
pub(crate) fn measure(span: Duration) -> Result<(), String> {
    let cluster = database();
    println!("| database | orders/s | p50 µs | p99 µs | p99.9 µs | max µs |");
    println!("|---|---|---|---|---|---|");
    let line = |name: &str, run: &Run| {
        let [p50, p99, p999, max] = [0.5, 0.99, 0.999, 1.0].map(|quantile| run.micros(quantile));
        println!("| {name} | {:.0} | {p50} | {p99} | {p999} | {max} |", run.rate());
    };
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let server = logged::start(&dir.path().join("none"), None)?;
    line("none set up", &logged::trade(&server, 0, CONNECTIONS, span)?);
    drop(server);
    let server = logged::start(&dir.path().join("data"), Some(&cluster.primary().url_without_password()))?;
    let before = logged::trade(&server, 1, CONNECTIONS, span)?;
    line("there", &before);
    cluster.primary().kill();
    let during = logged::trade(&server, 2, CONNECTIONS, span)?;
    line("killed", &during);
    cluster.primary().restart();
    line("back", &logged::trade(&server, 3, CONNECTIONS, span)?);
    for (name, quantile) in [("p50", 0.5), ("p99", 0.99)] {
        #[expect(clippy::cast_precision_loss, reason = "a ratio")]
        let ratio = during.micros(quantile) as f64 / before.micros(quantile) as f64;
        println!("{name} during the outage / before: {ratio:.2}");
    }
    Ok(())
}
