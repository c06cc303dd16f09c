//! The servers of the other tests do what they are there for: stream, survive kill -9, take over.
#![allow(clippy::unwrap_used, reason = "tests")]

mod cluster;

use cluster::{Cluster, wait_until};

fn sees(cluster: &mut Cluster, node: usize, rows: &str) {
    let node = &cluster.nodes[node];
    wait_until("the row arrives", || match node.try_psql(cluster::NAME, "SELECT count(*) FROM t") {
        Ok(count) if count == rows => Ok(()),
        other => Err(format!("{}: {other:?}", node.name)),
    });
}

#[test]
fn a_primary_streams_to_its_replicas_and_one_takes_over() {
    let mut cluster = Cluster::start(2);
    cluster.primary().psql("CREATE TABLE t (n int); INSERT INTO t VALUES (1)");
    for replica in [1, 2] {
        sees(&mut cluster, replica, "1");
        assert_eq!(cluster.replica(replica).psql("SELECT pg_is_in_recovery()"), "t");
    }
    cluster.primary().kill();
    cluster.primary().restart();
    cluster.primary().psql("INSERT INTO t VALUES (2)");
    sees(&mut cluster, 1, "2");
    cluster.replica(2).pause();
    cluster.replica(2).resume();
    sees(&mut cluster, 2, "2");
    cluster.primary().stop();
    cluster.replica(1).promote();
    cluster.replica(1).psql("INSERT INTO t VALUES (3)");
    sees(&mut cluster, 1, "3");
}
