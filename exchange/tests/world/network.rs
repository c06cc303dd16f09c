//! What lies between the connector and the exchange: delays, losses and breaks, in the order of each connection.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use engine::core::ids::Timestamp;
use exchange::live::connector::{CallEnd, Connector, Outgoing, Server, Shape, SocketId, Tag};
use exchange::live::protocol::HttpReply;
use exchange::paper_exchange::transport::{HttpAnswer, HttpIn, Outcome, SocketOut};
use exchange::paper_exchange::{ConnNo, PaperExchange};

use net::http::HttpDate;

use super::Dice;

/// Our address, as the exchange sees it.
pub const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));

/// How bad it is. Chances in millionths, per request or message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// One way, at most, in microseconds.
    pub delay_max: u64,
    /// A request that never arrives.
    pub request_lost: u64,
    /// An answer that never comes back.
    pub answer_lost: u64,
    /// No connection can be made.
    pub unreachable: u64,
    /// A socket breaks when something is sent over it.
    pub socket_breaks: u64,
}

enum Due {
    Call(Tag, HttpIn, Timestamp),
    CallDone(Tag, Option<HttpAnswer>, bool),
    Open(SocketId, String),
    Refused(SocketId, HttpAnswer),
    Opened(SocketId),
    ToExchange(SocketId, String),
    ToUs(SocketId, String),
    Alive(SocketId),
    Closed(SocketId),
}

pub struct Network {
    weather: Weather,
    due: BTreeMap<(Timestamp, u64), Due>,
    next: u64,
    /// When the newest message of each socket arrives: nothing overtakes within one.
    newest: BTreeMap<SocketId, Timestamp>,
    open: BTreeMap<SocketId, ConnNo>,
    by_conn: BTreeMap<ConnNo, SocketId>,
    /// Nothing passes over these any more, in either direction, and nobody is told.
    hushed: BTreeSet<SocketId>,
    /// Sockets that came up.
    pub came_up: u64,
    next_conn: u64,
    /// Of a process that is gone: nothing is told about them.
    epoch: u64,
    /// Requests by method and path.
    pub asked: BTreeMap<String, u64>,
    /// Whether sockets of the market do not open: prices then come by requests, which costs a long test far less time.
    pub without_market_streams: bool,
    /// Whether sockets for orders do not open: orders then go by requests.
    pub without_order_entry: bool,
    /// What is changed in what streams tell, each wherever it occurs.
    pub rewrites: Vec<(String, String)>,
    /// Sockets that were dialled, by their path.
    pub dialled: BTreeMap<String, u64>,
    /// Those of them beside which none of that path stood or was on its way.
    pub dialled_alone: BTreeMap<String, u64>,
    /// The paths of the sockets that stand or are on their way, as the connector sees it.
    paths: BTreeMap<SocketId, String>,
    /// What was sent and dialled; that a socket is alive is no request.
    pub sent: u64,
    tracing: bool,
}

impl Network {
    pub fn new(weather: Weather) -> Self {
        Self {
            weather,
            due: BTreeMap::new(),
            next: 0,
            newest: BTreeMap::new(),
            open: BTreeMap::new(),
            by_conn: BTreeMap::new(),
            hushed: BTreeSet::new(),
            came_up: 0,
            next_conn: 1,
            epoch: 0,
            asked: BTreeMap::new(),
            without_market_streams: false,
            without_order_entry: false,
            rewrites: Vec::new(),
            dialled: BTreeMap::new(),
            dialled_alone: BTreeMap::new(),
            paths: BTreeMap::new(),
            sent: 0,
            tracing: std::env::var_os("MATRIX_TRACE").is_some(),
        }
    }

    pub fn set(&mut self, weather: Weather) {
        self.weather = weather;
    }

    fn at(&mut self, at: Timestamp, due: Due) {
        self.next += 1;
        self.due.insert((at, self.next), due);
    }

    fn delay(&self, dice: &mut Dice) -> u64 {
        500 + dice.below(self.weather.delay_max.max(1))
    }

    fn in_order(&mut self, socket: SocketId, at: Timestamp) -> Timestamp {
        let newest = self.newest.entry(socket).or_insert(at);
        *newest = (*newest).max(at);
        *newest
    }

    pub fn next_due(&self) -> Option<Timestamp> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    pub fn is_due(&self, now: Timestamp) -> bool {
        self.next_due().is_some_and(|at| at <= now)
    }

