//! A desk to test `engine::core` at: the state (one shard or several), a fake market and calendar, and a venue that says
//! what the test tells it to say.
//!
//! [`Desk::run`] decides, checks, applies and checks again; dropping a desk replays all its records from where it began
//! and compares digests. So every test, whatever it is about, also tests the books, the ids and the replay.

#![allow(dead_code, unreachable_pub, reason = "shared by several test programs; none uses all of it")]

mod audit;
mod market;
mod venue;

use std::collections::HashMap;

use engine::core::apply::{apply, apply_record};
use engine::core::codec;
use engine::core::command::{Command, Refusal, Reply, SignalDraft};
use engine::core::decide::{Context, decide};
use engine::core::event::{Event, Latch, Record};
use engine::core::ids::{AccountId, ClientOrderId, Leg, SignalId, SourceId, Timestamp, UserId};
use engine::core::order::{NewOrder, VenueReason};
use engine::core::position::{Order, Position};
use engine::core::rules::{MINUTE, Rules, SECOND, Settings};
use engine::core::signal::{FanOutCounts, Signal, SignalKind};
use engine::core::state::{State, combine_digests, user_digest};
use engine::core::user::{Outcome, OutcomeKind, Skip, User, VenueKind};

pub use audit::is_close;
pub use market::{Days, Market, money, price, quantity, rate, symbol};

use audit::Audit;

pub const LONG: SignalKind = SignalKind::OpenLong { strong: false };
pub const SHORT: SignalKind = SignalKind::OpenShort { strong: false };

/// Noon, 2023-01-10, UTC.
pub const NOON: Timestamp = Timestamp(1_673_352_000 * SECOND);

/// A draft of a signal with a key that nothing else has.
pub fn draft(kind: SignalKind, name: &str, key: u64) -> SignalDraft {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&key.to_le_bytes());
    SignalDraft {
        kind,
        symbol: symbol(name),
        price: None,
        leverage: None,
        stop_loss: None,
        take_profit: None,
        at: None,
        key: bytes,
        key_is_lasting: true,
        // Every third is longer than what the state keeps of it.
        body: format!("signal {key}{}!", "é".repeat(if key.is_multiple_of(3) { 700 } else { 0 })),
    }
}

/// See the file's header.
pub struct Desk {
    pub states: Vec<State>,
    pub now: Timestamp,
    pub rules: Rules,
    pub market: Market,
    pub publisher: UserId,
    pub source: SourceId,
    /// Bytes of every record since `base`.
    pub log: Vec<rkyv::util::AlignedVec<16>>,
    /// Events of the last record.
    pub last: Vec<Event>,
    /// Orders that were sent to the venue, oldest first.
    pub sent: Vec<NewOrder>,
    /// Cancels that were sent.
    pub cancels: Vec<ClientOrderId>,
    base: Vec<User>,
    audit: Audit,
    fills: HashMap<ClientOrderId, u32>,
    next_key: u64,
}

impl Desk {
    /// One shard with a publisher and a source.
    pub fn new() -> Self {
        Self::with_shards(1)
    }

    /// The same, over several shards.
    pub fn with_shards(shards: usize) -> Self {
        let publisher = UserId::from_email("publisher@example.com");
        let mut desk = Self {
            states: vec![State::default(); shards],
            now: NOON,
            rules: Rules::default(),
            market: Market::new(),
            publisher,
            source: SourceId { owner: publisher, index: 0 },
            log: Vec::new(),
            last: Vec::new(),
            sent: Vec::new(),
            cancels: Vec::new(),
            base: Vec::new(),
            audit: Audit::default(),
            fills: HashMap::new(),
            next_key: 1,
        };
        desk.sign_up("publisher@example.com", "UTC");
        desk.run(Command::CreateSource { user: publisher, name: "trend".into(), secret: [7; 32] })
            .expect("as the test wants it");
        desk
    }

    /// With one user who has a paper account of 10000 and subscribes with these settings.
    pub fn with_trader(settings: Settings) -> (Self, UserId) {
        let mut desk = Self::new();
        let user = desk.trader("ana@example.com", "10000", settings);
        (desk, user)
    }

    fn shard_of(&self, user: UserId) -> usize {
        usize::from(user.slot()) % self.states.len()
    }

