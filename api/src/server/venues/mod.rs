//! All venues of a shard behind one gateway: the paper venue, and a connector with its transport for each exchange place
//! (venue, environment, site, egress address) that an account of this shard is at.
//!
//! **Runs on**: the shard. **Owns**: venue, connectors, transports. **Invariants**: an account's orders go to its own place and
//! nowhere else; only exchanges that the configuration names are contacted; a key is opened from the vault when its
//! account is connected, and lives in the connector alone.
//! **Bounds**: [`LINES_MAX`] places. **Never**: resolves a name, waits.

pub mod hosts;
mod line;
pub mod networked;
pub mod prices;
pub mod start;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use engine::core::fixed::{Money, Price};
use engine::core::ids::{AccountId, ClientOrderId, Timestamp};
use engine::core::instrument::{Instrument, MarketView, Quote, Symbol};
use engine::core::key::{KeyFault, KeyFinding, KeyState};
use engine::core::order::{NewOrder, VenueReason, VenueReport};
use engine::core::user::{ExchangeAccount, User, VenueKind};
use engine::core::venue_account::{Egress, Environment, LiveVenues, VenuePlace};
use engine::seam::Entropy;
use engine::shard::ports::{Gateway, VenueBusy};
use engine::shard::runtime::HostEntropy;
use exchange::live::connector::{KnownAccount, known_account};
use exchange::live::pacing::AddressBudget;
use exchange::live::pacing::limits::VenueLimits;
use exchange::live::protocol::Protection;
use exchange::venue::Venue;
use net::tls::{ClientConfig, TlsDial};

use self::hosts::AddressBook;
use self::line::Line;
use super::gateway::VenueGateway;
use crate::vault::Vault;
use crate::web::venues::{LINES_MAX, VenueGauges};

/// The budgets of addresses, shared by all shards: one for each exchange, environment and egress address. With addresses named,
/// an account that chose none leaves from the first of them: what the routes prefer may well be one of the others, and an
/// address that is counted twice is banned.
#[derive(Clone)]
pub struct Budgets {
    budgets: Vec<(VenueKind, Environment, Egress, Arc<AddressBudget>)>,
    /// Where accounts leave from that chose no address.
    unchosen: Egress,
}

impl Budgets {
    /// Budgets for all that the configuration names.
    ///
    /// # Panics
    /// Never: the exchanges' limits are usable.
    #[must_use]
    pub fn new(live: LiveVenues, egress: &[std::net::IpAddr], shards: u16) -> Self {
        let from = egress.iter().map(|address| match address {
            std::net::IpAddr::V4(v4) => Egress::V4(v4.octets()),
            std::net::IpAddr::V6(v6) => Egress::V6(v6.octets()),
        });
        let mut from: Vec<Egress> = from.collect();
        let unchosen = match from.first() {
            Some(first) if !planted::planted!("one_address_has_two_budgets") => *first,
            _ => {
                from.push(Egress::Any);
                Egress::Any
            }
        };
        let mut budgets = Vec::new();
        for (venue, environment) in live.iter() {
            for egress in &from {
                let limits = match venue {
                    VenueKind::Bybit => VenueLimits::BYBIT,
                    VenueKind::Binance | VenueKind::Paper => VenueLimits::BINANCE,
                };
                let budget =
                    AddressBudget::new(limits, u32::from(shards)).expect("the exchanges' own limits");
                budgets.push((venue, environment, *egress, budget));
            }
        }
        Self { budgets, unchosen }
    }

    /// A place with the address that its accounts leave from.
    fn seated(&self, place: VenuePlace) -> VenuePlace {
        let egress = match place.egress {
            Egress::Any => self.unchosen,
            chosen => chosen,
        };
        VenuePlace { egress, ..place }
    }

    fn of(&self, place: VenuePlace) -> Option<Arc<AddressBudget>> {
        let is_it = |(venue, environment, egress, _): &&(VenueKind, Environment, Egress, _)| {
            (*venue, *environment, *egress) == (place.venue, place.environment, place.egress)
        };
        self.budgets.iter().find(is_it).map(|(.., budget)| Arc::clone(budget))
    }
}

