//! Counters of a wire.

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// Closed by our side with `close` or `abort`, or with its last answer.
    Local,
    /// The peer reset the connection or vanished.
    PeerReset,
    /// The output buffer was full, or made no progress in time.
    SlowReader,
    /// A started request was not complete in time.
    SlowRequest,
    /// No traffic for too long.
    Idle,
    /// The consumer left more input than the buffer holds.
    InputOverflow,
    /// An outgoing connection was refused or could not be made.
    ConnectFailed,
    /// An outgoing connection was not established in time.
    ConnectTimeout,
    /// The peer broke the protocol that protects the connection (TLS).
    Protocol,
}

impl CloseReason {
    /// All reasons, in the order of [`WireMetrics::closed`].
    pub const ALL: [Self; 9] = [
        Self::Local,
        Self::PeerReset,
        Self::SlowReader,
        Self::SlowRequest,
        Self::Idle,
        Self::InputOverflow,
        Self::ConnectFailed,
        Self::ConnectTimeout,
        Self::Protocol,
    ];

    /// A label for metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::PeerReset => "peer_reset",
            Self::SlowReader => "slow_reader",
            Self::SlowRequest => "slow_request",
            Self::Idle => "idle",
            Self::InputOverflow => "input_overflow",
            Self::ConnectFailed => "connect_failed",
            Self::ConnectTimeout => "connect_timeout",
            Self::Protocol => "protocol",
        }
    }
}

/// Counters since the start of a wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WireMetrics {
    /// Connections accepted and given a slot.
    pub accepted: u64,
    /// Connections closed at once because all slots were in use.
    pub refused_full: u64,
    /// Connections closed at once because their address held its maximum.
    pub refused_address: u64,
    /// Outgoing connections established.
    pub connected: u64,
    /// Accepts that failed for want of descriptors or memory; accepting paused.
    pub accept_failures: u64,
    /// Connections ended, by [`CloseReason`] in the order of [`CloseReason::ALL`].
    pub closed: [u64; CloseReason::ALL.len()],
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Receives that found no free buffer and were started again.
    pub receive_exhaustions: u64,
    /// Sends completed.
    pub sends: u64,
    /// Sends of which the kernel took only a part.
    pub partial_sends: u64,
    /// System calls that entered the kernel for the ring.
    pub enters: u64,
}

impl WireMetrics {
    /// Connections ended for `reason`.
    #[must_use]
    pub const fn closed_for(&self, reason: CloseReason) -> u64 {
        self.closed[reason as usize]
    }

    pub(crate) fn count_close(&mut self, reason: CloseReason) {
        self.closed[reason as usize] += 1;
    }
}
