//! Users' exchange keys in a running server: entered, shown in part, judged, replaced, removed; and never to be found as
//! plaintext in an answer, a log line, or a file.

mod http;
mod log_lines;
#[path = "exchange_keys/masters.rs"]
mod masters;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api::server::venues::hosts::LiveAt;
use api::server::{self, Server, ServerConfig};
use api::vault::Vault;
use api::vault::master::{MasterKey, MasterKeys};
use engine::core::command::{Command, Refusal, Reply};
use engine::core::ids::{AccountId, Timestamp, UserId};
use engine::core::key::{KeyFault, KeyFinding};
use engine::core::user::VenueKind;
use engine::core::venue_account::{Environment, LiveVenues};
use engine::seam::Entropy;
use engine::shard::ask::{Answer, Ask, Auth, Op};
use http::{code, send, sign_up, value};
use log_lines::logged;
use net::client::Security;
use net::http::client::{Client, ClientOptions};
use serde_json::{Value, json};

/// RFC 8410 §10.3 has this key.
const ED25519: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
/// What of it must be found nowhere.
const ED25519_PART: &str = "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp";
const LIMIT: Duration = Duration::from_secs(30);

struct Fixed(u8);

impl Entropy for Fixed {
    fn fill(&mut self, out: &mut [u8]) {
        for byte in out {
            *byte = self.0;
            self.0 = self.0.wrapping_add(37);
        }
    }
}

fn master(byte: u8) -> MasterKey {
    MasterKey::random(&mut Fixed(byte))
}

fn config(data: &Path, shards: u16, masters: Option<MasterKeys>) -> ServerConfig {
    logged();
    let mut config = ServerConfig::embedded(data.to_owned());
    config.listen.set_port(0);
    config.shards = Some(shards);
    config.pin = false;
    config.segment_bytes = 4 << 20;
    config.egress = Arc::new([std::net::IpAddr::from([203, 0, 113, 7])]);
    if let Some(masters) = masters {
        config.rules.live = LiveVenues::default()
            .with(VenueKind::Bybit, Environment::Mainnet)
            .with(VenueKind::Binance, Environment::Testnet);
        config.vault = Some(Arc::new(Vault::new(masters)));
        // No test contacts an exchange: both are put at a port of this machine where nobody listens.
        let named = [(VenueKind::Bybit, Environment::Mainnet), (VenueKind::Binance, Environment::Testnet)];
        let nowhere = |(venue, environment)| LiveAt {
            venue,
            environment,
            host: "127.0.0.1".to_owned(),
            port: 9,
            security: Security::Plain,
        };
        config.live_at = named.map(nowhere).into();
    }
    config
}

fn start(data: &Path, shards: u16) -> Server {
    server::start(&config(data, shards, Some(MasterKeys::one(master(1))))).expect("starts")
}

fn client(server: &Server) -> Client {
    Client::connect(server.address, ClientOptions::default()).expect("listens")
}

fn key(name: &str, secret: &str) -> Value {
    json!({ "key_type": "hmac", "api_key": name, "secret": secret })
}

fn account(venue: &str, environment: &str, key: &Value) -> String {
    let mut body = key.clone();
    body["venue"] = json!(venue);
    body["environment"] = json!(environment);
    body.to_string()
}

fn accounts(client: &mut Client, token: &str) -> Value {
    let response = send(client, "GET", "/api/accounts", token, "");
    assert_eq!(response.status, 200, "{}", value(&response));
    value(&response)["accounts"].clone()
}

fn report(server: &Server, email: &str, index: u8, number: u32, finding: KeyFinding) {
    let user = UserId::from_email(email);
    let op = Op::Command(Command::ReportKey { account: AccountId { user, index }, number, finding });
    let answer = server.lines.ask(Ask { auth: Auth::Open, op, user }, LIMIT).expect("an answer");
    assert!(matches!(answer, Answer::Decided(Ok(Reply::Done))), "{answer:?}");
}

