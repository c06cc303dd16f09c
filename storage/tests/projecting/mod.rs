//! A desk whose records go to a log on a simulated disk, for tests of what follows that log.
#![allow(dead_code, unreachable_pub, reason = "shared by several test programs; none uses all of it")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::rc::Rc;

use engine::core::codec::Encoder;
use engine::core::user::User;
use storage::history::Progress;
use storage::sim_disk::{SimDisk, block_on};
use storage::{DurableSnapshot, Lsn, ShardHome, prune};

use crate::rig::{SimLog, flush, shard, start, try_snapshot};
use crate::world::World;

/// See the module's head.
pub struct Logged {
    pub world: World,
    pub disk: SimDisk,
    pub home: ShardHome,
    pub log: SimLog,
    pub progress: Rc<Progress>,
    pub snapshots: Vec<DurableSnapshot>,
    logged: usize,
}

impl Logged {
    /// A desk with its first users, who are durable.
    pub fn new() -> Self {
        let (disk, home) = shard(7);
        let (mut log, _) = start(&disk, &home);
        // Few, so that what is left out has to be read from the files as well.
        let (world, progress) = (World::new(1), Rc::new(Progress::with_relay(3)));
        log.set_relay(progress.take_relay_writer().unwrap());
        let mut logged = Self { world, disk, home, log, progress, snapshots: Vec::new(), logged: 0 };
        logged.commit();
        logged
    }

    /// What the desk recorded becomes durable.
    pub fn commit(&mut self) {
        for record in &self.world.desk.log[self.logged..] {
            self.log.append(record).unwrap();
            if self.log.pending_bytes() > 100_000 {
                flush(&mut self.log).unwrap();
            }
        }
        self.logged = self.world.desk.log.len();
        flush(&mut self.log).unwrap();
        self.progress.set_durable(self.log.durable());
    }

    /// A snapshot; with `prune_behind`, what neither it nor the database needs is removed.
    pub fn snapshot(&mut self, prune_behind: bool) {
        let mut encoder = Encoder::default();
        let as_of = self.log.durable().0;
        let sections: Vec<Vec<u8>> = self.users().map(|user| encoder.user(user, as_of).to_vec()).collect();
        let snapshot = try_snapshot(&self.disk, &self.home, &self.log, Lsn(as_of + 1), &sections).unwrap();
        self.snapshots.push(snapshot);
        if prune_behind {
            let projected = self.progress.projected();
            if let Some(base) = self.snapshots.iter().rev().find(|snapshot| snapshot.reflects() < projected) {
                block_on(prune(&self.disk, &self.home, base)).unwrap();
            }
        }
    }

    /// Everybody.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.world.desk.states[0].users().iter()
    }
}
