//! What the engine was told against what the exchange holds: on connect, after gaps, and in rotation. The exchange is the truth
//! for what is open now; a difference is explained by executions before it is believed (CASES.md P4–P9, S9–S11, O9, O10).
//!
//! **Invariants**: a difference counts by a list that was sent for after everything that was told of its symbol ([`super::views`]).
//! A balance counts when nothing moved since it was sent for, by what was told and by a list of positions that is younger than
//! it: a trigger that fired in between is in the wallet before any stream tells it.

use std::collections::BTreeMap;

use engine::core::fixed::Money;
use engine::core::ids::{ClientOrderId, Timestamp};
use engine::core::instrument::Symbol;
use engine::core::key::KeyFault;
use engine::core::order::VenueReport;

use super::account::{Comparing, Slot, Unexplained, signed};
use super::limits::{
    FUNDING_PAUSE_MAX, KEY_SPAN, LOOK_BACK_MS, MEND_PAUSE_HELD_MAX, PAGES_MAX, ROTATION_SPAN, SUSPECT_SPAN,
    UNEXPLAINED_PAUSE,
};
use super::order::{Cancel, LiveOrder, Phase};
use super::placing::Ended;
use super::queue::{Timer, Why};
use super::{Connector, Notice, Shape};
use crate::live::pacing::Purpose;
use crate::live::protocol::{
    Answer, Ask, BalanceView, Failure, FailureKind, Millis, PositionMode, PositionView, SettingsView,
};

/// A balance is looked at in every so manyth comparison: it costs as much as the positions.
const BALANCES_EVERY: u64 = 4;
/// Funding is asked for this often beside the stream: exchanges settle it every 1 to 8 hours.
const FUNDING_SPAN: u64 = 4 * 3_600_000_000;
/// What of funding is read again the next time, in milliseconds: settlements are told late.
const FUNDING_AGAIN_MS: u64 = 3_600_000;
/// Readings of funding that fail in a row, with their pauses some 8 minutes, after which balances count without.
pub(super) const FUNDING_TRIES: u8 = 8;
/// How soon an account is compared again after a comparison failed.
const FAILED_PAUSE: u64 = 2_000_000;

/// The wallet in the settlement currency; `None` when the exchange says nothing of it.
fn wallet_in<P: Shape>(rows: &[BalanceView]) -> Option<Money> {
    let of = |asset: &&str| rows.iter().find(|row| row.asset == *asset && !row.wallet.is_zero());
    P::SETTLEMENT.iter().find_map(of).map(|row| row.wallet).or_else(|| {
        // Nothing in any of them: empty, if the exchange says so at all.
        rows.iter().any(|row| P::SETTLEMENT.contains(&row.asset.as_str())).then_some(Money::ZERO)
    })
}

impl<P: Shape> Connector<P> {
    /// A comparison soon: something does not fit.
    pub(super) fn want_comparison(&mut self, now: Timestamp, slot: Slot) {
        let account = self.account_mut(slot);
        if account.comparing == Comparing::No {
            self.compare_for(now, slot, Purpose::Reconcile);
        } else {
            account.compare_again = true;
            if account.comparing_for == Purpose::Background {
                account.comparing_for = Purpose::Reconcile;
                self.queue.hasten_comparison(slot);
            }
        }
    }

    /// Goes on with a comparison, or begins one.
    fn compare(&mut self, now: Timestamp, slot: Slot) {
        let purpose = self.account(slot).comparing_for;
        self.compare_for(now, slot, purpose);
    }

