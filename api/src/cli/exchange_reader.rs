//! Public questions to an exchange from the command line: one after another, each waited for.
//!
//! **Runs on**: the main thread, which may wait. **Owns**: the connection, and the budget of this address.
//! **Invariants**: only the exchange that `--live` names is contacted, at its own hosts or where `--live-at` puts it, and without a
//! key. A list is read to its end or not at all.
//! **Bounds**: [`TRIES_MAX`], [`WAIT_MAX`], [`PAGES_MAX`]; requests leave within what the exchange allows this address for things
//! that can wait.

use std::marker::PhantomData;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use engine::core::ids::Timestamp;
use engine::core::instrument::Symbol;
use engine::core::venue_account::VenuePlace;
use exchange::live::klines::Interval;
use exchange::live::pacing::limits::VenueLimits;
use exchange::live::pacing::{AddressBudget, Admission, Pacer, Pass, Purpose, Request};
use exchange::live::protocol::{
    Answer, Ask, DayTickerView, FailureKind, HttpCall, HttpReply, InstrumentView, KlineView, Millis,
    Protocol, Used,
};
use exchange::live::transport::Endpoint;
use net::client::Security;
use net::http::client::{Client, ClientOptions, ClientResponse};
use net::tls::config::{self, ClientTrust};

use super::keys;
use crate::server::venues::hosts::AddressBook;

/// How often one page is asked for before it is given up: an exchange that fails so often in a row is down.
pub(super) const TRIES_MAX: u32 = 6;
/// The pause before the second try, in microseconds; it doubles.
const PAUSE: u64 = 500_000;
/// A stop of the address that is longer is told instead of waited for, in microseconds: bans last for hours.
const WAIT_MAX: u64 = 300_000_000;
/// Most pages of the list of instruments: a hundred times what it has. A list that goes on has no end.
const PAGES_MAX: u32 = 100;

/// Which exchange is asked.
#[derive(Args)]
pub struct ExchangeArgs {
    /// The exchange: binance or bybit, a colon, mainnet, testnet or demo. Nothing else is contacted.
    #[arg(long, value_name = "VENUE:ENVIRONMENT")]
    pub live: String,
    /// Contact it at this address instead of its own hosts, such as bybit:testnet=http://127.0.0.1:3100.
    #[arg(long, value_name = "VENUE:ENVIRONMENT=URL")]
    pub live_at: Option<String>,
}

impl ExchangeArgs {
    /// Which exchange it is. Nothing is contacted.
    ///
    /// # Errors
    /// The argument, and what is wrong with it.
    pub(super) fn place(&self) -> Result<VenuePlace, String> {
        let (venue, environment) = keys::place(&self.live).map_err(|error| format!("--live {error}"))?;
        Ok(VenuePlace { venue, environment, ..VenuePlace::PAPER })
    }

    /// Its server. Asks a name server.
    ///
    /// # Errors
    /// The argument, and what is wrong with it; a name that does not resolve.
    pub(super) fn host(&self) -> Result<Host, String> {
        let place = self.place()?;
        let at = self.live_at.as_deref().map(keys::live_at).transpose()?;
        if at.as_ref().is_some_and(|at| (at.venue, at.environment) != (place.venue, place.environment)) {
            return Err("--live-at: it names another exchange than --live".to_owned());
        }
        let mut book = AddressBook::new(at.into_iter().collect());
        book.resolve(&[place]).map_err(|error| format!("the exchange's hosts do not resolve: {error}"))?;
        let endpoints = book.endpoints(place).ok_or("the exchange's hosts do not resolve")?;
        Ok(Host { endpoint: endpoints.rest, client: None })
    }
}

/// Which candles are asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    /// Of which symbol.
    pub(super) symbol: Symbol,
    /// How long each is.
    pub(super) interval: Interval,
    /// None opens before this.
    pub(super) from: Millis,
    /// All open before this.
    pub(super) to: Millis,
}

/// The world outside: a clock, and the exchange's server.
pub(super) trait Outside {
    /// The host's clock.
    fn now(&mut self) -> Timestamp;
    /// Waits for so many microseconds.
    fn wait(&mut self, micros: u64);
    /// Sends a request and waits for its answer.
    fn call(&mut self, call: &HttpCall) -> Result<ClientResponse, String>;
}

/// The exchange's server over real sockets.
pub(super) struct Host {
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

/// Asks an exchange in its language.
pub(super) struct Reader<'a, P, O> {
    outside: &'a mut O,
    pacer: Pacer,
    language: PhantomData<P>,
}

impl<'a, P: Protocol, O: Outside> Reader<'a, P, O> {
    /// One that has asked nothing yet.
    ///
    /// # Errors
    /// Limits that no budget can have.
    pub(super) fn new(outside: &'a mut O, limits: VenueLimits) -> Result<Self, String> {
        let budget = AddressBudget::new(limits, 1).map_err(|error| error.to_string())?;
        Ok(Self { outside, pacer: Pacer::new(budget), language: PhantomData })
    }

    /// Waits until the budget of the address has room for a question; `why` is what the last try came to.
    fn admitted(&mut self, ask: &Ask, why: &str) -> Result<Pass, String> {
        loop {
            let now = self.outside.now();
            self.pacer.settle(now);
            let request =
                Request { account: None, cost: P::cost(ask), purpose: Purpose::Background, is_socket: false };
            match self.pacer.admit(now, &request) {
                Admission::Go(pass) => return Ok(pass),
                Admission::Wait(until) if until.micros_since(now) <= WAIT_MAX => {
                    self.outside.wait(until.micros_since(now).max(1_000));
                }
                Admission::Wait(until) => {
                    let ms = until.millis();
                    return Err(format!(
                        "the exchange takes nothing from this address until {ms} ms ({why})"
                    ));
                }
                Admission::Refused(refusal) => return Err(refusal.to_string()),
            }
        }
    }

