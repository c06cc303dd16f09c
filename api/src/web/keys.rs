//! Entering the key of an account on an exchange: what a request says, and the way it takes.
//!
//! The user's shard is asked where the account is (which also proves the session before any work is done), the passwords'
//! thread checks the key and seals it for that place, then the sealed key is a command like any other. Plaintext stays in
//! the request's entry on the shard it landed on, and in the job; both wipe it.
//!
//! **Runs on**: the shard that the request landed on. **Never**: gives back a secret; there is no route that could.

use std::net::IpAddr;

use engine::core::command::{Command, Refusal};
use engine::core::ids::UserId;
use engine::core::key::{KeyKind, NewKey};
use engine::core::user::{ACCOUNTS_MAX, User, VenueKind};
use engine::core::venue_account::{Egress, Environment, LiveVenues, VenuePlace, VenueSite};
use engine::shard::ask::{Ask, Auth, Op};
use serde::Deserialize;

use super::bodies::BodyError;
use crate::reads::{Found, Question};
use crate::vault::secret::Secret;
use crate::vault::{KeyOwner, check_kind};

/// What a body says of a key. All of it is needed; what is missing is named.
#[derive(Deserialize)]
pub struct KeyFields {
    /// `hmac`, `rsa` or `ed25519`: said, never guessed (CASES.md, T9).
    #[serde(default)]
    pub key_type: Option<String>,
    /// The key's name.
    #[serde(default)]
    pub api_key: Option<Secret>,
    /// What it signs with.
    #[serde(default)]
    pub secret: Option<Secret>,
}

/// What a body says of where an account is.
#[derive(Deserialize)]
pub struct PlaceFields {
    /// `mainnet`, `testnet` or `demo`: said, never guessed (CASES.md, T10).
    #[serde(default)]
    pub environment: Option<String>,
    /// The REST host of a regional site.
    #[serde(default)]
    pub host: Option<String>,
    /// The address that its requests leave from.
    #[serde(default)]
    pub egress: Option<IpAddr>,
}

/// For which account.
pub enum Wanted {
    /// A new one.
    Connect(VenueKind, PlaceFields),
    /// Another key for this one.
    Replace(u8),
}

/// A request to enter a key.
pub struct KeyRequest {
    /// Who.
    pub user: UserId,
    /// Digest of their session's token.
    pub session: [u8; 32],
    /// For which account.
    pub wanted: Wanted,
    /// The key.
    pub key: KeyFields,
}

/// What the server's set-up says about exchanges.
#[derive(Clone, Debug, Default)]
pub struct KeySetup {
    /// The exchanges that the configuration names.
    pub live: LiveVenues,
    /// The addresses that requests may leave from.
    pub egress: std::sync::Arc<[IpAddr]>,
}

/// Where the account of an entry is.
enum Place {
    New(VenuePlace),
    Known(u8),
}

/// A key on its way into the vault.
pub struct KeyEntry {
    user: UserId,
    session: [u8; 32],
    place: Place,
    /// What it signs with.
    pub kind: KeyKind,
    /// Its name.
    pub api_key: Secret,
    /// What it signs with.
    pub secret: Secret,
}

/// A key that is being sealed: what becomes of it then.
pub struct Sealing {
    owner: KeyOwner,
    session: [u8; 32],
    is_new: bool,
}

fn invalid(message: impl Into<String>) -> BodyError {
    BodyError { code: "invalid", message: message.into() }
}

fn unavailable() -> BodyError {
    let refusal = Refusal::VenueUnavailable;
    BodyError { code: refusal.code(), message: refusal.to_string() }
}

