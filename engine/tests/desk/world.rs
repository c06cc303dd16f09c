//! People, programs and a venue that do random things at a desk.

#![allow(unreachable_pub, reason = "a module of several test programs")]
#![allow(dead_code, reason = "shared by several test programs; none uses all of it")]

use std::collections::HashSet;

use engine::core::command::{Command, Refusal, Reply, SignalDraft};
use engine::core::event::{Event, Latch};
use engine::core::fixed::{Money, Price, Quantity, Rate};
use engine::core::ids::{AccountId, ClientOrderId, Leg, SignalId, Timestamp, UserId};
use engine::core::instrument::{InstrumentStatus, MarketView};
use engine::core::key::{KeyFault, KeyFinding, KeyHint, KeyKind, NewKey, SEALED_BYTES_MAX, Sealed};
use engine::core::ledger::Currency;
use engine::core::order::{Fill, Liquidity, OrderKind, Told, VenueReport};
use engine::core::rules::{SECOND, Settings, Sizing};
use engine::core::signal::SignalKind;
use engine::core::user::VenueKind;
use engine::core::venue_account::{Environment, VenuePlace};

use crate::desk::{Desk, LONG, SHORT, draft, symbol};
use crate::steps::{Answer, ENDS, REASONS, SYMBOLS, Step, USERS};

/// The name of an event.
pub fn name(event: &Event) -> String {
    let text = format!("{event:?}");
    text.split([' ', '{', '(']).next().unwrap_or_default().to_owned()
}

/// A desk with its users, and what the venue has told so far.
pub struct World {
    pub desk: Desk,
    pub users: Vec<UserId>,
    signals: Vec<SignalId>,
    told: Vec<VenueReport>,
    /// Names of the events so far.
    pub seen: Vec<String>,
}

impl World {
    pub fn new(shards: usize) -> Self {
        let mut desk = Desk::with_shards(shards);
        desk.rules.cooldown = 60 * SECOND;
        let users = (0..USERS)
            .map(|n| {
                let email = format!("user{n}@example.com");
                let zone = if n == 1 { "America/Sao_Paulo" } else { "UTC" };
                let user = desk.sign_up(&email, zone);
                desk.open_account(user, ["10000", "500", "1000000", "20"][n]);
                desk.open_account(user, "3000");
                desk.subscribe(user, 0, Settings { reverse: n % 2 == 0, ..Settings::default() });
                user
            })
            .collect();
        Self { desk, users, signals: Vec::new(), told: Vec::new(), seen: Vec::new() }
    }

    /// Something that was sent: live ones mostly, and never dependent on how users are spread.
    pub fn order(&self, pick: u8) -> Option<ClientOrderId> {
        let live = |market_only: bool| -> Vec<ClientOrderId> {
            let orders = self.users.iter().flat_map(|user| self.desk.user(*user).orders.iter());
            orders.filter(|o| !market_only || !o.new.kind.is_trigger()).map(|o| o.new.id).collect()
        };
        // Entries and closes more often than the many stops and targets that wait.
        let mut orders = live(!pick.is_multiple_of(4));
        if orders.is_empty() {
            orders = live(false);
        }
        if orders.is_empty() { None } else { Some(orders[usize::from(pick) % orders.len()]) }
    }

    pub fn tell(&mut self, report: VenueReport) {
        self.told.push(report);
        self.desk.report(report);
    }

    /// Something about the keys of the user's accounts on exchanges; the last is the newest account's.
    fn key(&mut self, user: UserId, what: u8) {
        let accounts = u8::try_from(self.desk.user(user).accounts.len()).expect("few");
        let account = accounts - 1;
        let key = NewKey {
            kind: [KeyKind::Hmac, KeyKind::Rsa, KeyKind::Ed25519][usize::from(what % 3)],
            hint: KeyHint::of("a-key-of-an-exchange"),
            sealed: Sealed([what; 70].into()),
        };
        let venue = if what.is_multiple_of(2) { VenueKind::Binance } else { VenueKind::Bybit };
        let environment = Environment::ALL[usize::from(what / 8 % 3)];
        let number = self.desk.user(user).accounts[usize::from(account)].keys;
        let command = match what % 8 {
            0 | 1 if accounts < 4 => {
                self.desk.rules.live = self.desk.rules.live.with(venue, environment);
                let place = VenuePlace { venue, environment, ..VenuePlace::PAPER };
                Command::ConnectAccount { user, index: accounts, place, key }
            }
            0..3 => Command::SetKey { user, account, key },
            3 => Command::RemoveKey { user, account },
            // Half of them: the other half draws findings that nothing else does.
            7 if (what / 8).is_multiple_of(2) => {
                let entered = self.desk.user(user).accounts[usize::from(account)].key.as_ref();
                let sealed = match (what / 16 % 4, entered) {
                    // As it is, longer than may be, of the key before, and as it should be.
                    (0, Some(key)) => key.sealed.clone(),
                    (1, _) => Sealed(vec![what; SEALED_BYTES_MAX + 1].into()),
                    _ => Sealed([what; 80].into()),
                };
                let number = if what / 16 % 4 == 2 { number.saturating_sub(1) } else { number };
                Command::ResealKey { account: AccountId { user, index: account }, number, sealed }
            }
            _ => {
                let fault = KeyFault::ALL.get(usize::from(what) % 20).copied();
                let finding = KeyFinding {
                    verdict: fault.map_or(Ok(()), Err),
                    expires_at: Timestamp(if what < 128 {
                        0
                    } else {
                        self.desk.now.0 + u64::from(what) * SECOND
                    }),
                    identity: (!what.is_multiple_of(5)).then_some([what % 3; 16]),
                };
                Command::ReportKey { account: AccountId { user, index: account }, number, finding }
            }
        };
        match self.desk.run(command) {
            Ok(_) | Err(Refusal::Invalid(_) | Refusal::KeyInUse) => {}
            Err(other) => panic!("{other:?}"),
        }
    }

