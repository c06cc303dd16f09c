//! An HTTP client on the simulated network, with everything that can happen to a connection.
//!
//! **Runs on**: the simulator's thread, in a task of the world. **Invariants**: a request that left in part may have been taken; one
//! of which no byte left has not. Every request that reached a serving server gets an answer or loses its connection within
//! [`PATIENCE`] of virtual time after the last disturbance, or the run has failed.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use engine::seam::Nanos;
use futures_lite::future::or;
use net::wire::memory::PeerId;
use storage::sim_disk::SimRandom;

use super::faults::Fault;
use super::seams::Line;
use super::world::{Life, Stage, World};

/// How long an answer may take.
const PATIENCE: Nanos = Nanos::from_millis(60_000);
/// A connection on which nothing happened for so long may be closed: the server's own number is 75 s.
const IDLE: Nanos = Nanos::from_millis(60_000);
/// How often the end of a life is looked for while an answer is awaited.
const LOOK: Nanos = Nanos::from_millis(500);

/// An answer.
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    /// It says that the connection ends with it.
    last: bool,
}

impl Response {
    /// The body as JSON; null when it is none.
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The code of an error.
    pub(super) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// The connection was lost before the answer: whether the request was taken is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost;

struct Connection {
    life: u32,
    line: Line,
    peer: PeerId,
    buffer: Vec<u8>,
}

/// See the module's head.
pub(super) struct Client {
    pub(super) world: Rc<World>,
    pub(super) random: SimRandom,
    /// What is asked for now waits for a password to be hashed.
    pub(super) hashes: bool,
    address: SocketAddr,
    connection: Option<Connection>,
}

impl Client {
    pub(super) fn new(world: &Rc<World>, number: u32) -> Self {
        let port = 10_000 + u16::try_from(number % 50_000).expect("a port");
        Self {
            world: Rc::clone(world),
            random: world.plan.random(5_000 + u64::from(number)),
            hashes: false,
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), port),
            connection: None,
        }
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.random.below(bound.max(1))
    }

    pub(super) fn one_in(&mut self, n: u64) -> bool {
        self.random.one_in(n)
    }

    /// Waits for up to `span`.
    pub(super) async fn pause(&mut self, span: Nanos) {
        let span = Nanos(self.below(span.0 + 1));
        self.world.executor.sleep(span).await;
    }

    /// Sends one request and waits for its answer.
    pub(super) async fn call(&mut self, request: &[u8]) -> Result<Response, Lost> {
        self.pipeline(std::slice::from_ref(&request.to_vec())).await.remove(0)
    }

    /// Sends requests one behind the other and waits for the answers.
    pub(super) async fn pipeline(&mut self, requests: &[Vec<u8>]) -> Vec<Result<Response, Lost>> {
        let mut answers = Vec::new();
        if self.connect().await {
            let since = self.world.executor.now();
            answers = self.exchange(requests).await;
            self.check_promptness(since, answers.len());
        }
        if answers.len() < requests.len() {
            self.connection = None;
        }
        let lost = requests.len() - answers.len();
        answers.into_iter().map(Ok).chain((0..lost).map(|_| Err(Lost))).collect()
    }

    /// Without any fault, an answer takes a flush and some turns and nothing else: what takes longer has waited for something
    /// that nobody told it of.
    fn check_promptness(&self, since: Nanos, answers: usize) {
        let plan = &self.world.plan;
        let took = self.world.executor.now().since(since);
        let bound = 60_000_000 + 8 * plan.disk_ns_max + 400 * plan.poll_ns_max;
        if plan.mix.is_calm() && !self.hashes && answers > 0 && took.0 > bound {
            let what = format!("without any fault an answer took {} us", took.as_micros());
            self.world.judge.borrow_mut().violate(what);
        }
    }

    /// Makes sure of a connection to the life that serves. False when none does and the run is over.
    async fn connect(&mut self) -> bool {
        loop {
            if self.world.is_over() {
                return false;
            }
            let serving = self.world.serving();
            if let (Some(life), Some(connection)) = (&serving, &self.connection)
                && connection.life == life.number
                && !connection.line.network.is_closed(connection.peer)
                && !self.random.one_in(12)
            {
                return true;
            }
            if let Some(old) = self.connection.take() {
                old.line.network.forget(old.peer);
                old.line.ready.set(true);
            }
            match serving {
                Some(life) if self.world.stage.get() == Stage::Up => {
                    self.connection = Some(self.open(&life));
                    return true;
                }
                _ => self.world.executor.sleep(Nanos::from_millis(50)).await,
            }
        }
    }

    fn open(&mut self, life: &Life) -> Connection {
        let shard = usize::try_from(self.random.below(life.lines.len() as u64)).expect("below a length");
        let line = life.lines[shard].clone();
        let peer = line.connect(self.address);
        Connection { life: life.number, line, peer, buffer: Vec::new() }
    }

    async fn exchange(&mut self, requests: &[Vec<u8>]) -> Vec<Response> {
        let world = Rc::clone(&self.world);
        let Some(connection) = &mut self.connection else { return Vec::new() };
        let bytes = requests.concat();
        let reset_at = take(&world.resets).then(|| {
            world.strike(Fault::Reset);
            usize::try_from(self.random.below(bytes.len() as u64 + 40)).expect("small")
        });
        let stalled = take(&world.stalled_readers);
        if stalled {
            world.strike(Fault::StalledReader);
            connection
                .line
                .set_window(connection.peer, usize::try_from(self.random.below(64)).expect("small"));
        }
        let mut left = &bytes[..];
        while !left.is_empty() {
            let slow = world.executor.now() < world.slow_until.get();
            if slow && world.slow_unfelt.replace(false) {
                world.strike(Fault::SlowNetwork);
            }
            let piece = if slow { 1 + self.random.below(200) } else { left.len() as u64 };
            let delay =
                if slow { self.random.below(30_000_000) } else { 20_000 + self.random.below(200_000) };
            world.executor.sleep(Nanos(delay)).await;
            let piece = usize::try_from(piece).expect("small").min(left.len());
            let sent = bytes.len() - left.len();
            if let Some(at) = reset_at.filter(|at| *at <= sent + piece && *at < bytes.len()) {
                connection.line.write(connection.peer, &left[..at.saturating_sub(sent).min(piece)]);
                connection.line.reset(connection.peer);
                return Vec::new();
            }
            connection.line.write(connection.peer, &left[..piece]);
            left = &left[piece..];
        }
        if reset_at.is_some() {
            world.executor.sleep(Nanos(self.random.below(3_000_000))).await;
            connection.line.reset(connection.peer);
            return Vec::new();
        }
        if stalled {
            world.executor.sleep(Nanos(self.random.below(4_000_000_000))).await;
            connection.line.set_window(connection.peer, usize::MAX);
        }
        collect(&world, connection, requests.len(), false).await
    }

    /// Sends bytes that are no request and looks that the server answers like one that knows, or closes.
    pub(super) async fn hostile(&mut self, bytes: &[u8]) {
        if !self.connect().await {
            return;
        }
        let world = Rc::clone(&self.world);
        let Some(connection) = &mut self.connection else { return };
        world.strike(Fault::Hostile);
        connection.line.write(connection.peer, bytes);
        connection.line.network.end(connection.peer);
        connection.line.ready.set(true);
        let heads = bytes.windows(4).any(|window| window == b"HEAD");
        for response in collect(&world, connection, usize::MAX, heads).await {
            if response.status >= 500
                && response.status != 503
                && response.status != 501
                && response.status != 505
            {
                let text = String::from_utf8_lossy(bytes);
                let what = format!("hostile bytes {text:?} were answered {}", response.status);
                world.judge.borrow_mut().violate(what);
            }
        }
        self.connection = None;
    }
}

