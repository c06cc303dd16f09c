//! Migrations are applied in order and once, whoever else starts, and a database they do not explain is left alone.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "cluster/mod.rs"]
mod cluster;

use std::time::Duration;

use cluster::{Cluster, Node};
use storage::postgres::migrate::{MigrateError, Migrated, Migration, migrate, migrate_within};
use storage::postgres::target::Target;

const FIRST: Migration = Migration { number: 1, name: "rows", sql: "create table coinbitclub.rows (n int);" };
const SECOND: Migration = Migration {
    number: 2,
    name: "seed",
    sql: "select pg_sleep(0.2);\ninsert into coinbitclub.rows values (7);",
};
const BROKEN: Migration = Migration {
    number: 3,
    name: "broken",
    sql: "insert into coinbitclub.rows values (8);\nselect ü, nonsense;\n",
};
const LIST: &[Migration] = &[FIRST, SECOND];

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn target(node: &Node) -> Target {
    Target::parse(&node.url_without_password(), None).unwrap()
}

fn refused(node: &Node, list: &[Migration]) -> String {
    block_on(migrate(&target(node), list)).unwrap_err().to_string()
}

#[test]
fn migrations_are_applied_once_and_only_to_a_database_they_explain() {
    let cluster = Cluster::start(1);
    let primary = cluster.primary();
    let target = target(primary);

    // Two servers that start together.
    let mut applied = std::thread::scope(|scope| {
        let server = || scope.spawn(|| block_on(migrate(&target, LIST)).unwrap());
        [server(), server()].map(|server| server.join().unwrap())
    });
    applied.sort_by_key(|migrated| migrated.applied);
    assert_eq!(applied, [Migrated { number: 2, applied: 0 }, Migrated { number: 2, applied: 2 }]);
    assert_eq!(primary.psql("select n from coinbitclub.rows"), "7");
    let records =
        "select number, name, sha256, applied_at <= now() from coinbitclub.schema_migrations order by 1";
    let (one, two) = (FIRST.sha256(), SECOND.sha256());
    assert_eq!(primary.psql(records), format!("1|rows|{one}|t\n2|seed|{two}|t"));
    assert_eq!(one.len(), 64);

    // One that fails leaves nothing of itself, says where, and frees the lock.
    let error = refused(primary, &[FIRST, SECOND, BROKEN]);
    assert!(error.contains("0003_broken, line 2,") && error.contains("does not exist"), "{error}");
    assert_eq!(primary.psql("select count(*) from coinbitclub.rows"), "1");
    assert_eq!(block_on(migrate(&target, LIST)).unwrap(), Migrated { number: 2, applied: 0 });

    // Lists and databases that do not belong together.
    let error = refused(primary, &[FIRST, BROKEN]);
    assert!(error.contains("0003_broken stands where number 2"), "{error}");
    let error = refused(primary, &[FIRST]);
    assert!(error.contains("is at 0002_seed") && error.contains("up to 0001"), "{error}");
    let edited = Migration { sql: "create table coinbitclub.rows (n bigint);", ..FIRST };
    let error = refused(primary, &[edited, SECOND]);
    assert!(error.contains("0001_rows was applied on 20") && error.contains(&edited.sha256()), "{error}");
    let renamed = Migration { name: "lines", ..FIRST };
    let error = refused(primary, &[renamed, SECOND]);
    assert!(error.contains("0001_lines") && error.contains("as rows"), "{error}");
    primary.psql("delete from coinbitclub.schema_migrations where number = 1");
    let error = refused(primary, LIST);
    assert!(error.contains("has 0002_seed but no record of migration 0001"), "{error}");

    // A replica cannot be migrated.
    let error = refused(cluster.replica(1), LIST);
    assert!(error.contains("takes no writes"), "{error}");
}

#[test]
fn a_server_that_migrates_for_ever_is_not_waited_for_for_ever() {
    let cluster = Cluster::start(0);
    let target = target(cluster.primary());
    block_on(async {
        let (holder, connection) =
            tokio_postgres::connect(&cluster.primary().url(), tokio_postgres::NoTls).await.unwrap();
        let driver = tokio::spawn(connection);
        holder.execute("select pg_advisory_lock($1)", &[&0x6362_636d_6967_7261_i64]).await.unwrap();
        let error = migrate_within(&target, LIST, Duration::from_millis(50)).await.unwrap_err();
        assert!(matches!(error, MigrateError::Locked(_)), "{error}");
        assert!(error.to_string().contains("50ms"), "{error}");
        drop(holder);
        driver.await.unwrap().unwrap();
        assert_eq!(migrate(&target, LIST).await.unwrap().applied, 2);
    });
}
