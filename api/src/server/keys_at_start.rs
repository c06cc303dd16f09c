//! Exchange keys at the start: whether the master keys that were given open them, what is done when they do not, and that those
//! of earlier master keys are sealed anew.
//!
//! **Runs on**: each shard before it serves; then start-up, while the shards serve. **Invariants**: a server that may contact an
//! exchange and cannot open a key of its users does not start unless it was told to: an open position behind such a key would be
//! watched by nobody. **Bounds**: every key of an earlier master key is held until it is on record, some 200 bytes each (RSA:
//! 2 to 4 KB).

use std::time::{Duration, Instant};

use engine::core::command::Command;
use engine::core::ids::{AccountId, Timestamp};
use engine::core::key::{KeyFault, KeyFinding};
use engine::core::user::User;
use engine::seam::Entropy;
use engine::shard::ask::{Answer, Ask, Auth, Op};

use super::config::ServerConfig;
use super::inside::{Lines, NoAnswer};
use crate::vault::{self, Resealed, Unreadable, Vault};

/// Commands under way at once: a part of what a shard's ring holds.
const AT_ONCE: usize = 1_000;
/// A shard that has just started answers within this, or is not well.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Before a shard that was busy is asked again.
const PAUSE: Duration = Duration::from_millis(100);

const SOURCES: &str = "--master-key-file, $COINBITCLUB_MASTER_KEY, or the systemd credential master-key";

/// What is found of the keys in a state.
#[derive(Debug, Default)]
pub(super) struct KeysFound {
    /// Those that do not open.
    pub(super) unreadable: Unreadable,
    /// Those of earlier master keys, under the current one.
    pub(super) resealed: Vec<Resealed>,
}

impl KeysFound {
    /// In the state of a shard.
    pub(super) fn of(vault: Option<&Vault>, users: &[User], entropy: &mut impl Entropy) -> Self {
        let resealed = vault.map(|vault| vault::reseal_all(vault, users, entropy)).unwrap_or_default();
        Self { unreadable: vault::look(vault, users), resealed }
    }

    /// Adds what another shard found.
    pub(super) fn add(&mut self, other: Self) {
        self.unreadable.add(other.unreadable);
        self.resealed.extend(other.resealed);
    }
}

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
pub(super) fn report(lines: &Lines, unreadable: &Unreadable) -> Result<(), String> {
    let finding = KeyFinding { verdict: Err(KeyFault::Unreadable), expires_at: Timestamp(0), identity: None };
    let command = |&(account, number)| (account, Command::ReportKey { account, number, finding });
    put(lines, unreadable.keys.iter().map(command).collect()).map_err(|stuck| {
        format!("{} keys that do not open were put on record, not all: {}", stuck.done, stuck.why)
    })
}

/// Puts on record what was sealed anew. When that fails, keys stay under the master key that sealed them, which this server has.
pub(super) fn reseal(lines: &Lines, vault: &Vault, resealed: Vec<Resealed>) {
    let (keys, master) = (resealed.len(), vault.masters().current().id().to_string());
    if keys == 0 {
        return;
    }
    let command =
        |Resealed { account, number, sealed }| (account, Command::ResealKey { account, number, sealed });
    match put(lines, resealed.into_iter().map(command).collect()) {
        Ok(()) => tracing::info!(
            keys,
            master,
            "exchange keys of earlier master keys are sealed under the current one: backups from before need the earlier ones, \
             this server does not"
        ),
        Err(Stuck { done, why }) => tracing::warn!(
            keys,
            done,
            master,
            why,
            "exchange keys could not all be sealed under the current master key: the earlier ones are still needed, and the \
             next start tries again"
        ),
    }
}

/// Not everything was put on record.
#[derive(Debug, PartialEq, Eq)]
struct Stuck {
    /// So many were.
    done: usize,
    why: String,
}