/// Takes one off a count; whether there was one.
fn take(count: &std::cell::Cell<u32>) -> bool {
    let left = count.get();
    count.set(left.saturating_sub(1));
    left > 0
}

/// Waits for so many answers, or for the end of the connection. `heads`: some may be to HEAD, and have no body.
async fn collect(
    world: &Rc<World>,
    connection: &mut Connection,
    wanted: usize,
    heads: bool,
) -> Vec<Response> {
    let mut answers = Vec::new();
    let mut since = world.executor.now();
    while answers.len() < wanted {
        let (line, peer) = (connection.line.clone(), connection.peer);
        or(world.executor.until(move || line.has_news(peer)), world.executor.sleep(LOOK)).await;
        let bytes = connection.line.read(connection.peer);
        let closed = connection.line.network.is_closed(connection.peer);
        let news = !bytes.is_empty();
        connection.buffer.extend(bytes);
        while answers.len() < wanted {
            match parse(&mut connection.buffer, heads) {
                Ok(Some(response)) => answers.push(response),
                Ok(None) => break,
                Err(fault) => {
                    let text = String::from_utf8_lossy(&connection.buffer).into_owned();
                    world.judge.borrow_mut().violate(format!("an answer is not HTTP: {fault}: {text:?}"));
                    return answers;
                }
            }
        }
        if news {
            since = world.executor.now();
        }
        let gone = world.life.borrow().as_ref().is_none_or(|life| life.number != connection.life);
        if closed && !gone && wanted != usize::MAX && answers.len() < wanted && !answered_last(&answers) {
            check_why_closed(world, since);
        }
        if closed || gone || world.is_over() {
            break;
        }
        let waited = world.executor.now().since(since.max(world.disturbed_until.get()));
        if waited > PATIENCE {
            let what = format!("a request got no answer for {} s", PATIENCE.as_micros() / 1_000_000);
            world.judge.borrow_mut().violate(what);
            break;
        }
    }
    answers
}

