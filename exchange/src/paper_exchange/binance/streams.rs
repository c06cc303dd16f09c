//! Streams: listenKeys, connections that listen to accounts and to prices, and what they are told (EXCHANGES.md §2.7).
//!
//! **Bounds**: [`STREAMS_MAX`] streams and 10 messages a second per connection, as the real ones; one listenKey per account.

use std::collections::{BTreeMap, BTreeSet};

use engine::core::ids::Timestamp;
use engine::core::instrument::Symbol;
use serde_json::{Value, json};

use super::super::accounts::{AccountNo, FaceKind};
use super::super::candles::CANDLE_MS;
use super::super::face::{ConnNo, Desk};
use super::super::faults::{LISTEN_KEY_EXPIRED, Whose};
use super::super::orders::mix;
use super::public::touch;
use crate::paper::rules;

const SECOND: u64 = 1_000_000;
/// How long a listenKey lives without being kept.
const KEY_LIFE: u64 = 3_600 * SECOND;
/// How often the server pings.
const PING_EVERY: u64 = 180 * SECOND;
/// How long a connection lives.
const CONN_LIFE: u64 = 24 * 3_600 * SECOND;
/// Streams of a connection.
const STREAMS_MAX: usize = 1_024;
/// Messages of a client in a second; more end the connection.
const MESSAGES_PER_SECOND: u32 = 10;

/// What a connection may be told, by its path (EXCHANGES.md §2.1). What does not belong to it is subscribed to and never told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    /// No routed path: everything, for clients that are older than the paths.
    Any,
    /// Books.
    Public,
    /// All else of the market.
    Market,
    /// Accounts.
    Private,
}

impl Path {
    fn tells(self, stream: &str) -> bool {
        let own = match stream {
            name if !name.contains(['@', '!']) => Self::Private,
            name if name.contains("bookTicker") || name.contains("@depth") => Self::Public,
            _ => Self::Market,
        };
        self == Self::Any || self == own
    }
}

#[derive(Debug)]
struct Conn {
    path: Path,
    /// Whether messages tell their stream (`/stream`).
    wrapped: bool,
    opened_at: Timestamp,
    pinged_at: Timestamp,
    /// Names: listenKeys with the events that are wanted (empty: all), and public streams.
    users: BTreeMap<String, BTreeSet<String>>,
    public: BTreeSet<String>,
    /// Messages received in this second.
    heard: (u64, u32),
}

/// See the module's contract.
#[derive(Debug, Default)]
pub(super) struct Streams {
    seed: u64,
    made: u64,
    keys: BTreeMap<String, (AccountNo, Timestamp)>,
    of_account: BTreeMap<AccountNo, String>,
    ends: BTreeSet<(Timestamp, String)>,
    conns: BTreeMap<ConnNo, Conn>,
    /// Who listens to a listenKey.
    listeners: BTreeMap<String, BTreeSet<ConnNo>>,
    /// Who listens to a public stream.
    public: BTreeMap<String, BTreeSet<ConnNo>>,
    /// When prices are told next that are told every second.
    next_second: Option<Timestamp>,
}

impl Streams {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    // --- listenKeys -------------------------------------------------------------------------------------------

    /// The account's key, made or prolonged.
    pub(super) fn open_key(&mut self, account: AccountNo, now: Timestamp) -> Option<String> {
        if let Some(key) = self.keep_key(account, now) {
            return Some(key);
        }
        self.made += 1;
        let mut key = String::with_capacity(64);
        for part in 0..4_u64 {
            let bits = mix(self.seed ^ mix(u64::from(account.0) << 32 ^ self.made << 3 ^ part));
            key.push_str(&format!("{bits:016x}"));
        }
        self.of_account.insert(account, key.clone());
        self.keys.insert(key.clone(), (account, now));
        self.keep_key(account, now)
    }

    /// Prolongs the account's key; `None`: it has none.
    pub(super) fn keep_key(&mut self, account: AccountNo, now: Timestamp) -> Option<String> {
        let key = self.of_account.get(&account)?.clone();
        let entry = self.keys.get_mut(&key)?;
        self.ends.remove(&(entry.1, key.clone()));
        entry.1 = now.plus_micros(if planted::planted!("paper_listen_key_lives_a_day") {
            CONN_LIFE
        } else {
            KEY_LIFE
        });
        self.ends.insert((entry.1, key.clone()));
        Some(key)
    }

    /// Ends the account's key, for everybody who listens to it (CASES.md, S1).
    pub(super) fn close_key(&mut self, account: AccountNo) {
        if let Some(key) = self.of_account.remove(&account)
            && let Some((_, until)) = self.keys.remove(&key)
        {
            self.ends.remove(&(until, key));
        }
    }

