//! The core of the paper exchange: orders, triggers, amendments, positions and wallets follow the venue exactly.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use engine::core::fixed::{Money, Price, Quantity};
use engine::core::ids::Timestamp;
use engine::core::instrument::Symbol;
use engine::core::order::Side;
use exchange::market::{Market, Speed};
use exchange::paper::PaperSettings;
use exchange::paper_exchange::events::{Change, What};
use exchange::paper_exchange::orders::{Attached, EndReason, Life, OrderSpec, Role, State, Trigger, Watched};
use exchange::paper_exchange::{AccountNo, Core, CoreSettings, FaceKind, Refusal};

const START: Timestamp = Timestamp(1_700_000_000_000_000);

struct Bench {
    core: Core,
    account: AccountNo,
    symbol: Symbol,
    now: Timestamp,
}

impl Bench {
    fn new(face: FaceKind) -> Self {
        let venue = PaperSettings::default();
        let settings =
            CoreSettings { venue, market: Market::new(), market_from: START, now: START, speed: Speed::REAL };
        let mut core = Core::new(settings).unwrap();
        let account = core.open_account(face, Money::from_whole(10_000)).unwrap();
        let mut bench = Self { core, account, symbol: Symbol::new("BTCUSDT").unwrap(), now: START };
        bench.price("60000");
        bench
    }
    fn price(&mut self, price: &str) {
        self.now = self.now.plus_micros(1_000_000);
        let now = self.now;
        self.core.hand_price(now, self.symbol, price.parse().unwrap(), true).unwrap();
        assert!(!self.core.advance(now, 10_000));
    }
    fn market(&mut self, side: Side, quantity: &str) -> OrderSpec {
        OrderSpec::market(self.symbol, side, quantity.parse().unwrap())
    }
    fn changes(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        while let Some(event) = self.core.take_event() {
            match event.what {
                What::Order(order, change) => {
                    let change = match change {
                        Change::Executed(execution) => format!("{}@{}", execution.quantity, execution.price),
                        other => format!("{other:?}"),
                    };
                    told.push(format!("{:?} {change}", order.state));
                }
                What::Position { position, .. } => {
                    told.push(format!(
                        "position {}",
                        position.map_or_else(Quantity::default, |p| p.quantity)
                    ));
                }
                other => told.push(format!("{other:?}").split(['(', ' ']).next().unwrap().to_owned()),
            }
        }
        told
    }
    /// What the core holds of the account is what the venue holds.
    fn check(&self) {
        let account = self.core.account(self.account).unwrap();
        let told = self.core.venue_snapshot(self.account).unwrap();
        assert_eq!(told.wallet, account.wallet);
        assert_eq!(told.positions.len(), account.positions.len());
        for position in told.positions {
            let held = &account.positions[&position.symbol];
            let held = (held.side, held.quantity, held.entry_cost, held.leverage);
            assert_eq!(held, (position.side, position.quantity, position.entry_cost, position.leverage));
        }
        let sum = account.incomes.iter().fold(Money::ZERO, |sum, i| sum.checked_add(i.amount).unwrap());
        assert_eq!(sum, account.wallet);
    }
}

fn at(price: &str, rising: bool, role: Role) -> Option<Trigger> {
    Some(Trigger { price: price.parse().unwrap(), watched: Watched::Last, rising, role })
}

#[test]
fn a_market_order_is_told_of_in_order() {
    let mut bench = Bench::new(FaceKind::Binance);
    let spec = bench.market(Side::Buy, "0.1");
    let no = bench.core.place(bench.account, spec).unwrap();
    let order = bench.core.order(bench.account, no).unwrap();
    assert_eq!((order.state, order.average()), (State::Filled, Some("60000".parse().unwrap())));
    assert_eq!(bench.changes(), ["New New", "Filled 0.1@60000", "position 0.1"]);
    bench.check();
    let spec = OrderSpec { reduce_only: true, ..bench.market(Side::Sell, "0.4") };
    bench.core.place(bench.account, spec).unwrap();
    assert_eq!(bench.changes(), ["New New", "PartiallyFilled 0.1@60000", "position 0", "Expired Ended"]);
    bench.check();
    let spec = OrderSpec { reduce_only: true, ..bench.market(Side::Sell, "0.4") };
    assert_eq!(bench.core.place(bench.account, spec), Err(Refusal::NothingToReduce));
}

