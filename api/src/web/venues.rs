//! Figures of the exchanges: how each circuit stands, what of each budget is used, and what the connectors did.
//!
//! **Runs on**: written by each shard's loop about once a second; read by any. **Owns**: the places that a shard has a line to; a
//! line's place never changes. **Invariants**: circuits and budgets belong to (exchange, environment, egress address) and are
//! shared by all shards: of what the shards tell about one, the newest counts. All else is each line's own and adds up.
//! **Bounds**: [`LINES_MAX`] lines a shard. **Never**: a lock; a figure nobody measured.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::IpAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use engine::core::ids::Timestamp;
use engine::core::venue_account::{Egress, VenuePlace};
use exchange::live::connector::{Census, ConnectorMetrics, MarkFigures};
use exchange::live::pacing::address::AddressView;
use exchange::live::pacing::circuit::{CircuitReason, CircuitState};
use exchange::live::pacing::clock::ClockView;
use serde_json::{Map, Value, json};

use super::gauges::ShardGauges;

pub mod standing;

/// Places that the accounts of one shard are at: two exchanges, three environments, ten sites, from some addresses.
pub const LINES_MAX: usize = 256;

/// What a line tells of itself.
#[derive(Clone, Copy, Debug)]
pub struct LineFigures {
    /// The circuit and the budgets of its address.
    pub address: AddressView,
    /// The exchange's clock against the host's.
    pub clock: ClockView,
    /// What its connector counted.
    pub metrics: ConnectorMetrics,
    /// What its connector has now.
    pub census: Census,
    /// How the prices of its market stand.
    pub marks: MarkFigures,
}

/// A figure of a line: its name, whether it only grows, and whether several lines add up or the largest counts.
struct Figure {
    name: &'static str,
    counts: bool,
    adds: bool,
}

const fn counter(name: &'static str) -> Figure {
    Figure { name, counts: true, adds: true }
}

const fn gauge(name: &'static str) -> Figure {
    Figure { name, counts: false, adds: true }
}

/// A figure that several lines tell of the same thing.
const fn largest(name: &'static str) -> Figure {
    Figure { name, counts: false, adds: false }
}

const FIGURES_COUNT: usize = 29;

/// In the order of [`figures_of`].
const FIGURES: [Figure; FIGURES_COUNT] = [
    counter("requests"),
    counter("orders_sent"),
    counter("unknown_outcomes"),
    counter("resolved_outcomes"),
    counter("fills"),
    counter("stream_gaps"),
    counter("silent_sockets"),
    counter("untold_orders"),
    counter("comparisons"),
    counter("differences"),
    counter("limited"),
    counter("unreadable"),
    gauge("accounts"),
    gauge("accounts_without_key"),
    gauge("accounts_suspended"),
    gauge("accounts_streaming"),
    gauge("unknown_now"),
    gauge("foreign_positions"),
    gauge("sockets"),
    counter("marks_streamed"),
    counter("marks_listed"),
    counter("marks_refused"),
    gauge("mark_streams"),
    largest("mark_age_newest_ms"),
    largest("mark_age_oldest_ms"),
    largest("marks_unusable"),
    largest("clock_off_micros"),
    largest("clock_drift_ppm"),
    largest("clock_alarm"),
];

fn figures_of(figures: &LineFigures) -> [u64; FIGURES_COUNT] {
    let LineFigures { metrics, census, marks, clock, .. } = figures;
    [
        metrics.calls,
        metrics.orders_sent,
        metrics.unknown,
        metrics.resolved,
        metrics.fills,
        metrics.gaps,
        metrics.silent,
        metrics.untold,
        metrics.comparisons,
        metrics.differences,
        metrics.limited,
        metrics.unreadable,
        census.accounts,
        census.without_key,
        census.suspended,
        census.streaming,
        census.unknown,
        census.foreign,
        census.sockets,
        metrics.marks_streamed,
        metrics.marks_listed,
        metrics.marks_refused,
        marks.streams,
        marks.newest_age_ms,
        marks.oldest_age_ms,
        marks.unusable,
        // Without their signs: how wrong it is, whichever way.
        clock.offset_micros.unsigned_abs(),
        clock.drift_ppm.unwrap_or(0).unsigned_abs(),
        u64::from(clock.is_alarm),
    ]
}