    /// Begins a comparison, unless one is under way.
    pub(super) fn compare_for(&mut self, now: Timestamp, slot: Slot, purpose: Purpose) {
        let account = self.account_mut(slot);
        if account.comparing != Comparing::No || account.credential.is_none() || account.mending.is_mute {
            return;
        }
        account.compare_again = false;
        let in_turn = account.is_ready || account.has_to_be_mended();
        let purpose = if in_turn { purpose } else { Purpose::Reconcile };
        account.comparing_for = purpose;
        let named = account.name_is_known || !P::BALANCES_NAME;
        if account.mode_is_known
            && named
            && account.key_checked_at.is_none_or(|at| now.micros_since(at) >= KEY_SPAN)
        {
            account.key_checked_at = Some(now);
            let number = account.key_number;
            let purpose = if account.has_to_be_mended() { purpose } else { Purpose::Reconcile };
            self.ask(Some(slot), Ask::Key, Why::Key(number), purpose);
        }
        let account = self.account_mut(slot);
        if account.mode_is_known && named && !account.is_judged {
            // It may be a key of another account, which holds nothing of ours: what it shows counts once it is judged. A comparison
            // that was wanted sooner may have taken the place of the time at which the key is asked about again.
            account.comparing = Comparing::No;
            let again_at = account.key_checked_at.map_or(now, |at| at.plus_micros(KEY_SPAN));
            if !planted::planted!("unjudged_key_not_asked_about_again") {
                self.queue.set(again_at, Timer::Compare(slot));
            }
            return;
        }
        self.ask_funding(now, slot);
        let account = self.account_mut(slot);
        if !account.mode_is_known {
            account.comparing = Comparing::Account;
            self.ask(Some(slot), Ask::Account, Why::Compare, purpose);
        } else if !named {
            account.comparing = Comparing::Name;
            self.ask(Some(slot), Ask::Balances, Why::Compare, purpose);
        } else if !account.settings_known && P::SHARED {
            account.comparing = Comparing::Settings;
            self.ask(Some(slot), Ask::Settings(None), Why::Compare, purpose);
        } else if self.wants_balance(slot) {
            self.ask_balances(slot, Comparing::Balances);
        } else {
            self.ask_positions(slot);
        }
    }

    /// Whether a comparison that begins looks at the balance. Not before the account is ready: that waits for what is open.
    fn wants_balance(&mut self, slot: Slot) -> bool {
        let account = self.account_mut(slot);
        let due = account.compared.is_multiple_of(BALANCES_EVERY) || account.wallet_told.is_none();
        if !account.is_ready || !due {
            return false;
        }
        // Funding that is not told yet would look like money that came from nowhere (CASES.md F1).
        account.balance_waits |= account.lacks_funding();
        !account.balance_waits
    }

    fn ask_balances(&mut self, slot: Slot, step: Comparing) {
        let account = self.account_mut(slot);
        account.comparing = step;
        let purpose = account.comparing_for;
        self.ask(Some(slot), Ask::Balances, Why::Compare, purpose);
    }

    /// Funding that a stream may have missed: asked for after a gap, and once in a few hours while something is open.
    fn ask_funding(&mut self, now: Timestamp, slot: Slot) {
        let account = self.account_mut(slot);
        let due = account.funding_checked_at.is_none_or(|at| now.micros_since(at) >= FUNDING_SPAN);
        let held = account.held_since_funding || !account.symbols().is_empty();
        if account.funding_asking || !held || !due || now < account.funding_from {
            return;
        }
        account.funding_checked_at = Some(now);
        account.funding_asking = true;
        account.held_since_funding = false;
        account.funding_reading = (now, Vec::new(), 0);
        // What the last process booked last, or since the last reading, and an hour that is told again: settlements come late.
        let back = now.micros_since(account.funding_since) / 1_000 + FUNDING_AGAIN_MS;
        let back = if planted::planted!("funding_of_a_downtime_not_read") { 9 * 3_600_000 } else { back };
        let since = Millis(self.pacer.clock().now(now).0.saturating_sub(back.min(LOOK_BACK_MS)));
        let ask = Ask::Funding { since, cursor: String::new() };
        self.ask(Some(slot), ask, Why::Funding, Purpose::Background);
    }

