//! Profits in percent: of what, and that exits in parts change nothing about it.

use api::server::readers::{HistoryAnswer, Part, answer};
use api::web::history::HistoryQuestion;
use engine::core::fixed::Money;
use engine::core::ids::{AccountId, ClientOrderId, Leg, SignalId, SourceId, Timestamp, UserId};
use engine::core::instrument::Symbol;
use engine::core::order::{Fill, Liquidity, NewOrder, OrderKind, OrderState, Side};
use engine::core::position::{CloseReason, Order, Position, PositionState};
use engine::core::user::User;
use serde_json::Value;
use storage::postgres::MIGRATIONS;
use storage::postgres::migrate::migrate;
use storage::postgres::replicas::{Readers, ReadersOptions};
use storage::postgres::target::Target;

use crate::cluster::{Cluster, Node};

/// A trade: how much at which price, entries first.
type Parts<'a> = &'a [(&'a str, &'a str)];

const AT: Timestamp = Timestamp(1_790_000_000_000_000);

fn fill(number: u32, (quantity, price): (&str, &str)) -> Fill {
    Fill {
        number,
        price: price.parse().expect("a price"),
        quantity: quantity.parse().expect("a quantity"),
        fee: "0.01234567".parse().expect("a fee"),
        liquidity: Liquidity::Taker,
        venue_at: AT,
    }
}

/// A position that was entered and left in these parts, and the order of its entry.
fn trade(user: UserId, number: u32, side: Side, entries: Parts<'_>, exits: Parts<'_>) -> (Position, Order) {
    let source = SourceId { owner: user, index: 1 };
    let signal = SignalId { source, number };
    let id = ClientOrderId { signal, account: AccountId { user, index: 0 }, leg: Leg::Entry, round: 0 };
    let new = NewOrder {
        id,
        symbol: Symbol::new("BTCUSDT").expect("a symbol"),
        side,
        kind: OrderKind::Market,
        quantity: "9".parse().expect("a quantity"),
        reduce_only: false,
        leverage: 5,
    };
    let (mut position, mut order) = (Position::of_entry(&new, AT), Order::pending(new, signal, AT));
    for (fill, last) in
        (1..).zip(entries).map(|(number, part)| (fill(number, *part), number as usize == entries.len()))
    {
        position.enter(&fill, last, AT);
        order.filled = order.filled.checked_add(fill.quantity).expect("it fits");
        let notional = fill.price.notional(fill.quantity).expect("it fits");
        order.notional = order.notional.checked_add(notional).expect("it fits");
    }
    for fill in (1..).zip(exits).map(|(number, part)| fill(number, *part)) {
        let realised = position.realise(fill.price, fill.quantity).expect("it fits");
        position.exit(fill.quantity, fill.fee, realised);
    }
    assert!(position.quantity.is_zero(), "it is left whole");
    (order.state, order.done_at) = (OrderState::Filled, AT);
    (position.state, position.closed, position.closed_at) =
        (PositionState::Closed, Some(CloseReason::Signal), AT);
    (position, order)
}

/// The rows that the projector would have written.
fn write(node: &Node, user: UserId, position: &Position, order: Option<&Order>) {
    let (user, id, net) = (user.0, position.signal, position.net());
    let (entered, realised, fees) = (position.entry_quantity, position.realised, position.fees);
    let at = format!("(timestamptz 'epoch' + {} * interval '1 microsecond')", position.decided_at.0);
    let side = position.side.as_str();
    node.psql(&format!(
        "INSERT INTO coinbitclub.fees VALUES ({at}, {user}, '{id}', 0, 'USDT', {net}, 0, 0, 0, 0); \
         INSERT INTO coinbitclub.positions VALUES ({at}, {user}, '{id}', 0, 'BTCUSDT', '{side}', \
         'CLOSED', 5, 0, 0, {entered}, {realised}, {fees}, 0, 0, 0, 0, {at}, {at}, 'SIGNAL')"
    ));
    if let Some(order) = order {
        let (order_id, filled, notional) = (order.new.id, order.filled, order.notional);
        node.psql(&format!(
            "INSERT INTO coinbitclub.orders VALUES ({at}, '{order_id}', {user}, 0, '{id}', '{id}', 'entry', 'BTCUSDT', \
             '{side}', 'market', NULL, 9, false, 5, 'FILLED', NULL, {filled}, {notional}, 0, {at}, {at}, {at})"
        ));
    }
}

fn units(text: &Value) -> i128 {
    i128::from(text.as_str().expect("an amount").parse::<Money>().expect("exact").units())
}

