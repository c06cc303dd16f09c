//! The dashboard's stream: the server's figures over a WebSocket, all of them first and then what changes.
//!
//! **Runs on**: the desk's shard. **Owns**: who looks on, and the one state that all of them are told of
//! ([`crate::web::live_stats`]). **Invariants**: a change goes only to those who have the version before it; who missed one is told
//! so and gets all of it again.
//! **Bounds**: [`WATCHERS_MAX`] on a shard; one reading under way, at most one in [`PERIOD`], and none while nobody looks on. A change
//! and a snapshot are written once, however many they go to.

use std::fmt::Write;
use std::rc::Rc;

use engine::core::ids::Timestamp;
use engine::seam::{Entropy, Nanos};
use net::http::Request;
use net::server::{Acceptance, Requested, Socket};
use net::wire::{ConnId, Wire};
use net::ws::handshake::server::{Refusal, Upgrade};
use net::ws::{CloseCode, Message, encode_shared};
use serde_json::Value;

use super::{Desk, Instant, PENDING_FOR_CLOSES, PENDING_MAX};
use crate::web::flows::{Asker, Figures};
use crate::web::live_stats::LiveStats;

/// Dashboards on a shard: a team of operators and their wall screens. What one reading costs does not grow with them, what is sent
/// does.
pub(super) const WATCHERS_MAX: usize = 64;
/// From one reading to the next: people see no more, and the shards' own figures are published as often.
const PERIOD: Nanos = Nanos::from_millis(1_000);

/// A dashboard.
struct Watcher {
    conn: ConnId,
    /// It has the state's version.
    has_all: bool,
}

/// See the module's head.
#[derive(Default)]
pub(super) struct Live {
    watchers: Vec<Watcher>,
    stats: LiveStats,
    /// When its figures were read.
    read_at: Timestamp,
    /// All of it as a message, once somebody needed that.
    all: Option<Rc<str>>,
    /// The state is of a reading since somebody looks on.
    is_fresh: bool,
    is_asked: bool,
    due: Nanos,
}

impl Live {
    /// When the next reading is due, in nanoseconds of the shard's clock.
    pub(super) fn due_ns(&self) -> Option<u64> {
        (!self.watchers.is_empty() && !self.is_asked).then_some(self.due.0)
    }
}

/// Whether a page may look on: a browser says where it came from, and lets it read whatever the server does not refuse.
fn is_own(upgrade: &Upgrade<'_>, request: &Request<'_>) -> bool {
    let Some(origin) = upgrade.origin() else { return true };
    let host = origin.split_once("://").map(|(_, host)| host);
    host.is_some() && host == request.head.header_str("host")
}

impl<E: Entropy> Desk<E> {
    /// A request for the stream.
    pub(super) fn accept_watcher(&self, request: &Request<'_>, requested: Requested<'_>) {
        match Upgrade::check(request.head) {
            Err(refusal) => requested.refuse(refusal),
            Ok(upgrade) if !is_own(&upgrade, request) => requested.refuse(Refusal::Origin),
            Ok(_) if self.live.watchers.len() >= WATCHERS_MAX => {
                let gauges = &self.gauges;
                requested.answer(|out, mode, date| Instant::Busy.write(out, mode, date, gauges));
            }
            Ok(upgrade) => requested.accept(&upgrade, &Acceptance::default()),
        }
    }

    /// A dashboard is there. The first one waits for a reading: what an earlier one was told may be old.
    pub(super) fn watcher_came(&mut self, conn: ConnId, socket: &mut Socket<'_>) {
        if self.live.watchers.is_empty() {
            self.live.is_fresh = false;
            self.live.due = self.now.mono;
        }
        let has_all = self.live.is_fresh;
        if has_all {
            socket.send(Message::Text(&self.all_figures()));
        }
        self.live.watchers.push(Watcher { conn, has_all });
    }

    pub(super) fn watcher_left(&mut self, conn: ConnId) {
        self.live.watchers.retain(|watcher| watcher.conn != conn);
    }

    /// A dashboard that read too slowly has missed changes: it is told so, and has all again.
    pub(super) fn watcher_lagged(&mut self, missed: u64, socket: &mut Socket<'_>) {
        let at = self.now.wall.0;
        let lagged = format!("{{\"type\":\"lagged\",\"data\":{{\"missed\":{missed}}},\"timestamp\":{at}}}");
        socket.send(Message::Text(&lagged));
        socket.send(Message::Text(&self.all_figures()));
    }

    /// Nothing is taken here.
    pub(super) fn watcher_spoke(socket: &mut Socket<'_>) {
        socket.close(CloseCode::POLICY, "this stream is only read");
    }

    /// All of the state's version, written once.
    fn all_figures(&mut self) -> Rc<str> {
        if let Some(all) = &self.live.all {
            return Rc::clone(all);
        }
        let all: Rc<str> = self.figures_message(&self.live.stats.snapshot()).into();
        self.live.all = Some(Rc::clone(&all));
        all
    }

