//! The desk of a shard: where connections, asks and answers meet.
//!
//! **Runs on**: its shard, called from the loop. **Owns**: the connections ([`net::server`]), the table of pending requests.
//! **Invariants**: a pending entry ends with exactly one response, or with its connection.
//! **Bounds**: [`PENDING_MAX`] entries, of which [`PENDING_FOR_CLOSES`] are kept for signals that close; those of
//! [`ServerLimits`].

mod gathering;
mod history;
mod live;
mod receipt;

use std::rc::Rc;
use std::sync::Arc;

use crossbeam_channel::Sender;
use engine::core::command::{Command, Refusal, Reply};
use engine::core::ids::UserId;
use engine::seam::{Entropy, Nanos};
use engine::shard::ask::{Answer, Ask, Auth, Op, ReplyTo};
use engine::shard::ports::{Moment, ShardId};
use net::http::{HttpDate, Limits, ReplyMode, Request, response};
use net::server::{RequestId, Requested, Server, ServerLimits, ServerMetrics, Service, Socket};
use net::wire::{Arrival, ConnId, Ending, Stream, Wire, WireEvents};
use net::ws::Message;
use net::ws::handshake::server::Refusal as UpgradeRefusal;
use slab::Slab;

use self::history::{HistoryFlow, StreamFlow};
use self::live::Live;
use super::flows::{Asker, GatherFlow, ReceiptFlow};
use super::gauges::{Gauges, Latencies};
use super::history::PositionText;
use super::keys::{KeyEntry, KeySetup, Sealing, found_place};
use super::routes::{Proof, Routed, route};
use super::{render, token};
use crate::reads::{Found, Question};
use crate::server::hashing::{HashDone, HashJob, HashWork, SealWork};
use crate::server::readers::HistorySender;

/// Requests under way on a shard.
pub const PENDING_MAX: usize = 32_768;
/// Of these, the last ones are kept for closes.
pub const PENDING_FOR_CLOSES: usize = 4_096;
/// Body bytes that are still read, so that a signal that is too long gets its named reason.
const BODY_BYTES_MAX: usize = 96 << 10;

/// A request that waits for its response.
pub type Http = RequestId;

/// Where an ask goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The owner of its user.
    Owner,
    /// This shard.
    Shard(ShardId),
}

/// An ask that the loop hands to the shard.
pub struct Outgoing {
    /// Where it goes.
    pub target: Target,
    /// What is asked.
    pub ask: Ask<Question>,
    /// Where the answer goes.
    pub reply: ReplyTo,
}

enum Pending {
    /// The answer is the response; it is about this user.
    Plain(Http, UserId),
    /// The response to a created source of this user carries its secret.
    Secret(Http, UserId, String),
    /// A log-in: reading the hash, then verifying, then opening a session.
    LogIn { http: Http, user: UserId, password: String },
    /// A log-in whose session is being opened.
    Session { http: Http, user: UserId, token: String },
    /// A log-in whose failure is being put on record.
    WrongPassword(Http),
    /// A sign-up whose password is being hashed.
    SignUp { http: Http, email: String, zone: String },
    /// An exchange key whose account's place is asked for.
    Key(Http, Box<KeyEntry>),
    /// An exchange key that is being sealed.
    Sealing(Http, Box<Sealing>),
    /// A receipt that is being put together.
    Receipt(Box<ReceiptFlow>),
    /// Figures that are being put together.
    Gather(Box<GatherFlow>),
    /// A history that is asked for.
    History(Box<HistoryFlow>),
    /// A history that is sent piece by piece.
    Stream(Box<StreamFlow>),
    /// Somebody inside the process waits.
    Inside(Sender<Answer<Found>>),
}

