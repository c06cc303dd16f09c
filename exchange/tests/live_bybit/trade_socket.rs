//! Bybit's order entry over WebSocket: what is sent and what its replies mean.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::*;
use engine::core::order::VenueReason;
use exchange::live::bybit::Bybit;
use exchange::live::protocol::{
    AccountUse, Answer, Ask, FailureKind as K, LimitScope, Millis, Protocol, StreamEvent, TradeMessage,
    TradeReply, Used,
};

#[test]
fn a_trade_socket_logs_in() {
    let signature = hmac_hex(SECRET, b"GET/realtime1711001605207");
    let expected = format!(r#"{{"reqId":"r-0","op":"auth","args":["{KEY}",1711001605207,"{signature}"]}}"#);
    assert_eq!(Bybit::trade_login(&credential(), "r-0", AT), Some(expected));
}

#[test]
fn orders_go_as_by_http_and_the_rest_only_there() {
    let header = r#""header":{"X-BAPI-TIMESTAMP":"1711001595207","X-BAPI-RECV-WINDOW":"5000"}"#;
    for (ask, op) in
        [(entry(), "order.create"), (exit(), "order.create"), (Ask::Cancel(order_ref()), "order.cancel")]
    {
        let expected = format!(r#"{{"reqId":"r-1",{header},"op":"{op}","args":[{}]}}"#, body(&ask));
        assert_eq!(Bybit::trade_message(&ask, &credential(), "r-1", AT), Some(expected));
    }
    let sent = |ask: &Ask| Bybit::trade_message(ask, &credential(), "r-1", AT).is_some();
    let by_socket = every_ask().iter().filter(|ask| sent(ask)).count();
    assert_eq!(by_socket, 3);
}

#[test]
fn case_o4_reduce_only_is_not_lost_on_the_socket() {
    let text = Bybit::trade_message(&exit(), &credential(), "r-1", AT).unwrap();
    let read: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(read["args"][0]["reduceOnly"], true);
}

fn reply(code: i64, text: &str, op: &str, data: &str) -> String {
    format!(
        r#"{{"reqId":"r-1","retCode":{code},"retMsg":"{text}","op":"{op}","data":{data},"header":{{"X-Bapi-Limit":"10","X-Bapi-Limit-Status":"9","X-Bapi-Limit-Reset-Timestamp":"1711001595208","Traceid":"38b7977b430f9bd228f4b19724794dfd","Timenow":"1711001595209"}},"connId":"cnt5leec0hvan15eukcg-2v"}}"#
    )
}

fn replied(message: &str, ask: &Ask) -> TradeReply {
    match trade(message, ask).unwrap() {
        TradeMessage::Reply(reply) => reply,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_reply_finds_its_question_and_tells_the_budget() {
    let data = r#"{"orderId":"a4c1718e-fe53-4659-a118-1f6ecce04ad9","orderLinkId":""}"#;
    let venue_id = "a4c1718e-fe53-4659-a118-1f6ecce04ad9".to_owned();
    let left = AccountUse::Left { left: 9, limit: 10, resets_at: Millis(1_711_001_595_208) };
    let expected = TradeReply {
        request_id: "r-1".to_owned(),
        result: Ok(Answer::Placed { venue_id }),
        used: Used { address: None, account: Some(left) },
    };
    assert_eq!(replied(&reply(0, "OK", "order.create", data), &entry()), expected);
    // A reply that nobody waits for is read by its operation.
    let stray = Bybit::trade_read(&reply(0, "OK", "order.create", data), &|_| None);
    assert_eq!(stray, Ok(TradeMessage::Reply(expected)));
    let cancel = Ask::Cancel(order_ref());
    assert_eq!(replied(&reply(0, "OK", "order.cancel", data), &cancel).result, Ok(Answer::Done));
    let finished = reply(110_008, "Order has been finished or canceled", "order.cancel", "{}");
    assert_eq!(replied(&finished, &cancel).result, Ok(Answer::Done));
    // A success without an order's id: it may have been placed.
    let empty = replied(&reply(0, "OK", "order.create", "{}"), &entry());
    assert_eq!(empty.result.unwrap_err().kind, K::Unreadable);
}

#[test]
fn every_refusal_of_the_socket_has_its_kind() {
    let until = Millis(1_711_001_595_208);
    for (code, text, expected) in [
        (20_006, "reqId is duplicated", K::Duplicate),
        (10_404, "op type is not found", K::Bug),
        (10_429, "System level frequency protection", K::Limited { scope: LimitScope::Address, until }),
        (10_403, "Exceed IP rate limit", K::Limited { scope: LimitScope::Address, until }),
        (10_006, "Too many visits!", K::Limited { scope: LimitScope::Account, until }),
        (20_003, "Too frequent requests", K::Limited { scope: LimitScope::Account, until }),
        (10_016, "Internal server error", K::Unknown),
        (10_000, "Server Timeout", K::Unknown),
        (10_002, "timestamp", K::Clock),
        (110_072, "OrderLinkedID is duplicate", K::Duplicate),
        (110_007, "ab not enough for new order", K::Refused(VenueReason::Margin)),
        (777_777, "never heard of", K::Unknown),
    ] {
        let failure = replied(&reply(code, text, "order.create", "{}"), &entry()).result.unwrap_err();
        assert_eq!((failure.kind, failure.code, failure.text.as_str()), (expected, code, text));
    }
    let zero = "current position is zero, cannot fix reduce-only order qty";
    let flat = replied(&reply(110_017, zero, "order.create", "{}"), &exit());
    assert_eq!(flat.result.unwrap_err().kind, K::Refused(VenueReason::NothingToReduce));
}

#[test]
fn a_restart_answers_its_order_and_asks_for_a_new_connection() {
    match trade(&reply(10_019, "ws trade service is restarting", "order.create", "{}"), &entry()).unwrap() {
        TradeMessage::LastReply(last) => {
            assert_eq!(last.request_id, "r-1");
            // It was not taken: it may go by another connection at once.
            assert_eq!(last.result.unwrap_err().kind, K::Retry);
        }
        other => panic!("{other:?}"),
    }
    for message in [
        r#"{"retCode":10019,"retMsg":"restarting","op":"","connId":"x"}"#,
        r#"{"reqId":"r-0","retCode":10019,"retMsg":"restarting","op":"auth","connId":"x"}"#,
    ] {
        assert_eq!(trade(message, &entry()), Ok(TradeMessage::Event(StreamEvent::Reconnect)), "{message}");
    }
}

#[test]
fn log_in_and_signs_of_life() {
    for (message, expected) in [
        (r#"{"retCode":0,"retMsg":"OK","op":"auth","connId":"cnt5leec0hvan15eukcg-2t"}"#, StreamEvent::Ready),
        (r#"{"retCode":20001,"retMsg":"Repeat auth","op":"auth","connId":"x"}"#, StreamEvent::Ready),
        (
            r#"{"retCode":0,"retMsg":"OK","op":"pong","data":["1711002002529"],"connId":"x"}"#,
            StreamEvent::Pong,
        ),
    ] {
        assert_eq!(trade(message, &entry()), Ok(TradeMessage::Event(expected)), "{message}");
    }
    let refused = r#"{"reqId":"r-0","retCode":10004,"retMsg":"Invalid sign","op":"auth","connId":"x"}"#;
    match trade(refused, &entry()).unwrap() {
        TradeMessage::Event(StreamEvent::Refused(failure)) => {
            assert_eq!((failure.kind, failure.code), (K::UserMustAct, 10_004));
        }
        other => panic!("{other:?}"),
    }
    // Nobody can be told a refusal or a success that names no request.
    let unnamed = r#"{"retCode":10404,"retMsg":"op type is not found","op":"order.x","connId":"x"}"#;
    let event = trade(unnamed, &entry()).unwrap();
    assert!(matches!(event, TradeMessage::Event(StreamEvent::Refused(_))), "{event:?}");
    let nameless = r#"{"retCode":0,"retMsg":"OK","op":"order.create","data":{}}"#;
    assert!(trade(nameless, &entry()).is_err());
}
