//! A client of the Bybit face that signs as Bybit's documents say, written apart from the connector.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::net::IpAddr;

use engine::core::ids::Timestamp;
use engine::core::instrument::Symbol;
use exchange::live::credential::hex;
use exchange::market::{Market, Speed};
use exchange::paper::PaperSettings;
use exchange::paper_exchange::keys::KeySpec;
use exchange::paper_exchange::transport::{HttpAnswer, HttpIn, Outcome, SocketOut};
use exchange::paper_exchange::{AccountNo, ConnNo, CoreSettings, FaceKind, PaperExchange};
use ring::hmac;
pub use serde_json::{Value, json};

/// 2023-11-14 22:13:20 UTC: funding at 00:00 is less than two hours away.
pub const START: Timestamp = Timestamp(1_700_000_000_000_000);
pub const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
pub const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

/// A key of an account.
#[derive(Clone, Debug)]
pub struct Client {
    pub no: AccountNo,
    pub key: String,
    pub secret: String,
    pub from: IpAddr,
}

impl Client {
    pub fn hmac(&self, message: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_bytes());
        hex(hmac::sign(&key, message.as_bytes()).as_ref())
    }
}

pub struct Bench {
    pub exchange: PaperExchange,
    pub now: Timestamp,
    pub inbox: BTreeMap<ConnNo, Vec<Value>>,
    pub closed: Vec<ConnNo>,
    conns: u64,
    requests: u64,
}

impl Default for Bench {
    fn default() -> Self {
        Self::new()
    }
}

impl Bench {
    /// An exchange on which BTCUSDT costs 60000 and ETHUSDT 3000.
    pub fn new() -> Self {
        Self::with(PaperSettings::default())
    }

    pub fn with(venue: PaperSettings) -> Self {
        let settings =
            CoreSettings { venue, market: Market::new(), market_from: START, now: START, speed: Speed::REAL };
        let exchange = PaperExchange::new(settings, 7).unwrap();
        let mut bench =
            Self { exchange, now: START, inbox: BTreeMap::new(), closed: Vec::new(), conns: 0, requests: 0 };
        bench.price("BTCUSDT", "60000");
        bench.price("ETHUSDT", "3000");
        bench
    }

    /// An account with this in its wallet.
    pub fn client(&mut self, wallet: &str) -> Client {
        let no = self.exchange.core.open_account(FaceKind::Bybit, wallet.parse().unwrap()).unwrap();
        let client =
            Client { no, key: format!("KEY{}", no.0), secret: format!("secret{}", no.0), from: HERE };
        self.exchange.core.add_key(no, &KeySpec::hmac(&client.key, &client.secret)).unwrap();
        client
    }

    pub fn ms(&self) -> u64 {
        self.now.millis()
    }

    /// Lets time go by.
    pub fn pass(&mut self, ms: u64) {
        self.now = self.now.plus_micros(ms * 1_000);
        self.poll();
    }

    pub fn poll(&mut self) {
        let (inbox, closed) = (&mut self.inbox, &mut self.closed);
        while self.exchange.poll(self.now, &mut |conn, out| match out {
            SocketOut::Text(text) => {
                inbox.entry(conn).or_default().push(serde_json::from_str(&text).unwrap());
            }
            SocketOut::Close(_) | SocketOut::Drop => closed.push(conn),
            SocketOut::Ping => {}
        }) {}
    }

    /// The price moves there, a second later.
    pub fn price(&mut self, symbol: &str, price: &str) {
        self.now = self.now.plus_micros(1_000_000);
        let symbol = Symbol::new(symbol).unwrap();
        self.exchange.core.hand_price(self.now, symbol, price.parse().unwrap(), true).unwrap();
        self.poll();
    }

    pub fn http(&mut self, from: IpAddr, call: &HttpIn) -> HttpAnswer {
        match self.exchange.http(self.now, from, call).what {
            Outcome::Answer(answer) => answer,
            Outcome::Drop => panic!("dropped"),
        }
    }

    /// A request signed over these bytes.
    pub fn signed(&mut self, client: &Client, method: &str, path: &str, query: &str, body: &str) -> HttpIn {
        let timestamp = self.ms().to_string();
        let payload = if method == "GET" { query } else { body };
        let sign = client.hmac(&format!("{timestamp}{}5000{payload}", client.key));
        self.requests += 1;
        HttpIn {
            method: method.to_owned(),
            target: if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") },
            headers: vec![
                ("X-BAPI-API-KEY".to_owned(), client.key.clone()),
                ("X-BAPI-TIMESTAMP".to_owned(), timestamp),
                ("X-BAPI-RECV-WINDOW".to_owned(), "5000".to_owned()),
                ("X-BAPI-SIGN".to_owned(), sign),
            ],
            body: body.as_bytes().to_vec(),
        }
    }

