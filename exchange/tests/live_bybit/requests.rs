//! What is asked of Bybit, byte for byte, and the signature over exactly those bytes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::*;
use engine::core::fixed::{Price, Quantity};
use engine::core::ids::{ClientOrderId, Leg};
use engine::core::order::{OrderKind, Side};
use exchange::live::bybit::{Bybit, CURSOR_MAX};
use exchange::live::credential::{Credential, KeyKind};
use exchange::live::protocol::{
    Ask, Cost, Group, HttpCall, Millis, Placement, PositionMode, Protection, Protocol,
};

fn header<'a>(call: &'a HttpCall, name: &str) -> &'a str {
    let found: Vec<_> = call.headers.iter().filter(|(header, _)| *header == name).collect();
    assert_eq!(found.len(), 1, "{name} in {call:?}");
    &found[0].1
}

/// What the maker says is signed, from what is sent.
fn signed_bytes(call: &HttpCall) -> Vec<u8> {
    let query = call.target.split_once('?').map_or("", |(_, query)| query);
    let payload = if call.method == "GET" { query.as_bytes() } else { &call.body };
    let mut bytes = header(call, "X-BAPI-TIMESTAMP").as_bytes().to_vec();
    bytes.extend_from_slice(header(call, "X-BAPI-API-KEY").as_bytes());
    bytes.extend_from_slice(header(call, "X-BAPI-RECV-WINDOW").as_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

fn price(text: &str) -> Price {
    text.parse().unwrap()
}

#[test]
fn every_question_has_its_method_and_target() {
    let executions = Ask::Executions {
        symbol: symbol("BTCUSDT"),
        order: Some("a4c1718e".to_owned()),
        since: Millis(1_700_000_000_000),
        cursor: "132766%3A2%2C132766%3A2".to_owned(),
    };
    let realtime = "/v5/order/realtime?category=linear";
    let open = format!("{realtime}&settleCoin=USDT&openOnly=0&orderFilter");
    for (ask, method, target) in [
        (entry(), "POST", "/v5/order/create".to_owned()),
        (Ask::Cancel(order_ref()), "POST", "/v5/order/cancel".to_owned()),
        (Ask::Query(order_ref()), "GET", format!("{realtime}&symbol=BTCUSDT&orderLinkId={ENTRY}")),
        (Ask::OpenOrders(String::new()), "GET", format!("{open}=Order&limit=50")),
        (Ask::OpenTriggers("a b".to_owned()), "GET", format!("{open}=StopOrder&limit=50&cursor=a%20b")),
        (
            Ask::Positions(String::new()),
            "GET",
            "/v5/position/list?category=linear&settleCoin=USDT&limit=200".to_owned(),
        ),
        (Ask::Balances, "GET", "/v5/account/wallet-balance?accountType=UNIFIED".to_owned()),
        (
            executions,
            "GET",
            "/v5/execution/list?category=linear&symbol=BTCUSDT&orderId=a4c1718e&startTime=1700000000000\
             &limit=100&cursor=132766%253A2%252C132766%253A2"
                .to_owned(),
        ),
        (
            Ask::Funding { since: Millis(5), cursor: String::new() },
            "GET",
            "/v5/execution/list?category=linear&execType=Funding&startTime=5&limit=100".to_owned(),
        ),
        (
            Ask::Settings(None),
            "GET",
            "/v5/position/list?category=linear&settleCoin=USDT&limit=200".to_owned(),
        ),
        (
            Ask::Settings(Some(symbol("ETHUSDT"))),
            "GET",
            "/v5/position/list?category=linear&symbol=ETHUSDT".to_owned(),
        ),
        (
            Ask::SetLeverage { symbol: symbol("BTCUSDT"), leverage: 5 },
            "POST",
            "/v5/position/set-leverage".to_owned(),
        ),
        (Ask::SetIsolated(symbol("BTCUSDT")), "POST", "/v5/account/set-margin-mode".to_owned()),
        (Ask::Account, "GET", "/v5/account/info".to_owned()),
        (Ask::Key, "GET", "/v5/user/query-api".to_owned()),
        (Ask::Time, "GET", "/v5/market/time".to_owned()),
        (Ask::OpenListenKey, "GET", "/v5/market/time".to_owned()),
        (Ask::KeepListenKey, "GET", "/v5/market/time".to_owned()),
        (
            Ask::Instruments(String::new()),
            "GET",
            "/v5/market/instruments-info?category=linear&limit=1000".to_owned(),
        ),
        (Ask::Brackets(String::new()), "GET", "/v5/market/risk-limit?category=linear".to_owned()),
        (
            Ask::Brackets("a,b".to_owned()),
            "GET",
            "/v5/market/risk-limit?category=linear&cursor=a%2Cb".to_owned(),
        ),
        (Ask::Marks, "GET", "/v5/market/tickers?category=linear".to_owned()),
    ] {
        let call = request(&ask);
        assert_eq!((call.method, call.target.as_str()), (method, target.as_str()), "{ask:?}");
        assert_eq!(call.body.is_empty(), method == "GET", "{ask:?}");
    }
}

#[test]
fn an_entry_carries_its_triggers_and_case_o14_the_exit_does_not_depend_on_us() {
    let attached = Some(Protection { stop: Some(price("98.5")), take_profit: Some(price("103")) });
    let order = order(Side::Buy, OrderKind::Market, "0.01", false);
    let ask = Ask::Place(Placement { order, mode: PositionMode::OneWay, attached });
    let expected = format!(
        r#"{{"category":"linear","symbol":"BTCUSDT","side":"Buy","orderType":"Market","qty":"0.01","timeInForce":"IOC","positionIdx":0,"orderLinkId":"{ENTRY}","tpslMode":"Full","takeProfit":"103","tpTriggerBy":"MarkPrice","tpOrderType":"Market","stopLoss":"98.5","slTriggerBy":"MarkPrice","slOrderType":"Market"}}"#
    );
    assert_eq!(body(&ask), expected);
}

#[test]
fn case_o4_an_exit_says_reduce_only_and_never_carries_triggers() {
    let attached = Some(Protection { stop: Some(price("98.5")), take_profit: None });
    let order = order(Side::Sell, OrderKind::Limit(price("101.5")), "0.01", true);
    let ask = Ask::Place(Placement { order, mode: PositionMode::OneWay, attached });
    let id = id(Leg::SignalClose);
    let expected = format!(
        r#"{{"category":"linear","symbol":"BTCUSDT","side":"Sell","orderType":"Limit","qty":"0.01","price":"101.5","timeInForce":"GTC","positionIdx":0,"orderLinkId":"{id}","reduceOnly":true}}"#
    );
    assert_eq!(body(&ask), expected);
    assert!(!body(&entry()).contains("reduceOnly"));
}

#[test]
fn a_trigger_by_itself_is_conditional_and_closes_all() {
    let id = id(Leg::SignalClose);
    for (side, word, kind, direction) in [
        (Side::Sell, "Sell", OrderKind::StopMarket(price("98.5")), 2),
        (Side::Buy, "Buy", OrderKind::StopMarket(price("98.5")), 1),
        (Side::Sell, "Sell", OrderKind::TakeProfitMarket(price("98.5")), 1),
        (Side::Buy, "Buy", OrderKind::TakeProfitMarket(price("98.5")), 2),
    ] {
        let ask = place(order(side, kind, "0.01", true));
        let expected = format!(
            r#"{{"category":"linear","symbol":"BTCUSDT","side":"{word}","orderType":"Market","qty":"0","timeInForce":"IOC","positionIdx":0,"orderLinkId":"{id}","reduceOnly":true,"triggerPrice":"98.5","triggerDirection":{direction},"triggerBy":"MarkPrice","closeOnTrigger":true}}"#
        );
        assert_eq!(body(&ask), expected, "{side:?} {kind:?}");
    }
}

#[test]
fn case_h5_the_position_index_is_that_of_the_position_in_hedge_mode() {
    let hedge = |side, reduce_only| {
        let order = order(side, OrderKind::Market, "1", reduce_only);
        body(&Ask::Place(Placement { order, mode: PositionMode::Hedge, attached: None }))
    };
    for (side, reduce_only, index) in
        [(Side::Buy, false, 1), (Side::Sell, false, 2), (Side::Sell, true, 1), (Side::Buy, true, 2)]
    {
        let found = hedge(side, reduce_only).contains(&format!(r#""positionIdx":{index},"#));
        assert!(found, "{side:?} {reduce_only}");
    }
    // The stop of a long in hedge mode belongs to the long.
    let order = order(Side::Sell, OrderKind::StopMarket(price("9")), "1", true);
    let stop = body(&Ask::Place(Placement { order, mode: PositionMode::Hedge, attached: None }));
    assert!(stop.contains(r#""positionIdx":1,"#), "{stop}");
}

#[test]
fn the_rest_of_the_bodies() {
    let protect = |mode, stop, take_profit| {
        let protection = Protection { stop, take_profit };
        body(&Ask::Protect { symbol: symbol("XRPUSDT"), mode, position: Side::Sell, protection })
    };
    assert_eq!(
        protect(PositionMode::Hedge, Some(price("0.6")), Some(price("0.2"))),
        r#"{"category":"linear","symbol":"XRPUSDT","positionIdx":2,"tpslMode":"Full","takeProfit":"0.2","tpTriggerBy":"MarkPrice","tpOrderType":"Market","stopLoss":"0.6","slTriggerBy":"MarkPrice","slOrderType":"Market"}"#
    );
    assert_eq!(
        protect(PositionMode::OneWay, Some(price("0.6")), None),
        r#"{"category":"linear","symbol":"XRPUSDT","positionIdx":0,"tpslMode":"Full","stopLoss":"0.6","slTriggerBy":"MarkPrice","slOrderType":"Market"}"#
    );
    assert_eq!(
        body(&Ask::SetLeverage { symbol: symbol("BTCUSDT"), leverage: 5 }),
        r#"{"category":"linear","symbol":"BTCUSDT","buyLeverage":"5","sellLeverage":"5"}"#
    );
    assert_eq!(body(&Ask::SetIsolated(symbol("BTCUSDT"))), r#"{"setMarginMode":"ISOLATED_MARGIN"}"#);
    let cancel = format!(r#"{{"category":"linear","symbol":"BTCUSDT","orderLinkId":"{ENTRY}"}}"#);
    assert_eq!(body(&Ask::Cancel(order_ref())), cancel);
}

#[test]
fn case_x5_case_x6_case_x1_numbers_are_plain_decimals() {
    for (kind, quantity, expected) in [
        (OrderKind::Limit(price("9.2e-7")), "1e-8", [r#""price":"0.00000092""#, r#""qty":"0.00000001""#]),
        (OrderKind::Limit(price("0.35")), "123456789", [r#""price":"0.35""#, r#""qty":"123456789""#]),
        (OrderKind::Limit(price("1e3")), "0.10", [r#""price":"1000""#, r#""qty":"0.1""#]),
    ] {
        let text = body(&place(order(Side::Buy, kind, quantity, false)));
        expected.iter().for_each(|part| assert!(text.contains(part), "{part} in {text}"));
    }
    let stop = OrderKind::StopMarket(Price::from_units(1));
    let text = body(&place(order(Side::Sell, stop, "1", true)));
    assert!(text.contains(r#""triggerPrice":"0.00000001""#), "{text}");
    let smallest = Quantity::from_units(1);
    assert_eq!(smallest.to_string(), "0.00000001");
}

#[test]
fn case_t8_the_bytes_that_are_sent_are_the_bytes_that_are_signed() {
    for ask in every_ask() {
        let call = request(&ask);
        if call.headers.is_empty() {
            continue;
        }
        assert_eq!(header(&call, "X-BAPI-SIGN"), hmac_hex(SECRET, &signed_bytes(&call)), "{ask:?}");
        assert_eq!(header(&call, "X-BAPI-API-KEY"), KEY);
        // Lower-case hex.
        assert!(header(&call, "X-BAPI-SIGN").bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase()));
        assert_eq!(
            call.method == "POST",
            call.headers.contains(&("Content-Type", "application/json".into()))
        );
    }
    // From Python's hmac, over b"1711001595207XXXXXXXXXX5000accountType=UNIFIED".
    let pinned = "20402a379cd752f94c349818964379bef3f8caca30aba5c4232a68f82bded258";
    assert_eq!(header(&request(&Ask::Balances), "X-BAPI-SIGN"), pinned);
}

#[test]
fn case_t6_a_name_that_needs_encoding_is_signed_as_it_is_sent() {
    let ask = Ask::Settings(Some(symbol("币安人生USDT")));
    let call = request(&ask);
    assert!(call.target.ends_with("&symbol=%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9FUSDT"), "{}", call.target);
    assert_eq!(header(&call, "X-BAPI-SIGN"), hmac_hex(SECRET, &signed_bytes(&call)));
    // In a body it is UTF-8, and what would break out of a JSON text is escaped.
    let leverage = body(&Ask::SetLeverage { symbol: symbol("\"},{\"x\\"), leverage: 5 });
    let read: serde_json::Value = serde_json::from_str(&leverage).unwrap();
    assert_eq!(read["symbol"], "\"},{\"x\\");
}

#[test]
fn case_t9_a_key_signs_as_what_it_is() {
    let pem = include_str!("support/rsa_test_key.pem");
    let rsa = Credential::new(KeyKind::Rsa, KEY, pem).unwrap();
    let call = Bybit::request(&entry(), Some(&rsa), AT);
    let der = base64_of(&pem.lines().filter(|line| !line.starts_with('-')).collect::<String>());
    let pair = ring::signature::RsaKeyPair::from_pkcs8(&der).unwrap();
    let public = ring::signature::UnparsedPublicKey::new(
        &ring::signature::RSA_PKCS1_2048_8192_SHA256,
        pair.public().as_ref(),
    );
    let signature = base64_of(header(&call, "X-BAPI-SIGN"));
    public.verify(&signed_bytes(&call), &signature).unwrap();
    assert!(Bybit::accepts(KeyKind::Hmac) && Bybit::accepts(KeyKind::Rsa));
    assert!(!Bybit::accepts(KeyKind::Ed25519));
}

fn base64_of(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

#[test]
fn case_t3_the_time_is_that_of_sending_and_no_window_helps_a_clock_that_is_ahead() {
    for at in [Millis(0), Millis(1_711_001_595_207), Millis(u64::MAX)] {
        let call = Bybit::request(&Ask::Balances, Some(&credential()), at);
        assert_eq!(header(&call, "X-BAPI-TIMESTAMP"), at.0.to_string());
        assert_eq!(header(&call, "X-BAPI-RECV-WINDOW"), "5000");
    }
    // The same question later is another request: nothing of the signature is kept.
    let sign = |at| header(&Bybit::request(&entry(), Some(&credential()), at), "X-BAPI-SIGN").to_owned();
    assert_ne!(sign(Millis(1)), sign(Millis(2)));
    assert_eq!(sign(Millis(1)), sign(Millis(1)));
}

#[test]
fn public_questions_are_not_signed_and_private_ones_without_a_key_are_requests_all_the_same() {
    for ask in every_ask() {
        let public = Bybit::cost(&ask).group == Group::Public;
        assert_eq!(
            request(&ask).headers.iter().any(|(name, _)| name.starts_with("X-BAPI")),
            !public,
            "{ask:?}"
        );
        let bare = Bybit::request(&ask, None, AT);
        assert_eq!((bare.method, bare.target), (request(&ask).method, request(&ask).target), "{ask:?}");
    }
}

#[test]
fn case_r3_case_r4_each_request_is_one_of_the_address_and_one_of_the_accounts_group() {
    let cost = |group, account| Cost { group, address: 1, account };
    for (ask, expected) in [
        (entry(), cost(Group::Place, 1)),
        (exit(), cost(Group::Place, 1)),
        (Ask::Cancel(order_ref()), cost(Group::Cancel, 1)),
        (Ask::SetLeverage { symbol: symbol("BTCUSDT"), leverage: 5 }, cost(Group::Configure, 1)),
        (Ask::SetIsolated(symbol("BTCUSDT")), cost(Group::Configure, 1)),
        (Ask::Query(order_ref()), cost(Group::Read, 1)),
        (Ask::Balances, cost(Group::Read, 1)),
        (Ask::Time, cost(Group::Public, 0)),
        (Ask::KeepListenKey, cost(Group::Public, 0)),
        (Ask::Marks, cost(Group::Public, 0)),
    ] {
        assert_eq!(Bybit::cost(&ask), expected, "{ask:?}");
    }
    assert!(every_ask().iter().all(|ask| Bybit::cost(ask).address == 1));
}

#[test]
fn case_i1_case_i3_case_i4_the_id_is_sent_as_it_is_and_fits() {
    let sent: serde_json::Value = serde_json::from_str(&body(&entry())).unwrap();
    let text = sent["orderLinkId"].as_str().unwrap();
    assert!(text.len() <= 36 && text.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{text}");
    // No prefix: what comes back decodes to what was sent.
    assert_eq!(ClientOrderId::parse(text), Some(id(Leg::Entry)));
}

#[test]
fn a_cursor_of_any_length_that_is_kept_fits_into_a_request() {
    let cursor = "%".repeat(CURSOR_MAX);
    let call = request(&Ask::Instruments(cursor));
    assert_eq!(
        call.target.len(),
        "/v5/market/instruments-info?category=linear&limit=1000&cursor=".len() + 3 * 1_024
    );
}