/// See the module's head.
pub struct Desk<E> {
    shard: ShardId,
    shards: u16,
    /// Taken while it delivers events.
    front: Option<Box<Server>>,
    pending: Slab<Pending>,
    outgoing: Vec<Outgoing>,
    hashing: Sender<HashJob>,
    history: Option<HistorySender>,
    /// Streams that wait for room on their connections, and where they are kept.
    streams: Vec<(Http, ReplyTo, Nanos)>,
    /// Those of them that may go on.
    streams_ready: Vec<ReplyTo>,
    /// Dashboards.
    live: Live,
    keys: KeySetup,
    dummy_hash: Rc<str>,
    gauges: Arc<Gauges>,
    latencies: Arc<Latencies>,
    entropy: E,
    started: Moment,
    now: Moment,
    requests: u64,
}

/// What a desk is made of.
pub struct DeskParts<E> {
    /// This shard.
    pub shard: ShardId,
    /// How many there are.
    pub shards: u16,
    /// The password workers.
    pub hashing: Sender<HashJob>,
    /// The readers of the history, where there is a database.
    pub history: Option<HistorySender>,
    /// What the set-up says about exchanges.
    pub keys: KeySetup,
    /// A hash that no password has: verifying against it takes as long as any other.
    pub dummy_hash: String,
    /// Shared figures.
    pub gauges: Arc<Gauges>,
    /// Randomness for tokens.
    pub entropy: E,
    /// When the server started.
    pub started: Moment,
}

impl<E: Entropy> Desk<E> {
    /// A desk without connections.
    #[must_use]
    pub fn new(parts: DeskParts<E>) -> Self {
        let request = Limits { body_bytes_max: BODY_BYTES_MAX, ..Limits::default() };
        Self {
            shard: parts.shard,
            shards: parts.shards,
            front: Some(Box::new(Server::new(ServerLimits { request, ..ServerLimits::default() }))),
            pending: Slab::new(),
            outgoing: Vec::new(),
            hashing: parts.hashing,
            history: parts.history,
            streams: Vec::new(),
            streams_ready: Vec::new(),
            live: Live::default(),
            keys: parts.keys,
            dummy_hash: parts.dummy_hash.into(),
            gauges: parts.gauges,
            latencies: Arc::new(Latencies::default()),
            entropy: parts.entropy,
            started: parts.started,
            now: parts.started,
            requests: 0,
        }
    }

    /// Sets the time for what follows.
    pub fn set_time(&mut self, now: Moment) {
        self.now = now;
        self.front().set_time(now.mono.0, now.wall.0 / 1_000_000);
    }

    /// The connections.
    fn front(&mut self) -> &mut Server {
        self.front.as_mut().expect("not while events are delivered")
    }

    /// Ends gracefully: see [`Server::drain`].
    pub fn drain(&mut self, wire: &mut impl Wire) {
        self.front().drain(wire);
    }

