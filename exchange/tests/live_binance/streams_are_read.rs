//! The events in the maker's documentation, in the order and with the meaning that the connector relies on.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::{events, money, price, private, quantity, symbol};
use engine::core::order::{Liquidity, Side, VenueReason};
use exchange::live::binance::{Binance, private_path};
use exchange::live::protocol::{
    ExecutionView, FailureKind, FundingView, Maker, Malformed, MarkView, Millis, OrderView, PositionView,
    Protocol, StreamEvent, Topic, ViewKind, ViewState,
};

const ORDER: &str = r#"{"e":"ORDER_TRADE_UPDATE","E":1568879465651,"T":1568879465650,"o":{"s":"BTCUSDT","c":"TEST","S":"SELL","o":"MARKET","f":"GTC","q":"0.003","p":"0","ap":"7100.5","sp":"0","x":"TRADE","X":"PARTIALLY_FILLED","i":8886774,"l":"0.001","z":"0.002","L":"7101.25","N":"USDT","n":"0.0028405","T":1568879465649,"t":10200,"b":"0","a":"9.91","m":false,"R":false,"wt":"CONTRACT_PRICE","ot":"MARKET","ps":"LONG","cp":false,"rp":"0","pP":false,"si":0,"ss":0,"V":"EXPIRE_TAKER","pm":"OPPONENT","gtd":0,"er":"0"}}"#;

fn replaced(replaced: &[(&str, &str)]) -> String {
    replaced.iter().fold(ORDER.to_owned(), |body, (old, new)| {
        assert!(body.contains(old), "{old}");
        body.replace(old, new)
    })
}

fn order_of(events: &[StreamEvent]) -> &OrderView {
    match events.last() {
        Some(StreamEvent::Order(order)) => order,
        other => panic!("{other:?}"),
    }
}

