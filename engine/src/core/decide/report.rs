//! What a venue tells: orders accepted, refused, filled, ended; funding; liquidations. Facts are booked once, in the order
//! they come, and whatever they make necessary (protection, more closing, the final account) is decided with them.

use super::{Calendar, Context, close, day, late};
use crate::core::command::Reply;
use crate::core::event::{Charge, Event};
use crate::core::fixed::{Money, Quantity, Rounding};
use crate::core::ids::{ClientOrderId, Leg, Timestamp};
use crate::core::instrument::{MarketView, Symbol};
use crate::core::ledger::LedgerAccount;
use crate::core::order::{Fill, NewOrder, OrderKind, OrderState, VenueReason, VenueReport};
use crate::core::position::{
    CloseReason, Order, Position, PositionState, liquidation_price, order_id, price_at_distance,
};
use crate::core::user::{User, VenueKind};

/// A stop or take-profit that the venue ended is placed again up to this round; then the position is closed.
const PROTECTION_ROUNDS: u8 = 3;
/// No single execution or settlement is larger: the largest wallet at the highest leverage, and a ninth of what `Money`
/// holds.
const NOTIONAL_MAX: Money = Money::from_whole(10_000_000_000);

pub(super) fn unanswered(user: &User, id: ClientOrderId, out: &mut Vec<Event>) -> Reply {
    match user.order(id) {
        Some(order) if order.state == OrderState::Pending => {
            out.push(Event::OrderUnknown { id });
            Reply::Done
        }
        _ => Reply::Ignored,
    }
}

pub(super) fn book<M: MarketView, C: Calendar>(
    user: &User,
    cx: &Context<'_, M, C>,
    report: &VenueReport,
    sent_at: Timestamp,
    out: &mut Vec<Event>,
) -> Reply {
    match *report {
        VenueReport::Accepted { id, .. } => accepted(user, id, sent_at, out),
        VenueReport::Rejected { id, reason } => {
            ended(user, cx, id, OrderState::Rejected, reason, sent_at, out)
        }
        VenueReport::Ended { id, state, reason } => ended(user, cx, id, state, reason, sent_at, out),
        VenueReport::Filled { id, fill, last } => filled(user, cx, id, &fill, last, sent_at, out),
        VenueReport::Funding { account, symbol, venue_at, rate, mark, amount } => {
            let Some(position) = funded_position(user, account.index, symbol, venue_at) else {
                return Reply::Ignored;
            };
            // Told again after the position it belonged to was closed, it is not this one's.
            let booked_earlier = user
                .closed_positions
                .iter()
                .any(|p| p.account == account.index && p.symbol == symbol && venue_at <= p.funded_at);
            let fits = amount.abs() <= NOTIONAL_MAX
                && position.funding.checked_add(amount).is_some()
                && user.wallet(account.index).checked_add(amount).is_some();
            let told_again = (venue_at <= position.funded_at || booked_earlier)
                && !planted::planted!("funding_told_twice_is_booked_twice");
            if told_again || !fits {
                return Reply::Ignored;
            }
            day::current(user, cx, account.index, out);
            out.push(Event::FundingSettled {
                position: position.signal,
                account: account.index,
                symbol,
                venue_at,
                rate,
                mark,
                amount,
            });
            Reply::Done
        }
        VenueReport::Liquidated { account, symbol, fill } => {
            closed_by_others(user, cx, account.index, symbol, &fill, CloseReason::Liquidation, out)
        }
        VenueReport::ClosedOutside { account, symbol, fill } => {
            closed_by_others(user, cx, account.index, symbol, &fill, CloseReason::External, out)
        }
        VenueReport::Wallet { account, wallet } => wallet_told(user, cx, account.index, wallet, out),
        VenueReport::NotFound { id } if planted::planted!("unknown_order_taken_for_failed") => {
            ended(user, cx, id, OrderState::Rejected, VenueReason::Requested, sent_at, out)
        }
        // Not a proof within the first seconds (CASES.md U8); the order stays UNKNOWN and is queried again.
        VenueReport::NotFound { id } if was_never_received(user, cx, id) => {
            ended(user, cx, id, OrderState::Expired, VenueReason::NotReceived, Timestamp(0), out)
        }
        VenueReport::NotFound { .. } => Reply::Ignored,
        VenueReport::LateEntry { order, before, fill } => late::entry(user, cx, &order, before, &fill, out),
    }
}