    /// Every connection that is open breaks.
    pub fn cut(&mut self, now: Timestamp) {
        let open: Vec<SocketId> = self.open.keys().copied().collect();
        for socket in open {
            let at = self.in_order(socket, now);
            self.at(at, Due::Closed(socket));
        }
    }

    /// Every connection that is open falls silent and stays open.
    pub fn hush(&mut self) {
        self.hushed.extend(self.open.keys().copied());
    }

    /// What passes, for people who look for a fault; keys and signatures are the test's own.
    fn trace(&self, now: Timestamp, what: &str, text: &str) {
        if self.tracing {
            let short: String = text.chars().take(400).collect();
            println!("{:>12} {what} {short}", now.0 - super::START.0);
        }
    }

    /// What the connector sends.
    pub fn send(&mut self, now: Timestamp, dice: &mut Dice, outgoing: Outgoing) {
        let there = now.plus_micros(self.delay(dice));
        self.sent += u64::from(match &outgoing {
            Outgoing::Call { .. } | Outgoing::Open { .. } => true,
            Outgoing::Send { text, .. } => !text.contains(r#""op":"ping""#),
            Outgoing::Close { .. } => false,
        });
        match outgoing {
            Outgoing::Call { tag, call, deadline, .. } => {
                let path = call.target.split('?').next().unwrap_or_default();
                self.trace(
                    now,
                    "call",
                    &format!(
                        "{tag:?} {} {} {}",
                        call.method,
                        call.target,
                        String::from_utf8_lossy(&call.body)
                    ),
                );
                *self.asked.entry(format!("{} {path}", call.method)).or_default() += 1;
                if dice.chance(self.weather.unreachable) {
                    self.at(there, Due::CallDone(tag, None, true));
                    return;
                }
                let request = HttpIn {
                    method: call.method.to_owned(),
                    target: call.target,
                    headers: call.headers.into_iter().map(|(n, v)| (n.to_owned(), v)).collect(),
                    body: call.body,
                };
                if dice.chance(self.weather.request_lost) {
                    self.at(deadline, Due::CallDone(tag, None, false));
                } else {
                    self.at(there, Due::Call(tag, request, deadline));
                }
            }
            Outgoing::Open { socket, server, target } => {
                self.trace(now, "open", &format!("{socket:?} {target}"));
                let path = target.split('?').next().unwrap_or_default();
                *self.dialled.entry(path.to_owned()).or_default() += 1;
                if !self.paths.values().any(|standing| standing == path) {
                    *self.dialled_alone.entry(path.to_owned()).or_default() += 1;
                }
                self.paths.insert(socket, path.to_owned());
                let is_closed = (server == Server::Public && self.without_market_streams)
                    || (server == Server::Trade && self.without_order_entry);
                if is_closed || dice.chance(self.weather.unreachable) {
                    self.at(there, Due::Closed(socket));
                } else {
                    self.at(there, Due::Open(socket, target));
                }
            }
            Outgoing::Send { socket, text } => {
                self.trace(now, "send", &format!("{socket:?} {text}"));
                let at = self.in_order(socket, there);
                if dice.chance(self.weather.socket_breaks) {
                    self.at(at, Due::Closed(socket));
                } else {
                    self.at(at, Due::ToExchange(socket, text));
                }
            }
            Outgoing::Close { socket } => {
                self.paths.remove(&socket);
                let at = self.in_order(socket, there);
                self.at(at, Due::Closed(socket));
            }
        }
    }

    /// What the exchange sends.
    pub fn send_back(&mut self, now: Timestamp, conn: ConnNo, out: SocketOut) {
        let Some(socket) = self.by_conn.get(&conn).copied() else { return };
        let at = self.in_order(socket, now.plus_micros(700));
        match out {
            SocketOut::Text(text) => {
                let text = self.rewrites.iter().fold(text, |text, (from, to)| text.replace(from, to));
                self.at(at, Due::ToUs(socket, text));
            }
            SocketOut::Ping => self.at(at, Due::Alive(socket)),
            SocketOut::Close(_) | SocketOut::Drop => self.at(at, Due::Closed(socket)),
        }
    }

    /// The process is gone: so are its connections. What had left still arrives.
    pub fn all_break(&mut self, exchange: &mut PaperExchange) {
        self.epoch += 1;
        let old = std::mem::take(&mut self.due);
        for (at, due) in old {
            if let Due::Call(_, request, deadline) = due {
                self.due.insert(at, Due::Call(Tag(u64::MAX), request, deadline));
            }
        }
        for conn in std::mem::take(&mut self.open).into_values() {
            exchange.socket_closed(conn);
        }
        self.by_conn.clear();
        self.newest.clear();
        self.paths.clear();
    }

    /// Hands over what has arrived.
    pub fn deliver<P: Shape>(
        &mut self,
        now: Timestamp,
        dice: &mut Dice,
        exchange: &mut PaperExchange,
        connector: &mut Connector<P>,
    ) {
        while let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= now) {
            match entry.remove() {
                Due::Call(tag, request, deadline) => {
                    let out = exchange.http(now, HERE, &request);
                    let back = out.at.max(now).plus_micros(self.delay(dice));
                    let lost = dice.chance(self.weather.answer_lost);
                    match out.what {
                        Outcome::Answer(answer) if !lost && back < deadline => {
                            self.at(back, Due::CallDone(tag, Some(answer), false));
                        }
                        Outcome::Answer(_) => self.at(deadline, Due::CallDone(tag, None, false)),
                        Outcome::Drop => self.at(back, Due::CallDone(tag, None, false)),
                    }
                }
                Due::CallDone(tag, answer, unreachable) => {
                    self.trace(now, "done", &format!("{tag:?} {:?}", answer.as_ref().map(|a| &a.body)));
                    match answer {
                        Some(answer) => {
                            // As every server has it; the exchange's clock.
                            let date = HttpDate::from_unix(now.0 / super::SECOND);
                            let date = std::str::from_utf8(date.as_bytes()).expect("a date");
                            let header = |name: &str| {
                                if name.eq_ignore_ascii_case("date") {
                                    return Some(date);
                                }
                                let found = answer.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
                                found.map(|(_, value)| value.as_str())
                            };
                            let reply = HttpReply {
                                status: answer.status,
                                header: &header,
                                body: answer.body.as_bytes(),
                            };
                            connector.call_done(now, tag, CallEnd::Answered(reply));
                        }
                        None if unreachable => connector.call_done(now, tag, CallEnd::Unreachable),
                        None => connector.call_done(now, tag, CallEnd::NoAnswer),
                    }
                }
                Due::Open(socket, target) => {
                    let conn = ConnNo(self.next_conn);
                    self.next_conn += 1;
                    match exchange.socket_open(now, conn, HERE, &target) {
                        Ok(()) => {
                            self.open.insert(socket, conn);
                            self.by_conn.insert(conn, socket);
                            let at = self.in_order(socket, now.plus_micros(800));
                            self.at(at, Due::Opened(socket));
                        }
                        Err(answer) => self.at(now.plus_micros(800), Due::Refused(socket, answer)),
                    }
                }
                Due::Refused(socket, answer) => {
                    let header = |name: &str| {
                        let found = answer.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
                        found.map(|(_, value)| value.as_str())
                    };
                    let reply =
                        HttpReply { status: answer.status, header: &header, body: answer.body.as_bytes() };
                    connector.socket_refused(now, socket, reply);
                }
                Due::Opened(socket) => {
                    self.trace(now, "opened", &format!("{socket:?}"));
                    self.came_up += 1;
                    connector.socket_opened(now, socket);
                }
                Due::ToExchange(socket, text) => {
                    if let Some(conn) = self.open.get(&socket).filter(|_| !self.hushed.contains(&socket)) {
                        exchange.socket_message(now, *conn, &text);
                    }
                }
                Due::ToUs(socket, text) => {
                    self.trace(now, "told", &format!("{socket:?} {text}"));
                    if self.open.contains_key(&socket) && !self.hushed.contains(&socket) {
                        connector.socket_message(now, socket, &text);
                    }
                }
                Due::Alive(socket) => {
                    if self.open.contains_key(&socket) && !self.hushed.contains(&socket) {
                        connector.socket_alive(now, socket);
                    }
                }
                Due::Closed(socket) => {
                    self.trace(now, "closed", &format!("{socket:?}"));
                    if let Some(conn) = self.open.remove(&socket) {
                        self.by_conn.remove(&conn);
                        exchange.socket_closed(conn);
                    }
                    self.paths.remove(&socket);
                    connector.socket_closed(now, socket);
                }
            }
        }
    }
}
