//! Who takes part: publishers with their sources, traders who subscribe, and somebody who is busy at the desk.
//!
//! **Bounds**: a trader subscribes to [`SOURCES_EACH`] sources, and a round sends at most [`SIGNALS_PER_SOURCE`] new signals to
//! each, so that all of a round's outcomes are among those that a user keeps.

use engine::core::user::OUTCOMES_MAX;
use net::http::client::Client;
use serde_json::{Value, json};

use super::calls::{post, text};

/// Sources whose every outcome is checked; two each of so many publishers.
pub const SOURCES: usize = 8;
/// Sources a trader subscribes to: those of the same parity.
pub const SOURCES_EACH: usize = SOURCES / 2;
/// New signals of a round and source.
pub const SIGNALS_PER_SOURCE: usize = 14;
const _: () = assert!(SOURCES_EACH * SIGNALS_PER_SOURCE < OUTCOMES_MAX, "a user keeps a round's outcomes");
/// Traders of the checked sources.
pub const TRADERS: usize = 14;
/// Subscribers of one checked source.
pub const SUBSCRIBERS: usize = TRADERS / 2;
/// Traders of the source that is flooded.
pub const FLOODED: usize = 4;
/// What is traded.
pub const SYMBOLS: [&str; 6] = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "1000PEPEUSDT", "LTCUSDT"];
/// Everybody's password.
pub const PASSWORD: &str = "correct horse battery";
/// Rules under which nothing but what is tested holds a signal back.
pub const RULES: &str = r#"{"version":2,"cooldown_s":0,"source_opens_max":4000000000,"repeat_kept_min_s":0,
    "daily_loss_max":"1","positions_max":6,"paper_wallet":"1000000","paper_prepaid":"1000000"}"#;

/// Somebody with a session.
#[derive(Clone, Debug)]
pub struct Person {
    /// Address.
    pub email: String,
    /// Session token.
    pub token: String,
}

/// A source.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its id.
    pub id: String,
    /// Its secret.
    pub secret: String,
}

/// Everybody.
#[derive(Clone, Debug)]
pub struct People {
    /// The checked sources.
    pub sources: Vec<Source>,
    /// The flooded source.
    pub flood: Source,
    /// Traders of the checked sources, then those of the flooded one.
    pub traders: Vec<Person>,
    /// Busy at the desk: log-ins, accounts, halts, sources.
    pub clerk: Person,
}

/// The subscription settings of a trader at this leverage.
pub fn subscription(trader: usize, source: &Source, leverage: u8) -> Value {
    let sizing = json!({ "mode": "fixed_notional", "value": 300 + 20 * trader });
    json!({ "source": source.id, "leverage": leverage, "sizing": sizing, "reverse": trader.is_multiple_of(3) })
}

/// The checked sources of a trader.
pub fn sources_of(trader: usize) -> impl Iterator<Item = usize> {
    (0..SOURCES).filter(move |source| trader < TRADERS && source % 2 == trader % 2)
}

/// Signs somebody up and logs them in.
pub fn sign_up(client: &mut Client, email: String) -> Person {
    let who = json!({ "email": email, "password": PASSWORD });
    post(client, "/api/auth/signup", "", &who, 201);
    let session = post(client, "/api/auth/login", "", &who, 200);
    Person { email, token: text(&session, "token").to_owned() }
}

/// Creates a source of somebody.
pub fn create_source(client: &mut Client, owner: &Person, name: &str) -> Source {
    let made = post(client, "/api/sources", &owner.token, &json!({ "name": name }), 201);
    Source { id: text(&made, "id").to_owned(), secret: text(&made, "secret").to_owned() }
}

impl People {
    /// Signs everybody up over HTTP.
    pub fn gather(client: &mut Client) -> Self {
        let mut sources = Vec::new();
        for n in 0..SOURCES / 2 {
            let owner = sign_up(client, format!("publisher{n}@example.com"));
            sources.extend(["first", "second"].map(|name| create_source(client, &owner, name)));
        }
        let owner = sign_up(client, "flood@example.com".to_owned());
        let flood = create_source(client, &owner, "flood");
        let mut traders = Vec::new();
        for n in 0..TRADERS + FLOODED {
            let trader = sign_up(client, format!("trader{n}@example.com"));
            post(client, "/api/accounts", &trader.token, &json!({ "venue": "paper" }), 201);
            let mut subscribe = |source| {
                post(client, "/api/subscriptions", &trader.token, &subscription(n, source, 5), 200);
            };
            if n < TRADERS {
                sources_of(n).for_each(|source| subscribe(&sources[source]));
            } else {
                subscribe(&flood);
            }
            traders.push(trader);
        }
        let clerk = sign_up(client, "clerk@example.com".to_owned());
        Self { sources, flood, traders, clerk }
    }

    /// How many users there are at first.
    pub fn count(&self) -> usize {
        SOURCES / 2 + 1 + self.traders.len() + 1
    }
}

/// The body of a signal as a sender would write it.
pub fn signal_body(source: &Source, sender: &str, action: &str, symbol: &str) -> String {
    json!({ "signal_id": sender, "action": action, "ticker": symbol, "secret": source.secret }).to_string()
}