    pub fn step(&mut self, step: &Step) {
        match step.clone() {
            Step::Wait(seconds) => self.desk.wait(seconds * SECOND),
            Step::Mark { symbol: at, permille, gone } => {
                let base = [20_000, 1_500, 25][at];
                let mark = Price::from_units(base * permille * 100_000);
                self.desk.market.put_mark(symbol(SYMBOLS[at]), (!gone).then_some(mark));
            }
            Step::Status { symbol: at, status } => self.desk.market.edit(SYMBOLS[at], |i| {
                i.status = match status {
                    0 => InstrumentStatus::Trading,
                    1 => InstrumentStatus::CloseOnly,
                    _ => InstrumentStatus::Halted,
                };
            }),
            Step::Signal { kind, symbol: at, key, age, stop, leverage, all } => {
                let kind = [
                    LONG,
                    SHORT,
                    SignalKind::OpenLong { strong: true },
                    SignalKind::OpenShort { strong: true },
                    SignalKind::CloseLong,
                    SignalKind::CloseShort,
                    SignalKind::CloseAll,
                ][usize::from(kind)];
                let base = [20_000, 1_500, 25][at];
                let draft = SignalDraft {
                    at: age.map(|age| Timestamp(self.desk.now.0 + 10 * SECOND - age * SECOND)),
                    stop_loss: stop.map(|stop| Price::from_units(base * (1000 + stop) * 100_000)),
                    leverage,
                    key_is_lasting: !key.is_multiple_of(3),
                    ..draft(kind, SYMBOLS[at], key)
                };
                match self.desk.accept(draft) {
                    Ok(Reply::Signal { id, repeat: false }) => {
                        self.signals.push(id);
                        if all {
                            let users = self.users.clone();
                            for user in users {
                                self.offer(user, id);
                            }
                        }
                    }
                    Ok(Reply::Signal { .. } | Reply::SignalExpired { .. }) => {}
                    Err(Refusal::SignalFromFuture | Refusal::RateLimited { .. })
                        if kind.opens().is_some() => {}
                    other => panic!("{other:?}"),
                }
            }
            // The newest signals mostly. A shard offers a source's signals in their order; here any order goes.
            Step::Offer { signal, user } => {
                let back = usize::from(signal) % 4 + 1;
                if let Some(id) = self.signals.iter().rev().nth(back - 1).copied() {
                    self.offer(self.users[user], id);
                }
            }
            Step::Finish { signal } => {
                let back = usize::from(signal) % 8;
                if let Some(signal) = self.signals.iter().rev().nth(back).copied() {
                    self.desk
                        .run(Command::FinishSignal { signal, counts: Default::default() })
                        .expect("as the test wants it");
                }
            }
            Step::Answer { order, what } => self.answer(order, &what),
            Step::Again { report } => {
                if !self.told.is_empty() {
                    let report = self.told[usize::from(report) % self.told.len()];
                    self.desk.report(report);
                }
            }
            Step::Arbitrary { order, leg, round, fill, kind, reason, state } => {
                let Some(id) = self.order(order) else { return };
                let legs = [
                    Leg::Entry,
                    Leg::Stop,
                    Leg::TakeProfit,
                    Leg::SignalClose,
                    Leg::ManualClose,
                    Leg::UnprotectedClose,
                    Leg::ReversalClose,
                ];
                let id =
                    if round == 0 { id } else { ClientOrderId { leg: legs[usize::from(leg)], round, ..id } };
                let (number, price, quantity, fee) = fill;
                let fill = Fill {
                    number,
                    price: Price::from_units(price),
                    quantity: Quantity::from_units(quantity),
                    fee: Money::from_units(fee),
                    liquidity: Liquidity::Maker,
                    venue_at: self.desk.now,
                };
                self.tell(match kind {
                    0 => VenueReport::Filled { id, fill, last: reason % 2 == 0 },
                    1 => VenueReport::Ended { id, state: ENDS[state], reason: REASONS[reason] },
                    2 => VenueReport::NotFound { id },
                    3 => VenueReport::Liquidated { account: id.account, symbol: symbol(SYMBOLS[0]), fill },
                    _ => VenueReport::Rejected { id, reason: REASONS[reason] },
                });
            }
            Step::Late { user, order, permille, slip, forgotten } => {
                // It comes after the decision that it is late for: the history tells positions of one signal apart by when they began.
                self.desk.now = self.desk.now.plus_micros(1);
                self.late(self.users[user], order, permille, slip, forgotten);
            }
            Step::Funding { user, symbol: at, hour, amount } => {
                let account = AccountId { user: self.users[user], index: 0 };
                let day = self.desk.now.0 / (86_400 * SECOND);
                let venue_at = Timestamp((day * 4 + hour) * 21_600 * SECOND);
                let (rate, mark) = (Rate::from_units(10_000), Price::from_whole(1));
                let (symbol, amount) = (symbol(SYMBOLS[at]), Money::from_units(amount));
                self.tell(VenueReport::Funding { account, symbol, venue_at, rate, mark, amount });
            }
            Step::Liquidate { user, symbol: at, number, part } => {
                let id = self.users[user];
                let symbol = symbol(SYMBOLS[at]);
                let Some(open) = self.desk.user(id).position_on(0, symbol).map(|p| p.quantity) else {
                    return;
                };
                let Some(quote) = self.desk.market.quote(symbol) else { return };
                let quantity = Quantity::from_units((open.units() / 1000).saturating_mul(part));
                let fill = Fill {
                    number,
                    price: quote.mark,
                    quantity,
                    fee: Money::ZERO,
                    liquidity: Liquidity::Taker,
                    venue_at: self.desk.now,
                };
                self.tell(VenueReport::Liquidated {
                    account: AccountId { user: id, index: 0 },
                    symbol,
                    fill,
                });
            }
            Step::Close { user, symbol: at, account } => {
                let user = self.users[user];
                let symbol = symbol(SYMBOLS[at]);
                match self.desk.run(Command::ClosePosition { user, account, symbol }) {
                    Ok(Reply::Closing) | Err(Refusal::UnknownPosition | Refusal::AlreadyClosing) => {}
                    other => panic!("{other:?}"),
                }
            }
            Step::Drive { user } => {
                for position in self.desk.user(self.users[user]).positions.clone() {
                    self.desk.drive_close(self.users[user], &position);
                }
            }
            Step::Protect { user } => {
                for position in self.desk.user(self.users[user]).positions.clone() {
                    self.desk.check_protection(self.users[user], &position);
                }
            }
            Step::Reconsider { user } => {
                let user = self.users[user];
                for waiting in self.desk.user(user).reversals.clone() {
                    self.desk
                        .run(Command::Reconsider { user, signal: waiting.id })
                        .expect("as the test wants it");
                }
            }
            Step::Unanswered { order } => {
                if let Some(id) = self.order(order) {
                    self.desk.run(Command::OrderUnanswered { id }).expect("as the test wants it");
                }
            }
            Step::Halt { user, on, all } => match user {
                Some(user) => self.desk.halt(self.users[user], Latch::User, on),
                None if all => self.desk.rules.halted = on,
                None => self.desk.halt(self.desk.publisher, Latch::Source(0), on),
            },
            Step::Resubscribe { user, sizing, reverse, account, leverage } => {
                let sizing = match sizing {
                    0 => Sizing::PercentOfBalance(Rate::from_units(50_000_000)),
                    1 => Sizing::FixedMargin(Money::from_whole(100)),
                    2 => Sizing::FixedNotional(Money::from_whole(700)),
                    _ => Sizing::RiskToStop(Money::from_whole(30)),
                };
                let settings = Settings { sizing, reverse, leverage, ..Settings::default() };
                let (user, source) = (self.users[user], self.desk.source);
                let there = usize::from(account) < self.desk.user(user).accounts.len();
                let reply = self.desk.run(Command::Subscribe { user, source, account, settings });
                assert_eq!(reply.is_ok(), there);
            }
            Step::Unsubscribe { user } => {
                let (user, source) = (self.users[user], self.desk.source);
                self.desk.run(Command::Unsubscribe { user, source }).expect("as the test wants it");
            }
            Step::Key { user, what } => self.key(self.users[user], what),
            Step::Recharge { user, number, amount } => {
                let (user, currency) = (self.users[user], Currency::PaperUsdt);
                let amount = Money::from_units(amount);
                let booked = self.desk.user(user).recharges;
                let reply = self.desk.run(Command::Recharge { user, number, currency, amount });
                assert_eq!(reply.is_ok(), number > booked);
            }
            Step::Restart => self.desk.restart(),
        }
    }

