//! Days of the user's own zone, as the database cuts them and as the state does.

use api::server::readers::{HistoryAnswer, Part, answer};
use api::web::history::HistoryQuestion;
use engine::core::fixed::{Money, Price, Quantity, Rate};
use engine::core::ids::{SignalId, SourceId, Timestamp, UserId};
use engine::core::instrument::Symbol;
use engine::core::order::Side;
use engine::core::position::{CloseReason, Position, PositionState};
use engine::core::user::User;
use serde_json::Value;
use storage::postgres::MIGRATIONS;
use storage::postgres::migrate::migrate;
use storage::postgres::replicas::{Readers, ReadersOptions};
use storage::postgres::target::Target;

use crate::cluster::{Cluster, Node};

/// A zone, and instants with the day that its clocks show.
type Zone = (&'static str, &'static [(&'static str, &'static str)]);

/// The last microsecond and the first of each day around both changes of the clocks; a zone far from UTC without any; one whose
/// clocks are put forward at midnight, so that a day begins at 1.
const ZONES: [Zone; 3] = [
    (
        "America/New_York",
        &[
            ("2026-03-08T04:59:59.999999Z", "2026-03-07"),
            ("2026-03-08T05:00:00Z", "2026-03-08"),
            ("2026-03-09T03:59:59.999999Z", "2026-03-08"),
            ("2026-03-09T04:00:00Z", "2026-03-09"),
            ("2026-11-01T03:59:59.999999Z", "2026-10-31"),
            ("2026-11-01T04:00:00Z", "2026-11-01"),
            ("2026-11-02T04:59:59.999999Z", "2026-11-01"),
            ("2026-11-02T05:00:00Z", "2026-11-02"),
        ],
    ),
    (
        "Australia/Brisbane",
        &[
            ("2026-03-08T13:59:59.999999Z", "2026-03-08"),
            ("2026-03-08T14:00:00Z", "2026-03-09"),
            ("2026-03-09T00:00:00Z", "2026-03-09"),
            ("2026-03-09T13:59:59.999999Z", "2026-03-09"),
        ],
    ),
    (
        "America/Santiago",
        &[
            ("2026-09-06T03:59:59.999999Z", "2026-09-05"),
            ("2026-09-06T04:00:00Z", "2026-09-06"),
            ("2026-09-07T02:59:59.999999Z", "2026-09-06"),
            ("2026-09-07T03:00:00Z", "2026-09-07"),
        ],
    ),
];

fn closed(signal: SignalId, at: Timestamp, realised: Money) -> Position {
    Position {
        signal,
        account: 0,
        symbol: Symbol::new("BTCUSDT").expect("a symbol"),
        side: Side::Buy,
        state: PositionState::Closed,
        leverage: 1,
        quantity: Quantity::ZERO,
        entry_cost: Money::ZERO,
        entry_quantity: Quantity::ZERO,
        reserved: Money::ZERO,
        realised,
        fees: Money::ZERO,
        funding: Money::ZERO,
        stop: Price::ZERO,
        take_profit: Price::ZERO,
        liquidation: Price::ZERO,
        stop_multiplier: Rate::ZERO,
        take_profit_multiplier: Rate::ZERO,
        share: Rate::ZERO,
        opened_venue_at: Timestamp(0),
        funded_at: Timestamp(0),
        decided_at: at,
        opened_at: at,
        closed_at: at,
        closing: None,
        closed: Some(CloseReason::Signal),
    }
}

/// A user of this zone whose positions were closed at these instants, in the database too.
fn user(node: &Node, number: u64, (zone, instants): Zone) -> User {
    let mut user = User::new(UserId(number), Timestamp(1));
    zone.clone_into(&mut user.zone);
    node.psql(&format!(
        "INSERT INTO coinbitclub.users VALUES ({number}, 'a', '{zone}', true, false, now(), NULL, NULL)"
    ));
    for (place, (instant, _)) in (1_u32..).zip(instants) {
        let at: jiff::Timestamp = instant.parse().expect("an instant");
        let at = Timestamp(u64::try_from(at.as_microsecond()).expect("after 1970"));
        let source = SourceId { owner: user.id, index: u8::try_from(place % 2).expect("small") };
        let signal = SignalId { source, number: place };
        // Each sum tells which closes it is of.
        let net = i64::from(place) * if place % 3 == 0 { -1 } else { 1 };
        user.closed_positions.push_back(closed(signal, at, Money::from_whole(net)));
        node.psql(&format!(
            "INSERT INTO coinbitclub.fees VALUES ('{instant}', {number}, '{signal}', 0, 'USDT', {net}, 0, 0, 0, 0); \
             INSERT INTO coinbitclub.positions VALUES ('{instant}', {number}, '{signal}', 0, 'BTCUSDT', 'BUY', \
             'CLOSED', 1, 0, 0, 0, {net}, 0, 0, 0, 0, 0, '{instant}', '{instant}', 'SIGNAL')"
        ));
    }
    user
}

