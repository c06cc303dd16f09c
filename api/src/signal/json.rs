//! One pass over a JSON object: checks it, copies it compactly without its credentials, and notes where each value is.
//!
//! Numbers stay text, so nothing is lost to a binary float. The grammar is RFC 8259 without exceptions, except that what
//! senders of alerts often get wrong has its own reason: placeholders, decimal commas, `NaN`.
//!
//! **Invariants**: [`Document::text`] is valid JSON; every span in a node lies in it on character boundaries.
//! **Bounds**: [`super::DEPTH_MAX`] levels (the recursion's bound too), [`super::VALUES_MAX`] values.
//! **Never**: a value under a credential's name reaches `text` or `nodes`.

use std::borrow::Cow;
use std::ops::Range;

use super::error::{SignalError, printable};
use super::form::hex;
use super::{DEPTH_MAX, VALUES_MAX, decimal};

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Text,
    Number,
    True,
    False,
    Null,
    Object,
    Array,
}

/// A piece of [`Document::text`]; for strings what is between the quotes.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    span: Range<usize>,
    escaped: bool,
}

/// A value with its name.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) shape: Shape,
    /// Empty for elements of an array.
    key: Piece,
    value: Piece,
    /// Index after its last descendant.
    next: usize,
}

/// A credential of the top level, decoded.
pub(super) struct Credential {
    pub(super) field: &'static str,
    /// `None` for a JSON type that cannot be one.
    pub(super) value: Option<String>,
}

/// A checked object.
pub(super) struct Document {
    /// The object without blanks between its tokens and without credentials.
    pub(super) text: String,
    /// The descendants of the object, parents before children, in order.
    nodes: Vec<Node>,
    pub(super) credentials: Vec<Credential>,
}

/// Names whose values are never kept, at any depth, in any case.
const CREDENTIALS: [&str; 9] = [
    "secret",
    "token",
    "password",
    "passphrase",
    "apikey",
    "api_key",
    "apisecret",
    "api_secret",
    "authorization",
];

/// The ones that are the source's own secret, when they stand at the top level exactly so.
const SOURCE_SECRETS: [&str; 2] = ["secret", "token"];

impl Document {
    /// The members of the object: (index, node).
    pub(super) fn root(&self) -> Children<'_> {
        Children { nodes: &self.nodes, at: 0, end: self.nodes.len() }
    }

    /// The members or elements of a node.
    pub(super) fn children(&self, index: usize) -> Children<'_> {
        Children { nodes: &self.nodes, at: index + 1, end: self.nodes[index].next }
    }

    pub(super) fn node(&self, index: usize) -> &Node {
        &self.nodes[index]
    }

    /// A node's decoded name.
    pub(super) fn key(&self, node: &Node) -> Cow<'_, str> {
        unescaped(&self.text[node.key.span.clone()], node.key.escaped)
    }

    /// The decoded text of a string; of any other value its JSON.
    pub(super) fn value(&self, node: &Node) -> Cow<'_, str> {
        unescaped(&self.text[node.value.span.clone()], node.value.escaped)
    }
}

/// Iterates over siblings.
pub(super) struct Children<'a> {
    nodes: &'a [Node],
    at: usize,
    end: usize,
}

impl<'a> Iterator for Children<'a> {
    type Item = (usize, &'a Node);

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let index = self.at;
        let node = &self.nodes[index];
        self.at = node.next;
        Some((index, node))
    }
}

