//! How many durable signals and orders does one shard on one core take over HTTP, and what does each stage cost?
//!
//! `cargo run --release -p coinbitclub-bench --example durable_http -- [SECONDS]` (needs `wrk`). One shard, pinned, its log on
//! the disk of the current directory; wrk with one thread on another CPU. Two loads, each at 1, 64, 512 and 1,000
//! connections: a signal to a source without subscribers (durable signal), and an open or close in turn to one of 4,000
//! sources with one subscriber each (every request leads to a durable order, its stop and target or its settlement).
//! wrk's loop is closed; its CPU and the server's are different ones. It does not show several shards, nor a network.

use std::fmt::Write as _;
use std::time::Duration;

use api::server::{self, ServerConfig};
use bench_support::wrk;
use engine::core::command::Command;
use engine::core::ids::{SourceId, UserId};
use engine::core::rules::Settings;
use engine::core::user::VenueKind;
use engine::shard::ask::{Ask, Auth, Op};
use engine::shard::runtime::HostEntropy;

/// Sources with one subscriber each: more than there are connections, so that a source's open and close never meet.
const SOURCES: u32 = 4_000;
/// Sources without subscribers: a source works on at most 128 signals at once, so that many connections need several.
const ALONE: u32 = 32;
const CONNECTIONS: [u32; 4] = [1, 64, 512, 1_000];

fn main() -> Result<(), String> {
    let seconds: u32 =
        std::env::args().nth(1).map_or(Ok(5), |text| text.parse()).map_err(|_| "SECONDS: a number")?;
    let dir = std::env::current_dir().map_err(|e| e.to_string())?.join("target/durable-http-data");
    let _ = std::fs::remove_dir_all(&dir);
    let mut config = ServerConfig::embedded(dir.clone());
    config.listen.set_port(0);
    config.shards = Some(1);
    config.rules.source_opens_max = u32::MAX;
    config.rules.repeat_kept_min = 0;
    config.rules.cooldown = 0;
    config.snapshot_log_bytes = 1 << 40;
    let _ = tuning::raise_soft_limits();
    let server = server::start(&config).map_err(|error| error.to_string())?;
    let mut secrets = Vec::new();
    for number in 0..SOURCES + ALONE {
        secrets.push(publisher(&server, number)?);
    }
    let alone = secrets.split_off(usize::try_from(SOURCES).map_err(|e| e.to_string())?);
    let script = dir.join("signals.lua");
    println!(
        "| load | connections | answers/s | p50 | p99 | not 2xx | server CPU per answer | orders | flushes | records per flush |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for (load, list) in [("signal only", &alone[..]), ("signal and order", &secrets[..])] {
        for (round, connections) in CONNECTIONS.into_iter().enumerate() {
            std::fs::write(&script, lua(list, &format!("{load}{round}"))).map_err(|e| e.to_string())?;
            let url = format!("http://{}/api/webhooks/signal", server.address);
            let before = figures(&server);
            let run = wrk::run(&url, &script, connections, seconds, 1)?;
            let after = figures(&server);
            let cpu_ns = (after.cpu_micros - before.cpu_micros) * 1_000 / run.requests.max(1);
            let flushes = after.flushes - before.flushes;
            println!(
                "| {load} | {connections} | {:.0} | {} | {} | {} | {}.{:02} µs | {} | {flushes} | {} |",
                run.rate,
                run.p50,
                run.p99,
                run.refused,
                cpu_ns / 1_000,
                cpu_ns % 1_000 / 10,
                after.orders - before.orders,
                (after.records - before.records) / flushes.max(1),
            );
            if let Some(errors) = run.errors {
                println!("{errors}");
            }
        }
    }
    std::thread::sleep(Duration::from_millis(1_200));
    let mut client =
        net::http::client::Client::connect(server.address, net::http::client::ClientOptions::default())
            .map_err(|e| e.to_string())?;
    let metrics = client.get("/api/enterprise/metrics").map_err(|e| e.to_string())?;
    let metrics: serde_json::Value = serde_json::from_slice(&metrics.body).map_err(|e| e.to_string())?;
    println!("\n| stage | lane | count | p50 | p99 | p99.9 | max |\n|---|---|---|---|---|---|---|");
    for row in metrics["latencies"].as_array().into_iter().flatten() {
        let us = |name: &str| format!("{:.1} µs", row[name].as_f64().unwrap_or(0.0) / 1_000.0);
        println!(
            "| {} | {} | {} | {} | {} | {} | {} |",
            row["stage"].as_str().unwrap_or_default(),
            row["lane"].as_str().unwrap_or_default(),
            row["count"],
            us("p50_ns"),
            us("p99_ns"),
            us("p999_ns"),
            us("max_ns")
        );
    }
    server.stop()?;
    std::fs::remove_dir_all(&dir).map_err(|e| e.to_string())
}

