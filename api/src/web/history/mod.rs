//! Questions about a user's history: what may be asked, and the statement that answers it.
//!
//! **Runs on**: shards read the question and write the answer; the statement runs on the readers' thread.
//! **Bounds**: [`ROWS_MAX`] rows and [`PAGE_BYTES_MAX`] bytes an answer; the rest is another page, from the answer's `next`. CSV
//! without a limit is streamed in pages of [`STREAM_ROWS`] rows.
//! **Invariants**: rows stand in the order of their time and their id's bytes, newest first, whoever answers: a page of one
//! server or of the state goes on where that of another ended.
//! **Never**: puts what a caller wrote into a statement: it goes in as a parameter.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64_URL_SAFE_NO_PAD;
use engine::core::ids::{SignalId, UserId};
use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use net::http::target::decode_query;
use storage::postgres::replicas::Token;
use storage::{Generation, Lsn, ShardNumber};

mod columns;
mod memory;
mod rows;

use columns::{Form, is_amount};
pub use rows::{HistoryPage, HistoryRows, Row, StreamPage};

/// Rows of an answer at most.
pub const ROWS_MAX: usize = 10_000;
/// Rows when nothing is asked for.
pub const ROWS_DEFAULT: usize = 100;
/// Rows of a page of a stream: a replica finds them in some milliseconds, and as text they are a few hundred KiB.
pub const STREAM_ROWS: usize = 1_000;
/// Bytes of an answer at most, its end apart: half of what a connection may have queued
/// (`net::wire::WireConfig::output_bytes_max`), because one with more is ended before anything of it is sent.
pub const PAGE_BYTES_MAX: usize = 512 << 10;
/// Bytes of a piece of a stream, the last row apart.
pub const PIECE_BYTES: usize = 64 << 10;
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
    /// Balances before a span and after it, by currency and account of the ledger; the lines between are [`Kind::Ledger`]'s.
    Statement,
    /// Closed positions summed up.
    Performance(By),
}

impl Kind {
    /// Whether its rows are sums: those have no time of their own.
    const fn is_of_sums(self) -> bool {
        matches!(self, Self::Statement | Self::Performance(_))
    }
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
    /// Each position by itself.
    Position,
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
    /// From the beginning of this day of the user's zone on; see [`Self::in_zone`].
    pub from_day: Option<Date>,
    /// To the end of this one.
    pub to_day: Option<Date>,
    /// After this row of the last answer: its time and its id.
    pub after: Option<(i64, String)>,
    /// Rows wanted; without it [`ROWS_DEFAULT`], and all of them as CSV.
    pub limit: Option<usize>,
    /// Only what came of this signal.
    pub signal: Option<SignalId>,
    /// What the answer has to contain.
    pub position: Option<Token>,
    /// As CSV.
    pub csv: bool,
}

/// Bytes of a position as text at most: three numbers and two points.
const POSITION_BYTES: usize = 10 + 1 + 5 + 1 + 20;

/// A position as text, `generation.shard.record`, where a response is written: without an allocation.
#[derive(Clone, Copy, Debug)]
pub struct PositionText {
    bytes: [u8; POSITION_BYTES],
    length: usize,
}

impl PositionText {
    /// The text of a position.
    ///
    /// # Panics
    /// Never: the numbers fit.
    #[must_use]
    pub fn of(token: Token) -> Self {
        let mut bytes = [0; POSITION_BYTES];
        let mut rest = &mut bytes[..];
        write!(rest, "{}.{}.{}", token.generation, token.shard, token.lsn).expect("the numbers fit");
        let length = POSITION_BYTES - rest.len();
        Self { bytes, length }
    }

    /// It.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
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

/// Whether an id stands in a query and in a header as it is.
fn is_plain(id: &str) -> bool {
    id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":_-".contains(&byte))
}

/// A cursor as text: `time-id`, and `time~id` with the id in base64 where it has other characters (symbols can).
pub(super) fn cursor_text(at: i64, id: &str) -> String {
    if is_plain(id) { format!("{at}-{id}") } else { format!("{at}~{}", BASE64_URL_SAFE_NO_PAD.encode(id)) }
}

