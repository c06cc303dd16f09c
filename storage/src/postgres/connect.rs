//! Where a database is, and connecting to it.
//!
//! **Invariants**: a password is never in a URL, a log line or an error; without TLS only a host of this machine is spoken to,
//! unless the URL says `sslmode=disable`.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::{Client, Config, NoTls};

use super::tls::Tls;

/// A statement that takes longer is ended by the server.
pub const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);
/// A transaction in which nothing happens for so long is ended by the server: it would hold locks (CASES.md D5).
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Which server is meant, of several hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The one that takes writes.
    Primary,
    /// Any.
    Any,
}

/// A database: user, hosts and name from a URL, the password from elsewhere.
#[derive(Clone)]
pub struct Target {
    config: Config,
    tls: Option<Tls>,
    shown: String,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({})", self.shown)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// Why a URL is not a database of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a database: {0}")]
pub struct TargetError(String);

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{target}: {reason}")]
pub struct ConnectError {
    /// The database, without its password.
    pub target: String,
    /// What the last host said.
    pub reason: String,
}

/// A connection. Dropping it ends the connection at once, and with it whatever the server is doing for it.
pub struct Connected {
    /// What statements go through.
    pub client: Client,
    task: JoinHandle<()>,
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn is_here(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()),
        Host::Unix(_) => true,
    }
}

impl Target {
    /// Reads `postgresql://user@host1:5432,host2:5432/name?sslmode=verify-full&sslrootcert=/path/ca.pem`.
    ///
    /// `sslmode` is `disable` or `verify-full` (`require` means the same); without it a host of this machine is spoken to without
    /// TLS, every other with it. `sslrootcert` names a file with root certificates; else the system's are used.
    ///
    /// # Errors
    /// [`TargetError`] with what is wrong and what to write instead.
    pub fn parse(url: &str, password: Option<&str>) -> Result<Self, TargetError> {
        let wrong = |text: &str| TargetError(text.to_owned());
        if !url.starts_with("postgresql://") && !url.starts_with("postgres://") {
            return Err(wrong("begin with postgresql://user@host:port/name"));
        }
        let (place, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut kept, mut mode, mut roots) = (Vec::new(), None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = Some(value.to_owned()),
                Some(("sslrootcert", value)) => roots = Some(PathBuf::from(value)),
                Some(("password", _)) => return Err(no_password()),
                _ => kept.push(pair),
            }
        }
        let plain = if kept.is_empty() { place.to_owned() } else { format!("{place}?{}", kept.join("&")) };
        // The text of a parse error may hold what was parsed.
        let mut config: Config = plain.parse().map_err(|_| wrong("the URL cannot be read"))?;
        if config.get_password().is_some() {
            return Err(no_password());
        }
        if config.get_hosts().is_empty() || config.get_user().is_none() {
            return Err(wrong("a user and a host are needed: postgresql://user@host:port/name"));
        }
        let with_tls = match mode.as_deref() {
            None => !config.get_hosts().iter().all(is_here),
            Some("disable") => false,
            Some("require" | "verify-full") => true,
            Some(other) => {
                return Err(TargetError(format!("sslmode={other}: write disable or verify-full")));
            }
        };
        let tls = with_tls.then(|| Tls::new(roots.as_deref())).transpose().map_err(TargetError)?;
        config.ssl_mode(if with_tls { SslMode::Require } else { SslMode::Disable });
        config.application_name("coinbitclub").keepalives_idle(Duration::from_secs(15));
        if let Some(password) = password {
            config.password(password);
        }
        let shown = place.to_owned();
        Ok(Self { config, tls, shown })
    }
}

fn no_password() -> TargetError {
    TargetError(
        "a password in a URL shows up in process lists: give it as COINBITCLUB_POSTGRES_PASSWORD or in a file named by \
         COINBITCLUB_POSTGRES_PASSWORD_FILE"
            .to_owned(),
    )
}

/// Connects to the first of the target's hosts that is there and has the role. Each host has `timeout` to answer. Needs a tokio
/// runtime, which the connection lives on.
///
/// # Errors
/// [`ConnectError`].
pub async fn connect(target: &Target, role: Role, timeout: Duration) -> Result<Connected, ConnectError> {
    let failed = |reason: String| ConnectError { target: target.shown.clone(), reason };
    let mut config = target.config.clone();
    config.connect_timeout(timeout);
    config.target_session_attrs(match role {
        Role::Primary => TargetSessionAttrs::ReadWrite,
        Role::Any => TargetSessionAttrs::Any,
    });
    let error = |error: tokio_postgres::Error| {
        failed(error.as_db_error().map_or_else(|| chain(&error), |db| db.message().to_owned()))
    };
    // A server may accept and then say nothing: the library's timeout is for the first packet only.
    let all = timeout * u32::try_from(target.config.get_hosts().len()).unwrap_or(1);
    let silent = |_| failed(format!("no answer for {} s", all.as_secs()));
    let connected = match &target.tls {
        None => {
            let (client, connection) =
                tokio::time::timeout(all, config.connect(NoTls)).await.map_err(silent)?.map_err(error)?;
            Connected { client, task: tokio::spawn(async move { drop(connection.await) }) }
        }
        Some(tls) => {
            let (client, connection) = tokio::time::timeout(all, config.connect(tls.clone()))
                .await
                .map_err(silent)?
                .map_err(error)?;
            Connected { client, task: tokio::spawn(async move { drop(connection.await) }) }
        }
    };
    let settings = format!(
        "SET statement_timeout = {}; SET idle_in_transaction_session_timeout = {}; SET TimeZone = 'UTC'",
        STATEMENT_TIMEOUT.as_millis(),
        IDLE_TIMEOUT.as_millis()
    );
    let set = tokio::time::timeout(timeout, connected.client.batch_execute(&settings)).await;
    set.map_err(silent)?.map_err(error)?;
    Ok(connected)
}

/// An error with what is behind it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_taken_from_a_url_and_never_shown() {
        for url in ["postgresql://u:hunter2@localhost/d", "postgresql://u@localhost/d?password=hunter2"] {
            let error = Target::parse(url, None).unwrap_err().to_string();
            assert!(error.contains("COINBITCLUB_POSTGRES_PASSWORD") && !error.contains("hunter2"), "{error}");
        }
        let target = Target::parse("postgresql://u@localhost/d", Some("hunter2")).unwrap();
        assert!(!format!("{target:?} {target}").contains("hunter2"));
    }

    #[test]
    fn without_tls_only_this_machine_is_spoken_to() {
        let tls = |url: &str| Target::parse(url, None).map(|target| target.tls.is_some());
        assert_eq!(tls("postgresql://u@127.0.0.1:5432,[::1]:5433/d"), Ok(false));
        assert_eq!(tls("postgresql://u@db.example.com/d?sslmode=disable"), Ok(false));
        let error = tls("postgresql://u@localhost/d?sslmode=prefer").unwrap_err().to_string();
        assert!(error.contains("verify-full"), "{error}");
        let error = tls("postgresql://u@db.example.com/d?sslrootcert=/nowhere.pem").unwrap_err().to_string();
        assert!(error.contains("/nowhere.pem"), "{error}");
        assert!(tls("mysql://u@localhost/d").is_err() && tls("postgresql:///d").is_err());
    }
}
