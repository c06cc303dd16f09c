//! From a parsed request to what is to be done about it.
//!
//! **Runs on**: the shard the connection landed on. Pure: it looks at the request and nothing else, and does not block.

use engine::core::command::{Command, SignalDraft};
use engine::core::ids::{SignalId, SourceId, UserId};
use engine::core::instrument::Symbol;
use engine::core::user::VenueKind;
use engine::seam::Entropy;
use engine::shard::ask::{Ask, Auth, Op};
use net::http::{Method, Request};
use sha2::{Digest, Sha256};

use super::bodies::{self, BodyError};
use super::flows::Figures;
use super::history::HistoryQuestion;
use super::keys::{KeyFields, KeyRequest, PlaceFields, Wanted};
use super::receipt::RECEIPT_ROWS_DEFAULT;
use super::token;
use crate::reads::{Page, Question};
use crate::signal;

/// What is to be done about a request.
pub enum Routed {
    /// One ask; its answer is the response.
    Ask(Ask<Question>),
    /// One ask; when it was done, the response is 201 with this secret.
    CreateSource(Ask<Question>, String),
    /// The key of an account on an exchange: find its place, seal it, then ask.
    Key(Box<KeyRequest>),
    /// Sign-up: hash the password, then ask.
    SignUp(bodies::SignUp),
    /// Log-in: read the hash, verify, then open a session.
    LogIn(bodies::LogIn),
    /// A receipt, for whoever proves themselves so.
    Receipt {
        /// Which signal.
        signal: SignalId,
        /// How the caller proves who they are.
        proof: Proof,
        /// Rows wanted.
        limit: usize,
        /// Rows to leave out first.
        offset: usize,
    },
    /// A user's history, with the digest of their session's token.
    History([u8; 32], Box<HistoryQuestion>),
    /// Figures over all shards.
    Gather(Figures),
    /// The same as a stream, over a WebSocket.
    LiveStats,
    /// `/health`.
    Health,
    /// `/ready`.
    Ready,
    /// An error, now.
    Error {
        /// Status.
        status: u16,
        /// Code.
        code: &'static str,
        /// Message.
        message: String,
    },
    /// The path exists for other methods.
    MethodNotAllowed(&'static str),
}

/// How a reader of a receipt proves who they are.
pub enum Proof {
    /// A session.
    Session(UserId, [u8; 32]),
    /// A source's secret.
    Secret([u8; 32]),
}

impl From<BodyError> for Routed {
    fn from(error: BodyError) -> Self {
        Self::Error { status: 400, code: error.code, message: error.message }
    }
}

fn unauthorized(message: &str) -> Routed {
    Routed::Error { status: 401, code: "unauthorized", message: message.to_owned() }
}

fn bearer<'a>(request: &Request<'a>) -> Option<&'a str> {
    let value = request.head.header_str("authorization")?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Decides what to do about a request.
pub fn route(request: &Request<'_>, entropy: &mut impl Entropy) -> Routed {
    use Method::{Get, Head, Post};
    let mut parts = request.head.path.split('/').skip(1);
    let path = [parts.next(), parts.next(), parts.next(), parts.next()];
    if parts.next().is_some() {
        return not_found();
    }
    let method = request.head.method;
    let get = matches!(method, Get | Head);
    match path {
        [Some("health"), None, ..] if get => Routed::Health,
        [Some("ready"), None, ..] if get => Routed::Ready,
        [Some("metrics"), None, ..] if get => Routed::Gather(Figures::Prometheus),
        [Some("webhook"), secret, None, ..] if method == Post => webhook(request, secret),
        [Some("api"), Some(area), rest, last] => match (area, rest, last) {
            ("webhooks", Some("signal"), secret) if method == Post => webhook(request, secret),
            ("signals", None, None) if method == Post => webhook(request, None),
            ("signals", Some(id), None) if get => receipt(request, id),
            ("enterprise", Some("status"), None) if get => Routed::Gather(Figures::Status),
            ("enterprise", Some("metrics"), None) if get => Routed::Gather(Figures::Json),
            ("enterprise", Some("stream"), None) if get => Routed::LiveStats,
            ("auth", Some("signup"), None) if method == Post => sign_up(request),
            ("auth", Some("login"), None) if method == Post => log_in(request),
            ("webhooks", Some("signal"), _)
            | ("signals", None, None)
            | ("auth", Some("signup" | "login" | "logout"), None)
                if method != Post =>
            {
                Routed::MethodNotAllowed("POST")
            }
            ("signals", Some(_), None) | ("enterprise", Some("status" | "metrics" | "stream"), None) => {
                Routed::MethodNotAllowed("GET")
            }
            _ => with_session(request, (area, rest, last), method, get, entropy),
        },
        [Some("webhook"), _, None, ..] => Routed::MethodNotAllowed("POST"),
        [Some("health" | "ready" | "metrics"), None, ..] => Routed::MethodNotAllowed("GET"),
        _ => not_found(),
    }
}

