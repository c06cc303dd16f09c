//! Batches into the primary: each one transaction, rows by binary COPY, how far the log is with them in the same.
//!
//! Rows that cannot be there yet go straight into their table; rows that may be there go into a table of the connection's own
//! first, and from there in one statement per table. What it costs beside a plain COPY: docs/history-bench.md.
//!
//! **Runs on**: the projector's thread. **Owns**: one connection to the primary.
//! **Invariants**: the transaction begins by locking the shard's line of `projector_progress` and looking where it stands, so
//! that a second projector, or a batch written twice, changes nothing. **Bounds**: [`TIMEOUT`] for anything.
//! **Never**: writes outside a transaction, but for making partitions, which may be made twice.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::pin::pin;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use engine::core::ids::UserId;
use futures_util::SinkExt;
use sha2::{Digest, Sha256};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, SimpleQueryMessage, Statement};

use super::connect::{ConnectError, Connected, Role, connect};
use super::target::Target;
use crate::history::tuple::{COPY_HEADER, COPY_TRAILER};
use crate::history::{Batch, History, HistoryError, Mark, Month, Reached, Standing, Table, TableRows};
use crate::identity::{Generation, LogIdentity, Lsn, Salt};

/// Nothing the writer waits for takes longer; a connection that has not answered by then is given up.
pub const TIMEOUT: Duration = Duration::from_secs(60);
/// How full rows that come are packed, in percent: a row that changes finds room for its next version beside it, and no index has
/// to be told (a heap-only update).
const FILL_PERCENT: u32 = 85;
/// Bytes handed to the connection at once.
const CHUNK_BYTES: usize = 256 << 10;

/// See the module's head.
pub struct Writer {
    target: Target,
    session: Option<Session>,
    /// Partitions that are known to be there.
    months: BTreeSet<(Table, Month)>,
}

/// A connection with what was made for it.
struct Session {
    connected: Connected,
    /// By [`Table::place`]: the COPY into the table, and the one into the connection's own.
    copies: Vec<[Statement; 2]>,
}

impl Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.connected
    }
}

