//! The real program on a real file system that fills up, and on a device that fails: what is acknowledged stays, closes are
//! taken as long as the log has room, it goes on when there is room again, also after kill -9 meanwhile; a failing device
//! stops the shard, which says so, and a repaired one has everything.

mod crash;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use crash::calls::{Answer, call, text, try_call};
use crash::loop_disk::LoopDisk;
use crash::people::{RULES, Source, create_source, sign_up, signal_body, subscription};
use crash::server::{Ending, Place, Server};
use crash::{files, settled, wait_until};
use net::http::client::Client;
use serde_json::{Value, json};

/// Bytes of the file system.
const DISK_BYTES: u64 = 24 << 20;
/// Bytes that a signal carries to fill the log.
const FILLER: usize = 30_000;
/// Subscribers of the source.
const TRADERS: usize = 3;

/// The source, and what was acknowledged: the sender's id, the body, the signal's id.
struct World {
    place: Place,
    source: Source,
    acknowledged: Mutex<BTreeMap<String, (Value, String)>>,
}

impl World {
    fn new(disk: &LoopDisk) -> (Self, Server) {
        let place = Place::new(&disk.root, RULES);
        let server = place.start(1);
        let client = &mut server.client();
        let publisher = sign_up(client, "publisher@example.com".to_owned());
        let source = create_source(client, &publisher, "source");
        for n in 0..TRADERS {
            let trader = sign_up(client, format!("trader{n}@example.com"));
            crash::calls::post(client, "/api/accounts", &trader.token, &json!({ "venue": "paper" }), 201);
            crash::calls::post(
                client,
                "/api/subscriptions",
                &trader.token,
                &subscription(n, &source, 5),
                200,
            );
        }
        (Self { place, source, acknowledged: Mutex::default() }, server)
    }

    /// Posts a signal; `None` when the server is gone.
    fn post(&self, client: &mut Client, sender: &str, action: &str, filler: usize) -> Option<Answer> {
        let text_body = signal_body(&self.source, sender, action, "ETHUSDT");
        let mut body: Value = serde_json::from_str(&text_body).expect("JSON");
        body["filler"] = Value::String("x".repeat(filler));
        let (status, document) = try_call(client, "POST", "/api/signals", "", &body)?;
        if status == 200 {
            let promise = (body, text(&document, "id").to_owned());
            self.acknowledged.lock().expect("nobody failed").insert(sender.to_owned(), promise);
        }
        Some((status, document))
    }

    fn taken(&self, client: &mut Client, sender: &str, action: &str) {
        let answer = self.post(client, sender, action, 0).expect("it lives");
        assert_eq!(answer.0, 200, "{sender}: {answer:?}");
    }

    /// Every acknowledged signal is a repeat with the same id, and the books sum to zero.
    fn has_all(&self, server: &Server) {
        let client = &mut server.client();
        for (sender, (body, id)) in self.acknowledged.lock().expect("nobody failed").iter() {
            let (status, answer) = call(client, "POST", "/api/signals", "", body);
            assert_eq!((status, answer["id"].as_str()), (200, Some(id.as_str())), "{sender}: {answer}");
            assert_eq!(answer["duplicate"], Value::Bool(true), "{sender} is accepted once: {answer}");
        }
        settled::status(client);
    }

    fn count(&self) -> usize {
        self.acknowledged.lock().expect("nobody failed").len()
    }

    /// Fills disk and log; gives control to `then` once the log waits for room, while a signal waits for its answer.
    fn with_full_disk(
        &self,
        server: &mut Server,
        disk: &LoopDisk,
        round: &str,
        then: impl FnOnce(&mut Server),
    ) {
        disk.fill();
        let client = &mut server.client();
        let mut n = 0;
        // One after another, so that the log still has room when it is first said that the disk has none.
        wait_until("it says that the disk is full", || {
            n += 1;
            let answer = self.post(client, &format!("{round} {n}"), "buy", FILLER).expect("it lives");
            assert!(answer.0 == 200 || answer.0 == 429, "{answer:?}");
            let why = not_ready(client);
            (!why.as_ref().is_some_and(|why| why.contains("the disk is full"))).then(|| format!("{why:?}"))
        });
        self.taken(client, &format!("{round} open with room in the log"), "buy");
        self.taken(client, &format!("{round} close with room in the log"), "close");
        std::thread::scope(|scope| {
            let _ending = Ending(server.address);
            let mut sending = server.client();
            let filling = scope.spawn(move || {
                // Ends with the server, or when what waited was taken.
                for n in 0.. {
                    let sender = format!("{round} until the log is full {n}");
                    let Some((status, answer)) = self.post(&mut sending, &sender, "close", FILLER) else {
                        return;
                    };
                    assert!(status == 200 || status == 429, "{answer}");
                    if not_ready(&mut sending).is_none() {
                        return;
                    }
                }
            });
            // What asks a shard is not answered meanwhile, so the files are asked: the next signal does not fit any more.
            wait_until("the log waits for room", || {
                let room = room_in_log(&self.place.data());
                (room >= FILLER).then(|| format!("{room} bytes, {} acknowledged", self.count()))
            });
            assert_eq!(call(client, "GET", "/health", "", &Value::Null).0, 200, "it lives and answers");
            then(server);
            filling.join().expect("the sender found nothing wrong");
        });
    }
}

