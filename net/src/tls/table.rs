//! The TLS connections of a wire, by slot.
//!
//! **Invariants**: found by the whole id only. An inner wire may give a slot away before it delivers the `closed` of the
//! connection that had it; the older session then waits aside for that event.

use super::session::Session;
use crate::wire::ConnId;

/// Sessions by the index of their connection: a plain connection costs one look.
#[derive(Default)]
pub(super) struct Table {
    slots: Vec<Option<Box<Session>>>,
    /// Sessions whose slot was given away before their `closed`; few and brief.
    displaced: Vec<Session>,
    live: usize,
}

impl Table {
    pub(super) fn insert(&mut self, session: Session) {
        let index = session.conn.index();
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
        }
        self.live += 1;
        let displaced = self.slots[index].replace(Box::new(session));
        self.displaced.extend(displaced.map(|session| *session));
    }

    pub(super) fn get(&self, conn: ConnId) -> Option<&Session> {
        self.slots.get(conn.index())?.as_deref().filter(|session| session.conn == conn)
    }

    pub(super) fn get_mut(&mut self, conn: ConnId) -> Option<&mut Session> {
        self.slots.get_mut(conn.index())?.as_deref_mut().filter(|session| session.conn == conn)
    }

    pub(super) fn remove(&mut self, conn: ConnId) -> Option<Session> {
        let slot = self.slots.get_mut(conn.index())?;
        let removed = if slot.as_ref().is_some_and(|session| session.conn == conn) {
            slot.take().map(|session| *session)
        } else {
            let place = self.displaced.iter().position(|session| session.conn == conn);
            place.map(|place| self.displaced.swap_remove(place))
        };
        self.live -= usize::from(removed.is_some());
        removed
    }

    /// The session in a slot, whichever it is.
    pub(super) fn at(&mut self, position: usize) -> Option<&mut Session> {
        self.slots.get_mut(position)?.as_deref_mut()
    }

    /// Number of slots, used or not.
    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Number of sessions.
    pub(super) fn live(&self) -> usize {
        self.live
    }
}

#[cfg(test)]
mod tests {
    use super::Table;
    use crate::tls::record::Side;
    use crate::tls::session::{Session, Stage};
    use crate::wire::{ConnId, WireConfig};

    #[test]
    fn an_older_session_waits_for_its_end_while_another_has_its_slot() {
        let [older, newer] = [0, 1].map(|generation| ConnId::new(3, generation));
        let session = |conn| Session::new(conn, Side::Unusable, Stage::Open, 0, &WireConfig::default());
        let mut table = Table::default();
        table.insert(session(older));
        table.insert(session(newer));
        assert_eq!((table.live(), table.slots()), (2, 4));
        assert!(table.get(older).is_none() && table.get(newer).is_some());
        assert_eq!(table.remove(older).map(|session| session.conn), Some(older));
        assert!(table.remove(older).is_none());
        assert_eq!(table.get_mut(newer).map(|session| session.conn), Some(newer));
        assert_eq!(table.remove(newer).map(|session| session.conn), Some(newer));
        assert_eq!(table.live(), 0);
        assert!(table.remove(ConnId::new(9, 0)).is_none());
    }
}
