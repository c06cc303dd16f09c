//! `coinbitclub market pulse`: the Market Pulse of an exchange, read once and printed.
//!
//! **Runs on**: the main thread, which may wait. **Invariants**: the exchange's list of instruments is read to its end, and a reading
//! is printed whole or not at all. What is left out of it, and that it is of fewer contracts than it is meant for, is said.
//! **Bounds**: those of [`Reader`](super::exchange_reader::Reader); a check reads one day of candles.

use clap::Args;
use engine::core::fixed::{Rate, UNIT};
use engine::core::instrument::Symbol;
use engine::core::user::VenueKind;
use engine::core::venue_account::VenuePlace;
use exchange::live::binance::Binance;
use exchange::live::bybit::Bybit;
use exchange::live::klines::{self, Interval};
use exchange::live::pacing::limits::VenueLimits;
use exchange::live::protocol::{DayTickerView, Millis, Protocol};
use exchange::live::pulse::{MarketPulse, PAIRS_MAX};
use serde_json::{Value, json};

use super::exchange_reader::{ExchangeArgs, Outside, Reader, Span};

/// The span of the pulse's changes, in milliseconds.
const DAY_MS: u64 = 24 * 3_600_000;

/// `market pulse`.
#[derive(Args)]
pub struct PulseArgs {
    /// Which exchange.
    #[command(flatten)]
    pub exchange: ExchangeArgs,
    /// Also make the change of this symbol from its own candles, to be compared with the one that is told.
    #[arg(long, value_name = "SYMBOL")]
    pub check: Option<String>,
    /// Print one JSON object instead of the text.
    #[arg(long)]
    pub json: bool,
}

/// A change that was told, and the same made from candles; both as fractions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Check {
    symbol: Symbol,
    told: Rate,
    made: Rate,
    candles: usize,
}

/// What is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reading {
    place: VenuePlace,
    pulse: MarketPulse,
    check: Option<Check>,
}

/// Reads and prints.
///
/// # Errors
/// The argument or the exchange's refusal, and what is wrong with it; that there is nothing to make a reading of.
pub fn pulse(args: &PulseArgs) -> Result<(), String> {
    let place = args.exchange.place()?;
    let symbol = |text: &str| Symbol::new(text).ok_or_else(|| format!("--check {text}: not a symbol"));
    let check = args.check.as_deref().map(symbol).transpose()?;
    let mut outside = args.exchange.host()?;
    let (pulse, check) = match place.venue {
        VenueKind::Binance => read::<Binance>(&mut outside, VenueLimits::BINANCE, check),
        VenueKind::Bybit => read::<Bybit>(&mut outside, VenueLimits::BYBIT, check),
        VenueKind::Paper => Err("--live: the paper venue has no market of its own".to_owned()),
    }?;
    let reading = Reading { place, pulse, check };
    if args.json {
        println!("{}", reading.json());
    } else {
        print!("{}", reading.text());
    }
    Ok(())
}

fn read<P: Protocol>(
    outside: &mut impl Outside,
    limits: VenueLimits,
    check: Option<Symbol>,
) -> Result<(MarketPulse, Option<Check>), String> {
    let mut reader = Reader::<P, _>::new(outside, limits)?;
    let listed = reader.instruments()?;
    let day = reader.day_tickers()?;
    let pulse = MarketPulse::of(&listed, &day).map_err(|error| error.to_string())?;
    let check = check.map(|symbol| compared(&mut reader, &day, symbol)).transpose()?;
    Ok((pulse, check))
}

/// The change of a symbol by its candles of a minute, so that they begin at most a minute after its 24 hours do.
fn compared<P: Protocol>(
    reader: &mut Reader<'_, P, impl Outside>,
    day: &[DayTickerView],
    symbol: Symbol,
) -> Result<Check, String> {
    let view = day.iter().find(|view| view.symbol == symbol);
    let view = view.ok_or_else(|| format!("--check {symbol}: the exchange tells no change of 24 h of it"))?;
    let (from, to) = (view.at.0.saturating_sub(DAY_MS), view.at.0.saturating_add(1));
    let rows = reader.klines(Span { symbol, interval: Interval::M1, from: Millis(from), to: Millis(to) })?;
    let made = klines::change(&rows)
        .ok_or_else(|| format!("--check {symbol}: its candles of 24 h make no change: there are none"))?;
    Ok(Check { symbol, told: view.change, made, candles: rows.len() })
}

