//! Exchange keys at the start: whether the master keys that were given open them, and what is done when they do not.
//!
//! **Runs on**: start-up. **Invariants**: a server that may contact an exchange and cannot open a key of its users does not start
//! unless it was told to: an open position behind such a key would be watched by nobody.

use std::time::Duration;

use engine::core::command::Command;
use engine::core::ids::{AccountId, Timestamp};
use engine::core::key::{KeyFault, KeyFinding};
use engine::shard::ask::{Answer, Ask, Auth, Op};

use super::config::ServerConfig;
use super::inside::Lines;
use crate::vault::Unreadable;

/// Findings under way at once: a part of what a shard's ring holds.
const AT_ONCE: usize = 1_000;
/// A shard that has just started answers within this, or is not well.
const ANSWER_MAX: Duration = Duration::from_secs(30);

const SOURCES: &str = "--master-key-file, $COINBITCLUB_MASTER_KEY, or the systemd credential master-key";

/// An exchange is named, and there is no master key.
pub(super) fn no_master() -> String {
    format!(
        "--live names an exchange, whose keys have to be sealed: give a master key by {SOURCES}; \
         `coinbitclub keys new-master` makes one"
    )
}

/// Whether the start may go on.
///
/// # Errors
/// What is wrong and what to do about it.
pub(super) fn judge(config: &ServerConfig, unreadable: &Unreadable) -> Result<(), String> {
    let (lost, all) = (unreadable.keys.len(), unreadable.looked_at);
    if lost == 0 {
        return Ok(());
    }
    let Some(vault) = &config.vault else {
        // Without a master key no exchange is named (see `no_master`): nobody would use the keys.
        tracing::warn!(
            keys = all,
            "no master key is given: the exchange keys stay sealed, and no exchange is contacted"
        );
        return Ok(());
    };
    let why = unreadable.first.as_ref().map(ToString::to_string).unwrap_or_default();
    let given: Vec<String> = vault.masters().ids().map(|id| id.to_string()).collect();
    if config.accept_unreadable_keys {
        tracing::warn!(lost, all, why, "exchange keys do not open: their owners have to enter them again");
        return Ok(());
    }
    Err(format!(
        "{lost} of {all} exchange keys do not open ({why}; given: {}): give the master key they were sealed under by {SOURCES}, \
         behind the current one if that is newer; if it is lost, start once with --accept-unreadable-keys, and have their \
         owners enter them again",
        given.join(", ")
    ))
}

/// Puts on record which keys do not open, so that their accounts open nothing and their owners see why.
///
/// # Errors
/// A shard that does not answer.
pub(super) fn report(lines: &Lines, keys: &[(AccountId, u32)]) -> Result<(), String> {
    let finding = KeyFinding { verdict: Err(KeyFault::Unreadable), expires_at: Timestamp(0), identity: None };
    for some in keys.chunks(AT_ONCE) {
        let ask = |&(account, number): &(AccountId, u32)| {
            let op = Op::Command(Command::ReportKey { account, number, finding });
            lines.begin(Ask { auth: Auth::Open, op, user: account.user })
        };
        let waiting = some.iter().map(ask).collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())?;
        for answer in waiting {
            match answer.recv_timeout(ANSWER_MAX) {
                Ok(Answer::Decided(Ok(_))) => {}
                other => return Err(format!("a key that does not open was not put on record: {other:?}")),
            }
        }
    }
    Ok(())
}
