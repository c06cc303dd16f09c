//! The one place where a connection to an origin is opened.

use std::io;
use std::net::SocketAddr;

use super::{Origin, Security};
use crate::wire::{ConnId, ConnectError, Wire};

/// Opens connections. TLS is another implementation, over a wire whose `connected` follows the handshake, and whose
/// `handed_bytes` and `queued_bytes` count so that a byte of which any trace may have left counts as taken.
pub trait Dial<W: Wire> {
    /// Begins a connection to an address of `origin`.
    ///
    /// # Errors
    /// As [`Wire::connect`].
    fn dial(&mut self, wire: &mut W, origin: &Origin, to: SocketAddr) -> Result<ConnId, ConnectError>;
}

/// Opens plain connections, and none to an origin that wants TLS.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainDial;

impl<W: Wire> Dial<W> for PlainDial {
    fn dial(&mut self, wire: &mut W, origin: &Origin, to: SocketAddr) -> Result<ConnId, ConnectError> {
        match origin.security {
            Security::Plain => wire.connect(to, origin.source),
            Security::Tls => {
                let source = io::Error::new(io::ErrorKind::Unsupported, "the origin wants TLS");
                Err(ConnectError::Socket { to, from: origin.source, source })
            }
        }
    }
}
