//! HTTP calls with JSON, over one kept connection.

use net::http::client::{Client, ClientError};
use serde_json::Value;

/// A call's status and document.
pub type Answer = (u16, Value);

/// Calls; the answer, or nothing when the connection ended before it came: then what became of the request is not known.
pub fn try_call(client: &mut Client, method: &str, path: &str, bearer: &str, body: &Value) -> Option<Answer> {
    let authorization = format!("Bearer {bearer}");
    let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    match client.request(method, path, &[("Authorization", &authorization)], &bytes) {
        Ok(response) => {
            let document = serde_json::from_slice(&response.body)
                .unwrap_or_else(|error| panic!("{method} {path}: not JSON ({error}): {}", response.text()));
            Some((response.status, document))
        }
        Err(ClientError::Closed | ClientError::Transfer { .. } | ClientError::Connect { .. }) => None,
        Err(error) => panic!("{method} {path}: {error}"),
    }
}

/// Calls a server that is expected to live.
pub fn call(client: &mut Client, method: &str, path: &str, bearer: &str, body: &Value) -> Answer {
    try_call(client, method, path, bearer, body).unwrap_or_else(|| panic!("{method} {path}: no answer"))
}

/// Reads a document that is expected to be there.
pub fn get(client: &mut Client, path: &str, bearer: &str) -> Value {
    let (status, document) = call(client, "GET", path, bearer, &Value::Null);
    assert_eq!(status, 200, "GET {path}: {document}");
    document
}

/// Posts, and expects this status.
pub fn post(client: &mut Client, path: &str, bearer: &str, body: &Value, expected: u16) -> Value {
    let (status, document) = call(client, "POST", path, bearer, body);
    assert_eq!(status, expected, "POST {path}: {document}");
    document
}

/// A list in a document.
pub fn list<'a>(document: &'a Value, name: &str) -> &'a [Value] {
    document[name].as_array().unwrap_or_else(|| panic!("a list {name:?} is in {document}"))
}

/// A text in a document.
pub fn text<'a>(document: &'a Value, name: &str) -> &'a str {
    document[name].as_str().unwrap_or_else(|| panic!("a text {name:?} is in {document}"))
}

/// A decimal in a document, in units of 1e-8.
pub fn units(document: &Value, name: &str) -> i64 {
    let decimal = text(document, name);
    let parsed = decimal.parse::<engine::core::fixed::Quantity>();
    parsed.unwrap_or_else(|error| panic!("{name}: {decimal}: {error}")).units()
}
