//! A paper exchange with two Binance accounts, driven without a socket.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{IpAddr, Ipv4Addr};

use engine::core::fixed::Money;
use engine::core::ids::Timestamp;
use engine::core::instrument::Symbol;
use exchange::live::credential::{Credential, KeyKind};
use exchange::live::params::Params;
use exchange::market::{Market, Speed};
use exchange::paper::PaperSettings;
use exchange::paper_exchange::keys::KeySpec;
use exchange::paper_exchange::transport::{HttpAnswer, HttpIn, HttpOut, Outcome, SocketOut};
use exchange::paper_exchange::{AccountNo, ConnNo, CoreSettings, FaceKind, PaperExchange};
use serde_json::Value;

pub const START: Timestamp = Timestamp(1_700_000_000_000_000);
pub const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9));

pub struct Paper {
    pub exchange: PaperExchange,
    pub now: Timestamp,
    pub account: AccountNo,
    pub from: IpAddr,
    pub credential: Credential,
    /// What came over WebSockets.
    pub heard: Vec<(ConnNo, SocketOut)>,
}

pub fn credential(name: &str) -> Credential {
    Credential::new(KeyKind::Hmac, name, &format!("{name}-secret")).unwrap()
}

impl Paper {
    /// 10,000 USDT, BTCUSDT at 60000 and ETHUSDT at 3000; no price moves by itself.
    pub fn new() -> Self {
        Self::with(CoreSettings::venue())
    }

    /// The same with other listings.
    pub fn with(venue: PaperSettings) -> Self {
        let settings =
            CoreSettings { venue, market: Market::new(), market_from: START, now: START, speed: Speed::REAL };
        let mut exchange = PaperExchange::new(settings, 1).unwrap();
        let account = exchange.core.open_account(FaceKind::Binance, Money::from_whole(10_000)).unwrap();
        exchange.core.add_key(account, &KeySpec::hmac("ana", "ana-secret")).unwrap();
        let other = exchange.core.open_account(FaceKind::Binance, Money::from_whole(10_000)).unwrap();
        exchange.core.add_key(other, &KeySpec::hmac("bob", "bob-secret")).unwrap();
        let mut paper = Self {
            exchange,
            now: START,
            account,
            from: HERE,
            credential: credential("ana"),
            heard: Vec::new(),
        };
        paper.price("BTCUSDT", "60000");
        paper.price("ETHUSDT", "3000");
        paper
    }

    pub fn price(&mut self, symbol: &str, price: &str) {
        self.wait_ms(1_000);
        let symbol = Symbol::new(symbol).unwrap();
        self.exchange.core.hand_price(self.now, symbol, price.parse().unwrap(), true).unwrap();
        self.poll();
    }

    pub fn wait_ms(&mut self, span: u64) {
        self.now = self.now.plus_micros(span * 1_000);
        self.poll();
    }

    pub fn poll(&mut self) {
        let heard = &mut self.heard;
        while self.exchange.poll(self.now, &mut |conn, out| heard.push((conn, out))) {}
    }

    /// Sends a request as it is.
    pub fn raw(&mut self, method: &str, target: &str, key: &str, body: &str) -> HttpOut {
        let headers = vec![("X-MBX-APIKEY".to_owned(), key.to_owned())];
        let (method, target) = (method.to_owned(), target.to_owned());
        let call = HttpIn { method, target, headers, body: body.as_bytes().to_vec() };
        self.exchange.http(self.now, self.from, &call)
    }

    pub fn signed_query(&self, values: &[(&str, &str)]) -> String {
        let mut params = Params::default();
        for (name, value) in values {
            params.push(name, value);
        }
        if !values.iter().any(|(name, _)| *name == "timestamp") {
            params.push("timestamp", self.now.millis());
        }
        let signature = self.credential.sign(params.as_str().as_bytes());
        params.push("signature", signature);
        params.as_str().to_owned()
    }

    pub fn out(&mut self, method: &str, path: &str, values: &[(&str, &str)]) -> HttpOut {
        let target = format!("{path}?{}", self.signed_query(values));
        let key = self.credential.api_key().to_owned();
        self.raw(method, &target, &key, "")
    }

    pub fn signed(&mut self, method: &str, path: &str, values: &[(&str, &str)]) -> HttpAnswer {
        answer(self.out(method, path, values))
    }

    /// The body of a request that must succeed.
    pub fn ok(&mut self, method: &str, path: &str, values: &[(&str, &str)]) -> Value {
        let answer = self.signed(method, path, values);
        assert_eq!(answer.status, 200, "{method} {path} {values:?}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    }

    /// The error code of a request that must fail.
    pub fn code(&mut self, method: &str, path: &str, values: &[(&str, &str)]) -> i64 {
        let answer = self.signed(method, path, values);
        assert_ne!(answer.status, 200, "{method} {path} {values:?}: {}", answer.body);
        code(&answer)
    }

    pub fn market(&mut self, side: &str, quantity: &str) -> Value {
        let values = [
            ("symbol", "BTCUSDT"),
            ("side", side),
            ("type", "MARKET"),
            ("quantity", quantity),
            ("newOrderRespType", "RESULT"),
        ];
        self.ok("POST", "/fapi/v1/order", &values)
    }

    pub fn open(&mut self, conn: u64, target: &str) {
        self.exchange.socket_open(self.now, ConnNo(conn), self.from, target).unwrap();
    }

    pub fn say(&mut self, conn: u64, text: &str) {
        self.exchange.socket_message(self.now, ConnNo(conn), text);
        self.poll();
    }

    /// The texts that came over a WebSocket since this was asked last.
    pub fn texts(&mut self, conn: u64) -> Vec<Value> {
        self.poll();
        let (mine, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.heard).into_iter().partition(|(told, _)| *told == ConnNo(conn));
        self.heard = rest;
        mine.into_iter()
            .filter_map(|(_, out)| match out {
                SocketOut::Text(text) => Some(serde_json::from_str(&text).unwrap()),
                _ => None,
            })
            .collect()
    }
}

pub fn answer(out: HttpOut) -> HttpAnswer {
    match out.what {
        Outcome::Answer(answer) => answer,
        Outcome::Drop => panic!("the connection broke"),
    }
}

pub fn code(answer: &HttpAnswer) -> i64 {
    let told: Value = serde_json::from_str(&answer.body).unwrap();
    told["code"].as_i64().unwrap_or_else(|| panic!("{}", answer.body))
}
