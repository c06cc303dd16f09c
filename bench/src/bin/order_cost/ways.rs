//! The ways an order can go, and what of its cost is neither network nor bookkeeping: signing it and reading its answer.
//!
//! The answers are those of the paper exchange to these very orders.

use std::net::{IpAddr, Ipv4Addr};

use api::cli::paper::wall_clock;
use engine::core::fixed::{Price, Quantity};
use engine::core::ids::{AccountId, ClientOrderId, Leg, SignalId, SourceId, Timestamp, UserId};
use engine::core::instrument::Symbol;
use engine::core::order::{NewOrder, OrderKind, Side};
use exchange::live::binance::Binance;
use exchange::live::bybit::Bybit;
use exchange::live::connector::Shape;
use exchange::live::credential::{Credential, KeyKind};
use exchange::live::pacing::limits::VenueLimits;
use exchange::live::protocol::{Ask, HttpCall, HttpReply, Millis, Placement, PositionMode, Protection};
use exchange::paper_exchange::keys::KeySpec;
use exchange::paper_exchange::transport::{HttpIn, Outcome, SocketOut};
use exchange::paper_exchange::{ConnNo, CoreSettings, FaceKind, PaperExchange};

use crate::{Cost, desk, each};

/// The key pair of RFC 8410, section 10.3.
const ED25519: [&str; 2] = [
    "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n",
    "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n",
];
const HMAC: &str = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j";
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// How often a part is done to be timed.
const REPEATS: usize = 20_000;

/// A way an order can go.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    /// For people.
    pub(crate) name: &'static str,
    /// What signs it.
    pub(crate) key: KeyKind,
    /// By WebSocket, else by HTTP.
    pub(crate) socket: bool,
    /// Accounts that share the orders: each exchange limits those of one.
    pub(crate) accounts: usize,
    /// Orders one at a time, and all at once.
    pub(crate) counts: [usize; 2],
    /// Times its parts.
    pub(crate) parts: fn(&Way) -> Result<Parts, String>,
    /// Times it as a whole.
    pub(crate) orders: fn(&Way) -> Result<Cost, String>,
}

const BINANCE: Way = Way {
    name: "binance-socket, HMAC",
    key: KeyKind::Hmac,
    socket: true,
    accounts: 12,
    counts: [60, 1_000],
    parts: parts::<Binance>,
    orders: desk::orders::<Binance>,
};
const BYBIT: Way = Way {
    name: "bybit-socket",
    // A second of its 10 orders an account, of which opens may use 8.
    accounts: 100,
    counts: [60, 500],
    parts: parts::<Bybit>,
    orders: desk::orders::<Bybit>,
    ..BINANCE
};

/// All of them.
pub(crate) const ALL: [Way; 5] = [
    BINANCE,
    Way { name: "binance-socket, Ed25519", key: KeyKind::Ed25519, ..BINANCE },
    Way { name: "binance-http, HMAC", socket: false, ..BINANCE },
    BYBIT,
    // 600 requests in 5 s, of which opens may use 480.
    Way { name: "bybit-http, HMAC", socket: false, counts: [60, 300], ..BYBIT },
];

/// What the measurement has to know of an exchange.
pub(crate) trait Venue: Shape {
    /// Its face at the paper exchange.
    const FACE: FaceKind;
    /// Its limits.
    const LIMITS: VenueLimits;
}

impl Venue for Binance {
    const FACE: FaceKind = FaceKind::Binance;
    const LIMITS: VenueLimits = VenueLimits::BINANCE;
}

impl Venue for Bybit {
    const FACE: FaceKind = FaceKind::Bybit;
    const LIMITS: VenueLimits = VenueLimits::BYBIT;
}

impl Way {
    /// The credential of an account.
    pub(crate) fn credential(&self, account: usize) -> Credential {
        let secret = if self.key == KeyKind::Hmac { HMAC } else { ED25519[0] };
        Credential::new(self.key, &format!("key-{account}"), secret).expect("a usable key")
    }
}

/// A paper exchange with the accounts of a way, and its prices of now.
pub(crate) fn paper<P: Venue>(way: &Way) -> Result<(PaperExchange, Price), String> {
    let now = wall_clock();
    let mut paper = PaperExchange::new(CoreSettings::generated(1, now), 1).map_err(|e| e.to_string())?;
    while paper.poll(now, &mut |_, _| {}) {}
    for account in 0..way.accounts {
        let wallet = engine::core::fixed::Money::from_whole(1_000_000);
        let no = paper.core.open_account(P::FACE, wallet).map_err(|refusal| format!("{refusal:?}"))?;
        let secret = if way.key == KeyKind::Hmac { HMAC } else { ED25519[1] };
        let key = KeySpec { kind: way.key, ..KeySpec::hmac(&format!("key-{account}"), secret) };
        paper.core.add_key(no, &key).map_err(|refusal| format!("{refusal:?}"))?;
    }
    let mark = paper.core.mark(symbol()).ok_or("no price")?;
    Ok((paper, mark))
}

