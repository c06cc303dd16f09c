//! Counters of an origin.

/// Counters since an origin was registered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OriginMetrics {
    /// Calls accepted.
    pub calls: u64,
    /// Calls refused, for whatever reason.
    pub refused: u64,
    /// Calls that ended with [`super::Outcome::NotSent`].
    pub not_sent: u64,
    /// Calls that ended with [`super::Outcome::NoAnswer`].
    pub no_answer: u64,
    /// Calls that ended with [`super::Outcome::Answered`].
    pub answered: u64,
    /// Connections established.
    pub connects: u64,
    /// Connections that could not be established.
    pub connect_failures: u64,
    /// Requests given to a connection that had carried another before.
    pub reuses: u64,
    /// Requests given to another connection because theirs had ended before it took a byte.
    pub retries: u64,
    /// Connections closed because bytes came that belong to no call.
    pub unsolicited: u64,
}
