//! Whatever arrives is read to a value or to a typed error.

use crate::support::{answer_with, every_ask, market_entry};
use exchange::live::binance::Binance;
use exchange::live::protocol::{Protocol, StreamEvent, TEXT_MAX, TradeMessage};
use proptest::prelude::*;

/// Bodies and messages that are right, to be spoilt.
const GOOD: [&str; 13] = [
    r#"{"orderId":7,"clientOrderId":"a","symbol":"BTCUSDT","side":"BUY","status":"NEW","type":"MARKET","origQty":"1","executedQty":"0","avgPrice":"0.00","updateTime":1}"#,
    r#"[{"algoId":7,"clientAlgoId":"a","symbol":"BTCUSDT","side":"BUY","algoStatus":"NEW","orderType":"STOP_MARKET","triggerPrice":"1"}]"#,
    r#"{"code":-1003,"msg":"Way too many requests; IP banned until 1573542836000. Please"}"#,
    r#"[{"symbol":"BTCUSDT","positionSide":"LONG","positionAmt":"1.5","entryPrice":"70.900038636","updateTime":1}]"#,
    r#"[{"commission":"0.1","commissionAsset":"BNB","id":6,"maker":false,"orderId":2,"price":"7","qty":"1","side":"SELL","symbol":"BTCUSDT","time":1}]"#,
    r#"{"symbols":[{"symbol":"BTCUSDT","contractType":"PERPETUAL","quoteAsset":"USDT","status":"TRADING","deliveryDate":1,"filters":[{"filterType":"LOT_SIZE","maxQty":"1","minQty":"1","stepSize":"1"}]}]}"#,
    r#"[{"symbol":"BTCUSDT","priceChangePercent":"-95.960","lastPrice":"4","quoteVolume":"15.3","closeTime":1}]"#,
    r#"{"id":"r-1","status":200,"result":{"orderId":1},"rateLimits":[{"rateLimitType":"ORDERS","interval":"SECOND","intervalNum":10,"limit":300,"count":1}]}"#,
    r#"{"id":"r-1","status":418,"error":{"code":-1003,"msg":"x","data":{"retryAfter":1659146400000}}}"#,
    r#"{"stream":"key","data":{"e":"ORDER_TRADE_UPDATE","E":2,"T":1,"o":{"s":"BTCUSDT","c":"TEST","S":"SELL","o":"MARKET","q":"0.003","ap":"7100.5","sp":"0","x":"TRADE","X":"FILLED","i":8,"l":"0.001","z":"0.002","L":"7101.25","N":"USDT","n":"0.1","T":3,"t":1,"m":false,"R":false,"er":"0"}}}"#,
    r#"{"e":"ALGO_UPDATE","T":1,"E":2,"o":{"caid":"a","aid":2,"o":"STOP_MARKET","s":"BNBUSDT","S":"SELL","q":"0","X":"FINISHED","ai":"7","ap":"1.5","aq":"1","tp":"750","cp":true,"R":false}}"#,
    r#"{"e":"ACCOUNT_UPDATE","E":1,"T":2,"a":{"m":"FUNDING_FEE","B":[{"a":"USDT","wb":"1","bc":"-1"}],"P":[{"s":"BTCUSDT","pa":"-1","ep":"6","ps":"SHORT"}]}}"#,
    r#"{"stream":"!markPrice@arr","data":[{"e":"markPriceUpdate","E":1,"s":"BTCUSDT","p":"11794.15"}]}"#,
];

/// Pieces that readers of numbers, texts and nesting stumble over.
const PIECES: [&str; 20] = [
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "-",
    "1e999",
    "\"\\ud800\"",
    "é",
    "\u{0}",
    "9999999999999999999999",
    "0.000000000000001",
    "true",
    "[[[[[[[[",
    "NaN",
    "\u{202e}",
];

/// Reads the bytes in every way that there is.
fn read_everywhere(bytes: &[u8]) {
    for ask in every_ask() {
        for status in [200, 400, 403, 418, 429, 503] {
            let headers = [("Retry-After", "99"), ("Date", "Tue, 12 Nov 2019 07:13:20 GMT")];
            if let Err(failure) = answer_with(&ask, status, bytes, &headers) {
                assert!(failure.text.len() <= TEXT_MAX);
            }
        }
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (entry, mut told) = (market_entry(), 0_usize);
    match Binance::trade_read(text, &|_| Some(&entry)) {
        Ok(TradeMessage::Reply(reply) | TradeMessage::LastReply(reply)) => {
            assert!(reply.request_id.len() <= text.len());
        }
        Ok(TradeMessage::Event(_)) => {}
        Err(error) => assert!(error.0.len() <= TEXT_MAX),
    }
    let private = Binance::private_read(text, &mut |_, event| {
        told += 1;
        if let StreamEvent::Order(order) = event {
            assert!(order.client_id.len() <= TEXT_MAX);
        }
    });
    assert!(private.is_ok() || told == 0, "as a whole or not at all");
    if let Err(error) = Binance::public_read(text, &mut |_| {}) {
        assert!(error.0.len() <= TEXT_MAX);
    }
}

/// Reads a header's text as the time of an answer.
fn read_headers(date: &str, after: &str) {
    let headers = [("Retry-After", after), ("Date", date)];
    assert!(answer_with(&market_entry(), 429, "", &headers).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        read_everywhere(&bytes);
    }

    #[test]
    fn any_text(text in ".{0,200}") {
        read_everywhere(text.as_bytes());
    }

    #[test]
    fn right_messages_spoilt(
        which in 0..GOOD.len(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0..PIECES.len(), 0_usize..8), 1..4),
    ) {
        let mut bytes = GOOD[which].as_bytes().to_vec();
        for (at, piece, removed) in edits {
            let at = at.index(bytes.len() + 1);
            let end = (at + removed).min(bytes.len());
            bytes.splice(at..end, PIECES[piece].bytes());
        }
        read_everywhere(&bytes);
    }

    #[test]
    fn any_headers(date in ".{0,40}", after in ".{0,24}") {
        read_headers(&date, &after);
    }

    #[test]
    fn dates_of_any_numbers(day in 0_u32..100, year in 0_u32..10_000, hour in 0_u32..100, after in any::<u64>()) {
        read_headers(&format!("Sun, {day:02} Mar {year:04} {hour:02}:59:60 GMT"), &after.to_string());
    }
}

#[test]
fn right_messages_cut_anywhere() {
    for good in GOOD {
        for end in 0..=good.len() {
            read_everywhere(&good.as_bytes()[..end]);
        }
    }
}

#[test]
fn deep_nesting_is_refused() {
    for text in [
        "[".repeat(100_000),
        "{\"data\":".repeat(50_000),
        format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000)),
    ] {
        read_everywhere(text.as_bytes());
    }
}
