//! From records to rows: a copy of the shard's state that lives beside the log, and what each record changes in it.
//!
//! Rows tell of the state after a record, and only `engine::core` knows that: so the same `apply` runs here. What a row says is
//! therefore what the engine holds, to the last unit.
//!
//! **Runs on**: the projector. **Owns**: its copy of the state, the batch that grows.
//! **Invariants**: records come in the order of their numbers; one that the loaded snapshot holds already gives no rows.
//! **Bounds**: the caller takes the batch when it is large enough.

use std::collections::HashMap;

use engine::core::apply::apply;
use engine::core::codec::{CodecError, decode_record, decode_user};
use engine::core::event::{Event, Latch, Record};
use engine::core::ids::{AccountId, ClientOrderId, SignalId, SourceId, Timestamp, UserId};
use engine::core::position::{CloseReason, Order, Position};
use engine::core::state::{IdMap, State, UserIndex};
use engine::core::user::{Skip, User};

use super::batch::{Batch, TableRows};
use super::rows::{self, Fee, Line, json_text};
use super::seam::{Mark, Reached};
use super::tables::Table;
use super::tuple::Tuple;
use crate::identity::{Generation, LogIdentity, Lsn, Salt, ShardNumber};

/// See the module's head.
pub struct Projection {
    place: LogIdentity,
    state: State,
    /// The last record that each user of the snapshot holds.
    as_of: IdMap<UserId, u64>,
    through: Lsn,
    /// The last record, and where it began before there was one.
    last: Vec<u8>,
    began: Mark,
    batch: Batch,
    /// Of a batch that was written, for the next.
    memory: Vec<TableRows>,
}

impl Projection {
    /// One that begins with nothing, before the first record.
    #[must_use]
    pub fn new(place: LogIdentity) -> Self {
        Self {
            place,
            state: State::default(),
            as_of: HashMap::default(),
            through: Lsn(0),
            last: Vec::new(),
            began: Mark::Absent,
            batch: Batch::new(place, None, Reached { lsn: Lsn(0), mark: Mark::Absent }),
            memory: Vec::new(),
        }
    }

    /// The last record it holds.
    #[must_use]
    pub fn through(&self) -> Lsn {
        self.through
    }

    /// The rows that wait.
    #[must_use]
    pub fn waiting(&self) -> &Batch {
        &self.batch
    }

    /// Takes a section of a snapshot.
    ///
    /// # Errors
    /// [`CodecError`].
    pub fn load(&mut self, section: &[u8]) -> Result<(), CodecError> {
        let (user, through) = decode_user(section)?;
        self.as_of.insert(user.id, through);
        self.state.put(user);
        Ok(())
    }

    /// All sections are loaded: the next record is the one after `through`, and rows are those of a database that holds
    /// everything up to `database`.
    pub fn begin(&mut self, through: Reached, database: Option<Reached>) {
        (self.through, self.began) = (through.lsn, through.mark);
        self.batch = Batch::new(self.place, database, through);
    }

    /// All that the state holds of so many users from this one on, for a history that begins here; none behind the last. What was
    /// before is told by postings of an entry of number 0: the balances, less the entries that are still known.
    #[must_use]
    pub fn beginning(&self, from: usize, users: usize) -> Option<Batch> {
        let rest = self.state.users().get(from..).filter(|rest| !rest.is_empty())?;
        let mut batch = Batch::new(self.place, None, self.reached());
        (batch.may_repeat, batch.partial) = (true, true);
        rest.iter().take(users).for_each(|user| whole_user(&mut batch, user));
        Some(batch)
    }

    /// Takes the batch; the next one goes on after it.
    pub fn take(&mut self) -> Batch {
        let reached = self.reached();
        self.batch.through = reached;
        let memory = std::mem::take(&mut self.memory);
        let next = Batch::new(self.place, Some(reached), reached).with_memory(memory);
        std::mem::replace(&mut self.batch, next)
    }

    /// A batch was written: its memory serves for another.
    pub fn written(&mut self, batch: Batch) {
        self.memory = batch.into_memory();
    }

