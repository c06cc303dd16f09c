//! What Bybit V5 answers when it does not do what it was asked: retCode and retMsg (EXCHANGES.md §3.6).
//!
//! **Invariants**: every refusal is made here, so that a code has one text. Texts name what was asked, never a secret.

use std::borrow::Cow;

/// A retCode with its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The retCode.
    pub code: u32,
    /// The retMsg.
    pub text: Cow<'static, str>,
}

impl Refusal {
    /// A refusal with a fixed text.
    #[must_use]
    pub const fn fixed(code: u32, text: &'static str) -> Self {
        Self { code, text: Cow::Borrowed(text) }
    }

    fn told(code: u32, text: String) -> Self {
        Self { code, text: Cow::Owned(text) }
    }

    /// 10001: a parameter is missing, has the wrong type or a value that cannot be.
    #[must_use]
    pub fn parameter(what: impl std::fmt::Display) -> Self {
        Self::told(10001, format!("params error: {what}"))
    }

    /// 10001: no such symbol.
    #[must_use]
    pub fn symbol() -> Self {
        Self::fixed(10001, "params error: symbol invalid")
    }

    /// 10001: no credentials at all.
    #[must_use]
    pub fn unsigned(timestamp: &str, key: &str, signature: &str) -> Self {
        Self::told(
            10001,
            format!("empty value: apiTimestamp[{timestamp}] apiKey[{key}] apiSignature[{signature}]"),
        )
    }

    /// 10002: the request is too old, or more than a second ahead.
    #[must_use]
    pub fn time(asked_ms: u64, server_ms: u64, window_ms: u64) -> Self {
        let text = format!(
            "invalid request, please check your server timestamp or recv_window param. \
             req_timestamp[{asked_ms}],server_timestamp[{server_ms}],recv_window[{window_ms}]"
        );
        Self::told(10002, text)
    }

    /// 10004: the signature does not belong to these bytes.
    #[must_use]
    pub fn signature(origin: &str) -> Self {
        Self::told(10004, format!("error sign! origin_string[{origin}]"))
    }

    /// 110094: below the smallest notional.
    #[must_use]
    pub fn notional(least: impl std::fmt::Display) -> Self {
        Self::told(110_094, format!("Order does not meet minimum order value {least}USDT"))
    }

    /// 110092 or 110093: the price is beyond the trigger already.
    #[must_use]
    pub fn trigger(rising: bool, trigger: impl std::fmt::Display, current: impl std::fmt::Display) -> Self {
        if rising {
            let text = format!("expect Rising, but trigger_price[{trigger}] <= current[{current}]");
            Self::told(110_092, text)
        } else {
            let text = format!("expect Falling, but trigger_price[{trigger}] >= current[{current}]");
            Self::told(110_093, text)
        }
    }

    /// 10001: a stop or a target on the wrong side of the price it is compared with.
    #[must_use]
    pub fn protection(
        what: &str,
        buys: bool,
        asked: impl std::fmt::Display,
        base: impl std::fmt::Display,
    ) -> Self {
        let side = if buys { "Buy" } else { "Sell" };
        let relation = if (what == "StopLoss") == buys { "lower" } else { "higher" };
        Self::told(
            10001,
            format!("{what}:{asked} set for {side} position should be {relation} than base_price:{base}"),
        )
    }
}

/// The refusal that a fault's code stands for.
#[must_use]
pub fn of_code(code: i64) -> Refusal {
    let known = [
        TIMEOUT,
        KEY,
        PERMISSION,
        TOO_MANY,
        ADDRESS,
        INTERNAL,
        RESTARTING,
        SOCKET_ADDRESS,
        SYSTEM_BUSY,
        REQUEST_ID,
        EXPIRED,
        NO_ORDER,
        PRICE_RANGE,
        WALLET,
        MARGIN,
        LINK_ID,
        NOT_LIVE,
        PROCESSING,
    ];
    let code = u32::try_from(code).unwrap_or(INTERNAL.code);
    known.into_iter().find(|known| known.code == code).unwrap_or(Refusal::fixed(code, "fault"))
}

/// The API key is not known.
pub const KEY: Refusal = Refusal::fixed(10003, "API key is invalid.");
/// The key may not do this.
pub const PERMISSION: Refusal =
    Refusal::fixed(10005, "Permission denied, please check your API key permissions.");
/// Too many requests of this kind by this account.
pub const TOO_MANY: Refusal = Refusal::fixed(10006, "Too many visits. Exceeded the API Rate Limit.");
/// The key is bound to other addresses.
pub const ADDRESS: Refusal =
    Refusal::fixed(10010, "Unmatched IP, please check your API key's bound IP addresses.");
/// The server could not answer in time: what became of the request is not known.
pub const TIMEOUT: Refusal = Refusal::fixed(10000, "Server Timeout");
/// Something broke inside: what became of the request is not known.
pub const INTERNAL: Refusal = Refusal::fixed(10016, "Internal server error.");
/// The order service restarts: a new connection is needed.
pub const RESTARTING: Refusal =
    Refusal::fixed(10019, "ws trade service is restarting, do not accept new request");
