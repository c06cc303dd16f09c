//! What is written to the database in one transaction: rows of each table, and how far the shard's log is with them.
//!
//! **Invariants**: a row that is changed several times within a batch is written once, as it was at the end. Rows that the
//! database may have are given in the order of their keys, so that two batches take their locks in the same order (CASES.md D1,
//! D3); those that it cannot have lock nothing and are given as they came, which costs no sorting.
//! **Owns**: the rows, one behind another in memory, so that neither making, sending nor freeing them goes row by row.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use engine::core::ids::{Timestamp, UserId};
use hashbrown::HashTable;

use super::month::Month;
use super::seam::Reached;
use super::tables::{Growth, Table};
use super::tuple;
use crate::identity::LogIdentity;

/// A row that may be written again: where it stands.
#[derive(Clone, Copy, Debug)]
struct Place {
    at: usize,
    bytes: usize,
    /// Its tuple's first bytes that are count of fields and key.
    key_end: usize,
    /// Whether it came to be within the batch, so that the database cannot have it.
    fresh: bool,
}

/// The rows of one table.
#[derive(Clone, Debug, Default)]
pub struct TableRows {
    /// Tuples one after another, of a table that is appended to.
    pub appended: Vec<u8>,
    /// How many.
    pub appended_rows: usize,
    /// Tuples of a table whose rows are written again; with holes where a longer one took a row's place.
    latest: Vec<u8>,
    places: Vec<Place>,
    /// Numbers of `places`, by their keys.
    by_key: HashTable<usize>,
}

/// The hash of a key. The same in each process: keys are ours, and nothing depends on the order of the table.
fn hash(key: &[u8]) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(key)
}

impl TableRows {
    fn tuple(&self, place: Place) -> &[u8] {
        &self.latest[place.at..place.at + place.bytes]
    }

    fn key(&self, place: Place) -> &[u8] {
        &self.latest[place.at + 2..place.at + place.key_end]
    }

    /// How many rows there are of a table whose rows are written again.
    #[must_use]
    pub fn latest_rows(&self) -> usize {
        self.places.len()
    }

    /// Those that the database cannot have, as they came.
    pub fn fresh(&self) -> impl Iterator<Item = &[u8]> {
        self.places.iter().filter(|place| place.fresh).map(|place| self.tuple(*place))
    }

    /// Those that it may have, in the order of their keys. Made anew with each call.
    #[must_use]
    pub fn changed(&self) -> Vec<&[u8]> {
        let mut changed: Vec<Place> = self.places.iter().filter(|place| !place.fresh).copied().collect();
        changed.sort_unstable_by(|a, b| self.key(*a).cmp(self.key(*b)));
        changed.into_iter().map(|place| self.tuple(place)).collect()
    }

    /// Without its rows, and with their memory for the next ones: giving it back and taking it anew, cleared by the kernel page
    /// by page, was a fifth of the projector's time. What a much larger batch has left is given back.
    fn emptied(mut self) -> Self {
        fn empty<T>(all: &mut Vec<T>) {
            let used = all.len();
            all.clear();
            if all.capacity() / 4 > used {
                all.shrink_to(2 * used);
            }
        }
        empty(&mut self.appended);
        empty(&mut self.latest);
        if self.by_key.capacity() / 4 > self.places.len() {
            self.by_key = HashTable::new();
        }
        self.by_key.clear();
        empty(&mut self.places);
        self.appended_rows = 0;
        self
    }

    /// The row of this key, where there is one.
    fn find(&self, key: &[u8]) -> Option<usize> {
        self.by_key.find(hash(key), |place| self.key(self.places[*place]) == key).copied()
    }

