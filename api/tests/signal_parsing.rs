//! Signal bodies: every spelling, carrier and field of DOMAIN.md §1 is read, everything else is refused by name.

use api::signal::{
    BODY_BYTES_MAX, DEPTH_MAX, Draft, SignalError, SignalKind, VALUES_MAX, kind_of_text, normalise_symbol,
    parse,
};
use engine::core::fixed::{Price, Rate};
use engine::core::ids::Timestamp;
use serde_json::{Value, json};

const LONG: SignalKind = SignalKind::OpenLong { strong: false };
const LONG_STRONG: SignalKind = SignalKind::OpenLong { strong: true };
const SHORT: SignalKind = SignalKind::OpenShort { strong: false };
const SHORT_STRONG: SignalKind = SignalKind::OpenShort { strong: true };

#[track_caller]
fn accepted(body: &str) -> Draft {
    match parse(None, body.as_bytes()) {
        Ok(draft) => draft,
        Err(error) => panic!("{body}\nrefused: {error}"),
    }
}

#[track_caller]
fn refused(body: impl AsRef<[u8]>) -> SignalError {
    let body = body.as_ref();
    match parse(None, body) {
        Ok(draft) => panic!("{}\naccepted as {draft:?}", String::from_utf8_lossy(body)),
        Err(error) => error,
    }
}

