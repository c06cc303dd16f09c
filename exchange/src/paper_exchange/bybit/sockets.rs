//! The three sockets of Bybit V5: public market data, an account's private streams, and order entry.
//!
//! **Invariants**: no snapshot of an account comes with a subscription; a position is told at every operation on an order of
//! its symbol, changed or not; each message of an account is told in the order of its events (EXCHANGES.md §3.5).
//! **Bounds**: [`CONNECTS_MAX`] new sockets per address and five minutes, [`PUBLIC_MAX`] public ones at once,
//! [`MESSAGES_MAX`] orders a second per address over trade sockets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use engine::core::ids::Timestamp;
use engine::core::instrument::Symbol;
use serde_json::{Map, Value, json};

use super::account::{of_position, sides};
use super::entry::{Speaker, authenticate, order_entry, refused, told_auth};
use super::fields::Fields;
use super::frames::{self, Frame, PrivateTopic, PublicTopic, SocketKind, TOPICS_MAX};
use super::groups::Usage;
use super::kline::span_ms;
use super::market::quote;
use super::trade::{told_execution, told_order};
use super::{listing, objects};
use crate::paper_exchange::accounts::{AccountNo, FaceKind, Position};
use crate::paper_exchange::core::Core;
use crate::paper_exchange::events::{Change, Event, What};
use crate::paper_exchange::face::{ConnNo, Desk};
use crate::paper_exchange::faults::Whose;
use crate::paper_exchange::limits::Rolling;
use crate::paper_exchange::orders::{Order, mix};
use crate::paper_exchange::transport::HttpAnswer;

/// New sockets of one address within five minutes.
pub const CONNECTS_MAX: usize = 500;
const CONNECTS_MICROS: u64 = 5 * 60 * 1_000_000;
/// Public sockets of one address at once.
pub const PUBLIC_MAX: usize = 1_000;
/// Messages of one address over trade sockets in a second.
pub const MESSAGES_MAX: usize = 3_000;
/// A socket that says nothing so long is closed.
pub const IDLE_MICROS: u64 = 10 * 60 * 1_000_000;

/// One socket.
#[derive(Debug)]
struct Session {
    kind: SocketKind,
    /// Its id, as it is told.
    conn_id: String,
    from: IpAddr,
    speaker: Speaker,
    public: BTreeSet<PublicTopic>,
    /// The topics and whether each is one category's.
    private: BTreeMap<PrivateTopic, bool>,
    idle_micros: u64,
    heard_at: Timestamp,
}

/// All sockets of the face.
#[derive(Debug)]
pub struct Sockets {
    seed: u64,
    sessions: BTreeMap<ConnNo, Session>,
    /// The private ones that are authenticated, by account.
    of_account: BTreeMap<AccountNo, BTreeSet<ConnNo>>,
    /// The public ones that hear of a symbol.
    of_symbol: BTreeMap<Symbol, BTreeSet<ConnNo>>,
    /// When each is closed unless it says something.
    ends: BTreeSet<(Timestamp, ConnNo)>,
    connects: Rolling<IpAddr>,
    messages: Rolling<IpAddr>,
    publics: BTreeMap<IpAddr, usize>,
    /// Positions as they were told last, so that a message about an order tells what was true then.
    positions: BTreeMap<(AccountNo, Symbol), Option<Box<Position>>>,
    /// Books and trades told, for their numbers.
    told: u64,
    /// Sockets refused for their number, and messages of trade sockets for theirs.
    refused: (u64, u64),
}

