//! Questions about a user's history: what may be asked, the statement that answers it, and the answer as JSON or CSV.
//!
//! **Runs on**: shards read the question and write the answer; the statement runs on the readers' thread.
//! **Bounds**: [`ROWS_MAX`] rows an answer; the rest is another page, from the answer's `next`.
//! **Never**: puts what a caller wrote into a statement: it goes in as a parameter.

use engine::core::ids::UserId;
use engine::core::order::OrderKind;
use engine::core::user::{OutcomeKind, User};
use storage::history::leg_word;
use storage::postgres::replicas::Token;
use storage::{Generation, Lsn, ShardNumber};

use super::render::push_json_string;

/// Rows of an answer at most.
pub const ROWS_MAX: usize = 10_000;
/// Rows when nothing is asked for.
pub const ROWS_DEFAULT: usize = 100;
/// The last instant that is asked for: the end of the year 9999, in microseconds.
const END_MICROS: i64 = 253_402_300_799_000_000;

/// What is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Orders, by when they were decided.
    Orders,
    /// Executions.
    Fills,
    /// Positions, by when they were decided.
    Positions,
    /// The ledger's lines.
    Ledger,
    /// What came of signals.
    Receipts,
    /// Profit shares.
    Fees,
    /// Closed positions summed up.
    Performance(By),
}

/// What performance is summed up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Days of the user's own time zone.
    Day,
    /// Symbols.
    Symbol,
    /// Sources.
    Strategy,
}

/// How a column is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// As text.
    Text,
    /// As a number or a truth value.
    Plain,
}

/// A column of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    name: &'static str,
    form: Form,
}

const fn text(name: &'static str) -> Column {
    Column { name, form: Form::Text }
}

