//! What clients say over a socket and how it is answered: ops of the public, private and trade sockets.
//!
//! **Invariants**: a message that cannot be read is answered with an error, never with silence, and never ends the socket.
//! **Bounds**: [`super::fields::BYTES_MAX`] per message, [`TOPICS_MAX`] per socket.

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::codes::Refusal;
use super::fields::{BYTES_MAX, Fields};
use super::kline::span_ms;
use engine::core::instrument::Symbol;

/// Topics of one socket: every symbol of the list in every kind, several times over.
pub const TOPICS_MAX: usize = 1_000;

/// A message of a client.
#[derive(Debug, Default)]
pub struct Frame {
    /// What it wants.
    pub op: String,
    /// `req_id` or `reqId`; empty when there is none.
    pub id: String,
    /// What it wants it with.
    pub args: Vec<Box<RawValue>>,
    /// The `header` of a trade message.
    pub header: Fields,
}

#[derive(serde::Deserialize)]
struct Raw {
    #[serde(default)]
    op: String,
    #[serde(default)]
    req_id: Option<String>,
    #[serde(default, rename = "reqId")]
    request_id: Option<String>,
    #[serde(default)]
    args: Option<Vec<Box<RawValue>>>,
    #[serde(default)]
    header: Option<Box<RawValue>>,
}

impl Frame {
    /// Reads a message.
    ///
    /// # Errors
    /// 10001.
    pub fn read(text: &str) -> Result<Self, Refusal> {
        if text.len() > BYTES_MAX {
            return Err(Refusal::parameter("message too long"));
        }
        let raw: Raw = serde_json::from_str(text).map_err(|_| Refusal::parameter("message invalid"))?;
        let header =
            raw.header.map_or_else(|| Ok(Fields::default()), |raw| Fields::of_json(raw.get().as_bytes()))?;
        Ok(Self {
            op: raw.op,
            id: raw.request_id.or(raw.req_id).unwrap_or_default(),
            args: raw.args.unwrap_or_default(),
            header,
        })
    }

    /// The `at`-th argument as a text: a string without its quotes, a number as it was written.
    #[must_use]
    pub fn text(&self, at: usize) -> Option<String> {
        let raw = self.args.get(at)?.get();
        if raw.starts_with('"') { serde_json::from_str(raw).ok() } else { Some(raw.to_owned()) }
    }

    /// All arguments as topics.
    ///
    /// # Errors
    /// 10001 when one is no text.
    pub fn topics(&self) -> Result<Vec<String>, Refusal> {
        let read = |raw: &RawValue| serde_json::from_str(raw.get());
        self.args.iter().map(|raw| read(raw).map_err(|_| Refusal::parameter("args invalid"))).collect()
    }
}

/// A topic of the public socket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PublicTopic {
    /// `tickers.{symbol}`.
    Ticker(Symbol),
    /// `orderbook.{depth}.{symbol}`: one level, whatever depth is asked for.
    Book(u16, Symbol),
    /// `kline.{interval}.{symbol}`.
    Kline(String, Symbol),
    /// `publicTrade.{symbol}`.
    Trades(Symbol),
}

impl PublicTopic {
    /// Reads a topic.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once('.')?;
        match kind {
            "tickers" => Some(Self::Ticker(Symbol::new(rest)?)),
            "publicTrade" => Some(Self::Trades(Symbol::new(rest)?)),
            "orderbook" => {
                let (depth, symbol) = rest.split_once('.')?;
                let depth = depth.parse().ok().filter(|depth| [1, 50, 200, 500, 1_000].contains(depth))?;
                Some(Self::Book(depth, Symbol::new(symbol)?))
            }
            "kline" => {
                let (interval, symbol) = rest.split_once('.')?;
                span_ms(interval)?;
                Some(Self::Kline(interval.to_owned(), Symbol::new(symbol)?))
            }
            _ => None,
        }
    }

    /// The symbol.
    #[must_use]
    pub const fn symbol(&self) -> Symbol {
        match self {
            Self::Ticker(symbol) | Self::Book(_, symbol) | Self::Kline(_, symbol) | Self::Trades(symbol) => {
                *symbol
            }
        }
    }

    /// As it is subscribed to and told.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Ticker(symbol) => format!("tickers.{symbol}"),
            Self::Book(depth, symbol) => format!("orderbook.{depth}.{symbol}"),
            Self::Kline(interval, symbol) => format!("kline.{interval}.{symbol}"),
            Self::Trades(symbol) => format!("publicTrade.{symbol}"),
        }
    }
}

