//! Reading the brackets of all symbols: one reading at a time, page by page.
//!
//! **Owns**: what the pages told so far. **Invariants**: what is known is kept until something newer is told of the same symbol:
//! a list that is empty or breaks off takes nothing away.
//! **Bounds**: [`PAGES_MAX`] pages; a page is asked for [`PAGE_TRIES`] times before the reading begins anew.

use std::collections::BTreeMap;

use engine::core::fixed::{Money, Rate};
use engine::core::ids::Timestamp;
use engine::core::instrument::{Brackets, Symbol};

use super::limits::{BRACKETS_STALE, INSTRUMENTS_SPAN, PAGE_TRIES, PAGES_MAX, PUBLIC_RETRY};
use super::placing::Ended;
use super::queue::{PublicStep, Timer, Why};
use super::{Connector, Shape};
use crate::live::pacing::Purpose;
use crate::live::protocol::{Answer, Ask, BracketView, Cursor};

/// Largest notionals of a symbol with the highest leverage and the maintenance margin up to there.
type Rows = BTreeMap<Money, (u8, Rate)>;

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct BracketReading {
    told: BTreeMap<Symbol, Rows>,
    /// The page that comes next.
    cursor: Cursor,
    pages: u32,
    tries: u32,
    /// When its last page was asked for, while that is under way.
    asked_at: Option<Timestamp>,
}

impl BracketReading {
    fn take(&mut self, rows: Vec<BracketView>) {
        for row in rows {
            let of_symbol = self.told.entry(row.symbol).or_default();
            of_symbol.insert(row.notional_max, (row.leverage_max, row.maintenance));
            if of_symbol.len() > Brackets::MAX {
                // The largest are left out; see `Brackets::of`.
                of_symbol.pop_last();
            }
        }
    }
}

fn brackets(rows: Rows) -> Brackets {
    Brackets::of(rows.into_iter().map(|(cap, (leverage, kept))| (cap, leverage, kept)))
}

impl<P: Shape> Connector<P> {
    /// Asks for the next page, or the first one.
    pub(super) fn ask_brackets(&mut self, now: Timestamp) {
        let timer = Timer::Public(PublicStep::Brackets);
        self.queue.set(now.plus_micros(INSTRUMENTS_SPAN), timer);
        let reading = &mut self.bracket_reading;
        let under_way = reading.asked_at.is_some_and(|at| now.micros_since(at) < BRACKETS_STALE);
        if under_way && !planted::planted!("two_readings_of_brackets_at_once") {
            return;
        }
        // They are the same for all, but Binance tells them only to a key.
        let slot = P::BRACKETS_NEED_A_KEY.then(|| self.any_account()).flatten();
        if !P::BRACKETS_NEED_A_KEY || slot.is_some() {
            self.bracket_reading.asked_at = Some(now);
            let ask = Ask::Brackets(self.bracket_reading.cursor.clone());
            self.ask(slot, ask, Why::Public(PublicStep::Brackets), Purpose::Reconcile);
        }
    }

    /// A page came, or did not.
    pub(super) fn brackets_told(&mut self, now: Timestamp, end: Ended) {
        let timer = Timer::Public(PublicStep::Brackets);
        let reading = &mut self.bracket_reading;
        reading.asked_at = None;
        let Ended::Answered(Ok(Answer::Brackets(rows, next))) = end else {
            reading.tries += 1;
            if reading.tries >= PAGE_TRIES {
                // Its cursor may not be known any more.
                *reading = BracketReading::default();
            }
            self.queue.set(now.plus_micros(PUBLIC_RETRY), timer);
            return;
        };
        reading.take(rows);
        reading.pages += 1;
        reading.tries = 0;
        if let Some(cursor) = next.filter(|_| !planted::planted!("only_the_first_page_of_brackets_read")) {
            if reading.pages < PAGES_MAX {
                reading.cursor = cursor;
                return self.ask_brackets(now);
            }
            // A list that does not end is not one: what is known stays, and in an hour it is read again.
            *reading = BracketReading::default();
            return;
        }
        let told = std::mem::take(reading).told;
        if told.is_empty() {
            // An exchange that limits nothing has answered something else.
            self.queue.set(now.plus_micros(PUBLIC_RETRY), timer);
            return;
        }
        self.brackets.extend(told.into_iter().map(|(symbol, rows)| (symbol, brackets(rows))));
        if !self.listed.is_empty() {
            let listed = &self.listed;
            self.brackets.retain(|symbol, _| listed.contains_key(symbol));
        }
        self.index_instruments(now);
    }

    /// Asks for brackets that are not known: with the list, and, where nobody could ask before, with the first account whose key is
    /// good.
    pub(super) fn want_brackets(&mut self, now: Timestamp) {
        if self.brackets.is_empty() {
            self.queue.set(now, Timer::Public(PublicStep::Brackets));
        }
    }
}
