//! Traders: they open accounts, subscribe, change their minds, close by hand, and look at their pages.

use std::rc::Rc;

use engine::core::event::Latch;
use engine::core::fixed::{Money, Rate};
use engine::core::rules::{Settings, Sizing};
use engine::core::user::VenueKind;
use engine::seam::Nanos;
use exchange::paper::listings;
use serde_json::{Value, json};

use super::stranger::changed;
use super::{Person, Reader, check_receipt, leave, symbol};
use crate::sim::client::request;
use crate::sim::decimals::decimal;
use crate::sim::faults::Fault;
use crate::sim::intent::{Intent, Known, Subscription};
use crate::sim::model::{History, Page};

/// Signals whose receipts a trader looks at.
const RECENT: usize = 8;

pub(super) async fn trade(mut person: Person) {
    if person.arrive().await {
        let mut accounts = 0;
        while !person.over() && accounts == 0 {
            accounts += u8::from(first_account(&mut person).await);
        }
        while !person.over() {
            let think = person.world().plan.think;
            person.client.pause(think).await;
            match person.client.below(24) {
                0..=5 => subscribe(&mut person).await,
                6 => unsubscribe(&mut person).await,
                7 => halt(&mut person).await,
                8..=10 => close(&mut person).await,
                11 => accounts += u8::from(accounts < 3 && open_account(&mut person).await),
                12 => log_out(&mut person).await,
                13 if person.home != VenueKind::Paper && person.ways.one_in(3) => {
                    another_key(&mut person).await;
                }
                13 => in_a_row(&mut person).await,
                14 if person.ways.one_in(2) => hostile(&mut person).await,
                14 => wrong_password(&mut person).await,
                15..=16 => person.read(Page::Positions).await,
                17..=18 => person.read(Page::Orders).await,
                19 if person.ways.one_in(2) => history(&mut person).await,
                19 => person.read(Page::Ledger).await,
                20 => person.read(Page::Subscriptions).await,
                21 => person.read(Page::Profile).await,
                22 => receipt(&mut person).await,
                _ if person.ways.one_in(2) => person.read(Page::Accounts).await,
                _ => person.read(Page::Balances).await,
            }
        }
        // The latch is released, so that what is open can be settled by signals too; whether it worked does not matter.
        settle(&mut person).await;
    }
    leave(&person.client.world);
}

/// After the load: every page once more, now that nothing moves but the market.
async fn settle(person: &mut Person) {
    person.world().load_done.set(person.world().load_done.get() + 1);
    let world = Rc::clone(person.world());
    let waiting = Rc::clone(person.world());
    while !world.settled.get() && !world.is_over() {
        let waiting = Rc::clone(&waiting);
        futures_lite::future::or(
            world.executor.until(move || waiting.settled.get()),
            world.executor.sleep(Nanos::from_millis(1_000)),
        )
        .await;
    }
    if world.is_over() || !person.log_in().await {
        return;
    }
    for page in Page::ALL {
        person.read(*page).await;
    }
    // Every history to its end.
    for what in History::ALL {
        let limit = 5 + usize::try_from(person.ways.below(30)).expect("small");
        person.read_history(*what, limit, usize::MAX).await;
    }
    // Of sessions that ended, were replaced, or are still alive.
    for token in person.tokens.clone() {
        person.read_in(Page::Profile, &token).await;
    }
    let accepted: Vec<_> = world.accepted.borrow().iter().rev().take(RECENT).map(|(id, _)| *id).collect();
    for id in accepted {
        let reader = Reader::user(person.user, &person.token);
        check_receipt(&mut person.client, id, &reader, false).await;
    }
}

/// Some pages of a history.
async fn history(person: &mut Person) {
    let at = usize::try_from(person.ways.below(History::ALL.len() as u64)).expect("below a length");
    let limit = 1 + usize::try_from(person.ways.below(40)).expect("small");
    person.read_history(History::ALL[at], limit, 3).await;
}