/// All bytes below a directory.
fn bytes_below(dir: &Path, out: &mut Vec<u8>) {
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            bytes_below(&path, out);
        } else {
            out.extend(std::fs::read(&path).expect("a file"));
        }
    }
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn case_n12_keys_are_sealed_per_user_and_there_is_no_way_out() {
    const HIDDEN: [&str; 5] = [
        "nameOfAnasKey1234",
        "AnasSecret-xyzzy",
        "nameOfBobsKey5678",
        "BobsSecret-plugh",
        "AnasSecondSecret",
    ];
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let server = start(&data, 2);
    let client = &mut client(&server);
    let (ana, bob) = (sign_up(client, "ana@n12.example.com"), sign_up(client, "bob@n12.example.com"));
    let mut answers = Vec::new();
    let mut ask = |client: &mut Client, method: &str, path: &str, token: &str, body: &str, status: u16| {
        let response = send(client, method, path, token, body);
        assert_eq!(response.status, status, "{method} {path}: {}", value(&response));
        answers.extend_from_slice(&response.body);
        value(&response)
    };
    let made = ask(
        client,
        "POST",
        "/api/accounts",
        &ana.token,
        &account("bybit", "mainnet", &key(HIDDEN[0], HIDDEN[1])),
        201,
    );
    assert_eq!(made["account"], 0);
    ask(
        client,
        "POST",
        "/api/accounts",
        &bob.token,
        &account("bybit", "mainnet", &key(HIDDEN[2], HIDDEN[3])),
        201,
    );
    let pem = json!({ "key_type": "ed25519", "api_key": HIDDEN[0], "secret": ED25519 });
    ask(client, "POST", "/api/accounts", &ana.token, &account("binance", "testnet", &pem), 201);
    // Wrong ones are refused without being repeated.
    let wrong = json!({ "key_type": "rsa", "api_key": HIDDEN[0], "secret": HIDDEN[1] });
    let refused = ask(client, "PUT", "/api/accounts/0/key", &ana.token, &wrong.to_string(), 400);
    assert!(refused["error"]["message"].as_str().expect("text").contains("PKCS#8"), "{refused}");
    ask(client, "PUT", "/api/accounts/0/key", &ana.token, &key(HIDDEN[0], HIDDEN[4]).to_string(), 200);
    for path in [
        "me",
        "accounts",
        "orders",
        "positions",
        "balances",
        "ledger",
        "sources",
        "subscriptions",
        "enterprise/status",
        "enterprise/metrics",
    ] {
        for person in [&ana, &bob] {
            ask(client, "GET", &format!("/api/{path}"), &person.token, "", 200);
        }
    }
    // Each sees their own, and of it the last four characters.
    let (anas, bobs) = (accounts(client, &ana.token), accounts(client, &bob.token));
    assert_eq!((anas.as_array().map(Vec::len), bobs.as_array().map(Vec::len)), (Some(2), Some(1)));
    assert_eq!((&anas[0]["key"]["last4"], &bobs[0]["key"]["last4"]), (&json!("1234"), &json!("5678")));
    for path in
        ["/api/accounts/0", "/api/accounts/0/key", "/api/accounts/0/secret", "/api/keys", "/api/export"]
    {
        let response = send(client, "GET", path, &ana.token, "");
        assert!(matches!(response.status, 404 | 405), "{path}: {}", response.status);
    }
    // Another user's account is not there for them, whatever they send.
    let other = send(client, "DELETE", "/api/accounts/1/key", &bob.token, "");
    assert_eq!(code(&other), (404, "unknown_account".into()));
    server.stop().expect("ends");
    let mut logs = Vec::new();
    bytes_below(&data, &mut logs);
    let inspected = std::process::Command::new(env!("CARGO_BIN_EXE_coinbitclub"))
        .args(["log", "inspect"])
        .arg(&data)
        .output()
        .expect("runs");
    assert!(inspected.status.success() && holds(&inspected.stdout, b"VenueAccountOpened"));
    assert!(holds(&inspected.stdout, b"Sealed(") && !holds(&inspected.stdout, b"Sealed(["));
    // Another number of shards: the old logs go, and everything is in snapshots.
    start(&data, 1).stop().expect("ends");
    let mut snapshots = Vec::new();
    bytes_below(&data, &mut snapshots);
    let lines = logged().so_far();
    assert!(!lines.is_empty());
    for (place, bytes) in [
        ("an answer", &answers),
        ("a log", &logs),
        ("a snapshot", &snapshots),
        ("a line", &lines),
        ("log inspect", &inspected.stdout),
    ] {
        for text in HIDDEN.into_iter().chain([ED25519_PART, &master(1).to_base64()[..20]]) {
            assert!(!holds(bytes, text.as_bytes()), "{text} is in {place}");
        }
    }
    // The look was in the right place: the ciphertext is there, under the master key's id.
    assert!(holds(&logs, &master(1).id().0) && holds(&snapshots, &master(1).id().0));
}