fn cursor(text: &str) -> Option<(i64, String)> {
    // Clients encode the colon, or do not.
    let text = decode_query(text).ok()?;
    let (place, separator) = text.char_indices().find(|(_, c)| ['-', '~'].contains(c))?;
    // What the database's instants can hold is less than what the number can.
    let time = text[..place].parse().ok().filter(|time| (0..=END_MICROS).contains(time))?;
    let id = &text[place + 1..];
    let id = match separator {
        '~' => String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(id).ok()?).ok()?,
        _ => Some(id).filter(|id| is_plain(id))?.to_owned(),
    };
    (id.len() <= 120 && !id.contains('\0')).then_some((time, id))
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
            "statement" => Kind::Statement,
            "performance" => Kind::Performance(By::Day),
            _ => return Ok(None),
        };
        let mut question = Self {
            kind,
            user,
            from: 0,
            to: END_MICROS,
            from_day: None,
            to_day: None,
            after: None,
            limit: None,
            signal: None,
            position: None,
            csv: false,
        };
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let time = || match value.parse() {
                Ok(micros) if (0..=END_MICROS).contains(&micros) => Ok(micros),
                _ => Err(format!("{name}: microseconds since 1970")),
            };
            let day = || match value.parse::<Date>() {
                Ok(day) if (1970..9999).contains(&day.year()) && value.len() == 10 => Ok(Some(day)),
                _ => Err(format!("{name}: a day as 2026-03-31")),
            };
            match name {
                "from_day" => question.from_day = day()?,
                "to_day" => question.to_day = day()?,
                "from" => question.from = time()?,
                "to" => question.to = time()?,
                "limit" => match value.parse() {
                    Ok(limit) if (1..=ROWS_MAX).contains(&limit) => question.limit = Some(limit),
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
                "signal" if kind == Kind::Receipts => match SignalId::parse(value) {
                    Some(signal) => question.signal = Some(signal),
                    None => return Err("signal: the id of a signal".to_owned()),
                },
                "by" if matches!(kind, Kind::Performance(_)) => {
                    question.kind = Kind::Performance(match value {
                        "day" => By::Day,
                        "symbol" => By::Symbol,
                        "strategy" => By::Strategy,
                        "position" => By::Position,
                        _ => return Err("by: day, symbol, strategy or position".to_owned()),
                    });
                }
                _ => {
                    let known = "from, to, from_day, to_day, limit, cursor, position and format, by for performance, \
                                 signal for receipts";
                    return Err(format!("a parameter that is not known here; there are {known}"));
                }
            }
        }
        Ok(Some(question))
    }

    /// Days become instants: each begins when the clocks of the user's zone first show it, and ends when the next one begins
    /// (CASES.md Z2).
    pub fn in_zone(&mut self, zone: &str) {
        let zone = TimeZoneDatabase::bundled().get(zone).unwrap_or(TimeZone::UTC);
        let begins = |day: Date| {
            let first = day.to_zoned_datetime(zone.clone()).map(|at| at.timestamp().as_microsecond());
            first.unwrap_or(END_MICROS).clamp(0, END_MICROS)
        };
        if let Some(day) = self.from_day.take() {
            self.from = begins(day);
        }
        if let Some(day) = self.to_day.take() {
            self.to = begins(day.tomorrow().unwrap_or(Date::MAX));
        }
    }

    /// Whether it is answered with all there is, piece by piece.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.csv && self.limit.is_none()
    }

    /// Rows of one answer.
    #[must_use]
    pub fn page_rows(&self) -> usize {
        self.limit.unwrap_or(ROWS_DEFAULT)
    }

    /// The statement. Its parameters: the user, from, to, the cursor's time and id, the number of rows, and the signal where only
    /// one is asked about. Columns are texts, as they are shown; after them come the cursor's time and id.
    #[must_use]
    pub fn statement(&self) -> String {
        let (tables, time, id) = match self.kind {
            Kind::Orders => ("orders t", "decided_at", "order_id"),
            Kind::Fills => ("fills t", "at", "order_id || ':' || lpad(number::text, 10, '0')"),
            Kind::Positions => ("positions t", "decided_at", "position_id || ':' || account"),
            Kind::Ledger => (
                "postings t LEFT JOIN coinbitclub.entries e USING (at, user_id, number)",
                "at",
                "lpad(number::text, 20, '0') || ':' || line",
            ),
            Kind::Receipts => ("receipts t", "decided_at", "signal_id"),
            Kind::Fees => ("fees t", "at", "position_id || ':' || account"),
            Kind::Statement => return statement(),
            Kind::Performance(by) => return performance(by),
        };
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
        // In the order of its bytes, whatever language the database was made for.
        let id = format!("(({id}) COLLATE \"C\")");
        // The time by itself lets the index begin there: a page far back reads nothing of those before it.
        let after = instant(4);
        let only = if self.signal.is_some() { " AND signal_id = $7::text" } else { "" };
        format!(
            "SELECT {}, {}, {id} FROM coinbitclub.{tables} WHERE user_id = $1 AND {time} >= {} AND {time} < {} \
             AND {time} <= {after} AND ({time}, {id}) < ({after}, $5::text){only} \
             ORDER BY {time} DESC, {id} DESC LIMIT $6::bigint",
            columns.join(", "),
            micros(time),
            instant(2),
            instant(3),
        )
    }

    /// The cursor's time and id, beyond everything for a first page.
    #[must_use]
    pub fn cursor(&self) -> (i64, &str) {
        self.after.as_ref().map_or((END_MICROS, ""), |(time, id)| (*time, id))
    }

    /// An answer from the statement's rows: one more than `limit` says that there are more.
    ///
    /// # Errors
    /// What of a row is not what the statement gives.
    pub fn answer(
        &self,
        texts: Vec<Vec<Option<String>>>,
        limit: usize,
        source: String,
    ) -> Result<HistoryRows, String> {
        let mut rows = Vec::with_capacity(texts.len());
        for mut fields in texts {
            let (id, time) = (fields.pop().flatten(), fields.pop().flatten());
            let at = time.and_then(|time| time.parse().ok());
            let (Some(id), Some(at)) = (id, at) else { return Err("a row without its place".to_owned()) };
            rows.push(Row { at, id, fields });
        }
        let more = rows.len() > limit;
        rows.truncate(limit);
        Ok(HistoryRows { columns: self.columns(), rows, more, source, kept: None })
    }
}

