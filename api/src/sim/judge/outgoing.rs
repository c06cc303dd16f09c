//! What leaves for a venue: orders and cancels, each as it was decided and after its record is durable.

use engine::core::fixed::Price;
use engine::core::ids::ClientOrderId;
use engine::core::order::NewOrder;

use super::Judge;

/// What left for a venue under an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) struct Sent {
    /// The order.
    pub(in crate::sim) order: NewOrder,
    /// Stop and target that it went with when it first left; of entries.
    pub(in crate::sim) planned: Option<(Price, Price)>,
    /// It may have left more than once: another process was started after it left, and sends what it does not find.
    pub(in crate::sim) again: bool,
}

impl Judge {
    /// An order went to a venue, an entry with its stop and target.
    pub(in crate::sim) fn submitted(
        &mut self,
        shard: u16,
        order: &NewOrder,
        planned: Option<(Price, Price)>,
    ) {
        let sent = Sent { order: *order, planned, again: false };
        self.note(|| format!("submit {}", order.id));
        if let Some((_, lsn)) = self.intended.get(&order.id).copied().filter(|(of, _)| *of == shard) {
            self.promise(shard, lsn, || format!("order {} went to the venue", order.id));
        }
        let user = self.model.user(order.id.account.user);
        match user.and_then(|user| user.outgoing(order.id)) {
            Some(decided) if decided == (sent.order, sent.planned) => {}
            Some(decided) => {
                self.violate(format!("{sent:?} went to the venue and was decided as {decided:?}"))
            }
            None => self.violate(format!("order {} went to the venue and was never decided", order.id)),
        }
        match self.submitted.get_mut(&order.id) {
            Some(before) if before.order != *order => {
                let what = format!("order {} went out as {:?} and as {order:?}", order.id, before.order);
                self.violate(what);
            }
            Some(before) => before.again = true,
            None => drop(self.submitted.insert(order.id, sent)),
        }
    }

    /// A cancel went to a venue.
    pub(in crate::sim) fn cancelled(&mut self, shard: u16, id: ClientOrderId) {
        self.note(|| format!("cancel {id}"));
        match self.cancels.get(&id).copied().filter(|(of, _)| *of == shard) {
            Some((_, lsn)) => {
                self.promise(shard, lsn, || format!("a cancel of order {id} went to the venue"))
            }
            // What an earlier life decided, this one has recovered.
            None => {
                let user = self.model.user(id.account.user);
                if !user.is_some_and(|user| user.is_taken_back(id)) {
                    self.violate(format!("a cancel of order {id} went to the venue and was never decided"));
                }
            }
        }
    }

    /// What left under an id, in whichever life.
    pub(in crate::sim) fn left_as(&self, id: ClientOrderId) -> Option<&Sent> {
        self.submitted.get(&id)
    }
}
