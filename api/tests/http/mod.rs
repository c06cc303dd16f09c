//! A server in this process, a client, and people who have signed up.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use api::server::{self, Server, ServerConfig};
use engine::core::rules::Rules;
use net::http::client::{Client, ClientOptions, ClientResponse};
use serde_json::{Value, json};

/// A running server whose data goes with it.
pub struct House {
    pub server: Option<Server>,
    pub dir: tempfile::TempDir,
}

impl House {
    pub fn open(shards: u16, rules: Rules) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut config = ServerConfig::embedded(dir.path().join("data"));
        config.listen.set_port(0);
        config.shards = Some(shards);
        config.pin = false;
        config.segment_bytes = 4 << 20;
        config.rules = rules;
        let server = server::start(&config).expect("starts");
        Self { server: Some(server), dir }
    }

    pub fn server(&self) -> &Server {
        self.server.as_ref().expect("running")
    }

    pub fn client(&self) -> Client {
        Client::connect(self.server().address, ClientOptions::default()).expect("listens")
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            let ended = server.stop();
            assert!(ended.is_ok() || std::thread::panicking(), "{ended:?}");
        }
    }
}

pub fn send(client: &mut Client, method: &str, path: &str, bearer: &str, body: &str) -> ClientResponse {
    let authorization = format!("Bearer {bearer}");
    let headers = [("Authorization", authorization.as_str())];
    let headers = if bearer.is_empty() { &headers[..0] } else { &headers[..] };
    client.request(method, path, headers, body.as_bytes()).expect("an answer")
}

pub fn value(response: &ClientResponse) -> Value {
    serde_json::from_slice(&response.body).unwrap_or(Value::Null)
}

/// Status and error code.
pub fn code(response: &ClientResponse) -> (u16, String) {
    (response.status, value(response)["error"]["code"].as_str().unwrap_or_default().to_owned())
}

pub struct Person {
    pub token: String,
    pub email: String,
}

pub fn sign_up(client: &mut Client, email: &str) -> Person {
    let body = json!({ "email": email, "password": "correct horse" }).to_string();
    assert_eq!(send(client, "POST", "/api/auth/signup", "", &body).status, 201);
    Person { token: log_in(client, email), email: email.to_owned() }
}

pub fn log_in(client: &mut Client, email: &str) -> String {
    let body = json!({ "email": email, "password": "correct horse" }).to_string();
    let response = send(client, "POST", "/api/auth/login", "", &body);
    assert_eq!(response.status, 200, "{}", value(&response));
    value(&response)["token"].as_str().expect("a token").to_owned()
}

/// A person with a paper account who publishes a source and subscribes to it. Gives the source's id and secret.
pub fn publisher(client: &mut Client, email: &str) -> (Person, String, String) {
    let person = sign_up(client, email);
    assert_eq!(send(client, "POST", "/api/accounts", &person.token, r#"{"venue":"paper"}"#).status, 201);
    let made = send(client, "POST", "/api/sources", &person.token, r#"{"name":"trend"}"#);
    assert_eq!(made.status, 201);
    let made = value(&made);
    let text = |name: &str| made[name].as_str().expect("text").to_owned();
    let (id, secret) = (text("id"), text("secret"));
    subscribe(client, &person, &id);
    (person, id, secret)
}

pub fn subscribe(client: &mut Client, person: &Person, source: &str) {
    let body = json!({ "source": source }).to_string();
    let response = send(client, "POST", "/api/subscriptions", &person.token, &body);
    assert_eq!(response.status, 200, "{}", value(&response));
}

/// Reads the receipt until every order has an end.
pub fn receipt(client: &mut Client, id: &str, bearer: &str) -> Value {
    let began = std::time::Instant::now();
    loop {
        let response = send(client, "GET", &format!("/api/signals/{id}"), bearer, "");
        let receipt = value(&response);
        assert_eq!(response.status, 200, "{receipt}");
        let sent = receipt["counts"].as_array().into_iter().flatten().any(|row| row["outcome"] == "sent");
        if receipt["state"] == "finished" && !sent {
            return receipt;
        }
        assert!(began.elapsed().as_secs() < 30, "not finished: {receipt}");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}
