//! Receipts of signals that the state has forgotten, or of which it has not all lines any more: the database has them, to the last
//! field as the state had them.

use engine::core::ids::SignalId;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::crash::calls::{call, get, list, post, text};
use crate::crash::people::{FLOODED, People, RULES, TRADERS};
use crate::crash::server::{Place, Server};
use crate::crash::wait_until;
use crate::projected;

struct Desk<'a> {
    server: &'a Server,
    people: &'a People,
}

impl Desk<'_> {
    fn send(&self, name: &str, action: &str, symbol: &str) -> String {
        let secret = &self.people.flood.secret;
        let body = json!({ "signal_id": name, "action": action, "ticker": symbol, "secret": secret });
        let answer = post(&mut self.server.client(), "/api/webhooks/signal", "", &body, 200);
        text(&answer, "id").to_owned()
    }

    /// As the publisher sees it, without who said it, with its rows in one order; and who said it.
    fn receipt(&self, id: &str) -> (Value, Option<String>) {
        let path = format!("/api/signals/{id}?limit=50");
        let mut receipt = get(&mut self.server.client(), &path, &self.people.flood.secret);
        let document = receipt.as_object_mut().expect("an object");
        let source = document.remove("source").map(|source| source.as_str().expect("text").to_owned());
        document["rows"].as_array_mut().expect("rows").sort_by_key(|row| row["user"].to_string());
        (receipt, source)
    }

    /// The receipt once nothing of it changes any more.
    fn settled(&self, id: &str) -> Value {
        wait_until("everybody is done", || {
            let (receipt, _) = self.receipt(id);
            let is_done = |row: &Value| row["done_at"].is_u64();
            let rows = list(&receipt, "rows");
            (rows.len() < FLOODED || !rows.iter().all(is_done) || receipt["state"] != "finished")
                .then(|| receipt.to_string())
        });
        let (receipt, source) = self.receipt(id);
        assert_eq!(source, None, "the state has all of it");
        receipt
    }

    fn forget(&self, from: usize, to: usize) {
        for n in from..to {
            let id = self.send(&format!("later-{n}"), "close", "ETHUSDT");
            // One by one: a newer one takes the place of one that is under way, which then leaves no lines.
            wait_until("it is finished", || {
                let (receipt, _) = self.receipt(&id);
                (receipt["state"] != "finished").then(|| receipt.to_string())
            });
        }
        projected(self.server);
    }

    fn status(&self, id: &str, bearer: &str) -> (u16, Value) {
        call(&mut self.server.client(), "GET", &format!("/api/signals/{id}"), bearer, &Value::Null)
    }
}

#[test]
fn a_receipt_that_the_state_has_forgotten_comes_from_the_database() {
    let cluster = Cluster::start(1);
    let dir = tempfile::tempdir().expect("a directory");
    let mut place = Place::new(dir.path(), RULES);
    place.arguments.extend(["--postgres-primary".to_owned(), cluster.primary().url_without_password()]);
    place.arguments.extend(["--postgres-replica".to_owned(), cluster.replica(1).url_without_password()]);
    let server = place.start(2);
    let people = People::gather(&mut server.client());
    let desk = Desk { server: &server, people: &people };
    let open = desk.send("open", "buy", "BTCUSDT");
    let opened = desk.settled(&open);
    assert!(list(&opened, "rows").iter().all(|row| !list(row, "fills").is_empty()), "{opened}");
    let close = desk.send("close", "close", "BTCUSDT");
    let closed = desk.settled(&close);
    assert_eq!(list(&closed, "fill_prices").len(), list(&opened, "fill_prices").len());
    let both = [(&open, &opened), (&close, &closed)];

    // The lines are gone, and then the signals too.
    for (from, to) in [(0, 80), (80, 300)] {
        desk.forget(from, to);
        for (id, known) in both {
            wait_until("the database has all of it", || {
                let (receipt, source) = desk.receipt(id);
                (source.is_none() || receipt != *known)
                    .then(|| format!("{source:?}: {receipt} is not {known}"))
            });
        }
    }
    let page =
        get(&mut server.client(), &format!("/api/signals/{open}?limit=1&offset=2"), &people.flood.secret);
    assert_eq!((list(&page, "rows").len(), page["rows_left"].as_u64()), (1, Some(FLOODED as u64 - 3)));

    // A subscriber sees their own line and no body, somebody else nothing, and what never was is not there.
    let subscriber = &people.traders[TRADERS];
    let own = get(&mut server.client(), &format!("/api/signals/{open}"), &subscriber.token);
    assert!(list(&own, "rows").len() == 1 && own["body"].is_null() && own["source"].is_string(), "{own}");
    assert_eq!(desk.status(&open, &people.traders[0].token).0, 404);
    assert_eq!(desk.status(&open, &people.sources[0].secret).0, 401);
    let mut never = SignalId::parse(&open).expect("an id");
    never.number = 1_000_000;
    assert_eq!(desk.status(&never.to_string(), &people.flood.secret).0, 404);

    // Nobody can look: that is not the same as not found.
    cluster.replica(1).kill();
    cluster.primary().kill();
    wait_until("nobody answers", || {
        let (status, answer) = desk.status(&open, &people.flood.secret);
        (status != 503 || answer["error"]["code"] != "history_unavailable").then(|| answer.to_string())
    });
    let newest = desk.send("newest", "close", "ETHUSDT");
    assert_eq!(desk.receipt(&newest).1, None);
    server.stop();
}
