//! A server that is called: its name, where it is, and how much of it is used.

use std::net::{IpAddr, SocketAddr};

/// An origin's place in its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OriginId(pub(super) u32);

/// Whether the connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Security {
    /// Bytes as they are.
    Plain,
    /// TLS; the certificate must be for the host's name.
    Tls,
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// For the Host header, with a port where it is not the scheme's own (`api.example.com`, `127.0.0.1:8080`).
    pub host: String,
    /// Where to connect to; all are tried, in turn, before a call fails for want of a connection.
    pub addresses: Vec<SocketAddr>,
    /// The address of this machine to connect from; `None`: the one its routes prefer.
    pub source: Option<IpAddr>,
    /// Whether the connection is protected.
    pub security: Security,
    /// How much of it is used.
    pub limits: OriginLimits,
}

impl Origin {
    /// A server with the usual limits, from any source address.
    #[must_use]
    pub fn new(host: &str, addresses: Vec<SocketAddr>, security: Security) -> Self {
        Self { host: host.to_owned(), addresses, source: None, security, limits: OriginLimits::default() }
    }

    /// The host without its port: the name that a certificate is checked against.
    #[must_use]
    pub fn server_name(&self) -> &str {
        let port = self.host.rfind(':').filter(|&at| !self.host[at..].contains(']'));
        self.host[..port.unwrap_or(self.host.len())].trim_matches(['[', ']'])
    }

    pub(super) fn check(&self) -> Result<(), OriginError> {
        // RFC 3986 §3.2.2, without user information and percent-encoding, which no server of ours needs.
        let pure = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        if self.host.is_empty() || self.host.len() > 255 || !self.host.bytes().all(pure) {
            return Err(OriginError::Host);
        }
        let OriginLimits { connections_max, waiting_max, connections_kept, .. } = self.limits;
        if connections_max <= connections_kept || waiting_max == 0 {
            return Err(OriginError::Limits);
        }
        check_addresses(&self.addresses)
    }
}

pub(super) fn check_addresses(addresses: &[SocketAddr]) -> Result<(), OriginError> {
    let in_range = (1..=ADDRESSES_MAX).contains(&addresses.len());
    if in_range { Ok(()) } else { Err(OriginError::Addresses(addresses.len())) }
}

/// The most addresses of an origin: a call tries all before it fails. Names resolve to eight at most in practice.
const ADDRESSES_MAX: usize = 16;

/// Why an origin was not registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// The host is not a host name, with or without a port.
    #[error("the host is not a host name")]
    Host,
    /// No address, or too many.
    #[error("{0} addresses: an origin has 1 to {ADDRESSES_MAX}")]
    Addresses(usize),
    /// A limit that admits nothing.
    #[error("an origin has at least one connection for usual calls and one place to wait")]
    Limits,
    /// The pool has no place.
    #[error("the pool has no place for another origin")]
    Full,
}

/// Bounds of one origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OriginLimits {
    /// Connections at once, those being opened or closed included. 8: a shard's orders in flight to one exchange.
    pub connections_max: usize,
    /// Calls of one urgency that wait for a connection; one more is refused. 64: more would wait longer than an order is worth.
    pub waiting_max: usize,
    /// How many of the connections carry no usual call, so that an urgent one finds one without a call; less than all. 0: a
    /// server that is asked nothing urgent needs none.
    pub connections_kept: usize,
    /// A kept connection is closed after this long without a call, in nanoseconds. 20 s: shorter than the servers'
    /// (60 s and more), so that a call rarely meets a connection that is just being closed.
    pub idle_ns: u64,
    /// A connection is not used again when it is older than this, in nanoseconds, so that a server that moves is
    /// followed. `None`: no limit.
    pub lifetime_ns: Option<u64>,
    /// A connection is not used again after this many calls. `None`: no limit.
    pub calls_per_connection_max: Option<u64>,
}

impl Default for OriginLimits {
    fn default() -> Self {
        Self {
            connections_max: 8,
            waiting_max: 64,
            connections_kept: 0,
            idle_ns: 20_000_000_000,
            lifetime_ns: None,
            calls_per_connection_max: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_certificate_has_no_port() {
        for (host, name) in [
            ("a.example", "a.example"),
            ("a.example:8443", "a.example"),
            ("[::1]:80", "::1"),
            ("[::1]", "::1"),
        ] {
            assert_eq!(Origin::new(host, Vec::new(), Security::Tls).server_name(), name);
        }
    }
}