/// A body that is complete but for what is added.
fn with(fields: &str) -> String {
    format!(r#"{{"ticker":"BTCUSDT","action":"buy",{fields}}}"#)
}

#[track_caller]
fn check_refusal(body: impl AsRef<[u8]>, code: &str, field: Option<&str>) {
    let error = refused(body.as_ref());
    let shown = String::from_utf8_lossy(body.as_ref()).into_owned();
    assert_eq!((error.status(), error.code(), error.field()), (400, code, field), "{shown}\n{error}");
    if let Some(field) = field {
        assert!(error.to_string().contains(field), "the message names the field: {error}");
    }
}

#[test]
fn every_spelling_of_an_action() {
    let table: &[(SignalKind, &[&str])] = &[
        (LONG, &["SINAL LONG", "BUY", "LONG", "OPEN_LONG"]),
        (LONG_STRONG, &["SINAL LONG FORTE", "STRONG_BUY"]),
        (SHORT, &["SINAL SHORT", "SELL", "SHORT", "OPEN_SHORT"]),
        (SHORT_STRONG, &["SINAL SHORT FORTE", "STRONG_SELL"]),
        (SignalKind::CloseLong, &["FECHE LONG", "CLOSE_LONG"]),
        (SignalKind::CloseShort, &["FECHE SHORT", "CLOSE_SHORT"]),
        (SignalKind::CloseAll, &["CLOSE", "EXIT", "FLAT"]),
    ];
    for (kind, spellings) in table {
        for spelling in *spellings {
            let capitalised: String = spelling
                .split([' ', '_'])
                .map(|word| format!("{}{}", &word[..1], word[1..].to_lowercase()))
                .collect::<Vec<_>>()
                .join(" ");
            for text in [
                (*spelling).to_owned(),
                spelling.to_lowercase(),
                capitalised,
                spelling.replace(' ', "_"),
                spelling.replace('_', " "),
                spelling.replace([' ', '_'], "  "),
                spelling.replace([' ', '_'], "_ _"),
                format!(" {spelling}\r\n"),
            ] {
                assert_eq!(kind_of_text(&text), Some(*kind), "{text:?}");
                for name in ["action", "signal", "operation"] {
                    let body = json!({ name: text, "ticker": "BTCUSDT" }).to_string();
                    assert_eq!(accepted(&body).kind, *kind, "{body}");
                }
            }
        }
    }
}

#[test]
fn no_other_text_is_an_action() {
    for text in [
        "BUY NOW",
        "DON'T BUY",
        "BUYBACK",
        "REBUY",
        "NO_LONG",
        "LONG SHORT",
        "SINAL",
        "FORTE",
        "LONG FORTE",
        "SINAL LONG FRACO",
        "STRONG",
        "STRONGBUY",
        "OPENLONG",
        "OPEN-LONG",
        "OPEN\tLONG",
        "CLOSE ALL",
        "FECHE",
        "_BUY",
        "BUY_",
        "buy;sell",
        "buy,sell",
        "hold",
        "cancel",
        "comprar",
        "ＢＵＹ",
        "ſell",
        "1",
        "true",
        "SINAL SHORT FORTE FORTE FORTE",
    ] {
        assert_eq!(kind_of_text(text), None, "{text:?}");
        let body = json!({ "ticker": "BTCUSDT", "action": text }).to_string();
        check_refusal(&body, "unknown_action", Some("action"));
    }
}

#[test]
fn strength_makes_an_open_strong() {
    for (action, strength, kind) in [
        ("BUY", "strong", LONG_STRONG),
        ("BUY", "FORTE", LONG_STRONG),
        ("SELL", " Strong ", SHORT_STRONG),
        ("SELL", "normal", SHORT),
        ("STRONG_BUY", "normal", LONG_STRONG),
        ("BUY", "not strong", LONG),
        ("CLOSE_LONG", "strong", SignalKind::CloseLong),
    ] {
        let draft = accepted(&json!({ "ticker": "X", "action": action, "strength": strength }).to_string());
        assert_eq!(draft.kind, kind, "{action} {strength}");
        assert_eq!(draft.strength.as_deref(), Some(strength.trim()));
    }
}

#[test]
fn case_y1_case_y2_case_y3_case_y4_symbols_lose_exchange_and_suffix_and_nothing_else() {
    for (text, symbol) in [
        ("BTCUSDT", "BTCUSDT"),
        ("btcusdt", "BTCUSDT"),
        ("BINANCE:BTCUSDT", "BTCUSDT"),
        ("BINANCE:BTCUSDT.P", "BTCUSDT"),
        ("bybit:ethusdt.p", "ETHUSDT"),
        ("BTCUSDT.PS", "BTCUSDT"),
        ("BTCUSDTPERP", "BTCUSDT"),
        ("BTCUSDT-PERP", "BTCUSDT"),
        ("btcusdt-perp", "BTCUSDT"),
        ("1000PEPEUSDT.P", "1000PEPEUSDT"),
        ("1000000MOGUSDT", "1000000MOGUSDT"),
        ("SHIB1000USDT", "SHIB1000USDT"),
        ("BTCUSDT_260327", "BTCUSDT_260327"),
        ("币安人生USDT.P", "币安人生USDT"),
        // Not BTCUSDT: the look-up refuses it. At Bybit BTCPERP settles in USDC.
        ("BTCPERP", "BTC"),
        ("BYBIT:BTCPERP", "BTC"),
        ("BTC", "BTC"),
        ("PERPUSDT", "PERPUSDT"),
        // One suffix, once.
        ("BTCUSDTPERP.P", "BTCUSDTPERP"),
        // Only ASCII changes case: Unicode would make this SUSDT.
        ("ſusdt", "ſUSDT"),
        (" BTCUSDT\n", "BTCUSDT"),
    ] {
        let normal = normalise_symbol(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(normal.as_str(), symbol, "{text}");
        let draft = accepted(&json!({ "symbol": text, "action": "buy" }).to_string());
        assert_eq!((draft.symbol, draft.ticker.as_str()), (normal, text.trim()));
    }
    for (text, code) in [
        ("BTC USDT", "invalid_symbol"),
        ("BTC\u{0}USDT", "invalid_symbol"),
        (":BTCUSDT", "invalid_symbol"),
        ("BINANCE:", "invalid_symbol"),
        ("PERP", "invalid_symbol"),
        (".P", "invalid_symbol"),
        ("BTC/USDT:USDT", "invalid_symbol"),
        ("BINANCE:BTCUSDT/BINANCE:ETHUSDT", "invalid_symbol"),
        ("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "too_long"),
        (" ", "missing_symbol"),
        ("", "missing_symbol"),
    ] {
        assert_eq!(normalise_symbol(text).map_err(|error| error.code()), Err(code), "{text:?}");
    }
}

#[test]
fn every_field_under_every_name() {
    let draft = accepted(
        r#"{"secret":"s3","symbol":"BINANCE:ETHUSDT.P","operation":"sell","close":"2500.10","timestamp":"2026-01-01T00:00:00Z",
        "signal_id":"a-1","leverage":"5","stop_loss":"2550.5","take_profit":2400,"rsi_15":"63.274829104721","rsi_4h":41,
        "strategy":"Trend 1","interval":15,"strength":"normal","note":"kept","nested":{"a":[1,2.50,null,true]}}"#,
    );
    assert_eq!(draft.kind, SHORT);
    assert_eq!((draft.ticker.as_str(), draft.symbol.as_str()), ("BINANCE:ETHUSDT.P", "ETHUSDT"));
    assert_eq!(draft.price, Some("2500.1".parse().unwrap()));
    assert_eq!(draft.at, Some(Timestamp(1_767_225_600_000_000)));
    assert_eq!(draft.dedup_time, Some(1_767_225_600));
    assert_eq!(draft.signal_id.as_deref(), Some("a-1"));
    assert_eq!(draft.leverage, Some(5));
    assert_eq!(draft.stop_loss, Some("2550.5".parse().unwrap()));
    assert_eq!(draft.take_profit, Some(Price::from_whole(2400)));
    assert_eq!(draft.rsi_15, Some("63.27482910".parse().unwrap()));
    assert_eq!(draft.rsi_4h, Some(Rate::from_whole(41)));
    assert_eq!(draft.strategy.as_deref(), Some("Trend 1"));
    assert_eq!(draft.interval.as_deref(), Some("15"));
    assert_eq!(draft.secret.as_ref().map(|secret| secret.expose()), Some("s3"));
    assert!(draft.body.contains(r#""note":"kept","nested":{"a":[1,2.50,null,true]}}"#), "{}", draft.body);

    let draft =
        accepted(r#"{"token":"t0","ticker":"BTCUSDT","signal":"FLAT","price":1,"time":1767225600000}"#);
    assert_eq!(draft.secret.as_ref().map(|secret| secret.expose()), Some("t0"));
    assert_eq!((draft.kind, draft.at), (SignalKind::CloseAll, Some(Timestamp(1_767_225_600_000_000))));

    let draft = accepted(r#"{"ticker":"BTCUSDT","action":"buy"}"#);
    assert!(
        draft.price.is_none() && draft.at.is_none() && draft.secret.is_none() && draft.dedup_time.is_none()
    );
}

#[test]
fn null_and_blank_count_as_absent() {
    let draft = accepted(&with(
        r#""price":null,"stop_loss":"","take_profit":" ","signal_id":"","strategy":"","time":null,"leverage":"","token":"","symbol":"","signal":null"#,
    ));
    assert!(draft.price.is_none() && draft.stop_loss.is_none() && draft.take_profit.is_none());
    assert!(draft.signal_id.is_none() && draft.strategy.is_none() && draft.at.is_none());
    assert!(draft.leverage.is_none() && draft.secret.is_none());
    check_refusal(r#"{"ticker":"","action":"buy"}"#, "missing_symbol", None);
    check_refusal(r#"{"ticker":"BTCUSDT","action":null}"#, "missing_action", None);
}

#[test]
fn related_names_have_a_preference() {
    let draft = accepted(&with(
        r#""close":"1","price":"2","time":"2026-01-01T00:00:00Z","timenow":"2026-01-01T00:14:59Z","strategy_name":"b","strategy":"a","timeframe":"1h""#,
    ));
    assert_eq!(draft.price, Some(Price::from_whole(2)));
    assert_eq!(draft.dedup_time, Some(1_767_225_600 + 899), "timenow is the signal's time, time the bar's");
    assert_eq!(draft.strategy.as_deref(), Some("a"));
    assert_eq!(draft.interval.as_deref(), Some("1h"));
    let draft = accepted(&with(r#""time":"not a time","timestamp":1767225601"#));
    assert_eq!(draft.dedup_time, Some(1_767_225_601));
}

/// Bodies as the senders' own pages show them, in every carrier that a sender uses.
#[test]
fn bodies_as_they_are_sent() {
    let bodies = [
        (
            r#"{"secret":"k","ticker":"BTCUSDT.P","action":"buy","price":"64123.5","timenow":"2026-01-31T12:00:00Z"}"#,
            LONG,
        ),
        (
            r#"{"ticker":"BTCUSDT","strategy.order_action":"sell","price":"64123.5","leverage":"5","stop_loss":"65000","take_profit":"62000","position_size":"30","timeframe":"15","strategy_name":"CBC"}"#,
            SHORT,
        ),
        (r#"{"ticker":"BTCUSDT","strategy":{"order_action":"buy"},"price":64123.5}"#, LONG),
        (r#"{"ticker":"BTCUSDT","strategy":{"order":{"action":"sell","contracts":"0.01"}}}"#, SHORT),
        (r#"{"ticker":"BTCUSDT","strategy.order.action":"buy"}"#, LONG),
        (
            r#"{"symbol":"ETHUSDT","signal":"SINAL LONG FORTE","close":"2500","time":"2026-01-31T12:00:00Z","rsi_4h":"55.1","rsi_15":"61"}"#,
            LONG_STRONG,
        ),
        (r#"{"symbol":"ETHUSDT","signal":"FECHE LONG"}"#, SignalKind::CloseLong),
        (
            "{\r\n  \"ticker\": \"1000PEPEUSDT.P\",\r\n  \"action\": \"SELL\",\r\n  \"price\": 9.2e-7\r\n}",
            SHORT,
        ),
        (r#"{"ticker":"\u0042TCUSDT","action":"b\u0075y","note":"R\u00e9al \ud83d\ude00 \"x\"\n"}"#, LONG),
    ];
    for (body, kind) in bodies {
        let plain = accepted(body);
        assert_eq!(plain.kind, kind, "{body}");
        let escaped: String = body.bytes().map(|b| format!("%{b:02X}")).collect();
        for (content_type, carrier) in [
            (Some("application/json"), body.to_owned()),
            (Some("application/json; charset=utf-8"), format!("\u{feff}{body}")),
            (Some("text/plain; charset=utf-8"), format!("{body}\n")),
            (Some("text/plain"), format!("\r\n \u{feff}\r\n{body}\r\n\r\n")),
            (Some("application/x-www-form-urlencoded"), body.to_owned()),
            (Some("application/x-www-form-urlencoded"), format!("text={escaped}")),
            (Some("Application/X-WWW-Form-Urlencoded; charset=UTF-8"), format!("a=1&text={escaped}%0A&b=2")),
            (None, format!("text={escaped}")),
            (Some("image/png"), body.to_owned()),
        ] {
            let draft = parse(content_type, carrier.as_bytes())
                .unwrap_or_else(|error| panic!("{content_type:?} {carrier}: {error}"));
            assert_eq!((draft.kind, draft.dedup_key), (plain.kind, plain.dedup_key), "{carrier}");
            assert_eq!(draft.body, plain.body);
        }
    }
    let draft = parse(None, b"text=%7B%22ticker%22:%22BTCUSDT%22,+%22action%22:%22SINAL+LONG%22%7D").unwrap();
    assert_eq!(draft.kind, LONG);
}

#[test]
fn numbers_are_exact_in_every_form() {
    for (text, price) in [
        ("64123.5", "64123.5"),
        (r#""64123.50""#, "64123.5"),
        ("9.2e-7", "0.00000092"),
        (r#""9.2E-7""#, "0.00000092"),
        ("1e-8", "0.00000001"),
        ("0.35", "0.35"),
        ("0.1000000000000000055", "0.1"),
        ("6.41235e+4", "64123.5"),
        (r#"" +5. ""#, "5"),
        ("90071992.54740993", "90071992.54740993"),
    ] {
        let draft = accepted(&with(&format!(r#""price":{text}"#)));
        assert_eq!(draft.price.map(|price| price.to_string()).as_deref(), Some(price), "{text}");
    }
}

#[test]
fn refusals_have_status_code_and_field() {
    // Nothing, or not one JSON object.
    for body in ["", " \r\n\t", "\u{feff}", "\u{feff}\n", "text=", "text=%0A"] {
        check_refusal(body, "empty_body", None);
    }
    for body in ["[]", "5", "-1", "null", "true", "\"x\"", r#"[{"ticker":"BTCUSDT","action":"buy"}]"#] {
        check_refusal(body, "not_an_object", None);
    }
    let one = r#"{"ticker":"BTCUSDT","action":"buy"}"#;
    for second in [one, "[]", "5", "null", "\"x\""] {
        check_refusal(format!("{one}{second}"), "multiple_documents", None);
        check_refusal(format!("{one}\n{second}\n"), "multiple_documents", None);
    }
    check_refusal(format!("text={one}&text={one}"), "multiple_documents", None);
    for body in [
        "buy BTCUSDT",
        "{",
        "}",
        "{}}",
        "{]",
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        r#"{,"a":1}"#,
        r#"{"a":1 "b":2}"#,
        r#"{a:1}"#,
        r#"{'a':1}"#,
        r#"{"a":01}"#,
        r#"{"a":+1}"#,
        r#"{"a":.5}"#,
        r#"{"a":1.}"#,
        r#"{"a":1e}"#,
        r#"{"a":-}"#,
        r#"{"a":0x1}"#,
        r#"{"a":tru}"#,
        r#"{"a":"x}"#,
        r#"{"a":"\x"}"#,
        r#"{"a":"\u12"}"#,
        r#"{"a":"\ud800"}"#,
        r#"{"a":"\udc00"}"#,
        r#"{"a":"\ud800\u0041"}"#,
        "{\"a\":\"x\ny\"}",
        r#"{"a":[1,]}"#,
        r#"{"a":[1 2]}"#,
        r#"{"a":1}, "#,
        "{\"a\":1}\u{0}",
        r#"{"a":1} thanks"#,
        "“a”",
        r#"{“a”:1}"#,
        r#"{""ticker"": ""BTC""}"#,
    ] {
        check_refusal(body, "malformed_json", None);
    }
    check_refusal(b"{\"a\":\"\xff\"}", "invalid_utf8", None);
    check_refusal(b"{\"a\":\"\xed\xa0\x80\"}", "invalid_utf8", None);
    check_refusal("text=%7B%2", "malformed_form", None);
    check_refusal("text=%zz", "malformed_form", None);
    let form = parse(Some("application/x-www-form-urlencoded"), b"payload=%7B%7D").unwrap_err();
    assert_eq!((form.status(), form.code()), (400, "form_without_text"));

    // Missing, unknown, contradictory.
    check_refusal("{}", "missing_symbol", None);
    check_refusal(r#"{"action":"buy"}"#, "missing_symbol", None);
    check_refusal(r#"{"ticker":"BTCUSDT"}"#, "missing_action", None);
    check_refusal(r#"{"Ticker":"BTCUSDT","action":"buy"}"#, "missing_symbol", None);
    check_refusal(r#"{"ticker":"BTCUSDT","action":"BUY NOW"}"#, "unknown_action", Some("action"));
    check_refusal(
        r#"{"ticker":"X","strategy":{"order_action":"hold"}}"#,
        "unknown_action",
        Some("strategy.order_action"),
    );
    for (fields, first) in [
        (r#""symbol":"ETHUSDT""#, "ticker"),
        (r#""ticker":"ETHUSDT""#, "ticker"),
        (r#""signal":"sell""#, "action"),
        (r#""operation":"close""#, "action"),
        (r#""strategy":{"order_action":"sell"}"#, "action"),
        (r#""secret":"a","token":"b""#, "secret"),
        (r#""secret":"a","secret":"b""#, "secret"),
        (r#""price":"1","price":"2""#, "price"),
        (r#""time":1767225600,"time":1767225601"#, "time"),
    ] {
        check_refusal(with(fields), "conflicting_fields", Some(first));
    }

    // Placeholders, wherever they are.
    for (body, field) in [
        (with(r#""price":"{{close}}""#), "price"),
        (with(r#""price":{{close}}"#), "price"),
        (with(r#""price": {{ close }}"#), "price"),
        (with(r#""note":"at {{plot(\"x\")}} now""#), "note"),
        (with(r#""note":"\u007b{close}}""#), "note"),
        (with(r#""note":"\u007b\u007bclose}\u007d""#), "note"),
        (with(r#""extra":{"list":["ok","{{time}}"]}"#), "extra.list"),
        (r#"{"ticker":"{{ticker}}","action":"buy"}"#.to_owned(), "ticker"),
        (r#"{"ticker":"BTCUSDT","action":"{{strategy.order.action}}"}"#.to_owned(), "action"),
        (r#"{"ticker":"BTCUSDT","strategy":{"order_action":"{{x}}"}}"#.to_owned(), "strategy.order_action"),
        ("{{strategy.order.alert_message}}".to_owned(), "the whole body"),
    ] {
        check_refusal(body, "unexpanded_placeholder", Some(field));
    }
    accepted(&with(r#""note":"{ {close}} }} {{""#));

    // Numbers.
    for name in ["price", "close", "leverage", "stop_loss", "take_profit", "rsi_15", "rsi_4h"] {
        let check =
            |value: &str, code| check_refusal(with(&format!(r#""{name}":{value}"#)), code, Some(name));
        check(r#""1,5""#, "decimal_comma");
        check(r#""1.234,56""#, "decimal_comma");
        check("1,5", "decimal_comma");
        for text in [r#""NaN""#, "NaN", r#""Infinity""#, "-Infinity", r#""-inf""#, "nan"] {
            check(text, "not_finite");
        }
        for text in [r#""abc""#, r#""1.5x""#, r#""1 000""#, r#""0x10""#, r#""$5""#] {
            check(text, "not_a_number");
        }
        for text in ["-1", r#""-0.5""#, "1e400", r#""1e99999999999999999999""#] {
            check(text, "out_of_range");
        }
        for text in ["true", "[1]", r#"{"value":1}"#] {
            check(text, "wrong_type");
        }
    }
    for name in ["price", "stop_loss", "take_profit", "leverage"] {
        for zero in ["0", r#""0.00""#, "-0", "1e-9"] {
            check_refusal(with(&format!(r#""{name}":{zero}"#)), "out_of_range", Some(name));
        }
    }
    for leverage in ["2.5", "126", "255", "256", "257"] {
        check_refusal(with(&format!(r#""leverage":{leverage}"#)), "out_of_range", Some("leverage"));
    }
    check_refusal(with(r#""rsi_15":100.1"#), "out_of_range", Some("rsi_15"));

    // Other types, lengths, times.
    check_refusal(r#"{"ticker":5,"action":"buy"}"#, "wrong_type", Some("ticker"));
    check_refusal(r#"{"ticker":"X","action":true}"#, "wrong_type", Some("action"));
    check_refusal(with(r#""secret":{}"#), "wrong_type", Some("secret"));
    check_refusal(with(r#""signal_id":false"#), "wrong_type", Some("signal_id"));
    for (name, limit) in [
        ("signal_id", 64),
        ("strategy", 128),
        ("interval", 32),
        ("strength", 32),
        ("secret", 256),
        ("token", 256),
    ] {
        accepted(&with(&format!(r#""{name}":"{}""#, "a".repeat(limit))));
        check_refusal(with(&format!(r#""{name}":"{}""#, "a".repeat(limit + 1))), "too_long", Some(name));
    }
    check_refusal(json!({"ticker": "A".repeat(25), "action": "buy"}).to_string(), "too_long", Some("ticker"));
    check_refusal(json!({"ticker": "A".repeat(65), "action": "buy"}).to_string(), "too_long", Some("ticker"));
    check_refusal(json!({"ticker": "A", "action": "buy".repeat(30)}).to_string(), "too_long", Some("action"));
    for name in ["time", "timenow", "timestamp"] {
        for time in
            [r#""yesterday""#, r#""2026-01-01T00:00:00""#, "1", "1767225600000000", r#""12:30""#, "-5"]
        {
            check_refusal(with(&format!(r#""{name}":{time}"#)), "invalid_time", Some(name));
        }
    }
}

#[test]
fn bounds_hold_at_their_edge() {
    let padded = |size: usize| {
        let empty = with(r#""pad":"""#);
        with(&format!(r#""pad":"{}""#, "x".repeat(size - empty.len())))
    };
    assert_eq!(padded(BODY_BYTES_MAX).len(), BODY_BYTES_MAX);
    accepted(&padded(BODY_BYTES_MAX));
    let error = refused(padded(BODY_BYTES_MAX + 1));
    assert_eq!((error.status(), error.code()), (400, "body_too_large"));

    let nested = |levels: usize| with(&format!(r#""a":{}1{}"#, "[".repeat(levels), "]".repeat(levels)));
    accepted(&nested(DEPTH_MAX - 1));
    check_refusal(nested(DEPTH_MAX), "too_deep", None);
    check_refusal(format!("{{\"a\":{}", "[".repeat(60_000)), "too_deep", None);

    let many = |values: usize| with(&format!(r#""a":[{}0]"#, "0,".repeat(values - 1)));
    accepted(&many(VALUES_MAX - 3));
    check_refusal(many(VALUES_MAX - 2), "too_many_values", None);
}

#[test]
fn messages_say_where() {
    assert!(refused(r#"{"ticker":"BTCUSDT" "action":"buy"}"#).to_string().contains("byte 20"));
    assert!(refused("\u{feff}\n{\"a\":\u{1}}").to_string().contains("byte 9"));
    assert_eq!(refused(b"\xef\xbb\xbf {\"a\":\"\xff\"}"), SignalError::InvalidUtf8 { offset: 10 });
    assert_eq!(refused(" \na=1&text=%7B%2"), SignalError::MalformedForm { offset: 14 });
    let error = refused(r#"{"ticker":"BTCUSDT","action":"buy"} {}"#);
    assert_eq!(error, SignalError::MultipleDocuments { offset: 36 });
}

#[test]
fn credentials_stay_out_of_everything_printed() {
    const HIDDEN: &str = "hunter2hunter2";
    for fields in [
        format!(r#""secret":"{HIDDEN}""#),
        format!(r#""token":"{HIDDEN}","x":1"#),
        format!(r#""x":1,"s\u0065cret":"{HIDDEN}","y":2"#),
        format!(r#""secret":"{HIDDEN}","token":"{HIDDEN}""#),
        format!(
            r#""Secret":"{HIDDEN}","deep":{{"token":"{HIDDEN}","list":[{{"apiKey":"{HIDDEN}"}}],"kept":1}}"#
        ),
        format!(r#""api_secret":{{"value":["{HIDDEN}"]}},"PASSWORD":"{HIDDEN}""#),
    ] {
        for body in [with(&fields), format!(r#"{{{fields},"ticker":"BTCUSDT","action":"buy"}}"#)] {
            let draft = accepted(&body);
            assert!(!format!("{draft:?}").contains("hunter2"), "{draft:?}");
            let record: Value = serde_json::from_str(&draft.body).expect("the record is JSON");
            assert_eq!(record["ticker"], "BTCUSDT");
            // Not part of what makes a signal itself, either.
            let other = accepted(&body.replace(HIDDEN, "another"));
            assert_eq!((draft.dedup_key, &draft.body), (other.dedup_key, &other.body));
        }
    }
    let draft = accepted(&with(&format!(r#""s\u0065cret":"{HIDDEN}""#)));
    let secret = draft.secret.expect("an escaped name is still its name");
    assert!(secret.matches(HIDDEN.as_bytes()) && !secret.matches(b"hunter2") && !secret.matches(b""));

    let draft = accepted(&with(r#""Token":"a","strategy":{"secret":"b"}"#));
    assert!(draft.secret.is_none(), "only `secret` and `token` of the top level are the source's secret");

    for body in [
        format!(r#"{{"ticker":"X","action":"{HIDDEN}"}}"#),
        format!(r#"{{"ticker":"{HIDDEN} {HIDDEN}","action":"buy"}}"#),
        with(&format!(r#""price":"{HIDDEN}""#)),
        with(&format!(r#""time":"{HIDDEN}""#)),
        with(&format!(r#""secret":"{HIDDEN}","token":"other""#)),
        with(&format!(r#""secret":"{HIDDEN}{{{{x}}}}""#)),
        format!(r#"{{"secret":"{HIDDEN}" oops}}"#),
        format!(r#"{{"secret":{HIDDEN}}}"#),
        HIDDEN.to_owned(),
    ] {
        let error = refused(&body);
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{body}: {error:?}");
    }
}

#[test]
fn equal_meaning_has_an_equal_key() {
    let key = |body: &str| accepted(body).dedup_key;
    let plain = key(r#"{"ticker":"BTCUSDT","action":"buy","price":1.5,"note":"x","n":{"a":1,"b":[2]}}"#);
    for body in [
        r#"{"n":{"b":[2.0],"a":1e0},"note":"\u0078","price":"1.50","action":"BUY","ticker":"BTCUSDT"}"#,
        r#"{"symbol":"BINANCE:BTCUSDT.P","signal":"sinal long","close":15e-1,"note":"x","n":{"a":1,"b":[2]},"secret":"s"}"#,
        r#"{"ticker":"BTCUSDT","action":"buy","price":1.5,"note":"x","n":{"a":1,"b":[2]},"timenow":"2026-01-01T00:00:00Z"}"#,
    ] {
        assert_eq!(key(body), plain, "{body}");
    }
    for body in [
        r#"{"ticker":"ETHUSDT","action":"buy","price":1.5,"note":"x","n":{"a":1,"b":[2]}}"#,
        r#"{"ticker":"BTCUSDT","action":"sell","price":1.5,"note":"x","n":{"a":1,"b":[2]}}"#,
        r#"{"ticker":"BTCUSDT","action":"strong_buy","price":1.5,"note":"x","n":{"a":1,"b":[2]}}"#,
        r#"{"ticker":"BTCUSDT","action":"buy","price":1.51,"note":"x","n":{"a":1,"b":[2]}}"#,
        r#"{"ticker":"BTCUSDT","action":"buy","stop_loss":1.5,"note":"x","n":{"a":1,"b":[2]}}"#,
        r#"{"ticker":"BTCUSDT","action":"buy","note":"x","n":{"a":1,"b":[2]}}"#,
        r#"{"ticker":"BTCUSDT","action":"buy","price":1.5,"note":"y","n":{"a":1,"b":[2]}}"#,
        r#"{"ticker":"BTCUSDT","action":"buy","price":1.5,"note":"x","n":{"a":2,"b":[1]}}"#,
        r#"{"ticker":"BTCUSDT","action":"buy","price":1.5,"note":"x","n":{"a":"1","b":[2]}}"#,
        r#"{"ticker":"BTCUSDT","action":"buy","price":1.5,"note":"x","n":{"a":1,"b":2}}"#,
        r#"{"ticker":"BTCUSDT","action":"buy","price":1.5,"note":"x","n":{"a":1},"b":[2]}"#,
        r#"{"ticker":"BTCUSDT","action":"buy","price":1.5,"note":"x","n":{"a":1,"b":[2]},"signal_id":"1"}"#,
    ] {
        assert_ne!(key(body), plain, "{body}");
    }
    // Where one value ends and the next begins counts, and so does a name.
    let shapes = [
        r#""a":[[1],2]"#,
        r#""a":[[1,2]]"#,
        r#""a":[1,2]"#,
        r#""a":[12]"#,
        r#""b":[12]"#,
        r#""a":["1","2"]"#,
        r#""a":["12",""]"#,
        r#""a":{"b":{"c":1}}"#,
        r#""a":{"b":{},"c":1}"#,
        r#""a":true"#,
        r#""a":false"#,
        r#""a":null"#,
        r#""a":-1"#,
        r#""a":10"#,
        r#""a":1e2"#,
    ];
    for (index, one) in shapes.iter().enumerate() {
        for other in &shapes[index + 1..] {
            assert_ne!(key(&with(one)), key(&with(other)), "{one} {other}");
        }
    }
    // Two forms of one second; another second is another signal.
    let at = |time: &str| accepted(&with(&format!(r#""timenow":{time}"#)));
    let (iso, unix, later) = (at(r#""2026-01-01T00:00:00.4Z""#), at("1767225600900"), at("1767225601"));
    assert_eq!((iso.dedup_key, iso.dedup_time), (unix.dedup_key, unix.dedup_time));
    assert_ne!(iso.dedup_time, later.dedup_time);
}
