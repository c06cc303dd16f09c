//! A signal is executed once, however often it comes.

mod http;

use engine::core::rules::Rules;
use http::{House, publisher, receipt, send, value};
use serde_json::{Value, json};

#[test]
fn repeats_are_answered_with_the_first_ones_id() {
    let house = House::open(2, Rules { cooldown: 0, ..Rules::default() });
    let client = &mut house.client();
    let (person, _, secret) = publisher(client, "ana@example.com");
    let post = |client: &mut net::http::client::Client, fields: &str| -> (String, bool) {
        let body = format!(r#"{{"secret":"{secret}","ticker":"BTCUSDT",{fields}}}"#);
        let answer: Value = value(&send(client, "POST", "/webhook", "", &body));
        (
            answer["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned(),
            answer["duplicate"] == json!(true),
        )
    };
    let second = |offset: i64| (jiff::Timestamp::now() + jiff::SignedDuration::from_secs(offset)).as_second();
    // By its id, whatever else it says.
    let (first, repeat) = post(client, r#""action":"buy","signal_id":"one""#);
    assert!(!repeat);
    assert_eq!(post(client, r#""action":"buy","signal_id":"one","price":"1""#), (first.clone(), true));
    // By body and its own second; blanks and the order of fields do not matter.
    let now = second(0);
    let (timed, repeat) = post(client, &format!(r#""action":"sell","time":{now}"#));
    assert!(!repeat && timed != first);
    assert_eq!(post(client, &format!(r#" "time" : "{now}", "action":"sell" "#)), (timed.clone(), true));
    let (other, repeat) = post(client, &format!(r#""action":"sell","time":{}"#, second(-7)));
    assert!(!repeat && other != timed, "another second is another signal");
    // Without id and time: the same body again within the span of resends.
    let (bare, repeat) = post(client, r#""action":"strong_buy""#);
    assert!(!repeat);
    assert_eq!(post(client, r#""action":"strong_buy""#), (bare.clone(), true));
    for id in [&first, &timed, &other, &bare] {
        receipt(client, id, &secret);
    }
    let orders = value(&send(client, "GET", "/api/orders", &person.token, ""));
    let entries = ["live", "recent"]
        .iter()
        .flat_map(|part| orders[part].as_array().into_iter().flatten())
        .filter(|order| order["reduce_only"] == json!(false));
    assert_eq!(entries.count(), 1, "one open was executed, once; the rest found a position: {orders}");
}
