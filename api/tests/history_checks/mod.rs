//! What history answers, kind by kind: days in the user's zone, whole exports, what the state tells as the database would, what
//! is not told.

mod days;
mod exports;
mod from_the_state;
mod old_receipts;
mod percentages;
mod put_back;
mod reads_wait_for_no_rebuild;
mod statements;

use serde_json::Value;

use crate::cluster::Cluster;
use crate::crash::calls::get;
use crate::crash::people::{Person, RULES, sign_up};
use crate::crash::server::{Place, Server};
use crate::crash::wait_until;

/// A place whose servers write to the cluster's primary and read from it and its replicas.
pub(crate) fn place(root: &std::path::Path, cluster: &Cluster, replicas: usize) -> Place {
    let mut place = Place::new(root, RULES);
    place.arguments.extend(["--postgres-primary".to_owned(), cluster.primary().url_without_password()]);
    for replica in 1..=replicas {
        let url = cluster.replica(replica).url_without_password();
        place.arguments.extend(["--postgres-replica".to_owned(), url]);
    }
    place
}

/// Everything is in the database.
pub(crate) fn projected(server: &Server) {
    wait_until("the database has everything", || {
        let status = get(&mut server.client(), "/api/enterprise/status", "");
        let shards = status["history"]["shards"].as_array().expect("history is set up");
        shards.iter().find(|shard| shard["behind_records"] != 0).map(ToString::to_string)
    });
}

/// Waits until a database answers.
pub(crate) fn answered_by(server: &Server, person: &Person, source: &str) {
    wait_until(&format!("{source} answers"), || {
        let page = get(&mut server.client(), "/api/history/orders", &person.token);
        (!page["source"].as_str().is_some_and(|said| said.starts_with(source))).then(|| page.to_string())
    });
}

/// A server with one person, all in the database.
pub(crate) fn one_person(place: &Place) -> (Server, Person) {
    let server = place.start(1);
    let person = sign_up(&mut server.client(), "one@example.com".to_owned());
    projected(&server);
    (server, person)
}

/// A person's rows of a kind, on one page.
pub(crate) fn rows(server: &Server, person: &Person, what: &str) -> (String, Vec<Value>) {
    let page = get(&mut server.client(), &format!("/api/history/{what}"), &person.token);
    let rows = page["rows"].as_array().expect("rows").clone();
    (page["source"].as_str().expect("a source").to_owned(), rows)
}
