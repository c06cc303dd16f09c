//! Bybit V5, category `linear`, settled in USDT, on a unified account: the protocol without I/O (EXCHANGES.md §3).
//!
//! * [`requests`]: HTTP requests and their signature. [`bodies`]: the JSON of orders, for HTTP and the trade socket.
//! * [`answers`]: what HTTP answers mean. [`errors`]: what a refusal means. [`instruments`]: what is listed, mark prices. [`klines`]: candles; [`tickers`]: the last 24 hours.
//! * [`events`]: private and public streams. [`trade_socket`]: order entry over WebSocket.
//! * [`rows`]: orders, executions, positions and balances, which HTTP and streams tell alike. [`fields`]: single values.
//!
//! **Invariants**: the bytes of a body are built once, signed and sent (CASES.md, T8). An order's client id is the
//! 32 letters and digits of [`ClientOrderId`](engine::core::ids::ClientOrderId), within Bybit's 36 (I1, I3, I4).
//! **Bounds**: [`ROWS_MAX`], [`CURSOR_MAX`], [`SUBSCRIBE_MAX`], `TEXT_MAX`.
//!
//! What Bybit does not have: a listen key ([`Ask::OpenListenKey`], [`Ask::KeepListenKey`] ask for the time and are answered
//! [`Answer::Done`]: there is nothing to keep), and a list of forced orders ([`Ask::ForcedOrders`], likewise), as every
//! execution tells who made it. Brackets ([`Ask::Brackets`]) are its risk limits, which it tells without a key, fifteen symbols
//! a page.

mod answers;
mod bodies;
mod errors;
mod events;
mod fields;
mod instruments;
mod klines;
mod requests;
mod rows;
mod tickers;
mod trade_socket;

use super::credential::{Credential, KeyKind};
use super::protocol::{
    Answer, Ask, Cost, Failure, Group, HttpCall, HttpReply, Malformed, Millis, Protocol, StreamEvent, Topic,
    TradeMessage, Used,
};

/// Most rows of one answer or message that are read. The longest list of Bybit is the tickers of all linear symbols: under
/// 1,000 today.
pub const ROWS_MAX: usize = 5_000;
/// Longest cursor, in bytes. Bybit's are below 300.
pub const CURSOR_MAX: usize = 1_024;
/// Most topics of one subscription: the strictest limit of any category (spot).
pub const SUBSCRIBE_MAX: usize = 10;
/// Path of a public socket of linear contracts.
pub const PUBLIC_PATH: &str = "/v5/public/linear";
/// Topics of one public socket: Bybit takes subscriptions of at most 21,000 bytes on one, and the longest topic of ours has 37
/// with its quotes and comma.
pub const TOPICS_PER_SOCKET: usize = 500;
/// How long a request stays valid after its time (`X-BAPI-RECV-WINDOW`), in ms: Bybit's default. It does not help a clock
/// that is ahead: there the limit is 1 s whatever is sent here (CASES.md, T3).
pub const RECEIVE_WINDOW_MS: u64 = 5_000;
/// How far ahead the log-in of a socket expires, in ms: a handshake's time and the error of our clock.
pub const LOGIN_LIFE_MS: u64 = 10_000;
/// The only settlement coin that is traded.
pub const SETTLE_COIN: &str = "USDT";

/// The protocol. Has no state.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bybit;

impl Bybit {
    /// Whether a key of this kind can sign for Bybit (EXCHANGES.md §3.2).
    #[must_use]
    pub const fn accepts(kind: KeyKind) -> bool {
        matches!(kind, KeyKind::Hmac | KeyKind::Rsa)
    }
}

impl Protocol for Bybit {
    const NAME: &'static str = "bybit";

    /// One request of the address (CASES.md, R4: that is a limit of its own) and one of the account in its group (R3).
    fn cost(ask: &Ask) -> Cost {
        let group = match ask {
            Ask::Place(_) => Group::Place,
            Ask::Cancel(_) => Group::Cancel,
            Ask::Protect { .. } | Ask::SetLeverage { .. } | Ask::SetIsolated(_) => Group::Configure,
            Ask::Query(_)
            | Ask::QueryEnded(_)
            | Ask::QueryById { .. }
            | Ask::OpenOrders(_)
            | Ask::OpenTriggers(_)
            | Ask::Positions(_)
            | Ask::Balances
            | Ask::Executions { .. }
            | Ask::Funding { .. }
            | Ask::Settings(_)
            | Ask::Account
            | Ask::Key => Group::Read,
            Ask::OpenListenKey
            | Ask::KeepListenKey
            | Ask::ForcedOrders { .. }
            | Ask::Time
            | Ask::Instruments(_)
            | Ask::Brackets(_)
            | Ask::Marks
            | Ask::DayTickers
            | Ask::Klines { .. } => Group::Public,
        };
        Cost { group, address: 1, account: u32::from(group != Group::Public) }
    }

    fn request(ask: &Ask, credential: Option<&Credential>, at: Millis) -> HttpCall {
        requests::request(ask, credential, at)
    }

    fn answer(ask: &Ask, reply: HttpReply<'_>) -> Result<Answer, Failure> {
        answers::answer(ask, reply)
    }

    fn used(reply: HttpReply<'_>) -> Used {
        errors::used(reply.header)
    }

    fn trade_login(credential: &Credential, request_id: &str, at: Millis) -> Option<String> {
        Some(trade_socket::login(credential, request_id, at))
    }

    fn trade_message(ask: &Ask, _credential: &Credential, request_id: &str, at: Millis) -> Option<String> {
        trade_socket::message(ask, request_id, at)
    }

    /// Reads a message of the trade socket. 10019 (the service restarts) answers its request and asks for a new connection.
    fn trade_read<'a>(
        message: &str,
        ask: &dyn Fn(&str) -> Option<&'a Ask>,
    ) -> Result<TradeMessage, Malformed> {
        trade_socket::read(message, ask)
    }

    fn private_login(credential: &Credential, at: Millis) -> Vec<String> {
        events::private_login(credential, at)
    }

    /// Reads a message of a private stream. What can be read of it is told even when a part cannot: the error then says that
    /// something is missing. The accepted log-in is a [`StreamEvent::Pong`]; [`StreamEvent::Ready`] comes with the accepted
    /// subscription, from which on nothing is missed.
    fn private_read(message: &str, sink: &mut dyn FnMut(&str, StreamEvent)) -> Result<(), Malformed> {
        events::private_read(message, &mut |event| sink("", event))
    }

    fn heartbeat(_request_id: &str) -> Option<String> {
        Some(r#"{"op":"ping"}"#.to_owned())
    }

    fn public_subscribe(topics: &[Topic]) -> Vec<String> {
        events::public_subscribe(topics)
    }

    fn public_read(message: &str, sink: &mut dyn FnMut(StreamEvent)) -> Result<(), Malformed> {
        events::public_read(message, sink)
    }
}
