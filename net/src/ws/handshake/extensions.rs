//! The grammar of Sec-WebSocket-Extensions (RFC 6455 §9.1).
//!
//! **Invariants**: commas and semicolons within quotes separate nothing.

use super::is_token;

/// The extensions of a header's value, each with its parameters, in their order.
pub(super) fn extensions(value: &str) -> impl Iterator<Item = Extension<'_>> {
    split(value, b',').filter(|text| !text.is_empty()).map(|text| Extension { text })
}

/// One member of the list, not yet checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extension<'a> {
    text: &'a str,
}

/// A parameter that breaks the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl<'a> Extension<'a> {
    pub(super) fn name(self) -> &'a str {
        split(self.text, b';').next().unwrap_or_default()
    }

    /// Names and values; quotes around a value are taken off.
    pub(super) fn parameters(self) -> impl Iterator<Item = Result<(&'a str, Option<&'a str>), Malformed>> {
        split(self.text, b';').skip(1).map(parameter)
    }
}

fn parameter(text: &str) -> Result<(&str, Option<&str>), Malformed> {
    let (name, value) = match text.split_once('=') {
        None => (text, None),
        Some((name, value)) => (name.trim_ascii_end(), Some(value.trim_ascii_start())),
    };
    // What is quoted must be a token too, so an escape within it never is valid here.
    let value =
        value.map(|value| value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value));
    if is_token(name.as_bytes()) && value.is_none_or(|value| is_token(value.as_bytes())) {
        Ok((name, value))
    } else {
        Err(Malformed)
    }
}

/// Parts of `text` between separators outside of quotes, without surrounding blanks.
fn split(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let mut quoted = false;
        let end = text.bytes().position(|byte| {
            quoted ^= byte == b'"';
            byte == separator && !quoted
        });
        rest = end.map(|end| &text[end + 1..]);
        Some(text[..end.unwrap_or(text.len())].trim_ascii())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_with_quotes_and_blanks() {
        let value = "a, b ;c; d = 10 ;e=\"x\" , , f; g=\"1,2;3\"; =; h=\"";
        let all: Vec<_> =
            extensions(value).map(|found| (found.name(), found.parameters().collect::<Vec<_>>())).collect();
        assert_eq!(
            all,
            [
                ("a", vec![]),
                ("b", vec![Ok(("c", None)), Ok(("d", Some("10"))), Ok(("e", Some("x")))]),
                ("f", vec![Ok(("g", Some("1,2;3"))).and(Err(Malformed)), Err(Malformed), Err(Malformed)]),
            ]
        );
    }
}