/// What the live side of a shard is made of.
#[derive(Clone)]
pub struct LiveSetup<E> {
    /// The exchanges that may be contacted.
    pub live: LiveVenues,
    /// Where keys are sealed.
    pub vault: Arc<Vault>,
    /// The budgets, shared.
    pub budgets: Arc<Budgets>,
    /// The mark prices, shared.
    pub marks: Arc<prices::MarkBoards>,
    /// Where the exchanges are.
    pub book: Arc<AddressBook>,
    /// How many shards share the exchanges' limits.
    pub shards: u16,
    /// Whom to trust.
    pub tls: Arc<ClientConfig>,
    /// Randomness for WebSockets.
    pub entropy: E,
}

/// Where an account's orders go.
#[derive(Clone, Copy, Debug)]
struct Seat {
    /// Its place among the lines; `None` while its exchange has no address.
    line: Option<usize>,
    key_number: u32,
}

struct Live<E> {
    setup: LiveSetup<E>,
    lines: Vec<Line<E>>,
    seats: BTreeMap<AccountId, Seat>,
    /// Accounts whose exchange has no address yet.
    waiting: Vec<(VenuePlace, KnownAccount)>,
    dial: TlsDial,
    /// Reports about orders that reached no connector.
    refused: VecDeque<VenueReport>,
    findings: VecDeque<(AccountId, u32, KeyFinding)>,
}

/// See the module's head.
pub struct Venues<V, E = HostEntropy> {
    /// The paper venue.
    pub paper: VenueGateway<V>,
    live: Option<Live<E>>,
    now: Timestamp,
}

impl<V: Venue, E: Entropy + Clone> Venues<V, E> {
    /// The paper venue, and with a set-up the exchanges that it names.
    #[must_use]
    pub fn new(paper: V, live: Option<LiveSetup<E>>, now: Timestamp) -> Self {
        let live = live.map(|setup| Live {
            dial: TlsDial { config: Arc::clone(&setup.tls) },
            setup,
            lines: Vec::new(),
            seats: BTreeMap::new(),
            waiting: Vec::new(),
            refused: VecDeque::new(),
            findings: VecDeque::new(),
        });
        Self { paper: VenueGateway { venue: paper }, live, now }
    }

    fn line_of(&self, account: &ExchangeAccount) -> Option<&Line<E>> {
        let live = self.live.as_ref()?;
        let place = live.setup.budgets.seated(account.place());
        live.lines.iter().find(|line| line.place() == place)
    }
}

/// Whether the key was found to be of another account than the one it was entered for.
fn is_of_another_account(account: &ExchangeAccount) -> bool {
    account.key_state == KeyState::Unhealthy(KeyFault::OtherAccount)
}

impl<E: Entropy + Clone> Live<E> {
    /// The line to a place, opened if it is not yet and its exchange has an address.
    fn line_to(&mut self, place: VenuePlace) -> Option<usize> {
        if let Some(at) = self.lines.iter().position(|line| line.place() == place) {
            return Some(at);
        }
        if self.lines.len() >= LINES_MAX || !self.setup.live.has(place.venue, place.environment) {
            return None;
        }
        let budget = self.setup.budgets.of(place)?;
        let marks = self.setup.marks.of(place)?;
        let (endpoints, entropy) = (self.setup.book.endpoints(place)?, self.setup.entropy.clone());
        let line = Line::open(place, endpoints, budget, marks, self.setup.shards, entropy)?;
        self.lines.push(line);
        Some(self.lines.len() - 1)
    }

    fn connect(&mut self, now: Timestamp, place: VenuePlace, known: KnownAccount) {
        let (id, key_number) = (known.id, known.key_number);
        let place = self.setup.budgets.seated(place);
        let line = self.line_to(place);
        self.seats.insert(id, Seat { line, key_number });
        match line {
            Some(at) => {
                if self.lines[at].connector_mut().add_account(now, known).is_err() {
                    tracing::error!(account = %id, "the shard holds its maximum of exchange accounts: add a shard");
                    self.seats.insert(id, Seat { line: None, key_number });
                }
            }
            None => {
                tracing::warn!(account = %id, venue = place.venue.as_str(), environment = place.environment.as_str(),
                    "the exchange of this account is not configured or has no address: its orders wait for that");
                self.waiting.push((place, known));
            }
        }
    }