#[test]
fn a_key_is_pending_then_judged_and_its_owner_sees_how_it_stands() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = start(dir.path(), 2);
    let client = &mut client(&server);
    let ana = sign_up(client, "ana@judged.example.com");
    let mut body = key("nameOfTheKey1234", "secret");
    (body["host"], body["egress"]) = (json!("api.bybit.eu"), json!("203.0.113.7"));
    let made = send(client, "POST", "/api/accounts", &ana.token, &account("bybit", "mainnet", &body));
    assert_eq!(made.status, 201, "{}", value(&made));
    let paper = send(client, "POST", "/api/accounts", &ana.token, r#"{"venue":"paper"}"#);
    assert_eq!(paper.status, 201);
    let shown = accounts(client, &ana.token);
    let wanted = json!({
        "index": 0, "id": value(&made)["id"], "venue": "bybit", "environment": "mainnet", "host": "api.bybit.eu",
        "egress": "203.0.113.7", "currency": "USDT", "enabled": true, "key_health": "pending", "key_remedy": null,
        "key": { "type": "hmac", "last4": "1234", "set_at": shown[0]["key"]["set_at"], "expires_at": null, "days_left": null },
    });
    assert_eq!(shown[0], wanted);
    assert_eq!((&shown[1]["key_health"], &shown[1]["key"]), (&json!("not_needed"), &json!(null)));
    // In a week and an hour it ends.
    let now = shown[0]["key"]["set_at"].as_u64().expect("a time");
    let expires_at = Timestamp(now + 7 * 86_400_000_000 + 3_600_000_000);
    let good = KeyFinding { verdict: Ok(()), expires_at, identity: None };
    report(&server, &ana.email, 0, 1, good);
    let shown = accounts(client, &ana.token);
    assert_eq!((&shown[0]["key_health"], &shown[0]["key"]["days_left"]), (&json!("healthy"), &json!(7)));
    let bad = KeyFinding { verdict: Err(KeyFault::WithdrawalRight), ..good };
    report(&server, &ana.email, 0, 1, bad);
    let shown = accounts(client, &ana.token);
    assert_eq!((&shown[0]["key_health"], &shown[0]["key"]), (&json!("withdrawal_right"), &json!(null)));
    assert!(shown[0]["key_remedy"].as_str().expect("a remedy").contains("without that right"));
    // Another key, and then none.
    let put =
        send(client, "PUT", "/api/accounts/0/key", &ana.token, &key("nameOfTheKey5678", "s").to_string());
    assert_eq!(put.status, 200, "{}", value(&put));
    let shown = accounts(client, &ana.token);
    assert_eq!((&shown[0]["key_health"], &shown[0]["key"]["last4"]), (&json!("pending"), &json!("5678")));
    for _ in 0..2 {
        assert_eq!(send(client, "DELETE", "/api/accounts/0/key", &ana.token, "").status, 200);
    }
    let shown = accounts(client, &ana.token);
    assert_eq!((&shown[0]["key_health"], &shown[0]["key"]), (&json!("missing"), &json!(null)));
    server.stop().expect("ends");
}

