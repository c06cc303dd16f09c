//! A database in memory, for the simulator and for tests: keeps what is committed, has a standby that may miss the tail, and
//! fails as a real one does.
//!
//! **Invariants**: a batch is taken whole or not at all; a row that is there already is refused in a table that is appended to.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use engine::core::ids::UserId;
use engine::core::user::User;
use engine::seam::Nanos;
use futures_lite::future::yield_now;

use super::batch::Batch;
use super::projection::rows_of;
use super::seam::{History, HistoryError, Pause, Reached, Standing};
use super::tables::{Growth, Table};
use super::tuple;
use crate::identity::{LogIdentity, Lsn};

/// What one server holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Contents {
    rows: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    progress: BTreeMap<(u32, u16), (Reached, u64)>,
    /// The generations of which everything is here.
    complete: BTreeSet<u32>,
    refused: BTreeSet<(u32, u16, Lsn)>,
    left_out: BTreeSet<UserId>,
}

/// What happens to the next write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteFault {
    /// It is lost before it was committed.
    LostBefore,
    /// It is committed, and the answer is lost.
    LostAfter,
}

/// What somebody who asked has felt of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Felt {
    /// It is not there, or lets everybody wait.
    Down,
    /// A batch was lost, or the answer to it.
    Lost,
}

/// Who is told of that.
type Told = Rc<dyn Fn(Felt)>;

/// A wait of its caller's clock.
type Wait = Rc<dyn Fn() -> Pin<Box<dyn Future<Output = ()>>>>;

#[derive(Default)]
struct Inside {
    primary: Contents,
    standby: Contents,
    /// Committed, and not yet at the standby.
    behind: VecDeque<Batch>,
    down: bool,
    fault: Option<WriteFault>,
    /// Rows whose bytes hold this are refused.
    poison: Option<Vec<u8>>,
    /// While this is set, whoever asks waits by it again and again.
    stall: Option<Wait>,
    /// More rows at once than these take too long.
    rows_in_time: Option<usize>,
    told: Option<Told>,
}

/// See the module's head. Cheap to clone; clones are the same database.
#[derive(Clone, Default)]
pub struct SimDatabase(Rc<RefCell<Inside>>);

impl Contents {
    /// Takes out what a history that begins in the middle has written of these users.
    fn without(&mut self, users: &[UserId]) {
        let whose = |table: Table| {
            let name = if table == Table::Signals { "owner_id" } else { "user_id" };
            table.columns().iter().position(|column| *column == name).expect("it has that column")
        };
        self.rows.retain(|(table, _), row| {
            let (fields, _) = tuple::split(row).expect("rows are whole tuples");
            !Table::OF_A_BEGINNING.contains(table)
                || users.iter().all(|user| fields[whose(*table)] != Some(&user.0.to_be_bytes()[..]))
        });
    }

    /// Takes a batch, or says why not.
    fn take(&mut self, batch: &Batch) -> Result<(), HistoryError> {
        let replaced = batch.replaced();
        if !replaced.is_empty() {
            self.without(&replaced);
        }
        let mut next = Vec::new();
        for table in Table::ALL {
            let rows = &batch.tables[table.place()];
            let mut bytes = rows.appended.as_slice();
            while !bytes.is_empty() {
                let (_, rest) = tuple::split(bytes).expect("a batch holds whole tuples");
                let row = &bytes[..bytes.len() - rest.len()];
                let key = row[2..tuple::prefix_bytes(row, table.key())].to_vec();
                next.push(((table, key), row.to_vec(), true));
                bytes = rest;
            }
            let key = |row: &[u8]| (table, row[2..tuple::prefix_bytes(row, table.key())].to_vec());
            next.extend(rows.fresh().map(|row| (key(row), row.to_vec(), true)));
            for row in rows.changed() {
                let key = key(row);
                let row = match (self.rows.get(&key), table.once()) {
                    (Some(old), Some(column)) => tuple::with_field_of(row, old, column),
                    _ => row.to_vec(),
                };
                next.push((key, row, false));
            }
        }
        for (key, _, new) in &next {
            if *new && self.rows.contains_key(key) {
                return Err(HistoryError::Refused(format!("{}: a key is there twice", key.0.name())));
            }
        }
        self.rows.extend(next.into_iter().map(|(key, row, _)| (key, row)));
        if !batch.partial {
            self.advance(batch.place, batch.through);
        }
        Ok(())
    }

