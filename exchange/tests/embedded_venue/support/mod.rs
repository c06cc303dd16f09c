//! A follower that keeps books of a venue's reports as the engine would: what it knows is what was reported, and the
//! snapshots that restore a venue are made of that alone. Its arithmetic is written anew, in 128-bit integers.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

pub mod scenario;

use std::collections::BTreeMap;

use engine::core::fixed::{Money, Price, Quantity, Rate};
use engine::core::ids::{AccountId, ClientOrderId, Leg, SignalId, SourceId, Timestamp, UserId};
use engine::core::instrument::Symbol;
use engine::core::order::{Fill, NewOrder, OrderKind, OrderState, Side, VenueReason, VenueReport};
use exchange::market::{Gate, Market, MarketFile, Pace};
use exchange::paper::{PaperSettings, PaperVenue};
use exchange::venue::{AccountOpening, AccountSnapshot, OrderSnapshot, PositionSnapshot, Venue};

pub const NOW: Timestamp = Timestamp(1_000_000);

pub fn price(text: &str) -> Price {
    text.parse().unwrap()
}
pub fn quantity(text: &str) -> Quantity {
    text.parse().unwrap()
}
pub fn money(text: &str) -> Money {
    text.parse().unwrap()
}
pub fn rate(text: &str) -> Rate {
    text.parse().unwrap()
}
pub fn symbol(text: &str) -> Symbol {
    Symbol::new(text).unwrap()
}
pub fn btc() -> Symbol {
    symbol("BTCUSDT")
}
pub fn account(user: u64) -> AccountId {
    AccountId { user: UserId(user), index: 0 }
}

/// An id of `account`'s order `number`, of this leg.
pub fn id(account: AccountId, number: u32, leg: Leg) -> ClientOrderId {
    let source = SourceId { owner: UserId(7), index: 0 };
    ClientOrderId::first(SignalId { source, number }, account, leg)
}

/// An order on BTCUSDT at leverage 5.
pub fn order(id: ClientOrderId, side: Side, kind: OrderKind, size: &str, reduce_only: bool) -> NewOrder {
    NewOrder { id, symbol: btc(), side, kind, quantity: quantity(size), reduce_only, leverage: 5 }
}

/// A market of BTCUSDT trades, one jump per price and second, from `from_ms`.
pub fn trades(from_ms: u64, prices: &[&str]) -> Market {
    let mut text = String::from("time_ms,id,side,price,quantity\n");
    for (at, price) in prices.iter().enumerate() {
        text += &format!("{},{at},buy,{price},1\n", from_ms + 1_000 * at as u64);
    }
    file_market(&text)
}

/// A market of BTCUSDT candles of five minutes, `open,high,low,close` each, from `from_ms`.
pub fn candles(from_ms: u64, rows: &[&str]) -> Market {
    let mut text = String::from("time_ms,open,high,low,close,volume\n");
    for (at, row) in rows.iter().enumerate() {
        text += &format!("{},{row},1\n", from_ms + 300_000 * at as u64);
    }
    file_market(&text)
}

pub fn file_market(text: &str) -> Market {
    let mut market = Market::new();
    market.add_file(&MarketFile::parse("sample.csv", text).unwrap(), btc(), price("0.1")).unwrap();
    market
}

/// What the follower knows of an order.
#[derive(Clone, Debug)]
pub struct Known {
    pub order: NewOrder,
    pub accepted: bool,
    pub filled: i128,
    pub fills: u32,
    pub end: Option<VenueReport>,
}

/// What the follower knows of a position.
#[derive(Clone, Debug)]
pub struct Held {
    pub side: Side,
    pub quantity: i128,
    pub cost: i128,
    pub leverage: u8,
    pub opened_at: Timestamp,
    pub last_funding: Option<Timestamp>,
}

#[derive(Clone, Debug, Default)]
pub struct Books {
    pub wallet: i128,
    pub start: i128,
    pub realised: i128,
    pub fees: i128,
    pub funding: i128,
    pub orders: BTreeMap<ClientOrderId, Known>,
    pub positions: BTreeMap<Symbol, Held>,
    pub venue_fills: u32,
}

const UNIT: i128 = 100_000_000;