/// Bytes after the last block of the newest segment, read past the page cache, for the server goes on writing.
fn room_in_log(data: &Path) -> usize {
    let newest = files::segments(data).pop().expect("there is a log");
    let read =
        Command::new("dd").arg(format!("if={}", newest.display())).args(["bs=1M", "iflag=direct"]).output();
    let bytes = read.expect("dd is there").stdout;
    bytes.len() - bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1).next_multiple_of(4096)
}

/// What `/ready` says when it is not.
fn not_ready(client: &mut Client) -> Option<String> {
    let (status, answer) = call(client, "GET", "/ready", "", &Value::Null);
    (status != 200).then(|| answer["error"]["message"].to_string())
}

#[test]
fn a_full_file_system_loses_nothing_and_is_left_behind_when_there_is_room() {
    let Some(disk) = LoopDisk::new(DISK_BYTES) else { return };
    let (world, mut server) = World::new(&disk);
    for n in 0..10 {
        world.taken(&mut server.client(), &format!("before {n}"), if n % 2 == 0 { "buy" } else { "close" });
    }
    world.with_full_disk(&mut server, &disk, "first", |server| {
        disk.make_room();
        wait_until("it is ready again", || not_ready(&mut server.client()));
    });
    world.taken(&mut server.client(), "after the first time", "buy");
    world.has_all(&server);
    world.with_full_disk(&mut server, &disk, "second", Server::kill);
    // On the full disk it starts when its last segment has room for a page, or says what is missing; never anything else.
    match world.place.begin(1).serving_or_ended() {
        Ok(server) => world.has_all(&server),
        Err(status) => {
            let logged = world.place.logged();
            assert_eq!(status.code(), Some(1), "{logged}");
            assert!(
                logged.contains("no space on the disk") && logged.contains("seg-"),
                "it says what is missing: {logged}"
            );
        }
    }
    let digest = world.place.digest();
    disk.make_room();
    assert_eq!(world.place.digest(), digest);
    let server = world.place.start(2);
    world.has_all(&server);
    world.taken(&mut server.client(), "with room", "close");
    assert!(server.stop().success());
    world.has_all(&world.place.start(1));
}

#[test]
fn a_failing_device_stops_the_shard_and_a_repaired_one_has_everything() {
    let Some(mut disk) = LoopDisk::new(DISK_BYTES) else { return };
    let (world, mut server) = World::new(&disk);
    let client = &mut server.client();
    for n in 0..10 {
        world.taken(client, &format!("before {n}"), "buy");
    }
    disk.fail_segments();
    // Whoever asks is told, until the process ends by itself: a new one recovers what this one cannot know any more.
    let mut n = 0;
    wait_until("the failure ends the process", || {
        n += 1;
        let (status, answer) = world.post(client, &format!("meanwhile {n}"), "close", 0)?;
        let stopped = status == 503 && answer["error"]["code"] == "shard_stopped";
        assert!(stopped, "nothing can be durable any more: {status} {answer}");
        let (status, answer) = try_call(client, "GET", "/ready", "", &Value::Null)?;
        let why = answer["error"]["message"].to_string();
        assert!(status == 503 && why.contains("log has failed") && why.contains("restart"), "{status} {why}");
        Some(format!("{n} signals were answered"))
    });
    let logged = (server.ended().code(), world.place.logged());
    assert_eq!(logged.0, Some(1), "{}", logged.1);
    for part in ["seg-", "Input/output error", "the log has failed", "Restart recovers"] {
        assert!(logged.1.contains(part), "it says {part:?}: {}", logged.1);
    }
    let (status, message) = world.place.refused(1);
    assert_eq!(status.code(), Some(1), "{message}");
    assert!(message.contains("seg-") && message.contains("Input/output error"), "it says where: {message}");
    disk.repair();
    let server = world.place.start(1);
    world.has_all(&server);
    world.taken(&mut server.client(), "after the repair", "close");
    assert!(server.stop().success());
}