    /// The answer to the question about funding, or a page of it. All of it is told together, oldest first. Of a list that does
    /// not end within [`PAGES_MAX`], what is known to be whole is told, and the next reading begins there.
    pub(super) fn funding_read(&mut self, now: Timestamp, slot: Slot, ask: &Ask, end: Ended) {
        let to_its_end = !planted::planted!("funding_read_to_its_first_page");
        let account = self.account_mut(slot);
        let end = match (end, ask) {
            (Ended::Answered(Ok(Answer::Funding(rows, Some(cursor)))), Ask::Funding { since, .. })
                if account.funding_reading.2 < PAGES_MAX && to_its_end =>
            {
                account.funding_reading.1.extend(rows);
                account.funding_reading.2 += 1;
                let ask = Ask::Funding { since: *since, cursor };
                self.ask(Some(slot), ask, Why::Funding, Purpose::Background);
                return;
            }
            (end, _) => end,
        };
        account.funding_asking = false;
        let (began, mut read, _) = std::mem::take(&mut account.funding_reading);
        let waits = std::mem::take(&mut account.balance_waits);
        let (rows, is_whole) = match end {
            Ended::Answered(Ok(Answer::Funding(rows, next))) => (rows, next.is_none() || !to_its_end),
            _ => {
                self.funding_unread(now, slot);
                return;
            }
        };
        read.extend(rows);
        let mut until = began;
        if is_whole {
            read.extend(std::mem::take(&mut account.funding_held));
        } else {
            let Ask::Funding { since, .. } = ask else { return };
            let last = read.iter().map(|funding| funding.at.0).max().unwrap_or(0);
            // An hour of it is read again the next time.
            if !P::FUNDING_OLDEST_FIRST || last <= since.0.saturating_add(FUNDING_AGAIN_MS) {
                self.funding_unread(now, slot);
                return;
            }
            until = began.min(Timestamp::from_millis(last));
            // What is left of it is asked for soon, and no balance counts before.
            account.funding_checked_at = None;
            account.held_since_funding = true;
        }
        read.sort_by_key(|funding| funding.at);
        account.funding_since = until;
        (account.funding_failures, account.funding_from) = (0, Timestamp(0));
        for funding in &read {
            self.book_funding(slot, funding);
        }
        if !is_whole {
            self.account_mut(slot).wallet_told = None;
            self.queue.set(now.plus_micros(FAILED_PAUSE), Timer::Compare(slot));
        } else if waits {
            self.account_mut(slot).wallet_told = None;
            self.want_comparison(now, slot);
        }
    }

    /// Funding could not be read: it is asked for again after a pause that doubles. What cannot be read for many minutes holds up
    /// no balance any more: it is seen as money that moved, until it is read.
    fn funding_unread(&mut self, now: Timestamp, slot: Slot) {
        let account = self.account_mut(slot);
        account.funding_checked_at = None;
        account.held_since_funding = true;
        account.wallet_told = None;
        account.funding_failures = account.funding_failures.saturating_add(1);
        let doublings = u32::from(account.funding_failures - 1).min(16);
        let mut pause = (FAILED_PAUSE << doublings).min(FUNDING_PAUSE_MAX);
        if planted::planted!("unreadable_funding_asked_for_again_and_again") {
            pause = FAILED_PAUSE;
        }
        account.funding_from = now.plus_micros(pause);
        let (from, is_told) = (account.funding_from, account.funding_failures == FUNDING_TRIES);
        self.queue.set(from, Timer::Compare(slot));
        if is_told {
            let account = self.account_mut(slot);
            let (id, mut held) = (account.id, std::mem::take(&mut account.funding_held));
            held.sort_by_key(|funding| funding.at);
            for funding in &held {
                self.book_funding(slot, funding);
            }
            self.notice(Notice::FundingUnread(id));
        }
    }

    fn ask_positions(&mut self, slot: Slot) {
        let account = self.account_mut(slot);
        account.comparing = Comparing::Positions;
        account.pages.clear();
        account.page_count = 0;
        let purpose = account.comparing_for;
        self.ask(Some(slot), Ask::Positions(String::new()), Why::Compare, purpose);
    }

