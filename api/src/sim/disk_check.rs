//! A disk that fails against the shards on it: who must stop for that, and who must not.
//!
//! **Runs on**: the simulator's thread, called by the director at each look and at the end of each start.
//! **Checks**: a shard of whose log a write or a sync failed, or one of the segment that is made ahead, says that its log has failed
//! within [`STOP_MAX`]; a shard whose log did not fail in this life never does, whatever failed of a snapshot or of what is pruned
//! (`server::snapshots`: log and older snapshots are not affected); a start in which anything failed is not completed.

use std::fmt;
use std::sync::atomic::Ordering;

use engine::seam::Nanos;

use super::disk::Kind;
use super::world::World;

/// How long a shard may serve on after its log has failed, from when it gets turns again: the failure wakes its loop.
const STOP_MAX: Nanos = Nanos::from_millis(500);

/// An operation on the disk that was made to fail.
pub(super) struct Failure {
    pub(super) at: Nanos,
    pub(super) what: &'static str,
    /// Of what, or of what was being made.
    pub(super) kind: Kind,
    /// In whose directory.
    pub(super) shard: Option<u16>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, what, kind, shard } = self;
        write!(f, "{what} of {kind:?}, shard {shard:?}, at {} ms", at.0 / 1_000_000)
    }
}

/// What must hold at any moment while a life serves or stops.
pub(super) fn look(world: &World) {
    let now = world.executor.now();
    let life = world.life.borrow();
    let Some(life) = life.as_ref() else { return };
    let failures = world.disk.controls.failures.borrow();
    for (shard, gauges) in (0_u16..).zip(&life.gauges.shards) {
        let of_log = |failure: &&Failure| failure.shard == Some(shard) && failure.kind.is_of_log();
        let first = failures.iter().find(of_log);
        match (gauges.failed.load(Ordering::Relaxed), first) {
            (true, None) => {
                let others: Vec<String> = failures.iter().map(ToString::to_string).collect();
                let what =
                    format!("shard {shard} stopped, and nothing of its log was made to fail: {others:?}");
                return world.judge.borrow_mut().violate(what);
            }
            (false, Some(first)) => {
                let has_ended = !gauges.running.load(Ordering::Relaxed);
                // The next segment may be in the making when the loop has ended; nobody is told of it then.
                if has_ended && first.kind == Kind::Segment {
                    continue;
                }
                let outage = world.disturbed.borrow()[usize::from(shard)].outage;
                if has_ended || now.since(first.at.max(outage)) > STOP_MAX {
                    let what = format!("shard {shard} goes on though its log failed: {first}");
                    return world.judge.borrow_mut().violate(what);
                }
            }
            (true, Some(_)) | (false, None) => {}
        }
    }
}

/// A start is complete: nothing failed in it.
pub(super) fn look_at_start(world: &World) {
    let failures = world.disk.controls.failures.borrow();
    if let Some(first) = failures.first() {
        let what = format!("a start was completed in which something failed: {first}");
        world.judge.borrow_mut().violate(what);
    }
}
