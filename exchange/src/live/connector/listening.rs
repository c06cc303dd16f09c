//! Listen keys (Binance): which private stream carries which account's.
//!
//! **Invariants**: a key is on one stream that counts for its account. One that comes alone gets a stream of its own at once; when
//! there are [`STREAMS_ALIKE`] streams of its size or less, one that carries the keys of all takes their place, and the old ones tell
//! until it does. So n accounts that come one by one have at most some 2 n / [`KEYS_PER_SOCKET`] streams and a dozen more, and an account
//! moves a few times in its life: each move has it compared, which costs the address more than the connection.
//! **Never**: opens a stream for a key that its account's stream carries.

use std::collections::BTreeSet;

use engine::core::ids::Timestamp;
use planted::planted;

use super::account::Slot;
use super::limits::{KEYS_PER_SOCKET, KEYS_SPAN, LISTEN_KEY_SPAN, STREAMS_ALIKE};
use super::outgoing::SocketId;
use super::placing::Ended;
use super::queue::{Timer, Why};
use super::streams::{Kind, Phase};
use super::{Connector, Shape};
use crate::live::pacing::Purpose;
use crate::live::protocol::{Answer, Ask, FailureKind};

impl<P: Shape> Connector<P> {
    /// An account has its listen key: it goes onto a private stream, unless it is on one.
    fn listen_key(&mut self, now: Timestamp, slot: Slot, key: String) {
        if key.is_empty() || self.account(slot).credential.is_none() {
            return;
        }
        self.account_mut(slot).listen_key.clone_from(&key);
        if !planted!("listen_key_not_kept") {
            self.queue.set(now.plus_micros(LISTEN_KEY_SPAN), Timer::KeepKey(slot));
        }
        if self.carries(slot, &key) && !planted!("kept_key_gets_a_second_stream") {
            return;
        }
        if self.collected.is_empty() {
            self.queue.set(now.plus_micros(KEYS_SPAN), Timer::OpenStreams);
        }
        self.collected.retain(|(_, of)| *of != slot);
        self.collected.push((key, slot));
    }

    /// Whether the stream of an account is there with this key, or on its way.
    fn carries(&self, slot: Slot, key: &str) -> bool {
        let socket = self.account(slot).private.and_then(|socket| self.sockets.get(&socket));
        socket.is_some_and(|s| {
            s.phase != Phase::Ending && s.keys.iter().any(|(of, whose)| *whose == slot && of == key)
        })
    }

    /// Opens private streams for the listen keys that were collected.
    pub(super) fn open_streams(&mut self) {
        let mut collected = std::mem::take(&mut self.collected);
        // Not those of a key that was taken away meanwhile.
        collected.retain(|(key, slot)| self.account(*slot).listen_key == *key);
        for (_, slot) in &collected {
            if let Some(old) = self.account(*slot).private {
                // It carries a key that is no more.
                self.stream_gone(*slot);
                self.leave_stream(old, *slot);
            }
        }
        let mut batches = collected.chunks_exact(KEYS_PER_SOCKET);
        for keys in batches.by_ref() {
            self.open_stream(keys.to_vec(), Vec::new());
        }
        let mut keys = batches.remainder().to_vec();
        if !keys.is_empty() {
            let joined = self.to_be_joined(keys.len());
            for old in &joined {
                let there = self.sockets.get(old).map(|s| s.keys.clone()).unwrap_or_default();
                keys.extend(there.into_iter().filter(|(_, slot)| self.account(*slot).private == Some(*old)));
            }
            self.open_stream(keys, joined);
        }
    }

    fn open_stream(&mut self, keys: Vec<(String, Slot)>, succeeds: Vec<SocketId>) {
        let socket = self.open(Kind::Private, None);
        for (_, slot) in &keys {
            let account = self.account_mut(*slot);
            account.private = account.private.or(Some(socket));
        }
        if let Some(known) = self.sockets.get_mut(&socket) {
            (known.keys, known.succeeds) = (keys, succeeds);
        }
    }

    /// The streams that one for so many keys takes the place of: those that are no larger, if there are enough of them or they fill it;
    /// and those that are no larger than all of that.
    fn to_be_joined(&self, mut count: usize) -> Vec<SocketId> {
        let mut joined = Vec::new();
        if planted!("listen_keys_that_come_alone_stay_alone") {
            return joined;
        }
        let leaving: BTreeSet<SocketId> =
            self.sockets.values().flat_map(|s| s.succeeds.iter().copied()).collect();
        let mut with_room: Vec<(usize, SocketId)> = self
            .sockets
            .iter()
            .filter(|(id, s)| s.kind == Kind::Private && s.is_ready() && !leaving.contains(id))
            .filter(|(_, s)| (1..KEYS_PER_SOCKET).contains(&s.keys.len()))
            .map(|(id, s)| (s.keys.len(), *id))
            .collect();
        with_room.sort_unstable();
        loop {
            let alike = with_room.iter().take_while(|(keys, _)| *keys <= count).count();
            let (mut sum, mut taken) = (count, 0);
            while taken < alike && sum + with_room[taken].0 <= KEYS_PER_SOCKET {
                sum += with_room[taken].0;
                taken += 1;
            }
            let is_full = taken < alike || sum == KEYS_PER_SOCKET;
            if taken == 0 || (taken + 1 < STREAMS_ALIKE && !is_full) {
                return joined;
            }
            joined.extend(with_room.drain(..taken).map(|(_, socket)| socket));
            count = sum;
        }
    }

    /// An account is not on this stream any more. One that carries nobody ends.
    pub(super) fn leave_stream(&mut self, socket: SocketId, slot: Slot) {
        let Some(known) = self.sockets.get_mut(&socket).filter(|s| s.phase != Phase::Ending) else { return };
        known.keys.retain(|(_, of)| *of != slot);
        if known.keys.is_empty() && known.slot.is_none() && known.kind == Kind::Private {
            self.close(socket);
        }
    }

    /// Private streams that are open or being opened. For checks.
    #[must_use]
    pub fn private_streams(&self) -> usize {
        self.sockets.values().filter(|s| s.kind == Kind::Private && s.phase != Phase::Ending).count()
    }

    pub(super) fn keep_key(&mut self, now: Timestamp, slot: Slot) {
        let account = self.account(slot);
        if account.credential.is_some() && !account.listen_key.is_empty() {
            self.ask(Some(slot), Ask::KeepListenKey, Why::KeepKey, Purpose::Reconcile);
            self.queue.set(now.plus_micros(LISTEN_KEY_SPAN), Timer::KeepKey(slot));
        }
    }

    /// What came of opening or keeping a listen key.
    pub(super) fn key_done(&mut self, now: Timestamp, slot: Slot, why: &Why, end: Ended) {
        match (why, end) {
            (Why::OpenKey, Ended::Answered(Ok(Answer::ListenKey(key)))) => self.listen_key(now, slot, key),
            (Why::KeepKey, Ended::Answered(Ok(_))) => {}
            (Why::OpenKey, Ended::Answered(Err(failure))) if failure.kind == FailureKind::UserMustAct => {
                self.stream_was_refused(now, slot, &failure);
                self.reopen_later(now, slot);
            }
            (Why::KeepKey, Ended::Answered(Err(failure))) if failure.kind == FailureKind::UserMustAct => {
                self.doubt_key(now, slot);
            }
            // A key that cannot be kept is opened again: the same one, if it still lives.
            (Why::KeepKey, _) => self.ask(Some(slot), Ask::OpenListenKey, Why::OpenKey, Purpose::Reconcile),
            _ => self.reopen_later(now, slot),
        }
    }
}
