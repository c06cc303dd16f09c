//! What each account may still send, per group of requests.
//!
//! **Runs on**: the shard that the accounts live on; nothing is shared. **Owns**: a count per account and
//! group.
//! **Invariants**: what leaves never exceeds the ceiling of its purpose in any window of the exchange. The
//! exchange's headers win: upwards at once; downwards when nothing is under way, for only then they are the
//! whole truth. A group that the exchange stopped stays stopped until the time it said, and only that group
//! of that account does (CASES.md, R3, R4).
//! **Bounds**: [`super::limits::ACCOUNTS_MAX`]; no allocation but when an account is opened.

use engine::core::ids::Timestamp;
use planted::planted;

use crate::live::protocol::{AccountUse, Group};

use super::lease::{Moment, Short};
use super::limits::{ACCOUNTS_MAX, AccountLimits, LEVEL_MAX, SECOND};
use super::purpose::Purpose;
use super::ring::{Ring, slot_micros};
use super::window::{Count, Place, SKEW_MICROS};

/// Slots of an account's rolling second.
pub(super) const SLOTS: usize = 52;
/// Groups that are counted per account.
const GROUPS: usize = 4;
/// A stop of a group whose end lies further ahead than this is not believed, in microseconds: the longest
/// window that either exchange counts an account in is a minute.
const STOP_MAX_MICROS: u64 = 2 * super::limits::MINUTE;

/// An account at a pacer: a dense index, and which of those that had it in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountSlot {
    /// Index from zero; taken again after the account was closed.
    pub index: u32,
    /// How many had it before.
    pub generation: u32,
}

/// What an account's answer is booked on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Booking {
    pub(super) slot: AccountSlot,
    pub(super) group: usize,
    pub(super) units: u32,
}

/// The place of a group among those that are counted; `None` for those that are not.
pub(super) const fn place_of(group: Group) -> Option<usize> {
    match group {
        Group::Place => Some(0),
        Group::Cancel => Some(1),
        Group::Configure => Some(2),
        Group::Read => Some(3),
        Group::Public => None,
    }
}

/// All accounts of a pacer.
#[derive(Debug)]
pub(super) struct Accounts {
    limits: AccountLimits,
    table: Table,
    generations: Vec<u32>,
    free: Vec<u32>,
}

#[derive(Debug)]
enum Table {
    Fixed(Vec<FixedAccount>),
    Rolling(Vec<RollingAccount>),
}

impl Accounts {
    /// None yet.
    pub(super) const fn new(limits: AccountLimits) -> Self {
        let table = match limits {
            AccountLimits::Fixed { .. } => Table::Fixed(Vec::new()),
            AccountLimits::Rolling { .. } => Table::Rolling(Vec::new()),
        };
        Self { limits, table, generations: Vec::new(), free: Vec::new() }
    }

