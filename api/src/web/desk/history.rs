//! Histories: the session is proved, the database is asked, and where it does not answer the state is; all there is as CSV goes out
//! piece by piece.
//!
//! **Runs on**: the desk's shard; statements run and rows are rendered on the readers' thread. The few rows that the state keeps
//! are asked for only when the database did not answer.
//! **Invariants**: the database is asked only while it is known to hold this server's history; a stream comes from the database to its end, none of its pages shows less than the one before, and it is
//! called complete (its last chunk is sent) only when it is: otherwise its connection is aborted.
//! **Bounds**: [`STREAMS_MAX`] streams a server, two of a user, each ended when its client takes nothing for [`IDLE_MAX`]; of each one page of the database waits here. The next is asked for when all of it
//! is taken by the connection, which takes what its client takes.
//!
//! [`STREAMS_MAX`]: crate::server::readers::STREAMS_MAX

use std::collections::VecDeque;

use engine::core::ids::UserId;
use engine::seam::{Entropy, Nanos};
use engine::shard::ask::{Answer, Ask, Auth, Op, ReplyTo};
use engine::shard::ports::owner;
use net::http::Appended;
use net::http::response::{self, Chunks};
use net::wire::Wire;
use storage::ShardNumber;
use storage::postgres::replicas::Token;

use super::{Desk, Http, Pending, render};
use crate::reads::{Found, Question};
use crate::server::readers::{Asked, HistoryAnswer, HistoryJob, Part, StreamSlot};
use crate::web::history::{HistoryPage, HistoryQuestion, PositionText, StreamPage};

/// A client that takes no piece of a stream for so long has its connection ended: less than 64 KiB a minute is no reading.
const IDLE_MAX: Nanos = Nanos::from_millis(60_000);
const CSV: &str = "text/csv; charset=utf-8";

/// A history that is asked for.
pub(super) struct HistoryFlow {
    http: Http,
    question: Box<HistoryQuestion>,
    step: Step,
}

/// What an answer is awaited of.
enum Step {
    /// The session.
    Session,
    /// The database.
    Database,
    /// The state, because the database did not answer; why not, in words for whoever asks.
    State(String),
}

/// A history that is sent piece by piece.
pub(super) struct StreamFlow {
    http: Http,
    question: Box<HistoryQuestion>,
    /// Given back with the flow, whatever its end.
    _slot: StreamSlot,
    /// Known once the first piece has begun the answer.
    body: Option<Chunks>,
    source: String,
    pieces: VecDeque<Vec<u8>>,
    /// There is another page after these pieces.
    more: bool,
}

impl<E: Entropy> Desk<E> {
    /// Where a user's events are in the logs, and how far that log is.
    fn token_of(&self, user: UserId) -> Option<Token> {
        let history = self.gauges.history.as_ref()?;
        let shard = owner(user, self.shards);
        let lsn = history.shards[shard.place()].durable();
        Some(Token { generation: history.generation, shard: ShardNumber(shard.0), lsn })
    }

    /// How far the log of a user's shard is: everything that was answered about them so far is in it.
    pub(super) fn position_of(&self, user: UserId) -> Option<PositionText> {
        self.token_of(user).map(PositionText::of)
    }

    pub(super) fn begin_history(&mut self, http: Http, session: [u8; 32], question: Box<HistoryQuestion>) {
        let user = question.user;
        let (asked, step) = match &self.history {
            Some(_) => (Question::Known(user), Step::Session),
            None => {
                let asked = Question::History { question: question.clone(), database: false };
                (asked, Step::State("history is kept in Postgres, and none is set up".to_owned()))
            }
        };
        let ask = Ask { auth: Auth::Session(user, session), op: Op::Question(asked), user };
        self.send(ask, Pending::History(Box::new(HistoryFlow { http, question, step })));
    }