    /// Takes a row that may be written again, in the place of the one with its key.
    fn put(&mut self, tuple: &[u8], key_end: usize, fresh: bool) {
        let key = &tuple[2..key_end];
        let found = self.find(key);
        let at = match found.map(|number| self.places[number]) {
            Some(place) if tuple.len() <= place.bytes => {
                self.latest[place.at..place.at + tuple.len()].copy_from_slice(tuple);
                place.at
            }
            _ => {
                self.latest.extend_from_slice(tuple);
                self.latest.len() - tuple.len()
            }
        };
        let place = Place { at, bytes: tuple.len(), key_end, fresh };
        match found {
            Some(number) => self.places[number] = Place { fresh: self.places[number].fresh, ..place },
            None => {
                self.places.push(place);
                let Self { latest, places, by_key, .. } = self;
                let of = |number: &usize| {
                    let Place { at, key_end, .. } = places[*number];
                    hash(&latest[at + 2..at + key_end])
                };
                by_key.insert_unique(hash(key), places.len() - 1, of);
            }
        }
    }
}

/// See the module's head.
#[derive(Clone, Debug)]
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
    /// By [`Table::place`]: the month that was noted last.
    last_months: [Option<Month>; Table::ALL.len()],
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
            last_months: [None; Table::ALL.len()],
        }
    }

    /// The memory of its rows, for [`Batch::with_memory`].
    pub(super) fn into_memory(self) -> Vec<TableRows> {
        self.tables.into_iter().map(TableRows::emptied).collect()
    }

    /// The same batch, which is empty, with the memory of one that was written.
    pub(super) fn with_memory(mut self, tables: Vec<TableRows>) -> Self {
        if tables.len() == self.tables.len() {
            self.tables = tables;
        }
        self
    }

    /// Whose rows a partial batch takes the place of: all of theirs that a history which begins in the middle may have.
    #[must_use]
    pub fn replaced(&self) -> Vec<UserId> {
        let replaces = self.partial && !planted::planted!("beginning_added_to_an_earlier_one");
        if replaces { self.users() } else { Vec::new() }
    }

    /// Whose rows of [`Table::Users`] are in it, in their order.
    ///
    /// # Panics
    /// Never: that table's first column is a number of eight bytes.
    #[must_use]
    pub fn users(&self) -> Vec<UserId> {
        let rows = &self.tables[Table::Users.place()];
        let id = |row: &[u8]| u64::from_be_bytes(row[6..14].try_into().expect("eight bytes"));
        rows.places.iter().map(|place| UserId(id(rows.tuple(*place)))).collect()
    }

    /// Rows in it.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.tables.iter().map(|rows| rows.appended_rows + rows.latest_rows()).sum()
    }

    /// Bytes that its rows take in memory.
    #[must_use]
    pub fn row_bytes(&self) -> usize {
        self.tables.iter().map(|rows| rows.appended.len() + rows.latest.len()).sum()
    }

    /// Takes a row. `when` is its first column's time in a partitioned table; `fresh` says that the database cannot have it.
    pub(super) fn put(&mut self, table: Table, when: Timestamp, tuple: &[u8], fresh: bool) {
        if table.is_monthly() {
            let month = Month::of(when);
            if self.last_months[table.place()] != Some(month) {
                self.last_months[table.place()] = Some(month);
                self.months.insert((table, month));
            }
        }
        let rows = &mut self.tables[table.place()];
        if table.growth() == Growth::Append && !self.may_repeat {
            rows.appended.extend_from_slice(tuple);
            rows.appended_rows += 1;
            return;
        }
        rows.put(tuple, tuple::prefix_bytes(tuple, table.key()), fresh && !self.may_repeat);
    }

    /// The same for a row of whose column that is written once ([`Table::once`]) only a part is known: if the batch has the
    /// row, it keeps its column.
    pub(super) fn put_again(&mut self, table: Table, when: Timestamp, tuple: &[u8]) {
        let rows = &self.tables[table.place()];
        let found = rows.find(&tuple[2..tuple::prefix_bytes(tuple, table.key())]);
        match (found, table.once()) {
            (Some(number), Some(column)) => {
                let whole = tuple::with_field_of(tuple, rows.tuple(rows.places[number]), column);
                self.put(table, when, &whole, false);
            }
            _ => self.put(table, when, tuple, false),
        }
    }
}