    /// A place for another account; `None`: there are [`ACCOUNTS_MAX`].
    pub(super) fn open(&mut self) -> Option<AccountSlot> {
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.generations.len() >= ACCOUNTS_MAX => return None,
            None => {
                match &mut self.table {
                    Table::Fixed(accounts) => accounts.push(FixedAccount::default()),
                    Table::Rolling(accounts) => accounts.push(RollingAccount::new(self.limits)),
                }
                self.generations.push(0);
                u32::try_from(self.generations.len() - 1).expect("below ACCOUNTS_MAX")
            }
        };
        Some(AccountSlot { index, generation: self.generations[index as usize] })
    }

    /// Gives the place away. What is still under way for it is forgotten.
    pub(super) fn close(&mut self, slot: AccountSlot) {
        let Some(index) = self.index(slot) else { return };
        match &mut self.table {
            Table::Fixed(accounts) => accounts[index] = FixedAccount::default(),
            Table::Rolling(accounts) => accounts[index] = RollingAccount::new(self.limits),
        }
        self.generations[index] = self.generations[index].wrapping_add(1);
        self.free.push(slot.index);
    }

    /// The index, when the slot is that of an open account.
    pub(super) fn index(&self, slot: AccountSlot) -> Option<usize> {
        let index = slot.index as usize;
        (self.generations.get(index) == Some(&slot.generation)).then_some(index)
    }

    /// Whether the account may send now. Changes no count.
    pub(super) fn may(
        &mut self,
        index: usize,
        at: Moment,
        group: usize,
        units: u32,
        purpose: Purpose,
    ) -> Result<(), Short> {
        match (&mut self.table, self.limits) {
            (Table::Fixed(accounts), limits) => accounts[index].may(limits, at, group, units, purpose),
            (Table::Rolling(accounts), _) => accounts[index].groups[group].may(at.now, units, purpose),
        }
    }

    /// It sends. [`Accounts::may`] said at the same moment that it may.
    pub(super) fn sends(&mut self, index: usize, at: Moment, group: usize, units: u32) {
        match &mut self.table {
            Table::Fixed(accounts) => accounts[index].sends(self.limits, at, units),
            Table::Rolling(accounts) => accounts[index].groups[group].sends(units),
        }
    }

    /// What was counted at `sent` was not sent after all.
    pub(super) fn withdrawn(&mut self, booking: Booking, sent: Moment) {
        let Some(index) = self.index(booking.slot) else { return };
        match &mut self.table {
            Table::Fixed(accounts) => accounts[index].withdrawn(self.limits, sent, booking.units),
            Table::Rolling(accounts) => {
                let group = &mut accounts[index].groups[booking.group];
                group.spent.forget(slot(sent.now), booking.units);
            }
        }
    }

    /// The request of `sent` ended, with what its answer says, if there is one.
    pub(super) fn answered(&mut self, booking: Booking, sent: Moment, at: Moment, heard: Option<Heard>) {
        let Some(index) = self.index(booking.slot) else { return };
        match &mut self.table {
            Table::Fixed(accounts) => {
                accounts[index].answered(self.limits, sent, at, booking.units, heard.map(|h| h.usage));
            }
            Table::Rolling(accounts) => {
                if let Some(heard) = heard {
                    accounts[index].groups[booking.group].heard(sent.now, at.now, heard);
                }
            }
        }
    }

    /// The exchange stopped this group of this account by refusing what had been sent at `sent`, until a time of the shard's clock
    /// when it said that.
    pub(super) fn stopped(&mut self, booking: Booking, sent: Timestamp, at: Moment, told: Option<Timestamp>) {
        let Some(index) = self.index(booking.slot) else { return };
        let told = told.filter(|told| *told > at.now).map(|told| told.plus_micros(SKEW_MICROS));
        let (stop, guess) = match (&mut self.table, self.limits) {
            (Table::Fixed(accounts), limits) => {
                let account = &mut accounts[index];
                let guess = account.refused(limits, sent, at);
                (&mut account.stopped_until[booking.group], guess)
            }
            (Table::Rolling(accounts), _) => {
                let group = &mut accounts[index].groups[booking.group];
                (&mut group.stopped_until, at.now.plus_micros(SECOND))
            }
        };
        let until = told.unwrap_or(guess).min(at.now.plus_micros(STOP_MAX_MICROS));
        *stop = until.max(*stop);
    }
}

/// What a header said about an account, with its time on the shard's clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    /// As it was said.
    pub(super) usage: AccountUse,
    /// When the window begins anew; only with `AccountUse::Left`.
    pub(super) resets_at: Timestamp,
}

/// Orders of an account in two fixed windows.
#[derive(Clone, Debug, Default)]
struct FixedAccount {
    short: Count,
    long: Count,
    stopped_until: [Timestamp; GROUPS],
    under_way: u32,
    /// Since something is under way: the window it began in, the most that a header said, whether all answers
    /// said it.
    began: Place,
    heard: u32,
    has_heard_all: bool,
    /// The long window of the last refusal, and when that was heard, on the shard's clock.
    refused_in: u32,
    refused_at: Timestamp,
}