    /// Where it is.
    fn reached(&self) -> Reached {
        let mark = if self.last.is_empty() { self.began } else { Mark::of(&self.last) };
        Reached { lsn: self.through, mark }
    }

    /// Takes a record. Without `rows` the database has it already.
    ///
    /// # Errors
    /// [`CodecError`]; then nothing has changed.
    ///
    /// # Panics
    /// When it is not the next one.
    pub fn record(&mut self, lsn: Lsn, bytes: &[u8], rows: bool) -> Result<(), CodecError> {
        assert_eq!(lsn, self.through.next(), "records come in the order of their numbers");
        let record = decode_record(bytes)?;
        self.through = lsn;
        if rows {
            self.batch.records += 1;
            self.batch.record_bytes += bytes.len();
            self.batch.at = record.at;
        }
        self.last.clear();
        self.last.extend_from_slice(bytes);
        if self.as_of.get(&record.user).is_some_and(|through| lsn.0 <= *through) {
            return Ok(());
        }
        self.apply(lsn, &record, rows);
        Ok(())
    }

    fn apply(&mut self, lsn: Lsn, record: &Record, rows: bool) {
        let Self { place, state, batch, .. } = self;
        let index = match state.find(record.user) {
            Some(index) => index,
            None => state.put(User::new(record.user, record.at)),
        };
        for (number, event) in record.events.iter().enumerate() {
            if !rows {
                apply(state, index, record.at, event);
                continue;
            }
            let before = Before::of(state, index, event);
            apply(state, index, record.at, event);
            let mut change = Change { batch, user: state.user(index), at: record.at, before };
            change.event(event);
            change.entries();
            if let Some((kind, detail)) = audited(event) {
                let mut row = Tuple::new();
                row.time(record.at)
                    .big(u64::from(place.generation.0))
                    .integer(i32::from(place.shard.0))
                    .big(lsn.0);
                row.small(i16::try_from(number).unwrap_or(i16::MAX))
                    .big(record.user.0)
                    .text(kind)
                    .json(&detail);
                let row = row.finish(Table::AuditTrail.columns().len());
                batch.put(Table::AuditTrail, record.at, &row, true);
            }
        }
    }
}

/// What has to be known of a user before an event.
struct Before {
    entries: u64,
    /// Whether there is no receipt line of the event's signal yet.
    outcome_is_new: bool,
    /// A position that the event removes.
    voided: Option<Position>,
    /// An order as it stood.
    order: Option<Order>,
}

impl Before {
    fn of(state: &State, index: UserIndex, event: &Event) -> Self {
        let user = state.user(index);
        let decided = match event {
            Event::EntryIntended { order, .. } => Some(order.id.signal),
            Event::Skipped { signal, .. } => Some(*signal),
            Event::CloseRequested { closing, .. } => Some(closing.signal),
            _ => None,
        };
        let voided = match event {
            Event::EntryVoided { position, account } => user.position(*position, *account).copied(),
            _ => None,
        };
        let order = match event {
            Event::Filled { id, .. } => user.order(*id).copied(),
            _ => None,
        };
        Self {
            entries: user.ledger.entries(),
            outcome_is_new: decided.is_some_and(|signal| user.outcome(signal).is_none()),
            voided,
            order,
        }
    }
}

/// A user after an event, and where the rows go.
struct Change<'a> {
    batch: &'a mut Batch,
    user: &'a User,
    at: Timestamp,
    before: Before,
}

