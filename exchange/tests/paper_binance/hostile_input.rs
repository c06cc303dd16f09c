//! Whatever is sent, the paper exchange answers and goes on: nothing panics, and money and positions are the venue's.

use crate::support::{HERE, Paper};
use engine::core::fixed::Money;
use exchange::paper_exchange::ConnNo;
use exchange::paper_exchange::transport::Outcome;
use proptest::prelude::*;

const PATHS: [&str; 12] = [
    "/fapi/v1/order",
    "/fapi/v1/algoOrder",
    "/fapi/v1/batchOrders",
    "/fapi/v1/leverage",
    "/fapi/v1/allOrders",
    "/fapi/v1/userTrades",
    "/fapi/v1/klines",
    "/fapi/v1/depth",
    "/fapi/v1/income",
    "/fapi/v3/positionRisk",
    "/paper/market",
    "/paper/accounts",
];

/// A value that is right, nearly right, or nonsense.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("BTCUSDT".to_owned()),
        Just("BUY".to_owned()),
        Just("SELL".to_owned()),
        Just("LIMIT".to_owned()),
        Just("MARKET".to_owned()),
        Just("STOP_MARKET".to_owned()),
        Just("CONDITIONAL".to_owned()),
        Just("true".to_owned()),
        Just("18446744073709551615".to_owned()),
        Just("99999999999999999999.99999999999999999999".to_owned()),
        Just("-1".to_owned()),
        "[0-9]{1,6}(\\.[0-9]{1,4})?",
        ".{0,20}",
    ]
}

const NAMES: [&str; 18] = [
    "symbol",
    "side",
    "type",
    "quantity",
    "price",
    "triggerPrice",
    "algoType",
    "closePosition",
    "reduceOnly",
    "timeInForce",
    "leverage",
    "limit",
    "startTime",
    "orderId",
    "batchOrders",
    "goodTillDate",
    "positionSide",
    "page",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn signed_nonsense_is_answered(
        calls in prop::collection::vec(
            (0..4_usize, 0..PATHS.len(), prop::collection::vec((0..NAMES.len(), value()), 0..10)),
            1..8,
        ),
    ) {
        let mut paper = Paper::new();
        for (method, path, values) in calls {
            let values: Vec<_> = values.iter().map(|(name, value)| (NAMES[*name], value.as_str())).collect();
            let out = paper.out(["GET", "POST", "PUT", "DELETE"][method], PATHS[path], &values);
            let Outcome::Answer(answer) = out.what else { panic!("no rule of faults is in force") };
            prop_assert!(serde_json::from_str::<serde_json::Value>(&answer.body).is_ok(), "{}", answer.body);
        }
    }

    #[test]
    fn nonsense_over_sockets_is_answered_or_ignored(
        target in "/(ws|stream|private/ws|private/stream|ws-fapi/v1|v5/private|v5/trade|v5/public/linear)[a-zA-Z0-9/?=&@!%]{0,40}",
        texts in prop::collection::vec(
            prop_oneof![
                ".{0,60}",
                "\\{\"(method|op)\":\"(SUBSCRIBE|order.place|order.create|auth|subscribe|session.logon|ping)\",\"(params|args|id|reqId)\":[\\[\\{\"0-9a-z\\]\\}:,]{0,20}\\}",
            ],
            0..8,
        ),
    ) {
        let mut paper = Paper::new();
        if paper.exchange.socket_open(paper.now, ConnNo(1), HERE, &target).is_ok() {
            for text in texts {
                paper.say(1, &text);
            }
        }
        paper.exchange.socket_closed(ConnNo(1));
        paper.wait_ms(1_000);
    }

    #[test]
    fn what_an_account_is_told_is_what_the_venue_holds(
        steps in prop::collection::vec((0..8_u32, 1..40_u32, 55_000..65_000_u32, any::<bool>()), 1..60),
    ) {
        let mut paper = Paper::new();
        for (step, size, price, buys) in steps {
            let side = if buys { "BUY" } else { "SELL" };
            let (quantity, price) = (format!("0.{size:03}"), price.to_string());
            let both = [("symbol", "BTCUSDT"), ("side", side), ("quantity", &quantity)];
            let post = |paper: &mut Paper, path: &str, more: &[(&str, &str)]| {
                let values: Vec<_> = both.iter().chain(more).copied().collect();
                let _refused_or_not = paper.signed("POST", path, &values);
            };
            match step {
                0 | 1 => post(&mut paper, "/fapi/v1/order", &[("type", "MARKET")]),
                2 => post(&mut paper, "/fapi/v1/order", &[("type", "MARKET"), ("reduceOnly", "true")]),
                3 => {
                    let more = [("type", "LIMIT"), ("timeInForce", "GTC"), ("price", price.as_str())];
                    post(&mut paper, "/fapi/v1/order", &more);
                }
                4 => {
                    let more = [("algoType", "CONDITIONAL"), ("type", "STOP_MARKET"), ("triggerPrice", price.as_str())];
                    post(&mut paper, "/fapi/v1/algoOrder", &more);
                }
                5 => {
                    let values = [
                        ("symbol", "BTCUSDT"), ("side", side), ("algoType", "CONDITIONAL"),
                        ("type", "TAKE_PROFIT_MARKET"), ("triggerPrice", price.as_str()), ("closePosition", "true"),
                    ];
                    let _refused_or_not = paper.signed("POST", "/fapi/v1/algoOrder", &values);
                }
                6 => {
                    let leverage = (1 + size * 3).to_string();
                    let values = [("symbol", "BTCUSDT"), ("leverage", leverage.as_str())];
                    let _refused_or_not = paper.signed("POST", "/fapi/v1/leverage", &values);
                }
                _ => paper.price("BTCUSDT", &price),
            }
            let account = paper.exchange.core.account(paper.account).unwrap();
            let held = paper.exchange.core.venue_snapshot(paper.account).unwrap();
            prop_assert_eq!(held.wallet, account.wallet);
            prop_assert_eq!(held.positions.len(), account.positions.len());
            for told in &held.positions {
                let open = &account.positions[&told.symbol];
                prop_assert_eq!(
                    (open.side, open.quantity, open.entry_cost, open.leverage),
                    (told.side, told.quantity, told.entry_cost, told.leverage)
                );
            }
            let live = account.open.iter().filter_map(|no| paper.exchange.core.order(paper.account, *no));
            let live = live.filter(|order| !order.state.is_final()).count();
            prop_assert_eq!(live, account.open.len(), "only live orders are open");
            prop_assert!(held.orders.len() <= live);
            let sum = account.incomes.iter().try_fold(Money::ZERO, |sum, income| sum.checked_add(income.amount));
            prop_assert_eq!(sum, Some(account.wallet));
        }
    }
}