/// `a / b`, half to even, for a positive `b`.
pub fn half_even(a: i128, b: i128) -> i128 {
    let (q, r) = (a.div_euclid(b), a.rem_euclid(b));
    match (2 * r).cmp(&b) {
        std::cmp::Ordering::Less => q,
        std::cmp::Ordering::Greater => q + 1,
        std::cmp::Ordering::Equal => q + (q & 1),
    }
}

impl Books {
    fn fill(&mut self, symbol: Symbol, side: Side, leverage: u8, fill: &Fill) {
        let notional = half_even(i128::from(fill.price.units()) * i128::from(fill.quantity.units()), UNIT);
        let size = i128::from(fill.quantity.units());
        self.fees += i128::from(fill.fee.units());
        match self.positions.get_mut(&symbol) {
            Some(held) if held.side != side => {
                assert!(size <= held.quantity, "a fill crosses zero");
                let share = if size == held.quantity {
                    held.cost
                } else {
                    half_even(held.cost * size, held.quantity)
                };
                self.realised += (notional - share) * i128::from(held.side.sign());
                held.quantity -= size;
                held.cost -= share;
                if held.quantity == 0 {
                    self.positions.remove(&symbol);
                }
            }
            Some(held) => {
                held.quantity += size;
                held.cost += notional;
            }
            None => {
                self.positions.insert(
                    symbol,
                    Held {
                        side,
                        quantity: size,
                        cost: notional,
                        leverage,
                        opened_at: fill.venue_at,
                        last_funding: None,
                    },
                );
            }
        }
    }

    fn note(&mut self, report: &VenueReport) {
        match report {
            VenueReport::Accepted { id, .. } => self.orders.get_mut(id).unwrap().accepted = true,
            VenueReport::Filled { id, fill, last } => {
                let known = self.orders.get_mut(id).unwrap();
                if fill.number <= known.fills {
                    return;
                }
                assert!(known.end.is_none(), "a fill after the end of {id}");
                assert_eq!(fill.number, known.fills + 1, "a gap in the fills of {id}");
                known.fills = fill.number;
                known.filled += i128::from(fill.quantity.units());
                if *last {
                    known.end = Some(*report);
                }
                let order = known.order;
                if order.reduce_only || order.kind.is_trigger() {
                    let held = self.positions.get(&order.symbol).expect("a closing fill without a position");
                    assert_ne!(held.side, order.side, "a closing fill that adds");
                }
                self.fill(order.symbol, order.side, order.leverage, fill);
            }
            VenueReport::Rejected { id, .. } | VenueReport::Ended { id, .. } => {
                self.orders.get_mut(id).unwrap().end = Some(*report);
            }
            VenueReport::Funding { symbol, amount, venue_at, .. } => {
                let held = self.positions.get_mut(symbol).expect("funding without a position");
                assert!(held.last_funding < Some(*venue_at), "funding twice at {venue_at:?}");
                held.last_funding = Some(*venue_at);
                self.funding += i128::from(amount.units());
            }
            VenueReport::Liquidated { symbol, fill, .. } => {
                assert_eq!(fill.number, self.venue_fills + 1);
                self.venue_fills += 1;
                let side = self.positions[symbol].side.opposite();
                self.fill(*symbol, side, 1, fill);
            }
            VenueReport::ClosedOutside { .. }
            | VenueReport::Wallet { .. }
            | VenueReport::LateEntry { .. } => {
                panic!("nobody else is on a paper account, and an end is one: {report:?}")
            }
            VenueReport::NotFound { .. } => {}
        }
        self.wallet = self.start + self.realised - self.fees + self.funding;
    }
}

/// A venue and the books kept of its reports.
pub struct Desk {
    pub venue: PaperVenue,
    pub books: BTreeMap<AccountId, Books>,
    pub reports: Vec<VenueReport>,
}

impl Desk {
    pub fn new(venue: PaperVenue) -> Self {
        Self { venue, books: BTreeMap::new(), reports: Vec::new() }
    }

