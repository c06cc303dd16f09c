//! What becomes of signals: everybody who was subscribed is decided on, and nobody is sent in after the close.

use engine::core::event::Event;
use engine::core::ids::{SignalId, UserId};
use engine::core::signal::Signal;

use super::Judge;
use crate::sim::model::ModelUser;

impl Judge {
    /// Notes who has to be decided on when a signal is accepted, and looks that they were when it is finished.
    pub(super) fn follow_fan_out(&mut self, owner: UserId, events: &[Event]) {
        for event in events {
            match event {
                Event::SignalAccepted { signal, .. } => {
                    let subscribed = |user: &&ModelUser| {
                        user.has_decided(signal.id, signal.kind.opens().is_some()).is_some()
                    };
                    let audience = self.model.users().filter(subscribed).map(ModelUser::id).collect();
                    self.audience.insert(signal.id, (signal.kind.opens().is_some(), audience));
                    self.closes.remove(&signal.id);
                    if signal.kind.opens().is_none() {
                        self.closes.insert(signal.id, *signal);
                    }
                }
                // An expired one reaches nobody.
                Event::SignalFinished { .. } if events.len() > 1 => {}
                Event::SignalFinished { source, number, .. } => {
                    let of_source = |id: &SignalId| id.number == *number && id.source.index == *source;
                    let found =
                        self.audience.keys().find(|id| id.source.owner == owner && of_source(id)).copied();
                    let Some(id) = found else { continue };
                    let Some((opens, audience)) = self.audience.remove(&id) else { continue };
                    self.all_decided(id, opens, &audience);
                    self.finished.insert(id, (opens, audience));
                }
                _ => {}
            }
        }
    }

    fn all_decided(&mut self, id: SignalId, opens: bool, audience: &[UserId]) {
        for user in audience {
            let decided = self.model.user(*user).and_then(|user| user.has_decided(id, opens));
            if decided == Some(false) {
                self.violate(format!("signal {id} is finished and {user} was not decided on"));
            }
        }
    }

    /// A crash took decisions back. Who was decided on for a signal whose end is still there must be so still: nobody will offer
    /// it again. Of the others, everybody who has a subscription now must be decided on by their end.
    pub(super) fn recover_fan_outs(&mut self) {
        for (id, (opens, audience)) in std::mem::take(&mut self.finished) {
            match self.model.user(id.source.owner).and_then(|owner| owner.has_finished(id)) {
                Some(true) => self.all_decided(id, opens, &audience),
                Some(false) => drop(self.audience.insert(id, (opens, audience))),
                // Its acceptance was taken back with it.
                None => {}
            }
        }
        let Self { audience, model, .. } = self;
        for (id, (opens, users)) in audience {
            users.retain(|user| model.user(*user).and_then(|user| user.has_decided(*id, *opens)).is_some());
        }
    }

    /// An open is not executed for who has had the close that covers it.
    pub(super) fn check_order_of_signals(&mut self, user: UserId, open: &Signal) {
        let Some(side) = open.kind.opens() else { return };
        let later = SignalId { number: u32::MAX, ..open.id };
        let covering = self.closes.range(open.id..=later).map(|(_, close)| close).find(|close| {
            close.symbol == open.symbol
                && close.kind.closes(side)
                && self.model.user(user).and_then(|user| user.has_decided(close.id, false)) == Some(true)
        });
        if let Some(close) = covering {
            let what = format!("{user} was sent into {} after its close {} was decided", open.id, close.id);
            self.violate(what);
        }
    }
}
