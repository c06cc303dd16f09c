//! A key of an exchange account and what it signs with. The kind of key is said, never guessed (CASES.md, T9).
//!
//! **Invariants**: secrets appear in no output; signing costs no allocation but its result. What HMAC and Ed25519 keys sign with is in
//! one place of the heap for as long as the key is there, and overwritten when it is dropped. The numbers of an RSA key are `ring`'s, which
//! gives their memory back as it is; so is what a key is made of on the stack while it is made.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use ring::{hmac, signature};

pub use engine::core::key::KeyKind;

/// Why a secret cannot be used. Never tells any of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// The key's name holds something that no exchange gives out.
    #[error("api_key: 1 to 256 letters, digits, '-' or '_'")]
    Key,
    /// An HMAC secret that is empty, too long, not printable, or is a private key of another kind.
    #[error(
        "secret: for key_type hmac the secret is 1 to 256 printable characters without blanks, not a PEM file"
    )]
    Hmac,
    /// Not an RSA key.
    #[error(
        "secret: for key_type rsa the secret is a PKCS#8 private key (-----BEGIN PRIVATE KEY-----) of 2048 bits or more"
    )]
    Rsa,
    /// Not an Ed25519 key.
    #[error("secret: for key_type ed25519 the secret is a PKCS#8 private key (-----BEGIN PRIVATE KEY-----)")]
    Ed25519,
}

/// Each in its box, so that moving a credential copies no secret.
enum Signer {
    Hmac(Box<hmac::Key>),
    Rsa(Box<RsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

impl Signer {
    /// Overwrites what it signs with, as far as `ring` lets it: its keys have no way to be wiped, but can be set to another key.
    fn wipe(&mut self) {
        match self {
            Self::Hmac(key) => {
                **key = hmac::Key::new(hmac::HMAC_SHA256, &[]);
                // Looked at, so that it is not left out for being of no use.
                std::hint::black_box(&**key);
            }
            Self::Ed25519(pair) => {
                if let Ok(nobodys) = Ed25519KeyPair::from_seed_unchecked(&[0; 32]) {
                    **pair = nobodys;
                }
                std::hint::black_box(&**pair);
            }
            Self::Rsa(_) => {}
        }
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        self.wipe();
    }
}

/// A key that can sign.
pub struct Credential {
    api_key: String,
    signer: Signer,
    random: SystemRandom,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("kind", &self.kind()).finish_non_exhaustive()
    }
}

impl Credential {
    /// A credential from what a user entered.
    ///
    /// # Errors
    /// See [`CredentialError`]; none of them tells a part of the secret.
    pub fn new(kind: KeyKind, api_key: &str, secret: &str) -> Result<Self, CredentialError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if api_key.is_empty() || api_key.len() > 256 || !api_key.bytes().all(plain) {
            return Err(CredentialError::Key);
        }
        let signer = match kind {
            KeyKind::Hmac => {
                let printable = secret.bytes().all(|byte| byte.is_ascii_graphic());
                if secret.is_empty() || secret.len() > 256 || !printable || secret.starts_with("-----") {
                    return Err(CredentialError::Hmac);
                }
                Signer::Hmac(Box::new(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())))
            }
            KeyKind::Rsa => {
                let der = der(secret).ok_or(CredentialError::Rsa)?;
                Signer::Rsa(Box::new(RsaKeyPair::from_pkcs8(&der).map_err(|_| CredentialError::Rsa)?))
            }
            KeyKind::Ed25519 => {
                let der = der(secret).ok_or(CredentialError::Ed25519)?;
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der);
                Signer::Ed25519(Box::new(pair.map_err(|_| CredentialError::Ed25519)?))
            }
        };
        Ok(Self { api_key: api_key.to_owned(), signer, random: SystemRandom::new() })
    }

    /// The key's name, as it is sent in a header.
    #[must_use]
    pub fn api_key(&self) -> &str {
        &self.api_key
    }

    /// What it signs with.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        match self.signer {
            Signer::Hmac(_) => KeyKind::Hmac,
            Signer::Rsa(_) => KeyKind::Rsa,
            Signer::Ed25519(_) => KeyKind::Ed25519,
        }
    }

    /// Signs: lower-case hex for HMAC, base64 (not yet URL-encoded) for the others.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> String {
        match &self.signer {
            Signer::Hmac(key) => hex(hmac::sign(key, message).as_ref()),
            Signer::Rsa(pair) => {
                let mut out = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &self.random, message, &mut out)
                    .expect("the buffer has the length of the modulus and the system gives randomness");
                STANDARD.encode(out)
            }
            Signer::Ed25519(pair) => STANDARD.encode(signature::Ed25519KeyPair::sign(pair, message)),
        }
    }
}

