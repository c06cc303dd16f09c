//! Bodies of signals.

use api::signal::{
    BODY_BYTES_MAX, Draft, LEVERAGE_MAX, SECRET_BYTES_MAX, SIGNAL_ID_BYTES_MAX, SignalError, parse,
};
use engine::core::fixed::Rate;
use serde_json::value::RawValue;

use super::{CREDENTIAL, CREDENTIAL_PART, check_code, check_hidden, check_message};

const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// Names that a credential is known by.
const NAMES: [&str; 4] = ["password", "API_KEY", "apiSecret", "Authorization"];

/// A body gives a draft or a named error, the same twice; what is kept of it is read as the same signal; more fields, blanks
/// and a form around it change only what they should; and a credential in it is kept to itself, whatever is wrong.
pub(crate) fn check(body: &[u8]) {
    let result = read(None, body);
    let _ = read(Some(FORM), body);
    if let Ok(draft) = &result {
        check_draft(draft, body);
    }
    let content = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii();
    if content.first() == Some(&b'{') {
        check_form(content, &result);
        let shown =
            content.windows(CREDENTIAL_PART).any(|part| part == &CREDENTIAL.as_bytes()[..CREDENTIAL_PART]);
        if !content.starts_with(b"{{") && !shown {
            check_secret(content, &result);
            check_unknown_field(content, &result);
        }
    }
}

/// Two readings of the same bytes, which must be equal.
fn read(content_type: Option<&str>, body: &[u8]) -> Result<Draft, SignalError> {
    let one = parse(content_type, body);
    let other = parse(content_type, body);
    match (&one, &other) {
        (Ok(one), Ok(other)) => assert_same(one, other, true),
        (Err(one), Err(other)) => {
            assert_eq!(one, other);
            assert_eq!(one.status(), 400);
            check_code(one.code());
            check_message_of(one);
        }
        _ => panic!("a draft once and an error once"),
    }
    one
}

/// As [`check_message`], but the field's name may be any.
fn check_message_of(error: &SignalError) {
    let text = error.to_string();
    assert!(!text.is_empty() && text.len() <= 1_000 && !text.chars().any(char::is_control), "{text:?}");
}

fn assert_same(one: &Draft, other: &Draft, with_secret: bool) {
    let secret = |draft: &Draft| draft.secret.as_ref().map(|secret| secret.expose().to_owned());
    assert!(!with_secret || secret(one) == secret(other), "another secret");
    let (mut one, mut other) = (one.clone(), other.clone());
    (one.secret, other.secret) = (None, None);
    assert_eq!(format!("{one:?}"), format!("{other:?}"));
}

fn check_draft(draft: &Draft, body: &[u8]) {
    assert!(body.len() <= BODY_BYTES_MAX && draft.body.len() <= body.len());
    assert!(serde_json::from_str::<&RawValue>(&draft.body).is_ok(), "{} is not JSON", draft.body);
    assert!(!draft.ticker.is_empty() && !draft.symbol.as_str().is_empty());
    assert!(draft.leverage.is_none_or(|leverage| (1..=LEVERAGE_MAX).contains(&leverage)));
    let prices = [draft.price, draft.stop_loss, draft.take_profit];
    assert!(prices.iter().flatten().all(|price| price.units() > 0));
    let hundred = Rate::from_units(100 * engine::core::fixed::UNIT);
    assert!([draft.rsi_15, draft.rsi_4h].iter().flatten().all(|rsi| (Rate::ZERO..=hundred).contains(rsi)));
    assert!(draft.signal_id.as_ref().is_none_or(|id| (1..=SIGNAL_ID_BYTES_MAX).contains(&id.len())));
    assert!(draft.secret.as_ref().is_none_or(|s| (1..=SECRET_BYTES_MAX).contains(&s.expose().len())));
    assert_eq!(draft.dedup_time, draft.at.map(|at| at.0 / 1_000_000));
    let again = parse(None, draft.body.as_bytes()).expect("what is kept is a signal");
    assert!(again.secret.is_none(), "a secret is kept");
    assert_same(&again, draft, false);
    let wide = parse(None, format!("\r\n {}\t", draft.body).as_bytes());
    assert!(draft.body.len() + 4 > BODY_BYTES_MAX || wide.is_ok_and(|w| w.dedup_key == draft.dedup_key));
}

