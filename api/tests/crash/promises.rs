//! What the server has promised: every acknowledged answer, and everything that a page has shown.
//!
//! **Invariants**: a promise, once made, may be followed by others and is never taken back; a value of which only the
//! request is known to have left is possible and not promised.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::calls::{list, text, units};
use super::people::Source;

/// A value that is set again and again: what it may be now.
#[derive(Clone, Debug)]
pub struct Register<T> {
    possible: BTreeSet<T>,
}

impl<T: Ord + Copy + std::fmt::Debug> Register<T> {
    /// It is known.
    pub fn known(value: T) -> Self {
        Self { possible: BTreeSet::from([value]) }
    }

    /// A request to set it leaves.
    pub fn sent(&mut self, value: T) {
        self.possible.insert(value);
    }

    /// It was acknowledged, or seen.
    pub fn acknowledged(&mut self, value: T) {
        self.possible = BTreeSet::from([value]);
    }

    /// Checks what it is now, and remembers that.
    pub fn check(&mut self, what: &str, value: T) {
        assert!(self.possible.contains(&value), "{what} is {value:?}; it can only be one of {self:?}");
        self.acknowledged(value);
    }
}

/// A signal that was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The source's place among the checked ones; `None` for the flooded one.
    pub source: Option<usize>,
    /// Whether it opens.
    pub opens: bool,
    /// The body, to send it again.
    pub body: String,
    /// The round it was first sent in.
    pub round: u64,
    /// The id that was answered.
    pub id: Option<String>,
    /// An answer said that it was no repeat.
    pub accepted: bool,
    /// It was answered by an earlier server: whatever comes now is a repeat.
    pub known: bool,
}

/// An order as a page showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SeenOrder {
    /// All that an order keeps for ever.
    fixed: String,
    filled: i64,
    /// The final state, once there is one.
    ended: Option<String>,
}

/// An account that was asked for. Every wallet is another one, so that each request can be told from all others.
#[derive(Clone, Copy, Debug)]
pub struct SentAccount {
    /// The wallet it was to begin with.
    pub wallet: u64,
    /// The index that was answered.
    pub index: Option<u64>,
}

/// A session of the clerk.
#[derive(Clone, Debug)]
pub struct SentSession {
    /// The token.
    pub token: String,
    /// Log-ins that were sent after it: two are kept beside a new one.
    pub later: usize,
    /// A log-out was sent.
    pub ending: bool,
    /// A log-out was acknowledged.
    pub ended: bool,
}

/// Every promise.
#[derive(Debug, Default)]
pub struct Promises {
    /// Signals by the sender's id.
    pub signals: BTreeMap<String, Sent>,
    /// Signal ids of acknowledged opens, with the sender's id: no two share one.
    opens: BTreeMap<String, String>,
    /// Leverage of each subscription by trader and source.
    pub leverage: BTreeMap<(usize, usize), Register<u64>>,
    /// The clerk's halt latch.
    pub halted: Option<Register<bool>>,
    /// Accounts by trader.
    pub accounts: BTreeMap<usize, Vec<SentAccount>>,
    /// The clerk's sessions that began during the load.
    pub sessions: Vec<SentSession>,
    /// Sources that the clerk created, and how many were asked for.
    pub sources: Vec<Source>,
    /// How many sources were asked for.
    pub sources_sent: usize,
    /// Addresses that signed up during the load, with whether that was acknowledged.
    pub sign_ups: BTreeMap<String, bool>,
    /// Positions whose manual close was acknowledged, by trader.
    pub closes: Vec<(usize, String)>,
    orders: BTreeMap<String, SeenOrder>,
    entries: BTreeMap<usize, BTreeMap<u64, String>>,
    /// Answers that promised something.
    pub count: u64,
}

/// The promises, whatever became of others who hold them: the first failure is the one to be seen.
pub fn locked(promises: &Mutex<Promises>) -> MutexGuard<'_, Promises> {
    promises.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Entries of a statement that are compared; as many as a user keeps.