impl Change<'_> {
    fn event(&mut self, event: &Event) {
        match event {
            Event::SignedUp { .. } | Event::HaltSet { latch: Latch::User, .. } => self.person(),
            Event::SessionOpened { .. }
            | Event::SessionClosed { .. }
            | Event::LoginFailed { .. }
            | Event::SignalMerged { .. }
            | Event::Recharged { .. }
            | Event::DayOpened { .. }
            | Event::CredentialResealed { .. }
            | Event::WalletMoved { .. } => {}
            Event::AccountOpened { index, .. } | Event::VenueAccountOpened { index, .. } => {
                self.account(*index)
            }
            Event::CredentialSet { account, .. }
            | Event::CredentialRemoved { account }
            | Event::KeyHealth { account, .. } => self.account(*account),
            Event::SourceCreated { index, .. } | Event::HaltSet { latch: Latch::Source(index), .. } => {
                self.source(*index);
            }
            Event::Subscribed { source, .. } | Event::Unsubscribed { source } => self.subscription(*source),
            Event::SignalAccepted { signal, body, .. } => self.accepted(signal.id, body),
            Event::SignalFinished { source, number, .. } => self.signal(*source, *number, None, false),
            Event::Skipped { signal, .. } => self.outcome(*signal),
            Event::EntryIntended { order, .. } => {
                self.order(order.id, true);
                self.position(order.id.signal, order.id.account.index, true);
                self.outcome(order.id.signal);
            }
            Event::ProtectionIntended { order, position, .. } | Event::ExitIntended { order, position } => {
                self.order(order.id, true);
                self.position(*position, order.id.account.index, false);
            }
            Event::CloseRequested { position, account, closing, .. } => {
                self.position(*position, *account, false);
                self.outcome(closing.signal);
            }
            Event::CancelIntended { .. } => {}
            Event::OrderAccepted { id, .. } | Event::OrderUnknown { id } | Event::OrderEnded { id, .. } => {
                self.order_and_its_own(*id);
            }
            Event::Filled { id, fill, realised, .. } => {
                let left_out = planted::planted!("last_fill_left_out_of_the_history") && fill.number > 1;
                if let Some(order) = self.before.order.filter(|_| !left_out) {
                    let row = rows::fill(self.at, *id, &order, fill, *realised);
                    self.batch.put(Table::Fills, self.at, &row, true);
                }
                self.order_and_its_own(*id);
            }
            Event::Liquidated { position, account, fill, realised }
            | Event::ClosedOutside { position, account, fill, realised } => {
                if let Some(held) = self.find_position(*position, *account) {
                    let account = AccountId { user: self.user.id, index: *account };
                    let who =
                        if matches!(event, Event::Liquidated { .. }) { "liquidation" } else { "outside" };
                    let row = rows::by_others(self.at, who, account, held, fill, *realised);
                    self.batch.put(Table::Fills, self.at, &row, true);
                }
                self.position(*position, *account, false);
            }
            Event::LateEntry { order, fill, position, realised, .. } => {
                let changed = Order::pending(**order, *position, self.at);
                let row = rows::fill(self.at, order.id, &changed, fill, *realised);
                self.batch.put(Table::Fills, self.at, &row, true);
                self.order(order.id, false);
                // Also where it begins one: the same signal may have had a position that was decided on in the same moment.
                self.position(*position, order.id.account.index, false);
                self.outcome(order.id.signal);
            }
            Event::FundingSettled { position, account, .. } => {
                // It may be that of an earlier position of the same signal, if its entry was filled late.
                let closed = self.user.closed_positions.iter();
                let earlier = closed.filter(|p| p.signal == *position && p.account == *account);
                for held in earlier.chain(self.user.position(*position, *account)) {
                    let row = rows::position(self.user.id, held, held.state.as_str());
                    self.batch.put(Table::Positions, held.decided_at, &row, false);
                }
            }
            Event::PositionClosed { position, account, net, charge, carried_loss, .. } => {
                self.position(*position, *account, false);
                let currency = match self.user.accounts.get(usize::from(*account)) {
                    Some(account) => account.currency(),
                    None => return,
                };
                let fee = Fee {
                    at: self.at,
                    account: AccountId { user: self.user.id, index: *account },
                    position: *position,
                    currency,
                    net: *net,
                    charge: *charge,
                    carried_loss: *carried_loss,
                };
                self.batch.put(Table::Fees, self.at, &rows::fee(&fee), true);
            }
            Event::EntryVoided { .. } => {
                if let Some(voided) = self.before.voided {
                    let row = rows::position(self.user.id, &voided, "VOIDED");
                    self.batch.put(Table::Positions, voided.decided_at, &row, false);
                    if let Some(closing) = voided.closing {
                        self.outcome(closing.signal);
                    }
                }
            }
        }
    }

    fn person(&mut self) {
        self.batch.put(Table::Users, self.at, &rows::user(self.user), false);
    }

    fn account(&mut self, index: u8) {
        if let Some(account) = self.user.accounts.get(usize::from(index)) {
            let row = rows::account(self.user.id, index, account);
            self.batch.put(Table::ExchangeAccounts, self.at, &row, false);
        }
    }

    fn source(&mut self, index: u8) {
        if let Some(source) = self.user.sources.get(usize::from(index)) {
            let id = SourceId { owner: self.user.id, index };
            self.batch.put(Table::Sources, self.at, &rows::source(id, source), false);
        }
    }

    fn subscription(&mut self, source: SourceId) {
        if let Some(subscription) = self.user.subscription(source) {
            let row = rows::subscription(self.user.id, subscription);
            self.batch.put(Table::Subscriptions, self.at, &row, false);
        }
    }

    /// A signal, and the earlier ones that it covers.
    fn accepted(&mut self, id: SignalId, body: &str) {
        self.signal(id.source.index, id.number, Some(body), true);
        let Some(source) = self.user.sources.get(usize::from(id.source.index)) else { return };
        for number in &source.working {
            let covered = source.signal(*number).is_some_and(|kept| kept.superseded_by == Some(id.number));
            if covered {
                self.signal(id.source.index, *number, None, false);
            }
        }
    }

    fn signal(&mut self, source: u8, number: u32, body: Option<&str>, fresh: bool) {
        let kept = self.user.sources.get(usize::from(source)).and_then(|source| source.signal(number));
        if let Some(kept) = kept {
            let row = rows::signal(kept, body.unwrap_or(&kept.body));
            match body {
                Some(_) => self.batch.put(Table::Signals, kept.signal.accepted_at, &row, fresh),
                None => self.batch.put_again(Table::Signals, kept.signal.accepted_at, &row),
            }
        }
    }

    fn outcome(&mut self, signal: SignalId) {
        if let Some(outcome) = self.user.outcome(signal) {
            let row = rows::outcome(self.user.id, outcome);
            self.batch.put(Table::Receipts, outcome.decided_at, &row, self.before.outcome_is_new);
        }
    }

    fn order(&mut self, id: ClientOrderId, fresh: bool) -> Option<SignalId> {
        let ended = || self.user.final_orders.iter().rev().find(|order| order.new.id == id);
        let order = self.user.order(id).or_else(ended)?;
        self.batch.put(Table::Orders, order.decided_at, &rows::order(order), fresh);
        Some(order.position)
    }

    /// An order with the position and the receipt line that follow it.
    fn order_and_its_own(&mut self, id: ClientOrderId) {
        if let Some(position) = self.order(id, false) {
            self.position(position, id.account.index, false);
            self.outcome(id.signal);
        }
    }

    fn find_position(&self, signal: SignalId, account: u8) -> Option<&Position> {
        let closed = self.user.closed_positions.iter().rev();
        self.user
            .position(signal, account)
            .or_else(|| closed.into_iter().find(|p| p.signal == signal && p.account == account))
    }

    fn position(&mut self, signal: SignalId, account: u8, fresh: bool) {
        if let Some(position) = self.find_position(signal, account).copied() {
            let row = rows::position(self.user.id, &position, position.state.as_str());
            self.batch.put(Table::Positions, position.decided_at, &row, fresh);
        }
    }

    /// The entries that the event booked.
    fn entries(&mut self) {
        let new = self.user.ledger.entries() - self.before.entries;
        let skipped =
            self.user.ledger.statement().len().saturating_sub(usize::try_from(new).unwrap_or(usize::MAX));
        for entry in self.user.ledger.statement().iter().skip(skipped) {
            put_entry(self.batch, self.user.id, entry);
        }
    }
}