    /// An entry that ended fills, or one that nobody remembers. What is sold of a long position is no more than is open.
    fn late(&mut self, user: UserId, pick: u8, permille: i64, slip: i64, forgotten: bool) {
        let is_entry = |o: &&engine::core::position::Order| o.new.id.leg == Leg::Entry;
        let over: Vec<_> = self.desk.user(user).final_orders.iter().filter(is_entry).copied().collect();
        let Some(known) = over.get(usize::from(pick) % over.len().max(1)) else { return };
        let mut order = known.new;
        if forgotten {
            order.id.signal.number += 10_000 + u32::from(pick);
        }
        let rest = known.new.quantity.checked_sub(known.filled).expect("within");
        let quantity = Quantity::from_units((rest.units() / 1000).saturating_mul(permille));
        let quantity = if permille == 1000 { rest } else { quantity };
        let price = self.desk.market.quote(order.symbol).map_or(Price::from_whole(100), |q| q.mark);
        let fill = Fill {
            number: if forgotten { 1 } else { known.fills + 1 },
            price: Price::from_units(price.units() / 1000 * (1000 + slip)),
            quantity,
            fee: Money::ZERO,
            liquidity: Liquidity::Taker,
            venue_at: self.desk.now,
        };
        let before = if forgotten {
            Told { decided_at: known.decided_at, ..Told::default() }
        } else {
            Told {
                decided_at: known.decided_at,
                filled: known.filled,
                notional: known.notional,
                fees: known.fees,
            }
        };
        self.tell(VenueReport::LateEntry { order, before, fill });
    }