/// Days with how many positions and what net, newest first.
fn expected((_, instants): Zone) -> Vec<(String, u64, i64)> {
    let mut days: Vec<(String, u64, i64)> = Vec::new();
    for (place, (_, day)) in (1_i64..).zip(instants) {
        let net = place * if place % 3 == 0 { -1 } else { 1 };
        match days.iter_mut().find(|(known, _, _)| known == day) {
            Some((_, count, sum)) => (*count, *sum) = (*count + 1, *sum + net),
            None => days.push(((*day).to_owned(), 1, net)),
        }
    }
    days.reverse();
    days
}

fn question(user: &User, query: &str) -> HistoryQuestion {
    HistoryQuestion::parse("performance", Some(query), user.id).expect("it is well-formed").expect("a kind")
}

fn document(body: &[u8]) -> Value {
    serde_json::from_slice(body).expect("JSON")
}

fn days(pages: &[Value]) -> Vec<(String, u64, i64)> {
    let rows = pages.iter().flat_map(|page| page["rows"].as_array().expect("rows"));
    let text = |row: &Value, name: &str| row[name].as_str().expect("a text").to_owned();
    rows.map(|row| {
        let net = text(row, "net").parse().expect("a whole number");
        (text(row, "key"), row["positions"].as_u64().expect("a number"), net)
    })
    .collect()
}

/// All pages, so many rows each.
async fn pages(
    user: &User,
    query: &str,
    limit: usize,
    ask: impl AsyncFn(HistoryQuestion) -> Value,
) -> Vec<Value> {
    let (mut pages, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = ask(question(user, &format!("{query}&limit={limit}{cursor}"))).await;
        let next = page["next"].as_str().map(|next| format!("&cursor={next}"));
        pages.push(page);
        assert!(pages.len() < 50, "pages without an end: {pages:?}");
        match next {
            Some(next) => cursor = next,
            None => return pages,
        }
    }
}

/// CASES.md Z1 and Z2: a day begins when the clocks of the user's zone say so, also where they change, and its profit is there at
/// once; the database and the state cut it alike, and every page goes on where the last one ended.
#[test]
fn case_z1_z2_profit_by_day_is_cut_where_the_users_clocks_show_midnight() {
    let cluster = Cluster::start(0);
    let node = cluster.primary();
    let target = Target::parse(&node.url_without_password(), None).expect("an address");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(migrate(&target, MIGRATIONS)).expect("the schema");
    for table in ["fees", "positions"] {
        node.psql(&format!("CREATE TABLE coinbitclub.{table}_all PARTITION OF coinbitclub.{table} DEFAULT"));
    }
    let readers = Readers::new(ReadersOptions::new(target, Vec::new()));
    let database = async |question: HistoryQuestion| loop {
        match answer(&readers, &question, Part::Page).await {
            Ok(HistoryAnswer::Page(page)) => return document(&page.body),
            Ok(other) => panic!("{other:?}"),
            Err(why) => {
                let why = why.to_string();
                assert!(!why.contains("db error") && !why.contains("syntax"), "{why}");
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }
    };
    let checks = async {
        for (number, zone) in (1..).zip(ZONES) {
            let user = user(node, number, zone);
            let state = async |question: HistoryQuestion| {
                document(&question.from_memory(&user, true).expect("it has everything").page(false).body)
            };
            for limit in [1, 3, 100] {
                let from_database = pages(&user, "by=day", limit, database).await;
                assert_eq!(days(&from_database), expected(zone), "{}, by {limit}", zone.0);
                let from_state = pages(&user, "by=day", limit, state).await;
                assert_eq!(days(&from_state), expected(zone), "{}, by {limit}, from the state", zone.0);
                assert!(from_state.iter().all(|page| page["truncated"] == false));
                for by in ["by=symbol", "by=strategy"] {
                    let rows =
                        |pages: Vec<Value>| pages.iter().map(|page| page["rows"].clone()).collect::<Vec<_>>();
                    let (one, other) =
                        (pages(&user, by, limit, database).await, pages(&user, by, limit, state).await);
                    assert_eq!(rows(one), rows(other), "{by} in pages of {limit}");
                }
            }
        }
    };
    runtime.block_on(futures_lite::future::or(checks, async {
        readers.watch().await;
    }));
}
