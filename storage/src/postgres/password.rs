//! The password of the database's role, and the places it may come from.
//!
//! **Runs on**: start-up.
//! **Invariants**: nothing that is printed contains it.
//! **Never**: takes it from an address or an argument, where other users of the machine could read it.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// The variable that holds the password itself.
pub const VARIABLE: &str = "COINBITCLUB_POSTGRES_PASSWORD";
/// The variable that names a file with the password.
pub const FILE_VARIABLE: &str = "COINBITCLUB_POSTGRES_PASSWORD_FILE";
/// The name of systemd's credential, below `$CREDENTIALS_DIRECTORY`.
pub const CREDENTIAL: &str = "postgres-password";
/// A longer one is some other file by mistake.
pub const BYTES_MAX: usize = 1024;

/// A password that does not print itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Takes a password that is known already.
    pub fn new(password: impl Into<String>) -> Self {
        Self(password.into())
    }

    /// Looks in the environment: [`VARIABLE`], [`FILE_VARIABLE`], systemd's [`CREDENTIAL`], in this order.
    ///
    /// # Errors
    /// [`PasswordError`] when a place is named and yields nothing usable. `None` when no place is named.
    pub fn find() -> Result<Option<Self>, PasswordError> {
        Self::find_with(|name| std::env::var_os(name))
    }

    /// The same with another environment.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub fn find_with(variable: impl Fn(&str) -> Option<OsString>) -> Result<Option<Self>, PasswordError> {
        if let Some(value) = variable(VARIABLE) {
            let text = value.into_string().map_err(|_| PasswordError::Unusable {
                place: format!("${VARIABLE}"),
                what: "is not UTF-8",
            })?;
            return Self::checked(text, || format!("${VARIABLE}")).map(Some);
        }
        if let Some(path) = variable(FILE_VARIABLE) {
            return Self::from_file(Path::new(&path)).map(Some);
        }
        let credential = variable("CREDENTIALS_DIRECTORY").map(|place| PathBuf::from(place).join(CREDENTIAL));
        // The directory is there for other credentials too.
        credential.filter(|path| path.exists()).map(|path| Self::from_file(&path)).transpose()
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }

    fn from_file(path: &Path) -> Result<Self, PasswordError> {
        let unreadable = |source| PasswordError::Unreadable { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        // Editors and `echo` end a file with a line feed, which no password contains.
        Self::checked(text.trim_end_matches(['\r', '\n']).to_owned(), || path.display().to_string())
    }

    fn checked(text: String, place: impl Fn() -> String) -> Result<Self, PasswordError> {
        let what = match text.len() {
            0 => "is empty",
            1..=BYTES_MAX if text.contains(['\0', '\n']) => "has more than one line",
            1..=BYTES_MAX => return Ok(Self(text)),
            _ => "is too long for a password",
        };
        Err(PasswordError::Unusable { place: place(), what })
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password(not shown)")
    }
}

/// Why a named place gave no password.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// The file cannot be read.
    #[error("the password file {path}: {source}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// What is there cannot be a password.
    #[error("the password in {place} {what}")]
    Unusable {
        /// The variable or the file.
        place: String,
        /// What is wrong with it.
        what: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(variables: &[(&str, &str)]) -> Result<Option<Password>, String> {
        Password::find_with(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(*value))
        })
        .map_err(|error| error.to_string())
    }

    #[test]
    fn it_comes_from_the_environment_or_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "of the file\n").unwrap();
        let (file, place) = (file.to_str().unwrap(), folder.path().to_str().unwrap());
        assert_eq!(find(&[]), Ok(None));
        assert_eq!(find(&[("CREDENTIALS_DIRECTORY", place)]), Ok(None));
        std::fs::write(folder.path().join(CREDENTIAL), "of systemd\r\n").unwrap();
        for (variables, expected) in [
            (&[(VARIABLE, "itself"), (FILE_VARIABLE, file)][..], "itself"),
            (&[(FILE_VARIABLE, file), ("CREDENTIALS_DIRECTORY", place)], "of the file"),
            (&[("CREDENTIALS_DIRECTORY", place)], "of systemd"),
        ] {
            assert_eq!(find(variables), Ok(Some(Password::new(expected))));
        }
    }

    #[test]
    fn what_is_named_and_unusable_is_an_error_that_does_not_show_it() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("long");
        std::fs::write(&long, "x".repeat(BYTES_MAX + 1)).unwrap();
        for (variables, part) in [
            ((VARIABLE, ""), "is empty"),
            ((VARIABLE, "se\ncret"), "more than one line"),
            ((FILE_VARIABLE, "/nonexistent/file"), "/nonexistent/file"),
            ((FILE_VARIABLE, long.to_str().unwrap()), "too long"),
        ] {
            let error = find(&[variables]).unwrap_err();
            assert!(error.contains(part) && !error.contains("cret") && !error.contains("xx"), "{error}");
        }
        assert!(!format!("{:?}", Password::new("secret")).contains("secret"));
    }
}