/// Whose funding it is: that of what was open when it was settled. A position may have been closed before its last funding was
/// told, and another one opened since (CASES.md F1).
fn funded_position(user: &User, account: u8, symbol: Symbol, venue_at: Timestamp) -> Option<&Position> {
    let is_it = |p: &&Position| p.account == account && p.symbol == symbol && p.was_open_at(venue_at);
    let open = user.position_on(account, symbol);
    open.filter(is_it).or_else(|| user.closed_positions.iter().rev().find(is_it)).or(open)
}

/// Whether a venue that does not know this order has never got it. In the first seconds that is no proof (CASES.md, U8);
/// later the request is older than any venue takes it for valid (EXCHANGES.md, recvWindow), so it will never be executed.
fn was_never_received<M, C>(user: &User, cx: &Context<'_, M, C>, id: ClientOrderId) -> bool {
    user.order(id).is_some_and(|order| {
        order.state == OrderState::Unknown
            && cx.now.micros_since(order.decided_at) >= cx.rules.not_received_span
    })
}

fn accepted(user: &User, id: ClientOrderId, sent_at: Timestamp, out: &mut Vec<Event>) -> Reply {
    match user.order(id) {
        Some(order) if matches!(order.state, OrderState::Pending | OrderState::Unknown) => {
            out.push(Event::OrderAccepted { id, sent_at });
            Reply::Done
        }
        _ => Reply::Ignored,
    }
}

fn ended<M: MarketView, C: Calendar>(
    user: &User,
    cx: &Context<'_, M, C>,
    id: ClientOrderId,
    state: OrderState,
    reason: VenueReason,
    sent_at: Timestamp,
    out: &mut Vec<Event>,
) -> Reply {
    let Some(order) = user.order(id) else { return Reply::Ignored };
    if !matches!(state, OrderState::Rejected | OrderState::Cancelled | OrderState::Expired) {
        return Reply::Ignored;
    }
    out.push(Event::OrderEnded { id, state, reason, sent_at });
    let Some(position) = user.position(order.position, id.account.index) else { return Reply::Done };
    match id.leg {
        Leg::Entry if position.entry_quantity.is_zero() => {
            out.push(Event::EntryVoided { position: position.signal, account: position.account });
        }
        Leg::Entry => conclude(user, cx, position, Some(id), CloseReason::Signal, out),
        Leg::Stop | Leg::TakeProfit => protection_ended(user, cx, position, order, reason, out),
        // The next round of a close is sent by a timer, so that a venue that keeps refusing is not hammered.
        _ => {}
    }
    Reply::Done
}

/// A stop or take-profit is gone while its position is open.
fn protection_ended<M: MarketView, C: Calendar>(
    user: &User,
    cx: &Context<'_, M, C>,
    position: &Position,
    order: &Order,
    reason: VenueReason,
    out: &mut Vec<Event>,
) {
    if position.quantity.is_zero() || position.closing.is_some() || reason == VenueReason::PositionClosed {
        return;
    }
    let stop = order.new.id.leg == Leg::Stop;
    let hit = reason == VenueReason::WouldTrigger || order.fills > 0;
    let next = order.new.id.round + 1;
    if planted::planted!("ended_stop_left_alone") && !hit {
        return;
    }
    if hit {
        let why = if stop { CloseReason::StopLoss } else { CloseReason::TakeProfit };
        close::request(user, cx, position, close::forced(position, why), None, out);
    } else if next <= PROTECTION_ROUNDS {
        let id = ClientOrderId { round: next, ..order.new.id };
        out.push(Event::ProtectionIntended {
            order: NewOrder {
                id: if planted::planted!("new_stop_with_the_old_id") { order.new.id } else { id },
                quantity: position.quantity,
                ..order.new
            },
            position: position.signal,
            liquidation: position.liquidation,
        });
    } else if stop {
        close::request(user, cx, position, close::forced(position, CloseReason::Unprotected), None, out);
    }
}

