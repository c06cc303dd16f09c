//! A shard's side of an exchange and nothing else of the shard: connector, transport, TLS, wire; and the threads it talks to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use api::cli::paper::{serve, wall_clock};
use engine::core::fixed::{Price, Quantity};
use engine::core::ids::Timestamp;
use engine::core::order::{NewOrder, VenueReport};
use engine::core::venue_account::{Environment, VenuePlace};
use engine::shard::runtime::HostEntropy;
use exchange::live::connector::{Connector, KnownAccount};
use exchange::live::pacing::{AddressBudget, Pacer};
use exchange::live::transport::{Endpoint, Endpoints, Transport};
use exchange::paper_exchange::faults::{Fault, Rule, When};
use net::client::Security;
use net::tls::config::{self, ClientTrust, ServerIdentity};
use net::tls::store::CertificateStore;
use net::tls::{ServerSide, TlsDial, TlsWire, inner_config};
use net::wire::uring::UringWire;
use net::wire::{
    Arrival, ConnId, Ending, ListenOptions, Listener, Stream, Wire, WireConfig, WireEvents, listen,
};

use crate::ways::{self, Venue, Way};
use crate::{CPUS, Cost, each};

/// What takes this long does not happen at all.
const PATIENCE: Duration = Duration::from_secs(120);
/// Size of each measured order.
const SIZE: Quantity = Quantity::from_units(300_000);
/// Requests besides the orders that are let pass: the prices of all symbols, once in three seconds, and the clock.
const OTHERS_MAX: u64 = 2;
/// Longest wait of the loop.
const WAIT_MAX: Duration = Duration::from_millis(20);
/// After which every window of a limit is another one.
const QUIET: Duration = Duration::from_secs(11);

/// A server on its own thread and CPU, over TLS.
pub(crate) struct Server {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// What a client needs to trust it.
    pub(crate) dial: TlsDial,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<(), String>>>,
}

impl Server {
    /// Starts `run`.
    pub(crate) fn start<R>(run: R) -> Result<Self, String>
    where
        R: FnOnce(Listener, ServerSide, &AtomicBool) -> Result<(), String> + Send + 'static,
    {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).map_err(|e| text(&e))?;
        let folder = tempfile::tempdir().map_err(|e| text(&e))?;
        let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
        std::fs::write(&certificate, pair.cert.pem()).map_err(|e| text(&e))?;
        std::fs::write(&key, pair.signing_key.serialize_pem()).map_err(|e| text(&e))?;
        let identity = ServerIdentity::load(&certificate, &key).map_err(|e| text(&e))?;
        let server = config::server(CertificateStore::new(identity)).map_err(|e| text(&e))?;
        let (client, _) = config::client(&ClientTrust::PrivateCa(certificate)).map_err(|e| text(&e))?;
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = listen(local, &ListenOptions::default()).map_err(|e| text(&e))?;
        let address = listener.address();
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            bench_support::sys::run_on(CPUS[1]).map_err(|error| error.to_string())?;
            run(listener, ServerSide { listeners: vec![Some(server)] }, &told)
        });
        Ok(Self { address, dial: TlsDial { config: client }, stop, thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(Err(error)) = self.thread.take().and_then(|thread| thread.join().ok()) {
            eprintln!("the server ended: {error}");
        }
    }
}

/// A wire for outgoing connections.
pub(crate) fn calling() -> Result<TlsWire<UringWire>, String> {
    let config = WireConfig::default();
    let inner = UringWire::with_listeners(Vec::new(), inner_config(config)).map_err(|e| e.to_string())?;
    TlsWire::new(inner, config, ServerSide::default()).map_err(|error| error.to_string())
}

/// Nanoseconds since the start.
pub(crate) fn nanos(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

struct Routed<'a>(&'a mut Transport<HostEntropy>);

impl WireEvents for Routed<'_> {
    fn accepted(&mut self, _conn: ConnId, _arrival: Arrival) {}
    fn connected(&mut self, conn: ConnId) {
        self.0.connected(conn);
    }
    fn received(&mut self, conn: ConnId, stream: &mut Stream<'_>) {
        self.0.received(conn, stream);
    }
    fn closed(&mut self, conn: ConnId, ending: Ending) {
        self.0.closed(conn, ending);
    }
}

struct Desk<P: Venue> {
    connector: Connector<P>,
    transport: Transport<HostEntropy>,
    wire: TlsWire<UringWire>,
    dial: TlsDial,
    start: Instant,
    wall: Timestamp,
    number: u32,
    mark: Price,
    /// The newest order that came to nothing.
    refused: Option<VenueReport>,
    /// Whether that is a mistake.
    ends_badly: bool,
    _server: Server,
}