/// CASES.md F8: what a percentage is of is stated beside it, and is what was entered: parts in which a position was left do not
/// change it, so the parts' profits over it add up to the whole. Whoever answers, it is the same; where the base is not known, there
/// is no percentage.
#[test]
fn case_f8_a_percentage_states_its_base_and_exits_in_parts_add_up() {
    let cluster = Cluster::start(0);
    let node = cluster.primary();
    let target = Target::parse(&node.url_without_password(), None).expect("an address");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(migrate(&target, MIGRATIONS)).expect("the schema");
    for table in ["fees", "positions", "orders"] {
        node.psql(&format!("CREATE TABLE coinbitclub.{table}_all PARTITION OF coinbitclub.{table} DEFAULT"));
    }
    let mut user = User::new(UserId(1), Timestamp(1));
    node.psql("INSERT INTO coinbitclub.users VALUES (1, 'a', 'UTC', true, false, now(), NULL, NULL)");
    let entry: Parts<'_> = &[("0.3", "100.1"), ("0.7", "101.07")];
    let trades = [
        // The same entry, left at once and in parts at the same prices on average.
        trade(user.id, 1, Side::Buy, entry, &[("1", "103.12")]),
        trade(user.id, 2, Side::Buy, entry, &[("0.2", "103.12"), ("0.5", "103.12"), ("0.3", "103.12")]),
        trade(
            user.id,
            3,
            Side::Sell,
            &[("1.7", "99.99999999")],
            &[("0.001", "120"), ("1.699", "110.33333333")],
        ),
    ];
    for (position, order) in &trades {
        user.closed_positions.push_back(*position);
        user.final_orders.push_back(*order);
        write(node, user.id, position, Some(order));
    }
    let readers = Readers::new(ReadersOptions::new(target, Vec::new()));
    let asked = async |by: &str| {
        let question =
            HistoryQuestion::parse("performance", Some(by), UserId(1)).expect("well-formed").expect("a kind");
        loop {
            match answer(&readers, &question, Part::Page).await {
                Ok(HistoryAnswer::Page(page)) => {
                    return serde_json::from_slice::<Value>(&page.body).expect("JSON")["rows"].clone();
                }
                Ok(other) => panic!("{other:?}"),
                Err(why) => {
                    let why = why.to_string();
                    assert!(!why.contains("db error") && !why.contains("syntax"), "{why}");
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
            }
        }
    };
    let kept = |user: &User, by: &str| {
        let question =
            HistoryQuestion::parse("performance", Some(by), user.id).expect("well-formed").expect("a kind");
        let page = question.from_memory(user, true).expect("it has everything").page(false);
        serde_json::from_slice::<Value>(&page.body).expect("JSON")["rows"].clone()
    };
    let checks = async {
        for by in ["by=position", "by=day", "by=symbol", "by=strategy"] {
            let (database, state) = (asked(by).await, kept(&user, by));
            assert_eq!(database, state, "{by}");
            for row in database.as_array().expect("rows") {
                let of_it = |trade: &&(Position, Order)| {
                    by != "by=position" || row["key"] == trade.0.signal.to_string()
                };
                let base: i128 =
                    trades.iter().filter(of_it).map(|(_, order)| i128::from(order.notional.units())).sum();
                assert_eq!(units(&row["entry_notional"]), base, "{by}: {row}");
                // Four places: the nearest to the quotient, so at most half of one away from it.
                let percent = units(&row["net_percent_of_entry_notional"]);
                assert_eq!(percent % 10_000, 0, "{by}: four places: {row}");
                let off = (percent * base - units(&row["net"]) * 100 * 100_000_000).abs();
                assert!(off <= 5_000 * base, "{by}: {row}");
            }
        }
        let rows = kept(&user, "by=position");
        let of = |place: usize| units(&rows[place]["net_percent_of_entry_notional"]);
        // Newest first by id. Two more fees of exits are all that parts cost.
        let fees = 2 * 1_234_567 * 100 * 100_000_000 / units(&rows[1]["entry_notional"]);
        assert!((of(2) - of(1) - fees).abs() <= 10_000, "{rows}");
        assert!(of(0) < 0, "a loss is a loss: {rows}");

        // Its entry filled once more after the first position had closed: two under one id, and whose the notional is nobody says.
        let (first, mut order) = trade(user.id, 4, Side::Buy, &[("0.3", "100")], &[("0.3", "101")]);
        let (mut second, late) = trade(user.id, 4, Side::Buy, &[("0.2", "100")], &[("0.2", "101")]);
        second.decided_at = Timestamp(AT.0 + 1_000);
        order.filled = order.filled.checked_add(late.filled).expect("it fits");
        order.notional = order.notional.checked_add(late.notional).expect("it fits");
        user.final_orders.push_back(order);
        for (position, order) in [(first, Some(&order)), (second, None)] {
            user.closed_positions.push_back(position);
            write(node, user.id, &position, order);
        }
        for by in ["by=day", "by=position"] {
            let (database, state) = (asked(by).await, kept(&user, by));
            assert_eq!(database, state, "{by}");
            assert!(database[0]["entry_notional"].is_null(), "{by}: {database}");
            assert!(database[0]["net"].is_string(), "{by}: {database}");
        }

        // An entry that is not known any more leaves no base, and no percentage of something else.
        let (position, _) = trade(user.id, 5, Side::Buy, entry, &[("1", "103.12")]);
        user.closed_positions.push_back(position);
        write(node, user.id, &position, None);
        for by in ["by=day", "by=position"] {
            let (database, state) = (asked(by).await, kept(&user, by));
            assert_eq!(database, state, "{by}");
            let newest = &database[0];
            assert!(newest["entry_notional"].is_null(), "{by}: {newest}");
            assert!(newest["net_percent_of_entry_notional"].is_null(), "{by}: {newest}");
            assert!(newest["net"].is_string(), "the money is known all the same: {newest}");
        }
    };
    runtime.block_on(futures_lite::future::or(checks, async {
        readers.watch().await;
    }));
}