/// What tells logs apart without giving the salt away, in hexadecimal digits.
fn fingerprint(salt: Salt) -> String {
    Sha256::digest(salt.0.to_le_bytes())[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What an error of the database means for the projector.
fn meaning(error: tokio_postgres::Error) -> HistoryError {
    let text = match error.as_db_error() {
        // The detail names the key that is there twice, or the line of the COPY.
        Some(db) => [Some(db.message()), db.detail(), db.where_()]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join("; "),
        None => error.to_string(),
    };
    match error.code().map(SqlState::code) {
        // No partition takes the row, which no constraint of ours is about: it was made, and somebody has removed it since. A new
        // connection looks for them anew.
        Some("23514") if error.as_db_error().is_some_and(|db| db.constraint().is_none()) => {
            HistoryError::Unreachable(format!("a partition was removed: {text}"))
        }
        Some("57014") => HistoryError::TooSlow(text),
        // Data exceptions, broken constraints, limits of the program: the same rows will fail again.
        Some(code) if ["22", "23", "54"].contains(&&code[..2]) => {
            HistoryError::Refused(format!("{code}: {text}"))
        }
        Some(code) => HistoryError::Unreachable(format!("{code}: {text}")),
        None => HistoryError::Unreachable(text),
    }
}

impl Writer {
    /// A writer to the primary among `target`'s hosts. Connects when it is first asked.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self { target, session: None, months: BTreeSet::new() }
    }

    async fn client(&mut self) -> Result<&Session, HistoryError> {
        if self.session.as_ref().is_none_or(|session| session.is_closed()) {
            self.session = None;
            self.months.clear();
            let unreachable = |error: ConnectError| HistoryError::Unreachable(error.to_string());
            let connected = connect(&self.target, Role::Primary, TIMEOUT).await.map_err(unreachable)?;
            connected.batch_execute(&staging()).await.map_err(meaning)?;
            let mut copies = Vec::new();
            for table in Table::ALL {
                let (name, columns) = (table.name(), table.columns().join(", "));
                let into = |place: &str| format!("COPY {place}{name} ({columns}) FROM STDIN (FORMAT binary)");
                let direct = connected.prepare(&into("coinbitclub.")).await.map_err(meaning)?;
                let staged = connected.prepare(&into("stage_")).await.map_err(meaning)?;
                copies.push([direct, staged]);
            }
            self.session = Some(Session { connected, copies });
        }
        Ok(self.session.as_ref().expect("it was just made"))
    }

    /// Waits for `work` so long; a connection that was given up or lost is closed, so that nothing of it happens later.
    async fn bounded<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Self) -> Result<T, HistoryError>,
    ) -> Result<T, HistoryError> {
        let done = tokio::time::timeout(TIMEOUT, work(self)).await;
        let done = done
            .unwrap_or_else(|_| Err(HistoryError::TooSlow(format!("no answer for {} s", TIMEOUT.as_secs()))));
        if matches!(done, Err(HistoryError::Unreachable(_) | HistoryError::TooSlow(_))) {
            self.session = None;
        }
        done
    }

    async fn make_months(&mut self, batch: &Batch) -> Result<(), HistoryError> {
        let missing: Vec<_> = batch.months.difference(&self.months).copied().collect();
        if missing.is_empty() {
            return Ok(());
        }
        // Two shards that make the same partition at once would fail each other. A partition that is attached locks neither readers
        // nor a dump out of its table, as one that is made in it would. One that was taken out stays out, with whatever keys
        // it has: it is somebody's archive, and the rows that come late for its month go into another.
        let mut text = String::from("BEGIN; SELECT pg_advisory_xact_lock(724066118);");
        for (table, month) in &missing {
            let (table, suffix) = (table.name(), month.suffix());
            let (from, to) = (month.first_day(), month.next().first_day());
            text += &format!(
                "DO $$ DECLARE number int := 1; name text := '{table}_p{suffix}'; BEGIN \
                 IF EXISTS (SELECT 1 FROM pg_inherits JOIN pg_class ON oid = inhrelid \
                 WHERE inhparent = 'coinbitclub.{table}'::regclass AND relname ~ '^{table}_p{suffix}(_[0-9]+)?$') \
                 THEN RETURN; END IF; \
                 WHILE to_regclass('coinbitclub.' || name) IS NOT NULL LOOP \
                 number := number + 1; name := '{table}_p{suffix}_' || number; END LOOP; \
                 EXECUTE format('CREATE TABLE coinbitclub.%I (LIKE coinbitclub.{table} INCLUDING ALL) \
                 WITH (fillfactor = {FILL_PERCENT})', name); \
                 EXECUTE format('ALTER TABLE coinbitclub.{table} ATTACH PARTITION coinbitclub.%I \
                 FOR VALUES FROM (''{from} 00:00:00Z'') TO (''{to} 00:00:00Z'')', name); END $$;"
            );
        }
        text += "COMMIT";
        let client = self.client().await?;
        if let Err(error) = client.batch_execute(&text).await {
            let error = meaning(error);
            client.batch_execute("ROLLBACK").await.map_err(meaning)?;
            return Err(error);
        }
        self.months.extend(missing);
        Ok(())
    }

    /// One transaction: looks where the log stands, does `work`, and moves the log's line to `through` where that is told.
    async fn transaction(
        &mut self,
        place: LogIdentity,
        (after, through): (Option<Reached>, Option<Reached>),
        work: impl AsyncFnOnce(&Session) -> Result<(), tokio_postgres::Error>,
    ) -> Result<(), HistoryError> {
        let client = self.client().await?;
        client.batch_execute("BEGIN").await.map_err(meaning)?;
        let done = async {
            let found = standing(client, place, " FOR NO KEY UPDATE").await?;
            if found != after {
                return Err(moved(found, after));
            }
            work(client).await.map_err(meaning)?;
            if let Some(through) = through {
                advance(client, place, after, through).await?;
            }
            client.batch_execute("COMMIT").await.map_err(meaning)
        };
        match done.await {
            Err(error) if !matches!(error, HistoryError::Unreachable(_) | HistoryError::TooSlow(_)) => {
                client.batch_execute("ROLLBACK").await.map_err(meaning)?;
                Err(error)
            }
            done => done,
        }
    }
}

