//! The bounds of a wire, together, each with the reason for its number.

/// Bounds of a [`super::Wire`]. `Default` suits an HTTP service behind no proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireConfig {
    /// Connections at once, those in their closing handshake included. One more is accepted and closed at once
    /// (`refused_full`), because a client that waits in the backlog cannot tell a full server from a dead one.
    /// 10,000: a thousand dashboards and a few thousand bots per shard, at about 250 bytes each while idle.
    pub connections_max: u32,
    /// Accepted connections of one address (an IPv6 /64 counts as one) at once; one more is closed at once
    /// (`refused_address`). `None`: no limit, for a service behind a proxy, where all come from the proxy's address.
    pub connections_per_address_max: Option<u32>,
    /// Whether 127.0.0.0/8 and ::1 are free of that limit: they are this machine's own proxy and tools.
    pub loopback_is_exempt: bool,
    /// Unconsumed input of one connection, in bytes; a consumer that leaves this much and is not paused is closed
    /// (`InputOverflow`). 128 KiB: a request head (16 KiB) and body (64 KiB) of the HTTP limits with room for the next.
    pub input_bytes_max: usize,
    /// Queued output of one connection, in bytes; more closes it (`SlowReader`). 1 MiB: the largest page of history.
    pub output_bytes_max: usize,
    /// Receive buffers shared by all connections; a power of two. They are given back within the poll that read
    /// them, so this bounds what one poll receives: 512 × 4 KiB = 2 MiB.
    pub receive_buffers: u16,
    /// Bytes of a receive buffer. 4 KiB: an alert or an order with its head fits in one.
    pub receive_buffer_bytes: u32,
    /// Submission entries; a power of two. Full means one more system call, not a refusal.
    pub submissions: u32,
    /// Completions handled per poll, so that the shard's other work gets its turn.
    pub completions_per_poll: usize,
    /// A started request (or any input) must be consumed within this, in nanoseconds: a slow sender holds a slot no
    /// longer. Does not run while the connection is paused.
    pub request_ns: u64,
    /// A body ([`super::Stream::wait_for_body`]) may take longer than `request_ns` as long as it comes at this rate on
    /// average, in bytes per second. 1 KiB/s: slower than any link in use, and 64 KiB then hold a slot for 74 s at most.
    pub body_bytes_per_second_min: u64,
    /// An outgoing connection must be established within this, in nanoseconds.
    pub connect_ns: u64,
    /// Queued output must make progress within this, in nanoseconds.
    pub send_ns: u64,
    /// A connection without traffic in either direction is closed after this, in nanoseconds.
    pub idle_ns: u64,
    /// After the last byte was sent, how long the peer's own close is awaited, in nanoseconds: closing at once would
    /// reset the connection and could destroy the answer before it is read.
    pub linger_ns: u64,
    /// Uses only operations that Linux 5.8 has, whatever the kernel offers. For testing what older kernels get.
    pub single_shot: bool,
    /// Pause before accepting again when the process is out of descriptors or memory, in nanoseconds.
    pub accept_retry_ns: u64,
}

impl Default for WireConfig {
    fn default() -> Self {
        const SECOND: u64 = 1_000_000_000;
        Self {
            connections_max: 10_000,
            connections_per_address_max: None,
            loopback_is_exempt: true,
            input_bytes_max: 128 << 10,
            output_bytes_max: 1 << 20,
            receive_buffers: 512,
            receive_buffer_bytes: 4 << 10,
            submissions: 1024,
            completions_per_poll: 1024,
            request_ns: 10 * SECOND,
            body_bytes_per_second_min: 1 << 10,
            connect_ns: 5 * SECOND,
            send_ns: 10 * SECOND,
            idle_ns: 75 * SECOND,
            linger_ns: SECOND,
            single_shot: false,
            accept_retry_ns: SECOND / 10,
        }
    }
}

impl WireConfig {
    /// Asserts the relations between the bounds.
    pub(crate) fn check(&self) {
        assert!(self.connections_max > 0, "connections_max is at least 1");
        assert!(self.connections_per_address_max != Some(0), "an address may hold at least one connection");
        assert!(self.body_bytes_per_second_min > 0, "a body makes some progress");
        assert!(self.input_bytes_max > 0 && self.output_bytes_max > 0, "buffers hold at least a byte");
        assert!(
            self.receive_buffers.is_power_of_two() && self.receive_buffers <= 1 << 15,
            "receive_buffers is a power of two up to 32,768"
        );
        assert!(self.receive_buffer_bytes > 0, "a receive buffer holds at least a byte");
        assert!(
            self.submissions.is_power_of_two() && self.submissions <= 1 << 14,
            "submissions is a power of two up to 16,384"
        );
        assert!(self.completions_per_poll > 0, "a poll handles at least one completion");
    }
}