    /// Nothing is sent with an account's key any more.
    fn forget_key(&mut self, id: AccountId) {
        if let Some(Ok(line)) = self.of(id) {
            line.connector_mut().remove_credential(id);
        }
        for (_, known) in self.waiting.iter_mut().filter(|(_, known)| known.id == id) {
            known.credential = None;
        }
    }

    /// The connector of an account, if it is on an exchange: `Err` when that has no address yet.
    fn of(&mut self, account: AccountId) -> Option<Result<&mut Line<E>, ()>> {
        let seat = self.seats.get(&account)?;
        Some(seat.line.map(|at| &mut self.lines[at]).ok_or(()))
    }

    /// Does not send an order: nothing of it has left.
    fn refuse(&mut self, id: ClientOrderId) {
        self.refused.push_back(VenueReport::Rejected { id, reason: VenueReason::NotSent });
    }

    /// Tells how the lines stand.
    fn publish(&mut self, now: Timestamp, gauges: &VenueGauges) {
        for (at, line) in self.lines.iter_mut().enumerate() {
            let figures = line.figures(now);
            gauges.publish(at, line.place(), now, &figures);
        }
        gauges.publish_waiting(self.waiting.len() as u64);
    }

    /// New addresses; accounts that waited for one are connected.
    fn readdress(&mut self, now: Timestamp, book: &Arc<AddressBook>) {
        self.setup.book = Arc::clone(book);
        for line in &mut self.lines {
            if let Some(endpoints) = book.endpoints(line.place()) {
                line.readdress(endpoints);
            }
        }
        for (place, known) in std::mem::take(&mut self.waiting) {
            self.connect(now, place, known);
        }
    }
}

impl<V: Venue, E: Entropy + Clone> MarketView for Venues<V, E> {
    fn instrument(&self, symbol: Symbol) -> Option<&Instrument> {
        let live = || self.live.as_ref()?.lines.iter().find_map(|line| line.connector().instrument(symbol));
        self.paper.instrument(symbol).or_else(live)
    }

    fn quote(&self, symbol: Symbol) -> Option<Quote> {
        let now = self.now;
        let live = || {
            let lines = &self.live.as_ref()?.lines;
            lines.iter().find_map(|line| line.connector().mark(now, symbol)).map(|mark| Quote { mark })
        };
        self.paper.quote(symbol).or_else(live)
    }

    fn is_complete(&self) -> bool {
        let told =
            |live: &Live<E>| live.waiting.is_empty() && live.lines.iter().all(|l| l.connector().is_listed());
        self.live.as_ref().is_none_or(told)
    }

    fn instrument_for(&self, account: &ExchangeAccount, symbol: Symbol) -> Option<&Instrument> {
        match account.venue {
            VenueKind::Paper => self.paper.instrument(symbol),
            VenueKind::Binance | VenueKind::Bybit => self.line_of(account)?.connector().instrument(symbol),
        }
    }

    fn quote_for(&self, account: &ExchangeAccount, symbol: Symbol) -> Option<Quote> {
        match account.venue {
            VenueKind::Paper => self.paper.quote(symbol),
            VenueKind::Binance | VenueKind::Bybit => {
                self.line_of(account)?.connector().mark(self.now, symbol).map(|mark| Quote { mark })
            }
        }
    }
}

impl<V: Venue, E: Entropy + Clone> Gateway for Venues<V, E> {
    fn open_account(&mut self, account: AccountId, wallet: Money) {
        self.paper.open_account(account, wallet);
    }

    fn key_changed(&mut self, id: AccountId, account: &ExchangeAccount) {
        let now = self.now;
        let Some(live) = &mut self.live else { return };
        let number = account.key.as_ref().map_or(0, |key| key.number);
        if live.seats.get(&id).is_some_and(|seat| seat.key_number == number) {
            // Its own finding, come round. A key of another account is of no use: its positions would look closed.
            if is_of_another_account(account) {
                live.forget_key(id);
            }
            return;
        }
        if number == 0 {
            live.forget_key(id);
            live.seats.entry(id).and_modify(|seat| seat.key_number = 0);
            return;
        }
        let credential = match live.setup.vault.open(id.user, id.index, account) {
            Ok(credential) => credential,
            Err(error) => {
                tracing::error!(account = %id, %error, "a key does not open");
                let verdict = Err(KeyFault::Unreadable);
                let finding = KeyFinding { verdict, expires_at: Timestamp(0), identity: None };
                live.findings.push_back((id, number, finding));
                return;
            }
        };
        let known = KnownAccount {
            id,
            place: account.place(),
            credential: Some(credential),
            key_number: number,
            positions: Vec::new(),
            orders: Vec::new(),
            others_fills: account.venue_fills,
            expects: Vec::new(),
        };
        live.connect(now, account.place(), known);
    }

