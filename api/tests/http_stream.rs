//! The dashboard's stream: all figures first, then what changes, the same for whoever looks on since when.

mod http;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use engine::core::rules::Rules;
use http::{House, code, publisher, receipt, send, value};
use net::ws::{Event, Inbox, Message, Session};
use serde_json::{Map, Value};

/// A dashboard.
struct Dashboard {
    stream: TcpStream,
    session: Session,
    inbox: Inbox,
    input: Vec<u8>,
    version: u64,
    held: Map<String, Value>,
}

enum Told {
    Figures(Value),
    Closed(Option<u16>),
}

impl Dashboard {
    fn open(house: &House) -> Self {
        let mut stream = TcpStream::connect(house.server().address).expect("listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time-out");
        stream
            .write_all(
                b"GET /api/enterprise/stream HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                  Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            )
            .expect("it is read");
        let mut input = Vec::new();
        let end = loop {
            if let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            read_more(&mut stream, &mut input);
        };
        assert!(input.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&input));
        input.drain(..end);
        let limits = net::ws::Limits::default();
        let session = Session::client(limits, None, Box::new(|| [1, 2, 3, 4]));
        Self { stream, session, inbox: Inbox::new(), input, version: 0, held: Map::new() }
    }

    fn next(&mut self) -> Told {
        loop {
            let mut out = Vec::new();
            let step = self.session.step(&self.input, &mut self.inbox, &mut out).expect("well-formed frames");
            let consumed = step.consumed_bytes;
            let told = match step.event {
                Some(Event::Message(Message::Text(text))) => {
                    Some(Told::Figures(serde_json::from_str(text).expect("JSON")))
                }
                Some(Event::Closed { code, .. }) => Some(Told::Closed(code.map(|code| code.get()))),
                Some(_) => None,
                None => {
                    self.input.drain(..consumed);
                    read_more(&mut self.stream, &mut self.input);
                    continue;
                }
            };
            self.input.drain(..consumed);
            if let Some(told) = told {
                return told;
            }
        }
    }

    /// Takes the next message in; whether it was all figures.
    fn follow(&mut self) -> bool {
        let Told::Figures(message) = self.next() else { panic!("it was closed") };
        assert_eq!(message["type"], "live_stats", "{message}");
        assert!(message["timestamp"].as_u64().is_some_and(|at| at > 0), "{message}");
        let data = &message["data"];
        let version = data["version"].as_u64().expect("a version");
        if let Some(all) = data["snapshot"].as_object() {
            self.held = all.clone();
            self.version = version;
            return true;
        }
        assert_eq!(version, self.version + 1, "no change is left out");
        self.version = version;
        self.held.extend(data["set"].as_object().expect("values").clone());
        for path in data["unset"].as_array().expect("paths") {
            self.held.remove(path.as_str().expect("a path"));
        }
        false
    }

    fn figure(&self, path: &str) -> u64 {
        self.held.get(path).and_then(Value::as_u64).unwrap_or_default()
    }
}

fn read_more(stream: &mut TcpStream, input: &mut Vec<u8>) {
    let mut part = [0; 16 << 10];
    let got = stream.read(&mut part).expect("something comes in time");
    assert!(got > 0, "the server closed it without a word");
    input.extend_from_slice(&part[..got]);
}

/// CASES.md S13: there is one state. What was pushed to those who looked on is in what a newcomer is given, version for version.
#[test]
fn case_s13_a_new_dashboard_begins_with_what_was_pushed_to_the_others() {
    let house = House::open(1, Rules::default());
    let mut follower = Dashboard::open(&house);
    assert!(follower.follow(), "all figures come first");
    assert_eq!(follower.figure("/counters/signals"), 0);
    let client = &mut house.client();
    let (_, _, secret) = publisher(client, "ana@example.com");
    let body = format!(r#"{{"secret":"{secret}","ticker":"BTCUSDT","action":"buy"}}"#);
    let id = value(&send(client, "POST", "/webhook", "", &body))["id"].as_str().expect("an id").to_owned();
    receipt(client, &id, &secret);
    while follower.figure("/counters/fills") == 0 {
        assert!(!follower.follow(), "only what changed");
    }
    let mut newcomer = Dashboard::open(&house);
    assert!(newcomer.follow(), "all figures come first");
    assert!(newcomer.version >= follower.version && newcomer.figure("/counters/fills") > 0);
    while follower.version < newcomer.version {
        assert!(!follower.follow());
    }
    assert_eq!(follower.held, newcomer.held);
    // The same change for both.
    assert!(!follower.follow() && !newcomer.follow());
    assert_eq!((follower.version, &follower.held), (newcomer.version, &newcomer.held));
    let metrics = value(&send(client, "GET", "/api/enterprise/metrics", "", ""));
    assert_eq!(metrics["counters"]["signals"], follower.figure("/counters/signals"));
    assert_eq!(metrics.pointer("/shards/0/shard"), follower.held.get("/shards/0/shard"));
}

#[test]
fn the_stream_is_a_websocket_that_is_only_read() {
    let house = House::open(2, Rules::default());
    let client = &mut house.client();
    let refused = send(client, "GET", "/api/enterprise/stream", "", "");
    assert_eq!(code(&refused), (426, "upgrade_required".into()));
    let refused = send(client, "POST", "/api/enterprise/stream", "", "{}");
    assert_eq!(code(&refused), (405, "method_not_allowed".into()));
    let mut dashboard = Dashboard::open(&house);
    assert!(dashboard.follow());
    let mut out = Vec::new();
    dashboard.session.send(Message::Text("hello"), &mut out).expect("it is open");
    dashboard.stream.write_all(&out).expect("it is read");
    let code = loop {
        if let Told::Closed(code) = dashboard.next() {
            break code;
        }
    };
    assert_eq!(code, Some(1008), "a broken rule of the application");
}