/// Where the log stands.
async fn standing(client: &Client, place: LogIdentity, lock: &str) -> Result<Option<Reached>, HistoryError> {
    let (generation, shard) = (place.generation, place.shard);
    let question = format!(
        "SELECT lsn, encode(salt, 'hex'), encode(record_mark, 'hex'), \
         (SELECT max(generation) FROM coinbitclub.projector_progress WHERE generation > {generation}) \
         FROM coinbitclub.projector_progress WHERE generation = {generation} AND shard = {shard}{lock}"
    );
    let answer = client.simple_query(&question).await.map_err(meaning)?;
    let Some(row) = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    }) else {
        return Ok(None);
    };
    if row.get(1) != Some(fingerprint(place.salt).as_str()) {
        return Err(HistoryError::Foreign(format!(
            "shard {shard} of generation {generation} of another log"
        )));
    }
    if let Some(later) = row.get(3) {
        return Err(gone_on(later, generation));
    }
    let lsn = row.get(0).and_then(|text| text.parse().ok()).map(Lsn);
    let reached = lsn.zip(mark_of(row.get(2))).map(|(lsn, mark)| Reached { lsn, mark });
    reached.map(Some).ok_or_else(|| HistoryError::Unreachable("a position that is none".to_owned()))
}

/// A mark as its column has it, in hexadecimal digits; `None` for what is none.
fn mark_of(column: Option<&str>) -> Option<Mark> {
    let Some(digits) = column else { return Some(Mark::Unknown) };
    if digits.is_empty() {
        return Some(Mark::Absent);
    }
    let number = (digits.len() == 32).then(|| u128::from_str_radix(digits, 16).ok())??;
    Some(Mark::Record(number.to_be_bytes()))
}

/// The same as a literal.
fn literal(mark: Mark) -> String {
    match mark {
        Mark::Unknown => "NULL".to_owned(),
        Mark::Absent => "''".to_owned(),
        Mark::Record(bytes) => format!("'\\x{:032x}'", u128::from_be_bytes(bytes)),
    }
}

fn moved(found: Option<Reached>, expected: Option<Reached>) -> HistoryError {
    let lsn = |reached: Option<Reached>| reached.map(|reached| reached.lsn);
    HistoryError::Moved { found: lsn(found), expected: lsn(expected) }
}

/// The error of logs that a later generation has followed in the database.
fn gone_on(later: &str, generation: Generation) -> HistoryError {
    HistoryError::Foreign(format!(
        "it has gone on with generation {later}, and these logs are of generation {generation}: the data directory was put back \
         to before the number of shards changed. Give a new database, or put the database back as well"
    ))
}

/// Whether the logs are there that a log of this generation, which is not, goes on from.
async fn earlier(client: &Client, place: LogIdentity) -> Result<Standing, HistoryError> {
    let generation = place.generation;
    // Of this generation there may be other shards, of the same salt.
    let question = format!(
        "SELECT generation, bool_and(complete), generation = {generation} FROM coinbitclub.projector_progress \
         WHERE (generation, salt) <> ({generation}, '\\x{}') GROUP BY generation ORDER BY generation DESC LIMIT 1",
        fingerprint(place.salt)
    );
    let answer = client.simple_query(&question).await.map_err(meaning)?;
    let Some(row) = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    }) else {
        return Ok(Standing::Nothing);
    };
    if row.get(2) == Some("t") {
        return Err(HistoryError::Foreign(format!("generation {generation} of another log")));
    }
    let (found, complete) = (row.get(0).unwrap_or_default(), row.get(1) == Some("t"));
    if found.parse().is_ok_and(|found: u32| found > generation.0) {
        return Err(gone_on(found, generation));
    }
    if complete && found.parse() == Ok(generation.0 - 1) {
        return Ok(Standing::Earlier);
    }
    Err(HistoryError::Foreign(format!(
        "it ends in generation {found}{}, and the logs are of generation {generation}: what was between is not in them any \
         more. Give a new database",
        if complete { "" } else { ", before its end" }
    )))
}

