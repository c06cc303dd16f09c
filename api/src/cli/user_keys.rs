//! `coinbitclub keys list`, `add`, `replace` and `remove`: a user's exchange keys at a running server, over its routes.
//!
//! **Runs on**: the main thread, which may wait. **Invariants**: the command acts as the user whose session it is given; no route
//! lets one person act for another. The session's token, and a key's name and secret, come from files that nobody else can read,
//! from standard input or from the environment, never from an argument; they are wiped when they are dropped, and stand in nothing
//! that is printed. In the clear they go to this machine only.
//! **Bounds**: [`SECRET_BYTES_MAX`] for each of them; one request per command, sent once.

use std::io::{IsTerminal, Write};
use std::net::{IpAddr, ToSocketAddrs};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use clap::Args;
use net::client::Security;
use net::http::client::{Client, ClientOptions};
use net::tls::config::{self, ClientTrust};
use serde::Serialize;
use serde_json::Value;
use zeroize::Zeroizing;

use super::keys;
use crate::vault::SECRET_BYTES_MAX;
use crate::vault::private_file;
use crate::vault::secret::Secret;

/// The variable with the session's token.
const TOKEN_VARIABLE: &str = "COINBITCLUB_TOKEN";
/// The variable with the key's name.
const API_KEY_VARIABLE: &str = "COINBITCLUB_API_KEY";
/// The variable with the key's secret.
const SECRET_VARIABLE: &str = "COINBITCLUB_API_SECRET";
/// Of an answer that is not the server's own form, so much is shown, in characters.
const STRANGE_CHARS_MAX: usize = 300;
/// So many bytes of a secret in an answer are no accident.
const PIECE_BYTES: usize = 12;

/// Which server, and as whom.
#[derive(Args)]
pub struct At {
    /// The running server; http:// for one on this machine, https:// for any.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:3000")]
    pub server: String,
    /// Over https, believe the authorities in this PEM file instead of the system's.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// The file with the token that a log-in answered, readable by this user only; `-` for standard input. Without it the
    /// environment's COINBITCLUB_TOKEN.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Print the server's answer, which is JSON.
    #[arg(long)]
    pub json: bool,
}

/// A key, and where its parts are.
#[derive(Args)]
pub struct Entered {
    /// What the key signs with: hmac, rsa or ed25519.
    #[arg(long)]
    pub key_type: String,
    /// The file with the key's name, readable by this user only; `-` for standard input. Without it the environment's
    /// COINBITCLUB_API_KEY.
    #[arg(long, value_name = "FILE")]
    pub api_key_file: Option<PathBuf>,
    /// The file with the secret (or the private key, PKCS#8), readable by this user only; `-` for standard input. Without it the
    /// environment's COINBITCLUB_API_SECRET.
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
}

/// `keys list`.
#[derive(Args)]
pub struct ListArgs {
    /// Which server, and as whom.
    #[command(flatten)]
    pub at: At,
}

/// `keys add`.
#[derive(Args)]
pub struct AddArgs {
    /// Where the account is: binance or bybit, a colon, mainnet, testnet or demo.
    #[arg(value_name = "VENUE:ENVIRONMENT")]
    pub place: String,
    /// The REST host of one of Bybit's regional sites.
    #[arg(long)]
    pub host: Option<String>,
    /// The address that the account's requests leave from, one of those that the server's operator names.
    #[arg(long)]
    pub egress: Option<IpAddr>,
    /// The key.
    #[command(flatten)]
    pub key: Entered,
    /// Which server, and as whom.
    #[command(flatten)]
    pub at: At,
}

/// `keys replace`.
#[derive(Args)]
pub struct ReplaceArgs {
    /// The account, as `keys list` numbers it.
    pub index: u8,
    /// The key.
    #[command(flatten)]
    pub key: Entered,
    /// Which server, and as whom.
    #[command(flatten)]
    pub at: At,
}

/// `keys remove`.
#[derive(Args)]
pub struct RemoveArgs {
    /// The account, as `keys list` numbers it.
    pub index: u8,
    /// Which server, and as whom.
    #[command(flatten)]
    pub at: At,
}

/// Where something that nobody may see comes from.
struct Source<'a> {
    option: &'static str,
    file: Option<&'a Path>,
    variable: &'static str,
}

impl Source<'_> {
    fn is_standard_input(&self) -> bool {
        self.file.is_some_and(|path| path.as_os_str() == "-")
    }

    fn read(&self) -> Result<Secret, String> {
        let Self { option, file, variable } = *self;
        let mut text = match (file, std::env::var_os(variable)) {
            (None, None) => return Err(format!("{option} FILE is missing, and ${variable} is not set")),
            (Some(_), Some(_)) => {
                return Err(format!("{option} and ${variable} are both given: give one of them"));
            }
            (Some(_), None) if self.is_standard_input() => standard_input(option)?,
            (Some(path), None) => private_file::read(path, SECRET_BYTES_MAX, true)
                .map_err(|error| format!("{option}: {error}"))?,
            (None, Some(text)) => {
                Zeroizing::new(text.into_string().map_err(|_| format!("${variable}: not UTF-8"))?)
            }
        };
        let place = if file.is_some() { option.to_owned() } else { format!("${variable}") };
        // The line's end that editors and `echo` put behind it.
        let length = text.trim_end_matches(['\r', '\n']).len();
        text.truncate(length);
        match length {
            0 => Err(format!("{place}: nothing is in it")),
            1..=SECRET_BYTES_MAX => Ok(Secret::new(std::mem::take(&mut *text))),
            _ => Err(format!("{place}: longer than {SECRET_BYTES_MAX} bytes, so it is some other file")),
        }
    }
}

