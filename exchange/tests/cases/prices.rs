//! Mark prices: told by a stream, asked for while it does not tell, and never older than a bound or older than what is held.

use engine::core::ids::Timestamp;
use exchange::live::binance::Binance;
use exchange::live::bybit::Bybit;
use exchange::live::connector::limits::{
    ANSWER_SPAN, FEED_LOOK, MARKS_SPAN, MARKS_SWEEP_SPAN, STREAM_SILENT_SPAN,
};
use exchange::live::connector::{CallEnd, Connector, Outgoing, Server};
use exchange::live::marks::{MarkBoard, TURN_SPAN};
use exchange::live::pacing::limits::VenueLimits;
use exchange::live::pacing::{AddressBudget, Pacer};
use exchange::live::protocol::HttpReply;
use exchange::paper_exchange::faults::Fault;

use super::*;

/// How old a price may be while a stream is silent: noticed, asked for, and the network's delay.
const BRIDGED: u64 = STREAM_SILENT_SPAN + FEED_LOOK + MARKS_SPAN + SECOND / 2;

const LISTS: [&str; 2] = ["GET /fapi/v1/premiumIndex", "GET /v5/market/tickers"];

fn lists<P: Spoken>(world: &World<P>) -> u32 {
    LISTS.iter().filter_map(|call| world.calls.get(*call)).sum()
}

fn streamed<P: Spoken>(world: &World<P>) -> u64 {
    world.connector().metrics().marks_streamed
}

/// The price is the exchange's, but for what it moved within the last moments.
fn follows<P: Spoken>(world: &World<P>) {
    let (there, ours) = (world.mark(BTC), world.connector().mark(world.now, symbol(BTC)).expect("a price"));
    let apart = there.units().abs_diff(ours.units());
    assert!(apart < there.units().unsigned_abs() / 100, "{ours} for {there}; {}", world.picture());
}

/// No price is told by streams.
fn mute<P: Spoken>(world: &mut World<P>) {
    for on in ["stream markPriceUpdate", "stream tickers"] {
        rule(world, on, ALWAYS, Fault::Lose);
    }
}

/// Lets time pass and looks often: every price is usable and not older than this, and no price's time goes back.
fn watched<P: Spoken>(world: &mut World<P>, span: u64, age_max: u64) {
    let end = world.now.plus_micros(span);
    let mut newest = world.connector().mark_held(symbol(BTC)).expect("a price").at;
    while world.now < end {
        world.step(50_000);
        let figures = world.connector().mark_figures(world.now);
        assert_eq!(figures.unusable, 0, "{figures:?}; {}", world.picture());
        assert!(figures.oldest_age_ms * 1_000 <= age_max, "{figures:?}; {}", world.picture());
        let held = world.connector().mark_held(symbol(BTC)).expect("a price").at;
        assert!(held >= newest, "{held:?} after {newest:?}");
        newest = held;
    }
}

