//! Which limit of an account a request counts against, how many of its kind a rolling second takes, and who has used what
//! (EXCHANGES.md §3.3; the limits are those of a user without VIP level).
//!
//! **Invariants**: HTTP and the trade socket share a group's count; a refused request does not count.
//! **Bounds**: those of [`Rolling`].

use std::collections::BTreeMap;

use engine::core::ids::Timestamp;

use crate::paper_exchange::accounts::AccountNo;
use crate::paper_exchange::limits::Rolling;

/// One limit of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// order/create.
    Create,
    /// order/amend.
    Amend,
    /// order/cancel.
    Cancel,
    /// order/cancel-all.
    CancelAll,
    /// order/create-batch, counted per order.
    CreateBatch,
    /// order/amend-batch, counted per order.
    AmendBatch,
    /// order/cancel-batch, counted per order.
    CancelBatch,
    /// order/realtime.
    Realtime,
    /// order/history.
    History,
    /// execution/list.
    Executions,
    /// position/list and symbol-info.
    Positions,
    /// position/closed-pnl.
    ClosedPnl,
    /// account/wallet-balance.
    Wallet,
    /// account/info.
    AccountInfo,
    /// account/instruments-info.
    AccountInstruments,
    /// account/transaction-log.
    Transactions,
    /// account/fee-rate.
    FeeRate,
    /// account/set-margin-mode.
    MarginMode,
    /// position/set-leverage.
    Leverage,
    /// position/switch-mode and switch-isolated.
    SwitchMode,
    /// position/trading-stop.
    TradingStop,
    /// user/query-api.
    Key,
    /// Everything of asset.
    Asset,
}

impl Group {
    /// Requests (or orders of batches) per rolling second.
    #[must_use]
    pub const fn per_second(self) -> usize {
        match self {
            Self::Create
            | Self::Amend
            | Self::Cancel
            | Self::CancelAll
            | Self::CreateBatch
            | Self::AmendBatch
            | Self::CancelBatch
            | Self::AccountInstruments
            | Self::Leverage
            | Self::SwitchMode
            | Self::TradingStop
            | Self::Key => 10,
            Self::Realtime
            | Self::History
            | Self::Executions
            | Self::Positions
            | Self::ClosedPnl
            | Self::Wallet
            | Self::AccountInfo => 50,
            Self::Transactions => 25,
            Self::FeeRate | Self::MarginMode | Self::Asset => 5,
        }
    }
}

/// What the X-Bapi-Limit headers tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// X-Bapi-Limit.
    pub limit: usize,
    /// X-Bapi-Limit-Status: how many are left.
    pub left: usize,
    /// X-Bapi-Limit-Reset-Timestamp: now, or when a refused one would be taken.
    pub reset_at: Timestamp,
}

/// The length of the window in microseconds.
const WINDOW_MICROS: u64 = 1_000_000;

/// What accounts have used of their limits.
#[derive(Debug, Default)]
pub struct Usage {
    windows: BTreeMap<Group, Rolling<AccountNo>>,
    /// Requests and orders that did not fit.
    pub(super) refused: u64,
}

impl Usage {
    /// Takes what is left of every limit of an account that orders and triggers count against, and says when it is over.
    pub fn exhaust(&mut self, account: AccountNo, now: Timestamp) -> Timestamp {
        let refused = self.refused;
        let taken = [Group::Create, Group::Cancel, Group::TradingStop].map(|group| {
            let (_, told) = self.take(account, group, group.per_second() + 1, now);
            told.reset_at
        });
        // It was not asked by those who are watched.
        self.refused = refused;
        taken.into_iter().max().unwrap_or(now).max(now.plus_micros(WINDOW_MICROS))
    }

    /// Takes as much of `count` as the account's limit has, and tells how it stands. All or part: the caller says what
    /// does not fit.
    pub fn take(
        &mut self,
        account: AccountNo,
        group: Group,
        count: usize,
        now: Timestamp,
    ) -> (usize, Standing) {
        let limit = group.per_second();
        let window = self.windows.entry(group).or_insert_with(|| Rolling::new(WINDOW_MICROS, limit));
        let mut standing = Standing { limit, left: 0, reset_at: now };
        for taken in 0..count {
            let told = window.spend(now, &account);
            if !told.fits {
                self.refused += 1;
                return (taken, Standing { left: 0, reset_at: told.resets_at, ..standing });
            }
            standing.left = limit.saturating_sub(usize::try_from(told.used).unwrap_or(usize::MAX));
        }
        (count, standing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_rolls() {
        let mut usage = Usage::default();
        let (one, other) = (AccountNo(7), AccountNo(8));
        let at = Timestamp::from_millis;
        for step in 0..10 {
            let (taken, standing) = usage.take(one, Group::Create, 1, at(1_000 + step * 10));
            assert_eq!((taken, standing.left), (1, usize::try_from(9 - step).unwrap()));
        }
        let (taken, standing) = usage.take(one, Group::Create, 1, at(1_500));
        assert_eq!((taken, standing.left, standing.reset_at), (0, 0, at(2_000)));
        // Other accounts and other groups have their own.
        assert_eq!(usage.take(other, Group::Create, 1, at(1_500)).0, 1);
        assert_eq!(usage.take(one, Group::Cancel, 1, at(1_500)).0, 1);
        assert_eq!(usage.take(one, Group::Create, 1, at(1_999)).0, 0);
        assert_eq!(usage.take(one, Group::Create, 2, at(2_000)).0, 1);
    }
}
