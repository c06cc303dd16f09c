//! The exchange against us: what it holds of our accounts is looked at there, not through what a connector says.
//!
//! **Runs on**: the simulator's thread, called by the director.
//! **Checks**: at each look: no position is there without a live stop for longer than DOMAIN.md §2's 5 s and what closing takes, of
//! the time in which neither its shard nor its account's way to the exchange is disturbed; nor for longer than [`super::bare::CAP`]
//! of the time in which the server is up and the exchange can be asked. Once nothing moves, and again after the last restart: no client
//! id is there twice, and none that was not decided; each order arrived as it left its shard: symbol, side, kind, size, prices; the
//! positions there are ours, to the last unit and with our leverage, each with its stop and its target at our prices, for all of it;
//! the orders there are those we hold for live; each order is filled there as far as here; the wallet is ours to the last unit, and no
//! money was found but what was there at the first look.

use std::collections::BTreeMap;

use engine::core::fixed::{Money, Price};
use engine::core::ids::{ClientOrderId, Leg, UserId};
use engine::core::instrument::Symbol;
use engine::core::order::{OrderKind, Side};
use engine::core::user::VenueKind;
use engine::seam::Nanos;
use exchange::paper_exchange::accounts::Position;
use exchange::paper_exchange::orders::{Attached, Kind, Order, Origin, Trigger};
use exchange::paper_exchange::{AccountNo, Core};

use super::bare::Regard;
use super::exchange::{Exchange, Held, WALLET};
use super::judge::{Judge, Sent};
use super::model::LivePosition;
use super::world::World;

/// A position without a live stop is closed at the exchange after this: 5 s, a look, and an order's way there.
pub(super) const BARE_MAX: Nanos = Nanos::from_millis(8_000);

