//! `coinbitclub demo`: the main job made visible, measured from outside, over HTTP, as a sender would.
//!
//! It checks what it shows: every eligible user has a durable order and a fill, everybody else a named reason, and the books
//! sum to zero; otherwise it says what is wrong and fails.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use engine::core::command::{Command, Reply};
use engine::core::ids::UserId;
use engine::core::instrument::Symbol;
use engine::shard::runtime::HostEntropy;
use exchange::market::Gate;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use net::http::client::{Client, ClientOptions};
use serde_json::Value;

use super::demo_report::{DemoReport, Times};
use super::demo_users::{DemoUser, decide, demo_user, make, page};
use super::serve::{serve_until_told, start_logging, watch_signals};
use super::{DemoArgs, market};
use crate::reads::Page;
use crate::server::{self, MarketPace, Server};
use crate::web::token;

/// How long any one thing may take before the demo gives up.
const LIMIT: Duration = Duration::from_secs(120);
/// How long it waits between two looks. The times it shows are the server's own; looking more often would only take CPU
/// from the shards.
const LOOK: Duration = Duration::from_millis(20);

/// A directory that is removed at the end, unless it was asked for.
struct DataDir {
    path: PathBuf,
    temporary: bool,
}

impl DataDir {
    fn new(asked: Option<&Path>) -> Result<Self, String> {
        if let Some(path) = asked {
            return Ok(Self { path: path.to_owned(), temporary: false });
        }
        let path = std::env::temp_dir().join(format!("coinbitclub-demo-{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { path, temporary: true })
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        if self.temporary
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            eprintln!("coinbitclub: {} was not removed: {error}", self.path.display());
        }
    }
}

fn wall_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Runs the demo.
///
/// # Errors
/// What went wrong, or did not hold.
pub fn demo(args: &DemoArgs) -> Result<(), String> {
    let _logging = start_logging("warn");
    let data = DataDir::new(args.data.as_deref())?;
    let mut server_args = args.server.clone();
    let plays_file = !server_args.markets.is_empty();
    if plays_file && server_args.speed == "real" {
        // A file is played as fast as possible, held at its first price until everybody has opened.
        server_args.speed = "max".to_owned();
    }
    let shards = match server_args.shards {
        Some(shards) => usize::from(shards),
        None => default_shards()?,
    };
    let gate = (plays_file && server_args.speed == "max").then(|| Gate::new(shards));
    let mut config = market::config(&server_args, &data.path, gate.clone())?;
    config.shards = u16::try_from(shards).ok();
    let _ = tuning::raise_soft_limits();
    let server = match server::start(&config) {
        Err(error) if args.once && error.0.starts_with("listen:") => {
            eprintln!("coinbitclub: {error}; taking a free port");
            config.listen.set_port(0);
            server::start(&config)
        }
        other => other,
    }
    .map_err(|error| error.to_string())?;
    let stop = server.stop_flag();
    let signals = watch_signals(&stop, &server.dump)?;

    let symbol = traded_symbol(&server_args)?;
    let run = Run { args, server: &server, symbol, gate, held: matches!(config.pace, MarketPace::Max(_)) };
    let outcome = run.run();
    let report = match outcome {
        Ok(report) => report,
        Err(error) => {
            let _ = server.stop();
            return Err(error);
        }
    };
    if args.json {
        let text = serde_json::to_string(&report).expect("a report is plain data");
        println!("{text}");
    } else {
        print!("{}", report.render());
    }
    let _ = std::io::stdout().flush();
    let verdict = if report.ok { Ok(()) } else { Err(report.wrong.join("; ")) };
    if args.once || !report.ok {
        return server.stop().and(verdict);
    }
    eprintln!("serving on http://{} until Ctrl-C", server.address);
    serve_until_told(server, &stop, &signals).and(verdict)
}

fn default_shards() -> Result<usize, String> {
    tuning::plan_for_host(None).map(|plan| plan.shard_cpus.len()).map_err(|error| error.to_string())
}

fn traded_symbol(args: &super::ServerArgs) -> Result<Symbol, String> {
    match market::market_files(args)?.first() {
        Some((symbol, _)) => Ok(*symbol),
        None => Ok(Symbol::new("BTCUSDT").expect("a symbol")),
    }
}

struct Run<'a> {
    args: &'a DemoArgs,
    server: &'a Server,
    symbol: Symbol,
    gate: Option<Arc<Gate>>,
    held: bool,
}

