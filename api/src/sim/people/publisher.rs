//! Publishers: they make sources, send signals of every kind, and read receipts.

use engine::core::command::Reply;
use engine::core::event::Latch;
use engine::seam::Nanos;
use serde_json::json;

use super::signal::{DRAWN, Sent};
use super::{Person, Published, Reader, check_receipt, leave, symbol, take};
use crate::sim::client::request;
use crate::sim::intent::{Intent, Known};
use crate::sim::model::Page;

pub(super) async fn publish(mut person: Person) {
    if person.arrive().await {
        while !person.over() && person.world().sources_of(person.user) == 0 {
            new_source(&mut person).await;
        }
        while !person.over() {
            let think = person.world().plan.think;
            person.client.pause(think).await;
            match person.client.below(20) {
                0 => new_source(&mut person).await,
                1 => person.read(Page::Sources).await,
                2 => receipt(&mut person).await,
                3 => halt_source(&mut person).await,
                4 => person.read(Page::Profile).await,
                _ => signal(&mut person).await,
            }
        }
    }
    leave(&person.client.world);
}

async fn new_source(person: &mut Person) {
    let name = format!("source {}", person.next_unique());
    let intent = Intent::Source(person.user, name.clone());
    let bytes = request("POST", "/api/sources", &person.token, &json!({ "name": name }).to_string());
    let (known, answer) = person.ask(&intent, &bytes).await;
    if let (Known::Done(Reply::Source(id), _), Ok(response)) = (&known, &answer) {
        let secret = response.json()["secret"].as_str().unwrap_or_default().to_owned();
        person.world().sources.borrow_mut().push(Published { id: *id, secret });
    }
    person.after(&known).await;
}

async fn halt_source(person: &mut Person) {
    let Some(source) = person.my_source() else { return };
    let on = person.client.one_in(3);
    let intent = Intent::Halt(person.user, Latch::Source(source.id.index), on);
    let body = json!({ "on": on, "source": source.id.to_string() });
    let known = person.change(intent, "POST", "/api/halt", body).await;
    person.after(&known).await;
}

/// One signal: opens and closes of all kinds, fresh and old, known symbols and unknown, sent once or again.
async fn signal(person: &mut Person) {
    let Some(source) = person.my_source() else { return };
    let tag = format!("tag-{}-", person.next_unique());
    let kind = DRAWN[usize::try_from(person.client.below(DRAWN.len() as u64)).expect("small")];
    let listed = if person.client.one_in(30) { None } else { Some(symbol(&mut person.client)) };
    let (mut sent, mut body) = Sent::new(&source, tag, kind, listed, &mut person.ways);
    if !person.client.one_in(4) {
        sent.with_id(&mut body);
    }
    let seconds = person.world().true_seconds();
    let time = match person.client.below(10) {
        0 => Some(seconds - 40),
        1 => Some(seconds + 20),
        2..=4 => Some(seconds),
        _ => None,
    };
    if let Some(time) = time {
        sent.with_time(&mut body, time, &mut person.ways);
    }
    if person.client.one_in(6) {
        let leverage = 1 + u8::try_from(person.client.below(12)).expect("small");
        sent.with_leverage(&mut body, leverage, &mut person.ways);
    }
    let mut bytes = sent.request(&body, &source.secret, &mut person.ways);
    let intent = Intent::Signal(Box::new(sent.clone()));
    if take(&person.world().resends) {
        let bytes = sent.request(&body, &source.secret, &mut person.ways);
        person.send_again(&intent, bytes);
    }
    // As TradingView does: again after a lost answer or a 5xx, what means the same.
    for _ in 0..4 {
        let (known, _) = person.ask(&intent, &bytes).await;
        match known {
            Known::Done(Reply::Signal { id, .. }, _) => {
                person.world().accepted.borrow_mut().push((id, source.secret.clone()));
                if !person.client.one_in(8) {
                    return;
                }
            }
            Known::Done(..) => return,
            Known::Refused(code) => {
                if code == "unauthorized" {
                    let what = format!("the secret of {} was acknowledged and is not valid", source.id);
                    person.world().judge.borrow_mut().violate(what);
                }
                return;
            }
            Known::Again => {}
        }
        if person.world().is_over() {
            return;
        }
        person.client.pause(Nanos::from_millis(3_000)).await;
        bytes = sent.request(&body, &source.secret, &mut person.ways);
    }
}

async fn receipt(person: &mut Person) {
    let accepted = person.world().accepted.borrow().clone();
    if accepted.is_empty() {
        return;
    }
    let at = usize::try_from(person.client.below(accepted.len() as u64)).expect("below a length");
    let (id, secret) = &accepted[at];
    let in_session = id.source.owner == person.user && person.client.one_in(2);
    let reader =
        if in_session { Reader::user(person.user, &person.token) } else { Reader::publisher(secret) };
    check_receipt(&mut person.client, *id, &reader, false).await;
}
