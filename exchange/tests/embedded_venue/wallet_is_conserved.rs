//! The wallet is start + realised − fees + funding at every moment, recomputed from the reports alone, and nothing
//! that a position must never do happens: the follower's books assert it on every report.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::support::scenario::{ACCOUNTS, acts, market, perform, settings, shapes};
use crate::support::*;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn whatever_happens(acts in acts(), shapes in shapes()) {
        let (mut desk, gate) = Desk::held(settings(), market(&shapes));
        (0..ACCOUNTS).for_each(|user| desk.open(account(user), "1000"));
        for (number, act) in acts.iter().enumerate() {
            perform(&mut desk, act, number, |ticks| gate.allow(ticks));
            desk.agree();
            // No closing order outlives its position.
            for user in 0..ACCOUNTS {
                let held = desk.venue.account(account(user)).unwrap();
                let closing = held.orders.iter().filter(|told| told.order.reduce_only).count();
                prop_assert!(closing == 0 || !held.positions.is_empty());
            }
        }
        gate.release_all();
        desk.drain();
        desk.agree();
    }
}
