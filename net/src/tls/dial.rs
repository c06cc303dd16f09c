//! Opens outgoing connections over a wire that speaks TLS where the origin wants it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls_pki_types::ServerName;

use super::{TlsConnectError, TlsWire};
use crate::client::{Dial, Origin, Security};
use crate::wire::{ConnId, ConnectError, Wire};

/// Opens plain and TLS connections; the certificate must be for the origin's name.
#[derive(Clone, Debug)]
pub struct TlsDial {
    /// Whom to trust and what to offer.
    pub config: Arc<ClientConfig>,
}

impl<W: Wire> Dial<TlsWire<W>> for TlsDial {
    fn dial(
        &mut self,
        wire: &mut TlsWire<W>,
        origin: &Origin,
        to: SocketAddr,
    ) -> Result<ConnId, ConnectError> {
        let refused = |source| ConnectError::Socket { to, from: origin.source, source };
        match origin.security {
            Security::Plain => wire.connect(to, origin.source),
            Security::Tls => {
                let name = ServerName::try_from(origin.server_name().to_owned())
                    .map_err(|error| refused(io::Error::other(error)))?;
                wire.connect_tls(to, origin.source, name, &self.config).map_err(|error| match error {
                    TlsConnectError::Connect(error) => error,
                    TlsConnectError::Config(error) => refused(io::Error::other(error)),
                })
            }
        }
    }
}
