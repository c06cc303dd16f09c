//! What a venue says: to live orders as a venue would, and nonsense.

use engine::core::command::Command;
use engine::core::fixed::{Money, Price, Quantity, Rate};
use engine::core::ids::{AccountId, ClientOrderId, Leg, Timestamp, UserId};
use engine::core::instrument::MarketView;
use engine::core::order::{Fill, Liquidity, OrderKind, OrderState, Told, VenueReason, VenueReport};
use engine::core::position::Order;
use engine::core::rules::SECOND;

use super::dice::Dice;
use super::world::{SYMBOLS, World, symbol};

const REASONS: [VenueReason; 8] = [
    VenueReason::Symbol,
    VenueReason::Margin,
    VenueReason::NothingToReduce,
    VenueReason::WouldTrigger,
    VenueReason::Liquidity,
    VenueReason::Requested,
    VenueReason::PositionClosed,
    VenueReason::TooManyOrders,
];
const LEGS: [Leg; 7] = [
    Leg::Entry,
    Leg::Stop,
    Leg::TakeProfit,
    Leg::SignalClose,
    Leg::ManualClose,
    Leg::UnprotectedClose,
    Leg::ReversalClose,
];

/// A live order of somebody; entries and closes more often than the many stops and targets that wait.
pub fn live_order(world: &World, dice: &mut Dice) -> Option<Order> {
    let orders = world.traders.iter().flat_map(|user| world.user(*user).orders.iter().copied());
    let (waiting, market): (Vec<Order>, Vec<Order>) = orders.partition(|o| o.new.kind.is_trigger());
    let first = if dice.one_in(4) { &waiting } else { &market };
    dice.pick_from(first).or_else(|| dice.pick_from(&waiting))
}

pub fn tell(world: &mut World, report: VenueReport) {
    world.told.push(report);
    let sent_at = Timestamp(world.now.0 - 1_500);
    world.run(&Command::Report { report, sent_at }).expect("a report is never refused");
}

/// What a venue says to a live order: exits never fill beyond what is open.
pub fn answer(world: &mut World, dice: &mut Dice) {
    let Some(order) = live_order(world, dice) else { return };
    let (id, venue_at) = (order.new.id, world.now);
    let reason = dice.pick(&REASONS);
    match dice.below(20) {
        0..5 => tell(world, VenueReport::Accepted { id, venue_at }),
        5 => tell(world, VenueReport::Rejected { id, reason }),
        6..8 => {
            let state = dice.pick(&[OrderState::Cancelled, OrderState::Expired]);
            tell(world, VenueReport::Ended { id, state, reason });
        }
        8 => tell(world, VenueReport::NotFound { id }),
        _ => {
            let user = world.user(id.account.user);
            let position = user.position(order.position, id.account.index);
            let open = position.map_or(0, |p| p.quantity.units());
            let left = order.new.quantity.units() - order.filled.units();
            let rest = match order.new.kind {
                OrderKind::StopMarket(_) | OrderKind::TakeProfitMarket(_) => open,
                _ if id.leg == Leg::Entry => left,
                _ => left.min(open),
            };
            let size = if dice.one_in(2) { rest } else { rest / 1_000 * dice.within(1, 1_000) };
            let mark = world.market.quote(order.new.symbol).map_or(Price::from_whole(100), |q| q.mark);
            let at = match order.new.kind {
                OrderKind::StopMarket(at) | OrderKind::TakeProfitMarket(at) => at,
                _ => mark,
            };
            let price = Price::from_units((at.units() / 1_000).saturating_mul(dice.within(980, 1_021)));
            let quantity = Quantity::from_units(size);
            let fee =
                price.notional(quantity).map_or(0, |notional| notional.units() / dice.within(1_999, 2_002));
            let fee = Money::from_units(if dice.one_in(4) { 0 } else { fee });
            let fill =
                Fill { number: order.fills + 1, price, quantity, fee, liquidity: Liquidity::Taker, venue_at };
            tell(world, VenueReport::Filled { id, fill, last: size == rest });
        }
    }
}