const fn plain(name: &'static str) -> Column {
    Column { name, form: Form::Plain }
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryQuestion {
    /// About what.
    pub kind: Kind,
    /// About whom.
    pub user: UserId,
    /// From then on, in microseconds.
    pub from: i64,
    /// Before then.
    pub to: i64,
    /// After this row of the last answer: its time and its id.
    pub after: Option<(i64, String)>,
    /// Rows wanted.
    pub limit: usize,
    /// What the answer has to contain.
    pub position: Option<Token>,
    /// As CSV.
    pub csv: bool,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRows {
    columns: &'static [Column],
    rows: Vec<Vec<Option<String>>>,
    next: Option<String>,
    source: String,
}

/// A position as text: `generation.shard.record`.
#[must_use]
pub fn position_text(token: Token) -> String {
    format!("{}.{}.{}", token.generation, token.shard, token.lsn)
}

fn position(text: &str) -> Option<Token> {
    let mut parts = text.split('.');
    let token = Token {
        generation: Generation(parts.next()?.parse().ok()?),
        shard: ShardNumber(parts.next()?.parse().ok()?),
        lsn: Lsn(parts.next()?.parse().ok()?),
    };
    parts.next().is_none().then_some(token)
}

fn cursor(text: &str) -> Option<(i64, String)> {
    let (time, id) = text.split_once('-')?;
    let plain =
        id.len() <= 120 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":_".contains(&byte));
    plain.then_some((time.parse().ok()?, id.to_owned()))
}

impl HistoryQuestion {
    /// Reads `/api/history/{what}?…`.
    ///
    /// # Errors
    /// Which part is wrong, and what may be written.
    pub fn parse(what: &str, query: Option<&str>, user: UserId) -> Result<Option<Self>, String> {
        let kind = match what {
            "orders" => Kind::Orders,
            "fills" => Kind::Fills,
            "positions" => Kind::Positions,
            "ledger" => Kind::Ledger,
            "receipts" => Kind::Receipts,
            "fees" => Kind::Fees,
            "performance" => Kind::Performance(By::Day),
            _ => return Ok(None),
        };
        let mut question = Self {
            kind,
            user,
            from: 0,
            to: END_MICROS,
            after: None,
            limit: ROWS_DEFAULT,
            position: None,
            csv: false,
        };
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let time = || match value.parse() {
                Ok(micros) if (0..=END_MICROS).contains(&micros) => Ok(micros),
                _ => Err(format!("{name}: microseconds since 1970")),
            };
            match name {
                "from" => question.from = time()?,
                "to" => question.to = time()?,
                "limit" => match value.parse() {
                    Ok(limit) if (1..=ROWS_MAX).contains(&limit) => question.limit = limit,
                    _ => return Err(format!("limit: from 1 to {ROWS_MAX}")),
                },
                "cursor" => match cursor(value) {
                    Some(after) => question.after = Some(after),
                    None => return Err("cursor: the `next` of an answer".to_owned()),
                },
                "position" => match position(value) {
                    Some(token) => question.position = Some(token),
                    None => return Err("position: the X-Position of an answer".to_owned()),
                },
                "format" => match value {
                    "json" => question.csv = false,
                    "csv" => question.csv = true,
                    _ => return Err("format: json or csv".to_owned()),
                },
                "by" if matches!(kind, Kind::Performance(_)) => {
                    question.kind = Kind::Performance(match value {
                        "day" => By::Day,
                        "symbol" => By::Symbol,
                        "strategy" => By::Strategy,
                        _ => return Err("by: day, symbol or strategy".to_owned()),
                    });
                }
                _ => {
                    let known = "from, to, limit, cursor, position and format, and by for performance";
                    return Err(format!("a parameter that is not known here; there are {known}"));
                }
            }
        }
        Ok(Some(question))
    }

    fn columns(&self) -> &'static [Column] {
        match self.kind {
            Kind::Orders => {
                const {
                    &[
                        plain("decided_at"),
                        text("order_id"),
                        plain("account"),
                        text("signal_id"),
                        text("position_id"),
                        text("leg"),
                        text("symbol"),
                        text("side"),
                        text("kind"),
                        text("price"),
                        text("quantity"),
                        plain("reduce_only"),
                        plain("leverage"),
                        text("state"),
                        text("reason"),
                        text("filled"),
                        text("notional"),
                        text("fees"),
                        plain("sent_at"),
                        plain("filled_at"),
                        plain("done_at"),
                    ]
                }
            }
            Kind::Fills => {
                const {
                    &[
                        plain("at"),
                        text("order_id"),
                        plain("number"),
                        plain("account"),
                        text("position_id"),
                        text("symbol"),
                        text("side"),
                        text("price"),
                        text("quantity"),
                        text("fee"),
                        text("realised"),
                        text("liquidity"),
                        plain("venue_at"),
                    ]
                }
            }
            Kind::Positions => {
                const {
                    &[
                        plain("decided_at"),
                        text("position_id"),
                        plain("account"),
                        text("symbol"),
                        text("side"),
                        text("state"),
                        plain("leverage"),
                        text("quantity"),
                        text("entry_cost"),
                        text("entry_quantity"),
                        text("realised"),
                        text("fees"),
                        text("funding"),
                        text("stop"),
                        text("take_profit"),
                        text("liquidation"),
                        plain("opened_at"),
                        plain("closed_at"),
                        text("close_reason"),
                    ]
                }
            }
            Kind::Ledger => {
                const {
                    &[
                        plain("at"),
                        plain("number"),
                        plain("line"),
                        text("key"),
                        text("account"),
                        text("currency"),
                        text("amount"),
                    ]
                }
            }
            Kind::Receipts => {
                const {
                    &[
                        plain("decided_at"),
                        text("signal_id"),
                        plain("account"),
                        text("outcome"),
                        text("reason"),
                        plain("sent_at"),
                        plain("filled_at"),
                        plain("done_at"),
                    ]
                }
            }
            Kind::Fees => {
                const {
                    &[
                        plain("at"),
                        text("position_id"),
                        plain("account"),
                        text("currency"),
                        text("net"),
                        text("from_credit"),
                        text("from_real"),
                        text("owed"),
                        text("carried_loss"),
                    ]
                }
            }
            Kind::Performance(_) => {
                const {
                    &[
                        text("key"),
                        text("currency"),
                        plain("positions"),
                        plain("won"),
                        text("net"),
                        text("shares"),
                    ]
                }
            }
        }
    }

    /// The statement. Its parameters: the user, from, to, the cursor's time and id, and the number of rows. Columns are texts, as
    /// they are shown; after them come the cursor's time and id.
    #[must_use]
    pub fn statement(&self) -> String {
        let (tables, time, id) = match self.kind {
            Kind::Orders => ("orders t", "decided_at", "order_id"),
            Kind::Fills => {
                ("fills t", "at", "replace(order_id, '-', '') || ':' || lpad(number::text, 10, '0')")
            }
            Kind::Positions => ("positions t", "decided_at", "position_id || ':' || account"),
            Kind::Ledger => (
                "postings t LEFT JOIN coinbitclub.entries e USING (at, user_id, number)",
                "at",
                "lpad(number::text, 20, '0') || ':' || line",
            ),
            Kind::Receipts => ("receipts t", "decided_at", "signal_id"),
            Kind::Fees => ("fees t", "at", "position_id || ':' || account"),
            Kind::Performance(by) => return performance(by),
        };
        let micros = |column: &str| format!("((extract(epoch FROM {column}) * 1000000)::bigint)::text");
        let columns: Vec<String> = self
            .columns()
            .iter()
            .map(|column| match (column.name, column.form) {
                ("currency", _) => "t.currency".to_owned(),
                (name, Form::Plain) if name == "at" || name.ends_with("_at") => micros(name),
                ("account", Form::Text) => "t.account".to_owned(),
                ("account", Form::Plain) => "t.account::text".to_owned(),
                (name, Form::Plain) => format!("{name}::text"),
                (name, Form::Text) if is_amount(name) => format!("trim_scale({name})::text"),
                (name, Form::Text) => name.to_owned(),
            })
            .collect();
        let instant =
            |place: u8| format!("timestamptz 'epoch' + ${place}::bigint * interval '1 microsecond'");
        format!(
            "SELECT {}, {}, {id} FROM coinbitclub.{tables} WHERE user_id = $1 AND {time} >= {} AND {time} < {} \
             AND ({time}, {id}) < ({}, $5::text) ORDER BY {time} DESC, {id} DESC LIMIT $6::bigint",
            columns.join(", "),
            micros(time),
            instant(2),
            instant(3),
            instant(4),
        )
    }

    /// The cursor's time and id, beyond everything for a first page.
    #[must_use]
    pub fn cursor(&self) -> (i64, &str) {
        self.after.as_ref().map_or((END_MICROS, ""), |(time, id)| (*time, id))
    }

    /// An answer from the statement's rows: one more than asked for says that there are more.
    #[must_use]
    pub fn answer(&self, mut rows: Vec<Vec<Option<String>>>, source: String) -> HistoryRows {
        let width = self.columns().len();
        let mut next = None;
        if rows.len() > self.limit {
            rows.truncate(self.limit);
            next = rows.last().and_then(|row| match (row.get(width), row.get(width + 1)) {
                (Some(Some(time)), Some(Some(id))) => Some(format!("{time}-{id}")),
                _ => None,
            });
        }
        rows.iter_mut().for_each(|row| row.truncate(width));
        HistoryRows { columns: self.columns(), rows, next, source }
    }

    /// What the state keeps of it: the newest, where it keeps any.
    #[must_use]
    pub fn from_memory(&self, user: &User) -> Option<HistoryRows> {
        let some = |text: &str| Some(text.to_owned());
        let time = |micros: u64| (micros > 0).then(|| micros.to_string());
        let mut rows: Vec<(i64, Vec<Option<String>>)> = Vec::new();
        let at = |micros: u64| i64::try_from(micros).unwrap_or(i64::MAX);
        match self.kind {
            Kind::Ledger => {
                for entry in user.ledger.statement() {
                    for (line, posting) in entry.postings.iter().enumerate() {
                        rows.push((
                            at(entry.at.0),
                            vec![
                                time(entry.at.0),
                                some(&entry.number.to_string()),
                                some(&line.to_string()),
                                some(&entry.key.text()),
                                some(&posting.account.name()),
                                some(entry.currency.as_str()),
                                some(&posting.amount.to_string()),
                            ],
                        ));
                    }
                }
            }
            Kind::Receipts => {
                for outcome in &user.outcomes {
                    let (word, reason) = match outcome.kind {
                        OutcomeKind::Sent => ("sent", None),
                        OutcomeKind::Filled => ("filled", None),
                        OutcomeKind::FilledInPart => ("filled_in_part", None),
                        OutcomeKind::Skipped(skip) => ("skipped", some(skip.as_str())),
                        OutcomeKind::Failed(reason) => ("failed", some(reason.as_str())),
                    };
                    rows.push((
                        at(outcome.decided_at.0),
                        vec![
                            time(outcome.decided_at.0),
                            some(&outcome.signal.to_string()),
                            some(&outcome.account.to_string()),
                            some(word),
                            reason,
                            time(outcome.sent_at.0),
                            time(outcome.filled_at.0),
                            time(outcome.done_at.0),
                        ],
                    ));
                }
            }
            Kind::Orders => {
                let mut orders: Vec<_> = user.orders.iter().chain(&user.final_orders).collect();
                orders.sort_by_key(|order| (order.decided_at, order.new.id));
                for order in orders {
                    let (kind, price) = match order.new.kind {
                        OrderKind::Market => ("market", None),
                        OrderKind::Limit(price) => ("limit", Some(price)),
                        OrderKind::StopMarket(price) => ("stop_market", Some(price)),
                        OrderKind::TakeProfitMarket(price) => ("take_profit_market", Some(price)),
                    };
                    rows.push((
                        at(order.decided_at.0),
                        vec![
                            time(order.decided_at.0),
                            some(&order.new.id.to_string()),
                            some(&order.new.id.account.index.to_string()),
                            some(&order.new.id.signal.to_string()),
                            some(&order.position.to_string()),
                            some(leg_word(order.new.id.leg)),
                            some(order.new.symbol.as_str()),
                            some(order.new.side.as_str()),
                            some(kind),
                            price.map(|price| price.to_string()),
                            some(&order.new.quantity.to_string()),
                            some(&order.new.reduce_only.to_string()),
                            some(&order.new.leverage.to_string()),
                            some(order.state.as_str()),
                            order.reason.map(|reason| reason.as_str().to_owned()),
                            some(&order.filled.to_string()),
                            some(&order.notional.to_string()),
                            some(&order.fees.to_string()),
                            time(order.sent_at.0),
                            time(order.filled_at.0),
                            time(order.done_at.0),
                        ],
                    ));
                }
            }
            Kind::Positions => {
                let mut positions: Vec<_> = user.positions.iter().chain(&user.closed_positions).collect();
                positions.sort_by_key(|position| (position.decided_at, position.signal, position.account));
                for position in positions {
                    rows.push((
                        at(position.decided_at.0),
                        vec![
                            time(position.decided_at.0),
                            some(&position.signal.to_string()),
                            some(&position.account.to_string()),
                            some(position.symbol.as_str()),
                            some(position.side.as_str()),
                            some(position.state.as_str()),
                            some(&position.leverage.to_string()),
                            some(&position.quantity.to_string()),
                            some(&position.entry_cost.to_string()),
                            some(&position.entry_quantity.to_string()),
                            some(&position.realised.to_string()),
                            some(&position.fees.to_string()),
                            some(&position.funding.to_string()),
                            some(&position.stop.to_string()),
                            some(&position.take_profit.to_string()),
                            some(&position.liquidation.to_string()),
                            time(position.opened_at.0),
                            time(position.closed_at.0),
                            position.closed.map(|reason| reason.as_str().to_owned()),
                        ],
                    ));
                }
            }
            Kind::Fills | Kind::Fees | Kind::Performance(_) => return None,
        }
        rows.retain(|(at, _)| (self.from..self.to).contains(at));
        rows.reverse();
        rows.truncate(self.limit);
        let rows = rows.into_iter().map(|(_, row)| row).collect();
        Some(HistoryRows { columns: self.columns(), rows, next: None, source: "memory".to_owned() })
    }
}

