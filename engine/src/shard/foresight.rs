//! What the accounts of a shard will probably trade next: exchanges want leverage and margin type set before an order, which takes
//! a request or two that can be sent ahead of the signal.
//!
//! **Runs on**: its shard. **Owns**: which symbols were signalled lately.
//! **Invariants**: nothing rests on it: what it does not foresee is set when the order comes.
//! **Bounds**: [`RECENT_MAX`], [`UNNAMED_MAX`], [`EXPECTED_MAX`].

use std::collections::VecDeque;

use crate::core::ids::SourceId;
use crate::core::instrument::Symbol;
use crate::core::rules::Rules;
use crate::core::signal::Signal;
use crate::core::user::User;

/// Symbols that are remembered, of all sources together: each is looked through once per subscription.
pub const RECENT_MAX: usize = 256;
/// Symbols of a subscription that names none: setting one costs two requests for each account.
pub const UNNAMED_MAX: usize = 16;
/// Symbols of an account in all: what one subscription may name.
pub const EXPECTED_MAX: usize = crate::core::rules::SYMBOLS_MAX;

/// What a source signalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Signalled {
    source: SourceId,
    symbol: Symbol,
    leverage: Option<u8>,
}

/// The symbols that sources signalled last, newest first.
#[derive(Debug, Default)]
pub struct Recent {
    list: VecDeque<Signalled>,
}

impl Recent {
    /// Notes a signal; true when it opens on a symbol that its source had not signalled lately. Closes are no news.
    pub fn note(&mut self, signal: &Signal) -> bool {
        if signal.kind.opens().is_none() {
            return false;
        }
        let (source, symbol) = (signal.id.source, signal.symbol);
        let known = self.list.iter().position(|s| (s.source, s.symbol) == (source, symbol));
        if let Some(place) = known {
            self.list.remove(place);
        }
        self.list.push_front(Signalled { source, symbol, leverage: signal.leverage });
        self.list.truncate(RECENT_MAX);
        known.is_none()
    }

    fn of(&self, source: SourceId) -> impl Iterator<Item = &Signalled> {
        self.list.iter().filter(move |s| s.source == source)
    }
}

/// What an account will probably trade, and with which leverage: the symbols that its subscriptions name, or those that the
/// source signalled last and that were traded for it. A symbol of two subscriptions has the leverage of the first.
#[must_use]
pub fn expected(user: &User, account: u8, recent: &Recent, rules: &Rules) -> Vec<(Symbol, u8)> {
    let mut all: Vec<(Symbol, u8)> = Vec::new();
    let enabled = user.accounts.get(usize::from(account)).is_some_and(|account| account.enabled);
    if !user.active || !enabled {
        return all;
    }
    for subscription in user.subscriptions.iter().filter(|s| s.active && s.account == account) {
        let (source, settings) = (subscription.source, &subscription.settings);
        let traded = user.closed_positions.iter().rev();
        let traded = traded.filter(|p| p.account == account && p.signal.source == source).map(|p| p.symbol);
        let symbols: Vec<Symbol> = if settings.symbols.is_empty() {
            recent.of(source).map(|s| s.symbol).chain(traded).collect()
        } else {
            settings.symbols.clone()
        };
        let most = if settings.symbols.is_empty() { all.len() + UNNAMED_MAX } else { EXPECTED_MAX };
        for symbol in symbols {
            if all.len() >= most.min(EXPECTED_MAX) {
                break;
            }
            if all.iter().all(|(known, _)| *known != symbol) {
                let asked = recent.of(source).find(|s| s.symbol == symbol).and_then(|s| s.leverage);
                all.push((symbol, settings.leverage_of(asked, rules)));
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ids::{SignalId, Timestamp, UserId};
    use crate::core::rules::Settings;
    use crate::core::signal::SignalKind;
    use crate::core::user::{ExchangeAccount, Subscription};
    use crate::core::venue_account::VenuePlace;

    fn source(index: u8) -> SourceId {
        SourceId { owner: UserId(1), index }
    }

    fn symbol(n: usize) -> Symbol {
        Symbol::new(&format!("S{n}USDT")).unwrap()
    }

    fn signal(of: u8, kind: SignalKind, n: usize, leverage: Option<u8>) -> Signal {
        Signal {
            id: SignalId { source: source(of), number: 1 },
            kind,
            symbol: symbol(n),
            price: None,
            leverage,
            stop_loss: None,
            take_profit: None,
            signal_at: None,
            accepted_at: Timestamp(0),
            expires_at: Timestamp(1),
        }
    }

    const OPEN: SignalKind = SignalKind::OpenLong { strong: false };

    fn user(subscriptions: &[(u8, u8, &[usize], u8)]) -> User {
        let mut user = User::new(UserId(2), Timestamp(0));
        user.active = true;
        user.accounts =
            vec![ExchangeAccount::new(VenuePlace::PAPER), ExchangeAccount::new(VenuePlace::PAPER)];
        for (of, account, symbols, leverage) in subscriptions {
            user.subscriptions.push(Subscription {
                source: source(*of),
                account: *account,
                active: true,
                settings: Settings {
                    leverage: *leverage,
                    symbols: symbols.iter().map(|n| symbol(*n)).collect(),
                    ..Settings::default()
                },
                last_open: 0,
                last_close: 0,
            });
        }
        user
    }

    fn told(user: &User, account: u8, recent: &Recent) -> Vec<(Symbol, u8)> {
        expected(user, account, recent, &Rules::default())
    }

    #[test]
    fn what_is_named_is_expected_and_else_what_was_signalled() {
        let mut recent = Recent::default();
        assert!(recent.note(&signal(1, OPEN, 7, None)));
        assert!(!recent.note(&signal(1, OPEN, 7, Some(3))), "no news");
        assert!(!recent.note(&signal(1, SignalKind::CloseLong, 8, None)), "a close prepares nothing");
        assert!(recent.note(&signal(2, OPEN, 9, None)));
        let user = user(&[(1, 0, &[1, 2], 5), (1, 1, &[], 5), (2, 1, &[], 2)]);
        assert_eq!(told(&user, 0, &recent), [(symbol(1), 5), (symbol(2), 5)]);
        // The leverage is the user's, or less when the signal asked for less.
        assert_eq!(told(&user, 1, &recent), [(symbol(7), 3), (symbol(9), 2)]);
    }

    #[test]
    fn it_is_bounded_and_nothing_is_expected_of_who_does_not_trade() {
        let mut recent = Recent::default();
        for n in 0..2 * RECENT_MAX {
            recent.note(&signal(1, OPEN, n, None));
        }
        assert_eq!(recent.list.len(), RECENT_MAX);
        let mut user = user(&[(1, 0, &[], 5)]);
        let list = told(&user, 0, &recent);
        assert_eq!((list.len(), list[0].0), (UNNAMED_MAX, symbol(2 * RECENT_MAX - 1)), "the newest");
        user.subscriptions[0].active = false;
        assert_eq!(told(&user, 0, &recent), []);
        user.subscriptions[0].active = true;
        user.active = false;
        assert_eq!(told(&user, 0, &recent), []);
    }
}
