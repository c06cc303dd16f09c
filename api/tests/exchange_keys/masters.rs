//! Master keys of a running server: a wrong one, a rotation, and backups.

use std::path::Path;

use api::server::{self, Server};
use api::vault::master::MasterKeys;
use engine::core::ids::{Timestamp, UserId};
use engine::core::key::KeyFinding;
use engine::shard::ports::owner;
use serde_json::{Value, json};

use crate::http::{self, send, sign_up};
use crate::log_lines::logged;
use crate::{account, accounts, client, config, key, master, private, report, start};

#[test]
fn a_wrong_master_key_ends_the_start_with_what_to_do() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = start(dir.path(), 2);
    let mut one = client(&server);
    let ana = sign_up(&mut one, "ana@master.example.com");
    let body = account("bybit", "mainnet", &key("nameOfTheKey1234", "secret"));
    assert_eq!(send(&mut one, "POST", "/api/accounts", &ana.token, &body).status, 201);
    server.stop().expect("ends");
    let start_with = |masters, accept| {
        let mut config = config(dir.path(), 2, masters);
        config.accept_unreadable_keys = accept;
        server::start(&config)
    };
    let told = start_with(Some(MasterKeys::one(master(2))), false).err().expect("refused").to_string();
    for part in
        ["1 of 1", &master(1).id().to_string(), &master(2).id().to_string(), "--accept-unreadable-keys"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains(&master(2).to_base64()[..10]), "{told}");
    // Without one, and without an exchange: paper goes on, and the keys stay where they are.
    start_with(None, false).expect("starts").stop().expect("ends");
    // Lost for good: the account says so, and takes a new key.
    let server = start_with(Some(MasterKeys::one(master(2))), true).expect("starts");
    let mut client = client(&server);
    let token = http::log_in(&mut client, &ana.email);
    assert_eq!(accounts(&mut client, &token)[0]["key_health"], "unreadable");
    let put =
        send(&mut client, "PUT", "/api/accounts/0/key", &token, &key("nameOfTheKey5678", "s").to_string());
    assert_eq!(put.status, 200);
    server.stop().expect("ends");
    start_with(Some(MasterKeys::one(master(2))), false).expect("starts").stop().expect("ends");
}

/// A fresh master key in front of the old one: the next start seals every key anew, for good, and nothing else of it changes.
#[test]
fn a_rotation_of_the_master_key_ends_with_the_next_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let start_with = |masters| server::start(&config(dir.path(), 2, Some(masters)));
    let server = start_with(MasterKeys::one(master(21))).expect("starts");
    let mut desk = client(&server);
    let mut people = Vec::new();
    for (name, venue) in [("ana", "bybit"), ("bea", "bybit"), ("cleo", "binance"), ("dora", "binance")] {
        let person = sign_up(&mut desk, &format!("{name}@rotation.example.com"));
        let environment = if venue == "bybit" { "mainnet" } else { "testnet" };
        let body = account(venue, environment, &key(&format!("nameOfKey-{name}"), "secret"));
        assert_eq!(send(&mut desk, "POST", "/api/accounts", &person.token, &body).status, 201);
        let healthy = KeyFinding { verdict: Ok(()), expires_at: Timestamp(0), identity: Some([1; 16]) };
        report(&server, &person.email, 0, 1, healthy);
        people.push(person);
    }
    let shown = |server: &Server, people: &[http::Person]| {
        let mut desk = client(server);
        let mut shown = Vec::new();
        for person in people {
            let token = http::log_in(&mut desk, &person.email);
            shown.push(accounts(&mut desk, &token));
        }
        shown
    };
    // Each shard seals those of its own people.
    let shards: std::collections::BTreeSet<_> =
        people.iter().map(|person| owner(UserId::from_email(&person.email), 2)).collect();
    assert_eq!(shards.len(), 2);
    let before = shown(&server, &people);
    server.stop().expect("ends");
    let list = format!("{}\n{}", *master(22).to_base64(), *master(21).to_base64());
    let both = MasterKeys::parse(&list, "test").expect("two");
    let server = start_with(both).expect("starts");
    assert_eq!(shown(&server, &people), before, "the keys are the same");
    server.stop().expect("ends");
    // The old one is not needed any more; alone it is of no use.
    let server = start_with(MasterKeys::one(master(22))).expect("starts without the old one");
    assert_eq!(shown(&server, &people), before);
    server.stop().expect("ends");
    let told = start_with(MasterKeys::one(master(21))).err().expect("refused").to_string();
    assert!(told.contains("4 of 4") && told.contains(&master(22).id().to_string()), "{told}");
    // Said once: no other start had anything to do.
    let output = String::from_utf8_lossy(&logged().so_far()).into_owned();
    let said = |line: &&str| {
        line.contains("are sealed under the current one") && line.contains(&master(22).id().to_string())
    };
    let said: Vec<&str> = output.lines().filter(said).collect();
    assert!(said.len() == 1 && said[0].contains("keys=4"), "{said:?}");
}

