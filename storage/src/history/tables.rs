//! The tables that the projector writes, as the files of `storage/migrations` make them.
//!
//! **Invariants**: the columns stand in the order in which [`super::rows`] writes them; a table's key is its first columns, and
//! where it is partitioned the first of them is the time that decides, which never changes for a row.

/// How rows come into a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// A row is written once.
    Append,
    /// A row is written again when what it tells of changes.
    Upsert,
}

/// A table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Users.
    Users,
    /// Exchange accounts.
    ExchangeAccounts,
    /// Sources.
    Sources,
    /// Subscriptions.
    Subscriptions,
    /// Signals.
    Signals,
    /// What came of signals.
    Receipts,
    /// Orders.
    Orders,
    /// Positions.
    Positions,
    /// Executions.
    Fills,
    /// Profit shares.
    Fees,
    /// Journal entries.
    Entries,
    /// Their lines.
    Postings,
    /// What people did and what went wrong.
    AuditTrail,
}

impl Table {
    /// All of them, in the order in which a batch is written: the same for every shard, so that no two wait for each other.
    pub const ALL: [Self; 13] = [
        Self::Users,
        Self::ExchangeAccounts,
        Self::Sources,
        Self::Subscriptions,
        Self::Signals,
        Self::Receipts,
        Self::Orders,
        Self::Positions,
        Self::Fills,
        Self::Fees,
        Self::Entries,
        Self::Postings,
        Self::AuditTrail,
    ];

    /// Those that a history which begins in the middle writes rows of that may not be among those of a later try.
    pub const OF_A_BEGINNING: [Self; 6] =
        [Self::Signals, Self::Receipts, Self::Orders, Self::Positions, Self::Entries, Self::Postings];

    /// Its place in [`Table::ALL`].
    #[must_use]
    pub const fn place(self) -> usize {
        self as usize
    }

