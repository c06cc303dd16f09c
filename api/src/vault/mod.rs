//! The vault: users' exchange keys, sealed for the log and opened for signing.
//!
//! A key's name and secret become one record of ciphertext: AES-256-GCM under a key of its own, which HKDF-SHA256 makes from
//! the master key and 32 random bytes that stand in the record. What a record says of itself, and whose it is (user, account,
//! exchange, environment, site), is authenticated: a record that was changed or moved to another account does not open.
//!
//! ```text
//! version 1 │ id of the master key 8 │ salt 32 │ nonce 12 │ ciphertext: kind 1, length of the name 2, name, secret │ tag 16
//! ```
//!
//! **Runs on**: sealing on the passwords' thread, sealing anew on each shard before it serves, opening wherever a connector signs. **Owns**: the master keys.
//! **Invariants**: plaintext is wiped when it is dropped; nothing here prints any; there is no way out of it but a
//! [`Credential`], which signs and cannot be read.
//! **Bounds**: [`API_KEY_BYTES_MAX`], [`SECRET_BYTES_MAX`], [`master::KEYS_MAX`].
//! **Never**: writes plaintext anywhere, or opens what it cannot authenticate.

pub mod master;
pub mod private_file;
pub mod secret;
pub mod source;

use std::collections::BTreeMap;

use engine::core::ids::{AccountId, UserId};
use engine::core::key::{KeyHint, KeyKind, NewKey, SEALED_BYTES_MAX, Sealed};
use engine::core::user::{ExchangeAccount, User, VenueKind};
use engine::core::venue_account::VenuePlace;
use engine::seam::Entropy;
use exchange::live::credential::{Credential, CredentialError};
use exchange::live::key_check::takes;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use zeroize::Zeroizing;

use self::master::{MasterId, MasterKey, MasterKeys};
use self::secret::Secret;

/// Longest name of a key: what [`Credential::new`] takes.
pub const API_KEY_BYTES_MAX: usize = 256;
/// Longest secret: an RSA key of 4,096 bits takes 3,300 bytes as PEM, one of 8,192 bits 6,400.
pub const SECRET_BYTES_MAX: usize = 8_192;

const VERSION: u8 = 1;
const ID_BYTES: usize = 8;
const SALT_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const HEAD_BYTES: usize = 1 + ID_BYTES + SALT_BYTES + NONCE_BYTES;
const _: () = assert!(
    HEAD_BYTES + 3 + API_KEY_BYTES_MAX + SECRET_BYTES_MAX + TAG_BYTES <= SEALED_BYTES_MAX,
    "the core takes what is sealed here"
);

/// What a record's own key is for: another use of the master key gets other keys.
const PURPOSE: &[u8] = b"coinbitclub exchange key 1";

/// Whose a key is. A record opens for exactly this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyOwner {
    /// The user.
    pub user: UserId,
    /// Place of the account in the user's list.
    pub index: u8,
    /// Where the account is. The address that requests leave from is no part of it.
    pub place: VenuePlace,
}

impl KeyOwner {
    /// The owner of an account's key.
    #[must_use]
    pub const fn of(user: UserId, index: u8, account: &ExchangeAccount) -> Self {
        Self { user, index, place: account.place() }
    }

    /// What is authenticated beside the ciphertext: the record's head and the owner, each part with its end marked.
    fn bound_to(&self, head: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        out.extend_from_slice(head);
        out.extend_from_slice(&self.user.0.to_le_bytes());
        out.push(self.index);
        for word in [self.place.venue.as_str(), self.place.environment.as_str(), self.place.site.host()] {
            out.extend_from_slice(word.as_bytes());
            out.push(0);
        }
        out
    }
}

/// An exchange does not take keys of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("key_type: {} takes no {} keys{}", .venue.as_str(), .kind.as_str(), others(*.venue))]
pub struct NotTaken {
    /// Which exchange.
    pub venue: VenueKind,
    /// Which kind.
    pub kind: KeyKind,
}

/// What an exchange takes instead, in words.
fn others(venue: VenueKind) -> String {
    let kinds = [KeyKind::Hmac, KeyKind::Rsa, KeyKind::Ed25519];
    let taken: Vec<&str> = kinds.into_iter().filter(|k| takes(venue, *k)).map(KeyKind::as_str).collect();
    if taken.is_empty() { String::new() } else { format!(", but {}", taken.join(" or ")) }
}

/// Whether a key of this kind can be an account's at this exchange.
///
/// # Errors
/// [`NotTaken`], in words for the user.
pub fn check_kind(venue: VenueKind, kind: KeyKind) -> Result<(), NotTaken> {
    if takes(venue, kind) { Ok(()) } else { Err(NotTaken { venue, kind }) }
}