/// Whether a fill can be one: positive, within the numbers we have, and its fee not above what was traded.
fn possible(fill: &Fill) -> Option<Money> {
    let notional = fill.price.notional(fill.quantity)?;
    let sane = fill.price.is_positive() && fill.quantity.is_positive() && fill.fee.abs() <= notional;
    (sane && notional.is_positive() && notional <= NOTIONAL_MAX).then_some(notional)
}

/// Whether the order can have this fill: an entry never fills beyond what was asked.
pub(super) fn order_has_room(order: &Order, fill: &Fill) -> bool {
    let Some(notional) = possible(fill) else { return false };
    let filled = order.filled.checked_add(fill.quantity);
    let within = order.new.id.leg != Leg::Entry || filled.is_some_and(|filled| filled <= order.new.quantity);
    within
        && filled.is_some()
        && order.notional.checked_add(notional).is_some()
        && order.fees.checked_add(fill.fee).is_some()
}

/// Whether the sums of the position and the wallet can take a fill of this size, whatever it realises.
pub(super) fn position_has_room(user: &User, position: &Position, fill: &Fill) -> bool {
    let Some(notional) = possible(fill) else { return false };
    let Some(most) =
        notional.checked_add(position.entry_cost).and_then(|most| most.checked_add(fill.fee.abs()))
    else {
        return false;
    };
    let takes = |sum: Money| sum.abs().checked_add(most).is_some();
    takes(position.realised) && takes(position.fees) && takes(user.wallet(position.account))
}

pub(super) fn filled<M: MarketView, C: Calendar>(
    user: &User,
    cx: &Context<'_, M, C>,
    id: ClientOrderId,
    fill: &Fill,
    last: bool,
    sent_at: Timestamp,
    out: &mut Vec<Event>,
) -> Reply {
    let Some(order) = user.order(id) else { return Reply::Ignored };
    if planted::planted!("fill_after_cancel_dropped") && order.cancelling {
        return Reply::Ignored;
    }
    // The next fill and no other: an earlier one is booked, and one after a gap is told again with those before it.
    let is_next = order.fills.checked_add(1) == Some(fill.number)
        || planted::planted!("fill_told_twice_is_booked_twice");
    if !is_next || !order_has_room(order, fill) {
        return Reply::Ignored;
    }
    let Some(position) = user.position(order.position, id.account.index) else { return Reply::Ignored };
    if !position_has_room(user, position, fill) {
        return Reply::Ignored;
    }
    day::current(user, cx, id.account.index, out);
    let mut after = *position;
    if id.leg == Leg::Entry {
        out.push(Event::Filled { id, fill: *fill, last, realised: Money::ZERO, sent_at });
        after.enter(fill, last, cx.now);
        if order.fills == 0 {
            protect(user, cx, &after, order.new.quantity, out);
        }
        let ended = last.then_some(id);
        conclude(user, cx, &after, ended, CloseReason::Signal, out);
        return Reply::Done;
    }
    // An exit is reduce-only: the venue never fills more than is open, and what it says beyond that is not ours.
    let quantity = fill.quantity.min(position.quantity);
    let realised = position.realise(fill.price, quantity).unwrap_or(Money::ZERO);
    out.push(Event::Filled { id, fill: *fill, last, realised, sent_at });
    after.exit(quantity, fill.fee, realised);
    after.state = PositionState::Closing;
    let reason = match id.leg {
        Leg::Stop => CloseReason::StopLoss,
        Leg::TakeProfit => CloseReason::TakeProfit,
        _ => position.closing.map_or(CloseReason::External, |c| c.reason),
    };
    conclude(user, cx, &after, last.then_some(id), reason, out);
    Reply::Done
}