    /// Its name within the schema `coinbitclub`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::ExchangeAccounts => "exchange_accounts",
            Self::Sources => "sources",
            Self::Subscriptions => "subscriptions",
            Self::Signals => "signals",
            Self::Receipts => "receipts",
            Self::Orders => "orders",
            Self::Positions => "positions",
            Self::Fills => "fills",
            Self::Fees => "fees",
            Self::Entries => "entries",
            Self::Postings => "postings",
            Self::AuditTrail => "audit_trail",
        }
    }

    /// How it grows.
    #[must_use]
    pub const fn growth(self) -> Growth {
        match self {
            Self::Fills | Self::Fees | Self::Entries | Self::Postings | Self::AuditTrail => Growth::Append,
            _ => Growth::Upsert,
        }
    }

    /// Whether it is partitioned by month of its first column.
    #[must_use]
    pub const fn is_monthly(self) -> bool {
        !matches!(self, Self::Users | Self::ExchangeAccounts | Self::Sources | Self::Subscriptions)
    }

    /// How many of its first columns are its key, in whatever order the index has them.
    #[must_use]
    pub const fn key(self) -> usize {
        match self {
            Self::Users => 1,
            Self::ExchangeAccounts | Self::Sources | Self::Signals => 2,
            Self::Subscriptions | Self::Receipts | Self::Orders | Self::Entries => 3,
            Self::Positions | Self::Fills | Self::Fees | Self::Postings => 4,
            Self::AuditTrail => 5,
        }
    }

    /// The number of a column that is written with the row and never again: the state keeps only the beginning of a long body.
    #[must_use]
    pub const fn once(self) -> Option<usize> {
        match self {
            Self::Signals => Some(12),
            _ => None,
        }
    }

    /// Its columns.
    #[must_use]
    pub const fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Users => &[
                "user_id",
                "email",
                "zone",
                "active",
                "halted",
                "created_at",
                "trial_ends_at",
                "plan_ends_at",
            ],
            Self::ExchangeAccounts => &[
                "user_id",
                "account",
                "venue",
                "currency",
                "enabled",
                "key_healthy",
                "environment",
                "host",
                "key_kind",
                "key_hint",
                "key_health",
                "key_expires_at",
            ],
            Self::Sources => &["owner_id", "source", "name", "halted"],
            Self::Subscriptions => &["user_id", "owner_id", "source", "account", "active", "settings"],
            Self::Signals => &[
                "accepted_at",
                "signal_id",
                "owner_id",
                "source",
                "kind",
                "symbol",
                "price",
                "leverage",
                "stop_loss",
                "take_profit",
                "signal_at",
                "expires_at",
                "body",
                "superseded_by",
                "users",
                "intents",
                "skipped",
                "finished_at",
            ],
            Self::Receipts => &[
                "decided_at",
                "user_id",
                "signal_id",
                "account",
                "outcome",
                "reason",
                "sent_at",
                "filled_at",
                "done_at",
            ],
            Self::Orders => &[
                "decided_at",
                "order_id",
                "user_id",
                "account",
                "signal_id",
                "position_id",
                "leg",
                "symbol",
                "side",
                "kind",
                "price",
                "quantity",
                "reduce_only",
                "leverage",
                "state",
                "reason",
                "filled",
                "notional",
                "fees",
                "sent_at",
                "filled_at",
                "done_at",
            ],
            Self::Positions => &[
                "decided_at",
                "user_id",
                "position_id",
                "account",
                "symbol",
                "side",
                "state",
                "leverage",
                "quantity",
                "entry_cost",
                "entry_quantity",
                "realised",
                "fees",
                "funding",
                "stop",
                "take_profit",
                "liquidation",
                "opened_at",
                "closed_at",
                "close_reason",
            ],
            Self::Fills => &[
                "at",
                "order_id",
                "number",
                "user_id",
                "account",
                "position_id",
                "symbol",
                "side",
                "price",
                "quantity",
                "fee",
                "realised",
                "liquidity",
                "venue_at",
            ],
            Self::Fees => &[
                "at",
                "user_id",
                "position_id",
                "account",
                "currency",
                "net",
                "from_credit",
                "from_real",
                "owed",
                "carried_loss",
            ],
            Self::Entries => &["at", "user_id", "number", "key", "currency"],
            Self::Postings => &["at", "user_id", "number", "line", "account", "currency", "amount"],
            Self::AuditTrail => &["at", "generation", "shard", "lsn", "place", "user_id", "kind", "detail"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = include_str!("../../migrations/0001_history.sql");
    const LATER: [&str; 3] = [
        include_str!("../../migrations/0002_exchange_keys.sql"),
        include_str!("../../migrations/0003_record_mark.sql"),
        include_str!("../../migrations/0004_keys_by_user.sql"),
    ];

    /// The text between `CREATE TABLE …name (` and its end.
    fn definition(table: Table) -> &'static str {
        let begin = format!("CREATE TABLE coinbitclub.{} (", table.name());
        let at = SCHEMA.find(&begin).unwrap_or_else(|| panic!("{} is made", table.name())) + begin.len();
        let end = SCHEMA[at..].find(';').expect("a statement ends");
        &SCHEMA[at..at + end]
    }

    /// The lines by which later migrations change the table, in their order.
    fn later(table: Table) -> String {
        let alter = format!("ALTER TABLE coinbitclub.{}\n", table.name());
        let statements =
            LATER.iter().flat_map(|sql| sql.split(';')).filter_map(|text| text.split_once(&alter));
        statements.map(|(_, rest)| rest).collect()
    }

    /// Columns that they add.
    fn added(table: Table) -> Vec<String> {
        let later = later(table);
        let added = later.lines().filter_map(|line| line.trim().strip_prefix("ADD COLUMN "));
        added.filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
    }

    /// The columns of the last key that the text tells of, in the order of their names.
    fn primary_key(table: Table, text: &str) -> Option<Vec<&str>> {
        if text.contains("NOT NULL PRIMARY KEY") {
            return Some(vec![table.columns()[0]]);
        }
        let (_, list) = text.rsplit_once("PRIMARY KEY (")?;
        let mut columns: Vec<&str> = list[..list.find(')')?].split(", ").collect();
        columns.sort_unstable();
        Some(columns)
    }

    #[test]
    fn what_is_written_once_is_a_signals_body() {
        let once = |table: Table| table.once().map(|column| table.columns()[column]);
        assert_eq!(Table::ALL.into_iter().filter_map(once).collect::<Vec<_>>(), ["body"]);
    }

    #[test]
    fn columns_and_keys_are_those_of_the_schema() {
        for (place, table) in Table::ALL.into_iter().enumerate() {
            assert_eq!(table.place(), place);
            let text = definition(table);
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            let mut columns: Vec<String> = lines
                .take_while(|line| !line.starts_with("PRIMARY") && !line.starts_with(')'))
                .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
                .collect();
            columns.extend(added(table));
            assert_eq!(columns, table.columns(), "{}", table.name());
            assert_eq!(text.contains("PARTITION BY RANGE"), table.is_monthly(), "{}", table.name());
            let mut key = table.columns()[..table.key()].to_vec();
            key.sort_unstable();
            assert_eq!(
                primary_key(table, &later(table)).unwrap_or_else(|| primary_key(table, text).expect("a key")),
                key
            );
        }
    }
}
