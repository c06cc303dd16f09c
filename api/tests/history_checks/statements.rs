//! Statements: balances before and after a span of days of the user's own zone, from the database and from the state.

use api::server::readers::{HistoryAnswer, Part, answer};
use api::web::history::HistoryQuestion;
use engine::core::fixed::Money;
use engine::core::ids::{Timestamp, UserId};
use engine::core::ledger::{Currency, EntryKey, LedgerAccount};
use engine::core::user::User;
use serde_json::Value;
use storage::postgres::MIGRATIONS;
use storage::postgres::migrate::migrate;
use storage::postgres::replicas::{Readers, ReadersOptions};
use storage::postgres::target::Target;

use crate::cluster::{Cluster, Node};

const ZONE: &str = "Atlantic/Azores";
/// Instants and the day that the zone's clocks show; on 2026-10-25 they show the hour after midnight twice.
const INSTANTS: [(&str, &str); 8] = [
    ("2026-10-23T12:00:00Z", "2026-10-23"),
    ("2026-10-24T23:59:59.999999Z", "2026-10-24"),
    ("2026-10-25T00:00:00Z", "2026-10-25"),
    ("2026-10-25T01:30:00Z", "2026-10-25"),
    ("2026-10-26T00:59:59.999999Z", "2026-10-25"),
    ("2026-10-26T01:00:00Z", "2026-10-26"),
    ("2026-10-27T12:00:00Z", "2026-10-27"),
    ("2026-10-27T13:00:00Z", "2026-10-27"),
];
const DAYS: [&str; 7] =
    ["2026-10-22", "2026-10-23", "2026-10-24", "2026-10-25", "2026-10-26", "2026-10-27", "2026-10-28"];

fn micros(instant: &str) -> Timestamp {
    let at: jiff::Timestamp = instant.parse().expect("an instant");
    Timestamp(u64::try_from(at.as_microsecond()).expect("after 1970"))
}

/// What the n-th entry puts into the wallet.
fn amount(n: usize) -> i64 {
    // The fifth takes out all that is there.
    [100, 20, 3, -50, -73, 7, 11, -18][n]
}

/// A user with an entry at each instant, in the database too.
fn user(node: &Node) -> User {
    let mut user = User::new(UserId(7), Timestamp(1));
    ZONE.clone_into(&mut user.zone);
    node.psql(&format!(
        "INSERT INTO coinbitclub.users VALUES (7, 'a', '{ZONE}', true, false, now(), NULL, NULL)"
    ));
    for (n, (instant, _)) in INSTANTS.iter().enumerate() {
        let number = u64::try_from(n + 1).expect("small");
        let moved = Money::from_whole(amount(n));
        let lines = [(LedgerAccount::Wallet(0), moved), (LedgerAccount::Outside, moved.negated())];
        user.ledger.post(micros(instant), EntryKey::Transfer(0, number), Currency::PaperUsdt, &lines);
        for (line, (account, amount)) in lines.iter().enumerate() {
            let currency = Currency::PaperUsdt.as_str();
            node.psql(&format!(
                "INSERT INTO coinbitclub.postings VALUES ('{instant}', 7, {number}, {line}, '{account}', '{currency}', {amount})"
            ));
        }
    }
    user
}

/// Opening, change and closing of the wallet; none when it had nothing and was not moved.
fn expected(from: &str, to: &str) -> Option<[i64; 3]> {
    let sum = |is_it: &dyn Fn(&str) -> bool| {
        INSTANTS.iter().enumerate().filter(|(_, (_, day))| is_it(day)).map(|(n, _)| amount(n)).sum::<i64>()
    };
    let (opening, change) = (sum(&|day| day < from), sum(&|day| (from..=to).contains(&day)));
    let moved = INSTANTS.iter().any(|(_, day)| (from..=to).contains(day));
    (opening != 0 || moved).then_some([opening, change, opening + change])
}

fn wallet(page: &Value) -> Option<[Option<i64>; 3]> {
    let rows = page["rows"].as_array().expect("rows");
    let wallet = LedgerAccount::Wallet(0).to_string();
    let row = rows.iter().find(|row| row["account"] == wallet.as_str())?;
    Some(
        ["opening", "change", "closing"]
            .map(|name| row[name].as_str().map(|text| text.parse().expect("whole"))),
    )
}