/// Stop and take-profit for a position that has just got its first fill, from its real entry price. It is liquidated as one of
/// the whole `quantity` of its entry: less is liquidated later, not sooner.
fn protect<M: MarketView, C>(
    user: &User,
    cx: &Context<'_, M, C>,
    position: &Position,
    quantity: Quantity,
    out: &mut Vec<Event>,
) {
    let (mut stop, mut take_profit, mut liquidation) =
        (position.stop, position.take_profit, position.liquidation);
    // Without an instrument, or with an entry price beyond all numbers, what was planned at the mark protects all the same.
    if let (Some(entry), Some(instrument)) =
        (position.entry_price(), cx.instrument(user, position.account, position.symbol))
    {
        let distance =
            |adverse, percent| price_at_distance(entry, position.side, adverse, percent, instrument.tick);
        if !position.stop_multiplier.is_zero() {
            stop = distance(true, position.stop_multiplier).unwrap_or(stop);
        }
        if !position.take_profit_multiplier.is_zero() {
            take_profit = distance(false, position.take_profit_multiplier).unwrap_or(take_profit);
        }
        liquidation = liquidation_price(entry, quantity, position.side, position.leverage, instrument)
            .unwrap_or(liquidation);
    }
    for (leg, kind) in [
        (Leg::Stop, OrderKind::StopMarket(stop)),
        (Leg::TakeProfit, OrderKind::TakeProfitMarket(take_profit)),
    ] {
        out.push(Event::ProtectionIntended {
            order: NewOrder {
                id: order_id(position.signal, user.id, position.account, leg, 0),
                symbol: position.symbol,
                side: position.side.opposite(),
                kind,
                quantity: position.quantity,
                reduce_only: true,
                leverage: position.leverage,
            },
            position: position.signal,
            liquidation,
        });
    }
}

/// The books follow the wallet of a real venue: what is not explained by what was booked was moved at the venue.
fn wallet_told<M: MarketView, C: Calendar>(
    user: &User,
    cx: &Context<'_, M, C>,
    account: u8,
    wallet: Money,
    out: &mut Vec<Event>,
) -> Reply {
    let is_real = user.accounts.get(usize::from(account)).is_some_and(|a| a.venue != VenueKind::Paper);
    let Some(amount) = wallet.checked_sub(user.wallet(account)).filter(|amount| !amount.is_zero()) else {
        return Reply::Ignored;
    };
    if !is_real || wallet.abs() > NOTIONAL_MAX {
        return Reply::Ignored;
    }
    day::current(user, cx, account, out);
    out.push(Event::WalletMoved { account, amount });
    Reply::Done
}

/// The venue, or somebody else on the exchange account, closed (part of) a position.
fn closed_by_others<M: MarketView, C: Calendar>(
    user: &User,
    cx: &Context<'_, M, C>,
    account: u8,
    symbol: Symbol,
    fill: &Fill,
    reason: CloseReason,
    out: &mut Vec<Event>,
) -> Reply {
    let Some(position) = user.position_on(account, symbol) else { return Reply::Ignored };
    let booked = user.accounts.get(usize::from(account)).map_or(0, |a| a.venue_fills);
    let is_new = fill.number > booked || planted::planted!("liquidation_told_twice_is_booked_twice");
    if !is_new || position.quantity.is_zero() || !position_has_room(user, position, fill) {
        return Reply::Ignored;
    }
    day::current(user, cx, account, out);
    let quantity = fill.quantity.min(position.quantity);
    let realised = position.realise(fill.price, quantity).unwrap_or(Money::ZERO);
    let (position_id, fill_told) = (position.signal, *fill);
    out.push(if reason == CloseReason::Liquidation {
        Event::Liquidated { position: position_id, account, fill: fill_told, realised }
    } else {
        Event::ClosedOutside { position: position_id, account, fill: fill_told, realised }
    });
    let mut after = *position;
    after.exit(quantity, fill.fee, realised);
    after.state = PositionState::Closing;
    conclude(user, cx, &after, None, reason, out);
    Reply::Done
}

