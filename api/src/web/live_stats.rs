//! The server's figures as one state with a version: who comes new gets all of it, who follows gets what changed (CASES.md S13).
//!
//! **Owns**: the state, which is flat: the path of each value (RFC 6901) and the value as JSON.
//! **Invariants**: a snapshot is what all changes up to its version come to, whoever followed since when. Versions have no gap.
//! **Bounds**: the document's, which is the server's own: so many figures for each shard and each line to an exchange.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

/// See the module's head.
#[derive(Debug, Default)]
pub struct LiveStats {
    version: u64,
    /// The JSON text of each value by its path.
    values: BTreeMap<String, String>,
}

impl LiveStats {
    /// How many changes there were; 0 before the first reading.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Takes a new reading. Gives what is to be told to those who have the version before: `"version":…,"unset":[…],"set":{…}`, or
    /// nothing where nothing changed.
    pub fn take(&mut self, document: &Value) -> Option<String> {
        let mut values = BTreeMap::new();
        flatten(&mut String::new(), document, &mut values);
        let mut set = String::new();
        for (path, value) in &values {
            if self.values.get(path) != Some(value) {
                push_member(&mut set, path, value);
            }
        }
        let mut unset = String::new();
        for path in self.values.keys().filter(|path| !values.contains_key(*path)) {
            push_comma(&mut unset);
            unset.push_str(&quoted(path));
        }
        if set.is_empty() && unset.is_empty() && self.version > 0 {
            return None;
        }
        self.version += 1;
        if self.version == 1 || !planted::planted!("newcomer_gets_the_first_figures") {
            self.values = values;
        }
        // In the order to apply them in: what was a list without anything may have members now.
        Some(format!("\"version\":{},\"unset\":[{unset}],\"set\":{{{set}}}", self.version))
    }

    /// All of it: `"version":…,"snapshot":{…}`.
    #[must_use]
    pub fn snapshot(&self) -> String {
        let mut all = String::new();
        for (path, value) in &self.values {
            push_member(&mut all, path, value);
        }
        format!("\"version\":{},\"snapshot\":{{{all}}}", self.version)
    }
}

fn push_comma(text: &mut String) {
    if !text.is_empty() {
        text.push(',');
    }
}

fn push_member(text: &mut String, path: &str, value: &str) {
    push_comma(text);
    write!(text, "{}:{value}", quoted(path)).expect("writing into memory does not fail");
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Every value that is not an object or a list with something in it.
fn flatten(path: &mut String, value: &Value, values: &mut BTreeMap<String, String>) {
    let before = path.len();
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, member) in members {
                path.push('/');
                path.push_str(&name.replace('~', "~0").replace('/', "~1"));
                flatten(path, member, values);
                path.truncate(before);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (place, item) in items.iter().enumerate() {
                write!(path, "/{place}").expect("writing into memory does not fail");
                flatten(path, item, values);
                path.truncate(before);
            }
        }
        leaf => drop(values.insert(path.clone(), leaf.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, json};

    use super::*;

    /// What a client holds.
    #[derive(Clone, Debug, Default, PartialEq)]
    struct Held {
        version: Value,
        values: Map<String, Value>,
    }

    fn message(text: &str) -> Value {
        serde_json::from_str(&format!("{{{text}}}")).expect("JSON")
    }

    impl Held {
        fn begun(snapshot: &str) -> Self {
            let told = message(snapshot);
            let values = told["snapshot"].as_object().expect("values").clone();
            Self { version: told["version"].clone(), values }
        }

        fn follow(&mut self, change: &str) {
            let told = message(change);
            let expected = self.version.as_u64().expect("a number") + 1;
            assert_eq!(told["version"], expected, "no version is left out");
            self.version = told["version"].clone();
            self.values.extend(told["set"].as_object().expect("values").clone());
            for path in told["unset"].as_array().expect("paths") {
                let was = self.values.remove(path.as_str().expect("a path"));
                assert!(was.is_some(), "only what was there goes: {path}");
            }
        }
    }

    fn documents() -> impl Strategy<Value = Vec<Value>> {
        let leaf = prop_oneof![
            any::<u8>().prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
            Just(Value::Null),
            "[a/~\"é]{0,3}".prop_map(Value::from),
        ];
        let value = leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[ab/~\"]{0,2}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        });
        prop::collection::vec(value, 1..8)
    }

    proptest! {
        /// CASES.md S13: whoever begins at whichever version holds what those hold who followed from the first on, and every value
        /// of the document is where its path says.
        #[test]
        fn case_s13_a_newcomer_holds_what_followers_hold(documents in documents()) {
            let mut stats = LiveStats::default();
            let mut followers: Vec<Held> = Vec::new();
            for document in &documents {
                if let Some(change) = stats.take(document) {
                    followers.iter_mut().for_each(|held| held.follow(&change));
                }
                let newcomer = Held::begun(&stats.snapshot());
                for held in &followers {
                    prop_assert_eq!(held, &newcomer);
                }
                for (path, value) in &newcomer.values {
                    prop_assert_eq!(document.pointer(path), Some(value));
                }
                followers.push(newcomer);
            }
        }
    }

    #[test]
    fn what_did_not_change_is_not_told_again() {
        let mut stats = LiveStats::default();
        let first = stats.take(&json!({ "a": [1, { "b": "x" }], "c": {} })).expect("the first");
        assert_eq!(
            message(&first),
            json!({ "version": 1, "set": { "/a/0": 1, "/a/1/b": "x", "/c": {} }, "unset": [] })
        );
        assert_eq!(stats.take(&json!({ "a": [1, { "b": "x" }], "c": {} })), None);
        let second = stats.take(&json!({ "a": [2], "c": {} })).expect("a change");
        assert_eq!(message(&second), json!({ "version": 2, "set": { "/a/0": 2 }, "unset": ["/a/1/b"] }));
    }
}
