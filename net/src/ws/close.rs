//! Close codes.
//!
//! **Invariants**: a [`CloseCode`] is one that may appear in a close frame.

/// A code that may be sent in a close frame (RFC 6455 §7.4 and the IANA registry of close codes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(u16);

impl CloseCode {
    /// The purpose is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// The server stops or the page was left.
    pub const GOING_AWAY: Self = Self(1001);
    /// The peer broke the protocol.
    pub const PROTOCOL: Self = Self(1002);
    /// A kind of message that is not served.
    pub const UNSUPPORTED: Self = Self(1003);
    /// The message's content is not of its kind (text that is not UTF-8, broken compression).
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// The peer broke a rule of the application.
    pub const POLICY: Self = Self(1008);
    /// The message is too big.
    pub const TOO_BIG: Self = Self(1009);
    /// The client misses an extension it needs.
    pub const MISSING_EXTENSION: Self = Self(1010);
    /// The server failed.
    pub const INTERNAL: Self = Self(1011);
    /// The server restarts; reconnect after a random pause.
    pub const RESTART: Self = Self(1012);
    /// The server is overloaded; try later.
    pub const TRY_LATER: Self = Self(1013);

    /// `None` for a code that must not be in a close frame: 1004 to 1006 and 1015 are never sent, what is below 3000
    /// otherwise is not assigned, and 3000 to 4999 belongs to libraries and applications.
    #[must_use]
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(code)),
            _ => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl std::fmt::Display for CloseCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The longest reason: a control frame's payload without the code.
pub(super) const REASON_BYTES_MAX: usize = super::frame::CONTROL_BYTES_MAX - 2;

/// As much of `reason` as fits, cut between two characters.
pub(super) fn fitting(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_the_wire() {
        let valid: Vec<u16> = (0..=u16::MAX).filter(|&code| CloseCode::new(code).is_some()).collect();
        let expected: Vec<u16> = (1000..=1003).chain(1007..=1014).chain(3000..=4999).collect();
        assert_eq!(valid, expected);
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        assert_eq!(fitting(&"é".repeat(100)).len(), 122);
        assert_eq!(fitting("bye"), "bye");
    }
}
