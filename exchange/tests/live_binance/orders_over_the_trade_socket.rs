//! Orders over the WebSocket API: each message is signed by itself, and each answer finds its question.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::{
    API_KEY, AT, ID, SECRET, credential, every_ask, hmac, market_entry, named, order, place, price, stop,
    symbol,
};
use engine::core::order::{OrderKind, Side};
use exchange::live::binance::Binance;
use exchange::live::credential::{Credential, KeyKind};
use exchange::live::protocol::{
    AccountUse, Answer, Ask, FailureKind, LimitScope, Millis, PositionMode, Protocol, StreamEvent,
    TradeMessage, TradeReply,
};
use serde_json::Value;

fn message(ask: &Ask) -> String {
    Binance::trade_message(ask, &credential(), "r-1", AT).unwrap()
}

#[track_caller]
fn check(ask: &Ask, method: &str, params: &str, signed: &str) {
    let signature = hmac(SECRET, signed);
    let want =
        format!(r#"{{"id":"r-1","method":"{method}","params":{{{params},"signature":"{signature}"}}}}"#);
    assert_eq!(message(ask), want);
}

#[test]
fn messages_are_exact() {
    check(
        &market_entry(),
        "order.place",
        &format!(
            r#""apiKey":"{API_KEY}","newClientOrderId":"{ID}","newOrderRespType":"ACK","quantity":"0.015","recvWindow":5000,"side":"BUY","symbol":"BTCUSDT","timestamp":1591702613943,"type":"MARKET""#
        ),
        &format!(
            "apiKey={API_KEY}&newClientOrderId={ID}&newOrderRespType=ACK&quantity=0.015&recvWindow=5000&side=BUY&symbol=BTCUSDT&timestamp=1591702613943&type=MARKET"
        ),
    );
    check(
        &stop(),
        "algoOrder.place",
        &format!(
            r#""algoType":"CONDITIONAL","apiKey":"{API_KEY}","clientAlgoId":"{ID}","closePosition":"true","newOrderRespType":"ACK","recvWindow":5000,"side":"SELL","symbol":"BTCUSDT","timestamp":1591702613943,"triggerPrice":"41000.5","type":"STOP_MARKET","workingType":"MARK_PRICE""#
        ),
        &format!(
            "algoType=CONDITIONAL&apiKey={API_KEY}&clientAlgoId={ID}&closePosition=true&newOrderRespType=ACK&recvWindow=5000&side=SELL&symbol=BTCUSDT&timestamp=1591702613943&triggerPrice=41000.5&type=STOP_MARKET&workingType=MARK_PRICE"
        ),
    );
    for (ask, method) in
        [(Ask::Cancel(named(false)), "order.cancel"), (Ask::Query(named(false)), "order.status")]
    {
        check(
            &ask,
            method,
            &format!(
                r#""apiKey":"{API_KEY}","origClientOrderId":"{ID}","recvWindow":5000,"symbol":"BTCUSDT","timestamp":1591702613943"#
            ),
            &format!(
                "apiKey={API_KEY}&origClientOrderId={ID}&recvWindow=5000&symbol=BTCUSDT&timestamp=1591702613943"
            ),
        );
    }
    check(
        &Ask::Cancel(named(true)),
        "algoOrder.cancel",
        &format!(r#""apiKey":"{API_KEY}","clientAlgoId":"{ID}","recvWindow":5000,"timestamp":1591702613943"#),
        &format!("apiKey={API_KEY}&clientAlgoId={ID}&recvWindow=5000&timestamp=1591702613943"),
    );
}

#[test]
fn every_message_is_signed_over_its_sorted_parameters() {
    let mut order = order(Side::Buy, OrderKind::Limit(price("0.00000092")), true);
    order.symbol = symbol("币安人生USDT");
    let mut asks = every_ask();
    asks.extend([PositionMode::OneWay, PositionMode::Hedge].map(|mode| place(order, mode)));
    let mut count = 0;
    for ask in &asks {
        let Some(message) = Binance::trade_message(ask, &credential(), "r \"1\"", AT) else { continue };
        let json: Value = serde_json::from_str(&message).unwrap();
        assert_eq!(json["id"], "r \"1\"");
        let mut params = json["params"].as_object().unwrap().clone();
        let signature = params.remove("signature").unwrap();
        let mut pairs: Vec<(String, String)> = params
            .into_iter()
            .map(|(name, value)| {
                let text = match value {
                    Value::String(text) => text,
                    Value::Number(number) => number.to_string(),
                    other => panic!("{other}"),
                };
                (name, text)
            })
            .collect();
        pairs.sort();
        let signed: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(signature.as_str(), Some(hmac(SECRET, &signed.join("&")).as_str()), "{ask:?}");
        count += 1;
    }
    assert_eq!(count, 7, "places, cancels and the query of a plain order");
}

#[test]
fn case_t9_a_base64_signature_stays_as_it_is_in_json() {
    let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----";
    let key = Credential::new(KeyKind::Ed25519, "key", pem).unwrap();
    let message = Binance::trade_message(&Ask::Cancel(named(true)), &key, "1", AT).unwrap();
    let signed = format!("apiKey=key&clientAlgoId={ID}&recvWindow=5000&timestamp=1591702613943");
    assert!(message.contains(&format!(r#""signature":"{}"}}"#, key.sign(signed.as_bytes()))));
}

#[test]
fn there_is_no_log_in_and_no_heartbeat() {
    assert_eq!(Binance::trade_login(&credential(), "1", AT), None);
    assert_eq!(Binance::heartbeat("1"), None);
    assert!(Binance::private_login(&credential(), AT).is_empty());
}

/// Reads an answer to this question, which was asked as `r-1`.
fn reply(ask: &Ask, message: &str) -> TradeReply {
    match Binance::trade_read(message, &|id| (id == "r-1").then_some(ask)).unwrap() {
        TradeMessage::Reply(reply) | TradeMessage::LastReply(reply) => reply,
        TradeMessage::Event(event) => panic!("{event:?}"),
    }
}

const PLACED: &str = r#"{"id":"r-1","status":200,"result":{"orderId":336829446,"symbol":"BTCUSDT","status":"NEW","clientOrderId":"FqEw6cn0vDhrkmfiwLYPeo","price":"42088.00","avgPrice":"0.00","origQty":"0.100","executedQty":"0.000","cumQty":"0.000","cumQuote":"0.00000","timeInForce":"GTC","type":"LIMIT","reduceOnly":false,"closePosition":false,"side":"BUY","positionSide":"BOTH","stopPrice":"0.00","workingType":"CONTRACT_PRICE","priceProtect":false,"origType":"LIMIT","priceMatch":"NONE","selfTradePreventionMode":"NONE","goodTillDate":0,"updateTime":1705385954229},"rateLimits":[{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":2400,"count":17},{"rateLimitType":"ORDERS","interval":"SECOND","intervalNum":10,"limit":300,"count":3},{"rateLimitType":"ORDERS","interval":"MINUTE","intervalNum":1,"limit":1200,"count":9}]}"#;

#[test]
fn an_answer_tells_the_result_and_the_budgets() {
    let read = reply(&market_entry(), PLACED);
    assert_eq!(read.request_id, "r-1");
    assert_eq!(read.result, Ok(Answer::Placed { venue_id: "336829446".to_owned() }));
    assert_eq!(read.used.address, Some(17));
    assert_eq!(read.used.account, Some(AccountUse::Used(3)));
    let Ok(Answer::Order(order)) = reply(&Ask::Query(named(false)), PLACED).result else { panic!() };
    assert_eq!(order.client_id, "FqEw6cn0vDhrkmfiwLYPeo");
    assert_eq!(reply(&Ask::Cancel(named(false)), PLACED).result, Ok(Answer::Done));
}

#[test]
fn an_algo_order_is_answered_with_its_own_id() {
    let message = r#"{"id":"r-1","status":200,"result":{"algoId":3000000000003505,"clientAlgoId":"0Xkl1p621E4EryvufmYre1","algoType":"CONDITIONAL","orderType":"TAKE_PROFIT","symbol":"BTCUSDT","side":"SELL","positionSide":"SHORT","timeInForce":"GTC","quantity":"1.000","algoStatus":"NEW","triggerPrice":"120000.00","price":"160000.00","icebergQuantity":null},"rateLimits":[{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":2400,"count":1}]}"#;
    let read = reply(&stop(), message);
    assert_eq!(read.result, Ok(Answer::Placed { venue_id: "3000000000003505".to_owned() }));
    assert_eq!(read.used.account, None);
}

#[test]
fn refusals_mean_the_same_as_by_rest() {
    let failure = |status: u16, error: &str| {
        let message = format!(r#"{{"id":"r-1","status":{status},"error":{error}}}"#);
        reply(&market_entry(), &message).result.unwrap_err()
    };
    let failed = failure(400, r#"{"code":-1102,"msg":"Mandatory parameter 'quantity' was not sent."}"#);
    assert_eq!((failed.kind, failed.code), (FailureKind::Bug, -1102));
    assert_eq!(
        failure(400, r#"{"code":-2019,"msg":"Margin is insufficient."}"#).kind,
        FailureKind::Refused(engine::core::order::VenueReason::Margin)
    );
    assert_eq!(failure(503, r#"{"code":-1007,"msg":"Timeout"}"#).kind, FailureKind::Unknown);
    assert_eq!(failure(408, r#"{"code":-1007,"msg":"Timeout"}"#).kind, FailureKind::Unknown);
    let banned = r#"{"code":-1003,"msg":"Way too much request weight used; IP banned until 1659146400000.","data":{"serverTime":1659142907531,"retryAfter":1659146400000}}"#;
    assert_eq!(failure(418, banned).kind, FailureKind::Banned { until: Millis(1_659_146_400_000) });
    let limited = r#"{"code":-1003,"msg":"Too much request weight used; current limit is 2400 request weight per 1 MINUTE.","data":{"serverTime":1659142907531,"retryAfter":1659142920000}}"#;
    assert_eq!(
        failure(429, limited).kind,
        FailureKind::Limited { scope: LimitScope::Address, until: Millis(1_659_142_920_000) }
    );
    let orders = r#"{"code":-1015,"msg":"Too many new orders; current limit is 300 orders per 10 SECOND."}"#;
    assert_eq!(
        failure(429, orders).kind,
        FailureKind::Limited { scope: LimitScope::Account, until: Millis(0) }
    );
    // A status of failure without a reason, a success without a result.
    let bare = |status: u16| {
        let message = format!(r#"{{"id":"r-1","status":{status}}}"#);
        reply(&market_entry(), &message).result.unwrap_err().kind
    };
    assert_eq!(bare(500), FailureKind::Unknown);
    assert_eq!(bare(200), FailureKind::Unreadable);
}

#[test]
fn what_answers_no_question_is_told_as_that() {
    let nobody = |message: &str| Binance::trade_read(message, &|_| None);
    // Late: the question was forgotten. The id is told, so that it can be seen to be nobody's.
    let Ok(TradeMessage::Reply(late)) = nobody(PLACED) else { panic!() };
    assert_eq!((late.request_id.as_str(), late.result.unwrap_err().kind), ("r-1", FailureKind::Unreadable));
    // Of the connection as a whole.
    let revoked = r#"{"id":null,"status":401,"error":{"code":-2015,"msg":"Invalid API-key, IP, or permissions for action."}}"#;
    let Ok(TradeMessage::Event(StreamEvent::Refused(failure))) = nobody(revoked) else { panic!() };
    assert_eq!(failure.kind, FailureKind::UserMustAct);
    let shutdown = r#"{"event":{"e":"serverShutdown","E":1770123456789}}"#;
    assert_eq!(nobody(shutdown), Ok(TradeMessage::Event(StreamEvent::Reconnect)));
    let other = r#"{"event":{"e":"somethingNew","E":1}}"#;
    assert_eq!(nobody(other), Ok(TradeMessage::Event(StreamEvent::Pong)));
    assert!(nobody(r#"{"id":null,"status":200,"result":{}}"#).is_err());
    assert!(nobody("{}").is_err());
    assert!(nobody("pong").is_err());
}

#[test]
fn ids_may_be_numbers() {
    let ask = market_entry();
    let message = PLACED.replace(r#""r-1""#, "17");
    let read = Binance::trade_read(&message, &|id| (id == "17").then_some(&ask)).unwrap();
    assert!(matches!(read, TradeMessage::Reply(TradeReply { result: Ok(_), .. })));
}
