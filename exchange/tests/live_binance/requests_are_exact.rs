//! Each question becomes exactly these bytes, signed over exactly these bytes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::{
    API_KEY, AT, ID, SECRET, credential, every_ask, executions, hmac, id, market_entry, named, order, place,
    price, quantity, stop, symbol,
};
use engine::core::ids::ClientOrderId;
use engine::core::order::{OrderKind, Side};
use exchange::live::binance::{Binance, KEY_PATH};
use exchange::live::credential::{Credential, KeyKind};
use exchange::live::protocol::{Ask, Group, HttpCall, Millis, PositionMode, Protocol};

const WINDOW: &str = "recvWindow=5000&timestamp=1591702613943";

fn call(ask: &Ask) -> HttpCall {
    let call = Binance::request(ask, Some(&credential()), AT);
    assert!(call.body.is_empty(), "parameters are in the query only");
    call
}

/// A signed request of these parameters, to which window, time and signature are added.
#[track_caller]
fn check_signed(ask: &Ask, method: &str, path: &str, params: &str) {
    let call = call(ask);
    let signed = if params.is_empty() { WINDOW.to_owned() } else { format!("{params}&{WINDOW}") };
    let target = format!("{path}?{signed}&signature={}", hmac(SECRET, &signed));
    assert_eq!((call.method, call.target.as_str()), (method, target.as_str()));
    assert_eq!(call.headers, [("X-MBX-APIKEY", API_KEY.to_owned())]);
}

#[test]
fn the_checking_hmac_gives_the_makers_example() {
    let message = "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC&recvWindow=5000&timestamp=1591702613943";
    assert_eq!(hmac(SECRET, message), "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9");
}

#[test]
fn the_id_of_an_order_is_sent_as_it_is() {
    assert_eq!(id().to_string(), ID);
}

#[test]
fn a_market_entry_is_these_bytes() {
    // The signature was computed with another program.
    assert_eq!(
        call(&market_entry()).target,
        "/fapi/v1/order?symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.015\
         &newClientOrderId=0000000000C0000001000000000070E0&newOrderRespType=ACK&recvWindow=5000\
         &timestamp=1591702613943\
         &signature=f5edd1f857979c1ed3a18919bbe56e312001187f1c9e5c75407d8581283fa239"
    );
    assert_eq!(call(&market_entry()).method, "POST");
}

#[test]
fn new_orders() {
    let limit = OrderKind::Limit(price("42088.10"));
    check_signed(
        &place(order(Side::Sell, limit, false), PositionMode::OneWay),
        "POST",
        "/fapi/v1/order",
        &format!(
            "symbol=BTCUSDT&side=SELL&type=LIMIT&timeInForce=GTC&quantity=0.015&price=42088.1&newClientOrderId={ID}&newOrderRespType=ACK"
        ),
    );
    check_signed(
        &stop(),
        "POST",
        "/fapi/v1/algoOrder",
        &format!(
            "algoType=CONDITIONAL&symbol=BTCUSDT&side=SELL&type=STOP_MARKET&triggerPrice=41000.5&workingType=MARK_PRICE&closePosition=true&clientAlgoId={ID}&newOrderRespType=ACK"
        ),
    );
    check_signed(
        &place(order(Side::Buy, OrderKind::TakeProfitMarket(price("0.0000095")), true), PositionMode::Hedge),
        "POST",
        "/fapi/v1/algoOrder",
        &format!(
            "algoType=CONDITIONAL&symbol=BTCUSDT&side=BUY&positionSide=SHORT&type=TAKE_PROFIT_MARKET&triggerPrice=0.0000095&workingType=MARK_PRICE&closePosition=true&clientAlgoId={ID}&newOrderRespType=ACK"
        ),
    );
}

#[test]
fn cancels_and_queries() {
    let plain = format!("symbol=BTCUSDT&origClientOrderId={ID}");
    let algo = format!("clientAlgoId={ID}");
    check_signed(&Ask::Cancel(named(false)), "DELETE", "/fapi/v1/order", &plain);
    check_signed(&Ask::Query(named(false)), "GET", "/fapi/v1/order", &plain);
    check_signed(&Ask::Cancel(named(true)), "DELETE", "/fapi/v1/algoOrder", &algo);
    check_signed(&Ask::Query(named(true)), "GET", "/fapi/v1/algoOrder", &algo);
}