    /// Asks one public question until it is answered, within the budget of the address.
    ///
    /// # Errors
    /// The exchange's refusal; that it does not answer, or takes nothing from this address for long.
    fn ask(&mut self, ask: &Ask) -> Result<Answer, String> {
        let mut why = String::new();
        for try_number in 0..TRIES_MAX {
            if try_number > 0 {
                self.outside.wait(PAUSE << (try_number - 1));
            }
            let pass = self.admitted(ask, &why)?;
            let now = self.outside.now();
            let told = self.outside.call(&P::request(ask, None, self.pacer.clock().now(now)));
            let now = self.outside.now();
            match told {
                Err(error) => {
                    // It may have been counted: not given back.
                    self.pacer.answered(now, pass, Used::default(), Some(&FailureKind::Unknown));
                    why = error;
                }
                Ok(response) => {
                    let header = |name: &str| response.header(name);
                    let reply = HttpReply { status: response.status, header: &header, body: &response.body };
                    let answer = P::answer(ask, reply);
                    let used: Used = P::used(reply);
                    let kind = answer.as_ref().err().map(|failure| failure.kind);
                    self.pacer.answered(now, pass, used, kind.as_ref());
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

    /// The exchange's clock.
    ///
    /// # Errors
    /// The exchange's refusal, or that it does not answer.
    pub(super) fn time(&mut self) -> Result<Millis, String> {
        match self.ask(&Ask::Time)? {
            Answer::Time(now) => Ok(now),
            _ => Err("the exchange does not tell its time".to_owned()),
        }
    }

    /// All candles of a span, oldest first, the one that is not over included.
    ///
    /// # Errors
    /// The exchange's refusal, or that it does not answer.
    pub(super) fn klines(&mut self, span: Span) -> Result<Vec<KlineView>, String> {
        let Span { symbol, interval, from, to } = span;
        let (mut rows, mut cursor) = (Vec::new(), String::new());
        loop {
            let ask = Ask::Klines { symbol, interval, from, to, cursor };
            let Answer::Klines(page, next) = self.ask(&ask)? else {
                return Err("the exchange does not tell candles".to_owned());
            };
            rows.extend(page);
            match next {
                Some(next) => cursor = next,
                None => return Ok(rows),
            }
        }
    }

    /// All that is listed.
    ///
    /// # Errors
    /// The exchange's refusal, that it does not answer, or that its list has no end.
    pub(super) fn instruments(&mut self) -> Result<Vec<InstrumentView>, String> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        for _ in 0..PAGES_MAX {
            let Answer::Instruments(page, next) = self.ask(&Ask::Instruments(cursor))? else {
                return Err("the exchange does not tell its instruments".to_owned());
            };
            all.extend(page);
            match next {
                Some(next) => cursor = next,
                None => return Ok(all),
            }
        }
        Err(format!("the exchange's list of instruments goes on after {PAGES_MAX} pages"))
    }

    /// The last 24 hours of all that has a price.
    ///
    /// # Errors
    /// The exchange's refusal, or that it does not answer.
    pub(super) fn day_tickers(&mut self) -> Result<Vec<DayTickerView>, String> {
        match self.ask(&Ask::DayTickers)? {
            Answer::DayTickers(views) => Ok(views),
            _ => Err("the exchange does not tell its tickers".to_owned()),
        }
    }
}

/// The paper exchange in the same thread, on a clock that passes only by waiting.
#[cfg(test)]
pub(super) mod paper {
    use std::net::{IpAddr, Ipv4Addr};

    use exchange::paper_exchange::transport::{HttpIn, Outcome};
    use exchange::paper_exchange::{CoreSettings, PaperExchange};

    use super::*;

    pub(in crate::cli) const START: Timestamp = Timestamp(1_700_000_040_000_000);
    pub(in crate::cli) const SEED: u64 = 5;

    pub(in crate::cli) struct Paper {
        pub(in crate::cli) exchange: PaperExchange,
        pub(in crate::cli) now: Timestamp,
        pub(in crate::cli) calls: u32,
    }

    impl Paper {
        /// After so many minutes of the built-in market.
        pub(in crate::cli) fn after(minutes: u64) -> Self {
            Self::of(CoreSettings::generated(SEED, START), minutes)
        }

        /// The same with another market.
        pub(in crate::cli) fn of(settings: CoreSettings, minutes: u64) -> Self {
            let exchange = PaperExchange::new(settings, 5).expect("usable");
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
}

#[cfg(test)]
mod tests {
    use engine::core::user::VenueKind;
    use engine::core::venue_account::Environment;

    use super::*;

    fn args(live: &str, live_at: Option<&str>) -> ExchangeArgs {
        ExchangeArgs { live: live.to_owned(), live_at: live_at.map(str::to_owned) }
    }

    #[test]
    fn one_exchange_is_named_and_no_other_is_contacted() {
        let place = args("bybit:testnet", None).place().expect("an exchange");
        assert_eq!((place.venue, place.environment), (VenueKind::Bybit, Environment::Testnet));
        for word in ["", "bybit", "paper:demo", "bybit:live"] {
            let refused = args(word, None).host().err().expect("refused");
            assert!(refused.starts_with(&format!("--live {word}: ")), "{refused}");
        }
        let here = "bybit:testnet=http://127.0.0.1:3100";
        assert!(args("bybit:testnet", Some(here)).host().is_ok());
        for other in ["binance:testnet", "bybit:mainnet"] {
            let refused = args(other, Some(here)).host().err().expect("refused");
            assert!(refused.starts_with("--live-at: "), "{refused}");
        }
    }
}