const ENTRIES_KEPT: usize = engine::core::ledger::STATEMENT_MAX;

impl Promises {
    /// A signal was accepted, or is a repeat of one.
    pub fn signal(&mut self, sender: &str, id: &str, duplicate: bool) {
        let sent = self.signals.get_mut(sender).expect("it was noted before it was sent");
        self.count += 1;
        let before = sent.id.get_or_insert_with(|| id.to_owned());
        assert_eq!(before, id, "{sender} was acknowledged before, as another signal");
        if !duplicate {
            // Of two senders of one signal, the one who is told of a repeat may get the answer first.
            assert!(
                !sent.known && !sent.accepted,
                "{sender} was acknowledged as {id}, and now accepted again"
            );
            sent.accepted = true;
        }
        if sent.opens {
            let first = self.opens.entry(id.to_owned()).or_insert_with(|| sender.to_owned());
            assert_eq!(first, sender, "two opens were acknowledged as one signal, {id}");
        }
    }

    /// A page of a trader's orders was shown: nothing that an earlier one said is contradicted, and no order is listed twice.
    pub fn orders(&mut self, page: &Value) {
        let mut ids = BTreeSet::new();
        let mut entries = BTreeSet::new();
        for (part, order) in
            ["live", "recent"].iter().flat_map(|part| list(page, part).iter().map(move |o| (part, o)))
        {
            let id = text(order, "id");
            assert!(ids.insert(id), "order {id} is listed twice: {page}");
            // An id ends with the leg and the round; what is before it is signal and account.
            let (owner, leg) = id.split_at(id.len() - 2);
            assert!(
                !leg.starts_with('E') || leg == "E0",
                "an entry is tried once, and this is another try: {id}"
            );
            assert!(
                !leg.starts_with('E') || entries.insert(owner),
                "two entries for one signal and account: {page}"
            );
            let (filled, quantity) = (units(order, "filled"), units(order, "quantity"));
            assert!(filled <= quantity, "order {id} is filled beyond its size: {order}");
            let state = text(order, "state");
            let now = SeenOrder {
                fixed: format!(
                    "{} {} {} {} {} {}",
                    order["symbol"],
                    order["side"],
                    order["kind"],
                    order["price"],
                    order["quantity"],
                    order["position"]
                ),
                filled,
                ended: (*part == "recent").then(|| state.to_owned()),
            };
            if let Some(before) = self.orders.get(id) {
                assert_eq!(before.fixed, now.fixed, "order {id} is another one than before");
                assert!(
                    before.filled <= now.filled,
                    "a fill of order {id} was shown and is gone: {before:?} {order}"
                );
                if before.ended.is_some() {
                    assert_eq!(*before, now, "order {id} had ended, which was shown, and has changed since");
                }
            }
            self.orders.insert(id.to_owned(), now);
        }
        self.count += 1;
    }

    /// A trader's statement was shown: an entry with a number stays that entry.
    pub fn statement(&mut self, trader: usize, page: &Value) {
        let seen = self.entries.entry(trader).or_default();
        let booked = page["booked"].as_u64().expect("a number");
        if let Some((last, entry)) = seen.last_key_value() {
            assert!(*last <= booked, "entry {last} was shown, and only {booked} are booked: {entry}");
        }
        for entry in list(page, "entries") {
            let number = entry["number"].as_u64().expect("a number");
            let now = entry.to_string();
            if let Some(before) = seen.insert(number, now.clone()) {
                assert_eq!(before, now, "entry {number} of the ledger was shown, and is another one now");
            }
        }
        while seen.len() > ENTRIES_KEPT {
            seen.pop_first();
        }
        self.count += 1;
    }

    /// The server that answered so far is gone.
    pub fn server_gone(&mut self) {
        self.signals.values_mut().for_each(|sent| sent.known = sent.id.is_some());
    }

    /// Forgets what no check needs any more: flooded signals of rounds before `round`.
    pub fn forget_before(&mut self, round: u64) {
        self.signals.retain(|_, sent| sent.source.is_some() || sent.round >= round);
    }
}
