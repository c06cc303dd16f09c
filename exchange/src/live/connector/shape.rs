//! What differs between the exchanges beyond their language: how sockets are shared, and what an answer proves.

use engine::core::user::VenueKind;

use crate::live::binance::Binance;
use crate::live::bybit::Bybit;
use crate::live::protocol::Protocol;

/// See the module's head.
pub trait Shape: Protocol {
    /// Which venue it is.
    const VENUE: VenueKind;
    /// Whether one socket serves many accounts (Binance: listen keys, requests signed one by one) or one (Bybit).
    const SHARED: bool;
    /// Whether brackets are told only to a key (Binance), whoever's: they are the same for all.
    const BRACKETS_NEED_A_KEY: bool;
    /// Whether a position's triggers are the position's own (Bybit), set with its entry, or orders of their own.
    const ATTACHES: bool;
    /// Whether the list of executions tells which of them are the exchange's own (Bybit), or another list has to be asked.
    const LISTS_TELL_MAKERS: bool;
    /// Whether the list of funding begins with the oldest (Binance), so that a part of it is whole up to its last row.
    const FUNDING_OLDEST_FIRST: bool;
    /// Whether it is the balances that tell which account it is (Binance), and not what is said of the key.
    const BALANCES_NAME: bool;
    /// Whether the answer to a new order proves that it is live. On Bybit the order stream does (EXCHANGES.md §3.4).
    const ANSWER_IS_PROOF: bool;
    /// Whether the id that an order was sent with may be used again once it is over (Binance, CASES.md U13): then the same order sent
    /// twice may be two. On Bybit it never may (EXCHANGES.md §3.4).
    const IDS_COME_BACK: bool;
    /// Whether orders that have ended may be known to another question alone (Bybit): after a release or a restart of the exchange
    /// `order/realtime` tells only those that live, `order/history` the others.
    const ENDED_APART: bool;
    /// New sockets that one address may open, and in how many microseconds (EXCHANGES.md §2.3, §3.3).
    const SOCKET_OPENS: (u32, u64);
    /// A socket over which nothing came for so long, in microseconds, is dead (CASES.md S3).
    const SILENCE_MAX: u64;
    /// Whether pings and pongs of the WebSocket protocol are signs of life. Where the exchange itself answers our messages,
    /// they are not: a front end may answer them though what is behind it is gone.
    const FRAMES_ARE_LIFE: bool;
    /// Whether orders may be entered over a WebSocket on the demo, too (EXCHANGES.md §3.1: not on Bybit's).
    const DEMO_TRADES: bool;
    /// Path of the order-entry socket.
    const TRADE_TARGET: &'static str;
    /// Assets that an account may be settled in, the first that it holds counts (CASES.md P12).
    const SETTLEMENT: &'static [&'static str];
    /// Path and query of a public socket of mark prices.
    const MARKS_TARGET: &'static str;
    /// Whether it tells every symbol once a second, without a subscription (Binance), or what it is subscribed to when that
    /// changes (Bybit).
    const MARKS_ARE_WHOLE: bool;
    /// Symbols that one socket is subscribed to.
    const MARKS_PER_SOCKET: usize;
    /// A socket that has told no mark price for so long is opened anew, in microseconds.
    const MARKS_SILENCE_MAX: u64;
    /// Path and query of a private stream for these listen keys; without keys the plain path.
    fn private_target(listen_keys: &[&str]) -> String;
}

const _: () = {
    use super::limits::HEARTBEAT_SPAN;
    assert!(Bybit::SILENCE_MAX > 2 * HEARTBEAT_SPAN, "one lost answer does not end a socket");
};

impl Shape for Binance {
    const VENUE: VenueKind = VenueKind::Binance;
    const SHARED: bool = true;
    const BRACKETS_NEED_A_KEY: bool = true;
    const ATTACHES: bool = false;
    const LISTS_TELL_MAKERS: bool = false;
    const FUNDING_OLDEST_FIRST: bool = true;
    const BALANCES_NAME: bool = true;
    const ANSWER_IS_PROOF: bool = true;
    const IDS_COME_BACK: bool = true;
    const ENDED_APART: bool = false;
    const SOCKET_OPENS: (u32, u64) = (300, 300_000_000);
    /// The server pings every 3 minutes (EXCHANGES.md §2.3): one ping, and half a minute for one that is late.
    const SILENCE_MAX: u64 = 210_000_000;
    const FRAMES_ARE_LIFE: bool = true;
    const DEMO_TRADES: bool = true;
    const TRADE_TARGET: &'static str = crate::live::binance::TRADE_PATH;
    const SETTLEMENT: &'static [&'static str] = &["USDT", "BNFCR", "USDC"];
    const MARKS_TARGET: &'static str = crate::live::binance::MARKS_PATH;
    const MARKS_ARE_WHOLE: bool = true;
    // It is not subscribed to.
    const MARKS_PER_SOCKET: usize = 0;
    // Ten messages that did not come.
    const MARKS_SILENCE_MAX: u64 = 10_000_000;

    fn private_target(listen_keys: &[&str]) -> String {
        crate::live::binance::private_path(listen_keys)
    }
}

impl Shape for Bybit {
    const VENUE: VenueKind = VenueKind::Bybit;
    const SHARED: bool = false;
    const BRACKETS_NEED_A_KEY: bool = false;
    const ATTACHES: bool = true;
    const LISTS_TELL_MAKERS: bool = true;
    const FUNDING_OLDEST_FIRST: bool = false;
    const BALANCES_NAME: bool = false;
    const ANSWER_IS_PROOF: bool = false;
    const IDS_COME_BACK: bool = false;
    const ENDED_APART: bool = true;
    const SOCKET_OPENS: (u32, u64) = (500, 300_000_000);
    /// We ping every 20 s at least and are answered (EXCHANGES.md §3.2): two pings, and time for the second answer.
    const SILENCE_MAX: u64 = 45_000_000;
    const FRAMES_ARE_LIFE: bool = false;
    const DEMO_TRADES: bool = false;
    const TRADE_TARGET: &'static str = "/v5/trade";
    const SETTLEMENT: &'static [&'static str] = &["USDT", "USDC"];
    const MARKS_TARGET: &'static str = crate::live::bybit::PUBLIC_PATH;
    const MARKS_ARE_WHOLE: bool = false;
    const MARKS_PER_SOCKET: usize = crate::live::bybit::TOPICS_PER_SOCKET;
    // Nothing is promised while nothing changes, but some hundred prices do not stand still for so long.
    const MARKS_SILENCE_MAX: u64 = 30_000_000;

    fn private_target(_listen_keys: &[&str]) -> String {
        "/v5/private".to_owned()
    }
}
