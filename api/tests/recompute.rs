//! Demo runs against an independent recomputation in Python (`bench/recompute`): sizes, protection, fills with the venue's
//! times, fees, funding, profit, shares, every journal entry and every balance, to the last unit. On small markets
//! (`bench/testdata`) and, where the real data is present, on real prices; with one, two and three shards.
//!
//! The recomputation is checked as well: it must notice each rule that is changed in it and each fact that is changed in
//! what the server said.

#[path = "recompute/run.rs"]
mod run;

use std::path::{Path, PathBuf};

use run::{Run, play, root, testdata};
use serde_json::Value;

/// Users of a run on a small market: each sizing with each leverage and each distance comes several times.
const USERS: u32 = 300;
/// How many of them the demo means to reach.
const ELIGIBLE: u64 = 282;

/// A small market: its name, its funding file, and what must happen in it at least once.
const MARKETS: [(&str, Option<&str>, &[&str]); 12] = [
    // Prices off the tick, over several boundaries of funding.
    ("btcusdt-rise", None, &["TAKE_PROFIT"]),
    // Levels met exactly, by jumps and on the way, or missed by one tick.
    ("btcusdt-touch", None, &["STOP_LOSS", "TAKE_PROFIT"]),
    // Gaps through stops and over targets; opens exactly on a boundary.
    ("xrpusdt-gaps", None, &["STOP_LOSS", "TAKE_PROFIT"]),
    // Stop and target within one candle: its path decides.
    ("ethusdt-both", None, &["STOP_LOSS", "TAKE_PROFIT"]),
    // A gap beyond some liquidation prices, on a boundary.
    ("solusdt-crash", None, &["STOP_LOSS", "LIQUIDATION"]),
    // Profits whose share is more than the prepaid balance: debt.
    ("dogeusdt-windfall", None, &["TAKE_PROFIT"]),
    // The largest market order holds sizes down.
    ("avaxusdt-capped", None, &["STOP_LOSS", "TAKE_PROFIT"]),
    // A tick of 3 % of the price: some levels round onto the entry.
    ("trxusdt-coarse", None, &["TAKE_PROFIT", "protection_invalid"]),
    // A step that costs more than some users ask for.
    ("btcusdt-dear", None, &["TAKE_PROFIT", "SIGNAL", "below_minimum"]),
    // One candle, no move: nothing is realised.
    ("ltcusdt-flat", None, &["SIGNAL"]),
    // Ten days without prices, and a funding file.
    ("linkusdt-pause", Some("linkusdt-funding"), &["TAKE_PROFIT"]),
    // Trades: jumps, several of them in the first instant.
    ("ethusdt-trades", None, &["STOP_LOSS", "TAKE_PROFIT", "SIGNAL"]),
];

fn play_small(name: &str, shards: u32) -> Run {
    let funding = MARKETS.iter().find(|(market, ..)| *market == name).expect("a market of the list").1;
    play(&testdata(name), funding.map(testdata).as_deref(), USERS, shards)
}

/// Plays and recomputes; what must happen does.
#[track_caller]
fn check(run: &Run, happens: &[&str]) {
    let verdict = run.recompute(&root());
    assert!(verdict.agrees, "{} differs:\n{}", run.name, verdict.text);
    for reason in happens {
        let list = if reason.starts_with(char::is_uppercase) { "closed" } else { "refused" };
        let times = run.report[list][reason].as_u64();
        assert!(times > Some(0), "{reason} does not happen on {}: {}", run.name, run.report);
    }
    println!("{}:\n{}", run.name, verdict.text);
}

#[test]
fn small_markets_agree_to_the_last_unit() {
    for (name, _, happens) in MARKETS {
        let run = play_small(name, 2);
        check(&run, happens);
        // The demo itself is content, except where the market makes its eligible users ineligible.
        let wrong = run.report["wrong"].to_string();
        let refuses = happens.iter().any(|reason| reason.starts_with(char::is_lowercase));
        let expected = if refuses {
            format!("[\"{ELIGIBLE} eligible users and {} durable orders\"]", run.report["intents"])
        } else {
            "[]".to_owned()
        };
        assert_eq!(wrong, expected, "{name}");
    }
}

#[test]
fn the_number_of_shards_changes_nothing() {
    for (name, _, happens) in [MARKETS[0], MARKETS[4], MARKETS[11]] {
        let runs = [1, 2, 3].map(|shards| play_small(name, shards));
        same_everywhere(&runs, happens);
    }
}