/// A column's time as a text of microseconds.
pub(crate) fn micros(column: &str) -> String {
    format!("((extract(epoch FROM {column}) * 1000000)::bigint)::text")
}

/// A parameter in microseconds as an instant.
pub(crate) fn instant(place: u8) -> String {
    format!("timestamptz 'epoch' + ${place}::bigint * interval '1 microsecond'")
}

/// What was there before and after, of each account that had something or was moved.
fn statement() -> String {
    let id = "((currency || ':' || account) COLLATE \"C\")";
    let before = format!("at < {}", instant(2));
    format!(
        "SELECT currency, account, trim_scale(opening)::text, trim_scale(change)::text, trim_scale(opening + change)::text, \
         '0', {id} FROM (SELECT currency, account, coalesce(sum(amount) FILTER (WHERE {before}), 0) AS opening, \
         coalesce(sum(amount) FILTER (WHERE NOT {before}), 0) AS change, count(*) FILTER (WHERE NOT {before}) AS lines \
         FROM coinbitclub.postings WHERE user_id = $1 AND at < {} GROUP BY 1, 2) sums \
         WHERE (opening <> 0 OR lines > 0) AND (0, {id}) < ($4::bigint, $5::text) ORDER BY {id} DESC LIMIT $6::bigint",
        instant(3),
    )
}