#[test]
fn questions_of_an_account() {
    let none = String::new;
    check_signed(&Ask::OpenOrders(none()), "GET", "/fapi/v1/openOrders", "");
    check_signed(&Ask::OpenTriggers(none()), "GET", "/fapi/v1/openAlgoOrders", "");
    check_signed(&Ask::Positions(none()), "GET", "/fapi/v3/positionRisk", "");
    check_signed(&Ask::Balances, "GET", "/fapi/v3/balance", "");
    check_signed(&Ask::Settings(None), "GET", "/fapi/v1/symbolConfig", "");
    check_signed(&Ask::Settings(Some(symbol("ETHUSDT"))), "GET", "/fapi/v1/symbolConfig", "symbol=ETHUSDT");
    check_signed(&Ask::Account, "GET", "/fapi/v1/accountConfig", "");
    check_signed(&Ask::Key, "GET", KEY_PATH, "");
    check_signed(&Ask::Brackets(String::new()), "GET", "/fapi/v1/leverageBracket", "");
    check_signed(
        &Ask::Funding { since: Millis(1_570_608_000_000), cursor: none() },
        "GET",
        "/fapi/v1/income",
        "incomeType=FUNDING_FEE&startTime=1570608000000&limit=1000",
    );
    check_signed(
        &Ask::Funding { since: Millis(1_570_608_000_000), cursor: "3".to_owned() },
        "GET",
        "/fapi/v1/income",
        "incomeType=FUNDING_FEE&startTime=1570608000000&page=3&limit=1000",
    );
    check_signed(
        &Ask::ForcedOrders { symbol: symbol("BTCUSDT"), since: Millis(1_570_608_000_000) },
        "GET",
        "/fapi/v1/forceOrders",
        "symbol=BTCUSDT&startTime=1570608000000&limit=100",
    );
}

#[test]
fn trades_are_asked_for_by_span_or_by_id_but_never_both() {
    let check = |ask: &Ask, params: &str| check_signed(ask, "GET", "/fapi/v1/userTrades", params);
    let recent = AT.0 - 3_600_000;
    check(&executions(None, recent, ""), &format!("symbol=BTCUSDT&startTime={recent}&limit=1000"));
    check(
        &executions(Some("25851813"), recent, ""),
        &format!("symbol=BTCUSDT&orderId=25851813&startTime={recent}&limit=1000"),
    );
    check(&executions(None, recent, "698760"), "symbol=BTCUSDT&fromId=698760&limit=1000");
    // A span is at most seven days long.
    let (old, end) = (AT.0 - 20 * 86_400_000, AT.0 - 13 * 86_400_000 - 1);
    check(&executions(None, old, ""), &format!("symbol=BTCUSDT&startTime={old}&endTime={end}&limit=1000"));
    let next = end + 1;
    check(
        &executions(None, old, &format!("t{next}")),
        &format!("symbol=BTCUSDT&startTime={next}&endTime={}&limit=1000", next + 7 * 86_400_000 - 1),
    );
    // Nothing is asked for that the exchange does not know any more.
    let begin = AT.0 - 85 * 86_400_000;
    check(
        &executions(None, 0, ""),
        &format!("symbol=BTCUSDT&startTime={begin}&endTime={}&limit=1000", begin + 7 * 86_400_000 - 1),
    );
}

#[test]
fn case_h7_what_changes_something_is_posted() {
    let leverage = Ask::SetLeverage { symbol: symbol("BTCUSDT"), leverage: 20 };
    check_signed(&leverage, "POST", "/fapi/v1/leverage", "symbol=BTCUSDT&leverage=20");
    let isolated = Ask::SetIsolated(symbol("BTCUSDT"));
    check_signed(&isolated, "POST", "/fapi/v1/marginType", "symbol=BTCUSDT&marginType=ISOLATED");
    for ask in every_ask() {
        assert_eq!(call(&ask).method == "GET", !changes(&ask), "{ask:?}");
    }
}

fn changes(ask: &Ask) -> bool {
    (ask.is_write() && !matches!(ask, Ask::Protect { .. }))
        || matches!(ask, Ask::OpenListenKey | Ask::KeepListenKey)
}

#[test]
fn a_listen_key_needs_the_key_but_no_signature() {
    for (ask, method) in [(Ask::OpenListenKey, "POST"), (Ask::KeepListenKey, "PUT")] {
        let call = call(&ask);
        assert_eq!((call.method, call.target.as_str()), (method, "/fapi/v1/listenKey"));
        assert_eq!(call.headers, [("X-MBX-APIKEY", API_KEY.to_owned())]);
    }
}

#[test]
fn public_questions_name_no_key() {
    for (ask, path) in [
        (Ask::Time, "/fapi/v1/time"),
        (Ask::Instruments(String::new()), "/fapi/v1/exchangeInfo"),
        (Ask::Marks, "/fapi/v1/premiumIndex"),
    ] {
        for key in [None, Some(&credential())] {
            let call = Binance::request(&ask, key, AT);
            assert_eq!((call.method, call.target.as_str()), ("GET", path));
            assert!(call.headers.is_empty() && call.body.is_empty());
        }
    }
}

