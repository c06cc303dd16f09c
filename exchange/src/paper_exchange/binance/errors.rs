//! Binance's error codes and texts (EXCHANGES.md §2.8).

use std::borrow::Cow;

use super::super::refusal::Refusal;
use super::super::transport::HttpAnswer;

/// An error as it is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiError {
    pub(super) status: u16,
    pub(super) code: i64,
    pub(super) message: Cow<'static, str>,
    /// Seconds to wait.
    pub(super) retry_after: Option<u64>,
}

const fn error(code: i64, message: &'static str) -> ApiError {
    with_status(400, code, message)
}

const fn with_status(status: u16, code: i64, message: &'static str) -> ApiError {
    ApiError { status, code, message: Cow::Borrowed(message), retry_after: None }
}

impl ApiError {
    pub(super) const TIMESTAMP: Self =
        error(-1021, "Timestamp for this request is outside of the recvWindow.");
    pub(super) const TIMESTAMP_AHEAD: Self =
        error(-1021, "Timestamp for this request was 1000ms ahead of the server's time.");
    pub(super) const SIGNATURE: Self = error(-1022, "Signature for this request is not valid.");
    pub(super) const TOO_MANY_PARAMETERS: Self = error(-1101, "Too many parameters sent for this endpoint.");
    pub(super) const PRECISION: Self = error(-1111, "Precision is over the maximum defined for this asset.");
    pub(super) const SYMBOL: Self = error(-1121, "Invalid symbol.");
    pub(super) const TIME_IN_FORCE: Self = error(-1115, "Invalid timeInForce.");
    pub(super) const ORDER_TYPE: Self = error(-1116, "Invalid orderType.");
    pub(super) const SIDE: Self = error(-1117, "Invalid side.");
    pub(super) const LISTEN_KEY: Self = error(-1125, "This listenKey does not exist.");
    pub(super) const REDUCE_ONLY_NOT_REQUIRED: Self =
        error(-1106, "Parameter 'reduceOnly' sent when not required.");
    pub(super) const QUANTITY_NOT_REQUIRED: Self =
        error(-1106, "Parameter 'quantity' sent when not required.");
    pub(super) const CANCEL_REJECTED: Self = error(-2011, "Unknown order sent.");
    pub(super) const NO_SUCH_ORDER: Self = error(-2013, "Order does not exist.");
    pub(super) const KEY_FORMAT: Self = with_status(401, -2014, "API-key format invalid.");
    pub(super) const KEY: Self = with_status(401, -2015, "Invalid API-key, IP, or permissions for action.");
    pub(super) const CLIENT_ID: Self = error(-4015, "Client order id is not valid.");
    pub(super) const PRICE_MOST: Self = error(-4002, "Price greater than max price.");
    pub(super) const PRICE_LEAST: Self = error(-4013, "Price less than min price.");
    pub(super) const LEVERAGE_MARGIN: Self =
        error(-2028, "Leverage is smaller than permitted: insufficient margin balance.");
    pub(super) const PRICE_TOO_HIGH: Self = error(-4016, "Limit price can't be higher than the price limit.");
    pub(super) const PRICE_TOO_LOW: Self = error(-4024, "Limit price can't be lower than the price limit.");
    pub(super) const MARGIN_TYPE_SAME: Self = error(-4046, "No need to change margin type.");
    pub(super) const MODE_SAME: Self = error(-4059, "No need to change position side.");
    pub(super) const ALGO_ENDPOINT: Self = error(
        -4120,
        "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead.",
    );
    pub(super) const NO_PATH: Self = with_status(404, -5000, "Path or method is invalid.");
    pub(super) const METHOD: Self = error(-5001, "Unknown method.");
    pub(super) const SESSION_KEY: Self =
        error(-4056, "Only Ed25519 keys can log a session on; sign each request instead.");

    pub(super) const fn plain(code: i64, message: &'static str) -> Self {
        error(code, message)
    }

    pub(super) fn told(status: u16, code: i64, message: String) -> Self {
        Self { status, code, message: Cow::Owned(message), retry_after: None }
    }