fn not_found() -> Routed {
    Routed::Error { status: 404, code: "not_found", message: "no such route".to_owned() }
}

/// Routes that act for the user of the session.
fn with_session(
    request: &Request<'_>,
    path: (&str, Option<&str>, Option<&str>),
    method: Method,
    get: bool,
    entropy: &mut impl Entropy,
) -> Routed {
    if let ("history", Some(what), None) = path {
        return history(request, what, get);
    }
    if let ("accounts", Some(account), Some("key")) = path {
        return key(request, account, method);
    }
    let page = match path {
        ("me", None, None) => Some(Page::Profile),
        ("accounts", None, None) => Some(Page::Accounts),
        ("orders", None, None) => Some(Page::Orders),
        ("positions", None, None) => Some(Page::Positions),
        ("balances", None, None) => Some(Page::Balances),
        ("ledger", None, None) => Some(Page::Ledger),
        ("sources", None, None) => Some(Page::Sources),
        ("subscriptions", None, None) => Some(Page::Subscriptions),
        _ => None,
    };
    let change = match path {
        ("auth", Some("logout"), None)
        | ("accounts" | "sources" | "subscriptions" | "halt", None, None)
        | ("positions", Some("close"), None) => Some(Method::Post),
        ("subscriptions", Some(_), None) => Some(Method::Delete),
        _ => None,
    };
    if page.is_none() && change.is_none() {
        return not_found();
    }
    if !(get && page.is_some()) && change != Some(method) {
        return Routed::MethodNotAllowed(match (page, change) {
            (Some(_), Some(_)) => "GET, POST",
            (Some(_), None) => "GET",
            (None, Some(Method::Delete)) => "DELETE",
            (None, _) => "POST",
        });
    }
    let Some((user, session)) = bearer(request).and_then(token::parse_session) else {
        return unauthorized("log in and send the token as `Authorization: Bearer …`");
    };
    let auth = Auth::Session(user, session);
    if let (true, Some(page)) = (get, page) {
        return Routed::Ask(Ask { auth, op: Op::Question(Question::Page(user, page)), user });
    }
    let command = match path {
        ("auth", Some("logout"), None) => Ok(Command::CloseSession { user, token: session }),
        ("accounts", None, None) => {
            return match open_account(user, session, request.body) {
                Ok(routed) => routed,
                Err(error) => error.into(),
            };
        }
        ("sources", None, None) => {
            return match bodies::read::<bodies::CreateSource>(request.body) {
                Ok(body) => {
                    let text = token::new_secret(user, entropy);
                    let secret = engine::core::auth::digest(text.as_bytes());
                    let command = Command::CreateSource { user, name: body.name, secret };
                    Routed::CreateSource(Ask { auth, op: Op::Command(command), user }, text)
                }
                Err(error) => error.into(),
            };
        }
        ("subscriptions", None, None) => bodies::read::<bodies::Subscribe<'_>>(request.body)
            .and_then(|body| body.settings())
            .map(|(source, account, settings)| Command::Subscribe { user, source, account, settings }),
        ("subscriptions", Some(source), None) => match SourceId::parse(source) {
            Some(source) => Ok(Command::Unsubscribe { user, source }),
            None => return not_found(),
        },
        ("halt", None, None) => set_halt(user, request.body),
        _ => close_position(user, request.body),
    };
    match command {
        Ok(command) => Routed::Ask(Ask { auth, op: Op::Command(command), user }),
        Err(error) => error.into(),
    }
}