/// A fraction in percent.
fn percent(fraction: Rate) -> Rate {
    Rate::from_units(fraction.units().saturating_mul(100))
}

/// A moment as people write it, with its milliseconds.
fn moment(at: Millis) -> String {
    let millis = i64::try_from(at.0).ok();
    let moment = millis.and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
    moment.map_or_else(|| format!("{} ms", at.0), |moment| format!("{moment:.3}"))
}

impl Reading {
    fn text(&self) -> String {
        let MarketPulse { at, pairs, positive, plus, minus, turnover, deviation, left_out, .. } = self.pulse;
        let mut text = format!(
            "Market Pulse of {}:{} at {}\nPM+ {} %, PM- {} %, VWD {} %\n",
            self.place.venue.as_str(),
            self.place.environment.as_str(),
            moment(at),
            percent(plus),
            percent(minus),
            percent(deviation),
        );
        text.push_str(&format!(
            "{positive} of {pairs} contracts are above their price of 24 h ago; {} USDT were traded in them\n",
            turnover / i128::from(UNIT),
        ));
        if pairs < PAIRS_MAX {
            text.push_str(&format!(
                "only {pairs} contracts count, where a reading is meant for {PAIRS_MAX}\n"
            ));
        }
        text.push_str(&format!(
            "left out: {} that do not trade, {} without a price or figures that can be read\n",
            left_out.not_trading, left_out.without_figures,
        ));
        if let Some(Check { symbol, told, made, candles }) = self.check {
            text.push_str(&format!(
                "{symbol}: {} % told, {} % by its {candles} candles\n",
                percent(told),
                percent(made),
            ));
        }
        text
    }

