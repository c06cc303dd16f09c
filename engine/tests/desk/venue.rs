//! The venue: it says what the test tells it to say.

use engine::core::command::{Command, Reply};
use engine::core::fixed::{Money, Price, Quantity, Rounding};
use engine::core::ids::{AccountId, ClientOrderId, Timestamp, UserId};
use engine::core::instrument::MarketView;
use engine::core::order::{Fill, Liquidity, OrderState, VenueReason, VenueReport};

use super::{Desk, money, price, quantity, rate, symbol};

impl Desk {
    pub fn report(&mut self, report: VenueReport) -> Reply {
        let user = report.account().user;
        let known = self.state_of(user).find(user).is_some();
        let result = self.run(Command::Report { report, sent_at: self.now });
        assert_eq!(result.is_ok(), known, "a report is never refused");
        result.unwrap_or(Reply::Ignored)
    }

    /// The venue has the order.
    pub fn venue_accepts(&mut self, id: ClientOrderId) -> Reply {
        self.report(VenueReport::Accepted { id, venue_at: self.now })
    }

    /// The venue fills the order; the fee is the taker's.
    pub fn venue_fills(&mut self, id: ClientOrderId, at: &str, size: &str, last: bool) -> Reply {
        let fee = price(at)
            .notional(quantity(size))
            .expect("as the test wants it")
            .times(rate("0.0005"), Rounding::HalfEven)
            .expect("as the test wants it");
        self.venue_fills_at(id, price(at), quantity(size), fee, last)
    }

    pub fn venue_fills_at(
        &mut self,
        id: ClientOrderId,
        price: Price,
        quantity: Quantity,
        fee: Money,
        last: bool,
    ) -> Reply {
        let number = self.fills.entry(id).or_default();
        *number += 1;
        let fill =
            Fill { number: *number, price, quantity, fee, liquidity: Liquidity::Taker, venue_at: self.now };
        self.report(VenueReport::Filled { id, fill, last })
    }

    pub fn venue_rejects(&mut self, id: ClientOrderId, reason: VenueReason) -> Reply {
        self.report(VenueReport::Rejected { id, reason })
    }

    pub fn venue_cancels(&mut self, id: ClientOrderId, reason: VenueReason) -> Reply {
        self.report(VenueReport::Ended { id, state: OrderState::Cancelled, reason })
    }

    pub fn funding(
        &mut self,
        user: UserId,
        name: &str,
        venue_at: Timestamp,
        rate_: &str,
        amount: &str,
    ) -> Reply {
        let account = AccountId { user, index: 0 };
        let symbol = symbol(name);
        let mark = self.market.quote(symbol).map_or(Price::ZERO, |q| q.mark);
        let (rate, amount) = (rate(rate_), money(amount));
        self.report(VenueReport::Funding { account, symbol, venue_at, rate, mark, amount })
    }

    pub fn liquidation(
        &mut self,
        user: UserId,
        name: &str,
        number: u32,
        at: &str,
        size: &str,
        fee: &str,
    ) -> Reply {
        let fill = Fill {
            number,
            price: price(at),
            quantity: quantity(size),
            fee: money(fee),
            liquidity: Liquidity::Taker,
            venue_at: self.now,
        };
        self.report(VenueReport::Liquidated {
            account: AccountId { user, index: 0 },
            symbol: symbol(name),
            fill,
        })
    }
}
