//! Pages that are spoilt on purpose: a judge that agrees with one of them would agree with anything.
//!
//! **Runs on**: the simulator's thread.

use serde_json::Value;

/// One in so many pages is held against the model once more, spoilt.
pub(super) const ONE_IN: u64 = 4;

/// The same page with one thing changed that it must show, the first field of this name: a text that nobody ever had. `None`
/// where it shows no such thing.
pub(super) fn spoilt(field: &str, shown: &Value) -> Option<Value> {
    let mut spoilt = shown.clone();
    spoil(&mut spoilt, field).then_some(spoilt)
}

/// Spoils the first field of this name, which is in the newest row; whether there is one. Of what is old not all is compared.
fn spoil(value: &mut Value, field: &str) -> bool {
    match value {
        Value::Array(rows) => rows.iter_mut().any(|row| spoil(row, field)),
        Value::Object(fields) => {
            if let Some(Value::String(text)) = fields.get_mut(field) {
                text.push('?');
                return true;
            }
            fields.iter_mut().any(|(_, each)| spoil(each, field))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_row_of_a_page_is_spoilt_and_an_empty_one_is_not() {
        let page =
            serde_json::json!({ "live": [{ "state": "a" }], "recent": [{ "state": "b" }, { "state": "c" }] });
        let found = spoilt("state", &page).expect("it shows orders");
        assert_eq!(found["live"][0]["state"], "a?");
        assert_eq!(found["recent"], page["recent"]);
        assert_eq!(spoilt("state", &serde_json::json!({ "live": [], "recent": [] })), None);
    }
}