    /// Ends the keys whose time is over (or all) and tells those who listen. How many there were.
    pub(super) fn expire_keys(&mut self, desk: &mut Desk<'_>, all: bool) -> usize {
        let mut ended = 0;
        while let Some((until, key)) =
            self.ends.first().cloned().filter(|(until, _)| all || *until <= desk.now)
        {
            self.ends.remove(&(until, key.clone()));
            self.expire_key(desk, &key);
            ended += 1;
        }
        ended
    }

    /// Ends the account's key, if it has one, and tells those who listen.
    pub(super) fn expire_key_of(&mut self, desk: &mut Desk<'_>, account: AccountNo) {
        if let Some(key) = self.of_account.get(&account).cloned() {
            self.expire_key(desk, &key);
        }
    }

    fn expire_key(&mut self, desk: &mut Desk<'_>, key: &str) {
        let event = json!({ "e": LISTEN_KEY_EXPIRED, "E": desk.core.now().millis(), "listenKey": key });
        let account = self.keys.get(key).map(|(account, _)| *account);
        self.tell_key(desk, account, key, LISTEN_KEY_EXPIRED, &event);
        if let Some((account, until)) = self.keys.remove(key) {
            self.ends.remove(&(until, key.to_owned()));
            self.of_account.remove(&account);
        }
    }

    // --- connections ------------------------------------------------------------------------------------------

    /// Opens a connection on a path such as `/private/stream?listenKey=…`, `/ws/<name>` or `/market/stream?streams=…`.
    pub(super) fn open(&mut self, now: Timestamp, conn: ConnNo, target: &str) -> bool {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let paths = [("/private", Path::Private), ("/public", Path::Public), ("/market", Path::Market)];
        let routed = paths.into_iter().find_map(|(prefix, route)| Some((path.strip_prefix(prefix)?, route)));
        let (path, route) = routed.unwrap_or((path, Path::Any));
        let (wrapped, names) = match (path.strip_prefix("/ws"), path.strip_prefix("/stream")) {
            (Some(names), _) => (false, names),
            (None, Some(names)) => (true, names),
            (None, None) => return false,
        };
        self.conns.insert(
            conn,
            Conn {
                path: route,
                wrapped,
                opened_at: now,
                pinged_at: now,
                users: BTreeMap::new(),
                public: BTreeSet::new(),
                heard: (0, 0),
            },
        );
        for name in names.split('/').filter(|name| !name.is_empty()) {
            self.subscribe(conn, name, BTreeSet::new());
        }
        let mut keys: Vec<String> = Vec::new();
        for (name, value) in query.split('&').filter_map(|part| part.split_once('=')) {
            match name {
                "streams" => {
                    for stream in value.split('/').filter(|stream| !stream.is_empty()) {
                        self.subscribe(conn, stream, BTreeSet::new());
                    }
                }
                "listenKey" => {
                    self.subscribe(conn, value, BTreeSet::new());
                    keys.push(value.to_owned());
                }
                // Filters the listenKeys before it.
                "events" => {
                    let events: BTreeSet<_> = value
                        .replace("%2F", "/")
                        .replace("%2C", ",")
                        .split(['/', ','])
                        .map(str::to_owned)
                        .collect();
                    for key in keys.drain(..) {
                        self.subscribe(conn, &key, events.clone());
                    }
                }
                _ => {}
            }
        }
        true
    }

    pub(super) fn is_open(&self, conn: ConnNo) -> bool {
        self.conns.contains_key(&conn)
    }

    pub(super) fn close(&mut self, conn: ConnNo) {
        let Some(told) = self.conns.remove(&conn) else { return };
        for name in told.users.keys() {
            forget(&mut self.listeners, name, conn);
        }
        for name in &told.public {
            forget(&mut self.public, name, conn);
        }
    }

    fn subscribe(&mut self, conn: ConnNo, name: &str, events: BTreeSet<String>) {
        let Some(told) = self.conns.get_mut(&conn) else { return };
        if told.users.len() + told.public.len() >= STREAMS_MAX || name.len() > 128 {
            return;
        }
        // Public streams have a sign in their name; a listenKey has none.
        if name.contains(['@', '!']) {
            let name = match name.split_once('@') {
                Some((symbol, kind)) if !symbol.starts_with('!') => {
                    format!("{}@{kind}", symbol.to_lowercase())
                }
                _ => name.to_owned(),
            };
            told.public.insert(name.clone());
            if told.path.tells(&name) {
                self.public.entry(name).or_default().insert(conn);
            }
        } else {
            told.users.insert(name.to_owned(), events);
            if told.path.tells(name) {
                self.listeners.entry(name.to_owned()).or_default().insert(conn);
            }
        }
    }

