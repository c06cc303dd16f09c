//! Snapshots and the log they stand on, damaged. The first byte says which shard.

use super::readings;
use super::scene::{self, Scene};
use std::sync::OnceLock;

/// See [`readings::check`].
pub(crate) fn check(bytes: &[u8]) {
    static SCENES: OnceLock<[Scene; 3]> = OnceLock::new();
    let scenes = SCENES.get_or_init(|| {
        [scene::whole_log_and_snapshots(), scene::pruned_log_and_snapshots(), scene::seeded_log()]
    });
    let Some((which, edits)) = bytes.split_first() else { return };
    readings::check(&scenes[usize::from(*which) % scenes.len()], edits);
}
