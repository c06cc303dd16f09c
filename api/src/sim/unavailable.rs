//! When a server may answer 503, and what may have become of a request that it answered so.
//!
//! The codes are those of `web::render`; the bounds are the product's own numbers, which `engine::shard::limits` gives reasons for.
//! A 503 means that nothing happened, but for `shard_stopped`: what was decided and not durable yet is told so too. Without faults
//! there is no 503; `shard_stopped` is told only where a log has failed;
//! `deadline_exceeded` only after something held the shard up, and never to a close; `busy` only where so many wait as a queue holds.
//!
//! **Owns**: when requests lost their answer, and when a life with a failed log was seen last.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};

use engine::seam::Nanos;
use engine::shard::limits::{CLOSE_CALLERS_MAX, LANE_DEADLINE, MESH_CAPACITY};

use super::judge::Asked;
use super::world::World;
use crate::server::hashing::HASH_QUEUE_MAX;

/// A request whose answer was lost is decided within this, or never: its deadline and what may hold the shard up beyond it.
const DECIDED_WITHIN: Nanos = Nanos::from_millis(90_000);

/// What a request waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queue {
    /// The closes, which wait for nothing but the log.
    Closes,
    /// The passwords' workers, and then a lane.
    Passwords,
    /// A lane.
    Lanes,
}

/// See the module's head.
#[derive(Default)]
pub(super) struct Unavailable {
    /// When requests lost their answers, the oldest first.
    lost: RefCell<VecDeque<Nanos>>,
    /// The same by what was asked for: a later decision of the kind may be that one's.
    doubts: RefCell<BTreeMap<String, Nanos>>,
    failed_at: Cell<Option<Nanos>>,
}

impl Unavailable {
    /// A request has no answer, and may be decided all the same.
    pub(super) fn lost(&self, now: Nanos, what: String) {
        self.lost.borrow_mut().push_back(now);
        self.doubts.borrow_mut().insert(what, now);
    }

    /// The log of a shard has failed in the life that is, or was until now.
    pub(super) fn failed(&self, now: Nanos) {
        self.failed_at.set(Some(now));
    }

    /// Whether a decision of this kind may be that of another request than the one that left at `since`.
    pub(super) fn is_in_doubt(&self, since: Nanos, what: &str) -> bool {
        self.doubts.borrow().get(what).is_some_and(|lost| since <= lost.plus(DECIDED_WITHIN))
    }

    fn lost_lately(&self, now: Nanos) -> usize {
        let mut lost = self.lost.borrow_mut();
        while lost.front().is_some_and(|at| now > at.plus(DECIDED_WITHIN)) {
            lost.pop_front();
        }
        lost.len()
    }
}

impl World {
    /// Holds a 503 against what can be the reason for it. `under_way`: requests that wait for an answer now.
    ///
    /// # Errors
    /// Why it cannot be.
    pub(super) fn may_be_unavailable(
        &self,
        asked: &Asked,
        under_way: usize,
        queue: Queue,
        code: &str,
    ) -> Result<(), String> {
        let now = self.executor.now();
        if self.life.borrow().as_ref().is_some_and(|life| life.has_failed()) {
            self.unavailable.failed(now);
        }
        if self.plan.mix.is_calm() {
            return Err("there are no faults".to_owned());
        }
        match code {
            "shard_stopped" => match self.unavailable.failed_at.get() {
                Some(failed) if failed >= asked.at => Ok(()),
                _ => Err("no log has failed".to_owned()),
            },
            "deadline_exceeded" if queue == Queue::Closes => Err("a close has no deadline".to_owned()),
            "deadline_exceeded" if now.since(asked.at) < LANE_DEADLINE[0] => {
                Err("it waited less than any lane allows".to_owned())
            }
            "deadline_exceeded" if self.disturbed_until.get() > asked.at => Ok(()),
            "deadline_exceeded" => Err("nothing held its shard up".to_owned()),
            "busy" => {
                let holds = match queue {
                    Queue::Closes => CLOSE_CALLERS_MAX,
                    Queue::Passwords => HASH_QUEUE_MAX,
                    // Half of its ring is kept for closes at most; the lanes hold more.
                    Queue::Lanes => MESH_CAPACITY.into_iter().min().unwrap_or_default() / 2,
                };
                let waiting = under_way + self.unavailable.lost_lately(now);
                if waiting >= holds {
                    return Ok(());
                }
                Err(format!("{waiting} requests wait at most, and there is room for {holds}"))
            }
            _ => Err("nothing is answered so".to_owned()),
        }
    }
}
