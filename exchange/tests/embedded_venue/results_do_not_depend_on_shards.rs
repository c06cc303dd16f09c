//! Accounts split over two venues get the same reports as in one.

use crate::support::scenario::{ACCOUNTS, Act, acts, market, perform, settings, shapes};
use crate::support::*;
use engine::core::order::VenueReport;
use proptest::prelude::*;

fn of(reports: &[VenueReport], user: u64) -> Vec<VenueReport> {
    reports.iter().filter(|report| report.account() == account(user)).copied().collect()
}

fn play(acts: &[Act], shapes: &[crate::support::scenario::Shape], users: &[u64]) -> Vec<VenueReport> {
    let (mut desk, gate) = Desk::held(settings(), market(shapes));
    users.iter().for_each(|user| desk.open(account(*user), "1000"));
    for (number, act) in acts.iter().enumerate() {
        let here = match act {
            Act::Order { user, .. } | Act::Cancel { user, .. } => users.contains(user),
            Act::Ticks(_) => true,
        };
        if here {
            perform(&mut desk, act, number, |ticks| gate.allow(ticks));
        }
    }
    gate.release_all();
    desk.drain();
    desk.reports
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn one_venue_or_two(acts in acts(), shapes in shapes()) {
        let users: Vec<u64> = (0..ACCOUNTS).collect();
        let one = play(&acts, &shapes, &users);
        // The other order of accounts, too.
        let parts = [play(&acts, &shapes, &[2, 0]), play(&acts, &shapes, &[1])];
        for user in users {
            let there = parts.iter().flat_map(|part| of(part, user)).collect::<Vec<_>>();
            prop_assert_eq!(of(&one, user), there);
        }
    }
}