    fn advance(&mut self, place: LogIdentity, through: Reached) {
        self.complete.remove(&place.generation.0);
        self.progress.insert((place.generation.0, place.shard.0), (through, place.salt.0));
    }

    fn stands(&self, place: LogIdentity) -> Result<Option<Reached>, HistoryError> {
        match self.progress.get(&(place.generation.0, place.shard.0)) {
            Some((_, salt)) if *salt != place.salt.0 => Err(HistoryError::Foreign("another salt".to_owned())),
            None if self
                .progress
                .iter()
                .any(|((of, _), (_, salt))| *of == place.generation.0 && *salt != place.salt.0) =>
            {
                Err(HistoryError::Foreign("another salt beside it".to_owned()))
            }
            _ if self.progress.keys().any(|(generation, _)| *generation > place.generation.0) => {
                Err(HistoryError::Foreign("it has gone on with a later generation".to_owned()))
            }
            found => Ok(found.map(|(reached, _)| *reached)),
        }
    }
}

impl SimDatabase {
    /// Takes it away or brings it back.
    pub fn set_down(&self, down: bool) {
        self.0.borrow_mut().down = down;
    }

    /// What happens to the next write.
    pub fn set_fault(&self, fault: WriteFault) {
        self.0.borrow_mut().fault = Some(fault);
    }

    /// Rows that hold these bytes are refused.
    pub fn set_poison(&self, bytes: Option<&[u8]>) {
        self.0.borrow_mut().poison = bytes.map(<[u8]>::to_vec);
    }

    /// It does not answer until it is called with none: what is asked waits by `wait`, and goes on then. What waits when it goes
    /// away is lost before it was committed.
    pub fn set_stall(&self, wait: Option<Wait>) {
        self.0.borrow_mut().stall = wait;
    }

    /// Is called whenever somebody who asks feels a fault; not to ask anything here from within.
    pub fn set_told(&self, told: Told) {
        self.0.borrow_mut().told = Some(told);
    }

    async fn stalled(&self) {
        loop {
            let Some(wait) = self.0.borrow().stall.clone() else { return };
            self.0.borrow().feel(Felt::Down);
            wait().await;
        }
    }

    /// A batch of more rows than this takes too long, and is not committed; none: whatever comes is in time.
    pub fn set_rows_in_time(&self, rows: Option<usize>) {
        self.0.borrow_mut().rows_in_time = rows;
    }

    /// The standby gets everything but the last `missing` commits.
    pub fn replicate(&self, missing: usize) {
        let mut inside = self.0.borrow_mut();
        while inside.behind.len() > missing {
            let batch = inside.behind.pop_front().expect("it was counted");
            inside.standby.take(&batch).expect("the primary took it");
        }
    }

    /// The standby becomes the primary; what it does not have is lost.
    pub fn fail_over(&self) {
        let mut inside = self.0.borrow_mut();
        inside.primary = inside.standby.clone();
        inside.behind.clear();
    }

    /// How far the only log in it is.
    #[must_use]
    pub fn stands(&self) -> Option<Lsn> {
        self.0.borrow().primary.progress.values().map(|(reached, _)| reached.lsn).next()
    }

    /// Records that were passed over.
    #[must_use]
    pub fn refused(&self) -> Vec<Lsn> {
        self.0.borrow().primary.refused.iter().map(|(_, _, lsn)| *lsn).collect()
    }

    /// Users whose rows the history began without.
    #[must_use]
    pub fn left_out(&self) -> Vec<UserId> {
        self.0.borrow().primary.left_out.iter().copied().collect()
    }

    /// Rows of a table.
    #[must_use]
    pub fn rows(&self, table: Table) -> usize {
        self.0.borrow().primary.rows.keys().filter(|(of, _)| *of == table).count()
    }

    /// All rows, in the order of their keys.
    #[must_use]
    pub fn contents(&self) -> Vec<(Table, Vec<u8>)> {
        self.0.borrow().primary.rows.iter().map(|((table, _), row)| (*table, row.clone())).collect()
    }

