//! Which database is meant, and its password.

use std::path::{Path, PathBuf};

use storage::postgres::connect::Target;

/// Holds the password.
const PASSWORD: &str = "COINBITCLUB_POSTGRES_PASSWORD";
/// Names a file that does.
const PASSWORD_FILE: &str = "COINBITCLUB_POSTGRES_PASSWORD_FILE";
/// The credential's name under systemd.
const CREDENTIAL: &str = "postgres-password";

fn read(path: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// The password: from the environment, else from a file that it names, else a credential of systemd's.
fn password(variable: impl Fn(&str) -> Option<String>) -> Result<Option<String>, String> {
    if let Some(password) = variable(PASSWORD) {
        return Ok(Some(password));
    }
    if let Some(file) = variable(PASSWORD_FILE) {
        return read(Path::new(&file)).map(Some);
    }
    let credential = variable("CREDENTIALS_DIRECTORY").map(|dir| PathBuf::from(dir).join(CREDENTIAL));
    match credential.filter(|file| file.exists()) {
        Some(file) => read(&file).map(Some),
        None => Ok(None),
    }
}

/// The database of this URL, with the password from where it is kept.
///
/// # Errors
/// What is wrong with either.
pub fn target(url: &str) -> Result<Target, String> {
    let password = password(|name| std::env::var(name).ok())?;
    Target::parse(url, password.as_deref()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_where_it_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        std::fs::write(path("secret"), "of a file\n").unwrap();
        std::fs::write(path(CREDENTIAL), "of systemd").unwrap();
        let found = |known: &[(&str, &str)]| {
            password(|name| known.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
        };
        assert_eq!(found(&[]), Ok(None));
        let credentials = dir.path().display().to_string();
        assert_eq!(found(&[("CREDENTIALS_DIRECTORY", &credentials)]), Ok(Some("of systemd".to_owned())));
        assert_eq!(found(&[("CREDENTIALS_DIRECTORY", "/nowhere")]), Ok(None));
        let file = path("secret");
        assert_eq!(found(&[(PASSWORD_FILE, &file)]), Ok(Some("of a file".to_owned())));
        assert_eq!(found(&[(PASSWORD, "itself"), (PASSWORD_FILE, &file)]), Ok(Some("itself".to_owned())));
        let error = found(&[(PASSWORD_FILE, "/nowhere/secret")]).unwrap_err();
        assert!(error.contains("/nowhere/secret"), "{error}");
    }
}