impl Run<'_> {
    fn say(&self, text: &str) {
        if !self.args.json {
            eprintln!("{text}");
        }
    }

    fn run(&self) -> Result<DemoReport, String> {
        let lines = &self.server.lines;
        let hash = server::hashing::hash_password("demo demo demo", &mut HostEntropy)?;
        let publisher = UserId::from_email("publisher@example.com");
        let sign_up = Command::SignUp {
            email: "publisher@example.com".to_owned(),
            password: hash.clone(),
            zone: String::new(),
        };
        decide(lines, publisher, sign_up)?;
        let secret = token::new_secret(publisher, &mut HostEntropy);
        let digest = engine::core::auth::digest(secret.as_bytes());
        let create = Command::CreateSource { user: publisher, name: "demo".to_owned(), secret: digest };
        let Reply::Source(source) = decide(lines, publisher, create)? else {
            return Err("the source was not created".to_owned());
        };
        let other = Symbol::new(if self.symbol.as_str() == "ETHUSDT" { "BTCUSDT" } else { "ETHUSDT" });
        let other = other.expect("a symbol");
        let users: Vec<DemoUser> = (0..self.args.users).map(|number| demo_user(number, other)).collect();
        let bar = ProgressBar::new(u64::from(self.args.users));
        if self.args.json {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {per_sec}");
        bar.set_style(style.map_err(|error| error.to_string())?);
        bar.set_message("making users");
        make(lines, &users, &hash, source, || bar.inc(1))?;
        bar.finish_and_clear();

        let mut report = DemoReport {
            users: u64::from(self.args.users),
            eligible: users.iter().filter(|u| u.eligible).count() as u64,
            shards: self.server.shards(),
            ..DemoReport::default()
        };
        let mut client = Client::connect(self.server.address, ClientOptions::default())
            .map_err(|error| error.to_string())?;
        self.say("posting a TradingView alert");
        let opened = self.signal(&mut client, "buy", &secret)?;
        self.follow(&mut client, &opened, &secret, &mut report)?;
        if self.held {
            self.say("playing the market");
            self.play_out()?;
        }
        self.say("posting a closing alert");
        let closed = self.signal(&mut client, "close", &secret)?;
        self.wait_receipt(&mut client, &closed.id, &secret)?;
        self.books(&mut client, &mut report)?;
        if let Some(path) = &self.args.audit {
            self.write_audit(path, &users)?;
        }
        check(&mut report);
        Ok(report)
    }

    /// Posts an alert as TradingView does: JSON as text/plain with a line break at its end.
    fn signal(&self, client: &mut Client, action: &str, secret: &str) -> Result<Posted, String> {
        let sent_micros = wall_micros();
        let time = iso(sent_micros);
        let body = format!(
            "{{\"ticker\":\"BINANCE:{}.P\",\"action\":\"{action}\",\"timenow\":\"{time}\",\"strategy\":\"demo\",\"secret\":\"{secret}\"}}\n",
            self.symbol
        );
        let began = Instant::now();
        let response = client
            .post("/api/webhooks/signal", "text/plain; charset=utf-8", body.as_bytes())
            .map_err(|error| format!("posting the alert: {error}"))?;
        let answer_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let value: Value = serde_json::from_slice(&response.body).map_err(|error| error.to_string())?;
        match value["id"].as_str() {
            Some(id) if response.status == 200 => Ok(Posted { id: id.to_owned(), sent_micros, answer_us }),
            _ => Err(format!("the alert was answered {}: {value}", response.status)),
        }
    }

    fn receipt(&self, client: &mut Client, id: &str, secret: &str) -> Result<Value, String> {
        let path = format!("/api/signals/{id}?limit=0");
        let bearer = format!("Bearer {secret}");
        let response = client
            .request("GET", &path, &[("Authorization", &bearer)], &[])
            .map_err(|error| format!("receipt: {error}"))?;
        if response.status != 200 {
            return Err(format!("the receipt was answered {}", response.status));
        }
        serde_json::from_slice(&response.body).map_err(|error| error.to_string())
    }

    /// Reads the receipt until every order has an end.
    fn wait_receipt(&self, client: &mut Client, id: &str, secret: &str) -> Result<Value, String> {
        let began = Instant::now();
        loop {
            let receipt = self.receipt(client, id, secret)?;
            if receipt["state"] == "finished" && count(&receipt, "sent") == 0 {
                return Ok(receipt);
            }
            if began.elapsed() > LIMIT {
                return Err(format!(
                    "the receipt is not complete after {} s: {}",
                    LIMIT.as_secs(),
                    receipt["counts"]
                ));
            }
            std::thread::sleep(LOOK);
        }
    }

    fn follow(
        &self,
        client: &mut Client,
        posted: &Posted,
        secret: &str,
        report: &mut DemoReport,
    ) -> Result<(), String> {
        let receipt = self.wait_receipt(client, &posted.id, secret)?;
        let accepted = receipt["accepted_at"].as_u64().unwrap_or(0);
        let before = accepted.saturating_sub(posted.sent_micros);
        report.answer_us = posted.answer_us;
        report.decided = receipt["decided"].as_u64().unwrap_or(0);
        report.intent_times = times(&receipt["sent"], before);
        report.fill_times = times(&receipt["filled"], before);
        report.intents = report.intent_times.count;
        report.fills = count(&receipt, "filled");
        report.first_intent_us = report.intent_times.first_us;
        report.last_intent_us = report.intent_times.last_us;
        report.last_fill_us = report.fill_times.last_us;
        for row in receipt["counts"].as_array().into_iter().flatten() {
            if let (Some(reason), Some(users)) = (row["reason"].as_str(), row["users"].as_u64()) {
                *report.refused.entry(reason.to_owned()).or_default() += users;
            }
        }
        Ok(())
    }

    /// Opens the gate and waits until every shard has played its market and is quiet.
    fn play_out(&self) -> Result<(), String> {
        let Some(gate) = &self.gate else { return Ok(()) };
        gate.release_all();
        let began = Instant::now();
        while !gate.finished() {
            if began.elapsed() > LIMIT {
                return Err("the market was not played to its end in time".to_owned());
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Waits until nothing is under way, then reads the books.
    fn books(&self, client: &mut Client, report: &mut DemoReport) -> Result<(), String> {
        let began = Instant::now();
        let status = loop {
            let response = client.get("/api/enterprise/status").map_err(|error| error.to_string())?;
            let status: Value = serde_json::from_slice(&response.body).map_err(|error| error.to_string())?;
            let quiet = status["shards"].as_array().is_some_and(|shards| {
                shards.iter().all(|shard| {
                    ["fan_outs", "uncommitted", "orders_in_flight", "effects_waiting", "closes_waiting"]
                        .iter()
                        .all(|name| shard[name].as_u64() == Some(0))
                })
            });
            let flat = status["books"]["positions_open"].as_u64() == Some(0);
            if (quiet && flat) || began.elapsed() > Duration::from_secs(10) {
                break status;
            }
            std::thread::sleep(LOOK);
        };
        let books = &status["books"];
        let sums = |name: &str| -> BTreeMap<String, String> {
            let entries = books[name].as_object().into_iter().flatten();
            entries.filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect()
        };
        report.realised = sums("profit");
        report.fees = sums("fees");
        report.funding = sums("funding");
        report.profit_share = sums("revenue");
        report.ledger_sum = sums("ledger_sum");
        report.positions_open = books["positions_open"].as_u64().unwrap_or(u64::MAX);
        for (reason, users) in books["closed"].as_object().into_iter().flatten() {
            report.closed.insert(reason.clone(), users.as_u64().unwrap_or(0));
        }
        let gauges = &self.server.gauges.shards;
        report.log_bytes = gauges.iter().map(|g| g.log_bytes.load(Ordering::Relaxed)).sum();
        report.market_ticks =
            gauges.iter().map(|g| g.market_ticks.load(Ordering::Relaxed)).max().unwrap_or(0);
        Ok(())
    }

    fn write_audit(&self, path: &Path, users: &[DemoUser]) -> Result<(), String> {
        let error = |error: std::io::Error| format!("{}: {error}", path.display());
        let mut out = std::io::BufWriter::new(std::fs::File::create(path).map_err(error)?);
        for user in users {
            let read = |wanted| -> Result<Value, String> {
                let body = page(&self.server.lines, user.id, wanted)?;
                serde_json::from_slice(&body).map_err(|error| error.to_string())
            };
            let settings = &user.settings;
            let line = serde_json::json!({
                "user": user.id.to_string(),
                "wallet": user.wallet.to_string(),
                "halted": user.halted,
                "symbols": settings.symbols.iter().map(Symbol::to_string).collect::<Vec<_>>(),
                "sizing": sizing(settings.sizing),
                "leverage": settings.leverage,
                "stop_multiplier": settings.stop_multiplier.to_string(),
                "take_profit_multiplier": settings.take_profit_multiplier.to_string(),
                "symbol": self.symbol.to_string(),
                "orders": read(Page::Orders)?,
                "positions": read(Page::Positions)?,
                "balances": read(Page::Balances)?,
                "ledger": read(Page::Ledger)?,
            });
            serde_json::to_writer(&mut out, &line).map_err(|error| error.to_string())?;
            out.write_all(b"\n").map_err(error)?;
        }
        out.flush().map_err(error)
    }
}

fn sizing(sizing: engine::core::rules::Sizing) -> Value {
    use engine::core::rules::Sizing;
    let (mode, value) = match sizing {
        Sizing::PercentOfBalance(share) => ("percent_of_balance", share.to_string()),
        Sizing::FixedMargin(margin) => ("fixed_margin", margin.to_string()),
        Sizing::FixedNotional(notional) => ("fixed_notional", notional.to_string()),
        Sizing::RiskToStop(risk) => ("risk_to_stop", risk.to_string()),
    };
    serde_json::json!({ "mode": mode, "value": value })
}

struct Posted {
    id: String,
    sent_micros: u64,
    answer_us: u64,
}

fn iso(micros: u64) -> String {
    let micros = i64::try_from(micros).unwrap_or(i64::MAX);
    jiff::Timestamp::from_microsecond(micros).map(|at| at.to_string()).unwrap_or_default()
}

fn count(receipt: &Value, outcome: &str) -> u64 {
    let rows = receipt["counts"].as_array().into_iter().flatten();
    rows.filter(|row| row["outcome"] == outcome).filter_map(|row| row["users"].as_u64()).sum()
}

fn times(spread: &Value, before: u64) -> Times {
    let at = |name: &str| spread[name].as_u64().map_or(0, |us| us + before);
    Times {
        count: spread["count"].as_u64().unwrap_or(0),
        first_us: at("first_us"),
        p50_us: at("p50_us"),
        p99_us: at("p99_us"),
        last_us: at("last_us"),
    }
}

/// What must hold after a run.
fn check(report: &mut DemoReport) {
    let refused: u64 = report.refused.values().sum();
    let mut wrong = Vec::new();
    if report.decided != report.users {
        wrong.push(format!("{} of {} users were decided on", report.decided, report.users));
    }
    if report.intents != report.eligible {
        wrong.push(format!("{} eligible users and {} durable orders", report.eligible, report.intents));
    }
    if report.fills != report.intents {
        wrong.push(format!("{} durable orders and {} fills", report.intents, report.fills));
    }
    if report.intents + refused != report.decided {
        wrong.push(format!(
            "{} orders and {refused} named reasons for {} users",
            report.intents, report.decided
        ));
    }
    if report.positions_open != 0 {
        wrong.push(format!("{} positions are open after the closing signal", report.positions_open));
    }
    for (currency, sum) in report.ledger_sum.iter().filter(|(_, sum)| sum.as_str() != "0") {
        wrong.push(format!("the ledger of {currency} sums to {sum}"));
    }
    if report.ledger_sum.is_empty() {
        wrong.push("the books could not be read".to_owned());
    }
    report.ok = wrong.is_empty();
    report.wrong = wrong;
}
