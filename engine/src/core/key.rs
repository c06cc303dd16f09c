//! The key of an account on an exchange as the core knows it: sealed, with what may be shown of it, and whether it is good.
//!
//! A key that was entered is *pending* until the exchange was asked about it; then it is *healthy*, or *unhealthy* for a
//! reason that its owner can do something about. Opens need a healthy key, closes need none.
//!
//! **Invariants**: what the core holds cannot be opened here: the master key is elsewhere. A finding counts only for the key
//! it was made with. A key that may withdraw is not kept.
//! **Bounds**: [`SEALED_BYTES_MAX`]. **Never**: shows ciphertext, not even in `Debug`.

use rkyv::{Archive, Deserialize, Serialize};

use super::ids::Timestamp;

/// Longest sealed key in bytes: a key's name of 256 and a secret of 8,192 (an RSA key of 4,096 bits takes 3,300 as PEM), and
/// what sealing adds to them.
pub const SEALED_BYTES_MAX: usize = 9_216;

/// What a key signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Archive, Serialize, Deserialize)]
pub enum KeyKind {
    /// HMAC-SHA256 with a shared secret.
    Hmac,
    /// RSA, PKCS#1 v1.5 with SHA-256; a private key of ours in PEM or DER (PKCS#8).
    Rsa,
    /// Ed25519; a private key of ours in PEM or DER (PKCS#8).
    Ed25519,
}

impl KeyKind {
    /// A stable machine word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hmac => "hmac",
            Self::Rsa => "rsa",
            Self::Ed25519 => "ed25519",
        }
    }

    /// The kind of this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Hmac, Self::Rsa, Self::Ed25519].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// A key's name and secret under the master key. Only the vault that has the master key can open it.
#[derive(Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Sealed(pub Box<[u8]>);

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

/// The last four characters of a key's name, by which its owner tells it from others; shorter names are filled up with `*`.
#[derive(Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct KeyHint([u8; 4]);

impl KeyHint {
    /// Of a key's name. A name of fewer than 12 characters shows nothing: four of them would be too much of it.
    #[must_use]
    pub fn of(api_key: &str) -> Self {
        let bytes = api_key.as_bytes();
        let mut hint = [b'*'; 4];
        if let [.., a, b, c, d] = bytes
            && bytes.len() >= 12
            && api_key.is_ascii()
        {
            hint = [*a, *b, *c, *d];
        }
        Self(hint)
    }

    /// As text.
    #[must_use]
    pub fn text(self) -> String {
        self.0.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '*' }).collect()
    }
}

impl std::fmt::Debug for KeyHint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text())
    }
}

/// A key as it was entered, sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// What it signs with.
    pub kind: KeyKind,
    /// What may be shown of its name.
    pub hint: KeyHint,
    /// Name and secret.
    pub sealed: Sealed,
}

/// A key that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct StoredKey {
    /// Counts the account's keys from 1: a finding names the key it is about.
    pub number: u32,
    /// What it signs with.
    pub kind: KeyKind,
    /// What may be shown of its name.
    pub hint: KeyHint,
    /// Name and secret.
    pub sealed: Sealed,
    /// When it was entered.
    pub set_at: Timestamp,
    /// When the exchange ends it; zero when it does not, or has not been asked.
    pub expires_at: Timestamp,
}

/// Why a key cannot be used. Each is something that its owner, or the operator, can do something about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Archive, Serialize, Deserialize)]
pub enum KeyFault {
    /// It may withdraw.
    WithdrawalRight,
    /// It may not trade futures.
    TradingRightMissing,
    /// It is not bound to addresses.
    NotBoundToAddress,
    /// It is bound to other addresses than the account's requests come from.
    AddressNotAllowed,
    /// It has ended.
    Expired,
    /// The exchange does not know it, or its signature is wrong.
    Rejected,
    /// It belongs to another environment.
    WrongEnvironment,
    /// The exchange restricts the account.
    AccountRestricted,
    /// The account holds a long and a short beside each other, which this connector does not do.
    HedgeMode,
    /// It is a key of another exchange account than the one before.
    OtherAccount,
    /// Another account of the same user is this exchange account.
    AlreadyConnected,
    /// No master key of this server opens it.
    Unreadable,
}

