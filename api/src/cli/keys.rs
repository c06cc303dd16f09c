//! `coinbitclub keys`, and what the arguments say about exchanges and their keys.

use std::io::Write;
use std::sync::Arc;

use engine::core::user::VenueKind;
use engine::core::venue_account::{Environment, LiveVenues};
use engine::shard::runtime::HostEntropy;

use super::ServerArgs;
use crate::server::ServerConfig;
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

fn live(words: &[String]) -> Result<LiveVenues, String> {
    words.iter().try_fold(LiveVenues::default(), |live, word| {
        let parsed = word.split_once(':').and_then(|(venue, environment)| {
            let venue = match venue {
                "binance" => VenueKind::Binance,
                "bybit" => VenueKind::Bybit,
                _ => return None,
            };
            Some(live.with(venue, Environment::parse(environment)?))
        });
        parsed.ok_or_else(|| {
            format!("--live {word}: binance or bybit, a colon, and mainnet, testnet or demo, such as bybit:testnet")
        })
    })
}

/// Puts what the arguments say about exchanges into the configuration.
///
/// # Errors
/// The argument, or the master key's place, and what is wrong with it.
pub fn configure(args: &ServerArgs, config: &mut ServerConfig) -> Result<(), String> {
    config.rules.live = live(&args.live)?;
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
