//! Receipts of signals: the shards are asked one after another, and the database for what they have forgotten.
//!
//! **Runs on**: the desk's shard. **Invariants**: whoever asks has proved who they are to a shard before the database is asked; what
//! is not found there either is 404, and 503 where nobody could look.

use engine::core::ids::UserId;
use engine::seam::Entropy;
use engine::shard::ask::{Answer, Ask, Auth, Op};
use engine::shard::ports::ShardId;
use net::wire::Wire;

use super::{Desk, Http, Outgoing, Pending, Target, render};
use crate::reads::{Found, Question};
use crate::server::readers::{Asked, HistoryAnswer, HistoryJob};
use crate::server::receipts::Wanted;
use crate::web::flows::ReceiptFlow;

impl<E: Entropy> Desk<E> {
    pub(super) fn receipt_step(
        &mut self,
        mut flow: Box<ReceiptFlow>,
        answer: Answer<Found>,
        wire: &mut impl Wire,
    ) {
        let http = flow.http;
        let signal = flow.signal;
        match answer {
            Answer::Read(Found::SignalHead(head)) => {
                flow.head = Some(head);
                match flow.only {
                    Some(user) => self.send(own_line(&flow, user), Pending::Receipt(flow)),
                    None => self.receipt_page(flow, 0),
                }
            }
            Answer::Read(Found::Receipt(lines, next)) => {
                if flow.head.is_none() {
                    // A subscriber: only with a line of their own do they see the head.
                    if lines.is_empty() {
                        return self.ask_database_for(flow, wire);
                    }
                    let user = signal.source.owner;
                    let op = Op::Question(Question::SignalHead(signal));
                    return self.send(Ask { auth: Auth::Open, op, user }, Pending::Receipt(flow));
                }
                flow.add(lines);
                if let Some(from) = next {
                    self.receipt_page(flow, from);
                } else if flow.only.is_none() && flow.shard + 1 < self.shards {
                    flow.shard += 1;
                    self.receipt_page(flow, 0);
                } else if flow.lacks_lines() {
                    self.ask_database_for(flow, wire);
                } else {
                    self.receipt_of_state(*flow, wire);
                }
            }
            Answer::Read(_) => self.ask_database_for(flow, wire),
            other => self.respond(wire, http, |out, mode, date| render::answer(out, mode, date, &other)),
        }
    }

    fn receipt_page(&mut self, flow: Box<ReceiptFlow>, from: u32) {
        let shard = ShardId(flow.shard);
        let op = Op::Question(Question::Receipt { signal: flow.signal, from, only: None });
        let ask = Ask { auth: Auth::Open, op, user: flow.signal.source.owner };
        let reply = self.keep(Pending::Receipt(flow));
        self.outgoing.push(Outgoing { target: Target::Shard(shard), ask, reply });
    }

    /// The state does not know the signal, or not all that came of it.
    fn ask_database_for(&mut self, flow: Box<ReceiptFlow>, wire: &mut impl Wire) {
        let ReceiptFlow { signal, only, limit, offset, .. } = *flow;
        let Some(readers) = self.history.clone() else { return self.receipt_of_state(*flow, wire) };
        if let Some(why) = self.not_to_be_read() {
            return self.receipt_read(*flow, Err(why), wire);
        }
        let reply = self.keep(Pending::Receipt(flow));
        let asked = Asked::Receipt(Wanted { signal, only, limit, offset });
        let job = HistoryJob { shard: self.shard, key: reply.0, asked };
        if !readers.ask(job)
            && let Some(Pending::Receipt(flow)) = self.take(reply)
        {
            self.receipt_read(*flow, Err("too many read the history".to_owned()), wire);
        }
    }

    /// Takes what the database said. What the state has is told where that is more: a replica may be behind.
    pub(super) fn receipt_read(
        &mut self,
        flow: ReceiptFlow,
        read: Result<Box<HistoryAnswer>, String>,
        wire: &mut impl Wire,
    ) {
        let in_state = flow.head.is_some().then(|| flow.seen());
        match read.map(|answer| *answer) {
            Ok(HistoryAnswer::Receipt(Some(found))) if in_state.is_none_or(|seen| seen < found.decided) => {
                self.respond(wire, flow.http, |out, mode, date| {
                    render::json(out, mode, date, 200, &found.body)
                });
            }
            Err(why) if in_state.is_none() => self.respond(wire, flow.http, |out, mode, date| {
                let message = format!("{why}; the state keeps the newest signals only");
                render::error(out, mode, date, 503, "history_unavailable", &message, Some(5));
            }),
            _ => self.receipt_of_state(flow, wire),
        }
    }

    /// What the state has of it.
    fn receipt_of_state(&mut self, flow: ReceiptFlow, wire: &mut impl Wire) {
        let http = flow.http;
        if flow.head.is_none() || flow.only.is_some() && flow.seen() == 0 {
            return self.not_found(wire, http);
        }
        let body = flow.render();
        self.respond(wire, http, |out, mode, date| render::json(out, mode, date, 200, &body));
    }

    fn not_found(&mut self, wire: &mut impl Wire, http: Http) {
        self.respond(wire, http, |out, mode, date| {
            render::error(out, mode, date, 404, "not_found", "no such signal", None);
        });
    }
}

fn own_line(flow: &ReceiptFlow, user: UserId) -> Ask<Question> {
    let op = Op::Question(Question::Receipt { signal: flow.signal, from: 0, only: Some(user) });
    Ask { auth: Auth::Open, op, user }
}