    /// Connections whose last byte has not been sent.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.front.as_ref().map_or(0, |front| front.connections())
    }

    /// When [`Desk::tick`] has something to do even if nothing arrives, in nanoseconds of the shard's clock.
    #[must_use]
    pub fn next_deadline_ns(&self) -> Option<u64> {
        let front = self.front.as_ref().and_then(|front| front.next_deadline_ns());
        [front, self.live.due_ns()].into_iter().flatten().min()
    }

    /// Lets connections do what time brings; in every turn.
    pub fn tick(&mut self, wire: &mut impl Wire) {
        let mut front = self.front.take().expect("not while events are delivered");
        front.tick(wire, self);
        self.front = Some(front);
        self.go_on_with_streams(wire);
        self.read_for_watchers();
    }

    /// What the connections counted.
    #[must_use]
    pub fn connection_metrics(&self) -> ServerMetrics {
        self.front.as_ref().map(|front| front.metrics()).unwrap_or_default()
    }

    /// Takes the newest latency figures.
    pub fn set_latencies(&mut self, latencies: Arc<Latencies>) {
        self.latencies = latencies;
    }

    /// Asks for the shard; to be drained.
    pub fn outgoing(&mut self) -> &mut Vec<Outgoing> {
        &mut self.outgoing
    }

    /// Requests read so far.
    #[must_use]
    pub const fn requests(&self) -> u64 {
        self.requests
    }

    /// Requests under way.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// An ask from inside the process.
    pub fn ask_inside(&mut self, target: Target, ask: Ask<Question>, answer: Sender<Answer<Found>>) {
        let reply = self.keep(Pending::Inside(answer));
        self.outgoing.push(Outgoing { target, ask, reply });
    }

    fn keep(&mut self, pending: Pending) -> ReplyTo {
        ReplyTo(self.pending.insert(pending) as u64)
    }

    fn send(&mut self, ask: Ask<Question>, pending: Pending) {
        let reply = self.keep(pending);
        self.outgoing.push(Outgoing { target: Target::Owner, ask, reply });
    }

    /// Starts what a request asks for. `Some` is a response to write now.
    fn start(&mut self, routed: Routed, http: Http) -> Option<Instant> {
        let close = matches!(&routed, Routed::Ask(ask) if ask.op.close_key().is_some());
        let kept = match close {
            true if planted::planted!("close_refused_beside_others") => PENDING_MAX - 1,
            true => 0,
            false => PENDING_FOR_CLOSES,
        };
        if self.pending.len() + kept >= PENDING_MAX {
            return Some(Instant::Busy);
        }
        match routed {
            Routed::Ask(ask) => {
                let user = ask.user;
                self.send(ask, Pending::Plain(http, user));
            }
            Routed::History(session, question) => self.begin_history(http, session, question),
            Routed::CreateSource(ask, secret) => {
                let user = ask.user;
                self.send(ask, Pending::Secret(http, user, secret));
            }
            Routed::Key(request) => match request.begin(&self.keys) {
                Ok(entry) => self.send(entry.ask(), Pending::Key(http, Box::new(entry))),
                Err(error) => {
                    return Some(Instant::Error { status: 400, code: error.code, message: error.message });
                }
            },
            Routed::SignUp(body) => {
                let pending = Pending::SignUp { http, email: body.email, zone: body.zone };
                return self.hash(pending, HashWork::Hash { password: body.password });
            }
            Routed::LogIn(body) => {
                let user = UserId::from_email(&body.email);
                let ask = Ask { auth: Auth::Open, op: Op::Question(Question::Password(user)), user };
                self.send(ask, Pending::LogIn { http, user, password: body.password });
            }
            Routed::Receipt { signal, proof, limit, offset } => {
                let mut flow = ReceiptFlow::new(http, signal, limit, offset);
                let owner = signal.source.owner;
                let ask = match proof {
                    Proof::Session(user, session) if user == owner => Ask {
                        auth: Auth::Session(user, session),
                        op: Op::Question(Question::SignalHead(signal)),
                        user: owner,
                    },
                    Proof::Secret(secret) => Ask {
                        auth: Auth::SourceSecret(signal.source, secret),
                        op: Op::Question(Question::SignalHead(signal)),
                        user: owner,
                    },
                    Proof::Session(user, session) => {
                        flow.only = Some(user);
                        let op = Op::Question(Question::Receipt { signal, from: 0, only: Some(user) });
                        Ask { auth: Auth::Session(user, session), op, user }
                    }
                };
                self.send(ask, Pending::Receipt(Box::new(flow)));
            }
            Routed::Gather(figures) => self.gather(Asker::Caller(http), figures),
            Routed::LiveStats => return Some(Instant::LiveStats),
            Routed::Health => return Some(Instant::Health),
            Routed::Ready => return Some(Instant::Ready),
            Routed::Error { status, code, message } => return Some(Instant::Error { status, code, message }),
            Routed::MethodNotAllowed(allow) => return Some(Instant::MethodNotAllowed(allow)),
        }
        None
    }

    /// Hands password work to the workers; a full queue is a response.
    fn hash(&mut self, pending: Pending, work: HashWork) -> Option<Instant> {
        let reply = self.keep(pending);
        let job = HashJob { shard: self.shard.place(), key: reply.0, work };
        if self.hashing.try_send(job).is_err() {
            self.take(reply);
            return Some(Instant::Busy);
        }
        None
    }

    fn take(&mut self, reply: ReplyTo) -> Option<Pending> {
        self.pending.try_remove(usize::try_from(reply.0).ok()?)
    }

    /// Takes the result of password work.
    pub fn hashed(&mut self, done: HashDone, key: u64, wire: &mut impl Wire) {
        match (self.take(ReplyTo(key)), done) {
            (Some(Pending::SignUp { http, email, zone }), HashDone::Hashed(password)) => {
                let user = UserId::from_email(&email);
                let command = Command::SignUp { email, password, zone };
                let ask = Ask { auth: Auth::Open, op: Op::Command(command), user };
                self.send(ask, Pending::Plain(http, user));
            }
            (Some(Pending::LogIn { http, user, .. }), HashDone::Verified(true)) => {
                let token = token::new_session(user, &mut self.entropy);
                let digest = engine::core::auth::digest(token.as_bytes());
                let op = Op::Command(Command::OpenSession { user, token: digest });
                self.send(Ask { auth: Auth::Open, op, user }, Pending::Session { http, user, token });
            }
            (Some(Pending::LogIn { http, .. }), HashDone::Verified(false))
                if planted::planted!("wrong_password_not_counted") =>
            {
                self.respond(wire, http, wrong_credentials);
            }
            (Some(Pending::LogIn { http, user, .. }), HashDone::Verified(false)) => {
                let op = Op::Command(Command::FailLogin { user });
                self.send(Ask { auth: Auth::Open, op, user }, Pending::WrongPassword(http));
            }
            (Some(Pending::Sealing(http, sealing)), HashDone::Sealed(Ok(key))) => {
                let user = sealing.owner().user;
                self.send(sealing.command(key), Pending::Plain(http, user));
            }
            (Some(Pending::Sealing(http, _)), HashDone::Sealed(Err(why))) => {
                self.respond(wire, http, |out, mode, date| {
                    render::error(out, mode, date, 400, "invalid", &why, None);
                });
            }
            (Some(Pending::Sealing(http, _)), _) => self.respond(wire, http, |out, mode, date| {
                render::error(out, mode, date, 500, "internal", "sealing the key failed", None);
            }),
            (Some(Pending::SignUp { http, .. } | Pending::LogIn { http, .. }), _) => {
                self.respond(wire, http, |out, mode, date| {
                    render::error(out, mode, date, 500, "internal", "hashing the password failed", None);
                });
            }
            _ => {}
        }
    }

    /// Takes an answer from the shard.
    pub fn answer(&mut self, reply: ReplyTo, answer: Answer<Found>, wire: &mut impl Wire) {
        let Some(pending) = self.take(reply) else { return };
        match pending {
            Pending::Plain(http, _)
                if matches!(answer, Answer::Decided(Err(_)))
                    && planted::planted!("refusal_closes_the_connection") =>
            {
                wire.close(http.conn());
            }
            Pending::Plain(http, user) => {
                let position = self.position_of(user);
                self.respond(wire, http, |out, mode, date| {
                    render::answer_at(out, mode, date, &answer, position.as_ref().map(PositionText::as_str));
                });
            }
            Pending::History(flow) => self.history_step(flow, answer, wire),
            Pending::Secret(http, user, secret) => {
                let position = self.position_of(user);
                self.respond(wire, http, |out, mode, date| match &answer {
                    Answer::Decided(Ok(Reply::Source(id))) => {
                        let body = format!("{{\"id\":\"{id}\",\"secret\":\"{secret}\"}}");
                        let position = position.as_ref().map(PositionText::as_str);
                        render::json_at(out, mode, date, 201, body.as_bytes(), position);
                    }
                    other => render::answer(out, mode, date, other),
                });
            }
            Pending::Key(http, entry) => self.key_placed(http, *entry, answer, wire),
            Pending::LogIn { http, user, password } => self.log_in_read(http, user, password, &answer, wire),
            Pending::Session { http, user, token } => {
                let position = self.position_of(user);
                self.respond(wire, http, |out, mode, date| match &answer {
                    Answer::Decided(Ok(Reply::Session(expires_at))) => {
                        let expires_at = expires_at.0;
                        let body = format!(
                            "{{\"user\":\"{user}\",\"token\":\"{token}\",\"expires_at\":{expires_at}}}"
                        );
                        let position = position.as_ref().map(PositionText::as_str);
                        render::json_at(out, mode, date, 200, body.as_bytes(), position);
                    }
                    other => render::answer(out, mode, date, other),
                });
            }
            Pending::WrongPassword(http) => self.respond(wire, http, |out, mode, date| match &answer {
                Answer::Decided(Ok(_) | Err(Refusal::UnknownUser)) => wrong_credentials(out, mode, date),
                other => render::answer(out, mode, date, other),
            }),
            Pending::Receipt(flow) => self.receipt_step(flow, answer, wire),
            Pending::Gather(flow) => self.gather_step(reply, flow, answer, wire),
            Pending::SignUp { .. } | Pending::Sealing(..) | Pending::Stream(_) => {}
            // The asker may have gone; that is not our concern.
            Pending::Inside(sender) => drop(sender.try_send(answer)),
        }
    }

    fn log_in_read(
        &mut self,
        http: Http,
        user: UserId,
        password: String,
        answer: &Answer<Found>,
        wire: &mut impl Wire,
    ) {
        let hash = match answer {
            Answer::Read(Found::Password(_, locked_until)) if *locked_until > self.now.wall => {
                let locked = Answer::Decided(Err(Refusal::Locked));
                return self.respond(wire, http, |out, mode, date| render::answer(out, mode, date, &locked));
            }
            Answer::Read(Found::Password(hash, _)) => hash.clone(),
            // An unknown address takes as long as a known one.
            Answer::Read(_) => self.dummy_hash.to_string(),
            other => {
                return self.respond(wire, http, |out, mode, date| render::answer(out, mode, date, other));
            }
        };
        let work = HashWork::Verify { password, hash };
        let pending = Pending::LogIn { http, user, password: String::new() };
        if let Some(instant) = self.hash(pending, work) {
            let gauges = Arc::clone(&self.gauges);
            self.respond(wire, http, |out, mode, date| instant.write(out, mode, date, &gauges));
        }
    }

    /// The place of a key's account is known, and the session is valid: now the key is checked and sealed.
    fn key_placed(&mut self, http: Http, entry: KeyEntry, answer: Answer<Found>, wire: &mut impl Wire) {
        let place = match answer {
            Answer::Read(found) => found_place(found).unwrap_or(Err(Refusal::UnknownUser)),
            other => {
                return self.respond(wire, http, |out, mode, date| render::answer(out, mode, date, &other));
            }
        };
        let sealing = match entry.owner(place, &self.keys) {
            Ok(sealing) => sealing,
            Err(refusal) => {
                let refused = Answer::Decided(Err(refusal));
                return self.respond(wire, http, |out, mode, date| render::answer(out, mode, date, &refused));
            }
        };
        let KeyEntry { kind, api_key, secret, .. } = entry;
        let work = SealWork { owner: *sealing.owner(), kind, api_key, secret };
        if let Some(instant) =
            self.hash(Pending::Sealing(http, Box::new(sealing)), HashWork::Seal(Box::new(work)))
        {
            let gauges = Arc::clone(&self.gauges);
            self.respond(wire, http, |out, mode, date| instant.write(out, mode, date, &gauges));
        }
    }

    /// Writes a response in its turn.
    fn respond(
        &mut self,
        wire: &mut impl Wire,
        http: Http,
        write: impl FnOnce(&mut Vec<u8>, ReplyMode, &HttpDate),
    ) {
        self.front().answer(wire, http, write);
    }

    fn handle(&mut self, request: &Request<'_>, http: Http) -> Option<Instant> {
        let routed = route(request, &mut self.entropy);
        self.start(routed, http)
    }
}

