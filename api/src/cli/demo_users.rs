//! The demo's users: paper accounts with settings that differ by a fixed rule, so that a run can be repeated and checked.
//!
//! **Bounds**: [`UNDER_WAY_MAX`] asks at once, so that no lane fills.

use std::collections::VecDeque;
use std::time::Duration;

use engine::core::command::{Command, Reply};
use engine::core::event::Latch;
use engine::core::fixed::{Money, Rate};
use engine::core::ids::{SourceId, UserId};
use engine::core::instrument::Symbol;
use engine::core::rules::{Settings, Sizing};
use engine::core::user::VenueKind;
use engine::shard::ask::{Answer, Ask, Auth, Op};

use crate::reads::Found;
use crate::server::inside::{Lines, Waiting};

/// Asks under way at once.
const UNDER_WAY_MAX: usize = 2_000;
/// How long one answer may take.
const LIMIT: Duration = Duration::from_secs(30);

/// One of the demo's users.
#[derive(Clone, Debug)]
pub struct DemoUser {
    /// Address.
    pub email: String,
    /// Id.
    pub id: UserId,
    /// Wallet of the paper account.
    pub wallet: Money,
    /// Settings of the subscription.
    pub settings: Settings,
    /// The user's halt latch.
    pub halted: bool,
    /// Whether the signal should lead to an order.
    pub eligible: bool,
}

/// The user with this number. Of each 50, one does not trade the symbol, one has next to no money and one is halted.
#[must_use]
pub fn demo_user(number: u32, other: Symbol) -> DemoUser {
    let email = format!("demo{number}@example.com");
    let n = i64::from(number);
    let sizing = match n % 4 {
        0 => Sizing::PercentOfBalance(Rate::from_units((10 + n % 41) * 1_000_000)),
        1 => Sizing::FixedMargin(Money::from_whole(100 + n % 100)),
        2 => Sizing::FixedNotional(Money::from_whole(500 + n % 1_000)),
        _ => Sizing::RiskToStop(Money::from_whole(20 + n % 30)),
    };
    let refuses_symbol = n % 50 == 7;
    let poor = n % 50 == 17;
    let halted = n % 50 == 27;
    let settings = Settings {
        sizing: if poor { Sizing::PercentOfBalance(Rate::from_units(30_000_000)) } else { sizing },
        leverage: [2, 3, 5, 5, 5, 8, 10][usize::try_from(n % 7).expect("below 7")],
        stop_multiplier: Rate::from_whole(2 + n % 3),
        take_profit_multiplier: Rate::from_whole(3 + n % 4),
        symbols: if refuses_symbol { vec![other] } else { Vec::new() },
        ..Settings::default()
    };
    DemoUser {
        id: UserId::from_email(&email),
        email,
        wallet: if poor { Money::from_units(10_000_000) } else { Money::from_whole(5_000 + n % 10_000) },
        settings,
        halted,
        eligible: !(refuses_symbol || poor || halted),
    }
}

/// Makes the users, each with an account and a subscription; `each` is told after each one.
///
/// # Errors
/// The first that could not be made.
pub fn make(
    lines: &Lines,
    users: &[DemoUser],
    password_hash: &str,
    source: SourceId,
    mut each: impl FnMut(),
) -> Result<(), String> {
    let mut under_way: VecDeque<Waiting> = VecDeque::new();
    for user in users {
        let id = user.id;
        let sign_up = Command::SignUp {
            email: user.email.clone(),
            password: password_hash.to_owned(),
            zone: String::new(),
        };
        let open = Command::OpenAccount { user: id, venue: VenueKind::Paper, wallet: Some(user.wallet) };
        let settings = user.settings.clone();
        let subscribe = Command::Subscribe { user: id, source, account: 0, settings };
        let mut commands = vec![sign_up, open, subscribe];
        if user.halted {
            commands.push(Command::SetHalt { user: id, latch: Latch::User, on: true });
        }
        // One user's asks are decided in the order they are sent.
        for command in commands {
            while under_way.len() >= UNDER_WAY_MAX {
                finish(&mut under_way)?;
            }
            let ask = Ask { auth: Auth::Open, op: Op::Command(command), user: id };
            under_way.push_back(lines.begin(ask).map_err(|error| error.to_string())?);
        }
        each();
    }
    while !under_way.is_empty() {
        finish(&mut under_way)?;
    }
    Ok(())
}

fn finish(under_way: &mut VecDeque<Waiting>) -> Result<(), String> {
    let Some(waiting) = under_way.pop_front() else { return Ok(()) };
    match waiting.recv_timeout(LIMIT) {
        Ok(Answer::Decided(Ok(_))) => Ok(()),
        Ok(Answer::Decided(Err(refusal))) => Err(format!("a demo user could not be made: {refusal}")),
        Ok(other) => Err(format!("a demo user could not be made: {other:?}")),
        Err(_) => Err("a shard did not answer while users were made".to_owned()),
    }
}

/// Decides a command and waits.
///
/// # Errors
/// What went wrong.
pub fn decide(lines: &Lines, user: UserId, command: Command) -> Result<Reply, String> {
    let ask = Ask { auth: Auth::Open, op: Op::Command(command), user };
    match lines.ask(ask, LIMIT).map_err(|error| error.to_string())? {
        Answer::Decided(Ok(reply)) => Ok(reply),
        Answer::Decided(Err(refusal)) => Err(refusal.to_string()),
        other => Err(format!("{other:?}")),
    }
}

/// Reads a JSON page about a user.
///
/// # Errors
/// What went wrong.
pub fn page(lines: &Lines, user: UserId, page: crate::reads::Page) -> Result<Vec<u8>, String> {
    let op = Op::Question(crate::reads::Question::Page(user, page));
    match lines.ask(Ask { auth: Auth::Open, op, user }, LIMIT).map_err(|error| error.to_string())? {
        Answer::Read(Found::Json(body)) => Ok(body),
        other => Err(format!("{other:?}")),
    }
}