fn put_entry(batch: &mut Batch, user: UserId, entry: &engine::core::ledger::Entry) {
    batch.put(Table::Entries, entry.at, &rows::entry(user, entry), true);
    for (line, posting) in entry.postings.iter().enumerate() {
        let line = Line {
            at: entry.at,
            user,
            number: entry.number,
            line,
            account: posting.account,
            currency: entry.currency,
            amount: posting.amount.units(),
        };
        batch.put(Table::Postings, entry.at, &rows::posting(&line), true);
    }
}

/// The rows that a user's state tells by itself.
pub(super) fn rows_of(user: &User) -> Vec<(Table, Vec<u8>)> {
    let place = LogIdentity { generation: Generation(0), shard: ShardNumber(0), salt: Salt(0) };
    let mut batch = Batch::new(place, None, Reached { lsn: Lsn(0), mark: Mark::Absent });
    batch.may_repeat = true;
    whole_user(&mut batch, user);
    let opening = (Table::Postings.place(), 0_u64.to_be_bytes());
    let of = |rows: &TableRows| rows.changed().into_iter().map(<[u8]>::to_vec).collect::<Vec<_>>();
    Table::ALL
        .into_iter()
        .zip(&batch.tables)
        .flat_map(|(table, rows)| of(rows).into_iter().map(move |row| (table, row)))
        // The balances that a history in the middle begins with are no rows of one that has everything.
        .filter(|(table, row)| table.place() != opening.0 || row[2 + 12 + 12 + 4..][..8] != opening.1)
        .collect()
}

