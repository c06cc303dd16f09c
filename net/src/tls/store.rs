//! The certificate that new connections get, replaceable at any time.
//!
//! **Runs on**: handshakes on the shards, [`CertificateStore::replace`] on any thread.
//! **Invariants**: a reload that fails changes nothing. Connections that are being made keep the certificate they began with.
//! **Never**: blocks a handshake for longer than a pointer's exchange takes; files are read before.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::config::{ServerIdentity, TlsConfigError};

/// Holds the identity in use.
#[derive(Debug)]
pub struct CertificateStore {
    current: RwLock<Arc<CertifiedKey>>,
}

impl CertificateStore {
    /// With the identity to begin with.
    #[must_use]
    pub fn new(identity: ServerIdentity) -> Arc<Self> {
        Arc::new(Self { current: RwLock::new(identity.certified) })
    }

    /// Handshakes from now on get this identity.
    pub fn replace(&self, identity: ServerIdentity) {
        // The lock is held for an exchange of pointers, which cannot panic: a poisoned one is whole.
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = identity.certified;
    }

    /// Reads an identity and puts it in the place of the current one.
    ///
    /// # Errors
    /// As [`ServerIdentity::load`]; the current one stays.
    pub fn reload(&self, certificate: &Path, key: &Path) -> Result<(), TlsConfigError> {
        self.replace(ServerIdentity::load(certificate, key)?);
        Ok(())
    }
}

impl ResolvesServerCert for CertificateStore {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}