/// A topic of the private socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PrivateTopic {
    /// Orders.
    Order,
    /// Executions.
    Execution,
    /// Trades, sooner and with less.
    ExecutionFast,
    /// Positions.
    Position,
    /// The wallet.
    Wallet,
    /// Options: never fires here.
    Greeks,
    /// Disconnection protection: never fires here.
    Dcp,
}

impl PrivateTopic {
    /// Its name without a category.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Execution => "execution",
            Self::ExecutionFast => "execution.fast",
            Self::Position => "position",
            Self::Wallet => "wallet",
            Self::Greeks => "greeks",
            Self::Dcp => "dcp",
        }
    }

    /// Reads a topic: which, and whether it is one category's.
    #[must_use]
    pub fn read(text: &str) -> Option<(Self, bool)> {
        Some(match text {
            "order" => (Self::Order, false),
            "order.linear" => (Self::Order, true),
            "execution" => (Self::Execution, false),
            "execution.linear" => (Self::Execution, true),
            "execution.fast" => (Self::ExecutionFast, false),
            "execution.fast.linear" => (Self::ExecutionFast, true),
            "position" => (Self::Position, false),
            "position.linear" => (Self::Position, true),
            "wallet" => (Self::Wallet, false),
            "greeks" => (Self::Greeks, false),
            "dcp.future" | "dcp" => (Self::Dcp, false),
            _ => return None,
        })
    }
}

/// An answer of a public or private socket.
#[must_use]
pub fn done(op: &str, id: &str, conn: &str, outcome: Result<&str, &str>) -> String {
    let (success, text) = match outcome {
        Ok(text) => (true, text),
        Err(text) => (false, text),
    };
    let mut out = json!({ "success": success, "ret_msg": text, "conn_id": conn, "op": op });
    if !id.is_empty() {
        out["req_id"] = id.into();
    }
    out.to_string()
}

/// The answer to a ping: each kind of socket has its own.
#[must_use]
pub fn pong(kind: SocketKind, id: &str, conn: &str, now_ms: u64) -> String {
    match kind {
        SocketKind::Public => done("ping", id, conn, Ok("pong")),
        SocketKind::Private => {
            json!({ "req_id": id, "op": "pong", "args": [now_ms.to_string()], "conn_id": conn }).to_string()
        }
        SocketKind::Trade => json!({
            "retCode": 0, "retMsg": "OK", "op": "pong", "data": [now_ms.to_string()], "connId": conn,
        })
        .to_string(),
    }
}

/// Which socket it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketKind {
    /// /v5/public/linear.
    Public,
    /// /v5/private.
    Private,
    /// /v5/trade.
    Trade,
}

impl SocketKind {
    /// The socket of a path.
    #[must_use]
    pub fn of_path(path: &str) -> Option<Self> {
        match path {
            "/v5/public/linear" => Some(Self::Public),
            "/v5/private" => Some(Self::Private),
            "/v5/trade" => Some(Self::Trade),
            _ => None,
        }
    }
}

/// A stream message of the private socket.
#[must_use]
pub fn event(topic: &str, id: &str, at_ms: u64, data: &[Map<String, Value>]) -> String {
    json!({ "id": id, "topic": topic, "creationTime": at_ms, "data": data }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_read_or_refused() {
        for text in ["tickers.BTCUSDT", "orderbook.1.BTCUSDT", "kline.5.ETHUSDT", "publicTrade.BTCUSDT"] {
            assert_eq!(PublicTopic::read(text).unwrap().text(), text);
        }
        for text in ["", "tickers", "tickers.", "orderbook.2.X", "kline.7.X", "kline.5.", "order"] {
            assert_eq!(PublicTopic::read(text), None, "{text}");
        }
        assert_eq!(PrivateTopic::read("order.linear"), Some((PrivateTopic::Order, true)));
        assert_eq!(PrivateTopic::read("order.spot"), None);
    }

    #[test]
    fn hostile_messages_are_errors() {
        for text in ["", "[]", "{", "1", "{\"op\":1}", "{\"op\":\"x\",\"args\":\"y\"}", "{\"header\":[]}"] {
            assert!(Frame::read(text).is_err(), "{text}");
        }
        let frame = Frame::read("{\"op\":\"auth\",\"args\":[\"k\",17,\"s\"],\"reqId\":\"r\"}").unwrap();
        assert_eq!((frame.text(0).unwrap(), frame.text(1).unwrap()), ("k".to_owned(), "17".to_owned()));
        assert_eq!(frame.id, "r");
    }
}