/// The two windows of an account at a moment.
fn places(limits: AccountLimits, at: Moment) -> (Place, Place) {
    match limits {
        AccountLimits::Fixed { short_micros, long_micros, .. } => {
            (Place::of(at.venue_micros, short_micros), Place::of(at.venue_micros, long_micros))
        }
        AccountLimits::Rolling { .. } => (Place::ALWAYS, Place::ALWAYS),
    }
}

impl FixedAccount {
    fn may(
        &mut self,
        limits: AccountLimits,
        at: Moment,
        group: usize,
        units: u32,
        purpose: Purpose,
    ) -> Result<(), Short> {
        let stop = self.stopped_until[group];
        if at.now < stop {
            return Err(Short::Until(stop));
        }
        let AccountLimits::Fixed { short, short_micros, long, long_micros } = limits else { return Ok(()) };
        let windows = [(&mut self.short, short, short_micros), (&mut self.long, long, long_micros)];
        for (count, limit, span) in windows {
            let place = Place::of(at.venue_micros, span);
            *count = count.put_back(place);
            let ceiling = purpose.ceiling(limit);
            if units > ceiling {
                return Err(Short::ForEver);
            }
            if units > 0 && count.left(place, ceiling) < units {
                return Err(Short::Until(at.now.plus_micros(Place::ends_in(at.venue_micros, span))));
            }
        }
        Ok(())
    }

    fn sends(&mut self, limits: AccountLimits, at: Moment, units: u32) {
        if units == 0 {
            return;
        }
        let (short, long) = places(limits, at);
        for (count, place) in [(&mut self.short, short), (&mut self.long, long)] {
            if let Some((taken, _)) = count.take(place, units, units, u32::MAX) {
                *count = taken;
            }
        }
        if self.under_way == 0 {
            (self.began, self.heard, self.has_heard_all) = (short, 0, true);
        }
        self.under_way += units;
    }

    fn withdrawn(&mut self, limits: AccountLimits, sent: Moment, units: u32) {
        let (short, long) = places(limits, sent);
        self.short = self.short.give(short, units);
        self.long = self.long.give(long, units);
        self.under_way = self.under_way.saturating_sub(units);
    }

    fn answered(
        &mut self,
        limits: AccountLimits,
        sent: Moment,
        at: Moment,
        units: u32,
        heard: Option<AccountUse>,
    ) {
        if units == 0 {
            return;
        }
        self.under_way = self.under_way.saturating_sub(units);
        let (short, long) = places(limits, at);
        let total = match heard {
            Some(AccountUse::Used(used)) => used,
            Some(AccountUse::Left { left, limit, .. }) => limit.saturating_sub(left),
            None => {
                self.has_heard_all = false;
                return;
            }
        };
        // An answer that began in another window may tell of that one.
        if places(limits, sent).0.window != short.window {
            self.has_heard_all = false;
            return;
        }
        self.heard = self.heard.max(total);
        let Some(counted) = self.short.at(short).map(Count::used) else { return };
        // Nothing is under way, and everything since the window's body began was answered with a count: that
        // is the truth.
        let is_whole = self.under_way == 0 && self.has_heard_all && self.began == short && !short.is_tail;
        let change = |count: Count, place: Place| {
            let held = count.at(place)?.used();
            if total > counted {
                count.raise(place, held + (total - counted))
            } else if is_whole && self.heard < counted {
                count.set(place, held.saturating_sub(counted - self.heard))
            } else {
                None
            }
        };
        let (new_short, new_long) = (change(self.short, short), change(self.long, long));
        self.short = new_short.unwrap_or(self.short);
        self.long = new_long.unwrap_or(self.long);
    }