    fn restore(&mut self, user: &User) -> Result<(), String> {
        self.paper.restore(user)?;
        let now = self.now;
        let Some(live) = &mut self.live else {
            let on_exchange = |account: u8| {
                user.accounts.get(usize::from(account)).is_some_and(|a| a.venue != VenueKind::Paper)
            };
            let open = user.positions.iter().filter(|p| on_exchange(p.account)).count();
            if open > 0 {
                tracing::error!(user = %user.id, open, "positions are open on an exchange that --live does not name: nobody watches them");
            }
            return Ok(());
        };
        for (account, index) in user.accounts.iter().zip(0_u8..).filter(|(a, _)| a.venue != VenueKind::Paper)
        {
            // One that does not open was put on record at the start; one of another account would show its positions.
            let credential = live.setup.vault.open(user.id, index, account).ok();
            let credential = credential.filter(|_| !is_of_another_account(account));
            let known = known_account(user, index, credential)
                .filter(|_| !planted::planted!("account_not_connected_after_a_restart"));
            if let Some(known) = known {
                live.connect(now, account.place(), known);
            }
        }
        Ok(())
    }

    fn expect(&mut self, id: AccountId, symbols: &[(Symbol, u8)]) {
        let Some(live) = &mut self.live else { return };
        match live.of(id) {
            Some(Ok(line)) => line.connector_mut().expect(id, symbols),
            Some(Err(())) => {
                if let Some((_, known)) = live.waiting.iter_mut().find(|(_, known)| known.id == id) {
                    known.expects = symbols.to_vec();
                }
            }
            None => {}
        }
    }

    fn submit(&mut self, now: Timestamp, order: &NewOrder) -> Result<(), VenueBusy> {
        self.send(now, order, None, now)
    }

    fn submit_entry(
        &mut self,
        now: Timestamp,
        order: &NewOrder,
        stop: Price,
        take_profit: Price,
        decided_at: Timestamp,
    ) -> Result<(), VenueBusy> {
        let planned = Protection { stop: Some(stop), take_profit: Some(take_profit) };
        self.send(now, order, Some(planned), decided_at)
    }

    fn cancel(&mut self, now: Timestamp, id: ClientOrderId) -> Result<(), VenueBusy> {
        match self.live.as_mut().and_then(|live| live.of(id.account)) {
            Some(Ok(line)) => line.connector_mut().cancel(now, id).map_err(|_| VenueBusy),
            // It never left; the sweep asks again.
            Some(Err(())) => Ok(()),
            None => self.paper.cancel(now, id),
        }
    }

    fn query(&mut self, now: Timestamp, id: ClientOrderId) -> Result<(), VenueBusy> {
        match self.live.as_mut().and_then(|live| live.of(id.account)) {
            Some(Ok(line)) => line.connector_mut().query(now, id).map_err(|_| VenueBusy),
            Some(Err(())) => Ok(()),
            None => self.paper.query(now, id),
        }
    }

    fn poll(&mut self, now: Timestamp, budget: usize, sink: &mut impl FnMut(VenueReport)) -> usize {
        self.now = now;
        let mut done = self.paper.poll(now, budget, sink);
        if let Some(live) = &mut self.live {
            while done < budget
                && let Some(report) = live.refused.pop_front()
            {
                sink(report);
                done += 1;
            }
            for line in &mut live.lines {
                done += line.connector_mut().poll(now, budget.saturating_sub(done), sink);
            }
        }
        done
    }

    fn take_key_finding(&mut self) -> Option<(AccountId, u32, KeyFinding)> {
        let live = self.live.as_mut()?;
        let lines = &mut live.lines;
        live.findings
            .pop_front()
            .or_else(|| lines.iter_mut().find_map(|line| line.connector_mut().take_finding()))
    }

    fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        let live = self.live.iter().flat_map(|live| {
            let refused = (!live.refused.is_empty() || !live.findings.is_empty()).then_some(now);
            refused
                .into_iter()
                .chain(live.lines.iter().filter_map(move |line| line.connector().next_due(now)))
        });
        self.paper.next_due(now).into_iter().chain(live).min()
    }
}