#[test]
fn close_position_triggers_fire_at_their_price_and_end_with_the_position() {
    let mut bench = Bench::new(FaceKind::Binance);
    let spec = bench.market(Side::Buy, "0.1");
    bench.core.place(bench.account, spec).unwrap();
    let stop = OrderSpec {
        close_position: true,
        trigger: at("59000", false, Role::Stop),
        ..bench.market(Side::Sell, "0")
    };
    let profit = OrderSpec { trigger: at("61000", true, Role::TakeProfit), ..stop.clone() };
    let stop = bench.core.place(bench.account, stop).unwrap();
    let profit = bench.core.place(bench.account, profit).unwrap();
    bench.changes();
    bench.price("58500");
    assert_eq!(
        bench.changes(),
        ["New Fired", "New Live", "Filled 0.1@59000", "position 0", "Expired Ended",]
    );
    let stop = bench.core.order(bench.account, stop).unwrap();
    assert!(stop.fired_as.is_some() && stop.state == State::Filled);
    let profit = bench.core.order(bench.account, profit).unwrap();
    assert_eq!((profit.state, profit.end), (State::Expired, Some(EndReason::PositionClosed)));
    bench.check();
}

#[test]
fn case_o10_a_trigger_with_a_quantity_outlives_its_position() {
    let mut bench = Bench::new(FaceKind::Binance);
    let stop = OrderSpec {
        reduce_only: true,
        trigger: at("59000", false, Role::Stop),
        ..bench.market(Side::Sell, "0.1")
    };
    let stop = bench.core.place(bench.account, stop).unwrap();
    let spec = bench.market(Side::Buy, "0.1");
    bench.core.place(bench.account, spec).unwrap();
    let spec = bench.market(Side::Sell, "0.1");
    bench.core.place(bench.account, spec).unwrap();
    assert_eq!(bench.core.order(bench.account, stop).unwrap().state, State::Untriggered, "an orphan");
    let spec = bench.market(Side::Buy, "0.05");
    bench.core.place(bench.account, spec).unwrap();
    bench.changes();
    bench.price("58999");
    let told = bench.changes();
    assert_eq!(told, ["New Fired", "New Live", "PartiallyFilled 0.05@58999", "position 0", "Expired Ended"]);
    bench.check();
}

#[test]
fn a_trigger_that_opens_needs_its_margin_when_it_fires() {
    let mut bench = Bench::new(FaceKind::Binance);
    let entry = |quantity: &str, bench: &mut Bench| OrderSpec {
        trigger: at("61000", true, Role::Stop),
        ..bench.market(Side::Buy, quantity)
    };
    let fits = entry("0.1", &mut bench);
    let large = entry("100", &mut bench);
    bench.core.place(bench.account, fits).unwrap();
    let large = bench.core.place(bench.account, large).unwrap();
    assert_eq!(
        bench.core.place(
            bench.account,
            OrderSpec {
                trigger: at("59000", true, Role::Stop),
                ..bench.core.order(bench.account, large).unwrap().spec.clone()
            }
        ),
        Err(Refusal::DuplicateId)
    );
    bench.price("61000");
    assert_eq!(bench.core.order(bench.account, large).unwrap().end, Some(EndReason::Margin));
    assert_eq!(bench.core.position(bench.account, bench.symbol).unwrap().quantity, "0.1".parse().unwrap());
    bench.check();
}

#[test]
fn attached_triggers_come_with_the_first_fill() {
    let mut bench = Bench::new(FaceKind::Bybit);
    let attached =
        Attached { stop: Some("58000".parse().unwrap()), take_profit: Some("62000".parse().unwrap()) };
    let price: Price = "59500".parse().unwrap();
    let spec =
        OrderSpec { attached, ..OrderSpec::limit(bench.symbol, Side::Buy, "0.1".parse().unwrap(), price) };
    let entry = bench.core.place(bench.account, spec).unwrap();
    assert!(bench.core.position(bench.account, bench.symbol).is_none());
    bench.price("59400");
    let open = bench.core.position(bench.account, bench.symbol).unwrap();
    let (stop, _) = (open.stop.unwrap(), open.take_profit.unwrap());
    assert_eq!(stop.0, attached.stop.unwrap());
    assert_eq!(bench.core.open_orders(bench.account).count(), 2);
    assert!(bench.core.order(bench.account, entry).unwrap().state.is_final());
    // Another stop replaces the first; the same one is no change.
    let (account, symbol) = (bench.account, bench.symbol);
    let mut set = |stop: &str| {
        let stop = Some(Some(stop.parse().unwrap()));
        bench.core.set_position_triggers(account, symbol, stop, None, None)
    };
    assert_eq!(set("58000"), Err(Refusal::NoChange));
    assert_eq!(set("60000"), Err(Refusal::WouldTrigger));
    assert_eq!(set("58500"), Ok(()));
    assert_eq!(bench.core.order(bench.account, stop.1).unwrap().end, Some(EndReason::Replaced));
    bench.price("58000");
    assert!(bench.core.position(bench.account, bench.symbol).is_none());
    assert_eq!(bench.core.open_orders(bench.account).count(), 0);
    bench.check();
}

