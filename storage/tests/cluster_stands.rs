//! The ground of every test that needs PostgreSQL: replicas follow, a killed primary comes back, a replica takes over.

mod cluster;

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use cluster::{Cluster, Options, wait_for};

#[test]
fn rows_reach_both_replicas_and_outlive_a_kill_and_a_promotion() {
    let cluster = Cluster::start_with(&Options { replicas: 2, scram: true, ..Options::default() });
    let (primary, first, second) = (cluster.primary(), cluster.replica(1), cluster.replica(2));
    primary.psql("create table rows (number int primary key); insert into rows values (1)");
    for replica in [first, second] {
        cluster.catch_up(replica, primary);
        assert_eq!(replica.psql("select number from rows"), "1");
        assert!(replica.try_psql("insert into rows values (9)").unwrap_err().contains("read-only"));
    }

    first.pause_replay();
    primary.psql("insert into rows values (2)");
    cluster.catch_up(second, primary);
    assert_eq!(first.psql("select max(number) from rows"), "1");
    first.resume_replay();
    cluster.catch_up(first, primary);
    assert_eq!(first.psql("select max(number) from rows"), "2");

    let url = primary.url();
    primary.kill();
    assert!(primary.try_psql("select 1").is_err());
    primary.restart();
    assert_eq!(primary.url(), url, "an address stays valid");
    assert_eq!(primary.psql("select max(number) from rows"), "2");
    primary.psql("insert into rows values (3)");
    cluster.catch_up(first, primary);

    primary.kill();
    first.promote();
    first.psql("insert into rows values (4)");
    cluster.rejoin(primary, first);
    cluster.catch_up(primary, first);
    assert_eq!(primary.psql("select pg_is_in_recovery(), max(number) from rows"), "t|4");
}

#[test]
fn a_frozen_server_takes_connections_and_answers_none() {
    let cluster = Cluster::start(0);
    let primary = cluster.primary();
    primary.pause();
    // The kernel still completes the handshake.
    assert!(TcpStream::connect(("127.0.0.1", primary.port())).is_ok());
    assert!(primary.try_psql("select 1").unwrap_err().contains("timeout expired"));
    primary.resume();
    wait_for("a server that goes on answers", || primary.try_psql("select 1") == Ok("1".to_owned()));
    primary.stop();
    assert!(primary.try_psql("select 1").unwrap_err().contains("Connection refused"));
}

/// Set for the process that is to be killed.
const VICTIM: &str = "COINBITCLUB_TEST_VICTIM";

#[test]
fn what_a_killed_test_run_leaves_behind_is_removed() {
    if std::env::var_os(VICTIM).is_some() {
        let cluster = Cluster::start(1);
        println!("cluster {} {}", cluster.directory().display(), cluster.primary().port());
        wait_for("this process is killed", || false);
    }
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "what_a_killed_test_run_leaves_behind_is_removed", "--nocapture"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let line = lines.map(Result::unwrap).find(|line| line.contains("cluster /")).unwrap();
    let words: Vec<&str> = line.split_whitespace().rev().collect();
    let (port, directory): (u16, _) = (words[0].parse().unwrap(), Path::new(words[1]));
    victim.kill().unwrap();
    victim.wait().unwrap();
    assert!(
        TcpStream::connect(("127.0.0.1", port)).is_ok() && directory.exists(),
        "servers outlive their test"
    );

    let _next = Cluster::start(0);
    assert!(!directory.exists());
    wait_for("the server is gone", || TcpStream::connect(("127.0.0.1", port)).is_err());
}
