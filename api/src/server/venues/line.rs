//! A connector of either exchange with the transport that moves its bytes.

use std::sync::Arc;

use engine::core::fixed::Price;
use engine::core::ids::{AccountId, ClientOrderId, Timestamp};
use engine::core::instrument::{Instrument, Symbol};
use engine::core::key::KeyFinding;
use engine::core::order::{NewOrder, VenueReport};
use engine::core::user::VenueKind;
use engine::core::venue_account::VenuePlace;
use engine::seam::Entropy;
use engine::shard::ports::Moment;
use exchange::live::binance::Binance;
use exchange::live::bybit::Bybit;
use exchange::live::connector::{Connector, KnownAccount, Notice};
use exchange::live::marks::MarkBoard;
use exchange::live::pacing::{AddressBudget, Pacer};
use exchange::live::protocol::Protection;
use exchange::live::transport::{Endpoints, Transport};
use exchange::venue::Busy;
use net::client::Dial;
use net::wire::{ConnId, Ending, Stream, Wire};

use crate::web::venues::LineFigures;

/// A connector of either exchange.
pub(super) enum Either {
    Binance(Box<Connector<Binance>>),
    Bybit(Box<Connector<Bybit>>),
}

/// Calls the same method of whichever it is.
macro_rules! each {
    ($either:expr, $connector:ident => $body:expr) => {
        match $either {
            Either::Binance($connector) => $body,
            Either::Bybit($connector) => $body,
        }
    };
}

impl Either {
    pub(super) fn add_account(&mut self, now: Timestamp, known: KnownAccount) -> Result<(), Busy> {
        each!(self, c => c.add_account(now, known))
    }
    pub(super) fn remove_credential(&mut self, id: AccountId) {
        each!(self, c => c.remove_credential(id));
    }
    pub(super) fn expect(&mut self, id: AccountId, symbols: &[(Symbol, u8)]) {
        each!(self, c => c.expect(id, symbols));
    }
    pub(super) fn submit(
        &mut self,
        now: Timestamp,
        order: &NewOrder,
        planned: Option<Protection>,
        decided_at: Timestamp,
    ) -> Result<(), Busy> {
        each!(self, c => c.submit(now, order, planned, decided_at))
    }
    pub(super) fn cancel(&mut self, now: Timestamp, id: ClientOrderId) -> Result<(), Busy> {
        each!(self, c => c.cancel(now, id))
    }
    pub(super) fn query(&mut self, now: Timestamp, id: ClientOrderId) -> Result<(), Busy> {
        each!(self, c => c.query(now, id))
    }
    pub(super) fn poll(
        &mut self,
        now: Timestamp,
        budget: usize,
        sink: &mut impl FnMut(VenueReport),
    ) -> usize {
        each!(self, c => c.poll(now, budget, sink))
    }
    pub(super) fn take_finding(&mut self) -> Option<(AccountId, u32, KeyFinding)> {
        each!(self, c => c.take_finding())
    }
    pub(super) fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        each!(self, c => c.next_due(now))
    }
    pub(super) fn instrument(&self, symbol: Symbol) -> Option<&Instrument> {
        each!(self, c => c.instrument(symbol))
    }
    pub(super) fn is_listed(&self) -> bool {
        each!(self, c => !c.instruments().is_empty())
    }
    pub(super) fn mark(&self, now: Timestamp, symbol: Symbol) -> Option<Price> {
        each!(self, c => c.mark(now, symbol))
    }
    fn figures(&mut self, now: Timestamp) -> LineFigures {
        each!(self, c => LineFigures {
            address: c.pacer().view(now),
            clock: c.pacer().clock().view(),
            metrics: c.metrics(),
            marks: c.mark_figures(now),
            census: c.census(),
        })
    }
    fn take_notice(&mut self) -> Option<Notice> {
        each!(self, c => c.take_notice())
    }
}

/// See the module's head.
pub(super) struct Line<E> {
    place: VenuePlace,
    connector: Either,
    transport: Transport<E>,
    /// Whether it was told that the host's clock is wrong.
    clock_alarm: bool,
}

