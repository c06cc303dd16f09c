//! A disk that fails or fills up: the shard says so and stops or waits, nothing acknowledged is lost, and where the disk is
//! only full it goes on as soon as there is room.

mod crash;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use api::cli::demo_users::decide;
use api::web::token;
use crash::calls::{Answer, call, try_call};
use crash::people::{Source, signal_body};
use crash::sim_server::{End, Fault, SEGMENT_BYTES, SimServer};
use crash::{Repeat, seed, wait_until};
use engine::core::auth::digest;
use engine::core::command::{Command, Reply};
use engine::core::ids::{SourceId, UserId};
use engine::core::rules::Settings;
use engine::core::user::VenueKind;
use engine::shard::runtime::HostEntropy;
use net::http::client::{Client, ClientOptions};
use serde_json::Value;

/// Subscribers of the source.
const TRADERS: usize = 5;
/// Signals that are acknowledged before anything goes wrong.
const BEFORE: usize = 30;
/// Bytes that a signal carries to fill the log: with a few of them, a block.
const FILLER: usize = 30_000;
/// Senders at work when a flush fails.
const SENDERS: usize = 16;

/// The server, its source, somebody's session, and what was acknowledged: the sender's id, the body, the signal's id.
struct World {
    server: SimServer,
    source: Source,
    session: String,
    acknowledged: Mutex<BTreeMap<String, (String, String)>>,
    _repeat: Repeat,
}

impl World {
    fn new(test: &str) -> Self {
        let seed = seed();
        let command =
            format!("COINBITCLUB_SEED={seed} cargo test -p coinbitclub --test crash_full_disk {test}");
        let server = SimServer::start(seed);
        let decide = |user, command| decide(server.lines(), user, command).expect("it is decided");
        let mut users = Vec::new();
        for n in 0..=TRADERS {
            let email = format!("user{n}@example.com");
            let user = UserId::from_email(&email);
            decide(user, Command::SignUp { email, password: "no hash".to_owned(), zone: String::new() });
            users.push(user);
        }
        let publisher = users[TRADERS];
        let secret = token::new_secret(publisher, &mut HostEntropy);
        let command_source = Command::CreateSource {
            user: publisher,
            name: "source".to_owned(),
            secret: digest(secret.as_bytes()),
        };
        assert!(matches!(decide(publisher, command_source), Reply::Source(_)));
        let source = SourceId { owner: publisher, index: 0 };
        for user in &users[..TRADERS] {
            decide(*user, Command::OpenAccount { user: *user, venue: VenueKind::Paper, wallet: None });
            let settings = Settings::default();
            decide(*user, Command::Subscribe { user: *user, source, account: 0, settings });
        }
        let session = token::new_session(users[0], &mut HostEntropy);
        decide(users[0], Command::OpenSession { user: users[0], token: digest(session.as_bytes()) });
        let source = Source { id: source.to_string(), secret };
        Self { server, source, session, acknowledged: Mutex::default(), _repeat: Repeat { command } }
    }

    fn client(&self) -> Client {
        Client::connect(self.server.address(), ClientOptions::default()).expect("the server listens")
    }

    /// Posts a signal; with `filler` bytes that nobody reads, to fill the log. `None` when the server is gone.
    fn post(&self, client: &mut Client, sender: &str, filler: usize) -> Option<Answer> {
        let action = if sender.len().is_multiple_of(2) { "buy" } else { "close" };
        let mut body: Value =
            serde_json::from_str(&signal_body(&self.source, sender, action, "ETHUSDT")).expect("JSON");
        body["filler"] = Value::String("x".repeat(filler));
        let (status, document) = try_call(client, "POST", "/api/signals", "", &body)?;
        if status == 200 {
            let id = crash::calls::text(&document, "id").to_owned();
            let before = self
                .acknowledged
                .lock()
                .expect("nobody failed")
                .insert(sender.to_owned(), (body.to_string(), id.clone()));
            assert!(before.is_none_or(|(_, earlier)| earlier == id), "{sender} is another signal now");
        }
        Some((status, document))
    }

    fn not_ready(&self, client: &mut Client) -> Option<String> {
        let (status, answer) = call(client, "GET", "/ready", "", &Value::Null);
        assert!(status == 200 || (status == 503 && answer["error"]["code"] == "not_ready"), "{answer}");
        (status != 200).then(|| answer["error"]["message"].to_string())
    }

    /// Every acknowledged signal is there: sent again, it is a repeat with the same id. The books are in order.
    fn check_acknowledged(&self) {
        let client = &mut self.client();
        let all = self.acknowledged.lock().expect("nobody failed").clone();
        for (sender, (body, id)) in &all {
            let body: Value = serde_json::from_str(body).expect("JSON");
            let (status, answer) = call(client, "POST", "/api/signals", "", &body);
            assert_eq!(status, 200, "{answer}");
            assert_eq!(answer["id"].as_str(), Some(id.as_str()), "{sender} was acknowledged");
            assert_eq!(answer["duplicate"], Value::Bool(true), "{sender} is accepted once");
        }
        crash::settled::status(client);
    }

    fn acknowledged(&self) -> usize {
        self.acknowledged.lock().expect("nobody failed").len()
    }
}

fn stopped(answer: &Answer) -> bool {
    answer.0 == 503 && answer.1["error"]["code"] == "shard_stopped"
}