fn is_amount(name: &str) -> bool {
    matches!(
        name,
        "price"
            | "quantity"
            | "filled"
            | "notional"
            | "fees"
            | "fee"
            | "realised"
            | "entry_cost"
            | "entry_quantity"
            | "funding"
            | "stop"
            | "take_profit"
            | "liquidation"
            | "amount"
            | "net"
            | "from_credit"
            | "from_real"
            | "owed"
            | "carried_loss"
    )
}

fn performance(by: By) -> String {
    let key = match by {
        // Days of the user's zone, cut at instants (CASES.md Z2).
        By::Day => {
            "to_char(f.at AT TIME ZONE (SELECT zone FROM coinbitclub.users u WHERE u.user_id = $1), 'YYYY-MM-DD')"
        }
        By::Symbol => "p.symbol",
        By::Strategy => "left(p.position_id, 12)",
    };
    format!(
        "SELECT {key}, f.currency, count(*)::text, (count(*) FILTER (WHERE f.net > 0))::text, \
         trim_scale(sum(f.net))::text, trim_scale(sum(f.from_credit + f.from_real + f.owed))::text \
         FROM coinbitclub.fees f JOIN coinbitclub.positions p \
         ON p.user_id = f.user_id AND p.position_id = f.position_id AND p.account = f.account \
         WHERE f.user_id = $1 AND f.at >= timestamptz 'epoch' + $2::bigint * interval '1 microsecond' \
         AND f.at < timestamptz 'epoch' + $3::bigint * interval '1 microsecond' \
         AND $4::bigint > 0 AND $5::text IS NOT NULL GROUP BY 1, 2 ORDER BY 1 DESC, 2 LIMIT $6::bigint"
    )
}