    /// The answer to the step that is under way.
    pub(super) fn compared(&mut self, now: Timestamp, slot: Slot, end: Ended) {
        let step = self.account(slot).comparing;
        let answer = match end {
            Ended::Answered(Ok(answer)) => answer,
            Ended::Answered(Err(failure)) => {
                if failure.kind == FailureKind::UserMustAct {
                    self.user_must_act(slot, &failure);
                }
                self.comparison_refused(now, slot, &failure);
                return;
            }
            Ended::NotSent | Ended::NoAnswer => {
                self.comparison_failed(now, slot);
                return;
            }
        };
        match (step, answer) {
            (Comparing::Account, Answer::Account(view)) => {
                let account = self.account_mut(slot);
                account.mode = view.mode.unwrap_or(PositionMode::OneWay);
                account.mode_is_known = true;
                account.isolated = view.isolated;
                account.view = Some(view);
                account.comparing = Comparing::No;
                if let (Some(symbol), None) = (account.clashed, view.mode) {
                    account.comparing = Comparing::Mode;
                    let purpose = account.comparing_for;
                    self.ask(Some(slot), Ask::Settings(Some(symbol)), Why::Compare, purpose);
                    return;
                }
                account.clashed = None;
                if account.mode == PositionMode::Hedge {
                    self.suspend(slot, KeyFault::HedgeMode, 0, "the account is in hedge mode");
                } else if !view.may_trade {
                    self.suspend(slot, KeyFault::AccountRestricted, 0, "the account may not trade");
                }
                self.compare(now, slot);
            }
            (Comparing::Mode, Answer::Settings(rows)) => {
                let account = self.account_mut(slot);
                account.comparing = Comparing::No;
                let is_hedge = |row: &SettingsView| row.mode == Some(PositionMode::Hedge);
                if !rows.iter().any(|row| Some(row.symbol) == account.clashed && is_hedge(row)) {
                    account.clashed = None;
                }
                self.compare(now, slot);
            }
            (Comparing::Name, Answer::Balances(rows)) => {
                let account = self.account_mut(slot);
                account.name = rows.into_iter().find_map(|row| row.account);
                account.name_is_known = true;
                account.comparing = Comparing::No;
                self.compare(now, slot);
            }
            (Comparing::Settings, Answer::Settings(rows)) => {
                let account = self.account_mut(slot);
                account.settings_known = true;
                for row in rows {
                    let setup = account.setups.entry(row.symbol).or_default();
                    setup.leverage = row.leverage;
                    setup.isolated = row.isolated.unwrap_or(setup.isolated);
                }
                account.comparing = Comparing::No;
                self.compare(now, slot);
            }
            (Comparing::Positions, Answer::Positions(rows, next)) => {
                self.positions_read(now, slot, rows, next)
            }
            (Comparing::Balances, Answer::Balances(rows)) => {
                self.account_mut(slot).wallet_read = wallet_in::<P>(&rows);
                self.ask_positions(slot);
            }
            (Comparing::FirstBalances, Answer::Balances(rows)) => {
                self.account_mut(slot).wallet_read = wallet_in::<P>(&rows);
                self.tell_wallet(slot);
                self.comparison_done(now, slot);
            }
            _ => self.comparison_failed(now, slot),
        }
    }

    fn comparison_failed(&mut self, now: Timestamp, slot: Slot) {
        self.comparison_ended(now, slot, FAILED_PAUSE);
    }

    fn comparison_ended(&mut self, now: Timestamp, slot: Slot, pause: u64) {
        let account = self.account_mut(slot);
        account.comparing = Comparing::No;
        account.questions = 0;
        account.wallet_read = None;
        self.queue.set(now.plus_micros(pause), Timer::Compare(slot));
    }

    /// A step was refused. What waiting is not known to mend is told once, and asked again after pauses that double: were each such
    /// account to ask every 2 s, a dozen of them would use up what all of the address have for comparing.
    fn comparison_refused(&mut self, now: Timestamp, slot: Slot, failure: &Failure) {
        let passes = matches!(
            failure.kind,
            FailureKind::Unknown
                | FailureKind::Retry
                | FailureKind::Clock
                | FailureKind::Limited { .. }
                | FailureKind::Banned { .. }
                | FailureKind::UserMustAct
        );
        if passes || planted::planted!("refused_comparison_asked_again_at_once") {
            self.comparison_failed(now, slot);
            return;
        }
        let account = self.account_mut(slot);
        let most = if account.holds() { MEND_PAUSE_HELD_MAX } else { ROTATION_SPAN };
        let is_first = account.refused_pause == 0;
        account.refused_pause = (account.refused_pause * 2).clamp(FAILED_PAUSE, most);
        let (id, pause) = (account.id, account.refused_pause);
        if is_first && failure.kind != FailureKind::Unreadable {
            self.notice(Notice::Bug(id, failure.text.clone()));
        }
        self.comparison_ended(now, slot, pause);
    }

