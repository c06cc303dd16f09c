//! What must hold after every record, recomputed from the events alone and compared with the state.

use std::collections::{HashMap, HashSet};

use engine::core::codec;
use engine::core::event::{Event, Record};
use engine::core::fixed::{Money, Quantity};
use engine::core::ids::{ClientOrderId, Leg, UserId};
use engine::core::ledger::{Currency, EntryKey, LedgerAccount};
use engine::core::order::OrderState;
use engine::core::position::{Order, Position, PositionState};
use engine::core::state::State;
use engine::core::user::User;

/// The second set of books.
#[derive(Default)]
pub struct Audit {
    /// Every client order id ever intended.
    pub intended: HashSet<ClientOrderId>,
    wallets: HashMap<(UserId, u8), i128>,
    revenue: HashMap<UserId, i128>,
    charged: HashSet<(UserId, EntryKey)>,
}

fn units(money: Money) -> i128 {
    i128::from(money.units())
}

/// Whether a leg is one of the market closes.
pub fn is_close(leg: Leg) -> bool {
    matches!(leg, Leg::SignalClose | Leg::ManualClose | Leg::UnprotectedClose | Leg::ReversalClose)
}

impl Audit {
    /// Takes a state as it is; what follows is checked against it.
    pub fn begin(&mut self, users: &[User]) {
        for user in users {
            for account in 0..u8::try_from(user.accounts.len()).expect("few accounts") {
                self.wallets.insert((user.id, account), units(user.wallet(account)));
            }
            self.revenue.insert(user.id, revenue_of(user));
            let orders = user.orders.iter().chain(&user.final_orders);
            self.intended.extend(orders.map(|order| order.new.id));
        }
    }

    /// Checks a record that is about to be applied; `user` is the state before it.
    pub fn before(&mut self, record: &Record, user: Option<&User>) {
        let mut encoder = codec::Encoder::default();
        let bytes = encoder.record(record);
        assert_eq!(&codec::decode_record(bytes).expect("valid"), record, "a record survives its bytes");
        assert!(!record.events.is_empty(), "a record has events");
        // What is open in each position, as the record goes.
        let mut open: HashMap<_, Quantity> = user
            .map(|u| u.positions.iter().map(|p| ((p.signal, p.account), p.quantity)).collect())
            .unwrap_or_default();
        let entries: HashMap<_, _> = user
            .map(|u| u.orders.iter().map(|o| (o.new.id, (o.position, o.new.id.account.index))).collect())
            .unwrap_or_default();
        let mut cancels = HashSet::new();
        for event in &record.events {
            match event {
                Event::CancelIntended { id } => {
                    let order = user.and_then(|user| user.order(*id)).expect("a cancel is of a live order");
                    assert!(!order.cancelling && cancels.insert(*id), "cancelled twice: {order:?}");
                }
                Event::EntryIntended { order, reserved, .. } => {
                    assert!(!order.reduce_only && order.quantity.is_positive() && reserved.is_positive());
                    assert_eq!((order.id.leg, order.id.round), (Leg::Entry, 0), "an entry has one id");
                    assert!(self.intended.insert(order.id), "{} was intended before", order.id);
                    open.insert((order.id.signal, order.id.account.index), Quantity::ZERO);
                }
                Event::ProtectionIntended { order, position, .. }
                | Event::ExitIntended { order, position } => {
                    assert!(order.reduce_only, "an exit is reduce-only");
                    assert!(self.intended.insert(order.id), "{} was intended before", order.id);
                    let open = open[&(*position, order.id.account.index)];
                    assert!(order.quantity.is_positive() && order.quantity <= open, "{order:?} of {open}");
                }
                Event::AccountOpened { index, wallet, .. } => {
                    self.wallets.insert((record.user, *index), units(*wallet));
                }
                Event::VenueAccountOpened { index, .. } => {
                    self.wallets.insert((record.user, *index), 0);
                }
                Event::Filled { id, fill, realised, .. } => {
                    if let Some(open) = entries.get(id).and_then(|position| open.get_mut(position)) {
                        *open = if id.leg == Leg::Entry {
                            open.checked_add(fill.quantity).expect("fits")
                        } else {
                            open.checked_sub(fill.quantity.min(*open)).expect("fits")
                        };
                    }
                    self.move_wallet(record.user, id.account.index, *realised, fill.fee);
                }
                Event::Liquidated { account, fill, realised, .. }
                | Event::ClosedOutside { account, fill, realised, .. } => {
                    self.move_wallet(record.user, *account, *realised, fill.fee);
                }
                Event::LateEntry { order, fill, position, opens, realised, .. } => {
                    let account = order.id.account.index;
                    let side = user.and_then(|user| user.position(*position, account)).map(|p| p.side);
                    assert_eq!(*opens, side.is_none(), "a position begins once");
                    let open = open.entry((*position, account)).or_insert(Quantity::ZERO);
                    *open = if side.is_none_or(|side| side == order.side) {
                        open.checked_add(fill.quantity).expect("fits")
                    } else {
                        open.checked_sub(fill.quantity.min(*open)).expect("fits")
                    };
                    self.move_wallet(record.user, account, *realised, fill.fee);
                }
                Event::FundingSettled { account, amount, .. } | Event::WalletMoved { account, amount } => {
                    self.move_wallet(record.user, *account, *amount, Money::ZERO);
                }
                Event::PositionClosed { position, account, charge, .. } => {
                    let parts = [charge.credit, charge.real, charge.debt];
                    assert!(parts.iter().all(|part| !part.is_negative()), "{charge:?}");
                    let key = EntryKey::ProfitShare(*position, *account);
                    // Of what an entry opened that was over nothing is charged, and there may be several of it.
                    let is_free = parts.iter().all(|part| part.is_zero());
                    assert!(
                        self.charged.insert((record.user, key)) || is_free,
                        "{} was charged before",
                        key.text()
                    );
                    *self.revenue.entry(record.user).or_default() +=
                        parts.into_iter().map(units).sum::<i128>();
                }
                _ => {}
            }
        }
    }

