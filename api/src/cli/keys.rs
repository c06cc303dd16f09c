//! `coinbitclub keys`, and what the arguments say about exchanges and their keys.

use std::io::Write;
use std::sync::Arc;

use engine::core::user::VenueKind;
use engine::core::venue_account::{Environment, LiveVenues};
use engine::shard::runtime::HostEntropy;

use net::client::Security;

use super::ServerArgs;
use crate::server::ServerConfig;
use crate::server::venues::hosts::LiveAt;
use crate::vault::Vault;
use crate::vault::master::{MasterKey, MasterKeys};

/// Prints a fresh master key.
///
/// # Errors
/// The output's.
pub fn new_master() -> Result<(), String> {
    let key = MasterKey::random(&mut HostEntropy);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", *key.to_base64()).and_then(|()| out.flush()).map_err(|error| error.to_string())?;
    eprintln!("master key {}; keep it where the data directory's copies are not (docs/keys.md)", key.id());
    Ok(())
}

/// Reads `bybit:testnet`.
pub(super) fn place(word: &str) -> Result<(VenueKind, Environment), String> {
    let venue = |venue| match venue {
        "binance" => Some(VenueKind::Binance),
        "bybit" => Some(VenueKind::Bybit),
        _ => None,
    };
    let parsed = word.split_once(':').and_then(|(v, e)| venue(v).zip(Environment::parse(e)));
    parsed.ok_or_else(|| {
        format!("{word}: binance or bybit, a colon, and mainnet, testnet or demo, such as bybit:testnet")
    })
}

/// Reads `bybit:testnet` and the like.
pub(super) fn live(words: &[String]) -> Result<LiveVenues, String> {
    words.iter().try_fold(LiveVenues::default(), |live, word| {
        let (venue, environment) = place(word).map_err(|error| format!("--live {error}"))?;
        Ok(live.with(venue, environment))
    })
}

/// A server by its URL: `http://127.0.0.1:4000`, without a path.
pub(super) fn address(url: &str) -> Option<(Security, String, u16)> {
    let (security, authority) = match url.split_once("://")? {
        ("http", rest) => (Security::Plain, rest),
        ("https", rest) => (Security::Tls, rest),
        _ => return None,
    };
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    let default = if security == Security::Tls { 443 } else { 80 };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !authority.ends_with(']') => (host, port.parse().ok()?),
        _ => (authority, default),
    };
    let usable = !host.is_empty() && !host.contains('/');
    usable.then(|| (security, host.to_owned(), port))
}

/// Reads `bybit:testnet=http://127.0.0.1:4000`.
pub(super) fn live_at(word: &str) -> Result<LiveAt, String> {
    let parsed = word.split_once('=').and_then(|(named, url)| {
        let (venue, environment) = place(named).ok()?;
        let (security, host, port) = address(url)?;
        Some(LiveAt { venue, environment, host, port, security })
    });
    parsed.ok_or_else(|| {
        format!("--live-at {word}: an exchange, an equals sign and http:// or https:// with host and port, such as bybit:testnet=http://127.0.0.1:4000")
    })
}

/// Puts what the arguments say about exchanges into the configuration.
///
/// # Errors
/// The argument, or the master key's place, and what is wrong with it.
pub fn configure(args: &ServerArgs, config: &mut ServerConfig) -> Result<(), String> {
    config.rules.live = live(&args.live)?;
    config.live_at = args.live_at.iter().map(|word| live_at(word)).collect::<Result<_, _>>()?;
    if let Some(at) = config.live_at.iter().find(|at| !config.rules.live.has(at.venue, at.environment)) {
        let (venue, environment) = (at.venue.as_str(), at.environment.as_str());
        return Err(format!("--live-at {venue}:{environment}: name it with --live too"));
    }
    if let Some(any) = args.egress.iter().find(|address| address.is_unspecified()) {
        return Err(format!("--egress {any}: name an address of this host, or none"));
    }
    config.egress = args.egress.clone().into();
    config.accept_unreadable_keys = args.accept_unreadable_keys;
    let masters = MasterKeys::find(args.master_key_file.as_deref()).map_err(|error| error.to_string())?;
    config.vault = masters.map(|masters| Arc::new(Vault::new(masters)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exchanges_are_named_exactly() {
        let parse = |words: &[&str]| live(&words.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(parse(&[]), Ok(LiveVenues::default()));
        let two = LiveVenues::default()
            .with(VenueKind::Binance, Environment::Testnet)
            .with(VenueKind::Bybit, Environment::Mainnet);
        assert_eq!(parse(&["binance:testnet", "bybit:mainnet"]), Ok(two));
        for word in ["binance", "paper:demo", "bybit:live", "bybit:", ":mainnet", "bybit:mainnet:x", ""] {
            assert!(parse(&[word]).expect_err("refused").starts_with(&format!("--live {word}: ")), "{word}");
        }
    }
}
