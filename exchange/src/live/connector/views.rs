//! Which word about an account's positions is the newest: a list of them, or what streams and our own fills told.
//!
//! **Invariants**: a list counts for a symbol only when it was asked for after the last word of that symbol; what others trade
//! on one symbol says nothing of another. **Bounds**: an entry for each symbol that ever moved on the account.

use std::collections::BTreeMap;

use engine::core::instrument::Symbol;

use super::limits::SETTLED_MARGIN_MS;
use crate::live::protocol::Millis;

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct Views {
    /// Grows with every word that what is held may have changed.
    told: u64,
    /// What it was at the last word of a symbol.
    changed: BTreeMap<Symbol, u64>,
    /// What it was when the list was sent for that is under way, and the exchange's time then.
    asked: (u64, Millis),
    /// The same of the list that was read last.
    listed: Option<(u64, Millis)>,
    /// The exchange's time of the newest list that held of a symbol what the engine was told, or of the first fill of the
    /// position that is open.
    settled_at: BTreeMap<Symbol, Millis>,
}

impl Views {
    /// What is held of a symbol may have changed.
    pub(super) fn touch(&mut self, symbol: Symbol) {
        self.told += 1;
        self.changed.insert(symbol, self.told);
    }

    /// A list of all positions is sent for.
    pub(super) fn ask(&mut self, at: Millis) {
        self.asked = (self.told, at);
    }

    /// That list is read to its end.
    pub(super) fn read(&mut self) {
        self.listed = Some(self.asked);
    }

    /// What was read is of another key.
    pub(super) fn forget(&mut self) {
        self.listed = None;
    }

    /// Symbols of which something was told after the list was sent for that is under way: it may be older than that.
    pub(super) fn newer_than_asked(&self) -> impl Iterator<Item = Symbol> + '_ {
        self.changed.iter().filter(|(_, at)| **at > self.asked.0).map(|(symbol, _)| *symbol)
    }

    /// Whether what is held of a symbol is from a list that was sent for after everything that was told of it: only such a
    /// difference is explained or believed. A list that is older, or an event that came late, shows what was.
    pub(super) fn is_listed(&self, symbol: Symbol) -> bool {
        let changed = self.changed.get(&symbol).copied().unwrap_or(0);
        let changed = if planted::planted!("word_of_one_symbol_hides_another") { self.told } else { changed };
        self.listed.is_some_and(|(listed, _)| changed <= listed)
            || planted::planted!("difference_believed_by_an_old_list")
    }

    /// The same, and by a list that was sent for after that time of the exchange.
    pub(super) fn is_listed_after(&self, symbol: Symbol, at: Millis) -> bool {
        self.is_listed(symbol) && self.listed.is_some_and(|(_, listed)| listed >= at)
    }

    /// The list that was read last holds of a symbol what the engine was told.
    pub(super) fn settle(&mut self, symbol: Symbol) {
        if let Some((_, at)) = self.listed.filter(|_| self.is_listed(symbol)) {
            self.settled_at.insert(symbol, at);
        }
    }

    /// A position of ours began then, by the exchange's time: what was executed before it did nothing to it.
    pub(super) fn begin(&mut self, symbol: Symbol, at: Millis) {
        self.settled_at.insert(symbol, at);
    }

    /// What was executed before this explains no difference that is found now. Zero: not known.
    pub(super) fn settled(&self, symbol: Symbol) -> Millis {
        Millis(self.settled_at.get(&symbol).map_or(0, |at| at.0.saturating_sub(SETTLED_MARGIN_MS)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbol(name: &str) -> Symbol {
        Symbol::new(name).expect("a symbol")
    }

    #[test]
    fn a_list_counts_for_what_was_told_before_it_was_sent_for() {
        let (btc, eth) = (symbol("BTCUSDT"), symbol("ETHUSDT"));
        let mut views = Views::default();
        assert!(!views.is_listed(btc), "nothing was read");
        views.touch(btc);
        views.ask(Millis(10_000));
        views.touch(eth);
        views.read();
        assert!(views.is_listed(btc) && !views.is_listed(eth));
        assert!(views.is_listed_after(btc, Millis(10_000)) && !views.is_listed_after(btc, Millis(10_001)));
        assert_eq!(views.newer_than_asked().collect::<Vec<_>>(), [eth]);
        for symbol in [btc, eth] {
            views.settle(symbol);
        }
        assert_eq!((views.settled(btc), views.settled(eth)), (Millis(10_000 - SETTLED_MARGIN_MS), Millis(0)));
        // A position that begins later is what counts.
        views.begin(btc, Millis(20_000));
        assert_eq!(views.settled(btc), Millis(20_000 - SETTLED_MARGIN_MS));
        // What happens on one symbol takes nothing from another.
        views.touch(eth);
        assert!(views.is_listed(btc));
        views.forget();
        assert!(!views.is_listed(btc));
    }
}
