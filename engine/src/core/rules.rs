//! The business's numbers as data: the administrator's rules and a user's settings.
//!
//! Nothing here is a constant in code: [`Rules::default`] is version 1 of the rules in DOMAIN.md, and every decision
//! records the version it used. A replay never reads them: events carry what was decided.

use rkyv::{Archive, Deserialize, Serialize};

use super::fixed::{Money, Rate};
use super::instrument::Symbol;
use super::venue_account::LiveVenues;

/// Microseconds in a second.
pub const SECOND: u64 = 1_000_000;
/// Microseconds in a minute.
pub const MINUTE: u64 = 60 * SECOND;

/// The rules in force. Spans are in microseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Grows with each change; recorded with each decision.
    pub version: u32,
    /// A signal is accepted up to this long after its own time. DOMAIN.md §1: 30 s.
    pub signal_age_max: u64,
    /// How far a sender's clock may be ahead. DOMAIN.md §1: 5 s.
    pub signal_skew_max: u64,
    /// From acceptance to the last order of its fan-out. DOMAIN.md §1: 120 s.
    pub fan_out_span: u64,
    /// A body without an id and a time of its own is a repeat of the same body within this span. TradingView resends
    /// 5, 10 and 15 s after a 5xx (EXCHANGES.md §1), hence 25 s.
    pub repeat_span: u64,
    /// An accepted signal is remembered at least this long: the validity of a signal twice over, and all resends.
    pub repeat_kept_min: u64,
    /// Opens that a source may send in `source_window`.
    pub source_opens_max: u32,
    /// The window of `source_opens_max`.
    pub source_window: u64,
    /// Open positions of one account. DOMAIN.md §2: 2.
    pub positions_max: usize,
    /// After a user's close on a symbol. DOMAIN.md §2: 120 min.
    pub cooldown: u64,
    /// Loss of a day, as a share of the equity at its start, from which opens are refused. DOMAIN.md §2: 10 %.
    pub daily_loss_max: Rate,
    /// A position without a live stop is closed after this. DOMAIN.md §2: 5 s.
    pub protection_span: u64,
    /// A close that a venue refused is tried again after this.
    pub close_retry_span: u64,
    /// An unanswered order that the venue does not know counts as never received from this age on: twice the span after
    /// which it is asked about, and four times the 5 s for which a venue takes a request (EXCHANGES.md, recvWindow).
    pub not_received_span: u64,
    /// Profit share of a prepaid user. DOMAIN.md §3: 20 %.
    pub share_prepaid: Rate,
    /// Profit share of a user on the monthly plan. DOMAIN.md §3: 10 %.
    pub share_monthly: Rate,
    /// Highest leverage a user may set. DOMAIN.md §2: 10.
    pub leverage_max: u8,
    /// Wallet of a new paper account.
    pub paper_wallet: Money,
    /// Prepaid balance a new paper account brings along, in paper currency.
    pub paper_prepaid: Money,
    /// Failed log-ins after which an account is locked. DOMAIN.md §4: 5.
    pub login_failures_max: u8,
    /// For how long. DOMAIN.md §4: 15 min.
    pub login_lock_span: u64,
    /// Life of a session.
    pub session_span: u64,
    /// The trial of a new user. DOMAIN.md §3: 7 days.
    pub trial_span: u64,
    /// Whether all opens are halted.
    pub halted: bool,
    /// The exchanges that the configuration names.
    pub live: LiveVenues,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            version: 1,
            signal_age_max: 30 * SECOND,
            signal_skew_max: 5 * SECOND,
            fan_out_span: 120 * SECOND,
            repeat_span: 25 * SECOND,
            repeat_kept_min: 300 * SECOND,
            source_opens_max: 600,
            source_window: MINUTE,
            positions_max: 2,
            cooldown: 120 * MINUTE,
            daily_loss_max: Rate::from_units(10_000_000),
            protection_span: 5 * SECOND,
            close_retry_span: SECOND,
            not_received_span: 20 * SECOND,
            share_prepaid: Rate::from_units(20_000_000),
            share_monthly: Rate::from_units(10_000_000),
            leverage_max: 10,
            paper_wallet: Money::from_whole(10_000),
            paper_prepaid: Money::from_whole(1_000),
            login_failures_max: 5,
            login_lock_span: 15 * MINUTE,
            session_span: 12 * 60 * MINUTE,
            trial_span: 7 * 24 * 60 * MINUTE,
            halted: false,
            live: LiveVenues::default(),
        }
    }
}