    pub fn get(&mut self, client: &Client, path: &str, query: &str) -> Value {
        let call = self.signed(client, "GET", path, query, "");
        let answer = self.http(client.from, &call);
        assert_eq!(answer.status, 200, "{}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }

    pub fn post(&mut self, client: &Client, path: &str, body: &Value) -> Value {
        let call = self.signed(client, "POST", path, "", &body.to_string());
        let answer = self.http(client.from, &call);
        assert_eq!(answer.status, 200, "{}", answer.body);
        // Ten orders a second and account: tests that are not about limits take their time.
        if self.requests.is_multiple_of(8) {
            self.pass(1_000);
        }
        serde_json::from_str(&answer.body).unwrap()
    }

    /// A public question.
    pub fn public(&mut self, target: &str) -> Value {
        let call = HttpIn { method: "GET".to_owned(), target: target.to_owned(), ..HttpIn::default() };
        serde_json::from_str(&self.http(HERE, &call).body).unwrap()
    }

    /// The answer to order/create; `more` replaces the defaults of a market buy of 0.1 BTCUSDT.
    pub fn create(&mut self, client: &Client, more: &Value) -> Value {
        self.post(client, "/v5/order/create", &order(more))
    }

    /// Creates an order that has to be taken and gives its id.
    pub fn placed(&mut self, client: &Client, more: &Value) -> String {
        let told = self.create(client, more);
        assert_eq!(told["retCode"], 0, "{told}");
        told["result"]["orderId"].as_str().unwrap().to_owned()
    }

    /// The order as order/realtime tells it.
    pub fn order(&mut self, client: &Client, id: &str) -> Value {
        let told = self.get(client, "/v5/order/realtime", &format!("category=linear&orderId={id}"));
        told["result"]["list"][0].clone()
    }

    /// The position on BTCUSDT.
    pub fn position(&mut self, client: &Client) -> Value {
        let told = self.get(client, "/v5/position/list", "category=linear&symbol=BTCUSDT");
        told["result"]["list"][0].clone()
    }

    /// Opens a socket.
    pub fn open(&mut self, from: IpAddr, target: &str) -> ConnNo {
        self.conns += 1;
        let conn = ConnNo(self.conns);
        self.exchange.socket_open(self.now, conn, from, target).unwrap();
        conn
    }

    /// Says something and gives what is heard at once.
    pub fn say(&mut self, conn: ConnNo, message: &Value) -> Vec<Value> {
        self.exchange.socket_message(self.now, conn, &message.to_string());
        self.heard(conn)
    }

    /// What was heard since this was asked last.
    pub fn heard(&mut self, conn: ConnNo) -> Vec<Value> {
        self.poll();
        self.inbox.remove(&conn).unwrap_or_default()
    }

    pub fn auth(&self, client: &Client) -> Value {
        let expires = self.ms() + 1_000;
        json!({ "op": "auth", "args": [client.key, expires, client.hmac(&format!("GET/realtime{expires}"))] })
    }

    /// An authenticated private socket on these topics.
    pub fn private(&mut self, client: &Client, topics: &[&str]) -> ConnNo {
        let conn = self.open(client.from, "/v5/private");
        let auth = self.auth(client);
        assert_eq!(self.say(conn, &auth)[0]["success"], true);
        let told = self.say(conn, &json!({ "op": "subscribe", "req_id": "r", "args": topics }));
        assert_eq!((told.len(), &told[0]["success"]), (1, &json!(true)), "{told:?}");
        conn
    }

    /// An authenticated trade socket.
    pub fn trade(&mut self, client: &Client) -> ConnNo {
        let conn = self.open(client.from, "/v5/trade");
        let auth = self.auth(client);
        assert_eq!(self.say(conn, &auth)[0]["retCode"], 0);
        conn
    }
}

/// The body of order/create; `more` replaces the defaults of a market buy of 0.1 BTCUSDT.
pub fn order(more: &Value) -> Value {
    let mut body = json!({
        "category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Market", "qty": "0.1",
    });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

/// The retCode of an answer.
pub fn code(told: &Value) -> i64 {
    told["retCode"].as_i64().unwrap()
}

/// One field of each row of the messages of a topic.
pub fn column(messages: &[Value], topic: &str, field: &str) -> Vec<String> {
    let rows = messages.iter().filter(|message| message["topic"] == topic);
    let rows = rows.flat_map(|message| message["data"].as_array().unwrap());
    rows.map(|row| row[field].as_str().map_or_else(|| row[field].to_string(), str::to_owned)).collect()
}