#[test]
fn case_x1_prices_and_quantities_are_exact_decimals() {
    // In binary floating point 0.35 is 0.34999999999999997 and 0.1 + 0.2 is not 0.3.
    let mut order = order(Side::Buy, OrderKind::Limit(price("0.35")), false);
    order.quantity = quantity("0.1").checked_add(quantity("0.2")).unwrap();
    let target = call(&place(order, PositionMode::OneWay)).target;
    assert!(target.contains("&quantity=0.3&price=0.35&"), "{target}");
}

#[test]
fn case_x5_case_x6_no_number_is_written_with_an_exponent() {
    for text in ["0.00000001", "0.00000092", "0.0000095", "92233720368.54775807", "1000000"] {
        let mut order = order(Side::Buy, OrderKind::Limit(price(text)), false);
        order.quantity = quantity(text);
        let ask = place(order, PositionMode::OneWay);
        let target = call(&ask).target;
        assert!(target.contains(&format!("&quantity={text}&price={text}&")), "{target}");
        let message = Binance::trade_message(&ask, &credential(), "1", AT).unwrap();
        assert!(message.contains(&format!(r#""price":"{text}","quantity":"{text}""#)), "{message}");
    }
}

#[test]
fn case_t5_times_are_milliseconds() {
    for ask in every_ask().iter().filter(|ask| call(ask).target.contains("signature=")) {
        let target = call(ask).target;
        assert!(target.contains("timestamp=1591702613943&signature="), "{target}");
    }
}

#[test]
fn case_t6_what_is_signed_is_what_is_sent_percent_encoded() {
    let mut order = order(Side::Buy, OrderKind::Market, false);
    order.symbol = symbol("币安人生USDT");
    check_signed(
        &place(order, PositionMode::OneWay),
        "POST",
        "/fapi/v1/order",
        &format!(
            "symbol=%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9FUSDT&side=BUY&type=MARKET&quantity=0.015&newClientOrderId={ID}&newOrderRespType=ACK"
        ),
    );
    order.symbol = symbol("A@B&c=d");
    let target = call(&place(order, PositionMode::OneWay)).target;
    assert!(target.contains("?symbol=A%40B%26c%3Dd&side="), "{target}");
}

#[test]
fn case_t7_the_signature_is_the_last_parameter_of_every_signed_request() {
    for ask in every_ask() {
        let target = call(&ask).target;
        let Some((before, signature)) = target.split_once("signature=") else { continue };
        let signed = before.split_once('?').unwrap().1.strip_suffix('&').unwrap();
        assert_eq!(signature, hmac(SECRET, signed), "{ask:?}");
    }
}

/// RFC 8410 §10.3 has this key.
const ED25519: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";

#[test]
fn case_t9_a_base64_signature_is_percent_encoded() {
    let key = Credential::new(KeyKind::Ed25519, "key", ED25519).unwrap();
    let mut has_special = false;
    // A signature without '+', '/' and '=' has no need for it: '=' pads each of these.
    for at in 0..8 {
        let call = Binance::request(&Ask::Balances, Some(&key), Millis(1_700_000_000_000 + at));
        let (before, signature) = call.target.split_once("&signature=").unwrap();
        let signed = before.split_once('?').unwrap().1;
        let raw = key.sign(signed.as_bytes());
        let encoded = raw.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        assert_eq!(signature, encoded);
        has_special |= raw.contains('+') || raw.contains('/');
    }
    assert!(has_special);
}

#[test]
fn case_i1_case_i3_case_i4_ids_are_short_and_of_the_allowed_letters() {
    let mut order = order(Side::Buy, OrderKind::Market, false);
    order.id.signal.source.owner.0 = u64::MAX;
    order.id.signal.number = u32::MAX;
    order.id.account.user.0 = u64::MAX;
    order.id.round = ClientOrderId::ROUND_MAX;
    for kind in [OrderKind::Market, OrderKind::StopMarket(price("1"))] {
        order.kind = kind;
        let target = call(&place(order, PositionMode::OneWay)).target;
        let sent = target.split(['?', '&']).find_map(|field| {
            field.strip_prefix("newClientOrderId=").or_else(|| field.strip_prefix("clientAlgoId="))
        });
        let sent = sent.unwrap();
        assert!((1..=36).contains(&sent.len()), "{sent}");
        assert!(sent.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{sent}");
        // What is sent is what is kept, and leads back to the order.
        assert_eq!(ClientOrderId::parse(sent), Some(order.id));
    }
}

fn field(ask: &Ask, name: &str) -> Option<String> {
    let target = call(ask).target;
    let prefix = format!("{name}=");
    target.split(['?', '&']).find_map(|field| field.strip_prefix(&prefix)).map(str::to_owned)
}

#[test]
fn case_h1_the_side_of_the_position_is_named_in_hedge_mode_only() {
    for kind in [
        OrderKind::Market,
        OrderKind::Limit(price("1")),
        OrderKind::StopMarket(price("1")),
        OrderKind::TakeProfitMarket(price("1")),
    ] {
        for (side, closes, want) in [
            (Side::Buy, false, "LONG"),
            (Side::Sell, false, "SHORT"),
            (Side::Sell, true, "LONG"),
            (Side::Buy, true, "SHORT"),
        ] {
            if kind.is_trigger() && !closes {
                continue;
            }
            let order = order(side, kind, closes);
            assert_eq!(field(&place(order, PositionMode::OneWay), "positionSide"), None);
            assert_eq!(field(&place(order, PositionMode::Hedge), "positionSide").as_deref(), Some(want));
        }
    }
}

#[test]
fn case_h8_case_o4_an_exit_can_only_close() {
    for mode in [PositionMode::OneWay, PositionMode::Hedge] {
        for side in [Side::Buy, Side::Sell] {
            for kind in [OrderKind::Market, OrderKind::Limit(price("1"))] {
                let exit = place(order(side, kind, true), mode);
                let entry = place(order(side, kind, false), mode);
                let long = if side == Side::Sell { "LONG" } else { "SHORT" };
                match mode {
                    PositionMode::OneWay => {
                        assert_eq!(field(&exit, "reduceOnly").as_deref(), Some("true"));
                    }
                    // The exchange refuses `reduceOnly` here; the named side does the same.
                    PositionMode::Hedge => {
                        assert_eq!(field(&exit, "reduceOnly"), None);
                        assert_eq!(field(&exit, "positionSide").as_deref(), Some(long));
                    }
                }
                assert_eq!(field(&entry, "reduceOnly"), None);
            }
            for kind in [OrderKind::StopMarket(price("1")), OrderKind::TakeProfitMarket(price("1"))] {
                // Also when the mark is missing: a trigger closes the position as a whole.
                for marked in [true, false] {
                    let trigger = place(order(side, kind, marked), mode);
                    assert_eq!(field(&trigger, "closePosition").as_deref(), Some("true"));
                    assert_eq!(field(&trigger, "quantity"), None);
                    assert_eq!(field(&trigger, "reduceOnly"), None);
                    let long = (mode == PositionMode::Hedge).then_some(if side == Side::Sell {
                        "LONG"
                    } else {
                        "SHORT"
                    });
                    assert_eq!(field(&trigger, "positionSide").as_deref(), long);
                }
            }
        }
    }
}

#[test]
fn case_o11_conditional_orders_know_the_algo_endpoint_only() {
    for kind in [OrderKind::StopMarket(price("1")), OrderKind::TakeProfitMarket(price("1"))] {
        let ask = place(order(Side::Sell, kind, true), PositionMode::OneWay);
        assert!(call(&ask).target.starts_with("/fapi/v1/algoOrder?"));
        let message = Binance::trade_message(&ask, &credential(), "1", AT).unwrap();
        assert!(message.contains(r#""method":"algoOrder.place""#));
    }
    for ask in [Ask::Cancel(named(true)), Ask::Query(named(true))] {
        assert!(call(&ask).target.starts_with("/fapi/v1/algoOrder?clientAlgoId="));
    }
}

#[test]
fn each_question_costs_what_the_maker_says() {
    let costs: Vec<(u32, u32)> =
        every_ask().iter().map(Binance::cost).map(|cost| (cost.address, cost.account)).collect();
    let want = [
        (0, 1), // order
        (0, 1), // algo order
        (1, 0),
        (1, 0), // cancels
        (1, 0),
        (1, 0), // queries
        (40, 0),
        (40, 0), // open orders of all symbols
        (5, 0),
        (5, 0),
        (5, 0),  // positions, balances, trades
        (30, 0), // income
        (20, 0), // forced orders of a symbol
        (5, 0),  // symbol configuration
        (1, 0),
        (1, 0), // leverage, margin type
        (5, 0), // account configuration
        (1, 0), // key
        (1, 0),
        (1, 0), // listen key
        (1, 0),
        (1, 0),
        (1, 0),
        (10, 0), // time, exchange information, brackets, premium index
        (40, 0), // the last 24 hours of all symbols
        (5, 0),  // candles
        (1, 0),  // what Binance does not have
    ];
    assert_eq!(costs, want);
    assert_eq!(Binance::cost(&market_entry()).group, Group::Place);
    assert_eq!(Binance::cost(&Ask::Cancel(named(true))).group, Group::Cancel);
    assert_eq!(Binance::cost(&Ask::SetIsolated(symbol("BTCUSDT"))).group, Group::Configure);
    assert_eq!(Binance::cost(&Ask::Marks).group, Group::Public);
}
