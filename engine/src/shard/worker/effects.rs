//! What follows from a decision: it is held until its record is durable, then answers are given and effects begin.

use super::*;

impl<R: Reads, J: Journal, G: Gateway> Shard<R, J, G> {
    /// Effects, timers and counts of what was just decided.
    pub(super) fn follow_up(&mut self, now: Moment, lsn: Lsn, user: UserId, at: UserIndex, events: &[Event]) {
        for event in events {
            match event {
                Event::AccountOpened { index, wallet, .. } => {
                    let account = AccountId { user, index: *index };
                    self.hold(lsn, now, Held::Effect(Effect::OpenAccount(account, *wallet)));
                }
                Event::EntryIntended { order, .. } => {
                    self.positions_open += 1;
                    self.hold(lsn, now, Held::Effect(Effect::Submit(*order)));
                }
                // Flat, in the end: without a fill that would make it a closed position.
        }
    }

    fn order_state(&self, id: ClientOrderId) -> Option<OrderState> {
        self.state.by_id(id.account.user)?.order(id).map(|order| order.state)
    }
}

/// Takes out what was sent too long ago.
fn take_late(sent: &mut IdMap<ClientOrderId, Timestamp>, now: Moment) -> Vec<ClientOrderId> {
    let is_late = |at: Timestamp| now.wall.micros_since(at) >= ORDER_ANSWER_MAX_MICROS;
    let mut late: Vec<ClientOrderId> =
        sent.iter().filter(|(_, at)| is_late(**at)).map(|(id, _)| *id).collect();
    late.sort_unstable();
    sent.retain(|_, at| !is_late(*at));
    late
}