/// What became of one of the newest signals, for this trader.
async fn receipt(person: &mut Person) {
    let newest: Vec<_> =
        person.world().accepted.borrow().iter().rev().take(RECENT).map(|(id, _)| *id).collect();
    let at = usize::try_from(person.client.below(newest.len() as u64)).expect("below a length");
    let Some(id) = newest.get(at) else { return };
    let reader = Reader::user(person.user, &person.token);
    check_receipt(&mut person.client, *id, &reader, false).await;
}

async fn first_account(person: &mut Person) -> bool {
    let venue = person.home;
    let Some(exchange) = person.world().exchange.clone().filter(|_| venue != VenueKind::Paper) else {
        return open_account(person).await;
    };
    // The answer may have been lost, and a key is entered once.
    if person.world().judge.borrow().has_account_on(person.user, venue) {
        return true;
    }
    let Some((api_key, secret)) = exchange.key_of(person.user) else { return false };
    let environment = person.world().plan.environment.as_str();
    let body = json!({
        "venue": venue.as_str(), "environment": environment, "key_type": "hmac",
        "api_key": api_key, "secret": secret,
    });
    let known = person.change(Intent::Connect(person.user, venue), "POST", "/api/accounts", body).await;
    person.after(&known).await;
    person.client.pause(Nanos::from_millis(300)).await;
    matches!(known, Known::Done(..))
}

/// The account on an exchange, which is the first, gets its key again; or has it taken away before, where nothing is open.
async fn another_key(person: &mut Person) {
    let Some(exchange) = person.world().exchange.clone() else { return };
    let Some((api_key, secret)) = exchange.key_of(person.user) else { return };
    if person.ways.one_in(3) {
        let intent = Intent::RemoveKey(person.user, 0);
        let known = person.change(intent, "DELETE", "/api/accounts/0/key", Value::Null).await;
        person.after(&known).await;
        // Without an answer it may be gone.
        if matches!(known, Known::Refused(_)) {
            return;
        }
    }
    let body = json!({ "key_type": "hmac", "api_key": api_key, "secret": secret });
    // An account without a key could not be looked after: it gets one, whatever comes between.
    while !person.world().is_over() {
        let intent = Intent::SetKey(person.user, 0);
        let known = person.change(intent, "PUT", "/api/accounts/0/key", body.clone()).await;
        person.after(&known).await;
        match known {
            Known::Again => {}
            Known::Refused(code) if code == "unauthorized" => {}
            // Also where a crash took the account back, which nobody had been promised.
            Known::Done(..) | Known::Refused(_) => return,
        }
        person.client.pause(Nanos::from_millis(300)).await;
    }
}

async fn open_account(person: &mut Person) -> bool {
    let units = i64::try_from(person.next_unique()).expect("small");
    let wallet = Money::from_units((3_000 + units % 7_000) * 100_000_000 + units);
    let intent = Intent::Account(person.user, wallet);
    let body = json!({ "venue": "paper", "wallet": wallet.to_string() });
    let known = person.change(intent, "POST", "/api/accounts", body).await;
    person.after(&known).await;
    matches!(known, Known::Done(..))
}

/// An amount as text, or as a number.
fn amount(units: i128, person: &mut Person) -> Value {
    let text = decimal(units);
    let as_number = units < 100_000 * ONE && person.ways.one_in(3);
    if as_number { serde_json::from_str(&text).expect("a decimal") } else { json!(text) }
}

/// One whole, in units of 1e-8.
const ONE: i128 = 100_000_000;

fn money(units: i128) -> Money {
    Money::from_units(i64::try_from(units).expect("a small amount"))
}

fn rate(units: i128) -> Rate {
    Rate::from_units(i64::try_from(units).expect("a small rate"))
}

/// How a position is sized, and how that is written.
fn sizing(person: &mut Person) -> (Sizing, &'static str, i128) {
    match person.client.below(5) {
        0 => (Sizing::FixedMargin(money(25_050_000_000)), "fixed_margin", 25_050_000_000),
        1 => (Sizing::FixedNotional(money(1_000 * ONE)), "fixed_notional", 1_000 * ONE),
        2 => (Sizing::RiskToStop(money(3_333_000_000)), "risk_to_stop", 3_333_000_000),
        _ => {
            let percent = 10 + i128::from(person.client.below(41));
            (Sizing::PercentOfBalance(rate(percent * ONE / 100)), "percent_of_balance", percent * ONE)
        }
    }
}

