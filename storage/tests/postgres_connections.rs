//! Connections find the host with the asked role in bounded time, with TLS as strict as asked, and show no password.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "cluster/mod.rs"]
mod cluster;

use std::time::Duration;

use cluster::{Cluster, Options, PASSWORD, WAIT_MAX};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use storage::postgres::connect::{ConnectError, ConnectFault, Connected, Role, connect};
use storage::postgres::password::Password;
use storage::postgres::target::{SessionSettings, SynchronousCommit, Target};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn target(url: &str) -> Target {
    Target::parse(url, Some(&Password::new(PASSWORD))).unwrap()
}

async fn setting(connected: &Connected, name: &str) -> String {
    connected.query_one("select current_setting($1)", &[&name]).await.unwrap().get(0)
}

#[test]
fn the_host_with_the_role_is_found() {
    let cluster = Cluster::start_with(&Options { replicas: 1, scram: true, ..Options::default() });
    let (primary, replica) = (cluster.primary(), cluster.replica(1));
    let places = [primary, replica].map(|node| format!("127.0.0.1:{}", node.port()));
    let both = target(&format!("postgresql://coinbitclub@{},{}/coinbitclub", places[1], places[0]));
    block_on(async {
        let identifier = primary.psql("select system_identifier from pg_control_system()");
        for (role, place, in_recovery) in [
            (Role::Primary, &places[0], false),
            (Role::Replica, &places[1], true),
            (Role::Any, &places[1], true),
        ] {
            let connected = connect(&both, role, WAIT_MAX).await.unwrap();
            assert_eq!((connected.place(), connected.in_recovery()), (place.as_str(), in_recovery));
            assert_eq!(connected.system_identifier().to_string(), identifier);
        }

        let settings = SessionSettings {
            statement_timeout: Duration::from_millis(2_500),
            idle_in_transaction_timeout: Duration::from_secs(7),
            synchronous_commit: SynchronousCommit::RemoteApply,
            read_only: true,
        };
        let connected =
            connect(&both.clone().with_settings(settings), Role::Primary, WAIT_MAX).await.unwrap();
        for (name, expected) in [
            ("application_name", "coinbitclub"),
            ("TimeZone", "UTC"),
            ("statement_timeout", "2500ms"),
            ("idle_in_transaction_session_timeout", "7s"),
            ("synchronous_commit", "remote_apply"),
            ("transaction_read_only", "on"),
        ] {
            assert_eq!(setting(&connected, name).await, expected, "{name}");
        }

        let wrong = Target::parse(&replica.url_without_password(), Some(&Password::new("mistaken"))).unwrap();
        let error = connect(&wrong, Role::Any, WAIT_MAX).await.unwrap_err();
        let text = format!("{error} {error:?} {wrong:?}");
        assert!(error.to_string().contains(&format!("{}: ", places[1])), "{text}");
        assert!(text.contains("password authentication failed") && !text.contains("mistaken"), "{text}");

        let only_replica = target(&replica.url_without_password());
        let fault =
            |role: Role, place: &str, fault| ConnectError { role, tried: vec![(place.to_owned(), fault)] };
        assert_eq!(
            connect(&only_replica, Role::Primary, WAIT_MAX).await.unwrap_err(),
            fault(Role::Primary, &places[1], ConnectFault::NotPrimary)
        );
        assert_eq!(
            connect(&target(&primary.url_without_password()), Role::Replica, WAIT_MAX).await.unwrap_err(),
            fault(Role::Replica, &places[0], ConnectFault::NotReplica)
        );

        // A frozen host takes its share of the time and no more.
        replica.pause();
        let error = connect(&only_replica, Role::Any, Duration::from_millis(200)).await.unwrap_err();
        assert!(matches!(error.tried[0].1, ConnectFault::TimedOut(_)), "{error}");
        let connected = connect(&both, Role::Any, Duration::from_secs(10)).await.unwrap();
        assert_eq!(connected.place(), places[0]);
        replica.resume();

        primary.stop();
        let error = connect(&both, Role::Primary, WAIT_MAX).await.unwrap_err().to_string();
        assert!(error.starts_with("no primary of PostgreSQL: ") && error.contains("refused"), "{error}");
        replica.promote();
        assert_eq!(connect(&both, Role::Primary, WAIT_MAX).await.unwrap().place(), places[1]);
    });
}

fn authority(folder: &tempfile::TempDir, name: &str) -> (CertifiedIssuer<'static, KeyPair>, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, issuer.pem()).unwrap();
    (issuer, path.to_str().unwrap().to_owned())
}

#[test]
fn tls_is_as_strict_as_asked() {
    let folder = tempfile::tempdir().unwrap();
    let (issuer, right) = authority(&folder, "right.pem");
    let (_, wrong) = authority(&folder, "wrong.pem");
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let tls = Some((certificate.pem(), key.serialize_pem()));
    let cluster = Cluster::start_with(&Options { tls, scram: true, ..Options::default() });
    let plain = Cluster::start(0);
    block_on(async {
        let attempt = async |cluster: &Cluster, host: &str, query: String| {
            let port = cluster.primary().port();
            let target = target(&format!("postgresql://coinbitclub@{host}:{port}/coinbitclub?{query}"));
            match connect(&target, Role::Primary, WAIT_MAX).await {
                Ok(connected) => {
                    let sql = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
                    Ok(connected.query_one(sql, &[]).await.unwrap().get::<_, bool>(0))
                }
                Err(error) => Err(error.to_string()),
            }
        };
        // The certificate is for localhost, not for 127.0.0.1.
        for (host, query, encrypted) in [
            ("127.0.0.1", "sslmode=disable".to_owned(), false),
            ("127.0.0.1", "sslmode=prefer".to_owned(), true),
            ("127.0.0.1", "sslmode=require".to_owned(), true),
            ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={right}"), true),
            ("localhost", format!("sslmode=verify-full&sslrootcert={right}"), true),
        ] {
            assert_eq!(attempt(&cluster, host, query.clone()).await, Ok(encrypted), "{host} {query}");
        }
        for (host, query) in [
            ("127.0.0.1", format!("sslmode=verify-full&sslrootcert={right}")),
            ("localhost", format!("sslmode=verify-full&sslrootcert={wrong}")),
            ("localhost", format!("sslmode=verify-ca&sslrootcert={wrong}")),
            ("localhost", format!("sslmode=require&sslrootcert={wrong}")),
        ] {
            let error = attempt(&cluster, host, query.clone()).await.unwrap_err();
            assert!(error.contains("certificate"), "{host} {query} gave {error}");
        }
        assert_eq!(attempt(&plain, "127.0.0.1", "sslmode=prefer".to_owned()).await, Ok(false));
        let error = attempt(&plain, "127.0.0.1", "sslmode=require".to_owned()).await.unwrap_err();
        assert!(error.contains("TLS"), "{error}");
    });
}