    fn move_wallet(&mut self, user: UserId, account: u8, gain: Money, fee: Money) {
        *self.wallets.entry((user, account)).or_default() += units(gain) - units(fee);
    }

    /// Checks the user of a record after it.
    pub fn after(&self, user: &User) {
        for currency in Currency::ALL {
            assert_eq!(user.ledger.sum_units(currency), 0, "{} of {}", currency.as_str(), user.email);
            assert!(!user.debt(currency).is_negative(), "debt is zero or negative in the ledger");
            for account in [LedgerAccount::Real, LedgerAccount::Credit, LedgerAccount::Commission] {
                assert!(!user.ledger.balance(currency, account).is_negative(), "{}", account.name());
            }
            assert!(!user.carried_loss(currency).is_negative());
        }
        for account in 0..u8::try_from(user.accounts.len()).expect("few accounts") {
            let expected = self.wallets[&(user.id, account)];
            assert_eq!(units(user.wallet(account)), expected, "wallet {account} of {}", user.email);
        }
        assert_eq!(revenue_of(user), self.revenue.get(&user.id).copied().unwrap_or(0));
        for (at, p) in user.positions.iter().enumerate() {
            assert!(p.is_active(), "{p:?}");
            assert!(!p.quantity.is_negative() && p.quantity <= p.entry_quantity && !p.reserved.is_negative());
            assert!(!p.quantity.is_zero() || p.entry_cost.is_zero(), "cost without size");
            // A part of an entry at a price beyond all sense may be worth less than the smallest amount.
            let entry = |o: &&Order| {
                (o.position, o.new.id.account.index, o.new.id.leg) == (p.signal, p.account, Leg::Entry)
            };
            let worth = user.orders.iter().chain(&user.final_orders).find(entry).map(|o| units(o.notional));
            let is_dust = worth.is_some_and(|worth| {
                worth * i128::from(p.quantity.units()) < i128::from(p.entry_quantity.units())
            });
            assert!(p.quantity.is_zero() || !p.entry_cost.is_zero() || is_dust, "size without cost: {p:?}");
            assert!(p.closing.is_none() || p.state == PositionState::Closing, "{p:?}");
            let same_place = |q: &&Position| (q.account, q.symbol) == (p.account, p.symbol);
            // Beside what an entry opened that was over, and is being closed, another entry may be on its way.
            let is_late = |p: &Position| p.stop.is_zero();
            let alike = user.positions.iter().filter(same_place).filter(|q| is_late(q) == is_late(p));
            assert_eq!(alike.count(), 1, "position {at}: one per symbol");
            let live = |wanted: &dyn Fn(Leg) -> bool| {
                user.orders
                    .iter()
                    .filter(|o| {
                        o.position == p.signal && o.new.id.account.index == p.account && wanted(o.new.id.leg)
                    })
                    .count()
            };
            assert!(live(&is_close) <= 1, "two closes at work: {p:?}");
            assert!(live(&|leg| leg == Leg::Stop) <= 1 && live(&|leg| leg == Leg::TakeProfit) <= 1);
            let entries = live(&|leg| leg == Leg::Entry);
            assert!(entries <= 1);
            if entries == 0 {
                assert!(p.reserved.is_zero(), "margin is kept for an entry that ended: {p:?}");
                assert!(!p.quantity.is_zero(), "flat for good and not closed: {p:?}");
                assert!(p.state != PositionState::Opening, "{p:?}");
            }
        }
        // One receipt line for each signal.
        let lines: HashSet<_> = user.outcomes.iter().map(|o| o.signal).collect();
        assert_eq!(lines.len(), user.outcomes.len(), "two lines for one signal");
        for order in &user.orders {
            assert!(order.is_live(), "{order:?}");
            let ours = user.position(order.position, order.new.id.account.index).is_some();
            assert!(ours || order.cancelling, "an orphan that nobody takes back: {order:?}");
            assert!(ours || order.new.reduce_only, "an entry without a position: {order:?}");
            assert!(order.fills == 0 || order.state != OrderState::Submitted);
        }
        assert!(user.final_orders.iter().all(|order| !order.is_live()));
        assert!(
            user.closed_positions
                .iter()
                .all(|p| !p.is_active() && p.quantity.is_zero() && p.closed.is_some())
        );
    }

    /// The users' bytes give the same users.
    pub fn state(state: &State) {
        let mut encoder = codec::Encoder::default();
        for user in state.users() {
            let (read, as_of) = codec::decode_user(encoder.user(user, 7)).expect("valid");
            assert_eq!((&read, as_of), (user, 7), "a user survives its bytes");
        }
    }
}

fn revenue_of(user: &User) -> i128 {
    Currency::ALL.iter().map(|c| units(user.ledger.balance(*c, LedgerAccount::Revenue))).sum()
}
