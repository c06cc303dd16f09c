//! A signal reaches a subscriber: the checks of DOMAIN.md §2 in their order, then the size, then the order.

use super::{Calendar, Context, close, day};
use crate::core::command::Reply;
use crate::core::event::Event;
use crate::core::fixed::{Money, Price, Quantity, Rate, Rounding, UNIT};
use crate::core::ids::{Leg, SignalId, Timestamp};
use crate::core::instrument::{Instrument, InstrumentStatus, MarketView};
use crate::core::order::{NewOrder, OrderKind, Side};
use crate::core::position::{
    CloseReason, Closing, Position, liquidation_price, margin_of, order_id, price_at_distance,
};
use crate::core::rules::{SECOND, Settings, Sizing};
use crate::core::signal::Signal;
use crate::core::user::{Skip, Subscription, User, VenueKind};

/// The share of the largest notional of a bracket that is used: 99 %. The exchange compares at its own price, which is a moment
/// later and may be higher than ours; it refuses what is too large and does not make it smaller.
const CAP_USED: Rate = Rate::from_units(99_000_000);

/// A close whose own time is this much older than a position was not meant for it: sender's clocks may lag.
const CLOSE_AGE_TOLERANCE: u64 = 5 * SECOND;

/// Decides for one subscriber. Each signal is decided once: a second offer of the same one changes nothing.
pub(super) fn offer<M: MarketView, C: Calendar>(
    user: &User,
    cx: &Context<'_, M, C>,
    signal: &Signal,
    superseded: bool,
    source_halted: bool,
    out: &mut Vec<Event>,
) -> Reply {
    let Some(subscription) = user.subscription(signal.id.source) else { return Reply::Ignored };
    let open = signal.kind.opens();
    let mark = if open.is_some() { subscription.last_open } else { subscription.last_close };
    if signal.id.number <= mark && !planted::planted!("signal_decided_again") {
        return Reply::Ignored;
    }
    let account = subscription.account;
    // A close covers an earlier open that still waits for a reversal.
    for waiting in user.reversals.iter().filter(|w| {
        w.id.source == signal.id.source
            && w.symbol == signal.symbol
            && w.id.number < signal.id.number
            && w.kind.opens().is_some_and(|side| signal.kind.closes(side))
    }) {
        let (signal, until) = (waiting.id, Timestamp(0));
        out.push(Event::Skipped { signal, account, open: true, reason: Skip::Superseded, until });
    }
    let result = match open {
        Some(_) if superseded && !planted::planted!("superseded_open_executed") => {
            Err((Skip::Superseded, Timestamp(0)))
        }
        Some(side) => decide_open(user, cx, subscription, signal, side, source_halted, false, out),
        None => close::by_signal(user, cx, signal, CLOSE_AGE_TOLERANCE, out)
            .map_err(|reason| (reason, Timestamp(0))),
    };
    conclude(signal.id, account, open.is_some(), result, out)
}

/// Decides on an open that waited for the opposite position to be flat.
pub(super) fn reconsider<M: MarketView, C: Calendar>(
    user: &User,
    cx: &Context<'_, M, C>,
    signal: SignalId,
    out: &mut Vec<Event>,
) -> Reply {
    let Some(signal) = user.reversals.iter().find(|s| s.id == signal) else { return Reply::Ignored };
    let Some(subscription) = user.subscription(signal.id.source) else { return Reply::Ignored };
    let account = subscription.account;
    if user.position_on(account, signal.symbol).is_some_and(|p| p.closing.is_some()) {
        return Reply::Ignored;
    }
    let side = signal.kind.opens().expect("only opens wait for a reversal");
    let result = decide_open(user, cx, subscription, signal, side, false, true, out);
    conclude(signal.id, account, true, result, out)
}

