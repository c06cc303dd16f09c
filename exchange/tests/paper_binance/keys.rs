//! Binance's face lets in who signs rightly, in time, with a key of this exchange, from where the key may be used.

use crate::support::{ELSEWHERE, HERE, Paper, answer, code, credential};
use engine::core::fixed::Money;
use engine::core::ids::Timestamp;
use exchange::live::credential::{Credential, KeyKind};
use exchange::paper_exchange::FaceKind;
use exchange::paper_exchange::keys::{KeySpec, Rights};

const BALANCE: &str = "/fapi/v3/balance";

#[test]
fn case_t1_a_time_outside_the_window_is_refused() {
    let mut paper = Paper::new();
    let now = paper.now.millis();
    let mut at = |offset: i64, window: &str| {
        let sent = now.checked_add_signed(offset).unwrap().to_string();
        let answer = paper.signed("GET", BALANCE, &[("recvWindow", window), ("timestamp", &sent)]);
        if answer.status == 200 { 0 } else { code(&answer) }
    };
    // Ahead by a second is too far, whatever the window (case T3).
    assert_eq!([at(999, "5000"), at(1_000, "5000"), at(1_000, "60000")], [0, -1021, -1021]);
    assert_eq!([at(-5_000, "5000"), at(-5_001, "5000"), at(-5_001, "60000")], [0, -1021, 0]);
    assert_eq!(at(0, "60001"), -1131);
    assert_eq!(code(&answer(paper.raw("GET", BALANCE, "ana", ""))), -1102);
    // Seconds are not milliseconds (case T5).
    let seconds = (now / 1_000).to_string();
    assert_eq!(paper.code("GET", BALANCE, &[("timestamp", &seconds)]), -1021);
}

#[test]
fn a_skewed_clock_is_told_and_lived_by() {
    let mut paper = Paper::new();
    paper.exchange.core.clock.skew_ms = 7_000;
    assert_eq!(paper.code("GET", BALANCE, &[]), -1021);
    let told = paper.ok("GET", "/fapi/v1/time", &[])["serverTime"].as_u64().unwrap();
    assert_eq!(told, paper.now.millis() + 7_000);
    let told = told.to_string();
    paper.ok("GET", BALANCE, &[("timestamp", &told)]);
}

#[test]
fn case_t6_t7_signatures_are_over_the_bytes_sent_and_last() {
    let mut paper = Paper::new();
    let good = paper.signed_query(&[("symbol", "a@b")]);
    assert!(good.contains("%40"));
    // -1121: it got past the signature.
    let order = |paper: &mut Paper, query: &str, body: &str| {
        code(&answer(paper.raw("GET", &format!("/fapi/v1/openOrders?{query}"), "ana", body)))
    };
    assert_eq!(order(&mut paper, &good, ""), -1121);
    assert_eq!(order(&mut paper, &good.replace("%40", "@"), ""), -1022, "signed encoded, sent raw");
    let upper = good.to_uppercase().replace("SYMBOL", "symbol").replace("TIMESTAMP", "timestamp");
    assert_eq!(
        order(&mut paper, &upper.replace("SIGNATURE", "signature"), ""),
        -1022,
        "A%40B is not what was signed"
    );
    let (rest, signature) = good.split_once("&signature=").unwrap();
    assert_eq!(order(&mut paper, &format!("signature={signature}&{rest}"), ""), -1022, "not the last");
    assert_eq!(order(&mut paper, rest, &format!("signature={signature}")), -1121, "in the body");
    assert_eq!(order(&mut paper, "", &good), -1121, "all in the body");
    assert_eq!(order(&mut paper, rest, ""), -1102);
    assert_eq!(order(&mut paper, &format!("{rest}&signature=%zz"), ""), -1100);
}

#[test]
fn case_t9_each_kind_of_key_verifies_its_own_signatures() {
    let mut paper = Paper::new();
    // RFC 8410 §10.
    let private = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    let public = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
    let spec = KeySpec { kind: KeyKind::Ed25519, secret: public.to_owned(), ..KeySpec::hmac("eddy", "") };
    paper.exchange.core.add_key(paper.account, &spec).unwrap();
    paper.credential = Credential::new(KeyKind::Ed25519, "eddy", private).unwrap();
    paper.ok("GET", BALANCE, &[]);
    paper.credential = credential("eddy");
    assert_eq!(paper.code("GET", BALANCE, &[]), -1022);
}

#[test]
fn keys_are_refused_that_may_not() {
    let mut paper = Paper::new();
    let core = &mut paper.exchange.core;
    let bybit = core.open_account(FaceKind::Bybit, Money::from_whole(1)).unwrap();
    core.add_key(bybit, &KeySpec::hmac("bybit", "bybit-secret")).unwrap();
    let spec = |name: &str| KeySpec::hmac(name, &format!("{name}-secret"));
    core.add_key(
        paper.account,
        &KeySpec { rights: Rights { trade: false, withdraw: true }, ..spec("reader") },
    )
    .unwrap();
    core.add_key(paper.account, &KeySpec { addresses: vec![ELSEWHERE], ..spec("bound") }).unwrap();
    core.add_key(paper.account, &KeySpec { expires_at: Some(Timestamp(paper.now.0 + 1)), ..spec("short") })
        .unwrap();
    let mut ask = |name: &str| {
        paper.credential = credential(name);
        let answer = paper.signed("GET", BALANCE, &[]);
        if answer.status == 200 { (200, 0) } else { (answer.status, code(&answer)) }
    };
    assert_eq!(ask("nobody"), (401, -2015));
    assert_eq!(ask("bybit"), (401, -2015), "case T10: a key of another exchange");
    assert_eq!(ask("bound"), (401, -2015));
    assert_eq!(ask("reader"), (200, 0));
    assert_eq!(ask("short"), (200, 0));
    assert_eq!(code(&answer(paper.raw("GET", BALANCE, "", ""))), -2014);
    paper.wait_ms(1);
    paper.credential = credential("short");
    assert_eq!(paper.code("GET", BALANCE, &[]), -2015);
    paper.credential = credential("reader");
    let order = [("symbol", "BTCUSDT"), ("side", "BUY"), ("type", "MARKET"), ("quantity", "0.01")];
    assert_eq!(paper.code("POST", "/fapi/v1/order", &order), -2015);
    let told = paper.ok("GET", "/sapi/v1/account/apiRestrictions", &[]);
    assert_eq!(
        (told["enableWithdrawals"].as_bool(), told["enableFutures"].as_bool()),
        (Some(true), Some(false))
    );
    paper.from = ELSEWHERE;
    paper.credential = credential("bound");
    paper.ok("GET", BALANCE, &[]);
    assert_ne!(HERE, ELSEWHERE);
}
