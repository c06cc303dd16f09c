//! What a source does with a signal: accept it once, answer its repeats, cover opens by later closes, finish it.

use engine::core::command::{Refusal, Reply, SignalDraft};
use engine::core::ids::{SignalId, SourceId, Timestamp};
use engine::core::order::Side;
use engine::core::signal::{FanOutCounts, Signal, SignalKind};

use super::Turn;
use super::user::{Accepted, BODY, KEYS, Key, SIGNALS, Source};

/// Opens are refused while this many signals of the source are at work.
const AT_WORK: usize = 128;

/// The side a kind opens.
pub(super) fn side_opened(kind: SignalKind) -> Option<Side> {
    match kind {
        SignalKind::OpenLong { .. } => Some(Side::Buy),
        SignalKind::OpenShort { .. } => Some(Side::Sell),
        SignalKind::CloseLong | SignalKind::CloseShort | SignalKind::CloseAll => None,
    }
}

/// Whether a kind closes what is open on a side.
pub(super) fn closes_side(kind: SignalKind, side: Side) -> bool {
    match kind {
        SignalKind::CloseAll => true,
        SignalKind::CloseLong => side == Side::Buy,
        SignalKind::CloseShort => side == Side::Sell,
        SignalKind::OpenLong { .. } | SignalKind::OpenShort { .. } => false,
    }
}

/// Whether a close covers an open.
pub(super) fn covers(close: SignalKind, open: SignalKind) -> bool {
    side_opened(open).is_some_and(|side| closes_side(close, side))
}

/// The longest beginning of a body that is kept, in whole characters.
fn beginning(body: &str) -> String {
    let mut kept = String::new();
    for c in body.chars() {
        if kept.len() + c.len_utf8() > BODY {
            break;
        }
        kept.push(c);
    }
    kept
}

impl Source {
    /// A key that was heard of before keeps its place; beyond the bound the first heard of is forgotten.
    fn remember(&mut self, key: Key) {
        if self.keys.len() >= KEYS {
            self.keys.remove(0);
        }
        match self.keys.iter().position(|known| known.key == key.key) {
            Some(at) => self.keys[at] = key,
            None => self.keys.push(key),
        }
    }

    fn at_work(&self) -> usize {
        self.signals.iter().filter(|s| s.finished.is_none()).count()
    }

    /// The newest close of this kind on the symbol that is still at work and has no open of the symbol after it.
    fn same_close(&self, draft: &SignalDraft) -> Option<u32> {
        let of_symbol = || self.signals.iter().filter(|s| s.signal.symbol == draft.symbol);
        let opens = of_symbol().filter(|s| side_opened(s.signal.kind).is_some());
        let last_open = opens.map(|s| s.signal.id.number).max().unwrap_or(0);
        of_symbol()
            .filter(|s| s.signal.kind == draft.kind && s.finished.is_none())
            .map(|s| s.signal.id.number)
            .filter(|number| *number > last_open)
            .max()
    }
}

impl Turn<'_> {
    pub(super) fn accept_signal(&mut self, id: SourceId, draft: &SignalDraft) -> Result<Reply, Refusal> {
        let (now, rules) = (self.now, self.rules);
        let symbol_known = self.market.instrument(draft.symbol).is_some();
        let source = self.user.sources.get_mut(usize::from(id.index)).ok_or(Refusal::UnknownSource)?;
        let signal_id = |number| SignalId { source: id, number };
        if let Some(known) = source.keys.iter().find(|known| known.key == draft.key && now <= known.until) {
            return Ok(Reply::Signal { id: signal_id(known.number), repeat: true });
        }
        // While lists are being read nobody knows; a close goes through all the same.
        if !symbol_known && self.market.is_complete() {
            return Err(Refusal::UnknownSymbol);
        }
        if !symbol_known && side_opened(draft.kind).is_some() {
            return Err(Refusal::ListsIncomplete);
        }
        let until = if draft.key_is_lasting { u64::MAX } else { now.saturating_add(rules.repeat_span) };
        let open = side_opened(draft.kind).is_some();
        let mut expired = false;
        let in_window = now < source.window_start.saturating_add(rules.source_window);
        if open {
            if let Some(Timestamp(at)) = draft.at {
                if at > now.saturating_add(rules.signal_skew_max) {
                    return Err(Refusal::SignalFromFuture);
                }
                expired = now > at.saturating_add(rules.signal_age_max);
            }
            if in_window && source.window_opens >= rules.source_opens_max {
                let left = source.window_start + rules.source_window - now;
                let retry_after = u32::try_from(left.div_ceil(1_000_000)).unwrap_or(u32::MAX);
                return Err(Refusal::RateLimited { retry_after });
            }
            let too_young = |key: &Key| now.saturating_sub(key.at) < rules.repeat_kept_min;
            let keys_full = source.keys.len() >= KEYS && source.keys.first().is_some_and(too_young);
            if keys_full || source.at_work() >= AT_WORK {
                return Err(Refusal::RateLimited { retry_after: 1 });
            }
        } else if let Some(number) = source.same_close(draft) {
            source.remember(Key { key: draft.key, number, at: now, until });
            self.changed = true;
            return Ok(Reply::Signal { id: signal_id(number), repeat: true });
        }
        source.accepted += 1;
        let number = source.accepted;
        if open {
            if !in_window {
                source.window_start = now;
                source.window_opens = 0;
            }
            source.window_opens += 1;
        }
        let covered = |s: &&mut Accepted| {
            s.finished.is_none()
                && s.covered_by.is_none()
                && s.signal.symbol == draft.symbol
                && covers(draft.kind, s.signal.kind)
        };
        source.signals.iter_mut().filter(covered).for_each(|s| s.covered_by = Some(number));
        if source.signals.len() >= SIGNALS
            && let Some(oldest) = source.signals.iter().position(|s| s.finished.is_some())
        {
            source.signals.remove(oldest);
        }
        let expires_at = Timestamp(if expired { now } else { now.saturating_add(rules.fan_out_span) });
        source.signals.push(Accepted {
            signal: Signal {
                id: signal_id(number),
                kind: draft.kind,
                symbol: draft.symbol,
                price: draft.price,
                leverage: draft.leverage,
                stop_loss: draft.stop_loss,
                take_profit: draft.take_profit,
                signal_at: draft.at,
                accepted_at: Timestamp(now),
                expires_at,
            },
            body: beginning(&draft.body),
            covered_by: None,
            // What came too late is on record and finished at once: nobody is offered it.
            finished: expired.then(|| (FanOutCounts::default(), now)),
        });
        source.remember(Key { key: draft.key, number, at: now, until });
        self.changed = true;
        if expired {
            return Ok(Reply::SignalExpired { id: signal_id(number) });
        }
        Ok(Reply::Signal { id: signal_id(number), repeat: false })
    }

    pub(super) fn finish_signal(&mut self, id: SignalId, counts: FanOutCounts) -> Result<Reply, Refusal> {
        let source = self.user.sources.get_mut(usize::from(id.source.index)).ok_or(Refusal::UnknownSource)?;
        let at_work = |s: &&mut Accepted| s.signal.id.number == id.number && s.finished.is_none();
        let Some(signal) = source.signals.iter_mut().find(at_work) else { return Ok(Reply::Ignored) };
        signal.finished = Some((counts, self.now));
        self.changed = true;
        Ok(Reply::Done)
    }
}
