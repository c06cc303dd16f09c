//! What the arguments of a server say about alerts over Telegram.
//!
//! **Runs on**: start-up. **Invariants**: without a chat nothing is set up, whatever else is given; the token is no argument,
//! which every user of the machine could read.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use net::client::Security;

use super::keys;
use crate::alerts::AlertSettings;
use crate::alerts::outbox::{CHATS_MAX, ChatId};
use crate::alerts::telegram::{TELEGRAM, TelegramAt};
use crate::alerts::token::{BotToken, VARIABLE};

/// Who is told, and how.
#[derive(Args, Clone, Debug)]
pub struct TelegramArgs {
    /// Tell alerts to this Telegram chat: the number of a person, or of a group (below zero); may be given 16 times. Without
    /// it Telegram is not contacted. The bot's token is in COINBITCLUB_TELEGRAM_TOKEN or a file, see docs/operations.md.
    #[arg(long = "telegram-chat", value_name = "ID", allow_negative_numbers = true)]
    pub chats: Vec<i64>,
    /// The file with the bot's token, readable by this user only.
    #[arg(long = "telegram-token-file", value_name = "FILE", requires = "chats")]
    pub token_file: Option<PathBuf>,
    /// Contact Telegram's API here instead: a Bot API server of one's own, or a test. http:// for this machine alone.
    #[arg(long = "telegram-at", value_name = "URL", default_value = TELEGRAM)]
    pub at: String,
}

/// Reads `https://api.telegram.org`.
fn place(url: &str) -> Result<TelegramAt, String> {
    let (security, host, port) = keys::address(url)
        .ok_or_else(|| format!("--telegram-at {url}: https:// or http:// with host and port, and no path"))?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_name = bare.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte));
    if !is_name {
        return Err(format!("--telegram-at: the host's name is not one: {}", host.escape_debug()));
    }
    let is_here =
        bare == "localhost" || bare.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
    if security == Security::Plain && !is_here {
        return Err(format!(
            "--telegram-at {url}: the bot's token does not leave this machine in the clear: use https://"
        ));
    }
    Ok(TelegramAt { security, host, port })
}

/// How alerts are set up; `None` when nobody is to be told.
///
/// # Errors
/// The argument, or the token's place, and what is wrong with it.
pub fn settings(args: &TelegramArgs) -> Result<Option<AlertSettings>, String> {
    settings_with(args, |args| BotToken::find(args.token_file.as_deref()).map_err(|error| error.to_string()))
}

fn settings_with(
    args: &TelegramArgs,
    find: impl FnOnce(&TelegramArgs) -> Result<Option<BotToken>, String>,
) -> Result<Option<AlertSettings>, String> {
    if args.chats.is_empty() {
        return Ok(None);
    }
    if args.chats.contains(&0) {
        return Err(
            "--telegram-chat 0: no chat has that number; write to the bot and look for chat.id in what \
                    getUpdates tells, as docs/operations.md says"
                .to_owned(),
        );
    }
    let mut chats: Vec<ChatId> = args.chats.iter().copied().map(ChatId).collect();
    chats.sort_unstable();
    chats.dedup();
    if chats.len() > CHATS_MAX {
        return Err(format!(
            "--telegram-chat: {} chats, {CHATS_MAX} at most: put people into a group",
            chats.len()
        ));
    }
    let at = place(&args.at)?;
    let token = find(args)?.ok_or_else(|| {
        format!(
            "--telegram-chat: the bot's token is missing: ask @BotFather for it (/token), and give it by \
             --telegram-token-file FILE (mode 0600), ${VARIABLE} or the credential telegram-token"
        )
    })?;
    Ok(Some(AlertSettings { chats, token: Arc::new(token), at }))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    const TOKEN: &str = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw";

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        telegram: TelegramArgs,
    }

    fn args(words: &[&str]) -> TelegramArgs {
        Line::try_parse_from([&["x"], words].concat()).expect("understood").telegram
    }

    fn set(words: &[&str]) -> Result<Option<AlertSettings>, String> {
        settings_with(&args(words), |_| Ok(BotToken::parse(TOKEN)))
    }

    #[test]
    fn without_a_chat_nothing_is_set_up_and_no_token_looked_for() {
        let found = settings_with(&args(&[]), |_| Err("the token was looked for".to_owned()));
        assert!(found.expect("nothing is wrong").is_none());
        assert!(Line::try_parse_from(["x", "--telegram-token-file", "f"]).is_err(), "a token for nobody");
    }

    #[test]
    fn chats_are_people_and_groups() {
        let set = set(&["--telegram-chat", "7", "--telegram-chat", "-1001234567890", "--telegram-chat=7"]);
        let set = set.expect("fine").expect("set up");
        assert_eq!(set.chats, [ChatId(-1_001_234_567_890), ChatId(7)]);
        let telegram = TelegramAt { security: Security::Tls, host: "api.telegram.org".to_owned(), port: 443 };
        assert_eq!(set.at, telegram);
        assert!(!format!("{set:?}").contains("AAHdq"));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_remedy() {
        let many: Vec<String> = (1..=17).map(|chat| format!("--telegram-chat={chat}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let at = |url: &'static str| ["--telegram-chat", "7", "--telegram-at", url];
        for (words, part) in [
            (&["--telegram-chat", "0"][..], "getUpdates"),
            (&many, "into a group"),
            (&at("api.telegram.org"), "https://"),
            (&at("https://api.telegram.org/bot"), "no path"),
            (&at("http://203.0.113.9:80"), "in the clear"),
            (&at("http://example.com"), "in the clear"),
            (&at("https://exa mple.com"), "not one"),
        ] {
            let error = set(words).expect_err(part);
            assert!(error.contains(part) && error.starts_with("--telegram-"), "{error}");
        }
        for url in ["http://127.0.0.1:81", "http://[::1]:81", "http://localhost:81"] {
            assert!(set(&at(url)).is_ok(), "{url}");
        }
        let missing = settings_with(&args(&["--telegram-chat", "7"]), |_| Ok(None)).expect_err("no token");
        for part in ["@BotFather", "--telegram-token-file", "0600", "COINBITCLUB_TELEGRAM_TOKEN"] {
            assert!(missing.contains(part), "{missing}");
        }
    }
}
