//! Figures of the whole server: every shard is asked, then the books are summed up page by page.
//!
//! **Runs on**: the desk's shard. **Invariants**: one answer, whichever shards are silent.

use engine::core::ids::UserId;
use engine::seam::Entropy;
use engine::shard::ask::{Answer, Ask, Auth, Op, ReplyTo};
use engine::shard::ports::ShardId;
use net::http::response;
use net::wire::Wire;
use serde_json::Value;

use super::{Desk, Outgoing, Pending, Target};
use crate::reads::{Audit, Found, Question};
use crate::web::flows::{Asker, Figures, GatherFlow};
use crate::web::metrics_text;

/// Shards by their numbers instead of their places in the list: one that is silent leaves the paths of the others as they are.
fn by_number(shards: &mut Value) {
    if let Value::Array(list) = shards.take() {
        let numbered = list.into_iter().map(|shard| (shard["shard"].to_string(), shard));
        *shards = Value::Object(numbered.collect());
    }
}

impl<E: Entropy> Desk<E> {
    pub(super) fn gather(&mut self, asker: Asker, figures: Figures) {
        let flow = GatherFlow {
            asker,
            figures,
            left: usize::from(self.shards),
            shards: Vec::new(),
            silent: 0,
            audit: (figures == Figures::Status).then(Audit::default),
            audit_shard: 0,
        };
        let reply = self.keep(Pending::Gather(Box::new(flow)));
        for shard in 0..self.shards {
            let ask = Ask { auth: Auth::Open, op: Op::Status, user: UserId(u64::from(shard)) };
            self.outgoing.push(Outgoing { target: Target::Shard(ShardId(shard)), ask, reply });
        }
    }

    pub(super) fn gather_step(
        &mut self,
        reply: ReplyTo,
        mut flow: Box<GatherFlow>,
        answer: Answer<Found>,
        wire: &mut impl Wire,
    ) {
        let mut next_audit = None;
        match answer {
            Answer::Status(status) => {
                flow.shards.push(*status);
                flow.left -= 1;
            }
            Answer::Read(Found::Audit(part, next)) => {
                if let Some(audit) = &mut flow.audit {
                    audit.add(&part);
                }
                match next {
                    Some(from) => next_audit = Some((flow.audit_shard, from)),
                    None => {
                        flow.audit_shard += 1;
                        next_audit = (flow.audit_shard < self.shards).then_some((flow.audit_shard, 0));
                    }
                }
            }
            _ if flow.left > 0 => {
                flow.silent += 1;
                flow.left -= 1;
            }
            // The books cannot be summed up now: the document says so by leaving them out.
            _ => flow.audit = None,
        }
        if flow.left > 0 {
            // Further answers come to the same place: the slab gives the place that was freed last.
            let key = self.pending.insert(Pending::Gather(flow));
            assert!(key as u64 == reply.0, "nothing took the place in between");
            return;
        }
        if flow.audit.is_some() && flow.audit_shard == 0 && next_audit.is_none() {
            next_audit = Some((0, 0));
        }
        if let Some((shard, from)) = next_audit
            && flow.audit.is_some()
        {
            let ask = Ask {
                auth: Auth::Open,
                op: Op::Question(Question::Audit(from)),
                user: UserId(u64::from(shard)),
            };
            let reply = self.keep(Pending::Gather(flow));
            self.outgoing.push(Outgoing { target: Target::Shard(ShardId(shard)), ask, reply });
            return;
        }
        let source = metrics_text::Source {
            gauges: &self.gauges,
            latencies: &self.latencies,
            uptime_micros: self.now.wall.micros_since(self.started.wall),
        };
        let Asker::Caller(http) = flow.asker else {
            let mut figures = metrics_text::metrics_document(&flow, &source);
            by_number(&mut figures["shards"]);
            return self.tell_watchers(&figures, wire);
        };
        let (body, kind) = match flow.figures {
            Figures::Status => (metrics_text::status(&flow, &source), "application/json"),
            Figures::Json => (metrics_text::metrics_json(&flow, &source), "application/json"),
            Figures::Prometheus => {
                (metrics_text::prometheus(&flow, &source), "text/plain; version=0.0.4; charset=utf-8")
            }
        };
        self.respond(wire, http, |out, mode, date| response::write(out, 200, mode, date, kind, &body));
    }
}
