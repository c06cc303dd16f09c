//! Question: what do the paper venue's parts cost on one core?
//!
//! Command: `cargo run --release -p coinbitclub-exchange --example paper_speed`. Prints nanoseconds of CPU time per
//! operation (Linux: the thread's own time on a CPU) of one run: repeat it. It does not show a shard's other work.

#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use engine::core::fixed::{Money, Price, Quantity};
use engine::core::ids::{AccountId, ClientOrderId, Leg, SignalId, SourceId, Timestamp, UserId};
use engine::core::instrument::Symbol;
use engine::core::order::{NewOrder, OrderKind, Side};
use exchange::market::{Gate, GeneratedSymbol, Generator, Market, Pace};
use exchange::paper::{Listing, PaperSettings, PaperVenue, listings};
use exchange::venue::{AccountOpening, Venue};

const ACCOUNTS: u64 = 5_000;
const NOW: Timestamp = Timestamp(0);

fn drain(venue: &mut PaperVenue) -> u64 {
    let mut reports = 0;
    while venue.poll(NOW, 1_024, &mut |_| reports += 1) == 1_024 {}
    reports
}

/// Nanoseconds this thread has been on a CPU.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}

fn say(what: &str, from: u64, count: u64) {
    let each = (cpu_ns() - from) / count.max(1);
    println!("{what:<60} {count:>9} x {each:>7} ns");
}

fn main() {
    let symbols: Vec<GeneratedSymbol> = listings().iter().map(Listing::generated).collect();
    let start = Timestamp(1_700_000_000_000_000);
    let market = Market::generated(Generator::new(1, &symbols, 250_000, start));
    let gate = Gate::new(1);
    let pace = Pace { real_time: None, gate: Some(gate.seat(0)) };
    let mut venue = PaperVenue::new(PaperSettings { pace, ..PaperSettings::default() }, market).unwrap();
    let first = venue.played();

    let symbol = Symbol::new("BTCUSDT").unwrap();
    let mark = venue.mark(symbol).unwrap().price;
    let near = |permille: i64| {
        Price::from_units(mark.units() / 1000 * (1000 + permille)).floor_to(Price::from_units(10_000_000))
    };
    let source = SourceId { owner: UserId(1), index: 0 };
    let order = |user, leg, kind| NewOrder {
        id: ClientOrderId::first(
            SignalId { source, number: 1 },
            AccountId { user: UserId(user), index: 0 },
            leg,
        ),
        symbol,
        side: if leg == Leg::Entry { Side::Buy } else { Side::Sell },
        kind,
        quantity: Quantity::from_units(10_000_000),
        reduce_only: leg != Leg::Entry,
        leverage: 5,
    };
    for user in 0..ACCOUNTS {
        let id = AccountId { user: UserId(user), index: 0 };
        venue.open_account(AccountOpening { id, wallet: Money::from_whole(10_000) }).unwrap();
    }

    let from = cpu_ns();
    (0..ACCOUNTS).for_each(|user| venue.submit(NOW, &order(user, Leg::Entry, OrderKind::Market)).unwrap());
    drain(&mut venue);
    say("market entries, submitted to reported", from, ACCOUNTS);

    let from = cpu_ns();
    for user in 0..ACCOUNTS {
        venue.submit(NOW, &order(user, Leg::Stop, OrderKind::StopMarket(near(-200)))).unwrap();
        venue.submit(NOW, &order(user, Leg::TakeProfit, OrderKind::TakeProfitMarket(near(300)))).unwrap();
    }
    drain(&mut venue);
    say("stops and take-profits, submitted to reported", from, 2 * ACCOUNTS);

    // No level of theirs is reached, and no funding boundary comes within this time.
    let ticks = 200_000;
    gate.allow_through(first + ticks);
    let from = cpu_ns();
    let reports = drain(&mut venue);
    assert_eq!(reports, 0, "a tick that should fire nothing fired");
    say("ticks that fire nothing, with 15000 levels waiting", from, ticks);

    let before = venue.played();
    gate.release_all();
    let from = cpu_ns();
    let mut reports = 0;
    while reports < ACCOUNTS {
        venue.poll(NOW, 256, &mut |_| reports += 1);
    }
    println!("then {} ticks until the first funding of all accounts", venue.played() - before);
    say("up to and including funding, per account", from, ACCOUNTS);

    // A file with one jump through all stops.
    let text = format!("time_ms,id,side,price,quantity\n1,1,buy,{mark},1\n2,2,buy,{},1\n", near(-150));
    let file = exchange::market::MarketFile::parse("jump.csv", &text).unwrap();
    let mut market = Market::new();
    market.add_file(&file, symbol, Price::from_units(10_000_000)).unwrap();
    let gate = Gate::new(1);
    let pace = Pace { real_time: None, gate: Some(gate.seat(0)) };
    let mut venue = PaperVenue::new(PaperSettings { pace, ..PaperSettings::default() }, market).unwrap();
    for user in 0..ACCOUNTS {
        let id = AccountId { user: UserId(user), index: 0 };
        venue.open_account(AccountOpening { id, wallet: Money::from_whole(10_000) }).unwrap();
        venue.submit(NOW, &order(user, Leg::Entry, OrderKind::Market)).unwrap();
        venue.submit(NOW, &order(user, Leg::Stop, OrderKind::StopMarket(near(-100)))).unwrap();
        venue.submit(NOW, &order(user, Leg::TakeProfit, OrderKind::TakeProfitMarket(near(300)))).unwrap();
    }
    drain(&mut venue);
    gate.release_all();
    let from = cpu_ns();
    let reports = drain(&mut venue);
    assert_eq!(reports, 2 * ACCOUNTS, "a fill and the end of the other order each");
    say("stops fired by one tick, with the end of the take-profit", from, ACCOUNTS);
}