    pub(super) fn mandatory(name: &str) -> Self {
        let text = format!("Mandatory parameter '{name}' was not sent, was empty/null, or malformed.");
        Self::told(400, -1102, text)
    }

    pub(super) fn illegal(name: &str) -> Self {
        let text = format!(
            "Illegal characters found in parameter '{name}'; legal range is '^([0-9]{{1,20}})(\\.[0-9]{{1,20}})?$'."
        );
        Self::told(400, -1100, text)
    }

    /// As a JSON object.
    pub(super) fn body(&self) -> String {
        serde_json::json!({ "code": self.code, "msg": self.message }).to_string()
    }

    pub(super) fn answer(&self) -> HttpAnswer {
        let answer = HttpAnswer::new(self.status, self.body());
        match self.retry_after {
            Some(seconds) => answer.with("Retry-After", seconds),
            None => answer,
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let (code, text) = match refusal {
            Refusal::Symbol => return Self::SYMBOL,
            Refusal::Account => return Self::KEY,
            Refusal::UnknownOrder | Refusal::Finished => return Self::NO_SUCH_ORDER,
            Refusal::MayNotTrade => (-4088, "User can not place order currently."),
            Refusal::SymbolClosed => (-4141, "Symbol is closed."),
            Refusal::SymbolOnlyReduces => (-4140, "Invalid symbol status for opening position."),
            Refusal::NotFilledAtOnce => (
                -5021,
                "Due to the order could not be filled immediately, the FOK order has been rejected. The order will not be recorded in the order history.",
            ),
            Refusal::PriceZero => (-4001, "Price less than 0."),
            Refusal::PriceTick => (-4014, "Price not increased by tick size."),
            Refusal::QuantityZero => (-4003, "Quantity less than or equal to zero."),
            Refusal::QuantityStep => (-4023, "Quantity not increased by step size."),
            Refusal::QuantityMin => (-4004, "Quantity less than min quantity."),
            Refusal::QuantityMax => (-4005, "Quantity greater than max quantity."),
            Refusal::Notional => (
                -4164,
                "Order's notional must be no smaller than the minimum (unless you choose reduce only).",
            ),
            Refusal::PositionMax => (-2027, "Exceeded the maximum allowable position at current leverage."),
            Refusal::Margin => (-2019, "Margin is insufficient."),
            Refusal::Leverage => (-4028, "Leverage is not valid."),
            Refusal::LeverageReduction => {
                (-4161, "Leverage reduction is not supported in Isolated Margin Mode with open positions.")
            }
            Refusal::NothingToReduce => (-2022, "ReduceOnly Order is rejected."),
            Refusal::WouldTrigger => (-2021, "Order would immediately trigger."),
            Refusal::WouldTake => (
                -5022,
                "Due to the order could not be executed as maker, the Post Only order will be rejected.",
            ),
            Refusal::DuplicateId => (-4116, "ClientOrderId is duplicated."),
            Refusal::TooManyOrders => (-2025, "Reach max open order limit."),
            Refusal::TooManyTriggers => (-4045, "Reach max stop order limit."),
            Refusal::PositionSide => (-4061, "Order's position side does not match user's setting."),
            Refusal::BothSides => {
                (-4061, "The paper exchange holds one position per symbol: close the other side first.")
            }
            Refusal::ReduceOnlyInHedge => return Self::REDUCE_ONLY_NOT_REQUIRED,
            Refusal::NoChange => (-5027, "No need to modify the order."),
            Refusal::OrdersOpen => (-4067, "Position side cannot be changed if there exists open orders."),
            Refusal::PositionsOpen => (-4068, "Position side cannot be changed if there exists position."),
            Refusal::NoPosition => (-4509, "TIF GTE can only be used with open positions."),
            Refusal::Lifetime => {
                (-4209, "goodTillDate must be later than the current time plus 600 seconds.")
            }
            Refusal::Full | Refusal::Key => {
                (-1000, "An unknown error occurred while processing the request.")
            }
        };
        error(code, text)
    }
}
