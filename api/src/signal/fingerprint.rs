//! What makes two bodies the same signal.
//!
//! The fingerprint is SHA-256 over what the body means: the fields we know by value (`"BUY"` and `"long"`, `1.50` and
//! `"1.5"` are one), then every other field by name and value, sorted by name at every depth. Blanks, order, escapes,
//! the carrier, credentials and the signal's own time do not count; the time is compared apart, by its second. In fields
//! we do not know, a text and a number are different even when they look alike: a second signal is never swallowed.
//!
//! **Invariants**: every item is preceded by a tag and, where its length varies, by its length, so two different
//! contents cannot make one byte sequence.

use sha2::{Digest, Sha256};

use super::decimal::Decimal;
use super::json::{Document, Shape};

/// Changes when the meaning of the bytes below does.
const VERSION: &[u8] = b"coinbitclub signal 1";

/// Collects the content, then hashes it in one go.
pub(super) struct Fingerprint(Vec<u8>);

impl Fingerprint {
    pub(super) fn new() -> Self {
        let mut content = Vec::with_capacity(512);
        content.extend_from_slice(VERSION);
        Self(content)
    }

    /// A known field with a fixed-width value; nothing when it is absent.
    pub(super) fn number(&mut self, tag: u8, value: Option<i64>) {
        if let Some(value) = value {
            self.0.push(tag);
            self.0.extend_from_slice(&value.to_be_bytes());
        }
    }

    /// A known field with a text; nothing when it is absent.
    pub(super) fn text(&mut self, tag: u8, text: Option<&str>) {
        if let Some(text) = text {
            self.0.push(tag);
            self.sized(text);
        }
    }

    /// The fields we do not know, given by their indices.
    pub(super) fn unknown(&mut self, document: &Document, indices: &[usize]) {
        self.members(document, indices);
    }

    pub(super) fn finish(self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }

    fn sized(&mut self, text: &str) {
        self.length(text.len());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn length(&mut self, length: usize) {
        self.0.extend_from_slice(&u32::try_from(length).expect("a body has at most 64 KiB").to_be_bytes());
    }

    fn members(&mut self, document: &Document, indices: &[usize]) {
        let mut sorted: Vec<_> =
            indices.iter().map(|index| (document.key(document.node(*index)), *index)).collect();
        // Stable by index, so that repeated names keep their order.
        sorted.sort_unstable();
        self.length(sorted.len());
        for (key, index) in sorted {
            self.sized(&key);
            self.value(document, index);
        }
    }

    /// Depth is bounded by the reader.
    fn value(&mut self, document: &Document, index: usize) {
        let node = document.node(index);
        match node.shape {
            Shape::Null => self.0.push(b'0'),
            Shape::True => self.0.push(b'+'),
            Shape::False => self.0.push(b'-'),
            Shape::Text => {
                self.0.push(b's');
                self.sized(&document.value(node));
            }
            Shape::Number => {
                self.0.push(b'n');
                let mark = self.0.len();
                self.length(0);
                let text = document.value(node);
                if let Ok(number) = Decimal::parse(&text) {
                    number.write_canonical(&mut self.0);
                }
                let written = self.0.len() - mark - size_of::<u32>();
                let length = u32::try_from(written).expect("a body has at most 64 KiB").to_be_bytes();
                self.0[mark..mark + size_of::<u32>()].copy_from_slice(&length);
            }
            Shape::Object => {
                self.0.push(b'o');
                let indices: Vec<_> = document.children(index).map(|(child, _)| child).collect();
                self.members(document, &indices);
            }
            Shape::Array => {
                self.0.push(b'a');
                self.length(document.children(index).count());
                for (child, _) in document.children(index) {
                    self.value(document, child);
                }
            }
        }
    }
}
