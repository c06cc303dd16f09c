//! A database that holds another history than the server's is not told to anybody.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::{answered_by, one_person, place, projected, rows};
use crate::cluster::Cluster;
use crate::crash::calls::{call, get, post, text};
use crate::crash::people::{Person, sign_up};
use crate::crash::server::{Place, Server};
use crate::crash::wait_until;

/// A copy of a data directory, to be put back later.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.expect("cp is there").success());
}

/// What a read with the position of a write just made is told.
fn read_own_write(server: &Server, person: &Person) -> (String, Vec<Value>) {
    let authorization = format!("Bearer {}", person.token);
    let headers = [("Authorization", authorization.as_str())];
    let body = json!({ "name": "written now" }).to_string();
    let answer = server.client().request("POST", "/api/sources", &headers, body.as_bytes());
    let answer = answer.expect("it answers");
    assert_eq!(answer.status, 201, "{}", answer.text());
    let position = answer.header("x-position").expect("an answer to a write says where it is").to_owned();
    rows(server, person, &format!("ledger?position={position}"))
}

/// Waits until the server has found the database to be another's, and could read from it.
fn is_refused(server: &Server, place: &Place) {
    wait_until("the database is found to be another's", || {
        let status = get(&mut server.client(), "/api/enterprise/status", "");
        let shard = &status["history"]["shards"][0];
        (shard["failing"] != "another_history").then(|| shard.to_string())
    });
    wait_until("it could be read", || {
        let logged = place.logged();
        (!logged.contains("reads may go to the primary")).then_some(logged)
    });
}

fn exported(server: &Server, person: &Person) -> String {
    let authorization = format!("Bearer {}", person.token);
    let headers = [("Authorization", authorization.as_str())];
    let answer = server.client().request("GET", "/api/history/ledger?format=csv", &headers, &[]);
    let answer = answer.expect("it answers");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}

/// Issue 5, "none returns data older than its token": the directory is put back and its database is not, so that the database is
/// beyond every position the server gives, with rows of what was undone. A new directory under the same database is no other:
/// the id of a user is a digest of the address.
#[test]
fn rows_that_never_happened_here_are_not_told() {
    let cluster = Cluster::start(0);
    let dir = tempfile::tempdir().expect("a directory");
    let place = place(dir.path(), &cluster, 0);
    let (server, person) = one_person(&place);
    let source =
        post(&mut server.client(), "/api/sources", &person.token, &json!({ "name": "signals" }), 201);
    let secret = text(&source, "secret").to_owned();
    let receipt = |server: &Server, id: &str| {
        call(&mut server.client(), "GET", &format!("/api/signals/{id}"), &secret, &Value::Null)
    };
    assert!(server.stop().success());
    let (earlier, later) = (dir.path().join("earlier"), dir.path().join("later"));
    copy(&place.data(), &earlier);

    // What is undone: money in accounts, and a signal.
    let server = place.start(1);
    let body = json!({ "signal_id": "undone", "action": "buy", "ticker": "BTCUSDT", "secret": secret });
    let signal = post(&mut server.client(), "/api/webhooks/signal", "", &body, 200);
    let signal = text(&signal, "id");
    assert_eq!(receipt(&server, signal).0, 200);
    for _ in 0..5 {
        post(&mut server.client(), "/api/accounts", &person.token, &json!({ "venue": "paper" }), 201);
    }
    projected(&server);
    answered_by(&server, &person, "primary");
    let undone = rows(&server, &person, "ledger").1;
    assert!(undone.len() >= 5, "{undone:?}");
    assert_eq!(exported(&server, &person).lines().count(), undone.len() + 1);
    assert!(server.stop().success());
    std::fs::rename(place.data(), &later).expect("it is moved");

    copy(&earlier, &place.data());
    let server = place.start(1);
    for _ in 0..2 {
        assert_eq!(read_own_write(&server, &person), ("memory".to_owned(), Vec::new()));
        assert_eq!(rows(&server, &person, "ledger"), ("memory".to_owned(), Vec::new()));
        assert_eq!(exported(&server, &person).lines().count(), 1);
        let (status, answer) = receipt(&server, signal);
        assert_eq!((status, &answer["error"]["code"]), (503, &json!("history_unavailable")), "{answer}");
        // Before it was found out, and after.
        is_refused(&server, &place);
    }
    assert!(server.stop().success());

    // Nobody was ever here, and somebody of the same address is.
    std::fs::remove_dir_all(place.data()).expect("it is removed");
    let server = place.start(1);
    let same = sign_up(&mut server.client(), person.email.clone());
    for _ in 0..2 {
        assert_eq!(read_own_write(&server, &same), ("memory".to_owned(), Vec::new()));
        assert_eq!(rows(&server, &same, "ledger"), ("memory".to_owned(), Vec::new()));
        is_refused(&server, &place);
    }
    assert!(server.stop().success());

    // The directory that the database belongs to.
    std::fs::remove_dir_all(place.data()).expect("it is removed");
    std::fs::rename(&later, place.data()).expect("it is moved");
    let server = place.start(1);
    answered_by(&server, &person, "primary");
    assert_eq!(rows(&server, &person, "ledger").1, undone);
    assert!(server.stop().success());
}
