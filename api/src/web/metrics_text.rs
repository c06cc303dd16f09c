//! The documents about the whole server: status, metrics as JSON, metrics for Prometheus.
//!
//! Every figure is a counter, a gauge or a histogram's quantile that was measured; nothing here is a constant.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use engine::core::ledger::Currency;
use engine::shard::lanes::Lane;
use engine::shard::limits::LANE_CAPACITY;
use engine::shard::metrics::Counters;
use serde_json::{Map, Value, json};
use storage::history::{Fault, ProgressReport};

use super::flows::GatherFlow;
use super::gauges::{Gauges, HistoryGauges, Latencies, QUANTILES};
use super::venues;
use crate::reads::{CLOSE_REASONS, decimal};

/// What the documents are made from besides the shards' answers.
pub struct Source<'a> {
    /// Shared figures.
    pub gauges: &'a Gauges,
    /// Latencies, as last published.
    pub latencies: &'a Latencies,
    /// Since the server started, in microseconds.
    pub uptime_micros: u64,
}

fn read(gauge: &AtomicU64) -> u64 {
    gauge.load(Ordering::Relaxed)
}

fn counters_json(counters: &Counters) -> Value {
    Value::Object(counters.each().map(|(name, value)| (name.to_owned(), json!(value))).collect::<Map<_, _>>())
}

fn total(gather: &GatherFlow) -> Counters {
    let mut total = Counters::default();
    gather.shards.iter().for_each(|shard| total.add(&shard.counters));
    total
}

fn lanes_json(lanes: &[usize; 4]) -> Value {
    Value::Object(
        Lane::ALL
            .into_iter()
            .map(|lane| {
                let (depth, capacity) = (lanes[lane.place()], LANE_CAPACITY[lane.place()]);
                (lane.name().to_owned(), json!({ "depth": depth, "capacity": capacity }))
            })
            .collect(),
    )
}

fn process_json(source: &Source<'_>) -> Value {
    let process = &source.gauges.process;
    json!({
        "resident_bytes": read(&process.resident_bytes),
        "cpu_micros": read(&process.cpu_micros),
        "disk_free_bytes": read(&process.disk_free_bytes),
        "disk_bytes": read(&process.disk_bytes),
        "stall_max_micros": read(&process.stall_max_micros),
        "stalled_shards": read(&process.stalled_shards),
    })
}

fn shards_json(gather: &GatherFlow, source: &Source<'_>) -> Value {
    let mut shards: Vec<_> = gather.shards.iter().collect();
    shards.sort_by_key(|s| s.shard);
    shards
        .into_iter()
        .map(|shard| {
            let gauges = &source.gauges.shards[usize::from(shard.shard)];
            json!({
                "shard": shard.shard,
                "users": shard.users,
                "positions_open": shard.positions_open,
                "lanes": lanes_json(&shard.lanes),
                "closes_waiting": shard.closes,
                "fan_outs": shard.fan_outs,
                "uncommitted": shard.uncommitted,
                "orders_in_flight": shard.orders_in_flight,
                "effects_waiting": shard.effects_waiting,
                "lsn": shard.lsn,
                "durable_lsn": shard.durable_lsn,
                "log": {
                    "bytes": read(&gauges.log_bytes),
                    "flushes": read(&gauges.log_flushes),
                    "records": read(&gauges.log_records),
                    "stalls": read(&gauges.log_stalls),
                    "snapshot_lsn": read(&gauges.snapshot_lsn),
                    "snapshot_bytes": read(&gauges.snapshot_bytes),
                    "failed": gauges.failed.load(Ordering::Relaxed),
                    "no_space": gauges.no_space.load(Ordering::Relaxed),
                },
                "connections": read(&gauges.connections),
                "requests": read(&gauges.requests),
                "market_ticks": read(&gauges.market_ticks),
            })
        })
        .collect()
}

/// How far the database is, by shard; null without one.
fn history_json(source: &Source<'_>) -> Value {
    let Some(history) = &source.gauges.history else { return Value::Null };
    let shards: Vec<_> = history
        .shards
        .iter()
        .map(|progress| {
            let report = progress.report();
            json!({
                "durable_lsn": report.durable.0,
                "projected_lsn": report.projected.0,
                "behind_records": report.durable.0.saturating_sub(report.projected.0),
                "projected_at_micros": report.projected_at,
                "rows": report.rows,
                "relayed_records": report.relayed,
                "batches": report.batches,
                "failures": report.failures,
                "refused_records": report.refused,
                // Whoever asks has shown no session: no host, no statement, no row.
                "failing": report.fault.map(Fault::as_str),
            })
        })
        .collect();
    json!({
        "opens_stopped": history.opens_stopped.load(Ordering::Relaxed),
        "disk_alarm": history.disk_alarm.load(Ordering::Relaxed),
        "shards": shards,
    })
}

