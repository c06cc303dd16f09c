//! The parameters of a request, from a query string or a JSON body, as texts: no number passes through a float.
//!
//! **Invariants**: types are what Bybit's are: decimals are JSON strings, indices JSON integers, flags JSON booleans; in a
//! query all are texts. An empty text is a parameter that was not given. **Bounds**: [`FIELDS_MAX`], [`BYTES_MAX`].

use std::collections::BTreeMap;
use std::str::FromStr;

use serde_json::value::RawValue;

use super::codes::Refusal;

/// Most parameters of one request: order/create, which has the most, has about forty.
pub const FIELDS_MAX: usize = 64;
/// Longest body or query in bytes: a batch of twenty orders with every parameter set is below 20 000.
pub const BYTES_MAX: usize = 32_768;

/// A value as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Text(String),
    /// A JSON number, as it was written.
    Number(String),
    Flag(bool),
    /// A list or an object, as it was written.
    Nested(String),
}

/// The parameters of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    values: BTreeMap<String, Value>,
    /// Whether all are texts, numbers and flags too.
    query: bool,
}

impl Fields {
    /// Reads a query string. What is not valid percent-encoding stands for itself.
    ///
    /// # Errors
    /// 10001 when there is too much of it.
    pub fn of_query(query: &str) -> Result<Self, Refusal> {
        if query.len() > BYTES_MAX {
            return Err(Refusal::parameter("query too long"));
        }
        let mut values = BTreeMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            if values.len() >= FIELDS_MAX {
                return Err(Refusal::parameter("too many parameters"));
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            values.insert(decoded(name), Value::Text(decoded(value)));
        }
        Ok(Self { values, query: true })
    }