/// Why a key was not sealed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It cannot be one.
    #[error(transparent)]
    Form(#[from] CredentialError),
    /// The exchange takes no keys of this kind.
    #[error(transparent)]
    Kind(#[from] NotTaken),
    /// It is longer than any exchange's.
    #[error("secret: at most {SECRET_BYTES_MAX} bytes")]
    TooLong,
}

/// Why a record was not opened. None of them tells what is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// There is no key.
    #[error("the account has no key")]
    Missing,
    /// Another master key sealed it.
    #[error("sealed under master key {0}, which this server was not given")]
    UnknownMaster(MasterId),
    /// It was changed, or belongs to another account, or the master key with this id is another one.
    #[error("the sealed key does not belong to this account, or was changed")]
    Damaged,
    /// A newer version sealed it.
    #[error("sealed in format {0}, which this version does not know: start the newer version that sealed it")]
    Newer(u8),
    /// What is in it is no key.
    #[error("what was sealed is not a key: {0}")]
    NoKey(CredentialError),
}

/// See the module's head.
pub struct Vault {
    masters: MasterKeys,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault({:?})", self.masters)
    }
}

impl Vault {
    /// With these master keys.
    #[must_use]
    pub const fn new(masters: MasterKeys) -> Self {
        Self { masters }
    }

    /// The master keys it has.
    #[must_use]
    pub const fn masters(&self) -> &MasterKeys {
        &self.masters
    }

    /// Checks that a key can be one, and seals it for its owner under the current master key.
    ///
    /// # Errors
    /// [`SealError`], in words for the user.
    ///
    /// # Panics
    /// Never: the cipher takes everything of these lengths.
    pub fn seal(
        &self,
        owner: &KeyOwner,
        kind: KeyKind,
        api_key: &Secret,
        secret: &Secret,
        entropy: &mut impl Entropy,
    ) -> Result<NewKey, SealError> {
        check_kind(owner.place.venue, kind)?;
        let (name, text) = (api_key.expose(), secret.expose());
        if text.len() > SECRET_BYTES_MAX {
            return Err(SealError::TooLong);
        }
        drop(Credential::new(kind, name, text)?);
        // As long as it gets: a buffer that grew would leave plaintext behind.
        let mut body = Zeroizing::new(Vec::with_capacity(3 + name.len() + text.len() + TAG_BYTES));
        body.push(kind_byte(kind));
        let length = u16::try_from(name.len()).expect("a name that is taken has 256 bytes at most");
        body.extend_from_slice(&length.to_le_bytes());
        body.extend_from_slice(name.as_bytes());
        body.extend_from_slice(text.as_bytes());
        Ok(NewKey { kind, hint: KeyHint::of(name), sealed: self.seal_body(owner, body, entropy) })
    }

    /// A record of this plaintext, which has room for the tag behind it, under the current master key.
    fn seal_body(
        &self,
        owner: &KeyOwner,
        mut body: Zeroizing<Vec<u8>>,
        entropy: &mut impl Entropy,
    ) -> Sealed {
        assert!(
            body.capacity() - body.len() >= TAG_BYTES,
            "a buffer that grew for its tag would leave plaintext behind"
        );
        let (mut salt, mut nonce) = ([0; SALT_BYTES], [0; NONCE_BYTES]);
        entropy.fill(&mut salt);
        entropy.fill(&mut nonce);
        let master = self.masters.current();
        let mut head = Vec::with_capacity(HEAD_BYTES + body.len() + TAG_BYTES);
        head.push(VERSION);
        head.extend_from_slice(&master.id().0);
        head.extend_from_slice(&salt);
        head.extend_from_slice(&nonce);
        let bound = Aad::from(owner.bound_to(&head));
        record_key(master, &salt)
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), bound, &mut *body)
            .expect("the cipher takes messages of this length");
        head.extend_from_slice(&body);
        Sealed(head.into_boxed_slice())
    }

    /// The key of an account under the current master key; `None` when that is what sealed it.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn reseal(
        &self,
        user: UserId,
        index: u8,
        account: &ExchangeAccount,
        entropy: &mut impl Entropy,
    ) -> Result<Option<Sealed>, OpenError> {
        let key = account.key.as_ref().ok_or(OpenError::Missing)?;
        if master_of(&key.sealed) == Some(self.masters.current().id()) {
            return Ok(None);
        }
        let owner = KeyOwner::of(user, index, account);
        // What was opened in place has left room for the tag.
        let body = self.plain(&owner, &key.sealed)?;
        Ok(Some(self.seal_body(&owner, body, entropy)))
    }

    /// The plaintext of a record.
    fn plain(&self, owner: &KeyOwner, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let bytes = &sealed.0;
        if let Some(version) = bytes.first().filter(|version| **version > VERSION) {
            return Err(OpenError::Newer(*version));
        }
        let Some((head, body)) = bytes.split_at_checked(HEAD_BYTES) else { return Err(OpenError::Damaged) };
        let (id, rest) = head[1..].split_at(ID_BYTES);
        let (salt, nonce) = rest.split_at(SALT_BYTES);
        let id = MasterId(id.try_into().expect("split at its length"));
        let master = self.masters.find_id(id).ok_or(OpenError::UnknownMaster(id))?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).expect("split at its length");
        let bound = Aad::from(owner.bound_to(head));
        let mut body = Zeroizing::new(body.to_vec());
        let length = record_key(master, salt)
            .open_in_place(nonce, bound, &mut body)
            .map_err(|_| OpenError::Damaged)?
            .len();
        body.truncate(length);
        Ok(body)
    }

    /// The key of an account, ready to sign.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(&self, user: UserId, index: u8, account: &ExchangeAccount) -> Result<Credential, OpenError> {
        let key = account.key.as_ref().ok_or(OpenError::Missing)?;
        let plain = self.plain(&KeyOwner::of(user, index, account), &key.sealed)?;
        let malformed = OpenError::NoKey(CredentialError::Key);
        let Some(([kind, low, high], rest)) = plain.split_first_chunk::<3>() else { return Err(malformed) };
        let kind = kind_of_byte(*kind).ok_or(malformed.clone())?;
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let (name, secret) = rest.split_at_checked(length).ok_or(malformed.clone())?;
        match (std::str::from_utf8(name), std::str::from_utf8(secret)) {
            (Ok(name), Ok(secret)) => Credential::new(kind, name, secret).map_err(OpenError::NoKey),
            _ => Err(malformed),
        }
    }

    /// Whether the key of an account opens. Cheaper than [`Vault::open`], for the start looks at every one.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn check(&self, user: UserId, index: u8, account: &ExchangeAccount) -> Result<(), OpenError> {
        let key = account.key.as_ref().ok_or(OpenError::Missing)?;
        self.plain(&KeyOwner::of(user, index, account), &key.sealed).map(drop)
    }
}

