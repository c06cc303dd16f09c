//! The state of one shard: its users, and the indexes derived from them.
//!
//! **Invariants**: everything that is kept is in the users; the indexes can be rebuilt from them. Nothing iterates a hash
//! map, so the same events give the same state bit for bit on any machine.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use sha2::{Digest, Sha256};

use super::fixed::Money;
use super::ids::{SourceId, Timestamp, UserId};
use super::ledger::Currency;
use super::user::{Source, User};

/// Place of a user in a shard's state. Stable until the process ends; never logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserIndex(pub u32);

impl UserIndex {
    fn place(self) -> usize {
        self.0 as usize
    }
}

/// A fixed hash for ids, which are themselves made from SHA-256: one multiplication per word.
#[derive(Clone, Copy, Debug, Default)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }
    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }
    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(23) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// A map with the fixed hash.
pub type IdMap<K, V> = HashMap<K, V, BuildHasherDefault<IdHasher>>;

/// All users of one shard.
#[derive(Clone, Debug, Default)]
pub struct State {
    users: Vec<User>,
    index: IdMap<UserId, UserIndex>,
    subscribers: IdMap<SourceId, Vec<UserIndex>>,
}

impl State {
    /// A state of these users.
    #[must_use]
    pub fn from_users(users: impl IntoIterator<Item = User>) -> Self {
        let mut state = Self::default();
        for user in users {
            state.put(user);
        }
        state
    }

    /// Adds a user, or replaces the one with the same id.
    ///
    /// # Panics
    /// Beyond 2^32 users.
    pub fn put(&mut self, user: User) -> UserIndex {
        if let Some(at) = self.find(user.id) {
            for subscription in self.users[at.place()].subscriptions.clone() {
                if let Some(list) = self.subscribers.get_mut(&subscription.source) {
                    list.retain(|u| *u != at);
                }
            }
            self.users[at.place()] = user;
            self.index_subscriptions(at);
            return at;
        }
        let at = UserIndex(u32::try_from(self.users.len()).expect("fewer than 2^32 users on a shard"));
        self.index.insert(user.id, at);
        self.users.push(user);
        self.index_subscriptions(at);
        at
    }

    fn index_subscriptions(&mut self, at: UserIndex) {
        for subscription in &self.users[at.place()].subscriptions {
            self.subscribers.entry(subscription.source).or_default().push(at);
        }
    }

    /// Notes that a user has subscribed to a source for the first time.
    pub(super) fn index_subscription(&mut self, at: UserIndex, source: SourceId) {
        self.subscribers.entry(source).or_default().push(at);
    }

    /// Where a user is.
    #[must_use]
    pub fn find(&self, id: UserId) -> Option<UserIndex> {
        self.index.get(&id).copied()
    }

    /// A user by id.
    #[must_use]
    pub fn by_id(&self, id: UserId) -> Option<&User> {
        self.find(id).map(|at| self.user(at))
    }

    /// A user by place.
    ///
    /// # Panics
    /// For a place that this state never gave out.
    #[must_use]
    pub fn user(&self, at: UserIndex) -> &User {
        &self.users[at.place()]
    }

    pub(super) fn user_mut(&mut self, at: UserIndex) -> &mut User {
        &mut self.users[at.place()]
    }

    /// All users, in the order they came to this shard.
    #[must_use]
    pub fn users(&self) -> &[User] {
        &self.users
    }

    /// Gives the users away, for handing them to new shards.
    #[must_use]
    pub fn into_users(self) -> Vec<User> {
        self.users
    }

    /// Everyone here who ever subscribed to a source, in the order of subscribing.
    #[must_use]
    pub fn subscribers(&self, source: SourceId) -> &[UserIndex] {
        self.subscribers.get(&source).map_or(&[], Vec::as_slice)
    }

    /// A source, if its publisher is here.
    #[must_use]
    pub fn source(&self, id: SourceId) -> Option<&Source> {
        self.by_id(id.owner)?.sources.get(usize::from(id.index))
    }

    /// Sum over all balances of a currency, in units of 1e-8: zero, always.
    #[must_use]
    pub fn ledger_sum_units(&self, currency: Currency) -> i128 {
        self.users.iter().map(|u| u.ledger.sum_units(currency)).sum()
    }

    /// Digest of the users in the order of their ids.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        combine_digests(self.users.iter().map(|u| (u.id, user_digest(u))).collect())
    }
}

/// Digest of one user: SHA-256 over the serialised form.
///
/// # Panics
/// Never: serialising into memory does not fail.
#[must_use]
pub fn user_digest(user: &User) -> [u8; 32] {
    let bytes = rkyv::to_bytes::<rkyv::rancor::Error>(user).expect("serialising into memory does not fail");
    Sha256::digest(&bytes).into()
}

/// Digest of a set of users, whatever order or shards their parts come from: SHA-256 over ids and parts, by id.
#[must_use]
pub fn combine_digests(mut parts: Vec<(UserId, [u8; 32])>) -> [u8; 32] {
    parts.sort_unstable();
    let mut hasher = Sha256::new();
    for (id, part) in parts {
        hasher.update(id.0.to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

impl User {
    /// A new user with nothing.
    #[must_use]
    pub fn new(id: UserId, created_at: Timestamp) -> Self {
        Self {
            id,
            email: String::new(),
            password: String::new(),
            zone: String::from("UTC"),
            active: true,
            halted: false,
            created_at,
            trial_ends_at: Timestamp(0),
            plan_ends_at: Timestamp(0),
            login_failures: 0,
            locked_until: Timestamp(0),
            sessions: Vec::new(),
            accounts: Vec::new(),
            sources: Vec::new(),
            subscriptions: Vec::new(),
            positions: Vec::new(),
            closed_positions: std::collections::VecDeque::new(),
            orders: Vec::new(),
            final_orders: std::collections::VecDeque::new(),
            outcomes: std::collections::VecDeque::new(),
            cooldowns: Vec::new(),
            reversals: Vec::new(),
            carried_losses: Vec::new(),
            recharges: 0,
            ledger: super::ledger::Ledger::default(),
        }
    }

    /// What the user owes in a currency, zero or above.
    #[must_use]
    pub fn debt(&self, currency: Currency) -> Money {
        self.ledger.balance(currency, super::ledger::LedgerAccount::Debt).negated()
    }
}