impl HistoryRows {
    /// As JSON: `{"source":…,"rows":[{…}],"next":…}`.
    #[must_use]
    pub fn json(&self) -> Vec<u8> {
        let mut out = b"{\"source\":".to_vec();
        push_json_string(&mut out, &self.source);
        out.extend_from_slice(b",\"rows\":[");
        for (place, row) in self.rows.iter().enumerate() {
            out.extend_from_slice(if place == 0 { b"{" } else { b",{" });
            for (place, (column, value)) in self.columns.iter().zip(row).enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                push_json_string(&mut out, column.name);
                out.push(b':');
                match (value, column.form) {
                    (None, _) => out.extend_from_slice(b"null"),
                    (Some(value), Form::Text) => push_json_string(&mut out, value),
                    (Some(value), Form::Plain) => out.extend_from_slice(value.as_bytes()),
                }
            }
            out.push(b'}');
        }
        out.extend_from_slice(b"],\"next\":");
        match &self.next {
            Some(next) => push_json_string(&mut out, next),
            None => out.extend_from_slice(b"null"),
        }
        out.push(b'}');
        out
    }

    /// As CSV (RFC 4180), with headings.
    #[must_use]
    pub fn csv(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let names: Vec<&str> = self.columns.iter().map(|column| column.name).collect();
        out.extend_from_slice(names.join(",").as_bytes());
        out.extend_from_slice(b"\r\n");
        for row in &self.rows {
            for (place, value) in row.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                push_csv(&mut out, value.as_deref().unwrap_or_default());
            }
            out.extend_from_slice(b"\r\n");
        }
        out
    }

    /// The cursor of the next page.
    #[must_use]
    pub fn next(&self) -> Option<&str> {
        self.next.as_deref()
    }

    /// Who answered.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }
}

