//! Receipts as they are read: by their publisher, or by one who follows.

use std::rc::Rc;

use engine::core::auth::digest;
use engine::core::ids::{SignalId, UserId};
use engine::seam::Nanos;

use crate::sim::client::{Client, Lost, Response, request};
use crate::sim::judge::{Asked, Session};
use crate::sim::unavailable::Queue;
use crate::sim::world::World;

/// How often a receipt is asked for when nothing moves and it must come.
const TRIES: u32 = 40;
/// The pause between two of these.
const BETWEEN: Nanos = Nanos::from_millis(500);

/// Who reads a receipt, and by what they prove it.
pub(in crate::sim) struct Reader {
    bearer: String,
    session: Option<Session>,
}

impl Reader {
    /// Its publisher, with the source's secret.
    pub(in crate::sim) fn publisher(secret: &str) -> Self {
        Self { bearer: secret.to_owned(), session: None }
    }

    /// The user of a session: its publisher, or one who follows.
    pub(in crate::sim) fn user(user: UserId, token: &str) -> Self {
        Self { bearer: token.to_owned(), session: Some(Session { user, token: digest(token.as_bytes()) }) }
    }
}

/// Reads a receipt and holds it against the model; `settled` wants one, and wants it finished.
pub(in crate::sim) async fn check_receipt(client: &mut Client, id: SignalId, reader: &Reader, settled: bool) {
    let world = Rc::clone(&client.world);
    let bytes = request("GET", &format!("/api/signals/{id}?limit=1000"), &reader.bearer, "");
    client.hashes = false;
    for _ in 0..if settled { TRIES } else { 1 } {
        if world.is_over() {
            return;
        }
        let asked = world.sends(reader.session);
        let answer = client.call(&bytes).await;
        if says_something(&world, id, &asked, &answer, settled) {
            return;
        }
        if settled {
            world.executor.sleep(BETWEEN).await;
        }
    }
    if settled && !world.is_over() {
        world.judge.borrow_mut().violate(format!("{id} is settled and its receipt cannot be read"));
    }
}

/// Holds an answer against the model; false when it says nothing of the receipt.
fn says_something(
    world: &World,
    id: SignalId,
    asked: &Asked,
    answer: &Result<Response, Lost>,
    settled: bool,
) -> bool {
    let calendar = world.calendar_since(asked.at);
    let mut judge = world.judge.borrow_mut();
    judge.over(asked);
    let Ok(response) = answer else { return false };
    judge.note(|| format!("receipt {id} {}", response.status));
    // A publisher sees all of it, whatever they prove it by.
    let only = asked.session.map(|session| session.user).filter(|user| *user != id.source.owner);
    let what = format!("the receipt of {id}");
    match response.status {
        200 => {
            let found = response.json();
            judge.check_served(asked, calendar, &what);
            let mut agrees = judge.receipt_agrees(asked, id, only, &found);
            if settled && found["state"] != "finished" {
                agrees = Err(format!("its state is {}", found["state"]));
            }
            if let Err(difference) = agrees {
                judge.violate(format!("{what} shows {found}: {difference}"));
            }
        }
        // Only the newest signals are kept, and a follower's newest lines.
        404 => {
            judge.check_served(asked, calendar, &what);
            if !judge.receipt_may_be_missing(asked, id, only) {
                judge.violate(format!("{what} was answered that it is not there, and it is"));
            }
        }
        401 => judge.check_turned_away(asked, calendar, &what),
        503 => {
            let code = response.code();
            let may_be = world.may_be_unavailable(asked, judge.under_way(), Queue::Lanes, &code);
            if let Err(why) = may_be {
                judge.violate(format!("{what} was answered {code}: {why}"));
            }
            return false;
        }
        status => judge.violate(format!("{what} was answered {status}")),
    }
    world.compared();
    true
}
