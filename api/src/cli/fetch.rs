//! `coinbitclub market fetch`: an exchange's candles as a CSV file that the embedded market plays.
//!
//! **Runs on**: the main thread, which may wait. **Invariants**: only the exchange that `--live` names is contacted, at its own
//! hosts or where `--live-at` puts it, and without a key. Only candles that are over are written. The file appears when it is
//! complete and [`MarketFile`] reads it; a name that is taken is not written to.
//! **Bounds**: [`ROWS_MAX`] candles; requests leave within what the exchange allows this address for things that can wait.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use engine::core::ids::Timestamp;
use engine::core::instrument::Symbol;
use engine::core::user::VenueKind;
use engine::core::venue_account::VenuePlace;
use exchange::live::binance::Binance;
use exchange::live::bybit::Bybit;
use exchange::live::klines::Interval;
use exchange::live::pacing::limits::VenueLimits;
use exchange::live::pacing::{AddressBudget, Admission, Pacer, Purpose, Request};
use exchange::live::protocol::{
    Answer, Ask, FailureKind, HttpCall, HttpReply, KlineView, Millis, Protocol, Used,
};
use exchange::live::transport::Endpoint;
use exchange::market::{MarketFile, ROWS_MAX};
use net::client::Security;
use net::http::client::{Client, ClientOptions, ClientResponse};
use net::tls::config::{self, ClientTrust};

use super::keys;
use crate::server::venues::hosts::AddressBook;
use crate::signal::time::parse_time;

/// How often one page is asked for before it is given up: an exchange that fails so often in a row is down.
const TRIES_MAX: u32 = 6;
/// The pause before the second try, in microseconds; it doubles.
const PAUSE: u64 = 500_000;
/// A stop of the address that is longer is told instead of waited for, in microseconds: bans last for hours.
const WAIT_MAX: u64 = 300_000_000;

