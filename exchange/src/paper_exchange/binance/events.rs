//! Events of an account in Binance's words: ORDER_TRADE_UPDATE, ALGO_UPDATE, ACCOUNT_UPDATE, ACCOUNT_CONFIG_UPDATE.

use engine::core::fixed::Money;
use engine::core::order::Liquidity;
use serde_json::{Value, json};

use super::super::core::Core;
use super::super::events::{Cause, Change, Event, What};
use super::super::orders::{EndReason, Execution, Order, Origin, State};
use super::render::{self, ASSET};

/// What is told of an event: names and messages, in their order.
pub(super) fn messages(core: &Core, event: &Event) -> Vec<(&'static str, Value)> {
    let at = event.at.millis();
    match &event.what {
        What::Order(order, change) => order_messages(order, change, at),
        What::Position { symbol, position, wallet, flow, cause } => {
            let reason = match cause {
                Cause::Order | Cause::Liquidation => "ORDER",
                Cause::Funding => "FUNDING_FEE",
                // Neither is told on this stream.
                Cause::Settings | Cause::Triggers => return Vec::new(),
            };
            let Some(account) = core.account(event.account) else { return Vec::new() };
            let Some(instrument) = core.instrument(*symbol) else { return Vec::new() };
            let settings = account.settings_of(instrument);
            let position = position.as_deref();
            let mark = core.mark(*symbol).unwrap_or_default();
            let realised = account
                .executions
                .iter()
                .filter(|execution| execution.symbol == *symbol)
                .try_fold(Money::ZERO, |sum, execution| sum.checked_add(execution.realised));
            let margin = position.filter(|_| settings.isolated).map_or(Money::ZERO, |open| open.margin());
            let entry = position.map_or_else(|| "0".to_owned(), |open| open.entry().to_string());
            let told = json!({
                "s": symbol.as_str(),
                "pa": render::amount(position),
                "ep": entry,
                "bep": entry,
                "cr": realised.unwrap_or_default().to_string(),
                "up": position.map_or(Money::ZERO, |open| open.unrealised(mark)).to_string(),
                "mt": if settings.isolated { "isolated" } else { "cross" },
                "iw": margin.to_string(),
                "ps": render::side_of_position(account, position),
            });
            // Funding of a cross position tells the balance only.
            let told = if *cause == Cause::Funding && !settings.isolated { vec![] } else { vec![told] };
            let balance = json!({
                "a": ASSET, "wb": wallet.to_string(), "cw": wallet.to_string(), "bc": flow.to_string(),
            });
            vec![(
                "ACCOUNT_UPDATE",
                json!({
                    "e": "ACCOUNT_UPDATE", "E": at, "T": at,
                    "a": { "m": reason, "B": [balance], "P": told },
                }),
            )]
        }
        What::Settings(symbol, settings) => vec![(
            "ACCOUNT_CONFIG_UPDATE",
            json!({
                "e": "ACCOUNT_CONFIG_UPDATE", "E": at, "T": at,
                "ac": { "s": symbol.as_str(), "l": settings.leverage },
            }),
        )],
        What::Funding(_) | What::Mode { .. } => Vec::new(),
    }
}

fn order_messages(order: &Order, change: &Change, at: u64) -> Vec<(&'static str, Value)> {
    let mut told = Vec::new();
    let algo = order.spec.trigger.is_some();
    let of_market = !algo || order.went_live;
    // The conditional order's own life.
    let algo_changed = match change {
        Change::New | Change::Fired | Change::Live | Change::Ended | Change::Amended => true,
        Change::Executed(_) => order.state == State::Filled,
    };
    let execution = match change {
        Change::New if !algo => Some(("NEW", None)),
        Change::Live => Some(("NEW", None)),
        Change::Executed(execution) if execution.liquidation => Some(("CALCULATED", Some(&**execution))),
        Change::Executed(execution) => Some(("TRADE", Some(&**execution))),
        Change::Ended if of_market => {
            let cancelled = order.state == State::Cancelled && order.end != Some(EndReason::WouldTake);
            Some((if cancelled { "CANCELED" } else { "EXPIRED" }, None))
        }
        Change::Amended if of_market => Some(("AMENDMENT", None)),
        _ => None,
    };
    let tell_algo = |told: &mut Vec<_>| {
        if algo && algo_changed {
            told.push(("ALGO_UPDATE", algo_update(order, at)));
        }
    };
    // It is triggered before the market has it, and finished after the market is done with it.
    if *change == Change::Live {
        tell_algo(&mut told);
    }
    if let Some((kind, execution)) = execution {
        told.push(("ORDER_TRADE_UPDATE", order_update(order, kind, execution, at)));
    }
    if *change != Change::Live {
        tell_algo(&mut told);
    }
    told
}