fn place(venue: VenueKind, fields: &PlaceFields, setup: &KeySetup) -> Result<VenuePlace, BodyError> {
    if !setup.live.has_any_of(venue) {
        return Err(unavailable());
    }
    let environment = fields.environment.as_deref().and_then(Environment::parse);
    let environment = environment.ok_or_else(|| invalid("environment: mainnet, testnet or demo"))?;
    if !setup.live.has(venue, environment) {
        return Err(unavailable());
    }
    let host = fields.host.as_deref().unwrap_or_default();
    let site = VenueSite::parse(venue, environment, host).map_err(invalid)?;
    let egress = match fields.egress {
        None => Egress::Any,
        Some(address) if setup.egress.contains(&address) => match address {
            IpAddr::V4(address) => Egress::V4(address.octets()),
            IpAddr::V6(address) => Egress::V6(address.octets()),
        },
        Some(_) => return Err(invalid("egress: not one of this server's addresses for exchanges")),
    };
    Ok(VenuePlace { venue, environment, site, egress })
}

impl KeyRequest {
    /// Looks at it with the server's set-up: where it is about, and whether it is whole.
    ///
    /// # Errors
    /// The field and what is wrong with it.
    pub fn begin(self, setup: &KeySetup) -> Result<KeyEntry, BodyError> {
        let place = match &self.wanted {
            Wanted::Connect(venue, fields) => Place::New(place(*venue, fields, setup)?),
            Wanted::Replace(_) if setup.live.is_empty() => return Err(unavailable()),
            Wanted::Replace(account) => Place::Known(*account),
        };
        let kind = self.key.key_type.as_deref().and_then(KeyKind::parse);
        let kind = kind.ok_or_else(|| invalid("key_type: hmac, rsa or ed25519"))?;
        // Of an account that is there already, the vault looks when its exchange is known.
        if let Place::New(place) = &place {
            check_kind(place.venue, kind).map_err(|not_taken| invalid(not_taken.to_string()))?;
        }
        Ok(KeyEntry {
            user: self.user,
            session: self.session,
            place,
            kind,
            api_key: self.key.api_key.ok_or_else(|| invalid("api_key: missing"))?,
            secret: self.key.secret.ok_or_else(|| invalid("secret: missing"))?,
        })
    }
}

/// Where the key of an account would be, as its owner's shard answers.
pub type KeyPlace = Result<(u8, VenuePlace), Refusal>;

/// Answers where the key would be: `None` asks for the next place in the list.
pub fn find_place(user: &User, account: Option<u8>) -> KeyPlace {
    let Some(account) = account else {
        let next = u8::try_from(user.accounts.len()).expect("ACCOUNTS_MAX fits a byte");
        let full = user.accounts.len() >= ACCOUNTS_MAX;
        return if full { Err(Refusal::LimitReached("accounts")) } else { Ok((next, VenuePlace::PAPER)) };
    };
    let found = user.accounts.get(usize::from(account)).ok_or(Refusal::UnknownAccount)?;
    if found.venue == VenueKind::Paper {
        return Err(Refusal::Invalid("account: paper accounts have no key"));
    }
    Ok((account, found.place()))
}

impl KeyEntry {
    /// The first question: where is it?
    #[must_use]
    pub fn ask(&self) -> Ask<Question> {
        let account = match self.place {
            Place::New(_) => None,
            Place::Known(account) => Some(account),
        };
        let op = Op::Question(Question::KeyPlace(self.user, account));
        Ask { auth: Auth::Session(self.user, self.session), op, user: self.user }
    }

    /// The answer to it: for whom the key is to be sealed.
    ///
    /// # Errors
    /// The refusal.
    pub fn owner(&self, found: KeyPlace, setup: &KeySetup) -> Result<Sealing, Refusal> {
        let (index, known) = found?;
        let (place, is_new) = match self.place {
            Place::New(place) => (place, true),
            Place::Known(_) => (known, false),
        };
        if !setup.live.has(place.venue, place.environment) {
            return Err(Refusal::VenueUnavailable);
        }
        Ok(Sealing { owner: KeyOwner { user: self.user, index, place }, session: self.session, is_new })
    }
}

impl Sealing {
    /// For whom the key is sealed.
    #[must_use]
    pub const fn owner(&self) -> &KeyOwner {
        &self.owner
    }

