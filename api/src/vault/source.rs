//! Where a secret of the server is given: in the file that an option names, in a variable, or as systemd's credential.
//!
//! **Runs on**: start-up, commands. **Invariants**: one of the three counts, and two at once are refused, for nobody could say
//! which was meant; the text is wiped when it is dropped. **Bounds**: [`SecretSource::bytes_max`].

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::private_file::{self, FileError};

/// The places in which a secret may be given.
#[derive(Clone, Copy, Debug)]
pub struct SecretSource {
    /// The option that names a file.
    pub option: &'static str,
    /// The variable that holds it.
    pub variable: &'static str,
    /// The name of systemd's credential, below `$CREDENTIALS_DIRECTORY`.
    pub credential: &'static str,
    /// Bytes of its text; of a longer file come one more, for the caller to refuse.
    pub bytes_max: usize,
}

/// A secret as it was given.
pub struct Given {
    /// Its text.
    pub text: Zeroizing<String>,
    /// Where it was, for people.
    pub place: String,
}

/// Why a secret that was given cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Its file cannot be read, or others could read it.
    #[error("{0} (the server's user has to own it)")]
    File(#[from] FileError),
    /// The variable holds no text.
    #[error("{0} is not UTF-8")]
    NotText(String),
    /// It is given twice.
    #[error("given by {0} and by {1}: give one of them")]
    Twice(String, String),
}

impl SecretSource {
    /// Looks for the secret: `file` is what the option names, `variable` the environment. `None` when it is not given.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn find(
        &self,
        file: Option<&Path>,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Option<Given>, SourceError> {
        let credential = variable("CREDENTIALS_DIRECTORY")
            .map(|place| PathBuf::from(place).join(self.credential))
            // The directory is there for other credentials too.
            .filter(|path| path.exists());
        let text = variable(self.variable);
        let named = [
            file.map(|path| format!("{} {}", self.option, path.display())),
            text.as_ref().map(|_| format!("${}", self.variable)),
            credential.as_ref().map(|path| format!("the credential {}", path.display())),
        ];
        let mut named = named.into_iter().flatten();
        let Some(place) = named.next() else { return Ok(None) };
        if let Some(other) = named.next() {
            return Err(SourceError::Twice(place, other));
        }
        let text = match (file, text, credential) {
            (Some(path), _, _) => private_file::read(path, self.bytes_max, true)?,
            (None, Some(text), _) => match text.into_string() {
                Ok(text) => Zeroizing::new(text),
                Err(_) => return Err(SourceError::NotText(place)),
            },
            // systemd made it for this process alone; what looks like its group's right is a mask.
            (None, None, Some(path)) => private_file::read(&path, self.bytes_max, false)?,
            (None, None, None) => return Ok(None),
        };
        Ok(Some(Given { text, place }))
    }
}