fn conclude(
    signal: SignalId,
    account: u8,
    open: bool,
    result: Result<(), (Skip, Timestamp)>,
    out: &mut Vec<Event>,
) -> Reply {
    match result {
        Ok(()) => Reply::Intended,
        Err((reason, until)) => {
            out.push(Event::Skipped { signal, account, open, reason, until });
            Reply::Skipped
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "one decision with all it depends on, called from two places")]
fn decide_open<M: MarketView, C: Calendar>(
    user: &User,
    cx: &Context<'_, M, C>,
    subscription: &Subscription,
    signal: &Signal,
    side: Side,
    source_halted: bool,
    after_reversal: bool,
    out: &mut Vec<Event>,
) -> Result<(), (Skip, Timestamp)> {
    let never = |reason| (reason, Timestamp(0));
    if cx.now > signal.expires_at && !planted::planted!("expired_signal_executed") {
        return Err(never(Skip::Expired));
    }
    let account = subscription.account;
    check_standing(user, cx, subscription, source_halted).map_err(never)?;
    let settings = &subscription.settings;
    if !settings.symbols.is_empty() && !settings.symbols.contains(&signal.symbol) {
        return Err(never(Skip::SymbolNotAllowed));
    }
    let instrument = cx
        .instrument(user, account, signal.symbol)
        .filter(|i| i.status == InstrumentStatus::Trading)
        .ok_or(never(Skip::SymbolNotTrading))?;
    if let Some(position) = user.position_on(account, signal.symbol) {
        // A reversal closes once: what opened meanwhile is not its to close, and its close order has its one id.
        if position.side != side && settings.reverse && position.closing.is_none() && !after_reversal {
            reverse(user, cx, position, signal, out);
            if !planted::planted!("reversal_opens_before_flat") {
                return Ok(());
            }
        } else {
            return Err(never(Skip::PositionOpen));
        }
    }
    let positions_max = cx.rules.positions_max + usize::from(planted::planted!("one_position_too_many"));
    if user.positions.iter().filter(|p| p.account == account).count() >= positions_max {
        return Err(never(Skip::PositionsMax));
    }
    let cooling =
        |(a, s, until): &(u8, _, Timestamp)| *a == account && *s == signal.symbol && *until > cx.now;
    if !after_reversal && user.cooldowns.iter().any(cooling) {
        return Err(never(Skip::Cooldown));
    }
    check_daily_loss(user, cx, account, out)?;
    if !user.available(account).is_positive() {
        return Err(never(Skip::InsufficientMargin));
    }
    let mark = cx.quote(user, account, signal.symbol).ok_or(never(Skip::MarketReadingStale))?.mark;
    let plan = plan(user, cx, settings, signal, side, account, instrument, mark).map_err(never)?;
    let id = order_id(signal.id, user.id, account, Leg::Entry, 0);
    let share = share_of(user, cx);
    out.push(Event::EntryIntended {
        order: NewOrder {
            id,
            symbol: signal.symbol,
            side,
            kind: OrderKind::Market,
            quantity: plan.quantity,
            reduce_only: false,
            leverage: plan.leverage,
        },
        mark,
        stop: plan.stop,
        take_profit: plan.take_profit,
        stop_multiplier: plan.stop_multiplier,
        take_profit_multiplier: plan.take_profit_multiplier,
        liquidation: plan.liquidation,
        reserved: plan.margin,
        share,
        rules: cx.rules.version,
    });
    Ok(())
}

/// The user's and the account's standing: the checks up to the plan.
fn check_standing<M, C>(
    user: &User,
    cx: &Context<'_, M, C>,
    subscription: &Subscription,
    source_halted: bool,
) -> Result<(), Skip> {
    if !user.active {
        return Err(Skip::UserInactive);
    }
    if !subscription.active {
        return Err(Skip::NotSubscribed);
    }
    let account = user.accounts.get(usize::from(subscription.account)).ok_or(Skip::AccountDisabled)?;
    if !account.enabled {
        return Err(Skip::AccountDisabled);
    }
    let place = account.place();
    if place.venue != VenueKind::Paper && !cx.rules.live.has(place.venue, place.environment) {
        return Err(Skip::VenueUnavailable);
    }
    if !account.key_state_at(cx.now).is_good() {
        return Err(Skip::KeyUnhealthy);
    }
    if user.halted {
        return Err(Skip::HaltedUser);
    }
    if source_halted {
        return Err(Skip::HaltedSource);
    }
    if cx.rules.halted {
        return Err(Skip::HaltedGlobal);
    }
    if user.debt(account.currency()).is_positive() {
        return Err(Skip::Debt);
    }
    // A user without plan and balance trades testnet or paper only (DOMAIN.md §2), so those need neither.
    if place.has_real_money() && user.trial_ends_at < cx.now && user.plan_ends_at < cx.now {
        return Err(Skip::Plan);
    }
    Ok(())
}

fn share_of<M, C>(user: &User, cx: &Context<'_, M, C>) -> Rate {
    if user.plan_ends_at >= cx.now { cx.rules.share_monthly } else { cx.rules.share_prepaid }
}

/// Refuses when the day's loss reached the limit, and latches until the day ends.
fn check_daily_loss<M: MarketView, C: Calendar>(
    user: &User,
    cx: &Context<'_, M, C>,
    account: u8,
    out: &mut Vec<Event>,
) -> Result<(), (Skip, Timestamp)> {
    // A loss that cannot be measured counts as one that is too large.
    let unmeasured = |p: &Position| {
        p.account == account && !p.quantity.is_zero() && cx.quote(user, account, p.symbol).is_none()
    };
    if user.positions.iter().any(unmeasured) {
        return Err((Skip::MarketReadingStale, Timestamp(0)));
    }
    let (day_ends_at, day_equity) = day::current(user, cx, account, out);
    let latch = user.accounts.get(usize::from(account)).map_or(Timestamp(0), |a| a.loss_latch_until);
    if latch > cx.now || (planted::planted!("daily_loss_latch_never_ends") && latch > Timestamp(0)) {
        return Err((Skip::DailyLoss, latch));
    }
    let loss = day_equity.checked_sub(day::equity(user, account, cx.market)).unwrap_or(Money::ZERO);
    let limit = day_equity.times(cx.rules.daily_loss_max, Rounding::Floor).unwrap_or(Money::ZERO);
    if loss.is_positive() && loss >= limit {
        return Err((Skip::DailyLoss, day_ends_at));
    }
    Ok(())
}

fn reverse<M: MarketView, C: Calendar>(
    user: &User,
    cx: &Context<'_, M, C>,
    position: &Position,
    signal: &Signal,
    out: &mut Vec<Event>,
) {
    let closing =
        Closing { reason: CloseReason::Reversal, leg: Leg::ReversalClose, signal: signal.id, round: 0 };
    close::request(user, cx, position, closing, Some(Box::new(*signal)), out);
}

struct Plan {
    quantity: Quantity,
    leverage: u8,
    margin: Money,
    stop: Price,
    take_profit: Price,
    stop_multiplier: Rate,
    take_profit_multiplier: Rate,
    liquidation: Price,
}

/// Size and protection. The chain of clamps of DOMAIN.md §2, each exact: amounts are rounded down, margins up.
#[expect(clippy::too_many_arguments, reason = "the inputs of the sizing rule")]
fn plan<M: MarketView, C>(
    user: &User,
    cx: &Context<'_, M, C>,
    settings: &Settings,
    signal: &Signal,
    side: Side,
    account: u8,
    instrument: &Instrument,
    mark: Price,
) -> Result<Plan, Skip> {
    let leverage = settings.leverage_of(signal.leverage, cx.rules).min(instrument.leverage_max).max(1);
    let levels = protect(settings, signal, side, leverage, instrument, mark)?;

    let available = user.available(account);
    let times = |margin: Money| margin.scaled(i64::from(leverage), 1, Rounding::Floor).unwrap_or(Money::MAX);
    let wanted = match settings.sizing {
        Sizing::PercentOfBalance(share) => {
            times(user.wallet(account).times(share, Rounding::Floor).unwrap_or(Money::ZERO))
        }
        Sizing::FixedMargin(margin) => times(margin),
        Sizing::FixedNotional(notional) => notional,
        Sizing::RiskToStop(risk) => {
            let distance = mark.checked_sub(levels.stop).unwrap_or(Price::MAX).abs();
            risk.scaled(mark.units(), distance.units().max(1), Rounding::Floor).unwrap_or(Money::MAX)
        }
    };
    let mut notional = settings.trade_max.map_or(wanted, |max| wanted.min(max));
    if let Some(max) = settings.exposure_max.filter(|_| !planted::planted!("exposure_not_clamped")) {
        let open = exposure(user.positions.iter().filter(|p| p.account == account));
        notional = notional.min(Money::from_units(max.units().saturating_sub(open)));
    }
    // The leverage stays what it is: more of it would mean a smaller cap, and less of it is not what the user chose.
    let cap = instrument.brackets.cap_at(leverage);
    if let Some(cap) = cap.filter(|_| !planted::planted!("bracket_cap_ignored")) {
        // The account holds nothing of the symbol yet: an open is refused beside a position.
        notional = notional.min(cap.times(CAP_USED, Rounding::Floor).unwrap_or(Money::ZERO));
    }
    // Available margin less the fees of entry and exit: notional/leverage + 2·fee·notional ≤ available.
    let factor = UNIT.saturating_add(2 * instrument.fee_taker.units() * i64::from(leverage));
    let affordable = times(available).scaled(UNIT, factor, Rounding::Floor).unwrap_or(Money::ZERO);
    notional = notional.min(affordable);
    if !notional.is_positive() {
        return Err(Skip::BelowMinimum);
    }
    // More than a quantity can say is more than the exchange takes.
    let quantity = notional.quantity_at(mark, Rounding::Floor).unwrap_or(Quantity::MAX);
    let quantity = quantity.min(instrument.quantity_max_market);
    let quantity = if planted::planted!("open_rounded_up") {
        quantity.ceil_to(instrument.step)
    } else {
        quantity.floor_to(instrument.step)
    };
    let cost = mark.notional(quantity).ok_or(Skip::BelowMinimum)?;
    if quantity < instrument.quantity_min || quantity.is_zero() || cost < instrument.notional_min {
        return Err(Skip::BelowMinimum);
    }
    let liquidation =
        liquidation_price(mark, quantity, side, leverage, instrument).ok_or(Skip::ProtectionInvalid)?;
    let beyond = match side {
        Side::Buy => levels.stop <= liquidation,
        Side::Sell => levels.stop >= liquidation,
    };
    if beyond {
        return Err(Skip::StopBeyondLiquidation);
    }
    Ok(Plan { quantity, margin: margin_of(cost, leverage), liquidation, ..levels })
}

/// Notional of what is open and of what is still to be filled, in units.
fn exposure<'a>(positions: impl Iterator<Item = &'a Position>) -> i64 {
    positions.fold(0, |sum, p| {
        let reserved = p.reserved.scaled(i64::from(p.leverage), 1, Rounding::Floor).unwrap_or(Money::MAX);
        sum.saturating_add(p.entry_cost.units()).saturating_add(reserved.units())
    })
}

