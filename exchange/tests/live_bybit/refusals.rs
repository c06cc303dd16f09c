//! What Bybit's refusals mean by HTTP: statuses, codes, and answers that cannot be read.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::*;
use engine::core::order::VenueReason;
use exchange::live::bybit::Bybit;
use exchange::live::protocol::{
    AccountUse, Answer, Ask, FailureKind as K, HttpReply, LimitScope, Millis, Protocol, TEXT_MAX, Used,
};

fn kind(ask: &Ask, status: u16, headers: &[(&str, &str)], body: &str) -> K {
    answer_with(ask, status, headers, body.as_bytes()).unwrap_err().kind
}

fn code(code: i64, text: &str) -> String {
    format!(r#"{{"retCode":{code},"retMsg":"{text}","result":{{}},"retExtInfo":{{}},"time":1672132481405}}"#)
}

#[test]
fn a_status_speaks_for_itself() {
    let reset = [("X-Bapi-Limit-Reset-Timestamp", "1672738134824")];
    let limited = |until| K::Limited { scope: LimitScope::Address, until: Millis(until) };
    for (status, headers, body, expected) in [
        (403, &[][..], "access too frequent", K::Banned { until: Millis(0) }),
        (403, &[], "<html>Access Too Frequent</html>", K::Banned { until: Millis(0) }),
        (403, &[], "The Amazon CloudFront distribution blocks your country", K::Banned { until: Millis(0) }),
        (403, &[], "", K::Banned { until: Millis(0) }),
        (403, &[], &code(10_009, "IP has been banned"), K::Banned { until: Millis(0) }),
        (403, &[], &code(10_018, "exceeded the IP rate limit"), K::Banned { until: Millis(0) }),
        (403, &[], &code(10_016, "Server error."), K::Banned { until: Millis(0) }),
        (429, &[], "", limited(0)),
        (429, &reset, "slow down", limited(1_672_738_134_824)),
        (401, &[], "", K::UserMustAct),
        (404, &[], "<html>", K::Bug),
        (500, &[], "", K::Unknown),
        (502, &[], "<html>bad gateway</html>", K::Unknown),
        (503, &[], &code(0, "OK"), K::Unknown),
        (504, &[], "", K::Unknown),
        (302, &[], "", K::Unknown),
        (400, &[], &code(0, "OK"), K::Bug),
    ] {
        assert_eq!(kind(&entry(), status, headers, body), expected, "{status} {body}");
    }
    // A code in the body of another status counts; with 403 one that is the account's own.
    assert_eq!(kind(&entry(), 403, &[], &code(10_003, "API key is invalid.")), K::UserMustAct);
    assert_eq!(kind(&entry(), 403, &[], &code(10_010, "Unmatched IP")), K::UserMustAct);
    assert_eq!(kind(&entry(), 401, &[], &code(10_003, "API key is invalid.")), K::UserMustAct);
    assert_eq!(kind(&entry(), 400, &[], &code(110_007, "ab not enough")), K::Refused(VenueReason::Margin));
}

#[test]
fn case_u9_a_server_time_out_is_unknown_and_so_is_an_answer_that_cannot_be_read() {
    assert_eq!(kind(&entry(), 200, &[], &code(10_000, "Server Timeout")), K::Unknown);
    assert_eq!(kind(&entry(), 200, &[], &code(10_016, "Server error.")), K::Unknown);
    for body in
        ["", "<html>", "{", "[]", "null", "{}", r#"{"retCode":null}"#, r#"{"retCode":{}}"#, r#"["0"]"#]
    {
        assert_eq!(kind(&entry(), 200, &[], body), K::Unreadable, "{body}");
    }
    // A success without the order's id: it may have been placed.
    for result in ["{}", "null", r#"{"orderId":""}"#, "[]", r#"{"orderId":{}}"#] {
        assert_eq!(success(&entry(), result).unwrap_err().kind, K::Unreadable, "{result}");
    }
    assert_eq!(answer_with(&entry(), 200, &[], &[0xff, 0xfe]).unwrap_err().kind, K::Unreadable);
}

#[test]
fn case_r3_case_r5_a_limit_is_that_of_the_account_until_its_reset() {
    let headers = [
        ("X-Bapi-Limit", "10"),
        ("x-bapi-limit-status", "0"),
        ("X-BAPI-LIMIT-RESET-TIMESTAMP", "1672738134824"),
    ];
    let until = Millis(1_672_738_134_824);
    let body = code(10_006, "Too many visits!");
    assert_eq!(kind(&entry(), 200, &headers, &body), K::Limited { scope: LimitScope::Account, until });
    let none = K::Limited { scope: LimitScope::Account, until: Millis(0) };
    assert_eq!(kind(&entry(), 200, &[], &body), none);
    let header = |name: &str| {
        headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    };
    let used = Bybit::used(HttpReply { status: 200, header: &header, body: b"" });
    let left = AccountUse::Left { left: 0, limit: 10, resets_at: until };
    assert_eq!(used, Used { address: None, account: Some(left) });
}

#[test]
fn case_r4_the_limit_of_the_address_is_another() {
    for number in [10_018, 10_403, 10_429] {
        let expected = K::Limited { scope: LimitScope::Address, until: Millis(0) };
        assert_eq!(kind(&entry(), 200, &[], &code(number, "")), expected, "{number}");
    }
}

#[test]
fn case_t3_a_time_outside_of_the_window_is_the_clock_and_nothing_else() {
    let text = "invalid request, please check your server timestamp or recv_window param";
    assert_eq!(kind(&entry(), 200, &[], &code(10_002, text)), K::Clock);
}

#[test]
fn case_t10_a_key_of_another_environment_is_the_users_to_mend() {
    let failure = answer(&Ask::Account, &code(10_003, "API key is invalid.")).unwrap_err();
    assert_eq!((failure.kind, failure.code), (K::UserMustAct, 10_003));
}

#[test]
fn case_l2_case_h5_what_is_so_already_is_done() {
    let leverage = Ask::SetLeverage { symbol: symbol("BTCUSDT"), leverage: 5 };
    assert_eq!(answer(&leverage, &code(110_043, "leverage not modified")), Ok(Answer::Done));
    assert_eq!(answer(&leverage, &code(34_036, "leverage not modified")), Ok(Answer::Done));
    let isolated = Ask::SetIsolated(symbol("BTCUSDT"));
    assert_eq!(answer(&isolated, &code(110_026, "not modified")), Ok(Answer::Done));
    assert_eq!(answer(&isolated, &code(110_025, "Position mode is not modified")), Ok(Answer::Done));
    let cancel = Ask::Cancel(order_ref());
    assert_eq!(answer(&cancel, &code(110_008, "finished")), Ok(Answer::Done));
    assert_eq!(answer(&cancel, &code(110_010, "cancelled")), Ok(Answer::Done));
    assert_eq!(kind(&entry(), 200, &[], &code(110_043, "")), K::Unknown);
}

#[test]
fn case_o5_a_close_of_what_is_flat_is_told_as_that() {
    let text = "current position is zero, cannot fix reduce-only order qty";
    let nothing = K::Refused(VenueReason::NothingToReduce);
    assert_eq!(kind(&exit(), 200, &[], &code(110_017, text)), nothing);
    assert_eq!(kind(&exit(), 200, &[], &code(110_017, "Reduce-only rule not satisfied")), nothing);
    let entry_refused = K::Refused(VenueReason::Quantity);
    assert_eq!(kind(&entry(), 200, &[], &code(110_017, "Reduce-only rule not satisfied")), entry_refused);
}

#[test]
fn a_duplicate_of_our_id_is_told_as_that() {
    for number in [110_072, 10_014] {
        assert_eq!(kind(&entry(), 200, &[], &code(number, "OrderLinkedID is duplicate")), K::Duplicate);
    }
}

#[test]
fn a_margin_mode_that_was_not_set_is_a_refusal_also_inside_of_a_success() {
    let isolated = Ask::SetIsolated(symbol("BTCUSDT"));
    assert_eq!(success(&isolated, r#"{"reasons":[]}"#), Ok(Answer::Done));
    assert_eq!(success(&isolated, "null"), Ok(Answer::Done));
    let reasons = r#"{"reasons":[{"reasonCode":"3400000","reasonMsg":"Equity needs to be 1000 USDC"}]}"#;
    let failure = success(&isolated, reasons).unwrap_err();
    assert_eq!(failure.kind, K::Refused(VenueReason::Account));
    assert!(failure.text.contains("1000 USDC"));
}

#[test]
fn texts_are_cut() {
    let failure = answer(&entry(), &code(10_001, &"ß".repeat(5_000))).unwrap_err();
    assert!(failure.text.len() <= TEXT_MAX && failure.text.starts_with('ß'));
    let failure = answer_with(&entry(), 502, &[], "é".repeat(5_000).as_bytes()).unwrap_err();
    assert!(failure.text.len() <= TEXT_MAX);
}