impl Sockets {
    /// No sockets.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            sessions: BTreeMap::new(),
            of_account: BTreeMap::new(),
            of_symbol: BTreeMap::new(),
            ends: BTreeSet::new(),
            connects: Rolling::new(CONNECTS_MICROS, CONNECTS_MAX),
            messages: Rolling::new(1_000_000, MESSAGES_MAX),
            publics: BTreeMap::new(),
            positions: BTreeMap::new(),
            told: 0,
            refused: (0, 0),
        }
    }

    /// Opens a socket.
    ///
    /// # Errors
    /// 404 for no such path, 403 for too many connections.
    pub fn open(
        &mut self,
        now: Timestamp,
        from: IpAddr,
        conn: ConnNo,
        target: &str,
    ) -> Result<(), HttpAnswer> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let kind = SocketKind::of_path(path).ok_or_else(|| HttpAnswer::new(404, "{}"))?;
        let publics = self.publics.get(&from).copied().unwrap_or(0);
        let full = kind == SocketKind::Public && publics >= PUBLIC_MAX;
        if full || !self.connects.spend(now, &from).fits {
            self.refused.0 += 1;
            return Err(HttpAnswer::new(403, "{}"));
        }
        if kind == SocketKind::Public {
            self.publics.insert(from, publics + 1);
        }
        let idle_micros = active_time(query).unwrap_or(IDLE_MICROS);
        let (a, b) = (mix(self.seed ^ conn.0), mix(self.seed ^ !conn.0));
        let session = Session {
            kind,
            conn_id: format!("{a:016x}{:04x}", b & 0xFFFF),
            from,
            speaker: Speaker::default(),
            public: BTreeSet::new(),
            private: BTreeMap::new(),
            idle_micros,
            heard_at: now,
        };
        self.ends.insert((now.plus_micros(idle_micros), conn));
        self.sessions.insert(conn, session);
        Ok(())
    }

    /// Whose socket it is, once that is known.
    pub(super) fn account_of(&self, conn: ConnNo) -> Option<AccountNo> {
        self.sessions.get(&conn)?.speaker.account
    }

    /// Sockets that were refused for their number, and messages of trade sockets for theirs.
    pub(super) const fn refused(&self) -> (u64, u64) {
        self.refused
    }

    /// Forgets a socket.
    pub fn closed(&mut self, conn: ConnNo) {
        let Some(session) = self.sessions.remove(&conn) else { return };
        self.ends.remove(&(session.heard_at.plus_micros(session.idle_micros), conn));
        if session.kind == SocketKind::Public
            && let Some(count) = self.publics.get_mut(&session.from)
        {
            *count = count.saturating_sub(1);
        }
        if let Some(account) = session.speaker.account
            && let Some(conns) = self.of_account.get_mut(&account)
        {
            conns.remove(&conn);
        }
        for topic in session.public {
            if let Some(conns) = self.of_symbol.get_mut(&topic.symbol()) {
                conns.remove(&conn);
            }
        }
    }

    /// Closes what has been silent for too long.
    pub fn tick(&mut self, desk: &mut Desk<'_>) {
        while let Some((_, conn)) = self.ends.first().copied().filter(|(at, _)| *at <= desk.now) {
            self.ends.pop_first();
            desk.out.close(conn, 1000);
        }
    }

    /// When the next silent one is closed.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.ends.first().map(|(at, _)| *at)
    }

    /// A message of a client.
    pub fn message(
        &mut self,
        desk: &mut Desk<'_>,
        usage: &mut Usage,
        from: IpAddr,
        conn: ConnNo,
        text: &str,
    ) {
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        self.ends.remove(&(session.heard_at.plus_micros(session.idle_micros), conn));
        session.heard_at = desk.now;
        self.ends.insert((desk.now.plus_micros(session.idle_micros), conn));
        let frame = match Frame::read(text) {
            Ok(frame) => frame,
            Err(refused_frame) => {
                let told = match session.kind {
                    SocketKind::Trade => refused(text, &refused_frame),
                    _ => frames::done("", &Value::Null, &session.conn_id, Err(&refused_frame.text)),
                };
                desk.out.answer(conn, told);
                return;
            }
        };
        let told = match (session.kind, frame.op.as_str()) {
            (kind, "ping") => frames::pong(kind, &frame.id_told, &session.conn_id, desk.core.now().millis()),
            (SocketKind::Public, "subscribe" | "unsubscribe") => {
                let (told, fresh) = self.listen(desk.core, conn, &frame);
                desk.out.answer(conn, told);
                for topic in fresh {
                    self.tell_public(desk, conn, &topic, true);
                }
                return;
            }
            (SocketKind::Private, "subscribe" | "unsubscribe") => follow(session, &frame),
            (SocketKind::Private | SocketKind::Trade, "auth") => {
                let done = authenticate(desk.core, &mut session.speaker, &frame, from);
                if done.is_ok()
                    && session.kind == SocketKind::Private
                    && let Some(account) = session.speaker.account
                {
                    self.of_account.entry(account).or_default().insert(conn);
                }
                told_auth(session.kind, &session.conn_id, &frame, &done)
            }
            (SocketKind::Trade, _) => {
                let fits = self.messages.spend(desk.now, &from).fits;
                self.refused.1 += u64::from(!fits);
                order_entry(desk, usage, &mut session.speaker, &session.conn_id, &frame, fits)
            }
            (_, _) => frames::done(&frame.op, &frame.id_told, &session.conn_id, Err("error:unknown op")),
        };
        desk.out.answer(conn, told);
    }

    /// Changes what a public socket hears; gives the answer and the topics that are new.
    fn listen(&mut self, core: &Core, conn: ConnNo, frame: &Frame) -> (String, Vec<PublicTopic>) {
        let Some(session) = self.sessions.get_mut(&conn) else { return (String::new(), Vec::new()) };
        let answer = |told| frames::done(&frame.op, &frame.id_told, &session.conn_id, told);
        let topics = match frame.topics() {
            Ok(topics) => topics,
            Err(refused) => return (answer(Err(&refused.text)), Vec::new()),
        };
        let mut wanted = Vec::new();
        for text in topics {
            let topic = PublicTopic::read(&text).filter(|topic| core.instrument(topic.symbol()).is_some());
            match topic {
                Some(topic) => wanted.push(topic),
                None => return (answer(Err(&format!("error:handler not found,topic:{text}"))), Vec::new()),
            }
        }
        let told = answer(Ok(frame.op.as_str()));
        if frame.op == "unsubscribe" {
            for topic in wanted {
                session.public.remove(&topic);
                let symbol = topic.symbol();
                if !session.public.iter().any(|other| other.symbol() == symbol)
                    && let Some(conns) = self.of_symbol.get_mut(&symbol)
                {
                    conns.remove(&conn);
                }
            }
            return (told, Vec::new());
        }
        if session.public.len() + wanted.len() > TOPICS_MAX {
            return (answer(Err("error:too many topics")), Vec::new());
        }
        for topic in &wanted {
            session.public.insert(topic.clone());
            self.of_symbol.entry(topic.symbol()).or_default().insert(conn);
        }
        (told, wanted)
    }

    /// The price of a symbol changed.
    pub fn moved(&mut self, desk: &mut Desk<'_>, symbol: Symbol) {
        let Some(conns) = self.of_symbol.get(&symbol) else { return };
        let heard: Vec<_> = conns
            .iter()
            .filter_map(|conn| Some((*conn, self.sessions.get(conn)?)))
            .flat_map(|(conn, session)| session.public.iter().map(move |topic| (conn, topic.clone())))
            .filter(|(_, topic)| topic.symbol() == symbol)
            .collect();
        for (conn, topic) in heard {
            self.tell_public(desk, conn, &topic, false);
        }
    }

    fn tell_public(&mut self, desk: &mut Desk<'_>, conn: ConnNo, topic: &PublicTopic, first: bool) {
        let core = &*desk.core;
        let Some(instrument) = core.instrument(topic.symbol()).copied() else { return };
        let Some(mark) = core.mark(topic.symbol()) else { return };
        self.told += 1;
        let (number, now_ms) = (self.told, core.now().millis());
        let (kind, name, data) = match topic {
            PublicTopic::Ticker(_) => {
                let Some(now) = quote(core, &instrument) else { return };
                ("snapshot", "tickers", listing::ticker(&instrument, &now))
            }
            PublicTopic::Book(..) => {
                ("snapshot", "orderbook", listing::book(&instrument, mark, now_ms, number))
            }
            PublicTopic::Kline(interval, symbol) => {
                let span = span_ms(interval).unwrap_or(60_000);
                let newest = core.candles().of(*symbol).next_back().map_or(0, |minute| minute.open_ms);
                let bar = core.candles().since(*symbol, newest - newest % span.max(1));
                let rows: Vec<_> =
                    bar.iter().map(|bar| listing::kline_event(bar, interval, span, now_ms)).collect();
                ("snapshot", "kline", json!(rows))
            }
            // No trade is told before one happens.
            PublicTopic::Trades(_) if first => return,
            PublicTopic::Trades(symbol) => {
                let id = format!("{:032x}", mix(number));
                let trade = json!([{
                    "T": now_ms, "s": symbol.as_str(), "S": "Buy", "v": instrument.quantity_min.to_string(),
                    "p": mark.to_string(), "L": "ZeroPlusTick", "i": id, "BT": false, "seq": number,
                }]);
                ("snapshot", "publicTrade", trade)
            }
        };
        let told = json!({
            "topic": topic.text(), "type": kind, "data": data, "ts": now_ms, "cts": now_ms, "cs": number,
        });
        let whose = Whose { face: FaceKind::Bybit, account: None };
        desk.push(conn, whose, name, told.to_string());
    }

    /// Something happened to an account.
    pub fn event(&mut self, desk: &mut Desk<'_>, event: &Event) {
        if let What::Position { symbol, position, .. } = &event.what {
            self.positions.insert((event.account, *symbol), position.clone());
        }
        if self.of_account.get(&event.account).is_none_or(BTreeSet::is_empty) {
            return;
        }
        let id = format!("{:016x}{:016x}", mix(event.seq), mix(u64::from(event.account.0)));
        let wallet = |core: &Core| core.funds(event.account).map(|funds| objects::wallet(&funds));
        match &event.what {
            What::Order(order, change) => {
                if let Change::Executed(execution) = change {
                    let mut full = told_execution(desk.core, execution, Some(order));
                    full.insert("category".into(), "linear".into());
                    self.tell_fast(desk, event, &full);
                    self.tell(desk, event, PrivateTopic::Execution, &id, full);
                }
                self.tell(desk, event, PrivateTopic::Order, &id, order_row(desk.core, order, change));
                if !matches!(change, Change::Executed(_) | Change::Fired) {
                    self.tell_position(desk, event, order.spec.symbol, &id);
                    if order.limit().is_some()
                        && let Some(row) = wallet(desk.core)
                    {
                        self.tell(desk, event, PrivateTopic::Wallet, &id, row);
                    }
                }
            }
            What::Position { symbol, .. } => {
                self.tell_position(desk, event, *symbol, &id);
                if let Some(row) = wallet(desk.core) {
                    self.tell(desk, event, PrivateTopic::Wallet, &id, row);
                }
            }
            What::Funding(income) => {
                if let Some(mut row) = objects::funding(income) {
                    row.insert("category".into(), "linear".into());
                    self.tell(desk, event, PrivateTopic::Execution, &id, row);
                }
            }
            What::Settings(symbol, _) => self.tell_position(desk, event, *symbol, &id),
            What::Mode { .. } => {}
        }
    }

    fn tell_position(&self, desk: &mut Desk<'_>, event: &Event, symbol: Symbol, id: &str) {
        let core = &*desk.core;
        let (Some(account), Some(instrument)) = (core.account(event.account), core.instrument(symbol)) else {
            return;
        };
        let position = self.positions.get(&(event.account, symbol)).and_then(Option::as_deref);
        let rows: Vec<_> = sides(account, position)
            .into_iter()
            .map(|side| {
                let mut of = of_position(core, account, instrument, side, event.seq);
                of.at = event.at;
                let mut row = objects::position(position, of, true);
                row.insert("category".into(), "linear".into());
                row
            })
            .collect();
        for row in rows {
            self.tell(desk, event, PrivateTopic::Position, id, row);
        }
    }

    fn tell(
        &self,
        desk: &mut Desk<'_>,
        event: &Event,
        topic: PrivateTopic,
        id: &str,
        row: Map<String, Value>,
    ) {
        let name = topic.name();
        let data = vec![row];
        let whose = Whose { face: FaceKind::Bybit, account: Some(event.account) };
        for conn in self.of_account.get(&event.account).into_iter().flatten() {
            let Some(session) = self.sessions.get(conn) else { continue };
            let Some(by_category) = session.private.get(&topic) else { continue };
            let topic = if *by_category { format!("{name}.linear") } else { name.to_owned() };
            desk.push(*conn, whose, name, frames::event(&topic, id, event.at.millis(), &data));
        }
    }

    /// Trades sooner and with less; the link is empty for a maker's (EXCHANGES.md §3.5).
    fn tell_fast(&self, desk: &mut Desk<'_>, event: &Event, full: &Map<String, Value>) {
        let mut row = Map::new();
        for name in [
            "category",
            "symbol",
            "execId",
            "execPrice",
            "execQty",
            "orderId",
            "isMaker",
            "orderLinkId",
            "side",
            "execTime",
            "seq",
        ] {
            if let Some(value) = full.get(name) {
                row.insert(name.into(), value.clone());
            }
        }
        if row.get("isMaker") == Some(&Value::Bool(true)) {
            row.insert("orderLinkId".into(), "".into());
        }
        self.tell(desk, event, PrivateTopic::ExecutionFast, "", row);
    }
}