/// `market fetch`.
#[derive(Args)]
pub struct FetchArgs {
    /// The exchange: binance or bybit, a colon, mainnet, testnet or demo. Nothing else is contacted.
    #[arg(long, value_name = "VENUE:ENVIRONMENT")]
    pub live: String,
    /// Contact it at this address instead of its own hosts, such as bybit:testnet=http://127.0.0.1:3100.
    #[arg(long, value_name = "VENUE:ENVIRONMENT=URL")]
    pub live_at: Option<String>,
    /// The symbol, exactly as the exchange lists it.
    #[arg(long)]
    pub symbol: String,
    /// How long a candle is: 1m 3m 5m 15m 30m 1h 2h 4h 6h 12h 1d.
    #[arg(long, default_value = "1m")]
    pub interval: String,
    /// The first candle opens then or later: 2026-01-31, 2026-01-31T12:00:00Z, or milliseconds since 1970.
    #[arg(long)]
    pub from: String,
    /// All candles open before this; the newest that is over when it is left out.
    #[arg(long)]
    pub to: Option<String>,
    /// The file to write. Its name should begin with the symbol, as `--market` takes it from there.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// What is to be fetched.
#[derive(Clone, Copy, Debug)]
struct Span {
    symbol: Symbol,
    interval: Interval,
    from: Millis,
    to: Millis,
}

/// The world outside: a clock, and the exchange's server.
trait Outside {
    /// The host's clock.
    fn now(&mut self) -> Timestamp;
    /// Waits for so many microseconds.
    fn wait(&mut self, micros: u64);
    /// Sends a request and waits for its answer.
    fn call(&mut self, call: &HttpCall) -> Result<ClientResponse, String>;
}

fn moment(option: &str, text: &str) -> Result<Millis, String> {
    let day = format!("{text}T00:00:00Z");
    let parsed = parse_time(text).or_else(|| parse_time(&day));
    parsed.map(|at| Millis(at.millis())).ok_or_else(|| {
        format!("{option} {text}: a day such as 2026-01-31, a time such as 2026-01-31T12:00:00Z, or milliseconds since 1970")
    })
}

/// Fetches, and says what was written.
///
/// # Errors
/// The argument, the exchange's refusal or the file, and what is wrong with it.
pub fn fetch(args: &FetchArgs) -> Result<(), String> {
    let live = keys::live(std::slice::from_ref(&args.live))?;
    let (venue, environment) = live.iter().next().ok_or("--live: name an exchange")?;
    let at = args.live_at.as_deref().map(keys::live_at).transpose()?;
    if at.as_ref().is_some_and(|at| !live.has(at.venue, at.environment)) {
        return Err("--live-at: it names another exchange than --live".to_owned());
    }
    let interval = Interval::parse(&args.interval)
        .ok_or_else(|| format!("--interval {}: one of 1m 3m 5m 15m 30m 1h 2h 4h 6h 12h 1d", args.interval))?;
    let symbol =
        Symbol::new(&args.symbol).ok_or_else(|| format!("--symbol {}: not a symbol", args.symbol))?;
    let from = moment("--from", &args.from)?;
    let to = args.to.as_deref().map_or(Ok(Millis(u64::MAX)), |to| moment("--to", to))?;
    if args.out.exists() {
        return Err(format!("{}: it is there already: choose another name", args.out.display()));
    }
    let place = VenuePlace { venue, environment, ..VenuePlace::PAPER };
    let mut book = AddressBook::new(at.into_iter().collect());
    book.resolve(&[place]).map_err(|error| format!("the exchange's hosts do not resolve: {error}"))?;
    let endpoints = book.endpoints(place).ok_or("the exchange's hosts do not resolve")?;
    let mut outside = Host { endpoint: endpoints.rest, client: None };
    let span = Span { symbol, interval, from, to };
    let rows = match venue {
        VenueKind::Binance => download::<Binance>(&mut outside, VenueLimits::BINANCE, span),
        VenueKind::Bybit => download::<Bybit>(&mut outside, VenueLimits::BYBIT, span),
        VenueKind::Paper => Err("--live: the paper venue has no candles of its own".to_owned()),
    }?;
    write(&args.out, &csv(&rows)?)?;
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(()) };
    let grid = (last.opens_at.0 - first.opens_at.0) / interval.millis() + 1;
    eprintln!(
        "{}: {} candles of {} from {} to {} ms; {} of the grid were never traded",
        args.out.display(),
        rows.len(),
        interval.as_str(),
        first.opens_at.0,
        last.opens_at.0,
        grid - rows.len() as u64
    );
    Ok(())
}

/// The exchange's server over real sockets.
struct Host {
    endpoint: Endpoint,
    client: Option<Client>,
}

impl Host {
    fn connected(&mut self) -> Result<&mut Client, String> {
        if self.client.is_none() {
            let address = *self.endpoint.addresses.first().ok_or("the exchange has no address")?;
            let tls = match self.endpoint.security {
                Security::Plain => None,
                Security::Tls => {
                    Some(config::client(&ClientTrust::System).map_err(|error| error.to_string())?.0)
                }
            };
            let made = Client::connect_to(address, &self.endpoint.host, tls, ClientOptions::default());
            self.client = Some(made.map_err(|error| error.to_string())?);
        }
        self.client.as_mut().ok_or_else(|| "not connected".to_owned())
    }
}

impl Outside for Host {
    fn now(&mut self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }

    fn wait(&mut self, micros: u64) {
        std::thread::sleep(Duration::from_micros(micros));
    }

    fn call(&mut self, call: &HttpCall) -> Result<ClientResponse, String> {
        let headers: Vec<(&str, &str)> = call.headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let answer = self.connected()?.request(call.method, &call.target, &headers, &call.body);
        answer.map_err(|error| {
            self.client = None;
            error.to_string()
        })
    }
}