impl<P: Venue> Desk<P> {
    /// Connected to a paper exchange of its own, whose streams are silent.
    fn open(way: &Way) -> Result<Self, String> {
        let (mut paper, mark) = ways::paper::<P>(way)?;
        let silent = Rule { on: "stream *".to_owned(), when: When::Every(1), fault: Fault::Lose };
        paper.faults.add(silent).ok_or("no room for a rule of faults")?;
        let server = Server::start(move |listener, tls, stop| serve(paper, listener, tls, stop))?;
        let here = Endpoint {
            host: "localhost".to_owned(),
            addresses: vec![server.address],
            security: Security::Tls,
            source: None,
        };
        let mut endpoints = Endpoints::all_at(&here);
        if !way.socket {
            // Nobody is there: orders go by HTTP.
            endpoints.trade.addresses = vec![([127, 0, 0, 1], 1).into()];
        }
        let transport = Transport::new(endpoints, HostEntropy).map_err(|error| error.to_string())?;
        let budget = AddressBudget::new(P::LIMITS, 1).map_err(|error| error.to_string())?;
        let mut desk = Self {
            connector: Connector::new(Pacer::new(budget), 1),
            transport,
            wire: calling()?,
            dial: server.dial.clone(),
            start: Instant::now(),
            wall: wall_clock(),
            number: 0,
            mark,
            refused: None,
            ends_badly: true,
            _server: server,
        };
        let now = desk.now();
        for account in 0..way.accounts {
            let known = KnownAccount {
                id: ways::account_id(account),
                place: VenuePlace { venue: P::VENUE, environment: Environment::Testnet, ..VenuePlace::PAPER },
                credential: Some(way.credential(account)),
                key_number: 1,
                positions: Vec::new(),
                orders: Vec::new(),
                others_fills: 0,
                expects: Vec::new(),
            };
            desk.connector.add_account(now, known).map_err(|busy| format!("{busy:?}"))?;
        }
        Ok(desk)
    }

    fn now(&self) -> Timestamp {
        self.wall.plus_micros(nanos(self.start) / 1_000)
    }

    /// One turn of a shard's loop, as far as it is about an exchange.
    fn turn(&mut self) -> Result<(), String> {
        let now_ns = nanos(self.start);
        let now = self.wall.plus_micros(now_ns / 1_000);
        self.wire.poll(now_ns, &mut Routed(&mut self.transport)).map_err(|error| error.to_string())?;
        self.connector.poll(now, 4_096, &mut |report| {
            if matches!(report, VenueReport::Rejected { .. } | VenueReport::Ended { .. }) {
                self.refused = Some(report);
            }
        });
        let busy = self.transport.tick(now, now_ns, &mut self.connector, &mut self.wire, &mut self.dial);
        if !busy && !self.wire.has_work() {
            let due = self.connector.next_due(now).map(|at| Duration::from_micros(at.micros_since(now)));
            let span = due.map_or(WAIT_MAX, |due| due.min(WAIT_MAX));
            self.wire.wait(span).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) -> Result<(), String> {
        let began = Instant::now();
        while !holds(self) {
            self.turn()?;
            if let Some(report) = self.refused.filter(|_| self.ends_badly) {
                return Err(format!("{what}: an order came to nothing: {report:?}"));
            }
            if began.elapsed() > PATIENCE {
                let (metrics, notice) = (self.connector.metrics(), self.connector.take_notice());
                return Err(format!("{what}: not within {PATIENCE:?}; {metrics:?}; {notice:?}"));
            }
        }
        Ok(())
    }

    fn rest(&mut self, span: Duration) -> Result<(), String> {
        let began = Instant::now();
        while began.elapsed() < span {
            self.turn()?;
        }
        Ok(())
    }

    fn submit(&mut self, account: usize, quantity: Quantity) -> Result<(), String> {
        self.number += 1;
        let (order, protection) = ways::entry(account, self.number, self.mark);
        let order = NewOrder { quantity, ..order };
        let now = self.now();
        self.connector.submit(now, &order, Some(protection), now).map_err(|busy| format!("{busy:?}"))
    }

    /// Whether so many orders have left and were answered.
    fn has_sent(&self, orders: u64) -> bool {
        self.connector.metrics().orders_sent >= orders && self.connector.under_way() == 0
    }
}

/// The cost of a way's orders.
pub(crate) fn orders<P: Venue>(way: &Way) -> Result<Cost, String> {
    let mut desk = Desk::<P>::open(way)?;
    let accounts = way.accounts;
    desk.until("ready", |desk| (0..accounts).all(|n| desk.connector.standing(ways::account_id(n)).0))?;
    // The first one of each has leverage and margin type set, and is refused: nothing comes of it that is asked about.
    for account in 0..accounts {
        desk.submit(account, Quantity::from_units(1))?;
    }
    desk.ends_badly = false;
    desk.until("set up", |desk| desk.has_sent(accounts as u64))?;
    if way.socket {
        desk.until("warm", |desk| desk.connector.is_warm())?;
    }
    desk.rest(QUIET)?;
    (desk.refused, desk.ends_badly) = (None, true);
    desk.until("idle", |desk| desk.connector.under_way() == 0)?;
    let before = desk.connector.metrics();
    let [alone, together] = way.counts;
    let mut sent = before.orders_sent;
    // Both within a second: after that the connector asks what became of them, which is not what is measured here.
    let began = Instant::now();
    let cost_alone = each(alone, || {
        for n in 0..alone {
            sent += 1;
            desk.submit(n % accounts, SIZE)?;
            desk.until("answered", |desk| desk.has_sent(sent))?;
        }
        Ok::<(), String>(())
    })?;
    sent += together as u64;
    let cost_together = each(together, || {
        for n in 0..together {
            desk.submit(n % accounts, SIZE)?;
        }
        desk.until("all answered", |desk| desk.has_sent(sent))
    })?;
    let took = began.elapsed();
    let after = desk.connector.metrics();
    let calls = after.calls - before.calls;
    let (unknown, limited) = (after.unknown - before.unknown, after.limited - before.limited);
    let orders = (alone + together) as u64;
    if after.orders_sent - before.orders_sent != orders || unknown + limited > 0 {
        return Err(format!("{}: {orders} orders became {after:?}", way.name));
    }
    let others = calls - orders;
    eprintln!("{}: {orders} orders in {took:?}, {others} other requests", way.name);
    if others > OTHERS_MAX {
        return Err(format!("{}: {others} other requests disturbed {orders} orders", way.name));
    }
    Ok(Cost { alone: cost_alone, together: cost_together })
}