/// After a change of a position: when it is flat for good, its final account; when it is being closed, the next step.
pub(super) fn conclude<M: MarketView, C: Calendar>(
    user: &User,
    cx: &Context<'_, M, C>,
    position: &Position,
    ended: Option<ClientOrderId>,
    reason: CloseReason,
    out: &mut Vec<Event>,
) {
    if !position.quantity.is_zero() || position.entry_quantity.is_zero() {
        close::drive(user, cx, position, ended, out);
        return;
    }
    let of_position = |order: &&Order| {
        order.position == position.signal
            && order.new.id.account.index == position.account
            && Some(order.new.id) != ended
    };
    if let Some(entry) = user.orders.iter().filter(of_position).find(|o| o.new.id.leg == Leg::Entry) {
        // Flat, but the rest of the entry could still fill: take it back first and close what comes meanwhile.
        if position.closing.is_none() {
            close::request(user, cx, position, close::forced(position, reason), None, out);
        } else if !entry.cancelling {
            out.push(Event::CancelIntended { id: entry.new.id });
        }
        return;
    }
    for order in user.orders.iter().filter(of_position).filter(|o| !o.cancelling) {
        out.push(Event::CancelIntended { id: order.new.id });
    }
    let reason = match (reason, position.closing) {
        (CloseReason::Signal, Some(closing)) => closing.reason,
        (reason, _) => reason,
    };
    settle(user, cx, position, reason, out);
}

/// The final account of a position: net profit, losses carried forward, the profit share and where it is taken from.
fn settle<M, C>(
    user: &User,
    cx: &Context<'_, M, C>,
    position: &Position,
    reason: CloseReason,
    out: &mut Vec<Event>,
) {
    let currency = user
        .accounts
        .get(usize::from(position.account))
        .map_or(crate::core::ledger::Currency::Usdt, crate::core::user::ExchangeAccount::currency);
    let net = position.net();
    let carried =
        if planted::planted!("carried_loss_forgotten") { Money::ZERO } else { user.carried_loss(currency) };
    let (taxable, carried_loss) = if net.is_negative() {
        (Money::ZERO, carried.checked_add(net.abs()).unwrap_or(Money::MAX))
    } else if net > carried {
        (net.checked_sub(carried).unwrap_or(Money::ZERO), Money::ZERO)
    } else {
        (Money::ZERO, carried.checked_sub(net).unwrap_or(Money::ZERO))
    };
    let taxable = if planted::planted!("share_charged_on_losses") { net.abs() } else { taxable };
    let fee = taxable.times(position.share, Rounding::HalfEven).unwrap_or(Money::ZERO);
    let take = |account, wanted: Money| {
        let balance = user.ledger.balance(currency, account);
        if balance.is_positive() { balance.min(wanted) } else { Money::ZERO }
    };
    let credit = take(LedgerAccount::Credit, fee);
    let rest = fee.checked_sub(credit).unwrap_or(Money::ZERO);
    let real = take(LedgerAccount::Real, rest);
    let debt = rest.checked_sub(real).unwrap_or(Money::ZERO);
    out.push(Event::PositionClosed {
        position: position.signal,
        account: position.account,
        reason,
        net,
        charge: Charge { credit, real, debt },
        carried_loss,
        cooldown_until: if planted::planted!("cooldown_not_set") {
            Timestamp(0)
        } else {
            cx.now.plus_micros(cx.rules.cooldown)
        },
    });
}
