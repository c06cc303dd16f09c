//! `GET /api/accounts`: a user's exchange accounts, and of their keys what may be shown.
//!
//! **Never**: shows more of a key than its type, the last four characters of its name, and how it stands.

use std::net::IpAddr;

use engine::core::ids::{AccountId, Timestamp};
use engine::core::key::{KeyState, StoredKey};
use engine::core::user::{User, VenueKind};
use engine::core::venue_account::Egress;
use serde::Serialize;

/// Microseconds in a day.
const DAY: u64 = 86_400_000_000;

#[derive(Serialize)]
struct KeyView {
    r#type: &'static str,
    last4: String,
    set_at: u64,
    expires_at: Option<u64>,
    /// Whole days until then; 0 on the last.
    days_left: Option<u64>,
}

#[derive(Serialize)]
struct AccountView {
    index: u8,
    id: String,
    venue: &'static str,
    environment: Option<&'static str>,
    host: Option<&'static str>,
    egress: Option<IpAddr>,
    currency: &'static str,
    enabled: bool,
    key_health: &'static str,
    /// What its owner does about it.
    key_remedy: Option<&'static str>,
    key: Option<KeyView>,
}

fn key_view(key: &StoredKey, now: Timestamp) -> KeyView {
    let expires_at = (key.expires_at.0 != 0).then_some(key.expires_at.0);
    KeyView {
        r#type: key.kind.as_str(),
        last4: key.hint.text(),
        set_at: key.set_at.0,
        expires_at,
        days_left: expires_at.map(|end| end.saturating_sub(now.0) / DAY),
    }
}

/// The document.
#[must_use]
pub fn accounts(user: &User, now: Timestamp) -> Vec<u8> {
    let view = |(account, index): (&engine::core::user::ExchangeAccount, u8)| {
        let state = account.key_state_at(now);
        let on_exchange = account.venue != VenueKind::Paper;
        AccountView {
            index,
            id: AccountId { user: user.id, index }.to_string(),
            venue: account.venue.as_str(),
            environment: on_exchange.then_some(account.environment.as_str()),
            host: Some(account.site.host()).filter(|host| !host.is_empty()),
            egress: match account.egress {
                Egress::Any => None,
                Egress::V4(octets) => Some(octets.into()),
                Egress::V6(octets) => Some(octets.into()),
            },
            currency: account.currency().as_str(),
            enabled: account.enabled,
            key_health: state.as_str(),
            key_remedy: match state {
                KeyState::Unhealthy(fault) => Some(fault.remedy()),
                _ => None,
            },
            key: account.key.as_deref().map(|key| key_view(key, now)),
        }
    };
    let views: Vec<_> = user.accounts.iter().zip(0_u8..).map(view).collect();
    serde_json::to_vec(&serde_json::json!({ "accounts": views })).expect("these views are plain data")
}
