//! What an account's key may do, as the exchange says it, and what its user has to do about it.
//!
//! **Invariants**: a finding names the key it was made with. What is found unusable once stays so until another key comes or
//! the exchange says otherwise, which it is asked again and again (`mending`).

use engine::core::ids::Timestamp;
use engine::core::key::{KeyFault, KeyFinding};
use engine::core::venue_account::Environment;

use super::account::Slot;
use super::limits::KEY_SPAN;
use super::placing::Ended;
use super::queue::Timer;
use super::{Connector, Notice, Shape, Suspension};
use crate::live::key_check::judge;
use crate::live::protocol::{Answer, Failure, FailureKind, KeyView};

/// A key that ends is told of when so many days are left, at most once for each.
const DAYS_LEFT: [u64; 4] = [1, 3, 7, 14];
/// How soon a key is asked about again when that failed.
const AGAIN_SPAN: u64 = 10_000_000;

impl<P: Shape> Connector<P> {
    /// The exchange's words that the user has to do something.
    pub(super) fn user_must_act(&mut self, slot: Slot, failure: &Failure) {
        self.suspend(slot, fault_of(failure.code), failure.code, &failure.text);
    }

    /// No more opens for this account until its user has acted.
    pub(super) fn suspend(&mut self, slot: Slot, fault: KeyFault, code: i64, text: &str) {
        let account = self.account_mut(slot);
        if account.suspended.is_some() {
            return;
        }
        let suspension = Suspension { fault, code, text: text.to_owned() };
        account.suspended = Some(suspension.clone());
        let (id, number) = (account.id, account.key_number);
        self.notice(Notice::Suspended(id, suspension));
        let finding = KeyFinding { verdict: Err(fault), expires_at: Timestamp(0), identity: None };
        self.findings.push_back((id, number, finding));
    }

    /// A look has found this: it takes the place of what was found before.
    pub(super) fn found(&mut self, slot: Slot, fault: KeyFault, code: i64, text: &str) {
        let account = self.account_mut(slot);
        if account.suspended.as_ref().is_some_and(|before| before.fault != fault) {
            account.suspended = None;
        }
        self.suspend(slot, fault, code, text);
    }

    /// What the exchange says about the key.
    pub(super) fn key_read(&mut self, now: Timestamp, slot: Slot, number: u32, end: Ended) {
        let account = self.account(slot);
        if number != account.key_number {
            // What was said of a key that another one has taken the place of.
            return;
        }
        let (place, view, name) = (account.place, account.view, account.name.clone());
        let told = match end {
            Ended::Answered(Ok(Answer::Key(told))) => Some(told),
            Ended::Answered(Err(failure)) if failure.kind == FailureKind::UserMustAct => {
                self.found(slot, fault_of(failure.code), failure.code, &failure.text);
                self.judged(now, slot);
                return;
            }
            // Test networks do not answer this question; what the account may do is known, and there is no money.
            Ended::Answered(Err(_)) if place.environment != Environment::Mainnet => {
                view.map(|view| KeyView {
                    may_trade: view.may_trade,
                    may_withdraw: false,
                    bound_to_address: false,
                    expires_at: None,
                    account: None,
                })
            }
            _ => None,
        };
        let Some(told) = told else {
            let account = self.account_mut(slot);
            account.key_checked_at = Some(Timestamp((now.0 + AGAIN_SPAN).saturating_sub(KEY_SPAN)));
            self.queue.set(now.plus_micros(AGAIN_SPAN), Timer::Compare(slot));
            return;
        };
        let identity = told.account.as_deref().or(name.as_deref());
        let finding = judge(&told, view.as_ref(), identity, place, self.pacer.clock().now(now));
        let account = self.account_mut(slot);
        // The key's own faults first: one that may withdraw is not kept, in whatever mode the account is.
        let hedged = account.is_hedged();
        let mode = || if hedged { Err(KeyFault::HedgeMode) } else { Ok(()) };
        match finding.verdict.and_then(|()| mode()) {
            Err(fault) => self.found(slot, fault, 0, fault.remedy()),
            Ok(()) => {
                if account.suspended.take().is_some() {
                    account.mending.cleared(now);
                }
                let (id, number) = (account.id, account.key_number);
                self.findings.push_back((id, number, finding));
                self.tell_days_left(now, slot, finding.expires_at);
                self.go_on_all(now, slot);
                self.prepare(slot);
            }
        }
        self.judged(now, slot);
    }

    /// A key that ends soon is told of in time: making another one is the user's to do.
    fn tell_days_left(&mut self, now: Timestamp, slot: Slot, expires_at: Timestamp) {
        let clock = Timestamp::from_millis(self.pacer.clock().now(now).0);
        let left = expires_at.micros_since(clock) / (24 * 3_600_000_000);
        let few = DAYS_LEFT.into_iter().find(|days| expires_at.0 != 0 && left <= *days);
        let account = self.account_mut(slot);
        let id = account.id;
        if std::mem::replace(&mut account.days_told, few) != few
            && let Some(days) = few
        {
            self.notice(Notice::KeyEnds(id, days));
        }
    }

    /// What the account shows counts from now on.
    fn judged(&mut self, now: Timestamp, slot: Slot) {
        if !std::mem::replace(&mut self.account_mut(slot).is_judged, true) {
            self.want_comparison(now, slot);
        }
    }
}

/// What a user has to do about an exchange's code (EXCHANGES.md §2.8, §3.6).
pub(super) const fn fault_of(code: i64) -> KeyFault {
    match code {
        // Binance: the signature, the key's format or the key, its address or its rights; Bybit: invalid key or signature.
        -1022 | -2014 | -2015 | 10003 | 10004 => KeyFault::Rejected,
        10010 => KeyFault::AddressNotAllowed,
        10005 => KeyFault::TradingRightMissing,
        33004 => KeyFault::Expired,
        _ => KeyFault::AccountRestricted,
    }
}
