//! What the live side needs before the shards start, and the thread that keeps the exchanges' addresses.
//!
//! **Runs on**: start-up; then a thread of its own, for name servers may take their time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use engine::core::user::VenueKind;
use engine::core::venue_account::{Environment, LiveVenues, VenuePlace, VenueSite};
use engine::shard::ports::ShardId;
use engine::shard::runtime::HostEntropy;
use net::tls::config::ClientTrust;

use super::hosts::AddressBook;
use super::prices::MarkBoards;
use super::{Budgets, LiveSetup};
use crate::server::config::ServerConfig;
use crate::server::inside::Lines;
use crate::server::shard_loop::Inside;

/// How often names are resolved again: the exchanges' addresses are those of content networks, and change within minutes.
const RESOLVE_SPAN: Duration = Duration::from_secs(60);
/// How often it looks for a wish to stop.
const LOOK: Duration = Duration::from_millis(100);

/// All places that the configuration allows.
fn places(live: LiveVenues) -> Vec<VenuePlace> {
    let mut places = Vec::new();
    for (venue, environment) in live.iter() {
        let main = VenuePlace { venue, environment, ..VenuePlace::PAPER };
        places.push(main);
        if venue == VenueKind::Bybit && environment == Environment::Mainnet {
            places.extend(VenueSite::BYBIT.map(|site| VenuePlace { site, ..main }));
        }
    }
    places
}

/// The live side of every shard; `None` when no exchange is named.
///
/// # Errors
/// What is missing, with its remedy. A host that does not resolve is none: it is tried again.
pub fn prepare(config: &ServerConfig, shards: u16) -> Result<Option<LiveSetup<HostEntropy>>, String> {
    let live = config.rules.live;
    let Some(vault) = config.vault.clone().filter(|_| !live.is_empty()) else { return Ok(None) };
    let (tls, _) = net::tls::config::client(&ClientTrust::System).map_err(|error| {
        format!("no certificate authorities to know the exchanges by: {error}: install ca-certificates")
    })?;
    let mut book = AddressBook::new(config.live_at.clone());
    let places = places(live);
    if let Err(error) = book.resolve(&places) {
        tracing::warn!(%error, "some exchange hosts do not resolve; tried again every minute");
    }
    let budgets = Arc::new(Budgets::new(live, &config.egress, shards));
    let marks = Arc::new(MarkBoards::new(&places));
    Ok(Some(LiveSetup {
        live,
        vault,
        budgets,
        marks,
        book: Arc::new(book),
        shards,
        tls,
        entropy: HostEntropy,
    }))
}

/// Resolves the names again and again and tells the shards what changed. Runs until told to stop.
pub fn keep_addresses(setup: &LiveSetup<HostEntropy>, lines: &Lines, stop: &AtomicBool) {
    let mut book = (*setup.book).clone();
    let mut resolved = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(LOOK);
        if resolved.elapsed() < RESOLVE_SPAN {
            continue;
        }
        resolved = Instant::now();
        let before = book.clone();
        if let Err(error) = book.resolve(&places(setup.live)) {
            tracing::warn!(%error, "some exchange hosts do not resolve");
        }
        if book != before {
            let told = Arc::new(book.clone());
            for shard in 0..lines.shards() {
                if lines.tell(ShardId(shard), Inside::Addresses(Arc::clone(&told))).is_err() {
                    // Its ring is full: it hears of the next change, or of this one in a minute.
                    book = before.clone();
                }
            }
        }
    }
}
