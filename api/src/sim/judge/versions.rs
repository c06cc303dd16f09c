//! What users were while a request was under way: each thing that is shown is of a version that was current then.

use engine::core::ids::UserId;

use super::answers::Asked;
use super::{Index, Judge, Place, Version};
use crate::sim::model::ModelUser;

/// A version that a crash took back, and the last index at which it may have been seen: by what waits for no flush.
pub(super) struct Lost {
    pub(super) user: UserId,
    pub(super) version: Version,
    pub(super) until: Index,
}

impl Judge {
    /// The user as they were at any moment since the request left, also as they were taken back by a crash; `None` stands for
    /// a moment without them.
    pub(super) fn during(&self, asked: &Asked, user: UserId) -> impl Iterator<Item = Option<&ModelUser>> {
        let sent = asked.index;
        let versions = self.versions.get(&user);
        let before = versions.map_or(0, |all| all.partition_point(|version| version.from <= sent));
        // The version that was current when the request left, and all since.
        let shown = versions.into_iter().flat_map(move |all| all.iter().skip(before.saturating_sub(1)));
        let lost = self.lost.iter().filter(move |lost| lost.user == user && lost.until >= sent);
        let all = shown.chain(lost.map(|lost| &lost.version)).map(|version| version.user.as_deref());
        (before == 0).then_some(None).into_iter().chain(all)
    }

    /// Holds a read of a user against the versions that were current while it was under way. What was shown is promised.
    pub(in crate::sim) fn read(
        &mut self,
        asked: &Asked,
        user: UserId,
        what: &str,
        agrees: impl Fn(&ModelUser) -> Result<(), String>,
    ) -> Result<(), String> {
        let versions = self.versions.get(&user).ok_or("nobody of this name")?;
        let mut why = String::from("there was no such user");
        let first = versions.partition_point(|version| version.from <= asked.index).saturating_sub(1);
        let mut shown: Option<Place> = None;
        for version in versions.iter().skip(first) {
            let Some(then) = &version.user else { continue };
            match agrees(then) {
                Ok(()) => {
                    shown = Some(version.place);
                    break;
                }
                Err(difference) => why = difference,
            }
        }
        let Some(place) = shown else { return Err(why) };
        if place.life == self.life {
            self.promise(place.shard, place.lsn, || what.to_owned());
        }
        Ok(())
    }
}
