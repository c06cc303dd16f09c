//! Certificates, keys and trusted authorities from files, and the configurations made of them.
//!
//! **Runs on**: any thread; reads files, so not a shard's while it serves.
//! **Invariants**: TLS 1.2 or 1.3; ALPN `http/1.1` is offered, and a client that offers only others is refused
//! (`no_application_protocol`, RFC 7301 §3.2) while one without ALPN is not. A server hands out tickets under keys that
//! change every 6 hours and are known to this process only; a client keeps the sessions of up to 256 servers.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::pem::{Error as PemError, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::store::CertificateStore;

/// The one application protocol spoken over TLS: RFC 7301 §6.
pub const ALPN_HTTP_1_1: &[u8] = b"http/1.1";

const VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// What is wrong with a configuration's files.
#[derive(Debug, thiserror::Error)]
pub enum TlsConfigError {
    /// A file could not be read.
    #[error("{path}: {source}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A file's content is not what it should be.
    #[error("{path}: {what}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Certificate and key are of different pairs.
    #[error("the key in {key} does not belong to the first certificate in {certificate}", key = key.display(),
        certificate = certificate.display())]
    KeyMismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The system has no trusted authorities.
    #[error("no trusted authorities on this system ({0}): install ca-certificates, or set SSL_CERT_FILE")]
    NoSystemRoots(String),
    /// rustls refuses, for want of randomness for example.
    #[error("TLS could not be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// A server's certificate chain with its key.
#[derive(Clone, Debug)]
pub struct ServerIdentity {
    pub(super) certified: Arc<CertifiedKey>,
}

impl ServerIdentity {
    /// Reads both from PEM files: the chain with the server's own certificate first, and the first key of the other.
    ///
    /// # Errors
    /// [`TlsConfigError`], which names the file.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsConfigError> {
        let chain = certificates(certificate)?;
        let private = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|error| {
            malformed(
                key,
                match error {
                    PemError::NoItemsFound => "no private key in it".to_owned(),
                    error => error.to_string(),
                },
            )
        })?;
        let certified = CertifiedKey::from_der(chain, private, &ring::default_provider());
        let certified = certified.map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                TlsConfigError::KeyMismatch { certificate: certificate.to_owned(), key: key.to_owned() }
            }
            rustls::Error::InvalidCertificate(_) => malformed(certificate, error.to_string()),
            error => malformed(key, error.to_string()),
        })?;
        Ok(Self { certified: Arc::new(certified) })
    }
}

/// Whose certificates a client believes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientTrust {
    /// The system's authorities (`SSL_CERT_FILE` and `SSL_CERT_DIR` replace them).
    System,
    /// Those in a PEM file, and no others.
    PrivateCa(PathBuf),
    /// Nobody: every handshake fails. For a wire whose peers are all spoken to in the clear, as the simulator's are.
    Nobody,
}

/// A server's configuration. One for all shards: a session that one of them began is resumed by another.
///
/// # Errors
/// [`TlsConfigError::Setup`].
pub fn server(store: Arc<CertificateStore>) -> Result<Arc<ServerConfig>, TlsConfigError> {
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(VERSIONS)?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(store);
    config.alpn_protocols = vec![ALPN_HTTP_1_1.to_vec()];
    config.ticketer = ring::Ticketer::new()?;
    // One ticket is enough for a client that comes back; the default of two costs each handshake a record more.
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

/// A client's configuration, and how many authorities it trusts.
///
/// # Errors
/// [`TlsConfigError`], when there are none in particular.
pub fn client(trust: &ClientTrust) -> Result<(Arc<ClientConfig>, usize), TlsConfigError> {
    let mut roots = RootCertStore::empty();
    match trust {
        ClientTrust::System => {
            let found = rustls_native_certs::load_native_certs();
            // Systems carry a few that are malformed in some way; the others count.
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                let errors: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
                return Err(TlsConfigError::NoSystemRoots(errors.join("; ")));
            }
        }
        ClientTrust::Nobody => {}
        ClientTrust::PrivateCa(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| malformed(path, error.to_string()))?;
            }
        }
    }
    let trusted = roots.len();
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(VERSIONS)?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![ALPN_HTTP_1_1.to_vec()];
    Ok((Arc::new(config), trusted))
}

fn provider() -> Arc<CryptoProvider> {
    let mut provider = ring::default_provider();
    // ring's order but for AES-128 with SHA-256 before AES-256 with SHA-384, which processors help less with.
    provider.cipher_suites.sort_by_key(|suite| {
        use CipherSuite::{
            TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            TLS13_AES_128_GCM_SHA256,
        };
        match suite.suite() {
            TLS13_AES_128_GCM_SHA256 => 0,
            _ if suite.tls13().is_some() => 1,
            TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 | TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => 2,
            _ => 3,
        }
    });
    Arc::new(provider)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsConfigError> {
    std::fs::read(path).map_err(|source| TlsConfigError::Unreadable { path: path.to_owned(), source })
}

fn malformed(path: &Path, what: String) -> TlsConfigError {
    TlsConfigError::Malformed { path: path.to_owned(), what }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
    let pem = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|error| malformed(path, error.to_string()))?;
    if chain.is_empty() {
        return Err(malformed(path, "no certificate in it".to_owned()));
    }
    Ok(chain)
}