/// Each agrees with the recomputation, and all with each other.
#[track_caller]
fn same_everywhere(runs: &[Run], happens: &[&str]) {
    let first = timeless(&runs[0]);
    for (run, shards) in runs.iter().zip(1_u64..) {
        check(run, happens);
        assert_eq!(run.report["shards"].as_u64(), Some(shards), "{}", run.name);
        assert!(timeless(run) == first, "{} with {shards} shards is another than with one", run.name);
    }
}

/// An audit without the server's own times, which no two runs share.
fn timeless(run: &Run) -> Vec<Value> {
    let mut users = run.users();
    users.iter_mut().for_each(drop_times);
    users
}

fn drop_times(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| name == "opened_venue_at" || !(name == "at" || name.ends_with("_at")));
            fields.values_mut().for_each(drop_times);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_times),
        _ => {}
    }
}

/// Where the real data is, if it is there.
fn real_data() -> Option<PathBuf> {
    let asked = std::env::var_os("COINBITCLUB_DATA").map(PathBuf::from);
    asked.or_else(|| Some(root().parent()?.join("shared/data"))).filter(|dir| dir.is_dir())
}

fn real_runs(data: &Path, file: &str, funding: Option<&str>, users: u32) -> [Run; 3] {
    let funding = funding.map(|name| data.join(name));
    [1, 2, 3].map(|shards| play(&data.join(file), funding.as_deref(), users, shards))
}

#[test]
fn real_prices_agree_to_the_last_unit() {
    let Some(data) = real_data() else {
        println!("no real data here (COINBITCLUB_DATA or ../shared/data): the small markets stand for it");
        return;
    };
    let rates = Some("xrpusdt-funding-8h-2021.csv");
    same_everywhere(&real_runs(&data, "btcusdt-5m-2023-01.csv", None, 1_000), &["TAKE_PROFIT"]);
    same_everywhere(&real_runs(&data, "xrpusdt-5m-2021-11.csv", rates, 1_000), &["STOP_LOSS"]);
    same_everywhere(&real_runs(&data, "ethusdt-trades-2023-02-02.csv", None, USERS), &["SIGNAL"]);
}

/// Real prices again, from other moments on: other levels come first, other rates of funding apply, or the file ends
/// before either.
#[test]
fn real_prices_agree_from_other_starts() {
    let Some(data) = real_data() else { return };
    let rates = data.join("xrpusdt-funding-8h-2021.csv");
    let bitcoin = starts(&data.join("btcusdt-5m-2023-01.csv"), None, 1_000, 2_000);
    let ripple = starts(&data.join("xrpusdt-5m-2021-11.csv"), Some(&rates), 870, 250);
    for (name, runs) in [("bitcoin", &bitcoin), ("ripple", &ripple)] {
        for reason in ["TAKE_PROFIT", "STOP_LOSS"] {
            let times: u64 = runs.iter().filter_map(|run| run.report["closed"][reason].as_u64()).sum();
            assert!(times > 0, "{reason} does not happen on {name}");
        }
    }
    // The rates of the file are not the default, and it is they that were settled.
    let last = ripple.last().expect("a run");
    let without = play(&last.prices, None, USERS, 2);
    assert_ne!(last.report["funding"], without.report["funding"]);
}

/// Plays stretches of 2 000 rows that begin at `first` and every so many rows after it.
fn starts(file: &Path, funding: Option<&Path>, first: usize, every: usize) -> Vec<Run> {
    let text = std::fs::read_to_string(file).expect("a price file");
    let (header, rows) = text.split_once('\n').expect("a header");
    let rows: Vec<&str> = rows.lines().collect();
    let symbol = file.file_name().and_then(|name| name.to_str()?.split('-').next()).expect("a symbol");
    let dir = tempfile::tempdir().expect("a directory");
    let mut runs = Vec::new();
    for start in (first..rows.len()).step_by(every) {
        let part = &rows[start..rows.len().min(start + 2_000)];
        let path = dir.path().join(format!("{symbol}-from-{start}.csv"));
        std::fs::write(&path, format!("{header}\n{}\n", part.join("\n"))).expect("written");
        let run = play(&path, funding, USERS, 2);
        check(&run, &[]);
        runs.push(run);
    }
    runs
}