/// Asks one public question until it is answered, within the budget of the address.
fn asked<P: Protocol>(outside: &mut impl Outside, pacer: &mut Pacer, ask: &Ask) -> Result<Answer, String> {
    let mut why = String::new();
    for try_number in 0..TRIES_MAX {
        if try_number > 0 {
            outside.wait(PAUSE << (try_number - 1));
        }
        let pass = loop {
            let now = outside.now();
            pacer.settle(now);
            let request =
                Request { account: None, cost: P::cost(ask), purpose: Purpose::Background, is_socket: false };
            match pacer.admit(now, &request) {
                Admission::Go(pass) => break pass,
                Admission::Wait(until) if until.micros_since(now) <= WAIT_MAX => {
                    outside.wait(until.micros_since(now).max(1_000));
                }
                Admission::Wait(until) => {
                    let ms = until.millis();
                    return Err(format!(
                        "the exchange takes nothing from this address until {ms} ms ({why})"
                    ));
                }
                Admission::Refused(refusal) => return Err(refusal.to_string()),
            }
        };
        let now = outside.now();
        let told = outside.call(&P::request(ask, None, pacer.clock().now(now)));
        let now = outside.now();
        match told {
            Err(error) => {
                // It may have been counted: not given back.
                pacer.answered(now, pass, Used::default(), Some(&FailureKind::Unknown));
                why = error;
            }
            Ok(response) => {
                let header = |name: &str| response.header(name);
                let reply = HttpReply { status: response.status, header: &header, body: &response.body };
                let answer = P::answer(ask, reply);
                let used: Used = P::used(reply);
                let kind = answer.as_ref().err().map(|failure| failure.kind);
                pacer.answered(now, pass, used, kind.as_ref());
                let failure = match answer {
                    Ok(answer) => return Ok(answer),
                    Err(failure) => failure,
                };
                why = failure.to_string();
                let is_passing = matches!(
                    failure.kind,
                    FailureKind::Unknown
                        | FailureKind::Retry
                        | FailureKind::Limited { .. }
                        | FailureKind::Banned { .. }
                );
                if !is_passing {
                    return Err(why);
                }
            }
        }
    }
    Err(format!("{TRIES_MAX} tries in a row failed, the last with: {why}"))
}

/// All candles of the span that are over, oldest first.
fn download<P: Protocol>(
    outside: &mut impl Outside,
    limits: VenueLimits,
    span: Span,
) -> Result<Vec<KlineView>, String> {
    let budget = AddressBudget::new(limits, 1).map_err(|error| error.to_string())?;
    let mut pacer = Pacer::new(budget);
    let Answer::Time(now) = asked::<P>(outside, &mut pacer, &Ask::Time)? else {
        return Err("the exchange does not tell its time".to_owned());
    };
    let Span { symbol, interval, from, to } = span;
    // One that opens now is not over.
    let to = to.min(Millis(now.0 - now.0 % interval.millis()));
    let most = to.0.saturating_sub(from.0) / interval.millis();
    if most == 0 {
        return Err("no candle of that span is over".to_owned());
    }
    if most > ROWS_MAX as u64 {
        return Err(format!(
            "{most} candles are more than a file may have ({ROWS_MAX}): take a shorter span"
        ));
    }
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let ask = Ask::Klines { symbol, interval, from, to, cursor };
        let Answer::Klines(page, next) = asked::<P>(outside, &mut pacer, &ask)? else {
            return Err("the exchange does not tell candles".to_owned());
        };
        rows.extend(page);
        match next {
            Some(next) => cursor = next,
            None => break,
        }
    }
    if rows.is_empty() { Err("the exchange has no candle of that span".to_owned()) } else { Ok(rows) }
}

/// The text of the file.
fn csv(rows: &[KlineView]) -> Result<String, String> {
    let mut text = String::with_capacity(rows.len() * 64 + 64);
    text.push_str("time_ms,open,high,low,close,volume\n");
    for row in rows {
        let volume = row.volume.ok_or_else(|| {
            format!(
                "the volume of the candle of {} ms is beyond what can be held: take a shorter interval",
                row.opens_at.0
            )
        })?;
        let KlineView { opens_at, open, high, low, close, .. } = row;
        text.push_str(&format!("{},{open},{high},{low},{close},{volume}\n", opens_at.0));
    }
    Ok(text)
}

