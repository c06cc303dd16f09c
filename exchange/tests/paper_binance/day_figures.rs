//! Volumes and the last 24 hours are what the market did, and nothing that is always the same.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::{Paper, answer};
use engine::core::fixed::Quantity;
use serde_json::{Value, json};

const HOUR_MS: u64 = 3_600_000;

fn told(paper: &mut Paper, target: &str) -> Value {
    serde_json::from_str(&answer(paper.raw("GET", target, "", "")).body).unwrap()
}

fn ticker(paper: &mut Paper) -> Value {
    told(paper, "/fapi/v1/ticker/24hr?symbol=BTCUSDT")
}

fn check(row: &Value, want: &[(&str, &str)]) {
    for (name, want) in want {
        assert_eq!(row[name], json!(want), "{name} of {row}");
    }
}

#[test]
fn the_last_24_hours_are_what_the_market_did() {
    let mut paper = Paper::new();
    for price in ["60600", "59400", "60300"] {
        paper.price("BTCUSDT", price);
    }
    let row = ticker(&mut paper);
    let prices =
        [("openPrice", "60000"), ("lastPrice", "60300"), ("highPrice", "60600"), ("lowPrice", "59400")];
    check(&row, &prices);
    check(&row, &[("priceChange", "300"), ("priceChangePercent", "0.5")]);
    // Four prices, each a trade of the smallest quantity: 0.001 of 60000, 60600, 59400 and 60300.
    check(&row, &[("volume", "0.004"), ("quoteVolume", "240.3"), ("weightedAvgPrice", "60075")]);
    assert_eq!((&row["count"], &row["closeTime"]), (&json!(4), &json!(paper.now.millis())));
    assert_eq!(row["openTime"], json!(paper.now.millis() - 24 * HOUR_MS));
    let all = told(&mut paper, "/fapi/v1/ticker/24hr");
    let symbols: Vec<_> = all.as_array().unwrap().iter().map(|row| row["symbol"].clone()).collect();
    assert_eq!(symbols, ["BTCUSDT", "ETHUSDT"], "what never had a price is not told");
    let candles = told(&mut paper, "/fapi/v1/klines?symbol=BTCUSDT&interval=1m");
    check(
        &json!({ "volume": candles[0][5], "turnover": candles[0][7] }),
        &[("volume", "0.004"), ("turnover", "240.3")],
    );
}

#[test]
fn what_is_older_than_24_hours_is_not_of_the_day() {
    let mut paper = Paper::new();
    paper.wait_ms(2 * HOUR_MS);
    paper.price("BTCUSDT", "63000");
    check(&ticker(&mut paper), &[("openPrice", "60000"), ("priceChangePercent", "5"), ("volume", "0.002")]);
    paper.wait_ms(22 * HOUR_MS);
    paper.price("BTCUSDT", "62000");
    // -1000 of 63000, to the third place as Binance tells it.
    check(
        &ticker(&mut paper),
        &[("openPrice", "63000"), ("priceChangePercent", "-1.587"), ("volume", "0.002")],
    );
    paper.wait_ms(25 * HOUR_MS);
    let still = [("openPrice", "62000"), ("priceChange", "0"), ("priceChangePercent", "0"), ("volume", "0")];
    check(&ticker(&mut paper), &still);
}

#[test]
fn trades_that_are_told_add_up_to_the_volume() {
    let mut paper = Paper::new();
    paper.open(1, "/market/ws/btcusdt@aggTrade");
    let before: Quantity = ticker(&mut paper)["volume"].as_str().unwrap().parse().unwrap();
    for price in ["60001", "60002", "60001"] {
        paper.price("BTCUSDT", price);
    }
    let traded = paper
        .texts(1)
        .iter()
        .fold(before, |sum, trade| sum.checked_add(trade["q"].as_str().unwrap().parse().unwrap()).unwrap());
    check(&ticker(&mut paper), &[("volume", &traded.to_string())]);
    assert_eq!(traded.to_string(), "0.004");
}
