//! Work with passwords and exchange keys, off the shards: Argon2id and sealing on one thread of its own. Reading an RSA key takes
//! a millisecond and more.
//!
//! **Runs on**: the housekeeping CPU. **Owns**: the queue of jobs.
//! **Invariants**: a result goes back to the shard that asked, over a ring, and rings its bell.
//! **Bounds**: [`HASH_QUEUE_MAX`] waiting jobs; more are answered 503. A ring of results per shard holds as many.
//! **Never**: logs or keeps a password or a key.

use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version};
use crossbeam_channel::{Receiver, Sender};
use engine::core::key::{KeyKind, NewKey};
use engine::seam::Entropy;
use ringbuf::doorbell::Ringer;
use ringbuf::spsc::Producer;

use crate::vault::secret::Secret;
use crate::vault::{KeyOwner, Vault};

/// Jobs that may wait: a second and a half of work.
pub const HASH_QUEUE_MAX: usize = 64;

/// What is to be done.
pub enum HashWork {
    /// Hash a new password.
    Hash {
        /// The password.
        password: String,
    },
    /// Compare a password with a hash.
    Verify {
        /// The password.
        password: String,
        /// The PHC string.
        hash: String,
    },
    /// Check and seal an exchange key.
    Seal(Box<SealWork>),
}

/// An exchange key to be sealed.
pub struct SealWork {
    /// For whom.
    pub owner: KeyOwner,
    /// What it signs with.
    pub kind: KeyKind,
    /// Its name.
    pub api_key: Secret,
    /// What it signs with.
    pub secret: Secret,
}

/// A job.
pub struct HashJob {
    /// Whose.
    pub shard: usize,
    /// Comes back with the result.
    pub key: u64,
    /// What.
    pub work: HashWork,
}

/// What came of it.
#[derive(Debug)]
pub enum HashDone {
    /// The PHC string.
    Hashed(String),
    /// Whether it was the password.
    Verified(bool),
    /// The sealed key, or why it cannot be one, in words for the user.
    Sealed(Result<NewKey, String>),
    /// It could not be done.
    Failed,
}

/// Argon2id with 19 MiB and two passes: OWASP's first recommendation; 20 to 22 ms of a core (DESIGN.md).
fn hasher() -> Argon2<'static> {
    let params = Params::new(19 * 1024, 2, 1, None).expect("constant parameters are valid");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// Hashes a password.
///
/// # Errors
/// What the hasher says; never the password.
pub fn hash_password(password: &str, entropy: &mut impl Entropy) -> Result<String, String> {
    let mut salt = [0_u8; 16];
    entropy.fill(&mut salt);
    hasher()
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map(|hash: PasswordHash| hash.to_string())
        .map_err(|e| e.to_string())
}

fn work(work: HashWork, vault: Option<&Vault>, entropy: &mut impl Entropy) -> HashDone {
    match work {
        HashWork::Hash { password } => {
            hash_password(&password, entropy).map_or(HashDone::Failed, HashDone::Hashed)
        }
        HashWork::Verify { password, hash } => match PasswordHash::new(&hash) {
            Ok(hash) => HashDone::Verified(hasher().verify_password(password.as_bytes(), &hash).is_ok()),
            Err(_) => HashDone::Failed,
        },
        HashWork::Seal(work) => seal(*work, vault, entropy),
    }
}

/// Checks and seals a key; without a vault it cannot be done.
pub fn seal(work: SealWork, vault: Option<&Vault>, entropy: &mut impl Entropy) -> HashDone {
    let Some(vault) = vault else { return HashDone::Failed };
    let SealWork { owner, kind, api_key, secret } = work;
    let sealed = vault.seal(&owner, kind, &api_key, &secret, entropy);
    HashDone::Sealed(sealed.map_err(|error| error.to_string()))
}

/// A shard's way back: its ring and its bell.
pub struct HashReturn {
    /// Results with their keys.
    pub results: Producer<(u64, HashDone)>,
    /// The shard's bell.
    pub bell: Ringer,
}

/// The queue's two ends.
#[must_use]
pub fn queue() -> (Sender<HashJob>, Receiver<HashJob>) {
    crossbeam_channel::bounded(HASH_QUEUE_MAX)
}

/// Works until every sender is gone.
pub fn run(
    jobs: &Receiver<HashJob>,
    returns: &mut [HashReturn],
    vault: Option<&Vault>,
    entropy: &mut impl Entropy,
) {
    while let Ok(job) = jobs.recv() {
        let done = work(job.work, vault, entropy);
        let Some(back) = returns.get_mut(job.shard) else { continue };
        // The ring holds as many results as there can be jobs; a shard that has stopped reads no more.
        if back.results.push((job.key, done)).is_ok() {
            back.bell.ring();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;
    impl Entropy for Fixed {
        fn fill(&mut self, out: &mut [u8]) {
            out.fill(7);
        }
    }

    #[test]
    fn a_hash_verifies_its_password_only() {
        let hash = hash_password("correct horse", &mut Fixed).expect("hashes");
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        let verify = |password: &str| {
            let work_item = HashWork::Verify { password: password.into(), hash: hash.clone() };
            matches!(work(work_item, None, &mut Fixed), HashDone::Verified(true))
        };
        assert!(verify("correct horse"));
        assert!(!verify("wrong horse"));
        let garbage = HashWork::Verify { password: "x".into(), hash: "not a hash".into() };
        assert!(matches!(work(garbage, None, &mut Fixed), HashDone::Failed));
    }
}
