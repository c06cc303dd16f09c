//! The paper exchange is taken for the real ones by programs that nobody here wrote, and our connectors send what one of
//! them sends.
//!
//! ccxt, python-binance, binance-futures-connector and pybit, as they come from PyPI, run the scripts of
//! `exchange/tests/clients` against `coinbitclub paper` (docs/paper-exchange.md, Independent clients). `cargo xtask test`
//! installs them and runs this; `--only foreign-clients` for this alone.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod foreign;

use foreign::paper::Paper;
use foreign::{requests, script};

/// A test for each script, with an account of its own on an exchange of its own.
macro_rules! agreed {
    ($($name:ident: $exchange:literal, $python:ident;)*) => {$(
        #[test]
        fn $name() {
            if !foreign::is_installed() {
                return;
            }
            let paper = Paper::start();
            let key = paper.account($exchange);
            let told = script(foreign::$python, concat!(stringify!($name), ".py"), &paper, &key, None);
            assert_eq!(told, ["agreed"]);
        }
    )*};
}

agreed! {
    ccxt_binance_market: "binance", PYTHON;
    ccxt_binance_orders: "binance", PYTHON;
    ccxt_binance_positions: "binance", PYTHON;
    ccxt_binance_streams: "binance", PYTHON;
    ccxt_bybit_market: "bybit", PYTHON;
    ccxt_bybit_orders: "bybit", PYTHON;
    ccxt_bybit_positions: "bybit", PYTHON;
    ccxt_bybit_streams: "bybit", PYTHON;
    connector_orders: "binance", CONNECTOR_PYTHON;
    connector_streams: "binance", CONNECTOR_PYTHON;
    pybit_orders: "bybit", PYTHON;
    pybit_positions: "bybit", PYTHON;
    pybit_streams: "bybit", PYTHON;
    python_binance_orders: "binance", PYTHON;
    python_binance_positions: "binance", PYTHON;
    python_binance_streams: "binance", PYTHON;
}

#[test]
fn our_requests_to_binance_are_those_of_ccxt() {
    if !foreign::is_installed() {
        return;
    }
    requests::compare::<exchange::live::binance::Binance>(&requests::binance::EXCHANGE);
}

#[test]
fn our_requests_to_bybit_are_those_of_ccxt() {
    if !foreign::is_installed() {
        return;
    }
    requests::compare::<exchange::live::bybit::Bybit>(&requests::bybit::EXCHANGE);
}

#[test]
fn every_script_is_run() {
    let names = std::fs::read_dir(foreign::scripts()).unwrap().map(|entry| entry.unwrap().file_name());
    let source = [
        include_str!("foreign_clients.rs"),
        include_str!("foreign/requests/binance.rs"),
        include_str!("foreign/requests/bybit.rs"),
    ]
    .concat();
    for name in names.map(|name| name.into_string().unwrap()) {
        let Some(stem) = name.strip_suffix(".py") else { continue };
        // What the scripts share.
        let is_shared = stem == "paper" || stem.ends_with("_here") || stem == "ccxt_capture";
        assert!(is_shared || source.contains(stem), "{name} is run by nobody");
    }
}

#[test]
fn the_checking_hmac_gives_the_standards_example() {
    // RFC 4231, test case 2.
    assert_eq!(
        foreign::hmac("Jefe", b"what do ya want for nothing?"),
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    );
}
