//! The opening handshake (RFC 6455 §4), both sides, without I/O.
//!
//! * [`server`]: checks a request to upgrade, writes the answer or the refusal.
//! * [`client`]: writes the request, checks the answer.
//! * [`DeflatePolicy`]: what is offered or accepted of permessage-deflate.
//!
//! **Invariants**: no extension and no sub-protocol is in use that one side did not offer and the other did not choose.
//! **Never** makes randomness: the client's key is handed in.

pub mod client;
mod extensions;
mod negotiation;
pub mod server;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha1::{Digest, Sha1};

pub use negotiation::DeflatePolicy;

/// Appended to the key before it is hashed (RFC 6455 §1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A key is 16 bytes (RFC 6455 §4.1).
const KEY_BYTES: usize = 16;
/// In base64.
const KEY_TEXT_BYTES: usize = 24;
/// A SHA-1 digest in base64.
const ACCEPT_TEXT_BYTES: usize = 28;

/// The value of Sec-WebSocket-Accept that answers this key.
fn accept_value(key_text: &[u8]) -> [u8; ACCEPT_TEXT_BYTES] {
    let digest = Sha1::new().chain_update(key_text).chain_update(GUID).finalize();
    let mut text = [0; ACCEPT_TEXT_BYTES];
    BASE64.encode_slice(digest, &mut text).expect("20 bytes take 28 characters");
    text
}

fn key_text(key: [u8; KEY_BYTES]) -> [u8; KEY_TEXT_BYTES] {
    let mut text = [0; KEY_TEXT_BYTES];
    BASE64.encode_slice(key, &mut text).expect("16 bytes take 24 characters");
    text
}

fn is_key(text: &[u8]) -> bool {
    let mut key = [0; KEY_TEXT_BYTES];
    text.len() == KEY_TEXT_BYTES && BASE64.decode_slice(text, &mut key) == Ok(KEY_BYTES)
}

/// The members of a comma-separated list, without blanks and empty members (RFC 9110 §5.6.1).
fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// Whether a list has this member, ASCII case ignored.
fn lists(value: &[u8], token: &str) -> bool {
    list(value).any(|member| member.eq_ignore_ascii_case(token.as_bytes()))
}

/// RFC 9110 §5.6.2.
fn is_token(text: &[u8]) -> bool {
    !text.is_empty()
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_standard() {
        assert_eq!(&accept_value(b"dGhlIHNhbXBsZSBub25jZQ=="), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(&key_text(*b"the sample nonce"), b"dGhlIHNhbXBsZSBub25jZQ==");
    }

    #[test]
    fn a_key_is_16_bytes_in_canonical_base64() {
        assert!(is_key(b"dGhlIHNhbXBsZSBub25jZQ=="));
        for text in [
            &b""[..],
            b"dGhlIHNhbXBsZSBub25jZQ",
            b"dGhlIHNhbXBsZSBub25jZR==",
            b"dGhlIHNhbXBsZSBub25jZSEh",
            b"dGhlIHNhbXBsZSBub25jZSE=",
            b"dGhlIHNhbXBsZSBub25j Q==",
            b"dGhlIHNhbXBsZSBub25jZSEhISEh",
        ] {
            assert!(!is_key(text), "{}", String::from_utf8_lossy(text));
        }
    }
}
