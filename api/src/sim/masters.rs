//! The master keys of a run. Now and then a start finds a fresh one in front of the others, and those that nothing needs any more
//! are taken out of its file, as an operator does.
//!
//! **Runs on**: the simulator's thread. **Invariants**: a master key is taken out only after a start has put on record that every key
//! is sealed under a newer one; a key that still needs it then was acknowledged and is lost.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use engine::core::command::Command;
use engine::core::user::User;
use engine::seam::{Entropy, Nanos};
use engine::shard::ask::{Answer, Ask, Auth, Op};

use super::executor::Owner;
use super::world::World;
use crate::server::inside::Lines;
use crate::vault::master::{KEYS_MAX, MasterKey, MasterKeys};
use crate::vault::{self, Resealed, Vault};

/// One start of so many finds a fresh master key.
const ROTATED_OF: u64 = 3;
/// How often answers are looked for.
const LOOK_SPAN: Nanos = Nanos::from_millis(50);

/// See the file's header.
pub(super) struct Masters {
    /// As they are written into a file, the newest first.
    written: RefCell<Vec<String>>,
    vault: RefCell<Arc<Vault>>,
}

impl Masters {
    pub(super) fn new(entropy: &mut impl Entropy) -> Self {
        let first = MasterKey::random(entropy);
        Self {
            written: RefCell::new(vec![first.to_base64().to_string()]),
            vault: RefCell::new(Arc::new(Vault::new(MasterKeys::one(first)))),
        }
    }

    /// Of the life that runs.
    pub(super) fn vault(&self) -> Arc<Vault> {
        Arc::clone(&self.vault.borrow())
    }

    /// Whether nothing needs another master key than the newest.
    pub(super) fn is_rotation_over(&self) -> bool {
        self.written.borrow().len() == 1
    }

    /// What a start is given, with a fresh one in front or without.
    fn given(&self, fresh: bool, entropy: &mut impl Entropy) -> Arc<Vault> {
        let mut written = self.written.borrow_mut();
        // Lives that never came to their resealing could make more of them than a file may hold.
        if fresh && written.len() < KEYS_MAX {
            written.insert(0, MasterKey::random(entropy).to_base64().to_string());
        }
        let keys =
            MasterKeys::parse(&written.join("\n"), "the simulator's file").expect("it writes good ones");
        *self.vault.borrow_mut() = Arc::new(Vault::new(keys));
        self.vault()
    }
}

/// A start looks at the keys that it has recovered, as `server::keys_at_start` does; gives what is to be put on record.
pub(super) fn look_at_start(
    world: &World,
    life: u32,
    users: &[User],
    entropy: &mut impl Entropy,
) -> Vec<Resealed> {
    let Some(exchange) = &world.exchange else { return Vec::new() };
    let fresh = world.plan.random(604 + (u64::from(life) << 32)).below(ROTATED_OF) == 0;
    let vault = exchange.masters.given(fresh, entropy);
    let unreadable = vault::look(Some(&vault), users);
    if let Some(why) = unreadable.first {
        let keys = unreadable.keys.len();
        world.judge.borrow_mut().violate(format!("{keys} keys do not open at a start: {why}"));
    }
    vault::reseal_all(&vault, users, entropy)
}

/// Puts them on record while the server serves, and takes the master keys out that were needed until then.
pub(super) fn begin(world: &Rc<World>, life: u32, lines: Lines, resealed: Vec<Resealed>) {
    let Some(newest) = world.exchange.as_ref().map(|exchange| exchange.masters.written.borrow()[0].clone())
    else {
        return;
    };
    let world_of_task = Rc::clone(world);
    world.executor.spawn(Owner::Life(life, u16::MAX), async move {
        let world = world_of_task;
        let keys = resealed.len() as u64;
        for Resealed { account, number, sealed } in resealed {
            let op = Op::Command(Command::ResealKey { account, number, sealed });
            let Ok(waiting) = lines.begin(Ask { auth: Auth::Open, op, user: account.user }) else { return };
            let answer = loop {
                match waiting.try_recv() {
                    Ok(answer) => break answer,
                    Err(error) if error.is_disconnected() => return,
                    Err(_) => world.executor.sleep(LOOK_SPAN).await,
                }
            };
            // A shard that is behind or whose log failed takes none: the next start tries again.
            if !matches!(answer, Answer::Decided(Ok(_))) {
                return;
            }
        }
        world.count(|judged| judged.resealed += keys);
        if let Some(exchange) = &world.exchange {
            *exchange.masters.written.borrow_mut() = vec![newest];
        }
    });
}
