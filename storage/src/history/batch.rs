//! What is written to the database in one transaction: rows of each table, and how far the shard's log is with them.
//!
//! **Invariants**: a row that is changed several times within a batch is written once, as it was at the end; keys are in
//! order, so that two batches take their locks in the same order (CASES.md D1, D3).

use std::collections::{BTreeSet, HashMap};

use engine::core::ids::Timestamp;

use super::month::Month;
use super::seam::Reached;
use super::tables::{Growth, Table};
use super::tuple;
use crate::identity::LogIdentity;

/// A row that may be written again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latest {
    /// As it is now.
    pub tuple: Vec<u8>,
    /// Whether it came to be within the batch, so that the database cannot have it.
    pub fresh: bool,
}

/// The rows of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableRows {
    /// Tuples one after another, of a table that is appended to.
    pub appended: Vec<u8>,
    /// How many.
    pub appended_rows: usize,
    /// By their keys, of a table whose rows are written again.
    latest: HashMap<Box<[u8]>, Latest>,
}

impl TableRows {
    /// How many rows there are of a table whose rows are written again.
    #[must_use]
    pub fn latest_rows(&self) -> usize {
        self.latest.len()
    }

    /// They, in the order of their keys. Made anew with each call.
    #[must_use]
    pub fn latest(&self) -> Vec<(&[u8], &Latest)> {
        // Behind its length stands a key's first field, mostly a time: it decides nearly always, and lies beside its neighbours.
        let begin =
            |key: &[u8]| key.get(4..12).map(|bytes| u64::from_be_bytes(bytes.try_into().expect("eight")));
        let mut rows: Vec<_> = self.latest.iter().map(|(key, row)| (begin(key), &**key, row)).collect();
        rows.sort_unstable_by(|(a, key, _), (b, other, _)| (a, key).cmp(&(b, other)));
        rows.into_iter().map(|(_, key, row)| (key, row)).collect()
    }
}

/// See the module's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Whose.
    pub place: LogIdentity,
    /// The last record that was in the database before; none for a history that begins with this.
    pub after: Option<Reached>,
    /// The last record that is in it afterwards.
    pub through: Reached,
    /// Records in it.
    pub records: usize,
    /// Bytes of them in the log.
    pub record_bytes: usize,
    /// When the last of them was decided.
    pub at: Timestamp,
    /// Whether rows may be in the database already: a history that begins in the middle.
    pub may_repeat: bool,
    /// Whether more of the same has to come before the log can be said to be in the database.
    pub partial: bool,
    /// The rows, by [`Table::place`].
    pub tables: Vec<TableRows>,
    /// The months of partitioned tables that rows fall into.
    pub months: BTreeSet<(Table, Month)>,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new(place: LogIdentity, after: Option<Reached>, through: Reached) -> Self {
        Self {
            place,
            after,
            through,
            records: 0,
            record_bytes: 0,
            at: Timestamp(0),
            may_repeat: false,
            partial: false,
            tables: vec![TableRows::default(); Table::ALL.len()],
            months: BTreeSet::new(),
        }
    }

    /// Rows in it.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.tables.iter().map(|rows| rows.appended_rows + rows.latest.len()).sum()
    }

    /// Takes a row. `when` is its first column's time in a partitioned table; `fresh` says that the database cannot have it.
    pub(super) fn put(&mut self, table: Table, when: Timestamp, tuple: Vec<u8>, fresh: bool) {
        if table.is_monthly() {
            self.months.insert((table, Month::of(when)));
        }
        let rows = &mut self.tables[table.place()];
        if table.growth() == Growth::Append && !self.may_repeat {
            rows.appended.extend_from_slice(&tuple);
            rows.appended_rows += 1;
            return;
        }
        let key = &tuple[2..tuple::prefix_bytes(&tuple, table.key())];
        match rows.latest.get_mut(key) {
            Some(latest) => latest.tuple = tuple,
            None => {
                let key = key.into();
                rows.latest.insert(key, Latest { tuple, fresh: fresh && !self.may_repeat });
            }
        }
    }
}