/// Read without a buffer in between, which would not be wiped.
fn standard_input(option: &str) -> Result<Zeroizing<String>, String> {
    let input = std::io::stdin();
    if input.is_terminal() {
        return Err(format!(
            "{option} -: standard input is a terminal, which would show it: use a pipe or a file"
        ));
    }
    let file = input.as_fd().try_clone_to_owned().map(std::fs::File::from);
    let text = file.and_then(|file| private_file::whole(file, SECRET_BYTES_MAX));
    text.map_err(|error| format!("{option} -: {error}"))
}

/// The server, and as whom it is asked.
struct Line {
    server: String,
    client: Client,
    token: Secret,
}

impl At {
    fn token(&self) -> Source<'_> {
        Source { option: "--token-file", file: self.token_file.as_deref(), variable: TOKEN_VARIABLE }
    }

    /// Connects; the token is read before.
    fn connect(&self) -> Result<Line, String> {
        let token = self.token().read()?;
        // It goes into a header.
        if !token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(
                "--token-file: that is no token, which is one word as POST /api/auth/login answers it"
                    .to_owned(),
            );
        }
        let server = self.server.trim_end_matches('/').to_owned();
        let (security, host, port) = keys::address(&server).ok_or_else(|| {
            format!("--server {server}: http:// or https:// with host and port, and no path")
        })?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let addresses =
            (bare, port).to_socket_addrs().map_err(|error| format!("--server {server}: {error}"))?;
        let addresses: Vec<_> = addresses.collect();
        let tls = match security {
            Security::Plain if !addresses.iter().all(|address| address.ip().is_loopback()) => {
                return Err(format!(
                    "--server {server}: keys do not leave this machine in the clear: use https:// (docs/network.md)"
                ));
            }
            Security::Plain => None,
            Security::Tls => {
                let trust = self.ca_file.clone().map_or(ClientTrust::System, ClientTrust::PrivateCa);
                Some(config::client(&trust).map_err(|error| error.to_string())?.0)
            }
        };
        let mut failed = format!("--server {server}: the name has no address");
        for address in addresses {
            let authority = format!("{host}:{port}");
            match Client::connect_to(address, &authority, tls.clone(), ClientOptions::default()) {
                Ok(client) => return Ok(Line { server, client, token }),
                Err(error) => failed = format!("--server {server}: {error}; is the server running there?"),
            }
        }
        Err(failed)
    }
}

impl Entered {
    /// The key's name and its secret.
    fn read(&self, at: &At) -> Result<(Secret, Secret), String> {
        let api_key = Source {
            option: "--api-key-file",
            file: self.api_key_file.as_deref(),
            variable: API_KEY_VARIABLE,
        };
        let secret =
            Source { option: "--secret-file", file: self.secret_file.as_deref(), variable: SECRET_VARIABLE };
        let piped = [&at.token(), &api_key, &secret].iter().filter(|s| s.is_standard_input()).count();
        if piped > 1 {
            return Err("`-` is given for more than one thing: standard input holds one".to_owned());
        }
        Ok((api_key.read()?, secret.read()?))
    }
}

/// What is sent to enter a key.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    venue: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    egress: Option<IpAddr>,
    key_type: &'a str,
    api_key: &'a str,
    secret: &'a str,
}

impl Body<'_> {
    fn bytes(&self) -> Result<Zeroizing<Vec<u8>>, String> {
        // A character takes six bytes at most (`\u000a`): the text does not move while it grows.
        let words =
            [self.venue, self.environment, self.host].into_iter().flatten().map(str::len).sum::<usize>();
        let room = 6 * (words + self.key_type.len() + self.api_key.len() + self.secret.len()) + 512;
        let mut body = Zeroizing::new(Vec::with_capacity(room));
        serde_json::to_writer(&mut *body, self).map_err(|error| error.to_string())?;
        Ok(body)
    }
}

