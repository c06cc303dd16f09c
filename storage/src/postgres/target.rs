//! Where PostgreSQL is and how to speak to it, from an address as libpq's programs take it.
//!
//! **Runs on**: start-up.
//! **Invariants**: an address with a password in it is refused before anything of it could be printed.
//! **Bounds**: [`HOSTS_MAX`] hosts.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use super::password::Password;
use super::tls::{Tls, Trust};

/// A primary and its successors; more are a mistake, and each costs its share of a connection's time.
pub const HOSTS_MAX: usize = 8;
const PORT: u16 = 5432;

/// What a commit waits for before it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SynchronousCommit {
    /// Nothing: a crash of the server loses the last of them.
    Off,
    /// The primary's disk.
    Local,
    /// The primary's disk, and the memory of the synchronous replicas.
    RemoteWrite,
    /// The disks of primary and synchronous replicas.
    On,
    /// That synchronous replicas show it.
    RemoteApply,
}

impl SynchronousCommit {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Local => "local",
            Self::RemoteWrite => "remote_write",
            Self::On => "on",
            Self::RemoteApply => "remote_apply",
        }
    }
}

/// What every session is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSettings {
    /// The server ends a statement that takes longer; zero is without a limit.
    pub statement_timeout: Duration,
    /// The server ends a session that leaves a transaction open for longer; zero is without a limit.
    pub idle_in_transaction_timeout: Duration,
    /// What commits wait for.
    pub synchronous_commit: SynchronousCommit,
    /// Whether the server refuses writes.
    pub read_only: bool,
}

impl Default for SessionSettings {
    /// Writing, with half a minute for a statement and a minute between those of a transaction.
    fn default() -> Self {
        Self {
            statement_timeout: Duration::from_secs(30),
            idle_in_transaction_timeout: Duration::from_secs(60),
            synchronous_commit: SynchronousCommit::On,
            read_only: false,
        }
    }
}

/// Hosts, role, database and TLS of one PostgreSQL.
#[derive(Clone)]
pub struct Target {
    /// Everything but the hosts.
    pub(super) config: Config,
    pub(super) hosts: Vec<(Host, u16)>,
    pub(super) tls: Option<Tls>,
    pub(super) settings: SessionSettings,
}

impl Target {
    /// Reads `postgresql://role@host:port,host:port/database?sslmode=…&sslrootcert=FILE`.
    ///
    /// `sslmode` is `disable`, `prefer`, `require`, `verify-ca` or `verify-full`; when it is absent, hosts of this machine are
    /// spoken to without TLS and others with `verify-full`. With `sslrootcert`, and as libpq does it, `require` verifies the
    /// issuer; `verify-full` without it trusts the system's authorities.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn parse(url: &str, password: Option<&Password>) -> Result<Self, TargetError> {
        let rest = url
            .strip_prefix("postgresql://")
            .or_else(|| url.strip_prefix("postgres://"))
            .ok_or_else(|| malformed("it does not begin with postgresql://"))?;
        if has_password(rest) {
            return Err(TargetError::PasswordInUrl);
        }
        let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (mut mode, mut authorities, mut others) = (None, None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = Some(value),
                Some(("sslrootcert", path)) if path.contains('%') => {
                    return Err(malformed("sslrootcert is a path as it is, without % escapes"));
                }
                Some(("sslrootcert", path)) => authorities = Some(PathBuf::from(path)),
                _ => others.push(pair),
            }
        }
        if let Some(other) = others.first() {
            return Err(malformed(&format!("it may have sslmode and sslrootcert after the ?, not {other}")));
        }
        let parsed: Config =
            format!("postgresql://{address}").parse().map_err(|error| malformed(&chain(&error)))?;
        let hosts = hosts(&parsed)?;
        let role = parsed
            .get_user()
            .ok_or_else(|| malformed("it names no role: postgresql://ROLE@host/database"))?;
        let default = if hosts.iter().all(|(host, _)| is_here(host)) { "disable" } else { "verify-full" };
        let (ssl_mode, tls) = tls(mode.unwrap_or(default), authorities)?;
        // One without hosts: each connection adds its own.
        let mut config = Config::new();
        config.user(role).ssl_mode(ssl_mode).application_name("coinbitclub");
        config.dbname(parsed.get_dbname().unwrap_or(role));
        if let Some(password) = password {
            config.password(password.text());
        }
        Ok(Self { config, hosts, tls, settings: SessionSettings::default() })
    }

    /// The same place with other settings.
    #[must_use]
    pub fn with_settings(mut self, settings: SessionSettings) -> Self {
        self.settings = settings;
        self
    }

    /// `host:port` of each, in the order they are tried.
    pub fn places(&self) -> Vec<String> {
        self.hosts.iter().map(|(host, port)| place(host, *port)).collect()
    }

    /// What every session is told.
    pub fn settings(&self) -> &SessionSettings {
        &self.settings
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Target")
            .field("places", &self.places())
            .field("role", &self.config.get_user())
            .field("database", &self.config.get_dbname())
            .field("tls", &self.tls.is_some())
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Why an address cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The address has a password, where every user of the machine may read it.
    #[error(
        "the address of PostgreSQL has a password in it: take it out, and set {variable} or {file}, \
         or the credential {credential}",
        variable = super::password::VARIABLE, file = super::password::FILE_VARIABLE,
        credential = super::password::CREDENTIAL
    )]
    PasswordInUrl,
    /// Something else is wrong.
    #[error("the address of PostgreSQL: {0}")]
    Malformed(String),
    /// What TLS needs is missing or contradictory.
    #[error("TLS to PostgreSQL: {0}")]
    Tls(String),
}