/// Reads exactly one object. `base` is added to the offsets in errors.
pub(super) fn read(text: &str, base: usize) -> Result<Document, SignalError> {
    let document = Document {
        text: String::with_capacity(text.len()),
        nodes: Vec::with_capacity(16),
        credentials: Vec::new(),
    };
    let mut reader = Reader { text, bytes: text.as_bytes(), at: 0, base, document };
    reader.skip_blanks();
    match reader.peek() {
        Some(b'{') if reader.bytes[reader.at..].starts_with(b"{{") => {
            return Err(SignalError::Placeholder { field: "the whole body".to_owned() });
        }
        Some(b'{') => reader.object(1)?,
        Some(b'[' | b'"' | b'-' | b'0'..=b'9') => return Err(SignalError::NotAnObject),
        _ if reader.literal().is_some() => return Err(SignalError::NotAnObject),
        _ => return Err(reader.malformed("`{`")),
    }
    reader.skip_blanks();
    match reader.peek() {
        None => Ok(reader.document),
        Some(b'{' | b'[' | b'"' | b'-' | b'0'..=b'9') => {
            Err(SignalError::MultipleDocuments { offset: base + reader.at })
        }
        Some(_) if reader.literal().is_some() => {
            Err(SignalError::MultipleDocuments { offset: base + reader.at })
        }
        Some(_) => Err(reader.malformed("nothing after the JSON")),
    }
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    base: usize,
    document: Document,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    #[cold]
    fn malformed(&self, expected: &'static str) -> SignalError {
        SignalError::Malformed { offset: self.base + self.at, expected }
    }

    /// Copies input into the compact text.
    fn emit(&mut self, span: Range<usize>) -> Range<usize> {
        let start = self.document.text.len();
        self.document.text.push_str(&self.text[span]);
        start..self.document.text.len()
    }

    /// The literal that starts here.
    fn literal(&self) -> Option<(Shape, usize)> {
        [("true", Shape::True), ("false", Shape::False), ("null", Shape::Null)]
            .into_iter()
            .find(|(word, _)| self.bytes[self.at..].starts_with(word.as_bytes()))
            .map(|(word, shape)| (shape, word.len()))
    }

    /// The members of an object, from its brace to its brace.
    fn object(&mut self, depth: usize) -> Result<(), SignalError> {
        self.open(depth)?;
        if self.close_if(b'}') {
            return Ok(());
        }
        let mut kept_any = false;
        loop {
            self.skip_blanks();
            let number = self.member(depth, &mut kept_any)?;
            self.skip_blanks();
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    if let Some(name) = number
                        && self.peek().is_some_and(|b| b.is_ascii_digit())
                    {
                        return Err(SignalError::DecimalComma { field: printable(&name.in_text(self.text)) });
                    }
                }
                Some(b'}') => break,
                _ => return Err(self.malformed("`,` or `}`")),
            }
        }
        self.at += 1;
        self.document.text.push('}');
        Ok(())
    }

    /// One `"name": value`. Gives the name (in the input) when the value is a number.
    fn member(&mut self, depth: usize, kept_any: &mut bool) -> Result<Option<Piece>, SignalError> {
        if self.peek() != Some(b'"') {
            return Err(self.malformed("a field name in double quotes"));
        }
        let name = self.string()?;
        self.skip_blanks();
        if self.peek() != Some(b':') {
            return Err(self.malformed("`:`"));
        }
        self.at += 1;
        self.skip_blanks();
        let (text_mark, node_mark) = (self.document.text.len(), self.document.nodes.len());
        if *kept_any {
            self.document.text.push(',');
        }
        self.document.text.push('"');
        let span = self.emit(name.span.clone());
        self.document.text.push_str("\":");
        let key = Piece { span, escaped: name.escaped };
        let shape = self.value(key, depth).map_err(|error| error.within(&name.in_text(self.text)))?;
        let decoded = name.in_text(self.text);
        if CREDENTIALS.iter().any(|credential| decoded.eq_ignore_ascii_case(credential)) {
            if let Some(field) = SOURCE_SECRETS.into_iter().find(|field| depth == 1 && decoded == *field) {
                let node = &self.document.nodes[node_mark];
                let value = match shape {
                    Shape::Text | Shape::Number => Some(self.document.value(node).into_owned()),
                    Shape::Null => Some(String::new()),
                    _ => None,
                };
                self.document.credentials.push(Credential { field, value });
            }
            self.document.text.truncate(text_mark);
            self.document.nodes.truncate(node_mark);
        } else {
            *kept_any = true;
        }
        Ok((shape == Shape::Number).then_some(name))
    }

    /// The elements of an array, from its bracket to its bracket.
    fn array(&mut self, depth: usize) -> Result<(), SignalError> {
        self.open(depth)?;
        if self.close_if(b']') {
            return Ok(());
        }
        loop {
            self.skip_blanks();
            self.value(Piece { span: 0..0, escaped: false }, depth)?;
            self.skip_blanks();
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    self.document.text.push(',');
                }
                Some(b']') => break,
                _ => return Err(self.malformed("`,` or `]`")),
            }
        }
        self.at += 1;
        self.document.text.push(']');
        Ok(())
    }

    /// Takes the opening brace or bracket of the `depth`-th level.
    fn open(&mut self, depth: usize) -> Result<(), SignalError> {
        if depth > DEPTH_MAX {
            return Err(SignalError::TooDeep { offset: self.base + self.at });
        }
        self.emit(self.at..self.at + 1);
        self.at += 1;
        Ok(())
    }

    /// Takes the end of an empty object or array.
    fn close_if(&mut self, close: u8) -> bool {
        self.skip_blanks();
        let closes = self.peek() == Some(close);
        if closes {
            self.emit(self.at..self.at + 1);
            self.at += 1;
        }
        closes
    }

    /// Any value, noted as a node.
    fn value(&mut self, key: Piece, depth: usize) -> Result<Shape, SignalError> {
        if self.document.nodes.len() >= VALUES_MAX {
            return Err(SignalError::TooManyValues);
        }
        let index = self.document.nodes.len();
        let start = self.document.text.len();
        let nothing = Piece { span: start..start, escaped: false };
        self.document.nodes.push(Node { shape: Shape::Null, key, value: nothing, next: index + 1 });
        let (shape, value) = match self.peek() {
            Some(b'"') => {
                let piece = self.string()?;
                self.document.text.push('"');
                let span = self.emit(piece.span);
                self.document.text.push('"');
                (Shape::Text, Piece { span, escaped: piece.escaped })
            }
            Some(b'{') if self.bytes[self.at..].starts_with(b"{{") => {
                return Err(SignalError::Placeholder { field: String::new() });
            }
            Some(b'{') => {
                self.object(depth + 1)?;
                (Shape::Object, Piece { span: start..self.document.text.len(), escaped: false })
            }
            Some(b'[') => {
                self.array(depth + 1)?;
                (Shape::Array, Piece { span: start..self.document.text.len(), escaped: false })
            }
            _ => {
                let (shape, len) = self.bare()?;
                let span = self.emit(self.at..self.at + len);
                self.at += len;
                (shape, Piece { span, escaped: false })
            }
        };
        let next = self.document.nodes.len();
        let node = &mut self.document.nodes[index];
        (node.shape, node.value, node.next) = (shape, value, next);
        Ok(shape)
    }

    /// A number or literal: its shape and length.
    fn bare(&self) -> Result<(Shape, usize), SignalError> {
        if let Some(len) = number_len(&self.bytes[self.at..]) {
            return Ok((Shape::Number, len));
        }
        if let Some(literal) = self.literal() {
            return Ok(literal);
        }
        let rest = &self.text[self.at..];
        let word = rest.trim_start_matches(['-', '+']);
        let len = word.bytes().take_while(u8::is_ascii_alphabetic).count();
        if decimal::is_not_finite(&word[..len]) {
            return Err(SignalError::NotFinite { field: String::new() });
        }
        Err(self.malformed("a JSON value"))
    }

    /// A string: what is between its quotes, in the input. Checks escapes and placeholders.
    fn string(&mut self) -> Result<Piece, SignalError> {
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        loop {
            let rest = &self.bytes[self.at..];
            let plain = rest.iter().position(|b| matches!(b, b'"' | b'\\' | 0..=0x1f)).unwrap_or(rest.len());
            self.at += plain;
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.malformed("an escaped control character or the closing quote")),
                None => return Err(self.malformed("the closing quote of a string")),
            }
        }
        let piece = Piece { span: start..self.at, escaped };
        self.at += 1;
        let may_hold_one = escaped || self.bytes[piece.span.clone()].contains(&b'{');
        if may_hold_one && has_placeholder(&piece.in_text(self.text)) {
            return Err(SignalError::Placeholder { field: String::new() });
        }
        Ok(piece)
    }

    /// Takes one escape sequence, both halves of a surrogate pair.
    fn escape(&mut self) -> Result<(), SignalError> {
        let rest = &self.bytes[self.at..];
        self.at += match rest.get(1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') => decode_unicode(rest).ok_or_else(|| self.malformed("a valid \\u escape"))?.1,
            _ => return Err(self.malformed("a valid escape")),
        };
        Ok(())
    }
}

