//! `coinbitclub market fetch`: an exchange's candles as a CSV file that the embedded market plays.
//!
//! **Runs on**: the main thread, which may wait. **Invariants**: only the exchange that `--live` names is contacted, at its own
//! hosts or where `--live-at` puts it, and without a key. Only candles that are over are written. The file appears when it is
//! complete and [`MarketFile`] reads it; a name that is taken is not written to.
//! **Bounds**: [`ROWS_MAX`] candles; requests leave within what the exchange allows this address for things that can wait.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use engine::core::instrument::Symbol;
use engine::core::user::VenueKind;
use exchange::live::binance::Binance;
use exchange::live::bybit::Bybit;
use exchange::live::klines::Interval;
use exchange::live::pacing::limits::VenueLimits;
use exchange::live::protocol::{KlineView, Millis, Protocol};
use exchange::market::{MarketFile, ROWS_MAX};

use super::exchange_reader::{ExchangeArgs, Outside, Reader, Span};
use crate::signal::time::parse_time;

/// `market fetch`.
#[derive(Args)]
pub struct FetchArgs {
    /// Which exchange.
    #[command(flatten)]
    pub exchange: ExchangeArgs,
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
    let venue = args.exchange.place()?.venue;
    let interval = Interval::parse(&args.interval)
        .ok_or_else(|| format!("--interval {}: one of 1m 3m 5m 15m 30m 1h 2h 4h 6h 12h 1d", args.interval))?;
    let symbol =
        Symbol::new(&args.symbol).ok_or_else(|| format!("--symbol {}: not a symbol", args.symbol))?;
    let from = moment("--from", &args.from)?;
    let to = args.to.as_deref().map_or(Ok(Millis(u64::MAX)), |to| moment("--to", to))?;
    if args.out.exists() {
        return Err(format!("{}: it is there already: choose another name", args.out.display()));
    }
    let mut outside = args.exchange.host()?;
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

/// All candles of the span that are over, oldest first.
fn download<P: Protocol>(
    outside: &mut impl Outside,
    limits: VenueLimits,
    span: Span,
) -> Result<Vec<KlineView>, String> {
    let mut reader = Reader::<P, _>::new(outside, limits)?;
    let now = reader.time()?;
    let Span { interval, from, to, .. } = span;
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
    let rows = reader.klines(Span { to, ..span })?;
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
    use engine::core::fixed::Price;
    use exchange::paper_exchange::faults::{Fault, Rule, When};

    use super::super::exchange_reader::TRIES_MAX;
    use super::super::exchange_reader::paper::{Paper, START};
    use super::*;

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
