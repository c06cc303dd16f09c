//! What the tests of the Bybit protocol share: a key, orders, replies, and an oracle of the signature.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use engine::core::fixed::Quantity;
use engine::core::ids::{AccountId, ClientOrderId, Leg, SignalId, SourceId, UserId};
use engine::core::instrument::Symbol;
use engine::core::order::{NewOrder, OrderKind, Side};
use exchange::live::bybit::Bybit;
use exchange::live::credential::{Credential, KeyKind};
use exchange::live::protocol::{
    Answer, Ask, Failure, HttpCall, HttpReply, Malformed, Millis, OrderRef, Placement, PositionMode,
    Protocol, StreamEvent, TradeMessage,
};

pub(crate) const KEY: &str = "XXXXXXXXXX";
pub(crate) const SECRET: &str = "s3cr3t-of-the-test";
pub(crate) const AT: Millis = Millis(1_711_001_595_207);
/// The text form of [`id`] for an entry.
pub(crate) const ENTRY: &str = "000000000010000003000000000020E0";

pub(crate) fn credential() -> Credential {
    Credential::new(KeyKind::Hmac, KEY, SECRET).unwrap()
}

pub(crate) fn id(leg: Leg) -> ClientOrderId {
    let source = SourceId { owner: UserId(1), index: 0 };
    let account = AccountId { user: UserId(2), index: 0 };
    ClientOrderId::first(SignalId { source, number: 3 }, account, leg)
}

pub(crate) fn symbol(text: &str) -> Symbol {
    Symbol::new(text).unwrap()
}

pub(crate) fn order(side: Side, kind: OrderKind, quantity: &str, reduce_only: bool) -> NewOrder {
    NewOrder {
        id: id(if reduce_only { Leg::SignalClose } else { Leg::Entry }),
        symbol: symbol("BTCUSDT"),
        side,
        kind,
        quantity: quantity.parse::<Quantity>().unwrap(),
        reduce_only,
        leverage: 5,
    }
}

pub(crate) fn place(order: NewOrder) -> Ask {
    Ask::Place(Placement { order, mode: PositionMode::OneWay, attached: None })
}

pub(crate) fn entry() -> Ask {
    place(order(Side::Buy, OrderKind::Market, "0.01", false))
}

pub(crate) fn exit() -> Ask {
    place(order(Side::Sell, OrderKind::Market, "0.01", true))
}

pub(crate) fn order_ref() -> OrderRef {
    OrderRef { id: id(Leg::Entry), symbol: symbol("BTCUSDT"), is_trigger: false }
}

pub(crate) fn request(ask: &Ask) -> HttpCall {
    Bybit::request(ask, Some(&credential()), AT)
}

pub(crate) fn body(ask: &Ask) -> String {
    String::from_utf8(request(ask).body).unwrap()
}

/// One question of each kind.
pub(crate) fn every_ask() -> Vec<Ask> {
    let symbol = symbol("BTCUSDT");
    let protection = exchange::live::protocol::Protection { stop: None, take_profit: None };
    vec![
        entry(),
        exit(),
        Ask::Cancel(order_ref()),
        Ask::Query(order_ref()),
        Ask::Protect { symbol, mode: PositionMode::OneWay, position: Side::Buy, protection },
        Ask::OpenOrders(String::new()),
        Ask::OpenTriggers(String::new()),
        Ask::Positions(String::new()),
        Ask::Balances,
        Ask::Executions { symbol, order: None, since: Millis(1), cursor: String::new() },
        Ask::Funding { since: Millis(1), cursor: String::new() },
        Ask::ForcedOrders { symbol, since: Millis(1) },
        Ask::Settings(None),
        Ask::Settings(Some(symbol)),
        Ask::SetLeverage { symbol, leverage: 5 },
        Ask::SetIsolated(symbol),
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
            symbol,
            interval: exchange::live::klines::Interval::M1,
            from: Millis(1_700_000_000_000),
            to: Millis(1_700_000_600_000),
            cursor: String::new(),
        },
    ]
}

/// A reply with headers, whose names are looked up in any case.
pub(crate) fn answer_with(
    ask: &Ask,
    status: u16,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Answer, Failure> {
    let headers: BTreeMap<String, &str> =
        headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), *value)).collect();
    let header = |name: &str| headers.get(&name.to_ascii_lowercase()).copied();
    Bybit::answer(ask, HttpReply { status, header: &header, body })
}

pub(crate) fn answer(ask: &Ask, body: &str) -> Result<Answer, Failure> {
    answer_with(ask, 200, &[], body.as_bytes())
}

/// A success with this result.
pub(crate) fn success(ask: &Ask, result: &str) -> Result<Answer, Failure> {
    let time = 1_672_132_481_405_u64;
    answer(
        ask,
        &format!(r#"{{"retCode":0,"retMsg":"OK","result":{result},"retExtInfo":{{}},"time":{time}}}"#),
    )
}

/// A list of these rows.
pub(crate) fn list(ask: &Ask, rows: &str, cursor: &str) -> Result<Answer, Failure> {
    success(ask, &format!(r#"{{"category":"linear","nextPageCursor":"{cursor}","list":[{rows}]}}"#))
}

pub(crate) fn private(message: &str) -> Result<Vec<StreamEvent>, Malformed> {
    let mut events = Vec::new();
    Bybit::private_read(message, &mut |listen_key, event| {
        assert_eq!(listen_key, "");
        events.push(event);
    })?;
    Ok(events)
}

/// The one event of a message with this row.
pub(crate) fn event(topic: &str, row: &str) -> StreamEvent {
    let message = format!(r#"{{"id":"1","topic":"{topic}","creationTime":1672364262474,"data":[{row}]}}"#);
    let mut events = private(&message).unwrap();
    assert_eq!(events.len(), 1, "{message}");
    events.remove(0)
}

pub(crate) fn public(message: &str) -> Result<Vec<StreamEvent>, Malformed> {
    let mut events = Vec::new();
    Bybit::public_read(message, &mut |event| events.push(event))?;
    Ok(events)
}

pub(crate) fn trade(message: &str, ask: &Ask) -> Result<TradeMessage, Malformed> {
    Bybit::trade_read(message, &|id| (id == "r-1").then_some(ask))
}

/// HMAC-SHA256 in lower-case hex by RFC 2104, from a hash only: shares nothing with the code that signs.
pub(crate) fn hmac_hex(secret: &str, message: &[u8]) -> String {
    use ring::digest::{SHA256, digest};
    assert!(secret.len() <= 64);
    let padded = |byte: u8| {
        let mut block = [byte; 64];
        block.iter_mut().zip(secret.bytes()).for_each(|(pad, secret)| *pad ^= secret);
        block.to_vec()
    };
    let inner = digest(&SHA256, &[padded(0x36), message.to_vec()].concat());
    let outer = digest(&SHA256, &[padded(0x5c), inner.as_ref().to_vec()].concat());
    outer.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