    fn unsubscribe(&mut self, conn: ConnNo, name: &str) {
        let Some(told) = self.conns.get_mut(&conn) else { return };
        told.users.remove(name);
        told.public.remove(name);
        forget(&mut self.listeners, name, conn);
        forget(&mut self.public, name, conn);
    }

    /// A message of the client: SUBSCRIBE, UNSUBSCRIBE, LIST_SUBSCRIPTIONS.
    pub(super) fn message(&mut self, desk: &mut Desk<'_>, conn: ConnNo, text: &str) {
        let Some(told) = self.conns.get_mut(&conn) else { return };
        let second = desk.now.0 / SECOND;
        if told.heard.0 != second {
            told.heard = (second, 0);
        }
        told.heard.1 += 1;
        if told.heard.1 > MESSAGES_PER_SECOND {
            desk.out.close(conn, 1008);
            return;
        }
        let asked: Value = serde_json::from_str(text).unwrap_or_default();
        let id = asked["id"].clone();
        let names: Vec<String> = asked["params"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect();
        let result = match asked["method"].as_str() {
            Some("SUBSCRIBE") => {
                names.iter().for_each(|name| self.subscribe(conn, name, BTreeSet::new()));
                Value::Null
            }
            Some("UNSUBSCRIBE") => {
                names.iter().for_each(|name| self.unsubscribe(conn, name));
                Value::Null
            }
            Some("LIST_SUBSCRIPTIONS") => {
                let told = self.conns.get(&conn);
                told.map(|told| told.users.keys().chain(&told.public).collect::<Vec<_>>())
                    .map_or(Value::Null, |names| json!(names))
            }
            _ => {
                let error = json!({ "code": 2, "msg": "Invalid request: unknown variant" });
                desk.out.answer(conn, json!({ "error": error, "id": id }).to_string());
                return;
            }
        };
        desk.out.answer(conn, json!({ "result": result, "id": id }).to_string());
    }

    // --- telling ----------------------------------------------------------------------------------------------

    /// Tells an account's event to everybody who listens to it.
    pub(super) fn tell_account(&self, desk: &mut Desk<'_>, account: AccountNo, name: &str, event: &Value) {
        if let Some(key) = self.of_account.get(&account) {
            self.tell_key(desk, Some(account), key, name, event);
        }
    }

    fn tell_key(
        &self,
        desk: &mut Desk<'_>,
        account: Option<AccountNo>,
        key: &str,
        name: &str,
        event: &Value,
    ) {
        let whose = Whose { face: FaceKind::Binance, account };
        let Some(listeners) = self.listeners.get(key) else { return };
        for conn in listeners {
            let Some(told) = self.conns.get(conn) else { continue };
            let wanted = told.users.get(key).is_some_and(|events| events.is_empty() || events.contains(name));
            if wanted || name == LISTEN_KEY_EXPIRED {
                desk.push(*conn, whose, name, wrap(told.wrapped, key, event));
            }
        }
    }

    fn tell_public(
        &self,
        desk: &mut Desk<'_>,
        stream: &str,
        kind: &str,
        event: impl FnOnce(&Desk<'_>) -> Option<Value>,
    ) {
        let Some(listeners) = self.public.get(stream).filter(|listeners| !listeners.is_empty()) else {
            return;
        };
        let Some(event) = event(desk) else { return };
        for conn in listeners {
            if let Some(told) = self.conns.get(conn) {
                let whose = Whose { face: FaceKind::Binance, account: None };
                desk.push(*conn, whose, kind, wrap(told.wrapped, stream, &event));
            }
        }
    }

    /// The price of a symbol changed.
    pub(super) fn moved(&self, desk: &mut Desk<'_>, symbol: Symbol) {
        if self.public.is_empty() {
            return;
        }
        let lower = symbol.as_str().to_lowercase();
        let book = |desk: &Desk<'_>| book_ticker(desk, symbol);
        self.tell_public(desk, &format!("{lower}@bookTicker"), "bookTicker", book);
        self.tell_public(desk, "!bookTicker", "bookTicker", book);
        self.tell_public(desk, &format!("{lower}@kline_1m"), "kline", |desk| kline(desk, symbol));
        self.tell_public(desk, &format!("{lower}@aggTrade"), "aggTrade", |desk| agg_trade(desk, symbol));
    }

    fn tell_marks(&self, desk: &mut Desk<'_>, every_third: bool) {
        let names: Vec<_> = self.public.keys().filter(|name| name.contains("markPrice")).cloned().collect();
        for name in names {
            if !name.ends_with("@1s") && !every_third {
                continue;
            }
            self.tell_public(desk, &name, "markPriceUpdate", |desk| {
                if name.starts_with("!markPrice@arr") {
                    let symbols = desk.core.instruments().iter().map(|instrument| instrument.symbol);
                    return Some(Value::Array(
                        symbols.filter_map(|symbol| mark_price(desk, symbol)).collect(),
                    ));
                }
                mark_price(desk, Symbol::new(&name.split('@').next()?.to_uppercase())?)
            });
        }
    }

    // --- time -------------------------------------------------------------------------------------------------

    pub(super) fn tick(&mut self, desk: &mut Desk<'_>) {
        self.expire_keys(desk, false);
        for (conn, told) in &mut self.conns {
            if desk.now.micros_since(told.opened_at) >= CONN_LIFE {
                told.opened_at = desk.now;
                desk.out.close(*conn, 1001);
            } else if desk.now.micros_since(told.pinged_at) >= PING_EVERY {
                told.pinged_at = desk.now;
                desk.out.ping(*conn);
            }
        }
        let wanted = self.public.keys().any(|name| name.contains("markPrice"));
        if !wanted {
            self.next_second = None;
        } else if self.next_second.is_none_or(|at| at <= desk.now) {
            let second = desk.now.0 / SECOND;
            self.tell_marks(desk, self.next_second.is_none() || second.is_multiple_of(3));
            self.next_second = Some(Timestamp((second + 1) * SECOND));
        }
    }

    pub(super) fn next_due(&self) -> Option<Timestamp> {
        let ends = self.ends.first().map(|(until, _)| *until);
        let pings = self.conns.values().map(|told| told.pinged_at.plus_micros(PING_EVERY)).min();
        let wanted = self.public.keys().any(|name| name.contains("markPrice"));
        let second = wanted.then(|| self.next_second.unwrap_or_default());
        ends.into_iter().chain(pings).chain(second).min()
    }
}

fn forget(index: &mut BTreeMap<String, BTreeSet<ConnNo>>, name: &str, conn: ConnNo) {
    if let Some(conns) = index.get_mut(name) {
        conns.remove(&conn);
        if conns.is_empty() {
            index.remove(name);
        }
    }
}

fn wrap(wrapped: bool, stream: &str, event: &Value) -> String {
    if wrapped { json!({ "stream": stream, "data": event }).to_string() } else { event.to_string() }
}

fn book_ticker(desk: &Desk<'_>, symbol: Symbol) -> Option<Value> {
    let instrument = desk.core.instrument(symbol)?;
    let (bid, ask) = touch(instrument, desk.core.mark(symbol)?);
    let (size, now) = (instrument.quantity_max_market.to_string(), desk.core.now().millis());
    Some(json!({
        "e": "bookTicker", "u": now, "E": now, "T": now, "s": symbol.as_str(),
        "b": bid.to_string(), "B": size, "a": ask.to_string(), "A": size,
    }))
}

fn mark_price(desk: &Desk<'_>, symbol: Symbol) -> Option<Value> {
    let mark = desk.core.mark(symbol)?.to_string();
    let now = desk.core.now();
    let next = rules::funding_boundary(now).plus_micros(rules::FUNDING_EVERY_MICROS);
    Some(json!({
        "e": "markPriceUpdate", "E": now.millis(), "s": symbol.as_str(), "p": mark, "i": mark, "P": mark,
        "r": "0.0001", "T": next.millis(),
    }))
}

fn kline(desk: &Desk<'_>, symbol: Symbol) -> Option<Value> {
    let candle = *desk.core.candles().of(symbol).next_back()?;
    let (volume, turnover) = (candle.volume.to_string(), candle.turnover.to_string());
    Some(json!({
        "e": "kline", "E": desk.core.now().millis(), "s": symbol.as_str(),
        "k": {
            "t": candle.open_ms, "T": candle.open_ms + CANDLE_MS - 1, "s": symbol.as_str(), "i": "1m",
            "f": 0, "L": 0, "o": candle.open.to_string(), "c": candle.close.to_string(),
            "h": candle.high.to_string(), "l": candle.low.to_string(), "v": volume, "n": candle.prices,
            "x": false, "q": turnover, "V": volume, "Q": turnover, "B": "0",
        },
    }))
}

fn agg_trade(desk: &Desk<'_>, symbol: Symbol) -> Option<Value> {
    let (mark, now) = (desk.core.mark(symbol)?, desk.core.now().millis());
    let size = desk.core.instrument(symbol)?.quantity_min.to_string();
    Some(json!({
        "e": "aggTrade", "E": now, "s": symbol.as_str(), "a": now, "p": mark.to_string(), "q": size,
        "f": now, "l": now, "T": now, "m": false,
    }))
}