    pub fn state_of(&self, user: UserId) -> &State {
        &self.states[self.shard_of(user)]
    }

    pub fn user(&self, id: UserId) -> &User {
        self.state_of(id).by_id(id).expect("signed up")
    }

    /// Decides, checks, applies, checks.
    pub fn run(&mut self, command: Command) -> Result<Reply, Refusal> {
        let user = command.user().expect("an offer goes through `offer`");
        let shard = self.shard_of(user);
        self.run_on(shard, &command)
    }

    fn run_on(&mut self, shard: usize, command: &Command) -> Result<Reply, Refusal> {
        let cx = Context { now: self.now, rules: &self.rules, market: &self.market, calendar: &Days };
        let mut events = Vec::new();
        let decided = decide(&self.states[shard], &cx, command, &mut events);
        let mut again = Vec::new();
        assert_eq!(
            decide(&self.states[shard], &cx, command, &mut again),
            decided,
            "a decision is a function"
        );
        assert_eq!(again, events);
        let (user, reply) =
            decided.inspect_err(|_| assert!(events.is_empty(), "a refusal leaves no event"))?;
        self.last.clear();
        if events.is_empty() {
            return Ok(reply);
        }
        let record = Record { user, at: self.now, events };
        let before = self.states[shard].by_id(user);
        self.audit.before(&record, before);
        let mut encoder = codec::Encoder::default();
        let mut bytes = rkyv::util::AlignedVec::new();
        bytes.extend_from_slice(encoder.record(&record));
        self.log.push(bytes);
        if let Some(at) = self.states[shard].find(user) {
            for event in &record.events {
                apply(&mut self.states[shard], at, record.at, event);
            }
        } else {
            apply_record(&mut self.states[shard], &record);
        }
        let user = self.states[shard].by_id(user).expect("a record is about a user who is here");
        self.audit.after(user);
        self.check_closes_are_taken(user);
        for event in &record.events {
            match event {
                Event::EntryIntended { order, .. }
                | Event::ProtectionIntended { order, .. }
                | Event::ExitIntended { order, .. } => self.sent.push(*order),
                Event::CancelIntended { id } => self.cancels.push(*id),
                _ => {}
            }
        }
        self.last = record.events;
        Ok(reply)
    }

    /// Whatever the state: the user can close each position, and it leads to an order when something is open.
    fn check_closes_are_taken(&self, user: &User) {
        let state = self.state_of(user.id);
        let cx = Context { now: self.now, rules: &self.rules, market: &self.market, calendar: &Days };
        for p in user.positions.iter().filter(|p| p.closing.is_none()) {
            let close = Command::ClosePosition { user: user.id, account: p.account, symbol: p.symbol };
            let mut events = Vec::new();
            let decided = decide(state, &cx, &close, &mut events);
            assert_eq!(decided, Ok((user.id, Reply::Closing)), "a close is never refused: {p:?}");
            let sends = events.iter().any(|e| matches!(e, Event::ExitIntended { .. }));
            assert_eq!(sends, !p.quantity.is_zero(), "{p:?}: {events:?}");
        }
    }

    /// Digest over all shards.
    pub fn digest(&self) -> [u8; 32] {
        digest_of(&self.states)
    }

    /// A fresh set of `shards` shards that replayed the log.
    pub fn replayed(&self, shards: usize) -> Vec<State> {
        let mut states = vec![State::default(); shards];
        for user in &self.base {
            states[usize::from(user.id.slot()) % shards].put(user.clone());
        }
        for bytes in &self.log {
            let record = codec::decode_record(bytes).expect("valid");
            apply_record(&mut states[usize::from(record.user.slot()) % shards], &record);
        }
        states
    }

    /// A restart: the state is what the log says.
    pub fn restart(&mut self) {
        let states = self.replayed(self.states.len());
        assert_eq!(digest_of(&states), self.digest(), "replay gives the same state");
        self.states = states;
    }

    /// Changes a user in a way that no event of this version can. The log begins anew.
    pub fn edit(&mut self, id: UserId, change: impl FnOnce(&mut User)) {
        let mut user = self.user(id).clone();
        change(&mut user);
        let shard = self.shard_of(id);
        self.states[shard].put(user);
        self.base = self.states.iter().flat_map(State::users).cloned().collect();
        self.audit.begin(&self.base);
        self.log.clear();
    }