/// Gives commands to the shards and waits until each is durable. What a shard has no room or time for is asked again: they serve
/// already, and everybody's clients come back at once.
fn put(lines: &Lines, commands: Vec<(AccountId, Command)>) -> Result<(), Stuck> {
    let began = Instant::now();
    let (mut left, mut done) = (commands, 0);
    loop {
        let mut again = Vec::new();
        for some in left.chunks(AT_ONCE) {
            let begin = |(account, command): &(AccountId, Command)| {
                lines.begin(Ask { auth: Auth::Open, op: Op::Command(command.clone()), user: account.user })
            };
            let waiting: Vec<_> = some.iter().map(begin).collect();
            for (one, answer) in some.iter().zip(waiting) {
                let why = match answer.map(|answer| answer.recv_timeout(ANSWER_MAX)) {
                    Ok(Ok(Answer::Decided(Ok(_)))) => {
                        done += 1;
                        continue;
                    }
                    Ok(Ok(Answer::Busy { .. } | Answer::DeadlineExceeded)) | Err(NoAnswer::Full) => {
                        again.push(one.clone());
                        continue;
                    }
                    Ok(Ok(Answer::Stopped)) => "its log has failed".to_owned(),
                    Ok(Ok(Answer::Decided(Err(refusal)))) => format!("it refuses it: {}", refusal.code()),
                    Ok(Ok(_)) => "it answered something else".to_owned(),
                    Ok(Err(_)) | Err(NoAnswer::Silent) => NoAnswer::Silent.to_string(),
                };
                return Err(Stuck { done, why: format!("the shard of account {}: {why}", one.0) });
            }
        }
        let Some((account, _)) = again.first() else { return Ok(()) };
        if began.elapsed() >= ANSWER_MAX {
            let why = format!("the shard of account {account} has been busy for {} s", ANSWER_MAX.as_secs());
            return Err(Stuck { done, why });
        }
        std::thread::sleep(PAUSE);
        left = again;
    }
}

#[cfg(test)]
mod tests {
    use engine::core::command::{Refusal, Reply};
    use engine::core::ids::UserId;
    use engine::core::key::Sealed;
    use ringbuf::doorbell::doorbell;
    use ringbuf::spsc::ring;

    use super::*;
    use crate::server::shard_loop::Inside;

    /// What a shard is asked and answers: it says so in this order, then takes everything.
    fn put_to(answers: Vec<Answer<crate::reads::Found>>) -> (Result<(), Stuck>, usize) {
        let (sender, mut asked) = ring(4);
        let (_bell, ringer) = doorbell().expect("a bell");
        let lines = Lines::new(vec![(sender, ringer)]);
        let command = |index| {
            let account = AccountId { user: UserId(7), index };
            (account, Command::ResealKey { account, number: 1, sealed: Sealed([index; 70].into()) })
        };
        let shard = std::thread::spawn(move || {
            let (mut answers, mut taken) = (answers.into_iter(), 0);
            // Until the lines are gone.
            loop {
                match asked.pop() {
                    Some(Inside::Ask(_, _, answer)) => {
                        let told = answers.next().unwrap_or(Answer::Decided(Ok(Reply::Done)));
                        taken += usize::from(matches!(told, Answer::Decided(Ok(_))));
                        let _ = answer.send(told);
                    }
                    Some(_) => {}
                    None if asked.is_abandoned() => return taken,
                    None => std::thread::yield_now(),
                }
            }
        });
        // More than the ring holds.
        let put = put(&lines, (0..9).map(command).collect());
        drop(lines);
        (put, shard.join().expect("no panic"))
    }

    #[test]
    fn what_a_shard_has_no_room_for_is_asked_again() {
        let busy = vec![Answer::Busy { retry_after: 1 }, Answer::DeadlineExceeded];
        assert_eq!(put_to(busy), (Ok(()), 9));
    }

    #[test]
    fn what_stops_it_is_said_with_how_far_it_came() {
        let done = || Answer::Decided(Ok(Reply::Done));
        for (answer, why) in [
            (Answer::Stopped, "its log has failed"),
            (Answer::Decided(Err(Refusal::UnknownUser)), "it refuses it: unknown_user"),
        ] {
            let stuck = put_to(vec![done(), answer]).0.expect_err("stopped");
            let account = AccountId { user: UserId(7), index: 1 };
            assert_eq!(stuck, Stuck { done: 1, why: format!("the shard of account {account}: {why}") });
        }
    }
}
