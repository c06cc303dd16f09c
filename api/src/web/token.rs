//! Tokens and secrets: opaque random text that says where it belongs, and is kept only as its SHA-256.
//!
//! A session token is `cbt_`, the user's id, and 256 random bits; a source's secret is `cbs_`, its publisher's id, and 256
//! random bits; both in base 62. The id lets any shard pass the request to the owner, who compares the digest in
//! constant time.

use engine::core::auth::digest;
use engine::core::ids::UserId;
use engine::seam::Entropy;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const SESSION_PREFIX: &str = "cbt_";
const SECRET_PREFIX: &str = "cbs_";
/// 62^43 is above 2^256.
const RANDOM_CHARS: usize = 43;
/// Bytes at or above this are drawn again, so that every character is equally likely.
const FAIR_BYTES: u8 = 248;

fn random_text(entropy: &mut impl Entropy) -> String {
    let mut text = String::with_capacity(RANDOM_CHARS);
    let mut bytes = [0_u8; 64];
    while text.len() < RANDOM_CHARS {
        entropy.fill(&mut bytes);
        for byte in bytes.iter().filter(|byte| **byte < FAIR_BYTES) {
            if text.len() < RANDOM_CHARS {
                text.push(char::from(ALPHABET[usize::from(byte % 62)]));
            }
        }
    }
    text
}

/// A new session token of a user.
pub fn new_session(user: UserId, entropy: &mut impl Entropy) -> String {
    format!("{SESSION_PREFIX}{user}{}", random_text(entropy))
}

/// A new secret for a source of this publisher.
pub fn new_secret(owner: UserId, entropy: &mut impl Entropy) -> String {
    format!("{SECRET_PREFIX}{owner}{}", random_text(entropy))
}

fn parse(token: &str, prefix: &str) -> Option<(UserId, [u8; 32])> {
    let rest = token.strip_prefix(prefix)?;
    if rest.len() != UserId::WIDTH + RANDOM_CHARS || !rest.is_ascii() {
        return None;
    }
    Some((UserId::parse(&rest[..UserId::WIDTH])?, digest(token.as_bytes())))
}

/// The user of a session token and the token's digest.
#[must_use]
pub fn parse_session(token: &str) -> Option<(UserId, [u8; 32])> {
    parse(token, SESSION_PREFIX)
}

/// The publisher of a source's secret and the secret's digest.
#[must_use]
pub fn parse_secret(secret: &str) -> Option<(UserId, [u8; 32])> {
    parse(secret, SECRET_PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting(u8);
    impl Entropy for Counting {
        fn fill(&mut self, out: &mut [u8]) {
            for byte in out {
                *byte = self.0;
                self.0 = self.0.wrapping_add(37);
            }
        }
    }

    #[test]
    fn tokens_name_their_owner_and_nothing_else_parses() {
        let user = UserId::from_email("ana@example.com");
        let token = new_session(user, &mut Counting(3));
        assert_eq!(parse_session(&token), Some((user, digest(token.as_bytes()))));
        assert_eq!(parse_secret(&token), None);
        assert_eq!(parse_session(&token[..token.len() - 1]), None);
        assert_eq!(parse_session("cbt_ção"), None);
        let secret = new_secret(user, &mut Counting(9));
        assert_eq!(parse_secret(&secret), Some((user, digest(secret.as_bytes()))));
        assert_eq!(parse_session(&secret), None);
    }
}