/// An error with all that it stems from: the driver's outermost words say little.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        // The driver's own words contain those of some causes already.
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = inner.source();
    }
    text
}

/// `host:port` for people.
pub(super) fn place(host: &Host, port: u16) -> String {
    match host {
        Host::Tcp(name) if name.contains(':') => format!("[{name}]:{port}"),
        Host::Tcp(name) => format!("{name}:{port}"),
        Host::Unix(path) => format!("{}:{port}", path.display()),
    }
}

/// By the text alone, so that not even an address that cannot be parsed shows one in its error.
fn has_password(rest: &str) -> bool {
    // A password may contain what ends an address, so everything before the last sign counts.
    let role = rest.rsplit_once('@').map_or("", |(before, _)| before);
    let query = rest.to_ascii_lowercase();
    role.contains(':') || query.contains("password=") || query.contains("password%3d")
}

fn hosts(config: &Config) -> Result<Vec<(Host, u16)>, TargetError> {
    let (hosts, ports) = (config.get_hosts(), config.get_ports());
    if hosts.is_empty() || !config.get_hostaddrs().is_empty() {
        return Err(malformed("it needs a host by name or number before the slash"));
    }
    if hosts.len() > HOSTS_MAX {
        return Err(malformed(&format!("it has {} hosts, {HOSTS_MAX} are possible", hosts.len())));
    }
    let port = |index: usize| match ports {
        [] => Ok(PORT),
        [one] => Ok(*one),
        several => several.get(index).copied().ok_or_else(|| malformed("it has more hosts than ports")),
    };
    hosts.iter().enumerate().map(|(index, host)| Ok((host.clone(), port(index)?))).collect()
}

fn tls(mode: &str, authorities: Option<PathBuf>) -> Result<(SslMode, Option<Tls>), TargetError> {
    let (mode, trust) = match (mode, authorities) {
        ("disable", None) => return Ok((SslMode::Disable, None)),
        ("prefer", None) => (SslMode::Prefer, Trust::Nothing),
        ("disable" | "prefer", Some(_)) => {
            return Err(TargetError::Tls(format!("sslmode={mode} would not look at sslrootcert")));
        }
        ("require", None) => (SslMode::Require, Trust::Nothing),
        ("require" | "verify-ca", Some(path)) => (SslMode::Require, Trust::Issuer(path)),
        ("verify-ca", None) => {
            return Err(TargetError::Tls("sslmode=verify-ca needs sslrootcert".to_owned()));
        }
        ("verify-full", path) => (SslMode::Require, Trust::IssuerAndName(path)),
        (other, _) => {
            let known = "disable, prefer, require, verify-ca, verify-full";
            return Err(TargetError::Tls(format!("sslmode={other} is none of {known}")));
        }
    };
    Tls::new(&trust).map(|tls| (mode, Some(tls))).map_err(TargetError::Tls)
}

/// Whether a host is this machine.
fn is_here(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            let name = name.trim_matches(['[', ']']);
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }
        Host::Unix(_) => true,
    }
}

fn malformed(what: &str) -> TargetError {
    TargetError::Malformed(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Target, TargetError> {
        Target::parse(url, Some(&Password::new("secret")))
    }

    #[test]
    fn hosts_are_tried_in_the_order_of_the_address() {
        let target = parse("postgresql://role@one:1,[::1]:2,three/database?sslmode=disable").unwrap();
        assert_eq!(target.places(), ["one:1", "[::1]:2", "three:5432"]);
        assert_eq!(target.config.get_user(), Some("role"));
        assert_eq!(target.config.get_dbname(), Some("database"));
        assert!(target.tls.is_none());
        assert!(parse("postgres://role@one").unwrap().tls.is_some(), "verify-full");
        assert!(parse("postgres://role@127.0.0.1,[::1],localhost").unwrap().tls.is_none(), "this machine");
    }

    #[test]
    fn a_password_in_the_address_is_refused_and_none_is_ever_shown() {
        for url in [
            "postgresql://role:hidden@host/database",
            "postgresql://role:hid?den/@host/database",
            "postgresql://role:hidden@host:99999/database",
            "postgresql://role@host/database?password=hidden",
            "postgresql://role@host/database?PASSWORD%3Dhidden",
        ] {
            let error = parse(url).unwrap_err();
            assert_eq!(error, TargetError::PasswordInUrl, "{url}");
            assert!(!error.to_string().contains("hid"));
        }
        let target = parse("postgresql://role@host/database").unwrap();
        assert_eq!(target.config.get_password(), Some(&b"secret"[..]));
        assert!(!format!("{target:?}").contains("secret"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let many = format!("postgresql://role@{}/database", ["host"; HOSTS_MAX + 1].join(","));
        for (url, part) in [
            ("host=one user=role", "begin with postgresql://"),
            ("postgresql://host/database", "names no role"),
            ("postgresql://role@/database", "needs a host"),
            (&many, "9 hosts"),
            ("postgresql://role@host/database?colour=red", "colour"),
            ("postgresql://role@host/database?sslmode=strict", "sslmode=strict is none of"),
            ("postgresql://role@host/database?sslmode=verify-ca", "needs sslrootcert"),
            ("postgresql://role@host/database?sslmode=prefer&sslrootcert=/x", "would not look"),
            ("postgresql://role@host/database?sslmode=verify-full&sslrootcert=/nonexistent", "/nonexistent"),
            ("postgresql://role@host/database?sslmode=require&sslrootcert=/a%20b", "without % escapes"),
        ] {
            let error = parse(url).unwrap_err().to_string();
            assert!(error.contains(part), "{url} gave {error}");
        }
    }
}
