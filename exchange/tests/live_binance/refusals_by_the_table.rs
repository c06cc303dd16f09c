//! Every row of the table of refusals (EXCHANGES.md §2.8) means what the table says.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::{
    answer, answer_with, every_ask, market_entry, named, order, place, price, stop, symbol,
};
use engine::core::order::{OrderKind, Side, VenueReason as Reason};
use exchange::live::protocol::{Answer, Ask, FailureKind, LimitScope, Millis, PositionMode};

fn kind_of(ask: &Ask, status: u16, body: &str) -> FailureKind {
    answer_with(ask, status, body, &[]).unwrap_err().kind
}

fn code(ask: &Ask, code: i64) -> FailureKind {
    let failure = answer_with(ask, 400, format!(r#"{{"code":{code},"msg":"words"}}"#), &[]).unwrap_err();
    assert_eq!((failure.code, failure.text.as_str()), (code, "words"));
    failure.kind
}

#[track_caller]
fn check(codes: &[i64], want: FailureKind) {
    for given in codes {
        assert_eq!(code(&market_entry(), *given), want, "{given}");
    }
}

const UNKNOWN: &str =
    r#"{"code":-1000,"msg":"Unknown error, please check your request or try again later."}"#;
const UNAVAILABLE: &str = r#"{"code":0,"msg":"Service Unavailable."}"#;
const THROTTLED: &str = r#"{"code":-1008,"msg":"Request throttled by system-level protection. Reduce-only/close-position orders are exempt. Please try again."}"#;
const INTERNAL: &str =
    r#"{"code":-1001,"msg":"Internal error; unable to process your request. Please try again."}"#;

#[test]
fn case_u1_a_503_of_unknown_outcome_is_no_failure() {
    for body in [UNKNOWN, "Unknown error, please check your request or try again later.", "", "<html>", "{}"]
    {
        assert_eq!(kind_of(&market_entry(), 503, body), FailureKind::Unknown, "{body}");
    }
}

#[test]
fn case_u4_the_variants_of_503_are_told_apart_by_their_text() {
    let write = market_entry();
    for body in [UNAVAILABLE, "Service Unavailable.", "<h1>503 Service Unavailable</h1>", THROTTLED] {
        assert_eq!(kind_of(&write, 503, body), FailureKind::Retry, "{body}");
    }
    // The maker calls this one a failure; what was written may still have been executed.
    assert_eq!(kind_of(&write, 503, INTERNAL), FailureKind::Unknown);
    assert_eq!(kind_of(&Ask::Balances, 503, INTERNAL), FailureKind::Retry);
    assert_eq!(kind_of(&write, 503, UNKNOWN), FailureKind::Unknown);
    // Where a text says both, the doubt counts.
    let both = "503 Service Unavailable: Unknown error, please check your request or try again later.";
    assert_eq!(kind_of(&write, 503, both), FailureKind::Unknown);
}

#[test]
fn unknown_outcomes() {
    check(&[-1000, -1006, -1007, -1001], FailureKind::Unknown);
    assert_eq!(code(&Ask::Balances, -1001), FailureKind::Retry);
    for status in [408, 500, 502, 504, 520, 599] {
        assert_eq!(kind_of(&market_entry(), status, "<html>Bad gateway</html>"), FailureKind::Unknown);
        // A code that nobody knows does not make it certain.
        assert_eq!(kind_of(&market_entry(), status, r#"{"code":-9999,"msg":""}"#), FailureKind::Unknown);
    }
}

#[test]
fn case_r6_overload_is_a_sure_failure_to_be_tried_again() {
    check(&[-1008, -1016, -4117], FailureKind::Retry);
}

#[test]
fn clock() {
    check(&[-1021, -5028], FailureKind::Clock);
}

const DATE: (&str, &str) = ("Date", "Tue, 12 Nov 2019 07:13:20 GMT");
const DATE_MS: u64 = 1_573_542_800_000;
const WEIGHT: &str =
    r#"{"code":-1003,"msg":"Too many requests; current limit is 2400 requests per minute."}"#;

#[test]
fn case_r2_a_429_says_until_when() {
    let limited = |headers: &[(&str, &str)], body: &str| {
        answer_with(&Ask::Balances, 429, body, headers).unwrap_err().kind
    };
    let address = |until| FailureKind::Limited { scope: LimitScope::Address, until: Millis(until) };
    // The date is cut to the second: one more second is never too early.
    assert_eq!(limited(&[DATE, ("Retry-After", "7")], WEIGHT), address(DATE_MS + 8_000));
    assert_eq!(
        limited(&[("retry-after", "Tue, 12 Nov 2019 07:14:00 GMT")], WEIGHT),
        address(DATE_MS + 40_000)
    );
    // Without a clock, or with nonsense, the time is not told.
    assert_eq!(limited(&[("Retry-After", "7")], WEIGHT), address(0));
    assert_eq!(limited(&[DATE, ("Retry-After", "-7")], WEIGHT), address(0));
    assert_eq!(limited(&[DATE], WEIGHT), address(0));
    assert_eq!(limited(&[], ""), address(0));
    let huge = limited(&[DATE, ("Retry-After", "18446744073709551615")], WEIGHT);
    assert_eq!(huge, address(u64::MAX));
    // New orders are counted for the account.
    let orders = r#"{"code":-1015,"msg":"Too many new orders; current limit is 300 orders per 10 SECOND."}"#;
    assert_eq!(
        answer_with(&market_entry(), 429, orders, &[DATE, ("Retry-After", "4")]).unwrap_err().kind,
        FailureKind::Limited { scope: LimitScope::Account, until: Millis(DATE_MS + 5_000) }
    );
    check(&[-1015], FailureKind::Limited { scope: LimitScope::Account, until: Millis(0) });
    check(&[-1003], address(0));
}

#[test]
fn case_r5_the_end_of_a_ban_is_read_from_its_text() {
    let text = r#"{"code":-1003,"msg":"Way too many requests; IP(52.68.1.1) banned until 1573542836000. Please use the websocket for live updates to avoid bans."}"#;
    let until = FailureKind::Banned { until: Millis(1_573_542_836_000) };
    for status in [418, 429, 403, 400] {
        assert_eq!(kind_of(&Ask::Balances, status, text), until, "{status}");
    }
    // It is more exact than the header.
    let both = answer_with(&Ask::Balances, 418, text, &[DATE, ("Retry-After", "120")]);
    assert_eq!(both.unwrap_err().kind, until);
    let header = answer_with(&Ask::Balances, 418, "", &[DATE, ("Retry-After", "120")]);
    assert_eq!(header.unwrap_err().kind, FailureKind::Banned { until: Millis(DATE_MS + 121_000) });
    for body in ["", "banned until tomorrow", "banned until 12", "banned until 99999999999999999999"] {
        assert_eq!(kind_of(&Ask::Balances, 418, body), FailureKind::Banned { until: Millis(0) }, "{body}");
    }
}

#[test]
fn a_firewall_cuts_the_address_off() {
    let html = "<html><title>403 Forbidden</title></html>";
    assert_eq!(kind_of(&market_entry(), 403, html), FailureKind::Banned { until: Millis(0) });
    let place =
        r#"{"code":0,"msg":"Service unavailable from a restricted location according to 'b. Eligibility'."}"#;
    assert_eq!(kind_of(&market_entry(), 451, place), FailureKind::Banned { until: Millis(0) });
}

#[test]
fn size_and_price() {
    check(&[-4003, -4004, -4005, -4023], FailureKind::Refused(Reason::Quantity));
    check(&[-4013, -4014, -4016, -4024, -4131, -4001, -4002], FailureKind::Refused(Reason::Price));
    check(&[-4164], FailureKind::Refused(Reason::Notional));
    check(&[-1111], FailureKind::Refused(Reason::Quantity));
    // A trigger that closes all has no quantity that could be wrong.
    assert_eq!(code(&stop(), -1111), FailureKind::Refused(Reason::Price));
}

#[test]
fn case_l1_what_is_so_already_is_a_success() {
    let body = |code: i64| format!(r#"{{"code":{code},"msg":"No need to change margin type."}}"#);
    let isolated = Ask::SetIsolated(symbol("BTCUSDT"));
    for status in [400, 200] {
        assert_eq!(answer_with(&isolated, status, body(-4046), &[]), Ok(Answer::Done));
        assert_eq!(answer_with(&isolated, status, body(-4059), &[]), Ok(Answer::Done));
    }
    // For a question that asks for no such thing it is none.
    assert_eq!(code(&market_entry(), -4046), FailureKind::Bug);
}

#[test]
fn case_u2_an_id_that_is_taken_is_told_as_that() {
    check(&[-4116], FailureKind::Duplicate);
}

#[test]
fn case_u8_case_u11_not_there_now_is_neither_success_nor_failure() {
    let body = |code: i64| format!(r#"{{"code":{code},"msg":"Order does not exist."}}"#);
    for is_trigger in [false, true] {
        for code in [-2013, -2011] {
            assert_eq!(kind_of(&Ask::Query(named(is_trigger)), 400, &body(code)), FailureKind::NotFound);
            assert_eq!(kind_of(&Ask::Cancel(named(is_trigger)), 400, &body(code)), FailureKind::NotFound);
        }
    }
    assert_eq!(kind_of(&Ask::KeepListenKey, 400, &body(-1125)), FailureKind::NotFound);
}

#[test]
fn the_user_must_act() {
    check(&[-2014, -2015, -4087, -4088, -4109, -4192, -4402, -4403], FailureKind::UserMustAct);
    check(&[-4202, -4203, -4205, -4206, -4208, -4209], FailureKind::UserMustAct);
    check(&[-1002, -2017, -4168, -4189], FailureKind::UserMustAct);
    let body =
        r#"{"code":-2015,"msg":"Invalid API-key, IP, or permissions for action, request ip: 1.2.3.4"}"#;
    assert_eq!(kind_of(&Ask::Balances, 401, body), FailureKind::UserMustAct);
    assert_eq!(kind_of(&Ask::Balances, 401, ""), FailureKind::UserMustAct);
    assert_eq!(kind_of(&Ask::Balances, 403, body), FailureKind::UserMustAct);
}

#[test]
fn money() {
    check(&[-2018, -2019, -2028, -4050, -4051], FailureKind::Refused(Reason::Margin));
    check(&[-2027, -4028], FailureKind::Refused(Reason::Leverage));
    let body = r#"{"code":-2010,"msg":"Account has insufficient balance for requested action."}"#;
    assert_eq!(kind_of(&market_entry(), 400, body), FailureKind::Refused(Reason::Margin));
}

#[test]
fn case_h6_a_clash_with_the_accounts_state_asks_to_read_it_again() {
    check(&[-4061, -4047, -4048, -4067, -4068, -4161, -4060, -4062], FailureKind::Mode);
    let exit = place(order(Side::Sell, OrderKind::Market, true), PositionMode::OneWay);
    let hedged = r#"{"code":-1106,"msg":"Parameter 'reduceonly' sent when not required."}"#;
    assert_eq!(kind_of(&exit, 400, hedged), FailureKind::Mode);
}

#[test]
fn case_x20_a_symbol_that_takes_no_orders_is_gated() {
    check(&[-1121, -1122, -4140, -4141, -4166, -4400, -4401], FailureKind::SymbolGate);
    check(&[-4105, -4106, -4107], FailureKind::SymbolGate);
}

#[test]
fn the_order_itself() {
    check(&[-2021, -4142], FailureKind::Refused(Reason::WouldTrigger));
    check(&[-2022, -4118], FailureKind::Refused(Reason::NothingToReduce));
    check(&[-2023], FailureKind::InLiquidation);
    check(&[-2025, -4045, -4130], FailureKind::Refused(Reason::TooManyOrders));
    check(&[-5021, -5022, -2020], FailureKind::Refused(Reason::Liquidity));
}

#[test]
fn mistakes_of_ours() {
    check(&[-1022, -1100, -1102, -1106, -4015, -4120], FailureKind::Bug);
    let limit = place(order(Side::Buy, OrderKind::Limit(price("1")), false), PositionMode::OneWay);
    assert_eq!(code(&limit, -1106), FailureKind::Bug);
    // Of a question: the user's secret is another one than the key's.
    for ask in [Ask::Account, Ask::Balances, Ask::Key] {
        assert_eq!(code(&ask, -1022), FailureKind::UserMustAct);
    }
}

#[test]
fn a_code_that_nobody_knows_is_judged_by_its_status() {
    assert_eq!(code(&market_entry(), -9999), FailureKind::Bug);
    assert_eq!(kind_of(&market_entry(), 404, ""), FailureKind::Bug);
    assert_eq!(kind_of(&market_entry(), 302, ""), FailureKind::Unreadable);
    // Within a success it says nothing certain.
    assert_eq!(kind_of(&market_entry(), 200, r#"{"code":-9999,"msg":""}"#), FailureKind::Unreadable);
    assert_eq!(
        kind_of(&market_entry(), 200, r#"{"code":-2019,"msg":""}"#),
        FailureKind::Refused(Reason::Margin)
    );
}

#[test]
fn a_success_that_cannot_be_read_is_unreadable() {
    for ask in every_ask().iter().filter(|ask| !matches!(ask, Ask::Protect { .. })) {
        for body in ["", "<html>OK</html>", "null", "[{]", "\u{feff}{}", "17", "{\"orderId\":\"a/b\"}x"] {
            assert_eq!(answer(ask, body).unwrap_err().kind, FailureKind::Unreadable, "{ask:?} {body}");
        }
        let failed = answer_with(ask, 200, [0xff, 0xfe], &[]).unwrap_err();
        assert_eq!(failed.kind, FailureKind::Unreadable);
    }
}

#[test]
fn texts_are_cut() {
    let long = "é".repeat(100_000);
    let failure = answer_with(&market_entry(), 400, format!(r#"{{"code":-1,"msg":"{long}"}}"#), &[]);
    assert!(failure.unwrap_err().text.len() <= exchange::live::protocol::TEXT_MAX);
    assert!(answer_with(&market_entry(), 400, &long, &[]).unwrap_err().text.len() <= 200);
}

#[test]
fn what_binance_does_not_have_is_a_mistake_of_ours() {
    let ask = every_ask().pop().unwrap();
    assert!(matches!(ask, Ask::Protect { .. }));
    assert_eq!(answer(&ask, "{}").unwrap_err().kind, FailureKind::Bug);
}
