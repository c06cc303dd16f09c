//! The user's day: where it begins for the daily loss limit.

use super::{Calendar, Context};
use crate::core::event::Event;
use crate::core::fixed::Money;
use crate::core::ids::Timestamp;
use crate::core::instrument::MarketView;
use crate::core::user::User;

/// Equity of an account: its wallet and the unrealised profit of its positions at the newest marks.
pub(super) fn equity<M: MarketView>(user: &User, account: u8, market: &M) -> Money {
    let Some(venue) = user.accounts.get(usize::from(account)) else { return Money::ZERO };
    user.positions.iter().filter(|p| p.account == account && !p.quantity.is_zero()).fold(
        user.wallet(account),
        |sum, position| {
            let unrealised =
                market.quote_for(venue, position.symbol).map_or(Money::ZERO, |q| position.unrealised(q.mark));
            sum.checked_add(unrealised).unwrap_or(sum)
        },
    )
}

/// The end of the account's day and the equity it began with. When a new day began since the last look, this is the
/// first look: it is put on record before anything of this decision moves the wallet. A zone that is not known (any
/// more) counts as UTC.
pub(super) fn current<M: MarketView, C: Calendar>(
    user: &User,
    cx: &Context<'_, M, C>,
    account: u8,
    out: &mut Vec<Event>,
) -> (Timestamp, Money) {
    let Some(record) = user.accounts.get(usize::from(account)) else { return (cx.now, Money::ZERO) };
    if cx.now < record.day_ends_at {
        return (record.day_ends_at, record.day_equity);
    }
    let ends_at = cx
        .calendar
        .day_end(&user.zone, cx.now)
        .or_else(|| cx.calendar.day_end("UTC", cx.now))
        .unwrap_or_else(|| cx.now.plus_micros(24 * 60 * crate::core::rules::MINUTE));
    let equity = equity(user, account, cx.market);
    out.push(Event::DayOpened { account, ends_at, equity });
    (ends_at, equity)
}