    /// Compares with what the engine holds: every row that the state can tell, and every balance to the last unit.
    ///
    /// # Errors
    /// What differs.
    pub fn compare<'a>(&self, users: impl Iterator<Item = &'a User>) -> Result<(), String> {
        let inside = self.0.borrow();
        let rows = &inside.primary.rows;
        let mut sums: BTreeMap<(u64, String, String), i128> = BTreeMap::new();
        for ((_, _), row) in rows.range((Table::Postings, Vec::new())..(Table::AuditTrail, Vec::new())) {
            let (fields, _) = tuple::split(row).ok_or("a posting is not whole")?;
            let field =
                |place: usize| fields[place].ok_or_else(|| format!("a posting without field {place}"));
            let user = u64::from_be_bytes(field(1)?.try_into().map_err(|_| "a user of eight bytes")?);
            let text = |place: usize| Ok::<_, String>(String::from_utf8_lossy(field(place)?).into_owned());
            let amount = tuple::numeric_units(field(6)?).ok_or("an amount that is none")?;
            *sums.entry((user, text(5)?, text(4)?)).or_default() += i128::from(amount);
        }
        let mut orders = BTreeSet::new();
        for ((_, _), row) in rows.range((Table::Orders, Vec::new())..(Table::Positions, Vec::new())) {
            let (fields, _) = tuple::split(row).ok_or("an order is not whole")?;
            if !orders.insert(fields[1].map(<[u8]>::to_vec)) {
                return Err(format!("an order is there twice: {row:02x?}"));
            }
        }
        for user in users {
            for (currency, account, balance) in user.ledger.balances() {
                let key = (user.id.0, currency.as_str().to_owned(), account.name());
                let sum = sums.remove(&key).unwrap_or_default();
                if sum != i128::from(balance.units()) {
                    return Err(format!("{key:?}: the database sums to {sum}, the ledger has {balance}"));
                }
            }
            for (table, row) in rows_of(user) {
                let key = row[2..tuple::prefix_bytes(&row, table.key())].to_vec();
                let found = rows.get(&(table, key));
                // The state keeps the beginning of a long body, the history all of it.
                let as_kept = found.zip(table.once()).map(|(found, column)| {
                    let field = |row: &[u8]| {
                        tuple::split(row).and_then(|(fields, _)| fields[column].map(<[u8]>::to_vec))
                    };
                    let goes_on =
                        field(found).zip(field(&row)).is_some_and(|(all, begin)| all.starts_with(&begin));
                    if goes_on { tuple::with_field_of(found, &row, column) } else { found.clone() }
                });
                if found != Some(&row) && as_kept.as_ref() != Some(&row) {
                    return Err(format!("{} of {}: {found:02x?} is not {row:02x?}", table.name(), user.id));
                }
            }
        }
        match sums.into_iter().find(|(_, sum)| *sum != 0) {
            Some((key, sum)) => Err(format!("{key:?}: {sum} that no ledger has")),
            None => Ok(()),
        }
    }

    /// Users that the database knows.
    #[must_use]
    pub fn users(&self) -> Vec<UserId> {
        let inside = self.0.borrow();
        let users = inside.primary.rows.keys().filter(|(table, _)| *table == Table::Users);
        users.map(|(_, key)| UserId(u64::from_be_bytes(key[4..12].try_into().expect("a bigint")))).collect()
    }
}

fn moved(found: Option<Reached>, expected: Option<Reached>) -> HistoryError {
    let lsn = |reached: Option<Reached>| reached.map(|reached| reached.lsn);
    HistoryError::Moved { found: lsn(found), expected: lsn(expected) }
}

impl Inside {
    fn feel(&self, felt: Felt) {
        if let Some(told) = &self.told {
            told(felt);
        }
    }

    fn up(&self) -> Result<(), HistoryError> {
        if !self.down {
            return Ok(());
        }
        self.feel(Felt::Down);
        Err(HistoryError::Unreachable("it is down".to_owned()))
    }
}

impl History for SimDatabase {
    async fn position(&mut self, place: LogIdentity) -> Result<Standing, HistoryError> {
        self.stalled().await;
        let inside = self.0.borrow();
        inside.up()?;
        let generation = place.generation.0;
        let earlier = inside.primary.progress.keys().map(|(of, _)| *of).filter(|of| *of < generation).max();
        match (inside.primary.stands(place)?, earlier) {
            (Some(reached), _) => Ok(Standing::At(reached)),
            (None, None) => Ok(Standing::Nothing),
            (None, Some(of)) if of + 1 == generation && inside.primary.complete.contains(&of) => {
                Ok(Standing::Earlier)
            }
            (None, Some(of)) => Err(HistoryError::Foreign(format!("it ends in generation {of}"))),
        }
    }