/// A subscription: what is meant, field by field, and its body. What the body leaves out has the default of DOMAIN.md §2.
fn subscription(person: &mut Person) -> Option<(Intent, Value)> {
    let source = person.any_source()?;
    let most = 50_000 * ONE + i128::from(person.next_unique());
    let leverage = 1 + u8::try_from(person.client.below(10)).expect("small");
    let reverse = person.client.one_in(2);
    let account = u8::from(person.client.one_in(8));
    let (sizing, mode, value) = sizing(person);
    let mut settings = Settings {
        sizing,
        leverage,
        stop_multiplier: rate(2 * ONE),
        take_profit_multiplier: rate(3 * ONE),
        trade_max: Some(money(most)),
        exposure_max: None,
        symbols: Vec::new(),
        reverse,
    };
    let mut body = json!({
        "source": source.id.to_string(),
        "trade_max": decimal(most),
        "sizing": { "mode": mode, "value": amount(value, person) },
    });
    if person.ways.one_in(8) {
        settings.leverage = 5;
    } else {
        body["leverage"] = json!(leverage);
    }
    if reverse || person.ways.one_in(2) {
        body["reverse"] = json!(reverse);
    }
    if account > 0 || person.ways.one_in(2) {
        body["account"] = json!(account);
    }
    if person.client.one_in(3) {
        settings.stop_multiplier = rate(ONE * 5 / 2);
        settings.take_profit_multiplier = rate(ONE * 17 / 4);
        body["stop_multiplier"] = amount(ONE * 5 / 2, person);
        body["take_profit_multiplier"] = amount(ONE * 17 / 4, person);
    }
    if person.ways.one_in(8) {
        let most = 4_000 * ONE + ONE / 4;
        settings.exposure_max = Some(money(most));
        body["exposure_max"] = amount(most, person);
    }
    if person.ways.one_in(8) {
        let listed = &listings()[0].instrument.symbol;
        settings.symbols = vec![*listed];
        body["symbols"] = json!([listed.to_string()]);
    }
    let wanted = Subscription { source: source.id, account, settings };
    Some((Intent::Subscribe(person.user, Box::new(wanted)), body))
}

async fn subscribe(person: &mut Person) {
    let Some((intent, body)) = subscription(person) else { return };
    let known = person.change(intent, "POST", "/api/subscriptions", body).await;
    person.after(&known).await;
}

async fn unsubscribe(person: &mut Person) {
    let Some(source) = person.any_source() else { return };
    let intent = Intent::Unsubscribe(person.user, source.id);
    let path = format!("/api/subscriptions/{}", source.id);
    let known = person.change(intent, "DELETE", &path, Value::Null).await;
    person.after(&known).await;
}

async fn halt(person: &mut Person) {
    let on = person.client.one_in(4);
    let intent = Intent::Halt(person.user, Latch::User, on);
    let known = person.change(intent, "POST", "/api/halt", json!({ "on": on })).await;
    person.after(&known).await;
}

async fn close(person: &mut Person) {
    let symbol = symbol(&mut person.client);
    let account = u8::from(person.client.one_in(8));
    let intent = Intent::Close(person.user, account, symbol);
    let body = json!({ "symbol": symbol.to_string(), "account": account });
    let known = person.change(intent, "POST", "/api/positions/close", body).await;
    person.after(&known).await;
}

async fn log_out(person: &mut Person) {
    let intent = Intent::LogOut(person.user);
    let known = person.change(intent, "POST", "/api/auth/logout", Value::Null).await;
    if let Known::Done(..) = known {
        person.read(Page::Profile).await;
    }
    if person.log_in().await
        && let Some(oldest) = person.tokens.first().cloned()
    {
        person.read_in(Page::Profile, &oldest).await;
    }
}

