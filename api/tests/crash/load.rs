//! Load: signals to the checked sources, planned and raced by two senders; a flood to another source; and everything else at
//! the desk. It goes on until the server is gone.
//!
//! **Invariants**: what is about to be sent is noted before it leaves, what was answered right after it came; a sender
//! notices the end of the server by its connection only.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use net::http::client::{Client, ClientOptions};
use serde_json::Value;

use super::Random;
use super::calls::text;
use super::desk_load;
use super::people::{People, SIGNALS_PER_SOURCE, SOURCES, SYMBOLS, signal_body};
use super::promises::{Promises, Sent, locked};
use super::server::Ending;

/// Connections that flood.
const FLOODERS: u64 = 3;

const OPENS: [&str; 5] = ["buy", "SELL", "SINAL LONG FORTE", "open_short", "long"];
const CLOSES: [&str; 4] = ["close", "FECHE LONG", "close_short", "exit"];

/// What is shared by all that load a server.
pub struct Load<'a> {
    /// Who takes part.
    pub people: &'a People,
    /// What was promised.
    pub promises: &'a Mutex<Promises>,
    /// Where the server listens.
    pub address: std::net::SocketAddr,
    /// The round.
    pub round: u64,
    /// The round's seed.
    pub seed: u64,
}

/// A signal of the plan: the sender's id and the body.
type Planned = (String, String);

impl Load<'_> {
    /// Plans the round's signals to the checked sources and notes them as sent.
    fn plan(&self) -> Vec<Planned> {
        let mut random = Random::new(self.seed);
        let mut plan = Vec::new();
        for n in 0..SIGNALS_PER_SOURCE {
            for source in 0..SOURCES {
                let opens = !random.one_in(3);
                let action = random.pick(if opens { &OPENS[..] } else { &CLOSES[..] });
                let sender = format!("{}-{source}-{n}", self.round);
                let symbol = random.pick(&SYMBOLS);
                let body = signal_body(&self.people.sources[source], &sender, action, symbol);
                plan.push((sender, Some(source), opens, body));
            }
        }
        for place in (1..plan.len()).rev() {
            plan.swap(place, random.below(place + 1));
        }
        plan.into_iter().map(|(sender, source, opens, body)| self.note(sender, source, opens, body)).collect()
    }

    /// Notes a signal as sent.
    pub fn note(&self, sender: String, source: Option<usize>, opens: bool, body: String) -> Planned {
        let sent = Sent {
            source,
            opens,
            body: body.clone(),
            round: self.round,
            id: None,
            accepted: false,
            known: false,
        };
        locked(self.promises).signals.insert(sender.clone(), sent);
        (sender, body)
    }

    /// Runs the load; `meanwhile` ends the server, and all senders end with it.
    ///
    /// # Panics
    /// With what a sender found wrong.
    pub fn run(&self, meanwhile: impl FnOnce()) {
        let plan = self.plan();
        let progress = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let _ending = Ending(self.address);
            let (plan, progress) = (&plan, &progress);
            let mut senders = vec![
                scope.spawn(move || self.send_plan(plan, progress)),
                scope.spawn(move || self.race_plan(plan, progress)),
                scope.spawn(move || desk_load::work(self)),
                scope.spawn(move || desk_load::watch(self)),
            ];
            senders.extend((0..FLOODERS).map(|n| scope.spawn(move || self.flood(n))));
            meanwhile();
            for sender in senders {
                if let Err(panic) = sender.join() {
                    std::panic::resume_unwind(panic);
                }
            }
        });
    }

    /// A connection and a generator of one's own; `None` when the server is gone already.
    pub fn begin(&self, stream: u64) -> Option<(Client, Random)> {
        let client = Client::connect(self.address, ClientOptions::default()).ok()?;
        Some((client, Random::new(self.seed.wrapping_add(stream.wrapping_mul(0x9e37_79b9)))))
    }

    /// Sends every signal of the plan in its order, some at once a second time; then any of them until the end.
    fn send_plan(&self, plan: &[Planned], progress: &AtomicUsize) {
        let Some((mut client, mut random)) = self.begin(1) else { return };
        for signal in plan {
            for _ in 0..1 + usize::from(random.one_in(4)) {
                if post_signal(&mut client, self.promises, signal).is_none() {
                    return;
                }
            }
            progress.fetch_add(1, Ordering::Relaxed);
        }
        while post_signal(&mut client, self.promises, random.pick(plan)).is_some() {}
    }

    /// Sends signals around where the other sender is, now before it, now after, now at the same moment.
    fn race_plan(&self, plan: &[Planned], progress: &AtomicUsize) {
        let Some((mut client, mut random)) = self.begin(2) else { return };
        loop {
            let at = progress.load(Ordering::Relaxed);
            let place = (at + random.below(6)).saturating_sub(2).min(plan.len() - 1);
            if post_signal(&mut client, self.promises, &plan[place]).is_none() {
                return;
            }
        }
    }

    fn flood(&self, flooder: u64) {
        let Some((mut client, mut random)) = self.begin(10 + flooder) else { return };
        for n in 0_u64.. {
            let opens = !random.one_in(3);
            let action = random.pick(if opens { &OPENS[..] } else { &CLOSES[..] });
            let sender = format!("{}-flood{flooder}-{n}", self.round);
            let symbol = random.pick(&SYMBOLS);
            let body = signal_body(&self.people.flood, &sender, action, symbol);
            let signal = self.note(sender, None, opens, body);
            if post_signal(&mut client, self.promises, &signal).is_none() {
                return;
            }
        }
    }
}

/// Posts a signal and notes the promise. `Some(false)` when the server did not take it and said so; `None` when it is gone.
pub fn post_signal(client: &mut Client, promises: &Mutex<Promises>, signal: &Planned) -> Option<bool> {
    let (sender, body) = signal;
    // As TradingView sends it when the text ends with a newline.
    let answer = client.post("/api/webhooks/signal", "text/plain; charset=utf-8", body.as_bytes()).ok()?;
    let document: Value = serde_json::from_slice(&answer.body).expect("an answer is JSON");
    match answer.status {
        200 => {
            let duplicate = document["duplicate"].as_bool().expect("it says whether it is a repeat");
            locked(promises).signal(sender, text(&document, "id"), duplicate);
            Some(true)
        }
        429 | 503 if document["error"]["code"] != "shard_stopped" => Some(false),
        status => panic!("signal {body}: {status} {document}"),
    }
}