#[test]
fn refusals_name_what_is_wrong() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = start(dir.path(), 1);
    let client = &mut client(&server);
    let ana = sign_up(client, "ana@refused.example.com");
    let full = key("name", "secret");
    let curve = json!({ "key_type": "ed25519", "api_key": "name", "secret": ED25519 });
    for (body, code_wanted, part) in [
        (account("bybit", "mainnet", &curve), "invalid", "key_type: bybit takes no ed25519 keys, but hmac or rsa"),
        (account("bybit", "testnet", &full), "venue_unavailable", "venue"),
        (account("binance", "mainnet", &full), "venue_unavailable", "venue"),
        (account("bybit", "", &full), "invalid", "environment"),
        (account("bybit", "mainnet", &json!({})), "invalid", "key_type"),
        (account("bybit", "mainnet", &key("na me", "secret")), "invalid", "api_key"),
        (account("bybit", "mainnet", &key("name", "two words")), "invalid", "secret"),
        (account("paper", "demo", &full), "invalid", "paper accounts have no key"),
        (account("ftx", "mainnet", &full), "invalid", "venue"),
        (r#"{"venue":"bybit","environment":"mainnet","egress":"10.0.0.1","key_type":"hmac","api_key":"n","secret":"s"}"#.to_owned(), "invalid", "egress"),
        (r#"{"venue":"bybit","environment":"mainnet","host":"evil.example.com"}"#.to_owned(), "invalid", "host"),
        (r#"{"venue":"bybit","environment":"mainnet","wallet":"5"}"#.to_owned(), "invalid", "wallet"),
    ] {
        let response = send(client, "POST", "/api/accounts", &ana.token, &body);
        assert_eq!(code(&response), (400, code_wanted.into()), "{body}");
        assert!(value(&response)["error"]["message"].to_string().contains(part), "{body}: {}", value(&response));
    }
    assert_eq!(accounts(client, &ana.token), json!([]), "nothing was opened");
    send(client, "POST", "/api/accounts", &ana.token, r#"{"venue":"paper"}"#);
    for (method, path, token, wanted) in [
        ("PUT", "/api/accounts/0/key", &ana.token, (400, "invalid")),
        ("DELETE", "/api/accounts/0/key", &ana.token, (400, "invalid")),
        ("PUT", "/api/accounts/1/key", &ana.token, (404, "unknown_account")),
        ("PUT", "/api/accounts/00/key", &ana.token, (404, "not_found")),
        ("PUT", "/api/accounts/256/key", &ana.token, (404, "not_found")),
        ("GET", "/api/accounts/0/key", &ana.token, (405, "method_not_allowed")),
        ("PUT", "/api/accounts/0/key", &String::new(), (401, "unauthorized")),
        ("PUT", "/api/accounts/0/key", &format!("{}x", ana.token), (401, "unauthorized")),
        ("POST", "/api/accounts", &String::new(), (401, "unauthorized")),
    ] {
        let body = if path.ends_with("key") { full.to_string() } else { account("bybit", "mainnet", &full) };
        let response = send(client, method, path, token, &body);
        assert_eq!(code(&response), (wanted.0, wanted.1.to_owned()), "{method} {path} {}", value(&response));
    }
    // Of an account that is there: its exchange says which kinds.
    for (venue, environment, index, wanted) in [("bybit", "mainnet", 1, 400), ("binance", "testnet", 2, 200)]
    {
        let made = send(client, "POST", "/api/accounts", &ana.token, &account(venue, environment, &full));
        assert_eq!(made.status, 201, "{}", value(&made));
        let path = format!("/api/accounts/{index}/key");
        let put = send(client, "PUT", &path, &ana.token, &curve.to_string());
        assert_eq!(put.status, wanted, "{venue}: {}", value(&put));
        if wanted == 400 {
            assert!(
                value(&put)["error"]["message"].to_string().contains("key_type: bybit"),
                "{}",
                value(&put)
            );
            assert_eq!(accounts(client, &ana.token)[index]["key"]["type"], "hmac", "the old one stays");
        }
    }
    server.stop().expect("ends");
}

#[test]
fn accounts_that_are_opened_at_once_get_places_of_their_own() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = start(dir.path(), 2);
    let mut first = client(&server);
    let ana = sign_up(&mut first, "ana@once.example.com");
    let body = account("bybit", "mainnet", &key("nameOfTheKey1234", "secret"));
    let opened: Vec<(u16, String)> = std::thread::scope(|scope| {
        let open = || {
            let mut client = client(&server);
            // Sent again for as long as another one was faster, as the answer says.
            loop {
                let response = send(&mut client, "POST", "/api/accounts", &ana.token, &body);
                if code(&response) != (409, Refusal::AccountsChanged.code().to_owned()) {
                    break (response.status, value(&response)["account"].to_string());
                }
            }
        };
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let mut places: Vec<&str> = opened.iter().map(|(_, place)| place.as_str()).collect();
    places.sort_unstable();
    assert_eq!(places, ["0", "1", "2", "3", "4", "5"], "{opened:?}");
    server.stop().expect("ends");
    // Each key opens at the place it was sealed for: the start looks.
    start(dir.path(), 1).stop().expect("ends");
}

#[test]
fn the_command_line_makes_a_master_key_and_wants_one() {
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_coinbitclub"));
        command.args(arguments).env_remove("COINBITCLUB_MASTER_KEY").env_remove("CREDENTIALS_DIRECTORY");
        command.output().expect("runs")
    };
    let texts: Vec<String> = (0..2)
        .map(|_| {
            let made = run(&["keys", "new-master"]);
            assert!(made.status.success());
            String::from_utf8(made.stdout).expect("text")
        })
        .collect();
    assert_ne!(texts[0], texts[1]);
    assert!(MasterKeys::parse(&texts[0], "output").is_ok());
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let serve = |arguments: &[&str]| {
        let mut all = vec!["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().expect("text")];
        all.extend(arguments);
        let ended = run(&all);
        assert!(!ended.status.success());
        String::from_utf8(ended.stderr).expect("text")
    };
    let told = serve(&["--live", "bybit:testnet"]);
    assert!(told.contains("--master-key-file") && told.contains("keys new-master"), "{told}");
    let told = serve(&["--live", "bybit"]);
    assert!(told.contains("--live bybit: "), "{told}");
    let file = dir.path().join("master");
    std::fs::write(&file, &texts[0]).expect("written");
    let told = serve(&["--live", "bybit:testnet", "--master-key-file", file.to_str().expect("text")]);
    let open_to_others = told.contains("chmod 600");
    assert!(open_to_others && !told.contains(texts[0].trim()), "{told}");
}

/// What a run of the command gave.
struct Ran {
    ok: bool,
    out: String,
    err: String,
}

/// Runs `coinbitclub keys` against a server. Nothing of `HIDDEN` may be seen by others or be printed.
fn keys(server: &Server, token: &Path, arguments: &[&str], environment: &[(&str, &str)], piped: &str) -> Ran {
    const HIDDEN: [&str; 5] =
        ["nameOfCleosKey1234", "CleosSecret-xyzzy", "nameOfNextKey5678", "NextSecret-plugh", ED25519_PART];
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_coinbitclub"));
    command.arg("keys").args(arguments).arg("--server").arg(format!("http://{}", server.address));
    command.arg("--token-file").arg(token).env_remove("COINBITCLUB_TOKEN");
    let pipe = std::process::Stdio::piped;
    command.envs(environment.iter().copied()).stdin(pipe()).stdout(pipe()).stderr(pipe());
    let mut child = command.spawn().expect("runs");
    // While it waits for its input: as everybody on this machine sees it.
    let seen = std::fs::read(format!("/proc/{}/cmdline", child.id())).expect("it runs");
    // One that refuses before it reads closes its end.
    let _ = child.stdin.take().expect("piped").write_all(piped.as_bytes());
    let ended = child.wait_with_output().expect("ends");
    for (place, bytes) in [("arguments", &seen), ("stdout", &ended.stdout), ("stderr", &ended.stderr)] {
        for hidden in HIDDEN {
            assert!(!holds(bytes, hidden.as_bytes()), "{hidden} is in {place} of {arguments:?}");
        }
    }
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Ran { ok: ended.status.success(), out: text(ended.stdout), err: text(ended.stderr) }
}

fn private(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).expect("written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("set");
}

#[test]
fn the_command_line_enters_shows_replaces_and_removes_keys() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = start(&dir.path().join("data"), 2);
    let cleo = sign_up(&mut client(&server), "cleo@command.example.com");
    let place = |name: &str| dir.path().join(name);
    let (token, name, secret) = (place("token"), place("name"), place("secret"));
    private(&token, &format!("{}\n", cleo.token));
    private(&name, "nameOfCleosKey1234\n");
    private(&secret, "CleosSecret-xyzzy\n");
    let path = |path: &Path| path.to_str().expect("text").to_owned();
    let (name_at, secret_at) = (path(&name), path(&secret));
    let files = ["--key-type", "hmac", "--api-key-file", &name_at, "--secret-file", &secret_at];
    let run = |arguments: &[&str]| keys(&server, &token, arguments, &[], "");
    assert_eq!(run(&["list"]).out, "no accounts\n");

    let added = run(&[&["add", "bybit:mainnet", "--egress", "203.0.113.7"], &files[..]].concat());
    assert!(added.ok && added.out.starts_with("account 0: "), "{} {}", added.out, added.err);
    let listed = run(&["list"]);
    assert_eq!(listed.out, "  0  bybit:mainnet    hmac …1234     pending\n");
    let told: Value = serde_json::from_str(&run(&["list", "--json"]).out).expect("JSON");
    assert_eq!(told["accounts"][0]["egress"], "203.0.113.7");
    assert_eq!(told["accounts"][0]["key"]["last4"], "1234");

    // Another name from the environment, another secret from standard input, of another kind.
    let next = [("COINBITCLUB_API_KEY", "nameOfNextKey5678")];
    let piped = ["--key-type", "ed25519", "--secret-file", "-"];
    let added = keys(&server, &token, &[&["add", "binance:testnet"], &piped[..]].concat(), &next, ED25519);
    assert!(added.ok, "{}", added.err);
    let piped = ["replace", "0", "--key-type", "hmac", "--secret-file", "-", "--json"];
    let replaced = keys(&server, &token, &piped, &next, "NextSecret-plugh");
    assert!(replaced.ok && serde_json::from_str::<Value>(&replaced.out).is_ok(), "{}", replaced.err);
    let listed = run(&["list"]).out;
    assert!(listed.contains("hmac …5678") && listed.contains("ed25519 …5678"), "{listed}");

    // What is refused is said with what and where, by the server ...
    let port = server.address.port().to_string();
    let removed = run(&["remove", "7"]);
    assert!(!removed.ok && removed.out.is_empty());
    for part in ["DELETE", &port, "/api/accounts/7/key", "404", "unknown_account"] {
        assert!(removed.err.contains(part), "{part}: {}", removed.err);
    }
    let refused = run(&[&["add", "bybit:testnet"], &files[..]].concat());
    assert!(!refused.ok && refused.err.contains("venue_unavailable"), "{}", refused.err);
    // ... and before it is asked.
    for (arguments, environment, part) in [
        (&["add", "bybit"][..], &next[..0], "bybit:testnet"),
        (&["replace", "0"], &[("COINBITCLUB_API_SECRET", "NextSecret-plugh")], "give one of them"),
    ] {
        let ran = keys(&server, &token, &[arguments, &files[..]].concat(), environment, "");
        assert!(!ran.ok && ran.err.contains(part), "{part}: {}", ran.err);
    }
    let both = ["replace", "0", "--key-type", "hmac", "--api-key-file", "-", "--secret-file", "-"];
    let ran = run(&both);
    assert!(!ran.ok && ran.err.contains("more than one"), "{}", ran.err);
    let ran = run(&["replace", "0", "--key-type", "hmac", "--api-key-file", &name_at]);
    assert!(!ran.ok && ran.err.contains("COINBITCLUB_API_SECRET"), "{}", ran.err);
    for file in [&secret, &token] {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o640)).expect("set");
        let ran = run(&[&["replace", "0"], &files[..]].concat());
        assert!(!ran.ok && ran.err.contains("0640") && ran.err.contains("chmod 600"), "{}", ran.err);
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).expect("set");
    }
    assert!(run(&["list"]).out.contains("hmac …5678"), "nothing was entered meanwhile");

    let removed = run(&["remove", "0"]);
    assert!(removed.ok && removed.out.contains("no key any more"), "{}", removed.err);
    assert!(run(&["list"]).out.contains("no key         missing"));
    private(&token, "nonsense");
    let ran = run(&["list"]);
    assert!(!ran.ok && ran.err.contains("401 unauthorized"), "{}", ran.err);
    server.stop().expect("ends");
}