#[test]
fn a_statement_opens_with_what_the_day_before_closed_with() {
    let cluster = Cluster::start(0);
    let node = cluster.primary();
    let target = Target::parse(&node.url_without_password(), None).expect("an address");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(migrate(&target, MIGRATIONS)).expect("the schema");
    node.psql("CREATE TABLE coinbitclub.postings_all PARTITION OF coinbitclub.postings DEFAULT");
    let user = user(node);
    let readers = Readers::new(ReadersOptions::new(target, Vec::new()));
    let database = async |question: &HistoryQuestion| loop {
        match answer(&readers, question, Part::Page).await {
            Ok(HistoryAnswer::Page(page)) => {
                return serde_json::from_slice::<Value>(&page.body).expect("JSON");
            }
            Ok(other) => panic!("{other:?}"),
            Err(why) => {
                let why = why.to_string();
                assert!(!why.contains("db error") && !why.contains("syntax"), "{why}");
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }
    };
    let ask = |what: &str, query: &str| {
        let parsed = HistoryQuestion::parse(what, Some(query), user.id);
        let mut question = parsed.expect("it is well-formed").expect("a kind");
        question.in_zone(ZONE);
        question
    };
    let state = |user: &User, query: &str| {
        let question = HistoryQuestion::parse("statement", Some(query), user.id).expect("well-formed");
        let rows = question.expect("a kind").from_memory(user, false).expect("no database has it");
        serde_json::from_slice::<Value>(&rows.page(false).body).expect("JSON")
    };
    let checks = async {
        for (place, from) in DAYS.iter().enumerate() {
            for to in &DAYS[place..] {
                let days = format!("from_day={from}&to_day={to}");
                let page = database(&ask("statement", &days)).await;
                let wanted = expected(from, to).map(|sums| sums.map(Some));
                assert_eq!(wallet(&page), wanted, "{days}: {page}");
                let kept = state(&user, &days);
                assert_eq!(
                    (&kept["rows"], &kept["truncated"]),
                    (&page["rows"], &Value::Bool(false)),
                    "{days}"
                );
                // The lines between sum up to the change.
                let lines = database(&ask("ledger", &days)).await;
                let into: i64 = lines["rows"].as_array().expect("rows").iter().fold(0, |sum, row| {
                    let is_wallet = row["account"] == LedgerAccount::Wallet(0).to_string().as_str();
                    let amount: i64 = row["amount"].as_str().expect("text").parse().expect("whole");
                    sum + if is_wallet { amount } else { 0 }
                });
                assert_eq!(into, wanted.map_or(0, |[_, change, _]| change.expect("known")), "{days}");
            }
        }
        // A row at a time, and as CSV.
        let one = database(&ask("statement", "limit=1")).await;
        let next = one["next"].as_str().expect("there is another").to_owned();
        let other = database(&ask("statement", &format!("limit=1&cursor={next}"))).await;
        assert!(other["next"].is_null() && other["rows"] != one["rows"], "{one} {other}");
    };
    runtime.block_on(futures_lite::future::or(checks, async {
        readers.watch().await;
    }));

    // Once the state has forgotten the oldest, it says what it does not know.
    let mut user = user;
    for n in 0..130 {
        let lines = [
            (LedgerAccount::Wallet(0), Money::from_whole(1)),
            (LedgerAccount::Outside, Money::from_whole(-1)),
        ];
        user.ledger.post(
            micros("2026-11-05T12:00:00Z"),
            EntryKey::Transfer(0, 100 + n),
            Currency::PaperUsdt,
            &lines,
        );
    }
    let page = state(&user, "from_day=2026-11-01&to_day=2026-11-03");
    assert_eq!((wallet(&page), &page["truncated"]), (Some([None; 3]), &Value::Bool(true)), "{page}");
    let page = state(&user, "from_day=2026-11-01&to_day=2026-11-06");
    assert_eq!(wallet(&page), Some([None, None, Some(130)]), "{page}");
}
