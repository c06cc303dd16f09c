//! Candles: lists of twelve values each, oldest first, of which the first six are read.

use engine::core::fixed::Price;

use super::json::{self, Num, malformed};
use crate::live::klines::{Interval, PAGE_ROWS, Window};
use crate::live::protocol::{Answer, Cursor, KlineView, Malformed, Millis};

/// Reads a page of the span `from..to` that was asked for at `cursor`.
pub(super) fn read(
    text: &str,
    interval: Interval,
    (from, to): (Millis, Millis),
    cursor: &Cursor,
) -> Result<Answer, Malformed> {
    let window = Window::of(interval, from, to, cursor);
    let rows = json::list("candles", text)?;
    if rows.len() as u64 > PAGE_ROWS {
        return Err(malformed("candles", "more than were asked for"));
    }
    let rows = rows.iter().map(|row| candle(row.get())).collect::<Result<_, _>>()?;
    Ok(Answer::Klines(window.checked(interval, to, rows)?, window.next()))
}

fn candle(text: &str) -> Result<KlineView, Malformed> {
    let values: Vec<Num<'_>> = json::read("candle", text)?;
    let [opens_at, open, high, low, close, volume, ..] = values[..] else {
        return Err(malformed("candle", "values are missing"));
    };
    let price = |value: Num<'_>, name: &str| value.exact::<Price>(name);
    Ok(KlineView {
        opens_at: opens_at.millis("open time")?,
        open: price(open, "open")?,
        high: price(high, "high")?,
        low: price(low, "low")?,
        close: price(close, "close")?,
        volume: json::fitting(volume, "volume")?,
    })
}

#[cfg(test)]
mod tests {
    use engine::core::instrument::Symbol;

    use super::*;
    use crate::live::binance::Binance;
    use crate::live::protocol::{Ask, Failure, FailureKind, Group, HttpReply, Protocol};

    /// The makers' example.
    const ROW: &str = r#"[1499040000000,"0.01634790","0.80000000","0.01575800","0.01577100","148976.11427815",
        1499644799999,"2434.19055334",308,"1756.87402397","28.46694368","17928899.62484339"]"#;

    fn ask(interval: Interval, from: u64, to: u64, cursor: &str) -> Ask {
        let symbol = Symbol::new("BTCUSDT").expect("a symbol");
        Ask::Klines { symbol, interval, from: Millis(from), to: Millis(to), cursor: cursor.to_owned() }
    }

    fn answer(ask: &Ask, body: &str) -> Result<Answer, Failure> {
        Binance::answer(ask, HttpReply { status: 200, header: &|_| None, body: body.as_bytes() })
    }

    #[test]
    fn a_page_is_this_request_without_a_key() {
        let call =
            Binance::request(&ask(Interval::M1, 1_499_040_000_001, 1_499_130_000_000, ""), None, Millis(0));
        assert_eq!(
            (call.method, call.target.as_str()),
            (
                "GET",
                "/fapi/v1/klines?symbol=BTCUSDT&interval=1m&startTime=1499040060000&endTime=1499100000000&limit=1000"
            )
        );
        assert!(call.headers.is_empty() && call.body.is_empty());
        let rest = ask(Interval::M1, 1_499_040_000_001, 1_499_130_000_000, "1499100060000");
        let call = Binance::request(&rest, None, Millis(0));
        assert!(call.target.contains("&startTime=1499100060000&endTime=1499129940000&"), "{}", call.target);
        assert_eq!((Binance::cost(&rest).group, Binance::cost(&rest).address), (Group::Public, 5));
        assert!(!rest.is_signed() && !rest.is_write());
    }

    #[test]
    fn candles_are_read_exactly_and_the_span_goes_on() {
        let day = 86_400_000;
        let asked = ask(Interval::D1, 1_499_040_000_000, 1_499_040_000_000 + 1_001 * day, "");
        let price = |text: &str| text.parse::<Price>().expect("a price");
        let want = KlineView {
            opens_at: Millis(1_499_040_000_000),
            open: price("0.0163479"),
            high: price("0.8"),
            low: price("0.015758"),
            close: price("0.015771"),
            volume: Some("148976.11427815".parse().expect("a quantity")),
        };
        let next = (1_499_040_000_000 + 1_000 * day).to_string();
        assert_eq!(answer(&asked, &format!("[{ROW}]")), Ok(Answer::Klines(vec![want], Some(next.clone()))));
        // Before a contract was listed there is nothing, and the span goes on all the same.
        assert_eq!(answer(&asked, "[]"), Ok(Answer::Klines(Vec::new(), Some(next.clone()))));
        let last = ask(Interval::D1, 1_499_040_000_000, 1_499_040_000_000 + 1_001 * day, &next);
        assert_eq!(answer(&last, "[]"), Ok(Answer::Klines(Vec::new(), None)));
        // More than can be held: not told. No price is rounded.
        let huge = ROW.replace("148976.11427815", "99999999999999.5");
        let Ok(Answer::Klines(rows, _)) = answer(&asked, &format!("[{huge}]")) else { panic!("read") };
        assert_eq!(rows[0].volume, None);
    }

    #[test]
    fn what_is_not_what_was_asked_for_is_refused() {
        let asked = ask(Interval::D1, 1_499_040_000_000, 1_499_040_000_000 + 86_400_000, "");
        for (from, to) in [
            ("1499040000000,", "1499040000001,"),
            ("1499040000000,", "1499126400000,"),
            ("1499040000000,", "-1,"),
            ("\"0.80000000\"", "\"0.01\""),
            ("\"0.80000000\"", "\"NaN\""),
            ("\"0.01575800\"", "\"0\""),
            ("\"0.01575800\"", "\"-1\""),
            ("\"0.01577100\"", "\"0.015771001\""),
            ("\"148976.11427815\"", "\"-1\""),
            ("\"148976.11427815\"", "{}"),
        ] {
            let failed = answer(&asked, &format!("[{}]", ROW.replacen(from, to, 1)));
            assert_eq!(failed.map_err(|f| f.kind), Err(FailureKind::Unreadable), "{to}");
        }
        let many = vec![ROW; 1_001].join(",");
        for body in [format!("[{ROW},{ROW}]"), format!("[{many}]"), "{}".into(), "[[]]".into(), "[7]".into()]
        {
            let failed = answer(&asked, &body).map_err(|f| f.kind);
            assert_eq!(failed, Err(FailureKind::Unreadable), "{}", &body[..body.len().min(80)]);
        }
        let refused = r#"{"code":-1121,"msg":"Invalid symbol."}"#;
        let reply = HttpReply { status: 400, header: &|_| None, body: refused.as_bytes() };
        assert_eq!(Binance::answer(&asked, reply).map_err(|f| f.kind), Err(FailureKind::SymbolGate));
    }
}
