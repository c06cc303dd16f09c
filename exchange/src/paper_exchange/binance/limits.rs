//! Binance's limits (EXCHANGES.md §2.3): weight per address and minute, orders per account, and the bans of those who go on.

use std::collections::BTreeMap;
use std::net::IpAddr;

use engine::core::ids::Timestamp;

use super::super::accounts::AccountNo;
use super::super::limits::{Bans, Breaches, Fixed};
use super::errors::ApiError;

const SECOND: u64 = 1_000_000;
/// Weight of an address in a minute.
pub(super) const WEIGHT_MAX: u64 = 2_400;
/// Orders of an account in 10 s.
pub(super) const ORDERS_10S_MAX: u64 = 300;
/// Orders of an account in a minute.
pub(super) const ORDERS_1M_MAX: u64 = 1_200;
/// Requests after a 429, within its minute, that are taken for not having heard it; the next is banned. Ours: the makers do not
/// say when.
const DEAF_MAX: u32 = 10;
/// The first ban, and the longest.
const BAN_FIRST: u64 = 2 * 60 * SECOND;
const BAN_MOST: u64 = 3 * 24 * 3_600 * SECOND;
/// New WebSocket connections of an address in 5 min.
const CONNECTS_MAX: u64 = 300;

/// What an account has used, for the headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OrderCount {
    pub(super) ten_seconds: u64,
    pub(super) minute: u64,
}

#[derive(Debug)]
pub(super) struct Limits {
    weight: Fixed<IpAddr>,
    ten_seconds: Fixed<AccountNo>,
    minute: Fixed<AccountNo>,
    connects: Fixed<IpAddr>,
    bans: Bans<IpAddr>,
    /// Requests after a 429, and until when they count.
    deaf: BTreeMap<IpAddr, (Timestamp, u32)>,
    pub(super) breaches: Breaches,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            weight: Fixed::new(60 * SECOND, WEIGHT_MAX),
            ten_seconds: Fixed::new(10 * SECOND, ORDERS_10S_MAX),
            minute: Fixed::new(60 * SECOND, ORDERS_1M_MAX),
            connects: Fixed::new(300 * SECOND, CONNECTS_MAX),
            bans: Bans::default(),
            deaf: BTreeMap::new(),
            breaches: Breaches::default(),
        }
    }
}

fn seconds(now: Timestamp, until: Timestamp) -> u64 {
    until.micros_since(now).div_ceil(SECOND)
}

impl Limits {
    /// Refuses who is banned. The end is told on the exchange's clock, which may be set wrong: `clock`.
    pub(super) fn check_ban(
        &mut self,
        now: Timestamp,
        clock: Timestamp,
        from: IpAddr,
    ) -> Result<(), ApiError> {
        if !self.is_banned(now, from) {
            return Ok(());
        }
        self.breaches.while_banned += 1;
        self.ban_of(now, clock, from)
    }

    /// Whether the address is banned.
    pub(super) fn is_banned(&self, now: Timestamp, from: IpAddr) -> bool {
        self.banned_until(now, from).is_some()
    }

    /// Until when the address is banned.
    pub(super) fn banned_until(&self, now: Timestamp, from: IpAddr) -> Option<Timestamp> {
        self.bans.until(now, &from)
    }

    /// Bans an address for so long.
    pub(super) fn ban(&mut self, now: Timestamp, from: IpAddr, micros: u64) {
        self.bans.impose(now, &from, micros);
    }

    /// Takes all of an address's minute.
    pub(super) fn spend_minute(&mut self, now: Timestamp, from: IpAddr) {
        self.weight.spend(now, &from, WEIGHT_MAX);
    }

    fn ban_of(&self, now: Timestamp, clock: Timestamp, from: IpAddr) -> Result<(), ApiError> {
        let Some(until) = self.bans.until(now, &from) else { return Ok(()) };
        let text = format!(
            "Way too many requests; IP({from}) banned until {}. Please use the websocket for live updates to avoid bans.",
            clock.plus_micros(until.micros_since(now)).millis()
        );
        Err(ApiError { retry_after: Some(seconds(now, until)), ..ApiError::told(418, -1003, text) })
    }

