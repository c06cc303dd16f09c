//! The segments of a log, damaged.

use super::readings;
use super::scene::{self, Scene};
use std::sync::OnceLock;

/// See [`readings::check`].
pub(crate) fn check(edits: &[u8]) {
    static SCENE: OnceLock<Scene> = OnceLock::new();
    readings::check(SCENE.get_or_init(scene::log), edits);
}