/// `max_active_time`: 30 s to 10 min.
fn active_time(query: &str) -> Option<u64> {
    let fields = Fields::of_query(query).ok()?;
    let text = fields.text("max_active_time").ok()??;
    let seconds = match text.strip_suffix('m') {
        Some(minutes) => minutes.parse::<u64>().ok()?.checked_mul(60)?,
        None => text.strip_suffix('s').unwrap_or(text).parse().ok()?,
    };
    (30..=600).contains(&seconds).then_some(seconds * 1_000_000)
}

/// An order's row in the order topic.
fn order_row(core: &Core, order: &Order, change: &Change) -> Map<String, Value> {
    let mut row = told_order(core, order);
    row.insert("category".into(), "linear".into());
    match change {
        Change::Fired => {
            row.insert("orderStatus".into(), "Triggered".into());
        }
        // The event tells the order as it is at its place in the line: complete only with its last fill.
        Change::New | Change::Executed(_) | Change::Live | Change::Ended | Change::Amended => {}
    }
    row
}

/// Changes what a private socket hears; gives the answer.
fn follow(session: &mut Session, frame: &Frame) -> String {
    let outcome = (|| {
        if session.speaker.account.is_none() {
            return Err("Request not authorized".to_owned());
        }
        let mut wanted = Vec::new();
        for text in frame.topics().map_err(|refused| refused.text.into_owned())? {
            match PrivateTopic::read(&text) {
                Some(topic) => wanted.push(topic),
                None => return Err(format!("error:handler not found,topic:{text}")),
            }
        }
        // All-in-one and per-category topics of one kind may not be mixed in one request.
        let mixed = wanted.iter().any(|(topic, category)| wanted.contains(&(*topic, !category)));
        if mixed {
            return Err("error:all-in-one and categorised topics may not be mixed".to_owned());
        }
        for (topic, category) in wanted {
            if frame.op == "subscribe" {
                session.private.insert(topic, category);
            } else {
                session.private.remove(&topic);
            }
        }
        Ok(())
    })();
    let told = outcome.as_ref().map(|()| "").map_err(String::as_str);
    frames::done(&frame.op, &frame.id_told, &session.conn_id, told)
}