/// Whether a live trigger at the exchange closes all of a position, as its stop or its target; at `price`, where one is given.
fn is_closed(
    core: &Core,
    no: AccountNo,
    (symbol, open): (Symbol, &Position),
    leg: Leg,
    price: Option<Price>,
) -> bool {
    core.open_orders(no).any(|order| {
        let spec = &order.spec;
        let of_it = spec.symbol == symbol && spec.side == open.side.opposite() && !order.state.is_final();
        let all = spec.close_position || (spec.reduce_only && order.remaining() >= open.quantity);
        let rises = (spec.side == Side::Buy) == (leg == Leg::Stop);
        let there = |trigger: Trigger| trigger.rising == rises && price.is_none_or(|at| at == trigger.price);
        // One that has fired and became nothing closes nothing.
        of_it
            && all
            && !core.stays_fired(order.no)
            && spec.kind == Kind::Market
            && spec.trigger.is_some_and(there)
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
                if !is_closed(core, held.no, (*symbol, position), Leg::Stop, None) {
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
        accounts.iter().find_map(|(user, held)| match of_account(core, held, *user, &judge) {
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

/// Whether an order is at the exchange as it left the shard. A trigger closes all that is open; Bybit makes a close of more than is
/// open one of what is open; an entry that another process sends again goes without the triggers of its position.
fn is_as_sent(order: &Order, sent: &Sent, venue: VenueKind) -> bool {
    let (there, new) = (&order.spec, &sent.order);
    let kind = match new.kind {
        OrderKind::Market => (Kind::Market, None),
        OrderKind::Limit(price) => (Kind::Limit(price), None),
        OrderKind::StopMarket(price) => (Kind::Market, Some((price, new.side == Side::Buy))),
        OrderKind::TakeProfitMarket(price) => (Kind::Market, Some((price, new.side == Side::Sell))),
    };
    let size = match there.close_position {
        true => new.kind.is_trigger(),
        false if venue == VenueKind::Bybit && new.reduce_only => there.quantity <= new.quantity,
        false => there.quantity == new.quantity,
    };
    let planned = sent.planned.map(|(stop, target)| Attached { stop: Some(stop), take_profit: Some(target) });
    // Bybit takes them with the entry; on Binance they are orders of their own.
    let may_go_bare = sent.again || venue != VenueKind::Bybit || planned.is_none();
    size && kind == (there.kind, there.trigger.map(|trigger| (trigger.price, trigger.rising)))
        && (there.symbol, there.side, there.closes_only()) == (new.symbol, new.side, new.reduce_only)
        && (Some(there.attached) == planned || may_go_bare && there.attached == Attached::default())
}

/// Whether all of an account was compared, or why it differs.
fn of_account(core: &Core, held: &Held, user: UserId, judge: &Judge) -> Result<bool, String> {
    if planted::planted!("judge_finds_no_difference_on_the_exchange") {
        return Ok(false);
    }
    let user = judge.user(user);
    let there = core.account(held.no).ok_or("the exchange has no such account")?;
    let orders = core.all_orders(held.no);
    let of_ours = || orders.iter().filter_map(|o| Some((ClientOrderId::parse(o.client_id())?, *o)));
    // Every order of a client's is ours: nobody else trades there.
    let strange = |order: &&&Order| {
        order.spec.origin == Origin::Client && ClientOrderId::parse(order.client_id()).is_none()
    };
    if let Some(order) = orders.iter().find(strange) {
        return Err(format!(
            "an order is at the exchange under {:?}, which is no id of ours",
            order.client_id()
        ));
    }
    let mut seen = BTreeMap::<ClientOrderId, u32>::new();
    for (id, _) in of_ours() {
        *seen.entry(id).or_default() += 1;
    }
    if let Some((id, count)) = seen.iter().find(|(_, count)| **count > 1) {
        return Err(format!("order {id} was placed {count} times"));
    }
    let undecided = |id: &&ClientOrderId| !user.is_some_and(|user| user.knows_order(**id));
    if let Some(id) = seen.keys().find(undecided) {
        return Err(format!("order {id} is at the exchange and was never decided"));
    }
    for (id, order) in of_ours() {
        if !judge.left_as(id).is_some_and(|sent| is_as_sent(order, sent, held.venue)) {
            return Err(format!(
                "order {id} left as {:?} and is there as {:?}",
                judge.left_as(id),
                order.spec
            ));
        }
    }
    let Some(user) = user.filter(|user| user.has_account_on(held.venue)) else { return Ok(false) };
    // Two accounts of ours for one there: the second is refused, and what it was told is not looked at.
    let Some(ours) = user.live_account(held.venue) else { return Ok(false) };
    for (symbol, position) in &there.positions {
        let found = ours.positions.get(symbol);
        let there = (position.side, position.quantity, position.leverage);
        let same = |ours: &&LivePosition| (ours.side, ours.quantity, ours.leverage) == there;
        let Some(found) = found.filter(same) else {
            return Err(format!("{symbol}: {there:?} is open there, and here {found:?}"));
        };
        for (leg, price) in [(Leg::Stop, found.stop), (Leg::TakeProfit, found.target)] {
            if price.is_some() && !is_closed(core, held.no, (*symbol, position), leg, price) {
                return Err(format!("{symbol}: no {leg:?} at {price:?} for all of it is live there"));
            }
        }
    }
    if let Some((symbol, open)) = ours.positions.iter().find(|(s, _)| !there.positions.contains_key(s)) {
        return Err(format!("{symbol}: {open:?} is open here, and nothing there"));
    }
    for order in core.open_orders(held.no) {
        let owned = held.venue == VenueKind::Bybit && order.spec.trigger.is_some();
        let id = ClientOrderId::parse(order.client_id());
        // One that has fired and became nothing was given up here, and ends there with its position.
        let owned = owned || core.stays_fired(order.no);
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
    let found = user.found(held.venue);
    if found != Some(Money::from_whole(WALLET)) {
        return Err(format!("{found:?} came from outside, and {WALLET} was in the account"));
    }
    Ok(true)
}