#[test]
fn case_s3_prices_come_by_stream_by_request_while_it_is_silent_and_by_stream_again() {
    fn on<P: Spoken>() {
        let mut world = ready::<P>(91, 1);
        world.until("told by stream", 20 * SECOND, |w| w.connector().mark_figures(w.now).streams > 0);
        world.step(2 * SECOND);
        let (asked, told) = (lists(&world), streamed(&world));
        watched(&mut world, 20 * SECOND, MARKS_SWEEP_SPAN + SECOND);
        assert!(streamed(&world) >= told + 19, "once a second; {}", world.picture());
        // What Bybit does not tell while it stands still is asked for at a slower pace.
        let sweeps = if P::MARKS_ARE_WHOLE { 0 } else { 4 };
        assert!(lists(&world) - asked <= sweeps, "{} lists; {}", lists(&world) - asked, world.picture());
        price_by(&mut world, 3);
        world.step(1_500_000);
        follows(&world);

        mute(&mut world);
        let (asked, told) = (lists(&world), streamed(&world));
        watched(&mut world, 60 * SECOND, BRIDGED);
        assert_eq!(streamed(&world), told, "the stream is silent");
        assert!(lists(&world) - asked >= 17, "{} lists; {}", lists(&world) - asked, world.picture());
        price_by(&mut world, -3);
        world.step(MARKS_SPAN + SECOND);
        follows(&world);

        world.exchange.faults.clear();
        world.until("told by stream again", 70 * SECOND, |w| streamed(w) > told);
        world.step(3 * SECOND);
        let asked = lists(&world);
        watched(&mut world, 20 * SECOND, MARKS_SWEEP_SPAN + SECOND);
        assert!(lists(&world) - asked <= sweeps, "{} lists; {}", lists(&world) - asked, world.picture());
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn a_price_never_comes_from_an_older_event() {
    fn on<P: Spoken>() {
        let mut world = ready::<P>(92, 1);
        world.until("told by stream", 20 * SECOND, |w| w.connector().mark_figures(w.now).streams > 0);
        for on in ["stream markPriceUpdate", "stream tickers"] {
            rule(&mut world, on, When::Every(3), Fault::Withhold { ms: 1_700 });
            rule(&mut world, on, When::Every(2), Fault::Reorder);
        }
        watched(&mut world, 60 * SECOND, BRIDGED);
        assert!(world.connector().metrics().marks_refused > 5, "{}", world.picture());
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn case_s8_a_stream_that_breaks_is_bridged_and_subscribed_again() {
    fn on<P: Spoken>() {
        let mut world = ready::<P>(93, 1);
        world.until("told by stream", 20 * SECOND, |w| w.connector().mark_figures(w.now).streams > 0);
        for _ in 0..3 {
            for on in ["stream markPriceUpdate", "stream tickers"] {
                rule(&mut world, on, When::Next(1), Fault::Drop);
            }
            watched(&mut world, 8 * SECOND, BRIDGED);
            world.exchange.faults.clear();
            let told = streamed(&world);
            world.until("told by stream again", 20 * SECOND, |w| streamed(w) > told + 1);
        }
    }
    on::<Binance>();
    on::<Bybit>();
}

#[test]
fn prices_go_on_when_the_exchanges_clock_is_put() {
    fn on<P: Spoken>() {
        for skew in [30_000, -30_000] {
            let mut world = ready::<P>(94, 1);
            world.until("told by stream", 20 * SECOND, |w| w.connector().mark_figures(w.now).streams > 0);
            world.exchange.core.clock.skew_ms = skew;
            // Put back, it tells of what is past until what is held is too old to be used.
            world.step(18 * SECOND);
            watched(&mut world, 20 * SECOND, MARKS_SWEEP_SPAN + SECOND);
        }
    }
    on::<Binance>();
    on::<Bybit>();
}

/// Two connectors of one market, without an exchange: what each wants of the network.
struct Pair {
    now: Timestamp,
    both: [Connector<Binance>; 2],
    /// Public sockets asked for, lists asked for.
    wanted: [(u32, u32); 2],
}

const PREMIUM: &str = r#"[{"symbol":"BTCUSDT","markPrice":"42000.5","time":"#;

impl Pair {
    fn new() -> Self {
        let board = MarkBoard::new();
        let connector = || {
            let budget = AddressBudget::new(VenueLimits::BINANCE, 1).expect("usable limits");
            Connector::<Binance>::new(Pacer::new(budget), 2).with_marks(board.clone())
        };
        let both = [connector(), connector()];
        Self { now: crate::world::START, both, wanted: [(0, 0); 2] }
    }

    /// Both have their turns, but for one that hangs; the one that is cut off reaches nobody.
    fn pass(&mut self, span: u64, hangs: Option<usize>, cut: Option<usize>) {
        let end = self.now.plus_micros(span);
        while self.now < end {
            self.now = self.now.plus_micros(100_000);
            for n in (0..2).filter(|n| Some(*n) != hangs) {
                self.turn(n, Some(n) == cut);
            }
        }
    }

    fn turn(&mut self, n: usize, is_cut: bool) {
        let now = self.now;
        self.both[n].poll(now, 100, &mut |_| {});
        while let Some(outgoing) = self.both[n].take_outgoing() {
            match outgoing {
                Outgoing::Open { server, socket, .. } => {
                    self.wanted[n].0 += u32::from(server == Server::Public);
                    self.both[n].socket_closed(now, socket);
                }
                Outgoing::Call { tag, call, .. } => {
                    let is_list = call.target == "/fapi/v1/premiumIndex";
                    self.wanted[n].1 += u32::from(is_list);
                    let body = match call.target.as_str() {
                        "/fapi/v1/time" => format!(r#"{{"serverTime":{}}}"#, now.millis()),
                        _ if is_list => format!("{PREMIUM}{}}}]", now.millis()),
                        _ => r#"{"symbols":[]}"#.to_owned(),
                    };
                    let reply = HttpReply { status: 200, header: &|_| None, body: body.as_bytes() };
                    let end = if is_cut { CallEnd::Unreachable } else { CallEnd::Answered(reply) };
                    self.both[n].call_done(now, tag, end);
                }
                _ => {}
            }
        }
    }

    fn took(&mut self) -> [(u32, u32); 2] {
        std::mem::take(&mut self.wanted)
    }

    fn has_price(&self, n: usize) -> bool {
        self.both[n].mark(self.now, symbol(BTC)).is_some()
    }
}

#[test]
fn one_of_several_shards_feeds_the_market_for_all() {
    let mut pair = Pair::new();
    pair.pass(30 * SECOND, None, None);
    let [(sockets, lists), (others, other_lists)] = pair.took();
    assert!(sockets > 2 && lists >= 9, "{sockets} {lists}");
    assert_eq!((others, other_lists), (0, 0), "the other only reads");
    assert!(pair.has_price(0) && pair.has_price(1));
}

#[test]
fn a_shard_that_hangs_or_is_banned_is_followed_before_prices_are_stale() {
    // Its turn ends.
    let mut pair = Pair::new();
    pair.pass(10 * SECOND, None, None);
    pair.took();
    pair.pass(TURN_SPAN + 2 * SECOND, Some(0), None);
    assert!(pair.took()[1].1 > 0 && pair.has_price(1));
    // It comes back and leaves the turn to the other.
    pair.pass(10 * SECOND, None, None);
    assert_eq!(pair.took()[0], (0, 0));

    // It gets nothing: there is a price all the time.
    let mut pair = Pair::new();
    pair.pass(10 * SECOND, None, None);
    pair.took();
    for _ in 0..150 {
        pair.pass(SECOND / 5, None, Some(0));
        assert!(pair.has_price(0) && pair.has_price(1), "at {:?}", pair.now);
    }
    assert!(pair.took()[1].1 > 3);
    const { assert!(ANSWER_SPAN < 8 * SECOND) };
}