/// A rule of the recomputation that is changed: the market that shows it, the file, what stands there, what it becomes.
const CHANGES: [(&str, &str, &str, &str); 35] = [
    ("btcusdt-rise", "account.py", r#"FEE_TAKER = units("0.0005")"#, r#"FEE_TAKER = units("0.0004")"#),
    ("btcusdt-rise", "account.py", r#"SHARE = units("0.2")"#, r#"SHARE = units("0.20000001")"#),
    ("btcusdt-rise", "account.py", r#"PREPAID = units("1000")"#, r#"PREPAID = units("999.99999999")"#),
    (
        "btcusdt-rise",
        "account.py",
        "return up(entry * (HUNDRED - percent)",
        "return down(entry * (HUNDRED - percent)",
    ),
    (
        "btcusdt-rise",
        "account.py",
        "return down(entry * (HUNDRED + percent)",
        "return up(entry * (HUNDRED + percent)",
    ),
    (
        "btcusdt-rise",
        "account.py",
        "return up(cost * UNIT * (leverage - 1)",
        "return down(cost * UNIT * (leverage - 1)",
    ),
    ("btcusdt-rise", "account.py", "amount = -times(", "amount = times("),
    ("btcusdt-rise", "account.py", "net = realised - fees + received", "net = realised - fees"),
    (
        "btcusdt-rise",
        "account.py",
        "down(value * mark, mark - stop)",
        "down(value * mark, target_at(mark, 3 * UNIT, 1) - mark)",
    ),
    (
        "btcusdt-rise",
        "account.py",
        "units(user[\"wallet\"]) * value, UNIT) * leverage",
        "units(user[\"wallet\"]) * value * leverage, 2 * UNIT)",
    ),
    ("btcusdt-rise", "market.py", "2 * span // 3", "span // 2"),
    (
        "solusdt-crash",
        "account.py",
        "max(0, min(times(value, FEE_TAKER + FEE_LIQUIDATION), margin + realised))",
        "times(value, FEE_TAKER + FEE_LIQUIDATION)",
    ),
    ("solusdt-crash", "account.py", "margin = up(cost, leverage)", "margin = down(cost, leverage) - 1"),
    ("solusdt-crash", "account.py", "if at <= place", "if at < place"),
    ("solusdt-crash", "market.py", "max(price, bankruptcy)", "price"),
    ("solusdt-crash", "market.py", "if price <= liquidation", "if price < 0"),
    (
        "solusdt-crash",
        "../../docs/paper-venue.md",
        "| SOLUSDT | 0.01 | 0.01 | 1000000 | 40000 | 5 | 100 | 0.005 |",
        "| SOLUSDT | 0.01 | 0.01 | 1000000 | 40000 | 5 | 100 | 0.006 |",
    ),
    ("dogeusdt-windfall", "account.py", "real = min(share, PREPAID)", "real = share"),
    ("avaxusdt-capped", "../../docs/paper-venue.md", "| 500000 | 50000 |", "| 500000 | 50001 |"),
    ("trxusdt-coarse", "account.py", "if not 0 < stop < mark < target", "if not 0 < stop < mark <= target"),
    ("btcusdt-dear", "../../docs/paper-venue.md", "| BTCUSDT | 0.1 | 0.001 |", "| BTCUSDT | 0.1 | 0.0001 |"),
    (
        "xrpusdt-gaps",
        "../../docs/paper-venue.md",
        "| 2000000 | 5 | 100 | 0.005 |",
        "| 2000000 | 0 | 100 | 0.005 |",
    ),
    ("xrpusdt-gaps", "account.py", "opened.time < boundary", "opened.time <= boundary"),
    (
        "xrpusdt-gaps",
        "market.py",
        r#"FUNDING_RATE = units("0.0001")"#,
        r#"FUNDING_RATE = units("0.0001001")"#,
    ),
    ("xrpusdt-gaps", "market.py", "on_tick(opened, tick), False)", "on_tick(opened, tick), True)"),
    ("xrpusdt-gaps", "market.py", "target if continuous else price", "target"),
    ("ethusdt-both", "market.py", "if closed >= opened", "if closed > opened"),
    ("btcusdt-touch", "market.py", "if price <= stop", "if price < stop"),
    ("btcusdt-touch", "market.py", "if price >= target", "if price > target"),
    ("ltcusdt-flat", "market.py", "(2 * price + tick)", "(2 * price + tick - 1)"),
    ("ltcusdt-flat", "market.py", "span - 1)", "span)"),
    ("ethusdt-trades", "market.py", "self.entry = max(", "self.entry = min("),
    ("linkusdt-pause", "market.py", "FUNDING_CATCH_UP = 21", "FUNDING_CATCH_UP = 22"),
    ("linkusdt-pause", "market.py", "// 60_000 * 60_000, units", ", units"),
    ("linkusdt-pause", "units.py", "twice == denominator and floor % 2", "twice == denominator"),
];

#[test]
fn a_changed_rule_is_noticed() {
    let mut played: Option<(&str, Run)> = None;
    for (market, file, from, to) in CHANGES {
        if played.as_ref().is_none_or(|(name, _)| *name != market) {
            played = Some((market, play_small(market, 2)));
        }
        let (_, run) = played.as_ref().expect("it was played");
        let copy = tempfile::tempdir().expect("a directory");
        run::copy_recomputation(copy.path());
        let path = copy.path().join("bench/recompute").join(file);
        let text = std::fs::read_to_string(&path).expect("a file of the recomputation");
        assert_eq!(text.matches(from).count(), 1, "{file} holds it once: {from}");
        std::fs::write(&path, text.replacen(from, to, 1)).expect("written");
        let verdict = run.recompute(copy.path());
        assert!(
            verdict.differs(),
            "{file}: `{to}` for `{from}` is not noticed on {market}:\n{}",
            verdict.text
        );
    }
}

/// Facts of a user whose target was reached, as JSON pointers.
const FACTS: [&str; 23] = [
    "/orders/recent/0/price",
    "/orders/recent/0/reason",
    "/orders/recent/0/side",
    "/orders/recent/1/average_price",
    "/orders/recent/1/fees",
    "/orders/recent/1/filled",
    "/orders/recent/2/state",
    "/orders/recent/2/quantity",
    "/positions/recent/0/close_reason",
    "/positions/recent/0/entry_quantity",
    "/positions/recent/0/fees",
    "/positions/recent/0/funding",
    "/positions/recent/0/liquidation",
    "/positions/recent/0/net",
    "/positions/recent/0/opened_venue_at",
    "/positions/recent/0/stop",
    "/positions/recent/0/take_profit",
    "/ledger/booked",
    "/ledger/entries/0/key",
    "/ledger/entries/1/postings/1/amount",
    "/ledger/entries/3/key",
    "/balances/accounts/0/wallet",
    "/balances/balances/1/balance",
];

#[test]
fn a_changed_fact_is_noticed() {
    let run = play_small("btcusdt-rise", 1);
    let users = run.users();
    let won = |user: &Value| user["positions"]["recent"][0]["close_reason"] == "TAKE_PROFIT";
    let place = users.iter().position(won).expect("somebody won");
    for fact in FACTS {
        let mut changed = users.clone();
        let value = changed[place].pointer_mut(fact).unwrap_or_else(|| panic!("{fact} is in the audit"));
        *value = match &*value {
            Value::Number(number) => Value::from(number.as_u64().expect("a count") + 1),
            Value::Null => Value::from("other"),
            Value::String(text) => Value::from(one_more(text)),
            other => panic!("{fact} is {other}"),
        };
        let verdict = run.recompute_audit(&changed);
        assert!(verdict.differs(), "{fact} is not compared:\n{}", verdict.text);
    }
    // Times of the venue, and the run's totals.
    for (file, from, to) in [
        (&run.log, "venue_at: Timestamp(1700010000000000)", "venue_at: Timestamp(1700010000001000)"),
        (&run.report_path, "\"halted_user\":6", "\"halted_user\":7"),
    ] {
        let text = std::fs::read_to_string(file).expect("it was written");
        assert!(text.contains(from), "{} holds {from}", file.display());
        std::fs::write(file, text.replacen(from, to, 1)).expect("written");
        assert!(run.recompute(&root()).differs(), "{from} is not compared");
        std::fs::write(file, text).expect("written");
    }
}

/// The last unit more, or another word.
fn one_more(text: &str) -> String {
    if !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b'-') {
        return format!("{text}x");
    }
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let last = if part.len() == 8 && part.ends_with('1') { '2' } else { '1' };
    format!("{whole}.{:0<7}{last}", &part[..part.len().min(7)])
}
