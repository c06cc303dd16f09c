//! The answers in the maker's documentation, and what older, newer and odd ones say.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::{
    answer, answer_with, executions, market_entry, money, named, price, quantity, stop, symbol,
};
use engine::core::fixed::{Money, Price, Quantity};
use engine::core::instrument::Brackets;
use engine::core::order::{Liquidity, Side, VenueReason};
use exchange::live::binance::Binance;
use exchange::live::protocol::{
    AccountUse, AccountView, Answer, Ask, BalanceView, BracketView, ExecutionView, FundingView, HttpReply,
    KeyView, Maker, MarkView, Millis, OrderView, PositionMode, Protocol, SettingsView, ViewKind, ViewState,
};

const ORDER: &str = r#"{"avgPrice":"0.00000","clientOrderId":"abc","cumQuote":"0","executedQty":"0","orderId":1917641,"origQty":"0.40","origType":"TRAILING_STOP_MARKET","price":"0","reduceOnly":false,"side":"BUY","positionSide":"SHORT","status":"NEW","stopPrice":"9300","closePosition":false,"symbol":"BTCUSDT","time":1579276756075,"timeInForce":"GTC","type":"TRAILING_STOP_MARKET","activatePrice":"9020","priceRate":"0.3","updateTime":1579276756075,"workingType":"CONTRACT_PRICE","priceProtect":false,"priceMatch":"NONE","selfTradePreventionMode":"NONE","goodTillDate":0}"#;

const ALGO: &str = r#"{"algoId":2146760,"clientAlgoId":"6B2I9XVcJpCjqPAJ4YoFX7","algoType":"CONDITIONAL","orderType":"TAKE_PROFIT","symbol":"BNBUSDT","side":"SELL","positionSide":"BOTH","timeInForce":"GTC","quantity":"0.01","algoStatus":"CANCELED","actualOrderId":"","actualPrice":"0.00000","triggerPrice":"750.000","price":"750.000","icebergQuantity":null,"tpTriggerPrice":"0.000","tpPrice":"0.000","slTriggerPrice":"0.000","slPrice":"0.000","tpOrderType":"","selfTradePreventionMode":"EXPIRE_MAKER","workingType":"CONTRACT_PRICE","priceMatch":"NONE","closePosition":false,"priceProtect":false,"reduceOnly":false,"createTime":1750485492076,"updateTime":1750514545091,"triggerTime":0,"goodTillDate":0}"#;

fn view(ask: &Ask, body: &str) -> OrderView {
    match answer(ask, body) {
        Ok(Answer::Order(view)) => *view,
        other => panic!("{other:?}"),
    }
}