/// Writes the file as a whole, if it is one that the embedded market reads.
fn write(path: &Path, text: &str) -> Result<(), String> {
    let named = |error: std::io::Error| format!("{}: {error}", path.display());
    MarketFile::parse(&path.to_string_lossy(), text)
        .map_err(|error| format!("the embedded market cannot play this span: {error}"))?;
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let mut file = std::fs::File::create(&part).map_err(named)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(named)?;
    std::fs::rename(&part, path).map_err(named)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use engine::core::fixed::Price;
    use exchange::paper_exchange::faults::{Fault, Rule, When};
    use exchange::paper_exchange::transport::{HttpIn, Outcome};
    use exchange::paper_exchange::{CoreSettings, PaperExchange};

    use super::*;

    const START: Timestamp = Timestamp(1_700_000_040_000_000);

    /// The paper exchange in the same thread, on a clock that passes only by waiting.
    struct Paper {
        exchange: PaperExchange,
        now: Timestamp,
        calls: u32,
    }

    impl Paper {
        /// After so many minutes of the built-in market.
        fn after(minutes: u64) -> Self {
            let exchange = PaperExchange::new(CoreSettings::generated(5, START), 5).expect("usable");
            let mut paper = Self { exchange, now: START, calls: 0 };
            for _ in 0..minutes * 60 {
                paper.wait(1_000_000);
            }
            paper
        }
    }

    impl Outside for Paper {
        fn now(&mut self) -> Timestamp {
            self.now
        }

        fn wait(&mut self, micros: u64) {
            self.now = self.now.plus_micros(micros);
            while self.exchange.poll(self.now, &mut |_, _| {}) {}
        }

        fn call(&mut self, call: &HttpCall) -> Result<ClientResponse, String> {
            self.calls += 1;
            let request = HttpIn {
                method: call.method.to_owned(),
                target: call.target.clone(),
                headers: Vec::new(),
                body: call.body.clone(),
            };
            match self.exchange.http(self.now, IpAddr::V4(Ipv4Addr::LOCALHOST), &request).what {
                Outcome::Answer(answer) => Ok(ClientResponse {
                    status: answer.status,
                    headers: answer
                        .headers
                        .into_iter()
                        .map(|(name, value)| (name.to_owned(), value))
                        .collect(),
                    body: answer.body.into_bytes(),
                }),
                Outcome::Drop => Err("the connection broke".to_owned()),
            }
        }
    }

    fn span(interval: Interval, minutes: u64) -> Span {
        let symbol = Symbol::new("BTCUSDT").expect("a symbol");
        let from = Millis(START.millis());
        Span { symbol, interval, from, to: Millis(from.0 + minutes * 60_000) }
    }

    #[test]
    fn what_was_traded_is_what_the_embedded_market_plays() {
        let told = |paper: &Paper| -> Vec<(u64, Price, Price)> {
            let all = paper.exchange.core.candles();
            let minutes = all.of(Symbol::new("BTCUSDT").expect("a symbol"));
            minutes.map(|minute| (minute.open_ms, minute.open, minute.close)).collect()
        };
        let mut paper = Paper::after(12);
        let from_binance = download::<Binance>(&mut paper, VenueLimits::BINANCE, span(Interval::M1, 99));
        let from_bybit = download::<Bybit>(&mut paper, VenueLimits::BYBIT, span(Interval::M1, 99));
        let rows = from_binance.expect("candles");
        assert_eq!(Ok(&rows), from_bybit.as_ref());
        let seen: Vec<_> = rows.iter().map(|row| (row.opens_at.0, row.open, row.close)).collect();
        let all = told(&paper);
        assert_eq!(seen, all[..all.len() - 1], "all that are over, and not the one that is not");
        let text = csv(&rows).expect("text");
        let file = MarketFile::parse("btcusdt.csv", &text).expect("a file that is played");
        assert_eq!(file.ticks(), rows.len() * 4);
        let fives = download::<Binance>(&mut paper, VenueLimits::BINANCE, span(Interval::M5, 99));
        assert!(fives.expect("candles").len() >= 2);
    }

    #[test]
    fn a_span_is_read_page_by_page_and_within_the_budget() {
        let mut paper = Paper::after(2);
        let mut long = span(Interval::M1, 2);
        // 65 pages of 5 weight, of which 40 in a hundred of 2,400 may be used in a minute; most are before the first trade.
        long.from = Millis(long.from.0 - 64_500 * 60_000);
        let began = paper.now;
        let rows = download::<Binance>(&mut paper, VenueLimits::BINANCE, long).expect("candles");
        assert_eq!((rows.len(), paper.calls), (2, 66));
        let mut longer = long;
        longer.from = Millis(long.from.0 - 300_000 * 60_000);
        let (calls, now) = (paper.calls, paper.now);
        download::<Binance>(&mut paper, VenueLimits::BINANCE, longer).expect("candles");
        assert_eq!(paper.calls - calls, 366);
        assert!(paper.now.micros_since(now) >= 60_000_000, "it waited for the next minute");
        assert!(now.micros_since(began) < 60_000_000);
    }

    #[test]
    fn what_passes_is_tried_again_and_what_does_not_is_told() {
        let mut paper = Paper::after(3);
        for fault in [Fault::Lost { executed: false }, Fault::Unavailable { executed: false }] {
            let rule = |on: &str, fault| Rule { on: on.to_owned(), when: When::Next(2), fault };
            paper.exchange.faults.add(rule("GET /fapi/v1/klines", fault)).expect("room");
            let rows = download::<Binance>(&mut paper, VenueLimits::BINANCE, span(Interval::M1, 3));
            assert_eq!(rows.expect("candles").len(), 3);
        }
        let mut other = span(Interval::M1, 3);
        other.symbol = Symbol::new("NOPEUSDT").expect("a symbol");
        for refused in [
            download::<Binance>(&mut paper, VenueLimits::BINANCE, other),
            download::<Bybit>(&mut paper, VenueLimits::BYBIT, other),
        ] {
            assert!(refused.is_err_and(|why| why.contains("code")));
        }
        let rule = Rule { on: "GET *".into(), when: When::Every(1), fault: Fault::Lost { executed: false } };
        paper.exchange.faults.add(rule).expect("room");
        let calls = paper.calls;
        let failed = download::<Bybit>(&mut paper, VenueLimits::BYBIT, span(Interval::M1, 3));
        assert!(failed.is_err_and(|why| why.contains("the connection broke")));
        assert_eq!(paper.calls - calls, TRIES_MAX);
    }

    #[test]
    fn a_span_that_cannot_be_is_refused_before_much_is_asked() {
        let mut paper = Paper::after(1);
        let mut ahead = span(Interval::M1, 50);
        ahead.from = Millis(ahead.from.0 + 40 * 60_000);
        assert!(download::<Binance>(&mut paper, VenueLimits::BINANCE, ahead).is_err());
        let mut huge = span(Interval::M1, 1);
        huge.from = Millis(0);
        let refused = download::<Binance>(&mut paper, VenueLimits::BINANCE, huge);
        assert!(refused.is_err_and(|why| why.contains("shorter span")));
        assert_eq!(paper.calls, 2);
        assert_eq!(moment("--from", "2023-11-14"), Ok(Millis(1_699_920_000_000)));
        assert_eq!(moment("--from", "1699920000000"), Ok(Millis(1_699_920_000_000)));
        assert!(moment("--from", "yesterday").is_err_and(|why| why.starts_with("--from yesterday: ")));
    }

    #[test]
    fn a_file_is_written_whole_and_a_volume_that_cannot_be_held_is_none() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("btcusdt.csv");
        let rows = download::<Bybit>(&mut Paper::after(3), VenueLimits::BYBIT, span(Interval::M1, 3));
        let mut rows = rows.expect("candles");
        write(&path, &csv(&rows).expect("text")).expect("written");
        let names: Vec<_> =
            std::fs::read_dir(dir.path()).expect("there").flatten().map(|e| e.file_name()).collect();
        assert_eq!(names, ["btcusdt.csv"]);
        assert!(write(&path, "time_ms,open\n").is_err(), "what cannot be played is not written");
        rows[1].volume = None;
        assert!(csv(&rows).is_err_and(|why| why.contains("shorter interval")));
    }
}