    /// The shard has answered: the session is valid, or the state's part is there.
    pub(super) fn history_step(
        &mut self,
        mut flow: Box<HistoryFlow>,
        answer: Answer<Found>,
        wire: &mut impl Wire,
    ) {
        let http = flow.http;
        match (answer, &flow.step) {
            (Answer::Read(Found::Known(zone)), _) => {
                flow.question.in_zone(&zone);
                self.ask_database(flow, wire);
            }
            (Answer::Read(Found::History(Some(rows))), _) => {
                let page = rows.page(flow.question.csv);
                self.history_page(http, &page, wire);
            }
            (Answer::Read(Found::History(None)), Step::State(why)) => {
                let message =
                    format!("{why}; the state keeps the newest only, and what is asked for is older");
                self.respond(wire, http, |out, mode, date| {
                    render::error(out, mode, date, 503, "history_unavailable", &message, Some(5));
                });
            }
            (other, _) => self.respond(wire, http, |out, mode, date| render::answer(out, mode, date, &other)),
        }
    }

    /// Why the database is not asked.
    pub(super) fn not_to_be_read(&self) -> Option<String> {
        self.gauges.history.as_ref().and_then(|history| history.not_to_be_read()).map(str::to_owned)
    }

    fn ask_database(&mut self, mut flow: Box<HistoryFlow>, wire: &mut impl Wire) {
        let (Some(readers), user) = (self.history.clone(), flow.question.user) else { return };
        if let Some(why) = self.not_to_be_read() {
            return self.ask_state(flow, why);
        }
        if !flow.question.is_stream() {
            flow.step = Step::Database;
            let question = flow.question.clone();
            let reply = self.keep(Pending::History(flow));
            let asked = Asked::History(question, Part::Page);
            let job = HistoryJob { shard: self.shard, key: reply.0, asked };
            if !readers.ask(job)
                && let Some(Pending::History(flow)) = self.take(reply)
            {
                self.ask_state(flow, "too many read the history".to_owned());
            }
            return;
        }
        let (Some(slot), Some(_)) = (readers.slot(user), self.token_of(user)) else {
            return self.respond(wire, flow.http, |out, mode, date| {
                let message = "too many exports are under way; nothing happened";
                render::error(out, mode, date, 503, "busy", message, Some(5));
            });
        };
        self.ask_for_more(
            Box::new(StreamFlow {
                http: flow.http,
                question: flow.question,
                _slot: slot,
                body: None,
                source: String::new(),
                pieces: VecDeque::new(),
                more: true,
            }),
            wire,
        );
    }

    fn ask_state(&mut self, mut flow: Box<HistoryFlow>, why: String) {
        flow.step = Step::State(why);
        let user = flow.question.user;
        let asked = Question::History { question: flow.question.clone(), database: true };
        // Whose session it is was shown before.
        let ask = Ask { auth: Auth::Open, op: Op::Question(asked), user };
        self.send(ask, Pending::History(flow));
    }

    /// Takes what the database said.
    pub fn history_read(&mut self, key: u64, read: Result<Box<HistoryAnswer>, String>, wire: &mut impl Wire) {
        match (self.take(ReplyTo(key)), read) {
            (Some(Pending::History(flow)), Ok(answer)) => {
                if let HistoryAnswer::Page(page) = *answer {
                    self.history_page(flow.http, &page, wire);
                }
            }
            (Some(Pending::History(flow)), Err(why)) => self.ask_state(flow, why),
            (Some(Pending::Stream(flow)), Ok(answer)) => {
                if let HistoryAnswer::Stream(page, reached) = *answer {
                    self.stream_page(flow, page, reached, wire);
                }
            }
            (Some(Pending::Stream(flow)), Err(why)) => self.stream_fails(*flow, why, wire),
            (Some(Pending::Receipt(flow)), read) => self.receipt_read(*flow, read, wire),
            _ => {}
        }
    }

    fn history_page(&mut self, http: Http, page: &HistoryPage, wire: &mut impl Wire) {
        self.respond(wire, http, |out, mode, date| {
            if !page.csv {
                return render::json(out, mode, date, 200, &page.body);
            }
            let mut head = response::begin(out, 200, mode, date).header("X-Source", &page.source);
            if page.truncated {
                head = head.header("X-Truncated", "true");
            }
            if let Some(next) = &page.next {
                head = head.header("X-Next-Cursor", next);
            }
            head.body(CSV, &page.body);
        });
    }