    /// Counts a request of an address and returns the weight used in its minute.
    pub(super) fn spend(
        &mut self,
        now: Timestamp,
        clock: Timestamp,
        from: IpAddr,
        weight: u64,
    ) -> Result<u64, ApiError> {
        let count = self.weight.spend(now, &from, weight);
        if count.fits || weight == 0 {
            return Ok(count.used);
        }
        self.breaches.of_addresses += 1;
        if self.deaf.len() > super::super::limits::KEYS_MAX {
            self.deaf.pop_first();
        }
        let deaf = self.deaf.entry(from).or_insert((count.resets_at, 0));
        if deaf.0 != count.resets_at {
            *deaf = (count.resets_at, 0);
        }
        deaf.1 += 1;
        if deaf.1 > DEAF_MAX && !planted::planted!("paper_never_bans") {
            self.deaf.remove(&from);
            self.bans.ban(now, &from, BAN_FIRST, 6, BAN_MOST);
            return self.ban_of(now, clock, from).map(|()| count.used);
        }
        let text = format!(
            "Too many requests; current limit of IP({from}) is {WEIGHT_MAX} requests per minute. Please use the websocket for live updates to avoid polling the API."
        );
        let retry_after = Some(seconds(now, count.resets_at));
        Err(ApiError { retry_after, ..ApiError::told(429, -1003, text) })
    }

    /// Counts orders of an account.
    pub(super) fn spend_orders(
        &mut self,
        now: Timestamp,
        account: AccountNo,
        (ten_seconds, minute): (u64, u64),
    ) -> Result<OrderCount, ApiError> {
        let short = self.ten_seconds.spend(now, &account, ten_seconds);
        let long = self.minute.spend(now, &account, minute);
        let over = [(short, ORDERS_10S_MAX, "TEN_SECONDS"), (long, ORDERS_1M_MAX, "MINUTE")]
            .into_iter()
            .find(|(count, ..)| !count.fits);
        if let Some((count, most, interval)) = over {
            self.breaches.of_accounts += 1;
            let text = format!("Too many new orders; current limit is {most} orders per {interval}.");
            let retry_after = Some(seconds(now, count.resets_at));
            return Err(ApiError { retry_after, ..ApiError::told(429, -1015, text) });
        }
        Ok(OrderCount { ten_seconds: short.used, minute: long.used })
    }

    /// Takes all orders of an account's ten seconds, and says when they are over.
    pub(super) fn exhaust(&mut self, now: Timestamp, account: AccountNo) -> Timestamp {
        self.minute.spend(now, &account, ORDERS_10S_MAX);
        self.ten_seconds.spend(now, &account, ORDERS_10S_MAX).resets_at
    }

    /// What an account has used.
    pub(super) fn orders_used(&mut self, now: Timestamp, account: AccountNo) -> OrderCount {
        OrderCount {
            ten_seconds: self.ten_seconds.spend(now, &account, 0).used,
            minute: self.minute.spend(now, &account, 0).used,
        }
    }

    /// Counts a new WebSocket of an address.
    pub(super) fn connect(&mut self, now: Timestamp, clock: Timestamp, from: IpAddr) -> Result<(), ApiError> {
        self.check_ban(now, clock, from)?;
        let count = self.connects.spend(now, &from, 1);
        if count.fits {
            return Ok(());
        }
        self.breaches.of_sockets += 1;
        let retry_after = Some(seconds(now, count.resets_at));
        Err(ApiError {
            retry_after,
            ..ApiError::told(429, -1003, "Too many connections; 300 per 5 minutes.".to_owned())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    #[test]
    fn case_r2_who_goes_on_after_a_429_is_banned_longer_each_time() {
        let mut limits = Limits::default();
        let mut now = Timestamp(0);
        let mut bans = Vec::new();
        for _ in 0..6 {
            let mut statuses = Vec::new();
            for _ in 0..2_420 {
                let spent = limits.check_ban(now, now, FROM).and_then(|()| limits.spend(now, now, FROM, 1));
                if let Err(error) = spent {
                    statuses.push((error.status, error.retry_after.unwrap()));
                }
            }
            assert_eq!(statuses.iter().filter(|(status, _)| *status == 429).count(), 10);
            assert_eq!(statuses.len(), 20);
            assert!(statuses[10..].iter().all(|(status, _)| *status == 418));
            bans.push(statuses[10].1);
            now = limits.bans.until(now, &FROM).unwrap();
            assert!(limits.check_ban(now, now, FROM).is_ok());
            now = Timestamp(now.0.next_multiple_of(60 * SECOND));
        }
        assert_eq!(bans, [120, 720, 4_320, 25_920, 155_520, 259_200]);
        let Breaches { of_addresses, while_banned, .. } = limits.breaches;
        assert_eq!((of_addresses, while_banned), (6 * 11, 6 * 9));
    }

    #[test]
    fn orders_are_counted_per_account() {
        let mut limits = Limits::default();
        for _ in 0..300 {
            limits.spend_orders(Timestamp(0), AccountNo(1), (1, 1)).unwrap();
        }
        let error = limits.spend_orders(Timestamp(0), AccountNo(1), (1, 1)).unwrap_err();
        assert_eq!((error.status, error.code), (429, -1015));
        assert!(limits.spend_orders(Timestamp(0), AccountNo(2), (1, 1)).is_ok());
        assert!(limits.spend_orders(Timestamp(10 * SECOND), AccountNo(1), (1, 1)).is_ok());
    }
}