/// A log-in that fails is counted before it is answered.
async fn wrong_password(person: &mut Person) {
    let body = json!({ "email": person.email, "password": "not the password" }).to_string();
    let bytes = request("POST", "/api/auth/login", "", &body);
    drop(person.ask(&Intent::WrongPassword(person.user), &bytes).await);
}

/// What somebody with a session may ask for, and gets refused by name, without a decision: method, path, body, status, code.
const REFUSED: &[(&str, &str, &str, u16, &str)] = &[
    ("POST", "/api/subscriptions", "[]", 400, "invalid_json"),
    ("POST", "/api/subscriptions", r#"{"source":"zz"}"#, 400, "invalid"),
    ("POST", "/api/subscriptions", r#"{"source":"000000000000","leverage":300}"#, 400, "invalid_json"),
    ("POST", "/api/subscriptions", r#"{"source":"000000000000","trade_max":"1,5"}"#, 400, "invalid"),
    ("DELETE", "/api/subscriptions/zz", "", 404, "not_found"),
    ("POST", "/api/halt", r#"{"on":"yes"}"#, 400, "invalid_json"),
    ("POST", "/api/halt", r#"{"on":true,"source":"000000000000"}"#, 400, "invalid"),
    ("POST", "/api/positions/close", r#"{"symbol":""}"#, 400, "invalid"),
    ("POST", "/api/accounts", r#"{"venue":"moon"}"#, 400, "invalid"),
    ("POST", "/api/accounts", r#"{"venue":"paper","api_key":"a","secret":"b"}"#, 400, "invalid"),
    ("POST", "/api/sources", "{}", 400, "invalid_json"),
    ("PUT", "/api/accounts/00/key", "{}", 404, "not_found"),
    ("GET", "/api/history/orders?limit=0", "", 400, "invalid"),
    ("GET", "/api/history/nothing", "", 404, "not_found"),
    ("POST", "/api/me", "{}", 405, "method_not_allowed"),
];

/// What no client should send, in a session that is alive: by name, or as bytes that are nearly a change.
async fn hostile(person: &mut Person) {
    if person.world().plan.mix.has(Fault::Hostile) && person.ways.one_in(2) {
        let (Some(source), unique) = (person.any_source(), person.next_unique()) else { return };
        // Nobody else's largest trade, whatever of it is changed.
        let body = json!({ "source": source.id.to_string(), "trade_max": format!("77000.{unique:08}") });
        let bytes = request("POST", "/api/subscriptions", &person.token, &body.to_string());
        let bytes = changed(&mut person.client, &bytes);
        return person.client.hostile(&bytes).await;
    }
    let at = usize::try_from(person.ways.below(REFUSED.len() as u64)).expect("below a length");
    let (method, path, body, status, code) = REFUSED[at];
    person.client.hashes = false;
    let bytes = request(method, path, &person.token, body);
    let Ok(response) = person.client.call(&bytes).await else { return };
    let told = (response.status, response.code());
    if told != (status, code.to_owned()) {
        let what = format!("{method} {path} with {body:?} was answered {told:?}, not {status} {code}");
        person.world().judge.borrow_mut().violate(what);
    }
    person.world().compared();
}

/// Several settings on one connection, one behind the other: they are decided in that order.
async fn in_a_row(person: &mut Person) {
    let mut intents = Vec::new();
    let mut requests = Vec::new();
    for _ in 0..2 + person.client.below(4) {
        let Some((intent, body)) = subscription(person) else { return };
        requests.push(request("POST", "/api/subscriptions", &person.token, &body.to_string()));
        intents.push(intent);
    }
    person.client.hashes = false;
    let asked: Vec<_> =
        intents.iter().map(|intent| person.world().sends(person.session_of(intent))).collect();
    let answers = person.client.pipeline(&requests).await;
    let mut newest = 0;
    for ((intent, asked), answer) in intents.iter().zip(&asked).zip(&answers) {
        if let Known::Done(_, index) = intent.check(person.world(), asked, answer) {
            if index < newest {
                let what = format!("{intent:?} was decided before one that was sent before it");
                person.world().judge.borrow_mut().violate(what);
            }
            newest = index;
        }
    }
}