/// Too many messages from this address over trade sockets.
pub const SOCKET_ADDRESS: Refusal = Refusal::fixed(10403, "Exceeded the IP rate limit.");
/// The system is busy.
pub const SYSTEM_BUSY: Refusal = Refusal::fixed(10429, "System level frequency protection");
/// The op is not known on this socket.
pub const OP_NOT_FOUND: Refusal = Refusal::fixed(10404, "op type is not found");
/// The socket is authenticated already.
pub const AUTH_AGAIN: Refusal = Refusal::fixed(20001, "Repeat auth");
/// A request id was used before on this socket.
pub const REQUEST_ID: Refusal = Refusal::fixed(20006, "reqId is duplicate");
/// The key has expired.
pub const EXPIRED: Refusal = Refusal::fixed(33004, "Your api key has expired.");
/// Nothing of the protection would change.
pub const PROTECTION_SAME: Refusal = Refusal::fixed(34040, "not modified");
/// No such order, or it has ended.
pub const NO_ORDER: Refusal = Refusal::fixed(110_001, "order not exists or too late to cancel");
/// The price is outside of what may be asked.
pub const PRICE_RANGE: Refusal = Refusal::fixed(110_003, "Order price exceeds the allowable range.");
/// Nothing in the wallet.
pub const WALLET: Refusal = Refusal::fixed(110_004, "Wallet balance is insufficient");
/// Not enough is free.
pub const MARGIN: Refusal = Refusal::fixed(110_007, "ab not enough for new order");
/// Too many conditional orders.
pub const TOO_MANY_CONDITIONAL: Refusal =
    Refusal::fixed(110_009, "The number of stop orders exceeds the maximum allowable limit.");
/// The margin that the leverage would need is not there.
pub const LEVERAGE_MARGIN: Refusal = Refusal::fixed(110_012, "Insufficient available balance");
/// The leverage cannot be had.
pub const LEVERAGE: Refusal = Refusal::fixed(110_013, "Cannot set leverage due to risk limit level.");
/// The quantity is less than a step.
pub const TRUNCATED: Refusal = Refusal::fixed(110_017, "orderQty will be truncated to zero.");
/// Nothing to reduce: flat.
pub const FLAT: Refusal =
    Refusal::fixed(110_017, "current position is zero, cannot fix reduce-only order qty");
/// The reduce-only order has the side of the position.
pub const REDUCE_SIDE: Refusal = Refusal::fixed(110_017, "Reduce-only rule not satisfied");
/// Too many active orders on the symbol.
pub const TOO_MANY_ACTIVE: Refusal =
    Refusal::fixed(110_020, "Not allowed to have more than 500 active orders");
/// The symbol or the account may only reduce.
pub const ONLY_REDUCE: Refusal = Refusal::fixed(110_023, "Currently you can only reduce your positions");
/// The mode cannot change beside a position.
pub const MODE_POSITION: Refusal =
    Refusal::fixed(110_024, "You have an existing position, so the position mode cannot be switched");
/// The mode cannot change beside orders.
pub const MODE_ORDERS: Refusal =
    Refusal::fixed(110_028, "You have existing open orders, so the position mode cannot be switched");
/// The mode is what was asked.
pub const MODE_SAME: Refusal = Refusal::fixed(110_025, "Position mode is not modified");
/// The margin mode is what was asked.
pub const MARGIN_MODE_SAME: Refusal = Refusal::fixed(110_026, "Cross/isolated margin mode is not modified");
/// The leverage is what was asked.
pub const LEVERAGE_SAME: Refusal = Refusal::fixed(110_043, "leverage not modified");
/// The order link id was used before.
pub const LINK_ID: Refusal = Refusal::fixed(110_072, "OrderLinkedID is duplicate");
/// The symbol does not trade.
pub const NOT_LIVE: Refusal = Refusal::fixed(110_074, "This contract is not live");
/// The order is between two states.
pub const PROCESSING: Refusal =
    Refusal::fixed(110_079, "The order is processing and can not be operated, please try again later");
/// The position would be larger than it may be.
pub const POSITION_LIMIT: Refusal = Refusal::fixed(
    110_090,
    "Order placement failed as your position may exceed the max limit. Please adjust your leverage",
);
/// The quantity is not on the step.
pub const QUANTITY: Refusal = Refusal::fixed(10001, "Qty invalid");
/// The price is not on the tick.
pub const PRICE: Refusal = Refusal::fixed(10001, "Price invalid");
/// The quantity is more than one order may have.
pub const QUANTITY_MOST: Refusal =
    Refusal::fixed(10001, "The number of contracts exceeds maximum limit allowed: too large");
/// The quantity is less than one order may have.
pub const QUANTITY_LEAST: Refusal =
    Refusal::fixed(10001, "The number of contracts exceeds minimum limit allowed");
/// The position index does not belong to the mode.
pub const POSITION_INDEX: Refusal = Refusal::fixed(10001, "position idx not match position mode");
/// A stop or target for a position that is not there.
pub const NO_POSITION: Refusal = Refusal::fixed(10001, "can not set tp/sl/ts for zero position");