impl<V: Venue, E: Entropy + Clone> Venues<V, E> {
    fn send(
        &mut self,
        now: Timestamp,
        order: &NewOrder,
        planned: Option<Protection>,
        decided_at: Timestamp,
    ) -> Result<(), VenueBusy> {
        match self.live.as_mut().and_then(|live| live.of(order.id.account)) {
            Some(Ok(line)) => {
                line.connector_mut().submit(now, order, planned, decided_at).map_err(|_| VenueBusy)
            }
            Some(Err(())) => {
                if let Some(live) = &mut self.live {
                    live.refuse(order.id);
                }
                Ok(())
            }
            None => self.paper.submit(now, order),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use exchange::live::pacing::circuit::CircuitState;
    use exchange::live::pacing::{Admission, Pacer, Purpose, Request};
    use exchange::live::protocol::{Cost, FailureKind, Group, Millis, Used};

    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000_000);
    const FIRST: [u8; 4] = [203, 0, 113, 7];
    const SECOND: [u8; 4] = [203, 0, 113, 8];

    fn place(venue: VenueKind, egress: Egress) -> VenuePlace {
        VenuePlace { venue, environment: Environment::Testnet, egress, ..VenuePlace::PAPER }
    }

    fn budgets(egress: &[IpAddr]) -> Budgets {
        let live = LiveVenues::default()
            .with(VenueKind::Binance, Environment::Testnet)
            .with(VenueKind::Bybit, Environment::Testnet);
        Budgets::new(live, egress, 2)
    }

    fn may_ask(budget: &Arc<AddressBudget>, failure: Option<&FailureKind>) -> bool {
        let mut pacer = Pacer::new(Arc::clone(budget));
        let cost = Cost { group: Group::Public, address: 1, account: 0 };
        let request = Request { account: None, cost, purpose: Purpose::Open, is_socket: false };
        match pacer.admit(NOW, &request) {
            Admission::Go(pass) => {
                pacer.answered(NOW, pass, Used::default(), failure);
                true
            }
            _ => false,
        }
    }

    #[test]
    fn an_account_that_chose_no_address_shares_the_budget_of_the_first_one() {
        for venue in [VenueKind::Binance, VenueKind::Bybit] {
            let named = budgets(&[FIRST.into(), SECOND.into()]);
            let of = |egress| named.of(named.seated(place(venue, egress))).expect("a budget");
            let (unchosen, first, second) = (of(Egress::Any), of(Egress::V4(FIRST)), of(Egress::V4(SECOND)));
            assert!(Arc::ptr_eq(&unchosen, &first), "one address, one budget");
            assert!(!Arc::ptr_eq(&unchosen, &second));
            assert_eq!(named.seated(place(venue, Egress::Any)).egress, Egress::V4(FIRST), "and bound to it");
            assert!(named.of(place(venue, Egress::V4([203, 0, 113, 9]))).is_none(), "not one of this host's");
            // Where none is named, the routes decide.
            let routed = budgets(&[]);
            assert_eq!(routed.seated(place(venue, Egress::Any)).egress, Egress::Any);
            assert!(routed.of(place(venue, Egress::Any)).is_some());
        }
    }

    #[test]
    fn a_ban_of_one_exchange_and_address_stops_no_other() {
        let all = budgets(&[FIRST.into(), SECOND.into()]);
        let of = |venue, egress| all.of(all.seated(place(venue, egress))).expect("a budget");
        let banned = of(VenueKind::Binance, Egress::V4(FIRST));
        let until = Millis(NOW.millis() + 90_000);
        assert!(may_ask(&banned, Some(&FailureKind::Banned { until })));
        assert!(!may_ask(&banned, None));
        assert!(!may_ask(&of(VenueKind::Binance, Egress::Any), None), "it is the same address");
        for other in [
            of(VenueKind::Bybit, Egress::V4(FIRST)),
            of(VenueKind::Binance, Egress::V4(SECOND)),
            of(VenueKind::Bybit, Egress::Any),
        ] {
            assert!(may_ask(&other, None));
            assert_eq!(other.view(NOW, NOW.0).circuit.state, CircuitState::Closed);
        }
    }
}
