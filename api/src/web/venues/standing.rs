//! How each exchange, environment and egress address stands, for whoever watches over them.
//!
//! **Runs on**: any thread. **Invariants**: as the status document says it: of the address the newest word counts, of its lines
//! the sum or the largest.

use engine::core::ids::Timestamp;
use exchange::live::pacing::circuit::{CircuitReason, CircuitState};

use super::{AddressRow, FIGURES, rows};
use crate::web::gauges::ShardGauges;

/// A circuit that is not closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Why.
    pub reason: CircuitReason,
    /// Until when nothing goes; `None` while it is found out whether something does.
    pub until: Option<Timestamp>,
}

/// One address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Exchange, environment and egress address in words: `binance testnet from any`.
    pub place: String,
    /// What is wrong with its circuit.
    pub trouble: Option<Trouble>,
    /// Whether this host's clock is off by more than half a second by the exchange's.
    pub clock_alarm: bool,
    /// By how much, in microseconds, whichever way.
    pub clock_off_micros: u64,
    /// Accounts, over all shards.
    pub accounts: u64,
    /// Of them, those that open nothing until their users have acted.
    pub suspended: u64,
}

fn figure(row: &AddressRow, name: &str) -> u64 {
    let place = FIGURES.iter().position(|figure| figure.name == name);
    row.over_lines(place.expect("the table has every figure that is asked for here"))
}

fn standing(row: &AddressRow) -> Standing {
    let trouble = match row.newest().circuit {
        CircuitState::Closed => None,
        CircuitState::Open { until, reason } => Some(Trouble { reason, until: Some(until) }),
        CircuitState::HalfOpen { reason } => Some(Trouble { reason, until: None }),
    };
    Standing {
        place: format!("{} {} from {}", row.venue, row.environment, row.egress),
        trouble,
        clock_alarm: figure(row, "clock_alarm") > 0,
        clock_off_micros: figure(row, "clock_off_micros"),
        accounts: figure(row, "accounts"),
        suspended: figure(row, "accounts_suspended"),
    }
}

/// All addresses that an account is at.
#[must_use]
pub fn standings(shards: &[ShardGauges]) -> Vec<Standing> {
    rows(shards).iter().map(standing).collect()
}
