//! Which databases are meant.

use storage::postgres::password::Password;
use storage::postgres::target::Target;

/// The database of this URL, with the password from where it is kept.
///
/// # Errors
/// What is wrong with either.
pub fn target(url: &str) -> Result<Target, String> {
    let password = Password::find().map_err(|error| error.to_string())?;
    Target::parse(url, password.as_ref()).map_err(|error| error.to_string())
}
