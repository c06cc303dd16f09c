//! Candles: lists of seven texts each, newest first, of which the first six are read.

use serde::Deserialize;

use super::fields::{Field, misread};
use crate::live::klines::{Interval, PAGE_ROWS, Window};
use crate::live::protocol::{Answer, Cursor, KlineView, Malformed, Millis};

/// An interval as Bybit writes it: minutes, or a letter.
pub(super) fn word(interval: Interval) -> String {
    if interval == Interval::D1 { "D".to_owned() } else { interval.minutes().to_string() }
}

/// What is answered; rows are told apart from other lists by their form.
#[derive(Deserialize)]
pub(super) struct Klines<'a> {
    #[serde(borrow)]
    list: Vec<Vec<Field<'a>>>,
}

impl Klines<'_> {
    /// Reads a page of the span `from..to` that was asked for at `cursor`.
    pub(super) fn answer(
        &self,
        interval: Interval,
        (from, to): (Millis, Millis),
        cursor: &Cursor,
    ) -> Result<Answer, Malformed> {
        let window = Window::of(interval, from, to, cursor);
        if self.list.len() as u64 > PAGE_ROWS {
            return Err(misread("list", "more than were asked for"));
        }
        let rows = self.list.iter().map(|row| candle(row)).collect::<Result<_, _>>()?;
        Ok(Answer::Klines(window.checked(interval, to, rows)?, window.next()))
    }
}

fn candle(row: &[Field<'_>]) -> Result<KlineView, Malformed> {
    let [starts_at, open, high, low, close, volume, ..] = row else {
        return Err(misread("list", "values of a candle are missing"));
    };
    let price = |field: &Field<'_>, name: &str| field.price(name)?.ok_or_else(|| misread(name, "missing"));
    Ok(KlineView {
        opens_at: starts_at.millis("startTime")?,
        open: price(open, "open")?,
        high: price(high, "high")?,
        low: price(low, "low")?,
        close: price(close, "close")?,
        volume: volume.quantity_if_held("volume")?,
    })
}

#[cfg(test)]
mod tests {
    use engine::core::fixed::Price;
    use engine::core::instrument::Symbol;

    use super::*;
    use crate::live::bybit::Bybit;
    use crate::live::protocol::{Ask, Failure, FailureKind, Group, HttpReply, Protocol};

    const NEWER: &str = r#"["1670608860000","17071.5","17080","17070","17072","268611.2","15.74462667"]"#;
    const OLDER: &str = r#"["1670608800000","17071","17073","17027","17055.5","268611","15.74462667"]"#;

    fn ask(from: u64, to: u64, cursor: &str) -> Ask {
        let symbol = Symbol::new("BTCUSDT").expect("a symbol");
        let (from, to) = (Millis(from), Millis(to));
        Ask::Klines { symbol, interval: Interval::M1, from, to, cursor: cursor.to_owned() }
    }

    fn answer(ask: &Ask, rows: &str) -> Result<Answer, Failure> {
        let body = format!(
            r#"{{"retCode":0,"retMsg":"OK","result":{{"symbol":"BTCUSDT","category":"linear","list":[{rows}]}},"time":1}}"#
        );
        Bybit::answer(ask, HttpReply { status: 200, header: &|_| None, body: body.as_bytes() })
    }

    #[test]
    fn a_page_is_this_request_without_a_key() {
        let asked = ask(1_670_608_800_000, 1_670_608_800_000 + 1_500 * 60_000, "");
        let call = Bybit::request(&asked, None, Millis(0));
        assert_eq!(
            (call.method, call.target.as_str()),
            (
                "GET",
                "/v5/market/kline?category=linear&symbol=BTCUSDT&interval=1&start=1670608800000&end=1670668740000&limit=1000"
            )
        );
        assert!(call.headers.is_empty() && call.body.is_empty());
        let cost = Bybit::cost(&asked);
        assert_eq!((cost.group, cost.address, cost.account), (Group::Public, 1, 0));
        let words = [(Interval::H4, "240"), (Interval::D1, "D"), (Interval::M30, "30")];
        assert!(words.into_iter().all(|(interval, want)| word(interval) == want));
    }

    #[test]
    fn candles_come_newest_first_and_are_told_oldest_first() {
        let asked = ask(1_670_608_800_000, 1_670_608_920_000, "");
        let Ok(Answer::Klines(rows, None)) = answer(&asked, &format!("{NEWER},{OLDER}")) else {
            panic!("not read");
        };
        let price = |text: &str| text.parse::<Price>().expect("a price");
        let want = KlineView {
            opens_at: Millis(1_670_608_800_000),
            open: price("17071"),
            high: price("17073"),
            low: price("17027"),
            close: price("17055.5"),
            volume: Some("268611".parse().expect("a quantity")),
        };
        assert_eq!((rows.len(), rows[0]), (2, want));
        assert_eq!(rows[1].opens_at, Millis(1_670_608_860_000));
        let long = ask(1_670_608_800_000, 1_670_608_800_000 + 1_001 * 60_000, "");
        let Ok(Answer::Klines(_, Some(next))) = answer(&long, "") else { panic!("it goes on") };
        assert_eq!(next, (1_670_608_800_000_u64 + 1_000 * 60_000).to_string());
    }

    #[test]
    fn what_is_not_what_was_asked_for_is_refused() {
        let asked = ask(1_670_608_800_000, 1_670_608_920_000, "");
        for rows in [
            format!("{OLDER},{OLDER}"),
            OLDER.replace("1670608800000", "1670608740000"),
            OLDER.replace("1670608800000", "1670608800001"),
            OLDER.replace("1670608800000", ""),
            OLDER.replace("17073", "17060"),
            OLDER.replace("17027", "0"),
            OLDER.replace("17027", "-1"),
            OLDER.replace("17055.5", "17055.123456789"),
            OLDER.replace("\"268611\"", "\"-1\""),
            OLDER.replace("\"268611\"", "[]"),
            r#"["1670608800000"]"#.into(),
            "7".into(),
            vec![OLDER; 1_001].join(","),
        ] {
            let failed = answer(&asked, &rows).map_err(|failure| failure.kind);
            assert_eq!(failed, Err(FailureKind::Unreadable), "{}", &rows[..rows.len().min(90)]);
        }
    }
}