/// The DER bytes of a PEM file with one private key, or of bare base64; wiped when dropped.
fn der(text: &str) -> Option<zeroize::Zeroizing<Vec<u8>>> {
    let body = text.trim();
    let body = body.strip_prefix("-----BEGIN PRIVATE KEY-----").unwrap_or(body);
    let body = body.strip_suffix("-----END PRIVATE KEY-----").unwrap_or(body);
    let packed: zeroize::Zeroizing<String> = body.split_ascii_whitespace().collect::<String>().into();
    STANDARD.decode(packed.as_bytes()).ok().map(Into::into)
}

/// Lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Binance's documentation (REST, SIGNED endpoints, HMAC).
    #[test]
    fn signs_the_makers_example() {
        let secret = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j";
        let credential = Credential::new(KeyKind::Hmac, "key", secret).unwrap();
        let message = "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559";
        let expected = "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71";
        assert_eq!(credential.sign(message.as_bytes()), expected);
    }

    /// RFC 8410 §10.3 has this key.
    const ED25519: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";

    #[test]
    fn case_t9_the_kind_of_a_key_is_said_and_not_guessed() {
        let fails = |kind, secret| Credential::new(kind, "key", secret).err();
        assert_eq!(fails(KeyKind::Hmac, ED25519), Some(CredentialError::Hmac));
        assert_eq!(
            fails(KeyKind::Ed25519, "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP"),
            Some(CredentialError::Ed25519)
        );
        assert_eq!(fails(KeyKind::Rsa, ED25519), Some(CredentialError::Rsa));
        let pair = Credential::new(KeyKind::Ed25519, "key", ED25519).unwrap();
        assert_eq!(pair.kind(), KeyKind::Ed25519);
        assert_eq!(STANDARD.decode(pair.sign(b"x")).unwrap().len(), 64);
    }

    #[test]
    fn a_key_that_is_dropped_is_overwritten() {
        let rests = |kind, secret: &str| {
            let mut credential = Credential::new(kind, "key", secret).unwrap();
            let signed = credential.sign(b"x");
            credential.signer.wipe();
            assert_ne!(credential.sign(b"x"), signed, "{kind:?}");
            credential.sign(b"x")
        };
        // Nothing of the secret is left in it: it signs the same whatever the secret was.
        assert_eq!(rests(KeyKind::Hmac, "hidden"), rests(KeyKind::Hmac, "another"));
        rests(KeyKind::Ed25519, ED25519);
    }

    #[test]
    fn nothing_of_a_secret_is_printed() {
        let credential = Credential::new(KeyKind::Hmac, "visible", "hidden-secret").unwrap();
        assert!(!format!("{credential:?}").contains("hidden"));
        assert!(
            !format!("{:?}", Credential::new(KeyKind::Rsa, "k", "hidden-secret").unwrap_err())
                .contains("hidden")
        );
    }

    #[test]
    fn a_key_that_would_break_a_header_is_refused() {
        for key in ["", "a b", "a\r\nX: y", "é"] {
            assert_eq!(Credential::new(KeyKind::Hmac, key, "s").err(), Some(CredentialError::Key), "{key:?}");
        }
    }
}