/// Moves the log's line. One that is not where it was belongs to another projector by now.
async fn advance(
    client: &Client,
    place: LogIdentity,
    after: Option<Reached>,
    Reached { lsn, mark }: Reached,
) -> Result<(), HistoryError> {
    let (generation, shard, mark) = (place.generation, place.shard, literal(mark));
    let text = match after {
        None => format!(
            "INSERT INTO coinbitclub.projector_progress (generation, shard, lsn, record_mark, salt) \
             VALUES ({generation}, {shard}, {lsn}, {mark}, '\\x{}') ON CONFLICT DO NOTHING",
            fingerprint(place.salt)
        ),
        Some(after) => format!(
            "UPDATE coinbitclub.projector_progress \
             SET lsn = {lsn}, record_mark = {mark}, complete = false, updated_at = now() \
             WHERE generation = {generation} AND shard = {shard} AND lsn = {}",
            after.lsn
        ),
    };
    let done = client.simple_query(&text).await.map_err(meaning)?;
    if done.iter().any(|message| matches!(message, SimpleQueryMessage::CommandComplete(1))) {
        return Ok(());
    }
    Err(moved(standing(client, place, "").await?, after))
}

/// Statements that take out what a history that begins in the middle has written of these users: what is not written again by its
/// key may be another state's. Their ids are literals, for a plan that goes by the keys.
fn without(users: &[UserId]) -> String {
    let ids: Vec<String> = users.iter().map(|user| user.0.cast_signed().to_string()).collect();
    let whose = |table: Table| if table == Table::Signals { "owner_id" } else { "user_id" };
    let statement = |table: Table| {
        let (table, whose) = (table.name(), whose(table));
        format!("DELETE FROM coinbitclub.{table} WHERE {whose} = ANY('{{{}}}');", ids.join(","))
    };
    Table::OF_A_BEGINNING.into_iter().map(statement).collect()
}

/// The statement that notes what is refused: a record, or a user's rows at the beginning behind it.
fn note(place: LogIdentity, at: Reached, user: Option<UserId>, why: &str) -> String {
    let (generation, shard, lsn) = (place.generation, place.shard, at.lsn);
    let user = user.map_or(0, |user| user.0.cast_signed());
    // A literal: quotes doubled, NUL is not in a message of the database.
    let why = why.replace('\'', "''");
    format!(
        "INSERT INTO coinbitclub.refused_records (generation, shard, lsn, user_id, error) \
         VALUES ({generation}, {shard}, {lsn}, {user}, '{why}') ON CONFLICT DO NOTHING"
    )
}

/// A table of the connection's own for each table whose rows may be there already.
fn staging() -> String {
    Table::ALL
        .iter()
        .map(|table| {
            let name = table.name();
            format!("CREATE TEMP TABLE stage_{name} (LIKE coinbitclub.{name}) ON COMMIT DELETE ROWS;")
        })
        .collect()
}

/// Tuples into a table.
async fn copy<'a>(
    client: &Client,
    statement: &Statement,
    tuples: impl Iterator<Item = &'a [u8]>,
) -> Result<(), tokio_postgres::Error> {
    let sink = client.copy_in::<_, Bytes>(statement).await?;
    let mut sink = pin!(sink);
    let mut chunk = BytesMut::with_capacity(CHUNK_BYTES + 1024);
    chunk.put_slice(COPY_HEADER);
    for tuple in tuples {
        chunk.put_slice(tuple);
        if chunk.len() >= CHUNK_BYTES {
            sink.feed(chunk.split().freeze()).await?;
        }
    }
    chunk.put_slice(&COPY_TRAILER);
    sink.send(chunk.freeze()).await?;
    sink.close().await
}