fn wrong_credentials(out: &mut Vec<u8>, mode: ReplyMode, date: &HttpDate) {
    render::error(out, mode, date, 401, "wrong_credentials", "wrong e-mail or password", None);
}

/// A response that needs no ask.
enum Instant {
    /// Not an answer, but the dashboard's stream.
    LiveStats,
    Health,
    Ready,
    Busy,
    Error {
        status: u16,
        code: &'static str,
        message: String,
    },
    MethodNotAllowed(&'static str),
}

impl Instant {
    fn write(self, out: &mut Vec<u8>, mode: ReplyMode, date: &HttpDate, gauges: &Gauges) {
        match self {
            Self::LiveStats => UpgradeRefusal::NotAnUpgrade.write(out, mode, date),
            Self::Health => render::json(out, mode, date, 200, b"{\"status\":\"live\"}"),
            Self::Ready => match gauges.not_ready() {
                None => render::json(out, mode, date, 200, b"{\"status\":\"ready\"}"),
                Some(why) => render::error(out, mode, date, 503, "not_ready", why, Some(1)),
            },
            Self::Busy => render::answer(out, mode, date, &Answer::Busy { retry_after: 1 }),
            Self::Error { status, code, message } => {
                render::error(out, mode, date, status, code, &message, None);
            }
            Self::MethodNotAllowed(allow) => {
                response::begin(out, 405, mode, date).header("Allow", allow).body_with(
                    "application/json",
                    |out| {
                        let text =
                            br#"{"error":{"code":"method_not_allowed","message":"see the Allow header"}}"#;
                        out.extend_from_slice(text);
                    },
                );
            }
        }
    }
}

impl<E: Entropy> Service for Desk<E> {
    fn may_stream(&mut self, id: RequestId) {
        // The connections are at work now; it goes on when they are back.
        if let Some(place) = self.streams.iter().position(|(http, ..)| *http == id) {
            self.streams_ready.push(self.streams.swap_remove(place).1);
        }
    }