    /// A desk on this market, held at its first instant, with the gate that holds it.
    pub fn held(mut settings: PaperSettings, market: Market) -> (Self, std::sync::Arc<Gate>) {
        let gate = Gate::new(1);
        settings.pace = Pace { real_time: None, gate: Some(gate.seat(0)) };
        (Self::new(PaperVenue::new(settings, market).unwrap()), gate)
    }

    pub fn open(&mut self, account: AccountId, wallet: &str) {
        let wallet = money(wallet);
        self.venue.open_account(AccountOpening { id: account, wallet }).unwrap();
        let start = i128::from(wallet.units());
        self.books.insert(account, Books { wallet: start, start, ..Books::default() });
    }

    pub fn submit(&mut self, order: NewOrder) {
        self.books.entry(order.id.account).or_default().orders.entry(order.id).or_insert(Known {
            order,
            accepted: false,
            filled: 0,
            fills: 0,
            end: None,
        });
        self.venue.submit(NOW, &order).unwrap();
    }

    /// Polls until nothing is left to do; returns what was reported.
    pub fn drain(&mut self) -> Vec<VenueReport> {
        let from = self.reports.len();
        while self.poll(64) == 64 {}
        self.reports[from..].to_vec()
    }

    pub fn poll(&mut self, budget: usize) -> usize {
        let (books, reports) = (&mut self.books, &mut self.reports);
        self.venue.poll(NOW, budget, &mut |report| {
            books.entry(report.account()).or_default().note(&report);
            reports.push(report);
        })
    }

    /// Submits and drains; returns what was reported.
    pub fn send(&mut self, order: NewOrder) -> Vec<VenueReport> {
        self.submit(order);
        self.drain()
    }

    /// Opens a position of `size` BTCUSDT at the market.
    pub fn enter(&mut self, account: AccountId, side: Side, size: &str) -> Vec<VenueReport> {
        self.send(order(id(account, 1, Leg::Entry), side, OrderKind::Market, size, false))
    }

    /// What the engine would restore an account from.
    pub fn snapshot(&self, account: AccountId) -> AccountSnapshot {
        let books = &self.books[&account];
        AccountSnapshot {
            id: account,
            wallet: Money::from_units(books.wallet.try_into().unwrap()),
            positions: books
                .positions
                .iter()
                .map(|(symbol, held)| PositionSnapshot {
                    symbol: *symbol,
                    side: held.side,
                    quantity: Quantity::from_units(held.quantity.try_into().unwrap()),
                    entry_cost: Money::from_units(held.cost.try_into().unwrap()),
                    leverage: held.leverage,
                    opened_at: held.opened_at,
                    last_funding: held.last_funding,
                })
                .collect(),
            orders: books
                .orders
                .values()
                .filter(|known| known.accepted && known.end.is_none())
                .map(|known| OrderSnapshot {
                    order: known.order,
                    filled: Quantity::from_units(known.filled.try_into().unwrap()),
                    fills: known.fills,
                })
                .collect(),
            venue_fills: books.venue_fills,
        }
    }

    /// Checks that the venue holds of each account exactly what the books say.
    pub fn agree(&self) {
        for account in self.books.keys() {
            let told = self.snapshot(*account);
            let mut held = self.venue.account(*account).unwrap();
            held.orders.sort_by_key(|order| order.order.id);
            held.positions.sort_by_key(|position| position.symbol);
            assert_eq!(told, held);
        }
    }
}

/// The fills among some reports: id, price, quantity.
pub fn fills(reports: &[VenueReport]) -> Vec<(Leg, String, String)> {
    reports
        .iter()
        .filter_map(|report| match report {
            VenueReport::Filled { id, fill, .. } => {
                Some((id.leg, fill.price.to_string(), fill.quantity.to_string()))
            }
            _ => None,
        })
        .collect()
}

/// The reason with which an order was refused or ended.
pub fn reason(reports: &[VenueReport], of: ClientOrderId) -> Option<VenueReason> {
    reports.iter().find_map(|report| match report {
        VenueReport::Rejected { id, reason } | VenueReport::Ended { id, reason, .. } if *id == of => {
            Some(*reason)
        }
        _ => None,
    })
}

pub fn ended(id: ClientOrderId, state: OrderState, reason: VenueReason) -> VenueReport {
    VenueReport::Ended { id, state, reason }
}
