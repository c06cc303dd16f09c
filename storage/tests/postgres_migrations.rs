//! The schema is brought up to date once, by whoever comes first, and nothing that does not belong together is.
#![allow(clippy::unwrap_used, reason = "tests")]

mod cluster;

use std::time::Duration;

use cluster::Cluster;
use storage::postgres::connect::{Connected, Role, Target, connect};
use storage::postgres::migrate::{MIGRATIONS, Migration, migrate};

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

async fn connected(url: &str) -> Connected {
    let target = Target::parse(url, None).unwrap();
    connect(&target, Role::Primary, Duration::from_secs(20)).await.unwrap()
}

#[test]
fn each_is_applied_once_and_a_changed_or_newer_one_is_refused() {
    let mut cluster = Cluster::start(0);
    let url = cluster.primary().url();
    let first = Migration { number: 1, name: "one", sql: "CREATE TABLE coinbitclub.one (n int)" };
    let second = Migration { number: 2, name: "two", sql: "CREATE TABLE coinbitclub.two (n int)" };
    let broken =
        Migration { number: 3, name: "three", sql: "CREATE TABLE coinbitclub.three (n int); SELECT 1/0" };
    run(async {
        let (one, other) = (connected(&url).await, connected(&url).await);
        let both = [first, second];
        let counts =
            futures_lite::future::zip(migrate(&one.client, &both), migrate(&other.client, &both)).await;
        assert_eq!(counts.0.unwrap() + counts.1.unwrap(), 2, "two servers that start together");
        assert_eq!(migrate(&one.client, &both).await.unwrap(), 0);

        let error = migrate(&one.client, &[first, second, broken]).await.unwrap_err().to_string();
        assert!(error.contains("migration 3 (three)") && error.contains("division by zero"), "{error}");
        let changed = Migration { sql: "CREATE TABLE coinbitclub.one (m int)", ..first };
        let error = migrate(&one.client, &[changed, second]).await.unwrap_err().to_string();
        assert!(error.contains("migration 1 (one) was applied with other contents"), "{error}");
        let error = migrate(&one.client, &[first]).await.unwrap_err().to_string();
        assert!(error.contains("has migration 2") && error.contains("up to 1"), "{error}");
    });
    assert_eq!(
        cluster.primary().psql("SELECT to_regclass('coinbitclub.three') IS NULL"),
        "t",
        "all or nothing"
    );
    assert_eq!(cluster.primary().psql("SELECT count(*) FROM coinbitclub.schema_migrations"), "2");
}

#[test]
fn the_schema_can_be_made() {
    let mut cluster = Cluster::start(0);
    let url = cluster.primary().url();
    run(async {
        let one = connected(&url).await;
        assert_eq!(migrate(&one.client, MIGRATIONS).await.unwrap(), MIGRATIONS.len());
    });
    assert_eq!(MIGRATIONS.iter().map(|one| one.number).collect::<Vec<_>>(), [1]);
}
