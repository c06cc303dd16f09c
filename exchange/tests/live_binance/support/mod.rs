//! What the tests of Binance's protocol share: questions, answers, a key, and an HMAC of its own to check signatures with.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use engine::core::fixed::{Money, Price, Quantity};
use engine::core::ids::{AccountId, ClientOrderId, Leg, SignalId, SourceId, UserId};
use engine::core::instrument::Symbol;
use engine::core::order::{NewOrder, OrderKind, Side};
use exchange::live::binance::Binance;
use exchange::live::credential::{Credential, KeyKind};
use exchange::live::protocol::{
    Answer, Ask, Failure, HttpReply, Millis, OrderRef, Placement, PositionMode, Protocol, StreamEvent,
};

/// Key and secret of the maker's examples of signed requests.
pub const API_KEY: &str = "dbefbc809e3e83c283a984c3a1459732ea7db1360ca80c5c2c8867408d28cc83";
pub const SECRET: &str = "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9";
pub const AT: Millis = Millis(1_591_702_613_943);
/// The id of [`id`] as it is sent.
pub const ID: &str = "0000000000C0000001000000000070E0";

pub fn credential() -> Credential {
    Credential::new(KeyKind::Hmac, API_KEY, SECRET).unwrap()
}

pub fn id() -> ClientOrderId {
    let source = SourceId { owner: UserId(12), index: 0 };
    ClientOrderId::first(SignalId { source, number: 1 }, AccountId { user: UserId(7), index: 0 }, Leg::Entry)
}

pub fn symbol(text: &str) -> Symbol {
    Symbol::new(text).unwrap()
}

pub fn price(text: &str) -> Price {
    text.parse().unwrap()
}

pub fn quantity(text: &str) -> Quantity {
    text.parse().unwrap()
}

pub fn money(text: &str) -> Money {
    text.parse().unwrap()
}

pub fn order(side: Side, kind: OrderKind, reduce_only: bool) -> NewOrder {
    NewOrder {
        id: id(),
        symbol: symbol("BTCUSDT"),
        side,
        kind,
        quantity: quantity("0.015"),
        reduce_only,
        leverage: 5,
    }
}

pub fn place(order: NewOrder, mode: PositionMode) -> Ask {
    Ask::Place(Placement { order, mode, attached: None })
}

pub fn market_entry() -> Ask {
    place(order(Side::Buy, OrderKind::Market, false), PositionMode::OneWay)
}

pub fn stop() -> Ask {
    place(order(Side::Sell, OrderKind::StopMarket(price("41000.5")), true), PositionMode::OneWay)
}

pub fn named(is_trigger: bool) -> OrderRef {
    OrderRef { id: id(), symbol: symbol("BTCUSDT"), is_trigger }
}

pub fn executions(order: Option<&str>, since: u64, cursor: &str) -> Ask {
    Ask::Executions {
        symbol: symbol("BTCUSDT"),
        order: order.map(str::to_owned),
        since: Millis(since),
        cursor: cursor.to_owned(),
    }
}

/// One question of each kind.
pub fn every_ask() -> Vec<Ask> {
    vec![
        market_entry(),
        stop(),
        Ask::Cancel(named(false)),
        Ask::Cancel(named(true)),
        Ask::Query(named(false)),
        Ask::Query(named(true)),
        Ask::OpenOrders(String::new()),
        Ask::OpenTriggers(String::new()),
        Ask::Positions(String::new()),
        Ask::Balances,
        executions(None, 1_569_514_978_020, ""),
        Ask::Funding { since: Millis(1_570_000_000_000), cursor: String::new() },
        Ask::ForcedOrders { symbol: symbol("BTCUSDT"), since: Millis(1_570_000_000_000) },
        Ask::Settings(None),
        Ask::SetLeverage { symbol: symbol("BTCUSDT"), leverage: 5 },
        Ask::SetIsolated(symbol("BTCUSDT")),
        Ask::Account,
        Ask::Key,
        Ask::OpenListenKey,
        Ask::KeepListenKey,
        Ask::Time,
        Ask::Instruments(String::new()),
        Ask::Brackets(String::new()),
        Ask::Marks,
        Ask::DayTickers,
        Ask::Klines {
            symbol: symbol("BTCUSDT"),
            interval: exchange::live::klines::Interval::M1,
            from: Millis(1_700_000_000_000),
            to: Millis(1_700_000_600_000),
            cursor: String::new(),
        },
        Ask::Protect {
            symbol: symbol("BTCUSDT"),
            mode: PositionMode::OneWay,
            position: Side::Buy,
            protection: exchange::live::protocol::Protection { stop: None, take_profit: None },
        },
    ]
}

pub fn answer_with(
    ask: &Ask,
    status: u16,
    body: impl AsRef<[u8]>,
    headers: &[(&str, &str)],
) -> Result<Answer, Failure> {
    let header = |name: &str| {
        headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    };
    Binance::answer(ask, HttpReply { status, header: &header, body: body.as_ref() })
}

pub fn answer(ask: &Ask, body: &str) -> Result<Answer, Failure> {
    answer_with(ask, 200, body, &[])
}

/// What a message of a private connection tells.
pub fn private(message: &str) -> Vec<(String, StreamEvent)> {
    let mut events = Vec::new();
    Binance::private_read(message, &mut |key, event| events.push((key.to_owned(), event))).unwrap();
    events
}

/// The events alone.
pub fn events(message: &str) -> Vec<StreamEvent> {
    private(message).into_iter().map(|(_, event)| event).collect()
}

/// HMAC-SHA256 after RFC 2104, from the bare digest: another path than the one that signs.
pub fn hmac(secret: &str, message: &str) -> String {
    use ring::digest::{SHA256, digest};
    assert!(secret.len() <= 64, "longer keys are hashed first; none here is");
    let mut key = [0_u8; 64];
    key[..secret.len()].copy_from_slice(secret.as_bytes());
    let mut inner: Vec<u8> = key.iter().map(|byte| byte ^ 0x36).collect();
    inner.extend(message.as_bytes());
    let mut outer: Vec<u8> = key.iter().map(|byte| byte ^ 0x5c).collect();
    outer.extend(digest(&SHA256, &inner).as_ref());
    digest(&SHA256, &outer).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
