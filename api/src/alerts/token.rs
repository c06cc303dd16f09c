//! The bot's token: where it comes from, and that nobody sees it.
//!
//! One source is used: the file of `--telegram-token-file`, `$COINBITCLUB_TELEGRAM_TOKEN`, or systemd's credential
//! `telegram-token`.
//!
//! **Runs on**: start-up; then the thread that sends. **Invariants**: whoever has the token speaks as the bot, so it stands in
//! no output and no error. **Bounds**: [`TOKEN_BYTES_MAX`].

use std::ffi::OsString;
use std::path::Path;

use zeroize::Zeroizing;

use crate::vault::secret::Secret;
use crate::vault::source::{SecretSource, SourceError};

/// The variable that holds the token.
pub const VARIABLE: &str = "COINBITCLUB_TELEGRAM_TOKEN";
/// The name of systemd's credential, below `$CREDENTIALS_DIRECTORY`.
pub const CREDENTIAL: &str = "telegram-token";
/// A token has 46 bytes or so; a longer text is some other file by mistake.
pub const TOKEN_BYTES_MAX: usize = 256;

const SOURCE: SecretSource = SecretSource {
    option: "--telegram-token-file",
    variable: VARIABLE,
    credential: CREDENTIAL,
    bytes_max: TOKEN_BYTES_MAX,
};

/// Of its second part: fewer are a cut token.
const SECRET_BYTES_MIN: usize = 16;
/// So many bytes of it in a text are no accident.
const PIECE_BYTES: usize = 8;

/// A bot's token, as BotFather gives it: the bot's number, a colon, and its secret.
#[derive(Debug)]
pub struct BotToken(Secret);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It cannot be had from where it is given.
    #[error("the bot's token: {0}")]
    Source(#[from] SourceError),
    /// What is there is none.
    #[error(
        "{0}: that is no bot's token, which is a number, a colon and a secret of letters, digits, _ and -: ask @BotFather \
         for it (/token)"
    )]
    NotOne(String),
}

impl BotToken {
    /// Looks for the token: `file` is what `--telegram-token-file` names. `None` when no source is given.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn find(file: Option<&Path>) -> Result<Option<Self>, TokenError> {
        Self::find_with(file, |name| std::env::var_os(name))
    }

    /// The same with another environment.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub fn find_with(
        file: Option<&Path>,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Option<Self>, TokenError> {
        let Some(given) = SOURCE.find(file, variable)? else { return Ok(None) };
        Self::parse(given.text.trim_end_matches(['\r', '\n']))
            .map(Some)
            .ok_or(TokenError::NotOne(given.place))
    }

    /// Takes a token as it is; `None` when it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (bot, secret) = text.split_once(':')?;
        let is_number = (1..=20).contains(&bot.len()) && bot.bytes().all(|byte| byte.is_ascii_digit());
        // It goes into the target of a request as it is.
        let is_pure = secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        let is_whole = secret.len() >= SECRET_BYTES_MIN && text.len() <= TOKEN_BYTES_MAX;
        (is_number && is_pure && is_whole).then(|| Self(Secret::new(text.to_owned())))
    }

    /// The target of a request of this bot, which has the token in it: for sending, never for a log.
    pub(super) fn target(&self, method: &str) -> Zeroizing<String> {
        let token = self.0.expose();
        // Room for all of it: a text that moved while it grew would leave a copy behind.
        let mut target = Zeroizing::new(String::with_capacity(5 + token.len() + method.len()));
        for part in ["/bot", token, "/", method] {
            target.push_str(part);
        }
        target
    }

    /// Whether a text has the secret in it, or a part of it.
    pub(super) fn is_told_by(&self, text: &str) -> bool {
        let secret = self.0.expose().split_once(':').map_or("", |(_, secret)| secret);
        let mut pieces = secret.as_bytes().windows(PIECE_BYTES);
        pieces.any(|piece| text.as_bytes().windows(PIECE_BYTES).any(|found| found == piece))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const TOKEN: &str = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw";

    fn find(
        file: Option<&Path>,
        variables: &[(&str, &str)],
    ) -> Result<Option<Zeroizing<String>>, TokenError> {
        let variable =
            |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value));
        Ok(BotToken::find_with(file, variable)?.map(|token| token.target("sendMessage")))
    }

    #[test]
    fn a_token_comes_from_one_place() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join(CREDENTIAL);
        let target = format!("/bot{TOKEN}/sendMessage");
        let place = dir.path().to_str().expect("text");
        assert!(find(None, &[]).expect("nothing is wrong").is_none());
        assert!(find(None, &[("CREDENTIALS_DIRECTORY", place)]).expect("no such credential").is_none());
        let found = find(None, &[(VARIABLE, TOKEN)]).expect("fine").expect("given");
        assert_eq!(*found, target);
        std::fs::write(&file, format!("{TOKEN}\n")).expect("written");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("set");
        for (file, variables) in
            [(Some(file.as_path()), &[][..]), (None, &[("CREDENTIALS_DIRECTORY", place)])]
        {
            assert_eq!(*find(file, variables).expect("fine").expect("given"), target);
        }
        let twice = find(Some(&file), &[(VARIABLE, TOKEN)]).expect_err("two sources").to_string();
        assert!(twice.contains("give one of them") && !twice.contains("AAHdq"), "{twice}");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).expect("set");
        let open = find(Some(&file), &[]).expect_err("open to others").to_string();
        assert!(open.contains("0640") && open.contains("chmod 600"), "{open}");
    }

    #[test]
    fn what_is_no_token_is_refused_and_not_told() {
        for text in
            ["", "hidden", "12:short-hidden", "x1:hiddenhiddenhiddenhidden", "1:hidden/hidden/hidden/hidden"]
        {
            let error = find(None, &[(VARIABLE, text)]).expect_err(text).to_string();
            assert!(error.contains("@BotFather") && !error.contains("hidden"), "{error}");
        }
        assert!(BotToken::parse(&format!("1:{}", "a".repeat(TOKEN_BYTES_MAX))).is_none());
    }

    #[test]
    fn nothing_prints_a_token_and_a_text_that_has_it_is_known() {
        let token = BotToken::parse(TOKEN).expect("one");
        assert!(!format!("{token:?}").contains("AAHdq"));
        assert!(token.is_told_by(&format!("no such place: /bot{TOKEN}/sendMessage")));
        assert!(token.is_told_by("it ends in 5PALDsaw"));
        assert!(!token.is_told_by("Forbidden: bot 110201543 was blocked by the user"));
    }
}
