//! Kill -9 at random moments under load, restart with another number of shards, many times over: nothing acknowledged is lost,
//! no order is made twice, every position has its stop, and the books sum to zero.
//!
//! `COINBITCLUB_KILLS` sets the number of kills (default 200), `COINBITCLUB_SEED` the seed. A failure prints the seed; the moment
//! of a kill is the machine's, so a seed repeats the load and the plan, not the interleaving.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use net::http::client::{Client, ClientOptions};
use serde_json::{Value, json};

/// Publishers with a source each; each of them and of the others subscribes to every source.
const PUBLISHERS: usize = 3;
const USERS: usize = 9;
const LOADERS: u64 = 4;
const SYMBOLS: [&str; 4] = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT"];
const RULES: &str = r#"{"cooldown_s":0,"source_opens_max":4000000000,"repeat_kept_min_s":0,"daily_loss_max":"1",
    "positions_max":4,"paper_wallet":"1000000","paper_prepaid":"1000000"}"#;

/// A small generator (splitmix64), so that a seed is all it takes.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[usize::try_from(self.below(list.len() as u64)).expect("an index")]
    }
}

struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(data: &Path, rules: &Path, shards: u64) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_coinbitclub"))
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--no-pin",
                "--segment-mib",
                "2",
                "--snapshot-mib",
                "2",
            ])
            .args(["--shards", &shards.to_string()])
            .arg("--data")
            .arg(data)
            .arg("--rules")
            .arg(rules)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server's binary starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped"))
            .read_line(&mut line)
            .expect("it says where it listens");
        let address = line
            .strip_prefix("listening on http://")
            .and_then(|rest| rest.split(' ').next())
            .and_then(|text| text.parse().ok())
            .unwrap_or_else(|| panic!("it did not start: {line:?}"));
        Self { child, address }
    }

    fn client(&self) -> Client {
        Client::connect(self.address, ClientOptions::default()).expect("it listens")
    }

    fn kill(mut self) {
        self.child.kill().expect("SIGKILL");
        self.child.wait().expect("reaped");
    }
}

fn call(client: &mut Client, method: &str, path: &str, bearer: &str, body: &Value) -> (u16, Value) {
    let authorization = format!("Bearer {bearer}");
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let response =
        client.request(method, path, &[("Authorization", &authorization)], &body).expect("an answer");
    (response.status, serde_json::from_slice(&response.body).unwrap_or(Value::Null))
}

fn get(client: &mut Client, path: &str, bearer: &str) -> Value {
    let (status, body) = call(client, "GET", path, bearer, &Value::Null);
    assert_eq!(status, 200, "{path}: {body}");
    body
}

struct Person {
    token: String,
    secret: Option<String>,
}

/// Signs everybody up, over HTTP, once.
fn people(server: &Server) -> Vec<Person> {
    let client = &mut server.client();
    let mut people = Vec::new();
    let mut sources = Vec::new();
    for n in 0..USERS {
        let who = json!({ "email": format!("user{n}@example.com"), "password": "correct horse" });
        assert_eq!(call(client, "POST", "/api/auth/signup", "", &who).0, 201);
        let (status, session) = call(client, "POST", "/api/auth/login", "", &who);
        assert_eq!(status, 200, "{session}");
        let token = session["token"].as_str().expect("a token").to_owned();
        assert_eq!(call(client, "POST", "/api/accounts", &token, &json!({ "venue": "paper" })).0, 201);
        let mut secret = None;
        if n < PUBLISHERS {
            let (status, source) = call(client, "POST", "/api/sources", &token, &json!({ "name": "source" }));
            assert_eq!(status, 201, "{source}");
            secret = source["secret"].as_str().map(str::to_owned);
            sources.push(source["id"].clone());
        }
        people.push(Person { token, secret });
    }
    for person in &people {
        for source in &sources {
            let sizing = json!({ "mode": "fixed_notional", "value": "500" });
            let body = json!({ "source": source, "leverage": 5, "sizing": sizing });
            let (status, answer) = call(client, "POST", "/api/subscriptions", &person.token, &body);
            assert_eq!(status, 200, "{answer}");
        }
    }
    people
}

/// Sender's id to the signal's id, as acknowledged.
type Acknowledged = Arc<Mutex<BTreeMap<String, (String, String)>>>;

