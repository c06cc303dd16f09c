//! The beginning of a history whose log does not reach back to its own: all that a snapshot's state holds, a few users at once.
//!
//! **Invariants**: each batch takes out first whatever an earlier try has written of its users, which was perhaps another state of
//! them; until the last of them is there the log does not stand anywhere, so that nothing else can be. A user whose rows the
//! database refuses is found by halving batches, noted there by name, and left out. **Bounds**: one batch in memory; between two,
//! others of the thread have their turn.

use futures_lite::future::yield_now;

use super::projection::Projection;
use super::seam::{History, HistoryError};

/// Users of a batch at most.
pub(super) const USERS_AT_ONCE: usize = 100;

/// Writes all that the state holds, so many users at once as the database takes in time, which is found out.
pub(super) async fn begin<H: History>(
    history: &mut H,
    projection: &Projection,
    users_in_time: &mut usize,
) -> Result<(), HistoryError> {
    let (mut from, mut at_once) = (0, *users_in_time);
    while let Some(batch) = projection.beginning(from, at_once) {
        let users = batch.users();
        match (history.write(&batch).await, &users[..]) {
            (Ok(()), _) => {
                from += users.len();
                at_once = (at_once * 2).min(*users_in_time);
            }
            (Err(HistoryError::Refused(why)), [user]) => {
                tracing::error!(
                    user = user.0.cast_signed(), generation = %batch.place.generation, shard = %batch.place.shard, why,
                    "the database refuses this user's rows: it is noted in coinbitclub.refused_records, and the history begins \
                     without them"
                );
                history.leave_out(batch.place, batch.through, *user, &why).await?;
                from += 1;
            }
            (Err(error @ HistoryError::TooSlow(_)), _) => {
                *users_in_time = (users.len() / 2).max(1);
                return Err(error);
            }
            (Err(HistoryError::Refused(why)), _) => {
                at_once = (users.len() / 2).max(1);
                tracing::warn!(
                    users = users.len(),
                    why,
                    "the database refuses a row of a user; it is looked for"
                );
            }
            (Err(error), _) => return Err(error),
        }
        yield_now().await;
    }
    Ok(())
}
