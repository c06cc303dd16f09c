//! A certificate is replaced while the server runs; one that is not usable is refused with its reason and changes nothing.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::authority::{Authority, beside, blocking_client, exchange, listening};
use crate::support::Echo;
use net::http::Limits;
use net::tls::config::{self, ClientTrust, ServerIdentity, TlsConfigError};
use net::tls::store::CertificateStore;
use net::wire::WireConfig;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

#[test]
fn while_connections_are_made() {
    let authority = Authority::new();
    let files = [authority.issue("localhost", "old"), authority.issue("localhost", "new")];
    let [old, new] = [0, 1].map(|n: usize| {
        let pem = std::fs::read(&files[n].certificate).unwrap();
        <rustls_pki_types::CertificateDer<'_> as rustls_pki_types::pem::PemObject>::from_pem_slice(&pem)
            .unwrap()
    });
    let store = CertificateStore::new(ServerIdentity::load(&files[0].certificate, &files[0].key).unwrap());
    let server = config::server(Arc::clone(&store)).unwrap();
    let (mut wire, address) = listening(WireConfig::default(), &server);
    let mut echo = Echo::new(Limits::default());
    beside(&mut wire, &mut echo, || {
        // A client anew each time, so that nothing is resumed.
        let seen = || {
            let mut client = blocking_client(address, &authority.client());
            assert!(exchange(&mut client, REQUEST).starts_with(b"HTTP/1.1 200"));
            client.conn.peer_certificates().unwrap()[0].clone()
        };
        assert_eq!(seen(), old);
        let mut early = blocking_client(address, &authority.client());
        early.conn.complete_io(&mut early.sock).unwrap();
        store.reload(&files[1].certificate, &files[1].key).unwrap();
        assert_eq!(seen(), new);
        assert!(exchange(&mut early, REQUEST).starts_with(b"HTTP/1.1 200"), "older connections stay");
        store.reload(&files[0].certificate, &files[1].key).unwrap_err();
        assert_eq!(seen(), new);
        // From another thread, over and over, while handshakes go on.
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for files in files.iter().cycle().take_while(|_| !done.load(Ordering::Relaxed)) {
                    store.reload(&files.certificate, &files.key).unwrap();
                }
            });
            let certificates: Vec<_> = (0..20).map(|_| seen()).collect();
            done.store(true, Ordering::Relaxed);
            assert!(certificates.iter().all(|seen| *seen == old || *seen == new));
        });
    });
    assert_eq!(wire.tls_metrics().handshakes_failed, 0);
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    let authority = Authority::new();
    let good = authority.issue("localhost", "good");
    let other = authority.issue("localhost", "other");
    let empty = authority.path("empty.pem");
    std::fs::write(&empty, "nothing of use\n").unwrap();
    let broken = authority.path("broken.pem");
    std::fs::write(&broken, "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n").unwrap();
    let missing = authority.path("missing.pem");
    let load = |certificate, key| ServerIdentity::load(certificate, key).unwrap_err();
    let cases = [
        (load(&missing, &good.key), "missing.pem", "No such file"),
        (load(&good.certificate, &missing), "missing.pem", "No such file"),
        (load(&empty, &good.key), "empty.pem", "no certificate"),
        (load(&good.certificate, &empty), "empty.pem", "no private key"),
        (load(&broken, &good.key), "broken.pem", ""),
        (load(&good.certificate, &other.key), "other.key", "does not belong"),
    ];
    for (error, file, what) in cases {
        let text = error.to_string();
        assert!(text.contains(file) && text.contains(what), "{text}");
    }
    for path in [&missing, &empty, &broken] {
        let error = config::client(&ClientTrust::PrivateCa(path.clone())).unwrap_err();
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
    assert!(matches!(load(&good.certificate, &other.key), TlsConfigError::KeyMismatch { .. }));
}
