//! A demo run against an independent recomputation in Python (bench/recompute): every fill, fee, funding and profit to the last
//! unit, on small markets made here and, where the real data is present, on real prices; with one, two and three shards.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// Where the real data is, if it is there.
fn real_data() -> Option<PathBuf> {
    let asked = std::env::var_os("COINBITCLUB_DATA").map(PathBuf::from);
    asked.or_else(|| Some(root().parent()?.join("shared/data"))).filter(|dir| dir.is_dir())
}

/// Plays a file and recomputes it. Gives the audit and the report.
fn check(prices: &Path, funding: Option<&Path>, users: u32, shards: u32) -> (String, Value) {
    let dir = tempfile::tempdir().expect("a directory");
    let audit = dir.path().join("audit.jsonl");
    let mut demo = Command::new(env!("CARGO_BIN_EXE_coinbitclub"));
    demo.args(["demo", "--once", "--json", "--listen", "127.0.0.1:0", "--no-pin", "--segment-mib", "4"])
        .args(["--users", &users.to_string(), "--shards", &shards.to_string()])
        .arg("--data")
        .arg(dir.path().join("data"))
        .arg("--market")
        .arg(prices)
        .arg("--audit")
        .arg(&audit);
    let mut python = Command::new("python3");
    python.arg(root().join("bench/recompute/recompute.py")).arg(prices).arg(&audit);
    if let Some(funding) = funding {
        demo.arg("--funding").arg(funding);
        python.arg("--funding").arg(funding);
    }
    let run = demo.output().expect("the demo runs");
    let report = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(run.status.success(), "{report} {}", String::from_utf8_lossy(&run.stderr));
    let verdict = python.output().expect("python3 runs");
    let told = String::from_utf8_lossy(&verdict.stdout).into_owned();
    assert!(verdict.status.success(), "{} on {shards} shards:\n{told}", prices.display());
    println!("{} on {shards} shards: {told}", prices.display());
    let text = std::fs::read_to_string(&audit).expect("the demo wrote it");
    (text, serde_json::from_str(&report).expect("the report is JSON"))
}

/// The parts of an audit that must not depend on the number of shards.
fn outcome(audit: &str) -> Vec<(String, Value)> {
    audit
        .lines()
        .map(|line| {
            let user: Value = serde_json::from_str(line).expect("JSON");
            let positions = user["positions"]["recent"].as_array().cloned().unwrap_or_default();
            let kept = |name: &str| positions.iter().map(|p| p[name].clone()).collect::<Vec<_>>();
            let facts = ["entry_quantity", "realised", "fees", "funding", "net", "close_reason"].map(kept);
            (user["user"].to_string(), serde_json::json!([facts, user["balances"]["balances"]]))
        })
        .collect()
}

fn write(dir: &Path, name: &str, rows: &[&str]) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, rows.join("\n") + "\n").expect("written");
    path
}

const CANDLES: &str = "time_ms,open,high,low,close,volume";

#[test]
fn small_markets_agree_to_the_last_unit() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |n: u64| 1_700_000_000_000 + n * 3_600_000;
    let candle = |n: u64, prices: &str| format!("{},{prices},1", at(n));
    // Up past the nearest targets, then down past every stop, over two boundaries of funding; prices off the tick.
    let mixed: Vec<String> = std::iter::once(CANDLES.to_owned())
        .chain([
            candle(0, "20000.04,20100,19950,20080"),
            candle(1, "20080,20650.333,20050,20600"),
            candle(9, "20600,20610,20400,20420"),
            candle(10, "20420,20840.55,20380,20800"),
            candle(18, "20500,20500,19000,19100"),
        ])
        .collect();
    let mixed = write(dir.path(), "btcusdt-mixed.csv", &mixed.iter().map(String::as_str).collect::<Vec<_>>());
    // A gap through every stop: fills at the price after the gap.
    let gap = [CANDLES.to_owned(), candle(0, "1.2,1.21,1.19,1.2"), candle(1, "1.1,1.11,1.09,1.1")];
    let gap = write(dir.path(), "xrpusdt-gap.csv", &gap.iter().map(String::as_str).collect::<Vec<_>>());
    // Stop and target within one candle: its path decides (low first, for it closes above its open).
    let both = [CANDLES.to_owned(), candle(0, "1500,1501,1499,1500"), candle(1, "1500,1600,1400,1590")];
    let both = write(dir.path(), "ethusdt-both.csv", &both.iter().map(String::as_str).collect::<Vec<_>>());
    let rates = format!("time_ms,funding_rate\n{},0.0003\n{},-0.0021933400000000002\n", at(0) + 17, at(8));
    let funding = dir.path().join("btcusdt-funding.csv");
    std::fs::write(&funding, rates).expect("written");
    let trades: Vec<String> = std::iter::once("time_ms,id,side,price,quantity".to_owned())
        .chain((0..40_u64).map(|n| format!("{},{n},buy,{}.37,1", at(0) + n * 100, 1500 + n * 3 % 70)))
        .collect();
    let trades =
        write(dir.path(), "ethusdt-trades.csv", &trades.iter().map(String::as_str).collect::<Vec<_>>());

    let mut outcomes = Vec::new();
    for shards in 1..=3 {
        let (audit, report) = check(&mixed, Some(&funding), 200, shards);
        for reason in ["TAKE_PROFIT", "STOP_LOSS"] {
            assert!(report["closed"][reason].as_u64() > Some(0), "{reason} happens: {}", report["closed"]);
        }
        outcomes.push(outcome(&audit));
    }
    assert!(
        outcomes[0] == outcomes[1] && outcomes[1] == outcomes[2],
        "results depend on the number of shards"
    );
    check(&mixed, None, 200, 2);
    let (_, report) = check(&gap, None, 100, 2);
    assert_eq!(report["closed"]["STOP_LOSS"].as_u64(), report["eligible"].as_u64());
    check(&both, None, 100, 2);
    check(&trades, None, 100, 2);
}

#[test]
fn real_prices_agree_to_the_last_unit() {
    let Some(data) = real_data() else {
        println!("no real data here (COINBITCLUB_DATA or ../shared/data): the small markets stand for it");
        return;
    };
    let (_, bitcoin) = check(&data.join("btcusdt-5m-2023-01.csv"), None, 1_000, 2);
    assert!(bitcoin["closed"]["TAKE_PROFIT"].as_u64() > Some(0), "{}", bitcoin["closed"]);
    let funding = data.join("xrpusdt-funding-8h-2021.csv");
    let (_, ripple) = check(&data.join("xrpusdt-5m-2021-11.csv"), Some(&funding), 1_000, 2);
    assert!(ripple["closed"]["STOP_LOSS"].as_u64() > Some(0), "{}", ripple["closed"]);
    check(&data.join("ethusdt-trades-2023-02-02.csv"), None, 300, 2);
}