impl<E: Entropy + Clone> Line<E> {
    /// A line to a place; `None` when an endpoint of it is unusable.
    pub(super) fn open(
        place: VenuePlace,
        endpoints: Endpoints,
        budget: Arc<AddressBudget>,
        marks: Arc<MarkBoard>,
        shards: u16,
        entropy: E,
    ) -> Option<Self> {
        let pacer = Pacer::new(budget);
        let connector = match place.venue {
            VenueKind::Paper => return None,
            VenueKind::Binance => Either::Binance(Box::new(Connector::new(pacer, shards).with_marks(marks))),
            VenueKind::Bybit => Either::Bybit(Box::new(Connector::new(pacer, shards).with_marks(marks))),
        };
        match Transport::new(endpoints, entropy) {
            Ok(transport) => Some(Self { place, connector, transport, clock_alarm: false }),
            Err(error) => {
                tracing::error!(venue = place.venue.as_str(), %error, "an exchange's endpoint is unusable");
                None
            }
        }
    }

    pub(super) const fn place(&self) -> VenuePlace {
        self.place
    }
    pub(super) const fn connector(&self) -> &Either {
        &self.connector
    }
    pub(super) const fn connector_mut(&mut self) -> &mut Either {
        &mut self.connector
    }
    /// How it stands, for status and metrics.
    pub(super) fn figures(&mut self, now: Timestamp) -> LineFigures {
        let figures = self.connector.figures(now);
        let clock = figures.clock;
        if std::mem::replace(&mut self.clock_alarm, clock.is_alarm) != clock.is_alarm {
            let (venue, offset_micros) = (self.place.venue.as_str(), clock.offset_micros);
            if clock.is_alarm {
                tracing::error!(
                    venue,
                    offset_micros,
                    drift_ppm = clock.drift_ppm,
                    "this host's clock is wrong by the exchange's: set it, and look after its time service; orders are signed with the exchange's time meanwhile"
                );
            } else {
                tracing::info!(venue, offset_micros, "this host's clock agrees with the exchange's again");
            }
        }
        figures
    }
    pub(super) fn readdress(&mut self, endpoints: Endpoints) {
        if let Err(error) = self.transport.readdress(endpoints) {
            tracing::warn!(venue = self.place.venue.as_str(), %error, "new addresses of an exchange are unusable");
        }
    }
    pub(super) fn owns(&self, conn: ConnId) -> bool {
        self.transport.owns(conn)
    }
    pub(super) fn connected(&mut self, conn: ConnId) {
        self.transport.connected(conn);
    }
    pub(super) fn received(&mut self, conn: ConnId, stream: &mut Stream<'_>) {
        self.transport.received(conn, stream);
    }
    pub(super) fn closed(&mut self, conn: ConnId, ending: Ending) {
        self.transport.closed(conn, ending);
    }
    pub(super) fn next_deadline_ns(&self) -> Option<u64> {
        self.transport.next_deadline_ns()
    }

    /// Moves bytes both ways, and says what people should know.
    pub(super) fn tick<W: Wire>(&mut self, now: Moment, wire: &mut W, dial: &mut impl Dial<W>) -> bool {
        let transport = &mut self.transport;
        let busy = each!(&mut self.connector, c => transport.tick(now.wall, now.mono.0, c, wire, dial));
        while let Some(notice) = self.connector.take_notice() {
            let venue = self.place.venue.as_str();
            match notice {
                Notice::Suspended(account, why) => {
                    let (fault, code) = (why.fault.as_str(), why.code);
                    tracing::warn!(%account, venue, fault, code, text = %why.text, "an exchange account opens nothing until its user has acted");
                }
                Notice::Foreign(account, symbol, units) => {
                    tracing::warn!(%account, venue, %symbol, units, "the exchange account holds a position that is not ours: it is left alone");
                }
                Notice::Unexplained(account, symbol, units) => {
                    tracing::error!(%account, venue, %symbol, units, "a position changed and no execution says why: booked at the mark price");
                }
                Notice::SocketRefused(account, text) => {
                    tracing::warn!(%account, venue, %text, "a socket of an exchange account is refused: without its stream it opens nothing, and is compared by HTTP");
                }
                Notice::FundingUnread(account) => {
                    tracing::error!(%account, venue, "the exchange does not tell an account's funding: it is booked as money that moved until it does");
                }
                Notice::KeyEnds(account, days) => {
                    tracing::warn!(%account, venue, days, "the key of an exchange account ends within so many days: its user has to make and enter another");
                }
                Notice::Late(order, symbol, quantity) => {
                    let account = order.account;
                    tracing::warn!(%account, venue, %order, %symbol, %quantity, "an entry was filled after its end was told: it is booked, and closed unless it is part of a position that is open");
                }
                Notice::Bug(account, text) => {
                    tracing::error!(%account, venue, %text, "the exchange refuses a request as malformed: tell the makers");
                }
                Notice::Unreadable(text) => {
                    tracing::error!(venue, %text, "a message of the exchange cannot be read");
                }
            }
        }
        busy
    }
}