impl Line {
    /// Sends the one request of a command and gives what the server answered when it did it. `hidden` is what was sent and may
    /// not be shown, whoever sent it back.
    fn ask(mut self, method: &str, target: &str, body: &[u8], hidden: &[&Secret]) -> Result<Value, String> {
        let mut authorization = Zeroizing::new(String::with_capacity(8 + self.token.expose().len()));
        authorization.push_str("Bearer ");
        authorization.push_str(self.token.expose());
        let headers = [("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
        let place = format!("{method} {}{target}", self.server);
        let answer = self.client.request(method, target, &headers, body).map_err(|error| {
            let unknown = "; whether the server did it is not known: look by `coinbitclub keys list`";
            format!("{place}: {error}{}", if method == "GET" { "" } else { unknown })
        })?;
        let told: Option<Value> = serde_json::from_slice(&answer.body).ok();
        if (200..300).contains(&answer.status)
            && let Some(told) = told
        {
            return Ok(told);
        }
        let error = told.as_ref().map(|told| &told["error"]);
        let word = |name| error.and_then(|error| error[name].as_str());
        let text = match (word("code"), word("message")) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            // Whoever it is may quote a part of what was sent.
            _ if !hidden.is_empty() => "not this server's answer, which is not shown".to_owned(),
            _ => {
                let text = answer.text();
                let shown = text.chars().take(STRANGE_CHARS_MAX);
                let shown: String = shown.map(|c| if c.is_control() { ' ' } else { c }).collect();
                format!("not this server's answer: {shown}")
            }
        };
        let repeats = hidden.iter().chain([&&self.token]).any(|secret| quotes(&text, secret.expose()));
        let text = if repeats { "it repeats what was sent, which is not shown".to_owned() } else { text };
        Err(format!("{place}: {} {text}", answer.status))
    }
}

/// Whether a text holds a secret or a part of it that is long enough to be no accident.
fn quotes(text: &str, secret: &str) -> bool {
    let piece = PIECE_BYTES.min(secret.len());
    let mut pieces = secret.as_bytes().windows(piece.max(1));
    pieces.any(|part| text.as_bytes().windows(part.len()).any(|found| found == part))
}

fn print(lines: &str) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{lines}").and_then(|()| out.flush()).map_err(|error| error.to_string())
}

/// One line for an account.
fn line_of(account: &Value) -> String {
    let word = |name: &str| account[name].as_str().unwrap_or("-").to_owned();
    let key = &account["key"];
    let named = match (key["type"].as_str(), key["last4"].as_str()) {
        (Some(kind), Some(last4)) => format!("{kind} …{last4}"),
        _ => "no key".to_owned(),
    };
    let place = format!("{}:{}", word("venue"), word("environment"));
    let days = key["days_left"].as_u64().map(|days| format!(", {days} days left")).unwrap_or_default();
    let remedy = account["key_remedy"].as_str().map(|remedy| format!(": {remedy}")).unwrap_or_default();
    format!(
        "{:>3}  {place:<16} {named:<14} {}{days}{remedy}",
        account["index"].to_string(),
        word("key_health")
    )
}

/// Prints the accounts of a user.
///
/// # Errors
/// What is wrong with an argument, the server's refusal, or why it was not reached.
pub fn list(args: &ListArgs) -> Result<(), String> {
    let told = args.at.connect()?.ask("GET", "/api/accounts", &[], &[])?;
    if args.at.json {
        return print(&told.to_string());
    }
    let lines: Vec<String> = told["accounts"].as_array().into_iter().flatten().map(line_of).collect();
    if lines.is_empty() { print("no accounts") } else { print(&lines.join("\n")) }
}

/// Opens an account by entering its key.
///
/// # Errors
/// As [`list`].
pub fn add(args: &AddArgs) -> Result<(), String> {
    let (venue, environment) = keys::place(&args.place)?;
    let (api_key, secret) = args.key.read(&args.at)?;
    let body = Body {
        venue: Some(venue.as_str()),
        environment: Some(environment.as_str()),
        host: args.host.as_deref(),
        egress: args.egress,
        key_type: &args.key.key_type,
        api_key: api_key.expose(),
        secret: secret.expose(),
    };
    let line = args.at.connect()?;
    let told = line.ask("POST", "/api/accounts", &body.bytes()?, &[&api_key, &secret])?;
    if args.at.json {
        return print(&told.to_string());
    }
    print(&format!(
        "account {}: the key is entered; `coinbitclub keys list` says what the exchange finds",
        told["account"]
    ))
}

/// Enters another key for an account.
///
/// # Errors
/// As [`list`].
pub fn replace(args: &ReplaceArgs) -> Result<(), String> {
    let (api_key, secret) = args.key.read(&args.at)?;
    let body = Body {
        venue: None,
        environment: None,
        host: None,
        egress: None,
        key_type: &args.key.key_type,
        api_key: api_key.expose(),
        secret: secret.expose(),
    };
    let target = format!("/api/accounts/{}/key", args.index);
    let told = args.at.connect()?.ask("PUT", &target, &body.bytes()?, &[&api_key, &secret])?;
    if args.at.json {
        return print(&told.to_string());
    }
    print(&format!(
        "account {}: the new key is entered; `coinbitclub keys list` says what the exchange finds",
        args.index
    ))
}

/// Takes an account's key away.
///
/// # Errors
/// As [`list`]; `key_in_use` while a position is open or an order is live.
pub fn remove(args: &RemoveArgs) -> Result<(), String> {
    let target = format!("/api/accounts/{}/key", args.index);
    let told = args.at.connect()?.ask("DELETE", &target, &[], &[])?;
    if args.at.json {
        return print(&told.to_string());
    }
    print(&format!("account {}: it has no key any more; end the key at the exchange, too", args.index))
}
