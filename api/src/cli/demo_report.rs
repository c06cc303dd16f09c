//! What a demo run found: the object that `--json` prints, and its text.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

/// A spread of times, in microseconds from the request.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Times {
    /// How many.
    pub count: u64,
    /// The first.
    pub first_us: u64,
    /// Half were faster.
    pub p50_us: u64,
    /// All but one in a hundred were faster.
    pub p99_us: u64,
    /// The last.
    pub last_us: u64,
}

/// A run.
#[derive(Debug, Default, Serialize)]
pub struct DemoReport {
    /// Users made.
    pub users: u64,
    /// Users whose settings and balance allow the order.
    pub eligible: u64,
    /// Users the signal was decided for.
    pub decided: u64,
    /// Orders that were durable.
    pub intents: u64,
    /// Users whose order was filled completely.
    pub fills: u64,
    /// Reason to users.
    pub refused: BTreeMap<String, u64>,
    /// From the request to its answer.
    pub answer_us: u64,
    /// From the request to the first durable order.
    pub first_intent_us: u64,
    /// From the request to the last durable order.
    pub last_intent_us: u64,
    /// From the request to the last fill.
    pub last_fill_us: u64,
    /// Durable orders over time.
    pub intent_times: Times,
    /// First fills over time.
    pub fill_times: Times,
    /// Positions closed by reason.
    pub closed: BTreeMap<String, u64>,
    /// Positions that are not flat at the end.
    pub positions_open: u64,
    /// Currency to realised profit, before fees and funding.
    pub realised: BTreeMap<String, String>,
    /// Currency to trading fees paid.
    pub fees: BTreeMap<String, String>,
    /// Currency to funding received.
    pub funding: BTreeMap<String, String>,
    /// Currency to profit shares charged.
    pub profit_share: BTreeMap<String, String>,
    /// Currency to the sum over all balances: zero.
    pub ledger_sum: BTreeMap<String, String>,
    /// Ticks that the market played on each shard.
    pub market_ticks: u64,
    /// Bytes in the log.
    pub log_bytes: u64,
    /// Shards.
    pub shards: u16,
    /// Whether everything that must hold held; `wrong` says what did not.
    pub ok: bool,
    /// What did not hold.
    pub wrong: Vec<String>,
}

fn millis(micros: u64) -> String {
    format!("{}.{:03} ms", micros / 1_000, micros % 1_000)
}

fn map(values: &BTreeMap<String, String>) -> String {
    let shown: Vec<_> =
        values.iter().filter(|(_, v)| v.as_str() != "0").map(|(k, v)| format!("{v} {k}")).collect();
    if shown.is_empty() { "0".to_owned() } else { shown.join(", ") }
}

impl DemoReport {
    /// For people.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        let counts = |values: &BTreeMap<String, u64>| {
            let shown: Vec<_> =
                values.iter().filter(|(_, n)| **n > 0).map(|(k, n)| format!("{k} {n}")).collect();
            if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
        };
        let spread = |t: &Times| {
            format!(
                "first {}, p50 {}, p99 {}, last {}",
                millis(t.first_us),
                millis(t.p50_us),
                millis(t.p99_us),
                millis(t.last_us)
            )
        };
        let rows = [
            ("users reached", format!("{} of {} on {} shards", self.decided, self.users, self.shards)),
            ("eligible", self.eligible.to_string()),
            ("orders durable", self.intents.to_string()),
            ("fills", self.fills.to_string()),
            ("refused", counts(&self.refused)),
            ("answer to the alert", millis(self.answer_us)),
            ("request to intent", spread(&self.intent_times)),
            ("request to fill", spread(&self.fill_times)),
            ("positions closed", counts(&self.closed)),
            ("positions open", self.positions_open.to_string()),
            ("realised profit", map(&self.realised)),
            ("trading fees", map(&self.fees)),
            ("funding received", map(&self.funding)),
            ("profit share", map(&self.profit_share)),
            ("sum of the ledger", map(&self.ledger_sum)),
            ("log", format!("{} bytes", self.log_bytes)),
        ];
        for (name, value) in rows {
            let _ = writeln!(text, "{name:>20}  {value}");
        }
        for wrong in &self.wrong {
            let _ = writeln!(text, "{:>20}  {wrong}", "WRONG");
        }
        text
    }
}