    /// Time passes.
    pub fn wait(&mut self, micros: u64) {
        self.now = self.now.plus_micros(micros);
    }

    pub fn sign_up(&mut self, email: &str, zone: &str) -> UserId {
        let up = Command::SignUp { email: email.into(), password: "$argon2id$".into(), zone: zone.into() };
        match self.run(up) {
            Ok(Reply::User(id)) => id,
            other => panic!("{other:?}"),
        }
    }

    pub fn open_account(&mut self, user: UserId, wallet: &str) -> u8 {
        let open = Command::OpenAccount { user, venue: VenueKind::Paper, wallet: Some(money(wallet)) };
        match self.run(open) {
            Ok(Reply::Account(id)) => id.index,
            other => panic!("{other:?}"),
        }
    }

    pub fn subscribe(&mut self, user: UserId, account: u8, settings: Settings) {
        let source = self.source;
        self.run(Command::Subscribe { user, source, account, settings }).expect("as the test wants it");
    }

    /// Signs up, opens a paper account and subscribes.
    pub fn trader(&mut self, email: &str, wallet: &str, settings: Settings) -> UserId {
        let user = self.sign_up(email, "UTC");
        let account = self.open_account(user, wallet);
        self.subscribe(user, account, settings);
        user
    }

    /// The source takes a signal.
    pub fn accept(&mut self, draft: SignalDraft) -> Result<Reply, Refusal> {
        let source = self.source;
        self.run(Command::Signal { source, draft: Box::new(draft) })
    }

    /// A signal with a key of its own, accepted.
    pub fn accepted(&mut self, kind: SignalKind, name: &str) -> SignalId {
        let key = self.key();
        match self.accept(draft(kind, name, key)) {
            Ok(Reply::Signal { id, repeat: false }) => id,
            other => panic!("{other:?}"),
        }
    }

    pub fn key(&mut self) -> u64 {
        self.next_key += 1;
        self.next_key
    }

    /// The signal as its source has it, and whether a later close covers it.
    pub fn signal(&self, id: SignalId) -> (Signal, bool) {
        let source = self.state_of(id.source.owner).source(id.source).expect("known");
        let kept = source.signal(id.number).expect("kept");
        (kept.signal, kept.superseded_by.is_some())
    }

    /// Offers a signal to one subscriber.
    pub fn offer(&mut self, user: UserId, id: SignalId) -> Reply {
        let shard = self.shard_of(user);
        let at = self.states[shard].find(user).expect("signed up");
        let (signal, superseded) = self.signal(id);
        let source_halted = self.state_of(id.source.owner).source(id.source).expect("known").halted;
        self.run_on(shard, &Command::Offer { at, signal, superseded, source_halted }).expect("never refused")
    }

    /// Offers a signal to all subscribers and finishes it.
    pub fn fan_out(&mut self, id: SignalId) -> FanOutCounts {
        let mut counts = FanOutCounts::default();
        let subscribers: Vec<UserId> = self
            .states
            .iter()
            .flat_map(|s| s.subscribers(id.source).iter().map(|at| s.user(*at).id))
            .collect();
        for user in subscribers {
            counts.users += 1;
            match self.offer(user, id) {
                Reply::Intended => counts.intents += 1,
                _ => counts.skipped += 1,
            }
        }
        self.run(Command::FinishSignal { signal: id, counts }).expect("as the test wants it");
        counts
    }

    /// Accepts a signal and offers it to everyone.
    pub fn send(&mut self, kind: SignalKind, name: &str) -> SignalId {
        let id = self.accepted(kind, name);
        self.fan_out(id);
        id
    }

    /// The same for a draft.
    pub fn send_draft(&mut self, draft: SignalDraft) -> SignalId {
        match self.accept(draft) {
            Ok(Reply::Signal { id, .. } | Reply::SignalExpired { id }) => {
                self.fan_out(id);
                id
            }
            other => panic!("{other:?}"),
        }
    }

    pub fn outcome(&self, user: UserId, signal: SignalId) -> Outcome {
        *self.user(user).outcome(signal).expect("decided")
    }

    /// Why the signal made no order for this user.
    pub fn skip(&self, user: UserId, signal: SignalId) -> Skip {
        match self.outcome(user, signal).kind {
            OutcomeKind::Skipped(skip) => skip,
            other => panic!("not skipped: {other:?}"),
        }
    }