/// The same content in a form, each byte escaped, is the same signal or the same error.
fn check_form(content: &[u8], plain: &Result<Draft, SignalError>) {
    if "text=".len() + 3 * content.len() > BODY_BYTES_MAX {
        return;
    }
    let escaped: String = content.iter().map(|byte| format!("%{byte:02X}")).collect();
    let form = parse(Some(FORM), format!("text={escaped}").as_bytes());
    match (plain, &form) {
        (Ok(plain), Ok(form)) => assert_same(plain, form, true),
        (Err(plain), Err(form)) => assert_eq!(plain.code(), form.code()),
        _ => panic!("as JSON {plain:?}, in a form {form:?}"),
    }
}

/// The object with a member before its others.
fn with_member(content: &[u8], member: &str) -> Vec<u8> {
    let rest = &content[1..];
    let comma = if rest.trim_ascii_start().first() == Some(&b'}') { "" } else { "," };
    [format!("{{{member}{comma}").as_bytes(), rest].concat()
}

/// A secret in the body changes nothing but the secret, and shows nowhere, wherever the body is cut off.
fn check_secret(content: &[u8], plain: &Result<Draft, SignalError>) {
    let sent = with_member(content, &format!(r#""secret":"{CREDENTIAL}""#));
    match (plain, read(None, &sent)) {
        (Ok(plain), Ok(draft)) => {
            let secret = draft.secret.as_ref().expect("the secret that was sent");
            assert_eq!(secret.expose(), CREDENTIAL);
            check_hidden(&format!("{draft:?}"));
            assert_same(plain, &draft, false);
        }
        (Ok(plain), Err(error)) => {
            check_message(&error.to_string());
            let why = ["conflicting_fields", "body_too_large", "too_many_values"];
            assert!(why.contains(&error.code()), "{plain:?} with a secret: {error}");
        }
        (Err(plain), Err(error)) => {
            check_message_of(&error);
            check_hidden(&format!("{error} {error:?}"));
            let why = ["conflicting_fields", "body_too_large", "too_many_values"];
            assert!(plain.code() == error.code() || why.contains(&error.code()), "{plain}, then {error}");
        }
        (Err(plain), Ok(_)) => panic!("accepted with a secret, and without: {plain}"),
    }
    let at = content.iter().fold(0_usize, |sum, byte| sum.wrapping_mul(31) + usize::from(*byte));
    if let Err(error) = parse(None, &sent[..at % sent.len()]) {
        check_hidden(&format!("{error} {error:?}"));
    }
    let name = NAMES[at % NAMES.len()];
    let nested = with_member(content, &format!(r#""nested":[{{"{name}":"{CREDENTIAL}"}}]"#));
    match parse(None, &nested) {
        Ok(draft) => check_hidden(&format!("{draft:?}")),
        Err(error) => check_hidden(&format!("{error} {error:?}")),
    }
}

/// A field nobody knows is kept, counts for the key of repeats and for nothing else.
fn check_unknown_field(content: &[u8], plain: &Result<Draft, SignalError>) {
    let Ok(plain) = plain else { return };
    match parse(None, &with_member(content, r#""nobody_knows":{"a":[1,null]}"#)) {
        Ok(mut draft) => {
            assert!(draft.body.contains(r#""nobody_knows":{"a":[1,null]}"#));
            assert_ne!(draft.dedup_key, plain.dedup_key);
            (draft.dedup_key, draft.body) = (plain.dedup_key, plain.body.clone());
            assert_same(&draft, plain, true);
        }
        Err(error) => assert!(["body_too_large", "too_many_values"].contains(&error.code()), "{error}"),
    }
}