#[test]
fn amendments_keep_the_number_and_the_fills() {
    let mut bench = Bench::new(FaceKind::Binance);
    let price: Price = "59000".parse().unwrap();
    let spec = OrderSpec::limit(bench.symbol, Side::Buy, "0.1".parse().unwrap(), price);
    let no = bench.core.place(bench.account, spec).unwrap();
    bench.price("59000");
    assert_eq!(bench.core.order(bench.account, no).unwrap().filled, "0.05".parse().unwrap());
    bench.changes();
    let account = bench.account;
    bench.core.amend(account, no, Some("58000".parse().unwrap()), Some("0.2".parse().unwrap())).unwrap();
    assert_eq!(bench.changes(), ["PartiallyFilled Amended"]);
    assert_eq!(bench.core.amend(account, no, None, None), Err(Refusal::NoChange));
    assert_eq!(
        bench.core.amend(account, no, Some("58000.05".parse().unwrap()), None),
        Err(Refusal::PriceTick)
    );
    assert_eq!(
        bench.core.amend(account, no, None, Some("500".parse().unwrap())),
        Err(Refusal::Margin),
        "and the order is as it was"
    );
    assert_eq!(bench.core.order(account, no).unwrap().spec.quantity, "0.2".parse().unwrap());
    bench.price("57000");
    let order = bench.core.order(account, no).unwrap();
    assert_eq!((order.state, order.filled), (State::Filled, "0.2".parse().unwrap()));
    bench.check();
}

#[test]
fn lives_end_as_they_say() {
    let mut bench = Bench::new(FaceKind::Binance);
    let limit = |price: &str, life| OrderSpec {
        life,
        ..OrderSpec::limit(bench.symbol, Side::Buy, "0.1".parse().unwrap(), price.parse().unwrap())
    };
    let far = limit("50000", Life::ImmediateOrCancel);
    let kill = limit("50000", Life::FillOrKill);
    let post = limit("60100", Life::PostOnly);
    let until = limit("50000", Life::Until(bench.now.plus_micros(1_500_000)));
    let core = &mut bench.core;
    let far = core.place(bench.account, far).unwrap();
    assert_eq!(core.place(bench.account, kill.clone()), Err(Refusal::NotFilledAtOnce));
    let kill = core.place(bench.account, OrderSpec { accept_first: true, ..kill }).unwrap();
    assert_eq!(core.place(bench.account, post.clone()), Err(Refusal::WouldTake));
    let post = core.place(bench.account, OrderSpec { accept_first: true, ..post }).unwrap();
    let until = core.place(bench.account, until).unwrap();
    let account = bench.account;
    let state =
        |core: &Core, no| (core.order(account, no).unwrap().state, core.order(account, no).unwrap().end);
    assert_eq!(state(core, far), (State::Expired, Some(EndReason::Immediate)));
    assert_eq!(state(core, kill), (State::Expired, Some(EndReason::Immediate)));
    assert_eq!(state(core, post), (State::Cancelled, Some(EndReason::WouldTake)));
    assert_eq!(state(core, until).0, State::New);
    bench.price("60001");
    bench.price("60002");
    assert_eq!(state(&bench.core, until), (State::Expired, Some(EndReason::Time)));
    bench.check();
}

#[test]
fn leverage_changes_with_a_position_as_far_as_the_margin_goes() {
    let mut bench = Bench::new(FaceKind::Binance);
    let spec = bench.market(Side::Buy, "1");
    bench.core.place(bench.account, spec).unwrap();
    let (account, symbol) = (bench.account, bench.symbol);
    assert_eq!(bench.core.set_leverage(account, symbol, 20, false), Err(Refusal::NoChange));
    assert_eq!(bench.core.set_leverage(account, symbol, 126, false), Err(Refusal::Leverage));
    assert_eq!(bench.core.set_leverage(account, symbol, 2, false), Err(Refusal::Margin));
    assert_eq!(bench.core.set_leverage(account, symbol, 10, false), Ok(()));
    bench.check();
    assert_eq!(bench.core.set_hedge(account, true), Err(Refusal::PositionsOpen));
    assert_eq!(bench.core.set_isolated(account, symbol, true), Err(Refusal::PositionsOpen));
    // 10x: liquidated some 10 % below.
    bench.price("54000");
    assert!(bench.core.position(account, symbol).is_none());
    let last = bench.core.all_orders(account).last().unwrap().client_id().to_owned();
    assert!(last.starts_with("autoclose-"), "{last}");
    bench.check();
}