    async fn write(&mut self, batch: &Batch) -> Result<(), HistoryError> {
        self.stalled().await;
        let mut inside = self.0.borrow_mut();
        inside.up()?;
        let fault = inside.fault.take();
        if fault.is_some() {
            inside.feel(Felt::Lost);
        }
        if fault == Some(WriteFault::LostBefore) {
            return Err(HistoryError::Unreachable("the connection was lost".to_owned()));
        }
        let found = inside.primary.stands(batch.place)?;
        if found != batch.after {
            return Err(moved(found, batch.after));
        }
        if inside.rows_in_time.is_some_and(|rows| batch.rows() > rows) {
            return Err(HistoryError::TooSlow("canceling statement due to statement timeout".to_owned()));
        }
        if let Some(poison) = &inside.poison {
            let holds = |bytes: &[u8]| bytes.windows(poison.len()).any(|window| window == poison);
            let hit = batch.tables.iter().any(|rows| {
                holds(&rows.appended) || rows.fresh().any(holds) || rows.changed().into_iter().any(holds)
            });
            if hit {
                return Err(HistoryError::Refused("a value that does not fit".to_owned()));
            }
        }
        inside.primary.take(batch)?;
        inside.behind.push_back(batch.clone());
        match fault {
            Some(_) => Err(HistoryError::Unreachable("the answer was lost".to_owned())),
            None => Ok(()),
        }
    }

    async fn complete(&mut self, ends: &[(LogIdentity, Lsn)]) -> Result<(), HistoryError> {
        let mut inside = self.0.borrow_mut();
        inside.up()?;
        for (place, end) in ends {
            let found = inside.primary.stands(*place)?;
            let found = found.map(|reached| reached.lsn);
            if found != Some(*end) {
                return Err(HistoryError::Moved { found, expected: Some(*end) });
            }
        }
        let generations = ends.iter().map(|(place, _)| place.generation.0);
        inside.primary.complete.extend(generations.clone());
        // What ends a generation is not lost with a tail: it is waited for until the standby has it.
        while let Some(batch) = inside.behind.pop_front() {
            inside.standby.take(&batch)?;
        }
        inside.standby.complete.extend(generations);
        Ok(())
    }

    async fn pass_over(
        &mut self,
        place: LogIdentity,
        after: Option<Reached>,
        refused: Reached,
        _: &str,
    ) -> Result<(), HistoryError> {
        let mut inside = self.0.borrow_mut();
        inside.up()?;
        let found = inside.primary.stands(place)?;
        if found != after {
            return Err(moved(found, after));
        }
        inside.primary.refused.insert((place.generation.0, place.shard.0, refused.lsn));
        inside.primary.advance(place, refused);
        // To the standby it comes as a batch without rows.
        let batch = Batch::new(place, after, refused);
        inside.behind.push_back(batch);
        Ok(())
    }

    async fn refusals(&mut self, place: LogIdentity) -> Result<u64, HistoryError> {
        let inside = self.0.borrow();
        inside.up()?;
        let (own, is_first) = ((place.generation.0, place.shard.0), place.shard.0 == 0);
        let of = |place: (u32, u16)| place == own || place.0 < own.0 && is_first;
        let records =
            inside.primary.refused.iter().filter(|(generation, shard, _)| of((*generation, *shard)));
        Ok((records.count() + inside.primary.left_out.len()) as u64)
    }

    async fn leave_out(
        &mut self,
        place: LogIdentity,
        _: Reached,
        user: UserId,
        _: &str,
    ) -> Result<(), HistoryError> {
        let mut inside = self.0.borrow_mut();
        inside.up()?;
        let found = inside.primary.stands(place)?;
        if found.is_some() {
            return Err(moved(found, None));
        }
        // A standby that takes over before the beginning is whole begins anew.
        inside.primary.without(&[user]);
        inside.primary.left_out.insert(user);
        Ok(())
    }
}

/// A clock that moves when somebody waits, for those who drive a projector by hand.
#[derive(Clone, Debug, Default)]
pub struct Ticks(Rc<Cell<u64>>);

impl Pause for Ticks {
    async fn pause(&self, span: Nanos) {
        self.0.set(self.0.get() + span.0);
        yield_now().await;
    }

    fn now(&self) -> Nanos {
        Nanos(self.0.get())
    }
}

const _: () = assert!(matches!(Table::Postings.growth(), Growth::Append), "postings are never written again");
