//! Bybit's answers are not trusted: whatever comes is read or refused, and never a panic.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::*;
use exchange::live::bybit::{Bybit, ROWS_MAX};
use exchange::live::protocol::{Ask, FailureKind, Protocol, TEXT_MAX};
use proptest::prelude::*;

/// Reads it by every way there is.
fn read_all(bytes: &[u8]) {
    for ask in every_ask() {
        for status in [200, 400, 403, 503] {
            if let Err(failure) = answer_with(&ask, status, &[], bytes) {
                assert!(failure.text.len() <= TEXT_MAX);
            }
        }
        if let Ok(text) = std::str::from_utf8(bytes) {
            let _ = trade(text, &ask);
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = private(text);
        let _ = public(text);
    }
}

/// JSON of the shapes that are looked for, with values that are not.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("{}".to_owned()),
        Just("[]".to_owned()),
        Just("[{}]".to_owned()),
        "-?[0-9]{1,40}(\\.[0-9]{1,40})?([eE]-?[0-9]{1,6})?",
        "\"-?[0-9.eE+-]{0,40}\"",
        "\"(Buy|Sell|Filled|Cancelled|Trade|Funding|linear|Trading|USDT|1|0|BTCUSDT)\"",
        "\"[^\"\\\\\\x00-\\x1f]{0,300}\"",
        "\"\\\\u[0-9a-f]{4}\"",
    ]
}

fn row() -> impl Strategy<Value = String> {
    const NAMES: &[&str] = &[
        "symbol",
        "side",
        "orderId",
        "orderLinkId",
        "orderStatus",
        "orderType",
        "stopOrderType",
        "cancelType",
        "qty",
        "cumExecQty",
        "cumExecValue",
        "avgPrice",
        "triggerPrice",
        "updatedTime",
        "execId",
        "execQty",
        "execPrice",
        "execFee",
        "execType",
        "execTime",
        "leavesQty",
        "orderQty",
        "seq",
        "feeRate",
        "markPrice",
        "lastPrice",
        "price24hPcnt",
        "turnover24h",
        "contractType",
        "quoteCoin",
        "size",
        "entryPrice",
        "leverage",
        "positionIdx",
        "stopLoss",
        "coin",
        "accountType",
        "settleCoin",
        "status",
        "deliveryTime",
        "priceFilter",
        "lotSizeFilter",
        "leverageFilter",
        "maxLeverage",
        "isLowestRisk",
        "permissions",
        "ips",
        "deadlineDay",
        "expiredAt",
        "timeNano",
        "reasons",
        "category",
        "list",
        "nextPageCursor",
    ];
    proptest::collection::btree_map(proptest::sample::select(NAMES), value(), 0..20).prop_map(|fields| {
        let fields: Vec<_> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", fields.join(","))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        read_all(&bytes);
    }

    #[test]
    fn arbitrary_text_never_panics(text in ".{0,200}") {
        read_all(text.as_bytes());
    }

    #[test]
    fn the_right_shapes_with_wrong_values_never_panic(
        row in row(),
        code in value(),
        topic in "(order|execution|position|wallet|tickers\\.BTCUSDT|x)",
        op in "(auth|pong|subscribe|order\\.create|order\\.cancel|)",
    ) {
        for result in [row.clone(), format!(r#"{{"list":[{row},{row}],"nextPageCursor":"x"}}"#)] {
            read_all(format!(r#"{{"retCode":0,"retMsg":{code},"result":{result},"time":{code}}}"#).as_bytes());
            read_all(format!(r#"{{"retCode":{code},"result":{result}}}"#).as_bytes());
        }
        read_all(format!(r#"{{"topic":"{topic}","ts":{code},"data":[{row}]}}"#).as_bytes());
        read_all(format!(r#"{{"topic":"{topic}","ts":1,"data":{row}}}"#).as_bytes());
        read_all(format!(r#"{{"reqId":"r-1","op":"{op}","retCode":{code},"data":{row},"header":{row}}}"#).as_bytes());
        read_all(format!(r#"{{"op":"{op}","success":false,"ret_msg":{code}}}"#).as_bytes());
    }
}

#[test]
fn depth_and_length_are_bounded() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    read_all(deep.as_bytes());
    read_all(format!(r#"{{"topic":"order","data":{deep}}}"#).as_bytes());
    let rows = vec!["{}"; ROWS_MAX + 1].join(",");
    let failure = list(&Ask::Marks, &rows, "").unwrap_err();
    assert_eq!((failure.kind, failure.text.as_str()), (FailureKind::Unreadable, "list: too long"));
    assert!(private(&format!(r#"{{"topic":"order","data":[{rows}]}}"#)).is_err());
    assert!(list(&Ask::Marks, &vec!["{}"; ROWS_MAX].join(","), "").is_ok());
}

#[test]
fn an_error_says_where_and_never_what() {
    let message = r#"{"topic":"order","data":[{"orderId":"very-private","side":"very-private"}]}"#;
    let error = Bybit::private_read(message, &mut |_, _| {}).unwrap_err();
    assert!(!error.0.contains("very-private"), "{error}");
    let error = Bybit::private_read(r#"{"topic":"very-private"#, &mut |_, _| {}).unwrap_err();
    assert!(!error.0.contains("very-private"), "{error}");
    // Longer than any id of theirs: it is not cut, for a cut id is another id.
    let long = "x".repeat(TEXT_MAX + 1);
    let row = format!(r#"{{"orderId":"{long}","side":"Buy","symbol":"BTCUSDT","orderStatus":"New"}}"#);
    assert!(private(&format!(r#"{{"topic":"order","data":[{row}]}}"#)).is_err());
}
