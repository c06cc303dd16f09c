//! What Bybit's streams tell: log-in, orders, executions, positions, balances, mark prices.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::*;
use engine::core::fixed::{Money, Price, Quantity, Rate};
use engine::core::order::{Liquidity, Side, VenueReason};
use exchange::live::bybit::{Bybit, SUBSCRIBE_MAX};
use exchange::live::protocol::{
    BalanceView, ExecutionView, FailureKind, Maker, MarkView, Millis, OrderView, PositionView, Protocol,
    StreamEvent, Topic, ViewKind, ViewState,
};

fn money(text: &str) -> Money {
    text.parse().unwrap()
}
fn price(text: &str) -> Price {
    text.parse().unwrap()
}
fn quantity(text: &str) -> Quantity {
    text.parse().unwrap()
}

#[test]
fn a_private_stream_logs_in_and_subscribes_to_all() {
    let messages = Bybit::private_login(&credential(), AT);
    let signature = hmac_hex(SECRET, b"GET/realtime1711001605207");
    let login = format!(r#"{{"op":"auth","args":["{KEY}",1711001605207,"{signature}"]}}"#);
    let subscribe = r#"{"op":"subscribe","args":["order","execution","position","wallet"]}"#;
    assert_eq!(messages, [login, subscribe.to_owned()]);
    assert_eq!(Bybit::heartbeat("x").as_deref(), Some(r#"{"op":"ping"}"#));
}

#[test]
fn a_stream_is_ready_with_its_subscription() {
    for (message, expected) in [
        (
            r#"{"success":true,"ret_msg":"","op":"auth","conn_id":"cejreaspqfh3sjdnldmg-p"}"#,
            StreamEvent::Pong,
        ),
        (r#"{"success":true,"ret_msg":"","conn_id":"x","req_id":"","op":"subscribe"}"#, StreamEvent::Ready),
        (r#"{"req_id":"t","op":"pong","args":["1675418560633"],"conn_id":"x"}"#, StreamEvent::Pong),
        (r#"{"success":true,"ret_msg":"pong","conn_id":"x","req_id":"","op":"ping"}"#, StreamEvent::Pong),
    ] {
        assert_eq!(private(message), Ok(vec![expected.clone()]), "{message}");
        assert_eq!(public(message), Ok(vec![expected]), "{message}");
    }
    for (op, text, expected) in [
        ("auth", "Your api key has expired.", FailureKind::UserMustAct),
        ("auth", "Params Error", FailureKind::UserMustAct),
        ("auth", "Request expired, please check your timestamp", FailureKind::Clock),
        ("subscribe", "Request not authorized", FailureKind::Retry),
        ("subscribe", "error:handler not found,topic:tickers.NOUSDT", FailureKind::SymbolGate),
        ("subscribe", "something else", FailureKind::Bug),
        ("", "invalid message", FailureKind::Bug),
    ] {
        let message = format!(r#"{{"success":false,"ret_msg":"{text}","op":"{op}","conn_id":"x"}}"#);
        match private(&message).unwrap().as_slice() {
            [StreamEvent::Refused(failure)] => {
                assert_eq!((failure.kind, failure.text.as_str()), (expected, text))
            }
            other => panic!("{message}: {other:?}"),
        }
    }
    let again = r#"{"success":false,"ret_msg":"error:already subscribed,topic:order","op":"subscribe"}"#;
    assert_eq!(private(again), Ok(vec![StreamEvent::Ready]));
}

const ORDER: &str = r#"{"symbol":"ETHUSDT","orderId":"5cf98598-39a7-459e-97bf-76ca765ee020","side":"Sell",
 "orderType":"Market","cancelType":"UNKNOWN","price":"72.5","qty":"1","orderIv":"","timeInForce":"IOC",
 "orderStatus":"Filled","orderLinkId":"0abc","lastPriceOnCreated":"","reduceOnly":false,"leavesQty":"",
 "leavesValue":"","cumExecQty":"1","cumExecValue":"75","avgPrice":"75","blockTradeId":"","positionIdx":0,
 "cumExecFee":"0.358635","closedPnl":"0","createdTime":"1672364262444","updatedTime":"1672364262457",
 "rejectReason":"EC_NoError","stopOrderType":"","tpslMode":"","triggerPrice":"","takeProfit":"","stopLoss":"",
 "tpTriggerBy":"","slTriggerBy":"","tpLimitPrice":"","slLimitPrice":"","triggerDirection":0,"triggerBy":"",
 "closeOnTrigger":false,"category":"linear","placeType":"price","smpType":"None","smpGroup":0,"smpOrderId":"",
 "feeCurrency":"","cumFeeDetail":{"USDT":"0.358635"}}"#;

/// The order of the sample with these replacements.
fn order_with(changes: &[(&str, &str)]) -> OrderView {
    let mut row = ORDER.to_owned();
    for (from, to) in changes {
        assert!(row.contains(from), "{from}");
        row = row.replace(from, to);
    }
    match event("order", &row) {
        StreamEvent::Order(view) => *view,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_order_of_the_sample() {
    let expected = OrderView {
        client_id: "0abc".to_owned(),
        venue_id: "5cf98598-39a7-459e-97bf-76ca765ee020".to_owned(),
        parent: String::new(),
        became: String::new(),
        symbol: symbol("ETHUSDT"),
        side: Side::Sell,
        kind: ViewKind::Market,
        state: ViewState::Filled,
        reason: None,
        quantity: quantity("1"),
        filled: quantity("1"),
        average: Some(price("75")),
        trigger: None,
        reduce_only: false,
        maker: Maker::Client,
        updated_at: Millis(1_672_364_262_457),
    };
    assert_eq!(order_with(&[]), expected);
}

#[test]
fn every_status_has_its_state() {
    for (status, state) in [
        ("New", ViewState::New),
        ("PartiallyFilled", ViewState::PartiallyFilled),
        ("Untriggered", ViewState::Untriggered),
        ("Triggered", ViewState::Triggered),
        ("Filled", ViewState::Filled),
        ("Rejected", ViewState::Rejected),
        ("Cancelled", ViewState::Cancelled),
        ("PartiallyFilledCanceled", ViewState::Cancelled),
        ("Deactivated", ViewState::Cancelled),
    ] {
        let change = format!(r#""orderStatus":"{status}""#);
        assert_eq!(order_with(&[(r#""orderStatus":"Filled""#, &change)]).state, state, "{status}");
    }
}

#[test]
fn case_p3_a_cancelled_order_keeps_its_fills_and_says_who_ended_it() {
    use VenueReason as R;
    for (cancel, reject, state, reason) in [
        ("CancelByUser", "EC_PerCancelRequest", ViewState::Cancelled, Some(R::Requested)),
        ("UNKNOWN", "EC_PerCancelRequest", ViewState::Cancelled, Some(R::Requested)),
        ("UNKNOWN", "EC_NoError", ViewState::Cancelled, None),
        ("UNKNOWN", "EC_NoImmediateQtyToFill", ViewState::Expired, Some(R::Liquidity)),
        ("UNKNOWN", "EC_ReachMarketPriceLimit", ViewState::Expired, Some(R::Liquidity)),
        ("CancelByReduceOnly", "EC_NoError", ViewState::Expired, Some(R::NothingToReduce)),
        ("CancelByTpSlTsClear", "EC_PerCancelRequest", ViewState::Expired, Some(R::PositionClosed)),
        (
            "CancelByOCOTpCanceledBySlTriggered",
            "EC_PerCancelRequest",
            ViewState::Expired,
            Some(R::PositionClosed),
        ),
        ("CancelByPrepareLiq", "EC_PerCancelRequest", ViewState::Expired, Some(R::Margin)),
        ("CancelAllBeforeLiq", "EC_NoError", ViewState::Expired, Some(R::Margin)),
        ("CancelAllBeforeAdl", "EC_NoError", ViewState::Expired, None),
        ("CancelByAdmin", "EC_NoError", ViewState::Expired, None),
        ("CancelBySettle", "EC_NoError", ViewState::Expired, Some(R::Symbol)),
    ] {
        let view = order_with(&[
            (r#""orderStatus":"Filled""#, r#""orderStatus":"Cancelled""#),
            (r#""cancelType":"UNKNOWN""#, &format!(r#""cancelType":"{cancel}""#)),
            ("EC_NoError", reject),
            (r#""qty":"1""#, r#""qty":"3""#),
        ]);
        assert_eq!((view.state, view.reason), (state, reason), "{cancel} {reject}");
        assert_eq!((view.filled, view.average), (quantity("1"), Some(price("75"))), "{cancel}");
    }
    // Where the mean is not told, the value is.
    let view = order_with(&[
        (r#""orderStatus":"Filled""#, r#""orderStatus":"Cancelled""#),
        (r#""avgPrice":"75""#, r#""avgPrice":"0""#),
        (r#""cumExecQty":"1""#, r#""cumExecQty":"3""#),
    ]);
    assert_eq!(view.average, Some(price("25")));
}

#[test]
fn a_second_filled_in_a_cancel_race_is_the_same_as_the_first() {
    let second = order_with(&[("EC_NoError", "EC_OrigClOrdIDDoesNotExist")]);
    assert_eq!(second, order_with(&[]));
}

#[test]
fn a_refusal_after_the_acknowledgement_says_why() {
    use VenueReason as R;
    for (code, reason) in [
        ("EC_LimitOrderInvalidPrice", Some(R::Price)),
        ("EC_QtyCannotBeZero", Some(R::Quantity)),
        ("EC_DuplicatedClOrdID", Some(R::DuplicateId)),
        ("EC_InvalidSymbolStatus", Some(R::Symbol)),
        ("EC_CancelByOrderValueZero", Some(R::Notional)),
        ("EC_Others", None),
    ] {
        let rejected = (r#""orderStatus":"Filled""#, r#""orderStatus":"Rejected""#);
        let view = order_with(&[rejected, ("EC_NoError", code)]);
        assert_eq!((view.state, view.reason), (ViewState::Rejected, reason), "{code}");
    }
}

#[test]
fn a_trigger_tells_its_kind_its_price_and_its_parent() {
    let kind = |stop: &str, direction: &str, side: &str, reduce_only: &str| {
        order_with(&[
            (r#""stopOrderType":"""#, &format!(r#""stopOrderType":"{stop}""#)),
            (r#""triggerDirection":0"#, &format!(r#""triggerDirection":{direction}"#)),
            (r#""side":"Sell""#, &format!(r#""side":"{side}""#)),
            (r#""reduceOnly":false"#, &format!(r#""reduceOnly":{reduce_only}"#)),
            (r#""orderLinkId":"0abc""#, r#""orderLinkId":"","parentOrderLinkId":"the-entry""#),
            (r#""orderStatus":"Filled""#, r#""orderStatus":"Untriggered""#),
            (r#""triggerPrice":"""#, r#""triggerPrice":"98.50""#),
        ])
    };
    for (stop, direction, side, reduce_only, expected) in [
        ("StopLoss", "2", "Sell", "true", ViewKind::Stop),
        ("PartialStopLoss", "0", "Sell", "true", ViewKind::Stop),
        ("TakeProfit", "1", "Sell", "true", ViewKind::TakeProfit),
        ("PartialTakeProfit", "0", "Buy", "true", ViewKind::TakeProfit),
        ("Stop", "2", "Sell", "true", ViewKind::Stop),
        ("Stop", "1", "Sell", "true", ViewKind::TakeProfit),
        ("Stop", "1", "Buy", "true", ViewKind::Stop),
        ("Stop", "2", "Buy", "true", ViewKind::TakeProfit),
        ("Stop", "2", "Buy", "false", ViewKind::Other),
        ("TrailingStop", "0", "Buy", "true", ViewKind::Other),
        ("UNKNOWN", "0", "Buy", "true", ViewKind::Market),
    ] {
        let view = kind(stop, direction, side, reduce_only);
        assert_eq!(view.kind, expected, "{stop} {direction} {side} {reduce_only}");
        assert_eq!((view.parent.as_str(), view.trigger), ("the-entry", Some(price("98.5"))));
        assert_eq!(view.state, ViewState::Untriggered);
    }
}

const EXECUTION: &str = r#"{"category":"linear","symbol":"XRPUSDT","execFee":"0.005061",
 "execId":"7e2ae69c-4edf-5800-a352-893d52b446aa","execPrice":"0.3374","execQty":"25","execType":"Trade",
 "execValue":"8.435","isMaker":false,"feeRate":"0.0006","tradeIv":"","markIv":"","blockTradeId":"",
 "markPrice":"0.3391","indexPrice":"","underlyingPrice":"","leavesQty":"0",
 "orderId":"f6e324ff-99c2-4e89-9739-3086e47f9381","orderLinkId":"0abc","orderPrice":"0.3207","orderQty":"25",
 "orderType":"Market","stopOrderType":"UNKNOWN","side":"Sell","execTime":"1672364174443","isLeverage":"0",
 "closedSize":"","seq":4688002127,"createType":"CreateByUser","feeCurrency":"USDT","execPnl":"0"}"#;

fn execution_with(changes: &[(&str, &str)]) -> ExecutionView {
    let mut row = EXECUTION.to_owned();
    for (from, to) in changes {
        assert!(row.contains(from), "{from}");
        row = row.replace(from, to);
    }
    match event("execution", &row) {
        StreamEvent::Execution(view) => *view,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_execution_of_the_sample() {
    let expected = ExecutionView {
        trade_id: "7e2ae69c-4edf-5800-a352-893d52b446aa".to_owned(),
        sequence: 4_688_002_127,
        client_id: "0abc".to_owned(),
        venue_id: "f6e324ff-99c2-4e89-9739-3086e47f9381".to_owned(),
        symbol: symbol("XRPUSDT"),
        side: Side::Sell,
        price: price("0.3374"),
        quantity: quantity("25"),
        filled: Some(quantity("25")),
        is_last: Some(true),
        fee: money("0.005061"),
        fee_asset: "USDT".to_owned(),
        liquidity: Liquidity::Taker,
        maker: Maker::Client,
        at: Millis(1_672_364_174_443),
    };
    assert_eq!(execution_with(&[]), expected);
}

#[test]
fn what_is_filled_is_told_only_where_it_is_sure() {
    let filled = |quantity: &str, left: &str| {
        let view = execution_with(&[
            (r#""orderQty":"25""#, &format!(r#""orderQty":"{quantity}""#)),
            (r#""leavesQty":"0""#, &format!(r#""leavesQty":"{left}""#)),
        ]);
        (view.filled.map(|filled| filled.to_string()), view.is_last)
    };
    assert_eq!(filled("100", "60"), (Some("40".to_owned()), Some(false)));
    assert_eq!(filled("100", "0"), (Some("100".to_owned()), Some(true)));
    // Closes all: no quantity of its own. Not told. Less than this very execution.
    for (quantity, left) in [("0", "0"), ("100", ""), ("", ""), ("100", "90"), ("10", "20")] {
        assert_eq!(filled(quantity, left), (None, None), "{quantity} {left}");
    }
}

#[test]
fn case_f5_a_fee_keeps_its_sign_and_its_currency() {
    let view =
        execution_with(&[(r#""execFee":"0.005061""#, r#""execFee":"-0.00000001""#), ("false", "true")]);
    assert_eq!((view.fee, view.liquidity), (money("-0.00000001"), Liquidity::Maker));
    let view = execution_with(&[(r#""feeCurrency":"USDT""#, r#""feeCurrency":"MNT""#)]);
    assert_eq!(view.fee_asset, "MNT");
}

#[test]
fn case_f6_who_made_an_execution_is_told() {
    for (kind, create, maker) in [
        ("Trade", "CreateByUser", Maker::Client),
        ("Trade", "CreateByStopLoss", Maker::Stop),
        ("Trade", "", Maker::Client),
        ("Trade", "CreateByLiq", Maker::Liquidation),
        ("Trade", "CreateByTakeOver_PassThrough", Maker::Liquidation),
        ("BustTrade", "CreateByUser", Maker::Liquidation),
        ("AdlTrade", "CreateByAdl_PassThrough", Maker::Adl),
        ("AdlTrade", "", Maker::Adl),
        ("Settle", "CreateBySettle", Maker::Settlement),
        ("Delivery", "", Maker::Settlement),
        ("BlockTrade", "", Maker::Client),
    ] {
        let view = execution_with(&[
            (r#""execType":"Trade""#, &format!(r#""execType":"{kind}""#)),
            ("CreateByUser", create),
        ]);
        assert_eq!(view.maker, maker, "{kind} {create}");
    }
    // A kind that moves no position tells nothing.
    for kind in ["Dividend", "UNKNOWN", "Unheard"] {
        let row = EXECUTION.replace(r#""execType":"Trade""#, &format!(r#""execType":"{kind}""#));
        let message = format!(r#"{{"topic":"execution","data":[{row}]}}"#);
        assert_eq!(private(&message), Ok(Vec::new()), "{kind}");
    }
}

#[test]
fn case_f3_funding_is_positive_when_it_is_received() {
    // (position, rate of the market, fee that the exchange tells: positive is paid)
    for (side, rate, fee, received) in [
        ("Buy", "0.0001", "0.5", "-0.5"),
        ("Sell", "0.0001", "-0.5", "0.5"),
        ("Buy", "-0.0001", "-0.5", "0.5"),
        ("Sell", "-0.0001", "0.5", "-0.5"),
    ] {
        // The exchange's own rate is that of the market in some samples, and the payer's in others.
        for told in [rate, rate.trim_start_matches('-'), "-0.0001"] {
            let row = EXECUTION
                .replace(r#""execType":"Trade""#, r#""execType":"Funding""#)
                .replace(r#""side":"Sell""#, &format!(r#""side":"{side}""#))
                .replace(r#""feeRate":"0.0006""#, &format!(r#""feeRate":"{told}""#))
                .replace(r#""execFee":"0.005061""#, &format!(r#""execFee":"{fee}""#));
            let StreamEvent::Funding(view) = event("execution", &row) else { panic!("no funding") };
            assert_eq!(view.amount, money(received), "{side} {rate}");
            assert_eq!(view.rate, Some(rate.parse::<Rate>().unwrap()), "{side} {rate} told as {told}");
            assert_eq!((view.symbol, view.mark), (Some(symbol("XRPUSDT")), Some(price("0.3391"))));
        }
    }
}

const POSITION: &str = r#"{"positionIdx":2,"tradeMode":0,"riskId":1,"riskLimitValue":"2000000","symbol":"BTCUSDT",
 "side":"","size":"0","entryPrice":"0","leverage":"10","positionValue":"0","positionBalance":"0",
 "markPrice":"28184.5","positionIM":"0","positionMM":"0","takeProfit":"0","stopLoss":"0","trailingStop":"0",
 "unrealisedPnl":"0","curRealisedPnl":"1.26","cumRealisedPnl":"-25.06579337","sessionAvgPrice":"0",
 "createdTime":"1694402496913","updatedTime":"1697682317038","tpslMode":"Full","liqPrice":"","bustPrice":"",
 "category":"linear","positionStatus":"Normal","adlRankIndicator":0,"autoAddMargin":0,
 "leverageSysUpdatedTime":"","mmrSysUpdatedTime":"","seq":8327597863,"isReduceOnly":false}"#;

#[test]
fn a_position_may_be_flat_without_side_and_its_triggers_empty_or_zero() {
    let flat = PositionView {
        symbol: symbol("BTCUSDT"),
        side: Side::Sell,
        quantity: Quantity::ZERO,
        entry: Price::ZERO,
        leverage: 10,
        stop: None,
        take_profit: None,
        updated_at: Millis(1_697_682_317_038),
    };
    assert_eq!(event("position", POSITION), StreamEvent::Position(flat.clone()));
    let empty = POSITION.replace(r#""stopLoss":"0""#, r#""stopLoss":"""#);
    assert_eq!(event("position.linear", &empty), StreamEvent::Position(flat.clone()));
    let open = POSITION
        .replace(r#""side":"""#, r#""side":"Buy""#)
        .replace(r#""size":"0""#, r#""size":"0.01""#)
        .replace(r#""entryPrice":"0""#, r#""entryPrice":"28184.123456789""#)
        .replace(r#""stopLoss":"0""#, r#""stopLoss":"27600.5""#);
    let expected = PositionView {
        side: Side::Buy,
        quantity: quantity("0.01"),
        entry: price("28184.12345678"),
        stop: Some(price("27600.5")),
        ..flat
    };
    assert_eq!(event("position", &open), StreamEvent::Position(expected));
    // A size without a side is no position.
    let unsided = POSITION.replace(r#""size":"0""#, r#""size":"0.01""#);
    assert!(private(&format!(r#"{{"topic":"position","data":[{unsided}]}}"#)).is_err());
}

#[test]
fn a_wallet_is_a_balance_for_each_coin() {
    let row = r#"{"accountIMRate":"0","totalEquity":"12837.78","totalAvailableBalance":"","coin":[
        {"coin":"USDC","walletBalance":"201.34882644","totalOrderIM":"0","totalPositionIM":"202.99874213","bonus":"0"},
        {"coin":"USDT","walletBalance":"11728.54414904","totalOrderIM":"0","totalPositionIM":"2.72589075","locked":"1"}],
        "accountType":"UNIFIED","accountLTV":"0.017"}"#;
    let message = format!(r#"{{"id":"1","topic":"wallet","creationTime":1700034722104,"data":[{row}]}}"#);
    let balance = |asset: &str, wallet: &str, available: &str| {
        StreamEvent::Balance(BalanceView {
            asset: asset.to_owned(),
            wallet: money(wallet),
            available: Some(money(available)),
            account: None,
        })
    };
    // More is bound than there is: nothing is available, not less than nothing.
    let expected =
        vec![balance("USDC", "201.34882644", "0"), balance("USDT", "11728.54414904", "11724.81825829")];
    assert_eq!(private(&message), Ok(expected));
}

#[test]
fn rows_of_other_categories_are_passed_over() {
    for category in ["spot", "inverse", "option"] {
        for (topic, row) in [("order", ORDER), ("execution", EXECUTION), ("position", POSITION)] {
            let row = row.replace(r#""category":"linear""#, &format!(r#""category":"{category}""#));
            assert_eq!(private(&format!(r#"{{"topic":"{topic}","data":[{row}]}}"#)), Ok(Vec::new()));
        }
    }
    assert_eq!(private(r#"{"topic":"greeks","data":[{"baseCoin":"ETH"}]}"#), Ok(Vec::new()));
    assert_eq!(private(r#"{"topic":"execution.fast","data":[{"symbol":"ETHUSDT"}]}"#), Ok(Vec::new()));
}

#[test]
fn a_row_that_cannot_be_read_hides_no_other() {
    let bad = EXECUTION.replace(r#""execQty":"25""#, r#""execQty":"25.123456789""#);
    let message = format!(r#"{{"topic":"execution","data":[{bad},{EXECUTION},7]}}"#);
    let mut told = 0;
    let error = Bybit::private_read(&message, &mut |_, _| told += 1).unwrap_err();
    assert_eq!((told, error.0.as_str()), (1, "execQty: more than 8 decimal places"));
}

#[test]
fn mark_prices_come_as_snapshot_and_as_delta() {
    let symbols: Vec<_> = (0..23).map(|n| Topic::Mark(symbol(&format!("COIN{n}USDT")))).collect();
    let messages = Bybit::public_subscribe(&symbols);
    let counts: Vec<_> = messages.iter().map(|message| message.matches("tickers.").count()).collect();
    assert_eq!(counts, [10, 10, 3]);
    assert!(counts.iter().all(|count| *count <= SUBSCRIBE_MAX));
    let one = Bybit::public_subscribe(&["BTCUSDT", "币\"USDT"].map(|name| Topic::Mark(symbol(name))));
    assert_eq!(one, [r#"{"op":"subscribe","args":["tickers.BTCUSDT","tickers.币\"USDT"]}"#]);
    assert!(Bybit::public_subscribe(&[]).is_empty());

    let snapshot = r#"{"topic":"tickers.BTCUSDT","type":"snapshot","data":{"symbol":"BTCUSDT","tickDirection":"PlusTick",
        "price24hPcnt":"0.017103","lastPrice":"17216.00","markPrice":"17217.33","indexPrice":"17227.36",
        "fundingRate":"-0.000212","bid1Price":"17215.50"},"cs":24987956059,"ts":1673272861686}"#;
    let mark = MarkView { symbol: symbol("BTCUSDT"), mark: price("17217.33"), at: Millis(1_673_272_861_686) };
    assert_eq!(public(snapshot), Ok(vec![StreamEvent::Mark(mark)]));
    let delta = r#"{"topic":"tickers.BTCUSDT","type":"delta","data":{"symbol":"BTCUSDT","markPrice":"17218"},"ts":1673272861687}"#;
    let mark = MarkView { mark: price("17218"), at: Millis(1_673_272_861_687), ..mark };
    assert_eq!(public(delta), Ok(vec![StreamEvent::Mark(mark)]));
    let without = r#"{"topic":"tickers.BTCUSDT","type":"delta","data":{"symbol":"BTCUSDT","bid1Price":"1"},"ts":1673272861688}"#;
    assert_eq!(public(without), Ok(Vec::new()));
    assert_eq!(public(r#"{"topic":"publicTrade.BTCUSDT","data":[]}"#), Ok(Vec::new()));
}
