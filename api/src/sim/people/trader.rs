//! Traders: they open accounts, subscribe, change their minds, close by hand, and look at their pages.

use std::rc::Rc;

use engine::core::event::Latch;
use engine::core::fixed::Money;
use engine::core::user::VenueKind;
use engine::seam::Nanos;
use serde_json::json;

use super::{Person, Reader, check_receipt, leave, symbol};
use crate::sim::client::request;
use crate::sim::intent::{Intent, Known};
use crate::sim::model::Page;

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
                13 => in_a_row(&mut person).await,
                14 => wrong_password(&mut person).await,
                15..=16 => person.read(Page::Positions).await,
                17..=18 => person.read(Page::Orders).await,
                19 => person.read(Page::Ledger).await,
                20 => person.read(Page::Subscriptions).await,
                21 => person.read(Page::Profile).await,
                22 => receipt(&mut person).await,
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
    let body = json!({
        "venue": venue.as_str(), "environment": "testnet", "key_type": "hmac",
        "api_key": api_key, "secret": secret,
    });
    let known = person.change(Intent::Connect(person.user, venue), "POST", "/api/accounts", body).await;
    person.after(&known).await;
    person.client.pause(Nanos::from_millis(300)).await;
    matches!(known, Known::Done(..))
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

fn subscription(person: &mut Person) -> Option<(Intent, serde_json::Value)> {
    let source = person.any_source()?;
    let units = i64::try_from(person.next_unique()).expect("small");
    let most = Money::from_units(50_000 * 100_000_000 + units);
    let mut body = json!({
        "source": source.id.to_string(),
        "leverage": 1 + person.client.below(10),
        "trade_max": most.to_string(),
        "reverse": person.client.one_in(2),
        "account": u8::from(person.client.one_in(8)),
    });
    match person.client.below(5) {
        0 => body["sizing"] = json!({ "mode": "fixed_margin", "value": "250.5" }),
        1 => body["sizing"] = json!({ "mode": "fixed_notional", "value": 1_000 }),
        2 => body["sizing"] = json!({ "mode": "risk_to_stop", "value": "33.33" }),
        _ => body["sizing"] = json!({ "mode": "percent_of_balance", "value": 10 + person.client.below(41) }),
    }
    if person.client.one_in(3) {
        body["stop_multiplier"] = json!("2.5");
        body["take_profit_multiplier"] = json!("4.25");
    }
    Some((Intent::Subscribe(person.user, source.id, most), body))
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
    let known = person.change(intent, "DELETE", &path, serde_json::Value::Null).await;
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
    let known = person.change(intent, "POST", "/api/auth/logout", serde_json::Value::Null).await;
    if let Known::Done(..) = known {
        person.read(Page::Profile).await;
    }
    if person.log_in().await
        && let Some(oldest) = person.tokens.first().cloned()
    {
        person.read_in(Page::Profile, &oldest).await;
    }
}

async fn wrong_password(person: &mut Person) {
    let body = json!({ "email": person.email, "password": "not the password" }).to_string();
    person.client.hashes = true;
    if let Ok(response) = person.client.call(&request("POST", "/api/auth/login", "", &body)).await
        && !matches!(response.status, 401 | 429 | 503)
    {
        let what = format!("a wrong password was answered {}", response.status);
        person.world().judge.borrow_mut().violate(what);
    }
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