/// A failed write or sync: whoever waited and whoever comes is told that the shard has stopped; a restart has it all.
fn a_failure_stops_the_shard(test: &str, fault: Fault, end: End) {
    let mut world = World::new(test);
    let client = &mut world.client();
    for n in 0..BEFORE {
        let answer = world.post(client, &format!("before {n}"), 0).expect("it lives");
        assert_eq!(answer.0, 200, "{answer:?}");
    }
    assert_eq!(world.not_ready(client), None);
    world.server.fault(fault);
    // Several at once, so that some wait for the failed flush itself and others for the one after it.
    std::thread::scope(|scope| {
        let world = &world;
        for sender in 0..SENDERS {
            scope.spawn(move || {
                let client = &mut world.client();
                let mut n = 0;
                wait_until("the fault is noticed", || {
                    n += 1;
                    let answer =
                        world.post(client, &format!("meanwhile {sender} {n}"), FILLER).expect("it lives");
                    assert!(answer.0 == 200 || stopped(&answer), "whoever waited is told: {answer:?}");
                    (answer.0 == 200).then(|| format!("{n} signals were acknowledged"))
                });
            });
        }
    });
    wait_until("it is not ready", || match world.not_ready(client) {
        Some(why) if why.contains("log has failed") && why.contains("restart") => None,
        other => Some(format!("{other:?}")),
    });
    for n in 0..3 {
        let answer = world.post(client, &format!("after {n}"), 0).expect("it lives");
        assert!(stopped(&answer), "nothing is taken any more: {answer:?}");
        let answer = call(client, "GET", "/api/orders", &world.session, &Value::Null);
        assert!(stopped(&answer), "nothing is shown that may not be durable: {answer:?}");
    }
    assert_eq!(call(client, "GET", "/health", "", &Value::Null).0, 200, "the process lives and answers");
    world.server.restart(end);
    let client = &mut world.client();
    wait_until("it is ready again", || world.not_ready(client));
    world.check_acknowledged();
    assert!(world.acknowledged() >= BEFORE, "the load was real");
    let answer = world.post(client, "fresh", 0).expect("it lives");
    assert_eq!(answer.0, 200, "it works again: {answer:?}");
}

#[test]
fn a_failed_sync_stops_the_shard_and_loses_nothing_acknowledged() {
    let test = "a_failed_sync_stops_the_shard_and_loses_nothing_acknowledged";
    a_failure_stops_the_shard(test, Fault::Sync, End::PowerFailure);
    a_failure_stops_the_shard(test, Fault::Sync, End::InOrder);
}

#[test]
fn a_failed_write_stops_the_shard_and_loses_nothing_acknowledged() {
    let test = "a_failed_write_stops_the_shard_and_loses_nothing_acknowledged";
    a_failure_stops_the_shard(test, Fault::Write, End::PowerFailure);
    a_failure_stops_the_shard(test, Fault::Write, End::InOrder);
}

/// Ends the sender however the scope it is in ends, so that a failure is told and not waited for.
struct Enough<'a>(&'a AtomicBool);

impl Drop for Enough<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Fills the disk; gives control to `then` once the log waits for room.
fn with_a_full_disk(test: &str, then: impl FnOnce(&World, &AtomicBool)) -> World {
    let world = World::new(test);
    for n in 0..BEFORE {
        let answer = world.post(&mut world.client(), &format!("before {n}"), 0).expect("it lives");
        assert_eq!(answer.0, 200, "{answer:?}");
    }
    world.server.fault(Fault::Full);
    let enough = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (world, enough) = (&world, &enough);
        let _ended = Enough(enough);
        let filling = scope.spawn(move || {
            let client = &mut world.client();
            let mut n = 0;
            while !enough.load(Ordering::Relaxed) {
                n += 1;
                // An answer that never comes is the end of this sender: it is checked that nothing was lost.
                let Some((status, answer)) = world.post(client, &format!("filling {n}"), FILLER) else {
                    return;
                };
                assert!(status == 200 || status == 429, "{answer}");
            }
        });
        let client = &mut world.client();
        let shard = &world.server.gauges().shards[0];
        wait_until("it says that the disk is full", || match world.not_ready(client) {
            Some(why) if why.contains("the disk is full") => None,
            other => Some(format!("{other:?}")),
        });
        wait_until("the log waits for room", || {
            let stalls = shard.log_stalls.load(Ordering::Relaxed);
            (stalls == 0).then(|| format!("{} acknowledged", world.acknowledged()))
        });
        assert_eq!(call(client, "GET", "/health", "", &Value::Null).0, 200, "it lives and answers");
        assert!(!shard.failed.load(Ordering::Relaxed), "a full disk is no failure");
        then(world, enough);
        filling.join().expect("the sender found nothing wrong");
    });
    world
}

#[test]
fn a_full_disk_loses_nothing_acknowledged_and_is_left_behind_when_there_is_room() {
    let test = "a_full_disk_loses_nothing_acknowledged_and_is_left_behind_when_there_is_room";
    let mut world = with_a_full_disk(test, |world, enough| {
        let before = world.acknowledged();
        world.server.fault(Fault::Room);
        let client = &mut world.client();
        wait_until("it is ready again", || world.not_ready(client));
        let wanted = before + usize::try_from(2 * SEGMENT_BYTES / FILLER as u64).expect("a few dozen");
        wait_until("what waited is acknowledged, and much more", || {
            let now = world.acknowledged();
            (now < wanted).then(|| format!("{now} of {wanted}"))
        });
        enough.store(true, Ordering::Relaxed);
    });
    world.check_acknowledged();
    world.server.restart(End::PowerFailure);
    world.check_acknowledged();
}

#[test]
fn a_server_whose_disk_is_full_ends_in_order_and_has_lost_nothing_acknowledged() {
    let test = "a_server_whose_disk_is_full_ends_in_order_and_has_lost_nothing_acknowledged";
    let mut world = with_a_full_disk(test, |world, enough| {
        enough.store(true, Ordering::Relaxed);
        world.server.end(End::InOrder);
    });
    world.server.next();
    world.check_acknowledged();
}