fn order_update(order: &Order, kind: &str, execution: Option<&Execution>, at: u64) -> Value {
    let zero = || "0".to_owned();
    let maker = execution.is_some_and(|execution| execution.liquidity == Liquidity::Maker);
    let liquidation = order.spec.origin == Origin::Liquidation;
    let mut told = json!({
        "s": order.spec.symbol.as_str(),
        "c": order.client_id(),
        "S": render::side(order.spec.side),
        "o": if liquidation { "LIQUIDATION" } else { render::kind(order) },
        "f": render::life(order.spec.life),
        "q": order.spec.quantity.to_string(),
        "p": order.limit().unwrap_or_default().to_string(),
        "ap": order.average().unwrap_or_default().to_string(),
        "sp": order.spec.trigger.map_or_else(zero, |trigger| trigger.price.to_string()),
        "x": kind,
        "X": render::state(order),
        "i": render::market_no(order),
        "l": execution.map_or_else(zero, |execution| execution.quantity.to_string()),
        "z": order.filled.to_string(),
        "L": execution.map_or_else(zero, |execution| execution.price.to_string()),
        "T": at,
        "t": execution.map_or(0, |execution| execution.no.0),
        "b": "0",
        "a": "0",
        "m": maker,
        "R": order.spec.closes_only(),
        "wt": render::working(order.spec.trigger),
        "ot": order.spec.trigger.map_or(render::kind(order), |trigger| render::algo_kind(order, trigger)),
        "ps": render::position_side(order.spec.position_side),
        "cp": order.spec.close_position,
        "rp": execution.map_or_else(zero, |execution| execution.realised.to_string()),
        "pP": false,
        "si": 0,
        "ss": 0,
        "V": "EXPIRE_MAKER",
        "pm": "NONE",
        "gtd": 0,
    });
    if let Some(execution) = execution {
        told["N"] = ASSET.into();
        told["n"] = execution.fee.to_string().into();
    }
    json!({ "e": "ORDER_TRADE_UPDATE", "E": at, "T": at, "o": told })
}

fn algo_update(order: &Order, at: u64) -> Value {
    let Some(trigger) = order.spec.trigger else { return Value::Null };
    let state = render::algo_state(order);
    json!({
        "e": "ALGO_UPDATE", "T": at, "E": at,
        "o": {
            "caid": order.client_id(),
            "aid": order.no.0,
            "at": "CONDITIONAL",
            "o": render::algo_kind(order, trigger),
            "s": order.spec.symbol.as_str(),
            "S": render::side(order.spec.side),
            "ps": render::position_side(order.spec.position_side),
            "f": render::life(order.spec.life),
            "q": if order.spec.close_position { "0".to_owned() } else { order.spec.quantity.to_string() },
            "X": state,
            "ai": order.fired_as.filter(|_| order.went_live).map_or_else(String::new, |no| no.0.to_string()),
            "ap": order.average().unwrap_or_default().to_string(),
            "aq": order.filled.to_string(),
            "act": order.fired_as.map_or("0", |_| render::kind(order)),
            "tp": trigger.price.to_string(),
            "p": order.limit().unwrap_or_default().to_string(),
            "V": "EXPIRE_MAKER",
            "wt": render::working(Some(trigger)),
            "pm": "NONE",
            "cp": order.spec.close_position,
            "pP": false,
            "R": order.spec.reduce_only,
            "tt": order.fired_at.map_or(0, |at| at.millis()),
            "gtd": 0,
            "rm": if state == "REJECTED" { "Margin is insufficient or there is nothing to reduce." } else { "" },
        },
    })
}