const ADDRESS_COUNT: usize = 9;

/// Of the address, in the order of [`address_of`]; the last four are its budgets.
const ADDRESS_FIGURES: [Figure; ADDRESS_COUNT] = [
    counter("circuit_openings"),
    counter("circuit_bans"),
    counter("circuit_limits"),
    gauge("unreachable_in_a_row"),
    gauge("unknown_in_a_row"),
    gauge("http"),
    gauge("http"),
    gauge("socket"),
    gauge("socket"),
];
/// Where the budgets begin in [`ADDRESS_FIGURES`].
const BUDGETS_AT: usize = 5;

fn address_of(view: &AddressView) -> [u64; ADDRESS_COUNT] {
    let circuit = &view.circuit;
    // A limit of zero says that sockets are not counted apart: no exchange has such a budget.
    let socket = view.socket.map_or((0, 0), |budget| (budget.used, budget.limit));
    [
        circuit.opened,
        circuit.bans,
        circuit.limits,
        circuit.unreachable_in_a_row,
        circuit.unknown_in_a_row,
        view.http.used.into(),
        view.http.limit.into(),
        socket.0.into(),
        socket.1.into(),
    ]
}

/// Reasons of an open circuit, with their words.
const REASONS: [(CircuitReason, &str); 4] = [
    (CircuitReason::Limited, "limited"),
    (CircuitReason::Unreachable, "unreachable"),
    (CircuitReason::Unknown, "unknown"),
    (CircuitReason::Banned, "banned"),
];

/// A circuit's state in one word, so that state, reason and end are always of one moment: end in milliseconds, reason, state.
fn pack(state: CircuitState) -> u64 {
    let place = |reason| REASONS.iter().zip(0_u64..).find(|((r, _), _)| *r == reason).map_or(0, |(_, n)| n);
    match state {
        CircuitState::Closed => 0,
        CircuitState::Open { until, reason } => until.millis() << 4 | place(reason) << 2 | 1,
        CircuitState::HalfOpen { reason } => place(reason) << 2 | 2,
    }
}

fn unpack(word: u64) -> CircuitState {
    let [a, b, c, d] = REASONS.map(|(reason, _)| reason);
    let reason = match word >> 2 & 3 {
        0 => a,
        1 => b,
        2 => c,
        _ => d,
    };
    match word & 3 {
        1 => CircuitState::Open { until: Timestamp::from_millis(word >> 4), reason },
        2 => CircuitState::HalfOpen { reason },
        _ => CircuitState::Closed,
    }
}

/// What one line told last.
#[derive(Debug)]
struct LineGauges {
    place: VenuePlace,
    at_micros: AtomicU64,
    circuit: AtomicU64,
    address: [AtomicU64; ADDRESS_COUNT],
    values: [AtomicU64; FIGURES_COUNT],
}

impl LineGauges {
    fn new(place: VenuePlace) -> Self {
        Self {
            place,
            at_micros: AtomicU64::new(0),
            circuit: AtomicU64::new(0),
            address: [const { AtomicU64::new(0) }; ADDRESS_COUNT],
            values: [const { AtomicU64::new(0) }; FIGURES_COUNT],
        }
    }
}

/// The lines of one shard.
#[derive(Debug)]
pub struct VenueGauges {
    lines: Box<[OnceLock<Box<LineGauges>>]>,
    waiting: AtomicU64,
}

impl Default for VenueGauges {
    fn default() -> Self {
        Self { lines: (0..LINES_MAX).map(|_| OnceLock::new()).collect(), waiting: AtomicU64::new(0) }
    }
}

impl VenueGauges {
    /// Takes what the shard's line number `at` tells; it is to that place for good.
    pub fn publish(&self, at: usize, place: VenuePlace, now: Timestamp, figures: &LineFigures) {
        let Some(slot) = self.lines.get(at) else { return };
        let line = slot.get_or_init(|| Box::new(LineGauges::new(place)));
        line.circuit.store(pack(figures.address.circuit.state), Ordering::Relaxed);
        for (gauge, value) in line.address.iter().zip(address_of(&figures.address)) {
            gauge.store(value, Ordering::Relaxed);
        }
        for (gauge, value) in line.values.iter().zip(figures_of(figures)) {
            gauge.store(value, Ordering::Relaxed);
        }
        // Zero says that nothing was told yet, so whoever sees a time sees the figures too.
        line.at_micros.store(now.0, Ordering::Release);
    }

