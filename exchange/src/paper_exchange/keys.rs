//! The API keys of paper accounts and how signatures made with them are checked.
//!
//! **Invariants**: the kind of a key is said, never guessed (CASES.md, T9). Secrets appear in no output.

use std::fmt;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::core::ids::Timestamp;
use ring::{hmac, signature};

use super::accounts::AccountNo;
use crate::live::credential::KeyKind;

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// Place futures orders and change settings.
    pub trade: bool,
    /// Withdraw. Nothing here does; clients refuse keys that may.
    pub withdraw: bool,
}

impl Default for Rights {
    fn default() -> Self {
        Self { trade: true, withdraw: false }
    }
}

/// A key as it is created.
#[derive(Clone)]
pub struct KeySpec {
    /// The text that names it.
    pub api_key: String,
    /// What it signs with.
    pub kind: KeyKind,
    /// The shared secret, or the public key as PEM (`BEGIN PUBLIC KEY`).
    pub secret: String,
    /// What it may do.
    pub rights: Rights,
    /// The addresses it is bound to; empty: not bound.
    pub addresses: Vec<IpAddr>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
}

impl KeySpec {
    /// An HMAC key that may trade, is bound to no address and does not end.
    #[must_use]
    pub fn hmac(api_key: &str, secret: &str) -> Self {
        Self {
            api_key: api_key.to_owned(),
            kind: KeyKind::Hmac,
            secret: secret.to_owned(),
            rights: Rights::default(),
            addresses: Vec::new(),
            expires_at: None,
        }
    }
}

enum Verifier {
    Hmac(hmac::Key),
    Rsa(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// A key that is known.
pub struct ApiKey {
    /// Whose.
    pub account: AccountNo,
    /// What it may do.
    pub rights: Rights,
    /// The addresses it is bound to; empty: not bound.
    pub addresses: Vec<IpAddr>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// What it signs with.
    pub kind: KeyKind,
    verifier: Verifier,
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey")
            .field("account", &self.account)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl ApiKey {
    /// A key of an account; `None` when the secret is none of its kind.
    pub(super) fn new(account: AccountNo, spec: &KeySpec, now: Timestamp) -> Option<Self> {
        let verifier = match spec.kind {
            KeyKind::Hmac if spec.secret.is_empty() => return None,
            KeyKind::Hmac => Verifier::Hmac(hmac::Key::new(hmac::HMAC_SHA256, spec.secret.as_bytes())),
            KeyKind::Rsa => Verifier::Rsa(public_key(&spec.secret)?),
            KeyKind::Ed25519 => Verifier::Ed25519(public_key(&spec.secret).filter(|key| key.len() == 32)?),
        };
        Some(Self {
            account,
            rights: spec.rights,
            addresses: spec.addresses.clone(),
            expires_at: spec.expires_at,
            created_at: now,
            kind: spec.kind,
            verifier,
        })
    }

    /// Whether `signature` (hex in any case for HMAC, base64 for the others; not URL-encoded) was made over `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &str) -> bool {
        if planted::planted!("paper_signature_not_looked_at") {
            return true;
        }
        match &self.verifier {
            Verifier::Hmac(key) => {
                unhex(signature).is_some_and(|tag| hmac::verify(key, message, &tag).is_ok())
            }
            Verifier::Rsa(key) => {
                let key = signature::UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, key);
                STANDARD.decode(signature).is_ok_and(|made| key.verify(message, &made).is_ok())
            }
            Verifier::Ed25519(key) => {
                let key = signature::UnparsedPublicKey::new(&signature::ED25519, key);
                STANDARD.decode(signature).is_ok_and(|made| key.verify(message, &made).is_ok())
            }
        }
    }

    /// Whether it may be used from this address now.
    #[must_use]
    pub fn is_usable(&self, from: IpAddr, now: Timestamp) -> bool {
        let here = self.addresses.is_empty() || self.addresses.contains(&from);
        here && self.expires_at.is_none_or(|end| now < end)
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    text.as_bytes().chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

/// The key within a PEM `SubjectPublicKeyInfo` (RFC 5280 §4.1): what its bit string holds.
fn public_key(pem: &str) -> Option<Vec<u8>> {
    let body = pem.trim().strip_prefix("-----BEGIN PUBLIC KEY-----")?;
    let body = body.strip_suffix("-----END PUBLIC KEY-----")?;
    let der = STANDARD.decode(body.split_ascii_whitespace().collect::<String>()).ok()?;
    let (outer, _) = element(&der, 0x30)?;
    let (_, rest) = element(outer, 0x30)?;
    let (bits, _) = element(rest, 0x03)?;
    // The first byte says how many bits are unused: none in a key.
    bits.split_first().filter(|(unused, _)| **unused == 0).map(|(_, key)| key.to_vec())
}

/// The content of the DER element at the beginning, when it has this tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let [told, short, rest @ ..] = der else { return None };
    if *told != tag {
        return None;
    }
    let (length, rest) = match short {
        0..=0x7F => (usize::from(*short), rest),
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(short & 0x7F))?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The public half of the key of RFC 8410 §10.3, as in §10.1.
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";

    #[test]
    fn what_a_credential_signs_is_verified() {
        let credential = crate::live::credential::Credential::new(KeyKind::Ed25519, "k", PRIVATE).unwrap();
        let spec = KeySpec { kind: KeyKind::Ed25519, secret: PUBLIC.to_owned(), ..KeySpec::hmac("k", "") };
        let key = ApiKey::new(AccountNo(0), &spec, Timestamp(0)).unwrap();
        let made = credential.sign(b"a=1");
        assert!(key.verifies(b"a=1", &made));
        assert!(!key.verifies(b"a=2", &made));
        assert!(!key.verifies(b"a=1", "not base64"));
        let shared = ApiKey::new(AccountNo(0), &KeySpec::hmac("k", "secret"), Timestamp(0)).unwrap();
        let made =
            crate::live::credential::Credential::new(KeyKind::Hmac, "k", "secret").unwrap().sign(b"a=1");
        assert!(shared.verifies(b"a=1", &made) && shared.verifies(b"a=1", &made.to_uppercase()));
        assert!(!shared.verifies(b"a=1 ", &made) && !shared.verifies(b"a=1", "é"));
    }

    #[test]
    fn a_secret_of_another_kind_is_refused() {
        for kind in [KeyKind::Rsa, KeyKind::Ed25519] {
            let spec = KeySpec { kind, ..KeySpec::hmac("k", "secret") };
            assert!(ApiKey::new(AccountNo(0), &spec, Timestamp(0)).is_none(), "{kind:?}");
        }
    }
}