    fn ask_for_more(&mut self, flow: Box<StreamFlow>, wire: &mut impl Wire) {
        let (question, first) = (flow.question.clone(), flow.body.is_none());
        let (Some(readers), Some(token)) = (self.history.clone(), self.token_of(question.user)) else {
            return;
        };
        if let Some(why) = self.not_to_be_read() {
            return self.stream_fails(*flow, why, wire);
        }
        let reply = self.keep(Pending::Stream(flow));
        let part = Part::Stream { first, log: (token.generation, token.shard) };
        let job = HistoryJob { shard: self.shard, key: reply.0, asked: Asked::History(question, part) };
        if !readers.ask(job)
            && let Some(Pending::Stream(flow)) = self.take(reply)
        {
            self.stream_fails(*flow, "nobody reads the history any more".to_owned(), wire);
        }
    }

    fn stream_page(
        &mut self,
        mut flow: Box<StreamFlow>,
        page: StreamPage,
        reached: Option<Token>,
        wire: &mut impl Wire,
    ) {
        flow.pieces = page.pieces;
        flow.more = page.next.is_some();
        flow.question.after = page.next;
        if flow.body.is_none() {
            flow.source = page.source;
        }
        // Whoever gives the next page has no less than this.
        flow.question.position = reached.or(flow.question.position);
        self.stream(flow, wire);
    }

    /// Sends what the connection takes.
    fn stream(&mut self, mut flow: Box<StreamFlow>, wire: &mut impl Wire) {
        let http = flow.http;
        while let Some(piece) = flow.pieces.front() {
            let (mut begun, mut wanted) = (flow.body, true);
            let source = &flow.source;
            let appended = self.front().append(wire, http, |out, mode, date| {
                let body = begun.unwrap_or_else(|| {
                    response::begin(out, 200, mode, date).header("X-Source", source).chunked(CSV)
                });
                body.chunk(out, piece);
                (begun, wanted) = (Some(body), !mode.head_only);
            });
            match appended {
                Appended::Sent | Appended::Waiting => {
                    flow.body = begun;
                    flow.pieces.pop_front();
                }
                Appended::Full => {
                    let reply = self.keep(Pending::Stream(flow));
                    let until = self.now.mono.plus(IDLE_MAX);
                    return self.streams.push((http, reply, until));
                }
                Appended::Gone => return,
            }
            if !wanted {
                flow.pieces.clear();
                flow.more = false;
            }
        }
        if flow.more {
            return self.ask_for_more(flow, wire);
        }
        let body = flow.body;
        self.respond(wire, http, |out, _, _| {
            if let Some(body) = body {
                body.finish(out);
            }
        });
    }

    /// The database does not go on.
    fn stream_fails(&mut self, flow: StreamFlow, why: String, wire: &mut impl Wire) {
        let StreamFlow { http, question, body, .. } = flow;
        if body.is_none() {
            // Nothing is sent yet: the state may have all of it.
            return self.ask_state(Box::new(HistoryFlow { http, question, step: Step::Database }), why);
        }
        tracing::debug!(why, "an export ends in the middle");
        if planted::planted!("part_of_an_export_is_called_whole") {
            return self.respond(wire, http, |out, _, _| body.into_iter().for_each(|body| body.finish(out)));
        }
        // Without its last chunk: the client sees that it is a part.
        wire.abort(http.conn());
    }

    /// Goes on with the streams whose connections have room again, and ends those that have had none for long.
    pub(super) fn go_on_with_streams(&mut self, wire: &mut impl Wire) {
        let now = self.now.mono;
        while let Some(place) = self.streams.iter().position(|(_, _, until)| now >= *until) {
            let (http, reply, _) = self.streams.swap_remove(place);
            drop(self.take(reply));
            wire.abort(http.conn());
        }
        while let Some(reply) = self.streams_ready.pop() {
            if let Some(Pending::Stream(flow)) = self.take(reply) {
                self.stream(flow, wire);
            }
        }
    }
}