    /// Takes how many accounts wait for their exchange to have an address.
    pub fn publish_waiting(&self, accounts: u64) {
        self.waiting.store(accounts, Ordering::Relaxed);
    }

    fn rows(&self, shard: usize) -> impl Iterator<Item = LineRow> {
        self.lines.iter().map_while(OnceLock::get).filter_map(move |line| {
            let at_micros = line.at_micros.load(Ordering::Acquire);
            let read = |gauge: &AtomicU64| gauge.load(Ordering::Relaxed);
            (at_micros > 0).then(|| LineRow {
                shard,
                place: line.place,
                at_micros,
                circuit: unpack(read(&line.circuit)),
                address: line.address.each_ref().map(read),
                values: line.values.each_ref().map(read),
            })
        })
    }
}

/// What a line told, read once.
struct LineRow {
    shard: usize,
    place: VenuePlace,
    at_micros: u64,
    circuit: CircuitState,
    address: [u64; ADDRESS_COUNT],
    values: [u64; FIGURES_COUNT],
}

impl LineRow {
    fn site(&self) -> &'static str {
        match self.place.site.host() {
            "" => "main",
            host => host,
        }
    }
}

/// One exchange, environment and egress address, over all shards.
struct AddressRow {
    venue: &'static str,
    environment: &'static str,
    egress: String,
    lines: Vec<LineRow>,
}

impl AddressRow {
    /// The line that told last: its word about the address counts.
    fn newest(&self) -> &LineRow {
        self.lines.iter().max_by_key(|line| line.at_micros).expect("a row is made for a line")
    }

    fn over_lines(&self, figure: usize) -> u64 {
        let values = self.lines.iter().map(|line| line.values[figure]);
        if FIGURES[figure].adds { values.sum() } else { values.max().unwrap_or(0) }
    }

    /// Why trading over this address is impaired.
    fn degraded(&self) -> Option<String> {
        let Self { venue, environment, egress, .. } = self;
        let (state, until, reason) = words(self.newest().circuit);
        let until = until.map_or(String::new(), |until| format!(" until {until} us"));
        reason.map(|reason| format!("{venue} {environment} from {egress}: circuit {state} ({reason}){until}"))
    }

    fn labels(&self) -> String {
        let Self { venue, environment, egress, .. } = self;
        format!("venue=\"{venue}\",environment=\"{environment}\",egress=\"{egress}\"")
    }
}

/// State, end and reason of a circuit as the documents say them.
fn words(circuit: CircuitState) -> (&'static str, Option<u64>, Option<&'static str>) {
    let word = |reason| REASONS.iter().find(|(r, _)| *r == reason).map(|(_, word)| *word);
    match circuit {
        CircuitState::Closed => ("closed", None, None),
        CircuitState::Open { until, reason } => ("open", Some(until.0), word(reason)),
        CircuitState::HalfOpen { reason } => ("half_open", None, word(reason)),
    }
}

fn rows(shards: &[ShardGauges]) -> Vec<AddressRow> {
    let mut rows: BTreeMap<(&'static str, &'static str, String), AddressRow> = BTreeMap::new();
    for (shard, gauges) in shards.iter().enumerate() {
        for line in gauges.venues.rows(shard) {
            let (venue, environment) = (line.place.venue.as_str(), line.place.environment.as_str());
            let egress = match line.place.egress {
                Egress::Any => "any".to_owned(),
                Egress::V4(octets) => IpAddr::from(octets).to_string(),
                Egress::V6(octets) => IpAddr::from(octets).to_string(),
            };
            rows.entry((venue, environment, egress.clone()))
                .or_insert_with(|| AddressRow { venue, environment, egress, lines: Vec::new() })
                .lines
                .push(line);
        }
    }
    rows.into_values().collect()
}