/// `/api/enterprise/status`.
#[must_use]
pub fn status(gather: &GatherFlow, source: &Source<'_>) -> Vec<u8> {
    let books = gather.audit.as_ref().map(|audit| {
        let sums = |units: &[i128; 4]| {
            Value::Object(
                Currency::ALL
                    .into_iter()
                    .zip(units)
                    .map(|(currency, units)| (currency.as_str().to_owned(), json!(decimal(*units))))
                    .collect(),
            )
        };
        json!({
            "users": audit.users,
            "positions_open": audit.positions_open,
            "ledger_sum": sums(&audit.ledger),
            "profit": sums(&audit.profit),
            "fees": sums(&audit.fees),
            "funding": sums(&audit.funding),
            "revenue": sums(&audit.revenue),
            "debt": sums(&audit.debt),
            "closed": Value::Object(
                CLOSE_REASONS
                    .iter()
                    .zip(audit.closed)
                    .map(|(reason, count)| (reason.as_str().to_owned(), json!(count)))
                    .collect(),
            ),
        })
    });
    let ready = source.gauges.not_ready();
    let degraded = venues::degraded(&source.gauges.shards);
    let document = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_micros": source.uptime_micros,
        "ready": ready.is_none(),
        "not_ready_because": ready,
        "degraded": !degraded.is_empty(),
        "degraded_because": degraded,
        "shards_answered": gather.shards.len(),
        "shards_silent": gather.silent,
        "process": process_json(source),
        "history": history_json(source),
        "venues": venues::status_json(&source.gauges.shards),
        "books": books,
        "shards": shards_json(gather, source),
    });
    serde_json::to_vec(&document).expect("this document is plain data")
}

/// `/api/enterprise/metrics`.
#[must_use]
pub fn metrics_json(gather: &GatherFlow, source: &Source<'_>) -> Vec<u8> {
    serde_json::to_vec(&metrics_document(gather, source)).expect("this document is plain data")
}

/// The same as a document.
#[must_use]
pub fn metrics_document(gather: &GatherFlow, source: &Source<'_>) -> Value {
    let latencies: Vec<_> = source
        .latencies
        .rows
        .iter()
        .map(|row| {
            json!({
                "stage": row.stage,
                "lane": row.track,
                "count": row.count,
                "p50_ns": row.quantiles_ns[0],
                "p90_ns": row.quantiles_ns[1],
                "p99_ns": row.quantiles_ns[2],
                "p999_ns": row.quantiles_ns[3],
                "max_ns": row.max_ns,
            })
        })
        .collect();
    let mut document = json!({
        "uptime_micros": source.uptime_micros,
        "shards_silent": gather.silent,
        "counters": counters_json(&total(gather)),
        "latencies_at_micros": source.latencies.at_micros,
        "latencies": latencies,
        "process": process_json(source),
        "venues": venues::metrics_json(&source.gauges.shards),
        "shards": shards_json(gather, source),
    });
    if let Some(alerts) = &source.gauges.alerts {
        document["alerts"] = alerts.json();
    }
    document
}

/// `/metrics`, in Prometheus' text format 0.0.4.
#[must_use]
pub fn prometheus(gather: &GatherFlow, source: &Source<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 << 10);
    write_prometheus(&mut out, gather, source).expect("writing into memory does not fail");
    out
}

fn write_prometheus(out: &mut Vec<u8>, gather: &GatherFlow, source: &Source<'_>) -> std::io::Result<()> {
    let mut shards: Vec<_> = gather.shards.iter().collect();
    shards.sort_by_key(|s| s.shard);
    for (name, _) in Counters::default().each() {
        writeln!(out, "# TYPE coinbitclub_{name}_total counter")?;
        for shard in &shards {
            let value = shard.counters.each().find(|(n, _)| *n == name).map_or(0, |(_, v)| v);
            writeln!(out, "coinbitclub_{name}_total{{shard=\"{}\"}} {value}", shard.shard)?;
        }
    }
    writeln!(out, "# TYPE coinbitclub_lane_depth gauge")?;
    for shard in &shards {
        for lane in Lane::ALL {
            let depth = shard.lanes[lane.place()];
            let (shard, lane) = (shard.shard, lane.name());
            writeln!(out, "coinbitclub_lane_depth{{shard=\"{shard}\",lane=\"{lane}\"}} {depth}")?;
        }
    }
    writeln!(out, "# TYPE coinbitclub_lane_capacity gauge")?;
    for lane in Lane::ALL {
        let capacity = LANE_CAPACITY[lane.place()];
        writeln!(out, "coinbitclub_lane_capacity{{lane=\"{}\"}} {capacity}", lane.name())?;
    }
    for (name, value) in [
        ("users", (|s| s.users as u64) as fn(&engine::shard::metrics::ShardStatus) -> u64),
        ("positions_open", |s| s.positions_open as u64),
        ("closes_waiting", |s| s.closes as u64),
        ("fan_outs", |s| s.fan_outs as u64),
        ("uncommitted", |s| s.uncommitted as u64),
        ("orders_in_flight", |s| s.orders_in_flight as u64),
        ("effects_waiting", |s| s.effects_waiting as u64),
        ("lsn", |s| s.lsn),
        ("durable_lsn", |s| s.durable_lsn),
    ] {
        writeln!(out, "# TYPE coinbitclub_{name} gauge")?;
        for shard in &shards {
            writeln!(out, "coinbitclub_{name}{{shard=\"{}\"}} {}", shard.shard, value(shard))?;
        }
    }
    write_gauges(out, source)?;
    writeln!(out, "# TYPE coinbitclub_latency_seconds summary")?;
    for row in &source.latencies.rows {
        let labels = format!("stage=\"{}\",lane=\"{}\"", row.stage, row.track);
        for (quantile, ns) in QUANTILES.iter().zip(row.quantiles_ns) {
            let seconds = seconds(ns);
            writeln!(out, "coinbitclub_latency_seconds{{{labels},quantile=\"{quantile}\"}} {seconds}")?;
        }
        writeln!(out, "coinbitclub_latency_seconds_sum{{{labels}}} {}", seconds(row.sum_ns))?;
        writeln!(out, "coinbitclub_latency_seconds_count{{{labels}}} {}", row.count)?;
    }
    Ok(())
}

