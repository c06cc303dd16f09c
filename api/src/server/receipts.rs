//! Receipts of signals from the database: of those that the state has forgotten, or of which it has not all lines any more.
//!
//! **Runs on**: the readers' thread. **Bounds**: [`LINES_AT_ONCE`] lines a statement, [`ROWS_MAX`] in an answer; of the others, what
//! `crate::web::receipt` sums up. **Invariants**: all of it is from one server. **Never**: shows a subscriber another one's line.

use engine::core::fixed::{Money, Quantity};
use engine::core::ids::{SignalId, Timestamp, UserId};
use engine::core::instrument::Symbol;
use engine::core::order::Side;
use storage::postgres::replicas::{ReadError, Readers, Session};
use tokio_postgres::Row;

use super::readers::NoAnswer;
use crate::web::fill_prices::LineFill;
use crate::web::history::{instant, micros};
use crate::web::receipt::{Head, Line, Receipt};

/// Lines of a statement: as many as a page of history has at most.
const LINES_AT_ONCE: i64 = 2_500;
/// Lines of an answer, at some 180 bytes each: half of what a connection may have queued. `offset` goes on behind them.
const ROWS_MAX: usize = 2_500;
/// A line is decided after its signal was accepted, but for a clock that is set back.
const EARLIER_MICROS: i64 = 3_600_000_000;

/// What of a receipt is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Of which signal.
    pub signal: SignalId,
    /// The only line that may be seen.
    pub only: Option<UserId>,
    /// Rows.
    pub limit: usize,
    /// Rows to leave out first.
    pub offset: usize,
}

/// A receipt.
#[derive(Debug)]
pub struct Found {
    /// The document.
    pub body: Vec<u8>,
    /// Lines that there are.
    pub decided: usize,
}

/// The signal.
fn head_statement() -> String {
    let [signal, accepted, expires, finished] =
        ["signal_at", "accepted_at", "expires_at", "finished_at"].map(micros);
    format!(
        "SELECT kind, symbol, body, {signal}, {accepted}, {expires}, superseded_by::text, (users IS NOT NULL)::text, {finished} \
         FROM coinbitclub.signals WHERE signal_id = $1::text LIMIT 1"
    )
}

/// The lines, with what their own orders came to: those of an open are decided with it, those of a close until it is done.
fn lines_statement() -> String {
    let [decided, sent, filled, done] = ["r.decided_at", "r.sent_at", "r.filled_at", "r.done_at"].map(micros);
    let [bought, sold] = ["o.bought_at", "o.sold_at"].map(micros);
    let since = instant(4);
    format!(
        "SELECT r.user_id, r.account::text, r.outcome, r.reason, {decided}, {sent}, {filled}, {done}, o.bought::text, o.paid::text, \
         {bought}, o.sold::text, o.got::text, {sold} FROM coinbitclub.receipts r LEFT JOIN LATERAL (SELECT \
         sum(filled) FILTER (WHERE side = 'buy') AS bought, sum(notional) FILTER (WHERE side = 'buy') AS paid, \
         min(filled_at) FILTER (WHERE side = 'buy') AS bought_at, sum(filled) FILTER (WHERE side = 'sell') AS sold, \
         sum(notional) FILTER (WHERE side = 'sell') AS got, min(filled_at) FILTER (WHERE side = 'sell') AS sold_at \
         FROM coinbitclub.orders o WHERE o.user_id = r.user_id AND o.decided_at >= r.decided_at \
         AND o.decided_at <= coalesce(r.done_at, r.decided_at + interval '1 hour') AND o.signal_id = r.signal_id \
         AND o.leg IN ('entry', 'signal_close') AND o.filled > 0) o ON r.outcome <> 'skipped' \
         WHERE r.signal_id = $1::text AND r.user_id > $2::bigint AND ($3::bigint IS NULL OR r.user_id = $3::bigint) \
         AND r.decided_at >= {since} ORDER BY r.user_id LIMIT $5::bigint"
    )
}

/// The texts of a row, from a place on.
struct Fields<'a>(&'a Row);