fn waiting(shards: &[ShardGauges]) -> u64 {
    shards.iter().map(|gauges| gauges.venues.waiting.load(Ordering::Relaxed)).sum()
}

/// Why trading is impaired somewhere, one sentence for each address whose circuit is not closed. Elsewhere it goes on.
#[must_use]
pub fn degraded(shards: &[ShardGauges]) -> Vec<String> {
    rows(shards).iter().filter_map(AddressRow::degraded).collect()
}

fn address_json(row: &AddressRow) -> Map<String, Value> {
    let newest = row.newest();
    let (state, until, reason) = words(newest.circuit);
    let [openings, bans, limits, unreachable, unknown, http_used, http_limit, socket_used, socket_limit] =
        newest.address;
    let mut view = Map::new();
    let mut put = |name: &str, value: Value| view.insert(name.to_owned(), value);
    put("venue", json!(row.venue));
    put("environment", json!(row.environment));
    put("egress", json!(row.egress));
    put("degraded", json!(reason.is_some()));
    put("measured_at_micros", json!(newest.at_micros));
    put(
        "circuit",
        json!({
            "state": state,
            "until_micros": until,
            "reason": reason,
            "openings": openings,
            "bans": bans,
            "limits": limits,
            "unreachable_in_a_row": unreachable,
            "unknown_in_a_row": unknown,
        }),
    );
    let socket = (socket_limit > 0).then(|| json!({ "used": socket_used, "limit": socket_limit }));
    put("budget", json!({ "http": { "used": http_used, "limit": http_limit }, "socket": socket }));
    for (place, figure) in FIGURES.iter().enumerate() {
        put(figure.name, json!(row.over_lines(place)));
    }
    view
}

/// The exchanges for the status document: circuits, budgets, and the sums over all shards.
#[must_use]
pub fn status_json(shards: &[ShardGauges]) -> Value {
    let addresses: Vec<Value> = rows(shards).iter().map(|row| Value::Object(address_json(row))).collect();
    json!({ "addresses": addresses, "accounts_waiting_for_an_address": waiting(shards) })
}

/// The same for the metrics document, with the parts of each shard and site.
#[must_use]
pub fn metrics_json(shards: &[ShardGauges]) -> Value {
    let line = |line: &LineRow| {
        let mut view = Map::new();
        view.insert("shard".to_owned(), json!(line.shard));
        view.insert("site".to_owned(), json!(line.site()));
        view.insert("measured_at_micros".to_owned(), json!(line.at_micros));
        for (figure, value) in FIGURES.iter().zip(line.values) {
            view.insert(figure.name.to_owned(), json!(value));
        }
        Value::Object(view)
    };
    let address = |row: &AddressRow| {
        let mut view = address_json(row);
        view.insert("lines".to_owned(), row.lines.iter().map(line).collect());
        Value::Object(view)
    };
    let addresses: Vec<Value> = rows(shards).iter().map(address).collect();
    json!({ "addresses": addresses, "accounts_waiting_for_an_address": waiting(shards) })
}

