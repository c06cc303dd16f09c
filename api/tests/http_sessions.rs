//! Log-ins: opaque, three at most, locked after five failures; a user sees only what is theirs.

mod http;

use engine::core::fixed::Price;
use engine::core::rules::Rules;
use http::{House, code, log_in, publisher, receipt, send, sign_up, subscribe, value};
use serde_json::json;

#[test]
fn a_fourth_log_in_ends_the_first_and_a_log_out_ends_its_own() {
    let house = House::open(2, Rules::default());
    let client = &mut house.client();
    let person = sign_up(client, "ana@example.com");
    let me = |client: &mut net::http::client::Client, token: &str| {
        send(client, "GET", "/api/me", token, "").status
    };
    let others: Vec<String> = (0..3).map(|_| log_in(client, &person.email)).collect();
    assert_eq!(me(client, &person.token), 401, "the oldest of four has ended");
    assert!(others.iter().all(|token| me(client, token) == 200));
    assert_eq!(send(client, "POST", "/api/auth/logout", &others[0], "").status, 200);
    assert_eq!((me(client, &others[0]), me(client, &others[1])), (401, 200));
    assert_eq!(me(client, "cbt_guess"), 401);
    assert_eq!(me(client, ""), 401);
}

#[test]
fn five_failures_lock_and_an_unknown_address_looks_like_a_wrong_password() {
    let house = House::open(1, Rules::default());
    let client = &mut house.client();
    sign_up(client, "ana@example.com");
    let mut attempt = |email: &str, password: &str| {
        let body = json!({ "email": email, "password": password }).to_string();
        code(&send(client, "POST", "/api/auth/login", "", &body))
    };
    assert_eq!(attempt("nobody@example.com", "wrong horse"), (401, "wrong_credentials".into()));
    for _ in 0..5 {
        assert_eq!(attempt("ana@example.com", "wrong horse"), (401, "wrong_credentials".into()));
    }
    assert_eq!(attempt("ana@example.com", "correct horse"), (429, "locked".into()));
}

#[test]
fn sign_ups_are_checked() {
    let house = House::open(2, Rules::default());
    let client = &mut house.client();
    sign_up(client, "ana@example.com");
    for (body, status, word) in [
        (r#"{"email":" Ana@Example.COM ","password":"correct horse"}"#, 409, "email_taken"),
        (r#"{"email":"ana","password":"correct horse"}"#, 400, "email_invalid"),
        (r#"{"email":"bob@example.com","password":"short"}"#, 400, "invalid"),
        (
            r#"{"email":"bob@example.com","password":"correct horse","zone":"Mars/Olympus"}"#,
            400,
            "zone_invalid",
        ),
        (r#"{"email":"bob@example.com"}"#, 400, "invalid_json"),
        ("{", 400, "invalid_json"),
    ] {
        assert_eq!(
            code(&send(client, "POST", "/api/auth/signup", "", body)),
            (status, word.to_owned()),
            "{body}"
        );
    }
}

#[test]
fn a_receipt_shows_each_what_is_theirs() {
    let house = House::open(3, Rules::default());
    let client = &mut house.client();
    let (ana, source, secret) = publisher(client, "ana@example.com");
    let bob = sign_up(client, "bob@example.com");
    send(client, "POST", "/api/accounts", &bob.token, r#"{"venue":"paper"}"#);
    subscribe(client, &bob, &source);
    let eve = sign_up(client, "eve@example.com");
    let body = format!(r#"{{"secret":"{secret}","ticker":"ETHUSDT","action":"buy"}}"#);
    let id = value(&send(client, "POST", "/webhook", "", &body))["id"].as_str().expect("an id").to_owned();
    assert_eq!(receipt(client, &id, &secret)["decided"], json!(2), "the source's secret shows all");
    let all = receipt(client, &id, &ana.token);
    assert_eq!(all["rows"].as_array().map(Vec::len), Some(2), "the publisher sees all");
    let prices = &all["fill_prices"][0];
    let price = |text: &serde_json::Value| text.as_str().expect("text").parse::<Price>().expect("exact");
    let (lowest, highest) = (price(&prices["lowest"]), price(&prices["highest"]));
    assert_eq!((&prices["side"], &prices["symbol"]), (&json!("buy"), &json!("ETHUSDT")), "{all}");
    assert_eq!(prices["users"], json!(2), "{all}");
    assert_eq!(highest.checked_sub(lowest), Some(price(&prices["spread"])), "{all}");
    let mut rows: Vec<_> = all["rows"].as_array().into_iter().flatten().collect();
    rows.sort_by_key(|row| (row["filled_at"].as_u64(), row["user"].as_str().map(str::to_owned)));
    let of = |row: &serde_json::Value| price(&row["fills"][0]["average_price"]);
    assert!(rows.iter().all(|row| (lowest..=highest).contains(&of(row))), "{all}");
    let ends = (price(&prices["first"]), price(&prices["last"]));
    let ends_at = [&prices["first_at"], &prices["last_at"]];
    assert_eq!(ends_at, [&rows[0]["filled_at"], &rows[1]["filled_at"]], "{all}");
    if ends_at[0] != ends_at[1] {
        assert_eq!(ends, (of(rows[0]), of(rows[1])), "{all}");
    }
    let own = receipt(client, &id, &bob.token);
    assert_eq!(own["fill_prices"][0]["users"], json!(1), "of others a subscriber learns no price: {own}");
    assert_eq!(
        (&own["decided"], &own["body"]),
        (&json!(1), &json!(null)),
        "a subscriber sees their own line"
    );
    assert_eq!(send(client, "GET", &format!("/api/signals/{id}"), &eve.token, "").status, 404);
    assert_eq!(send(client, "GET", &format!("/api/signals/{id}"), "", "").status, 401);
    let page = send(client, "GET", &format!("/api/signals/{id}?limit=1&offset=1"), &ana.token, "");
    let page = value(&page);
    assert_eq!((&page["rows_from"], &page["rows_left"]), (&json!(1), &json!(0)), "{page}");
}
