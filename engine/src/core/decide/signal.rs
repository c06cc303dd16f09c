//! A source accepts a signal, once.

use super::Context;
use crate::core::command::{Refusal, Reply, SignalDraft};
use crate::core::event::Event;
use crate::core::ids::{SignalId, SourceId, Timestamp};
use crate::core::instrument::MarketView;
use crate::core::rules::SECOND;
use crate::core::signal::{FanOutCounts, Signal};
use crate::core::user::{DEDUP_MAX, SIGNALS_MAX, Source, User};

/// A source takes no further opens while this many of its signals are still being worked; closes coalesce.
const WORKING_MAX: usize = SIGNALS_MAX / 2;

pub(super) fn accept<M: MarketView, C>(
    user: &User,
    cx: &Context<'_, M, C>,
    id: SourceId,
    draft: &SignalDraft,
    out: &mut Vec<Event>,
) -> Result<Reply, Refusal> {
    let source = user.sources.get(usize::from(id.index)).ok_or(Refusal::UnknownSource)?;
    let seen = if planted::planted!("repeat_key_without_source") {
        user.sources.iter().find_map(|source| source.seen.get(&draft.key))
    } else {
        source.seen.get(&draft.key)
    };
    if let Some(seen) = seen
        && cx.now <= seen.until
    {
        return Ok(Reply::Signal { id: SignalId { source: id, number: seen.number }, repeat: true });
    }
    let open = draft.kind.opens().is_some();
    if cx.market.instrument(draft.symbol).is_none() {
        if cx.market.is_complete() {
            return Err(Refusal::UnknownSymbol);
        }
        // The exchanges' lists are being read. A close is never refused for that; an open is wanted again in a moment.
        if open {
            return Err(Refusal::ListsIncomplete);
        }
    }
    if planted::planted!("close_held_by_rate_limit") && !open {
        limit_opens(source, cx)?;
    }
    let mut expired = false;
    let key_until =
        if draft.key_is_lasting { Timestamp(u64::MAX) } else { cx.now.plus_micros(cx.rules.repeat_span) };
    if open {
        if let Some(at) = draft.at {
            if at > cx.now.plus_micros(cx.rules.signal_skew_max) {
                return Err(Refusal::SignalFromFuture);
            }
            expired = cx.now > at.plus_micros(cx.rules.signal_age_max);
        }
        limit_opens(source, cx)?;
    } else if let Some(number) = same_close_at_work(source, draft) {
        out.push(Event::SignalMerged { source: id.index, number, key: draft.key, key_until });
        return Ok(Reply::Signal { id: SignalId { source: id, number }, repeat: true });
    }
    let number = source.accepted.checked_add(1).ok_or(Refusal::LimitReached("signals"))?;
    let signal = Signal {
        id: SignalId { source: id, number },
        kind: draft.kind,
        symbol: draft.symbol,
        price: draft.price,
        leverage: draft.leverage,
        stop_loss: draft.stop_loss,
        take_profit: draft.take_profit,
        signal_at: draft.at,
        accepted_at: cx.now,
        expires_at: if expired { cx.now } else { cx.now.plus_micros(cx.rules.fan_out_span) },
    };
    let window_start = if cx.now < source.window_start.plus_micros(cx.rules.source_window) {
        source.window_start
    } else {
        cx.now
    };
    let body = draft.body.clone();
    out.push(Event::SignalAccepted { signal, key: draft.key, key_until, window_start, body });
    if expired {
        out.push(Event::SignalFinished { source: id.index, number, counts: FanOutCounts::default() });
        return Ok(Reply::SignalExpired { id: signal.id });
    }
    Ok(Reply::Signal { id: signal.id, repeat: false })
}

fn limit_opens<M, C>(source: &Source, cx: &Context<'_, M, C>) -> Result<(), Refusal> {
    let window_ends = source.window_start.plus_micros(cx.rules.source_window);
    if cx.now < window_ends && source.window_opens >= cx.rules.source_opens_max {
        let retry_after = window_ends.micros_since(cx.now).div_ceil(SECOND);
        return Err(Refusal::RateLimited { retry_after: u32::try_from(retry_after).unwrap_or(u32::MAX) });
    }
    let oldest = source.seen_order.front().and_then(|key| source.seen.get(key));
    let dedup_full = source.seen_order.len() >= DEDUP_MAX
        && oldest.is_some_and(|seen| cx.now.micros_since(seen.at) < cx.rules.repeat_kept_min);
    if source.working.len() >= WORKING_MAX || dedup_full {
        return Err(Refusal::RateLimited { retry_after: 1 });
    }
    Ok(())
}

/// A close of the same kind and symbol that is still being worked, with no open of that symbol after it: a second one
/// would find nothing more. This is what bounds the closes of a source.
fn same_close_at_work(source: &Source, draft: &SignalDraft) -> Option<u32> {
    source
        .signals
        .iter()
        .rev()
        .take_while(|s| !(s.signal.symbol == draft.symbol && s.signal.kind.opens().is_some()))
        .find(|s| s.finished.is_none() && s.signal.kind == draft.kind && s.signal.symbol == draft.symbol)
        .map(|s| s.signal.id.number)
}

pub(super) fn finish(
    user: &User,
    signal: SignalId,
    counts: FanOutCounts,
    out: &mut Vec<Event>,
) -> Result<Reply, Refusal> {
    let source = user.sources.get(usize::from(signal.source.index)).ok_or(Refusal::UnknownSource)?;
    if !source.working.contains(&signal.number) && !planted::planted!("finish_told_twice") {
        return Ok(Reply::Ignored);
    }
    out.push(Event::SignalFinished { source: signal.source.index, number: signal.number, counts });
    Ok(Reply::Done)
}
