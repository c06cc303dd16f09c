//! The secret of a source as it came in a body.
//!
//! **Never**: printed. `Debug` shows a fixed word, there is no `Display`, and the bytes are overwritten on drop.

use std::fmt;

use subtle::ConstantTimeEq;

/// A secret from a body's `secret` or `token`. See [`super::SECRET_BYTES_MAX`].
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    pub(super) const fn new(text: String) -> Self {
        Self(text)
    }

    /// The secret itself: for hashing or comparing, never for a log or an answer.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it is `expected`, in a time that depends on the lengths only.
    #[must_use]
    pub fn matches(&self, expected: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(expected).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0).into_bytes();
        bytes.fill(0);
        // Keeps the optimiser from removing a write that nothing reads.
        std::hint::black_box(&bytes);
    }
}