/// A backup says which master keys the exchange keys in it need, and never one itself; a restore with another one writes nothing.
#[test]
fn a_backup_says_which_master_key_it_needs_and_a_restore_wants_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let (data, copy, again) = (dir.path().join("data"), dir.path().join("copy"), dir.path().join("again"));
    let server = start(&data, 2);
    let mut client = client(&server);
    for (name, venue) in
        [("ana", ("bybit", "mainnet")), ("bea", ("bybit", "mainnet")), ("cleo", ("binance", "testnet"))]
    {
        let person = sign_up(&mut client, &format!("{name}@backup.example.com"));
        let body = account(venue.0, venue.1, &key(&format!("nameOfKey-{name}"), "secret"));
        assert_eq!(send(&mut client, "POST", "/api/accounts", &person.token, &body).status, 201);
    }
    server.stop().expect("ends");
    let run = |arguments: &[&str], paths: &[(&str, &Path)]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_coinbitclub"));
        command.args(arguments).env_remove("COINBITCLUB_MASTER_KEY").env_remove("CREDENTIALS_DIRECTORY");
        for (name, path) in paths {
            command.arg(name).arg(path);
        }
        let ended = command.output().expect("runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (ended.status.success(), text(ended.stdout), text(ended.stderr))
    };
    let (ok, said, why) = run(&["backup"], &[("--data", &data), ("--to", &copy)]);
    assert!(ok, "{why}");
    let needed = format!("3 exchange keys need the master key {}", master(1).id());
    assert!(said.contains(&needed), "{said}");
    let text = std::fs::read_to_string(copy.join("MANIFEST.json")).expect("the manifest");
    let manifest: Value = serde_json::from_str(&text).expect("JSON");
    let expected = json!([{ "master_key": master(1).id().to_string(), "sealed": 3 }]);
    assert_eq!(manifest["manifest"]["keys"], expected);
    assert!(!text.contains(&master(1).to_base64()[..10]));

    let (wrong, both) = (dir.path().join("wrong"), dir.path().join("both"));
    private(&wrong, &master(2).to_base64());
    private(&both, &format!("{}\n{}", *master(2).to_base64(), *master(1).to_base64()));
    let restore = |more: &[&str], masters: &Path| {
        let mut arguments = vec!["restore"];
        arguments.extend(more);
        run(&arguments, &[("--from", &copy), ("--data", &again), ("--master-key-file", masters)])
    };
    let now = jiff::Timestamp::now().to_string();
    // At once for the whole; of a point in time, once it is known which keys there were.
    for point in [&[][..], &["--at", &now]] {
        let (ok, _, told) = restore(point, &wrong);
        let ids = [master(1).id().to_string(), master(2).id().to_string()];
        assert!(!ok && told.contains("nothing was restored: 3 of 3") && !again.exists(), "{told}");
        assert!(ids.iter().all(|id| told.contains(id)), "{told}");
        let half = dir.path().join("again.restoring");
        assert_eq!(half.exists(), !point.is_empty());
        if half.exists() {
            std::fs::remove_dir_all(half).expect("removed");
        }
    }
    let (ok, _, told) = restore(&[], &both);
    assert!(ok, "{told}");
    start(&again, 2).stop().expect("ends");
    let third = dir.path().join("third");
    let (ok, said, told) = run(&["restore"], &[("--from", &copy), ("--data", &third)]);
    assert!(ok && said.contains(&needed), "{said}{told}");
    // And a start with the wrong one says so.
    let told = server::start(&config(&third, 2, Some(MasterKeys::one(master(2))))).err().expect("refused");
    assert!(told.to_string().contains("3 of 3"), "{told}");
}