/// All that a user's state holds.
fn whole_user(batch: &mut Batch, user: &User) {
    batch.put(Table::Users, user.created_at, &rows::user(user), false);
    for (index, account) in (0_u8..).zip(&user.accounts) {
        batch.put(Table::ExchangeAccounts, user.created_at, &rows::account(user.id, index, account), false);
    }
    for (index, source) in (0_u8..).zip(&user.sources) {
        let id = SourceId { owner: user.id, index };
        batch.put(Table::Sources, user.created_at, &rows::source(id, source), false);
        for kept in &source.signals {
            batch.put(Table::Signals, kept.signal.accepted_at, &rows::signal(kept, &kept.body), false);
        }
    }
    for subscription in &user.subscriptions {
        let row = rows::subscription(user.id, subscription);
        batch.put(Table::Subscriptions, user.created_at, &row, false);
    }
    for outcome in &user.outcomes {
        batch.put(Table::Receipts, outcome.decided_at, &rows::outcome(user.id, outcome), false);
    }
    for order in user.orders.iter().chain(&user.final_orders) {
        batch.put(Table::Orders, order.decided_at, &rows::order(order), false);
    }
    for position in user.positions.iter().chain(&user.closed_positions) {
        let row = rows::position(user.id, position, position.state.as_str());
        batch.put(Table::Positions, position.decided_at, &row, false);
    }
    // What the known entries do not explain.
    let statement = user.ledger.statement();
    for (line, (currency, account, balance)) in user.ledger.balances().iter().enumerate() {
        let known: i64 = statement
            .iter()
            .filter(|entry| entry.currency == *currency)
            .flat_map(|entry| &entry.postings)
            .filter(|posting| posting.account == *account)
            .map(|posting| posting.amount.units())
            .sum();
        if balance.units() != known {
            let line = Line {
                at: user.created_at,
                user: user.id,
                number: 0,
                line,
                account: *account,
                currency: *currency,
                amount: balance.units() - known,
            };
            batch.put(Table::Postings, user.created_at, &rows::posting(&line), false);
        }
    }
    for entry in statement {
        put_entry(batch, user.id, entry);
    }
}

