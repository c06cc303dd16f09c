//! Binance USD-M futures: its language, without I/O (EXCHANGES.md §2).
//!
//! * `requests`: questions as signed REST calls; `trade_socket`: as messages of the WebSocket API, and their answers.
//! * `answers`, `orders`, `positions`, `instruments`: results read; `errors`: refusals and what they mean.
//! * `events`: user streams; `public`: mark prices and trades; `envelope`: what both come in. `klines`: candles; `tickers`: the last 24 hours.
//! * `json`, `date`: numbers and dates as Binance writes them.
//!
//! **Invariants**: no state, no clock, no floating point; any text whatsoever is read to a value or to a typed error.
//! **Bounds**: work is linear in the length of the text; texts that are kept are cut at `TEXT_MAX`.
//!
//! What Binance lacks: `Ask::Protect` (triggers are orders of their own there). It is answered with a failure of kind `Bug`.

mod answers;
mod date;
mod envelope;
mod errors;
mod events;
mod instruments;
mod json;
mod klines;
mod orders;
mod positions;
mod public;
mod requests;
mod tickers;
mod trade_socket;

use super::credential::{Credential, KeyKind};
use super::protocol::{
    AccountUse, Answer, Ask, Cost, Failure, FailureKind, HttpCall, HttpReply, Malformed, Millis, Protocol,
    StreamEvent, Topic, TradeMessage, Used,
};

/// The path of [`Ask::Key`]: it is served by the spot host (`api.binance.com`), not by the futures host.
pub const KEY_PATH: &str = "/sapi/v1/account/apiRestrictions";

/// The events of a user stream that are read: whoever opens a stream with a filter lists these.
pub const PRIVATE_EVENTS: [&str; 5] =
    ["ORDER_TRADE_UPDATE", "ALGO_UPDATE", "ACCOUNT_UPDATE", "ACCOUNT_CONFIG_UPDATE", "listenKeyExpired"];

/// Path of the WebSocket API, below its host (EXCHANGES.md §2.1).
pub const TRADE_PATH: &str = "/ws-fapi/v1";

/// Path and query of a connection that tells the mark prices of all symbols once a second, below the host of streams. Prices are
/// told on `/market` only: on any other path nothing comes, and no error (EXCHANGES.md §2.1).
pub const MARKS_PATH: &str = "/market/stream?streams=!markPrice@arr@1s";

/// Path of a connection that is subscribed to topics afterwards, likewise.
pub const MARKET_PATH: &str = "/market/stream";

/// Path and query of a connection with the user streams of these listen keys, below the host of streams (EXCHANGES.md §2.7).
#[must_use]
pub fn private_path(listen_keys: &[&str]) -> String {
    let events = PRIVATE_EVENTS.join("/");
    let streams: Vec<String> =
        listen_keys.iter().map(|key| format!("listenKey={key}&events={events}")).collect();
    format!("/private/stream?{}", streams.join("&"))
}

/// The language of Binance USD-M futures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Binance;

impl Binance {
    /// Whether a key of this kind can sign for Binance: each can (EXCHANGES.md §2.2).
    #[must_use]
    pub const fn accepts(kind: KeyKind) -> bool {
        matches!(kind, KeyKind::Hmac | KeyKind::Rsa | KeyKind::Ed25519)
    }
}

impl Protocol for Binance {
    const NAME: &'static str = "binance";

    fn cost(ask: &Ask) -> Cost {
        requests::cost(ask)
    }

    fn request(ask: &Ask, credential: Option<&Credential>, at: Millis) -> HttpCall {
        requests::call(ask, credential, at)
    }

    fn answer(ask: &Ask, reply: HttpReply<'_>) -> Result<Answer, Failure> {
        if matches!(ask, Ask::Protect { .. }) {
            return Err(Failure::new(FailureKind::Bug, 0, "Binance has no triggers of a position"));
        }
        if !(200..300).contains(&reply.status) {
            return errors::read(ask, reply);
        }
        let unreadable = |why: &str| Failure::new(FailureKind::Unreadable, 0, why);
        let text = std::str::from_utf8(reply.body).map_err(|_| unreadable("not UTF-8"))?;
        if let Some(outcome) = errors::within_success(ask, text) {
            return outcome;
        }
        answers::read(ask, text, errors::date(reply)).map_err(|error| unreadable(&error.0))
    }

    fn used(reply: HttpReply<'_>) -> Used {
        let count = |name: &str| (reply.header)(name)?.trim().parse().ok();
        Used {
            address: count("x-mbx-used-weight-1m"),
            account: count("x-mbx-order-count-10s").map(AccountUse::Used),
        }
    }

    fn trade_login(_credential: &Credential, _request_id: &str, _at: Millis) -> Option<String> {
        None
    }

    fn trade_message(ask: &Ask, credential: &Credential, request_id: &str, at: Millis) -> Option<String> {
        trade_socket::message(ask, credential, request_id, at)
    }

    fn trade_read<'a>(
        message: &str,
        ask: &dyn Fn(&str) -> Option<&'a Ask>,
    ) -> Result<TradeMessage, Malformed> {
        trade_socket::read(message, ask)
    }

    fn private_login(_credential: &Credential, _at: Millis) -> Vec<String> {
        Vec::new()
    }

    fn private_read(message: &str, sink: &mut dyn FnMut(&str, StreamEvent)) -> Result<(), Malformed> {
        events::private(message, sink)
    }

    fn heartbeat(_request_id: &str) -> Option<String> {
        None
    }

    fn public_subscribe(topics: &[Topic]) -> Vec<String> {
        public::subscribe(topics)
    }

    fn public_read(message: &str, sink: &mut dyn FnMut(StreamEvent)) -> Result<(), Malformed> {
        public::read(message, sink)
    }
}
