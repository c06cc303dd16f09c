//! What only an account's user can mend: a key that was deleted or lost a right, an address that is not listed, the position
//! mode. How often the exchange is asked whether it is mended.
//!
//! **Invariants**: while questions of an account are refused, it asks nothing and opens nothing but a look after each pause; the
//! pauses double, up to [`MEND_PAUSE_MAX`]: accounts that nobody looks after use up no budget that others need. Exits go on, and
//! what holds something is looked at within [`MEND_PAUSE_HELD_MAX`]. Only what says what is held makes an account mute: a refused
//! log-in, a list key or a list of executions proves nothing about those. A fault is cleared by a look at mode, rights and key
//! that finds none, never by time. **Owns**: [`Mending`] of each account.

use engine::core::ids::Timestamp;

use super::account::Slot;
use super::limits::{MEND_PAUSE_FIRST, MEND_PAUSE_HELD_MAX, MEND_PAUSE_MAX};
use super::placing::Ended;
use super::queue::{Timer, Why};
use super::{Connector, Shape};
use crate::live::pacing::Purpose;
use crate::live::protocol::{Ask, FailureKind};

/// How an account waits for its user.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mending {
    /// Its questions are refused: it asks none before the next look.
    pub(super) is_mute: bool,
    /// Streams and order entry wait until a question is answered again.
    waits_to_connect: bool,
    pause: u64,
    /// When it is looked at next.
    again_at: Option<Timestamp>,
    /// When nothing was left to be mended.
    cleared_at: Option<Timestamp>,
}

impl Mending {
    /// When the next look is, from now on. `holds`: something is open that nobody sees meanwhile.
    fn put_off(&mut self, now: Timestamp, slot: Slot, holds: bool) -> Timestamp {
        let lasted = |at: Timestamp| now.micros_since(at) >= MEND_PAUSE_MAX;
        if self.cleared_at.take().is_some_and(lasted) {
            self.pause = 0;
        }
        let is_patient = !holds || planted::planted!("held_position_not_looked_at");
        let most = if is_patient { MEND_PAUSE_MAX } else { MEND_PAUSE_HELD_MAX };
        self.pause = (self.pause * 2).clamp(MEND_PAUSE_FIRST, most);
        // Not all at once, when it is the address that they have in common.
        let spread = u64::from(slot.0).wrapping_mul(104_729) % (self.pause / 4);
        let at = now.plus_micros(self.pause - spread);
        self.again_at = Some(at);
        at
    }

    /// Nothing is left to be mended. What comes back soon goes on with the pauses where they were.
    pub(super) fn cleared(&mut self, now: Timestamp) {
        self.cleared_at = Some(now);
    }

    /// Until when a question that is not a look waits.
    pub(super) fn waits_until(&self) -> Option<Timestamp> {
        self.again_at.filter(|_| self.is_mute)
    }

    /// Streams and order entry wait for the next look, too.
    pub(super) fn mute(&mut self) {
        self.is_mute = !planted::planted!("dead_key_asked_with_again_and_again");
        self.waits_to_connect = true;
    }
}

impl<P: Shape> Connector<P> {
    /// An answer of the exchange to something of an account: whether its questions are refused, or answered again.
    pub(super) fn note_refusals(&mut self, now: Timestamp, slot: Slot, ask: &Ask, why: &Why, end: &Ended) {
        let Ended::Answered(result) = end else { return };
        match result {
            Ok(_) if ask.is_signed() && !ask.is_write() => self.heard(now, slot),
            Err(failure) if failure.kind == FailureKind::UserMustAct => match why {
                Why::Compare => {
                    self.account_mut(slot).mending.mute();
                    self.found(slot, super::keys::fault_of(failure.code), failure.code, &failure.text);
                }
                Why::Query(_) => self.account_mut(slot).mending.mute(),
                _ => {}
            },
            Err(failure) if failure.kind == FailureKind::Mode => {
                if let Ask::Place(placement) = ask {
                    self.account_mut(slot).clashed = Some(placement.order.symbol);
                }
            }
            _ => {}
        }
    }

    /// A question of the account was answered.
    fn heard(&mut self, now: Timestamp, slot: Slot) {
        let account = self.account_mut(slot);
        if account.mending.waits_to_connect && !account.mending.is_mute {
            account.mending.waits_to_connect = false;
            (account.reopen_pause, account.trade_pause) = (0, 0);
            (account.funding_failures, account.funding_from) = (0, Timestamp(0));
            self.connect(now, slot);
        }
    }

    /// Has an account looked at again if its user has something to do.
    pub(super) fn look_again_later(&mut self, now: Timestamp, slot: Slot) {
        let account = self.account_mut(slot);
        if account.has_to_be_mended() && account.mending.again_at.is_none() {
            let holds = account.holds();
            let at = account.mending.put_off(now, slot, holds);
            self.queue.set(at, Timer::Mend(slot));
        }
    }

    /// A timer: whether the user has mended it. Mode, rights and key are asked for anew, then what is held.
    pub(super) fn mend(&mut self, now: Timestamp, slot: Slot) {
        let account = self.account_mut(slot);
        if account.mending.again_at.is_none_or(|at| now < at) {
            // Of a key that another one has taken the place of.
            return;
        }
        account.mending.again_at = None;
        if account.credential.is_none() || planted::planted!("mended_fault_stays") {
            return;
        }
        if !account.has_to_be_mended() {
            account.mending.cleared(now);
            return;
        }
        account.mending.is_mute = false;
        account.mode_is_known = false;
        account.key_checked_at = None;
        // What holds something is looked after first.
        let holds = account.holds();
        let purpose = if holds { Purpose::Reconcile } else { Purpose::Background };
        account.compare_again |= account.comparing != super::account::Comparing::No;
        let at = account.mending.put_off(now, slot, holds);
        self.queue.set(at, Timer::Mend(slot));
        self.compare_for(now, slot, purpose);
    }
}