/// Stop and target at the mark. A plan without a size, and so without a liquidation price.
fn protect(
    settings: &Settings,
    signal: &Signal,
    side: Side,
    leverage: u8,
    instrument: &Instrument,
    mark: Price,
) -> Result<Plan, Skip> {
    let distance = |adverse, percent| price_at_distance(mark, side, adverse, percent, instrument.tick);
    // Both towards the price, like computed ones: a stop is never further away than asked.
    let up = |price: Price| price.ceil_to(instrument.tick);
    let down = |price: Price| price.floor_to(instrument.tick);
    let long = side == Side::Buy;
    let (stop, stop_multiplier) = match signal.stop_loss {
        Some(price) => (if long { up(price) } else { down(price) }, Rate::ZERO),
        None => {
            let percent = settings.stop_multiplier;
            (distance(true, percent).ok_or(Skip::ProtectionInvalid)?, percent)
        }
    };
    let (take_profit, take_profit_multiplier) = match signal.take_profit {
        Some(price) => (if long { down(price) } else { up(price) }, Rate::ZERO),
        None => {
            let percent = settings.take_profit_multiplier;
            (distance(false, percent).ok_or(Skip::ProtectionInvalid)?, percent)
        }
    };
    let ordered = match side {
        Side::Buy => stop < mark && mark < take_profit && stop.is_positive(),
        Side::Sell => take_profit < mark && mark < stop && take_profit.is_positive(),
    };
    if !ordered {
        return Err(Skip::ProtectionInvalid);
    }
    Ok(Plan {
        quantity: Quantity::ZERO,
        leverage,
        margin: Money::ZERO,
        stop,
        take_profit,
        stop_multiplier,
        take_profit_multiplier,
        liquidation: Price::ZERO,
    })
}
