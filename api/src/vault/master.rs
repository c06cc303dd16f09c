//! Master keys: where they come from, and by which id the records name them.
//!
//! One source is used: the file of `--master-key-file`, `$COINBITCLUB_MASTER_KEY`, or systemd's credential `master-key`. It
//! holds keys in base64, apart by blanks, line ends or commas: the first seals, the others only open what they once sealed.
//!
//! **Runs on**: start-up. **Invariants**: keys are wiped when they are dropped and appear in no output.
//! **Bounds**: [`KEYS_MAX`], [`TEXT_BYTES_MAX`].

use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::seam::Entropy;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::source::{SecretSource, SourceError};

/// The variable that holds master keys.
pub const VARIABLE: &str = "COINBITCLUB_MASTER_KEY";
/// The name of systemd's credential, below `$CREDENTIALS_DIRECTORY`.
pub const CREDENTIAL: &str = "master-key";

const SOURCE: SecretSource = SecretSource {
    option: "--master-key-file",
    variable: VARIABLE,
    credential: CREDENTIAL,
    bytes_max: TEXT_BYTES_MAX,
};

/// Bytes of a master key.
pub const KEY_BYTES: usize = 32;
/// Master keys at once: the current one and those that sealed what has not all been sealed anew.
pub const KEYS_MAX: usize = 16;
/// A longer text is some other file by mistake: 16 keys of 44 characters, and comments.
pub const TEXT_BYTES_MAX: usize = 8_192;

/// By what a record names its master key: the beginning of a digest, which tells nothing of the key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MasterId(pub [u8; 8]);

impl fmt::Display for MasterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for MasterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A master key.
pub struct MasterKey {
    bytes: Zeroizing<[u8; KEY_BYTES]>,
    id: MasterId,
}

impl MasterKey {
    /// Of these bytes.
    #[must_use]
    pub fn new(bytes: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(b"coinbitclub master key");
        hasher.update(*bytes);
        let mut id = [0; 8];
        id.copy_from_slice(&hasher.finalize()[..8]);
        Self { bytes, id: MasterId(id) }
    }

    /// A fresh one.
    pub fn random(entropy: &mut impl Entropy) -> Self {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        entropy.fill(&mut *bytes);
        Self::new(bytes)
    }

    fn parse(word: &str) -> Option<Self> {
        let decoded = Zeroizing::new(STANDARD.decode(word).ok()?);
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        if decoded.len() != KEY_BYTES {
            return None;
        }
        bytes.copy_from_slice(&decoded);
        Some(Self::new(bytes))
    }

    /// As it is written into a file: for the command that makes one, and for nothing else.
    #[must_use]
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(*self.bytes))
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> MasterId {
        self.id
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &*self.bytes
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({})", self.id)
    }
}

/// The master keys of a server: the one that seals, then those that only open.
#[derive(Debug)]
pub struct MasterKeys(Vec<MasterKey>);

/// Why there are no master keys.
#[derive(Debug, thiserror::Error)]
pub enum MasterError {
    /// It cannot be had from where it is given.
    #[error("the master key: {0}")]
    Source(#[from] SourceError),
    /// What is there is no master key.
    #[error(
        "{place}: key {number} is not a master key, which is 32 bytes in base64 (44 characters); \
         `coinbitclub keys new-master` makes one"
    )]
    NotOne {
        /// Where.
        place: String,
        /// Which of those there.
        number: usize,
    },
    /// There is nothing, or too much.
    #[error("{place}: {what}")]
    Unusable {
        /// Where.
        place: String,
        /// What is wrong.
        what: &'static str,
    },
}

impl MasterKeys {
    /// With one key.
    #[must_use]
    pub fn one(key: MasterKey) -> Self {
        Self(vec![key])
    }

    /// Looks for master keys: `file` is what `--master-key-file` names. `None` when no source is given.
    ///
    /// # Errors
    /// [`MasterError`].
    pub fn find(file: Option<&Path>) -> Result<Option<Self>, MasterError> {
        Self::find_with(file, |name| std::env::var_os(name))
    }

    /// The same with another environment.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub fn find_with(
        file: Option<&Path>,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Option<Self>, MasterError> {
        let Some(given) = SOURCE.find(file, variable)? else { return Ok(None) };
        Self::parse(&given.text, &given.place).map(Some)
    }

    /// Parses a list of keys. What follows `#` on a line is for people.
    ///
    /// # Errors
    /// [`MasterError`], naming `place`.
    pub fn parse(text: &str, place: &str) -> Result<Self, MasterError> {
        let unusable = |what| MasterError::Unusable { place: place.to_owned(), what };
        if text.len() > TEXT_BYTES_MAX {
            return Err(unusable("too long for a list of master keys"));
        }
        let words = text
            .lines()
            .flat_map(|line| line.split('#').next().unwrap_or_default().split([',', ' ', '\t', '\r']))
            .filter(|word| !word.is_empty());
        let mut keys: Vec<MasterKey> = Vec::new();
        for (word, number) in words.zip(1..) {
            let not_one = || MasterError::NotOne { place: place.to_owned(), number };
            let key = MasterKey::parse(word).ok_or_else(not_one)?;
            // All bytes alike: somebody's placeholder.
            if key.bytes.iter().all(|byte| *byte == key.bytes[0]) {
                return Err(unusable(
                    "a key of 32 like bytes is a placeholder; make one by `coinbitclub keys new-master`",
                ));
            }
            if keys.iter().any(|other| other.id == key.id) {
                return Err(unusable("a key is there twice"));
            }
            keys.push(key);
        }
        match keys.len() {
            0 => Err(unusable("no master key in it; `coinbitclub keys new-master` makes one")),
            1..=KEYS_MAX => Ok(Self(keys)),
            _ => Err(unusable("more than 16 master keys")),
        }
    }

    /// The one that seals.
    #[must_use]
    pub fn current(&self) -> &MasterKey {
        &self.0[0]
    }

    /// The one with this id.
    #[must_use]
    pub fn find_id(&self, id: MasterId) -> Option<&MasterKey> {
        self.0.iter().find(|key| key.id == id)
    }

    /// Their ids, the current one first.
    pub fn ids(&self) -> impl Iterator<Item = MasterId> {
        self.0.iter().map(MasterKey::id)
    }
}