/// How a subscription sizes its orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Sizing {
    /// This share of the exchange balance as margin (0.10 to 0.50); times leverage it is the notional.
    PercentOfBalance(Rate),
    /// This margin; times leverage it is the notional.
    FixedMargin(Money),
    /// This notional.
    FixedNotional(Money),
    /// The notional at which a stop-out loses this much.
    RiskToStop(Money),
}

/// A user's settings for one subscription.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Settings {
    /// How orders are sized.
    pub sizing: Sizing,
    /// 1 to `Rules::leverage_max`.
    pub leverage: u8,
    /// Stop-loss distance in percent of margin per unit of leverage, 2 to 4: the distance in percent of price.
    pub stop_multiplier: Rate,
    /// Take-profit distance likewise, 3 to 6.
    pub take_profit_multiplier: Rate,
    /// Largest notional of one trade.
    pub trade_max: Option<Money>,
    /// Largest notional of all open positions of the account together.
    pub exposure_max: Option<Money>,
    /// The symbols that may be traded; empty allows every one.
    pub symbols: Vec<Symbol>,
    /// Whether an opposite open closes the position and then opens (a reversal); otherwise it is skipped.
    pub reverse: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sizing: Sizing::PercentOfBalance(Rate::from_units(30_000_000)),
            leverage: 5,
            stop_multiplier: Rate::from_whole(2),
            take_profit_multiplier: Rate::from_whole(3),
            trade_max: None,
            exposure_max: None,
            symbols: Vec::new(),
            reverse: false,
        }
    }
}

/// Most symbols in a subscription's list.
pub const SYMBOLS_MAX: usize = 64;

impl Settings {
    /// The leverage of an order: the user's, or what a signal asks for when that is less, within the rules. What an exchange
    /// allows on the symbol bounds it further.
    #[must_use]
    pub fn leverage_of(&self, asked: Option<u8>, rules: &Rules) -> u8 {
        asked.map_or(self.leverage, |asked| asked.min(self.leverage)).min(rules.leverage_max).max(1)
    }

    /// Checks every range of DOMAIN.md §2.
    ///
    /// # Errors
    /// The field that is out of range and the range.
    pub fn validate(&self, rules: &Rules) -> Result<(), &'static str> {
        let within =
            |rate: Rate, low: i64, high: i64| rate >= Rate::from_whole(low) && rate <= Rate::from_whole(high);
        match self.sizing {
            Sizing::PercentOfBalance(share)
                if share < Rate::from_units(10_000_000) || share > Rate::from_units(50_000_000) =>
            {
                return Err("sizing: percent of balance is from 10 to 50");
            }
            Sizing::FixedMargin(amount) | Sizing::FixedNotional(amount) | Sizing::RiskToStop(amount)
                if !amount.is_positive() =>
            {
                return Err("sizing: the amount is above zero");
            }
            _ => {}
        }
        if self.leverage == 0 || self.leverage > rules.leverage_max {
            return Err("leverage: from 1 to 10");
        }
        if !within(self.stop_multiplier, 2, 4) {
            return Err("stop_multiplier: from 2 to 4");
        }
        if !within(self.take_profit_multiplier, 3, 6) {
            return Err("take_profit_multiplier: from 3 to 6");
        }
        if self.trade_max.is_some_and(|m| !m.is_positive())
            || self.exposure_max.is_some_and(|m| !m.is_positive())
        {
            return Err("trade_max, exposure_max: above zero");
        }
        if self.symbols.len() > SYMBOLS_MAX {
            return Err("symbols: at most 64");
        }
        Ok(())
    }
}
