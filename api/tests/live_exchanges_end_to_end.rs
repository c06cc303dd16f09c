//! The whole way over real sockets: a signal to a server becomes orders at the paper exchange, spoken in both exchanges'
//! protocols, is protected there, and is closed; also across a restart of the server while a position is open.

mod http;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::server::venues::hosts::LiveAt;
use api::server::{self, ServerConfig};
use api::vault::Vault;
use api::vault::master::{MasterKey, MasterKeys};
use engine::core::rules::Rules;
use engine::core::user::VenueKind;
use engine::core::venue_account::{Environment, LiveVenues};
use engine::shard::runtime::HostEntropy;
use http::{House, Person, receipt, send, sign_up, subscribe, value};
use net::client::Security;
use net::http::client::{Client, ClientOptions};
use serde_json::{Value, json};

/// The paper exchange, as a program.
struct Paper {
    child: Child,
    address: SocketAddr,
}

impl Paper {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_coinbitclub"))
            .args(["paper", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let out = child.stdout.take().expect("piped");
        let line = BufReader::new(out).lines().next().expect("a line").expect("text");
        let address = line.split("http://").nth(1).and_then(|rest| rest.split_whitespace().next());
        let address = address.unwrap_or_else(|| panic!("no address in {line}")).trim_end_matches('/');
        Self { child, address: address.parse().expect("an address") }
    }

    fn client(&self) -> Client {
        Client::connect(self.address, ClientOptions::default()).expect("listens")
    }

    fn account(&self, exchange: &str, name: &str) {
        let key = json!({ "api_key": format!("{name}-key-12345678"), "secret": format!("{name}-secret") });
        let body = json!({ "exchange": exchange, "wallet": "10000", "keys": [key] }).to_string();
        let made = send(&mut self.client(), "POST", "/paper/accounts", "", &body);
        assert_eq!(made.status, 200, "{}", String::from_utf8_lossy(&made.body));
    }
}

impl Drop for Paper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn until(what: &str, mut holds: impl FnMut() -> Result<(), String>) {
    let began = Instant::now();
    loop {
        match holds() {
            Ok(()) => return,
            Err(picture) => assert!(began.elapsed().as_secs() < 60, "{what}: {picture}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn accounts(client: &mut Client, person: &Person) -> Value {
    value(&send(client, "GET", "/api/accounts", &person.token, ""))
}

fn positions(client: &mut Client, person: &Person) -> Value {
    value(&send(client, "GET", "/api/positions", &person.token, ""))
}

#[test]
fn a_signal_trades_on_both_exchanges_and_survives_a_restart() {
    let paper = Paper::start();
    let both = [(VenueKind::Binance, "binance"), (VenueKind::Bybit, "bybit")];
    let at = |venue| LiveAt {
        venue,
        environment: Environment::Testnet,
        host: paper.address.ip().to_string(),
        port: paper.address.port(),
        security: Security::Plain,
    };
    let live = both.iter().fold(LiveVenues::default(), |live, (v, _)| live.with(*v, Environment::Testnet));
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = ServerConfig::embedded(dir.path().join("data"));
    config.listen.set_port(0);
    config.shards = Some(2);
    config.pin = false;
    config.segment_bytes = 4 << 20;
    config.rules = Rules { live, ..Rules::default() };
    config.live_at = both.iter().map(|(venue, _)| at(*venue)).collect();
    config.vault = Some(Arc::new(Vault::new(MasterKeys::one(MasterKey::random(&mut HostEntropy)))));
    let mut house = House { server: Some(server::start(&config).expect("starts")), dir };

    let mut client = house.client();
    let publisher = sign_up(&mut client, "publisher@example.com");
    let source = value(&send(&mut client, "POST", "/api/sources", &publisher.token, r#"{"name":"trend"}"#));
    let text = |name: &str| source[name].as_str().expect("text").to_owned();
    let (id, secret) = (text("id"), text("secret"));
    let mut people = Vec::new();
    for (n, (_, exchange)) in both.iter().cycle().take(4).enumerate() {
        let name = format!("trader{n}");
        paper.account(exchange, &name);
        let person = sign_up(&mut client, &format!("{name}@example.com"));
        let body = json!({
            "venue": exchange, "environment": "testnet", "key_type": "hmac",
            "api_key": format!("{name}-key-12345678"), "secret": format!("{name}-secret"),
        });
        let made = send(&mut client, "POST", "/api/accounts", &person.token, &body.to_string());
        assert_eq!(made.status, 201, "{}", value(&made));
        subscribe(&mut client, &person, &id);
        people.push(person);
    }
    for person in &people {
        until("the key is found good and the wallet is known", || {
            let told = accounts(&mut client, person);
            let held = value(&send(&mut client, "GET", "/api/balances", &person.token, ""));
            let known = held["accounts"][0]["wallet"] == "10000";
            let good = told["accounts"][0]["key_health"] == "healthy";
            if known && good { Ok(()) } else { Err(format!("{told} {held}")) }
        });
    }

    let open = json!({ "secret": secret, "ticker": "BTCUSDT", "action": "buy" }).to_string();
    let taken = send(&mut client, "POST", "/api/webhooks/signal", "", &open);
    assert_eq!(taken.status, 200, "{}", value(&taken));
    let signal = value(&taken)["id"].as_str().expect("an id").to_owned();
    let told = receipt(&mut client, &signal, &publisher.token);
    let filled = told["counts"].as_array().into_iter().flatten().find(|row| row["outcome"] == "filled");
    assert_eq!(filled.map(|row| row["users"].clone()), Some(json!(4)), "{told}");
    for person in &people {
        until("the position is open and both its triggers are live", || {
            let orders = value(&send(&mut client, "GET", "/api/orders", &person.token, ""));
            let live = orders["live"]
                .as_array()
                .map_or(0, |rows| rows.iter().filter(|row| row["state"] == "SUBMITTED").count());
            if live == 2 { Ok(()) } else { Err(orders.to_string()) }
        });
        let told = positions(&mut client, person);
        assert_eq!(told["open"].as_array().map(Vec::len), Some(1), "{told}");
    }

    // Both markets are told by their streams, once for all shards.
    until("prices come by stream", || {
        let status = value(&send(&mut client, "GET", "/api/enterprise/status", "", ""));
        let rows = status["venues"]["addresses"].as_array().cloned().unwrap_or_default();
        let tells = |row: &Value| {
            let young = row["mark_age_newest_ms"].as_u64().is_some_and(|age| age < 4_000);
            row["mark_streams"] == 1 && row["marks_unusable"] == 0 && young
        };
        if rows.len() == 2 && rows.iter().all(tells) { Ok(()) } else { Err(status.to_string()) }
    });

    // The key of an account with an open position stays, and the command says why.
    let token = house.dir.path().join("token");
    let remove = |house: &House, person: &Person| {
        std::fs::write(&token, &person.token).expect("written");
        std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).expect("set");
        let ran = Command::new(env!("CARGO_BIN_EXE_coinbitclub"))
            .args(["keys", "remove", "0", "--server", &format!("http://{}", house.server().address)])
            .arg("--token-file")
            .arg(&token)
            .output()
            .expect("runs");
        (ran.status.success(), String::from_utf8_lossy(&ran.stderr).into_owned())
    };
    let (done, told) = remove(&house, &people[0]);
    assert!(!done && told.contains("409 key_in_use"), "{told}");

    // A restart: what is open at the exchange is what the server knows, and it can be closed.
    drop(client);
    house.server.take().expect("running").stop().expect("stops");
    house.server = Some(server::start(&config).expect("starts again"));
    let mut client = house.client();
    let close = json!({ "secret": secret, "ticker": "BTCUSDT", "action": "close" }).to_string();
    let taken = send(&mut client, "POST", "/api/webhooks/signal", "", &close);
    assert_eq!(taken.status, 200, "{}", value(&taken));
    for person in &people {
        let token = http::log_in(&mut client, &person.email);
        let person = Person { token, email: person.email.clone() };
        until("the position is closed", || {
            let told = positions(&mut client, &person);
            let flat = told["open"].as_array().is_some_and(Vec::is_empty);
            if flat { Ok(()) } else { Err(told.to_string()) }
        });
        let told = positions(&mut client, &person);
        assert_eq!(told["recent"][0]["close_reason"], "SIGNAL", "{told}");
        until("nothing is open, and the key can go", || {
            let (done, told) = remove(&house, &person);
            if done { Ok(()) } else { Err(told) }
        });
    }
}