    fn positions_read(&mut self, now: Timestamp, slot: Slot, rows: Vec<PositionView>, next: Option<String>) {
        let account = self.account_mut(slot);
        account.pages.extend(rows);
        account.page_count += 1;
        if let Some(cursor) = next {
            if account.page_count >= PAGES_MAX {
                self.comparison_failed(now, slot);
            } else {
                let purpose = account.comparing_for;
                self.ask(Some(slot), Ask::Positions(cursor), Why::Compare, purpose);
            }
            return;
        }
        let pages = std::mem::take(&mut account.pages);
        let mut listed: BTreeMap<Symbol, PositionView> =
            pages.into_iter().filter(|p| !p.quantity.is_zero()).map(|p| (p.symbol, p)).collect();
        for symbol in account.views.newer_than_asked() {
            // The list may be older than what was told meanwhile.
            listed.remove(&symbol);
            listed.extend(account.positions.remove_entry(&symbol));
        }
        account.positions = listed;
        account.views.read();
        for (symbol, position) in &account.positions {
            if position.leverage > 0 {
                account.setups.entry(*symbol).or_default().leverage = position.leverage;
            }
        }
        account.comparing = Comparing::Orders;
        let asked: Vec<ClientOrderId> = account
            .orders
            .values()
            .filter(|o| matches!(o.phase, Phase::Live | Phase::Unknown | Phase::Recovered))
            .filter(|o| !o.attached)
            .map(|o| o.new.id)
            .collect();
        account.questions = 1;
        for id in asked {
            let account = self.account_mut(slot);
            if account.orders.get(&id).is_some_and(|o| !o.asking) {
                account.questions += 1;
                self.ask_about(now, slot, id, 0);
            }
        }
        self.check_attached(now, slot);
        self.answered_for_comparison(now, slot);
    }

    /// Bybit: triggers that the engine takes for live are there at their price, or are set again (CASES.md O9).
    fn check_attached(&mut self, now: Timestamp, slot: Slot) {
        self.detach_flat(now, slot);
        let account = self.account(slot);
        // One that has fired is gone from the position before its fills are told.
        let rests = |o: &&LiveOrder| o.attached && o.phase == Phase::Live && o.end.is_none();
        let live = || account.orders.values().filter(rests);
        let missing: Vec<ClientOrderId> = live()
            .filter(|o| o.cancel != Cancel::Sent)
            .filter(|_| !planted::planted!("lost_stop_of_a_position_not_set_again"))
            .filter(|o| account.positions.contains_key(&o.new.symbol))
            .filter(|o| account.trigger_there(&o.new).is_none())
            .map(|o| o.new.id)
            .collect();
        let elsewhere: Vec<ClientOrderId> = live()
            .filter(|o| o.cancel == Cancel::No)
            .filter(|o| account.trigger_there(&o.new).is_some_and(|at| Some(at) != o.new.kind.words().1))
            .map(|o| o.new.id)
            .collect();
        for id in elsewhere {
            // Most likely that of the plan, which came with the entry; what was to correct it was lost.
            self.set_trigger(slot, id, Purpose::Reconcile);
        }
        for id in missing {
            self.set_again(now, slot, id);
        }
    }

    /// One of the questions that a comparison waits for is answered.
    pub(super) fn answered_for_comparison(&mut self, now: Timestamp, slot: Slot) {
        let account = self.account_mut(slot);
        if account.comparing != Comparing::Orders {
            return;
        }
        account.questions = account.questions.saturating_sub(1);
        if account.questions > 0 {
            return;
        }
        for symbol in self.account(slot).symbols() {
            self.difference(now, slot, symbol);
        }
        let account = self.account_mut(slot);
        let first = !account.is_ready;
        account.is_ready = true;
        let is_idle = account.symbols().is_empty() && !account.orders.values().any(LiveOrder::is_open);
        let at_once = planted::planted!("wallet_believed_at_once");
        if (first && is_idle && !account.lacks_funding()) || at_once {
            self.ask_balances(slot, Comparing::FirstBalances);
        } else {
            // What may have moved while it was compared for the first time is looked at once more, for its wallet.
            account.compare_again |= first;
            self.tell_wallet(slot);
            self.comparison_done(now, slot);
        }
        if first {
            if P::BRACKETS_NEED_A_KEY {
                self.want_brackets(now);
            }
            self.go_on_all(now, slot);
            self.prepare(slot);
        }
    }

    /// Tells the wallet that was read, if it is what the engine's books should say.
    fn tell_wallet(&mut self, slot: Slot) {
        let account = self.account_mut(slot);
        if let Some(wallet) = account.wallet_read.take()
            && account.balance_counts()
        {
            account.wallet_told = Some(wallet);
            let account = account.id;
            self.reports.push_back(VenueReport::Wallet { account, wallet });
        }
    }

