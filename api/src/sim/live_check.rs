//! The exchange against us: what it holds of our accounts is looked at there, not through what a connector says.
//!
//! **Runs on**: the simulator's thread, called by the director.
//! **Checks**: at each look: no position is there without a live stop for longer than DOMAIN.md §2's 5 s and what closing takes, of
//! the time in which neither its shard nor its account's way to the exchange is disturbed; nor for longer than [`super::bare::CAP`]
//! of the time in which the server is up and the exchange can be asked. Once nothing moves, and again after the last restart: no client
//! id is there twice, and none that was not decided; the positions there are ours, to the last unit, each with its stop at
//! our price; the orders there are those we hold for live; each order is filled there as far as here; the wallet is ours to the
//! last unit, and no money was found but what was there at the first look.

use std::collections::BTreeMap;

use engine::core::fixed::{Money, Price};
use engine::core::ids::ClientOrderId;
use engine::core::instrument::Symbol;
use engine::core::order::Side;
use engine::core::user::VenueKind;
use engine::seam::Nanos;
use exchange::paper_exchange::Core;

use super::bare::Regard;
use super::exchange::{Exchange, Held, WALLET};
use super::model::{LivePosition, ModelUser};
use super::world::World;

/// A position without a live stop is closed at the exchange after this: 5 s, a look, and an order's way there.
pub(super) const BARE_MAX: Nanos = Nanos::from_millis(8_000);

/// Whether a live trigger at the exchange stops a position; at `price`, where one is given.
fn is_stopped(core: &Core, held: &Held, symbol: Symbol, side: Side, price: Option<Price>) -> bool {
    core.open_orders(held.no).any(|order| {
        order.spec.symbol == symbol
            && order.spec.side == side.opposite()
            && !order.state.is_final()
            && order.spec.trigger.is_some_and(|trigger| {
                trigger.rising == (order.spec.side == Side::Buy)
                    && price.is_none_or(|price| trigger.price == price)
            })
    })
}

/// What must hold at any moment; called at each look of the director. `may_write`: there is room on the disk.
pub(super) fn look(world: &World, exchange: &Exchange, may_write: bool) {
    let now = world.executor.now();
    let (mut found, mut watched) = (Vec::new(), 0);
    exchange.look(|accounts, core| {
        for (user, held) in accounts {
            let positions = core.account(held.no).into_iter().flat_map(|account| &account.positions);
            for (symbol, position) in positions {
                let ours = if may_write { world.regard(*user) } else { Regard::Excused };
                let regard = ours.max(exchange.regard(now, held));
                watched += u64::from(regard == Regard::Judged);
                if !is_stopped(core, held, *symbol, position.side, None) {
                    found.push(((*user, *symbol), regard));
                }
            }
        }
    });
    let passed = exchange.bare.borrow().passed(now);
    world.count(|judged| judged.watched_us += watched * passed.as_micros());
    let over = exchange.bare.borrow_mut().look(now, found);
    if let Some(((user, symbol), what)) = over {
        let what =
            format!("the position of {user} on {symbol} is on the exchange without a live stop {what}");
        world.judge.borrow_mut().violate(what);
    }
}

/// The first difference between the exchange's accounts and ours.
pub(super) fn differs(world: &World, exchange: &Exchange) -> Option<String> {
    let judge = world.judge.borrow();
    let mut compared = 0;
    let found = exchange.look(|accounts, core| {
        accounts.iter().find_map(|(user, held)| match of_account(core, held, judge.user(*user)) {
            Ok(whole) => {
                compared += u64::from(whole);
                None
            }
            Err(what) => Some(format!("{user}: {what}")),
        })
    });
    world.count(|judged| judged.accounts += compared);
    found
}

/// Whether all of an account was compared, or why it differs.
fn of_account(core: &Core, held: &Held, user: Option<&ModelUser>) -> Result<bool, String> {
    if planted::planted!("judge_finds_no_difference_on_the_exchange") {
        return Ok(false);
    }
    let there = core.account(held.no).ok_or("the exchange has no such account")?;
    let orders = core.all_orders(held.no);
    let mut seen = BTreeMap::<ClientOrderId, u32>::new();
    for id in orders.iter().filter_map(|order| ClientOrderId::parse(order.client_id())) {
        *seen.entry(id).or_default() += 1;
    }
    if let Some((id, count)) = seen.iter().find(|(_, count)| **count > 1) {
        return Err(format!("order {id} was placed {count} times"));
    }
    let undecided = |id: &&ClientOrderId| !user.is_some_and(|user| user.knows_order(**id));
    if let Some(id) = seen.keys().find(undecided) {
        return Err(format!("order {id} is at the exchange and was never decided"));
    }
    let Some(user) = user.filter(|user| user.has_account_on(held.venue)) else { return Ok(false) };
    // Two accounts of ours for one there: the second is refused, and what it was told is not looked at.
    let Some(ours) = user.live_account(held.venue) else { return Ok(false) };
    for (symbol, position) in &there.positions {
        let found = ours.positions.get(symbol);
        let same = |ours: &&LivePosition| (ours.side, ours.quantity) == (position.side, position.quantity);
        let Some(found) = found.filter(same) else {
            let there = (position.side, position.quantity);
            return Err(format!("{symbol}: {there:?} is open there, and here {found:?}"));
        };
        if found.stop.is_some() && !is_stopped(core, held, *symbol, position.side, found.stop) {
            return Err(format!("{symbol}: no stop at {:?} is live there", found.stop));
        }
    }
    if let Some((symbol, open)) = ours.positions.iter().find(|(s, _)| !there.positions.contains_key(s)) {
        return Err(format!("{symbol}: {open:?} is open here, and nothing there"));
    }
    for order in core.open_orders(held.no) {
        let owned = held.venue == VenueKind::Bybit && order.spec.trigger.is_some();
        let id = ClientOrderId::parse(order.client_id());
        if !owned && !id.is_some_and(|id| ours.live.contains(&id)) {
            return Err(format!("order {} is live there, and not here", order.client_id()));
        }
    }
    for id in &ours.live {
        if core.order_by_client(held.no, &id.to_string()).is_none_or(|order| order.state.is_final()) {
            return Err(format!("order {id} is live here, and not there"));
        }
    }
    for (id, filled) in &ours.filled {
        let order = core.order_by_client(held.no, &id.to_string());
        if let Some(order) = order.filter(|order| order.fired_as.is_none() && order.filled != *filled) {
            return Err(format!("order {id}: {} is filled there, and {filled} here", order.filled));
        }
    }
    if ours.wallet != Some(there.wallet) {
        return Err(format!("the wallet: {} there, and {:?} here", there.wallet, ours.wallet));
    }
    if user.found() != Some(Money::from_whole(WALLET)) {
        return Err(format!("{:?} came from outside, and {WALLET} was in the account", user.found()));
    }
    Ok(true)
}