    /// Offers twice: the second time changes nothing, and one signal makes one order per account.
    pub fn offer(&mut self, user: UserId, id: SignalId) {
        let before = self.desk.sent.len();
        self.desk.offer(user, id);
        self.seen.extend(self.desk.last.iter().map(name));
        let sent = &self.desk.sent[before..];
        assert!(sent.iter().all(|order| order.id.signal == id), "orders of this signal only");
        let accounts: HashSet<u8> = sent.iter().map(|order| order.id.account.index).collect();
        assert_eq!(accounts.len(), sent.len(), "one order for one account");
        let sent = self.desk.sent.len();
        assert_eq!(self.desk.offer(user, id), Reply::Ignored, "decided once");
        assert_eq!(self.desk.sent.len(), sent);
    }

    /// The venue's answer to a live order, as a venue would give it: exits never fill beyond what is open.
    pub fn answer(&mut self, pick: u8, what: &Answer) {
        let Some(id) = self.order(pick) else { return };
        let user = self.desk.user(id.account.user);
        let order = *user.order(id).expect("live");
        let open = user.position(order.position, id.account.index).map_or(Quantity::ZERO, |p| p.quantity);
        match *what {
            Answer::Accept => self.tell(VenueReport::Accepted { id, venue_at: self.desk.now }),
            Answer::Reject { reason } => self.tell(VenueReport::Rejected { id, reason: REASONS[reason] }),
            Answer::End { state, reason } => {
                self.tell(VenueReport::Ended { id, state: ENDS[state], reason: REASONS[reason] });
            }
            Answer::Fill { permille, slip, fee } => {
                let rest = if id.leg == Leg::Entry {
                    order.new.quantity.checked_sub(order.filled).expect("within")
                } else if order.new.kind.is_trigger() {
                    open
                } else {
                    order.new.quantity.checked_sub(order.filled).map_or(Quantity::ZERO, |rest| rest.min(open))
                };
                let quantity = Quantity::from_units((rest.units() / 1000).saturating_mul(permille));
                let quantity = if permille == 1000 { rest } else { quantity };
                let mark =
                    self.desk.market.quote(order.new.symbol).map_or(Price::from_whole(100), |q| q.mark);
                let price = match order.new.kind {
                    OrderKind::StopMarket(at) | OrderKind::TakeProfitMarket(at) => at,
                    OrderKind::Limit(_) | OrderKind::Market => mark,
                };
                let price = Price::from_units(price.units() / 1000 * (1000 + slip));
                let notional = price.notional(quantity).unwrap_or(Money::ZERO);
                let fee = Money::from_units(if fee { notional.units() / 2000 } else { 0 });
                let number = order.fills + 1;
                let venue_at = self.desk.now;
                let fill = Fill { number, price, quantity, fee, liquidity: Liquidity::Taker, venue_at };
                self.tell(VenueReport::Filled { id, fill, last: quantity == rest });
            }
        }
    }
}