    fn comparison_done(&mut self, now: Timestamp, slot: Slot) {
        self.metrics.comparisons += 1;
        let account = self.account_mut(slot);
        account.comparing = Comparing::No;
        account.refused_pause = 0;
        account.compared += 1;
        account.compared_at = Some(now);
        if account.compare_again {
            self.queue.set(now.plus_micros(UNEXPLAINED_PAUSE / 4), Timer::Compare(slot));
        } else {
            let is_unseen = !account.private_is_ready && account.holds();
            let span = if account.is_suspect || is_unseen { SUSPECT_SPAN } else { ROTATION_SPAN };
            // Spread over the span, so that accounts that began together do not stay together.
            let spread = u64::from(slot.0).wrapping_mul(7_919) % (span / 4);
            let mut at = now.plus_micros(span - spread);
            if account.wants_funding() {
                // It was not read, or not to its end: asked for with the comparison after its pause.
                at = at.min(account.funding_from.max(now.plus_micros(FAILED_PAUSE)));
            }
            self.queue.set(at, Timer::Compare(slot));
        }
    }

    /// Looks whether what the exchange holds of a symbol is what the engine was told; if not, begins to explain it.
    pub(super) fn difference(&mut self, now: Timestamp, slot: Slot, symbol: Symbol) {
        let account = self.account_mut(slot);
        if account.is_explained(symbol) {
            account.unexplained.remove(&symbol);
            if account.is_quiet(symbol) {
                account.views.settle(symbol);
            }
            return;
        }
        if account.is_quiet(symbol)
            && account.views.is_listed(symbol)
            && (account.expected(symbol) == 0 || account.foreign.contains_key(&symbol))
        {
            self.note_foreign(now, slot, symbol);
            return;
        }
        if !account.unexplained.contains_key(&symbol) {
            self.metrics.differences += 1;
            let account = self.account_mut(slot);
            account.unexplained.insert(symbol, Unexplained::default());
            // What no stream told of the position, none may have told of its funding.
            account.funding_checked_at = None;
            self.queue.set(now.plus_micros(UNEXPLAINED_PAUSE), Timer::Explain(slot, symbol));
        }
    }

    /// What is held beyond what the engine was told is somebody else's (CASES.md P6): left alone, and nothing opens beside it.
    /// Not before the fills of entries that are over were read.
    pub(super) fn note_foreign(&mut self, now: Timestamp, slot: Slot, symbol: Symbol) {
        if self.doubts_an_entry(now, slot, symbol) {
            return;
        }
        let account = self.account_mut(slot);
        let foreign = account.held(symbol).saturating_sub(account.expected(symbol));
        let before = account.foreign.get(&symbol).copied().unwrap_or(0);
        if foreign == 0 {
            account.foreign.remove(&symbol);
        } else {
            account.foreign.insert(symbol, foreign);
        }
        account.unexplained.remove(&symbol);
        if foreign != before {
            let id = account.id;
            self.notice(Notice::Foreign(id, symbol, foreign));
        }
        self.detach_flat(now, slot);
    }

    /// The exchange says how much of a symbol is held now.
    pub(super) fn position_told(&mut self, now: Timestamp, slot: Slot, position: PositionView) {
        let account = self.account_mut(slot);
        let symbol = position.symbol;
        if position.leverage > 0 {
            account.setups.entry(symbol).or_default().leverage = position.leverage;
        }
        let before = account.held(symbol);
        let now_held = if position.quantity.is_zero() { 0 } else { signed(&position) };
        let tells_triggers = position.stop.is_some() || position.take_profit.is_some();
        if now_held == 0 {
            account.positions.remove(&symbol);
            account.attached.remove(&symbol);
        } else {
            account.positions.insert(symbol, position);
        }
        if now_held != 0 && tells_triggers {
            let waiting: Vec<ClientOrderId> = account
                .orders
                .values()
                .filter(|o| o.attached && o.phase == Phase::Waiting && o.new.symbol == symbol)
                .map(|o| o.new.id)
                .collect();
            for id in waiting {
                self.go_on(now, slot, id);
            }
        }
        if before != now_held {
            self.account_mut(slot).views.touch(symbol);
            if now_held == 0 {
                self.detach_flat(now, slot);
            }
            // Executions come before or after it; a difference that stays is looked into.
            self.queue.set(now.plus_micros(UNEXPLAINED_PAUSE), Timer::Explain(slot, symbol));
        }
    }
}