impl KeyFault {
    /// Every one.
    pub const ALL: [Self; 12] = [
        Self::WithdrawalRight,
        Self::TradingRightMissing,
        Self::NotBoundToAddress,
        Self::AddressNotAllowed,
        Self::Expired,
        Self::Rejected,
        Self::WrongEnvironment,
        Self::AccountRestricted,
        Self::HedgeMode,
        Self::OtherAccount,
        Self::AlreadyConnected,
        Self::Unreadable,
    ];

    /// A stable machine word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WithdrawalRight => "withdrawal_right",
            Self::TradingRightMissing => "trading_right_missing",
            Self::NotBoundToAddress => "not_bound_to_address",
            Self::AddressNotAllowed => "address_not_allowed",
            Self::Expired => "expired",
            Self::Rejected => "rejected",
            Self::WrongEnvironment => "wrong_environment",
            Self::AccountRestricted => "account_restricted",
            Self::HedgeMode => "hedge_mode",
            Self::OtherAccount => "other_account",
            Self::AlreadyConnected => "already_connected",
            Self::Unreadable => "unreadable",
        }
    }

    /// What its owner does about it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::WithdrawalRight => {
                "the key may withdraw: delete it at the exchange and enter a new one without that right"
            }
            Self::TradingRightMissing => "give the key the right to trade futures at the exchange",
            Self::NotBoundToAddress => "bind the key to this server's address at the exchange",
            Self::AddressNotAllowed => "add this server's address to the key's list at the exchange",
            Self::Expired => "the key has ended: make a new one at the exchange and enter it",
            Self::Rejected => {
                "the exchange does not accept the key: check it, or make a new one and enter it"
            }
            Self::WrongEnvironment => "the key is of another environment: enter one of this account's",
            Self::AccountRestricted => "the exchange restricts the account: ask its support",
            Self::HedgeMode => "set the account to one-way position mode at the exchange",
            Self::OtherAccount => {
                "the key is of another exchange account: enter one of the same, or open another account here"
            }
            Self::AlreadyConnected => "this exchange account is connected already: use that one",
            Self::Unreadable => "the server can no longer open the key: enter it again",
        }
    }
}

/// How an account's key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Archive, Serialize, Deserialize)]
pub enum KeyState {
    /// Paper accounts have none.
    NotNeeded,
    /// There is none.
    Missing,
    /// The exchange has not been asked about it yet.
    Pending,
    /// The exchange takes it, and it may do what it should and no more.
    Healthy,
    /// It cannot be used.
    Unhealthy(KeyFault),
}

impl KeyState {
    /// Whether orders that open may be sent.
    #[must_use]
    pub const fn is_good(self) -> bool {
        matches!(self, Self::NotNeeded | Self::Healthy)
    }

    /// A stable machine word: its state, or its fault.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotNeeded => "not_needed",
            Self::Missing => "missing",
            Self::Pending => "pending",
            Self::Healthy => "healthy",
            Self::Unhealthy(fault) => fault.as_str(),
        }
    }
}

/// What an exchange says about a key, or why it could not be asked with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyFinding {
    /// Whether it can be used.
    pub verdict: Result<(), KeyFault>,
    /// When it ends; zero when it does not, or that is not told.
    pub expires_at: Timestamp,
    /// Digest of the exchange's own id of the account, where it tells one: by it another account is recognised.
    pub identity: Option<[u8; 16]>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_is_the_last_four_characters_and_never_most_of_a_name() {
        for (name, hint) in [
            ("abcdefgh1234", "1234"),
            ("abcdefg1234", "****"),
            ("", "****"),
            ("abc", "****"),
            ("ééééééééé", "****"),
        ] {
            assert_eq!(KeyHint::of(name).text(), hint, "{name}");
        }
    }

    #[test]
    fn ciphertext_is_not_shown() {
        let sealed = Sealed(vec![0xab; 20].into_boxed_slice());
        assert_eq!(format!("{sealed:?}"), "Sealed(20 bytes)");
    }

    #[test]
    fn words_differ_and_remedies_are_there() {
        let words: std::collections::BTreeSet<_> = KeyFault::ALL.iter().map(|fault| fault.as_str()).collect();
        assert_eq!(words.len(), KeyFault::ALL.len());
        assert!(KeyFault::ALL.iter().all(|fault| fault.remedy().len() > 20));
        assert!(KeyFault::ALL.iter().all(|fault| !KeyState::Unhealthy(*fault).is_good()));
        assert!(!KeyState::Pending.is_good() && !KeyState::Missing.is_good());
    }
}