impl Piece {
    /// Decoded, for a piece of the input rather than of the compact text.
    fn in_text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        unescaped(&text[self.span.clone()], self.escaped)
    }
}

fn has_placeholder(text: &str) -> bool {
    text.find("{{").is_some_and(|at| text[at..].contains("}}"))
}

/// The length of the JSON number at the front.
fn number_len(bytes: &[u8]) -> Option<usize> {
    let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut at = usize::from(bytes.first() == Some(&b'-'));
    let whole = digits(at);
    if whole == 0 || (whole > 1 && bytes[at] == b'0') {
        return None;
    }
    at += whole;
    if bytes.get(at) == Some(&b'.') {
        let part = digits(at + 1);
        if part == 0 {
            return None;
        }
        at += 1 + part;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(at + 1 + sign);
        if exponent == 0 {
            return None;
        }
        at += 1 + sign + exponent;
    }
    Some(at)
}

/// The character of the `\uXXXX` (or pair of them) at the front, and its length in bytes. `None` for a lone surrogate.
fn decode_unicode(bytes: &[u8]) -> Option<(char, usize)> {
    let unit = |at: usize| -> Option<u32> {
        let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |value, b| Some(value << 4 | u32::from(hex(*b)?)))
    };
    let first = unit(0)?;
    if !(0xd800..0xdc00).contains(&first) {
        return char::from_u32(first).map(|c| (c, 6));
    }
    let second = unit(6).filter(|second| (0xdc00..0xe000).contains(second))?;
    char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)).map(|c| (c, 12))
}

/// Decodes the inside of a string whose escapes have been checked.
fn unescaped(raw: &str, escaped: bool) -> Cow<'_, str> {
    if !escaped {
        return Cow::Borrowed(raw);
    }
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let (decoded, len) = match rest.as_bytes().get(1) {
            Some(b'b') => ('\u{8}', 2),
            Some(b'f') => ('\u{c}', 2),
            Some(b'n') => ('\n', 2),
            Some(b'r') => ('\r', 2),
            Some(b't') => ('\t', 2),
            Some(b'u') => decode_unicode(rest.as_bytes()).expect("the reader has checked every escape"),
            Some(other) => (char::from(*other), 2),
            None => unreachable!("the reader has checked every escape"),
        };
        out.push(decoded);
        rest = &rest[len..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}