/// Sums have no time of their own: the cursor is their key and currency, at the time zero.
///
/// The base of the percentage is what the entries of these positions bought or sold, and nothing where that is not known of one of
/// them: a month of orders may have been taken out, a late fill may have opened another position under the same id. Only entries
/// are looked at that may be of these positions, which were decided before they closed.
fn performance(by: By) -> String {
    let key = match by {
        // Days of the user's zone, cut at instants (CASES.md Z2).
        By::Day => {
            "to_char(f.at AT TIME ZONE (SELECT zone FROM coinbitclub.users u WHERE u.user_id = $1), 'YYYY-MM-DD')"
        }
        By::Symbol => "p.symbol",
        By::Strategy => "left(f.position_id, 12)",
        By::Position => "f.position_id",
    };
    // An entry that was given up and filled late leaves two positions under one id, of one symbol: each fee counts once.
    let (positions, grouped) = if planted::planted!("fee_counted_for_each_position") {
        ("SELECT position_id, account, symbol, entry_quantity AS entered, decided_at", "")
    } else {
        (
            "SELECT position_id, account, min(symbol) AS symbol, min(decided_at) AS decided_at, \
             CASE WHEN count(*) FILTER (WHERE entry_quantity > 0) <= 1 THEN sum(entry_quantity) END AS entered",
            "GROUP BY position_id, account",
        )
    };
    let id = "((key || ':' || currency) COLLATE \"C\")";
    // Four places, half away from zero, of the exact quotient.
    let percent = "trim_scale(sign(net) * div(abs(net) * 2000000 + base, 2 * base) / 10000)";
    format!(
        "WITH closed AS (SELECT * FROM coinbitclub.fees WHERE user_id = $1 AND at >= {from} AND at < {to}), \
         held AS ({positions} FROM coinbitclub.positions WHERE user_id = $1 AND decided_at < {to} \
         AND (position_id, account) IN (SELECT position_id, account FROM closed) {grouped}), \
         entries AS (SELECT position_id, account, sum(filled) AS filled, sum(notional) AS notional \
         FROM coinbitclub.orders WHERE user_id = $1 AND leg = 'entry' AND decided_at < {to} \
         AND decided_at >= (SELECT min(decided_at) FROM held) GROUP BY 1, 2) \
         SELECT key, currency, positions::text, won::text, trim_scale(net)::text, trim_scale(shares)::text, \
         trim_scale(base)::text, CASE WHEN base > 0 THEN {percent} END::text, '0', {id} \
         FROM (SELECT {key} AS key, f.currency AS currency, count(*) AS positions, \
         count(*) FILTER (WHERE f.net > 0) AS won, sum(f.net) AS net, \
         sum(f.from_credit + f.from_real + f.owed) AS shares, \
         CASE WHEN bool_and(coalesce(coalesce(e.filled, 0) = p.entered, false)) THEN sum(coalesce(e.notional, 0)) END AS base \
         FROM closed f JOIN held p ON p.position_id = f.position_id AND p.account = f.account \
         LEFT JOIN entries e ON e.position_id = f.position_id AND e.account = f.account GROUP BY 1, 2) sums \
         WHERE (0, {id}) < ($4::bigint, $5::text) ORDER BY {id} DESC LIMIT $6::bigint",
        from = instant(2),
        to = instant(3),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_read_and_what_is_wrong_is_said() {
        let parse = |what: &str, query: &str| HistoryQuestion::parse(what, Some(query), UserId(7));
        let question = parse("orders", "from=1&to=9&limit=50&cursor=5-abc:1&position=1.2.3&format=csv");
        let question = question.unwrap().unwrap();
        assert_eq!(
            (question.kind, question.from, question.to, question.limit),
            (Kind::Orders, 1, 9, Some(50))
        );
        assert_eq!(question.cursor(), (5, "abc:1"));
        assert_eq!(
            question.position.map(|token| PositionText::of(token).as_str().to_owned()).as_deref(),
            Some("1.2.3")
        );
        assert!(question.csv);
        // What an answer said is read again, whether or not the client encodes it, whatever a symbol is called.
        for id in ["abc:1", "币安人生USDT:USDT", "a~b-c", "-"] {
            let text = cursor_text(12, id);
            for text in [text.replace(':', "%3A"), text] {
                let question = parse("performance", &format!("by=symbol&cursor={text}")).unwrap().unwrap();
                assert_eq!(question.cursor(), (12, id), "{text}");
            }
        }
        assert_eq!(parse("nothing", ""), Ok(None));
        for (query, part) in [
            ("limit=0", "limit: from 1"),
            ("limit=x", "limit: from 1"),
            ("from=-1", "from: microseconds"),
            ("cursor=5", "cursor:"),
            ("cursor=5-a'b", "cursor:"),
            ("cursor=9223372036854775807-x", "cursor:"),
            ("cursor=253402300799000001-x", "cursor:"),
            ("position=1.2", "position:"),
            ("format=xml", "format:"),
            ("signal=x", "a parameter that is not known here"),
            ("by=day", "a parameter that is not known here"),
        ] {
            let error = parse("orders", query).unwrap_err();
            assert!(error.starts_with(part), "{query}: {error}");
        }
        let mut days = parse("statement", "from_day=2026-03-08&to_day=2026-03-08").unwrap().unwrap();
        days.in_zone("America/New_York");
        // Its clocks are put forward on that day: it has 23 hours.
        assert_eq!((days.from, days.to), (1_772_946_000_000_000, 1_773_028_800_000_000));
        for day in ["2026-02-30", "2026-3-8", "today", "0001-01-01", "-009999-01-01"] {
            let error = parse("ledger", &format!("from_day={day}")).unwrap_err();
            assert!(error.starts_with("from_day: a day"), "{day}: {error}");
        }
        let performance = parse("performance", "by=strategy").unwrap().unwrap();
        assert_eq!(performance.kind, Kind::Performance(By::Strategy));
        assert!(parse("performance", "by=moon").is_err());
        assert_eq!(parse("receipts", "signal=x"), Err("signal: the id of a signal".to_owned()));
        let next = parse("performance", "cursor=0-2026-03-29:USDT-PAPER").unwrap().unwrap();
        assert_eq!(next.cursor(), (0, "2026-03-29:USDT-PAPER"));
        assert!(parse("orders", "format=csv").unwrap().unwrap().is_stream());
        assert!(!parse("orders", "format=csv&limit=5").unwrap().unwrap().is_stream(), "that is a page");
    }
}