/// A field; what a spreadsheet would take for a formula is told as text.
fn push_csv(out: &mut Vec<u8>, value: &str) {
    let formula = value.starts_with(['=', '@', '\t', '\r'])
        || (value.starts_with(['+', '-']) && value[1..].contains(|c: char| !c.is_ascii_digit() && c != '.'));
    let quoted = formula || value.contains([',', '"', '\r', '\n']);
    if !quoted {
        return out.extend_from_slice(value.as_bytes());
    }
    out.push(b'"');
    if formula {
        out.push(b'\'');
    }
    for byte in value.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_read_and_what_is_wrong_is_said() {
        let parse = |what: &str, query: &str| HistoryQuestion::parse(what, Some(query), UserId(7));
        let question = parse("orders", "from=1&to=9&limit=50&cursor=5-abc:1&position=1.2.3&format=csv");
        let question = question.unwrap().unwrap();
        assert_eq!((question.kind, question.from, question.to, question.limit), (Kind::Orders, 1, 9, 50));
        assert_eq!(question.cursor(), (5, "abc:1"));
        assert_eq!(question.position.map(position_text).as_deref(), Some("1.2.3"));
        assert!(question.csv);
        assert_eq!(parse("nothing", ""), Ok(None));
        for (query, part) in [
            ("limit=0", "limit: from 1"),
            ("limit=x", "limit: from 1"),
            ("from=-1", "from: microseconds"),
            ("cursor=5", "cursor:"),
            ("cursor=5-a'b", "cursor:"),
            ("position=1.2", "position:"),
            ("format=xml", "format:"),
            ("by=day", "a parameter that is not known here"),
        ] {
            let error = parse("orders", query).unwrap_err();
            assert!(error.starts_with(part), "{query}: {error}");
        }
        let performance = parse("performance", "by=strategy").unwrap().unwrap();
        assert_eq!(performance.kind, Kind::Performance(By::Strategy));
        assert!(parse("performance", "by=moon").is_err());
    }

    #[test]
    fn pages_and_forms() {
        let question = HistoryQuestion::parse("fees", Some("limit=1"), UserId(7)).unwrap().unwrap();
        let row = |at: &str| {
            let values = [at, "a,b", "0", "USDT", "=1+1", "-2.5", "1", "0", "0", at, "id"];
            values.iter().map(|value| Some((*value).to_owned())).collect::<Vec<_>>()
        };
        let answer = question.answer(vec![row("9"), row("8")], "replica-2".to_owned());
        assert_eq!(answer.next(), Some("9-id"));
        let json: serde_json::Value = serde_json::from_slice(&answer.json()).unwrap();
        assert_eq!(json["source"], "replica-2");
        assert_eq!(json["rows"][0]["at"], 9);
        assert_eq!(json["rows"][0]["from_credit"], "-2.5");
        let csv = String::from_utf8(answer.csv()).unwrap();
        assert_eq!(csv.lines().nth(1), Some("9,\"a,b\",0,USDT,\"'=1+1\",-2.5,1,0,0"));
        assert_eq!(question.answer(vec![row("9")], String::new()).next(), None);
    }
}
