//! The paper venue against us: what each shard's holds of its accounts is what the model says, once nothing moves.
//!
//! **Runs on**: the simulator's thread. The director asks; each shard's gateway answers before it next polls its venue: at that moment
//! all is decided that the venue has told. **Checks**: wallet, positions with their cost and leverage, live orders as they were
//! decided and what is filled of them, the count of the venue's own closes, of every paper account.

use std::collections::BTreeSet;

use engine::shard::ports::{ShardId, owner};
use exchange::paper::PaperVenue;
use exchange::venue::AccountSnapshot;

use super::judge::Judge;

/// Who is asked, and the first difference that somebody found.
#[derive(Default)]
pub(super) struct Asked {
    /// Shards that have not answered.
    pub(super) shards: BTreeSet<u16>,
    pub(super) difference: Option<String>,
}

impl Asked {
    /// All shards are asked anew.
    pub(super) fn ask(&mut self, shards: u16) {
        *self = Self { shards: (0..shards).collect(), difference: None };
    }

    /// A start came between: who was asked is gone.
    pub(super) fn forget(&mut self) {
        if !self.shards.is_empty() {
            *self =
                Self { shards: BTreeSet::new(), difference: Some("the server was started anew".to_owned()) };
        }
    }
}

/// Answers for a shard, if it is asked.
pub(super) fn look(shard: u16, venue: &PaperVenue, judge: &mut Judge) {
    if judge.books.shards.remove(&shard) && judge.books.difference.is_none() {
        judge.books.difference = differs(shard, venue, judge);
    }
}

fn differs(shard: u16, venue: &PaperVenue, judge: &Judge) -> Option<String> {
    let of_shard = judge.users().filter(|user| owner(user.id(), judge.shards()) == ShardId(shard));
    of_shard.flat_map(|user| user.paper_accounts()).find_map(|ours| {
        let id = ours.id;
        let Some(there) = venue.account(id) else { return Some(format!("account {id} is not there")) };
        let (there, ours) = (in_order(there), in_order(ours));
        (there != ours).then(|| format!("account {id}: there {there:?}, and here {ours:?}"))
    })
}

fn in_order(mut account: AccountSnapshot) -> AccountSnapshot {
    account.positions.sort_by_key(|position| position.symbol);
    account.orders.sort_by_key(|order| order.order.id);
    account
}
