//! Random steps for the property tests.

#![allow(unreachable_pub, reason = "a module of one test program")]

use engine::core::order::{OrderState, VenueReason};
use proptest::prelude::*;

/// The symbols that are traded.
pub const SYMBOLS: [&str; 3] = ["BTCUSDT", "ETHUSDT", "SOLUSDT"];
/// How many users there are.
pub const USERS: usize = 4;
/// Reasons a venue gives.
pub const REASONS: [VenueReason; 8] = [
    VenueReason::Symbol,
    VenueReason::Margin,
    VenueReason::NothingToReduce,
    VenueReason::WouldTrigger,
    VenueReason::Liquidity,
    VenueReason::Requested,
    VenueReason::PositionClosed,
    VenueReason::TooManyOrders,
];
/// States that orders end in, and two that they do not.
pub const ENDS: [OrderState; 5] = [
    OrderState::Cancelled,
    OrderState::Expired,
    OrderState::Rejected,
    OrderState::Filled,
    OrderState::Unknown,
];

/// One step. Numbers pick among what there is, so that every step means something in every state.
#[derive(Clone, Debug)]
pub enum Step {
    Wait(u64),
    Mark {
        symbol: usize,
        permille: i64,
        gone: bool,
    },
    Status {
        symbol: usize,
        status: u8,
    },
    Signal {
        kind: u8,
        symbol: usize,
        key: u64,
        age: Option<u64>,
        stop: Option<i64>,
        leverage: Option<u8>,
        all: bool,
    },
    Offer {
        signal: u8,
        user: usize,
    },
    Finish {
        signal: u8,
    },
    Answer {
        order: u8,
        what: Answer,
    },
    Again {
        report: u8,
    },
    Arbitrary {
        order: u8,
        leg: u8,
        round: u8,
        fill: (u32, i64, i64, i64),
        kind: u8,
        reason: usize,
        state: usize,
    },
    /// An entry that is over fills: one of the user's newest orders that ended.
    Late {
        user: usize,
        order: u8,
        permille: i64,
        slip: i64,
        forgotten: bool,
    },
    Funding {
        user: usize,
        symbol: usize,
        hour: u64,
        amount: i64,
    },
    Liquidate {
        user: usize,
        symbol: usize,
        number: u32,
        part: i64,
    },
    Close {
        user: usize,
        symbol: usize,
        account: u8,
    },
    Drive {
        user: usize,
    },
    Protect {
        user: usize,
    },
    Reconsider {
        user: usize,
    },
    Unanswered {
        order: u8,
    },
    Halt {
        user: Option<usize>,
        on: bool,
        all: bool,
    },
    Resubscribe {
        user: usize,
        sizing: u8,
        reverse: bool,
        account: u8,
        leverage: u8,
    },
    Unsubscribe {
        user: usize,
    },
    Key {
        user: usize,
        what: u8,
    },
    Recharge {
        user: usize,
        number: u64,
        amount: i64,
    },
    Restart,
}

/// What the venue says to an order.
#[derive(Clone, Debug)]
pub enum Answer {
    Accept,
    Fill { permille: i64, slip: i64, fee: bool },
    Reject { reason: usize },
    End { state: usize, reason: usize },
}