fn execution_of(events: &[StreamEvent]) -> &ExecutionView {
    match &events[0] {
        StreamEvent::Execution(execution) => execution,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_trade_is_told_before_the_order_that_it_changes() {
    let events = events(ORDER);
    assert_eq!(events.len(), 2);
    let want = ExecutionView {
        trade_id: "10200".to_owned(),
        sequence: 10_200,
        client_id: "TEST".to_owned(),
        venue_id: "8886774".to_owned(),
        symbol: symbol("BTCUSDT"),
        side: Side::Sell,
        price: price("7101.25"),
        quantity: quantity("0.001"),
        filled: Some(quantity("0.002")),
        is_last: Some(false),
        fee: money("0.0028405"),
        fee_asset: "USDT".to_owned(),
        liquidity: Liquidity::Taker,
        maker: Maker::Client,
        at: Millis(1_568_879_465_649),
    };
    assert_eq!(execution_of(&events), &want);
    let order = order_of(&events);
    assert_eq!((order.state, order.kind), (ViewState::PartiallyFilled, ViewKind::Market));
    assert_eq!((order.quantity, order.filled), (quantity("0.003"), quantity("0.002")));
    assert_eq!(order.average, Some(price("7100.5")));
}

#[test]
fn the_last_trade_is_marked() {
    let last = events(&replaced(&[("PARTIALLY_FILLED", "FILLED")]));
    assert_eq!(execution_of(&last).is_last, Some(true));
    assert_eq!(order_of(&last).state, ViewState::Filled);
    // A cancel race: the rest was expired together with the last trade.
    let ended = events(&replaced(&[("PARTIALLY_FILLED", "EXPIRED")]));
    assert_eq!(execution_of(&ended).is_last, Some(true));
}

#[test]
fn other_changes_of_an_order_are_no_executions() {
    for (execution, status, state) in [
        ("NEW", "NEW", ViewState::New),
        ("CANCELED", "CANCELED", ViewState::Cancelled),
        ("EXPIRED", "EXPIRED", ViewState::Expired),
        ("EXPIRED", "EXPIRED_IN_MATCH", ViewState::Expired),
        ("AMENDMENT", "NEW", ViewState::New),
    ] {
        let message =
            replaced(&[(r#""x":"TRADE""#, &format!(r#""x":"{execution}""#)), ("PARTIALLY_FILLED", status)]);
        let events = events(&message);
        assert_eq!((events.len(), order_of(&events).state), (1, state), "{status}");
    }
}

#[test]
fn case_p3_a_cancelled_order_keeps_its_fills() {
    let message = replaced(&[(r#""x":"TRADE""#, r#""x":"CANCELED""#), ("PARTIALLY_FILLED", "CANCELED")]);
    let events = events(&message);
    let order = order_of(&events);
    assert_eq!((order.state, order.filled), (ViewState::Cancelled, quantity("0.002")));
    assert_eq!(order.reason, Some(VenueReason::Requested));
}

#[test]
fn why_an_order_expired() {
    let expired = |reason: &str| {
        let message = replaced(&[
            (r#""x":"TRADE""#, r#""x":"EXPIRED""#),
            ("PARTIALLY_FILLED", "EXPIRED"),
            (r#""er":"0""#, &format!(r#""er":"{reason}""#)),
            (r#""o":"MARKET""#, r#""o":"LIMIT""#),
            (r#""ot":"MARKET""#, r#""ot":"LIMIT""#),
        ]);
        let events = events(&message);
        let order = order_of(&events);
        (order.state, order.reason)
    };
    for (reason, want) in [
        ("0", None),
        ("2", Some(VenueReason::Liquidity)),
        ("4", Some(VenueReason::NothingToReduce)),
        ("5", Some(VenueReason::PositionClosed)),
        ("6", Some(VenueReason::PositionClosed)),
        ("7", Some(VenueReason::Symbol)),
        ("9", Some(VenueReason::Liquidity)),
        ("77", None),
    ] {
        assert_eq!(expired(reason), (ViewState::Expired, want), "{reason}");
    }
    assert_eq!(expired("8").0, ViewState::Triggered);
}

#[test]
fn case_f5_a_fee_may_be_paid_in_another_asset() {
    let other = events(&replaced(&[(r#""N":"USDT","n":"0.0028405""#, r#""N":"BNB","n":"0.00000917""#)]));
    let execution = execution_of(&other);
    assert_eq!((execution.fee, execution.fee_asset.as_str()), (money("0.00000917"), "BNB"));
    // Nothing was charged: both fields are left out. A rebate is negative.
    let free = events(&replaced(&[(r#""N":"USDT","n":"0.0028405","#, "")]));
    assert!(execution_of(&free).fee.is_zero() && execution_of(&free).fee_asset.is_empty());
    let rebate = events(&replaced(&[("0.0028405", "-0.0001")]));
    assert_eq!(execution_of(&rebate).fee, money("-0.0001"));
}

#[test]
fn case_f6_the_exchanges_own_orders_are_known_by_their_ids() {
    for (id, execution, maker) in [
        ("autoclose-1568879465651", "CALCULATED", Maker::Liquidation),
        ("adl_autoclose", "TRADE", Maker::Adl),
        ("adl_autoclose-177", "CALCULATED", Maker::Adl),
        ("settlement_autoclose-1787734851782", "CALCULATED", Maker::Settlement),
        ("delivery_autoclose-1787734851782", "CALCULATED", Maker::Settlement),
        ("web_autoclose-x", "TRADE", Maker::Client),
        ("android_kJ3", "TRADE", Maker::Client),
    ] {
        let message = replaced(&[("TEST", id), (r#""x":"TRADE""#, &format!(r#""x":"{execution}""#))]);
        let events = events(&message);
        assert_eq!(execution_of(&events).maker, maker, "{id}");
        assert_eq!(order_of(&events).maker, maker, "{id}");
    }
    let typed = events(&replaced(&[(r#""o":"MARKET""#, r#""o":"LIQUIDATION""#)]));
    assert_eq!(order_of(&typed).maker, Maker::Liquidation);
}

#[test]
fn executions_without_a_trade_id_stay_apart() {
    let message = |filled: &str| {
        events(&replaced(&[
            (r#""x":"TRADE""#, r#""x":"CALCULATED""#),
            (r#""t":10200"#, r#""t":0"#),
            (r#""z":"0.002""#, &format!(r#""z":"{filled}""#)),
        ]))
    };
    let (first, second) = (message("0.001"), message("0.002"));
    assert_ne!(execution_of(&first).trade_id, execution_of(&second).trade_id);
    assert_eq!(execution_of(&first), execution_of(&message("0.001")), "told twice it is the same");
}

#[test]
fn an_event_is_told_as_a_whole_or_not_at_all() {
    for bad in [
        replaced(&[(r#""L":"7101.25""#, r#""L":"x""#)]),
        replaced(&[("PARTIALLY_FILLED", "MELTED")]),
        replaced(&[(r#""z":"0.002""#, r#""z":"0.123456789""#)]),
        replaced(&[(r#""S":"SELL""#, r#""S":"BOTH""#)]),
        replaced(&[(r#""l":"0.001","#, "")]),
    ] {
        let mut count = 0;
        assert!(Binance::private_read(&bad, &mut |_, _| count += 1).is_err(), "{bad}");
        assert_eq!(count, 0);
    }
}

const ALGO: &str = r#"{"e":"ALGO_UPDATE","T":1750515742297,"E":1750515742303,"o":{"caid":"Q5xaq5EGKgXXa0fD7fs0Ip","aid":2148719,"at":"CONDITIONAL","o":"STOP_MARKET","s":"BNBUSDT","S":"SELL","ps":"BOTH","f":"GTE_GTC","q":"0","X":"NEW","ai":"","ap": "0.00000","aq": "0.00000","act": "0","tp":"750","p":"0","V":"EXPIRE_MAKER","wt":"MARK_PRICE","pm":"NONE","cp":true,"pP":false,"R":true,"tt":0,"gtd":0,"rm": ""}}"#;

fn algo(replaced: &[(&str, &str)]) -> OrderView {
    let message = replaced.iter().fold(ALGO.to_owned(), |body, (old, new)| {
        assert!(body.contains(old), "{old}");
        body.replace(old, new)
    });
    order_of(&events(&message)).clone()
}

#[test]
fn case_o7_a_trigger_tells_that_it_is_live() {
    let want = OrderView {
        client_id: "Q5xaq5EGKgXXa0fD7fs0Ip".to_owned(),
        venue_id: "2148719".to_owned(),
        parent: String::new(),
        became: String::new(),
        symbol: symbol("BNBUSDT"),
        side: Side::Sell,
        kind: ViewKind::Stop,
        state: ViewState::Untriggered,
        reason: None,
        quantity: quantity("0"),
        filled: quantity("0"),
        average: None,
        trigger: Some(price("750")),
        reduce_only: true,
        maker: Maker::Client,
        updated_at: Millis(1_750_515_742_297),
    };
    assert_eq!(algo(&[]), want);
}

#[test]
fn a_trigger_ends_in_each_of_its_ways() {
    let state = |state: &str, cause: &str| {
        let read = algo(&[
            (r#""X":"NEW""#, &format!(r#""X":"{state}""#)),
            (r#""rm": """#, &format!(r#""rm":"{cause}""#)),
        ]);
        (read.state, read.reason)
    };
    assert_eq!(state("CANCELED", ""), (ViewState::Cancelled, Some(VenueReason::Requested)));
    assert_eq!(state("EXPIRED", ""), (ViewState::Expired, Some(VenueReason::PositionClosed)));
    assert_eq!(
        state("REJECTED", "Reduce Only reject"),
        (ViewState::Rejected, Some(VenueReason::NothingToReduce))
    );
    assert_eq!(
        state("REJECTED", "Margin is insufficient."),
        (ViewState::Rejected, Some(VenueReason::Margin))
    );
    assert_eq!(state("REJECTED", "Something else"), (ViewState::Rejected, None));
    assert_eq!(state("TRIGGERING", "").0, ViewState::Triggered);
    assert_eq!(state("FINISHED", "").0, ViewState::Expired);
}

#[test]
fn an_order_that_came_of_a_trigger_is_found_either_way() {
    // By the trigger, which names it once it is there …
    let fired = [(r#""X":"NEW""#, r#""X":"TRIGGERED""#), (r#""ai":"""#, r#""ai":"8389765519993""#)];
    let trigger = algo(&fired);
    assert_eq!((trigger.state, trigger.became.as_str()), (ViewState::Triggered, "8389765519993"));
    assert!(!trigger.state.is_final());
    let finished = algo(&[
        (r#""X":"NEW""#, r#""X":"FINISHED""#),
        (r#""ai":"""#, r#""ai":8389765519993"#),
        (r#""aq": "0.00000""#, r#""aq":"0.25""#),
        (r#""ap": "0.00000""#, r#""ap":"749.123456789""#),
    ]);
    assert_eq!((finished.state, finished.filled), (ViewState::Filled, quantity("0.25")));
    assert_eq!((finished.became.as_str(), finished.average), ("8389765519993", Some(price("749.12345678"))));
    // … or by its own client id, where it carries the trigger's; it is of the trigger's kind, and lives.
    let order = events(&replaced(&[
        ("TEST", "Q5xaq5EGKgXXa0fD7fs0Ip"),
        (r#""i":8886774"#, r#""i":8389765519993"#),
        (r#""ot":"MARKET""#, r#""ot":"STOP_MARKET""#),
        (r#""x":"TRADE","X":"PARTIALLY_FILLED""#, r#""x":"NEW","X":"NEW""#),
    ]));
    let order = order_of(&order);
    assert_eq!(
        (order.client_id.as_str(), order.venue_id.as_str()),
        (trigger.client_id.as_str(), trigger.became.as_str())
    );
    assert_eq!((order.kind, order.state), (ViewKind::Stop, ViewState::New));
}

const ACCOUNT: &str = r#"{"e":"ACCOUNT_UPDATE","E":1564745798939,"T":1564745798938,"a":{"m":"ORDER","B":[{"a":"USDT","wb":"122624.12345678","cw":"100.12345678","bc":"50.12345678"},{"a":"BUSD","wb":"1.00000000","cw":"0.00000000","bc":"-49.12345678"}],"P":[{"s":"BTCUSDT","pa":"0","ep":"0.00000","bep":"0","cr":"200","up":"0","mt":"isolated","iw":"0.00000000","ps":"BOTH"},{"s":"BTCUSDT","pa":"20","ep":"6563.66500","bep":"0","cr":"0","up":"2850.21200","mt":"isolated","iw":"13200.70726908","ps":"LONG"},{"s":"BTCUSDT","pa":"-10","ep":"6563.86000","bep":"6563.6","cr":"-45.04000000","up":"-1423.15600","mt":"isolated","iw":"6570.42511771","ps":"SHORT"}]}}"#;

fn positions(message: &str) -> Vec<PositionView> {
    events(message)
        .into_iter()
        .filter_map(|event| match event {
            StreamEvent::Position(position) => Some(position),
            _ => None,
        })
        .collect()
}

#[test]
fn case_h1_an_account_tells_positions_of_both_modes() {
    let hedged = positions(ACCOUNT);
    let told: Vec<_> = hedged.iter().map(|p| (p.side, p.quantity, p.entry)).collect();
    // The flat net row beside them would say that the long is gone.
    assert_eq!(
        told,
        [(Side::Buy, quantity("20"), price("6563.665")), (Side::Sell, quantity("10"), price("6563.86"))]
    );
    assert_eq!(hedged[0].updated_at, Millis(1_564_745_798_938));
    let one = |amount: &str, side: &str| {
        let row = format!(r#"{{"s":"BTCUSDT","pa":"{amount}","ep":"1","ps":"{side}"}}"#);
        let read =
            positions(&format!(r#"{{"e":"ACCOUNT_UPDATE","T":1,"a":{{"B":[],"P":[{row}],"m":"ORDER"}}}}"#));
        (read[0].side, read[0].quantity)
    };
    assert_eq!(one("-0.5", "BOTH"), (Side::Sell, quantity("0.5")));
    assert_eq!(one("0", "BOTH").1, quantity("0"));
    assert_eq!(one("0", "SHORT"), (Side::Sell, quantity("0")), "a flat short is still the short");
    let balances =
        events(ACCOUNT).into_iter().filter(|event| matches!(event, StreamEvent::Balance(_))).count();
    assert_eq!(balances, 2);
}

fn funding(message: &str) -> Vec<FundingView> {
    events(message)
        .into_iter()
        .filter_map(|event| match event {
            StreamEvent::Funding(funding) => Some(funding),
            _ => None,
        })
        .collect()
}

#[test]
fn case_f3_funding_has_the_sign_of_what_was_received() {
    assert!(funding(ACCOUNT).is_empty(), "an order's changes are no funding");
    for (amount, position) in [("-1.25", "20"), ("1.25", "20"), ("-1.25", "-20"), ("1.25", "-20")] {
        let message = format!(
            r#"{{"e":"ACCOUNT_UPDATE","E":2,"T":1570636800003,"a":{{"m":"FUNDING_FEE","B":[{{"a":"USDT","wb":"100","cw":"0","bc":"{amount}"}}],"P":[{{"s":"ETHUSDT","pa":"{position}","ep":"1","ps":"BOTH"}}]}}}}"#
        );
        let want = FundingView {
            symbol: Some(symbol("ETHUSDT")),
            amount: money(amount),
            asset: "USDT".to_owned(),
            rate: None,
            mark: None,
            at: Millis(1_570_636_800_003),
        };
        assert_eq!(funding(&message), [want]);
    }
}

#[test]
fn funding_names_a_symbol_only_when_it_is_certain() {
    let message = |rows: &str| {
        let message = format!(
            r#"{{"e":"ACCOUNT_UPDATE","T":1,"a":{{"m":"FUNDING_FEE","B":[{{"a":"USDT","wb":"1","bc":"-1"}},{{"a":"USDC","wb":"1","bc":"0"}}]{rows}}}}}"#
        );
        let told = funding(&message);
        assert_eq!(told.len(), 1, "a balance that did not change got none");
        told[0].symbol
    };
    let row =
        |name: &str, side: &str, amount: &str| format!(r#"{{"s":"{name}","pa":"{amount}","ps":"{side}"}}"#);
    // A crossed position is not named.
    assert_eq!(message(""), None);
    assert_eq!(message(r#","P":[]"#), None);
    let (long, short) = (row("BTCUSDT", "LONG", "1"), row("BTCUSDT", "SHORT", "-1"));
    assert_eq!(message(&format!(r#","P":[{long},{short}]"#)), Some(symbol("BTCUSDT")));
    let other = row("ETHUSDT", "LONG", "1");
    assert_eq!(message(&format!(r#","P":[{long},{other}]"#)), None);
}

#[test]
fn leverage_and_the_end_of_a_stream() {
    let leverage =
        r#"{"e":"ACCOUNT_CONFIG_UPDATE","E":1611646737479,"T":1611646737476,"ac":{"s":"BTCUSDT","l":25}}"#;
    assert_eq!(events(leverage), [StreamEvent::Leverage { symbol: symbol("BTCUSDT"), leverage: 25 }]);
    let assets = r#"{"e":"ACCOUNT_CONFIG_UPDATE","E":1611646737479,"T":1611646737476,"ai":{"j":true}}"#;
    assert!(events(assets).is_empty());
    let expired = r#"{"e":"listenKeyExpired","E":"1736996475556","listenKey":"WsCMN0a4KHUPTQuX6IUnqEZfB1inxmv1qR4kbf1LuEjur5VdbzqvyxqG9TSjVVxv"}"#;
    let key = "WsCMN0a4KHUPTQuX6IUnqEZfB1inxmv1qR4kbf1LuEjur5VdbzqvyxqG9TSjVVxv";
    assert_eq!(private(expired), [(key.to_owned(), StreamEvent::ListenKeyExpired)]);
}

#[test]
fn several_accounts_share_a_connection() {
    for (stream, key) in [
        ("key-a", "key-a"),
        ("key-b", "key-b"),
        ("key-a@ORDER_TRADE_UPDATE", "key-a"),
        ("listenKey=key-b&events=ORDER_TRADE_UPDATE", "key-b"),
    ] {
        let told = private(&format!(r#"{{"stream":"{stream}","data":{ORDER}}}"#));
        assert_eq!(told.len(), 2);
        assert!(told.iter().all(|(told, _)| told == key), "{stream}");
    }
    assert!(private(ORDER).iter().all(|(key, _)| key.is_empty()));
    let expired = r#"{"stream":"key-a","data":{"e":"listenKeyExpired","E":1}}"#;
    assert_eq!(private(expired), [("key-a".to_owned(), StreamEvent::ListenKeyExpired)]);
}

#[test]
fn a_connection_is_opened_for_several_listen_keys() {
    let events = "ORDER_TRADE_UPDATE/ALGO_UPDATE/ACCOUNT_UPDATE/ACCOUNT_CONFIG_UPDATE/listenKeyExpired";
    assert_eq!(
        private_path(&["key-a", "key-b"]),
        format!("/private/stream?listenKey=key-a&events={events}&listenKey=key-b&events={events}")
    );
}

#[test]
fn events_that_say_nothing_new_are_left_out() {
    for message in [
        r#"{"e":"TRADE_LITE","E":1721895408092,"T":1721895408214,"s":"BTCUSDT","q":"0.001","p":"0","m":false,"c":"z8hcUoOsqEdKMeKPSABslD","S":"BUY","L":"64089.20","l":"0.040","t":109100866,"i":8886774}"#,
        r#"{"e":"MARGIN_CALL","E":1587727187525,"cw":"3.16812045","p":[{"s":"ETHUSDT","ps":"LONG","pa":"1.327","mt":"CROSSED","iw":"0","mp":"187.17127","up":"-1.166074","mm":"1.614445"}]}"#,
        r#"{"e":"STRATEGY_UPDATE","T":1669261797627,"E":1669261797628,"su":{"si":176054594}}"#,
        r#"{"e":"GRID_UPDATE","T":1669262908216,"E":1669262908218,"gu":{"si":176057039}}"#,
        r#"{"e":"CONDITIONAL_ORDER_TRIGGER_REJECT","E":1685517224945,"T":1685517224955,"or":{"s":"ETHUSDT","i":155618472834,"r":"Due to the order could not be filled immediately"}}"#,
        r#"{"e":"BRAND_NEW","x":{"whatever":true}}"#,
        r#"{"stream":"key","data":{}}"#,
        "{}",
    ] {
        assert!(private(message).is_empty(), "{message}");
    }
}

#[test]
fn answers_to_subscriptions() {
    assert_eq!(events(r#"{"result":null,"id":1}"#), [StreamEvent::Ready]);
    for refused in [
        r#"{"error":{"code":2,"msg":"Invalid request: unknown stream"},"id":1}"#,
        r#"{"code":-1125,"msg":"This listenKey does not exist."}"#,
    ] {
        assert!(matches!(&events(refused)[..], [StreamEvent::Refused(_)]), "{refused}");
    }
    let StreamEvent::Refused(failure) = &events(r#"{"code":-1125,"msg":""}"#)[0] else { panic!() };
    assert_eq!(failure.kind, FailureKind::NotFound);
}

fn marks(message: &str) -> Result<Vec<StreamEvent>, Malformed> {
    let mut events = Vec::new();
    Binance::public_read(message, &mut |event| events.push(event)).map(|()| events)
}

const MARK: &str = r#"{"e":"markPriceUpdate","E":1562305380000,"s":"BTCUSDT","p":"11794.15000000","ap":"11794.15000000","i":"11784.62659091","P":"11784.25641265","r":"0.00038167","T":1562306400000}"#;

#[test]
fn mark_prices_are_read_in_each_form() {
    let want = StreamEvent::Mark(MarkView {
        symbol: symbol("BTCUSDT"),
        mark: price("11794.15"),
        at: Millis(1_562_305_380_000),
    });
    assert_eq!(marks(MARK), Ok(vec![want.clone()]));
    let wrapped = format!(r#"{{"stream":"btcusdt@markPrice@1s","data":{MARK}}}"#);
    assert_eq!(marks(&wrapped), Ok(vec![want.clone()]));
    let all = format!(r#"{{"stream":"!markPrice@arr@1s","data":[{MARK},{{"e":"markPriceUpdate"}},{MARK}]}}"#);
    assert_eq!(marks(&all), Ok(vec![want.clone(), want.clone()]));
    assert_eq!(marks(&format!("[{MARK}]")), Ok(vec![want]));
    assert_eq!(marks(r#"{"result":null,"id":7}"#), Ok(vec![StreamEvent::Ready]));
    assert_eq!(marks(r#"{"e":"24hrTicker","s":"BTCUSDT"}"#), Ok(vec![]));
}

#[test]
fn case_f9_case_f10_no_price_is_not_a_price_of_zero() {
    assert_eq!(marks(&MARK.replace("11794.15000000", "0.00000000")), Ok(vec![]));
    for bad in ["NaN", "inf", "", "-", "1,5"] {
        assert!(
            marks(&MARK.replace("\"p\":\"11794.15000000\"", &format!("\"p\":\"{bad}\""))).is_err(),
            "{bad}"
        );
    }
}

#[test]
fn subscriptions_are_lower_case_and_bounded() {
    let names = ["BTCUSDT", "1000PEPEUSDT", "币安人生USDT", "İUSDT"].map(|name| Topic::Mark(symbol(name)));
    assert_eq!(
        Binance::public_subscribe(&names),
        [
            r#"{"method":"SUBSCRIBE","params":["btcusdt@markPrice@1s","1000pepeusdt@markPrice@1s","币安人生usdt@markPrice@1s","İusdt@markPrice@1s"],"id":1}"#
        ]
    );
    assert!(Binance::public_subscribe(&[]).is_empty());
    let many: Vec<_> = (0..1024).map(|i| Topic::Mark(symbol(&format!("S{i}USDT")))).collect();
    let messages = Binance::public_subscribe(&many);
    assert_eq!(messages.len(), 11);
    assert!(messages.iter().all(|message| message.len() < 4096));
    let total: usize = messages.iter().map(|message| message.matches("@markPrice@1s").count()).sum();
    assert_eq!(total, 1024);
}
