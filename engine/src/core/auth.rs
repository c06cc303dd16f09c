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
        let others =
            if planted::planted!("only_the_newest_session_is_alive") { user.sessions.len() } else { 1 };
        user.sessions.iter().skip(others.saturating_sub(1)).fold(false, |found, session| {
            found
                | (bool::from(session.token.ct_eq(token))
                    & ((session.expires_at > now) | planted::planted!("session_outlives_its_end")))
        })
    })
}

/// The source of this publisher that the secret with this digest belongs to. Looks at every source, whatever matches.
#[must_use]
pub fn source_of_secret(state: &State, owner: UserId, secret: &[u8; 32]) -> Option<SourceId> {
    let sources = state.by_id(owner).map_or(&[][..], |user| user.sources.as_slice());
    sources.iter().zip(0_u8..).fold(None, |found, (source, index)| {
        if bool::from(source.secret.ct_eq(secret)) { Some(SourceId { owner, index }) } else { found }
    })
}