fn plain(status: &str, order_type: &str, executed: &str) -> OrderView {
    let body = ORDER
        .replace(r#""status":"NEW""#, &format!(r#""status":"{status}""#))
        .replace("TRAILING_STOP_MARKET", order_type)
        .replace(r#""executedQty":"0""#, &format!(r#""executedQty":"{executed}""#));
    view(&Ask::Query(named(false)), &body)
}

fn algo(replaced: &[(&str, &str)]) -> OrderView {
    let body = replaced.iter().fold(ALGO.to_owned(), |body, (old, new)| {
        assert!(body.contains(old), "{old}");
        body.replace(old, new)
    });
    view(&Ask::Query(named(true)), &body)
}

#[test]
fn new_orders_and_what_is_merely_done() {
    let ack = r#"{"clientOrderId":"testOrder","cumQty":"0","executedQty":"0","orderId":22542179,"status":"NEW","symbol":"BTCUSDT","updateTime":1566818724722}"#;
    assert_eq!(answer(&market_entry(), ack), Ok(Answer::Placed { venue_id: "22542179".to_owned() }));
    assert_eq!(answer(&stop(), ALGO), Ok(Answer::Placed { venue_id: "2146760".to_owned() }));
    // The ids of the two endpoints are not the same thing.
    assert!(answer(&stop(), ack).is_err());
    assert!(answer(&market_entry(), ALGO).is_err());
    let cancelled =
        r#"{"algoId":2146760,"clientAlgoId":"6B2I9XVcJpCjqPAJ4YoFX7","code":"200","msg":"success"}"#;
    assert_eq!(answer(&Ask::Cancel(named(true)), cancelled), Ok(Answer::Done));
    assert_eq!(answer(&Ask::Cancel(named(false)), ORDER), Ok(Answer::Done));
    let isolated = Ask::SetIsolated(symbol("BTCUSDT"));
    assert_eq!(answer(&isolated, r#"{"code":200,"msg":"success"}"#), Ok(Answer::Done));
    let leverage = Ask::SetLeverage { symbol: symbol("BTCUSDT"), leverage: 21 };
    let told = r#"{"leverage":21,"maxNotionalValue":"1000000","symbol":"BTCUSDT"}"#;
    assert_eq!(answer(&leverage, told), Ok(Answer::Done));
    assert_eq!(answer(&Ask::KeepListenKey, "{}"), Ok(Answer::Done));
}

#[test]
fn case_o13_fields_on_which_nothing_rests_may_be_missing() {
    // Since 2026-07-15 replies tell neither a mean price nor a turnover.
    assert_eq!(
        answer(&market_entry(), r#"{"orderId":"7"}"#),
        Ok(Answer::Placed { venue_id: "7".to_owned() })
    );
    let bare = r#"{"symbol":"BTCUSDT","orderId":7,"side":"SELL","status":"FILLED","type":"MARKET","origQty":"1","executedQty":"1","brandNew":[{}]}"#;
    let read = view(&Ask::Query(named(false)), bare);
    assert_eq!((read.state, read.average, read.client_id.as_str()), (ViewState::Filled, None, ""));
    let bare =
        r#"{"symbol":"BTCUSDT","algoId":7,"side":"SELL","algoStatus":"NEW","orderType":"STOP_MARKET"}"#;
    assert_eq!(view(&Ask::Query(named(true)), bare).state, ViewState::Untriggered);
    // What something rests on may not.
    for field in ["symbol", "orderId", "side", "status", "executedQty"] {
        let body = ORDER.replace(&format!("\"{field}\":"), "\"gone\":");
        assert!(answer(&Ask::Query(named(false)), &body).is_err(), "{field}");
    }
}

#[test]
fn an_order_in_full() {
    let body = r#"{"avgPrice":"41250.123456789","clientOrderId":"our-id","cumQuote":"1","executedQty":"0.010","orderId":8,"origQty":"0.015","origType":"LIMIT","price":"41250.5","reduceOnly":true,"side":"SELL","positionSide":"BOTH","status":"PARTIALLY_FILLED","stopPrice":"0","closePosition":false,"symbol":"BTCUSDT","time":1,"timeInForce":"GTC","type":"LIMIT","updateTime":1579276756075}"#;
    let want = OrderView {
        client_id: "our-id".to_owned(),
        venue_id: "8".to_owned(),
        parent: String::new(),
        became: String::new(),
        symbol: symbol("BTCUSDT"),
        side: Side::Sell,
        kind: ViewKind::Limit,
        state: ViewState::PartiallyFilled,
        reason: None,
        quantity: quantity("0.015"),
        filled: quantity("0.01"),
        average: Some(price("41250.12345678")),
        trigger: None,
        reduce_only: true,
        maker: Maker::Client,
        updated_at: Millis(1_579_276_756_075),
    };
    assert_eq!(view(&Ask::Query(named(false)), body), want);
}

#[test]
fn where_an_order_stands() {
    for (status, order_type, want) in [
        ("NEW", "MARKET", ViewState::New),
        ("NEW", "LIMIT", ViewState::New),
        ("NEW", "STOP_MARKET", ViewState::Untriggered),
        ("NEW", "TRAILING_STOP_MARKET", ViewState::Untriggered),
        ("PARTIALLY_FILLED", "LIMIT", ViewState::PartiallyFilled),
        ("FILLED", "LIMIT", ViewState::Filled),
        ("CANCELED", "LIMIT", ViewState::Cancelled),
        ("EXPIRED", "MARKET", ViewState::Expired),
        ("EXPIRED_IN_MATCH", "LIMIT", ViewState::Expired),
        ("REJECTED", "LIMIT", ViewState::Rejected),
    ] {
        assert_eq!(plain(status, order_type, "0").state, want, "{status} {order_type}");
    }
    let unknown = ORDER.replace(r#""status":"NEW""#, r#""status":"MELTED""#);
    assert!(answer(&Ask::Query(named(false)), &unknown).is_err(), "never guessed");
}

#[test]
fn case_p3_an_ended_order_may_hold_fills() {
    for status in ["CANCELED", "EXPIRED", "EXPIRED_IN_MATCH"] {
        let read = plain(status, "LIMIT", "0.25");
        assert!(read.state.is_final());
        assert_eq!(read.filled, quantity("0.25"), "{status}");
    }
    assert_eq!(plain("EXPIRED", "MARKET", "0").reason, Some(VenueReason::Liquidity));
    assert_eq!(plain("CANCELED", "MARKET", "0").reason, Some(VenueReason::Requested));
}

#[test]
fn where_a_trigger_stands() {
    let read = algo(&[]);
    assert_eq!(
        (read.client_id.as_str(), read.venue_id.as_str(), read.became.as_str(), read.kind, read.trigger),
        ("6B2I9XVcJpCjqPAJ4YoFX7", "2146760", "", ViewKind::TakeProfit, Some(price("750")))
    );
    assert_eq!((read.state, read.reason), (ViewState::Cancelled, Some(VenueReason::Requested)));
    assert_eq!(read.updated_at, Millis(1_750_514_545_091));
    for (status, want) in [
        ("NEW", ViewState::Untriggered),
        ("TRIGGERING", ViewState::Triggered),
        ("TRIGGERED", ViewState::Triggered),
        ("EXPIRED", ViewState::Expired),
        ("REJECTED", ViewState::Rejected),
        ("FINISHED", ViewState::Expired),
    ] {
        assert_eq!(algo(&[("CANCELED", status)]).state, want, "{status}");
    }
    let unknown = ALGO.replace("CANCELED", "MELTED");
    assert!(answer(&Ask::Query(named(true)), &unknown).is_err());
}

#[test]
fn a_trigger_that_fired_names_the_order_that_it_became() {
    let fired = [("CANCELED", "FINISHED"), (r#""actualOrderId":"""#, r#""actualOrderId":"8389765519993"#)];
    let with_price = |price: &str| {
        let mut replaced = fired.to_vec();
        let price = format!(r#"","actualPrice":"{price}""#);
        replaced.push((r#","actualPrice":"0.00000""#, &price));
        let read = algo(&replaced);
        (read.became, read.state, read.average)
    };
    // How much of it was filled is not answered: nothing is taken for an end before the order itself has told it.
    let id = "8389765519993".to_owned();
    assert_eq!(with_price("749.5"), (id.clone(), ViewState::Finished, Some(price("749.5"))));
    assert_eq!(with_price("0.00000"), (id.clone(), ViewState::Finished, None));
    let order = Ask::QueryById { symbol: symbol("BTCUSDT"), venue_id: id };
    let filled = ORDER.replace(r#""status":"NEW""#, r#""status":"FILLED""#);
    let read = view(&order, &filled.replace(r#""executedQty":"0""#, r#""executedQty":"0.40""#));
    assert_eq!((read.state, read.filled), (ViewState::Filled, quantity("0.4")));
}

#[test]
fn lists_of_orders() {
    let none = String::new;
    let list = |body: &str| match answer(&Ask::OpenOrders(none()), body) {
        Ok(Answer::Orders(orders, None)) => Some(orders.len()),
        Err(_) => None,
        other => panic!("{other:?}"),
    };
    assert_eq!(list("[]"), Some(0));
    assert_eq!(list(&format!("[{ORDER},{ORDER}]")), Some(2));
    // An order of a symbol that cannot be ours is left out; one that cannot be read is not.
    let long = ORDER.replace("BTCUSDT", "ASYMBOLOFMORETHANTWENTYFOURLETTERS");
    assert_eq!(list(&format!("[{ORDER},{long}]")), Some(1));
    assert_eq!(list(&format!("[{ORDER},{{}}]")), None);
    let Ok(Answer::Orders(triggers, None)) = answer(&Ask::OpenTriggers(none()), &format!("[{ALGO}]")) else {
        panic!()
    };
    assert_eq!(triggers.len(), 1);
}

const POSITIONS: &str = r#"[{"symbol":"ADAUSDT","positionSide":"LONG","positionAmt":"30","entryPrice":"0.385","breakEvenPrice":"0.385077","markPrice":"0.41047590","unRealizedProfit":"0.76427700","liquidationPrice":"0","isolatedMargin":"0","notional":"12.31427700","marginAsset":"USDT","isolatedWallet":"0","initialMargin":"0.61571385","maintMargin":"0.08004280","positionInitialMargin":"0.61571385","openOrderInitialMargin":"0","adl":2,"bidNotional":"0","askNotional":"0","updateTime":1720736417660},{"symbol":"COMPUSDT","positionSide":"SHORT","positionAmt":"-1.000","entryPrice":"70.928413333333","breakEvenPrice":"70.900038636","markPrice":"49.72023376","updateTime":1708943511656},{"symbol":"BTCUSDT","positionSide":"BOTH","positionAmt":"0.000","entryPrice":"0.0","updateTime":0}]"#;

#[test]
fn positions_of_both_modes() {
    let read = |body: &str| match answer(&Ask::Positions(String::new()), body) {
        Ok(Answer::Positions(positions, None)) => positions,
        other => panic!("{other:?}"),
    };
    let hedged = read(POSITIONS);
    assert_eq!(hedged.len(), 2, "flat ones are left out");
    assert_eq!(
        (hedged[0].symbol, hedged[0].side, hedged[0].quantity),
        (symbol("ADAUSDT"), Side::Buy, quantity("30"))
    );
    assert_eq!((hedged[1].side, hedged[1].quantity), (Side::Sell, quantity("1")));
    assert_eq!(hedged[1].entry, price("70.92841333"), "a mean is cut");
    assert_eq!(hedged[1].updated_at, Millis(1_708_943_511_656));
    for (amount, side) in [("30", Side::Buy), ("-30", Side::Sell)] {
        let net =
            read(&format!(r#"[{{"symbol":"ADAUSDT","positionSide":"BOTH","positionAmt":"{amount}"}}]"#));
        assert_eq!((net[0].side, net[0].quantity, net[0].entry), (side, quantity("30"), Price::ZERO));
    }
    let torn = POSITIONS.replace(r#""positionAmt":"30""#, r#""positionAmt":"-30""#);
    assert!(answer(&Ask::Positions(String::new()), &torn).is_err(), "a long of a negative amount");
}

#[test]
fn case_p12_balances_of_any_asset() {
    let body = r#"[{"accountAlias":"SgsR","asset":"BNFCR","balance":"122607.35137903","crossWalletBalance":"23.72469206","crossUnPnl":"0.00000000","availableBalance":"23.72469206","maxWithdrawAmount":"23.72469206","marginAvailable":true,"updateTime":1617939110373},{"asset":"USDC","balance":"-0.5"}]"#;
    let want = vec![
        BalanceView {
            asset: "BNFCR".to_owned(),
            wallet: money("122607.35137903"),
            available: Some(money("23.72469206")),
            account: Some("SgsR".to_owned()),
        },
        BalanceView { asset: "USDC".to_owned(), wallet: money("-0.5"), available: None, account: None },
    ];
    assert_eq!(answer(&Ask::Balances, body), Ok(Answer::Balances(want)));
}

const TRADE: &str = r#"{"buyer":false,"commission":"0.00007819","commissionAsset":"BNB","id":698759,"maker":true,"orderId":25851813,"price":"7819.01","qty":"0.002","quoteQty":"15.63802","realizedPnl":"-0.91539999","side":"SELL","positionSide":"SHORT","symbol":"BTCUSDT","time":1569514978020}"#;

#[test]
fn case_f5_trades_tell_the_asset_of_their_fee() {
    let Ok(Answer::Executions(trades, None)) = answer(&executions(None, 0, ""), &format!("[{TRADE}]")) else {
        panic!()
    };
    let want = ExecutionView {
        trade_id: "698759".to_owned(),
        sequence: 698_759,
        client_id: String::new(),
        venue_id: "25851813".to_owned(),
        symbol: symbol("BTCUSDT"),
        side: Side::Sell,
        price: price("7819.01"),
        quantity: quantity("0.002"),
        filled: None,
        is_last: None,
        fee: money("0.00007819"),
        fee_asset: "BNB".to_owned(),
        liquidity: Liquidity::Maker,
        maker: Maker::Client,
        at: Millis(1_569_514_978_020),
    };
    assert_eq!(trades, [want]);
}

#[test]
fn case_x18_trades_are_paged_to_their_end() {
    // 2019-11-12 07:13:20.
    let (now, header) = (1_573_542_800_000_u64, [("Date", "Tue, 12 Nov 2019 07:13:20 GMT")]);
    let day = 86_400_000;
    let next = |since: u64, cursor: &str, rows: usize, headers: &[(&str, &str)]| {
        let trades: Vec<String> =
            (0..rows).map(|i| TRADE.replace("698759", &(5_000 + rows - i).to_string())).collect();
        let body = format!("[{}]", trades.join(","));
        match answer_with(&executions(None, since, cursor), 200, body, headers) {
            Ok(Answer::Executions(trades, next)) => {
                assert_eq!(trades.len(), rows);
                assert!(trades.is_sorted_by_key(|trade| trade.sequence), "oldest first");
                next
            }
            other => panic!("{other:?}"),
        }
    };
    // A full page goes on after its last trade, in whichever way it was asked for.
    for cursor in ["", "4000", "t1573000000000"] {
        assert_eq!(next(now - day, cursor, 1000, &header).as_deref(), Some("6001"));
    }
    assert_eq!(next(now - day, "4000", 999, &header), None);
    // A span that ends before now is followed by the next one; without a clock it is the last.
    assert_eq!(next(now - day, "", 3, &header), None);
    let begin = now - 20 * day;
    let second = format!("t{}", begin + 7 * day);
    assert_eq!(next(begin, "", 0, &header), Some(second.clone()));
    let third = format!("t{}", begin + 14 * day);
    assert_eq!(next(begin, &second, 5, &header), Some(third.clone()));
    assert_eq!(next(begin, &third, 5, &header), None);
    assert_eq!(next(begin, "", 0, &[]), None);
    // Ever so long ago: the spans begin where the exchange's memory does, so they end.
    let mut cursor = String::new();
    let mut spans = 0;
    while let Some(following) = next(0, &cursor, 0, &header) {
        cursor = following;
        spans += 1;
        assert!(spans < 20);
    }
    assert_eq!(spans, 12);
}

const INCOME: &str = r#"{"symbol":"BTCUSDT","incomeType":"FUNDING_FEE","income":"-0.01000000","asset":"USDT","info":"FUNDING_FEE","time":1570636800000,"tranId":9689322392,"tradeId":""}"#;

#[test]
fn case_f3_funding_is_positive_when_it_is_received() {
    let ask = Ask::Funding { since: Millis(0), cursor: String::new() };
    let received = INCOME.replace("-0.01", "0.25");
    let transfer = INCOME.replace("FUNDING_FEE", "TRANSFER").replace("BTCUSDT", "");
    let Ok(Answer::Funding(rows, None)) = answer(&ask, &format!("[{INCOME},{received},{transfer}]")) else {
        panic!()
    };
    let paid = FundingView {
        symbol: Some(symbol("BTCUSDT")),
        amount: money("-0.01"),
        asset: "USDT".to_owned(),
        rate: None,
        mark: None,
        at: Millis(1_570_636_800_000),
    };
    assert_eq!(rows, [paid.clone(), FundingView { amount: money("0.25"), ..paid }]);
}

#[test]
fn case_x18_income_is_paged_to_its_end() {
    let next = |cursor: &str, rows: usize| {
        let ask = Ask::Funding { since: Millis(0), cursor: cursor.to_owned() };
        match answer(&ask, &format!("[{}]", vec![INCOME; rows].join(","))) {
            Ok(Answer::Funding(_, next)) => next,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(next("", 1000).as_deref(), Some("2"));
    assert_eq!(next("2", 1000).as_deref(), Some("3"));
    assert_eq!(next("3", 999), None);
    assert_eq!(next("1000", 1000), None, "it ends");
    assert_eq!(next("nonsense", 1000), None);
}

/// The maker's example has one of each.
#[test]
fn case_f6_forced_orders_tell_a_liquidation_and_a_deleveraging_apart() {
    let row = |id: u64, client: &str, side: &str| {
        format!(
            r#"{{"orderId":{id},"symbol":"BTCUSDT","status":"FILLED","clientOrderId":"{client}","price":"10871.09","avgPrice":"10913.21000","origQty":"0.001","executedQty":"0.001","cumQuote":"10.91321","timeInForce":"IOC","type":"LIMIT","reduceOnly":false,"closePosition":false,"side":"{side}","positionSide":"BOTH","stopPrice":"0","workingType":"CONTRACT_PRICE","origType":"LIMIT","time":1596107620044,"updateTime":1596107620087}}"#
        )
    };
    let list = format!(
        "[{},{}]",
        row(6_071_832_819, "autoclose-1596107620040000020", "SELL"),
        row(6_072_734_303, "adl_autoclose", "BUY")
    );
    let ask = Ask::ForcedOrders { symbol: symbol("BTCUSDT"), since: Millis(0) };
    let Ok(Answer::Orders(orders, None)) = answer(&ask, &list) else { panic!() };
    let told: Vec<_> = orders.iter().map(|o| (o.venue_id.as_str(), o.maker)).collect();
    assert_eq!(told, [("6071832819", Maker::Liquidation), ("6072734303", Maker::Adl)]);
    assert_eq!(answer(&ask, "[]"), Ok(Answer::Orders(Vec::new(), None)));
}

#[test]
fn settings_account_and_key() {
    let body = r#"[{"symbol":"BTCUSDT","marginType":"CROSSED","isAutoAddMargin":false,"leverage":21,"maxNotionalValue":"1000000"},{"symbol":"ETHUSDT","marginType":"ISOLATED","leverage":"5"},{"symbol":"XRPUSDT","leverage":150}]"#;
    let row =
        |name, leverage, isolated| SettingsView { symbol: symbol(name), leverage, isolated, mode: None };
    let want =
        vec![row("BTCUSDT", 21, Some(false)), row("ETHUSDT", 5, Some(true)), row("XRPUSDT", 150, None)];
    assert_eq!(answer(&Ask::Settings(None), body), Ok(Answer::Settings(want)));

    let body = r#"{"feeTier":0,"canTrade":true,"canDeposit":true,"canWithdraw":true,"dualSidePosition":true,"updateTime":0,"multiAssetsMargin":false,"tradeGroupId":-1}"#;
    let account =
        |mode, may_trade| Ok(Answer::Account(AccountView { mode: Some(mode), may_trade, isolated: None }));
    assert_eq!(answer(&Ask::Account, body), account(PositionMode::Hedge, true));
    let body = r#"{"canTrade":false,"dualSidePosition":false}"#;
    assert_eq!(answer(&Ask::Account, body), account(PositionMode::OneWay, false));

    let body = r#"{"ipRestrict":true,"createTime":1623840271000,"enableReading":true,"enableWithdrawals":false,"enableInternalTransfer":false,"enableMargin":false,"enableFutures":true,"permitsUniversalTransfer":false,"enableVanillaOptions":false,"enableSpotAndMarginTrading":false,"tradingAuthorityExpirationTime":1628985600000}"#;
    let key = KeyView {
        may_trade: true,
        may_withdraw: false,
        bound_to_address: true,
        expires_at: Some(Millis(1_628_985_600_000)),
        account: None,
    };
    assert_eq!(answer(&Ask::Key, body), Ok(Answer::Key(key.clone())));
    let free = body.replace("\"enableWithdrawals\":false", "\"enableWithdrawals\":true");
    assert_eq!(answer(&Ask::Key, &free), Ok(Answer::Key(KeyView { may_withdraw: true, ..key })));
    // That it cannot withdraw is never concluded from silence.
    let silent = body.replace("enableWithdrawals", "enableWhatever");
    assert!(answer(&Ask::Key, &silent).is_err());
}

#[test]
fn listen_keys_are_fit_for_an_address() {
    let key = "pqia91ma19a5s61cv6a81va65sdf19v8a65a1a5s61cv6a81va65sdf19v8a65a1";
    let body = |key: &str| format!(r#"{{"listenKey":"{key}"}}"#);
    assert_eq!(answer(&Ask::OpenListenKey, &body(key)), Ok(Answer::ListenKey(key.to_owned())));
    for bad in ["", "a/b", "a&events=x", "a b", "a%20", "é", &"a".repeat(201)] {
        assert!(answer(&Ask::OpenListenKey, &body(bad)).is_err(), "{bad}");
    }
}

fn all_of(rows: &[BracketView]) -> Brackets {
    Brackets::of(rows.iter().map(|row| (row.notional_max, row.leverage_max, row.maintenance)))
}

#[test]
fn time_marks_and_brackets() {
    assert_eq!(
        answer(&Ask::Time, r#"{"serverTime":1499827319559}"#),
        Ok(Answer::Time(Millis(1_499_827_319_559)))
    );
    let body = r#"[{"symbol":"BTCUSDT","markPrice":"11793.63104562","indexPrice":"11781.80495970","estimatedSettlePrice":"11781.16138815","lastFundingRate":"0.00038246","interestRate":"0.00010000","nextFundingTime":1597392000000,"time":1597370495002},{"symbol":"NEWUSDT","markPrice":"0.00000000","time":1597370495002},{"symbol":"ODDUSDT","markPrice":"x","time":1}]"#;
    let want = vec![MarkView {
        symbol: symbol("BTCUSDT"),
        mark: price("11793.63104562"),
        at: Millis(1_597_370_495_002),
    }];
    // F9, F10: no price is told as none; one that cannot be read does not take the others along.
    assert_eq!(answer(&Ask::Marks, body), Ok(Answer::Marks(want)));
    assert!(answer(&Ask::Marks, r#"[{"symbol":"ODDUSDT","markPrice":"x","time":1}]"#).is_err());

    let body = r#"[{"symbol":"ETHUSDT","notionalCoef":1.50,"brackets":[{"bracket":2,"initialLeverage":50,"notionalCap":50000,"notionalFloor":10000,"maintMarginRatio":0.01,"cum":35.0},{"bracket":1,"initialLeverage":75,"notionalCap":10000,"notionalFloor":0,"maintMarginRatio":0.0065,"cum":0.0}]},{"symbol":"BADUSDT","brackets":[]}]"#;
    let row = |cap: &str, leverage_max, kept: &str| BracketView {
        symbol: symbol("ETHUSDT"),
        notional_max: money(cap),
        leverage_max,
        maintenance: kept.parse().unwrap(),
    };
    let want = vec![row("50000", 50, "0.01"), row("10000", 75, "0.0065")];
    assert_eq!(all_of(&want).rows()[1].deduction, money("35"), "what Binance calls cum");
    assert_eq!(answer(&Ask::Brackets(String::new()), body), Ok(Answer::Brackets(want, None)));
}

#[test]
fn case_l6_all_brackets_of_a_symbol_are_read() {
    let row = |n: u8, cap: &str, kept: &str| {
        let leverage = 125 - n;
        format!(
            r#"{{"bracket":{n},"initialLeverage":{leverage},"notionalCap":{cap},"notionalFloor":0,"maintMarginRatio":{kept},"cum":0.0}}"#
        )
    };
    let read = |rows: Vec<String>| {
        let body = format!(r#"[{{"symbol":"BTCUSDT","brackets":[{}]}}]"#, rows.join(","));
        match answer(&Ask::Brackets(String::new()), &body) {
            Ok(Answer::Brackets(views, None)) => Ok(all_of(&views)),
            Ok(other) => panic!("{other:?}"),
            Err(failure) => Err(failure),
        }
    };
    let twelve =
        read((1..=12).map(|n| row(n, &format!("{n}0000"), &format!("0.0{n:02}"))).collect()).unwrap();
    assert_eq!(twelve.rows().len(), 12);
    assert_eq!((twelve.cap_at(124), twelve.cap_at(113)), (Some(money("10000")), Some(money("120000"))));
    // More than are kept: the last that is kept is the limit.
    let twenty = read((1..=20).rev().map(|n| row(n, &format!("{n}0000"), "0.01")).collect()).unwrap();
    assert_eq!((twenty.rows().len(), twenty.cap_at(1)), (Brackets::MAX, Some(money("160000"))));
    // A cap beyond all numbers limits nothing.
    let last = read(vec![row(1, "5000", "0.01"), row(2, "9223372036854776000", "0.02")]).unwrap();
    assert_eq!(last.cap_at(1), Some(Money::MAX));
    let strange = read(vec![row(1, "5000", "0.01"), row(2, "9000", "1"), row(3, "7000", "0.03")]).unwrap();
    assert_eq!((strange.rows().len(), strange.cap_at(1)), (2, Some(money("7000"))), "the others stay");
    for (cap, kept) in [("0", "0.01"), ("-1", "0.01"), ("x", "0.01"), ("5000", "1"), ("5000", "-0.01")] {
        assert!(read(vec![row(1, cap, kept)]).is_err(), "{cap} {kept}");
    }
}

#[test]
fn headers_tell_what_is_used() {
    let used = |headers: &[(&str, &str)]| {
        let header = |name: &str| {
            headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
        };
        let used = Binance::used(HttpReply { status: 200, header: &header, body: b"" });
        (used.address, used.account)
    };
    assert_eq!(
        used(&[
            ("X-MBX-USED-WEIGHT-1M", "1234"),
            ("X-MBX-ORDER-COUNT-10S", "5"),
            ("X-MBX-ORDER-COUNT-1M", "9")
        ]),
        (Some(1234), Some(AccountUse::Used(5)))
    );
    assert_eq!(used(&[("X-MBX-USED-WEIGHT-1M", "-1"), ("X-MBX-ORDER-COUNT-10S", "many")]), (None, None));
    assert_eq!(used(&[]), (None, None));
}

#[test]
fn quantities_are_never_rounded() {
    let body = ORDER.replace(r#""executedQty":"0""#, r#""executedQty":"0.123456789""#);
    assert!(answer(&Ask::Query(named(false)), &body).is_err());
    assert_eq!(plain("FILLED", "LIMIT", "43407.86712966").filled, quantity("43407.86712966"));
    assert_eq!(plain("FILLED", "LIMIT", "0.40000000000").filled, quantity("0.4"));
    assert_eq!(plain("NEW", "LIMIT", "0").filled, Quantity::ZERO);
}
