//! When to send again what the exchange certainly did not do (`FailureKind::Retry`; EXCHANGES.md §2.8).
//!
//! **Invariants**: an entry is never sent again after its signal is no longer valid; an exit is tried for
//! ever, and sooner.

use engine::core::ids::Timestamp;

use super::purpose::Purpose;

/// Wait before the second attempt of an entry, in microseconds; it doubles twice: 200, 400, 800 ms.
pub const RETRY_FIRST_MICROS: u64 = 200_000;
/// Doublings.
const DOUBLINGS_MAX: u32 = 2;

/// When attempt number `attempt` (the first has number 0) that failed at `now` is followed by another, or
/// `None` when that would be after `valid_until`. Closes wait half as long and are always valid.
#[must_use]
pub fn retry_at(now: Timestamp, attempt: u32, purpose: Purpose, valid_until: Timestamp) -> Option<Timestamp> {
    let wait = RETRY_FIRST_MICROS << attempt.min(DOUBLINGS_MAX);
    if purpose == Purpose::Close {
        return Some(now.plus_micros(wait / 2));
    }
    let at = now.plus_micros(wait);
    (at <= valid_until).then_some(at)
}
