//! Who a request comes from: key, address, time, signature, right; each with its retCode, in that order.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::*;
use exchange::live::credential::KeyKind;
use exchange::paper_exchange::FaceKind;
use exchange::paper_exchange::keys::{KeySpec, Rights};
use exchange::paper_exchange::transport::HttpIn;

const PATH: &str = "/v5/account/wallet-balance";
const QUERY: &str = "accountType=UNIFIED";

fn told(bench: &mut Bench, call: &HttpIn) -> (i64, String) {
    let answer: Value = serde_json::from_str(&bench.http(HERE, call).body).unwrap();
    (code(&answer), answer["retMsg"].as_str().unwrap().to_owned())
}

fn set(call: &mut HttpIn, name: &str, value: &str) {
    call.headers.iter_mut().find(|(told, _)| told == name).unwrap().1 = value.to_owned();
}

#[test]
fn a_signed_question_is_answered() {
    let mut bench = Bench::new();
    let client = bench.client("1000");
    let call = bench.signed(&client, "GET", PATH, QUERY, "");
    assert_eq!(told(&mut bench, &call), (0, "OK".to_owned()));
}

#[test]
fn headers_that_are_missing_are_named() {
    let mut bench = Bench::new();
    let client = bench.client("1000");
    let mut call = bench.signed(&client, "GET", PATH, QUERY, "");
    call.headers.clear();
    let expected = "empty value: apiTimestamp[] apiKey[] apiSignature[]";
    assert_eq!(told(&mut bench, &call), (10001, expected.to_owned()));
    let mut call = bench.signed(&client, "GET", PATH, QUERY, "");
    set(&mut call, "X-BAPI-TIMESTAMP", "now");
    assert_eq!(told(&mut bench, &call).0, 10001);
}

#[test]
fn case_t8_a_body_that_was_written_anew_has_another_signature() {
    let mut bench = Bench::new();
    let client = bench.client("1000");
    let (signed, sent) =
        (r#"{"category":"linear","symbol":"BTCUSDT"}"#, r#"{"category": "linear", "symbol": "BTCUSDT"}"#);
    let mut call = bench.signed(&client, "POST", "/v5/order/cancel-all", "", signed);
    assert_eq!(told(&mut bench, &call).0, 0);
    call.body = sent.as_bytes().to_vec();
    let (code, text) = told(&mut bench, &call);
    assert_eq!(code, 10004);
    assert!(text.starts_with("error sign! origin_string[") && text.ends_with(&format!("{sent}]")), "{text}");
    // The same in a query: another order of the parameters.
    let mut call = bench.signed(&client, "GET", PATH, "accountType=UNIFIED&coin=USDT", "");
    call.target = format!("{PATH}?coin=USDT&accountType=UNIFIED");
    assert_eq!(told(&mut bench, &call).0, 10004);
}

#[test]
fn case_t3_a_second_ahead_is_too_much_whatever_the_window_is() {
    let mut bench = Bench::new();
    let client = bench.client("1000");
    for (ahead, expected) in
        [(0_i64, 0), (999, 0), (1_000, 10002), (-5_000, 0), (-5_001, 10002), (-60_000, 10002)]
    {
        let mut call = bench.signed(&client, "GET", PATH, QUERY, "");
        let asked = i64::try_from(bench.ms()).unwrap() + ahead;
        set(&mut call, "X-BAPI-TIMESTAMP", &asked.to_string());
        let sign = client.hmac(&format!("{asked}{}5000{QUERY}", client.key));
        set(&mut call, "X-BAPI-SIGN", &sign);
        let (code, text) = told(&mut bench, &call);
        assert_eq!(code, expected, "{ahead}: {text}");
        if code != 0 {
            assert!(
                text.contains(&format!("req_timestamp[{asked}],server_timestamp[{}]", bench.ms())),
                "{text}"
            );
        }
    }
}

#[test]
fn case_t10_a_key_of_elsewhere_is_no_key() {
    let mut bench = Bench::new();
    let client = bench.client("1000");
    let mut stranger = client.clone();
    stranger.key = "NOBODY".to_owned();
    let call = bench.signed(&stranger, "GET", PATH, QUERY, "");
    assert_eq!(told(&mut bench, &call), (10003, "API key is invalid.".to_owned()));
    // A key of the Binance face of the same exchange is none here.
    let other = bench.exchange.core.open_account(FaceKind::Binance, "1".parse().unwrap()).unwrap();
    bench.exchange.core.add_key(other, &KeySpec::hmac("BINANCE", "s")).unwrap();
    stranger.key = "BINANCE".to_owned();
    let call = bench.signed(&stranger, "GET", PATH, QUERY, "");
    assert_eq!(told(&mut bench, &call).0, 10003);
}

#[test]
fn a_key_is_good_from_its_addresses_until_its_end() {
    let mut bench = Bench::new();
    let client = bench.client("1000");
    let mut bound = client.clone();
    bound.key = "BOUND".to_owned();
    let spec = KeySpec { addresses: vec![THERE], ..KeySpec::hmac("BOUND", &client.secret) };
    bench.exchange.core.add_key(client.no, &spec).unwrap();
    let call = bench.signed(&bound, "GET", PATH, QUERY, "");
    assert_eq!(told(&mut bench, &call).0, 10010);
    assert!(bench.http(THERE, &call).body.contains(r#""retCode":0"#));
    let mut ended = client.clone();
    ended.key = "ENDED".to_owned();
    let spec = KeySpec { expires_at: Some(bench.now), ..KeySpec::hmac("ENDED", &client.secret) };
    bench.exchange.core.add_key(client.no, &spec).unwrap();
    let call = bench.signed(&ended, "GET", PATH, QUERY, "");
    assert_eq!(told(&mut bench, &call).0, 33004);
}

#[test]
fn a_key_that_only_reads_reads() {
    let mut bench = Bench::new();
    let mut client = bench.client("100000");
    client.key = "READ".to_owned();
    let rights = Rights { trade: false, withdraw: false };
    let spec = KeySpec { rights, ..KeySpec::hmac("READ", &client.secret) };
    bench.exchange.core.add_key(client.no, &spec).unwrap();
    assert_eq!(code(&bench.get(&client, PATH, QUERY)), 0);
    assert_eq!(code(&bench.create(&client, &json!({}))), 10005);
    assert_eq!(bench.get(&client, "/v5/user/query-api", "")["result"]["readOnly"], 1);
}

/// A key pair made for this test (2048 bits).
const PRIVATE: &str = include_str!("support/rsa_private.pem");
const PUBLIC: &str = include_str!("support/rsa_public.pem");

#[test]
fn an_rsa_key_signs_in_base64() {
    let mut bench = Bench::new();
    let mut client = bench.client("1000");
    client.key = "RSA".to_owned();
    let spec = KeySpec { kind: KeyKind::Rsa, secret: PUBLIC.to_owned(), ..KeySpec::hmac("RSA", "") };
    bench.exchange.core.add_key(client.no, &spec).unwrap();
    let credential = exchange::live::credential::Credential::new(KeyKind::Rsa, "RSA", PRIVATE).unwrap();
    let mut call = bench.signed(&client, "GET", PATH, QUERY, "");
    let sign = credential.sign(format!("{}RSA5000{QUERY}", bench.ms()).as_bytes());
    set(&mut call, "X-BAPI-SIGN", &sign);
    assert_eq!(told(&mut bench, &call).0, 0);
    // An HMAC signature is none of this key.
    let call = bench.signed(&client, "GET", PATH, QUERY, "");
    assert_eq!(told(&mut bench, &call).0, 10004);
}