/// What the audit trail says about an event: its kind, and more as JSON. `None` for what other tables tell.
fn audited(event: &Event) -> Option<(&'static str, String)> {
    let nothing = || "{}".to_owned();
    Some(match event {
        Event::SignedUp { .. } => ("signed_up", nothing()),
        Event::SessionOpened { .. } => ("logged_in", nothing()),
        Event::SessionClosed { .. } => ("logged_out", nothing()),
        Event::LoginFailed { locked_until } => {
            ("login_failed", format!("{{\"locked\":{}}}", *locked_until > Timestamp(0)))
        }
        Event::AccountOpened { index, venue: kind, .. } => {
            ("account_opened", format!("{{\"account\":{index},\"venue\":\"{}\"}}", kind.as_str()))
        }
        Event::VenueAccountOpened { index, place, .. } => (
            "account_opened",
            format!(
                "{{\"account\":{index},\"venue\":\"{}\",\"environment\":\"{}\"}}",
                place.venue.as_str(),
                place.environment.as_str()
            ),
        ),
        Event::CredentialSet { account, number, kind, hint, .. } => {
            let (kind, hint) = (kind.as_str(), json_text(&hint.text()));
            (
                "key_set",
                format!("{{\"account\":{account},\"number\":{number},\"kind\":\"{kind}\",\"hint\":{hint}}}"),
            )
        }
        Event::CredentialRemoved { account } => ("key_removed", format!("{{\"account\":{account}}}")),
        Event::CredentialResealed { account, number, .. } => {
            ("key_resealed", format!("{{\"account\":{account},\"number\":{number}}}"))
        }
        Event::KeyHealth { account, fault, .. } => {
            let health = fault.map_or("healthy", |fault| fault.as_str());
            ("key_checked", format!("{{\"account\":{account},\"health\":\"{health}\"}}"))
        }
        Event::SourceCreated { index, name, .. } => {
            ("source_created", format!("{{\"source\":{index},\"name\":{}}}", json_text(name)))
        }
        Event::Subscribed { source, account, .. } => {
            ("subscribed", format!("{{\"source\":\"{source}\",\"account\":{account}}}"))
        }
        Event::Unsubscribed { source } => ("unsubscribed", format!("{{\"source\":\"{source}\"}}")),
        Event::HaltSet { latch: Latch::User, on } => ("halt_set", format!("{{\"on\":{on}}}")),
        Event::HaltSet { latch: Latch::Source(index), on } => {
            ("source_halt_set", format!("{{\"source\":{index},\"on\":{on}}}"))
        }
        Event::Recharged { number, currency, amount, debt_paid } => (
            "recharged",
            format!(
                "{{\"number\":{number},\"currency\":\"{}\",\"amount\":\"{amount}\",\"debt_paid\":\"{debt_paid}\"}}",
                currency.as_str()
            ),
        ),
        Event::Skipped { signal, account, reason: Skip::DailyLoss, .. } => {
            ("daily_loss_limit", format!("{{\"signal\":\"{signal}\",\"account\":{account}}}"))
        }
        Event::CloseRequested { position, account, closing, .. }
            if !matches!(closing.reason, CloseReason::Signal | CloseReason::Reversal) =>
        {
            let reason = closing.reason.as_str();
            (
                "close_requested",
                format!("{{\"position\":\"{position}\",\"account\":{account},\"reason\":\"{reason}\"}}"),
            )
        }
        Event::OrderUnknown { id } => ("order_unknown", format!("{{\"order\":\"{id}\"}}")),
        Event::ClosedOutside { position, account, .. } => {
            ("closed_outside", format!("{{\"position\":\"{position}\",\"account\":{account}}}"))
        }
        Event::LateEntry { order, position, .. } => {
            ("late_entry", format!("{{\"order\":\"{}\",\"position\":\"{position}\"}}", order.id))
        }
        Event::WalletMoved { account, amount } => {
            ("wallet_moved", format!("{{\"account\":{account},\"amount\":\"{amount}\"}}"))
        }
        Event::Liquidated { position, account, .. } => {
            ("liquidated", format!("{{\"position\":\"{position}\",\"account\":{account}}}"))
        }
        _ => return None,
    })
}
