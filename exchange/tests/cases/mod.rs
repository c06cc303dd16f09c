//! What the cases share: a world that is ready or holds a position, and looks at the exchange itself.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accounts;
mod clock;
mod downtime;
mod keys;
mod money;
mod others;
mod prices;
mod stops;
mod streams;
mod symbols;
mod unknown;

use engine::core::fixed::{Price, Quantity};
use engine::core::ids::{ClientOrderId, Leg};
use engine::core::order::Side;
use engine::core::signal::SignalKind;
use exchange::paper_exchange::faults::{Fault, Rule, When};
use exchange::paper_exchange::orders::{Order, OrderSpec, Role};

use crate::world::{SECOND, Spoken, Weather, World, symbol};

const LONG: SignalKind = SignalKind::OpenLong { strong: false };
const SHORT: SignalKind = SignalKind::OpenShort { strong: false };
const BTC: &str = "BTCUSDT";
const ETH: &str = "ETHUSDT";

const CALM: Weather =
    Weather { delay_max: 10_000, request_lost: 0, answer_lost: 0, unreachable: 0, socket_breaks: 0 };
const ENTRIES: [&str; 4] = ["order.place", "POST /fapi/v1/order", "order.create", "POST /v5/order/create"];
const ALWAYS: When = When::Every(1);

/// A world with so many traders whose accounts may open.
fn ready<P: Spoken>(seed: u64, traders: usize) -> World<P> {
    let mut world = World::<P>::new(seed, traders, CALM);
    world.until("ready", 60 * SECOND, World::is_ready);
    world.step(SECOND);
    world
}

/// A world whose traders hold a protected long position.
fn opened<P: Spoken>(seed: u64, traders: usize) -> World<P> {
    let mut world = ready(seed, traders);
    world.signal(LONG, BTC);
    world.until("open", 20 * SECOND, World::is_open);
    world.step(3 * SECOND);
    world
}

/// Closes what is open, by signal, and checks both sides against each other.
fn closed<P: Spoken>(world: &mut World<P>) {
    let name = world.user(0).positions.first().map_or(BTC.to_owned(), |p| p.symbol.to_string());
    world.signal(SignalKind::CloseAll, &name);
    world.until("flat", 60 * SECOND, World::is_flat);
    settled(world);
}

/// Waits until nothing is on its way, and checks both sides against each other.
fn settled<P: Spoken>(world: &mut World<P>) {
    world.step(15 * SECOND);
    world.until("settled", 60 * SECOND, |w| w.connector().is_settled());
    world.check();
}

fn rule<P: Spoken>(world: &mut World<P>, on: &str, when: When, fault: Fault) {
    world.exchange.faults.add(Rule { on: on.to_owned(), when, fault }).unwrap();
}

/// The same for entries and closes, whichever way they go.
fn rule_on_orders<P: Spoken>(world: &mut World<P>, when: When, fault: &Fault) {
    for on in ENTRIES {
        rule(world, on, when, fault.clone());
    }
}

/// Nothing is told by streams.
fn silence<P: Spoken>(world: &mut World<P>) {
    rule(world, "stream *", ALWAYS, Fault::Lose);
}

/// The orders of a leg at the exchange.
fn at_exchange<P: Spoken>(world: &World<P>, n: usize, leg: Leg) -> Vec<Order> {
    let of = |o: &&Order| ClientOrderId::parse(o.client_id()).is_some_and(|id| id.leg == leg);
    world.exchange.core.all_orders(world.traders[n].no).into_iter().filter(of).cloned().collect()
}

/// Live triggers at the exchange: how many stops, how many targets.
fn triggers<P: Spoken>(world: &World<P>, n: usize) -> (usize, usize) {
    let count = |role| {
        let of = |o: &&Order| o.spec.trigger.is_some_and(|t| t.role == role);
        world.exchange.core.open_orders(world.traders[n].no).filter(of).count()
    };
    (count(Role::Stop), count(Role::TakeProfit))
}

/// What is open at the exchange, with its sign.
fn held<P: Spoken>(world: &World<P>, n: usize) -> i64 {
    let position = world.exchange.core.position(world.traders[n].no, symbol(BTC));
    position.map_or(0, |p| p.side.sign() * p.quantity.units())
}

/// What is open in the engine's eyes, with its sign.
fn ours<P: Spoken>(world: &World<P>, n: usize) -> i64 {
    world.user(n).positions.iter().map(|p| p.side.sign() * p.quantity.units()).sum()
}

/// A trade that the user makes by hand.
fn by_hand<P: Spoken>(world: &mut World<P>, side: Side, quantity: Quantity, closes: bool) {
    let spec = OrderSpec { reduce_only: closes, ..OrderSpec::market(symbol(BTC), side, quantity) };
    let no = world.traders[0].no;
    world.exchange.core.place(no, spec).unwrap();
}

/// The price goes so many per cent up or down.
fn price_by<P: Spoken>(world: &mut World<P>, percent: i64) {
    let tick = world.exchange.core.instrument(symbol(BTC)).unwrap().tick.units();
    let there = world.mark(BTC).units() / 100 * (100 + percent);
    world.price(BTC, Price::from_units(there / tick * tick));
}

/// The price is so many per cent beside that of the entry.
fn price_at<P: Spoken>(world: &mut World<P>, percent: i64) {
    let Some(entry) = world.user(0).positions.first().and_then(|p| p.entry_price()) else { return };
    let tick = world.exchange.core.instrument(symbol(BTC)).unwrap().tick.units();
    let there = entry.units() / 100 * (100 + percent);
    world.price(BTC, Price::from_units(there / tick * tick));
}

/// Takes the triggers of a position away, as the user may by hand: stops only, or all.
fn take_triggers<P: Spoken>(world: &mut World<P>, also_targets: bool) {
    let no = world.traders[0].no;
    if P::ATTACHES {
        let targets = also_targets.then_some(None);
        world.exchange.core.set_position_triggers(no, symbol(BTC), Some(None), targets, None).unwrap();
        return;
    }
    let gone = |o: &&Order| o.spec.trigger.is_some_and(|t| also_targets || t.role == Role::Stop);
    let all: Vec<_> = world.exchange.core.open_orders(no).filter(gone).map(|o| o.no).collect();
    for order in all {
        world.exchange.core.cancel(no, order).unwrap();
    }
}