    /// The key is sealed: what is to be decided.
    #[must_use]
    pub fn command(self, key: NewKey) -> Ask<Question> {
        let KeyOwner { user, index, place } = self.owner;
        let command = if self.is_new {
            Command::ConnectAccount { user, index, place, key }
        } else {
            Command::SetKey { user, account: index, key }
        };
        Ask { auth: Auth::Session(user, self.session), op: Op::Command(command), user }
    }
}

/// The place that was found, out of an answer.
#[must_use]
pub fn found_place(found: Found) -> Option<KeyPlace> {
    match found {
        Found::KeyPlace(place) => Some(place),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup() -> KeySetup {
        KeySetup {
            live: LiveVenues::default().with(VenueKind::Bybit, Environment::Mainnet),
            egress: vec![IpAddr::from([203, 0, 113, 7])].into(),
        }
    }

    fn begin(venue: VenueKind, place: &str, key: &str) -> Result<KeyEntry, String> {
        let request = KeyRequest {
            user: UserId(7),
            session: [1; 32],
            wanted: Wanted::Connect(venue, serde_json::from_str(place).expect("a place")),
            key: serde_json::from_str(key).expect("a key"),
        };
        request.begin(&setup()).map_err(|error| format!("{} {}", error.code, error.message))
    }

    const KEY: &str = r#"{"key_type":"hmac","api_key":"name","secret":"hidden"}"#;

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (place, key, part) in [
            (r"{}", KEY, "environment: "),
            (r#"{"environment":"MAINNET"}"#, KEY, "environment: "),
            (r#"{"environment":"testnet"}"#, KEY, "venue_unavailable"),
            (r#"{"environment":"mainnet","host":"api.example.com"}"#, KEY, "host: "),
            (r#"{"environment":"mainnet","egress":"203.0.113.8"}"#, KEY, "egress: "),
            (r#"{"environment":"mainnet"}"#, r"{}", "key_type: "),
            (
                r#"{"environment":"mainnet"}"#,
                r#"{"key_type":"dsa","api_key":"n","secret":"s"}"#,
                "key_type: ",
            ),
            (
                r#"{"environment":"mainnet"}"#,
                r#"{"key_type":"ed25519","api_key":"n","secret":"s"}"#,
                "key_type: bybit takes no ed25519 keys, but hmac or rsa",
            ),
            (r#"{"environment":"mainnet"}"#, r#"{"key_type":"hmac","secret":"s"}"#, "api_key: "),
            (r#"{"environment":"mainnet"}"#, r#"{"key_type":"hmac","api_key":"n"}"#, "secret: "),
        ] {
            let told = begin(VenueKind::Bybit, place, key).err().expect("refused");
            assert!(told.contains(part) && !told.contains("hidden"), "{place} {key}: {told}");
        }
        let told = begin(VenueKind::Binance, "{}", "{}").err().expect("refused");
        assert!(told.starts_with("venue_unavailable"), "before anything else: {told}");
    }

    #[test]
    fn the_place_is_as_it_was_said() {
        let place = r#"{"environment":"mainnet","host":"api.bybit.eu","egress":"203.0.113.7"}"#;
        let entry = begin(VenueKind::Bybit, place, KEY).expect("whole");
        let sealing = entry.owner(Ok((3, VenuePlace::PAPER)), &setup()).expect("named");
        let wanted = VenuePlace {
            venue: VenueKind::Bybit,
            environment: Environment::Mainnet,
            site: VenueSite::Europe,
            egress: Egress::V4([203, 0, 113, 7]),
        };
        assert_eq!(*sealing.owner(), KeyOwner { user: UserId(7), index: 3, place: wanted });
        // Where the configuration names the exchange no longer, an old account gets no new key.
        let refused = entry.owner(Ok((3, wanted)), &KeySetup::default()).err();
        assert_eq!(refused, Some(Refusal::VenueUnavailable));
        assert_eq!(entry.owner(Err(Refusal::UnknownAccount), &setup()).err(), Some(Refusal::UnknownAccount));
    }
}
