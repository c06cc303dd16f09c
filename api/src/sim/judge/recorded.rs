//! What is on record, counted by the tables that must tell it: what the history in the database must hold once, and no more.
//!
//! The counts are worked out from the events of each decision, by rules of their own; the projector has no part in them.
//! **Invariants**: what a crash takes back is taken off.

use engine::core::event::{Event, Latch};
use engine::core::position::CloseReason;
use engine::core::user::{Skip, User};
use storage::history::Table;

use super::Judge;
use crate::sim::model::ModelUser;

/// How many rows each of [`Rows::TABLES`] must have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::sim) struct Rows([u64; Rows::TABLES.len()]);

impl Rows {
    /// The tables whose rows can be counted by events alone: in the others a row is written again.
    const TABLES: [Table; 7] = [
        Table::Users,
        Table::ExchangeAccounts,
        Table::Sources,
        Table::Signals,
        Table::Fills,
        Table::Fees,
        Table::AuditTrail,
    ];

    /// Those of a table.
    pub(super) fn of(&self, table: Table) -> u64 {
        Self::TABLES.iter().position(|one| *one == table).map_or(0, |place| self.0[place])
    }

    /// The rows that a decision adds.
    pub(super) fn told_by(events: &[Event]) -> Self {
        let count = |is: fn(&Event) -> bool| events.iter().filter(|event| is(event)).count() as u64;
        Self([
            count(|event| matches!(event, Event::SignedUp { .. })),
            count(|event| matches!(event, Event::AccountOpened { .. } | Event::VenueAccountOpened { .. })),
            count(|event| matches!(event, Event::SourceCreated { .. })),
            count(|event| matches!(event, Event::SignalAccepted { .. })),
            count(|event| {
                matches!(
                    event,
                    Event::Filled { .. }
                        | Event::LateEntry { .. }
                        | Event::Liquidated { .. }
                        | Event::ClosedOutside { .. }
                )
            }),
            count(|event| matches!(event, Event::PositionClosed { .. })),
            count(is_for_the_audit_trail),
        ])
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(mine, theirs)| *mine += theirs);
    }

    pub(super) fn take(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(mine, theirs)| *mine -= theirs);
    }

    /// Each table with its rows.
    pub(in crate::sim) fn each(self) -> impl Iterator<Item = (Table, u64)> {
        Self::TABLES.into_iter().zip(self.0)
    }
}

/// What people did, and what went wrong (ARCHITECTURE.md).
const fn is_for_the_audit_trail(event: &Event) -> bool {
    match event {
        Event::SignedUp { .. }
        | Event::SessionOpened { .. }
        | Event::SessionClosed { .. }
        | Event::LoginFailed { .. }
        | Event::AccountOpened { .. }
        | Event::VenueAccountOpened { .. }
        | Event::CredentialSet { .. }
        | Event::CredentialRemoved { .. }
        | Event::CredentialResealed { .. }
        | Event::KeyHealth { .. }
        | Event::SourceCreated { .. }
        | Event::Subscribed { .. }
        | Event::Unsubscribed { .. }
        | Event::HaltSet { latch: Latch::User | Latch::Source(_), .. }
        | Event::Recharged { .. }
        | Event::OrderUnknown { .. }
        | Event::ClosedOutside { .. }
        | Event::LateEntry { .. }
        | Event::WalletMoved { .. }
        | Event::Liquidated { .. } => true,
        Event::Skipped { reason, .. } => matches!(reason, Skip::DailyLoss),
        Event::CloseRequested { closing, .. } => {
            !matches!(closing.reason, CloseReason::Signal | CloseReason::Reversal)
        }
        _ => false,
    }
}

impl Judge {
    /// How many rows of a table may be missing: of records that changed nothing else, when a crash took nobody knows how many back.
    pub(in crate::sim) fn may_lack(&self, table: Table) -> u64 {
        if table == Table::AuditTrail { self.doubted } else { 0 }
    }

    /// The rows of all that was decided, where of each shard the records up to `through` are left.
    pub(in crate::sim) fn rows(&self, through: &[u64]) -> Rows {
        let mut rows = self.recorded;
        for (undo, through) in self.undo.iter().zip(through) {
            undo.iter().filter(|one| one.lsn > *through).for_each(|one| rows.take(&one.rows));
        }
        rows
    }

    /// The journal entries that the model has booked for these users, if it has them as they are.
    pub(in crate::sim) fn entries(&self, users: &[User]) -> Option<u64> {
        let of = |user: &User| match self.model.differs(user) {
            None => self.model.user(user.id).map(ModelUser::booked),
            Some(_) => None,
        };
        users.iter().map(of).sum()
    }
}