fn history(request: &Request<'_>, what: &str, get: bool) -> Routed {
    if !get {
        return Routed::MethodNotAllowed("GET");
    }
    let Some((user, session)) = bearer(request).and_then(token::parse_session) else {
        return unauthorized("log in and send the token as `Authorization: Bearer …`");
    };
    match HistoryQuestion::parse(what, Some(request.head.query), user) {
        Ok(Some(question)) => Routed::History(session, Box::new(question)),
        Ok(None) => not_found(),
        Err(message) => Routed::Error { status: 400, code: "invalid", message },
    }
}

fn open_account(user: UserId, session: [u8; 32], body: &[u8]) -> Result<Routed, BodyError> {
    let invalid = |message: &str| BodyError { code: "invalid", message: message.to_owned() };
    let account: bodies::OpenAccount<'_> = bodies::read(body)?;
    let venue = match account.venue.as_str() {
        "paper" => VenueKind::Paper,
        "binance" => VenueKind::Binance,
        "bybit" => VenueKind::Bybit,
        _ => return Err(invalid("venue: paper, binance or bybit")),
    };
    let key: KeyFields = bodies::read(body)?;
    if venue != VenueKind::Paper {
        if account.wallet.is_some() {
            return Err(invalid("wallet: for paper accounts only; the exchange says what is in this one"));
        }
        let wanted = Wanted::Connect(venue, bodies::read::<PlaceFields>(body)?);
        return Ok(Routed::Key(Box::new(KeyRequest { user, session, wanted, key })));
    }
    if key.api_key.is_some() || key.secret.is_some() {
        return Err(invalid("api_key, secret: paper accounts have no key"));
    }
    let wallet = account.wallet.map(|raw| bodies::money("wallet", raw)).transpose()?;
    let command = Command::OpenAccount { user, venue, wallet };
    Ok(Routed::Ask(Ask { auth: Auth::Session(user, session), op: Op::Command(command), user }))
}

/// The key of an account: another one, or none.
fn key(request: &Request<'_>, account: &str, method: Method) -> Routed {
    if !matches!(method, Method::Put | Method::Delete) {
        return Routed::MethodNotAllowed("PUT, DELETE");
    }
    let Some((user, session)) = bearer(request).and_then(token::parse_session) else {
        return unauthorized("log in and send the token as `Authorization: Bearer …`");
    };
    // As the list of accounts writes it, and in no other way.
    let Some(account) = account.parse::<u8>().ok().filter(|index| index.to_string() == account) else {
        return not_found();
    };
    if method == Method::Delete {
        let op = Op::Command(Command::RemoveKey { user, account });
        return Routed::Ask(Ask { auth: Auth::Session(user, session), op, user });
    }
    match bodies::read::<KeyFields>(request.body) {
        Ok(key) => Routed::Key(Box::new(KeyRequest { user, session, wanted: Wanted::Replace(account), key })),
        Err(error) => error.into(),
    }
}

fn close_position(user: UserId, body: &[u8]) -> Result<Command, BodyError> {
    let body: bodies::ClosePosition = bodies::read(body)?;
    let symbol = Symbol::new(&body.symbol)
        .ok_or(BodyError { code: "invalid", message: "symbol: not a symbol".to_owned() })?;
    Ok(Command::ClosePosition { user, account: body.account, symbol })
}

fn set_halt(user: UserId, body: &[u8]) -> Result<Command, BodyError> {
    let body: bodies::SetHalt = bodies::read(body)?;
    let latch = match body.source {
        None => engine::core::event::Latch::User,
        Some(text) => match SourceId::parse(&text) {
            Some(source) if source.owner == user => engine::core::event::Latch::Source(source.index),
            _ => {
                return Err(BodyError {
                    code: "invalid",
                    message: "source: not one of your sources".to_owned(),
                });
            }
        },
    };
    Ok(Command::SetHalt { user, latch, on: body.on })
}

fn sign_up(request: &Request<'_>) -> Routed {
    match bodies::read::<bodies::SignUp>(request.body) {
        Ok(body) => match bodies::check_password(&body.password) {
            Ok(()) => Routed::SignUp(body),
            Err(error) => error.into(),
        },
        Err(error) => error.into(),
    }
}

