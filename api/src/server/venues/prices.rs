//! The boards of mark prices: one for each market, shared by all shards.
//!
//! **Invariants**: a market is an exchange in one environment and, where an exchange has regional sites, on one of them: only
//! what is the same order book shares prices. From which address it is asked makes no difference.

use std::sync::Arc;

use engine::core::user::VenueKind;
use engine::core::venue_account::{Environment, VenuePlace, VenueSite};
use exchange::live::marks::MarkBoard;

/// What is the same for everybody who looks at it.
type Market = (VenueKind, Environment, VenueSite);

const fn market_of(place: VenuePlace) -> Market {
    (place.venue, place.environment, place.site)
}

/// See the module's head.
#[derive(Clone, Default)]
pub struct MarkBoards(Vec<(Market, Arc<MarkBoard>)>);

impl MarkBoards {
    /// A board for each market among these places.
    #[must_use]
    pub fn new(places: &[VenuePlace]) -> Self {
        let mut boards: Vec<(Market, Arc<MarkBoard>)> = Vec::new();
        for market in places.iter().copied().map(market_of) {
            if boards.iter().all(|(other, _)| *other != market) {
                boards.push((market, MarkBoard::new()));
            }
        }
        Self(boards)
    }

    /// The board of a place's market; `None` when it was not among the places.
    #[must_use]
    pub fn of(&self, place: VenuePlace) -> Option<Arc<MarkBoard>> {
        let market = market_of(place);
        self.0.iter().find(|(other, _)| *other == market).map(|(_, board)| Arc::clone(board))
    }
}

#[cfg(test)]
mod tests {
    use engine::core::venue_account::Egress;

    use super::*;

    #[test]
    fn addresses_share_a_board_and_markets_do_not() {
        let binance =
            VenuePlace { venue: VenueKind::Binance, environment: Environment::Testnet, ..VenuePlace::PAPER };
        let elsewhere = VenuePlace { egress: Egress::V4([203, 0, 113, 7]), ..binance };
        let mainnet = VenuePlace { environment: Environment::Mainnet, ..binance };
        let boards = MarkBoards::new(&[binance, mainnet]);
        let of = |place| boards.of(place).expect("a board");
        assert!(Arc::ptr_eq(&of(binance), &of(elsewhere)));
        assert!(!Arc::ptr_eq(&of(binance), &of(mainnet)));
        assert!(boards.of(VenuePlace { venue: VenueKind::Bybit, ..binance }).is_none());
    }
}