struct Figures {
    cpu_micros: u64,
    flushes: u64,
    records: u64,
    orders: u64,
}

fn figures(server: &server::Server) -> Figures {
    use std::sync::atomic::Ordering::Relaxed;
    let ask = Ask { auth: Auth::Open, op: Op::Status, user: UserId(0) };
    let status = server.lines.ask(ask, Duration::from_secs(10));
    let orders = match status {
        Ok(engine::shard::ask::Answer::Status(status)) => status.counters.intents,
        _ => 0,
    };
    let gauges = &server.gauges.shards[0];
    Figures {
        cpu_micros: api::sys::cpu_micros(),
        flushes: gauges.log_flushes.load(Relaxed),
        records: gauges.log_records.load(Relaxed),
        orders,
    }
}

/// A user with a source and a paper account; the first [`SOURCES`] subscribe to themselves.
fn publisher(server: &server::Server, number: u32) -> Result<String, String> {
    let email = format!("bench{number}@example.com");
    let user = UserId::from_email(&email);
    let secret = api::web::token::new_secret(user, &mut HostEntropy);
    let digest = engine::core::auth::digest(secret.as_bytes());
    let mut commands = vec![
        Command::SignUp { email, password: "none".into(), zone: String::new() },
        Command::OpenAccount { user, venue: VenueKind::Paper, wallet: None },
        Command::CreateSource { user, name: "bench".into(), secret: digest },
    ];
    if number < SOURCES {
        let source = SourceId { owner: user, index: 0 };
        commands.push(Command::Subscribe { user, source, account: 0, settings: Settings::default() });
    }
    let waiting: Vec<_> = commands
        .into_iter()
        .map(|command| server.lines.begin(Ask { auth: Auth::Open, op: Op::Command(command), user }))
        .collect::<Result<_, _>>()
        .map_err(|e| e.to_string())?;
    for answer in waiting {
        answer.recv_timeout(Duration::from_secs(10)).map_err(|e| e.to_string())?;
    }
    Ok(secret)
}

/// Each source gets an open, and when all had one, a close, and so on; each with an id of its own.
fn lua(secrets: &[String], round: &str) -> String {
    let mut list = String::new();
    for secret in secrets {
        let _ = write!(list, "\"{secret}\",");
    }
    format!(
        "local secrets = {{{list}}}\nlocal n = 0\nlocal round = \"{round}\"\nwrk.method = \"POST\"\n\
         wrk.headers[\"Content-Type\"] = \"application/json\"\n\
         function request()\n  local k = n % #secrets + 1\n  local action = math.floor(n / #secrets) % 2 == 0 and \"buy\" or \"close\"\n\
           n = n + 1\n\
           return wrk.format(nil, nil, nil, '{{\"ticker\":\"BTCUSDT\",\"action\":\"' .. action .. '\",\"price\":\"62500\",\"signal_id\":\"' .. round .. n .. '\",\"secret\":\"' .. secrets[k] .. '\"}}')\n\
         end\n"
    )
}
