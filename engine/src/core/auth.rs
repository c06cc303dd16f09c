//! Who may: sessions of users and secrets of sources, compared in constant time as SHA-256 digests.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::ids::{SourceId, Timestamp, UserId};
use super::state::State;

/// SHA-256 of a token or secret: the only form that is kept.
#[must_use]
pub fn digest(secret: &[u8]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// Whether a session of the user with this token digest is alive at `now`. Looks at every session, whatever matches.
#[must_use]
pub fn session_is_alive(state: &State, user: UserId, token: &[u8; 32], now: Timestamp) -> bool {
    state.by_id(user).is_some_and(|user| {
        user.sessions.iter().fold(false, |found, session| {
            found | (bool::from(session.token.ct_eq(token)) & (session.expires_at > now))
        })
    })
}

/// Whether the digest is that of the source's secret. An unknown source takes as long as a wrong secret.
#[must_use]
pub fn source_secret_is(state: &State, source: SourceId, secret: &[u8; 32]) -> bool {
    let known = state.source(source);
    let reference = known.map_or([0; 32], |s| s.secret);
    bool::from(reference.ct_eq(secret)) & known.is_some()
}