/// Sends opens, closes and repeats until told to stop or the server is gone.
fn load(address: SocketAddr, seed: u64, secrets: &[String], acknowledged: &Acknowledged, stop: &AtomicBool) {
    let mut random = Random(seed);
    let Ok(mut client) = Client::connect(address, ClientOptions::default()) else { return };
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        let id = format!("{seed:x}-{n}");
        let action = *random.pick(&["buy", "sell", "close", "close_long", "strong_buy"]);
        let secret = random.pick(secrets);
        let symbol = *random.pick(&SYMBOLS);
        let body =
            json!({ "ticker": symbol, "action": action, "signal_id": id, "secret": secret }).to_string();
        for _ in 0..=random.below(2) {
            let Ok(answer) = client.post("/api/webhooks/signal", "application/json", body.as_bytes()) else {
                return;
            };
            let value: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
            assert!(
                answer.status == 200 || answer.status == 429 || answer.status == 503,
                "{}: {value}",
                answer.status
            );
            if answer.status == 200 {
                let signal = value["id"].as_str().expect("an id").to_owned();
                let mut all = acknowledged.lock().expect("not poisoned");
                let before = all.insert(id.clone(), (signal.clone(), body.clone()));
                assert!(before.is_none_or(|(earlier, _)| earlier == signal), "a repeat got another id");
            }
        }
    }
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(60), "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What must hold after every restart.
fn check(server: &Server, people: &[Person], all: &BTreeMap<String, (String, String)>, fresh: &[String]) {
    let client = &mut server.client();
    for id in fresh {
        let (signal, body) = &all[id];
        let answer =
            client.post("/api/webhooks/signal", "application/json", body.as_bytes()).expect("an answer");
        let value: Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!(
            (answer.status, &value["id"]),
            (200, &json!(signal)),
            "an acknowledged signal is there: {body}"
        );
        assert_eq!(value["duplicate"], json!(true), "it is not accepted twice: {body}");
    }
    // Ids of signals sort by source and number; a user's older outcomes make room for newer ones.
    if let Some((signal, body)) = fresh.iter().map(|id| &all[id]).max_by(|a, b| a.0.cmp(&b.0)) {
        let body: Value = serde_json::from_str(body).expect("JSON");
        let secret = body["secret"].as_str().expect("a secret");
        wait_for("every subscriber of the last signal has an outcome", || {
            let receipt = get(client, &format!("/api/signals/{signal}"), secret);
            receipt["state"] == "finished" && receipt["decided"] == json!(USERS)
        });
    }
    wait_for("nothing is under way", || {
        let status = get(client, "/api/enterprise/status", "");
        let sums = status["books"]["ledger_sum"].as_object().expect("the books");
        assert!(sums.values().all(|sum| sum == "0"), "the books: {sums:?}");
        assert_eq!(status["books"]["users"], json!(USERS));
        status["shards"].as_array().expect("shards").iter().all(|shard| {
            ["fan_outs", "uncommitted", "orders_in_flight", "effects_waiting", "closes_waiting"]
                .iter()
                .all(|name| shard[name] == json!(0))
        })
    });
    for person in people {
        let orders = get(client, "/api/orders", &person.token);
        let listed =
            || ["live", "recent"].iter().flat_map(|part| orders[part].as_array().into_iter().flatten());
        let ids: Vec<&str> = listed().map(|order| order["id"].as_str().expect("an id")).collect();
        let distinct: BTreeSet<&str> = ids.iter().copied().collect();
        assert_eq!(ids.len(), distinct.len(), "an order is there twice");
        for order in listed() {
            let (filled, quantity) = (number(&order["filled"]), number(&order["quantity"]));
            assert!(filled <= quantity, "an order is filled beyond its size: {order}");
        }
        let positions = get(client, "/api/positions", &person.token);
        for position in positions["open"].as_array().expect("positions") {
            if position["state"] != "OPEN" {
                continue;
            }
            let stops = orders["live"].as_array().into_iter().flatten().filter(|order| {
                order["position"] == position["id"]
                    && order["kind"] == "stop_market"
                    && order["state"] == "SUBMITTED"
            });
            assert_eq!(stops.count(), 1, "a position has one live stop: {position} {orders}");
        }
    }
}

/// A decimal in units of 1e-8.
fn number(text: &Value) -> i64 {
    text.as_str().expect("a decimal").parse::<engine::core::fixed::Quantity>().expect("a decimal").units()
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_happens_twice() {
    let read = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let kills = read("COINBITCLUB_KILLS", 200);
    let seed = read("COINBITCLUB_SEED", u64::from(std::process::id()));
    println!("COINBITCLUB_SEED={seed} COINBITCLUB_KILLS={kills} cargo test -p coinbitclub --test kill_nine");
    let mut random = Random(seed);
    let dir = tempfile::tempdir().expect("a directory");
    let (data, rules) = (dir.path().join("data"), dir.path().join("rules.json"));
    std::fs::write(&rules, RULES).expect("written");
    let mut server = Server::start(&data, &rules, 2);
    let people = people(&server);
    let secrets: Vec<String> = people.iter().filter_map(|person| person.secret.clone()).collect();
    let acknowledged: Acknowledged = Arc::default();
    for kill in 0..kills {
        let known: BTreeSet<String> = acknowledged.lock().expect("not poisoned").keys().cloned().collect();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let loaders: Vec<_> = (0..LOADERS)
                .map(|_| {
                    let (address, seed) = (server.address, random.next());
                    let (secrets, acknowledged, stop) = (&secrets, &acknowledged, &stop);
                    scope.spawn(move || load(address, seed, secrets, acknowledged, stop))
                })
                .collect();
            std::thread::sleep(Duration::from_millis(1 + random.below(120)));
            server.child.kill().expect("SIGKILL");
            stop.store(true, Ordering::Relaxed);
            for loader in loaders {
                loader.join().expect("a loader found something wrong");
            }
        });
        server.child.wait().expect("reaped");
        let shards = 1 + random.below(3);
        server = Server::start(&data, &rules, shards);
        let all = acknowledged.lock().expect("not poisoned").clone();
        let fresh: Vec<String> = all.keys().filter(|id| !known.contains(*id)).cloned().collect();
        println!("kill {kill}: {} acknowledged, {} in all, now {shards} shards", fresh.len(), all.len());
        check(&server, &people, &all, &fresh);
    }
    let total = acknowledged.lock().expect("not poisoned").len();
    assert!(total as u64 > kills, "the load was real: {total} signals over {kills} kills");
    server.kill();
}