    fn figures_message(&self, data: &str) -> String {
        let mut text = String::with_capacity(data.len() + 128);
        // Versions are this shard's since this start.
        let (started, shard, at) = (self.started.wall.0, self.shard.0, self.live.read_at.0);
        write!(
            text,
            "{{\"type\":\"live_stats\",\"data\":{{\"stream\":\"{started}-{shard}\",{data}}},\"timestamp\":{at}}}"
        )
        .expect("writing into memory does not fail");
        text
    }

    /// Asks for the next reading when it is due.
    pub(super) fn read_for_watchers(&mut self) {
        if self.live.due_ns().is_none_or(|due| self.now.mono.0 < due) {
            return;
        }
        self.live.due = self.now.mono.plus(PERIOD);
        // Requests come first.
        if self.pending.len() + PENDING_FOR_CLOSES < PENDING_MAX {
            self.live.is_asked = true;
            self.gather(Asker::Watchers, Figures::Json);
        }
    }

    /// A reading is there.
    pub(super) fn tell_watchers(&mut self, figures: &Value, wire: &mut impl Wire) {
        (self.live.is_asked, self.live.is_fresh, self.live.read_at) = (false, true, self.now.wall);
        self.live.all = None;
        let change = self.live.stats.take(figures);
        let change = change.map(|change| encode_shared(Message::Text(&self.figures_message(&change))));
        let mut all = None;
        for place in 0..self.live.watchers.len() {
            let Watcher { conn, has_all } = self.live.watchers[place];
            let frame = if has_all {
                change.clone()
            } else {
                Some(Rc::clone(all.get_or_insert_with(|| encode_shared(Message::Text(&self.all_figures())))))
            };
            if let Some(frame) = frame {
                // One that has no room is told that it missed something, and has all then; one that is gone is told of.
                let _ = self.front().share(wire, conn, &frame);
            }
            self.live.watchers[place].has_all = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use engine::core::rules::Rules;
    use engine::shard::ask::Op;
    use engine::shard::ports::{Moment, ShardId};
    use net::wire::WireConfig;
    use net::wire::memory::{self, MemoryNetwork, MemoryWire, PeerId, Pieces};
    use net::ws::{Event, Inbox, Session};
    use serde_json::{Map, json};

    use super::super::DeskParts;
    use super::*;
    use crate::web::gauges::Gauges;
    use crate::web::keys::KeySetup;

    struct Zeroes;

    impl Entropy for Zeroes {
        fn fill(&mut self, out: &mut [u8]) {
            out.fill(0);
        }
    }

    struct Bench {
        desk: Desk<Zeroes>,
        wire: MemoryWire,
        network: MemoryNetwork,
        now: Moment,
    }

    impl Bench {
        fn new() -> Self {
            let (wire, network) = memory::network(WireConfig::default(), Pieces::Whole);
            let now = Moment { mono: Nanos(1_000), ..Moment::default() };
            let desk = Desk::new(DeskParts {
                shard: ShardId(0),
                shards: 1,
                hashing: crossbeam_channel::bounded(1).0,
                history: None,
                keys: KeySetup { live: Rules::default().live, egress: Arc::new([]) },
                dummy_hash: String::new(),
                gauges: Arc::new(Gauges::new(1)),
                entropy: Zeroes,
                started: now,
            });
            Self { desk, wire, network, now }
        }

        fn turn(&mut self) {
            self.desk.set_time(self.now);
            for _ in 0..3 {
                self.wire.poll(self.now.mono.0, &mut self.desk).expect("memory does not fail");
            }
            self.desk.tick(&mut self.wire);
            self.wire.poll(self.now.mono.0, &mut self.desk).expect("memory does not fail");
        }

        fn ask(&mut self, headers: &str) -> PeerId {
            let peer = self.network.connect(SocketAddr::from(([192, 0, 2, 1], 1)));
            let request = format!(
                "GET /api/enterprise/stream HTTP/1.1\r\nHost: club.example:3000\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
            );
            self.network.write(peer, request.as_bytes());
            self.turn();
            self.turn();
            peer
        }

        /// A dashboard, and what it was told at once.
        fn open(&mut self) -> (PeerId, Vec<Value>) {
            let peer = self.ask("");
            let got = self.network.read(peer);
            assert!(got.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&got));
            let end = got.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
            (peer, messages(&got[end..]))
        }

        fn tell(&mut self, figures: &Value) {
            self.desk.tell_watchers(figures, &mut self.wire);
            self.turn();
        }

        fn told(&self, peer: PeerId) -> Vec<Value> {
            messages(&self.network.read(peer))
        }
    }

    fn messages(bytes: &[u8]) -> Vec<Value> {
        let mut session = Session::client(net::ws::Limits::default(), None, Box::new(|| [0; 4]));
        let (mut inbox, mut out, mut at, mut told) = (Inbox::new(), Vec::new(), 0, Vec::new());
        loop {
            let step = session.step(&bytes[at..], &mut inbox, &mut out).expect("frames");
            at += step.consumed_bytes;
            match step.event {
                Some(Event::Message(Message::Text(text))) => {
                    told.push(serde_json::from_str(text).expect("JSON"));
                }
                Some(_) => {}
                None => return told,
            }
        }
    }

    /// What somebody holds who was told this.
    fn hold(held: &mut (u64, Map<String, Value>), told: &[Value]) {
        for message in told.iter().filter(|message| message["type"] == "live_stats") {
            let data = &message["data"];
            let version = data["version"].as_u64().expect("a version");
            if let Some(all) = data["snapshot"].as_object() {
                *held = (version, all.clone());
                continue;
            }
            assert_eq!(version, held.0 + 1, "no change is left out unsaid");
            held.0 = version;
            held.1.extend(data["set"].as_object().expect("values").clone());
            for path in data["unset"].as_array().expect("paths") {
                held.1.remove(path.as_str().expect("a path"));
            }
        }
    }

    #[test]
    fn case_s13_one_who_reads_too_slowly_is_told_so_and_holds_what_the_quick_hold() {
        let mut bench = Bench::new();
        let ((slow, first), (quick, _)) = (bench.open(), bench.open());
        assert!(first.is_empty(), "what was there before anybody looked may be old: {first:?}");
        let asked = bench.desk.outgoing().drain(..).count();
        assert_eq!(asked, 1, "one reading for all");
        bench.network.set_window(slow, 1_000);
        let mut held = [(0, Map::new()), (0, Map::new())];
        for round in 0..600 {
            bench.tell(&json!({ "round": round, "text": format!("{round}").repeat(400) }));
            hold(&mut held[1], &bench.told(quick));
        }
        bench.network.set_window(slow, usize::MAX);
        (0..3).for_each(|_| bench.turn());
        let told = bench.told(slow);
        let lagged: Vec<_> = told.iter().filter(|message| message["type"] == "lagged").collect();
        assert_eq!(lagged.len(), 1, "{lagged:?}");
        assert!(lagged[0]["data"]["missed"].as_u64().expect("a number") > 100, "{lagged:?}");
        hold(&mut held[0], &told);
        assert_eq!(held[0], held[1]);
        // It follows again, and a newcomer holds the same.
        bench.tell(&json!({ "round": "last" }));
        for (peer, held) in [slow, quick].into_iter().zip(&mut held) {
            hold(held, &bench.told(peer));
        }
        let (_, told) = bench.open();
        let mut newcomer = (0, Map::new());
        hold(&mut newcomer, &told);
        assert_eq!((&held[0], &held[1]), (&newcomer, &newcomer));
    }

    #[test]
    fn nothing_is_read_while_nobody_looks_on() {
        let mut bench = Bench::new();
        let asked = |bench: &mut Bench| {
            let asked: Vec<_> = bench.desk.outgoing().drain(..).collect();
            assert!(asked.iter().all(|out| matches!(out.ask.op, Op::Status)));
            asked.len()
        };
        let later = |bench: &mut Bench| {
            bench.now.mono = bench.now.mono.plus(PERIOD);
            bench.turn();
        };
        later(&mut bench);
        assert_eq!(asked(&mut bench), 0);
        let (peer, _) = bench.open();
        assert_eq!(asked(&mut bench), 1);
        later(&mut bench);
        assert_eq!(asked(&mut bench), 0, "the last one is under way");
        bench.tell(&json!({ "a": 1 }));
        assert_eq!(bench.told(peer).len(), 1);
        later(&mut bench);
        assert_eq!(asked(&mut bench), 1);
        bench.network.end(peer);
        bench.tell(&json!({ "a": 2 }));
        later(&mut bench);
        assert_eq!(asked(&mut bench), 0);
        // The next one is not told what was read for the last.
        let (_, told) = bench.open();
        assert!(told.is_empty(), "{told:?}");
    }

    #[test]
    fn strangers_and_more_than_there_is_room_for_are_refused() {
        let mut bench = Bench::new();
        for (headers, status) in [
            ("Origin: https://elsewhere.example\r\n", "403"),
            ("Origin: null\r\n", "403"),
            ("Origin: https://club.example:3001\r\n", "403"),
            ("Origin: https://club.example:3000\r\n", "101"),
        ] {
            let peer = bench.ask(headers);
            let got = String::from_utf8_lossy(&bench.network.read(peer)).into_owned();
            assert!(got.starts_with(&format!("HTTP/1.1 {status} ")), "{headers}: {got}");
        }
        for _ in 1..WATCHERS_MAX {
            bench.open();
        }
        let peer = bench.ask("");
        let got = String::from_utf8_lossy(&bench.network.read(peer)).into_owned();
        assert!(got.starts_with("HTTP/1.1 503 ") && got.contains("Retry-After"), "{got}");
    }
}