/// The rows of one table.
async fn write_table(session: &Session, table: Table, rows: &TableRows) -> Result<(), tokio_postgres::Error> {
    let (name, columns) = (table.name(), table.columns().join(", "));
    let [direct, staged] = &session.copies[table.place()];
    if !rows.appended.is_empty() {
        copy(session, direct, rows.appended.chunks(CHUNK_BYTES)).await?;
    }
    if rows.fresh().next().is_some() {
        copy(session, direct, rows.fresh()).await?;
    }
    let changed = rows.changed();
    if !changed.is_empty() {
        copy(session, staged, changed.into_iter()).await?;
        let once = table.once().map(|column| table.columns()[column]);
        let (key, rest) = table.columns().split_at(table.key());
        let rest = rest.iter().filter(|column| Some(**column) != once);
        let rest: Vec<String> = rest.map(|column| format!("{column} = excluded.{column}")).collect();
        let then =
            if rest.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {}", rest.join(", ")) };
        let key = key.join(", ");
        let merge = format!(
            "INSERT INTO coinbitclub.{name} ({columns}) SELECT {columns} FROM stage_{name} ON CONFLICT ({key}) DO {then}"
        );
        session.batch_execute(&merge).await?;
    }
    Ok(())
}

impl History for Writer {
    async fn position(&mut self, place: LogIdentity) -> Result<Standing, HistoryError> {
        self.bounded(async |writer| {
            let client = writer.client().await?;
            match standing(client, place, "").await? {
                Some(reached) => Ok(Standing::At(reached)),
                None => earlier(client, place).await,
            }
        })
        .await
    }

    async fn write(&mut self, batch: &Batch) -> Result<(), HistoryError> {
        self.bounded(async |writer| {
            writer.make_months(batch).await?;
            let through = (!batch.partial).then_some(batch.through);
            writer
                .transaction(batch.place, (batch.after, through), async |client| {
                    let replaced = batch.replaced();
                    if !replaced.is_empty() {
                        client.batch_execute(&without(&replaced)).await?;
                    }
                    for table in Table::ALL {
                        write_table(client, table, &batch.tables[table.place()]).await?;
                    }
                    Ok(())
                })
                .await
        })
        .await
    }

    async fn complete(&mut self, ends: &[(LogIdentity, Lsn)]) -> Result<(), HistoryError> {
        self.bounded(async |writer| {
            let client = writer.client().await?;
            client.batch_execute("BEGIN").await.map_err(meaning)?;
            for (place, end) in ends {
                let found = standing(client, *place, " FOR NO KEY UPDATE").await?.map(|reached| reached.lsn);
                if found != Some(*end) {
                    client.batch_execute("ROLLBACK").await.map_err(meaning)?;
                    return Err(HistoryError::Moved { found, expected: Some(*end) });
                }
                let (generation, shard) = (place.generation, place.shard);
                let text = format!(
                    "UPDATE coinbitclub.projector_progress SET complete = true \
                     WHERE generation = {generation} AND shard = {shard}"
                );
                client.batch_execute(&text).await.map_err(meaning)?;
            }
            client.batch_execute("COMMIT").await.map_err(meaning)
        })
        .await
    }

    async fn pass_over(
        &mut self,
        place: LogIdentity,
        after: Option<Reached>,
        refused: Reached,
        why: &str,
    ) -> Result<(), HistoryError> {
        let text = note(place, refused, None, why);
        self.bounded(async |writer| {
            writer
                .transaction(place, (after, Some(refused)), async |client| client.batch_execute(&text).await)
                .await
        })
        .await
    }

    async fn refusals(&mut self, place: LogIdentity) -> Result<u64, HistoryError> {
        let (generation, shard) = (place.generation, place.shard);
        let question = format!(
            "SELECT count(*) FROM coinbitclub.refused_records WHERE generation = {generation} AND shard = {shard} \
             OR generation < {generation} AND {shard} = 0"
        );
        self.bounded(async |writer| {
            let answer = writer.client().await?.simple_query(&question).await.map_err(meaning)?;
            let count = answer.iter().find_map(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
                _ => None,
            });
            count.ok_or_else(|| HistoryError::Unreachable("a count that is none".to_owned()))
        })
        .await
    }

    async fn leave_out(
        &mut self,
        place: LogIdentity,
        at: Reached,
        user: UserId,
        why: &str,
    ) -> Result<(), HistoryError> {
        let text = without(&[user]) + &note(place, at, Some(user), why);
        self.bounded(async |writer| {
            writer.transaction(place, (None, None), async |client| client.batch_execute(&text).await).await
        })
        .await
    }
}
