//! Random but repeatable days at the exchange: candles with gaps, and what a few accounts do meanwhile.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use engine::core::fixed::{Price, Quantity};
use engine::core::ids::Leg;
use engine::core::order::{NewOrder, OrderKind, Side};
use exchange::market::Market;
use exchange::paper::{PaperSettings, listings};
use exchange::venue::Venue;
use proptest::prelude::*;

use super::{Desk, account, btc, id, quantity};

pub const ACCOUNTS: u64 = 3;
/// One leverage per account, so that liquidations are near for one and far for another.
pub const LEVERAGES: [u8; 3] = [5, 20, 100];

#[derive(Clone, Debug)]
pub enum Act {
    Order { user: u64, buy: bool, kind: u8, offset: i64, size: i64, reduce: bool },
    Cancel { user: u64, which: usize },
    Ticks(u64),
}

/// A candle relative to the close before: gap, up, down (in tenths of a percent), and where it closes.
pub type Shape = (i64, i64, i64, i64);

pub fn acts() -> impl Strategy<Value = Vec<Act>> {
    let order = (0..ACCOUNTS, any::<bool>(), 0_u8..5, -300_i64..300, 1_i64..40, any::<bool>()).prop_map(
        |(user, buy, kind, offset, size, reduce)| Act::Order { user, buy, kind, offset, size, reduce },
    );
    let cancel = (0..ACCOUNTS, 0_usize..4).prop_map(|(user, which)| Act::Cancel { user, which });
    let act = prop_oneof![5 => order, 1 => cancel, 4 => (1_u64..12).prop_map(Act::Ticks)];
    prop::collection::vec(act, 1..60)
}

pub fn shapes() -> impl Strategy<Value = Vec<Shape>> {
    let gap = prop_oneof![6 => Just(0_i64), 1 => -80_i64..80];
    prop::collection::vec((gap, 0_i64..30, 0_i64..30, 0_i64..=100), 60..80)
}

/// Hourly candles, so that funding comes every eight of them.
pub fn market(shapes: &[Shape]) -> Market {
    let mut text = String::from("time_ms,open,high,low,close,volume\n");
    let mut last = 10_000_i64;
    for (at, (gap, up, down, to)) in shapes.iter().enumerate() {
        let open = (last * (1000 + gap) / 1000).clamp(2_000, 50_000);
        let (high, low) = (open * (1000 + up) / 1000, open * (1000 - down) / 1000);
        let close = low + (high - low) * to / 100;
        last = close;
        let row: Vec<_> = [open, high, low, close].iter().map(|p| format!("{}.{}", p / 10, p % 10)).collect();
        text += &format!("{},{},1\n", 3_600_000 * (at as u64 + 1), row.join(","));
    }
    super::file_market(&text)
}

/// One tick holds 0.8 BTC, so that larger orders fill in parts.
pub fn settings() -> PaperSettings {
    let mut listings = listings();
    listings.iter_mut().filter(|l| l.instrument.symbol == btc()).for_each(|l| l.depth = quantity("0.8"));
    PaperSettings { listings, ..PaperSettings::default() }
}

/// The order that an act makes at this desk now, or nothing.
pub fn order_of(desk: &Desk, act: &Act, number: usize) -> Option<NewOrder> {
    let Act::Order { user, buy, kind, offset, size, reduce } = act else { return None };
    let mark = desk.venue.mark(btc())?.price;
    let near = Price::from_units(mark.units() + offset * 10_000_000);
    let a = account(*user);
    Some(NewOrder {
        id: id(a, u32::try_from(number).unwrap() + 1, Leg::Entry),
        symbol: btc(),
        side: if *buy { Side::Buy } else { Side::Sell },
        kind: match kind {
            0 | 1 => OrderKind::Market,
            2 => OrderKind::Limit(near),
            3 => OrderKind::StopMarket(near),
            _ => OrderKind::TakeProfitMarket(near),
        },
        quantity: Quantity::from_units(size * 10_000_000),
        reduce_only: *reduce || *kind > 2,
        leverage: LEVERAGES[usize::try_from(*user).unwrap()],
    })
}

/// Does an act at a desk and lets everything come of it. `tick` opens the gate by so many ticks.
pub fn perform(desk: &mut Desk, act: &Act, number: usize, tick: impl FnOnce(u64)) {
    match act {
        Act::Order { .. } => {
            if let Some(order) = order_of(desk, act, number) {
                desk.submit(order);
            }
        }
        Act::Cancel { user, which } => {
            let live = desk.books.get(&account(*user)).map(|books| {
                let live = books.orders.values().filter(|known| known.accepted && known.end.is_none());
                live.map(|known| known.order.id).collect::<Vec<_>>()
            });
            if let Some(id) = live.and_then(|live| live.get(*which).copied()) {
                desk.venue.cancel(super::NOW, id).unwrap();
            }
        }
        Act::Ticks(ticks) => tick(*ticks),
    }
    desk.drain();
}
