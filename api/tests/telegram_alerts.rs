//! Alerts from a running server: an exchange bans this address, and the chats of the operator are told, by a Telegram that
//! enforces its limits, through a 429, while one of the chats takes nothing; and the token is seen by Telegram alone.

mod http;
mod log_lines;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use api::alerts::AlertSettings;
use api::alerts::outbox::ChatId;
use api::alerts::telegram::TelegramAt;
use api::alerts::token::BotToken;
use api::server::venues::hosts::LiveAt;
use api::server::{self, ServerConfig};
use api::vault::Vault;
use api::vault::master::{MasterKey, MasterKeys};
use engine::core::rules::Rules;
use engine::core::user::VenueKind;
use engine::core::venue_account::{Environment, LiveVenues};
use engine::shard::runtime::HostEntropy;
use http::{House, send, sign_up, value};
use log_lines::logged;
use net::client::Security;
use serde_json::{Value, json};

const SECRET: &str = "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw";
const PERSON: i64 = 1_001;
const CREW: i64 = -1_002;
/// Has blocked the bot.
const BLOCKED: i64 = 1_003;
/// What the first send is told to wait, in seconds.
const RETRY_AFTER: u64 = 2;
/// For how long the exchange bans this address, in seconds.
const BAN: i64 = 7_200;