/// A random step; what moves positions comes more often than the rest.
pub fn step() -> impl Strategy<Value = Step> {
    let any_user = 0..USERS;
    let any_symbol = 0..SYMBOLS.len();
    let answer = prop_oneof![
        3 => Just(Answer::Accept),
        6 => (prop_oneof![Just(1000), 1_i64..1000], -20_i64..20, any::<bool>())
            .prop_map(|(permille, slip, fee)| Answer::Fill { permille, slip, fee }),
        1 => (0..REASONS.len()).prop_map(|reason| Answer::Reject { reason }),
        1 => (0..2_usize, 0..REASONS.len()).prop_map(|(state, reason)| Answer::End { state, reason }),
    ];
    prop_oneof![
        2 => prop_oneof![1_u64..10, 20..40_u64, 100..140_u64, 7000..9000_u64, 80_000..100_000_u64].prop_map(Step::Wait),
        2 => (any_symbol.clone(), 900_i64..1100, prop::bool::weighted(0.1))
            .prop_map(|(symbol, permille, gone)| Step::Mark { symbol, permille, gone }),
        1 => (any_symbol.clone(), prop_oneof![4 => Just(0_u8), 1 => 1_u8..4])
            .prop_map(|(symbol, status)| Step::Status { symbol, status }),
        10 => (0_u8..7, any_symbol.clone(), 0_u64..200, prop::option::weighted(0.3, 0_u64..45),
              prop::option::weighted(0.2, -50_i64..50), prop::option::weighted(0.2, 0_u8..20), prop::bool::weighted(0.7))
            .prop_map(|(kind, symbol, key, age, stop, leverage, all)| Step::Signal { kind, symbol, key, age, stop, leverage, all }),
        20 => (any::<u8>(), any_user.clone()).prop_map(|(signal, user)| Step::Offer { signal, user }),
        2 => any::<u8>().prop_map(|signal| Step::Finish { signal }),
        40 => (any::<u8>(), answer).prop_map(|(order, what)| Step::Answer { order, what }),
        4 => any::<u8>().prop_map(|report| Step::Again { report }),
        4 => (any::<u8>(), 0_u8..7, 0_u8..3, nonsense_fill(), 0_u8..5, 0..REASONS.len(), 0..ENDS.len())
            .prop_map(|(order, leg, round, fill, kind, reason, state)| Step::Arbitrary { order, leg, round, fill, kind, reason, state }),
        3 => (any_user.clone(), any::<u8>(), prop_oneof![Just(1000), 1_i64..1000], -20_i64..20, prop::bool::weighted(0.1))
            .prop_map(|(user, order, permille, slip, forgotten)| Step::Late { user, order, permille, slip, forgotten }),
        2 => (any_user.clone(), any_symbol.clone(), 0_u64..4, nonsense_units())
            .prop_map(|(user, symbol, hour, amount)| Step::Funding { user, symbol, hour, amount }),
        1 => (any_user.clone(), any_symbol.clone(), 0_u32..5, 1_i64..1500)
            .prop_map(|(user, symbol, number, part)| Step::Liquidate { user, symbol, number, part }),
        6 => (any_user.clone(), any_symbol, prop_oneof![4 => Just(0_u8), 1 => 1_u8..3])
            .prop_map(|(user, symbol, account)| Step::Close { user, symbol, account }),
        6 => any_user.clone().prop_map(|user| Step::Drive { user }),
        2 => any_user.clone().prop_map(|user| Step::Protect { user }),
        3 => any_user.clone().prop_map(|user| Step::Reconsider { user }),
        2 => any::<u8>().prop_map(|order| Step::Unanswered { order }),
        1 => (prop::option::of(any_user.clone()), prop::bool::weighted(0.3), any::<bool>())
            .prop_map(|(user, on, all)| Step::Halt { user, on, all }),
        2 => (any_user.clone(), 0_u8..4, any::<bool>(), 0_u8..3, 1_u8..=10)
            .prop_map(|(user, sizing, reverse, account, leverage)| Step::Resubscribe { user, sizing, reverse, account, leverage }),
        1 => any_user.clone().prop_map(|user| Step::Unsubscribe { user }),
        2 => (any_user.clone(), any::<u8>()).prop_map(|(user, what)| Step::Key { user, what }),
        1 => (any_user, 0_u64..6, 1_i64..100_000_000_000)
            .prop_map(|(user, number, amount)| Step::Recharge { user, number, amount }),
        1 => Just(Step::Restart),
    ]
}

fn nonsense_units() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => -1_000_000_000_i64..1_000_000_000,
        1 => prop_oneof![Just(0), Just(1), Just(-1), Just(i64::MAX), Just(i64::MIN), any::<i64>()],
    ]
}

fn nonsense_fill() -> impl Strategy<Value = (u32, i64, i64, i64)> {
    (prop_oneof![4 => 0_u32..4, 1 => any::<u32>()], nonsense_units(), nonsense_units(), nonsense_units())
}