/// What is traded.
pub(crate) fn symbol() -> Symbol {
    Symbol::new("BTCUSDT").expect("a symbol")
}

/// An account's place among the orders' ids.
pub(crate) fn account_id(account: usize) -> AccountId {
    AccountId { user: UserId(1_000 + account as u64), index: 0 }
}

/// A market entry, and the triggers that it may take along.
pub(crate) fn entry(account: usize, number: u32, mark: Price) -> (NewOrder, Protection) {
    let source = SourceId { owner: UserId(1), index: 0 };
    let order = NewOrder {
        id: ClientOrderId::first(SignalId { source, number }, account_id(account), Leg::Entry),
        symbol: symbol(),
        side: Side::Buy,
        kind: OrderKind::Market,
        quantity: Quantity::from_units(300_000),
        reduce_only: false,
        leverage: 5,
    };
    let whole = |percent: i64| Some(Price::from_whole(mark.units() / 100_000_000 * percent / 100));
    (order, Protection { stop: whole(90), take_profit: whole(120) })
}

/// The parts of an order's cost, and the lengths of what passes.
pub(crate) struct Parts {
    /// CPU microseconds to build and sign the request.
    pub(crate) sign: f64,
    /// CPU microseconds to read the answer.
    pub(crate) read: f64,
    /// The request, or the message of a socket as the call's body.
    pub(crate) call: HttpCall,
    /// The answer's headers.
    pub(crate) headers: Vec<(String, String)>,
    /// The answer's body, or the message of a socket.
    pub(crate) answer: String,
}

fn parts<P: Venue>(way: &Way) -> Result<Parts, String> {
    let (mut paper, mark) = paper::<P>(way)?;
    let credential = way.credential(0);
    let now = wall_clock();
    let at = Millis(now.millis());
    let (order, protection) = entry(0, 1, mark);
    let attached = Some(protection).filter(|_| P::ATTACHES);
    let ask = Ask::Place(Placement { order, mode: PositionMode::OneWay, attached });
    if !way.socket {
        return by_http::<P>(&mut paper, &credential, now, &ask);
    }
    let conn = ConnNo(1);
    paper.socket_open(now, conn, HERE, P::TRADE_TARGET).map_err(|answer| answer.body)?;
    let text = P::trade_message(&ask, &credential, "1234567", at).ok_or("no message")?;
    let mut told = Vec::new();
    for message in P::trade_login(&credential, "1", at).into_iter().chain([text.clone()]) {
        paper.socket_message(now, conn, &message);
        while paper.poll(now, &mut |to, out| told.push((to, out))) {}
    }
    let mut texts = told.into_iter().filter_map(|(_, out)| match out {
        SocketOut::Text(text) => Some(text),
        _ => None,
    });
    let answer = texts.next_back().ok_or("no answer")?;
    let read = P::trade_read(&answer, &|_| Some(&ask));
    if !format!("{read:?}").contains("result: Ok") {
        return Err(format!("{}: the order was not taken: {answer}", way.name));
    }
    let sign = each::<String>(REPEATS, || {
        for _ in 0..REPEATS {
            std::hint::black_box(P::trade_message(std::hint::black_box(&ask), &credential, "1234567", at));
        }
        Ok(())
    })?;
    let read = each::<String>(REPEATS, || {
        for _ in 0..REPEATS {
            std::hint::black_box(P::trade_read(std::hint::black_box(&answer), &|_| Some(&ask)))
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    })?;
    let call = HttpCall { method: "", target: String::new(), headers: Vec::new(), body: text.into_bytes() };
    Ok(Parts { sign, read, call, headers: Vec::new(), answer })
}

fn by_http<P: Venue>(
    paper: &mut PaperExchange,
    credential: &Credential,
    now: Timestamp,
    ask: &Ask,
) -> Result<Parts, String> {
    let at = Millis(now.millis());
    let call = P::request(ask, Some(credential), at);
    let sent = HttpIn {
        method: call.method.to_owned(),
        target: call.target.clone(),
        headers: call.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        body: call.body.clone(),
    };
    let Outcome::Answer(answer) = paper.http(now, HERE, &sent).what else {
        return Err("no answer".to_owned());
    };
    let header = |name: &str| {
        let found = answer.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    };
    let reply = HttpReply { status: answer.status, header: &header, body: answer.body.as_bytes() };
    P::answer(ask, reply).map_err(|failure| failure.to_string())?;
    let sign = each::<String>(REPEATS, || {
        for _ in 0..REPEATS {
            std::hint::black_box(P::request(std::hint::black_box(ask), Some(credential), at));
        }
        Ok(())
    })?;
    let read = each::<String>(REPEATS, || {
        for _ in 0..REPEATS {
            let _seen = std::hint::black_box(P::answer(std::hint::black_box(ask), reply));
            let _seen = std::hint::black_box(P::used(reply));
        }
        Ok(())
    })?;
    let headers = answer.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Ok(Parts { sign, read, call, headers, answer: answer.body })
}
