//! Strangers: they probe what is public, and send what no client should.

use std::rc::Rc;

use engine::seam::Nanos;

use super::leave;
use crate::sim::client::{Client, request};
use crate::sim::faults::Fault;

/// What no client should send.
const HOSTILE: &[&str] = &[
    "GET / HTTP/1.1\r\n\r\n",
    "GET /api/me HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer cbt_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n\r\n",
    "POST /webhook HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "POST /webhook HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "POST /webhook HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n{\"a\"",
    "POST /webhook HTTP/1.1\r\nHost: a\r\nContent-Length: 31\r\n\r\n{\"ticker\":\"{{ticker}}\",\"a\":\"b\"}",
    "POST /api/auth/signup HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n[]",
    "POST /api/subscriptions HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999\r\n\r\n",
    "GET /api/signals/zzzzzzzzzzzzzzzzzz HTTP/1.1\r\nHost: a\r\n\r\n",
    "\0\0\0\0",
    "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\nGET /health HTTP/1.1\r\nHost: a\r\n\r\n",
    "HEAD /health HTTP/1.1\r\nHost: a\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
];

/// A stranger: probes, figures, and hostile bytes where the mix has them.
pub(super) async fn disturb(mut client: Client) {
    let world = Rc::clone(&client.world);
    while !world.load_over.get() && !world.is_over() {
        client.pause(Nanos::from_millis(2_000)).await;
        match client.below(6) {
            0 => probe(&mut client, "/health", &[200]).await,
            1 if world.plan.mix.is_calm() => probe(&mut client, "/ready", &[200]).await,
            1 => probe(&mut client, "/ready", &[200, 503]).await,
            // Shards that cannot answer are left out.
            2 => probe(&mut client, "/api/enterprise/status", &[200]).await,
            3 => probe(&mut client, "/metrics", &[200]).await,
            _ if world.plan.mix.has(Fault::Hostile) => {
                let at = usize::try_from(client.below(HOSTILE.len() as u64)).expect("below a length");
                let bytes = changed(&mut client, HOSTILE[at].as_bytes());
                client.hostile(&bytes).await;
            }
            _ => probe(&mut client, "/api/enterprise/metrics", &[200]).await,
        }
    }
    leave(&world);
}

/// The bytes as they are, or with a few of them changed, gone or there again.
pub(super) fn changed(client: &mut Client, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let rounds = if client.one_in(2) { 0 } else { 1 + client.below(4) };
    for _ in 0..rounds {
        let place =
            |client: &mut Client, len: usize| usize::try_from(client.below(len as u64 + 1)).unwrap_or(0);
        let (a, b) = (place(client, bytes.len()), place(client, bytes.len()));
        let (from, to) = (a.min(b), a.max(b).min(a.min(b) + 64));
        match client.below(3) {
            0 => {
                let with = u8::try_from(client.below(256)).unwrap_or(0);
                bytes.get_mut(from).into_iter().for_each(|byte| *byte = with);
            }
            1 => drop(bytes.drain(from..to)),
            _ => {
                let again = bytes[from..to].to_vec();
                bytes.splice(to..to, again);
            }
        }
    }
    bytes
}

async fn probe(client: &mut Client, path: &str, statuses: &[u16]) {
    let Ok(response) = client.call(&request("GET", path, "", "")).await else { return };
    let mut judge = client.world.judge.borrow_mut();
    if !statuses.contains(&response.status) {
        judge.violate(format!("{path} was answered {}", response.status));
    }
    if path.ends_with("status") && response.status == 200 {
        let found = response.json();
        for (currency, sum) in found["books"]["ledger_sum"].as_object().into_iter().flatten() {
            if sum.as_str().is_some_and(|sum| sum != "0") {
                judge.violate(format!("the books of {currency} sum to {sum}"));
            }
        }
    }
}
