//! The admin routes of the paper exchange (`/paper/…`), so that tests in any language can make accounts, move the market and
//! plant faults. Only this machine may use them. `docs/paper-exchange.md` lists them.

use std::net::IpAddr;

use engine::core::fixed::{Money, Price};
use engine::core::ids::Timestamp;
use engine::core::instrument::Symbol;
use serde::Deserialize;
use serde_json::{Value, json};

use super::accounts::{AccountNo, FaceKind};
use super::exchange::PaperExchange;
use super::faults::Rule;
use super::keys::{KeySpec, Rights};
use super::orders::mix;
use super::transport::{HttpAnswer, HttpIn};
use crate::live::credential::KeyKind;

/// Prices that one step may play: a day of a generated market of 16 symbols.
const TICKS_MAX: u64 = 6_000_000;
/// Pieces of work between two looks.
const BUDGET: usize = 65_536;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountAsk {
    exchange: String,
    #[serde(default)]
    wallet: Option<String>,
    #[serde(default)]
    keys: Vec<KeyAsk>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyAsk {
    /// Only for a key that is added to an account.
    #[serde(default)]
    account: Option<u32>,
    api_key: String,
    secret: String,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    withdraw: bool,
    #[serde(default)]
    read_only: bool,
    #[serde(default)]
    addresses: Vec<IpAddr>,
    #[serde(default)]
    expires_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RightsAsk {
    account: u32,
    may_trade: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PriceAsk {
    symbol: String,
    price: String,
    /// Whether the price moves there through everything in between.
    #[serde(default)]
    continuous: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct MarketAsk {
    #[serde(default)]
    follow: Option<bool>,
    #[serde(default)]
    time_ms: Option<u64>,
    #[serde(default)]
    advance_ms: Option<u64>,
    #[serde(default)]
    ticks: Option<u64>,
    #[serde(default)]
    skew_ms: Option<i64>,
    #[serde(default)]
    prices: Vec<PriceAsk>,
}

type Told = Result<Value, String>;

fn read<'a, T: Deserialize<'a>>(call: &'a HttpIn) -> Result<T, String> {
    serde_json::from_slice(&call.body).map_err(|error| error.to_string())
}

impl KeyAsk {
    fn spec(&self) -> Result<KeySpec, String> {
        let kind = self.kind.as_deref().unwrap_or("hmac");
        Ok(KeySpec {
            api_key: self.api_key.clone(),
            kind: KeyKind::parse(kind).ok_or("kind: hmac, rsa or ed25519")?,
            secret: self.secret.clone(),
            rights: Rights { trade: !self.read_only, withdraw: self.withdraw },
            addresses: self.addresses.clone(),
            expires_at: self.expires_ms.map(Timestamp::from_millis),
        })
    }
}

impl PaperExchange {
    /// Answers an admin request.
    pub(super) fn admin(&mut self, now: Timestamp, from: IpAddr, call: &HttpIn) -> HttpAnswer {
        if !from.is_loopback() {
            return HttpAnswer::new(403, r#"{"error":"admin routes are for this machine only"}"#);
        }
        let told = match (call.method.as_str(), call.path()) {
            ("POST", "/paper/accounts") => self.make_account(call),
            ("GET", "/paper/accounts") => self.tell_accounts(),
            ("POST", "/paper/accounts/rights") => self.set_rights(call),
            ("POST", "/paper/keys") => self.make_key(call),
            ("DELETE", "/paper/keys") => self.drop_key(call),
            ("POST", "/paper/market") => self.move_market(now, call),
            ("GET", "/paper/market") => Ok(self.tell_market(now)),
            ("POST", "/paper/faults") => self.plant(call),
            ("GET", "/paper/faults") => Ok(self.tell_faults()),
            ("DELETE", "/paper/faults") => self.mend(call),
            ("POST", "/paper/listen-keys/expire") => {
                self.expire_listen_keys(now);
                Ok(json!({}))
            }
            _ => return HttpAnswer::new(404, r#"{"error":"no such admin route"}"#),
        };
        match told {
            Ok(value) => HttpAnswer::new(200, value.to_string()),
            Err(error) => HttpAnswer::new(400, json!({ "error": error }).to_string()),
        }
    }

    fn make_account(&mut self, call: &HttpIn) -> Told {
        let ask: AccountAsk = read(call)?;
        let face = match ask.exchange.as_str() {
            "binance" => FaceKind::Binance,
            "bybit" => FaceKind::Bybit,
            _ => return Err("exchange: binance or bybit".to_owned()),
        };
        let wallet: Money = match &ask.wallet {
            Some(text) => text.parse().map_err(|error| format!("wallet: {error}"))?,
            None => Money::from_whole(10_000),
        };
        let mut specs = ask.keys.iter().map(KeyAsk::spec).collect::<Result<Vec<_>, _>>()?;
        if specs.iter().any(|spec| self.core.key(&spec.api_key).is_some()) {
            return Err("api_key: taken".to_owned());
        }
        let no = self.core.open_account(face, wallet).map_err(|error| error.to_string())?;
        if specs.is_empty() {
            let part = |salt| format!("{:016x}", mix(u64::from(no.0) << 8 | salt));
            specs.push(KeySpec::hmac(
                &format!("paper{}{}", part(1), part(2)),
                &format!("{}{}", part(3), part(4)),
            ));
        }
        let mut keys = Vec::new();
        for spec in specs {
            self.core.add_key(no, &spec).map_err(|error| error.to_string())?;
            let secret = (spec.kind == KeyKind::Hmac).then_some(spec.secret);
            keys.push(json!({ "api_key": spec.api_key, "secret": secret }));
        }
        Ok(json!({ "account": no.0, "keys": keys }))
    }

    fn tell_accounts(&self) -> Told {
        let told = (0..u32::MAX).map_while(|no| self.core.account(AccountNo(no))).map(|account| {
            let positions: Vec<_> = account
                .positions
                .iter()
                .map(|(symbol, position)| {
                    json!({
                        "symbol": symbol.as_str(),
                        "side": position.side.as_str(),
                        "quantity": position.quantity.to_string(),
                        "entry_cost": position.entry_cost.to_string(),
                        "leverage": position.leverage,
                    })
                })
                .collect();
            json!({
                "account": account.no.0,
                "wallet": account.wallet.to_string(),
                "open_orders": account.open.len(),
                "positions": positions,
            })
        });
        Ok(Value::Array(told.collect()))
    }

    fn set_rights(&mut self, call: &HttpIn) -> Told {
        let ask: RightsAsk = read(call)?;
        self.core.account_mut(AccountNo(ask.account)).ok_or("account: unknown")?.may_trade = ask.may_trade;
        Ok(json!({}))
    }

    fn make_key(&mut self, call: &HttpIn) -> Told {
        let ask: KeyAsk = read(call)?;
        let account = AccountNo(ask.account.ok_or("account: missing")?);
        self.core.add_key(account, &ask.spec()?).map_err(|error| error.to_string())?;
        Ok(json!({}))
    }

    fn drop_key(&mut self, call: &HttpIn) -> Told {
        let key = call.query().strip_prefix("api_key=").ok_or("api_key: missing")?;
        if self.core.remove_key(key) { Ok(json!({})) } else { Err("api_key: unknown".to_owned()) }
    }

    fn move_market(&mut self, now: Timestamp, call: &HttpIn) -> Told {
        let ask: MarketAsk = read(call)?;
        if let Some(skew) = ask.skew_ms {
            self.core.clock.skew_ms = skew;
        }
        let stands = ask.time_ms.is_some() || ask.advance_ms.is_some() || ask.ticks.is_some();
        if ask.follow == Some(true) {
            if stands {
                return Err("a market that follows real time cannot be stepped".to_owned());
            }
            self.core.clock.standing = None;
        } else if ask.follow == Some(false) || stands {
            self.core.clock.standing.get_or_insert(now);
        }
        for asked in &ask.prices {
            let symbol = Symbol::new(&asked.symbol).ok_or("symbol: unknown")?;
            let price: Price = asked.price.parse().map_err(|error| format!("price: {error}"))?;
            let handed = self.core.hand_price(now, symbol, price, asked.continuous);
            handed.map_err(|error| error.to_string())?;
        }
        self.play(now);
        let standing = self.core.clock.standing.unwrap_or(now);
        if let Some(time) = ask.time_ms {
            self.core.clock.standing = Some(Timestamp::from_millis(time).max(standing));
            self.play(now);
        }
        if let Some(span) = ask.advance_ms {
            let from = self.core.clock.standing.unwrap_or(now);
            self.core.clock.standing = Some(from.plus_micros(span.saturating_mul(1_000)));
            self.play(now);
        }
        for _ in 0..ask.ticks.unwrap_or(0).min(TICKS_MAX) {
            let Some(next) = self.core.next_price_at() else { break };
            let from = self.core.clock.standing.unwrap_or(now);
            self.core.clock.standing = Some(next.max(from));
            self.play(now);
        }
        Ok(self.tell_market(now))
    }

    /// Plays what is due and tells it.
    fn play(&mut self, now: Timestamp) {
        while self.core.advance(now, BUDGET) {
            self.settle(now);
        }
        self.settle(now);
    }

    fn tell_market(&mut self, now: Timestamp) -> Value {
        let time = self.core.set_time(now);
        let marks: serde_json::Map<String, Value> = self
            .core
            .instruments()
            .iter()
            .filter_map(|instrument| {
                let mark = self.core.mark(instrument.symbol)?;
                Some((instrument.symbol.to_string(), mark.to_string().into()))
            })
            .collect();
        json!({
            "time_ms": time.millis(),
            "follow": self.core.clock.standing.is_none(),
            "skew_ms": self.core.clock.skew_ms,
            "marks": marks,
        })
    }

    fn plant(&mut self, call: &HttpIn) -> Told {
        let rule: Rule = read(call)?;
        let id = self.faults.add(rule).ok_or("too many rules: take some away")?;
        Ok(json!({ "id": id }))
    }

    fn tell_faults(&self) -> Value {
        let told = self.faults.rules().map(|(id, rule, matched, applied)| {
            json!({ "id": id, "rule": rule, "matched": matched, "applied": applied })
        });
        Value::Array(told.collect())
    }

    fn mend(&mut self, call: &HttpIn) -> Told {
        match call.query().strip_prefix("id=") {
            None => self.faults.clear(),
            Some(id) => {
                let id = id.parse().map_err(|_| "id: not a number")?;
                if !self.faults.remove(id) {
                    return Err("id: unknown".to_owned());
                }
            }
        }
        Ok(json!({}))
    }
}