/// Whether an answer said that the connection ends with it.
fn answered_last(answers: &[Response]) -> bool {
    answers.last().is_some_and(|answer| answer.last)
}

/// A server that lives does not close a connection that waits for an answer, which began to wait at `since`, unless it stops or
/// cannot go on.
fn check_why_closed(world: &World, since: Nanos) {
    let stuck = world.life.borrow().as_ref().is_none_or(Life::has_failed);
    let waited = world.executor.now().since(since);
    if world.stage.get() == Stage::Up && !stuck && waited < IDLE {
        let what =
            format!("a connection was closed after {} ms instead of an answer", waited.as_micros() / 1_000);
        world.judge.borrow_mut().violate(what);
    }
}

/// Takes one whole answer off the buffer. With `heads`, one that the next follows at once has no body, whatever its length
/// says: no body of ours begins like an answer.
fn parse(buffer: &mut Vec<u8>, heads: bool) -> Result<Option<Response>, &'static str> {
    let Some(head_end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&buffer[..head_end]).map_err(|_| "its head is not text")?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")).ok_or("no status line")?;
    let status: u16 = status.get(..3).and_then(|code| code.parse().ok()).ok_or("no status")?;
    let (mut length, mut last) = (None, false);
    for line in lines {
        let (name, value) = line.split_once(':').ok_or("a header without a colon")?;
        last |= name.eq_ignore_ascii_case("connection") && value.trim().eq_ignore_ascii_case("close");
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.trim().parse::<usize>().map_err(|_| "its length is no number")?);
        }
    }
    let length = length.ok_or("no content-length")?;
    let bodiless = heads && buffer[head_end + 4..].starts_with(b"HTTP/1.1 ");
    let end = head_end + 4 + if bodiless { 0 } else { length };
    if buffer.len() < end {
        return Ok(None);
    }
    let body = buffer[head_end + 4..end].to_vec();
    buffer.drain(..end);
    Ok(Some(Response { status, body, last }))
}

/// A request as bytes, its body JSON.
pub(super) fn request(method: &str, path: &str, token: &str, body: &str) -> Vec<u8> {
    request_as(method, path, token, "application/json", body)
}

/// A request as bytes, its body of this type, or of one that is not told.
pub(super) fn request_as(method: &str, path: &str, token: &str, content_type: &str, body: &str) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: sim\r\n");
    if !token.is_empty() {
        text.push_str(&format!("Authorization: Bearer {token}\r\n"));
    }
    if !body.is_empty() {
        if !content_type.is_empty() {
            text.push_str(&format!("Content-Type: {content_type}\r\n"));
        }
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    } else if method == "POST" {
        text.push_str("Content-Length: 0\r\n");
    }
    text.push_str("\r\n");
    text.push_str(body);
    text.into_bytes()
}