fn log_in(request: &Request<'_>) -> Routed {
    match bodies::read::<bodies::LogIn>(request.body) {
        // What cannot be a password is not hashed; the answer is that of a wrong one.
        Ok(body) if body.password.len() > bodies::PASSWORD_BYTES_MAX => Routed::Error {
            status: 401,
            code: "wrong_credentials",
            message: "wrong e-mail or password".into(),
        },
        Ok(body) => Routed::LogIn(body),
        Err(error) => error.into(),
    }
}

/// A signal. The secret comes in the body, as the last part of the path, or as a Bearer header.
fn webhook(request: &Request<'_>, in_path: Option<&str>) -> Routed {
    let content_type = request.head.header_str("content-type");
    let draft = match signal::parse(content_type, request.body) {
        Ok(draft) => draft,
        Err(error) => {
            return Routed::Error { status: error.status(), code: error.code(), message: error.to_string() };
        }
    };
    let secret = draft.secret.as_ref().map(|s| s.expose()).or(in_path).or_else(|| bearer(request));
    let Some(secret) = secret else {
        return unauthorized("no secret: send it as `secret` in the body, in the path or as Bearer");
    };
    let Some((owner, digest)) = token::parse_secret(secret) else {
        return unauthorized("the secret is not valid");
    };
    let (key, key_is_lasting) = repeat_key(&draft);
    let command = Command::Signal {
        // The owner's shard finds which of the publisher's sources the secret belongs to.
        source: SourceId { owner, index: u8::MAX },
        draft: Box::new(SignalDraft {
            kind: draft.kind,
            symbol: draft.symbol,
            price: draft.price,
            leverage: draft.leverage,
            stop_loss: draft.stop_loss,
            take_profit: draft.take_profit,
            at: draft.at,
            key,
            key_is_lasting,
            body: draft.body,
        }),
    };
    Routed::Ask(Ask { auth: Auth::Secret(owner, digest), op: Op::Command(command), user: owner })
}

/// What a repeat is recognised by: the sender's id; else the normalised body and the second of its own time; else the body
/// alone, for a short while.
fn repeat_key(draft: &signal::Draft) -> ([u8; 16], bool) {
    let mut hasher = Sha256::new();
    let lasting = match (&draft.signal_id, draft.dedup_time) {
        (Some(id), _) => {
            hasher.update(b"id");
            hasher.update(id.as_bytes());
            true
        }
        (None, Some(second)) => {
            hasher.update(b"body at");
            if !planted::planted!("two_signals_of_a_second_are_one") {
                hasher.update(draft.dedup_key);
            }
            hasher.update(second.to_le_bytes());
            true
        }
        (None, None) => {
            hasher.update(b"body");
            hasher.update(draft.dedup_key);
            false
        }
    };
    let digest = hasher.finalize();
    let mut key = [0; 16];
    key.copy_from_slice(&digest[..16]);
    (key, lasting)
}

fn receipt(request: &Request<'_>, id: &str) -> Routed {
    let Some(signal) = SignalId::parse(id) else {
        return Routed::Error { status: 404, code: "not_found", message: "not a signal's id".to_owned() };
    };
    let Some(token) = bearer(request) else {
        return unauthorized("send a session or the source's secret as `Authorization: Bearer …`");
    };
    let proof = if let Some((user, session)) = token::parse_session(token) {
        Proof::Session(user, session)
    } else if let Some((owner, secret)) = token::parse_secret(token)
        && owner == signal.source.owner
    {
        Proof::Secret(secret)
    } else {
        return unauthorized("the session or secret is not valid");
    };
    let number = |name: &str, default: usize| {
        net::http::target::pairs(request.head.query)
            .find(|(key, _)| *key == name)
            .map_or(Some(default), |(_, value)| value.parse().ok())
    };
    match (number("limit", RECEIPT_ROWS_DEFAULT), number("offset", 0)) {
        (Some(limit), Some(offset)) => Routed::Receipt { signal, proof, limit, offset },
        _ => {
            Routed::Error { status: 400, code: "invalid", message: "limit, offset: whole numbers".to_owned() }
        }
    }
}