/// Writes the figures in the text format of Prometheus: those of an address once, those of a line with its shard and site.
///
/// # Errors
/// Those of `out`.
pub fn write_text(out: &mut Vec<u8>, shards: &[ShardGauges]) -> std::io::Result<()> {
    let rows = rows(shards);
    let family = |figure: &Figure| {
        let (suffix, kind) = if figure.counts { ("_total", "counter") } else { ("", "gauge") };
        (format!("coinbitclub_venue_{}{suffix}", figure.name), kind)
    };
    writeln!(out, "# TYPE coinbitclub_venue_circuit_state gauge")?;
    for row in &rows {
        let now = words(row.newest().circuit).0;
        for state in ["closed", "open", "half_open"] {
            let (labels, value) = (row.labels(), u64::from(state == now));
            writeln!(out, "coinbitclub_venue_circuit_state{{{labels},state=\"{state}\"}} {value}")?;
        }
    }
    writeln!(out, "# TYPE coinbitclub_venue_degraded gauge")?;
    for row in &rows {
        let now = words(row.newest().circuit).2;
        for (_, reason) in REASONS {
            let (labels, value) = (row.labels(), u64::from(Some(reason) == now));
            writeln!(out, "coinbitclub_venue_degraded{{{labels},reason=\"{reason}\"}} {value}")?;
        }
    }
    for (place, figure) in ADDRESS_FIGURES[..BUDGETS_AT].iter().enumerate() {
        let (name, kind) = family(figure);
        writeln!(out, "# TYPE {name} {kind}")?;
        for row in &rows {
            writeln!(out, "{name}{{{}}} {}", row.labels(), row.newest().address[place])?;
        }
    }
    for (offset, name) in ["budget_used", "budget_limit"].into_iter().enumerate() {
        writeln!(out, "# TYPE coinbitclub_venue_{name} gauge")?;
        for row in &rows {
            let address = &row.newest().address;
            for at in (BUDGETS_AT..ADDRESS_COUNT).step_by(2).filter(|at| address[at + 1] > 0) {
                let (labels, budget, value) = (row.labels(), ADDRESS_FIGURES[at].name, address[at + offset]);
                writeln!(out, "coinbitclub_venue_{name}{{{labels},budget=\"{budget}\"}} {value}")?;
            }
        }
    }
    for (place, figure) in FIGURES.iter().enumerate() {
        let (name, kind) = family(figure);
        writeln!(out, "# TYPE {name} {kind}")?;
        for row in &rows {
            for line in &row.lines {
                let (labels, shard, site) = (row.labels(), line.shard, line.site());
                let value = line.values[place];
                writeln!(out, "{name}{{{labels},shard=\"{shard}\",site=\"{site}\"}} {value}")?;
            }
        }
    }
    writeln!(out, "# TYPE coinbitclub_venue_accounts_waiting gauge")?;
    for (shard, gauges) in shards.iter().enumerate() {
        let value = gauges.venues.waiting.load(Ordering::Relaxed);
        writeln!(out, "coinbitclub_venue_accounts_waiting{{shard=\"{shard}\"}} {value}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use engine::core::user::VenueKind;
    use engine::core::venue_account::{Environment, VenueSite};
    use exchange::live::pacing::clock::ClockSample;
    use exchange::live::pacing::limits::VenueLimits;
    use exchange::live::pacing::{AddressBudget, Admission, Pacer, Purpose, Request};
    use exchange::live::protocol::{Cost, FailureKind, Group, Millis, Used};

    use super::*;
    use crate::web::gauges::Gauges;

    const NOW: Timestamp = Timestamp(1_700_000_000_000_000);
    const BINANCE: VenuePlace =
        VenuePlace { venue: VenueKind::Binance, environment: Environment::Testnet, ..VenuePlace::PAPER };
    const BYBIT: VenuePlace = VenuePlace {
        venue: VenueKind::Bybit,
        environment: Environment::Mainnet,
        site: VenueSite::Main,
        egress: Egress::V4([203, 0, 113, 7]),
    };

    fn pacer(limits: VenueLimits) -> Pacer {
        let budget: Arc<AddressBudget> = AddressBudget::new(limits, 2).expect("usable");
        Pacer::new(budget)
    }

    /// Sends a public question that costs something, and hears this.
    fn ask(pacer: &mut Pacer, failure: Option<&FailureKind>) {
        let cost = Cost { group: Group::Public, address: 40, account: 0 };
        let request = Request { account: None, cost, purpose: Purpose::Reconcile, is_socket: false };
        match pacer.admit(NOW, &request) {
            Admission::Go(pass) => pacer.answered(NOW, pass, Used::default(), failure),
            other => panic!("{other:?}"),
        }
    }

    fn figures(pacer: &Pacer, orders_sent: u64, suspended: u64) -> LineFigures {
        LineFigures {
            address: pacer.view(NOW),
            clock: pacer.clock().view(),
            metrics: ConnectorMetrics { orders_sent, unknown: 3, resolved: 2, ..ConnectorMetrics::default() },
            census: Census { accounts: 5, suspended, unknown: 1, sockets: 4, ..Census::default() },
            marks: MarkFigures { streams: 1, newest_age_ms: 40, oldest_age_ms: 900, unusable: 2 },
        }
    }

    fn text(gauges: &Gauges) -> String {
        let mut out = Vec::new();
        write_text(&mut out, &gauges.shards).expect("memory");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn an_open_circuit_degrades_its_own_address_and_no_other() {
        let gauges = Gauges::new(2);
        let (mut binance, mut bybit) = (pacer(VenueLimits::BINANCE), pacer(VenueLimits::BYBIT));
        ask(&mut binance, None);
        ask(&mut bybit, None);
        let publish = |binance: &Pacer, bybit: &Pacer, now| {
            gauges.shards[0].venues.publish(0, BINANCE, now, &figures(binance, 7, 0));
            gauges.shards[0].venues.publish(1, BYBIT, now, &figures(bybit, 8, 1));
        };
        // A shard that has not told since must not hide what another saw.
        gauges.shards[1].venues.publish(0, BINANCE, NOW, &figures(&binance, 1, 0));
        publish(&binance, &bybit, NOW.plus_micros(1));
        assert_eq!(degraded(&gauges.shards), Vec::<String>::new());

        let until = Millis(NOW.millis() + 90_000);
        ask(&mut binance, Some(&FailureKind::Banned { until }));
        publish(&binance, &bybit, NOW.plus_micros(2));
        let because = degraded(&gauges.shards);
        assert_eq!(because.len(), 1, "{because:?}");
        assert!(
            because[0].starts_with("binance testnet from any: circuit open (banned) until "),
            "{because:?}"
        );
        let status = status_json(&gauges.shards);
        let (one, other) = (&status["addresses"][0], &status["addresses"][1]);
        assert_eq!((&one["degraded"], &one["circuit"]["state"]), (&json!(true), &json!("open")), "{one}");
        assert_eq!(
            (&one["circuit"]["reason"], &one["circuit"]["bans"]),
            (&json!("banned"), &json!(1)),
            "{one}"
        );
        let told = one["circuit"]["until_micros"].as_u64().expect("an end");
        assert!(told >= until.0 * 1_000 && told < (until.0 + 5_000) * 1_000, "{one}");
        assert_eq!((&other["venue"], &other["egress"]), (&json!("bybit"), &json!("203.0.113.7")));
        assert_eq!(
            (&other["degraded"], &other["circuit"]["state"], &other["circuit"]["until_micros"]),
            (&json!(false), &json!("closed"), &Value::Null),
            "{other}"
        );
        assert_eq!(one["orders_sent"], 8, "both shards: {one}");
        assert_eq!((&one["accounts"], &other["accounts_suspended"]), (&json!(10), &json!(1)));
        assert_eq!(
            (&one["mark_streams"], &one["mark_age_oldest_ms"]),
            (&json!(2), &json!(900)),
            "ages do not add"
        );
        assert_eq!(one["budget"]["socket"], Value::Null, "Binance counts sockets with requests");
        assert_eq!(other["budget"]["socket"]["limit"], 3_000);
        assert!(one["budget"]["http"]["used"].as_u64() >= Some(80), "{one}");
        let metrics = metrics_json(&gauges.shards);
        assert_eq!(metrics["addresses"][0]["lines"][1]["shard"], 1, "{metrics}");
    }

    #[test]
    fn case_t2_a_host_clock_that_is_wrong_shows_in_status_and_metrics() {
        for (ahead_ms, alarm) in [(0, 0), (-400, 0), (900, 1), (-900, 1)] {
            let gauges = Gauges::new(2);
            let (mut wrong, right) = (pacer(VenueLimits::BINANCE), pacer(VenueLimits::BINANCE));
            let venue = Millis(NOW.millis().saturating_add_signed(ahead_ms));
            wrong.clock_mut().measured(ClockSample { sent: NOW, received: NOW, venue }).expect("a sample");
            // A shard that has measured nothing does not hide what another has.
            gauges.shards[0].venues.publish(0, BINANCE, NOW, &figures(&wrong, 0, 0));
            gauges.shards[1].venues.publish(0, BINANCE, NOW.plus_micros(1), &figures(&right, 0, 0));
            let status = status_json(&gauges.shards);
            let row = &status["addresses"][0];
            assert_eq!(row["clock_alarm"], alarm, "{row}");
            assert_eq!(row["clock_off_micros"], ahead_ms.unsigned_abs() * 1_000, "{row}");
            let line = "coinbitclub_venue_clock_alarm{venue=\"binance\",environment=\"testnet\",egress=\"any\",shard=\"0\",site=\"main\"}";
            let text = text(&gauges);
            assert!(text.lines().any(|l| l == format!("{line} {alarm}")), "{text}");
        }
    }

    #[test]
    fn the_text_has_each_series_once_and_after_its_type() {
        let gauges = Gauges::new(2);
        let mut binance = pacer(VenueLimits::BINANCE);
        ask(&mut binance, Some(&FailureKind::Banned { until: Millis(NOW.millis() + 90_000) }));
        let bybit = pacer(VenueLimits::BYBIT);
        gauges.shards[0].venues.publish(0, BINANCE, NOW, &figures(&binance, 7, 0));
        gauges.shards[1].venues.publish(0, BYBIT, NOW, &figures(&bybit, 9, 2));
        // The same address under another name of the exchange: a line of its own.
        let bytick = VenuePlace { site: VenueSite::Bytick, ..BYBIT };
        gauges.shards[1].venues.publish(1, bytick, NOW, &figures(&bybit, 4, 0));
        gauges.shards[1].venues.publish_waiting(6);
        let text = text(&gauges);
        let one = "venue=\"binance\",environment=\"testnet\",egress=\"any\"";
        let other = "venue=\"bybit\",environment=\"mainnet\",egress=\"203.0.113.7\"";
        for line in [
            format!("coinbitclub_venue_circuit_state{{{one},state=\"open\"}} 1"),
            format!("coinbitclub_venue_circuit_state{{{one},state=\"closed\"}} 0"),
            format!("coinbitclub_venue_circuit_state{{{other},state=\"closed\"}} 1"),
            format!("coinbitclub_venue_degraded{{{one},reason=\"banned\"}} 1"),
            format!("coinbitclub_venue_degraded{{{other},reason=\"banned\"}} 0"),
            format!("coinbitclub_venue_circuit_bans_total{{{one}}} 1"),
            format!("coinbitclub_venue_budget_limit{{{one},budget=\"http\"}} 2400"),
            format!("coinbitclub_venue_budget_limit{{{other},budget=\"socket\"}} 3000"),
            format!("coinbitclub_venue_orders_sent_total{{{one},shard=\"0\",site=\"main\"}} 7"),
            format!("coinbitclub_venue_orders_sent_total{{{other},shard=\"1\",site=\"main\"}} 9"),
            format!("coinbitclub_venue_orders_sent_total{{{other},shard=\"1\",site=\"api.bytick.com\"}} 4"),
            format!("coinbitclub_venue_accounts_suspended{{{other},shard=\"1\",site=\"main\"}} 2"),
            format!("coinbitclub_venue_unknown_now{{{one},shard=\"0\",site=\"main\"}} 1"),
            format!("coinbitclub_venue_mark_age_newest_ms{{{one},shard=\"0\",site=\"main\"}} 40"),
            "coinbitclub_venue_accounts_waiting{shard=\"1\"} 6".to_owned(),
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
        }
        assert!(
            !text.contains(&format!("coinbitclub_venue_budget_limit{{{one},budget=\"socket\"}}")),
            "{text}"
        );
        let (mut types, mut series, mut family) = (BTreeSet::new(), BTreeSet::new(), "");
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                family = rest.split(' ').next().expect("a name");
                assert!(types.insert(family), "one type each: {line}");
            } else {
                let (name, _) = line.rsplit_once(' ').expect("a value");
                assert!(name.split('{').next() == Some(family) && series.insert(name), "{line}");
            }
        }
    }

    #[test]
    fn without_exchanges_nothing_is_told() {
        let gauges = Gauges::new(1);
        assert_eq!(status_json(&gauges.shards)["addresses"], json!([]));
        assert!(degraded(&gauges.shards).is_empty());
    }

    #[test]
    fn a_circuit_goes_through_one_word() {
        for (reason, _) in REASONS {
            let until = Timestamp::from_millis(NOW.millis());
            for state in [
                CircuitState::Closed,
                CircuitState::Open { until, reason },
                CircuitState::HalfOpen { reason },
            ] {
                assert_eq!(unpack(pack(state)), state);
            }
        }
    }
}
