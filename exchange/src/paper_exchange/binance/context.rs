//! What a request is worked off with, over HTTP and over the WebSocket API alike.

use std::net::IpAddr;

use engine::core::ids::Timestamp;
use engine::core::instrument::{Instrument, Symbol};

use super::super::accounts::{Account, AccountNo};
use super::super::face::Desk;
use super::super::keys::ApiKey;
use super::super::refusal::Refusal;
use super::errors::ApiError;
use super::params::Params;
use super::streams::Streams;

/// Longest `recvWindow`, and the one when none is sent, in milliseconds (EXCHANGES.md §2.2).
const WINDOW_MAX: u64 = 60_000;
const WINDOW_DEFAULT: u64 = 5_000;
/// How far a request's time may be ahead, in milliseconds, whatever the window (CASES.md, T3).
const AHEAD_MAX: u64 = 1_000;

/// What a handler answers: a JSON text.
pub(super) type Answer = Result<String, ApiError>;

/// A request that is being worked off.
pub(super) struct Context<'a, 'd> {
    pub(super) desk: &'a mut Desk<'d>,
    pub(super) streams: &'a mut Streams,
    pub(super) params: &'a Params,
    /// Whose; account 0 for public requests, which do not look at it.
    pub(super) account: AccountNo,
    /// The key's text; empty for public requests.
    pub(super) api_key: &'a str,
}

impl Context<'_, '_> {
    pub(super) fn now_ms(&self) -> u64 {
        self.desk.core.now().millis()
    }

    pub(super) fn account(&self) -> Result<&Account, ApiError> {
        self.desk.core.account(self.account).ok_or(ApiError::KEY)
    }

    pub(super) fn instrument(&self, symbol: Symbol) -> Result<Instrument, ApiError> {
        self.desk.core.instrument(symbol).copied().ok_or(ApiError::SYMBOL)
    }

    /// The instrument that `symbol` names.
    pub(super) fn named(&self) -> Result<Instrument, ApiError> {
        self.instrument(self.params.symbol()?)
    }

    /// The instruments that are asked for: one, or all.
    pub(super) fn asked(&self) -> Result<Vec<Instrument>, ApiError> {
        match self.params.maybe_symbol()? {
            Some(symbol) => Ok(vec![self.instrument(symbol)?]),
            None => Ok(self.desk.core.instruments().to_vec()),
        }
    }
}

/// Whether a request's time is within its window.
pub(super) fn check_time(params: &Params, now: Timestamp) -> Result<(), ApiError> {
    let sent = params.integer("timestamp")?.ok_or_else(|| ApiError::mandatory("timestamp"))?;
    let window = params.integer("recvWindow")?.unwrap_or(WINDOW_DEFAULT);
    if window > WINDOW_MAX {
        return Err(ApiError::plain(-1131, "recvWindow must be less than 60000."));
    }
    let now = now.millis();
    if sent >= now.saturating_add(AHEAD_MAX) {
        return Err(ApiError::TIMESTAMP_AHEAD);
    }
    if now.saturating_sub(sent) > window {
        return Err(ApiError::TIMESTAMP);
    }
    Ok(())
}

/// The key that a text names, when it may be used from here.
pub(super) fn find_key<'a>(desk: &'a Desk<'_>, api_key: &str, from: IpAddr) -> Result<&'a ApiKey, ApiError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if api_key.is_empty() || api_key.len() > 256 || !api_key.bytes().all(plain) {
        return Err(ApiError::KEY_FORMAT);
    }
    let key = desk.core.key(api_key).ok_or(ApiError::KEY)?;
    let face = desk.core.account(key.account).map(|account| account.face);
    let ours = face == Some(super::super::FaceKind::Binance);
    if ours && key.is_usable(from, desk.core.now()) { Ok(key) } else { Err(ApiError::KEY) }
}

/// A refusal of a cancellation: what is not there or finished is one thing to Binance.
pub(super) fn cancel_error(refusal: Refusal) -> ApiError {
    match refusal {
        Refusal::UnknownOrder | Refusal::Finished => ApiError::CANCEL_REJECTED,
        other => other.into(),
    }
}