    /// Reads a JSON object; an empty body is an empty one.
    ///
    /// # Errors
    /// 10001 when it is none, or too large.
    pub fn of_json(body: &[u8]) -> Result<Self, Refusal> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        if body.len() > BYTES_MAX {
            return Err(Refusal::parameter("body too long"));
        }
        let wrong = || Refusal::parameter("the body is no JSON object");
        let raw: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(body).map_err(|_| wrong())?;
        if raw.len() > FIELDS_MAX {
            return Err(Refusal::parameter("too many parameters"));
        }
        let mut values = BTreeMap::new();
        for (name, value) in raw {
            let text = value.get();
            let value = match text.as_bytes().first() {
                Some(b'"') => Value::Text(serde_json::from_str(text).map_err(|_| wrong())?),
                Some(b't') => Value::Flag(true),
                Some(b'f') => Value::Flag(false),
                Some(b'n') | None => continue,
                Some(b'{' | b'[') => Value::Nested(text.to_owned()),
                Some(_) => Value::Number(text.to_owned()),
            };
            values.insert(name, value);
        }
        Ok(Self { values, query: false })
    }

    /// A text; `None` when it is absent or empty.
    ///
    /// # Errors
    /// 10001 for a value of another type.
    pub fn text(&self, name: &str) -> Result<Option<&str>, Refusal> {
        match self.values.get(name) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok((!text.is_empty()).then_some(text.as_str())),
            Some(_) => Err(Refusal::parameter(format_args!("{name} must be a string"))),
        }
    }

    /// A text that has to be there.
    ///
    /// # Errors
    /// 10001.
    pub fn needed(&self, name: &str) -> Result<&str, Refusal> {
        self.text(name)?.ok_or_else(|| Refusal::parameter(format_args!("{name} is required")))
    }

    /// A decimal, exactly as it was written; `None` when it is absent.
    ///
    /// # Errors
    /// 10001 for what is no decimal of at most eight places.
    pub fn decimal<T: FromStr>(&self, name: &str) -> Result<Option<T>, Refusal> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| Refusal::parameter(format_args!("{name} invalid")))
    }

    /// A whole number from zero; `None` when it is absent.
    ///
    /// # Errors
    /// 10001.
    pub fn whole(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let text = match self.values.get(name) {
            None => return Ok(None),
            Some(Value::Number(text)) => text,
            Some(Value::Text(text)) if self.query && text.is_empty() => return Ok(None),
            Some(Value::Text(text)) if self.query => text,
            Some(_) => return Err(Refusal::parameter(format_args!("{name} must be an integer"))),
        };
        text.parse().map(Some).map_err(|_| Refusal::parameter(format_args!("{name} invalid")))
    }

    /// A flag; `false` when it is absent.
    ///
    /// # Errors
    /// 10001.
    pub fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.values.get(name) {
            None => Ok(false),
            Some(Value::Flag(flag)) => Ok(*flag),
            Some(Value::Text(text)) if self.query => Ok(text == "true"),
            Some(_) => Err(Refusal::parameter(format_args!("{name} must be a boolean"))),
        }
    }

    /// A list of objects that has to be there.
    ///
    /// # Errors
    /// 10001, also for more than `most` of them.
    pub fn objects(&self, name: &str, most: usize) -> Result<Vec<Self>, Refusal> {
        let wrong = || Refusal::parameter(format_args!("{name} must be a list of objects"));
        let Some(Value::Nested(text)) = self.values.get(name) else { return Err(wrong()) };
        let items: Vec<Box<RawValue>> = serde_json::from_str(text).map_err(|_| wrong())?;
        if items.is_empty() || items.len() > most {
            return Err(Refusal::parameter(format_args!("{name} must have 1 to {most} items")));
        }
        items.iter().map(|item| Self::of_json(item.get().as_bytes())).collect()
    }

    /// `limit`, brought into its range.
    ///
    /// # Errors
    /// 10001 for what is no whole number.
    pub fn limit(&self, default: usize, most: usize) -> Result<usize, Refusal> {
        let asked = self.whole("limit")?.and_then(|limit| usize::try_from(limit).ok());
        Ok(asked.unwrap_or(default).clamp(1, most))
    }

    /// Sets a text, as if it had come with the request.
    pub fn set(&mut self, name: &str, text: &str) {
        self.values.insert(name.to_owned(), Value::Text(text.to_owned()));
    }
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let pair = bytes.get(at + 1..at + 3).filter(|pair| pair.iter().all(u8::is_ascii_hexdigit));
        let pair = pair.filter(|_| *byte == b'%').and_then(|pair| std::str::from_utf8(pair).ok());
        let escaped = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match escaped {
            Some(escaped) => {
                out.push(escaped);
                at += 3;
            }
            None => {
                out.push(if *byte == b'+' { b' ' } else { *byte });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::core::fixed::Price;

    #[test]
    fn types_are_those_of_bybit() {
        let fields = Fields::of_json(
            br#"{"qty":"0.001","price":1.5,"positionIdx":0,"reduceOnly":true,"note":null,"x":"","o":[{"a":"b"}]}"#,
        )
        .unwrap();
        assert_eq!(fields.needed("qty"), Ok("0.001"));
        assert_eq!(fields.text("price").unwrap_err().code, 10001);
        assert_eq!(fields.whole("positionIdx"), Ok(Some(0)));
        assert_eq!(fields.flag("reduceOnly"), Ok(true));
        assert_eq!((fields.text("note"), fields.text("x")), (Ok(None), Ok(None)));
        assert_eq!(fields.objects("o", 10).unwrap()[0].needed("a"), Ok("b"));
        assert!(fields.objects("qty", 10).is_err());
    }

    #[test]
    fn decimals_are_exact_or_refused() {
        let fields =
            Fields::of_json(br#"{"a":"0.00000001","b":"0.000000001","c":"9.2e-7","d":"1,5"}"#).unwrap();
        assert_eq!(fields.decimal::<Price>("a"), Ok(Some(Price::from_units(1))));
        assert_eq!(fields.decimal::<Price>("b").unwrap_err().code, 10001);
        assert_eq!(fields.decimal::<Price>("c"), Ok(Some(Price::from_units(92))));
        assert!(fields.decimal::<Price>("d").is_err());
    }

    #[test]
    fn hostile_input_is_an_error() {
        for body in [&b"["[..], b"{", b"[]", b"1", b"\xff", b"{\"a\":1e}", b"nul"] {
            assert_eq!(Fields::of_json(body).unwrap_err().code, 10001, "{body:?}");
        }
        let many = (0..=FIELDS_MAX).map(|n| format!("\"{n}\":1")).collect::<Vec<_>>().join(",");
        assert!(Fields::of_json(format!("{{{many}}}").as_bytes()).is_err());
        assert!(Fields::of_query(&"a".repeat(BYTES_MAX + 1)).is_err());
        assert_eq!(Fields::of_query("a=%zz&b=%e5%b8%81&&c").unwrap().needed("a"), Ok("%zz"));
    }
}