pub fn tell_again_or_nonsense(world: &mut World, dice: &mut Dice) {
    if dice.one_in(2) {
        if let Some(report) = dice.pick_from(&world.told) {
            tell(world, report);
        }
        return;
    }
    let Some(order) = live_order(world, dice) else { return };
    let mut id = order.new.id;
    if dice.one_in(3) {
        id = ClientOrderId { leg: dice.pick(&LEGS), round: dice.small(3), ..id };
    }
    let fill = Fill {
        number: dice.pick(&[0, 1, 2, order.fills + 1, order.fills + 1, u32::MAX]),
        price: Price::from_units(dice.nonsense()),
        quantity: Quantity::from_units(dice.nonsense()),
        fee: Money::from_units(dice.nonsense() / 1_000),
        liquidity: Liquidity::Maker,
        venue_at: world.now,
    };
    let state = dice.pick(&[
        OrderState::Cancelled,
        OrderState::Expired,
        OrderState::Rejected,
        OrderState::Filled,
        OrderState::Unknown,
    ]);
    let reason = dice.pick(&REASONS);
    tell(
        world,
        match dice.below(4) {
            0..2 => VenueReport::Filled { id, fill, last: dice.one_in(2) },
            2 => VenueReport::Ended { id, state, reason },
            _ => VenueReport::Liquidated { account: id.account, symbol: order.new.symbol, fill },
        },
    );
}

/// An entry that is over fills, or one that nobody remembers; sometimes more than can be.
fn late_entry(world: &mut World, dice: &mut Dice, user: UserId) {
    let is_entry = |o: &&Order| o.new.id.leg == Leg::Entry;
    let over: Vec<Order> = world.user(user).final_orders.iter().filter(is_entry).copied().collect();
    let Some(known) = dice.pick_from(&over) else { return };
    let (mut order, mut number) = (known.new, known.fills + 1);
    match dice.below(12) {
        0 => {
            (order.id.signal.number, number) = (order.id.signal.number + 5_000, 1 + u32::from(dice.small(2)))
        }
        1 => number = number.saturating_add(2).saturating_sub(u32::from(dice.small(4))),
        2 => order.id.leg = dice.pick(&LEGS),
        _ => {}
    }
    let rest = known.new.quantity.units() - known.filled.units();
    let size = if dice.one_in(2) { rest } else { rest / 1_000 * dice.within(1, 1_100) };
    let price = world.market.quote(order.symbol).map_or(Price::from_whole(100), |q| q.mark);
    let fee = Money::from_units(dice.within(0, 10_000));
    let (quantity, venue_at) = (Quantity::from_units(size), world.now);
    let fill = Fill { number, price, quantity, fee, liquidity: Liquidity::Taker, venue_at };
    // Told by whoever remembers it; what the engine knows itself counts.
    let mut part = |sum: i64| if dice.one_in(4) { dice.nonsense() } else { sum };
    let before = Told {
        filled: Quantity::from_units(part(known.filled.units())),
        notional: Money::from_units(part(known.notional.units())),
        fees: Money::from_units(part(known.fees.units())),
        decided_at: known.decided_at,
    };
    tell(world, VenueReport::LateEntry { order, before, fill });
}

/// Funding, liquidations, and entries that fill after their end.
pub fn venue_by_itself(world: &mut World, dice: &mut Dice) {
    let user = dice.pick(&world.traders);
    if dice.one_in(3) {
        late_entry(world, dice, user);
        return;
    }
    let account = AccountId { user, index: u8::from(dice.one_in(3)) };
    let symbol = symbol(dice.pick(&SYMBOLS).0);
    let open = world.user(user).position_on(account.index, symbol).map_or(0, |p| p.quantity.units());
    let mark = world.market.quote(symbol).map_or(Price::from_whole(1), |q| q.mark);
    if !dice.one_in(3) {
        let hours = world.now.0 / (3_600 * SECOND) - dice.next() % 3;
        let venue_at = Timestamp(hours * 3_600 * SECOND);
        let amount = Money::from_units(dice.nonsense());
        tell(
            world,
            VenueReport::Funding { account, symbol, venue_at, rate: Rate::from_units(10_000), mark, amount },
        );
        return;
    }
    let part = dice.pick(&[400, 1_000, 1_000, 1_300]);
    let booked = world.user(user).accounts[usize::from(account.index)].venue_fills;
    let fill = Fill {
        number: booked.saturating_add(2).saturating_sub(dice.small(3).into()),
        price: mark,
        quantity: Quantity::from_units(open / 1_000 * part + i64::from(part == 1_000) * (open % 1_000)),
        fee: Money::from_units(dice.within(0, 10_000)),
        liquidity: Liquidity::Taker,
        venue_at: world.now,
    };
    tell(world, VenueReport::Liquidated { account, symbol, fill });
}