    /// The user's live order of this leg.
    pub fn order(&self, user: UserId, leg: Leg) -> Order {
        *self.find_order(user, leg).unwrap_or_else(|| panic!("no live {leg:?}: {:?}", self.user(user).orders))
    }

    pub fn find_order(&self, user: UserId, leg: Leg) -> Option<&Order> {
        self.user(user).orders.iter().find(|o| o.new.id.leg == leg)
    }

    /// The user's only position.
    pub fn position(&self, user: UserId) -> Position {
        let positions = &self.user(user).positions;
        assert_eq!(positions.len(), 1, "{positions:?}");
        positions[0]
    }

    pub fn is_flat(&self, user: UserId) -> bool {
        self.user(user).positions.is_empty()
    }

    /// The user's newest closed position.
    pub fn closed(&self, user: UserId) -> Position {
        *self.user(user).closed_positions.back().expect("closed one")
    }

    /// The whole entry fills at `at`, and stop and take-profit are accepted.
    pub fn enter(&mut self, user: UserId, at: &str) -> Position {
        let entry = self.order(user, Leg::Entry).new;
        self.venue_accepts(entry.id);
        self.venue_fills(entry.id, at, &entry.quantity.to_string(), true);
        for leg in [Leg::Stop, Leg::TakeProfit] {
            let id = self.order(user, leg).new.id;
            self.venue_accepts(id);
        }
        *self.user(user).position(entry.id.signal, entry.id.account.index).expect("open")
    }

    /// Opens on a signal and fills it.
    pub fn open(&mut self, user: UserId, kind: SignalKind, name: &str, at: &str) -> Position {
        let signal = self.send(kind, name);
        assert_eq!(self.outcome(user, signal).kind, OutcomeKind::Sent);
        self.enter(user, at)
    }

    /// The user's live market close.
    pub fn close_order(&self, user: UserId) -> NewOrder {
        self.user(user).orders.iter().find(|o| is_close(o.new.id.leg)).expect("a close at work").new
    }

    pub fn close_by_hand(&mut self, user: UserId, name: &str) -> Result<Reply, Refusal> {
        self.run(Command::ClosePosition { user, account: 0, symbol: symbol(name) })
    }

    /// The close at work fills at `at`, and what protected the position is taken back.
    pub fn exit(&mut self, user: UserId, at: &str) -> Position {
        let order = self.close_order(user);
        self.venue_accepts(order.id);
        self.venue_fills(order.id, at, &order.quantity.to_string(), true);
        self.sweep(user);
        self.closed(user)
    }

    /// The venue confirms every cancel.
    pub fn sweep(&mut self, user: UserId) {
        let cancelling: Vec<_> =
            self.user(user).orders.iter().filter(|o| o.cancelling).map(|o| o.new.id).collect();
        for id in cancelling {
            self.venue_cancels(id, VenueReason::Requested);
        }
    }

    pub fn drive_close(&mut self, user: UserId, position: &Position) -> Reply {
        let account = AccountId { user, index: position.account };
        self.run(Command::DriveClose { account, position: position.signal }).expect("as the test wants it")
    }

    pub fn check_protection(&mut self, user: UserId, position: &Position) -> Reply {
        let account = AccountId { user, index: position.account };
        self.run(Command::CheckProtection { account, position: position.signal })
            .expect("as the test wants it")
    }

    pub fn halt(&mut self, user: UserId, latch: Latch, on: bool) {
        self.run(Command::SetHalt { user, latch, on }).expect("as the test wants it");
    }

    /// Past the cool-down of everything that was closed.
    pub fn cool_down(&mut self) {
        self.wait(self.rules.cooldown + MINUTE);
    }

    /// Replays the log into 1, 2 and 3 shards.
    pub fn check_replay(&self) {
        for shards in 1..=3 {
            let states = self.replayed(shards);
            assert_eq!(digest_of(&states), self.digest(), "the log gives the same state in {shards} shards");
        }
        self.states.iter().for_each(Audit::state);
    }
}

/// Digest of the users of all shards.
pub fn digest_of(states: &[State]) -> [u8; 32] {
    combine_digests(states.iter().flat_map(State::users).map(|u| (u.id, user_digest(u))).collect())
}

impl Drop for Desk {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.check_replay();
        }
    }
}