impl Fields<'_> {
    fn text(&self, place: usize) -> Result<Option<String>, String> {
        self.0.try_get(place).map_err(|error| error.to_string())
    }
    fn some(&self, place: usize) -> Result<String, String> {
        self.text(place)?.ok_or_else(|| format!("nothing in column {place}"))
    }
    fn read<T: std::str::FromStr>(&self, place: usize) -> Result<Option<T>, String> {
        let parse = |text: String| text.parse().map_err(|_| format!("{text:?} in column {place}"));
        self.text(place)?.map(parse).transpose()
    }
    fn time(&self, place: usize) -> Result<Timestamp, String> {
        Ok(Timestamp(self.read(place)?.unwrap_or(0)))
    }
    fn fill(&self, side: Side, place: usize) -> Result<Option<LineFill>, String> {
        let quantity: Option<Quantity> = self.read(place)?;
        let notional: Option<Money> = self.read(place + 1)?;
        let at = self.time(place + 2)?;
        Ok(quantity.zip(notional).and_then(|(quantity, notional)| LineFill::of(side, quantity, notional, at)))
    }
}

fn head(id: SignalId, row: &Row) -> Result<Head, String> {
    let fields = Fields(row);
    let symbol = fields.some(1)?;
    Ok(Head {
        id,
        kind: fields.some(0)?.into(),
        symbol: Symbol::new(&symbol).ok_or_else(|| format!("{symbol:?} for a symbol"))?,
        body: fields.some(2)?,
        signal_at: fields.read(3)?.map(Timestamp),
        accepted_at: fields.time(4)?,
        expires_at: fields.time(5)?,
        superseded_by: fields.read(6)?,
        is_finished: fields.some(7)? == "true",
        finished_at: fields.time(8)?,
    })
}

fn line(user: i64, row: &Row) -> Result<Line, String> {
    let fields = Fields(row);
    Ok(Line {
        user: UserId(user.cast_unsigned()),
        account: fields.read(1)?.ok_or("no account")?,
        outcome: fields.some(2)?.into(),
        reason: fields.text(3)?.map(Into::into),
        decided_at: fields.time(4)?,
        sent_at: fields.time(5)?,
        filled_at: fields.time(6)?,
        done_at: fields.time(7)?,
        fills: [fields.fill(Side::Buy, 8)?, fields.fill(Side::Sell, 11)?],
    })
}

/// Everything, or what of a row is not what a statement gives.
type Gathered = Result<Option<(Head, Receipt)>, String>;

async fn gather(session: &Session, wanted: Wanted) -> Result<Gathered, tokio_postgres::Error> {
    let id = wanted.signal.to_string();
    let found = session.query(&head_statement(), &[&id]).await?;
    let head = match found.first().map(|row| head(wanted.signal, row)) {
        Some(Ok(head)) => head,
        Some(Err(why)) => return Ok(Err(why)),
        None => return Ok(Ok(None)),
    };
    let mut receipt = Receipt::new(wanted.limit.min(ROWS_MAX), wanted.offset);
    let only = wanted.only.map(|user| user.0.cast_signed());
    let since = i64::try_from(head.accepted_at.0).unwrap_or(i64::MAX) - EARLIER_MICROS;
    let (lines, mut after) = (lines_statement(), i64::MIN);
    loop {
        let rows = session.query(&lines, &[&id, &after, &only, &since, &LINES_AT_ONCE]).await?;
        for row in &rows {
            after = row.try_get(0)?;
            match line(after, row) {
                Ok(line) => receipt.add(head.accepted_at, line),
                Err(why) => return Ok(Err(why)),
            }
        }
        if i64::try_from(rows.len()).unwrap_or(i64::MAX) < LINES_AT_ONCE {
            return Ok(Ok(Some((head, receipt))));
        }
    }
}

/// The receipt, where the database has it; to a subscriber, only with a line of their own.
///
/// # Errors
/// Why the database does not answer.
pub async fn read(readers: &Readers, wanted: Wanted) -> Result<Option<Found>, NoAnswer> {
    let (gathered, source) =
        readers.read(None, async |session| gather(session, wanted).await).await.map_err(|error| {
            let is_final = matches!(error, ReadError::Query(_));
            NoAnswer::new(error.to_string(), is_final)
        })?;
    let found = gathered.map_err(|why| NoAnswer::new(why, true))?;
    Ok(found.filter(|(_, receipt)| wanted.only.is_none() || receipt.seen() > 0).map(|(head, receipt)| {
        let decided = receipt.seen();
        Found { body: receipt.render(&head, wanted.only.is_none(), Some(&source.to_string())), decided }
    }))
}
