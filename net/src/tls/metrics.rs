//! Counters of a TLS wire.

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TlsMetrics {
    /// Handshakes completed with certificates and a key exchange.
    pub handshakes_full: u64,
    /// Handshakes completed that resumed an earlier session.
    pub handshakes_resumed: u64,
    /// Handshakes that failed, for whatever reason, time-outs included.
    pub handshakes_failed: u64,
    /// Those of them that were not complete in time.
    pub handshakes_timed_out: u64,
    /// Handshake steps put off to a later poll, because many came at once.
    pub handshakes_postponed: u64,
    /// Established connections whose peer broke the protocol or sent a fatal alert.
    pub broken: u64,
    /// Established connections whose peer ended TCP without saying so in TLS (close_notify).
    pub ends_without_notice: u64,
    /// TLS connections now.
    pub sessions: u64,
}