const fn kind_byte(kind: KeyKind) -> u8 {
    match kind {
        KeyKind::Hmac => 1,
        KeyKind::Rsa => 2,
        KeyKind::Ed25519 => 3,
    }
}

fn kind_of_byte(byte: u8) -> Option<KeyKind> {
    [KeyKind::Hmac, KeyKind::Rsa, KeyKind::Ed25519].into_iter().find(|kind| kind_byte(*kind) == byte)
}

/// The key of one record.
fn record_key(master: &MasterKey, salt: &[u8]) -> LessSafeKey {
    let extracted = Salt::new(HKDF_SHA256, salt).extract(master.bytes());
    let expanded = extracted.expand(&[PURPOSE], &AES_256_GCM).expect("one block is asked for");
    LessSafeKey::new(UnboundKey::from(expanded))
}

/// Keys in a state that do not open: which, and why the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unreadable {
    /// Accounts, each with the number of its key.
    pub keys: Vec<(AccountId, u32)>,
    /// Why the first one does not open.
    pub first: Option<OpenError>,
    /// Keys that were looked at.
    pub looked_at: usize,
}

impl Unreadable {
    /// Adds what another shard found.
    pub fn add(&mut self, other: Self) {
        self.keys.extend(other.keys);
        self.first = self.first.take().or(other.first);
        self.looked_at += other.looked_at;
    }
}

/// How many keys of these users are sealed under each master key. It is in the records, so none has to be opened for it.
#[must_use]
pub fn sealed_under(users: &[User]) -> BTreeMap<MasterId, u64> {
    let mut found = BTreeMap::new();
    for account in users.iter().flat_map(|user| &user.accounts) {
        if let Some(id) = account.key.as_ref().and_then(|key| master_of(&key.sealed)) {
            *found.entry(id).or_default() += 1;
        }
    }
    found
}

/// The master key that a record names.
fn master_of(sealed: &Sealed) -> Option<MasterId> {
    sealed.0.get(1..=ID_BYTES)?.try_into().ok().map(MasterId)
}

/// A key that was sealed anew under the current master key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resealed {
    /// Whose it is.
    pub account: AccountId,
    /// Which of the account's keys.
    pub number: u32,
    /// Name and secret.
    pub sealed: Sealed,
}

/// Seals anew what an earlier master key sealed. What does not open stays as it is.
#[must_use]
pub fn reseal_all(vault: &Vault, users: &[User], entropy: &mut impl Entropy) -> Vec<Resealed> {
    let mut found = Vec::new();
    for user in users {
        for (account, index) in user.accounts.iter().zip(0_u8..) {
            let Some(key) = &account.key else { continue };
            if let Ok(Some(sealed)) = vault.reseal(user.id, index, account, entropy) {
                found.push(Resealed {
                    account: AccountId { user: user.id, index },
                    number: key.number,
                    sealed,
                });
            }
        }
    }
    found
}

/// Tries every key of these users. Without a vault none opens.
#[must_use]
pub fn look(vault: Option<&Vault>, users: &[User]) -> Unreadable {
    let mut found = Unreadable::default();
    for user in users {
        for (account, index) in user.accounts.iter().zip(0_u8..) {
            let Some(key) = &account.key else { continue };
            found.looked_at += 1;
            let why = match vault.map(|vault| vault.check(user.id, index, account)) {
                Some(Ok(())) => continue,
                Some(Err(why)) => Some(why),
                None => None,
            };
            found.keys.push((AccountId { user: user.id, index }, key.number));
            found.first = found.first.take().or(why);
        }
    }
    found
}

#[cfg(test)]
mod tests;
