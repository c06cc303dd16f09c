//! One connection to the host that has the asked role.
//!
//! **Runs on**: the housekeeping thread's tokio runtime, which drives the connection's bytes in a task of its own.
//! **Owns**: the task: it ends when the [`Connected`] is dropped, whatever the server does.
//! **Invariants**: a connection that is handed out was in the asked role a moment ago and has the target's settings.
//! **Bounds**: the whole takes the given time at most; each host gets its share of what is left.

use std::fmt;
use std::fmt::Write as _;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage, Socket};

use super::target::{SessionSettings, Target, chain, place};

/// A peer that acknowledges nothing for this long is gone: the kernel would try for a quarter of an hour.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(15);
/// An idle connection asks after this long whether its peer is there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;

/// What the server must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Takes writes (`target_session_attrs=read-write`).
    Primary,
    /// Replays another's log.
    Replica,
    /// Either.
    Any,
}

/// A connection.
#[derive(Debug)]
pub struct Connected {
    client: Client,
    place: String,
    in_recovery: bool,
    system_identifier: i64,
    task: JoinHandle<()>,
}

impl Connected {
    /// `host:port`.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Whether the server was a replica when the connection was made.
    pub fn in_recovery(&self) -> bool {
        self.in_recovery
    }

    /// What `initdb` has given the cluster: a primary and its replicas share it.
    pub fn system_identifier(&self) -> i64 {
        self.system_identifier
    }
}

impl Deref for Connected {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Connected {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        // A server that does not read would keep a polite farewell waiting for ever.
        self.task.abort();
    }
}

/// Why no host would do: each that was tried, with its reason.
#[derive(Debug, PartialEq, Eq)]
pub struct ConnectError {
    /// What was looked for.
    pub role: Role,
    /// `host:port` and what went wrong there.
    pub tried: Vec<(String, ConnectFault)>,
}

/// What went wrong with one host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectFault {
    /// No answer in its share of the time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The network, TLS, or the server's refusal, in their words.
    #[error("{0}")]
    Failed(String),
    /// A replica, or a primary that is set to refuse writes.
    #[error("takes no writes")]
    NotPrimary,
    /// Not replaying anyone's log.
    #[error("is a primary, not a replica")]
    NotReplica,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.role {
            Role::Primary => "no primary of PostgreSQL",
            Role::Replica => "no replica of PostgreSQL",
            Role::Any => "no PostgreSQL",
        })?;
        let mut before = ": ";
        for (place, fault) in &self.tried {
            write!(formatter, "{before}{place}: {fault}")?;
            before = "; ";
        }
        Ok(())
    }
}

impl std::error::Error for ConnectError {}

/// Connects to the first host of `target` that has the role, within `timeout`.
///
/// # Errors
/// [`ConnectError`]: no host has it, answers, or lets us in.
pub async fn connect(target: &Target, role: Role, timeout: Duration) -> Result<Connected, ConnectError> {
    let end = Instant::now() + timeout;
    let mut tried = Vec::with_capacity(target.hosts.len());
    for (index, (host, port)) in target.hosts.iter().enumerate() {
        let hosts_left = u32::try_from(target.hosts.len() - index).expect("HOSTS_MAX is small");
        let share = end.saturating_duration_since(Instant::now()) / hosts_left;
        let fault = match tokio::time::timeout(share, open(target, host, *port, role)).await {
            Ok(Ok(connected)) => return Ok(connected),
            Ok(Err(fault)) => fault,
            Err(_) => ConnectFault::TimedOut(share),
        };
        tried.push((place(host, *port), fault));
    }
    Err(ConnectError { role, tried })
}

async fn open(target: &Target, host: &Host, port: u16, role: Role) -> Result<Connected, ConnectFault> {
    let config = config_for(target, host, port);
    let (client, task) = match &target.tls {
        None => {
            let (client, connection) = config.connect(NoTls).await.map_err(failed)?;
            (client, drive(connection, place(host, port)))
        }
        Some(tls) => {
            let (client, connection) = config.connect(tls.clone()).await.map_err(failed)?;
            (client, drive(connection, place(host, port)))
        }
    };
    // From here on a drop ends the task.
    let mut connected =
        Connected { client, place: place(host, port), in_recovery: false, system_identifier: 0, task };
    let messages = connected.simple_query(&greeting(&target.settings)).await.map_err(failed)?;
    let row = messages.iter().rev().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let cell = |index| row.and_then(|row| row.get(index)).unwrap_or_default();
    connected.in_recovery = cell(0) == "t";
    connected.system_identifier =
        cell(1).parse().map_err(|_| ConnectFault::Failed("has no system identifier".to_owned()))?;
    match role {
        Role::Primary if connected.in_recovery || cell(2) == "on" => Err(ConnectFault::NotPrimary),
        Role::Replica if !connected.in_recovery => Err(ConnectFault::NotReplica),
        _ => Ok(connected),
    }
}

fn config_for(target: &Target, host: &Host, port: u16) -> Config {
    let mut config = target.config.clone();
    match host {
        Host::Tcp(name) => config.host(name),
        Host::Unix(path) => config.host_path(path),
    };
    config
        .port(port)
        .tcp_user_timeout(UNACKNOWLEDGED_MAX)
        .keepalives_idle(KEEPALIVE_IDLE)
        .keepalives_interval(KEEPALIVE_INTERVAL)
        .keepalives_retries(KEEPALIVE_RETRIES);
    config
}

/// The task that moves a connection's bytes.
fn drive<T>(connection: tokio_postgres::Connection<Socket, T>, place: String) -> JoinHandle<()>
where
    T: tokio_postgres::tls::TlsStream + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(place, error = chain(&error), "a connection to PostgreSQL ended");
        }
    })
}

/// Settings and questions in one round trip. Its statements are one transaction, whose own mode was set before.
fn greeting(settings: &SessionSettings) -> String {
    let mut text = String::from("set timezone = 'UTC'");
    let (statement, idle) = (settings.statement_timeout, settings.idle_in_transaction_timeout);
    write!(
        text,
        "; set statement_timeout = {}; set idle_in_transaction_session_timeout = {}; set synchronous_commit = {}; \
         set default_transaction_read_only = {}; \
         select pg_is_in_recovery(), system_identifier, current_setting('transaction_read_only') \
         from pg_control_system()",
        statement.as_millis(),
        idle.as_millis(),
        settings.synchronous_commit.word(),
        settings.read_only
    )
    .expect("writing to a String cannot fail");
    text
}

fn failed(error: tokio_postgres::Error) -> ConnectFault {
    ConnectFault::Failed(chain(&error))
}