/// Nanoseconds as seconds, exactly.
fn seconds(ns: u64) -> String {
    format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000)
}

fn write_history(out: &mut Vec<u8>, history: &HistoryGauges) -> std::io::Result<()> {
    type Row = (&'static str, &'static str, fn(&ProgressReport) -> u64);
    let rows: [Row; 7] = [
        ("history_projected_lsn", "gauge", |r| r.projected.0),
        ("history_behind_records", "gauge", |r| r.durable.0.saturating_sub(r.projected.0)),
        ("history_rows_total", "counter", |r| r.rows),
        ("history_failures_total", "counter", |r| r.failures),
        ("history_refused_records_total", "counter", |r| r.refused),
        ("history_relayed_records_total", "counter", |r| r.relayed),
        ("history_failing", "gauge", |r| u64::from(r.fault.is_some())),
    ];
    let reports: Vec<_> = history.shards.iter().map(|progress| progress.report()).collect();
    for (name, kind, value) in rows {
        writeln!(out, "# TYPE coinbitclub_{name} {kind}")?;
        for (shard, report) in reports.iter().enumerate() {
            writeln!(out, "coinbitclub_{name}{{shard=\"{shard}\"}} {}", value(report))?;
        }
    }
    for (name, holds) in [("opens_stopped", &history.opens_stopped), ("disk_alarm", &history.disk_alarm)] {
        let value = u64::from(holds.load(Ordering::Relaxed));
        writeln!(out, "# TYPE coinbitclub_history_{name} gauge\ncoinbitclub_history_{name} {value}")?;
    }
    Ok(())
}

fn write_gauges(out: &mut Vec<u8>, source: &Source<'_>) -> std::io::Result<()> {
    use super::gauges::ShardGauges;
    type Row = (&'static str, &'static str, fn(&ShardGauges) -> u64);
    let rows: [Row; 9] = [
        ("log_bytes_total", "counter", |g| read(&g.log_bytes)),
        ("log_flushes_total", "counter", |g| read(&g.log_flushes)),
        ("log_records_total", "counter", |g| read(&g.log_records)),
        ("log_stalls_total", "counter", |g| read(&g.log_stalls)),
        ("log_failed", "gauge", |g| u64::from(g.failed.load(Ordering::Relaxed))),
        ("log_no_space", "gauge", |g| u64::from(g.no_space.load(Ordering::Relaxed))),
        ("snapshot_bytes", "gauge", |g| read(&g.snapshot_bytes)),
        ("connections", "gauge", |g| read(&g.connections)),
        ("http_requests_total", "counter", |g| read(&g.requests)),
    ];
    for (name, kind, value) in rows {
        writeln!(out, "# TYPE coinbitclub_{name} {kind}")?;
        for (shard, gauges) in source.gauges.shards.iter().enumerate() {
            writeln!(out, "coinbitclub_{name}{{shard=\"{shard}\"}} {}", value(gauges))?;
        }
    }
    if let Some(history) = &source.gauges.history {
        write_history(out, history)?;
    }
    if let Some(alerts) = &source.gauges.alerts {
        alerts.write_text(out)?;
    }
    venues::write_text(out, &source.gauges.shards)?;
    super::network::write_text(out, source.gauges.shards.iter().map(|gauges| &gauges.network))?;
    let process = &source.gauges.process;
    for (name, kind, value) in [
        ("process_resident_bytes", "gauge", read(&process.resident_bytes)),
        ("data_disk_free_bytes", "gauge", read(&process.disk_free_bytes)),
        ("data_disk_bytes", "gauge", read(&process.disk_bytes)),
        ("shards_stalled", "gauge", read(&process.stalled_shards)),
        ("ready", "gauge", u64::from(source.gauges.ready())),
    ] {
        writeln!(out, "# TYPE coinbitclub_{name} {kind}\ncoinbitclub_{name} {value}")?;
    }
    let cpu = seconds(read(&process.cpu_micros) * 1_000);
    writeln!(out, "# TYPE coinbitclub_process_cpu_seconds_total counter")?;
    writeln!(out, "coinbitclub_process_cpu_seconds_total {cpu}")
}