    fn request(&mut self, request: &Request<'_>, requested: Requested<'_>) {
        self.requests += 1;
        match self.handle(request, requested.id()) {
            None => {}
            Some(Instant::LiveStats) => self.accept_watcher(request, requested),
            Some(instant) => {
                let gauges = &self.gauges;
                requested.answer(|out, mode, date| instant.write(out, mode, date, gauges));
            }
        }
    }

    fn opened(&mut self, conn: ConnId, socket: &mut Socket<'_>) {
        self.watcher_came(conn, socket);
    }

    fn message(&mut self, _conn: ConnId, _message: Message<'_>, socket: &mut Socket<'_>) {
        Self::watcher_spoke(socket);
    }

    fn lagged(&mut self, _conn: ConnId, missed: u64, socket: &mut Socket<'_>) {
        self.watcher_lagged(missed, socket);
    }

    fn socket_closed(&mut self, conn: ConnId) {
        self.watcher_left(conn);
    }
}

impl<E: Entropy> WireEvents for Desk<E> {
    fn accepted(&mut self, conn: ConnId, arrival: Arrival) {
        self.deliver(|front, desk| front.with(desk).accepted(conn, arrival));
    }

    fn received(&mut self, conn: ConnId, stream: &mut Stream<'_>) {
        self.deliver(|front, desk| front.with(desk).received(conn, stream));
    }

    fn closed(&mut self, conn: ConnId, ending: Ending) {
        self.deliver(|front, desk| front.with(desk).closed(conn, ending));
    }
}

impl<E: Entropy> Desk<E> {
    fn deliver(&mut self, event: impl FnOnce(&mut Server, &mut Self)) {
        let mut front = self.front.take().expect("events do not nest");
        event(&mut front, self);
        self.front = Some(front);
    }
}