#[test]
fn a_key_does_not_leave_this_machine_in_the_clear_and_is_not_told_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = dir.path().join("token");
    private(&at, "nonsense");
    let run = |server: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_coinbitclub"));
        command
            .args(["keys", "replace", "0", "--key-type", "hmac", "--server", server, "--token-file"])
            .arg(&at);
        command
            .env("COINBITCLUB_API_KEY", "nameOfCleosKey1234")
            .env("COINBITCLUB_API_SECRET", "CleosSecret-xyzzy");
        let ended = command.output().expect("runs");
        assert!(!ended.status.success() && ended.stdout.is_empty());
        String::from_utf8(ended.stderr).expect("text")
    };
    let told = run("http://203.0.113.9:3000");
    assert!(told.contains("in the clear") && told.contains("https://"), "{told}");
    let told = run("ftp://127.0.0.1");
    assert!(told.contains("--server ftp://127.0.0.1"), "{told}");
    // What answers there is another program, which sends back what it got.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let echo = std::thread::spawn(move || {
        use std::io::Read;
        let (mut socket, _) = listener.accept().expect("somebody comes");
        let mut got = vec![0; 4_096];
        let mut length = 0;
        while !holds(&got[..length], b"}") {
            length += socket.read(&mut got[length..]).expect("a request");
        }
        let head = format!("HTTP/1.1 500 X\r\nContent-Length: {length}\r\n\r\n");
        socket.write_all(head.as_bytes()).and_then(|()| socket.write_all(&got[..length])).expect("answered");
        got.truncate(length);
        got
    });
    let told = run(&format!("http://{address}"));
    assert!(holds(&echo.join().expect("no panic"), b"CleosSecret-xyzzy"), "it was there to be told back");
    assert!(told.contains("500") && !told.contains("xyzzy") && !told.contains("nonsense"), "{told}");
}