    /// When to go on after a refusal without a time: with the next short window; after a second one with the
    /// next long one. What had left before the first was heard of, such as a stop beside its target, is refused with
    /// it and says nothing more.
    fn refused(&mut self, limits: AccountLimits, sent: Timestamp, at: Moment) -> Timestamp {
        let AccountLimits::Fixed { short_micros, long_micros, .. } = limits else { return at.now };
        let long = places(limits, at).1.window;
        let is_later = sent > self.refused_at || planted!("what_was_under_way_refused_again");
        let is_again = self.refused_in == long && is_later;
        (self.refused_in, self.refused_at) = (long, at.now);
        let span = if is_again { long_micros } else { short_micros };
        at.now.plus_micros(Place::ends_in(at.venue_micros, span))
    }
}

/// The groups of an account that are counted in a rolling second.
#[derive(Clone, Debug)]
struct RollingAccount {
    groups: [RollingGroup; GROUPS],
}

#[derive(Clone, Debug)]
struct RollingGroup {
    spent: Ring<SLOTS>,
    limit: u32,
    /// Used by others with the same account, as far as a header told, and until when that counts.
    foreign: u32,
    foreign_until: Timestamp,
    stopped_until: Timestamp,
}

impl RollingAccount {
    fn new(limits: AccountLimits) -> Self {
        let AccountLimits::Rolling { place, cancel, configure, read } = limits else {
            unreachable!("the table was made for these limits")
        };
        let group = |limit| RollingGroup {
            spent: Ring::new(),
            limit,
            foreign: 0,
            foreign_until: Timestamp(0),
            stopped_until: Timestamp(0),
        };
        Self { groups: [place, cancel, configure, read].map(group) }
    }
}

impl RollingGroup {
    fn may(&mut self, now: Timestamp, units: u32, purpose: Purpose) -> Result<(), Short> {
        if now < self.stopped_until {
            return Err(Short::Until(self.stopped_until));
        }
        if units == 0 {
            return Ok(());
        }
        let ceiling = purpose.ceiling(self.limit);
        if units > ceiling {
            return Err(Short::ForEver);
        }
        self.spent.advance(slot(now));
        let is_foreign = now < self.foreign_until && self.foreign > 0;
        let foreign = if is_foreign { self.foreign } else { 0 };
        if self.spent.sum() + foreign + units <= ceiling {
            return Ok(());
        }
        let own = self.spent.next_free().map(|slot| Timestamp(slot.saturating_mul(SLOT_MICROS)));
        let until = [own, is_foreign.then_some(self.foreign_until)].into_iter().flatten().min();
        Err(Short::Until(until.unwrap_or(now).max(now.plus_micros(1))))
    }

    fn sends(&mut self, units: u32) {
        self.spent.add(units);
    }

    fn heard(&mut self, sent: Timestamp, now: Timestamp, heard: Heard) {
        let used = match heard.usage {
            AccountUse::Used(used) => used.min(LEVEL_MAX),
            AccountUse::Left { limit: 0, .. } => return,
            AccountUse::Left { left, limit, .. } => {
                self.limit = limit.min(LEVEL_MAX);
                if left == 0 && heard.resets_at > now {
                    let until = heard.resets_at.min(now.plus_micros(STOP_MAX_MICROS));
                    self.stopped_until = self.stopped_until.max(until);
                }
                self.limit.saturating_sub(left)
            }
        };
        if now.micros_since(sent) >= SECOND {
            return;
        }
        self.spent.advance(slot(now));
        // What is under way is in our count, and may be in the exchange's: only what it has beyond ours is of
        // others.
        self.foreign = used.saturating_sub(self.spent.sum());
        self.foreign_until = now.plus_micros(SLOT_MICROS * SLOTS as u64);
    }
}

const SLOT_MICROS: u64 = slot_micros(SECOND, SLOTS);

fn slot(now: Timestamp) -> u64 {
    now.0 / SLOT_MICROS
}