    fn json(&self) -> Value {
        let pulse = &self.pulse;
        let check = self.check.map(|check| {
            json!({
                "symbol": check.symbol.as_str(),
                "told_percent": percent(check.told).to_string(),
                "made_percent": percent(check.made).to_string(),
                "candles": check.candles,
            })
        });
        json!({
            "venue": self.place.venue.as_str(),
            "environment": self.place.environment.as_str(),
            "at_ms": pulse.at.0,
            "pairs": pulse.pairs,
            "pairs_max": PAIRS_MAX,
            "positive": pulse.positive,
            "pm_plus_percent": percent(pulse.plus).to_string(),
            "pm_minus_percent": percent(pulse.minus).to_string(),
            "vwd_percent": percent(pulse.deviation).to_string(),
            // VWD is exactly the first divided by 10^8 times the second.
            "weighted_units": pulse.weighted.to_string(),
            "turnover_units": pulse.turnover.to_string(),
            "left_out": {
                "not_trading": pulse.left_out.not_trading,
                "without_figures": pulse.left_out.without_figures,
            },
            "check": check,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use engine::core::ids::Timestamp;
    use engine::core::instrument::InstrumentStatus;
    use engine::core::venue_account::Environment;
    use exchange::live::protocol::HttpCall;
    use exchange::live::pulse::LeftOut;
    use exchange::market::{GeneratedSymbol, Generator, Market};
    use exchange::paper_exchange::CoreSettings;
    use exchange::paper_exchange::faults::{Fault, Rule, When};
    use net::http::client::ClientResponse;

    use super::super::exchange_reader::paper::{Paper, SEED, START};
    use super::*;

    fn symbol(name: &str) -> Symbol {
        Symbol::new(name).expect("a symbol")
    }

    /// A market in which one contract does not trade and another one never had a price.
    fn settings() -> (CoreSettings, Vec<GeneratedSymbol>) {
        let mut settings = CoreSettings::generated(SEED, START);
        for listing in &mut settings.venue.listings {
            if listing.instrument.symbol == symbol("ETHUSDT") {
                listing.instrument.status = InstrumentStatus::Halted;
            }
        }
        let listings =
            settings.venue.listings.iter().filter(|one| one.instrument.symbol != symbol("LTCUSDT"));
        let symbols: Vec<_> = listings.map(|one| one.generated()).collect();
        settings.market = Market::generated(Generator::new(SEED, &symbols, 250_000, START));
        (settings, symbols)
    }

    /// The quotient, the nearest, a tie to the even one; told by trying both neighbours.
    fn nearest(numerator: i128, denominator: i128) -> i128 {
        let low = numerator.div_euclid(denominator);
        let far = |whole: i128| (numerator - whole * denominator).abs();
        let is_up = far(low + 1) < far(low) || (far(low + 1) == far(low) && low % 2 != 0);
        low + i128::from(is_up)
    }

    /// First price, last price and turnover of each symbol, from the market itself, played once more: nothing of the exchange's own
    /// candles is in it.
    fn played(paper: &Paper) -> BTreeMap<Symbol, (i128, i128, i128)> {
        let mut market = Market::generated(Generator::new(SEED, &settings().1, 250_000, START));
        let mut played: BTreeMap<Symbol, (i128, i128, i128)> = BTreeMap::new();
        while market.peek().is_some_and(|tick| tick.venue_at <= paper.now) {
            let tick = market.advance().expect("it was there");
            let price = i128::from(tick.price.units());
            let instrument = paper.exchange.core.instrument(tick.symbol).expect("listed");
            let turnover = price * i128::from(instrument.quantity_min.units()) / i128::from(UNIT);
            let row = played.entry(tick.symbol).or_insert((price, price, 0));
            *row = (row.0, price, row.2 + turnover);
        }
        played
    }

    /// The reading that the rules make of that, when changes are told in such parts of one.
    fn expected(paper: &Paper, parts: i128) -> MarketPulse {
        let rows = played(paper);
        let traded = rows.iter().filter(|(name, _)| **name != symbol("ETHUSDT"));
        let (mut pairs, mut positive, mut weighted, mut turnover) = (0, 0, 0_i128, 0_i128);
        for (_, (open, last, traded)) in traded {
            let change = nearest((last - open) * parts, *open) * (i128::from(UNIT) / parts);
            pairs += 1;
            positive += u32::from(change > 0);
            weighted += change * traded;
            turnover += traded;
        }
        let units = |value: i128| Rate::from_units(i64::try_from(value).expect("it fits"));
        let plus = units(nearest(i128::from(positive) * i128::from(UNIT), i128::from(pairs)));
        MarketPulse {
            at: Millis(paper.now.millis()),
            pairs,
            positive,
            plus,
            minus: units(i128::from(UNIT) - i128::from(plus.units())),
            weighted,
            turnover,
            deviation: units(nearest(weighted, turnover)),
            left_out: LeftOut { not_trading: 1, without_figures: 1 },
        }
    }

    #[test]
    fn case_f9_a_reading_is_what_the_market_did_on_either_exchange() {
        let mut paper = Paper::of(settings().0, 30);
        let (binance, _) =
            read::<Binance>(&mut paper, VenueLimits::BINANCE, None).expect("a reading of Binance");
        let (bybit, _) = read::<Bybit>(&mut paper, VenueLimits::BYBIT, None).expect("a reading of Bybit");
        assert_eq!(paper.calls, 4, "a list and its tickers each");
        // Binance tells three places of a percentage.
        assert_eq!(binance, expected(&paper, 100_000));
        assert_eq!(bybit, expected(&paper, i128::from(UNIT)));
        assert_eq!(bybit.pairs, 14);
        assert!((1..14).contains(&bybit.positive), "a market that goes one way shows little");
    }

    #[test]
    fn a_change_is_made_of_candles_and_compared() {
        let mut paper = Paper::of(settings().0, 30);
        let btc = symbol("BTCUSDT");
        let (open, last, _) = played(&paper)[&btc];
        let want = nearest((last - open) * i128::from(UNIT), open);
        let checks = [
            read::<Binance>(&mut paper, VenueLimits::BINANCE, Some(btc)),
            read::<Bybit>(&mut paper, VenueLimits::BYBIT, Some(btc)),
        ];
        for (check, off_max) in checks.into_iter().zip([500, 0]) {
            let check = check.expect("a reading").1.expect("a check");
            assert_eq!((check.symbol, check.candles), (btc, 31));
            assert_eq!(i128::from(check.made.units()), want);
            assert!((check.told.units() - check.made.units()).abs() <= off_max, "{check:?}");
        }
        for other in ["NOPEUSDT", "LTCUSDT"] {
            let refused = read::<Bybit>(&mut paper, VenueLimits::BYBIT, Some(symbol(other)));
            assert!(refused.is_err_and(|why| why.starts_with(&format!("--check {other}: "))));
        }
    }

    /// An exchange whose pages of instruments are small.
    struct SmallPages(Paper);

    impl Outside for SmallPages {
        fn now(&mut self) -> Timestamp {
            self.0.now()
        }
        fn wait(&mut self, micros: u64) {
            self.0.wait(micros);
        }
        fn call(&mut self, call: &HttpCall) -> Result<ClientResponse, String> {
            let target = call.target.replace("limit=1000", "limit=5");
            self.0.call(&HttpCall { target, ..call.clone() })
        }
    }

    #[test]
    fn case_x18_the_list_is_read_to_its_last_page() {
        let mut small = SmallPages(Paper::of(settings().0, 5));
        let (pulse, _) = read::<Bybit>(&mut small, VenueLimits::BYBIT, None).expect("a reading");
        assert_eq!(small.0.calls, 5, "four pages of 16 instruments, and the tickers");
        assert_eq!(pulse, expected(&small.0, i128::from(UNIT)));
    }

    #[test]
    fn without_an_answer_or_a_trade_there_is_no_reading() {
        let mut paper = Paper::of(settings().0, 1);
        let rule =
            |on: &str, when| Rule { on: on.to_owned(), when, fault: Fault::Unavailable { executed: false } };
        paper.exchange.faults.add(rule("GET /fapi/v1/ticker/24hr", When::Next(2))).expect("room");
        assert!(
            read::<Binance>(&mut paper, VenueLimits::BINANCE, None).is_ok(),
            "what passes is tried again"
        );
        paper.exchange.faults.add(rule("GET /fapi/v1/ticker/24hr", When::Every(1))).expect("room");
        assert!(read::<Binance>(&mut paper, VenueLimits::BINANCE, None).is_err());
        let empty = CoreSettings { market: Market::new(), ..CoreSettings::generated(SEED, START) };
        let mut empty = Paper::of(empty, 1);
        for refused in [
            read::<Binance>(&mut empty, VenueLimits::BINANCE, None),
            read::<Bybit>(&mut empty, VenueLimits::BYBIT, None),
        ] {
            assert!(refused.is_err_and(|why| why.contains("no perpetual contract")));
        }
    }

    #[test]
    fn the_text_says_what_is_missing_and_the_object_has_the_exact_numbers() {
        let place =
            VenuePlace { venue: VenueKind::Bybit, environment: Environment::Testnet, ..VenuePlace::PAPER };
        let rate = |text: &str| text.parse::<Rate>().expect("a rate");
        let pulse = MarketPulse {
            at: Millis(1_700_000_000_123),
            pairs: 16,
            positive: 5,
            plus: rate("0.3125"),
            minus: rate("0.6875"),
            weighted: -1_234_500_000_000,
            turnover: 41_223_372_036_854_775_899,
            deviation: rate("-0.00751234"),
            left_out: LeftOut { not_trading: 3, without_figures: 1 },
        };
        let check =
            Check { symbol: symbol("BTCUSDT"), told: rate("0.01"), made: rate("0.0123"), candles: 1_440 };
        let mut reading = Reading { place, pulse, check: Some(check) };
        assert_eq!(
            reading.text(),
            "Market Pulse of bybit:testnet at 2023-11-14T22:13:20.123Z\n\
             PM+ 31.25 %, PM- 68.75 %, VWD -0.751234 %\n\
             5 of 16 contracts are above their price of 24 h ago; 412233720368 USDT were traded in them\n\
             only 16 contracts count, where a reading is meant for 100\n\
             left out: 3 that do not trade, 1 without a price or figures that can be read\n\
             BTCUSDT: 1 % told, 1.23 % by its 1440 candles\n"
        );
        let told = reading.json();
        assert_eq!(
            (&told["venue"], &told["at_ms"], &told["pairs"], &told["pairs_max"]),
            (&json!("bybit"), &json!(1_700_000_000_123_u64), &json!(16), &json!(100))
        );
        assert_eq!((&told["pm_plus_percent"], &told["vwd_percent"]), (&json!("31.25"), &json!("-0.751234")));
        assert_eq!(told["turnover_units"], json!("41223372036854775899"));
        assert_eq!(told["left_out"], json!({ "not_trading": 3, "without_figures": 1 }));
        assert_eq!(told["check"]["made_percent"], json!("1.23"));
        reading.pulse.pairs = 100;
        reading.check = None;
        assert!(!reading.text().contains("only") && reading.json()["check"].is_null());
    }
}