fn until<T>(what: &str, mut holds: impl FnMut() -> Result<T, String>) -> T {
    let began = Instant::now();
    loop {
        match holds() {
            Ok(found) => return found,
            Err(picture) => assert!(began.elapsed().as_secs() < 60, "{what}: {picture}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Reads one request; `None` when the connection ends.
fn request(socket: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let (mut got, mut piece) = (Vec::new(), [0; 4_096]);
    loop {
        if let Some(end) = got.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&got[..end]).into_owned();
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            let length: usize = length.map_or(0, |text| text.parse().expect("a length"));
            if got.len() >= end + 4 + length {
                return Some((head, got[end + 4..end + 4 + length].to_vec()));
            }
        }
        match socket.read(&mut piece) {
            Ok(count) if count > 0 => got.extend_from_slice(&piece[..count]),
            _ => return None,
        }
    }
}

/// Answers every request of every connection by what `answer` makes of it; ends with the test's process.
fn serve(answer: impl Fn(&str, &[u8]) -> String + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let (Ok(mut socket), answer) = (socket, Arc::clone(&answer)) else { continue };
            std::thread::spawn(move || {
                while let Some((head, body)) = request(&mut socket) {
                    if socket.write_all(answer(&head, &body).as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn response(status: &str, headers: &str, body: &Value) -> String {
    let body = body.to_string();
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// Telegram, as far as a bot that only sends sees it.
#[derive(Default)]
struct Bots {
    /// Every message that was taken, with its chat.
    taken: Vec<(i64, String)>,
    /// When a send to each chat was taken.
    at: Vec<(i64, Instant)>,
    /// Nothing may be sent before.
    stopped_until: Option<Instant>,
    asked: u64,
    /// What a bot must not do.
    wrong: Vec<String>,
}

impl Bots {
    fn answer(&mut self, head: &str, body: &[u8]) -> String {
        let now = Instant::now();
        self.asked += 1;
        if !head.starts_with(&format!("POST /bot110201543:{SECRET}/sendMessage HTTP/1.1\r\n")) {
            self.wrong.push(format!("asked for {head}"));
            return refusal("404 Not Found", 404, "Not Found");
        }
        let told: Value = serde_json::from_slice(body).expect("JSON");
        let chat = told["chat_id"].as_i64().expect("a chat");
        let text = told["text"].as_str().expect("a text");
        let units = text.encode_utf16().count();
        if self.stopped_until.is_some_and(|until| now < until) {
            self.wrong.push(format!("a send to {chat} before the pause is over"));
        }
        // The limits: 30 a second, one a second to a chat, 20 a minute to a group.
        let within = |span: u64, of: &dyn Fn(i64) -> bool| {
            let young = |at: &Instant| now.duration_since(*at) < Duration::from_secs(span);
            self.at.iter().filter(|(to, at)| of(*to) && young(at)).count()
        };
        let beyond = within(1, &|_| true) >= 30
            || within(1, &|to| to == chat) >= 1
            || (chat < 0 && within(60, &|to| to == chat) >= 20);
        if beyond || !(1..=4_096).contains(&units) {
            self.wrong.push(format!("too much for {chat}: {units} units"));
        }
        self.at.push((chat, now));
        // The first is one too many, for reasons of its own.
        if self.asked == 1 {
            self.stopped_until = Some(Instant::now() + Duration::from_secs(RETRY_AFTER));
            let body = json!({
                "ok": false, "error_code": 429, "description": "Too Many Requests: retry after 2",
                "parameters": { "retry_after": RETRY_AFTER },
            });
            return response("429 Too Many Requests", "", &body);
        }
        if chat == BLOCKED {
            return refusal("403 Forbidden", 403, "Forbidden: bot was blocked by the user");
        }
        self.taken.push((chat, text.to_owned()));
        response("200 OK", "", &json!({ "ok": true, "result": { "message_id": self.asked } }))
    }
}

fn refusal(status: &str, code: u16, words: &str) -> String {
    response(status, "", &json!({ "ok": false, "error_code": code, "description": words }))
}

/// An exchange that has banned whoever asks until then, in seconds since 1970.
fn banning_exchange(until: i64) -> SocketAddr {
    serve(move |_, _| {
        let words = format!("Way too many requests; IP(127.0.0.1) banned until {until}000.");
        response("418 I'm a teapot", "Retry-After: 7200\r\n", &json!({ "code": -1003, "msg": words }))
    })
}

fn settings(address: SocketAddr) -> AlertSettings {
    let token = BotToken::parse(&format!("110201543:{SECRET}")).expect("a token");
    AlertSettings {
        chats: [PERSON, CREW, BLOCKED].map(ChatId).to_vec(),
        token: Arc::new(token),
        at: TelegramAt { security: Security::Plain, host: address.ip().to_string(), port: address.port() },
    }
}

#[test]
fn a_ban_by_an_exchange_is_told_to_every_chat_that_takes_it() {
    logged();
    let bots: Arc<Mutex<Bots>> = Arc::default();
    let answering = Arc::clone(&bots);
    let telegram = serve(move |head, body| answering.lock().expect("no panic").answer(head, body));
    let banned_until = jiff::Timestamp::now().as_second() + BAN;
    let exchange = banning_exchange(banned_until);
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = ServerConfig::embedded(dir.path().join("data"));
    config.listen.set_port(0);
    config.shards = Some(2);
    config.pin = false;
    config.segment_bytes = 4 << 20;
    let live = LiveVenues::default().with(VenueKind::Binance, Environment::Testnet);
    config.rules = Rules { live, ..Rules::default() };
    config.live_at = vec![LiveAt {
        venue: VenueKind::Binance,
        environment: Environment::Testnet,
        host: exchange.ip().to_string(),
        port: exchange.port(),
        security: Security::Plain,
    }];
    config.vault = Some(Arc::new(Vault::new(MasterKeys::one(MasterKey::random(&mut HostEntropy)))));
    config.alerts = Some(settings(telegram));
    let house = House { server: Some(server::start(&config).expect("starts")), dir };

    let mut client = house.client();
    let trader = sign_up(&mut client, "trader@example.com");
    let key = json!({
        "venue": "binance", "environment": "testnet", "key_type": "hmac",
        "api_key": "trader-key-12345678", "secret": "trader-secret",
    });
    let made = send(&mut client, "POST", "/api/accounts", &trader.token, &key.to_string());
    assert_eq!(made.status, 201, "{}", value(&made));

    // The host may have alerts of its own (a full disk): they are told too, and are not looked at.
    let ban = "CRITICAL: binance testnet from any is banned until ";
    for chat in [PERSON, CREW] {
        let end = until("the ban is told", || {
            let taken = bots.lock().expect("no panic").taken.clone();
            let found = taken.iter().filter(|(to, _)| *to == chat).find_map(|(_, text)| text.split_once(ban));
            found
                .map(|(_, rest)| rest.split(". ").next().unwrap_or_default().to_owned())
                .ok_or_else(|| format!("{chat}: {taken:?}"))
        });
        let end: jiff::Timestamp = end.parse().expect("a time");
        // The circuit adds a moment, for clocks that differ.
        assert!((banned_until..banned_until + 60).contains(&end.as_second()), "{end}");
    }
    let metrics = until("the figures say so", || {
        let told = value(&send(&mut client, "GET", "/api/enterprise/metrics", "", ""));
        let alerts = &told["alerts"];
        let at_least = |name: &str, least: u64| alerts[name].as_u64().is_some_and(|value| value >= least);
        let all = at_least("alerts_critical", 1)
            && at_least("alert_lines_told", 2)
            && at_least("alert_lines_refused", 1)
            && at_least("alert_sends_limited", 1);
        if all { Ok(told.to_string()) } else { Err(alerts.to_string()) }
    });
    let text = send(&mut client, "GET", "/metrics", "", "").text();
    assert!(text.contains("\ncoinbitclub_alert_lines_told_total "), "{text}");
    {
        let bots = bots.lock().expect("no panic");
        assert_eq!(bots.wrong, Vec::<String>::new());
        let told = |chat| bots.taken.iter().filter(|(to, text)| *to == chat && text.contains(ban)).count();
        assert_eq!((told(PERSON), told(CREW), told(BLOCKED)), (1, 1, 0), "{:?}", bots.taken);
    }
    // Meanwhile everything else goes on.
    assert_eq!(send(&mut client, "GET", "/ready", "", "").status, 200);
    sign_up(&mut client, "another@example.com");
    drop(client);
    drop(house);
    let log = String::from_utf8_lossy(&logged().so_far()).into_owned();
    for said in ["takes no more messages for now", "a chat takes no alerts", "bot was blocked by the user"] {
        assert!(log.contains(said), "{said}");
    }
    for told in [&log, &metrics, &text] {
        assert!(!told.contains("AAHdq"), "the token is told");
    }
}

#[test]
fn a_server_whose_telegram_never_answers_serves_and_ends() {
    logged();
    // It takes connections, and that is all.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = ServerConfig::embedded(dir.path().join("data"));
    config.listen.set_port(0);
    config.shards = Some(1);
    config.pin = false;
    config.segment_bytes = 4 << 20;
    config.alerts = Some(settings(silent.local_addr().expect("bound")));
    let house = House { server: Some(server::start(&config).expect("starts")), dir };
    // A log that failed is told at the next look, and again never: the call to the silent Telegram is under way when it ends.
    let gauges = Arc::clone(&house.server().gauges);
    gauges.shards[0].failed.store(true, std::sync::atomic::Ordering::Relaxed);
    silent.set_nonblocking(true).expect("set");
    let _call = until("Telegram is called", || silent.accept().map_err(|error| error.to_string()));
    let mut client = house.client();
    sign_up(&mut client, "trader@example.com");
    assert_eq!(
        value(&send(&mut client, "GET", "/api/enterprise/metrics", "", ""))["alerts"]["alert_lines_told"],
        0
    );
}

#[test]
fn a_server_whose_log_failed_says_so_before_it_ends() {
    logged();
    let bots: Arc<Mutex<Bots>> = Arc::new(Mutex::new(Bots { asked: 1, ..Bots::default() }));
    let answering = Arc::clone(&bots);
    let telegram = serve(move |head, body| answering.lock().expect("no panic").answer(head, body));
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = ServerConfig::embedded(dir.path().join("data"));
    config.listen.set_port(0);
    config.shards = Some(1);
    config.pin = false;
    config.segment_bytes = 4 << 20;
    config.alerts = Some(settings(telegram));
    let server = server::start(&config).expect("starts");
    // As when its disk fails: the flag, and the end right after it.
    server.gauges.shards[0].failed.store(true, std::sync::atomic::Ordering::Relaxed);
    server.stop().expect("ends");
    let bots = bots.lock().expect("no panic");
    for chat in [PERSON, CREW] {
        let told =
            |(to, text): &&(i64, String)| *to == chat && text.contains("the log of shard 0 has failed");
        assert_eq!(bots.taken.iter().filter(told).count(), 1, "{:?}", bots.taken);
    }
    assert_eq!(bots.wrong, Vec::<String>::new());
}

#[test]
fn a_start_without_a_usable_token_says_what_to_do() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("token");
    std::fs::write(&file, format!("110201543:{SECRET}\n")).expect("written");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("set");
    let start = |arguments: &[&str], variables: &[(&str, &str)]| {
        let ran = Command::new(env!("CARGO_BIN_EXE_coinbitclub"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(dir.path().join("data"))
            .args(arguments)
            .env_remove("COINBITCLUB_TELEGRAM_TOKEN")
            .envs(variables.iter().copied())
            .output()
            .expect("runs");
        assert!(!ran.status.success());
        let told = String::from_utf8(ran.stderr).expect("text");
        assert!(!told.contains("AAHdq"), "the token is told");
        told
    };
    let path = file.to_str().expect("text");
    let chat = ["--telegram-chat", "-1001234"];
    for (arguments, variables, part) in [
        (&chat[..], &[][..], "@BotFather"),
        (&[chat[0], chat[1], "--telegram-token-file", path], &[], "chmod 600"),
        (&chat, &[("COINBITCLUB_TELEGRAM_TOKEN", "nonsense")], "no bot's token"),
        (&[chat[0], chat[1], "--telegram-at", "http://203.0.113.9"], &[], "in the clear"),
    ] {
        let told = start(arguments, variables);
        assert!(told.starts_with("coinbitclub: ") && told.contains(part), "{part}: {told}");
    }
    assert!(!dir.path().join("data").exists(), "nothing was begun");
}
