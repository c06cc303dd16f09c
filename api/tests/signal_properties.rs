//! Signal bodies, whatever they hold: what is read means the same in every form, and nothing panics.

use api::signal::parse;
use engine::core::fixed::Price;
use proptest::prelude::*;
use serde_json::{Value, json};

/// A body that is complete but for what is added.
fn with(fields: &str) -> String {
    format!(r#"{{"ticker":"BTCUSDT","action":"buy",{fields}}}"#)
}

/// Any JSON whose numbers a float holds exactly, as the comparison parser has only floats. None is whole and written
/// with a point, because `1` and `1.0` are one number to us and two to it.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1_000_000..1_000_000_i32).prop_map(|n| Value::from(f64::from(2 * n + 1) / 128.0)),
        "[^{}]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::hash_map("[a-z\u{e9}\"\\\\ ]{0,6}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Writes a value with its members in the order that `turn` gives, and blanks from it too.
fn write_shuffled(value: &Value, turn: &mut usize, out: &mut String) {
    const BLANKS: [&str; 4] = ["", " ", "\n\t", "\r\n  "];
    let mut blank = |out: &mut String| {
        *turn = turn.wrapping_mul(31).wrapping_add(7);
        out.push_str(BLANKS[*turn % BLANKS.len()]);
    };
    blank(out);
    match value {
        Value::Object(map) => {
            let mut members: Vec<_> = map.iter().collect();
            members
                .sort_by_key(|(key, _)| key.bytes().map(usize::from).sum::<usize>().wrapping_mul(*turn | 1));
            out.push('{');
            for (index, (key, value)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&format!(" {} :", Value::from(key.as_str())));
                write_shuffled(value, turn, out);
            }
            out.push_str(" }");
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_shuffled(item, turn, out);
            }
            out.push_str("\n]");
        }
        other => out.push_str(&other.to_string()),
    }
}

proptest! {
    #[test]
    fn any_json_is_kept(extra in any_json()) {
        let sent = json!({ "ticker": "BTCUSDT", "action": "buy", "extra": extra });
        let draft = parse(None, sent.to_string().as_bytes()).unwrap();
        prop_assert_eq!(serde_json::from_str::<Value>(&draft.body).unwrap(), sent);
    }

    #[test]
    fn order_and_blanks_do_not_change_the_key(extra in any_json(), turn: usize) {
        let sent = json!({ "ticker": "BTCUSDT", "action": "buy", "price": "1.5", "extra": extra, "more": [1, {"x": 2, "y": 3}] });
        let plain = parse(None, sent.to_string().as_bytes()).unwrap();
        let mut shuffled = String::new();
        write_shuffled(&sent, &mut { turn }, &mut shuffled);
        prop_assert_eq!(parse(None, shuffled.as_bytes()).unwrap().dedup_key, plain.dedup_key, "{}", shuffled);
    }

    #[test]
    fn another_field_makes_another_key(one in any_json(), other in any_json()) {
        let key = |extra: &Value| {
            parse(None, json!({ "ticker": "B", "action": "buy", "extra": extra }).to_string().as_bytes()).unwrap().dedup_key
        };
        prop_assert_eq!(key(&one) == key(&other), one == other);
    }

    #[test]
    fn number_forms_of_one_value_share_a_key(units in 1_i64..1_000_000_000_000, zeros in 0_usize..4, shift in 0_usize..9) {
        let price = Price::from_units(units).to_string();
        let padded = if price.contains('.') { format!("{price}{}", "0".repeat(zeros)) } else { price.clone() };
        let shifted = format!("{units}{}e-{}", "0".repeat(shift), shift + 8);
        let drafts: Vec<_> = [price.clone(), padded.clone(), shifted.clone(), format!("\"{price}\""), format!("\"{padded}\""), format!("\" {shifted}\"")]
            .iter()
            .map(|form| parse(None, with(&format!(r#""price":{form},"n":[{}]"#, form.trim_matches(['"', ' ']))).as_bytes()).unwrap())
            .collect();
        for draft in &drafts {
            prop_assert_eq!(draft.price, Some(Price::from_units(units)));
            prop_assert_eq!(draft.dedup_key, drafts[0].dedup_key);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), header in prop::option::of(".{0,40}")) {
        let _ = parse(header.as_deref(), &bytes);
    }

    #[test]
    fn json_like_text_never_panics(text in "(text=)?[{}\\[\\]\",:\\\\u0-9a-fEe.+ %&=-]{0,60}") {
        let _ = parse(None, text.as_bytes());
    }

    /// Bodies damaged in one or two places are malformed to us exactly when they are to serde_json.
    #[test]
    fn damaged_bodies_are_judged_as_serde_json_does(
        extra in any_json(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..3, prop::sample::select(br#"{}[]",:\0159eE.-+tnul x"#.to_vec())), 1..3),
    ) {
        let mut bytes = json!({ "ticker": "BTCUSDT", "action": "buy", "price": 1.5, "extra": extra, "s": "\u{e9}\n\"" }).to_string().into_bytes();
        for (at, how, byte) in damage {
            let at = at.index(bytes.len());
            match how {
                0 => { bytes.remove(at); }
                1 => bytes[at] = byte,
                _ => bytes.insert(at, byte),
            }
        }
        let theirs = serde_json::from_slice::<Value>(&bytes);
        match parse(None, &bytes) {
            // Numbers beyond a float are theirs to refuse.
            Ok(_) if theirs.as_ref().is_err_and(|error| error.to_string().contains("number out of range")) => {}
            Ok(draft) => {
                prop_assert!(theirs.is_ok(), "{}", String::from_utf8_lossy(&bytes));
                prop_assert!(serde_json::from_str::<Value>(&draft.body).is_ok());
            }
            Err(error) if ["malformed_json", "invalid_utf8", "multiple_documents", "decimal_comma"].contains(&error.code()) => {
                prop_assert!(theirs.is_err(), "{error}: {}", String::from_utf8_lossy(&bytes));
            }
            Err(_) => {}
        }
    }
}
